"""The first bytes of a ciphertext of version 2, and what every part of one is bound to.

Numbers are big-endian::

    byte        field
     0 -  4     magic, 89 45 39 31 0A, as of version 1 (`e91.encryption.cipher`)
     5          version, 2
     6          cipher: 1 one-time pad in segments, 2 AES-256-GCM in chapters
     7          binary logarithm of the bytes of a segment, 12 to 24
     8 - 15     bytes of data under one key; 0 with the one-time pad, where the parts say it
    16 - 31     number of this ciphertext, random

What follows is in `e91.encryption.chapters` and `e91.encryption.pad_segments`.  The tag of every
part also covers its *place*: the 32 bytes above, what kind of part it is, how many parts and bytes
of data came before it, and its key's reference.
"""

import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, Self

from e91.encryption.key_sources import KeyReference
from e91.model.errors import AuthenticationFailed
from e91.system.byte_streams import ByteSource, fill

MAGIC = b"\x89E91\n"
STREAM_VERSION = 2

StreamCipher = Literal["one-time-pad", "aes-256-gcm"]

_CODES: dict[StreamCipher, int] = {"one-time-pad": 1, "aes-256-gcm": 2}
_LAYOUT = struct.Struct(">5sBBBQ16s")
_PLACE = struct.Struct(">BQQ")
_LOG_SEGMENT = range(12, 25)


class Part(IntEnum):
    """What a part of a ciphertext is."""

    INNER = 0
    """Another part follows."""
    LAST = 1
    """The data end here."""
    CUT_SHORT = 2
    """The sender had no more key; more data would have followed."""


@dataclass(frozen=True)
class StreamHeader:
    """The public first bytes of a ciphertext of version 2.

    Attributes:
        cipher: How the data are encrypted.
        segment_size: Bytes of a segment, a power of 2 from 4 KiB to 16 MiB.
        bytes_per_key: Bytes of data under one key; 0 with the one-time pad.
        number: 16 random bytes, which no other ciphertext has.

    Raises:
        ValueError: ``segment_size`` is no power of 2 in its range, or ``bytes_per_key`` does not
            fit the cipher.

    Examples:
        >>> import io
        >>> header = StreamHeader.new("one-time-pad", segment_size=4096)
        >>> StreamHeader.read(io.BytesIO(header.encode())) == header
        True
    """

    cipher: StreamCipher
    segment_size: int
    bytes_per_key: int
    number: bytes

    SIZE = _LAYOUT.size

    def __post_init__(self) -> None:
        log = self.segment_size.bit_length() - 1
        if log not in _LOG_SEGMENT or 1 << log != self.segment_size:
            raise ValueError(
                "`segment_size` must be a power of 2 from 4,096 to 16,777,216, but is "
                f"{self.segment_size:,}."
            )
        is_pad = self.cipher == "one-time-pad"
        if is_pad != (self.bytes_per_key == 0) or not 0 <= self.bytes_per_key < 2**64:
            raise ValueError(
                f"`bytes_per_key` must be positive, but is {self.bytes_per_key}."
                if not is_pad
                else f"`bytes_per_key` must be 0 with a pad, but is {self.bytes_per_key}."
            )

    @classmethod
    def new(
        cls,
        cipher: StreamCipher,
        *,
        segment_size: int,
        bytes_per_key: int = 0,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> Self:
        """Return the header of a new ciphertext.

        Args:
            cipher: How the data will be encrypted.
            segment_size: Bytes of a segment, a power of 2 from 4 KiB to 16 MiB.
            bytes_per_key: Bytes of data under one key; 0 with the one-time pad.
            entropy: Returns random bytes, for the number.

        Raises:
            ValueError: See `StreamHeader`.
        """
        return cls(cipher, segment_size, bytes_per_key, entropy(16))

    def encode(self) -> bytes:
        """Return the 32 bytes that open the ciphertext.

        Examples:
            >>> StreamHeader("aes-256-gcm", 4096, 2**20, bytes(16)).encode()[:16].hex()
            '894539310a02020c0000000000100000'
        """
        log = self.segment_size.bit_length() - 1
        code = _CODES[self.cipher]
        return _LAYOUT.pack(MAGIC, STREAM_VERSION, code, log, self.bytes_per_key, self.number)

    @classmethod
    def read(cls, source: ByteSource) -> Self:
        """Return the header that a ciphertext begins with; nobody has vouched for it yet.

        Args:
            source: The ciphertext, from its first byte; 32 bytes are read.

        Raises:
            AuthenticationFailed: It is no ciphertext of E91.
            ValueError: It is one of another version.
        """
        content = bytearray(cls.SIZE)
        size = fill(source, memoryview(content))
        if content[: len(MAGIC)] != MAGIC or size <= len(MAGIC):
            raise AuthenticationFailed("A ciphertext of E91 must be given, but this is none.")
        if content[len(MAGIC)] != STREAM_VERSION:
            raise ValueError(
                "A ciphertext must be of version 1 or 2 of its format, but is of version "
                f"{content[len(MAGIC)]}."
            )
        _, _, code, log, bytes_per_key, number = _LAYOUT.unpack(content)
        cipher = next((name for name, known in _CODES.items() if known == code), None)
        if size < cls.SIZE or cipher is None or log not in _LOG_SEGMENT:
            raise _damaged()
        if (cipher == "one-time-pad") != (bytes_per_key == 0):
            raise _damaged()
        return cls(cipher, 1 << log, bytes_per_key, number)

    def place(self, part: Part, *, parts: int, size: int, reference: KeyReference) -> bytes:
        """Return what the tag of a part covers beside its data.

        Args:
            part: What kind of part it is.
            parts: How many came before it.
            size: How many bytes of data came before it.
            reference: Of its key.
        """
        return self.encode() + _PLACE.pack(part, parts, size) + reference.encode()


def _damaged() -> AuthenticationFailed:
    return AuthenticationFailed("The header of a ciphertext must be whole, but is damaged.")


@dataclass(frozen=True)
class StreamSummary:
    """What was encrypted or decrypted.

    Attributes:
        cipher: How the data are encrypted.
        size: Bytes of data.
        keys: How many keys, or pieces of a key, they are under.
        key_bytes_used: Bytes of these together.
        stopped: Why the sender stopped before the end of its data; None if it did not, "" if only
            the ciphertext says that it did.

    Examples:
        >>> StreamSummary("aes-256-gcm", size=10, keys=1, key_bytes_used=32, stopped="").is_complete
        False
    """

    cipher: StreamCipher
    size: int
    keys: int
    key_bytes_used: int
    stopped: str | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the data are there to their end."""
        return self.stopped is None
