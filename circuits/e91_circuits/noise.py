"""What goes wrong on the way and at the detectors, from physical numbers.

Every function returns a new circuit and leaves its argument alone.  Channels act on a source,
in the order in which they are applied; `with_readout_error` acts on a measured pair.

Effect on the phi+ pair, with E(a, b) the mean product and Q(t) the error rate of a key whose two
analysers stand at the same angle t (S: the four CHSH angles of Ekert 1991):

==========================  ==================================================  ===============
imperfection                E(a, b)                                             S / (2 sqrt 2)
==========================  ==================================================  ===============
visibility V                V cos(a - b)                                        V
dephasing p                 cos a cos b + (1 - 2p) sin a sin b                  1 - p
misalignment d of Bob       cos(a - b + d)                                      cos d
amplitude damping g of Bob  (1 - g) cos a cos b + sqrt(1 - g) sin a sin b       (1-g+sqrt(1-g))/2
read-out error r, each bit  (1 - 2r) cos(a - b) per party that has it           1 - 2r per party
==========================  ==================================================  ===============

and always Q(t) = (1 - E(t, t)) / 2.  The table is derived from the Kraus operators below; the
tests compare it with a density matrix that is evolved without these circuits.
"""

from __future__ import annotations

import math

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Instruction

from e91_circuits.analyser import measured_qubit
from e91_circuits.channels import kraus_instruction, with_channel
from e91_circuits.pairs import Party, party_qubit

_PAULIS = (
    np.eye(2, dtype=np.complex128),
    np.array([[0, 1], [1, 0]], np.complex128),
    np.array([[0, -1j], [1j, 0]], np.complex128),
    np.diag([1, -1]).astype(np.complex128),
)


def with_visibility(source: QuantumCircuit, visibility: float) -> QuantumCircuit:
    """Mix the emitted pair with white noise: ``rho -> V rho + (1 - V) 1/4``.

    A Bell pair becomes a Werner state (Werner, Phys. Rev. A 40, 4277 (1989)) of fidelity
    (1 + 3V) / 4.  The channel acts on both halves at once, so it means the same for every
    source.  On a Bell pair it equals Qiskit's ``depolarizing_error(1 - V, 1)`` on one half.

    Args:
        source: Circuit with quantum registers `alice_photon` and `bob_photon`.
        visibility: V, contrast of the correlations, in [0, 1].

    Returns:
        A new circuit: the source, then the channel on both halves.

    Raises:
        ValueError: ``visibility`` is not in [0, 1].

    Examples:
        >>> from e91_circuits.pairs import bell_pair
        >>> from qiskit.quantum_info import DensityMatrix
        >>> float(DensityMatrix(with_visibility(bell_pair(), 0.9)).purity().real.round(4))
        0.8575
    """
    visibility = _probability("visibility", visibility)
    # All sixteen Pauli products with equal weight give the completely mixed state of two qubits.
    weight = (1 - visibility) / 16
    mixed = [math.sqrt(weight) * np.kron(bob, alice) for bob in _PAULIS for alice in _PAULIS]
    mixed[0] = math.sqrt(visibility + weight) * np.kron(_PAULIS[0], _PAULIS[0])
    return with_channel(
        source, mixed, parties=["alice", "bob"], description=f"visibility {visibility:g}"
    )


def with_dephasing(source: QuantumCircuit, probability: float, *, party: Party) -> QuantumCircuit:
    """Flip the phase of one half now and then: ``rho -> (1 - p) rho + p Z rho Z``.

    It leaves outcomes along Z alone and makes errors along X with probability p.

    Args:
        source: Circuit with quantum registers `alice_photon` and `bob_photon`.
        probability: p, in [0, 1]; at 1/2 no phase is left.
        party: Whose half.

    Returns:
        A new circuit: the source, then the channel on that half.

    Raises:
        ValueError: ``probability`` is not in [0, 1], or the half is missing.

    Examples:
        >>> from e91_circuits.pairs import bell_pair
        >>> with_dephasing(bell_pair(), 0.05, party="bob").name
        'phi+ pair, dephasing 0.05 (bob)'
    """
    probability = _probability("probability", probability)
    operators = [math.sqrt(1 - probability) * _PAULIS[0], math.sqrt(probability) * _PAULIS[3]]
    label = f"dephasing {probability:g} ({party})"
    return with_channel(source, operators, parties=[party], description=label)


