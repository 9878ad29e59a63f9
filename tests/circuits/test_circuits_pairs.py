"""The convention: states, angles, signs and bits, each held against the Born rule."""

import numpy as np
import pytest
from born_rule import (
    BELL_VECTORS,
    circuit_table,
    correlator,
    density,
    emitted,
    joint_table,
    lopsided_density,
    source_of,
)
from e91_circuits import bell_pair, measured_pair, measured_qubit, party_qubit
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Parameter
from qiskit.primitives import StatevectorSampler

ANGLES = np.linspace(-np.pi, np.pi, 9)
CLOSED_FORM = {
    "phi+": lambda a, b: np.cos(a - b),
    "phi-": lambda a, b: np.cos(a + b),
    "psi+": lambda a, b: -np.cos(a + b),
    "psi-": lambda a, b: -np.cos(a - b),
}
TO_PHI_PLUS = {"phi-": "z", "psi+": "x", "psi-": "y"}


def product_source(alice_angle, bob_angle):
    """Each photon points along its own angle: no symmetry hides a wrong sign."""
    source = bell_pair().copy_empty_like("product")
    source.ry(alice_angle, 0)
    source.ry(bob_angle, 1)
    return source


@pytest.mark.parametrize("state", CLOSED_FORM)
def test_source_emits_the_state_of_its_name(state):
    np.testing.assert_allclose(emitted(bell_pair(state)), density(BELL_VECTORS[state]), atol=1e-12)


@pytest.mark.parametrize("state", CLOSED_FORM)
def test_correlator_of_every_bell_pair_is_the_closed_form(state):
    for a in ANGLES:
        for b in ANGLES:
            table = circuit_table(measured_pair(bell_pair(state), a, b))
            assert correlator(table) == pytest.approx(CLOSED_FORM[state](a, b), abs=1e-12)
            np.testing.assert_allclose(table.sum(axis=0), [0.5, 0.5], atol=1e-12)


@pytest.mark.parametrize(("state", "gate"), TO_PHI_PLUS.items())
def test_documented_gate_on_bobs_photon_gives_phi_plus(state, gate):
    source = bell_pair(state)
    getattr(source, gate)(party_qubit(source, "bob"))
    np.testing.assert_allclose(emitted(source), density(BELL_VECTORS["phi+"]), atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.tuples(*[st.floats(-7, 7)] * 4))
def test_each_photon_answers_to_its_own_analyser_with_the_right_sign(angles):
    # A flipped sign of an angle, a flipped bit or exchanged parties all change this table.
    alpha, beta, a, b = angles
    table = circuit_table(measured_pair(product_source(alpha, beta), a, b))
    alice = np.array([np.cos((a - alpha) / 2) ** 2, np.sin((a - alpha) / 2) ** 2])
    bob = np.array([np.cos((b - beta) / 2) ** 2, np.sin((b - beta) / 2) ** 2])
    np.testing.assert_allclose(table, np.outer(alice, bob), atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.floats(-7, 7), st.floats(-7, 7))
def test_any_source_is_measured_by_the_born_rule(a, b):
    rho = lopsided_density()
    table = circuit_table(measured_pair(source_of(rho), a, b))
    np.testing.assert_allclose(table, joint_table(rho, a, b), atol=1e-12)


@pytest.mark.parametrize(
    "wrong",
    [
        (-0.9, -0.3),
        (0.9, 0.3),
        (-0.3, 0.9),
        (0.45, -0.15),
        (0.9 + np.pi, -0.3),
        (0.9, -0.3 + np.pi),
    ],
    ids=["alice sign", "bob sign", "parties", "half angle", "alice bit", "bob bit"],
)
def test_wrong_convention_would_be_caught(wrong):
    source = product_source(0.4, 1.9)
    right = circuit_table(measured_pair(source, 0.9, -0.3))
    assert np.abs(circuit_table(measured_pair(source, *wrong)) - right).max() > 0.05


@pytest.mark.parametrize(("alice", "bob"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_outcomes_land_in_the_register_of_their_party(alice, bob):
    circuit = measured_pair(product_source(np.pi * alice, np.pi * bob), 0.0, 0.0)
    data = StatevectorSampler(seed=1).run([circuit], shots=5).result()[0].data
    assert data.alice.array.ravel().tolist() == [alice] * 5
    assert data.bob.array.ravel().tolist() == [bob] * 5


def test_angle_may_be_a_parameter_that_is_bound_later():
    a, b = Parameter("a"), Parameter("b")
    bound = measured_pair(bell_pair(), a, b).assign_parameters({a: 0.3, b: 1.1})
    expected = measured_pair(bell_pair(), 0.3, 1.1)
    np.testing.assert_allclose(circuit_table(bound), circuit_table(expected), atol=1e-15)


def test_measuring_leaves_the_source_alone():
    source = bell_pair()
    measured_pair(source, 0.1, 0.2)
    assert source == bell_pair()


def test_unknown_pair_is_refused():
    with pytest.raises(ValueError, match=r"`state` must be phi\+, .* but is 'ghz'"):
        bell_pair("ghz")


@pytest.mark.parametrize("angle", [float("nan"), float("inf")])
@pytest.mark.parametrize("party", ["alice", "bob"])
def test_angle_that_is_no_number_is_refused(angle, party):
    angles = {"alice_angle": 0.0, "bob_angle": 0.0, f"{party}_angle": angle}
    with pytest.raises(ValueError, match=f"`{party}_angle` must be a finite number"):
        measured_pair(bell_pair(), **angles)


def test_source_without_a_half_is_refused():
    with pytest.raises(ValueError, match="must have a one-qubit quantum register `bob_photon`"):
        measured_pair(QuantumCircuit(QuantumRegister(1, "alice_photon")), 0.0, 0.0)


def test_half_of_two_qubits_is_refused():
    circuit = QuantumCircuit(QuantumRegister(2, "alice"), QuantumRegister(1, "bob"))
    with pytest.raises(ValueError, match=r"but has \['alice\[2\]', 'bob\[1\]'\]"):
        party_qubit(circuit, "alice")


def test_pair_is_not_measured_twice():
    with pytest.raises(ValueError, match="must leave both halves unmeasured"):
        measured_pair(measured_pair(bell_pair(), 0.0, 0.0), 0.0, 0.0)


def test_party_that_measures_nothing_is_named():
    with pytest.raises(ValueError, match="must write the classical register `alice`, but 0 do"):
        measured_qubit(bell_pair(), "alice")


def test_second_measurement_into_the_same_register_is_refused():
    circuit = QuantumCircuit(QuantumRegister(1, "alice_photon"), ClassicalRegister(1, "alice"))
    circuit.measure(0, 0)
    circuit.measure(0, 0)
    with pytest.raises(ValueError, match="but 2 do"):
        measured_qubit(circuit, "alice")


def test_registers_of_a_measured_pair_differ_in_name():
    """As Qiskit before 2.6 wants it."""
    circuit = measured_pair(bell_pair(), 0.0, 0.0)
    names = [register.name for register in [*circuit.qregs, *circuit.cregs]]
    assert names == ["alice_photon", "bob_photon", "alice", "bob"]


def test_halves_in_registers_of_the_parties_names_are_found():
    circuit = QuantumCircuit(QuantumRegister(1, "bob"), QuantumRegister(1, "alice"))
    assert circuit.find_bit(party_qubit(circuit, "alice")).index == 1
