"""Eve in the circuits: a device that keeps her notes, or reads her quantum memory.

The same circuits serve three simulators.  ``exact`` draws rounds from the probabilities that Aer's
density matrix gives, ``aer`` makes every round a shot of the two photons; both run at the speed of
a device without Eve, and draw her notes when they are read.  ``aer-with-eve`` makes her qubits part
of every shot: slower, the same distribution.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Literal

import numpy as np
from e91_circuits import (
    clone,
    collective_angle,
    emit_collective,
    emit_separable,
    entangle_probe,
    eve_qubits,
    flip_by_coin,
    intercept_along_y,
    intercept_and_note,
    memory_information,
    split_photons,
    with_best_reading,
    without_eve,
)
from qiskit import QuantumCircuit

from e91.adversaries.channel import BlockTap, ChannelTap, Reading
from e91.adversaries.notes import TappedDevice, random_stream, stream_seed
from e91.adversaries.shots import joint_table, shot_by_shot
from e91.devices.aer import AerDevice
from e91.devices.circuits import (
    Analyser,
    Attack,
    misreading_analyser,
    noisy_pair,
    pair_circuits,
)
from e91.devices.exact import ExactDevice, outcome_table
from e91.model.device import DeviceInfo
from e91.model.settings import Settings

Simulator = Literal["exact", "aer", "aer-with-eve"]
"""Draw rounds from exact probabilities, make every round a shot of Aer, or Eve's part as well."""


_TRANSFORMATIONS: dict[str, Callable[..., QuantumCircuit]] = {
    "intercept-resend": intercept_and_note,
    "intercept-resend along y": intercept_along_y,
    "cloner": clone,
    "probe": entangle_probe,
    "separable": emit_separable,
    "collective": emit_collective,
    "photon-number-splitting": split_photons,
}


def circuit_attack(name: str, **options: object) -> Attack:
    """Return one of Eve's transformations of the source, for callers without Qiskit.

    Args:
        name: "intercept-resend", "intercept-resend along y", "cloner", "probe", "separable",
            "collective" or "photon-number-splitting".
        options: Its arguments, as in `e91_circuits.eavesdropper_attacks` and
            `e91_circuits.eavesdropper_pairs`.

    Raises:
        ValueError: The name is another one.
    """
    if name not in _TRANSFORMATIONS:
        known = ", ".join(_TRANSFORMATIONS)
        raise ValueError(f"`name` must be one of {known}, but is `{name}`.")
    return partial(_TRANSFORMATIONS[name], **options)


def tapped_device(
    attack: Attack,
    *,
    settings: Settings,
    simulator: Simulator = "exact",
    readout_error: float = 0.0,
    turned: Callable[[float], float] | None = None,
    flipped_at: float | None = None,
    seed: int | None = None,
    **noise: float,
) -> ChannelTap | TappedDevice:
    """Return an apparatus with Eve in it, whose notes can be read afterwards.

    Args:
        attack: Transformation of the source that leaves Eve's quantum register `eve`: measured
            into a classical register `eve` if she writes notes, unmeasured if she keeps a
            quantum memory.
        settings: The angles of both parties.
        simulator: "exact", "aer" or "aer-with-eve".
        readout_error: Probability that an outcome bit is misread, at either party, in [0, 1].
        turned: Where Alice's analyser really stands when it is set to an angle, if Eve built it.
        flipped_at: The angle at which it flips the outcome by the last qubit of `eve`, if at any.
        seed: Root of the physical randomness; None takes it from the operating system.
        noise: As for `e91.devices.circuits.noisy_pair`: visibility, dephasing, misalignment,
            amplitude_damping.  It acts after Eve and is not hers.

    Raises:
        ValueError: A number leaves its range, or the attack leaves no register `eve`.

    Examples:
        >>> from functools import cache, partial
        >>> from e91_circuits import clone
        >>> from e91.model.settings import BBM92
        >>> device = tapped_device(partial(clone, disturbance=0.1), settings=BBM92, seed=1)
        >>> a, b = device(np.zeros(1000, np.uint8), np.zeros(1000, np.uint8))
        >>> 0.7 < device.knowledge.guess_rate < 0.9, round(device.knowledge.information, 4)
        (True, 0.469)
    """
    source = noisy_pair(attack=attack, **noise)
    eve_qubits(source)  # a source without her would be a device that knows nothing
    plain = _turned(misreading_analyser(readout_error), turned, flipped_at)
    description = f"Eve in the circuits ({simulator}); {source.name}."
    if simulator == "aer-with-eve":
        return shot_by_shot(
            pair_circuits(source, settings=settings, analyser=partial(_read, plain)),
            settings=settings,
            description=description,
            memory_information=_memory_information(source, plain, settings),
            seed=seed,
        )
    info = DeviceInfo(settings, description, reproducible=seed is not None)
    circuits = pair_circuits(source, settings=settings, analyser=plain)
    reading = cache(partial(_reading, source, plain, settings))
    notes = stream_seed("notes", seed)
    if simulator == "exact":
        generator = random_stream("pairs", seed)
        return BlockTap(ExactDevice(info, outcome_table(circuits), generator), reading, notes)
    alone = tuple(tuple(without_eve(circuit) for circuit in row) for row in circuits)
    return ChannelTap(AerDevice(info, alone, stream_seed("pairs", seed)), reading, notes)


def _reading(source: QuantumCircuit, analyser: Analyser, settings: Settings) -> Reading:
    circuits = pair_circuits(source, settings=settings, analyser=partial(_read, analyser))
    return Reading(joint_table(circuits), _memory_information(source, analyser, settings))


def _turned(
    analyser: Analyser, turned: Callable[[float], float] | None, flipped_at: float | None
) -> Analyser:
    """Return Alice's analyser as Eve built it."""

    def measure(source: QuantumCircuit, alice: float, bob: float) -> QuantumCircuit:
        """Measure in turned bases, with a flip by coin at one setting."""
        sent = flip_by_coin(source) if flipped_at == alice else source
        return analyser(sent, alice if turned is None else turned(alice), bob)

    return measure


def collective_analyser(chsh: float) -> Callable[[float], float]:
    """Return how the optimal collective attack turns Alice's analyser; see `collective_angle`."""
    return partial(collective_angle, chsh=chsh)


def _writes_notes(circuit: QuantumCircuit) -> bool:
    return any(register.name == "eve" for register in circuit.cregs)


def _read(analyser: Analyser, source: QuantumCircuit, a: float, b: float) -> QuantumCircuit:
    circuit = analyser(source, a, b)
    return circuit if _writes_notes(circuit) else with_best_reading(circuit)


def _memory_information(
    source: QuantumCircuit, analyser: Analyser, settings: Settings
) -> float | None:
    """Return Holevo's bound, averaged over the key pairs; None if Eve wrote notes."""
    if _writes_notes(source):
        return None
    share = [settings.pair_probability(pair) for pair in settings.key_pairs]
    bits = [
        memory_information(analyser(source, settings.alice_angles[x], settings.bob_angles[y]))
        for x, y in settings.key_pairs
    ]
    return float(np.average(bits, weights=share))
