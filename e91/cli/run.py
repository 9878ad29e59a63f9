"""``e91 run``: one session, from entangled pairs to a key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from e91.cli.devices import DEVICES, block_device, ibm_machine, session_device
from e91.cli.options import JSON, Angles, refuse_given, seed_option
from e91.cli.outcome import Files, check_files, show_and_save
from e91.cli.run_options import (
    ANGLES,
    BLOCKS,
    FILES,
    JOB,
    PHOTONS,
    POLICY,
    WATCH,
    Blocks,
    JobOptions,
    Request,
    WatchOptions,
    policy_of,
)


@click.command()
@click.option("--rounds", type=int, default=1_000_000, show_default=True, help="Pairs to send.")
@seed_option("Reproducible run, for tests: its key is not secret.")
@POLICY
@WATCH
@BLOCKS
@FILES
@click.option("--device", metavar=DEVICES, default="aer", show_default=True,
              help="aer: every round is a shot of the Aer simulator; exact: rounds are drawn from "
              "the probabilities that Aer computes; fake: from those of the best two qubits of an "
              "IBM machine's snapshot, offline; ibm: one job on the machine itself, with your "
              "account.")  # fmt: skip
@ANGLES
@PHOTONS
@JOB
@JSON
def run(
    *,
    rounds: int,
    seed: int | None,
    asked: dict[str, Any],
    watch: WatchOptions,
    blocks: Blocks,
    files: Files,
    device: str,
    angles: Angles,
    photons: dict[str, Any],
    job: JobOptions,
    as_json: bool,
) -> None:
    """Run one session, from entangled pairs to a key; exit with 3 if it must abort."""
    if files.plain is not None and files.out is None:
        raise click.UsageError("`--encrypt FILE` must come with `--out DIR`, but there is none.")
    if job.resume is not None:
        _resume(job.resume, leave=job.leave, files=files, as_json=as_json)
        return
    if rounds < 1:
        raise ValueError(f"`--rounds` must be at least 1, but is {rounds}.")
    policy, promise, settings = policy_of(**asked), watch.promise(), angles.settings()
    check_files(files)
    request = Request(rounds, settings, policy, seed, promise, files, as_json)
    machine = ibm_machine(device)
    is_long = machine is None and _is_long(request, keep=blocks.keep)
    if not is_long:
        refuse_given(
            ("block_rounds", "threads", "processes", "keep"),
            "must come with a run of blocks (more than 50,000,000 pairs, or `--keep DIR`, of a "
            "device that is simulated), but this is one session.",
        )
    source = {"device": device, "settings": settings, "seed": seed, **photons}
    if machine is not None:
        refuse_given(
            ["watch"], f"must come with pairs of this machine, but the device is `{device}`."
        )
        from e91.cli.ibm import run_on_ibm

        run_on_ibm(machine, request, confirmed=job.confirmed, leave=job.leave)
    elif is_long:
        from e91.cli.long_run import run_blocks

        run_blocks(block_device(**source), request, blocks=blocks)
    else:
        _run_session(source, request)


def _resume(name: str, *, leave: bool, files: Files, as_json: bool) -> None:
    from e91.cli.ibm import resume

    check_files(files)
    resume(name, leave=leave, files=files, as_json=as_json)


def _is_long(request: Request, *, keep: Path | None) -> bool:
    """Return whether it takes a run of blocks.

    Raises:
        ValueError: It does, but a file is to be encrypted.
    """
    from e91.session.session import MAXIMUM_ROUNDS

    is_long = request.rounds > MAXIMUM_ROUNDS or keep is not None
    if is_long and request.files.plain is not None:
        raise ValueError(
            f"`--encrypt FILE` must come with at most {MAXIMUM_ROUNDS:,} rounds and without "
            "`--keep`; a run of blocks saves their keys in `--out DIR`."
        )
    return is_long


def _run_session(source: dict[str, Any], request: Request) -> None:
    """Run a session whose rounds fit in memory, watched if the link promises something."""
    from e91.session.session import check_rounds
    from e91.session.session import run as run_session
    from e91.system.progress import rounds_bar

    rounds, promise = request.rounds, request.promise
    check_rounds(rounds)
    with rounds_bar(rounds) as bar:
        device, channel = session_device(rounds=rounds, progress=bar.update, **source)
        arguments = {"rounds": rounds, "policy": request.policy, "seed": request.seed, **channel}
        if promise is None:
            report = run_session(device, **arguments)
        else:
            from e91.alarm import run_watched

            report = run_watched(device, promise, **arguments)
    if report.alarm is not None:
        click.echo(f"e91: {report.alarm}", err=True)
    show_and_save(report, request.files, as_json=request.as_json)
