"""Toeplitz hashing: equal to the matrix, exactly universal, exactly rounded."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statistical import assert_binomial

from e91.distillation import amplification
from e91.distillation.amplification import amplify, rounding_error_bound, toeplitz_hash
from e91.model.records import ChshEstimate, Release, SecretLength, VerifiedKey


def released(length):
    chsh = ChshEstimate(2.7, 0.01, 2.6, 0.0, 10_000)
    return Release(chsh, SecretLength((("test", float(length)),), None))


def toeplitz(seed, length, count):
    """The matrix written out from its definition."""
    return np.array(
        [[seed[i - j + count - 1] for j in range(count)] for i in range(length)], np.int64
    ).reshape(length, count)


def random_bits(count, seed):
    return np.random.default_rng(seed).integers(0, 2, count, dtype=np.uint8)


def test_example_of_the_definition():
    key = VerifiedKey(np.array([1, 0, 1], np.uint8))
    assert amplify(key, released(2), np.array([1, 1, 0, 1], np.uint8)).tolist() == [1, 0]


@given(st.integers(1, 60), st.data())
def test_hash_is_the_matrix_product(count, data):
    length = data.draw(st.integers(0, count))
    bits, seed = (
        random_bits(k, data.draw(st.integers(0, 99))) for k in (count, count + length - 1)
    )
    expected = toeplitz(seed, length, count) @ bits % 2
    assert np.array_equal(toeplitz_hash(bits, length, seed), expected)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 200), st.sampled_from([2, 4, 8, 16, 64]), st.data())
def test_cutting_into_blocks_changes_nothing(count, block, data):
    length = data.draw(st.integers(1, count))
    bits, seed = random_bits(count, 1), random_bits(count + length - 1, 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(amplification, "_BLOCK", block)
        hashed = toeplitz_hash(bits, length, seed)
    assert np.array_equal(hashed, toeplitz(seed, length, count) @ bits % 2)


@pytest.mark.parametrize(("count", "length"), [(2, 1), (3, 2), (4, 2), (5, 3)])
def test_collision_probability_over_all_seeds_is_exactly_two_to_the_minus_length(count, length):
    # Linear, so two keys collide where their difference hashes to zero.
    seeds = [np.array(s, np.uint8) for s in product((0, 1), repeat=count + length - 1)]
    for difference in product((0, 1), repeat=count):
        if any(difference):
            bits = np.array(difference, np.uint8)
            zeros = sum(not toeplitz_hash(bits, length, seed).any() for seed in seeds)
            assert zeros * 2**length == len(seeds)


def test_hash_is_linear_in_key_and_seed():
    a, b = random_bits(3000, 1), random_bits(3000, 2)
    s, t = random_bits(3999, 3), random_bits(3999, 4)
    assert np.array_equal(
        toeplitz_hash(a ^ b, 1000, s), toeplitz_hash(a, 1000, s) ^ toeplitz_hash(b, 1000, s)
    )
    assert np.array_equal(
        toeplitz_hash(a, 1000, s ^ t), toeplitz_hash(a, 1000, s) ^ toeplitz_hash(a, 1000, t)
    )


def test_rows_of_a_million_bits_are_those_of_the_matrix():
    count, length = 10**6, 250_000
    bits, seed = random_bits(count, 5), random_bits(count + length - 1, 6)
    hashed = toeplitz_hash(bits, length, seed)
    edges = [0, 1, 2**17 - 1, 2**17, length - 1]
    for row in [*edges, *np.random.default_rng(7).integers(0, length, 200)]:
        window = seed[row : row + count][::-1]  # T[row, j] = seed[row - j + count - 1]
        assert hashed[row] == np.count_nonzero(bits & window) % 2
    assert_binomial(int(hashed.sum()), length, 0.5, must_detect=0.51)


def test_largest_possible_sums_round_exactly():
    # All ones make every entry as large as it gets: exactly n.
    count, length = 400_000, 100_000
    ones, seed = np.ones(count, np.uint8), np.ones(count + length - 1, np.uint8)
    window = amplification._window(ones, length, seed, amplification._block(count))
    assert np.abs(window - count).max() <= rounding_error_bound(count)


def test_rounding_error_stays_below_its_bound_on_random_bits():
    count, length = 400_000, 100_000
    bits, seed = random_bits(count, 8), random_bits(count + length - 1, 9)
    window = amplification._window(bits, length, seed, amplification._block(count))
    assert np.abs(window - np.rint(window)).max() <= rounding_error_bound(count) < 1e-4


def test_rounding_is_exact_far_beyond_any_key():
    assert rounding_error_bound(10**10) < 0.5
    assert rounding_error_bound(10**13) > 0.5  # the bound is not vacuous


def test_result_is_as_long_as_asked_for_and_of_bits():
    hashed = toeplitz_hash(random_bits(100, 1), 100, random_bits(199, 2))
    assert hashed.shape == (100,)
    assert hashed.dtype == np.uint8
    assert hashed.max() <= 1


def test_nothing_hashes_to_nothing():
    assert toeplitz_hash(random_bits(0, 1), 0, random_bits(0, 1)).shape == (0,)
    assert toeplitz_hash(random_bits(5, 1), 0, random_bits(4, 1)).shape == (0,)


@pytest.mark.parametrize("length", [-1, 11, 256])
def test_key_cannot_grow_or_have_negative_length(length):
    with pytest.raises(ValueError, match=r"`length` must lie in \[0, 10\]"):
        toeplitz_hash(random_bits(10, 1), length, random_bits(max(9 + length, 0), 2))


@pytest.mark.parametrize("size", [0, 4, 12, 13, 15, 32])
def test_seed_of_wrong_length_is_refused(size):
    with pytest.raises(ValueError, match=r"`seed` must have shape \(14,\)"):
        amplify(VerifiedKey(random_bits(10, 1)), released(5), random_bits(size, 2))
