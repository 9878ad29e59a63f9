"""Toeplitz hashing by Fourier transforms: the route that every processor can take.

The product of matrix and key is a window of the convolution of seed and key.  It is computed in
blocks, with real Fourier transforms in double precision, and rounded to whole numbers: exactly.

Why the rounding is exact:
    Let u = 2**-53.  A butterfly a + w b rounds by at most sqrt(5) u |b| in the product, u |b| in
    the root w, and u |a + w b| in the sum; as |b| sqrt(2) is at most the norm of the two outputs
    and a level is sqrt(2) times a unitary map, N points gather a relative error below
    e = 7 u log2(N) in the 2-norm.  (Higham, "Accuracy and Stability of Numerical Algorithms",
    theorem 24.2, has the same form; larger radices round less.)  For one block with seed part s
    and key part k the two forward transforms and the product put at most (2 e + 3 u) |s| |k| on
    any entry, the sum over m blocks m u times as much as it holds, and the inverse transform
    e sqrt(N) m |s| |k|.  With 0/1 entries, |s| <= sqrt(N) and |k| <= sqrt(N / 2).
    The tests add these up (``tests/distillation/test_amplification.py``): below 1/2 the nearest
    whole number is the true one, and that holds up to 10**10 bits.
"""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from e91.model.bits import Bits

# Key bits per transform.  Among 2**15 to 2**19 as fast as any for 1e6 bits, a fifth slower than
# 2**18 for 1e7 bits, with the smaller memory.
_BLOCK = 2**17

_Spectrum = NDArray[np.complex128]


def toeplitz_hash(bits: Bits, length: int, seed: Bits) -> Bits:
    """Return the hash that `e91.distillation.amplification.hashing.toeplitz_hash` defines.

    Two forward transforms per block of 2**17 bits, and one inverse per block of the output.
    Memory: 32 bytes per *output* bit beside the arguments.

    Args:
        bits: uint8, shape (n,), n > 0.
        length: Bits to return, at least 1.
        seed: uint8, shape (n + length - 1,).

    Returns:
        uint8 bits, shape (length,).

    Examples:
        >>> toeplitz_hash(np.array([1, 0, 1], np.uint8), 2, np.array([1, 1, 0, 1], np.uint8))
        array([1, 0], dtype=uint8)
    """
    counts = np.rint(_window(bits, length, seed, _block(len(bits))))
    return (counts.astype(np.int64) & 1).astype(np.uint8)


def _block(count: int) -> int:
    """Return the power of two of key bits that one transform takes."""
    return min(_BLOCK, 1 << max(count - 1, 1).bit_length())


def _window(bits: Bits, length: int, seed: Bits, block: int) -> NDArray[np.float64]:
    """Return the integer product T @ bits before rounding.

    Output block t and key block b meet in the part of the seed that t - b selects, so from one
    key block to the next the parts move up by one output block, and only one of them is new.
    """
    blocks, outputs = -(-len(bits) // block), -(-length // block)
    # Part d begins where output 0 of block d meets the last bit of key block 0.
    first = len(bits) - block
    parts: deque[_Spectrum] = deque(
        (_spectrum(seed, first + d * block, 2 * block - 1, block) for d in range(1, outputs)),
        maxlen=outputs,
    )
    sums = np.zeros((outputs, block + 1), np.complex128)
    for b in range(blocks):
        parts.appendleft(_spectrum(seed, first - b * block, 2 * block - 1, block))
        key_part = _spectrum(bits, b * block, block, block)
        for total, part in zip(sums, parts, strict=True):
            total += part * key_part
    window = [np.fft.irfft(total, 2 * block)[block - 1 : 2 * block - 1] for total in sums]
    return np.concatenate(window)[:length]


def _spectrum(values: Bits, start: int, size: int, block: int) -> _Spectrum:
    """Return the transform of ``values[start : start + size]``, zeros where there is none."""
    part = np.zeros(2 * block)
    low, high = max(start, 0), min(start + size, len(values))
    part[low - start : max(high, low) - start] = values[low : max(high, low)]
    return np.fft.rfft(part)
