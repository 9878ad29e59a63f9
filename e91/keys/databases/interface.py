"""What a database must do for the key of one KME: numbered bodies of bytes in a few tables.

What the bodies mean is the business of `e91.keys.holdings`; a database keeps them, all or nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol
from zlib import crc32

VERSION = 2
"""The newest layout of the tables, and the one that is written.

From version 2 on every body and chunk ends with a check sum, see `with_checksum`.
"""


class StoreTable(Enum):
    """The tables of numbered bodies beside the journal; the value is the name."""

    HEADER = "header"
    BLOCKS = "blocks"
    GRANTS = "grants"
    IDENTIFIERS = "identifiers"


Numbered = tuple[int, bytes]
"""A row: its number and its body."""


@dataclass(frozen=True, eq=False, repr=False)
class KeyChunk:
    """A part of a block's content, which holds key.

    Attributes:
        block: Number of the block.
        index: Of the chunk in it.
        content: Its bytes.
    """

    block: int
    index: int
    content: bytes

    def __repr__(self) -> str:
        return f"KeyChunk({self.block}, {self.index}, {len(self.content):,} bytes)"


@dataclass(frozen=True, eq=False, repr=False)
class StoredRows:
    """All rows of a store but the chunks, each table by number.

    Attributes:
        tables: The bodies of each table.
        journal: What happened since the tables were written.
        chunks: Block, index and size of every chunk.
    """

    tables: dict[StoreTable, list[Numbered]]
    journal: list[Numbered]
    chunks: list[tuple[int, int, int]]

    def __repr__(self) -> str:
        return f"StoredRows({len(self.journal)} in the journal, {len(self.chunks)} chunks)"


@dataclass(frozen=True, eq=False, repr=False)
class Folding:
    """What goes from the journal into the tables, at once.

    Attributes:
        journal_to: Number of the last row of the journal that goes.
        put: Rows that are new, or take the place of those with their numbers.
        remove: Numbers of rows that go.
        dead_blocks: Blocks whose chunks all go.
        dead_chunks: Block and index of other chunks that go.
        zeroed: Intervals of the chunks that stay, which become zeros.
    """

    journal_to: int
    put: dict[StoreTable, list[Numbered]] = field(default_factory=dict)
    remove: dict[StoreTable, list[int]] = field(default_factory=dict)
    dead_blocks: list[int] = field(default_factory=list)
    dead_chunks: list[tuple[int, int]] = field(default_factory=list)
    zeroed: dict[tuple[int, int], list[tuple[int, int]]] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Folding(journal to row {self.journal_to})"


class KeyDatabase(Protocol):
    """A store that one process at a time has open.

    Every call but `open` wants it open.  What a call wrote is there after a power failure once the
    call has returned, and otherwise all or nothing of it is.  Calls come from one thread at a time.
    Any call may raise `StoreFailed`; the store must then be closed, and may be opened again.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from e91.keys.databases.sqlite import SqliteDatabase
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     database: KeyDatabase = SqliteDatabase(Path(folder, "alice.sqlite"))
        ...     print(database.open())
        ...     database.commit(1, b"a row")
        ...     print(database.open())
        ...     database.close()
        StoredRows(0 in the journal, 0 chunks)
        StoredRows(1 in the journal, 0 chunks)
    """

    @property
    def name(self) -> str:
        """What a sentence calls the store; without a password."""

    def open(self) -> StoredRows:
        """Lock it against all others, check it, bring it to the newest layout, and read it.

        Returns:
            All rows of its tables and of its journal.

        Raises:
            StoreFailed: Another process has it, it is damaged or newer than this program, or it
                cannot be reached; it is shut then.
        """

    def commit(self, number: int, body: bytes, chunks: Sequence[KeyChunk] = ()) -> None:
        """Append a row to the journal, and add the content of new blocks.

        Args:
            number: Of the row, one more than that of the last.
            body: What the row says.
            chunks: Content of new blocks.
        """

    def read_chunks(self, names: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the contents of chunks, named by block and index.

        Args:
            names: Block and index of each.
        """

    def fold(self, folding: Folding) -> None:
        """Move the journal into the tables, and erase key that was used.

        Args:
            folding: What the tables have to hold afterwards.
        """

    def close(self) -> None:
        """Let go of it; may be called twice."""


JOURNAL = "journal"
"""Name of the table of the journal."""

CHUNKS = "chunks"
"""Name of the table of chunks."""

CHECKSUM_SIZE = 4
"""Bytes of a check sum."""


def with_checksum(content: bytes, *place: str | int) -> bytes:
    """Return a body or a chunk as it is stored, with a check sum of itself and of its place.

    It is a CRC-32: it finds bits that a disk changed, and rows that stand in a wrong place, but
    nobody who changes the store on purpose.

    Args:
        content: What is stored.
        place: Table and number, for chunks also the index.

    Examples:
        >>> stored = with_checksum(b"key", "chunks", 1, 0)
        >>> without_checksum(stored, "chunks", 1, 0)
        b'key'
        >>> without_checksum(stored, "chunks", 2, 0) is None
        True
    """
    return content + crc32(content, crc32(repr(place).encode())).to_bytes(CHECKSUM_SIZE, "big")


def without_checksum(stored: bytes, *place: str | int) -> bytes | None:
    """Return what `with_checksum` was given, or None if the two do not belong together."""
    content = stored[:-CHECKSUM_SIZE]
    return content if with_checksum(content, *place) == stored else None


def zeroed(content: bytes, spans: Sequence[tuple[int, int]]) -> bytes:
    r"""Return a chunk with zeros in place of used key.

    Examples:
        >>> zeroed(b"secret", [(0, 2), (5, 6)])
        b'\x00\x00cre\x00'
    """
    changed = bytearray(content)
    for low, high in spans:
        changed[low:high] = bytes(high - low)
    return bytes(changed)
