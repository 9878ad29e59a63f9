"""Ciphertexts of version 2: their bytes, what Tink reads in them, and all kinds of damage."""

import io
import struct
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from listed_keys import ListedKeys
from tink_peer import tink_decrypted, tink_encrypted

from e91.encryption.chapters import decrypt_chapters, encrypt_chapters
from e91.encryption.pad_segments import decrypt_segments, encrypt_segments
from e91.encryption.stream_headers import StreamHeader
from e91.encryption.tink_streams import stream_size
from e91.model.errors import AuthenticationFailed, KeyUnavailable

SMALL = 4096
NUMBER = bytes(range(16))
AES = StreamHeader("aes-256-gcm", SMALL, 250, NUMBER)
LARGE_AES = StreamHeader("aes-256-gcm", SMALL, 10_000, NUMBER)
PAD = StreamHeader("one-time-pad", SMALL, 0, NUMBER)
BOTH = pytest.mark.parametrize("header", [AES, PAD], ids=["chapters", "pad"])


def content(size: int) -> bytes:
    return np.random.default_rng(size).bytes(size)


def sealed(data: bytes, header: StreamHeader = AES, keys: ListedKeys | None = None) -> bytes:
    target = io.BytesIO()
    write = encrypt_chapters if header.cipher == "aes-256-gcm" else encrypt_segments
    found = write(io.BytesIO(data), target, keys or ListedKeys(), header=header)
    assert found.is_complete
    assert found.size == len(data)
    return target.getvalue()


def opened(ciphertext: bytes, target: io.BytesIO | None = None, keys: ListedKeys | None = None):
    source, target = io.BytesIO(ciphertext), target or io.BytesIO()
    header = StreamHeader.read(source)
    read = decrypt_chapters if header.cipher == "aes-256-gcm" else decrypt_segments
    found = read(source, target, keys or ListedKeys(), header=header)
    assert found.size == len(target.getvalue())
    if header.cipher == "aes-256-gcm":  # where the size is known, as of a file, the same comes out
        again, size = io.BytesIO(), len(ciphertext) - 32
        rest = io.BytesIO(ciphertext[32:])
        decrypt_chapters(rest, again, keys or ListedKeys(), header=header, size=size)
        assert again.getvalue() == target.getvalue()
    return target.getvalue(), found


REFUSALS = (AuthenticationFailed, KeyUnavailable, ValueError)


def refused(ciphertext: bytes) -> None:
    with pytest.raises(REFUSALS):
        opened(ciphertext)
    with pytest.raises(REFUSALS):
        opened_as_file(ciphertext)


def opened_as_file(ciphertext: bytes) -> None:
    """Read chapters of a known size; of other ciphertexts the header alone is looked at."""
    source = io.BytesIO(ciphertext)
    header = StreamHeader.read(source)
    if header.cipher != "aes-256-gcm":
        opened(ciphertext)
    size = len(ciphertext) - 32
    decrypt_chapters(source, io.BytesIO(), ListedKeys(), header=header, size=size)


def test_a_file_that_grows_or_shrinks_meanwhile_is_refused():
    ciphertext = sealed(content(600))
    for more in (b"", b"x", bytes(57)):
        for size in (len(ciphertext) - 33, len(ciphertext) - 31 + len(more)):
            with pytest.raises(AuthenticationFailed):
                decrypt_chapters(
                    io.BytesIO(ciphertext[32:] + more), io.BytesIO(), ListedKeys(),
                    header=AES, size=size,
                )  # fmt: skip


def key_of(number: int, size: int = 32) -> bytes:
    return ListedKeys().key(UUID(int=number), size).content


# --- bytes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 9_999, 10_000, 10_001, 20_000, 50_003])
def test_every_chapter_is_a_stream_that_tink_reads(size):
    data = content(size)
    ciphertext = sealed(data, LARGE_AES)
    head = struct.pack(">5sBBBQ16s", b"\x89E91\n", 2, 2, 12, 10_000, NUMBER)
    assert ciphertext[:32] == head
    at, done, chapters = 32, b"", 0
    while len(done) < size:
        chapters += 1
        reference = UUID(int=chapters).bytes + bytes(8)
        assert ciphertext[at : at + 24] == reference
        here = min(10_000, size - len(done))
        end = at + 24 + stream_size(here, segment_size=SMALL)
        place = head + struct.pack(">BQQ", 0, chapters - 1, len(done)) + reference
        done += tink_decrypted(
            key_of(chapters), ciphertext[at + 24 : end], place, segment_size=SMALL
        )
        at = end
    assert done == data
    assert len(ciphertext) == at + 57
    assert ciphertext[at] == 1
    place = head + struct.pack(">BQQ", 1, chapters, size) + reference
    assert tink_decrypted(key_of(chapters), ciphertext[at + 1 :], place, segment_size=SMALL) == b""


