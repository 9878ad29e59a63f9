"""Devices that are not the same at every round: with memory, drifting, turning bad, replaying.

None of them has a table of probabilities: their rounds must be answered in order, and a device
counts them from call to call.  It must not be shared between threads.
"""

import cmath

import numpy as np
from numpy.typing import NDArray

from e91.adversaries.adversary import (
    Assumption,
    Attack,
    Expected,
    acting_on_noisy_pairs,
    acting_on_perfect_pairs,
)
from e91.adversaries.conditions import Conditions
from e91.adversaries.local_models import deterministic_strategies, mixture
from e91.adversaries.notes import Answer, Answers
from e91.model.bits import Bits
from e91.model.device import Device
from e91.model.numbers import TSIRELSON, Floats
from e91.model.settings import Settings


def _partly_local(conditions: Conditions) -> Expected:
    """Local strategies of S = 2 in a fraction of the rounds, honest pairs in the others."""
    fraction = conditions.strength
    chsh = TSIRELSON * (1 - fraction) + 2 * fraction
    return Expected(chsh, 0.0, (1 + fraction) / 2, fraction)


def memory_attack(device: Device, conditions: Conditions) -> Answer:
    """Return ``device`` with local strategies that remember in a fraction of the rounds.

    A deterministic strategy with S = 2 loses the CHSH game at just one setting pair.  This one
    loses where losing costs least: at the pair that has occurred most often so far, because
    there a lost round weighs least in the correlator.  The estimated S exceeds 2 by an amount
    that vanishes with the number of rounds; only statistics that hold for devices with memory
    are immune.

    Source:
        Barrett, Collins, Hardy, Kent and Popescu, Phys. Rev. A 66, 042111 (2002).
    """
    settings, fraction = conditions.settings, conditions.strength
    generator = conditions.random_stream("memory")
    so_far = np.zeros(4, np.int64)
    rows = _losing_at(settings)
    alice, bob, _ = deterministic_strategies(settings)

    def answer(x: Bits, y: Bits) -> Answers:
        """In Eve's rounds, lose only at the pair of settings with the highest count so far."""
        a, b = device(x, y)
        counts = _counts_before(x, y, settings, so_far=so_far)
        options = rows[counts.argmax(axis=1)]
        row = options[np.arange(len(x)), generator.integers(rows.shape[1], size=len(x))]
        acts = generator.random(len(x)) < fraction
        return _answered(acts, (alice[row, x], bob[row, y]), (a, b))

    return answer


def _answered(
    acts: NDArray[np.bool_], local: tuple[Bits, Bits], honest: tuple[Bits, Bits]
) -> Answers:
    """Return the local answers, which Eve knows, in the rounds where she acts."""
    a, b = (np.where(acts, one, other) for one, other in zip(local, honest, strict=True))
    return Answers(a, b, local[0], acts.astype(np.uint8))


def _losing_at(settings: Settings) -> NDArray[np.int64]:
    """Return, for each CHSH pair, the strategies of S = 2 that lose only there; shape (4, m)."""
    alice, bob, values = deterministic_strategies(settings)
    rows = [
        np.flatnonzero((values == 2) & ((alice[:, x] ^ bob[:, y]) == (1 if sign > 0 else 0)))
        for (x, y), sign in settings.chsh_pairs
    ]
    return np.array(rows)


