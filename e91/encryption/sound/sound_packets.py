"""Sound in RTP packets of linear samples, and back by their timestamps.

Source:
    RFC 3551, section 4.5.11 (L16); RFC 3190, section 4 (L24): samples signed, big-endian, frame by
    frame; the timestamp counts frames.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from e91.encryption.rtp.rtp_packets import header_size, rtp_packet, timestamp_of
from e91.encryption.sound.wav_files import Sound

LARGEST_PAYLOAD = 1200
"""Bytes of sound in a packet at most, so that it crosses every path in one piece."""

PACKET_S = 0.02
"""Seconds of sound in a packet, if they fit."""

_MEDIA = re.compile(r"L(16|24)/([1-9][0-9]{0,9})/([1-9][0-9]{0,4})", re.ASCII)
_MOST_BYTES = 2**32 - 64  # what a WAV file can hold


def media_of(sound: Sound) -> str:
    """Return how SDP says what a sound is.

    Args:
        sound: Its samples are not looked at.

    Returns:
        Encoding, clock rate in frames a second, and channels.

    Source:
        RFC 8866, section 6.6 (rtpmap); RFC 3551, section 4.5.11 (L16); RFC 3190, section 4 (L24).

    Examples:
        >>> media_of(Sound(11025, 7, 24, b""))
        'L24/11025/7'
    """
    return f"L{sound.bits}/{sound.rate}/{sound.channels}"


def frames_per_packet(sound: Sound) -> int:
    """Return how many frames go into a packet.

    Raises:
        ValueError: Not one does.
    """
    most = LARGEST_PAYLOAD // sound.frame_bytes
    if not most:
        raise ValueError(
            f"A frame must have at most {LARGEST_PAYLOAD:,} bytes to fit into a packet, but "
            f"{sound.channels:,} channels of {sound.bits} bits have {sound.frame_bytes:,}."
        )
    return min(most, max(1, round(sound.rate * PACKET_S)))


def sound_packets(
    sound: Sound, *, ssrc: int, sequence: int = 0, timestamp: int = 0
) -> Iterator[tuple[float, bytes]]:
    """Yield the packets of a sound, each with its time in seconds from the beginning.

    Args:
        sound: What they carry; the last packet may be shorter.
        ssrc: Of the stream.
        sequence: Number of the first packet.
        timestamp: Of the first packet.

    Yields:
        Time of the packet's first frame, seconds; RTP packet of at most 20 ms and 1,200 bytes.

    Raises:
        ValueError: Not one frame fits into a packet.

    Source:
        RFC 3551, section 4.5.11 (L16); RFC 3190, section 4 (L24).

    Examples:
        >>> sound = Sound(8000, 1, 16, bytes(800))  # 50 ms
        >>> [(time_s, len(packet)) for time_s, packet in sound_packets(sound, ssrc=7)]
        [(0.0, 332), (0.02, 332), (0.04, 172)]
    """
    step = frames_per_packet(sound)
    content, size = _reversed(sound.pcm, sound.bits), step * sound.frame_bytes
    for number, place in enumerate(range(0, len(content), size)):
        packet = rtp_packet(
            content[place : place + size],
            sequence=sequence + number,
            timestamp=timestamp + number * step,
            ssrc=ssrc,
            marker=number == 0,
        )
        yield number * step / sound.rate, packet


@dataclass(frozen=True, eq=False)
class RecoveredSound:
    """What came of a sound.

    Attributes:
        sound: All of it in time; what did not come is silence.
        gaps: Half-open intervals of frames that did not come, ascending.
        key_starts: Every key with the first frame that came under it, ascending.

    Examples:
        >>> sound = Sound(8000, 1, 16, bytes(1600))
        >>> RecoveredSound(sound, gaps=((160, 320), (480, 640))).missing
        320
    """

    sound: Sound
    gaps: tuple[tuple[int, int], ...]
    key_starts: tuple[tuple[int, str], ...] = ()

    @property
    def missing(self) -> int:
        """How many frames did not come."""
        return sum(end - begin for begin, end in self.gaps)


class SoundTrack:
    """Puts the samples of packets where their timestamps say.

    Packets may come in any order.  Nothing is resampled: the sound is in the sender's time, so a
    receiver's clock that drifts changes nothing.

    Args:
        media: What the packets carry: ``"L16/48000/2"``.
        first_timestamp: Of the first packet.

    Raises:
        ValueError: ``media`` is no sound that a call carries.

    Examples:
        >>> sound = Sound(8000, 1, 16, bytes(1600))
        >>> track = SoundTrack(media_of(sound))
        >>> packets = [packet for _, packet in sound_packets(sound, ssrc=7)]
        >>> for packet in (packets[3], packets[0], packets[1]):  # the third and the last are lost
        ...     track.add(packet)
        >>> track.recovered(len(sound)).gaps
        ((320, 480), (640, 800))
    """

    def __init__(self, media: str, *, first_timestamp: int = 0) -> None:
        found = _MEDIA.fullmatch(media)
        if found is None:
            raise ValueError(f"A call must carry L16 or L24 sound, but carries {media!r}.")
        bits, rate, channels = map(int, found.groups())
        self._empty = Sound(rate, channels, bits, b"")
        self._first, self._newest = first_timestamp, 0
        self._content = bytearray()
        self._came: list[tuple[int, int]] = []
        self._key_starts: dict[str, int] = {}

    def add(self, packet: bytes, *, key_id: str = "") -> None:
        """Put the samples of an RTP packet where they belong.

        Args:
            packet: The packet.
            key_id: Of the key that opened it, if there was one.

        Raises:
            ValueError: It ends inside a frame, or would lie before the first one or beyond 4 GB.
        """
        payload = packet[header_size(packet) :]
        frame = self._empty.frame_bytes
        begin = self._place(timestamp_of(packet))
        end = begin + len(payload) // frame
        if len(payload) % frame or begin < 0 or end * frame > _MOST_BYTES:
            raise ValueError("A packet of sound must hold whole frames of the call, but does not.")
        if len(self._content) < begin * frame:
            self._content.extend(bytes(begin * frame - len(self._content)))
        self._content[begin * frame : end * frame] = payload
        self._newest = max(self._newest, begin)
        self._came.append((begin, end))
        if begin < self._key_starts.get(key_id, _MOST_BYTES):
            self._key_starts[key_id] = begin

    def _place(self, timestamp: int) -> int:
        """Return the frame at which a packet begins, wraps of its timestamp counted."""
        ahead = (timestamp - self._first - self._newest) & 0xFFFFFFFF
        return self._newest + (ahead if ahead < 2**31 else ahead - 2**32)

    def recovered(self, frames: int | None = None) -> RecoveredSound:
        """Return the sound so far.

        Args:
            frames: How many its sender has sent, if that is known.
        """
        frame = self._empty.frame_bytes
        whole = max(frames or 0, len(self._content) // frame)
        whole = min(whole, _MOST_BYTES // frame)
        pcm = _reversed(self._content, self._empty.bits).ljust(whole * frame, b"\0")
        sound = Sound(self._empty.rate, self._empty.channels, self._empty.bits, pcm)
        starts = sorted((begin, key_id) for key_id, begin in self._key_starts.items() if key_id)
        return RecoveredSound(sound, tuple(_gaps(self._came, whole)), tuple(starts))


def _gaps(came: list[tuple[int, int]], whole: int) -> Iterator[tuple[int, int]]:
    """Yield what lies between intervals."""
    reached = 0
    for begin, end in [*sorted(came), (whole, whole)]:
        if begin > reached:
            yield reached, begin
        reached = max(reached, end)


def _reversed(content: bytes | bytearray, bits: int) -> bytes:
    """Return samples in the other order of bytes."""
    return np.frombuffer(content, np.uint8).reshape(-1, bits // 8)[:, ::-1].tobytes()
