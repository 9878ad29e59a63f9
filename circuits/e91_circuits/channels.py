"""Any quantum channel on the travelling halves, given by its Kraus operators."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from qiskit import QuantumCircuit
from qiskit.circuit import Instruction
from qiskit.quantum_info import Kraus

from e91_circuits.pairs import Party, party_qubit

_COMPLETENESS_TOLERANCE = 1e-9  # rounding of the callers' square roots is of order 1e-16


def with_channel(
    source: QuantumCircuit,
    operators: Sequence[ArrayLike],
    *,
    parties: Sequence[Party],
    description: str,
) -> QuantumCircuit:
    """Return ``source`` followed by the channel ``rho -> sum_k K_k rho K_k^dagger``.

    A channel whose operators are all multiples of the identity does nothing, and then nothing is
    added: an ideal apparatus stays a circuit of ordinary gates that any machine can run.
    Simulate the others with the density-matrix method; a state-vector method would have to draw
    one operator for every single shot, about a hundred times slower.

    Args:
        source: Circuit with quantum registers `alice_photon` and `bob_photon`.
        operators: The Kraus operators K_k, each of shape (2**n, 2**n) for n parties.
        parties: On whose halves the channel acts.  The first party is the *last* factor of a
            Kronecker product, as everywhere in Qiskit.
        description: A few words, for the drawing and for the name of the new circuit.

    Returns:
        A new circuit; ``source`` stays as it was.

    Raises:
        ValueError: An operator has the wrong shape, or ``sum_k K_k^dagger K_k`` is not the
            identity, so that probabilities would not sum to 1.

    Examples:
        >>> from e91_circuits.pairs import bell_pair
        >>> flip = [np.sqrt(0.9) * np.eye(2), np.sqrt(0.1) * np.array([[0, 1], [1, 0]])]
        >>> with_channel(bell_pair(), flip, parties=["bob"], description="bit flip 0.1").name
        'phi+ pair, bit flip 0.1'
    """
    result: QuantumCircuit = source.copy()
    qubits = [party_qubit(source, party) for party in parties]
    channel = kraus_instruction(operators, qubits=len(qubits), description=description)
    if channel is not None:
        result.append(channel, qubits)
        result.name = f"{source.name}, {description}"
    return result


def kraus_instruction(
    operators: Sequence[ArrayLike], *, qubits: int, description: str
) -> Instruction | None:
    """Return the channel as a circuit instruction, or None if it does nothing.

    Args:
        operators: Kraus operators, each of shape (2**qubits, 2**qubits).
        qubits: On how many qubits the channel acts.
        description: Label in drawings.

    Raises:
        ValueError: As for `with_channel`.

    Examples:
        >>> kraus_instruction([np.eye(2)], qubits=1, description="nothing") is None
        True
    """
    identity = np.eye(2**qubits)
    stack = [np.asarray(operator, np.complex128) for operator in operators]
    for operator in stack:
        if operator.shape != identity.shape:
            raise ValueError(
                f"A Kraus operator must have shape {identity.shape}, but has {operator.shape}."
            )
    total = sum((operator.conj().T @ operator for operator in stack), np.zeros_like(identity))
    if not np.allclose(total, identity, rtol=0, atol=_COMPLETENESS_TOLERANCE):
        raise ValueError(
            "Kraus operators must satisfy sum(K^dagger K) = 1, but miss it by "
            f"{np.abs(total - identity).max():.3g}."
        )
    if all(np.array_equal(operator, operator[0, 0] * identity) for operator in stack):
        return None
    channel = Kraus([operator for operator in stack if operator.any()]).to_instruction()
    channel.label = description
    return channel
