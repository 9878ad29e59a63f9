"""Pulsed down-conversion: the formulas against time tags, from 0 to 70 dB."""

import numpy as np
import pytest
from statistical import assert_binomial
from test_optics_dots import arm, assert_tags_are_as_counted, tags_of
from test_time_tags import active, assert_poisson, equal_outcomes, recorded

from e91.optics.arms import simple_arm
from e91.optics.coincidences import coincidences
from e91.optics.detectors import Detector
from e91.optics.sources import PairStatistics, PulsedSource
from e91.optics.tags.correlation import correlate, known_clock


@pytest.mark.parametrize(
    ("loss_db", "rate_hz", "mean", "duration_s", "dead_time_s"),
    [
        (0.0, 1e6, 0.1, 0.1, 0.0),
        (10.0, 1e7, 0.1, 0.05, 3.3e-7),
        (20.0, 8e7, 0.05, 0.1, 3e-8),
        (30.0, 8e7, 0.05, 0.5, 0.0),
        (40.0, 8e7, 0.1, 2.0, 3e-8),
        (50.0, 1e9, 0.1, 1.0, 0.0),
        (60.0, 1e9, 0.1, 3.0, 0.0),
        (70.0, 1e9, 0.2, 10.0, 0.0),
    ],
)
def test_rates_and_errors_of_many_modes_are_those_of_a_measurement(
    loss_db, rate_hz, mean, duration_s, dead_time_s
):
    source = PulsedSource(rate_hz, mean, PairStatistics.POISSONIAN)
    arms = [arm(loss_db / 2, noise=200.0, dead_time_s=dead_time_s, jitter=2e-11) for _ in "ab"]
    tags = tags_of(source, arms, duration_s=duration_s, seed=int(loss_db) + 2)
    assert_tags_are_as_counted(tags, source, arms, duration_s)


def test_thermal_pairs_come_as_often_but_their_tags_forget_the_common_mode():
    # With L pairs in each of two modes, n = n0 + n1.  Two photons of different pairs are seen
    # (3 L^2 for 2 L of one pair) and, pair by pair, half of these differ: the tags' error.  Light
    # of one mode is alike, which makes it L / (1 + 3 L), the error of the formulas.
    mean, rate_hz, loss_db, duration_s = 0.3, 1e8, 17.0, 0.5
    source = PulsedSource(rate_hz, mean, PairStatistics.THERMAL)
    party = simple_arm(loss_db)
    counted = coincidences(source, party, party)
    side = active(Detector(1.0), link_loss_db=loss_db)
    tags = recorded(source, side, side, duration=duration_s, device=equal_outcomes(2))
    found = correlate(*tags, window_s=0.96 / rate_hz, clock=known_clock(*tags)).record
    expected = counted.per_second * duration_s
    assert_poisson(len(found), expected, must_detect=1.12 * expected)
    half = mean / 2
    common, apart = half / (1 + 3 * half), 3 * half / (2 + 6 * half)
    assert counted.error_rate == pytest.approx(common, rel=0.05)
    wrong = int(np.count_nonzero(found.alice.outcome != found.bob.outcome))
    assert_binomial(wrong, len(found), apart, must_detect=common)
