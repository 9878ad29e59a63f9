"""Verification hashes: unequal keys are found out, and the bound on collisions is Bernstein's."""

import struct
from fractions import Fraction

import numpy as np
import pytest
from cryptography.hazmat.primitives.poly1305 import Poly1305
from hypothesis import given
from hypothesis import strategies as st

from e91.distillation import verification
from e91.model.bits import pack
from e91.model.errors import AuthenticationFailed
from e91.model.messages import Message, Party
from e91.model.records import ReconciledKey, VerifiedKey

HASH_KEY = bytes(range(32))
CLAMP = 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF


def poly1305(key: bytes, message: bytes) -> bytes:
    """Poly1305 written out from RFC 8439, section 2.5."""
    r = int.from_bytes(key[:16], "little") & CLAMP
    total = 0
    for start in range(0, len(message), 16):
        chunk = int.from_bytes(message[start : start + 16] + b"\x01", "little")
        total = (total + chunk) * r % (2**130 - 5)
    return ((total + int.from_bytes(key[16:], "little")) % 2**128).to_bytes(16, "little")


def key_of(*bits: int) -> ReconciledKey:
    return ReconciledKey(np.array(bits, np.uint8))


def random_key(count: int, seed: int = 1) -> ReconciledKey:
    return ReconciledKey(np.random.default_rng(seed).integers(0, 2, count, dtype=np.uint8))


def test_second_implementation_reproduces_rfc_8439():
    # RFC 8439, section 2.5.2.
    key = bytes.fromhex("85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b")
    tag = bytes.fromhex("a8061dc1305136c6c22b8baf0c0127a9")
    assert poly1305(key, b"Cryptographic Forum Research Group") == tag


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 63, 64, 65, 128, 1000, 12_345])
def test_announced_hash_is_poly1305_of_length_and_packed_key(count):
    key = random_key(count)
    body = verification.announce(key, HASH_KEY).body
    hashed = count.to_bytes(8, "little") + pack(key.bits)
    assert body == HASH_KEY + poly1305(HASH_KEY, hashed)


def test_equal_keys_become_verified_for_both_parties():
    alice, bob = random_key(1000), random_key(1000)
    checked = verification.check(bob, verification.announce(alice, HASH_KEY))
    confirmed = verification.confirm(alice, verification.answer(checked))
    assert isinstance(checked, VerifiedKey)
    assert isinstance(confirmed, VerifiedKey)
    assert np.array_equal(checked.bits, bob.bits)
    assert np.array_equal(confirmed.bits, alice.bits)


@given(st.data(), st.integers(1, 300), st.binary(min_size=32, max_size=32))
def test_any_single_difference_refuses_both_parties_a_verified_key(data, count, hash_key):
    alice = random_key(count)
    bits = alice.bits.copy()
    bits[data.draw(st.integers(0, count - 1))] ^= 1
    # A hash key with r = 0 maps all keys alike: that is within the collision probability.
    if int.from_bytes(hash_key[:16], "little") & CLAMP == 0:
        return
    checked = verification.check(ReconciledKey(bits), verification.announce(alice, hash_key))
    assert checked is None
    assert verification.confirm(alice, verification.answer(checked)) is None


@pytest.mark.parametrize(("short", "long"), [((), (0,)), ((1,), (1, 0)), ((0,) * 7, (0,) * 8)])
def test_keys_that_differ_only_by_trailing_zeros_are_distinguished(short, long):
    assert (
        verification.check(key_of(*long), verification.announce(key_of(*short), HASH_KEY)) is None
    )


def test_every_bit_of_the_hash_is_compared():
    key = random_key(100)
    sent = verification.announce(key, HASH_KEY)
    assert verification.check(key, sent) is not None
    for place in range(8 * verification.HASH_KEY_BYTES, 8 * len(sent.body)):
        body = bytearray(sent.body)
        body[place // 8] ^= 1 << place % 8
        assert verification.check(key, Message(Party.ALICE, "verification", bytes(body))) is None


def test_only_the_hash_counts_as_disclosed():
    announcement = verification.announce(random_key(100), HASH_KEY)
    assert announcement.disclosed_bits == 128 == 8 * (len(announcement.body) - 32)
    assert announcement.sender is Party.ALICE
    assert verification.answer(None).disclosed_bits == 0


def test_errors_chosen_with_knowledge_of_the_hash_key_stay_hidden():
    # Why the hash key must be drawn after the keys are fixed.  Bytes 8 to 39 of the hashed string
    # are the key: with its chunks c2, c3 weighted r**2 and r, adding 1 to c2 and taking r from c3
    # changes nothing.
    r = int.from_bytes(HASH_KEY[:16], "little") & CLAMP
    count = 8 * 40
    plain = struct.pack("<Q", count) + bytes(8) + bytes(16) + r.to_bytes(16, "little")
    forged = struct.pack("<Q", count) + bytes(8) + (1).to_bytes(16, "little") + bytes(16)
    keys = [ReconciledKey(np.unpackbits(np.frombuffer(m[8:], np.uint8))) for m in (plain, forged)]
    assert Poly1305.generate_tag(HASH_KEY, plain) == Poly1305.generate_tag(HASH_KEY, forged)
    assert verification.check(keys[1], verification.announce(keys[0], HASH_KEY)) is not None
    other = HASH_KEY[::-1]
    assert verification.check(keys[1], verification.announce(keys[0], other)) is None


@pytest.mark.parametrize(("bits", "chunks"), [(0, 1), (64, 1), (65, 2), (192, 2), (10**6, 7813)])
def test_collision_probability_is_bernsteins_bound(bits, chunks):
    assert verification.collision_probability(bits) == float(Fraction(8 * chunks, 2**106))


def test_collision_probability_covers_the_roots_of_the_difference_polynomial():
    # The bound from the definition: the difference of two keys' hashes is a polynomial in r of
    # degree at most `chunks`.  Two tags are equal if the difference of the sums, both below
    # 2**130 - 5, is a multiple of 2**128: at most 8 values, each met at `chunks` points r at most,
    # of the 2**106 that the clamp leaves.
    free = CLAMP.bit_count()
    sides = {k * 2**128 for k in range(-8, 9) if abs(k * 2**128) < 2**130 - 5}
    assert free == 106
    assert len(sides) <= 8
    assert verification.collision_probability(10**4) >= len(sides) * 79 / 2**free


@pytest.mark.parametrize("size", [0, 31, 33])
def test_hash_key_of_wrong_length_is_refused(size):
    with pytest.raises(ValueError, match="`hash_key` must have 32 bytes"):
        verification.announce(random_key(8), bytes(size))


@pytest.mark.parametrize("body", [b"", bytes(47), bytes(49)])
def test_malformed_announcement_is_not_authentic(body):
    with pytest.raises(AuthenticationFailed):
        verification.check(random_key(8), Message(Party.ALICE, "verification", body))


@pytest.mark.parametrize("body", [b"", b"\x02", b"\x01\x01"])
def test_malformed_reply_is_not_authentic(body):
    with pytest.raises(AuthenticationFailed):
        verification.confirm(random_key(8), Message(Party.BOB, "verified", body))


def test_negative_length_has_no_collision_probability():
    with pytest.raises(ValueError, match="`bits` must be finite and not negative"):
        verification.collision_probability(-1)
