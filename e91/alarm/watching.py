"""The alarm over a session, and over the blocks of a run: where it looks, and what it reads.

A session is cut into intervals, and what its parties announce is tested in the order of the rounds.
A run of blocks keeps only their counts; a `Replay` draws a block again, to name the round.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from e91.alarm.link import OutcomeCounts, outcome_counts
from e91.alarm.promise import Promise, SequentialTest
from e91.distillation.sifting import two_party as sifting
from e91.distillation.sifting.by_block import CodeTable, code_table
from e91.distillation.sifting.choices import OutcomeSource
from e91.distillation.sifting.packing import DISCARD, draw_sample
from e91.model.bits import NO_CLICK, Bits
from e91.model.device import Device, DeviceInfo, info_of
from e91.model.errors import AuthenticationFailed
from e91.model.evidence import wins_and_losses
from e91.model.messages import Message, Party, Transmission, honest_transmission
from e91.model.settings import Settings
from e91.model.trust import SecurityModel
from e91.session.report import SessionReport
from e91.session.session import run
from e91.session.streaming import PART_ROUNDS, RunKeeper, source_of

SHORTEST_INTERVAL = 32
"""Tallied rounds after which the alarm may ring: a period of its bets."""

_RESOLUTION = 32  # an interval is at most this part of the rounds before it: 3 % more delay
_INTERVALS = 512  # at most about this many in a session, so that the test costs 0.2 s


def counts_by_interval(
    kinds: NDArray[np.int64], rounds: NDArray[np.int64], *, ends: NDArray[np.int64]
) -> list[tuple[int, OutcomeCounts]]:
    """Return for each interval the pairs sent in it and the outcomes of its tallied rounds.

    Args:
        kinds: Kind of each tallied round, the index in `OutcomeCounts.array`; shape (n,).
        rounds: Their numbers among all pairs, from 0, increasing; shape (n,).
        ends: After how many tallied rounds each interval ends, increasing to n.

    Examples:
        >>> counts_by_interval(np.array([0, 9, 0]), np.array([2, 5, 6]), ends=np.array([2, 3]))[0]
        (6, OutcomeCounts(wins=(1, 0, 0, 0), losses=(0, 0, 0, 0), sample=1, errors=1))
    """
    interval = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))
    counts = np.bincount(interval * 10 + kinds, minlength=10 * len(ends)).reshape(-1, 10)
    sent = np.diff(rounds[ends - 1] + 1, prepend=0)
    return [
        (int(pairs), OutcomeCounts.from_array(row)) for pairs, row in zip(sent, counts, strict=True)
    ]


def kinds_of(settings: Settings) -> NDArray[np.int64]:
    """Return the kind of each tallied round, the index in `OutcomeCounts.array`, by (x, y, differ).

    Args:
        settings: Roles of the setting pairs.

    Returns:
        int64, shape (Alice's settings, Bob's settings, 2); 0 for pairs that are not tallied.

    Examples:
        >>> from e91.model.settings import BBM92
        >>> kinds_of(BBM92)[0, 0].tolist()      # a key pair: right or wrong
        [8, 9]
    """
    shape = len(settings.alice_angles), len(settings.bob_angles), 2
    kinds = np.zeros(shape, np.int64)
    for pair, sign in settings.signed_key_pairs:
        kinds[pair] = (8, 9) if sign > 0 else (9, 8)
    # A win's kind is the number of its pair, a loss's that and four; which is which the sign says.
    equal, unequal = wins_and_losses(range(4), range(4, 8), signs=settings.signs)
    for index, (pair, _) in enumerate(settings.chsh_pairs):
        kinds[pair] = equal[index], unequal[index]
    return kinds


def interval_ends(rounds: int) -> NDArray[np.int64]:
    """Return after how many tallied rounds of a session the alarm looks.

    Short intervals at first, later a fixed share of what went before; the plan looks at no
    outcome, so the false-alarm probability does not depend on it.

    Args:
        rounds: Tallied rounds of the session.

    Examples:
        >>> interval_ends(100).tolist()
        [32, 64, 96, 100]
    """
    ends = [0]
    while ends[-1] < rounds:
        step = max(SHORTEST_INTERVAL, min(ends[-1] // _RESOLUTION, rounds // _INTERVALS))
        ends.append(min(rounds, ends[-1] + step))
    return np.array(ends[1:], np.int64)


def watch_rounds(
    kinds: NDArray[np.int64], rounds: NDArray[np.int64], test: SequentialTest
) -> SequentialTest:
    """Return the test after these rounds, evaluated at the end of every interval.

    Whether the alarm rings is decided at the end of an interval.  If it does, the interval is
    tested again in the shortest ones, and the alarm names the end of the first that rings.

    Args:
        kinds: Kinds of the tallied rounds, as for `counts_by_interval`.
        rounds: Their numbers among the pairs sent since ``test``.
        test: Before the first of them.
    """
    ends, start = interval_ends(len(rounds)), 0
    for pairs, counts in counts_by_interval(kinds, rounds, ends=ends):
        after, end = test.after(counts, pairs=pairs), start + counts.rounds
        if test.rang is None and after.rang is not None:
            numbers = rounds[start:end] - (rounds[start - 1] + 1 if start else 0)
            periods = np.append(
                np.arange(SHORTEST_INTERVAL, counts.rounds, SHORTEST_INTERVAL), counts.rounds
            )
            intervals = counts_by_interval(kinds[start:end], numbers, ends=periods)
            after = replace(after, rang=_first_ring(intervals, test) or after.rang)
        test, start = after, end
    return test


def _first_ring(intervals: Iterable[tuple[int, OutcomeCounts]], test: SequentialTest) -> int | None:
    """Return how many pairs have been sent when the alarm rings in ``intervals``, or None."""
    for pairs, counts in intervals:
        test = test.after(counts, pairs=pairs)
        if test.rang is not None:
            return test.rang
    return None


@dataclass(frozen=True, eq=False)
class AnnouncementRecorder:
    """A transmission that records what sifting announces, as Alice sees it.

    Attributes:
        transmission: What happens to the messages.
        announcements: Their bodies, by sender and subject.
    """

    transmission: Transmission
    announcements: dict[tuple[Party, str], bytes] = field(default_factory=dict, repr=False)

    def __call__(self, message: Message) -> Message | None:
        """Pass ``message`` on and record it as Alice sent or received it."""
        received = self.transmission(message)
        seen = message if message.sender is Party.ALICE else received
        if seen is not None and message.subject in _SUBJECTS:
            self.announcements.setdefault((message.sender, message.subject), seen.body)
        return received


_SUBJECTS = ("settings", "sample", "revealed outcomes")


def run_watched(
    device: Device,
    promise: Promise,
    *,
    transmission: Transmission = honest_transmission,
    **arguments: Any,
) -> SessionReport:
    """Run one session and watch it round by round.

    The key does not depend on the alarm: a session may release a sound key while the alarm rings,
    as the length of the key already pays for the noise.

    Args:
        device: From settings to outcomes.
        promise: What the link promises.
        transmission: What happens to classical messages on their way; honest by default.
        arguments: Further arguments of `e91.session.session.run`.

    Returns:
        The report, with the test after the session as `watch`; its `alarm` is None if nothing rang.

    Raises:
        ValueError: As for `e91.session.session.run`, or the settings have no Bell test or no key.

    Examples:
        >>> from e91.devices.exact import exact_device
        >>> found = run_watched(exact_device(visibility=0.8, seed=1), Promise(0.95), rounds=20_000,
        ...                     seed=1)
        >>> found.alarm.round, found.alarm.named
        (1780, 'EAVESDROPPER')
    """
    recorder = AnnouncementRecorder(transmission)
    report = run(device, transmission=recorder, **arguments)
    # How many rounds a session has is decided before the first: a plan, not an outcome.
    test = promise.sequential_test(
        settings=report.settings, policy=report.policy, planned_pairs=report.rounds
    )
    # If what was announced makes no sense, the session has ended for that.
    with suppress(AuthenticationFailed, KeyError):
        rounds = announced_rounds(recorder.announcements, settings=report.settings)
        test = watch_rounds(*rounds, test)
    return replace(report, watch=replace(test, sent=report.rounds))


def announced_rounds(
    announcements: dict[tuple[Party, str], bytes], *, settings: Settings
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the kinds of the tallied rounds that sifting announced, and their indices.

    Args:
        announcements: Bodies by sender and subject, of `sifting.two_party`.
        settings: Roles of the setting pairs.

    Returns:
        As `e91.alarm.watching.counts_by_interval` takes them.

    Raises:
        AuthenticationFailed: An announcement is not one that an honest peer makes.
        KeyError: One is missing.
    """
    alice, bob = (np.frombuffer(announcements[party, "settings"], np.uint8) for party in Party)
    bob = sifting.read_settings(bob.tobytes(), rounds=len(alice), choices=len(settings.bob_angles))
    roles = sifting.assign_roles(alice, bob, settings=settings)
    roles = sifting.mark_sample(roles, announcements[Party.ALICE, "sample"])
    rounds = np.flatnonzero(roles >= sifting.Role.REVEALED)
    first, second = (
        sifting.read_bits(announcements[party, "revealed outcomes"], len(rounds)) for party in Party
    )
    return kinds_of(settings)[alice[rounds], bob[rounds], first ^ second], rounds


