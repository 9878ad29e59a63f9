"""Text of two columns, or one: a tagger's export, whatever its columns are called."""

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from e91.recorded.rows import LONGEST_LINE, SEPARATORS, RowShape, read_rows, text_bytes
from e91.recorded.taggers.durations import duration_in_name
from e91.recorded.taggers.raw_tags import (
    HIGHEST_CHANNEL,
    LOWEST_CHANNEL,
    Channels,
    RawTags,
    TagStream,
)
from e91.system.documents import did_you_mean

_COMMENTS = "#%"
_CHANNEL = re.compile(r"chan|detector|\bch\b|\binput\b", re.IGNORECASE)
_TIME = re.compile(r"time|\bt\b|tag", re.IGNORECASE)
_NUMBERS = re.compile(r"[\s\d+\-.eE;,]*")
_MOST_HEADER_LINES = 1000


def open_text(
    file: Path,
    *,
    unit_s: Fraction | None,
    time_column: str | None = None,
    channel_column: str | None = None,
) -> TagStream:
    """Open a text of times and channels, or of one channel's times.

    Separators are commas, semicolons, tabs or blanks; lines that begin with # or % are passed
    over.  The columns are found by their names, in the line above the numbers, which may be a
    comment; without names the time comes first.

    Args:
        file: UTF-8 text, perhaps compressed with gzip.
        unit_s: Length of a count; None if the name of the column of times states it.
        time_column: Name of the column of times, if it cannot be found.
        channel_column: The same of the channels.

    Raises:
        ValueError: A column is not found, the unit is not known, a row is damaged.
        OSError: It cannot be read.
    """
    lines, number = _beginning(file)
    if not number:
        raise ValueError(f"`{file}` must hold rows of whole numbers, but holds none.")
    separator, names = _names(lines, file)
    time = _found(names, time_column, _TIME, default=0, file=file)
    width = len(names)
    wanted: tuple[int, ...] = (time,)
    if width > 1:
        channel = _found(names, channel_column, _CHANNEL, default=1, file=file)
        if channel == time:
            raise ValueError(f"`{file}` must have a column for channels beside `{names[time]}`.")
        wanted = (time, channel)
    unit_s = duration_in_name(names[time]) if unit_s is None else unit_s
    if unit_s is None:
        raise ValueError(
            f"`unit` must be given with `{file}`, such as 1ps or 81ps, as its column of times, "
            f"`{names[time]}`, states none."
        )
    shape = RowShape(separator, names, wanted, comment="#")
    return TagStream("text", unit_s, _pieces(file, shape, line=number))


def _beginning(file: Path) -> tuple[list[str], int]:
    """Return the lines up to the first row, and that row's number from 1; 0 if there is none."""
    lines: list[str] = []
    with text_bytes(file) as opened:
        for number in range(1, _MOST_HEADER_LINES):
            raw = opened.readline(LONGEST_LINE)
            if not raw:
                break
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip("\r\n")
            except UnicodeDecodeError:
                raise ValueError(f"`{file}` must be UTF-8 text, but is not.") from None
            if not line.strip():
                continue
            is_comment = line.lstrip()[0] in _COMMENTS
            lines.append(line)
            if not is_comment and (_NUMBERS.fullmatch(line) or _has_names(lines[:-1])):
                return lines, number
    return lines, 0


def _has_names(lines: list[str]) -> bool:
    return any(line.lstrip()[0] not in _COMMENTS for line in lines)


def _names(lines: list[str], file: Path) -> tuple[str, tuple[str, ...]]:
    """Return what separates the columns, and their names: of the line above the numbers."""
    numbers = lines[-1].strip()
    separator = next((mark for mark in SEPARATORS if mark in numbers), " ")
    width = len(numbers.split() if separator == " " else numbers.split(separator))
    if len(lines) > 1:
        above = lines[-2].strip().lstrip(_COMMENTS)
        parts = above.split() if separator == " " else above.split(separator)
        names = tuple(part.strip().strip('"') for part in parts)
        if len(names) == width and len(set(names)) == width:
            return separator, names
        if lines[-2].lstrip()[0] not in _COMMENTS:
            raise ValueError(
                f"`{file}` must name each of its {width} columns once above the first row, but has "
                f"`{above[:60]}` there."
            )
    return separator, tuple(f"column {place + 1}" for place in range(width))


def _found(
    names: tuple[str, ...],
    asked: str | None,
    pattern: re.Pattern[str],
    *,
    default: int,
    file: Path,
) -> int:
    """Return the place of a column."""
    if asked is not None:
        if asked not in names:
            near = did_you_mean(asked, names)
            raise ValueError(
                f"`{file}` must have the column `{asked}`, but has {_listed(names)}{near}."
            )
        return names.index(asked)
    if names[0] == "column 1":
        return default
    matching = [place for place, name in enumerate(names) if pattern.search(name)]
    if len(matching) != 1:
        what = "times" if default == 0 else "channels"
        raise ValueError(
            f"`{file}` must have one column of {what}, but which of {_listed(names)} it is must be "
            "said: `--columns time=NAME,channel=NAME`."
        )
    return matching[0]


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name[:40]}`" for name in names[:8])


def _pieces(file: Path, shape: RowShape, *, line: int) -> Iterator[RawTags]:
    with text_bytes(file) as opened:
        for _ in range(line - 1):
            opened.readline(LONGEST_LINE)
        for rows in read_rows(opened, file, shape, line=line):
            times = np.ascontiguousarray(rows[:, 0])
            if len(shape.wanted) == 1:
                yield RawTags(times, np.ones(len(rows), np.int16))
                continue
            yield RawTags(times, as_channels(rows[:, 1], file))


def as_channels(numbers: NDArray[np.integer[Any]], file: Path) -> Channels:
    """Return numbers of channels in their type.

    Raises:
        ValueError: One does not fit: the column holds something else.
    """
    if len(numbers) and not (numbers.min() > LOWEST_CHANNEL and numbers.max() <= HIGHEST_CHANNEL):
        raise ValueError(
            f"Channels in `{file}` must lie in [{LOWEST_CHANNEL + 1}, {HIGHEST_CHANNEL}], but span "
            f"[{numbers.min()}, {numbers.max()}]: which column holds them is said by `--columns "
            "time=NAME,channel=NAME`."
        )
    return numbers.astype(np.int16)
