"""The ledger of key uses: which key protected what, once; it holds no key bits.

Key files and key servers see to it that no key byte is given out twice.  The ledger is where this
machine's user reads what became of the keys, and a second lock: bytes that were entered as sent are
never sent under again, also where a key file was copied or restored from a backup, and by whatever
process.  An entry is safe on the disk before anything that the key protects leaves.

It is one SQLite file of one user on one machine: ``e91/key-usage.sqlite`` in XDG_STATE_HOME, else
in ``~/.local/state``, or the file that `PLACE` names.  Not promised: anything about other machines.
"""

import os
import sqlite3
import stat
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass, fields, replace
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import msgspec

from e91.model.errors import KeyUnavailable
from e91.system.durable import PRIVATE, WriteFailed

PLACE = "E91_KEY_LEDGER"
"""Environment variable: the file of the ledger, instead of the usual one."""

Role = Literal["sent", "received"]
"""Whether the key protected what this user sent, or what it received."""

VERSION = 1
_WAIT_S = 30.0

_MACHINE_FAILS = {
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_READONLY,
}  # fmt: skip
"""What SQLite says where not the file is wrong, but disk, memory or another process."""

_TABLE = """
CREATE TABLE usage (
    number INTEGER PRIMARY KEY,
    key_id TEXT NOT NULL, start INTEGER NOT NULL, stop INTEGER NOT NULL, role TEXT NOT NULL,
    cipher TEXT NOT NULL, name TEXT NOT NULL, used_at REAL NOT NULL, security TEXT NOT NULL,
    epsilon REAL, reproducible INTEGER NOT NULL, peer TEXT, protected_bytes INTEGER
)"""
_INDEX = "CREATE INDEX usage_by_key ON usage (key_id, role, start)"


@dataclass(frozen=True)
class KeyUsage:
    """What some bytes of a key were used for.

    Attributes:
        key_id: Which key; a UUID in hexadecimal with hyphens.
        start: Offset in the key of the first byte used.
        stop: Offset behind the last one.
        role: Whether it protected what was sent or what was received.
        cipher: E.g. "one-time-pad".
        name: What was protected, e.g. a file's name.
        used_at: When; UTC, seconds since 1970.
        security: The model under which the key is secret, e.g. "trusted-analysers".
        epsilon: The key's composable failure probability; None if no theorem gives one.
        reproducible: Whether whoever knows a seed can make the key again.
        peer: Who is at the other end, as far as that is known.
        protected_bytes: How many bytes of data it protected; None if that was never entered, as
            after a crash.

    Raises:
        ValueError: ``start`` is negative, or not before ``stop``.

    Examples:
        >>> use = KeyUsage("0f0e0d0c-0b0a-4908-8706-050403020100", 0, 32, "sent", "aes-256-gcm",
        ...     "film.mkv", 0.0, "trusted-analysers", 1e-10, reproducible=False)
        >>> use.stop - use.start, use.protected_bytes
        (32, None)
    """

    key_id: str
    start: int
    stop: int
    role: Role
    cipher: str
    name: str
    used_at: float
    security: str
    epsilon: float | None
    reproducible: bool
    peer: str | None = None
    protected_bytes: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.stop:
            raise ValueError(
                f"`start` must be before `stop`, from 0, but they are {self.start}, {self.stop}."
            )


_COLUMNS = ", ".join(field.name for field in fields(KeyUsage))
_PLACES = ", ".join("?" for _ in fields(KeyUsage))


def usage_ledger_file() -> Path:
    """Return the file in which this user's key uses are entered.

    Returns:
        Its path; the file need not be there.

    Source:
        XDG Base Directory Specification 0.8 (XDG_STATE_HOME).

    Examples:
        >>> from unittest.mock import patch
        >>> with patch.dict(os.environ, {PLACE: "/var/lib/e91/ledger.sqlite"}):
        ...     usage_ledger_file().as_posix()
        '/var/lib/e91/ledger.sqlite'
    """
    if place := os.environ.get(PLACE):
        return Path(place)
    state = os.environ.get("XDG_STATE_HOME")
    folder = Path(state) if state else Path.home() / ".local" / "state"
    return folder / "e91" / "key-usage.sqlite"


