"""Privacy amplification: hash a verified key to secret bits with a random Toeplitz matrix.

Two routes give the same bits.  Where the processor multiplies without carries and compiled code
runs, packed words are multiplied (`e91.distillation.amplification.carryless_kernels`); elsewhere
Fourier transforms do it, rounded exactly (`hash_by_fourier`).
"""

from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from e91.model.bits import Bits
from e91.model.numbers import check_whole
from e91.model.records import Release, VerifiedKey
from e91.system.compiled import compiled_code_pays
from e91.system.workspace import Workspace

# Key bits per transform.  Among 2**15 to 2**19 as fast as any for 1e6 bits, a fifth slower than
# 2**18 for 1e7 bits, with the smaller memory.
_BLOCK = 2**17

_Spectrum = NDArray[np.complex128]


def amplify(
    key: VerifiedKey, release: Release, seed: Bits, *, workspace: Workspace | None = None
) -> Bits:
    """Hash a verified and released key to its secret bits, all packed.

    Args:
        key: Verified key of n bits, equal at both parties.
        release: The passing verdict; its length, at most n, is the number of bits to keep.
        seed: Public, uniformly random bits that fix the matrix, drawn after the quantum phase;
            n - 1 packed bits, uint8, shape (ceil((n - 1) / 8),).  Never reuse a seed for a
            second key.
        workspace: Says whether compiled code runs; where it pays for one key, by default.

    Returns:
        `modified_toeplitz_hash` of the key, packed; uint8, shape (ceil(length / 8),).

    Raises:
        ValueError: The length exceeds n, or the seed has the wrong shape.

    Source:
        Toeplitz matrices are a universal family: Krawczyk, CRYPTO '94, LNCS 839, 129; so are they
        beside an identity: Hayashi and Tsurumaru, IEEE Trans. Inf. Theory 62, 2213 (2016).
        That this suffices against quantum side information is the leftover hash lemma
        of Tomamichel et al., IEEE Trans. Inf. Theory 57, 5524 (2011).

    Examples:
        >>> from e91.model.records import ChshEstimate, SecretLength
        >>> chsh = ChshEstimate(2.7, 0.01, 2.6, 0.0, 10_000)
        >>> release = Release(chsh, SecretLength((("example", 2.0),), None))
        >>> key = VerifiedKey(np.array([1, 0, 1], np.uint8))
        >>> np.unpackbits(amplify(key, release, np.packbits([1, 1])), count=2)
        array([0, 1], dtype=uint8)
    """
    return modified_toeplitz_hash_packed(
        key.packed,
        len(key),
        length=release.length.bits,
        seed=seed,
        compiled=None if workspace is None else workspace.compiled,
    )


def modified_toeplitz_hash(bits: Bits, length: int, seed: Bits) -> Bits:
    """Return ``(I | T) @ bits mod 2``: the first bits, and the Toeplitz hash of the others added.

    The smaller matrix has the same collision probability 2**-length as a whole Toeplitz matrix and
    takes half the time at common lengths.

    Args:
        bits: uint8, shape (n,).
        length: Bits to return, from 0 to n.
        seed: uint8, shape (n - 1,), or (0,) if n is 0; ``T[i, j] = seed[i - j + n - length - 1]``.

    Returns:
        uint8 bits, shape (length,).

    Raises:
        ValueError: ``length`` exceeds n or is negative, or the seed has the wrong shape.

    Source:
        Hayashi and Tsurumaru, IEEE Trans. Inf. Theory 62, 2213 (2016), arXiv:1311.5322.

    Examples:
        >>> key, seed = np.array([1, 0, 1], np.uint8), np.array([1, 1], np.uint8)
        >>> modified_toeplitz_hash(key, 2, seed)  # the first two bits, plus (1, 1) times the last
        array([0, 1], dtype=uint8)
    """
    shape = (max(len(bits) - 1, 0),)
    if seed.shape != shape:
        raise ValueError(f"`seed` must have shape {shape}, but has shape {seed.shape}.")
    packed = modified_toeplitz_hash_packed(
        np.packbits(bits), len(bits), length=length, seed=np.packbits(seed)
    )
    return np.unpackbits(packed, count=length)


