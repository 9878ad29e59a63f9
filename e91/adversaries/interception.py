"""Eve on the photons: she measures, clones or probes them on their way, or is the source herself.

In each of these she is a channel between the source and the analysers, so that every closed form
follows from a density matrix; the tests compare them.

Photon-number splitting keeps all photons of a pulsed source but one pair.  Through lines of low
efficiency a coincidence of n pairs is a Werner state of visibility (n + 2) / (3n), and Eve, who
counts the pairs, holds its purification.  The derivation is in `e91_circuits.eavesdropper_pairs`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from e91.adversaries.adversary import (
    AS_CHANNEL,
    Assumption,
    Attack,
    Expected,
    Source,
    acting_on_photons,
)
from e91.adversaries.conditions import Conditions, Share, Word
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


def _circuit(
    name: str, arguments: Callable[[Conditions], dict[str, Any]]
) -> Callable[[Conditions], Source]:
    """Return what chooses a function of `e91_circuits`, which loads Qiskit, when Eve acts."""

    def chosen(conditions: Conditions) -> Source:
        import e91_circuits

        return partial(getattr(e91_circuits, name), **arguments(conditions))

    return chosen


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


def _cloned(conditions: Conditions) -> Expected:
    """Independent bit and phase errors of rate D; the memory holds the phase error's entropy."""
    disturbance = conditions.strength
    return Expected(
        chsh=TSIRELSON * (1 - 2 * disturbance),
        qber=disturbance,
        guess_rate=0.5 + math.sqrt(disturbance * (1 - disturbance)),
        information=binary_entropy(disturbance),
    )


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


def _split(conditions: Conditions) -> Expected:
    """The mean over the pulses; in each of them Eve purifies a Werner state."""
    parts = _pulses(conditions.strength)
    visibility = math.fsum(w * v for w, v in parts)
    return Expected(
        chsh=TSIRELSON * visibility,
        qber=(1 - visibility) / 2,
        guess_rate=math.fsum(w * purifier_guess_rate(v) for w, v in parts),
        information=math.fsum(w * purifier_information(v) for w, v in parts),
    )


def _pulses(mean_pairs: float) -> list[tuple[float, float]]:
    """Return share and visibility of the coincidences from 1, ..., 7 and from more pairs."""
    ratio = mean_pairs / (2 + mean_pairs)  # of P(n + 1) / (n + 2) to P(n) / (n + 1)
    weights = [(n + 1) * n * n * ratio ** (n - 1) for n in range(1, 8)]
    # The sum of all weights, from that of the geometric series: 2 (1 + 2 r) / (1 - r)^4.
    total = 2 * (1 + 2 * ratio) / (1 - ratio) ** 4
    parts = [(w / total, (n + 2) / (3 * n)) for n, w in enumerate(weights, 1)]
    rest = max(0.0, 1 - math.fsum(w for w, _ in parts))
    above = (2 + mean_pairs) / (2 + 3 * mean_pairs) - math.fsum(w * v for w, v in parts)
    return [*parts, (rest, above / rest if rest > 1e-9 else 1 / 3)]


def purifier_guess_rate(visibility: float) -> float:
    """Return how often Eve guesses a bit from the purification of a Werner state.

    With visibility v its Bell weights are f = (1 + 3 v) / 4 and thrice g = (1 - v) / 4.  Where the
    bits differ, Eve's two memory states are orthogonal; where they agree their overlap is
    (f - g) / (f + g).
    """
    agree = (1 + visibility) / 2
    return (agree + math.sqrt(max(0.0, agree**2 - visibility**2))) / 2 + 1 - agree


def purifier_information(visibility: float) -> float:
    """Return Holevo's bound on a bit, given the purification of a Werner state."""
    best, each = (1 + 3 * visibility) / 4, (1 - visibility) / 4
    weights = [weight for weight in (best, each, each, each) if weight > 0]
    return -math.fsum(w * math.log2(w) for w in weights) - entropy_of((1 - visibility) / 2)


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
        build=acting_on_photons(_circuit("clone", lambda c: {"disturbance": c.strength})),
    ),
    Attack(
        name="probe",
        summary="Eve entangles a probe with Bob's photons along the key, and keeps it.",
        meaning="overlap of the probe's two states",
        default=0.5,
        simulators=AS_CHANNEL,
        expected=_probed,
        build=acting_on_photons(
            _circuit("entangle_probe", lambda c: {"overlap": c.strength, "angle": c.key_angles[0]})
        ),
    ),
    Attack(
        name="separable",
        summary="Eve's source sends pairs of equal photons without entanglement.",
        meaning="fraction of the pairs",
        simulators=AS_CHANNEL,
        expected=lambda c: _measured_along(c, c.key_angles),  # pairs of equal photons
        build=acting_on_photons(
            _circuit("emit_separable", lambda c: {"fraction": c.strength, "angles": c.key_angles})
        ),
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
    Attack(
        name="photon-number-splitting",
        summary="Eve keeps all photons of a pulsed source but one pair, and knows how many there "
        "were.",
        meaning="mean pairs per pulse",
        high=math.inf,
        default=0.1,
        simulators=AS_CHANNEL,
        expected=_split,
        build=acting_on_photons(_circuit("split_photons", lambda c: {"mean_pairs": c.strength})),
    ),
)
