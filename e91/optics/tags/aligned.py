"""Both parties' tags in one time, some at a time, each with all that may be near it."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from e91.model.bits import Bits
from e91.optics.tags.clock_track import ClockTrack
from e91.optics.tags.matching import Seconds, align
from e91.optics.tags.time_tags import Side

_MOST_STEPS = 8


@dataclass(frozen=True, eq=False)
class AlignedTags:
    """Some of Alice's tags, and Bob's that may be near them, in her time.

    Attributes:
        alice_times: Seconds from the first of Alice's; ascending.
        alice_channels: Her channels.
        bob_times: Seconds from the same instant; ascending.
        bob_channels: His channels.
    """

    alice_times: Seconds
    alice_channels: Bits
    bob_times: Seconds
    bob_channels: Bits

    def near_pairs(self, reach_s: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the places of both tags of each pair that is at most ``reach_s`` apart."""
        before = np.searchsorted(self.bob_times, self.alice_times - reach_s)
        count = np.searchsorted(self.bob_times, self.alice_times + reach_s, side="right") - before
        alice_places = np.repeat(np.arange(len(count)), count)
        bob_places = np.arange(len(alice_places)) + np.repeat(
            before - (np.cumsum(count) - count), count
        )
        return alice_places, bob_places


def aligned_tags(
    alice: Side, bob: Side, *, start: int, stop: int, clock: ClockTrack, reach_s: float
) -> AlignedTags:
    """Return Alice's tags ``start`` to ``stop``, and Bob's within ``reach_s`` of any of them."""
    times, channels = alice.tags.read(start, stop)
    base = int(times[0])
    low, high = (
        bob.place(_bobs_time(clock, (int(count) - alice.first) * alice.tags.resolution_s) + margin)
        for count, margin in ((base, -2 * reach_s), (times[-1], 2 * reach_s))
    )
    counts, bob_channels = bob.tags.read(low, high)
    alice_times = (times - base) * np.float64(alice.tags.resolution_s)
    if not len(counts):
        return AlignedTags(alice_times, channels, np.empty(0), bob_channels)
    first = int(counts[0])
    # Exact: the difference of two long times must keep its picoseconds.
    since = (first - bob.first) * Fraction(bob.tags.resolution_s)
    bob_times = align(
        counts,
        base=first,
        resolution_s=bob.tags.resolution_s,
        since_s=float(since),
        ahead_s=float(since - (base - alice.first) * Fraction(alice.tags.resolution_s)),
        clock=(clock.knots_s, clock.lead_s, clock.slope),
    )
    return AlignedTags(alice_times, channels, bob_times, bob_channels)


def all_aligned(
    alice: Side, bob: Side, *, size: int, clock: ClockTrack, reach_s: float
) -> Iterator[AlignedTags]:
    """Yield all of Alice's tags, ``size`` at a time."""
    for start in range(0, len(alice.tags), size):
        yield aligned_tags(alice, bob, start=start, stop=start + size, clock=clock, reach_s=reach_s)


def _bobs_time(clock: ClockTrack, alice_time_s: float) -> float:
    """Return what Bob's clock shows at a time of Alice's, both from their first tags."""
    time = alice_time_s
    for _ in range(_MOST_STEPS):  # the lead changes by at most a thousandth of the time
        time = alice_time_s + clock.lead_at(time)
    return time
