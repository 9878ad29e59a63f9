"""P-values against local models: what a count of wins in the CHSH game refutes.

The game: a round with settings x, y in {0, 1} is won if a xor b = x and y (up to the relabelling
that the signs of the CHSH sum describe).  Local models, with memory or without, win each round
with at most the *local bound*, given all earlier rounds; hence the number of wins in a number of
rounds that was fixed beforehand is stochastically below a binomial one.

A p-value rejects local models.  It bounds nothing about an eavesdropper, and a number of standard
deviations above S = 2 is not a p-value: it assumes independent Gaussian rounds.

Sources: Gill, quant-ph/0110137 and quant-ph/0301059; Bierhorst, J. Phys. A 48, 195302 (2015),
arXiv:1312.2999; Elkouss and Wehner, npj Quantum Inf. 2, 16026 (2016), arXiv:1510.07233.
"""

import math

from scipy.special import betainc

from e91.model.numbers import check_fractions, check_within

_SMALLEST_DIRECT = 1e-280  # below this, scipy's incomplete beta function nears underflow
_MOST_ROUNDS = 10**15  # to here, whole numbers are exact as floats and the tail was checked


def winning_probability(chsh_value: float) -> float:
    """Return the probability 1/2 + S/8 to win the CHSH game with uniform settings.

    Args:
        chsh_value: S, in [-4, 4].

    Returns:
        A probability in [0, 1].

    Raises:
        ValueError: ``chsh_value`` is not in [-4, 4].

    Examples:
        >>> winning_probability(2.0)
        0.75
    """
    check_within(-4, 4, chsh_value=chsh_value)
    return 0.5 + chsh_value / 8


def chsh_value(winning_probability: float) -> float:
    """Return S = 8 w - 4 for the probability w to win the CHSH game with uniform settings.

    Args:
        winning_probability: In [0, 1].

    Returns:
        S, in [-4, 4].

    Raises:
        ValueError: ``winning_probability`` is not in [0, 1].

    Examples:
        >>> chsh_value(0.75)
        2.0
    """
    check_fractions(winning_probability=winning_probability)
    return 8 * winning_probability - 4


def local_bound_independent_settings(predictability: float) -> float:
    """Return how often local models win if each party's setting can be guessed a little.

    Args:
        predictability: tau in [0, 1/2]: whatever happened before, each setting is guessed
            correctly with probability at most 1/2 + tau, and the two settings are independent
            given the past.

    Returns:
        1 - (1/2 - tau)^2 = 3/4 + tau - tau^2: every deterministic strategy loses at least one of
        the four setting pairs, and each pair has at least probability (1/2 - tau)^2.

    Raises:
        ValueError: ``predictability`` is not in [0, 1/2].

    Source:
        The argument above; compare Elkouss and Wehner, arXiv:1510.07233.

    Examples:
        >>> local_bound_independent_settings(0.0)
        0.75
    """
    check_within(0, 0.5, predictability=predictability)
    return 1 - (0.5 - predictability) ** 2


def local_bound(predictability: float) -> float:
    """Return how often local models win if the settings can be guessed, perhaps jointly.

    Args:
        predictability: tau in [0, 1/2]: each setting pair has probability at most
            (1/2 + tau)^2, whatever happened before.

    Returns:
        3 (1/2 + tau)^2 = 3/4 + 3 (tau + tau^2), at most 1: a deterministic local strategy wins at
        most three of the four setting pairs.

    Raises:
        ValueError: ``predictability`` is not in [0, 1/2].

    Source:
        Hensen et al., Nature 526, 682 (2015), Methods; the argument above.

    Examples:
        >>> local_bound(0.0)
        0.75
        >>> local_bound(0.1) > local_bound_independent_settings(0.1)
        True
    """
    check_within(0, 0.5, predictability=predictability)
    return min(1.0, 3 * (0.5 + predictability) ** 2)


def p_value(wins: int, rounds: int, *, bound: float = 0.75) -> float:
    """Return the probability that a local model wins at least this often: exact, memory allowed.

    Args:
        wins: Rounds won.
        rounds: Rounds played, at most 10^15; fixed before the first one (or event-ready).  A run
            that stops when it looks good has no p-value of this kind.
        bound: Local bound on the winning probability; see the two functions above.

    Returns:
        sum over j >= wins of C(rounds, j) bound^j (1 - bound)^(rounds - j).  Relative error 1e-9
        to 10^9 rounds, 1e-6 to 10^15.  Below 1e-308 it becomes 0: use `log_p_value`.

    Raises:
        ValueError: A count is not whole, ``wins`` exceeds ``rounds``, ``rounds`` is 0 or beyond
            10^15, or ``bound`` is not in [0, 1].

    Source:
        Elkouss and Wehner, npj Quantum Inf. 2, 16026 (2016).

    Examples:
        Hensen et al., Nature 526, 682 (2015) report 0.039:

        >>> round(p_value(196, 245, bound=local_bound(1.08e-5)), 4)
        0.0392
    """
    return math.exp(log_p_value(wins, rounds, bound=bound))


