"""Keys for applications: all key management entities (KMEs) of one process, over their stores.

A KME is one end of links: one site, one store.  Of the two KMEs of a block, the one whose name
sorts first cuts keys from the front, the other from the back.  The application that asks, the
master, gets the key at once; at the other end it is reserved for the slaves, by an identifier and
intervals, never by bits.  Both are on the disk before the master has its answer.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar
from uuid import UUID

from e91.delivery.group_commit import Batch, Decision, GroupCommit
from e91.keys.databases.interface import KeyDatabase
from e91.keys.holdings.cutting import Cut, bytes_meeting, cut_keys
from e91.keys.holdings.events import (
    ID_SIZE,
    Cleared,
    Deposited,
    Fetched,
    Granted,
    Rang,
    Voided,
    identifiers,
)
from e91.keys.holdings.holdings import READY_MADE, Holdings, link_of
from e91.keys.holdings.stored_keys import BlockState, Grant, KeyRun
from e91.keys.key_blocks import HeldKey, KeyBlock, KeyConditions
from e91.keys.provenance import Provenance
from e91.model.errors import (
    ConditionsNotMet,
    ForeignKey,
    LinkAlarmed,
    NotEnoughKey,
    OtherEndSilent,
    RepeatedKey,
    UnknownKey,
    UnknownSae,
)
from e91.model.numbers import check_whole

_ANY = KeyConditions()
_Value = TypeVar("_Value")


class FarEnd(Protocol):
    """The other end of a link, in another process: it reserves what is cut here."""

    @property
    def failed(self) -> str | None:
        """Why no key of the link is given; None if both ends agree."""

    def check(self) -> None:
        """Raise `OtherEndSilent` if nothing can be reserved there now."""

    def promise(self, granted: Granted) -> None:
        """Note that keys are being cut which must be reserved there."""

    async def reserve(self, promised: Sequence[Granted]) -> None:
        """Have them reserved, or raise `OtherEndSilent`."""

    def withdraw(self, ids: bytes) -> None:
        """Make keys void there that no master got."""

    def tell(self) -> None:
        """Tell it that a block came in here."""


@dataclass(frozen=True)
class Stock:
    """What one application can be given for another one.

    Attributes:
        source: The KME of the master.
        target: The KME of the slave.
        bits: Free key bits that meet the conditions.
        blocks: How many blocks they lie in.
        provenance: Where they come from, joined; None if there are none.
        alarm: Why the link gives no key; None if no alarm stops it.
        failed: Why no key is given at all; None if the stores are open.

    Examples:
        >>> empty = Stock("alice", "bob", 0, 0, provenance=None, alarm=None, failed=None)
        >>> empty.bits // 256  # keys of 256 bits that can be asked for
        0
    """

    source: str
    target: str
    bits: int
    blocks: int
    provenance: Provenance | None
    alarm: str | None
    failed: str | None


@dataclass(frozen=True)
class LinkKeyState:
    """The key of a link at one of its ends; bits.

    Attributes:
        peer: The KME at the other end.
        free: That nobody was given.
        reserved: That somebody may still fetch.
        deposited: That ever came in.
        delivered: That were handed to applications here, or used as one-time pad.
        voided: That were erased without.
        blocks: Number of blocks with something free.
        provenance: Of what is free, joined; None if nothing is.
        alarm: Why the link gives no key; None if no alarm stops it.
        silent: Why the other end, if it is in another process, confirms no key; None if it does.

    Examples:
        >>> link = LinkKeyState("bob", free=256, reserved=0, deposited=512, delivered=256, voided=0,
        ...     blocks=1, provenance=None, alarm=None)
        >>> link.deposited == link.free + link.reserved + link.delivered + link.voided
        True
    """

    peer: str
    free: int
    reserved: int
    deposited: int
    delivered: int
    voided: int
    blocks: int
    provenance: Provenance | None
    alarm: str | None
    silent: str | None = None


@dataclass(frozen=True)
class KmeState:
    """What one KME holds and has done.

    Attributes:
        kme: Its name.
        links: Its links, by the name of the other end.
        ready_made_bits: Of keys that came ready-made and wait.
        keys_given: Keys that applications here were given as masters.
        keys_fetched: Keys that they fetched as slaves.
        keys_waiting: Keys that wait for slaves here.
        keys_voided: Keys that waited and became void.
        failed: Why no key is given; None if the stores are open.

    Examples:
        >>> state = KmeState("alice", (), ready_made_bits=0, keys_given=3, keys_fetched=1,
        ...     keys_waiting=2, keys_voided=0, failed=None)
        >>> state.keys_given, state.links
        (3, ())
    """

    kme: str
    links: tuple[LinkKeyState, ...]
    ready_made_bits: int
    keys_given: int
    keys_fetched: int
    keys_waiting: int
    keys_voided: int
    failed: str | None


class KeyService:
    """All KMEs of one process.

    Args:
        stores: The store of each KME, by its name.
        sae_kmes: At which KME an application (SAE) is, by its name.
        remote_links: Links whose other end is in another process: the KME here, and that one.
            They give keys when the other end is there, see `connect`.
        clock: Seconds since 1970.
        reopen_after_s: How long after a failure the stores are opened anew, twice as long after
            each further one; None leaves them shut until `reopen` is called.

    Raises:
        ValueError: An application is at a KME without a store that is no remote one either.

    Source:
        ETSI GS QKD 014 V1.1.1, clauses 5.2 to 5.4 (what masters and slaves are given);
        `e91.delivery.etsi014` puts it into the standard's words.

    Examples:
        >>> import asyncio, tempfile
        >>> from pathlib import Path
        >>> from e91.keys.databases.sqlite import SqliteDatabase
        >>> from e91.model.trust import SecurityModel
        >>> origin = Provenance(SecurityModel.TRUSTED_ANALYSERS, None, None, 1e-10, True,
        ...     2.7, 2.6, ("alice", "bob"), (), 1, False, 1.7e9, "session 1")
        >>> block = KeyBlock(UUID(int=7), bytes(64), origin)
        >>> async def example(folder):
        ...     stores = {kme: SqliteDatabase(Path(folder, kme)) for kme in ("alice", "bob")}
        ...     service = KeyService(stores, sae_kmes={"app-a": "alice", "app-b": "bob"})
        ...     await service.start()
        ...     await service.deposit({"alice": block, "bob": block})
        ...     [given] = await service.give("app-a", ["app-b"], size=256)
        ...     [fetched] = await service.fetch("app-b", "app-a", key_ids=[given.key_id])
        ...     found = given.content == fetched.content, service.stock("app-a", "app-b").bits
        ...     await service.close()
        ...     return found
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     asyncio.run(example(folder))
        (True, 256)
    """

    def __init__(
        self,
        stores: Mapping[str, KeyDatabase],
        *,
        sae_kmes: Mapping[str, str],
        remote_links: Iterable[tuple[str, str]] = (),
        clock: Callable[[], float] = time.time,
        reopen_after_s: float | None = 1.0,
    ) -> None:
        links = list(remote_links)
        for sae, kme in sae_kmes.items():
            if kme not in stores and not any(kme == peer for _, peer in links):
                raise ValueError(f"The KME of `{sae}` must have a store, but `{kme}` has none.")
        if READY_MADE in stores:
            raise ValueError("The name of a KME must not be empty, but one is.")
        self._sae_kmes = dict(sae_kmes)
        self._clock = clock
        self._known_provenances: dict[
            tuple[str, str], tuple[tuple[bytes, int], Provenance | None]
        ] = {}
        self._ends: dict[tuple[str, str], FarEnd] = {}
        self._writer = GroupCommit(stores, remote_links=links, reopen_after_s=reopen_after_s)

    async def start(self) -> None:
        """Open the stores, put both ends of every link in agreement, and begin to serve.

        Raises:
            StoreFailed: A store is damaged, newer than this program or open elsewhere, or two do
                not belong together.
        """
        await self._writer.start()

    async def close(self) -> None:
        """Answer who waits, erase what is used, and shut the stores."""
        await self._writer.close()

    async def reopen(self) -> None:
        """Open the stores anew after a failure.

        Raises:
            StoreFailed: One cannot be opened.
        """
        await self._writer.reopen()

    @property
    def failed(self) -> str | None:
        """Why no key is given; None if the stores are open."""
        return self._writer.failed

    def kme_of(self, sae: str) -> str:
        """Return the KME at which an application is.

        Args:
            sae: Its SAE ID.

        Raises:
            UnknownSae: It is at none.
        """
        if sae not in self._sae_kmes:
            raise UnknownSae(f"An application must be at one of the KMEs, but `{sae}` is not.")
        return self._sae_kmes[sae]

    async def deposit(self, ends: Mapping[str, KeyBlock]) -> None:
        """Take in a block of key, each end its own copy; both have it, or none.

        Args:
            ends: Two KMEs, and the block at each: with one identifier, size and provenance.

        Raises:
            ValueError: They are not two, or not ends of one block; or the block came before.
            LinkAlarmed: An alarm stops the link since before the block was made.
            StoreFailed: It may be there or not.
        """
        (one, at_one), (other, at_other) = _two_ends(ends)
        for kme in (one, other):
            self._check_kme(kme)

        def decide(batch: Batch) -> None:
            for kme in (one, other):
                _check_new_block(batch.holdings(kme), at_one)
            for kme, peer, block in ((one, other, at_one), (other, one, at_other)):
                event = Deposited(block.block_id.bytes, peer, len(block.content), block.provenance)
                batch.deposit(kme, event, block.content)

        await self._writer.decide(decide)

    async def deposit_end(self, kme: str, block: KeyBlock, *, peer: str) -> None:
        """Take in one end of a block whose other end is in another process.

        It is given when the other end has its own end of it.

        Args:
            kme: Where.
            block: This end's copy.
            peer: The KME at the other end.

        Raises:
            ValueError: ``kme`` is none of this process, or the block came before.
            LinkAlarmed: An alarm stops the link since before the block was made.
            StoreFailed: It may be there or not.
        """
        self._check_kme(kme)

        def decide(batch: Batch) -> None:
            _check_new_block(batch.holdings(kme), block)
            event = Deposited(block.block_id.bytes, peer, len(block.content), block.provenance)
            batch.deposit(kme, event, block.content)

        await self._writer.decide(decide)
        if (kme, peer) in self._ends:
            self._ends[kme, peer].tell()

    def connect(self, kme: str, peer: str, end: FarEnd) -> None:
        """Say how the other end of a link is reached that is in another process.

        Args:
            kme: Name of the KME of this process.
            peer: Name of the KME at the other end.
            end: Takes messages to it.
        """
        self._ends[kme, peer] = end

    async def decided(self, decision: Decision[_Value]) -> _Value:
        """Have the writer decide something; return its answer once it is on the disk.

        Args:
            decision: Called by the writer with its batch.

        Raises:
            StoreFailed: The stores are shut, or failed: it may have been written or not.
        """
        return await self._writer.decide(decision)

    async def give(
        self,
        master: str,
        slaves: Sequence[str],
        *,
        number: int = 1,
        size: int = 256,
        conditions: KeyConditions = _ANY,
    ) -> list[HeldKey]:
        """Give new keys to an application; the slaves may then fetch them, each once.

        The key lies in the stores of the master and of the first slave.  A slave at a third KME
        gets it under one-time pad of the key that this one shares with the master's, whose KME is
        then a relay.

        Args:
            master: The application that asks.
            slaves: Those that may fetch the keys; the first one says which link gives them.
            number: How many keys.
            size: Bits of each, a multiple of 8.
            conditions: What their provenance must meet, at every slave.

        Returns:
            The keys, as many as asked for.

        Raises:
            ValueError: A number is impossible, or an application is named twice.
            UnknownSae: An application is at none of the KMEs.
            LinkAlarmed: An alarm stops a link.
            NotEnoughKey: A link has not enough left.
            ConditionsNotMet: It has, but not enough that meets the conditions.
            OtherEndSilent: A KME of another process cannot reserve them; what was cut is lost.
            StoreFailed: The keys are lost.  So they are if an answer does not arrive.
        """
        check_whole(least=1, number=number, size=size)
        if size % 8:
            raise ValueError(f"`size` must be a multiple of 8, but is {size}.")
        if not slaves or len({master, *slaves}) != len(slaves) + 1:
            raise ValueError("Master and slaves must all differ, and be two at least, but do not.")
        kmes = {sae: self.kme_of(sae) for sae in (master, *slaves)}
        ends = self._far_ends(kmes)
        for end in ends.values():
            end.check()
        request = _GiveRequest(
            master, kmes, number, size // 8, conditions, self._clock(), far_ends=ends
        )
        given = await self._writer.decide(request.decide)
        if given.elsewhere:
            await self._reserve(request, given)
        return given.keys

    def _far_ends(self, kmes: Mapping[str, str]) -> dict[str, FarEnd]:
        """Return the ends in other processes that a request needs.

        Raises:
            OtherEndSilent: One is not connected.
        """
        home, *others = dict.fromkeys(kmes.values())
        far = [kme for kme in others if kme not in self._writer.stores]
        missing = next((kme for kme in far if (home, kme) not in self._ends), None)
        if missing is not None:
            raise OtherEndSilent(f"There must be a way to `{missing}` from `{home}`, but is none.")
        return {kme: self._ends[home, kme] for kme in far}

    async def _reserve(self, request: _GiveRequest, given: _Given) -> None:
        """Have keys reserved at other processes; if one does not, nobody keeps them.

        Raises:
            OtherEndSilent: So it is; the keys are lost.
        """
        ends = request.far_ends
        outcomes = await asyncio.gather(
            *(ends[kme].reserve(granted) for kme, granted in given.elsewhere.items()),
            return_exceptions=True,
        )
        failure = next((outcome for outcome in outcomes if outcome is not None), None)
        if failure is None:
            return
        ids = [key.key_id for key in given.keys]
        for kme in given.elsewhere:
            ends[kme].withdraw(b"".join(key_id.bytes for key_id in ids))
        for kme in {request.kmes[sae] for sae in request.slaves} & {*self._writer.stores}:
            await self.void(kme, ids)
        raise failure

    async def fetch(self, slave: str, master: str, *, key_ids: Sequence[UUID]) -> list[HeldKey]:
        """Give keys by their identifiers to an application that they are for, each once.

        Args:
            slave: The application that asks.
            master: The one that got the keys first.
            key_ids: Which keys.

        Returns:
            All of them, in this order.

        Raises:
            ValueError: No key is named, or one twice.
            UnknownSae: The slave is at none of the KMEs.
            ForeignKey: One is for others; nothing is delivered.
            UnknownKey: One is not here for those two, or no more; nothing is delivered.
            StoreFailed: They may be lost.  So they are if an answer does not arrive.
        """
        ids = [key_id.bytes for key_id in key_ids]
        if not ids or len(set(ids)) < len(ids):
            raise ValueError("`key_ids` must name at least one key, each once, but does not.")
        kme = self.kme_of(slave)

        def decide(batch: Batch) -> list[HeldKey]:
            holdings = batch.holdings(kme)
            _check_keys(holdings, ids, slave=slave, master=master)
            runs = holdings.runs_of(ids)
            contents = [_contents_of(batch, kme, run) for run in runs]
            keys = _keys_of(holdings, zip(runs, contents, strict=True), key_ids)
            batch.apply(kme, Fetched(b"".join(ids), slave))
            return keys

        return await self._writer.decide(decide)

    async def keep(self, kme: str, key: HeldKey, *, master: str, slaves: Sequence[str]) -> None:
        """Keep a key that came ready-made, as from another network, until the slaves fetch it.

        Args:
            kme: Where.
            key: It.
            master: The application that got it elsewhere, which need not be known here.
            slaves: Those that may fetch it here, each once.

        Raises:
            ValueError: A slave is named twice, or none is, or the key is nameless or empty.
            UnknownSae: A slave is not at this KME.
            RepeatedKey: A key of this identifier is or was here, or was void before it came.
            LinkAlarmed: An alarm stops a link that it came over, since before it was made.
        """
        self._check_kme(kme)
        if not slaves or len({master, *slaves}) != len(slaves) + 1:
            raise ValueError("Master and slaves must all differ, and be two at least, but do not.")
        if not key.content or not key.key_id.int:
            raise ValueError("`key` must have an identifier and at least one byte, but has not.")
        for slave in slaves:
            if self.kme_of(slave) != kme:
                raise UnknownSae(f"An application must be at `{kme}`, but `{slave}` is not.")
        key_id, size = key.key_id.bytes, len(key.content)

        def decide(batch: Batch) -> None:
            holdings = batch.holdings(kme)
            if holdings.was_here(key_id) or key_id in holdings.blocks:
                raise RepeatedKey("A key must come to a KME once, but this one was there before.")
            _check_alarms(holdings, key.provenance)
            event = Deposited(key_id, READY_MADE, size, key.provenance)
            batch.deposit(kme, event, key.content)
            part = (key_id, 0, size)
            waiting = Granted(
                READY_MADE, (part,), size, key_id, master, tuple(slaves), at=self._clock()
            )
            batch.apply(kme, waiting)

        await self._writer.decide(decide)

    async def void(self, kme: str, key_ids: Sequence[UUID]) -> dict[UUID, str]:
        """Make keys void: who waits for one does not get it, and it is never kept later.

        Args:
            kme: Where.
            key_ids: Which keys.

        Returns:
            Of each key: ``"voided"``, ``"delivered"`` if somebody fetched it already (others then
            do not any more), or ``"unknown"``, which is void from now on all the same.

        Raises:
            ValueError: ``kme`` is none of this process.
        """
        self._check_kme(kme)
        ids = list(dict.fromkeys(key_ids))

        def decide(batch: Batch) -> dict[UUID, str]:
            holdings = batch.holdings(kme)
            states = {key_id: _state_of(holdings, key_id.bytes) for key_id in ids}
            packed = b"".join(key_id.bytes for key_id in ids if not _is_past(holdings, key_id))
            if packed:
                batch.apply(kme, Voided(packed))
            return states

        return await self._writer.decide(decide)

    async def expire(self, *, before: float) -> int:
        """Make keys void that nobody has fetched since a moment.

        Of keys whose moment is not known, the oldest part's counts.

        Args:
            before: Seconds since 1970; keys that were given earlier go.

        Returns:
            How many keys, at all KMEs together.
        """

        def decide(batch: Batch) -> int:
            number = 0
            for kme in self._writer.stores:
                holdings = batch.holdings(kme)
                ids = [
                    key_id
                    for grant in holdings.grants.values()
                    if _moment_of(holdings, grant) < before
                    for key_id in identifiers(grant.event.ids)
                    if key_id in holdings.keys
                ]
                if ids:
                    batch.apply(kme, Voided(b"".join(ids)))
                number += len(ids)
            return number

        return await self._writer.decide(decide)

    def now(self) -> float:
        """Return the time on the clock of this service, seconds since 1970."""
        return self._clock()

    async def ring(self, one: str, other: str, *, since: float, reason: str) -> int:
        """Stop a link: erase its key that was made since a moment, and give no other of it.

        Key counts as the link's if its route has the link.  Of keys that wait, those go that have
        a part from then on; relayed ones of any age, as only their oldest part has a moment.

        Args:
            one: An end of the link.
            other: The other one.
            since: Seconds since 1970.
            reason: Why, for those who ask for key.

        Returns:
            How many key bits were erased, at all KMEs together: a free bit counts at both ends.

        Raises:
            ValueError: ``since`` is no finite number.
        """
        if not math.isfinite(since):
            raise ValueError(f"`since` must be a finite number, but is {since}.")
        event = Rang(one, other, since, reason)

        def decide(batch: Batch) -> int:
            before = sum(_voided_bits(batch.holdings(kme)) for kme in self._writer.stores)
            for kme in self._writer.stores:
                batch.apply(kme, event)
            return sum(_voided_bits(batch.holdings(kme)) for kme in self._writer.stores) - before

        return await self._writer.decide(decide)

    async def clear(self, one: str, other: str) -> None:
        """End the alarm of a link: key of it that is left, and new one, is given again.

        Args:
            one: An end of the link.
            other: The other one.
        """

        def decide(batch: Batch) -> None:
            for kme in self._writer.stores:
                batch.apply(kme, Cleared(one, other))

        await self._writer.decide(decide)

    def stock(self, master: str, slave: str, *, conditions: KeyConditions = _ANY) -> Stock:
        """Return what one application can be given for another one.

        Args:
            master: The application that would ask.
            slave: The one that would fetch.
            conditions: What the keys' provenance must meet.

        Returns:
            Free bits at the master's KME, and where they come from.

        Raises:
            UnknownSae: One is at none of the KMEs.
        """
        source, target = self.kme_of(master), self.kme_of(slave)
        holdings, now = self.holdings(source), self._clock()
        blocks = [
            block
            for block in holdings.links.get(target, {}).values()
            if not block.is_barred
            and (conditions == _ANY or conditions.are_met_by(block.provenance, now=now))
        ]
        return Stock(
            source=source,
            target=target,
            bits=8 * sum([block.free for block in blocks]),
            blocks=len(blocks),
            provenance=self._joined(holdings, target, blocks)
            if conditions == _ANY
            else _joined(block.provenance for block in blocks),
            alarm=_alarm(holdings, target),
            failed=self.failed,
        )

    def _joined(
        self, holdings: Holdings, peer: str, blocks: Sequence[BlockState]
    ) -> Provenance | None:
        """Return where all free key of a link is from; worked out anew if the blocks changed."""
        version = holdings.store_id, holdings.versions.get(peer, 0)
        known = self._known_provenances.get((holdings.kme, peer))
        if known is None or known[0] != version:
            known = version, _joined(block.provenance for block in blocks)
            self._known_provenances[holdings.kme, peer] = known
        return known[1]

    def kmes(self) -> list[KmeState]:
        """Return the state of every KME, without any key bit."""
        return [self._state_of_kme(kme) for kme in self._writer.stores]

    def _state_of_kme(self, kme: str) -> KmeState:
        holdings = self.holdings(kme)
        peers = sorted({*holdings.counts, *holdings.links} - {READY_MADE})
        ready_made = holdings.counts_of(READY_MADE)
        return KmeState(
            kme=kme,
            links=tuple(self._link_state(holdings, peer) for peer in peers),
            ready_made_bits=8 * (ready_made.deposited - ready_made.delivered - ready_made.voided),
            keys_given=holdings.keys_given,
            keys_fetched=holdings.keys_fetched,
            keys_waiting=len(holdings.keys),
            keys_voided=holdings.keys_voided,
            failed=self.failed,
        )

    def _link_state(self, holdings: Holdings, peer: str) -> LinkKeyState:
        end = self._ends.get((holdings.kme, peer))
        return replace(_link_state(holdings, peer), silent=None if end is None else end.failed)

    def holdings(self, kme: str) -> Holdings:
        """Return what a KME of this process holds: to be looked at, and changed by nobody.

        Args:
            kme: Name of the KME.
        """
        return self._writer.stores[kme].holdings

    def _check_kme(self, kme: str) -> None:
        if kme not in self._writer.stores:
            raise ValueError(f"`kme` must be one of this process, but is `{kme}`.")


@dataclass(frozen=True, eq=False, repr=False)
class _Given:
    """Keys that were cut for a master.

    Attributes:
        keys: They.
        elsewhere: What must be reserved at KMEs of other processes before the master has them.
    """

    keys: list[HeldKey]
    elsewhere: dict[str, list[Granted]]


@dataclass(frozen=True)
class _GiveRequest:
    """A request for keys.

    Attributes:
        master: Who asks.
        kmes: The KMEs of the master and of the slaves, in the order in which these were named.
        number: Of keys.
        size: Bytes of each.
        conditions: On their provenance.
        now: Seconds since 1970.
        far_ends: The KMEs of other processes among them.
    """

    master: str
    kmes: Mapping[str, str]
    number: int
    size: int
    conditions: KeyConditions
    now: float
    far_ends: Mapping[str, FarEnd] = field(default_factory=dict)

    @property
    def home(self) -> str:
        """The master's KME."""
        return self.kmes[self.master]

    @property
    def slaves(self) -> list[str]:
        """Who may fetch."""
        return [sae for sae in self.kmes if sae != self.master]

    def decide(self, batch: Batch) -> _Given:
        """Cut the keys, reserve them for the slaves here, and return them for the master."""
        peer = self.kmes[self.slaves[0]]
        cuts = self._cuts(batch.holdings(self.home), peer)
        contents = [batch.read(self.home, cut.parts) for cut in cuts]
        third = [kme for kme in dict.fromkeys(self.kmes.values()) if kme not in (self.home, peer)]
        pads = {kme: self._cuts(batch.holdings(self.home), kme) for kme in third}
        read_pads = {kme: [batch.read(self.home, cut.parts) for cut in pads[kme]] for kme in third}
        ids = new_identifiers(self.number)
        events = self._grants(peer, cuts=cuts, ids=ids)
        for kme in third:
            contents_of_all, pads_of_all = b"".join(contents), b"".join(read_pads[kme])
            events += self._relays(
                kme, cuts=cuts, pads=pads[kme], ids=ids, key=contents_of_all, pad=pads_of_all
            )
        return _Given(self._keys(cuts, contents, ids), self._happened(batch, events))

    def _happened(
        self, batch: Batch, events: Iterable[tuple[str, Granted]]
    ) -> dict[str, list[Granted]]:
        """Let events happen at KMEs of this process, and return those of others."""
        elsewhere: dict[str, list[Granted]] = {}
        for kme, event in events:
            if kme in self.far_ends:
                self.far_ends[kme].promise(event)
                elsewhere.setdefault(kme, []).append(event)
            else:
                batch.apply(kme, event)
        return elsewhere

    def _cuts(self, holdings: Holdings, peer: str) -> list[Cut]:
        """Return where the keys, or pads for them, are cut.

        Raises:
            LinkAlarmed: An alarm stops the link.
            NotEnoughKey: Too little is left.
            ConditionsNotMet: Enough is left, but too little that meets the conditions.
        """
        blocks = holdings.links.get(peer, {}).values()
        cuts = cut_keys(
            blocks,
            self.number,
            size=self.size,
            conditions=self.conditions,
            now=self.now,
            from_back=self.home > peer,
        )
        if sum(cut.count for cut in cuts) == self.number:
            return cuts
        alarm = _alarm(holdings, peer)
        if alarm is not None:
            raise LinkAlarmed(f"The link must give no key since an alarm: {alarm}")
        needed, left = self.number * self.size, bytes_meeting(blocks, _ANY, now=self.now)
        if left < needed:
            raise NotEnoughKey(
                f"{8 * needed:,} key bits must be left for this, but {8 * left:,} are."
            )
        raise ConditionsNotMet("Key bits must meet the conditions of a request, but too few do.")

    def _grants(self, peer: str, *, cuts: Sequence[Cut], ids: bytes) -> list[tuple[str, Granted]]:
        """Return what takes the keys at both ends, and reserves them where slaves wait."""
        events, start = [], 0
        for cut in cuts:
            stop = start + cut.count * ID_SIZE
            for kme, other in ((self.home, peer), (peer, self.home)):
                waiting = self._slaves_at(kme)
                event = Granted(
                    peer=other,
                    parts=cut.parts,
                    size=self.size,
                    ids=ids[start:stop] if waiting else b"",
                    master=self.master,
                    slaves=waiting,
                    given=cut.count if kme == self.home else 0,
                    at=self.now,
                )
                events.append((kme, event))
            start = stop
        return events

    def _slaves_at(self, kme: str) -> tuple[str, ...]:
        return tuple(sae for sae in self.slaves if self.kmes[sae] == kme)

    def _relays(
        self,
        kme: str,
        *,
        cuts: Sequence[Cut],
        pads: Sequence[Cut],
        ids: bytes,
        key: bytes,
        pad: bytes,
    ) -> list[tuple[str, Granted]]:
        """Return what reserves the keys at a third KME, each under one-time pad of its own."""
        origin = Provenance.joined(dict.fromkeys(cut.provenance for cut in cuts))
        relayed = _relayed(origin, self.home, kme)
        mask, first = _sum(key, pad), 0
        events = []
        for cut in pads:
            last = first + cut.count
            event = Granted(
                peer=self.home,
                parts=cut.parts,
                size=self.size,
                ids=ids[first * ID_SIZE : last * ID_SIZE],
                master=self.master,
                slaves=self._slaves_at(kme),
                mask=mask[first * self.size : last * self.size],
                origin=relayed,
                at=self.now,
            )
            pads_here = Granted(kme, cut.parts, self.size, b"", self.master, ())
            events += [(self.home, pads_here), (kme, event)]
            first = last
        return events

    def _keys(self, cuts: Sequence[Cut], contents: Sequence[bytes], ids: bytes) -> list[HeldKey]:
        size, names = self.size, iter(identifiers(ids))
        return [
            HeldKey(
                UUID(bytes=next(names)),
                content[index * size : (index + 1) * size],
                cut.provenance,
            )
            for cut, content in zip(cuts, contents, strict=True)
            for index in range(cut.count)
        ]


