"""Dishonest devices without entanglement: local models, and one that learns a remote setting.

A *local model* draws a hidden variable and writes down, before any setting is known, the answer
to every question that either party might ask.  `Instructions` are exactly that, so a model that
is written this way is local by construction.  Eve knows the hidden variable.

Losses are part of an answer.  A local model obeys S <= 2 as long as every answer counts; among
the rounds in which both parties answer it can show any correlation (Pearle, Phys. Rev. D 2, 1418
(1970)), and that is what the detection loophole is.
"""

from collections.abc import Callable
from functools import lru_cache
from itertools import product
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from e91.adversaries.adversary import WITHOUT_PHOTONS, Attack, Build, Expected
from e91.adversaries.assumptions import Assumption
from e91.adversaries.conditions import Conditions
from e91.adversaries.notes import (
    Answers,
    TappedDevice,
    with_white_noise,
)
from e91.model.bits import NO_CLICK, Bits
from e91.model.numbers import check_within
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

    def build(conditions: Conditions) -> TappedDevice:
        model = make(conditions.strength, conditions.settings)
        device = local_device(model, conditions, description.format(conditions.strength))
        return with_white_noise(device, conditions)

    return build


def local_device(model: LocalModel, conditions: Conditions, description: str) -> TappedDevice:
    """Return a device that follows a local model, with Eve knowing every answer."""
    generator = conditions.random_stream("hidden variable")

    def answer(x: Bits, y: Bits) -> Answers:
        """Let the model instruct both sides, who read the answers to their own settings."""
        alice, bob = model(generator, len(x))
        rounds = np.arange(len(x))
        a, b = alice[rounds, x], bob[rounds, y]
        return Answers(a, b, np.where(a == NO_CLICK, np.uint8(0), a), np.ones_like(a))

    return TappedDevice(conditions.info(description), answer)


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


def _mixed(conditions: Conditions) -> Expected:
    """Strategies of +2 and -2, all without errors in the key."""
    return Expected(conditions.strength, 0.0, 1.0, 1.0)


def _leaking(conditions: Conditions) -> Expected:
    """S = 4 where the setting is known, 2 where not."""
    return Expected(2 + 2 * conditions.strength, 0.0, 1.0, 1.0)


def _leaking_device(conditions: Conditions) -> TappedDevice:
    """Return a device in which Bob's half knows Alice's setting in some rounds.

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

    description = f"Local strategies; Bob's half learns Alice's setting in {probability:.4g}."
    device = TappedDevice(conditions.info(description), answer)
    return with_white_noise(device, conditions)


ATTACKS = (
    Attack(
        name="local",
        summary="The devices follow prepared answers; a Bell test sees it.",
        meaning="S",
        high=2,
        default=2,
        simulators=WITHOUT_PHOTONS,
        breaks=(Assumption.ANALYSERS,),
        expected=_mixed,
        build=following(mixture, "Deterministic local strategies, S = {:g}."),
    ),
    Attack(
        name="setting-leak",
        summary="Bob's device learns Alice's setting in some rounds.",
        meaning="probability of a leak",
        default=0.4142,
        simulators=WITHOUT_PHOTONS,
        breaks=(Assumption.ANALYSERS, Assumption.SETTINGS),
        expected=_leaking,
        build=_leaking_device,
    ),
)
