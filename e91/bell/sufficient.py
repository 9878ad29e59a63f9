"""Cheap tests that pass nearly all honest counts, of many blocks at once.

The tests of `e91.bell.correlators` add up the tails of distributions.  A tail is at least its own
first term, and a simple formula bounds that term from below; where this is enough already, the tail
need not be added up.  So what passes here passes there, and what does not is undecided.

Bounds: the logarithm of n! lies between Stirling's ``n log n - n + log(2 pi n) / 2`` and a twelfth
above it, from n = 1.  With x = (count - mean) / mean, ``(1 + x) log(1 + x) - x`` is at most x^2
and, as its second derivative is 1 / (1 + x), at most ``x^2 / (2 min(1, 1 + x))``.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from e91.model.numbers import Floats

Flags = NDArray[np.bool_]

_ROUNDING = 1e-6  # of a logarithm here or there, held against passing
_TINY = 1e-250  # a mean of 0 where nothing was seen


def settings_surely_pass(counts: ArrayLike, *, probabilities: ArrayLike, level: float) -> Flags:
    """Return where `settings_p_value` surely exceeds ``level``, or there is no round.

    Args:
        counts: How often each setting pair was chosen; shape (..., X, Y), up to 10^12 rounds.
        probabilities: Declared probabilities; shape (X, Y).
        level: At which settings are refused, in (0, 1).

    Returns:
        Shape (...); False where it is undecided.

    Examples:
        >>> settings_surely_pass([[[49, 51]], [[0, 100]]], probabilities=[[0.5, 0.5]], level=1e-9)
        array([ True, False])
    """
    seen, declared = np.asarray(counts, np.float64), np.asarray(probabilities, np.float64)
    rounds = seen.sum(axis=(-2, -1), keepdims=True)
    others = rounds - seen
    mean = rounds * declared
    squared = (seen - mean) ** 2
    log_terms = 0.5 * np.log(
        np.maximum(rounds, 1.0) / (2 * math.pi * np.maximum(seen, 1.0) * np.maximum(others, 1.0))
    ) - (squared / _spread(mean, seen) + squared / _spread(rounds - mean, others) + 2 / 12)
    passes: Flags = (log_terms > _least_log_term(level, tests=declared.size)).all(axis=(-2, -1))
    return passes


def no_signalling_surely_passes(counts: ArrayLike, *, level: float) -> Flags:
    """Return where `no_signalling_p_value` surely exceeds ``level``, or there is no round.

    Args:
        counts: Rounds with settings x, y and outcomes a, b; shape (..., 2, 2, 2, 2), up to 10^12
            rounds.
        level: At which counts are refused, in (0, 1).

    Returns:
        Shape (...); False where it is undecided.

    Examples:
        >>> leaky = np.full((2, 2, 2, 2), 25)
        >>> leaky[0, 1] = [[50, 0], [50, 0]]  # Bob's outcome is 0 only at (0, 1)
        >>> no_signalling_surely_passes([np.full((2, 2, 2, 2), 25), leaky], level=1e-9)
        array([ True, False])
    """
    table = np.moveaxis(np.asarray(counts, np.float64), (-4, -3, -2, -1), (0, 1, 2, 3))
    alice = table[:, :, :, 0] + table[:, :, :, 1]  # x, y, a, ...
    bob = (table[:, :, 0] + table[:, :, 1]).swapaxes(0, 1)  # y, x, b, ...
    cells = np.concatenate([alice, bob])  # own settings of both, far setting, own outcome, ...
    rows, columns = cells[:, :, 0] + cells[:, :, 1], cells[:, 0] + cells[:, 1]
    rounds = np.maximum(rows[:, 0] + rows[:, 1], 1.0)
    mean = rows[:, :, None] * (columns / rounds[:, None])[:, None]
    deviances = _of_four(np.add, (cells - mean) ** 2 / _spread(mean, cells))
    # The factorial of 0 is 1, Stirling's formula with the logarithm of 1 in place of 2 pi n.
    margins = np.maximum(np.stack([rows, columns], axis=1), 1 / (2 * math.pi))
    ratio = _of_four(np.multiply, margins) / (
        2 * math.pi * rounds * _of_four(np.multiply, np.maximum(cells, 1.0))
    )
    log_terms = 0.5 * np.log(ratio) - deviances - 5 / 12
    passes: Flags = (log_terms > _least_log_term(level, tests=4)).all(axis=0)
    return passes


def _of_four(combine: np.ufunc, values: Floats) -> Floats:
    """Combine the four values of axes 1 and 2, of length 2: no reduction is as fast."""
    found: Floats = combine(
        combine(values[:, 0, 0], values[:, 0, 1]), combine(values[:, 1, 0], values[:, 1, 1])
    )
    return found


def _least_log_term(level: float, *, tests: int) -> float:
    """Return which term makes the p-value, two-sided and corrected, exceed ``level``."""
    return math.log(level / (2 * tests)) + _ROUNDING


def _spread(mean: Floats, count: Floats) -> Floats:
    """Return by what a squared deviation is divided to bound what it costs in nats."""
    spread: Floats = np.maximum(np.maximum(2 * np.minimum(mean, count), mean), _TINY)
    return spread
