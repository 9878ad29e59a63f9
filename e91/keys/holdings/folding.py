"""Holdings from the rows of a store, and the rows that change when its journal is folded."""

from __future__ import annotations

import secrets
from typing import TypeVar

import msgspec

from e91.keys.databases.interface import Folding, StoredRows, StoreTable
from e91.keys.holdings.events import ID_SIZE, Granted, Partner, decoded_row, identifiers
from e91.keys.holdings.holdings import Changes, Holdings
from e91.keys.holdings.stored_keys import (
    CHUNK,
    BlockState,
    Grant,
    KeyRun,
    LinkCounts,
    RememberedIds,
)
from e91.keys.provenance import Provenance

_KINDS = (b"v", b"u", b"r")  # void, used, recent


class _Header(msgspec.Struct, frozen=True, array_like=True):
    """What there is once."""

    kme: str
    store_id: bytes
    number: int
    partners: dict[str, tuple[Partner, int]]
    alarms: list[tuple[str, str, float, str]]
    counts: dict[str, tuple[int, int, int]]
    next_numbers: tuple[int, int, int]
    keys: tuple[int, int, int]


class _BlockRow(msgspec.Struct, frozen=True, array_like=True):
    block_id: bytes
    peer: str
    size: int
    front: int
    back: int
    provenance: Provenance


class _GrantRow(msgspec.Struct, frozen=True, array_like=True):
    """A grant; the identifiers of keys that are here no more are zeros."""

    event: Granted
    fetched: dict[int, tuple[str, ...]]


_ENCODE = msgspec.msgpack.Encoder().encode

_Shape = TypeVar("_Shape")


def new_holdings(kme: str) -> Holdings:
    """Return the holdings of a KME that never had a key."""
    return Holdings(kme, secrets.token_bytes(ID_SIZE))


def loaded_holdings(rows: StoredRows, kme: str) -> Holdings:
    """Return what a store holds, its journal applied.

    Raises:
        ValueError: The store is another KME's, or its rows contradict each other.
    """
    headers = rows.tables[StoreTable.HEADER]
    if not headers:
        if rows.journal or rows.chunks or any(rows.tables.values()):
            raise ValueError("The store must say whose it is, but does not.")
        return new_holdings(kme)
    header = _decoded(headers[0][1], _Header)
    if header.kme != kme:
        raise ValueError(f"The store must be that of `{kme}`, but is that of `{header.kme}`.")
    holdings = _with_header(header)
    try:
        _load_tables(holdings, rows)
        for _, body in rows.journal:
            holdings.replay(decoded_row(body))
    except (KeyError, IndexError):
        raise ValueError("The rows of the store must agree, but do not.") from None
    _check_chunks(holdings, rows)
    return holdings


def _with_header(header: _Header) -> Holdings:
    holdings = Holdings(header.kme, header.store_id, header.number, dict(header.partners))
    holdings.alarms = {(one, other): (since, why) for one, other, since, why in header.alarms}
    holdings.counts = {peer: LinkCounts(*counts) for peer, counts in header.counts.items()}
    holdings.next_block, holdings.next_grant, holdings.next_ids = header.next_numbers
    holdings.keys_given, holdings.keys_fetched, holdings.keys_voided = header.keys
    return holdings


def _load_tables(holdings: Holdings, rows: StoredRows) -> None:
    for number, body in rows.tables[StoreTable.BLOCKS]:
        holdings.add_block(_block_of(number, _decoded(body, _BlockRow)))
    for number, body in rows.tables[StoreTable.GRANTS]:
        row = _decoded(body, _GrantRow)
        left = sum(any(key_id) for key_id in identifiers(row.event.ids))
        grant = Grant(number, row.event, left, dict(row.fetched))
        holdings.add_grant(grant)
        _revive(holdings, grant)
    remembered = (holdings.void, holdings.used, holdings.recent)
    for kind, ids in zip(_KINDS, remembered, strict=True):
        found = rows.tables[StoreTable.IDENTIFIERS]
        ids.load((number, body[1:]) for number, body in found if body[:1] == kind)


def _block_of(number: int, row: _BlockRow) -> BlockState:
    if not 0 <= row.front <= row.back <= row.size:
        raise ValueError("The free part of a block must lie in it, but does not.")
    block = BlockState(
        number, row.block_id, row.peer, row.size, row.front, row.back, row.provenance
    )
    block.revive(row.front, row.back)
    return block


