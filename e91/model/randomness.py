"""Where the protocol's own random bits come from: settings, samples, hash seeds, keys.

This randomness is never mixed with that of the simulated physics.  It comes from the operating
system; a seeded source exists for tests and for ``--seed``, and a session that used it says that
its key is reproducible and not secret.
"""

import hashlib
import os
from collections.abc import Callable
from itertools import count as counter
from numbers import Integral

import numpy as np
from numpy.typing import NDArray

from e91.model.bits import Bits
from e91.model.settings import Settings

Entropy = Callable[[int], bytes]
"""What gives random bytes: it takes how many, and returns the next ones of its source."""

# Domain separation: the protocol's stream must differ from a device's stream of the same seed.
_PROTOCOL = 0x9E3779B97F4A7C15


def operating_system_entropy(size: int) -> bytes:
    """Return ``size`` bytes that nobody can predict, from the operating system.

    Args:
        size: How many bytes.

    Returns:
        The bytes; new ones at every call.

    Examples:
        >>> len(operating_system_entropy(32))
        32
    """
    return os.urandom(size)


def seeded_entropy(seed: int) -> Entropy:
    """Return a reproducible stand-in for the operating system's entropy, for tests only.

    Keys made with it are *not* secret: whoever knows ``seed`` knows the settings and hash seeds.

    Args:
        seed: Whole number from 0; one seed gives one stream of bytes.

    Returns:
        A function that takes a number of bytes and returns the stream's next ones.

    Raises:
        ValueError: ``seed`` is no whole number from 0.

    Examples:
        >>> entropy, again = seeded_entropy(7), seeded_entropy(7)
        >>> entropy(16) == again(16), entropy(16) == again(32)[:16]
        (True, True)
    """
    if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
        raise ValueError(f"`seed` must be a whole number from 0, but is {seed!r}.")
    stream = np.random.Generator(np.random.Philox(np.random.SeedSequence((_PROTOCOL, seed))))
    return stream.bytes


def block_entropy(root: bytes, *, block: int) -> Entropy:
    """Return the randomness of one block of a run, made from 32 secret bytes and its number.

    So a block can be made again alone, by any thread.  SHAKE-256 expands the root: what follows is
    as unpredictable as that hash function makes it, no more.

    Args:
        root: 32 bytes of `operating_system_entropy` or, for tests, of `seeded_entropy`.
        block: Number of the block, from 0.

    Examples:
        >>> draw, again = (block_entropy(bytes(32), block=7) for _ in range(2))
        >>> draw(16) == again(16), draw(16) == draw(16)
        (True, False)
    """
    calls = counter()

    def entropy(size: int) -> bytes:
        """Return bytes that no other call, and no other block, gets."""
        label = b"e91 block %d call %d" % (block, next(calls))
        return hashlib.shake_256(root + label).digest(size)

    return entropy


def random_bits(entropy: Entropy, count: int) -> Bits:
    """Return ``count`` uniform bits; uint8, shape (count,)."""
    return np.unpackbits(np.frombuffer(entropy(-(-count // 8)), np.uint8), count=count)


def random_choice(entropy: Entropy, probabilities: tuple[float, ...], count: int) -> Bits:
    """Draw ``count`` indices with the given probabilities; uint8, shape (count,).

    A 64-bit draw is compared with the cumulative probabilities, so each probability is met to
    2**-52 (the precision of a float).
    """
    draws: NDArray[np.uint64] = np.frombuffer(entropy(8 * count), np.uint64)
    index = np.zeros(count, np.uint8)
    for threshold in np.cumsum(probabilities)[:-1]:
        index += draws >= np.uint64(min(int(threshold * 2**64), 2**64 - 1))
    return index


def random_settings(entropy: Entropy, settings: Settings, rounds: int) -> tuple[Bits, Bits]:
    """Draw both parties' setting index (x, y) of every round; uint8, shape (rounds,) each."""
    x = random_choice(entropy, settings.alice_probabilities, rounds)
    return x, random_choice(entropy, settings.bob_probabilities, rounds)
