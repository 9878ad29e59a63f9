"""Rates against clicks thrown one by one: photons, noise, dead time, after-pulses, jitter.

The simulation knows none of the formulas: it throws pairs, loses photons, lets detectors die and
counts what is left.  Photons that nobody finds are not thrown: a Poisson process splits.
"""

import heapq

import numpy as np
import pytest
from scipy.stats import poisson

from e91.optics.arms import Arm
from e91.optics.detectors import Detector, Receiver
from e91.optics.rates import both_live_gain, continuous_rates
from e91.optics.slots import pulsed_slots
from e91.optics.sources import ContinuousSource, PairStatistics, PulsedSource

PAIRS = np.array([[0.48, 0.03], [0.02, 0.47]])


def assert_poisson(count: int, mean: float, *, must_detect: float, alpha: float = 1e-9) -> None:
    """Check that a count is believable for a mean, and that a wrong mean would be noticed."""
    low, high = poisson.ppf(alpha / 2, mean), poisson.isf(alpha / 2, mean)
    missed = poisson.cdf(high, must_detect) - poisson.cdf(low - 1, must_detect)
    assert missed < 1e-3, f"a mean of {mean} is not distinguished from {must_detect}"
    assert low <= count <= high, f"{count} is outside [{low}, {high}], expected {mean}"


def recorded(times: np.ndarray, detector: Detector, generator: np.random.Generator) -> np.ndarray:
    """The clicks of one detector, in order, from the times at which it would click if live."""
    spread = detector.jitter_fwhm_s / np.sqrt(8 * np.log(2))
    if detector.dead_time_s == detector.afterpulse_probability == 0:
        return np.sort(times + generator.normal(0, spread, len(times)))
    waiting, clicks, live_again = sorted(times.tolist()), [], -np.inf
    extra: list[float] = []
    place = 0
    sample = iter(generator.random(4 * len(waiting) + 100).tolist())
    while place < len(waiting) or extra:
        if extra and (place == len(waiting) or extra[0] <= waiting[place]):
            time = heapq.heappop(extra)
        else:
            time, place = waiting[place], place + 1
        if time < live_again:
            continue
        clicks.append(time)
        live_again = time + detector.dead_time_s
        if next(sample) < detector.afterpulse_probability:
            heapq.heappush(extra, live_again)
    return np.sort(np.array(clicks) + generator.normal(0, spread, len(clicks)))


def thrown(pairs_per_second, alice: Arm, bob: Arm, *, seconds: float, window_s: float, seed: int):
    """Coincidences [a, b] and singles of every detector, counted."""
    generator = np.random.default_rng(np.random.SeedSequence(seed))
    (eta_a,), (eta_b,) = alice.efficiencies, bob.efficiencies
    arrivals: list[list[np.ndarray]] = [[], [], [], []]

    def throw(rate: float, *detectors: int) -> None:
        times = generator.random(generator.poisson(rate * seconds)) * seconds
        for detector in detectors:
            arrivals[detector].append(times)

    for a in (0, 1):
        for b in (0, 1):
            rate = pairs_per_second * PAIRS[a, b]
            throw(rate * eta_a[a] * eta_b[b], a, 2 + b)
            throw(rate * eta_a[a] * (1 - eta_b[b]), a)
            throw(rate * (1 - eta_a[a]) * eta_b[b], 2 + b)
    for place, noise in enumerate([*alice.noise_per_second[0], *bob.noise_per_second[0]]):
        throw(noise, place)
    detectors = (*alice.receiver.detectors, *bob.receiver.detectors)
    clicks = [
        recorded(np.concatenate(times), detector, generator)
        for times, detector in zip(arrivals, detectors, strict=True)
    ]
    counts = np.empty((2, 2), int)
    for a, b in np.ndindex(2, 2):
        near = (clicks[a] - window_s / 2, clicks[a] + window_s / 2)
        ends = [np.searchsorted(clicks[2 + b], edge) for edge in near]
        counts[a, b] = int((ends[1] - ends[0]).sum())
    return counts, [len(part) for part in clicks]


def arm(loss_db: float, *, noise=(0.0, 0.0), dead=(0.0, 0.0), more=(0.0, 0.0), jitter=0.0) -> Arm:
    detectors = tuple(
        Detector(efficiency, noise[bit], dead[bit], more[bit], jitter)
        for bit, efficiency in enumerate((0.9, 0.7))
    )
    return Arm(loss_db, Receiver(detectors))


