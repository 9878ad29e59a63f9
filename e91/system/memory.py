"""Large arrays that leave memory when they are done with."""

import mmap

import numpy as np

from e91.model.bits import Bits


def zero_bytes(count: int) -> Bits:
    """Return zeros on pages of their own, which go back to the system with the array.

    What is freed to malloc stays in its heaps among smaller things: blocks of a long run, on two
    threads, then hold a tenth more memory than they use.

    Args:
        count: How many bytes, from 0; pages are whole, so a small array wastes most of one.

    Returns:
        uint8, shape (count,).

    Examples:
        >>> zero_bytes(3)
        array([0, 0, 0], dtype=uint8)
    """
    return np.frombuffer(mmap.mmap(-1, max(count, 1)), np.uint8, count)
