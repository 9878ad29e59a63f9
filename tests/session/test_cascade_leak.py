"""What error correction discloses of keys that nobody drew, against Cascade and whole sessions."""

import math

import numpy as np
import pytest
from scipy.stats import ks_2samp
from statistical import assert_binomial

from e91.devices.exact import exact_device
from e91.distillation.cascade.schedule import first_block_sizes
from e91.model.errors import Abort
from e91.model.settings import EKERT
from e91.security.policy import Policy, Reconciler
from e91.session import cascade_leak
from e91.session.block_counts import BlockCounts, draw_counts
from e91.session.block_verdicts import conclude_many, judge_many
from e91.session.cascade_leak import draw_corrections, leak_fit
from e91.session.expectation import RECONCILER_FAILURE
from e91.session.streaming import plan_run, session_of_block
from e91.system.compiled import compiled_code_may_run
from e91.system.workspace import Workspace

BIASED = EKERT.biased((0.1, 0.1, 0.8), (0.1, 0.8, 0.1))
FALSE_ALARM = 1e-9
SIGMAS = 6.1  # of a normal variable with that probability


def counts_of(visibility, rounds, *, settings=EKERT, policy=Policy(), seed=1):  # noqa: B008
    table = exact_device(visibility=visibility, settings=settings).table
    return draw_counts(np.random.default_rng(seed), table, rounds, settings=settings, policy=policy)


@pytest.mark.parametrize(("bits", "rate"), [(6_000, 0.035), (30_000, 0.012), (30_000, 0.06)])
def test_cascade_discloses_what_the_fit_says(bits, rate):
    rng, runs = np.random.default_rng((3, bits)), 40
    size = int(first_block_sizes(rate))
    errors, fit = rng.binomial(bits, rate, runs), leak_fit(bits, size)
    workspace = Workspace(compiled=compiled_code_may_run())
    reported = np.array(
        [cascade_leak._disclosed(bits, int(e), 0.8 / size, rng, workspace) for e in errors]
    )
    mean = fit.drawn(np.full(runs, bits), errors, np.zeros(runs))
    missed = (reported - mean) / (fit.scatter * np.sqrt(errors))
    # A mean of 40 runs against a fit of three numbers to 40 others; it must catch 1 % of the bits.
    allowed = SIGMAS * math.sqrt(1 / runs + 2 / 40)
    assert abs(missed.mean()) < allowed
    assert 0.4 < missed.std() < 2.2
    higher = fit.drawn(np.full(runs, bits), errors, np.ones(runs)) - mean
    assert np.abs(higher - fit.scatter * np.sqrt(errors)).max() <= 1
    assert (0.02 * reported / (fit.scatter * np.sqrt(errors))).mean() > allowed


ROWS = [(16_384, 16), *((size, 64) for size in (32_768, 77_936, 370_728, 741_455))]


@pytest.mark.parametrize(
    ("size", "block"), [ROWS[0], *(pytest.param(*row, marks=pytest.mark.slow) for row in ROWS[1:])]
)
def test_kept_numbers_are_what_runs_of_cascade_show(size, block):
    kept, again = leak_fit(size, block), cascade_leak.measured_fit(size, block)
    for name in ("error_rate", "per_bit", "per_error", "per_error_squared", "scatter"):
        assert getattr(kept, name) == pytest.approx(getattr(again, name), rel=1e-6), name


def test_sizes_of_the_kept_numbers_need_no_runs(monkeypatch):
    monkeypatch.setattr(cascade_leak, "measured_fit", lambda *_: pytest.fail("measured"))
    for size in (16_384, 33_505, 364_276, 760_565, 2_000_000):
        fits = [leak_fit(size, block) for block in (16, 32, 64, 128)]
        assert [fit.error_rate for fit in fits] == [0.05, 0.025, 0.0125, 0.00625]
        assert abs(math.log2(cascade_leak.rounded_size(size) / size)) <= 1 / 16 + 1e-4
    monkeypatch.setattr(cascade_leak, "measured_fit", lambda size, block: (size, block))
    assert leak_fit(1_000, 64) == (1_000, 64)  # others are run


@pytest.mark.slow
@pytest.mark.parametrize(("size", "block"), [(75_904, 32), (364_276, 64), (760_565, 32)])
def test_numbers_of_the_nearest_size_hold_for_a_key(size, block):
    """What is disclosed may differ by 0.5 %, which a fit for the size itself may as well."""
    kept, own = leak_fit(size, block), cascade_leak.measured_fit(size, block)
    bits = np.full(3, size)
    errors = np.rint(bits * own.error_rate * np.array([0.7, 1.0, 1.4])).astype(np.int64)
    near, here = (fit.drawn(bits, errors, np.zeros(3)) for fit in (kept, own))
    assert np.abs(near / here - 1).max() < 0.005
    assert np.abs(1.01 * near / here - 1).max() > 0.005


def differ(few, many):
    """Whether two samples differ in law, or nearly normal ones in variance, at that rate each."""
    ratio = math.log(np.var(few) / np.var(many))
    scatters = abs(ratio) > SIGMAS * math.sqrt(2 / len(few) + 2 / len(many))
    return scatters or ks_2samp(few, many).pvalue < FALSE_ALARM


