"""Codes looked up 64 at a time, and announcements of half a byte: what the definitions say."""

import numpy as np
import pytest

from e91.distillation.sifting import packing_kernels
from e91.distillation.sifting import vector_kernels as packing_vector_kernels
from e91.distillation.sifting.announcements import announcements
from e91.distillation.sifting.by_block import code_book
from e91.distillation.sifting.packing import tally
from e91.model.settings import EKERT

WAYS = ("vectors", "one by one", "numpy")
ROUNDS = (0, 1, 2, 63, 64, 65, 4_097)


@pytest.fixture(params=WAYS)
def way(request, monkeypatch):
    if request.param == "numpy":
        monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    elif request.param == "one by one":
        monkeypatch.setattr(packing_vector_kernels, "AVAILABLE", False)
    return request.param


def codes_below(cells, rounds):
    return np.random.default_rng(rounds).integers(0, cells, rounds, np.uint8)


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("cells", [1, 4, 36, 63, 64, 65, 255])
def test_tally_counts_any_number_of_cells(way, cells, rounds):
    codes = codes_below(cells, rounds)
    assert np.array_equal(tally(codes, cells=cells), np.bincount(codes, minlength=cells))


@pytest.mark.parametrize("beyond", [36, 39, 63, 64, 100, 255])
def test_a_code_beyond_the_cells_is_refused_on_every_way(way, beyond):
    codes = codes_below(36, 1_000)
    codes[500] = beyond
    with pytest.raises(ValueError, match=f"`codes` must lie below 36, but reach {beyond}"):
        tally(codes, cells=36)


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("cells", [36, 81])
def test_narrow_announcements_hold_two_rounds_a_byte(way, cells, rounds):
    says = np.zeros(256, np.uint32)
    generator = np.random.default_rng(cells)
    says[:cells] = generator.integers(0, 16, cells) + 256 * generator.integers(0, 16, cells)
    codes = codes_below(cells, rounds)
    for body, said in zip(announcements(codes, says=says), (says & 255, says >> 8), strict=True):
        told = np.pad(said[codes], (0, rounds % 2)).reshape(-1, 2)
        assert np.array_equal(body, told[:, 0] * 16 + told[:, 1])


def test_wide_announcements_hold_one_round_a_byte(way):
    says = np.arange(256, dtype=np.uint32) * 257
    codes = codes_below(255, 1_001)
    for body in announcements(codes, says=says):
        assert np.array_equal(body, codes)


def test_announcements_of_ekerts_settings_are_narrow():
    """Two parties, three settings, four outcomes to tell: half a byte a round and party."""
    alice, bob = announcements(codes_below(36, 1_000), says=code_book(EKERT).says)
    assert len(alice) == len(bob) == 500


@pytest.mark.parametrize("cells", [36, 81])
def test_gathered_flags_are_the_roles_first_round_highest(cells):
    """Both ways that this processor can go; with 81 cells a vector holds too few of them."""
    roles = np.zeros(256, np.uint8)
    roles[:cells] = np.random.default_rng(1).choice([0, 4, 5, 6, 7], cells)
    codes = codes_below(cells, 4_096)
    codes[7] = 255
    table, flags = packing_kernels._table(roles), packing_kernels._flags(roles)
    assert len(table) == (64 if cells == 36 else 0)
    for gather in (packing_kernels._gather_one_by_one, packing_kernels._collect):
        found = [np.empty(64, np.uint64) for _ in range(3)]
        gather(codes, flags, table, *found)
        for words, bit in zip(found, (4, 2, 1), strict=True):
            packed = np.packbits((roles[codes] & bit) > 0)
            assert np.array_equal(words.byteswap().view(np.uint8), packed)
