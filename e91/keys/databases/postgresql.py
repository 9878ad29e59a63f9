"""A store in one schema of a PostgreSQL database.

A lock of the session holds all others off, as long as the connection lives.  ``synchronous_commit``
is on and a server with ``fsync = off`` is refused: a commit returns when it is on the server's
disk.

Used key goes from the tables, but PostgreSQL keeps old versions of rows in their files.  So the
table of key is written anew (``VACUUM FULL``) when the store is shut, and whenever more than half
of what it takes is used key.

Not promised: that used key is gone from the server's write-ahead log, which PostgreSQL keeps as
long as it likes, nor from the blocks of the disk on which the old file of the table lay.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from e91.keys.databases.interface import (
    CHUNKS,
    JOURNAL,
    VERSION,
    Folding,
    KeyChunk,
    Numbered,
    StoredRows,
    StoreTable,
    with_checksum,
    without_checksum,
    zeroed,
)
from e91.model.errors import StoreFailed
from e91.system.extras import extra

_CONNECT_WITHIN_S = 10.0
_ANSWER_WITHIN_S = 30.0
_TRIES = 30  # to lock: the server may not have noticed yet that the last holder was killed
_PAUSE_S = 0.1
_AT_ONCE = 64  # chunks, 2 MiB
_CHUNK_BYTES = 2**15  # at most
_REWRITE_AT_BYTES = 2**24  # of used key, at least
_REWRITE_WITHIN_S = 600.0
_REWRITE = "VACUUM (FULL) chunks"
_TABLES = (*(table.value for table in StoreTable), JOURNAL)
_SCHEMA = (
    "CREATE TABLE version (number INT NOT NULL)",
    *(
        f"CREATE TABLE {table} (number BIGINT PRIMARY KEY, body BYTEA NOT NULL)"
        for table in _TABLES
    ),
    "CREATE TABLE chunks (block BIGINT, place INT, content BYTEA, PRIMARY KEY (block, place))",
)
_SECRETS = re.compile(r"(?<=//)[^/]*@|\?.*")  # user and password; options, which may hold one
_PLAIN_NAME = re.compile(r"[a-z0-9_-]{1,50}")

_Value = TypeVar("_Value")


class PostgresDatabase:
    """A store in a schema of its own.

    Args:
        url: ``postgresql://user:password@host:port/database``, or any other that libpq knows.
        kme: Name of the KME, from which the schema has its name.

    Raises:
        MissingPackage: asyncpg is not installed.

    Examples:
        Nothing is connected before `open`, which needs a server; a password is not shown:

        >>> PostgresDatabase("postgresql://e91:secret@localhost/keys", kme="alice").name
        'postgresql://localhost/keys#e91_alice'
    """

    def __init__(self, url: str, *, kme: str) -> None:
        self._asyncpg = extra("asyncpg", what="A key store in PostgreSQL")
        self._url = url
        self._schema = schema_of(kme)
        self._runner: asyncio.Runner | None = None
        self._connection: Any = None
        self._used_bytes = 0

    def __repr__(self) -> str:
        return f"PostgresDatabase({self.name!r})"

    @property
    def name(self) -> str:
        """The address without user, password and options; the schema."""
        place = _SECRETS.sub("", self._url)
        return f"{place}#{self._schema}"

    def open(self) -> StoredRows:
        """Return all rows, after connecting, locking and checking; see `KeyDatabase.open`."""
        self.close()
        self._runner = asyncio.Runner()
        try:
            return self._run("opened", self._open())
        except StoreFailed:
            self.close()
            raise

    def commit(self, number: int, body: bytes, chunks: Sequence[KeyChunk] = ()) -> None:
        """Append a row to the journal; see `KeyDatabase.commit`.

        Args:
            number: Of the row, one more than that of the last.
            body: What the row says.
            chunks: Content of new blocks.
        """
        self._run("written", self._commit(number, with_checksum(body, JOURNAL, number), chunks))

    def read_chunks(self, names: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the contents of chunks; see `KeyDatabase.read_chunks`.

        Args:
            names: Block and index of each.
        """
        return self._run("read", self._chunks(names))

    def fold(self, folding: Folding) -> None:
        """Move the journal into the tables; see `KeyDatabase.fold`.

        Args:
            folding: What the tables have to hold afterwards.
        """
        self._run("written", self._fold(folding))
        self._used_bytes += _used_by(folding)
        if self._used_bytes > _REWRITE_AT_BYTES:
            self._run("written", self._rewrite_if_half_is_used())

    def close(self) -> None:
        """Disconnect; see `KeyDatabase.close`."""
        runner, self._runner = self._runner, None
        connection, self._connection = self._connection, None
        if runner is None:
            return
        with suppress(Exception):  # the server may be gone, and nothing is left to be saved
            if connection is not None:
                if self._used_bytes and not connection.is_closed():
                    runner.run(connection.execute(_REWRITE, timeout=_REWRITE_WITHIN_S))
                    self._used_bytes = 0
                runner.run(connection.close(timeout=_CONNECT_WITHIN_S))
        runner.close()

    async def _open(self) -> StoredRows:
        self._connection = await self._asyncpg.connect(
            self._url,
            timeout=_CONNECT_WITHIN_S,
            command_timeout=_ANSWER_WITHIN_S,
            server_settings={
                "application_name": "e91",
                "search_path": quoted(self._schema),
                # A holder of the lock that was cut off must not keep it for two hours.
                "tcp_keepalives_idle": "20",
                "tcp_keepalives_interval": "5",
                "tcp_keepalives_count": "3",
            },
        )
        await self._lock()
        await self._settle()
        return await self._read()

    async def _lock(self) -> None:
        """Keep every other process off this schema while the connection lives."""
        digest = hashlib.sha256(self._schema.encode()).digest()
        key = int.from_bytes(digest[:8], "big", signed=True)
        for _ in range(_TRIES):
            if await self._connection.fetchval("SELECT pg_try_advisory_lock($1)", key):
                return
            await asyncio.sleep(_PAUSE_S)
        raise StoreFailed(f"`{self.name}` must be opened, but: another process has it open.")

    async def _settle(self) -> None:
        """Find out what the schema holds, and prepare it for writing."""
        if await self._connection.fetchval("SHOW fsync") != "on":
            raise StoreFailed(f"`{self.name}` must be on a server with fsync on, but it is off.")
        await self._connection.execute("SET synchronous_commit = on")
        known = await self._connection.fetchval(
            "SELECT count(*) FROM pg_namespace WHERE nspname = $1", self._schema
        )
        async with self._connection.transaction():
            if not known:
                await self._make()
            version = await self._connection.fetchval("SELECT number FROM version")
            if version is None or version > VERSION:
                raise StoreFailed(
                    f"`{self.name}` must be a key store of at most version {VERSION}, but has "
                    f"version {version}: it was written by a newer E91."
                )
            if version < VERSION:
                await self._add_checksums()

    async def _make(self) -> None:
        await self._connection.execute(f"CREATE SCHEMA {quoted(self._schema)}")
        for statement in _SCHEMA:
            await self._connection.execute(statement)
        await self._connection.execute("INSERT INTO version VALUES ($1)", VERSION)

    async def _add_checksums(self) -> None:
        """Bring a store from version 1 to version 2."""
        for table in _TABLES:
            rows = await self._connection.fetch(f"SELECT number, body FROM {table}")
            await self._connection.executemany(
                f"UPDATE {table} SET body = $2 WHERE number = $1",
                [(number, with_checksum(body, table, number)) for number, body in rows],
            )
        for name in await self._connection.fetch("SELECT block, place FROM chunks"):
            content = await self._stored_chunk(*name)
            await self._put_chunk(name, content)
        await self._connection.execute("UPDATE version SET number = $1", VERSION)

    async def _read(self) -> StoredRows:
        async with self._connection.transaction(isolation="repeatable_read", readonly=True):
            query = "SELECT block, place, content FROM chunks ORDER BY block, place"
            chunks = [
                (block, place, len(self._checked(content, CHUNKS, block, place)))
                async for block, place, content in self._connection.cursor(query, prefetch=_AT_ONCE)
            ]
            tables = {table: await self._rows(table.value) for table in StoreTable}
            return StoredRows(tables, await self._rows(JOURNAL), chunks)

    async def _rows(self, table: str) -> list[Numbered]:
        query = f"SELECT number, body FROM {table} ORDER BY number"
        rows = await self._connection.fetch(query)
        return [(number, self._checked(body, table, number)) for number, body in rows]

    async def _commit(self, number: int, stored: bytes, chunks: Sequence[KeyChunk]) -> None:
        insert = "INSERT INTO journal VALUES ($1, $2)"
        if not chunks:  # one way there and back instead of three
            await self._connection.execute(insert, number, stored)
            return
        async with self._connection.transaction():
            await self._connection.execute(insert, number, stored)
            await self._connection.executemany(
                "INSERT INTO chunks VALUES ($1, $2, $3)",
                [
                    (
                        chunk.block,
                        chunk.index,
                        with_checksum(chunk.content, CHUNKS, chunk.block, chunk.index),
                    )
                    for chunk in chunks
                ],
            )

    async def _chunks(self, names: Sequence[tuple[int, int]]) -> list[bytes]:
        return [self._checked(await self._stored_chunk(*name), CHUNKS, *name) for name in names]

    async def _stored_chunk(self, block: int, place: int) -> bytes:
        query = "SELECT content FROM chunks WHERE block = $1 AND place = $2"
        return await self._connection.fetchval(query, block, place) or b""

    async def _put_chunk(self, name: Sequence[int], content: bytes) -> None:
        await self._connection.execute(
            "UPDATE chunks SET content = $3 WHERE block = $1 AND place = $2",
            *name,
            with_checksum(content, CHUNKS, *name),
        )

    async def _fold(self, folding: Folding) -> None:
        async with self._connection.transaction():
            for table, numbers in folding.remove.items():
                query = f"DELETE FROM {table.value} WHERE number = ANY($1::bigint[])"
                await self._connection.execute(query, numbers)
            for table, rows in folding.put.items():
                await self._put(table.value, rows)
            for name, spans in folding.zeroed.items():
                [content] = await self._chunks([name])
                await self._put_chunk(name, zeroed(content, spans))
            await self._connection.execute(
                "DELETE FROM chunks WHERE block = ANY($1::bigint[])", folding.dead_blocks
            )
            await self._connection.execute(
                "DELETE FROM chunks USING unnest($1::bigint[], $2::int[]) AS gone (block, place)"
                " WHERE chunks.block = gone.block AND chunks.place = gone.place",
                [block for block, _ in folding.dead_chunks],
                [place for _, place in folding.dead_chunks],
            )
            query = "DELETE FROM journal WHERE number <= $1"
            await self._connection.execute(query, folding.journal_to)

    async def _rewrite_if_half_is_used(self) -> None:
        """Write the table of key anew, so that used key is not in its file any more."""
        size = await self._connection.fetchval("SELECT pg_total_relation_size('chunks')")
        if 2 * self._used_bytes > size:
            await self._connection.execute(_REWRITE, timeout=_REWRITE_WITHIN_S)
            self._used_bytes = 0

    async def _put(self, table: str, rows: Sequence[Numbered]) -> None:
        await self._connection.execute(
            f"INSERT INTO {table} SELECT * FROM unnest($1::bigint[], $2::bytea[])"
            " ON CONFLICT (number) DO UPDATE SET body = excluded.body",
            [number for number, _ in rows],
            [with_checksum(body, table, number) for number, body in rows],
        )

    def _checked(self, stored: bytes, *place: str | int) -> bytes:
        content = without_checksum(stored, *place)
        if content is None:
            raise StoreFailed(f"`{self.name}` must be whole, but a part of it is damaged.")
        return content

    def _run(self, done: str, work: Coroutine[Any, Any, _Value]) -> _Value:
        """Run a coroutine to its end, in this thread."""
        if self._runner is None:
            work.close()
            raise StoreFailed(f"`{self.name}` must be open, but is shut.")
        with self._failures(done):
            return self._runner.run(work)

    @contextmanager
    def _failures(self, done: str) -> Iterator[None]:
        """Make one sentence of what goes wrong in the block, without the password."""
        asyncpg = self._asyncpg
        try:
            yield
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            words = str(error).splitlines()[0].rstrip(".") if str(error) else "no answer in time"
        else:
            return
        raise StoreFailed(f"`{self.name}` must be {done}, but: {words}.")


def _used_by(folding: Folding) -> int:
    """Return how many bytes a folding leaves in old rows, about: whole chunks."""
    dead = len(folding.zeroed) + len(folding.dead_chunks) + len(folding.dead_blocks)
    return _CHUNK_BYTES * dead


def schema_of(kme: str) -> str:
    """Return the schema in which the tables of a KME stand.

    Examples:
        >>> schema_of("alice"), schema_of("Zürich / 1")
        ('e91_alice', 'e91_0a3385f2caea5595244d1d76fe862168')
    """
    if _PLAIN_NAME.fullmatch(kme):
        return f"e91_{kme}"
    return f"e91_{hashlib.sha256(kme.encode()).hexdigest()[:32]}"


def quoted(name: str) -> str:
    """Return a name as SQL wants it.

    Examples:
        >>> quoted('a"b')
        '"a""b"'
    """
    doubled = name.replace('"', '""')
    return f'"{doubled}"'
