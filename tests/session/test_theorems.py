"""The theorems that a policy can name, applied to whole sessions."""

import json
import math
import pickle
import subprocess
import sys
from functools import cache

import numpy as np
import pytest

from e91.devices.exact import exact_device
from e91.keys.files import open_key_file, save_new
from e91.keys.store import KeyStore
from e91.model.errors import Abort
from e91.model.messages import Party
from e91.model.settings import ASYMMETRIC, BBM92, EKERT
from e91.model.trust import SecurityModel
from e91.security.policy import Policy
from e91.security.shannon import binary_entropy
from e91.security.theorems import Theorem
from e91.session.session import run
from e91.session.totals import RunSummary

FEW_TESTS = ASYMMETRIC.biased((0.9, 0.05, 0.05), (0.9, 0.1))
DECLARED = {
    Theorem.EXACT_SAMPLING: {"tolerated_error": 0.02},
    Theorem.TOMAMICHEL_LEVERRIER: {"tolerated_error": 0.02},
    Theorem.TLGR: {"tolerated_error": 0.02},
    Theorem.NOISY_PREPROCESSING: {"flip_probability": 0.03},
}


def policy(theorem, **options):
    declared = {"asymptotic": not theorem.entry.finite} | DECLARED.get(theorem, {})
    return Policy(theorem.security, theorem=theorem, **(declared | options))


def session(theorem, *, settings=BBM92, visibility=0.98, rounds=300_000, seed=4, **options):
    device = exact_device(settings=settings, visibility=visibility, seed=seed)
    return run(device, rounds=rounds, policy=policy(theorem, **options), seed=seed)


def settings_for(theorem):
    return FEW_TESTS if theorem is Theorem.ENTROPY_ACCUMULATION else BBM92


@cache
def long_session(theorem):
    return session(theorem, settings=settings_for(theorem), rounds=1_000_000)


@pytest.mark.parametrize("theorem", Theorem)
def test_every_theorem_makes_equal_keys_that_name_it(theorem):
    report = long_session(theorem)
    assert report.abort is None
    assert np.array_equal(report.key.bits, report.keys.bob.bits)
    assert report.secret_bits == report.length.bits - 512
    assert report.to_dict()["theorem"] == theorem.value
    assert theorem.value in str(report)
    assert " ".join(theorem.statement.split()) in " ".join(str(report).split())


@pytest.mark.parametrize("theorem", Theorem)
def test_only_a_finite_theorem_gives_a_key_an_epsilon(theorem, tmp_path):
    report = long_session(theorem)
    finite = theorem.entry.finite
    proved = 1e-10 if finite else None
    attacks = theorem.entry.attacks.value
    assert (report.key.epsilon, report.keys.bob.epsilon) == (proved, proved)
    assert (report.key.theorem, report.key.attacks) == (theorem.value, attacks)
    public = report.to_dict()
    assert (public["epsilon"], public["theorem"], public["attacks_covered"]) == (
        proved, theorem.value, attacks,
    )  # fmt: skip
    assert (public["budget"] is None) is not finite
    for text in (str(report), report._repr_html_()):
        assert ("no epsilon is proved" in text) is not finite
        assert ("secrecy 9e-11" in text) is finite
        assert attacks in " ".join(text.split())
    save_new(KeyStore(report.key, Party.ALICE), tmp_path / "alice.key")
    saved = json.loads((tmp_path / "alice.key").read_text())
    assert (saved["epsilon"], saved["theorem"], saved["attacks"]) == (
        proved, theorem.value, attacks,
    )  # fmt: skip
    assert ("no epsilon is proved" in saved["warning"]) is not finite
    with open_key_file(tmp_path / "alice.key") as opened:
        label = opened.store.label
    assert (label.epsilon, label.theorem, label.attacks) == (proved, theorem.value, attacks)


