"""Random numbers for blocks of rounds: AES-256 keystreams that can be entered at any block.

The bytes are the keystream of AES-256-GCM, that is counter mode, which `cryptography` makes faster
than any generator of NumPy makes its bits.  Nothing is encrypted with it.  Physics and protocol
have a key each, so that the numbers of one say nothing of the other's.
"""

import os
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

from e91.model.randomness import Entropy

KEY_BYTES = 32
"""Length of a key: AES-256."""

_AES_BLOCK = 16
_KEPT_ZEROS = bytes(2**19)  # as many as a block of 2**18 rounds takes of each stream


class Stream(IntEnum):
    """What a keystream is for; the number is the first part of its nonce.

    Draws and their extensions have streams of their own, so no number serves twice.
    """

    SETTINGS = 1
    SETTING_EXTENSIONS = 2
    OUTCOMES = 3
    OUTCOME_EXTENSIONS = 4
    SAMPLE = 5
    DEVICE = 6


def seeded_key(seed: int | None, *, purpose: str) -> bytes:
    """Return the 32-byte key of the streams that serve ``purpose``.

    It is for the physics, and for tests.  The key of the protocol's streams should come from
    `e91.model.randomness.operating_system_entropy`: whoever knows a seed knows its keys.

    Args:
        seed: Root of the randomness, not negative; None takes the key from the operating system.
        purpose: For instance ``"physics"``; keys for unequal purposes tell nothing of each other.

    Raises:
        ValueError: The seed is negative.

    Source:
        HKDF with SHA-256: Krawczyk and Eronen, RFC 5869.

    Examples:
        >>> seeded_key(7, purpose="physics") == seeded_key(7, purpose="physics")
        True
        >>> seeded_key(7, purpose="physics") == seeded_key(7, purpose="protocol")
        False
    """
    if seed is None:
        return os.urandom(KEY_BYTES)
    if seed < 0:
        raise ValueError(f"`seed` must not be negative, but is {seed}.")
    root = seed.to_bytes(max(1, -(-seed.bit_length() // 8)), "big")
    label = f"e91 rounds, {purpose}".encode()
    return HKDF(algorithm=hashes.SHA256(), length=KEY_BYTES, salt=None, info=label).derive(root)


@dataclass(eq=False)
class PhysicsEntropy:
    """A device's random bytes: no outcome that is announced lets anyone foresee another.

    Without a key every call takes a fresh one from the operating system, so a process that was
    forked, or another thread, never gets the same bytes.  With one, the bytes continue from call
    to call and can be had again.

    Attributes:
        key: 32 bytes, or None.
        served: How many bytes were given under this key.

    Source:
        AES in counter mode: Dworkin, NIST SP 800-38A (2001), section 6.5.

    Examples:
        >>> seeded = physics_entropy(7)
        >>> seeded(3) + seeded(30) == physics_entropy(7)(33)
        True
        >>> physics_entropy(None)(16) == physics_entropy(None)(16)
        False
    """

    key: bytes | None = field(repr=False)
    served: int = 0

    def __call__(self, size: int) -> bytes:
        """Return the next ``size`` bytes."""
        if self.key is None:
            return _counter_mode(os.urandom(KEY_BYTES), 0, size)
        start, self.served = self.served, self.served + size
        return _counter_mode(self.key, start, size)


def physics_entropy(seed: int | None) -> PhysicsEntropy:
    """Return the source of a device's random bytes.

    Args:
        seed: Root of the physical randomness, not negative; None takes it from the operating
            system.

    Raises:
        ValueError: The seed is negative.
    """
    return PhysicsEntropy(None if seed is None else seeded_key(seed, purpose="physics"))


def _counter_mode(key: bytes, start: int, size: int) -> bytes:
    """Return ``size`` bytes of a keystream, from byte number ``start``."""
    block, skipped = divmod(start, _AES_BLOCK)
    counter = int(Stream.DEVICE).to_bytes(4, "big") + block.to_bytes(12, "big")
    encryptor = Cipher(algorithms.AES(key), modes.CTR(counter)).encryptor()
    return encryptor.update(_zeros(skipped + size))[skipped:]


def uniform(entropy: Entropy, count: int) -> NDArray[np.float64]:
    """Return ``count`` multiples of 2**-53, uniform in [0, 1); float64, shape (count,).

    Examples:
        >>> numbers = uniform(physics_entropy(1), 1000)
        >>> bool(0 <= numbers.min() and numbers.max() < 1 and 0.4 < numbers.mean() < 0.6)
        True
    """
    words = np.frombuffer(entropy(8 * count), "<u8")
    numbers: NDArray[np.float64] = (words >> np.uint64(11)) * np.float64(2.0**-53)
    return numbers


def keystream(key: bytes, *, stream: Stream, block: int) -> Entropy:
    """Return the source of the bytes that ``stream`` gives block number ``block``.

    Every pair (stream, block) has its own nonce, so its bytes can be made again alone and are
    disjoint from those of every other pair under the same key.  One nonce gives at most 64 GiB;
    `cryptography` refuses to go on beyond.

    Args:
        key: 32 bytes.
        stream: What the bytes are for.
        block: Number of the block, in [0, 2**64).

    Raises:
        ValueError: The key has another length, or the block number leaves its range.

    Examples:
        >>> draw = keystream(bytes(32), stream=Stream.SAMPLE, block=0)
        >>> again = keystream(bytes(32), stream=Stream.SAMPLE, block=0)
        >>> draw(3) + draw(5) == again(8)
        True
    """
    encryptor = _cipher(key, stream=stream, block=block).encryptor()
    return lambda size: encryptor.update(_zeros(size))


def draws(key: bytes, count: int, *, stream: Stream, block: int) -> NDArray[np.uint16]:
    """Return the first ``count`` 16-bit numbers of a stream; uint16, shape (count,).

    They are the first bytes of the `keystream`, two a number, the lower byte first.

    Raises:
        ValueError: As for `keystream`.

    Examples:
        >>> numbers = draws(bytes(32), 4, stream=Stream.SAMPLE, block=0)
        >>> numbers.tobytes() == keystream(bytes(32), stream=Stream.SAMPLE, block=0)(8)
        True
    """
    # `update_into` asks for room for one more block of the cipher, which it does not fill.
    room = np.empty(count + _AES_BLOCK // 2, "<u2")
    encryptor = _cipher(key, stream=stream, block=block).encryptor()
    encryptor.update_into(_zeros(2 * count), room.view(np.uint8).data)
    return room[:count]


def words_at(
    key: bytes, places: NDArray[np.intp], *, stream: Stream, block: int
) -> NDArray[np.uint64]:
    """Return one 64-bit number for each place, a function of the place and nothing else.

    Counter mode can be entered anywhere: place i takes AES block number i of the stream, the
    encryption of the nonce followed by i, and its first half.

    Args:
        key: 32 bytes.
        places: Whole numbers in [0, 2**32); shape (n,).
        stream: What the numbers are for; a stream that `keystream` and `draws` do not serve.
        block: Number of the block, in [0, 2**64).

    Raises:
        ValueError: As for `keystream`.

    Examples:
        >>> numbers = words_at(bytes(32), np.arange(9), stream=Stream.SAMPLE, block=0)
        >>> again = words_at(bytes(32), np.array([7]), stream=Stream.SAMPLE, block=0)
        >>> bool(numbers[7] == again[0])
        True
    """
    _check_key(key)
    counters = np.empty((len(places), 4), ">u4")
    counters[:, :3] = np.frombuffer(_nonce(stream, block), ">u4")
    counters[:, 3] = places
    # No two of these blocks are equal, so the pattern that this mode would show cannot arise.
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    return np.frombuffer(encryptor.update(counters.tobytes()), "<u8")[::2].copy()


def _cipher(key: bytes, *, stream: Stream, block: int) -> Cipher[modes.GCM]:
    _check_key(key)
    return Cipher(algorithms.AES(key), modes.GCM(_nonce(stream, block)))


def _nonce(stream: Stream, block: int) -> bytes:
    if not 0 <= block < 2**64:
        raise ValueError(f"`block` must lie in [0, 2**64), but is {block}.")
    return int(stream).to_bytes(4, "big") + block.to_bytes(8, "big")


def _zeros(size: int) -> memoryview:
    """Return ``size`` zeros, made anew only if they exceed a block's draws."""
    return memoryview(_KEPT_ZEROS if size <= len(_KEPT_ZEROS) else bytes(size))[:size]


def _check_key(key: bytes) -> None:
    if len(key) != KEY_BYTES:
        raise ValueError(f"`key` must have {KEY_BYTES} bytes, but has {len(key)}.")
