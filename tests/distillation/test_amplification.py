"""Toeplitz hashing: equal to the matrix on every route, exactly universal, exactly rounded."""

import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view
from statistical import assert_binomial

import e91
from e91.distillation.amplification import carryless_kernels as carryless
from e91.distillation.amplification import hashing as amplification
from e91.distillation.amplification.hashing import (
    amplify,
    hash_by_fourier,
    modified_toeplitz_hash,
    toeplitz_hash,
    toeplitz_hash_packed,
)
from e91.model.records import ChshEstimate, Release, SecretLength, VerifiedKey
from e91.system.numba_internals import LANES

needs_instruction = pytest.mark.skipif(not LANES, reason="needs carry-less multiplication")


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


def product_by_rows(seed, length, bits):
    """Row i of the matrix, read from right to left, is the window of the seed that begins at i."""
    windows = sliding_window_view(seed, len(bits))[:length]
    return np.array([np.count_nonzero(window & bits[::-1]) % 2 for window in windows], np.uint8)


def carryless_hash(bits, length, seed):
    packed = carryless.toeplitz_hash(
        np.packbits(bits), len(bits), length=length, seed=np.packbits(seed)
    )
    return np.unpackbits(packed, count=length)


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
        hashed = hash_by_fourier(bits, length, seed)
    assert np.array_equal(hashed, toeplitz(seed, length, count) @ bits % 2)


@needs_instruction
@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300), st.data())
def test_carryless_product_is_the_matrix_product(count, data):
    length = data.draw(st.integers(1, count))
    bits, seed = (
        random_bits(k, data.draw(st.integers(0, 99))) for k in (count, count + length - 1)
    )
    expected = toeplitz(seed, length, count) @ bits % 2
    assert np.array_equal(carryless_hash(bits, length, seed), expected)


@needs_instruction
@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6000), st.sampled_from([16, 32, 48]), st.integers(0, 3), st.data())
def test_any_cut_of_the_carryless_product_gives_the_matrix_product(count, base, up, data):
    # Cuts with up to six by six blocks, each halved up to three times.
    length = data.draw(st.integers(1, count))
    bits, seed = random_bits(count, 1), random_bits(count + length - 1, 2)
    size = base << up
    cut = carryless.BlockCut(base, size, -(-count // (64 * size)), -(-length // (64 * size)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(carryless, "cheapest_cut", lambda *_: cut)
        hashed = carryless_hash(bits, length, seed)
    assert np.array_equal(hashed, product_by_rows(seed, length, bits))


@needs_instruction
@pytest.mark.parametrize(("count", "length"), [(10**6, 250_000), (999_983, 611_953), (65_537, 1)])
def test_both_routes_give_the_same_bits(count, length):
    bits, seed = random_bits(count, 10), random_bits(count + length - 1, 11)
    expected = hash_by_fourier(bits, length, seed)
    assert np.array_equal(carryless_hash(bits, length, seed), expected)


def test_ten_million_bits_hash_to_the_rows_of_the_matrix():
    count, length = 10**7 + 1, 2_500_003
    bits, seed = random_bits(count, 12), random_bits(count + length - 1, 13)
    hashed = toeplitz_hash(bits, length, seed)
    for row in [0, 1, length - 1, *np.random.default_rng(14).integers(0, length, 60)]:
        assert hashed[row] == np.count_nonzero(bits & seed[row : row + count][::-1]) % 2


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 10**8), st.data())
def test_plan_covers_key_and_output_and_is_the_cheapest_of_its_base(count, data):
    length = data.draw(st.integers(1, count))
    cut = carryless.cheapest_cut(count, length)
    assert 64 * cut.size * (cut.columns - 1) < count <= 64 * cut.size * cut.columns
    assert 64 * cut.size * (cut.rows - 1) < length <= 64 * cut.size * cut.rows
    words, out_words, size = -(-count // 64), -(-length // 64), cut.base
    while size < words:
        other = carryless.BlockCut(cut.base, size, -(-words // size), -(-out_words // size))
        assert cut.cost() <= other.cost()
        size *= 2


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3000), st.data())
def test_packed_bits_hash_as_unpacked_ones_whatever_stands_behind_them(count, data):
    length = data.draw(st.integers(1, count))
    bits, seed = random_bits(count, 15), random_bits(count + length - 1, 16)
    packed = [np.packbits(each) for each in (bits, seed)]
    for each, size in zip(packed, (count, count + length - 1), strict=True):
        each[-1] |= 2 ** (-size % 8) - 1
    hashed = toeplitz_hash_packed(packed[0], count, length=length, seed=packed[1])
    assert np.array_equal(hashed, np.packbits(toeplitz_hash(bits, length, seed)))


def test_hashes_on_threads_do_not_disturb_each_other():
    count, length = 200_000, 50_000
    keys = [random_bits(count, k) for k in range(16)]
    seed = random_bits(count + length - 1, 17)
    with ThreadPoolExecutor(4) as pool:
        hashes = list(pool.map(lambda bits: toeplitz_hash(bits, length, seed), keys))
    for bits, hashed in zip(keys, hashes, strict=True):
        assert np.array_equal(hashed, toeplitz_hash(bits, length, seed))


HASH_ELSEWHERE = """
import sys
{before}
import numpy as np
from e91.distillation.amplification import hashing as amplification
from e91.system.compiled import compiled_code_may_run
bits = np.random.default_rng(1).integers(0, 2, 5000, np.uint8)
seed = np.random.default_rng(2).integers(0, 2, 5999, np.uint8)
route = amplification._route(compiled=compiled_code_may_run())
print(route.__name__, *route(np.packbits(bits), 5000, length=1000, seed=np.packbits(seed)))
if "e91.system.numba_internals" in sys.modules:
    print(sys.modules["e91.system.numba_internals"].LANES)
"""


def hash_elsewhere(tmp_path, before="", **environment):
    """The route and the bits that a fresh interpreter takes and gives."""
    root = Path(e91.__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", HASH_ELSEWHERE.format(before=before)],
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), **environment},
        cwd=root, capture_output=True, text=True, check=True,
    )  # fmt: skip
    route, *hashed = done.stdout.splitlines()[0].split()
    seed = random_bits(5999, 2)
    expected = np.packbits(product_by_rows(seed, 1000, random_bits(5000, 1)))
    assert hashed == [str(byte) for byte in expected]
    return route, done.stdout.splitlines()[1:]


