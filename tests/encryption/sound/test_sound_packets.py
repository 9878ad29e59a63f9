"""Packets of sound, and sound from packets in any order."""

import random

import pytest

from e91.encryption.rtp import rtp_packet
from e91.encryption.sound import Sound, SoundTrack, media_of, sound_packets
from e91.encryption.sound.sound_packets import LARGEST_PAYLOAD, frames_per_packet
from tests.call_ends import noise, silenced


@pytest.mark.parametrize(
    ("rate", "channels", "bits", "frames"),
    [
        (8000, 1, 16, 160),
        (48_000, 1, 16, 600),
        (48_000, 2, 16, 300),
        (11_025, 7, 24, 57),
        (11_025, 7, 16, 85),
        (10, 1, 16, 1),
        (8000, 400, 24, 1),
    ],
)
def test_a_packet_holds_20_ms_or_what_fits(rate, channels, bits, frames):
    sound = Sound(rate, channels, bits, b"")
    assert frames_per_packet(sound) == frames
    assert frames * sound.frame_bytes <= LARGEST_PAYLOAD


def test_more_channels_than_fit_are_refused():
    with pytest.raises(ValueError, match="601 channels of 16 bits have 1,202"):
        frames_per_packet(Sound(8000, 601, 16, b""))


def test_samples_go_big_endian_as_l16_and_l24_say():
    one = Sound(8000, 1, 16, b"\x01\x02\x03\x04")
    [(time_s, packet)] = sound_packets(one, ssrc=7)
    assert (time_s, packet[12:]) == (0.0, b"\x02\x01\x04\x03")
    [(_, packet)] = sound_packets(Sound(8000, 1, 24, b"\x01\x02\x03"), ssrc=7)
    assert packet[12:] == b"\x03\x02\x01"


@pytest.mark.parametrize(("rate", "channels", "bits"), [(8000, 1, 16), (11_025, 7, 24)])
def test_packets_in_any_order_give_the_sound(rate, channels, bits):
    sound = noise(1.3, rate=rate, channels=channels, bits=bits)
    packets = [packet for _, packet in sound_packets(sound, ssrc=1, timestamp=2**32 - 1000)]
    random.Random(0).shuffle(packets)
    track = SoundTrack(media_of(sound), first_timestamp=2**32 - 1000)
    for packet in packets:
        track.add(packet)
    found = track.recovered(len(sound))
    assert found.sound.pcm == sound.pcm
    assert found.missing == 0


def test_what_did_not_come_is_silence_and_is_counted():
    sound = noise(1.0)
    track = SoundTrack(media_of(sound))
    for number, (_, packet) in enumerate(sound_packets(sound, ssrc=1)):
        if number not in (0, 7, 8, 49):
            track.add(packet)
    found = track.recovered(len(sound))
    assert found.gaps == ((0, 160), (1120, 1440), (7840, 8000))
    assert found.missing == 640
    assert found.sound.pcm == silenced(sound, found.gaps)


def test_a_drifting_clock_and_jitter_change_nothing():
    """A packet says when it is; when it comes says nothing, so no receiver's clock is asked."""
    sound = noise(2.0)
    fast = sorted(
        (time_s * 1.001 + random.Random(number).uniform(0, 0.2), number, packet)
        for number, (time_s, packet) in enumerate(sound_packets(sound, ssrc=1))
    )
    track = SoundTrack(media_of(sound))
    for _, _, packet in fast:
        track.add(packet)
    assert [number for _, number, _ in fast] != sorted(number for _, number, _ in fast)
    assert track.recovered(len(sound)).sound.pcm == sound.pcm


@pytest.mark.parametrize("media", ["", "L8/8000/1", "L16/0/1", "L16/8000", "opus/48000/2"])
def test_other_media_are_refused(media):
    with pytest.raises(ValueError, match="A call must carry L16 or L24 sound"):
        SoundTrack(media)


def test_a_packet_that_ends_inside_a_frame_or_lies_before_the_first_is_refused():
    track = SoundTrack("L16/8000/2", first_timestamp=100)
    for payload, timestamp in ((bytes(6), 100), (bytes(4), 99)):
        with pytest.raises(ValueError, match="must hold whole frames of the call"):
            track.add(rtp_packet(payload, sequence=0, timestamp=timestamp, ssrc=1))
