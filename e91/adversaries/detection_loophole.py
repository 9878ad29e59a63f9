"""Local models that hide in losses: all that a Bell test sees, if lost photons do not count.

Among the rounds in which both parties click a local model can show any correlation.  Both models
lose photons so that the losses look independent of the settings and of each other.
"""

import math

import numpy as np
from numpy.typing import NDArray

from e91.adversaries.adversary import WITHOUT_PHOTONS, Attack, Expected
from e91.adversaries.assumptions import Assumption
from e91.adversaries.conditions import Conditions
from e91.adversaries.local_models import (
    Instructions,
    LocalModel,
    best_strategies,
    chsh_terms,
    deterministic_strategies,
    following,
)
from e91.model.bits import NO_CLICK, Bits
from e91.model.numbers import TSIRELSON
from e91.model.settings import Settings

PLANAR_EFFICIENCY = 4 / (math.pi + 2)
"""Largest efficiency at which the planar model looks like two independent lossy detectors."""


def _larsson(conditions: Conditions) -> Expected:
    """S = 4 / eta - 2: Larsson, Phys. Rev. A 57, 3304 (1998)."""
    efficiency = conditions.strength
    return Expected(4 / efficiency - 2, 0.0, 1.0, 1.0, (efficiency, efficiency))


def _planar(conditions: Conditions) -> Expected:
    """Every correlation of phi+ in the plane."""
    return Expected(TSIRELSON, 0.0, 1.0, 1.0, (conditions.strength, conditions.strength))


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
        name="detection-loophole",
        summary="Prepared answers and losses that only look independent.",
        meaning="efficiency; S = 4 / efficiency - 2",
        low=2 / 3,
        default=0.8284,
        simulators=WITHOUT_PHOTONS,
        breaks=(Assumption.ANALYSERS, Assumption.FAIR_SAMPLING),
        expected=_larsson,
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
        expected=_planar,
        build=following(planar, "Planar local model, efficiency {:.4g}."),
    ),
)
