"""Certificates for servers of keys and their clients: an authority, short-lived leaves, a list.

An authority is a folder: ``ca.crt``, ``ca.key``, the revocation list ``ca.crl``, a certificate and
a private key for every KME (``kme-NAME``) and SAE (``sae-NAME``), and in ``issued`` every
certificate that was ever signed, by its serial number, so that a name can be revoked whole.
Whoever reads ``ca.key`` can be anybody: keep it off the servers where that matters.
Names are percent-encoded in the names of files.
"""

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from e91.delivery.authority import (
    Authority,
    private_pem,
    read_certificate,
    read_private_key,
    revocation_list,
    subject_named,
    write_new,
)
from e91.delivery.configuration_texts import configurations_of, with_members
from e91.delivery.identities import CertifiedRole, name_of, uri_of
from e91.delivery.members import (
    LEAF_DAYS,
    AuthorityPlan,
    KmePlace,
    SaePlace,
    check_days,
    file_stem,
    ip_address_of,
    role_of,
)
from e91.system.documents import did_you_mean
from e91.system.durable import (
    PRIVATE,
    PUBLIC,
    flush_folder,
    new_folder,
    open_regular,
    read_file,
    replace_file,
)


@dataclass(frozen=True)
class IssuedCertificate:
    """A certificate that was signed, without its key.

    Attributes:
        file: Where it lies.
        role: What its subject is.
        name: Who its subject is.
        serial: Its serial number, hexadecimal.
        expires: When its validity ends.
        has_new_key: Whether it came with a new private key.

    Examples:
        >>> leaf = IssuedCertificate(Path("sae-app.crt"), CertifiedRole.SAE, "app", serial="1f",
        ...     expires=datetime(2027, 1, 8, tzinfo=UTC), has_new_key=True)
        >>> leaf.role.value, leaf.expires.isoformat()
        ('sae', '2027-01-08T00:00:00+00:00')
    """

    file: Path
    role: CertifiedRole
    name: str
    serial: str
    expires: datetime
    has_new_key: bool


def new_authority(
    folder: Path | str, plan: AuthorityPlan, *, moment: datetime | None = None
) -> list[IssuedCertificate]:
    """Make the folder of an authority, with a certificate for everybody in the plan.

    It appears whole or not at all, and nothing is overwritten.  With it comes ``kme.toml``, from
    which servers for all KMEs of the plan start, each with a store of its own; or for every KME a
    file of its own, if they are apart.

    Args:
        folder: A new or an empty folder.
        plan: Whom to certify.
        moment: When it is; now by default.

    Returns:
        The certificates, KMEs first.

    Raises:
        ValueError: The folder holds something, or cannot be made.
        WriteFailed: The disk is full or fails.

    Source:
        RFC 5280 (certificates and revocation lists); ETSI GS QKD 014 V1.1.1, clause 5.1 (both ends
        of a connection have certificates).

    Examples:
        >>> import tempfile
        >>> kme = KmePlace("alice", "127.0.0.1", 8443)
        >>> plan = AuthorityPlan((kme,), (SaePlace("app", kme="alice"),))
        >>> with tempfile.TemporaryDirectory() as name:
        ...     folder = Path(name, "authority")
        ...     issued = new_authority(folder, plan)
        ...     sorted(file.name for file in folder.iterdir() if file.suffix in (".crt", ".crl"))
        ['ca.crl', 'ca.crt', 'kme-alice.crt', 'sae-app.crt']
        >>> [(one.role.value, one.name) for one in issued]
        [('kme', 'alice'), ('sae', 'app')]
    """
    folder, moment = Path(folder), moment or datetime.now(UTC)
    with new_folder(folder) as hidden:
        authority = Authority.new(moment)
        authority.save(hidden, moment)
        (hidden / "issued").mkdir()
        places: list[KmePlace | SaePlace] = [*plan.kmes, *plan.saes]
        leaves = [_first_leaf(authority, hidden, place, plan.leaf_days, moment) for place in places]
        flush_folder(hidden / "issued")
        for name, content in configurations_of(plan).items():
            write_new(hidden / name, content.encode())
    return [replace(leaf, file=folder / leaf.file.name) for leaf in leaves]


