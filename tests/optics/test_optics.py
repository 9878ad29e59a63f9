"""Sources, links, detectors and coincidences: printed numbers, second routes, guards."""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from ma_fung_lo import gain_and_error
from scipy.integrate import dblquad, quad

from e91.optics.arms import Arm, arm_over, simple_arm
from e91.optics.coincidences import Coincidences, coincidences
from e91.optics.detectors import BasisChoice, Detector, Receiver
from e91.optics.links import (
    Downlink,
    Fibre,
    FreeSpace,
    air_mass,
    beam_radius_m,
    collected_fraction,
    sky_photons_per_second,
    transmission_of,
)
from e91.optics.rates import (
    blocked_pulses,
    continuous_rates,
    recorded_per_second,
    singles_per_second,
    timing_spread_fwhm_s,
    within_window,
)
from e91.optics.slots import continuous_slots, pulsed_slots, within_one_slot
from e91.optics.sources import (
    ContinuousSource,
    HeraldedMemories,
    PairStatistics,
    PulsedSource,
    QuantumDot,
    quantum_dot_of,
)
from e91.security.device_dependent import bbm92_rate
from e91.security.shannon import binary_entropy

LOSSES_DB = tuple(range(0, 71, 5))


# --- numbers found elsewhere ----------------------------------------------------------------------


def micius() -> Coincidences:
    """5.9e6 pairs/s, 32 dB and 200 dark counts/s a side, 2.5 ns, 1.2 ns spread, 1 % error."""
    source = ContinuousSource(5.9e6, coherence_time_s=1.2e-9)
    arm = simple_arm(32.0, 200.0)
    return coincidences(source, arm, arm, window_s=2.5e-9, bit_error=0.01)


def test_micius_like_link_has_the_coincidences_of_neumanns_model():
    counted = micius()
    assert counted.per_second == pytest.approx(2.3540184665349284, rel=1e-6)
    assert counted.accidental_per_second == pytest.approx(0.038467924849851204, abs=1e-6)
    assert counted.error_rate == pytest.approx(0.01800727923097939, abs=1e-6)
    key = (
        counted.per_second
        / 2
        * bbm92_rate(counted.error_rate, counted.phase_error_rate, efficiency=1.19)
    )
    assert key == pytest.approx(0.8416547674444578, abs=1e-6)


def test_ma_fung_lo_gain_and_error_agree_with_the_fock_sum_on_record():
    gain, error = gain_and_error(
        0.05, 0.1, efficiency_bob=0.1, noise_alice=1e-5, noise_bob=1e-5, misalignment=0.015
    )
    assert gain == pytest.approx(0.0011185307943901712, abs=1e-12)
    assert error == pytest.approx(0.05347616538844106, abs=1e-9)


def test_ma_fung_lo_reproduces_the_documented_example_of_another_program():
    efficiency = transmission_of(0.1)  # 0.2 dB from end to end, the source in the middle
    gain, error = gain_and_error(
        0.04789677 / 2,
        efficiency,
        efficiency_bob=efficiency,
        noise_alice=1e-8,
        noise_bob=1e-8,
        misalignment=0.1,
    )
    assert gain * (1 - 2 * binary_entropy(error)) == pytest.approx(0.0013733145515629935, rel=1e-9)


def test_diffraction_loss_of_a_satellites_beam():
    assert FreeSpace(1000.0, 5e-6, 1.2).loss_db == pytest.approx(15.468463436666243, abs=1e-6)
    assert Downlink(5e-6, 1.2).loss_db(math.pi / 2, 1000.0) == pytest.approx(15.46846343667)


# --- Ma, Fung and Lo with exact fractions ---------------------------------------------------------


