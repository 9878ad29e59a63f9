"""The borders to other networks in a server's configuration: their ports, ledgers and tasks."""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self
from urllib.parse import quote

from e91.delivery.between_networks.border_service import BorderService
from e91.delivery.between_networks.carrying import NetworkSide, border_sae
from e91.delivery.between_networks.handover import Handover
from e91.delivery.between_networks.peer_calls import HttpsPeer
from e91.delivery.between_networks.peer_door import PeerDoor, PeerPolicy
from e91.delivery.between_networks.peer_messages import ACKS
from e91.delivery.between_networks.retrying import USUAL_LIMITS, RetryLimits
from e91.delivery.between_networks.transfer_ledger import TransferLedger
from e91.delivery.configuration import PeerNetworkEntry, ServiceFile
from e91.delivery.http.limits import DoorLimits
from e91.delivery.http.listening import Listener, parse_address
from e91.delivery.service import KeyService
from e91.delivery.tls.contexts import read_credentials

_LOG = logging.getLogger("e91.delivery")
_BODY_BYTES = 2**21  # 128 keys of 4 KiB in base64, with what is said of them


def border_saes(file: ServiceFile) -> dict[str, str]:
    """Return the names under which KMEs take keys for themselves, each with its KME."""
    return {border_sae(kme.id): kme.id for kme in file.tables.kmes}


class Border:
    """One border: a KME of this network, one of another network, and the keys between them.

    Attributes:
        entry: What was configured.
        side: Our network.
        handover: The keys.
        listener: The port at which the other KME calls.
    """

    def __init__(
        self,
        file: ServiceFile,
        entry: PeerNetworkEntry,
        service: KeyService,
        *,
        clock: Callable[[], float],
        limits: RetryLimits,
    ) -> None:
        self.entry = entry
        (kme,) = (kme for kme in file.tables.kmes if kme.id == entry.kme)
        tls = entry.tls_files(kme, file.folder)
        read_credentials(tls)  # first, as it says best what is wrong with a file
        self.side = NetworkSide(service, entry.kme, entry.peer, file.sae_kmes)
        self._ledger = TransferLedger(ledger_path(file.folder, entry))
        self.handover = Handover(
            self._ledger,
            HttpsPeer(entry.url, peer=entry.peer, tls=tls, timeout_s=limits.call_s),
            self.side,
            callback="",
            clock=clock,
            random=_fraction,
            limits=limits,
            peer=entry.peer,
        )
        policy = PeerPolicy(
            entry.peer,
            entry.url + ACKS,
            local=frozenset(file.sae_kmes),
            behind_peer=frozenset(entry.saes),
            accept_from=None if entry.accept_from is None else frozenset(entry.accept_from),
        )
        self.listener = Listener(
            PeerDoor(self.handover, policy),
            address=parse_address(entry.listen),
            tls=tls,
            limits=DoorLimits(body_bytes=_BODY_BYTES),
        )
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen, and go on with what was under way."""
        await self.handover.start()
        try:
            await self.listener.start()
        except ValueError:
            await self.handover.close()
            raise
        at = self.entry.callback or f"https://{self.listener.address}"
        self.handover.callback = at + ACKS
        self._task = asyncio.create_task(self.handover.run())
        self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Spend no more keys if the handover has ended by a bug, and say so."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self.handover.is_reachable = False
            _LOG.error("handing over has ended", exc_info=error, extra={"peer": self.entry.peer})

    async def stop(self) -> None:
        """Take no more; what is under way goes on at the next start."""
        await self.listener.stop()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.handover.close()


class Borders:
    """All borders of a server.

    Args:
        file: Its configuration.
        service: The keys of its KMEs, with `border_saes` among its applications.
        clock: Seconds since 1970.
        limits: Of the times of handing over.

    Raises:
        ValueError: An entry makes no sense, or a file of TLS does not.
    """

    def __init__(
        self,
        file: ServiceFile,
        service: KeyService,
        *,
        clock: Callable[[], float] = time.time,
        limits: RetryLimits = USUAL_LIMITS,
    ) -> None:
        self._open = AsyncExitStack()
        self.borders = [
            Border(file, entry, service, clock=clock, limits=limits)
            for entry in file.tables.peer_networks
        ]
        crossings = {
            sae: (border.side, border.handover)
            for border in self.borders
            for sae in border.entry.saes
        }
        self.giver = BorderService(service, crossings, clock=clock) if crossings else service

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._open.aclose()
            raise
        return self

    async def _start(self) -> None:
        for border in self.borders:
            await border.start()
            self._open.push_async_callback(border.stop)
            where = {"listen": str(border.listener.address), "peer": border.entry.peer}
            _LOG.info("a border to another network is open", extra=where)

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()


def ledger_path(folder: Path, entry: PeerNetworkEntry) -> Path:
    """Return the file of a border's transfers: beside the configuration, named by both KMEs."""
    names = (quote(name, safe="") for name in (entry.kme, entry.peer))
    return folder / f"{'-to-'.join(names)}.transfers"


def _fraction() -> float:
    """Return a uniform number from 0 to below 1, for the time of a retry."""
    return secrets.randbits(53) / 2**53
