"""The words of the protocol: they check themselves, and never print a key."""

import math
import mmap
import struct
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statistical import assert_binomial

from e91.model.bits import frozen_array, pack, unpack
from e91.model.messages import Channel, Message, Party
from e91.model.randomness import random_bits, random_choice, seeded_entropy
from e91.model.records import (
    ChshEstimate,
    DetectionRecord,
    PartyRecord,
    Release,
    SecretKey,
    SecretLength,
    SiftedKey,
)
from e91.model.settings import BBM92, EKERT, SETTINGS, Settings
from e91.model.trust import SecurityModel
from e91.security.policy import Policy
from e91.system.workspace import zero_bytes


@given(st.lists(st.integers(0, 1), max_size=100))
def test_packing_round_trips(bits):
    array = np.array(bits, np.uint8)
    assert unpack(pack(array), len(array)).tolist() == bits


def test_unpacking_refuses_another_length():
    with pytest.raises(ValueError, match="9 packed bits must take 2 bytes, but took 1"):
        unpack(b"x", 9)


@pytest.mark.parametrize("values", [[256], [-1], [3], [[0]], [0.5]])
def test_values_are_checked_before_they_are_cast(values):
    with pytest.raises(ValueError, match="`outcome` must"):
        frozen_array(values, top=2, name="outcome")


def test_a_record_is_a_read_only_copy():
    setting = np.zeros(3, np.uint8)
    record = PartyRecord(setting, np.array([0, 1, 2]))
    setting[0] = 1
    assert record.setting[0] == 0
    with pytest.raises(ValueError, match="read-only"):
        record.outcome[0] = 1


def test_halves_of_different_length_are_refused():
    one, two = (PartyRecord(np.zeros(n, int), np.zeros(n, int)) for n in (1, 2))
    with pytest.raises(ValueError, match="same number of rounds, but have 1 and 2"):
        DetectionRecord(one, two)
    with pytest.raises(ValueError, match="`outcome` must have the length of `setting`, 1, but"):
        PartyRecord(np.zeros(1, int), np.zeros(2, int))


def test_keys_print_their_length_only():
    bits = np.ones(40, np.uint8)
    key = SecretKey(bits, "id", SecurityModel.TRUSTED_ANALYSERS, 1e-10, True)
    assert repr(SiftedKey(bits)) == "SiftedKey(40 bits)"
    assert repr(key) == str(key) == "SecretKey(40 bits)"
    assert "1, 1" not in f"{PartyRecord(bits, bits)}"


@pytest.mark.parametrize(("lower", "bits"), [(2.0, 5.0), (1.9, 5.0), (2.5, 0.9), (2.5, -3.0)])
def test_nothing_is_released_without_a_passing_verdict(lower, bits):
    chsh = ChshEstimate(2.7, 0.01, lower, 0.0, 100)
    with pytest.raises(ValueError, match="A released key must"):
        Release(chsh, SecretLength((("sum", bits),), None))


def test_a_length_is_the_sum_of_its_terms_rounded_down():
    assert SecretLength((("a", 10.0), ("b", -3.2)), None).bits == 6
    assert SecretLength((("a", 10.0), ("b", -30.2)), None).bits == 0


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_no_pair_is_both_key_and_bell_test(settings):
    assert not set(settings.key_pairs) & {pair for pair, _ in settings.chsh_pairs}


def test_the_share_of_key_and_test_rounds_is_ekerts():
    assert EKERT.key_probability == pytest.approx(2 / 9)
    assert EKERT.chsh_probability == pytest.approx(4 / 9)
    assert BBM92.biased((0.5, 0.5), (0.4, 0.4, 0.1, 0.1)).key_probability == pytest.approx(0.4)


