"""Eve on the photons: she measures, clones or probes them on their way, or is the source herself.

In each of these she is a channel between the source and the analysers, so that every closed form
follows from a density matrix; the tests compare them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from e91.adversaries.adversary import AS_CHANNEL, Attack, Expected
from e91.adversaries.assumptions import Assumption
from e91.adversaries.building import Source, acting_on_photons
from e91.adversaries.choices import Share, Word
from e91.adversaries.conditions import Conditions
from e91.model.numbers import TSIRELSON
from e91.security.shannon import binary_entropy

if TYPE_CHECKING:
    from e91.adversaries.channel import ChannelTap
    from e91.adversaries.notes import TappedDevice

BASES: dict[str, tuple[float, ...]] = {
    "z": (0.0,),
    "x": (math.pi / 2,),
    "random": (0.0, math.pi / 2),
    "breidbart": (math.pi / 4,),
    "y": (),
}
"""Eve's angles in each basis, radians in the plane of the settings; one of them for each photon.

The basis y is out of that plane."""

_BASIS = Word("basis", "along which Eve measures", tuple(BASES), "random")
_FLIPS = Share("flips", "share of key outcomes that Eve's device flips", 0.5)


def entropy_of(probability: float) -> float:
    """Return the binary entropy, in bits, of a probability that rounding may push over an end."""
    return binary_entropy(min(1.0, max(0.0, probability)))


def _mean_over_key(conditions: Conditions, value: Callable[[float], float]) -> float:
    """Return the mean of ``value(angle)`` over the key rounds."""
    settings = conditions.settings
    weights = [settings.pair_probability(pair) for pair in settings.key_pairs]
    values = [value(settings.alice_angles[x]) for x, _ in settings.key_pairs]
    return math.fsum(w * v for w, v in zip(weights, values, strict=True)) / math.fsum(weights)


def _measured_along(conditions: Conditions, angles: Sequence[float]) -> Expected:
    """Return what pairs show if a fraction of them is measured along known directions."""
    fraction = conditions.strength

    def mean(value: Callable[[float], float]) -> float:
        return _mean_over_key(
            conditions, lambda t: sum(value(t - phi) for phi in angles) / len(angles)
        )

    return Expected(
        chsh=TSIRELSON * (1 - fraction / 2),
        qber=fraction / 2 * mean(lambda delta: math.sin(delta) ** 2),
        guess_rate=0.5 + fraction / 2 * mean(lambda delta: abs(math.cos(delta))),
        information=fraction * mean(lambda delta: 1 - entropy_of(math.cos(delta / 2) ** 2)),
    )


# Intercept and resend ---------------------------------------------------------------------------


def _intercepted(conditions: Conditions) -> Expected:
    """Eve measures along the angles of her basis and resends."""
    basis = _BASIS.chosen(conditions)
    if basis == "y":
        fraction = conditions.strength
        return Expected(TSIRELSON * (1 - fraction), fraction / 2, 0.5, 0.0)
    return _measured_along(conditions, BASES[basis])


def _intercepting(conditions: Conditions) -> Source:
    """Eve on Bob's arm, with a notebook."""
    from e91_circuits import intercept_along_y, intercept_and_note

    angles, fraction = BASES[_BASIS.chosen(conditions)], conditions.strength
    if not angles:
        return partial(intercept_along_y, fraction=fraction)
    return partial(intercept_and_note, fraction=fraction, angles=angles)


# Phase-covariant cloner -------------------------------------------------------------------------


def _cloned(conditions: Conditions) -> Expected:
    """Independent bit and phase errors of rate D; the memory holds the phase error's entropy."""
    disturbance = conditions.strength
    return Expected(
        chsh=TSIRELSON * (1 - 2 * disturbance),
        qber=disturbance,
        guess_rate=0.5 + math.sqrt(disturbance * (1 - disturbance)),
        information=binary_entropy(disturbance),
    )


def _cloning(conditions: Conditions) -> Source:
    """Eve on Bob's arm, with a quantum memory."""
    from e91_circuits import clone

    return partial(clone, disturbance=conditions.strength)


# Entangling probe -------------------------------------------------------------------------------


