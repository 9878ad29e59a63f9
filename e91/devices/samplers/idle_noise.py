"""Noise of a simulator that cannot act on the circuit that it is given."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from qiskit import QuantumCircuit

Place = tuple[int, ...]


def idle_noise(circuit: QuantumCircuit, sampler: object) -> str:
    """Return what to say of noise that cannot act on ``circuit``; empty if none is idle.

    Aer's noise models act on instructions by name, and on the qubits that they name.  An error of
    ``cz`` does nothing to a circuit of ``cx``, and Aer does not say so.  Gates on one qubit, gates
    on two and measurements are kinds of their own; the noise of a kind is idle if the circuit has
    such instructions and none of the noise meets one.

    Args:
        circuit: As the sampler runs it.
        sampler: Any; its noise model is looked for in the options of its backend.

    Examples:
        >>> from e91_circuits import bell_pair, measured_pair
        >>> from qiskit_aer.noise import NoiseModel, depolarizing_error
        >>> from qiskit_aer.primitives import SamplerV2
        >>> model = NoiseModel()
        >>> model.add_all_qubit_quantum_error(depolarizing_error(0.1, 2), ["cz"])
        >>> sampler = SamplerV2(options={"backend_options": {"noise_model": model}})
        >>> idle_noise(measured_pair(bell_pair(), 0.0, 0.0), sampler)
        'The noise of cz does not act: the circuit has cx on qubits 0, 1.'
    """
    # Aer's sampler keeps its backend to itself.
    backend = getattr(sampler, "backend", None) or getattr(sampler, "_backend", None)
    model = getattr(getattr(backend, "options", None), "noise_model", None)
    if model is None:
        return ""
    noisy: defaultdict[str, set[tuple[str, Place | None]]] = defaultdict(set)
    for error in model.to_dict()["errors"]:
        places: list[Place | None] = [tuple(place) for place in error.get("gate_qubits", ())]
        for name in error["operations"]:
            noisy[_kind(name, _size(error))] |= {(name, place) for place in places or [None]}
    met: defaultdict[str, set[tuple[str, Place]]] = defaultdict(set)
    for part in circuit.data:
        place = tuple(circuit.find_bit(qubit).index for qubit in part.qubits)
        met[_kind(part.operation.name, len(place))].add((part.operation.name, place))
    idle = (
        _sentence(noisy[kind], met[kind])
        for kind in noisy
        if met[kind] and not any(_acts(noisy[kind], one) for one in met[kind])
    )
    return " ".join(idle)


def _acts(noisy: set[tuple[str, Place | None]], one: tuple[str, Place]) -> bool:
    return one in noisy or (one[0], None) in noisy


def _kind(name: str, size: int) -> str:
    return "measure" if name == "measure" else f"gates on {size}"


def _size(error: Mapping[str, Any]) -> int:
    """Return on how many qubits an error acts."""
    wires = [q for term in error.get("instructions", ()) for part in term for q in part["qubits"]]
    return 1 + max(wires, default=0)


def _sentence(noisy: set[tuple[str, Place | None]], met: set[tuple[str, Place]]) -> str:
    def listed(parts: set[tuple[str, Any]]) -> str:
        """Return instructions and their qubits in words."""
        return ", ".join(
            name + ("" if place is None else f" on qubits {', '.join(map(str, place))}")
            for name, place in sorted(parts, key=str)
        )

    return f"The noise of {listed(noisy)} does not act: the circuit has {listed(met)}."
