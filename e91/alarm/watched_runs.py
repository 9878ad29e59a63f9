"""The alarm over many sessions, or the blocks of a run: carried from report to report."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from e91.alarm.intervals import kinds_of, watch_rounds
from e91.alarm.link import outcome_counts
from e91.alarm.promise import Promise, SequentialTest
from e91.alarm.replay import Replay
from e91.distillation.sifting.by_block import code_table
from e91.model.bits import NO_CLICK
from e91.model.settings import Settings
from e91.model.trust import SecurityModel
from e91.session.report import SessionReport


def watch_blocks(
    reports: Iterable[SessionReport],
    promise: Promise,
    *,
    planned_pairs: int = 0,
    replay: Replay | None = None,
) -> Iterator[SessionReport]:
    """Wealth a link over its sessions, or over the blocks of a run; yield each report with it.

    The test is carried from report to report, so the false-alarm probability is that of the
    whole life.  Whether it rings is decided at the end of a block.  With ``replay`` the alarm names
    the round within the block at which the same bets, looked at more often, had won enough.

    Args:
        reports: In the order of time, all with the same settings and revealed fraction.
        promise: What the link promises.
        planned_pairs: How many pairs all blocks together are to send, 0 if that is open.
        replay: The device of the run that makes the reports; without it the alarm names the end
            of the block.

    Raises:
        ValueError: A report has other settings, the settings have no Bell test or no key, or the
            replay is not that of this run.

    Examples:
        >>> from e91.devices.exact import exact_device
        >>> from e91.session.streaming import stream
        >>> device = Replay(exact_device(visibility=0.93, seed=1), block_rounds=100_000)
        >>> blocks = stream(device, rounds=400_000, block_rounds=100_000, seed=1)
        >>> found = watch_blocks(blocks, Promise(0.95), replay=device)
        >>> [report.alarm and report.alarm.round for report in found]
        [None, 114975, 114975, 114975]
    """
    test: SequentialTest | None = None
    known: tuple[Settings, float] | None = None
    for report in reports:
        declared = report.settings, report.policy.revealed_fraction
        if test is None:
            known, test = (
                declared,
                promise.sequential_test(
                    settings=report.settings, policy=report.policy, planned_pairs=planned_pairs
                ),
            )
        if declared != known:
            raise ValueError(
                "A watched link must keep its settings and revealed fraction, but changed them."
            )
        before, counts = test, outcome_counts(report.evidence)
        test = test.after(counts, pairs=report.rounds)
        if replay is not None and before.rang is None and test.rang is not None:
            again = watch_rounds(*replayed_rounds(report, replay), before)
            test = replace(test, rang=again.rang or test.rang)
        yield replace(report, watch=test)


def replayed_rounds(
    report: SessionReport, replay: Replay
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the kinds of the tallied rounds of a block, and their indices in it.

    Args:
        report: Of the block.
        replay: The device of the run.

    Returns:
        As `e91.alarm.intervals.counts_by_interval` takes them.

    Raises:
        ValueError: The replay did not draw this block.
    """
    table = code_table(
        report.settings,
        outcomes=replay.sources[-1].shape[-1] if replay.sources else 2,
        assign_lost=report.policy.security is SecurityModel.DEVICE_INDEPENDENT,
    )
    fraction = report.policy.revealed_fraction
    codes, rounds = replay.announced(
        report.block, rounds=report.rounds, table=table, fraction=fraction
    )
    x, y, a, b = np.unravel_index(codes, table.shape)  # a loss counts as 0
    kinds = kinds_of(report.settings)[x, y, a % NO_CLICK ^ b % NO_CLICK]
    counts = outcome_counts(report.evidence).array
    if not np.array_equal(np.bincount(kinds, minlength=10), counts):
        raise ValueError("A replay must repeat its block's counts, but gives others.")
    return kinds, rounds
