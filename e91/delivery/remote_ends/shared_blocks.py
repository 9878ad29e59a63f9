"""What a message of the other end changes here: decisions of the writer, without a socket.

Either end gives only what both have.  An end cuts keys from its own side of a block, writes that
down, and then asks the other end to reserve them; until that is confirmed nobody has them.  A claim
counts such keys as free, so it never claims too little, and an end that burns what the other does
not claim never burns what somebody waits for.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import msgspec

from e91.delivery.group_commit import Batch
from e91.delivery.remote_ends.link_messages import (
    BlockClaim,
    LinkClaim,
    Reservations,
    digest_of,
)
from e91.keys.holdings.events import ID_SIZE, Granted, Partner, Voided, identifiers
from e91.keys.holdings.holdings import Holdings
from e91.keys.holdings.stored_keys import BlockState
from e91.model.errors import StoresDisagree

_LOG = logging.getLogger("e91.delivery")


@dataclass(frozen=True)
class RemoteLink:
    """A link whose other end is in another process.

    Attributes:
        home: The KME here.
        peer: The other one.
        saes_here: Applications at ``home``.
        saes_there: Applications at ``peer``.
    """

    home: str
    peer: str
    saes_here: frozenset[str]
    saes_there: frozenset[str]

    def __str__(self) -> str:
        return f"{self.home} - {self.peer}"


def sender_of(holdings: Holdings) -> Partner:
    """Return which store this is, and how far it is."""
    return Partner(holdings.store_id, holdings.number)


def claim_of(
    holdings: Holdings, peer: str, *, under_way: Iterable[Granted], opening: bytes
) -> LinkClaim:
    """Return what this end has of a link.

    Args:
        holdings: All that it has.
        peer: The KME at the other end.
        under_way: Keys that were cut here, and that the other end has not confirmed.
        opening: Of the store here, as in `LinkClaim`.
    """
    spans = {
        block.block_id: (block.front, block.back) for block in holdings.links.get(peer, {}).values()
    }
    for event in under_way:
        for block_id, start, stop in event.parts:
            front, back = spans.get(block_id, (start, stop))
            spans[block_id] = min(front, start), max(back, stop)
    blocks = tuple(
        BlockClaim(block_id, block.size, front, back, digest_of(block.provenance))
        for block_id, (front, back) in spans.items()
        if (block := holdings.blocks.get(block_id)) is not None
    )
    return LinkClaim(sender_of(holdings), blocks, opening)


def level(batch: Batch, link: RemoteLink, claim: LinkClaim, *, is_known: bool) -> None:
    """Burn what the other end has no more, and give from now on what both have.

    A block that the other end does not claim is not given: it has not come there yet.  If it was
    there once, or keys were cut from it, it is used up there, and the rest here goes.

    Args:
        batch: Where it is decided.
        link: Which link.
        claim: What the other end has.
        is_known: Whether the other store's opening was agreed with before.  Then an older claim is
            one that was overtaken by an answer, as two messages may be under way at once: what it
            lacks may have come since.

    Raises:
        StoresDisagree: The other store is older than it was, or another one.
    """
    holdings = batch.holdings(link.home)
    is_overtaken = is_known and claim.sender.number < holdings.partners[link.peer][0].number
    if not is_known:
        _check_store(holdings, link.peer, claim.sender)
    claimed = {one.block_id: one for one in claim.blocks}
    known = holdings.shared.get(link.peer, frozenset())
    shared: set[bytes] = set()
    for block in list(holdings.links.get(link.peer, {}).values()):
        other = claimed.get(block.block_id)
        if other is None and is_overtaken:
            shared |= known & {block.block_id}
        elif other is None:
            if block.block_id in known or block.free < block.size:
                _burn(batch, link, block, block.front, block.back)
        elif _is_same(block, other):
            shared.add(block.block_id)
            front, back = block.front, block.back
            _burn(batch, link, block, front, min(other.front, back))
            _burn(batch, link, block, max(other.back, front), back)
        else:
            _LOG.error("a block differs at the two ends", extra={"link": str(link)})
    holdings.share(link.peer, shared)
    remember(holdings, link.peer, claim.sender)


def remember(holdings: Holdings, peer: str, sender: Partner) -> None:
    """Note how far the other end's store is, so that one from a backup is found out."""
    known = holdings.partners.get(peer)
    if known is None or known[0].store_id != sender.store_id or known[0].number < sender.number:
        holdings.partners[peer] = (sender, holdings.number)


