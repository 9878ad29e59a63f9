"""Memory of a run: arrays that its stages use again, and large ones that leave it at their end."""

import math
import mmap
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from e91.model.bits import Bits

_HEADROOM = 1.125  # keys of one run differ by a few bits; the system gives only what is used


class Workspace:
    """Arrays that one run uses again, and whether its loops run as machine code.

    Fresh memory costs as much as the work that is done in it.  A workspace keeps what it has given
    out, key bits among it, until nothing refers to it any more.  It serves one session at a time,
    in one thread: whoever runs sessions side by side makes one for each.

    Attributes:
        compiled: Whether loops that exist twice run as machine code.  NumPy gives the same results,
            more slowly, but needs neither numba nor the time to load or compile anything.

    Args:
        compiled: See the attribute.

    Examples:
        >>> workspace = Workspace(compiled=False)
        >>> first = workspace.array("example", (2, 3), np.uint8)
        >>> first.shape, np.shares_memory(first, workspace.array("example", (3,), np.uint8))
        ((2, 3), True)
    """

    def __init__(self, *, compiled: bool) -> None:
        self.compiled = compiled
        self._kept: dict[tuple[str, np.dtype[Any]], NDArray[Any]] = {}

    def array(self, name: str, shape: tuple[int, ...], kind: DTypeLike) -> NDArray[Any]:
        """Return a contiguous array of undefined content.

        Args:
            name: What it is for, the stage first, e.g. ``"cascade words"``.  The next array of this
                name and kind may lie in the same memory.
            shape: Its shape.
            kind: The type of its entries.
        """
        key, size = (name, np.dtype(kind)), math.prod(shape)
        kept = self._kept.get(key)
        if kept is None or kept.size < size:
            kept = self._kept[key] = np.empty(int(_HEADROOM * size), kind)
        return kept[:size].reshape(shape)


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
