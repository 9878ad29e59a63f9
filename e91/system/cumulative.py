"""Cumulative probabilities as whole numbers, and the tables that read a cell off a draw.

A cell of probability p is an interval of [0, 2**64) that holds p of it.  A 64-bit number is decided
by comparing it with the edges; most are decided by a table over their upper bits already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from e91.model.bits import Bits

OPEN = 255
"""In a table: the upper bits do not decide."""

PAIR_BITS = 12
"""Upper bits of a settings draw that the table looks at: 16 kB."""

CELL_BITS = 11
"""Upper bits of an outcomes draw that the table looks at: 2 kB a pair, so that both tables stay in
a first-level cache.  One bit more or less of either was measured to be no faster.
"""


@dataclass(frozen=True, eq=False)
class Edges:
    """Cumulative probabilities that cut [0, 2**64) into the cells of every row.

    Attributes:
        numbers: The smallest number that lies beyond each cell but the last; uint64, shape
            (rows, cells - 1).  Where that would be 2**64, 2**64 - 1.
        last: The last cell of each row that any number reaches; uint8, shape (rows,).
    """

    numbers: NDArray[np.uint64]
    last: Bits

    @classmethod
    def of(cls, weights: Sequence[Sequence[Fraction]]) -> Edges:
        """Cut [0, 2**64) in proportion to each row of weights, every edge rounded down.

        The arithmetic is exact: an edge lies less than 1 below the true one, so a probability
        is off by less than 2**-64, and a cell of weight 0 is empty.

        Examples:
            >>> edges = Edges.of([[Fraction(1), Fraction(2)]])
            >>> edges.numbers.tolist() == [[2**64 // 3]]
            True
        """
        exact = [
            [int(sum(row[: cell + 1]) * 2**64 / sum(row)) for cell in range(len(row) - 1)]
            for row in weights
        ]
        last = np.array([sum(edge < 2**64 for edge in row) for row in exact], np.uint8)
        numbers = np.array([[min(edge, 2**64 - 1) for edge in row] for row in exact], np.uint64)
        return cls(numbers.reshape(len(weights), len(weights[0]) - 1), last)

    def cells(self, numbers: NDArray[np.uint64], *, rows: Bits) -> Bits:
        """Return the cell in which each number lies in its row; uint8, the shape of ``numbers``."""
        reached = numbers >= self.numbers.T[:, rows]
        cells: Bits = np.minimum(reached.sum(axis=0, dtype=np.uint8), self.last[rows])
        return cells

    def table(self, bits: int) -> Bits:
        """Return the cell for each value of the upper ``bits`` bits, 255 where several may be.

        Returns:
            uint8, shape (rows, 2**bits).
        """
        width = 64 - bits
        lowest = np.arange(2**bits, dtype=np.uint64) << np.uint64(width)
        highest = lowest + np.uint64(2**width - 1)
        table = np.empty((len(self.last), 2**bits), np.uint8)
        for row in range(len(table)):
            rows = np.full(lowest.shape, row, np.uint8)
            low, high = self.cells(lowest, rows=rows), self.cells(highest, rows=rows)
            table[row] = np.where(low == high, low, OPEN)
        return table

    @cached_property
    def tops(self) -> NDArray[np.uint16]:
        """The upper 16 bits of the edges: a draw beyond one has reached it, below it has not.

        An edge at 2**64, which nothing reaches, has the top 65,535: draws of that are open.
        """
        return (self.numbers >> np.uint64(48)).astype(np.uint16)
