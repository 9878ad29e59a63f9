"""How each attack becomes a device.  Imports Qiskit only when an attack needs photons."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from e91.adversaries.conditions import BASES, Conditions

if TYPE_CHECKING:
    from e91.adversaries.channel import ChannelTap
    from e91.adversaries.local_models import LocalModel
    from e91.adversaries.notes import TappedDevice
    from e91.model.device import Device

Build = Callable[[Conditions], "ChannelTap | TappedDevice"]
"""From the circumstances to a device with Eve in it."""


def _in_circuits(
    conditions: Conditions,
    name: str,
    *,
    turned: Callable[[float], float] | None = None,
    flipped_at: float | None = None,
    **options: Any,
) -> ChannelTap | TappedDevice:
    """Return a device with the circuit transformation ``name`` of Eve in it."""
    from e91.adversaries.circuit_attacks import circuit_attack, tapped_device

    return tapped_device(
        circuit_attack(name, **options),
        settings=conditions.settings,
        simulator=conditions.simulator,
        turned=turned,
        flipped_at=flipped_at,
        seed=conditions.seed,
        visibility=conditions.visibility,
        **conditions.arm_noise,
    )


def intercept_resend(conditions: Conditions) -> ChannelTap | TappedDevice:
    """Eve on Bob's arm, with a notebook."""
    angles = BASES[conditions.basis]
    if not angles:
        return _in_circuits(conditions, "intercept-resend along y", fraction=conditions.strength)
    return _in_circuits(conditions, "intercept-resend", fraction=conditions.strength, angles=angles)


def cloner(conditions: Conditions) -> ChannelTap | TappedDevice:
    """Eve on Bob's arm, with a quantum memory."""
    return _in_circuits(conditions, "cloner", disturbance=conditions.strength)


def probe(conditions: Conditions) -> ChannelTap | TappedDevice:
    """Eve on Bob's arm, with one qubit; along the first key angle."""
    return _in_circuits(
        conditions, "probe", overlap=conditions.strength, angle=conditions.key_angles[0]
    )


def separable(conditions: Conditions) -> ChannelTap | TappedDevice:
    """Eve at the source, with a notebook."""
    angles = conditions.key_angles
    return _in_circuits(conditions, "separable", fraction=conditions.strength, angles=angles)


def collective(conditions: Conditions) -> ChannelTap | TappedDevice:
    """Eve at the source and in Alice's analyser, with one qubit."""
    from e91.adversaries.circuit_attacks import collective_analyser

    return _in_circuits(
        conditions,
        "collective",
        chsh=conditions.strength,
        flips=conditions.flips,
        turned=collective_analyser(conditions.strength),
        flipped_at=conditions.key_angles[0] if conditions.flips else None,
    )


def photon_number_splitting(conditions: Conditions) -> ChannelTap | TappedDevice:
    """Eve on both arms of a pulsed source, with a counter and a quantum memory."""
    return _in_circuits(conditions, "photon-number-splitting", mean_pairs=conditions.strength)


def _local(conditions: Conditions, model: LocalModel, description: str) -> TappedDevice:
    from e91.adversaries.local_models import local_device

    device = local_device(
        model, settings=conditions.settings, description=description, seed=conditions.seed
    )
    return _noisy(conditions, device)


def _noisy(conditions: Conditions, device: TappedDevice) -> TappedDevice:
    from e91.adversaries.notes import with_white_noise

    return with_white_noise(device, conditions.visibility, seed=conditions.seed)


def local(conditions: Conditions) -> TappedDevice:
    """A mixture of deterministic strategies."""
    from e91.adversaries.local_models import mixture

    model = mixture(conditions.strength, settings=conditions.settings)
    return _local(
        conditions, model, f"Deterministic local strategies, S = {conditions.strength:g}."
    )


def detection_loophole(conditions: Conditions) -> TappedDevice:
    """Larsson's strategies."""
    from e91.adversaries.local_models import detection_loophole as model_of

    model = model_of(conditions.strength, settings=conditions.settings)
    return _local(
        conditions, model, f"Local strategies with losses, efficiency {conditions.strength:.4g}."
    )


