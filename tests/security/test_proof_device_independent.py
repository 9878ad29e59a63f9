"""The claims of docs/device_independent.md, step by step, each by another route than the code's."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom
from test_entropy_accumulation import ORDERS, power, projectors, random_strategy, session

from e91.bell.chsh import chsh_lower_bound
from e91.distillation.amplification.hashing import modified_toeplitz_hash
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
from e91.security.secret_length import accumulated_length, collective_length, split
from e91.security.shannon import binary_entropy

EPSILON = 1e-10
DISTANCE = split(EPSILON).secrecy


def length_by_hand(counts, rounds):
    """Equation (4) for the counts as they are, without error correction."""
    bets = chosen_bets(
        rounds,
        key_probability=counts.key_probability,
        test_probabilities=counts.test_probabilities,
        epsilon=DISTANCE,
    )
    cost = amplification_cost(bets[0].order, epsilon=DISTANCE)
    return credited_bits(counts, bets) - announced_test_bits(counts) - cost


def length_of(counts, rounds):
    found = accumulated_length(
        counts,
        rounds=rounds,
        chsh_value=2.7,
        announced_sample_bits=0.0,
        leak=Leak(),
        epsilon=EPSILON,
    )
    return math.fsum(bits for _, bits in found.terms)


# Section 1: one round -----------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS)
def test_weight_is_a_power_mean_of_the_chances_to_guess_alices_other_outcome(order):
    """q(S) = M_b(1 + c, 1 - c), b = 1 / order: the form in which the proof of concavity has it."""
    for value in np.linspace(2, TSIRELSON, 200):
        c = math.sqrt(min(1.0, value**2 / 4 - 1))
        mean = (((1 + c) ** (1 / order) + (1 - c) ** (1 / order)) / 2) ** order
        weight = 2 ** ((1 - order) * renyi_entropy(value, order=order))
        assert weight == pytest.approx(mean, rel=1e-11)


@given(st.floats(1e-3, 20), st.floats(0.01, 0.99))
def test_slope_of_the_weight_falls_as_s_grows(t, b):
    """The inequality to which the proof of concavity comes, and the slope that it is about.

    With c = tanh t and u = c^2 the weight is cosh(b t)^(1/b) / cosh t, and -2 d/du of it is
    cosh(b t)^(1/b - 1) sinh((1 - b) t) / tanh t.
    """
    assert (1 - b) * math.cosh(t) ** 2 * math.sinh(t) >= (
        math.cosh(b * t) * math.sinh((1 - b) * t) * (1 - 1e-12)
    )

    def weight(u):
        s = math.atanh(math.sqrt(u))
        return math.cosh(b * s) ** (1 / b) / math.cosh(s)

    if t < 3:
        u, step = math.tanh(t) ** 2, 1e-4 * math.tanh(t) ** 2 * (1 - math.tanh(t) ** 2)
        slope = (weight(u + step) - weight(u - step)) / (2 * step)
        closed = math.cosh(b * t) ** (1 / b - 1) * math.sinh((1 - b) * t) / math.tanh(t)
        assert -2 * slope == pytest.approx(closed, rel=1e-4)


# Section 2: a bet on every round ------------------------------------------------------------------


def positive(generator, size, rank):
    root = generator.normal(size=(size, rank)) + 1j * generator.normal(size=(size, rank))
    return root @ root.conj().T


@pytest.mark.parametrize("order", ORDERS)
def test_block_weighs_no_more_than_its_probability(order):
    """tr (s^-r block s^-r)^order <= tr block, for s the sum of the blocks: a test won, at most."""
    generator = np.random.default_rng(2)
    for rank in (1, 2, 4):
        for _ in range(30):
            blocks = [positive(generator, 4, rank) for _ in range(4)]
            side = sum(blocks)
            root = power(side, -(order - 1) / (2 * order))
            for block in blocks:
                weight = np.trace(power(root @ block @ root, order)).real
                assert weight <= np.trace(block).real * (1 + 1e-10)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("tangent", [2.15, 2.4, 2.7, 2.82])
@pytest.mark.parametrize(("key", "test"), [(0.9, 0.025), (0.3, 0.1), (0.0, 0.25)])
def test_bet_pays_one_at_its_tangent_and_less_at_every_other_s(order, tangent, key, test):
    """Equation (2), with the weight as a power mean: the code's payoffs are tight, and no more."""
    bet = payoffs(order, tangent, key_probability=key, test_probabilities=(test,) * 4)
    if bet is None:
        assert order > 1.1  # tests too rare for so large a stake
        return
    share, base = key + 4 * test, math.expm1(bet.log_base)

    def excess(s):  # of the expected payoff over 1, without the cancellation
        c = math.sqrt(max(0.0, s**2 / 4 - 1))
        logs = [math.log1p(c), math.log1p(-c) if c < 1 else -math.inf]
        mean = sum(math.expm1(each / order) for each in logs) / 2
        missing = math.expm1(order * math.log1p(mean))  # the weight less 1
        paid = (share - 4 * bet.stake) * missing + bet.stake * s
        return share * base + (1 + base) * paid

    # At orders near 1 all terms are small: what is left of them is compared with one of them.
    scale = bet.stake
    assert excess(tangent) == pytest.approx(0, abs=1e-9 * scale)
    assert max(map(excess, np.linspace(-TSIRELSON, 2, 50))) < 0
    assert max(map(excess, np.linspace(2, TSIRELSON - 1e-9, 2_000))) < 1e-9 * scale


