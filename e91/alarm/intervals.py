"""A session cut into intervals: where the alarm looks, and the outcomes counted in each."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from e91.alarm.link import OutcomeCounts
from e91.alarm.promise import SequentialTest
from e91.model.evidence import wins_and_losses
from e91.model.settings import Settings

SHORTEST_INTERVAL = 32
"""Tallied rounds after which the alarm may ring: a period of its bets."""

_RESOLUTION = 32  # an interval is at most this part of the rounds before it: 3 % more delay
_INTERVALS = 512  # at most about this many in a session, so that the test costs 0.2 s


def counts_by_interval(
    kinds: NDArray[np.int64], rounds: NDArray[np.int64], *, ends: NDArray[np.int64]
) -> list[tuple[int, OutcomeCounts]]:
    """Return for each interval the pairs sent in it and the outcomes of its tallied rounds.

    Args:
        kinds: Kind of each tallied round, the index in `OutcomeCounts.array`; shape (n,).
        rounds: Their numbers among all pairs, from 0, increasing; shape (n,).
        ends: After how many tallied rounds each interval ends, increasing to n.

    Examples:
        >>> counts_by_interval(np.array([0, 9, 0]), np.array([2, 5, 6]), ends=np.array([2, 3]))[0]
        (6, OutcomeCounts(wins=(1, 0, 0, 0), losses=(0, 0, 0, 0), sample=1, errors=1))
    """
    interval = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))
    counts = np.bincount(interval * 10 + kinds, minlength=10 * len(ends)).reshape(-1, 10)
    sent = np.diff(rounds[ends - 1] + 1, prepend=0)
    return [
        (int(pairs), OutcomeCounts.from_array(row)) for pairs, row in zip(sent, counts, strict=True)
    ]


def kinds_of(settings: Settings) -> NDArray[np.int64]:
    """Return the kind of each tallied round, the index in `OutcomeCounts.array`, by (x, y, differ).

    Args:
        settings: Roles of the setting pairs.

    Returns:
        int64, shape (Alice's settings, Bob's settings, 2); 0 for pairs that are not tallied.

    Examples:
        >>> from e91.model.settings import BBM92
        >>> kinds_of(BBM92)[0, 0].tolist()      # a key pair: right or wrong
        [8, 9]
    """
    shape = len(settings.alice_angles), len(settings.bob_angles), 2
    kinds = np.zeros(shape, np.int64)
    for pair in settings.key_pairs:
        kinds[pair] = 8, 9
    # A win's kind is the number of its pair, a loss's that and four; which is which the sign says.
    equal, unequal = wins_and_losses(range(4), range(4, 8), signs=settings.signs)
    for index, (pair, _) in enumerate(settings.chsh_pairs):
        kinds[pair] = equal[index], unequal[index]
    return kinds


def interval_ends(rounds: int) -> NDArray[np.int64]:
    """Return after how many tallied rounds of a session the alarm looks.

    Short intervals at first, later a fixed share of what went before; the plan looks at no
    outcome, so the false-alarm probability does not depend on it.

    Args:
        rounds: Tallied rounds of the session.

    Examples:
        >>> interval_ends(100).tolist()
        [32, 64, 96, 100]
    """
    ends = [0]
    while ends[-1] < rounds:
        step = max(SHORTEST_INTERVAL, min(ends[-1] // _RESOLUTION, rounds // _INTERVALS))
        ends.append(min(rounds, ends[-1] + step))
    return np.array(ends[1:], np.int64)


def watch_rounds(
    kinds: NDArray[np.int64], rounds: NDArray[np.int64], test: SequentialTest
) -> SequentialTest:
    """Return the test after these rounds, evaluated at the end of every interval.

    Whether the alarm rings is decided at the end of an interval.  If it does, the interval is
    tested again in the shortest ones, and the alarm names the end of the first that rings.

    Args:
        kinds: Kinds of the tallied rounds, as for `counts_by_interval`.
        rounds: Their numbers among the pairs sent since ``test``.
        test: Before the first of them.
    """
    ends, start = interval_ends(len(rounds)), 0
    for pairs, counts in counts_by_interval(kinds, rounds, ends=ends):
        after, end = test.after(counts, pairs=pairs), start + counts.rounds
        if test.rang is None and after.rang is not None:
            numbers = rounds[start:end] - (rounds[start - 1] + 1 if start else 0)
            periods = np.append(
                np.arange(SHORTEST_INTERVAL, counts.rounds, SHORTEST_INTERVAL), counts.rounds
            )
            intervals = counts_by_interval(kinds[start:end], numbers, ends=periods)
            after = replace(after, rang=_first_ring(intervals, test) or after.rang)
        test, start = after, end
    return test


def _first_ring(intervals: Iterable[tuple[int, OutcomeCounts]], test: SequentialTest) -> int | None:
    """Return how many pairs have been sent when the alarm rings in ``intervals``, or None."""
    for pairs, counts in intervals:
        test = test.after(counts, pairs=pairs)
        if test.rang is not None:
            return test.rang
    return None
