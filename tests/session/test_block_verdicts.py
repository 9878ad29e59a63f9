"""Blocks judged in arrays: the same aborts and bits as block by block, whatever the counts."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import chi2
from statistical import assert_binomial

from e91.bell.correlators import no_signalling_p_value, settings_p_value
from e91.bell.sufficient import no_signalling_surely_passes, settings_surely_pass
from e91.model.errors import Abort
from e91.model.records import Leak
from e91.model.settings import ASYMMETRIC, BBM92, BBM92_PLAIN, EKERT
from e91.model.trust import SecurityModel
from e91.security.policy import Policy
from e91.session.block_counts import BlockCounts, draw_counts
from e91.session.block_verdicts import judge_many
from e91.session.verdict import judge, verdict_of

BIASED = EKERT.biased((0.05, 0.05, 0.9), (0.05, 0.9, 0.05))
SIZES = (0, 30, 300, 3_000, 16_384, 65_536, 2**18, 2**20, 2**24)
VISIBILITIES = (0.99, 0.95, 0.9, 0.8, 0.72, 0.5, -1.0)  # the last one is a singlet: inverted


def werner(settings, visibility):
    """The table of a Werner state of Phi+, from its correlators."""
    angles = np.subtract.outer(settings.alice_angles, settings.bob_angles)
    correlator = visibility * np.cos(angles)[..., None, None]
    return (1 + correlator * np.array([[1, -1], [-1, 1]])) / 4


def conclude(evidence, leak, differ, settings, policy):
    """A session's verdicts, written out: abort, bits, net bits, what Alice said, the last one."""
    found, reported = judge(evidence, settings=settings, policy=policy), 0
    if found.abort is None:
        reported = leak.alice
        found = verdict_of(evidence, settings=settings, policy=policy, leak=leak)
        if differ:
            found = replace(found, abort=Abort.KEYS_DIFFER)
    bits = found.length.bits if found.length else 0
    return (found.abort, bits, 0 if found.abort else bits - 512, reported), found


def sabotaged(counts, rng):
    """Return the counts with some blocks skewed, signalling, or one count beside nothing."""
    shift = np.sqrt(counts.pair_counts.sum(axis=(1, 2))).astype(int)
    kind = rng.integers(0, 8, len(counts))
    pairs, tests, samples = counts.pair_counts.copy(), counts.tests.copy(), counts.samples.copy()
    pairs[:, 0, 0] += np.where(kind == 0, rng.integers(1, 6) * shift, 0)
    tests[:, 1, 0] += np.where(kind == 1, rng.integers(4, 12) * shift, 0)
    tests[kind == 2, 3] = 0  # a pair that never occurred
    samples[kind == 3, :, 1:] = 0  # nothing revealed
    samples[kind == 4, :, 0] = 0  # no key
    return replace(counts, pair_counts=pairs, tests=tests, samples=samples)


def blocks_of(settings, policy, seed, each=12):
    rng = np.random.default_rng(seed)
    parts = []
    for visibility in VISIBILITIES:
        for size in SIZES:
            drawn = draw_counts(
                rng, werner(settings, visibility), [size] * each, settings=settings, policy=policy
            )
            parts += [drawn, sabotaged(drawn, rng)]
    counts = BlockCounts.joined(parts)
    leak = (rng.uniform(0, 0.5, len(counts)) ** 2 * counts.key_size).astype(np.int64) + 128
    return counts, leak, rng.random(len(counts)) < 0.2


def assert_equal(counts, leak, differ, settings, policy):
    found = judge_many(counts, leak, settings=settings, policy=policy, keys_differ=differ)
    for i in range(len(counts)):
        reported = Leak(int(leak[i]), int(leak[i]))
        known, verdict = conclude(counts.evidence(i), reported, differ[i], settings, policy)
        seen = found.length_bits[i], found.secret_bits[i], found.leaked_bits[i]
        assert (found.abort(i), *seen) == known
        for seen, known in (
            (found.chsh_lower_bound[i], verdict.chsh.lower_bound),
            (found.chsh[i], verdict.chsh.value),
            (found.error_rate[i], verdict.evidence.error_rate),
        ):
            assert math.isnan(seen) if known is None else abs(seen - known) < 1e-12
    return found


