"""JSON as a key server takes it: RFC 8259 without anything that two readers could read in two ways.

Refused beside what is no JSON: members of one name in an object, text after the value, NaN and
Infinity, other encodings than UTF-8, a byte order mark, numbers beyond a double, depth.
"""

import json
import math
from typing import Any, NoReturn

MOST_DEPTH = 16
"""Objects and arrays inside one another at most; the interface itself has four."""


def object_in(body: bytes) -> dict[str, Any]:
    """Return the JSON object in a body; an empty body is an empty object.

    Raises:
        ValueError: The body is something else; the sentence repeats nothing of it.

    Examples:
        >>> object_in(b'{"number": 2}'), object_in(b"")
        ({'number': 2}, {})
        >>> object_in(b'{"number": 2, "number": 3}')
        Traceback (most recent call last):
        ValueError: the body has two members of one name
    """
    if not body:
        return {}
    found = value_in(body)
    if not isinstance(found, dict):
        raise ValueError("the body must be a JSON object")
    return found


def value_in(body: bytes) -> Any:
    """Return the JSON value in a body.

    Raises:
        ValueError: The body is something else; the sentence repeats nothing of it.

    Examples:
        >>> value_in(b"[1, 2]")
        [1, 2]
    """
    try:
        found = _DECODER.decode(body.decode("utf-8"))
    except json.JSONDecodeError:
        raise ValueError("the body is no JSON") from None
    except UnicodeDecodeError:
        raise ValueError("the body is not in UTF-8") from None
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    _check_depth(found)
    return found


_TOO_DEEP = "the body is nested too deeply"


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("the body has two members of one name")
    return found


def _no_constant(_: str) -> NoReturn:
    raise ValueError("the body is no JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("the body has a number that is too large")
    return number


def _whole(digits: str) -> int | float:
    # Python refuses whole numbers of thousands of digits, in words of its own.
    return int(digits) if len(digits) <= 300 else _finite(digits)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_members, parse_constant=_no_constant, parse_float=_finite, parse_int=_whole
)


def _check_depth(content: Any) -> None:
    level, depth = [content] if isinstance(content, dict | list) else [], 0
    while level:
        depth += 1
        if depth > MOST_DEPTH:
            raise ValueError(_TOO_DEEP)
        level = [
            child
            for value in level
            for child in (value.values() if isinstance(value, dict) else value)
            if isinstance(child, dict | list)
        ]
