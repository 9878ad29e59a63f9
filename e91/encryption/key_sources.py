"""Where a cipher gets its keys: by name, each once, from key files or from whoever delivers them.

A sender asks for fresh key and writes down its *reference*; the receiver's source finds the same
bytes by it.  The first 32 bytes of what is handed out are a *message key*, for AES-256 or for one
tag; the rest, if there is any, is a pad.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, Self
from uuid import UUID

from e91.keys.files import KeyFile, open_key_file
from e91.keys.store import MASK_SIZE, KeyLabel
from e91.keys.usage import KeyUsage, Role, UsageLedger
from e91.model.errors import KeyUnavailable
from e91.model.messages import Party

MESSAGE_KEY_BYTES = MASK_SIZE
"""Bytes of a message key."""


@dataclass(frozen=True)
class KeyReference:
    """The public name of some bytes of a key.

    Attributes:
        key_id: The key's name.
        offset: Offset in it of the first byte used; 0 of a delivered key, which is used whole.

    Examples:
        >>> reference = KeyReference(UUID(int=7), 32)
        >>> reference.encode().hex()
        '000000000000000000000000000000070000000000000020'
        >>> KeyReference.decode(reference.encode()) == reference
        True
    """

    key_id: UUID
    offset: int = 0

    SIZE = 24

    def encode(self) -> bytes:
        """Return the 24 bytes that stand in a ciphertext."""
        return self.key_id.bytes + self.offset.to_bytes(8, "big")

    @classmethod
    def decode(cls, content: bytes) -> Self:
        """Return the reference in 24 bytes.

        Args:
            content: What `encode` gave.
        """
        return cls(UUID(bytes=content[:16]), int.from_bytes(content[16:], "big"))


@dataclass(frozen=True, eq=False)
class NamedKey:
    """Key bytes that were handed out, and what is public about them; its repr shows no bits.

    Attributes:
        reference: Which bytes they are.
        content: The bytes: 32 of a message key, then the pad.
        security: The model under which they are secret.
        epsilon: The key's composable failure probability; None if no theorem gives one.
        reproducible: Whether whoever knows a seed can make the key again.

    Examples:
        >>> key = NamedKey(KeyReference(UUID(int=7)), bytes(40), "trusted-analysers", 1e-10, False)
        >>> key
        NamedKey(KeyReference(key_id=UUID('...7'), offset=0), 40 bytes, trusted-analysers)
        >>> len(key.message_key)
        32
    """

    reference: KeyReference
    content: bytes
    security: str
    epsilon: float | None
    reproducible: bool

    def __repr__(self) -> str:
        return f"NamedKey({self.reference}, {len(self.content)} bytes, {self.security})"

    @property
    def message_key(self) -> bytes:
        """The first 32 bytes."""
        return self.content[:MESSAGE_KEY_BYTES]


@dataclass(frozen=True)
class KeyBytesLeft:
    """How many key bytes a source has.

    Attributes:
        to_send: For what this end sends; None if the source does not say.
        to_receive: For what the other end sends; None likewise.
        is_shared: Whether the two are one stock, as of a key server.
    """

    to_send: int | None
    to_receive: int | None
    is_shared: bool = False


class KeySource(Protocol):
    """One end's keys.

    Examples:
        `key_file_source` gives one.  Another needs these six methods and no common base:

        >>> def message_key_of(keys: KeySource) -> NamedKey:
        ...     key = keys.fresh(MESSAGE_KEY_BYTES)
        ...     keys.keep()  # from here on, what is made with the key may leave
        ...     return key
    """

    def fresh(self, size: int, *, least: int | None = None) -> NamedKey:
        """Return bytes for something that this end sends, which nobody gets again.

        Args:
            size: How many, at least 32.
            least: If fewer are to be had in one piece, this many will do.

        Raises:
            KeyUnavailable: Too few are left, or cannot be had.
        """

    def named(self, reference: KeyReference, size: int) -> NamedKey:
        """Return the bytes that the other end has named.

        Args:
            reference: What the other end has named.
            size: How many bytes.

        Raises:
            KeyUnavailable: They were used before, or there are none of that name.
        """

    def keep(self) -> None:
        """Return when it is safe on the disk that what was handed out is used.

        Nothing made with it may leave before.

        Raises:
            KeyUnavailable: The ledger says that it was used before.
            WriteFailed: The disk is full or fails.
        """

    def protected(self, key: NamedKey, size: int) -> None:
        """Take note how many bytes of data a key has protected.

        Args:
            key: One that this source gave.
            size: Bytes of data.
        """

    def expect(self, size: int) -> None:
        """Be prepared to give about this number of bytes: they may then be taken at once.

        Args:
            size: Bytes.
        """

    def left(self) -> KeyBytesLeft:
        """Return how much there is."""


@contextmanager
def key_file_source(paths: Iterable[Path | str]) -> Iterator["KeyFileSource"]:
    """Open key files of one owner, for this process alone, as one source; see `open_key_file`.

    Args:
        paths: Key files; a folder stands for all key files ``*.key`` in it, and a pattern such as
            ``run/*/alice.key`` for all that it fits.

    Yields:
        The source; what was taken from it is written down when the block ends.

    Raises:
        ValueError: There is none, one is no key file or is there twice, or they have two owners.

    Examples:
        >>> import tempfile, numpy as np
        >>> from e91.keys import KeyStore, save_new
        >>> from e91.model import SecretKey, SecurityModel
        >>> bits, name = np.ones(1600, np.uint8), "12345678-1234-4234-8234-123456789abc"
        >>> key = SecretKey(bits, name, SecurityModel.TRUSTED_ANALYSERS, 1e-10, True)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_new(KeyStore(key, Party.ALICE), Path(folder, "alice.key"))
        ...     with key_file_source([folder]) as keys:
        ...         fresh = keys.fresh(40)
        ...         keys.keep()
        ...         print(len(fresh.content), fresh.reference.offset, keys.left().to_send)
        40 0 28
    """
    with ExitStack() as stack:
        # In one order, so that two processes with the same files never wait for each other.
        ordered = sorted(key_files_of(paths), key=os.path.realpath)
        files = [stack.enter_context(open_key_file(file)) for file in ordered]
        yield KeyFileSource(files)


def key_files_of(paths: Iterable[Path | str]) -> list[Path]:
    """Return key files, and those in folders; each must be there once, whatever it is called.

    Raises:
        ValueError: There is none, or one is there twice.
    """
    return _distinct([file for path in paths for file in _files_of(Path(path))])


def _files_of(path: Path) -> list[Path]:
    if path.is_dir():
        files = sorted(path.glob("*.key"))
    elif "*" in str(path) and not path.exists():
        files = sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
    else:
        return [path]
    if not files:
        raise ValueError(f"`{path}` must be a key file or a folder of key files, but has none.")
    return files


def _distinct(files: list[Path]) -> list[Path]:
    if not files:
        raise ValueError("At least one key file must be given, but there is none.")
    seen = set()
    for file in files:
        if (place := os.path.realpath(file)) in seen:
            raise ValueError(f"Every key file must be given once, but `{file}` is there twice.")
        seen.add(place)
    return files


class KeyFileSource:
    """Key files of one owner as one source; made by `key_file_source`.

    Fresh key comes from the files in the order of their names.  Every piece is of one file.
    """

    def __init__(self, files: Sequence[KeyFile]) -> None:
        owners = {file.store.label.owner for file in files}
        if len(owners) > 1:
            raise ValueError("Key files must have one owner, but have two: give one end's.")
        self.owner = owners.pop()
        self._files = list(files)
        self._expected = 0
        self._ahead: tuple[KeyFile, int, memoryview] | None = None
        self._is_kept = True

    def fresh(self, size: int, *, least: int | None = None) -> NamedKey:
        """Return bytes for something that this end sends; see `KeySource.fresh`."""
        least = size if least is None else min(least, size)
        if self._ahead is None or len(self._ahead[2]) < least:
            self._ahead = self._taken(size, least)
        file, offset, content = self._ahead
        self._ahead = file, offset + size, content[size:]
        self._expected = max(0, self._expected - size)
        return _named(file.store.label, offset, content[:size], self._mask(file, self.owner))

    def _taken(self, size: int, least: int) -> tuple[KeyFile, int, memoryview]:
        """Take what is expected from the first file that has enough, or ``least`` from the best."""
        best = max(self._files, key=lambda file: file.store.left)
        file = next((file for file in self._files if file.store.left >= size), best)
        left = file.store.left
        if left < least:
            where = "" if len(self._files) == 1 else " in one of the key files"
            raise KeyUnavailable(
                f"{least:,} key bytes must be left to {self.owner.value}{where}, but {left:,} are."
            )
        self._is_kept = False
        ahead = min(left, max(size, self._expected))
        # What is left over by pieces of one size would be lost.
        offset, content = file.store.take(ahead - ahead % size if least == size else ahead)
        return file, offset, memoryview(content)  # cut into pieces without a copy of what is left

    def named(self, reference: KeyReference, size: int) -> NamedKey:
        """Return the bytes that the peer has named; used on the disk after `keep` only."""
        for file in self._files:
            label = file.store.label
            if UUID(label.key_id) == reference.key_id:
                self._is_kept = False
                content = file.store.claim(reference.offset, size)
                return _named(label, reference.offset, content, self._mask(file, self.owner.peer))
        raise KeyUnavailable(
            f"The key {reference.key_id}, which the ciphertext names, must be in a key file that "
            "is given, but is in none."
        )

    def keep(self) -> None:
        """Write down what is used; see `KeySource.keep`."""
        if self._is_kept:  # asked before every piece that is written
            return
        for file in self._files:
            if file.has_changed:
                file.commit()
        self._is_kept = True

    def protected(self, key: NamedKey, size: int) -> None:
        """Do nothing: key files do not say what a key has protected."""

    def expect(self, size: int) -> None:
        """Let the next piece that is taken be of this size: a file is then written once."""
        self._expected = size

    def left(self) -> KeyBytesLeft:
        """Return how much the files have together."""
        ahead = 0 if self._ahead is None else len(self._ahead[2])
        return KeyBytesLeft(
            ahead + sum(file.store.left for file in self._files),
            sum(file.store.peer_left for file in self._files),
        )

    def _mask(self, file: KeyFile, sender: Party) -> bytes:
        return file.store.mask(sender)


def _named(label: KeyLabel, offset: int, content: bytes | memoryview, mask: bytes) -> NamedKey:
    """Return bytes of a key with the sender's mask over the first 32; see `e91.keys.store`."""
    masked = bytes(a ^ b for a, b in zip(content[:MESSAGE_KEY_BYTES], mask, strict=True))
    return NamedKey(
        KeyReference(UUID(label.key_id), offset),
        b"".join((masked, content[MESSAGE_KEY_BYTES:])),
        label.security.value,
        label.epsilon,
        label.reproducible,
    )


class EnteredKeys:
    """A source whose keys are entered in the ledger before anything made with them leaves.

    Args:
        keys: The source itself.
        ledger: An open ledger.
        cipher: What the keys are used for.
        name: What they protect, e.g. a file's name.
        peer: Who is at the other end, if that is known.
        clock: Returns seconds since 1970.
    """

    def __init__(
        self,
        keys: KeySource,
        ledger: UsageLedger,
        *,
        cipher: str,
        name: str,
        peer: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keys = keys
        self._ledger = ledger
        self._cipher = cipher
        self._name = name
        self._peer = peer
        self._clock = clock
        self._pending: dict[KeyReference, KeyUsage] = {}
        self._entered: dict[KeyReference, KeyUsage] = {}

    def fresh(self, size: int, *, least: int | None = None) -> NamedKey:
        """Return fresh bytes of the source."""
        return self._noted(self._keys.fresh(size, least=least), "sent")

    def named(self, reference: KeyReference, size: int) -> NamedKey:
        """Return the bytes of the source that the peer has named."""
        return self._noted(self._keys.named(reference, size), "received")

    def keep(self) -> None:
        """Enter in the ledger, and write down in the source, what was handed out."""
        if self._pending:
            self._ledger.enter(self._pending.values())
            self._entered.update(self._pending)
            self._pending = {}
        self._keys.keep()

    def protected(self, key: NamedKey, size: int) -> None:
        """Enter how many bytes a key has protected."""
        pending = self._pending.get(key.reference)
        if pending is not None:
            self._pending[key.reference] = replace(pending, protected_bytes=size)
        elif (entered := self._entered.pop(key.reference, None)) is not None:
            self._ledger.protected(entered, size)
        self._keys.protected(key, size)

    def expect(self, size: int) -> None:
        """Prepare the source."""
        self._keys.expect(size)

    def left(self) -> KeyBytesLeft:
        """Return how much the source has."""
        return self._keys.left()

    def _noted(self, key: NamedKey, role: Role) -> NamedKey:
        start = key.reference.offset
        self._pending[key.reference] = KeyUsage(
            key_id=str(key.reference.key_id),
            start=start,
            stop=start + len(key.content),
            role=role,
            used_at=self._clock(),
            security=key.security,
            epsilon=key.epsilon,
            reproducible=key.reproducible,
            cipher=self._cipher,
            name=self._name,
            peer=self._peer,
        )
        return key
