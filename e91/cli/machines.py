"""IBM's machines: ``e91 snapshots``, offline, and a session whose rounds are a job on one of them.

``e91 run --device ibm:NAME`` submits the job, and ``--resume ID`` goes on with it.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from e91.cli.options import refuse_given
from e91.model.settings import EKERT, Settings
from e91.model.trust import SecurityModel
from e91.security.policy import Policy

if TYPE_CHECKING:
    from e91.cli.outcome import Files
    from e91.cli.run_options import Request
    from e91.devices.ibm.left_jobs import LeftJob
    from e91.devices.ibm.machine import JobPlan


_MODELS = tuple(model.value for model in SecurityModel)


@click.group()
def snapshots() -> None:
    """IBM machines as they were on one day, for `--device fake:NAME`; needs e91[ibm]."""


@snapshots.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list.")
def list_snapshots(*, as_json: bool) -> None:
    """List the names of all snapshots."""
    from e91.devices.samplers.snapshots import snapshot_names

    names = snapshot_names()
    click.echo(json.dumps(names) if as_json else "\n".join(names))


@snapshots.command("table")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list, an object a machine.")
def table(names: tuple[str, ...], *, as_json: bool) -> None:
    """Print S, QBER and key rates of the best pair of each machine, or of NAMEs, in Markdown.

    Exact values of the snapshot's noise model; rates are asymptotic, in secret bits per key round.
    """
    from e91.devices.samplers.snapshots import snapshot_names
    from e91.system.progress import progress_bar

    chosen = names or snapshot_names()
    rows = []
    with progress_bar(len(chosen), unit="machines") as drawn:
        for name in chosen:
            rows.append(row_of(name))
            drawn(1)
    rows.sort(key=lambda row: -(row["chsh"] or 0.0))
    click.echo(json.dumps(rows) if as_json else _markdown(rows))


def row_of(name: str) -> dict[str, Any]:
    """Return one machine's row; where no pair works, all but the name are None."""
    from e91.devices.samplers.qubit_pairs import ranked_pairs
    from e91.devices.samplers.snapshots import snapshot_backend, snapshot_device

    with warnings.catch_warnings():
        # That the errors of fake_nighthawk are not representative; docs/backends.md says so.
        warnings.simplefilter("ignore", UserWarning)
        backend = snapshot_backend(name)
        empty = {"machine": name, "of": backend.num_qubits, "taken": _day(backend), "qubits": None}
        if not ranked_pairs(backend.target):
            return empty | dict.fromkeys(["chsh", "qber", *_MODELS])
        device = snapshot_device(name)
    s, qber = link_of(device.table)
    return empty | {"qubits": device.qubits, "chsh": s, "qber": qber} | _rates(s, qber)


def link_of(table: Any, *, settings: Settings = EKERT) -> tuple[float, float]:
    """Return S and the QBER that a table of probabilities has.

    The QBER is the mean over the key pairs, weighted with how often they occur.

    Examples:
        >>> from e91.devices.exact import exact_device
        >>> s, qber = link_of(exact_device(visibility=0.9).table)
        >>> round(s, 4), round(qber, 4)
        (2.5456, 0.05)
    """
    equal = table[..., 0, 0] + table[..., 1, 1]
    s = sum(sign * (2 * float(equal[pair]) - 1) for pair, sign in settings.chsh_pairs)
    wrong = sum(
        settings.pair_probability(pair) * (1 - sign * (2 * float(equal[pair]) - 1)) / 2
        for pair, sign in settings.signed_key_pairs
    )
    return s, wrong / settings.key_probability


def _rates(s: float, qber: float) -> dict[str, float]:
    from e91.session.planning import asymptotic_rate

    return {
        model.value: asymptotic_rate(model, chsh_value=max(0.0, s), qber=qber).rate
        for model in SecurityModel
    }


def _day(backend: Any) -> str | None:
    """Return the day of the calibration, as an ISO date."""
    updated = getattr(backend.properties(), "last_update_date", None)
    return None if updated is None else str(updated)[:10]


def _markdown(rows: list[dict[str, Any]]) -> str:
    head = "| machine | calibrated | pair | S | QBER | trusted analysers | device-independent |"
    lines = [head, "|---|---|---|---|---|---|---|"]
    for row in rows:
        first = f"| {row['machine']} ({row['of']} qubits) | {row['taken'] or '-'} "
        if row["qubits"] is None:
            lines.append(f"{first}| none works | - | - | - | - |")
            continue
        alice, bob = row["qubits"]
        rates = " | ".join(f"{row[model]:.3f}" if row[model] > 0 else "no key" for model in _MODELS)
        lines.append(f"{first}| {alice}, {bob} | {row['chsh']:.3f} | {row['qber']:.2%} | {rates} |")
    return "\n".join(lines)


INTERRUPTED = 1

_GO_ON = ("resume", "leave", "out", "plain", "figure", "figure_style", "as_json")


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
    from e91.session.expectation import Link
    from e91.session.planning import expected_length

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
