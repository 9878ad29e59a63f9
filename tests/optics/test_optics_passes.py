"""Satellites, fading light, and the best source: closed forms, brute force, conservation."""

import doctest
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import ndtr
from scipy.stats import binom
from statistical import assert_binomial

from e91.optics.arms import Fading, faded, log_normal_fading, mean_over, pointing_fading, simple_arm
from e91.optics.coincidences import Coincidences, best_source_and_window, coincidences
from e91.optics.detectors import Detector, Receiver
from e91.optics.links import Downlink, collected_fraction
from e91.optics.satellites import (
    DELINGHA,
    EQUATORIAL_RADIUS_KM,
    NANSHAN,
    ROTATION_RAD_PER_S,
    CircularOrbit,
    Station,
    coincidences_along,
    elevation_and_range,
    harvest,
    orbit_over,
    pass_over,
)
from e91.optics.sources import ContinuousSource, PairStatistics, PulsedSource
from e91.security.device_dependent import bbm92_rate


def key_per_second(counted: Coincidences) -> float:
    fraction = bbm92_rate(counted.error_rate, counted.phase_error_rate, efficiency=1.16)
    return counted.per_second / 2 * fraction


# --- orbits ---------------------------------------------------------------------------------------


def test_satellite_along_the_equator_follows_the_law_of_cosines():
    orbit = CircularOrbit(500.0, 0.0, phase_deg=-20.0)
    station = Station("equator", 0.0, 0.0)
    time = np.linspace(0, 600, 200)
    elevation, distance = elevation_and_range(orbit, station, time_s=time)
    angle = math.radians(-20) + (math.tau / orbit.period_s - ROTATION_RAD_PER_S) * time
    ground, far = EQUATORIAL_RADIUS_KM, EQUATORIAL_RADIUS_KM + 500
    wanted = np.sqrt(ground**2 + far**2 - 2 * ground * far * np.cos(angle))
    np.testing.assert_allclose(distance, wanted, rtol=1e-12)
    np.testing.assert_allclose(
        np.sin(elevation), (far * np.cos(angle) - ground) / wanted, atol=1e-11
    )


def test_range_and_elevation_belong_together():
    # Law of cosines from the elevation alone; the equator's ellipsoid stands on its radius.
    orbit = orbit_over(10.0, 5.0, inclination_deg=60.0)
    elevation, distance = elevation_and_range(
        orbit, Station("equator", 0.0, 3.0), time_s=np.linspace(-200, 200, 41)
    )
    radius, high = EQUATORIAL_RADIUS_KM, 500.0
    along = radius * np.sin(elevation)
    np.testing.assert_allclose(
        distance, np.sqrt(along**2 + 2 * radius * high + high**2) - along, rtol=1e-12
    )


def test_period_of_a_satellite_is_keplers():
    # A geostationary satellite: 42,164 km, a sidereal day, and it stands still.
    geostationary = CircularOrbit(42164.17 - EQUATORIAL_RADIUS_KM, 0.0)
    assert geostationary.period_s == pytest.approx(86164.09, abs=0.1)
    still = geostationary.position_km([0.0, 3600.0])
    assert np.linalg.norm(still[0] - still[1]) < 0.1


@pytest.mark.parametrize("northwards", [True, False])
def test_orbit_stands_over_its_place_and_goes_its_way(northwards):
    orbit = orbit_over(38.0, 95.0, northwards=northwards)
    before, now, after = orbit.position_km([-1.0, 0.0, 1.0])
    assert math.degrees(math.asin(now[2] / orbit.radius_km)) == pytest.approx(38.0)
    assert math.degrees(math.atan2(now[1], now[0])) == pytest.approx(95.0)
    assert bool(after[2] > before[2]) is northwards
    speed = np.linalg.norm(after - before) / 2
    assert speed == pytest.approx(math.tau * orbit.radius_km / orbit.period_s, rel=0.01)


def test_delingha_and_nanshan_are_1120_km_apart():
    # Printed in Nature 582, 501 (2020), title and abstract.
    chord = np.linalg.norm(DELINGHA.position_km - NANSHAN.position_km)
    assert 2 * 6371 * math.asin(chord / 2 / 6371) == pytest.approx(1120, abs=5)


