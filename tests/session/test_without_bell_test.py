"""Keys without a Bell test: plain BBM92, by theorems that conclude from errors alone."""

import json
import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from e91_circuits import intercept_resend, intercept_resend_along
from scipy.stats import binom, hypergeom

from e91.devices.exact import exact_device
from e91.keys.files import open_key_file
from e91.model.errors import Abort
from e91.model.evidence import Evidence, KeySample
from e91.model.randomness import seeded_entropy
from e91.model.records import ChshEstimate, Leak, Release, SecretLength
from e91.model.settings import BBM92, BBM92_PLAIN, EKERT
from e91.security.device_dependent import Block, exact_sampling_length, tlgr_length
from e91.security.policy import Policy
from e91.security.secret_length import split
from e91.security.shannon import binary_entropy
from e91.security.theorems import Theorem
from e91.session.expectation import Link
from e91.session.planning import best_plan, expected_length
from e91.session.report import NO_BELL_TEST
from e91.session.session import analyse, measure, run
from e91.session.streaming import stream
from e91.session.totals import summary_of
from e91.session.verdict import check_policy, verdict_of

PLAIN = [theorem for theorem in Theorem if not theorem.entry.needs_bell_test]


def policy_of(theorem=Theorem.EXACT_SAMPLING, tolerated=0.03, **others):
    return Policy(theorem=theorem, tolerated_error=tolerated, **others)


def session(device=None, policy=None, rounds=100_000):
    device = device or exact_device(settings=BBM92_PLAIN, visibility=0.97, seed=1)
    return run(device, rounds=rounds, policy=policy or policy_of(), seed=2)


# What is claimed ------------------------------------------------------------------------------


@pytest.mark.parametrize("theorem", PLAIN)
def test_honest_session_makes_equal_keys_and_says_that_no_bell_test_was_made(theorem):
    report = session(policy=policy_of(theorem))
    assert report.abort is None
    assert np.array_equal(report.keys.alice.bits, report.keys.bob.bits)
    assert report.key.bell_test is False
    found = report.to_dict()
    assert found["bell_test"] is False
    assert set(found["chsh"].values()) == {None, 0}
    assert (found["theorem"], found["attacks_covered"]) == (theorem.value, "coherent attacks")
    assert found["assumptions"].endswith(NO_BELL_TEST)
    words = " ".join(str(report).split())
    assert "Bell test none was made" in words
    assert NO_BELL_TEST in words
    assert "local model" not in words


def test_session_with_a_bell_test_says_so_under_the_same_theorem():
    device = exact_device(settings=BBM92, visibility=0.99, seed=1)
    report = session(device, rounds=200_000)
    assert report.abort is None
    assert (report.key.bell_test, report.to_dict()["bell_test"]) == (True, True)
    assert "No Bell test" not in str(report)


def test_key_file_and_command_say_that_no_bell_test_was_made(status, tmp_path):
    line = ["run", "--settings", "bbm92-plain", "--theorem", "exact-sampling", "--device", "exact"]
    line += ["--tolerated-error", 0.03, "--rounds", 60_000, "--seed", 1, "--json"]
    code, printed, _ = status(*line, "--out", tmp_path / "out")
    assert code == 0
    assert json.loads(printed)["bell_test"] is False
    content = json.loads((tmp_path / "out" / "alice.key").read_text())
    assert content["bell_test"] is False
    assert "no Bell test was made, the analysers are trusted" in content["warning"]
    with open_key_file(tmp_path / "out" / "alice.key") as key_file:
        assert key_file.store.snapshot().label.bell_test is False


def test_run_of_blocks_says_it_of_their_sum():
    device = exact_device(settings=BBM92_PLAIN, visibility=0.97, seed=1)
    reports = stream(device, rounds=200_000, block_rounds=100_000, policy=policy_of(), seed=1)
    found = summary_of(reports)
    assert found.released == 2
    assert found.to_dict()["bell_test"] is False
    assert "none was made" in str(found)
    assert NO_BELL_TEST in " ".join(str(found).split())


# Refusals -------------------------------------------------------------------------------------

RANDOM = partial(intercept_resend, fraction=1.0, basis="random")
ALONG_KEY = partial(intercept_resend_along, fraction=1.0, angles=[0.0])
BETWEEN = partial(intercept_resend_along, fraction=1.0, angles=[math.pi / 4])