@pytest.mark.parametrize(
    ("loss_db", "pairs_per_second", "seconds"),
    [(0, 1e4, 1), (20, 1e5, 2), (40, 1e6, 10), (60, 5e6, 150), (70, 2e7, 400)],
)
def test_rates_at_any_loss_are_what_is_counted(loss_db, pairs_per_second, seconds):
    window = 4e-9
    arms = [arm(loss_db / 2, noise=(300.0, 900.0), jitter=1e-9) for _ in "ab"]
    counts, _ = thrown(pairs_per_second, *arms, seconds=seconds, window_s=window, seed=loss_db)
    true, accidental = continuous_rates(
        ContinuousSource(pairs_per_second), *arms, pair_table=PAIRS[None, None], window_s=window
    )
    expected = (true + accidental)[0, 0] * seconds
    assert_poisson(int(counts.sum()), expected.sum(), must_detect=1.5 * expected.sum())
    equal, wanted = int(np.trace(counts)), float(np.trace(expected))
    assert_poisson(equal, wanted, must_detect=1.5 * wanted)


def test_accidentals_are_what_is_counted_where_they_are_most():
    window, seconds = 1e-7, 5.0
    arms = [arm(20.0, noise=(2e4, 3e4)) for _ in "ab"]
    counts, _ = thrown(1e5, *arms, seconds=seconds, window_s=window, seed=5)
    true, accidental = continuous_rates(
        ContinuousSource(1e5), *arms, pair_table=PAIRS[None, None], window_s=window
    )
    expected = (true + accidental)[0, 0] * seconds
    assert accidental.sum() > 4 * true.sum()
    assert_poisson(int(counts.sum()), expected.sum(), must_detect=1.35 * expected.sum())


@pytest.mark.parametrize("more", [(0.0, 0.0), (0.05, 0.2)])
@pytest.mark.parametrize("dead", [(2e-6, 2e-6), (5e-6, 1e-6)])
def test_dead_detectors_are_dead_together(dead, more):
    pairs, seconds, window = 4e5, 0.3, 1e-9
    alice = arm(0.2, noise=(1e3, 1e3), dead=dead, more=more)
    bob = arm(1.0, noise=(1e3, 1e3), dead=(2e-6, 4e-6), more=more)
    counts, singles = thrown(pairs, alice, bob, seconds=seconds, window_s=window, seed=17)
    true, accidental = continuous_rates(
        ContinuousSource(pairs), alice, bob, pair_table=PAIRS[None, None], window_s=window
    )
    expected = (true + accidental)[0, 0] * seconds
    # The formula is worth one per cent here; a product of live fractions misses by more than ten.
    for cell in ((0, 0), (1, 1)):
        slack = 6.2 * np.sqrt(expected[cell]) + 0.01 * expected[cell]
        assert slack < 0.1 * expected[cell]
        assert abs(counts[cell] - expected[cell]) < slack
    assert sum(singles) > 5e4


def test_gain_of_being_live_together_is_exact_for_one_and_the_same_clicks():
    for busy in (0.01, 0.5, 3.0):
        live = 1 / (1 + busy)
        gain = both_live_gain(live, live, joint_per_second=busy, dead_time_s=1.0)
        assert live * live * gain == pytest.approx(live)
    assert both_live_gain(0.5, 0.8, joint_per_second=0.0, dead_time_s=1.0) == 1
    assert both_live_gain(0.5, 0.8, joint_per_second=1e9, dead_time_s=1.0) == 1 / 0.8


def test_dead_pulses_are_what_is_counted():
    # The same detectors in pulses: pairs come at the ticks of a clock.
    rate, mean, pulses, dead_s = 1e7, 0.02, 1_000_000, 1e-6
    alice, bob = arm(0.2, dead=(dead_s, dead_s)), arm(1.0, dead=(dead_s, dead_s))
    generator = np.random.default_rng(np.random.SeedSequence(23))
    cells = generator.poisson(mean * PAIRS, (pulses, 2, 2))
    (eta_a,), (eta_b,) = alice.efficiencies, bob.efficiencies
    fired = np.zeros((4, pulses), bool)
    for a, b in np.ndindex(2, 2):
        for pulse in np.flatnonzero(cells[:, a, b]):
            for _ in range(cells[pulse, a, b]):
                fired[a, pulse] |= generator.random() < eta_a[a]
                fired[2 + b, pulse] |= generator.random() < eta_b[b]
    seen = np.zeros((4, pulses), bool)
    for detector in range(4):
        free = 0
        for pulse in np.flatnonzero(fired[detector]):
            if pulse >= free:
                seen[detector, pulse] = True
                free = pulse + 10  # 1 microsecond: the tenth pulse is seen again
    slot = pulsed_slots(
        PulsedSource(rate, mean, PairStatistics.POISSONIAN),
        alice,
        bob,
        pair_table=PAIRS[None, None],
        window_s=1 / rate,
    )[0, 0]
    expected = pulses * slot[:2, :2].sum()
    counted = int(np.count_nonzero((seen[0] | seen[1]) & (seen[2] | seen[3])))
    assert abs(counted - expected) < 6.2 * np.sqrt(expected) + 0.005 * expected
    never_dead = pulses * mean * float((PAIRS * np.outer(eta_a, eta_b)).sum())
    assert expected < 0.93 * never_dead  # there is something to see
