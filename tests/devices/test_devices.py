"""Both Aer devices: the same physics, from the same circuits, behind the same guards."""

from functools import partial

import numpy as np
import pytest
from born_rule import (
    BELL_VECTORS,
    correlator,
    damped,
    density,
    joint_table,
    lopsided_density,
    source_of,
)
from e91_circuits import (
    bell_pair,
    intercept_resend,
    intercept_with_record,
    measured_pair,
    with_amplitude_damping,
    with_dephasing,
    with_readout_error,
    with_visibility,
)
from qiskit import ClassicalRegister
from qiskit_aer import AerSimulator
from statistical import assert_binomial

from e91.devices.aer import aer_device, aer_device_of
from e91.devices.exact import exact_device, exact_device_of
from e91.model.settings import ASYMMETRIC, BBM92, EKERT, SETTINGS

FACTORIES = [aer_device, exact_device]
FACTORIES_OF = [aer_device_of, exact_device_of]
RANDOM_EVE = partial(intercept_resend, fraction=0.3, basis="random")
EVERYTHING = {
    "visibility": 0.95,
    "dephasing": 0.04,
    "misalignment": 0.15,
    "amplitude_damping": 0.1,
    "readout_error": 0.02,
    "attack": RANDOM_EVE,
}
TSIRELSON = 2 * np.sqrt(2)


def chsh(table):
    return sum(sign * correlator(table[pair]) for pair, sign in EKERT.chsh_pairs)


def error_rates(table):
    return [(1 - correlator(table[pair])) / 2 for pair in EKERT.key_pairs]


def every_pair(settings, rounds):
    """Choices in which every setting pair occurs ``rounds`` times, in mixed order."""
    x, y = np.indices((len(settings.alice_angles), len(settings.bob_angles)), np.uint8)
    order = np.random.default_rng(5).permutation(x.size * rounds)
    return np.repeat(x.ravel(), rounds)[order], np.repeat(y.ravel(), rounds)[order]


def tally(x, y, a, b, *, shape):
    """How often each (x, y, a, b) occurred."""
    cells = np.zeros(shape, int)
    np.add.at(cells, (x, y, a, b), 1)
    return cells


def assert_every_cell(cells, table, *, rounds, off_by):
    """Check each count; false alarm 1e-9 per cell, and an error of ``off_by`` must show."""
    for index in np.ndindex(table.shape):
        p = float(table[index])
        must_detect = p + off_by if p < 0.5 else p - off_by
        assert_binomial(int(cells[index]), rounds, p, must_detect=must_detect)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_table_of_any_source_is_the_born_rule(settings):
    rho = lopsided_density()
    table = exact_device_of(source_of(rho), settings=settings).table
    for x, a in enumerate(settings.alice_angles):
        for y, b in enumerate(settings.bob_angles):
            np.testing.assert_allclose(table[x, y], joint_table(rho, a, b), atol=1e-12)


def test_ideal_device_reaches_tsirelson_without_an_error():
    table = exact_device().table
    assert chsh(table) == pytest.approx(TSIRELSON, abs=1e-12)
    assert error_rates(table) == pytest.approx([0, 0], abs=1e-12)


@pytest.mark.parametrize(
    ("arguments", "s", "q"),
    [
        ({"visibility": 0.9}, 0.9 * TSIRELSON, [0.05, 0.05]),
        ({"dephasing": 0.1}, 0.9 * TSIRELSON, [0.05, 0.1]),
        ({"misalignment": 0.2}, np.cos(0.2) * TSIRELSON, [np.sin(0.1) ** 2] * 2),
        ({"readout_error": 0.03}, 0.94**2 * TSIRELSON, [(1 - 0.94**2) / 2] * 2),
        ({"attack": RANDOM_EVE}, 0.85 * TSIRELSON, [0.075, 0.075]),
        ({"attack": partial(intercept_resend, fraction=1.0, basis="z")}, np.sqrt(2), [0.25, 0.5]),
        ({"attack": partial(intercept_with_record, angle=np.pi / 2)}, np.sqrt(2), [0.25, 0.0]),
    ],
)
def test_each_argument_has_its_closed_form_s_and_qber(arguments, s, q):
    table = exact_device(**arguments).table
    assert chsh(table) == pytest.approx(s, abs=1e-12)
    assert error_rates(table) == pytest.approx(q, abs=1e-12)


def test_damping_on_bobs_arm_has_the_closed_form_s_and_biases_bob_alone():
    table = exact_device(amplitude_damping=0.2).table
    assert chsh(table) == pytest.approx(2.396282, abs=5e-7)
    np.testing.assert_allclose(table.sum(axis=3), 0.5, atol=1e-12)
    bias = 0.2 * np.cos(EKERT.bob_angles)
    np.testing.assert_allclose(table[0, :, :, 0].sum(axis=1), (1 + bias) / 2, atol=1e-12)


def test_eve_meets_the_photons_before_the_noise_does():
    attack = partial(intercept_resend, fraction=1.0, basis="x")
    device = exact_device(attack=attack, amplitude_damping=0.3)
    ordered = with_amplitude_damping(attack(bell_pair()), 0.3, party="bob")
    reverse = attack(with_amplitude_damping(bell_pair(), 0.3, party="bob"))
    np.testing.assert_allclose(device.table, exact_device_of(ordered).table, atol=1e-12)
    assert np.abs(device.table - exact_device_of(reverse).table).max() > 0.05


