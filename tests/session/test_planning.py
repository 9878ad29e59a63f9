"""The key to expect, and the choices that make it longest."""

import json
import math
import re
import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from e91.cli import commands
from e91.devices.exact import exact_device
from e91.model.numbers import TSIRELSON
from e91.model.settings import ASYMMETRIC, BBM92, EKERT
from e91.model.trust import SecurityModel
from e91.security.device_independent import acin_rate
from e91.security.policy import Policy
from e91.security.theorems import Theorem
from e91.session.planning import Link, asymptotic_rate, best_plan, expected_length
from e91.session.session import run

LINK = Link(0.98 * TSIRELSON, 0.01)
TRUSTED, FREE = SecurityModel
ACCUMULATION = Policy(FREE, theorem="entropy-accumulation")
POLICIES = {
    "phase errors": (Policy(), EKERT),
    "collective": (Policy(FREE), ASYMMETRIC),
    "accumulation": (ACCUMULATION, ASYMMETRIC),
    "exact tail": (Policy(theorem="exact-sampling", tolerated_error=0.015), BBM92),
}


def before_error_correction(length):
    return math.fsum(bits for name, bits in length.terms if "error correction" not in name)


@pytest.mark.slow
@pytest.mark.parametrize("name", POLICIES)
def test_expected_length_is_the_mean_of_what_sessions_get(name):
    """Ten sessions of 10^6 rounds: the mean is within 6 standard errors, each below 5 %.

    What error correction discloses is left out: the plan assumes an efficiency.
    """
    policy, settings = POLICIES[name]
    plan = best_plan(LINK, 1_000_000, settings=settings, policy=policy)
    expected = before_error_correction(plan.length)
    found = []
    for seed in range(10):
        device = exact_device(settings=plan.settings, visibility=0.98, seed=seed)
        report = run(device, rounds=1_000_000, policy=plan.policy, seed=seed)
        found.append(before_error_correction(report.length))
    error = np.std(found, ddof=1) / math.sqrt(10)
    assert error < 0.05 * expected
    assert abs(np.mean(found) - expected) < 6 * error


@pytest.mark.parametrize("name", POLICIES)
def test_plan_beats_the_declared_and_neighbouring_choices(name):
    policy, settings = POLICIES[name]
    plan = best_plan(LINK, 10**7, settings=settings, policy=policy)
    assert plan.length.bits > expected_length(LINK, 10**7, settings=settings, policy=policy).bits
    for factor in (0.5, 2.0):  # twice or half as many tests
        favourite = max(plan.settings.alice_probabilities)
        rest = min(0.9, (1 - favourite) * factor)
        alice = tuple(
            1 - rest if p == favourite else p * rest / (1 - favourite)
            for p in plan.settings.alice_probabilities
        )
        other = plan.settings.biased(alice, plan.settings.bob_probabilities)
        found = expected_length(LINK, 10**7, settings=other, policy=plan.policy)
        assert found.bits < 1.002 * plan.length.bits


@pytest.mark.parametrize("name", ["phase errors", "collective", "accumulation"])
def test_best_rate_grows_with_rounds_and_tends_to_the_asymptotic_one(name):
    policy, settings = POLICIES[name]
    rates = [
        best_plan(LINK, n, settings=settings, policy=policy, largest_block=n).secret_bits / n
        for n in (10**k for k in (4, 6, 9, 15))
    ]
    assert all(first <= second for first, second in pairwise(rates))
    limit = asymptotic_rate(
        policy.security, chsh_value=LINK.chsh_value, qber=LINK.qber, efficiency=1.1
    ).rate
    assert 0.99 * limit < rates[-1] < limit


@pytest.mark.parametrize("theorem", list(Theorem))
def test_rate_takes_a_millisecond_and_the_best_one_a_second(theorem):
    """Orders of magnitude only (ten and four times the claim), for machines differ."""
    declared = {"tolerated_error": 0.02} if theorem.fixes_errors_beforehand else {}
    asymptotic = not theorem.entry.finite
    policy = Policy(theorem.security, theorem=theorem, asymptotic=asymptotic, **declared)
    expected_length(LINK, 10**6, settings=BBM92, policy=policy)
    started = time.process_time()
    for _ in range(5):
        expected_length(LINK, 10**6, settings=BBM92, policy=policy)
    assert (time.process_time() - started) / 5 < 0.01
    started = time.process_time()
    best_plan(LINK, 10**6, settings=BBM92, policy=policy)
    assert time.process_time() - started < 4


def test_run_is_cut_into_blocks_that_share_epsilon():
    plan = best_plan(LINK, 10**9, settings=EKERT, policy=Policy(), largest_block=3 * 10**8)
    assert plan.blocks == 4
    assert plan.block_rounds == 250_000_000
    assert plan.policy.epsilon == Policy().epsilon / 4
    whole = best_plan(LINK, 10**9, settings=EKERT, policy=Policy())
    assert 0.9 * whole.secret_bits < plan.secret_bits < whole.secret_bits


