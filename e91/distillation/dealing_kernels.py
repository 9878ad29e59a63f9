"""Compiled dealing; reached through `e91.distillation.dealing` alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from e91.model.bits import Bits

_Function = TypeVar("_Function", bound=Callable[..., object])
Words = NDArray[np.uint64]

_ALL = np.uint64(2**64 - 1)
_ONE = np.uint64(1)
_WORD = np.uint64(64)


def kernel(function: _Function) -> _Function:
    """Compile ``function`` once, keep it on disk, and let other threads run meanwhile."""
    return cast(_Function, njit(cache=True, nogil=True)(function))


@kernel
def deal(words: Words, turns: Bits, dealt: Words) -> None:
    """Write the words of every portion.

    Args:
        words: The key, the first bit of a word highest; shape (64 groups,).
        turns: Places by which each row of k bits is turned; shape (4,096 groups / k,).
        dealt: Receives the portions, the first bit of a word highest; shape (k, 64 groups / k).
    """
    portions = dealt.shape[0]
    rows = 64 // portions
    tile = np.empty(64, np.uint64)
    for group in range(words.size // 64):
        for i in range(64):
            # Rows and columns from the last: then bits and words both stand first one highest.
            place = 64 * group + i
            tile[63 - i] = _turned(words[place], turns[rows * place : rows * (place + 1)], portions)
        _transpose(tile)
        for portion in range(portions):
            for row in range(rows):
                dealt[portion, rows * group + row] = tile[63 - row * portions - portion]


@kernel
def _turned(word: np.uint64, turns: Bits, portions: int) -> np.uint64:
    """Return a word whose rows of bits are each turned to the left."""
    width = np.uint64(portions)
    lowest, turned, shift = _ALL >> (_WORD - width), np.uint64(0), _WORD
    for number in turns:
        shift -= width
        bits, turn = (word >> shift) & lowest, np.uint64(number) & (width - _ONE)
        # To the right in two steps, as one of a whole word has no meaning.
        right = (bits >> (width - turn - _ONE)) >> _ONE
        turned |= (((bits << turn) | right) & lowest) << shift
    return turned


@kernel
def _transpose(tile: Words) -> None:
    """Exchange rows and columns of 64 words of 64 bits: Warren, Hacker's Delight, section 7-3."""
    width, mask = 32, _ALL >> np.uint64(32)
    while width:
        for i in range(0, 64, 2 * width):
            for j in range(i, i + width):
                swap = ((tile[j] >> np.uint64(width)) ^ tile[j + width]) & mask
                tile[j + width] ^= swap
                tile[j] ^= swap << np.uint64(width)
        width >>= 1
        mask ^= mask << np.uint64(width)
