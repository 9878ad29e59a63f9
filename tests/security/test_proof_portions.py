"""The claims of docs/security.md, section 5, step by step: exact, or by another route."""

import math
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import combinations_with_replacement, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import betainc

from e91.model.records import Leak
from e91.security.secret_length import lengths, share_bound, split, trusted_analysers_length

ORDERS_OF_ROWS = [1, 2, 7, 60, 10**3, 10**6, 2**23, 10**9, 10**12]


# Equation (4): the phase errors of a portion ------------------------------------------------------


def exact_tail(in_rows, portions):
    """P(errors of one portion >= c) for c = 0, 1, ..., by fractions."""
    distribution = [Fraction(1)]
    for errors in in_rows:
        mean = Fraction(errors, portions)
        distribution = [
            (1 - mean) * stay + mean * move
            for stay, move in zip([*distribution, 0], [0, *distribution], strict=True)
        ]
    tails = [Fraction(0)]
    for chance in reversed(distribution):
        tails.append(tails[-1] + chance)
    return tails[::-1]


@pytest.mark.parametrize(("rows", "portions"), [(1, 2), (4, 2), (7, 2), (5, 4), (4, 8)])
@pytest.mark.parametrize("epsilon", [0.5, 0.1, 1e-2, 1e-4])
def test_no_pattern_of_errors_whatsoever_exceeds_its_share(rows, portions, epsilon):
    """All patterns, up to the order of rows and of the bits in them: a proof for these sizes."""
    exceeded = 0
    for in_rows in combinations_with_replacement(range(portions + 1), rows):
        bound = share_bound(sum(in_rows), rows=rows, portions=portions, epsilon=epsilon)
        too_many = math.floor(bound) + 1
        if too_many <= rows:
            chance = exact_tail(in_rows, portions)[too_many]
            assert chance <= epsilon
            exceeded += chance > 0
    if rows > 4 and epsilon >= 0.1:
        assert exceeded > 0  # the bound is no empty promise


def tail_in_doubles(in_rows, portions):
    """P(errors of one portion >= c); sums of positive numbers, so good to 1e-13."""
    distribution = np.ones(1)
    for errors in in_rows:
        mean = errors / portions
        distribution = np.convolve(distribution, (1 - mean, mean))
    return np.cumsum(distribution[::-1])[::-1]


