"""The finite device-independent key length: single rounds, several rounds, whole sessions."""

import math
from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from e91.model.numbers import TSIRELSON
from e91.model.records import Leak
from e91.security.device_independent import acin_entropy
from e91.security.entropy_accumulation import (
    Counts,
    amplification_cost,
    announced_test_bits,
    chosen_bets,
    credited_bits,
    payoffs,
    renyi_entropy,
)
from e91.security.secret_length import accumulated_length
from e91.security.shannon import binary_entropy

ORDERS = (1.0001, 1.01, 1.2, 1.5, 2.0)


# Exact quantities of a quantum strategy, by linear algebra ----------------------------------------


def power(matrix, exponent):
    """A positive matrix to a power, on its support."""
    values, vectors = np.linalg.eigh(matrix)
    values = np.where(values > 1e-13, values, 0)
    raised = np.where(values > 0, np.power(np.where(values > 0, values, 1), exponent), 0)
    return (vectors * raised) @ vectors.conj().T


def weight(blocks, side, order):
    """sum of tr (side^-s block side^-s)^order, s = (order - 1) / (2 order): 2^((1-order) H)."""
    root = power(side, -(order - 1) / (2 * order))
    return sum(np.trace(power(root @ block @ root, order)).real for block in blocks)


def observable(angle):
    return np.array([[math.cos(angle), math.sin(angle)], [math.sin(angle), -math.cos(angle)]])


def projectors(angle):
    return [(np.eye(2) + sign * observable(angle)) / 2 for sign in (1, -1)]


def eves_states(state, alice, bob=None):
    """Eve's unnormalised states for each outcome; ``state`` has axes A, B, E."""
    found = []
    for p, q in product(projectors(alice), projectors(bob) if bob is not None else [np.eye(2)]):
        after = np.einsum("ai,bj,ije->abe", p, q, state)
        found.append(np.einsum("abe,abf->ef", after, after.conj()))
    return found


def chsh_of(state, alice, bob):
    rho = np.einsum("abe,cde->abcd", state, state.conj()).reshape(4, 4)
    signs = ((1, 1), (1, -1))
    return sum(
        signs[x][y] * np.trace(rho @ np.kron(observable(alice[x]), observable(bob[y]))).real
        for x, y in product(range(2), range(2))
    )


def random_strategy(generator, *, noise):
    """A pure state of two qubits and Eve near a maximally entangled one, and four angles."""
    ideal = np.zeros((2, 2, 4), complex)
    ideal[0, 0, 0] = ideal[1, 1, 0] = 1
    state = ideal + noise * (
        generator.normal(size=(2, 2, 4)) + 1j * generator.normal(size=(2, 2, 4))
    )
    alice = np.array([0, math.pi / 2]) + noise * generator.normal(size=2)
    bob = np.array([math.pi / 4, -math.pi / 4]) + noise * generator.normal(size=2)
    return state / np.linalg.norm(state), alice, bob


@pytest.mark.parametrize("order", ORDERS)
def test_no_random_strategy_beats_the_single_round_bound(order):
    generator = np.random.default_rng(5)
    checked = 0
    for noise in np.repeat([0.0, 0.02, 0.05, 0.1, 0.2], 60):
        state, alice, bob = random_strategy(generator, noise=noise)
        value = abs(chsh_of(state, alice, bob))
        side = np.einsum("abe,abf->ef", state, state.conj())
        found = weight(eves_states(state, alice[0]), side, order)
        entropy = -math.log2(found) / (order - 1)
        # At orders near 1 the matrices' rounding, 1e-14, is divided by the small excess.
        assert entropy >= renyi_entropy(min(value, TSIRELSON), order=order) - 1e-12 / (order - 1)
        checked += value > 2.05
    assert checked > 100


