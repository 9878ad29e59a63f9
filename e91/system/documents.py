r"""Typed TOML and JSON: from a file that people write to a checked record.

A format is a class derived from `Document`, one annotated field for each key.  `read_toml` and
`read_json` return a record of that class, or refuse the file with one sentence: the file, the key
at fault, what must be and what was found.  The comparison itself is msgspec's.

Examples:
    >>> class Lamp(Document, frozen=True):
    ...     colour: Text
    ...     watts: Annotated[float, Meta(gt=0, le=100)] = 40.0
    >>> parse_toml('colour = "red"', Lamp, where="lamp.toml")
    Lamp(colour='red', watts=40.0)
    >>> parse_toml('colour = "red"\nwatts = 200', Lamp, where="lamp.toml")
    Traceback (most recent call last):
    ValueError: In `lamp.toml`: `watts` must lie in (0, 100], but is 200.
"""

import copy
import json
import math
import re
import sys
import tomllib
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar, overload

import msgspec
from msgspec import Meta, inspect

from e91.system.durable import read_file

MOST_BYTES = 1_000_000
"""Bytes that a document has at most, unless its reader says otherwise."""

MOST_DEPTH = 32
"""Tables and lists inside one another at most."""

Text = Annotated[str, Meta(pattern=r"\S", extra={"must": "be a text that is not empty"})]
"""A text with at least one character that is no space."""

Finite = Annotated[float, Meta(ge=-sys.float_info.max, le=sys.float_info.max)]
"""A number that is neither infinite nor undefined."""

NotNegative = Annotated[float, Meta(ge=0, le=sys.float_info.max)]
"""A finite number from 0."""

Shape = TypeVar("Shape")

