"""What both parties say about each round, in as few bytes as it takes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from e91.distillation.sifting.packing import compiled_kernels
from e91.model.bits import Bits

_NARROW = 0x0F0F  # announcements that fit into half a byte, Alice's and Bob's
_HALF = np.uint8(4)
_VECTOR = 64


def announcements(codes: Bits, *, says: NDArray[np.uint32]) -> tuple[Bits, Bits]:
    """Return what Alice and Bob say about each round.

    Args:
        codes: Contiguous uint8, shape (n,).
        says: For each code Alice's announcement, plus 256 times Bob's; below 256 each; uint32,
            shape (256,).  Code 255, of no round, says 0.

    Returns:
        Alice's and Bob's bytes: two rounds in each, the first in the higher half, if every
        announcement is below 16; else one.  uint8, shape (ceil(n / 2),) or (n,) each.

    Examples:
        >>> says = np.arange(256, dtype=np.uint32) % 16 * 257
        >>> alice, bob = announcements(np.array([7, 2], np.uint8), says=says)
        >>> [hex(byte) for byte in alice]
        ['0x72']
    """
    if (says & ~np.uint32(_NARROW)).any():
        said = np.take(says, codes)
        return said.astype(np.uint8), (said >> np.uint32(8)).astype(np.uint8)
    both = (says | says >> np.uint32(4)).astype(np.uint8)  # Alice's in the lower half, Bob's above
    compiled, size = compiled_kernels(), -(-len(codes) // 2)
    if compiled is None:
        return _in_halves(np.take(both, np.pad(codes, (0, len(codes) % 2), constant_values=255)))
    whole = codes
    if missing := -len(codes) % _VECTOR:
        whole = np.pad(codes, (0, missing), constant_values=255)
    if compiled.vectors.AVAILABLE and not both[_VECTOR:].any():
        said = np.empty(len(whole), np.uint8)
        compiled.vectors.translate(whole, both[:_VECTOR], said)
    else:
        said = np.take(both, whole)
    alice, bob = (np.empty(len(whole) // 2, np.uint8) for _ in range(2))
    from e91.distillation.sifting.half_kernels import halve

    halve(said.view(np.uint64), alice.view(np.uint32), bob.view(np.uint32))
    return alice[:size], bob[:size]


def _in_halves(said: Bits) -> tuple[Bits, Bits]:
    first, second = said[::2], said[1::2]
    return first << _HALF | second & np.uint8(15), first & np.uint8(0xF0) | second >> _HALF
