"""Whole words of bits in compiled code: counted, turned, transposed; for kernels of any room.

The compiler knows `ones`, `zeros_below`, `bit_length` and `turned_bytes` for one instruction of the
processor each.
"""

import numpy as np
from numpy import uint64
from numpy.typing import NDArray

from e91.system.compiled import part

Words = NDArray[np.uint64]

ONE, ALL = np.uint64(1), np.uint64(2**64 - 1)
BYTES, TOPS = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)


@part
def ones(word: np.uint64) -> np.uint64:
    """Return how many bits of a word are set: Warren, Hacker's Delight, section 5-1."""
    word -= (word >> ONE) & uint64(0x5555555555555555)
    word = (word & uint64(0x3333333333333333)) + ((word >> uint64(2)) & uint64(0x3333333333333333))
    word = (word + (word >> uint64(4))) & uint64(0x0F0F0F0F0F0F0F0F)
    return (word * uint64(0x0101010101010101)) >> uint64(56)


@part
def zeros_below(word: np.uint64) -> np.uint64:
    """Return how many bits are 0 below the lowest 1 of a word."""
    return ones(~word & (word - ONE))


@part
def bit_length(word: np.uint64) -> np.uint64:
    """Return how many bits a word needs: the place of its highest 1, counted from 1."""
    length = uint64(0)
    while word != uint64(0):
        word >>= ONE
        length += ONE
    return length


@part
def turned_bytes(word: np.uint64) -> np.uint64:
    """Return a word with its bytes the other way round."""
    for width, mask in (
        (uint64(8), uint64(0x00FF00FF00FF00FF)),
        (uint64(16), uint64(0x0000FFFF0000FFFF)),
        (uint64(32), uint64(0x00000000FFFFFFFF)),
    ):
        word = ((word >> width) & mask) | ((word & mask) << width)
    return word


@part
def _exchange(rows: Words, to: Words, width: np.uint64, mask: np.uint64) -> None:
    """Exchange the columns whose numbers differ in ``width`` between rows that follow each other.

    Rows 2i and 2i + 1 go to places i and 32 + i, so that after six steps every row is back, and
    every step is alike: the compiler runs all of them in vector registers.
    """
    for i in range(32):
        first, second = rows[2 * i], rows[2 * i + 1]
        swap = ((first >> width) ^ second) & mask
        to[i] = first ^ (swap << width)
        to[32 + i] = second ^ swap


@part
def transpose(tile: Words, spare: Words) -> None:
    """Exchange rows and columns of 64 words of 64 bits; ``spare`` has room for them.

    Source:
        Warren, Hacker's Delight, section 7-3, with the pairs of each step side by side.
    """
    _exchange(tile, spare, uint64(1), uint64(0x5555555555555555))
    _exchange(spare, tile, uint64(2), uint64(0x3333333333333333))
    _exchange(tile, spare, uint64(4), uint64(0x0F0F0F0F0F0F0F0F))
    _exchange(spare, tile, uint64(8), uint64(0x00FF00FF00FF00FF))
    _exchange(tile, spare, uint64(16), uint64(0x0000FFFF0000FFFF))
    _exchange(spare, tile, uint64(32), uint64(0x00000000FFFFFFFF))


@part
def list_words(words: Words, byte: np.uint64, hits: NDArray[np.int32]) -> int:
    """List the words with a byte of that value, without a branch; return how many there are.

    Args:
        words: Eight bytes each.
        byte: The value, in each byte of a word.
        hits: Receives the places of the words, and what lies behind them is overwritten.

    Source:
        Warren, Hacker's Delight, 2nd edition, section 6-1: which words have a zero byte.
    """
    found = 0
    for place in range(words.size):
        rest = words[place] ^ byte
        hits[found] = place
        found += ((rest - BYTES) & ~rest & TOPS) != 0
    return found
