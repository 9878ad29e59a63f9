"""Device-independent bounds against density matrices: attained by an attack, beaten by none."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from e91.model.numbers import TSIRELSON
from e91.security.device_independent import (
    RANDOM_BASIS_THRESHOLD,
    acin_entropy,
    acin_rate,
    acin_threshold,
    bell_efficiency_threshold,
    binned_statistics,
    key_efficiency_threshold,
    min_entropy,
    noisy_preprocessing_entropy,
    noisy_preprocessing_rate,
    noisy_preprocessing_threshold,
    random_basis_entropy,
    random_basis_rate,
    werner_chsh,
)
from e91.security.shannon import binary_entropy

X = np.array([[0, 1], [1, 0]], complex)
Z = np.diag([1, -1]).astype(complex)
I2 = np.eye(2)
X_OF_ALICE, Z_OF_ALICE = (np.kron(pauli, I2).real for pauli in (X, Z))
PAULI_PAIRS = np.array([np.kron(p, q).real.ravel() for p in (Z, X) for q in (Z, X)])
BELL = np.array([[1, 0, 0, 1], [1, 0, 0, -1], [0, 1, 1, 0], [0, 1, -1, 0]]) / math.sqrt(2)


# --- the second route: states, projectors and spectra ---------------------------------------------


def bell_diagonal(weights) -> np.ndarray:
    return (BELL.T * np.asarray(weights)) @ BELL


def observable(angle: float) -> np.ndarray:
    return math.cos(angle) * Z + math.sin(angle) * X


def entropy_of(spectrum: np.ndarray) -> float:
    return -sum(p * math.log2(p) for p in spectrum.tolist() if p > 1e-15)


def entropy_given_eve(rho: np.ndarray, angle: float, *, flip: float = 0.0) -> float:
    """H(A'|E) of Alice's outcome, flipped with probability ``flip``; Eve purifies ``rho``."""
    values, vectors = np.linalg.eigh(rho)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.conj().T
    alice = (np.eye(4) + math.cos(angle) * Z_OF_ALICE + math.sin(angle) * X_OF_ALICE) / 2
    # Eve's unnormalised states, up to a transposition that both share; their sum is hers, rho.
    first = root @ alice @ root
    noisy = [(1 - 2 * flip) * first + flip * rho, (2 * flip - 1) * first + (1 - flip) * rho]
    return entropy_of(np.linalg.eigvalsh(noisy).ravel()) - entropy_of(values)


def best_chsh(rho: np.ndarray, first: float, second: float) -> float:
    """S of Alice's two angles with Bob's best settings in the X-Z plane."""
    tensor = (PAULI_PAIRS @ rho.T.ravel()).real.reshape(2, 2)
    a, b = (np.array([math.cos(t), math.sin(t)]) for t in (first, second))
    return float(np.linalg.norm((a + b) @ tensor) + np.linalg.norm((a - b) @ tensor))


def optimal_attack(chsh_value: float) -> np.ndarray:
    """Eve's dephased pair: <ZZ> = 1, <XX> = c, so S = 2 sqrt(1 + c^2) with A0 = Z, A1 = X."""
    c = math.sqrt(chsh_value**2 / 4 - 1)
    return bell_diagonal([(1 + c) / 2, (1 - c) / 2, 0, 0])


def random_strategies(count: int, seed: int):
    random = np.random.default_rng(seed)
    for _ in range(count):
        # Small concentrations reach the corners, where S is large.
        weights = random.dirichlet(np.full(4, 0.3))
        yield bell_diagonal(weights), *random.uniform(0, math.pi, 2)


# --- published and cross-checked numbers ----------------------------------------------------------


def test_published_rates():
    # D01 (S = 2.7, Q = 2 %) and D08 (S = 2.677, Q = 1.44 %).
    assert acin_rate(2.7, 0.02) == pytest.approx(0.5870415828464594, abs=1e-12)
    assert acin_rate(2.677, 0.0144) == pytest.approx(0.5834144970865424, abs=1e-12)


def test_min_entropy_at_two_and_a_half():
    assert min_entropy(2.5) == pytest.approx(0.267567692676752, abs=1e-12)  # D06


def test_published_thresholds():
    # D02 (literature 7.1 %), D05 (literature 8.08 %), D07 (literature 92.4 %), L02 (82.84 %).
    assert acin_threshold() == pytest.approx(0.07149175884448569, abs=1e-9)
    assert noisy_preprocessing_threshold() == pytest.approx(0.08084753206385921, abs=2e-5)
    assert noisy_preprocessing_threshold() == pytest.approx(0.0808, abs=5e-5)
    assert key_efficiency_threshold() == pytest.approx(0.923136766034982, abs=1e-8)
    assert bell_efficiency_threshold() == pytest.approx(0.8284271247461902, abs=1e-12)


# --- attained by an attack, beaten by none --------------------------------------------------------


@pytest.mark.parametrize("flip", [0.0, 0.05, 0.3, 0.49])
@pytest.mark.parametrize("chsh_value", [2.0, 2.1, 2.4, 2.7, 2.8])
def test_entropy_is_attained_by_the_optimal_attack(chsh_value, flip):
    state = optimal_attack(chsh_value)
    assert best_chsh(state, 0.0, math.pi / 2) == pytest.approx(chsh_value, abs=1e-12)
    expected = entropy_given_eve(state, 0.0, flip=flip)
    assert noisy_preprocessing_entropy(chsh_value, flip=flip) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("flip", [0.0, 0.1, 0.4])
def test_no_bell_diagonal_state_leaves_alice_less_entropy(flip):
    violations = 0
    for state, first, second in random_strategies(1500, seed=1):
        chsh_value = best_chsh(state, first, second)
        violations += chsh_value > 2
        entropy = entropy_given_eve(state, first, flip=flip)
        assert entropy >= noisy_preprocessing_entropy(chsh_value, flip=flip) - 1e-9
    assert violations > 100  # else the search would have shown nothing


@pytest.mark.parametrize("slope_at", [2.2, 2.5, 2.7])
def test_direct_minimisation_finds_the_acin_bound(slope_at):
    # min over states and angles of H - k S is where the convex bound has slope k.
    step = 1e-5
    slope = (acin_entropy(slope_at + step) - acin_entropy(slope_at - step)) / (2 * step)

    def cost(x):
        state = bell_diagonal(x[:4] ** 2 / (x[:4] ** 2).sum())
        return entropy_given_eve(state, x[4]) - slope * best_chsh(state, x[4], x[5])

    random = np.random.default_rng(2)
    options = {"maxiter": 1200, "xatol": 1e-7, "fatol": 1e-10}
    starts = (np.r_[random.dirichlet(np.full(4, 0.3)), random.uniform(0, 3, 2)] for _ in range(3))
    best = min(minimize(cost, s, method="Nelder-Mead", options=options).fun for s in starts)
    assert best == pytest.approx(acin_entropy(slope_at) - slope * slope_at, abs=1e-6)


@pytest.mark.parametrize("tilt", [0.1, 0.4, 0.7])
def test_min_entropy_is_attained_by_a_tilted_pair(tilt):
    # cos t |00> + sin t |11>: S = 2 sqrt(1 + sin^2 2t), and Z is guessed with (1 + cos 2t) / 2.
    ket = np.array([math.cos(tilt), 0, 0, math.sin(tilt)])
    rho = np.outer(ket, ket).astype(complex)
    guess = (1 + np.trace(rho @ np.kron(Z, I2)).real) / 2
    assert min_entropy(best_chsh(rho, 0.0, math.pi / 2)) == pytest.approx(-math.log2(guess))


def test_random_basis_entropy_is_below_every_bell_diagonal_state():
    for state, first, second in random_strategies(1500, seed=3):
        entropy = (entropy_given_eve(state, first) + entropy_given_eve(state, second)) / 2
        assert entropy >= random_basis_entropy(best_chsh(state, first, second)) - 1e-9


def test_random_basis_entropy_is_below_the_minimum_of_a_direct_search():
    # The line's slope is the binding part: minimise H - slope (S - 2), zero for local devices.
    def cost(x, slope):
        state = bell_diagonal(x[:4] ** 2 / (x[:4] ** 2).sum())
        entropy = (entropy_given_eve(state, x[4]) + entropy_given_eve(state, x[5])) / 2
        return entropy - slope * (best_chsh(state, x[4], x[5]) - 2)

    def minimum(slope):
        random = np.random.default_rng(4)
        starts = [np.r_[random.dirichlet(np.full(4, 0.3)), random.uniform(0, 3, 2)] for _ in "ab"]
        starts.append(np.array([1.0, 0.1, 0.0, 0.1, 0.89, -0.68]))  # near the published attack
        options = {"maxiter": 1500, "xatol": 1e-6, "fatol": 1e-9}
        searches = (
            minimize(cost, s, args=(slope,), method="Nelder-Mead", options=options) for s in starts
        )
        return min(search.fun for search in searches)

    assert minimum(random_basis_entropy(2.3) / 0.3) >= -1e-7
    assert minimum(1.2) < -1e-3  # the search does find the attack that limits the slope to 1.191


def test_random_basis_entropy_is_below_the_bb84_type_relaxation():
    # For qubits H(A|E) >= 1 - h((1 + |<A' B>|) / 2), with A' orthogonal to A in the plane and B
    # Bob's best.  A dense grid over correlation tensors diag(t1, t2) and Alice's two angles.
    t = np.linspace(0, 1, 26)
    angles = np.linspace(0, math.pi, 73)
    t1, t2, a, b = np.meshgrid(t, t, angles, angles, indexing="ij", sparse=True)

    def entropy(angle):
        w = np.clip((1 + np.hypot(t1 * np.sin(angle), t2 * np.cos(angle))) / 2, 0.5, 1)
        v = 1 - w
        return 1 + w * np.log2(w) + np.where(v > 0, v * np.log2(np.where(v > 0, v, 1)), 0)

    def length(sign):
        first = t1 * (np.cos(a) + sign * np.cos(b))
        return np.hypot(first, t2 * (np.sin(a) + sign * np.sin(b)))

    slope = random_basis_entropy(2.3) / 0.3
    excess = (entropy(a) + entropy(b)) / 2 - slope * (length(1) + length(-1) - 2)
    assert excess.min() >= -1e-9
    # The relaxation leaves little room: a slope 5 % larger would break it.
    assert (excess - 0.05 * slope * (length(1) + length(-1) - 2)).min() < 0


def test_random_basis_threshold_is_the_printed_one_and_never_more():
    printed = RANDOM_BASIS_THRESHOLD
    assert printed == 0.082
    assert random_basis_rate(werner_chsh(printed - 1e-6), printed - 1e-6) > 0
    for qber in np.linspace(printed + 1e-9, 0.5, 200):
        assert random_basis_rate(werner_chsh(qber), qber) == 0


# --- noisy preprocessing --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chsh_value", "qber"), [(2.7, 0.02), (2.4, 0.07), (2.55, 0.05), (2.37, 0.08)]
)
def test_no_flip_probability_beats_the_one_returned(chsh_value, qber):
    found = noisy_preprocessing_rate(chsh_value, qber)
    for flip in np.linspace(0, 0.4999, 4001):
        noisy = qber + flip - 2 * qber * flip
        rate = noisy_preprocessing_entropy(chsh_value, flip=flip) - binary_entropy(noisy)
        assert rate <= found.rate + 1e-6
    noisy = qber + found.flip - 2 * qber * found.flip
    entropy = noisy_preprocessing_entropy(chsh_value, flip=found.flip)
    assert found.rate == pytest.approx(max(0.0, entropy - binary_entropy(noisy)), abs=1e-12)


