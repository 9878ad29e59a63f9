"""IBM machines as they were on one day: snapshots of the runtime package, by name and offline.

Only the two qubits in use are simulated, with the target entries of just these.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from e91_circuits import bell_pair, measured_pair, measured_qubit
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.providers import BackendV2
from qiskit_aer.noise import NoiseModel

from e91.devices.circuits import bound_circuits
from e91.devices.exact import ExactDevice, outcome_table
from e91.devices.samplers.qubit_pairs import (
    NOISE_MODEL,
    ONE_CHIP,
    Layout,
    PairBackend,
    QubitPair,
    chosen_qubits,
    placed_circuit,
    readout_confusion,
)
from e91.devices.samplers.sampler_device import ALICE_ANGLE, BOB_ANGLE
from e91.model.device import DeviceInfo
from e91.model.settings import EKERT, Settings
from e91.system.documents import did_you_mean
from e91.system.extras import extra
from e91.system.keystreams import physics_entropy

PREFIX = "fake_"
"""What the runtime package puts before a machine's name."""


@dataclass(frozen=True, eq=False)
class SnapshotDevice(ExactDevice):
    """The best two qubits of a machine's snapshot, rounds drawn from their exact probabilities.

    Attributes:
        qubits: Physical qubits of Alice and of Bob.
    """

    qubits: QubitPair


def snapshot_names() -> tuple[str, ...]:
    """Return the names of all snapshots that have two qubits, without ``fake_`` before them.

    Returns:
        Names such as ``"marrakesh"``, in order of the alphabet.

    Raises:
        ValueError: The runtime package is not installed.

    Examples:
        >>> {"marrakesh", "torino", "manila"} <= set(snapshot_names())
        True
    """
    return tuple(sorted(_snapshot_classes()))


def snapshot_backend(name: str) -> BackendV2:
    """Return a whole machine as its snapshot holds it.

    Args:
        name: One of `snapshot_names`, with or without ``fake_`` before it.

    Returns:
        The machine of `qiskit_ibm_runtime.fake_provider`, with all its qubits.

    Raises:
        ValueError: There is no snapshot of that name, or no runtime package.

    Examples:
        >>> snapshot_backend("manila").num_qubits
        5
    """
    known = _snapshot_classes()
    short = name.removeprefix(PREFIX)
    if short not in known:
        raise ValueError(
            f"`{name}` must be the name of a snapshot, but is none of: {', '.join(sorted(known))}"
            f"{did_you_mean(short, known)}"
        )
    return known[short]()


def pair_backend(name: str, *, layout: Layout = "best") -> PairBackend:
    """Return two qubits of a snapshot as a machine that any sampler can use.

    Args:
        name: As for `snapshot_backend`.
        layout: "best" for the pair of least reported error, or a pair of physical qubits.

    Returns:
        A machine of two qubits with the noise that the snapshot reports for them.

    Raises:
        ValueError: As for `snapshot_backend`; no pair has a working calibration; or the pair is
            none of the machine.

    Examples:
        >>> pair_backend("manila").qubits
        (4, 3)
    """
    backend = snapshot_backend(name)
    return PairBackend(backend, _qubits(backend, layout))


def snapshot_device(
    name: str,
    *,
    settings: Settings = EKERT,
    source: QuantumCircuit | None = None,
    layout: Layout = "best",
    seed: int | None = None,
) -> SnapshotDevice:
    """Return a simulated E91 apparatus on two qubits of a machine's snapshot.

    The circuit is transpiled to the two-qubit target, evolved once by Aer's density matrix with
    the noise model of that target, and its read-out confused; rounds are then drawn from the
    probabilities, at full speed.  The noise is what `qubit_pairs.NOISE_MODEL` names.
    Fake backends run by `BackendSamplerV2` use another one, with asymmetric read-out, and differ.

    Args:
        name: As for `snapshot_backend`.
        settings: The angles of both parties.
        source: Circuit of gates on the quantum registers `alice` and `bob`; a phi+ pair by default.
        layout: As for `pair_backend`.
        seed: Root of the physical randomness, not negative; None takes it from the operating
            system.

    Returns:
        A device, as from `e91.devices.exact.exact_device`, whose `info` names machine and qubits.

    Raises:
        ValueError: As for `pair_backend`, or the target cannot run the source.

    Examples:
        >>> device = snapshot_device("manila", seed=1)
        >>> device.qubits
        (4, 3)
        >>> bool(device.table[1, 0, 0, 0] > 0.4)    # a key pair: equal outcomes prevail
        True
    """
    backend = pair_backend(name, layout=layout)
    source = bell_pair(settings.state) if source is None else source
    measured = measured_pair(source, ALICE_ANGLE, BOB_ANGLE)
    circuit = placed_circuit(measured, backend, layout=(0, 1))
    alice, bob = backend.qubits
    description = (
        f"Snapshot {PREFIX}{name.removeprefix(PREFIX)}, qubits {alice} (alice) and {bob} (bob), "
        f"noise by {NOISE_MODEL}, exact probabilities, rounds drawn; {source.name}. Two qubits of "
        "one chip are not two parties."
    )
    return SnapshotDevice(
        DeviceInfo(settings, description, ONE_CHIP, reproducible=seed is not None),
        noisy_table(circuit, settings=settings, noise_model=backend.noise_model),
        physics_entropy(seed),
        backend.qubits,
        circuits=bound_circuits(circuit, (ALICE_ANGLE, BOB_ANGLE), settings=settings),
    )


def noisy_table(
    circuit: QuantumCircuit, *, settings: Settings, noise_model: NoiseModel
) -> NDArray[np.float64]:
    """Return the exact outcome probabilities of a placed circuit under a noise model.

    Args:
        circuit: A measured pair with the angle parameters of `samplers.sampler_device`, in physical
            instructions.
        settings: The angles of both parties.
        noise_model: Errors of gates and of read-out.  It must have none on the measurement
            instruction itself; models made from a target have not.

    Returns:
        ``table[x, y, a, b]``, float64.
    """
    circuits = bound_circuits(circuit, (ALICE_ANGLE, BOB_ANGLE), settings=settings)
    alice, bob = (
        readout_confusion(noise_model, circuit.find_bit(measured_qubit(circuit, party)).index)
        for party in ("alice", "bob")
    )
    ideal = outcome_table(circuits, noise_model=noise_model)
    table: NDArray[np.float64] = np.einsum("xyab,ac,bd->xycd", ideal, alice, bob)
    return table


def _qubits(backend: BackendV2, layout: Layout) -> QubitPair:
    if layout is None:
        raise ValueError("`layout` must be best or two qubits of a snapshot, but is None.")
    qubits = chosen_qubits(backend.target, layout, count=2)
    if qubits is None:
        raise ValueError(
            f"`{backend.name}` must have two coupled qubits with a working calibration, but "
            "has none: choose another."
        )
    return qubits


def _snapshot_classes() -> dict[str, Any]:
    """Return the snapshots' classes by short name; nothing is read from disk yet."""
    fake_provider = extra("qiskit_ibm_runtime.fake_provider", what="Snapshots")
    classes = (getattr(fake_provider, name) for name in dir(fake_provider) if name[:4] == "Fake")
    return {
        found.backend_name.removeprefix(PREFIX): found
        for found in classes
        if getattr(found, "props_filename", None) and found.backend_name not in _TOO_SMALL
    }


_TOO_SMALL = {"fake_armonk"}  # one qubit