def test_a_ciphertext_whose_streams_tink_wrote_is_read():
    head = LARGE_AES.encode()
    data = content(12_345)
    reference = [UUID(int=i).bytes + bytes(8) for i in (1, 2)]
    ciphertext = head
    for number, part in enumerate((data[:10_000], data[10_000:])):
        place = head + struct.pack(">BQQ", 0, number, 10_000 * number) + reference[number]
        stream = tink_encrypted(key_of(number + 1), part, place, segment_size=SMALL)
        ciphertext += reference[number] + stream
    place = head + struct.pack(">BQQ", 1, 2, 12_345) + reference[1]
    ciphertext += b"\1" + tink_encrypted(key_of(2), b"", place, segment_size=SMALL)
    assert opened(ciphertext)[0] == data


def poly1305_by_definition(key: bytes, message: bytes) -> bytes:
    """RFC 8439, section 2.5.1, in whole numbers."""
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for start in range(0, len(message), 16):
        chunk = int.from_bytes(message[start : start + 16] + b"\x01", "little")
        total = (total + chunk) * r % (2**130 - 5)
    return ((total + int.from_bytes(key[16:], "little")) % 2**128).to_bytes(16, "little")


def test_a_pad_is_xored_with_nothing_but_data_and_each_tag_has_a_key_of_its_own():
    data = content(SMALL + 100)
    head = struct.pack(">5sBBBQ16s", b"\x89E91\n", 2, 1, 12, 0, NUMBER)
    expected = head
    for number, part in enumerate((data[:SMALL], data[SMALL:])):
        key = key_of(number + 1, 32 + len(part))
        body = bytes(a ^ b for a, b in zip(part, key[32:], strict=True))
        reference, length = UUID(int=number + 1).bytes + bytes(8), struct.pack(">I", len(part))
        place = head + struct.pack(">BQQ", number, number, SMALL * number) + reference
        tag = poly1305_by_definition(key[:32], place + length + bytes(3) + body)
        expected += bytes([number]) + reference + length + body + tag
    assert sealed(data, PAD) == expected


@given(st.integers(1, 3_000), st.sampled_from([AES, PAD]), st.integers(40, 5_000))
def test_data_of_every_size_come_back(size, header, most):
    data = content(size)
    ciphertext = sealed(data, header, ListedKeys(most=most))
    assert opened(ciphertext)[0] == data


# --- order ---------------------------------------------------------------------------------------


@BOTH
def test_no_byte_is_written_before_its_key_counts_as_used(header):
    keys = ListedKeys()

    class Watched(io.BytesIO):
        def write(self, part):
            if len(part):
                keys.log.append("write")
            return super().write(part)

    write = encrypt_chapters if header is AES else encrypt_segments
    write(io.BytesIO(content(3 * SMALL)), Watched(), keys, header=header)
    for at, step in enumerate(keys.log):
        if step == "write":  # whatever was asked for, save the key of the next segment, is kept
            before = keys.log[:at]
            assert "keep" in before[before.index("fresh") :]
    assert keys.log.count("keep") == (keys.log.count("fresh") if header is AES else 3)


def test_small_keys_of_one_pad_segment_are_kept_together():
    keys = ListedKeys(most=232)
    sealed(content(3_000), PAD, keys)
    assert (keys.log.count("fresh"), keys.log.count("keep")) == (15, 1)


def test_a_source_learns_what_each_key_protected():
    keys = ListedKeys()
    sealed(content(600), AES, keys)
    assert list(keys.sizes.values()) == [250, 250, 100]


# --- damage --------------------------------------------------------------------------------------


