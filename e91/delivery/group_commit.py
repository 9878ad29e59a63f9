"""One writer for all stores of a process: what waits is decided together and written at once.

There is no timer.  While one commit is under way, the next requests gather; each of them is
answered when all stores that it concerns have it on the disk.  A failed write stops everything
until the stores have been opened anew, as nobody knows then what is on the disk.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import monotonic
from typing import TypeVar

from e91.keys.databases.interface import Folding, KeyChunk, KeyDatabase
from e91.keys.holdings.agreement import (
    check_agreement,
    levelled,
    repair_of,
    shared_alarms,
)
from e91.keys.holdings.events import (
    Deposited,
    Event,
    JournalRow,
    Part,
    Partner,
    decoded_row,
    encoded_row,
)
from e91.keys.holdings.folding import folding_of, loaded_holdings, new_holdings
from e91.keys.holdings.holdings import Holdings
from e91.keys.holdings.stored_keys import CHUNK, ChunkName, chunk_spans
from e91.model.errors import NotDelivered, StoreFailed

_log = logging.getLogger("e91")

FOLD_EVERY_S = 1.0
"""After which time used key is erased from the file, at most some commits later."""

FOLD_AT_BYTES = 2**24
"""Size of the journal at which it is folded earlier."""

_CACHED_CHUNKS = 256  # 8 MiB a store
_LONGEST_PAUSE_S = 30.0

_Value = TypeVar("_Value")


class _MissingChunks(Exception):
    """Key is on the disk still that must be in memory first."""

    def __init__(self, kme: str, names: list[ChunkName]) -> None:
        super().__init__(kme)
        self.kme = kme
        self.names = names


class _Store:
    """One KME's database, with the thread that uses it, and what it holds."""

    def __init__(self, kme: str, database: KeyDatabase, remote_peers: Iterable[str]) -> None:
        self.kme = kme
        self.database = database
        self._remote_peers = tuple(remote_peers)
        self.holdings = new_holdings(kme)
        self.cache: dict[ChunkName, bytes] = {}
        self.journal_bytes = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"store-{kme}")

    async def run(self, work: Callable[..., _Value], *arguments: object) -> _Value:
        """Do something with the database in its thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, work, *arguments)

    def open(self) -> dict[int, JournalRow]:
        """Open the database; return the rows of its journal by number."""
        rows = self.database.open()
        self.cache.clear()
        try:
            self.holdings = loaded_holdings(rows, self.kme)
            for peer in self._remote_peers:
                self.holdings.share(peer, ())  # until the other end has said what it has
            return {number: decoded_row(body) for number, body in rows.journal}
        except ValueError as error:
            raise StoreFailed(f"`{self.database.name}` cannot be used: {error}") from None

    def commit(self, row: JournalRow, chunks: Sequence[KeyChunk] = ()) -> None:
        """Write a row down."""
        body = encoded_row(row)
        self.database.commit(row.number, body, chunks)
        self.journal_bytes += len(body) + sum(len(chunk.content) for chunk in chunks) + 1

    def repair(self, row: JournalRow) -> None:
        """Write a row down, and let it happen."""
        self.commit(row)
        self.holdings.replay(row)

    def load(self, names: list[ChunkName]) -> None:
        """Read chunks into memory."""
        self.cache.update(zip(names, self.database.read_chunks(names), strict=True))

    def forget_chunks(self) -> None:
        """Keep the newest chunks in memory only."""
        for name in list(self.cache)[: max(0, len(self.cache) - _CACHED_CHUNKS)]:
            del self.cache[name]

    def forget_used(self, folding: Folding) -> None:
        """Drop every chunk from memory whose key was erased on the disk."""
        dead = set(folding.dead_blocks)
        for name in [*folding.zeroed, *folding.dead_chunks]:
            self.cache.pop(name, None)
        for name in [name for name in self.cache if name[0] in dead]:
            del self.cache[name]

    def leave(self) -> None:
        """End the thread, which has nothing more to do."""
        self._thread.shutdown()


class Batch:
    """What is decided together: events and contents for each store.

    Whoever decides reads all key and makes all checks first, and then applies events.
    """

    def __init__(self, stores: Mapping[str, _Store]) -> None:
        self._stores = stores
        self.events: dict[str, list[Event]] = {}
        self.chunks: dict[str, list[KeyChunk]] = {}

    def holdings(self, kme: str) -> Holdings:
        """Return what a KME holds, with the events of this batch."""
        return self._stores[kme].holdings

    def read(self, kme: str, parts: Iterable[Part]) -> bytes:
        """Return the bytes of parts of blocks, one after the other."""
        store = self._stores[kme]
        spans = [
            ((store.holdings.blocks[block_id].number, index), low, high)
            for block_id, start, stop in parts
            for index, low, high in chunk_spans(start, stop)
        ]
        missing = [name for name, _, _ in spans if name not in store.cache]
        if missing:
            raise _MissingChunks(kme, list(dict.fromkeys(missing)))
        return b"".join([store.cache[name][low:high] for name, low, high in spans])

    def apply(self, kme: str, event: Event) -> None:
        """Let an event happen at a KME, and have it written."""
        try:
            self._stores[kme].holdings.apply(event)
        except (ValueError, LookupError) as error:
            # Part of it happened perhaps: no refusal of a request, but a fault of whoever decides.
            raise RuntimeError("An event must be possible, but is not.") from error
        self.events.setdefault(kme, []).append(event)

    def deposit(self, kme: str, event: Deposited, content: bytes) -> None:
        """Let a block come in."""
        self.apply(kme, event)
        store = self._stores[kme]
        number = store.holdings.blocks[event.block_id].number
        for index, start in enumerate(range(0, len(content), CHUNK)):
            chunk = KeyChunk(number, index, content[start : start + CHUNK])
            self.chunks.setdefault(kme, []).append(chunk)
            store.cache[number, index] = chunk.content

    def rows(self) -> dict[str, JournalRow]:
        """Return the rows for the journals; each row names the others."""
        numbers = {kme: self._stores[kme].holdings.number + 1 for kme in self.events}
        partners = {
            kme: Partner(self._stores[kme].holdings.store_id, number)
            for kme, number in numbers.items()
        }
        return {
            kme: JournalRow(
                numbers[kme],
                {other: partner for other, partner in partners.items() if other != kme},
                events,
            )
            for kme, events in self.events.items()
        }


Decision = Callable[[Batch], _Value]
"""What decides about one request: it applies events, and returns the answer."""

_Waiting = tuple["asyncio.Future[object]", Decision[object]]
_Answer = tuple["asyncio.Future[object]", object]


class GroupCommit:
    """The writer.

    Args:
        databases: The store of every KME.
        remote_links: KMEs of this process, each with a KME of another one at the other end.
        reopen_after_s: How long after a failure the stores are opened anew, twice as long after
            each further one; None leaves them shut.
    """

    def __init__(
        self,
        databases: Mapping[str, KeyDatabase],
        *,
        remote_links: Iterable[tuple[str, str]] = (),
        reopen_after_s: float | None = 1.0,
    ) -> None:
        links = list(remote_links)
        self.stores = {
            kme: _Store(kme, database, (peer for home, peer in links if home == kme))
            for kme, database in databases.items()
        }
        self.failed: str | None = "The key stores must be open, but are shut."
        self._reopen_after_s = reopen_after_s
        self._waiting: list[_Waiting] = []
        self._work = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()
        self._is_closing = False
        self._folded_at = 0.0
        self._known_numbers: dict[str, int] = {}

    async def start(self) -> None:
        """Open all stores, and begin to serve.

        Raises:
            StoreFailed: One cannot be opened, or two do not belong together; all are shut then.
        """
        await self._open()
        self._writer = asyncio.create_task(self._serve())

    async def close(self) -> None:
        """Decide what waits, erase what is used, and shut the stores; may be called twice."""
        self._is_closing = True
        self._work.set()
        writer, self._writer = self._writer, None
        if writer is None:
            return
        await writer
        async with self._opening:
            if self.failed is None:
                try:
                    await self._fold()
                except NotDelivered as error:
                    _log.error("%s", error)
            self.failed = "The key stores must be open, but are shut."
            await self._shut()
        for store in self.stores.values():
            store.leave()

    async def decide(self, decision: Decision[_Value]) -> _Value:
        """Have something decided and written; return the answer once it is on the disk.

        Raises:
            StoreFailed: The stores are shut, or failed: it may have been written or not.
        """
        if self.failed is not None or self._is_closing:
            raise StoreFailed(self.failed or "The key stores must be open, but are being shut.")
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._waiting.append((future, decision))
        self._work.set()
        return await future  # type: ignore[return-value]

    async def reopen(self) -> None:
        """Open the stores anew after a failure; nothing happens if there was none.

        Raises:
            StoreFailed: One cannot be opened yet, or again.
        """
        async with self._opening:
            if self.failed is not None and not self._is_closing:
                await self._open()

    async def _serve(self) -> None:
        pause_s = self._reopen_after_s
        while not self._is_closing or self._waiting:
            if self.failed is None:
                await self._wait_for_work(self._fold_due_in_s())
                await self._serve_waiting()
                pause_s = self._reopen_after_s
                continue
            await self._wait_for_work(pause_s)
            if pause_s is not None and self.failed is not None:
                with suppress(StoreFailed):
                    await self.reopen()
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _wait_for_work(self, longest_s: float | None) -> None:
        if self._waiting:
            return
        self._work.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(longest_s):
                await self._work.wait()

    def _fold_due_in_s(self) -> float | None:
        """Return when the journal is to be folded at the latest; None if it is empty."""
        if not any(store.journal_bytes for store in self.stores.values()):
            return None
        return max(0.0, self._folded_at + FOLD_EVERY_S - monotonic())

    async def _serve_waiting(self) -> None:
        """Decide what waits, write it down, answer; fold the journal if it is time."""
        waiting, self._waiting = self._waiting, []
        try:
            for future, answer in await self._decided_together(waiting):
                _answer(future, answer)
            if self._is_fold_due():
                await self._fold()
        except Exception as error:  # noqa: BLE001 - whatever it is, memory and disk may differ now
            await self._fail(error, [future for future, _ in waiting])

    async def _decided_together(self, waiting: list[_Waiting]) -> list[_Answer]:
        """Return the answers to requests once all that they change is on the disk."""
        batch = Batch(self.stores)
        answers: list[_Answer] = [
            (future, await self._decided(batch, decision))
            for future, decision in waiting
            if not future.done()  # who does not wait any more needs no key
        ]
        await self._commit(batch)
        return answers

    async def _decided(self, batch: Batch, decision: Decision[object]) -> object:
        """Return the answer to a request, or the refusal."""
        while True:
            try:
                return decision(batch)
            except StoreFailed:
                raise
            except (NotDelivered, ValueError) as refusal:
                return refusal
            except _MissingChunks as missing:
                store, names = self.stores[missing.kme], missing.names
            await store.run(store.load, names)

    async def _commit(self, batch: Batch) -> None:
        """Write a batch to all stores that it concerns, at the same time."""
        rows = batch.rows()
        await _all(
            store.run(store.commit, rows[kme], batch.chunks.get(kme, ()))
            for kme, store in self.stores.items()
            if kme in rows
        )
        for kme, row in rows.items():
            self.stores[kme].holdings.close_row(row)
            self.stores[kme].forget_chunks()

    def _is_fold_due(self) -> bool:
        full = any(store.journal_bytes > FOLD_AT_BYTES for store in self.stores.values())
        return full or self._fold_due_in_s() == 0.0

    async def _fold(self) -> None:
        """Move the journals into the tables, and erase used key there."""
        await self._acquaint()
        changed = [store for store in self.stores.values() if store.journal_bytes]
        foldings = [folding_of(store.holdings) for store in changed]
        await _all(
            store.run(store.database.fold, folding)
            for store, folding in zip(changed, foldings, strict=True)
        )
        for store, folding in zip(changed, foldings, strict=True):
            store.journal_bytes = 0
            store.forget_used(folding)
        self._folded_at = monotonic()

    async def _acquaint(self) -> None:
        """Let all stores know how far the others are, so that one from a backup is found out."""
        numbers = {kme: store.holdings.number for kme, store in self.stores.items()}
        if len(numbers) > 1 and numbers != self._known_numbers:
            batch = Batch(self.stores)
            batch.events.update((kme, []) for kme in self.stores)
            await self._commit(batch)
            self._known_numbers = {kme: number + 1 for kme, number in numbers.items()}

    async def _open(self) -> None:
        """Open all stores, and put their ends in agreement."""
        await self._shut()
        try:
            journals = {kme: await store.run(store.open) for kme, store in self.stores.items()}
            await self._agree(journals)
            for store in self.stores.values():
                store.journal_bytes = 1
            await self._fold()
        except BaseException:
            await self._shut()
            raise
        self.failed = None

    async def _agree(self, journals: Mapping[str, Mapping[int, JournalRow]]) -> None:
        """Repair what a crash left in the store of one end alone."""
        ends = {kme: store.holdings for kme, store in self.stores.items()}
        try:
            repair = repair_of(ends, journals)
            await self._repair(repair.ahead)
            await self._repair(repair.behind)
            await self._repair(shared_alarms(ends))
            await self._repair(levelled(ends))
            check_agreement(ends)
        except ValueError as error:
            raise StoreFailed(str(error)) from None

    async def _repair(self, rows: Mapping[str, JournalRow]) -> None:
        for kme, row in rows.items():
            _log.warning("The key store of %s is put in agreement with those of its peers.", kme)
            await self.stores[kme].run(self.stores[kme].repair, row)

    async def _shut(self) -> None:
        for store in self.stores.values():
            await store.run(store.database.close)

    async def _fail(self, error: Exception, futures: Iterable[asyncio.Future[object]]) -> None:
        """Stop everything: what is in memory may differ from what is on the disk."""
        if isinstance(error, NotDelivered):
            self.failed = str(error)
            _log.error("No key is delivered any more: %s", error)
        else:
            self.failed = "The writer of the key stores must not fail, but a fault ended it."
            _log.exception("No key is delivered any more.")
        waiting, self._waiting = self._waiting, []
        for future in (*futures, *(future for future, _ in waiting)):
            _answer(future, StoreFailed(self.failed))
        await self._shut()


async def _all(works: Iterable[Awaitable[None]]) -> None:
    """Wait until all is done, whatever fails, and then raise the first failure."""
    done = await asyncio.gather(*works, return_exceptions=True)
    for failure in done:
        if failure is not None:
            raise failure


def _answer(future: asyncio.Future[object], answer: object) -> None:
    """Give somebody who waits an answer or a refusal."""
    if future.done():
        return
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)
