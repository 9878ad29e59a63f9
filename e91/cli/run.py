"""``e91 run``: one session, from entangled pairs to a key, or blocks, each saved when released."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from e91.cli.light_options import LinkOptions, refuse_beside_light
from e91.cli.options import COUNT, JSON, Angles, refuse_given, seed_option
from e91.cli.outcome import (
    Files,
    check_files,
    draw_session,
    flush_output,
    show,
    show_and_save,
)
from e91.cli.policy_options import POLICY, policy_of
from e91.cli.run_options import (
    ANGLES,
    BESIDE_LIGHT,
    BLOCKS,
    DEVICE,
    FILES,
    JOB,
    LIGHT,
    PHOTONS,
    WATCH,
    Blocks,
    Request,
    block_device,
    ibm_machine,
    session_device,
    watch_of,
)
from e91.model.errors import ProtocolAborted
from e91.model.trust import SecurityModel
from e91.system.durable import reason, sweep
from e91.system.stopwatch import Stopwatch

if TYPE_CHECKING:
    from e91.alarm import Replay
    from e91.session.report import RaisedAlarm, SessionReport
    from e91.session.totals import RunSummary


def run_blocks(device: Any, request: Request, *, blocks: Blocks) -> None:
    """Run the blocks, save the released ones, and print what they add up to.

    Stopping it leaves the blocks that were saved valid, and says how many there are.

    Raises:
        ProtocolAborted: No block was released.
        KeyboardInterrupt: The run was stopped; what was done is printed first.
    """
    from e91.session.streaming import stream
    from e91.system.processes import worker_processes

    replay: Replay | None = None
    if request.watch is not None:
        from e91.alarm import Replay, watch_blocks

        device = replay = Replay(device, blocks.block_rounds)
    pool = worker_processes(blocks.threads) if blocks.processes else None
    reports = stream(
        device,
        rounds=request.rounds,
        policy=request.policy,
        block_rounds=blocks.block_rounds,
        threads=blocks.threads,
        executor=pool,
        seed=request.seed,
        keep=blocks.keep,
    )
    if request.watch is not None:
        reports = watch_blocks(
            reports, request.watch.promise, planned_pairs=request.rounds, replay=replay
        )
    _make_folders(out=request.files.out, keep=blocks.keep)
    try:
        with _alarm_command(request):
            _work_off(reports, request, blocks)
    finally:
        if pool is not None:
            pool.shutdown(cancel_futures=True)


def _make_folders(**folders: Path | None) -> None:
    """Make the folders that options name, all or none of them.

    Raises:
        ValueError: One exists, cannot be made, or is named twice.
    """
    wanted = {name: folder for name, folder in folders.items() if folder is not None}
    if len({folder.resolve() for folder in wanted.values()}) < len(wanted):
        raise ValueError(
            f"`--out` and `--keep` must be two folders, but both are `{folders['keep']}`."
        )
    made: list[Path] = []
    for folder in wanted.values():
        sweep(folder.parent, inside=True)
        try:
            # Not even an empty one is taken: another run may just have made it for its blocks.
            folder.mkdir()
            made.append(folder)
        except OSError as error:
            for earlier in made:
                earlier.rmdir()
            raise ValueError(
                f"`{folder}` must be a new folder for a run of blocks, but {reason(error)}."
            ) from None


def _work_off(reports: Iterable[SessionReport], request: Request, blocks: Blocks) -> None:
    """Take the blocks as they come, and tell their sum, also that of a run that was stopped."""
    from e91.system.progress import progress_bar

    found: RunSummary | None = None
    stopwatch = Stopwatch()
    try:
        with progress_bar(request.rounds, unit="pairs") as drawn:
            for total in _sums(reports, request):
                drawn(total.rounds - (0 if found is None else found.rounds))
                found = total
    finally:
        if found is not None:
            found = replace(found, seconds=stopwatch.seconds)
            show(found, as_json=request.as_json, written=_written(request.files.out, blocks.keep))
            if found.rounds < request.rounds:
                of = -(-request.rounds // blocks.block_rounds)
                done = f"{found.released:,} released blocks of {of:,}"
                click.echo(f"e91: The run ended early; {done} are valid.", err=True)
            flush_output()
    if found is not None:
        draw_session(found, request.files.picture)
    if found is not None and found.abort is not None:
        raise ProtocolAborted(found.abort)


def _written(out: Path | None, keep: Path | None) -> dict[str, Any]:
    """Return which folders a run has filled, by name."""
    folders = {"folder": out, "records": keep}
    return {name: str(folder) for name, folder in folders.items() if folder is not None}


def _sums(reports: Iterable[SessionReport], request: Request) -> Iterator[RunSummary]:
    """Save every released block, and yield the sum of all blocks up to it."""
    from e91.session.totals import RunSummary

    out = request.files.out
    found: RunSummary | None = None
    rang = False
    for report in reports:
        added = (found or RunSummary.before(report)).add(report)
        if out is not None and report.abort is None:
            target = out / f"block-{report.block:06d}"
            try:
                _save_block(report, target)
            except BaseException:
                if target.exists():
                    yield added  # the block is whole, and counts
                raise
        found = added
        if not rang and report.alarm is not None:
            rang = True
            _ring(report.alarm, request)
        yield found


def _save_block(report: SessionReport, target: Path) -> None:
    from e91.session.folder import save_session
    from e91.system.durable import new_folder

    with new_folder(target) as folder:
        save_session(report, folder, plain=None)


@click.command()
@click.option("--rounds", type=COUNT, default=1_000_000, show_default=True, help="Pairs to send.")
@seed_option("Reproducible run, for tests: its key is not secret.")
@POLICY
@WATCH
@BLOCKS
@FILES
@DEVICE
@ANGLES
@PHOTONS
@LIGHT
@JOB
@JSON
def run(*, files: Files, job: dict[str, Any], as_json: bool, **asked: Any) -> None:
    """Run one session, from entangled pairs to a key; exit with 3 if it must abort."""
    if files.plain is not None and files.out is None:
        raise click.UsageError("`--encrypt FILE` must come with `--out DIR`, but there is none.")
    if job["resume"] is not None:
        from e91.cli.machines import resume

        check_files(files)
        resume(job["resume"], leave=job["leave"], files=files, as_json=as_json)
    else:
        _begin(files=files, job=job, as_json=as_json, **asked)


_OF_BLOCKS = (
    "must come with a run of blocks (more than 50,000,000 pairs, or `--keep DIR`, of a device that "
    "is simulated), but this is one session."
)


def _begin(
    *,
    rounds: int,
    seed: int | None,
    policy: dict[str, Any],
    watch: dict[str, Any],
    blocks: Blocks,
    files: Files,
    device: str,
    angles: Angles,
    photons: dict[str, Any],
    light: LinkOptions,
    job: dict[str, Any],
    as_json: bool,
) -> None:
    """Check what was asked for, and have the rounds made where they are to be made."""
    if rounds < 1:
        raise ValueError(f"`--rounds` must be at least 1, but is {rounds}.")
    chosen, watched, settings = policy_of(**policy), watch_of(**watch), angles.settings()
    check_files(files)
    request = Request(rounds, settings, chosen, seed, watched, files, as_json)
    refuse_beside_light(BESIDE_LIGHT, light=light)
    machine = ibm_machine(device)
    source = {"device": device, "settings": settings, "seed": seed, "light": light, **photons}
    source["slots"] = chosen.security is SecurityModel.DEVICE_INDEPENDENT
    if machine is None and _is_long(request, keep=blocks.keep):
        run_blocks(block_device(**source), request, blocks=blocks)
        return
    refuse_given(("block_rounds", "threads", "processes", "keep"), _OF_BLOCKS)
    if machine is None:
        _run_session(source, request)
        return
    refuse_given(["watch"], f"must come with pairs of this machine, but the device is `{device}`.")
    from e91.cli.machines import run_on_ibm

    if photons["state"] is not None:
        request = replace(request, settings=settings.turned_for(photons["state"]))
    run_on_ibm(machine, request, confirmed=job["confirmed"], leave=job["leave"])


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
    from e91.system.progress import waiting

    rounds, watch = request.rounds, request.watch
    check_rounds(rounds)
    with waiting("Preparing the device"):
        device, channel = session_device(rounds=rounds, **source)
    arguments = {"rounds": rounds, "policy": request.policy, "seed": request.seed, **channel}
    if watch is None:
        report = run_session(device, **arguments)
    else:
        from e91.alarm import run_watched

        report = run_watched(device, watch.promise, **arguments)
    with _alarm_command(request):
        if report.alarm is not None:
            _ring(report.alarm, request)
        show_and_save(report, request.files, as_json=request.as_json)


def _alarm_command(request: Request) -> AbstractContextManager[None]:
    """Return what waits at its end for the command that was run when the alarm rang."""
    command = request.watch.command if request.watch else None
    return nullcontext() if command is None else command.waited_for()


def _ring(alarm: RaisedAlarm, request: Request) -> None:
    """Say on standard error that the alarm rang, and run the command that is asked for."""
    from tqdm import tqdm

    tqdm.write(f"e91: {alarm}", file=sys.stderr)
    if request.watch is not None and request.watch.command is not None:
        request.watch.command.start(alarm)
