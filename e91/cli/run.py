"""``e91 run``: one session, from entangled pairs to a key."""

from pathlib import Path
from typing import Any

import click

from e91.cli.devices import block_device, ibm_machine, session_device
from e91.cli.options import JSON, Angles, refuse_given, seed_option
from e91.cli.outcome import Files, check_files, show_and_save
from e91.cli.run_options import (
    ANGLES,
    BLOCKS,
    DEVICE,
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
@DEVICE
@ANGLES
@PHOTONS
@JOB
@JSON
def run(*, files: Files, job: JobOptions, as_json: bool, **asked: Any) -> None:
    """Run one session, from entangled pairs to a key; exit with 3 if it must abort."""
    if files.plain is not None and files.out is None:
        raise click.UsageError("`--encrypt FILE` must come with `--out DIR`, but there is none.")
    if job.resume is not None:
        from e91.cli.ibm import resume

        check_files(files)
        resume(job.resume, leave=job.leave, files=files, as_json=as_json)
    else:
        _begin(files=files, job=job, as_json=as_json, **asked)


def _begin(
    *,
    rounds: int,
    seed: int | None,
    policy: dict[str, Any],
    watch: WatchOptions,
    blocks: Blocks,
    files: Files,
    device: str,
    angles: Angles,
    photons: dict[str, Any],
    job: JobOptions,
    as_json: bool,
) -> None:
    """Check what was asked for, and have the rounds made where they are to be made."""
    if rounds < 1:
        raise ValueError(f"`--rounds` must be at least 1, but is {rounds}.")
    chosen, promise, settings = policy_of(**policy), watch.promise(), angles.settings()
    check_files(files)
    request = Request(rounds, settings, chosen, seed, promise, files, as_json)
    machine = ibm_machine(device)
    source = {"device": device, "settings": settings, "seed": seed, **photons}
    if machine is None and _is_long(request, keep=blocks.keep):
        from e91.cli.long_run import run_blocks

        run_blocks(block_device(**source), request, blocks=blocks)
        return
    refuse_given(
        ("block_rounds", "threads", "processes", "keep"),
        "must come with a run of blocks (more than 50,000,000 pairs, or `--keep DIR`, of a "
        "device that is simulated), but this is one session.",
    )
    if machine is None:
        _run_session(source, request)
        return
    refuse_given(["watch"], f"must come with pairs of this machine, but the device is `{device}`.")
    from e91.cli.ibm import run_on_ibm

    run_on_ibm(machine, request, confirmed=job.confirmed, leave=job.leave)


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
