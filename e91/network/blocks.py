"""Blocks of links, bit by bit: every round drawn, every key distilled, real bytes at both ends.

A block is an order, its number and the light that its rounds had; what comes back is the same
whenever and wherever it is made.
"""

from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from e91.alarm.link import outcome_counts
from e91.devices.exact import ExactDevice
from e91.distillation.sifting.choices import OutcomeSource
from e91.model.bits import Bits
from e91.model.device import DeviceInfo
from e91.model.errors import Abort
from e91.model.numbers import Floats
from e91.model.settings import Settings
from e91.network.light import Practice, Quality
from e91.network.link_alarms import LinkAlarms, Watched
from e91.session.report import SessionReport
from e91.session.streaming import PART_ROUNDS, Run, plan_run, session_of_block
from e91.system.keystreams import physics_entropy, seeded_key
from e91.system.processes import worker_processes

_ROUNDS_OF_A_LIFE = 10**14  # of one link: what a run is planned for, not what it takes


@dataclass(frozen=True, eq=False, slots=True)
class BlockOutcome:
    """What became of a block.

    Attributes:
        abort: Why there is no key, or None.
        bits: Secret bits, those for authentication already taken off.
        counts: The ten counts that the alarm reads; int64, shape (10,).
        rounds: Coincidences.
        chsh_value: S as estimated, or None.
        lower_bound: On S, or None if its premises are refuted.
        error_rate: QBER of the sample, or None.
        watched: The link's alarm after this block; None before it was asked.
        key: The whole bytes of the secret bits at the link's first and second end; None where no
            bits are made or none were drawn.
    """

    abort: Abort | None
    bits: int
    counts: NDArray[np.int64] = field(repr=False)
    rounds: int
    chsh_value: float | None
    lower_bound: float | None
    error_rate: float | None
    watched: Watched | None = field(default=None, repr=False)
    key: tuple[bytes, bytes] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class BlockOrder:
    """Everything that a block is made from.

    Attributes:
        link: Number of the link.
        number: Of the block, over the life of the link; never used twice.
        seed: Root of the run's randomness; None takes the operating system's.
        practice: Settings and policy.
        pieces: Rounds with their outcome table, in order of time: one piece unless the light
            changed within the block.  Tables as bytes of float64, `tables_of` reads them.
    """

    link: int
    number: int
    seed: int | None
    practice: Practice
    pieces: tuple[tuple[int, bytes], ...] = field(repr=False)

    @property
    def rounds(self) -> int:
        """Coincidences of the block."""
        return sum(rounds for rounds, _ in self.pieces)


def order(
    link: int,
    number: int,
    pieces: list[tuple[int, Quality]],
    *,
    practice: Practice,
    seed: int | None,
) -> BlockOrder:
    """Return the order for a block with this number of rounds of each quality."""
    tables = tuple((rounds, quality.table.tobytes()) for rounds, quality in pieces if rounds)
    return BlockOrder(link, number, seed, practice, tables)


def make_block(wanted: BlockOrder) -> BlockOutcome:
    """Draw a block's rounds and run its session: Bell test, verdict, key, tags.

    Returns:
        With the key of both ends.

    Examples:
        >>> from e91.model.settings import EKERT
        >>> from e91.network.light import pair_tables
        >>> from e91.security.policy import Policy
        >>> clean, noise = pair_tables(EKERT)
        >>> practice = Practice(EKERT, Policy(), 0.95)
        >>> table = (0.97 * clean + 0.03 * noise).tobytes()
        >>> made = make_block(BlockOrder(0, 0, 1, practice, ((2**17, table),)))
        >>> made.abort is None, made.key[0] == made.key[1], made.bits // 8 == len(made.key[0])
        (True, True, True)
    """
    run = _run(replace(wanted, number=0))
    return _outcome(session_of_block(run, wanted.number))


def _outcome(report: SessionReport) -> BlockOutcome:
    keys = None if report.abort else report.keys
    whole = None if keys is None else len(keys.alice) // 8
    return BlockOutcome(
        abort=report.abort,
        bits=0 if keys is None else len(keys.alice),
        counts=outcome_counts(report.evidence).array,
        rounds=report.rounds,
        chsh_value=report.chsh.value,
        lower_bound=report.chsh.lower_bound,
        error_rate=report.qber.rate,
        key=None
        if keys is None
        else (keys.alice.packed[:whole].tobytes(), keys.bob.packed[:whole].tobytes()),
    )


