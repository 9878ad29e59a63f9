"""Delays of single detectors: put into tags by hand, and found again."""

import numpy as np
import pytest

from e91.model.messages import Party
from e91.optics.tags.correlation import correlate, known_clock
from e91.optics.tags.detector_delays import find_detector_delays, measure_delays
from e91.optics.tags.time_tags import TimeTags

WINDOW_S = 1e-9
JITTER_PS = 150
ALICE_PS = (0, 1700, -900, 400, 0, -2600)
BOB_PS = (0, 0, 5200, -3100, 800, -100)
OFFSET_PS = 1_234_567


def tags_with(alice_ps, bob_ps, *, pairs=60_000, orthogonal=(), spacing_ps=10**6, seed=1):
    """Return two lists of tags in picoseconds: random detectors, each late by its delay.

    Args:
        alice_ps: By detector.
        bob_ps: By detector.
        pairs: How many pairs of photons.
        orthogonal: Pairs of detectors that never click together.
        spacing_ps: Mean time between two pairs.
        seed: Of everything.
    """
    generator = np.random.default_rng(seed)
    a = generator.integers(0, len(alice_ps), pairs)
    b = generator.integers(0, len(bob_ps), pairs)
    together = np.ones(pairs, bool)
    for x, y in orthogonal:
        together &= ~((a == x) & (b == y))
    born = np.cumsum(generator.integers(1, 2 * spacing_ps, pairs))[together]
    a, b = a[together], b[together]
    return tuple(
        side(born + shift + generator.normal(0, JITTER_PS, len(born)), detector, late)
        for shift, detector, late in ((0, a, alice_ps), (OFFSET_PS, b, bob_ps))
    )


def side(times, detectors, late):
    times = np.rint(times).astype(np.int64) + np.array(late)[detectors]
    order = np.lexsort((detectors, times))
    times, detectors = times[order], detectors[order].astype(np.uint8)
    keep = np.append(True, (np.diff(times) != 0) | (np.diff(detectors.astype(int)) != 0))
    return TimeTags(times[keep], detectors[keep])


def centred(late):
    return np.array(late) - np.median(late)


def found_ps(delays, party, detectors):
    return 1e12 * np.array([delays.seconds[party, detector] for detector in range(detectors)])


def assert_delays(delays, *, sigmas=6.5, pairs_of_detector=10_000):
    # The mean of 10,000 differences of sqrt(2) jitters each; 24 of them within 6.5 standard
    # deviations but for 2e-9.  One bin of the search, 500 ps, would be seen.
    margin = 2 * sigmas * JITTER_PS * np.sqrt(2 / pairs_of_detector)
    assert margin < 50
    for party, late in ((Party.ALICE, ALICE_PS), (Party.BOB, BOB_PS)):
        assert np.abs(found_ps(delays, party, len(late)) - centred(late)).max() < margin


def test_delays_are_found():
    tags = tags_with(ALICE_PS, BOB_PS)
    delays = find_detector_delays(*tags, window_s=WINDOW_S)
    assert delays.apart == ()
    assert delays.residual_s < 50e-12
    assert_delays(delays)


def test_orthogonal_detectors_need_no_peak():
    pairs = [(0, 1), (1, 0), (2, 3), (3, 2), (4, 5), (5, 4)]
    tags = tags_with(ALICE_PS, BOB_PS, orthogonal=pairs)
    assert_delays(find_detector_delays(*tags, window_s=WINDOW_S))


def test_delays_of_tens_of_nanoseconds_are_found():
    tags = tags_with((0, 0, 0, 60_000), (0, 0, 0, 0))
    delays = find_detector_delays(*tags, window_s=WINDOW_S, maximum_offset_s=1e-3)
    assert delays.seconds[Party.ALICE, 3] == pytest.approx(60e-9, abs=50e-12)


def test_two_groups_without_a_common_peak_are_refused():
    # Key basis without errors: H with H and V with V, so that the delay between H and V is free.
    tags = tags_with((0, 1500), (0, 800), orthogonal=[(0, 1), (1, 0)])
    with pytest.raises(ValueError, match=r"must share a coincidence peak .* but those of Alice 1"):
        find_detector_delays(*tags, window_s=WINDOW_S)


def test_detector_of_dark_counts_is_apart():
    alice, bob = tags_with((0, 0), (0, 0))
    generator = np.random.default_rng(2)
    dark = generator.integers(bob.times[0], bob.times[-1], 2000)
    times = np.concatenate([bob.times, dark])
    order = np.argsort(times, kind="stable")
    channels = np.concatenate([bob.channels, np.full(2000, 2, np.uint8)])
    noisy = TimeTags(times[order], channels[order])
    with pytest.raises(ValueError, match=r"but those of Bob 2 have none"):
        find_detector_delays(alice, noisy, window_s=WINDOW_S, maximum_offset_s=1e-3)


def test_delays_with_a_known_clock_are_those_that_a_search_finds():
    alice, bob = tags_with(ALICE_PS, BOB_PS)
    clock = known_clock(alice, bob, offset_s=OFFSET_PS * 1e-12)
    assert_delays(measure_delays(alice, bob, clock=clock, window_s=WINDOW_S))


def test_coincidences_come_back_when_delays_are_taken_away():
    alice, bob = tags_with(ALICE_PS, BOB_PS)
    right = tags_with((0,) * 6, (0,) * 6)
    delays = find_detector_delays(alice, bob, window_s=WINDOW_S, maximum_offset_s=1e-3)
    corrected = []
    for tags, party in ((alice, Party.ALICE), (bob, Party.BOB)):
        late = np.array([round(1e12 * delays.seconds[party, k]) for k in range(6)])
        corrected.append(
            side(tags.times - late[tags.channels], tags.channels.astype(int), (0,) * 6)
        )
    wanted, late, mended = (
        correlate(
            *tags, window_s=WINDOW_S, clock=known_clock(*tags, offset_s=OFFSET_PS * 1e-12)
        ).statistics.coincidences
        for tags in (right, (alice, bob), corrected)
    )
    assert late < 0.5 * wanted
    assert abs(mended - wanted) < 0.002 * wanted


def test_without_pairs_nothing_is_known():
    one = TimeTags(np.array([0, 10**9]), np.zeros(2, np.uint8))
    clock = known_clock(one, one)
    delays = measure_delays(one, one, clock=clock, window_s=WINDOW_S)
    assert (delays.seconds, len(delays.apart)) == ({}, 2)
    with pytest.raises(ValueError, match="must share a coincidence peak"):
        delays.check(window_s=WINDOW_S)
