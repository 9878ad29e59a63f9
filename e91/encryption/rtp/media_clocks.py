"""When a packet of a stream is, by its timestamp."""

from __future__ import annotations

import re

from e91.encryption.rtp.rtp_packets import timestamp_of

_MEDIA = re.compile(r"[A-Za-z0-9._+-]{1,40}/([1-9][0-9]{0,8})(/[1-9][0-9]{0,4})?", re.ASCII)


def clock_rate_of(media: str) -> int:
    """Return the timestamps a second of a medium as SDP says it: ``"VP8/90000"``.

    Raises:
        ValueError: It is not said so.

    Examples:
        >>> clock_rate_of("VP8/90000"), clock_rate_of("opus/48000/2")
        (90000, 48000)
    """
    found = _MEDIA.fullmatch(media)
    if found is None:
        raise ValueError(f"`media` must be as SDP says it, as VP8/90000, but is {media!r}.")
    return int(found[1])


class MediaClock:
    """Seconds from a stream's first packet, by timestamps that wrap.

    Pictures may be sent in another order than they are shown in, so the time of a packet may lie
    before that of the one before.

    Args:
        rate: Timestamps a second.

    Source:
        RFC 3550, section 5.1: 32-bit timestamps that wrap, from a random beginning.

    Examples:
        >>> from e91.encryption.rtp.rtp_packets import rtp_packet
        >>> clock = MediaClock(90_000)
        >>> stamps = (2**32 - 45_000, 0, 45_000)
        >>> packets = [rtp_packet(b"", sequence=0, timestamp=stamp, ssrc=7) for stamp in stamps]
        >>> [clock.seconds(packet) for packet in packets]
        [0.0, 0.5, 1.0]
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._first: int | None = None
        self._ahead = 0

    def seconds(self, packet: bytes) -> float:
        """Return when an RTP packet is; never less than of one before.

        Args:
            packet: RTP.
        """
        stamp = timestamp_of(packet)
        if self._first is None:
            self._first = stamp
        ahead = (stamp - self._first - self._ahead) & 0xFFFFFFFF
        self._ahead += ahead if ahead < 2**31 else 0
        return self._ahead / self._rate
