"""Blocks of rounds: the exact distribution, from two keystreams that never mix."""

import hashlib
import hmac
import os
from contextlib import contextmanager
from fractions import Fraction
from threading import Thread
from unittest import mock

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2, ncx2
from statistical import FALSE_ALARM

from e91.devices.rounds.round_sampler import round_sampler
from e91.distillation.sifting.choices import RoundSampler, choices
from e91.model.settings import ASYMMETRIC, BBM92, EKERT, Settings
from e91.system import cell_kernels
from e91.system.cell_draws import BLOCK_ROUNDS
from e91.system.compiled import compiled_code_may_run
from e91.system.cumulative import Edges
from e91.system.keystreams import Stream, draws, keystream, seeded_key, words_at

ROUTES = ["numba", "numpy"]
PHYSICS = seeded_key(20261123, purpose="physics")
PROTOCOL = seeded_key(20261123, purpose="protocol")
DRAWS = np.arange(2**16, dtype=np.uint16)


@contextmanager
def route(name):
    """Run with the compiled kernels or, as on a machine without numba, with NumPy alone."""
    if name == "numba":
        if os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
            pytest.skip("numba's compiler is switched off")
        pytest.importorskip("numba")
    with mock.patch.dict(os.environ, NUMBA_DISABLE_JIT="0" if name == "numba" else "1"):
        assert (compiled_code_may_run()) == (name == "numba")
        yield


def random_table(settings, outcomes, *, seed=3, empty=0.2):
    """A table without symmetry in which some outcomes never happen."""
    generator = np.random.default_rng(seed)
    shape = (len(settings.alice_angles), len(settings.bob_angles), outcomes, outcomes)
    table = generator.random(shape) * (generator.random(shape) > empty)
    table[..., 0, 1] += 0.01
    return table / table.sum(axis=(2, 3), keepdims=True)


def sampler_of(settings=EKERT, *, outcomes=2, physics=PHYSICS, protocol=PROTOCOL, table=None):
    table = random_table(settings, outcomes) if table is None else table
    return round_sampler(table, settings=settings, physics_key=physics, protocol_key=protocol)


def block_of(sampler, block=0, *, size=BLOCK_ROUNDS):
    codes = np.empty(size, np.uint8)
    sampler.fill(codes, block=block)
    return codes


def cell_probabilities(sampler, settings, table):
    pairs = np.outer(settings.alice_probabilities, settings.bob_probabilities)
    return (pairs[:, :, None, None] * table).ravel()


BIASED = EKERT.biased((0.1, 0.7, 0.2), (0.55, 0.05, 0.4))
CASES = [(EKERT, 2), (BIASED, 2), (ASYMMETRIC, 3), (BBM92, 2), (EKERT, 3)]


# --- the exact distribution ---------------------------------------------------------------------


def implied_probabilities(open_draws, cells, *, edges, row):
    """Add up what every 16-bit draw leads to; open ones by bisecting their 48 further bits.

    `cells` is what the look-up says where it decides.  The bisection asks `Edges.cells`, which
    decides in `fill`, and takes nothing from the numbers inside.
    """
    count = edges.numbers.shape[1] + 1
    weights = [
        Fraction(int(np.count_nonzero(cells[~open_draws] == c)), 2**16) for c in range(count)
    ]
    base = np.flatnonzero(open_draws).astype(np.uint64) << np.uint64(48)
    rows, below = np.full(len(base), row, np.uint8), np.zeros_like(base)
    for cell in range(count):
        low, high = below, np.full_like(base, 2**48)  # first extension that lies beyond `cell`
        while np.any(low < high):
            middle = (low + high) // 2
            # The last number has no next: where the bisection has ended, the one before is asked.
            asked = base + np.minimum(middle, 2**48 - 1)
            inside = (edges.cells(asked, rows=rows) <= cell) & (low < high)
            low, high = np.where(inside, middle + 1, low), np.where(inside, high, middle)
        weights[cell] += Fraction(int((low - below).sum()), 2**64)
        below = low
    return weights


