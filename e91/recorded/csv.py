"""Tables as text: a comment line of metadata, a line of names, a line for each row."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from e91.recorded.tables import (
    TAG_COLUMNS,
    Column,
    Table,
    ordered,
    parsed_metadata,
    wanted_columns,
)

MARK = "# e91 "
"""Begins the line of metadata; other lines with ``#`` before the names are skipped."""

_LONGEST_LINE = 2**20
_LONGEST_DETAIL = 120


def write_csv(file: IO[bytes], columns: Mapping[str, Column], metadata: Mapping[str, Any]) -> None:
    """Write a table as text."""
    names = ordered(columns)
    file.write(f"{MARK}{json.dumps(dict(metadata), sort_keys=True)}\n".encode())
    file.write((",".join(names) + "\n").encode())
    if names == TAG_COLUMNS:
        rows = np.column_stack([np.asarray(columns[name], np.int64) for name in names])
        np.savetxt(file, rows, fmt="%d", delimiter=",")
        return
    # There are few different rows: each is made into text once.
    packed = np.zeros(len(columns[names[0]]), np.uint32)
    for name in names:
        packed = packed << np.uint32(8) | columns[name].astype(np.uint32)
    kinds, which = np.unique(packed, return_inverse=True)
    lines = np.array(
        [f"{k >> 24},{k >> 16 & 255},{k >> 8 & 255},{k & 255}\n" for k in kinds.tolist()], object
    )
    file.write("".join(lines[which]).encode())


def read_csv(file: Path, *, most_rows: int) -> Table:
    """Return the table of a text file.

    Raises:
        ValueError: Names are missing, a line has another number of entries, an entry is no whole
            number, or there are more than ``most_rows`` rows.
        OSError: It cannot be read.
    """
    try:
        with file.open(encoding="utf-8-sig") as text:
            metadata, line = {}, text.readline(_LONGEST_LINE)
            while line.startswith("#"):
                if line.startswith(MARK):
                    metadata = parsed_metadata(line[len(MARK) :], file)
                line = text.readline(_LONGEST_LINE)
            names = [name.strip().strip('"') for name in line.strip().split(",")]
            wanted = wanted_columns(set(names), file)
            _check_once(wanted, names, file)
            places = [names.index(name) for name in wanted]
            rows = _rows(text, file, places=places, width=len(names), most_rows=most_rows)
    except UnicodeDecodeError:
        raise ValueError(f"`{file}` must be UTF-8 text, but is not.") from None
    return Table({name: rows[:, k] for k, name in enumerate(wanted)}, metadata)


def _check_once(wanted: tuple[str, ...], names: list[str], file: Path) -> None:
    for name in wanted:
        if names.count(name) > 1:
            raise ValueError(
                f"`{file}` must name its column `{name}` once, but names it "
                f"{names.count(name)} times."
            )


def _rows(text: IO[str], file: Path, *, places: list[int], width: int, most_rows: int) -> Column:
    """Return the wanted columns of the rows below the names; int64, shape (n, len(places))."""
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # an empty table is refused elsewhere
            rows = np.loadtxt(
                text if width == len(places) else _whole_lines(text, width),
                np.int64,
                comments=None,
                delimiter=",",
                ndmin=2,
                usecols=None if width == len(places) else places,
                max_rows=most_rows + 1,
            )
    except (ValueError, OverflowError) as error:
        detail = str(error).split("\n")[0].rstrip(".")[:_LONGEST_DETAIL]
        raise _bad_row(file, len(places), width, f"one does not ({detail})") from None
    if not rows.size:
        return rows.reshape(0, len(places))
    if width == len(places):
        if rows.shape[1] != width:
            raise _bad_row(file, width, width, f"the rows hold {rows.shape[1]}")
        rows = rows[:, places]
    if len(rows) > most_rows:
        raise ValueError(f"`{file}` must have at most {most_rows:,} rows, but has more.")
    return rows


def _bad_row(file: Path, wanted: int, width: int, found: str) -> ValueError:
    others = f" among its {width} entries" if width > wanted else ""
    return ValueError(
        f"Every row of `{file}` must hold {wanted} whole numbers{others}, but {found}."
    )


def _whole_lines(text: IO[str], width: int) -> Iterator[str]:
    """Yield the lines, each checked for its number of entries.

    `numpy.loadtxt` would take no notice of entries that follow the last wanted one.

    Raises:
        ValueError: A line has another number of entries.
    """
    for number, line in enumerate(text):
        found = line.count(",") + 1
        if found != width and line.strip():
            raise ValueError(f"{found:,} entries at row {number}")
        yield line
