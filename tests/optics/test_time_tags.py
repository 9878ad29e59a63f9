"""Time tags of two laboratories: rates, dead time, after-pulses, jitter, clocks and settings."""

import heapq
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2, poisson
from statistical import FALSE_ALARM, assert_binomial

from e91.optics.detectors import FWHM_PER_SIGMA, BasisChoice, Detector, Receiver
from e91.optics.sources import ContinuousSource, PairStatistics, PulsedSource
from e91.optics.tags import simulation as tag_simulation
from e91.optics.tags import tag_kernels
from e91.optics.tags.emission import emission_times
from e91.optics.tags.laboratories import Clock, Laboratory
from e91.optics.tags.simulation import (
    ClickState,
    clicks_until,
    record_time_tags,
    simulate_time_tags,
)
from e91.optics.tags.time_tags import TimeTags


def assert_poisson(count, mean, *, must_detect):
    """Check a Poisson count, exact tails, false alarm 1e-9; ``must_detect`` is a wrong mean."""
    low, high = poisson.ppf(FALSE_ALARM / 2, mean), poisson.isf(FALSE_ALARM / 2, mean)
    missed = poisson.cdf(high, must_detect) - poisson.cdf(low - 1, must_detect)
    assert missed < 1e-3, f"a mean of {mean:.4g} is not distinguished from {must_detect:.4g}"
    assert low <= count <= high, f"{count} is outside [{low:g}, {high:g}], expected {mean:.5g}"


def active(detector=None, *, probabilities=(1.0,), period=1e-6, **options):
    """A laboratory whose receiver has two equal detectors."""
    receiver = Receiver((detector or Detector(1.0),) * 2)
    return Laboratory(receiver, probabilities, setting_period_s=period, **options)


def passive(*detectors, probabilities, **options):
    receiver = Receiver(tuple(detectors), BasisChoice.PASSIVE)
    return Laboratory(receiver, probabilities, **options)


def equal_outcomes(seed=1):
    """A device whose outcomes are random and equal."""
    generator = np.random.default_rng(seed)

    def device(x, y):
        bits = generator.integers(0, 2, len(x), np.uint8)
        return bits, bits.copy()

    return device


def recorded(source, alice, bob, *, duration=0.1, seed=1, device=None):
    return record_time_tags(
        source, alice, bob, device=device or equal_outcomes(), duration_s=duration, seed=seed
    )


# Rates --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss_db", [0.0, 10.0, 30.0])
def test_singles_are_pairs_times_transmission_and_efficiency_plus_noise(loss_db):
    lab = active(
        Detector(0.5, dark_counts_per_second=2000.0),
        link_loss_db=loss_db,
        background_photons_at_receiver_per_second=8000.0,
    )
    rate = 1e6 * 10 ** (-loss_db / 10) * 0.5 + 2 * 2000.0 + 8000.0 * 0.5
    alice, bob = recorded(ContinuousSource(1e6), lab, lab, duration=1.0)
    for side in (alice, bob):
        assert_poisson(len(side), rate, must_detect=1.2 * rate)


def test_pairs_of_which_both_photons_survive_are_pairs_times_both_efficiencies():
    alice, bob = recorded(ContinuousSource(1e6), active(Detector(0.4)), active(Detector(0.1)))
    both = np.intersect1d(alice.times, bob.times)
    assert_poisson(len(both), 1e5 * 0.04, must_detect=1e5 * 0.04 * 1.2)


def test_each_detector_has_its_own_efficiency():
    lab = passive(Detector(0.8), Detector(0.2), probabilities=(1.0,))
    side, _ = recorded(ContinuousSource(1e6), lab, lab)
    counts = np.bincount(side.channels, minlength=2)
    assert_binomial(int(counts[1]), len(side), 0.2, must_detect=0.25)


def test_photon_without_outcome_makes_no_click():
    def silent(x, y):
        return np.full(len(x), 2, np.uint8), np.zeros(len(y), np.uint8)

    alice, bob = recorded(ContinuousSource(1e5), active(), active(), device=silent)
    assert len(alice) == 0 < len(bob)


