"""One connection: bytes to requests, replies to bytes, and what is refused before a handler.

llhttp (by httptools) reads HTTP/1.1 strictly: both Content-Length and Transfer-Encoding, a bare
line feed or a broken chunk are errors.  Whatever is broken is answered with an error object that
repeats nothing of what was sent, and ends the connection.
"""

import asyncio
import math
from collections import deque
from typing import cast

import httptools

from e91.delivery.http.door import Door
from e91.delivery.http.exchange import HttpReply, HttpRequest, error_reply
from e91.delivery.tls.contexts import PeerCertificate, peer_certificate
from e91.delivery.tls.identity import NOBODY, PeerIdentity, identity_of

_REASONS = {
    200: b"OK", 202: b"Accepted", 400: b"Bad Request", 401: b"Unauthorized", 404: b"Not Found",
    405: b"Method Not Allowed", 408: b"Request Timeout", 413: b"Content Too Large",
    431: b"Request Header Fields Too Large", 503: b"Service Unavailable",
}  # fmt: skip
_JSON = b"Content-Type: application/json\r\n"
_RAW_BYTES_PER_BODY_BYTE = 16  # chunks of one byte each have six, and may have extensions

_Waiting = tuple[HttpRequest | HttpReply, bool, bool]
"""A request, or what is to be replied without a handler; whether the connection then stays open;
whether the body of the reply is left out."""


class _Refused(Exception):
    """A request that is not read to its end.

    Attributes:
        reply: What it gets.
    """

    def __init__(self, reply: HttpReply) -> None:
        super().__init__(reply.status)
        self.reply = reply


