"""What each theorem charges, written out from its statement for counts that are not alike."""

import math
from dataclasses import replace

import numpy as np
import pytest

from e91.devices.exact import exact_device
from e91.distillation import authentication, verification
from e91.model.errors import Abort
from e91.model.evidence import Evidence, KeySample, outcomes_of
from e91.model.records import ChshEstimate, Leak, SecretLength
from e91.model.settings import ASYMMETRIC, BBM92, EKERT
from e91.security import secret_length
from e91.security.entropy_accumulation import (
    announced_test_bits,
    chosen_bets,
    credited_bits,
    renyi_entropy,
)
from e91.security.policy import Policy
from e91.security.sampling import hypergeometric_upper_bound
from e91.security.shannon import binary_entropy
from e91.security.theorems import Theorem, check_reference, counts_of, secret_bits
from e91.session.session import run
from e91.session.verdict import (
    FALSE_ALARM,
    case_of,
    check_policy,
    chsh_estimate,
    least_epsilon,
    refuted_premise,
    verdict_of,
)

EPSILON = 1e-10
# A basis' share of epsilon, and what smoothing (twice) and privacy amplification have of that.
SMOOTHING, AMPLIFICATION = 2 * (0.4 * (EPSILON / 2)), 0.1 * (EPSILON / 2)
LEAK = Leak(30_000, 17_000)
TOLERATED = 0.03125  # a binary fraction: no rounding between counts and rates

# The bases differ in all that counts: whoever takes one for the other gets another length.
FIRST, SECOND = KeySample(400_000, 32_000, 500), KeySample(250_000, 64_000, 1_500)
TWO_BASES = (Theorem.EXACT_SAMPLING, Theorem.TOMAMICHEL_LEVERRIER, Theorem.TLGR)
DECLARED = {theorem: {"tolerated_error": TOLERATED} for theorem in TWO_BASES} | {
    Theorem.NOISY_PREPROCESSING: {"flip_probability": 0.03}
}
FEW_TESTS = ASYMMETRIC.biased((0.98, 0.01, 0.01), (0.98, 0.02))


def evidence_of(*samples, settings=BBM92, win=0.845, test=50_000):
    wins = [round(win * test)] * 4
    tests = outcomes_of(wins, [test - won for won in wins], signs=settings.signs)
    pairs = len(settings.alice_angles), len(settings.bob_angles)
    seen = tuple(map(tuple, np.full(pairs, 200_000).tolist()))
    return Evidence(tests, samples, seen, settings.signs)


def a_case(theorem, evidence=None, *, settings=BBM92, leak=LEAK):
    evidence = evidence or evidence_of(FIRST, SECOND)
    policy = Policy(
        theorem.security,
        theorem=theorem,
        epsilon=EPSILON,
        asymptotic=not theorem.entry.finite,
        **DECLARED.get(theorem, {}),
    )
    return case_of(
        evidence,
        settings=settings,
        policy=policy,
        found=chsh_estimate(evidence, settings=settings, epsilon=EPSILON),
        error_rate=evidence.error_rate,
        leak=leak,
    )


def phase_error_of(theorem, n, k):
    """The bound for n key bits of one basis from k test bits of the other one."""
    if theorem is Theorem.EXACT_SAMPLING:
        tolerated, failure = math.floor(TOLERATED * k), (SMOOTHING / 2) ** 2
        return hypergeometric_upper_bound(tolerated, revealed=k, hidden=n, epsilon=failure)
    shares = {
        Theorem.TOMAMICHEL_LEVERRIER: 2 / SMOOTHING,
        Theorem.TLGR: 4 / (SMOOTHING + AMPLIFICATION),
    }
    return TOLERATED + math.sqrt((n + k) * (k + 1) * math.log(shares[theorem]) / (n * k**2))


def price_of(theorem):
    """What privacy amplification of one basis costs, bits."""
    if theorem is Theorem.TLGR:
        return 1 + 2 * math.log2(1 / (SMOOTHING + AMPLIFICATION))
    return 2 * math.log2(1 / (2 * AMPLIFICATION))


def of_two_bases(theorem, blocks):
    """Length of the key of these (key bits, test bits), one pair a basis."""
    found = -LEAK.alice
    for n, k in blocks:
        found += n * (1 - binary_entropy(phase_error_of(theorem, n, k))) - price_of(theorem)
    return math.floor(found)


