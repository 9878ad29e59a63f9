"""Pulsed light has a coincidence peak at every period: clocks lock on the true one or refuse."""

import math
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, poisson
from statistical import FALSE_ALARM
from test_correlation import tags
from test_time_tags import active, assert_poisson, equal_outcomes, recorded

from e91.model.randomness import seeded_entropy
from e91.optics.detectors import Detector
from e91.optics.sources import QuantumDot
from e91.optics.tags import clock_track
from e91.optics.tags.clock_search import (
    FALSE_PEAK,
    ClockLine,
    SearchRange,
    may_be_lower_by_chance,
    rival_delay_s,
)
from e91.optics.tags.correlation import correlate, known_clock
from e91.optics.tags.laboratories import Clock
from e91.optics.tags.time_tags import side_of

WINDOW = 1e-9
PERIOD = 12.5e-9


def dot_link(pair_probability, *, duration, loss_db=10.0, clock=None, dead_time_s=30e-9, seed=1):
    """Both sides' tags of a quantum dot pulsed at 80 MHz."""
    dot = QuantumDot(80e6, pair_probability, 0.0, 0.6, 1.2e-10, 2.5e-10)
    detector = Detector(0.6, 200.0, dead_time_s, jitter_fwhm_s=200e-12)
    alice = active(detector, link_loss_db=loss_db)
    bob = active(detector, link_loss_db=loss_db, clock=clock or Clock())
    return recorded(dot, alice, bob, duration=duration, seed=seed, device=equal_outcomes(seed))


def pulses_off(found, tagged, *, clock):
    """By how many periods the track is off the true lead at each of its knots."""
    gap = (tagged[1].times[0] - tagged[0].times[0]) * 1e-12
    bobs = tagged[1].times[0] * 1e-12 + found.clock.knots_s
    true = (bobs - clock.offset_s) / (1 + clock.frequency_error_ppm * 1e-6)
    wrong = found.clock.lead_s + gap - (bobs - true)
    return np.rint(wrong / PERIOD).astype(int)


# The peaks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("pair_probability", [0.3, 0.9])
def test_side_peaks_are_at_the_period_and_lower_by_the_pair_probability(pair_probability):
    tagged = dot_link(pair_probability, duration=0.05, dead_time_s=5e-9)
    at_period, between = (
        correlate(
            *tagged,
            window_s=8e-9,
            clock=known_clock(*tagged, offset_s=2.5e-10),
            side_delay_s=delay,
            entropy=seeded_entropy(1),
        ).statistics
        for delay in (PERIOD, 2 * PERIOD)
    )
    # Both photons of a pair with eta^2 p, of two pulses with (eta p)^2.
    eta = 0.6 * 0.6 * 0.1
    expected = 80e6 * 0.05 * eta**2 * pair_probability
    assert_poisson(at_period.coincidences, expected, must_detect=1.4 * expected)
    for statistics in (at_period, between):
        aside = 2 * pair_probability * expected
        assert_poisson(statistics.displaced, aside, must_detect=1.4 * aside)


# Clocks -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1])
def test_clocks_lock_on_the_pulse_that_is_common(seed):
    clock = Clock(3.3e-5, 0.2)
    tagged = dot_link(0.5, duration=0.1, clock=clock, seed=seed)
    found = correlate(
        *tagged, window_s=WINDOW, maximum_offset_s=1e-4, maximum_frequency_error_ppm=1.0
    )
    assert not pulses_off(found, tagged, clock=clock).any()
    assert found.statistics.lost_intervals == 0


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_clocks_that_cannot_tell_the_pulses_apart_refuse(seed):
    # A side peak is 10 % lower than the true one, with some 700 pairs: less than chance allows.
    tagged = dot_link(0.9, duration=0.05, loss_db=13.0, clock=Clock(2e-7), seed=seed)
    with pytest.raises(ValueError, match=r"but another one, .* s away, may be as high: a pulsed"):
        correlate(*tagged, window_s=WINDOW, maximum_offset_s=1e-6, maximum_frequency_error_ppm=1e-3)


def test_offset_that_is_known_to_half_a_period_settles_it():
    clock = Clock(3e-9)
    tagged = dot_link(0.9, duration=0.05, loss_db=13.0, clock=clock)
    found = correlate(
        *tagged, window_s=WINDOW, maximum_offset_s=6e-9, maximum_frequency_error_ppm=1e-3
    )
    assert not pulses_off(found, tagged, clock=clock).any()