def new_identifiers(number: int) -> bytes:
    """Return random identifiers one after the other, UUIDs of version 4 (RFC 9562, section 5.4).

    Examples:
        >>> UUID(bytes=new_identifiers(2)[16:]).version
        4
    """
    drawn = bytearray(os.urandom(number * ID_SIZE))
    drawn[6::ID_SIZE] = bytes((byte & 0x0F) | 0x40 for byte in drawn[6::ID_SIZE])
    drawn[8::ID_SIZE] = bytes((byte & 0x3F) | 0x80 for byte in drawn[8::ID_SIZE])
    return bytes(drawn)


def _two_ends(ends: Mapping[str, KeyBlock]) -> list[tuple[str, KeyBlock]]:
    """Return two ends of one block.

    Raises:
        ValueError: They are none.
    """
    if len(ends) != 2:
        raise ValueError(f"`ends` must be two KMEs, but are {len(ends)}.")
    one, other = ends.values()
    if one.block_id != other.block_id or len(one.content) != len(other.content):
        raise ValueError("Both ends of a block must have its identifier and size, but do not.")
    if one.provenance != other.provenance:
        raise ValueError("Both ends of a block must have its provenance, but do not.")
    return list(ends.items())


def _check_new_block(holdings: Holdings, block: KeyBlock) -> None:
    """Refuse a block that is there, or that an alarm stops."""
    if block.block_id.bytes in holdings.blocks:
        raise ValueError("A block must come in once, but this one is there.")
    _check_alarms(holdings, block.provenance)


