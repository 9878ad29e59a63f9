"""A request as a handler sees it, and a reply as it gives it: values without sockets."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from e91.delivery.tls.identity import NOBODY, PeerIdentity


@dataclass(frozen=True, slots=True, eq=False)
class HttpRequest:
    """A whole request.

    Attributes:
        method: As sent, e.g. ``GET``.
        target: Path and query as sent, not decoded; of an absolute URI only these.
        headers: Names in lower case; what was sent twice is joined by a comma.
        body: Bytes, empty if there are none; None if there are more than the door lets in.
        peer: Whom the certificate of the connection names.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes | None = b""
    peer: PeerIdentity = NOBODY


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class HttpReply:
    """What is answered; the door adds what every reply has.

    Attributes:
        status: Of HTTP.
        body: JSON in UTF-8, unless a Content-Type says otherwise.
        headers: Names and values beside Content-Type, Content-Length, Cache-Control and Date.
    """

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        """Return the status and the size, as the body may be a key."""
        return f"HttpReply({self.status}, {len(self.body)} bytes)"


Handler = Callable[[HttpRequest], Awaitable[HttpReply]]


def json_reply(status: int, document: Mapping[str, Any], *headers: tuple[str, str]) -> HttpReply:
    """Return a reply whose body is a JSON object.

    Examples:
        >>> json_reply(400, {"message": "size shall be a multiple of 8"}).body
        b'{"message":"size shall be a multiple of 8"}'
    """
    text = json.dumps(document, separators=(",", ":"), allow_nan=False)
    return HttpReply(status, text.encode("ascii"), headers)


def error_reply(status: int, message: str, *headers: tuple[str, str]) -> HttpReply:
    """Return the error object of ETSI GS QKD 014, clause 6.5, with a message alone."""
    return json_reply(status, {"message": message}, *headers)