def test_positions_on_the_ellipsoid_are_those_of_geodesy():
    pole = Station("pole", 90.0, 0.0, 1000.0).position_km
    assert pole == pytest.approx([0, 0, 6356.752314245 + 1], abs=1e-6)
    side = Station("side", 0.0, 90.0, 0.0).position_km
    assert side == pytest.approx([0, EQUATORIAL_RADIUS_KM, 0], abs=1e-9)
    # Half-way, by the parametric latitude of the ellipse: tan beta = (1 - f) tan phi.
    beta = math.atan((1 - 1 / 298.257223563) * math.tan(math.radians(40.0)))
    half = Station("half", 40.0, 0.0).position_km
    wanted = [EQUATORIAL_RADIUS_KM * math.cos(beta), 0, 6356.752314245 * math.sin(beta)]
    assert half == pytest.approx(wanted, abs=1e-6)
    # Height is measured along `up`: moving up by 1 km moves by 1 km.
    low, high = (Station("s", 40.0, 30.0, h).position_km for h in (0.0, 1000.0))
    assert np.linalg.norm(high - low) == pytest.approx(1)


# --- passes ---------------------------------------------------------------------------------------

LINK = Downlink(5e-6, 1.2, pointing_jitter_rad=4e-7, zenith_loss_db=1.5, optics_loss_db=11.0)
RECEIVER = Receiver((Detector(0.5, 100.0),) * 2)


def micius_pass():
    return pass_over(orbit_over(40.5, 92.6), (DELINGHA, NANSHAN))


def test_a_pass_is_seen_by_both_stations_and_by_both_only():
    seen = micius_pass()
    assert np.degrees(seen.elevation_rad).min() >= 10
    everything = pass_over(orbit_over(40.5, 92.6), (DELINGHA, NANSHAN), lowest_elevation_deg=0.0)
    inside = np.isin(everything.time_s, seen.time_s)
    assert np.all(np.degrees(everything.elevation_rad[:, ~inside]).min(axis=0) < 10)
    assert len(pass_over(orbit_over(-40.0, 92.6), (DELINGHA, NANSHAN)).time_s) == 0


def test_losses_of_a_pass_are_those_of_its_links():
    seen = micius_pass()
    losses = seen.loss_db((LINK, LINK))
    middle = int(np.argmin(losses.sum(axis=0)))
    wanted = LINK.loss_db(seen.elevation_rad[1, middle], seen.range_km[1, middle])
    assert losses[1, middle] == wanted
    assert losses.shape == (2, len(seen.time_s))


def test_finer_slices_give_the_same_pass():
    found = []
    for step_s in (4.0, 0.5):
        seen = pass_over(orbit_over(40.5, 92.6), (DELINGHA, NANSHAN), step_s=step_s)
        slices = coincidences_along(
            seen,
            ContinuousSource(5.9e6, coherence_time_s=1.2e-9),
            links=(LINK, LINK),
            receivers=(RECEIVER, RECEIVER),
            window_s=2.5e-9,
            bit_error=0.02,
        )
        found.append(harvest(slices, step_s=step_s, objective=key_per_second))
    assert found[0].coincidences == pytest.approx(found[1].coincidences, rel=0.02)
    assert found[0].value == pytest.approx(found[1].value, rel=0.02)


def test_errors_of_a_pass_are_counted_over_its_slices():
    background = Downlink(
        5e-6,
        1.2,
        zenith_loss_db=1.5,
        optics_loss_db=11.0,
        background_photons_at_receiver_per_second=3000.0,
    )
    slices = coincidences_along(
        micius_pass(),
        ContinuousSource(5.9e6),
        links=(background, background),
        receivers=(RECEIVER, RECEIVER),
        window_s=2.5e-9,
        bit_error=0.02,
    )
    found = harvest(slices, step_s=1.0, objective=key_per_second)
    assert found.value == pytest.approx(sum(map(key_per_second, slices)))
    errors = sum(part.per_second * part.error_rate for part in slices)
    assert found.error_rate == pytest.approx(errors / sum(part.per_second for part in slices))


