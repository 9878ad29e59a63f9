"""The two analysers: measure each half of a pair along its own angle."""

from __future__ import annotations

import math
from typing import TypeAlias

from qiskit import ClassicalRegister, QuantumCircuit
from qiskit.circuit import CircuitInstruction, Clbit, ParameterExpression, Qubit

from e91_circuits.pairs import Party, party_qubit

Angle: TypeAlias = float | ParameterExpression
"""Radians on the Bloch sphere, or a Qiskit parameter to be bound later."""


def measured_pair(source: QuantumCircuit, alice_angle: Angle, bob_angle: Angle) -> QuantumCircuit:
    """Measure each half of ``source`` along its own setting angle.

    The convention of angles and bits is that of `e91_circuits.pairs`.

    Args:
        source: Circuit with one-qubit quantum registers `alice_photon` and `bob_photon`, which
            it leaves unmeasured.
        alice_angle: Alice's setting angle, radians, or a parameter.
        bob_angle: Bob's.

    Returns:
        A new circuit of the same name, whose outcomes land in the one-bit classical registers
        `alice` and `bob`.

    Raises:
        ValueError: An angle is not finite, a half is missing, or the source has a classical
            register `alice` or `bob` already.

    Examples:
        >>> from e91_circuits.pairs import bell_pair
        >>> from qiskit.primitives import StatevectorSampler
        >>> circuit = measured_pair(bell_pair("psi-"), 0.3, 0.3)
        >>> data = StatevectorSampler(seed=1).run([circuit], shots=100).result()[0].data
        >>> bool((data.alice.array != data.bob.array).all())
        True
    """
    taken = sorted({register.name for register in source.cregs} & {"alice", "bob"})
    if taken:
        raise ValueError(f"A source must leave both halves unmeasured, but measures {taken}.")
    result: QuantumCircuit = source.copy()
    _turn(result, party_qubit(source, "alice"), "alice_angle", alice_angle)
    _turn(result, party_qubit(source, "bob"), "bob_angle", bob_angle)
    for party in ("alice", "bob"):
        outcome = ClassicalRegister(1, party)
        result.add_register(outcome)
        result.measure(party_qubit(source, party), outcome[0])
    return result


def _turn(circuit: QuantumCircuit, qubit: Qubit, name: str, angle: Angle) -> None:
    if not isinstance(angle, ParameterExpression) and not math.isfinite(angle):
        raise ValueError(f"`{name}` must be a finite number of radians, but is {angle}.")
    circuit.ry(-angle, qubit)


def measured_qubit(circuit: QuantumCircuit, party: Party) -> Qubit:
    """Return the qubit whose measurement writes the party's classical register.

    Args:
        circuit: Such as `measured_pair` returns.
        party: ``"alice"`` or ``"bob"``.

    Returns:
        The qubit, one of ``circuit.qubits``.

    Raises:
        ValueError: Not exactly one measurement writes a classical register of that name.

    Examples:
        >>> from e91_circuits.pairs import bell_pair
        >>> circuit = measured_pair(bell_pair(), 0.0, 0.0)
        >>> measured_qubit(circuit, "bob") == party_qubit(circuit, "bob")
        True
    """
    return _outcome_measurement(circuit, party).qubits[0]


def outcome_bit(circuit: QuantumCircuit, party: Party) -> Clbit:
    """Return the classical bit that holds the party's outcome.

    Args:
        circuit: Such as `measured_pair` returns.
        party: ``"alice"`` or ``"bob"``.

    Returns:
        The bit, one of ``circuit.clbits``.

    Raises:
        ValueError: Not exactly one measurement writes a classical register of that name.

    Examples:
        >>> from e91_circuits.pairs import bell_pair
        >>> circuit = measured_pair(bell_pair(), 0.0, 0.0)
        >>> circuit.find_bit(outcome_bit(circuit, "bob")).index
        1
    """
    return _outcome_measurement(circuit, party).clbits[0]


def _outcome_measurement(circuit: QuantumCircuit, party: Party) -> CircuitInstruction:
    outcomes = {bit for register in circuit.cregs if register.name == party for bit in register}
    found = [
        instruction
        for instruction in circuit.data
        if instruction.operation.name == "measure" and instruction.clbits[0] in outcomes
    ]
    if len(found) != 1:
        raise ValueError(
            f"Exactly one measurement must write the classical register `{party}`, but "
            f"{len(found)} do."
        )
    return found[0]