# Section 3: two rounds of a device that remembers -------------------------------------------------

TESTS = list(product((0, 1), repeat=2))


def outcomes_of(role, angles):
    """Payoff's sign and projectors of each outcome: Alice's bit in a key round, both in a test."""
    alice, bob = angles
    if role == "key":
        return [(0, np.kron(p, np.eye(2))) for p in projectors(alice[0])]
    x, y = role
    sign = -1 if (x, y) == (1, 1) else 1
    return [
        (sign * a * b, np.kron(p, q))
        for (a, p), (b, q) in product(
            zip((1, -1), projectors(alice[x]), strict=True),
            zip((1, -1), projectors(bob[y]), strict=True),
        )
    ]


def weight_of_two_rounds(state, first, second, bet, *, key, test):
    """sum p p payoff payoff tr(s^-r rho s^-r)^a; ``state`` has axes round 1, round 2, Eve.

    ``second`` gives the angles of the second round from all that happened in the first.
    """
    base, order = math.exp(bet.log_base), bet.order
    side = np.einsum("ije,ijf->ef", state, state.conj())
    root = power(side, -(order - 1) / (2 * order))
    roles = [("key", key), *((pair, test) for pair in TESTS)]

    def paid(sign, probability):
        return probability * base * (1 + sign * bet.stake / test)

    total = 0.0
    for role, probability in roles:
        for index, (sign, projector) in enumerate(outcomes_of(role, first)):
            after = np.einsum("ik,kje->ije", projector, state)
            # In a round that is neither key nor test the second pair is not asked.
            alone = np.einsum("ije,ijf->ef", after, after.conj())
            idle = (1 - key - 4 * test) * np.trace(power(root @ alone @ root, order)).real
            continued = 0.0
            for later, chance in roles:
                for sign_later, projector_later in outcomes_of(later, second[role, index]):
                    end = np.einsum("jk,ike->ije", projector_later, after)
                    block = np.einsum("ije,ijf->ef", end, end.conj())
                    weight = np.trace(power(root @ block @ root, order)).real
                    continued += paid(sign_later, chance) * weight
            total += paid(sign, probability) * (continued + idle)
    first_idle = 1 - key - 4 * test
    for later, chance in roles:
        for sign_later, projector_later in outcomes_of(later, second["idle", 0]):
            end = np.einsum("jk,ike->ije", projector_later, state)
            block = np.einsum("ije,ijf->ef", end, end.conj())
            weight = np.trace(power(root @ block @ root, order)).real
            total += first_idle * paid(sign_later, chance) * weight
    return total + first_idle**2


def device_with_memory(generator, noise):
    """A state of two pairs and Eve, and angles; those of round two depend on round one."""
    pairs = [random_strategy(generator, noise=noise) for _ in range(2)]
    state = np.einsum("abe,cdf->abcdef", pairs[0][0], pairs[1][0]).reshape(4, 4, 16)
    mixed = generator.normal(size=state.shape) + 1j * generator.normal(size=state.shape)
    state = state + noise / 4 * mixed / np.linalg.norm(mixed)  # both rounds, and Eve, correlated
    occasions = [("key", 0), ("key", 1), ("idle", 0)]
    occasions += [(pair, index) for pair in TESTS for index in range(4)]
    second = {
        occasion: tuple(angles + noise * generator.normal(size=2) for angles in pairs[1][1:])
        for occasion in occasions
    }
    return state / np.linalg.norm(state), pairs[0][1:], second