def log_p_value(wins: int, rounds: int, *, bound: float = 0.75) -> float:
    """Return the natural logarithm of `p_value`, also where that underflows.

    Args:
        wins: Rounds won.
        rounds: Rounds played, fixed beforehand; at most 10^15.
        bound: Local bound on the winning probability.

    Returns:
        At most 0; -inf if ``bound`` is 0 and a round was won.

    Raises:
        ValueError: As for `p_value`.

    Source:
        The binomial tail is a regularised incomplete beta function (DLMF 8.17.5).  Where that
        underflows: Loader's saddle-point form of the binomial probability ("Fast and accurate
        computation of binomial probabilities", 2000) times the continued fraction DLMF 8.17.22.

    Examples:
        >>> round(log_p_value(1000, 1000), 6) == round(1000 * math.log(0.75), 6)
        True
    """
    wins, rounds = _checked(wins, rounds, bound)
    if wins == 0 or bound == 1:
        return 0.0
    if bound == 0:
        return -math.inf
    if wins == rounds:
        return wins * math.log(bound)
    direct = float(betainc(wins, rounds - wins + 1, bound))
    if direct > _SMALLEST_DIRECT:
        return math.log(direct)
    return _log_far_tail(wins, rounds, bound)


def hoeffding_p_value(wins: int, rounds: int, *, bound: float = 0.75) -> float:
    """Return Hoeffding's upper bound on `p_value`, for comparison with papers that use it.

    Args:
        wins: Rounds won.
        rounds: Rounds played, fixed beforehand.
        bound: Local bound on the winning probability.

    Returns:
        exp(-2 rounds (wins / rounds - bound)^2), or 1 if the wins do not exceed the bound.  Valid
        with memory (Azuma), but never below the exact value.

    Raises:
        ValueError: As for `p_value`.

    Source:
        Hoeffding, J. Am. Stat. Assoc. 58, 13 (1963), Theorem 1.

    Examples:
        >>> f"{hoeffding_p_value(820, 1000):.3e}"
        '5.545e-05'
    """
    wins, rounds = _checked(wins, rounds, bound)
    return math.exp(-2 * rounds * max(0.0, wins / rounds - bound) ** 2)


def _log_far_tail(wins: int, rounds: int, bound: float) -> float:
    """Log of the upper tail for bound << wins / rounds < 1: one probability times a fraction."""
    log_probability = (
        -_deviance(wins, rounds * bound)
        - _deviance(rounds - wins, rounds * (1 - bound))
        + _stirling_error(rounds)
        - _stirling_error(wins)
        - _stirling_error(rounds - wins)
        + 0.5 * math.log(rounds / (2 * math.pi * wins * (rounds - wins)))
    )
    fraction = _continued_fraction(wins, rounds - wins + 1, bound)
    return log_probability + math.log1p(-bound) + math.log(fraction)


def _deviance(count: float, mean: float) -> float:
    """Return count log(count / mean) - count + mean, without cancellation near the mean."""
    excess = (count - mean) / mean
    return mean * ((1 + excess) * math.log1p(excess) - excess)


def _stirling_error(n: int) -> float:
    """Return log n! minus Stirling's formula; absolute error below 1e-13 for n >= 1."""
    if n < 16:
        return math.lgamma(n + 1) - (n + 0.5) * math.log(n) + n - 0.5 * math.log(2 * math.pi)
    return 1 / (12 * n) - 1 / (360 * n**3) + 1 / (1260 * n**5) - 1 / (1680 * n**7)


def _continued_fraction(a: int, b: int, x: float) -> float:
    """Return the fraction of DLMF 8.17.22 by Lentz's method; quick for x well below a/(a+b)."""
    upper, lower = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    value = lower
    for m in range(1, 10_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        before = value
        for term in (even, odd):
            lower, upper = 1 / (1 + term * lower), 1 + term / upper
            value *= lower * upper
        if abs(value - before) <= 1e-15 * value:
            return value
    raise ArithmeticError("The continued fraction must converge far from the mean, but did not.")


def _checked(wins: int, rounds: int, bound: float) -> tuple[int, int]:
    for name, value in (("wins", wins), ("rounds", rounds)):
        if value % 1 != 0 or value < 0:
            raise ValueError(f"`{name}` must be a whole number from 0, but is {value}.")
    if not 1 <= rounds <= _MOST_ROUNDS:
        raise ValueError(f"`rounds` must lie in [1, 10^15], but is {rounds}.")
    if wins > rounds:
        raise ValueError(f"`wins` must be at most `rounds`, {rounds}, but is {wins}.")
    check_fractions(bound=bound)
    return int(wins), int(rounds)
