"""The links of a server to KMEs of other processes: their ports, connections and tasks."""

import asyncio
import logging
from contextlib import AsyncExitStack
from typing import Self

from e91.delivery.configuration import RemoteKmeEntry, ServiceFile
from e91.delivery.http.exchange import HttpReply, HttpRequest, error_reply
from e91.delivery.http.limits import DoorLimits
from e91.delivery.http.listening import Listener, parse_address
from e91.delivery.remote_ends.link_calls import HttpsLinkCalls
from e91.delivery.remote_ends.link_messages import TYPE
from e91.delivery.remote_ends.remote_end import RemoteEnd
from e91.delivery.remote_ends.shared_blocks import RemoteLink
from e91.delivery.service import KeyService
from e91.delivery.tls.contexts import read_credentials
from e91.model.errors import NotDelivered

_LOG = logging.getLogger("e91.delivery")
_BODY_BYTES = 2**25  # a claim of half a million blocks


class _Door:
    """Answers the KME at the other end of one link, and nobody else."""

    def __init__(self, end: RemoteEnd) -> None:
        self._end = end

    async def __call__(self, request: HttpRequest) -> HttpReply:
        """Return the reply to a message."""
        if request.peer.kme != self._end.link.peer:
            return error_reply(401, "unauthorized")
        if request.method != "POST":
            return error_reply(405, "the method must be POST", ("Allow", "POST"))
        if request.body is None:
            return error_reply(413, "the body is too large")
        try:
            answer = await self._end.answer(request.target, request.body)
        except ValueError as error:
            return error_reply(400, str(error))
        except NotDelivered as error:
            facts = {"link": str(self._end.link), "reason": str(error)}
            _LOG.error("the other end of a link is refused", extra=facts)
            return error_reply(503, str(error))
        if answer is None:
            return error_reply(404, "no such resource")
        return HttpReply(200, answer, (TYPE,))


class _Side:
    """What belongs to one remote KME."""

    def __init__(self, file: ServiceFile, entry: RemoteKmeEntry, service: KeyService) -> None:
        (kme,) = (kme for kme in file.tables.kmes if kme.id == entry.kme)
        tls = entry.tls_files(kme, file.folder)
        read_credentials(tls)  # first, as it says best what is wrong with a file
        here = frozenset(sae for sae, at in file.sae_kmes.items() if at == entry.kme)
        link = RemoteLink(entry.kme, entry.id, here, frozenset(entry.saes))
        self.calls = HttpsLinkCalls(entry.url, peer=entry.id, tls=tls)
        self.end = RemoteEnd(link, service, self.calls)
        self.listener = Listener(
            _Door(self.end),
            address=parse_address(entry.listen),
            tls=tls,
            limits=DoorLimits(body_bytes=_BODY_BYTES),
        )
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen, and seek agreement."""
        await self.listener.start()
        self._task = asyncio.create_task(self.end.run())
        self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Give no more keys if a bug has ended the conversation, and say so."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self.end.give_up("A fault has ended the conversation with the other end.")
            _LOG.error("a link has ended", exc_info=error, extra={"link": str(self.end.link)})

    async def stop(self) -> None:
        """End the conversation."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self.end.give_up("The server is being stopped.")
        await self.listener.stop()
        await asyncio.to_thread(self.calls.close)


class RemoteKmes:
    """All links of a server whose other ends are in other processes.

    Args:
        file: The configuration.
        service: The keys of this process.

    Raises:
        ValueError: An entry makes no sense, or a file of TLS does not.
    """

    def __init__(self, file: ServiceFile, service: KeyService) -> None:
        self._sides = [_Side(file, entry, service) for entry in file.tables.remote_kmes]
        self._open = AsyncExitStack()

    @property
    def listeners(self) -> dict[str, Listener]:
        """The port at which each of them calls, by both KMEs."""
        return {str(side.end.link): side.listener for side in self._sides}

    async def __aenter__(self) -> Self:
        try:
            for side in self._sides:
                await side.start()
                self._open.push_async_callback(side.stop)
        except BaseException:
            await self._open.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def reload(self) -> None:
        """Read all certificates anew."""
        for side in self._sides:
            await side.listener.reload()
