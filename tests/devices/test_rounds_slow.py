"""A thousand million rounds and more: cells, spread, order, S and QBER against exact values."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.stats import chi2, ncx2
from statistical import FALSE_ALARM, assert_binomial

from e91.devices.exact import exact_device
from e91.distillation.sifting.packing import tally
from e91.model.settings import EKERT
from e91.session.streaming import source_of
from e91.system.cell_draws import BLOCK_ROUNDS

pytestmark = pytest.mark.slow

LAGS = (1, 2, 8)  # neighbours, next neighbours, and the words that the look-up works on
DEVICE = exact_device(visibility=0.97, dephasing=0.01, seed=91)
CELLS = DEVICE.table.size


def probabilities():
    choice = np.outer(EKERT.alice_probabilities, EKERT.bob_probabilities)
    return (choice[:, :, None, None] * DEVICE.table).ravel()


def over_blocks(count, *, work):
    """Apply ``work`` to ``count`` blocks of rounds on two threads, and yield what it returns."""
    sampler = source_of(DEVICE, EKERT, protocol_key=b"1" * 32)

    def one(block):
        codes = np.empty(BLOCK_ROUNDS, np.uint8)
        sampler.fill(codes, block=block)
        return work(codes)

    with ThreadPoolExecutor(2) as pool:
        for start in range(0, count, 256):
            yield from pool.map(one, range(start, min(start + 256, count)))


def assert_chi_square(statistic, freedom, *, must_detect):
    """Both tails at the false-alarm rate; a non-centrality of ``must_detect`` has to be seen."""
    low, high = chi2.ppf(FALSE_ALARM / 2, freedom), chi2.isf(FALSE_ALARM / 2, freedom)
    assert ncx2.sf(high, freedom, must_detect) > 0.999, "too few rounds to see the stated error"
    assert low <= statistic <= high, (
        f"chi-square {statistic:.6g} is outside [{low:.6g}, {high:.6g}]"
    )


def following(codes, lag):
    pairs = codes[:-lag].astype(np.uint16) * np.uint16(CELLS) + codes[lag:]
    return np.bincount(pairs, minlength=CELLS**2)


@pytest.fixture(scope="module")
def thousand_million():
    """Counts of each block, shape (blocks, cells), and of the pairs of rounds at each lag."""
    blocks = -(-(10**9) // BLOCK_ROUNDS)
    counts, pairs = [], np.zeros((len(LAGS), CELLS**2), np.int64)

    def look(codes):
        return tally(codes, cells=CELLS), np.array([following(codes, lag) for lag in LAGS])

    for cells, together in over_blocks(blocks, work=look):
        counts.append(cells)
        pairs += together
    return np.array(counts), pairs


def test_every_cell_of_a_thousand_million_rounds_comes_as_often_as_it_must(thousand_million):
    counts, expected = thousand_million[0].sum(axis=0), probabilities()
    rounds = counts.sum()
    statistic = np.sum((counts - rounds * expected) ** 2 / (rounds * expected))
    # A relative error of 5e-4 in every cell adds rounds * 5e-4 ** 2 = 250.
    assert_chi_square(statistic, CELLS - 1, must_detect=rounds * 5e-4**2)


def test_blocks_spread_as_independent_rounds_do(thousand_million):
    counts, expected = thousand_million[0], BLOCK_ROUNDS * probabilities()
    statistic = np.sum((counts - expected) ** 2 / expected)
    freedom = len(counts) * (CELLS - 1)
    # Blocks that scatter 4 % too widely (in variance) add 4 % of the degrees of freedom.
    assert_chi_square(statistic, freedom, must_detect=0.04 * freedom)


@pytest.mark.parametrize("lag", LAGS)
def test_a_round_knows_nothing_of_the_one_before(thousand_million, lag):
    counts = thousand_million[1][LAGS.index(lag)]
    together = np.outer(probabilities(), probabilities()).ravel()
    total = counts.sum()
    statistic = np.sum((counts - total * together) ** 2 / (total * together))
    # Pairs overlap, so that the marginal part is counted twice: it is tested alone above, and
    # what is left of it here is chi-square with (cells - 1)^2 degrees of freedom.
    first, second = counts.reshape(CELLS, CELLS).sum(axis=1), counts.reshape(CELLS, CELLS).sum(0)
    for margin in (first, second):
        statistic -= np.sum((margin - total * probabilities()) ** 2 / (total * probabilities()))
    # An excess of 1e-3 of one round's code after itself, or of any pair of codes: total * 1e-6.
    assert_chi_square(statistic, (CELLS - 1) ** 2, must_detect=total * 1e-3**2)


def test_chsh_and_errors_of_ten_thousand_million_rounds_are_the_exact_ones():
    blocks = -(-(10**10) // BLOCK_ROUNDS)
    counts = np.zeros(CELLS, np.int64)
    for cells in over_blocks(blocks, work=lambda codes: tally(codes, cells=CELLS)):
        counts += cells
    counts = counts.reshape(DEVICE.table.shape)
    same = counts[..., 0, 0] + counts[..., 1, 1]
    truth = DEVICE.table[..., 0, 0] + DEVICE.table[..., 1, 1]
    rounds = counts.sum(axis=(2, 3))
    for pair in np.ndindex(truth.shape):  # key pairs (the QBER), test pairs and the others
        off = truth[pair] + (1.5e-4 if truth[pair] < 0.5 else -1.5e-4)
        assert_binomial(int(same[pair]), int(rounds[pair]), float(truth[pair]), must_detect=off)
    exact, seen = (
        sum(sign * (2 * part[pair] - 1) for pair, sign in EKERT.chsh_pairs)
        for part in (truth, same / rounds)
    )
    variance = sum(4 * truth[p] * (1 - truth[p]) / rounds[p] for p, _ in EKERT.chsh_pairs)
    # Bernstein's inequality: P(|S - exact| > t) <= 2 exp(-t^2 / 2 / (variance + step t / 3)).
    step, level = 2 / rounds.min(), np.log(2 / FALSE_ALARM)
    allowed = level * step / 3 + np.sqrt((level * step / 3) ** 2 + 2 * level * variance)
    assert allowed < 3e-4
    assert abs(seen - exact) <= allowed
