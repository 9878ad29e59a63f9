"""Cascade: errors go, every parity is disclosed once and counted, and lies end in an abort."""

import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom
from statistical import FALSE_ALARM

from e91.distillation import cascade
from e91.distillation.cascade import correct, reconcile, respond
from e91.model.errors import AuthenticationFailed
from e91.model.messages import Channel, Message, Party
from e91.model.records import SiftedKey

SEED = bytes(range(32))


def keys(count, qber, seed=1):
    """Alice's and Bob's sifted keys with independent errors."""
    random = np.random.default_rng(seed)
    alice = random.integers(0, 2, count, dtype=np.uint8)
    return SiftedKey(alice), SiftedKey(alice ^ (random.random(count) < qber))


def run(alice, bob, rate, channel=None):
    return reconcile(
        alice, bob, error_rate=rate, permutation_seed=SEED, channel=channel or Channel()
    )


def sent(channel, party, subject):
    return [m for m in channel.seen[party] if m.sender is party and m.subject == subject]


def walk(count, rate, answer, seed=SEED):
    """Walk with ``answer(number, order, places)`` for comparison bits; return corrected bits."""

    def ask(*question):
        return answer(*question)
        yield  # makes this a generator, as the walk expects

    try:
        next(cascade._walk(count, rate, seed, ask))
    except StopIteration as stop:
        return stop.value
    raise AssertionError("The walk waits for a message although every answer is there.")


def truth(errors, asked=None):
    """Answer as the errors command: the parity of those before each place, by plain counting."""

    def answer(number, order, places):
        if asked is not None:
            asked.append((number, order, places))
        return np.array([errors[order[:p]].sum() % 2 for p in places], np.uint8)

    return answer


def binary_entropy(p):
    return -p * math.log2(p) - (1 - p) * math.log2(1 - p)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 8, 100, 1000, 4096, 70_000])
@pytest.mark.parametrize("qber", [0.0, 0.01, 0.11, 0.5, 1.0])
def test_keys_are_equal_afterwards_and_alices_is_unchanged(count, qber):
    alice, bob = keys(count, qber)
    reference, corrected = run(alice, bob, qber)
    assert np.array_equal(reference.bits, alice.bits)
    assert np.array_equal(corrected.bits, alice.bits)


@pytest.mark.parametrize("estimate", [0.0, 0.001, 0.1, 0.5, 1.0])
def test_wrong_estimate_of_the_error_rate_still_corrects(estimate):
    alice, bob = keys(5000, 0.03)
    assert np.array_equal(run(alice, bob, estimate)[1].bits, alice.bits)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 400), st.floats(0, 0.4), st.integers(0, 2**32))
def test_walk_ends_with_every_known_block_even_and_no_parity_asked_twice(count, qber, seed):
    # The definition of complete back-tracking, checked by plain counting.  It holds for every
    # frame, also for the rare one in which errors are left.
    errors = (np.random.default_rng(seed).random(count) < qber).astype(np.uint8)
    asked = []
    left = errors.copy()
    left[walk(count, qber, truth(errors, asked))] ^= 1
    assert left.sum() <= errors.sum()
    for _, order, places in asked:
        assert all(left[order[:place]].sum() % 2 == 0 for place in places)
    questions = [(number, place) for number, _, places in asked for place in places]
    assert len(set(questions)) == len(questions)
    assert all(0 < place <= count for _, place in questions)
    assert all(number == 0 for number, place in questions if place == count)


def test_pass_with_the_smallest_odd_block_is_bisected_first(monkeypatch):
    compare, bisect = cascade._compare_blocks, cascade._bisect
    opened, choices = [], []

    def spy_on_compare(passes, *arguments):
        opened[:] = passes
        return compare(passes, *arguments)

    def spy_on_bisect(chosen, *arguments):
        smallest = {
            each.number: min(min(e for e in each.edges if e > start) - start for start in each.odd)
            for each in opened
            if each.odd.size
        }
        assert smallest[chosen.number] == min(smallest.values())
        choices.append(len(set(smallest.values())))
        return bisect(chosen, *arguments)

    monkeypatch.setattr(cascade, "_compare_blocks", spy_on_compare)
    monkeypatch.setattr(cascade, "_bisect", spy_on_bisect)
    errors = (np.random.default_rng(4).random(5000) < 0.05).astype(np.uint8)
    walk(5000, 0.05, truth(errors))
    assert max(choices) > 1  # there was something to choose


