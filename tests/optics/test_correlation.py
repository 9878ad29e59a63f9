"""Correlation of time tags: clocks found and followed, coincidences as the definition says."""

import math
import os
from itertools import pairwise
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import erf
from statistical import assert_binomial
from test_time_tags import active, assert_poisson, equal_outcomes, passive, recorded

from e91.model.randomness import seeded_entropy
from e91.optics.detectors import Detector
from e91.optics.sources import ContinuousSource, PairStatistics, PulsedSource
from e91.optics.tags import clock_search
from e91.optics.tags import correlation as tag_correlation
from e91.optics.tags.clock_search import differences, false_peak_probability
from e91.optics.tags.clock_track import ClockTrack
from e91.optics.tags.correlation import correlate, known_clock
from e91.optics.tags.laboratories import Clock
from e91.optics.tags.matching import align, count_pairs, match_times
from e91.optics.tags.time_tags import TimeTags, side_of

WINDOW = 1e-9


def tags(times, channels=None):
    channels = np.zeros(len(times)) if channels is None else channels
    return TimeTags(np.array(times, np.int64), np.array(channels, np.uint8))


def link(*, duration=0.3, seed=1, clock=None, rate=1e6, efficiency=0.3, device=None, **options):
    """Both sides' tags of a link with a realistic detector."""
    detector = Detector(efficiency, 500.0, 30e-9, 0.01, 300e-12)
    alice, bob = active(detector), active(detector, clock=clock or Clock(), **options)
    source = ContinuousSource(rate)
    return recorded(source, alice, bob, duration=duration, seed=seed, device=device)


# Matching -----------------------------------------------------------------------------------------


def slow_matches(alice, bob, *, reach):
    """The definition: the earliest pair in reach begins, and takes in what follows."""
    free = ([True] * len(alice), [True] * len(bob))
    found = []
    for i, a in enumerate(alice):
        partners = [j for j, b in enumerate(bob) if free[1][j] and a - reach <= b <= a + reach]
        if not free[0][i] or not partners:
            continue
        j = partners[0]
        end = min(a, bob[j]) + reach
        alices = [k for k in range(i, len(alice)) if free[0][k] and (k == i or alice[k] <= end)]
        bobs = [k for k in range(j, len(bob)) if free[1][k] and (k == j or bob[k] <= end)]
        for side, taken in ((0, alices), (1, bobs)):
            for k in taken:
                free[side][k] = False
        found.append((alices[0], len(alices), bobs[0], len(bobs)))
    return found


times = st.lists(st.integers(0, 60), max_size=25).map(lambda t: np.array(sorted(t), float))


@given(alice=times, bob=times, window=st.sampled_from([0.0, 1.0, 2.0, 5.0, 8.0]))
def test_matches_are_those_of_the_definition(alice, bob, window):
    expected = slow_matches(alice, bob, reach=window / 2)
    found = match_times(alice, bob, window_s=window)
    columns = (found.alice_first, found.alice_count, found.bob_first, found.bob_count)
    assert list(zip(*(c.tolist() for c in columns), strict=True)) == expected


@given(alice=times, bob=times, window=st.sampled_from([0.0, 1.0, 5.0, 8.0]))
def test_no_tag_is_in_two_coincidences_and_all_are_within_the_window(alice, bob, window):
    found = match_times(alice, bob, window_s=window)
    for first, count in (
        (found.alice_first, found.alice_count),
        (found.bob_first, found.bob_count),
    ):
        assert all(a + n <= b for (a, n), b in zip(
            zip(first, count, strict=True), first[1:], strict=False))  # fmt: skip
    for i, m, j, n in zip(
        found.alice_first, found.alice_count, found.bob_first, found.bob_count, strict=True
    ):
        assert np.abs(alice[i : i + m, None] - bob[None, j : j + n]).max() <= window / 2


@given(alice=times, bob=times, delay=st.integers(-9, 9), window=st.sampled_from([0.0, 2.0, 5.0]))
def test_displaced_pairs_are_counted_as_defined_compiled_or_not(alice, bob, delay, window):
    expected = sum(abs(b - a - delay) <= window / 2 for a in alice for b in bob)
    assert count_pairs(alice, bob, delay_s=delay, window_s=window) == expected
    with mock.patch.dict(os.environ, NUMBA_DISABLE_JIT="1"):
        assert count_pairs(alice, bob, delay_s=delay, window_s=window) == expected


