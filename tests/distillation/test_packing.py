"""Tally, sample and packed keys, against their definitions written out round by round."""

import os
from collections import Counter
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statistical import assert_binomial

from e91.distillation.sifting import two_party as sifting
from e91.distillation.sifting.packing import KEY, append_key, draw_sample, key_roles, tally
from e91.model.bits import NO_CLICK, pack
from e91.model.randomness import seeded_entropy
from e91.model.records import PartyRecord
from e91.model.settings import ASYMMETRIC, BBM92, EKERT, SETTINGS, Settings
from e91.system.compiled import compiled_code_may_run

ROUTES = ["numba", "numpy"]


@contextmanager
def route(name):
    """Run with the compiled kernels or, as on a machine without numba, with NumPy alone."""
    if name == "numba":
        if os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
            pytest.skip("numba's compiler is switched off")
        pytest.importorskip("numba")
    with mock.patch.dict(os.environ, NUMBA_DISABLE_JIT="0" if name == "numba" else "1"):
        assert (compiled_code_may_run()) == (name == "numba")
        yield


def split(code, *, settings, outcomes):
    """The settings and outcomes (x, y, a, b) that a code stands for."""
    pair, cell = divmod(code, outcomes**2)
    return *divmod(pair, len(settings.bob_angles)), *divmod(cell, outcomes)


def number_of_codes(settings, outcomes):
    return len(settings.alice_angles) * len(settings.bob_angles) * outcomes**2


def slow_append(codes, *, settings, outcomes, assign_lost, sample):
    """Both keys and the revealed codes, one round at a time."""
    alice, bob, revealed = [], [], Counter()
    for code, chosen in zip(codes, sample, strict=True):
        x, y, a, b = split(code, settings=settings, outcomes=outcomes)
        if (x, y) not in settings.key_pairs:
            continue
        if NO_CLICK in (a, b) and not assign_lost:
            continue
        if chosen:
            revealed[code] += 1
            continue
        alice.append(0 if a == NO_CLICK else a)
        bob.append(0 if b == NO_CLICK else b)
    return alice, bob, revealed


def bits_of(buffer):
    return np.unpackbits(buffer).tolist()


