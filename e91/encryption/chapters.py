"""AES-256-GCM for data of any size, with a fresh key after a stated number of bytes.

After the header (`e91.encryption.stream_headers`) come chapters and one closing record::

    chapter = reference of its key (24) || stream of `bytes_per_key` bytes, of the last one fewer
    closing = kind (1) || stream of no bytes (56) under the key of the last chapter

A reference is a key's ID (16 bytes) and the offset of its first byte in it (8 bytes).  Every stream
is one of Tink (`e91.encryption.tink_streams`); its associated data are its place::

    header (32) || kind (1) || chapters before (8) || bytes of data before (8) || reference (24)

So each chapter, from its 25th byte on, is read by Tink itself with the key that it names.  A kind
is 0 of a chapter, 1 of a closing record, and 2 of the closing record of a sender that had no more
key: then the data are whole as far as they go.  The closing record is needed as a chapter's own
last segment does not say whether another chapter follows, and a pipe does not say it either.

A reader holds back the last 57 bytes that it has read: they are the closing record when its source
ends.  Neither end needs more memory than a few segments, whatever numbers stand in a header.
"""

import io

from e91.encryption.key_sources import MESSAGE_KEY_BYTES, KeyReference, KeySource, NamedKey
from e91.encryption.stream_headers import Part, StreamHeader, StreamSummary
from e91.encryption.tink_streams import (
    decrypt_stream,
    encrypt_stream,
    not_authentic,
    stream_size,
)
from e91.model.errors import AuthenticationFailed, KeyUnavailable
from e91.system.byte_streams import ByteSource, ByteTarget, fill, write_whole

CLOSING_SIZE = 1 + stream_size(0)


def encrypt_chapters(
    source: ByteSource, target: ByteTarget, keys: KeySource, *, header: StreamHeader
) -> StreamSummary:
    """Encrypt what comes from ``source`` to its end, or as far as the keys last.

    Nothing is written before `KeySource.keep` says that its key is used.

    Args:
        source: The data, at least one byte.
        target: Takes the ciphertext.
        keys: Gives 32 bytes a chapter.
        header: Of this ciphertext; a new one.

    Returns:
        What was encrypted.  If the keys came to their end first, the ciphertext says so, too.

    Raises:
        ValueError: There are no data.
        KeyUnavailable: There is not a single key; nothing was written.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> from pathlib import Path
        >>> from e91.encryption import key_file_source
        >>> from e91.keys import KeyStore, save_new
        >>> from e91.model import Party, SecretKey, SecurityModel
        >>> bits, name = np.ones(1600, np.uint8), "12345678-1234-4234-8234-123456789abc"
        >>> key = SecretKey(bits, name, SecurityModel.TRUSTED_ANALYSERS, 1e-10, True)
        >>> header = StreamHeader.new("aes-256-gcm", segment_size=4096, bytes_per_key=2**20)
        >>> sealed, opened = io.BytesIO(), io.BytesIO()
        >>> with tempfile.TemporaryDirectory() as name:
        ...     folder = Path(name)
        ...     for party in Party:
        ...         save_new(KeyStore(key, party), folder / f"{party.value}.key")
        ...     with key_file_source([folder / "alice.key"]) as keys:
        ...         sent = encrypt_chapters(io.BytesIO(b"photons"), sealed, keys, header=header)
        >>> sent.size, sent.keys, sent.key_bytes_used, sent.is_complete
        (7, 1, 32, True)
    """
    data = _Peeked(source)
    if not data.has_more():
        raise ValueError("The data must hold at least one byte, but are empty.")
    writer = _ChapterWriter(target, keys, header)
    key = keys.fresh(MESSAGE_KEY_BYTES)
    stopped = None
    writer.write(data, key)
    while data.has_more():
        try:
            key = keys.fresh(MESSAGE_KEY_BYTES)
        except KeyUnavailable as error:
            stopped = str(error)
            break
        writer.write(data, key)
    writer.close(key, Part.LAST if stopped is None else Part.CUT_SHORT)
    used = writer.chapters * MESSAGE_KEY_BYTES
    return StreamSummary(header.cipher, writer.size, writer.chapters, used, stopped)