@pytest.mark.parametrize(("rows", "portions"), [(60, 8), (200, 2)])
def test_every_number_of_errors_keeps_its_share_spread_or_heaped(rows, portions):
    """All counts up to the bits of the key, as even as they go and in as few rows as they go."""
    for errors in range(rows * portions + 1):
        bound = share_bound(errors, rows=rows, portions=portions, epsilon=1e-3)
        too_many = math.floor(bound) + 1
        if too_many > rows:
            continue
        even = [(errors + place) // rows for place in range(rows)]
        heaped = [min(portions, max(0, errors - portions * place)) for place in range(rows)]
        for in_rows in (even, heaped):
            assert sum(in_rows) == errors
            assert tail_in_doubles(in_rows, portions)[too_many] <= 1e-3 * (1 + 1e-9)


def test_portions_of_half_a_million_bits_cost_two_percent_of_the_key():
    """As section 5 says; 3 % phase errors and a leak of 15 %."""
    size = 8 * 2**19
    dealt = lengths(
        size,
        portions=8,
        phase_errors=lambda _: 0.03 * size,
        expected_rate=0.03,
        leak=Leak(size * 15 // 100),
        epsilon=1e-10,
    )
    whole = trusted_analysers_length(
        size,
        phase_errors=0.03 * size,
        expected_errors=0.03 * size,
        leak=Leak(size * 15 // 100),
        epsilon=1e-10,
    )
    cost = 1 - sum(length.bits for length in dealt) / whole.bits
    assert cost == pytest.approx(0.019, abs=0.001)


def divergence_in_decimals(share, mean):
    ones = share * (share / mean).ln() if share else Decimal(0)
    zeros = (1 - share) * ((1 - share) / (1 - mean)).ln() if share < 1 else Decimal(0)
    return ones + zeros


@given(
    st.sampled_from(ORDERS_OF_ROWS),
    st.sampled_from([2, 8, 64]),
    st.floats(1e-12, 0.9999),
    st.floats(-70, -0.01),
)
def test_share_is_never_below_chernoffs_bound_in_fifty_digits(rows, portions, mean, exponent):
    errors, epsilon = mean * rows * portions, 10.0**exponent
    bound = share_bound(errors, rows=rows, portions=portions, epsilon=epsilon)
    with localcontext() as context:
        context.prec = 50
        exact_mean = Decimal(errors) / portions / rows
        wanted = -Decimal(epsilon).ln() / rows
        if bound == rows:
            # Nothing below the row would do, or only what rounds to it.
            nearly = 1 - Decimal("1e-11")
            assert divergence_in_decimals(nearly, exact_mean) <= wanted
        else:
            share = Decimal(bound) / rows
            assert divergence_in_decimals(share, exact_mean) >= wanted
            less = exact_mean + (share - exact_mean) * (1 - Decimal("1e-5"))
            less -= share * Decimal("2e-12")
            assert less < exact_mean or divergence_in_decimals(less, exact_mean) < wanted


@pytest.mark.parametrize("rows", [10**3, 10**5, 2**19, 10**7, 10**9])
def test_share_covers_the_exact_binomial_tail_and_wastes_little(rows):
    """Like errors in every row; the tail by the incomplete beta function."""
    for mean, epsilon in product((1e-6, 0.01, 0.03, 0.11, 0.4), (1e-6, 1e-24, 1e-46)):
        bound = share_bound(8 * rows * mean, rows=rows, portions=8, epsilon=epsilon)
        too_many = math.floor(bound) + 1
        if too_many > rows:
            continue
        assert betainc(too_many, rows - too_many + 1, mean) <= epsilon
        # A bound with a tail 50 times as likely is not far: Chernoff's costs the root of the count.
        fewer = math.floor(rows * mean + 0.9 * (bound - rows * mean)) - 4
        if fewer > rows * mean:
            assert betainc(fewer, rows - fewer + 1, mean) > epsilon


@pytest.mark.parametrize("rows", ORDERS_OF_ROWS)
def test_key_without_errors_has_portions_without(rows):
    bound = share_bound(0, rows=rows, portions=8, epsilon=1e-30)
    assert bound < 1e-6 or bound == rows == 1
    full = share_bound(8 * rows, rows=rows, portions=8, epsilon=1e-30)
    assert full == rows


def test_row_that_a_turn_is_not_drawn_for_would_break_the_share():
    """One turn for all rows: Eve's column of errors falls on one portion, one time in eight."""
    rows, portions, epsilon = 400, 8, 1e-3
    bound = share_bound(rows, rows=rows, portions=portions, epsilon=epsilon)
    assert bound < rows  # what that portion then has, with probability 1/8
    own_turns = exact_tail([1] * rows, portions)[math.floor(bound) + 1]
    assert own_turns <= epsilon < 1 / portions


# Equation (5): the entropy of a portion for whoever holds the others ------------------------------


def entropy_of(matrix):
    values = np.linalg.eigvalsh(matrix)
    values = values[values > 1e-15]
    return float(-(values * np.log2(values)).sum())


def conditional_entropy(blocks):
    """H(classical index | quantum system) of unnormalised blocks."""
    return sum(entropy_of(block) for block in blocks) - entropy_of(sum(blocks))


def rotated(angle):
    """The basis that a party measures at ``angle``: columns are outcomes 0 and 1."""
    half = angle / 2
    return np.array([[math.cos(half), -math.sin(half)], [math.sin(half), math.cos(half)]])


def two_pairs(generator, noise):
    """A pure state of A1 B1 A2 B2 and Eve, near two perfect pairs, with correlated noise."""
    ideal = np.zeros((2, 2, 2, 2, 4), complex)
    for a, b in product(range(2), range(2)):
        ideal[a, a, b, b, 0] = 0.5
    disturbed = generator.normal(size=ideal.shape) + 1j * generator.normal(size=ideal.shape)
    state = ideal + noise * disturbed
    return state / np.linalg.norm(state)


def in_bases(state, angles):
    """The amplitudes with A1 B1 measured at the first angle, A2 B2 at the second."""
    first, second = (rotated(angle) for angle in angles)
    return np.einsum("abcde,ai,bj,ck,dl->ijkle", state, first, first, second, second)


def phase_error_of_the_first(state, angles):
    turned = in_bases(state, (angles[0] + math.pi / 2, angles[1]))
    return float(sum((np.abs(turned[a, 1 - a]) ** 2).sum() for a in range(2)))


def blocks_of_the_first(state, angles):
    """Eve's operators for each Z1, with the error pattern W and Z2 (so the other key) hers too."""
    measured = in_bases(state, angles)
    return [
        np.concatenate(
            [
                np.concatenate(
                    [np.outer(v, v.conj()).ravel() for v in [measured[z, z ^ w, y, y ^ x]]]
                )
                for w, x, y in product(range(2), repeat=3)
            ]
        ).reshape(8, 4, 4)
        for z in range(2)
    ]


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.05, 0.1, 0.3, 1.0])
def test_portion_is_as_secret_to_whoever_has_the_error_pattern_and_the_other_key(noise):
    """H(Z1 | Eve, W, Z2) >= 1 - h(phase error of the first pair), for jointly disturbed pairs."""
    generator = np.random.default_rng(17)
    for _ in range(40):
        state, angles = two_pairs(generator, noise), tuple(generator.uniform(0, math.pi, 2))
        alices = blocks_of_the_first(state, angles)
        entropy = sum(
            conditional_entropy([alices[0][given_], alices[1][given_]]) for given_ in range(8)
        )
        error = phase_error_of_the_first(state, angles)
        unknown = (
            0.0
            if error in (0, 1)
            else -(error * math.log2(error) + (1 - error) * math.log2(1 - error))
        )
        assert entropy >= 1 - unknown - 1e-9


def test_phase_errors_of_a_portion_do_not_depend_on_what_is_done_with_the_others():
    """Summed over W, and over the second pair's key, the first pair's phase errors stay."""
    generator = np.random.default_rng(3)
    flip = np.array([[0, 1], [1, 0]])
    for _ in range(40):
        state, angles = two_pairs(generator, 0.2), tuple(generator.uniform(0, math.pi, 2))
        measured = in_bases(state, angles)
        # Project on the second pair's Z2 and error, and on the first pair's parity, then turn.
        total = 0.0
        for w, x, y in product(range(2), repeat=3):
            kept = np.zeros_like(measured)
            kept[:, :, y, y ^ x] = measured[:, :, y, y ^ x]
            kept[[0, 1], [1 - w, w]] = 0
            turned = np.einsum(
                "ijkle,ia,jb->abkle", kept, rotated(math.pi / 2), rotated(math.pi / 2)
            )
            total += float((np.abs(turned * flip[:, :, None, None, None]) ** 2).sum())
        assert total == pytest.approx(phase_error_of_the_first(state, angles), abs=1e-12)


# From errors to entropy ---------------------------------------------------------------------------


@given(st.integers(2, 200), st.floats(0, 1))
def test_patterns_of_few_errors_are_fewer_than_two_to_the_entropy(bits, share):
    """log2 sum_(i <= m) C(n, i) <= n h(m / n), with room for the rounding of doubles."""
    errors = math.floor(share * bits / 2)
    patterns = math.log2(sum(math.comb(bits, i) for i in range(errors + 1)))
    rate = errors / bits
    entropy = 0.0 if not errors else -(rate * math.log2(rate) + (1 - rate) * math.log2(1 - rate))
    assert patterns <= bits * entropy - (0.4 if errors else 0)


@pytest.mark.parametrize("portions", [2, 16])
def test_what_may_fail_is_shared_by_the_portions_the_whole_key_and_the_deal(portions):
    asked = []

    def errors(failure):
        asked.append(failure)
        return 900.0

    found = lengths(2**16, portions=portions, phase_errors=errors, expected_rate=0.01,
                    leak=Leak(4_000, 4_000), epsilon=1e-9)  # fmt: skip
    estimation = split(1e-9 / portions).estimation
    assert asked == pytest.approx([estimation**2 / 2], rel=1e-12)
    rows = 2**16 // portions
    share = share_bound(900.0, rows=rows, portions=portions, epsilon=estimation**2 / 2)
    charged = dict(found[0].terms)["error correction, Alice's bits"]
    assert (found[0].phase_error * rows, -charged) == (pytest.approx(share), 4_000 / portions)


def test_parts_of_an_epsilon_add_up_to_it_with_estimation_counted_twice():
    budget = split(1e-10)
    assert budget.secrecy == 2 * budget.estimation + budget.amplification
    whole = budget.secrecy + budget.correctness + budget.authentication
    assert 0.999e-10 < whole <= 1e-10
