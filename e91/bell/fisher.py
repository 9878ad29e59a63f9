"""Fisher's exact test of one table of four counts, sound from 1 to 10^15 rounds.

A table has four cells, whole numbers: ``a`` and ``b`` in its first row, ``c`` and ``d`` in its
second.  Given its margins, if rows and columns are independent, ``a`` is hypergeometric.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_MOST_TERMS = 1 << 17  # summed one by one: all that matter up to 10^9 rounds, in about 1 ms
_WIDTHS = 10  # terms further down, in standard deviations, are below 1e-20 of the first ones


def fisher_p_value(a: int, b: int, c: int, d: int) -> float:
    """Return a two-sided p-value for "rows and columns are independent".

    Args:
        a: First row, first column; from 0.
        b: First row, second column; from 0.
        c: Second row, first column; from 0.
        d: Second row, second column; from 0.

    Returns:
        Twice the smaller of the two tails of `lower_tail_bound`, at most 1.

    Source:
        R. A. Fisher, The Design of Experiments (1935), section 15; the factor of two in place of
        adding up all rarer tables keeps the p-value valid and simple.

    Examples:
        >>> fisher_p_value(3, 0, 0, 3)  # 2 / 20
        0.1000000000000...
    """
    return min(1.0, 2 * lower_tail_bound(a, b, c, d), 2 * lower_tail_bound(b, a, d, c))


def signalling_p_values(table: NDArray[np.int64]) -> list[float]:
    """Return the p-values of "this outcome does not depend on the far setting".

    Args:
        table: Rounds with own setting x, far setting y and own outcome a; int64, shape (X, Y, A).

    Returns:
        One p-value per own setting, far setting (against all others) and outcome (against all
        others), without those that say the same as another; empty if there is one far setting or
        one outcome.

    Examples:
        >>> signalling_p_values(np.array([[[50, 0], [0, 50]]]))[0] < 1e-9
        True
    """
    if min(table.shape[1:]) < 2:
        return []
    # Of two outcomes, or two far settings, the second says the same as the first.
    settings, outcomes = (1 if size == 2 else size for size in table.shape[1:])
    found = []
    for x, y, a in np.ndindex(len(table), settings, outcomes):
        seen, elsewhere = int(table[x, y, a]), int(table[x, :, a].sum() - table[x, y, a])
        others = int(table[x, y].sum()) - seen
        rest = int(table[x].sum()) - seen - others - elsewhere
        found.append(fisher_p_value(seen, others, elsewhere, rest))
    return found


def lower_tail_bound(a: int, b: int, c: int, d: int) -> float:
    """Return an upper bound on P(first cell <= a), given the margins.

    The largest terms are summed one by one.  The rest, if any, is bounded by a geometric series:
    the probabilities are log-concave, so the ratio of neighbours falls from term to term.

    Args:
        a: First row, first column; the arguments are as for `fisher_p_value`.
        b: First row, second column.
        c: Second row, first column.
        d: Second row, second column.

    Returns:
        The probability itself, to about 1e-11, for tables of up to 10^9 rounds.  Beyond, a tail
        z > 0 standard deviations from the mean is returned up to a factor 1 + 1/z^2 too large,
        and 1 on the other side of the mode.  Rounding may lower it by 3e-14 times the root of
        all rounds; it is 0 below 1e-300.

    Examples:
        >>> round(lower_tail_bound(0, 1, 9, 8), 12)
        0.5
    """
    if b == 0 or c == 0:
        return 1.0
    width = 1 / math.sqrt(sum(1 / (cell + 1) for cell in (a, b, c, d)))
    terms = min(min(a, d), _MOST_TERMS, int(_WIDTHS * width) + 2 * _WIDTHS)
    down = np.arange(terms + 1, dtype=np.float64)
    ratios = (a - down) / (b + down + 1) * ((d - down) / (c + down + 1))
    next_ratio = float(ratios[-1])
    if next_ratio >= 1:
        return 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        products = np.cumprod(ratios[:-1])
        rest = (products[-1] if terms else 1.0) * next_ratio / (1 - next_ratio)
        growth = float(1 + products.sum() + rest)
    if not growth < math.inf:  # far above the mode, where the tail is 1
        return 1.0
    return math.exp(min(0.0, _log_probability(a, b, c, d) + math.log(growth)))


def _log_probability(a: int, b: int, c: int, d: int) -> float:
    """Return the log-probability of the table, given its margins.

    Loader's form ("Fast and accurate computation of binomial probabilities", 2000) for four cells.
    All differ from their means by one number, computed from integers, so that counts of 10^15 keep
    the digits that a difference of logarithms of factorials would lose.
    """
    rounds, excess = a + b + c + d, a * d - b * c
    rows, columns = (a + b, c + d), (a + c, b + d)
    found = -_factorial_excess(rounds)
    for cell, row, column, sign in (
        (a, rows[0], columns[0], 1),
        (b, rows[0], columns[1], -1),
        (c, rows[1], columns[0], -1),
        (d, rows[1], columns[1], 1),
    ):
        relative = sign * excess / (row * column)  # cell / mean - 1
        logarithm = (1 + relative) * math.log1p(relative) if cell else 0.0
        found -= row * column / rounds * (logarithm - relative) + _factorial_excess(cell)
    return found + math.fsum(map(_factorial_excess, (*rows, *columns)))


def _factorial_excess(n: int) -> float:
    """Return log n! - (n log n - n): 0 at 0, else Stirling's series, good to 1e-13."""
    if n == 0:
        return 0.0
    if n < 16:
        return math.lgamma(n + 1) - n * math.log(n) + n
    series = 1 / 12 - (1 / 360 - (1 / 1260 - 1 / (1680 * n * n)) / (n * n)) / (n * n)
    return 0.5 * math.log(2 * math.pi * n) + series / n
