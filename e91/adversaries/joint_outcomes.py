"""Eve's qubits in every shot of Aer, and the exact probabilities of what she and the parties find.

The literal route: nothing is drawn afterwards.  It costs 5 to 40 % of the speed, since Aer samples
her qubits with the parties', and is the second opinion on `e91.adversaries.channel`.
"""

import numpy as np
from e91_circuits import measured_qubit, outcome_bit
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Clbit
from qiskit_aer import AerSimulator

from e91.adversaries.notes import Answers, TappedDevice
from e91.devices.aer import shot_bits, shots_of_rounds
from e91.devices.circuits import CircuitTable
from e91.model.bits import Bits
from e91.model.device import DeviceInfo, Progress, no_progress


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
    table, root = joint_table(circuits), np.random.SeedSequence(seed)
    # Eve knows her symbol and, after the announcement, both settings.
    best = table.sum(axis=3).argmax(axis=2).astype(np.uint8)

    def answer(x: Bits, y: Bits) -> Answers:
        """Measure every round's circuit once, and let Eve guess from her register."""
        alice, bob, kind = (np.empty(len(x), np.uint8) for _ in range(3))
        for rounds, circuit, words in shots_of_rounds(circuits, x, y, root):
            alice[rounds] = shot_bits(circuit, outcome_bit(circuit, "alice"), words)
            bob[rounds] = shot_bits(circuit, outcome_bit(circuit, "bob"), words)
            kind[rounds] = sum(
                shot_bits(circuit, bit, words) << np.uint8(place)
                for place, bit in enumerate(_note_bits(circuit))
            )
            progress(len(rounds))
        return Answers(alice, bob, best[x, y, kind], kind)

    return TappedDevice(info, answer, memory_information)


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
