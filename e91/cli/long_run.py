"""``e91 run`` beyond a session: blocks, each saved as it is released."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from e91.model.errors import Abort, ProtocolAborted
from e91.model.policy import Policy

if TYPE_CHECKING:
    from e91.alarms import Promise


def run_blocks(
    device: Any,
    *,
    rounds: int,
    policy: Policy,
    seed: int | None,
    out: Path | None,
    block_rounds: int,
    threads: int | None,
    keep: Path | None,
    processes: bool,
    promise: Promise | None = None,
    as_json: bool,
) -> None:
    """Run the blocks, save the released ones in ``out``, and print what they add up to.

    Stopping it leaves the blocks that were saved valid, and says how many there are.

    Raises:
        ProtocolAborted: No block was released.
        KeyboardInterrupt: The run was stopped; what was done is printed first.
    """
    from tqdm import tqdm

    from e91.run_summary import RunSummary
    from e91.streaming import stream
    from e91.worker_processes import worker_processes

    pool = worker_processes(threads) if processes else None
    reports = stream(
        device,
        rounds=rounds,
        policy=policy,
        block_rounds=block_rounds,
        threads=threads,
        executor=pool,
        seed=seed,
        keep=keep,
    )
    if promise is not None:
        from e91.watching import watch_blocks

        reports = watch_blocks(reports, promise, planned_pairs=rounds)
    for folder in (out, keep):
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=False)
    found: RunSummary | None = None
    rang = False
    try:
        with tqdm(total=rounds, unit=" pairs", unit_scale=True, delay=2, disable=None) as bar:
            for report in reports:
                if out is not None and report.abort is None:
                    _save_block(report, out)
                empty = RunSummary(
                    report.settings, report.device, report.policy, report.seed, report.evidence
                )
                found = (found or empty).add(report)
                if not rang and report.alarm is not None:
                    rang = True
                    tqdm.write(f"e91: {report.alarm}", file=sys.stderr)
                bar.update(report.rounds)
    finally:
        if pool is not None:
            pool.shutdown(cancel_futures=True)
        if found is not None:
            click.echo(json.dumps(found.to_dict()) if as_json else str(found))
            if found.rounds < rounds:
                done = f"{found.released:,} released blocks of {-(-rounds // block_rounds):,}"
                click.echo(f"e91: The run ended early; {done} are valid.", err=True)
            if sys.stdout is not None:
                sys.stdout.flush()
    if found is not None and not found.released:
        raise ProtocolAborted(Abort[found.aborts[0][0]])


def _save_block(report: Any, out: Path) -> None:
    from e91.session_folder import new_folder, save_session

    with new_folder(out / f"block-{report.block:06d}") as folder:
        save_session(report, folder, plain=None)
