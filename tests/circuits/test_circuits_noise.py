"""Every imperfection against its definition on a density matrix, and its closed form for S."""

import numpy as np
import pytest
from born_rule import (
    X,
    Z,
    circuit_table,
    correlator,
    damped,
    dephased,
    emitted,
    joint_table,
    lopsided_density,
    parties_swapped,
    source_of,
)
from e91_circuits import (
    bell_pair,
    measured_pair,
    with_amplitude_damping,
    with_channel,
    with_dephasing,
    with_misalignment,
    with_readout_error,
    with_visibility,
)

from e91.model.settings import EKERT

STRENGTHS = [0.0, 0.05, 0.2, 0.5, 1.0]
TSIRELSON = 2 * np.sqrt(2)


def on_party(party, bob_channel, rho, *arguments):
    """Apply a channel that is written for Bob to either party."""
    if party == "bob":
        return bob_channel(rho, *arguments)
    return parties_swapped(bob_channel(parties_swapped(rho), *arguments))


def chsh(source):
    return sum(
        sign
        * correlator(
            circuit_table(measured_pair(source, EKERT.alice_angles[x], EKERT.bob_angles[y]))
        )
        for (x, y), sign in EKERT.chsh_pairs
    )


def qber(source, angle):
    return (1 - correlator(circuit_table(measured_pair(source, angle, angle)))) / 2


@pytest.mark.parametrize("visibility", STRENGTHS)
def test_visibility_mixes_any_source_with_white_noise(visibility):
    rho = lopsided_density()
    expected = visibility * rho + (1 - visibility) * np.eye(4) / 4
    np.testing.assert_allclose(
        emitted(with_visibility(source_of(rho), visibility)), expected, atol=1e-12
    )


@pytest.mark.parametrize("party", ["alice", "bob"])
@pytest.mark.parametrize("probability", STRENGTHS)
def test_dephasing_shrinks_the_coherences_of_one_party(probability, party):
    rho = lopsided_density()
    expected = on_party(party, dephased, rho, probability)
    noisy = with_dephasing(source_of(rho), probability, party=party)
    np.testing.assert_allclose(emitted(noisy), expected, atol=1e-12)


@pytest.mark.parametrize("party", ["alice", "bob"])
@pytest.mark.parametrize("probability", STRENGTHS)
def test_amplitude_damping_decays_one_party_towards_zero(probability, party):
    rho = lopsided_density()
    expected = on_party(party, damped, rho, probability)
    noisy = with_amplitude_damping(source_of(rho), probability, party=party)
    np.testing.assert_allclose(emitted(noisy), expected, atol=1e-12)


@pytest.mark.parametrize("angle", [0.0, 0.1, -0.7, 2.0])
def test_misalignment_is_an_analyser_turned_the_other_way(angle):
    rho = lopsided_density()
    for party, a, b in (("alice", 0.4 - angle, 1.3), ("bob", 0.4, 1.3 - angle)):
        turned = with_misalignment(source_of(rho), angle, party=party)
        table = circuit_table(measured_pair(turned, 0.4, 1.3))
        np.testing.assert_allclose(table, joint_table(rho, a, b), atol=1e-12)


@pytest.mark.parametrize("party", ["alice", "bob"])
@pytest.mark.parametrize(("to_one", "to_zero"), [(0, 0), (0.02, 0.05), (0.3, 0), (0, 1), (1, 1)])
def test_readout_error_is_a_classical_confusion_of_the_outcome(to_one, to_zero, party):
    rho = lopsided_density()
    measured = measured_pair(source_of(rho), 0.4, 1.3)
    noisy = with_readout_error(measured, party, one_given_zero=to_one, zero_given_one=to_zero)
    confusion = np.array([[1 - to_one, to_one], [to_zero, 1 - to_zero]])  # [true, read]
    true = joint_table(rho, 0.4, 1.3)
    expected = confusion.T @ true if party == "alice" else true @ confusion
    np.testing.assert_allclose(circuit_table(noisy), expected, atol=1e-12)


@pytest.mark.parametrize("v", STRENGTHS)
def test_werner_pair_has_the_closed_form_s_and_qber(v):
    source = with_visibility(bell_pair(), v)
    assert chsh(source) == pytest.approx(TSIRELSON * v, abs=1e-12)
    for angle in (0.0, 0.8, np.pi / 2):
        assert qber(source, angle) == pytest.approx((1 - v) / 2, abs=1e-12)


@pytest.mark.parametrize("p", STRENGTHS)
def test_dephased_pair_errs_along_x_only(p):
    source = with_dephasing(bell_pair(), p, party="bob")
    assert chsh(source) == pytest.approx(TSIRELSON * (1 - p), abs=1e-12)
    assert qber(source, 0.0) == pytest.approx(0, abs=1e-12)
    assert qber(source, np.pi / 2) == pytest.approx(p, abs=1e-12)


def test_dephased_pair_has_the_maximal_s_of_horodecki():
    # Horodecki, Phys. Lett. A 200, 340 (1995): 2 sqrt of the two largest squared singular values.
    source = with_dephasing(bell_pair(), 0.1, party="alice")
    rho = emitted(source)
    correlations = [[np.trace(rho @ np.kron(s, t)).real for t in (Z, X)] for s in (Z, X)]
    best = 2 * np.linalg.norm(np.linalg.svd(np.array(correlations), compute_uv=False))
    assert best == pytest.approx(2 * np.sqrt(1 + 0.8**2), abs=1e-12)


@pytest.mark.parametrize("d", [0.0, 0.2, 1.0, np.pi / 2])
@pytest.mark.parametrize("party", ["alice", "bob"])
def test_misaligned_pair_has_the_closed_form_s_and_qber(d, party):
    source = with_misalignment(bell_pair(), d, party=party)
    assert chsh(source) == pytest.approx(TSIRELSON * np.cos(d), abs=1e-12)
    assert qber(source, np.pi / 4) == pytest.approx(np.sin(d / 2) ** 2, abs=1e-12)