@pytest.mark.parametrize("order", [1.05, 1.5])
def test_single_round_bound_is_tight_to_a_percent(order):
    """A search for Eve's best state at S = 2.6 comes near the bound; nothing is given away."""

    def decode(x):
        weights = np.exp(x[:2] - np.max(x[:2]))
        amplitudes = np.sqrt(weights / weights.sum())
        state = np.zeros((2, 2, 4))
        state[0, 0, 0] = state[1, 1, 0] = amplitudes[0] / math.sqrt(2)
        state[0, 0, 1], state[1, 1, 1] = (s * amplitudes[1] / math.sqrt(2) for s in (1, -1))
        return state, (0.0, math.pi / 2), (x[2], -x[2])

    def loss(x):
        state, alice, bob = decode(x)
        side = np.einsum("abe,abf->ef", state, state.conj())
        entropy = -math.log2(weight(eves_states(state, alice[0]), side, order)) / (order - 1)
        return entropy + 200 * max(0.0, 2.6 - chsh_of(state, alice, bob)) ** 2

    start = np.array([1.0, -1.0, 0.7])
    best = minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-9, "maxiter": 4000})
    found = chsh_of(*decode(best.x))
    bound = renyi_entropy(found, order=order)
    assert bound <= best.fun + 1e-9
    assert best.fun < bound * 1.01 + 1e-3


@pytest.mark.parametrize("order", ORDERS)
def test_weight_is_concave_in_s_so_that_a_tangent_bounds_it(order):
    s = np.linspace(2 + 1e-6, TSIRELSON - 1e-6, 4001)
    weights = [2 ** ((1 - order) * renyi_entropy(v, order=order)) for v in s]
    assert np.diff(weights, 2).max() < 1e-13


def weights_of(state, alice, bob, *, order):
    """Weights of a key round with Alice's first setting, and of a test won and lost, by pair."""
    side = np.einsum("abe,abf->ef", state, state.conj())
    tests = []
    for x, y in product(range(2), range(2)):
        sign = -1 if (x, y) == (1, 1) else 1
        blocks = [weight([block], side, order) for block in eves_states(state, alice[x], bob[y])]
        signs = [sign * a * b for a, b in product((1, -1), (1, -1))]
        tests.append([sum(np.extract(np.equal(signs, won), blocks)) for won in (1, -1)])
    return weight(eves_states(state, alice[0]), side, order), tests


def expected_payoff(bet, weights, *, key, tests):
    """Payoff and weight of one round: key bit of Alice's first setting, both outcomes of a test."""
    of_key, of_tests = weights
    base = math.exp(bet.log_base)
    total = 1 - key - sum(tests) + key * base * of_key
    for p, (won, lost) in zip(tests, of_tests, strict=True):
        total += base * ((p + bet.stake) * won + (p - bet.stake) * lost)
    return total


@pytest.mark.parametrize(
    ("order", "key", "tests"),
    [
        (1.001, 0.9, (0.01, 0.02, 0.03, 0.02)),
        (1.01, 0.7, (0.05, 0.05, 0.08, 0.07)),
        (1.1, 0.2, (0.2, 0.2, 0.2, 0.2)),
        (2.0, 0.0, (0.25, 0.25, 0.25, 0.25)),
    ],
)
def test_expected_payoff_of_a_round_never_exceeds_one(order, key, tests):
    bets = [
        payoffs(order, tangent, key_probability=key, test_probabilities=tests)
        for tangent in (2.1, 2.3, 2.6, 2.8)
    ]
    assert None not in bets
    generator = np.random.default_rng(11)
    for noise in np.repeat([0.0, 0.03, 0.1, 0.3, 1.0], 40):
        weights = weights_of(*random_strategy(generator, noise=noise), order=order)
        for bet in bets:
            assert expected_payoff(bet, weights, key=key, tests=tests) <= 1 + 1e-10


@pytest.mark.parametrize("alice", list(product((1, -1), repeat=2)))
@pytest.mark.parametrize("bob", list(product((1, -1), repeat=2)))
def test_deterministic_strategies_gain_nothing(alice, bob):
    key, tests = 0.9, (0.025,) * 4
    bet = payoffs(1.02, 2.5, key_probability=key, test_probabilities=tests)
    s = sum((-1 if (x, y) == (1, 1) else 1) * alice[x] * bob[y] for x in (0, 1) for y in (0, 1))
    base = math.exp(bet.log_base)
    expected = base * key + sum(
        p * base * (1 + sign * bet.stake / p)
        for p, sign in zip(
            tests,
            (alice[0] * bob[0], alice[0] * bob[1], alice[1] * bob[0], -alice[1] * bob[1]),
            strict=True,
        )
    )
    assert abs(s) <= 2
    assert expected <= 1 + 1e-12


