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
"""

from __future__ import annotations

import threading
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from e91.keys.state import KeyLabel, KeyState
from e91.model.bits import Bits
from e91.model.errors import KeyUnavailable
from e91.model.messages import Party
from e91.model.records import SecretKey


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
        )
        self._begin(label, key.packed[:size].copy(), np.zeros(size, bool))

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
        store._begin(state.label, content, used)
        return store

    def _begin(self, label: KeyLabel, content: Bits, used: NDArray[np.bool_]) -> None:
        self.label = label
        self._content = content
        self._used = used
        own = label.message_bytes(label.owner)
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
        return self.label.message_bytes(self.label.owner).stop - self._front

    @property
    def peer_left(self) -> int:
        """How many bytes of the peer's share were not claimed yet."""
        peer = self.label.message_bytes(self.label.owner.peer)
        return len(peer) - int(np.count_nonzero(self._used[peer.start : peer.stop]))

    def take(self, size: int) -> tuple[int, bytes]:
        """Take fresh bytes from the front of the owner's share and erase them here.

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

        Raises:
            ValueError: ``size`` is below 1.
            KeyUnavailable: The bytes are not all in the peer's share, or some were used already.
        """
        with self._lock:
            self._check_claim(offset, size)
            return self._use(offset, size)

    def peek(self, offset: int, size: int) -> bytes:
        """Return what `claim` would, without using it: only to check a tag before claiming.

        Raises:
            ValueError: ``size`` is below 1.
            KeyUnavailable: As for `claim`.
        """
        with self._lock:
            self._check_claim(offset, size)
            return self._content[offset : offset + size].tobytes()

    def was_used(self, offset: int, size: int) -> bool:
        """Return whether any of these bytes, of either share, was taken or claimed."""
        return bool(self._used[max(offset, 0) : max(offset + size, 0)].any())

    def mask(self, sender: Party) -> bytes:
        """Return the last 32 bytes of the sender's share (all of it, if shorter).

        They mask the keys of single messages (see the top of this file) and are never sent.
        """
        stop = self.label.share(sender).stop
        return self._content[self.label.message_bytes(sender).stop : stop].tobytes()

    def snapshot(self) -> KeyState:
        """Return everything that must be written down to go on later from here."""
        with self._lock:
            edges = np.flatnonzero(np.diff(self._used, prepend=False, append=False))
            spent = tuple((int(start), int(stop)) for start, stop in edges.reshape(-1, 2))
            return KeyState(self.label, spent, self._content[~self._used].tobytes())

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
        # Marked before it is read: an interrupt in between loses bytes and re-uses none.
        part = slice(offset, offset + size)
        self._used[part] = True
        content = self._content[part].tobytes()
        self._content[part] = 0
        return content


def _check_size(size: int) -> None:
    if size < 1:
        raise ValueError(f"`size` must be at least 1, but is {size}.")
