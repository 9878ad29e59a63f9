"""The alarm: a sequential Bell test of a link, over its whole life, by a test martingale.

It plays a fair game against the promise "S >= S0 and QBER <= Q0": in every round, whatever
happened before, the expected payoff of each bet is at most 1 while the promise is kept.  The stake
is 1, spread over attacks of all strengths, sudden or growing, that begin now or at any later time;
so the wealth is a non-negative supermartingale, and by Ville's inequality it *ever* exceeds
``1 / false_alarm`` with probability at most ``false_alarm``.  One may look at it after every block,
stop whenever one likes, and choose block sizes as one goes.  Nothing is assumed of the promise
keeping link's rounds: they may differ, drift and remember.  What is assumed is that setting pairs
and revealed rounds are drawn with the declared shares, independently of the state.

The memory is that of the bets, some dozens of numbers, however long the link lives: starts at all
times are carried together, since a product over the rounds since the start obeys
``(wealth + new stake) * payoff`` (Shiryaev's recursion).  Proof, delays, limits: ``docs/alarm.md``.

Examples:
    >>> from e91.alarm.link import OutcomeCounts, werner_link
    >>> from e91.model.settings import EKERT
    >>> link = werner_link(EKERT, visibility=0.97, revealed_fraction=0.1)
    >>> wealth = initial_wealth(place_bets(link, false_alarm=1e-3))
    >>> honest = OutcomeCounts((200, 200, 200, 200), (37, 37, 37, 37), sample=47, errors=1)
    >>> wealth = update(wealth, honest)
    >>> wealth.alarm_round is None
    True
    >>> eve = OutcomeCounts((187, 187, 187, 187), (50, 50, 50, 50), sample=47, errors=4)
    >>> wealth = update_all(wealth, [eve] * 4)
    >>> wealth.alarm_round
    1990
    >>> finding(wealth).cause.name
    'EAVESDROPPER'
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache, reduce

import numpy as np
from numpy.typing import NDArray

from e91.alarm.bets import (
    STRENGTHS,
    Bets,
    Cause,
    frozen,
    newly_placed,
    place_bets,
    stake_left,
)
from e91.alarm.link import OutcomeCounts
from e91.model.numbers import Floats

__all__ = ["Finding", "Wealth", "finding", "initial_wealth", "place_bets", "update", "update_all"]

NAMING_ODDS = 300
"""A cause is named when the rounds make it this many times as likely as all others together."""


@dataclass(frozen=True, eq=False, repr=False)
class Wealth:
    """What the bets are worth: the test martingale.  A value: `update` returns a new one.

    Attributes:
        bets: The bets, fixed at the start.
        rounds: Tallied rounds so far.
        log_wealth: Logarithm of what each bet is worth; float64, shape (f, s), see `Bets`.
        onsets: Mean round at which each bet's present wealth was staked; float64, shape (f, s).
        alarm_round: Tallied rounds when the alarm rang first; None if it has not.  It is not
            unset: the false-alarm probability is that of ever ringing.
    """

    bets: Bets
    rounds: int
    log_wealth: Floats
    onsets: Floats
    alarm_round: int | None

    def __repr__(self) -> str:
        return f"Wealth({self.rounds} rounds, alarm_round={self.alarm_round})"

    @property
    def log_evidence(self) -> float:
        """Logarithm of the present wealth, nats; ``exp(-log_evidence)`` is a valid p-value now."""
        return float(log_total(self.log_wealth, rounds=self.rounds, bets=self.bets))


@dataclass(frozen=True)
class Finding:
    """What the alarm saw, and how sure it is.

    Attributes:
        cause: The cause that is `NAMING_ODDS` times as likely as the others together; None if
            the alarm has not rung or no cause is.
        odds: Of the likeliest cause against the others together, had all begun as likely.
        log_evidence: Evidence against the promise now, nats.
        rounds: Tallied rounds so far.
        onset: Estimated tallied round in which the likeliest cause began.
        chsh: Estimated S now, if it is the likeliest cause.
        qber: Estimated QBER now, likewise.

    Examples:
        >>> from e91.alarm.link import OutcomeCounts, werner_link
        >>> from e91.model.settings import EKERT
        >>> link = werner_link(EKERT, visibility=0.97, revealed_fraction=0.1)
        >>> honest = OutcomeCounts((200, 200, 200, 200), (37, 37, 37, 37), sample=47, errors=1)
        >>> found = finding(update(initial_wealth(place_bets(link)), honest))
        >>> found.cause, found.rounds, found.log_evidence < 0
        (None, 995, True)
    """

    cause: Cause | None
    odds: float
    log_evidence: float
    rounds: int
    onset: float
    chsh: float
    qber: float

    def __str__(self) -> str:
        name = self.cause.value if self.cause else "No cause can be named yet."
        return (
            f"{name} Since about round {self.onset:.0f} of {self.rounds}; now S = {self.chsh:.2f}, "
            f"QBER = {self.qber:.1%}; odds {min(self.odds, 1e12):.3g}."
        )


def initial_wealth(bets: Bets) -> Wealth:
    """Return the wealth before the first round: it is 1, and most of it is bet."""
    staked = bets.log_shares + math.log1p(-stake_left(0))
    return Wealth(bets, 0, frozen(staked), frozen(np.zeros(staked.shape)), None)


def update(wealth: Wealth, counts: OutcomeCounts) -> Wealth:
    """Return the wealth after one more block of rounds.

    Args:
        wealth: Before the block.
        counts: Outcomes of the block.  The order of its rounds does not matter.

    Returns:
        The wealth after it; ``alarm_round`` is set if the alarm rang at the end of this block.

    Not promised: the end of a block is the only moment at which the alarm can ring, so long
    blocks ring late.
    """
    bets, after = wealth.bets, wealth.rounds + counts.rounds
    paid = after_payoffs(wealth.log_wealth, counts.array, bets=bets)
    rings = float(log_total(paid, rounds=wealth.rounds, bets=bets)) >= bets.threshold
    onsets = _onsets_after_new_stakes(wealth, paid, after)
    return replace(
        wealth,
        rounds=after,
        log_wealth=frozen(after_new_stakes(paid, before=wealth.rounds, after=after, bets=bets)),
        onsets=frozen(onsets),
        alarm_round=after if wealth.alarm_round is None and rings else wealth.alarm_round,
    )


def update_all(wealth: Wealth, blocks: Iterable[OutcomeCounts]) -> Wealth:
    """Return the wealth after these blocks, in their order."""
    return reduce(update, blocks, wealth)


def after_payoffs(log_wealth: Floats, counts: NDArray[np.int64], *, bets: Bets) -> Floats:
    """Return the wealth after a block's payoffs.

    Args:
        log_wealth: Before; float64, shape (..., f, s) for any number of links watched at once.
        counts: The block's ten counts; integers, shape (..., 10).
        bets: The bets of all these links.
    """
    # Not `@`: on matrices this small the threads of a BLAS cost several times what they save.
    gains: Floats = np.einsum("...o,ob->...b", counts.astype(np.float64), bets.log_payoffs)
    after: Floats = log_wealth + gains.reshape(log_wealth.shape)
    return after


def after_new_stakes(log_wealth: Floats, *, before: int, after: int, bets: Bets) -> Floats:
    """Return the wealth after bets on growing noise moved up and new stakes were placed.

    Both happen once per period, at the end of the first block that reaches it, by a plan that
    does not look at any outcome; neither changes the total.

    Args:
        log_wealth: After the block's payoffs; float64, shape (..., f, s).
        before: Tallied rounds before the block.
        after: Tallied rounds after it.
        bets: The bets.
    """
    first, last = before // bets.period, after // bets.period
    if first == last:
        return log_wealth
    top = np.max(log_wealth, axis=(-2, -1), keepdims=True)
    flows = _climbing(bets, last - first)
    climbed = np.einsum("...fs,fst->...ft", np.exp(log_wealth - top), flows)
    placed = math.log(newly_placed(first, last, planned=bets.planned))
    with np.errstate(divide="ignore"):
        together: Floats = np.logaddexp(np.log(climbed) + top, bets.log_shares + placed)
    return together


def log_total(log_wealth: Floats, *, rounds: int, bets: Bets) -> Floats:
    """Return the logarithm of all wealth, bet or not; shape (...) for wealth (..., f, s).

    Args:
        log_wealth: What the bets are worth.
        rounds: Tallied rounds at the last move, or since within the same period.
        bets: The bets.
    """
    top = np.max(log_wealth, axis=(-2, -1))
    bet = top + np.log(np.exp(log_wealth - top[..., None, None]).sum(axis=(-2, -1)))
    left = stake_left(rounds // bets.period, planned=bets.planned)
    held: Floats = np.logaddexp(bet, math.log(left))
    return held


def climbing(climbs: Floats, periods: NDArray[np.int64]) -> Floats:
    """Return the shares of each strength's wealth that climb to each other one.

    Steps are a Poisson process, so the number of them in any time is a Poisson variable; at the
    strongest alternative the climb ends.

    Args:
        climbs: Steps to the next strength per period, of each family; shape (f,).
        periods: How many pass; shape (k,).

    Returns:
        Float64, shape (k, f, s, s), from strength to strength.
    """
    size = len(STRENGTHS)
    mean = climbs[:, None] * periods[:, None, None]
    steps = np.arange(size)
    factorials = np.array([math.factorial(step) for step in steps], float)
    chances = np.exp(-mean) * mean**steps / factorials
    flows = np.zeros((*mean.shape[:2], size, size))
    for low in range(size):
        flows[..., low, low:] = chances[..., : size - low]
        flows[..., low, -1] += 1 - flows[..., low, :].sum(axis=-1)
    return np.maximum(flows, 0.0)


@lru_cache(maxsize=256)  # blocks of one size last one of a few numbers of periods
def _climbing(bets: Bets, periods: int) -> Floats:
    """Return `climbing` of all families for one number of periods; shape (f, s, s)."""
    return frozen(climbing(bets.climbs, np.array([periods]))[0])


def _onsets_after_new_stakes(wealth: Wealth, log_wealth: Floats, after: int) -> Floats:
    """Return the mean start of each bet's wealth after `after_new_stakes`."""
    bets, first = wealth.bets, wealth.rounds // wealth.bets.period
    last = after // bets.period
    if first == last:
        return wealth.onsets
    top = log_wealth.max()
    old = np.exp(log_wealth - top)[:, None, :]
    flows = _climbing(bets, last - first)
    placed = newly_placed(first, last, planned=bets.planned)
    new = np.exp(np.minimum(bets.log_shares + math.log(placed) - top, 700.0))
    climbed = (old @ flows)[:, 0]
    weighted = ((old * wealth.onsets[:, None, :]) @ flows)[:, 0]
    total = climbed + new
    safe = np.where(total > 0, total, 1.0)
    return np.where(total > 0, weighted / safe + after * (new / safe), float(after))


