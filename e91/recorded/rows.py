"""Rows of whole numbers in text files, read a piece at a time, and what is wrong with a row."""

import gzip
import io
import re
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from e91.recorded.tables import check_growth
from e91.system.compiled import compiled_code_may_run
from e91.system.durable import open_regular
from e91.system.processes import cores, in_order

GZIP = b"\x1f\x8b"
SEPARATORS = (",", ";", "\t")
"""Between two entries, the usual one first."""

LONGEST_LINE = 2**20

PIECE_BYTES = 2**24
_LONGEST_ENTRY = 40
_DAMAGED_GZIP = (gzip.BadGzipFile, EOFError, zlib.error)
_WHOLE = re.compile(r"[+-]?\d+(\.0*)?")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class RowShape:
    """How the rows of a text look.

    Attributes:
        separator: What stands between two entries; a blank stands for any number of blanks.
        names: Of all columns.
        wanted: Which of them are read, by place.
        comment: What begins a line to pass over; "" for nothing.
    """

    separator: str
    names: tuple[str, ...]
    wanted: tuple[int, ...]
    comment: str = ""


def is_text(head: bytes) -> bool:
    """Return whether bytes are lines of printable characters."""
    return not any(byte < 9 or 13 < byte < 32 or byte == 127 for byte in head)


@contextmanager
def text_bytes(file: Path) -> Iterator[BinaryIO]:
    """Open a text file, which may be compressed with gzip.

    Raises:
        ValueError: It does not exist, may not be read, is no regular file, or its compression is
            damaged.
    """
    with io.BufferedReader(open_regular(file, kind="a readable file")) as raw:
        is_compressed = raw.read(2) == GZIP
        raw.seek(0)
        try:
            if is_compressed:
                with gzip.GzipFile(fileobj=raw) as content:
                    yield io.BufferedReader(content)
            else:
                yield raw
        except _DAMAGED_GZIP:
            raise ValueError(f"`{file}` must be a whole gzip file, but is damaged.") from None


def read_rows(opened: BinaryIO, file: Path, shape: RowShape, *, line: int) -> Iterator[Rows]:
    """Yield the wanted columns of the rows from where a file stands to its end.

    Args:
        opened: Stands at the beginning of a line.
        file: Its name, for sentences.
        shape: How its rows look.
        line: Number of that line, counted from 1.

    Yields:
        Some rows; int64, shape (n, number of wanted columns).

    Raises:
        ValueError: A row is not as it must be, or is longer than a megabyte.
    """
    threads = cores()
    work = partial(_parsed, file=file, shape=shape)
    with ThreadPoolExecutor(threads, thread_name_prefix="e91-rows") as pool:
        yield from in_order(pool, work, _whole_lines(opened, file, line=line), ahead=threads)


def _whole_lines(opened: BinaryIO, file: Path, *, line: int) -> Iterator[tuple[int, bytes]]:
    """Yield pieces of a file, of whole lines, with the number of the first line of each."""
    rest, size = b"", 0
    while True:
        content = opened.read(PIECE_BYTES)
        size += len(content)
        check_growth(size, file)
        text = rest + content if content else rest + (b"\n" if rest else b"")
        end = text.rfind(b"\n") + 1
        text, rest = text[:end], text[end:]
        if len(rest) > LONGEST_LINE:
            raise ValueError(f"The lines of `{file}` must have at most {LONGEST_LINE:,} bytes.")
        if text:
            yield line, text
            line += text.count(b"\n")
        if not content:
            return


def _parsed(piece: tuple[int, bytes], *, file: Path, shape: RowShape) -> Rows:
    """Return the rows of whole lines; the piece has the number of the first one."""
    from e91.recorded.row_kernels import parse_rows

    line, text = piece
    slots = np.full(len(shape.names), -1, np.int64)
    slots[list(shape.wanted)] = np.arange(len(shape.wanted))
    rows = np.empty((text.count(b"\n"), len(shape.wanted)), np.int64)
    found, place = parse_rows(
        # Where nothing is compiled, bytes are read faster than an array.
        np.frombuffer(text, np.uint8) if compiled_code_may_run() else text,  # type: ignore[arg-type]
        0,
        ord(shape.separator),
        ord(shape.comment) if shape.comment else 0,
        slots,
        rows,
    )
    if place < len(text):
        number = line + text.count(b"\n", 0, place)
        bad = text[place : text.index(b"\n", place)]
        raise ValueError(
            f"Line {number:,} of `{file}`, the first one being line 1, {_fault(bad, shape)}."
        )
    return rows[:found]


def _fault(line: bytes, shape: RowShape) -> str:
    """Return what is wrong with a row, to end a sentence with."""
    text = line.decode("utf-8", "replace")
    entries = text.split() if shape.separator == " " else text.split(shape.separator)
    if len(entries) != len(shape.names):
        cure = ""
        if '"' in text:
            cure = ": remove the column in quotes that holds the separator"
        return f"must hold {len(shape.names)} entries, but holds {len(entries)}{cure}"
    for place in shape.wanted:
        fault = _entry_fault(entries[place].strip(" \t\r"))
        if fault:
            return f"must hold a whole number as `{shape.names[place]}`, but {fault}"
    return "must hold whole numbers, but does not"


def _entry_fault(entry: str) -> str:
    """Return what is wrong with an entry, or nothing."""
    shown = entry if len(entry) <= _LONGEST_ENTRY else entry[:_LONGEST_ENTRY] + "..."
    if not entry:
        return "is empty there: write 2 as the outcome for no click, and leave out what is no tag"
    if _WHOLE.fullmatch(entry):
        whole = entry.partition(".")[0]
        if len(whole) <= _LONGEST_ENTRY and -(2**63) <= int(whole) < 2**63:
            return ""
        return (
            f"holds {shown}, which does not fit in 64 bits: picoseconds since 1970 do not, so "
            "subtract the measurement's start from all times of both parties"
        )
    if _NUMBER.fullmatch(entry):
        return f"holds {shown}: write all digits, and choose a unit in which every time is whole"
    return f"holds `{shown}`"
