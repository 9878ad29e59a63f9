"""Verification: learn with near certainty whether the reconciled keys are equal.

Alice draws a hash key once both reconciled keys are fixed, and publishes it with the Poly1305 hash
of her key.  Bob hashes his own and publishes whether the two agree.  Poly1305 serves as an almost
universal hash here, not as a secret authenticator, so its key may be public.
"""

import hmac
import struct

from cryptography.hazmat.primitives.poly1305 import Poly1305

from e91.model.errors import AuthenticationFailed
from e91.model.messages import Message, Party
from e91.model.numbers import check_not_negative
from e91.model.records import ReconciledKey, VerifiedKey

HASH_KEY_BYTES = 32
"""Length of the public hash key."""

HASH_BITS = 128
"""Key bits that the announcement discloses: the length of the hash."""

_HASH_BYTES = HASH_BITS // 8
_EQUAL, _DIFFERENT = b"\x01", b"\x00"


def announce(key: ReconciledKey, hash_key: bytes) -> Message:
    """Return Alice's announcement: a hash key, and the hash of her key.

    Args:
        key: Alice's reconciled key.
        hash_key: 32 uniform bytes, drawn after both keys are fixed and used for nothing else.
            Whoever knew them earlier could choose errors that stay hidden.

    Returns:
        A message of 48 bytes that discloses 128 key bits.  The hash key is independent of the
        key, so only the hash counts.

    Raises:
        ValueError: ``hash_key`` does not have 32 bytes.

    Examples:
        >>> import numpy as np
        >>> alice = ReconciledKey(np.array([1, 0, 1], np.uint8))
        >>> announcement = announce(alice, bytes(range(32)))
        >>> announcement.disclosed_bits
        128
        >>> check(ReconciledKey(np.array([1, 0, 1], np.uint8)), announcement)
        VerifiedKey(3 bits)
    """
    if len(hash_key) != HASH_KEY_BYTES:
        raise ValueError(f"`hash_key` must have {HASH_KEY_BYTES} bytes, but has {len(hash_key)}.")
    return Message(Party.ALICE, "verification", hash_key + _digest(key, hash_key), HASH_BITS)


def check(key: ReconciledKey, announcement: Message) -> VerifiedKey | None:
    """Return Bob's key as verified if its hash is the announced one, else None.

    Args:
        key: Bob's reconciled key.
        announcement: Alice's announcement as it arrived.

    Raises:
        AuthenticationFailed: The announcement is missing or malformed.
    """
    if len(announcement.body) != HASH_KEY_BYTES + _HASH_BYTES:
        raise AuthenticationFailed("The verification message is missing or malformed.")
    hash_key, digest = announcement.body[:HASH_KEY_BYTES], announcement.body[HASH_KEY_BYTES:]
    if not hmac.compare_digest(_digest(key, hash_key), digest):
        return None
    return VerifiedKey.from_packed(key.packed, len(key))


def answer(checked: VerifiedKey | None) -> Message:
    """Return Bob's announcement of what `check` found.

    It discloses no bit of a key that is kept: a session goes on only after one of the two
    answers, and the probability of the other is part of the failure probability.
    """
    return Message(Party.BOB, "verified", _DIFFERENT if checked is None else _EQUAL)


def confirm(key: ReconciledKey, reply: Message) -> VerifiedKey | None:
    """Return Alice's key as verified if Bob's hash agreed, else None.

    Args:
        key: Alice's reconciled key, as announced.
        reply: Bob's `answer` as it arrived.

    Raises:
        AuthenticationFailed: The reply is missing or malformed.
    """
    if reply.body not in (_EQUAL, _DIFFERENT):
        raise AuthenticationFailed("The reply to the verification is missing or malformed.")
    return VerifiedKey.from_packed(key.packed, len(key)) if reply.body == _EQUAL else None


def collision_probability(bits: int) -> float:
    """Return an upper bound on the probability that two different keys have equal hashes.

    Args:
        bits: Length of the longer key.

    Returns:
        ``8 ceil(L / 16) / 2**106`` for the L hashed bytes: 8 for the length and the packed key.

    Raises:
        ValueError: ``bits`` is negative.

    Source:
        Bernstein, "The Poly1305-AES message-authentication code", FSE 2005, theorem 3.3.

    Examples:
        >>> collision_probability(10**6) < 1e-27
        True
    """
    check_not_negative(bits=bits)
    hashed = 8 + -(-bits // 8)
    return float(8 * -(-hashed // 16)) / 2.0**106


def _digest(key: ReconciledKey, hash_key: bytes) -> bytes:
    # The length comes first, as keys that differ by trailing zeros only pack to equal bytes.
    return Poly1305.generate_tag(hash_key, struct.pack("<Q", len(key)) + key.packed.tobytes())