def test_a_run_of_asymptotic_keys_has_no_epsilon():
    summaries = {
        theorem: RunSummary.before(report).add(report)
        for theorem, report in ((it, long_session(it)) for it in Theorem)
    }
    for theorem, summary in summaries.items():
        assert summary.epsilon == (1e-10 if theorem.entry.finite else None)
        assert summary.to_dict()["epsilon"] == summary.epsilon
        assert theorem.entry.attacks.value in str(summary)


@pytest.mark.parametrize("theorem", Theorem)
def test_report_says_what_limited_the_key(theorem):
    report = long_session(theorem)
    name, bits = report.length.limit
    assert bits == min(loss for _, loss in report.length.terms)
    assert f"'{name}': {-bits:,.0f} bits" in " ".join(str(report).split())
    assert report.to_dict()["limited_by"] == name


def secret(theorem):
    return long_session(theorem).length.bits


def test_finite_keys_are_shorter_than_asymptotic_ones():
    trusted = (Theorem.PHASE_ERRORS, Theorem.EXACT_SAMPLING, Theorem.TLGR)
    assert max(map(secret, trusted)) < secret(Theorem.SHOR_PRESKILL)
    assert secret(Theorem.COLLECTIVE) < secret(Theorem.ACIN) + 3_000
    assert secret(Theorem.COLLECTIVE) < secret(Theorem.SHOR_PRESKILL)


def test_exact_tail_beats_serfling():
    assert secret(Theorem.EXACT_SAMPLING) > secret(Theorem.TOMAMICHEL_LEVERRIER)


def test_trust_in_the_analysers_makes_longer_keys():
    assert secret(Theorem.PHASE_ERRORS) > secret(Theorem.COLLECTIVE)


def test_only_alices_bits_cost_key_with_trusted_analysers_and_both_without():
    for theorem in (Theorem.PHASE_ERRORS, Theorem.COLLECTIVE):
        report = long_session(theorem)
        terms = dict(report.length.terms)
        if theorem is Theorem.PHASE_ERRORS:
            assert terms["error correction, Alice's bits"] == -report.leak.alice
        else:
            assert terms["error correction, both parties' bits"] == -report.leaked_bits
        assert 0 < report.leak.bob < report.leak.alice


def test_eve_may_know_the_error_pattern():
    """H(Z_A | Eve, Z_A xor Z_B) >= 1 - h(e_phase) for random states of two qubits and Eve."""
    generator = np.random.default_rng(2)

    def entropy(matrix):
        values = np.linalg.eigvalsh(matrix)
        values = values[values > 1e-14]
        return -float(np.sum(values * np.log2(values)))

    tightest = math.inf
    for strength in np.repeat([0.05, 0.2, 1.0], 100):
        ideal = np.zeros((2, 2, 4), complex)
        ideal[0, 0, 0] = ideal[1, 1, 0] = 1
        noise = generator.normal(size=(2, 2, 4)) + 1j * generator.normal(size=(2, 2, 4))
        state = ideal + strength * noise
        state /= np.linalg.norm(state)
        rho = np.einsum("abe,cde->abcd", state, state.conj())
        flip = np.array([[0, 1], [1, 0]])
        error = (1 - np.einsum("abcd,ca,db->", rho, flip, flip).real) / 2
        eve = {(a, b): np.outer(state[a, b], state[a, b].conj()) for a in (0, 1) for b in (0, 1)}
        missing = sum(entropy(block) for block in eve.values())
        missing -= sum(entropy(eve[0, w] + eve[1, 1 - w]) for w in (0, 1))
        gap = missing - (1 - binary_entropy(min(max(error, 0.0), 1.0)))
        assert gap >= -1e-9
        tightest = min(tightest, gap)
    assert tightest < 0.02


def test_entropy_accumulation_gives_no_key_with_uniform_settings():
    report = session(Theorem.ENTROPY_ACCUMULATION, settings=EKERT, visibility=1.0)
    assert report.abort is Abort.NO_SECRET_LEFT


@pytest.mark.parametrize("theorem", list(DECLARED)[:3])
def test_sample_above_the_tolerated_error_gives_no_key(theorem):
    report = session(theorem, visibility=0.95, tolerated_error=0.02)
    assert report.abort is Abort.NO_SECRET_LEFT