def printed_gain_and_error(half_mean, eta_a, eta_b, y_a, y_b, misalignment):
    """The formulas as printed, in exact arithmetic: no digit can be lost."""
    mean, a, b, ya, yb, ed = map(Fraction, (half_mean, eta_a, eta_b, y_a, y_b, misalignment))
    gain = 1 - (1 - ya) / (1 + a * mean) ** 2 - (1 - yb) / (1 + b * mean) ** 2
    joint = 1 + a * mean + b * mean - a * b * mean
    gain += (1 - ya) * (1 - yb) / joint**2
    correlated = 2 * a * b * mean * (1 + mean)
    correlated /= (1 + a * mean) * (1 + b * mean) * joint
    return gain, (gain / 2 - (Fraction(1, 2) - ed) * correlated) / gain


@pytest.mark.parametrize("loss_db", LOSSES_DB)
@pytest.mark.parametrize("noise", [0.0, 1e-6])
def test_gain_and_error_keep_their_digits_at_any_loss(loss_db, noise):
    eta_a, eta_b = transmission_of(loss_db / 2), transmission_of(loss_db / 2) * 0.7
    given = (0.01, eta_a, eta_b, noise, noise / 3, 0.015)
    gain, error = gain_and_error(
        0.01,
        eta_a,
        efficiency_bob=eta_b,
        noise_alice=noise,
        noise_bob=noise / 3,
        misalignment=0.015,
    )
    exact_gain, exact_error = printed_gain_and_error(*given)
    assert gain == pytest.approx(float(exact_gain), rel=1e-13)
    assert error == pytest.approx(float(exact_error), rel=1e-12)


@pytest.mark.parametrize("loss_db", LOSSES_DB)
def test_full_model_of_a_thermal_source_is_ma_fung_los(loss_db):
    # Without misalignment and noise the two agree exactly; the printed error rate leaves out a
    # factor (1 - Y0)^2, and turns bits where the full model turns photons.
    eta = transmission_of(loss_db / 2)
    source = PulsedSource(1e6, 0.02, PairStatistics.THERMAL)
    arm = simple_arm(loss_db / 2)
    gain, error = gain_and_error(0.01, eta, efficiency_bob=eta)
    counted = coincidences(source, arm, arm)
    assert counted.per_second == pytest.approx(1e6 * gain, rel=1e-12)
    assert counted.error_rate == pytest.approx(error, abs=1e-14)
    _, spoiled = gain_and_error(0.01, eta, efficiency_bob=eta, misalignment=0.03)
    noisy = coincidences(source, arm, arm, bit_error=0.03)
    assert noisy.error_rate == pytest.approx(spoiled, abs=2 * (0.01 * eta) ** 2 * 0.03 + 1e-14)


def test_no_light_is_no_gain_and_tells_nothing():
    assert gain_and_error(0.0, 0.5, efficiency_bob=0.5) == (0.0, 0.5)
    nothing = coincidences(QuantumDot(1e6, 0.0), simple_arm(0.0), simple_arm(0.0))
    assert (nothing.per_second, nothing.error_rate) == (0.0, 0.5)


# --- continuous source ----------------------------------------------------------------------------


def neumann(pairs, loss_a, loss_b, dark_a, dark_b, window, spread, error):
    """The formulas written out a second time, from the paper's symbols."""
    eta_a, eta_b = 10 ** (-loss_a / 10), 10 ** (-loss_b / 10)
    inside = math.erf(math.sqrt(math.log(2)) * window / spread)
    true = pairs * eta_a * eta_b * inside
    accidental = (pairs * eta_a + dark_a) * (pairs * eta_b + dark_b) * window
    return true, accidental, (true * error + accidental / 2) / (true + accidental)


@pytest.mark.parametrize("loss_db", LOSSES_DB)
def test_continuous_source_is_neumanns_model_without_dead_time(loss_db):
    source = ContinuousSource(3e6, coherence_time_s=0.3e-9)
    arms = simple_arm(loss_db * 0.4, 500.0), simple_arm(loss_db * 0.6, 120.0)
    counted = coincidences(source, *arms, window_s=0.5e-9, bit_error=0.02)
    true, accidental, error = neumann(
        3e6, loss_db * 0.4, loss_db * 0.6, 500.0, 120.0, 0.5e-9, 0.3e-9, 0.02
    )
    assert counted.true_per_second == pytest.approx(true, rel=1e-13)
    assert counted.accidental_per_second == pytest.approx(accidental, rel=1e-13)
    assert counted.error_rate == pytest.approx(error, rel=1e-12)