class _ChapterWriter:
    """Writes chapters, one after the other, and the closing record."""

    def __init__(self, target: ByteTarget, keys: KeySource, header: StreamHeader) -> None:
        self._target = target
        self._keys = keys
        self._header = header
        self.size = self.chapters = 0

    def write(self, data: ByteSource, key: NamedKey) -> None:
        """Encrypt as much of the data as may be under one key."""
        self._keys.keep()
        opening = b"" if self.chapters else self._header.encode()
        write_whole(self._target, opening + key.reference.encode())
        written = self._encrypt(_Limited(data, self._header.bytes_per_key), key, Part.INNER)
        self._keys.protected(key, written)
        self.size += written
        self.chapters += 1

    def close(self, key: NamedKey, end: Part) -> None:
        """Write the closing record under the key of the last chapter."""
        write_whole(self._target, bytes([end]))
        self._encrypt(io.BytesIO(), key, end)

    def _encrypt(self, source: ByteSource, key: NamedKey, part: Part) -> int:
        place = self._header.place(
            part, parts=self.chapters, size=self.size, reference=key.reference
        )
        return encrypt_stream(
            key.message_key,
            source,
            self._target,
            associated_data=place,
            segment_size=self._header.segment_size,
        )


def decrypt_chapters(
    source: ByteSource,
    target: ByteTarget,
    keys: KeySource,
    *,
    header: StreamHeader,
    size: int | None = None,
) -> StreamSummary:
    """Decrypt what follows a header.

    Every segment is written once its tag is checked; that nothing is missing at the end is known
    only when this returns.  The caller sees to it that `KeySource.keep` comes before anything that
    is written can be read.

    Args:
        source: The ciphertext, behind its header, and nothing after it.
        target: Takes the data.
        keys: Finds the keys.
        header: As it was read.
        size: Bytes behind the header, where they are known, as of a file: that is faster.

    Returns:
        What was decrypted.

    Raises:
        AuthenticationFailed: The ciphertext was altered or cut; what was written is right as far as
            it goes.
        KeyUnavailable: A key that it names is not to be had.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> from pathlib import Path
        >>> from e91.encryption import key_file_source
        >>> from e91.keys import KeyStore, save_new
        >>> from e91.model import Party, SecretKey, SecurityModel
        >>> bits, name = np.ones(1600, np.uint8), "12345678-1234-4234-8234-123456789abc"
        >>> key = SecretKey(bits, name, SecurityModel.TRUSTED_ANALYSERS, 1e-10, True)
        >>> header = StreamHeader.new("aes-256-gcm", segment_size=4096, bytes_per_key=2**20)
        >>> sealed, opened = io.BytesIO(), io.BytesIO()
        >>> with tempfile.TemporaryDirectory() as name:
        ...     folder = Path(name)
        ...     for party in Party:
        ...         save_new(KeyStore(key, party), folder / f"{party.value}.key")
        ...     with key_file_source([folder / "alice.key"]) as keys:
        ...         sent = encrypt_chapters(io.BytesIO(b"photons"), sealed, keys, header=header)
        ...     ciphertext = io.BytesIO(sealed.getvalue())
        ...     header = StreamHeader.read(ciphertext)
        ...     with key_file_source([folder / "bob.key"]) as keys:
        ...         found = decrypt_chapters(ciphertext, opened, keys, header=header)
        >>> opened.getvalue(), found == sent
        (b'photons', True)
    """
    ciphertext = _AllButTheEnd(source, CLOSING_SIZE) if size is None else _KnownSize(source, size)
    reader = _ChapterReader(ciphertext, target, keys, header)
    reference = memoryview(bytearray(KeyReference.SIZE))
    key: NamedKey | None = None
    while read := fill(ciphertext, reference):
        if read < KeyReference.SIZE:
            raise not_authentic(reader.size)
        key = keys.named(KeyReference.decode(bytes(reference)), MESSAGE_KEY_BYTES)
        reader.read(key)
    closing = ciphertext.end
    ends = (Part.LAST, Part.CUT_SHORT)
    if key is None or len(closing) != CLOSING_SIZE or closing[0] not in ends:
        raise not_authentic(reader.size)
    reader.close(key, closing)
    used = reader.chapters * MESSAGE_KEY_BYTES
    stopped = None if closing[0] == Part.LAST else ""
    return StreamSummary(header.cipher, reader.size, reader.chapters, used, stopped)