# --- fading ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("ratio", [0.0, 0.05, 0.3, 1.0])  # of the wander to the beam's radius
@pytest.mark.parametrize("diameter", [0.1, 1.2, 12.0])
def test_mean_of_a_wandering_beam_is_that_of_the_wider_beam(ratio, diameter):
    beam = 5.0
    fading = pointing_fading(beam, diameter, offset_m=ratio * beam)
    wide = collected_fraction(beam * math.sqrt(1 + 4 * ratio**2), receiver_diameter_m=diameter)
    assert fading.mean == pytest.approx(float(wide), rel=1e-8)


def test_small_telescope_sees_the_beta_law():
    beam, offset = 5.0, 1.5
    fading = pointing_fading(beam, 0.001, offset_m=offset)
    relative = fading.transmissions / float(collected_fraction(beam, receiver_diameter_m=0.001))
    power = beam**2 / (4 * offset**2)
    for moment in (1, 2, 5):
        assert relative**moment @ fading.weights == pytest.approx(
            power / (power + moment), rel=1e-6
        )


def test_wandering_beam_is_what_thrown_photons_do():
    """How often at most 8, and at most 16, of 200 photons arrive; a fifth more would be seen."""
    beam, diameter, offset, throws = 2.0, 1.2, 0.8, 2_000
    generator = np.random.default_rng(np.random.SeedSequence(2))
    centre = generator.normal(0, offset, (throws, 2))
    photons = centre[:, None] + generator.normal(0, beam / 2, (throws, 200, 2))
    arrived = np.sum(np.hypot(*photons.transpose(2, 0, 1)) < diameter / 2, axis=1)

    def at_most(count, wandering):
        fading = pointing_fading(beam, diameter, offset_m=wandering)
        return float(binom.cdf(count, 200, fading.transmissions) @ fading.weights)

    for count in (8, 16):
        expected, wrong = (at_most(count, wandering) for wandering in (offset, 1.2 * offset))
        assert_binomial(int(np.sum(arrived <= count)), throws, expected, must_detect=wrong)


def test_log_normal_factors_have_mean_one_and_the_index_as_variance():
    fading = log_normal_fading(0.3)
    assert fading.mean == pytest.approx(1, abs=1e-12)
    assert fading.transmissions**2 @ fading.weights == pytest.approx(1.3, abs=1e-10)
    # The chance of a factor below 1 is that of a normal number below s / 2.
    below = float(
        log_normal_fading(0.3, nodes=200)
        .weights[log_normal_fading(0.3, nodes=200).transmissions < 1]
        .sum()
    )
    assert below == pytest.approx(float(ndtr(math.sqrt(math.log(1.3)) / 2)), abs=0.02)


def test_key_is_averaged_over_fading_and_not_the_error():
    def key(alice: float, bob: float = 1.0) -> float:
        arms = faded(simple_arm(33.0, 6000.0), alice), faded(simple_arm(33.0, 6000.0), bob)
        return key_per_second(
            coincidences(ContinuousSource(5.9e6), *arms, window_s=2.5e-9, bit_error=0.03)
        )

    fading = log_normal_fading(0.8)
    averaged = mean_over(key, fading)
    by_hand = sum(
        w * key(float(t)) for t, w in zip(fading.transmissions, fading.weights, strict=True)
    )
    assert averaged == pytest.approx(by_hand, rel=1e-12)
    assert averaged > key(1.0) * 1.01 > 0  # convex: fading about the same mean gives more key
    assert mean_over(lambda a, b: a * b, fading, fading) == pytest.approx(1)


# --- the best source ------------------------------------------------------------------------------


def test_joint_optimum_beats_a_brute_grid():
    source = ContinuousSource(1.0, coherence_time_s=0.4e-9)
    arms = simple_arm(28.0, 300.0), simple_arm(33.0, 150.0)
    best = best_source_and_window(
        source,
        *arms,
        objective=key_per_second,
        brightness=(1e5, 1e10),
        window_s=(1e-11, 1e-8),
        bit_error=0.01,
    )
    grid = max(
        key_per_second(
            coincidences(
                ContinuousSource(b, coherence_time_s=0.4e-9), *arms, window_s=t, bit_error=0.01
            )
        )
        for b in np.geomspace(2e7, 2e9, 40)
        for t in np.geomspace(1e-10, 2e-9, 40)
    )
    assert grid <= best.value <= grid * 1.005
    assert best.value == key_per_second(best.coincidences)


