"""Blocks of links whose public counts are drawn, not their rounds: no key, the same verdicts.

The counts of a block are one multinomial variable, what error correction discloses follows from
measured runs, and the verdicts are those of sessions (`e91.session.conclude_many`).
"""

import math
from collections import Counter, deque
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace

import numpy as np

from e91.alarm.many import ten_counts
from e91.network.blocks import BlockOrder, BlockOutcome, tables_of
from e91.network.link_alarms import LinkAlarms, Watched
from e91.session.block_counts import BlockCounts, draw_counts
from e91.session.block_verdicts import Verdicts, conclude_many

_FIRST, _MOST = 4, 64  # blocks of a link that are drawn at once: first, and after some doublings
_MOST_IN_ALL = 2**15  # blocks of all links that are held ahead: about 1.5 kB each
_REFILL = 4  # links with this part of them left are drawn along with one that has none


@dataclass(frozen=True)
class Draws:
    """Blocks of one link with the same light, drawn together.

    Attributes:
        wanted: An order for one of them.
        blocks: How many.
        entropy: Root of the draws of the whole network.
        number: Of these draws, over the life of the link; never used twice.
    """

    wanted: BlockOrder
    blocks: int
    entropy: int
    number: int


@dataclass(eq=False)
class _Ahead:
    """Blocks of one link that are drawn and not yet asked for.

    Attributes:
        wanted: An order for one of them: all have the same light.
        watched: The link's alarm after the last block that was asked for.
        outcomes: The blocks, in their order, each with the alarm after it.
    """

    wanted: BlockOrder
    watched: Watched
    outcomes: deque[BlockOutcome] = field(default_factory=deque)