@given(st.floats(2.2, 2.82), st.floats(0, 0.08), st.floats(1, 1.5))
def test_asymptotic_rate_is_monotone(s, qber, efficiency):
    for security in SecurityModel:

        def rate(s, qber, efficiency, security=security):
            return asymptotic_rate(security, chsh_value=s, qber=qber, efficiency=efficiency).rate

        at = rate(s, qber, efficiency)
        assert rate(s + 0.005, qber, efficiency) >= at
        assert rate(s, qber, efficiency + 0.1) <= at
        assert 0 <= at <= 1


@pytest.mark.parametrize("security", list(SecurityModel))
def test_more_than_tsirelson_earns_no_more(security):
    beyond, at = (asymptotic_rate(security, chsh_value=s, qber=0.0) for s in (3.7, TSIRELSON))
    assert beyond.rate == at.rate == pytest.approx(1)


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("qber", [0.0, 0.01])
def test_session_expects_no_more_than_quantum_theory_allows(name, qber):
    policy, settings = POLICIES[name]
    trusted = policy.security is SecurityModel.TRUSTED_ANALYSERS
    most = TSIRELSON * (1 - qber) if trusted else TSIRELSON
    beyond, at = (
        expected_length(Link(s, qber), 10**7, settings=settings, policy=policy) for s in (4, most)
    )
    assert beyond.terms == at.terms


def test_more_errors_earn_less_key_at_the_same_chsh_value():
    few, many = (
        best_plan(Link(2.7, qber, 1.0), 10**6, settings=ASYMMETRIC, policy=Policy()).secret_bits
        for qber in (0.045, 0.1)
    )
    assert many < few


@pytest.mark.parametrize(
    ("chsh_value", "qber", "efficiency", "sentence"),
    [
        (4.1, 0.1, 1.1, r"`chsh_value` must lie in \[0, 4\]"),
        (math.nan, 0.1, 1.1, r"`chsh_value` must lie in \[0, 4\]"),
        (2.5, 1.1, 1.1, r"`qber` must lie in \[0, 1\]"),
        (2.5, math.nan, 1.1, r"`qber` must lie in \[0, 1\]"),
        (2.5, 0.1, 0.9, "`efficiency` must be finite and at least 1"),
    ],
)
def test_impossible_link_is_refused(chsh_value, qber, efficiency, sentence):
    with pytest.raises(ValueError, match=sentence):
        Link(chsh_value, qber, efficiency)


@pytest.mark.parametrize("rounds", [0, -5, 1.5, math.nan, math.inf, True])
def test_impossible_number_of_rounds_is_refused(rounds):
    with pytest.raises(ValueError, match="`rounds` must be a whole number"):
        expected_length(LINK, rounds, settings=EKERT, policy=Policy())


@pytest.mark.parametrize("rounds", [10**k for k in range(1, 16)])
@pytest.mark.parametrize("theorem", ["phase-errors", "tlgr-2012", "tomamichel-leverrier-2017"])
def test_lengths_are_finite_from_ten_to_1e15_rounds(rounds, theorem):
    declared = {} if theorem == "phase-errors" else {"tolerated_error": 0.02}
    found = expected_length(
        LINK, rounds, settings=BBM92, policy=Policy(theorem=theorem, **declared)
    )
    assert all(math.isfinite(bits) for _, bits in found.terms)
    assert 0 <= found.bits < rounds


# The command line ---------------------------------------------------------------------------------


def rate(*arguments):
    import contextlib
    import io

    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        commands.main(["rate", *map(str, arguments), "--json"], standalone_mode=False)
    return json.loads(out.getvalue())


def entropy(p):
    return -p * math.log2(p) - (1 - p) * math.log2(1 - p)


def test_device_independent_rate_of_acin_charges_whose_bits_sessions_charge():
    options = ("--security", "device-independent", "--chsh", 2.7, "--qber", 0.02)
    acin = 1 - entropy((1 + math.sqrt(1.35**2 - 1)) / 2)
    for reconciler, parties in (("cascade", 2), ("ldpc", 1)):
        found = rate(*options, "--reconciler", reconciler)
        expected = acin - parties * entropy(0.02)
        assert found["secret_bits_per_key_round"] == pytest.approx(expected, abs=1e-9)
        assert found["charged_parties"] == parties
    assert rate(*options)["theorem"] == "acin-2007"
    assert rate(*options)["phase_error"] is None


