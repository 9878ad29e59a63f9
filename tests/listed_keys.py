"""A source of keys that both ends of a test share, which notes what is asked of it."""

from uuid import UUID

import numpy as np

from e91.encryption.key_sources import KeyBytesLeft, KeyReference, NamedKey
from e91.model.errors import KeyUnavailable


class ListedKeys:
    """Key number i is the UUID i, with bytes of its own; ``number`` of them are there to send."""

    def __init__(self, *, number: int = 1000, most: int = 2**21) -> None:
        self.number = number
        self.most = most
        self.given: list[int] = []
        self.log: list[str] = []
        self.sizes: dict[UUID, int] = {}

    def key(self, name: UUID, size: int) -> NamedKey:
        content = np.random.default_rng(name.int & (2**64 - 1)).bytes(size)
        return NamedKey(KeyReference(name), content, "trusted-analysers", 1e-10, False)

    def fresh(self, size: int, *, least: int | None = None) -> NamedKey:
        if len(self.given) == self.number:
            raise KeyUnavailable("A key must be left, but none is.")
        self.given.append(min(size, self.most))
        self.log.append("fresh")
        return self.key(UUID(int=len(self.given)), min(size, self.most))

    def named(self, reference: KeyReference, size: int) -> NamedKey:
        if not 1 <= reference.key_id.int <= 1000 or reference.offset:
            raise KeyUnavailable(f"The key {reference.key_id} must be there, but is not.")
        return self.key(reference.key_id, size)

    def keep(self) -> None:
        self.log.append("keep")

    def protected(self, key: NamedKey, size: int) -> None:
        self.sizes[key.reference.key_id] = size

    def expect(self, size: int) -> None:
        pass

    def left(self) -> KeyBytesLeft:
        return KeyBytesLeft(None, None)
