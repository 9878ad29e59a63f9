"""Runs of any length: blocks of rounds, each a session of its own, in bounded memory.

Every block has its own Bell test, verdict, keys and tags, and can be made again alone from the
root of the run's randomness and its number, whichever thread makes it.  The stages are those of a
small session; what differs is that the rounds are drawn and sifted as one byte each.
"""

import math
import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Protocol, runtime_checkable

import numpy as np

from e91.distillation import authentication
from e91.distillation.sifting import by_block as packed_sifting
from e91.distillation.sifting.by_block import CodeTable, code_table
from e91.distillation.sifting.choices import OutcomeSource, RoundSampler, choices, room_for
from e91.model.bits import Bits
from e91.model.device import info_of
from e91.model.messages import Channel
from e91.model.numbers import check_whole
from e91.model.randomness import (
    block_entropy,
    operating_system_entropy,
    seeded_entropy,
)
from e91.model.settings import Settings
from e91.model.trust import SecurityModel
from e91.recorded.fingerprints import fingerprints_of
from e91.recorded.ledger import use_up
from e91.recorded.record_files import PARQUET, record_of_codes, save_block
from e91.security.policy import Policy
from e91.session.protocol import Means, conclude
from e91.session.report import SessionReport
from e91.session.session import report_of, settings_of
from e91.session.verdict import check_policy
from e91.system.compiled import compiled_code_may_run
from e91.system.extras import extra
from e91.system.processes import checked_cores, in_order
from e91.system.stopwatch import Stopwatch
from e91.system.workspace import Workspace

PART_ROUNDS = 2**18
"""Rounds drawn and sifted at once: they stay in a core's cache."""

BLOCK_ROUNDS = 2**22
"""Default rounds of a block: a million key bits with Ekert's settings, four with the best."""

MAXIMUM_ROUNDS = 10**15
"""A month of the fastest simulation here; the block numbers would allow more."""

_BYTES_PER_ROUND = 16  # of a block in work: announcements, transcripts, keys


@runtime_checkable
class BlockDevice(Protocol):
    """A device that can be asked for an `OutcomeSource`, e.g. `e91.exact_device`.

    Examples:
        >>> from e91.devices.exact import exact_device
        >>> from e91.model.settings import EKERT
        >>> exact_device(seed=1).outcome_source(EKERT).shape
        (3, 3, 2, 2)
    """

    def outcome_source(self, settings: Settings) -> OutcomeSource:
        """Return the device as a source of the outcomes of blocks.

        Args:
            settings: Those of the run.
        """


