r"""Data of any size under one 32-byte key: the AES-GCM-HKDF streaming format of Tink.

A stream is a header of 40 bytes and then segments, the first one shorter by as much, so
that header and segments fill equal blocks; the last one is as long as it comes out::

    byte     field
     0       length of the header, 40
     1 - 32  salt, random
    33 - 39  nonce prefix, random
    40 - ... segments: encrypted data, then a tag of 16 bytes

The segments' key is HKDF (RFC 5869) with SHA-256 of the 32-byte key, with the salt and, as `info`,
the associated data.  Segment i is AES-256-GCM under that key, without associated data of its own.
Its nonce is the prefix, i in four bytes, and a byte that is 1 in the last segment and 0 in others.
So no segment can be left out, repeated, moved or cut off unnoticed.  A reader must know the size of
a segment, as it does not stand in the stream.

It is what Tink writes with a key of type ``AesGcmHkdfStreamingKey``, derived keys of 32 bytes,
SHA-256 and prefix RAW, byte for byte.

Secrecy and tags are computational.  The construction is analysed by Hoang and Shen, "Security of
Streaming Encryption in Google's Tink Library", ACM CCS 2020; how much data one key may protect is
in `e91.encryption.rekeying`.

Source:
    Tink, "AES-GCM-HKDF Streaming AEAD",
    https://developers.google.com/tink/streaming-aead/aes_gcm_hkdf_streaming
"""

import os
import struct
from collections.abc import Callable, Iterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from e91.model.errors import AuthenticationFailed
from e91.system.byte_streams import ByteSource, ByteTarget, fill, write_whole

KEY_SIZE = 32
TINK_HEADER_SIZE = 40
TAG_SIZE = 16

SEGMENT_SIZE = 2**17
"""Bytes of an encrypted segment, tag included, unless others are asked for.

Larger ones leave the processor's cache, smaller ones cost more calls; see `benchmarks.encryption`.
"""

MOST_SEGMENTS = 2**32

_SALT_SIZE = KEY_SIZE
_PREFIX_SIZE = 7
_NONCE_END = struct.Struct(">I?")