def test_noisy_preprocessing_rate_vanishes_at_its_threshold():
    threshold = noisy_preprocessing_threshold()
    below, above = threshold - 5e-6, threshold + 5e-6
    assert noisy_preprocessing_rate(werner_chsh(below), below).rate > 0
    assert noisy_preprocessing_rate(werner_chsh(above), above).rate == 0


@given(st.floats(-4, 4), st.floats(0, 1), st.floats(1, 2))
def test_noise_never_hurts_when_it_is_optional(chsh_value, qber, efficiency):
    plain = acin_rate(chsh_value, qber, efficiency=efficiency)
    assert noisy_preprocessing_rate(chsh_value, qber, efficiency=efficiency).rate >= plain - 1e-12


# --- properties -----------------------------------------------------------------------------------


@pytest.mark.parametrize("entropy", [acin_entropy, min_entropy, random_basis_entropy])
def test_local_values_earn_nothing_and_impossible_ones_no_more_than_tsirelson(entropy):
    assert [entropy(s) for s in (-4, -2.8, 0, 1.9, 2)] == [0] * 5
    assert entropy(TSIRELSON) == pytest.approx(1, abs=1e-7)
    assert entropy(3.2) == entropy(4) == pytest.approx(1, abs=1e-7)


@pytest.mark.parametrize("entropy", [acin_entropy, min_entropy, random_basis_entropy])
@given(st.floats(-4, 4), st.floats(-4, 4))
def test_a_larger_s_never_lowers_the_entropy(entropy, first, second):
    low, high = sorted((first, second))
    assert 0 <= entropy(low) <= entropy(high) + 1e-12
    assert entropy(high) <= 1


