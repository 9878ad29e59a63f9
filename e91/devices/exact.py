"""A device that draws its rounds from the exact outcome probabilities."""

from dataclasses import dataclass, field

import numpy as np
from e91_circuits import measured_pair, measured_qubit
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel

from e91.devices.circuits import Analyser, Attack, CircuitTable, Noise, pair_circuits
from e91.devices.rounds.round_sampler import OutcomeSampler, checked_table, outcome_sampler
from e91.model.bell_states import BellState
from e91.model.bits import Bits
from e91.model.device import Apparatus, DeviceInfo, checked_choices
from e91.model.randomness import Entropy
from e91.model.settings import EKERT, Settings
from e91.system.keystreams import KEY_BYTES, physics_entropy, uniform

ROUNDS_PER_BLOCK = 2**18
"""Rounds drawn at once, so that memory does not grow with the session."""


@dataclass(frozen=True, eq=False)
class ExactDevice(Apparatus):
    """Draw outcomes from the exact table of probabilities, by the same circuits as Aer's shots.

    Noise and eavesdroppers are in the table and cost nothing per round.  Exact for a memoryless
    source, and only for that.

    Randomness continues from call to call.  With a seed, cutting the rounds into several calls
    gives the outcomes of one long call.  A device must not be shared between threads.

    Attributes:
        info: What the device is.
        table: Probability of the outcomes (a, b) at the settings (x, y), as ``table[x, y, a, b]``;
            float64, shape (Alice's settings, Bob's settings, k, k), read-only; k is 2, or 3 with
            no click as the last outcome.
        randomness: The physical randomness: a keystream of AES-256, so that nobody foresees an
            outcome from others that were announced.
        circuits: The measured circuit of each setting pair, ``circuits[x][y]``, that the table was
            made of; of a device made of light the circuits of one pair's polarisation, without
            losses and accidental clicks.  None if the table came from elsewhere.

    Raises:
        ValueError: The table does not fit the settings, or is no table of probabilities.
    """

    table: NDArray[np.float64] = field(repr=False)
    randomness: Entropy = field(repr=False)
    circuits: CircuitTable | None = field(default=None, repr=False, kw_only=True)

    def __post_init__(self) -> None:
        table = checked_table(self.table, settings=self.settings)
        object.__setattr__(self, "table", table)

    def __call__(self, x: Bits, y: Bits) -> tuple[Bits, Bits]:
        """Draw the outcomes of every round.

        Args:
            x: Alice's setting index in each round; shape (n,), n may be 0.
            y: Bob's, shape (n,).

        Returns:
            Outcomes (a, b), 0 for eigenvalue +1, 1 for -1, 2 for no click; uint8, shape (n,) each.

        Raises:
            ValueError: A choice is no index of the settings, or the lengths differ.
        """
        x, y = checked_choices(x, y, settings=self.settings)
        cell = np.empty_like(x)
        for start in range(0, len(x), ROUNDS_PER_BLOCK):
            block = slice(start, start + ROUNDS_PER_BLOCK)
            cell[block] = self._drawn_cells(x[block], y[block])
            self.progress(len(x[block]))
        a, b = np.divmod(cell, np.uint8(self.table.shape[3]))
        return a, b

    def outcome_source(self, settings: Settings) -> OutcomeSampler:
        """Return the same device as a source of the outcomes of whole blocks, for `e91.stream`.

        Args:
            settings: The device's angles, with any choice probabilities.

        Raises:
            ValueError: The angles are others.
        """
        key = self.randomness(KEY_BYTES)  # the device's own randomness advances
        return outcome_sampler(self.table, settings=settings, physics_key=key)

    def _drawn_cells(self, x: Bits, y: Bits) -> Bits:
        """Return k a + b for each round, by inversion of the cumulative probabilities."""
        pair = x.astype(np.intp) * self.table.shape[1] + y
        drawn = uniform(self.randomness, len(x))
        cell = np.zeros(len(x), np.uint8)
        edges = self.table.reshape(len(self.table) * self.table.shape[1], -1).cumsum(axis=1)
        for edge in edges.T[:-1]:  # what lies beyond the last edge but one is the last cell
            cell += drawn >= edge[pair]
        return cell


