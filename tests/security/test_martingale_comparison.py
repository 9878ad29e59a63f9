"""Betting against Azuma's and Kato's inequalities: who is tighter, and do all three hold?"""

import importlib.util
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from born_rule import BELL_VECTORS, density, joint_table
from scipy.optimize import minimize_scalar
from scipy.stats import binom
from statistical import FALSE_ALARM, acceptance

from e91.model.evidence import Evidence, KeySample
from e91.model.settings import EKERT


def loaded(name):
    """A program of the folder `benchmarks`, which is no package."""
    path = Path(__file__).parents[2] / "benchmarks" / f"{name}.py"
    specification = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module  # dataclasses look their module up
    specification.loader.exec_module(module)
    return module


bounds = loaded("phase_error_bounds")
MISSED = 1e-2  # the epsilon of every Monte Carlo below
NAMES = ("betting", "kato", "azuma")


def allowed_failures(runs: int) -> int:
    """The largest count of failures that is believable at a failure rate of MISSED."""
    return int(binom.isf(FALSE_ALARM, runs, MISSED))


# --- the claim ------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", list(bounds.SETTINGS))
@pytest.mark.parametrize("visibility", bounds.VISIBILITIES)
@pytest.mark.parametrize("rounds", bounds.ROUNDS)
def test_betting_is_never_looser_than_azuma_or_kato(settings, visibility, rounds):
    found = bounds.comparison(settings, rounds=rounds, visibility=visibility)
    assert found.expected < found.betting <= found.kato <= found.azuma
    # With the session's epsilon, six times: the range of the score is what the others pay for.
    assert found.azuma - found.expected > 6 * (found.betting - found.expected)


def test_azuma_bound_is_the_textbook_formula():
    # Uniform settings: k = 0.3, Y between -3 / sqrt(2) and 30, M = n by the identity.
    n, epsilon = 10**6, bounds.EPSILON
    found = bounds.comparison("uniform", rounds=n, visibility=0.97)
    deviation = (30 + 3 / math.sqrt(2)) * math.sqrt(n * math.log(1 / epsilon) / 2)
    # Counts are rounded: each of six by at most 1/2, which a score of at most 30 multiplies.
    assert found.azuma == pytest.approx(0.3 * (0.015 * n + deviation), abs=0.3 * (n * 1e-5 + 30))


# --- Kato's inequality, which we know from public code only ---------------------------------------


def log_of_best_exponential_bound(rounds: int, a: float, b: float) -> float:
    """Log of the smallest bound on Kato's event that an exponential moment gives.

    The event is sum (w xi_i - p_i) >= (b - a) sqrt(n), with w = 1 - 2 a / sqrt(n) and p_i the
    expectation of xi_i given the past.  For xi in [0, 1], exp is convex, so coins are the worst:
    E[exp(s (w xi - p))] <= max over p of (1 + p (exp(s w) - 1)) exp(-s p), in every round.
    """
    root = math.sqrt(rounds)
    p = np.concatenate([np.linspace(0, 1, 20_001), np.logspace(-12, -4, 100)])

    def log_bound(s: float) -> float:
        growth = np.log1p(p * math.expm1(s * (1 - 2 * a / root))) - s * p
        return rounds * float(growth.max()) - s * (b - a) * root

    scales = (0.1, 1, 10, 100)
    return min(minimize_scalar(log_bound, bounds=(0, s), method="bounded").fun for s in scales)


@pytest.mark.parametrize("epsilon", [1e-1, 1e-2, 1e-10, 1e-21])
@pytest.mark.parametrize("rounds", [10**2, 10**4, 10**6, 10**8])
def test_katos_inequality_follows_from_exponential_moments(rounds, epsilon):
    for share in (-0.3, -0.1, -0.01, -0.001, 0, 0.001, 0.01, 0.1, 0.3):
        a = share * math.sqrt(rounds)
        b = bounds.kato_b(a, rounds, epsilon=epsilon)
        assert b >= abs(a)
        assert log_of_best_exponential_bound(rounds, a, b) <= math.log(epsilon) + 1e-6
        # And no smaller b would do by this route: the inequality gives away 12 % of it at most.
        if abs(share) <= 0.01 and rounds >= 10**6:
            slack = b - math.sqrt(a * a + 0.75 * (b * b - a * a))
            assert log_of_best_exponential_bound(rounds, a, b - slack) > math.log(epsilon)


@pytest.mark.parametrize("mean", [0.03, 0.1, 0.5, 0.8])
@pytest.mark.parametrize("epsilon", [1e-2, 1e-10])
@pytest.mark.parametrize("rounds", [300, 10**4, 10**6])
def test_bounds_on_a_sum_of_random_bits_cover_and_kato_is_worth_having(rounds, epsilon, mean):
    """For coins of one probability the chance to exceed the bound is a binomial tail, exactly."""
    azuma = bounds.azuma_sum(rounds, mean=mean, epsilon=epsilon)
    kato = bounds.kato_sum(rounds, mean=mean, epsilon=epsilon)
    assert rounds * mean < kato <= azuma
    assert binom.sf(math.ceil(azuma) - 1, rounds, mean) <= epsilon
    chance = binom.sf(math.ceil(kato) - 1, rounds, mean)
    assert chance <= epsilon
    if rounds >= 10**4:  # Chernoff's factor is sqrt(2 pi) z = 17 at 1e-10
        assert chance > epsilon / 100


