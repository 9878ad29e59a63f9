"""One end of a link: it keeps in agreement with the other end, and asks it to reserve keys.

There is one conversation at a time.  What is cut while one is under way goes with the next, so the
number of messages does not grow with the load.  Whatever goes wrong ends the agreement: then no key
of the link is cut here or reserved for the other end until both have said anew what they have.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from e91.delivery.group_commit import Batch
from e91.delivery.remote_ends.link_messages import (
    CLAIMS,
    RESERVATIONS,
    Confirmation,
    LinkClaim,
    Reservations,
    packed,
    unpacked,
)
from e91.delivery.remote_ends.shared_blocks import (
    RemoteLink,
    claim_of,
    level,
    remember,
    reserve,
    sender_of,
)
from e91.delivery.service import KeyService
from e91.keys.holdings.events import Granted
from e91.keys.holdings.holdings import Holdings
from e91.model.errors import DeliveryFailed, NotDelivered, OtherEndSilent, StoresDisagree

_LOG = logging.getLogger("e91.delivery")

_MESSAGE_BYTES = 2**21
_OPENING_BYTES = 16
_SHORTEST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 15.0
_LOOK_S = 1.0  # whether the stores were opened anew


class LinkCalls(Protocol):
    """How the other end is asked."""

    async def ask(self, path: str, body: bytes) -> bytes:
        """Return the answer.

        Raises:
            DeliveryFailed: There is none, or a refusal.
        """


class RemoteEnd:
    """This end of a link whose other end is in another process.

    Attributes:
        link: Which link.
        failed: Why no key of it is given; None if both ends agree.

    Args:
        service: The keys of this process.
        calls: How the other end is asked.
    """

    def __init__(self, link: RemoteLink, service: KeyService, calls: LinkCalls) -> None:
        self.link = link
        self.failed: str | None = f"The other end of the link, {link.peer}, has not answered yet."
        self._service, self._calls = service, calls
        self._agreed_with: Holdings | None = None
        self._opening, self._opening_there = secrets.token_bytes(_OPENING_BYTES), b""
        self._under_way: dict[int, Granted] = {}
        self._queue: deque[tuple[Granted, asyncio.Future[None]]] = deque()
        self._withdrawn: list[bytes] = []
        self._has_news = True
        self._is_over = False
        self._work = asyncio.Event()
        service.connect(link.home, link.peer, self)

    # What the service asks of it.

    def check(self) -> None:
        """Refuse to cut keys that the other end cannot reserve.

        Raises:
            OtherEndSilent: The two ends do not agree now.
        """
        if not self._is_agreed:
            raise OtherEndSilent(self.failed or "The other end of the link must agree anew.")

    def promise(self, granted: Granted) -> None:
        """Note, in the moment in which they are cut, that keys must be reserved."""
        self._under_way[id(granted)] = granted

    async def reserve(self, promised: Sequence[Granted]) -> None:
        """Have promised keys reserved at the other end; nobody may have them before.

        Raises:
            OtherEndSilent: They are not, or nobody knows; the keys are lost.
        """
        if self._is_over:
            raise OtherEndSilent(self.failed or "The server is being stopped.")
        loop = asyncio.get_running_loop()
        answers = [(granted, loop.create_future()) for granted in promised]
        self._queue.extend(answers)
        self._work.set()
        outcomes = await asyncio.gather(*(one for _, one in answers), return_exceptions=True)
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    def withdraw(self, ids: bytes) -> None:
        """Make keys void at the other end that no master got."""
        self._withdrawn.append(ids)
        self._work.set()

    def tell(self) -> None:
        """Tell the other end, as soon as it can be, what there is: a block came in."""
        self._has_news = True
        self._work.set()

    def give_up(self, reason: str) -> None:
        """Give no key of the link any more, and tell those who wait."""
        self._is_over = True
        self._lose(reason)

    # What the other end asks.

    async def answer(self, path: str, body: bytes) -> bytes | None:
        """Return the answer to a message of the other end, or None if there is no such path.

        Raises:
            ValueError: The message cannot be read.
            NotDelivered: The stores do not fit, or have failed.
        """
        if path == CLAIMS:
            claim = unpacked(body, LinkClaim)
            try:
                await self._level(claim)
            except StoresDisagree as error:
                self._lose(str(error))
                raise
            return packed(self._claim())
        if path == RESERVATIONS:
            return packed(await self._confirmed(unpacked(body, Reservations)))
        return None

    async def _confirmed(self, asked: Reservations) -> Confirmation:
        if not self._is_agreed:
            return Confirmation(sender_of(self._holdings), False, ())

        def decide(batch: Batch) -> tuple[bool, ...]:
            return reserve(batch, self.link, asked, now=self._service.now())

        taken = await self._service.decided(decide)
        return Confirmation(sender_of(self._holdings), True, taken)

    # What it does by itself.

    async def run(self) -> None:
        """Agree, and pass on what is cut, until cancelled."""
        pause_s = _SHORTEST_PAUSE_S
        while True:
            if self._has_news or not self._is_agreed:
                if not await self._agrees():
                    await self._wait(pause_s)  # or until the other end calls
                    pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                    continue
                pause_s = _SHORTEST_PAUSE_S
            if not (self._queue or self._withdrawn):
                await self._wait(_LOOK_S)
            if self._is_agreed and (self._queue or self._withdrawn):
                await self._pass_on()

    async def _wait(self, longest_s: float) -> None:
        self._work.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(longest_s):
                await self._work.wait()

    @property
    def _holdings(self) -> Holdings:
        return self._service.holdings(self.link.home)

    @property
    def _is_agreed(self) -> bool:
        return self._agreed_with is self._holdings and self._service.failed is None

    def _claim(self) -> LinkClaim:
        return claim_of(
            self._holdings,
            self.link.peer,
            under_way=self._under_way.values(),
            opening=self._opening,
        )

    async def _agrees(self) -> bool:
        """Tell the other end what there is, and heed what it answers; return whether that works."""
        if self._service.failed is not None:
            return False
        if self._agreed_with is not None and self._agreed_with is not self._holdings:
            self._lose("The stores were opened anew.")
            self._opening = secrets.token_bytes(_OPENING_BYTES)
        self._has_news = False
        try:
            body = await self._calls.ask(CLAIMS, packed(self._claim()))
            await self._level(unpacked(body, LinkClaim))
        except (DeliveryFailed, NotDelivered, ValueError) as error:
            self._lose(str(error))
            return False
        return True

    async def _level(self, claim: LinkClaim) -> None:
        """Burn what the other end has no more; from then on both agree."""

        def decide(batch: Batch) -> Holdings:
            level(batch, self.link, claim, is_known=claim.opening == self._opening_there)
            return batch.holdings(self.link.home)

        holdings = await self._service.decided(decide)
        if holdings is not self._agreed_with:  # what was under way is lost, or settled
            self._under_way.clear()
        self._agreed_with, self._opening_there = holdings, claim.opening
        if self.failed is not None:
            _LOG.info("the ends of a link agree", extra={"link": str(self.link)})
        self.failed = None
        self._work.set()

    async def _pass_on(self) -> None:
        """Send what was cut, and tell those who wait what became of it."""
        sent, size = [], 0
        while self._queue and size < _MESSAGE_BYTES:
            sent.append(self._queue.popleft())
            size += len(sent[-1][0].ids) + len(sent[-1][0].mask) + 100
        withdrawn, self._withdrawn = self._withdrawn, []
        granted = tuple(event for event, _ in sent)
        message = Reservations(sender_of(self._holdings), granted, b"".join(withdrawn))
        try:
            body = await self._calls.ask(RESERVATIONS, packed(message))
            answer = unpacked(body, Confirmation)
        except (DeliveryFailed, ValueError) as error:
            self._withdrawn += withdrawn
            self._refuse(sent, str(error))
            self._lose(str(error))
            return
        except asyncio.CancelledError:
            self._refuse(sent, "The server is being stopped.")
            raise
        self._heed(answer, sent, withdrawn)

    def _heed(
        self,
        answer: Confirmation,
        sent: Sequence[tuple[Granted, asyncio.Future[None]]],
        withdrawn: Sequence[bytes],
    ) -> None:
        if not answer.is_agreed or len(answer.taken) != len(sent):
            self._withdrawn += withdrawn
            words = f"The other end of the link, {self.link.peer}, must agree, but was begun anew."
            self._refuse(sent, words)
            self._lose(words)
            return
        remember(self._holdings, self.link.peer, answer.sender)
        for taken, one in zip(answer.taken, sent, strict=True):
            if taken:
                self._settle(*one, None)
            else:  # both ends gave the same bytes in one moment: both keys are lost
                self._refuse(
                    [one], "The other end of the link must have the key free, but has not."
                )
                self._has_news = True

    def _lose(self, reason: str) -> None:
        """Give no key until both ends have agreed anew."""
        self._agreed_with = None
        if self.failed != reason:
            facts = {"link": str(self.link), "reason": reason}
            _LOG.warning("the ends of a link do not agree", extra=facts)
        self.failed = reason
        waiting = list(self._queue)
        self._queue.clear()
        self._refuse(waiting, reason)

    def _refuse(self, some: Sequence[tuple[Granted, asyncio.Future[None]]], reason: str) -> None:
        for event, future in some:
            self._settle(event, future, OtherEndSilent(reason))

    def _settle(
        self, event: Granted, future: asyncio.Future[None], failure: OtherEndSilent | None
    ) -> None:
        self._under_way.pop(id(event), None)
        if future.done():
            return
        if failure is None:
            future.set_result(None)
        else:
            future.set_exception(failure)
