"""Portions: cut a long sifted key into several that share its phase errors fairly.

The statistics of a session sharpen with its length, and the price of hashing a bit grows with the
length that is hashed at once.  So the Bell test speaks of the whole key, which is then dealt like
cards into k portions that are corrected and hashed one by one.  Alice turns every row of k bits by
a random number of places and says by how many; each portion gets one bit of every row.  Whoever
prepared the rounds could not know which: ``docs/security.md``, section 5, bounds the phase errors
of every portion.
"""

import sys

import numpy as np
from numpy.typing import NDArray

from e91.model.bits import Bits
from e91.model.portion_sizes import portion_size
from e91.model.records import SiftedKey
from e91.system.compiled import compiled_code_pays
from e91.system.workspace import Workspace, zero_bytes

_Words = NDArray[np.uint64]

_CHUNK = 64  # groups that NumPy turns at once: with a byte a bit they still fit a cache


def divide(
    key: SiftedKey, *, portions: int, turns: Bits, workspace: Workspace | None = None
) -> tuple[SiftedKey, ...]:
    """Return the portions of a key.

    A row is k successive bits, and 64 / k rows are a word.  Portion j gets bit (j + turn) mod k of
    each row: of each group of 64 words the first rows, then the second ones.

    Args:
        key: One party's key.
        portions: k, a power of two from 2 to 64.
        turns: A public number for each row, in the order of a portion's bits, uniform in [0, 256)
            and drawn after the quantum phase; it counts modulo k.  uint8, shape (`portion_size`,).
        workspace: Says whether compiled code runs; where it pays for one key, by default.

    Returns:
        The k portions, of `portion_size` bits each.

    Raises:
        ValueError: There are too many or too few portions, or ``turns`` has another shape.

    Examples:
        >>> key = SiftedKey(np.arange(4096, dtype=np.uint8) % 2)
        >>> even, odd = divide(key, portions=2, turns=np.zeros(2048, np.uint8))
        >>> int(even.bits.sum()), int(odd.bits.sum())
        (0, 2048)
    """
    size = portion_size(len(key), portions=portions)
    if portions == 1:
        raise ValueError("`portions` must be at least 2 to divide a key, but is 1.")
    if turns.shape != (size,):
        raise ValueError(f"`turns` must have shape ({size},), but has {turns.shape}.")
    octets = key.packed[: size * portions // 8]
    words = zero_bytes(portions * size // 8).view(np.uint64).reshape(portions, -1)
    if compiled_code_pays(len(key)) if workspace is None else workspace.compiled:
        from e91.distillation.portions import partition_kernels

        partition_kernels.divide(octets, turns, words)
    else:
        _divide_by_numpy(octets, turns, words)
    packed = (words.byteswap(inplace=True) if sys.byteorder == "little" else words).view(np.uint8)
    return tuple(SiftedKey.from_packed(portion, size) for portion in packed)


def _divide_by_numpy(octets: Bits, turns: Bits, words: _Words) -> None:
    """Write the words of every portion, as the kernel `partition_kernels.divide` does."""
    portions = len(words)
    rows, steps = 64 // portions, np.arange(portions, dtype=np.uint8)
    groups = words.reshape(portions, -1, rows)
    for start in range(0, groups.shape[1], _CHUNK):
        part = slice(start, start + _CHUNK)
        bits = np.unpackbits(octets.reshape(-1, 512)[part]).reshape(-1, 64, rows, portions)
        turn = turns.reshape(-1, rows, 64, 1)[part].swapaxes(1, 2)
        turned = np.take_along_axis(bits, (steps + turn) % portions, axis=3)
        # From (group, word, row, portion) to (portion, group, row, word).
        packed = np.packbits(turned.transpose(3, 0, 2, 1), axis=3)
        groups[:, part] = np.ascontiguousarray(packed).view(">u8")[..., 0]
