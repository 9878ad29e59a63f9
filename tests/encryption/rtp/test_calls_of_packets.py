"""Sender and receiver: keys announced ahead, each once; whatever is lost, forged or missing."""

import pytest

from e91.encryption.rtp import (
    SRTP,
    CallKey,
    ClaimsInMemory,
    KeyChanges,
    KeysInMemory,
    PacketReceiver,
    PacketSender,
    framed,
    mki_of,
    pad_tier,
    rtp_packet,
)
from e91.encryption.rtp.rtp_packets import is_control
from e91.model.errors import KeyUnavailable
from tests.call_ends import ends, every, some_keys


def packet(number):
    """Return the packet of a number, 20 ms each."""
    return rtp_packet(number.to_bytes(4, "big"), sequence=number, timestamp=160 * number, ssrc=81)


def sent(sender, numbers):
    """Return what is sent for packets."""
    return [
        each for number in numbers for each in sender.datagrams(packet(number), time_s=number / 50)
    ]


def received(receiver, datagrams):
    """Return the packets that datagrams open, in order."""
    return [opened.packet for each in datagrams for opened in receiver.receive(each)]


def test_a_key_is_claimed_before_it_protects_anything_and_once():
    claims = ClaimsInMemory()
    keys = [CallKey("one", bytes(32)), CallKey("two", bytes(32))]
    first = PacketSender(KeysInMemory(keys), claims)
    first.datagrams(packet(0), time_s=0)
    assert claims.purposes == {"one": "call, aes-256-gcm"}
    again = PacketSender(KeysInMemory(keys), claims)
    with pytest.raises(KeyUnavailable, match="Key one must be used once"):
        again.datagrams(packet(0), time_s=0)


def test_no_index_is_sent_twice():
    sender = ends().sender
    assert sent(sender, [0, 1])
    assert sender.datagrams(packet(1), time_s=0.04) == []
    assert sender.datagrams(packet(2000), time_s=0.05) != []
    assert sender.datagrams(packet(900), time_s=0.06) == []
    assert sender.repeated == 2


def test_keys_change_by_time_and_are_announced_ahead():
    both = ends(changes=KeyChanges(1.0, 0.5))
    datagrams = sent(both.sender, range(200))
    assert [key.key_id for key in both.sender.used] == ["key-0", "key-1", "key-2", "key-3"]
    assert [key.since_s for key in both.sender.used] == [0, 1, 2, 3]
    assert [key.packets for key in both.sender.used] == [50] * 4
    announced = [place for place, each in enumerate(datagrams) if is_control(each)]
    under = mki_of("key-1")
    first_use = next(n for n, each in enumerate(datagrams) if each[-4:] == under)
    reported = next(n for n in announced if b"key-1" in datagrams[n])
    assert reported < first_use - 20
    assert received(both.receiver, datagrams) == [packet(number) for number in range(200)]
    assert both.receiver.key_ids == ["key-0", "key-1", "key-2", "key-3"]


def test_after_a_silence_the_key_changes_once():
    sender = ends(changes=every(1.0)).sender
    sender.datagrams(packet(0), time_s=0)
    sender.datagrams(packet(1), time_s=100.5)
    sender.datagrams(packet(2), time_s=100.9)
    sender.datagrams(packet(3), time_s=101.0)
    assert [key.since_s for key in sender.used] == [0, 100.5, 101.0]


def test_a_call_ends_where_no_key_is_left_and_never_prolongs_one():
    both = ends(keys=2, changes=KeyChanges(1.0, 0.5))
    datagrams = sent(both.sender, range(100))
    with pytest.raises(KeyUnavailable, match="A key must be left for the call"):
        both.sender.datagrams(packet(100), time_s=2.0)
    last = both.sender.closing()
    assert received(both.receiver, [*datagrams, *last]) == [packet(n) for n in range(100)]
    assert both.receiver.announcement.is_last
    assert both.receiver.announcement.index == 100


def test_a_key_that_is_late_is_asked_for_again():
    keys = KeysInMemory(some_keys(1))
    sender = PacketSender(keys, ClaimsInMemory(), changes=KeyChanges(1.0, 0.9, retry_s=0.2))
    sent(sender, range(40))
    keys.deposit(CallKey("late", bytes(32)))
    sent(sender, range(40, 60))
    assert [key.key_id for key in sender.used] == ["key-0", "late"]


def test_two_keys_of_one_identifier_never_follow_each_other(monkeypatch):
    monkeypatch.setattr(
        "e91.encryption.rtp.senders.mki_of",
        lambda name: b"same" if name in ("key-0", "key-1") else mki_of(name),
    )
    sender = ends(changes=every(1.0)).sender
    sent(sender, range(60))
    assert [key.key_id for key in sender.used] == ["key-0", "key-2"]


def test_packets_wait_for_the_announcement_of_their_key():
    both = ends()
    datagrams = sent(both.sender, range(10))
    assert is_control(datagrams[0])
    assert received(both.receiver, datagrams[1:5]) == []
    assert both.receiver.waiting == 4
    opened = received(both.receiver, datagrams[:1] + datagrams[5:])
    assert opened == [packet(number) for number in range(10)]


