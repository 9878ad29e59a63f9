"""Tallies and announcements of half a byte: what the definitions say, compiled or not."""

import numpy as np
import pytest

from e91.distillation.sifting.by_block import code_table
from e91.distillation.sifting.packing import announcements, pair_table, tally
from e91.model.settings import EKERT

ROUNDS = (0, 1, 2, 63, 64, 65, 4_097)


@pytest.fixture(params=["compiled", "numpy"], autouse=True)
def way(request, monkeypatch):
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1" if request.param == "numpy" else "0")


def codes_below(cells, rounds):
    return np.random.default_rng(rounds).integers(0, cells, rounds, np.uint8)


@pytest.mark.parametrize("cells", [1, 36, 64, 65, 255])
def test_tally_counts_any_number_of_cells(cells):
    for rounds in ROUNDS:
        codes = codes_below(cells, rounds)
        assert np.array_equal(tally(codes, cells=cells), np.bincount(codes, minlength=cells))


@pytest.mark.parametrize("beyond", [36, 64, 255])
def test_a_code_beyond_the_cells_is_refused(beyond):
    codes = codes_below(36, 1_000)
    codes[500] = beyond
    with pytest.raises(ValueError, match=f"`codes` must lie below 36, but reach {beyond}"):
        tally(codes, cells=36)


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("cells", [36, 81])
def test_narrow_announcements_hold_two_rounds_a_byte(cells, rounds):
    says = np.zeros(256, np.uint32)
    generator = np.random.default_rng(cells)
    says[:cells] = generator.integers(0, 16, cells) + 256 * generator.integers(0, 16, cells)
    codes = codes_below(cells, rounds)
    for body, said in zip(
        announcements(codes, says=says, pairs=pair_table(says)),
        (says & 255, says >> 8),
        strict=True,
    ):
        rows = np.pad(said[codes], (0, rounds % 2)).reshape(-1, 2)
        assert np.array_equal(body, rows[:, 0] * 16 + rows[:, 1])


def test_wide_announcements_hold_one_round_a_byte():
    says = np.arange(256, dtype=np.uint32) * 257
    codes = codes_below(255, 1_001)
    for body in announcements(codes, says=says, pairs=pair_table(says)):
        assert np.array_equal(body, codes)


def test_announcements_of_ekerts_settings_are_narrow():
    """Two parties, three settings, four outcomes to announce: half a byte a round and party."""
    table = code_table(EKERT)
    alice, bob = announcements(codes_below(36, 1_000), says=table.says, pairs=table.pairs)
    assert len(alice) == len(bob) == 500
