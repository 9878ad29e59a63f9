"""What Eve keeps: the environment of her channel as a register `eve`, and how well she can read it.

Whatever Eve does to the photons is a channel, and every channel is a unitary on the photons and
on a register that Eve keeps (Stinespring, Proc. Am. Math. Soc. 6, 211 (1955)).  Dropping the
register gives the channel; keeping it gives all that Eve can ever know.  A register that she
leaves unmeasured is a quantum memory: she reads it when the settings have been announced, in the
basis that tells most about Alice's bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Qubit
from qiskit.circuit.library import UnitaryGate
from qiskit.quantum_info import DensityMatrix, partial_trace
from qiskit_aer.library import SetDensityMatrix

from e91_circuits.analyser import measured_qubit
from e91_circuits.channels import kraus_instruction
from e91_circuits.pairs import Party, party_qubit, photon_register

EVE = "eve"
"""Name of the classical register with Eve's notes."""

MEMORY = "eve_memory"
"""Name of Eve's quantum register."""

_PARTIES: tuple[Party, ...] = ("alice", "bob")


def with_eve(
    source: QuantumCircuit,
    operators: Sequence[ArrayLike],
    *,
    parties: Sequence[Party],
    description: str,
) -> QuantumCircuit:
    """Return ``source`` after the unitary ``|psi>|0> -> sum_k K_k |psi> |k>`` with Eve's register.

    Args:
        source: Circuit with quantum registers `alice_photon` and `bob_photon`, and none
            of Eve.
        operators: The Kraus operators K_k, as for `with_channel`.
        parties: On whose halves they act; the first is the last factor of a Kronecker product.
        description: A few words for the drawing and for the name of the new circuit.

    Returns:
        The new source, with the quantum register `eve_memory`, unmeasured; index k in it, first
        qubit least significant.  Tracing it out gives ``with_channel(source, operators, ...)``.

    Raises:
        ValueError: As for `with_channel`, or the source has a register `eve` already.

    Examples:
        >>> from e91_circuits.pairs import bell_pair
        >>> flip = [np.sqrt(0.9) * np.eye(2), np.sqrt(0.1) * np.array([[0, 1], [1, 0]])]
        >>> with_eve(bell_pair(), flip, parties=["bob"], description="flip 0.1").num_qubits
        3
    """
    kraus_instruction(operators, qubits=len(parties), description=description)  # checks them
    result: QuantumCircuit = source.copy(f"{source.name}, {description}")
    eve = _add_register(result, math.ceil(math.log2(max(2, len(operators)))))
    photons = [party_qubit(source, party) for party in parties]
    gate = _gate(np.vstack(operators), len(photons) + len(eve), label=f"Eve: {description}")
    result.append(gate, [*photons, *eve])
    return result


def emitted_by_eve(source: QuantumCircuit, state: ArrayLike, *, description: str) -> QuantumCircuit:
    """Return a source in which Eve throws the ordered pairs away and sends a state of her choice.

    Args:
        source: What Alice and Bob ordered; only its name survives, for the report.
        state: Amplitudes of the pure state of Alice's half, Bob's half and Eve's memory, shape
            (2, 2, d) with d a power of 2, at least 2; normalised.
        description: A few words for the drawing and for the name of the new circuit.

    Returns:
        The new source, with Eve's part in the quantum register `eve_memory`, unmeasured.

    Raises:
        ValueError: The amplitudes have another shape, or their norm is not 1.

    Examples:
        >>> from e91_circuits.pairs import bell_pair
        >>> product = np.zeros((2, 2, 2))
        >>> product[0, 0, 0] = 1
        >>> emitted_by_eve(bell_pair(), product, description="always 00").name
        'phi+ pair, always 00'
    """
    amplitudes = np.asarray(state, np.complex128)
    size = amplitudes.shape[-1] if amplitudes.ndim == 3 else 0
    if amplitudes.shape != (2, 2, size) or size < 2 or size & (size - 1):
        raise ValueError(
            f"`state` must have shape (2, 2, d), d a power of 2, but has shape {amplitudes.shape}."
        )
    norm = float(np.linalg.norm(amplitudes))
    if not math.isclose(norm, 1, rel_tol=0, abs_tol=1e-9):
        raise ValueError(f"`state` must have norm 1, but has norm {norm:.9g}.")
    result = QuantumCircuit(*(QuantumRegister(1, photon_register(party)) for party in _PARTIES))
    result.name = f"{source.name}, {description}"
    eve = _add_register(result, size.bit_length() - 1)
    # Qiskit counts from its first qubit, here Alice's, as the least significant.
    column = amplitudes.transpose(2, 1, 0).reshape(-1, 1)
    result.append(_gate(column, 2 + len(eve), label=f"Eve: {description}"), result.qubits)
    return result


