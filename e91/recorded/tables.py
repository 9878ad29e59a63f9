"""A table of whole numbers with metadata, its content hash, and which columns it must have."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from e91.system.documents import parse_json

Column = NDArray[np.integer[Any]]

DETECTION_COLUMNS = ("alice_setting", "alice_outcome", "bob_setting", "bob_outcome")
"""One row for each round: setting indices, and outcomes 0, 1 or 2 (no click)."""

TAG_COLUMNS = ("time_ps", "channel")
"""One row for each tag: picoseconds of the party's clock, and 2 * setting + outcome."""

TYPES = {**dict.fromkeys(DETECTION_COLUMNS, "|u1"), "time_ps": "<i8", "channel": "|u1"}
"""The type of each column in the content hash, and in files that this package writes."""

_RANGES = {
    "alice_setting": (0, 254),
    "alice_outcome": (0, 2),
    "bob_setting": (0, 254),
    "bob_outcome": (0, 2),
    "time_ps": (-(2**63), 2**63 - 1),
    "channel": (0, 255),
}

HASH_NAME = "sha256"

KINDS = ("detections", "time tags")
"""What ``kind`` is in the metadata of files that this package writes."""

VERSION = 1

ALWAYS_TAKEN = 2**26
"""Bytes of a table that a compressed file may always grow to, however small it is."""

MOST_GROWTH = 100
"""How many times its own size a compressed file may grow to beyond that; outcomes allow a tenth."""

_BYTES_AT_ONCE = 2**24
_WHOLE_FLOATS = 2**53


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of one length, with what is known about them.

    Attributes:
        columns: Whole numbers by name; shape (n,) each.
        metadata: Plain JSON values, e.g. ``run_id``, ``settings``; ``sha256`` if it was stored.
    """

    columns: Mapping[str, Column]
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))


def content_hash(columns: Mapping[str, Column], metadata: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a table's content, the same for every file format.

    Hashed are a line of JSON with the metadata (keys sorted, no spaces, without ``sha256``), and
    for each column in its documented order a line ``name type length`` and its bytes,
    little-endian.  It finds damage and mix-ups; it proves no origin, as whoever changes the data
    can change the hash.

    Args:
        columns: All of the columns of a record of detections, or of a list of tags, in range.
        metadata: Plain JSON values.

    Returns:
        64 hexadecimal digits.

    Examples:
        >>> column = np.array([1, 2])
        >>> content_hash({"time_ps": column, "channel": column}, {})[:8]
        '4ac3e487'
    """
    digest = hashlib.sha256(hash_header(metadata))
    for name in ordered(columns):
        digest.update(column_header(name, len(columns[name])))
        for part in parts(columns[name]):
            digest.update(np.ascontiguousarray(part, TYPES[name]).data)
    return digest.hexdigest()


def hash_header(metadata: Mapping[str, Any]) -> bytes:
    """Return the first line that is hashed."""
    plain = {name: value for name, value in metadata.items() if name != HASH_NAME}
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return f"e91 {VERSION} {text}\n".encode()


def column_header(name: str, length: int) -> bytes:
    """Return the line that is hashed before a column."""
    return f"{name} {TYPES[name]} {length}\n".encode()


def parts(column: Column) -> Iterator[Column]:
    """Yield a column in pieces that fit in a cache."""
    size = _BYTES_AT_ONCE // 8
    for start in range(0, len(column), size):
        yield column[start : start + size]


def ordered(columns: Mapping[str, Column]) -> tuple[str, ...]:
    """Return the names of a table's columns in their documented order."""
    return tuple(name for name in TYPES if name in columns)


def wanted_columns(names: set[str], file: Path, renamed: Mapping[str, str]) -> dict[str, str]:
    """Return which documented set of columns a file has: documented names to the file's.

    Args:
        names: Of the file's columns.
        file: For the sentence.
        renamed: Documented names of columns, to those of the file where these differ.

    Raises:
        ValueError: It has neither, or both.
    """
    for name in renamed.values():
        if name not in names:
            found = ", ".join(f"`{name}`" for name in sorted(names)[:8]) or "none"
            raise ValueError(f"`{file}` must have the column `{name}`, but has {found}.")
    called = {name: renamed.get(name, name) for name in TYPES}
    kinds = [
        kind
        for kind in (DETECTION_COLUMNS, TAG_COLUMNS)
        if {called[name] for name in kind} <= names
    ]
    if len(kinds) == 1:
        return {name: called[name] for name in kinds[0]}
    found = ", ".join(f"`{name}`" for name in sorted(names)[:8]) or "none"
    raise ValueError(
        f"`{file}` must have the columns {' '.join(DETECTION_COLUMNS)}, or {' '.join(TAG_COLUMNS)},"
        f" but has {found if not kinds else 'both'}."
    )


