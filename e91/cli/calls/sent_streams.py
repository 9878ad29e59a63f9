"""What a call sends: the sound of a WAV file, or packets that another program has made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from e91.cli.calls.tiers_and_changes import changes_of

if TYPE_CHECKING:
    from e91.cli.calls.live_keys import EnteredCallKeys
    from e91.encryption.rtp import CallTier, PacketSender

PACKETS = ".rtp"
"""Ending of a file of RTP packets, each behind its length (RFC 4571)."""


@dataclass(frozen=True)
class SentStream:
    """A stream that is to be sent.

    Attributes:
        media: What it carries, as SDP says it.
        datagrams: Yields when, and what, through a sender.
        note: What of it is changed, in a sentence.
    """

    media: str
    datagrams: Callable[[PacketSender], Iterator[tuple[float, list[bytes]]]]
    note: str = ""


def sent_stream(file: Path, media: str | None) -> SentStream:
    """Return the stream of a WAV file, or of a file of RTP packets.

    Raises:
        ValueError: It cannot be read, or holds what no call carries.
    """
    from e91.encryption.rtp.media_clocks import clock_rate_of
    from e91.encryption.sound import media_of, read_wav, send_sound
    from e91.encryption.sound.sound_packets import frames_per_packet

    if file.suffix != PACKETS:
        read = read_wav(file)
        frames_per_packet(read.sound)
        media = media_of(read.sound)
        return SentStream(media, lambda sender: send_sound(read.sound, sender), read.note)
    if media is None:
        raise click.UsageError(f"`--media` must say what `{file}` holds, but is not given.")
    clock_rate_of(media)
    _check_packets(file)
    return SentStream(media, lambda sender: _packets_of(file, media, sender))


def _check_packets(file: Path) -> None:
    """Read a file of RTP packets to its end, before a key is used for its first packet.

    Raises:
        ValueError: It cannot be read, ends inside a packet, or one is no RTP packet.
    """
    from e91.encryption.rtp import read_framed
    from e91.system.durable import open_regular

    with open_regular(file, kind="file of RTP packets") as content:
        for _ in read_framed(content, name=str(file)):
            pass


def _packets_of(
    file: Path, media: str, sender: PacketSender
) -> Iterator[tuple[float, list[bytes]]]:
    """Yield when packets of a file are to be sent, and their datagrams."""
    from e91.encryption.rtp import read_framed
    from e91.encryption.rtp.media_clocks import MediaClock, clock_rate_of
    from e91.system.durable import open_regular

    clock = MediaClock(clock_rate_of(media))
    with open_regular(file, kind="file of RTP packets") as content:
        for packet in read_framed(content, name=str(file)):
            time_s = clock.seconds(packet)
            yield time_s, sender.datagrams(packet, time_s=time_s)


def send_on(
    packet: bytes, sender: PacketSender, emit: Callable[[bytes], None], *, time_s: float
) -> bool:
    """Send a packet of another program on; return whether it was RTP, and not RTCP or else."""
    from e91.encryption.rtp.rtp_packets import header_size, is_control

    try:
        header_size(packet)
    except ValueError:
        return False
    if is_control(packet):
        return False
    for datagram in sender.datagrams(packet, time_s=time_s):
        emit(datagram)
    return True


@contextmanager
def accounted_sender(
    keys: EnteredCallKeys, tier: CallTier, *, changes: dict[str, Any], media: str
) -> Iterator[PacketSender]:
    """Give a sender; what each of its keys has protected is entered, however the call ends."""
    from e91.encryption.rtp import PacketSender

    sender = PacketSender(keys, keys, tier=tier, changes=changes_of(changes, tier), media=media)
    try:
        yield sender
    finally:
        keys.note_protected({key.key_id: key.payload_bytes for key in sender.used})
