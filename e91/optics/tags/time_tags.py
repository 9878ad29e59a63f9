"""Time tags: what a tagger writes down, one count of its clock and one channel for each click.

Channel of a tag = 2 * setting + outcome, in files and arrays alike.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from e91.model.bits import Bits
from e91.model.numbers import check_positive
from e91.optics.tags.laboratories import PICOSECOND_S

_CHANNELS = 256
_PART = 2**20


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
            f"Time tags must be sorted, but tag {first + late[0] + 1} is earlier than the one "
            "before it."
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