@pytest.mark.parametrize("name", ROUTES)
@pytest.mark.parametrize(("settings", "outcomes"), CASES)
def test_settings_have_their_exact_probabilities(settings, outcomes, name):
    drawn = sampler_of(settings, outcomes=outcomes).choices.pairs
    pairs = np.empty(2**16, np.uint8)
    with route(name):
        left = drawn._look_up(DRAWS, None, pairs)
    found = np.isin(np.arange(2**16), left)
    implied = implied_probabilities(found, pairs, edges=drawn.edges, row=0)
    exact = [
        Fraction(p) * Fraction(q)
        for p in settings.alice_probabilities
        for q in settings.bob_probabilities
    ]
    assert sum(implied) == 1
    assert all(
        abs(i - e / sum(exact)) < Fraction(1, 2**60) for i, e in zip(implied, exact, strict=True)
    )


@pytest.mark.parametrize("name", ROUTES)
@pytest.mark.parametrize(("settings", "outcomes"), CASES)
def test_outcomes_have_their_exact_probabilities_at_every_pair(settings, outcomes, name):
    table = random_table(settings, outcomes)
    drawn = sampler_of(settings, table=table).source.cells
    for pair, row in enumerate(table.reshape(-1, outcomes**2)):
        cells = np.empty(2**16, np.uint8)
        with route(name):
            left = drawn._look_up(DRAWS, np.full(2**16, pair, np.uint8), cells)
        found = np.isin(np.arange(2**16), left)
        implied = implied_probabilities(found, cells, edges=drawn.edges, row=pair)
        exact = [Fraction(p) for p in row]
        assert sum(implied) == 1
        for i, e in zip(implied, exact, strict=True):
            assert abs(i - e / sum(exact)) < Fraction(1, 2**60)
            assert e > 0 or i == 0


@given(st.lists(st.integers(0, 2**53), min_size=2, max_size=9).filter(any))
def test_every_edge_is_the_true_one_rounded_down(weights):
    edges = Edges.of([[Fraction(w) for w in weights]])
    true = [Fraction(sum(weights[: i + 1]), sum(weights)) * 2**64 for i in range(len(weights) - 1)]
    assert all(
        0 <= t - int(n) < 1 or (t == 2**64 and int(n) == 2**64 - 1)
        for t, n in zip(true, edges.numbers[0], strict=True)
    )