_RECORDS = (inspect.StructType, inspect.DataclassType)
_LONGEST_SHOWN = 60  # characters of a wrong value that a sentence repeats
_PART = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')"""
_LONG_KEY = re.compile(rf"(?<![\w-]){_PART}(?:[ \t]*+\.[ \t]*+{_PART}){{{MOST_DEPTH},}}+")
_STEP = re.compile(r"\.([^.\[\]`]+)|\[(\d+|\.\.\.)\]")


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of a file: the base class of every format; unknown keys are refused.

    Derived classes say ``frozen=True`` again, as type checkers do not inherit it.

    A rule between keys is a ``__post_init__`` that raises ValueError with a sentence that begins
    with the key in backticks; the place of the table is put before it.  A field with the metadata
    ``Meta(extra={"must": "be even"})`` words its own demand.
    """


def read_toml(file: Path, shape: type[Shape], *, most_bytes: int = MOST_BYTES) -> Shape:
    """Return the record in a TOML file.

    Args:
        file: A regular file in UTF-8.
        shape: The class of the record.
        most_bytes: Its largest size.

    Raises:
        ValueError: It cannot be read, is too large or too deep, is no TOML, or does not fit.
    """
    return parse_toml(read_file(file, most_bytes=most_bytes), shape, where=str(file))


def read_json(file: Path, shape: type[Shape], *, most_bytes: int = MOST_BYTES) -> Shape:
    """Return the record in a JSON file, whose outermost value is an object; see `read_toml`."""
    return parse_json(read_file(file, most_bytes=most_bytes), shape, where=str(file))


def parse_toml(text: str | bytes, shape: type[Shape], *, where: str) -> Shape:
    """Return the record in a TOML text.

    Args:
        text: The text, or its bytes in UTF-8.
        shape: The class of the record.
        where: What a sentence calls the text.

    Raises:
        ValueError: The text is no TOML, is too deep, or does not fit.
    """
    content, reason = _decoded(_toml, text)
    if reason:
        raise ValueError(f"`{where}` must be {_named(reason, 'a TOML file')}.")
    return typed(content, shape, where=where)


def parse_json(text: str | bytes, shape: type[Shape], *, where: str, secret: bool = False) -> Shape:
    """Return the record in a JSON text whose outermost value is an object.

    Args:
        text: The text, or its bytes in UTF-8.
        shape: The class of the record.
        where: What a sentence calls the text; empty if the caller says it.
        secret: Whether no sentence may repeat what was found.

    Raises:
        ValueError: The text is no JSON object, is too deep, or does not fit.
    """
    content, reason = _decoded(_json, text)
    subject = f"`{where}`" if where else "It"
    if reason and not secret:
        raise ValueError(f"{subject} must be {_named(reason, 'a JSON file')}.")
    if reason or not isinstance(content, dict):
        raise ValueError(f"{subject} must hold one JSON object, but does not.")
    return typed(content, shape, where=where, secret=secret)


@overload
def typed(
    content: object, shape: type[Shape], *, where: str = ..., key: str = ..., secret: bool = ...
) -> Shape: ...
@overload
def typed(
    content: object, shape: Any, *, where: str = ..., key: str = ..., secret: bool = ...
) -> Any: ...
def typed(
    content: object, shape: Any, *, where: str = "", key: str = "", secret: bool = False
) -> Any:
    """Return plain values (tables, lists, numbers, texts) as what ``shape`` describes.

    Args:
        content: As `tomllib` or `json` give it.
        shape: A class, or any other annotation that msgspec knows.
        where: The file, for the sentence.
        key: The place of ``content`` in the file, for the sentence.
        secret: Whether no sentence may repeat what was found.

    Raises:
        ValueError: The values are nested too deeply, or do not fit.

    Examples:
        >>> typed([1, "up"], list[int], key="sweep")
        Traceback (most recent call last):
        ValueError: `sweep[1]` must be a whole number, but is 'up'.
    """
    _check_depth(content, where)
    try:
        return msgspec.convert(content, shape)
    except msgspec.ValidationError as error:
        said = str(error)
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON's escapes can write
        subject = f"`{where}`" if where else "It"
        raise ValueError(f"{subject} must hold Unicode text only, but does not.") from None
    # Outside the handler, as the exception of msgspec may carry what is secret.
    sentence = _sentence(content, shape, said, key=key, secret=secret)
    raise ValueError(f"In `{where}`: {sentence}" if where else sentence)


def did_you_mean(word: str, known: Iterable[str], *, place: str = "") -> str:
    """Return the end of a sentence: the known word that is nearest, or a full stop.

    Capital letters are no difference.

    Examples:
        >>> did_you_mean("colour", ["color", "size"])
        '; did you mean `color`?'
        >>> did_you_mean("weight", ["color", "size"])
        '.'
    """
    by_letters = {one.lower(): one for one in known}
    close = get_close_matches(word.lower(), by_letters, n=1)
    return f"; did you mean `{place}{by_letters[close[0]]}`?" if close else "."


def _decoded(decode: Callable[[str], object], text: str | bytes) -> tuple[object, str]:
    """Return the plain values of a text, and why there are none, or an empty reason."""
    try:
        return decode(text if isinstance(text, str) else text.decode("utf-8-sig")), ""
    except UnicodeError:
        return None, "UTF-8 text, but is not"
    except RecursionError:
        return None, _TOO_DEEP
    except ValueError as error:  # the decoders' own errors, and of numbers with too many digits
        return None, str(error).rstrip(".")


def _json(text: str) -> object:
    r"""Return the values of a JSON text; half of a surrogate pair, as in "\\ud800", is no text."""
    content = json.loads(text)
    if "\\u" in text:
        json.dumps(content, ensure_ascii=False).encode()
    return content


def _toml(text: str) -> object:
    """Return the values of a TOML text; long dotted keys are refused before they take minutes."""
    if _LONG_KEY.search(text):
        raise RecursionError
    return tomllib.loads(text)


def _named(reason: str, kind: str) -> str:
    """Return the end of a sentence about a text that no decoder takes."""
    return reason if ", but " in reason else f"{kind}, but: {reason}"


_TOO_DEEP = f"nested at most {MOST_DEPTH} deep, but is deeper"


def _check_depth(content: object, where: str) -> None:
    """Refuse what would exhaust the stack of everything that walks through it."""
    level, depth = [content], 0
    while level:
        if depth > MOST_DEPTH:
            raise ValueError(f"{f'`{where}`' if where else 'It'} must be {_TOO_DEEP}.")
        inner = [value for value in level if isinstance(value, dict | list | tuple)]
        level = [
            child
            for value in inner
            for child in (value.values() if isinstance(value, dict) else value)
        ]
        depth += 1


def _sentence(content: object, shape: Any, said: str, *, key: str, secret: bool) -> str:
    """Return what msgspec ``said`` about the content as a sentence in the voice of the package."""
    fails = partial(_fails_so, shape=shape, so=said)
    said, _, path = said.rpartition(" - at `$") if " - at `$" in said else (said, "", "")
    steps = [name or index for name, index in _STEP.findall(path)]
    place, found, kind = _followed(content, shape, steps, fails)
    place = _joined(key, place)
    inner = f"{place}." if place else ""
    record = _plain(kind)
    if isinstance(record, _RECORDS) and isinstance(found, dict):
        known = [field.encode_name for field in record.fields]
        strict = isinstance(record, inspect.StructType) and record.forbid_unknown_fields
        unknown = [name for name in found if strict and name not in known]
        if unknown and secret:
            return "Every key must be a documented one, but one is not."
        if unknown:
            hint = did_you_mean(unknown[0], known, place=inner)
            return f"Every key must be a documented one, but `{inner}{unknown[0]}` is not{hint}"
        for field in record.fields:
            if field.required and field.encode_name not in found:
                demand = _demand(field.type, None)
                return f"`{inner}{field.encode_name}` must {demand}, but is missing."
        return f"`{inner}{said[1:]}" if said.startswith("`") else said
    demand = _demand(kind, found)
    subject = f"`{place}`" if place else "It"
    return f"{subject} must {demand}, but is {'not' if secret else _shown(found)}."


def _joined(*places: str) -> str:
    return ".".join(place for place in places if place).replace(".[", "[")


def _followed(
    content: object, shape: Any, steps: list[str], fails: Callable[[object], bool]
) -> tuple[str, Any, inspect.Type]:
    """Return the place that the steps lead to, the value there, and what it has to be."""
    content = root = copy.deepcopy(content)
    kind = _bare(inspect.type_info(shape))
    place = ""
    for step in steps:
        kind = _plain(_branch(_plain(kind), content))
        if isinstance(kind, _RECORDS):
            kind = {field.encode_name: field.type for field in kind.fields}[step]
            content, place = content[step], _joined(place, step)  # type: ignore[index]
        elif isinstance(content, dict):  # msgspec does not say which of its keys it means
            name = _culprit(content, lambda: fails(root))
            content, place = content[name], _joined(place, name)
            kind = kind.value_type  # type: ignore[attr-defined]
        else:
            content, place = content[int(step)], f"{place}[{step}]"  # type: ignore[index]
            many = isinstance(kind, inspect.TupleType)
            kind = kind.item_types[int(step)] if many else kind.item_type  # type: ignore[attr-defined]
        kind = _bare(kind)
    return place, content, _branch(kind, content)


def _fails_so(content: object, *, shape: Any, so: str) -> bool:
    """Return whether msgspec refuses the content with these words: it may be wrong elsewhere."""
    try:
        msgspec.convert(content, shape)
    except msgspec.ValidationError as error:
        return str(error) == so
    return False


def _culprit(table: dict[str, Any], fails: Callable[[], bool]) -> str:
    """Return the first key that by itself makes the whole fail; the table keeps that one alone."""
    entries = dict(table)
    for name, value in entries.items():
        table.clear()
        table[name] = value
        if fails():
            return name
    raise AssertionError("msgspec refused a table, but takes each of its entries.")


def _bare(kind: inspect.Type) -> inspect.Type:
    """Return a type without the metadata that does not word a demand."""
    while isinstance(kind, inspect.Metadata) and not (kind.extra or {}).get("must"):
        kind = kind.type
    return kind


def _plain(kind: inspect.Type) -> inspect.Type:
    """Return a type without any metadata."""
    return _plain(kind.type) if isinstance(kind, inspect.Metadata) else kind


def _branch(kind: inspect.Type, found: object) -> inspect.Type:
    """Return the member of a union that a table or a list has to be."""
    if not isinstance(kind, inspect.UnionType):
        return kind
    tables = (*_RECORDS, inspect.DictType)
    lists = (inspect.ListType, inspect.VarTupleType, inspect.TupleType)
    wanted = tables if isinstance(found, dict) else lists if isinstance(found, list) else ()
    return next((part for part in kind.types if isinstance(_plain(part), wanted)), kind)


def _demand(kind: inspect.Type, found: object) -> str:
    """Return what a value must do or be, without the subject."""
    match _bare(kind):
        case inspect.Metadata() as worded:
            return str((worded.extra or {})["must"])
        case inspect.UnionType(types):
            parts = [part for part in types if not isinstance(part, inspect.NoneType)]
            return ", or ".join(_demand(part, found) for part in parts)
        case inspect.FloatType() | inspect.IntType() as number:
            return _number_demand(number, found)
        case inspect.BoolType():
            return "be true or false"
        case inspect.LiteralType(values):
            return _choice(values)
        case inspect.EnumType(cls):
            return _choice([member.value for member in cls])
        case inspect.StructType(fields=fields) | inspect.DataclassType(fields=fields):
            names = [field.encode_name for field in fields if field.required]
            return "be a table" + (f" with {', '.join(names)}" if names else "")
        case inspect.DictType():
            return "be a table"
        case inspect.ListType(min_length=least) | inspect.VarTupleType(min_length=least):
            return "be a list" + (" that is not empty" if least else "")
        case inspect.TupleType(item_types):
            return f"be a list of {len(item_types)}"
        case _:
            return "be a text"


def _choice(values: Iterable[object]) -> str:
    words = [str(value) for value in values]
    return f"be {'one of ' if len(words) > 1 else ''}{', '.join(words)}"


def _number_demand(kind: inspect.FloatType | inspect.IntType, found: object) -> str:
    """Return what a number must be: of the right kind first, then in its range."""
    whole = isinstance(kind, inspect.IntType)
    plain = f"be a {'whole' if whole else 'finite'} number"
    if isinstance(found, bool) or not isinstance(found, int | float):
        return plain
    low, low_end = (kind.ge, "[") if kind.ge is not None else (kind.gt, "(")
    high, high_end = (kind.le, "]") if kind.le is not None else (kind.lt, ")")
    low, high = (None if limit is None or abs(limit) > 1e300 else limit for limit in (low, high))
    if low is high is None or (isinstance(found, float) if whole else not _is_finite(found)):
        return plain
    if low is not None and high is not None:
        return f"lie in {low_end}{_short(low)}, {_short(high)}{high_end}"
    if low is not None:
        return f"be at least {_short(low)}" if low_end == "[" else f"be above {_short(low)}"
    return f"be at most {_short(high)}" if high_end == "]" else f"be below {_short(high)}"


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # a whole number beyond all floats
        return False


def _short(limit: object) -> str:
    return f"{limit:,}" if isinstance(limit, int) else format(limit, "g")


def _shown(found: object) -> str:
    if isinstance(found, int) and abs(found) > 10**_LONGEST_SHOWN:
        return "a number of too many digits"
    text = repr(found)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