@given(st.floats(-4, 4))
def test_bounds_keep_their_order(chsh_value):
    assert min_entropy(chsh_value) <= acin_entropy(chsh_value) + 1e-9
    assert acin_entropy(chsh_value) <= random_basis_entropy(chsh_value)


@pytest.mark.parametrize("rate", [acin_rate, random_basis_rate])
@given(st.floats(2, 4), st.floats(0, 1), st.floats(0, 1))
def test_more_errors_never_raise_the_rate(rate, chsh_value, first, second):
    low, high = sorted((first, second))
    assert 0 <= rate(chsh_value, high) <= rate(chsh_value, low)


def test_a_wholly_wrong_key_earns_nothing():
    assert acin_rate(TSIRELSON, 1.0) == 0
    assert noisy_preprocessing_rate(TSIRELSON, 1.0).rate == 0


@given(st.floats(2, TSIRELSON))
def test_flipping_fairly_leaves_one_bit(chsh_value):
    assert noisy_preprocessing_entropy(chsh_value, flip=0.5) == pytest.approx(1, abs=1e-7)


# --- detectors ------------------------------------------------------------------------------------


@pytest.mark.parametrize("efficiency", [0.0, 0.5, 0.83, 1.0])
@pytest.mark.parametrize("visibility", [1.0, 0.9, 0.0])
def test_binned_statistics_agree_with_every_click_pattern(efficiency, visibility):
    state = visibility * bell_diagonal([1, 0, 0, 0]) + (1 - visibility) * np.eye(4) / 4

    def correlator(first, second):
        total = 0.0
        for clicks_a, clicks_b in product((True, False), repeat=2):
            weight = (efficiency if clicks_a else 1 - efficiency) * (
                efficiency if clicks_b else 1 - efficiency
            )
            a = observable(first) if clicks_a else I2  # a no-click counts as eigenvalue +1
            b = observable(second) if clicks_b else I2
            total += weight * np.trace(state @ np.kron(a, b)).real
        return total

    q = math.pi / 4
    s = correlator(0, q) - correlator(0, 3 * q) + correlator(2 * q, q) + correlator(2 * q, 3 * q)
    both_lost = (1 - efficiency) ** 2
    expected_s, expected_qber = binned_statistics(efficiency, visibility=visibility)
    assert s == pytest.approx(expected_s, abs=1e-12)
    assert s - TSIRELSON * visibility * efficiency**2 == pytest.approx(2 * both_lost, abs=1e-12)
    assert (1 - correlator(0, 0)) / 2 == pytest.approx(expected_qber, abs=1e-12)


