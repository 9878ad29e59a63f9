"""Time tags: what a tagger writes down, one count of its clock and one channel for each click.

In memory or in files, they are read a piece at a time and counted in seconds.

Channel of a tag = 2 * setting + outcome, in files and arrays alike.
"""

import bisect
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from e91.model.bits import Bits
from e91.model.numbers import check_positive
from e91.optics.tags.laboratories import PICOSECOND_S

_CHANNELS = 256
_PART = 2**20

Seconds = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TimeTags:
    """What one time tagger wrote down.

    Attributes:
        times: Counts of the tagger's clock, not descending; int64, shape (n,), read-only.
        channels: 2 * setting + outcome; uint8, shape (n,), read-only.
        resolution_s: Length of one count.

    Raises:
        ValueError: The shapes or types differ from these, times descend, one channel has two tags
            at one time, or the resolution is not positive.

    Examples:
        >>> tags = TimeTags(np.array([5, 9]), np.array([0, 3], np.uint8))
        >>> len(tags), tags.duration_s
        (2, 4e-12)
    """

    times: NDArray[np.int64]
    channels: Bits
    resolution_s: float = PICOSECOND_S

    def __post_init__(self) -> None:
        check_positive(resolution_s=self.resolution_s)
        for name, dtype in (("times", np.int64), ("channels", np.uint8)):
            array = np.asarray(getattr(self, name))
            if array.ndim != 1 or array.dtype != dtype:
                raise ValueError(
                    f"`{name}` must be {np.dtype(dtype)} of shape (n,), but is {array.dtype} of "
                    f"shape {array.shape}."
                )
            view = array.view()
            view.flags.writeable = False
            object.__setattr__(self, name, view)
        if len(self.times) != len(self.channels):
            raise ValueError(
                f"`channels` must have the length of `times`, {len(self.times)}, but has "
                f"{len(self.channels)}."
            )
        check_order(self.times, self.channels)

    def __len__(self) -> int:
        return len(self.times)

    def __repr__(self) -> str:
        return f"TimeTags({len(self)} tags in {self.duration_s:g} s)"

    @property
    def duration_s(self) -> float:
        """Time from the first tag to the last; 0 without tags."""
        return float(self.times[-1] - self.times[0]) * self.resolution_s if len(self) else 0.0

    def read(self, start: int, stop: int) -> tuple[NDArray[np.int64], Bits]:
        """Return times and channels of tags ``start`` to ``stop``, as from a file of tags."""
        return self.times[start:stop], self.channels[start:stop]


def check_order(times: NDArray[np.int64], channels: Bits) -> None:
    """Refuse tags that no tagger writes.

    Raises:
        ValueError: Times descend, or one channel has two tags at one time.
    """
    ties = [
        start + ties_of(times[start : start + _PART + 1], first=start)
        for start in range(0, len(times), _PART)
    ]
    check_ties(np.concatenate([np.empty(0, np.int64), *ties]), times, channels)


def ties_of(times: NDArray[np.int64], *, first: int) -> NDArray[np.int64]:
    """Return the places of tags that are as late as the next one.

    Args:
        times: Counts; int64.
        first: Number of the first of them, for the sentence.

    Raises:
        ValueError: Times descend.
    """
    step = times[1:] <= times[:-1]
    ties = np.flatnonzero(step)
    late = ties[times[ties + 1] < times[ties]]
    if len(late):
        raise ValueError(
            f"Time tags must be sorted, but tag {first + late[0] + 2}, the first one being tag 1, "
            "is earlier than the one before it."
        )
    return ties


def check_ties(ties: NDArray[np.int64], times: NDArray[np.int64], channels: Bits) -> None:
    """Refuse two tags of one channel at one time.

    Args:
        ties: Places of tags that are as late as the next one, ascending.
        times: All counts, ascending.
        channels: All channels.

    Raises:
        ValueError: There are such tags.
    """
    for step in range(1, _CHANNELS):
        if not len(ties):
            return
        if np.any(channels[ties] == channels[ties + step]):
            break
        ties = ties[ties + step + 1 < len(times)]
        ties = ties[times[ties] == times[ties + step + 1]]
    if len(ties):
        raise ValueError("Time tags must not overlap, but one channel has two tags at one time.")


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