def excesses(runs: int, rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """Sums L of coins that remember, and sums M of their probabilities given the past.

    Each run dares more (0.25 instead of 0.15) while it is out of luck, L - M < 2.
    """
    rng = np.random.default_rng(41)
    total, expected = np.zeros(runs), np.zeros(runs)
    for _ in range(rounds):
        p = np.where(total - expected < 2, 0.25, 0.15)
        total += rng.random(runs) < p
        expected += p
    return total, expected


def test_katos_inequality_holds_for_a_martingale_with_memory():
    runs, rounds = 20_000, 1000
    total, expected = excesses(runs, rounds)
    root = math.sqrt(rounds)
    width = math.sqrt(-math.log(MISSED) / 2)
    a = 0.6 * width / (2 * math.sqrt(0.2 * 0.8))  # the best to first order for a share of 0.2
    b = bounds.kato_b(a, rounds, epsilon=MISSED)

    def failures(b: float) -> int:
        return int(np.sum(total - expected >= (b + a * (2 * total / rounds - 1)) * root))

    assert failures(b) <= allowed_failures(runs)
    # Were its deviation half as large, this test would know.
    half = b - (b + a * (2 * 0.2 - 1)) / 2
    assert failures(half) > allowed_failures(runs)


# --- coverage of phase errors, with memory --------------------------------------------------------


def werner(visibility):
    return visibility * density(BELL_VECTORS["phi+"]) + (1 - visibility) * np.eye(4) / 4


def separable():
    """Equal outcomes along X, nothing else: few bit errors, many phase errors, S = sqrt(2)."""
    plus, minus = np.array([1, 1]) / math.sqrt(2), np.array([1, -1]) / math.sqrt(2)
    return sum(density(np.kron(state, state)) for state in (plus, minus)) / 2


def event_probabilities(rho) -> np.ndarray:
    """Chances of: a phase error and a bit error at each key pair, equal outcomes at each test."""
    key_angles = [EKERT.alice_angles[x] for x, _ in EKERT.key_pairs]
    tables = [joint_table(rho, angle, angle) for angle in key_angles]
    turned = [joint_table(rho, angle + math.pi / 2, angle + math.pi / 2) for angle in key_angles]
    tests = [
        joint_table(rho, EKERT.alice_angles[x], EKERT.bob_angles[y])
        for (x, y), _ in EKERT.chsh_pairs
    ]
    differ = [table[0, 1] + table[1, 0] for table in (*turned, *tables)]
    found = np.array(differ + [table[0, 0] + table[1, 1] for table in tests])
    return np.clip(found, 0, 1)  # rounding leaves -1e-17


def sessions_with_memory(runs: int, blocks: int, rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """Counts and events of Ekert sessions whose source gets bolder while nobody notices."""
    rng = np.random.default_rng(42)
    score = bounds.score_of(EKERT, revealed_fraction=0.1)
    chances = [score.key / 2] * 2 + [score.revealed / 2] * 2 + list(score.tests)
    good = event_probabilities(werner(0.97))
    bad = event_probabilities(separable())
    counts, events = np.zeros((2, runs, 8), int)
    for _ in range(blocks):
        rate = events[:, 2:4].sum(axis=1) / np.maximum(counts[:, 2:4].sum(axis=1), 1)
        drawn = rng.multinomial(rounds, chances, size=runs)
        counts += drawn
        events += rng.binomial(drawn, np.where((rate < 0.1)[:, None], bad, good))
    return counts, events


def evidence_of(counts, events) -> Evidence:
    same, different = events[4:].tolist(), (counts[4:] - events[4:]).tolist()
    sample = KeySample(int(counts[:2].sum()), int(counts[2:4].sum()), int(events[2:4].sum()))
    return Evidence(
        tests=tuple((s, d, 0, 0) for s, d in zip(same, different, strict=True)),
        samples=(sample,),
        pair_counts=(),
        signs=EKERT.signs,
    )


def failures_of_the_three(counts, events, *, epsilon: float) -> dict[str, int]:
    found = dict.fromkeys(NAMES, 0)
    for count, event in zip(counts, events, strict=True):
        three = bounds.compare(
            evidence_of(count, event),
            settings=EKERT,
            revealed_fraction=0.1,
            epsilon=epsilon,
            error=0.0,
        )
        for name in NAMES:
            found[name] += bool(event[:2].sum() > getattr(three, name))
    return found


def test_all_three_cover_the_phase_errors_of_a_source_with_memory():
    """2,500 sessions; false alarm 1e-9; a bound at twenty times its epsilon is caught."""
    runs = 2_500
    counts, events = sessions_with_memory(runs, 40, 50)
    failures = failures_of_the_three(counts, events, epsilon=MISSED)
    assert max(failures.values()) <= allowed_failures(runs)
    assert binom.cdf(allowed_failures(runs), runs, 20 * MISSED) < 1e-3
    # The source did use both states: 1.5 % phase errors in one, 37.5 % in the other.
    errors, hidden = events[:, :2].sum(), counts[:, :2].sum()
    assert acceptance(hidden, 0.015)[1] < errors < acceptance(hidden, 0.375)[0]


def test_forged_bell_tests_break_all_three():
    """The test of coverage has teeth: with every Bell test won, S = 4, all three bounds fail."""
    counts, events = sessions_with_memory(500, 40, 5_000)
    forged = events.copy()
    forged[:, 4:] = np.where([sign > 0 for _, sign in EKERT.chsh_pairs], counts[:, 4:], 0)
    failures = failures_of_the_three(counts, forged, epsilon=MISSED)
    assert min(failures.values()) > allowed_failures(500)
