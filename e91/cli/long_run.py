"""``e91 run`` beyond a session: blocks, each saved as it is released."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from e91.cli.outcome import flush_output
from e91.model.errors import ProtocolAborted
from e91.system.durable import reason

if TYPE_CHECKING:
    from e91.alarm import Replay
    from e91.cli.run_options import Blocks, Request
    from e91.session.report import SessionReport
    from e91.session.totals import RunSummary


def run_blocks(
    device: Any,
    request: Request,
    *,
    blocks: Blocks,
) -> None:
    """Run the blocks, save the released ones, and print what they add up to.

    Stopping it leaves the blocks that were saved valid, and says how many there are.

    Raises:
        ProtocolAborted: No block was released.
        KeyboardInterrupt: The run was stopped; what was done is printed first.
    """
    from e91.session.streaming import stream
    from e91.system.processes import worker_processes

    replay: Replay | None = None
    if request.promise is not None:
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
    if request.promise is not None:
        reports = watch_blocks(
            reports, request.promise, planned_pairs=request.rounds, replay=replay
        )
    _make_folders(out=request.files.out, keep=blocks.keep)
    try:
        _work_off(reports, request, block_rounds=blocks.block_rounds)
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


def _work_off(reports: Iterable[SessionReport], request: Request, *, block_rounds: int) -> None:
    """Take the blocks as they come, and tell their sum, also that of a run that was stopped."""
    from e91.system.progress import rounds_bar

    found: RunSummary | None = None
    try:
        with rounds_bar(request.rounds) as bar:
            for found in _sums(reports, request.files.out):
                bar.update(found.rounds - bar.n)
    finally:
        if found is not None:
            click.echo(json.dumps(found.to_dict()) if request.as_json else str(found))
            if found.rounds < request.rounds:
                of = -(-request.rounds // block_rounds)
                done = f"{found.released:,} released blocks of {of:,}"
                click.echo(f"e91: The run ended early; {done} are valid.", err=True)
            flush_output()
    if found is not None and found.abort is not None:
        raise ProtocolAborted(found.abort)


def _sums(reports: Iterable[SessionReport], out: Path | None) -> Iterator[RunSummary]:
    """Save every released block in ``out``, and yield the sum of all blocks up to it."""
    from tqdm import tqdm

    from e91.session.totals import RunSummary

    found: RunSummary | None = None
    rang = False
    for report in reports:
        if out is not None and report.abort is None:
            _save_block(report, out)
        found = (found or RunSummary.before(report)).add(report)
        if not rang and report.alarm is not None:
            rang = True
            tqdm.write(f"e91: {report.alarm}", file=sys.stderr)
        yield found


def _save_block(report: SessionReport, out: Path) -> None:
    from e91.session.folder import new_folder, save_session

    with new_folder(out / f"block-{report.block:06d}") as folder:
        save_session(report, folder, plain=None)