ANGLES = {"name": "x", "alice_angles": (0.0, 1.0), "bob_angles": (0.0, 1.0)}
CHSH = (((0, 0), 1), ((0, 1), 1), ((1, 0), 1), ((1, 1), -1))


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"alice_probabilities": (0.6, 0.6)}, "must sum to 1, but sums to 1.2"),
        ({"alice_probabilities": (0.5, 0.5 + 2e-12)}, "must sum to 1, but sums to 1.000000000002"),
        ({"alice_probabilities": (1.2, -0.2)}, r"must lie in \[0, 1\]"),
        ({"alice_probabilities": (math.nan, 1.0)}, r"must lie in \[0, 1\]"),
        ({"bob_probabilities": (1.0,)}, "must have 2 entries, but has 1"),
        ({"alice_angles": (math.inf, 0.0)}, "must be finite"),
        ({"alice_angles": ()}, "at least one"),
        ({"bob_angles": (0.0,) * 256}, "at most 255"),
        ({"key_pairs": ((0, 1),)}, "must have equal angles"),
        ({"key_pairs": ((2, 2),)}, r"but \(2, 2\) has none"),
        ({"key_pairs": ((0, 0),), "chsh_pairs": CHSH}, "one role"),
        ({"chsh_pairs": CHSH[:3]}, "cross two settings"),
        ({"chsh_pairs": tuple((pair, 1) for pair, _ in CHSH)}, "one or three minus signs"),
    ],
)
def test_impossible_settings_are_refused(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        Settings(**(ANGLES | wrong))


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0, math.nan])
@pytest.mark.parametrize("name", ["epsilon", "revealed_fraction"])
def test_a_policy_checks_its_numbers(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must lie strictly between 0 and 1"):
        Policy(**{name: value})


def test_choices_follow_their_probabilities():
    draws = random_choice(seeded_entropy(5), (0.2, 0.0, 0.5, 0.3), 400_000)
    for index, p in enumerate((0.2, 0.0, 0.5, 0.3)):
        count = int(np.count_nonzero(draws == index))
        if p == 0:
            assert count == 0
        else:
            assert_binomial(count, len(draws), p, must_detect=p + 0.01)


def test_bits_are_fair_and_neighbours_independent():
    bits = random_bits(seeded_entropy(6), 400_001)
    assert_binomial(int(bits[:-1].sum()), 400_000, 0.5, must_detect=0.51)
    assert_binomial(int((bits[1:] ^ bits[:-1]).sum()), 400_000, 0.5, must_detect=0.51)


@pytest.mark.parametrize("seed", [-1, 1.0, "1", True, (1, 2)])
def test_seed_that_is_no_whole_number_is_refused(seed):
    with pytest.raises(ValueError, match="`seed` must be a whole number from 0, but is"):
        seeded_entropy(seed)


def test_entropy_repeats_for_equal_seeds_only():
    assert seeded_entropy(1)(32) == seeded_entropy(1)(32) != seeded_entropy(2)(32)


def test_a_channel_counts_each_disclosed_bit_once():
    channel = Channel()
    channel.send(Message(Party.ALICE, "parities", b"\x01", 3))
    channel.send(Message(Party.BOB, "comparison", b"\x01", 4))
    assert channel.disclosed_bits == 7
    assert channel.transcript(Party.ALICE) == channel.transcript(Party.BOB)


def test_transcripts_differ_if_a_message_is_altered_lost_or_moved():
    first, second = (Message(Party.ALICE, name, b"ab") for name in ("one", "two"))
    honest = Channel()
    swapped = Channel()
    for message in (first, second):
        honest.send(message)
    for message in (second, first):
        swapped.send(message)
    lost = Channel(lambda message: None if message is second else message)
    for message in (first, second):
        lost.send(message)
    seen = {c.transcript(Party.BOB) for c in (honest, swapped, lost)}
    assert len(seen) == 3


def test_a_transcript_cannot_be_cut_differently():
    one, two = Channel(), Channel()
    one.send(Message(Party.ALICE, "x", b"alice/x/1\na"))
    two.send(Message(Party.ALICE, "x", b""))
    two.send(Message(Party.ALICE, "x", b"a"))
    assert one.transcript(Party.ALICE) != two.transcript(Party.ALICE)


PIECES = st.text(st.sampled_from("a/1\n\0é\udc80"), max_size=6)


@given(st.lists(st.tuples(st.sampled_from(Party), PIECES, st.binary(max_size=6)), max_size=4))
def test_a_transcript_has_one_reading(said):
    transcript = b"".join(m.head + m.body for m in (Message(*each) for each in said))
    read = []
    while transcript:
        sender, subject, body = struct.unpack(">BIQ", transcript[:13])
        edges = np.cumsum([13, sender, subject, body])
        pieces = [transcript[i:j] for i, j in pairwise(edges)]
        name, about = (piece.decode(errors="surrogatepass") for piece in pieces[:2])
        read.append((Party(name), about, pieces[2]))
        transcript = transcript[edges[-1] :]
    assert read == said


def test_messages_that_once_had_the_same_encoding_have_not():
    one = Message(Party.ALICE, "settings", b"AB/2\nXY")
    two = Message(Party.ALICE, "settings/7\nAB", b"XY")
    assert one.head + one.body != two.head + two.body


def test_a_message_does_not_print_its_body():
    assert "secret" not in repr(Message(Party.ALICE, "x", b"secret"))


@pytest.mark.parametrize("size", [0, 1, 8, 13, 64])
def test_key_from_packed_bytes_is_the_key_of_its_bits(size):
    bits = np.random.default_rng(size).integers(0, 2, size, np.uint8)
    key = SiftedKey.from_packed(np.packbits(bits), size)
    assert len(key) == size
    assert np.array_equal(key.bits, bits)
    assert np.array_equal(SiftedKey(bits).packed, np.packbits(bits))
    assert repr(key) == f"SiftedKey({size} bits)"
    for array in (key.bits, key.packed):
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 1


def test_packed_key_of_wrong_shape_or_with_spare_bits_is_refused():
    with pytest.raises(ValueError, match=r"must be uint8 of shape \(2,\)"):
        SiftedKey.from_packed(np.zeros(1, np.uint8), 9)
    with pytest.raises(ValueError, match="must end in zeros"):
        SiftedKey.from_packed(np.array([0, 1], np.uint8), 9)


def test_key_has_no_other_attributes():
    with pytest.raises(AttributeError, match="no attribute 'length'"):
        SiftedKey(np.zeros(3, np.uint8)).length  # noqa: B018


@pytest.mark.parametrize("count", [0, 1, 4096, 100_001])
def test_zero_bytes_can_be_written_and_are_nobody_elses(count):
    first, second = zero_bytes(count), zero_bytes(count)
    assert first.shape == (count,)
    assert first.dtype == np.uint8
    assert not first.any()
    first[:] = 1
    assert not second.any()


def test_zero_bytes_go_back_to_the_system_at_once():
    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1])

    before = resident()
    kept, gone = zero_bytes(2**24), zero_bytes(2**24)
    kept[:], gone[:] = 1, 1
    grown = resident()
    assert grown - before >= 2 * 2**24 // mmap.PAGESIZE - 64
    del gone
    assert grown - resident() >= 2**24 // mmap.PAGESIZE - 64


def test_first_rounds_are_shown_as_text_and_as_a_table_and_only_when_asked_for():
    alice, bob = PartyRecord([0, 2, 1], [1, 0, 2]), PartyRecord([0, 1, 1], [1, 1, 0])
    record = DetectionRecord(alice, bob)
    table = record.head()
    assert table.rows == ((0, 0, 1, 1), (2, 1, 0, 1), (1, 1, 2, 0))
    assert [line.split() for line in str(table).splitlines()[:-1]] == [
        ["round", "x", "y", "a", "b"], ["0", "0", "0", "1", "1"], ["1", "2", "1", "0", "1"],
        ["2", "1", "1", "-", "0"],
    ]  # fmt: skip
    shown = table._repr_html_()
    assert shown.count("<tr>") == 4
    assert "<td>2</td><td>1</td><td>1</td><td>-</td><td>0</td>" in shown
    assert len(record.head(2).rows) == 2
    assert "(3 rounds)" in repr(record)
    assert not hasattr(record, "_repr_html_")
    with pytest.raises(ValueError, match="`rounds` must be at least 1"):
        record.head(0)