@given(
    st.lists(st.integers(0, 2**10), min_size=2, max_size=9).filter(any),
    st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20),
)
def test_cell_of_a_number_is_the_count_of_edges_that_it_reaches(weights, numbers):
    numbers = [0, 2**63, 2**64 - 1, *numbers]
    edges = Edges.of([[Fraction(w) for w in weights]])
    cells = edges.cells(np.array(numbers, np.uint64), rows=np.zeros(len(numbers), np.uint8))
    for number, cell in zip(numbers, cells, strict=True):
        steps = [sum(weights[: i + 1]) * 2**64 // sum(weights) for i in range(len(weights) - 1)]
        assert cell == sum(number >= step for step in steps)
        assert weights[cell] > 0


@pytest.mark.parametrize("settings", [EKERT, EKERT.biased((0.0, 1.0, 0.0), (0.5, 0.5, 0.0))])
def test_compiled_decision_is_the_count_of_edges_on_and_beside_every_edge(settings):
    sampler = sampler_of(settings, table=random_table(settings, 3, empty=0.5))
    for edges in (sampler.choices.pairs.edges, sampler.source.cells.edges):
        near = {0, 1, 2**64 - 1}
        for edge in edges.numbers.ravel().tolist():
            near |= {max(0, edge - 1), edge, min(2**64 - 1, edge + 1)}
        numbers, rows = (
            grid.ravel()
            for grid in np.meshgrid(
                np.array(sorted(near), np.uint64), np.arange(len(edges.last), dtype=np.uint8)
            )
        )
        cells = np.empty(len(numbers), np.uint8)
        with route("numba"):
            cell_kernels.decide(numbers, rows, edges.numbers, edges.last, cells)
        assert np.array_equal(cells, edges.cells(numbers, rows=rows))


def test_impossible_settings_and_outcomes_never_occur():
    settings = EKERT.biased((0.0, 1.0, 0.0), (0.5, 0.5, 0.0))
    table = np.zeros((3, 3, 2, 2))
    table[..., 1, 0] = 1
    codes = block_of(sampler_of(settings, table=table))
    assert set(codes.tolist()) == {(3 * 1 + 0) * 4 + 2, (3 * 1 + 1) * 4 + 2}


# --- a second implementation, from the definition ------------------------------------------------


def counter_mode(key, *, stream, block, counter, size):
    """AES-256 in counter mode; GCM encrypts from counter 2 on (NIST SP 800-38D, section 7.1)."""
    nonce = int(stream).to_bytes(4, "big") + block.to_bytes(8, "big")
    start = nonce + counter.to_bytes(4, "big")
    return Cipher(algorithms.AES(key), modes.CTR(start)).encryptor().update(bytes(size))


def slow_codes(table, *, settings, block, size):
    """Rounds in whole numbers, one at a time, and how many needed more than 16 bits."""

    def number(key, draw_stream, extension_stream, place):
        draw = counter_mode(key, stream=draw_stream, block=block, counter=2, size=2 * size)
        upper = int.from_bytes(draw[2 * place : 2 * place + 2], "little")
        more = counter_mode(key, stream=extension_stream, block=block, counter=place, size=8)
        return upper * 2**48 + int.from_bytes(more, "little") // 2**16

    def cell(weights, value):
        return sum(
            value >= int(sum(weights[: i + 1]) * 2**64 / sum(weights))
            for i in range(len(weights) - 1)
        )

    pairs = [
        Fraction(p) * Fraction(q)
        for p in settings.alice_probabilities
        for q in settings.bob_probabilities
    ]
    rows = [[Fraction(p) for p in row] for row in table.reshape(len(pairs), -1)]
    codes = []
    for place in range(size):
        pair = cell(pairs, number(PROTOCOL, Stream.SETTINGS, Stream.SETTING_EXTENSIONS, place))
        outcome = cell(
            rows[pair], number(PHYSICS, Stream.OUTCOMES, Stream.OUTCOME_EXTENSIONS, place)
        )
        codes.append(pair * len(rows[pair]) + outcome)
    return codes


@pytest.mark.parametrize("name", ROUTES)
@pytest.mark.parametrize(("settings", "outcomes"), CASES)
def test_rounds_are_those_of_the_definition(settings, outcomes, name):
    table = random_table(settings, outcomes)
    with route(name):
        codes = block_of(sampler_of(settings, table=table), 2**40 + 5, size=501)
    assert codes.tolist() == slow_codes(table, settings=settings, block=2**40 + 5, size=501)


@pytest.mark.parametrize("name", ROUTES)
def test_open_rounds_are_those_of_the_definition(name):
    """Every round whose draw lies on an edge, found in many blocks, takes its 48 further bits."""
    table, seen = random_table(EKERT, 2), 0
    sampler = sampler_of(table=table)
    edges = sampler.choices.pairs.edges, sampler.source.cells.edges
    for block in range(4):
        with route(name):
            codes = block_of(sampler, block)
        setting, outcome = (
            draws(key, BLOCK_ROUNDS, stream=stream, block=block)
            for key, stream in ((PROTOCOL, Stream.SETTINGS), (PHYSICS, Stream.OUTCOMES))
        )
        tops = [int(n) >> 48 for n in edges[0].numbers[0]]
        for place in np.flatnonzero(np.isin(setting, tops)):
            more = words_at(
                PROTOCOL, np.array([place]), stream=Stream.SETTING_EXTENSIONS, block=block
            )
            number = int(setting[place]) * 2**48 + int(more[0]) // 2**16
            pair = sum(number >= int(n) for n in edges[0].numbers[0])
            further = words_at(
                PHYSICS, np.array([place]), stream=Stream.OUTCOME_EXTENSIONS, block=block
            )
            number = int(outcome[place]) * 2**48 + int(further[0]) // 2**16
            cell = min(sum(number >= int(n) for n in edges[1].numbers[pair]), edges[1].last[pair])
            assert codes[place] == 4 * pair + cell
            seen += 1
    assert seen > 50


@pytest.mark.parametrize(("settings", "outcomes"), CASES)
@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 4095, 2**15 + 1, BLOCK_ROUNDS])
def test_both_routes_draw_the_same_rounds(settings, outcomes, size):
    sampler = sampler_of(settings, outcomes=outcomes)
    results = []
    for name in ROUTES:
        with route(name):
            results.append(block_of(sampler, 11, size=size))
    assert np.array_equal(*results)


@pytest.mark.parametrize("name", ROUTES)
def test_unaligned_buffer_gets_the_same_rounds_and_nothing_beyond_it(name):
    sampler, room = sampler_of(), np.full(1032, 99, np.uint8)
    with route(name):
        sampler.fill(room[3:1027], block=0)
        assert np.array_equal(room[3:1027], block_of(sampler, size=1024))
    assert np.all(room[:3] == 99)
    assert np.all(room[1027:] == 99)