@pytest.mark.parametrize("theorem", TWO_BASES)
def test_each_basis_is_tested_by_the_other_with_half_of_epsilon(theorem):
    found = secret_bits(a_case(theorem))
    blocks = (400_000, 64_000), (250_000, 32_000)
    assert found.bits == of_two_bases(theorem, blocks)
    worst = max(phase_error_of(theorem, *block) for block in blocks)
    assert found.phase_error == pytest.approx(worst, rel=1e-14)
    terms = dict(found.terms)
    at_once = 650_000 * binary_entropy(TOLERATED)
    assert terms["phase errors, as tolerated"] == pytest.approx(-at_once, rel=1e-12)
    turned = secret_bits(a_case(theorem, evidence_of(SECOND, FIRST)))
    assert (turned.bits, turned.phase_error) == (found.bits, found.phase_error)


@pytest.mark.parametrize("theorem", TWO_BASES)
@pytest.mark.parametrize("failing", [0, 1])
def test_one_error_beyond_the_tolerated_ones_gives_up_the_basis_that_it_tests(theorem, failing):
    """1,000 errors of 32,000 are 1/32, and 2,000 of 64,000: tolerated, and one more is not."""
    samples = [replace(FIRST, errors=1_000), replace(SECOND, errors=2_000)]
    at_most = secret_bits(a_case(theorem, evidence_of(*samples)))
    assert at_most.bits == of_two_bases(theorem, ((400_000, 64_000), (250_000, 32_000)))
    samples[failing] = replace(samples[failing], errors=samples[failing].errors + 1)
    beyond = secret_bits(a_case(theorem, evidence_of(*samples)))
    left = (400_000, 64_000) if failing == 0 else (250_000, 32_000)
    assert beyond.bits == of_two_bases(theorem, [left])
    assert beyond.phase_error == 0.5


@pytest.mark.parametrize("theorem", TWO_BASES)
def test_basis_without_a_sample_of_the_other_gives_nothing(theorem):
    found = secret_bits(a_case(theorem, evidence_of(FIRST, KeySample(250_000, 0, 0))))
    assert found.bits == of_two_bases(theorem, [(250_000, 32_000)])
    assert found.phase_error == 0.5


@pytest.mark.parametrize("theorem", Theorem)
def test_a_theorem_charges_what_alice_said_and_what_bob_said_only_without_trust(theorem):
    trusted = theorem.security.value == "trusted-analysers"
    settings = FEW_TESTS if theorem is Theorem.ENTROPY_ACCUMULATION else BBM92
    evidence = None
    if settings is FEW_TESTS:
        evidence = evidence_of(KeySample(10**6, 10**3, 5), settings=settings, test=200)
        evidence = replace(evidence, samples=evidence.samples * len(settings.key_pairs))

    def bits(alice, bob):
        leak = Leak(alice, bob)
        case = a_case(theorem, evidence, settings=settings, leak=leak)
        return math.fsum(term for _, term in secret_bits(case).terms)

    nothing = bits(0, 0)
    assert bits(4096, 0) == pytest.approx(nothing - 4096, abs=1e-6)
    assert bits(0, 1024) == pytest.approx(nothing - (0 if trusted else 1024), abs=1e-6)


def test_budget_of_epsilon_is_spent_as_written():
    budget = secret_length.split(1.0)
    assert (budget.estimation, budget.amplification) == (0.4, 0.1)
    assert (budget.correctness, budget.authentication) == (0.05, 0.05)
    assert budget.secrecy == 2 * 0.4 + 0.1
    assert budget.secrecy + budget.correctness + budget.authentication == 1


def asked_of(case, name, answer):
    """The lengths of a case whose bound is ``answer``, and the epsilons it was asked for."""
    asked = []

    def bound(epsilon):
        asked.append(epsilon)
        return answer

    return secret_bits(replace(case, **{name: bound})), asked


def test_phase_errors_are_bounded_with_the_square_of_the_share_of_estimation():
    found, asked = asked_of(a_case(Theorem.PHASE_ERRORS), "phase_errors", 13_000.0)
    assert asked == [(0.4 * EPSILON) ** 2]
    left = 650_000 * (1 - binary_entropy(13_000 / 650_000)) - LEAK.alice
    assert found.bits == math.floor(left - 2 * math.log2(1 / (2 * 0.1 * EPSILON)))


