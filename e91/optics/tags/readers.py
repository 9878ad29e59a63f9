"""Time tags in memory or in files, read a piece at a time and counted in seconds."""

import bisect
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from e91.model.bits import Bits

Seconds = NDArray[np.float64]


class TagReader(Protocol):
    """Time tags in memory or in a file, read a piece at a time."""

    @property
    def resolution_s(self) -> float:
        """Length of one count of its clock."""

    def __len__(self) -> int: ...

    def read(self, start: int, stop: int) -> tuple[NDArray[np.int64], Bits]:
        """Return times (int64, not descending) and channels (uint8) of some tags."""


@dataclass(frozen=True, eq=False)
class Side:
    """A reader with its beginning: seconds are counted from its first tag.

    Attributes:
        tags: The reader.
        first: Count of its first tag.
        last: Count of its last.
    """

    tags: TagReader
    first: int
    last: int

    @property
    def duration_s(self) -> float:
        """From its first tag to its last."""
        return (self.last - self.first) * self.tags.resolution_s

    def seconds(self, start: int, stop: int) -> Seconds:
        """Return the times of tags, seconds from the first."""
        times = self.tags.read(start, stop)[0]
        seconds: Seconds = (times - self.first) * np.float64(self.tags.resolution_s)
        return seconds

    def place(self, time_s: float) -> int:
        """Return the place of the first tag at or after a time."""
        count = self.first + math.ceil(time_s / self.tags.resolution_s)
        return self.place_of_count(count)

    def place_of_count(self, count: int) -> int:
        """Return the place of the first tag at or after a count."""
        return bisect.bisect_left(
            range(len(self.tags)), count, key=lambda k: int(self.tags.read(k, k + 1)[0][0])
        )


def side_of(tags: TagReader) -> Side:
    """Return a reader with its beginning.

    Raises:
        ValueError: There are no tags.
    """
    if not len(tags):
        raise ValueError("A list of time tags must hold at least one tag, but is empty.")
    size = len(tags)
    return Side(tags, int(tags.read(0, 1)[0][0]), int(tags.read(size - 1, size)[0][0]))


def beginnings_gap_s(alice: Side, bob: Side) -> float:
    """Return Bob's first reading less Alice's, as their clocks show them; seconds."""
    return float(
        bob.first * Fraction(bob.tags.resolution_s)
        - alice.first * Fraction(alice.tags.resolution_s)
    )