def test_misalignment_turns_the_photon_before_it_decays():
    device = exact_device(misalignment=0.4, amplitude_damping=0.3)
    turn = np.array([[np.cos(0.2), -np.sin(0.2)], [np.sin(0.2), np.cos(0.2)]])  # ry(0.4)
    vector = np.kron(np.eye(2), turn) @ BELL_VECTORS["phi+"]
    rho = damped(density(vector), 0.3)
    expected = joint_table(rho, EKERT.alice_angles[2], EKERT.bob_angles[0])
    np.testing.assert_allclose(device.table[2, 0], expected, atol=1e-12)


@pytest.mark.parametrize(
    "arguments",
    [{}, EVERYTHING, {"attack": partial(intercept_with_record, angle=0.5)}],
    ids=["ideal", "everything", "eve with a notebook"],
)
@pytest.mark.parametrize("make", FACTORIES)
def test_rounds_follow_the_exact_table_in_every_cell(make, arguments):
    rounds = 20_000
    table = exact_device(**arguments).table
    x, y = every_pair(EKERT, rounds)
    cells = tally(x, y, *make(**arguments, seed=7)(x, y), shape=table.shape)
    assert_every_cell(cells, table, rounds=rounds, off_by=0.04)


@pytest.mark.parametrize("make", FACTORIES_OF)
@pytest.mark.parametrize("settings", [ASYMMETRIC, BBM92], ids=["asymmetric", "bbm92"])
def test_rounds_follow_the_table_when_the_parties_differ(make, settings):
    rounds, source = 5_000, source_of(lopsided_density())
    table = exact_device_of(source, settings=settings).table
    x, y = every_pair(settings, rounds)
    cells = tally(x, y, *make(source, settings=settings, seed=3)(x, y), shape=table.shape)
    assert_every_cell(cells, table, rounds=rounds, off_by=0.08)


@pytest.mark.parametrize("make", FACTORIES_OF)
def test_outcomes_return_to_the_rounds_they_belong_to(make):
    # Deterministic in every round: Alice's photon is |0>, Bob's |1>, and angles 0 or 180 degrees.
    source = bell_pair().copy_empty_like("certain")
    source.x(1)
    settings = type(EKERT)("certain", (0.0, np.pi), (0.0, np.pi, 0.0))
    x, y = every_pair(settings, 50)
    a, b = make(source, settings=settings)(x, y)
    np.testing.assert_array_equal(a, x)
    np.testing.assert_array_equal(b, y != 1)


@pytest.mark.parametrize("make", FACTORIES_OF)
def test_analyser_may_misread_one_party_only(make):
    def bob_reads_ones(source, alice_angle, bob_angle):
        measured = measured_pair(source, alice_angle, bob_angle)
        return with_readout_error(measured, "bob", one_given_zero=1.0, zero_given_one=0.0)

    x, y = every_pair(EKERT, 30)
    a, b = make(bell_pair(), analyser=bob_reads_ones, seed=1)(x, y)
    assert b.all()
    assert 0 < a.sum() < len(a)


@pytest.mark.parametrize("make", FACTORIES)
def test_outcomes_are_bits_of_one_byte(make):
    a, b = make(seed=1)(*every_pair(EKERT, 3))
    assert (a.dtype, b.dtype, a.shape, b.shape) == (np.uint8, np.uint8, (27,), (27,))
    assert set(a) | set(b) <= {0, 1}


@pytest.mark.parametrize("make", FACTORIES_OF)
def test_noise_on_alices_arm_comes_in_through_the_source(make):
    source = with_dephasing(with_visibility(bell_pair(), 0.9), 0.5, party="alice")
    x = np.full(4000, 2, np.uint8)
    a, b = make(source, seed=2)(x, np.ones(4000, np.uint8))  # both along X, where no phase is left
    assert_binomial(np.count_nonzero(a == b), 4000, 0.5, must_detect=0.6)


def photon_measured_on_the_way(source):
    result = source.copy()
    result.add_register(ClassicalRegister(1, "eve"))
    result.measure(1, 0)
    return result


def test_exact_device_refuses_a_measurement_before_the_end():
    with pytest.raises(ValueError, match="must measure at its end only"):
        exact_device(attack=photon_measured_on_the_way)


def test_aer_device_runs_a_measurement_before_the_end():
    device = aer_device(attack=photon_measured_on_the_way, seed=1)
    x = np.repeat(np.uint8([0, 2]), 1000)
    y = np.ones(2000, np.uint8)  # Bob along X; his photon is left along Z
    a, b = device(x, y)
    assert_binomial(np.count_nonzero(a == b), 2000, 0.5, must_detect=0.62)


@pytest.mark.parametrize("attack", [RANDOM_EVE, partial(intercept_with_record, angle=0.5)])
def test_aer_device_samples_shots_from_one_density_matrix(monkeypatch, attack):
    # The other way, a state-vector trajectory per shot, is a hundred times slower.
    results = []
    original = AerSimulator.run

    def noted_run(self, circuits, **options):
        job = original(self, circuits, **options)
        results.extend(job.result().results)
        return job

    device = aer_device(**{**EVERYTHING, "attack": attack}, seed=1)
    monkeypatch.setattr(AerSimulator, "run", noted_run)
    device(*every_pair(EKERT, 5))
    assert len(results) == 9
    assert {result.metadata["method"] for result in results} == {"density_matrix"}
    assert all(result.metadata["measure_sampling"] for result in results)
