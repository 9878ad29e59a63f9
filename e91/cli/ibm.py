"""``e91 run --device ibm:NAME`` and ``--resume ID``: a session whose rounds are a job at IBM's."""

from __future__ import annotations

import json
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from e91.cli.options import refuse_given
from e91.security.policy import Policy

if TYPE_CHECKING:
    from e91.cli.outcome import Files
    from e91.cli.run_options import Request
    from e91.devices.ibm.left_jobs import LeftJob
    from e91.devices.ibm.machine import JobPlan

INTERRUPTED = 1

_GO_ON = ("resume", "leave", "out", "plain", "as_json")


def run_on_ibm(machine: str, request: Request, *, confirmed: bool, leave: bool) -> None:
    """Plan, confirm, submit one job, and go on to the report, or leave the job to run."""
    from e91.devices.ibm.left_jobs import plan_session, submit_session
    from e91.session.session import prepare_session

    prepared = prepare_session(
        request.rounds, settings=request.settings, policy=request.policy, seed=request.seed
    )
    planned = plan_session(machine, prepared, to_leave=leave)
    expected = _expected(planned.plan, request.policy)
    _confirm(expected, confirmed=confirmed)
    job = submit_session(planned)
    click.echo(f"Job {job.id} was submitted; `e91 run --resume {job.id}` goes on.", err=True)
    if leave:
        found = {"job_id": job.id, "session": job.session.session}
        _left(expected | found, as_json=request.as_json)
        return
    _finish(job, files=request.files, as_json=request.as_json)


def resume(name: str, *, leave: bool, files: Files, as_json: bool) -> None:
    """Go on with a session whose job was left; submit nothing."""
    from e91.devices.ibm.left_jobs import find_session

    refuse_given(
        click.get_current_context().params.keys() - set(_GO_ON),
        "must not come with `--resume`, but does: the session has fixed it.",
    )
    job = find_session(name)
    if leave:
        found = {"job_id": job.id, "session": job.session.session, "status": job.status()}
        _left(found, as_json=as_json)
        return
    _finish(job, files=files, as_json=as_json)


def _finish(job: LeftJob, *, files: Files, as_json: bool) -> None:
    """Wait for the job, distil, and show and save what came of it."""
    from e91.cli.outcome import show_and_save
    from e91.session.session import conclude_session

    started = time.perf_counter()
    try:
        a, b = job.outcomes()
    except KeyboardInterrupt:
        click.echo(f"e91: The job goes on; `e91 run --resume {job.id}` fetches it.", err=True)
        sys.exit(INTERRUPTED)
    seconds = time.perf_counter() - started
    report = conclude_session(job.prepared, a, b, device=job.info, seconds=seconds)
    sealed = None if files.out is None else partial(job.mark_concluded, files.out)
    show_and_save(report, files, as_json=as_json, sealed=sealed)


def _expected(plan: JobPlan, policy: Policy) -> dict[str, Any]:
    """Return what the job takes and what its calibration promises, as plain values."""
    from e91.cli.machines import link_of
    from e91.session.planning import Link, expected_length

    s, qber = link_of(plan.table, settings=plan.settings)
    length = expected_length(
        Link(min(4.0, max(0.0, s)), qber), plan.rounds, settings=plan.settings, policy=policy
    )
    return {
        "machine": plan.machine,
        "qubits": plan.qubits,
        "rounds": plan.rounds,
        "executions": plan.executions,
        "seconds": round(plan.seconds, 1),
        "expected": {"chsh": s, "qber": qber, "secret_bits": max(0, length.bits)},
    }


def _confirm(expected: dict[str, Any], *, confirmed: bool) -> None:
    """Say what the job costs and promises, and ask, unless that was answered beforehand."""
    alice, bob = expected["qubits"]
    link = expected["expected"]
    click.echo(
        f"One job on {expected['machine']}, qubits {alice} (alice) and {bob} (bob): "
        f"{expected['rounds']:,} pairs, {expected['executions']:,} executions, about "
        f"{expected['seconds']:,} s on the machine.\n"
        f"Its calibration promises S = {link['chsh']:.3f}, QBER {link['qber']:.2%} and about "
        f"{link['secret_bits']:,} secret bits.",
        err=True,
    )
    if confirmed:
        return
    if sys.stdin is None or not sys.stdin.isatty():
        raise ValueError("A job must be confirmed, but nobody can be asked: add `--yes`.")
    click.confirm("Submit it?", abort=True, err=True)


def _left(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(found))
        return
    status = f" is {found['status']}" if "status" in found else " was left"
    click.echo(f"Job {found['job_id']}{status}; `e91 run --resume {found['job_id']}` goes on.")