@pytest.mark.parametrize(
    ("source", "tolerated"),
    [
        ({"visibility": 0.76}, 0.03),  # QBER 12 %
        ({"attack": RANDOM}, 0.03),
        ({"attack": ALONG_KEY}, 0.03),
        ({"attack": BETWEEN}, 0.03),
    ],
    ids=["12 %", "both bases", "one key basis", "between them"],
)
@pytest.mark.parametrize("theorem", PLAIN)
def test_errors_beyond_the_tolerated_end_the_session(source, tolerated, theorem):
    device = exact_device(settings=BBM92_PLAIN, seed=1, **source)
    report = session(device, policy_of(theorem, tolerated))
    assert report.abort is Abort.TOO_MANY_ERRORS
    assert report._keys is None


@pytest.mark.parametrize("attack", [None, RANDOM, ALONG_KEY])
def test_tolerating_as_much_as_eve_makes_leaves_nothing(attack):
    visibility = 1.0 if attack else 0.76
    device = exact_device(settings=BBM92_PLAIN, seed=1, visibility=visibility, attack=attack)
    report = session(device, policy_of(tolerated=0.5 if attack else 0.125))
    assert report.abort in (Abort.NO_SECRET_LEFT, Abort.TOO_MANY_ERRORS)
    assert report.secret_bits == 0


def test_recording_of_a_singlet_is_called_inverted_and_not_used_up():
    device = exact_device(settings=BBM92_PLAIN, visibility=0.97, seed=1)
    record = measure(device, 60_000, settings=BBM92_PLAIN, entropy=seeded_entropy(1)).flipped("bob")
    asked = {"settings": BBM92_PLAIN, "policy": policy_of(), "seed": 2}
    for _ in range(2):
        assert analyse(record, **asked).abort is Abort.OUTCOMES_INVERTED
    singlet = replace(BBM92_PLAIN, name="own", state="psi-", key_signs=(-1, -1))
    assert analyse(record, **(asked | {"settings": singlet})).abort is None


def test_a_basis_without_a_sample_is_too_few_rounds():
    evidence = Evidence((), (KeySample(9_000, 1_000, 0), KeySample(9_000, 0, 0)), ((1, 1),) * 2, ())
    verdict = verdict_of(evidence, settings=BBM92_PLAIN, policy=policy_of(), leak=Leak(100))
    assert verdict.abort is Abort.TOO_FEW_ROUNDS


@pytest.mark.parametrize(
    ("settings", "policy", "sentence"),
    [
        (BBM92_PLAIN, Policy(), r"needs no Bell test \(`exact-sampling`.*come with `phase-errors`"),
        (BBM92_PLAIN, Policy("device-independent"), "come with `collective-attacks`"),
        (replace(EKERT, chsh_pairs=()), policy_of(), "two mutually unbiased key bases.*are not.$"),
        (replace(BBM92_PLAIN, key_pairs=()), policy_of(), "must have key pairs"),
        (
            replace(
                BBM92_PLAIN,
                alice_angles=(0.0, 1.0, math.pi / 2),
                bob_angles=(0.0, 1.0, math.pi / 2),
                alice_probabilities=(),
                bob_probabilities=(),
                key_pairs=((0, 0), (1, 1), (2, 2)),
            ),
            policy_of(),
            "two mutually unbiased key bases",
        ),
    ],
    ids=["theorem", "trust", "bases", "no key", "three bases"],
)
def test_what_no_theorem_covers_is_refused(settings, policy, sentence):
    with pytest.raises(ValueError, match=sentence):
        check_policy(100_000, settings=settings, policy=policy)


def test_attacks_that_answer_to_a_bell_test_are_refused(status):
    line = ["run", "--settings", "bbm92-plain", "--theorem", "exact-sampling", "--device", "exact"]
    line += ["--tolerated-error", 0.03, "--rounds", 20_000, "--seed", 1]
    code, _, complaint = status(*line, "--attack", "local")
    assert code == 2
    assert "`local` must come with settings of a Bell test" in complaint
    assert status(*line, "--attack", "intercept-resend")[0] == 3


def test_release_without_a_bell_test_cannot_stand_in_for_one_that_failed():
    none, length = ChshEstimate(None, None, None, None, rounds=0), SecretLength((("x", 9.0),), 0.1)
    failed, passed = (ChshEstimate(2.1, 0.1, bound, 0.1, rounds=100) for bound in (1.9, 2.05))
    Release(none, length, needs_bell_test=False)
    Release(passed, length)
    for chsh, needed in ((none, True), (failed, True), (failed, False)):
        with pytest.raises(ValueError, match="must have a lower bound on S above 2"):
            Release(chsh, length, needs_bell_test=needed)
    with pytest.raises(ValueError, match="positive length"):
        Release(none, SecretLength((("x", 0.5),), 0.1), needs_bell_test=False)


# The numbers ----------------------------------------------------------------------------------