def _check_store(holdings: Holdings, peer: str, sender: Partner) -> None:
    known = holdings.partners.get(peer)
    if known is None:
        return
    if known[0].store_id == sender.store_id:
        if sender.number < known[0].number:
            raise StoresDisagree(
                f"The store of `{peer}` must know all that it decided with `{holdings.kme}`, but "
                "is older: never open a backup of a key store."
            )
    elif any(_is_touched(block) for block in holdings.links.get(peer, {}).values()):
        raise StoresDisagree(
            f"The store of `{peer}` must be the one that shares key with that of "
            f"`{holdings.kme}`, but is another."
        )


def _is_touched(block: BlockState) -> bool:
    return block.free < block.size


def _is_same(block: BlockState, claim: BlockClaim) -> bool:
    fits = 0 <= claim.front <= claim.back <= claim.size == block.size
    return fits and claim.origin == digest_of(block.provenance)


def _burn(batch: Batch, link: RemoteLink, block: BlockState, start: int, stop: int) -> None:
    """Let go of free bytes at one end of a block."""
    if start < stop:
        part = (block.block_id, start, stop)
        batch.apply(link.home, Granted(link.peer, (part,), stop - start, b"", "", ()))


def reserve(batch: Batch, link: RemoteLink, asked: Reservations, *, now: float) -> tuple[bool, ...]:
    """Reserve keys that the other end has cut; return of each whether that can be.

    Of a block that the other end cuts from, what lies before the key on its side is used up there:
    it goes here, too.  The moment is that of this machine: clocks of two may
    differ.
    """
    holdings = batch.holdings(link.home)
    withdrawn = [
        key_id for key_id in identifiers(asked.withdrawn) if _may_withdraw(holdings, link, key_id)
    ]
    if withdrawn:
        batch.apply(link.home, Voided(b"".join(withdrawn)))
    remember(holdings, link.peer, asked.sender)
    return tuple(
        _is_reserved(batch, link, msgspec.structs.replace(event, at=now)) for event in asked.granted
    )


def _may_withdraw(holdings: Holdings, link: RemoteLink, key_id: bytes) -> bool:
    if len(key_id) != ID_SIZE:
        return False
    if key_id in holdings.keys:
        return holdings.keys[key_id][0].event.peer == link.peer
    return not holdings.was_here(key_id)


def _is_reserved(batch: Batch, link: RemoteLink, event: Granted) -> bool:
    holdings = batch.holdings(link.home)
    if not (_names_fit(holdings, link, event) and _places_fit(holdings.blocks, link, event)):
        _LOG.warning("keys of the other end are not reserved", extra={"link": str(link)})
        return False
    for block_id, start, stop in event.parts:
        block = holdings.blocks[block_id]
        if link.peer < link.home:  # it cuts from the front
            _burn(batch, link, block, block.front, start)
        else:
            _burn(batch, link, block, stop, block.back)
    batch.apply(link.home, event)
    return True


def _names_fit(holdings: Holdings, link: RemoteLink, event: Granted) -> bool:
    """Return whether keys are new, and for applications here."""
    ids = identifiers(event.ids)
    return (
        event.peer == link.peer
        and event.given == 0
        and event.master in link.saes_there
        and _are_distinct(event.slaves)
        and link.saes_here.issuperset(event.slaves)
        and _are_distinct(ids)
        and all(len(one) == ID_SIZE and any(one) and not holdings.was_here(one) for one in ids)
    )


def _places_fit(blocks: Mapping[bytes, BlockState], link: RemoteLink, event: Granted) -> bool:
    """Return whether keys lie in what is free here, and are as large as they say."""
    number, sizes = len(event.ids) // ID_SIZE, [stop - start for _, start, stop in event.parts]
    total = event.size * number
    return (
        event.size > 0
        and sum(sizes) == total
        and (len(sizes) == 1 or number == 1)
        and len(event.mask) in ((total,) if event.origin is not None else (0,))
        and _are_distinct([block_id for block_id, _, _ in event.parts])
        and all(
            (block := blocks.get(block_id)) is not None
            and block.peer == link.peer
            and not block.is_barred
            and block.front <= start < stop <= block.back
            for block_id, start, stop in event.parts
        )
    )


def _are_distinct(names: Collection[object]) -> bool:
    return bool(names) and len(set(names)) == len(names)
