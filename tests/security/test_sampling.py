"""Error rates of unrevealed bits: coverage by enumeration, then by Monte Carlo."""

import math
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import gammaln, rel_entr
from scipy.stats import binom
from statistical import acceptance, assert_binomial

from e91.model.hypergeometric import log_tail, relative_entropy_exponent
from e91.security.sampling import (
    clopper_pearson_upper_bound,
    hypergeometric_upper_bound,
    relative_entropy_upper_bound,
    serfling_deviation,
    serfling_upper_bound,
)
from e91.security.shannon import binary_entropy, capped, inverse_binary_entropy

BOUNDS = [hypergeometric_upper_bound, relative_entropy_upper_bound, serfling_upper_bound]


def chance(errors: int, *, total: int, bad: int, drawn: int) -> Fraction:
    """Probability of ``errors`` among ``drawn`` of ``total`` bits, ``bad`` of them wrong."""
    return Fraction(
        math.comb(bad, errors) * math.comb(total - bad, drawn - errors), math.comb(total, drawn)
    )


def miss_probability(bound, *, bad: int, revealed: int, hidden: int, epsilon: float) -> Fraction:
    total = revealed + hidden
    return sum(
        chance(errors, total=total, bad=bad, drawn=revealed)
        for errors in range(max(0, bad - hidden), min(bad, revealed) + 1)
        if (bad - errors) / hidden
        > bound(errors, revealed=revealed, hidden=hidden, epsilon=epsilon) + 1e-12
    )


# --- coverage, by enumeration of every sample and every number of errors -------------------------


@pytest.mark.parametrize("epsilon", [1e-2, 1e-3])
@pytest.mark.parametrize(("revealed", "hidden"), [(12, 18), (20, 10), (5, 30), (40, 40)])
@pytest.mark.parametrize("bound", BOUNDS)
def test_bound_fails_no_more_often_than_stated(bound, revealed, hidden, epsilon):
    worst = max(
        miss_probability(bound, bad=bad, revealed=revealed, hidden=hidden, epsilon=epsilon)
        for bad in range(revealed + hidden + 1)
    )
    assert worst <= epsilon


def test_hypergeometric_bound_wastes_little():
    # Its worst miss probability over all blocks of 80 bits comes within a factor 2 of epsilon.
    worst = max(
        miss_probability(hypergeometric_upper_bound, bad=bad, revealed=40, hidden=40, epsilon=1e-2)
        for bad in range(81)
    )
    assert worst > 0.5e-2


@pytest.mark.parametrize(("errors", "revealed", "hidden"), [(0, 9, 9), (3, 20, 15), (7, 10, 40)])
@pytest.mark.parametrize("epsilon", [0.4, 1e-3, 1e-10])
def test_bound_is_the_last_total_that_the_sample_leaves_possible(errors, revealed, hidden, epsilon):
    total = revealed + hidden
    possible = [
        bad
        for bad in range(errors, errors + hidden + 1)
        if sum(
            chance(e, total=total, bad=bad, drawn=revealed)
            for e in range(max(0, bad - hidden), errors + 1)
        )
        > Fraction(epsilon)
    ]
    found = hypergeometric_upper_bound(errors, revealed=revealed, hidden=hidden, epsilon=epsilon)
    assert found == (max(possible) - errors) / hidden


@pytest.mark.parametrize("epsilon", [1e-2, 1e-3])
@pytest.mark.parametrize("trials", [1, 10, 60])
def test_clopper_pearson_covers_an_error_probability(trials, epsilon):
    errors = np.arange(trials + 1)
    bounds = [
        clopper_pearson_upper_bound(k, trials=trials, epsilon=epsilon) for k in range(trials + 1)
    ]
    for probability in np.linspace(0.001, 0.999, 150):
        missed = binom.pmf(errors, trials, probability)[np.array(bounds) < probability].sum()
        assert missed <= epsilon * (1 + 1e-9)


def test_clopper_pearson_does_not_cover_the_errors_that_the_hidden_bits_have():
    # 1000 bits tell the probability well, but 50 hidden bits scatter: missed far too often.
    missed = miss_probability(
        lambda errors, *, revealed, hidden, epsilon: clopper_pearson_upper_bound(
            errors, trials=revealed, epsilon=epsilon
        ),
        bad=52,
        revealed=1000,
        hidden=50,
        epsilon=1e-3,
    )
    assert missed > 30e-3


# --- larger blocks --------------------------------------------------------------------------------


