"""Attacks on the detectors of an honest pair source: time shift and blinding.

Neither changes S or the error rate of the coincidences.  Both rest on losses that depend on what
is measured, which a security model with fair sampling assumes away.
"""

import math

import numpy as np

from e91.adversaries.adversary import Attack, Expected
from e91.adversaries.assumptions import Assumption
from e91.adversaries.building import acting_on_noisy_pairs
from e91.adversaries.conditions import Conditions
from e91.adversaries.notes import Answers, TappedDevice
from e91.model.bits import NO_CLICK, Bits
from e91.model.device import Device
from e91.model.numbers import TSIRELSON
from e91.security.shannon import binary_entropy


def _shifted(conditions: Conditions) -> Expected:
    """Bob's bit is the favoured one with probability r / (1 + r)."""
    ratio = conditions.strength
    guess = ratio / (1 + ratio)
    information = 1 - binary_entropy(guess)
    return Expected(TSIRELSON, 0.0, guess, information, (1.0, (1 + 1 / ratio) / 2))


def time_shift(device: Device, conditions: Conditions) -> TappedDevice:
    """Return ``device`` with Eve shifting Bob's photons to where one detector hardly sees them.

    In each round she makes one of Bob's two detectors, at random, r times less efficient than the
    other, which stays perfect; r is the strength.  Bob's bit is then her shift with probability
    r / (1 + r), though over all rounds it is unbiased.

    Source:
        Qi, Fung, Lo and Ma, Quantum Inf. Comput. 7, 73 (2007), section 2.
    """
    ratio = conditions.strength
    generator = conditions.random_stream("time shift")

    def answer(x: Bits, y: Bits) -> Answers:
        """Lose photons of the outcome that the shift of Bob's detectors disfavours."""
        a, b = device(x, y)
        favoured = generator.integers(2, size=len(x), dtype=np.uint8)
        lost = (b != favoured) & (generator.random(len(x)) >= 1 / ratio)
        seen = np.where(lost, np.uint8(NO_CLICK), b)
        return Answers(a, seen, favoured, np.ones_like(a))

    description = f"Honest pairs; Bob's detectors shifted to efficiencies 1 : {ratio:g}."
    return TappedDevice(conditions.info(description), answer)


def _blinded(conditions: Conditions) -> Expected:
    """A blinded detector fires if Eve chose the same of Bob's n settings."""
    fired = conditions.strength / len(conditions.settings.bob_angles)
    clicks = 1 - conditions.strength + fired
    known = fired / clicks
    return Expected(TSIRELSON, 0.0, (1 + known) / 2, known, (1.0, clicks))


def blinding(device: Device, conditions: Conditions) -> TappedDevice:
    """Return ``device`` with Bob's detectors blinded in a fraction of the rounds.

    Blinded detectors answer to bright light only.  Eve measures Bob's photon at one of his
    settings, chosen uniformly, and sends bright light in the state that she found: it fires his
    detector if he has the same setting, with her outcome, and none otherwise.

    Source:
        Lydersen et al., Nat. Photonics 4, 686 (2010); against a Bell test, Gerhardt et al., Phys.
        Rev. Lett. 107, 170404 (2011).
    """
    fraction, choices = conditions.strength, len(conditions.settings.bob_angles)
    generator = conditions.random_stream("blinding")

    def answer(x: Bits, y: Bits) -> Answers:
        """Let a blinded Bob click only at the setting at which Eve measured."""
        a, b = device(x, y)
        blinded = generator.random(len(x)) < fraction
        measured = generator.integers(choices, size=len(x), dtype=np.uint8)
        # Where the settings agree, Bob's outcome is the one that Eve found and sent on.
        seen = np.where(blinded & (measured != y), np.uint8(NO_CLICK), b)
        known = blinded & (measured == y)
        guess = np.where(known, b, np.uint8(0))
        return Answers(a, seen, guess, known.astype(np.uint8))

    description = f"Honest pairs; Bob's detectors blinded in {fraction:.4g} of the rounds."
    return TappedDevice(conditions.info(description), answer)


ATTACKS = (
    Attack(
        name="time-shift",
        summary="Eve shifts photons to where one of Bob's detectors hardly sees them.",
        meaning="ratio of the detector efficiencies",
        low=1,
        high=math.inf,
        default=4,
        breaks=(Assumption.FAIR_SAMPLING,),
        expected=_shifted,
        build=acting_on_noisy_pairs(time_shift),
    ),
    Attack(
        name="blinding",
        summary="Eve blinds Bob's detectors and lets them fire when it suits her.",
        meaning="fraction of the rounds",
        breaks=(Assumption.ANALYSERS, Assumption.FAIR_SAMPLING),
        expected=_blinded,
        build=acting_on_noisy_pairs(blinding),
    ),
)
