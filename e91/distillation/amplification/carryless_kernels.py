"""Toeplitz hashing by carry-less multiplication, compiled by numba: packed bits in and out.

Bits as coefficients over GF(2) make the product of matrix and key a window of the product of two
polynomials, and one processor instruction multiplies 64 by 64 of their coefficients.  Written
first bit first, as `numpy.packbits` does, a bit string is a big number whose highest bit is the
first: with zeros before the seed, so that the window begins with a word, neither bits nor bytes
need be turned round, only the order of 64-bit words.

Blocks of `size` words are cut in halves down to `base` words.  With T0, T1, T2 the Toeplitz blocks
of the window from the lowest word up, v0 and v1 the lower and higher half of the key,

    lower half of T v = T1 v0 + T0 v1 = T1 (v0 + v1) + (T0 + T1) v1
    higher half       = T2 v0 + T1 v1 = T1 (v0 + v1) + (T1 + T2) v0

needs three products instead of four (Karatsuba's trick for Toeplitz matrices: Fan and Hasan,
IEEE Trans. Comput. 56, 224 (2007)).  Over GF(2) nothing is rounded.

No hash may be asked for where `e91.system.numba_internals.LANES` is 0: there the processor, or
numba's settings, do not offer the instruction.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from e91.model.bits import Bits
from e91.system.compiled import kernel
from e91.system.numba_internals import block_product, block_sum

_Words = NDArray[np.uint64]

# Words of the smallest block, of the largest, and by how many they differ: what the kernels
# gather at once on any processor.
_LEAST, _MOST, _STEP = 16, 56, 8
# Cost of a word of a halved block in word products, and of an output word beside its products:
# fitted to blocks of 16 to 6144 words on an AMD EPYC of 2024 with vectors of 8 words.
_HALVING = 2.5
_GATHERING = 3


@kernel
def multiply(work: _Words, size: int, base: int) -> None:
    """XOR a product into ``work``: 2 ``size`` words of seed, ``size`` of key, ``size`` of output.

    Behind these it needs 5 ``size`` words of scratch.  The three products of each level are done
    one after the other by walking the tree: compiled code that calls itself cannot be cached.
    """
    seed, key, out, stage = np.zeros((4, 64), np.int64)
    key[0], out[0], free, level = 2 * size, 3 * size, 4 * size, 0
    while level >= 0:
        half = (size >> level) // 2
        mixed, product, sums = free, free + half, free + 2 * half
        if half < base:
            block_product(work, seed[level], key[level], out[level], base)
            stage[level] = 3
        elif stage[level] == 0:
            # All sums first: the processor waits where it reads across what it has just written.
            block_sum(work, key[level], key[level] + half, mixed, half)
            block_sum(work, seed[level], seed[level] + half, sums, 3 * half)
            for i in range(half):
                work[product + i] = np.uint64(0)
            seed[level + 1], key[level + 1], out[level + 1] = seed[level] + half, mixed, product
        elif stage[level] < 3:
            up = half * (stage[level] - 1)  # First the lower half of the output, then the higher.
            block_sum(work, out[level] + up, product, out[level] + up, half)
            seed[level + 1] = sums + up
            key[level + 1], out[level + 1] = key[level] + up, out[level] + up
        if stage[level] == 3:
            level -= 1
            free -= 5 * (size >> level) // 2
        else:
            stage[level] += 1
            level += 1
            free += 5 * half
            stage[level] = 0


@kernel
def multiply_blocks(
    seed: _Words, key: _Words, out: _Words, work: _Words, size: int, base: int
) -> None:
    """Set ``out`` to the product of a seed and a key that consist of blocks of ``size`` words.

    ``work`` is scratch of 9 ``size`` words.  One call for all blocks: between calls threads would
    wait for each other.
    """
    for row in range(len(out) // size):
        for i in range(size):
            work[3 * size + i] = np.uint64(0)
        for column in range(len(key) // size):
            for i in range(2 * size):
                work[i] = seed[(row + column) * size + i]
            for i in range(size):
                work[2 * size + i] = key[column * size + i]
            multiply(work, size, base)
        for i in range(size):
            out[row * size + i] = work[3 * size + i]


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


def toeplitz_hash(key: Bits, count: int, *, length: int, seed: Bits) -> Bits:
    """Return the hash that `e91.distillation.amplification.hashing.toeplitz_hash_packed` defines.

    Memory: a few times that of the packed arguments, whatever their length.

    Args:
        key: Packed bits; uint8, shape (ceil(count / 8),).
        count: Bits of the key, at least 1.
        length: Bits to return, at least 1.
        seed: Packed bits; uint8, shape (ceil((count + length - 1) / 8),).

    Returns:
        Packed bits; uint8, shape (ceil(length / 8),), with undefined bits behind the last.

    Examples:
        >>> from e91.system.numba_internals import LANES
        >>> key, seed = np.array([0b10100000], np.uint8), np.array([0b11010000], np.uint8)
        >>> bool(not LANES or toeplitz_hash(key, 3, length=2, seed=seed)[0] >> 6 == 0b10)
        True
    """
    cut = cheapest_cut(count, length)
    key_bits, out_bits = 64 * cut.size * cut.columns, 64 * cut.size * cut.rows
    key_words = _numbers(key, bits=key_bits)
    # Bits behind the key's last would enter the hash; those behind the seed's meet no output.
    key_words[(count - 1) // 64] &= np.uint64(2**64 - (1 << -count % 64))
    seed_words = _aligned(seed, skip=key_bits - count, bits=key_bits + out_bits)
    # Of the product, lowest word first.
    out, work = np.empty(out_bits // 64, np.uint64), np.empty(9 * cut.size, np.uint64)
    multiply_blocks(seed_words, key_words, out, work, cut.size, cut.base)
    return out[::-1].astype(">u8").view(np.uint8)[: -(-length // 8)]


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