class Connection(asyncio.Protocol):
    """A client's connection; its requests are answered one after the other, in their order."""

    def __init__(self, door: Door) -> None:
        self.peer: PeerIdentity = NOBODY
        self.certificate: PeerCertificate | None = None
        self._door = door
        self._transport = cast(asyncio.Transport, None)
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[_Waiting] = deque()
        self._task: asyncio.Task[None] | None = None
        self._deadline = math.inf
        self._is_deaf = False  # nothing more is taken from this client
        self._is_surplus = False
        self._is_paused = False
        self._writable: asyncio.Event | None = None
        self._begin()

    def _begin(self) -> None:
        """Forget the last request."""
        self._target = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._size = self._raw_size = self._head_size = 0
        self._is_reading = self._has_head = False

    # The connection.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note who is there."""
        door, self._transport = self._door, cast(asyncio.Transport, transport)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            if tls.session_reused:
                door.refuse("resumed session")
                self._transport.abort()
                return
            self.peer = identity_of(tls.getpeercert())
            self.certificate = peer_certificate(tls.getpeercert(binary_form=True))
        door.enter(self)
        self._deadline = door.now + door.limits.request_s
        if door.is_closing or len(door.connections) > door.limits.connections:
            door.refuse("too many connections")
            self._transport.abort()
        elif tls is not None and door.per_peer[self.peer] > door.limits.connections_per_peer:
            self._is_surplus = True

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio asks so
        """Forget this client; a reply under way is computed to its end and dropped."""
        self._is_deaf = True
        self._door.leave(self)
        if self._writable is not None:
            self._writable.set()
        self._waiting.clear()

    def eof_received(self) -> bool:
        """Keep the connection for the replies that are still due; plain connections only."""
        if self._task is None:
            return False
        self._is_deaf = True
        return True

    def end(self) -> None:
        """Close as soon as the reply under way is written; at once if none is."""
        self._is_deaf = True
        self._waiting.clear()
        if self._task is None:
            self._transport.close()

    def abort(self) -> None:
        """Close now."""
        self._is_deaf = True
        self._door.leave(self)
        self._transport.abort()

    @property
    def is_busy(self) -> bool:
        """Whether a reply is due."""
        return self._task is not None

    def look_at_deadline(self, now: float) -> None:
        """End a connection that is too slow."""
        if now < self._deadline:
            return
        if self._task is None and self._is_reading and not self._is_deaf:
            self._refuse_now("slow request", error_reply(408, "the request took too long"))
        elif self._task is None or self._writable is not None:
            self._door.refuse("slow client" if self._writable is not None else "idle connection")
            self._transport.abort()

    # What comes in.

    def data_received(self, data: bytes) -> None:
        """Read on."""
        if self._is_deaf:
            return
        if not self._is_reading:
            self._is_reading = True
            if self._task is None:
                self._deadline = self._door.now + self._door.limits.request_s
        self._raw_size += len(data)
        try:
            self._parser.feed_data(data)
            self._check_unfinished()
        except _Refused as refused:
            self._refuse_now("too large", refused.reply)
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            if not isinstance(cause, _Refused):
                raise
            self._refuse_now("not let in", cause.reply)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._refuse_now("broken HTTP", error_reply(400, "the request is not valid HTTP/1.1"))

    def _check_unfinished(self) -> None:
        """Refuse a request that has sent too much without an end."""
        limits = self._door.limits
        if not self._is_reading or self._is_deaf:
            return
        if not self._has_head and self._raw_size > limits.head_bytes:
            raise _too_long_head()
        if self._raw_size > limits.head_bytes + _RAW_BYTES_PER_BODY_BYTE * limits.body_bytes:
            raise _Refused(error_reply(413, "the body is too large"))

    def on_url(self, part: bytes) -> None:
        """Take a part of the target."""
        self._target += part
        self._grow_head(len(part))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; trailers after the body are dropped."""
        self._grow_head(len(name) + len(value))
        if self._has_head:
            return
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        before = self._headers.get(key)
        if before is not None and key in ("host", "content-type"):
            raise _Refused(error_reply(400, f"the header {key} must be sent once"))
        self._headers[key] = text if before is None else f"{before}, {text}"

    def _grow_head(self, size: int) -> None:
        self._head_size += size
        if self._head_size > self._door.limits.head_bytes:
            raise _too_long_head()

    def on_headers_complete(self) -> None:
        """Say whether a body may come."""
        self._has_head = True
        headers, version = self._headers, self._parser.get_http_version()
        if version not in ("1.0", "1.1"):
            raise _Refused(error_reply(400, "the request must be HTTP/1.1"))
        if version == "1.1" and "host" not in headers:
            raise _Refused(error_reply(400, "the header host must be sent once"))
        if self._parser.should_upgrade():
            raise _Refused(error_reply(400, "the protocol cannot be changed"))
        length = int(headers.get("content-length") or 0)
        if length > self._door.limits.body_bytes:
            self._size = length
            self._take(stays_open=False)
        elif headers.get("expect", "").lower() == "100-continue" and self._task is None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, part: bytes) -> None:
        """Take a part of the body; chunks have no length in front."""
        if self._is_deaf:
            return
        self._size += len(part)
        if self._size > self._door.limits.body_bytes:
            self._take(stays_open=False)
        else:
            self._body.append(part)

    def on_message_complete(self) -> None:
        """Put the request behind those that wait."""
        if not self._is_deaf:
            self._take(stays_open=self._parser.should_keep_alive())
            self._begin()

    def _take(self, *, stays_open: bool) -> None:
        is_whole = self._size <= self._door.limits.body_bytes
        method = self._parser.get_method().decode("ascii")
        request = HttpRequest(
            method,
            _target(self._target),
            self._headers,
            b"".join(self._body) if is_whole else None,
            self.peer,
        )
        if self._is_surplus:
            self._door.refuse("too many connections of one peer")
            reply = error_reply(503, "too many connections", ("Retry-After", "1"))
            self._queue(reply, stays_open=False, is_head=method == "HEAD")
            return
        self._queue(request, stays_open=stays_open, is_head=method == "HEAD")

    def _refuse_now(self, reason: str, reply: HttpReply) -> None:
        if self._is_deaf:  # a refusal is on its way already
            return
        self._door.refuse(reason)
        self._queue(reply, stays_open=False, is_head=False)

    def _queue(self, entry: HttpRequest | HttpReply, *, stays_open: bool, is_head: bool) -> None:
        self._is_deaf = self._is_deaf or not stays_open
        self._waiting.append((entry, stays_open, is_head))
        if len(self._waiting) >= self._door.limits.waiting_requests:
            self._is_paused = True
            self._transport.pause_reading()
        if self._task is None:
            self._deadline = math.inf
            self._task = asyncio.create_task(self._answer_all())

    # What goes out.

    async def _answer_all(self) -> None:
        """Answer what waits, and what comes meanwhile."""
        door, stays_open = self._door, True
        try:
            while self._waiting and stays_open:
                entry, stays_open, is_head = self._waiting.popleft()
                reply = entry if isinstance(entry, HttpReply) else await door.answer(entry)
                stays_open = stays_open and not door.is_closing
                self._write(reply, stays_open=stays_open, is_head=is_head)
                if self._writable is not None:
                    self._deadline = door.now + door.limits.reading_s
                    await self._writable.wait()
        finally:
            self._task = None
        self._rest(stays_open=stays_open)

    def _rest(self, *, stays_open: bool) -> None:
        """Wait for the next request, or for the end."""
        limits, now = self._door.limits, self._door.now
        if self._transport.is_closing():
            return
        if stays_open and not self._is_deaf:
            self._deadline = now + (limits.request_s if self._is_reading else limits.idle_s)
        elif self._is_reading:
            # What is still sent must be read, or the reply is lost with a reset connection.
            self._deadline = now + limits.linger_s
        else:
            self._transport.close()
            return
        if self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()

    def pause_writing(self) -> None:
        """The client does not read what it has asked for."""
        self._writable = asyncio.Event()

    def resume_writing(self) -> None:
        """It has read."""
        if self._writable is not None:
            self._writable.set()
        self._writable = None

    def _write(self, reply: HttpReply, *, stays_open: bool, is_head: bool) -> None:
        if self._transport.is_closing():
            return
        reason = _REASONS.get(reply.status, b"Other")
        parts = [b"HTTP/1.1 %d %b\r\n" % (reply.status, reason), self._door.date]
        own = {name.lower() for name, _ in reply.headers} if reply.headers else ()
        if "content-type" not in own:
            parts.append(_JSON)
        if "cache-control" not in own:
            parts.append(b"Cache-Control: no-store\r\n")
        parts.extend(f"{name}: {value}\r\n".encode("latin-1") for name, value in reply.headers)
        if not stays_open:
            parts.append(b"Connection: close\r\n")
        elif self._headers_ask_to_stay():
            parts.append(b"Connection: keep-alive\r\n")
        parts.append(b"Content-Length: %d\r\n\r\n" % len(reply.body))
        if not is_head:
            parts.append(reply.body)
        self._transport.write(b"".join(parts))

    def _headers_ask_to_stay(self) -> bool:
        """Return whether an HTTP/1.0 client must hear that the connection stays open."""
        return bool(self._parser.get_http_version() == "1.0")


def _too_long_head() -> _Refused:
    return _Refused(error_reply(431, "the head of the request is too large"))


def _target(raw: bytes) -> str:
    """Return path and query of a target, of an absolute URI too."""
    text = raw.decode("latin-1")
    if text.startswith("/"):
        return text
    scheme, found, rest = text.partition("://")
    if found and scheme.lower() in ("http", "https"):
        return "/" + rest.partition("/")[2]
    return text
