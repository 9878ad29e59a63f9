"""The alarms of many links at once, in arrays: each link at its own round, all with the same bets.

The arithmetic is that of `e91.alarm.wealth`, link by link and to the last bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from e91.alarm.bets import Bets, Cause, newly_placed, stake_left
from e91.alarm.wealth import NAMING_ODDS, after_payoffs, climbing, initial_wealth, likeliest_cause
from e91.model.numbers import Floats, check_whole
from e91.session.block_counts import BlockCounts

Counts = NDArray[np.int64]
Flags = NDArray[np.bool_]

SILENT = -1
"""Stands in `Watches.alarm_rounds` for a link whose alarm has not rung."""


def ten_counts(counts: BlockCounts) -> Counts:
    """Return the ten counts that the alarm reads of every block, in the order of `e91.alarm.link`.

    Args:
        counts: The public counts of n blocks.

    Returns:
        int64, shape (n, 10).

    Examples:
        >>> from e91.alarm.link import outcome_counts
        >>> from e91.model.evidence import Evidence, KeySample
        >>> from e91.model.settings import EKERT
        >>> tests = ((40, 5, 5, 40), (8, 42, 42, 8), (40, 5, 5, 40), (40, 5, 5, 40))
        >>> evidence = Evidence(tests, (KeySample(90, 10, 1),), ((430,),), signs=EKERT.signs)
        >>> ten_counts(BlockCounts.of(evidence))
        array([[80, 84, 80, 80, 10, 16, 10, 10,  9,  1]])
    """
    right = counts.sample_size - counts.sample_errors
    key = np.stack([right, counts.sample_errors], axis=1)
    return np.concatenate([counts.wins, counts.losses, key], axis=1)


@dataclass(frozen=True, eq=False, repr=False)
class Watches:
    """The test martingales of n links.  A value: `after` and `restarted` return new ones.

    Attributes:
        bets: The bets of every link, so all have made one promise and have the same settings.
        rounds: Tallied rounds of each link so far; int64, shape (n,).
        log_wealth: Logarithm of what each bet is worth, as `Wealth.log_wealth`; float64, shape
            (n, f, s).
        alarm_rounds: Tallied rounds of a link when its alarm rang first, `SILENT` if it has not;
            int64, shape (n,).

    Examples:
        >>> from e91.alarm.bets import place_bets
        >>> from e91.alarm.link import intercepted, werner_link
        >>> from e91.model.settings import EKERT
        >>> promised = werner_link(EKERT, visibility=0.95, revealed_fraction=0.1)
        >>> kept = werner_link(EKERT, visibility=0.97, revealed_fraction=0.1)
        >>> links = np.array([kept.probabilities, intercepted(kept, 0.2).probabilities])
        >>> watches = Watches.of(place_bets(promised), links=2)
        >>> for block in np.random.default_rng(1).multinomial(5_000, links, size=(3, 2)):
        ...     watches = watches.after(block)
        >>> watches.rang, watches.cause(1).name, watches.restarted([1]).rang
        (array([False,  True]), 'EAVESDROPPER', array([False, False]))
    """

    bets: Bets
    rounds: Counts
    log_wealth: Floats
    alarm_rounds: Counts

    @classmethod
    def of(cls, bets: Bets, *, links: int) -> Watches:
        """Return the watches before the first round of any link.

        Args:
            bets: What every link promises, as bets.
            links: How many links there are.
        """
        check_whole(links=links)
        wealth = np.repeat(initial_wealth(bets).log_wealth[None], links, axis=0)
        return cls(bets, np.zeros(links, np.int64), wealth, np.full(links, SILENT))

    def __len__(self) -> int:
        return len(self.rounds)

    def __repr__(self) -> str:
        return f"Watches({len(self)} links, {np.count_nonzero(self.rang)} rang)"

    @property
    def rang(self) -> Flags:
        """Whose alarm has rung; shape (n,).  Which rang in a block: those that had not before."""
        rang: Flags = self.alarm_rounds != SILENT
        return rang

    @property
    def log_evidence(self) -> Floats:
        """Logarithm of each link's present wealth, nats; as `Wealth.log_evidence`; shape (n,)."""
        return _log_totals(self.log_wealth, self.rounds, self.bets)

    def cause(self, link: int) -> Cause | None:
        """Return the cause that stands out at a link, as `e91.alarm.wealth.finding` names it.

        Args:
            link: Number of the link, from 0.

        Returns:
            None if its alarm has not rung, or no cause stands out.
        """
        cause, odds = likeliest_cause(self.log_wealth[link], bets=self.bets)
        return cause if self.rang[link] and odds >= NAMING_ODDS else None

    def after(self, counts: ArrayLike, *, links: ArrayLike | None = None) -> Watches:
        """Return the watches after one more block of some links, or of all.

        An alarm can ring at the end of a block only.

        Args:
            counts: Outcomes of each link's block, from `ten_counts`; shape (k, 10).
            links: Which links these are, each at most once; all in their order if None.

        Raises:
            ValueError: A count is negative or not whole, or there is not one row a link.
        """
        rows = np.arange(len(self)) if links is None else np.asarray(links, np.intp)
        block = _checked(counts, len(rows))
        before = self.rounds[rows]
        after = before + block.sum(axis=1)
        paid = after_payoffs(self.log_wealth[rows], block, bets=self.bets)
        rings = _log_totals(paid, before, self.bets) >= self.bets.threshold
        earlier = self.alarm_rounds[rows]
        return self._with(
            rows,
            rounds=after,
            log_wealth=_after_new_stakes(paid, before, after, self.bets),
            alarm_rounds=np.where(rings & (earlier == SILENT), after, earlier),
        )

    def restarted(self, links: ArrayLike) -> Watches:
        """Return the watches with these links as before their first round, for a new life.

        The promised false-alarm probability is that of each life.

        Args:
            links: Numbers of the links, from 0.
        """
        rows = np.asarray(links, np.intp)
        begun = Watches.of(self.bets, links=len(rows))
        return self._with(rows, **{name: getattr(begun, name) for name in _COLUMNS})

    def _with(self, rows: NDArray[np.intp], **columns: NDArray[np.generic]) -> Watches:
        changed = {name: getattr(self, name).copy() for name in _COLUMNS}
        for name, values in columns.items():
            changed[name][rows] = values
        return replace(self, **changed)


