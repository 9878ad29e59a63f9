"""A key on its way to another network, as its sender sees it: states and what changes them.

The standard says that after anything but 400 or 401 the peer may hold the key, so a sender must try
again or make it void.  Until then the key stays bound to this peer.  It is released to its master
only when the far end has acknowledged it, and what is void stays void whatever comes later.
"""

import math
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any
from uuid import UUID

from e91.delivery.between_networks.retrying import RetryLimits

Extension = dict[str, Any]
"""Members of an extension by name; their order and all that is inside stays as it came."""


class AckStatus(Enum):
    """What an acknowledgement says of keys; the value is the word on the wire."""

    RELAYED = "relayed"
    FAILED = "failed"
    VOIDED = "voided"
    FAILED_TO_VOID = "failed to void"
    NOT_PRESENT = "key not present"


class OutgoingState(Enum):
    """Where a key is on its way; the value is its word in the ledger.

    Attributes:
        INTENT: It is about to be sent, or is being sent for the first time.
        UNCERTAIN: The peer may hold it.
        ACCEPTED: The peer holds it, and has not acknowledged it.
        RELAYED: The far end has it; its master may get it.
        DELIVERED: Its master got it.
        VOIDING: It shall become void, which the peer has not confirmed.
        VOID: It is void at both ends.
        DELIVERED_FAR: It should become void, but a far application has it: it is not used here.
        FREE: The peer never held it.
    """

    INTENT = "intent"
    UNCERTAIN = "uncertain"
    ACCEPTED = "accepted"
    RELAYED = "relayed"
    DELIVERED = "delivered"
    VOIDING = "voiding"
    VOID = "void"
    DELIVERED_FAR = "delivered-far"
    FREE = "free"


UNACKNOWLEDGED = (OutgoingState.INTENT, OutgoingState.UNCERTAIN, OutgoingState.ACCEPTED)
"""States in which the far end may still acknowledge a key."""

ENDED = (
    OutgoingState.DELIVERED,
    OutgoingState.VOID,
    OutgoingState.DELIVERED_FAR,
    OutgoingState.FREE,
)
"""States that a key does not leave."""


@dataclass(frozen=True, eq=False)
class Outgoing:
    """A key on its way to another network.

    Attributes:
        key_id: Of the key.
        initiator: The SAE that asked for it, in this network.
        targets: The SAEs that it is for, in the other one.
        value: The key as it is sent; None once it is not needed any more.
        extension: What is said of the key.
        mandatory: What the other network must heed.
        optional: What it may heed.
        begun_at: When it was asked for; seconds since 1970, as all times.
        due_at: When something is to be done about it; infinite if nothing is.
        state: Where it is.
        may_exist: Whether the peer may ever have held it.
        failures: Calls in a row that failed.
        far_extension: What the far end said of it.
        ended_at: When it came into a state that it does not leave.
    """

    key_id: UUID
    initiator: str
    targets: tuple[str, ...]
    value: bytes | None = field(repr=False)
    extension: Extension
    mandatory: Extension
    optional: Extension
    begun_at: float
    due_at: float
    state: OutgoingState = OutgoingState.INTENT
    may_exist: bool = False
    failures: int = 0
    far_extension: Extension | None = None
    ended_at: float | None = None

    @property
    def pair(self) -> tuple[str, tuple[str, ...]]:
        """The SAE that asked, and those that it is for."""
        return self.initiator, self.targets

    @property
    def is_ended(self) -> bool:
        """Whether nothing changes it any more."""
        return self.state in ENDED


def restarted(key: Outgoing, *, now: float) -> Outgoing:
    """Return a key after the sender was started again: what was under way may have arrived."""
    if key.state is OutgoingState.INTENT:
        return replace(key, state=OutgoingState.UNCERTAIN, may_exist=True, due_at=now)
    return key if key.is_ended or key.state is OutgoingState.RELAYED else replace(key, due_at=now)