def test_short_slots_of_a_continuous_source_are_poissonian_pulses():
    # To first order in the window both count the same; what is left is of the order of a slot.
    pairs, window = 1e5, 1e-9
    arms = simple_arm(3.0, 1e3), simple_arm(10.0, 2e3)
    slow = coincidences(ContinuousSource(pairs), *arms, window_s=window, bit_error=0.02)
    pulses = PulsedSource(1 / window, pairs * window, PairStatistics.POISSONIAN)
    fast = coincidences(pulses, *arms, bit_error=0.02)
    assert fast.per_second == pytest.approx(slow.per_second, rel=3 * pairs * window)
    assert fast.error_rate == pytest.approx(slow.error_rate, abs=pairs * window)
    assert fast.singles_alice_per_second == pytest.approx(slow.singles_alice_per_second, rel=2e-4)


def test_spreads_of_time_add_in_squares_and_dispersions_with_their_signs():
    def arm(jitter, dispersion):
        detectors = (Detector(1.0, jitter_fwhm_s=jitter), Detector(1.0, jitter_fwhm_s=2 * jitter))
        return Arm(0.0, Receiver(detectors), dispersion_ps_per_nm=dispersion)

    source = ContinuousSource(1e6, coherence_time_s=3e-12, bandwidth_nm=2.0)
    spread = timing_spread_fwhm_s(source, arm(30e-12, 20.0), arm(40e-12, -20.0))
    assert spread[0, 0, 0, 1] == pytest.approx(math.sqrt(30**2 + 80**2 + 9) * 1e-12)
    wide = timing_spread_fwhm_s(source, arm(0.0, 20.0), arm(0.0, 15.0))
    assert wide[0, 0, 0, 0] == pytest.approx(math.hypot(70e-12, 3e-12))


def test_chance_within_the_window_is_the_integral_of_the_gaussian():
    sigma = 1.2e-9 / (2 * math.sqrt(2 * math.log(2)))
    inside, _ = quad(
        lambda t: math.exp(-(t**2) / 2) / math.sqrt(math.tau),
        -1 / sigma * 0.5e-9,
        1 / sigma * 0.5e-9,
    )
    assert within_window(1e-9, 1.2e-9) == pytest.approx(inside, rel=1e-9)
    assert within_window(1e-9, 0.0) == 1


def test_two_clicks_share_a_slot_as_the_integral_says():
    slot, fwhm = 1e-9, 0.6e-9
    sigma = fwhm / slot / math.sqrt(8 * math.log(2))

    def stays(t: float) -> float:  # the first click anywhere in [0, 1], the second t later
        return (1 - t) * 2 * math.exp(-(t**2) / 2 / sigma**2) / (sigma * math.sqrt(math.tau))

    assert within_one_slot(slot, fwhm) == pytest.approx(quad(stays, 0, 1)[0], rel=1e-9)


@pytest.mark.parametrize("dead_time_s", [0.0, 2e-6])
def test_short_slots_count_what_a_window_of_their_length_does(dead_time_s):
    arms = [simple_arm(loss, 2e3, dead_time_s=dead_time_s) for loss in (0.5, 2.0)]
    source, slot_s = ContinuousSource(3e5), 1e-10
    table = np.array([[0.48, 0.02], [0.03, 0.47]])[None, None]
    rates = continuous_rates(source, *arms, pair_table=table, window_s=slot_s)
    slots = continuous_slots(source, *arms, pair_table=table, slot_s=slot_s)
    np.testing.assert_allclose(slots[..., :2, :2] / slot_s, rates[0] + rates[1], rtol=5e-4)
    alone = np.array([singles_per_second(arm, 3e5).sum() for arm in arms])
    clicks = [slots[..., :2, :].sum(), slots[..., :2].sum()]
    np.testing.assert_allclose(np.array(clicks) / slot_s, alone, rtol=5e-4)


