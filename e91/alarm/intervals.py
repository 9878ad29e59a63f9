"""Rounds in stretches: after how many of them the alarm looks, and what it counts in each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from e91.alarm.link import Tally
from e91.alarm.promise import Watched
from e91.model.evidence import wins_and_losses
from e91.model.settings import Settings

SHORTEST_STRETCH = 32
"""Tallied rounds after which the alarm may ring: a period of its bets."""

_RESOLUTION = 32  # a stretch is at most this part of the rounds before it: 3 % more delay
_STRETCHES = 512  # and this many fill a session, so that the watch costs 0.2 s


def course_of(
    kinds: NDArray[np.int64], rounds: NDArray[np.int64], *, ends: NDArray[np.int64]
) -> list[tuple[int, Tally]]:
    """Return tallied rounds as stretches: pairs sent, and their tally.

    Args:
        kinds: Kind of each tallied round, the index in `Tally.counts`; shape (n,).
        rounds: Their numbers among all pairs, from 0, increasing; shape (n,).
        ends: After how many tallied rounds each stretch ends, increasing to n.

    Examples:
        >>> course_of(np.array([0, 9, 0]), np.array([2, 5, 6]), ends=np.array([2, 3]))[0]
        (6, Tally(wins=(1, 0, 0, 0), losses=(0, 0, 0, 0), sample=1, errors=1))
    """
    stretch = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))
    counts = np.bincount(stretch * 10 + kinds, minlength=10 * len(ends)).reshape(-1, 10)
    sent = np.diff(rounds[ends - 1] + 1, prepend=0)
    return [(int(pairs), _tally(row)) for pairs, row in zip(sent, counts, strict=True)]


def _tally(counts: NDArray[np.int64]) -> Tally:
    wins, losses, (right, wrong) = counts[:4].tolist(), counts[4:8].tolist(), counts[8:].tolist()
    return Tally(tuple(wins), tuple(losses), sample=right + wrong, errors=wrong)


def kinds_of(settings: Settings) -> NDArray[np.int64]:
    """Return the kind of each tallied round, the index in `Tally.counts`, by (x, y, differ).

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


def stretch_ends(rounds: int) -> NDArray[np.int64]:
    """Return after how many tallied rounds of a session the alarm looks.

    Short stretches at first, later a fixed share of what went before; the plan looks at no
    outcome, so the false-alarm probability does not depend on it.

    Args:
        rounds: Tallied rounds of the session.

    Examples:
        >>> stretch_ends(100).tolist()
        [32, 64, 96, 100]
    """
    ends = [0]
    while ends[-1] < rounds:
        step = max(SHORTEST_STRETCH, min(ends[-1] // _RESOLUTION, rounds // _STRETCHES))
        ends.append(min(rounds, ends[-1] + step))
    return np.array(ends[1:], np.int64)


def watch_rounds(kinds: NDArray[np.int64], rounds: NDArray[np.int64], watch: Watched) -> Watched:
    """Return the watch after these rounds, looked at by stretches.

    Whether the alarm rings is decided at the end of a stretch.  If it does, the stretch is watched
    again by the shortest ones, and the alarm names the first at which that would have rung.

    Args:
        kinds: Kinds of the tallied rounds, as for `course_of`.
        rounds: Their numbers among the pairs sent since ``watch``.
        watch: Before the first of them.
    """
    ends, start = stretch_ends(len(rounds)), 0
    for pairs, tally in course_of(kinds, rounds, ends=ends):
        after, end = watch.after(tally, pairs=pairs), start + tally.rounds
        if watch.rang is None and after.rang is not None:
            numbers = rounds[start:end] - (rounds[start - 1] + 1 if start else 0)
            periods = np.append(
                np.arange(SHORTEST_STRETCH, tally.rounds, SHORTEST_STRETCH), tally.rounds
            )
            course = course_of(kinds[start:end], numbers, ends=periods)
            after = replace(after, rang=_first_ring(course, watch) or after.rang)
        watch, start = after, end
    return watch


def _first_ring(course: Iterable[tuple[int, Tally]], watch: Watched) -> int | None:
    """Return how many pairs have been sent when the alarm rings in this course; None if never."""
    for pairs, tally in course:
        watch = watch.after(tally, pairs=pairs)
        if watch.rang is not None:
            return watch.rang
    return None
