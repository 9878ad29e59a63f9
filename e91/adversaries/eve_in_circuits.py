"""Eve in the circuits: a device that keeps her notes, or reads her quantum memory.

The same circuits serve three simulators.  ``exact`` draws rounds from the probabilities that Aer's
density matrix gives, ``aer`` makes every round a shot of the two photons; both run at the speed of
a device without Eve, and draw her notes when they are read.  ``aer-with-eve`` makes her qubits part
of every shot: slower, the same distribution.
"""

from collections.abc import Callable
from functools import cache, partial

import numpy as np
from e91_circuits import (
    eve_qubits,
    flip_by_coin,
    memory_information,
    with_best_reading,
    without_eve,
)
from qiskit import QuantumCircuit

from e91.adversaries.channel import BlockTap, ChannelTap, Reading
from e91.adversaries.conditions import Conditions
from e91.adversaries.joint_outcomes import joint_table, shot_by_shot
from e91.adversaries.notes import TappedDevice
from e91.devices.aer import AerDevice
from e91.devices.circuits import (
    Analyser,
    Attack,
    Noise,
    pair_circuits,
)
from e91.devices.exact import ExactDevice, outcome_table
from e91.model.settings import Settings


def tapped_device(
    attack: Attack,
    conditions: Conditions,
    *,
    turned: Callable[[float], float] | None = None,
    flipped_at: float | None = None,
) -> ChannelTap | TappedDevice:
    """Return an apparatus with Eve in it, whose notes can be read afterwards.

    Args:
        attack: Transformation of the source that leaves Eve's quantum register `eve_memory`:
            measured into a classical register `eve` if she writes notes, unmeasured if she keeps
            a quantum memory.
        conditions: Settings, simulator, seed and noise, which acts after Eve's part.
        turned: Where Alice's analyser really stands when it is set to an angle, if Eve built it.
        flipped_at: The angle at which it flips the outcome by the last qubit of that register, if
            at all.

    Raises:
        ValueError: A number leaves its range, or the attack leaves no such register.

    Examples:
        >>> from e91_circuits import clone
        >>> device = tapped_device(partial(clone, disturbance=0.1), Conditions(0.1, seed=1))
        >>> a, b = device(np.zeros(1000, np.uint8), np.zeros(1000, np.uint8))
        >>> 0.7 < device.knowledge.guess_rate < 0.9, round(device.knowledge.information, 4)
        (True, 0.469)
    """
    settings, seed = conditions.settings, conditions.seed
    noise = Noise(visibility=conditions.visibility, **conditions.arm_noise)
    source, honest = noise.apparatus(attack)
    plain = _turned(honest, turned, flipped_at)
    eve_qubits(source)  # a source without her would be a device that knows nothing
    info = conditions.info(f"Eve in the circuits ({conditions.simulator}); {source.name}.")
    if conditions.simulator == "aer-with-eve":
        read = pair_circuits(source, settings=settings, analyser=partial(_read, plain))
        known = _memory_information(source, plain, settings)
        return shot_by_shot(
            read, info, memory_information=known, seed=seed, progress=conditions.progress
        )
    circuits = pair_circuits(source, settings=settings, analyser=plain)
    reading = cache(partial(_reading, source, plain, settings))
    notes = conditions.stream_seed("notes")
    if conditions.simulator == "exact":
        generator = conditions.random_stream("pairs")
        drawn = ExactDevice(info, outcome_table(circuits), generator)
        return BlockTap(drawn.announcing(conditions.progress), reading, notes)
    alone = tuple(tuple(without_eve(circuit) for circuit in row) for row in circuits)
    shots = AerDevice(info, alone, conditions.stream_seed("pairs"))
    return ChannelTap(shots.announcing(conditions.progress), reading, notes)


def _reading(source: QuantumCircuit, analyser: Analyser, settings: Settings) -> Reading:
    circuits = pair_circuits(source, settings=settings, analyser=partial(_read, analyser))
    return Reading(joint_table(circuits), _memory_information(source, analyser, settings))


def _turned(
    analyser: Analyser, turned: Callable[[float], float] | None, flipped_at: float | None
) -> Analyser:
    """Return Alice's analyser as Eve built it."""

    def measure(source: QuantumCircuit, alice: float, bob: float) -> QuantumCircuit:
        """Measure in turned bases, with a random flip at one setting."""
        sent = flip_by_coin(source) if flipped_at == alice else source
        return analyser(sent, alice if turned is None else turned(alice), bob)

    return measure


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
