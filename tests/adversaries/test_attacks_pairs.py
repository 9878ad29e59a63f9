"""Photon-number splitting, from the states of n photons and from detectors that see few of them."""

import math

import numpy as np
import pytest
from e91_circuits import (
    bell_pair,
    coincidence_shares,
    measured_pair,
    memory_information,
    pair_visibility,
    split_photons,
    thermal_visibility,
)
from hypothesis import given
from hypothesis import strategies as st

from e91.adversaries import Conditions, run_attack, stage
from e91.adversaries.interception import purifier_guess_rate, purifier_information
from e91.model.errors import Abort

MEAN_PAIRS = (0.0, 1e-6, 0.01, 0.05, 0.1, 0.3, 1.0, 3.0, 30.0)


def h(p):
    return float(sum(-q * math.log2(q) for q in (p, 1 - p) if q > 0))


def n_pairs(n):
    """psi[a, k, b, l] of n pairs: one photon of each side, and m of the n - 1 others along Z.

    The state of n photons of one mode with m of them along Z is ``sqrt(m/n) |0> |m - 1>`` +
    ``sqrt((n - m)/n) |1> |m>``: a photon picked at random, and the rest.
    """
    psi = np.zeros((2, n, 2, n))
    split = np.zeros((n + 1, 2, n))
    for m in range(n + 1):
        if m:
            split[m, 0, m - 1] = math.sqrt(m / n)
        if m < n:
            split[m, 1, m] = math.sqrt((n - m) / n)
    psi = np.einsum("mak,mbl->akbl", split, split) / math.sqrt(n + 1)
    assert np.sum(psi**2) == pytest.approx(1)
    return psi


def along(angle):
    half = angle / 2
    return np.array([[math.cos(half), math.sin(half)], [-math.sin(half), math.cos(half)]])


def memory_of(n, angle):
    """Eve's unnormalised states for Alice's outcomes along ``angle``, Bob's photon traced out."""
    turned = np.einsum("ca,akbl->ckbl", along(angle), n_pairs(n)).transpose(0, 1, 3, 2)
    flat = turned.reshape(2, n * n, 2)
    return np.einsum("aib,ajb->aij", flat, flat)


def entropy(matrices):
    values = np.linalg.eigvalsh(matrices).ravel()
    values = values[values > 1e-14]
    return float(-(values * np.log2(values)).sum())


@pytest.mark.parametrize("n", range(1, 8))
def test_a_photon_of_either_side_of_n_pairs_is_a_werner_state(n):
    psi = n_pairs(n).transpose(0, 2, 1, 3).reshape(4, n * n)
    phi = np.array([1, 0, 0, 1]) / math.sqrt(2)
    v = pair_visibility(n)
    werner = v * np.outer(phi, phi) + (1 - v) * np.eye(4) / 4
    np.testing.assert_allclose(psi @ psi.T, werner, atol=1e-12)


@pytest.mark.parametrize("angle", [0.0, 0.4, math.pi / 2])
@pytest.mark.parametrize("n", range(1, 8))
def test_what_eve_keeps_of_n_pairs_tells_what_the_closed_form_says(n, angle):
    states = memory_of(n, angle)
    guess = (1 + np.abs(np.linalg.eigvalsh(states[0] - states[1])).sum()) / 2
    assert guess == pytest.approx(purifier_guess_rate(pair_visibility(n)), abs=1e-9)
    holevo = entropy(states.sum(axis=0)[None]) + 1 - entropy(states)
    assert holevo == pytest.approx(purifier_information(pair_visibility(n)), abs=1e-9)


@pytest.mark.parametrize("mean_pairs", MEAN_PAIRS[1:7])
def test_detectors_of_low_efficiency_see_the_visibility(mean_pairs):
    """The Fock sum with real detectors, both of a side firing giving a random bit."""
    efficiency, mode = 1e-5, mean_pairs / 2
    same = different = 0.0
    for n in range(1, 400):
        chance = (n + 1) * math.exp(n * math.log(mode / (1 + mode))) / (1 + mode) ** 2 / (n + 1)
        for m in range(n + 1):
            plus, minus = (-math.expm1(k * math.log1p(-efficiency)) for k in (m, n - m))
            bit = plus * (1 - minus) + plus * minus / 2  # "+", and the like for "-"
            other = minus * (1 - plus) + plus * minus / 2
            same += chance * (bit**2 + other**2)
            different += chance * 2 * bit * other
    seen = (same - different) / (same + different)
    assert seen == pytest.approx(thermal_visibility(mean_pairs), rel=2e-3)