@pytest.mark.parametrize("epsilon", [1e-2, 1e-3])
def test_monte_carlo_coverage_of_a_large_block(epsilon):
    # 20,000 bits, 600 wrong, 2,000 revealed; false alarm 1e-9; a bound that fails twice as often
    # as stated is caught.
    random = np.random.default_rng(7)
    runs = 400_000
    errors = random.hypergeometric(600, 19_400, 2_000, size=runs)
    bounds = {
        int(e): hypergeometric_upper_bound(int(e), revealed=2000, hidden=18_000, epsilon=epsilon)
        for e in np.unique(errors)
    }
    missed = sum((600 - int(e)) / 18_000 > bounds[int(e)] + 1e-12 for e in errors)
    _, most = acceptance(runs, epsilon)
    assert missed <= most
    assert acceptance(runs, 2 * epsilon, alpha=2e-3)[0] > most, "the test has too little power"


def test_monte_carlo_draws_match_the_exact_miss_probability():
    # The same block at 1e-2: the exact miss probability, by log-gamma sums, and the drawn one.
    random = np.random.default_rng(8)
    critical = max(
        e
        for e in range(60)
        if (600 - e) / 18_000
        > hypergeometric_upper_bound(e, revealed=2000, hidden=18_000, epsilon=1e-2) + 1e-12
    )
    exact = math.exp(log_gamma_tail(critical, total=20_000, bad=600, drawn=2000))
    drawn = int((random.hypergeometric(600, 19_400, 2_000, size=400_000) <= critical).sum())
    assert_binomial(drawn, 400_000, exact, must_detect=1.2 * exact)
    assert exact <= 1e-2


def log_gamma_tail(errors: int, *, total: int, bad: int, drawn: int) -> float:
    """Log P(sample errors <= errors) by a plain sum of log-gamma terms, for small totals."""

    def log_comb(n, k):
        return gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0)

    e = np.arange(max(0, drawn - (total - bad)), errors + 1, dtype=float)
    terms = log_comb(bad, e) + log_comb(total - bad, drawn - e) - log_comb(total, drawn)
    return float(terms.max() + np.log(np.exp(terms - terms.max()).sum()))


# --- the tail by a second route, to 10^18 bits ----------------------------------------------------


def log_factorial(n: Decimal) -> Decimal:
    """Stirling's series in 60 digits, after a shift to 30 or more; also between whole numbers."""
    shift = Decimal(0)
    while n < 30:
        n += 1
        shift += n.ln()
    two_pi = Decimal("6.283185307179586476925286766559005768394338798750211641949889")
    numbers = [(1, 12), (-1, 360), (1, 1260), (-1, 1680), (1, 1188), (-691, 360360), (1, 156)]
    series = sum(Decimal(a) / (b * n ** (2 * i + 1)) for i, (a, b) in enumerate(numbers))
    return n * n.ln() - n + (two_pi * n).ln() / 2 + series - shift


def log_tail_in_decimals(a: int, b: int, c: int, d: int) -> float:
    """The tail as an Euler-Maclaurin sum: Gauss's integral, half the first term, derivatives.

    Terms are quotients of factorials of 60 digits: 10^15 log 10^15 loses 17 of them.
    """
    with localcontext() as context:
        context.prec = 60
        margins = sum(log_factorial(Decimal(m)) for m in (a + b, c + d, a + c, b + d))
        margins -= log_factorial(Decimal(a + b + c + d))

        def log_term(below: float) -> float:
            i = Decimal(below)
            return float(margins - sum(map(log_factorial, (a - i, b + i, c + i, d - i))))

        width = 1 / math.sqrt(sum(1 / cell for cell in (a, b, c, d)))
        slope = log_term(0.5) - log_term(-0.5)
        depth = width * (math.hypot(slope * width, 9.5) + slope * width)  # there, e^-45 is left
        nodes, weights = np.polynomial.legendre.leggauss(60)
        first = log_term(0)
        terms = np.exp([log_term(depth * (1 + node) / 2) - first for node in nodes])
        bend = log_term(1) - 2 * first + log_term(-1)
        ends = 0.5 - slope / 12 + (slope**3 + 3 * slope * bend) / 720
        return first + math.log(depth / 2 * float(weights @ terms) + ends)


