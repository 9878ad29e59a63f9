"""Toeplitz hashing by carry-less multiplication, compiled by numba: packed words in and out.

Bits as coefficients over GF(2) make the product of matrix and key a window of the product of two
polynomials, and one processor instruction multiplies 64 by 64 of their coefficients.  Written
first bit first, as `numpy.packbits` does, a bit string is a big number whose highest bit is the
first, so that neither bits nor bytes need be turned round: only the order of 64-bit words.

Blocks of `size` words are cut in halves down to `base` words.  With T0, T1, T2 the Toeplitz blocks
of the window from the lowest word up, v0 and v1 the lower and higher half of the key,

    lower half of T v = T1 v0 + T0 v1 = T1 (v0 + v1) + (T0 + T1) v1
    higher half       = T2 v0 + T1 v1 = T1 (v0 + v1) + (T1 + T2) v0

needs three products instead of four (Karatsuba's trick for Toeplitz matrices: Fan and Hasan,
IEEE Trans. Comput. 56, 224 (2007)).  Over GF(2) nothing is rounded.

Nothing here may be called where `e91.system.numba_internals.LANES` is 0: there the processor, or
numba's settings, do not offer the instruction.
"""

import numpy as np
from numpy.typing import NDArray

from e91.system.compiled import kernel, part
from e91.system.numba_internals import (
    product_2,
    product_4,
    product_8,
    sum_2,
    sum_4,
    sum_8,
)

_Words = NDArray[np.uint64]


@part
def _product(work: _Words, seed: int, key: int, out: int, size: int, lanes: int) -> None:
    """XOR the product of ``size`` words of key with the window of seed at ``seed`` into ``out``."""
    if lanes == 8:
        product_8(work, seed, key, out, size)
    elif lanes == 4:
        product_4(work, seed, key, out, size)
    else:
        product_2(work, seed, key, out, size)


@part
def _sum(work: _Words, first: int, second: int, out: int, size: int, lanes: int) -> None:
    """Set ``size`` words at ``out`` to the XOR of those at ``first`` and ``second``."""
    if lanes == 8:
        sum_8(work, first, second, out, size)
    elif lanes == 4:
        sum_4(work, first, second, out, size)
    else:
        sum_2(work, first, second, out, size)


@kernel
def multiply(work: _Words, size: int, base: int, lanes: int) -> None:
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
            _product(work, seed[level], key[level], out[level], base, lanes)
            stage[level] = 3
        elif stage[level] == 0:
            # All sums first: the processor waits where it reads across what it has just written.
            _sum(work, key[level], key[level] + half, mixed, half, lanes)
            _sum(work, seed[level], seed[level] + half, sums, 3 * half, lanes)
            for i in range(half):
                work[product + i] = np.uint64(0)
            seed[level + 1], key[level + 1], out[level + 1] = seed[level] + half, mixed, product
        elif stage[level] < 3:
            up = half * (stage[level] - 1)  # First the lower half of the output, then the higher.
            _sum(work, out[level] + up, product, out[level] + up, half, lanes)
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
    seed: _Words, key: _Words, out: _Words, work: _Words, size: int, base: int, lanes: int
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
            multiply(work, size, base, lanes)
        for i in range(size):
            out[row * size + i] = work[3 * size + i]