def add_members(
    folder: Path | str,
    *,
    kmes: Sequence[KmePlace] = (),
    saes: Sequence[SaePlace] = (),
    days: float = LEAF_DAYS,
    moment: datetime | None = None,
) -> list[IssuedCertificate]:
    """Certify KMEs and applications that are new in an authority's folder, and configure them.

    The certificates come first, then the configurations, one file in one step: after a crash the
    same call goes on.  Servers heed it when they are started anew.

    Args:
        folder: An authority's, as `new_authority` made it.
        kmes: New KMEs; none where every KME has a configuration of its own.
        saes: New applications, each at a KME that is there, or at a new one.
        days: Validity, days, but not longer than the authority's own.
        moment: When it is; now by default.

    Returns:
        The new certificates, KMEs first.

    Raises:
        ValueError: Nobody is named, somebody is there already, an application is at a KME that is
            not there, or it is no authority's folder.
        WriteFailed: The disk is full or fails.

    Examples:
        >>> import tempfile
        >>> plan = AuthorityPlan((KmePlace("alice", "127.0.0.1", 8443),), ())
        >>> with tempfile.TemporaryDirectory() as name:
        ...     folder = Path(name, "authority")
        ...     _ = new_authority(folder, plan)
        ...     [leaf] = add_members(folder, saes=[SaePlace("pay", kme="alice")])
        ...     print((folder / "kme.toml").read_text().splitlines()[-2:], leaf.name)
        ['id = "pay"', 'kme = "alice"'] pay
    """
    check_days(days)
    folder, moment = Path(folder), moment or datetime.now(UTC)
    if not kmes and not saes:
        raise ValueError("`kme` or `sae` must name somebody, but neither is given.")
    with _opened(folder) as authority:
        texts = with_members(_configurations(folder), kmes, saes)
        known = {member.stem: member for member in _members(folder)}
        places: list[KmePlace | SaePlace] = [*kmes, *saes]
        leaves = []
        for place in places:
            member = known.get(file_stem(role_of(place), place.name))
            if member is None:
                leaves.append(_first_leaf(authority, folder, place, days, moment))
            else:  # of a call that was stopped
                leaves.append(_renewed(authority, folder, member, days, moment, new_key=True))
        for file, text in texts.items():
            replace_file(file, text.encode(), mode=PUBLIC)
    return leaves


def _configurations(folder: Path) -> dict[Path, str]:
    """Return the texts of the configurations in a folder, by their files."""
    places = sorted(folder.glob(f"{CertifiedRole.KME.value}-*.toml")) or [folder / "kme.toml"]
    return {place: read_file(place).decode("utf-8", "replace") for place in places}


def renew(
    folder: Path | str,
    names: Sequence[str] = (),
    *,
    days: float = LEAF_DAYS,
    new_keys: bool = False,
    moment: datetime | None = None,
) -> list[IssuedCertificate]:
    """Sign new certificates for names that the authority knows, and a new revocation list.

    A certificate is replaced in one step.  Its private key stays, unless new ones are asked for, or
    the certificate is revoked or does not fit its key: then the key is replaced first.  A crash in
    between leaves a pair that does not fit, which the same call mends.

    Args:
        folder: An authority's.
        names: As ``alice``, ``sae-alice-app`` or ``kme-alice``; everybody who is not revoked by
            default.
        days: Validity, days, but not longer than the authority's own.
        new_keys: Whether private keys are replaced as well.
        moment: When it is; now by default.

    Returns:
        The new certificates, in the order of the names.

    Raises:
        ValueError: It is no authority's folder, or knows no such name.
        WriteFailed: The disk is full or fails.

    Source:
        RFC 5280.

    Examples:
        >>> import tempfile
        >>> kme = KmePlace("alice", "127.0.0.1", 8443)
        >>> plan = AuthorityPlan((kme,), (SaePlace("app", kme="alice"),))
        >>> with tempfile.TemporaryDirectory() as name:
        ...     folder = Path(name, "authority")
        ...     _, before = new_authority(folder, plan)
        ...     [after] = renew(folder, ["app"], days=1.0)
        >>> before.serial == after.serial, after.has_new_key
        (False, False)
    """
    check_days(days)
    folder, moment = Path(folder), moment or datetime.now(UTC)
    with _opened(folder) as authority:
        revoked = authority.revoked
        members = _members(folder)
        chosen = [_chosen(members, name) for name in dict.fromkeys(names)] or [
            member for member in members if member.certificate.serial_number not in revoked
        ]
        leaves = [
            _renewed(authority, folder, member, days, moment, new_key=new_keys) for member in chosen
        ]
        authority.save_list(folder, authority.revocations, moment)
    return leaves