@pytest.mark.parametrize(
    ("order", "tangent", "key", "test"),
    [(1.01, 2.6, 0.5, 0.1), (1.2, 2.7, 0.1, 0.2), (2.0, 2.3, 0.0, 0.25)],
)
@pytest.mark.parametrize("noise", [0.0, 0.05, 0.2, 1.0])
def test_two_rounds_with_memory_never_pay_more_than_one(order, tangent, key, test, noise):
    bet = payoffs(order, tangent, key_probability=key, test_probabilities=(test,) * 4)
    generator = np.random.default_rng(4)
    for _ in range(4):
        device = device_with_memory(generator, noise)
        assert weight_of_two_rounds(*device, bet, key=key, test=test) <= 1 + 1e-10


def test_two_best_rounds_pay_one():
    """At the state that the bet is made for nothing is given away but the tightness of q."""
    key, test = 0.5, 0.1
    bet = payoffs(1.01, TSIRELSON - 1e-6, key_probability=key, test_probabilities=(test,) * 4)
    state, first, second = device_with_memory(np.random.default_rng(0), 0.0)
    paid = weight_of_two_rounds(state, first, second, bet, key=key, test=test)
    assert 0.97 < paid <= 1 + 1e-10


# Section 4: hashing against a quantum Eve, event by event -----------------------------------------


def trace_norm(matrix):
    return float(np.abs(np.linalg.eigvalsh(matrix)).sum())


@pytest.mark.parametrize("order", [1.05, 1.3, 2.0])
@pytest.mark.parametrize("spread", [0.1, 1.0])
def test_leftover_hashing_holds_for_every_announcement_with_eves_state_before_it(order, spread):
    """All keys of three bits, all seeds, random states of Eve's ququart, two announcements.

    The bound has Eve's state before the announcement, as the sum over announcements needs it.
    """
    generator = np.random.default_rng(6)
    keys = np.array(list(product((0, 1), repeat=3)))
    seeds = list(product((0, 1), repeat=2))
    for length in (1, 2):
        hashes = np.array(
            [
                [
                    modified_toeplitz_hash(k, length, np.array(seed, np.uint8)) @ (2, 1)[-length:]
                    for k in keys.astype(np.uint8)
                ]
                for seed in seeds
            ]
        )
        for _ in range(4):
            blocks = np.array(
                [
                    [generator.gamma(spread) * positive(generator, 4, 2) for _ in keys]
                    for _ in range(2)
                ]
            )
            blocks /= np.trace(blocks.sum(axis=(0, 1))).real
            side = blocks.sum(axis=(0, 1))
            root = power(side, -(order - 1) / (2 * order))
            for announced in blocks:
                distance = 0.0
                for hashed in hashes:
                    for value in range(2**length):
                        there = announced[hashed == value].sum(axis=0)
                        ideal = announced.sum(axis=0) / 2**length
                        distance += trace_norm(there - ideal) / 2 / len(seeds)
                weight = sum(
                    np.trace(power(root @ block @ root, order)).real for block in announced
                )
                bound = 2 ** (2 / order - 2 + (order - 1) / order * length) * weight ** (1 / order)
                assert distance <= bound * (1 + 1e-9)


# Section 4 and 5: no key is longer than an attack allows ------------------------------------------


def weaker_chsh(value, tests, chance):
    """The S of a device that shows ``value`` or more with probability ``chance``."""
    wins = math.ceil(tests * (0.5 + value / 8))
    low, high = 2.0, value
    for _ in range(60):
        middle = (low + high) / 2
        likely = binom.sf(wins - 1, tests, 0.5 + middle / 8) > chance
        low, high = (low, middle) if likely else (middle, high)
    return high


