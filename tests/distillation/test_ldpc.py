"""LDPC: the published codes as published, one counted message, keys that become equal."""

import math
import struct
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from e91.distillation.ldpc import (
    _LIFTINGS,
    SEED_BYTES,
    Shape,
    _base_graph,
    announce,
    correct,
    parity_checks,
    reconcile,
    shape,
)
from e91.model.errors import AuthenticationFailed
from e91.model.messages import Channel, Message, Party
from e91.model.randomness import seeded_entropy
from e91.model.records import SiftedKey

SEED = bytes(range(SEED_BYTES))


@pytest.fixture(scope="module")
def decoder():
    """The optional package must be there: the extra `test` installs it."""
    import ldpc.bp_decoder  # noqa: F401


def keys(length, error_rate, seed):
    generator = np.random.default_rng(seed)
    alice = generator.integers(0, 2, length, np.uint8)
    errors = (generator.random(length) < error_rate).astype(np.uint8)
    return SiftedKey(alice), SiftedKey(alice ^ errors)


def announced(key, error_rate=0.03, entropy=None):
    return announce(
        key, error_rate=error_rate, permutation_seed=SEED, entropy=entropy or seeded_entropy(1)
    )


def run(alice, bob, error_rate, channel):
    return reconcile(
        alice,
        bob,
        error_rate=error_rate,
        permutation_seed=SEED,
        channel=channel,
        entropy=seeded_entropy(1),
    )


def rank(matrix):
    """The rank over GF(2), by elimination on rows written as whole numbers."""
    pivots = {}
    for row in np.asarray(matrix, np.uint8):
        number = int.from_bytes(np.packbits(row).tobytes(), "big")
        while number and (top := number.bit_length()) in pivots:
            number ^= pivots[top]
        if number:
            pivots[top] = number
    return len(pivots)


def test_base_graph_has_the_published_structure():
    # TS 38.212, section 5.3.2: 46 rows, 68 columns, 316 blocks; four dense rows, whose four parity
    # columns are one of weight three and a double diagonal; then one new parity column a row.
    graph = _base_graph()
    assert graph.shape == (316, 10)
    blocks = np.zeros((46, 68), int)
    np.add.at(blocks, (graph[:, 0], graph[:, 1]), 1)
    assert blocks.max() == 1
    assert blocks.sum(axis=1)[:5].tolist() == [19, 19, 19, 19, 3]
    core = [[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 1, 1], [1, 0, 0, 1]]
    assert blocks[:4, 22:26].tolist() == core
    assert np.array_equal(
        blocks[:, 26:], np.vstack([np.zeros((4, 42), int), np.eye(42, dtype=int)])
    )
    assert not graph[graph[:, 1] >= 26, 2:].any()  # identities, not shifted
    assert blocks[:, :2].sum(axis=0).tolist() == [30, 28]  # the two punctured columns


def test_shifts_are_below_the_largest_lifting_of_their_set():
    # Tables 5.3.2-1 and 5.3.2-2 share their sets: a column out of place would exceed its bound.
    for column, first in enumerate((2, 3, 5, 7, 9, 11, 13, 15)):
        largest = max(z for z in _LIFTINGS if z % first == 0 and math.log2(z / first) % 1 == 0)
        top = _base_graph()[:, 2 + column].max()
        assert largest * 0.97 < top < largest


def test_liftings_are_those_of_the_table():
    assert len(_LIFTINGS) == 51
    assert _LIFTINGS[:14] == list(range(2, 16))
    assert _LIFTINGS[-6:] == [240, 256, 288, 320, 352, 384]


@pytest.mark.parametrize("size", [112, 176, 192, 224, 256, 288, 320, 352, 384])
def test_long_codes_have_no_cycle_of_length_four(size):
    # Of the largest sizes only 240 has one: rows 5 and 19, columns 0 and 1, in the published table.
    whole = parity_checks(Shape(1, 66 * size, size, 46 * size)).astype(np.int64)
    overlap = (whole @ whole.T).tolil()
    overlap.setdiag(0)
    assert overlap.tocsr().max() == 1


@pytest.mark.parametrize("size", [2, 3, 5, 7, 9, 11, 13, 15, 22, 24])
def test_matrix_is_the_lifted_table_written_out(size):
    code = Shape(1, 30 * size + 1, size, 17 * size - 1)
    position = {2: 0, 3: 1, 5: 2, 7: 3, 9: 4, 11: 5, 13: 6, 15: 7, 22: 5, 24: 1}[size]
    whole = np.zeros((46 * size, 68 * size), np.uint8)
    for i, j, *shifts in _base_graph():
        for k in range(size):
            whole[i * size + k, j * size + (k + shifts[position]) % size] = 1
    checks, message = code.checks, 22 * size
    columns = [*range(2 * size), *range(message, message + checks), *range(2 * size, message)]
    expected = whole[:checks, columns[: 2 * size + code.bits]]
    assert np.array_equal(parity_checks(code).toarray(), expected)


