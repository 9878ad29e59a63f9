"""A key of another network inside this one: carried from the border to its applications.

It goes under one-time pad of the key that the border and the KME of the applications share.  The
border is a trusted relay, and named as one; the other network's part of the way is as its KME says.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import msgspec

from e91.delivery.between_networks.incoming import Incoming
from e91.delivery.between_networks.outgoing import Extension, Outgoing
from e91.delivery.service import KeyService
from e91.keys.key_blocks import HeldKey, KeyConditions
from e91.keys.provenance import Provenance
from e91.model.errors import ConditionsNotMet, RepeatedKey, UnknownSae

PROVENANCE = "E32473_e91_provenance"
"""Extension in which a network says where its part of a key comes from."""

CONDITIONS = "E32473_e91_conditions"
"""Mandatory extension: what the provenance must meet."""


def border_sae(kme: str) -> str:
    """Return the name under which a KME takes keys for itself; no certificate can have it.

    Examples:
        >>> border_sae("border-1")
        '020:border-1'
    """
    return f"020:{kme}"


@dataclass(frozen=True, eq=False)
class NetworkSide:
    """Our network as transfers see it.

    Attributes:
        service: The keys of our KMEs.
        border: Our KME at the border.
        peer: The other network's.
        sae_kmes: The KME of every SAE of this network.
    """

    service: KeyService
    border: str
    peer: str
    sae_kmes: Mapping[str, str]

    def kme_of(self, saes: Sequence[str]) -> str:
        """Return the one KME that some SAEs of this network have.

        Raises:
            UnknownSae: One is not of our network, or they have several.
        """
        kmes = {self.sae_kmes.get(sae) for sae in saes}
        if len(kmes) != 1 or None in kmes:
            raise UnknownSae("The applications of a key must be at one KME of this network.")
        (kme,) = kmes
        assert kme is not None
        return kme

    async def carry(self, key: Incoming) -> Extension:
        """Bring a key to the KME of its applications; see `Carrier.carry`."""
        assert key.value is not None
        kme, origin = self.kme_of(key.targets), said_provenance(key.extension)
        if origin is None:
            raise ConditionsNotMet("The other network must say where a key comes from.")
        brought, here = key.value, None
        if kme != self.border:
            brought, here = await self._padded(key, key.value, kme)
        whole = over_border(origin, here, borders=(self.peer, self.border))
        with suppress(RepeatedKey):  # there from an attempt that was interrupted, or void by now
            await self.service.keep(
                kme, HeldKey(key.key_id, brought, whole), master=key.initiator, slaves=key.targets
            )
        return {} if here is None else {PROVENANCE: here.as_json()}

    async def _padded(self, key: Incoming, value: bytes, kme: str) -> tuple[bytes, Provenance]:
        """Return a key as it arrives at a KME, and where the pad comes from."""
        ends = border_sae(self.border), border_sae(kme)
        (pad,) = await self.service.give(
            ends[0], [ends[1]], size=8 * len(value), conditions=conditions_of(key.mandatory)
        )
        sent = _sum(value, pad.content)
        (far,) = await self.service.fetch(ends[1], ends[0], key_ids=[pad.key_id])
        return _sum(sent, far.content), pad.provenance

    async def void_far(self, key: Incoming | UUID, targets: Sequence[str]) -> bool:
        """Make a key void; see `Carrier.void_far`."""
        try:
            kme = self.kme_of(targets)
        except UnknownSae:
            return False
        key_id = key.key_id if isinstance(key, Incoming) else key
        return (await self.service.void(kme, [key_id]))[key_id] == "delivered"

    async def void_near(self, key: Outgoing) -> None:
        """Make the initiator's copy void, which waits at its KME."""
        await self.service.void(self.kme_of([key.initiator]), [key.key_id])


def over_border(
    origin: Provenance, target: Provenance | None, *, borders: tuple[str, str]
) -> Provenance:
    """Return where a key comes from that went over two networks.

    Args:
        origin: Of the part in the network of who asked for it, as that says.
        target: Of the part in the other one; None if its application is at the border itself.
        borders: The KMEs at the border: the origin's and the target's.

    Returns:
        No more than the weaker part may claim; both KMEs at the border knew the key, so that no
        number of paths inside a network counts.  The route begins where the key was asked for.
    """
    parts = [origin] if target is None else [origin, target]
    first = _towards(origin.route, borders[0])
    last = borders[1:] if target is None else _towards(target.route, borders[1])[::-1]
    behind = () if target is None else target.relays
    relays = tuple(dict.fromkeys((*origin.relays, *borders, *behind)))
    joined = Provenance.joined(parts)
    return replace(joined, route=(*first, *last), relays=relays, disjoint_paths=1)


def _towards(route: tuple[str, ...], end: str) -> tuple[str, ...]:
    """Return a route so that it ends at its end."""
    return route[::-1] if route[:1] == (end,) else route


def said_provenance(extension: Extension | None) -> Provenance | None:
    """Return where a key comes from as the other network says; None if it says nothing good."""
    try:
        return Provenance.from_json((extension or {})[PROVENANCE])
    except (KeyError, ValueError):
        return None


def conditions_of(mandatory: Extension) -> KeyConditions:
    """Return what the provenance of a key must meet.

    Raises:
        ConditionsNotMet: It cannot be read.
    """
    try:
        return msgspec.convert(mandatory.get(CONDITIONS, {}), KeyConditions)
    except (ValueError, msgspec.ValidationError):
        raise ConditionsNotMet("The conditions of a key must be known ones.") from None


def as_extension(conditions: KeyConditions) -> Extension:
    """Return conditions as a mandatory extension; none if nothing is demanded."""
    plain: dict[str, Any] = msgspec.to_builtins(conditions)
    demanded = {name: value for name, value in plain.items() if value is not None}
    return {CONDITIONS: demanded} if demanded else {}


def _sum(one: bytes, other: bytes) -> bytes:
    """Return the sum modulo 2 of two texts of equal length."""
    total = int.from_bytes(one, "big") ^ int.from_bytes(other, "big")
    return total.to_bytes(len(one), "big")
