"""A quantum dot's pulses as time tags: numbers, delays, rates, errors, autocorrelation.

The slots of the formulas are cut out of the tags by their definition here, without the search for
coincidences, so that both routes share the receivers and nothing else.
"""

import math

import numpy as np
import pytest
from statistical import assert_binomial
from test_time_tags import active, assert_poisson, recorded

from e91.devices.exact import exact_device
from e91.model.settings import Settings
from e91.optics.arms import Arm
from e91.optics.clicks import Hits, few_pairs_slot
from e91.optics.coincidences import coincidences
from e91.optics.detectors import BasisChoice, Detector, Receiver
from e91.optics.slots import CascadeGates, delayed_before, pulsed_slots
from e91.optics.sources import (
    HeraldedMemories,
    QuantumDot,
    quantum_dot_of,
)
from e91.optics.tags import simulation as tag_simulation
from e91.optics.tags.correlation import correlate, known_clock
from e91.optics.tags.emission import emission_times, emitted
from e91.optics.tags.laboratories import Clock, Laboratory
from e91.optics.tags.simulation import record_time_tags
from e91.optics.tags.time_tags import TimeTags

ALONG_Z = Settings("along Z", (0.0,), (0.0,))
VISIBILITY = 0.96
PAIRS = np.array([[1 + VISIBILITY, 1 - VISIBILITY], [1 - VISIBILITY, 1 + VISIBILITY]]) / 4


def laboratory_of(arm: Arm) -> Laboratory:
    return Laboratory(arm.receiver, (1.0,), link_loss_db=arm.loss_db, setting_period_s=1.0)


def tags_of(source, arms, *, duration_s: float, seed: int) -> tuple[TimeTags, TimeTags]:
    device = exact_device(settings=ALONG_Z, visibility=VISIBILITY, seed=seed)
    sides = map(laboratory_of, arms)
    return record_time_tags(source, *sides, device=device, duration_s=duration_s, seed=seed)


def pulses_of(tags: TimeTags, rate_hz: float, *, delay_s: float = 0.0):
    """The pulse nearest to each tag, light that is late by ``delay_s`` taken into account."""
    seconds = tags.times * tags.resolution_s - delay_s
    return np.rint(seconds * rate_hz).astype(np.int64)


def assert_tags_are_as_counted(tags, source, arms, duration_s, *, delays_s=(0.0, 0.0)):
    """Hold the rates, singles and errors in tags of a pulsed source against the formulas."""
    rate_hz = source.repetition_rate_hz
    counted = coincidences(source, *arms, bit_error=(1 - VISIBILITY) / 2)
    found = correlate(*tags, window_s=0.96 / rate_hz, clock=known_clock(*tags)).record
    expected = counted.per_second * duration_s
    assert_poisson(len(found), expected, must_detect=expected + 13 * expected**0.5)
    seen = (counted.singles_alice_per_second, counted.singles_bob_per_second)
    for side, rate, delay_s in zip(tags, seen, delays_s, strict=True):
        alone = rate * duration_s
        slots = len(np.unique(pulses_of(side, rate_hz, delay_s=delay_s)))
        assert_poisson(slots, alone, must_detect=alone + 10 * alone**0.5)
    wrong = int(np.count_nonzero(found.alice.outcome != found.bob.outcome))
    error, spread = counted.error_rate, (counted.error_rate / len(found)) ** 0.5
    assert_binomial(wrong, len(found), error, must_detect=error + 18 * spread)


def arm(loss_db: float, *, noise: float, dead_time_s: float = 0.0, jitter: float = 4e-11) -> Arm:
    detectors = (
        Detector(0.9, noise, dead_time_s=dead_time_s, jitter_fwhm_s=jitter),
        Detector(0.6, 2 * noise, dead_time_s=dead_time_s, jitter_fwhm_s=2 * jitter),
    )
    return Arm(loss_db, Receiver(detectors, readout_error=0.01))