# --- blocks and streams ---------------------------------------------------------------------------


def test_block_alone_is_the_block_of_a_run_in_any_order_and_thread():
    sampler = sampler_of()
    run = [block_of(sampler, block, size=5000) for block in range(4)]
    again = {}

    def draw(block):
        again[block] = block_of(sampler_of(), block, size=5000)

    threads = [Thread(target=draw, args=(block,)) for block in (3, 1, 2, 0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(run[block], again[block]) for block in range(4))
    assert len({codes.tobytes() for codes in run}) == 4


def test_shorter_block_is_the_beginning_of_the_longer():
    whole = block_of(sampler_of())
    assert np.array_equal(block_of(sampler_of(), size=200_003), whole[:200_003])


def test_settings_stay_when_only_the_physics_key_changes():
    one, two = (block_of(sampler_of(physics=seeded_key(s, purpose="physics"))) for s in (1, 2))
    assert np.array_equal(one // 4, two // 4)
    assert not np.array_equal(one, two)


def test_settings_stay_when_the_device_changes():
    one, two = (block_of(sampler_of(table=random_table(EKERT, 2, seed=s))) for s in (1, 2))
    assert np.array_equal(one // 4, two // 4)
    assert not np.array_equal(one, two)


def test_outcomes_of_a_device_that_ignores_settings_stay_when_the_protocol_key_changes():
    table = np.broadcast_to(np.array([[0.3, 0.1], [0.2, 0.4]]), (3, 3, 2, 2))
    one, two = (
        block_of(sampler_of(table=table, protocol=seeded_key(s, purpose="protocol")))
        for s in (1, 2)
    )
    assert np.array_equal(one % 4, two % 4)
    assert not np.array_equal(one, two)


def test_no_keystream_block_occurs_twice():
    """A nonce used twice, or an extension out of a stream of draws, would repeat 16 bytes."""
    blocks = []
    for key, stream, block in np.ndindex(2, 3, 3):
        name = (Stream.SETTINGS, Stream.OUTCOMES, Stream.SAMPLE)[stream]
        portion = keystream((PHYSICS, PROTOCOL)[key], stream=name, block=block)(16 * 500)
        blocks += [portion[i : i + 8] for i in range(0, len(portion), 16)]
        for extension in (Stream.SETTING_EXTENSIONS, Stream.OUTCOME_EXTENSIONS):
            if stream == 0:
                numbers = words_at(
                    (PHYSICS, PROTOCOL)[key], np.arange(500), stream=extension, block=block
                )
                blocks += [number.tobytes() for number in numbers.astype("<u8")]
    assert len(set(blocks)) == len(blocks) == 2 * 3 * 5 * 500


def test_keystream_is_aes_256_in_counter_mode():
    for block in (0, 1, 2**64 - 1):
        portion = keystream(PROTOCOL, stream=Stream.SAMPLE, block=block)(100)
        assert portion == counter_mode(
            PROTOCOL, stream=Stream.SAMPLE, block=block, counter=2, size=100
        )


def test_keystream_longer_than_its_kept_zeros_goes_on():
    draw = keystream(PROTOCOL, stream=Stream.SAMPLE, block=0)
    again = keystream(PROTOCOL, stream=Stream.SAMPLE, block=0)
    pieces = [again(2**18) for _ in range(4)]
    assert draw(2**20) == b"".join(pieces)


def test_seeded_key_is_hkdf_of_the_seed():
    root = hmac.digest(bytes(32), (1000).to_bytes(2, "big"), hashlib.sha256)
    expected = hmac.digest(root, b"e91 rounds, physics\x01", hashlib.sha256)
    assert seeded_key(1000, purpose="physics") == expected


def test_key_without_a_seed_is_fresh():
    assert seeded_key(None, purpose="physics") != seeded_key(None, purpose="physics")


# --- statistics -----------------------------------------------------------------------------------


def assert_chi_square(counts, probabilities, *, relative_error):
    """Accept at 1e-9; every second cell off by ``relative_error`` must be seen (99.9 %)."""
    expected = counts.sum() * probabilities
    degrees = np.count_nonzero(expected) - 1
    high = chi2.isf(FALSE_ALARM / 2, degrees)
    low = chi2.ppf(FALSE_ALARM / 2, degrees)
    shifted = expected[expected > 0][::2].sum() * relative_error**2
    assert ncx2.cdf(high, degrees, shifted) < 1e-3, "too few rounds to see the error"
    assert not counts[expected == 0].any()
    seen = expected > 0
    value = float(np.sum((counts[seen] - expected[seen]) ** 2 / expected[seen]))
    assert low <= value <= high


def test_a_hundred_million_rounds_fit_the_table():
    table = random_table(BIASED, 2)
    sampler, counts, codes = sampler_of(BIASED, table=table), 0, np.empty(BLOCK_ROUNDS, np.uint8)
    for block in range(10**8 // BLOCK_ROUNDS):
        sampler.fill(codes, block=block)
        counts = counts + np.bincount(codes, minlength=36)
    assert_chi_square(counts, cell_probabilities(sampler, BIASED, table), relative_error=2e-3)


@pytest.mark.parametrize("lag", [1, 4, 8, 64])
def test_rounds_do_not_depend_on_earlier_ones(lag):
    """Counts of the pairs (round, later round) against the product of their probabilities.

    A round that copies the earlier one with probability 1/500 raises the statistic by
    n / 500^2 times the number of cells less one, and must be seen.
    """
    table = random_table(EKERT, 2, empty=0)
    sampler, counts = sampler_of(table=table), np.zeros(36 * 36, int)
    for block in range(40):
        halves = block_of(sampler, 1000 + block).astype(np.intp).reshape(-1, 2, lag)
        counts += np.bincount((halves[:, 0] * 36 + halves[:, 1]).ravel(), minlength=36 * 36)
    single = cell_probabilities(sampler, EKERT, table)
    expected = counts.sum() * np.outer(single, single).ravel()
    value = float(np.sum((counts - expected) ** 2 / expected))
    high = chi2.isf(FALSE_ALARM, 36 * 36 - 1)  # no round is in two pairs, so this is the law
    assert ncx2.cdf(high, 36 * 36 - 1, counts.sum() * 35 / 500**2) < 1e-3
    assert value <= high


@pytest.mark.parametrize("vary", ["physics", "protocol", "block"])
def test_counts_spread_as_independent_rounds_do(vary):
    """Seeds or blocks that correlate leave every mean right; the spread shows them."""
    size, runs = 20_000, 400
    table = np.broadcast_to(np.array([[0.3, 0.1], [0.2, 0.4]]), (3, 3, 2, 2))
    counts = []
    for run in range(runs):
        keys = {vary: seeded_key(run, purpose=vary)} if vary != "block" else {}
        sampler = sampler_of(table=table, **keys)
        codes = block_of(sampler, run if vary == "block" else 0, size=size)
        first = codes // 4 < 3 if vary == "protocol" else codes % 4 == 0
        counts.append(np.count_nonzero(first))
    p = 1 / 3 if vary == "protocol" else 0.3
    value = float(np.sum((np.array(counts) - size * p) ** 2) / (size * p * (1 - p)))
    low, high = chi2.ppf(FALSE_ALARM / 2, runs), chi2.isf(FALSE_ALARM / 2, runs)
    assert chi2.cdf(high / 1.48**2, runs) < 1e-3  # a spread 1.48 times too wide must show
    assert chi2.sf(low / 0.67**2, runs) < 1e-3  # and one of two thirds
    assert low <= value <= high


# --- guards ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (np.full((3, 3, 4), 0.25), "must have shape"),
        (np.full((2, 3, 2, 2), 0.25), "must have shape"),
        (np.full((3, 3, 2, 2), 0.3), "must hold probabilities"),
        (np.full((3, 3, 2, 2), np.nan), "must hold probabilities"),
        (np.broadcast_to([[1.5, -0.5], [0, 0]], (3, 3, 2, 2)), "must hold probabilities"),
    ],
)
def test_wrong_table_is_refused(table, message):
    with pytest.raises(ValueError, match=message):
        sampler_of(table=table)


def test_more_codes_than_a_byte_can_tell_are_refused():
    angles = tuple(np.linspace(0, 3, 8))
    settings = Settings("many", angles, angles)
    with pytest.raises(ValueError, match="at most 255 entries, but has 256"):
        sampler_of(settings, table=np.full((8, 8, 2, 2), 0.25))


def test_as_many_codes_as_a_byte_can_tell_are_drawn():
    settings = Settings("many", tuple(np.linspace(0, 3, 9)), tuple(np.linspace(0, 3, 7)))
    table = random_table(settings, 2)
    for name in ROUTES:
        with route(name):
            counts = np.bincount(block_of(sampler_of(settings, table=table)), minlength=252)
            probabilities = cell_probabilities(None, settings, table)
            assert_chi_square(counts, probabilities, relative_error=0.1)


@pytest.mark.parametrize(
    ("physics", "protocol", "message"),
    [
        (b"short", PROTOCOL, "`physics_key` must have 32 bytes, but has 5"),
        (PHYSICS, b"short", "`protocol_key` must have 32 bytes, but has 5"),
        (PHYSICS, PHYSICS, "`protocol_key` must differ from `physics_key`"),
    ],
)
def test_wrong_keys_are_refused_without_being_shown(physics, protocol, message):
    with pytest.raises(ValueError, match=message) as caught:
        sampler_of(physics=physics, protocol=protocol)
    assert repr(PHYSICS) not in str(caught.value)


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (np.empty(8, np.int8), "must be uint8"),
        (np.empty((2, 4), np.uint8), "must be uint8 of shape"),
        (np.empty(BLOCK_ROUNDS + 1, np.uint8), "must hold at most 262144"),
        (np.empty(16, np.uint8)[::2], "must be contiguous and writeable"),
        (np.frombuffer(bytes(8), np.uint8), "must be contiguous and writeable"),
    ],
)
def test_wrong_buffer_is_refused(codes, message):
    with pytest.raises(ValueError, match=message):
        sampler_of().fill(codes, block=0)


