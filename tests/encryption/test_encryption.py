"""Ciphers: against their definitions, against every altered bit, and against Eve."""

import base64
import struct
import traceback
from typing import get_args
from uuid import UUID

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from e91.encryption import cipher as ciphers
from e91.encryption.cipher import Cipher, Header, decrypt, encrypt, preferred_cipher, read_header
from e91.keys.store import KeyStore
from e91.model.errors import AuthenticationFailed, KeyUnavailable
from e91.model.messages import Party
from e91.model.records import SecretKey
from e91.model.trust import SecurityModel

KEY_ID = "0f0e0d0c-0b0a-4908-8706-050403020100"
ALICE, BOB = Party.ALICE, Party.BOB
SENTENCE = "The ciphertext must be authentic under this key, but is not."
BOTH = list(get_args(Cipher))


def content(size: int, *, seed: int = 1) -> bytes:
    return np.random.default_rng(seed).bytes(size)


def make_store(
    owner: Party,
    *,
    size: int = 400,
    seed: int = 1,
    key_id: str = KEY_ID,
    alice_share: int | None = None,
    reproducible: bool = False,
) -> KeyStore:
    bits = np.unpackbits(np.frombuffer(content(size, seed=seed), np.uint8))
    key = SecretKey(bits, key_id, SecurityModel.TRUSTED_ANALYSERS, 1e-10, reproducible)
    return KeyStore(key, owner, alice_share=alice_share)


def xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def poly1305_by_definition(key: bytes, message: bytes) -> bytes:
    """RFC 8439, section 2.5.1, in whole numbers."""
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for start in range(0, len(message), 16):
        chunk = int.from_bytes(message[start : start + 16] + b"\x01", "little")
        total = (total + chunk) * r % (2**130 - 5)
    return ((total + int.from_bytes(key[16:], "little")) % 2**128).to_bytes(16, "little")


def header_by_definition(cipher: str, sender: int, offset: int) -> bytes:
    code = {"one-time-pad": 1, "aes-256-gcm": 2}[cipher]
    key_id = UUID(KEY_ID).bytes
    return struct.pack(">5sBBB16sQ", b"\x89E91\n", 1, code, sender, key_id, offset)


def assert_refused(ciphertext: bytes, store: KeyStore) -> None:
    with pytest.raises(AuthenticationFailed) as caught:
        decrypt(ciphertext, store)
    assert str(caught.value) == SENTENCE


def test_the_second_implementation_of_poly1305_gives_the_published_tag():
    # RFC 8439, section 2.5.2.
    key = bytes.fromhex("85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b")
    tag = poly1305_by_definition(key, b"Cryptographic Forum Research Group")
    assert tag.hex() == "a8061dc1305136c6c22b8baf0c0127a9"


@pytest.mark.parametrize(("sender", "code", "start"), [(ALICE, 1, 0), (BOB, 2, 200)])
@pytest.mark.parametrize("size", [1, 15, 16, 17, 40])
def test_the_one_time_pad_is_what_its_definition_says(sender, code, start, size):
    key, data = content(400), content(size, seed=2)
    store = make_store(sender)
    store.take(7)
    header = header_by_definition("one-time-pad", code, start + 7)
    fresh = key[start + 7 : start + 7 + 32 + size]
    body = xor(data, fresh[32:])
    mask = key[start + 168 : start + 200]
    tag = poly1305_by_definition(xor(fresh[:32], mask), header + body)
    assert encrypt(data, store) == header + body + tag
    assert store.left == 168 - 7 - 32 - size


@pytest.mark.parametrize(("sender", "code", "start"), [(ALICE, 1, 0), (BOB, 2, 200)])
def test_aes_gcm_uses_32_fresh_bytes_and_binds_the_header(sender, code, start):
    key, data = content(400), content(1000, seed=2)
    store = make_store(sender)
    ciphertext = encrypt(data, store, cipher="aes-256-gcm")
    header = header_by_definition("aes-256-gcm", code, start)
    message_key = xor(key[start : start + 32], key[start + 168 : start + 200])
    assert ciphertext[:32] == header
    assert AESGCM(message_key).decrypt(bytes(12), ciphertext[32:], header) == data
    assert store.left == 168 - 32


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 70_000),
    st.sampled_from(BOTH),
    st.sampled_from(Party),
    st.integers(0, 2**32),
)
def test_the_peer_reads_what_was_encrypted(size, cipher, sender, seed):
    data = content(size, seed=seed)
    here, there = (make_store(party, size=150_000) for party in (sender, sender.peer))
    ciphertext = encrypt(data, here, cipher=cipher)
    assert len(ciphertext) == size + 48
    assert decrypt(ciphertext, there) == data
    assert here.left == there.peer_left == 75_000 - 32 - ciphers.key_bytes_needed(size, cipher)


def test_messages_may_be_read_in_any_order_and_cross():
    alice, bob = make_store(ALICE), make_store(BOB)
    sent = [encrypt(word, alice) for word in (b"one", b"two", b"three")]
    answer = encrypt(b"four", bob)
    assert [decrypt(sent[i], bob) for i in (2, 0, 1)] == [b"three", b"one", b"two"]
    assert decrypt(answer, alice) == b"four"


