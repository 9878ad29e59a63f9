"""The changing parts of what a KME holds: blocks, keys that wait, identifiers of the past."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from e91.keys.holdings.events import ID_SIZE, Granted, Part, identifiers
from e91.keys.provenance import Provenance

CHUNK = 2**15
"""Bytes of a block that are stored, loaded and erased together, 1,024 keys of 256 bits."""

ChunkName = tuple[int, int]
"""Number of a block, and of a chunk in it."""


def chunk_spans(start: int, stop: int) -> list[tuple[int, int, int]]:
    """Return the chunks that an interval of a block covers, and what of each: chunk, start, stop.

    Examples:
        >>> chunk_spans(CHUNK - 1, CHUNK + 2)
        [(0, 32767, 32768), (1, 0, 2)]
    """
    first, last = start // CHUNK, (stop - 1) // CHUNK
    if first == last:
        return [(first, start - first * CHUNK, stop - first * CHUNK)]
    return [
        (index, max(start - index * CHUNK, 0), min(stop - index * CHUNK, CHUNK))
        for index in range(first, last + 1)
    ]


@dataclass(eq=False, slots=True)
class BlockState:
    """A block with something left.

    Attributes:
        number: Of the block in this store, in the order in which they came.
        block_id: The same at both ends.
        peer: The KME at the other end; empty for a key that came ready-made.
        size: Bytes of the whole block.
        front: What lies before is taken.
        back: What lies from here on is taken.
        provenance: Where it comes from.
        live: Bytes of each chunk that are free, or reserved for somebody.
        left: Their sum.
        is_barred: Whether an alarm stops it, or its other end in another process lacks it yet.
    """

    number: int
    block_id: bytes
    peer: str
    size: int
    front: int
    back: int
    provenance: Provenance
    live: list[int] = field(default_factory=list)
    left: int = 0
    is_barred: bool = False

    @property
    def free(self) -> int:
        """Bytes that nobody was given."""
        return self.back - self.front

    def revive(self, start: int, stop: int) -> None:
        """Count the bytes of an interval as live."""
        if not self.live:
            self.live = [0] * -(-self.size // CHUNK)
        for index, low, high in chunk_spans(start, stop) if start < stop else ():
            self.live[index] += high - low
        self.left += stop - start

    def take(self, start: int, stop: int) -> None:
        """Take an interval from the front or from the back.

        Raises:
            ValueError: It lies elsewhere.
        """
        if not self.front <= start < stop <= self.back:
            raise ValueError("Keys must be cut from what is free of a block, but are not.")
        if start == self.front:
            self.front = stop
        elif stop == self.back:
            self.back = start
        else:
            raise ValueError("Keys must be cut from the ends of a block, but are not.")


@dataclass(eq=False, slots=True)
class Grant:
    """Keys that were cut together, as long as somebody may fetch one of them.

    Attributes:
        number: Of the grant in this store.
        event: Which keys, for whom.
        left: How many of them are still here.
        fetched: Who has fetched a key already for which others wait, by its place among the keys.
    """

    number: int
    event: Granted
    left: int
    fetched: dict[int, tuple[str, ...]] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class KeyRun:
    """Keys of a grant that lie one after the other.

    Attributes:
        grant: The grant that they belong to.
        first: Place of the first one among the keys of the grant.
        stop: Place behind the last one.
    """

    grant: Grant
    first: int
    stop: int

    @property
    def ids(self) -> bytes:
        """Their identifiers one after the other."""
        return self.grant.event.ids[self.first * ID_SIZE : self.stop * ID_SIZE]

    @property
    def parts(self) -> tuple[Part, ...]:
        """Where their bytes lie."""
        parts, size = self.grant.event.parts, self.grant.event.size
        if len(parts) > 1:
            return parts
        block_id, start, _ = parts[0]
        return ((block_id, start + self.first * size, start + self.stop * size),)

    @property
    def mask(self) -> bytes:
        """What is added to their bytes; empty for nothing."""
        size = self.grant.event.size
        return self.grant.event.mask[self.first * size : self.stop * size]

    def singles(self) -> list[KeyRun]:
        """Return its keys one by one."""
        return [KeyRun(self.grant, index, index + 1) for index in range(self.first, self.stop)]


@dataclass(eq=False, slots=True)
class LinkCounts:
    """Bytes of a link's key at one of its ends; what is left is the rest.

    Attributes:
        deposited: That ever came in.
        delivered: That were handed to an application at this end.
        voided: That nobody was given, and nobody will be.
    """

    deposited: int = 0
    delivered: int = 0
    voided: int = 0


@dataclass(eq=False)
class RememberedIds:
    """The newest identifiers of keys that are here no more; the oldest go beyond a limit.

    No clock takes part: one that jumps must not let a void key come back.

    Attributes:
        limit: How many are kept, to a row.
        rows: Number of a stored row, and the identifiers in it.
        fresh: Those that are in no row yet.
    """

    limit: int
    rows: deque[tuple[int, bytes]] = field(default_factory=deque)
    fresh: dict[bytes, None] = field(default_factory=dict)
    _known: set[bytes] = field(default_factory=set)

    def __contains__(self, key_id: object) -> bool:
        return key_id in self._known

    def __len__(self) -> int:
        return len(self._known)

    def add(self, key_ids: Iterable[bytes]) -> None:
        """Remember identifiers."""
        new = [key_id for key_id in key_ids if key_id not in self._known]
        self._known.update(new)
        self.fresh.update(dict.fromkeys(new))

    def load(self, rows: Iterable[tuple[int, bytes]]) -> None:
        """Take up stored rows, in the order of their numbers."""
        for number, packed in rows:
            self.rows.append((number, packed))
            self._known.update(identifiers(packed))

    def fold(self, number: int) -> tuple[bytes, list[int]]:
        """Put the fresh ones in a row of this number; return it, and the numbers that go."""
        packed = b"".join(list(self.fresh)[-self.limit :])
        self._known.difference_update(list(self.fresh)[: -self.limit])
        self.fresh.clear()
        if packed:
            self.rows.append((number, packed))
        gone = []
        while self.rows and len(self._known) - len(self.rows[0][1]) // ID_SIZE >= self.limit:
            old, ids = self.rows.popleft()
            self._known.difference_update(identifiers(ids))
            gone.append(old)
        return packed, gone
