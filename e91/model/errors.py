"""Everything that can go wrong, in one tree.

E91Error
├── ProtocolAborted      a key was asked of a session that has none; `reason` says why
├── AuthenticationFailed a tag did not match: a message, key or ciphertext was altered
├── KeyUnavailable       the key is too short, or these bytes of it were used already
│   ├── AlreadyUsed      a recording, or an authentication key, that took part in a session before
│   └── DeliveryFailed   a server of keys cannot be asked, or its answer is none of the standard's
│       └── DeliveryRefused  it answered with an error
└── NotDelivered         a key management entity does not do what it was asked
    ├── UnknownSae       an application that it does not know, or two without keys for each other
    ├── UnknownKey       a key identifier that it does not hold for those who ask
    ├── ForeignKey       a key of other applications than the one that asks
    ├── RepeatedKey      a ready-made key whose identifier was there before
    ├── NotEnoughKey     too few key bits are left
    ├── ConditionsNotMet enough are left, but too few from where they shall come from
    ├── LinkAlarmed      an eavesdropper's alarm stops the link
    ├── OtherEndSilent   the other end of a link does not answer
    ├── StoresDisagree   both ends of a link hold different keys
    └── StoreFailed      its store failed or is shut: nothing is given until it is open again

Wrong arguments raise the built-in ValueError or TypeError.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any


class Abort(Enum):
    """Why a session ended without a key; the value is the sentence that a user reads.

    Examples:
        >>> Abort.TOO_FEW_ROUNDS.value.split(": ")[1]
        'run more rounds.'
        >>> Abort.SIGNALLING.refutes_bounds, Abort.TOO_FEW_ROUNDS.refutes_bounds
        (True, False)
    """

    TOO_FEW_ROUNDS = (
        "Every CHSH setting pair, if there is a Bell test, and the error sample must occur, but "
        "some never did: run more rounds."
    )
    SETTINGS_SKEWED = (
        "The setting pairs must occur as often as declared, but do not: a random choice is broken, "
        "or photons are lost depending on the setting."
    )
    SIGNALLING = (
        "Each party's outcomes must not depend on the other's setting, but they do: the devices "
        "communicate, or photons are lost depending on the setting."
    )
    TOO_MANY_ERRORS = (
        "The revealed errors of each key basis must stay within the tolerated rate, but do not: an "
        "eavesdropper may know the key."
    )
    NO_VIOLATION = (
        "The lower bound on S must exceed 2, but it does not: an eavesdropper may know the key."
    )
    OUTCOMES_INVERTED = (
        "Outcomes of key rounds must agree, but nearly all differ, and S, if there is one, is at "
        "most -2: one party's outcomes look inverted, as those of a singlet source do, or where 0 "
        "and 1 were exchanged. Invert one party's with `--flip bob`, or with `flip='bob'` of "
        "`e91.analyse`, or take settings for that state."
    )
    NO_SECRET_LEFT = (
        "Something must remain of the key after error correction, privacy amplification and "
        "authentication, but nothing would."
    )
    KEYS_DIFFER = (
        "The reconciled keys must be equal, but their verification hashes differ: errors are left."
    )
    STATISTICS_ONLY = (
        "A key must be asked of rounds that were not used before, but only statistics were asked "
        "of these."
    )
    NOT_AUTHENTIC = (
        "Every classical message must carry a valid tag, but one does not: someone altered it."
    )

    @property
    def refutes_bounds(self) -> bool:
        """Whether it shows that a premise of the bound on S and of the p-value is false.

        Inverted outcomes: that 0 and 1 mean what the settings take them for.
        """
        return self in (
            Abort.SETTINGS_SKEWED,
            Abort.SIGNALLING,
            Abort.OUTCOMES_INVERTED,
            Abort.NOT_AUTHENTIC,
        )


class E91Error(Exception):
    """Base class of the errors of this package.

    Examples:
        >>> issubclass(ProtocolAborted, E91Error), issubclass(AlreadyUsed, KeyUnavailable)
        (True, True)
    """


class ProtocolAborted(E91Error):
    """A key was asked of a session that has none.

    Attributes:
        reason: Why the session ended without a key.

    Examples:
        >>> import e91
        >>> try:
        ...     e91.run(e91.exact_device(visibility=0.6, seed=1), rounds=20_000, seed=2).key
        ... except ProtocolAborted as error:
        ...     print(error.reason.name)
        NO_VIOLATION
    """

    def __init__(self, reason: Abort) -> None:
        super().__init__(reason.value)
        self.reason = reason


class AuthenticationFailed(E91Error):
    """A tag did not match.  By design the error says no more than that.

    Examples:
        >>> issubclass(AuthenticationFailed, E91Error)
        True
    """


class KeyUnavailable(E91Error):
    """The key is too short for what was asked, or these bytes of it were used already.

    Examples:
        >>> try:
        ...     raise AlreadyUsed("This recording made a key before.")
        ... except KeyUnavailable as error:
        ...     print(error)
        This recording made a key before.
    """


class AlreadyUsed(KeyUnavailable):
    """A recording or an authentication key was used in a session before: it makes no other key.

    Examples:
        >>> issubclass(AlreadyUsed, KeyUnavailable)
        True
    """


class DeliveryFailed(KeyUnavailable):
    """A server of keys cannot be asked, or what it answers is none of its standard's answers.

    Examples:
        >>> issubclass(DeliveryFailed, KeyUnavailable)
        True
    """


class DeliveryRefused(DeliveryFailed):
    """A server of keys answered with an error.

    Args:
        server: Address of the server.

    Attributes:
        status: Of HTTP.
        message: What the server says; empty if it says nothing.
        details: What it adds, one object each.
        retry_after_s: When it advises another try, seconds from now; None without advice.

    Examples:
        >>> error = DeliveryRefused("kme-a", status=503, retry_after_s=2.0)
        >>> print(error)
        kme-a must serve the request, but refuses (503); try again in 2 s.
    """

    def __init__(
        self,
        server: str,
        *,
        status: int,
        message: str = "",
        details: Sequence[Mapping[str, Any]] = (),
        retry_after_s: float | None = None,
    ) -> None:
        said = f": {message}" if message else ""
        again = "" if retry_after_s is None else f"; try again in {retry_after_s:g} s"
        super().__init__(f"{server} must serve the request, but refuses ({status}){said}{again}.")
        self.status = status
        self.message = message
        self.details = tuple(details)
        self.retry_after_s = retry_after_s


class NotDelivered(E91Error):
    """A key management entity (KME) does not do what an application asked of it."""


class UnknownSae(NotDelivered):
    """An application (SAE) that the KME does not know."""


class UnknownKey(NotDelivered):
    """A key identifier that the KME does not hold for those who ask: never, or no more."""


class ForeignKey(NotDelivered):
    """A key that is for other applications than the one that asks."""


class RepeatedKey(NotDelivered):
    """A ready-made key whose identifier was at this KME before, delivered or void by now."""


class NotEnoughKey(NotDelivered):
    """Too few key bits are left; more may come."""


class ConditionsNotMet(NotDelivered):
    """Key bits are left, but too few that meet the conditions of the request."""


class LinkAlarmed(NotDelivered):
    """An alarm stops the link; nothing is given from it until that is cleared."""


class OtherEndSilent(NotDelivered):
    """The KME at the other end of a link, in another process, does not confirm keys now."""


class StoresDisagree(NotDelivered):
    """The stores of the two ends of a link do not belong together, or one is older than it was."""


class StoreFailed(NotDelivered):
    """The store failed or is shut; nothing is given or taken until it is open again."""
