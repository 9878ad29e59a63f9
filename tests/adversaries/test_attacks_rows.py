"""The rows of adversaries that a simulator of E91 must show: for each, the tests that show it.

A row is shown if S, QBER, clicks and Eve's knowledge are compared with its closed form at five
strengths or more: exactly where there is a table of probabilities, and within exact binomial tails
(false alarm 1e-9) otherwise.  Rows that have no test elsewhere are tested here.
"""

import ast
import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import test_attacks
import test_attacks_blinding
from e91_circuits import collective_angle, entangle_probe

from e91.adversaries import Conditions, run_attack, stage
from e91.adversaries.eve_in_circuits import tapped_device
from e91.adversaries.interception import BASES
from e91.adversaries.local_models import PLANAR_EFFICIENCY
from e91.bell import chsh
from e91.devices.exact import exact_device
from e91.model.errors import Abort
from e91.model.randomness import seeded_entropy
from e91.model.settings import ASYMMETRIC, EKERT, SETTINGS
from e91.model.trust import SecurityModel
from e91.security.policy import Policy
from e91.session.session import measure, run

TESTS = Path(__file__).parents[1]
TSIRELSON = 2 * math.sqrt(2)
FIVE = (0.0, 0.2, 0.5, 0.8, 1.0)
AT_ALL = "test_attacks::test_attack_shows_and_learns_what_its_closed_form_says"
EXACTLY = "test_attacks::test_circuit_attack_has_its_closed_form_exactly"
EVERY_BASIS = "test_attacks::test_interception_in_every_basis_has_its_closed_form_exactly"
STRENGTHS = test_attacks.STRENGTHS