def test_read_out_errors_flip_the_outcome():
    receiver = Receiver((Detector(1.0),) * 2, readout_error=0.1)
    lab = Laboratory(receiver, (1.0,), setting_period_s=1e-6)
    zeros = lambda x, y: (x * 0, y * 0)  # noqa: E731
    side, _ = recorded(ContinuousSource(1e5), lab, active(), device=zeros)
    assert_binomial(int(side.channels.sum()), len(side), 0.1, must_detect=0.15)


# Sources ------------------------------------------------------------------------------------------


def test_surviving_photons_of_a_thermal_source_have_the_thinned_distribution():
    # L pairs in each of two modes, a fraction s survives: P(n) = (n + 1) M^n / (1 + M)^(n + 2),
    # M = s L, the formula of Ma, Fung and Lo with a smaller L.
    pulses, thinned = 400_000, 0.3 * 0.5
    source = PulsedSource(1e6, 2 * 0.5, PairStatistics.THERMAL)
    times = emission_times(
        source, 0.3, begin_s=0.0, end_s=pulses / 1e6, generator=np.random.default_rng(3)
    )
    numbers = np.bincount(np.rint(times * 1e6).astype(int), minlength=pulses)
    assert len(numbers) == pulses
    for n in (0, 1, 2, 3):
        p = (n + 1) * thinned**n / (1 + thinned) ** (n + 2)
        wrong = poisson.pmf(n, 2 * thinned)
        assert_binomial(int((numbers == n).sum()), pulses, p, must_detect=wrong)


def test_surviving_photons_of_many_modes_are_poissonian():
    pulses = 400_000
    source = PulsedSource(1e6, 1.0, PairStatistics.POISSONIAN)
    times = emission_times(
        source, 0.3, begin_s=0.0, end_s=pulses / 1e6, generator=np.random.default_rng(3)
    )
    numbers = np.bincount(np.rint(times * 1e6).astype(int), minlength=pulses)
    for n in (0, 1, 2):
        thermal = (n + 1) * 0.15**n / 1.15 ** (n + 2)
        p = poisson.pmf(n, 0.3)
        assert_binomial(int((numbers == n).sum()), pulses, p, must_detect=thermal)


def test_pulsed_photons_arrive_with_the_pulses():
    source = PulsedSource(1e6, 0.1)
    side, _ = recorded(source, active(), active(), duration=0.01)
    assert not np.any((side.times + 1) % 1_000_000 > 2)


# Detectors ----------------------------------------------------------------------------------------


def test_no_detector_clicks_within_its_dead_time_across_intervals(monkeypatch):
    monkeypatch.setattr(tag_simulation, "TAGS_AT_ONCE", 300)
    dead = Detector(1.0, dead_time_s=1e-6, afterpulse_probability=0.1, jitter_fwhm_s=1e-9)
    side, _ = recorded(ContinuousSource(1e6), active(dead), active(), duration=0.01)
    for channel in (0, 1):
        assert np.diff(side.times[side.channels == channel]).min() >= 1_000_000
    assert len(side) > 5000


def test_dead_time_is_not_paralysable():
    # Non-paralysable: R0 / (1 + R0 t); a paralysable detector would show R0 exp(-R0 t), here 18 %
    # of it less.  The clicks are a renewal process, less spread than Poisson's.
    rate, dead = 1e6, 1e-6
    lab = active(Detector(1.0, dead_time_s=dead))
    zeros = lambda x, y: (x * 0, y * 0)  # noqa: E731
    side, _ = recorded(ContinuousSource(rate), lab, active(), device=zeros, duration=0.1)
    expected = 0.1 * rate / (1 + rate * dead)
    assert_poisson(len(side), expected, must_detect=0.1 * rate * math.exp(-rate * dead))


def test_after_pulses_follow_a_fraction_of_all_clicks_after_pulses_included():
    # Far below saturation every click starts a geometric chain: N / (1 - p) in all.
    lab = active(Detector(1.0, dead_time_s=1e-7, afterpulse_probability=0.2))
    side, other = recorded(ContinuousSource(1e4), lab, active(), duration=5.0)
    extra = len(side) - len(other)
    assert_binomial(extra, len(side), 0.2, must_detect=0.167)


