"""Comparing a delivered key at its two ends by a hash that no relay can see or alter.

A relay that alters what it passes on gives the two ends different keys, and nothing on the route
shows it (`e91.network.relaying`).  So the ends compare a hash, which they send each other directly,
over a connection that no relay is part of.  It is padded with the last bits of the key, which are
then thrown away: whoever reads it learns nothing of what is kept.

A relay that passes a key on faithfully and tells it to somebody cannot be found out in this way, or
in any other: a relay is trusted, and every key names those that knew it.
"""

import hmac
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.poly1305 import Poly1305

HASH_KEY_BYTES = 32
"""Public random bytes that choose the hash."""

PAD_BYTES = 16
"""Bytes of a key that its comparison uses up."""


@dataclass(frozen=True)
class ComparedEnd:
    """One end of a comparison.

    Attributes:
        kept: The key, without the bytes that padded the hash.
        message: The padded hash, for the other end.
    """

    kept: bytes = field(repr=False)
    message: bytes

    def agrees(self, message: bytes) -> bool:
        """Return whether the other end's message is the one of an equal key."""
        return hmac.compare_digest(self.message, message)


def compare(key: bytes, *, hash_key: bytes) -> ComparedEnd:
    """Return one end's side of a comparison.

    Args:
        key: The key at this end: more than `PAD_BYTES` bytes.
        hash_key: Public uniform bytes, drawn after both ends have the key, and used once.

    Raises:
        ValueError: The key leaves nothing to keep, or the hash key has another size.

    Source:
        Different keys of L bytes have equal messages with probability at most
        ``8 ceil(L / 16) / 2**106``: Bernstein, FSE 2005, theorem 3.3.  A relay that altered both
        key and pad gains nothing, as it does not know the hash key when it does so.

    Examples:
        >>> here, there = (compare(bytes(range(48)), hash_key=bytes(32)) for _ in range(2))
        >>> here.agrees(there.message), len(here.kept)
        (True, 32)
        >>> here.agrees(compare(bytes(range(1, 49)), hash_key=bytes(32)).message)
        False
    """
    if len(key) <= PAD_BYTES:
        raise ValueError(f"`key` must have more than {PAD_BYTES} bytes, but has {len(key)}.")
    if len(hash_key) != HASH_KEY_BYTES:
        raise ValueError(f"`hash_key` must have {HASH_KEY_BYTES} bytes, but has {len(hash_key)}.")
    kept, pad = key[:-PAD_BYTES], key[-PAD_BYTES:]
    digest = Poly1305.generate_tag(hash_key, kept)
    return ComparedEnd(kept, bytes(a ^ b for a, b in zip(digest, pad, strict=True)))
