"""Devices that are not the same at every round: with memory, drifting, turning bad, replaying.

None of them has a table of probabilities: their rounds must be answered in order, and a device
counts them from call to call.  It must not be shared between threads.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from e91.adversaries.local_models import deterministic_strategies, mixture
from e91.adversaries.notes import Answers, TappedDevice, random_stream
from e91.model.bits import Bits
from e91.model.device import Device, DeviceInfo
from e91.model.settings import Settings


def memory_attack(
    device: Device, fraction: float, *, settings: Settings, seed: int | None = None
) -> TappedDevice:
    """Return ``device`` with local strategies that remember in a fraction of the rounds.

    A deterministic strategy with S = 2 loses the CHSH game at just one setting pair.  This one
    loses where losing costs least: at the pair that has occurred most often so far, because
    there a lost round weighs least in the correlator.  The estimated S exceeds 2 by an amount
    that vanishes with the number of rounds; only statistics that hold for devices with memory
    are immune.

    Args:
        device: The honest pairs of the other rounds.
        fraction: Probability that a round is answered from memory, in [0, 1].
        settings: The device's settings.
        seed: Root of Eve's randomness; None takes it from the operating system.

    Raises:
        ValueError: ``fraction`` is not in [0, 1].

    Source:
        Barrett, Collins, Hardy, Kent and Popescu, Phys. Rev. A 66, 042111 (2002).
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"`fraction` must lie in [0, 1], but is {fraction}.")
    generator = random_stream("memory", seed)
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
        mine = alice[row, x]
        return Answers(
            np.where(acts, mine, a), np.where(acts, bob[row, y], b), mine, acts.astype(np.uint8)
        )

    description = f"Honest pairs; local strategies with memory in {fraction:.4g} of the rounds."
    return TappedDevice(DeviceInfo(settings, description, reproducible=seed is not None), answer)


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


def drifting(
    device: Device, loss: float, *, settings: Settings, rounds: int, seed: int | None = None
) -> TappedDevice:
    """Return ``device`` with its visibility falling steadily from 1 to ``1 - loss``.

    No Eve is in it; her notes are blank.  It looks like one all the same.

    Args:
        device: The honest pairs at the start.
        loss: Visibility lost by the last round, in [0, 1].
        settings: The device's settings.
        rounds: Length of the session; later rounds stay at the end's visibility.
        seed: Root of the randomness; None takes it from the operating system.

    Raises:
        ValueError: ``loss`` is not in [0, 1].
    """
    if not 0 <= loss <= 1:
        raise ValueError(f"`loss` must lie in [0, 1], but is {loss}.")
    generator = random_stream("drift", seed)
    clock = _Clock(rounds)

    def answer(x: Bits, y: Bits) -> Answers:
        """Replace more and more outcomes by coins as the rounds go on."""
        a, b = device(x, y)
        spoiled = generator.random(len(x)) < loss * clock.advance(len(x))
        coins = generator.integers(2, size=(2, len(x)), dtype=np.uint8)
        blank = np.zeros_like(a)
        return Answers(np.where(spoiled, coins[0], a), np.where(spoiled, coins[1], b), blank, blank)

    description = f"Honest pairs; visibility falls by {loss:.4g} over the session."
    return TappedDevice(DeviceInfo(settings, description, reproducible=seed is not None), answer)


def turning_bad(
    device: Device, fraction: float, *, settings: Settings, rounds: int, seed: int | None = None
) -> TappedDevice:
    """Return ``device`` replaced by a local model of S = 2 towards the end of the session.

    Args:
        device: The honest pairs at the start.
        fraction: Share of the session, at its end, that the local model answers, in [0, 1].
        settings: The device's settings.
        rounds: Length of the session; later rounds are the local model's.
        seed: Root of the randomness; None takes it from the operating system.

    Raises:
        ValueError: ``fraction`` is not in [0, 1].
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"`fraction` must lie in [0, 1], but is {fraction}.")
    generator = random_stream("turning bad", seed)
    clock = _Clock(rounds)
    model = mixture(2.0, settings=settings)

    def answer(x: Bits, y: Bits) -> Answers:
        """Answer honestly, and in the last rounds by the local model."""
        a, b = device(x, y)
        alice, bob = model(generator, len(x))
        row = np.arange(len(x))
        bad = clock.advance(len(x)) >= 1 - fraction
        mine = alice[row, x]
        return Answers(
            np.where(bad, mine, a), np.where(bad, bob[row, y], b), mine, bad.astype(np.uint8)
        )

    description = f"Honest pairs; a local model for the last {fraction:.4g} of the session."
    return TappedDevice(DeviceInfo(settings, description, reproducible=seed is not None), answer)


def replaying(
    device: Device, probability: float, *, settings: Settings, seed: int | None = None
) -> TappedDevice:
    """Return a device that plays back a tape of outcomes that Eve recorded beforehand.

    The tape was made at settings that she foresaw.  A round's settings are the foreseen ones
    with probability f, because the parties' random choices repeat old ones; else the tape holds
    the outcomes of other, independent settings.  Eve knows every outcome in either case.

    Args:
        device: The honest pairs from which the tape was made.
        probability: f, the probability that both settings of a round were foreseen, in [0, 1].
        settings: The device's settings, with the probabilities of the unforeseen choices.
        seed: Root of the randomness; None takes it from the operating system.

    Raises:
        ValueError: ``probability`` is not in [0, 1].
    """
    if not 0 <= probability <= 1:
        raise ValueError(f"`probability` must lie in [0, 1], but is {probability}.")
    generator = random_stream("replay", seed)

    def answer(x: Bits, y: Bits) -> Answers:
        """Play the tape where the settings were foreseen, or else a tape of others."""
        foreseen = generator.random(len(x)) < probability
        taped = []
        for true, chances in ((x, settings.alice_probabilities), (y, settings.bob_probabilities)):
            other = generator.choice(len(chances), len(x), p=chances).astype(np.uint8)
            taped.append(np.where(foreseen, true, other))
        a, b = device(taped[0], taped[1])
        return Answers(a, b, a, np.ones_like(a))

    description = f"A tape of outcomes; {probability:.4g} of the settings were foreseen."
    return TappedDevice(DeviceInfo(settings, description, reproducible=seed is not None), answer)


class _Clock:
    """How far a session has come."""

    def __init__(self, rounds: int) -> None:
        self._rounds = rounds
        self._done = 0

    def advance(self, count: int) -> NDArray[np.float64]:
        """Return the time of each of the next ``count`` rounds, from 0 to 1."""
        start, self._done = self._done, self._done + count
        return np.minimum(1.0, (start + np.arange(count) + 0.5) / self._rounds)
