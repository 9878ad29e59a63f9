"""How many errors are left in the bits that were not revealed: four bounds, their assumptions.

============================  ==========================================================
bound                         valid for
============================  ==========================================================
hypergeometric_upper_bound    any errors, sample drawn without replacement; exact tail
relative_entropy_upper_bound  the same, closed tail, looser: what papers call Chernoff's
serfling_upper_bound          the same, closed form, looser; the step inside TLGR and TL17
clopper_pearson_upper_bound   independent, identical errors only: *no* adversary
============================  ==========================================================

An adversary places the errors first; the sample is drawn afterwards, uniformly among all subsets
of its size, from randomness that the adversary does not know.  Each bound may be computed after
the errors are counted: it is wrong with probability at most ``epsilon`` whatever the count.

All four are tested from 1 to 10^15 bits and for epsilon from 0.1 to 1e-61 (the square of a 1e-30
that a key formula asks for); counts beyond 10^18 are refused.
"""

import math
from collections.abc import Callable

import numpy as np

from e91.model.binomial import upper_probability
from e91.model.hypergeometric import log_tail, relative_entropy_exponent
from e91.model.illinois import change_of_sign
from e91.model.numbers import check_between_zero_and_one

_MOST_BITS = 10**18
_ROUNDED_UP = 1 + 2**-48  # more than a closed form of a few operations loses


def hypergeometric_upper_bound(errors: int, *, revealed: int, hidden: int, epsilon: float) -> float:
    """Return the largest error rate of the hidden bits that the sample leaves possible.

    The bound is U(errors) = (T - errors) / hidden, with T the largest total number of errors for
    which a sample has ``errors`` or fewer with probability above ``epsilon``.

    The tail is `hypergeometric.log_tail`, for every size of block: exact where its spread is
    below 64 errors; beyond, bounded from above by a factor of at most 1 + 2e-4.  What rounding
    may have taken from it (1e-6 at 10^15 bits) is added.  So U is never below the exact bound.
    For epsilon up to 0.1 it is above it by one error or less than 2e-4 of its distance from the
    revealed rate.

    Args:
        errors: Errors among the revealed bits.
        revealed: Size of the random sample.
        hidden: Number of bits that were not revealed.
        epsilon: Probability that the bound may be wrong, strictly between 0 and 1.

    Returns:
        An error rate in [0, 1], a multiple of 1 / hidden.

    Raises:
        ValueError: A count is not whole or beyond 10^18, the errors exceed the sample, or
            ``epsilon`` is not inside (0, 1).

    Not promised:
        The sample must be uniform and without replacement.  A sample chosen by position, or with
        one coin per bit and then cut to size, is not covered.

    Source:
        Inversion of the hypergeometric tail (Clopper and Pearson's construction); its use for
        finite keys: Mannalath, Zapatero and Curty, arXiv:2410.04095.

    Examples:
        >>> hypergeometric_upper_bound(0, revealed=100, hidden=100, epsilon=1e-3)
        0.09
        >>> round(hypergeometric_upper_bound(70, revealed=1550, hidden=1550, epsilon=1e-10), 4)
        0.1052
    """
    errors, revealed, hidden = _checked(errors, revealed, hidden, epsilon)
    most = _relative_entropy_total(errors, revealed, hidden, epsilon)
    total = _last_possible(
        lambda bad: -log_tail(*_table(errors, revealed, hidden, bad)),
        least=errors,
        most=most,
        target=_exponent(epsilon, revealed + hidden),
    )
    return (total - errors) / hidden


def relative_entropy_upper_bound(
    errors: int, *, revealed: int, hidden: int, epsilon: float
) -> float:
    """Return the upper bound on the hidden error rate by relative entropy, ``D(q || p)``.

    With K errors among N = revealed + hidden bits, a sample of k bits has x errors or fewer with
    probability at most exp(-k D(x / k || K / N)) for x / k below K / N.  The hidden n bits are a
    random sample as well, so the same event has probability at most
    exp(-n D((K - x) / n || K / N)).  The smaller of the two is inverted numerically.

    Valid like `hypergeometric_upper_bound`, and never below it: that one is the smaller always.
    For comparison with papers, and for blocks where only a formula convinces.

    Args:
        errors: Errors among the revealed bits.
        revealed: Size of the random sample, k.
        hidden: Number of bits that were not revealed, n.
        epsilon: Probability that the bound may be wrong, strictly between 0 and 1.

    Returns:
        An error rate in [0, 1], a multiple of 1 / hidden.

    Raises:
        ValueError: As for `hypergeometric_upper_bound`.

    Source:
        Hoeffding, J. Am. Stat. Assoc. 58, 13 (1963), Theorem 1, for samples without replacement
        by his Theorem 4.

    Examples:
        >>> round(relative_entropy_upper_bound(70, revealed=1550, hidden=1550, epsilon=1e-10), 4)
        0.1348
    """
    errors, revealed, hidden = _checked(errors, revealed, hidden, epsilon)
    total = _relative_entropy_total(errors, revealed, hidden, epsilon)
    return (total - errors) / hidden


