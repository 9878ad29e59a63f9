"""Light around the circuits: what is found, what is lost, and what no one may discard."""

import math

import numpy as np
import pytest
from born_rule import correlator
from e91_circuits import bell_pair, with_amplitude_damping, with_dephasing, with_visibility
from statistical import assert_binomial

from e91.devices.exact import exact_device
from e91.devices.optical import (
    coincidence_table,
    memory_pair,
    optical_device,
    optical_slot_device,
    slot_table,
    steered_lengths,
)
from e91.model.bits import NO_CLICK
from e91.model.randomness import seeded_entropy
from e91.model.settings import ASYMMETRIC, BBM92, EKERT
from e91.model.trust import SecurityModel
from e91.optics.arms import Arm, simple_arm
from e91.optics.clicks import Hits, thermal_slot
from e91.optics.coincidences import coincidences
from e91.optics.detectors import BasisChoice, Detector, Receiver
from e91.optics.sources import (
    ContinuousSource,
    HeraldedMemories,
    PairStatistics,
    PulsedSource,
    QuantumDot,
)
from e91.security.policy import Policy
from e91.session.session import measure, run
from e91.session.streaming import stream
from e91.session.totals import summary_of

MICIUS = ContinuousSource(5.9e6, coherence_time_s=1.2e-9)
SATELLITE = simple_arm(32.0, 200.0)


def chsh_value(table) -> float:
    return sum(float(sign * correlator(table[pair])) for pair, sign in EKERT.chsh_pairs)


# --- coincidences ---------------------------------------------------------------------------------


def test_table_of_coincidences_is_pairs_of_the_circuit_plus_random_bits():
    pair = with_visibility(bell_pair(), 0.98)
    rates = coincidence_table(MICIUS, SATELLITE, SATELLITE, pair=pair, window_s=2.5e-9)
    counted = coincidences(MICIUS, SATELLITE, SATELLITE, window_s=2.5e-9, bit_error=0.01)
    wanted = counted.true_per_second * exact_device(visibility=0.98).table
    wanted = wanted + counted.accidental_per_second / 4
    np.testing.assert_allclose(rates, wanted, rtol=1e-9)


def test_s_and_qber_of_a_satellite_link_follow_from_accidentals():
    pair = with_visibility(bell_pair(), 0.98)
    device = optical_device(MICIUS, SATELLITE, SATELLITE, pair=pair, window_s=2.5e-9)
    assert device.table[1, 0, 0, 1] * 2 == pytest.approx(0.01800727923, abs=1e-9)
    assert chsh_value(device.table) == pytest.approx(2 * math.sqrt(2) * (1 - 2 * 0.01800727923))


def test_device_of_coincidences_draws_its_table():
    device = optical_device(MICIUS, SATELLITE, SATELLITE, window_s=2.5e-9, seed=3)
    x, y = np.ones(200_000, np.uint8), np.zeros(200_000, np.uint8)
    a, b = device(x, y)
    error = 2 * float(device.table[1, 0, 0, 1])
    assert_binomial(int(np.count_nonzero(a != b)), len(a), error, must_detect=1.3 * error)


def test_one_session_makes_a_key_from_light():
    source = PulsedSource(1e8, 0.01, PairStatistics.THERMAL)
    device = optical_device(source, simple_arm(10.0, 100.0), simple_arm(20.0, 100.0), seed=1)
    report = run(device, rounds=200_000, seed=2)
    assert report.abort is None
    assert "fair sampling" in report.device
    assert len(report.key) > 10_000


def test_key_does_not_depend_on_loss_that_leaves_the_table_alone():
    near, far = (
        optical_device(ContinuousSource(1e3), simple_arm(loss), simple_arm(loss), window_s=1e-12)
        for loss in (0.0, 30.0)
    )
    np.testing.assert_allclose(near.table, far.table, atol=1e-8)


def test_unequal_detectors_bias_the_bits_by_their_ratio():
    uneven = Arm(0.0, Receiver((Detector(0.8), Detector(0.2))))
    device = optical_device(QuantumDot(1e6, 0.5), uneven, simple_arm(0.0))
    assert device.table[..., 0, :].sum(axis=-1) == pytest.approx(np.full((3, 3), 0.8))