def test_after_pulse_comes_after_the_dead_time_and_an_exponential_delay():
    lab = active(
        Detector(1.0, dead_time_s=1e-7, afterpulse_probability=0.3), afterpulse_decay_s=1e-6
    )
    side, _ = recorded(ContinuousSource(1e3), lab, active(), duration=5.0)
    gaps = np.diff(side.times) * 1e-12
    delays = gaps[gaps < 2e-5] - 1e-7
    assert delays.min() >= 0
    assert_binomial(int((delays < 1e-6 * math.log(2)).sum()), len(delays), 0.5, must_detect=0.64)


def slow_clicks(times, detectors, *, end, chances, dead, afterpulse, decay):
    """The definition, with a heap: whatever comes next clicks if its detector is ready."""
    events = [(t, 1, d) for t, d in zip(times, detectors, strict=True)]
    heapq.heapify(events)
    last, clicks = [-math.inf] * len(dead), []
    while events and events[0][0] < end:
        now, _, d = heapq.heappop(events)
        if now - last[d] < dead[d]:
            continue
        chance = chances[len(clicks)]
        last[d] = now
        clicks.append((now, d))
        if chance < afterpulse[d]:
            due = now + dead[d] - decay * np.log1p(-chance / afterpulse[d])
            heapq.heappush(events, (due, 0, d))
    return clicks


@given(
    arrivals=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 2)), max_size=40),
    seed=st.integers(0, 2**32 - 1),
    end=st.integers(1, 250),
    room=st.integers(1, 60),
)
def test_compiled_and_plain_clicks_are_those_of_the_definition(arrivals, seed, end, room):
    arrivals.sort()
    times = np.array([t for t, _ in arrivals], float)
    detectors = np.array([d for _, d in arrivals], np.uint8)
    chances = np.random.default_rng(seed).random(500)
    dead, afterpulse = np.array([3.0, 10.0, 0.5]), np.array([0.5, 0.0, 0.3])
    expected = slow_clicks(
        times, detectors, end=end, chances=chances, dead=dead, afterpulse=afterpulse, decay=4.0
    )
    compiled = tag_kernels.register_clicks
    for function in (compiled, getattr(compiled, "py_func", compiled)):
        last, state = np.full(3, -np.inf), np.zeros(2, np.int64)
        waiting, found, made = (np.empty(64), np.empty(64, np.uint8)), [], room
        while made == room:
            out = np.empty(room), np.empty(room, np.uint8)
            rest = chances[len(found) : len(found) + room]
            made = function(
                times, detectors, float(end), rest, dead, afterpulse, 4.0, last, *waiting, state,
                *out,
            )  # fmt: skip
            found += list(zip(out[0][:made].tolist(), out[1][:made].tolist(), strict=True))
        assert found == [(pytest.approx(t, rel=1e-12), d) for t, d in expected]


def test_too_many_waiting_after_pulses_are_refused(monkeypatch):
    monkeypatch.setattr(tag_simulation, "_WAITING", 4)
    lab = active(Detector(1.0, afterpulse_probability=0.9), afterpulse_decay_s=1.0)
    with pytest.raises(ValueError, match="after-pulses must wait at once, but there are more"):
        clicks_until(
            math.inf,
            ClickState(lab),
            arrivals_s=np.linspace(0, 1e-3, 100),
            detectors=np.zeros(100, np.uint8),
            generator=np.random.default_rng(1),
        )


