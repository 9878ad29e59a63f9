"""Who asks whom for keys at random, and when."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from e91.network.layout import Requests

Numbers = NDArray[np.intp]

_SECONDS_AT_ONCE = 16


@dataclass(eq=False)
class RandomRequests:
    """A Poisson process of requests between users, drawn second by second.

    Attributes:
        wanted: Its rate, and how often both users are of one sector.
        users: Numbers of the users' sites; intp, shape (n,).
        sectors: Each user's sector as a number; intp, shape (n,).
        seed: Root of its draws.

    Raises:
        ValueError: There are fewer than two users, or no sector has two though some of the requests
            are within one.
    """

    wanted: Requests
    users: Numbers
    sectors: Numbers
    seed: np.random.SeedSequence
    _drawn: list[tuple[Numbers, Numbers]] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        if len(self.users) < 2:
            raise ValueError(f"A network must have two users or more, but has {len(self.users)}.")
        pairs, times = self.seed.spawn(2)
        self._rng = np.random.default_rng(pairs)
        self._times_key = times.generate_state(2, np.uint64)
        order = np.argsort(self.sectors, kind="stable")
        self._members, sizes = self.users[order], np.bincount(self.sectors)
        begins = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        self._size = sizes[self.sectors[order]] - 1  # others of the member's sector
        self._begin = begins[self.sectors[order]]
        weights = np.cumsum(self._size, dtype=float)
        if self.wanted.within_sector > 0 and not weights[-1] > 0:
            raise ValueError("Some sector must have two users, but none has.")
        self._edges = weights / max(weights[-1], 1)

    def second(self) -> tuple[Numbers, Numbers]:
        """Return the sites that ask, and those that they want a key with, of the next second."""
        if not self._drawn:
            self._drawn = self._draw()[::-1]
        return self._drawn.pop()

    def times(self, second: int, count: int) -> NDArray[np.float64]:
        """Return when the requests of a second come, ascending from its beginning; seconds."""
        counter = np.array([0, 0, 0, second % 2**64], np.uint64)
        generator = np.random.Generator(np.random.Philox(key=self._times_key, counter=counter))
        return np.sort(generator.random(count))

    def mean(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return all pairs of users, and how many key bits a second each pair asks for on average.

        Returns:
            Numbers of the sites, shape (n (n - 1) / 2, 2), and bits a second, as long.
        """
        one, other = np.triu_indices(len(self.users), k=1)
        same = (self.sectors[one] == self.sectors[other]).astype(float)
        share = (1 - self.wanted.within_sector) / len(one) + (
            self.wanted.within_sector * same / max(1.0, same.sum())
        )
        pairs = np.stack([self.users[one], self.users[other]], axis=1)
        return pairs, share * self.wanted.keys_per_second * self.wanted.key_bits

    def _draw(self) -> list[tuple[Numbers, Numbers]]:
        """Draw some seconds at once."""
        counts = self._rng.poisson(self.wanted.keys_per_second, _SECONDS_AT_ONCE)
        total, others = int(counts.sum()), len(self.users) - 1
        chance, first, second = self._rng.random((3, total))
        within = chance < self.wanted.within_sector
        asking = np.where(
            within,
            np.minimum(np.searchsorted(self._edges, first, side="right"), others),
            (first * (others + 1)).astype(np.intp),
        )
        begin = np.where(within, self._begin[asking], 0)
        size = np.where(within, self._size[asking], others)
        asked = begin + (second * size).astype(np.intp)
        asked += asked >= asking  # not oneself
        ends = np.cumsum(counts)[:-1]
        return list(
            zip(
                np.split(self._members[asking], ends),
                np.split(self._members[asked], ends),
                strict=True,
            )
        )
