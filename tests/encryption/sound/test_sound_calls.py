"""Whole calls: the sound that comes is the sound that was sent, sample by sample."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from e91.encryption.rtp import SRTP, UnreliablePath, pad_tier
from e91.encryption.rtp.rtp_packets import is_control
from e91.encryption.sound import Sound, StreamNumbers
from e91.model.errors import KeyUnavailable
from tests.call_ends import PERFECT, ROUGH, call, every, noise, silenced

WRAPS = StreamNumbers(ssrc=81, sequence=65_536 - 200, timestamp=2**32 - 20_000)
TIERS = [SRTP, pad_tier(8192)]


@pytest.mark.parametrize("tier", TIERS, ids=lambda tier: tier.name)
@pytest.mark.parametrize("path", [PERFECT, ROUGH], ids=["perfect", "rough"])
def test_keys_change_without_a_gap_over_loss_reordering_and_a_wrap(tier, path):
    sound = noise(10.0)
    done = call(sound, tier=tier, path=path, begin=WRAPS, changes=every(0.7))
    found = done.recovered
    assert found.sound.pcm == silenced(sound, found.gaps)
    assert len(done.sender.used) >= 14
    assert done.ear.receiver.key_ids == [key.key_id for key in done.sender.used]
    assert done.ear.receiver.refused["not authentic"] == 0
    arrived = len({each for each in done.arrived if not is_control(each)})
    assert done.ear.received == arrived
    assert found.missing == sum(end - begin for begin, end in found.gaps)
    assert (found.missing == 0) == (path is PERFECT)


@settings(max_examples=25)
@given(
    st.integers(1, 8), st.integers(7000, 12_000), st.sampled_from([16, 24]), st.integers(0, 2**16)
)
def test_any_channels_and_rate(channels, rate, bits, seed):
    sound = noise(0.3, rate=rate, channels=channels, bits=bits, seed=seed)
    path = UnreliablePath(loss=0.1, reorder=10)
    found = call(sound, path=path, seed=seed, changes=every(0.1, lead_s=0.05)).recovered
    assert found.sound.pcm == silenced(sound, found.gaps)
    assert (found.sound.rate, found.sound.channels) == (rate, channels)


def test_seven_channels_at_11025_hz():
    sound = noise(1.0, rate=11_025, channels=7, bits=24)
    assert call(sound, changes=every(0.2)).recovered.sound.pcm == sound.pcm


def test_twenty_percent_of_losses_cost_twenty_percent():
    """5,000 packets: five standard deviations are 0.028."""
    sound = noise(100.0)
    found = call(sound, path=UnreliablePath(loss=0.2), changes=every(2.0)).recovered
    assert abs(found.missing / len(sound) - 0.2) < 0.03


def test_the_last_packets_may_be_lost_and_are_silence():
    sound = noise(1.0)
    done = call(sound)
    ear = done.ear
    assert ear.is_over
    again = call(sound, path=UnreliablePath(loss=0.9), seed=2).recovered
    assert len(again.sound) == len(sound)


def test_a_call_that_nobody_hears_has_no_sound():
    assert call(noise(0.5), path=UnreliablePath(loss=1.0)).recovered is None


def test_a_call_that_lacks_key_is_whole_up_to_there():
    sound = noise(3.0)
    with pytest.raises(KeyUnavailable):
        call(sound, keys=2, changes=every(1.0))


def test_another_key_gives_no_sound():
    sound = noise(0.5)
    right, wrong = call(sound), call(sound, tier=pad_tier(2048))
    for datagram in right.sent:
        wrong.ear.receiver.receive(datagram)
    assert wrong.ear.receiver.refused["not authentic"] > 0


def test_a_pad_is_spent_on_payloads_and_tags_alone():
    sound = Sound(8000, 1, 16, bytes(2 * 8000 * 10))
    done = call(sound, tier=pad_tier(65_536))
    packets = sum(key.packets for key in done.sender.used)
    assert packets == 500
    used = [key.protection._offset for key in done.sender.used]
    announcements = len(done.sent) - packets
    assert sum(used) == 500 * (320 + 32) + announcements * 32
    assert announcements < 3 * 10
