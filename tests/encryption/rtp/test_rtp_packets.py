"""RTP packets and files of them."""

import io

import pytest

from e91.encryption.rtp import framed, read_framed, rtp_packet
from e91.encryption.rtp.rtp_packets import header_size, sequence_of, ssrc_of, timestamp_of


def test_a_packet_has_the_fields_of_rfc_3550():
    packet = rtp_packet(b"x", sequence=65_537, timestamp=2**32 + 5, ssrc=7, marker=True)
    assert packet.hex() == "80e000010000000500000007" + b"x".hex()
    assert (sequence_of(packet), timestamp_of(packet), ssrc_of(packet)) == (1, 5, 7)
    assert header_size(packet) == 12


@pytest.mark.parametrize(
    ("packet", "size"),
    [
        ("82e00001000000050000000700000001000000020a", 20),
        ("90e000010000000500000007bede0001000000000a", 20),
        ("91e00001000000050000000700000001bede0000", 20),
    ],
)
def test_a_header_ends_behind_sources_and_extension(packet, size):
    assert header_size(bytes.fromhex(packet)) == size
    with pytest.raises(ValueError, match="must be RTP"):
        header_size(bytes.fromhex(packet)[: size - 1])


def test_packets_come_back_from_a_file():
    packets = [rtp_packet(bytes(n), sequence=n, timestamp=0, ssrc=1) for n in range(5)]
    file = io.BytesIO(b"".join(map(framed, packets)))
    assert list(read_framed(file, name="video")) == packets


@pytest.mark.parametrize("cut", [1, 2, 9, 13])
def test_a_file_that_is_cut_is_refused(cut):
    whole = framed(rtp_packet(b"", sequence=0, timestamp=0, ssrc=1))
    with pytest.raises(ValueError, match="`video` must hold whole packets, but ends inside packet"):
        list(read_framed(io.BytesIO(whole + whole[:cut]), name="video"))


def test_a_file_of_something_else_is_refused():
    with pytest.raises(ValueError, match="but packet 1 is none"):
        list(read_framed(io.BytesIO(b"\0\x05hello"), name="video"))


def test_a_packet_beyond_its_length_field_is_refused():
    with pytest.raises(ValueError, match="at most 65,535 bytes"):
        framed(bytes(65_536))
