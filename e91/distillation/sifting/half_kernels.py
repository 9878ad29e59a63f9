"""Bytes parted into halves; reached through `e91.distillation.sifting.announcements` alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from e91.distillation.sifting.vector_kernels import Words, kernel


@kernel
def halve(said: Words, alice: NDArray[np.uint32], bob: NDArray[np.uint32]) -> None:
    """Part the halves of bytes: the lower ones to Alice, the higher ones to Bob.

    Args:
        said: Eight bytes a word, the first one lowest; shape (m,).
        alice: Receives the lower halves, two a byte, the first one higher; shape (m,).
        bob: Receives the higher halves likewise; shape (m,).
    """
    low = np.uint64(0x0F0F0F0F0F0F0F0F)
    for place in range(said.size):
        alice[place] = _pairs(said[place] & low)
        bob[place] = _pairs((said[place] >> np.uint64(4)) & low)


@kernel
def _pairs(halves: np.uint64) -> np.uint32:
    """Join each two bytes whose higher halves are empty to one."""
    word = ((halves << np.uint64(4)) | (halves >> np.uint64(8))) & np.uint64(0x00FF00FF00FF00FF)
    word = (word | (word >> np.uint64(8))) & np.uint64(0x0000FFFF0000FFFF)
    return np.uint32((word | (word >> np.uint64(16))) & np.uint64(0xFFFFFFFF))