@pytest.mark.parametrize("g", STRENGTHS)
def test_damped_pair_has_the_closed_form_s(g):
    source = with_amplitude_damping(bell_pair(), g, party="bob")
    assert chsh(source) == pytest.approx(np.sqrt(2) * (1 - g + np.sqrt(1 - g)), abs=1e-12)


def test_damping_of_a_fifth_gives_the_s_that_was_computed_elsewhere():
    # Computed for this project from a density matrix, outside this code base: 2.396282.
    assert chsh(with_amplitude_damping(bell_pair(), 0.2, party="bob")) == pytest.approx(
        2.396282, abs=5e-7
    )


@pytest.mark.parametrize("v", [0.3, 0.9])
def test_visibility_equals_depolarising_one_half_of_a_bell_pair(v):
    from qiskit_aer.noise import depolarizing_error

    source = bell_pair()
    source.append(depolarizing_error(1 - v, 1).to_instruction(), [1])
    np.testing.assert_allclose(
        emitted(source), emitted(with_visibility(bell_pair(), v)), atol=1e-12
    )


def test_visibilities_of_two_steps_multiply():
    twice = with_visibility(with_visibility(bell_pair(), 0.9), 0.8)
    np.testing.assert_allclose(
        emitted(twice), emitted(with_visibility(bell_pair(), 0.72)), atol=1e-12
    )


def test_noise_that_does_nothing_adds_nothing():
    source = with_visibility(bell_pair(), 1.0)
    source = with_dephasing(source, 0.0, party="alice")
    source = with_misalignment(source, 0.0, party="bob")
    source = with_amplitude_damping(source, 0.0, party="alice")
    measured = measured_pair(source, 0.0, 0.0)
    measured = with_readout_error(measured, "bob", one_given_zero=0.0, zero_given_one=0.0)
    assert measured == measured_pair(bell_pair(), 0.0, 0.0)
    assert measured.name == "phi+ pair"


def test_noise_leaves_its_argument_alone():
    source, measured = bell_pair(), measured_pair(bell_pair(), 0.1, 0.2)
    with_visibility(source, 0.5)
    with_dephasing(source, 0.5, party="bob")
    with_misalignment(source, 0.5, party="bob")
    with_amplitude_damping(source, 0.5, party="bob")
    with_readout_error(measured, "bob", one_given_zero=0.5, zero_given_one=0.5)
    assert source == bell_pair()
    assert measured == measured_pair(bell_pair(), 0.1, 0.2)


def test_name_tells_every_imperfection_in_order():
    source = with_misalignment(with_visibility(bell_pair(), 0.97), 0.1, party="bob")
    assert source.name == "phi+ pair, visibility 0.97, misalignment 0.1 rad (bob)"


@pytest.mark.parametrize("value", [float("nan"), 1.2, -0.1, float("inf")])
@pytest.mark.parametrize(
    ("name", "apply"),
    [
        ("visibility", lambda v: with_visibility(bell_pair(), v)),
        ("probability", lambda v: with_dephasing(bell_pair(), v, party="bob")),
        ("probability", lambda v: with_amplitude_damping(bell_pair(), v, party="bob")),
        (
            "one_given_zero",
            lambda v: with_readout_error(bell_pair(), "bob", one_given_zero=v, zero_given_one=0),
        ),
        (
            "zero_given_one",
            lambda v: with_readout_error(bell_pair(), "bob", one_given_zero=0, zero_given_one=v),
        ),
    ],
)
def test_number_that_is_no_probability_is_refused(name, apply, value):
    with pytest.raises(ValueError, match=rf"`{name}` must lie in \[0, 1\], but is {value}"):
        apply(value)


@pytest.mark.parametrize("angle", [float("nan"), float("inf")])
def test_misalignment_by_no_number_is_refused(angle):
    with pytest.raises(ValueError, match="`angle` must be a finite number of radians"):
        with_misalignment(bell_pair(), angle, party="bob")


@pytest.mark.parametrize(
    "noisy",
    [
        lambda pair, p: with_visibility(pair, p),
        lambda pair, p: with_dephasing(pair, p, party="bob"),
        lambda pair, p: with_amplitude_damping(pair, p, party="bob"),
    ],
)
def test_probability_of_single_precision_is_a_probability(noisy):
    assert noisy(bell_pair(), np.float32(0.9)).num_qubits == 2


def test_readout_error_needs_a_measured_circuit():
    with pytest.raises(ValueError, match="must write the classical register `bob`"):
        with_readout_error(bell_pair(), "bob", one_given_zero=0.1, zero_given_one=0.1)


def test_channel_of_two_parties_has_the_first_as_last_factor():
    flip_alice = np.kron(np.eye(2), X)
    source = with_channel(bell_pair(), [flip_alice], parties=["alice", "bob"], description="flip")
    expected = bell_pair()
    expected.x(0)
    np.testing.assert_allclose(emitted(source), emitted(expected), atol=1e-12)


def test_channel_that_loses_probability_is_refused():
    with pytest.raises(
        ValueError, match=r"must satisfy sum\(K\^dagger K\) = 1, but miss it by 0.5"
    ):
        with_channel(bell_pair(), [np.eye(2) / np.sqrt(2)], parties=["bob"], description="lossy")


def test_channel_of_the_wrong_size_is_refused():
    with pytest.raises(ValueError, match=r"must have shape \(2, 2\), but has \(4, 4\)"):
        with_channel(bell_pair(), [np.eye(4)], parties=["bob"], description="too large")