def revoke(folder: Path | str, name: str, *, moment: datetime | None = None) -> list[str]:
    """Revoke every certificate that a name ever got, by a new revocation list.

    Servers heed it when they read the list again.

    Args:
        folder: An authority's.
        name: As for `renew`.
        moment: When it is; now by default.

    Returns:
        The serial numbers that are revoked by it, hexadecimal; none if all were before.

    Raises:
        ValueError: It is no authority's folder, or knows no such name.
        WriteFailed: The disk is full or fails.

    Source:
        RFC 5280, section 5 (revocation lists).

    Examples:
        >>> import tempfile
        >>> kme = KmePlace("alice", "127.0.0.1", 8443)
        >>> plan = AuthorityPlan((kme,), (SaePlace("app", kme="alice"),))
        >>> with tempfile.TemporaryDirectory() as name:
        ...     folder = Path(name, "authority")
        ...     _, sae = new_authority(folder, plan)
        ...     [serial] = revoke(folder, "app")
        ...     again = revoke(folder, "app")
        >>> serial == sae.serial, again
        (True, [])
    """
    folder, moment = Path(folder), moment or datetime.now(UTC)
    with _opened(folder) as authority:
        member = _chosen(_members(folder), name)
        uri = uri_of(member.role, member.name)
        issued = (read_certificate(file) for file in sorted((folder / "issued").glob("*.crt")))
        serials = [one.serial_number for one in issued if uri in _uris(one)]
        serials = [one for one in serials if one not in authority.revoked]
        added = [
            x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(moment).build()
            for serial in serials
        ]
        authority.save_list(folder, [*authority.revocations, *added], moment)
    return [f"{serial:x}" for serial in serials]


@dataclass(frozen=True)
class _Member:
    """A KME or an SAE that has a certificate in the folder."""

    role: CertifiedRole
    name: str
    certificate: x509.Certificate

    @property
    def stem(self) -> str:
        return file_stem(self.role, self.name)


@contextmanager
def _opened(folder: Path) -> Iterator[Authority]:
    """Give the authority of a folder, which nobody else changes meanwhile.

    Raises:
        ValueError: It is no authority's folder, or its key is not for its certificate.
    """
    with open_regular(folder / "ca.key", kind="an authority's private key") as lock:
        fcntl.flock(lock.fileno(), fcntl.LOCK_EX)
        key = read_private_key(folder / "ca.key")
        certificate = read_certificate(folder / "ca.crt")
        if key.public_key() != certificate.public_key():
            raise ValueError(f"`{folder / 'ca.crt'}` must be for `ca.key`, but is for another key.")
        entries, number = revocation_list(folder / "ca.crl", key)
        yield Authority(key, certificate, entries, number)


def _members(folder: Path) -> list[_Member]:
    """Return everybody who has a certificate in the folder, KMEs first."""
    found = []
    for role in (CertifiedRole.KME, CertifiedRole.SAE):
        for file in sorted(folder.glob(f"{role.value}-*.crt")):
            certificate = read_certificate(file)
            names = [name_of(uri, role) for uri in _uris(certificate)]
            found += [_Member(role, name, certificate) for name in names if name is not None]
    return found


def _chosen(members: Sequence[_Member], word: str) -> _Member:
    """Return the member whose name, or whose file, is called so.

    Raises:
        ValueError: There is none, or a KME and an SAE share the name.
    """
    fitting = [one for one in members if word in (one.name, one.stem)]
    if not fitting:
        known = [one.name for one in members]
        raise ValueError(
            f"`name` must be one that has a certificate, but `{word}` has none"
            f"{did_you_mean(word, known)}"
        )
    if len(fitting) > 1:
        stems = " or ".join(one.stem for one in fitting)
        raise ValueError(f"`name` must be clear, but `{word}` is a KME and an SAE: say {stems}.")
    return fitting[0]


