"""Intercept and resend: the channel is the literal act, and has the closed-form S and QBER."""

import numpy as np
import pytest
from born_rule import circuit_table, correlator, emitted, lopsided_density, source_of
from e91_circuits import (
    bell_pair,
    intercept_resend,
    intercept_resend_along,
    intercept_with_record,
    measured_pair,
    party_qubit,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import ClassicalRegister, QuantumRegister
from qiskit.quantum_info import DensityMatrix
from qiskit_aer.primitives import SamplerV2

from e91.model.settings import EKERT

FRACTIONS = [0.0, 0.3, 1.0]
EVE_ANGLES = {
    "z": [0.0],
    "x": [np.pi / 2],
    "random": [0.0, np.pi / 2],
    "breidbart": [np.pi / 4],
}


def correlation(source, a, b):
    return correlator(circuit_table(measured_pair(source, a, b)))


def chsh(source):
    return sum(
        sign * correlation(source, EKERT.alice_angles[x], EKERT.bob_angles[y])
        for (x, y), sign in EKERT.chsh_pairs
    )


def qber(source, angle):
    return (1 - correlation(source, angle, angle)) / 2


def forgetful_eve(source, angle):
    """Eve as two published programs have her: she never turns the photon back."""
    result = source.copy()
    result.add_register(QuantumRegister(1, "eve_memory"), ClassicalRegister(1, "eve"))
    result.ry(-angle, party_qubit(source, "bob"))
    result.cx(party_qubit(source, "bob"), result.qregs[-1][0])
    result.measure(result.qregs[-1], result.cregs[-1])
    return result


@pytest.mark.parametrize("angle", [0.0, np.pi / 4, np.pi / 2, 1.1, -2.0])
def test_channel_is_the_literal_act_on_any_source(angle):
    for source in (bell_pair(), bell_pair("psi-"), source_of(lopsided_density())):
        literal = intercept_with_record(source, angle)
        channel = intercept_resend_along(source, 1.0, angles=[angle])
        np.testing.assert_allclose(emitted(literal), emitted(channel), atol=1e-12)


@pytest.mark.parametrize("basis", EVE_ANGLES)
def test_named_basis_means_its_angles(basis):
    source = source_of(lopsided_density())
    named = intercept_resend(source, 0.4, basis=basis)
    direct = intercept_resend_along(source, 0.4, angles=EVE_ANGLES[basis])
    np.testing.assert_allclose(emitted(named), emitted(direct), atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.floats(0, 1), st.tuples(*[st.floats(-4, 4)] * 3))
def test_intercepted_correlator_is_the_closed_form(p, angles):
    a, b, phi = angles
    source = intercept_resend_along(bell_pair(), p, angles=[phi])
    expected = (1 - p) * np.cos(a - b) + p * np.cos(a - phi) * np.cos(b - phi)
    assert correlation(source, a, b) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("basis", EVE_ANGLES)
@pytest.mark.parametrize("p", FRACTIONS)
def test_s_falls_by_half_the_intercepted_fraction_in_every_basis(p, basis):
    source = intercept_resend(bell_pair(), p, basis=basis)
    assert chsh(source) == pytest.approx(2 * np.sqrt(2) * (1 - p / 2), abs=1e-12)


@pytest.mark.parametrize("angle", np.linspace(0, np.pi, 7))
def test_full_interception_in_the_plane_leaves_s_of_root_two(angle):
    source = intercept_resend_along(bell_pair(), 1.0, angles=[angle])
    assert chsh(source) == pytest.approx(np.sqrt(2), abs=1e-12)


@pytest.mark.parametrize("p", FRACTIONS)
def test_random_basis_makes_a_quarter_of_errors_in_both_ekert_keys(p):
    source = intercept_resend(bell_pair(), p, basis="random")
    for x, y in EKERT.key_pairs:
        assert EKERT.alice_angles[x] == pytest.approx(EKERT.bob_angles[y])
        assert qber(source, EKERT.alice_angles[x]) == pytest.approx(p / 4, abs=1e-12)


@pytest.mark.parametrize("p", FRACTIONS)
def test_eve_along_z_makes_no_error_in_a_z_key_so_only_s_shows_her(p):
    source = intercept_resend(bell_pair(), p, basis="z")
    assert qber(source, 0.0) == pytest.approx(0, abs=1e-12)
    assert qber(source, np.pi / 2) == pytest.approx(p / 2, abs=1e-12)


@pytest.mark.parametrize("p", FRACTIONS)
def test_breidbart_makes_a_quarter_of_errors_along_z_and_x_alike(p):
    source = intercept_resend(bell_pair(), p, basis="breidbart")
    assert qber(source, 0.0) == pytest.approx(p / 4, abs=1e-12)
    assert qber(source, np.pi / 2) == pytest.approx(p / 4, abs=1e-12)
    assert qber(source, np.pi / 4) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("eve", [0.0, np.pi / 4, np.pi / 2])
@pytest.mark.parametrize("key", [0.0, np.pi / 4, np.pi / 2])
def test_every_key_basis_has_its_own_error_rate(eve, key):
    expected = np.sin(key - eve) ** 2 / 2
    assert qber(intercept_with_record(bell_pair(), eve), key) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("eve", [np.pi / 4, np.pi / 2])
def test_eve_who_does_not_turn_back_would_be_caught_basis_by_basis(eve):
    wrong = qber(forgetful_eve(bell_pair(), eve), eve)
    right = qber(intercept_with_record(bell_pair(), eve), eve)
    assert right == pytest.approx(0, abs=1e-12)
    assert wrong == pytest.approx((1 - np.cos(eve)) / 2, abs=1e-12)  # E = cos(a - eve) cos(b)
    assert wrong > 0.1


@pytest.mark.parametrize("eve", [0.0, 0.6, np.pi / 2])
@pytest.mark.parametrize("key", [0.0, np.pi / 4])
def test_eves_record_agrees_with_bob_by_the_angle_between_them(eve, key):
    circuit = measured_pair(intercept_with_record(bell_pair(), eve), 0.3, key)
    bare = circuit.remove_final_measurements(inplace=False)
    table = DensityMatrix(bare).probabilities([1, 2]).reshape(2, 2)
    assert np.trace(table) == pytest.approx(np.cos((key - eve) / 2) ** 2, abs=1e-12)


def test_eves_notebook_holds_bobs_bits_when_she_knows_his_angle():
    circuit = measured_pair(intercept_with_record(bell_pair(), np.pi / 4), np.pi / 4, np.pi / 4)
    data = SamplerV2(seed=1).run([circuit], shots=200).result()[0].data
    assert (data.eve.array == data.bob.array).all()
    assert (data.alice.array == data.bob.array).all()
    assert 0 < data.eve.array.sum() < 200


def test_eve_who_intercepts_nothing_adds_nothing():
    source = intercept_resend(bell_pair(), 0.0, basis="random")
    assert source == bell_pair()
    assert source.name == "phi+ pair"


def test_eve_leaves_her_argument_alone():
    source = bell_pair()
    intercept_resend(source, 1.0, basis="x")
    intercept_with_record(source, 1.0)
    assert source == bell_pair()


@pytest.mark.parametrize("fraction", [float("nan"), 1.2, -0.1])
def test_fraction_that_is_no_probability_is_refused(fraction):
    with pytest.raises(ValueError, match=rf"`fraction` must lie in \[0, 1\], but is {fraction}"):
        intercept_resend(bell_pair(), fraction, basis="z")


def test_unknown_basis_is_refused():
    with pytest.raises(ValueError, match="`basis` must be z, x, random or breidbart, but is 'y'"):
        intercept_resend(bell_pair(), 0.5, basis="y")


@pytest.mark.parametrize("angles", [[], [float("nan")], [0.0, float("inf")]])
def test_eve_without_a_direction_is_refused(angles):
    with pytest.raises(ValueError, match="`angles` must be finite numbers, at least one"):
        intercept_resend_along(bell_pair(), 0.5, angles=angles)


def test_recording_eve_without_a_direction_is_refused():
    with pytest.raises(ValueError, match="`angle` must be a finite number of radians"):
        intercept_with_record(bell_pair(), float("nan"))


def test_second_recording_eve_is_refused():
    with pytest.raises(ValueError, match="must have no register `eve` yet"):
        intercept_with_record(intercept_with_record(bell_pair(), 0.0), 1.0)