def test_both_routes_align_to_the_last_bit(monkeypatch):
    generator = np.random.default_rng(1)
    counts = np.sort(generator.integers(10**15, 10**15 + 10**12, 10_000))
    knots = np.sort(generator.random(7))
    clock = (knots, 1e-3 * generator.random(7), 1e-6 * generator.random(7))
    options = {"base": 10**15, "resolution_s": 1e-12, "since_s": 0.1, "ahead_s": 0.7}
    compiled = align(counts, **options, clock=clock)
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    assert np.array_equal(compiled, align(counts, **options, clock=clock))


@given(alice=times, bob=times, low=st.integers(-9, 5), width=st.integers(0, 9))
def test_differences_are_all_pairs_within_limits(alice, bob, low, width):
    place, lead = differences(alice, bob, lowest_s=low, highest_s=low + width)
    expected = sorted(
        (j, b - a) for a in alice for j, b in enumerate(bob) if a + low <= b <= a + low + width
    )
    assert sorted(zip(place.tolist(), lead.tolist(), strict=True)) == expected


# Double clicks ------------------------------------------------------------------------------------


def test_double_click_is_a_random_bit_and_never_discarded():
    # Every 100 ns both detectors of Alice's only setting click with Bob's first one.
    n = 20_000
    base = np.repeat(np.arange(1, n + 1) * 100_000, 2)
    alice = tags(base, np.tile([0, 1], n))
    bob = tags(base[::2])
    found = correlate(
        alice, bob, window_s=WINDOW, clock=known_clock(alice, bob), entropy=seeded_entropy(3)
    )
    assert len(found.record) == found.statistics.alice_double_clicks == n
    assert_binomial(int(found.record.alice.outcome.sum()), n, 0.5, must_detect=0.54)
    assert not found.record.bob.outcome.any()


def test_double_click_over_two_settings_takes_either():
    n = 20_000
    base = np.repeat(np.arange(1, n + 1) * 100_000, 2)
    alice, bob = tags(base, np.tile([0, 3], n)), tags(base[::2])
    found = correlate(
        alice, bob, window_s=WINDOW, clock=known_clock(alice, bob), entropy=seeded_entropy(3)
    )
    assert np.array_equal(found.record.alice.setting, found.record.alice.outcome)
    assert_binomial(int(found.record.alice.setting.sum()), n, 0.5, must_detect=0.54)


def test_accidentals_are_counted_on_both_sides_of_the_peak():
    # Bob has a second tag 20 ns after each coincidence, and a third in every second case before.
    base = np.arange(1, 1001) * 1_000_000
    bob = np.sort(np.concatenate([base, base + 20_000, base[::2] - 20_000]))
    found = correlate(
        tags(base), tags(bob), window_s=WINDOW, clock=ClockTrack(np.zeros(1), np.array([2e-8]))
    )
    gap = (bob[0] - base[0]) * 1e-12
    assert abs(gap) == pytest.approx(2e-8)
    assert found.statistics.coincidences == 1000
    assert found.statistics.displaced == 1500


# Clocks -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offset", "ppm", "drift"),
    [(0.0, 0.0, 0.0), (0.3, 5.0, 0.0), (-0.4, -9.0, 0.01), (1e-7, 0.01, -0.1), (-3e-4, 7.7, 0.2)],
)
def test_clocks_are_found_from_the_tags_alone(offset, ppm, drift):
    clock = Clock(offset, ppm, drift)
    alice, bob = link(clock=clock, duration=0.2)
    found = correlate(alice, bob, window_s=WINDOW, entropy=seeded_entropy(1))
    at_first = bob.times[0] * 1e-12
    true_time = (at_first - offset) / (1 + ppm * 1e-6)
    assert abs(found.statistics.offset_s - (clock.reading_s(true_time) - true_time)) < 1e-10
    assert abs(found.statistics.frequency_error_ppm - (ppm + drift * 0.1)) < 0.01
    # All that the window holds is found: as many as with clocks that agree.
    ideal = link(duration=0.2)
    best = correlate(*ideal, window_s=WINDOW, clock=known_clock(*ideal), entropy=seeded_entropy(1))
    lost = 1 - found.statistics.coincidences / best.statistics.coincidences
    assert abs(lost) < 0.005
    assert found.statistics.lost_intervals == 0