def test_optimum_of_a_pulsed_source_is_the_one_found_in_one_dimension():
    source = PulsedSource(1e8, 1.0, PairStatistics.THERMAL)
    arms = simple_arm(10.0, 100.0), simple_arm(15.0, 100.0)

    def key(mean: float) -> float:
        return key_per_second(
            coincidences(PulsedSource(1e8, mean), *arms, window_s=1e-9, bit_error=0.01)
        )

    one = minimize_scalar(
        lambda mean: -key(mean), bounds=(1e-2, 0.2), method="bounded", options={"xatol": 1e-10}
    )
    best = best_source_and_window(
        source,
        *arms,
        objective=key_per_second,
        brightness=(1e-4, 1.0),
        window_s=(1e-9, 1e-9),
        bit_error=0.01,
    )
    assert best.window_s == pytest.approx(1e-9)
    assert best.value == pytest.approx(-one.fun, rel=1e-9)
    assert best.source.mean_pairs_per_pulse == pytest.approx(one.x, rel=1e-4)


def test_hopeless_link_has_an_optimum_of_nothing():
    best = best_source_and_window(
        ContinuousSource(1.0),
        simple_arm(60.0, 1e6),
        simple_arm(60.0, 1e6),
        objective=key_per_second,
        brightness=(1e3, 1e7),
        window_s=(1e-10, 1e-8),
    )
    assert best.value == 0


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Station("s", 90.5, 0.0), "`latitude_deg` must lie in"),
        (lambda: Station("s", 0.0, 180.5), "`longitude_deg` must lie in"),
        (lambda: Station("s", 0.0, 0.0, math.nan), "`altitude_m` must be finite"),
        (lambda: CircularOrbit(-1.0, 0.0), "`altitude_km`"),
        (lambda: CircularOrbit(500.0, 190.0), "`inclination_deg` must lie in"),
        (lambda: CircularOrbit(500.0, 90.0, math.inf), "`node_longitude_deg` must be finite"),
        (lambda: orbit_over(50.0, 0.0, inclination_deg=30.0), "within reach of the inclination"),
        (lambda: pass_over(orbit_over(0.0, 0.0), (DELINGHA, NANSHAN), step_s=0.0), "`step_s`"),
        (
            lambda: pass_over(orbit_over(0.0, 0.0), (DELINGHA, NANSHAN), lowest_elevation_deg=-5),
            "`lowest_elevation_deg`",
        ),
        (lambda: harvest((), step_s=1.0, objective=key_per_second), "must hold the slices"),
        (lambda: pointing_fading(0.0, 1.0, offset_m=1.0), "`beam_radius_m`"),
        (lambda: pointing_fading(1.0, 1.0, offset_m=-1.0), "`offset_m`"),
        (lambda: log_normal_fading(-0.1), "`scintillation_index`"),
        (lambda: Fading(np.array([-1.0]), np.array([1.0])), "`transmissions` must be numbers"),
        (lambda: Fading(np.array([1.0]), np.array([0.5])), "must sum to 1"),
        (lambda: Fading(np.array([1.0]), np.array([0.5, 0.5])), "must have the length"),
        (
            lambda: best_source_and_window(
                ContinuousSource(1.0), simple_arm(1.0), simple_arm(1.0),
                objective=key_per_second, brightness=(1e6, 1e3), window_s=(1e-9, 1e-8),
            ),
            "`brightness` must go from less to more",
        ),
    ],
)  # fmt: skip
def test_what_is_outside_physics_is_refused_with_a_sentence(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


def test_documented_examples_give_what_is_printed():
    page = Path(__file__).parents[2] / "docs" / "optics.md"
    failed, tried = doctest.testfile(str(page), module_relative=False)
    assert tried > 15
    assert failed == 0