@pytest.mark.parametrize("block", [-1, 2**64])
def test_block_number_out_of_range_is_refused(block):
    with pytest.raises(ValueError, match="`block` must lie in"):
        sampler_of().fill(np.empty(8, np.uint8), block=block)


def test_wrong_stream_arguments_are_refused():
    with pytest.raises(ValueError, match="`key` must have 32 bytes"):
        keystream(b"short", stream=Stream.SAMPLE, block=0)
    with pytest.raises(ValueError, match="`key` must have 32 bytes"):
        words_at(b"short", np.arange(2), stream=Stream.SAMPLE, block=0)
    with pytest.raises(ValueError, match="`seed` must not be negative, but is -1"):
        seeded_key(-1, purpose="physics")


def test_sampler_never_prints_its_keys():
    text = repr(sampler_of())
    assert "key" not in text
    assert repr(PHYSICS) not in text


# --- the free choice ------------------------------------------------------------------------------


class Meddler:
    """A source that overwrites the settings it is asked, and answers with what it likes."""

    shape = (3, 3, 2, 2)

    def __init__(self, answer=0):
        self.given = answer

    def answer(self, pairs, outcomes, *, block):
        """Overwrite both."""
        pairs[:] = 4
        outcomes[:] = self.given


@pytest.mark.parametrize("settings", [EKERT, BIASED])
def test_source_writes_no_setting_and_no_sample_into_the_record(settings):
    meddled, honest = (
        RoundSampler(choices(settings, key=PROTOCOL), source)
        for source in (Meddler(2), sampler_of(settings).source)
    )
    assert np.array_equal(block_of(meddled, 7) // 4, block_of(honest, 7) // 4)
    assert np.all(block_of(meddled, 7) % 4 == 2)
    draw, again = (sampler.sample_entropy(7) for sampler in (meddled, honest))
    assert draw(100) == again(100)


@pytest.mark.parametrize("answer", [4, 255])
def test_answer_that_is_no_outcome_is_refused_and_stands_for_no_other_setting(answer):
    sampler = RoundSampler(choices(EKERT, key=PROTOCOL), Meddler(answer))
    with pytest.raises(ValueError, match=f"outcomes below 4, but answered with {answer}"):
        block_of(sampler)


@pytest.mark.parametrize(
    "shape", [(3, 2, 2, 2), (3, 3, 2), (3, 3, 4, 4), (3, 3, 2, 3), (9, 1, 1, 1)]
)
def test_source_for_other_rounds_is_refused(shape):
    source = Meddler()
    source.shape = shape
    with pytest.raises(ValueError, match="must be for 9 setting pairs and 2 or 3 outcomes"):
        RoundSampler(choices(EKERT, key=PROTOCOL), source)


@pytest.mark.parametrize("pairs", [np.full(8, 9, np.uint8), np.zeros(7, np.uint8), np.zeros(8)])
def test_setting_pair_that_does_not_exist_is_refused(pairs):
    with pytest.raises(ValueError, match="`rows` must be uint8 of shape"):
        sampler_of().source.answer(pairs, np.empty(8, np.uint8), block=0)
