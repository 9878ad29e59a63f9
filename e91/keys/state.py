"""What a key store is made of: a public label, which bytes are used, and the bytes that are not."""

from dataclasses import dataclass
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from e91.model.messages import Party
from e91.model.trust import SecurityModel

MASK_SIZE = 32
"""Bytes at the end of each share that mask message keys: as long as a Poly1305 or AES-256 key."""

Interval = tuple[int, int]


@dataclass(frozen=True)
class KeyLabel:
    """What is public about a key: its name, its promise, its division.  It holds no key bits.

    Attributes:
        key_id: The same at both ends; a UUID in hexadecimal with hyphens.
        owner: Whose stock this is.
        security: The security model under which the key is secret.
        epsilon: Its composable failure probability; None if no theorem gives one.
        reproducible: Whether whoever knows the session's seed can make the key again.
        size: Length of the whole key, bytes.
        alice_share: How many of them, from the front, are for Alice's messages; the rest are for
            Bob's.  Both ends must choose the same number: with different ones their shares
            overlap, and nothing that one sends can be read by the other.
        theorem: Name of the theorem that gave the key's length; None if that is not known.
        attacks: Which attacks the theorem covers; None if that is not known.

    Raises:
        ValueError: ``key_id`` is no UUID, ``epsilon`` no probability, or ``alice_share`` does not
            lie in [0, size].
    """

    key_id: str
    owner: Party
    security: SecurityModel
    epsilon: float | None
    reproducible: bool
    size: int
    alice_share: int
    theorem: str | None = None
    attacks: str | None = None

    def __post_init__(self) -> None:
        if not _is_uuid(self.key_id):
            # Not repeated in the sentence: it is where a damaged file may hold anything.
            raise ValueError("`key_id` must be a UUID in hexadecimal with hyphens, but is not.")
        if self.epsilon is not None and not 0 <= self.epsilon <= 1:
            raise ValueError(f"`epsilon` must lie in [0, 1], but is {self.epsilon}.")
        if not 0 <= self.alice_share <= self.size:
            raise ValueError(
                f"`alice_share` must lie in [0, {self.size}], but is {self.alice_share}."
            )

    def share(self, party: Party) -> range:
        """Return the offsets of the bytes that protect what ``party`` sends, mask included."""
        if party is Party.ALICE:
            return range(self.alice_share)
        return range(self.alice_share, self.size)

    def message_bytes(self, party: Party) -> range:
        """Return the offsets that messages of ``party`` may use: its share without the mask."""
        share = self.share(party)
        return range(share.start, max(share.start, share.stop - MASK_SIZE))


@dataclass(frozen=True, eq=False, repr=False)
class KeyState:
    """All of a `KeyStore` at one moment, to be written to a file.  It holds the key.

    Attributes:
        label: What is public about the key.
        spent: The used bytes, as increasing half-open intervals of offsets.
        remaining: All other bytes, in order.
    """

    label: KeyLabel
    spent: tuple[Interval, ...]
    remaining: bytes

    def __repr__(self) -> str:
        return f"KeyState({len(self.remaining)} of {self.label.size} bytes remain)"

    def used(self) -> NDArray[np.bool_]:
        """Return which bytes are used; bool, shape (size,).

        Raises:
            ValueError: The intervals overlap, leave the key, touch a mask or leave a gap in the
                owner's share, or the remaining bytes are not as many as they leave.
        """
        used = _marked(self.spent, self.label.size)
        for party in Party:
            if used[self.label.message_bytes(party).stop : self.label.share(party).stop].any():
                raise ValueError("`spent` must leave the masks alone, but does not.")
        own = self.label.message_bytes(self.label.owner)
        if np.any(np.diff(used[own.start : own.stop].astype(np.int8)) > 0):
            raise ValueError("`spent` must have no gap in the owner's share, but has one.")
        left = self.label.size - int(np.count_nonzero(used))
        if len(self.remaining) != left:
            raise ValueError(
                f"`remaining` must hold {left} bytes, but holds {len(self.remaining)}."
            )
        return used


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


def _marked(intervals: tuple[Interval, ...], size: int) -> NDArray[np.bool_]:
    marked = np.zeros(size, bool)
    end = 0
    for start, stop in intervals:
        if not end <= start < stop <= size:
            raise ValueError("`spent` must be increasing intervals inside the key, but is not.")
        marked[start:stop] = True
        end = stop
    return marked
