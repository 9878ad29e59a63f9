"""Keys for two applications, one of them in another network.

A request takes key that the border shares with the asking application's KME, passes it on, and
waits a moment for the far end.  If that takes longer, the request fails for now; the keys go on,
and the next request of the same pair gets them.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from e91.delivery.between_networks.carrying import (
    PROVENANCE,
    NetworkSide,
    as_extension,
    border_sae,
    over_border,
    said_provenance,
)
from e91.delivery.between_networks.handover import Handover
from e91.delivery.between_networks.outgoing import (
    UNACKNOWLEDGED,
    Extension,
    Outgoing,
    OutgoingState,
)
from e91.delivery.between_networks.peer_messages import is_sae_id
from e91.delivery.service import KeyService, Stock
from e91.keys.key_blocks import HeldKey, KeyConditions
from e91.keys.provenance import Provenance
from e91.model.errors import ConditionsNotMet, NotEnoughKey, StoreFailed, UnknownKey, UnknownSae

_ANY = KeyConditions()
_BITS = "E32473_e91_bits"  # extension: the size of a key


class BorderService:
    """The keys of our KMEs, and those that are handed over to other networks.

    Args:
        service: Of our KMEs.
        crossings: For every SAE of other networks, how keys with it are handed over.
        patience_s: Seconds for which a request waits for the far end.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        service: KeyService,
        crossings: Mapping[str, tuple[NetworkSide, Handover]],
        *,
        patience_s: float = 4.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._service, self._crossings = service, crossings
        self._patience_s, self._clock = patience_s, clock

    async def give(
        self,
        master: str,
        slaves: Sequence[str],
        *,
        number: int = 1,
        size: int = 256,
        conditions: KeyConditions = _ANY,
    ) -> list[HeldKey]:
        """Give new keys; see `KeyService.give`.

        Raises:
            UnknownSae: Some slaves are of this network and others not, or of several others.
            NotEnoughKey: The far end has not acknowledged them yet, or its network is silent.
        """
        crossings = {self._crossings.get(slave) for slave in slaves}
        if crossings == {None} or not slaves:
            return await self._service.give(
                master, slaves, number=number, size=size, conditions=conditions
            )
        if len(crossings) > 1:
            raise UnknownSae("The slaves of a key must all be of one network, but are not.")
        (crossing,) = crossings
        assert crossing is not None
        return await _Crossing(*crossing, self._clock, self._patience_s).give(
            master, tuple(slaves), number=number, size=size, conditions=conditions
        )

    async def fetch(self, slave: str, master: str, *, key_ids: Sequence[UUID]) -> list[HeldKey]:
        """Give keys by their identifiers; see `KeyService.fetch`."""
        return await self._service.fetch(slave, master, key_ids=key_ids)

    def stock(self, master: str, slave: str, *, conditions: KeyConditions = _ANY) -> Stock:
        """Return what one application can be given for another one.

        For one of another network: what the border shares with the master's KME, at most.
        """
        crossing = self._crossings.get(slave)
        if crossing is None:
            return self._service.stock(master, slave, conditions=conditions)
        side, handover = crossing
        stock = self._service.stock(border_sae(side.border), master, conditions=conditions)
        silent = None if handover.is_reachable else f"the network of {slave} does not answer"
        return replace(stock, source=stock.target, target=side.peer, alarm=stock.alarm or silent)