def test_passive_receiver_has_a_share_of_the_light_for_each_setting():
    receiver = Receiver((Detector(1.0),) * 4, BasisChoice.PASSIVE)
    alice = Arm(0.0, receiver, setting_probabilities=(0.9, 0.1))
    bob = Arm(0.0, Receiver((Detector(1.0),) * 8, BasisChoice.PASSIVE))
    rates = coincidence_table(ContinuousSource(1e3), alice, bob, settings=BBM92, window_s=1e-15)
    assert rates.sum(axis=(2, 3)) == pytest.approx(1e3 * np.outer((0.9, 0.1), (0.25,) * 4))


def test_drift_of_a_fibre_is_white_noise_on_the_pair():
    receiver = Receiver((Detector(1.0),) * 2)
    arms = Arm(0.0, receiver, visibility=0.9), Arm(0.0, receiver, visibility=0.95)
    device = optical_device(QuantumDot(1e6, 0.5), *arms)
    np.testing.assert_allclose(
        device.table, exact_device(visibility=0.9 * 0.95).table, rtol=0, atol=1e-9
    )


def test_eve_is_a_source_like_any_other():
    dephased = with_dephasing(bell_pair(), 0.2, party="bob")
    device = optical_device(QuantumDot(1e6, 1e-3), SATELLITE, SATELLITE, pair=dephased)
    dark = coincidences(QuantumDot(1e6, 1e-3), SATELLITE, SATELLITE)
    purity = 1 - 2 * dark.error_rate
    assert chsh_value(device.table) == pytest.approx(2 * math.sqrt(2) * 0.8 * purity, abs=1e-6)


# --- every slot -----------------------------------------------------------------------------------


def test_every_slot_of_a_perfect_dot_is_the_circuits_table():
    device = optical_slot_device(QuantumDot(1e6, 1.0), simple_arm(0.0), simple_arm(0.0))
    np.testing.assert_allclose(device.table[..., :2, :2], exact_device().table, atol=1e-12)
    assert device.table[..., 2, :].max() == device.table[..., 2].max() == 0


def test_slots_keep_losses_as_no_click():
    alice, bob = simple_arm(0.5), simple_arm(0.8)
    device = optical_slot_device(QuantumDot(1e6, 1.0), alice, bob, settings=ASYMMETRIC, seed=4)
    record = measure(device, 100_000, settings=ASYMMETRIC, entropy=seeded_entropy(5))
    lost = int(np.count_nonzero(record.alice.outcome == NO_CLICK))
    assert_binomial(lost, 100_000, 1 - 10**-0.05, must_detect=1 - 10**-0.055)
    both = np.count_nonzero((record.alice.outcome == NO_CLICK) & (record.bob.outcome == NO_CLICK))
    assert_binomial(
        int(both),
        100_000,
        (1 - 10**-0.05) * (1 - 10**-0.08),
        must_detect=0.85 * (1 - 10**-0.05) ** 2,
    )


def test_post_selecting_slots_gives_the_table_of_coincidences():
    source = PulsedSource(1e8, 0.05, PairStatistics.THERMAL)
    arms = simple_arm(3.0, 1e4), simple_arm(6.0, 1e4)
    kept = optical_slot_device(source, *arms).table[..., :2, :2]
    wanted = optical_device(source, *arms).table
    np.testing.assert_allclose(kept / kept.sum(axis=(2, 3), keepdims=True), wanted, rtol=1e-12)


def test_slots_of_continuous_light_are_poissonian_pulses_if_clicks_are_sharp():
    arms = simple_arm(3.0, 1e4), simple_arm(6.0, 1e4)
    slots = slot_table(ContinuousSource(1e6), *arms, window_s=1e-8)
    pulses = slot_table(PulsedSource(1e8, 0.01, PairStatistics.POISSONIAN), *arms)
    np.testing.assert_allclose(slots, pulses, rtol=1e-12)