def test_single_error_costs_the_blocks_and_one_bisection():
    # By hand: 64 bits at 10 %: blocks of 8 (8 parities), halved 3 times; then 16 passes of two
    # blocks, whose second parity is inferred, all even.
    errors = np.zeros(64, np.uint8)
    errors[37] = 1
    asked = []
    assert walk(64, 0.1, truth(errors, asked)).tolist() == [37]
    assert [places.tolist() for number, _, places in asked if number == 0] == [
        [8, 16, 24, 32, 40, 48, 56, 64],
        [36],
        [38],
        [37],
    ]
    assert sum(len(places) for *_, places in asked) == 8 + 3 + 16


def test_transcript_alone_fixes_every_corrected_position():
    alice, bob = keys(3000, 0.04)
    channel = Channel()
    _, corrected = run(alice, bob, 0.04, channel)
    (opening,) = sent(channel, Party.BOB, "cascade-open")
    comparisons = iter(sent(channel, Party.BOB, "cascade-comparison"))

    def listen(number, order, places):
        body = np.frombuffer(next(comparisons).body, np.uint8)
        return np.unpackbits(body, count=len(places))

    (rate,) = struct.unpack("<d", opening.body[32:])
    overheard = walk(3000, rate, listen, seed=opening.body[:32])
    assert np.array_equal(np.sort(overheard), np.flatnonzero(bob.bits ^ corrected.bits))


def test_messages_hold_just_the_parities_and_each_counts_its_bits():
    alice, bob = keys(3000, 0.04)
    channel, asked = Channel(), []
    run(alice, bob, 0.04, channel)
    walk(3000, 0.04, truth(alice.bits ^ bob.bits, asked))
    said = sent(channel, Party.ALICE, "cascade-parities")
    heard = sent(channel, Party.BOB, "cascade-comparison")
    for (_, order, places), ours, theirs in zip(asked, said, heard, strict=True):
        for message, bits in ((ours, alice.bits), (theirs, alice.bits ^ bob.bits)):
            parities = np.array([bits[order[:p]].sum() % 2 for p in places], np.uint8)
            assert message.body == np.packbits(parities).tobytes()
            assert message.disclosed_bits == len(places)
    assert channel.disclosed_bits == 2 * sum(len(places) for *_, places in asked)


@pytest.mark.parametrize("qber", [0.015, 0.03, 0.05])
def test_efficiency_at_two_hundred_thousand_bits_is_below_one_point_one(qber):
    alice, bob = keys(200_000, qber)
    channel = Channel()
    _, corrected = run(alice, bob, qber, channel)
    errors = float(np.mean(alice.bits ^ bob.bits))
    disclosed = sum(m.disclosed_bits for m in sent(channel, Party.ALICE, "cascade-parities"))
    assert np.array_equal(corrected.bits, alice.bits)
    assert 1 <= disclosed / (200_000 * binary_entropy(errors)) < 1.1
    assert len(channel.seen[Party.ALICE]) < 3000


@pytest.mark.parametrize("qber", [0.0, 0.001, 0.05])
def test_short_frame_costs_at_most_forty_bits_more_than_its_entropy(qber):
    alice, bob = keys(100, qber)
    channel = Channel()
    run(alice, bob, qber, channel)
    entropy = 100 * binary_entropy(qber) if qber else 0
    assert channel.disclosed_bits / 2 < entropy + 40


def test_frame_failures_are_rarer_than_one_in_ten_thousand():
    frames, random = 2000, np.random.default_rng(11)
    failures = 0
    for _ in range(frames):
        alice, bob = keys(100, 0.05, seed=random.integers(2**32))
        errors = alice.bits ^ bob.bits
        sums = cascade._prefix_parities(errors)
        errors[walk(100, 0.05, sums, seed=random.bytes(32))] ^= 1
        failures += bool(errors.any())
    limit = int(binom.isf(FALSE_ALARM, frames, 1e-4))
    assert binom.cdf(limit, frames, 0.02) < 1e-3  # a failure rate of 2 % would be caught
    assert failures <= limit


