"""Compiled division into portions; called by `e91.distillation.portions.partition` alone."""

import numpy as np
from numpy.typing import NDArray

from e91.model.bits import Bits
from e91.system.compiled import kernel, part

Words = NDArray[np.uint64]

_ALL = np.uint64(2**64 - 1)
_ONE = np.uint64(1)
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
            part[i] = _turned_bytes(words[64 * group + i])
        tile[:] = np.uint64(0)
        for row in range(rows):
            first = 64 * (rows * group + row)
            _turn(part, turns[first : first + 64], row, count, tile)
        _transpose(tile, spare)
        for portion in range(count):
            for row in range(rows):
                # Numbered from the last in, so that bits and words both stand first one highest.
                portions[portion, rows * group + row] = tile[63 - row * count - portion]


@part
def _turned_bytes(word: np.uint64) -> np.uint64:
    """Return a word with its bytes the other way round."""
    for width, mask in (
        (np.uint64(8), np.uint64(0x00FF00FF00FF00FF)),
        (np.uint64(16), np.uint64(0x0000FFFF0000FFFF)),
        (np.uint64(32), np.uint64(0x00000000FFFFFFFF)),
    ):
        word = ((word >> width) & mask) | ((word & mask) << width)
    return word


@part
def _turn(words: Words, turns: Bits, row: int, portions: int, tile: Words) -> None:
    """Enter one row of bits of 64 words in a tile, each turned to the left, the last word first."""
    width = np.uint64(portions)
    lowest, shift = _ALL >> (_WORD - width), _WORD - width * np.uint64(row + 1)
    for i in range(64):
        bits, turn = (words[i] >> shift) & lowest, np.uint64(turns[i]) & (width - _ONE)
        # To the right in two steps, as one of a whole word has no meaning.
        right = (bits >> (width - turn - _ONE)) >> _ONE
        tile[63 - i] |= (((bits << turn) | right) & lowest) << shift


@part
def _transpose(tile: Words, spare: Words) -> None:
    """Exchange rows and columns of 64 words of 64 bits; ``spare`` has room for them.

    Source:
        Warren, Hacker's Delight, section 7-3, with the pairs of each step side by side.
    """
    _exchange(tile, spare, _ONE, np.uint64(0x5555555555555555))
    _exchange(spare, tile, np.uint64(2), np.uint64(0x3333333333333333))
    _exchange(tile, spare, np.uint64(4), np.uint64(0x0F0F0F0F0F0F0F0F))
    _exchange(spare, tile, np.uint64(8), np.uint64(0x00FF00FF00FF00FF))
    _exchange(tile, spare, np.uint64(16), np.uint64(0x0000FFFF0000FFFF))
    _exchange(spare, tile, np.uint64(32), np.uint64(0x00000000FFFFFFFF))


@part
def _exchange(rows: Words, to: Words, width: np.uint64, mask: np.uint64) -> None:
    """Exchange the columns whose numbers differ in ``width`` between rows that follow each other.

    Rows 2i and 2i + 1 go to places i and 32 + i: after six steps every row is back.
    """
    for i in range(32):
        first, second = rows[2 * i], rows[2 * i + 1]
        swap = ((first >> width) ^ second) & mask
        to[i] = first ^ (swap << width)
        to[32 + i] = second ^ swap
