"""Draw cells of given probabilities by the block, from a keystream that can be entered anywhere.

A round takes one 16-bit draw, the upper part of a 64-bit number that is compared with cumulative
probabilities.  A table knows the cell for most draws; where it does not, the other 48 bits are
drawn, so nothing is ever rounded to 16 bits.
"""

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from e91.model.bits import Bits
from e91.system.compiled import compiled_code_may_run
from e91.system.cumulative import CELL_BITS, OPEN, PAIR_BITS, Edges
from e91.system.keystreams import KEY_BYTES, Stream, draws, words_at

BLOCK_ROUNDS = 2**18
"""Longest block: its draws and cells stay in a core's second-level cache."""

_PART = 2**15  # rounds that NumPy looks up at once: longer arrays cost page faults
_LANES = 8  # the compiled look-up works on words of eight cells


@dataclass(frozen=True, eq=False)
class CellDraws:
    """Draws a cell for each round of a block, in one row of probabilities or in many.

    It has no state: a block depends on the key and its number alone, so blocks may be drawn in any
    order, in any thread, and again.

    Attributes:
        edges: Cumulative probabilities of the cells of each row.
        key: 32 bytes of the streams.
        stream: Of the draws.
        extensions: Of their lower 48 bits.
        table: Cell for the upper bits of a draw, 255 where these do not decide; 2**12 entries for
            one row, 2**11 for each of several; uint8.
    """

    edges: Edges = field(repr=False)
    key: bytes = field(repr=False)
    stream: Stream
    extensions: Stream
    table: Bits = field(repr=False)

    @classmethod
    def of(cls, edges: Edges, *, key: bytes, stream: Stream, extensions: Stream) -> Self:
        """Return draws with their table.

        Raises:
            ValueError: The key has another length.
        """
        if len(key) != KEY_BYTES:
            raise ValueError(f"`key` must have {KEY_BYTES} bytes, but has {len(key)}.")
        bits = PAIR_BITS if len(edges.last) == 1 else CELL_BITS
        return cls(edges, key, stream, extensions, edges.table(bits).ravel())

    def fill(self, cells: Bits, *, rows: Bits | None = None, block: int) -> None:
        """Overwrite ``cells`` with those of the first rounds of a block.

        A shorter buffer gets the beginning of what a longer one gets.  The same cells come with
        and without numba.

        Args:
            cells: Contiguous, writeable uint8 buffer, shape (n,), n at most 2**18.
            rows: Row of each round, uint8, shape (n,); None if there is one.
            block: Number of the block, in [0, 2**64).

        Raises:
            ValueError: The buffer is not as described, there is no such row, or the block number
                leaves its range.
        """
        check_buffer(cells)
        self._check_rows(rows, len(cells))
        rows = None if len(self.edges.last) == 1 else rows
        padded = -(-len(cells) // _LANES) * _LANES
        numbers = draws(self.key, padded, stream=self.stream, block=block)
        # The compiled look-up reads and writes whole words; the buffers may not consist of them.
        fits = all(_is_of_words(buffer) for buffer in (cells, rows) if buffer is not None)
        whole, beside = cells, rows
        if not fits:
            whole = np.empty(padded, np.uint8)
            beside = None if rows is None else np.resize(rows, padded)
        left = self._look_up(numbers, beside, whole)
        whole[left] = self._decide(
            left, numbers[left], None if beside is None else beside[left], block=block
        )
        if not fits:
            cells[:] = whole[: len(cells)]

    def _check_rows(self, rows: Bits | None, size: int) -> None:
        count = len(self.edges.last)
        if rows is None:
            if count > 1:
                raise ValueError(f"`rows` must say which of {count} rows to draw in, but is None.")
        elif rows.dtype != np.uint8 or rows.shape != (size,) or (size and rows.max() >= count):
            raise ValueError(
                f"`rows` must be uint8 of shape ({size},) and below {count}, but is {rows.dtype} "
                f"of shape {rows.shape} up to {rows.max(initial=0)}."
            )

    def _look_up(
        self, numbers: NDArray[np.uint16], rows: Bits | None, cells: Bits
    ) -> NDArray[np.intp]:
        """Fill ``cells`` from the table; return the rounds that it leaves open."""
        if not compiled_code_may_run():
            bits = PAIR_BITS if rows is None else CELL_BITS
            for start in range(0, len(cells), _PART):
                part = slice(start, start + _PART)
                place = (numbers[part] >> np.uint16(16 - bits)).astype(np.uint32)
                if rows is not None:
                    place += rows[part].astype(np.uint32) << np.uint32(bits)
                np.take(self.table, place, out=cells[part], mode="clip")
            return np.flatnonzero(cells == OPEN)
        from e91.system import cell_kernels

        tops = self.edges.tops
        if rows is None:
            return cell_kernels.draw_pairs(numbers, cells, self.table, tops)
        return cell_kernels.draw_outcomes(numbers, rows, cells, self.table, tops)

    def _decide(
        self,
        rounds: NDArray[np.intp],
        upper: NDArray[np.uint16],
        rows: Bits | None,
        *,
        block: int,
    ) -> Bits:
        """Return the cells of ``rounds`` from all 64 bits of their numbers.

        The lower 48 bits depend on the round's place alone, so that no stream can shift another.
        """
        lower = words_at(self.key, rounds, stream=self.extensions, block=block) >> np.uint64(16)
        numbers = upper.astype(np.uint64) << np.uint64(48) | lower
        beside = np.zeros(len(rounds), np.uint8) if rows is None else rows
        if not compiled_code_may_run():
            return self.edges.cells(numbers, rows=beside)
        from e91.system import cell_kernels

        cells = np.empty(len(rounds), np.uint8)
        cell_kernels.decide(numbers, beside, self.edges.numbers, self.edges.last, cells)
        return cells


def _is_of_words(buffer: Bits) -> bool:
    address = buffer.__array_interface__["data"][0]
    return not (len(buffer) % _LANES or address % _LANES) and buffer.flags.c_contiguous


def check_buffer(cells: Bits) -> None:
    """Check that a block can be drawn into a buffer.

    Raises:
        ValueError: It is no contiguous, writeable uint8 array of at most 2**18 entries.
    """
    if cells.dtype != np.uint8 or cells.ndim != 1:
        raise ValueError(
            f"`codes` must be uint8 of shape (n,), but is {cells.dtype} of shape {cells.shape}."
        )
    if len(cells) > BLOCK_ROUNDS:
        raise ValueError(
            f"`codes` must hold at most {BLOCK_ROUNDS} rounds, but holds {len(cells)}."
        )
    if not (cells.flags.c_contiguous and cells.flags.writeable):
        raise ValueError("`codes` must be contiguous and writeable, but is not.")
