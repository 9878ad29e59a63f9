"""Whom an authority certifies: KMEs and applications, and the names of their files."""

import ipaddress
import re
from dataclasses import dataclass, replace
from urllib.parse import quote

from e91.delivery.identities import CertifiedRole, check_name

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
        address = ip_address_of(self.host)
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


def file_stem(role: CertifiedRole, name: str) -> str:
    """Return the name of the files of a KME or an SAE, without their ending.

    Examples:
        >>> file_stem(CertifiedRole.SAE, "SAE/1")
        'sae-SAE%2F1'
    """
    return f"{role.value}-{quote(name, safe='')}"


def role_of(place: KmePlace | SaePlace) -> CertifiedRole:
    """Return what somebody is certified as.

    Examples:
        >>> role_of(SaePlace("pay", kme="alice")).value
        'sae'
    """
    return CertifiedRole.KME if isinstance(place, KmePlace) else CertifiedRole.SAE


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


def check_days(days: float) -> None:
    """Refuse a time of validity that is none.

    Raises:
        ValueError: It is not positive, or longer than ten years.
    """
    if not 0 < days <= _LONGEST_DAYS:
        raise ValueError(f"`days` must lie in (0, {_LONGEST_DAYS:,.0f}], but is {days:g}.")


def ip_address_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return a host as an IP address, or None if it is a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_host(host: str) -> bool:
    """Return whether it is an address, or a name as DNS has them."""
    return ip_address_of(host) is not None or (len(host) <= 253 and bool(_HOST.fullmatch(host)))


def _check_member(name: str, *, what: str) -> None:
    """Refuse a name that no certificate, or no file, can carry."""
    check_name(name, what=what)
    if len(quote(name, safe="")) > _LONGEST_FILE_NAME:
        raise ValueError(
            f"`{what}` must have at most {_LONGEST_FILE_NAME} characters when percent-encoded, "
            f"but `{name}` has more."
        )
