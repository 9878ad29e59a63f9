"""The TLS that a KME speaks: 1.2 or newer, certificates on both sides, revocation looked up."""

import hashlib
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from e91.system.durable import read_file

_CIPHERS_OF_TLS_1_2 = "ECDHE+AESGCM:ECDHE+CHACHA20"
_LARGEST_FILE = 4_000_000  # a revocation list of a hundred thousand certificates


@dataclass(frozen=True)
class TlsFiles:
    """The files of a KME's side of TLS, all PEM.

    Attributes:
        certificate: The KME's own, followed by what leads to its root.
        private_key: Of that certificate, without a passphrase.
        ca: The authorities that sign the certificates of SAEs and KMEs.
        crl: What they have revoked, or None: nothing is looked up.
        newest_only: Whether TLS 1.2 is refused.
    """

    certificate: Path
    private_key: Path
    ca: Path
    crl: Path | None = None
    newest_only: bool = False

    @property
    def all(self) -> tuple[Path, ...]:
        """Every file that there is."""
        given = (self.certificate, self.private_key, self.ca, self.crl)
        return tuple(file for file in given if file is not None)


@dataclass(frozen=True, eq=False)
class Credentials:
    """What was read from the files of TLS.

    Attributes:
        context: For new connections.
        ca_digest: Of the authorities: if it changes, older connections must end.
        revoked: Issuer (DER) and serial number of every revoked certificate.
        crl_until: When the revocation list runs out, seconds since 1970, or None.
        certificate_until: When the KME's own certificate does.
    """

    context: ssl.SSLContext
    ca_digest: bytes
    revoked: frozenset[tuple[bytes, int]]
    crl_until: float | None
    certificate_until: float


def read_credentials(files: TlsFiles) -> Credentials:
    """Return what the files of a KME's TLS hold.

    A connection whose certificate is missing, expired, revoked, of another authority, or not for
    TLS clients is refused in the handshake.  A list that has run out refuses everybody.

    Raises:
        ValueError: A file cannot be read, is not what it should be, or does not fit the others.
    """
    content = {file: read_file(file, most_bytes=_LARGEST_FILE) for file in files.all}
    revoked, crl_until = (frozenset[tuple[bytes, int]](), None)
    if files.crl is not None:
        revoked, crl_until = _revocations(files.crl, content[files.crl])
    return Credentials(
        _context(files),
        hashlib.sha256(content[files.ca]).digest(),
        revoked,
        crl_until,
        _end_of(files.certificate, content[files.certificate]),
    )


def _context(files: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = (
        ssl.TLSVersion.TLSv1_3 if files.newest_only else ssl.TLSVersion.TLSv1_2
    )
    context.set_ciphers(_CIPHERS_OF_TLS_1_2)
    context.set_alpn_protocols(["http/1.1"])
    # A resumed session would skip the look at the certificate, and so at its revocation.
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
    context.verify_mode = ssl.CERT_REQUIRED
    _load_own(context, files)
    _load(context, files.ca, "the certificates of an authority in PEM")
    if files.crl is not None:
        _load(context, files.crl, "a certificate revocation list in PEM")
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    return context


def _load_own(context: ssl.SSLContext, files: TlsFiles) -> None:
    def no_passphrase() -> str:
        """Refuse a private key with a passphrase, which would be asked for on the terminal."""
        raise ValueError(
            f"`{files.private_key}` must be a private key without a passphrase, but has one."
        )

    try:
        context.load_cert_chain(files.certificate, files.private_key, no_passphrase)
    except (ssl.SSLError, OSError):
        raise ValueError(
            f"`{files.private_key}` must be the private key of `{files.certificate}`, both in "
            "PEM, but is not."
        ) from None


def _load(context: ssl.SSLContext, file: Path, kind: str) -> None:
    try:
        context.load_verify_locations(file)
    except (ssl.SSLError, OSError):
        raise ValueError(f"`{file}` must hold {kind}, but does not.") from None


def _revocations(file: Path, content: bytes) -> tuple[frozenset[tuple[bytes, int]], float | None]:
    from cryptography import x509

    try:
        found = x509.load_pem_x509_crl(content)
        issuer = found.issuer.public_bytes()
        until = found.next_update_utc
        serials = frozenset((issuer, revoked.serial_number) for revoked in found)
    except (ValueError, x509.InvalidVersion):
        raise ValueError(
            f"`{file}` must hold a certificate revocation list in PEM, but does not."
        ) from None
    return serials, None if until is None else until.timestamp()


def _end_of(file: Path, content: bytes) -> float:
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(content).not_valid_after_utc.timestamp()
    except (ValueError, x509.InvalidVersion):
        raise ValueError(f"`{file}` must hold a certificate in PEM, but does not.") from None


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """What of a client's certificate decides whether its connection may live on.

    Attributes:
        issuer: Its issuer's name (DER).
        serial_number: Under which the issuer has signed it.
        until: When it runs out, seconds since 1970.
    """

    issuer: bytes
    serial_number: int
    until: float


def peer_certificate(der: bytes) -> PeerCertificate:
    """Return what is kept of a client's certificate."""
    from cryptography import x509

    found = x509.load_der_x509_certificate(der)
    return PeerCertificate(
        found.issuer.public_bytes(), found.serial_number, found.not_valid_after_utc.timestamp()
    )


def lives_on(certificate: PeerCertificate, credentials: Credentials, *, now: float) -> bool:
    """Return whether a connection may stay open: nothing ran out and nothing was revoked.

    Args:
        certificate: Of the client.
        credentials: Of the KME, as they are now.
        now: Seconds since 1970.
    """
    known = (certificate.issuer, certificate.serial_number)
    crl_holds = credentials.crl_until is None or now < credentials.crl_until
    return now < certificate.until and crl_holds and known not in credentials.revoked


def as_date(moment: float) -> str:
    """Return a moment in seconds since 1970 as a date in UTC.

    Examples:
        >>> as_date(0.0)
        '1970-01-01T00:00:00Z'
    """
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