def _check_alarms(holdings: Holdings, provenance: Provenance) -> None:
    """Refuse key that was made since an alarm that stops it."""
    alarm = holdings.alarm_of(provenance)
    if alarm is not None and provenance.made_at >= alarm[0]:
        raise LinkAlarmed(f"The link must give no key since an alarm: {alarm[1]}")


def _check_keys(holdings: Holdings, ids: Sequence[bytes], *, slave: str, master: str) -> None:
    """Check that a slave may have all of some keys.

    Raises:
        ForeignKey: One is for others, whatever else is the matter.
        UnknownKey: One is not here for those two, or no more.
    """
    found = [holdings.keys[key_id] for key_id in ids if key_id in holdings.keys]
    if any(slave not in grant.event.slaves for grant, _ in found):
        raise ForeignKey("A key must be asked for by those that it is for, but is not.")
    if len(found) < len(ids) or any(
        grant.event.master != master or slave in grant.fetched.get(index, ())
        for grant, index in found
    ):
        raise UnknownKey("A key must be here for those who ask, but is not, or no more.")


def _contents_of(batch: Batch, kme: str, run: KeyRun) -> bytes:
    """Return the bytes of keys that wait, one after the other."""
    content, mask = batch.read(kme, run.parts), run.mask
    return _sum(content, mask) if mask else content


