"""From a plan to a reply: what only the store can say, and what is written down of it.

After the checks of `plans`: an alarm or a failed store (503), extensions that cannot be met (400),
too little key (503).  Of key IDs: any that is known and for others (401) before any that is not
there (400), so that a foreigner learns nothing else.
"""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol
from uuid import UUID

from e91.delivery.etsi014.containers import KeyStock, key_container, status_document, text_of
from e91.delivery.etsi014.plans import FetchPlan, GivePlan, Plan, StatusPlan, plan_of, unlimited
from e91.delivery.etsi014.refusals014 import (
    KEYS_NOT_FOUND,
    MANDATORY_NOT_MET,
    Refused,
    bad_request,
    not_now,
    unauthorized,
)
from e91.delivery.etsi014.site import KeySite
from e91.delivery.http.exchange import HttpReply, HttpRequest, json_reply
from e91.keys.key_blocks import HeldKey, KeyConditions
from e91.model.errors import (
    ConditionsNotMet,
    ForeignKey,
    LinkAlarmed,
    NotDelivered,
    NotEnoughKey,
    OtherEndSilent,
    StoreFailed,
    UnknownKey,
    UnknownSae,
)

_LOG = logging.getLogger("e91.delivery")
_RETRY_S = 5.0  # after which a dry or stopped link is worth another request


class KeyGiver(Protocol):
    """Gives keys to masters and slaves, each once."""

    async def give(
        self,
        master: str,
        slaves: Sequence[str],
        *,
        number: int = 1,
        size: int = 256,
        conditions: KeyConditions = ...,
    ) -> list[HeldKey]:
        """Give new keys."""

    async def fetch(self, slave: str, master: str, *, key_ids: Sequence[UUID]) -> list[HeldKey]:
        """Give the keys with these IDs, all or none, in this order."""

    def stock(self, master: str, slave: str, *, conditions: KeyConditions = ...) -> KeyStock:
        """Return how much key there is."""


class DeliveryRecord(Protocol):
    """Writes down who got which key, before the reply leaves."""

    def note(
        self, event: str, *, kme: str, caller: str, peers: Sequence[str], key_ids: Sequence[str]
    ) -> None:
        """Write down a delivery.

        Raises:
            OSError: It cannot be written; then the keys are not delivered.
        """


class RequestCounts(Protocol):
    """Counts requests for the metrics."""

    def count(self, operation: str, *, status: int, keys: int, seconds: float) -> None:
        """Count a reply."""


class KeyDeliveryHandler:
    """Answers the requests of one KME.

    Attributes:
        site: The KME; replaced when its configuration is read anew.
    """

    def __init__(
        self,
        site: KeySite,
        keys: KeyGiver,
        *,
        record: DeliveryRecord,
        counts: RequestCounts,
        wait_s: Callable[[str], float] = unlimited,
    ) -> None:
        """Prepare the answers.

        Args:
            site: The KME.
            keys: Where keys come from.
            record: Who got which key.
            counts: Of requests.
            wait_s: As for `plan_of`.
        """
        self.site = site
        self._keys = keys
        self._record = record
        self._counts = counts
        self._wait_s = wait_s

    async def __call__(self, request: HttpRequest) -> HttpReply:
        """Return the reply to a request."""
        started = time.perf_counter()
        operation, number = "none", 0
        try:
            plan = plan_of(request, self.site, wait_s=self._wait_s)
            operation, number = _described(plan)
            reply = await self._fulfilled(plan)
        except Refused as refused:
            reply = refused.reply
            self._log_refusal(request, refused)
        seconds = time.perf_counter() - started
        keys = number if reply.status == 200 else 0
        self._counts.count(operation, status=reply.status, keys=keys, seconds=seconds)
        return reply

    def _log_refusal(self, request: HttpRequest, refused: Refused) -> None:
        facts = {"status": refused.status, "reason": refused.message, "kme": self.site.kme}
        _LOG.info("refused", extra=facts | {"sae": request.peer.sae})

    async def _fulfilled(self, plan: Plan) -> HttpReply:
        """Return the reply to a request that can be understood."""
        try:
            match plan:
                case StatusPlan():
                    return self._status(plan)
                case GivePlan():
                    return await self._given(plan)
                case FetchPlan():
                    return await self._fetched(plan)
        except NotDelivered as error:
            raise _refusal_of(error) from None
        except OSError as error:
            # What was taken is lost: delivered, it would be a key that nobody has written down.
            _LOG.error("a delivery could not be written down", extra={"reason": error.strerror})
            raise not_now("the delivery could not be recorded", retry_after_s=_RETRY_S) from None

    def _status(self, plan: StatusPlan) -> HttpReply:
        stock = self._keys.stock(plan.master, plan.slave)
        return json_reply(
            200, status_document(self.site, master=plan.master, slave=plan.slave, stock=stock)
        )

    async def _given(self, plan: GivePlan) -> HttpReply:
        keys, granted = await self._taken(plan)
        key_ids = [text_of(key.key_id) for key in keys]
        self._note("given", plan.master, peers=plan.slaves, key_ids=key_ids)
        return HttpReply(200, key_container(keys, key_ids, granted=granted))

    async def _taken(self, plan: GivePlan) -> tuple[list[HeldKey], Sequence[str]]:
        """Take keys, with the wishes granted if that can be."""
        if plan.wishes:
            try:
                return await self._take(plan, plan.wished), plan.wishes
            except (ConditionsNotMet, NotEnoughKey):
                pass
        return await self._take(plan, plan.conditions), ()

    async def _take(self, plan: GivePlan, conditions: KeyConditions) -> list[HeldKey]:
        return await self._keys.give(
            plan.master, plan.slaves, number=plan.number, size=plan.size, conditions=conditions
        )

    async def _fetched(self, plan: FetchPlan) -> HttpReply:
        try:
            keys = await self._keys.fetch(plan.slave, plan.master, key_ids=plan.key_ids)
        except UnknownSae:  # a master that is none has no keys here
            raise bad_request(KEYS_NOT_FOUND) from None
        key_ids = [text_of(key.key_id) for key in keys]
        self._note("fetched", plan.slave, peers=(plan.master,), key_ids=key_ids)
        return HttpReply(200, key_container(keys, key_ids))

    def _note(
        self, event: str, caller: str, *, peers: Sequence[str], key_ids: Sequence[str]
    ) -> None:
        self._record.note(event, kme=self.site.kme, caller=caller, peers=peers, key_ids=key_ids)


def _described(plan: Plan) -> tuple[str, int]:
    """Return the method that a plan is of, and the number of its keys."""
    match plan:
        case StatusPlan():
            return "status", 0
        case GivePlan():
            return "enc_keys", plan.number
        case FetchPlan():
            return "dec_keys", len(plan.key_ids)


def _refusal_of(error: NotDelivered) -> Refused:
    """Return what the caller reads of what the store said."""
    match error:
        case ForeignKey():
            return unauthorized()
        case UnknownKey():
            return bad_request(KEYS_NOT_FOUND)
        case ConditionsNotMet():
            return bad_request(MANDATORY_NOT_MET)
        case LinkAlarmed():
            return not_now(str(error), retry_after_s=_RETRY_S)
        case StoreFailed():
            return not_now("the key store has failed", retry_after_s=_RETRY_S)
        case OtherEndSilent():
            return not_now("the KME at the other end does not confirm keys", retry_after_s=_RETRY_S)
        case UnknownSae():
            return not_now("there is no link between the SAEs", retry_after_s=_RETRY_S)
        case _:
            return not_now("too little key is left for these SAEs", retry_after_s=_RETRY_S)
