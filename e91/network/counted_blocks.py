"""Blocks of links whose public counts are drawn, not their rounds: no key, the same verdicts.

The counts of a block are one multinomial variable, what error correction discloses follows from
measured runs, and the verdicts are those of sessions (`e91.session.conclude_many`).
"""

import math
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from e91.alarm.many import ten_counts
from e91.network.blocks import BlockOrder, BlockOutcome, tables_of
from e91.session.block_counts import BlockCounts, draw_counts
from e91.session.block_verdicts import Verdicts, conclude_many

_AHEAD = 64  # blocks of a link that are drawn at once


@dataclass(eq=False)
class _Ahead:
    """Blocks of one link that are drawn and not yet asked for, and the light that they had."""

    table: bytes
    rounds: int
    outcomes: deque[BlockOutcome] = field(default_factory=deque)


@dataclass(eq=False)
class Counted:
    """Blocks made by drawing their counts.

    Attributes:
        seed: Root of the draws; every link has its own generator.
    """

    seed: np.random.SeedSequence
    _generators: dict[int, np.random.Generator] = field(default_factory=dict, repr=False)
    _ahead: dict[int, _Ahead] = field(default_factory=dict, repr=False)

    def begin(self, wanted: BlockOrder) -> BlockOrder:
        """Take the order for a block."""
        return wanted

    def outcome(self, begun: BlockOrder) -> BlockOutcome:
        """Return what became of it."""
        if len(begun.pieces) > 1:
            return self._made(begun, [[rounds for rounds, _ in begun.pieces]])[0]
        ((rounds, table),) = begun.pieces
        ahead = self._ahead.get(begun.link)
        if ahead is None or ahead.table != table or ahead.rounds != rounds:
            ahead = self._ahead[begun.link] = _Ahead(table, rounds)
        if not ahead.outcomes:
            ahead.outcomes.extend(self._made(begun, [[rounds]] * _AHEAD))
        return ahead.outcomes.popleft()

    def drop(self, begun: BlockOrder) -> None:
        """Give a block up: nothing was done for it."""

    def close(self) -> None:
        """End nothing."""

    def _made(self, wanted: BlockOrder, rounds: list[list[int]]) -> list[BlockOutcome]:
        settings, policy = wanted.practice.settings, wanted.practice.policy
        rng = self._generator(wanted.link)
        tables = [tables_of(table, settings) for _, table in wanted.pieces]
        counts = draw_counts(rng, tables, rounds, settings=settings, policy=policy)
        key_size = round(wanted.rounds * settings.key_probability * (1 - policy.revealed_fraction))
        verdicts = conclude_many(rng, counts, key_size=key_size, settings=settings, policy=policy)
        return _outcomes(counts, verdicts)

    def _generator(self, link: int) -> np.random.Generator:
        if link not in self._generators:
            root = np.random.SeedSequence(self.seed.entropy, spawn_key=(*self.seed.spawn_key, link))
            self._generators[link] = np.random.Generator(np.random.Philox(root))
        return self._generators[link]


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
