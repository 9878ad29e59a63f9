"""Intervals and sampling bounds from 1 to 10^15 counts against 40 digits, conservative throughout.

The tails are integrals of beta densities, or sums of hypergeometric terms, by mpmath: another route
than the package's, which sums in logarithms and inverts.
"""

from itertools import pairwise

import mpmath
import pytest
from mpmath import mp, mpf

from e91.bell.correlators import chsh_point, correlator
from e91.security.sampling import (
    clopper_pearson_upper_bound,
    hypergeometric_upper_bound,
    relative_entropy_upper_bound,
    serfling_upper_bound,
)

EPSILONS = [0.1, 1e-3, 1e-10, 1e-30, 1e-61]
TRIALS = [1, 2, 10, 10**3, 10**6, 10**9, 10**13, 2 * 10**14, 10**15]
LOOSE = mpf("4e-4")  # of a tail: 2e-4 of the sum in strides, and what rounding is held against it


def counts_of(trials):
    some = {0, 1, 3, trials // 1000, trials // 2, trials - trials // 50}
    return sorted(k for k in some | {trials - 1, trials} if 0 <= k <= trials)


@pytest.fixture(autouse=True)
def forty_digits():
    with mp.workdps(40):
        yield


def lower_tail(successes, trials, p):
    """P(so many successes or fewer), for p above their share: the integral of a beta density."""
    if successes == trials or p <= 0:
        return mpf(1)
    if p >= 1:
        return mpf(0)
    a, b = successes, trials - successes - 1
    norm = mp.loggamma(trials + 1) - mp.loggamma(a + 1) - mp.loggamma(b + 1)

    def log_density(t):
        return (a * mp.log(t) if a else 0) + (b * mp.log1p(-t) if b else 0)

    spread = mp.sqrt(p * (1 - p) / trials)
    slope = b / (1 - p) - a / p
    step = min(spread, 1 / slope) if slope > 0 else spread
    start = log_density(p)

    def relative(steps):  # to that at p: the rule stops at an absolute error, and tails reach 1e-61
        return mp.exp(log_density(p + step * steps) - start)

    last = (1 - p) / step
    reaches = [reach for reach in (0, 1, 3, 8, 20, 50, 120) if reach < last - mpf("1e-9")]
    reaches += [last] * (last <= 120)
    # Twelve nodes a piece; the sum of the terms agrees to 13 digits and more.
    rule = {"method": "gauss-legendre", "maxdegree": 3}
    pieces = [mp.quad(relative, pair, **rule) for pair in pairwise(reaches)]
    return mp.fsum(pieces) * step * mp.exp(norm + start)


def test_the_oracle_is_the_sum_of_the_binomial_terms():
    for trials, successes, p in [(10, 3, mpf("0.6")), (200, 20, mpf("0.2")), (5, 4, mpf("0.99"))]:
        terms = [
            mp.binomial(trials, k) * p**k * (1 - p) ** (trials - k) for k in range(successes + 1)
        ]
        assert mp.almosteq(lower_tail(successes, trials, p), mp.fsum(terms), rel_eps=mpf("1e-12"))


def check_upper(limit, successes, trials, epsilon, *, last_place):
    """Check that the tail at a limit is not above epsilon, and just below the limit is about it."""
    if successes == trials:
        assert limit == 1
        return
    assert lower_tail(successes, trials, limit) <= mpf(epsilon)
    below = limit - last_place
    if below > mpf(successes) / trials:
        assert lower_tail(successes, trials, below) >= mpf(epsilon) * (1 - LOOSE)


@pytest.mark.parametrize("trials", TRIALS)
@pytest.mark.parametrize("epsilon", EPSILONS)
def test_clopper_pearson_holds_and_is_tight(trials, epsilon):
    for errors in counts_of(trials):
        limit = mpf(clopper_pearson_upper_bound(errors, trials=trials, epsilon=epsilon))
        check_upper(limit, errors, trials, epsilon, last_place=8 * mpf(2) ** -53 * limit)


@pytest.mark.parametrize("rounds", TRIALS)
@pytest.mark.parametrize("epsilon", EPSILONS)
def test_both_ends_of_a_correlator_hold_and_are_tight(rounds, epsilon):
    for same in counts_of(rounds):
        found = correlator(same, rounds - same, epsilon=epsilon)
        assert -1 <= found.lower <= found.value <= found.upper <= 1
        for end, successes in ((found.upper, same), (-found.lower, rounds - same)):
            limit = (1 + mpf(end)) / 2
            check_upper(limit, successes, rounds, mpf(epsilon) / 2, last_place=8 * mpf(2) ** -53)


@pytest.mark.parametrize("epsilon", EPSILONS)
@pytest.mark.parametrize("rounds", [1, 10**4, 10**13, 2 * 10**14])
def test_ends_of_s_are_sums_of_ends_that_hold(rounds, epsilon):
    same = [rounds - rounds // 7, rounds - rounds // 7, rounds - rounds // 7, rounds // 7]
    point = chsh_point(same, [rounds - n for n in same], signs=(1, 1, 1, -1), epsilon=epsilon)
    ends = [correlator(n, rounds - n, epsilon=epsilon / 4) for n in same]
    lower = mp.fsum([mpf(e.lower) for e in ends[:3]]) - mpf(ends[3].upper)
    upper = mp.fsum([mpf(e.upper) for e in ends[:3]]) - mpf(ends[3].lower)
    assert mpf(point.lower) <= lower
    assert mpf(point.upper) >= upper
    assert abs(point.lower - lower) + abs(point.upper - upper) < 1e-14


def hidden_tail(errors, revealed, hidden, total):
    """P(the sample shows so many errors or fewer, of ``total``), term by term."""
    norm = mp.loggamma(revealed + hidden + 1) - mp.loggamma(total + 1)
    norm -= mp.loggamma(revealed + hidden - total + 1)
    every = mp.loggamma(revealed + 1) + mp.loggamma(hidden + 1) - norm
    terms, count = [], errors
    while count >= max(0, total - hidden):
        cells = (count, total - count, revealed - count, hidden - total + count)
        terms.append(mp.exp(every - mp.fsum(mp.loggamma(cell + 1) for cell in cells)))
        if terms[-1] < terms[0] * mpf("1e-12"):
            break
        count -= 1
    return mp.fsum(terms)


SAMPLES = [
    (errors, revealed, hidden)
    for revealed in (1, 10, 10**3, 10**6)
    for hidden in (1, 10**3, 10**9, 10**15)
    for errors in (0, 1, 20)
    if errors <= revealed
] + [(5, 10**12, 10**15), (0, 10**15, 10**15)]


@pytest.mark.parametrize("epsilon", EPSILONS)
def test_sampling_bounds_hold_from_one_bit_to_a_quadrillion(epsilon):
    for errors, revealed, hidden in SAMPLES:
        sizes = {"revealed": revealed, "hidden": hidden, "epsilon": epsilon}
        exact = hypergeometric_upper_bound(errors, **sizes)
        looser = relative_entropy_upper_bound(errors, **sizes)
        assert exact <= looser <= 1
        total = errors + round(mpf(exact) * hidden)
        if total < errors + hidden:  # one error more is refuted
            assert hidden_tail(errors, revealed, hidden, total + 1) <= mpf(epsilon)
        if total > errors:  # and two fewer are not
            fewer = max(errors, total - 2)
            assert hidden_tail(errors, revealed, hidden, fewer) >= mpf(epsilon) * (1 - LOOSE)
        n, k = mpf(hidden), mpf(revealed)
        spread = mp.sqrt((n + k) / n * (k + 1) / k * -mp.log(mpf(epsilon)) / (2 * k))
        assert mpf(serfling_upper_bound(errors, **sizes)) >= min(mpf(1), errors / k + spread)


def test_this_grid_catches_an_end_that_is_one_part_in_ten_thousand_of_a_width_too_near():
    limit = mpf(clopper_pearson_upper_bound(5 * 10**14, trials=10**15, epsilon=1e-10))
    nearer = limit - (limit - mpf("0.5")) * mpf("1e-4")
    with pytest.raises(AssertionError):
        check_upper(nearer, 5 * 10**14, 10**15, 1e-10, last_place=mpf(0))
    assert mpmath.mp.dps == 40
