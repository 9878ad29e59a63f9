"""Two qubits of a machine as a machine of their own, simulated with their reported errors."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.providers import BackendV2, Options
from qiskit.transpiler import Target
from qiskit_aer import AerSimulator
from qiskit_aer.jobs import AerJob
from qiskit_aer.noise import NoiseModel

from e91.devices.samplers.qubit_pairs import QubitPair, reduced_target

NOISE_MODEL = "NoiseModel.from_backend of Qiskit Aer on the two-qubit target"
"""Gates depolarise and relax; read-out has one symmetric error a qubit and no relaxation."""


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
