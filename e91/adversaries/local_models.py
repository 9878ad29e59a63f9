"""Dishonest devices without entanglement: local models, and one that learns a remote setting.

A *local model* draws a hidden variable and writes down, before any setting is known, the answer
to every question that either party might ask.  `Instructions` are exactly that, so a model that
is written this way is local by construction.  Eve knows the hidden variable.

Losses are part of an answer.  A local model obeys S <= 2 as long as every answer counts; among
the rounds in which both parties answer it can show any correlation (Pearle, Phys. Rev. D 2, 1418
(1970)), and that is what the detection loophole is.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from itertools import product
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from e91.adversaries.adversary import (
    WITHOUT_PHOTONS,
    Assumption,
    Attack,
    Build,
    Expected,
    answering,
)
from e91.adversaries.conditions import Conditions
from e91.adversaries.notes import Answer, Answers
from e91.model.bits import NO_CLICK, Bits
from e91.model.numbers import TSIRELSON, check_within
from e91.model.settings import Settings

Instructions = tuple[Bits, Bits]
"""Answers of Alice's and of Bob's device to every setting: uint8, shape (n, settings) each."""

LocalModel = Callable[[np.random.Generator, int], Instructions]
"""From randomness and a number of rounds to the instructions of those rounds."""

MakeModel: TypeAlias = Callable[[float, Settings], LocalModel]
"""From a strength, and the questions, to a local model."""


def following(make: MakeModel, description: str) -> Build:
    """Return what builds a device that follows a local model, with white noise over it.

    Args:
        make: The local model of a strength, for the settings.
        description: One sentence for the report, with a place for the strength.
    """

    def instructed(conditions: Conditions) -> Answer:
        model = make(conditions.strength, conditions.settings)
        generator = conditions.random_stream("hidden variable")

        def answer(x: Bits, y: Bits) -> Answers:
            """Let the model instruct both sides, who read the answers to their own settings."""
            alice, bob = model(generator, len(x))
            rounds = np.arange(len(x))
            a, b = alice[rounds, x], bob[rounds, y]
            return Answers(a, b, np.where(a == NO_CLICK, np.uint8(0), a), np.ones_like(a))

        return answer

    return answering(instructed, description)


@lru_cache
def deterministic_strategies(settings: Settings) -> tuple[Bits, Bits, NDArray[np.int64]]:
    """Return the deterministic strategies without errors in the key, and their CHSH values.

    Returns:
        Alice's answers, shape (m, settings), Bob's, shape (m, settings), and S of each
        strategy, +2 or -2, shape (m,).

    Examples:
        >>> from e91.model.settings import EKERT
        >>> alice, bob, chsh = deterministic_strategies(EKERT)
        >>> len(alice), sorted(set(chsh.tolist()))
        (16, [-2, 2])
    """
    size = len(settings.alice_angles)
    every = np.array(list(product((0, 1), repeat=size + len(settings.bob_angles))), np.uint8)
    alice, bob = every[:, :size], every[:, size:]
    agree = np.all([alice[:, x] == bob[:, y] for x, y in settings.key_pairs], axis=0)
    alice, bob = alice[agree], bob[agree]
    return alice, bob, sum(chsh_terms(alice, bob, settings), np.zeros(len(alice), np.int64))


def chsh_terms(alice: Bits, bob: Bits, settings: Settings) -> list[NDArray[np.int64]]:
    """Return the four signed products of the CHSH sum for each strategy."""
    return [
        sign * (1 - 2 * (alice[:, x] ^ bob[:, y]).astype(np.int64))
        for (x, y), sign in settings.chsh_pairs
    ]


def mixture(chsh: float, settings: Settings) -> LocalModel:
    """Return the mixture of deterministic strategies that has this S, and no errors in the key.

    Args:
        chsh: S, in [0, 2]: strategies with +2 and with -2 in proportion.
        settings: The questions.

    Raises:
        ValueError: ``chsh`` leaves its range.
    """
    check_within(0, 2, chsh=chsh)
    alice, bob, values = deterministic_strategies(settings)
    best, worst = np.flatnonzero(values == 2), np.flatnonzero(values == -2)

    def model(generator: np.random.Generator, rounds: int) -> Instructions:
        """Draw one of the best strategies, or of the worst, so that S is right on average."""
        good = generator.random(rounds) < (1 + chsh / 2) / 2
        row = np.where(good, generator.choice(best, rounds), generator.choice(worst, rounds))
        return alice[row], bob[row]

    return model


def best_strategies(settings: Settings) -> Instructions:
    """Return the deterministic strategies of S = 2 without errors in the key."""
    alice, bob, values = deterministic_strategies(settings)
    return alice[values == 2], bob[values == 2]


def _leaking(conditions: Conditions) -> Answer:
    """Return what a device answers in which Bob's half knows Alice's setting in some rounds.

    In those it wins every term of the CHSH sum, so that S = 2 + 2m, where m is the strength; in
    the others it follows an ordinary strategy of S = 2.  No error in the key, no sign of the leak
    in the marginals.
    """
    settings, probability = conditions.settings, conditions.strength
    generator = conditions.random_stream("hidden variable")
    alice, bob = best_strategies(settings)
    demanded = np.zeros((alice.shape[1], bob.shape[1]), np.bool_)
    differ = np.zeros_like(demanded, np.uint8)
    for pair, sign in (*((pair, 1) for pair in settings.key_pairs), *settings.chsh_pairs):
        demanded[pair], differ[pair] = True, sign < 0

    def answer(x: Bits, y: Bits) -> Answers:
        """Let Bob's side answer as is demanded where Alice's setting has leaked."""
        row = generator.integers(len(alice), size=len(x))
        leaked = generator.random(len(x)) < probability
        a = alice[row, x]
        b = np.where(leaked & demanded[x, y], a ^ differ[x, y], bob[row, y])
        return Answers(a, b, a, np.ones_like(a))

    return answer


PLANAR_EFFICIENCY = 4 / (math.pi + 2)
"""Largest efficiency at which the planar model looks like two independent lossy detectors."""


def detection_loophole(efficiency: float, settings: Settings) -> LocalModel:
    """Return the local model that shows S = 4 / efficiency - 2 among the coincidences.

    Losses look independent: every setting clicks with probability eta, every pair with eta^2.
    With probability 4 eta (1 - eta) one of the four settings of the CHSH sum is mute and the
    other three win both terms that are left; with 3 eta^2 - 2 eta an ordinary strategy of S = 2
    answers everything; else all four are mute.  Settings outside the CHSH sum copy the answer of
    their key partner and click independently.

    Args:
        efficiency: eta, in [2/3, 1].
        settings: The questions.

    Raises:
        ValueError: ``efficiency`` leaves its range.

    Source:
        S <= 4 / eta - 2 for every local model: Larsson, Phys. Rev. A 57, 3304 (1998).  The
        construction follows from the two rates and S of the three parts; a linear program over
        all strategies finds nothing better.
    """
    if not 2 / 3 - 1e-12 <= efficiency <= 1:
        raise ValueError(f"`efficiency` must lie in [2/3, 1], but is {efficiency}.")
    parts = (_partly_mute(settings), best_strategies(settings), _mute(settings))
    weights = [
        4 * efficiency * (1 - efficiency),
        max(0.0, 3 * efficiency**2 - 2 * efficiency),
        (1 - efficiency) ** 2,
    ]
    sizes = [len(part[0]) for part in parts]
    chances = np.repeat([w / size for w, size in zip(weights, sizes, strict=True)], sizes)
    alice, bob = (np.concatenate([part[party] for part in parts]) for party in (0, 1))
    free = [
        np.array([index not in used for index in range(table.shape[1])])
        for table, used in zip((alice, bob), _tested(settings), strict=True)
    ]

    def model(generator: np.random.Generator, rounds: int) -> Instructions:
        """Draw a strategy with its silences; at settings out of the test lose photons at random."""
        row = np.searchsorted(chances.cumsum()[:-1], generator.random(rounds), side="right")
        answers = []
        for table, loose in zip((alice, bob), free, strict=True):
            lost = generator.random((rounds, 1)) >= efficiency
            answers.append(np.where(loose & lost, np.uint8(NO_CLICK), table[row]))
        return answers[0], answers[1]

    return model


def _tested(settings: Settings) -> tuple[set[int], set[int]]:
    """Return the settings of either party that enter the CHSH sum."""
    pairs = [pair for pair, _ in settings.chsh_pairs]
    return {x for x, _ in pairs}, {y for _, y in pairs}


def _mute(settings: Settings) -> Instructions:
    """Return all strategies with every tested setting mute."""
    alice, bob, _ = deterministic_strategies(settings)
    alice, bob = alice.copy(), bob.copy()
    for table, used in zip((alice, bob), _tested(settings), strict=True):
        table[:, sorted(used)] = NO_CLICK
    return alice, bob


def _partly_mute(settings: Settings) -> Instructions:
    """Return, for each tested setting, the strategies that win every pair without it, it mute."""
    alice, bob, _ = deterministic_strategies(settings)
    terms = np.array(chsh_terms(alice, bob, settings))
    rows = []
    for party, used in enumerate(_tested(settings)):
        for slot in sorted(used):
            untouched = [pair[party] != slot for pair, _ in settings.chsh_pairs]
            chosen = np.all(terms[untouched] == 1, axis=0)
            tables = [alice[chosen].copy(), bob[chosen].copy()]
            tables[party][:, slot] = NO_CLICK
            rows.append(tables)
    return np.concatenate([a for a, _ in rows]), np.concatenate([b for _, b in rows])


def planar(efficiency: float, settings: Settings) -> LocalModel:
    """Return the local model that shows E = cos(a - b) at *all* angles among the coincidences.

    The hidden variable is a direction in the plane.  One party answers with its sign along the
    analyser; the other does too, but only with probability |cos|.  Roles are swapped at random,
    and rounds in which both are mute make the losses look independent at efficiency
    ``4 / (pi + 2)``; further independent losses give every smaller one.

    Args:
        efficiency: Probability of a click, in (0, 4 / (pi + 2)].
        settings: The questions.

    Raises:
        ValueError: ``efficiency`` leaves its range.

    Source:
        Gisin and Gisin, Phys. Lett. A 260, 323 (1999), restricted to a plane.  With roles
        swapped, single clicks have probability w (1 + 2 / pi) / 2 and coincidences 2 w / pi;
        the second is the square of the first for w = 8 pi / (pi + 2)^2.
    """
    if not 0 < efficiency <= PLANAR_EFFICIENCY + 1e-12:
        raise ValueError(
            f"`efficiency` must lie in (0, 4 / (pi + 2) = {PLANAR_EFFICIENCY:.4f}], but is "
            f"{efficiency}."
        )
    active = 8 * math.pi / (math.pi + 2) ** 2
    kept = efficiency / PLANAR_EFFICIENCY

    def model(generator: np.random.Generator, rounds: int) -> Instructions:
        """Draw a direction, which side is shy, and what each setting then answers."""
        direction = generator.uniform(0, 2 * math.pi, rounds)
        alice_is_shy = generator.random(rounds) < 0.5
        mute = generator.random(rounds) >= active
        answers = []
        parties = ((settings.alice_angles, alice_is_shy), (settings.bob_angles, ~alice_is_shy))
        for angles, shy in parties:
            courage = np.where(shy, generator.random(rounds), 0.0)
            lost = mute | (generator.random(rounds) >= kept)
            answers.append(_planar_answers(angles, direction, courage=courage, lost=lost))
        return answers[0], answers[1]

    return model


def _planar_answers(
    angles: tuple[float, ...],
    direction: NDArray[np.float64],
    *,
    courage: NDArray[np.float64],
    lost: NDArray[np.bool_],
) -> Bits:
    answers = np.empty((len(direction), len(angles)), np.uint8)
    for index, angle in enumerate(angles):
        along = np.cos(angle - direction)
        answers[:, index] = np.where(lost | (courage >= np.abs(along)), NO_CLICK, along < 0)
    return answers


ATTACKS = (
    Attack(
        name="local",
        summary="The devices follow prepared answers; a Bell test sees it.",
        meaning="S",
        high=2,
        default=2,
        simulators=WITHOUT_PHOTONS,
        breaks=(Assumption.ANALYSERS,),
        expected=lambda c: Expected(c.strength, 0.0, 1.0, 1.0),
        build=following(mixture, "Deterministic local strategies, S = {:g}."),
    ),
    Attack(
        name="setting-leak",
        summary="Bob's device learns Alice's setting in some rounds.",
        meaning="probability of a leak",
        default=0.4142,
        simulators=WITHOUT_PHOTONS,
        breaks=(Assumption.ANALYSERS, Assumption.SETTINGS),
        # S = 4 where the setting is known, 2 where not.
        expected=lambda c: Expected(2 + 2 * c.strength, 0.0, 1.0, 1.0),
        build=answering(_leaking, "Local strategies; Bob's half learns Alice's setting in {:.4g}."),
    ),
    Attack(
        name="detection-loophole",
        summary="Prepared answers and losses that only look independent.",
        meaning="efficiency; S = 4 / efficiency - 2",
        low=2 / 3,
        default=0.8284,
        simulators=WITHOUT_PHOTONS,
        breaks=(Assumption.ANALYSERS, Assumption.FAIR_SAMPLING),
        # Larsson, Phys. Rev. A 57, 3304 (1998).
        expected=lambda c: Expected(4 / c.strength - 2, 0.0, 1.0, 1.0, (c.strength, c.strength)),
        build=following(detection_loophole, "Local strategies with losses, efficiency {:.4g}."),
    ),
    Attack(
        name="gisin",
        summary="A local model with all correlations of a perfect pair, if losses are ignored.",
        meaning="efficiency",
        high=PLANAR_EFFICIENCY,
        default=0.75,
        simulators=WITHOUT_PHOTONS,
        breaks=(Assumption.ANALYSERS, Assumption.FAIR_SAMPLING),
        # Every correlation of phi+ in the plane.
        expected=lambda c: Expected(TSIRELSON, 0.0, 1.0, 1.0, (c.strength, c.strength)),
        build=following(planar, "Planar local model, efficiency {:.4g}."),
    ),
)
