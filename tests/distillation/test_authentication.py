"""Transcript tags: every alteration is noticed, and the bound on forgeries is Bernstein's."""

import pickle
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e91.distillation import authentication
from e91.distillation.authentication import AuthenticationKey, PublicKey
from e91.model.errors import AlreadyUsed, AuthenticationFailed
from e91.model.messages import Channel, Message, Party

# RFC 8439, section 2.5.2.
RFC_KEY = bytes.fromhex("85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b")
RFC_TEXT = b"Cryptographic Forum Research Group"
RFC_TAG = bytes.fromhex("a8061dc1305136c6c22b8baf0c0127a9")

ALICE = Party.ALICE


def poly1305(text, key):
    """The definition in RFC 8439, section 2.5, in whole numbers."""
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    sum_ = 0
    for start in range(0, len(text), 16):
        sum_ = (
            (sum_ + int.from_bytes(text[start : start + 16] + b"\1", "little")) * r % (2**130 - 5)
        )
    return ((sum_ + int.from_bytes(key[16:], "little")) % 2**128).to_bytes(16, "little")


TAG = authentication.tag(RFC_TEXT, RFC_KEY, role=ALICE)


def test_second_implementation_is_that_of_rfc_8439():
    assert poly1305(RFC_TEXT, RFC_KEY) == RFC_TAG


@pytest.mark.parametrize("role", Party)
def test_tag_is_poly1305_of_role_and_transcript(role):
    covered = f"e91 tag of {role.value}".ljust(16).encode() + RFC_TEXT
    assert authentication.tag(RFC_TEXT, RFC_KEY, role=role) == poly1305(covered, RFC_KEY)


def test_true_tag_passes():
    authentication.check(RFC_TEXT, RFC_KEY, TAG, role=ALICE)


def test_tag_of_the_other_role_is_refused():
    with pytest.raises(AuthenticationFailed):
        authentication.check(RFC_TEXT, RFC_KEY, TAG, role=Party.BOB)


