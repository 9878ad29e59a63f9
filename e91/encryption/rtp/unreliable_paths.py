"""A path that loses, doubles and reorders datagrams, to show what a call makes of it."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from e91.model.numbers import check_fractions, check_not_negative


@dataclass(frozen=True)
class UnreliablePath:
    r"""What a path does to datagrams.

    Attributes:
        loss: Part of them that is lost, each by itself.
        doubled: Part of the others that comes twice.
        reorder: Datagrams by which one may be late, uniform from 0.

    Raises:
        ValueError: A part is none, or ``reorder`` is negative.

    Examples:
        >>> path = UnreliablePath(loss=0.5, reorder=2)
        >>> list(path.carry((bytes([n]) for n in range(8)), seed=3))
        [b'\x02', b'\x06']
    """

    loss: float = 0.0
    doubled: float = 0.0
    reorder: float = 0.0

    def __post_init__(self) -> None:
        check_fractions(loss=self.loss, doubled=self.doubled)
        check_not_negative(reorder=self.reorder)

    def carry(self, datagrams: Iterable[bytes], *, seed: int) -> Iterator[bytes]:
        """Yield the datagrams that arrive, in the order in which they do.

        Args:
            datagrams: In the order in which they are sent.
            seed: Of its chance.
        """
        rng = np.random.default_rng(seed)
        flying: list[tuple[float, int, bytes]] = []
        for number, datagram in enumerate(datagrams):
            lost, twice, *late = rng.random(4)
            copies = 0 if lost < self.loss else 1 + (twice < self.doubled)
            for copy in range(int(copies)):
                arrives = number + late[copy] * self.reorder
                heapq.heappush(flying, (arrives, 2 * number + copy, datagram))
            while flying and flying[0][0] <= number:
                yield heapq.heappop(flying)[-1]
        while flying:
            yield heapq.heappop(flying)[-1]
