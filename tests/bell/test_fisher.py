"""Fisher's exact test: fractions, two other programs, and the largest counts."""

import math
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import hypergeom, norm

from e91.bell.correlators import fisher_p_value, signalling_p_values
from e91.model.hypergeometric import log_tail


def lower_tail_bound(a: int, b: int, c: int, d: int) -> float:
    """The tail of a table that the p-value is made of."""
    return math.exp(log_tail(a, b, c, d))


def exact_tail(a: int, b: int, c: int, d: int) -> Fraction:
    """P(first cell <= a), by counting the tables with these margins."""
    tables = [
        math.comb(a + b, cell) * math.comb(c + d, a + c - cell)
        for cell in range(max(0, a - d), min(a + b, a + c) + 1)
    ]
    return Fraction(sum(tables[: a - max(0, a - d) + 1]), sum(tables))


def table_at(sigmas: float, *, cell: int) -> tuple[int, int, int, int]:
    """A table of four like cells; the first is this many deviations above its mean."""
    excess = round(sigmas * math.sqrt(cell) / 2)
    return cell + excess, cell - excess, cell - excess, cell + excess


def test_every_small_table_has_its_exact_tail():
    for cells in product(range(7), repeat=4):
        if sum(cells):
            assert lower_tail_bound(*cells) == pytest.approx(float(exact_tail(*cells)), rel=1e-12)


@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 300), st.integers(0, 300))
def test_tail_is_that_by_fractions(a, b, c, d):
    if a + b + c + d == 0:
        return
    exact = float(exact_tail(a, b, c, d))
    # Above the mean the terms fall slowly, and what is not summed is bounded from above.
    found = lower_tail_bound(a, b, c, d)
    above = 2e-4 if exact > 0.2 else 1e-10
    assert exact * (1 - 1e-10) <= found <= exact * (1 + above) + 1e-300


@pytest.mark.parametrize("cell", [10**3, 10**5, 10**7])
@pytest.mark.parametrize("sigmas", [-9, -6, -2, -0.5])
def test_tail_agrees_with_scipy(cell, sigmas):
    a, b, c, d = table_at(sigmas, cell=cell)
    expected = hypergeom.cdf(a, a + b + c + d, a + b, a + c)
    found = lower_tail_bound(a, b, c, d)
    assert expected * (1 - 1e-7) <= found <= expected * (1 + 1e-7 + (2e-4 if cell > 10**3 else 0))


@pytest.mark.parametrize("sigmas", [-30, -6, -4])
def test_bound_at_the_largest_counts_is_near_the_normal_tail(sigmas):
    found = lower_tail_bound(*table_at(sigmas, cell=25 * 10**13))
    assert norm.cdf(sigmas) * (1 - 1e-5) <= found <= norm.cdf(sigmas) * (1 + 1 / sigmas**2)


@pytest.mark.parametrize("far", [(25, 1, 1, 10**14), (10**14, 10, 10, 10**14), (10**4, 9, 9, 400)])
def test_tables_far_from_their_mean_have_tails_0_and_1(far):
    a, b, c, d = far
    assert lower_tail_bound(a, b, c, d) == pytest.approx(1, rel=1e-12)
    assert lower_tail_bound(b, a, d, c) < 1e-200


def test_p_value_is_two_sided():
    low, high = table_at(-5, cell=10_000), table_at(5, cell=10_000)
    assert fisher_p_value(*low) == pytest.approx(fisher_p_value(*high), rel=1e-9)
    assert fisher_p_value(*low) == pytest.approx(2 * float(lower_tail_bound(*low)))


@pytest.mark.parametrize("level", [0.1, 0.01])
def test_p_value_keeps_its_level_given_any_margins(level):
    for row, column, rounds in product(range(1, 12), range(1, 12), [12, 17]):
        if max(row, column) > rounds:
            continue
        cells = range(max(0, row + column - rounds), min(row, column) + 1)
        weights = hypergeom.pmf(cells, rounds, row, column)
        found = [fisher_p_value(a, row - a, column - a, rounds - row - column + a) for a in cells]
        assert weights[np.array(found) <= level].sum() <= level


def test_each_far_setting_and_outcome_is_tested_once():
    even = np.full((3, 2, 2), 9)
    assert signalling_p_values(even) == pytest.approx([1.0] * 3)
    assert len(signalling_p_values(np.full((2, 3, 3), 9))) == 2 * 3 * 3
    assert signalling_p_values(np.full((2, 1, 2), 9)) == []


def test_table_of_a_far_setting_is_itself_against_all_others():
    table = np.array([[[5, 1], [2, 7], [3, 3]]])
    expected = [fisher_p_value(5, 1, 5, 10), fisher_p_value(2, 7, 8, 4), fisher_p_value(3, 3, 7, 8)]
    # Two outcomes: only the first is tested.
    assert signalling_p_values(table) == pytest.approx(expected)