# Row: (its strengths in tests, tests).
ROWS = {
    "intercept-resend, random Z or X": (STRENGTHS["intercept-resend"], (AT_ALL, EVERY_BASIS)),
    "intercept-resend along Z, key along Z": (
        STRENGTHS["intercept-resend"],
        (EVERY_BASIS, "test_only_s_shows_eve_along_the_only_basis_of_the_key"),
    ),
    "intercept-resend, Breidbart": (STRENGTHS["intercept-resend"], (EVERY_BASIS,)),
    "intercept-resend along Y": (
        STRENGTHS["intercept-resend"],
        (EVERY_BASIS, "test_eve_along_y_has_the_row_of_the_table"),
    ),
    "any angle of the plane, all pairs": (
        FIVE,
        ("test_circuits_eavesdropper::test_full_interception_in_the_plane_leaves_s_of_root_two",
         "test_circuits_eavesdropper::test_every_key_basis_has_its_own_error_rate"),
    ),
    "phase-covariant cloner": (
        STRENGTHS["cloner"],
        (AT_ALL, EXACTLY,
         "test_attacks_circuits::test_cloner_has_the_textbook_knowledge_along_every_angle",
         "test_attacks_circuits::test_cloner_knows_as_much_as_bob_just_where_s_is_two"),
    ),
    "ancilla probe": (
        STRENGTHS["probe"],
        (AT_ALL, EXACTLY, "test_probe_with_analysers_turned_for_it_violates_at_every_overlap"),
    ),
    "optimal collective attack": (
        STRENGTHS["collective"],
        (AT_ALL, "test_attacks::test_collective_attack_has_its_closed_form_exactly",
         "test_attacks::test_collective_attack_reaches_the_bound_at_every_s_and_every_qber",
         "test_attacks_circuits::test_collective_attack_reaches_its_s_and_the_bound_of_acin"),
    ),
    "separable states": (
        STRENGTHS["separable"],
        (AT_ALL, EXACTLY,
         "test_attacks_circuits::test_no_planar_product_source_exceeds_root_two"),
    ),
    "local model, detection loophole": (
        STRENGTHS["detection-loophole"],
        (AT_ALL, "test_no_local_model_gets_a_device_independent_key_below_the_threshold"),
    ),
    "planar model of Gisin and Gisin": (
        STRENGTHS["gisin"],
        (AT_ALL, "test_no_local_model_gets_a_device_independent_key_below_the_threshold"),
    ),
    "detector blinding": (STRENGTHS["blinding"], (AT_ALL,)),
    "double blinding": (
        STRENGTHS["double-blinding"],
        (AT_ALL, "test_attacks_blinding::test_efficiencies_are_those_of_the_paper"),
    ),
    "time shift": (STRENGTHS["time-shift"], (AT_ALL,)),
    "remote setting leaks": (STRENGTHS["setting-leak"], (AT_ALL,)),
    "biased but unpredictable settings": (
        FIVE, ("test_biased_settings_change_neither_s_nor_the_error_rate",)
    ),
    "man in the middle": (
        FIVE,  # one strength; five kinds of meddling with each message instead
        (AT_ALL, "test_attacks_channel::test_with_authentication_neither_leg_gives_a_key",
         "test_attacks_channel::test_meddling_with_any_single_message_ends_the_session"),
    ),
    "multi-pair tap": (
        STRENGTHS["photon-number-splitting"],
        (AT_ALL, EXACTLY,
         "test_attacks_pairs::test_detectors_of_low_efficiency_see_the_visibility",
         "test_attacks_pairs::test_errors_bound_what_eve_knows_without_any_tagging"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS)
def test_row_has_its_tests_and_five_strengths(row):
    strengths, places = ROWS[row]
    assert len(set(strengths)) >= 5
    for place in places:
        stem, _, name = place.rpartition("::")
        tree = ast.parse(next(TESTS.rglob(f"{stem or Path(__file__).stem}.py")).read_text())
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def products(device):
    table = device.photons.table
    return 2 * (table[:, :, 0, 0] + table[:, :, 1, 1]) - 1


def chsh_of(device):
    found = products(device)
    return sum(sign * found[pair] for pair, sign in device.settings.chsh_pairs)


@pytest.mark.parametrize("fraction", FIVE)
def test_only_s_shows_eve_along_the_only_basis_of_the_key(fraction):
    device = stage(
        "intercept-resend", Conditions(fraction, settings=ASYMMETRIC, options={"basis": "z"})
    ).device
    assert products(device)[0, 0] == pytest.approx(1, abs=1e-12)
    assert chsh_of(device) == pytest.approx(TSIRELSON * (1 - fraction / 2), abs=1e-9)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("fraction", FIVE)
def test_eve_along_y_has_the_row_of_the_table(fraction, settings):
    device = stage(
        "intercept-resend", Conditions(fraction, settings=settings, options={"basis": "y"})
    ).device
    assert chsh_of(device) == pytest.approx(TSIRELSON * (1 - fraction), abs=1e-9)
    for pair in settings.key_pairs:
        assert (1 - products(device)[pair]) / 2 == pytest.approx(fraction / 2, abs=1e-12)


@pytest.mark.parametrize("overlap", [0.05, 0.2, 0.4, 0.6, 0.8, 1.0])
def test_probe_with_analysers_turned_for_it_violates_at_every_overlap(overlap):
    """At fixed analysers S = sqrt 2 (1 + c) is below 2 for c < sqrt 2 - 1; turned ones see it."""
    fixed = stage("probe", Conditions(overlap, settings=ASYMMETRIC)).device
    assert chsh_of(fixed) == pytest.approx(math.sqrt(2) * (1 + overlap), abs=1e-9)
    best = 2 * math.sqrt(1 + overlap**2)
    turned = tapped_device(
        partial(entangle_probe, overlap=overlap),
        Conditions(overlap),
        turned=partial(collective_angle, chsh=best),
    )
    assert chsh_of(turned) == pytest.approx(best, abs=1e-9)
    assert best > 2


@pytest.mark.parametrize("weight", [0.2, 1 / 3, 0.5, 0.7, 0.9])
def test_biased_settings_change_neither_s_nor_the_error_rate(weight):
    rest = (1 - weight) / 2
    settings = EKERT.biased((weight, rest, rest), (rest, rest, weight))
    device = exact_device(settings=settings, visibility=0.9, seed=1)
    record = measure(device, 400_000, settings=settings, entropy=seeded_entropy(1))
    report = run(lambda x, y: device(x, y), rounds=400_000, settings=settings, seed=1)
    assert len(record) == report.rounds
    expected = 0.9 * TSIRELSON
    assert abs(report.chsh.value - expected) < 6.2 * report.chsh.standard_error  # 1e-9, normal
    assert report.chsh.standard_error < 0.04  # so that counts not divided per pair would show
    pooled = chsh.estimate(
        (sum(report.evidence.same),) * 4, (sum(report.evidence.different),) * 4,
        settings=settings, epsilon=1e-9,
    )  # fmt: skip
    assert abs(pooled.value - expected) > 1
    assert abs(report.qber.rate - 0.05) < 6.2 * math.sqrt(0.05 * 0.95 / report.qber.revealed)


LOCAL = [("detection-loophole", float(e)) for e in np.linspace(2 / 3, 0.8284, 10)]
LOCAL += [("gisin", float(e)) for e in np.linspace(0.05, PLANAR_EFFICIENCY, 8)]
LOCAL += [("double-blinding", s) for s in test_attacks_blinding.STRENGTHS] + [("local", 2.0)]


@pytest.mark.parametrize("theorem", ["collective-attacks", "entropy-accumulation"])
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_no_local_model_gets_a_device_independent_key_below_the_threshold(settings, theorem):
    """2 / (1 + sqrt 2) = 0.8284: there and below no losses may be enough for a key."""
    policy = Policy(SecurityModel.DEVICE_INDEPENDENT, theorem=theorem)
    for name, strength in LOCAL:
        found = run_attack(name, strength, rounds=30_000, settings=settings, policy=policy, seed=1)
        assert found.session.abort is Abort.NO_VIOLATION
        if name == "detection-loophole":
            assert found.expected.chsh >= TSIRELSON - 1e-3  # and yet the coincidences look perfect


@pytest.mark.parametrize("name", ["detection-loophole", "gisin", "double-blinding", "blinding"])
def test_trusted_analysers_say_that_they_trust_fair_sampling(name):
    found = run_attack(name, rounds=60_000, seed=1)
    assert "fair sampling" in found.session.assumptions
    assert "fair sampling" in " ".join(str(found.session).split())
    assert "fair sampling" in found.session.to_dict()["assumptions"]


def test_every_basis_of_the_command_line_is_one_of_the_rows():
    assert set(BASES) == {"z", "x", "random", "breidbart", "y"}