@pytest.mark.parametrize("visibility", [1.0, 0.95, 0.75])
def test_bell_violation_starts_at_its_threshold(visibility):
    at = bell_efficiency_threshold(visibility=visibility)
    assert binned_statistics(at - 1e-9, visibility=visibility)[0] < 2
    assert binned_statistics(min(1.0, at + 1e-9), visibility=visibility)[0] > 2


def test_key_starts_at_its_efficiency_threshold():
    at = key_efficiency_threshold()
    assert acin_rate(*binned_statistics(at + 1e-6)) > 0
    assert acin_rate(*binned_statistics(at - 1e-6)) == 0


@given(st.floats(0, 0.8284))
def test_no_key_below_the_detection_loophole(efficiency):
    # A local source fakes S = 2 sqrt(2) after post-selection down to 82.84 %.
    chsh_value, qber = binned_statistics(efficiency)
    assert acin_rate(chsh_value, qber) == 0
    assert noisy_preprocessing_rate(chsh_value, qber).rate == 0
    assert random_basis_rate(chsh_value, qber) == 0


# --- guards ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [4.01, -4.01, math.nan, math.inf])
@pytest.mark.parametrize(
    "call",
    [
        acin_entropy,
        min_entropy,
        random_basis_entropy,
        lambda s: noisy_preprocessing_entropy(s, flip=0.1),
        lambda s: noisy_preprocessing_rate(s, 0.01),
        lambda s: acin_rate(s, 0.01),
        lambda s: random_basis_rate(s, 0.01),
    ],
)
def test_impossible_s_is_refused(call, value):
    with pytest.raises(ValueError, match="`chsh_value` must lie in"):
        call(value)


