"""A whole server of keys: stores, ports, log, audit trail and figures of one configuration."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from importlib.resources import files
from types import TracebackType
from typing import Any, Self

from e91.delivery.audit import AuditTrail
from e91.delivery.between_networks.borders import Borders, border_saes
from e91.delivery.configuration import KmeEntry, ServiceFile, SkipEntry
from e91.delivery.etsi014.answering import KeyDeliveryHandler, KeyGiver
from e91.delivery.etsi014.routes import BEGINNING
from e91.delivery.health import HealthSources, health_handler
from e91.delivery.http.limits import TokenBucket
from e91.delivery.http.listening import Listener, parse_address
from e91.delivery.http.routing import by_path
from e91.delivery.link_states import status_of
from e91.delivery.metrics import KmeFigures, LinkFigures, RequestTally, exposition
from e91.delivery.remote_ends.remote_kmes import RemoteKmes
from e91.delivery.service import KeyService, KmeState
from e91.delivery.skip import SkipFace, SkipHandler, check_plain_address
from e91.delivery.web_hook import WebHook
from e91.keys.databases.addresses import database_at
from e91.model.errors import StoreFailed

_LOG = logging.getLogger("e91.delivery")
_LOOK_S = 0.5  # at the stores, for the log
_EXPIRE_S = 60.0  # between looks for keys that nobody fetches, at most


class RequestRates:
    """How fast each SAE may ask."""

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._clock = clock
        self._buckets: dict[str, TokenBucket] = {}

    def wait_s(self, sae: str) -> float:
        """Count a request and return 0, or return the seconds that the SAE must wait."""
        now = self._clock()
        bucket = self._buckets.get(sae)
        if bucket is None:
            # Only SAEs of the configuration get here, so there are never many.
            bucket = self._buckets[sae] = TokenBucket(
                self._per_second, max(1.0, self._per_second), now
            )
        return bucket.wait_s(now)


class KeyDelivery:
    """All KMEs of a configuration, served; use it as a context.

    Attributes:
        file: The configuration.
        service: The stores, for whoever feeds them.
        listeners: The port of every KME.
        skips: The ports for encryptors that speak SKIP, in the order of the configuration.
        borders: To other networks.
        remote_kmes: The other ends of links that are in other processes.
        health: The local port, if there is one.
        alarms: How often a link has rung.
        expired: How many keys went void here as nobody fetched them in time.
    """

    def __init__(
        self,
        file: ServiceFile,
        *,
        through: Callable[[KeyService], KeyGiver] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Prepare a server; nothing is opened yet.

        Args:
            file: The configuration.
            through: What stands between requests and the stores, e.g. the border of a network.
            clock: Seconds since 1970.

        Raises:
            ValueError: The configuration cannot be served.
        """
        self.file = file
        self.listeners: dict[str, Listener] = {}
        self.skips: list[Listener] = []
        self.health: Listener | None = None
        self.alarms = self.expired = 0
        tables = file.tables
        self.service = service_of(file, clock=clock)
        self.borders = Borders(file, self.service, clock=clock)
        self.remote_kmes = RemoteKmes(file, self.service)
        giver: KeyGiver = self.borders.giver
        self._giver = giver if through is None else through(self.service)
        self._clock = clock
        self._rates = RequestRates(tables.service.requests_per_second)
        self._tallies = {kme.id: RequestTally() for kme in tables.kmes}
        self._open = AsyncExitStack()
        self._hooks: set[asyncio.Task[bool]] = set()

    async def __aenter__(self) -> Self:
        """Open stores, audit trail and ports.

        Raises:
            ValueError: A port is taken, or a file cannot be used.
            StoreFailed: A store is damaged, newer than this program or open elsewhere.
        """
        try:
            await self._start()
        except BaseException:
            await self._open.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End every port after the replies under way, then shut the stores."""
        await self._open.aclose()

    async def _start(self) -> None:
        tables = self.file.tables
        audit = self._audit()
        self._open.callback(audit.close)
        listeners = {kme.id: self._listener(kme, audit) for kme in tables.kmes}
        skips = [self._skip_listener(entry, audit) for entry in tables.skips]
        await self.service.start()
        self._open.push_async_callback(self.service.close)
        await self._open.enter_async_context(self.borders)
        await self._open.enter_async_context(self.remote_kmes)
        for work in (self._watch(), self._expire()):
            self._open.callback(asyncio.create_task(work).cancel)
        for name, listener in listeners.items():
            await listener.start()
            self.listeners[name] = listener
            self._open.push_async_callback(listener.stop)
        for listener in skips:
            await listener.start()
            self.skips.append(listener)
            self._open.push_async_callback(listener.stop)
        if tables.service.health is not None:
            await self._start_health(tables.service.health)
        self._open.callback(self._drop_hooks)

    def _audit(self) -> AuditTrail:
        return AuditTrail(self.file.folder / self.file.tables.service.audit, clock=self._clock)

    def _listener(self, kme: KmeEntry, audit: AuditTrail) -> Listener:
        settings = self.file.tables.service
        handler = KeyDeliveryHandler(
            self.file.site(kme.id),
            self._giver,
            record=audit,
            counts=self._tallies[kme.id],
            wait_s=self._rates.wait_s,
        )
        return Listener(
            by_path({BEGINNING: handler}),
            address=parse_address(kme.listen),
            tls=kme.tls_files(self.file.folder, newest_only=settings.tls13_only),
            limits=settings.door_limits,
            clock=self._clock,
        )

    def _skip_listener(self, entry: SkipEntry, audit: AuditTrail) -> Listener:
        """Return the port for encryptors that speak SKIP.

        Raises:
            ValueError: The entry makes no sense, or a file cannot be used.
        """
        settings, site = self.file.tables.service, self.file.site(entry.kme)
        face = SkipFace(
            site,
            entry.local_system or entry.kme,
            entry.remote_systems,
            entry.sae,
            entry.plain,
            entry.algorithm,
        )
        if entry.plain:
            check_plain_address(entry.listen)
        kme = next(kme for kme in self.file.tables.kmes if kme.id == entry.kme)
        tls = kme.tls_files(self.file.folder, newest_only=settings.tls13_only)
        return Listener(
            SkipHandler(face, self._giver, record=audit),
            address=parse_address(entry.listen),
            tls=None if entry.plain else tls,
            limits=settings.door_limits,
            clock=self._clock,
        )

    async def _start_health(self, address: str) -> None:
        sources = HealthSources(
            lambda: self.service.failed, self.status, self.metrics, interface_description
        )
        self.health = Listener(
            health_handler(sources), address=parse_address(address, name="health")
        )
        await self.health.start()
        self._open.push_async_callback(self.health.stop)

    async def _watch(self) -> None:
        """Write into the log when the stores fail, and when they are open again."""
        before = None
        while True:
            await asyncio.sleep(_LOOK_S)
            failed = self.service.failed
            if failed != before:
                event = "no key is given" if failed else "keys are given again"
                _LOG.log(logging.ERROR if failed else logging.INFO, event, extra={"reason": failed})
            before = failed

    async def _expire(self) -> None:
        """Make keys void that nobody fetches in time, if there is a limit."""
        limit_s = self.file.tables.service.waiting_s
        while limit_s is not None:
            await asyncio.sleep(min(limit_s / 4, _EXPIRE_S))
            try:
                number = await self.service.expire(before=self._clock() - limit_s)
            except StoreFailed:  # which is in the log already
                continue
            self.expired += number
            if number:
                _LOG.warning("keys that nobody fetched are void", extra={"keys": number})

    async def reload(self) -> None:
        """Read all certificates anew."""
        for listener in (*self.listeners.values(), *self.skips):
            await listener.reload()
        await self.remote_kmes.reload()

    # What is to be seen.

    def status(self) -> dict[str, Any]:
        """Return the state of all links and KMEs."""
        return status_of(self.service.kmes(), key_size=self.file.tables.service.key_size)

    def metrics(self) -> bytes:
        """Return figures in the format of Prometheus."""
        figures = {state.kme: self._figures(state) for state in self.service.kmes()}
        return exposition(figures, alarms=self.alarms, expired=self.expired)

    def _figures(self, state: KmeState) -> KmeFigures:
        links = tuple(
            LinkFigures(link.peer, link.free, link.alarm is not None, link.silent is not None)
            for link in state.links
        )
        listener = self.listeners.get(state.kme)
        return KmeFigures(
            self._tallies[state.kme],
            0 if listener is None else len(listener.door.connections),
            {} if listener is None else listener.door.refused,
            links,
            state.failed is not None,
        )

    # Alarms.

    async def ring(self, one: str, other: str, *, since: float, reason: str) -> int:
        """Stop a link, erase its key that was made since a moment, and say so everywhere.

        Args:
            one: An end of the link.
            other: The other one.
            since: Seconds since 1970.
            reason: What those read who ask for keys.

        Returns:
            How many key bits were erased at all KMEs together.
        """
        bits = await self.service.ring(one, other, since=since, reason=reason)
        self.alarms += 1
        facts = {"link": f"{one} - {other}", "since": since, "reason": reason, "bits": bits}
        _LOG.warning("alarm", extra=facts)
        self._call_hook({"event": "alarm", **facts})
        return bits

    async def clear(self, one: str, other: str) -> None:
        """End the alarm of a link."""
        await self.service.clear(one, other)
        facts = {"link": f"{one} - {other}"}
        _LOG.info("alarm cleared", extra=facts)
        self._call_hook({"event": "alarm cleared", **facts})

    def _call_hook(self, event: dict[str, Any]) -> None:
        entry = self.file.tables.alarm
        if entry is None:
            return
        hook = WebHook(entry.web_hook, entry.attempts, entry.timeout_s)
        task = asyncio.create_task(hook.send({"time": self._clock(), **event}))
        self._hooks.add(task)
        task.add_done_callback(self._hooks.discard)

    def _drop_hooks(self) -> None:
        for task in self._hooks:
            task.cancel()


def service_of(file: ServiceFile, *, clock: Callable[[], float] = time.time) -> KeyService:
    """Return the stores of a configuration, not opened yet."""
    kmes = file.tables.kmes
    stores = {kme.id: database_at(kme.store_place(file.folder), kme=kme.id) for kme in kmes}
    saes = file.sae_kmes | file.remote_sae_kmes | border_saes(file)
    return KeyService(stores, sae_kmes=saes, remote_links=file.remote_links, clock=clock)


def interface_description() -> bytes:
    """Return the OpenAPI document of the key delivery interface."""
    return files("e91.delivery.etsi014").joinpath("openapi.json").read_bytes()