@pytest.mark.parametrize("cipher", BOTH)
def test_every_flipped_bit_is_found_and_spends_nothing(cipher):
    alice, bob = make_store(ALICE), make_store(BOB)
    ciphertext = encrypt(b"attack", alice, cipher=cipher)
    for bit in range(8 * len(ciphertext)):
        altered = bytearray(ciphertext)
        altered[bit // 8] ^= 1 << bit % 8
        assert_refused(bytes(altered), bob)
    assert bob.snapshot().spent == ()
    assert decrypt(ciphertext, bob) == b"attack"


@pytest.mark.parametrize("cipher", BOTH)
def test_every_truncation_and_extension_is_found_and_spends_nothing(cipher):
    alice, bob = make_store(ALICE), make_store(BOB)
    ciphertext = encrypt(b"attack at dawn, from the north", alice, cipher=cipher)
    for size in range(len(ciphertext)):
        assert_refused(ciphertext[:size], bob)
        assert_refused(ciphertext[size + 1 :], bob)
    for more in (b"\0", bytes(16), bytes(10_000), ciphertext):
        assert_refused(ciphertext + more, bob)
    assert bob.snapshot().spent == ()
    assert decrypt(ciphertext, bob) == b"attack at dawn, from the north"


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_what_is_no_ciphertext_is_refused_with_the_same_sentence(noise):
    bob = make_store(BOB)
    for text in (noise, header_by_definition("one-time-pad", 1, 0) + noise):
        assert_refused(text, bob)


@pytest.mark.parametrize("cipher", BOTH)
@pytest.mark.parametrize(
    "other",
    [
        {"seed": 2},
        {"key_id": "00000000-0000-4000-8000-000000000000"},
        {"alice_share": 199},
        {"alice_share": 0},
    ],
    ids=["other key", "other id", "other division", "no share"],
)
def test_another_key_id_or_division_reads_nothing(cipher, other):
    ciphertext = encrypt(b"attack", make_store(ALICE), cipher=cipher)
    bob = make_store(BOB, **other)
    assert_refused(ciphertext, bob)
    assert bob.snapshot().spent == ()


@pytest.mark.parametrize("cipher", BOTH)
def test_a_ciphertext_is_read_once(cipher):
    alice, bob = make_store(ALICE), make_store(BOB)
    ciphertext = encrypt(b"attack", alice, cipher=cipher)
    decrypt(ciphertext, bob)
    with pytest.raises(KeyUnavailable, match="must be fresh, but were used already"):
        decrypt(ciphertext, bob)


@pytest.mark.parametrize("cipher", BOTH)
def test_the_sender_cannot_read_its_own_ciphertext(cipher):
    alice = make_store(ALICE)
    with pytest.raises(KeyUnavailable, match="used already"):
        decrypt(encrypt(b"attack", alice, cipher=cipher), alice)


@pytest.mark.parametrize("cipher", BOTH)
def test_a_ciphertext_cannot_be_reflected_to_its_sender(cipher):
    # A store that made the message and forgot it is the worst case: its bytes look fresh.
    ciphertext = encrypt(b"attack", make_store(ALICE), cipher=cipher)
    assert_refused(ciphertext, make_store(ALICE))


def forgery(known_pad: bytes, offset: int, cipher: str) -> bytes:
    """What Eve sends who knows the key bytes from ``offset`` on, and no others."""
    header = header_by_definition(cipher, 1, offset)
    if cipher == "aes-256-gcm":
        return header + AESGCM(known_pad[:32]).encrypt(bytes(12), b"retreat", header)
    body = xor(b"retreat", known_pad[32:39])
    return header + body + poly1305_by_definition(known_pad[:32], header + body)


@pytest.mark.parametrize("cipher", BOTH)
def test_who_knows_a_plaintext_cannot_forge_with_its_pad(cipher):
    held_back = encrypt(bytes(80), make_store(ALICE))
    known_pad = held_back[32:-16]
    assert known_pad == content(400)[32:112]
    assert_refused(forgery(known_pad, 32, cipher), make_store(BOB))


@pytest.mark.parametrize("cipher", BOTH)
def test_without_masks_that_forgery_would_succeed(cipher, monkeypatch):
    monkeypatch.setattr(KeyStore, "mask", lambda self, sender: bytes(32))
    known_pad = encrypt(bytes(80), make_store(ALICE))[32:-16]
    assert decrypt(forgery(known_pad, 32, cipher), make_store(BOB)) == b"retreat"


@pytest.mark.parametrize("cipher", BOTH)
def test_equal_data_never_use_equal_key_bytes(cipher):
    alice = make_store(ALICE)
    first, second = (encrypt(b"same", alice, cipher=cipher) for _ in range(2))
    assert first[32:] != second[32:]
    assert read_header(second).offset == ciphers.key_bytes_needed(4, cipher)


def test_a_message_longer_than_the_key_is_refused_and_no_pad_is_repeated():
    # QuantumSolver repeated a 10-symbol pad over 40 characters and left high bits in the clear.
    alice = make_store(ALICE)
    with pytest.raises(KeyUnavailable, match="169 key bytes must be left to alice, but 168 are"):
        encrypt(bytes(137), alice)
    body = encrypt(b"a" * 136, alice)[32:-16]
    assert xor(body, b"a" * 136) == content(400)[32:168]


def test_a_short_key_is_refused_and_never_stretched():
    # 10srav hashed short keys to the length of an AES key, and authenticated nothing.
    alice = make_store(ALICE, size=126)
    assert alice.left == 31
    with pytest.raises(KeyUnavailable, match="32 key bytes must be left to alice, but 31 are"):
        encrypt(b"attack", alice, cipher="aes-256-gcm")
    assert alice.left == 31


@pytest.mark.parametrize("cipher", BOTH)
def test_empty_data_are_refused_and_spend_nothing(cipher):
    alice = make_store(ALICE)
    with pytest.raises(ValueError, match="must hold at least one byte"):
        encrypt(b"", alice, cipher=cipher)
    assert alice.left == 168


@pytest.mark.parametrize("data", ["text", bytearray(b"text"), None])
def test_what_is_not_bytes_is_refused_and_spends_nothing(data):
    alice = make_store(ALICE)
    for function in (encrypt, decrypt):
        with pytest.raises(TypeError, match="must be bytes"):
            function(data, alice)
    assert alice.left == 168


def test_an_unknown_cipher_is_refused_and_spends_nothing():
    alice = make_store(ALICE)
    with pytest.raises(ValueError, match="must be one-time-pad or aes-256-gcm, but is 'rot13'"):
        encrypt(b"text", alice, cipher="rot13")
    assert alice.left == 168


class Claiming(bytes):
    """Bytes that say they are longer than they are, to spare the test two gibibytes."""

    claimed = 2**31

    def __len__(self) -> int:
        return self.claimed


def test_data_beyond_the_limit_of_aes_gcm_are_refused_with_a_sentence():
    alice = make_store(ALICE)
    with pytest.raises(ValueError, match="must hold at most 2147483647 bytes for AES-256-GCM"):
        encrypt(Claiming(b"long"), alice, cipher="aes-256-gcm")
    assert alice.left == 168


def test_a_ciphertext_beyond_the_limit_of_aes_gcm_is_refused_like_any_other():
    # cryptography 50 panics in Rust on one of 2**31 + 16 bytes: a PanicException, no Exception.
    text = Claiming(header_by_definition("aes-256-gcm", 1, 0) + bytes(100))
    text.claimed = 2**31 + 48
    assert_refused(text, make_store(BOB))


def test_the_one_time_pad_is_preferred_as_long_as_there_is_key_for_it():
    alice = make_store(ALICE)
    assert preferred_cipher(136, alice) == "one-time-pad"
    assert preferred_cipher(137, alice) == "aes-256-gcm"
    decrypt(encrypt(bytes(136), alice, cipher=preferred_cipher(136, alice)), make_store(BOB))


@given(
    st.sampled_from(BOTH),
    st.sampled_from(Party),
    st.uuids().map(str),
    st.integers(0, 2**64 - 1),
    st.booleans(),
)
def test_a_header_is_read_as_it_was_written(cipher, sender, key_id, offset, reproducible):
    header = Header(cipher, sender, key_id, offset, reproducible)
    assert read_header(header.encode() + bytes(17)) == header


@pytest.mark.parametrize(("sender", "code"), [(ALICE, 3), (BOB, 4)])
def test_ciphertext_of_a_key_that_a_seed_makes_again_says_so_under_its_tag(sender, code):
    ciphertext = encrypt(b"Jinan", make_store(sender, reproducible=True))
    assert ciphertext[7] == code
    denied = ciphertext[:7] + bytes([code - 2]) + ciphertext[8:]
    with pytest.raises(AuthenticationFailed):
        decrypt(denied, make_store(sender.peer, reproducible=True))


@pytest.mark.parametrize("cipher", BOTH)
def test_no_error_shows_key_or_plaintext(cipher):
    data, key = content(60, seed=2), content(400)
    alice, bob = make_store(ALICE), make_store(BOB)
    ciphertext = encrypt(data, alice, cipher=cipher)
    wrong = ciphertext[:-1] + bytes([ciphertext[-1] ^ 1])
    texts = []
    for call in (
        lambda: decrypt(wrong, bob),
        lambda: decrypt(ciphertext, alice),
        lambda: encrypt(bytes(300), alice),
    ):
        with pytest.raises((AuthenticationFailed, KeyUnavailable)) as caught:
            call()
        error = caught.value
        texts.append("".join(traceback.format_exception(error)))
        texts += [repr(vars(e)) + repr(e.args) for e in (error, error.__context__) if e]
    for secret in (data, key):
        pieces = [secret[i : i + 9] for i in range(len(secret) - 8)]
        forms = [f(p) for p in pieces for f in (bytes.hex, lambda p: base64.b64encode(p).decode())]
        forms += [repr(p)[2:-1] for p in pieces]
        assert not any(form in text for text in texts for form in forms)
