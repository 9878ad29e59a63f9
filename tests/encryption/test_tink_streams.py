"""Streams under one key: beside Tink byte for byte, and against every kind of damage."""

import io
import struct

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st
from tink_peer import tink_decrypted, tink_encrypted

from e91.encryption.tink_streams import (
    SEGMENT_SIZE,
    decrypt_stream,
    encrypt_stream,
    stream_size,
)
from e91.model.errors import AuthenticationFailed

KEY = bytes(range(32))
SMALL = 4096
EDGES = [0, 1, SMALL - 57, SMALL - 56, SMALL - 55, SMALL, 2 * SMALL - 73, 2 * SMALL - 72,
         2 * SMALL - 71, 50_000]  # fmt: skip


def content(size: int) -> bytes:
    return np.random.default_rng(size).bytes(size)


def sealed(data: bytes, *, key: bytes = KEY, **options) -> bytes:
    target = io.BytesIO()
    assert encrypt_stream(key, io.BytesIO(data), target, **options) == len(data)
    return target.getvalue()


def opened(stream: bytes, *, key: bytes = KEY, **options) -> bytes:
    target = io.BytesIO()
    assert decrypt_stream(key, io.BytesIO(stream), target, **options) == len(target.getvalue())
    return target.getvalue()


@pytest.mark.parametrize("size", EDGES)
def test_tink_reads_what_was_written_and_is_read(size):
    data, asked = content(size), {"segment_size": SMALL}
    assert tink_decrypted(KEY, sealed(data, associated_data=b"who", **asked), b"who", **asked) == (
        data
    )
    others = tink_encrypted(KEY, data, b"who", **asked)
    assert opened(others, associated_data=b"who", **asked) == data


@pytest.mark.parametrize("size", [0, SEGMENT_SIZE - 56, 3 * SEGMENT_SIZE + 5])
def test_streams_of_the_usual_segments_agree_with_tink(size):
    data = content(size)
    assert tink_decrypted(KEY, sealed(data), b"", segment_size=SEGMENT_SIZE) == data
    assert opened(tink_encrypted(KEY, data, b"", segment_size=SEGMENT_SIZE)) == data


@pytest.mark.parametrize("size", EDGES)
def test_with_the_random_bytes_of_tink_every_byte_is_the_same(size):
    data = content(size)
    others = tink_encrypted(KEY, data, b"who", segment_size=SMALL)
    random = io.BytesIO(others[1:40])
    own = sealed(data, associated_data=b"who", segment_size=SMALL, entropy=random.read)
    assert own == others


def test_a_stream_is_what_its_definition_says():
    data = content(10_000)
    stream = sealed(data, associated_data=b"who", segment_size=SMALL)
    assert stream[0] == 40
    key = HKDF(SHA256(), 32, stream[1:33], b"who").derive(KEY)
    parts = [data[:4040], data[4040:8120], data[8120:]]
    expected = stream[:40] + b"".join(
        AESGCM(key).encrypt(stream[33:40] + struct.pack(">I", i) + bytes([i == 2]), part, None)
        for i, part in enumerate(parts)
    )
    assert stream == expected


@given(st.integers(0, 30_000), st.integers(57, 5000), st.binary(max_size=100))
def test_data_of_every_size_come_back_and_the_stream_has_the_computed_size(size, segment, who):
    data, asked = content(size), {"segment_size": segment, "associated_data": who}
    stream = sealed(data, **asked)
    assert len(stream) == stream_size(size, segment_size=segment)
    assert opened(stream, **asked) == data


class Trickle(io.RawIOBase):
    """A source that gives a few bytes at a time, as a pipe may."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readinto(self, buffer):
        return self._data.readinto(memoryview(buffer)[:7])


def test_a_pipe_that_gives_little_at_a_time_changes_nothing():
    data, target = content(500), io.BytesIO()
    encrypt_stream(KEY, Trickle(data), target, segment_size=100)
    assert len(target.getvalue()) == stream_size(500, segment_size=100)
    back = io.BytesIO()
    decrypt_stream(KEY, Trickle(target.getvalue()), back, segment_size=100)
    assert back.getvalue() == data


def refused(stream: bytes, **options) -> str:
    with pytest.raises(AuthenticationFailed) as caught:
        opened(stream, segment_size=100, **options)
    return str(caught.value)


def test_every_flipped_bit_is_found():
    stream = sealed(content(150), segment_size=100)
    for bit in range(8 * len(stream)):
        altered = bytearray(stream)
        altered[bit // 8] ^= 1 << bit % 8
        assert "is altered or cut" in refused(bytes(altered))


def test_every_cut_and_every_addition_is_found():
    stream = sealed(content(300), segment_size=100)
    for size in range(len(stream)):
        refused(stream[:size])
    for more in (b"\0", bytes(84), stream):
        refused(stream + more)


def test_segments_that_are_moved_doubled_or_left_out_are_found():
    stream = sealed(content(380), segment_size=100)
    first, *rest = [stream[i : i + 100] for i in range(0, len(stream), 100)]
    assert len(rest) == 4
    for order in ((1, 0, 2, 3), (0, 0, 1, 2, 3), (0, 2, 3), (0, 1, 3), (3,)):
        refused(first + b"".join(rest[i] for i in order))


def test_the_error_counts_the_bytes_that_are_right():
    stream = sealed(content(10_000), segment_size=100)
    assert refused(stream[:-1]).endswith("altered or cut after the first 9,956 bytes of its data.")


@pytest.mark.parametrize("other", [{"key": bytes(32)}, {"associated_data": b"other"}])
def test_another_key_or_other_associated_data_read_nothing(other):
    refused(sealed(content(150), segment_size=100, associated_data=b"who"), **other)


@pytest.mark.parametrize("key", [b"", bytes(16), bytes(33)])
def test_a_key_of_another_length_is_refused_and_never_stretched(key):
    with pytest.raises(ValueError, match=f"`key` must hold 32 bytes, but holds {len(key)}"):
        sealed(b"photons", key=key)


def test_a_segment_without_room_for_data_is_refused():
    with pytest.raises(ValueError, match="`segment_size` must be at least 57, but is 56"):
        sealed(b"photons", segment_size=56)


def test_a_stream_beyond_the_counter_is_refused_before_a_nonce_repeats(monkeypatch):
    monkeypatch.setattr("e91.encryption.tink_streams.MOST_SEGMENTS", 3)
    assert opened(sealed(bytes(44 + 84 + 84), segment_size=100), segment_size=100) == bytes(212)
    with pytest.raises(ValueError, match="must have at most 3 segments, but has more"):
        sealed(bytes(213), segment_size=100)
