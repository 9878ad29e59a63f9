"""A device over any Qiskit sampler: one parametrised circuit, every setting pair a binding of it.

Anything that implements `qiskit.primitives.BaseSamplerV2` will do: Qiskit's own, Aer's,
`BackendSamplerV2` over a provider's backend, IBM's.  Whether a sampler keeps its promises is what
`e91.devices.samplers.conformance.suite` finds out.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from e91_circuits import bell_pair, measured_pair
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.primitives import BaseSamplerV2
from qiskit.providers import BackendV2

from e91.devices.aer import fresh_seed
from e91.devices.circuits import Analyser, CircuitTable, bound_circuits
from e91.devices.samplers.idle_noise import idle_noise
from e91.devices.samplers.qubit_pairs import Layout, placed_circuit, placement_words
from e91.model.bits import Bits
from e91.model.device import Apparatus, DeviceInfo, checked_choices
from e91.model.randomness import Entropy
from e91.model.settings import EKERT, Settings
from e91.system.keystreams import physics_entropy

SamplerFactory: TypeAlias = Callable[[int], BaseSamplerV2]
"""From a seed, a whole number in [0, 2**63), to a sampler that uses it."""

Grouping: TypeAlias = Literal["one-pub", "pair-by-pair"]
"""How a run is cut: all setting pairs as one PUB, or each pair a run of its own."""

ALICE_ANGLE, BOB_ANGLE = Parameter("alice_angle"), Parameter("bob_angle")

EXECUTIONS_PER_RUN = 2**18
"""Default of the longest run: circuits times shots.  Aer holds about 200 bytes for each."""

GROUPED = (
    "Rounds that share a setting pair ran together, which is exact for a source without memory. "
    "Nobody foresees the sampler's outcomes, as whoever knows a simulator's generator could."
)
"""What every device over a sampler assumes: real apparatus would set its angles round by round."""


_KEPT = 1024  # outcomes a setting pair: enough to tell, little to keep
_TELLING = 64
"""Both outcomes so often in a setting pair: chance repeats their order once in 2**124 runs."""


@dataclass(eq=False)
class RepeatGuard:
    """Remembers the last run of a sampler and refuses the same outcomes again.

    It sees a sampler that reuses its seed; whether runs are independent in every other way is
    for `e91.devices.samplers.conformance.suite` to test.

    Attributes:
        last: For each group of setting pairs, the first outcomes of its last run.
    """

    last: dict[tuple[tuple[int, int], ...], tuple[Bits, Bits]] = field(default_factory=dict)

    def check(self, alice: Bits, bob: Bits, *, pairs: tuple[tuple[int, int], ...]) -> None:
        """Compare a run with the last one of the same setting pairs, over their common length.

        Runs whose outcomes hardly vary tell nothing and pass: a source may be certain.

        Args:
            alice: Outcomes, shape (pairs, shots).
            bob: The same.
            pairs: Which setting pairs these are.

        Raises:
            ValueError: All outcomes are those of the last run.

        Examples:
            >>> guard, bits = RepeatGuard(), np.arange(200, dtype=np.uint8)[None] % 2
            >>> guard.check(bits, bits, pairs=((0, 0),))
            >>> guard.check(bits[:, ::-1], bits, pairs=((0, 0),))
            >>> guard.check(bits[:, ::-1], bits, pairs=((0, 0),))
            Traceback (most recent call last):
            ...
            ValueError: A sampler must give new outcomes at every run, but gave those of ...
        """
        kept = (alice[:, :_KEPT].copy(), bob[:, :_KEPT].copy())
        before, self.last[pairs] = self.last.get(pairs), kept
        if before is None:
            return
        common = min(kept[0].shape[1], before[0].shape[1])
        now, then = ([party[:, :common] for party in run] for run in (kept, before))
        same = all(np.array_equal(p, q) for p, q in zip(now, then, strict=True))
        ones = now[0].sum(axis=1)
        if same and np.minimum(ones, common - ones).max(initial=0) >= _TELLING:
            raise ValueError(
                "A sampler must give new outcomes at every run, but gave those of the last run "
                "again: it reuses its seed.  Give a function from a seed to a sampler, such "
                "as `lambda seed: SamplerV2(seed=seed)`, or a sampler without a seed."
            )


@dataclass(frozen=True, eq=False)
class SamplerDevice(Apparatus):
    """Measure pairs with a Qiskit sampler: settings of every round in, outcomes out.

    Rounds that share a setting pair run together and their shots are dealt back to the rounds in
    order.  That is exact for a memoryless source and only for that.

    With ``grouping="one-pub"`` the pairs are bindings of one circuit in one PUB, and so take
    equally many shots (IBM's jobs ask for that): as many as the most frequent pair needs.  Every
    pair uses its first ones.  With ``"pair-by-pair"`` each pair is a run of its own with its
    own seed, exactly its own shots, and a circuit without parameters.

    Randomness continues from call to call.  A device must not be shared between threads.

    Attributes:
        info: What the device is; it assumes `GROUPED`.
        circuit: The measured pair with the two angles as parameters, as the sampler runs it.
        samplers: Gives a sampler for every run.
        randomness: Where the seed of every run comes from.
        grouping: See above.
        executions_per_run: Longest run, circuits times shots.
    """

    circuit: QuantumCircuit = field(repr=False)
    samplers: SamplerFactory = field(repr=False)
    randomness: Entropy = field(repr=False)
    grouping: Grouping = "one-pub"
    executions_per_run: int = EXECUTIONS_PER_RUN
    _guard: RepeatGuard = field(default_factory=RepeatGuard, repr=False)

    @property
    def circuits(self) -> CircuitTable:
        """The circuit of each setting pair, ``circuits[x][y]``, its two angles bound."""
        return bound_circuits(self.circuit, (ALICE_ANGLE, BOB_ANGLE), settings=self.settings)

    def __call__(self, x: Bits, y: Bits) -> tuple[Bits, Bits]:
        """Measure one pair per round.

        Args:
            x: Alice's setting index in each round; shape (n,), n may be 0.
            y: Bob's, shape (n,).

        Returns:
            Outcomes (a, b), 0 for eigenvalue +1 and 1 for -1; uint8, shape (n,) each.

        Raises:
            ValueError: A choice is no index of the settings, the lengths differ, or the sampler
                answers with other registers, fewer shots, or the outcomes of its last run again.
        """
        x, y = checked_choices(x, y, settings=self.settings)
        a, b = np.empty_like(x), np.empty_like(y)
        chosen = rounds_by_pair(x, y, settings=self.settings)
        for pairs in self._groups():
            wanted = [chosen[pair] for pair in pairs]
            for start, shots in self._parts(max(map(len, wanted)), len(pairs)):
                alice, bob = self._run(pairs, shots)
                for row, rounds in enumerate(wanted):
                    part = rounds[start : start + shots]
                    a[part], b[part] = alice[row, : len(part)], bob[row, : len(part)]
                    self.progress(len(part))
        return a, b

    def _groups(self) -> list[list[tuple[int, int]]]:
        pairs = [*np.ndindex(len(self.settings.alice_angles), len(self.settings.bob_angles))]
        pairs = [(int(x), int(y)) for x, y in pairs]
        return [pairs] if self.grouping == "one-pub" else [[pair] for pair in pairs]

    def _parts(self, shots: int, pairs: int) -> Iterator[tuple[int, int]]:
        """Yield (first shot, number of shots) of the runs that ``shots`` are cut into."""
        longest = max(1, self.executions_per_run // pairs)
        for start in range(0, shots, longest):
            yield start, min(longest, shots - start)

    def _run(self, pairs: list[tuple[int, int]], shots: int) -> tuple[Bits, Bits]:
        # A fresh seed for every run: a sampler that is seeded once restarts its random stream at
        # every run, which leaves every mean right and widens the spread of S.
        sampler = self.samplers(fresh_seed(self.randomness))
        check_sampler_type(sampler)
        make = setting_pub if self.grouping == "one-pub" else bound_pub
        pub = make(self.circuit, pairs, shots=shots, settings=self.settings)
        data = sampler.run([pub]).result()[0].data
        alice, bob = outcome_bits(data, pairs=len(pairs), shots=shots)
        self._guard.check(alice, bob, pairs=tuple(pairs))
        return alice, bob


def sampler_device(
    sampler: BaseSamplerV2 | SamplerFactory,
    backend: BackendV2 | None = None,
    *,
    settings: Settings = EKERT,
    source: QuantumCircuit | None = None,
    analyser: Analyser = measured_pair,
    layout: Layout = "best",
    grouping: Grouping = "one-pub",
    executions_per_run: int = EXECUTIONS_PER_RUN,
    seed: int | None = None,
) -> SamplerDevice:
    """Return an E91 apparatus whose rounds are shots of a Qiskit sampler.

    Args:
        sampler: A sampler, or better a function from a seed to one: it is called for every run
            with a fresh seed.  A sampler with a seed of its own repeats its outcomes at every run;
            the second run is then refused.
        backend: Whose target the circuit is transpiled to; None runs it as it is.
        settings: The angles of both parties.
        source: Circuit with one-qubit quantum registers `alice` and `bob`, unmeasured; a phi+ pair
            by default.  Noise channels need a sampler that knows them, such as Aer's.
        analyser: How a pair is measured; it is called with two parameters for the angles.
        layout: "best" for the pair of qubits with the least reported error (the transpiler's
            choice if the target reports none), a pair of physical qubits, or None to leave it to
            the transpiler.
        grouping: "one-pub" or "pair-by-pair", see `SamplerDevice`.  Two circuits of one run share
            the random stream of some seeded samplers (`StatevectorSampler(seed=7)` is one, but not
            with ``seed=numpy.random.default_rng(7)``); pair by pair they cannot.
        executions_per_run: Longest run, circuits times shots; it bounds the memory.
        seed: Root of the seeds that the function is given, not negative; None takes it from the
            operating system.

    Returns:
        A device: call it with settings x and y, uint8 of shape (n,), and it gives outcomes a and b
        of the same shape, one shot a round.

    Raises:
        ValueError: Something is not as described, or the target cannot run the circuit.

    Examples:
        >>> from qiskit.primitives import StatevectorSampler
        >>> device = sampler_device(
        ...     lambda seed: StatevectorSampler(seed=np.random.default_rng(seed)), seed=1
        ... )
        >>> a, b = device(np.full(500, 1, np.uint8), np.full(500, 0, np.uint8))  # a key pair
        >>> bool((a == b).all())
        True
    """
    if grouping not in ("one-pub", "pair-by-pair"):
        raise ValueError(f"`grouping` must be one-pub or pair-by-pair, but is {grouping!r}.")
    if executions_per_run < 1:
        raise ValueError(f"`executions_per_run` must be at least 1, but is {executions_per_run}.")
    measured = analyser(
        bell_pair(settings.state) if source is None else source, ALICE_ANGLE, BOB_ANGLE
    )
    circuit = measured if backend is None else placed_circuit(measured, backend, layout=layout)
    place = "" if backend is None else placement_words(circuit, backend)
    samplers, randomness = sampler_factory(sampler), physics_entropy(seed)
    idle = idle_noise(circuit, samplers(fresh_seed(randomness)))
    description = " ".join(filter(None, (f"{_name(sampler)}{place}; {measured.name}.", idle)))
    return SamplerDevice(
        DeviceInfo(settings, description, GROUPED, reproducible=seed is not None),
        circuit=circuit,
        samplers=samplers,
        randomness=randomness,
        grouping=grouping,
        executions_per_run=executions_per_run,
    )


def sampler_factory(sampler: BaseSamplerV2 | SamplerFactory) -> SamplerFactory:
    """Return a function from a seed to a sampler; a sampler itself ignores the seed.

    Raises:
        ValueError: It is neither.

    Examples:
        >>> from qiskit.primitives import StatevectorSampler
        >>> one = StatevectorSampler()
        >>> sampler_factory(one)(7) is one
        True
    """
    if isinstance(sampler, BaseSamplerV2):
        return lambda _seed: sampler
    if not callable(sampler):
        check_sampler_type(sampler)
    return sampler


def check_sampler_type(sampler: object) -> None:
    """Check that ``sampler`` is one.

    Raises:
        ValueError: It is not.
    """
    if not isinstance(sampler, BaseSamplerV2):
        raise ValueError(
            "`sampler` must be a qiskit.primitives.BaseSamplerV2, or a function from a seed to "
            f"one, but a {type(sampler).__name__} was found."
        )


def setting_pub(
    circuit: QuantumCircuit, pairs: list[tuple[int, int]], *, shots: int, settings: Settings
) -> tuple[QuantumCircuit, dict[tuple[Parameter, Parameter], NDArray[np.float64]], int]:
    """Return the PUB that runs ``circuit`` at the angles of every pair; bindings (len(pairs), 2).

    Examples:
        >>> pub = setting_pub(measured_pair(bell_pair(), ALICE_ANGLE, BOB_ANGLE), [(0, 2), (1, 0)],
        ...                   shots=5, settings=EKERT)
        >>> pub[1][ALICE_ANGLE, BOB_ANGLE].round(3).tolist(), pub[2]
        ([[0.0, 2.356], [0.785, 0.785]], 5)
    """
    angles = [[settings.alice_angles[x], settings.bob_angles[y]] for x, y in pairs]
    return circuit, {(ALICE_ANGLE, BOB_ANGLE): np.array(angles, np.float64)}, shots


def bound_pub(
    circuit: QuantumCircuit, pairs: list[tuple[int, int]], *, shots: int, settings: Settings
) -> tuple[QuantumCircuit, None, int]:
    """Return the PUB of one setting pair without parameters, for samplers that know none.

    Args:
        circuit: As for `setting_pub`.
        pairs: One pair.
        shots: Of this pair.
        settings: The angles of both parties.

    Examples:
        >>> measured = measured_pair(bell_pair(), ALICE_ANGLE, BOB_ANGLE)
        >>> bound_pub(measured, [(1, 0)], shots=5, settings=EKERT)[0].num_parameters
        0
    """
    ((x, y),) = pairs
    angles = {ALICE_ANGLE: settings.alice_angles[x], BOB_ANGLE: settings.bob_angles[y]}
    return circuit.assign_parameters(angles), None, shots


def rounds_by_pair(
    x: Bits, y: Bits, *, settings: Settings
) -> dict[tuple[int, int], NDArray[np.intp]]:
    """Return the indices of the rounds of each setting pair, ascending.

    Examples:
        >>> rounds = rounds_by_pair(np.uint8([0, 1, 0]), np.uint8([2, 0, 2]), settings=EKERT)
        >>> rounds[0, 2].tolist(), rounds[2, 2].tolist()
        ([0, 2], [])
    """
    shape = len(settings.alice_angles), len(settings.bob_angles)
    code = x.astype(np.intp) * shape[1] + y
    order = np.argsort(code, kind="stable")
    edges = np.cumsum(np.bincount(code, minlength=shape[0] * shape[1]))[:-1]
    parts = np.split(order, edges)
    return {(int(i), int(j)): parts[i * shape[1] + j] for i, j in np.ndindex(*shape)}


def outcome_bits(data: Any, *, pairs: int, shots: int) -> tuple[Bits, Bits]:
    """Return both parties' bits of one PUB.

    Args:
        data: The ``data`` of a PUB's result, with the registers `alice` and `bob`.
        pairs: Number of bindings.
        shots: Shots that were asked of each; further ones are dropped.

    Returns:
        uint8, shape (pairs, shots) each.

    Raises:
        ValueError: A register is missing or has not one bit, shots are missing, or the shape is
            not that of the bindings.

    Examples:
        >>> from qiskit.primitives import BitArray, DataBin
        >>> bits = BitArray(np.zeros((1, 3, 1), np.uint8), 1)
        >>> alice, bob = outcome_bits(DataBin(alice=bits, bob=bits, shape=(1,)), pairs=1, shots=2)
        >>> alice.tolist()
        [[0, 0]]
    """
    alice, bob = (_register(data, name, pairs=pairs, shots=shots) for name in ("alice", "bob"))
    return alice, bob


def _register(data: Any, name: str, *, pairs: int, shots: int) -> Bits:
    found = sorted(data.keys()) if hasattr(data, "keys") else sorted(vars(data))
    if name not in found:
        raise ValueError(
            "A sampler must return the classical registers `alice` and `bob`, but returned "
            f"{found}."
        )
    bits = getattr(data, name)
    if getattr(bits, "num_bits", None) != 1:
        what = getattr(bits, "num_bits", f"a {type(bits).__name__} and no")
        raise ValueError(f"The register `{name}` must hold one bit a shot, but holds {what} bits.")
    array = np.asarray(bits.array, np.uint8)
    if pairs == 1 and array.ndim == 2:  # a circuit without parameters has no bindings to index
        array = array[None]
    if array.shape[:-2] != (pairs,):
        raise ValueError(
            f"The register `{name}` must have an entry for each of {pairs} setting pairs, but has "
            f"shape {array.shape[:-2]}."
        )
    if array.shape[-2] < shots:
        raise ValueError(
            f"A sampler must return {shots} shots of each setting pair, but returned "
            f"{array.shape[-2]} in `{name}`."
        )
    if array.size and array.max() > 1:
        raise ValueError(f"The register `{name}` must hold bits, but holds {array.max()}.")
    return array[:, :shots, 0]


def _name(sampler: object) -> str:
    if isinstance(sampler, BaseSamplerV2):
        return type(sampler).__name__
    return f"Sampler of `{getattr(sampler, '__name__', type(sampler).__name__)}`"