def _first_leaf(
    authority: Authority,
    folder: Path,
    place: KmePlace | SaePlace,
    days: float,
    moment: datetime,
) -> IssuedCertificate:
    """Write a new private key and its certificate for a KME or an SAE."""
    key = ec.generate_private_key(ec.SECP256R1())
    role = role_of(place)
    alternatives: list[x509.GeneralName] = [
        x509.UniformResourceIdentifier(uri_of(role, place.name))
    ]
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
    if isinstance(place, KmePlace):
        alternatives += _host_names(place.host)
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, *usages]  # a client of other networks' KMEs
    certificate = authority.sign(
        subject_named(place.name),
        key.public_key(),
        [x509.SubjectAlternativeName(alternatives), x509.ExtendedKeyUsage(usages)],
        days=days,
        moment=moment,
    )
    stem = file_stem(role, place.name)
    write_new(folder / f"{stem}.key", private_pem(key), mode=PRIVATE)
    _note_issued(folder, certificate)
    content = certificate.public_bytes(Encoding.PEM)
    write_new(folder / f"{stem}.crt", content)
    return _leaf(folder / f"{stem}.crt", role, place.name, certificate, has_new_key=True)


def _renewed(
    authority: Authority,
    folder: Path,
    member: _Member,
    days: float,
    moment: datetime,
    *,
    new_key: bool,
) -> IssuedCertificate:
    """Replace the certificate of somebody, and the key where that must be."""
    old = member.certificate
    key = (
        None if new_key or old.serial_number in authority.revoked else _fitting_key(folder, member)
    )
    fresh = key is None
    if key is None:
        key = ec.generate_private_key(ec.SECP256R1())
        replace_file(folder / f"{member.stem}.key", private_pem(key), mode=PRIVATE)
    kept = (x509.SubjectAlternativeName, x509.ExtendedKeyUsage)
    certificate = authority.sign(
        old.subject,
        key.public_key(),
        [old.extensions.get_extension_for_class(kind).value for kind in kept],
        days=days,
        moment=moment,
    )
    _note_issued(folder, certificate)
    file = folder / f"{member.stem}.crt"
    replace_file(file, certificate.public_bytes(Encoding.PEM), mode=PUBLIC)
    return _leaf(file, member.role, member.name, certificate, has_new_key=fresh)


def _fitting_key(folder: Path, member: _Member) -> ec.EllipticCurvePrivateKey | None:
    """Return somebody's private key, or None if the certificate is for another one."""
    key = read_private_key(folder / f"{member.stem}.key")
    return key if key.public_key() == member.certificate.public_key() else None


def _leaf(
    file: Path, role: CertifiedRole, name: str, certificate: x509.Certificate, *, has_new_key: bool
) -> IssuedCertificate:
    serial = f"{certificate.serial_number:x}"
    return IssuedCertificate(file, role, name, serial, certificate.not_valid_after_utc, has_new_key)


def _note_issued(folder: Path, certificate: x509.Certificate) -> None:
    """Keep a certificate under its serial number, before anybody has it."""
    file = folder / "issued" / f"{certificate.serial_number:x}.crt"
    write_new(file, certificate.public_bytes(Encoding.PEM))


def _uris(certificate: x509.Certificate) -> list[str]:
    """Return the URIs among a certificate's alternative names."""
    kind = x509.SubjectAlternativeName
    try:
        alternatives = certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return []
    return alternatives.get_values_for_type(x509.UniformResourceIdentifier)


def _host_names(host: str) -> list[x509.GeneralName]:
    """Return by which names a server is reached: on this computer also as ``localhost``."""
    address = ip_address_of(host)
    if address is None:
        return [x509.DNSName(host)]
    names: list[x509.GeneralName] = [x509.IPAddress(address)]
    return [*names, x509.DNSName("localhost")] if address.is_loopback else names