def buffers(bits, *, fill=0):
    return tuple(np.full(-(-bits // 64) * 8 + 8, fill, np.uint8) for _ in range(2))


def random_rounds(settings, outcomes, *, size, seed=1, fraction=0.3):
    generator = np.random.default_rng(seed)
    codes = generator.integers(0, number_of_codes(settings, outcomes), size, np.uint8)
    return codes, np.packbits(generator.random(size) < fraction)


# --- packing --------------------------------------------------------------------------------------


@given(
    st.sampled_from(sorted(SETTINGS)),
    st.sampled_from([2, 3]),
    st.booleans(),
    st.integers(0, 300),
    st.integers(0, 200),
    st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    st.integers(0, 2**32 - 1),
)
def test_keys_are_those_of_the_definition(
    name, outcomes, assign_lost, size, position, fraction, seed
):
    settings = SETTINGS[name]
    codes, sample = random_rounds(settings, outcomes, size=size, seed=seed, fraction=fraction)
    alice, bob, revealed = slow_append(
        codes.tolist(),
        settings=settings,
        outcomes=outcomes,
        assign_lost=assign_lost,
        sample=np.unpackbits(sample, count=size).tolist(),
    )
    roles = key_roles(settings, outcomes=outcomes, assign_lost=assign_lost)
    for way in ROUTES:
        alices, bobs = buffers(position + size, fill=0b10110010)
        before = bits_of(alices)
        with route(way):
            done = append_key(
                codes, roles=roles, sample=sample, alice=alices, bob=bobs, position=position
            )
        end = position + len(alice)
        word_end = -(-end // 64) * 64 if size else position
        assert done.position == end
        for buffer, key in ((alices, alice), (bobs, bob)):
            assert bits_of(buffer)[:position] == before[:position]
            assert bits_of(buffer)[position:end] == key
            assert not any(bits_of(buffer)[end:word_end])
            assert bits_of(buffer)[word_end:] == before[word_end:]
        assert {c: int(n) for c, n in enumerate(done.revealed) if n} == dict(revealed)


@pytest.mark.parametrize("way", ROUTES)
@pytest.mark.parametrize("sizes", [(1,) * 70, (63, 1, 64, 65, 0, 200), (4096, 4097, 4095, 100_000)])
def test_key_of_many_blocks_is_the_key_of_one(sizes, way):
    codes, sample = random_rounds(EKERT, 2, size=sum(sizes))
    flags = np.unpackbits(sample, count=len(codes))
    roles = key_roles(EKERT)
    one, many = buffers(sum(sizes)), buffers(sum(sizes))
    with route(way):
        whole = append_key(codes, roles=roles, sample=sample, alice=one[0], bob=one[1], position=0)
        start, position, revealed = 0, 0, np.zeros(256, int)
        for size in sizes:
            stop = start + size
            done = append_key(
                codes[start:stop],
                roles=roles,
                sample=np.packbits(flags[start:stop]),
                alice=many[0],
                bob=many[1],
                position=position,
            )
            start, position, revealed = stop, done.position, revealed + done.revealed
    assert position == whole.position
    assert np.array_equal(one, many)
    assert np.array_equal(revealed, whole.revealed)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 1.0])
@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("position", [0, 5])
def test_both_routes_pack_the_same_keys_however_many_key_rounds_there_are(
    share, fraction, position
):
    generator = np.random.default_rng(8)
    codes = np.where(generator.random(2**16) < share, 12, 0).astype(np.uint8)
    codes += generator.integers(0, 4, 2**16, np.uint8)
    sample = np.packbits(generator.random(2**16) < fraction)
    results = []
    for way in ROUTES:
        alice, bob = buffers(2**16 + 5)
        arrays = {"roles": key_roles(EKERT), "sample": sample, "alice": alice, "bob": bob}
        with route(way):
            done = append_key(codes, **arrays, position=position)
        results.append([alice, bob, done.revealed, np.array(done.position)])
    assert all(np.array_equal(*pair) for pair in zip(*results, strict=True))


@pytest.mark.parametrize("way", ROUTES)
@pytest.mark.parametrize("assign_lost", [False, True])
def test_packed_keys_are_those_of_the_sifting_by_messages(assign_lost, way):
    """The public protocol of `sifting.two_party`, party by party, gives the same bits."""
    codes, sample = random_rounds(EKERT, 3, size=5000)
    x, y, a, b = np.array([split(c, settings=EKERT, outcomes=3) for c in codes.tolist()]).T
    halves = PartyRecord(x, a), PartyRecord(y, b)
    if assign_lost:
        halves = tuple(map(sifting.assign_lost_photons, halves))
    views = [np.frombuffer(sifting.announce_settings(half), np.uint8) for half in halves]
    roles = sifting.assign_roles(*views, settings=EKERT)
    chosen = np.unpackbits(sample, count=len(codes))[roles == sifting.Role.KEY]
    marked = sifting.mark_sample(roles, pack(chosen))
    alice, bob = buffers(len(codes))
    with route(way):
        done = append_key(
            codes,
            roles=key_roles(EKERT, outcomes=3, assign_lost=assign_lost),
            sample=sample,
            alice=alice,
            bob=bob,
            position=0,
        )
    for half, buffer in zip(halves, (alice, bob), strict=True):
        key = pack(sifting.key_of(half, marked).bits)
        assert buffer[: len(key)].tobytes() == key
    shown = np.flatnonzero(marked == sifting.Role.REVEALED)
    assert np.array_equal(done.shown, codes[shown])


def test_roles_of_every_code_follow_the_settings():
    for settings, outcomes, assign_lost in [
        (s, k, lost) for s in SETTINGS.values() for k in (2, 3) for lost in (False, True)
    ]:
        roles = key_roles(settings, outcomes=outcomes, assign_lost=assign_lost)
        for code in range(256):
            x, y, a, b = split(code, settings=settings, outcomes=outcomes)
            lost = NO_CLICK in (a, b)
            if (x, y) in settings.key_pairs and (assign_lost or not lost):
                assert roles[code] == KEY + 2 * (a == 1) + (b == 1)
            else:
                assert roles[code] == 0


def test_swapping_the_bits_in_the_roles_swaps_the_keys():
    codes, sample = random_rounds(BBM92, 2, size=1000)
    roles = key_roles(BBM92)
    swapped = np.where(roles >= KEY, KEY + (roles & 1) * 2 + (roles >> 1 & 1), 0).astype(np.uint8)
    one, two = buffers(1000), buffers(1000)
    append_key(codes, roles=roles, sample=sample, alice=one[0], bob=one[1], position=0)
    append_key(codes, roles=swapped, sample=sample, alice=two[0], bob=two[1], position=0)
    assert np.array_equal(one, two[::-1])
    assert not np.array_equal(one[0], one[1])


# --- tally ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ROUTES)
@given(codes=st.binary(max_size=300), offset=st.integers(0, 9))
def test_tally_counts_every_code(way, codes, offset):
    room = np.frombuffer(bytes(offset) + codes, np.uint8)
    with route(way):
        counts = tally(room[offset:], cells=256)
    assert counts.dtype == np.int64
    assert {c: int(n) for c, n in enumerate(counts) if n} == dict(Counter(codes))


@pytest.mark.parametrize("way", ROUTES)
def test_tally_of_a_whole_block_of_one_code_does_not_overflow(way):
    with route(way):
        assert tally(np.full(2**18 + 3, 35, np.uint8), cells=36).tolist() == [0] * 35 + [2**18 + 3]


@pytest.mark.parametrize("way", ROUTES)
def test_code_that_does_not_exist_is_refused(way):
    with route(way), pytest.raises(ValueError, match="must lie below 36, but reach 36"):
        tally(np.array([0, 36, 35], np.uint8), cells=36)


# --- samples -------------------------------------------------------------------------------------


def recorded(entropy):
    """The same source, and all that it handed out."""
    given_out = []

    def hand_out(size):
        given_out.append(entropy(size))
        return given_out[-1]

    return hand_out, given_out


@pytest.mark.parametrize("fraction", [0.1, 0.5, 1 / 3, 0.7, 1e-3, 1 - 2**-53, 2**-60])
@pytest.mark.parametrize("way", ROUTES)
def test_sample_is_that_of_the_definition(fraction, way):
    entropy, given_out = recorded(seeded_entropy(5))
    with route(way):
        sample = np.unpackbits(draw_sample(entropy, fraction=fraction, rounds=20_001), count=20_001)
    edge = int(Fraction(fraction) * 2**64)
    first, further = given_out
    more = iter(further[i : i + 8] for i in range(0, len(further), 8))
    for chosen, draw in zip(sample.tolist(), first, strict=True):
        number = draw * 2**56
        if draw == edge >> 56:
            number += int.from_bytes(next(more), "little") >> 8
        assert chosen == (number < edge)
    assert next(more, None) is None


@pytest.mark.parametrize("fraction", [0.1, 0.75, 1e-5, 1 - 2**-53])
@pytest.mark.parametrize("way", ROUTES)
def test_a_coin_has_its_exact_probability(fraction, way):
    """All 256 draws, each with the extensions at its ends: what decides is a single threshold."""

    def shows(draw, extension):
        pieces = iter([bytes([draw]), (extension << 8).to_bytes(8, "little")])
        sample = draw_sample(lambda size: next(pieces)[:size], fraction=fraction, rounds=1)
        return sample[0] == 128

    def revealing(draw):
        """How many of the 2^56 extensions reveal: those below the first that does not."""
        low, high = 0, 2**56
        if not shows(draw, low):  # most draws are decided by themselves
            return low
        if shows(draw, high - 1):
            return high
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if shows(draw, middle) else (low, middle)
        return low

    with route(way):
        total = sum(Fraction(revealing(draw), 2**64) for draw in range(256))
    assert abs(total - Fraction(fraction)) < Fraction(1, 2**63)


def taken(pieces, size):
    return next(pieces)[:size]


@given(st.binary(max_size=100), st.sampled_from([0, 1, 100, 127, 128, 129, 254, 255]))
def test_both_routes_draw_the_same_sample(body, upper):
    results = []
    for way in ROUTES:
        entropy = iter([body, seeded_entropy(2)(1000)])
        fraction = (upper + 0.5) / 256
        with route(way):
            sample = draw_sample(partial(taken, entropy), fraction=fraction, rounds=len(body))
        results.append(sample.tolist())
    assert results[0] == results[1]


def test_revealed_share_is_the_fraction():
    size = 2**20
    sample = draw_sample(seeded_entropy(1), fraction=0.1, rounds=size)
    shown = int(np.unpackbits(sample, count=size).sum())
    assert_binomial(shown, size, 0.1, must_detect=0.103)


def test_sample_is_padded_with_zeros():
    ones = draw_sample(bytes, fraction=0.5, rounds=11)
    assert ones.tolist() == [0b11111111, 0b11100000]
    assert draw_sample(bytes, fraction=0.5, rounds=0).tolist() == []


# --- routes and guards ----------------------------------------------------------------------------


MISALIGNED = np.zeros(17, np.uint8)[1:]
WRONG = [
    ({"codes": np.zeros(8, np.int16)}, "`codes` must be contiguous uint8"),
    ({"codes": np.zeros((2, 4), np.uint8)}, "`codes` must be contiguous uint8"),
    ({"codes": np.zeros(16, np.uint8)[::2]}, "`codes` must be contiguous uint8"),
    ({"roles": np.zeros(36, np.uint8)}, "`roles` must be uint8 of shape"),
    ({"roles": np.full(256, 3, np.uint8)}, "`roles` must hold 0 or 4 to 7"),
    ({"roles": np.full(256, 8, np.uint8)}, "`roles` must hold 0 or 4 to 7"),
    ({"roles": np.full(256, 4, np.uint8)}, "`roles` must discard the code 255"),
    ({"sample": np.zeros(2, np.uint8)}, "`sample` must be contiguous uint8 of shape"),
    ({"sample": np.zeros(1, np.int8)}, "`sample` must be contiguous uint8 of shape"),
    ({"alice": np.zeros(12, np.uint8)}, "`alice` must be uint8 in whole words"),
    ({"bob": np.zeros(2, np.uint64)}, "`bob` must be uint8 in whole words"),
    ({"bob": np.zeros(32, np.uint8)[::2]}, "`bob` must be contiguous, aligned and writeable"),
    ({"alice": np.frombuffer(bytes(16), np.uint8)}, "`alice` must be contiguous, aligned"),
    ({"alice": MISALIGNED}, "`alice` must be contiguous, aligned"),
    ({"position": -1}, "`alice` must have room for 8 bits from position -1"),
    ({"position": 121}, "`alice` must have room for 8 bits from position 121, but has 128"),
    ({"bob": np.zeros(0, np.uint8)}, "`bob` must have room"),
]


@pytest.mark.parametrize(("wrong", "message"), WRONG)
def test_wrong_argument_is_refused(wrong, message):
    right = {
        "codes": np.zeros(8, np.uint8),
        "roles": key_roles(EKERT),
        "sample": np.zeros(1, np.uint8),
        "alice": np.zeros(16, np.uint8),
        "bob": np.zeros(16, np.uint8),
        "position": 0,
    }
    append_key(**right)
    with pytest.raises(ValueError, match=message):
        append_key(**{**right, **wrong})


@pytest.mark.parametrize("fraction", [0, 1, -0.1, float("nan")])
def test_coin_without_two_sides_is_refused(fraction):
    with pytest.raises(ValueError, match="`fraction` must lie strictly between 0 and 1"):
        draw_sample(seeded_entropy(1), fraction=fraction, rounds=8)


def test_negative_number_of_rounds_is_refused():
    with pytest.raises(ValueError, match="`rounds` must be at least 0, but is -1"):
        draw_sample(seeded_entropy(1), fraction=0.5, rounds=-1)


def test_roles_of_impossible_outcomes_are_refused():
    with pytest.raises(ValueError, match="`outcomes` must be 2 or 3, but is 4"):
        key_roles(ASYMMETRIC, outcomes=4)
    angles = tuple(np.linspace(0, 3, 8))
    with pytest.raises(ValueError, match="at most 255 codes, but gives 256"):
        key_roles(Settings("many", angles, angles))
