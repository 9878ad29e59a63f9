"""Eve in the circuits: a device that keeps her notes, or reads her quantum memory.

The same circuits serve two simulators.  ``exact`` draws rounds from the probabilities that Aer's
density matrix gives, at the speed of a device without Eve, and her notes when they are read;
``aer`` makes every round a shot, Eve's part included.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Literal, NamedTuple

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
    measured_qubit,
    memory_information,
    outcome_bit,
    split_photons,
    with_best_reading,
)
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Clbit
from qiskit_aer import AerSimulator

from e91.devices.aer import SHOTS_PER_RUN
from e91.devices.dishonest_channel import ChannelTap, Reading
from e91.devices.dishonest_notes import Answers, TappedDevice, random_stream, stream_seed
from e91.devices.exact import ExactDevice, outcome_table
from e91.devices.source import (
    Analyser,
    Attack,
    CircuitTable,
    misreading_analyser,
    noisy_pair,
    pair_circuits,
)
from e91.model.bits import Bits
from e91.model.settings import Settings

Simulator = Literal["exact", "aer"]
"""Draw rounds from exact probabilities, or make every round a shot of Aer."""


class Shots(NamedTuple):
    """Both outcomes and Eve's symbol of each round; uint8, shape (n,) each."""

    alice: Bits
    bob: Bits
    symbol: Bits


Cells = Callable[[Bits, Bits], Shots]
"""From the settings of a block of rounds to its shots."""


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
        simulator: "exact" or "aer".
        readout_error: Probability that an outcome bit is misread, at either party, in [0, 1].
        turned: Where Alice's analyser really stands when it is set to an angle, if Eve built it.
        flipped_at: The angle at which it flips the outcome by the last qubit of `eve`, if at any.
        seed: Root of the physical randomness; None takes it from the operating system.
        noise: As for `e91.devices.source.noisy_pair`: visibility, dephasing, misalignment,
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
    if simulator == "exact":
        table = outcome_table(pair_circuits(source, settings=settings, analyser=plain))
        generator = random_stream("pairs", seed)
        photons = ExactDevice(settings, description, table, generator)
        reading = cache(partial(_reading, source, plain, settings))
        return ChannelTap(photons, description, reading, stream_seed("notes", seed))
    circuits = pair_circuits(source, settings=settings, analyser=partial(_read, plain))
    table = joint_table(circuits)
    cells = partial(_shots, circuits, np.random.SeedSequence(seed))
    return TappedDevice(
        settings=settings,
        description=description,
        answer=partial(_answer, cells, table),
        memory_information=_memory_information(source, plain, settings),
    )


def _reading(source: QuantumCircuit, analyser: Analyser, settings: Settings) -> Reading:
    circuits = pair_circuits(source, settings=settings, analyser=partial(_read, analyser))
    return Reading(joint_table(circuits), _memory_information(source, analyser, settings))


def _turned(
    analyser: Analyser, turned: Callable[[float], float] | None, flipped_at: float | None
) -> Analyser:
    """Return Alice's analyser as Eve built it."""

    def measure(source: QuantumCircuit, alice: float, bob: float) -> QuantumCircuit:
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


def _answer(cells: Cells, table: NDArray[np.float64], x: Bits, y: Bits) -> Answers:
    alice, bob, kind = cells(x, y)
    # Eve knows her symbol and, after the announcement, both settings.
    best = table.sum(axis=3).argmax(axis=2).astype(np.uint8)
    return Answers(alice, bob, best[x, y, kind], kind)


def _shots(circuits: CircuitTable, root: np.random.SeedSequence, x: Bits, y: Bits) -> Shots:
    """Make every round a shot of Aer, with a fresh seed for every run (see `AerDevice`)."""
    found = Shots(*(np.empty(len(x), np.uint8) for _ in range(3)))
    for i, j in np.ndindex(len(circuits), len(circuits[0])):
        chosen = np.flatnonzero((x == i) & (y == j))
        for start in range(0, len(chosen), SHOTS_PER_RUN):
            rounds = chosen[start : start + SHOTS_PER_RUN]
            seed = int(root.spawn(1)[0].generate_state(1, np.uint64)[0] >> np.uint64(1))
            simulator = AerSimulator(method="density_matrix", seed_simulator=seed)
            job = simulator.run(circuits[i][j], shots=len(rounds), memory=True)
            memory = job.result().data(0)["memory"]
            # Both outcomes and Eve's five bits at most: two bytes hold them.
            words = np.fromiter((int(word, 16) for word in memory), np.uint16, len(rounds))
            for column, part in zip(found, _parts(circuits[i][j], words), strict=True):
                column[rounds] = part
    return found


def _parts(circuit: QuantumCircuit, words: NDArray[np.uint16]) -> Shots:
    """Take each shot's word apart; Aer counts classical bits from the least one."""

    def bit(clbit: Clbit) -> Bits:
        place = circuit.find_bit(clbit).index
        return ((words >> np.uint16(place)) & np.uint16(1)).astype(np.uint8)

    symbol = np.zeros(len(words), np.uint8)
    for place, clbit in enumerate(_note_bits(circuit)):
        symbol |= bit(clbit) << np.uint8(place)
    alice, bob = (bit(outcome_bit(circuit, party)) for party in ("alice", "bob"))
    return Shots(alice, bob, symbol)