def test_gate_cuts_jitter_and_dead_time_cuts_photons_and_noise_alike():
    detector = Detector(0.4, 2e6, dead_time_s=55e-9, jitter_fwhm_s=2e-9)
    arm = Arm(3.0, Receiver((detector, detector)))
    source = PulsedSource(1e8, 0.3, PairStatistics.POISSONIAN)
    table = np.array([[0.5, 0.0], [0.0, 0.5]])[None, None]
    slot = pulsed_slots(source, arm, arm, pair_table=table, window_s=3e-9)[0, 0]
    caught = math.erf(math.sqrt(math.log(2)) * 1.5)
    silent = math.exp(-0.15 * 0.4 * 10**-0.3 * caught - 2e6 * 3e-9)
    click = (1 - silent) / (1 + 5 * (1 - silent))  # misses five pulses
    either = 1 - (1 - click) ** 2
    # A dead detector is blind to a whole slot; the model blinds it to photons one by one.
    assert slot[:2].sum() == pytest.approx(either, rel=4e-3)


# --- detectors ------------------------------------------------------------------------------------


def test_each_detector_counts_for_itself():
    alice = Arm(0.0, Receiver((Detector(0.9, 10.0), Detector(0.3, 1000.0))))
    bob = Arm(3.0, Receiver((Detector(0.5), Detector(0.6, 50.0))))
    pairs, window = 1e5, 1e-8
    table = np.array([[0.4, 0.1], [0.05, 0.45]])[None, None]
    true, accidental = continuous_rates(
        ContinuousSource(pairs), alice, bob, pair_table=table, window_s=window
    )
    through = 10**-0.3
    assert true[0, 0, 1, 0] == pytest.approx(pairs * 0.05 * 0.3 * 0.5 * through)
    clicks_a1 = pairs * 0.5 * 0.3 + 1000
    clicks_b1 = pairs * 0.55 * 0.6 * through + 50
    assert accidental[0, 0, 1, 1] == pytest.approx(clicks_a1 * clicks_b1 * window)


def test_passive_receiver_shares_the_light_among_its_settings():
    detectors = tuple(Detector(0.5, 10.0) for _ in range(4))
    receiver = Receiver(detectors, BasisChoice.PASSIVE, optics_loss_db=3.0)
    arm = Arm(10.0, receiver, 1000.0, setting_probabilities=(0.8, 0.2))
    through = 10**-1.3
    np.testing.assert_allclose(arm.efficiencies, through * 0.5 * np.array([[0.8] * 2, [0.2] * 2]))
    stray = 1000 * 10**-0.3 * 0.5 / 2
    np.testing.assert_allclose(
        arm.noise_per_second, [[10 + 0.8 * stray] * 2, [10 + 0.2 * stray] * 2]
    )
    source = ContinuousSource(1e6)
    passive = coincidences(source, arm, arm, window_s=1e-9)
    active = Arm(
        10.0,
        replace(receiver, detectors=(Detector(0.5, 20.0),) * 2, basis_choice=BasisChoice.ACTIVE),
        1000.0,
    )
    same = coincidences(source, active, active, window_s=1e-9)
    assert passive.per_second == pytest.approx(same.per_second, rel=1e-12)


def test_dead_time_and_afterpulses_balance():
    primary, dead, more = 3e5, 1e-6, 0.05
    recorded = float(recorded_per_second(primary, dead_time_s=dead, afterpulse_probability=more))
    live = 1 - recorded * dead
    assert recorded == pytest.approx(primary * live + more * recorded)


