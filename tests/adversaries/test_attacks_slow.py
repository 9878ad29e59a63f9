"""Many sessions against each adversary: no released key holds less than its theorem says."""

import os
from dataclasses import replace

import pytest
from scipy.stats import binom

from e91.adversaries import ATTACKS, Conditions, assumed_by, stage
from e91.distillation.authentication import AUTHENTICATION_BITS
from e91.model.settings import ASYMMETRIC, BBM92
from e91.model.trust import SecurityModel
from e91.security.policy import Policy
from e91.session.session import run

pytestmark = pytest.mark.slow

SESSIONS = int(os.environ.get("E91_SESSIONS", "100"))  # 1,000 by hand: some twenty minutes
LOCAL_SESSIONS = 1_000
ROUNDS = {"trusted": 40_000, "devices": 40_000, "devices with memory": 250_000}
EPSILON = 1e-6
FALSE_ALARM = 1e-9
BIASED = ASYMMETRIC.biased((0.7, 0.15, 0.15), (0.7, 0.3))

# Strengths at which some sessions of this length still make a key, and some at which none should.
WEAK = {
    "intercept-resend": (0.002, 0.01, 0.03, 0.1, 1.0),
    "cloner": (0.001, 0.004, 0.01, 0.02, 0.2),
    "probe": (0.999, 0.99, 0.95, 0.9, 0.3),
    "photon-number-splitting": (0.002, 0.01, 0.03, 0.06, 0.5),
    "separable": (0.002, 0.01, 0.03, 0.1, 1.0),
    "collective": (2.82, 2.8, 2.77, 2.7, 2.2),
    "drift": (0.0, 0.004, 0.01, 0.02, 0.5),
    "turning-bad": (0.0, 0.004, 0.01, 0.02, 0.5),
    "memory": (0.0, 0.004, 0.01, 0.02, 1.0),
    "time-shift": (1.0, 1.02, 1.05, 1.2, 4.0),
    "blinding": (0.0, 0.01, 0.03, 0.1, 1.0),
    "double-blinding": (2.0, 2.2, 2.5, 2.7, 2.8284),
    "local": (2.0, 1.9, 1.7, 1.0, 0.0),
    "detection-loophole": (2 / 3, 0.7, 0.75, 0.8, 0.8284),
    "gisin": (0.3, 0.5, 0.6, 0.7, 0.7779),
}
POLICIES = {
    "trusted": Policy(epsilon=EPSILON),
    "devices": Policy(SecurityModel.DEVICE_INDEPENDENT, epsilon=EPSILON),
    "devices with memory": Policy(
        SecurityModel.DEVICE_INDEPENDENT, epsilon=EPSILON, theorem="entropy-accumulation"
    ),
}
LOCAL = ("local", "detection-loophole", "gisin", "double-blinding")
REMEMBERING = ("memory", "drift", "turning-bad")  # what entropy accumulation is for
COVERED = [
    (name, model)
    for name in WEAK
    for model, policy in POLICIES.items()
    if not set(ATTACKS[name].breaks) & assumed_by(policy.proof)
    and (model != "devices with memory" or name in REMEMBERING)
]


def settings_for(name, model):
    return BBM92 if model == "trusted" and name != "collective" else BIASED


def claimed_entropy(report):
    """What the theorem says of the unrevealed key before it is shortened for disclosed bits."""
    leak = report.leak.alice if report.policy.security is _TRUSTED else report.leak.total
    return report.secret_bits + AUTHENTICATION_BITS + leak


_TRUSTED = SecurityModel.TRUSTED_ANALYSERS


@pytest.mark.parametrize(("name", "model"), COVERED, ids=[f"{n}-{m}" for n, m in COVERED])
def test_eve_knows_no_more_of_a_released_key_than_the_model_claims(name, model):
    policy, settings = POLICIES[model], settings_for(name, model)
    released = 0
    for strength in WEAK[name]:
        conditions = Conditions(strength, settings=settings, rounds=ROUNDS[model], seed=11)
        staged = stage(name, conditions)
        for seed in range(SESSIONS // len(WEAK[name])):
            if name in REMEMBERING:
                staged = stage(name, replace(conditions, seed=seed))  # they know how old they are
            staged.device.forget()
            report = run(staged.device, rounds=ROUNDS[model], policy=policy, seed=seed)
            if report.abort is None:
                released += 1
                hidden = report.evidence.key_size * (1 - staged.device.knowledge.information)
                assert claimed_entropy(report) <= hidden
    assert (released > 0) is (name not in LOCAL)


@pytest.mark.parametrize("name", LOCAL)
def test_local_models_make_device_independent_keys_no_more_often_than_epsilon(name):
    policy = replace(POLICIES["devices"], epsilon=1e-2)
    keys = violations = 0
    for strength in WEAK[name]:
        device = stage(name, Conditions(strength, settings=BBM92, seed=12)).device
        for seed in range(LOCAL_SESSIONS // len(WEAK[name])):
            device.forget()
            report = run(device, rounds=3_000, policy=policy, seed=seed)
            keys += report.abort is None
            violations += report.chsh.lower_bound > 2
    most = int(binom.isf(FALSE_ALARM, LOCAL_SESSIONS, 1e-2))
    assert keys <= most
    assert violations <= most
    assert (
        binom.cdf(most, LOCAL_SESSIONS, 0.08) < 1e-3
    )  # 8 % would be seen; a bare S > 2 gives 50 %