def whole(name: str, column: NDArray[Any], file: Path) -> Column:
    """Return a column of whole numbers, of floating point ones too if they are whole.

    Raises:
        ValueError: It holds others.
    """
    if column.dtype.kind != "f" or column.ndim != 1:
        return column
    numbers = np.empty(len(column), np.int64)
    for start in range(0, len(column), _BYTES_AT_ONCE // 8):
        part = column[start : start + _BYTES_AT_ONCE // 8]
        if not np.all((np.abs(part) < _WHOLE_FLOATS) & (np.rint(part) == part)):
            raise ValueError(
                f"`{name}` in `{file}` must hold whole numbers, floating point ones below 2^53, "
                "but holds others: write 2 as the outcome for no click."
            )
        numbers[start : start + len(part)] = part
    return numbers


def from_signs(name: str, column: Column, file: Path) -> Column:
    """Return outcomes 0, 1 and 2 from the signs +1, -1 and 0; other columns as they are.

    Raises:
        ValueError: An outcome is no sign.
    """
    if not name.endswith("outcome"):
        return column
    if not np.isin(column, (-1, 0, 1)).all():
        raise ValueError(
            f"`{name}` in `{file}` must hold +1, -1, and 0 for no click, but spans "
            f"[{column.min()}, {column.max()}]."
        )
    return np.array([2, 0, 1], np.uint8)[column]


def in_range(name: str, column: Column, file: Path) -> Column:
    """Return a column as its documented type, checked before the cast.

    Raises:
        ValueError: It holds no whole numbers, is not one-dimensional, or leaves the range.
    """
    if column.ndim != 1 or not (
        np.issubdtype(column.dtype, np.integer) or column.dtype == np.bool_
    ):
        raise ValueError(
            f"`{name}` in `{file}` must hold whole numbers, one a row, but is {column.dtype} of "
            f"shape {column.shape}."
        )
    bottom, top = _RANGES[name]
    for part in parts(column):
        if len(part) and not (bottom <= int(part.min()) and int(part.max()) <= top):
            raise ValueError(
                f"`{name}` in `{file}` must lie in [{bottom}, {top}], but spans "
                f"[{column.min()}, {column.max()}]{_cure(name, column)}."
            )
    return column.astype(TYPES[name], copy=False)


def _cure(name: str, column: Column) -> str:
    if name.endswith("outcome") and column.min() == -1 and column.max() == 1:
        return ": write +1 as 0 and -1 as 1, or say `--plus-minus-one`"
    return ""


def check_growth(size: int, file: Path) -> None:
    """Refuse a small file that asks for much memory.

    Raises:
        ValueError: Its compressed columns take more than the two limits above allow.
    """
    most = max(ALWAYS_TAKEN, MOST_GROWTH * file.stat().st_size)
    if size > most:
        raise ValueError(
            f"`{file}` must hold at most {MOST_GROWTH} times its own size, {most:,} bytes, but its "
            f"columns take {size:,}: save it without compression."
        )


def parsed_metadata(text: str | bytes, file: Path) -> dict[str, Any]:
    """Return the metadata of a file.

    Raises:
        ValueError: It is no JSON object, or is nested too deeply.
    """
    return parse_json(text, dict[str, Any], where=f"metadata of {file}")


def check_hash(metadata: Mapping[str, Any], computed: str, file: Path) -> None:
    """Compare a content hash with the stored one, if there is one.

    Raises:
        ValueError: They differ; or there is none, but the file was written here, which stores one.
    """
    stored = metadata.get(HASH_NAME)
    if stored is None and metadata.get("kind") in KINDS:
        raise ValueError(
            f"The metadata of `{file}` must state a `{HASH_NAME}`, as they have a `kind`, but "
            "state none: the file is damaged or was changed."
        )
    if stored is not None and stored != computed:
        raise ValueError(
            f"The content of `{file}` must have the hash that it states, {str(stored)[:16]}..., "
            f"but has {computed[:16]}...: the file is damaged or was changed."
        )
