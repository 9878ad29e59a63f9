"""A Bell test without a key: published tables, the definition written out, and what is refused."""

import itertools
import json
import math

import numpy as np
import pytest

from e91.bell.correlators import chsh_point
from e91.bell.count_tables import ANGLE_UNITS, BLOCH_RADIANS, read_table
from e91.bell.counting import bell_test, ideal_signs
from e91.cli.bell import UNITS

SAME, DIFFERENT = (53, 16, 42, 50), (8, 51, 20, 5)
EQUAL_AND_UNEQUAL = np.stack([SAME, DIFFERENT], axis=1).reshape(2, 2, 2)
RIGHT = (1, -1, 1, 1)

# Dehlinger and Mitchell, Am. J. Phys. 70, 903 (2002), Table I: polariser angles, coincidences.
DEHLINGER = {
    (-45, -22.5): 842, (-45, 22.5): 212, (-45, 67.5): 302, (-45, 112.5): 836,
    (0, -22.5): 891, (0, 22.5): 869, (0, 67.5): 173, (0, 112.5): 261,
    (45, -22.5): 255, (45, 22.5): 830, (45, 67.5): 814, (45, 112.5): 221,
    (90, -22.5): 170, (90, 22.5): 259, (90, 67.5): 969, (90, 112.5): 846,
}  # fmt: skip


def written(folder, rows, *names):
    file = folder / "table.csv"
    lines = [",".join(names), *(",".join(map(str, row)) for row in rows)]
    file.write_text("\n".join(lines) + "\n")
    return file


@pytest.fixture
def dehlinger(tmp_path):
    rows = [(*angles, n) for angles, n in DEHLINGER.items()]
    return written(tmp_path, rows, "alpha_deg", "beta_deg", "coincidences")


def test_table_of_dehlinger_and_mitchell_gives_its_published_value(dehlinger, status):
    code, printed, _ = status("bell", "--counts", dehlinger, "--json")
    found = json.loads(printed)
    assert code == 0
    assert round(found["value"], 3) == 2.307
    assert round(found["standard_error"], 3) == 0.035
    assert found["p_value"] is None
    assert "not chosen at random" in found["no_p_value"]
    assert found["no_signalling_p_value"] > 0.01
    assert "S                    2.3073 ± 0.0348" in status("bell", "--counts", dehlinger)[1]


def test_table_is_the_same_in_radians_in_any_order_and_with_turned_polarisers(tmp_path, dehlinger):
    first = read_table(dehlinger)
    rows = [(*angles, n) for angles, n in reversed(DEHLINGER.items())]
    turned = written(tmp_path, [(a, b + 360, n) for a, b, n in rows], "a", "b", "coincidences")
    assert np.array_equal(read_table(turned).counts, first.counts)
    bloch = [(math.radians(2 * a), math.radians(2 * b), n) for a, b, n in rows]
    radians = written(tmp_path, bloch, "a", "b", "coincidences")
    found = read_table(radians, unit=BLOCH_RADIANS)
    assert np.array_equal(found.counts, first.counts)
    assert found.alice_angles == pytest.approx(first.alice_angles)


def test_four_pairs_are_the_sixteen_counts_added_up():
    rng = np.random.default_rng(1)
    counts = rng.integers(50, 200, (2, 2, 2, 2))
    same = counts[..., 0, 0] + counts[..., 1, 1]
    different = counts[..., 0, 1] + counts[..., 1, 0]
    for signs in itertools.product((1, -1), repeat=4):
        if math.prod(signs) == 1:
            continue
        sixteen = bell_test(counts, signs=signs, random_settings=False)
        pairs = bell_test(np.stack([same, different], -1), signs=signs, random_settings=False)
        point = chsh_point(same.ravel(), different.ravel(), signs=signs)
        for found in (sixteen, pairs):
            assert found.value == pytest.approx(point.value, abs=1e-12)
            assert found.standard_error == pytest.approx(point.standard_error, rel=1e-12)
        assert pairs.no_signalling_p_value is None
        assert sixteen.no_signalling_p_value is not None


def test_wrong_sign_is_named_beside_the_right_one(status):
    counts = ("--same", "53,16,42,50", "--different", "8,51,20,5")
    right, wrong = (json.loads(status("bell", *counts, "--signs", signs, "--json")[1])
                    for signs in ("+,-,+,+", "1,1,1,-1"))  # fmt: skip
    assert round(right["value"], 3) == 2.433
    assert round(right["standard_error"], 3) == 0.196
    assert round(right["p_value"], 4) == 0.0391
    assert not right["other_signs_violate"]
    assert round(wrong["value"], 3) == -0.248
    assert wrong["p_value"] == 1
    assert wrong["best_signs"] == list(RIGHT)
    text = status("bell", *counts, "--signs", "1,1,1,-1")[1]
    assert "With the signs +,-,+,+ S would be 2.4331." in text
    assert "must be fixed before" in text
    assert "fixed before" not in status("bell", *counts, "--signs", "+,-,+,+")[1]