# Pulses -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("surviving", [1.0, 0.3, 1e-2])
def test_surviving_pairs_of_a_dot_have_the_thinned_distribution(surviving):
    dot, pulses = QuantumDot(1e6, 0.8, 0.2), 400_000
    times = emission_times(
        dot, surviving, begin_s=0.0, end_s=pulses / 1e6, generator=np.random.default_rng(3)
    )
    numbers = np.bincount(np.rint(times * 1e6).astype(int), minlength=pulses)
    one = 0.6 * surviving + 0.2 * 2 * surviving * (1 - surviving)
    two = 0.2 * surviving**2
    assert len(numbers) == pulses
    assert numbers.max() <= 2
    # Wrong would be: two pairs that survive as one.
    joined = 0.6 * surviving + 0.2 * surviving
    assert_binomial(int((numbers == 1).sum()), pulses, one, must_detect=joined + 0.01 * surviving
                    if surviving == 1 else joined)  # fmt: skip
    assert_binomial(int((numbers == 2).sum()), pulses, two, must_detect=3 * two + 1e-4)


def test_double_pairs_are_spread_over_the_whole_measurement():
    # Were the chosen pulses in order, the doubled ones must not be the first of them.
    dot, pulses = QuantumDot(1e6, 0.5, 0.25), 100_000
    times = emission_times(
        dot, 1.0, begin_s=0.0, end_s=pulses / 1e6, generator=np.random.default_rng(4)
    )
    numbers = np.bincount(np.rint(times * 1e6).astype(int), minlength=pulses)
    for half in (numbers[: pulses // 2], numbers[pulses // 2 :]):
        assert_binomial(int((half == 2).sum()), pulses // 2, 0.25, must_detect=0.27)


def test_photons_of_a_cascade_are_late_by_one_and_two_exponential_times():
    first, second = 2e-10, 3e-10
    dot = QuantumDot(1e8, 1.0, biexciton_lifetime_s=first, exciton_lifetime_s=second)
    side = active(Detector(1.0))
    pairs = emitted(dot, side, side, begin_s=0.0, end_s=2e-3, generator=np.random.default_rng(1))
    n = len(pairs.alice_s)
    assert n == 200_000
    assert pairs.alice_has.all()
    assert pairs.bob_has.all()
    pulse = np.arange(n) * 1e-8
    early, after = pairs.alice_s - pulse, pairs.bob_s - pairs.alice_s
    for times, mean in ((early, first), (after, second)):
        for lifetimes in (0.2, 1.0, 3.0):
            late = int((times > lifetimes * mean).sum())
            assert_binomial(late, n, math.exp(-lifetimes), must_detect=math.exp(-1.1 * lifetimes))
    # The two delays know nothing of each other.
    both = int(((early > first) & (after > second)).sum())
    assert_binomial(both, n, math.exp(-2), must_detect=1.1 * math.exp(-2))
    # Bob's from the pulse: the sum of two exponential times.
    late = (second * math.exp(-1) - first * math.exp(-second / first)) / (second - first)
    assert_binomial(int((early + after > second).sum()), n, late, must_detect=1.03 * late)


def test_photons_that_are_late_are_carried_into_the_next_interval(monkeypatch):
    dot = QuantumDot(2e7, 0.9, biexciton_lifetime_s=1e-8, exciton_lifetime_s=3e-8)
    whole = recorded(dot, active(), active(), duration=1e-3)
    monkeypatch.setattr(tag_simulation, "TAGS_AT_ONCE", 200)
    parts = recorded(dot, active(), active(), duration=1e-3)
    for side in (*whole, *parts):
        assert_binomial(len(side), 20_000, 0.9, must_detect=0.87)
        assert np.all(np.diff(side.times) >= 0)


def test_extraction_loses_each_photon_by_itself():
    dot = QuantumDot(1e6, 1.0, extraction_efficiency=0.4)
    alice, bob = recorded(dot, active(), active(Detector(0.5)), duration=0.1)
    assert_binomial(len(alice), 100_000, 0.4, must_detect=0.42)
    assert_binomial(len(bob), 100_000, 0.2, must_detect=0.22)
    both = len(np.intersect1d(alice.times, bob.times))
    assert_binomial(both, 100_000, 0.4 * 0.2, must_detect=0.4 * 0.5)


# Rates and errors ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss_db", "rate_hz", "duration_s", "dead_time_s"),
    [
        (0.0, 1e6, 0.05, 0.0),
        (10.0, 1e7, 0.05, 0.0),
        (10.0, 1e7, 0.05, 3.3e-7),
        (20.0, 8e7, 0.1, 3e-8),
        (30.0, 8e7, 0.3, 3e-8),
        (50.0, 3.2e8, 1.5, 0.0),
        (70.0, 1e9, 3.0, 0.0),
    ],
)
def test_rates_and_errors_of_a_dot_are_those_of_a_measurement(
    loss_db, rate_hz, duration_s, dead_time_s
):
    # A window of most of a period: what is lost in a gate's edges is tested apart.
    dot = quantum_dot_of(
        rate_hz,
        0.8,
        autocorrelation=0.05,
        extraction_efficiency=0.7,
        biexciton_lifetime_s=2e-11,
        exciton_lifetime_s=3e-11,
    )
    arms = [arm(loss_db / 2, noise=200.0, dead_time_s=dead_time_s, jitter=2e-11) for _ in "ab"]
    tags = tags_of(dot, arms, duration_s=duration_s, seed=int(loss_db) + 1)
    assert_tags_are_as_counted(tags, dot, arms, duration_s, delays_s=dot.mean_delays_s)


@pytest.mark.parametrize("asked", [0.01, 0.2])
def test_accidentals_of_a_dot_are_fewer_than_of_different_pulses_by_its_autocorrelation(asked):
    # What a window a period away counts is the product of the singles of a pulse.
    dot = quantum_dot_of(1e8, 0.8, autocorrelation=asked)
    far = Arm(30.0, Receiver((Detector(1.0),) * 2))
    counted = coincidences(dot, far, far)
    apart = counted.singles_alice_per_second * counted.singles_bob_per_second / 1e8
    assert counted.accidental_per_second / apart == pytest.approx(asked, rel=3e-3)


# Gates --------------------------------------------------------------------------------------------


def outcomes_in_gates(tags, *, rate_hz: float, delay_s: float, window_s: float, pulses: int):
    """What a party's two detectors saw in every pulse's gate, by definition: shape (pulses, 2)."""
    seconds = tags.times * tags.resolution_s - delay_s
    pulse = np.rint(seconds * rate_hz).astype(np.int64)
    inside = (np.abs(seconds - pulse / rate_hz) <= window_s / 2) & (pulse >= 0) & (pulse < pulses)
    seen = np.zeros((pulses, 2), bool)
    seen[pulse[inside], tags.channels[inside]] = True
    return seen


@pytest.mark.parametrize("window_s", [1e-9, 4e-10, 1.5e-10])
@pytest.mark.parametrize("lifetimes_s", [(1.5e-10, 2.5e-10), (3e-10, 5e-10), (0.0, 4e-10)])
def test_gates_hold_what_the_formulas_say_late_light_of_other_pulses_included(
    lifetimes_s, window_s
):
    # A pulse a nanosecond: a tenth of the light comes in the next gate.  Slots eight pulses apart
    # have no light in common, so their counts are binomial.
    pulses, apart = 480_000, 8
    dot = QuantumDot(1e9, 0.6, 0.2, 0.8, *lifetimes_s)
    detectors = (Detector(0.9, jitter_fwhm_s=5e-11), Detector(0.6, jitter_fwhm_s=1.2e-10))
    party = Arm(0.0, Receiver(detectors))
    table = pulsed_slots(dot, party, party, pair_table=PAIRS[None, None], window_s=window_s)[0, 0]
    laboratory = Laboratory(
        party.receiver, (1.0,), setting_period_s=1.0, clock=Clock(resolution_s=1e-14)
    )
    device = exact_device(settings=ALONG_Z, visibility=VISIBILITY, seed=2)
    tags = record_time_tags(
        dot, laboratory, laboratory, device=device, duration_s=pulses * 1e-9, seed=6
    )
    alice, bob = (
        outcomes_in_gates(side, rate_hz=1e9, delay_s=delay, window_s=window_s, pulses=pulses)[
            apart::apart
        ]
        for side, delay in zip(tags, dot.mean_delays_s, strict=True)
    )
    chance = np.random.default_rng(7)
    a, b = (
        np.where(seen.all(axis=1), chance.integers(0, 2, len(seen)), np.argmax(seen, axis=1))
        + 2 * ~seen.any(axis=1)
        for seen in (alice, bob)
    )
    for x in range(3):
        for y in range(3):
            count, p = int(((a == x) & (b == y)).sum()), float(table[x, y])
            assert_binomial(count, len(a), p, must_detect=p + 13 * (p / len(a)) ** 0.5)


@pytest.mark.parametrize("lifetime_s", [0.0, 1e-10, 3e-10])
@pytest.mark.parametrize("sigma_s", [0.0, 2e-11, 5e-10])
def test_delays_are_distributed_as_thrown(lifetime_s, sigma_s):
    generator, n = np.random.default_rng(1), 200_000
    thrown = lifetime_s * generator.standard_exponential(n)
    thrown = thrown + sigma_s * generator.standard_normal(n)
    for time in (-3e-10, -1e-11, 1e-11, 1e-10, 4e-10, 1e-9):
        p = float(delayed_before(time, lifetime_s=lifetime_s, sigma_s=sigma_s))
        if 1e-4 < p < 1 - 1e-4:
            wrong = p + (11 if p < 0.5 else -11) * (p * (1 - p) / n) ** 0.5
            assert_binomial(int((thrown < time).sum()), n, p, must_detect=wrong)
        else:
            assert abs((thrown < time).mean() - p) < 1e-3


def test_delay_far_below_the_jitter_keeps_its_digits():
    # exp(s^2 / 2 l^2) overflows alone; the answer is the Gaussian's.
    found = delayed_before(0.0, lifetime_s=1e-13, sigma_s=1e-9)
    assert float(found) == pytest.approx(0.5, abs=1e-4)


def test_all_gates_together_hold_all_light():
    gates = CascadeGates(3e-10, 6e-10, window_s=1e-9, period_s=1e-9)
    numbers = range(-1, gates.last_gate + 1)
    assert sum(gates.alice(gate, sigma_s=5e-11) for gate in numbers) == pytest.approx(1, abs=1e-12)
    assert sum(gates.bob(gate, sigma_s=5e-11) for gate in numbers) == pytest.approx(1, abs=1e-12)


def test_dead_time_knows_of_the_late_light_in_a_gate():
    # Gates without a gap hold all light sooner or later: a detector clicks as often as without
    # lifetimes, and is dead as often; to first order in its efficiency.
    detector = Detector(1.0, dead_time_s=99.5e-9)
    party = Arm(25.0, Receiver((detector, detector)))
    singles = [
        coincidences(QuantumDot(1e9, 0.8, 0.0, 1.0, *lifetimes), party, party)
        for lifetimes in ((0.0, 0.0), (3e-10, 5e-10))
    ]
    for side in ("singles_alice_per_second", "singles_bob_per_second"):
        prompt, late = (getattr(counted, side) for counted in singles)
        assert late == pytest.approx(prompt, rel=1e-3)


@pytest.mark.parametrize("pair_probability", [0.1, 0.7, 1.0])
def test_two_pulses_in_one_gate_are_a_pulse_with_both_numbers_of_pairs(pair_probability):
    # (1 - p + p s)^2 = (1 - p)^2 + 2 p (1 - p) s + p^2 s^2.
    p = pair_probability
    hits = Hits(PAIRS, (0.9, 0.6), (0.5, 0.8), (0.01, 0.02), (0.0, 0.03))
    joined = few_pairs_slot(hits, one=2 * p * (1 - p), two=p**2)
    apart = few_pairs_slot(hits, one=p, two=0.0, late=[hits])
    np.testing.assert_allclose(apart, joined, rtol=1e-12, atol=1e-15)


def test_dot_without_lifetimes_is_as_before_and_with_short_ones_nearly():
    party = arm(3.0, noise=100.0)
    plain = coincidences(QuantumDot(1e8, 0.9, 0.01), party, party, window_s=1e-9)
    short = coincidences(QuantumDot(1e8, 0.9, 0.01, 1.0, 1e-15, 1e-15), party, party, window_s=1e-9)
    assert short.per_second == pytest.approx(plain.per_second, rel=1e-9)
    assert short.error_rate == pytest.approx(plain.error_rate, rel=1e-9)


# Memories -----------------------------------------------------------------------------------------


def test_every_herald_of_memories_is_a_tag_at_both_sides():
    memories = HeraldedMemories(1e6, 0.02)
    alice, bob = recorded(memories, active(), active(), duration=1.0)
    assert np.array_equal(alice.times, bob.times)
    assert np.array_equal(alice.channels, bob.channels)
    assert_binomial(len(alice), 1_000_000, 0.02, must_detect=0.022)
    found = correlate(alice, bob, window_s=5e-7, clock=known_clock(alice, bob))
    assert len(found.record) == len(alice)


LOSSLESS = Detector(1.0)


@pytest.mark.parametrize(
    "laboratory",
    [
        active(link_loss_db=0.1),
        active(Detector(0.99)),
        active(Detector(1.0, 1.0)),
        active(Detector(1.0, dead_time_s=1e-9)),
        active(Detector(1.0, afterpulse_probability=0.01)),
        active(background_photons_at_receiver_per_second=1.0),
        Laboratory(Receiver((LOSSLESS,) * 2, optics_loss_db=1.0), (1.0,), setting_period_s=1.0),
        Laboratory(Receiver((LOSSLESS,) * 2, readout_error=0.1), (1.0,), setting_period_s=1.0),
        Laboratory(Receiver((LOSSLESS,) * 2, BasisChoice.PASSIVE), (1.0,)),
    ],
)
def test_memories_in_a_laboratory_that_loses_or_adds_are_refused(laboratory):
    memories = HeraldedMemories(1e6, 0.02)
    for pair in ((laboratory, active()), (active(), laboratory)):
        with pytest.raises(ValueError, match="must be read out by active laboratories that lose"):
            recorded(memories, *pair)


# What is refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"extraction_efficiency": 1.1}, r"`extraction_efficiency` must lie in \[0, 1\], but is 1"),
        ({"extraction_efficiency": math.nan}, "`extraction_efficiency` must lie in"),
        ({"biexciton_lifetime_s": -1e-10}, "`biexciton_lifetime_s` must be finite and not negat"),
        ({"exciton_lifetime_s": math.inf}, "`exciton_lifetime_s` must be finite"),
        (
            {"biexciton_lifetime_s": 6e-9, "exciton_lifetime_s": 5e-9},
            "must be together at most the time between two pulses, 1e-08, but are 1.1e-08",
        ),
    ],
)
def test_dot_outside_physics_is_refused(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        QuantumDot(1e8, 0.9, **options)
    with pytest.raises(ValueError, match=sentence):
        quantum_dot_of(1e8, 0.9, autocorrelation=0.01, **options)


@pytest.mark.parametrize("surviving", [-0.1, 1.1, math.nan])
def test_fraction_that_is_none_is_refused(surviving):
    with pytest.raises(ValueError, match="`surviving` must lie in"):
        emission_times(
            QuantumDot(1e8, 0.9),
            surviving,
            begin_s=0.0,
            end_s=1.0,
            generator=np.random.default_rng(1),
        )


def test_gates_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="`first_lifetime_s` must be finite and not negative"):
        CascadeGates(-1e-10, 0.0, window_s=1e-9, period_s=1e-8)
    with pytest.raises(ValueError, match="`period_s` must be finite and positive"):
        CascadeGates(1e-10, 0.0, window_s=1e-9, period_s=0.0)
    with pytest.raises(ValueError, match="`sigma_s` must be finite and not negative"):
        delayed_before(0.0, lifetime_s=1e-9, sigma_s=-1.0)
