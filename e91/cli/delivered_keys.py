"""Keys of a key server (ETSI GS QKD 014) as a source of named keys for a cipher."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from e91.delivery.client import FetchedKey, KeyClient
from e91.encryption.key_sources import KeyBytesLeft, KeyReference, NamedKey
from e91.model.errors import DeliveryFailed, DeliveryRefused, KeyUnavailable

NOT_STATED = "not stated"
"""The security model of a key whose server does not say where it comes from."""


class DeliveredKeys:
    """Keys that a key server gives once, each used whole.

    What is handed out is used up at the server: there is no way back, also if a message that named
    it turns out to be forged, or is lost afterwards.

    Args:
        client: Asks the key server of this end.
        peer: The SAE ID of the application at the other end.
        server: What sentences call the server, e.g. its URL.
    """

    def __init__(self, client: KeyClient, peer: str, *, server: str) -> None:
        self._client = client
        self._server = server
        self._peer = peer
        self._limits: Mapping[str, Any] | None = None
        self._expected = 0
        self._ahead: list[FetchedKey] = []

    def fresh(self, size: int, *, least: int | None = None) -> NamedKey:
        """Return a new key, as large as the server makes one at most; see `KeySource.fresh`."""
        least = size if least is None else min(least, size)
        largest = self._whole("max_key_size") // 8
        if largest < least:
            raise KeyUnavailable(
                f"A key of {least:,} bytes must be given by {self._server}, but the largest that "
                f"it gives has {largest:,}."
            )
        found = self._next(min(size, largest))
        return _named(found, KeyReference(self._id_of(found)))

    def _next(self, size: int) -> FetchedKey:
        """Return a new key; several that are expected are asked for at once."""
        if not self._ahead or len(self._ahead[-1].content) != size:
            most = self._whole("max_key_per_request")
            number = min(max(1, self._expected // size), most)
            self._ahead = self._asked(number, size)[::-1]
            self._expected -= len(self._ahead) * size
        return self._ahead.pop()

    def _asked(self, number: int, size: int) -> list[FetchedKey]:
        """Return new keys, or a single one where there are no longer as many."""
        try:
            return self._client.get_keys(self._peer, number=number, size=8 * size)
        except DeliveryRefused:
            if number == 1:
                raise
            return self._client.get_keys(self._peer, size=8 * size)

    def named(self, reference: KeyReference, size: int) -> NamedKey:
        """Return the key that the peer has named."""
        try:
            found = self._client.get_keys_by_id(self._peer, [str(reference.key_id)])[0]
        except DeliveryFailed as error:
            raise KeyUnavailable(
                f"The key {reference.key_id}, which the ciphertext names, must be had from the key "
                f"server, but is not: {error}"
            ) from error
        if reference.offset or len(found.content) != size:
            raise KeyUnavailable(
                f"The key {reference.key_id} must have the {size:,} bytes that the ciphertext "
                f"needs and no others, but has {len(found.content):,}."
            )
        return _named(found, reference)

    def keep(self) -> None:
        """Do nothing: the server had written it down before it answered."""

    def protected(self, key: NamedKey, size: int) -> None:
        """Do nothing: the server does not ask."""

    def expect(self, size: int) -> None:
        """Let keys be asked for at once that need this number of bytes together, or more."""
        self._expected = size

    def left(self) -> KeyBytesLeft:
        """Return what the server says that it has for both directions together."""
        self._limits = None
        stored = self._whole("stored_key_count") * self._whole("key_size") // 8
        return KeyBytesLeft(stored, stored, is_shared=True)

    def _whole(self, name: str) -> int:
        """Return a number of the server's status, which is asked for once."""
        if self._limits is None:
            self._limits = self._client.status(self._peer)
        value = self._limits.get(name)
        if not isinstance(value, int):
            raise DeliveryFailed(f"The status of {self._server} must say `{name}`, but does not.")
        return value

    def _id_of(self, key: FetchedKey) -> UUID:
        try:
            return UUID(key.key_id)
        except ValueError:
            raise DeliveryFailed(
                f"{self._server} must name its keys by UUIDs, but does not."
            ) from None


def _named(key: FetchedKey, reference: KeyReference) -> NamedKey:
    """Return a delivered key with what its server says of it."""
    stated = (key.extension or {}).get("e91_provenance")
    said: Mapping[str, Any] = stated if isinstance(stated, dict) else {}
    epsilon = said.get("epsilon")
    return NamedKey(
        reference,
        key.content,
        str(said.get("security", NOT_STATED)),
        float(epsilon) if isinstance(epsilon, int | float) else None,
        said.get("reproducible") is True,
    )
