"""Double blinding: bright pulses into both parties' detectors, and what efficiency they reach."""

import math
from dataclasses import replace

import numpy as np
import pytest

from e91.adversaries import Conditions, run_attack, stage
from e91.adversaries.detector_attacks import double_blinding, pulse_answers
from e91.model.bits import NO_CLICK
from e91.model.errors import Abort
from e91.model.settings import EKERT, SETTINGS
from e91.model.trust import SecurityModel
from e91.security.policy import Policy
from e91.security.theorems import Theorem

STRENGTHS = (2.0, 2.2, 2.5, 2.7, 2 * math.sqrt(2))
ANGLES = tuple(np.linspace(0.0123, 6.28, 37))  # none just on the edge of a detector


@pytest.mark.parametrize("direction", [0.0, 0.3, 2.0, 5.0])
@pytest.mark.parametrize("level", [0.0, 0.1, 0.5, 0.9])
def test_pulse_fires_the_detector_on_which_enough_light_falls(direction, level):
    answers = pulse_answers(ANGLES, direction=direction, level=level)
    brightness = 2 / (1 + level)  # in units of the threshold
    for angle, answer in zip(ANGLES, answers, strict=True):
        plus = brightness * math.cos((angle - direction) / 2) ** 2 > 1
        minus = brightness * math.sin((angle - direction) / 2) ** 2 > 1
        assert not (plus and minus)
        assert answer == (0 if plus else 1 if minus else NO_CLICK)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("chsh", STRENGTHS)
def test_every_instruction_is_one_that_a_pulse_can_give(settings, chsh):
    """Searched among pulses on a fine grid, not only those that the model tries."""
    possible = [
        {
            tuple(pulse_answers(angles, direction=direction + 0.001, level=level).tolist())
            for direction in np.linspace(0, 2 * math.pi, 360, endpoint=False)
            for level in (0.0, 0.02, 0.1, 0.3)
        }
        for angles in (settings.alice_angles, settings.bob_angles)
    ]
    model = double_blinding(chsh, settings)
    for table, known in zip(model(np.random.default_rng(1), 2_000), possible, strict=True):
        assert {tuple(row) for row in table.tolist()} <= known


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_efficiencies_are_those_of_the_paper(settings):
    bell = stage("double-blinding", Conditions(2 * math.sqrt(2), settings=settings)).expected
    assert bell.efficiencies == pytest.approx(((2 + math.sqrt(2)) / 4,) * 2)
    assert math.floor(1000 * bell.efficiencies[0]) / 10 == 85.3  # as printed, cut off
    # Without a Bell test S need not exceed 2, no photon need be lost, and Eve knows the key.
    key = run_attack("double-blinding", 2.0, rounds=20_000, settings=settings, seed=1)
    assert key.expected.efficiencies == (1.0, 1.0)
    assert key.session.evidence.coincidences == 20_000
    assert (key.session.qber.rate, key.eve.guess_rate) == (0.0, 1.0)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_efficiency_is_larssons_limit_for_the_coincidences_of_a_single(settings):
    """S <= 4 / e - 2 with e the chance of the other click given one: reached, with no slack."""
    expected = stage("double-blinding", Conditions(2.6, settings=settings)).expected
    given = expected.coincidences / expected.efficiencies[0]
    assert 4 / given - 2 == pytest.approx(2.6)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("chsh", STRENGTHS)
def test_every_instruction_obeys_bell_once_losses_count_as_outcomes(settings, chsh):
    tables = double_blinding(chsh, settings)(np.random.default_rng(3), 5_000)
    alice, bob = (1 - 2 * (table == 1).astype(int) for table in tables)
    total = sum(s * alice[:, x] * bob[:, y] for (x, y), s in settings.chsh_pairs)
    assert np.abs(total).max() <= 2


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_session_with_trusted_analysers_makes_a_key_that_eve_knows(settings):
    found = run_attack("double-blinding", rounds=300_000, seed=7, settings=settings)
    assert found.session.abort is None
    assert found.session.chsh.lower_bound > 2
    assert found.eve.guess_rate == 1
    assert "fair sampling" in found.session.assumptions
    assert len(found.broken) == 2


@pytest.mark.parametrize("theorem", ["collective-attacks", "entropy-accumulation"])
@pytest.mark.parametrize("chsh", STRENGTHS)
def test_session_that_keeps_lost_photons_makes_none(chsh, theorem):
    policy = Policy(SecurityModel.DEVICE_INDEPENDENT, theorem=theorem)
    found = run_attack("double-blinding", chsh, rounds=100_000, policy=policy, seed=2)
    assert found.session.abort is Abort.NO_VIOLATION
    assert not found.staged.broken(Theorem(theorem)) or theorem == "collective-attacks"


def test_impossible_blinding_is_one_sentence():
    with pytest.raises(ValueError, match=r"`chsh` must lie in \[2, 2.82843\], but is 1.9"):
        double_blinding(1.9, EKERT)
    with pytest.raises(ValueError, match=r"`level` must lie in \[0, 1\), but is 1"):
        pulse_answers((0.0,), direction=0.0, level=1)
    # No pulse can leave one of two opposite settings mute and fire at the other.
    opposite = replace(EKERT, name="opposite", key_pairs=((1, 0),),
                       alice_angles=(0.0, math.pi / 4, math.pi))  # fmt: skip
    with pytest.raises(ValueError, match="`settings` must let bright pulses agree"):
        double_blinding(2.5, opposite)