@pytest.mark.parametrize(("won", "estimate"), [(0.845, 0.014214), (0.6, 0.5), (1.0, 0.0)])
def test_suggested_phase_errors_are_one_less_s_and_error_rate_and_no_probability_beyond(
    won, estimate
):
    evidence = evidence_of(
        KeySample(400_000, 32_000, 320), KeySample(250_000, 64_000, 640), win=won
    )
    found, _ = asked_of(a_case(Theorem.PHASE_ERRORS, evidence), "phase_errors", 325_000.0)
    suggested = -dict(found.terms)["phase errors, as estimated"]
    if 0 < estimate < 0.5:
        estimate = 1 - (8 * won - 4) / (2 * math.sqrt(2)) - 0.01
    assert suggested == pytest.approx(650_000 * binary_entropy(estimate), rel=1e-12)


def test_suggested_phase_errors_never_exceed_their_bound():
    found, _ = asked_of(a_case(Theorem.PHASE_ERRORS), "phase_errors", 100.0)
    assert dict(found.terms)["finite statistics"] == 0


def test_bound_on_s_of_collective_attacks_fails_with_twice_the_share_of_estimation():
    found, asked = asked_of(a_case(Theorem.COLLECTIVE), "chsh_lower_bound", 2.7)
    assert asked == [2 * (0.4 * EPSILON)]
    terms = dict(found.terms)
    unknown = -terms["S as estimated: what Eve may know"] - terms["finite statistics"]
    # cost = order / (order - 1) log2(1 / (epsilon / 10)) - 2 tells the order.
    ratio = (2 - terms["privacy amplification"]) / math.log2(10 / EPSILON)
    order = ratio / (ratio - 1)
    missing = 650_000 * (1 - renyi_entropy(2.7, order=order))
    assert unknown == pytest.approx(missing, rel=1e-9)
    for other in (1 + 0.9 * (order - 1), 1 + 1.1 * (order - 1)):  # the best order
        paid = 650_000 * (1 - renyi_entropy(2.7, order=other))
        paid += other / (other - 1) * math.log2(10 / EPSILON) - 2
        assert paid > missing - terms["privacy amplification"]


def test_entropy_accumulation_charges_every_announced_outcome_and_all_rounds():
    samples = [KeySample(700_000, 900, 9)] * len(FEW_TESTS.key_pairs)
    evidence = evidence_of(*samples, settings=FEW_TESTS, test=300, win=0.84)
    found = secret_bits(a_case(Theorem.ENTROPY_ACCUMULATION, evidence, settings=FEW_TESTS))
    counts = counts_of(evidence, settings=FEW_TESTS, revealed_fraction=0.1)
    key = math.fsum(math.prod(p) for p in probabilities(FEW_TESTS, FEW_TESTS.key_pairs))
    assert counts.key_probability == pytest.approx(0.9 * key, rel=1e-15)
    bets = chosen_bets(
        200_000 * len(FEW_TESTS.alice_angles) * len(FEW_TESTS.bob_angles),
        key_probability=counts.key_probability,
        test_probabilities=counts.test_probabilities,
        epsilon=0.9 * EPSILON,
    )
    sample = sum(
        s.revealed * (1 + binary_entropy(s.errors / s.revealed)) + math.log2(s.revealed + 1)
        for s in samples
    )
    order = bets[0].order
    price = order / (order - 1) * math.log2(1 / (0.9 * EPSILON)) - 2
    left = credited_bits(counts, bets) - announced_test_bits(counts) - sample
    total = math.fsum(bits for _, bits in found.terms)
    assert total == pytest.approx(left - LEAK.total - price, abs=1e-3)


def probabilities(settings, pairs):
    return [(settings.alice_probabilities[x], settings.bob_probabilities[y]) for x, y in pairs]


@pytest.mark.parametrize(
    "theorem", [it for it in Theorem if not it.entry.finite and it is not Theorem.SHOR_PRESKILL]
)
def test_asymptotic_lengths_without_trust_rest_on_the_bound_and_not_the_estimate(theorem):
    case = a_case(theorem)
    lower = replace(case, chsh=replace(case.chsh, value=2.8, lower_bound=2.5))
    higher = replace(case, chsh=replace(case.chsh, value=2.5, lower_bound=2.5))
    assert secret_bits(lower) == secret_bits(higher)