@given(st.integers(0, 8 * len(RFC_TEXT) - 1))
def test_any_altered_bit_of_the_transcript_is_noticed(bit):
    altered = bytearray(RFC_TEXT)
    altered[bit // 8] ^= 1 << bit % 8
    with pytest.raises(AuthenticationFailed):
        authentication.check(bytes(altered), RFC_KEY, TAG, role=ALICE)


def test_any_altered_bit_of_the_tag_is_noticed():
    for bit in range(128):
        altered = bytearray(TAG)
        altered[bit // 8] ^= 1 << bit % 8
        with pytest.raises(AuthenticationFailed):
            authentication.check(RFC_TEXT, RFC_KEY, bytes(altered), role=ALICE)


@pytest.mark.parametrize("received", [b"", TAG[:-1], TAG + b"\x00", RFC_TAG, bytes(16)])
def test_missing_or_truncated_tag_is_refused(received):
    with pytest.raises(AuthenticationFailed):
        authentication.check(RFC_TEXT, RFC_KEY, received, role=ALICE)


def test_the_other_partys_tag_reflected_is_refused():
    alice, bob = bytes(range(32)), bytes(range(32, 64))
    reflected = authentication.tag(RFC_TEXT, alice, role=ALICE)
    with pytest.raises(AuthenticationFailed):
        authentication.check(RFC_TEXT, bob, reflected, role=ALICE)


@pytest.mark.parametrize(
    "meddle",
    [
        lambda m: Message(m.sender, m.subject, m.body + b"\x00"),
        lambda m: None,
    ],
)
def test_transcripts_of_a_meddled_channel_do_not_authenticate_each_other(meddle):
    channel = Channel(transmission=meddle)
    channel.send(Message(Party.ALICE, "settings", b"\x01\x02"))
    key = bytes(range(32))
    tag = authentication.tag(channel.transcript(ALICE), key, role=ALICE)
    with pytest.raises(AuthenticationFailed):
        authentication.check(channel.transcript(Party.BOB), key, tag, role=ALICE)


@pytest.mark.parametrize(
    "arrives",
    [
        lambda m: Message(m.sender.peer, m.subject, m.body),
        lambda m: Message(m.sender, "sample", m.body),
        lambda m: Message(m.sender, m.subject, bytearray(m.body)),
        lambda m: m.body,
    ],
)
def test_what_arrives_under_another_sender_subject_or_kind_is_no_message(arrives):
    with pytest.raises(AuthenticationFailed, match="none any more"):
        Channel(transmission=arrives).send(Message(Party.ALICE, "settings", b"01"))


@pytest.mark.parametrize("sender", list(Party))
def test_exchanged_tags_find_what_was_altered_before(sender):
    def altered(message):
        said = b"10" if message.subject == "settings" else message.body
        return Message(message.sender, message.subject, said)

    for transmission, is_honest in ((altered, False), (lambda message: message, True)):
        channel = Channel(transmission=transmission)
        channel.send(Message(sender, "settings", b"01"))
        if is_honest:
            assert len(authentication.exchange_tags(channel, bytes(range(64)))) == 32
        else:
            with pytest.raises(AuthenticationFailed, match="tag does not match"):
                authentication.exchange_tags(channel, bytes(range(64)))


def test_swapped_messages_do_not_authenticate():
    first, second = Message(Party.ALICE, "a", b"1"), Message(Party.ALICE, "b", b"2")
    straight, swapped = Channel(), Channel()
    for message in (first, second):
        straight.send(message)
    for message in (second, first):
        swapped.send(message)
    key = bytes(range(32))
    tag = authentication.tag(straight.transcript(ALICE), key, role=ALICE)
    with pytest.raises(AuthenticationFailed):
        authentication.check(swapped.transcript(Party.BOB), key, tag, role=ALICE)


# Tags of a transcript that is not kept ------------------------------------------------------------

SECRET = bytes(range(64))
SAID = [
    Message(Party.ALICE, "settings", b"\x01" * 5000),
    Message(Party.BOB, "settings", b"\x02" * 5000),
    Message(Party.ALICE, "parity", b"1"),
    Message(Party.BOB, "parity", b"0"),
]


def listened(transmission):
    """A channel whose transcript is not kept, after both parties spoke."""
    channel = Channel(transmission, listener=authentication.RunningTags(SECRET))
    for message in SAID:
        channel.send(message)
    return channel


def test_running_tags_are_those_of_a_kept_transcript():
    kept = Channel()
    for message in SAID:
        kept.send(message)
    tags = authentication.exchange_tags(listened(lambda message: message), SECRET)
    assert tags == authentication.exchange_tags(kept, SECRET)


@pytest.mark.parametrize("party", Party)
@pytest.mark.parametrize(
    "alter",
    [
        lambda tag: bytes([tag[0] ^ 1]) + tag[1:],
        lambda tag: tag[:-1] + bytes([tag[-1] ^ 0x80]),
        lambda tag: tag[:-1],
        lambda tag: tag + b"\0",
        lambda tag: b"",
    ],
    ids=["first bit", "last bit", "shorter", "longer", "none"],
)
@pytest.mark.parametrize("kept", [False, True])
def test_each_partys_altered_tag_is_noticed_running_or_kept(party, alter, kept):
    def transmission(message):
        if (message.sender, message.subject) != (party, "tag"):
            return message
        return Message(message.sender, message.subject, alter(message.body))

    channel = Channel(transmission) if kept else listened(transmission)
    with pytest.raises(AuthenticationFailed):
        authentication.exchange_tags(channel, SECRET)


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_key_of_wrong_length_is_refused(size):
    with pytest.raises(ValueError, match="`key` must have 32 bytes"):
        authentication.tag(b"", bytes(size), role=ALICE)
    with pytest.raises(ValueError, match="`key` must have 32 bytes"):
        authentication.check(b"", bytes(size), bytes(16), role=ALICE)


def test_error_says_nothing_of_key_or_tag():
    with pytest.raises(AuthenticationFailed) as caught:
        authentication.check(RFC_TEXT, RFC_KEY, bytes(16), role=ALICE)
    assert str(caught.value) == "The tag does not match."


def test_session_consumes_two_keys_of_256_bits():
    assert authentication.AUTHENTICATION_BITS == 512


@pytest.mark.parametrize(("length", "chunks"), [(0, 0), (1, 1), (16, 1), (17, 2), (10**7, 625_000)])
def test_forgery_probability_is_bernsteins_bound(length, chunks):
    assert authentication.forgery_probability(length) == float(Fraction(8 * chunks, 2**106))


def test_negative_length_has_no_forgery_probability():
    with pytest.raises(ValueError, match="`length` must be finite and not negative"):
        authentication.forgery_probability(-1)


# A key is used up ---------------------------------------------------------------------------------


def test_key_is_taken_once_as_a_value_and_by_its_bytes():
    secret = bytes(range(64))
    key, same = AuthenticationKey(secret), AuthenticationKey(bytes(bytearray(secret)))
    assert (key.is_used, same.is_used) == (False, False)
    assert key.take() == secret
    for used in (key, same, AuthenticationKey(secret), pickle.loads(pickle.dumps(same))):
        assert used.is_used
        with pytest.raises(AlreadyUsed, match="must serve one session"):
            used.take()
    assert not AuthenticationKey(bytes(64)).is_used


def test_key_that_everybody_knows_is_not_used_up():
    key = PublicKey(bytes(64))
    assert [key.take() for _ in range(2)] == [bytes(64)] * 2


def test_key_shows_no_bit_of_itself():
    assert repr(AuthenticationKey(b"S" * 64)) == "AuthenticationKey(64 bytes)"


@pytest.mark.parametrize("given", [bytearray(64), "x" * 64, 64, memoryview(bytes(64))])
def test_key_that_is_no_bytes_is_refused(given):
    with pytest.raises(ValueError, match="`authentication_key` must be bytes, but is a"):
        AuthenticationKey(given)


@pytest.mark.parametrize("size", [0, 32, 63, 65])
def test_preshared_key_of_wrong_length_is_refused(size):
    with pytest.raises(ValueError, match=f"must have 64 bytes, but has {size}"):
        AuthenticationKey(bytes(size))