class UsageLedger:
    """An open ledger; several processes may have it open at once.

    Args:
        path: The file, made if it is not there (mode 0600); by default `usage_ledger_file`.

    Raises:
        ValueError: It cannot be opened, is no ledger, or is of a later version.

    Examples:
        >>> import tempfile
        >>> use = KeyUsage("0f0e0d0c-0b0a-4908-8706-050403020100", 0, 32, "sent", "aes-256-gcm",
        ...                "film.mkv", 0.0, "trusted-analysers", 1e-10, False)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with UsageLedger(Path(folder, "ledger")) as ledger:
        ...         ledger.enter([use])
        ...         ledger.protected(use, 1000)
        ...         [(entry.name, entry.protected_bytes) for entry in ledger.usages()]
        ...         ledger.enter([use])
        Traceback (most recent call last):
        ...
        e91.model.errors.KeyUnavailable: Key bytes must be used once, but bytes 0 to 32 of key ...
    """

    def __init__(self, path: Path | str | None = None) -> None:
        self.path = usage_ledger_file() if path is None else Path(path)
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Made here, as SQLite would let others read it; a pipe would keep it waiting.
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
            with FileIO(os.open(self.path, flags, PRIVATE), "r+") as file:
                is_regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
        except OSError as error:
            raise ValueError(
                f"`{self.path}` must be a key ledger that can be written, but {error.strerror}."
            ) from None
        if not is_regular:
            raise ValueError(f"`{self.path}` must be a key ledger, but is no regular file.")
        self._connection = sqlite3.connect(
            self.path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False
        )
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def enter(self, usages: Iterable[KeyUsage]) -> None:
        """Enter uses of keys, all or none; when this returns, a power failure does not undo it.

        Args:
            usages: What the keys are about to be used for.

        Raises:
            KeyUnavailable: Some of the bytes were entered before in the same role.
            WriteFailed: The disk is full or fails.
        """
        with self._transaction():
            for usage in usages:
                self._refuse_second(usage)
                # A file's name may be no text; SQLite takes nothing else.
                name = usage.name.encode("utf-8", "backslashreplace").decode()
                self._connection.execute(
                    f"INSERT INTO usage ({_COLUMNS}) VALUES ({_PLACES})",
                    astuple(replace(usage, name=name)),
                )

    def protected(self, usage: KeyUsage, size: int) -> None:
        """Note how many bytes of data the key of an entry has protected by now.

        Args:
            usage: The entry, as it was entered.
            size: Bytes of data.

        Raises:
            WriteFailed: The disk is full or fails.
        """
        with self._transaction():
            self._connection.execute(
                "UPDATE usage SET protected_bytes = ? WHERE key_id = ? AND start = ? AND role = ?",
                (size, usage.key_id, usage.start, usage.role),
            )

    def usages(self, *, key_id: str | None = None) -> Iterator[KeyUsage]:
        """Yield all entries, or those of one key, in the order in which they were made.

        Args:
            key_id: Whose entries; all if not given.
        """
        query = f"SELECT {_COLUMNS} FROM usage"
        asked = () if key_id is None else (key_id,)
        query += " WHERE key_id = ? ORDER BY number" if asked else " ORDER BY number"
        with self._named(), closing(self._connection.execute(query, asked)) as rows:
            for row in rows:
                found = dict(zip((field.name for field in fields(KeyUsage)), row, strict=True))
                yield self._read_back(found | {"reproducible": bool(found["reproducible"])})

    def _read_back(self, found: dict[str, object]) -> KeyUsage:
        """Return an entry as it was written; SQLite keeps a value of any type in any column."""
        try:
            return msgspec.convert(found, KeyUsage)
        except msgspec.ValidationError:
            raise ValueError(
                f"`{self.path}` must be a key ledger, but holds an entry that is none."
            ) from None

    def _prepare(self) -> None:
        with self._named():
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute("BEGIN IMMEDIATE")
            version = self._connection.execute("PRAGMA user_version").fetchone()[0]
            if version > VERSION:
                raise ValueError(
                    f"`{self.path}` must be a key ledger of version {VERSION}, but is of {version}."
                )
            if version == 0:
                self._connection.execute(_TABLE)
                self._connection.execute(_INDEX)
                self._connection.execute(f"PRAGMA user_version = {VERSION}")
            self._connection.execute("COMMIT")
            # Before a key is used, not when its use is entered.
            (state,) = self._connection.execute("PRAGMA quick_check(1)").fetchone()
            if state != "ok":
                raise ValueError(f"`{self.path}` must be a key ledger, but is damaged: {state}.")

    def _refuse_second(self, usage: KeyUsage) -> None:
        before = self._connection.execute(
            "SELECT name FROM usage WHERE key_id = ? AND role = ? AND start < ? AND stop > ?",
            (usage.key_id, usage.role, usage.stop, usage.start),
        ).fetchone()
        if before is not None:
            raise KeyUnavailable(
                f"Key bytes must be used once, but bytes {usage.start:,} to {usage.stop:,} of key "
                f"{usage.key_id} were {usage.role} before, for `{before[0]}`, says the ledger "
                f"`{self.path}`."
            )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._named():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Put what SQLite complains about into a sentence that names the file."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _MACHINE_FAILS:
                raise WriteFailed(None, str(error), str(self.path)) from error
            raise ValueError(f"`{self.path}` must be a key ledger, but {error}.") from None