def test_clock_that_wanders_many_windows_is_followed():
    # 1 ppm/s over 1 s: half a microsecond off a straight line, 500 windows.
    tagged = link(clock=Clock(1e-3, 1.0, 1.0), duration=1.0)
    ideal = link(duration=1.0)
    found = correlate(*tagged, window_s=WINDOW, maximum_offset_s=2e-3, entropy=seeded_entropy(1))
    best = correlate(*ideal, window_s=WINDOW, clock=known_clock(*ideal), entropy=seeded_entropy(1))
    assert found.statistics.lost_intervals == 0
    assert abs(found.statistics.coincidences / best.statistics.coincidences - 1) < 0.01


def test_faint_link_with_good_clocks_is_found_in_a_small_range():
    # Some 20 coincidences a second in 2e4 singles: no Fourier bin would show them.
    detector = Detector(0.5, 5000.0, jitter_fwhm_s=500e-12)
    lab = active(detector, link_loss_db=27.0)
    far = active(detector, link_loss_db=27.0, clock=Clock(4e-7, 1e-4))
    tagged = recorded(ContinuousSource(2e7), lab, far, duration=20.0)
    found = correlate(
        *tagged,
        window_s=2e-9,
        maximum_offset_s=1e-6,
        maximum_frequency_error_ppm=1e-3,
        entropy=seeded_entropy(1),
    )
    assert abs(found.statistics.offset_s - 4e-7) < 3e-10
    assert abs(found.statistics.frequency_error_ppm - 1e-4) < 5e-5


def test_tags_without_a_common_source_have_no_peak():
    alice, _ = link(seed=1, rate=2e5, duration=0.1)
    _, bob = link(seed=2, rate=2e5, duration=0.1)
    with pytest.raises(ValueError, match="must have a coincidence peak, but none stands out"):
        correlate(alice, bob, window_s=WINDOW)


def test_offset_beyond_the_search_is_not_found():
    alice, bob = link(clock=Clock(0.2), duration=0.1)
    with pytest.raises(ValueError, match=r"none stands out within 0\.01 s"):
        correlate(alice, bob, window_s=WINDOW, maximum_offset_s=0.01)


@pytest.mark.parametrize(("peak", "mean"), [(30, 5.0), (12, 1.0), (3, 2.5)])
def test_false_peak_bound_is_above_the_exact_poisson_tail(peak, mean):
    from scipy.stats import poisson

    assert false_peak_probability(peak, mean=mean, places=1.0) >= poisson.sf(peak - 1, mean)


def test_clocks_with_other_units_are_compared_in_seconds():
    alice, bob = link(clock=Clock(0.1, 2.0, resolution_s=8.1e-11), duration=0.2)
    found = correlate(alice, bob, window_s=WINDOW, entropy=seeded_entropy(1))
    assert abs(found.statistics.offset_s - 0.1) < 1e-9
    assert len(found.record) > 0.8 * 0.2 * 1e6 * 0.09


def test_twenty_hours_of_tags_keep_their_picoseconds():
    # Two lists 72,000 s long with 200 coincidences, each 10 ps wide of the mark at most.
    alices = np.arange(1, 201) * 360 * 10**12
    bobs = alices + np.random.default_rng(1).integers(-10, 11, 200)
    alice, bob = tags(alices), tags(bobs)
    found = correlate(alice, bob, window_s=25e-12, clock=known_clock(alice, bob))
    assert len(found.record) == 200


# The analytic model -------------------------------------------------------------------------------


def noisy_pairs(error, seed):
    """A device of one setting each whose outcomes differ with a given probability."""
    generator = np.random.default_rng(seed)

    def device(x, y):
        a = generator.integers(0, 2, len(x), np.uint8)
        return a, a ^ (generator.random(len(x)) < error).astype(np.uint8)

    return device


GRID = [(loss, 0.5) for loss in range(0, 80, 10)] + [(loss, 0.3) for loss in range(0, 50, 10)]


