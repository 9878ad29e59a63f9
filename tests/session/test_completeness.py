"""Completeness: the quantiles that set an honest session to its worst."""

import subprocess
import sys

import pytest
from scipy.stats import binom

from e91.session.expectation import _high_quantile, _low_quantile

CASES = [
    (trials, probability, level)
    for trials in (1, 10, 1_000, 222_222, 50_000_000)
    for probability in (0.0, 1e-3, 0.11, 0.853, 1.0)
    for level in (0.1 / 13, 1e-6, 1e-12 / 13)
]


@pytest.mark.parametrize(("trials", "probability", "level"), CASES)
def test_low_quantile_is_the_first_count_that_reaches_the_level(trials, probability, level):
    found = _low_quantile(level, trials, probability)
    assert binom.cdf(found, trials, probability) >= level * (1 - 1e-9)
    assert found == 0 or binom.cdf(found - 1, trials, probability) < level * (1 + 1e-9)


@pytest.mark.parametrize(("trials", "probability", "level"), CASES)
def test_high_quantile_is_the_first_count_that_is_seldom_exceeded(trials, probability, level):
    found = _high_quantile(level, trials, probability)
    assert binom.sf(found, trials, probability) <= level * (1 + 1e-9)
    assert found == 0 or binom.sf(found - 1, trials, probability) > level * (1 - 1e-9)


def test_no_trials_have_no_successes():
    assert (_low_quantile(0.01, 0, 0.5), _high_quantile(0.01, 0, 0.5)) == (0, 0)


def test_session_and_completeness_do_without_the_slow_import_of_scipy_stats():
    loaded = "import sys, e91.session.session, e91.session.expectation"
    looked = f"{loaded}; print('scipy.stats' in sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}; {looked}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == "False"