def test_noisy_preprocessing_flips_alices_key_and_helps_at_high_noise():
    options = {"visibility": 0.88, "rounds": 2_000_000}
    plain = session(Theorem.ACIN, **options)
    noisy = session(Theorem.NOISY_PREPROCESSING, flip_probability=0.2, **options)
    assert noisy.leak.alice > 1.5 * plain.leak.alice
    gain = noisy.length.terms[1][1] - plain.length.terms[1][1]
    assert gain > 0


@pytest.mark.parametrize(
    ("theorem", "settings"),
    [
        (Theorem.TLGR, EKERT),
        (Theorem.EXACT_SAMPLING, ASYMMETRIC),
        (Theorem.NOISY_PREPROCESSING, EKERT),
        (Theorem.RANDOM_BASIS, EKERT),
    ],
)
def test_theorem_refuses_settings_that_it_does_not_cover(theorem, settings):
    with pytest.raises(ValueError, match=f"With `{theorem.value}`"):
        session(theorem, settings=settings, rounds=10)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"theorem": "nobody-1999"}, "`theorem` must be one of phase-errors, .*`nobody-1999`"),
        (
            {"theorem": "shor-preskill-2000"},
            r"as `phase-errors` is, or `asymptotic` be asked for, but `shor-",
        ),
        (
            {"security": "device-independent", "theorem": "acin-2007"},
            "as `collective-attacks` is, or .* but `acin-2007` is an asymptotic formula",
        ),
        ({"theorem": "acin-2007"}, "must be stated under `trusted-analysers`"),
        ({"theorem": "tlgr-2012"}, "`tolerated_error` must be given with `tlgr-2012`"),
        ({"tolerated_error": 0.02}, "`tolerated_error` must not be given"),
        ({"theorem": "tlgr-2012", "tolerated_error": 0.6}, r"must lie in \[0, 1/2\]"),
        ({"flip_probability": 0.1}, "be 0 with any other theorem"),
        ({"reconciler": "magic"}, "`reconciler` must be one of cascade, ldpc, but is `magic`"),
        ({"security": "magic"}, "`security` must be one of .*, but is `magic`"),
    ],
)
def test_impossible_policy_is_refused(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        Policy(**options)


def test_ldpc_is_one_message_of_alices_and_makes_a_key():
    report = session(Theorem.PHASE_ERRORS, rounds=300_000, reconciler="ldpc")
    assert report.abort is None
    assert np.array_equal(report.key.bits, report.keys.bob.bits)
    assert report.leak.bob == 0
    cascade = session(Theorem.PHASE_ERRORS, rounds=300_000)
    assert cascade.leak.alice < report.leak.alice < 2.5 * cascade.leak.alice


def test_ldpc_is_refused_where_bobs_bit_is_the_reference():
    with pytest.raises(ValueError, match="`ldpc` must have Alice's outcomes as reference"):
        session(Theorem.COLLECTIVE, settings=EKERT, rounds=10, reconciler="ldpc")


def test_defaults_are_finite_key_theorems():
    assert Policy().proof is Theorem.PHASE_ERRORS
    assert Policy(SecurityModel.DEVICE_INDEPENDENT).proof is Theorem.COLLECTIVE
    for model in SecurityModel:
        assert Policy(model).proof.entry.finite


def test_lost_photons_are_outcomes_and_the_threshold_of_efficiency_comes_out():
    """A perfect pair and detectors of 91 % or 94 %: key needs more than 92.31 % (Acin's bound)."""
    generator = np.random.default_rng(17)

    def lossy(efficiency):
        ideal = exact_device(settings=BBM92, seed=3)

        def device(x, y):
            return tuple(
                np.where(generator.random(len(half)) < efficiency, half, 2) for half in ideal(x, y)
            )

        return device

    found = {}
    for efficiency in (0.91, 0.94):
        report = run(
            lossy(efficiency),
            rounds=4_000_000,
            settings=BBM92,
            policy=Policy(SecurityModel.DEVICE_INDEPENDENT, revealed_fraction=0.02),
            seed=1,
        )
        expected = 2 * math.sqrt(2) * efficiency**2 + 2 * (1 - efficiency) ** 2
        assert abs(report.chsh.value - expected) < 6 * report.chsh.standard_error
        assert report.evidence.coincidences == 4_000_000
        entropy = dict(report.length.terms)["S as estimated: what Eve may know"]
        shannon = report.evidence.key_size * binary_entropy(report.qber.rate)
        found[efficiency] = report.evidence.key_size + entropy - shannon
    assert found[0.91] < 0 < found[0.94]


def test_policy_takes_its_security_model_by_name():
    assert Policy("device-independent") == Policy(SecurityModel.DEVICE_INDEPENDENT)


# The one edit: an entry among the others.
ENTRY = """
    HALF = TheoremEntry(
        name="half-2030",
        security=SecurityModel.TRUSTED_ANALYSERS,
        attacks=Attacks.COLLECTIVE,
        secret="Secret to the half, ",
        length=lambda case: SecretLength((("half", case.evidence.key_size // 2),), None),
        check=check_unbiased,
        finite=False,
        wants_two_key_bases=True,
    )
"""
WITH_ENTRY = """
import importlib.util, sys
spec = importlib.util.find_spec("e91.security.theorems")
before, name, after = spec.loader.get_source(spec.name).partition("    PHASE_ERRORS = ")
module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
exec(before + ENTRY + name + after, vars(module))
"""


def with_one_entry_more(source):
    """Run ``source`` in a process whose theorems have one entry more; its output."""
    program = f"ENTRY = {ENTRY!r}\n{WITH_ENTRY}\n{source}"
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_new_entry_makes_keys_and_is_named_in_the_report():
    out = with_one_entry_more("""
import pickle
import subprocess
import sys
from e91 import Policy, exact_device, run
from e91.model.settings import BBM92
policy = Policy(theorem="half-2030", asymptotic=True)
report = run(exact_device(settings=BBM92, seed=1), rounds=20_000, policy=policy, seed=1)
print(report.secret_bits - report.evidence.key_size // 2)
print(report.to_dict()["theorem"], pickle.loads(pickle.dumps(policy)) == policy)
print(" ".join(str(report).split()))
""")
    assert out.startswith("-512\nhalf-2030 True\n")
    assert "theorem half-2030. Secret to the half, if both analysers" in out
    assert "asymptotic formula, not a finite-key theorem." in out


def test_a_new_entry_refuses_settings_by_its_name():
    out = with_one_entry_more("""
from e91 import Policy, exact_device, run
try:
    run(exact_device(), rounds=20_000, policy=Policy(theorem="half-2030", asymptotic=True))
except ValueError as error:
    print(error)
""")
    assert out.startswith("With `half-2030` there must be two mutually unbiased key bases")


def test_a_new_entry_is_known_to_commands_and_studies():
    out = with_one_entry_more("""
from e91.cli import commands
from e91.studies.points import point_of
asked = {"policy.theorem": "half-2030", "settings.name": "bbm92", "policy.asymptotic": True}
print(point_of(asked).policy.proof)
ask = "rate --json --chsh 2.7 --qber 0.02 --rounds 100000 --asymptotic --theorem"
commands.main([*ask.split(), "half-2030"], standalone_mode=False)
commands.main(["attack", "list", "--json"], standalone_mode=False)
try:
    commands.main([*ask.split(), "third-2030"], standalone_mode=False)
except ValueError as error:
    print(error)
""").splitlines()
    point, rate, *attacks, refusal = out
    assert point == "Theorem.HALF"
    assert json.loads(rate)["theorem"] == "half-2030"
    assert json.loads(rate)["settings"] == "bbm92"
    assert json.loads(rate)["limited_by"] == "half"
    assert "half-2030" in "".join(attacks)
    assert "half-2030, phase-errors" in refusal


def test_theorem_survives_the_way_to_another_process():
    assert [pickle.loads(pickle.dumps(theorem)) for theorem in Theorem] == list(Theorem)