def test_without_numba_fourier_transforms_give_the_bits(tmp_path):
    assert hash_elsewhere(tmp_path, "sys.modules['numba'] = None") == ("_by_fourier", [])


def test_without_compilation_fourier_transforms_give_the_bits(tmp_path):
    assert hash_elsewhere(tmp_path, NUMBA_DISABLE_JIT="1") == ("_by_fourier", [])


def test_without_the_instruction_fourier_transforms_give_the_bits(tmp_path):
    assert hash_elsewhere(tmp_path, NUMBA_CPU_NAME="generic") == ("_by_fourier", ["0"])


NARROW = {2: "+sse2,+pclmul", 4: "+sse2,+avx,+avx2,+pclmul,+vpclmulqdq"}


@needs_instruction
@pytest.mark.slow  # compiles everything for another processor
@pytest.mark.parametrize("lanes", [lanes for lanes in NARROW if lanes < LANES])
def test_processor_with_narrow_vectors_only_gives_the_bits(tmp_path, lanes):
    features = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": NARROW[lanes]}
    assert hash_elsewhere(tmp_path, **features) == ("toeplitz_hash", [str(lanes)])
    tests = "carryless_product or both_routes"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rs", __file__, "-k", tests],
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), **features},
        cwd=Path(e91.__file__).parent.parent, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "SKIPPED" not in done.stdout


@pytest.mark.parametrize(("count", "length"), [(2, 1), (3, 2), (4, 2), (5, 3)])
def test_collision_probability_over_all_seeds_is_exactly_two_to_the_minus_length(count, length):
    # Linear, so two keys collide where their difference hashes to zero.
    seeds = [np.array(s, np.uint8) for s in product((0, 1), repeat=count + length - 1)]
    for difference in product((0, 1), repeat=count):
        if any(difference):
            bits = np.array(difference, np.uint8)
            zeros = sum(not toeplitz_hash(bits, length, seed).any() for seed in seeds)
            assert zeros * 2**length == len(seeds)


