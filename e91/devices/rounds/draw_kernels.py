"""Compiled look-up of rounds; imported by `rounds.round_sampler` alone, and only where numba is.

Words are little-endian: four 16-bit draws, four or eight one-byte codes, the first lowest.
"""

import numpy as np
from numpy.typing import NDArray

from e91.devices.rounds.cumulative import CELL_BITS, OPEN, PAIR_BITS
from e91.model.bits import Bits
from e91.system.bit_kernels import ALL, list_words
from e91.system.compiled import kernel, part

_PAIR_MASK = np.uint64((1 << PAIR_BITS) - 1)
_CELL_MASK = np.uint64((1 << CELL_BITS) - 1)
_LANES = 8


@kernel
def draw_rounds(
    settings: NDArray[np.uint16],
    outcomes: NDArray[np.uint16],
    codes: Bits,
    pair_table: NDArray[np.uint32],
    cell_table: Bits,
    pair_tops: NDArray[np.uint16],
    cell_tops: NDArray[np.uint16],
    left: NDArray[np.intp],
) -> int:
    """Fill ``codes`` from all 16 bits of the draws; return how many rounds these leave open.

    Args:
        settings: Draws of the setting pairs; shape (n,), n a multiple of 8.
        outcomes: Draws of the outcomes; shape (n,).
        codes: Receives the codes, 255 where open; shape (n,).
        pair_table: Where the pair begins in ``cell_table``; shape (2**PAIR_BITS,).
        cell_table: Code for the upper bits of an outcomes draw; 2**CELL_BITS for each pair.
        pair_tops: Upper 16 bits of the edges between the pairs; shape (pairs - 1,).
        cell_tops: Upper 16 bits of the edges between the outcomes; shape (pairs, k * k - 1).
        left: Receives the places that stay open; shape (n,).
    """
    _look_up(
        settings.view(np.uint64),
        outcomes.view(np.uint64),
        codes.view(np.uint32),
        pair_table,
        cell_table,
    )
    hits = np.empty(codes.size // _LANES, np.int32)
    found = 0
    for hit in hits[: list_words(codes.view(np.uint64), ALL, hits)]:
        for index in range(_LANES * hit, _LANES * (hit + 1)):
            if codes[index] == OPEN:
                codes[index] = _settled(settings[index], outcomes[index], pair_tops, cell_tops)
                left[found] = index
                found += codes[index] == OPEN
    return found


@part
def _look_up(
    settings: NDArray[np.uint64],
    outcomes: NDArray[np.uint64],
    codes: NDArray[np.uint32],
    pair_table: NDArray[np.uint32],
    cell_table: Bits,
) -> None:
    """Fill ``codes`` by two look-ups a round, four rounds a word."""
    # One store for four rounds, and no branch: both halve the time.
    for place in range(codes.size):
        first, second = settings[place], outcomes[place]
        word = np.uint64(0)
        for lane in range(4):
            pair = (first >> np.uint64(16 * lane + 16 - PAIR_BITS)) & _PAIR_MASK
            cell = (second >> np.uint64(16 * lane + 16 - CELL_BITS)) & _CELL_MASK
            code = np.uint64(cell_table[np.uint64(pair_table[pair]) + cell])
            word |= code << np.uint64(8 * lane)
        codes[place] = word


@kernel
def decide(
    settings: NDArray[np.uint64],
    outcomes: NDArray[np.uint64],
    pair_edges: NDArray[np.uint64],
    last_pair: Bits,
    cell_edges: NDArray[np.uint64],
    last_cells: Bits,
    codes: Bits,
) -> None:
    """Write the codes that the 64-bit numbers of rounds give.

    Args:
        settings: Numbers for the setting pairs; shape (n,).
        outcomes: Numbers for the outcomes; shape (n,).
        pair_edges: Smallest number beyond each pair but the last; shape (1, pairs - 1).
        last_pair: Last pair that any number reaches; shape (1,).
        cell_edges: Smallest number beyond each cell but the last; shape (pairs, cells - 1).
        last_cells: Last cell that any number reaches; shape (pairs,).
        codes: Receives the codes; shape (n,).
    """
    for place in range(codes.size):
        pair, cell = 0, 0
        for edge in pair_edges[0]:
            pair += settings[place] >= edge
        pair = min(pair, int(last_pair[0]))
        for edge in cell_edges[pair]:
            cell += outcomes[place] >= edge
        codes[place] = pair * (cell_edges.shape[1] + 1) + min(cell, int(last_cells[pair]))


@part
def _settled(
    setting: int, outcome: int, pair_tops: NDArray[np.uint16], cell_tops: NDArray[np.uint16]
) -> int:
    """Return the code that two draws give, 255 if one of them lies on an edge."""
    pair, cell, on_edge = 0, 0, False
    for top in pair_tops:
        pair += setting > top
        on_edge |= setting == top
    for top in cell_tops[pair]:
        cell += outcome > top
        on_edge |= outcome == top
    return OPEN if on_edge else pair * (cell_tops.shape[1] + 1) + cell
