"""A session of the protocol on the pairs of a published experiment: its key, bit by bit.

The pairs and accidentals are those of `e91.experiments.simulate`; the session has the protocol's
own Bell test, verdict and finite key, with the choice probabilities that make the key longest.
"""

import math
from dataclasses import replace

from e91.devices.exact import ExactDevice
from e91.experiments.observables import Observables, coincidence_table
from e91.experiments.published import Comparison, Experiment, SimulatedBy, load
from e91.experiments.results import ExperimentReport
from e91.experiments.simulate import compare, errors_of, expected_observables
from e91.model.device import DeviceInfo, Pace
from e91.security.policy import Policy
from e91.session.expectation import Link
from e91.session.planning import SessionPlan, best_plan
from e91.session.report import SessionReport
from e91.session.session import check_rounds, run
from e91.system.keystreams import physics_entropy
from e91.system.progress import waiting

ROUNDS = 1_000_000
"""Coincidences of a session, where an experiment does not say how many it had."""


def session_of(
    experiment: Experiment, *, rounds: int | None = None, seed: int | None = None
) -> SessionReport:
    """Run a session on the coincidences that an experiment is expected to have.

    Args:
        experiment: From `e91.experiments.load`.
        rounds: Coincidences; by default ``protocol.rounds`` of the experiment, or a million.
        seed: Of the pairs and of the protocol; None takes the operating system's entropy.

    Raises:
        ValueError: The experiment's numbers give no pairs, its settings make no key, or ``rounds``
            is outside its range.
    """
    seen = expected_observables(experiment)
    if rounds is None:
        rounds = round(experiment.numbers.protocol.rounds or ROUNDS)
    check_rounds(rounds)
    plan = _plan(experiment, seen, rounds)
    device = _device(experiment, seen, plan, seed=seed)
    return run(device, rounds=rounds, settings=plan.settings, policy=plan.policy, seed=seed)


def compare_session(experiment: Experiment, report: SessionReport) -> tuple[Comparison, ...]:
    """Return the published outcomes that a session gives, with what it gives for them.

    The error is that of `e91.experiments.compare`, with that of the session's own counts.

    Args:
        experiment: From `e91.experiments.load`.
        report: From `session_of`.
    """
    rows = (_compared(row, report) for row in compare(experiment))
    return tuple(row for row in rows if row is not None)


def run_session(
    name: str, *, rounds: int | None = None, seed: int | None = None
) -> ExperimentReport:
    """Make the key of a published experiment in a session, and hold it beside what was published.

    Args:
        name: A name of `e91.experiments.names`, or the path of a ``.toml`` file.
        rounds: As for `session_of`, and so is ``seed``.
        seed: Of the pairs and of the protocol.

    Returns:
        Every published outcome beside what the session gave.

    Raises:
        ValueError: There is no such experiment, or it gives no session.

    Examples:
        >>> report = run_session("yin-2020", seed=1)
        >>> report.session.abort is None, report.session.rates["link_seconds"] > 86_400
        (True, True)
    """
    experiment = load(name)
    with waiting(f"Simulating {experiment.name}"):
        session = session_of(experiment, rounds=rounds, seed=seed)
    return ExperimentReport(experiment, compare_session(experiment, session), seed, session)


def _plan(experiment: Experiment, seen: Observables, rounds: int) -> SessionPlan:
    if seen.chsh is None:
        raise ValueError(
            f"A session must have a CHSH test, but the settings `{experiment.settings.name}` have "
            "none."
        )
    entry = experiment.theorem.entry
    policy = Policy(entry.security, theorem=experiment.theorem if entry.finite else None)
    return best_plan(
        Link(seen.chsh, seen.qber), rounds, settings=experiment.settings, policy=policy
    )


def _device(
    experiment: Experiment, seen: Observables, plan: SessionPlan, *, seed: int | None
) -> ExactDevice:
    bit_error, phase_error = errors_of(experiment)
    table = coincidence_table(
        experiment.settings,
        bit_error=bit_error,
        phase_error=phase_error,
        accidental_fraction=seen.accidental_fraction,
    )
    rate = seen.coincidences_per_second
    info = DeviceInfo(
        plan.settings,
        f"Coincidences of {experiment.reference}, {seen.accidental_fraction:.2%} accidental.",
        reproducible=seed is not None,
        pace=Pace(rate, rate) if rate else None,
    )
    return ExactDevice(info, table, physics_entropy(seed))


def _compared(row: Comparison, report: SessionReport) -> Comparison | None:
    value, counted = _found(row.outcome.quantity, report)
    if value is None:
        return None
    return replace(
        row,
        simulated=value,
        simulated_error=math.hypot(row.simulated_error, counted),
        route=SimulatedBy.SESSION,
        reason="",
        counting_error=counted,
    )


def _found(quantity: str, report: SessionReport) -> tuple[float | None, float]:
    """Return what a session gives for a quantity, and the standard deviation of its counts."""
    rate, revealed = report.qber.rate, report.qber.revealed
    sampling = math.sqrt(rate * (1 - rate) / revealed) if rate is not None and revealed else 0.0
    match quantity:
        case "chsh":
            return report.chsh.value, report.chsh.standard_error or 0.0
        case "qber":
            return rate, sampling
        case "visibility" if rate is not None:
            return 1 - 2 * rate, 2 * sampling
        case "secret_bits_per_second":
            return report.rates.get("secret_bits_per_second"), 0.0
        case "secret_bits_per_event":
            return report.secret_bits / report.rounds, 0.0
    return None, 0.0
