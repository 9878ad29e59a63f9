"""Tags in order of time, from a file that may hold some of them late or twice."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from e91.model.bits import Bits
from e91.recorded.taggers.raw_tags import Counts

Tags = tuple[Counts, Bits]


def _nothing() -> Tags:
    return np.empty(0, np.int64), np.empty(0, np.uint8)


@dataclass(eq=False)
class Ordering:
    """Puts tags in order that are late by less than a piece; it remembers the last piece.

    Attributes:
        held: Tags that later ones may still precede, in order.
        last: Latest time that was handed out; None before the first.
        repeated: Tags that were left out, as their channel has one at the same time.
        is_beaten: Whether a tag came too late to be put in its place.
    """

    held: Tags = field(default_factory=_nothing)
    last: int | None = None
    repeated: int = 0
    is_beaten: bool = False

    def push(self, times: Counts, channels: Bits) -> Tags:
        """Take tags in; return tags that are in order, after all that were returned before."""
        if not len(times):
            return _nothing()
        before, length = self.held, len(self.held[0])
        if not np.any(times[1:] <= times[:-1]) and (not length or before[0][-1] < times[0]):
            self.held = times, channels
            return self._handed(before)
        joined = np.concatenate([before[0], times]), np.concatenate([before[1], channels])
        sorted_times, sorted_channels, repeated = in_order_of_time(*joined)
        self.repeated += repeated
        cut = min(length, len(sorted_times) - 1)
        cut = int(np.searchsorted(sorted_times, sorted_times[cut]))  # ties stay together
        self.held = sorted_times[cut:], sorted_channels[cut:]
        return self._handed((sorted_times[:cut], sorted_channels[:cut]))

    def flush(self) -> Tags:
        """Return what is left."""
        rest, self.held = self.held, _nothing()
        return self._handed(rest)

    def _handed(self, tags: Tags) -> Tags:
        if len(tags[0]):
            if self.last is not None and tags[0][0] <= self.last:
                self.is_beaten = True
            self.last = int(tags[0][-1])
        return tags


def in_order_of_time(times: Counts, channels: Bits) -> tuple[Counts, Bits, int]:
    """Return tags in order of time and channel, each once, and how many were left out.

    Examples:
        >>> times, channels = np.array([5, 3, 5, 5]), np.array([1, 0, 0, 1], np.uint8)
        >>> ordered = in_order_of_time(times, channels)
        >>> ordered[0].tolist(), ordered[1].tolist(), ordered[2]
        ([3, 5, 5], [0, 0, 1], 1)
    """
    if np.any(times[1:] < times[:-1]):
        order: NDArray[np.intp] = np.argsort(times, kind="stable")
        times, channels = times[order], channels[order]
    ties = np.flatnonzero(times[1:] == times[:-1])
    if not len(ties):
        return times, channels, 0
    # Only tags of one time are looked at: there are few.
    among = np.union1d(ties, ties + 1)
    order = np.lexsort((channels[among], times[among]))
    channels = channels.copy()
    channels[among] = channels[among][order]
    same = ties[channels[ties] == channels[ties + 1]]
    if not len(same):
        return times, channels, 0
    keep = np.ones(len(times), np.bool_)
    keep[same + 1] = False
    return times[keep], channels[keep], len(same)