def test_passes_shuffle_differently_and_by_seed_and_the_first_not_at_all():
    orders = [cascade._shuffle(n, 1000, s) for n in range(4) for s in (SEED, bytes(32))]
    assert all(np.array_equal(np.sort(order), np.arange(1000)) for order in orders)
    assert np.array_equal(orders[0], np.arange(1000))
    assert len({order.tobytes() for order in orders}) == 7  # the first pass has no seed


def test_shuffle_brings_each_bit_to_each_place_equally_often():
    # A bit that kept its place would keep its block, and the closing passes would lose their use.
    # The number of fixed points is Poisson(1) in each of 400 shuffles.
    fixed = sum(int(np.sum(cascade._shuffle(n, 50, SEED) == np.arange(50))) for n in range(1, 401))
    assert 400 - 6.2 * 20 < fixed < 400 + 6.2 * 20  # 6.2 standard deviations: 1e-9; detects 2


@pytest.mark.parametrize("sender", list(Party))
@pytest.mark.parametrize("position", [0, 1, 5])
@pytest.mark.parametrize("fault", ["lost", "longer", "empty"])
def test_lost_or_malformed_message_ends_in_an_abort(sender, position, fault):
    seen = []

    def meddle(message):
        seen.append(message.sender)
        if message.sender is not sender or seen.count(sender) != position + 1:
            return message
        body = message.body + b"\x00" if fault == "longer" else b""
        return None if fault == "lost" else Message(message.sender, message.subject, body)

    with pytest.raises(AuthenticationFailed):
        run(*keys(1000, 0.05), 0.05, Channel(transmission=meddle))


@pytest.mark.parametrize("rate", [math.nan, -0.1, 1.1, math.inf])
def test_impossible_error_rate_in_the_opening_is_an_abort(rate):
    opening = Message(Party.BOB, "cascade-open", SEED + struct.pack("<d", rate))
    with pytest.raises(AuthenticationFailed):
        next(respond(keys(10, 0)[0], opening))


def test_message_after_the_end_is_an_abort():
    bob = correct(keys(0, 0)[1], error_rate=0.1, permutation_seed=SEED)
    next(bob)
    with pytest.raises(AuthenticationFailed, match="had ended"):
        bob.send(Message(Party.ALICE, "cascade-parities", b""))


def test_walk_ends_on_any_answers_and_contradictions_are_an_abort():
    contradictions = 0
    for seed in range(200):
        random = np.random.default_rng(seed)
        try:
            corrected = walk(60, 0.1, lambda n, o, p: random.integers(0, 2, len(p), np.uint8))  # noqa: B023
        except AuthenticationFailed:
            contradictions += 1
        else:
            assert len(set(corrected.tolist())) == len(corrected)
    assert contradictions > 0


@pytest.mark.parametrize("position", range(0, 40, 3))
def test_altered_parity_ends_in_an_abort_or_in_unequal_keys(position):
    # The walk ends with all told parities obeyed.  Equal keys would disobey the false one.
    said = []

    def meddle(message):
        said.append(message.sender)
        if message.sender is Party.BOB or said.count(Party.ALICE) != position + 1:
            return message
        body = bytes([message.body[0] ^ 0x80]) + message.body[1:]
        return Message(message.sender, message.subject, body)

    alice, bob = keys(500, 0.05)
    try:
        reference, corrected = run(alice, bob, 0.05, Channel(transmission=meddle))
    except AuthenticationFailed:
        return
    assert said.count(Party.ALICE) > position
    assert not np.array_equal(reference.bits, corrected.bits)


@pytest.mark.parametrize("rate", [-0.01, 1.01, math.nan])
def test_error_rate_out_of_range_is_refused(rate):
    with pytest.raises(ValueError, match=r"`error_rate` must lie in \[0, 1\]"):
        run(*keys(10, 0), rate)


def test_seed_of_wrong_length_is_refused():
    with pytest.raises(ValueError, match="`permutation_seed` must have 32 bytes, but has 31"):
        next(correct(keys(10, 0)[1], error_rate=0.1, permutation_seed=bytes(31)))


def test_keys_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match="`bob_key` must have 10 bits, but has 9"):
        run(keys(10, 0)[0], keys(9, 0)[1], 0.1)
