"""Closed forms and claims at strengths, settings and noise that no table lists."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from e91.adversaries import ATTACKS, Conditions, stage
from e91.adversaries.interception import BASES
from e91.distillation.authentication import AUTHENTICATION_BITS
from e91.model.settings import ASYMMETRIC, BBM92, EKERT, SETTINGS
from e91.model.trust import SecurityModel
from e91.security.policy import Policy
from e91.security.theorems import Theorem
from e91.session.session import run

CHANNELS = [name for name, attack in ATTACKS.items() if attack.is_channel]
SHARES = st.lists(st.floats(0.05, 1), min_size=4, max_size=4)


def scaled(attack, share):
    """A strength within the attack's range; five pairs a pulse stand for infinity."""
    return attack.low + share * (min(attack.high, 5.0) - attack.low)


def biased(chosen, alice, bob):
    parts = [weights[: len(angles)] for weights, angles in
             ((alice, chosen.alice_angles), (bob, chosen.bob_angles))]  # fmt: skip
    return chosen.biased(*(tuple(np.array(part) / sum(part)) for part in parts))


def information(joint):
    """Mutual information of Alice's bit and Eve's symbol, ``joint[a, e]``, in bits."""
    alone = np.outer(joint.sum(axis=1), joint.sum(axis=0))
    some = joint > 1e-15
    return float((joint[some] * np.log2(joint[some] / alone[some])).sum())


@settings(max_examples=12, deadline=None)
@given(
    name=st.sampled_from(CHANNELS), share=st.floats(0, 1), visibility=st.floats(0.2, 1),
    basis=st.sampled_from(list(BASES)), flips=st.floats(0, 0.5),
    kind=st.sampled_from(list(SETTINGS)),
    alice=SHARES, bob=SHARES,
)  # fmt: skip
def test_closed_form_is_exact_at_any_strength_settings_and_visibility(
    name, share, visibility, basis, flips, kind, alice, bob
):
    attack = ATTACKS[name]
    chosen = biased(SETTINGS[(attack.settings or (kind,))[0]], alice, bob)
    options = {"basis": basis} if name == "intercept-resend" else {}
    options |= {"flips": flips} if name == "collective" else {}
    conditions = Conditions(
        scaled(attack, share), settings=chosen, visibility=visibility, options=options
    )
    staged = stage(name, conditions)
    table, expected = staged.device.reading().table, staged.expected
    outcomes = table.sum(axis=4)
    products = 2 * (outcomes[:, :, 0, 0] + outcomes[:, :, 1, 1]) - 1
    weights = np.array([chosen.pair_probability(pair) for pair in chosen.key_pairs])
    weights /= weights.sum()
    noted = [table[pair].sum(axis=1) for pair in chosen.key_pairs]
    found = (
        sum(sign * products[pair] for pair, sign in chosen.chsh_pairs),
        np.dot(weights, [(1 - products[pair]) / 2 for pair in chosen.key_pairs]),
        np.dot(weights, [joint.max(axis=0).sum() for joint in noted]),
    )
    wanted = (expected.chsh, expected.qber, expected.guess_rate)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-9)
    if expected.information is not None:
        holevo = staged.device.reading().memory_information
        known = np.dot(weights, list(map(information, noted))) if holevo is None else holevo
        assert known == pytest.approx(expected.information, abs=1e-9)


# Adversary, strengths between which keys stop to come, settings, theorem.
EDGES = [
    ("intercept-resend", (0.0, 0.5), BBM92, Theorem.PHASE_ERRORS),
    ("intercept-resend", (0.0, 0.5), EKERT, Theorem.PHASE_ERRORS),
    ("cloner", (0.0, 0.2), BBM92, Theorem.EXACT_SAMPLING),
    ("cloner", (0.0, 0.2), ASYMMETRIC, Theorem.PHASE_ERRORS),
    ("probe", (1.0, 0.2), ASYMMETRIC, Theorem.PHASE_ERRORS),
    ("separable", (0.0, 0.8), EKERT, Theorem.PHASE_ERRORS),
    ("photon-number-splitting", (0.0, 0.8), BBM92, Theorem.PHASE_ERRORS),
    ("collective", (2.8284, 2.0), ASYMMETRIC.biased((0.7, 0.15, 0.15), (0.7, 0.3)),
     Theorem.COLLECTIVE),
    ("probe", (1.0, 0.2), ASYMMETRIC.biased((0.7, 0.15, 0.15), (0.7, 0.3)), Theorem.COLLECTIVE),
]  # fmt: skip


@pytest.mark.parametrize(("name", "between", "chosen", "theorem"), EDGES)
def test_keys_at_the_edge_of_abort_hold_no_more_than_eve_leaves(name, between, chosen, theorem):
    """Bisect to the strength at which the last keys come, and weigh every key on the way."""
    tolerated = 0.06 if theorem.fixes_errors_beforehand else None
    policy = Policy(theorem.security, theorem=theorem.value, epsilon=1e-2,
                    tolerated_error=tolerated)  # fmt: skip
    trusted, rounds = theorem.security is SecurityModel.TRUSTED_ANALYSERS, 60_000
    (weak, strong), keys = between, 0
    for seed in range(5):
        strength = (weak + strong) / 2
        device = stage(name, Conditions(strength, settings=chosen, seed=100 + seed)).device
        report = run(device, rounds=rounds, policy=policy, seed=seed)
        if report.abort is not None:
            strong = strength
            continue
        weak, keys = strength, keys + 1
        leak = report.leak.alice if trusted else report.leak.total
        claimed = report.secret_bits + AUTHENTICATION_BITS + leak
        hidden = report.evidence.key_size * (1 - device.knowledge.information)
        assert claimed <= hidden
    assert 0 < keys < 5
