"""SRTP against the vectors of its RFCs and against libsrtp."""

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e91.encryption.rtp import CallKey, SrtpContext, master_of, rtp_packet
from e91.encryption.rtp.srtp import derive, srtp_context
from e91.model.errors import AuthenticationFailed

SESSION = bytes(range(32)), bytes.fromhex("517569642070726f2071756f")
PACKET = bytes.fromhex("8040f17b8041f8d35501a0b2") + b"Gallia est omnis divisa in partes tres"


def test_the_packet_of_rfc_7714_section_16_2_1_comes_out_as_printed():
    expected = bytes.fromhex(
        "8040f17b8041f8d35501a0b232b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f"
        "1ba63799b87b7aa3db36dfffd6b0f9bb7878d7a76c13"
    )
    context = SrtpContext.of_session(*SESSION)
    assert context.protect(PACKET, 0xF17B) == expected
    assert context.unprotect(expected, 0xF17B) == PACKET


def test_session_keys_are_those_of_rfc_6188_section_7_3():
    """AES_256_CM_PRF with a 14-byte salt; from memory, and right to the last byte."""
    master = bytes.fromhex("f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6")
    salt = bytes.fromhex("3b04803de51ee7c96423ab5b78d2")
    assert derive(master, salt, label=0, size=32).hex() == (
        "5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4"
    )
    assert derive(master, salt, label=2, size=14).hex() == "fa31791685ca444a9e07c6c64e93"


def policy(master, *, inbound):
    """Return libsrtp's policy of AEAD_AES_256_GCM."""
    library = pytest.importorskip("pylibsrtp")
    kind = library.Policy.SSRC_ANY_INBOUND if inbound else library.Policy.SSRC_ANY_OUTBOUND
    profile = library.Policy.SRTP_PROFILE_AEAD_AES_256_GCM
    found = library.Policy(key=master, ssrc_type=kind, srtp_profile=profile)
    found.window_size = 1024
    return found


def libsrtp(master, *, inbound):
    """Return a session of libsrtp."""
    return pytest.importorskip("pylibsrtp").Session(policy(master, inbound=inbound))


def packets(count, *, first=0):
    """Yield packets with their index, of sizes from 0 to 99 bytes."""
    for index in range(first, first + count):
        yield (
            index,
            rtp_packet(bytes(index % 100), sequence=index, timestamp=160 * index, ssrc=81),
        )


@pytest.mark.parametrize("count", [2000, pytest.param(70_000, marks=pytest.mark.slow)])
def test_libsrtp_protects_alike_and_opens_over_a_wrap(count):
    master = secrets.token_bytes(44)
    own, sender, receiver = (
        SrtpContext(master),
        libsrtp(master, inbound=False),
        libsrtp(master, inbound=True),
    )
    first = 65_536 - 1000 if count < 65_536 else 0
    for index, packet in packets(count, first=first):
        protected = own.protect(packet, index)
        assert sender.protect(packet) == protected
        assert receiver.unprotect(protected) == packet
        assert own.unprotect(protected, index) == packet


def test_contributing_sources_and_extension_stay_in_the_clear_as_in_libsrtp():
    master = secrets.token_bytes(44)
    head = bytes.fromhex("92e00001000000a000000051") + b"\1\1\1\1\2\2\2\2"
    packet = head + bytes.fromhex("bede0001") + b"\x10\xff\0\0" + b"sound"
    protected = SrtpContext(master).protect(packet, 1)
    assert protected[: len(packet) - 5] == packet[:-5]
    assert protected == libsrtp(master, inbound=False).protect(packet)


def test_libsrtp_opens_control_packets_that_are_authenticated_in_the_clear():
    master = secrets.token_bytes(44)
    packet = bytes.fromhex("80cc0003000000514539314b") + b"keys"
    own, receiver = SrtpContext(master), libsrtp(master, inbound=True)
    for _ in range(3):
        protected = own.protect_control(packet)
        assert receiver.unprotect_rtcp(protected) == packet
        assert own.unprotect_control(protected) == packet


def test_the_tag_only_packet_has_the_nonce_of_rfc_7714_section_17():
    """The sections print the nonce of SRTCP index 0x5d4: 517524055203726f207170bb."""
    context = SrtpContext.of_session(*SESSION)
    packet = bytes.fromhex("81c8000d4d617273")
    nonce = context._control_nonce(packet, bytes.fromhex("000005d4"))
    assert nonce.hex() == "517524055203726f207170bb"


def test_an_encrypted_control_packet_is_refused():
    protected = bytearray(SrtpContext(bytes(44)).protect_control(bytes(12)))
    protected[-4] |= 0x80
    with pytest.raises(AuthenticationFailed):
        SrtpContext(bytes(44)).unprotect_control(bytes(protected))


@given(st.integers(0, 8 * 66 - 1))
def test_every_flipped_bit_is_found(place):
    context = SrtpContext(bytes(44))
    protected = bytearray(context.protect(PACKET, 0xF17B))
    protected[place // 8] ^= 1 << place % 8
    with pytest.raises((AuthenticationFailed, ValueError)):
        context.unprotect(bytes(protected), 0xF17B)


def test_a_packet_opens_at_its_index_alone():
    context = SrtpContext(bytes(44))
    protected = context.protect(PACKET, 0xF17B)
    with pytest.raises(AuthenticationFailed):
        context.unprotect(protected, 0xF17B + 65_536)


def test_the_master_key_depends_on_the_key_and_its_name():
    masters = {
        master_of(CallKey(name, content))
        for name in ("one", "two")
        for content in (bytes(32), bytes(31) + b"\1")
    }
    assert len(masters) == 4
    assert {len(master) for master in masters} == {44}


def test_the_master_key_is_hkdf_written_out():
    """RFC 5869 by hand: extract with a salt of zeros, two blocks of expand."""
    import hashlib
    import hmac

    def mac(key, content):
        return hmac.new(key, content, hashlib.sha256).digest()

    secret, info = mac(bytes(32), b"k" * 32), b"E91 SRTP AEAD_AES_256_GCM\0id"
    first = mac(secret, info + b"\1")
    expected = (first + mac(secret, first + info + b"\2"))[:44]
    assert master_of(CallKey("id", b"k" * 32)) == expected


@pytest.mark.parametrize("size", [31, 33])
def test_a_key_of_another_size_is_refused(size):
    with pytest.raises(ValueError, match="`key` must have 32 bytes"):
        srtp_context(CallKey("id", bytes(size)))


@pytest.mark.parametrize("size", [43, 46])
def test_a_master_key_of_another_size_is_refused(size):
    with pytest.raises(ValueError, match="`master` must have 44 bytes"):
        SrtpContext(bytes(size))


@pytest.mark.parametrize("packet", [b"", b"\x80" * 11, b"\x00" * 20, b"\x8f" + bytes(12)])
def test_what_is_no_rtp_packet_is_refused(packet):
    with pytest.raises(ValueError, match="must be RTP"):
        SrtpContext(bytes(44)).protect(packet, 0)


def test_nothing_shows_key_bits():
    shown = repr(SrtpContext(b"A" * 44)) + repr(CallKey("id", b"A" * 32))
    assert "A" * 8 not in shown
    assert "41" * 4 not in shown
