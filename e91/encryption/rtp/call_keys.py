"""What a call needs of wherever its keys come from: fresh ones, named ones, each once.

A key file, a key server asked by certificate, or a simulated network can stand behind a
`CallKeySource`; a call cannot tell which.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from e91.model.errors import KeyUnavailable

LONGEST_KEY_ID = 100
"""Bytes of a key ID at most."""


@dataclass(frozen=True, eq=False, repr=False)
class CallKey:
    """A key of a call and its public name.

    Attributes:
        key_id: The same at both ends: 1 to 100 printable ASCII characters, such as a UUID, or a
            UUID and an offset.
        content: The key.
        security: Value of the security model under which it is secret; empty if not stated.
        reproducible: Whether whoever knows a seed can make the key again.

    Raises:
        ValueError: ``key_id`` is none, or ``content`` is empty.

    Examples:
        >>> CallKey("key 7", bytes(32))
        CallKey(key 7, 32 bytes)
    """

    key_id: str
    content: bytes
    security: str = ""
    reproducible: bool = False

    def __post_init__(self) -> None:
        if not is_key_id(self.key_id):
            raise ValueError(
                f"`key_id` must be 1 to {LONGEST_KEY_ID} printable ASCII characters, but is not."
            )
        if not self.content:
            raise ValueError("`content` must hold at least one byte, but is empty.")

    def __repr__(self) -> str:
        return f"CallKey({self.key_id}, {len(self.content)} bytes)"


def is_key_id(text: str) -> bool:
    r"""Return whether a text may name a key.

    Examples:
        >>> is_key_id("6f1e"), is_key_id(""), is_key_id("a\nb")
        (True, False, False)
    """
    return 0 < len(text) <= LONGEST_KEY_ID and text.isascii() and text.isprintable()


class CallKeySource(Protocol):
    """Where keys come from: at the sender fresh ones, at the receiver those that it is named.

    Examples:
        >>> source: CallKeySource = KeysInMemory([CallKey("key 1", bytes(32))])
        >>> source.fresh(32)
        CallKey(key 1, 32 bytes)
    """

    def fresh(self, size: int) -> CallKey:
        """Return a key that nobody got before.

        Args:
            size: Bytes.

        Raises:
            KeyUnavailable: Too little key is left.
        """
        ...

    def named(self, key_id: str, size: int) -> CallKey:
        """Return the key that the peer got as a fresh one.

        Args:
            key_id: Its name, from the peer.
            size: Bytes.

        Raises:
            KeyUnavailable: There is no such key, not yet or not any more.
        """
        ...


class KeyClaims(Protocol):
    """A ledger of what each key ID protects; an ID is claimed once.

    Examples:
        >>> claims: KeyClaims = ClaimsInMemory()
        >>> claims.claim("key 1", "call, aes-256-gcm")
    """

    def claim(self, key_id: str, purpose: str) -> None:
        """Note that a key is about to be used.

        Args:
            key_id: Its name.
            purpose: What it will protect, in words.

        Raises:
            KeyUnavailable: It was claimed before.
        """
        ...


class KeysInMemory:
    """One end's stock of delivered keys; what is taken from it is gone.

    Args:
        keys: In the order of their use.

    Examples:
        >>> alice, bob = KeysInMemory(), KeysInMemory()
        >>> for end in (alice, bob):
        ...     end.deposit(CallKey("key 1", bytes(32)))
        >>> bob.named(alice.fresh(32).key_id, 32), bob
        (CallKey(key 1, 32 bytes), KeysInMemory(0 keys left))
    """

    def __init__(self, keys: Iterable[CallKey] = ()) -> None:
        self._keys = {key.key_id: key for key in keys}

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        return f"KeysInMemory({len(self)} keys left)"

    def deposit(self, key: CallKey) -> None:
        """Add a key behind the others.

        Args:
            key: Comes last in the order of use.

        Raises:
            ValueError: There is one of that name.
        """
        if key.key_id in self._keys:
            raise ValueError(f"`key` must have a name of its own, but {key.key_id} is there.")
        self._keys[key.key_id] = key

    def fresh(self, size: int) -> CallKey:
        """Return the first key, as `CallKeySource`.

        Args:
            size: Bytes that the key must have.

        Raises:
            KeyUnavailable: There is none, or it has another size.
        """
        for key_id in self._keys:
            return self.named(key_id, size)
        raise KeyUnavailable("A key must be left for the call, but none is.")

    def named(self, key_id: str, size: int) -> CallKey:
        """Return a key by its name, as `CallKeySource`.

        Args:
            key_id: Identifier of the key.
            size: Bytes that it must have.

        Raises:
            KeyUnavailable: There is none of that name and size.
        """
        key = self._keys.get(key_id)
        if key is None or len(key.content) != size:
            raise KeyUnavailable(f"Key {key_id} of {size} bytes must be there, but is not.")
        return self._keys.pop(key_id)


class ClaimsInMemory:
    """A ledger for as long as this process lives.

    Attributes:
        purposes: What each key that was claimed protects, by its ID.

    Examples:
        >>> claims = ClaimsInMemory()
        >>> claims.claim("key 1", "call, aes-256-gcm")
        >>> claims.claim("key 1", "call, aes-256-gcm")
        Traceback (most recent call last):
        ...
        e91.model.errors.KeyUnavailable: Key key 1 must be used once, but was used before.
    """

    def __init__(self) -> None:
        self.purposes: dict[str, str] = {}

    def claim(self, key_id: str, purpose: str) -> None:
        """Note a use, as `KeyClaims`.

        Args:
            key_id: Identifier of the key.
            purpose: What it is used for.

        Raises:
            KeyUnavailable: It was used before.
        """
        if key_id in self.purposes:
            raise KeyUnavailable(f"Key {key_id} must be used once, but was used before.")
        self.purposes[key_id] = purpose
