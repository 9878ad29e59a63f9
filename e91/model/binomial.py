"""Confidence limits of a probability from whole counts, never on the wrong side.

Inverses of the incomplete beta function give up beyond some 10^12 trials.  Here the tail is bounded
from above in logarithms, as `e91.model.hypergeometric` does it, and that bound is inverted.
"""

import math
from collections.abc import Callable

import numpy as np

from e91.model.hypergeometric import deviance, factorial_excess, log_sum_of_tail
from e91.model.illinois import change_of_sign
from e91.model.numbers import Floats

_CERTAIN = 1e12  # an exponent that stands for all larger ones


def upper_probability(successes: int, trials: int, *, epsilon: float) -> float:
    """Return the Clopper-Pearson upper limit of a probability, or a little more.

    For every probability above it, so few successes or fewer come with probability at most
    ``epsilon``.

    Args:
        successes: Of ``trials``, from 0.
        trials: Independent ones, 1 to 10^18.
        epsilon: Probability that the limit is too low, in (0, 1).

    Returns:
        The limit, in (0, 1].  The tail at it is at most ``epsilon`` and, for ``epsilon`` up to
        1/2, misses that by less than 3e-4 of it, or by what the last places of the limit are worth.

    Source:
        Clopper and Pearson, Biometrika 26, 404 (1934).

    Examples:
        >>> round(upper_probability(0, 100, epsilon=0.05), 6)
        0.029513
    """
    # What rounding may have taken from a log-tail is held against us: see `log_lower_tail`.
    exponent = -math.log(epsilon) + 1e-11 + 3e-14 * math.sqrt(trials)
    if successes == trials:
        return 1.0
    if successes == 0:
        return min(1.0, math.nextafter(-math.expm1(-exponent / trials), 2.0))
    rate = successes / trials

    def excess(probability: float) -> float:
        """Return how far the tail's exponent, as a number of deviations, exceeds what it must."""
        found = min(_CERTAIN, -log_lower_tail(successes, trials, probability))
        return math.sqrt(found) - math.sqrt(exponent)

    return _first_positive(excess, rate, _chernoff(rate, exponent / trials))


def log_lower_tail(successes: int, trials: int, probability: float) -> float:
    """Return an upper bound on log P(``successes`` or fewer of ``trials``).

    Args:
        successes: From 0, fewer than ``trials``.
        trials: At most 10^18.
        probability: Of a success in each trial, in (0, 1].

    Returns:
        The bound, at most 0.  Below the mean it exceeds the logarithm by less than 2e-4, and where
        the standard deviation is below 64 by 1e-11.  Rounding may lower it by 3e-14 times the root
        of the trials, for tails above 1e-300.

    Source:
        Single terms in the form of Loader (2000), summed as `e91.model.hypergeometric` does.

    Examples:
        >>> round(math.exp(log_lower_tail(1, 2, 0.5)), 12)
        0.75
    """
    if probability >= 1:
        return -math.inf
    numerator, denominator = probability.as_integer_ratio()
    failures = trials - successes
    # Rounded once, from integers: counts and their means share many digits.
    over = (successes * denominator - trials * numerator) / denominator
    means = np.array(
        [trials * numerator / denominator, trials * (denominator - numerator) / denominator]
    )[:, None]

    def falling(below: Floats) -> Floats:
        """Return one minus the ratio of the next term to this one."""
        return (probability - over + below) / ((failures + 1 + below) * probability)

    def logs(below: Floats) -> Floats:
        """Return the log-probabilities of ``below`` successes fewer."""
        cells = np.array([[float(successes)], [float(failures)]]) + np.outer((-1, 1), below)
        apart = np.outer((1, -1), over - below)
        terms = factorial_excess(cells) + deviance(means, apart)
        found: Floats = factorial_excess(np.array([float(trials)])) - terms.sum(axis=0)
        return found

    width = 1 / math.sqrt(1 / (successes + 1) + 1 / (failures + 1))
    return log_sum_of_tail(falling, logs, width=width, deepest=successes)


def _chernoff(rate: float, exponent: float) -> float:
    """Return a limit above which a Chernoff bound refutes every probability, at most 1.

    ``D(rate || p) >= (p - rate)^2 / (2 p)``, and the exponent is that of one trial.
    """
    limit = rate + exponent + math.sqrt(exponent * (exponent + 2 * rate))
    return min(1.0, limit * (1 + 1e-12))


def _first_positive(function: Callable[[float], float], low: float, high: float) -> float:
    """Return a little more than the root of a function that grows from below 0 to above it."""

    def between(low: float, high: float, share: float) -> float | None:
        if high - low <= (step := 2 * math.ulp(high)):
            return None
        return min(max(low + (high - low) * share, low + step / 2), high - step / 2)

    below, above = function(low), function(high)
    if above <= 0:
        return high
    return change_of_sign(function, (low, high), (below, above), between=between)[1]