_COLUMNS = ("rounds", "log_wealth", "alarm_rounds")


def _checked(counts: ArrayLike, links: int) -> Counts:
    block = np.asarray(counts)
    whole = np.issubdtype(block.dtype, np.integer)
    if block.shape != (links, 10) or not whole or block.min(initial=0) < 0:
        raise ValueError(
            f"`counts` must be whole numbers from 0 of shape ({links}, 10), but is of "
            f"{block.dtype}, shape {block.shape}, from {block.min(initial=0)}."
        )
    return block.astype(np.int64)


def _log_totals(log_wealth: Floats, rounds: Counts, bets: Bets) -> Floats:
    """Return `log_total` of every link, each at its own round."""
    top = np.max(log_wealth, axis=(-2, -1))
    bet = top + np.log(np.exp(log_wealth - top[:, None, None]).sum(axis=(-2, -1)))
    # math.log, as for one link: NumPy's may differ in the last digit.
    left = [
        math.log(stake_left(periods, planned=bets.planned))
        for periods in (rounds // bets.period).tolist()
    ]
    held: Floats = np.logaddexp(bet, left)
    return held


def _after_new_stakes(log_wealth: Floats, before: Counts, after: Counts, bets: Bets) -> Floats:
    """Return the wealth of every link as `after_new_stakes` leaves it."""
    first, last = before // bets.period, after // bets.period
    moved = np.flatnonzero(last > first)
    if not len(moved):
        return log_wealth
    old, top = log_wealth[moved], np.max(log_wealth[moved], axis=(-2, -1), keepdims=True)
    worth = np.exp(old - top)
    periods, kinds = np.unique((last - first)[moved], return_inverse=True)
    grows = np.flatnonzero(bets.climbs > 0)  # what does not climb stays where it is
    flows = climbing(bets.climbs[grows], periods)
    worth[:, grows] = np.einsum("nfs,nfst->nft", worth[:, grows], flows[kinds])
    placed = [
        math.log(newly_placed(begin, end, planned=bets.planned))
        for begin, end in zip(first[moved].tolist(), last[moved].tolist(), strict=True)
    ]
    together = log_wealth.copy()
    with np.errstate(divide="ignore"):
        new = bets.log_shares + np.array(placed)[:, None, None]
        together[moved] = np.logaddexp(np.log(worth) + top, new)
    return together