def test_reference_of_a_key_pair_may_be_either_partys():
    check_reference(EKERT)  # (a2, b1) has Alice's, (a3, b2) Bob's


# Thresholds of the verdict ------------------------------------------------------------------------

SESSION = evidence_of(FIRST, SECOND)


@pytest.mark.parametrize(
    ("bound", "abort"), [(2.0, Abort.NO_VIOLATION), (math.nextafter(2.0, 3.0), None)]
)
def test_bound_on_s_must_exceed_two_and_not_reach_it(bound, abort, monkeypatch):
    found = ChshEstimate(2.7, 0.01, bound, 0.0, 200_000)
    monkeypatch.setattr("e91.session.verdict.chsh_estimate", lambda *_, **__: found)
    assert verdict_of(SESSION, settings=BBM92, policy=Policy()).abort is abort


@pytest.mark.parametrize(("bits", "abort"), [(512.9, Abort.NO_SECRET_LEFT), (513.0, None)])
def test_key_must_have_more_bits_than_the_next_tags_need(bits, abort, monkeypatch):
    length = SecretLength((("sifted key", bits),), 0.0)
    monkeypatch.setattr("e91.session.verdict.theorems.whole_length", lambda _, **__: length)
    assert verdict_of(SESSION, settings=BBM92, policy=Policy()).abort is abort


@pytest.mark.parametrize(
    ("test", "abort"),
    [
        ("settings_p_value", Abort.SETTINGS_SKEWED),
        ("no_signalling_p_value", Abort.SIGNALLING),
    ],
)
def test_premise_is_refuted_from_the_false_alarm_rate_on(test, abort, monkeypatch):
    p_values = dict.fromkeys(("settings_p_value", "no_signalling_p_value"), 1.0)
    for cheap in ("settings_surely_pass", "no_signalling_surely_passes"):  # leave all undecided
        monkeypatch.setattr(f"e91.session.verdict.sufficient.{cheap}", lambda *_, **__: False)
    for name in ("settings_p_value", "no_signalling_p_value"):
        monkeypatch.setattr(
            f"e91.session.verdict.correlators.{name}", lambda *_, name=name, **__: p_values[name]
        )
    assert refuted_premise(SESSION, settings=BBM92) is None
    p_values[test] = FALSE_ALARM
    assert refuted_premise(SESSION, settings=BBM92) is abort
    p_values[test] = math.nextafter(FALSE_ALARM, 1.0)
    assert refuted_premise(SESSION, settings=BBM92) is None


def test_honest_counts_are_judged_without_adding_up_a_tail(monkeypatch):
    for tail in ("correlators.settings_p_value", "correlators.no_signalling_p_value"):
        monkeypatch.setattr(f"e91.session.verdict.{tail}", lambda *_, **__: pytest.fail("summed"))
    monkeypatch.setattr(
        "e91.session.verdict.sampling.hypergeometric_upper_bound", lambda *_, **__: 0.125
    )
    report = run(exact_device(visibility=0.97, seed=1), rounds=60_000, seed=2)
    assert report.abort is None
    assert report.qber.upper_bound == 0.125  # made when it is read


@pytest.mark.parametrize("rounds", [1, 3, 1000, 10**6 + 1])
def test_smallest_epsilon_counts_both_tags_at_bernsteins_bound(rounds):
    forged = 2 * (8 * math.ceil(4096 * rounds / 16)) / 2.0**106
    assert least_epsilon(rounds) == forged / 0.05


@pytest.mark.parametrize("portions", [1, 8])
def test_smallest_epsilon_counts_the_hash_of_every_portion(portions, monkeypatch):
    monkeypatch.setattr(authentication, "forgery_probability", lambda _: 0.0)
    collided = portions * verification.collision_probability(1000)
    assert least_epsilon(1000, portions=portions) == collided / 0.05


def test_smallest_epsilon_itself_can_be_promised():
    check_policy(10**6, settings=EKERT, policy=Policy(epsilon=least_epsilon(10**6)))