def test_payoffs_of_rounds_with_memory_multiply():
    """Chain rule: the weight of two rounds is that of the first times that of the tilted second.

    Eve holds a quantum system that is correlated with both rounds, and the second round's device
    knows the first key bit: the identity holds to rounding for random states.
    """
    generator = np.random.default_rng(3)
    order = 1.4
    for _ in range(20):
        shape = (2, 2, 2, 3)  # first bit, second bit, device memory, Eve
        amplitudes = generator.normal(size=shape) + 1j * generator.normal(size=shape)
        amplitudes /= np.linalg.norm(amplitudes)
        joint = [
            [np.einsum("me,mf->ef", amplitudes[a, b], amplitudes[a, b].conj()) for b in range(2)]
            for a in range(2)
        ]
        side = sum(joint[a][b] for a in range(2) for b in range(2))
        root = power(side, -(order - 1) / (2 * order))
        sandwiched = [root @ sum(joint[a]) @ root for a in range(2)]
        first = sum(np.trace(power(block, order)).real for block in sandwiched)
        both = weight([joint[a][b] for a in range(2) for b in range(2)], side, order)
        tilted = 0.0
        for a in range(2):  # the state of round two after tilting, with the first bit as side
            tilt = power(sandwiched[a], (order - 1) / 2)
            blocks = [tilt @ root @ joint[a][b] @ root @ tilt / first for b in range(2)]
            tilted += weight(blocks, sum(blocks), order)
        assert both == pytest.approx(first * tilted, rel=1e-9)


@pytest.mark.parametrize("order", [1.1, 2.0])
def test_leftover_hashing_bound_holds_exactly_for_a_classical_eve(order):
    """All 2^4 keys, one bit of Eve, all Toeplitz seeds: their mean distance is in the bound."""
    generator = np.random.default_rng(8)
    n, length = 4, 2
    keys = np.array(list(product((0, 1), repeat=n)))
    for _ in range(5):
        joint = generator.dirichlet(np.full(2 * 2**n, 0.3)).reshape(2**n, 2)
        side = joint.sum(axis=0)
        entropy = -math.log2((joint**order * side ** (1 - order)).sum()) / (order - 1)
        distance = 0.0
        seeds = list(product((0, 1), repeat=n + length - 1))
        for seed in seeds:
            matrix = np.array([[seed[i - j + n - 1] for j in range(n)] for i in range(length)])
            hashed = (keys @ matrix.T % 2) @ (2, 1)
            table = np.zeros((4, 2))
            np.add.at(table, hashed, joint)
            distance += np.abs(table - side / 4).sum() / 2 / len(seeds)
        exponent = (order - 1) / order * (length - entropy)
        assert distance <= 2 ** (2 / order - 2 + exponent) + 1e-12


# Lengths of whole sessions ------------------------------------------------------------------------


def session(rounds, *, s=2.7, qber=0.015, test=0.05, epsilon=1e-10, efficiency=1.2):
    key, win = 1 - test, 0.5 + s / 8
    counts = Counts(
        rounds * key, (rounds * test / 4 * win,) * 4, (rounds * test / 4 * (1 - win),) * 4,
        key, (test / 4,) * 4,
    )  # fmt: skip
    leaked = math.ceil(efficiency * rounds * key * binary_entropy(qber))
    return accumulated_length(
        counts,
        rounds=rounds,
        chsh_value=s,
        announced_sample_bits=0.0,
        leak=Leak(leaked, 0),
        epsilon=epsilon,
    )


def rate(rounds, **options):
    return math.fsum(bits for _, bits in session(rounds, **options).terms) / rounds


ROUNDS = [10**k for k in range(1, 16)]


@pytest.mark.parametrize("test", [0.001, 0.01, 0.1])
def test_rate_grows_with_rounds_and_stays_below_the_asymptotic_one(test):
    rates = [rate(n, test=test) for n in ROUNDS]
    assert all(first < second for first, second in pairwise(rates))
    assert rates[-1] < (1 - test) * (acin_entropy(2.7) - 1.2 * binary_entropy(0.015))


@pytest.mark.parametrize("rounds", [10**5, 10**7])
@pytest.mark.parametrize("s", [2.9, 3.2, 4.0])
def test_luck_beyond_quantum_theory_earns_nothing(rounds, s):
    assert rate(rounds, s=s, test=0.05) <= rate(rounds, s=TSIRELSON, test=0.05) * (1 + 1e-12)