def test_phase_errors_of_a_basis_exceed_their_bound_no_oftener_than_is_allowed():
    """Exactly, for every number of errors that a source can make in a basis.

    A round of either kind is one of the key, or one of the other basis that is revealed, as the
    settings and the sample have it.  Where Eve puts her errors then does not matter.
    """
    rounds, tolerated, estimation = 120, 0.05, 0.2
    key_share = 0.6
    bound = {}
    for revealed in range(1, rounds):
        block = Block(rounds - revealed, revealed, tolerated, 0.0)
        found = exact_sampling_length(
            block, hash_bits=1, epsilon_estimation=2 * estimation, epsilon_amplification=0.1
        )
        bound[revealed] = found.phase_error * block.key_bits
    worst, without_margin = 0.0, 0.0
    sizes = np.arange(1, rounds)
    chances = binom.pmf(sizes, rounds, 1 - key_share)
    for errors in range(rounds + 1):
        fails = naive = 0.0
        for revealed, chance in zip(sizes.tolist(), chances.tolist(), strict=True):
            shown = np.arange(math.floor(tolerated * revealed + 1e-9) + 1)
            law = hypergeom.pmf(shown, rounds, errors, revealed)
            fails += chance * law[errors - shown > bound[revealed] + 1e-9].sum()
            naive += chance * law[errors - shown > tolerated * (rounds - revealed)].sum()
        worst, without_margin = max(worst, fails), max(without_margin, naive)
    assert 0.3 * estimation**2 < worst <= estimation**2 < without_margin


def test_each_basis_is_judged_by_the_others_sample_and_both_are_paid_for():
    """The whole length again from the two blocks, each with half of epsilon."""
    samples = (KeySample(20_000, 2_300, 30), KeySample(15_000, 1_900, 20))
    evidence = Evidence((), samples, ((22_300, 10_000), (10_000, 16_900)), ())
    policy, leak = policy_of(epsilon=1e-9), Leak(4_000, 3_000)
    verdict = verdict_of(evidence, settings=BBM92_PLAIN, policy=policy, leak=leak)
    half = split(policy.epsilon / 2)
    expected = -leak.alice
    for own, other in (samples, samples[::-1]):
        found = exact_sampling_length(
            Block(own.key_size, other.revealed, 0.03, 0.0),
            hash_bits=1,
            epsilon_estimation=2 * half.estimation,
            epsilon_amplification=half.amplification,
        )
        expected += found.min_entropy + 2 * math.log2(2 * half.amplification)
    assert verdict.length.bits == math.floor(expected)
    assert verdict.abort is None


PUBLISHED = {
    (10**5, 0.01): 0.304,
    (10**5, 0.025): 0.215,
    (10**6, 0.01): 0.478,
    (10**6, 0.025): 0.357,
}


@pytest.mark.parametrize(("size", "error"), PUBLISHED)
def test_best_rates_are_those_of_the_theorems_paper(size, error):
    """Tomamichel, Lim, Gisin and Renner, table II: to 3 %, with their leak 1.1 n h(Q_tol).

    What they subtract for robustness is given there in words; here it is the Chernoff bound.  At
    10^4 bits, where it counts most, their rates are 16 % and 19 % lower than these.
    """

    def rate(revealed, tolerated):
        """Return secret bits per pair that was sent, both bases chosen with the best bias."""
        epsilon = 1e-14 * size / 4
        leak = 1.1 * size * binary_entropy(tolerated)
        block = Block(size, revealed, tolerated, leak)
        found = tlgr_length(block, epsilon_secrecy=epsilon, epsilon_correctness=epsilon)
        ratio, rest = tolerated / error, (1 - tolerated) / (1 - error)
        distance = tolerated * math.log(ratio) + (1 - tolerated) * math.log(rest)
        sent = size + revealed + 2 * math.sqrt(size * revealed)
        return (1 - math.exp(-revealed * distance)) * found.length / sent

    best = max(
        rate(int(revealed), error + margin)
        for revealed in np.geomspace(0.015 * size, 0.2 * size, 20)
        for margin in np.geomspace(1e-3, 1e-2, 20).tolist()
    )
    assert best == pytest.approx(PUBLISHED[size, error], rel=0.03)


def test_best_plan_needs_no_bell_test_either():
    link, policy = Link(2.74, 0.015), policy_of()
    plan = best_plan(link, 10**6, settings=BBM92_PLAIN, policy=policy)
    uniform = expected_length(link, 10**6, settings=BBM92_PLAIN, policy=policy)
    assert plan.secret_bits > 1.1 * uniform.bits > 100_000
