"""Does a sampler keep its promises?  Named checks that any `BaseSamplerV2` can be run through.

A seeded sampler can be right in every mean and still be wrong: with one seed for all its runs the
setting pairs share their randomness, and S scatters too widely.  The checks look at the contract
(registers, shots, bit order), at the values, at the spread and at independence.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from e91_circuits import bell_pair, measured_pair
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.primitives import BaseSamplerV2
from qiskit.providers import BackendV2

from e91.devices.exact import exact_device
from e91.devices.samplers.conformance import exact_tests as statistics
from e91.devices.samplers.conformance.exact_tests import Check, Sample
from e91.devices.samplers.qubit_pairs import Layout, placed_circuit
from e91.devices.samplers.sampler_device import (
    ALICE_ANGLE,
    BOB_ANGLE,
    Grouping,
    SamplerFactory,
    bound_pub,
    outcome_bits,
    sampler_device,
    sampler_factory,
    setting_pub,
)
from e91.model.settings import EKERT, Settings

SHOTS = 20_000
"""Default shots of each setting pair in each of two runs."""

RIGHT = 0.75
"""Fraction of right read-outs that tells a prepared bit from its opposite.

A sampler that is right in at least 85 % of its shots fails for chance with probability below 1e-9.
"""

Outcome = tuple[bool, str]


@dataclass(frozen=True, eq=False)
class Subject:
    """A sampler, and how it is to be examined.

    Attributes:
        samplers: Gives a sampler for every run.
        backend: Whose target the circuits are transpiled to, or None.
        table: What the outcomes must follow, ``table[x, y, a, b]``; None if the noise is unknown.
        layout: As for `e91.devices.samplers.sampler_device.sampler_device`.
        grouping: The same.
        shots: Shots of each setting pair in each of two runs.
        seed: Root of the seeds.
    """

    samplers: SamplerFactory
    backend: BackendV2 | None
    table: NDArray[np.float64] | None
    layout: Layout
    grouping: Grouping
    shots: int
    seed: int | None

    def run(
        self,
        *counts: int,
        seed: int,
        source: QuantumCircuit | None = None,
        settings: Settings = EKERT,
    ) -> list[Any]:
        """Return the data of one run: for each of ``counts`` that many shots of the first pair."""
        measured = measured_pair(source or bell_pair(), ALICE_ANGLE, BOB_ANGLE)
        if self.backend is not None:
            measured = placed_circuit(measured, self.backend, layout=self.layout)
        make = setting_pub if self.grouping == "one-pub" else bound_pub
        pubs = [make(measured, [(0, 0)], shots=shots, settings=settings) for shots in counts]
        return [result.data for result in self.samplers(seed).run(pubs).result()]


def conformance(
    sampler: BaseSamplerV2 | SamplerFactory,
    backend: BackendV2 | None = None,
    *,
    table: NDArray[np.float64] | None = None,
    noise_is_unknown: bool = False,
    layout: Layout = "best",
    grouping: Grouping = "one-pub",
    shots: int = SHOTS,
    seed: int | None = None,
) -> tuple[Check, ...]:
    """Run a sampler through every check, with a phi+ pair and Ekert's settings.

    Args:
        sampler: As for `e91.devices.samplers.sampler_device.sampler_device`.
        backend: The same.
        table: Exact probabilities ``table[x, y, a, b]`` that it must follow; those of the perfect
            pair by default.  For a snapshot, `snapshots.snapshot_device` has them.
        noise_is_unknown: Compare no values, only signs; the other checks stay as they are.
        layout: As for `sampler_device`.
        grouping: The same; the checks then hold for this grouping.
        shots: Shots of each setting pair in each of two runs, at least 1000.
        seed: Root of the seeds that a function from seed to sampler is given.

    Returns:
        The checks; the sampler conforms if every one that is ``required`` has ``passed``.

    Raises:
        ValueError: ``shots`` is too small, or what is no sampler was given.

    Examples:
        >>> from qiskit.primitives import StatevectorSampler
        >>> checks = conformance(StatevectorSampler(), shots=2000)
        >>> all(check.passed for check in checks if check.required)
        True
        >>> trapped = conformance(StatevectorSampler(seed=42), shots=2000)
        >>> [check.name for check in trapped if check.required and not check.passed]
        ['setting pairs', 'successive runs']
    """
    if shots < 10 * statistics.SESSION:
        raise ValueError(
            f"`shots` must be at least {10 * statistics.SESSION}, so that faults can be seen, but "
            f"is {shots}."
        )
    subject = Subject(
        samplers=sampler_factory(sampler),
        backend=backend,
        table=None if noise_is_unknown else exact_device().table if table is None else table,
        layout=layout,
        grouping=grouping,
        shots=shots,
        seed=seed,
    )
    contract = (
        _seen("registers", subject, _registers, detects="other names, or other than one bit"),
        _seen("shots", subject, _shots, detects="one shot too few or too many"),
        _seen("bit order", subject, _bit_order, detects=f"a bit right in less than {RIGHT:.0%}"),
        _seen("unequal counts", subject, _unequal, detects="an outcome in another's place"),
    )
    return (*contract, *_values(subject), _seen_note(subject))


def conforms(checks: tuple[Check, ...]) -> bool:
    """Return whether every required check has passed.

    Args:
        checks: From `check_sampler`.

    Returns:
        True also if a check failed that is not required.

    Examples:
        >>> seen = Check("shots", True, "all of them", "one shot too few"),
        >>> conforms(seen)
        True
    """
    return all(check.passed for check in checks if check.required)


def _seen(
    name: str, subject: Subject, look: Callable[[Subject], Outcome], *, detects: str
) -> Check:
    try:
        passed, found = look(subject)
    except Exception as error:  # noqa: BLE001 - what a stranger's sampler raises is a finding
        passed, found = False, f"{type(error).__name__}: {error}"
    return Check(name, passed, found, detects)


def _registers(subject: Subject) -> Outcome:
    outcome_bits(subject.run(10, seed=1)[0], pairs=1, shots=10)
    return True, "`alice` and `bob`, one bit each"


def _shots(subject: Subject) -> Outcome:
    for shots in (1, 7, 1000):
        data = subject.run(shots, seed=shots)[0]
        outcome_bits(data, pairs=1, shots=shots)
        returned = data.alice.array.shape[-2], data.bob.array.shape[-2]
        if returned != (shots, shots):
            return False, f"{returned[0]} and {returned[1]} shots where {shots} were asked"
    return True, "1, 7 and 1000 of each setting pair, as asked"


def _bit_order(subject: Subject) -> Outcome:
    """Send |1> to one party and |0> to the other: each must find their own."""
    worst = 1.0
    for place, party in enumerate(("alice", "bob")):
        source = bell_pair().copy_empty_like(f"|1> to {party}")
        source.x(place)
        data = subject.run(1000, seed=place, source=source, settings=_UPRIGHT)[0]
        bits = outcome_bits(data, pairs=1, shots=1000)
        right = [np.mean(bits[other] == (other == place)) for other in (0, 1)]
        worst = min(worst, *map(float, right))
    return worst > RIGHT, f"each party reads its own bit in {worst:.1%} of 1000 shots, at least"


_UNEQUAL = (2000, 2037)
_UPRIGHT = Settings("upright", (0.0,), (0.0,))
_TURNED = Settings("turned", (0.0, np.pi), (0.0, np.pi))


def _unequal(subject: Subject) -> Outcome:
    """Ask for a different number of rounds at each setting pair, with outcomes that tell which."""
    counts = {(0, 0): 600, (0, 1): 1, (1, 0): 0, (1, 1): 340}
    x, y = np.repeat(np.array([*counts], np.uint8), [*counts.values()], axis=0).T
    device = sampler_device(
        subject.samplers,
        subject.backend,
        settings=_TURNED,
        source=bell_pair().copy_empty_like("two |0>"),
        layout=subject.layout,
        grouping=subject.grouping,
        seed=subject.seed,
    )
    order = np.random.default_rng(1).permutation(len(x))
    a, b = device(x[order], y[order])
    right = float(min(np.mean(a == x[order]), np.mean(b == y[order])))
    return right > RIGHT, f"{right:.1%} of the outcomes in their rounds, at least"


def _values(subject: Subject) -> tuple[Check, ...]:
    """Take two runs and look at means, spread and independence."""
    try:
        sample = _sample(subject)
    except Exception as error:  # noqa: BLE001 - as above
        found = f"{type(error).__name__}: {error}"
        return (Check("outcomes", False, found, "a run that fails"),)
    compared = (
        (statistics.signs(sample),)
        if subject.table is None
        else (
            statistics.correlators(sample, subject.table),
            statistics.marginals(sample, subject.table),
            statistics.chsh_value(sample, subject.table),
        )
    )
    independence = (statistics.independent_pairs, statistics.independent_runs, statistics.spread)
    return (*compared, *(check(sample) for check in independence))


def _sample(subject: Subject) -> Sample:
    shape = len(EKERT.alice_angles), len(EKERT.bob_angles)
    x, y = (np.repeat(axis.ravel(), subject.shots) for axis in np.indices(shape, np.uint8))
    runs = []
    for run in range(2):
        # A device of its own for each run: the device would refuse a repeated run, and here the
        # repetition itself is to be seen.
        device = sampler_device(
            subject.samplers,
            subject.backend,
            layout=subject.layout,
            grouping=subject.grouping,
            executions_per_run=shape[0] * shape[1] * subject.shots,
            seed=None if subject.seed is None else 2 * subject.seed + run,
        )
        a, b = device(x, y)
        runs.append([party.reshape(*shape, subject.shots) for party in (a, b)])
    alice, bob = (np.stack([run[party] for run in runs]) for party in (0, 1))
    return Sample(EKERT, alice, bob)


def _seen_note(subject: Subject) -> Check:
    """Note what happens to two PUBs of unequal shots in one run, which is never asked here."""
    name, detects = "unequal PUBs", "two PUBs of one run with one random stream"
    try:
        results = zip(subject.run(*_UNEQUAL, seed=1), _UNEQUAL, strict=True)
        first, second = (outcome_bits(data, pairs=1, shots=n)[0][0] for data, n in results)
    except Exception as error:  # noqa: BLE001 - as above
        return Check(name, False, f"refused: {error}", detects, required=False)
    # From the front and from the back: Aer deals a stream out in reverse.
    parts = (second[: len(first)], second[-len(first) :])
    agree = max(float(np.mean(first == part)) for part in parts)
    return Check(
        name,
        agree < RIGHT,
        f"outcomes of two agree in {agree:.1%} of their shots",
        detects,
        required=False,
    )
