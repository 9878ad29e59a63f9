"""Transcript tags: every alteration is noticed, and the bound on forgeries is Bernstein's."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e91.distillation import authentication
from e91.model.errors import AuthenticationFailed
from e91.model.messages import Channel, Message, Party

# RFC 8439, section 2.5.2.
RFC_KEY = bytes.fromhex("85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b")
RFC_TEXT = b"Cryptographic Forum Research Group"
RFC_TAG = bytes.fromhex("a8061dc1305136c6c22b8baf0c0127a9")


def test_tag_is_that_of_rfc_8439():
    assert authentication.tag(RFC_TEXT, RFC_KEY) == RFC_TAG


def test_true_tag_passes():
    authentication.check(RFC_TEXT, RFC_KEY, RFC_TAG)


@given(st.integers(0, 8 * len(RFC_TEXT) - 1))
def test_any_altered_bit_of_the_transcript_is_noticed(bit):
    altered = bytearray(RFC_TEXT)
    altered[bit // 8] ^= 1 << bit % 8
    with pytest.raises(AuthenticationFailed):
        authentication.check(bytes(altered), RFC_KEY, RFC_TAG)


@pytest.mark.parametrize("bit", range(128))
def test_any_altered_bit_of_the_tag_is_noticed(bit):
    altered = bytearray(RFC_TAG)
    altered[bit // 8] ^= 1 << bit % 8
    with pytest.raises(AuthenticationFailed):
        authentication.check(RFC_TEXT, RFC_KEY, bytes(altered))


@pytest.mark.parametrize("received", [b"", RFC_TAG[:-1], RFC_TAG + b"\x00", bytes(16)])
def test_missing_or_truncated_tag_is_refused(received):
    with pytest.raises(AuthenticationFailed):
        authentication.check(RFC_TEXT, RFC_KEY, received)


def test_the_other_partys_tag_reflected_is_refused():
    alice, bob = bytes(range(32)), bytes(range(32, 64))
    with pytest.raises(AuthenticationFailed):
        authentication.check(RFC_TEXT, bob, authentication.tag(RFC_TEXT, alice))


@pytest.mark.parametrize(
    "meddle",
    [
        lambda m: Message(m.sender, m.subject, m.body + b"\x00"),
        lambda m: Message(m.sender, "other subject", m.body),
        lambda m: None,
    ],
)
def test_transcripts_of_a_meddled_channel_do_not_authenticate_each_other(meddle):
    channel = Channel(transmission=meddle)
    channel.send(Message(Party.ALICE, "settings", b"\x01\x02"))
    key = bytes(range(32))
    tag = authentication.tag(channel.transcript(Party.ALICE), key)
    with pytest.raises(AuthenticationFailed):
        authentication.check(channel.transcript(Party.BOB), key, tag)


def test_swapped_messages_do_not_authenticate():
    first, second = Message(Party.ALICE, "a", b"1"), Message(Party.ALICE, "b", b"2")
    straight, swapped = Channel(), Channel()
    for message in (first, second):
        straight.send(message)
    for message in (second, first):
        swapped.send(message)
    key = bytes(range(32))
    tag = authentication.tag(straight.transcript(Party.ALICE), key)
    with pytest.raises(AuthenticationFailed):
        authentication.check(swapped.transcript(Party.BOB), key, tag)


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_key_of_wrong_length_is_refused(size):
    with pytest.raises(ValueError, match="`key` must have 32 bytes"):
        authentication.tag(b"", bytes(size))
    with pytest.raises(ValueError, match="`key` must have 32 bytes"):
        authentication.check(b"", bytes(size), bytes(16))


def test_error_says_nothing_of_key_or_tag():
    with pytest.raises(AuthenticationFailed) as caught:
        authentication.check(RFC_TEXT, RFC_KEY, bytes(16))
    assert str(caught.value) == "The tag does not match."


def test_session_consumes_two_keys_of_256_bits():
    assert authentication.AUTHENTICATION_BITS == 512


@pytest.mark.parametrize(("length", "chunks"), [(0, 0), (1, 1), (16, 1), (17, 2), (10**7, 625_000)])
def test_forgery_probability_is_bernsteins_bound(length, chunks):
    assert authentication.forgery_probability(length) == float(Fraction(8 * chunks, 2**106))


def test_negative_length_has_no_forgery_probability():
    with pytest.raises(ValueError, match="`length` must be finite and not negative"):
        authentication.forgery_probability(-1)