def after_sending(
    key: Outgoing, status: int | None, *, now: float, wait_s: float, limits: RetryLimits
) -> Outgoing:
    """Return a key after a call that sent it.

    Args:
        key: As it is now; an acknowledgement may have been faster than the answer.
        status: Of the answer, or None if there was none.
        now: When the answer came.
        wait_s: Until the next attempt if this one failed.
        limits: Of the times.
    """
    if key.state not in UNACKNOWLEDGED:
        return key
    if status == 202:
        return replace(
            key,
            state=OutgoingState.ACCEPTED,
            may_exist=True,
            failures=0,
            due_at=now + limits.acknowledge_s,
        )
    if status in (400, 401) and not key.may_exist:
        return _ended(key, OutgoingState.FREE, now)
    return replace(
        key,
        state=OutgoingState.UNCERTAIN,
        may_exist=True,
        failures=key.failures + 1,
        due_at=now + wait_s,
    )


def after_voiding(
    key: Outgoing, status: int | None, *, now: float, wait_s: float, limits: RetryLimits
) -> Outgoing:
    """Return a key after a call that asks to make it void; see `after_sending`."""
    if key.state is not OutgoingState.VOIDING:
        return key
    if status == 202:
        return replace(key, failures=0, due_at=now + limits.acknowledge_s)
    return replace(key, failures=key.failures + 1, due_at=now + wait_s)


def after_acknowledgement(
    key: Outgoing, said: AckStatus, *, now: float, extension: Extension | None = None
) -> Outgoing:
    """Return a key after an acknowledgement, which may be late, early or repeated.

    Args:
        key: As it is.
        said: What the far end says.
        now: When that came.
        extension: What it says of the key.
    """
    if key.is_ended:
        return key
    if key.state is OutgoingState.VOIDING:
        match said:
            case AckStatus.VOIDED | AckStatus.NOT_PRESENT:
                return _ended(key, OutgoingState.VOID, now)
            case AckStatus.FAILED_TO_VOID:
                return _ended(key, OutgoingState.DELIVERED_FAR, now)
            case _:
                return key  # late: it stays on its way to be void
    match said:
        case AckStatus.RELAYED:
            return replace(
                key,
                state=OutgoingState.RELAYED,
                may_exist=True,
                value=None,
                due_at=math.inf,
                far_extension=key.far_extension or extension or {},
            )
        case AckStatus.VOIDED:
            return _ended(key, OutgoingState.VOID, now)
        case AckStatus.FAILED | AckStatus.NOT_PRESENT:
            return made_void(key, now=now)
        case AckStatus.FAILED_TO_VOID:
            return key


def when_due(key: Outgoing, *, now: float, limits: RetryLimits) -> Outgoing:
    """Return a key whose time has come: one that has waited too long shall become void."""
    if key.state in UNACKNOWLEDGED and now >= key.begun_at + limits.give_up_s:
        return made_void(key, now=now)
    return key


def made_void(key: Outgoing, *, now: float) -> Outgoing:
    """Return a key that shall become void at the peer, too; what has ended stays as it is."""
    if key.is_ended or key.state is OutgoingState.VOIDING:
        return key
    return replace(
        key, state=OutgoingState.VOIDING, value=None, may_exist=True, failures=0, due_at=now
    )


def voided_by_peer(key: Outgoing, *, now: float) -> tuple[Outgoing, AckStatus]:
    """Return a key that the peer makes void, and what to acknowledge.

    The master may have it already: then it stays, and the peer gets to know.
    """
    if key.state is OutgoingState.DELIVERED:
        return key, AckStatus.FAILED_TO_VOID
    if key.is_ended:
        return key, AckStatus.VOIDED
    return _ended(key, OutgoingState.VOID, now), AckStatus.VOIDED


def handed_out(key: Outgoing, *, now: float) -> Outgoing:
    """Return a key that its master gets now.

    Raises:
        ValueError: The far end has not acknowledged it, or it is void.
    """
    if key.state is not OutgoingState.RELAYED:
        raise ValueError(f"A key must be relayed to be given out, but is {key.state.value}.")
    return _ended(key, OutgoingState.DELIVERED, now)


def _ended(key: Outgoing, state: OutgoingState, now: float) -> Outgoing:
    return replace(key, state=state, value=None, due_at=math.inf, ended_at=now)
