"""All that one KME holds, without the key bits: a state that events change, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from e91.keys.holdings.events import (
    ID_SIZE,
    Cleared,
    Deposited,
    Dropped,
    Event,
    Fetched,
    Granted,
    JournalRow,
    Partner,
    Rang,
    Voided,
    identifiers,
)
from e91.keys.holdings.stored_keys import (
    BlockState,
    ChunkName,
    Grant,
    KeyRun,
    LinkCounts,
    RememberedIds,
    chunk_spans,
)
from e91.keys.provenance import Provenance

READY_MADE = ""
"""The peer of keys that came ready-made: none."""

TOMBSTONES = 2**20
"""How many identifiers of void keys, and of delivered ready-made ones, are remembered."""

RECENT = 2**16
"""How many identifiers of other delivered keys are remembered, to say so of a void one."""


@dataclass(eq=False)
class Changes:
    """What is not in the tables of the store yet, but only in its journal.

    Attributes:
        blocks: Numbers of the blocks that are new or changed.
        dead_blocks: Numbers of those with nothing left.
        grants: Numbers of the grants that are new or changed.
        dead_grants: Numbers of those with no key left.
        erased: Intervals of chunks that are used and must go.
    """

    blocks: set[int] = field(default_factory=set)
    dead_blocks: set[int] = field(default_factory=set)
    grants: set[int] = field(default_factory=set)
    dead_grants: set[int] = field(default_factory=set)
    erased: dict[ChunkName, list[tuple[int, int]]] = field(default_factory=dict)

    def erase(self, name: ChunkName, low: int, high: int) -> None:
        """Note that bytes of a chunk must go."""
        spans = self.erased.setdefault(name, [])
        if spans and spans[-1][1] == low:
            spans[-1] = (spans[-1][0], high)
        else:
            spans.append((low, high))


@dataclass(eq=False)
class Holdings:
    """What one KME holds.

    Attributes:
        kme: Its name.
        store_id: Random; tells its store from another one of the same name.
        number: Of the last row of its journal.
        partners: With which row of whose store a row was last decided together, and the row here.
        blocks: What is left of blocks, by identifier, in the order in which they came.
        links: The blocks with something free, by the KME at their other end.
        free: The free bytes, likewise.
        newest: Where the block that came last of a link is from, as far as is remembered.
        keys: The keys that somebody may fetch: their grant, and their place in it.
        grants: By number.
        void: Identifiers of void keys, which may not have come yet.
        used: Identifiers of ready-made keys that were delivered.
        recent: Identifiers of other keys that were delivered lately.
        alarms: Links that an alarm stops: since when made key is erased, and why.
        counts: By the KME at the other end.
        next_block: Number of the next block.
        next_grant: Number of the next grant.
        next_ids: Number of the next row of remembered identifiers.
        keys_given: Keys that were given to the applications here that asked for them.
        keys_fetched: Keys that were fetched here by identifier; each application counts.
        keys_voided: Keys that waited and became void.
        versions: How often the blocks of a link, or what stops them, changed; not their sizes.
        shared: Of links whose other end is in another process: the blocks that it says it has.
            Others are not given.
        changes: What the tables do not have yet.

    Examples:
        >>> holdings = Holdings("alice", store_id=bytes(16))
        >>> holdings.number, len(holdings.blocks)
        (0, 0)
    """

    kme: str
    store_id: bytes
    number: int = 0
    partners: dict[str, tuple[Partner, int]] = field(default_factory=dict)
    blocks: dict[bytes, BlockState] = field(default_factory=dict)
    links: dict[str, dict[bytes, BlockState]] = field(default_factory=dict)
    free: dict[str, int] = field(default_factory=dict)
    newest: dict[str, Provenance] = field(default_factory=dict)
    keys: dict[bytes, tuple[Grant, int]] = field(default_factory=dict)
    grants: dict[int, Grant] = field(default_factory=dict)
    void: RememberedIds = field(default_factory=lambda: RememberedIds(TOMBSTONES))
    used: RememberedIds = field(default_factory=lambda: RememberedIds(TOMBSTONES))
    recent: RememberedIds = field(default_factory=lambda: RememberedIds(RECENT))
    alarms: dict[tuple[str, str], tuple[float, str]] = field(default_factory=dict)
    counts: dict[str, LinkCounts] = field(default_factory=dict)
    next_block: int = 1
    next_grant: int = 1
    next_ids: int = 1
    keys_given: int = 0
    keys_fetched: int = 0
    keys_voided: int = 0
    versions: dict[str, int] = field(default_factory=dict)
    shared: dict[str, frozenset[bytes]] = field(default_factory=dict)
    changes: Changes = field(default_factory=Changes)

    def replay(self, row: JournalRow) -> None:
        """Apply a row of the journal.

        Args:
            row: The next row.

        Raises:
            ValueError: It is not the next one, or nothing that can have happened.
        """
        if row.number != self.number + 1:
            raise ValueError("The rows of the journal must follow each other, but do not.")
        for event in row.events:
            self.apply(event)
        self.close_row(row)

    def close_row(self, row: JournalRow) -> None:
        """Note that a row, whose events were applied, is the last one.

        Args:
            row: That row.
        """
        self.number = row.number
        for kme, partner in row.partners.items():
            self.partners[kme] = (partner, row.number)

    def apply(self, event: Event) -> None:
        """Let an event happen.

        Args:
            event: What happens, one of `e91.keys.holdings.Event`.

        Raises:
            ValueError: It cannot.
        """
        match event:
            case Granted():
                self._grant(event)
            case Fetched():
                self._fetch(event)
            case Deposited():
                self._deposit(event)
            case Voided():
                self._void(identifiers(event.ids))
            case Dropped():
                self._drop(self.blocks[event.block_id], since=None)
            case Rang():
                self._ring(event)
            case Cleared():
                self.alarms.pop(link_of(event.one, event.other), None)
                self._bar()

    def was_here(self, key_id: bytes) -> bool:
        """Return whether a key of this identifier is or was here, as far as is remembered.

        Args:
            key_id: 16 bytes.
        """
        return key_id in self.keys or any(
            key_id in ids for ids in (self.void, self.used, self.recent)
        )

    def alarm_of(self, provenance: Provenance) -> tuple[float, str] | None:
        """Return the alarm that stops key of this provenance: since when, and why; or None.

        Args:
            provenance: Where a block comes from.
        """
        crossed = (alarm for link, alarm in self.alarms.items() if provenance.crosses(*link))
        return next(crossed, None)

    def share(self, peer: str, block_ids: Iterable[bytes]) -> None:
        """Give no block of a link but these, which its other end says it has.

        Args:
            peer: Name of the KME at the other end.
            block_ids: Identifiers of these blocks.
        """
        self.shared[peer] = frozenset(block_ids)
        self._bar()

    def _is_barred(self, block: BlockState) -> bool:
        is_shared = block.block_id in self.shared.get(block.peer, (block.block_id,))
        return not is_shared or self.alarm_of(block.provenance) is not None

    def runs_of(self, key_ids: Iterable[bytes]) -> list[KeyRun]:
        """Return keys that wait, in this order, as few runs as they are.

        Args:
            key_ids: Identifiers of 16 bytes.
        """
        runs: list[KeyRun] = []
        last, stop = None, 0
        for key_id in key_ids:
            grant, index = self.keys[key_id]
            if grant is last and index == stop:
                runs[-1].stop = stop = stop + 1
            else:
                runs.append(KeyRun(grant, index, index + 1))
                last, stop = grant, index + 1
        return runs

    def provenances_of(self, grant: Grant) -> list[Provenance]:
        """Return where the parts of the keys of a grant come from, each block once.

        Args:
            grant: Keys that were granted together.
        """
        ids = dict.fromkeys(block_id for block_id, _, _ in grant.event.parts)
        origin = [grant.event.origin] if grant.event.origin is not None else []
        return origin + [self.blocks[block_id].provenance for block_id in ids]

    def counts_of(self, peer: str) -> LinkCounts:
        """Return the counts of a link, which may be new.

        Args:
            peer: Name of the KME at the other end.
        """
        counts = self.counts.get(peer)
        return self.counts.setdefault(peer, LinkCounts()) if counts is None else counts

    def add_block(self, block: BlockState) -> None:
        """Take a block up whose live bytes are counted.

        Args:
            block: The block, with what is left of it.

        Raises:
            ValueError: It is here already.
        """
        if block.block_id in self.blocks:
            raise ValueError("A block must come once, but one came twice.")
        self.blocks[block.block_id] = block
        self.newest[block.peer] = block.provenance
        block.is_barred = self._is_barred(block)
        if block.free:
            self.links.setdefault(block.peer, {})[block.block_id] = block
            self._count_version(block.peer)
            self.free[block.peer] = self.free.get(block.peer, 0) + block.free

    def add_grant(self, grant: Grant) -> None:
        """Take up the keys of a grant that are still here.

        Args:
            grant: Keys that were granted together.

        Raises:
            ValueError: One of its keys is here already.
        """
        self.grants[grant.number] = grant
        for index, key_id in enumerate(identifiers(grant.event.ids)):
            if any(key_id):
                if key_id in self.keys:
                    raise ValueError("A key must come once, but one came twice.")
                self.keys[key_id] = (grant, index)

    def _deposit(self, event: Deposited) -> None:
        block = BlockState(
            number=self.next_block,
            block_id=event.block_id,
            peer=event.peer,
            size=event.size,
            front=0,
            back=event.size,
            provenance=event.provenance,
        )
        block.revive(0, event.size)
        self.next_block += 1
        self.counts_of(event.peer).deposited += event.size
        self.changes.blocks.add(block.number)
        self.add_block(block)

    def _grant(self, event: Granted) -> None:
        total = 0
        for block_id, start, stop in event.parts:
            self._take(self.blocks[block_id], start, stop)
            total += stop - start
        self.keys_given += event.given
        if event.ids:
            grant = Grant(self.next_grant, event, left=len(event.ids) // ID_SIZE)
            self.next_grant += 1
            self.changes.grants.add(grant.number)
            self.add_grant(grant)
            return
        for block_id, start, stop in event.parts:
            self._release(self.blocks[block_id], start, stop)
        counts = self.counts_of(event.peer)
        if event.master:
            counts.delivered += total
        else:
            counts.voided += total

    def _take(self, block: BlockState, start: int, stop: int) -> None:
        block.take(start, stop)
        self.free[block.peer] -= stop - start
        self.changes.blocks.add(block.number)
        if not block.free:
            del self.links[block.peer][block.block_id]
            self._count_version(block.peer)

    def _release(self, block: BlockState, start: int, stop: int) -> None:
        """Let go of bytes that nobody needs any more."""
        for index, low, high in chunk_spans(start, stop):
            block.live[index] -= high - low
            self.changes.erase((block.number, index), low, high)
        block.left -= stop - start
        if not block.left:
            del self.blocks[block.block_id]
            self.changes.dead_blocks.add(block.number)

    def _fetch(self, event: Fetched) -> None:
        for run in self.runs_of(identifiers(event.ids)):
            self.keys_fetched += run.stop - run.first
            if len(run.grant.event.slaves) == 1:
                self._deliver(run)
                continue
            for key in run.singles():
                self._fetch_shared(key, event.slave)

    def _fetch_shared(self, key: KeyRun, slave: str) -> None:
        """Note that one of several slaves has a key; the last one takes it away."""
        grant = key.grant
        done = (*grant.fetched.get(key.first, ()), slave)
        if len(done) == len(grant.event.slaves):
            self._deliver(key)
            return
        grant.fetched[key.first] = done
        self.changes.grants.add(grant.number)

    def _deliver(self, run: KeyRun) -> None:
        """Let go of keys that all have for whom they are."""
        past = self.used if run.grant.event.peer == READY_MADE else self.recent
        past.add(identifiers(run.ids))
        self.counts_of(run.grant.event.peer).delivered += self._forget(run)

    def _void(self, key_ids: Iterable[bytes]) -> None:
        for key_id in key_ids:
            if key_id in self.keys:
                [run] = self.runs_of([key_id])
                self.keys_voided += 1
                self.counts_of(run.grant.event.peer).voided += self._forget(run)
            elif self.was_here(key_id):
                continue
            self.void.add([key_id])

    def _forget(self, run: KeyRun) -> int:
        """Let go of keys and their bytes; return how many these are."""
        grant = run.grant
        for index, key_id in enumerate(identifiers(run.ids), run.first):
            del self.keys[key_id]
            if grant.fetched:
                grant.fetched.pop(index, None)
        grant.left -= run.stop - run.first
        self.changes.grants.add(grant.number)
        if not grant.left:
            del self.grants[grant.number]
            self.changes.dead_grants.add(grant.number)
        size = 0
        for block_id, start, stop in run.parts:
            self._release(self.blocks[block_id], start, stop)
            size += stop - start
        return size

    def _drop(self, block: BlockState, *, since: float | None) -> None:
        """Let go of what is free of a block, if it was made at that moment or later."""
        if not block.free or (since is not None and block.provenance.made_at < since):
            return
        start, stop = block.front, block.back
        self._take(block, start, stop)
        self.counts_of(block.peer).voided += stop - start
        self._release(block, start, stop)

    def _ring(self, event: Rang) -> None:
        link = link_of(event.one, event.other)
        since = min(event.since, self.alarms.get(link, (event.since, ""))[0])
        self.alarms[link] = (since, event.reason)
        for grant in list(self.grants.values()):
            if self._is_hit(grant, link, since):
                self._void([key for key in identifiers(grant.event.ids) if key in self.keys])
        for block in list(self.blocks.values()):
            if block.provenance.crosses(*link):
                self._drop(block, since=since)
        self._bar()

    def _is_hit(self, grant: Grant, link: tuple[str, str], since: float) -> bool:
        """Return whether a part of the grant's keys came over the link since then.

        A relayed key's origin has the moment of its oldest part alone, so it counts at any age.
        """
        origin = grant.event.origin
        if origin is not None and origin.crosses(*link):
            return True
        parts = self.provenances_of(grant)
        return any(part.crosses(*link) and part.made_at >= since for part in parts)

    def _bar(self) -> None:
        """Find out anew which blocks are not given."""
        for block in self.blocks.values():
            block.is_barred = self._is_barred(block)
        for peer in self.links:
            self._count_version(peer)

    def _count_version(self, peer: str) -> None:
        self.versions[peer] = self.versions.get(peer, 0) + 1


def link_of(one: str, other: str) -> tuple[str, str]:
    """Return the name of a link, whichever end is named first."""
    return (one, other) if one <= other else (other, one)
