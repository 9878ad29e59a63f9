"""Keys that two threads use in turn."""

import threading

from e91.encryption.key_sources import KeyBytesLeft, KeyReference, KeySource, NamedKey


class SharedKeys:
    """A source of keys that one thread at a time asks.

    Args:
        keys: The source itself.
        lock: Held during every call.
    """

    def __init__(self, keys: KeySource, lock: threading.Lock) -> None:
        self._keys = keys
        self._lock = lock

    def fresh(self, size: int, *, least: int | None = None) -> NamedKey:
        """Return fresh bytes of the source."""
        with self._lock:
            return self._keys.fresh(size, least=least)

    def named(self, reference: KeyReference, size: int) -> NamedKey:
        """Return the bytes of the source that the peer has named."""
        with self._lock:
            return self._keys.named(reference, size)

    def keep(self) -> None:
        """Write down what was handed out."""
        with self._lock:
            self._keys.keep()

    def protected(self, key: NamedKey, size: int) -> None:
        """Enter how many bytes a key has protected."""
        with self._lock:
            self._keys.protected(key, size)

    def expect(self, size: int) -> None:
        """Prepare the source."""
        with self._lock:
            self._keys.expect(size)

    def left(self) -> KeyBytesLeft:
        """Return how much the source has."""
        with self._lock:
            return self._keys.left()
