"""RTP packets under one-time pad, each with a tag of its own and the pad's offset in the clear.

A packet that is lost costs itself and nothing else, as each says which bytes of the pad it uses::

    RTP header | payload XOR pad | tag, 16 | offset in the pad, 4

A payload of n bytes uses n + 32 bytes of the pad from its offset: 32 for its tag's key, then n for
its payload.  The tag is Poly1305 (RFC 8439, section 2.5) with a key of its own for every packet,
over header, encrypted payload, offset and the packet's index in the call.  A forgery succeeds with
probability at most 8 q / 2**106 a try, q = ceil((size + 13) / 16); see `e91.encryption.cipher`.

**Why a mask.**  Eve may know a packet's payload, and so its pad, and name these bytes as a tag's
key in a packet of her own.  The last 32 bytes of every pad encrypt nothing: they are added (XOR) to
the 32 bytes of every tag, and so make all that Eve can name uniform for her.  They are never sent.

Nothing but payload is under the pad: header, tag and offset are in the clear.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.constant_time import bytes_eq
from cryptography.hazmat.primitives.poly1305 import Poly1305

from e91.encryption.rtp.call_keys import CallKey
from e91.encryption.rtp.rtp_packets import header_size
from e91.model.errors import AuthenticationFailed, KeyUnavailable

TAG_KEY_SIZE = 32
"""Bytes of the pad that a packet's tag uses."""

TAG_SIZE = 16
OFFSET_SIZE = 4

_KEPT_FOR_CONTROL = 4 * TAG_KEY_SIZE  # so that a full pad can still say what follows it
_NOT_AUTHENTIC = "The packet must be authentic under this key, but is not."
_SMALLEST = TAG_KEY_SIZE + _KEPT_FOR_CONTROL + TAG_KEY_SIZE + 1


