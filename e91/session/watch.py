"""What a report wants to know of a watch over its link; `e91.alarm` keeps the watches."""

from typing import Any, Protocol


class RaisedAlarm(Protocol):
    """An alarm that rang."""

    @property
    def round(self) -> int:
        """Pairs that had been sent when the evidence sufficed, over the life of the link."""

    @property
    def named(self) -> str | None:
        """Name of the cause; None as long as no cause stands out."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values, ready for JSON."""


class LinkWatch(Protocol):
    """A link under watch; printing it says what was promised and what was seen."""

    @property
    def alarm(self) -> RaisedAlarm | None:
        """What rang; None if nothing did."""

    def to_dict(self) -> dict[str, Any]:
        """Return the watch as plain values, ready for JSON; the alarm stands beside it."""