def test_dead_time_of_pulses_is_that_of_a_renewal_process():
    # A detector that clicks with chance c and then misses k pulses clicks once in 1/c + k pulses.
    generator = np.random.default_rng(np.random.SeedSequence(5))
    chance, blocked, pulses = 0.03, 7, 2_000_000
    waits = generator.geometric(chance, size=100_000) + blocked
    clicks = int(np.searchsorted(np.cumsum(waits), pulses))
    rate = float(recorded_per_second(chance, dead_time_s=blocked, afterpulse_probability=0.0))
    spread = math.sqrt(pulses * rate) * (1 - chance) ** 0.5
    assert abs(clicks - pulses * rate) < 6.2 * spread
    assert abs(clicks - pulses * chance) > 20 * spread  # what no dead time would give
    assert blocked_pulses(7.5e-8, repetition_rate_hz=1e8) == blocked


def test_dead_time_lowers_coincidences_of_pulses():
    source = PulsedSource(1e8, 1e-3, PairStatistics.POISSONIAN)
    free, dead = simple_arm(3.0), simple_arm(3.0, dead_time_s=1e-6)
    click = 1e-3 / 2 * transmission_of(3.0)  # of each detector, to 1e-3
    live = 1 / (1 + click * 99)
    ratio = coincidences(source, dead, dead).true_per_second
    ratio /= coincidences(source, free, free).true_per_second
    both = 1e-3 / 2 * transmission_of(6.0)  # pairs of a pulse that hit two detectors
    assert ratio == pytest.approx(live**2 / (1 - 99 * both * live), rel=1e-4)


def test_afterpulses_are_noise_of_a_gate():
    detector = Detector(0.1, afterpulse_probability=0.2)
    arm = Arm(0.0, Receiver((detector, detector)))
    source = PulsedSource(1e6, 1e-3, PairStatistics.POISSONIAN)
    table = np.array([[0.5, 0.0], [0.0, 0.5]])[None, None]
    slot = pulsed_slots(source, arm, arm, pair_table=table, window_s=1e-9)[0, 0]
    assert slot[0, :].sum() == pytest.approx(1e-3 * 0.05 / 0.8, rel=1e-3)


def test_read_out_errors_reach_the_error_rate():
    receiver = Receiver((Detector(1.0),) * 2, readout_error=0.02)
    arm = Arm(10.0, receiver)
    for source, window in ((ContinuousSource(1e3), 1e-12), (QuantumDot(1e6, 1e-3), None)):
        counted = coincidences(source, arm, arm, window_s=window)
        assert counted.error_rate == pytest.approx(2 * 0.02 * 0.98, rel=1e-3)


# --- sources --------------------------------------------------------------------------------------


def test_memories_have_bit_and_phase_errors_of_their_own():
    counted = coincidences(HeraldedMemories(1e5, 1e-3, bit_error=0.0144, phase_error=0.0391))
    assert counted.per_second == counted.singles_alice_per_second == 100
    assert (counted.error_rate, counted.phase_error_rate) == (0.0144, 0.0391)
    assert counted.chsh_value == pytest.approx(2.677, abs=5e-4)
    assert counted.ratio == math.inf


def test_quantum_dot_without_double_pairs_makes_no_errors():
    arm = simple_arm(10.0)
    counted = coincidences(QuantumDot(1e8, 0.9), arm, arm)
    assert counted.error_rate == pytest.approx(0, abs=1e-15)
    assert counted.per_second == pytest.approx(1e8 * 0.9 * 0.01)
    worse = coincidences(QuantumDot(1e8, 0.9, 0.01), arm, arm)
    # Two photons of different pairs: 2 of the 4 ways to see one at each side, half of them wrong.
    assert worse.error_rate == pytest.approx(0.01 / (0.9 + 3 * 0.01), rel=0.15)


@pytest.mark.parametrize("kind", ["thermal", "poissonian", "dot"])
def test_errors_are_those_of_true_and_half_of_accidental_coincidences(kind):
    arm = simple_arm(10.0, 1e4)
    source = QuantumDot(1e8, 0.9, 0.01) if kind == "dot" else PulsedSource(1e8, 0.05, kind)
    counted = coincidences(source, arm, arm, window_s=1e-9, bit_error=0.03)
    wrong = 0.03 * counted.true_per_second + counted.accidental_per_second / 2
    assert counted.error_rate * counted.per_second == pytest.approx(wrong, rel=1e-3)
    # Of a dot's many pairs hardly two come at once: its coincidences are not accidental.
    assert counted.ratio > (40 if kind == "dot" else 15)


