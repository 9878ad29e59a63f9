"""Packets in the order of their sender, whatever order they came in."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from e91.encryption.rtp.packet_indices import WINDOW
from e91.encryption.rtp.receivers import Opened


class PacketOrder:
    """Holds packets back until none can come that belongs before them.

    A receiver accepts none that is 1,024 behind its newest, so no more than that are held.

    Examples:
        >>> order = PacketOrder()
        >>> packets = [Opened(index, b"packet %d" % index, "key 1") for index in (2, 1)]
        >>> [out for each in packets for out in order.add(each)], list(order.rest())
        ([], [b'packet 1', b'packet 2'])
    """

    def __init__(self) -> None:
        self._held: list[tuple[int, bytes]] = []
        self._newest = -1

    def add(self, opened: Opened) -> Iterator[bytes]:
        """Take a packet and yield those whose turn has come.

        Args:
            opened: A packet that the receiver accepted.
        """
        heapq.heappush(self._held, (opened.index, opened.packet))
        self._newest = max(self._newest, opened.index)
        while self._held and self._held[0][0] <= self._newest - WINDOW:
            yield heapq.heappop(self._held)[1]

    def rest(self) -> Iterator[bytes]:
        """Yield those that are left, at the end of a call."""
        while self._held:
            yield heapq.heappop(self._held)[1]
