"""Angles are compared on the circle and absolutely, and no tolerance is a default."""

import ast
import math
from dataclasses import replace
from pathlib import Path

import e91_circuits
import pytest
from hypothesis import given
from hypothesis import strategies as st

import e91
from e91.bell.chsh import check_identity
from e91.model.numbers import ANGLE_ROUNDING, angle_between, same_angle
from e91.model.settings import BBM92, EKERT, Settings
from e91.security.theorems import check_alike, check_unbiased

MANY_TURNS = 2 * math.pi * 1_000_000_017
SIGNS = (((0, 1), 1), ((0, 2), -1), ((1, 1), 1), ((1, 2), 1))


def with_key_angles(alice, bob):
    return Settings("two", (alice, 0.5), (bob, 0.2, 0.9), key_pairs=((0, 0),), chsh_pairs=SIGNS)


@pytest.mark.parametrize("angle", [0.0, 1.0, math.pi, -math.pi / 4, 6e3, MANY_TURNS, -MANY_TURNS])
def test_key_angles_that_differ_are_refused_however_many_turns_they_have(angle):
    for difference in (0.3, 1e-5, -1e-5):
        with pytest.raises(ValueError, match="A key pair must have equal angles"):
            with_key_angles(angle, angle + difference)
    assert with_key_angles(angle, angle).key_pairs == ((0, 0),)


@pytest.mark.parametrize("difference", [2e-12, 1e-11, 9e-10, -2e-12])
def test_what_exceeds_the_stated_rounding_is_another_angle(difference):
    for angle in (0.0, 1.0, 3.0):
        assert not same_angle(angle, angle + difference)
        assert same_angle(angle, angle + ANGLE_ROUNDING / 4)


def test_a_turn_more_is_the_same_direction():
    assert with_key_angles(-math.pi, math.pi).key_pairs == ((0, 0),)
    assert same_angle(0.1, 0.1 + 6 * math.pi)
    assert not same_angle(0.0, math.pi)


@given(st.floats(-7, 7), st.floats(-7, 7))
def test_angle_between_is_that_of_the_directions(a, b):
    cosine = math.cos(a) * math.cos(b) + math.sin(a) * math.sin(b)
    sine = math.sin(a) * math.cos(b) - math.cos(a) * math.sin(b)
    assert angle_between(a, b) == pytest.approx(math.atan2(abs(sine), cosine), abs=1e-14)


@pytest.mark.parametrize("off", [1e-11, 9e-10, 9e-6, 1e-3])
def test_a_bell_test_at_other_angles_is_refused(off):
    check_identity(EKERT)
    first, *others = EKERT.alice_angles
    turned = replace(EKERT, alice_angles=(first + off, *others))
    with pytest.raises(ValueError, match="must have key pairs and CHSH angles"):
        check_identity(turned)


@pytest.mark.parametrize("off", [1e-11, 9e-10])
def test_key_bases_that_are_not_at_right_angles_are_refused(off):
    check_unbiased(BBM92, "tl")
    alice, bob = list(BBM92.alice_angles), list(BBM92.bob_angles)
    x, y = BBM92.key_pairs[1]
    alice[x] += off
    bob[y] += off
    bases = Settings("off", tuple(alice), tuple(bob), key_pairs=BBM92.key_pairs)
    with pytest.raises(ValueError, match="two mutually unbiased key bases"):
        check_unbiased(bases, "tl")


def test_key_bases_of_rare_but_unequal_probability_are_not_alike():
    check_alike(BBM92, "alike")
    first, second = (x for x, _ in BBM92.key_pairs)
    rare = [0.0] * len(BBM92.alice_angles)
    rare[first], rare[second] = 0.5 + 1e-11, 0.5 - 1e-11
    with pytest.raises(ValueError, match="equally often"):
        check_alike(BBM92.biased(tuple(rare), BBM92.bob_probabilities), "alike")


ROOTS = [Path(str(package.__file__)).parent for package in (e91, e91_circuits)]


def tolerances_by_default(source):
    """Return the lines that compare by `isclose` or `allclose` and leave a tolerance unsaid."""
    return [
        call.lineno
        for call in ast.walk(ast.parse(source))
        if isinstance(call, ast.Call)
        and ast.unparse(call.func).rpartition(".")[2] in ("isclose", "allclose")
        and {word.arg for word in call.keywords} not in ({"rel_tol", "abs_tol"}, {"rtol", "atol"})
    ]


def test_every_tolerance_is_written_out():
    assert tolerances_by_default("math.isclose(1, 2, abs_tol=1e-9)") == [1]
    files = [path for root in ROOTS for path in root.rglob("*.py")]
    assert len(files) > 100
    assert {str(p): found for p in files if (found := tolerances_by_default(p.read_text()))} == {}
