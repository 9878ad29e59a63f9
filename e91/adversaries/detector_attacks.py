"""Attacks on the detectors: time shift, and blinding of one party or of both.

The first two change neither S nor the error rate of the coincidences of honest pairs.  All rest on
losses that depend on what is measured, which a security model with fair sampling assumes away.

A blinded detector ignores photons and fires if the light on it exceeds a threshold.  An analyser
at angle t sends the share ``(1 + cos(t - l)) / 2`` of a pulse polarised along l to its detector
"+" and the rest to "-" (angles on the Bloch sphere).  With the pulse at most twice as bright as
the threshold never both fire, and what fires is a deterministic function of t:

    cos(t - l) > level: "+",     cos(t - l) < -level: "-",     else none,
    level = 2 threshold / intensity - 1, from 0 to 1.

Eve sends such a pulse to either party.  That is a local model, and she knows all its answers.
"""

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from e91.adversaries.adversary import (
    WITHOUT_PHOTONS,
    Assumption,
    Attack,
    Expected,
    acting_on_noisy_pairs,
)
from e91.adversaries.conditions import Conditions
from e91.adversaries.local_models import Instructions, LocalModel, following
from e91.adversaries.notes import Answer, Answers
from e91.model.bits import NO_CLICK, Bits
from e91.model.device import Device
from e91.model.numbers import TSIRELSON, check_within
from e91.model.settings import Settings
from e91.security.shannon import binary_entropy


def _shifted(conditions: Conditions) -> Expected:
    """Bob's bit is the favoured one with probability r / (1 + r)."""
    ratio = conditions.strength
    guess = ratio / (1 + ratio)
    information = 1 - binary_entropy(guess)
    return Expected(TSIRELSON, 0.0, guess, information, (1.0, (1 + 1 / ratio) / 2))


def time_shift(device: Device, conditions: Conditions) -> Answer:
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

    return answer


def _blinded(conditions: Conditions) -> Expected:
    """A blinded detector fires if Eve chose the same of Bob's n settings."""
    fired = conditions.strength / len(conditions.settings.bob_angles)
    clicks = 1 - conditions.strength + fired
    known = fired / clicks
    return Expected(TSIRELSON, 0.0, (1 + known) / 2, known, (1.0, clicks))


def blinding(device: Device, conditions: Conditions) -> Answer:
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

    return answer


_CLOSE = 1e-9  # radians; angles nearer than this are the same


def pulse_answers(angles: tuple[float, ...], *, direction: float, level: float) -> Bits:
    """Return what blinded detectors answer to a bright pulse at each setting.

    Args:
        angles: The settings, radians on the Bloch sphere.
        direction: Polarisation of the pulse, likewise.
        level: ``2 threshold / intensity - 1``, in [0, 1): below it no detector fires.

    Returns:
        0 for "+", 1 for "-", `NO_CLICK` for neither; uint8, shape (settings,).

    Raises:
        ValueError: ``level`` leaves its range.

    Examples:
        >>> pulse_answers((0.0, math.pi / 4, math.pi / 2), direction=math.pi / 2, level=0.1)
        array([2, 0, 0], dtype=uint8)
    """
    if not 0 <= level < 1:
        raise ValueError(f"`level` must lie in [0, 1), but is {level}.")
    shares = np.cos(np.array(angles) - direction)
    answers: Bits = np.where(np.abs(shares) <= level, NO_CLICK, shares < 0).astype(np.uint8)
    return answers


def _doubly_blinded(conditions: Conditions) -> Expected:
    """Of S = 2 / (1 - 2m), m the probability that a setting is mute."""
    mute = (1 - 2 / conditions.strength) / 2
    return Expected(conditions.strength, 0.0, 1.0, 1.0, (1 - mute, 1 - mute), 1 - 2 * mute)


