"""Choose the bytes of blocks that become the keys that are asked for; nothing is taken here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from e91.keys.holdings.events import Part
from e91.keys.holdings.stored_keys import BlockState
from e91.keys.key_blocks import KeyConditions
from e91.keys.provenance import Provenance


@dataclass(frozen=True)
class Cut:
    """Keys of equal size one after the other in one block, or one key from several blocks.

    Attributes:
        parts: Where they lie.
        count: How many keys.
        provenance: Of each of them.
    """

    parts: tuple[Part, ...]
    count: int
    provenance: Provenance


@dataclass(slots=True)
class _Rest:
    """What is free of a block beside what was cut already, taken from one of its ends."""

    block: BlockState
    from_back: bool
    taken: int = 0

    @property
    def free(self) -> int:
        return self.block.free - self.taken

    def cut(self, size: int) -> Part:
        """Cut this number of bytes."""
        block, self.taken = self.block, self.taken + size
        if self.from_back:
            stop = block.back - self.taken + size
            return block.block_id, stop - size, stop
        start = block.front + self.taken - size
        return block.block_id, start, start + size


def cut_keys(
    blocks: Iterable[BlockState],
    number: int,
    *,
    size: int,
    conditions: KeyConditions,
    now: float,
    from_back: bool,
) -> list[Cut]:
    """Return where a number of keys can be cut, oldest blocks first; fewer if there are no more.

    A key takes the end of one block and the beginning of the next where they meet, if it then
    still meets the conditions.

    Args:
        blocks: Those of one link, oldest first.
        number: Of keys, at least 1.
        size: Bytes of each.
        conditions: What every key must meet.
        now: Seconds since 1970.
        from_back: Whether this end takes from the backs of blocks.

    Returns:
        Cuts, each of one key or of several from one block.

    Examples:
        >>> from e91.model.trust import SecurityModel
        >>> origin = Provenance(SecurityModel.TRUSTED_ANALYSERS, None, None, 1e-10, True,
        ...     2.7, 2.6, ("alice", "bob"), (), 1, False, 1.7e9, "session 1")
        >>> block = BlockState(1, bytes(16), "bob", 100, 0, 100, origin)
        >>> [cut] = cut_keys([block], 5, size=32, conditions=KeyConditions(), now=1.7e9,
        ...     from_back=False)
        >>> cut.count, cut.parts[0][1:]
        (3, (0, 96))
    """

    def suffices(provenance: Provenance) -> bool:
        return conditions.are_met_by(provenance, now=now)

    cuts: list[Cut] = []
    carried: list[_Rest] = []
    for block in blocks:
        if number and not block.is_barred and suffices(block.provenance):
            carried.append(_Rest(block, from_back))
            for cut in _cut_from(carried, number, size=size, suffices=suffices):
                cuts.append(cut)
                number -= cut.count
        if not number:
            break
    return cuts


def _cut_from(
    carried: list[_Rest], number: int, *, size: int, suffices: Callable[[Provenance], bool]
) -> Iterator[Cut]:
    """Cut keys from the last of the blocks and one from all; keep what goes on to the next."""
    last = carried[-1]
    if len(carried) > 1 and sum(rest.free for rest in carried) >= size:
        joined = Provenance.joined(rest.block.provenance for rest in carried)
        if suffices(joined):
            yield _spanning(carried, size, joined)
            number -= 1
        carried[:] = [last]
    if len(carried) > 1:
        return
    count = min(last.free // size, number)
    if count:
        yield Cut((last.cut(count * size),), count, last.block.provenance)
    carried[:] = [last] if last.free else []


def _spanning(carried: list[_Rest], size: int, provenance: Provenance) -> Cut:
    """Cut one key from the rests of several blocks."""
    parts = []
    for rest in carried:
        part = rest.cut(min(rest.free, size))
        size -= part[2] - part[1]
        parts.append(part)
    return Cut(tuple(parts), 1, provenance)


def bytes_meeting(blocks: Iterable[BlockState], conditions: KeyConditions, *, now: float) -> int:
    """Return how many free bytes of a link meet some conditions, block by block."""
    return sum(
        block.free
        for block in blocks
        if not block.is_barred and conditions.are_met_by(block.provenance, now=now)
    )
