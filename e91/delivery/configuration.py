"""The file that a key server is started with, ``kme.toml``: KMEs, SAEs, limits, and where to write.

Paths in it are relative to its folder.  Unknown keys are refused.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from e91.delivery.etsi014.site import KeyLimits, KeySite
from e91.delivery.http.limits import DoorLimits
from e91.delivery.http.listening import parse_address
from e91.delivery.https_client import place_of
from e91.delivery.identities import check_name
from e91.delivery.tls.contexts import TlsFiles
from e91.system.documents import Document, Text, read_toml

Number = Annotated[int, Meta(ge=1, le=1_000_000_000)]
Rate = Annotated[float, Meta(gt=0, le=1e9)]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]

_ALARM_PORTS = ("http://", "https://")


class ServiceEntry(Document, frozen=True):
    """``[service]``: limits, and where the server writes.

    Attributes:
        key_size: Bits of a key if no size is asked for; a multiple of 8, like the next two.
        min_key_size: The least size, bits.
        max_key_size: The largest size, bits.
        max_key_per_request: Keys in one request at most.
        max_key_count: Keys that a store is said to hold at most.
        max_sae_id_count: Additional slave SAEs at most.
        requests_per_second: Of one SAE; a second's worth may come at once.
        connections: At once, at one port.
        connections_per_sae: At once, of one SAE.
        request_s: Seconds that a request may take to arrive.
        idle_s: Seconds that a connection may wait for its next request.
        waiting_s: Seconds that a key waits for its slaves, then it is void; for ever if not given.
        tls13_only: Whether TLS 1.2 is refused.
        health: Host and port for health and metrics, plain HTTP for this machine alone.
        audit: File with who got which key, written on at its end.
        log: File for the log; standard error if not given.
    """

    key_size: Number = 256
    min_key_size: Number = 64
    max_key_size: Number = 4_096
    max_key_per_request: Number = 128
    max_key_count: Number = 1_000_000
    max_sae_id_count: Annotated[int, Meta(ge=0, le=1_000)] = 8
    requests_per_second: Rate = 20_000.0
    connections: Number = 4_096
    connections_per_sae: Number = 512
    request_s: Seconds = 10.0
    idle_s: Seconds = 75.0
    waiting_s: Annotated[float, Meta(ge=1, le=1e9)] | None = None
    tls13_only: bool = False
    health: str | None = None
    audit: Text = "audit.jsonl"
    log: Text | None = None

    def __post_init__(self) -> None:
        sizes = ("key_size", "min_key_size", "max_key_size")
        for name in sizes:
            if getattr(self, name) % 8:
                raise ValueError(f"`{name}` must be a multiple of 8, but is {getattr(self, name)}.")
        if not self.min_key_size <= self.key_size <= self.max_key_size:
            raise ValueError(
                f"`key_size` must lie in [{self.min_key_size}, {self.max_key_size}], but is "
                f"{self.key_size}."
            )
        if self.health is not None:
            parse_address(self.health, name="health")

    @property
    def key_limits(self) -> KeyLimits:
        """What requests for keys are held to."""
        return KeyLimits(
            self.key_size,
            self.min_key_size,
            self.max_key_size,
            self.max_key_per_request,
            self.max_key_count,
            self.max_sae_id_count,
        )

    @property
    def door_limits(self) -> DoorLimits:
        """What connections are held to."""
        return DoorLimits(
            request_s=self.request_s,
            idle_s=self.idle_s,
            connections=self.connections,
            connections_per_peer=self.connections_per_sae,
        )


class KmeEntry(Document, frozen=True):
    """``[[kme]]``: one key management entity, its port, its store and its certificate.

    Attributes:
        id: Its ID.
        listen: Host and port.
        store: File of SQLite, or URL of a PostgreSQL database.
        certificate: PEM file with its certificate.
        private_key: PEM file with the private key of that.
        ca: PEM file with the authorities of all certificates.
        crl: PEM file with what they have revoked; without it nothing is looked up.
    """

    id: Text
    listen: Text
    store: Text
    certificate: Text
    private_key: Text
    ca: Text
    crl: Text | None = None

    def __post_init__(self) -> None:
        check_name(self.id, what="id")
        parse_address(self.listen)

    def tls_files(self, folder: Path, *, newest_only: bool) -> TlsFiles:
        """Return the files of its TLS.

        Args:
            folder: What paths are relative to.
            newest_only: Whether TLS 1.2 is refused.
        """
        crl = None if self.crl is None else folder / self.crl
        files = (folder / self.certificate, folder / self.private_key, folder / self.ca)
        return TlsFiles(*files, crl, newest_only)

    def store_place(self, folder: Path) -> str:
        """Return the store's URL, or its file's whole path."""
        return self.store if "://" in self.store else str(folder / self.store)


class SaeEntry(Document, frozen=True):
    """``[[sae]]``: one secure application entity.

    Attributes:
        id: Its ID, as its certificate says it.
        kme: The KME that it calls.
        blocked: Whether it is refused for now.
    """

    id: Text
    kme: Text
    blocked: bool = False

    def __post_init__(self) -> None:
        check_name(self.id, what="id")


class PairEntry(Document, frozen=True):
    """``[[pair]]``: a master may ask for keys with a slave; with one entry only listed ones may.

    Attributes:
        master: The SAE that asks.
        slave: The SAE that fetches.
    """

    master: Text
    slave: Text


class AlarmEntry(Document, frozen=True):
    """``[alarm]``: who is called when a link rings.

    Attributes:
        web_hook: URL that gets a POST with the event as JSON; redirects are not followed.
        attempts: How often it is tried, after 1, 2, 4 ... seconds.
        timeout_s: Seconds for each.
    """

    web_hook: Text
    attempts: Annotated[int, Meta(ge=1, le=20)] = 6
    timeout_s: Seconds = 5.0

    def __post_init__(self) -> None:
        if not self.web_hook.startswith(_ALARM_PORTS):
            raise ValueError(
                f"`web_hook` must be a URL of http or https, but is {self.web_hook!r}."
            )


class SkipEntry(Document, frozen=True):
    """``[[skip]]``: Cisco's key provider interface beside a KME.

    Attributes:
        kme: The KME whose keys it gives.
        listen: Host and port.
        local_system: Its system ID; the KME's ID if not given.
        remote_systems: The slave SAE of every remote system ID.
        sae: Whose keys it gives; whom the certificate names if not given.
        plain: Whether it speaks HTTP without TLS, behind a TLS proxy on this machine.
        algorithm: What its capabilities say, at most 16 bytes.
    """

    kme: Text
    listen: Text
    remote_systems: dict[str, str]
    local_system: Text | None = None
    sae: Text | None = None
    plain: bool = False
    algorithm: Text = "E91"

    def __post_init__(self) -> None:
        parse_address(self.listen)


class PeerNetworkEntry(Document, frozen=True):
    """``[[peer_network]]``: a KME of another network to which keys are handed (ETSI GS QKD 020).

    Attributes:
        kme: Our KME at the border.
        peer: The ID of the other network's KME.
        url: Where it is, without the path.
        listen: Host and port where we are called.
        callback: Where we ask to be called; from `listen` if not given.
        saes: SAEs that are reached over it.
        accept_from: SAEs of the other network whose keys are taken; any if not given.
        ca: PEM file with the authorities of the other KME's certificate; our KME's if not given.
        crl: PEM file with what they have revoked; our KME's if `ca` is not given either.

    Both networks must know each other's SAEs that share keys: `saes` here, ``[[sae]]`` there.
    """

    kme: Text
    peer: Text
    url: Text
    listen: Text
    saes: tuple[Text, ...]
    callback: Text | None = None
    accept_from: tuple[Text, ...] | None = None
    ca: Text | None = None
    crl: Text | None = None

    def __post_init__(self) -> None:
        parse_address(self.listen)
        for name in (self.peer, *self.saes):
            check_name(name, what="peer_network")
        if self.crl is not None and self.ca is None:
            raise ValueError("`crl` must be given with its `ca`, but there is none.")

    def tls_files(self, kme: KmeEntry, folder: Path) -> TlsFiles:
        """Return the files of TLS at the border: TLS 1.3 only.

        Args:
            kme: Our KME at the border.
            folder: What paths are relative to.
        """
        files = kme.tls_files(folder, newest_only=True)
        if self.ca is None:
            return files
        crl = None if self.crl is None else folder / self.crl
        return replace(files, ca=folder / self.ca, crl=crl)


class RemoteKmeEntry(Document, frozen=True):
    """``[[remote_kme]]``: the KME at the other end of a link, in another process or machine.

    Attributes:
        kme: Our KME.
        id: The other one: its certificate says so.
        url: Where it is called, without a path.
        listen: Host and port where it calls us.
        saes: SAEs that it serves.
        ca: PEM file with the authorities of its certificate; our KME's if not given.
        crl: PEM file with what they have revoked; our KME's if `ca` is not given either.
    """

    kme: Text
    id: Text
    url: Text
    listen: Text
    saes: tuple[Text, ...]
    ca: Text | None = None
    crl: Text | None = None

    def __post_init__(self) -> None:
        parse_address(self.listen)
        place_of(self.url)
        for name in (self.id, *self.saes):
            check_name(name, what="remote_kme")
        if self.crl is not None and self.ca is None:
            raise ValueError("`crl` must be given with its `ca`, but there is none.")

    def tls_files(self, kme: KmeEntry, folder: Path) -> TlsFiles:
        """Return the files of TLS between the two KMEs: TLS 1.3 only.

        Args:
            kme: Our KME.
            folder: What paths are relative to.
        """
        files = kme.tls_files(folder, newest_only=True)
        if self.ca is None:
            return files
        crl = None if self.crl is None else folder / self.crl
        return replace(files, ca=folder / self.ca, crl=crl)


class ServiceTables(Document, frozen=True):
    """All tables of the file.

    Attributes:
        service: Limits and outputs.
        kmes: At least one.
        saes: Those that may call.
        pairs: Which SAEs may share keys; any two if there is none.
        alarm: Who is called when a link rings.
        skips: Cisco's interface.
        peer_networks: To whom keys are handed.
        remote_kmes: The other ends of links that are in other processes.
    """

    kmes: Annotated[tuple[KmeEntry, ...], Meta(min_length=1)] = msgspec.field(name="kme")
    saes: tuple[SaeEntry, ...] = msgspec.field(name="sae", default=())
    service: ServiceEntry = ServiceEntry()
    pairs: tuple[PairEntry, ...] = msgspec.field(name="pair", default=())
    alarm: AlarmEntry | None = None
    skips: tuple[SkipEntry, ...] = msgspec.field(name="skip", default=())
    peer_networks: tuple[PeerNetworkEntry, ...] = msgspec.field(name="peer_network", default=())
    remote_kmes: tuple[RemoteKmeEntry, ...] = msgspec.field(name="remote_kme", default=())

    def __post_init__(self) -> None:
        _check_distinct("kme", (kme.id for kme in self.kmes))
        _check_distinct("sae", (sae.id for sae in self.saes))
        files = (kme.store for kme in self.kmes if "://" not in kme.store)
        _check_distinct("kme", files, what="stores")  # in a database each has a schema of its own
        known = {kme.id for kme in self.kmes}
        for sae in self.saes:
            if sae.kme not in known:
                raise ValueError(f"`sae.kme` must be the ID of a `[[kme]]`, but is {sae.kme!r}.")
        saes = {sae.id for sae in self.saes}
        far = [sae for entry in self.peer_networks for sae in entry.saes]
        _check_distinct("peer_network.saes", [*saes, *far])
        saes.update(far)
        remote = {sae: entry.id for entry in self.remote_kmes for sae in entry.saes}
        _check_distinct("remote_kme.saes", [*saes, *remote])
        saes.update(remote)
        self._check_remote_kmes(known)
        using = [one.kme for one in self.skips] + [one.kme for one in self.peer_networks]
        for kme in using + [one.kme for one in self.remote_kmes]:
            if kme not in known:
                raise ValueError(f"`kme` must be the ID of a `[[kme]]`, but is {kme!r}.")
        for pair in self.pairs:
            for name in (pair.master, pair.slave):
                if name not in saes:
                    raise ValueError(f"`pair` must name two SAEs of the file, but has {name!r}.")

    def _check_remote_kmes(self, known: set[str]) -> None:
        """Refuse remote KMEs that are here, or whose applications are not said clearly."""
        for entry in self.remote_kmes:
            if entry.id in known:
                raise ValueError(
                    f"`remote_kme.id` must be a KME of another process, but {entry.id!r} is here."
                )
        ends = [f"{entry.kme} - {entry.id}" for entry in self.remote_kmes]
        _check_distinct("remote_kme", ends, what="ends")
        served = {(sae, entry.id) for entry in self.remote_kmes for sae in entry.saes}
        _check_distinct("remote_kme.saes", (sae for sae, _ in served))


@dataclass(frozen=True)
class ServiceFile:
    """A configuration and where it stands.

    Attributes:
        path: The file.
        tables: What it holds.
    """

    path: Path
    tables: ServiceTables

    @property
    def folder(self) -> Path:
        """What its paths are relative to."""
        return self.path.absolute().parent

    @property
    def sae_kmes(self) -> dict[str, str]:
        """The KME of every SAE of this network."""
        return {sae.id: sae.kme for sae in self.tables.saes}

    @property
    def far_sae_kmes(self) -> dict[str, str]:
        """The KME of another network over which every SAE of that network is reached."""
        return {sae: entry.peer for entry in self.tables.peer_networks for sae in entry.saes}

    @property
    def remote_sae_kmes(self) -> dict[str, str]:
        """The KME of another process that serves every SAE at the other end of a link."""
        return {sae: entry.id for entry in self.tables.remote_kmes for sae in entry.saes}

    @property
    def remote_links(self) -> list[tuple[str, str]]:
        """The links whose other ends are in other processes: our KME, and the other one."""
        return [(entry.kme, entry.id) for entry in self.tables.remote_kmes]

    def site(self, kme: str) -> KeySite:
        """Return what requests to a KME are held to."""
        tables = self.tables
        pairs = frozenset((pair.master, pair.slave) for pair in tables.pairs) or None
        blocked = frozenset(sae.id for sae in tables.saes if sae.blocked)
        known = self.sae_kmes | self.far_sae_kmes | self.remote_sae_kmes
        return KeySite(kme, known, tables.service.key_limits, pairs, blocked)


def read_configuration(path: Path) -> ServiceFile:
    """Return the configuration in a file.

    Raises:
        ValueError: It cannot be read, is no TOML, or something in it makes no sense.
    """
    return ServiceFile(path, read_toml(path, ServiceTables))


def _check_distinct(table: str, names: Iterable[str], *, what: str = "IDs") -> None:
    twice = [name for name, number in Counter(names).items() if number > 1]
    if twice:
        raise ValueError(f"`{table}` must have {what} that differ, but has {twice[0]!r} twice.")