@pytest.mark.parametrize("rounds", [10**5, 1_500_000, 10**8, 10**10])
@pytest.mark.parametrize("test", [0.005, 0.05, 0.2])
@pytest.mark.parametrize("value", [2.3, 2.677, 2.8])
def test_no_key_is_longer_than_the_best_attack_on_like_rounds_leaves(rounds, test, value):
    """Eve's device is weaker than it seems, with ten times the probability that she is allowed.

    It is the attack of Acin et al., round by round: a key longer than the entropy that it leaves,
    less the least that error correction discloses, is known to her.  (Fluctuations of that entropy
    are smaller than the root of the rounds times the odds.)
    """
    qber = 0.0144
    found = session(rounds, s=value, qber=qber, test=test, efficiency=1.0)
    length = math.fsum(bits for _, bits in found.terms)
    true = weaker_chsh(value, round(rounds * test), 10 * DISTANCE)
    keys = rounds * (1 - test)
    assert length < keys * (acin_entropy(true) - binary_entropy(qber))


@pytest.mark.parametrize("rounds", [10**5, 1_500_000, 10**8, 10**10])
@pytest.mark.parametrize("test", [0.005, 0.05, 0.2])
def test_no_key_against_collective_attacks_is_longer_either(rounds, test):
    value, of_pair = 2.677, round(rounds * test / 4)
    wins = (round(of_pair * (0.5 + value / 8)),) * 4
    losses = (of_pair - wins[0],) * 4
    bound = chsh_lower_bound(
        wins, losses, probabilities=(0.25,) * 4, epsilon=2 * split(EPSILON).estimation
    )
    keys = round(rounds * (1 - test))
    found = collective_length(
        keys, chsh_value=value, chsh_lower_bound=bound, leak=Leak(), epsilon=EPSILON
    )
    true = weaker_chsh(8 * wins[0] / of_pair - 4, 4 * of_pair, 10 * DISTANCE)
    assert math.fsum(bits for _, bits in found.terms) < keys * acin_entropy(true)


# Lengths that the theorem does not cover ----------------------------------------------------------


def test_luck_of_rare_pairs_never_makes_a_key_longer_than_the_theorem():
    """A device at the boundary of quantum theory, three rare pairs and a common one.

    In one of 130 sessions the rare pairs are so lucky that S exceeds 2 sqrt 2.
    """
    rounds, tests, key = 10**7, (1e-4, 1e-4, 1e-4, 0.05), 0.94
    strong = 0.8
    weak = math.sin(math.pi - 3 * math.asin(strong))  # S = 2.752, the most that 0.8 leaves
    sizes = np.array([round(rounds * p) for p in tests])
    generator = np.random.default_rng(1)
    lucky = 0
    for _ in range(2_000):
        wins = generator.binomial(sizes, (1 + np.array([strong, strong, strong, weak])) / 2)
        counts = Counts(key * rounds, tuple(wins), tuple(sizes - wins), key, tests)
        if np.sum(2 * wins / sizes - 1) > TSIRELSON:
            lucky += 1
            assert length_of(counts, rounds) <= length_by_hand(counts, rounds) + 1e-6
    assert lucky > 5


@pytest.mark.parametrize("common", [0.5, 0.6, 0.7, 0.8])
@pytest.mark.parametrize("rare", [1, 10, 1000])
def test_pairs_that_hardly_occurred_do_not_hide_a_local_device(rare, common):
    """Three pairs that were won by chance, and one with 80,000 rounds that says what is so."""
    rounds, sizes = 10**6, np.array([rare, rare, rare, 80_000])
    wins = np.array([rare, rare, rare, round(80_000 * common)])
    counts = Counts(0.92 * rounds, tuple(wins), tuple(sizes - wins), 0.92, (0.02,) * 4)
    assert length_of(counts, rounds) <= length_by_hand(counts, rounds) + 1e-6


def test_length_is_the_theorems_where_quantum_theory_is_respected():
    counts = Counts(9.5e5, (10_500,) * 4, (2_000,) * 4, 0.95, (0.0125,) * 4)
    assert length_of(counts, 10**6) == pytest.approx(length_by_hand(counts, 10**6), abs=1e-6)


@pytest.mark.parametrize("value", [2.9, 3.2, 3.9])
def test_forged_violations_earn_no_more_than_the_largest_one(value):
    assert session(10**7, s=value).bits <= session(10**7, s=TSIRELSON).bits <= 10**7