def with_misalignment(source: QuantumCircuit, angle: float, *, party: Party) -> QuantumCircuit:
    """Turn one half by ``angle`` on its way, as a badly aligned fibre does.

    An analyser at theta then sees what one at theta - angle should have seen.

    Args:
        source: Circuit with quantum registers `alice_photon` and `bob_photon`.
        angle: Radians on the Bloch sphere: twice the turn of a linear polarisation.
        party: Whose half.

    Returns:
        A new circuit: the source, then a rotation of that half.

    Raises:
        ValueError: ``angle`` is not finite, or the half is missing.

    Examples:
        >>> from e91_circuits.pairs import bell_pair
        >>> with_misalignment(bell_pair(), 0.1, party="bob").count_ops()["ry"]
        1
    """
    if not math.isfinite(angle):
        raise ValueError(f"`angle` must be a finite number of radians, but is {angle}.")
    result: QuantumCircuit = source.copy()
    qubit = party_qubit(source, party)
    if angle:
        result.ry(angle, qubit)
        result.name = f"{source.name}, misalignment {angle:g} rad ({party})"
    return result


def with_amplitude_damping(
    source: QuantumCircuit, probability: float, *, party: Party
) -> QuantumCircuit:
    """Let one half decay from ``|1>`` to ``|0>`` with a probability.

    Nielsen and Chuang, Quantum Computation and Quantum Information (2010), eq. 8.108.  Outcomes
    along Z become biased: this noise is not Werner-like and not even unital.

    Args:
        source: Circuit with quantum registers `alice_photon` and `bob_photon`.
        probability: Probability that ``|1>`` has decayed, in [0, 1].
        party: Whose half.

    Returns:
        A new circuit: the source, then the channel on that half.

    Raises:
        ValueError: ``probability`` is not in [0, 1], or the half is missing.

    Examples:
        >>> from e91_circuits.pairs import bell_pair
        >>> from qiskit.quantum_info import DensityMatrix
        >>> damped = with_amplitude_damping(bell_pair(), 0.2, party="bob")
        >>> DensityMatrix(damped).probabilities([1]).round(9).tolist()
        [0.6, 0.4]
    """
    probability = _probability("probability", probability)
    stays = np.diag([1, math.sqrt(1 - probability)])
    decays = np.array([[0, math.sqrt(probability)], [0, 0]])
    label = f"amplitude damping {probability:g} ({party})"
    return with_channel(source, [stays, decays], parties=[party], description=label)


def with_readout_error(
    measured: QuantumCircuit, party: Party, *, one_given_zero: float, zero_given_one: float
) -> QuantumCircuit:
    """Misread one party's outcomes with the given probabilities.

    A channel just before the measurement flips the analysed half, which is exactly a classical
    confusion of the outcome: the diagonal of its density matrix is all that a measurement sees.
    Sampling therefore stays as fast as without it.

    Args:
        measured: A circuit that `measured_pair` made, or another whose classical register
            `party` is written by one measurement.
        party: Who misreads.
        one_given_zero: Probability to read 1 when the outcome is 0, in [0, 1].
        zero_given_one: Probability to read 0 when the outcome is 1, in [0, 1].

    Returns:
        A new circuit, with the channel before that party's measurement.

    Raises:
        ValueError: A probability is not in [0, 1], or the party measures nothing.

    Examples:
        >>> from e91_circuits import bell_pair, measured_pair
        >>> circuit = measured_pair(bell_pair(), 0.0, 0.0)
        >>> with_readout_error(circuit, "bob", one_given_zero=0.02, zero_given_one=0.03).name
        'phi+ pair, read-out error 0.02, 0.03 (bob)'
    """
    one_given_zero = _probability("one_given_zero", one_given_zero)
    zero_given_one = _probability("zero_given_one", zero_given_one)
    read_right = np.diag([math.sqrt(1 - one_given_zero), math.sqrt(1 - zero_given_one)])
    read_one = np.array([[0, 0], [math.sqrt(one_given_zero), 0]])
    read_zero = np.array([[0, math.sqrt(zero_given_one)], [0, 0]])
    label = f"read-out error {one_given_zero:g}, {zero_given_one:g} ({party})"
    channel = kraus_instruction([read_right, read_one, read_zero], qubits=1, description=label)
    return _before_measurement(measured, party, channel=channel)


def _before_measurement(
    measured: QuantumCircuit, party: Party, *, channel: Instruction | None
) -> QuantumCircuit:
    qubit = measured_qubit(measured, party)
    if channel is None:
        return measured.copy()
    result: QuantumCircuit = measured.copy_empty_like(f"{measured.name}, {channel.label}")
    for instruction in measured.data:
        if instruction.operation.name == "measure" and instruction.qubits[0] == qubit:
            result.append(channel, [qubit])
        result.append(instruction)
    return result


def _probability(name: str, value: float) -> float:
    """Return a probability in double precision, which the operators of a channel need."""
    if not 0 <= value <= 1:  # also refuses nan
        raise ValueError(f"`{name}` must lie in [0, 1], but is {value}.")
    return float(value)