def stream_size(data_size: int, *, segment_size: int = SEGMENT_SIZE) -> int:
    """Return the size of a stream of ``data_size`` bytes of data, bytes.

    Examples:
        >>> stream_size(0), stream_size(4040, segment_size=4096), stream_size(10**9) - 10**9
        (56, 4096, 122136)
    """
    room = segment_size - TAG_SIZE
    segments = max(1, -(-(data_size + TINK_HEADER_SIZE) // room))
    return TINK_HEADER_SIZE + data_size + TAG_SIZE * segments


def encrypt_stream(
    key: bytes,
    source: ByteSource,
    target: ByteTarget,
    *,
    associated_data: bytes = b"",
    segment_size: int = SEGMENT_SIZE,
    entropy: Callable[[int], bytes] = os.urandom,
) -> int:
    """Encrypt what comes from ``source`` to its end; memory holds three segments, not more.

    Args:
        key: 32 bytes; a fresh one for every stream is best, see `e91.encryption.rekeying`.
        source: The data, of any size, also none.
        target: Takes the stream.
        associated_data: Public bytes that the reader must know, too.
        segment_size: Bytes of an encrypted segment, tag included; above 56.
        entropy: Returns random bytes, for the salt and then for the nonce prefix.

    Returns:
        How many bytes of data there were.

    Raises:
        ValueError: ``key`` has not 32 bytes, a segment has no room for data, or the data need more
            than 2**32 segments.

    Examples:
        >>> import io
        >>> sealed, opened = io.BytesIO(), io.BytesIO()
        >>> encrypt_stream(bytes(32), io.BytesIO(b"photons"), sealed)
        7
        >>> decrypt_stream(bytes(32), io.BytesIO(sealed.getvalue()), opened)
        7
        >>> opened.getvalue()
        b'photons'
    """
    _check(key, segment_size)
    salt, prefix = entropy(_SALT_SIZE), entropy(_PREFIX_SIZE)
    cipher = _derived_cipher(key, salt, associated_data)
    write_whole(target, bytes([TINK_HEADER_SIZE]) + salt + prefix)
    sealed = memoryview(bytearray(segment_size))
    total = 0
    room = segment_size - TAG_SIZE
    for number, data, is_last in _segments(source, first=room - TINK_HEADER_SIZE, others=room):
        segment = sealed[: len(data) + TAG_SIZE]
        cipher.encrypt_into(prefix + _NONCE_END.pack(number, is_last), data, None, segment)
        write_whole(target, segment)
        total += len(data)
    return total


def decrypt_stream(
    key: bytes,
    source: ByteSource,
    target: ByteTarget,
    *,
    associated_data: bytes = b"",
    segment_size: int = SEGMENT_SIZE,
) -> int:
    """Decrypt a stream that ends where ``source`` ends, with the arguments that encrypted it.

    Every segment is written once its tag is checked; that none is missing at the end is known only
    when this returns.

    Args:
        key: The 32 bytes that encrypted it.
        source: The stream.
        target: Takes the data.
        associated_data: As at the sender.
        segment_size: As at the sender; bytes.

    Returns:
        How many bytes of data there were.

    Raises:
        AuthenticationFailed: The stream was altered, is incomplete, or was made with other
            arguments; what was written before that is right as far as it goes.
        ValueError: ``key`` has not 32 bytes, or a segment has no room for data.

    Source:
        Tink, AES-GCM-HKDF streaming; see the top of this file.

    Examples:
        >>> import io
        >>> sealed, opened = io.BytesIO(), io.BytesIO()
        >>> encrypt_stream(bytes(32), io.BytesIO(b"photons"), sealed, associated_data=b"1")
        7
        >>> decrypt_stream(bytes(32), io.BytesIO(sealed.getvalue()), opened, associated_data=b"2")
        Traceback (most recent call last):
        ...
        e91.model.errors.AuthenticationFailed: The ciphertext must be authentic to its end ...
    """
    _check(key, segment_size)
    header = bytearray(TINK_HEADER_SIZE)
    if fill(source, memoryview(header)) < TINK_HEADER_SIZE or header[0] != TINK_HEADER_SIZE:
        raise not_authentic(0)
    salt, prefix = bytes(header[1:-_PREFIX_SIZE]), bytes(header[-_PREFIX_SIZE:])
    cipher = _derived_cipher(key, salt, associated_data)
    opened = memoryview(bytearray(segment_size))
    total = 0
    first = segment_size - TINK_HEADER_SIZE
    for number, segment, is_last in _segments(source, first=first, others=segment_size):
        data = opened[: max(0, len(segment) - TAG_SIZE)]
        nonce = prefix + _NONCE_END.pack(number, is_last)
        try:
            cipher.decrypt_into(nonce, segment, None, data)
        except InvalidTag:
            raise not_authentic(total) from None
        write_whole(target, data)
        total += len(data)
    return total


def not_authentic(checked: int) -> AuthenticationFailed:
    """Return the error of a stream whose data are right up to a place, and not known beyond."""
    return AuthenticationFailed(
        "The ciphertext must be authentic to its end under its keys, but is altered or cut after "
        f"the first {checked:,} bytes of its data."
    )


def _check(key: bytes, segment_size: int) -> None:
    if len(key) != KEY_SIZE:
        raise ValueError(f"`key` must hold {KEY_SIZE} bytes, but holds {len(key)}.")
    least = TINK_HEADER_SIZE + TAG_SIZE + 1
    if segment_size < least:
        raise ValueError(f"`segment_size` must be at least {least}, but is {segment_size}.")


def _derived_cipher(key: bytes, salt: bytes, associated_data: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), KEY_SIZE, salt, associated_data).derive(key))


def _segments(
    source: ByteSource, *, first: int, others: int
) -> Iterator[tuple[int, memoryview, bool]]:
    """Yield number, content and whether it is the last of every segment.

    One segment is read ahead, as only the end of the source shows which one was the last.  The
    content is good until the next one is asked for.
    """
    current, ahead = memoryview(bytearray(others)), memoryview(bytearray(others))
    size, room = fill(source, current[:first]), first
    for number in range(MOST_SEGMENTS):
        following = fill(source, ahead) if size == room else 0
        yield number, current[:size], not following
        if not following:
            return
        current, ahead = ahead, current
        size, room = following, others
    raise ValueError(f"A stream must have at most {MOST_SEGMENTS:,} segments, but has more.")
