"""Completeness: the quantiles that set an honest session to its worst."""

import subprocess
import sys

import pytest
from scipy.stats import binom

from e91.devices.exact import exact_device
from e91.model.settings import EKERT
from e91.security.policy import Policy
from e91.session.expectation import _high_quantile, _low_quantile, ldpc_leak, refusal_bound
from e91.session.session import run

CASES = [
    (trials, probability, level)
    for trials in (1, 10, 1_000, 222_222, 50_000_000)
    for probability in (0.0, 1e-3, 0.11, 0.853, 1.0)
    for level in (0.1 / 13, 1e-6, 1e-12 / 13)
]


def test_low_quantile_is_the_first_count_that_reaches_the_level():
    for trials, probability, level in CASES:
        found = _low_quantile(level, trials, probability)
        assert binom.cdf(found, trials, probability) >= level * (1 - 1e-9)
        assert found == 0 or binom.cdf(found - 1, trials, probability) < level * (1 + 1e-9)


def test_high_quantile_is_the_first_count_that_is_seldom_exceeded():
    for trials, probability, level in CASES:
        found = _high_quantile(level, trials, probability)
        assert binom.sf(found, trials, probability) <= level * (1 + 1e-9)
        assert found == 0 or binom.sf(found - 1, trials, probability) > level * (1 - 1e-9)


def test_the_bound_on_refusals_counts_the_reconcilers_own_failures():
    bounds = {
        reconciler: refusal_bound(
            EKERT, rounds=1_000_000, visibility=0.97, policy=Policy(reconciler=reconciler)
        )
        for reconciler in ("cascade", "ldpc")
    }
    assert 1e-4 < bounds["cascade"] < 1.1e-4
    assert 1e-3 < bounds["ldpc"] < 1.1e-3


def test_what_ldpc_is_expected_to_disclose_is_what_a_session_discloses():
    pytest.importorskip("ldpc")
    policy = Policy(reconciler="ldpc")
    report = run(exact_device(visibility=0.97, seed=1), rounds=100_000, policy=policy, seed=1)
    assert report.abort is None
    assert report.leak == ldpc_leak(report.evidence, report.evidence.sample_errors, policy)


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