def test_many_pairs_tell_even_a_good_dots_pulses_apart():
    clock = Clock(2e-7)
    tagged = dot_link(0.7, duration=0.3, loss_db=10.0, clock=clock)
    found = correlate(
        *tagged, window_s=WINDOW, maximum_offset_s=1e-6, maximum_frequency_error_ppm=1e-3
    )
    assert not pulses_off(found, tagged, clock=clock).any()


@pytest.mark.parametrize("pair_probability", [0.97, 1.0])
def test_clock_that_drifts_is_followed_on_its_own_pulse(pair_probability):
    # A pulse a nanosecond, two windows and a half: the side peaks are as high, and in sight.
    clock, period = Clock(0.0, 0.0, 0.02), 1e-9
    detector = Detector(0.6, 200.0, jitter_fwhm_s=200e-12)
    tagged = recorded(
        QuantumDot(1e9, pair_probability, 0.0, 0.6),
        active(detector, link_loss_db=15.0),
        active(detector, link_loss_db=15.0, clock=clock),
        duration=0.1,
        device=equal_outcomes(1),
    )
    found = correlate(
        *tagged,
        window_s=4e-10,
        maximum_offset_s=0.45 * period,
        maximum_frequency_error_ppm=0.004,
        tracking_step_s=1e-3,
    )
    gap = (tagged[1].times[0] - tagged[0].times[0]) * 1e-12
    time = found.clock.knots_s + tagged[1].times[0] * 1e-12
    wrong = found.clock.lead_s + gap - clock.drift_ppm_per_second * 1e-6 * time**2 / 2
    assert len(time) > 10
    assert np.abs(wrong).max() < period / 4


@given(
    counts=st.lists(st.integers(0, 60), min_size=32, max_size=32),
    places=st.sampled_from([0, 8, 14, 20]),
)
def test_a_clock_does_not_jump_between_peaks_that_are_as_high(counts, places):
    # Equal peaks at two places: the nearer to the middle is taken, whatever the background.
    four = np.array(counts[:29], float)
    four[:] = np.minimum(four, 5)
    for place in (places, 28):
        four[place] = 300.0
    found = clock_track._nearest_peak(four, pairs=int(four.sum()))
    assert found == min((places, 28), key=lambda place: abs(2 * place - 28))


@pytest.mark.parametrize("top", [8, 10, 14, 18, 20])
def test_tracked_clock_climbs_from_the_flank_to_the_top_of_its_peak(top):
    four = np.full(29, 5.0)
    four[top - 3 : top + 4] = [200, 250, 290, 300, 290, 250, 200]
    assert clock_track._nearest_peak(four, pairs=int(four.sum() / 4)) == top


def test_longer_interval_that_jumps_to_another_pulse_is_not_believed(monkeypatch):
    base = np.arange(1, 3001) * 1_000_000
    alice, bob = side_of(tags(base)), side_of(tags(base + 700))
    line = ClockLine(1e-3, 0.0, 0.0, WINDOW, pairs=100)

    def jumped(*_, **__):
        return replace(line, lead_s=1.5 * WINDOW, pairs=10**6)

    monkeypatch.setattr(clock_track, "refine_line", jumped)
    options = {"start": 0, "tags": 100, "window_s": WINDOW}
    assert clock_track._lengthened(alice, bob, line, **options) == line


# Chance -------------------------------------------------------------------------------------------


@given(lower=st.integers(0, 500), more=st.integers(0, 500))
def test_bound_on_equal_peaks_is_above_the_exact_binomial_tail(lower, more):
    higher = lower + more
    if not may_be_lower_by_chance(lower, higher):
        assert binom.sf(higher - 1, lower + higher, 0.5) <= FALSE_PEAK


def test_no_counts_tell_nothing():
    assert may_be_lower_by_chance(0, 0)
    assert not may_be_lower_by_chance(0, 1000)
    assert may_be_lower_by_chance(0, 40, places=1e9)


def uniform(rate, duration, seed):
    generator = np.random.default_rng(seed)
    return np.sort(duration * generator.random(generator.poisson(rate * duration)))