def test_autocorrelation_of_a_dot_is_what_was_asked_for():
    for g2, probability in ((1e-9, 0.9), (0.03, 0.5), (1.0, 0.5), (0.0, 1.0)):
        dot = quantum_dot_of(1e6, probability, autocorrelation=g2)
        two, mean = dot.multi_pair_probability, dot.pairs_per_second / 1e6
        assert 2 * two / mean**2 == pytest.approx(g2, rel=1e-12)


def test_bit_and_phase_errors_of_photons_may_differ():
    arm = simple_arm(20.0)
    counted = coincidences(
        ContinuousSource(1e4), arm, arm, window_s=1e-10, bit_error=0.01, phase_error=0.03
    )
    assert counted.error_rate == pytest.approx(0.01, abs=1e-5)
    assert counted.phase_error_rate == pytest.approx(0.03, abs=1e-5)


# --- links ----------------------------------------------------------------------------------------


def test_collected_fraction_is_the_integral_over_the_telescope():
    w, a = 1.7, 0.6
    power, _ = dblquad(
        lambda phi, r: 2 / (math.pi * w**2) * math.exp(-2 * r**2 / w**2) * r, 0, a, 0, math.tau
    )
    assert collected_fraction(w, receiver_diameter_m=2 * a) == pytest.approx(power, rel=1e-9)


def test_shaking_beam_is_wider_by_the_convolution():
    # Mean over a Gaussian offset (x, y) of the intensity on the axis, in one dimension each.
    w, s = 2.0, 0.7

    def shifted(x: float) -> float:
        at_rest = math.sqrt(2 / math.pi) / w * math.exp(-2 * x**2 / w**2)
        return at_rest * math.exp(-(x**2) / (2 * s**2)) / (s * math.sqrt(math.tau))

    on_axis = quad(shifted, -10, 10)[0] ** 2
    wide = float(beam_radius_m(1.0, divergence_half_angle_rad=w / 1e3, pointing_jitter_rad=s / 1e3))
    assert on_axis == pytest.approx(2 / (math.pi * wide**2), rel=1e-9)


def test_air_mass_is_the_integral_through_a_round_exponential_atmosphere():
    # A second model of the air: density exp(-h / 8.4 km) over a round Earth, no refraction.
    radius, scale = 6371.0, 8.4

    def column(elevation: float) -> float:
        def density(path: float) -> float:
            height = math.sqrt(radius**2 + path**2 + 2 * radius * path * math.sin(elevation))
            return math.exp(-(height - radius) / scale)

        return quad(density, 0, 1500, limit=200)[0] / scale

    for degrees, tolerance in ((90, 0.002), (30, 0.002), (10, 0.01), (5, 0.03)):
        found = float(air_mass(math.radians(degrees)))
        assert found == pytest.approx(column(math.radians(degrees)), rel=tolerance)


def test_satellite_below_the_horizon_is_not_seen():
    losses = Downlink(5e-6, 1.2, zenith_loss_db=1.0).loss_db([-0.01, 0.5], [2600.0, 900.0])
    assert losses[0] == math.inf
    assert 14 < losses[1] < 20


def test_sky_photons_are_power_over_energy():
    found = sky_photons_per_second(
        1.5e-5,
        1550,
        field_of_view_sr=1e-9,
        receiver_diameter_m=2 / math.sqrt(math.pi),
        filter_width_nm=2.0,
    )
    assert found == pytest.approx(3e-14 / (6.62607015e-34 * 299792458 / 1550e-9))


