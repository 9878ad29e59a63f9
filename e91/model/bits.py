"""Arrays of bits, and the few operations on them that every stage needs."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Bits = NDArray[np.uint8]

NO_CLICK = 2
"""Outcome of a round in which a party's detectors stayed silent; 0 and 1 are eigenvalues +1, -1."""


def frozen_array(values: ArrayLike, *, top: int, name: str) -> Bits:
    """Return a read-only one-dimensional uint8 copy of ``values``, checked to lie in [0, top].

    The check comes before the cast, so that 256 or -1 is refused and never wrapped.

    Raises:
        ValueError: ``values`` is not one-dimensional, holds no whole numbers, or leaves the range.
    """
    wide = np.asarray(values)
    if wide.ndim != 1:
        raise ValueError(f"`{name}` must have shape (n,), but has shape {wide.shape}.")
    if wide.size and not (np.issubdtype(wide.dtype, np.integer) or wide.dtype == np.bool_):
        raise ValueError(f"`{name}` must hold whole numbers, but has dtype {wide.dtype}.")
    if wide.size and not (wide.min() >= 0 and wide.max() <= top):
        raise ValueError(
            f"`{name}` must lie in [0, {top}], but spans [{wide.min()}, {wide.max()}]."
        )
    array = np.array(wide, dtype=np.uint8)
    array.flags.writeable = False
    return array


def pack(bits: Bits) -> bytes:
    """Return ``bits`` as bytes, first bit in the most significant place, padded with zeros."""
    return np.packbits(bits).tobytes()


def unpack(packed: bytes, count: int) -> Bits:
    """Return the first ``count`` bits of ``packed``; uint8, shape (count,).

    Raises:
        ValueError: ``packed`` does not have exactly the bytes that ``count`` bits need.
    """
    if len(packed) != -(-count // 8):
        raise ValueError(
            f"{count} packed bits must take {-(-count // 8)} bytes, but took {len(packed)}."
        )
    return np.unpackbits(np.frombuffer(packed, np.uint8), count=count)
