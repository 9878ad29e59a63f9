"""Keys dealt into portions: the deal, the share of phase errors, the length, whole sessions."""

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statistical import assert_binomial

from e91.devices.exact import exact_device
from e91.distillation.amplification.hashing import modified_toeplitz_hash
from e91.distillation.portions.partition import divide
from e91.model.errors import Abort
from e91.model.messages import Message
from e91.model.portion_sizes import GROUP, PORTIONS, portion_size
from e91.model.records import Leak, SecretLength, SiftedKey
from e91.model.settings import EKERT
from e91.model.trust import SecurityModel
from e91.security.policy import Policy
from e91.security.secret_length import in_whole_bytes, lengths, merged, share_bound
from e91.session.planning import Link, best_plan
from e91.session.session import run
from e91.session.streaming import stream
from e91.system.workspace import Workspace

SEVERAL = PORTIONS[1:]


def dealt_by_hand(bits, portions, turns):
    """The definition, bit by bit: row by row, in the order (group, row of a word, word)."""
    rows = bits[: len(turns) * portions].reshape(-1, portions)
    found = [[] for _ in range(portions)]
    a_word, a_group = 64 // portions, GROUP // portions
    for group, row, word in product(range(len(turns) // a_group), range(a_word), range(64)):
        turn = int(turns[len(found[0])])
        place = group * a_group + word * a_word + row
        for portion in range(portions):
            found[portion].append(rows[place, (portion + turn) % portions])
    return np.array(found, np.uint8)


@pytest.mark.parametrize("portions", SEVERAL)
@pytest.mark.parametrize("compiled", [True, False])
def test_division_is_its_definition(portions, compiled):
    generator = np.random.default_rng(portions)
    bits = generator.integers(0, 2, 2 * GROUP + 77, np.uint8)
    turns = generator.integers(0, 256, portion_size(len(bits), portions=portions), np.uint8)
    workspace = Workspace(compiled=compiled)
    found = divide(SiftedKey(bits), portions=portions, turns=turns, workspace=workspace)
    assert np.array_equal([portion.bits for portion in found], dealt_by_hand(bits, portions, turns))


@pytest.mark.parametrize("portions", SEVERAL)
@pytest.mark.parametrize("groups", [0, 1, 130])
def test_numpy_divides_any_number_of_groups_as_compiled_code_does(portions, groups):
    generator = np.random.default_rng(1)
    key = SiftedKey(generator.integers(0, 2, groups * GROUP + 1, np.uint8))
    turns = generator.integers(0, 256, groups * GROUP // portions, np.uint8)
    found = (
        divide(key, portions=portions, turns=turns, workspace=Workspace(compiled=compiled))
        for compiled in (True, False)
    )
    for one, other in zip(*found, strict=True):
        assert np.array_equal(one.packed, other.packed)


@pytest.mark.parametrize("portions", SEVERAL)
def test_every_portion_gets_every_bit_of_a_row_at_one_turn(portions):
    """All turns, one marked bit: it visits each portion equally often, so a deal is fair."""
    bits = np.zeros(GROUP, np.uint8)
    bits[portions + 1] = 1
    turns = np.zeros(GROUP // portions, np.uint8)
    place = 1 if portions == 64 else 64  # the second row is that of the next word, or this one's
    visits = np.zeros(portions, int)
    for turn in range(256):
        turns[place] = turn
        found = divide(SiftedKey(bits), portions=portions, turns=turns)
        counts = [int(portion.bits.sum()) for portion in found]
        assert sum(counts) == 1
        visits += counts
    assert (visits == 256 // portions).all()


def test_division_checks_its_arguments():
    key = SiftedKey(np.zeros(GROUP, np.uint8))
    with pytest.raises(ValueError, match=r"`turns` must have shape \(512,\), but has \(511,\)"):
        divide(key, portions=8, turns=np.zeros(511, np.uint8))
    with pytest.raises(ValueError, match="`portions` must be at least 2"):
        divide(key, portions=1, turns=np.zeros(GROUP, np.uint8))
    for portions in (0, 3, 128):
        with pytest.raises(ValueError, match="`portions` must be one of"):
            divide(key, portions=portions, turns=np.zeros(0, np.uint8))
    with pytest.raises(ValueError, match="`bits` must not be negative"):
        portion_size(-1, portions=2)


def tail(means, count):
    """P(sum of independent bits >= count), by convolution."""
    distribution = np.ones(1)
    for mean in means:
        distribution = np.convolve(distribution, [1 - mean, mean])
    return distribution[count:].sum()


@given(
    st.lists(st.integers(0, 8), min_size=1, max_size=60),
    st.sampled_from([0.3, 1e-2, 1e-6, 1e-12]),
)
def test_share_is_exceeded_with_less_than_epsilon_wherever_the_errors_are(in_rows, epsilon):
    rows = len(in_rows)
    bound = share_bound(sum(in_rows), rows=rows, portions=8, epsilon=epsilon)
    if bound < rows:  # else nothing can exceed it
        exceeding = math.ceil(bound * (1 - 1e-12))
        assert tail([errors / 8 for errors in in_rows], exceeding) <= epsilon * (1 + 1e-9)


def test_share_costs_a_tenth_more_than_the_exact_tail_at_most():
    rows, mean = 400, 0.03
    bound = share_bound(8 * rows * mean, rows=rows, portions=8, epsilon=1e-9)
    exact = next(c for c in range(rows) if tail([mean] * rows, c) <= 1e-9)
    assert exact <= bound < 1.1 * exact


def test_share_grows_with_errors_and_certainty_and_ends_at_the_row():
    def share(errors, epsilon):
        return share_bound(errors, rows=10**5, portions=8, epsilon=epsilon)

    errors = [share(e, 1e-12) for e in (0, 1, 10**3, 10**4, 10**5, 8 * 10**5, 10**7)]
    assert errors == sorted(errors)
    assert errors[0] < 1e-3
    assert errors[-1] == 10**5
    certain = [share(10**4, 10.0**-power) for power in (1, 5, 50, 300)]
    assert certain == sorted(certain)
    assert certain[0] > 10**4 / 8


@pytest.mark.parametrize(
    "wrong", [{"errors": -1}, {"rows": 0}, {"portions": 0}, {"epsilon": 0}, {"epsilon": 1}]
)
def test_share_checks_its_arguments(wrong):
    arguments = {"errors": 1, "rows": 10, "portions": 2, "epsilon": 0.1} | wrong
    with pytest.raises(ValueError, match="A share must have"):
        share_bound(
            arguments["errors"],
            rows=arguments["rows"],
            portions=arguments["portions"],
            epsilon=arguments["epsilon"],
        )


def test_errors_that_stand_together_are_dealt_out_evenly():
    """Eve puts all errors into every other row; the shares stay fair draws of the same mean."""
    portions, groups = 8, 200
    rows = groups * GROUP // portions
    pattern = np.zeros((rows, portions), np.uint8)
    pattern[::2, :4] = 1  # so an errorless portion exists before the deal, and a bad one
    turns = np.random.default_rng(5).integers(0, 256, rows, np.uint8)
    for portion in divide(SiftedKey(pattern.ravel()), portions=portions, turns=turns):
        assert_binomial(int(portion.bits.sum()), rows // 2, 0.5, must_detect=0.53)


# Two portions of three bits each, hashed to one bit each with one seed: everything, exactly.


def distance_from_uniform(pairs):
    """Trace distance of (K1, K2, seed) from uniform K1, K2 for equally likely pairs of keys."""
    total = 0.0
    for seed in product((0, 1), repeat=2):
        counts = np.zeros((2, 2))
        for one, other in pairs:
            hashed = [
                int(modified_toeplitz_hash(np.array(key, np.uint8), 1, np.array(seed, np.uint8))[0])
                for key in (one, other)
            ]
            counts[tuple(hashed)] += 1 / len(pairs)
        total += np.abs(counts - 0.25).sum() / 2 / 4
    return total


def test_one_seed_serves_two_portions_that_are_random_given_each_other():
    keys = list(product((0, 1), repeat=3))
    # Two of three bits are random given the other portion: leftover hashing allows a distance of
    # sqrt(2^(1 - 2)) / 2 for each.
    pairs = [(a, b) for a in keys for b in keys if sum(a) % 2 == sum(b) % 2]
    assert distance_from_uniform(pairs) <= 2 * math.sqrt(2 ** (1 - 2)) / 2
    assert distance_from_uniform([(a, b) for a in keys for b in keys]) == 0


def test_portions_that_are_equal_would_not_do_with_one_seed_or_with_two():
    """Random each, but not given each other: the condition of the proof is needed."""
    keys = list(product((0, 1), repeat=3))
    assert distance_from_uniform([(a, a) for a in keys]) == 0.5


POLICY = Policy(portions=4)
ARGUMENTS = {"phase_errors": lambda _: 20_000.0, "expected_rate": 0.01, "epsilon": 1e-10}


def test_lengths_add_up_to_the_last_bit_and_are_whole_bytes():
    reported = (30_001, 30_017, 29_900, 31_234)
    found = lengths(1_000_003, portions=4, leak=Leak(sum(reported), 0, reported), **ARGUMENTS)
    assert all(length.bits > 0 and length.bits % 8 == 0 for length in found)
    assert merged(found, key_size=1_000_003).bits == sum(length.bits for length in found)
    costs = [found[0].bits - length.bits for length in found]
    assert costs == pytest.approx([bits - reported[0] for bits in reported], abs=8)


def test_a_portion_pays_for_its_own_leak_only():
    reported = (10**6, 30_000, 30_000, 30_000)
    found = lengths(10**6, portions=4, leak=Leak(sum(reported), 0, reported), **ARGUMENTS)
    assert found[0].bits == 0 < found[1].bits
    assert merged(found, key_size=10**6).bits == 3 * found[1].bits


def test_lengths_before_the_leak_is_known_by_portion_share_it():
    found = lengths(10**6, portions=4, leak=Leak(120_001), **ARGUMENTS)
    assert {dict(length.terms)["error correction, Alice's bits"] for length in found} == {-30_001.0}
    with pytest.raises(ValueError, match="must speak of 4 portions, but speaks of 2"):
        lengths(10**6, portions=4, leak=Leak(1, 0, (1, 0)), **ARGUMENTS)


def test_a_portion_costs_more_certainty_than_the_key_it_is_of():
    """Each has its share of epsilon: the bound is asked to fail no more than (estimation/k)^2/2."""
    asked = []

    def bound(failure):
        asked.append(failure)
        return 0.0

    lengths(10**6, portions=4, phase_errors=bound, expected_rate=0, leak=Leak(), epsilon=1e-10)
    assert asked == pytest.approx([(0.4e-10 / 4) ** 2 / 2])


def test_a_length_cut_to_bytes_loses_less_than_one():
    for bits in (-5.5, 0.0, 7.9, 8.0, 1000.3, 2.0**40 + 3.7):
        kept = in_whole_bytes(SecretLength((("sum", bits),), None)).bits
        assert kept % 8 == 0
        assert 0 <= max(bits, 0) - kept < 8


def test_key_shorter_than_a_group_leaves_no_portion():
    found = lengths(GROUP - 1, portions=2, leak=Leak(), **ARGUMENTS)
    assert [length.bits for length in found] == [0, 0]


@pytest.fixture(scope="module")
def report():
    device = exact_device(visibility=0.98, seed=1)
    return run(device, rounds=1_500_000, policy=POLICY, seed=2)


def test_session_with_portions_makes_equal_keys_of_the_stated_length(report):
    assert report.abort is None
    assert np.array_equal(report.key.bits, report.keys.bob.bits)
    assert len(report.key) == report.length.bits - 512
    assert report.length.bits % 8 == 0
    whole = run(
        exact_device(visibility=0.98, seed=1), rounds=1_500_000, policy=Policy(), seed=2
    ).length.bits
    assert 0.9 * whole < report.length.bits < whole


def test_all_that_alice_disclosed_is_charged(report):
    terms = dict(report.length.terms)
    assert -terms["error correction, Alice's bits"] == report.leak.alice


def test_key_bits_of_all_portions_look_random(report):
    ones = int(report.key.bits.sum())
    assert_binomial(ones, len(report.key), 0.5, must_detect=0.515)


def test_altered_deal_is_noticed():
    def altering(message):
        if message.subject != "portions":
            return message
        return Message(message.sender, "portions", bytes([message.body[0] ^ 1]) + message.body[1:])

    def shortening(message):
        heard = b"" if message.subject == "portions" else message.body
        return Message(message.sender, message.subject, heard, message.disclosed_bits)

    device, policy = exact_device(visibility=0.98, seed=1), Policy(portions=2, epsilon=1e-6)
    for transmission in (altering, shortening):
        found = run(device, rounds=80_000, policy=policy, seed=3, transmission=transmission)
        assert found.abort is Abort.NOT_AUTHENTIC


def test_streamed_portions_are_the_same_without_numba(monkeypatch):
    def keys():
        device = exact_device(visibility=0.98, seed=1)
        reports = stream(device, rounds=600_000, block_rounds=300_000, policy=POLICY, seed=4)
        return [found.key.packed.tobytes() for found in reports]

    compiled = keys()
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    assert keys() == compiled


def test_portions_are_refused_where_they_are_not_proved():
    for other in (
        {"security": SecurityModel.DEVICE_INDEPENDENT},
        {"theorem": "tlgr-2012", "tolerated_error": 0.02},
        {"reconciler": "ldpc"},
    ):
        with pytest.raises(ValueError, match="`portions` must be 1 but for `phase-errors`"):
            Policy(portions=8, **other)
    with pytest.raises(ValueError, match="`portions` must be one of"):
        Policy(portions=5)


def test_planned_length_is_what_a_session_with_portions_gets():
    link, rounds = Link(2 * 2**0.5 * 0.98, 0.01, efficiency=1.06), 2_000_000
    plan = best_plan(link, rounds, settings=EKERT, policy=replace(POLICY, portions=2))
    device = exact_device(settings=plan.settings, visibility=0.98, seed=6)
    found = run(device, rounds=rounds, policy=plan.policy, seed=7)
    assert found.length.bits == pytest.approx(plan.length.bits, rel=0.06)
