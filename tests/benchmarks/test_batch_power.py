"""Power curves: exact where they say so, honest where they are simulated."""

import math
from itertools import product

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.container import ErrorbarContainer
from scipy.stats import binom
from statistical import assert_binomial

from benchmarks.alarm_figures import delay_figure, power_figure
from benchmarks.batch_power import (
    PowerCurves,
    declared_test_power,
    declared_thresholds,
    lower_bound_power,
    p_value_power,
    power_curves,
    simulated_power,
)
from benchmarks.simulated_links import Delays, detection_delays
from e91.alarm.bets import place_bets
from e91.alarm.link import LinkBehaviour, OutcomeCounts, intercepted, relative_entropy, werner_link
from e91.bell.chsh import estimate
from e91.model.errors import Abort
from e91.model.evidence import Evidence, KeySample, outcomes_of
from e91.model.settings import EKERT
from e91.security.policy import Policy
from e91.session.verdict import verdict_of

matplotlib.use("Agg")

LINK = werner_link(EKERT, visibility=0.97, revealed_fraction=0.5)


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    pyplot.close("all")


def loss_and_error(link):
    return (1 - link.key_share) * (0.5 - link.chsh / 8), link.key_share * link.qber


# --- the declared link --------------------------------------------------------------------------


@pytest.mark.parametrize("fraction", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("rounds", [1, 7, 12])
def test_power_of_the_declared_test_is_the_sum_over_all_outcomes(rounds, fraction):
    """Every sequence of right, lost and wrong rounds counted by its multinomial weight."""
    actual = intercepted(LINK, fraction)
    lost, wrong = loss_and_error(actual)
    most = declared_thresholds(LINK, rounds=rounds, false_alarm=0.2)
    seen = sum(
        math.comb(rounds, n) * math.comb(rounds - n, e)
        * lost**n * wrong**e * (1 - lost - wrong) ** (rounds - n - e)
        for n, e in product(range(rounds + 1), repeat=2)
        if n + e <= rounds and (n >= most[0] or e >= most[1])
    )  # fmt: skip
    found = declared_test_power(actual, declared=LINK, rounds=rounds, false_alarm=0.2)
    assert found == pytest.approx(seen, abs=1e-12)


@pytest.mark.parametrize("rounds", [10, 1_000, 10**6])
@pytest.mark.parametrize("alpha", [0.1, 1e-3])
def test_thresholds_are_the_smallest_that_keep_the_false_alarm_rate(rounds, alpha):
    chances = loss_and_error(LINK)
    most = declared_thresholds(LINK, rounds=rounds, false_alarm=alpha)
    for count, chance in zip(most, chances, strict=True):
        assert binom.sf(count - 1, rounds, chance) <= alpha / 2
        assert binom.sf(count - 2, rounds, chance) > alpha / 2
    honest = declared_test_power(LINK, declared=LINK, rounds=rounds, false_alarm=alpha)
    assert 0 < honest <= alpha


def test_stronger_attacks_and_longer_tests_are_seen_more_often():
    curves = power_curves(
        lambda actual, n: declared_test_power(actual, declared=LINK, rounds=n, false_alarm=1e-3),
        LINK,
        test="declared",
        fractions=np.linspace(0, 1, 21),
        rounds=[100, 1_000, 10_000],
    )
    assert (np.diff(curves.detected, axis=1) >= -1e-12).all()
    assert (np.diff(curves.detected[:, 1:], axis=0) >= -1e-12).all()
    assert (curves.standard_errors == 0).all()
    assert curves.detected[2, -1] > 1 - 1e-12


def test_simulated_power_agrees_with_the_exact_one():
    sessions, rounds = 20_000, 400
    actual = intercepted(LINK, 0.2)
    most = declared_thresholds(LINK, rounds=rounds, false_alarm=0.01)
    found, error = simulated_power(
        lambda t: sum(t.losses) >= most[0] or t.errors >= most[1],
        actual,
        rounds=rounds,
        sessions=sessions,
        rng=np.random.default_rng(11),
    )
    exact = declared_test_power(actual, declared=LINK, rounds=rounds, false_alarm=0.01)
    assert_binomial(round(found * sessions), sessions, exact, must_detect=exact - 0.04)
    careful = (found * sessions + 1) / (sessions + 2)  # a success and a failure added
    assert error == pytest.approx(math.sqrt(careful * (1 - careful) / (sessions + 2)))


# --- the Bell test of a session -----------------------------------------------------------------


@pytest.mark.parametrize("rounds", [1, 30, 300])
@pytest.mark.parametrize("fraction", [0.0, 0.4, 1.0])
def test_power_of_the_bell_test_is_the_sum_over_all_wins(rounds, fraction):
    """With the session's own estimate at every number of wins."""
    actual, epsilon = intercepted(LINK, fraction), 1e-2
    unrefuted = unproved = 0.0
    for wins in range(rounds + 1):
        losses = rounds - wins
        same, different = (wins, 0, 0, 0), (losses, 0, 0, 0)
        found = estimate(same, different, settings=EKERT, epsilon=epsilon)
        chance = binom.pmf(wins, rounds, 0.5 + actual.chsh / 8)
        unrefuted += chance * (found.p_value > epsilon)
        unproved += chance * (not found.lower_bound > 2)
    assert p_value_power(actual, rounds=rounds, significance=epsilon) == pytest.approx(unrefuted)
    assert lower_bound_power(actual, rounds=rounds, epsilon=epsilon) == pytest.approx(unproved)


def evidence_of(tally: OutcomeCounts, *, key_size: int) -> Evidence:
    tests = outcomes_of(tally.wins, tally.losses, signs=EKERT.signs)
    sample = KeySample(key_size, tally.sample, tally.errors)
    return Evidence(tests, (sample, KeySample(0, 0, 0)), ((1,),), EKERT.signs)


def test_verdict_refuses_at_least_as_often_as_its_bell_test():
    """The sessions draw how many of their rounds are Bell tests; the exact power is averaged."""
    actual, policy, sessions, rounds = intercepted(LINK, 0.35), Policy(), 1_200, 8_000
    verdicts = []

    def violates_nothing(tally):
        found = verdict_of(evidence_of(tally, key_size=10_000), settings=EKERT, policy=policy)
        verdicts.append((found.abort, sum(tally.wins) + sum(tally.losses)))
        return found.abort is Abort.NO_VIOLATION

    found, _ = simulated_power(
        violates_nothing, actual, rounds=rounds, sessions=sessions, rng=np.random.default_rng(12)
    )
    tests = binom(rounds, 1 - actual.key_share)
    sizes = np.arange(int(tests.ppf(1e-12)), int(tests.isf(1e-12)) + 1, 20)
    powers = [lower_bound_power(actual, rounds=int(n), epsilon=policy.epsilon) for n in sizes]
    weights = tests.pmf(sizes) / tests.pmf(sizes).sum()
    exact = float(np.dot(weights, powers))
    assert 0.05 < exact < 0.95
    wrong = exact - 0.15 if exact > 0.5 else exact + 0.15
    assert_binomial(round(found * sessions), sessions, exact, must_detect=wrong)
    assert sum(abort is not None for abort, _ in verdicts) >= round(found * sessions)


# --- records and figures ------------------------------------------------------------------------


def test_delays_carry_the_optimum_of_their_alarm():
    bets = place_bets(LINK, false_alarm=1e-2)
    found = detection_delays(
        bets, fractions=[1.0, 0.5], streams=200, rng=np.random.default_rng(13), resolution=20
    )
    best = [math.log(100) / relative_entropy(intercepted(LINK, f), LINK) for f in (1.0, 0.5)]
    assert found.optimum == pytest.approx(best)
    assert (found.median < found.late).all()
    assert (found.median > 0.5 * found.optimum).all()


def test_simulated_curve_shows_three_standard_errors_and_an_exact_one_none():
    fractions, rounds = np.array([0.0, 0.5, 1.0]), np.array([10, 1000])
    detected = np.array([[0.1, 0.5, 0.7], [0.1, 0.9, 1.0]])
    errors = np.array([[0.02] * 3, [0.01] * 3])
    simulated = power_figure(PowerCurves("verdict", fractions, rounds, detected, errors))
    bars = [item for item in simulated.containers if isinstance(item, ErrorbarContainer)]
    for bar, row, error in zip(bars, detected, errors, strict=True):
        ends = np.array(bar.lines[2][0].get_segments())[:, :, 1]
        assert ends.mean(axis=1) == pytest.approx(row)
        assert np.ptp(ends, axis=1) / 2 == pytest.approx(3 * error)
    assert "simulated" in simulated.get_title()
    exact = power_figure(PowerCurves("verdict", fractions, rounds, detected, 0 * errors))
    for line, row in zip(exact.lines, detected, strict=True):
        assert line.get_xydata() == pytest.approx(np.column_stack([fractions, row]))
    assert "exact" in exact.get_title()
    assert [text.get_text() for text in exact.get_legend().get_texts()] == [
        "10 rounds",
        "1,000 rounds",
    ]


def test_delay_figure_shows_median_percentile_and_optimum():
    delays = Delays(*np.array([[1.0, 0.1], [60.0, 4000.0], [70.0, 5000.0], [200.0, 9000.0]]))
    axes = delay_figure(delays)
    drawn = {str(line.get_label()): line.get_ydata() for line in axes.lines}
    assert drawn["median"] == pytest.approx([5000.0, 70.0])
    assert drawn["99th percentile"] == pytest.approx([9000.0, 200.0])
    assert drawn["log(1/alpha) / relative entropy"] == pytest.approx([4000.0, 60.0])
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")


# --- guards -------------------------------------------------------------------------------------


def test_impossible_arguments_are_refused():
    uneven = LinkBehaviour((0.7,) * 4, 0.02, (0.1, 0.2, 0.2, 0.2))
    with pytest.raises(ValueError, match="`test_shares` must be equal"):
        declared_thresholds(uneven, rounds=10, false_alarm=0.1)
    with pytest.raises(ValueError, match="`rounds` must be at least 1"):
        p_value_power(LINK, rounds=0, significance=0.1)
    with pytest.raises(ValueError, match="`test_shares` must be equal"):
        lower_bound_power(uneven, rounds=10, epsilon=0.1)
    for alpha in (0.0, 1.0, math.nan):
        with pytest.raises(ValueError, match="false-alarm"):
            declared_test_power(LINK, declared=LINK, rounds=10, false_alarm=alpha)
    for rounds, sessions, name in ((0, 1, "rounds"), (1, 0, "sessions")):
        with pytest.raises(ValueError, match=f"`{name}` must be at least 1"):
            simulated_power(
                lambda t: True, LINK, rounds=rounds, sessions=sessions, rng=np.random.default_rng(1)
            )
