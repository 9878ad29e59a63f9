"""RTP packets: their header, and whole streams of them in files.

Source:
    RFC 3550, section 5.1 (header) and 5.3.1 (extension); RFC 5761, section 4 (which packets are
    RTCP); RFC 4571, section 2 (a stream of packets, each behind its length).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

FIXED_HEADER = struct.Struct(">BBHII")
"""Version, padding, extension and CSRC count; marker and payload type; sequence number;
timestamp; SSRC."""

LARGEST_PACKET = 65_000
"""Bytes of a packet: what a UDP datagram holds, with room for tag and key identifier."""

_VERSION = 2
_NOT_RTP = "A packet must be RTP of version 2 with its whole header, but is not."


def header_size(packet: bytes) -> int:
    """Return how many bytes of an RTP packet are its header, CSRC list and extension included.

    Raises:
        ValueError: It is no RTP packet.

    Examples:
        >>> header_size(rtp_packet(b"sound", sequence=1, timestamp=0, ssrc=7))
        12
    """
    size = FIXED_HEADER.size
    if len(packet) < size or packet[0] >> 6 != _VERSION:
        raise ValueError(_NOT_RTP)
    first = packet[0]
    if not first & 0x1F:  # most have neither CSRC list nor extension
        return size
    size += 4 * (first & 0x0F)
    if first & 0x10:
        size += 4 + 4 * int.from_bytes(packet[size + 2 : size + 4], "big")
    if size > len(packet):
        raise ValueError(_NOT_RTP)
    return size


def is_control(packet: bytes) -> bool:
    """Return whether a packet is RTCP, which shares a port with RTP."""
    return len(packet) > 1 and 192 <= packet[1] <= 223


def sequence_of(packet: bytes) -> int:
    """Return the 16-bit sequence number."""
    return packet[2] << 8 | packet[3]


def timestamp_of(packet: bytes) -> int:
    """Return the 32-bit timestamp."""
    return int.from_bytes(packet[4:8], "big")


def ssrc_of(packet: bytes) -> int:
    """Return the synchronisation source."""
    return int.from_bytes(packet[8:12], "big")


def rtp_packet(
    payload: bytes,
    *,
    sequence: int,
    timestamp: int,
    ssrc: int,
    payload_type: int = 96,
    marker: bool = False,
) -> bytes:
    """Return an RTP packet without CSRC list or extension.

    Args:
        payload: What it carries.
        sequence: Of the packet; its lower 16 bits go into the header.
        timestamp: Its lower 32 bits go into the header.
        ssrc: Synchronisation source, 32 bits.
        payload_type: 7 bits; from 96 it means what the two ends agree on.
        marker: The payload's own mark.

    Returns:
        The header of 12 bytes, then the payload.

    Source:
        RFC 3550, section 5.1.

    Examples:
        >>> rtp_packet(b"sound", sequence=1, timestamp=160, ssrc=7).hex()
        '80600001000000a000000007736f756e64'
    """
    second = payload_type | marker << 7
    stamp = timestamp & 0xFFFFFFFF
    return FIXED_HEADER.pack(_VERSION << 6, second, sequence & 0xFFFF, stamp, ssrc) + payload


def framed(packet: bytes) -> bytes:
    r"""Return a packet behind its length, as a file of packets holds it.

    Args:
        packet: At most 65,535 bytes.

    Returns:
        Its length in 2 bytes, big-endian, and the packet.

    Raises:
        ValueError: It is longer than 65,535 bytes.

    Source:
        RFC 4571, section 2.

    Examples:
        >>> framed(b"abc")
        b'\x00\x03abc'
    """
    if len(packet) > 0xFFFF:
        raise ValueError(f"A packet must have at most 65,535 bytes, but has {len(packet):,}.")
    return len(packet).to_bytes(2, "big") + packet


def read_framed(file: BinaryIO, *, name: str) -> Iterator[bytes]:
    """Yield the packets of a file in which each stands behind its length.

    GStreamer's ``rtpstreampay`` writes such files.

    Args:
        file: Open for reading.
        name: What sentences call it.

    Yields:
        Every packet without its length.

    Raises:
        ValueError: It ends inside a packet, or one is no RTP packet.

    Source:
        RFC 4571, section 2.

    Examples:
        >>> import io
        >>> packets = [rtp_packet(b"sound", sequence=n, timestamp=n, ssrc=7) for n in range(3)]
        >>> file = io.BytesIO(b"".join(map(framed, packets)))
        >>> list(read_framed(file, name="packets")) == packets
        True
    """
    number = 0
    while length := file.read(2):
        number += 1
        size = int.from_bytes(length, "big")
        packet = file.read(size) if len(length) == 2 else b""
        if len(length) < 2 or len(packet) < size:
            raise ValueError(f"`{name}` must hold whole packets, but ends inside packet {number}.")
        try:
            header_size(packet)
        except ValueError:
            raise ValueError(
                f"`{name}` must hold RTP packets, each behind its length in 2 bytes (RFC 4571), "
                f"but packet {number} is none."
            ) from None
        yield packet