def test_spread_between_partners_is_both_jitters_and_the_coherence_time():
    jitters, coherence = (300e-12, 400e-12), 1200e-12
    source = ContinuousSource(1e4, coherence_time_s=coherence)
    labs = [active(Detector(1.0, jitter_fwhm_s=jitter)) for jitter in jitters]
    alice, bob = recorded(source, *labs, duration=1.0)
    place = np.clip(np.searchsorted(alice.times, bob.times), 1, len(alice) - 1)
    near = np.minimum(
        np.abs(bob.times - alice.times[place]), np.abs(bob.times - alice.times[place - 1])
    )
    deltas = near[near < 20_000].astype(float)  # neighbours are 10^8 ps away
    sigma = math.hypot(*jitters, coherence) / FWHM_PER_SIGMA * 1e12
    total, n = float((deltas**2).sum()), len(deltas)
    assert n > 9000
    low, high = sigma**2 * chi2.ppf(FALSE_ALARM / 2, n), sigma**2 * chi2.isf(FALSE_ALARM / 2, n)
    assert low < total < high
    # Forgetting the smaller jitter would be seen.
    assert sigma**2 * (1 - (300 / 1300) ** 2) * chi2.isf(1e-3, n) < sigma**2 * n


# Settings -----------------------------------------------------------------------------------------


def test_passive_receiver_divides_the_light_as_declared():
    lab = passive(*[Detector(1.0)] * 4, probabilities=(0.25, 0.75))
    side, _ = recorded(ContinuousSource(1e6), lab, active())
    assert_binomial(int((side.channels >> 1).sum()), len(side), 0.75, must_detect=0.72)


def test_active_receiver_keeps_its_setting_for_a_slot_whatever_clicks():
    lab = active(
        Detector(0.5, dark_counts_per_second=2e5),
        probabilities=(0.3, 0.7),
        period=1e-5,
        background_photons_at_receiver_per_second=2e5,
    )
    side, _ = recorded(ContinuousSource(1e6), lab, active())
    slots, settings = side.times // 10_000_000, side.channels >> 1
    for slot in np.unique(slots)[:2000]:
        assert len(set(settings[slots == slot].tolist())) == 1
    first = np.unique(slots, return_index=True)[1]
    assert_binomial(int(settings[first].sum()), len(first), 0.7, must_detect=0.75)


def test_two_parties_slots_are_independent():
    lab = active(probabilities=(0.5, 0.5), period=1e-6)
    alice, bob = recorded(ContinuousSource(1e6), lab, lab)
    assert np.array_equal(alice.times, bob.times)
    same = int(((alice.channels ^ bob.channels) < 2).sum())
    assert_binomial(same, len(alice), 0.5, must_detect=0.55)


def test_outcomes_of_true_pairs_are_the_devices():
    alice, bob = recorded(ContinuousSource(1e5), active(), active())
    assert np.array_equal(alice.times, bob.times)
    assert np.array_equal(alice.channels, bob.channels)
    assert_binomial(int(alice.channels.sum()), len(alice), 0.5, must_detect=0.6)


# Clocks -------------------------------------------------------------------------------------------


def test_tags_are_what_the_clock_shows():
    clock = Clock(0.25, frequency_error_ppm=-20.0, drift_ppm_per_second=2.0, resolution_s=4e-12)
    far = active(delay_s=3e-4, clock=clock)
    alice, bob = recorded(ContinuousSource(1e4), active(), far, duration=0.5)
    assert len(alice) == len(bob)
    assert bob.resolution_s == 4e-12
    for alices, bobs in zip(alice.times[::500].tolist(), bob.times[::500].tolist(), strict=True):
        shown = clock.reading_s((alices + 0.5) * 1e-12 + 3e-4)
        assert abs(bobs * 4e-12 - shown) < 6e-12


def test_same_seed_gives_the_same_tags_and_another_others():
    lab = active(Detector(0.5, 1000.0))
    first, again = (recorded(ContinuousSource(1e5), lab, lab, seed=5)[0] for _ in range(2))
    other = recorded(ContinuousSource(1e5), lab, lab, seed=6)[0]
    assert np.array_equal(first.times, again.times)
    assert np.array_equal(first.channels, again.channels)
    assert not np.array_equal(first.times[:100], other.times[:100])