def _revive(holdings: Holdings, grant: Grant) -> None:
    """Count the bytes of the keys of a grant as live."""
    for index, key_id in enumerate(identifiers(grant.event.ids)):
        if any(key_id):
            for block_id, start, stop in KeyRun(grant, index, index + 1).parts:
                holdings.blocks[block_id].revive(start, stop)


def _check_chunks(holdings: Holdings, rows: StoredRows) -> None:
    """Check that every chunk with live bytes is there."""
    sizes = {(block, index): size for block, index, size in rows.chunks}
    for block in holdings.blocks.values():
        for index, live in enumerate(block.live):
            least = min(CHUNK, block.size - index * CHUNK)
            if not 0 <= live <= least or (live and sizes.get((block.number, index)) != least):
                raise ValueError("The store must hold all key that it counts, but does not.")


def folding_of(holdings: Holdings) -> Folding:
    """Return what must be written so that the journal can go, and take it as written."""
    changes, holdings.changes = holdings.changes, Changes()
    folding = Folding(holdings.number)
    _fold_blocks(folding, holdings, changes)
    _fold_grants(folding, holdings, changes)
    _fold_identifiers(folding, holdings)
    folding.put[StoreTable.HEADER] = [(1, _ENCODE(_header_of(holdings)))]
    return folding


def _fold_blocks(folding: Folding, holdings: Holdings, changes: Changes) -> None:
    blocks = {block.number: block for block in holdings.blocks.values()}
    changed = sorted(changes.blocks - changes.dead_blocks)
    folding.put[StoreTable.BLOCKS] = [(number, _block_body(blocks[number])) for number in changed]
    folding.remove[StoreTable.BLOCKS] = sorted(changes.dead_blocks)
    folding.dead_blocks.extend(sorted(changes.dead_blocks))
    for (number, index), spans in changes.erased.items():
        if number in changes.dead_blocks:
            continue
        if blocks[number].live[index]:
            folding.zeroed[number, index] = spans
        else:
            folding.dead_chunks.append((number, index))


def _block_body(block: BlockState) -> bytes:
    return _ENCODE(
        _BlockRow(block.block_id, block.peer, block.size, block.front, block.back, block.provenance)
    )


def _fold_grants(folding: Folding, holdings: Holdings, changes: Changes) -> None:
    changed = sorted(changes.grants - changes.dead_grants)
    grants = [holdings.grants[number] for number in changed]
    folding.put[StoreTable.GRANTS] = [(one.number, _grant_body(one, holdings)) for one in grants]
    folding.remove[StoreTable.GRANTS] = sorted(changes.dead_grants)


def _grant_body(grant: Grant, holdings: Holdings) -> bytes:
    ids = (
        key_id if key_id in holdings.keys else bytes(ID_SIZE)
        for key_id in identifiers(grant.event.ids)
    )
    event = msgspec.structs.replace(grant.event, ids=b"".join(ids))
    return _ENCODE(_GrantRow(event, grant.fetched))


def _fold_identifiers(folding: Folding, holdings: Holdings) -> None:
    put, remove = [], []
    remembered: tuple[RememberedIds, ...] = (holdings.void, holdings.used, holdings.recent)
    for kind, ids in zip(_KINDS, remembered, strict=True):
        packed, gone = ids.fold(holdings.next_ids)
        if packed:
            put.append((holdings.next_ids, kind + packed))
            holdings.next_ids += 1
        remove += gone
    folding.put[StoreTable.IDENTIFIERS] = put
    folding.remove[StoreTable.IDENTIFIERS] = remove


def _header_of(holdings: Holdings) -> _Header:
    return _Header(
        kme=holdings.kme,
        store_id=holdings.store_id,
        number=holdings.number,
        partners=holdings.partners,
        alarms=[(*link, *alarm) for link, alarm in holdings.alarms.items()],
        counts={
            peer: (counts.deposited, counts.delivered, counts.voided)
            for peer, counts in holdings.counts.items()
        },
        next_numbers=(holdings.next_block, holdings.next_grant, holdings.next_ids),
        keys=(holdings.keys_given, holdings.keys_fetched, holdings.keys_voided),
    )


def _decoded(body: bytes, shape: type[_Shape]) -> _Shape:
    try:
        return msgspec.msgpack.decode(body, type=shape)
    except (msgspec.MsgspecError, ValueError):
        pass
    raise ValueError("A row of the store must be readable, but is not.")
