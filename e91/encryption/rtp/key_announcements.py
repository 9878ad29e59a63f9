"""What a sender says of its keys beside the packets: their IDs, ahead of their use.

An announcement is an RTCP packet of the kind APP, called ``E91K``, in the clear: key IDs are
public.  It is authenticated under the current key, as every RTCP packet of SRTP must be.  Its data,
numbers big-endian::

    version 1 | flags: 1 last | keys | bytes of the media's name | index of the next packet, 8
    first timestamp, 4 | timestamps that have passed, 8 | media's name
    for every key: bytes of its ID | ID
    zeros up to a multiple of 4 bytes

Source:
    RFC 3550, section 6.7 (APP); RFC 5506 (a reduced RTCP packet alone); RFC 5761 (RTP and RTCP on
    one port).
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

from e91.encryption.rtp.call_keys import is_key_id

MKI_SIZE = 4
"""Bytes behind a packet that say which key protects it (RFC 3711, section 3.1)."""

_HEADER = struct.Struct(">BBHI4s")
_DATA = struct.Struct(">BBBBQIQ")
_APP, _NAME, _VERSION = 204, b"E91K", 1
_MOST_KEYS = 4
_NOT_ONE = "An announcement of keys must be whole and of version 1, but is not."


def mki_of(key_id: str) -> bytes:
    """Return the 4-byte master key identifier (MKI) of a key ID.

    It follows from the ID, so nobody can make a packet's identifier mean another key.  Keys that
    share one, by a chance of 2**-32 a pair, never follow each other: the sender takes the next.

    Args:
        key_id: ASCII; see `CallKey`.

    Returns:
        4 bytes: the first ones of a SHA-256 of the ID.

    Source:
        RFC 3711, section 3.1, has this identifier behind every packet and leaves its value open.

    Examples:
        >>> len(mki_of("6f1e0a32-0000-4000-8000-000000000007"))
        4
    """
    return hashlib.sha256(b"E91 MKI\0" + key_id.encode("ascii")).digest()[:MKI_SIZE]


@dataclass(frozen=True)
class Announcement:
    """What a sender says of its call.

    Attributes:
        ssrc: Its stream.
        index: Of the packet that comes next.
        first_timestamp: Of the call's first packet.
        elapsed: Timestamps from there to the next packet.
        media: What the packets carry, as SDP says it: ``"L16/48000/2"``.
        key_ids: The current key, then the next one if it is there.
        is_last: Whether no packet comes any more.

    Source:
        RFC 3550, section 6.7 (APP packets); the data in it are described at the top of this file.

    Examples:
        >>> said = Announcement(7, 300, 0, 48_000, "L16/48000/1", ("one", "two"))
        >>> said.encode()[:12].hex()  # APP, 13 words follow, SSRC, name "E91K"
        '80cc000d000000074539314b'
    """

    ssrc: int
    index: int
    first_timestamp: int
    elapsed: int
    media: str
    key_ids: tuple[str, ...]
    is_last: bool = False

    def encode(self) -> bytes:
        """Return it as an RTCP packet."""
        media = self.media.encode("ascii")
        fixed = (_VERSION, int(self.is_last), len(self.key_ids), len(media))
        numbers = (self.index, self.first_timestamp, self.elapsed)
        keys = (key_id.encode("ascii") for key_id in self.key_ids)
        data = _DATA.pack(*fixed, *numbers) + media + b"".join(map(_counted, keys))
        data += bytes(-len(data) % 4)
        words = (_HEADER.size + len(data)) // 4 - 1
        return _HEADER.pack(0x80, _APP, words, self.ssrc, _NAME) + data


def read_announcement(packet: bytes) -> Announcement:
    """Return the announcement at the beginning of some bytes; whose it is, a tag must show.

    Args:
        packet: An RTCP packet; what stands behind it is not looked at.

    Returns:
        What the packet says; not authenticated by this.

    Raises:
        ValueError: It is none.

    Examples:
        >>> said = Announcement(7, 300, 0, 48_000, "L16/48000/1", ("one", "two"))
        >>> read_announcement(said.encode()) == said
        True
    """
    try:
        return _read(packet)
    except (struct.error, UnicodeDecodeError, IndexError):
        raise ValueError(_NOT_ONE) from None


def _read(packet: bytes) -> Announcement:
    first, kind, words, ssrc, name = _HEADER.unpack_from(packet)
    data = packet[_HEADER.size : 4 * words + 4]
    version, flags, keys, size, index, stamp, elapsed = _DATA.unpack_from(data)
    if (first, kind, name, version) != (0x80, _APP, _NAME, _VERSION) or keys > _MOST_KEYS:
        raise ValueError(_NOT_ONE)
    place = _DATA.size + size
    media, key_ids = data[_DATA.size : place].decode("ascii"), []
    for _ in range(keys):
        end = place + 1 + data[place]
        key_ids.append(data[place + 1 : end].decode("ascii"))
        place = end
    if place > len(data) or not all(map(is_key_id, key_ids)):
        raise ValueError(_NOT_ONE)
    return Announcement(ssrc, index, stamp, elapsed, media, tuple(key_ids), bool(flags & 1))


def _counted(text: bytes) -> bytes:
    return bytes([len(text)]) + text
