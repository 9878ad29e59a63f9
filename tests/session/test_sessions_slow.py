"""Thousands of whole sessions of each kind: how often is the protocol wrong?"""

from itertools import product

import numpy as np
import pytest
from scipy.stats import binom

from e91.devices.exact import exact_device
from e91.model.errors import Abort
from e91.model.settings import BBM92
from e91.security.policy import Policy
from e91.session.expectation import refusal_bound
from e91.session.session import run
from e91.studies.running import warm_up

pytestmark = pytest.mark.slow

SESSIONS = 10_000
HONEST_SESSIONS = 4_000  # fewer do, as one in a hundred refused is ten times what is stated
FALSE_ALARM = 1e-9
EPSILON = 1e-2


def most_allowed(probability, sessions=SESSIONS):
    """The largest count of sessions that is believable for an event of this probability."""
    return int(binom.isf(FALSE_ALARM, sessions, probability))


def local_device(seed):
    """Every round draws one of the eight deterministic strategies with S = +2; no key errors."""
    generator = np.random.default_rng(seed)
    signs = np.array(list(product((1, -1), repeat=4)))  # a at 0 and 90, b at 45 and 135 degrees
    a0, a2, b0, b2 = signs.T
    best = signs[a0 * b0 - a0 * b2 + a2 * b0 + a2 * b2 == 2] < 0

    def measure(x, y):
        a0, a2, b0, b2 = best[generator.integers(len(best), size=len(x))].T.astype(np.uint8)
        return np.choose(x, [a0, b0, a2]), np.choose(y, [b0, a2, b2])

    return measure


def separable_device(seed):
    """Perfect correlations in one basis, none in the other: S = sqrt(2)."""
    return exact_device(dephasing=0.5, seed=seed)


@pytest.mark.parametrize("make", [local_device, separable_device])
def test_sources_without_entanglement_pass_no_more_often_than_epsilon(make):
    device, policy = make(seed=31), Policy(epsilon=EPSILON)
    passed = keys = 0
    for seed in range(SESSIONS):
        report = run(device, rounds=3_000, policy=policy, seed=seed)
        passed += report.abort is not Abort.NO_VIOLATION
        keys += report.abort is None
    assert passed <= most_allowed(EPSILON)
    assert keys <= most_allowed(EPSILON)
    # A bare S > 2 passes the local device half the time; even 3 % would be seen.
    assert binom.cdf(most_allowed(EPSILON), SESSIONS, 0.03) < 1e-3


def test_honest_sessions_make_equal_keys_and_are_refused_no_more_often_than_stated():
    policy, rounds = Policy(epsilon=1e-6), 40_000
    stated = refusal_bound(BBM92, rounds=rounds, visibility=0.99, policy=policy)
    assert stated < 1e-3
    device = exact_device(settings=BBM92, visibility=0.99, seed=32)
    warm_up()
    refused = 0
    for seed in range(HONEST_SESSIONS):
        report = run(device, rounds=rounds, policy=policy, seed=seed)
        refused += report.abort is not None
        if report.abort is None:
            assert np.array_equal(report.keys.alice.bits, report.keys.bob.bits)
            assert len(report.key) == report.secret_bits > 0
    most = most_allowed(stated, HONEST_SESSIONS)
    assert refused <= most
    assert binom.cdf(most, HONEST_SESSIONS, 0.01) < 1e-3  # 1 % would be seen
