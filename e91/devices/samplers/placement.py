"""A measured pair on the qubits of a machine."""

from typing import Literal, TypeAlias

from e91_circuits import measured_qubit
from qiskit import QuantumCircuit
from qiskit.exceptions import QiskitError
from qiskit.providers import BackendV2
from qiskit.transpiler import Target, generate_preset_pass_manager

from e91.devices.samplers.qubit_pairs import QubitPair, check_pair, ranked_pairs

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
    qubits = _qubits(target, layout, count=measured.num_qubits)
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


def _qubits(target: Target, layout: Layout, *, count: int) -> QubitPair | None:
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
