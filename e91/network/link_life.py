"""A link while time passes: what its light is, the block in work, the alarm, its store's state."""

import math
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np

from e91.network.blocks import BlockOutcome
from e91.network.layout import Light, LinkPlan
from e91.network.light import Practice, Quality


class Condition(Enum):
    """Whether a link may be used; the value is what reports call it."""

    UP = "up"
    RANG = "quarantined"
    CUT = "cut"


@dataclass(eq=False)
class BlockInWork:
    """A block whose coincidences are being collected.

    Coincidences are a Poisson process, so that in units of *expected* coincidences the block ends
    after a gamma variable, whatever the rate does; what fell into an earlier part of that
    interval is binomial.

    Attributes:
        number: Of the block.
        rounds: Coincidences that it needs.
        exposure: Expected coincidences up to its end.
        exposed: Those up to `since_s`.
        since_s: When the present light began, or the block.
        quality: The present light.
        pieces: Coincidences collected before, with the light that they had.
        begun: Its making, handed out for the light that it has now; None while a satellite is out
            of sight.
    """

    number: int
    rounds: int
    exposure: float
    exposed: float
    since_s: float
    quality: Quality
    pieces: list[tuple[int, Quality]] = field(default_factory=list)
    begun: Any = None

    @property
    def end_s(self) -> float:
        """When it ends if the light stays as it is; infinite in the dark."""
        if not self.quality.per_second > 0:
            return math.inf
        return self.since_s + (self.exposure - self.exposed) / self.quality.per_second

    @property
    def all_pieces(self) -> list[tuple[int, Quality]]:
        """All its rounds with their light, if that stays as it is."""
        done = sum(rounds for rounds, _ in self.pieces)
        return [*self.pieces, (self.rounds - done, self.quality)]

    def change(self, now_s: float, quality: Quality, rng: np.random.Generator) -> None:
        """Go on with other light."""
        exposed = self.exposed + (now_s - self.since_s) * self.quality.per_second
        exposed = min(exposed, self.exposure)
        left = self.rounds - sum(rounds for rounds, _ in self.pieces)
        share = (exposed - self.exposed) / (self.exposure - self.exposed)
        seen = int(rng.binomial(left - 1, min(1.0, share)))  # the last one ends the block
        self.pieces.append((seen, self.quality))
        self.exposed, self.since_s, self.quality = exposed, now_s, quality


@dataclass(eq=False)
class LinkLife:
    """Everything about a link that changes.

    Attributes:
        index: Its number.
        plan: Its plan.
        light: Its kind; None where rates are published.
        practice: How it is run; the same.
        rng: Its own random numbers.
        eve: Name and strength of the adversary on it.
        quality: What it delivers now.
        rang: Whether its alarm rang and it is not back in service yet.
        is_cut: Whether it is cut.
        source_fails: Whether its source fails.
        dead_ends: Dead relays at its ends.
        number: Blocks begun.
        block: The one in work.
        good: Good blocks in a row since it rang.
        released_bits: Key that was released since the attack began that is on it.
        attacked_s: When the last attack began whose rounds the present test of the alarm saw.
        flowing: Of a published rate: bits that are made and not delivered yet.
        last: What became of the last block.
        tested: Of a published rate: the errors that the last second's test saw.
        store_limit: Bits at which the store is full.
        expected_bits: Bits to expect of a block.
        bits_per_second: Key rate to expect, the turns of its receiver counted in.
    """

    index: int
    plan: LinkPlan
    light: Light | None
    practice: Practice | None
    rng: np.random.Generator
    quality: Quality | None = None
    rang: bool = False
    is_cut: bool = False
    source_fails: bool = False
    dead_ends: set[str] = field(default_factory=set)
    number: int = 0
    block: BlockInWork | None = None
    good: int = 0
    eve: tuple[str, float | None] | None = None
    attacked_s: float | None = None
    released_bits: int = 0
    flowing: float = 0.0
    last: BlockOutcome | None = None
    tested: int = 0
    store_limit: float = math.inf
    expected_bits: int = 0
    bits_per_second: float = 0.0

    @property
    def condition(self) -> Condition:
        """Whether it may be used."""
        if self.is_cut:
            return Condition.CUT
        return Condition.RANG if self.rang else Condition.UP

    @property
    def dark(self) -> bool:
        """Whether no photon comes: its source fails, or a relay at its end is dead."""
        return self.source_fails or bool(self.dead_ends)

    @property
    def shines(self) -> bool:
        """Whether a block can be begun."""
        return (
            self.quality is not None
            and self.quality.per_second > 0
            and not self.dark
            and not self.is_cut
        )

    def forget_past_attack(self) -> None:
        """Begin the alarm's test anew, which has seen no attack but one that is still on."""
        if self.eve is None:
            self.attacked_s = None

    @property
    def waits_for_a_pass(self) -> bool:
        """Whether a satellite is out of sight: what was collected of a block then waits for it."""
        dark = self.quality is not None and not self.quality.per_second > 0
        return self.plan.medium == "satellite" and dark and not (self.dark or self.is_cut)

    def begin(self, now_s: float) -> BlockInWork:
        """Begin a block."""
        assert self.quality is not None
        assert self.light is not None
        rounds = self.light.block_rounds
        exposure = float(self.rng.gamma(rounds))
        self.block = BlockInWork(self.number, rounds, exposure, 0.0, now_s, self.quality)
        self.number += 1
        return self.block
