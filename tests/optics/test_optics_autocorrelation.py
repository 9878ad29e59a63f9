"""g2(0) from the tags of one side: the dot's is what was asked for, other light's is known."""

import numpy as np
import pytest
from statistical import assert_binomial
from test_time_tags import active, recorded

from e91.optics.detectors import Detector
from e91.optics.sources import PairStatistics, PulsedSource, quantum_dot_of
from e91.optics.tags.photon_statistics import Autocorrelation, autocorrelation
from e91.optics.tags.time_tags import TimeTags


@pytest.mark.parametrize(
    ("asked", "detected"), [(0.0, 0.0), (0.02, 0.032), (0.1, 0.125), (0.5, 0.56)]
)
def test_autocorrelation_of_the_tags_is_what_was_asked_for(asked, detected):
    # Alice's photon is unpolarised: her analyser is the beam splitter, her detectors the two
    # behind it.  Counts of one pulse are binomial: both photons of two pairs, one at each.
    pulses, eta = 4_000_000, 0.2
    dot = quantum_dot_of(
        1e8, 0.7, autocorrelation=asked, biexciton_lifetime_s=2e-10, exciton_lifetime_s=3e-10
    )
    side = active(Detector(eta, dead_time_s=5e-9, jitter_fwhm_s=1e-10))
    tags, _ = recorded(dot, side, active(Detector(0.0)), duration=pulses / 1e8)
    seen = autocorrelation(tags, (0,), second=(1,), pulse_period_s=1e-8, window_s=9e-9)
    same = dot.multi_pair_probability * eta**2 / 2
    if asked:
        assert_binomial(seen.same_pulse, pulses, same, must_detect=same * detected / asked)
    else:
        assert seen.same_pulse == 0
    mean = 0.7 + dot.multi_pair_probability
    click = eta / 2 * mean - (eta / 2) ** 2 * dot.multi_pair_probability
    for order, count in zip((-1, 1), seen.other_pulses[9:11], strict=True):
        neighbours = pulses - abs(order)
        assert_binomial(count, neighbours, click**2, must_detect=1.1 * click**2)
    assert seen.value is not None
    assert abs(seen.value - same / click**2) < 6.2 * seen.error
    # The value that was asked for, but for what a detector of 20 % cannot see of two photons.
    assert same / click**2 == pytest.approx(asked, rel=0.08, abs=1e-12)


def test_light_of_many_modes_has_an_autocorrelation_of_one_and_thermal_light_more():
    side, far = active(Detector(0.3)), active(Detector(0.0))
    for statistics, expected in ((PairStatistics.POISSONIAN, 1.0), (PairStatistics.THERMAL, 1.5)):
        source = PulsedSource(1e8, 0.1, statistics)
        tags, _ = recorded(source, side, far, duration=0.04)
        seen = autocorrelation(tags, (0,), second=(1,), pulse_period_s=1e-8, window_s=9e-9)
        assert abs(seen.value - expected) < 6.2 * seen.error < 0.3


def test_autocorrelation_without_other_pulses_has_no_value():
    assert Autocorrelation(3, (0, 0)).value is None
    assert Autocorrelation(3, (0, 0)).error is None
    empty = TimeTags(np.empty(0, np.int64), np.empty(0, np.uint8))
    seen = autocorrelation(empty, (0,), second=(1,), pulse_period_s=1e-8, window_s=9e-9, peaks=2)
    assert seen == Autocorrelation(0, (0, 0, 0, 0))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"pulse_period_s": 0.0}, "`pulse_period_s` must be finite and positive"),
        ({"window_s": -1e-9}, "`window_s` must be finite and positive"),
        ({"window_s": 2e-8}, "`window_s` must be at most `pulse_period_s`, 1e-08, but is 2e-08"),
        ({"peaks": 0}, "`peaks` must be at least 1, but is 0"),
        ({"second": (0, 1)}, "`second` must have no channel of `first`"),
    ],
)
def test_autocorrelation_that_cannot_be_is_refused(options, sentence):
    tags = TimeTags(np.array([0, 5]), np.array([0, 1], np.uint8))
    good = {"second": (1,), "pulse_period_s": 1e-8, "window_s": 5e-9}
    with pytest.raises(ValueError, match=sentence):
        autocorrelation(tags, (0,), **good | options)