@pytest.mark.parametrize("size", _LIFTINGS)
def test_private_bits_mask_as_many_checks_as_there_are_private_bits(size):
    # The disclosure counts on it: the punctured columns of the core alone have full rank.
    core = parity_checks(Shape(1, 1, size, 4 * size)).toarray()[:, : 2 * size]
    assert rank(core) == 2 * size


@given(st.integers(1, 3_000_000), st.floats(0, 1))
def test_code_fits_the_key(length, error_rate):
    code = shape(length, error_rate)
    size, shortened = code.lifting, 22 * code.lifting + code.checks - code.punctured - code.bits
    assert length <= code.frames * code.bits < length + code.frames
    assert size in _LIFTINGS
    assert 4 * size <= code.checks <= 46 * size
    assert shortened >= 0
    assert code.disclosed_bits == code.frames * (code.checks - 2 * size)


@given(st.integers(5_000, 300_000))
def test_more_errors_disclose_more(length):
    disclosed = [shape(length, rate).disclosed_bits for rate in np.arange(0.012, 0.11, 0.014)]
    assert disclosed == sorted(set(disclosed))


def test_message_says_the_syndrome_and_counts_what_it_gives_away():
    key = keys(4000, 0, seed=1)[0]
    message, code = announced(key), shape(4000, 0.03)
    assert (message.sender, message.subject) == (Party.ALICE, "ldpc-syndrome")
    assert message.disclosed_bits == code.disclosed_bits < code.frames * code.checks
    assert message.body[:SEED_BYTES] == SEED
    assert struct.unpack("<dQ", message.body[SEED_BYTES : SEED_BYTES + 16]) == (0.03, 0)
    assert len(message.body) == SEED_BYTES + 16 + -(-code.frames * code.checks // 8)


def test_message_is_linear_in_key_and_private_bits():
    alice, bob = keys(1000, 0.5, seed=2)
    zero = SiftedKey(np.zeros(1000, np.uint8))

    def syndrome(key, entropy):
        return np.frombuffer(announced(key, entropy=entropy).body[SEED_BYTES + 16 :], np.uint8)

    both = SiftedKey(alice.bits ^ bob.bits)
    masks = syndrome(zero, seeded_entropy(1)), syndrome(zero, seeded_entropy(2))
    plain = syndrome(alice, bytes), syndrome(bob, bytes), syndrome(both, bytes)
    assert not np.array_equal(*masks)
    assert np.array_equal(plain[0] ^ plain[1], plain[2])
    assert np.array_equal(plain[0] ^ masks[0], syndrome(alice, seeded_entropy(1)))


def test_nothing_but_the_counted_bits_depends_on_the_key():
    # Over all private bits the syndromes of a key fill a coset; there are no more cosets than
    # 2^(counted bits).  Ranks say so exactly.
    for length, error_rate in ((200, 0.02), (1000, 0.05), (3000, 0.11)):
        code = shape(length, error_rate)
        matrix = parity_checks(code).toarray()
        private = rank(matrix[:, : code.punctured])
        assert private == code.punctured
        assert (rank(matrix) - private) * code.frames <= code.disclosed_bits


@pytest.mark.parametrize("error_rate", [0.005, 0.01, 0.02, 0.05, 0.08, 0.11])
def test_keys_become_equal_at_the_expected_error_rate(decoder, error_rate):
    # A key fails in about one of a hundred runs, so that four of six would be a wonder.
    unequal = 0
    for seed in range(6):
        alice, bob = keys(9000, error_rate, seed=seed)
        one, two = run(alice, bob, error_rate, Channel())
        assert np.array_equal(one.bits, alice.bits)
        unequal += not np.array_equal(one.bits, two.bits)
    assert unequal <= 3


def test_failures_are_as_rare_as_stated(decoder):
    # At most 3 % of frames of 2,000 bits fail; a decoder that fails in half of them is caught.
    frames, failures = 100, 0
    for seed in range(frames):
        one, two = run(*keys(2000, 0.05, seed=1000 + seed), 0.05, Channel())
        failures += not np.array_equal(one.bits, two.bits)
    most = int(binom.isf(1e-9, frames, 0.03))
    assert binom.cdf(most, frames, 0.5) < 1e-3
    assert failures <= most


@pytest.mark.parametrize(("sample", "rate"), [(220, 0.015), (220, 0.05), (20_000, 0.05)])
def test_keys_become_equal_at_a_rate_that_a_sample_estimates(decoder, sample, rate):
    """0.1 % may differ; without a margin for the sample's error one in ten did."""
    sessions, failures = 180, 0
    for seed in range(sessions):
        errors = int(np.random.default_rng((seed, sample)).binomial(sample, rate))
        alice, bob = keys(2_000, rate, seed=5_000 + seed)
        _, two = reconcile(
            alice, bob,
            error_rate=(errors + 1) / (sample + 2), sample_size=sample,
            permutation_seed=SEED, channel=Channel(), entropy=seeded_entropy(seed),
        )  # fmt: skip
        failures += not np.array_equal(alice.bits, two.bits)
    most = int(binom.isf(1e-9, sessions, 1e-3))
    assert binom.cdf(most, sessions, 0.1) < 1e-3
    assert failures <= most


def test_fewer_revealed_bits_disclose_more_of_the_key():
    disclosed = [shape(10_000, 0.02, m).disclosed_bits for m in (0, 10**6, 10**4, 10**3, 200)]
    assert disclosed == sorted(disclosed)
    assert disclosed[-1] > 1.5 * disclosed[0]


def test_key_of_many_frames_takes_one_message(decoder):
    alice, bob = keys(30_001, 0.03, seed=3)
    channel = Channel()
    one, two = run(alice, bob, 0.03, channel)
    assert np.array_equal(one.bits, two.bits)
    assert len(channel.seen[Party.BOB]) == 1
    assert channel.disclosed_bits == shape(30_001, 0.03).disclosed_bits


def test_errors_in_a_row_are_spread_over_the_frames(decoder):
    alice = SiftedKey(np.zeros(60_000, np.uint8))
    bits = np.zeros(60_000, np.uint8)
    bits[:1200] = 1
    one, two = run(alice, SiftedKey(bits), 0.02, Channel())
    assert np.array_equal(one.bits, two.bits)


@pytest.mark.parametrize("length", [0, 1, 2, 7, 40, 100, 333])
def test_short_keys_go_through(decoder, length):
    alice, bob = keys(length, 0, seed=4)
    one, two = run(alice, bob, 0.02, Channel())
    assert np.array_equal(one.bits, two.bits)
    assert np.array_equal(one.bits, alice.bits)


def test_frames_beyond_repair_are_left_as_they_were(decoder):
    alice, bob = keys(5000, 0.15, seed=5)
    assert np.array_equal(run(alice, bob, 0.03, Channel())[1].bits, bob.bits)


@settings(max_examples=20, deadline=None)
@given(st.floats(0, 1), st.integers(1, 400))
def test_no_error_rate_breaks_the_decoder(decoder, error_rate, length):
    alice, bob = keys(length, 0.02, seed=6)
    assert len(run(alice, bob, error_rate, Channel())[1]) == length


BODY = announced(SiftedKey(np.zeros(500, np.uint8))).body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        BODY[:SEED_BYTES],
        BODY[:-1],
        BODY + b"\0",
        BODY[:SEED_BYTES] + struct.pack("<d", math.nan) + BODY[SEED_BYTES + 8 :],
        BODY[:SEED_BYTES] + struct.pack("<d", -0.1) + BODY[SEED_BYTES + 8 :],
        BODY[:SEED_BYTES] + struct.pack("<d", 1.1) + BODY[SEED_BYTES + 8 :],
    ],
)
def test_malformed_message_is_refused(body):
    with pytest.raises(AuthenticationFailed, match="missing or malformed"):
        correct(SiftedKey(np.zeros(500, np.uint8)), Message(Party.ALICE, "ldpc-syndrome", body))


def test_lost_message_is_refused():
    alice, bob = keys(500, 0.02, seed=7)
    with pytest.raises(AuthenticationFailed):
        run(alice, bob, 0.02, Channel(lambda _: None))


def test_keys_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match="`bob_key` must have 10 bits, but has 9"):
        run(keys(10, 0, seed=8)[0], keys(9, 0, seed=8)[0], 0.02, Channel())


@pytest.mark.parametrize("error_rate", [-0.01, 1.01, math.nan])
def test_impossible_error_rate_is_refused(error_rate):
    with pytest.raises(ValueError, match="`error_rate` must lie in"):
        announced(keys(10, 0, seed=9)[0], error_rate)


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_seed_of_wrong_length_is_refused(size):
    with pytest.raises(ValueError, match="`permutation_seed` must have 32 bytes"):
        announce(keys(10, 0, seed=10)[0], error_rate=0.02, permutation_seed=bytes(size))


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ldpc", None)
    monkeypatch.delitem(sys.modules, "ldpc.bp_decoder", raising=False)
    alice, bob = keys(500, 0.02, seed=11)
    with pytest.raises(ModuleNotFoundError, match=r"pip install .*ldpc"):
        run(alice, bob, 0.02, Channel())
