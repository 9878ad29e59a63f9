"""Two qubits of a machine: which to entangle, circuits on them, and both as a machine of their own.

A chip's calibration covers all its qubits; an E91 pair needs two.  Copying the entries of one pair
into a target of two qubits keeps every number about them and makes noise models and transpilation
a hundred times cheaper.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from e91_circuits import measured_qubit
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import ControlFlowOp
from qiskit.exceptions import QiskitError
from qiskit.providers import BackendV2, Options
from qiskit.transpiler import InstructionProperties, Target, generate_preset_pass_manager
from qiskit_aer import AerSimulator
from qiskit_aer.jobs import AerJob
from qiskit_aer.noise import NoiseModel

QubitPair: TypeAlias = tuple[int, int]
"""Physical qubits of Alice and of Bob."""

Layout: TypeAlias = Literal["best"] | QubitPair | None
"""The pair of least reported error, a pair of physical qubits, or the transpiler's choice."""

ONE_CHIP = (
    "Both halves are qubits of one chip, a few millimetres apart behind one set of electronics: "
    "Alice and Bob are not two parties, the Bell test closes no loophole, and the key is a "
    "demonstration."
)
"""What a key from one chip is worth; stands in the report of every such device."""

_TRANSPILER_SEED = 1  # any fixed one: equal calls give equal circuits
_LEVEL = 1  # the circuit has one two-qubit gate; higher levels find nothing more, but take longer

NOISE_MODEL = "NoiseModel.from_backend of Qiskit Aer on the two-qubit target"
"""Gates depolarise and relax; read-out has one symmetric error a qubit and no relaxation."""

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


def placed_circuit(
    measured: QuantumCircuit, backend: BackendV2, *, layout: Layout = "best"
) -> QuantumCircuit:
    """Return a measured pair in the instructions and on the qubits of ``backend``.

    Args:
        measured: Circuit that writes the classical registers `alice` and `bob`; its angles may be
            parameters.
        backend: Whose target counts.
        layout: Which physical qubits; see `e91.devices.samplers.sampler_device.sampler_device`.

    Raises:
        ValueError: The machine is too small, the layout names no two of its qubits, or its target
            cannot run the circuit.

    Examples:
        >>> from e91_circuits import bell_pair, measured_pair
        >>> from qiskit_aer import AerSimulator
        >>> circuit = placed_circuit(measured_pair(bell_pair(), 0.1, 0.2), AerSimulator())
        >>> circuit.count_ops()["measure"]
        2
    """
    target = backend.target
    if target.num_qubits is not None and target.num_qubits < measured.num_qubits:
        raise ValueError(
            f"`backend` must have at least {measured.num_qubits} qubits, but {backend.name} has "
            f"{target.num_qubits}: choose a larger one."
        )
    qubits = chosen_qubits(target, layout, count=measured.num_qubits)
    manager = generate_preset_pass_manager(
        optimization_level=_LEVEL,
        target=target,
        initial_layout=None if qubits is None else list(qubits),
        seed_transpiler=_TRANSPILER_SEED,
    )
    try:
        placed: QuantumCircuit = manager.run(measured)
    except QiskitError as error:
        raise ValueError(
            f"`source` must consist of gates that {backend.name} can run on the chosen qubits, but "
            f"the transpiler says: {str(error.message).strip().splitlines()[0]}"
        ) from None
    return placed


def chosen_qubits(target: Target, layout: Layout, *, count: int) -> QubitPair | None:
    """Return the physical qubits of Alice and of Bob, or None for the transpiler's choice."""
    if layout == "best":
        ranked = ranked_pairs(target) if count == 2 else ()
        return ranked[0].qubits if ranked else None
    if layout is None:
        return None
    if count != 2:
        raise ValueError(
            f"`layout` must be best or None for a circuit of {count} qubits, but is {layout}."
        )
    check_pair(target, layout)
    return layout


def placement_words(circuit: QuantumCircuit, backend: BackendV2) -> str:
    """Return where a placed circuit runs, to stand in a description.

    Examples:
        >>> from e91_circuits import bell_pair, measured_pair
        >>> from qiskit_aer import AerSimulator
        >>> placed = placed_circuit(measured_pair(bell_pair(), 0.1, 0.2), AerSimulator())
        >>> placement_words(placed, AerSimulator())
        ' on aer_simulator, qubits 0 (alice) and 1 (bob)'
    """
    alice, bob = (circuit.find_bit(measured_qubit(circuit, p)).index for p in ("alice", "bob"))
    return f" on {backend.name}, qubits {alice} (alice) and {bob} (bob)"


class PairBackend(BackendV2):  # type: ignore[misc]
    """A backend of two qubits that runs circuits on Aer with the noise its target reports.

    Any sampler that wraps backends takes it, e.g. ``BackendSamplerV2(backend=...)``.  The noise is
    that of `NOISE_MODEL`; a chip has crosstalk, drift and leakage besides, which no snapshot holds.

    Attributes:
        noise_model: Built once, in a few hundredths of a second.
        qubits: Which two physical qubits of the whole machine these are.
    """

    def __init__(self, backend: BackendV2, qubits: QubitPair) -> None:
        """Take the target entries of two qubits.

        Args:
            backend: The whole machine.
            qubits: Physical qubits of Alice and of Bob, which become 0 and 1.

        Raises:
            ValueError: They are not two different qubits of the machine.
        """
        super().__init__(name=f"{backend.name} pair", backend_version=backend.backend_version)
        self._target = reduced_target(backend.target, qubits)
        self.qubits = qubits
        self.noise_model = NoiseModel.from_backend(self)

    @property
    def target(self) -> Target:
        """The target of the two qubits."""
        return self._target

    @property
    def max_circuits(self) -> None:
        """No limit."""
        return None

    @classmethod
    def _default_options(cls) -> Options:
        return Options(shots=1024, memory=False, seed_simulator=None)

    def run(self, run_input: QuantumCircuit | list[QuantumCircuit], **options: Any) -> AerJob:
        """Run circuits in the target's instructions; options as `AerSimulator.run` takes them."""
        simulator = AerSimulator(method="density_matrix", noise_model=self.noise_model)
        return simulator.run(run_input, **{**dict(self.options.items()), **options})


def readout_confusion(noise_model: NoiseModel, qubit: int) -> NDArray[np.float64]:
    """Return how a qubit is read: ``confusion[outcome, read]``, shape (2, 2), rows sum to 1.

    Examples:
        >>> from qiskit_aer.noise import ReadoutError
        >>> noise = NoiseModel()
        >>> noise.add_readout_error(ReadoutError([[0.98, 0.02], [0.05, 0.95]]), [1])
        >>> readout_confusion(noise, 1).tolist(), readout_confusion(noise, 0).tolist()
        ([[0.98, 0.02], [0.05, 0.95]], [[1.0, 0.0], [0.0, 1.0]])
    """
    for error in noise_model.to_dict()["errors"]:
        if error["type"] == "roerror" and error["gate_qubits"] == [(qubit,)]:
            return np.array(error["probabilities"], np.float64)
    return np.eye(2)