@pytest.mark.parametrize("seed", range(40))
def test_tail_of_a_small_table_is_the_sum_of_its_fractions(seed):
    random = np.random.default_rng(seed)
    total = int(random.integers(2, 400))
    drawn, bad = (int(n) for n in random.integers(1, total, size=2))
    for errors in range(max(0, bad + drawn - total), bad * drawn // total + 1):
        exact = sum(
            chance(e, total=total, bad=bad, drawn=drawn)
            for e in range(max(0, bad + drawn - total), errors + 1)
        )
        table = (errors, bad - errors, drawn - errors, total - bad - drawn + errors)
        log_exact = math.log(exact.numerator) - math.log(exact.denominator)
        assert log_tail(*table) == pytest.approx(log_exact, abs=1e-11)


@pytest.mark.parametrize("deviations", [0.1, 2, 6.4, 16])
@pytest.mark.parametrize("share", [0.5, 0.01])
@pytest.mark.parametrize("total", [10**8, 10**10, 10**12, 10**15, 10**18])
def test_tail_of_a_large_table_is_bounded_from_above_and_closely(total, share, deviations):
    drawn, bad = round(share * total), total // 30
    spread = math.sqrt(bad * (total - bad) * share * (1 - share) / total)
    errors = round(bad * share - deviations * spread)
    table = (errors, bad - errors, drawn - errors, total - bad - drawn + errors)
    excess = log_tail(*table) - log_tail_in_decimals(*table)
    rounding = 1e-9 + 3e-14 * math.sqrt(total)
    assert -rounding <= excess <= 2e-4 + rounding


def test_second_route_is_right_where_fractions_reach():
    exact = sum(chance(e, total=5000, bad=1000, drawn=500) for e in range(81))
    assert log_tail_in_decimals(80, 920, 420, 3580) == pytest.approx(
        math.log(exact.numerator) - math.log(exact.denominator), abs=1e-6
    )


@pytest.mark.parametrize(
    ("total", "revealed"),
    [(10**7, 10**6), (10**9, 10**8), (10**12, 10**10), (10**15, 10**14), (10**15, 5 * 10**14)],
)
@pytest.mark.parametrize("epsilon", [1e-1, 1e-6, 1e-30, 1e-61])
def test_bound_holds_its_epsilon_at_any_size(total, revealed, epsilon):
    errors, hidden = revealed // 50, total - revealed

    def log_chance(bad: int) -> float:
        return log_tail_in_decimals(
            errors, bad - errors, revealed - errors, total - revealed - bad + errors
        )

    rate = hypergeometric_upper_bound(errors, revealed=revealed, hidden=hidden, epsilon=epsilon)
    bad = errors + round(rate * hidden)
    assert log_chance(bad + 1) <= math.log(epsilon)
    # And it is no looser than it says: a little less would break the promise.
    less = bad - math.ceil(2e-4 * (bad - errors * total // revealed)) - 1
    assert log_chance(less) > math.log(epsilon)


# --- properties -----------------------------------------------------------------------------------


@given(st.integers(1, 3000), st.integers(1, 3000), st.floats(1e-12, 0.4), st.data())
def test_exact_bound_is_never_above_serflings(revealed, hidden, epsilon, data):
    errors = data.draw(st.integers(0, revealed))
    sample = {"revealed": revealed, "hidden": hidden, "epsilon": epsilon}
    exact = hypergeometric_upper_bound(errors, **sample)
    assert 0 <= exact <= serfling_upper_bound(errors, **sample) + 1e-12


@given(st.integers(10, 500), st.integers(10, 500), st.data())
def test_more_errors_or_more_caution_never_lower_the_bound(revealed, hidden, data):
    errors = data.draw(st.integers(0, revealed - 1))
    sample = {"revealed": revealed, "hidden": hidden}
    base = hypergeometric_upper_bound(errors, **sample, epsilon=1e-3)
    assert hypergeometric_upper_bound(errors, **sample, epsilon=1e-6) >= base
    assert hypergeometric_upper_bound(errors + 1, **sample, epsilon=1e-3) >= base - 1 / hidden


@given(st.integers(1, 200), st.integers(1, 200), st.floats(1e-30, 0.9), st.data())
def test_relative_entropy_is_never_below_the_bound_by_fractions(revealed, hidden, epsilon, data):
    errors = data.draw(st.integers(0, revealed))
    found = relative_entropy_upper_bound(errors, revealed=revealed, hidden=hidden, epsilon=epsilon)
    bad = errors + round(found * hidden) + 1  # the first total that it excludes
    total = revealed + hidden
    assert bad > errors + hidden or Fraction(epsilon) >= sum(
        chance(e, total=total, bad=bad, drawn=revealed)
        for e in range(max(0, bad - hidden), min(errors, bad) + 1)
    )


@given(st.integers(0, 500), st.integers(1, 500), st.integers(1, 500), st.integers(1, 500))
def test_relative_entropy_is_its_definition_in_both_roles(a, b, c, d):
    bits = a + b + c + d

    def divergence(part: int, size: int) -> float:
        q, p = part / size, (a + b) / bits
        return size * float(rel_entr(q, p) + rel_entr(1 - q, 1 - p))

    expected = max(divergence(a, a + c), divergence(b, b + d)) if a * d < b * c else 0
    assert relative_entropy_exponent(a, b, c, d) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("revealed", "hidden"), [(200, 2000), (2000, 200)])
def test_each_role_of_relative_entropy_is_the_tighter_one_somewhere(revealed, hidden):
    # The smaller of the two parts gives the larger exponent.
    a, b = revealed // 50, hidden // 5
    c, d = revealed - a, hidden - b
    p = (a + b) / (revealed + hidden)
    roles = [
        size * float(rel_entr(part / size, p) + rel_entr(1 - part / size, 1 - p))
        for part, size in ((a, revealed), (b, hidden))
    ]
    assert (roles[0] > roles[1]) == (revealed < hidden)
    assert relative_entropy_exponent(a, b, c, d) == pytest.approx(max(roles), rel=1e-9)


SIZES = [2 * 10**power for power in range(1, 16)]
EPSILONS = [10.0**-power for power in (1, 2, 3, 6, 10, 20, 30, 61)]


@pytest.mark.parametrize("share", [0.5, 0.1, 0.9])
@pytest.mark.parametrize("rate", [0.0, 0.02, 0.3])
@pytest.mark.parametrize("bound", BOUNDS)
def test_bounds_are_monotone_from_ten_bits_to_ten_to_the_fifteen(bound, rate, share):
    found = {}
    for total, epsilon in product(SIZES, EPSILONS):
        revealed = round(share * total)
        errors = math.ceil(rate * revealed)
        sample = {"revealed": revealed, "hidden": total - revealed, "epsilon": epsilon}
        found[total, epsilon] = bound(errors, **sample)
        more = min(revealed, errors + max(1, errors // 1000))
        assert bound(more, **sample) >= found[total, epsilon] - 1 / sample["hidden"]
        assert errors / revealed <= found[total, epsilon] <= 1
    for total, (likely, rare) in product(SIZES, pairwise(EPSILONS)):
        assert found[total, likely] <= found[total, rare]
    for (small, large), epsilon in product(pairwise(SIZES), EPSILONS):
        # ceil(rate * revealed) errors, and one more, are above the rate in a small sample only.
        assert found[large, epsilon] <= found[small, epsilon] + 1e-15
    assert found[SIZES[-1], 1e-61] < rate + 1e-5


@pytest.mark.parametrize(("total", "epsilon"), list(product(SIZES, EPSILONS)))
def test_closed_bounds_are_never_below_the_exact_one(total, epsilon):
    for share, rate in product((0.5, 0.1, 0.9), (0.0, 0.01, 0.2)):
        revealed = round(share * total)
        sample = {"revealed": revealed, "hidden": total - revealed, "epsilon": epsilon}
        exact, entropic, serfling = (bound(int(rate * revealed), **sample) for bound in BOUNDS)
        assert exact <= entropic
        assert exact <= serfling * (1 + 1e-9)


def test_a_tie_is_resolved_against_us():
    # One wrong bit of 18 hides from a sample of 9 with probability exactly 1/2.
    assert hypergeometric_upper_bound(0, revealed=9, hidden=9, epsilon=0.5) == 1 / 9


def test_serfling_deviation_is_the_inverse_of_its_tail():
    n, k, epsilon = 12_345, 678, 1e-7
    nu = serfling_deviation(k, n, epsilon=epsilon)
    assert math.exp(-2 * n * k**2 * nu**2 / ((n + k) * (k + 1))) == pytest.approx(epsilon, rel=1e-9)


def test_all_wrong_sample_leaves_everything_possible():
    assert hypergeometric_upper_bound(10, revealed=10, hidden=20, epsilon=1e-3) == 1
    assert relative_entropy_upper_bound(10, revealed=10, hidden=20, epsilon=1e-3) == 1
    assert serfling_upper_bound(10, revealed=10, hidden=20, epsilon=1e-3) == 1
    assert clopper_pearson_upper_bound(10, trials=10, epsilon=1e-3) == 1


# --- entropy --------------------------------------------------------------------------------------


@given(st.floats(1e-9, 0.45))
def test_entropy_inverts(p):
    assert inverse_binary_entropy(binary_entropy(p)) == pytest.approx(p, rel=1e-9)


@given(st.floats(0, 1))
def test_entropy_is_symmetric_and_agrees_with_its_definition(p):
    terms = [-q * math.log2(q) for q in (p, 1 - p) if q > 0]
    assert binary_entropy(p) == pytest.approx(sum(terms), abs=4e-15)
    upper = max(p, 1 - p)  # its complement is exact, so nothing but h itself can differ
    assert binary_entropy(upper) == pytest.approx(binary_entropy(1 - upper), abs=4e-15)


def test_cap_keeps_an_impossible_error_rate_from_giving_key_back():
    assert [capped(p) for p in (0.5, 0.7, 1.0, 40.0, math.inf)] == [1.0] * 5
    assert capped(0.11) == binary_entropy(0.11)
    assert binary_entropy(0.9) < 0.5  # what the cap prevents


def test_tiny_probabilities_keep_their_digits():
    # h(p) = p log2(1/p) + p / ln 2 + O(p^2)
    assert binary_entropy(1e-20) == pytest.approx(1e-20 * (20 * math.log2(10) + 1 / math.log(2)))
    assert inverse_binary_entropy(binary_entropy(1e-20)) == pytest.approx(1e-20, rel=1e-9)


def test_inverse_reaches_its_ends():
    assert inverse_binary_entropy(0) == 0
    assert inverse_binary_entropy(1) == 0.5


# --- guards ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize(
    ("errors", "revealed", "hidden", "epsilon", "sentence"),
    [
        (11, 10, 10, 1e-3, "`errors` must be at most"),
        (-1, 10, 10, 1e-3, "`errors` must be a whole number"),
        (1.5, 10, 10, 1e-3, "`errors` must be a whole number"),
        (0, 0, 10, 1e-3, "`revealed` must be a whole number from 1"),
        (0, 10, 0, 1e-3, "`hidden` must be a whole number from 1"),
        (0, 10, math.inf, 1e-3, "`hidden` must be a whole number from 1"),
        (0, 10, math.nan, 1e-3, "`hidden` must be a whole number from 1"),
        (0, -10, 10, 1e-3, "`revealed` must be a whole number from 1"),
        (True, 10, 10, 1e-3, "`errors` must be a whole number from 0, but is True"),
        (0, np.True_, 10, 1e-3, "`revealed` must be a whole number from 1"),
        (0, 10, 10**18 + 1, 1e-3, r"`hidden` must be at most 10\^18"),
        (0, 10**400, 10, 1e-3, r"`revealed` must be at most 10\^18"),
        (0, 10, 10, True, "`epsilon` must lie strictly"),
        (0, 10, 10, -1e-3, "`epsilon` must lie strictly"),
        (0, 10, 10, math.inf, "`epsilon` must lie strictly"),
        (0, 10, 10, 0.0, "`epsilon` must lie strictly"),
        (0, 10, 10, 1.0, "`epsilon` must lie strictly"),
        (0, 10, 10, math.nan, "`epsilon` must lie strictly"),
    ],
)
def test_impossible_samples_are_refused(bound, errors, revealed, hidden, epsilon, sentence):
    with pytest.raises(ValueError, match=sentence):
        bound(errors, revealed=revealed, hidden=hidden, epsilon=epsilon)


@pytest.mark.parametrize(
    ("errors", "trials", "epsilon"), [(3, 2, 0.1), (0, 0, 0.1), (0, 5, 1.0), (0.5, 5, 0.1)]
)
def test_impossible_trials_are_refused(errors, trials, epsilon):
    with pytest.raises(ValueError, match="must"):
        clopper_pearson_upper_bound(errors, trials=trials, epsilon=epsilon)


@pytest.mark.parametrize("function", [binary_entropy, inverse_binary_entropy, capped])
@pytest.mark.parametrize("value", [-0.1, math.nan])
def test_impossible_probabilities_are_refused(function, value):
    with pytest.raises(ValueError, match="must"):
        function(value)


@pytest.mark.parametrize("function", [binary_entropy, inverse_binary_entropy])
def test_probabilities_beyond_one_are_refused(function):
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
        function(1.01)
