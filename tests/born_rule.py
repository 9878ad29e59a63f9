"""A second route to every outcome probability: 4 x 4 density matrices, written out in NumPy.

Alice is the first factor of every Kronecker product here (Qiskit has it the other way round),
so that a swap of the parties on either route shows.
"""

import numpy as np
from e91_circuits import bell_pair, measured_qubit, party_qubit
from qiskit import QuantumCircuit
from qiskit.quantum_info import DensityMatrix, partial_trace

Z, X = np.diag([1.0, -1.0]), np.array([[0.0, 1.0], [1.0, 0.0]])

BELL_VECTORS = {
    "phi+": np.array([1, 0, 0, 1]) / np.sqrt(2),
    "phi-": np.array([1, 0, 0, -1]) / np.sqrt(2),
    "psi+": np.array([0, 1, 1, 0]) / np.sqrt(2),
    "psi-": np.array([0, 1, -1, 0]) / np.sqrt(2),
}


def density(vector):
    return np.outer(vector, np.conj(vector)).astype(complex)


def lopsided_density():
    """A pure state without any symmetry: partly entangled, complex, the parties different."""
    vector = np.array([0.7, 0.1 + 0.3j, -0.2j, 0.5 - 0.1j])
    return density(vector / np.linalg.norm(vector))


def source_of(rho):
    """A source circuit that emits the pure two-qubit state ``rho``."""
    vector = np.linalg.eigh(rho)[1][:, -1]
    source = bell_pair().copy_empty_like("prepared pair")
    source.prepare_state(vector.reshape(2, 2).T.ravel(), [0, 1])  # Qiskit: Bob runs slowest
    return source


def emitted(source):
    """The two-qubit density matrix that a source circuit leaves, Alice the first factor."""
    bare = source.remove_final_measurements(inplace=False)
    halves = [bare.find_bit(party_qubit(bare, party)).index for party in ("alice", "bob")]
    others = [place for place in range(bare.num_qubits) if place not in halves]
    state = partial_trace(DensityMatrix(bare), others) if others else DensityMatrix(bare)
    blocks = state.data.reshape(2, 2, 2, 2)
    return blocks.transpose(1, 0, 3, 2).reshape(4, 4)


def joint_table(rho, a, b):
    """Probabilities of the outcomes (a, b) by Born's rule: trace of rho times projectors."""
    table = np.empty((2, 2))
    for i, j in np.ndindex(2, 2):
        alice = (np.eye(2) + (-1) ** i * (np.cos(a) * Z + np.sin(a) * X)) / 2
        bob = (np.eye(2) + (-1) ** j * (np.cos(b) * Z + np.sin(b) * X)) / 2
        table[i, j] = np.trace(rho @ np.kron(alice, bob)).real
    return table


def circuit_table(measured: QuantumCircuit):
    """Outcome probabilities of a measured circuit, by Qiskit's own density matrices (no Aer)."""
    bare = measured.remove_final_measurements(inplace=False)
    places = [bare.find_bit(measured_qubit(measured, party)).index for party in ("alice", "bob")]
    return DensityMatrix(bare).probabilities(places).reshape(2, 2).T


def correlator(table):
    """Mean product of the outcomes, from a table [..., a, b]."""
    return table[..., 0, 0] + table[..., 1, 1] - table[..., 0, 1] - table[..., 1, 0]


def dephased(rho, p):
    """Bob's coherences shrink by 1 - 2p."""
    return rho * np.kron(np.ones((2, 2)), np.array([[1, 1 - 2 * p], [1 - 2 * p, 1]]))


def damped(rho, g):
    """Bob's excited population decays by g, his coherences by sqrt(1 - g)."""
    old = rho.reshape(2, 2, 2, 2)  # indices: alice, bob, alice', bob'
    new = np.empty_like(old)
    new[:, 1, :, 1] = (1 - g) * old[:, 1, :, 1]
    new[:, 0, :, 0] = old[:, 0, :, 0] + g * old[:, 1, :, 1]
    new[:, 0, :, 1] = np.sqrt(1 - g) * old[:, 0, :, 1]
    new[:, 1, :, 0] = np.sqrt(1 - g) * old[:, 1, :, 0]
    return new.reshape(4, 4)


def parties_swapped(rho):
    return rho.reshape(2, 2, 2, 2).transpose(1, 0, 3, 2).reshape(4, 4)