class _Crossing:
    """Requests for keys with applications of another network."""

    def __init__(
        self, side: NetworkSide, handover: Handover, clock: Callable[[], float], patience_s: float
    ) -> None:
        self._side, self._handover = side, handover
        self._clock, self._patience_s = clock, patience_s

    async def give(
        self,
        master: str,
        slaves: tuple[str, ...],
        *,
        number: int,
        size: int,
        conditions: KeyConditions,
    ) -> list[HeldKey]:
        """Give keys that the far end has, some of an earlier request perhaps."""
        demand = _of_a_crossing(conditions)
        self._check(master)
        keys = self._claim((master, slaves), number, size=size, mandatory=as_extension(demand))
        claimed = self._handover.claimed
        claimed |= {key.key_id for key in keys}
        try:
            if len(keys) < number:
                keys += await self._hand_over(
                    (master, slaves), number - len(keys), size=size, demand=demand
                )
                claimed |= {key.key_id for key in keys}
            return await self._wait_and_collect(master, [key.key_id for key in keys], demand)
        finally:
            claimed -= {key.key_id for key in keys}

    def _check(self, master: str) -> None:
        """Refuse an application whose keys cannot be handed over.

        Raises:
            UnknownSae: It is at the border itself, or its name is none in the other network.
        """
        if self._side.sae_kmes.get(master) == self._side.border or not is_sae_id(master):
            raise UnknownSae(
                f"`{master}` must be at another KME than the border's, and be named with "
                "characters of a URI, to have keys with another network."
            )

    def _claim(
        self,
        pair: tuple[str, tuple[str, ...]],
        number: int,
        *,
        size: int,
        mandatory: Extension,
    ) -> list[Outgoing]:
        """Return keys of an earlier request that nobody waits for; those that are there first."""
        handover = self._handover
        known = handover.relayed(pair)
        if handover.is_reachable:
            known += handover.unacknowledged(pair)
        fitting = [
            key
            for key in known
            if key.key_id not in handover.claimed
            and key.mandatory == mandatory
            and key.extension.get(_BITS) == size
        ]
        return fitting[:number]

    async def _hand_over(
        self,
        pair: tuple[str, tuple[str, ...]],
        number: int,
        *,
        size: int,
        demand: KeyConditions,
    ) -> list[Outgoing]:
        """Take keys from what the border shares with the master's KME, and send them."""
        if not self._handover.is_reachable:
            raise NotEnoughKey("The other network does not answer: its keys must wait.")
        side, now = self._side, self._clock()
        keys = await side.service.give(
            border_sae(side.border), [pair[0]], number=number, size=size, conditions=demand
        )
        sent = [
            Outgoing(
                key.key_id, *pair, key.content,
                {PROVENANCE: key.provenance.as_json(), _BITS: size},
                as_extension(demand), {}, now, now,
            )
            for key in keys
        ]  # fmt: skip
        try:
            await self._handover.send(sent)
        except StoreFailed:
            for key in sent:
                await side.void_near(key)
            raise
        return sent

    async def _wait_and_collect(
        self, master: str, key_ids: list[UUID], demand: KeyConditions
    ) -> list[HeldKey]:
        """Wait for the far end, and give out what it has."""
        find = self._handover.find_outgoing

        def is_decided() -> bool:
            states = [key and key.state for key in map(find, key_ids)]
            return all(state not in UNACKNOWLEDGED for state in states)

        await self._handover.settled(is_decided, within_s=self._patience_s)
        keys = [find(key_id) for key_id in key_ids]
        relayed = [key for key in keys if key and key.state is OutgoingState.RELAYED]
        if len(relayed) < len(key_ids):
            raise NotEnoughKey("The other network does not have the keys yet: ask again soon.")
        return await self._collect(master, relayed, demand)

    async def _collect(
        self, master: str, keys: list[Outgoing], demand: KeyConditions
    ) -> list[HeldKey]:
        """Give out keys that are relayed: once, and only if their whole way is as demanded."""
        side, key_ids = self._side, [key.key_id for key in keys]
        wholes = [self._whole(key) for key in keys]
        if not all(demand.are_met_by(whole, now=self._clock()) for whole in wholes):
            await self._handover.make_void(key_ids)
            raise ConditionsNotMet("The far part of the way does not meet the conditions.")
        try:
            # First taken, then noted: a key that is lost between is given to nobody.
            held = await side.service.fetch(master, border_sae(side.border), key_ids=key_ids)
            await self._handover.hand_out(key_ids)
        except (UnknownKey, ValueError):
            await self._handover.make_void(key_ids)
            raise NotEnoughKey("A key became void on its way: ask again.") from None
        return [replace(key, provenance=whole) for key, whole in zip(held, wholes, strict=True)]

    def _whole(self, key: Outgoing) -> Provenance:
        """Return where a key comes from over both networks."""
        origin, side = said_provenance(key.extension), self._side
        assert origin is not None
        target = said_provenance(key.far_extension)
        return over_border(origin, target, borders=(side.border, side.peer))


def _of_a_crossing(conditions: KeyConditions) -> KeyConditions:
    """Return what each part of a way must meet.

    Raises:
        ConditionsNotMet: No way over a border can.
    """
    if conditions.route_type == "link" or (conditions.disjoint_paths or 1) > 1:
        raise ConditionsNotMet("Two KMEs at the border know every key between two networks.")
    return replace(conditions, route_type=None, disjoint_paths=None)