@pytest.mark.parametrize(
    ("security", "qber", "more"),
    [(TRUSTED, 0.005, "cascade"), (TRUSTED, 0.03, "cascade"), (TRUSTED, 0.08, "cascade"),
     (FREE, 0.005, "cascade"), (FREE, 0.015, "ldpc"), (FREE, 0.03, "ldpc")],
)  # fmt: skip
def test_cascade_leaves_more_key_with_trust_and_ldpc_without_where_errors_are_not_rare(
    security, qber, more
):
    settings = BBM92.biased((0.9, 0.1), (0.9, 0.05, 0.025, 0.025))
    link = Link(TSIRELSON * (1 - 2 * qber), qber)
    bits = {
        name: expected_length(
            link, 10**7, settings=settings, policy=Policy(security, reconciler=name)
        ).bits
        for name in ("cascade", "ldpc")
    }
    assert max(bits, key=bits.get) == more


def test_threshold_of_white_noise_is_the_one_that_sessions_reach():
    def limit(qber, *options):
        link = ("--chsh", TSIRELSON * (1 - 2 * qber), "--qber", qber)
        untrusting = rate("--security", "device-independent", *link, *options)
        return untrusting["secret_bits_per_key_round"]

    assert limit(0.0460) > 0 == limit(0.0462)  # 7.15 % is the threshold of one party's bits
    assert limit(0.0428, "--efficiency", 1.1) > 0 == limit(0.0431, "--efficiency", 1.1)
    assert limit(0.0714, "--reconciler", "ldpc") > 0 == limit(0.0716, "--reconciler", "ldpc")


def test_trusted_rate_is_one_minus_both_entropies():
    found = rate("--chsh", 0.9 * TSIRELSON, "--qber", 0.05, "--efficiency", 1.16)
    assert found["secret_bits_per_key_round"] == pytest.approx(0.381382573, abs=1e-9)
    assert found["phase_error"] == pytest.approx(0.05)


def test_noisy_preprocessing_tells_its_flip_probability():
    options = ("--security", "device-independent", "--chsh", 2.4, "--qber", 0.075)
    options = (*options, "--reconciler", "ldpc")
    assert rate(*options)["secret_bits_per_key_round"] == 0
    found = rate(*options, "--noisy-preprocessing")
    assert found["secret_bits_per_key_round"] > 0
    assert 0 < found["flip_probability"] < 0.5


def test_rate_of_a_session_is_below_the_asymptotic_one_and_grows_with_its_rounds():
    options = ("--security", "device-independent", "--chsh", 2.75, "--qber", 0.01)
    limit = rate(*options)["secret_bits_per_key_round"]
    counts = [10**power for power in (5, 7, 9, 10, 12, 15)]
    sessions = [rate(*options, "--rounds", n) for n in counts]
    for n, found in zip(counts, sessions, strict=True):
        assert found["secret_bits"] == pytest.approx(found["secret_bits_per_round"] * n)
        assert (found["rounds"], found["blocks"], found["block_rounds"]) == (n, 1, n)
    rates = [found["secret_bits_per_round"] for found in sessions]
    assert rates == sorted(rates)
    assert rates[-1] < limit


def test_blocks_are_cut_only_where_that_is_asked_for():
    options = ("--chsh", 2.75, "--qber", 0.01, "--rounds", 10**8)
    cut = rate(*options, "--block-rounds", 10**7)
    assert (cut["blocks"], cut["block_rounds"]) == (10, 10**7)
    assert (cut["epsilon"], cut["block_epsilon"]) == (1e-10, pytest.approx(1e-11))
    assert "at most 50,000,000 rounds" in rate(*options)["remark"]
    assert cut["remark"] is None


def test_every_number_of_a_rate_has_its_unit(capsys):
    for options in ((), ("--rounds", "1000000")):
        commands.main(["rate", "--chsh", "2.7", "--qber", "0.02", *options], standalone_mode=False)
        lines = capsys.readouterr().out.splitlines()
        numbers = [line for line in lines if line[22].isdigit() and not line.startswith("blocks")]
        assert len(numbers) >= 4
        for line in numbers:
            assert re.fullmatch(r"[\d.,e-]+(, [\d.e-]+)* \S.*", line[22:]), line


def test_rate_refuses_the_epsilon_that_a_session_refuses():
    options = ("--chsh", 2.7, "--qber", 0.02, "--rounds", 10**6)
    with pytest.raises(ValueError, match=r"`epsilon` must be at least .* of 1,000,000 rounds"):
        rate(*options, "--epsilon", 1e-25)
    with pytest.raises(ValueError, match=r"`epsilon` must be at least .* of 1,000 rounds"):
        rate(*options, "--epsilon", 1e-21, "--block-rounds", 1000)


PLANNED = [
    ({"security": "trusted-analysers"}, EKERT, 0.97, 2_000_000),
    ({"security": "trusted-analysers", "reconciler": "ldpc"}, ASYMMETRIC, 0.96, 1_000_000),
    ({"security": "device-independent"}, ASYMMETRIC, 0.99, 4_000_000),
    ({"security": "device-independent", "reconciler": "ldpc"}, BBM92, 0.99, 1_000_000),
    (
        {"security": "device-independent", "theorem": "entropy-accumulation"},
        ASYMMETRIC,
        0.99,
        4_000_000,
    ),
]