def _counts_before(
    x: Bits, y: Bits, settings: Settings, *, so_far: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return how often each CHSH pair occurred before each round; advances ``so_far``."""
    hits = np.array([(x == i) & (y == j) for (i, j), _ in settings.chsh_pairs], np.int64)
    after = so_far[:, None] + hits.cumsum(axis=1)
    before: NDArray[np.int64] = (after - hits).T
    so_far += hits.sum(axis=1)
    return before


class _Clock:
    """How far a session has come."""

    def __init__(self, rounds: int) -> None:
        self._rounds = rounds
        self._done = 0

    def advance(self, count: int) -> Floats:
        """Return the time of each of the next ``count`` rounds, from 0 to 1."""
        start, self._done = self._done, self._done + count
        return np.minimum(1.0, (start + np.arange(count) + 0.5) / self._rounds)


def drifting(device: Device, conditions: Conditions) -> Answer:
    """Return ``device`` with its visibility falling steadily over the session.

    No Eve is in it; her notes are blank.  It looks like one all the same.  Rounds after the
    session's length stay at the visibility of its end.
    """
    loss = conditions.strength
    generator = conditions.random_stream("drift")
    clock = _Clock(conditions.rounds)

    def answer(x: Bits, y: Bits) -> Answers:
        """Replace more and more outcomes by random bits as the rounds go on."""
        a, b = device(x, y)
        spoiled = generator.random(len(x)) < loss * clock.advance(len(x))
        random = generator.integers(2, size=(2, len(x)), dtype=np.uint8)
        blank = np.zeros_like(a)
        return Answers(
            np.where(spoiled, random[0], a), np.where(spoiled, random[1], b), blank, blank
        )

    return answer


def turning_bad(device: Device, conditions: Conditions) -> Answer:
    """Return ``device`` replaced by a local model of S = 2 towards the end of the session.

    Rounds after the session's length are the local model's.
    """
    fraction = conditions.strength
    generator = conditions.random_stream("turning bad")
    clock = _Clock(conditions.rounds)
    model = mixture(2.0, conditions.settings)

    def answer(x: Bits, y: Bits) -> Answers:
        """Answer honestly, and in the last rounds by the local model."""
        honest = device(x, y)
        alice, bob = model(generator, len(x))
        row = np.arange(len(x))
        bad = clock.advance(len(x)) >= 1 - fraction
        return _answered(bad, (alice[row, x], bob[row, y]), honest)

    return answer


def _replayed(conditions: Conditions) -> Expected:
    """Unforeseen settings get outcomes whose mean product is the same at every pair."""
    settings, foreseen = conditions.settings, conditions.strength
    turns = [
        sum(p * cmath.exp(1j * angle) for p, angle in zip(chances, angles, strict=True))
        for chances, angles in (
            (settings.alice_probabilities, settings.alice_angles),
            (settings.bob_probabilities, settings.bob_angles),
        )
    ]
    product = (turns[0] * turns[1].conjugate()).real  # the mean of cos(a - b)
    signs = sum(sign for _, sign in settings.chsh_pairs)
    return Expected(
        chsh=TSIRELSON * foreseen + (1 - foreseen) * product * signs,
        qber=(1 - foreseen) * (1 - product) / 2,
        guess_rate=1.0,
        information=1.0,
    )


def replaying(device: Device, conditions: Conditions) -> Answer:
    """Return a device that plays back a tape of outcomes that Eve recorded beforehand.

    The tape was made from ``device``, at settings that she foresaw.  A round's settings are the
    foreseen ones with the strength's probability, because the parties' random choices repeat old
    ones; else the tape holds the outcomes of other, independent settings.  Eve knows every outcome
    in either case.
    """
    settings, probability = conditions.settings, conditions.strength
    generator = conditions.random_stream("replay")

    def answer(x: Bits, y: Bits) -> Answers:
        """Play the tape where the settings were foreseen, or else a tape of others."""
        foreseen = generator.random(len(x)) < probability
        taped = []
        for true, chances in ((x, settings.alice_probabilities), (y, settings.bob_probabilities)):
            other = generator.choice(len(chances), len(x), p=chances).astype(np.uint8)
            taped.append(np.where(foreseen, true, other))
        a, b = device(taped[0], taped[1])
        return Answers(a, b, a, np.ones_like(a))

    return answer


ATTACKS = (
    Attack(
        name="memory",
        summary="Prepared answers that lose where it costs least, given all past settings.",
        meaning="fraction of the rounds",
        breaks=(Assumption.ANALYSERS, Assumption.INDEPENDENT_ROUNDS),
        expected=_partly_local,
        build=acting_on_perfect_pairs(
            memory_attack, "Honest pairs; local strategies with memory in {:.4g} of the rounds."
        ),
    ),
    Attack(
        name="drift",
        summary="No Eve: the visibility falls steadily over the session.",
        meaning="visibility lost by the end",
        default=0.2,
        breaks=(Assumption.INDEPENDENT_ROUNDS,),
        # The mean visibility is 1 less half of what is lost by the end; there is no Eve.
        expected=lambda c: Expected(TSIRELSON * (1 - c.strength / 2), c.strength / 4, 0.5, 0.0),
        build=acting_on_noisy_pairs(
            drifting, "Honest pairs; visibility falls by {:.4g} over the session."
        ),
    ),
    Attack(
        name="turning-bad",
        summary="Honest devices are replaced by prepared answers late in the session.",
        meaning="share of the session after that",
        default=0.5,
        breaks=(Assumption.ANALYSERS, Assumption.INDEPENDENT_ROUNDS),
        expected=_partly_local,
        build=acting_on_perfect_pairs(
            turning_bad, "Honest pairs; a local model for the last {:.4g} of the session."
        ),
    ),
    Attack(
        name="replay",
        summary="The devices play back a tape, made for settings that Eve foresaw.",
        meaning="probability that a round's settings were foreseen",
        breaks=(Assumption.ANALYSERS, Assumption.SETTINGS),
        expected=_replayed,
        build=acting_on_perfect_pairs(
            replaying, "A tape of outcomes; {:.4g} of the settings were foreseen."
        ),  # noise on the tape would be known to Eve
    ),
)
