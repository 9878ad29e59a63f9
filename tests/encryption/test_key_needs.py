"""What media need, against arithmetic by hand and against calls that were made."""

import pytest

from e91.encryption.key_needs import MEDIA, aes_bits_per_second, medium_named
from e91.encryption.rtp import pad_tier, rtp_packet
from e91.encryption.sound.sound_packets import LARGEST_PAYLOAD
from tests.call_ends import ends

BY_HAND = {
    "text": 40 + 256 / 10,
    "sound-8k": 8000 + 256 * 1000 / 60,
    "sound-64k": 64_000 + 256 * 50,
    "video-128k": 128_000 + 256 * 15,
    "video-2m": 2_000_000 + 256 * 25 * 9,  # 10,000 bytes a frame are nine packets of 1,200
}


@pytest.mark.parametrize("name", MEDIA)
def test_a_medium_needs_its_bits_and_256_for_every_tag(name):
    medium = medium_named(name)
    assert medium.pad_bits_per_second == pytest.approx(BY_HAND[name], rel=1e-12)
    assert medium.call_bits_per_second == 2 * medium.pad_bits_per_second


def test_a_call_under_aes_needs_a_key_at_every_change():
    assert aes_bits_per_second(10) == 25.6
    with pytest.raises(ValueError, match="`every_s` must be finite and positive"):
        aes_bits_per_second(0)


def test_an_unknown_medium_is_refused():
    with pytest.raises(ValueError, match="`medium` must be one of text, sound-8k, sound-64k"):
        medium_named("smell")


@pytest.mark.parametrize("name", ["sound-8k", "sound-64k", "video-128k", "video-2m"])
def test_a_call_spends_what_its_medium_needs_and_little_more(name):
    """Twenty seconds of packets: the rest is announcements, and ends of pads that fit no packet."""
    medium, seconds = medium_named(name), 20
    size = round(medium.bits_per_second / medium.packets_per_second / 8)
    assert size <= LARGEST_PAYLOAD
    both, count = ends(tier=pad_tier(65_536)), round(seconds * medium.packets_per_second)
    for number in range(count):
        packet = rtp_packet(bytes(size), sequence=number, timestamp=0, ssrc=1)
        both.sender.datagrams(packet, time_s=number / medium.packets_per_second)
    used = [key.protection._offset for key in both.sender.used]
    spent = 65_536 * (len(used) - 1) + used[-1]
    assert 1 <= 8 * spent / seconds / medium.pad_bits_per_second < 1.04