class PadContext:
    """A pad that packets use up; at the receiver, one that gives every byte once.

    Args:
        pad: Its bytes; the last 32 are the mask.

    Raises:
        ValueError: It is too short for any packet.

    Source:
        Poly1305: RFC 8439, section 2.5; the bound on forgery is at the top of this file.

    Examples:
        >>> from e91.encryption.rtp.rtp_packets import rtp_packet
        >>> packet = rtp_packet(b"sound", sequence=1, timestamp=0, ssrc=7)
        >>> alice, bob = PadContext(bytes(4096)), PadContext(bytes(4096))  # a real pad is secret
        >>> sealed = alice.protect(packet, 1)
        >>> len(sealed) - len(packet), bob.unprotect(sealed, 1) == packet
        (20, True)
        >>> bob
        PadContext(4,027 of 4,064 bytes left)
    """

    def __init__(self, pad: bytes) -> None:
        if not _SMALLEST <= len(pad) < 2**32:
            raise ValueError(
                f"`pad` must have {_SMALLEST} to {2**32 - 1} bytes, but has {len(pad):,}."
            )
        self._pad = bytearray(pad[:-TAG_KEY_SIZE])
        self._mask = int.from_bytes(pad[-TAG_KEY_SIZE:], "big")
        self._used = bytearray(len(self._pad))
        self._offset = 0

    def __repr__(self) -> str:
        return f"PadContext({len(self._pad) - sum(self._used):,} of {len(self._pad):,} bytes left)"

    def has_room(self, size: int) -> bool:
        """Return whether a payload of some size may still be protected.

        Args:
            size: Of the payload, bytes.
        """
        return self._offset + TAG_KEY_SIZE + size <= len(self._pad) - _KEPT_FOR_CONTROL

    def protect(self, packet: bytes, index: int) -> bytes:
        """Return an RTP packet encrypted, with tag and offset.

        Args:
            packet: The packet; its header stays in the clear and is authenticated.
            index: Of the packet, in the call.

        Raises:
            ValueError: It is no RTP packet.
            KeyUnavailable: Too little pad is left; none is used.
        """
        head = header_size(packet)
        offset, tag_key, pad = self._take(len(packet) - head)
        sealed = packet[:head] + _xor(packet[head:], pad)
        return sealed + _tag(tag_key, sealed, offset, b"P" + index.to_bytes(8, "big")) + offset

    def unprotect(self, packet: bytes, index: int) -> bytes:
        """Return the RTP packet that was protected, and use up its part of the pad.

        Args:
            packet: What `protect` gave.
            index: Of the packet, in the call.

        Raises:
            ValueError: It is no RTP packet.
            AuthenticationFailed: The tag is wrong, or that part was used before; none is used.
        """
        sealed, tag, offset = _parts(packet)
        head = header_size(sealed)
        tag_key, pad = self._peek(offset, len(sealed) - head)
        _check(tag, _tag(tag_key, sealed, offset, b"P" + index.to_bytes(8, "big")))
        self._use(int.from_bytes(offset, "big"), TAG_KEY_SIZE + len(pad))
        return sealed[:head] + _xor(sealed[head:], pad)

    def protect_control(self, packet: bytes) -> bytes:
        """Return an RTCP packet with tag and offset, in the clear.

        Args:
            packet: RTCP.

        Raises:
            KeyUnavailable: Too little pad is left.
        """
        offset, tag_key, _ = self._take(0, kept=0)
        return packet + _tag(tag_key, packet, offset, b"C") + offset

    def unprotect_control(self, packet: bytes) -> bytes:
        """Return an RTCP packet that was authenticated in the clear; it may come again.

        Args:
            packet: What `protect_control` gave.

        Raises:
            AuthenticationFailed: The tag is wrong, or its key has protected something else.
        """
        body, tag, offset = _parts(packet)
        tag_key, _ = self._peek(offset, 0)
        _check(tag, _tag(tag_key, body, offset, b"C"))
        return body

    def _take(self, size: int, *, kept: int = _KEPT_FOR_CONTROL) -> tuple[bytes, bytes, bytes]:
        offset = self._offset
        end = offset + TAG_KEY_SIZE + size
        if end > len(self._pad) - kept:
            raise KeyUnavailable(
                f"{TAG_KEY_SIZE + size:,} bytes of the pad must be left for a packet, but are not."
            )
        self._offset = end
        place = offset.to_bytes(OFFSET_SIZE, "big")
        tag_key, pad = self._peek(place, size)
        self._use(offset, end - offset)
        return place, tag_key, pad

    def _peek(self, place: bytes, size: int) -> tuple[bytes, bytes]:
        """Return the key of a tag and the pad of a payload."""
        begin = int.from_bytes(place, "big")
        middle, end = begin + TAG_KEY_SIZE, begin + TAG_KEY_SIZE + size
        if end > len(self._pad) or 1 in self._used[begin:end]:
            raise AuthenticationFailed(_NOT_AUTHENTIC)
        masked = int.from_bytes(self._pad[begin:middle], "big") ^ self._mask
        return masked.to_bytes(TAG_KEY_SIZE, "big"), bytes(self._pad[middle:end])

    def _use(self, begin: int, size: int) -> None:
        self._used[begin : begin + size] = b"\1" * size
        self._pad[begin : begin + size] = bytes(size)


def pad_context(key: CallKey) -> PadContext:
    """Return the context of a delivered pad."""
    return PadContext(key.content)


def _parts(packet: bytes) -> tuple[bytes, bytes, bytes]:
    """Return what is authenticated, the tag, and the offset."""
    end = len(packet) - TAG_SIZE - OFFSET_SIZE
    if end < 0:
        raise AuthenticationFailed(_NOT_AUTHENTIC)
    return packet[:end], packet[end:-OFFSET_SIZE], packet[-OFFSET_SIZE:]


def _tag(key: bytes, sealed: bytes, offset: bytes, end: bytes) -> bytes:
    # What stands behind has one length for each kind, and a header says its own, so that all of it
    # has one reading only.
    tag = Poly1305(key)
    tag.update(sealed)
    tag.update(offset)
    tag.update(end)
    return tag.finalize()


def _check(tag: bytes, expected: bytes) -> None:
    if not bytes_eq(tag, expected):
        raise AuthenticationFailed(_NOT_AUTHENTIC)


def _xor(left: bytes, right: bytes) -> bytes:
    joined = int.from_bytes(left, "big") ^ int.from_bytes(right, "big")
    return joined.to_bytes(len(left), "big")