@pytest.mark.parametrize("mean_pairs", MEAN_PAIRS)
def test_shares_are_those_of_coincidences_by_number_of_pairs(mean_pairs):
    mode = mean_pairs / 2
    parts = coincidence_shares(mean_pairs)
    assert math.fsum(w for w, _ in parts) == pytest.approx(1)
    assert math.fsum(w * v for w, v in parts) == pytest.approx(thermal_visibility(mean_pairs))
    if mean_pairs == 0:
        assert parts[0] == (1.0, 1.0)
        return
    every = np.arange(1, 20_000)
    log = np.log1p(every) + 2 * np.log(every) + every * math.log(mode / (1 + mode))
    weights = np.exp(log - log.max())
    np.testing.assert_allclose([w for w, _ in parts[:7]], (weights / weights.sum())[:7], atol=1e-9)
    above = weights[7:].sum()
    if above / weights.sum() > 1e-9:
        inside = (weights[7:] * (every[7:] + 2) / (3 * every[7:])).sum() / above
        assert parts[7][1] == pytest.approx(inside, abs=1e-5)


@pytest.mark.parametrize("mean_pairs", MEAN_PAIRS)
def test_errors_bound_what_eve_knows_without_any_tagging(mean_pairs):
    """Koashi and Preskill: the phase errors are the bit errors, so h(Q) covers every pulse."""
    expected = stage("photon-number-splitting", Conditions(mean_pairs, seed=1)).expected
    assert expected.information <= h(expected.qber) + 1e-12
    # A source of signal states would give her every tagged bit, and show nothing.
    tagged_share = 1 - coincidence_shares(mean_pairs)[0][0]
    assert expected.information <= tagged_share + 1e-12
    if 0.01 <= mean_pairs <= 1:
        assert expected.information < 0.9 * h(expected.qber)
        assert expected.information < 0.9 * tagged_share


@given(st.lists(st.floats(0, 1), min_size=7, max_size=7).filter(lambda w: sum(w) > 1e-3))
def test_eve_who_blocks_pulses_by_their_number_of_pairs_is_covered_too(weights):
    """h is concave: whatever mixture she lets through, the errors of the mixture bound her."""
    shares = np.array(weights) / sum(weights)
    visibilities = np.array([pair_visibility(n) for n in range(1, 8)])
    errors = float(shares @ (1 - visibilities) / 2)
    known = float(shares @ [purifier_information(v) for v in visibilities])
    assert known <= h(errors) + 1e-9


def test_every_tagged_pulse_makes_errors_that_no_key_survives():
    for n in range(2, 50):
        qber = (1 - pair_visibility(n)) / 2
        assert qber == pytest.approx((n - 1) / (3 * n))
        assert qber > 1 / 6 - 1e-12 > 0.11


@pytest.mark.parametrize("mean_pairs", [0.01, 0.1, 0.5])
def test_even_eve_who_keeps_the_superposition_of_numbers_is_covered(mean_pairs):
    counted = memory_information(measured_pair(split_photons(bell_pair(), mean_pairs), 0.0, 0.0))
    whole = purifier_information(thermal_visibility(mean_pairs))
    assert counted < whole < h((1 - thermal_visibility(mean_pairs)) / 2)


def test_bright_pulses_make_no_key_and_faint_ones_do():
    faint = run_attack("photon-number-splitting", 0.01, rounds=300_000, seed=1)
    assert faint.session.abort is None
    assert faint.session.secret_bits < faint.session.evidence.key_size * (1 - faint.eve.information)
    bright = run_attack("photon-number-splitting", 1.0, rounds=300_000, seed=1)
    assert bright.session.abort is Abort.NO_VIOLATION


@pytest.mark.parametrize("mean_pairs", [-0.1, math.inf, math.nan])
def test_impossible_pulse_is_one_sentence(mean_pairs):
    with pytest.raises(ValueError, match="`mean_pairs` must be finite and at least 0, but is"):
        split_photons(bell_pair(), mean_pairs)
    with pytest.raises(ValueError, match="`strength` of `photon-number-splitting` must lie in"):
        run_attack("photon-number-splitting", mean_pairs)
    with pytest.raises(ValueError, match="`pairs` must be at least 1, but is 0"):
        pair_visibility(0)
