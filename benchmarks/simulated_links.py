"""The alarm on many simulated links at once: how often it errs, how soon it rings and names."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from e91.alarm import wealth as alarm
from e91.alarm.bets import Bets
from e91.alarm.link import LinkBehaviour, intercepted, relative_entropy
from e91.model.numbers import Floats

NEVER = -1
"""Stands for a round that did not come."""


@dataclass(frozen=True, eq=False)
class Streams:
    """When the alarm rang, and what it named, on each of n links.

    Attributes:
        alarm_rounds: Tallied rounds at the alarm, `NEVER` if it did not ring; int64, shape (n,).
        named_rounds: Tallied rounds when a cause was named first; int64, shape (n,).
        causes: Index in `Cause` of that name, `NEVER` without one; int64, shape (n,).
    """

    alarm_rounds: NDArray[np.int64]
    named_rounds: NDArray[np.int64]
    causes: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Delays:
    """Tallied rounds until the alarm, for attacks that begin with the first round.

    Attributes:
        fractions: Shares of the photons that Eve intercepts; float64, shape (m,).
        optimum: log(1 / alpha) over the relative entropy per tallied round; float64, shape (m,).
        median: Median of the delay; float64, shape (m,).
        late: 99th percentile of the delay; float64, shape (m,); inf if more than 1 % did not
            ring within fifty times the optimum.
    """

    fractions: Floats
    optimum: Floats
    median: Floats
    late: Floats


def watch_streams(
    bets: Bets,
    blocks: Iterable[tuple[int, LinkBehaviour]],
    *,
    streams: int,
    rng: np.random.Generator,
    until_named: bool = False,
) -> Streams:
    """Wealth many independent links that behave alike, block by block.

    The counts of a block are multinomial, which is exact for a link whose rounds are independent.

    Args:
        bets: The bets of every link.
        blocks: Tallied rounds and behaviour of each block, in time order.
        streams: Number of links n, at least 1.
        rng: Source of the simulated outcomes.
        until_named: Whether to go on after the alarm until a cause is named.

    Raises:
        ValueError: ``streams`` is below 1.
    """
    if streams < 1:
        raise ValueError(f"`streams` must be at least 1, but is {streams}.")
    found = Streams(*(np.full(streams, NEVER, np.int64) for _ in range(3)))
    active, before = np.arange(streams), 0
    wealth = np.repeat(alarm.initial_wealth(bets).log_wealth[None], streams, axis=0)
    for size, link in blocks:
        counts = rng.multinomial(size, link.probabilities, size=len(active))
        after = before + size
        wealth = alarm.after_payoffs(wealth, counts, bets=bets)
        _note(found, wealth, active=active, before=before, after=after, bets=bets)
        wealth = alarm.after_new_stakes(wealth, before=before, after=after, bets=bets)
        finished = (found.causes if until_named else found.alarm_rounds)[active] != NEVER
        if finished.any():
            active, wealth = active[~finished], wealth[~finished]
        if not len(active):
            break
        before = after
    return found


def _note(
    found: Streams,
    wealth: Floats,
    *,
    active: NDArray[np.int64],
    before: int,
    after: int,
    bets: Bets,
) -> None:
    """Write down alarms and names that are new after this block."""
    total = alarm.log_total(wealth, rounds=before, bets=bets)
    new = (total >= bets.threshold) & (found.alarm_rounds[active] == NEVER)
    found.alarm_rounds[active[new]] = after
    rung = found.alarm_rounds[active] != NEVER
    if not rung.any():
        return
    shares = alarm.cause_shares(wealth[rung], bets=bets)
    best = shares.argmax(axis=-1)
    others = shares.sum(axis=-1) - shares.max(axis=-1)
    sure = shares.max(axis=-1) >= alarm.NAMING_ODDS * others
    named = active[rung][sure]
    found.causes[named] = best[sure]
    found.named_rounds[named] = after


def detection_delays(
    bets: Bets,
    *,
    fractions: Sequence[float],
    streams: int,
    rng: np.random.Generator,
    resolution: int = 100,
) -> Delays:
    """Measure how soon the alarm rings if Eve intercepts from the first round on.

    Args:
        bets: The alarm.
        fractions: Shares of the photons that Eve intercepts, each in (0, 1].
        streams: Links to simulate for each.
        rng: Source of the simulated outcomes.
        resolution: Blocks per optimum delay, at least 1; below it the alarm may ring only at the
            end of longer blocks, which adds up to ``1 / resolution`` to the ratio.

    Raises:
        ValueError: ``resolution`` is below 1, or a fraction is not in (0, 1].
    """
    if resolution < 1:
        raise ValueError(f"`resolution` must be at least 1, but is {resolution}.")
    if not all(0 < fraction <= 1 for fraction in fractions):
        raise ValueError(f"`fractions` must lie in (0, 1], but are {tuple(fractions)}.")
    rows = []
    for fraction in fractions:
        link = intercepted(bets.declared, fraction)
        optimum = bets.threshold / relative_entropy(link, bets.declared)
        block = max(1, int(optimum / resolution))
        blocks = repeat((block, link), math.ceil(50 * optimum / block))
        rang = watch_streams(bets, blocks, streams=streams, rng=rng).alarm_rounds
        delays = np.where(rang == NEVER, np.inf, rang)
        late = np.quantile(delays, 0.99, method="inverted_cdf")
        rows.append((fraction, optimum, float(np.median(delays)), float(late)))
    columns = np.array(rows, float).reshape(-1, 4).T
    return Delays(*columns)