def gisin(conditions: Conditions) -> TappedDevice:
    """The planar model of Gisin and Gisin."""
    from e91.adversaries.local_models import planar

    model = planar(conditions.strength, settings=conditions.settings)
    return _local(conditions, model, f"Planar local model, efficiency {conditions.strength:.4g}.")


def double_blinding(conditions: Conditions) -> TappedDevice:
    """Bright pulses into blinded detectors on both sides."""
    from e91.adversaries.blinding import double_blinding as model_of

    model = model_of(conditions.strength, settings=conditions.settings)
    return _local(
        conditions, model, f"Bright pulses at blinded detectors, S = {conditions.strength:.4g}."
    )


def setting_leak(conditions: Conditions) -> TappedDevice:
    """Local strategies and a leak between the laboratories."""
    from e91.adversaries.local_models import setting_leak as device_of

    return _noisy(
        conditions,
        device_of(conditions.strength, settings=conditions.settings, seed=conditions.seed),
    )


def _honest(conditions: Conditions, *, visibility: float) -> Device:
    """Return the honest pairs that an attack on something else is made with."""
    from e91.devices.aer import aer_device
    from e91.devices.exact import exact_device

    make = aer_device if conditions.simulator == "aer" else exact_device
    return make(
        settings=conditions.settings,
        visibility=visibility,
        dephasing=conditions.dephasing,
        misalignment=conditions.misalignment,
        amplitude_damping=conditions.amplitude_damping,
        readout_error=conditions.readout_error,
        seed=conditions.seed,
    )


def _session(conditions: Conditions) -> dict[str, Any]:
    return {"settings": conditions.settings, "seed": conditions.seed}


def memory(conditions: Conditions) -> TappedDevice:
    """Local strategies that remember, among honest pairs."""
    from e91.adversaries.changing_devices import memory_attack

    honest = _honest(conditions, visibility=1.0)  # white noise comes over all rounds alike
    return _noisy(conditions, memory_attack(honest, conditions.strength, **_session(conditions)))


def time_shift(conditions: Conditions) -> TappedDevice:
    """Honest pairs, Bob's detectors of unequal efficiency."""
    from e91.adversaries.detector_attacks import time_shift as device_of

    honest = _honest(conditions, visibility=conditions.visibility)
    return device_of(honest, conditions.strength, **_session(conditions))


def blinding(conditions: Conditions) -> TappedDevice:
    """Honest pairs, Bob's detectors under Eve's control."""
    from e91.adversaries.detector_attacks import blinding as device_of

    honest = _honest(conditions, visibility=conditions.visibility)
    return device_of(honest, conditions.strength, **_session(conditions))


def drift(conditions: Conditions) -> TappedDevice:
    """Honest pairs, getting worse."""
    from e91.adversaries.changing_devices import drifting

    honest = _honest(conditions, visibility=conditions.visibility)
    return drifting(honest, conditions.strength, rounds=conditions.rounds, **_session(conditions))


def turning_bad(conditions: Conditions) -> TappedDevice:
    """Honest pairs, then prepared answers."""
    from e91.adversaries.changing_devices import turning_bad as device_of

    honest = _honest(conditions, visibility=1.0)  # white noise comes over all rounds alike
    device = device_of(
        honest, conditions.strength, rounds=conditions.rounds, **_session(conditions)
    )
    return _noisy(conditions, device)


def replay(conditions: Conditions) -> TappedDevice:
    """A tape of honest outcomes."""
    from e91.adversaries.changing_devices import replaying

    honest = _honest(conditions, visibility=1.0)  # noise on the tape would be known to Eve
    return _noisy(conditions, replaying(honest, conditions.strength, **_session(conditions)))


def man_in_the_middle(conditions: Conditions) -> TappedDevice:
    """Honest pairs, Eve holding Bob's half."""
    from e91.adversaries.detector_attacks import held_by_eve

    return held_by_eve(
        _honest(conditions, visibility=conditions.visibility), settings=conditions.settings
    )
