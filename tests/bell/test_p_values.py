"""P-values against local models: exact arithmetic first, then published numbers, then limits."""

import math
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import betainc
from statistical import acceptance

from e91.bell import p_values
from e91.bell.p_values import (
    chsh_value,
    hoeffding_p_value,
    local_bound,
    local_bound_independent_settings,
    log_p_value,
    p_value,
    winning_probability,
)


def exact_tail(wins: int, rounds: int, bound: Fraction) -> Fraction:
    return sum(
        math.comb(rounds, j) * bound**j * (1 - bound) ** (rounds - j)
        for j in range(wins, rounds + 1)
    )


def log_of(fraction: Fraction) -> float:
    return math.log(fraction.numerator) - math.log(fraction.denominator)


def win_probabilities(pairs):
    """Winning probability of each of the 16 deterministic strategies."""
    for a0, a1, b0, b1 in product((0, 1), repeat=4):
        won = [
            (a ^ b) == x * y for (x, a), (y, b) in product(((0, a0), (1, a1)), ((0, b0), (1, b1)))
        ]
        yield float(np.dot(won, pairs))


# --- exact oracles -------------------------------------------------------------------------------


def test_hensen_2015_is_reproduced():
    # P01: n=245, k=196, tau=1.08e-5, settings not assumed independent; the paper prints 0.039.
    assert p_value(196, 245, bound=local_bound(1.08e-5)) == pytest.approx(
        0.03917464355878999, abs=1e-6
    )


def test_820_wins_of_1000_have_the_published_tail():
    # P02: exact binomial tail at 3/4.
    assert math.log10(p_value(820, 1000)) == pytest.approx(
        math.log10(7.496183309079217e-08), abs=1e-9
    )


def test_hoeffding_bound_of_the_same_data():
    # P03: exp(-2 n (k/n - 3/4)^2).
    assert hoeffding_p_value(820, 1000) == pytest.approx(5.545159943217773e-05, rel=1e-12)


@pytest.mark.parametrize("bound", [Fraction(3, 4), Fraction(7, 8), Fraction(1, 3)])
@pytest.mark.parametrize("rounds", [1, 2, 7, 10, 30])
def test_small_runs_agree_with_exact_fractions(rounds, bound):
    for wins in range(rounds + 1):
        expected = float(exact_tail(wins, rounds, bound))
        assert p_value(wins, rounds, bound=float(bound)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("wins", "rounds"),
    [(1300, 1300), (2980, 3000), (2990, 3000), (2999, 3000), (3599, 4000), (4999, 5000)],
)
def test_logarithm_is_right_where_the_p_value_underflows_or_nearly(wins, rounds):
    expected = log_of(exact_tail(wins, rounds, Fraction(3, 4)))
    assert log_p_value(wins, rounds) == pytest.approx(expected, rel=1e-12)


def test_logarithm_is_smooth_across_the_underflow_of_floats():
    # 10,000 rounds: exact integers, 4^n P = sum C(n, j) 3^j, from the top down to 1e-263.
    term, total = 3**10_000, 0
    for wins in range(10_000, 8880, -1):
        total += term
        if wins < 9050:
            expected = math.log(total) - 10_000 * math.log(4)
            assert log_p_value(wins, 10_000) == pytest.approx(expected, rel=1e-12)
        term = term * wins // (3 * (10_000 - wins + 1))
    assert -610 < expected < -600
    assert log_p_value(9049, 10_000) < -745  # where the p-value itself is 0
    assert p_value(9049, 10_000) == 0


def test_p_values_are_sound_down_to_1e_minus_300():
    total, term, wins = 0, 3**10_000, 10_000
    while math.log(total + term) < 10_000 * math.log(4) - 300 * math.log(10):
        total += term
        term, wins = term * wins // (3 * (10_000 - wins + 1)), wins - 1
    assert p_value(wins + 1, 10_000) == pytest.approx(float(Fraction(total, 4**10_000)), rel=1e-9)
    assert 1e-303 < p_value(wins + 1, 10_000) < 1e-300


# --- a second implementation ---------------------------------------------------------------------


@pytest.mark.parametrize("rounds", [10**4, 10**6, 10**9, 10**12, 10**15])
@pytest.mark.parametrize("deviations", [8, 15, 30])
def test_saddle_point_and_incomplete_beta_function_agree(rounds, deviations):
    wins = math.floor(0.75 * rounds + deviations * math.sqrt(rounds * 3 / 16))
    direct = float(betainc(wins, rounds - wins + 1, 0.75))
    assert p_values._log_far_tail(wins, rounds, 0.75) == pytest.approx(math.log(direct), abs=1e-6)


