"""Eve in the circuits: a device that keeps her notes, or reads her quantum memory.

The same circuits serve three simulators.  ``exact`` draws rounds from the probabilities that Aer's
density matrix gives, ``aer`` makes every round a shot of the two photons; both run at the speed of
a device without Eve, and draw her notes when they are read.  ``aer-with-eve`` makes her qubits part
of every shot, and draws nothing afterwards: 5 to 40 % slower, the same distribution, and the second
opinion on `e91.adversaries.channel`.
"""

from collections.abc import Callable
from functools import cache, partial

import numpy as np
from e91_circuits import (
    eve_qubits,
    flip_by_coin,
    measured_qubit,
    memory_information,
    outcome_bit,
    with_best_reading,
    without_eve,
)
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Clbit
from qiskit_aer import AerSimulator

from e91.adversaries.channel import BlockTap, ChannelTap, Reading
from e91.adversaries.conditions import Conditions
from e91.adversaries.notes import Answers, TappedDevice
from e91.devices.aer import AerDevice, shot_bits, shots_of_rounds
from e91.devices.circuits import (
    Analyser,
    Attack,
    CircuitTable,
    Noise,
    pair_circuits,
)
from e91.devices.exact import ExactDevice, outcome_table
from e91.model.bits import Bits
from e91.model.device import DeviceInfo, Progress, no_progress
from e91.model.settings import Settings
from e91.system.keystreams import physics_entropy


def shot_by_shot(
    circuits: CircuitTable,
    info: DeviceInfo,
    *,
    memory_information: float | None,
    seed: int | None,
    progress: Progress = no_progress,
) -> TappedDevice:
    """Return a device whose every round is a shot of both photons and of Eve's register.

    Args:
        circuits: Measured circuits with classical registers `alice`, `bob` and `eve`.
        info: What the device says of itself.
        memory_information: Holevo's bound, in bits per key bit, if Eve has a quantum memory.
        seed: Root of the physical randomness; None takes it from the operating system.
        progress: Is called with the rounds of every run of Aer.
    """
    table, entropy = joint_table(circuits), physics_entropy(seed)
    # Eve knows her symbol and, after the announcement, both settings.
    best = table.sum(axis=3).argmax(axis=2).astype(np.uint8)

    def answer(x: Bits, y: Bits) -> Answers:
        """Measure every round's circuit once, and let Eve guess from her register."""
        alice, bob, kind = (np.empty(len(x), np.uint8) for _ in range(3))
        for rounds, circuit, words in shots_of_rounds(circuits, x, y, entropy):
            alice[rounds] = shot_bits(circuit, outcome_bit(circuit, "alice"), words)
            bob[rounds] = shot_bits(circuit, outcome_bit(circuit, "bob"), words)
            kind[rounds] = sum(
                shot_bits(circuit, bit, words) << np.uint8(place)
                for place, bit in enumerate(_note_bits(circuit))
            )
            progress(len(rounds))
        return Answers(alice, bob, best[x, y, kind], kind)

    return TappedDevice(info, answer, memory_information, circuits=circuits)


def joint_table(circuits: CircuitTable) -> NDArray[np.float64]:
    """Return the exact probabilities of both outcomes and Eve's symbol at every setting pair.

    Args:
        circuits: Measured circuits with classical registers `alice`, `bob` and `eve`.

    Returns:
        ``table[x, y, a, b, e]``, float64, each pair normalised.
    """
    probed = []
    for circuit in (circuit for row in circuits for circuit in row):
        bare = circuit.remove_final_measurements(inplace=False)
        halves = [measured_qubit(circuit, "alice"), measured_qubit(circuit, "bob")]
        bare.save_probabilities([*halves, *_eves(circuit)])
        probed.append(bare)
    result = AerSimulator(method="density_matrix").run(probed, shots=1).result()
    cells = [result.data(index)["probabilities"] for index in range(len(probed))]
    # Qiskit lists the outcomes with its first qubit, here Alice's, running fastest: [e, b, a].
    table = np.clip(np.reshape(cells, (len(circuits), len(circuits[0]), -1, 2, 2)), 0, None)
    ordered = table.transpose(0, 1, 4, 3, 2)
    normalised: NDArray[np.float64] = ordered / ordered.sum(axis=(2, 3, 4), keepdims=True)
    return normalised


def _eves(circuit: QuantumCircuit) -> list[object]:
    """Return the qubits that are measured into the register `eve`, least significant first."""
    measured = {
        instruction.clbits[0]: instruction.qubits[0]
        for instruction in circuit.data
        if instruction.operation.name == "measure"
    }
    return [measured[bit] for bit in _note_bits(circuit)]


def _note_bits(circuit: QuantumCircuit) -> list[Clbit]:
    return [bit for register in circuit.cregs if register.name == "eve" for bit in register]


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
    source, honest = noise.apparatus(
        attack, conditions.state or settings.state, written_for=settings.state
    )
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
        drawn = ExactDevice(info, outcome_table(circuits), physics_entropy(seed))
        drawn = drawn.announcing(conditions.progress)
        return BlockTap(drawn, reading, notes, circuits=circuits)
    alone = tuple(tuple(without_eve(circuit) for circuit in row) for row in circuits)
    shots = AerDevice(info, alone, outcome_table(alone), physics_entropy(seed))
    shots = shots.announcing(conditions.progress)
    return ChannelTap(shots, reading, notes, circuits=circuits)


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