def modified_toeplitz_hash_packed(
    key: Bits, count: int, *, length: int, seed: Bits, compiled: bool | None = None
) -> Bits:
    """Return `modified_toeplitz_hash` of bits that are packed as `numpy.packbits` packs them.

    Args:
        key: n bits; uint8 bytes, shape (ceil(n / 8),).
        count: n.
        length: Bits to return, from 0 to n.
        seed: n - 1 bits; uint8 bytes.
        compiled: Whether compiled code runs, if the processor has the instruction for it; where it
            pays for one key, by default.

    Returns:
        ``length`` bits, uint8 bytes, shape (ceil(length / 8),), padded with zeros.

    Raises:
        ValueError: ``length`` exceeds n or is negative, or key or seed have the wrong shape.

    Examples:
        >>> key, seed = np.array([0b101_00000], np.uint8), np.array([0b11_000000], np.uint8)
        >>> modified_toeplitz_hash_packed(key, 3, length=2, seed=seed) == 0b01_000000
        array([ True])
    """
    check_whole(most=count, length=length)
    _check_packed("key", key, count)
    _check_packed("seed", seed, max(count - 1, 0))
    first = key[: -(-length // 8)].copy()
    if 0 < length < count:
        rest = _without_first(key, length)[: -(-(count - length) // 8)]
        first ^= toeplitz_hash_packed(
            rest, count - length, length=length, seed=seed, compiled=compiled
        )
    if length % 8:
        first[-1] &= 0xFF << -length % 8 & 0xFF
    return first


def _without_first(packed: Bits, count: int) -> Bits:
    """Return packed bits without the first ``count``."""
    start, shift = divmod(count, 8)
    kept = packed[start:]
    if shift == 0:
        return kept
    following = np.append(kept[1:], np.uint8(0))
    moved: Bits = (kept << np.uint8(shift)) | (following >> np.uint8(8 - shift))
    return moved


def toeplitz_hash(bits: Bits, length: int, seed: Bits) -> Bits:
    """Return ``T @ bits mod 2`` with ``T[i, j] = seed[i - j + n - 1]``, for any 0/1 arrays.

    Args:
        bits: uint8, shape (n,).
        length: Rows of T, from 0.
        seed: First column and row of T; uint8, shape (n + length - 1,), or (0,) if n is 0.

    Returns:
        uint8 bits, shape (length,).

    Raises:
        ValueError: ``length`` is negative, or the seed has the wrong shape.

    Examples:
        >>> toeplitz_hash(np.array([1, 0, 1], np.uint8), 2, np.array([1, 1, 0, 1], np.uint8))
        array([1, 0], dtype=uint8)
    """
    count = len(bits)
    check_whole(length=length)
    shape = (max(count + length - 1, 0),)
    if seed.shape != shape:
        raise ValueError(f"`seed` must have shape {shape}, but has shape {seed.shape}.")
    packed = toeplitz_hash_packed(np.packbits(bits), count, length=length, seed=np.packbits(seed))
    return np.unpackbits(packed, count=length)


def toeplitz_hash_packed(
    key: Bits, count: int, *, length: int, seed: Bits, compiled: bool | None = None
) -> Bits:
    """Return `toeplitz_hash` of bits that are packed as `numpy.packbits` packs them.

    Other Python threads run meanwhile, so that two hashes on two threads take the time of one.

    Args:
        key: n bits; uint8 *bytes*, shape (ceil(n / 8),), first bit highest.  What the last byte
            holds behind the last bit is ignored, here and in the seed.
        count: How many bits the key has, n.
        length: Bits to return, from 0.
        seed: n + length - 1 bits; uint8 bytes, or none if n is 0.
        compiled: Whether compiled code runs, if the processor has the instruction for it; where it
            pays for one key, by default.

    Returns:
        ``length`` bits, uint8 bytes, shape (ceil(length / 8),), padded with zeros.

    Raises:
        ValueError: ``length`` is negative, or key or seed have the wrong shape.

    Examples:
        >>> key, seed = np.array([0b101_00000], np.uint8), np.array([0b1101_0000], np.uint8)
        >>> toeplitz_hash_packed(key, 3, length=2, seed=seed) == 0b10_000000
        array([ True])
    """
    check_whole(length=length)
    _check_packed("key", key, count)
    _check_packed("seed", seed, max(count + length - 1, 0))
    if length == 0 or count == 0:
        return np.zeros(-(-length // 8), np.uint8)
    pays = compiled_code_pays(count) if compiled is None else compiled
    hashed = _route(compiled=pays)(key, count, length=length, seed=seed)
    hashed[-1] &= 0xFF << -length % 8 & 0xFF
    return hashed


def _check_packed(name: str, packed: Bits, bits: int) -> None:
    if packed.shape != (shape := (-(-bits // 8),)):
        raise ValueError(f"`{name}` must have shape {shape}, but has shape {packed.shape}.")


def _route(*, compiled: bool) -> Callable[..., Bits]:
    if compiled:
        from e91.distillation.amplification import carryless_kernels
        from e91.system.numba_internals import LANES

        if LANES:
            return carryless_kernels.toeplitz_hash
    return _by_fourier


def _by_fourier(key: Bits, count: int, *, length: int, seed: Bits) -> Bits:
    bits, seed_bits = np.unpackbits(key, count=count), np.unpackbits(seed, count=count + length - 1)
    return np.packbits(hash_by_fourier(bits, length, seed_bits))


def hash_by_fourier(bits: Bits, length: int, seed: Bits) -> Bits:
    """Return `toeplitz_hash` by Fourier transforms: the route that every processor can take.

    The product of matrix and key is a window of the convolution of seed and key.  It is computed in
    blocks, with real Fourier transforms in double precision, and rounded to whole numbers: exactly.

    Why the rounding is exact:
        Let u = 2**-53.  A butterfly a + w b rounds by at most sqrt(5) u |b| in the product, u |b|
        in the root w, and u |a + w b| in the sum; as |b| sqrt(2) is at most the norm of the two
        outputs and a level is sqrt(2) times a unitary map, N points gather a relative error below
        e = 7 u log2(N) in the 2-norm.  (Higham, "Accuracy and Stability of Numerical Algorithms",
        theorem 24.2, has the same form; larger radices round less.)  For one block with seed part s
        and key part k the two forward transforms and the product put at most (2 e + 3 u) |s| |k| on
        any entry, the sum over m blocks m u times as much as it holds, and the inverse transform
        e sqrt(N) m |s| |k|.  With 0/1 entries, |s| <= sqrt(N) and |k| <= sqrt(N / 2).
        The tests add these up (``tests/distillation/test_amplification.py``): below 1/2 the nearest
        whole number is the true one, and that holds up to 10**10 bits.

    Two forward transforms per block of 2**17 bits, and one inverse per block of the output.
    Memory: 32 bytes per *output* bit beside the arguments.

    Args:
        bits: uint8, shape (n,), n > 0.
        length: Bits to return, at least 1.
        seed: uint8, shape (n + length - 1,).

    Returns:
        uint8 bits, shape (length,).

    Examples:
        >>> hash_by_fourier(np.array([1, 0, 1], np.uint8), 2, np.array([1, 1, 0, 1], np.uint8))
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
