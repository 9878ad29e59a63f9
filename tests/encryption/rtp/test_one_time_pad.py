"""Packets under one-time pad: what is spent, what is refused, what is in the clear."""

import random

import pytest

from e91.encryption.rtp import PadContext, rtp_packet
from e91.model.errors import AuthenticationFailed, KeyUnavailable


def pad(size=4096):
    """Return bytes that no two runs of which are alike."""
    return random.Random(7).randbytes(size)


def packet(number, payload=b"twenty milliseconds!"):
    """Return a packet of sound."""
    return rtp_packet(payload, sequence=number, timestamp=160 * number, ssrc=81)


def test_a_payload_is_the_packet_xor_the_pad_that_it_names():
    content = pad()
    protected = PadContext(content).protect(packet(0), 0)
    assert protected[:12] == packet(0)[:12]
    assert protected[-4:] == bytes(4)
    plain = bytes(a ^ b for a, b in zip(protected[12:-20], content[32:], strict=False))
    assert plain == b"twenty milliseconds!"


def test_a_tag_is_poly1305_under_masked_bytes_of_the_pad():
    """Written out from the definition: RFC 8439, section 2.5.1."""
    content = pad()
    protected = PadContext(content).protect(packet(9), 9)
    key = bytes(a ^ b for a, b in zip(content[:32], content[-32:], strict=True))
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    message = protected[:-20] + protected[-4:] + b"P" + (9).to_bytes(8, "big")
    total = 0
    for begin in range(0, len(message), 16):
        block = message[begin : begin + 16] + b"\1"
        total = (total + int.from_bytes(block, "little")) * r % (2**130 - 5)
    tag = (total + int.from_bytes(key[16:], "little")) % 2**128
    assert protected[-20:-4] == tag.to_bytes(16, "little")


def test_lost_and_shuffled_packets_cost_only_themselves():
    sender, receiver, chance = PadContext(pad(60_000)), PadContext(pad(60_000)), random.Random(1)
    sent = [(n, sender.protect(packet(n), n)) for n in range(1000)]
    came = [each for each in sent if chance.random() > 0.2]
    chance.shuffle(came)
    assert all(receiver.unprotect(sealed, n) == packet(n) for n, sealed in came)


def test_every_flipped_bit_is_found():
    sealed = PadContext(pad()).protect(packet(5), 5)
    receiver = PadContext(pad())
    for place in range(8 * len(sealed)):
        altered = bytearray(sealed)
        altered[place // 8] ^= 1 << place % 8
        with pytest.raises((AuthenticationFailed, ValueError)):
            receiver.unprotect(bytes(altered), 5)
    assert receiver.unprotect(sealed, 5) == packet(5)


@pytest.mark.parametrize("size", range(20))
def test_a_short_packet_is_refused(size):
    with pytest.raises((AuthenticationFailed, ValueError)):
        PadContext(pad()).unprotect(bytes(size), 0)


def test_a_packet_opens_once_and_at_its_index():
    sealed, receiver = PadContext(pad()).protect(packet(5), 5), PadContext(pad())
    with pytest.raises(AuthenticationFailed):
        receiver.unprotect(sealed, 5 + 65_536)
    receiver.unprotect(sealed, 5)
    with pytest.raises(AuthenticationFailed):
        receiver.unprotect(sealed, 5)


def test_known_pad_makes_no_tag():
    """Whoever knows a payload knows its pad and may name it as a tag's key; the mask is unknown."""
    from cryptography.hazmat.primitives.poly1305 import Poly1305

    content, payload = pad(), bytes(range(64))
    sealed = PadContext(content).protect(packet(0, payload), 0)
    known = bytes(a ^ b for a, b in zip(sealed[12:-20], payload, strict=True))
    assert known == content[32:96]
    header, offset = packet(1, b"")[:12], (32).to_bytes(4, "big")
    forged = header + b"\0" * 20
    tag = Poly1305.generate_tag(known[:32], forged + offset + b"P" + (1).to_bytes(8, "big"))
    with pytest.raises(AuthenticationFailed):
        PadContext(content).unprotect(forged + tag + offset, 1)


def test_the_mask_is_never_a_pad():
    content = pad(400)
    sender = PadContext(content)
    used = bytearray()
    while sender.has_room(20):
        used += sender.protect(packet(0, bytes(20)), 0)[12:-20]
    assert content[-32:] not in used
    receiver = PadContext(content)
    beyond = (len(content) - 64).to_bytes(4, "big")
    with pytest.raises(AuthenticationFailed):
        receiver.unprotect(packet(0)[:12] + bytes(33 + 16) + beyond, 0)


def test_a_full_pad_is_refused_and_still_announces():
    context = PadContext(pad(400))
    while context.has_room(20):
        context.protect(packet(0), 0)
    with pytest.raises(KeyUnavailable, match="52 bytes of the pad must be left"):
        context.protect(packet(0), 0)
    for _ in range(4):
        assert PadContext(pad(400)).unprotect_control(context.protect_control(bytes(8))) == bytes(8)


def test_a_pad_for_no_packet_is_refused():
    with pytest.raises(ValueError, match="`pad` must have 193 to"):
        PadContext(bytes(192))


def test_used_pad_is_erased():
    content = pad()
    context = PadContext(content)
    context.protect(packet(0), 0)
    assert context._pad[:52] == bytes(52)
    assert context._pad[52:] == content[52:-32]
    assert content[100:108].hex() not in repr(context)
