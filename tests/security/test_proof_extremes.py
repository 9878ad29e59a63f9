"""Lengths where something is optimistic first: no counts, all errors, one round, 10^15 rounds."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e91.bell.chsh import chsh_lower_bound, phase_error_bound
from e91.model.evidence import Evidence, KeySample, outcomes_of
from e91.model.records import Leak
from e91.model.settings import ASYMMETRIC, BBM92, EKERT
from e91.model.trust import SecurityModel
from e91.security.device_independent import acin_entropy
from e91.security.entropy_accumulation import Counts
from e91.security.policy import Policy
from e91.security.secret_length import accumulated_length, collective_length
from e91.security.shannon import capped
from e91.security.theorems import Theorem
from e91.session.verdict import verdict_of

EPSILONS = [0.1, 1e-10, 1e-30, 1e-100]

FINITE = {
    "phase-errors": (EKERT, Policy()),
    "portions": (EKERT, Policy(portions=8)),
    "exact-sampling": (BBM92, Policy(theorem="exact-sampling", tolerated_error=0.03)),
    "tl-2017": (BBM92, Policy(theorem="tomamichel-leverrier-2017", tolerated_error=0.03)),
    "tlgr-2012": (BBM92, Policy(theorem="tlgr-2012", tolerated_error=0.03)),
    "collective": (EKERT, Policy(SecurityModel.DEVICE_INDEPENDENT)),
    "accumulation": (
        ASYMMETRIC.biased((0.98, 0.01, 0.01), (0.5, 0.5)),
        Policy(SecurityModel.DEVICE_INDEPENDENT, theorem=Theorem.ENTROPY_ACCUMULATION),
    ),
}


def evidence_of(settings, *, rounds, won, error, fraction=0.1):
    """Counts as expected, rounded, of a session with winning probability and error rate."""
    sizes = [round(rounds * settings.pair_probability(pair)) for pair, _ in settings.chsh_pairs]
    wins = [round(size * won) for size in sizes]
    losses = [size - won for size, won in zip(sizes, wins, strict=True)]
    tests = outcomes_of(wins, losses, signs=settings.signs)
    samples = []
    for pair in settings.key_pairs:
        size = round(rounds * settings.pair_probability(pair))
        revealed = round(size * fraction)
        samples.append(KeySample(size - revealed, revealed, round(revealed * error)))
    seen = tuple(
        tuple(
            round(rounds * settings.pair_probability((x, y)))
            for y in range(len(settings.bob_angles))
        )
        for x in range(len(settings.alice_angles))
    )
    return Evidence(tests, tuple(samples), seen, settings.signs)


def bits_of(settings, policy, evidence, leak=None):
    length = verdict_of(evidence, settings=settings, policy=policy, leak=leak or Leak()).length
    return 0 if length is None else length.bits


@pytest.mark.parametrize(("settings", "policy"), FINITE.values(), ids=FINITE)
@pytest.mark.parametrize("rounds", [1, 2, 10, 50, 100])
def test_a_handful_of_perfect_rounds_makes_no_key(settings, policy, rounds):
    perfect = evidence_of(settings, rounds=rounds, won=1.0, error=0.0, fraction=0.5)
    assert bits_of(settings, policy, perfect) == 0


@pytest.mark.parametrize(("settings", "policy"), FINITE.values(), ids=FINITE)
@pytest.mark.parametrize("rounds", [10**3, 10**6, 10**10])
def test_bell_tests_that_a_local_device_wins_and_errors_everywhere_make_no_key(
    settings, policy, rounds
):
    for won, error in ((0.75, 0.0), (0.5, 0.5), (0.0, 1.0), (0.15, 0.0), (0.8, 0.5)):
        seen = evidence_of(settings, rounds=rounds, won=won, error=error)
        verdict = verdict_of(seen, settings=settings, policy=policy, leak=Leak(rounds, rounds))
        assert verdict.abort is not None


@pytest.mark.parametrize(("settings", "policy"), FINITE.values(), ids=FINITE)
@pytest.mark.parametrize("rounds", [10**4, 10**6, 10**8, 10**10, 10**12, 10**15])
def test_no_session_exceeds_what_is_left_in_the_limit(settings, policy, rounds):
    won, error = 0.5 + 2.75 / 8, 0.01
    evidence = evidence_of(settings, rounds=rounds, won=won, error=error)
    bits = bits_of(settings, policy, evidence)
    if policy.security is SecurityModel.DEVICE_INDEPENDENT:
        limit = evidence.key_size * acin_entropy(2.75)
    elif policy.proof.fixes_errors_beforehand:
        limit = evidence.key_size * (1 - capped(0.03))
    else:
        limit = evidence.key_size * (1 - capped(1 - 2.75 / (2 * math.sqrt(2)) - error))
    assert bits < limit
    if rounds == 10**15 and policy.proof is not Theorem.ENTROPY_ACCUMULATION:
        assert bits > 0.999 * limit


@given(
    st.integers(0, 400), st.integers(0, 400), st.integers(0, 50), st.integers(1, 400),
    st.sampled_from([0.3, 1e-6, 1e-21]),
)  # fmt: skip
def test_each_bad_sign_costs_and_none_earns(wins, losses, errors, key, epsilon):
    """A win turned into a loss, and an error among the revealed: never a smaller bound."""

    def bound(wins, losses, errors):
        tests = outcomes_of((wins, 0, 0, 0), (losses, 0, 0, 0), signs=EKERT.signs)
        evidence = Evidence(tests, (KeySample(key, 60, errors),), (), EKERT.signs)
        return phase_error_bound(evidence, settings=EKERT, revealed_fraction=0.1, epsilon=epsilon)

    here = bound(wins, losses, errors)
    assert 0 <= here <= key
    if wins:
        assert bound(wins - 1, losses + 1, errors) >= here
    # An error that was seen is one that Eve need not have made elsewhere: E + S + P is fixed.
    assert bound(wins, losses, errors + 1) <= here


@given(st.lists(st.integers(0, 10**6), min_size=4, max_size=4), st.sampled_from(EPSILONS))
def test_bound_on_s_never_exceeds_what_was_seen(wins, epsilon):
    losses = [10**6 - won for won in wins]
    bound = chsh_lower_bound(wins, losses, probabilities=(0.25,) * 4, epsilon=epsilon)
    seen = sum(2 * won / 10**6 - 1 for won in wins)
    assert -4 <= bound <= max(seen, -4)


@pytest.mark.parametrize("epsilon", EPSILONS)
@pytest.mark.parametrize("rounds", [1, 10, 10**6, 10**12])
def test_lengths_without_trust_are_numbers_for_any_counts(rounds, epsilon):
    for wins, losses in (
        ((0,) * 4, (0,) * 4),
        ((0,) * 4, (rounds,) * 4),
        ((rounds,) * 4, (0,) * 4),
    ):
        for key in (0, 1, rounds):
            counts = Counts(key, wins, losses, 0.9, (0.025,) * 4)
            found = accumulated_length(
                counts,
                rounds=rounds,
                chsh_value=2.0,
                announced_sample_bits=0.0,
                leak=Leak(),
                epsilon=epsilon,
            )
            assert all(math.isfinite(bits) for _, bits in found.terms)
            assert found.bits <= key
            collective = collective_length(
                key, chsh_value=4.0, chsh_lower_bound=4.0, leak=Leak(), epsilon=epsilon
            )
            assert collective.bits <= key
