"""One party's stock of one finished key; every byte is used at most once.

A `KeyStore` is the one thing here that changes.  The key is divided by direction, so that the two
ends can never use the same byte, however their messages cross::

    |<------------ Alice's share ------------>|<------------- Bob's share ------------->|
    | message bytes, from the front | mask 32 | message bytes, from the front | mask 32 |
    0                                    alice_share                                 size

**Why a mask.**  A ciphertext names its key bytes by their offset.  Eve may hold back a one-time-pad
message whose plaintext she knows; she then knows its pad, and could name *pad* bytes as the key of
a tag (or of AES) in a message of her own.  Therefore the last 32 bytes of each share never encrypt
anything: they are added (XOR) to the 32 key bytes of every message of that sender.  They cost 32
bytes a direction once, and make every 32 bytes that Eve can name uniform for her.

**Bytes for use outside** (`KeyStore.export`) come from the back of a share, before its mask, where
messages come last: the same command at both ends then gives the same bytes, whichever messages are
under way, as long as these have not come as far as that.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import NoReturn
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from e91.model.bits import Bits
from e91.model.errors import KeyUnavailable
from e91.model.messages import Party
from e91.model.records import SecretKey
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
        bell_test: Whether a Bell test had to pass; None if that is not known.

    Raises:
        ValueError: ``key_id`` is no UUID, ``epsilon`` no probability, or ``alice_share`` does not
            lie in [0, size].

    Examples:
        >>> label = KeyLabel("12345678-1234-4234-8234-123456789abc", Party.ALICE,
        ...     SecurityModel.TRUSTED_ANALYSERS, 1e-10, True, size=200, alice_share=100)
        >>> label.share(Party.BOB), label.message_bytes(Party.BOB)  # without the mask
        (range(100, 200), range(100, 168))
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
    bell_test: bool | None = None

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
        """Return the offsets of the bytes that protect what ``party`` sends, mask included.

        Args:
            party: Who sends.
        """
        if party is Party.ALICE:
            return range(self.alice_share)
        return range(self.alice_share, self.size)

    def message_bytes(self, party: Party) -> range:
        """Return the offsets that messages of ``party`` may use: its share without the mask.

        Args:
            party: Who sends.
        """
        share = self.share(party)
        return range(share.start, max(share.start, share.stop - MASK_SIZE))

    def messages_of_owner(self, exported: tuple[int, int]) -> range:
        """Return the offsets that messages of the owner may use beside what was exported.

        Args:
            exported: Bytes exported of Alice's share and of Bob's.
        """
        own = self.message_bytes(self.owner)
        return range(own.start, own.stop - exported[list(Party).index(self.owner)])


@dataclass(frozen=True, eq=False, repr=False)
class KeyState:
    """All of a `KeyStore` at one moment, to be written to a file.  It holds the key.

    Attributes:
        label: What is public about the key.
        spent: The used bytes, as increasing half-open intervals of offsets.
        remaining: All other bytes, in order.
        is_checked: Whether it comes from a file with a digest that was compared.
        exported: How many bytes at the back of Alice's and of Bob's share were exported.

    Examples:
        >>> bits, name = np.ones(1600, np.uint8), "12345678-1234-4234-8234-123456789abc"
        >>> key = SecretKey(bits, name, SecurityModel.TRUSTED_ANALYSERS, 1e-10, True)
        >>> store = KeyStore(key, Party.ALICE)
        >>> offset, content = store.take(40)
        >>> store.snapshot(), store.snapshot().spent
        (KeyState(160 of 200 bytes remain), ((0, 40),))
    """

    label: KeyLabel
    spent: tuple[Interval, ...]
    remaining: bytes
    is_checked: bool = False
    exported: tuple[int, int] = (0, 0)

    def __repr__(self) -> str:
        return f"KeyState({len(self.remaining)} of {self.label.size} bytes remain)"

    def used(self) -> NDArray[np.bool_]:
        """Return which bytes are used; bool, shape (size,).

        Raises:
            ValueError: The intervals overlap, leave the key, touch a mask, miss an exported byte
                or leave a gap in the owner's share, or the remaining bytes are not as many as they
                leave.
        """
        used = _marked(self.spent, self.label.size)
        for party, exported in zip(Party, self.exported, strict=True):
            own = self.label.message_bytes(party)
            if used[own.stop : self.label.share(party).stop].any():
                raise ValueError("`spent` must leave the masks alone, but does not.")
            if not (0 <= exported <= len(own) and used[own.stop - exported : own.stop].all()):
                raise ValueError("`spent` must hold what was exported, but does not.")
        sent = self.label.messages_of_owner(self.exported)
        if np.any(np.diff(used[sent.start : sent.stop].astype(np.int8)) > 0):
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


class KeyStore:
    r"""One party's stock of one key; whatever is taken from it is erased in it.

    Threads may share a store.  It refuses to be copied or pickled, since two copies would use the
    same bytes.  Not promised: that a second store made of the same `SecretKey` for the same owner,
    or a fork of the process, knows what this one used; that the operating system or the Python
    objects handed out leave no trace of used bytes in memory.

    Args:
        key: The finished key; fewer than 8 bits at its end are dropped.
        owner: Whose stock this is.
        alice_share: Bytes for Alice's messages, the same at both ends; half of them if not given.

    Raises:
        ValueError: The key is shorter than a byte, or see `KeyLabel`.
        TypeError: ``key`` or ``owner`` is something else.

    Examples:
        >>> from uuid import UUID
        >>> from e91.model.trust import SecurityModel
        >>> bits = np.unpackbits(np.arange(100, dtype=np.uint8))
        >>> name = str(UUID(int=7))
        >>> key = SecretKey(bits, name, SecurityModel.TRUSTED_ANALYSERS, 1e-10, True)
        >>> alice, bob = KeyStore(key, Party.ALICE), KeyStore(key, Party.BOB)
        >>> alice
        KeyStore(alice, 18 of 18 bytes left to send, 18 of 18 to receive)
        >>> alice.take(3)
        (0, b'\x00\x01\x02')
        >>> bob.claim(0, 3)
        b'\x00\x01\x02'
        >>> bob.claim(2, 1)
        Traceback (most recent call last):
        ...
        e91.model.errors.KeyUnavailable: Key bytes must be used once, but some were used already.
    """

    def __init__(self, key: SecretKey, owner: Party, *, alice_share: int | None = None) -> None:
        for name, value, kind in (("key", key, SecretKey), ("owner", owner, Party)):
            if not isinstance(value, kind):
                raise TypeError(
                    f"`{name}` must be a {kind.__name__}, but is a {type(value).__name__}."
                )
        size = len(key) // 8
        if size == 0:
            raise ValueError(f"`key` must hold at least 8 bits, but holds {len(key)}.")
        share = size // 2 if alice_share is None else alice_share
        label = KeyLabel(
            key.key_id,
            owner,
            key.security,
            key.epsilon,
            key.reproducible,
            size,
            share,
            key.theorem,
            key.attacks,
            key.bell_test,
        )
        self._begin(label, key.packed[:size].copy(), np.zeros(size, bool), (0, 0))

    @classmethod
    def restore(cls, state: KeyState) -> KeyStore:
        """Return the store that was in ``state``.

        It is the caller's part that no other store continues the same state: see
        `e91.keys.files`, which locks the file.

        Raises:
            ValueError: No store can be in this state; see `KeyState.used`.
        """
        used = state.used()
        content = np.zeros(state.label.size, np.uint8)
        content[~used] = np.frombuffer(state.remaining, np.uint8)
        store = cls.__new__(cls)
        store._begin(state.label, content, used, state.exported)
        return store

    def _begin(
        self, label: KeyLabel, content: Bits, used: NDArray[np.bool_], exported: tuple[int, int]
    ) -> None:
        self.label = label
        self._content = content
        self._used = used
        self._exported = exported
        own = label.messages_of_owner(exported)
        self._front = own.start + int(np.count_nonzero(used[own.start : own.stop]))
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        own, peer = (
            len(self.label.message_bytes(p)) for p in (self.label.owner, self.label.owner.peer)
        )
        return (
            f"KeyStore({self.label.owner.value}, {self.left} of {own} bytes left to send, "
            f"{self.peer_left} of {peer} to receive)"
        )

    def __reduce__(self) -> NoReturn:
        raise TypeError("A KeyStore must not be copied: both copies would use the same bytes.")

    @property
    def left(self) -> int:
        """How many bytes `take` can still give."""
        return self.label.messages_of_owner(self._exported).stop - self._front

    @property
    def peer_left(self) -> int:
        """How many bytes of the peer's share were not claimed yet."""
        peer = self.label.message_bytes(self.label.owner.peer)
        return len(peer) - int(np.count_nonzero(self._used[peer.start : peer.stop]))

    def take(self, size: int) -> tuple[int, bytes]:
        """Take fresh bytes from the front of the owner's share and erase them here.

        Args:
            size: How many bytes, at least 1.

        Returns:
            Their offset in the key, to be announced to the peer, and the bytes.

        Raises:
            ValueError: ``size`` is below 1.
            KeyUnavailable: Fewer than ``size`` bytes are left.
        """
        _check_size(size)
        with self._lock:
            if size > self.left:
                raise KeyUnavailable(
                    f"{size} key bytes must be left to {self.label.owner.value}, but {self.left} "
                    "are."
                )
            offset, self._front = self._front, self._front + size
            return offset, self._use(offset, size)

    def claim(self, offset: int, size: int) -> bytes:
        """Take the bytes of the peer's share that the peer named, and erase them here.

        Messages may be claimed in any order, and some never.

        Args:
            offset: Of the first byte, in the whole key.
            size: How many bytes, at least 1.

        Returns:
            The bytes.

        Raises:
            ValueError: ``size`` is below 1.
            KeyUnavailable: The bytes are not all in the peer's share, or some were used already.
        """
        with self._lock:
            self._check_claim(offset, size)
            return self._use(offset, size)

    def peek(self, offset: int, size: int) -> bytes:
        """Return what `claim` would, without using it: only to check a tag before claiming.

        Args:
            offset: Of the first byte, in the whole key.
            size: How many bytes, at least 1.

        Returns:
            The bytes; they stay in the store.

        Raises:
            ValueError: ``size`` is below 1.
            KeyUnavailable: As for `claim`.
        """
        with self._lock:
            self._check_claim(offset, size)
            return self._content[offset : offset + size].tobytes()

    @property
    def exported(self) -> tuple[int, int]:
        """How many bytes of Alice's and of Bob's share were exported."""
        return self._exported

    def left_at_back(self, party: Party) -> int:
        """Return how many bytes of a share `export` can still give, as far as this end knows.

        Args:
            party: Whose share.
        """
        share = self.label.message_bytes(party)
        stop = share.stop - self._exported[list(Party).index(party)]
        used = np.flatnonzero(self._used[share.start : stop])
        return stop - share.start - (int(used[-1]) + 1 if len(used) else 0)

    def export(self, alice: int, bob: int) -> tuple[tuple[Interval, ...], bytes]:
        r"""Take bytes for use outside from the backs of the shares, and erase them here.

        The peer gets the same bytes with the same call if both have exported the same before.  No
        message may be under way that has used some of them: which those are, its sender knows.

        Args:
            alice: How many bytes of Alice's share.
            bob: How many of Bob's.

        Returns:
            Their offsets, half-open intervals, and the bytes, in the order of the key.

        Raises:
            ValueError: A number is negative, or both are 0.
            KeyUnavailable: Some of them were used already; none is taken.

        Examples:
            >>> from e91.model.trust import SecurityModel
            >>> bits = np.unpackbits(np.arange(100, dtype=np.uint8))
            >>> name = "12345678-1234-4234-8234-123456789abc"
            >>> key = SecretKey(bits, name, SecurityModel.TRUSTED_ANALYSERS, 1e-10, True)
            >>> KeyStore(key, Party.ALICE).export(2, 1)
            (((16, 18), (67, 68)), b'\x10\x11C')
        """
        if min(alice, bob) < 0 or alice + bob < 1:
            raise ValueError(f"At least one byte must be exported, but are {alice} and {bob}.")
        with self._lock:
            intervals = []
            before = zip(Party, self._exported, (alice, bob), strict=True)
            for party, exported, size in before:
                stop = self.label.message_bytes(party).stop - exported
                self._check_export(party, size)
                intervals += [(stop - size, stop)] * (size > 0)
            self._exported = self._exported[0] + alice, self._exported[1] + bob
            content = b"".join(self._use(start, stop - start) for start, stop in intervals)
            return tuple(intervals), content

    def _check_export(self, party: Party, size: int) -> None:
        left = self.left_at_back(party)
        if size > left:
            raise KeyUnavailable(
                f"{size:,} key bytes must be left at the back of {party.value}'s share, but "
                f"{left:,} are."
            )

    def was_used(self, offset: int, size: int) -> bool:
        """Return whether any of these bytes, of either share, was taken or claimed.

        Args:
            offset: Of the first byte, in the whole key.
            size: How many bytes.
        """
        return bool(self._used[max(offset, 0) : max(offset + size, 0)].any())

    def mask(self, sender: Party) -> bytes:
        """Return the last 32 bytes of the sender's share (all of it, if shorter).

        They mask the keys of single messages (see the top of this file) and are never sent.

        Args:
            sender: Whose messages it masks.
        """
        stop = self.label.share(sender).stop
        return self._content[self.label.message_bytes(sender).stop : stop].tobytes()

    def snapshot(self) -> KeyState:
        """Return everything that must be written down to go on later from here."""
        with self._lock:
            edges = np.flatnonzero(np.diff(self._used, prepend=False, append=False))
            spent = tuple((int(start), int(stop)) for start, stop in edges.reshape(-1, 2))
            remaining = self._content[~self._used].tobytes()
            return KeyState(self.label, spent, remaining, exported=self._exported)

    def _check_claim(self, offset: int, size: int) -> None:
        _check_size(size)
        peer = self.label.message_bytes(self.label.owner.peer)
        if not peer.start <= offset <= offset + size <= peer.stop:
            raise KeyUnavailable(
                f"Key bytes must lie in [{peer.start}, {peer.stop}), which is for messages of "
                f"{self.label.owner.peer.value}, but lie in [{offset}, {offset + size})."
            )
        if self.was_used(offset, size):
            raise KeyUnavailable("Key bytes must be used once, but some were used already.")

    def _use(self, offset: int, size: int) -> bytes:
        # Marked before it is read: an interrupt in between loses bytes and reuses none.
        part = slice(offset, offset + size)
        self._used[part] = True
        content = self._content[part].tobytes()
        self._content[part] = 0
        return content


def _check_size(size: int) -> None:
    if size < 1:
        raise ValueError(f"`size` must be at least 1, but is {size}.")
