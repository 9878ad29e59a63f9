"""A device whose every round is a shot of Qiskit Aer."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from e91_circuits import measured_pair, outcome_bit
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Clbit
from qiskit_aer import AerSimulator

from e91.devices.circuits import Analyser, Attack, CircuitTable, Noise, pair_circuits
from e91.devices.exact import measures_last, outcome_table
from e91.model.bell_states import BellState
from e91.model.bits import Bits
from e91.model.device import Apparatus, DeviceInfo, checked_choices
from e91.model.randomness import Entropy
from e91.model.settings import EKERT, Settings
from e91.system.keystreams import physics_entropy, uniform

SHOTS_PER_RUN = 2**18
"""Longest run handed to Aer.  Aer holds about 200 bytes per shot; longer runs are not faster."""

FORESEEABLE = (
    "The outcomes are those of Aer's Mersenne twister as they are: enough announced ones tell all "
    "others, so the key is secret only from those who do not compute them."
)
"""What a device assumes whose circuits measure before their end."""


@dataclass(frozen=True, eq=False)
class AerDevice(Apparatus):
    """Measure pairs with Qiskit Aer: settings of every round in, outcomes of every round out.

    Rounds that share a setting pair run together, and their shots are dealt back to the rounds
    in order.  That is exact for a memoryless source, as this one is, and only for that.

    Aer's shots come from a Mersenne twister, whose later numbers all follow from 19,937 linear
    equations between bits of earlier ones: the outcomes that the parties announce, and the parities
    of error correction, are such bits.  So the shot decides whether the outcomes of a round agree,
    which is announced anyway when errors are corrected, and a keystream of AES-256 decides which
    of the two possible ways they do (`redrawn`).  The joint distribution is that of the shots.

    Randomness continues from call to call; equal devices give equal outcomes only to equal
    *sequences* of calls.  For the same reason a device must not be shared between threads.

    Attributes:
        info: What the device is.
        circuits: The measured circuit of each setting pair, ``circuits[x][y]``.
        table: Exact probabilities of the outcomes, ``table[x, y, a, b]``, float64; None where a
            circuit measures before its end: the outcomes are then Aer's alone.
        randomness: The physical randomness: seeds every run of Aer, and draws.
    """

    circuits: CircuitTable = field(repr=False)
    table: NDArray[np.float64] | None = field(repr=False)
    randomness: Entropy = field(repr=False)

    def __call__(self, x: Bits, y: Bits) -> tuple[Bits, Bits]:
        """Measure one pair per round.

        Args:
            x: Alice's setting index in each round; shape (n,), n may be 0.
            y: Bob's, shape (n,).

        Returns:
            Outcomes (a, b), 0 for eigenvalue +1 and 1 for -1; uint8, shape (n,) each.

        Raises:
            ValueError: A choice is no index of the settings, or the lengths differ.
        """
        x, y = checked_choices(x, y, settings=self.settings)
        a, b = np.empty_like(x), np.empty_like(y)
        for rounds, circuit, words in shots_of_rounds(self.circuits, x, y, self.randomness):
            alice, bob = (
                shot_bits(circuit, outcome_bit(circuit, party), words) for party in ("alice", "bob")
            )
            if self.table is not None:
                cells = self.table[x[rounds[0]], y[rounds[0]]]
                alice, bob = redrawn(alice, bob, cells, self.randomness)
            a[rounds], b[rounds] = alice, bob
            self.progress(len(rounds))
        return a, b


def redrawn(a: Bits, b: Bits, cells: NDArray[np.float64], entropy: Entropy) -> tuple[Bits, Bits]:
    """Return outcomes that agree where (a, b) do, the rest of them drawn anew.

    Given whether the outcomes agree, Alice's is drawn from its exact conditional probability; where
    both outcomes of a party are equally likely, that is a flip of both with probability 1/2.  If
    (a, b) are distributed as ``cells``, so is the result, and whoever knows (a, b) knows of it only
    whether the outcomes agree.

    Args:
        a: Alice's outcomes of one setting pair, 0 or 1; uint8, shape (n,).
        b: Bob's, shape (n,).
        cells: Their joint probabilities, ``cells[a, b]``; float64, shape (2, 2).
        entropy: Whence the new ones are drawn, 8 bytes a round; each probability is met to 2**-52.

    Returns:
        Outcomes (a, b); uint8, shape (n,) each.

    Examples:
        >>> from e91.model.randomness import operating_system_entropy
        >>> a, b = np.zeros(1000, np.uint8), np.ones(1000, np.uint8)
        >>> cells = np.array([[0.4, 0.1], [0.1, 0.4]])
        >>> new_a, new_b = redrawn(a, b, cells, operating_system_entropy)
        >>> bool((new_a != new_b).all()), bool(300 < new_a.sum() < 700)
        (True, True)
    """
    unequal = a ^ b
    zero, one = cells[0], cells[1, ::-1]  # Alice's outcome, by whether Bob's is unequal
    both = zero + one
    share = np.divide(zero, both, out=np.full(2, 0.5), where=both > 0)
    drawn = (uniform(entropy, len(a)) >= share[unequal]).astype(np.uint8)
    return drawn, drawn ^ unequal


def shots_of_rounds(
    circuits: CircuitTable, x: Bits, y: Bits, entropy: Entropy
) -> Iterator[tuple[NDArray[np.intp], QuantumCircuit, NDArray[np.int64]]]:
    """Yield, run by run of Aer, the rounds it makes, their circuit, and the word of each shot.

    Args:
        circuits: Measured circuits, ``circuits[x][y]``.
        x: Alice's setting index in each round; shape (n,).
        y: Bob's.
        entropy: Whence every run gets its seed.
    """
    for i, j in np.ndindex(len(circuits), len(circuits[0])):
        circuit, chosen = circuits[i][j], np.flatnonzero((x == i) & (y == j))
        for start in range(0, len(chosen), SHOTS_PER_RUN):
            rounds = chosen[start : start + SHOTS_PER_RUN]
            # A fresh seed for every run, and one circuit per run: seeded once, Aer and its
            # samplers restart their random stream at every run (and seed the k-th circuit of a
            # run with seed + 2113 k), which would correlate the setting pairs and widen the
            # spread of S while every mean stays right.  By hand, because `automatic` falls to one
            # state-vector trajectory per shot as soon as a channel stands in the circuit: about a
            # hundred times slower.
            seed = fresh_seed(entropy)
            simulator = AerSimulator(method="density_matrix", seed_simulator=seed)
            job = simulator.run(circuit, shots=len(rounds), memory=True)
            memory = job.result().data(0)["memory"]
            yield rounds, circuit, np.fromiter((int(w, 16) for w in memory), np.int64, len(rounds))


def fresh_seed(entropy: Entropy) -> int:
    """Return a seed below 2**63, as Aer demands."""
    return int.from_bytes(entropy(8)) >> 1


def shot_bits(circuit: QuantumCircuit, bit: Clbit, words: NDArray[np.int64]) -> Bits:
    """Return one classical bit of every shot; Aer counts them from the least one."""
    place: int = circuit.find_bit(bit).index
    return ((words >> place) & 1).astype(np.uint8, copy=False)


def aer_device(
    *,
    settings: Settings = EKERT,
    state: BellState | None = None,
    attack: Attack | None = None,
    seed: int | None = None,
    **noise: float,
) -> AerDevice:
    """Return a simulated E91 apparatus in which every round is an Aer shot.

    The photons meet, in this order: a phi+ source, Eve (between source and Bob), white noise on
    the pair, misalignment, dephasing and amplitude damping on *Bob's* arm only, the analysers,
    and read-out errors of both parties.  For noise on Alice's arm, or other sources, build the
    source with `e91_circuits` and use `aer_device_of`.

    Args:
        settings: The angles of both parties.
        state: What the source emits: phi+, phi-, psi+ or psi- (Ekert's singlet); by default what
            the settings are written for.  If that is another one, Bob's analyser is mirrored,
            turned by half a turn (of the Bloch sphere), or both, so that outcomes are as the
            settings expect (`e91.model.bell_states.bobs_angle`).
        attack: Eve, as a transformation of the source: for example
            ``partial(intercept_resend, fraction=0.2, basis="random")``.
        seed: Root of the physical randomness, not negative; None takes it from the operating
            system.
        noise: ``visibility`` of the emitted pair, ``misalignment`` of Bob's photon in radians on
            the Bloch sphere, and the probabilities ``dephasing``, ``amplitude_damping`` (Bob's
            arm) and ``readout_error`` (each outcome bit): the fields of
            `e91.devices.circuits.Noise`.

    Returns:
        A device: call it with settings x and y, uint8 of shape (n,), and it gives outcomes a and b
        of the same shape.

    Raises:
        TypeError: There is no noise of that name.
        ValueError: A number leaves its range.

    Examples:
        >>> device = aer_device(visibility=0.97, seed=1)
        >>> device.description
        'Qiskit Aer, every round a shot; phi+ pair, visibility 0.97.'
        >>> a, b = device(np.zeros(1000, np.uint8), np.zeros(1000, np.uint8))
        >>> bool(0.75 < np.mean(a == b) < 0.95)    # theory: (1 + 0.97 cos 45 deg) / 2 = 0.843
        True
    """
    source, analyser = Noise(**noise).apparatus(
        attack, state or settings.state, written_for=settings.state
    )
    return aer_device_of(source, settings=settings, analyser=analyser, seed=seed)


def aer_device_of(
    source: QuantumCircuit,
    *,
    settings: Settings = EKERT,
    analyser: Analyser = measured_pair,
    seed: int | None = None,
) -> AerDevice:
    """Return a device that measures any source circuit, every round an Aer shot.

    Args:
        source: Circuit with one-qubit quantum registers `alice` and `bob`, unmeasured.  It may
            hold more, such as an eavesdropper's register; those outcomes are dropped.  The
            name of the circuit goes into the description.
        settings: The angles of both parties.
        analyser: How a pair is measured; the circuit it returns writes one bit each into the
            classical registers `alice` and `bob`.
        seed: As for `aer_device`.

    Returns:
        A device, as from `aer_device`.

    Raises:
        ValueError: The source lacks a half, or measures it already.

    Examples:
        >>> from e91_circuits import bell_pair
        >>> a, b = aer_device_of(bell_pair("psi-"), seed=1)([1, 2], [0, 1])   # the key pairs
        >>> (a ^ b).tolist()
        [1, 1]
    """
    circuits = pair_circuits(source, settings=settings, analyser=analyser)
    description = f"Qiskit Aer, every round a shot; {circuits[0][0].name}."
    table = outcome_table(circuits) if all(map(measures_last, sum(circuits, ()))) else None
    info = DeviceInfo(
        settings,
        description,
        assumption="" if table is not None else FORESEEABLE,
        reproducible=seed is not None,
    )
    return AerDevice(info, circuits, table, physics_entropy(seed))