def test_edges_of_slots_part_pairs_but_lose_no_clicks():
    arms = simple_arm(3.0), simple_arm(6.0)
    sharp = slot_table(ContinuousSource(1e6), *arms, window_s=1e-9)
    blurred = slot_table(ContinuousSource(1e6, coherence_time_s=5e-10), *arms, window_s=1e-9)
    np.testing.assert_allclose(
        sharp[..., :2, :].sum(axis=(2, 3)), blurred[..., :2, :].sum(axis=(2, 3)), rtol=1e-12
    )
    # How many pairs stay together, by throwing them at random.
    generator = np.random.default_rng(np.random.SeedSequence(8))
    first = generator.random(1_000_000)
    second = first + generator.normal(0, 0.5 / math.sqrt(8 * math.log(2)), len(first))
    kept = int(np.count_nonzero((second >= 0) & (second < 1)))
    ratio = float(blurred[0, 0, :2, :2].sum() / sharp[0, 0, :2, :2].sum())
    assert_binomial(kept, len(first), ratio, must_detect=ratio + 0.01)


def test_every_slot_may_be_streamed():
    arm = simple_arm(0.2)
    device = optical_slot_device(QuantumDot(1e6, 1.0), arm, arm, settings=ASYMMETRIC, seed=1)
    reports = list(stream(device, rounds=100_000, block_rounds=50_000, seed=2))
    assert [report.abort for report in reports] == [None, None]
    seen = sum(report.evidence.coincidences for report in reports)
    assert_binomial(seen, 100_000, 10**-0.04, must_detect=0.9)


def test_lossy_slots_are_refused_a_device_independent_key():
    lossy = simple_arm(1.0)  # 79 % of the photons: below what any such proof tolerates
    device = optical_slot_device(QuantumDot(1e6, 1.0), lossy, lossy, settings=ASYMMETRIC, seed=1)
    policy = Policy(security=SecurityModel.DEVICE_INDEPENDENT)
    assert run(device, rounds=200_000, policy=policy, seed=2).abort is not None


# --- memories -------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [optical_device, optical_slot_device])
def test_memories_have_the_s_and_qber_of_their_two_errors(make):
    device = make(HeraldedMemories(1e6, 1e-4, bit_error=0.0144, phase_error=0.0391))
    assert device.table.shape == (3, 3, 2, 2)
    assert chsh_value(device.table) == pytest.approx(2 * math.sqrt(2) * (1 - 0.0144 - 0.0391))
    table = make(HeraldedMemories(1e6, 1e-4, bit_error=0.0144), settings=BBM92).table
    assert 2 * table[0, 0, 0, 1] == pytest.approx(0.0144)
    assert table[1, 1, 0, 1] == pytest.approx(0, abs=1e-12)


def test_memories_name_their_errors():
    name = memory_pair(HeraldedMemories(1e6, 0.1, bit_error=0.01, phase_error=0.02)).name
    assert name == "phi+ pair, bit error 0.01, phase error 0.02"


# --- thermal light --------------------------------------------------------------------------------


def test_steered_lengths_come_from_the_state():
    damped = with_amplitude_damping(bell_pair(), 0.36, party="bob")
    # Bob's Z shrinks by 1 - p, his X by sqrt(1 - p); Alice's photon stays unpolarised.
    lengths = steered_lengths(damped, settings=BBM92)
    assert lengths[:2] == pytest.approx([0.64, 0.8])
    assert lengths[2] == pytest.approx(math.sqrt((0.64**2 + 0.8**2) / 2))


def test_thermal_slots_use_the_steered_lengths():
    pair = with_dephasing(bell_pair(), 0.3, party="bob")
    source = PulsedSource(1e6, 0.4, PairStatistics.THERMAL)
    table = slot_table(source, simple_arm(1.0), simple_arm(1.0), settings=BBM92, pair=pair)
    eta = 10**-0.1
    same = (1 + 0.4) / 4  # along X: visibility 1 - 2 p
    hits = Hits(((same, 0.5 - same), (0.5 - same, same)), *((eta, eta),) * 2, *((0, 0),) * 2)
    wanted = thermal_slot(hits, 0.4, steered_length=0.4)
    np.testing.assert_allclose(table[1, 1], wanted, rtol=1e-9)
    assert not np.allclose(table[1, 1], thermal_slot(hits, 0.4), rtol=1e-4)


