"""Toeplitz hashing by carry-less multiplication: packed bits cut into blocks of 64-bit words.

Read as a big number, packed bits have their first bit highest, and the hash is a window of the
carry-less product of seed and key: with zeros before the seed, so that the window begins with a
word, neither bits nor bytes need be turned round, only the order of words.  The product is
compiled (`e91.distillation.amplification.carryless_kernels`), so this module needs numba.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from e91.distillation.amplification.carryless_kernels import multiply_blocks
from e91.model.bits import Bits
from e91.system.numba_internals import LANES, WIDTHS

_Words = NDArray[np.uint64]

# Words of the smallest block, of the largest, and by how many they differ: what the kernels
# gather at once on any processor.
_LEAST, _MOST, _STEP = 16, 56, 8
# Cost of a word of a halved block in word products, and of an output word beside its products:
# fitted to blocks of 16 to 6144 words on an AMD EPYC of 2024 with vectors of 8 words.
_HALVING = 2.5
_GATHERING = 3


class BlockCut(NamedTuple):
    """How a product is cut.

    Attributes:
        base: Words of a block that is multiplied word by word.
        size: Words of a block that is cut in halves; ``base`` times a power of two.
        columns: Blocks of the key.
        rows: Blocks of the output.
    """

    base: int
    size: int
    columns: int
    rows: int

    def cost(self) -> float:
        """Return the work, in products of two words."""
        size, work = self.base, float(self.base * (self.base + _GATHERING))
        while size < self.size:
            size, work = 2 * size, 3 * work + _HALVING * size
        return self.columns * self.rows * work


@lru_cache(maxsize=256)  # both parties hash the same, and portions are alike
def cheapest_cut(count: int, length: int) -> BlockCut:
    """Return the cheapest cut for a key of ``count`` bits and an output of ``length``, both > 0.

    Examples:
        >>> cheapest_cut(10**6, 250_000).columns
        4
    """
    key_words, out_words = -(-count // 64), -(-length // 64)
    cuts: list[BlockCut] = []
    for base in range(_LEAST, _MOST + 1, _STEP):
        size = base
        while not cuts or size < 2 * key_words:
            cuts.append(BlockCut(base, size, -(-key_words // size), -(-out_words // size)))
            size *= 2
    return min(cuts, key=BlockCut.cost)


def is_available() -> bool:
    """Tell whether the processor, and numba as it is set, offer the instruction."""
    return LANES > 0


def toeplitz_hash(key: Bits, count: int, *, length: int, seed: Bits, lanes: int = LANES) -> Bits:
    """Return the hash that `e91.distillation.amplification.hashing.toeplitz_hash_packed` defines.

    Memory: a few times that of the packed arguments, whatever their length.

    Args:
        key: Packed bits; uint8, shape (ceil(count / 8),).
        count: Bits of the key, at least 1.
        length: Bits to return, at least 1.
        seed: Packed bits; uint8, shape (ceil((count + length - 1) / 8),).
        lanes: Vector width in words; the result does not depend on it.

    Returns:
        Packed bits; uint8, shape (ceil(length / 8),), with undefined bits behind the last.

    Raises:
        ValueError: The processor has no vectors of ``lanes`` words.

    Examples:
        >>> key, seed = np.array([0b10100000], np.uint8), np.array([0b11010000], np.uint8)
        >>> bool(not is_available() or toeplitz_hash(key, 3, length=2, seed=seed)[0] >> 6 == 0b10)
        True
    """
    if lanes not in WIDTHS:
        raise ValueError(f"`lanes` must be one of {WIDTHS}, but is {lanes}.")
    cut = cheapest_cut(count, length)
    key_bits, out_bits = 64 * cut.size * cut.columns, 64 * cut.size * cut.rows
    key_words = _numbers(key, bits=key_bits)
    # Bits behind the key's last would enter the hash; those behind the seed's meet no output.
    key_words[(count - 1) // 64] &= np.uint64(2**64 - (1 << -count % 64))
    seed_words = _aligned(seed, skip=key_bits - count, bits=key_bits + out_bits)
    out = _multiply_blocks(seed_words, key_words, cut, lanes=lanes)
    return out[::-1].astype(">u8").view(np.uint8)[: -(-length // 8)]


def _multiply_blocks(seed: _Words, key: _Words, cut: BlockCut, *, lanes: int) -> _Words:
    """Return the product, lowest word first, of a seed that begins so and a key that ends so."""
    work = np.empty(9 * cut.size, np.uint64)
    out = np.empty(cut.size * cut.rows, np.uint64)
    multiply_blocks(seed, key, out, work, cut.size, cut.base, lanes)
    return out


def _numbers(packed: Bits, *, bits: int, skip: int = 0) -> _Words:
    """Return ``skip`` zero bytes, packed bits and zeros as words, the first bit highest."""
    padded = np.zeros(bits // 8, np.uint8)
    padded[skip : skip + len(packed)] = packed
    return padded.view(">u8").astype(np.uint64)


def _aligned(seed: Bits, *, skip: int, bits: int) -> _Words:
    """Return ``skip`` zero bits, the seed and zeros as a number, its lowest word first."""
    words = _numbers(seed, bits=bits, skip=skip // 8)[::-1].copy()
    if shift := skip % 8:
        carried = words[1:] << np.uint64(64 - shift)
        words >>= np.uint64(shift)
        words[:-1] |= carried
    return words