@pytest.mark.parametrize(("options", "settings", "visibility", "rounds"), PLANNED)
def test_what_was_planned_is_run_and_makes_the_planned_key(options, settings, visibility, rounds):
    """Within six standard errors of S, QBER and key size (1e-9 each), and f from 1 to 1.2."""
    if "reconciler" in options:
        pytest.importorskip("ldpc")
    link, policy = Link.werner(visibility), Policy(**options)
    plan = best_plan(link, rounds, settings=settings, policy=policy)
    device = exact_device(settings=plan.settings, visibility=visibility, seed=5)
    report = run(device, rounds=plan.block_rounds, policy=plan.policy, seed=6)
    assert report.abort is None

    def length(side, efficiency):
        tests = [rounds * plan.settings.pair_probability(pair) for pair, _ in settings.chsh_pairs]
        key = rounds * plan.settings.key_probability
        s_error = math.sqrt(sum((1 - (link.chsh_value / 4) ** 2) / n for n in tests))
        q_error = math.sqrt(link.qber * (1 - link.qber) / (key * plan.policy.revealed_fraction))
        seen = Link(
            min(4.0, link.chsh_value + side * 6 * s_error),
            max(0.0, link.qber - side * 6 * q_error),
            efficiency,
        )
        found = expected_length(seen, rounds, settings=plan.settings, policy=plan.policy)
        return found.bits - 512 + side * 6 * math.sqrt(key)

    assert length(-1, 1.2) <= report.secret_bits <= length(1, 1.0)
    assert length(-1, 1.2) > 0.4 * plan.secret_bits  # a key of 0.4 times the length would be seen
    assert length(1, 1.0) < 1.6 * plan.secret_bits


def test_beyond_quantum_theory_is_said():
    assert "beyond quantum theory" in rate("--chsh", 3, "--qber", 0)["remark"]
    assert rate("--chsh", 2.8, "--qber", 0)["remark"] is None
    assert rate("--chsh", 2.8284, "--qber", 0)["remark"] is None
    assert "(1 - QBER)" in rate("--chsh", 2.7, "--qber", 0.1)["remark"]
    assert "(1 - QBER)" in rate("--chsh", 2.7, "--qber", 0.1, "--rounds", 10**6)["remark"]
    untrusting = ("--security", "device-independent")
    assert rate("--chsh", 2.7, "--qber", 0.1, *untrusting)["remark"] is None


def test_rate_at_an_unviolated_inequality_is_said_to_release_no_key():
    assert "releases no key" in rate("--chsh", 1.9, "--qber", 0.01)["remark"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--chsh", 5, "--qber", 0), "`chsh_value` must lie"),
        (("--chsh", "nan", "--qber", 0), "`chsh_value` must lie"),
        (("--chsh", 2.5, "--qber", 2), "`qber` must lie"),
        (("--chsh", 2.5, "--qber", 0, "--rounds", 0), r"`rounds` must lie in \[1, 10"),
        (("--chsh", 2.5, "--qber", 0, "--rounds", 100, "--epsilon", 0), "`epsilon` must lie"),
        (("--chsh", 2.5, "--qber", 0, "--epsilon", 1), "`epsilon` must lie"),
        (("--chsh", 2.5, "--qber", 0, "--efficiency", 0.5), "`efficiency` must be finite"),
        (("--chsh", 2.5, "--qber", 0, "--theorem", "tlgr-2012"), "must come with `--rounds`"),
        (("--chsh", 2.5, "--qber", 0, "--noisy-preprocessing"), "Noisy preprocessing must be"),
    ],
)
def test_impossible_rate_is_refused_in_a_sentence(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        rate(*arguments)


def test_acin_rate_is_the_limit_that_the_docs_name():
    assert acin_rate(TSIRELSON, 0.0) == pytest.approx(1)


@pytest.mark.parametrize("theorem", ["entropy-accumulation", "collective-attacks"])
@pytest.mark.parametrize("rounds", [1, 2, 10])
def test_plan_of_hardly_any_rounds_promises_no_key(theorem, rounds):
    policy = Policy(SecurityModel.DEVICE_INDEPENDENT, theorem=theorem)
    assert best_plan(LINK, rounds, settings=ASYMMETRIC, policy=policy).secret_bits == 0


def test_blocks_of_a_plan_leave_no_tiny_one_over():
    plan = best_plan(LINK, 1_000_003, settings=EKERT, policy=Policy(), largest_block=400_000)
    assert (plan.blocks, plan.block_rounds) == (3, 333_335)