# --- what is refused ------------------------------------------------------------------------------


def _passive(settings: int) -> Arm:
    return Arm(0.0, Receiver((Detector(0.5),) * (2 * settings), BasisChoice.PASSIVE))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: optical_device(MICIUS, SATELLITE, SATELLITE), "must have a `window_s`"),
        (lambda: optical_slot_device(MICIUS, SATELLITE, SATELLITE), "must have a `window_s`"),
        (lambda: optical_device(MICIUS, SATELLITE, window_s=1e-9), "must have two arms"),
        (lambda: optical_device(HeraldedMemories(1.0, 0.1), SATELLITE), "must have no arms"),
        (lambda: optical_slot_device(HeraldedMemories(1.0, 0.1), window_s=1e-9), "no window"),
        (
            lambda: optical_device(QuantumDot(1e6, 0.0), simple_arm(0.0), simple_arm(0.0)),
            "must have coincidences, but one never has",
        ),
        (
            lambda: optical_slot_device(QuantumDot(1e6, 0.5), _passive(3), SATELLITE),
            "must be active, but is passive",
        ),
        (
            lambda: optical_device(QuantumDot(1e6, 0.5), _passive(2), SATELLITE),
            "for each of its 3 settings, but has them for 2",
        ),
    ],
)
def test_what_makes_no_device_is_refused_with_a_sentence(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


# --- how fast -------------------------------------------------------------------------------------


def test_pace_of_coincidences_is_the_counted_rate_whatever_chooses_the_setting():
    counted = coincidences(MICIUS, SATELLITE, SATELLITE, window_s=2.5e-9)
    active = optical_device(MICIUS, SATELLITE, SATELLITE, window_s=2.5e-9)
    assert active.info.pace.coincidences_per_second == pytest.approx(counted.per_second, rel=1e-9)
    assert active.info.pace.rounds_per_second == active.info.pace.coincidences_per_second
    passive = Arm(32.0, Receiver((Detector(1.0, 200 / 6),) * 6, BasisChoice.PASSIVE))
    split = optical_device(MICIUS, passive, passive, window_s=2.5e-9)
    # Two detectors in six answer at one setting, but all six are counted.
    assert split.info.pace.rounds_per_second == pytest.approx(counted.per_second, rel=1e-9)


def test_pace_of_slots_counts_every_slot_and_the_coincidences_in_them():
    arm = simple_arm(3.0, 1000.0)
    slots = optical_slot_device(PulsedSource(1e6, 0.01), arm, arm).info.pace
    found = optical_device(PulsedSource(1e6, 0.01), arm, arm).info.pace
    assert slots.rounds_per_second == 1e6
    assert slots.coincidences_per_second == pytest.approx(found.rounds_per_second, rel=1e-9)
    continuous = optical_slot_device(MICIUS, SATELLITE, SATELLITE, window_s=1e-9)
    assert continuous.info.pace.rounds_per_second == pytest.approx(1e9)


def test_report_and_summary_tell_the_key_by_the_time_of_the_light():
    memories = HeraldedMemories(1e6, 2e-4, bit_error=0.01, phase_error=0.01)
    device = optical_device(memories, seed=1)
    report = run(device, rounds=100_000, seed=1)
    assert report.secret_bits > 5_000
    expected = {
        "coincidences_per_second": 200.0,
        "link_seconds": 500.0,
        "secret_bits_per_second": report.secret_bits / 500,
    }
    assert report.rates == expected
    assert expected.items() <= report.to_dict().items()
    assert "200 per second" in str(report)
    assert "500 s" in str(report)
    whole = summary_of([report, report])
    for printed in (str(report), str(whole)):  # its source sent more pairs than made coincidences
        assert "  rounds  " in printed
        assert "pairs sent" not in printed
    assert whole.rates["link_seconds"] == 1000
    assert whole.rates["secret_bits_per_second"] == expected["secret_bits_per_second"]
    assert "200 per second" in str(whole)


def test_a_device_without_pace_tells_no_rates():
    report = run(exact_device(seed=1), rounds=1000, seed=1)
    assert report.rates == {}
    assert "link_seconds" not in report.to_dict()
    assert "per second" not in str(report)
