"""Certificates for servers of keys and their clients: an authority, short-lived leaves, a list.

An authority is a folder: ``ca.crt``, ``ca.key``, the revocation list ``ca.crl``, a certificate and
a private key for every KME (``kme-NAME``) and SAE (``sae-NAME``), and in ``issued`` every
certificate that was ever signed, by its serial number, so that a name can be revoked whole.
Whoever reads ``ca.key`` can be anybody: keep it off the servers where that matters.
Names are percent-encoded in the names of files.
"""

import fcntl
import ipaddress
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

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
from e91.delivery.identities import CertifiedRole, check_name, name_of, uri_of
from e91.system.documents import did_you_mean
from e91.system.durable import (
    PRIVATE,
    PUBLIC,
    flush_folder,
    new_folder,
    open_regular,
    replace_file,
)

LEAF_DAYS = 7.0
"""How long a certificate of a KME or an SAE is valid, days, unless another number is asked for."""

_LONGEST_DAYS = 3650.0
_LINK_PORTS = 1_000  # above the port for applications
_LONGEST_FILE_NAME = 200
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")


@dataclass(frozen=True)
class KmePlace:
    """A KME and where it listens.

    Attributes:
        name: Its KME ID.
        host: An IP address or a host name, by which clients reach it.
        port: TCP port; 0 lets the system choose.

    Raises:
        ValueError: ``name``, ``host`` or ``port`` is none.

    Examples:
        >>> KmePlace("alice", "::1", 8443).listen
        '[::1]:8443'
        >>> KmePlace("alice", "0.0.0.0", 8443)
        Traceback (most recent call last):
        ValueError: `host` must be the address or the name that clients use, but is `0.0.0.0`.
    """

    name: str
    host: str
    port: int

    def __post_init__(self) -> None:
        _check_member(self.name, what="kme")
        if not 0 <= self.port <= 65535:
            raise ValueError(f"`port` must lie in [0, 65535], but is {self.port}.")
        address = _address(self.host)
        if (address is not None and address.is_unspecified) or not _is_host(self.host):
            raise ValueError(
                f"`host` must be the address or the name that clients use, but is `{self.host}`."
            )

    @property
    def listen(self) -> str:
        """Host and port as in a URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True)
class SaePlace:
    """An application that uses keys.

    Attributes:
        name: Its SAE ID.
        kme: The name of the KME that serves it.

    Raises:
        ValueError: ``name`` is none.

    Examples:
        >>> SaePlace("alice-app", kme="alice")
        SaePlace(name='alice-app', kme='alice')
    """

    name: str
    kme: str

    def __post_init__(self) -> None:
        _check_member(self.name, what="sae")


@dataclass(frozen=True)
class AuthorityPlan:
    """Whom an authority certifies, and for how long.

    Attributes:
        kmes: At least one.
        saes: Each at one of the ``kmes``.
        leaf_days: Validity of their certificates, days.
        health: Host and port at which the server tells its state to this machine, or None.
        is_apart: Whether every KME gets a configuration of its own, ``kme-NAME.toml``, as for a
            machine of its own.  KMEs then call each other at the port 1,000 above `KmePlace.port`.

    Raises:
        ValueError: No KME is named, a name stands twice, an application is at another KME,
            ``leaf_days`` is out of range, or a KME that is apart has no port for the others.

    Examples:
        >>> kmes = (KmePlace("alice", "127.0.0.1", 8443), KmePlace("bob", "127.0.0.1", 8444))
        >>> AuthorityPlan(kmes, (SaePlace("alice-app", kme="alice"),)).kme_names
        ['alice', 'bob']
    """

    kmes: tuple[KmePlace, ...]
    saes: tuple[SaePlace, ...]
    leaf_days: float = LEAF_DAYS
    health: str | None = None
    is_apart: bool = False

    def __post_init__(self) -> None:
        check_days(self.leaf_days)
        if not self.kmes:
            raise ValueError("`kmes` must name at least one KME, but is empty.")
        for what, names in (("kme", self.kme_names), ("sae", [sae.name for sae in self.saes])):
            if twice := next((name for name in names if names.count(name) > 1), None):
                raise ValueError(f"`{what}` must be given once a name, but `{twice}` is twice.")
        for sae in self.saes:
            if sae.kme not in self.kme_names:
                raise ValueError(
                    f"`sae` must be at one of {', '.join(self.kme_names)}, but {sae.name} is at "
                    f"`{sae.kme}`."
                )

        if self.is_apart:
            for kme in self.kmes:
                link_place(kme)

    @property
    def kme_names(self) -> list[str]:
        """The names of the KMEs, in order."""
        return [kme.name for kme in self.kmes]


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


def check_days(days: float) -> None:
    """Refuse a time of validity that is none.

    Raises:
        ValueError: It is not positive, or longer than ten years.
    """
    if not 0 < days <= _LONGEST_DAYS:
        raise ValueError(f"`days` must lie in (0, {_LONGEST_DAYS:,.0f}], but is {days:g}.")


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
        leaves = [_first_leaf(authority, hidden, plan, kme, moment) for kme in plan.kmes]
        leaves += [_first_leaf(authority, hidden, plan, sae, moment) for sae in plan.saes]
        flush_folder(hidden / "issued")
        for name, content in configurations_of(plan).items():
            write_new(hidden / name, content.encode())
    return [replace(leaf, file=folder / leaf.file.name) for leaf in leaves]


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


def link_place(kme: KmePlace) -> KmePlace:
    """Return where other KMEs call one that is apart: 1,000 ports above that for applications.

    Raises:
        ValueError: There is no such port.

    Examples:
        >>> link_place(KmePlace("alice", "127.0.0.1", 8443)).listen
        '127.0.0.1:9443'
    """
    if not 0 < kme.port <= 65535 - _LINK_PORTS:
        raise ValueError(
            f"`port` of a KME that is apart must lie in [1, {65535 - _LINK_PORTS}], but is "
            f"{kme.port}."
        )
    return replace(kme, port=kme.port + _LINK_PORTS)


def configurations_of(plan: AuthorityPlan) -> dict[str, str]:
    """Return the configurations of a plan, by the names of their files.

    Examples:
        >>> kmes = KmePlace("alice", "a.example", 8443), KmePlace("bob", "b.example", 8443)
        >>> list(configurations_of(AuthorityPlan(kmes, ())))
        ['kme.toml']
        >>> list(configurations_of(AuthorityPlan(kmes, (), is_apart=True)))
        ['kme-alice.toml', 'kme-bob.toml']
    """
    if not plan.is_apart:
        return {"kme.toml": configuration_of(plan)}
    return {
        f"{file_stem(CertifiedRole.KME, kme.name)}.toml": _configuration_apart(plan, kme, number)
        for number, kme in enumerate(plan.kmes)
    }


def _configuration_apart(plan: AuthorityPlan, kme: KmePlace, number: int) -> str:
    """Return the configuration of one KME whose peers are in other processes."""
    health = plan.health
    if health is not None:  # counted down, so that all can be tried on one machine
        host, _, port = health.rpartition(":")
        health = f"{host}:{int(port) - number}"
    saes = tuple(sae for sae in plan.saes if sae.kme == kme.name)
    lines = [configuration_of(replace(plan, kmes=(kme,), saes=saes, health=health, is_apart=False))]
    own = link_place(kme)
    for offset, other in enumerate(one for one in plan.kmes if one != kme):
        served = [_quoted(sae.name) for sae in plan.saes if sae.kme == other.name]
        # Each of several others calls at a port of its own.
        listen = replace(own, port=own.port + offset).listen
        before = [one for one in plan.kmes if one != other].index(kme)
        url = replace(link_place(other), port=link_place(other).port + before).listen
        lines += [
            "[[remote_kme]]",
            f"kme = {_quoted(kme.name)}",
            f"id = {_quoted(other.name)}",
            f"url = {_quoted(f'https://{url}')}",
            f"listen = {_quoted(listen)}",
            f"saes = [{', '.join(served)}]",
            "",
        ]
    return "\n".join(lines).rstrip() + "\n"


def configuration_of(plan: AuthorityPlan) -> str:
    """Return the text of ``kme.toml``: servers for all KMEs of a plan, beside their certificates.

    Examples:
        >>> plan = AuthorityPlan((KmePlace("alice", "127.0.0.1", 8443),), ())
        >>> print(configuration_of(plan).splitlines()[2])
        [[kme]]
    """
    lines = [
        "# Servers of keys, as `e91 kme serve` starts them; paths are relative to this file.",
        "",
    ]
    if plan.health is not None:
        lines += ["[service]", f"health = {_quoted(plan.health)}", ""]
    for kme in plan.kmes:
        stem = file_stem(CertifiedRole.KME, kme.name)
        lines += [
            "[[kme]]",
            f"id = {_quoted(kme.name)}",
            f"listen = {_quoted(kme.listen)}",
            f"store = {_quoted(f'{stem}.sqlite')}",
            f"certificate = {_quoted(f'{stem}.crt')}",
            f"private_key = {_quoted(f'{stem}.key')}",
            'ca = "ca.crt"',
            'crl = "ca.crl"',
            "",
        ]
    for sae in plan.saes:
        lines += _sae_lines(sae)
    return "\n".join(lines).rstrip() + "\n"


def _sae_lines(sae: SaePlace) -> list[str]:
    return ["[[sae]]", f"id = {_quoted(sae.name)}", f"kme = {_quoted(sae.kme)}", ""]


def _quoted(text: str) -> str:
    """Return a printable text as a basic string of TOML."""
    return json.dumps(text, ensure_ascii=False)


def file_stem(role: CertifiedRole, name: str) -> str:
    """Return the name of the files of a KME or an SAE, without their ending.

    Examples:
        >>> file_stem(CertifiedRole.SAE, "SAE/1")
        'sae-SAE%2F1'
    """
    return f"{role.value}-{quote(name, safe='')}"


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
    plan: AuthorityPlan,
    place: KmePlace | SaePlace,
    moment: datetime,
) -> IssuedCertificate:
    """Write a new private key and its certificate for a KME or an SAE."""
    key = ec.generate_private_key(ec.SECP256R1())
    role = CertifiedRole.KME if isinstance(place, KmePlace) else CertifiedRole.SAE
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
        days=plan.leaf_days,
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
    address = _address(host)
    if address is None:
        return [x509.DNSName(host)]
    names: list[x509.GeneralName] = [x509.IPAddress(address)]
    return [*names, x509.DNSName("localhost")] if address.is_loopback else names


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return a host as an IP address, or None if it is a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_host(host: str) -> bool:
    """Return whether it is an address, or a name as DNS has them."""
    return _address(host) is not None or (len(host) <= 253 and bool(_HOST.fullmatch(host)))


def _check_member(name: str, *, what: str) -> None:
    """Refuse a name that no certificate, or no file, can carry."""
    check_name(name, what=what)
    if len(quote(name, safe="")) > _LONGEST_FILE_NAME:
        raise ValueError(
            f"`{what}` must have at most {_LONGEST_FILE_NAME} characters when percent-encoded, "
            f"but `{name}` has more."
        )