@dataclass(eq=False)
class Counted:
    """Blocks made by drawing their counts.

    Links that are run alike are drawn ahead and watched together, each by its own chance.

    Attributes:
        alarms: The sequential tests of the links.
        entropy: Root of the draws.
        executor: Where blocks are drawn; None for this process.
    """

    alarms: LinkAlarms
    entropy: int
    executor: Executor | None = None
    _drawn: Counter[int] = field(default_factory=Counter, repr=False)
    _ahead: dict[int, _Ahead] = field(default_factory=dict, repr=False)

    def begin(self, wanted: BlockOrder) -> BlockOrder:
        """Take the order for a block."""
        return wanted

    def outcome(self, begun: BlockOrder) -> BlockOutcome:
        """Return what became of it."""
        link, ahead = begun.link, self._ahead.get(begun.link)
        if ahead is not None and ahead.wanted.pieces != begun.pieces:
            self._forget(link)
            ahead = None
        if len(begun.pieces) > 1:
            (made,) = self._all_made({link: self._draws(begun, 1)})[link]
            return self._watched_together({link: [made]})[link][0]
        if ahead is None:
            ahead = self._ahead[link] = _Ahead(begun, self.alarms.now(link))
        if not ahead.outcomes:
            self._draw_ahead(begun)
        made = ahead.outcomes.popleft()
        assert made.watched is not None
        ahead.watched = made.watched
        return made

    def restart(self, link: int) -> None:
        """Begin a link's alarm anew."""
        self._ahead.pop(link, None)
        self.alarms.restart(link)

    def _forget(self, link: int) -> None:
        """Throw away what is drawn ahead for a link, and let its alarm be as it was."""
        ahead = self._ahead.pop(link, None)
        if ahead is not None:
            self.alarms.take_back(link, ahead.watched)

    def _draw_ahead(self, wanted: BlockOrder) -> None:
        """Draw blocks of a link that has none left, and of others of its kind that have few."""
        few = {
            link: ahead
            for link, ahead in self._ahead.items()
            if ahead.wanted.practice == wanted.practice
            and _REFILL * len(ahead.outcomes) < self._next_size(link)
        }
        silent = {
            link: ahead
            for link, ahead in few.items()
            if link == wanted.link or not (ahead.outcomes and _rang(ahead.outcomes[-1]))
        }
        drawn = self._all_made(
            {
                link: self._draws(ahead.wanted, self._next_size(link))
                for link, ahead in silent.items()
            }
        )
        for link, outcomes in self._watched_together(drawn).items():
            silent[link].outcomes.extend(outcomes)

    def _watched_together(
        self, drawn: dict[int, list[BlockOutcome]]
    ) -> dict[int, list[BlockOutcome]]:
        """Return blocks of links that are run alike, each with the alarm after it.

        Of a link that rings no later blocks are returned: its alarm begins anew then.
        """
        watched: dict[int, list[BlockOutcome]] = {link: [] for link in drawn}
        links = list(drawn)
        for step in range(max(map(len, drawn.values()))):
            links = [
                link
                for link in links
                if step < len(drawn[link]) and not (watched[link] and _rang(watched[link][-1]))
            ]
            if not links:
                break
            counts = np.stack([drawn[link][step].counts for link in links])
            for link, now in zip(links, self.alarms.after(links, counts), strict=True):
                watched[link].append(replace(drawn[link][step], watched=now))
        return watched

    def keep(self, begun: BlockOrder, bits: int) -> None:
        """Take note of nothing: there is no key."""

    def empty(self, link: int) -> None:
        """Take note of nothing: there is no key."""

    def drop(self, begun: BlockOrder) -> None:
        """Give a block up: nothing was done for it."""

    def close(self) -> None:
        """End nothing."""

    def _next_size(self, link: int) -> int:
        """Return how many blocks of a link are drawn next: more, the longer it lives."""
        most = min(_MOST, max(_FIRST, _MOST_IN_ALL // len(self.alarms.places)))
        return min(most, _FIRST << min(self._drawn[link], 16))

    def _draws(self, wanted: BlockOrder, blocks: int) -> Draws:
        """Return the order for the next draws of a link."""
        number = self._drawn[wanted.link]
        self._drawn[wanted.link] += 1
        return Draws(wanted, blocks, self.entropy, number)

    def _all_made(self, wanted: dict[int, Draws]) -> dict[int, list[BlockOutcome]]:
        if self.executor is None:
            return {link: make_draws(draws) for link, draws in wanted.items()}
        futures = {link: self.executor.submit(make_draws, draws) for link, draws in wanted.items()}
        return {link: future.result() for link, future in futures.items()}


def make_draws(draws: Draws) -> list[BlockOutcome]:
    """Return the outcomes of some blocks: the same whenever and wherever they are drawn."""
    wanted = draws.wanted
    settings, policy = wanted.practice.settings, wanted.practice.policy
    root = np.random.SeedSequence(draws.entropy, spawn_key=(1, wanted.link, draws.number))
    rng = np.random.Generator(np.random.Philox(root))
    counts = draw_counts(
        rng,
        [tables_of(table, settings) for _, table in wanted.pieces],
        [[rounds for rounds, _ in wanted.pieces]] * draws.blocks,
        settings=settings,
        policy=policy,
    )
    key_size = round(wanted.rounds * settings.key_probability * (1 - policy.revealed_fraction))
    verdicts = conclude_many(
        rng,
        counts,
        key_size=max(1, key_size),  # a link that no settings give a key has next to no key rounds
        settings=settings,
        policy=policy,
    )
    return _outcomes(counts, verdicts)


def _outcomes(counts: BlockCounts, verdicts: Verdicts) -> list[BlockOutcome]:
    """Return verdicts in arrays as one outcome a block."""
    ten = ten_counts(counts)
    rounds = counts.pair_counts.sum(axis=(1, 2)).tolist()
    columns = (verdicts.secret_bits, verdicts.chsh, verdicts.chsh_lower_bound, verdicts.error_rate)
    return [
        BlockOutcome(
            abort=verdicts.abort(block),
            bits=bits,
            counts=ten[block],
            rounds=rounds[block],
            chsh_value=_or_none(chsh),
            lower_bound=_or_none(bound),
            error_rate=_or_none(error),
        )
        for block, (bits, chsh, bound, error) in enumerate(
            zip(*(column.tolist() for column in columns), strict=True)
        )
    ]


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


def _rang(outcome: BlockOutcome) -> bool:
    return outcome.watched is not None and outcome.watched.rang