def exact_device(
    *,
    settings: Settings = EKERT,
    state: BellState | None = None,
    attack: Attack | None = None,
    seed: int | None = None,
    **noise: float,
) -> ExactDevice:
    """Return a simulated E91 apparatus that draws rounds from exact probabilities.

    The arguments, their meaning and the order of the physics are those of
    `e91.devices.aer.aer_device`.

    Args:
        settings: The angles of both parties.
        state: What the source emits, as for `aer_device`.
        attack: Eve, as a transformation of the source, or None.
        seed: Root of the physical randomness.
        noise: visibility, misalignment, dephasing, amplitude_damping and readout_error.

    Returns:
        A device: call it with settings x and y, uint8 of shape (n,), and it gives outcomes a and b
        of the same shape.

    Raises:
        TypeError: There is no noise of that name.
        ValueError: A number leaves its range.

    Examples:
        >>> device = exact_device(visibility=0.9, seed=1)
        >>> device.table[1, 0].round(9).tolist()        # a key pair
        [[0.475, 0.025], [0.025, 0.475]]
        >>> a, b = device(np.ones(1000, np.uint8), np.zeros(1000, np.uint8))
        >>> bool(0.01 < np.mean(a != b) < 0.12)
        True
    """
    source, analyser = Noise(**noise).apparatus(
        attack, state or settings.state, written_for=settings.state
    )
    return exact_device_of(source, settings=settings, analyser=analyser, seed=seed)


def exact_device_of(
    source: QuantumCircuit,
    *,
    settings: Settings = EKERT,
    analyser: Analyser = measured_pair,
    seed: int | None = None,
) -> ExactDevice:
    """Return a device that draws the rounds of any source circuit from exact probabilities.

    Args:
        source: Circuit with one-qubit quantum registers `alice` and `bob`, unmeasured, and no
            measurement before the end on other qubits (use `e91.devices.aer` for those).
        settings: The angles of both parties.
        analyser: How a pair is measured; the circuit it returns writes one bit each into the
            classical registers `alice` and `bob`.
        seed: As for `exact_device`.

    Returns:
        A device, as from `exact_device`.

    Raises:
        ValueError: The source lacks a half, measures it already, or measures before the end.

    Examples:
        >>> from e91_circuits import bell_pair
        >>> exact_device_of(bell_pair("psi-")).table[1, 0].round(9).tolist()
        [[0.0, 0.5], [0.5, 0.0]]
    """
    circuits = pair_circuits(source, settings=settings, analyser=analyser)
    description = f"Exact probabilities from Qiskit Aer, rounds drawn; {circuits[0][0].name}."
    info = DeviceInfo(settings, description, reproducible=seed is not None)
    table = outcome_table(circuits)
    return ExactDevice(info, table, physics_entropy(seed), circuits=circuits)


def outcome_table(
    circuits: CircuitTable, *, noise_model: NoiseModel | None = None
) -> NDArray[np.float64]:
    """Return the exact outcome probabilities of every setting pair, ``table[x, y, a, b]``.

    One run of Aer's density-matrix method over all circuits.  Rounding errors below zero are
    clipped and every pair normalised.

    Args:
        circuits: Measured circuits, ``circuits[x][y]``, all rows of one length.
        noise_model: Errors of the gates, or None.  Its read-out errors and errors of the
            measurement itself do not enter: nothing is measured here.

    Returns:
        float64, shape (Alice's settings, Bob's settings, 2, 2).

    Raises:
        ValueError: A circuit measures before its end.

    Examples:
        >>> from e91_circuits import bell_pair
        >>> outcome_table(((measured_pair(bell_pair(), 0.0, 0.0),),)).round(9).tolist()
        [[[[0.5, 0.0], [0.0, 0.5]]]]
    """
    probed = [_with_probabilities(circuit) for row in circuits for circuit in row]
    simulator = AerSimulator(method="density_matrix", noise_model=noise_model)
    result = simulator.run(probed, shots=1).result()
    cells = [result.data(index)["probabilities"] for index in range(len(probed))]
    # Qiskit lists the outcomes with its first qubit, here Alice's, running fastest: [b, a].
    table = np.reshape(cells, (len(circuits), len(circuits[0]), 2, 2)).swapaxes(2, 3)
    table = np.clip(table, 0, None)
    normalised: NDArray[np.float64] = table / table.sum(axis=(2, 3), keepdims=True)
    return normalised


def measures_last(circuit: QuantumCircuit) -> bool:
    """Return whether a circuit measures at its end only, so that its outcomes have a table."""
    return "measure" not in circuit.remove_final_measurements(inplace=False).count_ops()


def _with_probabilities(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return the circuit with its last measurements replaced by a note of the probabilities."""
    halves = [measured_qubit(circuit, "alice"), measured_qubit(circuit, "bob")]
    if not measures_last(circuit):
        raise ValueError("A circuit must measure at its end only, but measures before it.")
    bare: QuantumCircuit = circuit.remove_final_measurements(inplace=False)
    bare.save_probabilities(halves)
    return bare
