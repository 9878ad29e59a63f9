"""The lower tail of the hypergeometric distribution, bounded from above at any size of block.

A table has four cells, whole numbers: ``a`` errors and ``c`` other bits in the sample, ``b`` errors
and ``d`` other bits outside it.  Given its margins, the cells differ from their means by one
number x: a and d by x, b and c by -x.  It is computed from integers, so counts of 10^15 keep the
digits that a difference of logarithms of factorials would lose.
"""

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from e91.model.numbers import Floats

_POINTS_PER_WIDTH = 32  # a tail is cut at this many points per local standard deviation,
_WIDTHS = 10  # this many of them deep; what lies below is bounded by a geometric series


def log_tail(a: int, b: int, c: int, d: int) -> float:
    """Return an upper bound on log P(the sample has ``a`` errors or fewer | margins).

    Where the local standard deviation is below 64 errors, the terms are summed one by one (down
    to 10 deviations; a geometric series bounds the rest, below 1e-20).  Beyond, they are summed
    in strides of up to a 32nd of it: the probabilities are log-concave, so the geometric series
    through the first two terms of a stride bounds it from above.

    Args:
        a: Errors in the sample, from 0.
        b: Errors outside the sample, from 0.
        c: Other bits in the sample, from 0.
        d: Other bits outside the sample, from 0.

    Returns:
        The bound, at most 0.  Where a is below its mean and terms are summed one by one, it is
        the logarithm to 1e-11; else it exceeds it by less than 2e-4.  Rounding may lower it by
        3e-14 times the root of all bits for tails above 1e-300.

    Source:
        Single terms in the form of Loader, "Fast and accurate computation of binomial
        probabilities" (2000), carried over to four cells.  The tests compare with fractions, and
        for up to 10^18 bits with 60-digit decimals and an Euler-Maclaurin sum.

    Examples:
        >>> round(math.exp(log_tail(0, 1, 9, 8)), 12)  # one error of 18 hides from a sample of 9
        0.5
    """
    if b == 0 or c == 0:
        return 0.0

    def falling(below: Floats) -> Floats:
        """Return one minus the ratio of the next term to this one, without cancellation."""
        return (b + c + 1 - (a * d - b * c) + (a + b + c + d + 2) * below) / (
            (b + 1 + below) * (c + 1 + below)
        )

    width = 1 / math.sqrt(sum(1 / (cell + 1) for cell in (a, b, c, d)))
    logs = partial(_log_probabilities, (a, b, c, d))
    return log_sum_of_tail(falling, logs, width=width, deepest=min(a, d))


