"""What a time tagger's file holds: counts and channels as written, a piece at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from e91.system.durable import open_regular

PIECE = 2**19
"""Records of a file that are read at once."""

PICOSECOND = Fraction(1, 10**12)

Counts = NDArray[np.int64]
Channels = NDArray[np.int16]
Records = NDArray[Any]

LOWEST_CHANNEL, HIGHEST_CHANNEL = -(2**15), 2**15 - 1


@dataclass(frozen=True, eq=False)
class RawTags:
    """Some tags of a file, in its order.

    Attributes:
        times: Counts of the tagger's clock; int64, shape (n,).
        channels: Numbers of the inputs as the maker counts them; int16, shape (n,).
        dummies: Records that stand for no photon and were left out.
        gaps: Places at which the tagger says that it lost tags.
    """

    times: Counts
    channels: Channels
    dummies: int = 0
    gaps: int = 0


@dataclass(frozen=True, eq=False)
class TagStream:
    """A tagger's file, opened.

    Attributes:
        layout: What it is, in words.
        unit_s: Length of one count, exact.
        pieces: Its tags; they can be read once.
        counts_from_zero: Whether the maker counts inputs from 0: then a channel can be
            2 * setting + outcome as it is.
    """

    layout: str
    unit_s: Fraction
    pieces: Iterator[RawTags]
    counts_from_zero: bool = False


def open_file(file: Path) -> BufferedReader:
    """Return an existing regular file, opened.

    Raises:
        ValueError: It does not exist, may not be read, or is a folder, pipe or device.
    """
    return BufferedReader(open_regular(file, kind="a readable file"))


def beginning(file: Path, size: int) -> bytes:
    """Return the first bytes of a file, fewer if it is shorter.

    Raises:
        ValueError: As `open_file`.
    """
    with open_file(file) as opened:
        return opened.read(size)


def count_records(file: Path, *, start: int, size: int) -> int:
    """Return how many records of one size a file holds from ``start`` on.

    Raises:
        ValueError: It ends inside a record.
    """
    held = file.stat().st_size - start
    if held % size:
        raise ValueError(
            f"`{file}` must hold whole records of {size} bytes, but {held % size} bytes are left "
            f"over: it is cut off, or has another layout."
        )
    return held // size


def read_records(file: Path, dtype: np.dtype[Any], *, start: int = 0) -> Iterator[Records]:
    """Yield the records of a file from the byte ``start`` on, a piece at a time."""
    with open_file(file) as opened:
        opened.seek(start)
        while True:
            content = opened.read(PIECE * dtype.itemsize)
            whole = len(content) // dtype.itemsize
            if not whole:
                return
            yield np.frombuffer(content, dtype, whole)
