"""Compiled look-up of cells; imported by `system.cell_draws` alone, and only where numba is.

Words are little-endian: four 16-bit draws, four or eight one-byte cells or rows, the first lowest.
"""

import numpy as np
from numpy.typing import NDArray

from e91.model.bits import Bits
from e91.system.bit_kernels import ALL, list_words
from e91.system.compiled import kernel, part
from e91.system.cumulative import CELL_BITS, OPEN, PAIR_BITS

_PAIR_MASK = np.uint64((1 << PAIR_BITS) - 1)
_CELL_MASK = np.uint64((1 << CELL_BITS) - 1)
_ROW_MASK = np.uint64(255)
_LANES = 8


@kernel
def draw_pairs(
    draws: NDArray[np.uint16],
    cells: Bits,
    table: Bits,
    tops: NDArray[np.uint16],
) -> NDArray[np.intp]:
    """Fill ``cells`` of one row from all 16 bits of the draws; return the places left open.

    Args:
        draws: Upper bits of the numbers; shape (n,), n a multiple of 8.
        cells: Receives the cells, 255 where open; shape (n,).
        table: Cell for the upper bits of a draw; shape (2**PAIR_BITS,).
        tops: Upper 16 bits of the edges between the cells; shape (1, cells - 1).
    """
    words, found = cells.view(np.uint32), draws.view(np.uint64)
    # One store for four rounds, and no branch: both halve the time.
    for place in range(words.size):
        numbers, word = found[place], np.uint64(0)
        for lane in range(4):
            upper = (numbers >> np.uint64(16 * lane + 16 - PAIR_BITS)) & _PAIR_MASK
            word |= np.uint64(table[upper]) << np.uint64(8 * lane)
        words[place] = word
    return _settle_open(draws, cells, cells[:0], tops)


@kernel
def draw_outcomes(
    draws: NDArray[np.uint16],
    rows: Bits,
    cells: Bits,
    table: Bits,
    tops: NDArray[np.uint16],
) -> NDArray[np.intp]:
    """Do what `draw_pairs` does, each cell in a row of its own.

    Args:
        draws: As for `draw_pairs`.
        rows: Row of each round; shape (n,).
        cells: As for `draw_pairs`.
        table: 2**CELL_BITS cells for each row.
        tops: As for `draw_pairs`; shape (rows, cells - 1).
    """
    words, found, beside = cells.view(np.uint32), draws.view(np.uint64), rows.view(np.uint32)
    for place in range(words.size):
        numbers, word, row_word = found[place], np.uint64(0), np.uint64(beside[place])
        for lane in range(4):
            upper = (numbers >> np.uint64(16 * lane + 16 - CELL_BITS)) & _CELL_MASK
            row = (row_word >> np.uint64(8 * lane)) & _ROW_MASK
            word |= np.uint64(table[(row << np.uint64(CELL_BITS)) + upper]) << np.uint64(8 * lane)
        words[place] = word
    return _settle_open(draws, cells, rows, tops)


@part
def _settle_open(
    draws: NDArray[np.uint16],
    cells: Bits,
    rows: Bits,
    tops: NDArray[np.uint16],
) -> NDArray[np.intp]:
    """Decide open cells by all 16 bits of their draws; list those that an edge leaves open."""
    hits = np.empty(cells.size // _LANES, np.int32)
    count = list_words(cells.view(np.uint64), ALL, hits)
    left, found = np.empty(_LANES * count, np.intp), 0
    for hit in hits[:count]:
        for index in range(_LANES * hit, _LANES * (hit + 1)):
            if cells[index] == OPEN:
                row = rows[index] if rows.size else np.uint8(0)
                cells[index] = _settled(draws[index], tops[row])
                left[found] = index
                found += cells[index] == OPEN
    return left[:found]


@part
def _settled(draw: int, tops: NDArray[np.uint16]) -> int:
    """Return the cell that a draw gives, 255 if it lies on an edge."""
    cell, on_edge = 0, False
    for top in tops:
        cell += draw > top
        on_edge |= draw == top
    return OPEN if on_edge else cell


@kernel
def decide(
    numbers: NDArray[np.uint64],
    rows: Bits,
    edges: NDArray[np.uint64],
    last: Bits,
    cells: Bits,
) -> None:
    """Write the cells that 64-bit numbers give; arguments as `cumulative.Edges` has them."""
    for place in range(cells.size):
        row, cell = rows[place], 0
        for edge in edges[row]:
            cell += numbers[place] >= edge
        cells[place] = min(cell, int(last[row]))
