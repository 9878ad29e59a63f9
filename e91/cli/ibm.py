"""``e91 run --device ibm:NAME`` and ``--resume ID``: a session whose rounds are a job at IBM's."""

from __future__ import annotations

import json
import sys
import time
import uuid
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from e91.model.bits import Bits
from e91.model.device import DeviceInfo
from e91.model.policy import Policy
from e91.model.settings import Settings

if TYPE_CHECKING:
    from e91.cli.outcome import Files
    from e91.cli.run_options import Request

INTERRUPTED = 1

_GO_ON = ("resume", "leave", "out", "plain", "as_json")


def run_on_ibm(machine: str, request: Request, *, confirmed: bool, leave: bool) -> None:
    """Plan, confirm, submit one job, and go on to the report, or leave the job to run.

    The choices of every round are on the disk before the job is submitted, and its id right
    afterwards; whatever happens in between, ``--resume`` finds it and submits nothing again.
    """
    from e91.devices.ibm.job_files import PlannedSession
    from e91.devices.ibm.jobs import check_keeps_jobs
    from e91.devices.ibm.machine import machine_of, open_service, plan_job
    from e91.session.session import check_rounds
    from e91.session.verdict import check_policy

    rounds, settings, seed = request.rounds, request.settings, request.seed
    check_rounds(rounds)
    check_policy(rounds, settings=settings, policy=request.policy)
    service = open_service()
    if leave:
        check_keeps_jobs(service)
    backend = machine_of(service, machine)
    x, y = _choices(rounds, settings=settings, seed=seed)
    plan = plan_job(backend, x, y, settings=settings)
    expected = _expected(plan, request.policy)
    _confirm(expected, confirmed=confirmed)
    planned = PlannedSession(
        uuid.uuid4().hex, machine, plan.description, settings, request.policy, seed, x, y
    )
    job = _submitted(planned, plan, backend)
    job_id = str(job.job_id())
    if leave:
        _left(expected | {"job_id": job_id, "session": planned.session}, as_json=request.as_json)
        return
    _finish(job, planned, job_id=job_id, files=request.files, as_json=request.as_json)


def _submitted(planned: Any, plan: Any, backend: Any) -> Any:
    """Write the session down, submit its job, write the job's id down, and return the job."""
    from e91.devices.ibm.job_files import jobs_folder, save_job_id, save_planned
    from e91.devices.ibm.machine import submit

    save_planned(planned, jobs_folder())
    try:
        job = submit(plan, backend, tag=planned.tag)
    except ValueError as error:
        raise ValueError(
            f"{error} If the job arrived all the same, `e91 run --resume {planned.session}` finds "
            "it and submits nothing again."
        ) from None
    job_id = str(job.job_id())
    click.echo(f"Job {job_id} was submitted; `e91 run --resume {job_id}` goes on.", err=True)
    save_job_id(planned, job_id, jobs_folder())
    return job


def resume(name: str, *, leave: bool, files: Files, as_json: bool) -> None:
    """Go on with a session whose job was left; submit nothing."""
    from e91.devices.ibm.job_files import (
        check_not_concluded,
        jobs_folder,
        load_planned,
        save_job_id,
    )
    from e91.devices.ibm.jobs import find_job, job_status, tagged_job
    from e91.devices.ibm.machine import open_service

    _refuse_other_options()
    planned, job_id = load_planned(name, jobs_folder())
    check_not_concluded(planned, jobs_folder())
    service = open_service()
    if job_id is None:
        job = tagged_job(service, planned.tag)
        if job is None:
            raise ValueError(
                "A session must have a job to go on, but IBM never took this one: nothing was "
                "submitted; start again with `e91 run`."
            )
        job_id = str(job.job_id())
        save_job_id(planned, job_id, jobs_folder())
    else:
        job = find_job(service, job_id)
    if leave:
        found = {"job_id": job_id, "session": planned.session, "status": job_status(job)}
        _left(found, as_json=as_json)
        return
    _finish(job, planned, job_id=job_id, files=files, as_json=as_json)


def conclude(planned: Any, a: Bits, b: Bits, *, seconds: float = 0.0) -> Any:
    """Return the report of a planned session from the outcomes of its rounds.

    Args:
        planned: An `e91.devices.ibm.job_files.PlannedSession`.
        a: Alice's outcome in each round; uint8, shape (n,).
        b: Bob's.
        seconds: What it took so far.
    """
    from e91.devices.ibm.machine import ASSUMPTION
    from e91.model.randomness import operating_system_entropy, seeded_entropy
    from e91.model.records import DetectionRecord, PartyRecord
    from e91.session.session import conclude_record

    settings, seed = planned.settings, planned.seed
    entropy = operating_system_entropy if seed is None else seeded_entropy(seed)
    if seed is not None:
        _drawn(entropy, len(planned.x), settings)  # these bytes chose the settings: use none twice
    return conclude_record(
        DetectionRecord(PartyRecord(planned.x, a), PartyRecord(planned.y, b)),
        device=DeviceInfo(settings, planned.description, ASSUMPTION),
        settings=settings,
        policy=planned.policy,
        seed=seed,
        entropy=entropy,
        started=time.perf_counter() - seconds,
    )


def _finish(job: Any, planned: Any, *, job_id: str, files: Files, as_json: bool) -> None:
    """Wait for the job, distil, and show and save what came of it."""
    from e91.cli.outcome import show_and_save
    from e91.devices.ibm.job_files import jobs_folder, save_concluded
    from e91.devices.ibm.jobs import job_outcomes

    started = time.perf_counter()
    try:
        a, b = job_outcomes(job, planned.x, planned.y, settings=planned.settings)
    except KeyboardInterrupt:
        click.echo(f"e91: The job goes on; `e91 run --resume {job_id}` fetches it.", err=True)
        sys.exit(INTERRUPTED)
    report = conclude(planned, a, b, seconds=time.perf_counter() - started)
    sealed = (
        None if files.out is None else partial(save_concluded, planned, files.out, jobs_folder())
    )
    show_and_save(report, files, as_json=as_json, sealed=sealed)


def _choices(rounds: int, *, settings: Settings, seed: int | None) -> tuple[Bits, Bits]:
    from e91.model.randomness import operating_system_entropy, seeded_entropy

    entropy = operating_system_entropy if seed is None else seeded_entropy(seed)
    return _drawn(entropy, rounds, settings)


def _drawn(entropy: Any, rounds: int, settings: Settings) -> tuple[Bits, Bits]:
    """Draw both parties' settings as `e91.session.session.measure` does."""
    from e91.model.randomness import random_choice

    x = random_choice(entropy, settings.alice_probabilities, rounds)
    return x, random_choice(entropy, settings.bob_probabilities, rounds)


def _expected(plan: Any, policy: Policy) -> dict[str, Any]:
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
    """Tell what the job costs and promises, and ask, unless that was answered beforehand."""
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


def _refuse_other_options() -> None:
    """Refuse options that a session has fixed when its job was submitted."""
    context = click.get_current_context()
    for name in context.params:
        source = context.get_parameter_source(name)
        if source is click.core.ParameterSource.COMMANDLINE and name not in _GO_ON:
            option = next(found.opts[0] for found in context.command.params if found.name == name)
            raise ValueError(
                f"`{option}` must not come with `--resume`, but does: the session has fixed it."
            )
