"""The alarm in a session: a test of what the parties announce, in the order of the rounds."""

from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from e91.alarm.intervals import kinds_of, watch_rounds
from e91.alarm.promise import Promise
from e91.distillation.sifting import two_party as sifting
from e91.model.device import Device
from e91.model.errors import AuthenticationFailed
from e91.model.messages import Message, Party, Transmission, honest_transmission
from e91.model.settings import Settings
from e91.session.report import SessionReport
from e91.session.session import run


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
        (711, 'EAVESDROPPER')
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
        As `e91.alarm.intervals.counts_by_interval` takes them.

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
