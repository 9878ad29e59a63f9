"""What all connections of one port share: limits, the handler, who is connected, what was refused.

The clock is the event loop's.  Once a second `Door.sweep` looks at the deadline of every
connection: a timer for each request would cost more than the request.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from email.utils import formatdate
from typing import Protocol

from e91.delivery.http.exchange import Handler, HttpReply, HttpRequest, error_reply
from e91.delivery.http.limits import DoorLimits
from e91.delivery.tls.contexts import PeerCertificate
from e91.delivery.tls.identity import PeerIdentity

_LOG = logging.getLogger("e91.delivery")


class OpenConnection(Protocol):
    """What a door knows of a connection.

    Attributes:
        peer: Whom its certificate names.
        certificate: When it runs out and how it may be revoked; None without TLS.
    """

    peer: PeerIdentity
    certificate: PeerCertificate | None

    def look_at_deadline(self, now: float) -> None:
        """End it if it is too slow."""

    def end(self) -> None:
        """Close it after the reply under way."""

    def abort(self) -> None:
        """Close it now."""


class Door:
    """One port's side of its connections.

    Attributes:
        handler: Answers requests.
        limits: Of sizes, times and numbers.
        connections: The open ones.
        per_peer: How many of them each SAE and KME has.
        refused: How many requests or connections were refused here, by reason.
        date: The reply header of this second, with its line break.
        is_closing: Whether connections end with the request under way.
        is_empty: Set when the last connection of a closing door has ended.
        now: Seconds on the event loop's clock at the last sweep.
    """

    def __init__(self, handler: Handler, limits: DoorLimits, clock: Callable[[], float]) -> None:
        self.handler = handler
        self.limits = limits
        self.connections: set[OpenConnection] = set()
        self.per_peer: Counter[PeerIdentity] = Counter()
        self.refused: Counter[str] = Counter()
        self.is_closing = False
        self.is_empty = asyncio.Event()
        self.date = b""
        self._clock = clock
        self.now = clock()
        self._tell_date()

    def sweep(self) -> None:
        """Let every connection look at its deadline; once a second."""
        self.now = self._clock()
        self._tell_date()
        for connection in tuple(self.connections):
            connection.look_at_deadline(self.now)

    def _tell_date(self) -> None:
        self.date = f"Date: {formatdate(usegmt=True)}\r\n".encode("ascii")

    def enter(self, connection: OpenConnection) -> None:
        """Note an open connection."""
        self.connections.add(connection)
        self.per_peer[connection.peer] += 1

    def leave(self, connection: OpenConnection) -> None:
        """Forget a connection, whether it was noted or not."""
        if connection in self.connections:
            self.connections.discard(connection)
            self.per_peer[connection.peer] -= 1
            if not self.per_peer[connection.peer]:
                del self.per_peer[connection.peer]
        if self.is_closing and not self.connections:
            self.is_empty.set()

    def refuse(self, reason: str) -> None:
        """Count a refusal of the door itself."""
        self.refused[reason] += 1

    async def answer(self, request: HttpRequest) -> HttpReply:
        """Return the handler's reply; an exception of its becomes 503 and a line in the log."""
        try:
            return await self.handler(request)
        except asyncio.CancelledError:
            raise
        except Exception:  # noqa: BLE001 - the last who can answer
            # The cause is for the log alone; ETSI GS QKD 014 has no other error of a server.
            _LOG.exception("a request could not be answered")
            return error_reply(503, "the request could not be answered")