@dataclass(frozen=True, eq=False)
class Run:
    """A run that is planned: what every block needs; made by `plan_run`.

    Attributes:
        device: The device.
        source: The protocol's choices with its answers, by the block.
        settings: Angles, probabilities and roles.
        policy: The policy of every block.
        rounds: Rounds of the whole run.
        block_rounds: Rounds of every block but the last, which may be shorter.
        seed: Seed of the protocol's randomness, or None.
        root: 32 bytes from which every block's randomness is made.
    """

    device: BlockDevice
    source: RoundSampler = field(repr=False)
    settings: Settings
    policy: Policy
    rounds: int
    block_rounds: int
    seed: int | None
    root: bytes = field(repr=False)

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return -(-self.rounds // self.block_rounds)

    def rounds_of(self, number: int) -> int:
        """Return the rounds of a block.

        Raises:
            ValueError: The run has no such block.
        """
        check_whole(most=self.blocks - 1, number=number)
        return min(self.block_rounds, self.rounds - number * self.block_rounds)

    @property
    def meaning(self) -> CodeTable:
        """What the codes of the rounds mean."""
        return code_table(
            self.settings,
            outcomes=self.source.shape[-1],
            assign_lost=self.policy.security is SecurityModel.DEVICE_INDEPENDENT,
        )


@dataclass(frozen=True, eq=False)
class RunKeeper:
    """Part of a device that may know its runs, settings and sample of every round included.

    Only who draws rounds again derives from it (`e91.alarm.Replay`): a device that knew before what
    is chosen and revealed could deceive every test.

    Attributes:
        runs: Those that were planned with the device.
    """

    runs: list[Run] = field(default_factory=list, repr=False, kw_only=True)


def stream(
    device: BlockDevice,
    *,
    rounds: int,
    settings: Settings | None = None,
    policy: Policy | None = None,
    block_rounds: int = BLOCK_ROUNDS,
    threads: int | None = None,
    executor: Executor | None = None,
    seed: int | None = None,
    keep: Path | str | None = None,
) -> Iterator[SessionReport]:
    """Run a session of any length and yield the report of each block, in order, as it is done.

    Memory does not grow with the rounds: what a report holds is the caller's to keep or drop.
    Stopping early leaves the blocks that were yielded valid.

    Args:
        device: One that draws blocks, e.g. `e91.exact_device`.
        rounds: Photon pairs to send, from 1.
        settings: Angles, probabilities and roles; the device's own by default.
        policy: Of every block; its epsilon is per block, so a run of N blocks fails with
            probability at most N epsilon.
        block_rounds: Rounds of a block.
        threads: Blocks in work at once; one a core by default.
        executor: Where they are made: threads of this process by default.  Processes (see
            `e91.system.processes`) share no interpreter lock, which is a third faster on two cores,
            but no memory either; keys then come over a pipe of this machine.
        seed: Replaces the operating system's entropy, for tests only.
        keep: Folder for the raw record of every block (`record_files.save_block`), or None.

    Yields:
        The report of each block, in their order.

    Raises:
        ValueError: An argument leaves its range, the device draws no blocks, or the blocks in work
            would not fit in memory.
        OSError: A record cannot be written.

    Examples:
        >>> from e91.devices.exact import exact_device
        >>> device = exact_device(visibility=0.98, seed=1)
        >>> blocks = list(stream(device, rounds=1_000_000, block_rounds=500_000, seed=1))
        >>> [report.abort for report in blocks], blocks[1].block
        ([None, None], 1)
    """
    keep = None if keep is None else Path(keep)
    threads = checked_cores(threads, name="threads")
    run = plan_run(
        device,
        rounds=rounds,
        settings=settings,
        policy=policy,
        block_rounds=block_rounds,
        seed=seed,
    )
    if keep is not None and keep.suffix == PARQUET:
        extra("pyarrow.parquet", what="A folder of Parquet")
    _check_memory(block_rounds, threads)
    if executor is None:
        pool = ThreadPoolExecutor(threads, thread_name_prefix="e91-block")
        made = partial(_in_free_workspace, _workspaces(threads), run, keep=keep)
        return _in_own(pool, in_order(pool, made, range(run.blocks), ahead=threads))
    make = partial(session_of_block, run, keep=keep)
    return in_order(executor, make, range(run.blocks), ahead=threads)


def plan_run(
    device: BlockDevice,
    *,
    rounds: int,
    settings: Settings | None = None,
    policy: Policy | None = None,
    block_rounds: int = BLOCK_ROUNDS,
    seed: int | None = None,
) -> Run:
    """Return a run whose blocks `session_of_block` can make, in any order; arguments as `stream`.

    Args:
        device: One that draws blocks.
        rounds: Pairs of the whole run, from 1.
        settings: Angles and probabilities; the device's by default.
        policy: Of every block; the default policy if None.
        block_rounds: Rounds of every block but the last, from 1.
        seed: Of the protocol's randomness; None takes the operating system's.

    Returns:
        The run; nothing is drawn yet.

    Raises:
        ValueError: As for `stream`.

    Examples:
        >>> from e91.devices.exact import exact_device
        >>> device = exact_device(visibility=0.97, seed=1)
        >>> run = plan_run(device, rounds=250_000, block_rounds=100_000, seed=2)
        >>> run.rounds_of(0), run.rounds_of(2)
        (100000, 50000)
    """
    check_whole(least=1, most=MAXIMUM_ROUNDS, rounds=rounds)
    check_whole(least=1, block_rounds=block_rounds)
    settings, policy = settings_of(device, settings), policy or Policy()
    check_policy(min(rounds, block_rounds), settings=settings, policy=policy)
    entropy = operating_system_entropy if seed is None else seeded_entropy(seed)
    source = source_of(device, settings, protocol_key=entropy(32))
    run = Run(device, source, settings, policy, int(rounds), int(block_rounds), seed, entropy(32))
    if isinstance(device, RunKeeper):
        device.runs.append(run)
    return run


def source_of(device: object, settings: Settings, *, protocol_key: bytes) -> RoundSampler:
    """Return the protocol's choices with a device's answers, by the block.

    Args:
        device: One that answers to whole blocks.
        settings: Angles, and how often each is chosen.
        protocol_key: 32 secret bytes for the choices, which the device does not get.

    Raises:
        ValueError: The device answers to none, or not to these settings.
    """
    if not isinstance(device, BlockDevice):
        raise ValueError(
            "A device must draw blocks of rounds to be streamed, as `exact_device` does, but "
            f"`{info_of(device).description}` does not."
        )
    chosen = choices(settings, key=protocol_key)
    return RoundSampler(chosen, device.outcome_source(settings))


def session_of_block(
    run: Run, number: int, *, keep: Path | str | None = None, workspace: Workspace | None = None
) -> SessionReport:
    """Make one block of a run: the same whenever and wherever it is made.

    Args:
        run: The run.
        number: Number of the block, from 0.
        keep: Folder for its raw record, or None.
        workspace: Arrays that blocks use one after the other, and whether compiled code runs; by
            default one for this block, with compiled code wherever it may run.

    Returns:
        The block's report, with or without a key.

    Raises:
        ValueError: The run has no such block.
        OSError: The record cannot be written.

    Examples:
        >>> from e91.devices.exact import exact_device
        >>> device = exact_device(visibility=0.97, seed=1)
        >>> run = plan_run(device, rounds=200_000, block_rounds=100_000, seed=2)
        >>> report = session_of_block(run, 1)
        >>> report.block, report.abort is None, report.rounds
        (1, True, 100000)
    """
    keep = None if keep is None else Path(keep)
    stopwatch = Stopwatch(time.thread_time)
    rounds = run.rounds_of(number)
    entropy = block_entropy(run.root, block=number)
    secret = entropy(authentication.AUTHENTICATION_BITS // 8)
    channel = Channel(listener=authentication.RunningTags(secret))
    workspace = workspace or Workspace(compiled=compiled_code_may_run())
    means = Means(run.settings, run.policy, entropy, channel, secret, workspace)
    parts = -(-run.block_rounds // PART_ROUNDS)
    numbers = range(number * parts, (number + 1) * parts)
    kept: list[Bits] = []
    measured = packed_sifting.measure(
        _drawn(run.source, rounds, numbers, kept=None if keep is None else kept),
        meaning=run.meaning,
        fraction=run.policy.revealed_fraction,
        entropies=map(run.source.sample_entropy, numbers),
        rounds=rounds,
    )
    if keep is not None:
        seeded = run.seed is not None or info_of(run.device).reproducible
        codes, shape = np.concatenate(kept), run.source.shape
        record = record_of_codes(codes, shape=shape, reproducible=seeded)
        if not seeded:  # what a seed makes again is no secret, and comes again
            use_up(fingerprints_of(record), origin=f"block {number} of a run", from_files=True)
    made = conclude(lambda: measured.announce(channel), means)
    if keep is not None:
        save_block(keep, number, record)
    return report_of(
        made,
        means,
        rounds=rounds,
        device=info_of(run.device),
        seed=run.seed,
        stopwatch=stopwatch,
        block=number,
    )


def _workspaces(count: int) -> SimpleQueue[Workspace]:
    free: SimpleQueue[Workspace] = SimpleQueue()
    for _ in range(count):
        free.put(Workspace(compiled=compiled_code_may_run()))
    return free


def _in_free_workspace(
    free: SimpleQueue[Workspace], run: Run, number: int, *, keep: Path | None
) -> SessionReport:
    """Make a block in a workspace that no other thread is using."""
    workspace = free.get()
    try:
        return session_of_block(run, number, keep=keep, workspace=workspace)
    finally:
        free.put(workspace)


def _drawn(
    source: RoundSampler, rounds: int, numbers: Iterable[int], *, kept: list[Bits] | None
) -> Iterator[Bits]:
    """Yield the codes part by part, all in one buffer; append copies to ``kept``."""
    buffer, room = np.empty(PART_ROUNDS, np.uint8), room_for(PART_ROUNDS)
    for start, number in zip(range(0, rounds, PART_ROUNDS), numbers, strict=False):
        codes = buffer[: min(PART_ROUNDS, rounds - start)]
        source.fill(codes, block=number, room=room)
        if kept is not None:
            kept.append(codes.copy())
        yield codes


def _in_own(pool: Executor, reports: Iterator[SessionReport]) -> Iterator[SessionReport]:
    """Yield the reports, and end the pool with them."""
    with pool:
        yield from reports


def _check_memory(block_rounds: int, threads: int) -> None:
    needed = _BYTES_PER_ROUND * block_rounds * (threads + 1)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > memory:
        most = math.floor(memory / (_BYTES_PER_ROUND * (threads + 1)))
        raise ValueError(
            f"`block_rounds` must be at most {most:,} to fit in memory with {threads} threads, but "
            f"is {block_rounds:,}."
        )
