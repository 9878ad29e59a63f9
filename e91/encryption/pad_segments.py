"""The one-time pad for data of any size, segment by segment, each with a tag that is used once.

After the header (`e91.encryption.stream_headers`) come segments::

    segment = kind (1) || reference of its key (24) || n (4) || encrypted data (n) || tag (16)

A kind is 0 if another segment follows, 1 of the last one, and 2 of the last one of a sender that
had no more key: then the data are whole as far as they go.  A segment uses n + 32 key bytes: the
pad of n bytes is XORed with the data, and nothing else ever is; the tag is Poly1305 (RFC 8439,
section 2.5) under the other 32, the message key, over::

    header (32) || kind (1) || segments before (8) || bytes of data before (8) || reference (24)
    || n (4) || three zero bytes || encrypted data (n)

Secrecy holds against unlimited computing power, as far as the key does.  So does authenticity: one
attempt at forgery succeeds with probability at most 8 q / 2**106, where q = ceil((n + 80) / 16)
(Bernstein, FSE 2005, LNCS 3557, 32; see `e91.encryption.cipher`), which is 2**-87 for 1 MiB.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.poly1305 import Poly1305

from e91.encryption.key_sources import MESSAGE_KEY_BYTES, KeyReference, KeySource, NamedKey
from e91.encryption.stream_headers import Part, StreamHeader, StreamSummary
from e91.encryption.tink_streams import TAG_SIZE, not_authentic
from e91.model.bits import Bits
from e91.model.errors import KeyUnavailable
from e91.system.byte_streams import ByteSource, ByteTarget, fill, write_whole

PAD_SEGMENT_SIZE = 2**20
"""Bytes of data in a segment at most: tags of smaller ones cost more time (`docs/media.md`)."""

_LENGTH = struct.Struct(">I")
_FILL = bytes(3)
"""Let the data begin a block of Poly1305, which is else half as fast."""
SEGMENT_OVERHEAD = 1 + KeyReference.SIZE + _LENGTH.size + TAG_SIZE


def pad_key_bytes(size: int, *, segment_size: int = PAD_SEGMENT_SIZE) -> int:
    """Return how many key bytes ``size`` bytes of data need, if every segment is full.

    Examples:
        >>> pad_key_bytes(5), pad_key_bytes(2**20 + 1)
        (37, 1048641)
    """
    return size + MESSAGE_KEY_BYTES * -(-size // segment_size)


class PadWriter:
    """Writes segments, one after the other.

    Args:
        target: Takes the ciphertext, header included.
        header: Of this ciphertext; a new one.
    """

    def __init__(self, target: ByteTarget, header: StreamHeader) -> None:
        self._target = target
        self._header = header
        self._sealed = np.empty(header.segment_size, np.uint8)
        self.size = self.segments = self.key_bytes = 0

    def write(self, data: memoryview, key: NamedKey, part: Part) -> None:
        """Encrypt and write one segment; by now the key must count as used.

        Args:
            data: At most a segment.
            key: 32 bytes more than the data.
            part: Whether another one follows.
        """
        self._write(data, key, part, out=self._sealed)

    def write_over(self, data: memoryview, key: NamedKey, part: Part) -> None:
        """Do as `write`, and encrypt in place of the data: that leaves a third less in the cache.

        Args:
            data: As for `write`; the encrypted data are there afterwards.
            key: As for `write`.
            part: As for `write`.
        """
        self._write(data, key, part, out=np.frombuffer(data, np.uint8))

    def _write(self, data: memoryview, key: NamedKey, part: Part, *, out: Bits) -> None:
        _check_sizes(data, key, self._header)
        place = self._header.place(
            part, parts=self.segments, size=self.size, reference=key.reference
        )
        body = _xored(data, key, out)
        length = _LENGTH.pack(len(data))
        tag = _tag(key, place, length, body).finalize()
        opening = b"" if self.segments else self._header.encode()
        write_whole(self._target, opening + bytes([part]) + key.reference.encode() + length)
        write_whole(self._target, body)
        write_whole(self._target, tag)
        self.size += len(data)
        self.segments += 1
        self.key_bytes += len(key.content)


class PadReader:
    """Reads segments, one after the other, behind their header.

    Args:
        source: The ciphertext, behind its header.
        keys: Finds the keys.
        header: As it was read.
    """

    def __init__(self, source: ByteSource, keys: KeySource, header: StreamHeader) -> None:
        self._source = source
        self._keys = keys
        self._header = header
        self._sealed = memoryview(bytearray(header.segment_size + TAG_SIZE))
        self.size = self.segments = self.key_bytes = 0

    def read(self) -> tuple[memoryview, NamedKey, Part]:
        """Return the data of the next segment, its key, and whether another one follows.

        The data are good until the next call.

        Raises:
            AuthenticationFailed: The segment was altered or cut, or is not the next one.
            KeyUnavailable: Its key is not to be had.
        """
        head = bytearray(1 + KeyReference.SIZE + _LENGTH.size)
        have = fill(self._source, memoryview(head))
        (length,) = _LENGTH.unpack(head[-_LENGTH.size :])
        if have < len(head) or head[0] > max(Part) or length > self._header.segment_size:
            raise not_authentic(self.size)
        part, reference = Part(head[0]), KeyReference.decode(bytes(head[1 : -_LENGTH.size]))
        sealed = self._sealed[: length + TAG_SIZE]
        if fill(self._source, sealed) < len(sealed):
            raise not_authentic(self.size)
        key = self._keys.named(reference, MESSAGE_KEY_BYTES + length)
        place = self._header.place(part, parts=self.segments, size=self.size, reference=reference)
        body = sealed[:length]
        try:
            _tag(key, place, head[-_LENGTH.size :], body).verify(bytes(sealed[length:]))
        except InvalidSignature:
            raise not_authentic(self.size) from None
        self._keys.protected(key, length)
        self.size += length
        self.segments += 1
        self.key_bytes += len(key.content)
        return _xored(body, key, np.frombuffer(body, np.uint8)), key, part


def encrypt_segments(
    source: ByteSource, target: ByteTarget, keys: KeySource, *, header: StreamHeader
) -> StreamSummary:
    """Encrypt what comes from ``source`` to its end, or as far as the key lasts.

    Nothing is written before `KeySource.keep` says that its key is used.

    Args:
        source: The data, at least one byte.
        target: Takes the ciphertext.
        keys: Gives 32 bytes more than the data, in pieces of any size.
        header: Of this ciphertext; a new one.

    Returns:
        What was encrypted.  If the key came to its end first, the ciphertext says so, too.

    Raises:
        ValueError: There are no data.
        KeyUnavailable: There is not enough key for one byte; nothing was written.

    Source:
        RFC 8439, section 2.5 (Poly1305, a key of its own for every segment).

    Examples:
        >>> import io, tempfile
        >>> from pathlib import Path
        >>> from e91.encryption import key_file_source
        >>> from e91.keys import KeyStore, save_new
        >>> from e91.model import Party, SecretKey, SecurityModel
        >>> bits, name = np.ones(1600, np.uint8), "12345678-1234-4234-8234-123456789abc"
        >>> key = SecretKey(bits, name, SecurityModel.TRUSTED_ANALYSERS, 1e-10, True)
        >>> header = StreamHeader.new("one-time-pad", segment_size=4096)
        >>> sealed, opened = io.BytesIO(), io.BytesIO()
        >>> with tempfile.TemporaryDirectory() as name:
        ...     folder = Path(name)
        ...     for party in Party:
        ...         save_new(KeyStore(key, party), folder / f"{party.value}.key")
        ...     with key_file_source([folder / "alice.key"]) as keys:
        ...         sent = encrypt_segments(io.BytesIO(b"photons"), sealed, keys, header=header)
        >>> sent.size, sent.keys, sent.key_bytes_used, sent.is_complete
        (7, 1, 39, True)
    """
    batches = _batches(source, keys, header.segment_size)
    batch = next(batches, None)
    if batch is None:
        raise ValueError("The data must hold at least one byte, but are empty.")
    writer = PadWriter(target, header)
    stopped = None
    while batch:
        for piece in batch:
            keys.protected(piece.key, len(piece.data))
        keys.keep()
        *inner, last = batch
        for piece in inner:
            writer.write_over(piece.data, piece.key, Part.INNER)
        # The next keys before the last segment: only then it is known whether it is the last.
        try:
            batch = next(batches, None)
        except KeyUnavailable as error:
            batch, stopped = None, str(error)
        part = Part.INNER if batch else Part.LAST if stopped is None else Part.CUT_SHORT
        writer.write_over(last.data, last.key, part)
    return StreamSummary(header.cipher, writer.size, writer.segments, writer.key_bytes, stopped)


def decrypt_segments(
    source: ByteSource, target: ByteTarget, keys: KeySource, *, header: StreamHeader
) -> StreamSummary:
    """Decrypt what follows a header; as `e91.encryption.chapters.decrypt_chapters`.

    Args:
        source: The ciphertext, behind its header, and nothing after it.
        target: Takes the data.
        keys: Finds the key bytes.
        header: As it was read.

    Returns:
        What was decrypted.

    Raises:
        AuthenticationFailed: The ciphertext was altered or cut; what was written is right as far as
            it goes.
        KeyUnavailable: A key that it names is not to be had.

    Examples:
        >>> import io, tempfile
        >>> from pathlib import Path
        >>> from e91.encryption import key_file_source
        >>> from e91.keys import KeyStore, save_new
        >>> from e91.model import Party, SecretKey, SecurityModel
        >>> bits, name = np.ones(1600, np.uint8), "12345678-1234-4234-8234-123456789abc"
        >>> key = SecretKey(bits, name, SecurityModel.TRUSTED_ANALYSERS, 1e-10, True)
        >>> header = StreamHeader.new("one-time-pad", segment_size=4096)
        >>> sealed, opened = io.BytesIO(), io.BytesIO()
        >>> with tempfile.TemporaryDirectory() as name:
        ...     folder = Path(name)
        ...     for party in Party:
        ...         save_new(KeyStore(key, party), folder / f"{party.value}.key")
        ...     with key_file_source([folder / "alice.key"]) as keys:
        ...         sent = encrypt_segments(io.BytesIO(b"photons"), sealed, keys, header=header)
        ...     ciphertext = io.BytesIO(sealed.getvalue())
        ...     header = StreamHeader.read(ciphertext)
        ...     with key_file_source([folder / "bob.key"]) as keys:
        ...         found = decrypt_segments(ciphertext, opened, keys, header=header)
        >>> opened.getvalue(), found == sent
        (b'photons', True)
    """
    reader = PadReader(source, keys, header)
    part = Part.INNER
    while part is Part.INNER:
        data, _, part = reader.read()
        write_whole(target, data)
    if fill(source, memoryview(bytearray(1))):
        raise not_authentic(reader.size)
    stopped = None if part is Part.LAST else ""
    return StreamSummary(header.cipher, reader.size, reader.segments, reader.key_bytes, stopped)


class _Piece(NamedTuple):
    data: memoryview
    key: NamedKey


def _batches(source: ByteSource, keys: KeySource, segment_size: int) -> Iterator[list[_Piece]]:
    """Yield data with key for them, as much at a time as one segment may hold.

    Keys may be small: those of one batch are written down as used together.  A batch is good until
    the next but one is asked for.

    Raises:
        KeyUnavailable: There is not enough key for another byte.
    """
    buffers = [memoryview(bytearray(segment_size)) for _ in range(2)]
    while size := fill(source, buffers[0]):
        data = buffers[0][:size]
        batch: list[_Piece] = []
        while data:
            try:
                key = keys.fresh(MESSAGE_KEY_BYTES + len(data), least=MESSAGE_KEY_BYTES + 1)
            except KeyUnavailable:
                if batch:
                    yield batch
                raise
            covered = len(key.content) - MESSAGE_KEY_BYTES
            batch.append(_Piece(data[:covered], key))
            data = data[covered:]
        yield batch
        buffers.reverse()


def _check_sizes(data: memoryview, key: NamedKey, header: StreamHeader) -> None:
    if len(data) > header.segment_size:
        raise ValueError(
            f"`data` must hold at most {header.segment_size:,} bytes, but hold {len(data):,}."
        )
    if len(key.content) != len(data) + MESSAGE_KEY_BYTES:
        raise ValueError(
            f"`key` must hold {len(data) + MESSAGE_KEY_BYTES:,} bytes, but holds "
            f"{len(key.content):,}."
        )


def _xored(data: memoryview, key: NamedKey, out: Bits) -> memoryview:
    """Return the data XOR the pad, in the front of ``out``."""
    size = len(data)
    pad = np.frombuffer(key.content, np.uint8, count=size, offset=MESSAGE_KEY_BYTES)
    np.bitwise_xor(np.frombuffer(data, np.uint8), pad, out=out[:size])
    return out[:size].data


def _tag(key: NamedKey, place: bytes, length: bytes | bytearray, body: memoryview) -> Poly1305:
    # What stands before the body has one length, so all of it has one reading only.
    tag = Poly1305(key.message_key)
    tag.update(place + length + _FILL)
    tag.update(body)
    return tag