@pytest.mark.parametrize("rounds", [10**6, 10**9, 10**12, 10**15])
def test_the_median_has_a_p_value_of_one_half(rounds):
    # Edgeworth: P(X >= np) = 1/2 + O(1/sqrt(n)); a lost digit anywhere would show.
    assert p_value(3 * rounds // 4, rounds) == pytest.approx(0.5, abs=1 / math.sqrt(rounds))


@pytest.mark.parametrize("tau", [0.0, 0.01, 0.2, 0.5])
def test_best_local_strategy_attains_the_bound_for_independent_predictable_settings(tau):
    best = max(
        max(win_probabilities(np.outer((p, 1 - p), (q, 1 - q)).ravel()))
        for p, q in product((0.5 - tau, 0.5 + tau), repeat=2)
    )
    assert best == pytest.approx(local_bound_independent_settings(tau), abs=1e-15)


@pytest.mark.parametrize("tau", [0.0, 0.01, 0.05])
def test_best_local_strategy_attains_the_bound_for_jointly_predictable_settings(tau):
    likely = (0.5 + tau) ** 2
    best = max(
        max(win_probabilities(np.roll((likely,) * 3 + (1 - 3 * likely,), k))) for k in range(4)
    )
    assert best == pytest.approx(local_bound(tau), abs=1e-15)


def test_local_bound_never_exceeds_one():
    assert local_bound(0.5) == 1
    assert p_value(10, 10, bound=1.0) == 1


# --- properties ----------------------------------------------------------------------------------


@given(st.integers(1, 10**6), st.data())
def test_p_value_falls_with_wins_and_stays_below_hoeffding(rounds, data):
    wins = data.draw(st.integers(0, rounds - 1))
    assert log_p_value(wins + 1, rounds) <= log_p_value(wins, rounds) + 1e-12
    assert p_value(wins, rounds) <= hoeffding_p_value(wins, rounds) * (1 + 1e-12)


@given(st.integers(1, 2000), st.floats(0.6, 0.8), st.floats(0.8, 0.99))
def test_a_larger_local_bound_makes_a_larger_p_value(rounds, low, high):
    wins = (9 * rounds) // 10
    assert p_value(wins, rounds, bound=low) <= p_value(wins, rounds, bound=high) * (1 + 1e-12)


@given(st.floats(-4, 4))
def test_winning_probability_and_s_invert_each_other(s):
    assert chsh_value(winning_probability(s)) == pytest.approx(s, abs=1e-14)


def test_tsirelson_wins_with_the_quantum_bound():
    assert winning_probability(2 * math.sqrt(2)) == pytest.approx((2 + math.sqrt(2)) / 4, abs=1e-15)


def test_nothing_won_refutes_nothing_and_a_zero_bound_is_refuted_by_one_win():
    assert p_value(0, 10) == 1
    assert log_p_value(1, 10, bound=0.0) == -math.inf
    assert p_value(1, 10, bound=0.0) == 0


# --- statistical ---------------------------------------------------------------------------------


def test_local_model_with_memory_is_rejected_no_more_often_than_stated():
    # The local player always wins unless the settings are those it gives up, and gives up the pair
    # that came least often so far.  20,000 runs of 100 rounds; level 5 %, false alarm 1e-9; a test
    # that rejects 6.6 % of local runs is caught 99.9 % of the time.
    random = np.random.default_rng(20_260_101)
    runs, rounds = 20_000, 100
    seen, wins = np.zeros((runs, 4)), np.zeros(runs, int)
    for _ in range(rounds):
        pair = random.integers(4, size=runs)
        wins += pair != seen.argmin(axis=1)
        seen[np.arange(runs), pair] += 1
    level = [p_value(k, rounds) <= 0.05 for k in range(rounds + 1)]
    rejected = int(np.take(level, wins).sum())
    _, most = acceptance(runs, 0.05)
    assert rejected <= most
    assert acceptance(runs, 0.066, alpha=2e-3)[0] > most, "the test has too little power"


# --- guards --------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [p_value, log_p_value, hoeffding_p_value])
@pytest.mark.parametrize(
    ("wins", "rounds", "bound", "sentence"),
    [
        (11, 10, 0.75, "`wins` must be at most"),
        (-1, 10, 0.75, "`wins` must be a whole number"),
        (2.5, 10, 0.75, "`wins` must be a whole number"),
        (math.nan, 10, 0.75, "`wins` must be a whole number"),
        (5, 10.5, 0.75, "`rounds` must be a whole number"),
        (0, 0, 0.75, "`rounds` must lie in"),
        (1, 10**16, 0.75, "`rounds` must lie in"),
        (5, 10, 1.1, "`bound` must lie in"),
        (5, 10, math.nan, "`bound` must lie in"),
    ],
)
def test_impossible_counts_are_refused(function, wins, rounds, bound, sentence):
    with pytest.raises(ValueError, match=sentence):
        function(wins, rounds, bound=bound)


@pytest.mark.parametrize("tau", [-0.1, 0.6, math.nan])
@pytest.mark.parametrize("function", [local_bound, local_bound_independent_settings])
def test_impossible_predictability_is_refused(function, tau):
    with pytest.raises(ValueError, match="`predictability` must lie in"):
        function(tau)


@pytest.mark.parametrize("s", [4.1, -5, math.nan])
def test_impossible_s_is_refused(s):
    with pytest.raises(ValueError, match="`chsh_value` must lie in"):
        winning_probability(s)


@pytest.mark.parametrize("w", [1.1, -0.1, math.nan])
def test_impossible_winning_probability_is_refused(w):
    with pytest.raises(ValueError, match="`winning_probability` must lie in"):
        chsh_value(w)
