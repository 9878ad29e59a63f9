"""Fisher's exact test of one table of four counts, sound from 1 to 10^15 rounds.

A table has four cells, whole numbers: ``a`` and ``b`` in its first row, ``c`` and ``d`` in its
second.  Given its margins, if rows and columns are independent, ``a`` is hypergeometric.
"""

import math

import numpy as np
from numpy.typing import NDArray

from e91.model.hypergeometric import log_tail


def fisher_p_value(a: int, b: int, c: int, d: int) -> float:
    """Return a two-sided p-value for "rows and columns are independent".

    Args:
        a: First row, first column; from 0.
        b: First row, second column; from 0.
        c: Second row, first column; from 0.
        d: Second row, second column; from 0.

    Returns:
        Twice the smaller of the two tails, at most 1.  Beyond a local standard deviation of 64
        rounds the tail is bounded from above, up to 2e-4 of it (`hypergeometric.log_tail`).

    Source:
        R. A. Fisher, The Design of Experiments (1935), section 15; the factor of two in place of
        adding up all rarer tables keeps the p-value valid and simple.

    Examples:
        >>> fisher_p_value(3, 0, 0, 3)  # 2 / 20
        0.1000000000000...
    """
    return min(1.0, 2 * math.exp(min(log_tail(a, b, c, d), log_tail(b, a, d, c))))


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
