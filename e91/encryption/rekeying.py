"""How much data one AES key protects: at most by the cipher's bound, and by what a link makes.

**The cipher's bound.**  Under one key, s blocks of 16 bytes in q segments give an adversary an
advantage of at most (s + q + 1)**2 / 2**129 in telling AES-GCM from an ideal cipher, and v forged
segments of at most l blocks succeed with at most 2 v (l + 1) / 2**128 (Günther, Thomson, Wood,
"Usage Limits on AEAD Algorithms", draft-irtf-cfrg-aead-limits, "AES-GCM", single-key limits, after
Iwata, Ohashi and Minematsu, CRYPTO 2012, LNCS 7417, 31, and Luykx and Paterson, 2017).  Several
keys add up.  This is about AES as an ideal permutation; that it looks like one is assumed.

**What a link makes.**  A link that makes R bits of key a second pays for a key of 256 bits every
256 / R seconds.  `bytes_per_key_at` spends half of that, so that the stock grows while data are
sent: with D bytes of data a second there is a new key every 2 * 256 * D / R bytes.
"""

import math

from e91.encryption.tink_streams import SEGMENT_SIZE, TAG_SIZE, TINK_HEADER_SIZE
from e91.model.numbers import check_whole

BYTES_PER_KEY = 2**28
"""256 MiB: what one key protects if nobody says otherwise."""

LEAST_BYTES_PER_KEY = 2**16
"""64 KiB: with fewer bytes a key, asking for keys takes longer than encrypting."""

ADVANTAGE = 2.0**-60
"""What an adversary may gain against one key."""

SHARE_OF_KEY = 0.5
"""Which part of the key that a link makes, or has in stock, is spent on data."""

DATA_RATE = 125e6
"""Bytes a second of a line of 1 Gbit/s, where nobody says how fast the data go."""

_KEY_BITS = 256
_BLOCK = 16


def most_bytes_per_key(segment_size: int, *, advantage: float = ADVANTAGE) -> int:
    """Return how many bytes of data one key may protect by the cipher's bound.

    Args:
        segment_size: Bytes of an encrypted segment, tag included.
        advantage: The largest advantage that an adversary may have against one key.

    Raises:
        ValueError: A number is out of range.

    Examples:
        >>> [most_bytes_per_key(2**18, advantage=a) >> 30 for a in (2**-60, 2**-64)]
        [362, 90]
    """
    check_whole(least=64, segment_size=segment_size)
    if not 0 < advantage < 1:
        raise ValueError(f"`advantage` must lie in (0, 1), but is {advantage}.")
    room = segment_size - TAG_SIZE
    # A segment counts its blocks and one for itself; a stream's header takes the room of some data.
    calls = math.floor(math.sqrt(advantage) * 2**64.5) - 1
    segments = calls // (math.ceil(room / _BLOCK) + 1)
    return max(1, segments * room - TINK_HEADER_SIZE)


def bytes_per_key_at(
    key_rate: float, *, data_rate: float = DATA_RATE, segment_size: int = SEGMENT_SIZE
) -> int:
    """Return how many bytes one key protects so that a link's key lasts; see the top of this file.

    Args:
        key_rate: Bits of key a second that the link makes, as measured.
        data_rate: Bytes of data a second that are sent.
        segment_size: Bytes of an encrypted segment, for the cipher's bound.

    Returns:
        A number between `LEAST_BYTES_PER_KEY` and `most_bytes_per_key`.

    Raises:
        ValueError: A rate is not positive and finite.

    Examples:
        >>> bytes_per_key_at(1000), bytes_per_key_at(1000, data_rate=250_000)
        (64000000, 128000)
    """
    for name, rate in (("key_rate", key_rate), ("data_rate", data_rate)):
        if not 0 < rate < math.inf:
            raise ValueError(f"`{name}` must be positive and finite, but is {rate}.")
    asked = math.ceil(_KEY_BITS * data_rate / (SHARE_OF_KEY * key_rate))
    return _within(asked, segment_size)


def bytes_per_key_from(
    stock_bytes: int, data_size: int, *, segment_size: int = SEGMENT_SIZE
) -> int:
    """Return how many bytes one key protects so that a stock lasts: at most half of it is spent.

    Args:
        stock_bytes: Key bytes that there are.
        data_size: Bytes of data.
        segment_size: Bytes of an encrypted segment, for the cipher's bound.

    Returns:
        At least `BYTES_PER_KEY`, if the cipher allows it.

    Examples:
        >>> bytes_per_key_from(10**6, 10**9), bytes_per_key_from(128, 10**9)
        (268435456, 500000000)
    """
    keys = int(SHARE_OF_KEY * stock_bytes * 8 / _KEY_BITS)
    asked = math.ceil(data_size / max(1, keys))
    return _within(max(BYTES_PER_KEY, asked), segment_size)


def _within(asked: int, segment_size: int) -> int:
    return min(max(asked, LEAST_BYTES_PER_KEY), most_bytes_per_key(segment_size))