@pytest.mark.parametrize(("loss_db", "share"), GRID)
def test_coincidences_and_errors_are_those_of_neumann(loss_db, share):
    # Neumann et al., Phys. Rev. A 104, 022406 (2021).  Exact for Poisson processes except that a
    # tag is used once, which takes a fraction (S_A + S_B) t, below 1e-3 here.  Tails 1e-9 each.
    wanted = 2000 if loss_db <= 40 else 400
    pairs_per_second = 2e5 if loss_db < 20 else 1e6 if loss_db <= 40 else 1e8
    error, jitter, dark = 0.02, 500e-12, 200.0
    eta = [10 ** (-loss_db * part / 10) for part in (share, 1 - share)]
    duration = wanted / (pairs_per_second * eta[0] * eta[1])
    detector = Detector(1.0, dark / 2, jitter_fwhm_s=jitter)
    labs = [active(detector, link_loss_db=loss_db * part) for part in (share, 1 - share)]
    tagged = recorded(
        ContinuousSource(pairs_per_second),
        *labs,
        duration=duration,
        seed=loss_db + 1,
        device=noisy_pairs(error, loss_db),
    )
    found = correlate(
        *tagged, window_s=WINDOW, clock=known_clock(*tagged), entropy=seeded_entropy(1)
    )
    singles = [pairs_per_second * e + dark for e in eta]
    inside = erf(math.sqrt(math.log(2)) * WINDOW / (math.sqrt(2) * jitter))
    true = pairs_per_second * eta[0] * eta[1] * inside
    accidental = singles[0] * singles[1] * WINDOW
    rate = true + accidental
    assert sum(singles) * WINDOW < 1e-3
    for side, single in zip(tagged, singles, strict=True):
        assert_poisson(len(side), single * duration, must_detect=1.4 * single * duration)
    wrong = 1.25 if wanted == 2000 else 1.7
    assert_poisson(len(found.record), rate * duration, must_detect=wrong * rate * duration)
    differ = int((found.record.alice.outcome != found.record.bob.outcome).sum())
    expected = (true * error + accidental / 2) / rate
    assert_binomial(differ, len(found.record), expected, must_detect=min(0.5, 4 * expected + 0.02))
    displaced = 2 * accidental * duration
    if displaced > 50:
        assert_poisson(found.statistics.displaced, displaced, must_detect=2.5 * displaced)


def test_accidentals_of_a_pulsed_source_are_counted_a_pulse_away():
    # Poissonian pulses: coincidences of a pulse with itself mu eta^2 + (mu eta)^2, accidentals
    # (mu eta)^2 a pulse, so the ratio of true ones to these is 1 / mu.
    mu, eta, pulses = 0.05, 0.3, 2_000_000
    lab = active(Detector(eta))
    source = PulsedSource(1e7, mu, PairStatistics.POISSONIAN)
    tagged = recorded(source, lab, lab, duration=pulses / 1e7)
    found = correlate(
        *tagged,
        window_s=WINDOW,
        clock=known_clock(*tagged),
        side_delay_s=1e-7,
        entropy=seeded_entropy(1),
    ).statistics
    assert_poisson(
        found.displaced,
        2 * pulses * (mu * eta) ** 2,
        must_detect=1.4 * 2 * pulses * (mu * eta) ** 2,
    )
    assert abs(found.car - 1 / mu) < 6 * (1 / mu) * math.sqrt(1 / found.displaced)


# The whole ----------------------------------------------------------------------------------------


def test_record_has_the_devices_outcomes_and_the_passive_settings():
    detector = Detector(0.5, dead_time_s=30e-9, jitter_fwhm_s=200e-12)
    lab = passive(*[detector] * 6, probabilities=(0.2, 0.3, 0.5))
    tagged = recorded(ContinuousSource(1e5), lab, lab, duration=1.0, device=equal_outcomes())
    record = correlate(*tagged, window_s=WINDOW, clock=known_clock(*tagged)).record
    # Accidentals: 2.5e9 * 1e-9 a second of 2.5e4, a half of which differ.
    wrong = int((record.alice.outcome != record.bob.outcome).sum())
    assert_poisson(wrong, 1.25, must_detect=40)
    for half in (record.alice, record.bob):
        for setting, p in enumerate((0.2, 0.3, 0.5)):
            count = int((half.setting == setting).sum())
            assert_binomial(count, len(record), p, must_detect=p + 0.04)


def test_threads_pieces_and_compilation_change_nothing(monkeypatch):
    tagged = link(clock=Clock(0.02, 3.0, 0.1), duration=0.1, rate=3e6)
    first = correlate(*tagged, window_s=8e-9, entropy=seeded_entropy(1), threads=1)
    assert first.statistics.alice_double_clicks > 50
    again = correlate(*tagged, window_s=8e-9, entropy=seeded_entropy(1), threads=2)
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    plain = correlate(*tagged, window_s=8e-9, entropy=seeded_entropy(1), threads=2)
    for other in (again, plain):
        for party in ("alice", "bob"):
            one, two = getattr(first.record, party), getattr(other.record, party)
            assert np.array_equal(one.setting, two.setting)
            assert np.array_equal(one.outcome, two.outcome)
        assert other.statistics == first.statistics
    # Smaller pieces draw other random bits for double clicks, and find the same coincidences.
    monkeypatch.setattr(tag_correlation, "PIECE_TAGS", 3000)
    small = correlate(*tagged, window_s=8e-9, entropy=seeded_entropy(1)).statistics
    assert small.coincidences == first.statistics.coincidences
    assert small.alice_singles == first.statistics.alice_singles
    assert small.bob_singles == first.statistics.bob_singles
    assert small.alice_double_clicks == first.statistics.alice_double_clicks