@pytest.mark.parametrize("rate", [acin_rate, noisy_preprocessing_rate, random_basis_rate])
@pytest.mark.parametrize(
    ("qber", "efficiency", "sentence"),
    [
        (1.1, 1.0, "`qber` must lie in"),
        (-0.1, 1.0, "`qber` must lie in"),
        (math.nan, 1.0, "`qber` must lie in"),
        (0.1, 0.9, "`efficiency` must be"),
        (0.1, math.nan, "`efficiency` must be"),
    ],
)
def test_impossible_noise_is_refused(rate, qber, efficiency, sentence):
    with pytest.raises(ValueError, match=sentence):
        rate(2.5, qber, efficiency=efficiency)


@pytest.mark.parametrize("flip", [-0.1, 0.6, math.nan])
def test_impossible_flips_are_refused(flip):
    with pytest.raises(ValueError, match="`flip` must lie in"):
        noisy_preprocessing_entropy(2.5, flip=flip)


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan])
def test_impossible_detectors_are_refused(value):
    with pytest.raises(ValueError, match="`efficiency` must lie in"):
        binned_statistics(value)
    with pytest.raises(ValueError, match="`visibility` must lie in"):
        binned_statistics(0.9, visibility=value)
    with pytest.raises(ValueError, match="`visibility` must lie in"):
        bell_efficiency_threshold(visibility=value)
    with pytest.raises(ValueError, match="`qber` must lie in"):
        werner_chsh(value)


def test_hopeless_visibility_has_no_efficiency_threshold():
    with pytest.raises(ValueError, match="`visibility` must lie in"):
        bell_efficiency_threshold(visibility=1 / math.sqrt(2))
