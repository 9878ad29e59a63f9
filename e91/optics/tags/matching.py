"""Coincidences between two aligned lists of times."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from e91.optics.tags import tag_kernels
from e91.system.compiled import compiled_code_may_run

Seconds = NDArray[np.float64]
Places = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Matches:
    """Coincidences: which tags of both sides belong to each, in order of time.

    Attributes:
        alice_first: Alice's first tag in each; int64, shape (k,).
        alice_count: How many of her tags are in it, from 1.
        bob_first: Bob's first tag.
        bob_count: How many of Bob's.
    """

    alice_first: Places
    alice_count: Places
    bob_first: Places
    bob_count: Places

    def __len__(self) -> int:
        return len(self.alice_first)


def match_times(alice: Seconds, bob: Seconds, *, window_s: float) -> Matches:
    """Return the coincidences of two lists of times; every tag is in at most one.

    In order of time: two tags of different sides belong together if they are at most half the
    window apart.  The coincidence then takes in whatever else either side saw within half a window
    from its earlier tag on: that is a double click, and any two of its tags of different sides
    belong together.

    Args:
        alice: Alice's times, ascending; float64, shape (m,).
        bob: Bob's times in her clock, ascending; float64, shape (n,).
        window_s: Full width of the window.

    Examples:
        >>> found = match_times(np.array([1.0, 5.0, 5.1]), np.array([1.2, 3.0, 5.0]), window_s=1.0)
        >>> found.alice_first.tolist(), found.alice_count.tolist(), found.bob_first.tolist()
        ([0, 1], [1, 2], [0, 2])
    """
    room = min(len(alice), len(bob))
    places = [np.empty(room, np.int64) for _ in range(4)]
    found = tag_kernels.match(alice, bob, window_s / 2, *places)
    return Matches(*(place[:found] for place in places))


def count_pairs(alice: Seconds, bob: Seconds, *, delay_s: float, window_s: float) -> int:
    """Return how many pairs of tags have Bob's later by ``delay_s``, give or take half a window.

    Examples:
        >>> count_pairs(np.array([1.0, 2.0]), np.array([3.0, 3.1]), delay_s=1.0, window_s=0.5)
        2
    """
    if compiled_code_may_run():
        return int(tag_kernels.count_pairs(alice, bob, delay_s, window_s / 2))
    low = np.searchsorted(bob, alice + (delay_s - window_s / 2), side="left")
    high = np.searchsorted(bob, alice + (delay_s + window_s / 2), side="right")
    return int((high - low).sum())


def align(
    counts: NDArray[np.int64],
    *,
    base: int,
    resolution_s: float,
    since_s: float,
    ahead_s: float,
    clock: tuple[Seconds, Seconds, Seconds],
) -> Seconds:
    """Return Bob's tags in Alice's time, seconds from a common beginning.

    Args:
        counts: Bob's tags, ascending; int64, shape (n,).
        base: The count from which his seconds are counted, near the tags.
        resolution_s: Length of a count.
        since_s: Seconds from his first tag to ``base``.
        ahead_s: ``since_s`` less the seconds from Alice's first tag to the common beginning.
        clock: Knots (his seconds since his first tag, ascending), his lead over Alice there, and
            how it grows from each knot on; beyond the ends, as at the ends.
    """
    knots, difference, slope = clock
    if compiled_code_may_run():
        aligned = np.empty(len(counts))
        tag_kernels.align(
            counts, base, resolution_s, since_s, ahead_s, knots, difference, slope, aligned
        )
        return aligned
    time = (counts - base) * resolution_s
    now = time + since_s
    k = np.maximum(np.searchsorted(knots, now, side="right") - 1, 0)
    shifted: Seconds = time + ahead_s - (difference[k] + slope[k] * (now - knots[k]))
    return shifted