def test_rate_tends_to_the_asymptotic_one_as_tests_become_rare():
    best = max(rate(10**15, test=t) for t in (1e-5, 3e-5, 1e-4, 3e-4))
    limit = acin_entropy(2.7) - 1.2 * binary_entropy(0.015)
    assert limit * 0.998 < best < limit


@given(
    st.floats(2.0, TSIRELSON - 0.01),
    st.floats(1e-4, 0.01),
    st.floats(0.0, 0.1),
    st.sampled_from([10**5, 10**7, 10**10]),
)
def test_rate_is_monotone_in_s_qber_and_epsilon(s, more, qber, rounds):
    at = rate(rounds, s=s, qber=qber)
    assert rate(rounds, s=s + more, qber=qber) >= at - 1e-9
    assert rate(rounds, s=s, qber=qber + more) <= at + 1e-9
    assert rate(rounds, s=s, qber=qber, epsilon=1e-30) <= at


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("epsilon", [1e-1, 1e-10, 1e-30])
def test_length_is_finite_from_ten_to_1e15_rounds(rounds, epsilon):
    assert math.isfinite(rate(rounds, epsilon=epsilon))


def test_more_than_tsirelson_earns_no_more():
    assert session(10**8, s=3.5).bits <= session(10**8, s=TSIRELSON).bits


def test_fixed_bets_are_nearly_as_good_as_the_best_for_the_true_s():
    """Not knowing S beforehand costs less than 4 % of the entropy at 10^6 rounds."""
    for s in (2.6, 2.7, 2.8):
        counts = Counts(
            0.95e6,
            (1.25e4 * (0.5 + s / 8),) * 4,
            (1.25e4 * (0.5 - s / 8),) * 4,
            0.95,
            (0.0125,) * 4,
        )
        options = {"key_probability": 0.95, "test_probabilities": (0.0125,) * 4}
        bets = chosen_bets(1e6, epsilon=1e-10, **options)
        fixed = credited_bits(counts, bets) - amplification_cost(bets[0].order, epsilon=1e-10)
        best = max(
            bet.credit(counts) - amplification_cost(bet.order, epsilon=1e-10)
            for order in 1 + np.geomspace(1e-5, 1e-2, 60)
            for tangent in np.linspace(2.1, 2.82, 60)
            if (bet := payoffs(order, tangent, **options))
        )
        assert best * 0.96 < fixed <= best


def test_announced_bits_obey_krafts_inequality():
    """Summed over all outcomes of five rounds of a pair, 2^-length is at most 1."""
    total = sum(
        math.comb(5, wins)
        * 2**5
        * 2 ** -announced_test_bits(Counts(0, (wins,), (5 - wins,), 0.5, (0.5,)))
        for wins in range(6)
    )
    assert total <= 1 + 1e-12


@pytest.mark.parametrize("order", [1.0, 0.5, 2.1, math.nan])
def test_order_outside_its_range_is_refused(order):
    with pytest.raises(ValueError, match="`order` must lie in"):
        renyi_entropy(2.5, order=order)


@pytest.mark.parametrize("value", [4.1, -5, math.nan])
def test_impossible_s_is_refused(value):
    with pytest.raises(ValueError, match="`chsh_value` must lie in"):
        renyi_entropy(value, order=1.5)


def test_weights_above_one_are_refused():
    bet = payoffs(1.01, 2.6, key_probability=0.9, test_probabilities=(0.025,) * 4)
    counts = Counts(1, (1,) * 4, (0,) * 4, 0.9, (0.025,) * 4)
    with pytest.raises(ValueError, match="weights that add up to at most 1"):
        credited_bits(counts, (bet, bet))


@pytest.mark.parametrize("rounds", ROUNDS)
def test_weights_of_the_chosen_bets_add_up_to_at_most_one(rounds):
    bets = chosen_bets(rounds, key_probability=0.9, test_probabilities=(0.025,) * 4, epsilon=1e-10)
    assert sum(bet.weight for bet in bets) <= 1


def test_mixture_of_orders_is_refused():
    options = {"key_probability": 0.9, "test_probabilities": (0.025,) * 4}
    bets = [payoffs(order, 2.6, **options) for order in (1.01, 1.02)]
    with pytest.raises(ValueError, match="must have one order"):
        credited_bits(Counts(1, (1,) * 4, (0,) * 4, 0.9, (0.025,) * 4), bets)
    assert replace(bets[0], order=1.02).order == bets[1].order