def weights(log_wealth: Floats) -> Floats:
    """Return the share of each bet in what all bets are worth; shape (..., f, s), sums to 1."""
    wealth = np.exp(log_wealth - np.max(log_wealth, axis=(-2, -1), keepdims=True))
    shares: Floats = wealth / wealth.sum(axis=(-2, -1), keepdims=True)
    return shares


def cause_shares(log_wealth: Floats, *, bets: Bets) -> Floats:
    """Return the probability of each cause, in the order of `Cause`, if all began as likely.

    Each cause's wealth is divided by its stake, so the ratio of two entries is a Bayes factor.

    Args:
        log_wealth: Shape (..., f, s).
        bets: The bets.

    Returns:
        Float64, shape (..., 3); sums to 1.
    """
    families = weights(log_wealth).sum(axis=-1)
    belongs = np.array([[found is cause for cause in Cause] for found in bets.causes], float)
    factors = (families @ belongs) / (np.exp(bets.log_shares).sum(axis=-1) @ belongs)
    shares: Floats = factors / factors.sum(axis=-1, keepdims=True)
    return shares


def likeliest_cause(log_wealth: Floats, *, bets: Bets) -> tuple[Cause, float]:
    """Return the likeliest cause, and its odds against all others together.

    Args:
        log_wealth: Of one link; shape (f, s).
        bets: The bets.
    """
    shares = cause_shares(log_wealth, bets=bets)
    best = int(np.argmax(shares))
    others = float(np.delete(shares, best).sum())
    return list(Cause)[best], float(shares[best]) / others if others > 0 else math.inf


def finding(wealth: Wealth) -> Finding:
    """Return the likeliest cause of what was seen so far, and how sure it is.

    The name is an opinion, the alarm a theorem: the false-alarm probability does not depend on
    it.  More rounds sharpen it, so keep counting after the alarm.

    Args:
        wealth: At any time, before or after the alarm.

    Not promised: that Eve is named.  An Eve who imitates growing noise or another fault is
    called by the name of what she imitates, and intercept-resend with random bases has exactly
    the counts of white noise; see `Cause`.
    """
    bets = wealth.bets
    cause, odds = likeliest_cause(wealth.log_wealth, bets=bets)
    belongs = np.array([found is cause for found in bets.causes])
    parts = weights(wealth.log_wealth) * belongs[:, None]
    parts = parts / parts.sum()
    named = wealth.alarm_round is not None and odds >= NAMING_ODDS
    return Finding(
        cause=cause if named else None,
        odds=odds,
        log_evidence=wealth.log_evidence,
        rounds=wealth.rounds,
        onset=float(np.sum(parts * wealth.onsets)),
        chsh=float(np.sum(parts * bets.chsh)),
        qber=float(np.sum(parts * bets.qber)),
    )
