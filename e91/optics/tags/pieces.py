"""Cut two lists of time tags into pieces that no coincidence crosses, and match each."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from e91.model.bits import Bits
from e91.model.randomness import Entropy, block_entropy
from e91.optics.tags.clocks.track import ClockTrack
from e91.optics.tags.matching import Seconds, align, count_pairs, match_times
from e91.optics.tags.readers import Side

PIECE_TAGS = 2**20
"""Tags of Alice that are matched at once."""

_CHANNELS = 256


@dataclass(frozen=True, eq=False)
class Piece:
    """Tags of both sides that can coincide with no tags but one another.

    Attributes:
        number: Its number.
        base: Count of Alice's clock from which its seconds are counted.
        alice: Her tags.
        bob: His.
    """

    number: int
    base: int
    alice: tuple[NDArray[np.int64], Bits]
    bob: tuple[NDArray[np.int64], Bits]


@dataclass(frozen=True, eq=False)
class Found:
    """What a piece gave.

    Attributes:
        alice: Alice's channel in each coincidence.
        bob: Bob's.
        displaced: Pairs of tags in the windows beside the peak.
        doubles: Coincidences with several tags of Alice, and of Bob.
        singles: Tags by side and channel; int64, shape (2, 256).
    """

    alice: Bits
    bob: Bits
    displaced: int
    doubles: tuple[int, int]
    singles: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Task:
    """What all pieces have in common.

    Attributes:
        alice: Alice's tags.
        bob: Bob's.
        clock: His lead.
        window_s: Full width of the coincidence window.
        side_delay_s: How far from the peak accidentals are counted.
        root: 32 random bytes, for double clicks.
    """

    alice: Side
    bob: Side
    clock: ClockTrack
    window_s: float
    side_delay_s: float
    root: bytes = field(repr=False)


def pieces(task: Task) -> Iterator[Piece]:
    """Cut both lists where no coincidence can lie across the cut."""
    alice, bob = task.alice, task.bob
    start, his_start, number = 0, 0, 0
    last_time = alice.first
    while start < len(alice.tags):
        times, channels = alice.tags.read(start, start + PIECE_TAGS)
        if times[0] < last_time or np.any(times[1:] < times[:-1]):
            raise ValueError("Time tags must be sorted, but Alice's are not.")
        size, his_stop = len(times), len(bob.tags)
        if start + size < len(alice.tags):
            size = _cut(times, math.ceil(2 * task.window_s / alice.tags.resolution_s))
            his_stop = max(his_start, bob.place_of_count(_bobs_count(task, int(times[size]))))
        yield Piece(
            number,
            int(times[0]),
            (times[:size], channels[:size]),
            bob.tags.read(his_start, his_stop),
        )
        last_time = int(times[size - 1])
        start, his_start, number = start + size, his_stop, number + 1


def _cut(times: NDArray[np.int64], gap: int) -> int:
    """Return the place of the last tag that comes more than ``gap`` after the one before it."""
    for size in (2**12, len(times)):  # a gap is seldom far from the end
        gaps = np.flatnonzero(np.diff(times[-size:]) > gap)
        if len(gaps):
            return max(0, len(times) - size) + int(gaps[-1]) + 1
    raise ValueError(
        f"`window_s` must be shorter than some gaps between tags, but {len(times):,} tags have no "
        "gap of twice the window."
    )


def _bobs_count(task: Task, alices: int) -> int:
    """Return the count that Bob's clock showed a window before Alice's showed ``alices``."""
    target = (alices - task.alice.first) * task.alice.tags.resolution_s - task.window_s
    time = target
    for _ in range(8):  # the lead changes by at most a thousandth of the time: this converges
        time = target + task.clock.lead_at(time)
    return task.bob.first + math.floor(time / task.bob.tags.resolution_s)


def match_piece(piece: Piece, task: Task) -> Found:
    """Match a piece."""
    alice_times, bob_times = _seconds(piece, task)
    if np.any(piece.bob[0][1:] < piece.bob[0][:-1]):
        raise ValueError("Time tags must be sorted, but Bob's are not.")
    matches = match_times(alice_times, bob_times, window_s=task.window_s)
    displaced = sum(
        count_pairs(alice_times, bob_times, delay_s=delay, window_s=task.window_s)
        for delay in (-task.side_delay_s, task.side_delay_s)
    )
    entropy = block_entropy(task.root, block=piece.number)
    alice, her_doubles = _chosen(
        piece.alice[1], matches.alice_first, matches.alice_count, entropy=entropy
    )
    bob, his_doubles = _chosen(piece.bob[1], matches.bob_first, matches.bob_count, entropy=entropy)
    singles = np.array(
        [np.bincount(side[1], minlength=_CHANNELS) for side in (piece.alice, piece.bob)]
    )
    return Found(alice, bob, displaced, (her_doubles, his_doubles), singles)


def _seconds(piece: Piece, task: Task) -> tuple[Seconds, Seconds]:
    """Return both sides' times in Alice's clock, seconds from the piece's base."""
    alice, bob = task.alice, task.bob
    alice_times = (piece.alice[0] - piece.base) * np.float64(alice.tags.resolution_s)
    if not len(piece.bob[0]):
        return alice_times, np.empty(0)
    base = int(piece.bob[0][0])
    # Exact: the difference of two long times must keep its picoseconds.
    since = (base - bob.first) * Fraction(bob.tags.resolution_s)
    ahead = since - (piece.base - alice.first) * Fraction(alice.tags.resolution_s)
    clock = task.clock
    bob_times = align(
        piece.bob[0],
        base=base,
        resolution_s=bob.tags.resolution_s,
        since_s=float(since),
        ahead_s=float(ahead),
        clock=(clock.knots_s, clock.lead_s, clock.slope),
    )
    return alice_times, bob_times


def _chosen(
    channels: Bits, first: NDArray[np.int64], count: NDArray[np.int64], *, entropy: Entropy
) -> tuple[Bits, int]:
    """Return each coincidence's channel, and how many had several tags to choose from."""
    several = np.flatnonzero(count > 1)
    place = first
    if len(several):
        place = first.copy()
        draws = np.frombuffer(entropy(8 * len(several)), np.uint64) >> np.uint64(11)
        place[several] += (draws * 2.0**-53 * count[several]).astype(np.int64)
    return channels[place], len(several)