@pytest.mark.parametrize(("count", "length"), [(2, 1), (3, 2), (4, 2), (5, 3), (6, 5)])
def test_modified_hash_collides_at_most_as_often(count, length):
    seeds = [np.array(s, np.uint8) for s in product((0, 1), repeat=count - 1)]
    for difference in product((0, 1), repeat=count):
        if any(difference):
            bits = np.array(difference, np.uint8)
            zeros = sum(not modified_toeplitz_hash(bits, length, seed).any() for seed in seeds)
            assert zeros * 2**length <= len(seeds)


@given(st.integers(1, 60), st.data())
def test_modified_hash_is_identity_beside_toeplitz(count, data):
    length = data.draw(st.integers(0, count))
    bits, seed = random_bits(count, 3), random_bits(count - 1, 4)
    rest = count - length
    toeplitz = [[seed[i - j + rest - 1] for j in range(rest)] for i in range(length)]
    matrix = np.hstack([np.eye(length, dtype=int), np.reshape(toeplitz, (length, rest))])
    expected = matrix.astype(int) @ bits.astype(int) % 2
    assert np.array_equal(modified_toeplitz_hash(bits, length, seed), expected)


@pytest.mark.parametrize(("count", "length"), [(1, 300), (64, 65), (1000, 5000), (70_000, 130_000)])
def test_outputs_longer_than_the_key_are_the_same_on_both_routes(count, length):
    bits, seed = random_bits(count, 5), random_bits(count + length - 1, 6)
    assert np.array_equal(toeplitz_hash(bits, length, seed), hash_by_fourier(bits, length, seed))


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


def rounding_error_bound(count):
    """A bound on the error of any entry before rounding, for a key of ``count`` bits.

    For its derivation see `hash_by_fourier`.
    """
    block = amplification._block(count)
    points, blocks, unit = 2 * block, -(-count // block), 2.0**-53
    transform = 7 * unit * math.log2(points)
    per_block = 2 * transform + (3 + blocks) * unit + transform * math.sqrt(points)
    return per_block * blocks * math.sqrt(points) * math.sqrt(block)


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
        modified_toeplitz_hash(random_bits(10, 1), length, random_bits(9, 2))


def test_negative_length_is_refused():
    with pytest.raises(ValueError, match="`length` must be at least 0, but is -1"):
        toeplitz_hash(random_bits(10, 1), -1, random_bits(8, 2))


@pytest.mark.parametrize("size", [0, 4, 8, 10, 14])
def test_seed_of_wrong_length_is_refused(size):
    with pytest.raises(ValueError, match=r"`seed` must have shape \(9,\)"):
        modified_toeplitz_hash(random_bits(10, 1), 5, random_bits(size, 2))


@pytest.mark.parametrize("size", [0, 1, 3, 10])
def test_packed_seed_of_wrong_length_is_refused(size):
    with pytest.raises(ValueError, match=r"`seed` must have shape \(2,\)"):
        amplify(VerifiedKey(random_bits(10, 1)), released(5), random_bits(size, 2))


@given(st.integers(1, 300), st.data())
def test_amplified_key_is_the_modified_hash_packed(count, data):
    length = data.draw(st.integers(1, count))
    key, seed = VerifiedKey(random_bits(count, 1)), random_bits(count - 1, 2)
    hashed = amplify(key, released(length), np.packbits(seed))
    expected = modified_toeplitz_hash(key.bits, length, seed)
    assert np.array_equal(hashed, np.packbits(expected))


@pytest.mark.parametrize(
    ("key_size", "seed_size", "name"), [(1, 2, "key"), (2, 1, "seed"), (2, 3, "seed")]
)
def test_packed_bits_of_wrong_length_are_refused(key_size, seed_size, name):
    key, seed = np.zeros(key_size, np.uint8), np.zeros(seed_size, np.uint8)
    with pytest.raises(ValueError, match=rf"`{name}` must have shape \(2,\)"):
        toeplitz_hash_packed(key, 10, length=5, seed=seed)


def test_nothing_packed_hashes_to_nothing():
    nothing = np.zeros(0, np.uint8)
    assert toeplitz_hash_packed(nothing, 0, length=0, seed=nothing).shape == (0,)


@needs_instruction
def test_compiled_code_gives_the_bits_that_fourier_transforms_give():
    rng = np.random.default_rng(3)
    key, seed = (rng.integers(0, 256, size, np.uint8) for size in (1000, 1250))
    first, second = (
        amplification.toeplitz_hash_packed(key, 8000, length=2001, seed=seed, compiled=compiled)
        for compiled in (True, False)
    )
    assert np.array_equal(first, second)