def _keys_of(
    holdings: Holdings, runs: Iterable[tuple[KeyRun, bytes]], key_ids: Sequence[UUID]
) -> list[HeldKey]:
    """Return keys with their names, in the order of these."""
    keys: list[HeldKey] = []
    names = iter(key_ids)
    for run, content in runs:
        provenance = Provenance.joined(holdings.provenances_of(run.grant))
        size = run.grant.event.size
        keys += [
            HeldKey(next(names), content[start : start + size], provenance)
            for start in range(0, len(content), size)
        ]
    return keys


def _sum(one: bytes, other: bytes) -> bytes:
    """Return the sum modulo 2 of two texts of equal length."""
    total = int.from_bytes(one, "big") ^ int.from_bytes(other, "big")
    return total.to_bytes(len(one), "big")


def _relayed(origin: Provenance, relay: str, target: str) -> Provenance:
    """Return where a key comes from that a KME passed on to a third one."""
    to_relay = origin.route[::-1] if origin.route[:1] == (relay,) else origin.route
    relays = tuple(dict.fromkeys((*origin.relays, relay)))
    return replace(origin, route=(*to_relay, target), relays=relays)


def _is_past(holdings: Holdings, key_id: UUID) -> bool:
    """Return whether a key was here and went."""
    name = key_id.bytes
    return name not in holdings.keys and holdings.was_here(name)