def _add_register(circuit: QuantumCircuit, size: int) -> QuantumRegister:
    if any(register.name in (EVE, MEMORY) for register in [*circuit.qregs, *circuit.cregs]):
        raise ValueError("A source must have no register `eve` yet, but has one.")
    register = QuantumRegister(size, MEMORY)
    circuit.add_register(register)
    return register


def _gate(columns: NDArray[np.complex128], qubits: int, *, label: str) -> UnitaryGate:
    """Return a unitary whose first columns are the given orthonormal ones, padded with zeros."""
    isometry = np.zeros((2**qubits, columns.shape[1]), np.complex128)
    isometry[: len(columns)] = columns
    # The left singular vectors beyond the rank span the complement of the columns.
    complement = np.linalg.svd(isometry, full_matrices=True)[0][:, columns.shape[1] :]
    return UnitaryGate(np.hstack([isometry, complement]), label=label)


def eve_qubits(circuit: QuantumCircuit) -> list[Qubit]:
    """Return the qubits of Eve's register, least significant first.

    Args:
        circuit: With Eve's register, as `with_eve` and the attacks leave it.

    Returns:
        Her qubits, as many as the register has.

    Raises:
        ValueError: The circuit has no quantum register `eve_memory`.

    Examples:
        >>> from e91_circuits.pairs import bell_pair
        >>> nothing = [np.eye(2)]
        >>> len(eve_qubits(with_eve(bell_pair(), nothing, parties=["bob"], description="idle")))
        1
    """
    for register in circuit.qregs:
        if register.name == MEMORY:
            return list(register)
    raise ValueError("A tapped circuit must have a quantum register `eve_memory`, but has none.")