SPAN = SearchRange(-1e-5, 1e-5, 0.0)
LINE = ClockLine(0.5, 0.0, 0.0, WINDOW)


@pytest.mark.parametrize("seed", range(4))
def test_even_background_has_no_rival_however_faint_the_peak(seed):
    alice, bob = uniform(3e4, 1.0, seed), uniform(3e4, 1.0, seed + 100)
    # Sixty pairs on accidentals of about one: nothing else is looked at.
    common = uniform(60, 1.0, seed + 200)
    alice, bob = np.sort(np.append(alice, common)), np.sort(np.append(bob, common))
    assert rival_delay_s(alice, bob, LINE, span=SPAN, window_s=WINDOW) is None


@pytest.mark.parametrize(("pair_probability", "rivals"), [(1.0, True), (0.3, False)])
def test_pulses_have_rivals_unless_the_true_peak_exceeds_them(pair_probability, rivals):
    generator = np.random.default_rng(5)
    pulses = generator.random(2_000_000) < pair_probability
    alice, bob = (
        np.flatnonzero(pulses & (generator.random(len(pulses)) < 0.03)) * PERIOD for _ in "ab"
    )
    line = ClockLine(1e-2, 0.0, 0.0, WINDOW)
    found = rival_delay_s(alice, bob, line, span=SPAN, window_s=WINDOW)
    assert (found is not None) == rivals
    if rivals:
        assert abs(found / PERIOD - round(found / PERIOD)) < 0.1
    else:
        # A side peak that is taken for the true one has it as its rival.
        aside = ClockLine(1e-2, PERIOD, 0.0, WINDOW)
        assert rival_delay_s(alice, bob, aside, span=SPAN, window_s=WINDOW) == pytest.approx(
            -PERIOD, abs=WINDOW / 2
        )


def test_a_rival_must_be_excluded_at_all_places_at_once():
    # Peaks of 155 and 60 counts: one rival would be excluded with 4e-10, tens of thousands not.
    times = np.arange(1000) * 1e-3
    delays = np.zeros(1000)
    delays[:60], delays[60:120], delays[120:180] = PERIOD, 2 * PERIOD, -PERIOD
    bob = np.sort(np.append(times[:180] + delays[:180], times[200:355]))
    assert not may_be_lower_by_chance(60, 155)
    line = ClockLine(0.5, 0.0, 0.0, WINDOW)
    assert rival_delay_s(times, bob, line, span=SPAN, window_s=WINDOW) is not None


def test_rival_outside_the_search_is_none():
    pulses = np.arange(20_000) * PERIOD
    line = ClockLine(1e-4, 0.0, 0.0, WINDOW)
    near = SearchRange(-PERIOD / 2, PERIOD / 2, 0.0)
    assert rival_delay_s(pulses, pulses, line, span=near, window_s=WINDOW) is None
    assert rival_delay_s(pulses, pulses, line, span=SPAN, window_s=WINDOW) is not None


def test_faint_light_in_a_wide_search_takes_little_memory():
    # A second of offsets in fine bins would be 64 GB.
    alice, bob = uniform(100.0, 20.0, 1), uniform(100.0, 20.0, 2)
    wide = SearchRange(-0.5, 0.5, 0.0)
    tracemalloc.start()
    assert rival_delay_s(alice, bob, LINE, span=wide, window_s=WINDOW) is None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6


def test_even_and_uneven_counts_are_distinguished_at_the_stated_rate():
    from e91.optics.tags.clock_search import _is_even

    generator = np.random.default_rng(2)
    trials = 2000
    for mean in (0.01, 1.0, 100.0):
        uneven = sum(not _is_even(row) for row in generator.poisson(mean, (trials, 500)) * 1.0)
        # Six standard deviations; the skew of sparse counts makes it a few in a thousand.
        assert poisson.sf(uneven - 1, 0.01 * trials) > FALSE_ALARM
    comb = np.tile([0.5, 0.5, 3.0], 200)
    assert not any(_is_even(generator.poisson(comb) * 1.0) for _ in range(100))
    assert math.isclose(comb.mean(), 4 / 3)


def test_tags_without_rivals_are_as_before():
    base = np.arange(1, 3001) * 1_000_000
    found = correlate(tags(base), tags(base + 700), window_s=WINDOW, maximum_offset_s=4e-7)
    assert len(found.record) == 3000
