"""Sliders: the last position wins, numbers are those of theory, a missing extra is named."""

import re
import subprocess
import sys
import threading
from math import sqrt

import pytest

from e91.adversaries import ATTACKS, run_attack
from e91.model.errors import Abort
from e91.widgets import LatestValue, distance_sliders, eve_sliders, expected_under


def controls_of(panel):
    return {control.description: control for control in panel.children[0].children}


def test_values_that_come_during_the_work_replace_one_another():
    begun, may_end, done = threading.Event(), threading.Event(), []

    def work(value):
        begun.set()
        assert may_end.wait(10)
        done.append(value)

    latest = LatestValue(work)
    latest.give("first")
    assert begun.wait(10)
    for position in range(1000):
        latest.give(position)
    assert not latest.wait(0)
    may_end.set()
    assert latest.wait()
    assert done == ["first", 999]


def test_work_goes_on_after_one_that_failed(monkeypatch):
    failures, done = [], []
    monkeypatch.setattr(threading, "excepthook", lambda found: failures.append(found.exc_type))

    def work(value):
        done.append(1 / value)

    latest = LatestValue(work)
    for value in (0, 4):
        latest.give(value)
        assert latest.wait()
    assert (failures, done) == ([ZeroDivisionError], [0.25])


@pytest.mark.parametrize(("strength", "verdict"), [(0.0, None), (0.2, None), (1.0, "violation")])
def test_what_is_expected_under_an_attack_is_what_sessions_find(strength, verdict):
    expected = expected_under("intercept-resend", strength, rounds=300_000)
    assert expected.chsh_value == pytest.approx(2 * sqrt(2) * (1 - strength / 2))
    found = run_attack("intercept-resend", strength, rounds=300_000, seed=1).session
    assert abs(found.chsh.value - expected.chsh_value) < 7 * expected.standard_error
    assert found.abort is expected.abort is (verdict and Abort.NO_VIOLATION)
    # The key scatters by its error correction and by S: a few parts in a hundred of it.
    assert found.secret_bits == pytest.approx(expected.secret_bits, rel=0.1)


def test_eve_never_knows_more_than_s_and_the_qber_allow():
    for strength in (0.0, 0.1, 0.3, 0.7, 1.0):
        for basis in ("z", "x", "random", "breidbart", "y"):
            found = expected_under("intercept-resend", strength, basis=basis)
            assert found.information <= found.may_know + 1e-12


def test_the_last_position_of_a_slider_wins():
    sliders = eve_sliders()
    strength = controls_of(sliders)["fraction of the pairs"]
    before = sliders.children[1].value, sliders.children[2].value
    for position in range(51):
        strength.value = position / 50
    assert sliders.latest.wait()
    after = sliders.children[1].value, sliders.children[2].value
    alone = eve_sliders()
    controls_of(alone)["fraction of the pairs"].value = 1.0
    assert alone.latest.wait()
    assert after == (alone.children[1].value, alone.children[2].value)
    assert "KEY" in before[0]
    assert "NO KEY" not in before[0]
    assert "NO KEY" in after[0]
    assert "1.414" in after[0]
    assert before[1] != after[1]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("intercept-resend", {"basis"}),
        ("collective", {"flips"}),
        ("photon-number-splitting", set()),  # its strength has no upper end
        ("detection-loophole", set()),  # most rounds are lost
    ],
)
def test_an_attack_has_a_slider_for_its_strength_and_each_of_its_options(name, options):
    sliders = eve_sliders(name, rounds=100_000)
    standing = {ATTACKS[name].meaning, "visibility without Eve"}
    assert set(controls_of(sliders)) == standing | options
    assert "KEY" in sliders.children[1].value


def test_an_attack_without_a_strength_is_refused():
    with pytest.raises(ValueError, match="must have a strength to turn, but `man-in-the-middle`"):
        eve_sliders("man-in-the-middle")


def test_a_longer_fibre_ends_the_key():
    sliders = distance_sliders()
    fibre = controls_of(sliders)["fibre (km)"]
    assert "NO KEY" not in sliders.children[1].value
    fibre.value = 400.0
    assert sliders.latest.wait()
    assert "NO KEY" in sliders.children[1].value


@pytest.mark.parametrize("missing", ["ipywidgets", "matplotlib"])
def test_without_the_package_the_sentence_says_what_to_install(missing):
    program = f"import sys\nsys.modules[{missing!r}] = None\nfrom e91.widgets import eve_sliders"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    sentence = rf"must have the package {missing}, but it is not installed: .*pip install "
    assert re.search(sentence, done.stderr)
