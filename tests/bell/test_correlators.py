"""Correlators, S and the leak tests: coverage and level by enumeration, then power."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.stats import binom, multinomial, norm

from e91.bell.correlators import (
    chsh_point,
    correlator,
    local_correlation,
    no_signalling_p_value,
    settings_p_value,
)

SIGNS = (1, -1, 1, 1)


def quantum_counts(random, rounds: int, pairs, correlators=(0.7, -0.7, 0.7, 0.7)):
    """Counts[x, y, a, b] of a no-signalling device with uniform marginals."""
    probabilities = np.array(
        [
            p * (1 + (-1) ** (a ^ b) * e) / 4
            for p, e in zip(pairs, correlators, strict=True)
            for a, b in product((0, 1), repeat=2)
        ]
    )
    return random.multinomial(rounds, probabilities).reshape(2, 2, 2, 2)


# --- correlators ----------------------------------------------------------------------------------


@pytest.mark.parametrize("epsilon", [0.05, 1e-3])
@pytest.mark.parametrize("rounds", [1, 2, 5, 20, 60])
def test_interval_covers_every_correlator_at_every_count(rounds, epsilon):
    found = [correlator(same, rounds - same, epsilon=epsilon) for same in range(rounds + 1)]
    for e in np.linspace(-1, 1, 201):
        chances = binom.pmf(np.arange(rounds + 1), rounds, (1 + e) / 2)
        above = sum(c for c, f in zip(chances, found, strict=True) if f.lower > e + 1e-12)
        below = sum(c for c, f in zip(chances, found, strict=True) if f.upper < e - 1e-12)
        assert max(above, below) <= epsilon / 2 * (1 + 1e-9)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.floats(1e-12, 0.5))
@example(18055, 1, 2.0091010583191717e-12)  # an end within one last place of 1
@example(0, 1, 1e-12)
def test_interval_ends_have_half_the_epsilon_beyond_them_and_never_more(same, different, epsilon):
    if same + different == 0:
        return
    found = correlator(same, different, epsilon=epsilon)
    assert -1 <= found.lower <= found.value <= found.upper <= 1
    rounds = same + different
    if same:  # the second route: the binomial tail at the end of the interval
        tail = binom.sf(same - 1, rounds, (1 + found.lower) / 2)
        assert tail <= epsilon / 2 * (1 + 1e-9)
        if 1 + found.lower > 1e-8:  # else the last place of E is worth more than that
            assert tail == pytest.approx(epsilon / 2, rel=3e-4, abs=0)
    if different:
        tail = binom.cdf(same, rounds, (1 + found.upper) / 2)
        assert tail <= epsilon / 2 * (1 + 1e-9)
        if 1 - found.upper > 1e-8:
            assert tail == pytest.approx(epsilon / 2, rel=3e-4, abs=0)


@pytest.mark.parametrize("rounds", [1, 10, 1000])
def test_perfect_correlation_keeps_an_uncertainty(rounds):
    assert correlator(rounds, 0).upper == 1
    assert correlator(rounds, 0).lower < 1
    assert correlator(0, rounds).lower == -1
    assert correlator(0, rounds).upper > -1


# --- S --------------------------------------------------------------------------------------------


def test_standard_error_of_four_times_a_thousand_rounds():
    # S09: E = +-0.7, 1000 rounds each.
    found = chsh_point((850, 150, 850, 850), (150, 850, 150, 150), signs=SIGNS)
    assert found.value == pytest.approx(2.8, abs=1e-12)
    assert found.standard_error == pytest.approx(0.04516635916254486, abs=1e-12)


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=4, max_size=4))
def test_s_and_its_error_agree_with_the_second_published_form(counts):
    if any(s + d == 0 for s, d in counts):
        return
    found = chsh_point([s for s, _ in counts], [d for _, d in counts], signs=SIGNS)
    terms = [sign * (s - d) / (s + d) for sign, (s, d) in zip(SIGNS, counts, strict=True)]
    variance = 4 * sum(s * d / (s + d) ** 3 for s, d in counts)
    assert found.value == pytest.approx(sum(terms), abs=1e-12)
    assert found.standard_error == pytest.approx(math.sqrt(variance), abs=1e-9)
    assert found.lower <= found.value <= found.upper


def test_interval_of_s_shares_its_epsilon_among_the_four_correlators():
    found = chsh_point((30, 4, 25, 28), (5, 31, 6, 9), signs=SIGNS, epsilon=0.04)
    parts = [correlator(s, d, epsilon=0.01) for s, d in ((30, 5), (25, 6), (28, 9))]
    turned = correlator(4, 31, epsilon=0.01)
    assert found.lower == pytest.approx(sum(e.lower for e in parts) - turned.upper, abs=1e-12)
    assert found.upper == pytest.approx(sum(e.upper for e in parts) - turned.lower, abs=1e-12)


def test_perfect_game_has_no_standard_error_but_an_interval():
    found = chsh_point((5, 0, 5, 5), (0, 5, 0, 0), signs=SIGNS)
    assert (found.value, found.standard_error, found.upper) == (4, 0, 4)
    assert found.lower < 2.0


def test_standard_error_is_the_spread_of_s():
    # 4,000 experiments with unequal counts.  The variance of a sample variance is 2/(N-1) for a
    # normal S; a spread wrong by 15 % is 4.7 such deviations beyond the six that are allowed.
    random = np.random.default_rng(3)
    rounds, e = np.array([400, 100, 900, 200]), np.array([0.7, -0.7, 0.5, 0.9])
    same = random.binomial(rounds, (1 + e) / 2, size=(4000, 4))
    values = ((2 * same - rounds) / rounds) @ np.array(SIGNS)
    typical = chsh_point(np.rint(rounds * (1 + e) / 2), np.rint(rounds * (1 - e) / 2), signs=SIGNS)
    ratio = values.var(ddof=1) / typical.standard_error**2
    assert abs(ratio - 1) < 6.2 * math.sqrt(2 / 3999)  # false alarm 6e-10
    assert (6.2 + 3.3) * math.sqrt(2 / 3999) < 1.15**2 - 1


# --- no-signalling --------------------------------------------------------------------------------


@pytest.mark.parametrize("probability", [0.05, 0.3, 0.5])
@pytest.mark.parametrize("level", [0.1, 0.01])
def test_no_signalling_test_keeps_its_level_at_small_counts(level, probability):
    # Alice alone has an outcome; Bob chose y = 0 nine times and y = 1 four times: 50 results.
    rejected = sum(
        binom.pmf(i, 9, probability) * binom.pmf(j, 4, probability)
        for i, j in product(range(10), range(5))
        if no_signalling_p_value(np.array([[[[i], [9 - i]], [[j], [4 - j]]]])) <= level
    )
    assert rejected <= level


def test_no_signalling_p_value_is_fishers():
    # One 2 x 2 table, 3 of 3 against 0 of 3: two-sided 2 / C(6, 3) = 0.1.
    table = np.array([[[[3], [0]], [[0], [3]]]])
    assert no_signalling_p_value(table) == pytest.approx(2 / math.comb(6, 3), rel=1e-12)


def test_no_signalling_p_value_pays_for_every_test_made():
    # The same table at x = 0, an even one at x = 1: two tests, so twice the p-value.
    table = np.array([[[[3], [0]], [[0], [3]]], [[[3], [3]], [[3], [3]]]])
    assert no_signalling_p_value(table) == pytest.approx(4 / math.comb(6, 3), rel=1e-12)


@pytest.mark.parametrize("pairs", [(0.25,) * 4, (0.7, 0.1, 0.1, 0.1), (0.97, 0.01, 0.01, 0.01)])
def test_honest_device_passes_however_unequal_the_settings(pairs):
    # Valid at every count, so p < 1e-9 comes at most once in 1e9.
    random = np.random.default_rng(11)
    for rounds in (10, 300, 10**6):
        assert no_signalling_p_value(quantum_counts(random, rounds, pairs)) > 1e-9


@pytest.mark.parametrize("party", ["alice", "bob"])
def test_setting_that_leaks_to_the_other_outcome_is_seen(party):
    # At one far setting the outcome is biased by 2 %: 14 standard deviations in 10^6 rounds.
    random = np.random.default_rng(12)
    counts = quantum_counts(random, 10**6, (0.25,) * 4)
    moved = random.binomial(counts[0, 1, 1], 0.04)
    counts[0, 1, 1] -= moved
    counts[0, 1, 0] += moved
    if party == "bob":
        counts = counts.transpose(1, 0, 3, 2)
    assert no_signalling_p_value(counts) < 1e-9


def test_leaking_no_clicks_are_seen():
    counts = np.full((2, 2, 3, 3), 1000)
    assert no_signalling_p_value(counts) == 1
    counts[0, 0, 2, :] += 500  # Alice's detector fails more often when y = 0
    assert no_signalling_p_value(counts) < 1e-9


def test_a_correlation_is_not_a_signal():
    counts = np.zeros((2, 2, 2, 2), int)
    counts[..., 0, 0] = counts[..., 1, 1] = 500
    assert no_signalling_p_value(counts) == 1


def test_signal_of_a_millionth_is_seen_in_a_thousand_million_million_rounds():
    # Each cell 4e13; moving 1e8 of them is 10^8 / sqrt(2e13) = 22 standard deviations.
    counts = np.full((2, 2, 2, 2), 4 * 10**13)
    assert no_signalling_p_value(counts) == 1
    counts[0, 1] += np.array([[10**8, 10**8], [-(10**8), -(10**8)]])
    assert no_signalling_p_value(counts) < 1e-9


@pytest.mark.parametrize("sigmas", [-8, -3, 0, 2, 7])
def test_settings_p_value_at_the_largest_counts_is_the_normal_tail(sigmas):
    # At 10^15 rounds the binomial tail is Gaussian to 1e-6: an independent route.
    rounds = 10**15
    seen = rounds // 2 + round(sigmas * math.sqrt(rounds) / 2)
    found = settings_p_value([seen, rounds - seen], probabilities=[0.5, 0.5])
    assert found == pytest.approx(min(1.0, 4 * norm.sf(abs(sigmas))), rel=1e-5)


@pytest.mark.parametrize("rounds", [1, 2, 7, 40])
@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_settings_p_value_is_twice_the_smaller_binomial_tail(rounds, probability):
    for seen in range(rounds + 1):
        found = settings_p_value(
            [seen, rounds - seen], probabilities=[probability, 1 - probability]
        )
        tails = (
            binom.cdf(seen, rounds, probability),
            binom.sf(seen - 1, rounds, probability),
        )
        assert found == pytest.approx(min(1.0, 4 * min(tails)), rel=1e-9)


def test_a_single_setting_cannot_signal():
    assert no_signalling_p_value(np.ones((1, 1, 2, 2), int)) == 1


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize("probabilities", [(0.2, 0.3, 0.5), (0.05, 0.05, 0.9)])
@pytest.mark.parametrize("level", [0.1, 0.01])
def test_settings_test_keeps_its_level_at_small_counts(probabilities, level):
    rounds = 15
    results = [(i, j, rounds - i - j) for i in range(16) for j in range(16 - i)]
    rejected = sum(
        multinomial.pmf(result, rounds, probabilities)
        for result in results
        if settings_p_value(result, probabilities=probabilities) <= level
    )
    assert rejected <= level


def test_settings_p_value_of_two_cells_is_a_binomial_test():
    # 9 heads of 10: two-sided tail 2 * 11/1024, for both cells.
    assert settings_p_value([9, 1], probabilities=[0.5, 0.5]) == pytest.approx(44 / 1024)


def test_wrong_setting_probability_is_seen():
    random = np.random.default_rng(13)
    counts = random.multinomial(100_000, (0.27, 0.23, 0.25, 0.25))
    assert settings_p_value(counts, probabilities=(0.25,) * 4) < 1e-9


def test_choosing_what_was_excluded_is_seen_at_once():
    assert settings_p_value([9, 1], probabilities=[1.0, 0.0]) == 0


# --- guards ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("same", "different", "epsilon"),
    [
        (-1, 2, 0.1),
        (1.5, 2, 0.1),
        (math.nan, 2, 0.1),
        (1e16, 2, 0.1),
        (0, 0, 0.1),
        (1, 1, 0.0),
        (1, 1, 1.0),
    ],
)
def test_impossible_correlators_are_refused(same, different, epsilon):
    with pytest.raises(ValueError, match="must"):
        correlator(same, different, epsilon=epsilon)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"same": (1, 1, 1)}, "`same` must have four entries"),
        ({"different": (1,) * 5}, "`different` must have four entries"),
        ({"signs": (1, 1, 1, 1)}, "`signs` must be"),
        ({"signs": (1, 1, -1, -1)}, "`signs` must be"),
        ({"signs": (0, 1, 1, -1)}, "`signs` must be"),
        ({"same": (0, 1, 1, 1), "different": (0, 1, 1, 1)}, "at least one round"),
        ({"epsilon": 2.0}, "`epsilon` must lie strictly"),
        ({"epsilon": math.nan}, "`epsilon` must lie strictly"),
    ],
)
def test_impossible_chsh_counts_are_refused(changes, sentence):
    good = {"same": (5,) * 4, "different": (5,) * 4, "signs": SIGNS, "epsilon": 0.1}
    with pytest.raises(ValueError, match=sentence):
        chsh_point(**{**good, **changes})


@pytest.mark.parametrize(
    "counts",
    [
        np.ones((2, 2, 2)),
        np.full((2, 2, 2, 2), -1),
        np.full((2, 2, 2, 2), 0.5),
        np.full((2, 2, 2, 2), np.nan),
        np.zeros((2, 2, 2, 2)),
        np.full((2, 2, 2, 2), 10**14),
        np.full((2, 2, 2, 2), 1e19),
        np.ones((2, 2, 0, 2)),
    ],
)
def test_impossible_tables_are_refused(counts):
    with pytest.raises(ValueError, match="`counts` must"):
        no_signalling_p_value(counts)


@pytest.mark.parametrize(
    ("counts", "probabilities"),
    [
        ([10, 10], [0.5, 0.25, 0.25]),
        ([10, 10], [0.5, 0.6]),
        ([10, 10], [1.5, -0.5]),
        ([10, 10], [math.nan, 0.5]),
        ([0, 0], [0.5, 0.5]),
        ([-1, 11], [0.5, 0.5]),
        ([1.5, 1], [0.5, 0.5]),
    ],
)
def test_impossible_settings_counts_are_refused(counts, probabilities):
    with pytest.raises(ValueError, match="must"):
        settings_p_value(counts, probabilities=probabilities)


# --- what local models can do at every angle ------------------------------------------------------


def every_local_correlator(steps):
    """E at the multiples of 180 degrees / steps of all models, deterministic, turned and mirrored.

    Both parties answer every angle of the circle by a sign that half a turn inverts; all local
    models with E(t + pi) = -E(t) are mixtures of these.
    """
    half = np.array(list(product((1, -1), repeat=steps)))
    signs = np.hstack([half, -half])
    found = [
        (signs @ np.roll(signs, -shift, axis=1).T + signs @ np.roll(signs, shift, axis=1).T)
        / (4 * steps)
        for shift in range(steps)
    ]
    return np.unique(np.stack(found, axis=-1).reshape(-1, steps).round(9), axis=0)


@pytest.mark.parametrize("steps", [4, 6, 7])
def test_no_local_model_is_above_the_saw_tooth_anywhere_unless_below_it_elsewhere(steps):
    models = every_local_correlator(steps)
    tooth = local_correlation(np.arange(steps) * math.pi / steps)
    assert models[:, 0].max() == 1
    below = [at for at in range(steps) if tooth[at] > 0]
    best = linprog(  # as high as possible below 90 degrees, and nowhere under the saw-tooth
        -models[:, below].sum(axis=1),
        A_ub=-models[:, below].T,
        b_ub=-tooth[below],
        A_eq=np.ones((1, len(models))),
        b_eq=[1],
    )
    assert -best.fun == pytest.approx(tooth[below].sum(), abs=1e-8)
    if steps == 4:  # and at Ekert's angles none is as near to the quantum curve
        cosine = np.cos(np.arange(steps) * math.pi / steps)
        columns = np.ones((steps, 1))
        nearest = linprog(
            [*np.zeros(len(models)), 1],
            A_ub=np.block([[models.T, -columns], [-models.T, -columns]]),
            b_ub=[*cosine, *-cosine],
            A_eq=[[*np.ones(len(models)), 0]],
            b_eq=[1],
        )
        assert nearest.fun == pytest.approx(np.abs(cosine - tooth).max())


def test_saw_tooth_is_that_of_a_hidden_direction():
    hidden = np.linspace(0, 2 * math.pi, 100_001)[:-1]
    for angle in np.linspace(-7, 7, 30):
        mean = np.mean(np.sign(np.cos(hidden)) * np.sign(np.cos(hidden - angle)))
        assert local_correlation(angle) == pytest.approx(mean, abs=1e-4)
