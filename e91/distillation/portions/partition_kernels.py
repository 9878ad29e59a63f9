"""Compiled division into portions; called by `e91.distillation.portions.partition` alone."""

import numpy as np

from e91.model.bits import Bits
from e91.system.bit_kernels import ALL, ONE, Words, transpose, turned_bytes
from e91.system.compiled import kernel, part

_WORD = np.uint64(64)


@kernel
def divide(octets: Bits, turns: Bits, portions: Words) -> None:
    """Write the words of every portion, on a machine that has the lowest byte first.

    Args:
        octets: The key, the first bit of a byte highest; shape (512 groups,).
        turns: Places by which each row of k bits is turned: of each group the first rows of its
            words, then the second ones; shape (4,096 groups / k,).
        portions: Receives the portions, the first bit of a word highest; shape (k, 64 groups / k).
    """
    count = portions.shape[0]
    rows = 64 // count
    tile, spare = np.empty(64, np.uint64), np.empty(64, np.uint64)
    words, part = octets.view(np.uint64), np.empty(64, np.uint64)
    for group in range(words.size // 64):
        for i in range(64):
            part[i] = turned_bytes(words[64 * group + i])
        tile[:] = np.uint64(0)
        for row in range(rows):
            first = 64 * (rows * group + row)
            _turn(part, turns[first : first + 64], row, count, tile)
        transpose(tile, spare)
        for portion in range(count):
            for row in range(rows):
                # Numbered from the last in, so that bits and words both stand first one highest.
                portions[portion, rows * group + row] = tile[63 - row * count - portion]


@part
def _turn(words: Words, turns: Bits, row: int, portions: int, tile: Words) -> None:
    """Enter one row of bits of 64 words in a tile, each turned to the left, the last word first."""
    width = np.uint64(portions)
    lowest, shift = ALL >> (_WORD - width), _WORD - width * np.uint64(row + 1)
    for i in range(64):
        bits, turn = (words[i] >> shift) & lowest, np.uint64(turns[i]) & (width - ONE)
        # To the right in two steps, as one of a whole word has no meaning.
        right = (bits >> (width - turn - ONE)) >> ONE
        tile[63 - i] |= (((bits << turn) | right) & lowest) << shift