@lru_cache(maxsize=1024)
def _run(wanted: BlockOrder) -> Run:
    """Return the run that all blocks with this light are part of."""
    settings, policy = wanted.practice.settings, wanted.practice.policy
    where = f"link {wanted.link}"
    info = DeviceInfo(settings, f"Network {where}.", reproducible=wanted.seed is not None)
    seeds = [_seed_of(wanted.seed, f"{where}, {use}") for use in ("photons", "protocol")]
    devices = [
        (rounds, ExactDevice(info, tables_of(table, settings), physics_entropy(seeds[0])))
        for rounds, table in wanted.pieces
    ]
    return plan_run(
        devices[0][1] if len(devices) == 1 else _Changing(info, tuple(devices)),
        rounds=_ROUNDS_OF_A_LIFE - _ROUNDS_OF_A_LIFE % wanted.rounds,
        settings=settings,
        policy=policy,
        block_rounds=wanted.rounds,
        seed=seeds[1],
    )


def tables_of(table: bytes, settings: Settings) -> Floats:
    """Return an outcome table that was handed over as bytes."""
    shape = (len(settings.alice_angles), len(settings.bob_angles), 2, 2)
    return np.frombuffer(table).reshape(shape)


def _seed_of(seed: int | None, purpose: str) -> int | None:
    if seed is None:
        return None
    return int.from_bytes(seeded_key(seed, purpose=purpose)[:8], "big") >> 1


@dataclass(frozen=True, eq=False)
class _Changing:
    """A device whose light changes within a block, after the same round of every block."""

    info: DeviceInfo
    devices: tuple[tuple[int, ExactDevice], ...]

    def outcome_source(self, settings: Settings) -> OutcomeSource:
        """Return it as a source of the outcomes of blocks."""
        sources = [device.outcome_source(settings) for _, device in self.devices]
        ends = tuple(accumulate(rounds for rounds, _ in self.devices))
        return _ChangingSource(sources[0].shape, tuple(zip(ends, sources, strict=True)))


@dataclass(frozen=True, eq=False)
class _ChangingSource:
    """Outcomes of blocks whose rounds come from one source up to an end, then from the next."""

    shape: tuple[int, ...]
    sources: tuple[tuple[int, OutcomeSource], ...]

    def answer(self, pairs: Bits, outcomes: Bits, *, block: int) -> None:
        """Overwrite ``outcomes``, part by part of a block; see `OutcomeSource`."""
        parts = -(-self.sources[-1][0] // PART_ROUNDS)
        first, begin = block % parts * PART_ROUNDS, 0
        drawn = np.empty_like(outcomes)
        for end, source in self.sources:
            upto = min(end - first, len(outcomes))
            if upto > begin:
                source.answer(pairs, drawn, block=block)
                outcomes[begin:upto] = drawn[begin:upto]
                begin = upto


@dataclass(frozen=True, eq=False)
class BitByBit:
    """Blocks made bit by bit, by worker processes or in this one.

    Attributes:
        alarms: The sequential tests of the links.
        pool: Where blocks are made; None for this process, when their outcome is asked for.
    """

    alarms: LinkAlarms
    pool: Executor | None

    def begin(self, wanted: BlockOrder) -> "tuple[int, Future[BlockOutcome] | BlockOrder]":
        """Hand out the order for a block."""
        return wanted.link, wanted if self.pool is None else self.pool.submit(make_block, wanted)

    def outcome(self, begun: "tuple[int, Future[BlockOutcome] | BlockOrder]") -> BlockOutcome:
        """Return what became of it, when that is known."""
        link, work = begun
        made = make_block(work) if isinstance(work, BlockOrder) else work.result()
        (watched,) = self.alarms.after([link], made.counts[None])
        return replace(made, watched=watched)

    def restart(self, link: int) -> None:
        """Begin a link's alarm anew."""
        self.alarms.restart(link)

    def keep(self, begun: object, bits: int) -> None:
        """Its key is with its outcome: nothing is kept here."""

    def empty(self, link: int) -> None:
        """Nothing is stored here."""

    def drop(self, begun: "tuple[int, Future[BlockOutcome] | BlockOrder]") -> None:
        """Give a block up, whose light turned out to be another."""
        if isinstance(begun[1], Future):
            begun[1].cancel()

    def close(self) -> None:
        """End the workers."""
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)


def bit_by_bit(alarms: LinkAlarms, *, workers: int) -> BitByBit:
    """Return blocks made by ``workers`` processes; by this one if it is one."""
    return BitByBit(alarms, None if workers == 1 else worker_processes(workers))