def _probed(conditions: Conditions) -> Expected:
    """The memory states for a key at angle t from the probe's have |cos t| of their distance."""
    overlap, along = conditions.strength, conditions.key_angles[0]
    length = math.sqrt(1 - overlap**2)

    def holevo(t: float) -> float:
        mixed = math.hypot(overlap, length * math.cos(t - along))
        return entropy_of((1 + overlap) / 2) - entropy_of((1 + mixed) / 2)

    return Expected(
        chsh=TSIRELSON * (1 + overlap) / 2,
        qber=_mean_over_key(conditions, lambda t: (1 - overlap) / 2 * math.sin(t - along) ** 2),
        guess_rate=_mean_over_key(
            conditions, lambda t: (1 + length * abs(math.cos(t - along))) / 2
        ),
        information=_mean_over_key(conditions, holevo),
    )


def _probing(conditions: Conditions) -> Source:
    """Eve on Bob's arm, with one qubit; along the first key angle."""
    from e91_circuits import entangle_probe

    return partial(entangle_probe, overlap=conditions.strength, angle=conditions.key_angles[0])


# Separable pairs --------------------------------------------------------------------------------


def _separable(conditions: Conditions) -> Expected:
    """Eve sends pairs of equal photons along the key's own angles."""
    return _measured_along(conditions, conditions.key_angles)


def _emitting_separable(conditions: Conditions) -> Source:
    """Eve at the source, with a notebook."""
    from e91_circuits import emit_separable

    return partial(emit_separable, fraction=conditions.strength, angles=conditions.key_angles)


# Optimal collective attack on device-independent keys -------------------------------------------


def _collective(conditions: Conditions) -> Expected:
    """The bound of Acin et al. is reached: Phys. Rev. Lett. 98, 230501 (2007), eq. 7.

    It depends on S alone.  Errors in the key that Eve makes at random cost her nothing of it, so
    it is reached at every S together with every QBER.
    """
    overlap = math.sqrt(max(0.0, (conditions.strength / 2) ** 2 - 1))
    return Expected(
        chsh=conditions.strength,
        qber=_FLIPS.chosen(conditions),
        guess_rate=(1 + math.sqrt(max(0.0, 1 - overlap**2))) / 2,
        information=entropy_of((1 + overlap) / 2),
    )


def _collective_device(conditions: Conditions) -> ChannelTap | TappedDevice:
    """Eve at the source and in Alice's analyser, with one qubit."""
    from e91_circuits import collective_angle, emit_collective

    from e91.adversaries.eve_in_circuits import tapped_device

    chsh, flips = conditions.strength, _FLIPS.chosen(conditions)
    return tapped_device(
        partial(emit_collective, chsh=chsh, flips=flips),
        conditions,
        turned=partial(collective_angle, chsh=chsh),
        flipped_at=conditions.key_angles[0] if flips else None,
    )


ATTACKS = (
    Attack(
        name="intercept-resend",
        summary="Eve measures Bob's photons and resends what she found.",
        meaning="fraction of the pairs",
        options=(_BASIS,),
        simulators=AS_CHANNEL,
        expected=_intercepted,
        build=acting_on_photons(_intercepting),
    ),
    Attack(
        name="cloner",
        summary="Eve clones Bob's photons alike in all bases and keeps the clones.",
        meaning="disturbance D, the error rate",
        high=0.5,
        default=0.1,
        simulators=AS_CHANNEL,
        expected=_cloned,
        build=acting_on_photons(_cloning),
    ),
    Attack(
        name="probe",
        summary="Eve entangles a probe with Bob's photons along the key, and keeps it.",
        meaning="overlap of the probe's two states",
        default=0.5,
        simulators=AS_CHANNEL,
        expected=_probed,
        build=acting_on_photons(_probing),
    ),
    Attack(
        name="separable",
        summary="Eve's source sends pairs of equal photons without entanglement.",
        meaning="fraction of the pairs",
        simulators=AS_CHANNEL,
        expected=_separable,
        build=acting_on_photons(_emitting_separable),
    ),
    Attack(
        name="collective",
        summary="Eve builds source and analyser to know most of the key at a given S.",
        meaning="S",
        low=2,
        high=TSIRELSON,
        default=2.5,
        options=(_FLIPS,),
        settings=("asymmetric",),
        simulators=AS_CHANNEL,
        breaks=(Assumption.ANALYSERS,),
        expected=_collective,
        build=_collective_device,
    ),
)