@pytest.mark.parametrize(
    ("settings", "policy"),
    [
        (EKERT, Policy()),
        (BIASED, Policy(revealed_fraction=0.03)),
        (ASYMMETRIC, Policy(epsilon=1e-6)),
        (BBM92, Policy(revealed_fraction=0.5)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_every_block_is_judged_as_alone(settings, policy):
    counts, leak, differ = blocks_of(settings, policy, seed=5, each=6)
    found = assert_equal(counts, leak, differ, settings, policy)
    kinds = Counter(found.abort(i) for i in range(len(counts)))
    elsewhere = {Abort.STATISTICS_ONLY, Abort.NOT_AUTHENTIC, Abort.TOO_MANY_ERRORS}
    assert set(kinds) == {None, *Abort} - elsewhere
    assert min(kinds.values()) >= 2
    assert found.by_scalar_code < kinds[Abort.SETTINGS_SKEWED] + kinds[Abort.SIGNALLING] + 40


@pytest.mark.parametrize(
    ("settings", "policy"),
    [
        (BIASED, Policy(portions=4)),
        (EKERT, Policy(theorem="shor-preskill-2000", asymptotic=True)),
        (BBM92, Policy(theorem="exact-sampling", tolerated_error=0.03)),
        (BBM92_PLAIN, Policy(theorem="exact-sampling", tolerated_error=0.03)),
        (EKERT, Policy(security=SecurityModel.DEVICE_INDEPENDENT)),
    ],
    ids=["portions", "asymptotic", "tolerated error", "no Bell test", "device-independent"],
)
def test_policies_without_arrays_are_judged_block_by_block(settings, policy):
    rng = np.random.default_rng(1)
    sizes = [0, 10_000, 200_000, 2_000_000]
    counts = draw_counts(rng, werner(settings, 0.98), sizes, settings=settings, policy=policy)
    leak = counts.key_size // 8
    found = assert_equal(counts, leak, np.zeros(4, bool), settings, policy)
    assert found.by_scalar_code == 4
    assert found.secret_bits[-1] > 0


@pytest.mark.parametrize("constant", ["_CLOSE", "_CLOSE_BITS"])
def test_what_the_last_digits_could_decide_goes_to_the_scalar_code(monkeypatch, constant):
    monkeypatch.setattr(f"e91.session.block_verdicts.{constant}", 10.0)
    counts, leak, differ = blocks_of(EKERT, Policy(), seed=6, each=1)
    found = assert_equal(counts, leak, differ, EKERT, Policy())
    assert found.by_scalar_code >= np.count_nonzero(found.aborts != 1)


def test_bobs_bits_count_as_many_as_alices_unless_they_are_known():
    policy = Policy(security=SecurityModel.DEVICE_INDEPENDENT)
    rng = np.random.default_rng(2)
    counts = draw_counts(rng, werner(EKERT, 1.0), [10**6], settings=EKERT, policy=policy)
    unknown, none, both = (
        judge_many(counts, alice, settings=EKERT, policy=policy, bob_leaked_bits=bob)
        for alice, bob in ((1_000, None), (1_000, 0), (1_000, 1_000))
    )
    assert none.secret_bits[0] - unknown.secret_bits[0] == 1_000
    assert unknown.secret_bits[0] == both.secret_bits[0]


def test_second_verdict_wants_one_bit_more_than_the_next_tags_need():
    counts, _, differ = blocks_of(BIASED, Policy(), seed=8, each=1)
    most = judge_many(counts, 0, settings=BIASED, policy=Policy()).length_bits
    for left in (511, 512, 513):
        leak = np.maximum(0, most - left)
        found = assert_equal(counts, leak, differ, BIASED, Policy())
        assert found.released.any() == (left > 512)


@pytest.mark.parametrize("leak", [-1, 0.5, [1.0, 2.0]])
def test_a_leak_that_is_no_whole_number_is_refused(leak):
    counts, _, _ = blocks_of(EKERT, Policy(), seed=6, each=1)
    with pytest.raises(ValueError, match="whole numbers from 0"):
        judge_many(counts, leak, settings=EKERT, policy=Policy())


# The cheap tests ----------------------------------------------------------------------------------


def test_what_surely_passes_passes():
    rng, level = np.random.default_rng(3), 1e-9
    declared = np.outer(BIASED.alice_probabilities, BIASED.bob_probabilities)
    passed = refused = undecided = 0
    for size in (1, 3, 30, 300, 3_000, 10**5, 10**8):
        for excess in range(20):
            seen = rng.multinomial(size, declared.ravel()).reshape(3, 3)
            seen[0, 1] += int(excess * math.sqrt(size * declared[0, 1]))
            table = rng.multinomial(size, np.full(16, 1 / 16)).reshape(2, 2, 2, 2)
            table[1, 0, :, 1] += int(excess * math.sqrt(size / 16))
            for surely, p in (
                (
                    settings_surely_pass(seen, probabilities=declared, level=level),
                    settings_p_value(seen, probabilities=declared),
                ),
                (no_signalling_surely_passes(table, level=level), no_signalling_p_value(table)),
            ):
                assert not surely or p > level
                passed += int(surely)
                refused += p <= level
                undecided += not surely and p > level
    assert min(passed, refused) > 80
    assert undecided < 40


def test_cheap_tests_see_each_way_in_which_counts_can_be_wrong():
    settled = np.full((2, 2, 2, 2), 10_000)
    for place in np.ndindex(2, 2, 2, 2):
        table = settled.copy()
        table[place] += 2_500
        assert no_signalling_p_value(table) <= 1e-9
        assert not no_signalling_surely_passes(table, level=1e-9)
    declared = np.full((3, 3), 1 / 9)
    for place in np.ndindex(3, 3):
        seen = np.full((3, 3), 10_000)
        seen[place] += 1_000
        assert settings_p_value(seen, probabilities=declared) <= 1e-9
        assert not settings_surely_pass(seen, probabilities=declared, level=1e-9)


# Drawn counts -------------------------------------------------------------------------------------


def test_counts_are_the_same_in_calls_of_any_length():
    sizes = np.random.default_rng(1).integers(0, 10**5, (60, 2))
    tables = np.stack([werner(BIASED, 0.97), werner(BIASED, 0.6)])

    def drawn(chunks):
        rng, parts = np.random.default_rng(2), np.split(sizes, np.cumsum(chunks))
        return BlockCounts.joined(
            draw_counts(rng, tables, part, settings=BIASED, policy=Policy()) for part in parts
        )

    whole = drawn([])
    assert (whole.pair_counts.sum(axis=(1, 2)) == sizes.sum(axis=1)).all()
    for chunks in ([1] * 59, [7] * 8, [59]):
        again = drawn(chunks)
        for i in range(60):
            assert again.evidence(i) == whole.evidence(i)
        assert np.array_equal(again.hidden_errors, whole.hidden_errors)


def test_no_block_is_drawn_and_judged_too():
    rng, none = np.random.default_rng(1), np.zeros(0, np.int64)
    counts = draw_counts(rng, werner(EKERT, 0.9), none, settings=EKERT, policy=Policy())
    assert len(judge_many(counts, 0, settings=EKERT, policy=Policy())) == 0


def test_pieces_of_blocks_add_up():
    rng = np.random.default_rng(4)
    one, other = (
        draw_counts(rng, werner(EKERT, v), [1_000, 5_000], settings=EKERT, policy=Policy())
        for v in (0.9, 0.5)
    )
    both = one + other
    for i in range(2):
        assert both.evidence(i) == one.evidence(i) + other.evidence(i)
    assert np.array_equal(both.hidden_errors, one.hidden_errors + other.hidden_errors)


SINGLET = replace(
    BIASED,
    state="psi-",
    key_signs=(-1, -1),
    chsh_pairs=tuple((pair, -sign) for pair, sign in BIASED.chsh_pairs),
)


@pytest.mark.parametrize(("settings", "visibility"), [(BIASED, 0.9), (SINGLET, -0.9)])
def test_each_kind_of_round_is_drawn_as_often_as_it_should_be(settings, visibility):
    fraction, total = 0.07, 400 * 50_000
    policy, table = Policy(revealed_fraction=fraction), werner(settings, visibility)
    rng = np.random.default_rng(5)
    drawn = draw_counts(rng, table, [50_000] * 400, settings=settings, policy=policy)
    for k, (pair, sign) in enumerate(settings.chsh_pairs):
        share = settings.pair_probability(pair) * (1 + sign * 0.9 / math.sqrt(2)) / 4
        both_zero = int(drawn.tests[:, k, 0].sum())
        assert_binomial(both_zero, total, share, must_detect=1.2 * share)
    for k, pair in enumerate(settings.key_pairs):
        share = settings.pair_probability(pair)
        hidden, revealed, errors = drawn.samples[:, k].sum(axis=0).tolist()
        assert_binomial(hidden, total, share * (1 - fraction), must_detect=share)
        assert_binomial(revealed, total, share * fraction, must_detect=1.2 * share * fraction)
        assert_binomial(errors, revealed, 0.05, must_detect=0.1)
        assert drawn.pair_counts[:, *pair].sum() == hidden + revealed
    hidden, errors = int(drawn.key_size.sum()), int(drawn.hidden_errors.sum())
    assert_binomial(errors, hidden, 0.05, must_detect=0.052)


def test_blocks_scatter_as_independent_rounds_do():
    blocks, size = 2_000, 20_000
    drawn = draw_counts(
        np.random.default_rng(6),
        werner(EKERT, 0.9),
        [size] * blocks,
        settings=EKERT,
        policy=Policy(),
    )
    share = EKERT.key_probability * 0.9 * 0.05
    scatter = ((drawn.hidden_errors - size * share) ** 2).sum() / (size * share * (1 - share))
    low, high = chi2.ppf(5e-10, blocks), chi2.isf(5e-10, blocks)
    assert low < scatter < high
    # Blocks that depend on each other, or are drawn by the half and doubled, would show.
    assert chi2.cdf(low / 0.7, blocks) > 0.999
    assert chi2.sf(high / 1.4, blocks) > 0.999


@pytest.mark.parametrize(
    ("tables", "rounds", "complaint"),
    [
        (werner(BBM92, 0.9), [100], "must end in shape"),
        (werner(EKERT, 0.9) * 0.9, [100], "sum to 1"),
        (werner(EKERT, 2.0), [100], "probabilities"),
        (werner(EKERT, 0.9), 100, "shape"),
        (werner(EKERT, 0.9), [-1], "from 0"),
        (werner(EKERT, 0.9), [1.5], "whole"),
    ],
)
def test_what_cannot_be_drawn_is_refused(tables, rounds, complaint):
    with pytest.raises(ValueError, match=complaint):
        draw_counts(np.random.default_rng(1), tables, rounds, settings=EKERT, policy=Policy())


def test_blocks_of_other_settings_do_not_add_up():
    rng = np.random.default_rng(1)
    own, others = (
        draw_counts(rng, werner(s, 0.9), [100], settings=s, policy=Policy())
        for s in (EKERT, ASYMMETRIC)
    )
    for combine in (lambda: own + others, lambda: BlockCounts.joined([own, others])):
        with pytest.raises(ValueError, match="signs"):
            combine()
