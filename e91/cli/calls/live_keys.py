"""The keys of a call: from key files or a key server, each entered before it protects anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from uuid import UUID

from e91.cli.key_options import KeyChoice, keys_option
from e91.encryption.key_sources import MESSAGE_KEY_BYTES, KeyReference, KeySource, NamedKey
from e91.encryption.rtp.call_keys import CallKey
from e91.model.errors import DeliveryFailed, KeyUnavailable

KEYS = keys_option("Your key file, a folder of them, or several of these.")
"""Where a call's keys come from; a command gets them as ``keys``."""


@contextmanager
def live_keys(choice: KeyChoice, *, cipher: str, name: str) -> Iterator[EnteredCallKeys]:
    """Give the keys of a call, each entered in the ledger before it leaves.

    Args:
        choice: Where they come from.
        cipher: What they are used for.
        name: What they protect.
    """
    with choice.source() as source, choice.entered(source, cipher=cipher, name=name) as entered:
        yield EnteredCallKeys(entered)


class EnteredCallKeys:
    """A call's keys, and the claims on them, from a source that enters them in the ledger.

    The ledger refuses what was used before when the source's `keep` returns, which is before a key
    leaves here; so a claim only has to show that it is of a key that came from here, once.

    Args:
        source: Enters what it gives, as `e91.encryption.key_sources.EnteredKeys` does.
    """

    def __init__(self, source: KeySource) -> None:
        self._source = source
        self._handed_out: dict[str, NamedKey] = {}
        self._claimed: set[str] = set()

    def fresh(self, size: int) -> CallKey:
        """Return a key that nobody got before, as `CallKeySource`."""
        try:
            return self._entered(self._source.fresh(size))
        except DeliveryFailed as error:  # the server may be back when it is asked again
            raise KeyUnavailable(str(error)) from error

    def named(self, key_id: str, size: int) -> CallKey:
        """Return the key that the peer names, as `CallKeySource`."""
        return self._entered(self._source.named(_reference_in(key_id), size))

    def claim(self, key_id: str, purpose: str) -> None:  # noqa: ARG002 - the ledger has it
        """Refuse a key that was claimed before, or is not from here, as `KeyClaims`."""
        if key_id not in self._handed_out or key_id in self._claimed:
            raise KeyUnavailable(f"Key {key_id} must be fresh and used once, but is not.")
        self._claimed.add(key_id)

    def note_protected(self, sizes: Mapping[str, int]) -> None:
        """Enter how many bytes each key has protected."""
        for key_id, size in sizes.items():
            self._source.protected(self._handed_out[key_id], size)

    def _entered(self, key: NamedKey) -> CallKey:
        self._source.keep()
        key_id = f"{key.reference.key_id}:{key.reference.offset}"
        self._handed_out[key_id] = key
        # The part that is masked in a key file comes last, where a pad has its own mask: of all
        # other bytes Eve may know some, from a message that she held back (`e91.keys.store`).
        content = key.content[MESSAGE_KEY_BYTES:] + key.content[:MESSAGE_KEY_BYTES]
        return CallKey(key_id, content, key.security, key.reproducible)


def _reference_in(key_id: str) -> KeyReference:
    """Return the reference that a key's name in a call stands for.

    Raises:
        KeyUnavailable: It stands for none.

    Examples:
        >>> _reference_in("12345678-1234-4234-8234-123456789abc:64").offset
        64
    """
    name, _, offset = key_id.partition(":")
    try:
        return KeyReference(UUID(name), int(offset))
    except ValueError:
        raise KeyUnavailable("A key must be named by UUID and offset, but is not.") from None
