"""How each attack becomes a device.  Imports Qiskit only when an attack needs photons."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from e91.adversaries.scene import BASES, Scene

if TYPE_CHECKING:
    from e91.adversaries.channel import ChannelTap
    from e91.adversaries.local_models import LocalModel
    from e91.adversaries.notes import TappedDevice
    from e91.model.bits import Device

Build = Callable[[Scene], "ChannelTap | TappedDevice"]
"""From the circumstances to a device with Eve in it."""


def _in_circuits(
    scene: Scene,
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
        settings=scene.settings,
        simulator=scene.simulator,
        turned=turned,
        flipped_at=flipped_at,
        seed=scene.seed,
        visibility=scene.visibility,
        **scene.arm_noise,
    )


def intercept_resend(scene: Scene) -> ChannelTap | TappedDevice:
    """Eve on Bob's arm, with a notebook."""
    angles = BASES[scene.basis]
    if not angles:
        return _in_circuits(scene, "intercept-resend along y", fraction=scene.strength)
    return _in_circuits(scene, "intercept-resend", fraction=scene.strength, angles=angles)


def cloner(scene: Scene) -> ChannelTap | TappedDevice:
    """Eve on Bob's arm, with a quantum memory."""
    return _in_circuits(scene, "cloner", disturbance=scene.strength)


def probe(scene: Scene) -> ChannelTap | TappedDevice:
    """Eve on Bob's arm, with one qubit; along the first key angle."""
    return _in_circuits(scene, "probe", overlap=scene.strength, angle=scene.key_angles[0])


def separable(scene: Scene) -> ChannelTap | TappedDevice:
    """Eve at the source, with a notebook."""
    angles = scene.key_angles
    return _in_circuits(scene, "separable", fraction=scene.strength, angles=angles)


def collective(scene: Scene) -> ChannelTap | TappedDevice:
    """Eve at the source and in Alice's analyser, with one qubit."""
    from e91.adversaries.circuit_attacks import collective_analyser

    return _in_circuits(
        scene,
        "collective",
        chsh=scene.strength,
        flips=scene.flips,
        turned=collective_analyser(scene.strength),
        flipped_at=scene.key_angles[0] if scene.flips else None,
    )


def photon_number_splitting(scene: Scene) -> ChannelTap | TappedDevice:
    """Eve on both arms of a pulsed source, with a counter and a quantum memory."""
    return _in_circuits(scene, "photon-number-splitting", mean_pairs=scene.strength)


def _local(scene: Scene, model: LocalModel, description: str) -> TappedDevice:
    from e91.adversaries.local_models import local_device

    device = local_device(model, settings=scene.settings, description=description, seed=scene.seed)
    return _noisy(scene, device)


def _noisy(scene: Scene, device: TappedDevice) -> TappedDevice:
    from e91.adversaries.notes import with_white_noise

    return with_white_noise(device, scene.visibility, seed=scene.seed)


def local(scene: Scene) -> TappedDevice:
    """A mixture of deterministic strategies."""
    from e91.adversaries.local_models import mixture

    model = mixture(scene.strength, settings=scene.settings)
    return _local(scene, model, f"Deterministic local strategies, S = {scene.strength:g}.")


def detection_loophole(scene: Scene) -> TappedDevice:
    """Larsson's strategies."""
    from e91.adversaries.local_models import detection_loophole as model_of

    model = model_of(scene.strength, settings=scene.settings)
    return _local(scene, model, f"Local strategies with losses, efficiency {scene.strength:.4g}.")


def gisin(scene: Scene) -> TappedDevice:
    """The planar model of Gisin and Gisin."""
    from e91.adversaries.local_models import planar

    model = planar(scene.strength, settings=scene.settings)
    return _local(scene, model, f"Planar local model, efficiency {scene.strength:.4g}.")


def double_blinding(scene: Scene) -> TappedDevice:
    """Bright pulses into blinded detectors on both sides."""
    from e91.adversaries.blinding import double_blinding as model_of

    model = model_of(scene.strength, settings=scene.settings)
    return _local(scene, model, f"Bright pulses at blinded detectors, S = {scene.strength:.4g}.")


def setting_leak(scene: Scene) -> TappedDevice:
    """Local strategies and a leak between the laboratories."""
    from e91.adversaries.local_models import setting_leak as device_of

    return _noisy(scene, device_of(scene.strength, settings=scene.settings, seed=scene.seed))


def _honest(scene: Scene, *, visibility: float) -> Device:
    """Return the honest pairs that an attack on something else is made with."""
    from e91.devices.aer import aer_device
    from e91.devices.exact import exact_device

    make = aer_device if scene.simulator == "aer" else exact_device
    return make(
        settings=scene.settings,
        visibility=visibility,
        dephasing=scene.dephasing,
        misalignment=scene.misalignment,
        amplitude_damping=scene.amplitude_damping,
        readout_error=scene.readout_error,
        seed=scene.seed,
    )


def _session(scene: Scene) -> dict[str, Any]:
    return {"settings": scene.settings, "seed": scene.seed}


def memory(scene: Scene) -> TappedDevice:
    """Local strategies that remember, among honest pairs."""
    from e91.adversaries.changing_devices import memory_attack

    honest = _honest(scene, visibility=1.0)  # white noise comes over all rounds alike
    return _noisy(scene, memory_attack(honest, scene.strength, **_session(scene)))


def time_shift(scene: Scene) -> TappedDevice:
    """Honest pairs, Bob's detectors of unequal efficiency."""
    from e91.adversaries.detector_attacks import time_shift as device_of

    honest = _honest(scene, visibility=scene.visibility)
    return device_of(honest, scene.strength, **_session(scene))


def blinding(scene: Scene) -> TappedDevice:
    """Honest pairs, Bob's detectors under Eve's control."""
    from e91.adversaries.detector_attacks import blinding as device_of

    honest = _honest(scene, visibility=scene.visibility)
    return device_of(honest, scene.strength, **_session(scene))


def drift(scene: Scene) -> TappedDevice:
    """Honest pairs, getting worse."""
    from e91.adversaries.changing_devices import drifting

    honest = _honest(scene, visibility=scene.visibility)
    return drifting(honest, scene.strength, rounds=scene.rounds, **_session(scene))


def turning_bad(scene: Scene) -> TappedDevice:
    """Honest pairs, then prepared answers."""
    from e91.adversaries.changing_devices import turning_bad as device_of

    honest = _honest(scene, visibility=1.0)  # white noise comes over all rounds alike
    device = device_of(honest, scene.strength, rounds=scene.rounds, **_session(scene))
    return _noisy(scene, device)


def replay(scene: Scene) -> TappedDevice:
    """A tape of honest outcomes."""
    from e91.adversaries.changing_devices import replaying

    honest = _honest(scene, visibility=1.0)  # noise on the tape would be known to Eve
    return _noisy(scene, replaying(honest, scene.strength, **_session(scene)))


def man_in_the_middle(scene: Scene) -> TappedDevice:
    """Honest pairs, Eve holding Bob's half."""
    from e91.adversaries.detector_attacks import held_by_eve

    return held_by_eve(_honest(scene, visibility=scene.visibility), settings=scene.settings)