def test_command_takes_sixteen_counts_and_own_angles(dehlinger, status):
    counts = ",".join(f"{n:.0f}" for n in read_table(dehlinger).counts.ravel())
    angles = ("--alice-angles", "-45,0", "--bob-angles", "-22.5,22.5")
    code, printed, _ = status("bell", "--outcomes", counts, *angles, "--fixed-settings", "--json")
    assert code == 0
    assert round(json.loads(printed)["value"], 4) == 2.3073
    assert json.loads(printed)["p_value"] is None


def test_accidentals_are_subtracted_and_cost_the_p_value(tmp_path):
    rows = [(a, b, n + 10, 10) for (a, b), n in DEHLINGER.items()]
    table = read_table(written(tmp_path, rows, "a", "b", "coincidences", "accidentals"))
    found = bell_test(
        table.counts, signs=RIGHT, random_settings=True, accidentals=table.accidentals
    )
    assert round(found.value, 4) == 2.3073
    assert 0.0348 < found.standard_error < 0.036
    assert found.p_value is None
    assert "accidentals" in found.no_p_value


@pytest.mark.parametrize(
    ("counts", "sentence"),
    [
        (EQUAL_AND_UNEQUAL * [[[9, 9], [1, 1]], [[1, 1], [1, 1]]], "equally frequent"),
        (np.array([[[[90, 10], [10, 90]]] * 2, [[[90, 10], [10, 90]], [[180, 0], [0, 20]]]]),
         "depend on the other party's setting"),
    ],
)  # fmt: skip
def test_counts_that_refute_the_premises_have_no_p_value(counts, sentence):
    found = bell_test(counts, signs=(1, 1, 1, -1), random_settings=True)
    assert found.p_value is None
    assert sentence in found.no_p_value


def test_signs_of_the_angles_are_those_of_the_correlations():
    assert ideal_signs((0.0, math.pi / 2), (math.pi / 4, 3 * math.pi / 4)) == RIGHT
    assert tuple(ANGLE_UNITS) == UNITS


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "must be given"),
        (["--wins", "3"], "must be given"),
        (["--same", "1,2,3,4", "--signs", "+,+,+,-"], "must come together"),
        (["--outcomes", "1,2", "--signs", "+,+,+,-"], "16 numbers"),
        (["--same", "1,2,3,4", "--different", "1,2,3,4"], "must come with `--signs`"),
        (["--same", "1,2,3,4", "--different", "1,2,3,4", "--signs", "+,+,+,+"], "one or three"),
        (["--same", "1,2,3,4", "--different", "1,2,3,x", "--signs", "+,+,+,-"], "4 numbers"),
        (["--same", "0,2,3,4", "--different", "0,2,3,4", "--signs", "+,+,+,-"], "more coincid"),
        (["--same", "-1,2,3,4", "--different", "5,2,3,4", "--signs", "+,+,+,-"], "whole numbers"),
        (["--same", "1,2,3,4", "--different", "5,2,3,4", "--alice-angles", "0,1", "--bob-angles",
          "0,1"], "no CHSH signs"),
    ],
)  # fmt: skip
def test_impossible_counts_are_a_sentence(status, options, sentence):
    code, printed, complaint = status("bell", *options)
    assert (code, printed) == (2, "")
    assert sentence in complaint
    assert "Traceback" not in complaint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a\n",
        "a,b,coincidences\n",
        "a,b,coincidences\n0,0,x\n",
        "a,b,coincidences\n0,0,1\n0,0,2\n",
        "a,b,same,different\n0,0,1,1\n0,1,1,1\n",
        "a,b,same,different\n" + "0,0,1,1\n" * 4,
        "a,b,same,different\n0,0,1,1\n0,nan,1,1\n",
        "a,b,pears\n0,0,1\n",
        "a" * 200_000 + "\n0,0,1\n",
        "\xff\xfe\x00",
    ],
)
def test_damaged_table_is_one_sentence(tmp_path, status, text):
    file = tmp_path / "table.csv"
    file.write_bytes(text.encode("latin-1"))
    code, printed, complaint = status("bell", "--counts", file)
    assert (code, printed) == (2, "")
    assert complaint.startswith("e91: `")
    assert complaint.count("\n") == 1
