"""A store in one SQLite file, with its write-ahead log beside it.

One connection writes, and holds the file locked from `open` to `close`.  ``synchronous=FULL``: a
commit returns when the log is on the disk.  ``secure_delete``: what is deleted or overwritten
becomes zeros in the file; the log is cut to nothing after each folding.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

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
from e91.system import durable

APPLICATION = 0x4539314B
"""What the header of the file says of whose it is: E91K."""

_SCHEMA = (
    *(
        f"CREATE TABLE {table.value} (number INTEGER PRIMARY KEY, body BLOB)"
        for table in StoreTable
    ),
    "CREATE TABLE journal (number INTEGER PRIMARY KEY, body BLOB)",
    "CREATE TABLE chunks (block INTEGER, place INTEGER, content BLOB, PRIMARY KEY (block, place))",
)


class SqliteDatabase:
    """A store in one file, which only its owner can read.

    Args:
        path: Where it is; made when it is opened, if it is not there.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     database = SqliteDatabase(Path(folder, "alice.sqlite"))
        ...     database.open()
        ...     database.close()
        StoredRows(0 in the journal, 0 chunks)
    """

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path)
        self._connection: sqlite3.Connection | None = None
        self._inode = (0, 0)

    def __repr__(self) -> str:
        return f"SqliteDatabase({str(self._path)!r})"

    @property
    def name(self) -> str:
        """The path of the file."""
        return str(self._path)

    def open(self) -> StoredRows:
        """Return all rows, after locking and checking the file; see `KeyDatabase.open`."""
        self.close()
        try:
            with self._failures("opened"):
                self._connect()
                self._settle()
                return self._read()
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
        stored = with_checksum(body, JOURNAL, number)
        with self._transaction() as connection:
            connection.execute("INSERT INTO journal VALUES (?, ?)", (number, stored))
            if chunks:
                connection.executemany("INSERT INTO chunks VALUES (?, ?, ?)", map(_row_of, chunks))

    def read_chunks(self, names: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the contents of chunks; see `KeyDatabase.read_chunks`.

        Args:
            names: Block and index of each.
        """
        with self._failures("read"):
            return [self._chunk(name) for name in names]

    def fold(self, folding: Folding) -> None:
        """Move the journal into the tables; see `KeyDatabase.fold`.

        Args:
            folding: What the tables have to hold afterwards.
        """
        with self._transaction() as connection:
            for table, numbers in folding.remove.items():
                connection.executemany(
                    f"DELETE FROM {table.value} WHERE number = ?", ((one,) for one in numbers)
                )
            for table, rows in folding.put.items():
                connection.executemany(
                    f"INSERT OR REPLACE INTO {table.value} VALUES (?, ?)",
                    ((n, with_checksum(body, table.value, n)) for n, body in rows),
                )
            for name, spans in folding.zeroed.items():
                content = zeroed(self._chunk(name), spans)
                connection.execute(
                    "UPDATE chunks SET content = ? WHERE block = ? AND place = ?",
                    (with_checksum(content, CHUNKS, *name), *name),
                )
            connection.executemany(
                "DELETE FROM chunks WHERE block = ? AND place = ?", folding.dead_chunks
            )
            connection.executemany(
                "DELETE FROM chunks WHERE block = ?", ((block,) for block in folding.dead_blocks)
            )
            connection.execute("DELETE FROM journal WHERE number <= ?", (folding.journal_to,))
        with self._failures("written"):
            self._open_connection().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        """Let go of the file; see `KeyDatabase.close`."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _connect(self) -> None:
        """Open the file, which is made if it is not there, and lock it."""
        if not os.path.lexists(self._path):
            with suppress(ValueError):  # another process made it in this instant
                durable.create(self._path, mode=durable.PRIVATE).close()
                durable.flush_folder(self._path.parent)
        try:
            file = durable.open_regular(self._path, writable=True, kind="a key store of E91")
        except ValueError as error:
            raise StoreFailed(str(error)) from None
        with file:
            found = os.fstat(file.fileno())
            self._inode = found.st_dev, found.st_ino
        if found.st_nlink > 1:  # under another name it would have another log
            raise StoreFailed(f"`{self.name}` must have one name, but is a hard link of another.")
        connection = sqlite3.connect(
            self._path, isolation_level=None, check_same_thread=False, timeout=0
        )
        self._connection = connection
        # Before anything else: in this mode there is no file of shared memory.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("COMMIT")

    def _settle(self) -> None:
        """Find out what the file is, and prepare it for writing."""
        connection = self._open_connection()
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (objects,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if application != APPLICATION and (application or version or objects):
            raise StoreFailed(
                f"`{self.name}` must be a key store of E91, but is a database of another program."
            )
        if version > VERSION:
            raise StoreFailed(
                f"`{self.name}` must be a key store of at most version {VERSION}, but has version "
                f"{version}: it was written by a newer E91."
            )
        for pragma in ("synchronous = FULL", "secure_delete = ON", "trusted_schema = OFF",
                       "cell_size_check = ON", "fullfsync = ON", "checkpoint_fullfsync = ON",
                       "temp_store = MEMORY", "wal_autocheckpoint = 0"):  # fmt: skip
            connection.execute(f"PRAGMA {pragma}").fetchall()
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise StoreFailed(f"`{self.name}` must lie where SQLite can keep a log, but does not.")
        if not objects:
            self._make()
        elif version < VERSION:
            self._add_checksums()
        found = [text for (text,) in connection.execute("PRAGMA integrity_check(1)")]
        if found != ["ok"]:
            raise StoreFailed(f"`{self.name}` must be whole, but is damaged: {found[0]}.")

    def _make(self) -> None:
        with self._transaction() as connection:
            for statement in _SCHEMA:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {VERSION}")

    def _add_checksums(self) -> None:
        """Bring a store from version 1 to version 2."""
        with self._transaction() as connection:
            for table in (*(table.value for table in StoreTable), JOURNAL):
                rows = connection.execute(f"SELECT number, body FROM {table}").fetchall()
                connection.executemany(
                    f"UPDATE {table} SET body = ? WHERE number = ?",
                    ((with_checksum(body, table, number), number) for number, body in rows),
                )
            names = connection.execute("SELECT block, place FROM chunks").fetchall()
            for name in names:
                query = "SELECT content FROM chunks WHERE block = ? AND place = ?"
                (content,) = connection.execute(query, name).fetchone()
                connection.execute(
                    "UPDATE chunks SET content = ? WHERE block = ? AND place = ?",
                    (with_checksum(content, CHUNKS, *name), *name),
                )
            connection.execute(f"PRAGMA user_version = {VERSION}")

    def _read(self) -> StoredRows:
        chunks = self._open_connection().execute("SELECT * FROM chunks ORDER BY block, place")
        return StoredRows(
            {table: self._rows(table.value) for table in StoreTable},
            self._rows(JOURNAL),
            [
                (block, place, len(self._checked(content, CHUNKS, block, place)))
                for block, place, content in chunks
            ],
        )

    def _rows(self, table: str) -> list[Numbered]:
        query = f"SELECT number, body FROM {table} ORDER BY number"
        rows = self._open_connection().execute(query)
        return [(number, self._checked(body, table, number)) for number, body in rows]

    def _chunk(self, name: tuple[int, int]) -> bytes:
        query = "SELECT content FROM chunks WHERE block = ? AND place = ?"
        row = self._open_connection().execute(query, name).fetchone()
        return self._checked(row[0] if row else b"", CHUNKS, *name)

    def _checked(self, stored: bytes, *place: str | int) -> bytes:
        content = without_checksum(stored, *place)
        if content is None:
            raise StoreFailed(f"`{self.name}` must be whole, but a part of it is damaged.")
        return content

    def _open_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreFailed(f"`{self.name}` must be open, but is shut.")
        return self._connection

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Write all or nothing of the block, durably; refuse if the file went from its place."""
        with self._failures("written"):
            found = self._path.stat()
            if (found.st_dev, found.st_ino) != self._inode:
                raise StoreFailed(f"`{self.name}` must stay in its place, but was replaced.")
            connection = self._open_connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _failures(self, done: str) -> Iterator[None]:
        """Make one sentence of what goes wrong in the block."""
        try:
            yield
        except sqlite3.Error as error:
            words = _WORDS.get(getattr(error, "sqlite_errorname", ""), f"{error}")
            raise StoreFailed(f"`{self.name}` must be {done}, but: {words}.") from None
        except OSError as error:
            reason = durable.reason(error)
            raise StoreFailed(f"`{self.name}` must be {done}, but {reason}.") from None


_WORDS = {
    "SQLITE_BUSY": "another process has it open",
    "SQLITE_FULL": "the disk is full",
    "SQLITE_NOTADB": "it is no database",
}


def _row_of(chunk: KeyChunk) -> tuple[int, int, bytes]:
    """Return a chunk as a row."""
    stored = with_checksum(chunk.content, CHUNKS, chunk.block, chunk.index)
    return chunk.block, chunk.index, stored
