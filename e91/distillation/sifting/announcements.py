"""What both parties announce about each round, in as few bytes as it takes."""

import numpy as np
from numpy.typing import NDArray

from e91.model.bits import Bits
from e91.system.compiled import compiled_code_may_run

PairTable = NDArray[np.uint16]
"""Announcements of two rounds: Alice's byte, plus 256 times Bob's; shape (65536,).

The index is the first round's code plus 256 times the second's.
"""

_NARROW = 0x0F0F  # announcements that fit into half a byte, Alice's and Bob's


def pair_table(says: NDArray[np.uint32]) -> PairTable | None:
    """Return the announcements of two rounds in a byte, or None if half a byte is too little.

    Args:
        says: For each code Alice's announcement, plus 256 times Bob's; uint32, shape (256,).

    Examples:
        >>> hex(pair_table(np.arange(256, dtype=np.uint32) % 16)[7 + 256 * 2])
        '0x72'
    """
    if (says & ~np.uint32(_NARROW)).any():
        return None
    narrow = says.astype(np.uint16)
    table: PairTable = (narrow << np.uint16(4) | narrow[:, None]).ravel()
    return table


def announcements(
    codes: Bits, *, says: NDArray[np.uint32], pairs: PairTable | None
) -> tuple[Bits, Bits]:
    """Return what Alice and Bob announce about each round.

    Args:
        codes: Contiguous uint8, shape (n,).
        says: For each code Alice's announcement, plus 256 times Bob's; below 256 each; uint32,
            shape (256,).  Code 255, of no round, says 0.
        pairs: `pair_table` of the same.

    Returns:
        Alice's and Bob's bytes: two rounds in each, the first in the higher half, if every
        announcement is below 16; else one.  uint8, shape (ceil(n / 2),) or (n,) each.

    Examples:
        >>> says = np.arange(256, dtype=np.uint32) % 16 * 257
        >>> codes = np.array([7, 2], np.uint8)
        >>> alice, bob = announcements(codes, says=says, pairs=pair_table(says))
        >>> [hex(byte) for byte in alice]
        ['0x72']
    """
    if pairs is None:
        wide = np.take(says, codes)
        return wide.astype(np.uint8), (wide >> np.uint32(8)).astype(np.uint8)
    missing = -len(codes) % 8
    whole = np.pad(codes, (0, missing), constant_values=255) if missing else codes
    size = -(-len(codes) // 2)
    if not compiled_code_may_run():
        both = np.take(pairs, whole.view("<u2"))[:size]
        return both.astype(np.uint8), (both >> np.uint16(8)).astype(np.uint8)
    from e91.distillation.sifting import packing_kernels

    alice, bob = (np.empty(len(whole) // 8, np.uint32) for _ in range(2))
    packing_kernels.announce(whole.view(np.uint64), pairs, alice, bob)
    return alice.view(np.uint8)[:size], bob.view(np.uint8)[:size]
