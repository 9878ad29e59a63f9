"""A port: it listens, takes new certificates while it does, and stops without losing a reply."""

import asyncio
import errno
import logging
import math
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from e91.delivery.http.connection import Connection
from e91.delivery.http.door import Door
from e91.delivery.http.exchange import Handler
from e91.delivery.http.limits import DoorLimits
from e91.delivery.tls.contexts import Credentials, TlsFiles, as_date, lives_on, read_credentials

_LOG = logging.getLogger("e91.delivery")
_BACKLOG = 1_024
_SHUTDOWN_S = 1.0
_SWEEP_S = 1.0
_LIMITS = DoorLimits()
_STOP_S = 10.0  # for replies that are under way
_WARN_S = 86_400.0  # before a list or a certificate runs out


@dataclass(frozen=True)
class Address:
    """Where a port is.

    Attributes:
        host: Name or number of an interface of this machine.
        port: 0 takes a free one.
    """

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_address(text: str, *, name: str = "listen") -> Address:
    """Return the address in a text like ``127.0.0.1:8443`` or ``[::1]:8443``.

    Args:
        text: Host and port.
        name: What the sentence calls it.

    Raises:
        ValueError: It is none.

    Examples:
        >>> parse_address("[::1]:8443")
        Address(host='::1', port=8443)
    """
    host, colon, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    fits = colon and bare and port.isascii() and port.isdigit() and int(port) <= 65_535
    if not fits or (":" in bare and bare == host):
        raise ValueError(
            f"`{name}` must be a host and a port like 127.0.0.1:8443, but is {text!r}."
        )
    return Address(bare, int(port))


class Listener:
    """One port and its connections.

    Attributes:
        door: What its connections share.
        address: Where it listens; with the port that was taken once it is open.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        address: Address,
        tls: TlsFiles | None = None,
        limits: DoorLimits = _LIMITS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Prepare a port.

        Args:
            handler: Answers its requests.
            address: Where to listen.
            tls: The files of TLS with certificates on both sides; None serves plain HTTP, for
                this machine alone.
            limits: Of sizes, times and numbers.
            clock: Seconds since 1970.

        Raises:
            ValueError: A file of TLS is not what it should be.
        """
        self.address = address
        self._tls = tls
        self._credentials = None if tls is None else read_credentials(tls)
        self._stamp = _stamp(tls)
        self._clock = clock
        self._limits = limits
        self._handler = handler
        self._server: asyncio.Server | None = None
        self._socket: socket.socket | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self._warned: set[str] = set()

    async def start(self) -> None:
        """Listen.

        Raises:
            ValueError: The port is taken, or the host is no address of this machine.
        """
        self.door = Door(self._handler, self._limits, asyncio.get_running_loop().time)
        self._socket = _bound(self.address)
        self.address = Address(self.address.host, self._socket.getsockname()[1])
        await self._serve()
        self._sweeper = asyncio.create_task(self._sweep())

    async def _serve(self) -> None:
        """Take connections with the credentials of now; those of before keep the former ones."""
        assert self._socket is not None
        loop, before, credentials = asyncio.get_running_loop(), self._server, self._credentials
        self._server = await loop.create_server(
            lambda: Connection(self.door),
            sock=self._socket.dup(),
            backlog=_BACKLOG,
            ssl=None if credentials is None else credentials.context,
            ssl_handshake_timeout=None if credentials is None else self._limits.handshake_s,
            # An idle client does not answer the end of TLS: it is not waited for.
            ssl_shutdown_timeout=None if credentials is None else _SHUTDOWN_S,
        )
        if before is not None:
            before.close()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            self.door.sweep()
            if self._tls is not None:
                stamp = _stamp(self._tls)
                if stamp != self._stamp:
                    await self.reload()
                self._end_those_without_right()

    async def reload(self) -> None:
        """Read the files of TLS anew; if they are no good, go on with what there is."""
        if self._tls is None:
            return
        self._stamp, before = _stamp(self._tls), self._credentials
        try:
            self._credentials = await asyncio.to_thread(read_credentials, self._tls)
        except ValueError as refusal:
            _LOG.error("new certificates are not taken", extra={"reason": str(refusal)})
            return
        await self._serve()
        self._warned.clear()
        _LOG.info("new certificates are taken", extra={"listen": str(self.address)})
        if before is not None and before.ca_digest != self._credentials.ca_digest:
            for connection in tuple(self.door.connections):
                connection.end()
        self._end_those_without_right()

    def _end_those_without_right(self) -> None:
        """Close connections whose certificate has run out or was revoked; warn of what will."""
        credentials, now = self._credentials, self._clock()
        assert credentials is not None
        self._warn(credentials, now)
        for connection in tuple(self.door.connections):
            certificate = connection.certificate
            if certificate is not None and not lives_on(certificate, credentials, now=now):
                self.door.refuse("certificate revoked or out of date")
                connection.abort()

    def _warn(self, credentials: Credentials, now: float) -> None:
        until = {
            "the revocation list": credentials.crl_until,
            "the certificate": credentials.certificate_until,
        }
        for what, moment in until.items():
            left_s = math.inf if moment is None else moment - now
            stage = "has run out" if left_s <= 0 else "runs out" if left_s < _WARN_S else ""
            if moment is not None and stage and f"{what} {stage}" not in self._warned:
                self._warned.add(f"{what} {stage}")
                level = logging.ERROR if left_s <= 0 else logging.WARNING
                _LOG.log(
                    level,
                    "%s %s: then everybody is refused" if left_s > 0 else "%s %s",
                    what,
                    stage,
                    extra={"until": as_date(moment), "listen": str(self.address)},
                )

    async def stop(self, *, within_s: float = _STOP_S) -> None:
        """Take no new connection and end every one after the reply that is under way."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        if self._server is not None:
            self._server.close()
        if self._socket is not None:
            self._socket.close()
        if self._server is None:
            return
        self.door.is_closing = True
        for connection in tuple(self.door.connections):
            connection.end()
        if self.door.connections:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.door.is_empty.wait(), within_s)
        for connection in tuple(self.door.connections):
            connection.abort()


def _bound(address: Address) -> socket.socket:
    """Return a socket that is bound to an address."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
    except OSError:
        raise ValueError(
            f"`listen` must be an address of this machine, but `{address.host}` is none."
        ) from None
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setblocking(False)
        bound.bind(place)
        bound.listen(_BACKLOG)
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            raise ValueError(
                f"The port of `listen` must be free, but {address} is taken."
            ) from None
        raise ValueError(
            f"`listen` must be an address that this program may take, but `{address}` is none."
        ) from None
    return bound


def _stamp(tls: TlsFiles | None) -> tuple[tuple[int, int, int] | None, ...]:
    """Return what changes when a file of TLS is written anew."""
    return () if tls is None else tuple(_stamp_of(file) for file in tls.all)


def _stamp_of(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