def _state_of(holdings: Holdings, key_id: bytes) -> str:
    """Return what becomes of a key that is made void now."""
    if key_id in holdings.keys:
        grant, index = holdings.keys[key_id]
        return "delivered" if index in grant.fetched else "voided"
    if key_id in holdings.used or key_id in holdings.recent:
        return "delivered"
    return "voided" if key_id in holdings.void else "unknown"


def _moment_of(holdings: Holdings, grant: Grant) -> float:
    """Return when keys were given; if that is not known, when their oldest part was made."""
    if grant.event.at:
        return grant.event.at
    return min((one.made_at for one in holdings.provenances_of(grant)), default=0.0)


def _voided_bits(holdings: Holdings) -> int:
    return 8 * sum(counts.voided for counts in holdings.counts.values())


def _alarm(holdings: Holdings, peer: str) -> str | None:
    """Return why a link, or the first block of it that is stopped, gives no key.

    Of a link with nothing left: why its last block would be stopped, whose way is what is known.
    """
    direct = holdings.alarms.get(link_of(holdings.kme, peer))
    if direct is not None:
        return direct[1]
    for block in holdings.links.get(peer, {}).values():
        alarm = holdings.alarm_of(block.provenance) if block.is_barred else None
        if alarm is not None:
            return alarm[1]
    last = None if holdings.free.get(peer) else holdings.newest.get(peer)
    alarm = None if last is None else holdings.alarm_of(last)
    return None if alarm is None else alarm[1]


def _joined(provenances: Iterable[Provenance]) -> Provenance | None:
    found = list(dict.fromkeys(provenances))
    return Provenance.joined(found) if found else None


def _link_state(holdings: Holdings, peer: str) -> LinkKeyState:
    counts = holdings.counts_of(peer)
    free = holdings.free.get(peer, 0)
    blocks = holdings.links.get(peer, {}).values()
    return LinkKeyState(
        peer=peer,
        free=8 * free,
        reserved=8 * (counts.deposited - counts.delivered - counts.voided - free),
        deposited=8 * counts.deposited,
        delivered=8 * counts.delivered,
        voided=8 * counts.voided,
        blocks=len(blocks),
        provenance=_joined(block.provenance for block in blocks),
        alarm=_alarm(holdings, peer),
    )