@BOTH
def test_every_flipped_bit_is_found(header):
    ciphertext = sealed(content(600), header, ListedKeys(most=232))
    for bit in range(8 * len(ciphertext)):
        altered = bytearray(ciphertext)
        altered[bit // 8] ^= 1 << bit % 8
        refused(bytes(altered))


@BOTH
def test_every_cut_and_addition_is_found_and_only_checked_data_come_out(header):
    data = content(750)
    ciphertext = sealed(data, header, ListedKeys(most=282))
    for size in range(len(ciphertext)):
        target = io.BytesIO()
        with pytest.raises((AuthenticationFailed, KeyUnavailable)):
            opened(ciphertext[:size], target)
        assert data.startswith(target.getvalue())
    for more in (b"\0", bytes(57), ciphertext[-57:], ciphertext):
        refused(ciphertext + more)


def parts_of(header: StreamHeader) -> tuple[bytes, list[bytes], bytes]:
    """Return the header, the three parts, and the end of a ciphertext."""
    ciphertext = sealed(content(750), header, ListedKeys(most=282))
    step = 24 + stream_size(250) if header is AES else 1 + 24 + 4 + 250 + 16
    parts = [ciphertext[i : i + step] for i in range(32, 32 + 3 * step, step)]
    return ciphertext[:32], parts, ciphertext[32 + 3 * step :]


@BOTH
@pytest.mark.parametrize("order", [(0, 1), (1, 2), (0, 2), (2,), (), (1, 0, 2), (0, 2, 1),
                                   (0, 0, 1, 2), (0, 1, 2, 2), (0, 1, 1, 2)])  # fmt: skip
def test_parts_that_are_left_out_moved_or_doubled_are_found(header, order):
    head, parts, end = parts_of(header)
    assert opened(head + b"".join(parts) + end)[0] == content(750)
    refused(head + b"".join(parts[i] for i in order) + end)


@BOTH
def test_a_part_of_another_ciphertext_under_the_same_key_is_found(header):
    other = StreamHeader(header.cipher, SMALL, header.bytes_per_key, bytes(16))
    head, parts, end = parts_of(header)
    ciphertext = sealed(content(750), other, ListedKeys(most=282))
    step = len(parts[0])
    refused(head + ciphertext[32 : 32 + step] + b"".join(parts[1:]) + end)


@given(st.binary(max_size=300), st.sampled_from([b"", AES.encode(), PAD.encode()]))
def test_what_is_no_ciphertext_is_refused(noise, head):
    refused(head + noise)


@given(st.data())
def test_a_changed_part_anywhere_is_found(data):
    header = data.draw(st.sampled_from([AES, PAD]))
    ciphertext = sealed(content(750), header, ListedKeys(most=282))
    start = data.draw(st.integers(0, len(ciphertext)))
    stop = data.draw(st.integers(start, len(ciphertext)))
    interval = data.draw(st.binary(max_size=80))
    altered = ciphertext[:start] + interval + ciphertext[stop:]
    if altered != ciphertext:
        refused(altered)


def test_numbers_of_a_header_ask_for_no_memory():
    # Largest segments and chapters that a header can name, with nothing behind it.
    head = struct.pack(">5sBBBQ16s", b"\x89E91\n", 2, 2, 24, 2**64 - 1, NUMBER)
    with pytest.raises(AuthenticationFailed):
        opened(head)
    for log in (0, 11, 25, 255):
        refused(head[:7] + bytes([log]) + head[8:] + bytes(200))


@pytest.mark.parametrize("version", [0, 1, 3, 255])
def test_another_version_is_named(version):
    head = AES.encode()
    with pytest.raises(
        ValueError, match=f"of version 1 or 2 of its format, but is of .* {version}"
    ):
        StreamHeader.read(io.BytesIO(head[:5] + bytes([version]) + head[6:]))


# --- keys ----------------------------------------------------------------------------------------


@BOTH
def test_no_data_are_refused_and_use_no_key(header):
    keys = ListedKeys()
    with pytest.raises(ValueError, match="must hold at least one byte, but are empty"):
        sealed(b"", header, keys)
    assert keys.given == []


@BOTH
def test_without_a_single_key_nothing_is_written(header):
    target = io.BytesIO()
    write = encrypt_chapters if header is AES else encrypt_segments
    with pytest.raises(KeyUnavailable):
        write(io.BytesIO(b"data"), target, ListedKeys(number=0), header=header)
    assert target.getvalue() == b""


@BOTH
def test_what_was_written_before_the_keys_came_to_their_end_is_whole_and_says_so(header):
    data, target = content(1000), io.BytesIO()
    write = encrypt_chapters if header is AES else encrypt_segments
    keys = ListedKeys(number=2, most=282)
    found = write(io.BytesIO(data), target, keys, header=header)
    assert (found.size, found.keys, found.stopped) == (500, 2, "A key must be left, but none is.")
    back, said = opened(target.getvalue())
    assert (back, said.is_complete, said.keys) == (data[:500], False, 2)
    for bit in range(8 * len(target.getvalue())):
        altered = bytearray(target.getvalue())
        altered[bit // 8] ^= 1 << bit % 8
        refused(bytes(altered))


def test_a_key_that_is_gone_is_named_and_what_came_before_is_right():
    data = content(600)
    ciphertext = sealed(data)

    class Forgetful(ListedKeys):
        def named(self, reference, size):
            if reference.key_id.int == 2:
                raise KeyUnavailable(f"The key {reference.key_id} must be there, but is gone.")
            return super().named(reference, size)

    target = io.BytesIO()
    with pytest.raises(KeyUnavailable, match="00000002 must be there, but is gone"):
        opened(ciphertext, target, Forgetful())
    assert target.getvalue() == data[:250]


@pytest.mark.parametrize("made", [
    lambda: StreamHeader("aes-256-gcm", 5000, 1, NUMBER),
    lambda: StreamHeader("aes-256-gcm", 2**25, 1, NUMBER),
    lambda: StreamHeader("aes-256-gcm", SMALL, 0, NUMBER),
    lambda: StreamHeader("one-time-pad", SMALL, 1, NUMBER),
])  # fmt: skip
def test_a_header_with_impossible_numbers_cannot_be_made(made):
    with pytest.raises(ValueError, match="must be"):
        made()


def test_a_key_shows_no_bits():
    key = ListedKeys().key(UUID(int=1), 40)
    assert repr(key).startswith("NamedKey(KeyReference(key_id=UUID('00000000-")
    assert "40 bytes" in repr(key)
    assert repr(key.content)[2:10] not in repr(key)
