"""Attacks on the detectors of an honest pair source: time shift and blinding.

Neither changes S or the error rate of the coincidences.  Both rest on losses that depend on what
is measured, which a security model with fair sampling assumes away.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from e91.adversaries.notes import Answers, TappedDevice, random_stream
from e91.model.bits import NO_CLICK, Bits
from e91.model.device import Device, DeviceInfo, info_of
from e91.model.settings import Settings


def time_shift(
    device: Device, ratio: float, *, settings: Settings, seed: int | None = None
) -> TappedDevice:
    """Return ``device`` with Eve shifting Bob's photons to where one detector hardly sees them.

    In each round she makes one of Bob's two detectors, at random, ``ratio`` times less efficient
    than the other, which stays perfect.  Bob's bit is then her shift with probability
    r / (1 + r), though over all rounds it is unbiased.

    Args:
        device: The honest pairs, without losses.
        ratio: r, at least 1, finite.
        settings: The device's settings.
        seed: Root of Eve's randomness; None takes it from the operating system.

    Raises:
        ValueError: ``ratio`` is below 1 or not finite.

    Source:
        Qi, Fung, Lo and Ma, Quantum Inf. Comput. 7, 73 (2007), section 2.
    """
    if not (math.isfinite(ratio) and ratio >= 1):
        raise ValueError(f"`ratio` must be finite and at least 1, but is {ratio}.")
    generator = random_stream("time shift", seed)

    def answer(x: Bits, y: Bits) -> Answers:
        """Lose photons of the outcome that the shift of Bob's detectors disfavours."""
        a, b = device(x, y)
        favoured = generator.integers(2, size=len(x), dtype=np.uint8)
        lost = (b != favoured) & (generator.random(len(x)) >= 1 / ratio)
        seen = np.where(lost, np.uint8(NO_CLICK), b)
        return Answers(a, seen, favoured, np.ones_like(a))

    description = f"Honest pairs; Bob's detectors shifted to efficiencies 1 : {ratio:g}."
    return TappedDevice(DeviceInfo(settings, description, reproducible=seed is not None), answer)


def blinding(
    device: Device, fraction: float, *, settings: Settings, seed: int | None = None
) -> TappedDevice:
    """Return ``device`` with Bob's detectors blinded in a fraction of the rounds.

    Blinded detectors answer to bright light only.  Eve measures Bob's photon at one of his
    settings, chosen uniformly, and sends bright light in the state that she found: it fires his
    detector if he has the same setting, with her outcome, and none otherwise.

    Args:
        device: The honest pairs, without losses.
        fraction: Probability that a round is blinded, in [0, 1].
        settings: The device's settings.
        seed: Root of Eve's randomness; None takes it from the operating system.

    Raises:
        ValueError: ``fraction`` is not in [0, 1].

    Source:
        Lydersen et al., Nat. Photonics 4, 686 (2010); against a Bell test, Gerhardt et al., Phys.
        Rev. Lett. 107, 170404 (2011).
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"`fraction` must lie in [0, 1], but is {fraction}.")
    generator = random_stream("blinding", seed)

    def answer(x: Bits, y: Bits) -> Answers:
        """Let a blinded Bob click only at the setting at which Eve measured."""
        a, b = device(x, y)
        blinded = generator.random(len(x)) < fraction
        measured = generator.integers(len(settings.bob_angles), size=len(x), dtype=np.uint8)
        # Where the settings agree, Bob's outcome is the one that Eve found and sent on.
        seen = np.where(blinded & (measured != y), np.uint8(NO_CLICK), b)
        known = blinded & (measured == y)
        guess = np.where(known, b, np.uint8(0))
        return Answers(a, seen, guess, known.astype(np.uint8))

    description = f"Honest pairs; Bob's detectors blinded in {fraction:.4g} of the rounds."
    return TappedDevice(DeviceInfo(settings, description, reproducible=seed is not None), answer)


def held_by_eve(device: Device, *, settings: Settings) -> TappedDevice:
    """Return ``device`` with Eve in Bob's place: his outcomes are hers, and she notes them all.

    One leg of a man in the middle; `e91.adversaries.man_in_the_middle` is what she does to the
    messages.

    Args:
        device: Honest pairs.
        settings: The device's settings.
    """

    def answer(x: Bits, y: Bits) -> Answers:
        """Answer honestly; Eve's half shows her Bob's outcome."""
        a, b = device(x, y)
        return Answers(a, b, b, np.ones_like(b))

    description = "Honest pairs, the other half of each held by Eve."
    return TappedDevice(
        replace(info_of(device), settings=settings, description=description), answer
    )