def log_sum_of_tail(
    falling: Callable[[Floats], Floats],
    logs: Callable[[Floats], Floats],
    *,
    width: float,
    deepest: int,
) -> float:
    """Return an upper bound on the logarithm of a sum of log-concave terms, at most 0.

    Args:
        falling: Returns one minus the ratio of the next term to the one this number of places below
            the first; shape (n,) to (n,).
        logs: Returns the logarithms of these terms.
        width: Their local standard deviation.
        deepest: Places of the last term below the first.
    """
    stride = max(1, int(width / _POINTS_PER_WIDTH))
    points = min(deepest // stride + 1, int(_WIDTHS * width / stride) + 2)
    below = stride * np.arange(points, dtype=np.float64)
    falls = falling(below)
    if falls[-1] <= 0:
        return 0.0
    found = logs(below)
    weights = _stride_weights(falls, stride)
    weights[-1] = 1 / falls[-1]
    largest = float(found.max())
    return min(0.0, largest + math.log(float(np.dot(weights, np.exp(found - largest)))))


def relative_entropy_exponent(a: int, b: int, c: int, d: int) -> float:
    """Return -log of Hoeffding's bound on P(the sample has ``a`` errors or fewer | margins).

    Args:
        a: Errors in the sample; the four cells are as for `log_tail`.
        b: Errors outside the sample.
        c: Other bits in the sample.
        d: Other bits outside the sample.

    Returns:
        The larger of k D(a / k || K / N) and n D(b / n || K / N), with k = a + c, n = b + d,
        K = a + b, N = k + n; 0 if the sample has its share of errors or more.

    Source:
        Hoeffding, J. Am. Stat. Assoc. 58, 13 (1963), Theorems 1 and 4.

    Examples:
        >>> round(relative_entropy_exponent(0, 1, 9, 8), 9)  # 9 log(18 / 17); the other is 0.21
        0.514425725
    """
    if _excess(a, b, c, d) >= 0:
        return 0.0
    cells = _deviances((a, b, c, d), np.array([_excess(a, b, c, d)]))[:, 0]
    return float(max(cells[0] + cells[2], cells[1] + cells[3]))


def _stride_weights(falling: Floats, stride: int) -> Floats:
    """Return 1 + r + ... + r^(stride - 1) with r = 1 - ``falling``, shape (n,)."""
    if stride == 1:
        return np.ones_like(falling)
    safe = np.where(falling == 0, 1.0, falling)
    with np.errstate(divide="ignore"):  # log1p(-1) = -inf: the next term is 0, and the sum 1
        sums = -np.expm1(stride * np.log1p(-safe)) / safe
    return np.where(falling == 0, float(stride), sums)


def _log_probabilities(cells: tuple[int, int, int, int], below: Floats) -> Floats:
    """Return the log-probabilities of the tables ``below`` places under ``cells``, shape (n,)."""
    a, b, c, d = cells
    margins = np.array([a + b, c + d, a + c, b + d], np.float64)
    signs = np.array([[-1.0], [1.0], [1.0], [-1.0]])
    tables = np.array(cells, np.float64)[:, None] + signs * below
    found: Floats = (
        factorial_excess(margins).sum()
        - factorial_excess(np.array([a + b + c + d], np.float64))
        - (factorial_excess(tables) + _deviances(cells, _excess(*cells) - below)).sum(axis=0)
    )
    return found


def _excess(a: int, b: int, c: int, d: int) -> float:
    """Return how many more errors the sample has than its share; rounded once, from integers."""
    return (a * d - b * c) / (a + b + c + d)


def _deviances(cells: tuple[int, int, int, int], excess: Floats) -> Floats:
    """Return count log(count / mean) - count + mean of the four cells, shape (4, n).

    The cells differ from their means by ``excess``, minus it, minus it, and it; that they do so
    by one number keeps all digits where counts of 10^15 differ from their means by little.
    """
    a, b, c, d = cells
    bits = a + b + c + d
    means = [(a + b) * (a + c), (a + b) * (b + d), (c + d) * (a + c), (c + d) * (b + d)]
    mean = np.array([product / bits for product in means])[:, None]
    return deviance(mean, np.array([[1.0], [-1.0], [-1.0], [1.0]]) * excess)


def deviance(mean: Floats, excess: Floats) -> Floats:
    """Return count log(count / mean) - count + mean of counts that exceed their means.

    Args:
        mean: Positive; any shape.
        excess: By how much each count exceeds it, at least minus the mean; the same shape.
    """
    relative = np.maximum(excess / mean, -1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(relative > -1, (1 + relative) * np.log1p(relative), 0.0)
    found: Floats = mean * (logs - relative)
    return found


_SMALL_FACTORIAL_EXCESS = np.array(
    [math.lgamma(n + 1) - (n * math.log(n) - n if n else 0.0) for n in range(16)]
)


def factorial_excess(n: Floats) -> Floats:
    """Return log n! - (n log n - n): 0 at 0, else Stirling's series, good to 1e-14."""
    large = np.maximum(n, 16)
    square = 1 / (large * large)
    series = (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square / 1680))) / large
    small = _SMALL_FACTORIAL_EXCESS[np.minimum(n, 15).astype(np.intp)]
    return np.where(n < 16, small, 0.5 * np.log(2 * math.pi * large) + series)
