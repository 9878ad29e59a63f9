"""One kept HTTPS connection of a client that has a certificate, by the standard library alone.

The environment changes nothing: no proxy, no other authorities, no log of TLS keys, though
a default context or another library would take them from variables.
"""

import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from select import select
from typing import Any
from urllib.parse import SplitResult, urlsplit

from e91.model.errors import DeliveryFailed
from e91.system.durable import read_file

MOST_BYTES = 2**27
"""Bytes of an answer at most: a thousand keys of half a million bits."""


@dataclass(frozen=True)
class ClientFiles:
    """The files of a client's side of TLS, all PEM.

    Attributes:
        certificate: The client's own.
        private_key: Of that certificate, without a passphrase; None if it is in the same file.
        ca: The authorities that sign the certificates of servers.
        crl: What they have revoked; None: nothing is looked up.
    """

    certificate: Path
    private_key: Path | None
    ca: Path
    crl: Path | None = None

    @property
    def key(self) -> Path:
        """The file that has the private key."""
        return self.certificate if self.private_key is None else self.private_key


@dataclass(frozen=True, eq=False, repr=False)
class Answer:
    """What a server answered; the body may be a key.

    Attributes:
        status: Of HTTP.
        headers: Names in lower case.
        body: As it came.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        """Return the status and the size."""
        return f"Answer({self.status}, {len(self.body)} bytes)"


@dataclass(frozen=True)
class ServerPlace:
    """A server as a URL gives it.

    Attributes:
        host: Name or address, without brackets.
        port: TCP port.
        path: What stands before every path, without a slash at its end.
    """

    host: str
    port: int
    path: str = ""

    @property
    def authority(self) -> str:
        """Host and port, as in a URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def place_of(url: str) -> ServerPlace:
    """Return where a server is.

    Raises:
        ValueError: It is no HTTPS URL of a server.

    Examples:
        >>> place_of("https://kme.example:8443/")
        ServerPlace(host='kme.example', port=8443, path='')
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = SplitResult("", "", "", "", ""), None
    plain = not (parts.username or parts.password or parts.query or parts.fragment)
    if parts.scheme != "https" or not parts.hostname or not plain or not url.isascii():
        raise ValueError(f"`url` must be https://HOST:PORT, but is `{url}`.")
    return ServerPlace(parts.hostname, 443 if port is None else port, parts.path.rstrip("/"))


def client_context(files: ClientFiles) -> ssl.SSLContext:
    """Return the TLS of a client: 1.2 or newer, the server's name checked.

    Raises:
        ValueError: A file cannot be read, is not what it should be, or does not fit the others.
    """
    for file in (files.certificate, files.key, files.ca, files.crl):
        if file is not None:
            read_file(file)
    context = bare_context(files.ca)
    _load_own(context, files)
    if files.crl is not None:
        _load(context, files.crl, "a certificate revocation list in PEM")
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    return context


def bare_context(ca: Path) -> ssl.SSLContext:
    """Return the TLS of a client without a certificate: 1.2 or newer, the server's name checked.

    Raises:
        ValueError: The file of authorities is none.
    """
    # Not `create_default_context`, which takes a log file for TLS keys from the environment.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    _load(context, ca, "the certificates of an authority in PEM")
    return context


def _load_own(context: ssl.SSLContext, files: ClientFiles) -> None:
    def no_passphrase() -> str:
        """Refuse a passphrase, which would be asked for on the terminal."""
        raise ValueError(f"`{files.key}` must have no passphrase, but has one.")

    try:
        context.load_cert_chain(files.certificate, files.key, no_passphrase)
    except (ssl.SSLError, OSError):
        raise ValueError(
            f"`{files.key}` must be the private key of `{files.certificate}`, both in PEM, but is "
            "not."
        ) from None


def _load(context: ssl.SSLContext, file: Path, kind: str) -> None:
    read_file(file)
    try:
        context.load_verify_locations(file)
    except (ssl.SSLError, OSError):
        raise ValueError(f"`{file}` must hold {kind}, but does not.") from None


@dataclass(eq=False)
class HttpsClient:
    """Asks one server, over one connection that is kept; not for several threads at once.

    Attributes:
        place: The server.
        context: The client's TLS.
        timeout_s: For every wait: connecting, and each part of an answer, seconds.
        check: Looks at the server's certificate, as `ssl.SSLSocket.getpeercert` gives it, before
            anything is sent; raises `DeliveryFailed` if it is not the right one.
    """

    place: ServerPlace
    context: ssl.SSLContext
    timeout_s: float = 10.0
    check: Callable[[Mapping[str, Any]], None] = field(default=lambda _: None, repr=False)
    _connection: HTTPConnection | None = field(default=None, init=False, repr=False)

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Return the answer to a request, whatever its status; redirects are not followed.

        Nothing is sent twice, as a request for a key may have been served though the answer is
        lost.

        Args:
            method: Of HTTP.
            path: Percent-encoded, with its query; what stands in the URL comes before it.
            body: JSON, if there is one.
            headers: Others beside those that every request has.

        Raises:
            DeliveryFailed: The server cannot be reached or asked, or breaks off.
        """
        connection = self._connected()
        sent = {"Accept": "application/json", **(headers or {})}
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        try:
            connection.request(method, self.place.path + path, body=body, headers=sent)
            answer = connection.getresponse()
            content = answer.read(MOST_BYTES + 1)
        except (OSError, HTTPException, ValueError) as error:
            self.close()
            raise DeliveryFailed(
                f"{self.place.authority} must answer, but {_words(error)}; what was asked for may "
                "be used up."
            ) from None
        if len(content) > MOST_BYTES:
            self.close()
            raise DeliveryFailed(
                f"{self.place.authority} must answer with at most {MOST_BYTES:,} bytes, but sent "
                "more."
            )
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, found, content)

    def close(self) -> None:
        """End the connection; the next request makes a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(OSError):
                connection.close()

    @property
    def socket(self) -> ssl.SSLSocket | None:
        """The TLS connection, or None if there is none now."""
        sock = None if self._connection is None else self._connection.sock
        return sock if isinstance(sock, ssl.SSLSocket) else None

    def connect(self) -> None:
        """Connect, unless it is done, and look at the server's certificate.

        Raises:
            DeliveryFailed: The server cannot be reached, or is not the right one.
        """
        self._connected()

    def _connected(self) -> HTTPConnection:
        """Return a connection on which nothing has come since the last answer."""
        if self._connection is not None and self._connection.sock is not None:
            # What can be read between two answers is the end of the connection.
            if not select([self._connection.sock], [], [], 0)[0]:
                return self._connection
            self.close()
        new = HTTPSConnection(
            self.place.host, self.place.port, timeout=self.timeout_s, context=self.context
        )
        try:
            new.connect()
        except (OSError, ValueError) as error:
            new.close()
            raise DeliveryFailed(
                f"{self.place.authority} must be reached over TLS, but {_words(error)}."
            ) from None
        self._connection = new
        try:
            self.check(self.socket.getpeercert() or {} if self.socket else {})
        except DeliveryFailed:
            self.close()
            raise
        return new


def _words(error: Exception) -> str:
    """Return why there is no answer, to end a sentence with."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is refused: {error.verify_message}"
        case TimeoutError():
            return "the time is up"
        case ssl.SSLEOFError() | ssl.SSLZeroReturnError():
            return "the connection ends without one"
        case ssl.SSLError() if error.reason:
            return f"TLS fails: {error.reason.lower().replace('_', ' ')}"
        case OSError() if error.strerror:
            return error.strerror[0].lower() + error.strerror[1:]
        case HTTPException() | OSError():
            return "the connection ends without one"
    return "that is no host"