@dataclass(frozen=True, eq=False)
class Replay(RunKeeper):
    """A device that draws by the block and can draw a block of its run again.

    For the run it behaves as `device` does, as fast.

    Attributes:
        device: One that `e91.stream` takes.
        block_rounds: Rounds of every block of the run but the last.

    Examples:
        >>> from e91.devices.exact import exact_device
        >>> device = Replay(exact_device(visibility=0.93, seed=1), block_rounds=100_000)
        >>> device.info.reproducible, device.block_rounds
        (True, 100000)
    """

    device: Any
    block_rounds: int

    @property
    def info(self) -> DeviceInfo:
        """What the device is."""
        return info_of(self.device)

    def outcome_source(self, settings: Settings) -> OutcomeSource:
        """Return the device's own source of outcomes.

        Args:
            settings: Those of the run.

        Raises:
            ValueError: The device draws no blocks, or not with these settings.
        """
        return source_of(self.device, settings, protocol_key=bytes(32)).source

    def announced(
        self, block: int, *, rounds: int, table: CodeTable, fraction: float
    ) -> tuple[Bits, NDArray[np.int64]]:
        """Return the codes of the announced rounds of a block, and their indices.

        Those are the Bell tests and the revealed key rounds, in the order of time.

        Args:
            block: Number of the block, from 0.
            rounds: Rounds of this block.
            table: What the codes mean.
            fraction: Probability that a key round is revealed.

        Returns:
            Codes, uint8, and indices of their rounds in the block, int64; shape (n,) each.

        Raises:
            ValueError: No run has asked for this device.
        """
        if not self.runs:
            raise ValueError("A replay must have been run, but has not.")
        starts = range(0, rounds, PART_ROUNDS)
        first = block * -(-self.block_rounds // PART_ROUNDS)
        parts = [
            self._part(first + index, min(PART_ROUNDS, rounds - start), table, fraction)
            for index, start in enumerate(starts)
        ]
        codes = [part[0] for part in parts]
        numbers = [part[1] + start for part, start in zip(parts, starts, strict=True)]
        return np.concatenate(codes), np.concatenate(numbers)

    def _part(
        self, number: int, size: int, table: CodeTable, fraction: float
    ) -> tuple[Bits, NDArray[np.intp]]:
        source, codes = self.runs[-1].source, np.empty(size, np.uint8)
        source.fill(codes, block=number)
        sample = draw_sample(source.sample_entropy(number), fraction=fraction, rounds=size)
        shown = np.unpackbits(sample, count=size).view(np.bool_)
        rounds = np.flatnonzero(_is_test(table)[codes] | shown & (table.roles[codes] != DISCARD))
        return codes[rounds], rounds


def _is_test(table: CodeTable) -> NDArray[np.bool_]:
    """Return whether each code is a Bell test that counts; bool, shape (256,)."""
    found, tests = np.zeros(256, np.bool_), {pair for pair, _ in table.settings.chsh_pairs}
    for code, (x, y, a, b) in enumerate(np.ndindex(*table.shape)):
        found[code] = (x, y) in tests and (table.assign_lost or NO_CLICK not in (a, b))
    return found


def watch_blocks(
    reports: Iterable[SessionReport],
    promise: Promise,
    *,
    planned_pairs: int = 0,
    replay: Replay | None = None,
) -> Iterator[SessionReport]:
    """Watch a link over its sessions, or over the blocks of a run; yield each report with it.

    The test is carried from report to report, so the false-alarm probability is that of the
    whole life.  Whether it rings is decided at the end of a block.  With ``replay`` the alarm names
    the round within the block at which the same bets, looked at more often, had won enough.

    Args:
        reports: In the order of time, all with the same settings and revealed fraction.
        promise: What the link promises.
        planned_pairs: How many pairs all blocks together are to send, 0 if that is open.
        replay: The device of the run that makes the reports; without it the alarm names the end
            of the block.

    Yields:
        Each report as it came, with the state of the test after it as `alarm_test`.

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
        [None, 100752, 100752, 100752]
    """
    test: SequentialTest | None = None
    known: tuple[Settings, float] | None = None
    for report in reports:
        declared = report.settings, report.policy.revealed_fraction
        if test is None:
            known = declared
            test = promise.sequential_test(
                settings=report.settings, policy=report.policy, planned_pairs=planned_pairs
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
        As `e91.alarm.watching.counts_by_interval` takes them.

    Raises:
        ValueError: The replay did not draw this block.
    """
    table = code_table(
        report.settings,
        outcomes=replay.runs[-1].source.shape[-1] if replay.runs else 2,
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