def test_a_receiver_that_joins_after_a_wrap_counts_right():
    both = ends()
    sent(both.sender, range(65_500, 65_600))
    late = sent(both.sender, range(65_600, 65_700))
    assert [n for n, each in enumerate(late) if is_control(each)] != []
    first = next(n for n, each in enumerate(late) if is_control(each))
    opened = received(both.receiver, late)
    assert opened == [packet(number) for number in range(65_600, 65_700)]
    assert first < len(late)


def test_a_receiver_comes_back_after_a_silence_of_several_keys():
    both = ends(changes=every(1.0))
    datagrams = sent(both.sender, range(1000))
    before, after = datagrams[:100], datagrams[700:]
    opened = received(both.receiver, [*before, *after])
    expected = [each for each in before + after if not is_control(each)]
    assert len(opened) == len(expected)


def test_old_keys_are_kept_for_late_packets_and_then_forgotten():
    both = ends(changes=every(1.0))
    datagrams = sent(both.sender, range(3000))
    held, rest = datagrams[10], [each for n, each in enumerate(datagrams) if n != 10]
    received(both.receiver, rest[:900])
    assert len(both.receiver.receive(held)) == 1
    received(both.receiver, rest[900:])
    # 1,024 packets are 21 keys of 50 packets; beside them the current and the next one.
    assert 20 <= len(both.receiver._open) <= 24


def test_a_replayed_packet_is_refused():
    both = ends()
    datagrams = sent(both.sender, range(10))
    assert len(received(both.receiver, datagrams)) == 10
    assert received(both.receiver, datagrams) == []
    assert both.receiver.refused == {"received before, or too late": 10}


@pytest.mark.parametrize("tier", [SRTP, pad_tier(4096)], ids=lambda tier: tier.name)
def test_whatever_is_altered_opens_nothing_and_costs_nothing(tier):
    both = ends(tier=tier)
    datagrams = sent(both.sender, range(3))
    received(both.receiver, datagrams[:1])
    good = datagrams[1]
    for place in range(8 * len(good)):
        altered = bytearray(good)
        altered[place // 8] ^= 1 << place % 8
        assert both.receiver.receive(bytes(altered)) == []
    assert received(both.receiver, [good]) == [packet(0)]


def test_an_altered_announcement_is_refused():
    both = ends()
    said = sent(both.sender, [0])[0]
    for place in range(8 * len(said)):
        altered = bytearray(said)
        altered[place // 8] ^= 1 << place % 8
        receiver = PacketReceiver(KeysInMemory(some_keys(2)))
        receiver.receive(bytes(altered))
        assert receiver.announcement is None


def test_forged_announcements_cost_few_fetches():
    class Counting(KeysInMemory):
        asked = 0

        def named(self, key_id, size):
            self.asked += 1
            return super().named(key_id, size)

    keys = Counting(some_keys(3))
    receiver = PacketReceiver(keys)
    for number in range(1000):
        forger = PacketSender(KeysInMemory(some_keys(1, name=f"forged {number}")), ClaimsInMemory())
        receiver.receive(forger.datagrams(packet(0), time_s=0)[0])
    assert keys.asked == 16
    assert receiver.announcement is None
    both = ends(keys=3)
    assert not receiver.receive(sent(both.sender, [0])[1])


def test_a_second_stream_under_the_same_keys_is_refused():
    both = ends()
    received(both.receiver, sent(both.sender, range(3)))
    other = PacketSender(KeysInMemory(some_keys(2)), ClaimsInMemory())
    alien = rtp_packet(b"other", sequence=5, timestamp=0, ssrc=99)
    received(both.receiver, other.datagrams(alien, time_s=0))
    assert both.receiver.refused["of another stream"] == 2


def test_what_is_too_short_is_refused():
    receiver = ends().receiver
    assert [receiver.receive(bytes(size)) for size in range(16)] == [[]] * 16
    assert receiver.refused == {"too short": 16}


def test_a_pad_changes_when_it_is_full():
    both = ends(tier=pad_tier(1024))
    datagrams = sent(both.sender, range(200))
    assert received(both.receiver, datagrams) == [packet(number) for number in range(200)]
    for key in both.sender.used[:-1]:
        assert 1024 - 32 - 4 * 32 - 2 * 36 - 32 * 10 < key.packets * 36 <= 1024 - 32 - 4 * 32


def test_packets_of_any_payloader_come_back_as_they_were():
    both = ends(changes=every(0.5))
    extended = bytes.fromhex("91e000010000000500000051000000ffbede0001000000000a")
    assert received(both.receiver, both.sender.datagrams(extended, time_s=0)) == [extended]
    assert framed(extended)[:2] == len(extended).to_bytes(2, "big")


@pytest.mark.parametrize("name", ["every_s", "lead_s", "retry_s"])
def test_a_time_that_is_not_positive_is_refused(name):
    with pytest.raises(ValueError, match=f"`{name}` must be positive, but is 0"):
        KeyChanges(**{name: 0.0})


@pytest.mark.parametrize("key_id", ["", "a" * 101, "a\nb", "schlüssel"])
def test_a_bad_key_id_is_refused(key_id):
    with pytest.raises(ValueError, match="`key_id` must be 1 to 100 printable"):
        CallKey(key_id, bytes(32))
