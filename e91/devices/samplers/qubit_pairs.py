"""Which two qubits of a machine to entangle, from the errors that its own target reports.

A chip's calibration covers all its qubits; an E91 pair needs two.  Copying the entries of one pair
into a target of two qubits keeps every number about them and makes noise models and transpilation
a hundred times cheaper.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from qiskit.circuit import ControlFlowOp
from qiskit.transpiler import InstructionProperties, Target

QubitPair: TypeAlias = tuple[int, int]
"""Physical qubits of Alice and of Bob."""

BROKEN_GATE = 1.0
"""A two-qubit error of 1 is how IBM marks a gate whose calibration failed."""

BROKEN_READOUT = 0.5
"""A read-out error of one half is a coin: the qubit's read-out was not calibrated."""


@dataclass(frozen=True, order=True)
class RankedPair:
    """Two coupled qubits and what their calibration promises.

    Attributes:
        error: Probability that the two-qubit gate or one of both read-outs fails,
            ``1 - (1 - e_gate)(1 - e_alice)(1 - e_bob)``.
        qubits: Physical qubits of Alice and of Bob.
        gate: Name of the two-qubit gate.
    """

    error: float
    qubits: QubitPair
    gate: str


def ranked_pairs(target: Target) -> tuple[RankedPair, ...]:
    """Return every coupled pair with a working calibration, the best first.

    Pairs are left out whose two-qubit error is missing, not a number or `BROKEN_GATE`, or of whose
    read-out errors one is missing, not a number or `BROKEN_READOUT` or more.  The rank is that of
    `RankedPair.error`; on four snapshots of 127 to 156 qubits its first pair had an S within 0.004
    of the best pair's.

    Args:
        target: A backend's target.

    Returns:
        Sorted by `RankedPair.error`; empty if the target reports no errors.

    Examples:
        >>> from qiskit.circuit.library import CZGate, Measure
        >>> target = Target(num_qubits=3)
        >>> target.add_instruction(CZGate(), {
        ...     (0, 1): InstructionProperties(error=1.0), (1, 2): InstructionProperties(error=0.01)
        ... })
        >>> errors = {(k,): InstructionProperties(error=0.02) for k in range(3)}
        >>> target.add_instruction(Measure(), errors)
        >>> [(pair.qubits, round(pair.error, 4)) for pair in ranked_pairs(target)]
        [((1, 2), 0.0492)]
    """
    readout = _readout_errors(target)
    ranked = []
    for gate in target.operation_names:
        for qubits, properties in (target[gate] or {}).items():
            if qubits is None or len(qubits) != 2 or not set(qubits) <= set(readout):
                continue
            error = _error(properties)
            if error < BROKEN_GATE:
                works = (1 - error) * (1 - readout[qubits[0]]) * (1 - readout[qubits[1]])
                ranked.append(RankedPair(1 - works, (qubits[0], qubits[1]), gate))
    return tuple(sorted(ranked))


def _readout_errors(target: Target) -> dict[int, float]:
    """Return the read-out error of every qubit that can be read."""
    if "measure" not in target.operation_names:
        return {}
    found = {
        qubits[0]: _error(properties)
        for qubits, properties in (target["measure"] or {}).items()
        if qubits is not None
    }
    return {qubit: error for qubit, error in found.items() if error < BROKEN_READOUT}


def _error(properties: InstructionProperties | None) -> float:
    """Return the error that is reported, or infinity if none is."""
    error = None if properties is None else properties.error
    return math.inf if error is None or not 0 <= error <= 1 else float(error)


def reduced_target(target: Target, qubits: QubitPair) -> Target:
    """Return a target of two qubits with every entry that concerns only these two.

    Args:
        target: A backend's target.
        qubits: Two different physical qubits; they become 0 and 1.

    Raises:
        ValueError: The qubits are not two different ones of the target.

    Examples:
        >>> from qiskit.circuit.library import CZGate
        >>> target = Target(num_qubits=3)
        >>> target.add_instruction(CZGate(), {(1, 2): InstructionProperties(error=0.01)})
        >>> reduced_target(target, (2, 1))["cz"]
        {(1, 0): InstructionProperties(duration=None, error=0.01)}
    """
    check_pair(target, qubits)
    place = {qubit: index for index, qubit in enumerate(qubits)}
    known = target.qubit_properties
    reduced = Target(
        num_qubits=2,
        dt=target.dt,
        qubit_properties=None if known is None else [known[qubit] for qubit in qubits],
    )
    for name in target.operation_names:
        operation = target.operation_from_name(name)
        if isinstance(operation, type) and issubclass(operation, ControlFlowOp):
            continue
        kept = {
            tuple(place[qubit] for qubit in where): properties
            for where, properties in (target[name] or {}).items()
            if where and set(where) <= set(place)
        }
        if kept:
            reduced.add_instruction(operation, kept, name=name)
    return reduced


def check_pair(target: Target, qubits: Sequence[object]) -> None:
    """Check that ``qubits`` are two different qubits of the target.

    Raises:
        ValueError: They are not.
    """
    count = target.num_qubits or 0
    known = [isinstance(qubit, int) and 0 <= qubit < count for qubit in qubits]
    if len(qubits) != 2 or not all(known) or qubits[0] == qubits[1]:
        raise ValueError(
            f"`layout` must name two different qubits from 0 to {count - 1}, but is {qubits!r}."
        )