def test_drift_of_a_fibre_is_a_random_walk_on_the_sphere():
    # Small random turns about random axes; the length of the mean of the turned vector is exact.
    drift, interval, steps, walks = 0.8, 1.5, 60, 4000
    generator = np.random.default_rng(np.random.SeedSequence(11))
    vectors = np.tile([0.0, 0.0, 1.0], (walks, 1))
    total = 0.0
    for _ in range(steps):
        # Per axis the turn has variance r^2 dt / 2: two axes move a point by r^2 dt in all.
        turn = generator.normal(0, drift * math.sqrt(interval / steps / 2), (walks, 3))
        angle = np.linalg.norm(turn, axis=1, keepdims=True)
        axis = turn / angle
        along = np.sum(axis * vectors, axis=1, keepdims=True) * axis
        across = np.cross(axis, vectors)
        vectors = along + (vectors - along) * np.cos(angle) + across * np.sin(angle)
        total += vectors[:, 2].mean() / steps
    fibre = Fibre(
        1.0, 0.2, polarisation_drift_rad_per_root_s=drift, realignment_interval_s=interval
    )
    assert abs(fibre.visibility - total) < 6.2 * 0.6 / math.sqrt(walks)
    assert Fibre(1.0, 0.2).visibility == 1


def test_arm_takes_over_what_a_link_does():
    receiver = Receiver((Detector(0.5),) * 2)
    fibre = Fibre(50, 0.2, 1.0, 0.1, 10.0, 17.0)
    arm = arm_over(fibre, receiver)
    assert (arm.loss_db, arm.visibility) == (11.0, fibre.visibility)
    assert arm.dispersion_ps_per_nm == 850
    free = FreeSpace(144, 1e-5, 1.0, background_photons_at_receiver_per_second=400.0)
    assert arm_over(free, receiver).noise_per_second.tolist() == [[100.0, 100.0]]
    spoiled = coincidences(ContinuousSource(1e3), arm, arm, window_s=1e-11)
    assert spoiled.error_rate == pytest.approx((1 - fibre.visibility**2) / 2, abs=1e-6)


# --- what is refused ------------------------------------------------------------------------------