def double_blinding(chsh: float, settings: Settings) -> LocalModel:
    """Return the local model of two blinded parties that shows this S, and no errors in the key.

    Every pair of pulses wins three terms of the CHSH sum and loses one, or leaves one setting of
    one party mute.  A mute test setting hides the lost term, so of the terms that are seen both
    are won.  Each setting of either party is mute with the same probability m, never two at once;
    then every setting clicks with probability 1 - m, every pair with 1 - 2m, and

        S = 2 / (1 - 2m):   m = 0 at S = 2, and efficiency 1 - m = (2 + sqrt 2) / 4 at 2 sqrt 2.

    Args:
        chsh: S among the coincidences, in [2, 2 sqrt 2].
        settings: The questions.

    Raises:
        ValueError: ``chsh`` leaves its range, or no pulses do this at the settings.

    Source:
        Adenier, Ohya, Watanabe, Basieva and Khrennikov, arXiv:1106.2754: the abstract, which alone
        was read, gives the efficiencies 100 % (a key without a Bell test) and 85.3 % (Ekert's
        protocol).  The pulses are found here by search, and their efficiency is derived above.
    """
    check_within(2, TSIRELSON + 1e-12, chsh=chsh)
    mute = (1 - 2 / chsh) / 2
    slots = [(0, x) for x in range(len(settings.alice_angles))]
    slots += [(1, y) for y in range(len(settings.bob_angles))]
    parts = [_pulse_pairs(settings, mute_slot=slot) for slot in [None, *slots]]
    weights = [1 - mute * len(slots), *[mute] * len(slots)]
    chances = np.concatenate(
        [np.full(len(part[0]), w / len(part[0])) for part, w in zip(parts, weights, strict=True)]
    )
    alice, bob = (np.concatenate([part[party] for part in parts]) for party in (0, 1))
    limits = chances.cumsum()[:-1]

    def model(generator: np.random.Generator, rounds: int) -> Instructions:
        """Draw the instructions that both pulses of a round give."""
        row = np.searchsorted(limits, generator.random(rounds), side="right")
        return alice[row], bob[row]

    return model


def _pulse_pairs(settings: Settings, *, mute_slot: tuple[int, int] | None) -> Instructions:
    """Return the answers to all useful pairs of pulses that leave just this setting mute."""
    tables = []
    for party, angles in enumerate((settings.alice_angles, settings.bob_angles)):
        silent = mute_slot[1] if mute_slot is not None and mute_slot[0] == party else None
        tables.append(np.array(sorted(set(_possible_answers(angles, silent)))))
    rows = [
        (one, two)
        for one in tables[0].astype(np.uint8)
        for two in tables[1].astype(np.uint8)
        if _is_useful(one, two, settings)
    ]
    if not rows:
        raise ValueError(f"`settings` must let bright pulses agree, but `{settings.name}` do not.")
    return np.array([one for one, _ in rows]), np.array([two for _, two in rows])


def _possible_answers(angles: tuple[float, ...], silent: int | None) -> Iterator[tuple[int, ...]]:
    """Yield the answers to every kind of pulse that leaves one setting, or none, mute."""
    flips = sorted({(t + turn) % (2 * math.pi) for t in angles for turn in _QUARTERS})
    if silent is None:
        # Between two directions at which an answer flips, all answers are the same.
        for a, b in pairwise([*flips, flips[0] + 2 * math.pi]):
            if b - a > _CLOSE:
                yield tuple(pulse_answers(angles, direction=(a + b) / 2, level=0.0).tolist())
        return
    for turn in _QUARTERS:
        direction = angles[silent] + turn
        shares = np.abs(np.cos(np.delete(np.array(angles), silent) - direction))
        level = float(min(shares, default=1.0)) / 2
        if level > _CLOSE:
            yield tuple(pulse_answers(angles, direction=direction, level=level).tolist())


_QUARTERS = (math.pi / 2, -math.pi / 2)


def _is_useful(alice: Bits, bob: Bits, settings: Settings) -> bool:
    """Whether these answers make no error in the key and add up to S = 2."""
    signs: list[NDArray[np.int64]] = [
        np.where(table == NO_CLICK, 0, 1 - 2 * table.astype(np.int64)) for table in (alice, bob)
    ]
    errors = any(signs[0][x] * signs[1][y] < 0 for x, y in settings.key_pairs)
    return (
        not errors
        and sum(sign * signs[0][x] * signs[1][y] for (x, y), sign in settings.chsh_pairs) == 2
    )


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
        build=acting_on_noisy_pairs(
            time_shift, "Honest pairs; Bob's detectors shifted to efficiencies 1 : {:g}."
        ),
    ),
    Attack(
        name="blinding",
        summary="Eve blinds Bob's detectors and lets them fire when it suits her.",
        meaning="fraction of the rounds",
        breaks=(Assumption.ANALYSERS, Assumption.FAIR_SAMPLING),
        expected=_blinded,
        build=acting_on_noisy_pairs(
            blinding, "Honest pairs; Bob's detectors blinded in {:.4g} of the rounds."
        ),
    ),
    Attack(
        name="double-blinding",
        summary="Eve blinds all detectors and fires those of both parties at will.",
        meaning="S, with efficiency 1/2 + 1/S",
        low=2,
        high=TSIRELSON,
        default=TSIRELSON,
        simulators=WITHOUT_PHOTONS,
        breaks=(Assumption.ANALYSERS, Assumption.FAIR_SAMPLING),
        expected=_doubly_blinded,
        build=following(double_blinding, "Bright pulses at blinded detectors, S = {:.4g}."),
    ),
)