def with_notes(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return ``circuit`` with Eve's register measured in its own basis into a register `eve`.

    Args:
        circuit: With Eve's register, as `with_eve` and the attacks leave it.

    Returns:
        A copy; ``circuit`` is not changed.

    Examples:
        >>> from e91_circuits import bell_pair, entangle_probe, measured_pair
        >>> noted = with_notes(measured_pair(entangle_probe(bell_pair(), 0.6), 0.0, 0.0))
        >>> [register.name for register in noted.cregs]
        ['alice', 'bob', 'eve']
    """
    result: QuantumCircuit = circuit.copy()
    qubits = eve_qubits(circuit)
    notes = ClassicalRegister(len(qubits), EVE)
    result.add_register(notes)
    result.measure(qubits, notes)
    return result


def without_eve(measured: QuantumCircuit) -> QuantumCircuit:
    """Return a circuit of the two photons alone, with the outcomes that ``measured`` gives them.

    What Eve does to the photons, and all noise, is in the state that the new circuit begins with:
    the photons' state just before the measurements, Eve's register traced out.  It is for Aer,
    whose shots take longer with every qubit.

    Args:
        measured: Any measured source, with a register `eve` or without, nothing measured before
            its end.

    Returns:
        The new circuit of the same name, with two qubits and the two classical registers.

    Raises:
        ValueError: A party does not measure, or something is measured before the end.

    Examples:
        >>> from e91_circuits import bell_pair, entangle_probe, measured_pair
        >>> tapped = measured_pair(entangle_probe(bell_pair(), 0.6), 0.0, 0.0)
        >>> tapped.num_qubits, without_eve(tapped).num_qubits
        (3, 2)
    """
    bare = measured.remove_final_measurements(inplace=False)
    if "measure" in bare.count_ops():
        raise ValueError("A circuit must measure at its end only, but measures before it.")
    place = {party: bare.find_bit(measured_qubit(measured, party)).index for party in _PARTIES}
    others = sorted(set(range(bare.num_qubits)) - set(place.values()))
    # The trace keeps the order of the qubits that it leaves, and Aer sets a state in that order.
    ordered = sorted(_PARTIES, key=place.__getitem__)
    halves = [QuantumRegister(1, photon_register(party)) for party in ordered]
    result = QuantumCircuit(*halves, name=measured.name)
    pair = partial_trace(DensityMatrix(bare), others)
    result.append(SetDensityMatrix(pair), result.qubits)
    for party in _PARTIES:
        outcome = ClassicalRegister(1, party)
        result.add_register(outcome)
        result.measure(party_qubit(result, party), outcome[0])
    return result


def memory_states(measured: QuantumCircuit) -> NDArray[np.complex128]:
    """Return the states of Eve's memory that go with Alice's outcomes 0 and 1.

    Args:
        measured: What `measured_pair` made of a source with a quantum register `eve_memory`.

    Returns:
        Density matrices, each with its outcome's probability as trace; complex128, shape
        (2, d, d).  Eve's memory is what she holds when both settings are known to her.

    Raises:
        ValueError: The circuit has no register `eve`, or Alice does not measure.

    Examples:
        >>> from e91_circuits import bell_pair, entangle_probe, measured_pair
        >>> states = memory_states(measured_pair(entangle_probe(bell_pair(), 0.0), 0.0, 0.0))
        >>> float(abs(np.trace(states[0] @ states[1])).round(9))       # she can tell them apart
        0.0
    """
    bare = measured.remove_final_measurements(inplace=False)
    alice = bare.find_bit(measured_qubit(measured, "alice")).index
    eve = {bare.find_bit(qubit).index for qubit in eve_qubits(bare)}
    joint = partial_trace(DensityMatrix(bare), sorted(set(range(bare.num_qubits)) - eve - {alice}))
    place = sum(index < alice for index in eve)
    size = 2 ** len(eve)
    # On either side one axis for the qubits above Alice's, one for it, one for those below.
    split = (size >> place, 2, 1 << place)
    blocks = joint.data.reshape(*split, *split)
    states = [blocks[:, a, :, :, a, :].reshape(size, size) for a in (0, 1)]
    return np.array(states, np.complex128)


def with_best_reading(measured: QuantumCircuit) -> QuantumCircuit:
    """Return ``measured`` with Eve's memory read so that she guesses Alice's bit best.

    She measures in the eigenbasis of the difference of the two `memory_states`; her guess is
    right with probability ``(1 + ||rho_0 - rho_1||) / 2`` in trace norm, and no other
    measurement does better.

    Args:
        measured: What `measured_pair` made of a source with a quantum register `eve_memory`.

    Returns:
        The new circuit, whose register `eve` holds the index of the eigenvector, those with the
        largest eigenvalues (which speak for outcome 0) last.

    Raises:
        ValueError: As for `memory_states`.

    Source:
        Helstrom, Quantum Detection and Estimation Theory (1976), section IV.2.

    Examples:
        >>> from e91_circuits import bell_pair, entangle_probe, measured_pair
        >>> read = with_best_reading(measured_pair(entangle_probe(bell_pair(), 0.6), 0.0, 0.0))
        >>> [register.name for register in read.cregs]
        ['alice', 'bob', 'eve']
    """
    zero, one = memory_states(measured)
    basis = np.linalg.eigh(zero - one)[1]
    result: QuantumCircuit = measured.copy()
    result.append(UnitaryGate(basis.conj().T, label="Eve reads"), eve_qubits(measured))
    return with_notes(result)


def memory_information(measured: QuantumCircuit) -> float:
    """Return Holevo's bound on what Eve's memory tells about Alice's bit, in bits.

    ``S(sum_a rho_a) + H(a) - S(joint)`` with the `memory_states` rho_a: the mutual information
    between bit and memory.  For collective attacks this, not the success of single guesses, is
    what privacy amplification must remove.

    Args:
        measured: What `measured_pair` made of a source with a quantum register `eve_memory`.

    Returns:
        Bits of information about each bit of Alice's, in [0, 1].

    Raises:
        ValueError: As for `memory_states`.

    Source:
        Holevo, Probl. Inf. Transm. 9, 177 (1973).

    Examples:
        >>> from e91_circuits import bell_pair, entangle_probe, measured_pair
        >>> round(memory_information(measured_pair(entangle_probe(bell_pair(), 0.6), 0.0, 0.0)), 6)
        0.721928
    """
    states = memory_states(measured)
    probabilities = np.trace(states, axis1=1, axis2=2).real
    joint = sum(_entropy(np.linalg.eigvalsh(state)) for state in states)
    memory = _entropy(np.linalg.eigvalsh(states.sum(axis=0)))
    return max(0.0, memory + _entropy(probabilities) - joint)


def _entropy(weights: NDArray[np.float64]) -> float:
    """Return ``-sum w log2 w``; rounding errors at and below zero count as zero."""
    positive = weights[weights > 1e-15]
    return float(-(positive * np.log2(positive)).sum())
