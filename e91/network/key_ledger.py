"""Where every key bit of a network is: made, spent, lost or stored, link by link, exactly."""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple, Self


@dataclass(eq=False)
class Ledger:
    """The bits of every link: integers that add up after every step.

    Attributes:
        made: Bits of key that came out of blocks.
        spent: Bits that padded a key on its way to somebody.
        lost: Bits that were thrown away.
        stored: Bits at both ends that nobody has used.
        reasons: Bits lost by reason, of all links together.

    Examples:
        >>> ledger = Ledger.of(2)
        >>> ledger.make(0, 1000)
        >>> ledger.spend((0,), 256)
        >>> ledger.lose(0, 100, reason="alarm")
        >>> ledger.made, ledger.spent, ledger.lost, ledger.stored, ledger.is_conserved
        ([1000, 0], [256, 0], [100, 0], [644, 0], True)
    """

    made: list[int]
    spent: list[int]
    lost: list[int]
    stored: list[int]
    reasons: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, links: int) -> Self:
        """Return the empty ledger of ``links`` links."""
        return cls([0] * links, [0] * links, [0] * links, [0] * links)

    def make(self, link: int, bits: int) -> None:
        """Enter bits that a block made."""
        self.made[link] += bits
        self.stored[link] += bits

    def spend(self, links: Iterable[int], bits: int) -> None:
        """Enter a key's bits on every link of its way."""
        for link in links:
            self.stored[link] -= bits
            self.spent[link] += bits

    def lose(self, link: int, bits: int, *, reason: str) -> None:
        """Enter stored bits that are thrown away."""
        self.stored[link] -= bits
        self.lost[link] += bits
        self.reasons[reason] = self.reasons.get(reason, 0) + bits

    def void(self, links: Iterable[int], bits: int) -> None:
        """Enter a key as lost that was on its way when a link of its route fell out of trust."""
        for link in links:
            self.spent[link] -= bits
            self.lost[link] += bits
            self.reasons["void"] = self.reasons.get("void", 0) + bits

    @property
    def is_conserved(self) -> bool:
        """Whether made = spent + lost + stored on every link, and no store is below zero."""
        return all(
            made == spent + lost + stored and stored >= 0
            for made, spent, lost, stored in self.by_link()
        )

    def by_link(self) -> Iterator[tuple[int, int, int, int]]:
        """Yield for each link the bits that were made, spent and lost, and those that are stored.

        Raises:
            ValueError: The accounts are not of equally many links.

        Examples:
            >>> list(Ledger([500], [300], [50], [150]).by_link())
            [(500, 300, 50, 150)]
        """
        return zip(self.made, self.spent, self.lost, self.stored, strict=True)


class StoredBlock(NamedTuple):
    """Key of one block in a pool."""

    end: int  # position behind its last bit, counted over the life of the pool
    made_s: float
    number: int


@dataclass(eq=False)
class Pool:
    """Key bytes of a link at both its ends, in the order in which they were made.

    Attributes:
        first: At the link's first end; empty where no bytes are drawn.
        second: At its second end.
        taken: Bits taken over the life of the pool.
        filled: Bits put in.
        used_of_byte: Bits of the first byte that are taken.
        blocks: From which blocks the bits come, oldest first.
    """

    first: bytearray = field(default_factory=bytearray, repr=False)
    second: bytearray = field(default_factory=bytearray, repr=False)
    taken: int = 0
    filled: int = 0
    used_of_byte: int = 0
    blocks: deque[StoredBlock] = field(default_factory=deque, repr=False)

    def put(self, bits: int, *, now_s: float, number: int, key: tuple[bytes, bytes] | None) -> None:
        """Add a block's key: whole bytes."""
        self.filled += bits
        self.blocks.append(StoredBlock(self.filled, now_s, number))
        if key is not None:
            self.first += key[0]
            self.second += key[1]

    def take(self, bits: int, *, backwards: bool = False) -> tuple[int, int]:
        """Return the next bits at the near and the far end as numbers, and remove both.

        Args:
            bits: How many; what they leave of a byte comes next.
            backwards: Whether the near end is the link's second.
        """
        begin = self.used_of_byte
        whole, self.used_of_byte = divmod(begin + bits, 8)
        size = whole + (self.used_of_byte > 0)
        near, far = (
            int.from_bytes(end[:size], "big") >> (8 * size - begin - bits) & ((1 << bits) - 1)
            for end in (self.first, self.second)
        )
        del self.first[:whole], self.second[:whole]
        self.taken += bits
        return (far, near) if backwards else (near, far)

    def drop(self) -> None:
        """Throw away all that is stored."""
        self.taken, self.used_of_byte = self.filled, 0
        self.first.clear()
        self.second.clear()
        self.blocks.clear()

    def forget_used(self) -> None:
        """Drop the records of blocks whose bits are all taken."""
        while self.blocks and self.blocks[0].end <= self.taken:
            self.blocks.popleft()

    def next_blocks(self, bits: int, *, stored: int) -> list[StoredBlock]:
        """Return the blocks that the next bits come from.

        Args:
            bits: How many.
            stored: Bits in the store now.
        """
        self.taken = self.filled - stored
        self.forget_used()
        ends = [block.end for block in self.blocks]
        return list(islice(self.blocks, bisect_left(ends, self.taken + bits) + 1))

    def oldest_s(self, *, stored: int) -> float | None:
        """Return when the oldest stored bits were made; None from an empty pool."""
        self.taken = self.filled - stored
        self.forget_used()
        return self.blocks[0].made_s if self.blocks else None