def test_every_tag_is_counted_once(monkeypatch):
    monkeypatch.setattr(tag_correlation, "PIECE_TAGS", 1000)
    alice, bob = link(duration=0.05)
    found = correlate(alice, bob, window_s=WINDOW, clock=known_clock(alice, bob)).statistics
    assert sum(found.alice_singles) == len(alice)
    assert sum(found.bob_singles) == len(bob)


# Bad input ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"window_s": 0.0}, "`window_s` must be finite and positive"),
        ({"window_s": -1e-9}, "`window_s` must be finite and positive"),
        ({"window_s": math.nan}, "`window_s` must be finite and positive"),
        ({"window_s": 40e-9, "dead_time_s": 30e-9}, "must be at most the dead time"),
        ({"side_delay_s": 1e-10}, "`side_delay_s` must be at least the window"),
        ({"maximum_offset_s": -1.0}, "`maximum_offset_s` must be finite and not negative"),
        ({"maximum_frequency_error_ppm": math.nan}, "must be finite and not negative"),
        ({"tracking_step_s": 0.0}, "`tracking_step_s` must be finite and positive"),
    ],
)
def test_numbers_outside_physics_are_refused(options, sentence):
    some = tags([1, 2, 3])
    with pytest.raises(ValueError, match=sentence):
        correlate(some, some, **({"window_s": WINDOW} | options))


def test_empty_list_is_refused():
    with pytest.raises(ValueError, match="at least one tag, but is empty"):
        correlate(tags([]), tags([1]), window_s=WINDOW)


def test_tags_denser_than_the_window_are_refused(monkeypatch):
    monkeypatch.setattr(tag_correlation, "PIECE_TAGS", 1000)
    dense = tags(np.arange(5000) * 100)
    with pytest.raises(ValueError, match="must be shorter than some gaps between tags"):
        correlate(dense, dense, window_s=1e-8, clock=known_clock(dense, dense))


class Unsorted:
    """A reader whose tags descend, as a file that was changed under way."""

    resolution_s = 1e-12

    def __init__(self, times):
        self.times = np.array(times, np.int64)

    def __len__(self):
        return len(self.times)

    def read(self, start, stop):
        part = self.times[start:stop]
        return part, np.zeros(len(part), np.uint8)


@pytest.mark.parametrize("side", [0, 1])
def test_reader_that_is_not_sorted_is_refused(side):
    good, bad = tags([1, 50_000, 90_000]), Unsorted([1, 50_000, 40_000])
    pair = (bad, good) if side == 0 else (good, bad)
    with pytest.raises(ValueError, match="must be sorted, but"):
        correlate(*pair, window_s=WINDOW, clock=ClockTrack(np.zeros(1), np.zeros(1)))


@pytest.mark.parametrize(("knots", "leads"), [([], []), ([0.0, 0.0], [1.0, 2.0]), ([0.0], [])])
def test_track_without_order_is_refused(knots, leads):
    with pytest.raises(ValueError, match="must"):
        ClockTrack(np.array(knots), np.array(leads))


def test_search_that_would_meet_too_many_pairs_is_refused(monkeypatch):
    monkeypatch.setattr(clock_search, "_MAXIMUM_PAIRS", 10)
    with pytest.raises(ValueError, match="must meet at most 10 pairs"):
        differences(np.zeros(5), np.zeros(5), lowest_s=0.0, highest_s=0.0)


def test_pieces_are_cut_where_no_coincidence_can_be(monkeypatch):
    monkeypatch.setattr(tag_correlation, "PIECE_TAGS", 500)
    alice, bob = link(duration=0.01)
    clock = known_clock(alice, bob)
    task = tag_correlation.Task(side_of(alice), side_of(bob), clock, WINDOW, 2e-8, bytes(32))
    for one, two in pairwise(tag_correlation.pieces(task)):
        assert two.alice[0][0] - one.alice[0][-1] > 2000