@pytest.mark.parametrize(
    ("settings", "visibility", "rounds", "fraction"),
    [(EKERT, 0.97, 2**17, 0.1), (BIASED, 0.95, 2**17, 0.05)],
)
def test_blocks_of_counts_are_distributed_as_sessions_are(settings, visibility, rounds, fraction):
    policy, blocks = Policy(revealed_fraction=fraction), 120
    device = exact_device(visibility=visibility, settings=settings, seed=3)
    run = plan_run(
        device,
        rounds=blocks * rounds,
        block_rounds=rounds,
        settings=settings,
        policy=policy,
        seed=5,
    )
    sessions = [session_of_block(run, number) for number in range(blocks)]
    counts = counts_of(visibility, [rounds] * 4_000, settings=settings, policy=policy)
    key_size = round(rounds * settings.key_probability * (1 - fraction))
    found = conclude_many(
        np.random.default_rng(2), counts, key_size=key_size, settings=settings, policy=policy
    )
    real = {
        "key": [s.evidence.key_size for s in sessions],
        "sample": [s.evidence.sample_size for s in sessions],
        "errors": [s.qber.errors for s in sessions],
        "S": [s.chsh.value for s in sessions],
        "bound": [s.chsh.lower_bound for s in sessions],
        "leak": [s.leak.alice for s in sessions],
        "bits": [s.secret_bits for s in sessions],
    }
    drawn = {
        "key": counts.key_size,
        "sample": counts.sample_size,
        "errors": counts.sample_errors,
        "S": found.chsh,
        "bound": found.chsh_lower_bound,
        "leak": found.leaked_bits,
        "bits": found.secret_bits,
    }
    for what, values in drawn.items():
        assert not differ(real[what], values), what
        # It must catch what is off by a standard deviation, or scatters twice as much.
        assert differ(real[what], values + values.std()), what
        assert differ(real[what], values + (values - values.mean())), what


def test_sessions_of_counts_are_the_same_in_calls_of_any_length():
    policy, sizes = Policy(), [30_000] * 20 + [1_000] * 5 + [60_000] * 5
    counts = counts_of(0.96, sizes, policy=policy)

    def concluded(chunks):
        rng, found = np.random.default_rng(4), []
        for rows in np.split(np.arange(len(counts)), chunks):
            part = BlockCounts.joined(BlockCounts.of(counts.evidence(i)) for i in rows)
            part.hidden_errors[:] = counts.hidden_errors[rows]
            ended = conclude_many(rng, part, key_size=6_000, settings=EKERT, policy=policy)
            found += [*zip(ended.aborts, ended.leaked_bits, ended.secret_bits, strict=True)]
        return found

    whole = concluded([])
    assert any(bits > 0 for _, _, bits in whole)
    for chunks in (range(1, 30), [7, 19], [29]):
        assert concluded(list(chunks)) == whole


def test_errors_are_left_as_often_as_declared(monkeypatch):
    monkeypatch.setitem(RECONCILER_FAILURE, Reconciler.CASCADE, 0.05)
    counts = counts_of(0.99, [100_000] * 3_000)
    rng = np.random.default_rng(6)
    found = conclude_many(rng, counts, key_size=20_000, settings=EKERT, policy=Policy())
    wrong = sum(found.abort(i) is Abort.KEYS_DIFFER for i in range(len(found)))
    assert_binomial(wrong, 3_000, 0.05, must_detect=0.1)
    assert not found.secret_bits[~found.released].any()


def test_nothing_is_disclosed_or_measured_of_keys_that_are_not_corrected(monkeypatch):
    monkeypatch.setattr(cascade_leak, "leak_fit", lambda *_: pytest.fail("measured"))
    counts = counts_of(0.5, [20_000] * 3)
    found = conclude_many(
        np.random.default_rng(1), counts, key_size=4_000, settings=EKERT, policy=Policy()
    )
    assert {found.abort(i) for i in range(3)} == {Abort.NO_VIOLATION}
    assert not found.leaked_bits.any()


def test_more_is_disclosed_of_keys_whose_sample_misleads():
    counts = counts_of(0.97, [60_000] * 2, seed=8)
    counts.samples[0, :, 2] = 0  # the sample shows no error, so that first blocks are long
    counts.hidden_errors[:] = 200
    found = draw_corrections(np.random.default_rng(1), counts, key_size=12_000, policy=Policy())
    assert found.leaked_bits[0] > 1.1 * found.leaked_bits[1]


@pytest.mark.parametrize(
    "policy", [Policy(reconciler="ldpc"), Policy(portions=2)], ids=["ldpc", "portions"]
)
def test_what_is_not_cascade_on_a_whole_key_is_refused(policy):
    with pytest.raises(ValueError, match="must name `cascade`, one portion and no flips"):
        draw_corrections(
            np.random.default_rng(1), counts_of(0.9, [1_000]), key_size=9, policy=policy
        )


def test_leaks_change_no_first_verdict():
    counts = counts_of(0.97, [100_000, 3_000, 50])
    nothing, all_of_it = (
        judge_many(counts, leak, settings=EKERT, policy=Policy()) for leak in (0, 10**6)
    )
    assert nothing.released.tolist() == [True, False, False]
    assert all_of_it.abort(0) is Abort.NO_SECRET_LEFT
    assert all_of_it.leaked_bits.tolist() == [10**6, 0, 0]
    assert np.array_equal(nothing.aborts[1:], all_of_it.aborts[1:])
