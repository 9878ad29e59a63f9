"""The file in which keys between two networks are kept while they are on their way.

It belongs to the store of the KME at the border: it holds key until that is at its place, and is
erased then (``secure_delete``, and the write-ahead log is emptied).  One process at a time has it.
What a call wrote is there after a power failure once the call has returned, all or nothing of it.
"""

import fcntl
import os
import secrets
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import msgspec

from e91.delivery.between_networks.incoming import Incoming
from e91.delivery.between_networks.outgoing import Outgoing
from e91.model.errors import StoreFailed
from e91.system.durable import PRIVATE

VERSION = 1
"""The layout of the file that is written."""

_KINDS: dict[type, str] = {Outgoing: "outgoing", Incoming: "incoming"}
_TABLES = (
    "CREATE TABLE secret (value BLOB NOT NULL)",
    *(
        f"CREATE TABLE {kind} (key_id BLOB PRIMARY KEY, active INTEGER NOT NULL, ended_at REAL, "
        "pair BLOB NOT NULL, body BLOB NOT NULL) WITHOUT ROWID"
        for kind in _KINDS.values()
    ),
    *(f"CREATE INDEX {kind}_active ON {kind} (active) WHERE active" for kind in _KINDS.values()),
    *(f"CREATE INDEX {kind}_pair ON {kind} (pair)" for kind in _KINDS.values()),
)

Transfer = TypeVar("Transfer", Outgoing, Incoming)

SaePair = tuple[str, tuple[str, ...]]
"""The SAE that asked for a key, and those that it is for."""


class TransferLedger:
    """Keys on their way between two networks, durably; calls come from one thread at a time.

    Attributes:
        path: The file; it is made if it is not there.
        secret: Random bytes of this ledger alone, for keyed hashes; there once it is open.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.secret = path, b""
        self._lock = -1
        self._database: sqlite3.Connection | None = None

    def open(self) -> None:
        """Lock it against all others, check it, and make its tables if it is new.

        Raises:
            StoreFailed: Another process has it, it is damaged, or newer than this program.
        """
        lock = _locked(self.path)
        try:
            database = _opened(self.path)
            (self.secret,) = database.execute("SELECT value FROM secret").fetchone()
        except sqlite3.Error as error:
            os.close(lock)
            raise _failed(self.path, error) from None
        except StoreFailed:
            os.close(lock)
            raise
        self._lock, self._database = lock, database

    def active(self, kind: type[Transfer]) -> list[Transfer]:
        """Return the keys of a kind about which something is or may be to be done."""
        query = f"SELECT body FROM {_KINDS[kind]} WHERE active"
        return [_decoded(body, kind) for (body,) in self._run(query)]

    def find(self, kind: type[Transfer], key_ids: Sequence[UUID]) -> dict[UUID, Transfer]:
        """Return the keys of a kind that are known among some."""
        query = f"SELECT body FROM {_KINDS[kind]} WHERE key_id = ?"
        rows = [row for key_id in key_ids for row in self._run(query, key_id.bytes)]
        found = [_decoded(body, kind) for (body,) in rows]
        return {key.key_id: key for key in found}

    def of_pair(self, kind: type[Transfer], pair: SaePair) -> list[Transfer]:
        """Return all keys of a kind and of a pair."""
        query = f"SELECT body FROM {_KINDS[kind]} WHERE pair = ?"
        return [_decoded(body, kind) for (body,) in self._run(query, _encoded(pair))]

    def write(self, *transfers: Outgoing | Incoming) -> None:
        """Write some keys, all or none; those that are known are overwritten.

        Raises:
            StoreFailed: Nothing of it was written.
        """
        database = self._opened()
        try:
            with database:
                database.execute("BEGIN IMMEDIATE")
                for key in transfers:
                    database.execute(
                        f"INSERT OR REPLACE INTO {_KINDS[type(key)]} VALUES (?, ?, ?, ?, ?)",
                        _row(key),
                    )
            if any(key.value is None for key in transfers):
                database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise _failed(self.path, error) from None

    def forget(self, *, before: float) -> None:
        """Forget the keys that ended before a moment, about which nothing is to be done."""
        for kind in _KINDS.values():
            self._run(f"DELETE FROM {kind} WHERE NOT active AND ended_at < ?", before)

    def close(self) -> None:
        """Let go of it; may be called twice."""
        if self._database is not None:
            self._database.close()
            os.close(self._lock)
            self._database = None

    def _opened(self) -> sqlite3.Connection:
        if self._database is None:
            raise StoreFailed(f"The transfers in `{self.path}` are not open.")
        return self._database

    def _run(self, query: str, *values: object) -> list[tuple[bytes]]:
        try:
            return self._opened().execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise _failed(self.path, error) from None


def _locked(path: Path) -> int:
    """Return the descriptor that keeps others out, as long as it is open."""
    try:
        descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise StoreFailed(f"Another process has the transfers in `{path}` open.") from None
    except OSError as error:
        raise StoreFailed(f"`{path}` must be a file that can be written: {error}.") from None
    return descriptor


def _opened(path: Path) -> sqlite3.Connection:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE))
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    for line in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON"):
        database.execute(f"PRAGMA {line}").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise StoreFailed(f"`{path}` has the layout {version}, but the newest known is {VERSION}.")
    if database.execute("PRAGMA quick_check").fetchone() != ("ok",):
        raise StoreFailed(f"`{path}` is damaged: what was handed over cannot be known.")
    if version < VERSION:
        with database:
            database.execute("BEGIN IMMEDIATE")
            for line in _TABLES:
                database.execute(line)
            database.execute("INSERT INTO secret VALUES (?)", (secrets.token_bytes(32),))
            database.execute(f"PRAGMA user_version = {VERSION}")
    return database


def _failed(path: Path, error: sqlite3.Error) -> StoreFailed:
    return StoreFailed(f"The transfers in `{path}` cannot be read or written: {error}.")


def _row(key: Outgoing | Incoming) -> tuple[bytes, bool, float | None, bytes, bytes]:
    ended_at = key.ended_at if key.is_ended else None
    return key.key_id.bytes, not key.is_ended, ended_at, _encoded(key.pair), _encoded(key)


def _encoded(content: object) -> bytes:
    return msgspec.msgpack.encode(content)


def _decoded(body: bytes, kind: type[Transfer]) -> Transfer:
    return msgspec.msgpack.decode(body, type=kind)
