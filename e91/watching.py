"""The alarm in the session: a sequential Bell test over its rounds, and over the blocks of a run.

All that the alarm needs is public.  In a session it listens to what the parties announce, in the
order of the rounds; over many sessions, or the blocks of a run, it takes the counts of each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from e91.alarms import Promise, Watched
from e91.bell.alarm_link import Tally, tally_of
from e91.distillation import sifting
from e91.model.bits import Device
from e91.model.errors import AuthenticationFailed
from e91.model.messages import Message, Party, Transmission, honest_transmission
from e91.model.settings import Settings
from e91.report import SessionReport
from e91.session import run

SHORTEST_STRETCH = 32
"""Tallied rounds after which the alarm may ring: a period of its bets."""

_RESOLUTION = 32  # a stretch is at most this part of the rounds before it: 3 % more delay
_STRETCHES = 512  # and this many fill a session, so that the watch costs 0.2 s


@dataclass(frozen=True, eq=False)
class Ear:
    """A transmission that hears what sifting announces, as Alice sees it.

    Attributes:
        transmission: What happens to the messages.
        heard: The announcements, by sender and subject.
    """

    transmission: Transmission
    heard: dict[tuple[Party, str], bytes] = field(default_factory=dict, repr=False)

    def __call__(self, message: Message) -> Message | None:
        """Pass ``message`` on and remember Alice's side of it."""
        received = self.transmission(message)
        seen = message if message.sender is Party.ALICE else received
        if seen is not None and message.subject in _SUBJECTS:
            self.heard.setdefault((message.sender, message.subject), seen.body)
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
        arguments: Further arguments of `e91.session.run`.

    Returns:
        The report, with the `watch` over the session; its `alarm` is None if nothing rang.

    Raises:
        ValueError: As for `e91.session.run`, or the settings have no Bell test or no key.

    Examples:
        >>> from e91.devices.exact import exact_device
        >>> found = run_watched(exact_device(visibility=0.8, seed=1), Promise(0.95), rounds=20_000,
        ...                     seed=1)
        >>> found.alarm.round, found.alarm.named
        (711, 'EAVESDROPPER')
    """
    ear = Ear(transmission)
    report = run(device, transmission=ear, **arguments)
    # How many rounds a session has is decided before the first: a plan, not an outcome.
    watch = promise.watched(
        settings=report.settings, policy=report.policy, planned_pairs=report.rounds
    )
    try:
        course = tallies(ear.heard, settings=report.settings)
    except (AuthenticationFailed, KeyError):
        course = []  # what was announced makes no sense, and the session has ended for that
    for pairs, tally in course:
        watch = watch.after(tally, pairs=pairs)
    return replace(report, watch=replace(watch, sent=report.rounds))


def tallies(
    heard: dict[tuple[Party, str], bytes], *, settings: Settings
) -> list[tuple[int, Tally]]:
    """Return what sifting announced as stretches of rounds: pairs sent, and their tally.

    Args:
        heard: Bodies of the announcements, by sender and subject, of `e91.distillation.sifting`.
        settings: Roles of the setting pairs.

    Raises:
        AuthenticationFailed: An announcement is not one that an honest peer makes.
        KeyError: One is missing.
    """
    alice, bob = (np.frombuffer(heard[party, "settings"], np.uint8) for party in Party)
    bob = sifting.read_settings(bob.tobytes(), rounds=len(alice), choices=len(settings.bob_angles))
    roles = sifting.assign_roles(alice, bob, settings=settings)
    roles = sifting.mark_sample(roles, heard[Party.ALICE, "sample"])
    rounds = np.flatnonzero(roles >= sifting.Role.REVEALED)
    first, second = (
        sifting.read_bits(heard[party, "revealed outcomes"], len(rounds)) for party in Party
    )
    kinds = _kinds(settings)[alice[rounds], bob[rounds], first ^ second]
    ends = stretch_ends(len(rounds))
    stretch = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))
    counts = np.bincount(stretch * 10 + kinds, minlength=10 * len(ends)).reshape(-1, 10)
    sent = np.diff(rounds[ends - 1] + 1, prepend=0)
    return [(int(pairs), _tally(row)) for pairs, row in zip(sent, counts, strict=True)]


def _kinds(settings: Settings) -> NDArray[np.int64]:
    """Return the kind of each tallied round, in the order of `alarm_link`, by (x, y, differ)."""
    shape = len(settings.alice_angles), len(settings.bob_angles), 2
    kinds = np.zeros(shape, np.int64)
    for pair in settings.key_pairs:
        kinds[pair] = 8, 9
    for index, (pair, sign) in enumerate(settings.chsh_pairs):
        won, lost = index, index + 4
        kinds[pair] = (won, lost) if sign > 0 else (lost, won)
    return kinds


def _tally(counts: NDArray[np.int64]) -> Tally:
    wins, losses, (right, wrong) = counts[:4].tolist(), counts[4:8].tolist(), counts[8:].tolist()
    return Tally(tuple(wins), tuple(losses), sample=right + wrong, errors=wrong)


def stretch_ends(rounds: int) -> NDArray[np.int64]:
    """Return after how many tallied rounds of a session the alarm looks.

    Short stretches at first, later a fixed share of what went before; the plan looks at no
    outcome, so the false-alarm probability does not depend on it.

    Args:
        rounds: Tallied rounds of the session.

    Examples:
        >>> stretch_ends(100).tolist()
        [32, 64, 96, 100]
    """
    ends = [0]
    while ends[-1] < rounds:
        step = max(SHORTEST_STRETCH, min(ends[-1] // _RESOLUTION, rounds // _STRETCHES))
        ends.append(min(rounds, ends[-1] + step))
    return np.array(ends[1:], np.int64)


def watch_blocks(
    reports: Iterable[SessionReport], promise: Promise, *, planned_pairs: int = 0
) -> Iterator[SessionReport]:
    """Watch a link over its sessions, or over the blocks of a run; yield each report with it.

    The watch is carried from report to report, so the false-alarm probability is that of the
    whole life.  The alarm can ring at the end of a block only.

    Args:
        reports: In the order of time, all with the same settings and revealed fraction.
        promise: What the link promises.
        planned_pairs: How many pairs all blocks together are to send, 0 if that is open.

    Raises:
        ValueError: A report has other settings, or the settings have no Bell test or no key.

    Examples:
        >>> from e91.devices.exact import exact_device
        >>> from e91.streaming import stream
        >>> blocks = stream(exact_device(visibility=0.93, seed=1), rounds=400_000,
        ...                 block_rounds=100_000, seed=1)
        >>> [report.alarm and report.alarm.round for report in watch_blocks(blocks, Promise(0.95))]
        [None, 200000, 200000, 200000]
    """
    watch: Watched | None = None
    known: tuple[Settings, float] | None = None
    for report in reports:
        declared = report.settings, report.policy.revealed_fraction
        if watch is None:
            known, watch = (
                declared,
                promise.watched(
                    settings=report.settings, policy=report.policy, planned_pairs=planned_pairs
                ),
            )
        if declared != known:
            raise ValueError(
                "A watched link must keep its settings and revealed fraction, but changed them."
            )
        tally = tally_of(report.evidence, settings=report.settings)
        watch = watch.after(tally, pairs=report.rounds)
        yield replace(report, watch=watch)