GOOD_RECEIVER = Receiver((Detector(0.5), Detector(0.5)))
GOOD_ARM = simple_arm(10.0)
DEAD_ARM = simple_arm(10.0, dead_time_s=1e-9)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Detector(-0.1), "`efficiency` must lie in"),
        (lambda: Detector(math.nan), "`efficiency` must lie in"),
        (lambda: Detector(0.5, -1.0), "`dark_counts_per_second` must be finite and not negative"),
        (lambda: Detector(0.5, dead_time_s=math.inf), "`dead_time_s` must be finite"),
        (lambda: Detector(0.5, afterpulse_probability=1.0), "`afterpulse_probability` must lie in"),
        (lambda: Detector(0.5, jitter_fwhm_s=-1e-9), "`jitter_fwhm_s` must be finite"),
        (lambda: Receiver((Detector(0.5),)), "must have 2 detectors, but has 1"),
        (lambda: Receiver((Detector(0.5),) * 3, BasisChoice.PASSIVE), "for each setting"),
        (lambda: Receiver((Detector(0.5),) * 2, optics_loss_db=-3.0), "`optics_loss_db`"),
        (lambda: Receiver((Detector(0.5),) * 2, readout_error=2.0), "`readout_error`"),
        (lambda: PulsedSource(0.0, 0.1), "`repetition_rate_hz` must be finite and positive"),
        (lambda: PulsedSource(1e6, -0.1), "`mean_pairs_per_pulse`"),
        (lambda: ContinuousSource(math.nan), "`pairs_per_second`"),
        (lambda: ContinuousSource(1.0, -1.0), "`coherence_time_s`"),
        (lambda: quantum_dot_of(1e6, 0.5, autocorrelation=1.5), "`autocorrelation` must"),
        (lambda: QuantumDot(1e6, 0.5, 0.6), "must be at most `pair_probability`"),
        (lambda: HeraldedMemories(1e6, 0.1, bit_error=0.6), "`bit_error` must lie in"),
        (lambda: HeraldedMemories(1e6, 1.1), "`herald_probability`"),
        (lambda: Fibre(-1.0, 0.2), "`length_km`"),
        (lambda: Fibre(1.0, -0.2), "`attenuation_db_per_km`"),
        (lambda: Fibre(1.0, 0.2, dispersion_ps_per_nm_km=math.nan), "`dispersion_ps_per_nm_km`"),
        (lambda: FreeSpace(0.0, 1e-5, 1.0), "`distance_km`"),
        (lambda: FreeSpace(1.0, 1e-5, 1.0, extinction_db_per_km=-1.0), "`extinction_db_per_km`"),
        (lambda: Downlink(0.0, 1.0), "`divergence_half_angle_rad`"),
        (lambda: Downlink(1e-5, 1.0, zenith_loss_db=-1.0), "`zenith_loss_db`"),
        (lambda: transmission_of(-1.0), "`loss_db`"),
        (lambda: Arm(-1.0, GOOD_RECEIVER), "`loss_db`"),
        (lambda: Arm(1.0, GOOD_RECEIVER, visibility=1.1), "`visibility`"),
        (lambda: Arm(1.0, GOOD_RECEIVER, dispersion_ps_per_nm=math.inf), "`dispersion_ps_per_nm`"),
        (lambda: Arm(1.0, GOOD_RECEIVER, setting_probabilities=(0.5, 0.5)), "must be empty"),
        (lambda: _passive((0.5,)), "must have 2 entries"),
        (lambda: _passive((0.5, 0.6)), "sum to 1"),
        (lambda: coincidences(HeraldedMemories(1.0, 0.1), GOOD_ARM), "must have no arms or window"),
        (
            lambda: coincidences(HeraldedMemories(1.0, 0.1), phase_error=0.1),
            "errors of their own only",
        ),
        (lambda: coincidences(ContinuousSource(1.0), GOOD_ARM), "must have two arms"),
        (lambda: coincidences(ContinuousSource(1.0), GOOD_ARM, GOOD_ARM), "must have a `window_s`"),
        (
            lambda: coincidences(ContinuousSource(1.0), GOOD_ARM, GOOD_ARM, window_s=0.0),
            "`window_s` must be finite and positive",
        ),
        (
            lambda: coincidences(ContinuousSource(1.0), DEAD_ARM, GOOD_ARM, window_s=2e-9),
            "must not exceed a detector's dead time, 1e-09",
        ),
        (
            lambda: coincidences(PulsedSource(1e9, 0.1), GOOD_ARM, GOOD_ARM, window_s=2e-9),
            "at most the time between two pulses",
        ),
        (
            lambda: coincidences(
                ContinuousSource(1.0), GOOD_ARM, GOOD_ARM, window_s=1e-9, bit_error=-0.1
            ),
            "`bit_error` must lie in",
        ),
        (
            lambda: continuous_rates(
                ContinuousSource(1.0), _passive((0.5, 0.5)), GOOD_ARM,
                pair_table=np.full((3, 1, 2, 2), 0.25), window_s=1e-9,
            ),
            "as many settings as the receiver, 2, but has 3",
        ),
        (lambda: Coincidences(1.0, -1.0, 1.0, 1.0, 0.1, 0.1), "`accidental_per_second`"),
        (lambda: Coincidences(1.0, 1.0, 1.0, 1.0, 1.1, 0.1), "`error_rate`"),
        (
            lambda: sky_photons_per_second(
                -1.0, 800, field_of_view_sr=1.0, receiver_diameter_m=1.0, filter_width_nm=1.0
            ),
            "`radiance_w_per_m2_sr_nm`",
        ),
    ],
)  # fmt: skip
def test_values_outside_physics_are_refused_with_a_sentence(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


def _passive(probabilities: tuple[float, ...]) -> Arm:
    receiver = Receiver((Detector(0.5),) * 4, BasisChoice.PASSIVE)
    return Arm(1.0, receiver, setting_probabilities=probabilities)