def serfling_deviation(revealed: int, hidden: int, *, epsilon: float) -> float:
    """Return how far the hidden error rate may exceed the revealed one, by Serfling's inequality.

    Args:
        revealed: Size k of the random sample.
        hidden: Number n of bits that were not revealed.
        epsilon: Probability that the deviation is exceeded, strictly between 0 and 1.

    Returns:
        sqrt((n + k)(k + 1) ln(1 / epsilon) / (2 n k^2)), a difference of rates; may exceed 1.

    Raises:
        ValueError: A count is not whole and positive, or ``epsilon`` is not inside (0, 1).

    Source:
        Serfling, Ann. Stat. 2, 39 (1974), Corollary 1.1; in this form Tomamichel and Leverrier,
        Quantum 1, 14 (2017).

    Examples:
        >>> round(serfling_deviation(1000, 1000, epsilon=1e-10), 6)
        0.151819
    """
    _, k, n = _checked(0, revealed, hidden, epsilon)
    return math.sqrt((n + k) / n * (k + 1) / k * -math.log(epsilon) / (2 * k))


def serfling_upper_bound(errors: int, *, revealed: int, hidden: int, epsilon: float) -> float:
    """Return Serfling's upper bound on the error rate of the hidden bits, at most 1.

    Valid for any errors and a sample without replacement, like `hypergeometric_upper_bound`,
    which is never above it.  It ignores that rare errors fluctuate less: small blocks pay for it.

    Args:
        errors: Errors among the revealed bits.
        revealed: Size of the random sample.
        hidden: Number of bits that were not revealed.
        epsilon: Probability that the bound may be wrong, strictly between 0 and 1.

    Returns:
        An error rate in [0, 1].

    Raises:
        ValueError: As for `hypergeometric_upper_bound`.

    Source:
        `serfling_deviation`.

    Examples:
        >>> round(serfling_upper_bound(70, revealed=1550, hidden=1550, epsilon=1e-10), 4)
        0.1671
    """
    errors, revealed, hidden = _checked(errors, revealed, hidden, epsilon)
    bound = errors / revealed + serfling_deviation(revealed, hidden, epsilon=epsilon)
    return min(1.0, bound * _ROUNDED_UP)


def clopper_pearson_upper_bound(errors: int, *, trials: int, epsilon: float) -> float:
    """Return an upper confidence bound on an error *probability*.

    Valid only if every trial errs independently with one and the same probability, as in a
    simulation or a calibrated laboratory.  It bounds that probability, not the error rate that
    the hidden bits happen to have, and an adversary may break the assumption: never use it for
    a security statement.

    Args:
        errors: Errors seen.
        trials: Number of trials.
        epsilon: Probability that the bound may be wrong, strictly between 0 and 1.

    Returns:
        A probability in [0, 1].

    Raises:
        ValueError: A count is not whole, the errors exceed the trials, or ``epsilon`` is not
            inside (0, 1).

    Source:
        Clopper and Pearson, Biometrika 26, 404 (1934).

    Examples:
        >>> round(clopper_pearson_upper_bound(0, trials=100, epsilon=0.05), 6)
        0.029513
    """
    errors, trials, _ = _checked(errors, trials, 1, epsilon, revealed_name="trials")
    return upper_probability(errors, trials, epsilon=epsilon)


def check_count(name: str, value: float, *, least: int = 1) -> None:
    """Refuse a count that is not a whole number from ``least`` to 10^18.

    Raises:
        ValueError: It is not, or it is a truth value.

    Examples:
        >>> check_count("errors", 0, least=0)
    """
    if isinstance(value, bool | np.bool_) or not (value >= least and value % 1 == 0):
        raise ValueError(f"`{name}` must be a whole number from {least}, but is {value}.")
    if value > _MOST_BITS:
        raise ValueError(f"`{name}` must be at most 10^18, but is {value}.")


def _relative_entropy_total(errors: int, revealed: int, hidden: int, epsilon: float) -> int:
    """Return the largest total of errors that the two relative entropies leave possible."""
    return _last_possible(
        lambda bad: relative_entropy_exponent(*_table(errors, revealed, hidden, bad)),
        least=errors,
        most=errors + hidden,
        target=_exponent(epsilon, revealed + hidden),
    )


def _table(errors: int, revealed: int, hidden: int, bad: int) -> tuple[int, int, int, int]:
    """Return the errors in and outside the sample, then the other bits in and outside it."""
    return errors, bad - errors, revealed - errors, hidden - (bad - errors)


def _exponent(epsilon: float, total: int) -> float:
    """Return log(1 / epsilon) plus the rounding error of a log-tail, held against us.

    A deviance of d errors is rounded by a few |d| 1e-16, and |d| stays below 9 sqrt(total) for
    any epsilon above 1e-300.
    """
    return -math.log(epsilon) + 1e-11 + 3e-14 * math.sqrt(total)


def _last_possible(
    exponent: Callable[[int], float], *, least: int, most: int, target: float
) -> int:
    """Return the largest number in [least, most] whose exponent is below ``target``.

    ``exponent`` grows and is 0 at ``least``; its root is nearly linear.
    """
    root = math.sqrt(target)

    def excess(number: int) -> float:
        return math.sqrt(max(0.0, exponent(number))) - root

    if (above := excess(most)) < 0:
        return most
    return change_of_sign(excess, (least, most), (-root, above), between=_whole_between)[0]


def _whole_between(low: int, high: int, share: float) -> int | None:
    if high - low <= 1:
        return None
    return min(max(low + round((high - low) * share), low + 1), high - 1)


def _checked(
    errors: int, revealed: int, hidden: int, epsilon: float, *, revealed_name: str = "revealed"
) -> tuple[int, int, int]:
    check_count("errors", errors, least=0)
    check_count(revealed_name, revealed)
    check_count("hidden", hidden)
    if errors > revealed:
        raise ValueError(
            f"`errors` must be at most `{revealed_name}`, {revealed}, but is {errors}."
        )
    check_between_zero_and_one(epsilon=epsilon)
    return int(errors), int(revealed), int(hidden)
