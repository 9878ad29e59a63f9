"""Which packet of a call one is: 16 bits of it are sent, the rest is counted at both ends.

One count runs over a whole call, whatever keys protect its packets: an index belongs to a packet,
not to a key.
"""

from __future__ import annotations

WINDOW = 1024
"""Packets behind the newest one that are still accepted, each once."""

LAST_INDEX = 2**48 - 1
"""A call may have no more packets than indices (RFC 3711, section 9.2)."""


class PacketIndices:
    """The indices of one stream's packets that were sent, or received.

    A packet's index is 65,536 times the number of wraps of its sequence number, plus that number.

    Args:
        newest: Highest index so far; -1 before the first packet.

    Source:
        RFC 3711, section 3.3.1 and appendix A (index), section 3.3.2 (window).

    Examples:
        >>> indices = PacketIndices(65_533)
        >>> [indices.nearest(sequence) for sequence in (65_534, 1, 65_000)]
        [65534, 65537, 65000]
        >>> indices.note(65_537), indices.is_fresh(65_537), indices.is_fresh(65_534)
        (None, False, True)
    """

    def __init__(self, newest: int = -1) -> None:
        self.newest = newest
        self._seen = 0  # bit k: index newest - k came

    def nearest(self, sequence: int) -> int:
        """Return the index that is nearest to the newest one, of those with a sequence number.

        Args:
            sequence: Sequence number of a packet, in [0, 65535].
        """
        behind = (self.newest - sequence) & 0xFFFF
        index = self.newest - behind
        if behind >= 0x8000 or index < 0:
            index += 0x10000
        return index

    def is_fresh(self, index: int) -> bool:
        """Return whether a packet is neither too old nor one that came.

        Args:
            index: The packet's index, from 0.
        """
        behind = self.newest - index
        return behind < 0 or (behind < WINDOW and not self._seen >> behind & 1)

    def note(self, index: int) -> None:
        """Note that a packet came whose tag was right, or is being sent.

        Args:
            index: The packet's index, from 0.
        """
        ahead = index - self.newest
        if ahead > 0:
            self._seen = (self._seen << min(ahead, WINDOW) | 1) & _MASK
            self.newest = index
        else:
            self._seen |= 1 << -ahead

    def reach(self, index: int) -> None:
        """Note that packets up to an index were sent, which may still come.

        Args:
            index: The last packet's index, from 0.
        """
        ahead = index - self.newest
        if ahead > 0:
            self._seen = (self._seen << min(ahead, WINDOW)) & _MASK
            self.newest = index


_MASK = (1 << WINDOW) - 1