def test_an_interval_holds_a_bounded_number_of_tags(monkeypatch):
    monkeypatch.setattr(tag_simulation, "TAGS_AT_ONCE", 1000)
    intervals = list(
        simulate_time_tags(
            ContinuousSource(1e5),
            active(),
            active(),
            device=equal_outcomes(),
            duration_s=0.2,
            seed=1,
        )
    )
    sizes = [len(alice) for alice, _ in intervals]
    assert max(sizes) < 1500
    assert_poisson(sum(sizes), 2e4, must_detect=1.1 * 2e4)
    joined = np.concatenate([alice.times for alice, _ in intervals])
    assert np.all(np.diff(joined) >= 0)


def test_jitter_carries_clicks_into_the_next_interval_in_order(monkeypatch):
    monkeypatch.setattr(tag_simulation, "TAGS_AT_ONCE", 300)
    lab = active(Detector(1.0, jitter_fwhm_s=1e-6))
    side, other = recorded(ContinuousSource(1e6), lab, active(), duration=0.01)
    assert np.all(np.diff(side.times) >= 0)  # twenty clicks wander across every cut
    assert abs(len(side) - len(other)) <= 100  # but for those within a count of each other


# Bad input ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("times", "channels", "sentence"),
    [
        ([3, 2], [0, 1], "sorted, but tag 2, the first one being tag 1, is earlier"),
        ([2, 2], [1, 1], "must not overlap"),
        ([2, 2, 2], [1, 0, 1], "must not overlap"),
        ([2, 3], [1], "must have the length"),
        ([[2], [3]], [1, 2], "shape"),
    ],
)
def test_tags_that_no_tagger_writes_are_refused(times, channels, sentence):
    with pytest.raises(ValueError, match=sentence):
        TimeTags(np.array(times), np.array(channels, np.uint8))


def test_tags_of_different_channels_may_share_a_time():
    assert len(TimeTags(np.array([2, 2, 2]), np.array([2, 0, 1], np.uint8))) == 3


@pytest.mark.parametrize("times", [np.array([1.0, 2.0]), np.array([1, 2], np.int32)])
def test_times_of_another_type_are_refused(times):
    with pytest.raises(ValueError, match="`times` must be int64"):
        TimeTags(times, np.zeros(2, np.uint8))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"link_loss_db": -3.0}, "`link_loss_db` must be finite and not negative, but is -3.0"),
        ({"background_photons_at_receiver_per_second": math.nan}, "not negative, but is nan"),
        ({"delay_s": -1.0}, "`delay_s` must be finite and not negative"),
        ({"afterpulse_decay_s": 0.0}, "`afterpulse_decay_s` must be finite and positive"),
        ({"period": None}, "`setting_period_s` must be given"),
        ({"period": -1e-6}, "`setting_period_s` must be finite and positive"),
        ({"probabilities": (0.5, 0.6)}, "sum to 1"),
        ({"probabilities": ()}, "sum to 1"),
    ],
)
def test_laboratory_outside_physics_is_refused(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        active(**options)


def test_passive_receiver_must_fit_its_settings():
    with pytest.raises(ValueError, match="2 detectors for each of 3 settings, but has 4"):
        passive(*[Detector(1.0)] * 4, probabilities=(0.2, 0.3, 0.5))
    with pytest.raises(ValueError, match="must be None with a passive receiver"):
        passive(*[Detector(1.0)] * 2, probabilities=(1.0,), setting_period_s=1e-6)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"offset_s": math.nan}, "`offset_s` must be finite"),
        ({"frequency_error_ppm": 2000.0}, "must lie in"),
        ({"resolution_s": 0.0}, "`resolution_s` must be finite and positive"),
        ({"drift_ppm_per_second": math.inf}, "must be finite"),
    ],
)
def test_impossible_clock_is_refused(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        Clock(**options)


@pytest.mark.parametrize(
    ("clock", "duration", "sentence"),
    [
        (Clock(), -1.0, "`duration_s` must be finite and positive"),
        (Clock(offset_s=1e9), 1.0, "within 2\\*\\*62 counts"),
        (Clock(drift_ppm_per_second=1e4), 1.0, "by at most 1000 ppm"),
    ],
)
def test_measurement_that_cannot_be_is_refused(clock, duration, sentence):
    with pytest.raises(ValueError, match=sentence):
        recorded(ContinuousSource(1e3), active(), active(clock=clock), duration=duration)
