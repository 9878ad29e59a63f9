"""A key from another network, as its receiver sees it: states and what changes them.

What was answered with 202 is kept, carried to the KME of its applications, and acknowledged until
the sender has heard it.  What is void leaves a tombstone, on which nothing is revived.
"""

import math
from dataclasses import dataclass, field, replace
from enum import Enum
from uuid import UUID

from e91.delivery.between_networks.outgoing import AckStatus, Extension
from e91.delivery.between_networks.retrying import RetryLimits


class IncomingState(Enum):
    """Where a key is; the value is its word in the ledger.

    Attributes:
        HELD: At the border.
        RELAYED: At the KME of its applications.
        FAILED: It could not be carried there.
        VOID: Made void, or never seen when it was.
    """

    HELD = "held"
    RELAYED = "relayed"
    FAILED = "failed"
    VOID = "void"


@dataclass(frozen=True, eq=False)
class Incoming:
    """A key from another network.

    Attributes:
        key_id: Of the key.
        initiator: The SAE that asked for it, in the other network.
        targets: The SAEs that it is for, in this one.
        value: The key while it is at the border; None afterwards.
        fingerprint: A keyed hash of all that was sent, by which a repetition is known.
        extension: What is said of the key.
        mandatory: What this network must heed.
        optional: What it may heed.
        begun_at: When it came; seconds since 1970, as all times.
        due_at: When it is to be carried on; infinite if it is not.
        state: Where it is.
        failures: Attempts in a row that failed: to carry it, or to acknowledge it.
        owed: What is to be acknowledged; None if nothing is.
        owed_at: When that is to be said.
        own_extension: What this network says of the key.
        message: Why it could not be carried.
        ended_at: When it left the border.
    """

    key_id: UUID
    initiator: str
    targets: tuple[str, ...]
    value: bytes | None = field(repr=False)
    fingerprint: bytes = field(repr=False)
    extension: Extension
    mandatory: Extension
    optional: Extension
    begun_at: float
    due_at: float
    state: IncomingState = IncomingState.HELD
    failures: int = 0
    owed: AckStatus | None = None
    owed_at: float = math.inf
    own_extension: Extension | None = None
    message: str = ""
    ended_at: float | None = None

    @property
    def pair(self) -> tuple[str, tuple[str, ...]]:
        """The SAE that asked, and those that it is for."""
        return self.initiator, self.targets

    @property
    def is_ended(self) -> bool:
        """Whether nothing is to be done about it unless the sender asks."""
        return self.state is not IncomingState.HELD and self.owed is None


_OF_STATE = {
    IncomingState.RELAYED: AckStatus.RELAYED,
    IncomingState.FAILED: AckStatus.FAILED,
    IncomingState.VOID: AckStatus.VOIDED,
}


def tombstone(
    key_id: UUID, pair: tuple[str, tuple[str, ...]], *, now: float, said: AckStatus
) -> Incoming:
    """Return the trace of a key that was made void before it came."""
    empty: Extension = {}
    return Incoming(
        key_id, *pair, None, b"", empty, empty, empty, now, math.inf,
        state=IncomingState.VOID, owed=said, owed_at=now, ended_at=now,
    )  # fmt: skip


def repeated(known: Incoming, again: Incoming, *, now: float) -> Incoming | None:
    """Return a known key after it was sent again; None if what was sent is another key.

    The first one stands.  On a tombstone anything is taken and acknowledged as void.
    """
    if known.state is IncomingState.VOID:
        return replace(known, owed=AckStatus.VOIDED, owed_at=now)
    if known.fingerprint != again.fingerprint or known.pair != again.pair:
        return None
    if known.state is IncomingState.HELD or known.owed is AckStatus.FAILED_TO_VOID:
        return known
    return replace(known, owed=_OF_STATE[known.state], owed_at=now)


def carried(key: Incoming, *, now: float, own_extension: Extension) -> Incoming:
    """Return a key that is at the KME of its applications, durably."""
    if key.state is not IncomingState.HELD:
        return key
    return _left(key, IncomingState.RELAYED, now, own_extension=own_extension)


def not_carried(
    key: Incoming, *, message: str, now: float, wait_s: float, limits: RetryLimits
) -> Incoming:
    """Return a key after an attempt to carry it that failed.

    Args:
        key: As it is.
        message: Why.
        now: When.
        wait_s: Until the next attempt.
        limits: Of the times: after some, it is given up.
    """
    if key.state is not IncomingState.HELD:
        return key
    if now >= key.begun_at + limits.carry_s:
        return _left(key, IncomingState.FAILED, now, message=message)
    return replace(key, failures=key.failures + 1, due_at=now + wait_s)


def voided(key: Incoming, *, now: float, is_delivered: bool) -> Incoming:
    """Return a key after the sender made it void.

    Args:
        key: As it is.
        now: When.
        is_delivered: Whether an application has it already: then it stays.
    """
    if is_delivered:
        return replace(key, owed=AckStatus.FAILED_TO_VOID, owed_at=now)
    known = key.state is not IncomingState.VOID or key.fingerprint
    said = AckStatus.VOIDED if known else AckStatus.NOT_PRESENT
    changed = _left(key, IncomingState.VOID, now)
    return replace(changed, owed=said)


def after_owed(key: Incoming, said: AckStatus, *, is_heard: bool, retry_at: float) -> Incoming:
    """Return a key after a call that acknowledged it.

    Args:
        key: As it is; what is owed may be another word by now.
        said: What was said.
        is_heard: Whether the sender answered 200.
        retry_at: When it is said again otherwise.
    """
    if key.owed is not said:
        return key
    if is_heard:
        return replace(key, owed=None, owed_at=math.inf, failures=0)
    return replace(key, owed_at=retry_at, failures=key.failures + 1)


def _left(
    key: Incoming,
    state: IncomingState,
    now: float,
    *,
    own_extension: Extension | None = None,
    message: str = "",
) -> Incoming:
    """Return a key that has left the border: its value is erased, its state acknowledged."""
    return replace(
        key, state=state, value=None, due_at=math.inf, ended_at=now, failures=0,
        owed=_OF_STATE[state], owed_at=now, own_extension=own_extension, message=message,
    )  # fmt: skip
