"""How many errors are left in the bits that were not revealed: three bounds, one assumption each.

============================  ==========================================================
bound                         valid for
============================  ==========================================================
hypergeometric_upper_bound    any errors, sample drawn without replacement; exact tail
serfling_upper_bound          the same, closed form, looser; the step inside TLGR and TL17
clopper_pearson_upper_bound   independent, identical errors only: *no* adversary
============================  ==========================================================

An adversary places the errors first; the sample is drawn afterwards, uniformly among all subsets
of its size, from randomness that the adversary does not know.  Each bound may be computed after
the errors are counted: it is wrong with probability at most ``epsilon`` whatever the count.
"""

from __future__ import annotations

import math

from scipy.special import betainccinv
from scipy.stats import hypergeom

MOST_BITS = 2 * 10**9
"""Largest block for which the hypergeometric tail was checked against a second route."""

_TAIL_ERROR = 1e-6  # relative rounding error of the tail at 10^9 bits, always held against us


def hypergeometric_upper_bound(errors: int, *, revealed: int, hidden: int, epsilon: float) -> float:
    """Return the largest error rate of the hidden bits that the sample leaves possible.

    The bound is U(errors) = (T - errors) / hidden, with T the largest total number of errors for
    which a sample has ``errors`` or fewer with probability above ``epsilon``.

    Args:
        errors: Errors among the revealed bits.
        revealed: Size of the random sample.
        hidden: Number of bits that were not revealed.
        epsilon: Probability that the bound may be wrong, strictly between 0 and 1.

    Returns:
        An error rate in [0, 1], a multiple of 1 / hidden.

    Raises:
        ValueError: A count is not whole, the errors exceed the sample, the block exceeds
            `MOST_BITS`, or ``epsilon`` is not inside (0, 1).

    Not promised:
        The sample must be uniform and without replacement.  A sample chosen by position, or with
        one coin per bit and then cut to size, is not covered.

    Source:
        Inversion of the hypergeometric tail (Clopper and Pearson's construction); its use for
        finite keys: Mannalath, Zapatero and Curty, arXiv:2410.04095.  The tail at 10^9 bits is
        good to 1e-6 relative (checked against a saddle-point sum).

    Examples:
        >>> hypergeometric_upper_bound(0, revealed=100, hidden=100, epsilon=1e-3)
        0.09
        >>> round(hypergeometric_upper_bound(70, revealed=1550, hidden=1550, epsilon=1e-10), 4)
        0.1052
    """
    errors, revealed, hidden = _checked(errors, revealed, hidden, epsilon)
    total = revealed + hidden
    if total > MOST_BITS:
        raise ValueError(f"`revealed` + `hidden` must be at most {MOST_BITS}, but is {total}.")
    possible, impossible = errors, errors + hidden + 1
    while impossible - possible > 1:
        candidate = (possible + impossible) // 2
        if hypergeom.cdf(errors, total, candidate, revealed) > epsilon * (1 - _TAIL_ERROR):
            possible = candidate
        else:
            impossible = candidate
    return (possible - errors) / hidden


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

    Raises:
        ValueError: As for `hypergeometric_upper_bound`, but for blocks of any size.

    Source:
        `serfling_deviation`.

    Examples:
        >>> round(serfling_upper_bound(70, revealed=1550, hidden=1550, epsilon=1e-10), 4)
        0.1671
    """
    errors, revealed, hidden = _checked(errors, revealed, hidden, epsilon)
    return min(1.0, errors / revealed + serfling_deviation(revealed, hidden, epsilon=epsilon))


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
    if errors == trials:
        return 1.0
    return float(betainccinv(errors + 1, trials - errors, epsilon))


def _checked(
    errors: int, revealed: int, hidden: int, epsilon: float, *, revealed_name: str = "revealed"
) -> tuple[int, int, int]:
    for name, value, least in (
        ("errors", errors, 0),
        (revealed_name, revealed, 1),
        ("hidden", hidden, 1),
    ):
        if not (float(value).is_integer() and value >= least):
            raise ValueError(f"`{name}` must be a whole number from {least}, but is {value}.")
    if errors > revealed:
        raise ValueError(
            f"`errors` must be at most `{revealed_name}`, {revealed}, but is {errors}."
        )
    if not 0 < epsilon < 1:
        raise ValueError(f"`epsilon` must lie strictly between 0 and 1, but is {epsilon}.")
    return int(errors), int(revealed), int(hidden)
