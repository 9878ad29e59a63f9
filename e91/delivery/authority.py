"""A certificate authority: it signs certificates and lists those that are revoked.

Keys lie on the curve P-256, signatures are ECDSA with SHA-256.  The profile is that of RFC 5280, as
strictly as OpenSSL's ``-x509_strict`` checks it: key identifiers, usages, numbered lists that end.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from e91.system.durable import PRIVATE, PUBLIC, new_file, read_file, replace_file

LIST_DAYS = 7.0
"""How long a revocation list may be relied on, days."""

AUTHORITY_DAYS = 365.0
"""How long the authority's own certificate is valid, days."""

_BEFORE = timedelta(minutes=5)
"""Validity begins this long before now, as clocks differ."""


_NOT_READ = (
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
    UnsupportedAlgorithm,
)
"""What else the parser raises of a damaged certificate."""


@dataclass(frozen=True, repr=False)
class Authority:
    """A certificate authority with its key, and the list of what it has revoked."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    revocations: tuple[x509.RevokedCertificate, ...]
    list_number: int

    @classmethod
    def new(cls, moment: datetime) -> "Authority":
        """Make a key and a certificate that it signs itself."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = subject_named("E91 key delivery authority")
        builder = (
            _builder(subject, subject, key.public_key(), moment)
            .not_valid_after(moment + timedelta(days=AUTHORITY_DAYS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(_identifier_of(key), critical=False)
        )
        return cls(key, builder.sign(key, hashes.SHA256()), (), 0)

    @property
    def revoked(self) -> set[int]:
        """The serial numbers that are revoked."""
        return {entry.serial_number for entry in self.revocations}

    def save(self, folder: Path, moment: datetime) -> None:
        """Write key, certificate and an empty list to a new folder."""
        write_new(folder / "ca.key", private_pem(self.key), mode=PRIVATE)
        write_new(folder / "ca.crt", self.certificate.public_bytes(Encoding.PEM))
        self.save_list(folder, (), moment)

    def save_list(
        self, folder: Path, entries: Sequence[x509.RevokedCertificate], moment: datetime
    ) -> None:
        """Write a new revocation list in the place of the old one, in one step."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(moment - _BEFORE)
            .next_update(moment + timedelta(days=LIST_DAYS))
            .add_extension(_identifier_of(self.key), critical=False)
            .add_extension(x509.CRLNumber(self.list_number + 1), critical=False)
        )
        for entry in entries:
            builder = builder.add_revoked_certificate(entry)
        content = builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM)
        replace_file(folder / "ca.crl", content, mode=PUBLIC)

    def sign(
        self,
        subject: x509.Name,
        public_key: ec.EllipticCurvePublicKey,
        extensions: Sequence[x509.ExtensionType],
        *,
        days: float,
        moment: datetime,
    ) -> x509.Certificate:
        """Sign a leaf's certificate, which ends no later than the authority's own.

        Raises:
            ValueError: The authority's own certificate has ended.
        """
        end = self.certificate.not_valid_after_utc
        if moment >= end:
            raise ValueError(
                f"`ca.crt` must be valid, but has ended at {end:%Y-%m-%d %H:%M} UTC: make a new "
                f"authority."
            )
        builder = (
            _builder(subject, self.certificate.subject, public_key, moment)
            .not_valid_after(min(moment + timedelta(days=days), end))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(_identifier_of(self.key), critical=False)
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(self.key, hashes.SHA256())


def revocation_list(
    file: Path, key: ec.EllipticCurvePrivateKey
) -> tuple[tuple[x509.RevokedCertificate, ...], int]:
    """Return the entries and the number of an authority's revocation list.

    Raises:
        ValueError: It is none, or not of this authority: a new one would forget its entries.
    """
    content = read_file(file)
    try:
        found = x509.load_pem_x509_crl(content)
        if found.is_signature_valid(key.public_key()):
            number = found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
            return tuple(found), number
    except (ValueError, x509.ExtensionNotFound):
        pass
    raise ValueError(f"`{file}` must be this authority's revocation list, but is not.")


def subject_named(name: str) -> x509.Name:
    """Return the distinguished name that is for people only: one common name."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def write_new(file: Path, content: bytes, *, mode: int = PUBLIC) -> None:
    """Write a file that must not exist yet."""
    with new_file(file, mode=mode) as write:
        write(content)


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a private key as PKCS #8 in PEM, not encrypted: for a file of mode 0600."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def read_private_key(file: Path) -> ec.EllipticCurvePrivateKey:
    """Return the private key in a file.

    Raises:
        ValueError: It cannot be read, or is no private key on an elliptic curve.
    """
    content, found = read_file(file), None
    with suppress(ValueError, TypeError):
        found = load_pem_private_key(content, password=None)
    # Outside the handler, so that no exception leads to the content.
    if not isinstance(found, ec.EllipticCurvePrivateKey):
        raise ValueError(f"`{file}` must be a private key on an elliptic curve, but is not.")
    return found


def read_certificate(file: Path) -> x509.Certificate:
    """Return the first certificate in a file.

    Raises:
        ValueError: It cannot be read, or is no certificate.
    """
    content = read_file(file)
    try:
        found = x509.load_pem_x509_certificate(content)
        # These are parsed when they are first asked for, not when the certificate is.
        _ = found.subject, found.issuer, found.extensions, found.public_key()
        return found
    except (ValueError, *_NOT_READ):
        raise ValueError(f"`{file}` must be a certificate in PEM, but is not.") from None


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    moment: datetime,
) -> x509.CertificateBuilder:
    """Return what every certificate begins with."""
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - _BEFORE)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _identifier_of(key: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    """Return what a key may do: sign certificates and lists, or its own handshakes."""
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