class _ChapterReader:
    """Reads chapters, one after the other, and the closing record."""

    def __init__(
        self, source: ByteSource, target: ByteTarget, keys: KeySource, header: StreamHeader
    ) -> None:
        self._source = source
        self._target = target
        self._keys = keys
        self._header = header
        per_key, segment = header.bytes_per_key, header.segment_size
        self._chapter_size = stream_size(per_key, segment_size=segment)
        self.size = self.chapters = 0

    def read(self, key: NamedKey) -> None:
        """Decrypt what follows the reference of its key."""
        chapter = _Limited(self._source, self._chapter_size)
        written = self._decrypt(chapter, self._target, key, Part.INNER)
        self._keys.protected(key, written)
        self.size += written
        self.chapters += 1

    def close(self, key: NamedKey, closing: bytes) -> None:
        """Check the closing record."""
        self._decrypt(io.BytesIO(closing[1:]), io.BytesIO(), key, Part(closing[0]))

    def _decrypt(self, source: ByteSource, target: ByteTarget, key: NamedKey, part: Part) -> int:
        """Decrypt one stream; an error counts the data of those before it, too."""
        place = self._header.place(
            part, parts=self.chapters, size=self.size, reference=key.reference
        )
        counted = _Counted(target)
        try:
            return decrypt_stream(
                key.message_key,
                source,
                counted,
                associated_data=place,
                segment_size=self._header.segment_size,
            )
        except AuthenticationFailed:
            raise not_authentic(self.size + counted.size) from None


class _Counted:
    """A target that knows how many bytes it has got."""

    def __init__(self, target: ByteTarget) -> None:
        self._target = target
        self.size = 0

    def write(self, content: memoryview, /) -> int | None:
        write_whole(self._target, content)
        self.size += len(content)
        return None


class _Limited:
    """A source that ends after a given number of bytes."""

    def __init__(self, source: ByteSource, size: int) -> None:
        self._source = source
        self._left = size

    def readinto(self, buffer: memoryview, /) -> int:
        count = fill(self._source, buffer[: self._left])
        self._left -= count
        return count


class _Peeked:
    """A source that can tell whether it has ended."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._next = bytearray(1)
        self._is_held = False

    def has_more(self) -> bool:
        if not self._is_held:
            self._is_held = fill(self._source, memoryview(self._next)) == 1
        return self._is_held

    def readinto(self, buffer: memoryview, /) -> int:
        if not self._is_held or not len(buffer):
            return fill(self._source, buffer)
        buffer[:1] = self._next
        self._is_held = False
        return 1 + fill(self._source, buffer[1:])


class _KnownSize(_Limited):
    """A source of a known size without its closing record."""

    def __init__(self, source: ByteSource, size: int) -> None:
        super().__init__(source, max(0, size - CLOSING_SIZE))

    @property
    def end(self) -> bytes:
        """All that is left; more than a closing record where the source has grown."""
        content = bytearray(CLOSING_SIZE + 1)
        return bytes(content[: fill(self._source, memoryview(content))])


class _AllButTheEnd:
    """A source without its last bytes.

    Attributes:
        end: The last ``size`` bytes that were read so far; those of the source when it has ended.
    """

    def __init__(self, source: ByteSource, size: int) -> None:
        self._source = source
        self.end = self._read(size)

    def readinto(self, buffer: memoryview, /) -> int:
        size = len(self.end)
        if len(buffer) < size:
            known = self.end + self._read(len(buffer))
            count = len(known) - size
            buffer[:count], self.end = known[:count], known[count:]
            return count
        buffer[:size] = self.end
        have = size + fill(self._source, buffer[size:])
        following = self._read(size) if have == len(buffer) else b""
        count = have - (size - len(following))
        self.end = bytes(buffer[count:have]) + following
        return count

    def _read(self, size: int) -> bytes:
        content = bytearray(size)
        return bytes(content[: fill(self._source, memoryview(content))])
