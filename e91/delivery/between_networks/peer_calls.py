"""Calls to the KME of another network: TLS 1.3, certificates on both sides, and no other place.

The peer is who its certificate says (`identities`), checked before a byte of the request is sent.
No redirect is followed, and no proxy of the environment is asked.
"""

import asyncio
import http.client
import logging
import ssl
from contextlib import suppress
from typing import Protocol
from urllib.parse import urlsplit

from e91.delivery.tls.contexts import TlsFiles
from e91.delivery.tls.identity import identity_of

_LOG = logging.getLogger("e91.delivery")
_LARGEST_ANSWER = 65_536  # only its status counts
_CONTENT = {"Content-Type": "application/json; charset=UTF-8", "Connection": "close"}


class PeerCalls(Protocol):
    """How a peer is called."""

    async def post(self, path: str, body: bytes) -> int | None:
        """Return the status of the answer, or None if there was none."""


class HttpsPeer:
    """The KME of another network, by HTTPS.

    Attributes:
        peer: Its KME ID.

    Args:
        url: Where it is: ``https://HOST:PORT``, without a path.
        peer: As above.
        tls: Our files.
        timeout_s: Seconds that a call may take.

    Raises:
        ValueError: The URL is another kind, or a file is not what it should be.
    """

    def __init__(self, url: str, *, peer: str, tls: TlsFiles, timeout_s: float) -> None:
        self.peer = peer
        self._host, self._port = host_and_port(url)
        self._tls, self._timeout_s = tls, timeout_s
        _context(tls)

    async def post(self, path: str, body: bytes) -> int | None:
        """Return the status of the answer, or None if there was none.

        Whatever goes wrong on the way is no answer: the peer may have got the request.
        """
        try:
            context = await asyncio.to_thread(_context, self._tls)  # certificates are renewed
        except ValueError as error:
            _LOG.error("the other network cannot be called", extra={"reason": str(error)})
            return None
        connection = http.client.HTTPSConnection(
            self._host, self._port, timeout=self._timeout_s, context=context
        )
        call = asyncio.to_thread(self._call, connection, path, body)
        try:
            return await asyncio.wait_for(call, self._timeout_s)
        except (OSError, http.client.HTTPException, TimeoutError):
            return None
        finally:
            # A call that is too slow still has a thread, which ends when its socket does.
            if connection.sock is not None:
                with suppress(OSError):
                    connection.sock.shutdown(2)
            connection.close()

    def _call(self, connection: http.client.HTTPSConnection, path: str, body: bytes) -> int:
        connection.connect()
        assert isinstance(connection.sock, ssl.SSLSocket)
        found = identity_of(connection.sock.getpeercert())
        if found.kme != self.peer:
            raise ssl.SSLError(f"the peer must be the KME {self.peer}, but is {found}")
        connection.request("POST", path, body, headers=_CONTENT)
        answer = connection.getresponse()
        answer.read(_LARGEST_ANSWER)
        return answer.status


def host_and_port(url: str) -> tuple[str, int]:
    """Return where a peer is.

    Raises:
        ValueError: It is no URL of HTTPS with a host, a port and nothing else.

    Examples:
        >>> host_and_port("https://[::1]:9443")
        ('::1', 9443)
        >>> host_and_port("https://user:secret@peer.example:9443")
        Traceback (most recent call last):
        ValueError: `url` must be https://HOST:PORT, but is 'https://user:secret@peer.example:9443'.
    """
    parts, port = urlsplit(url), None
    with suppress(ValueError):
        port = parts.port
    bare = parts.scheme == "https" and not (parts.path or parts.query or parts.fragment)
    if not bare or not parts.hostname or not port or "@" in parts.netloc:
        raise ValueError(f"`url` must be https://HOST:PORT, but is {url!r}.")
    return parts.hostname, port


def _context(tls: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_cert_chain(tls.certificate, tls.private_key, lambda: "")
        context.load_verify_locations(tls.ca)
        if tls.crl is not None:
            context.load_verify_locations(tls.crl)
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    except (ssl.SSLError, OSError):
        raise ValueError(
            f"`{tls.certificate}`, its private key and the files of its authority must be PEM "
            "files that fit, but do not."
        ) from None
    return context
