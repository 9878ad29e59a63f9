"""Correlators with honest intervals, S from counts, and tests that settings did not leak.

Every interval and p-value here is exact for independent rounds at any count: a correlator of +1
from ten rounds still has an uncertainty.  None of it is a security statement; that is what
`e91.bell.chsh` and `e91.security` are for.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc, betaincc

from e91.model.binomial import upper_probability
from e91.model.hypergeometric import log_tail
from e91.model.numbers import Floats, check_between_zero_and_one

_MOST_ROUNDS = 10**15  # to here, whole numbers are exact as floats and the tails were checked


@dataclass(frozen=True)
class Correlator:
    """E = P(same) - P(different) of one setting pair, with a two-sided interval.

    Attributes:
        value: (same - different) / rounds, in [-1, 1].
        lower: The true E is at least this, except with half the stated probability.
        upper: The true E is at most this, except with half the stated probability.
        rounds: Rounds that entered.

    Examples:
        >>> found = correlator(70, 30, epsilon=1e-6)
        >>> found.value, found.rounds, found.lower < 0.4 < found.upper
        (0.4, 100, True)
    """

    value: float
    lower: float
    upper: float
    rounds: int


@dataclass(frozen=True)
class ChshPoint:
    """S from counts, with its standard error and an interval.

    Attributes:
        value: S = sum of sign times E, in [-4, 4].
        standard_error: One standard deviation from the binomial counts; 0 if every E is +-1, so
            never judge by it alone.
        lower: The true S is at least this, except with half the stated probability.
        upper: The true S is at most this, except with half the stated probability.

    Examples:
        >>> found = chsh_point((850, 850, 850, 150), (150, 150, 150, 850), signs=(1, 1, 1, -1))
        >>> round(found.lower, 3), round(found.upper, 3)
        (2.281, 3.217)
    """

    value: float
    standard_error: float
    lower: float
    upper: float


def correlator(same: int, different: int, *, epsilon: float = 1e-6) -> Correlator:
    """Estimate E of one setting pair, with the Clopper-Pearson interval.

    Args:
        same: Rounds with equal outcomes.
        different: Rounds with unequal outcomes.
        epsilon: Probability that the interval misses the true E, in (0, 1), half at each end.

    Returns:
        E with the ends of its interval, and the number of rounds.

    Raises:
        ValueError: A count is negative or not whole, both are 0, or ``epsilon`` is not in (0, 1).

    Not promised:
        Rounds must be independent with one E.  With a drifting source the interval is about no
        single number.

    Source:
        Clopper and Pearson, Biometrika 26, 404 (1934), for the probability (1 + E) / 2.

    Examples:
        >>> found = correlator(10, 0, epsilon=0.02)  # lower end: 2 * 0.01**(1/10) - 1
        >>> found.value, round(found.lower, 6), found.upper
        (1.0, 0.261915, 1.0)
    """
    check_between_zero_and_one(epsilon=epsilon)
    same, different = (int(n) for n in _counts("same and different", [same, different], ndim=1))
    rounds = same + different
    if rounds == 0:
        raise ValueError("A correlator must have at least one round, but has none.")
    # Doubling is exact.  What is subtracted is rounded outwards.
    upper = math.nextafter(2 * upper_probability(same, rounds, epsilon=epsilon / 2) - 1, 2.0)
    lower = math.nextafter(1 - 2 * upper_probability(different, rounds, epsilon=epsilon / 2), -2.0)
    return Correlator((same - different) / rounds, max(-1.0, lower), min(1.0, upper), rounds)


def chsh_point(
    same: Sequence[int], different: Sequence[int], *, signs: Sequence[int], epsilon: float = 1e-6
) -> ChshPoint:
    """Estimate S from the counts of the four setting pairs.

    Args:
        same: Rounds with equal outcomes; four whole numbers.
        different: Rounds with unequal outcomes; four whole numbers.
        signs: Signs of the four correlators, +1 or -1, chosen before the data were seen, an odd
            number of them -1.  (The best of the eight choices afterwards would bias S upward.)
        epsilon: Probability that the interval misses the true S, in (0, 1).

    Returns:
        S with standard error sqrt(sum (1 - E^2) / n).  The interval adds the ends of the four
        Clopper-Pearson intervals at ``epsilon`` / 4 each: safe, and about twice as wide as a
        Gaussian one.

    Raises:
        ValueError: Not four counts and signs, an even number of minus signs, a pair without
            rounds, or as for `correlator`.

    Source:
        Clauser, Horne, Shimony and Holt, Phys. Rev. Lett. 23, 880 (1969).

    Examples:
        >>> found = chsh_point((850, 850, 850, 150), (150, 150, 150, 850), signs=(1, 1, 1, -1))
        >>> round(found.value, 9), round(found.standard_error, 9)
        (2.8, 0.045166359)
    """
    check_between_zero_and_one(epsilon=epsilon)
    for name, four in (("same", same), ("different", different), ("signs", signs)):
        if len(four) != 4:
            raise ValueError(f"`{name}` must have four entries, but has {len(four)}.")
    if {abs(sign) for sign in signs} != {1} or math.prod(signs) != -1:
        raise ValueError(
            "`signs` must be +1 or -1 with one or three -1 (else local models reach 4), but is "
            f"{tuple(signs)}."
        )
    pairs = [correlator(s, d, epsilon=epsilon / 4) for s, d in zip(same, different, strict=True)]
    ends = [
        (e.lower, e.upper) if sign > 0 else (-e.upper, -e.lower)
        for e, sign in zip(pairs, signs, strict=True)
    ]
    return ChshPoint(
        value=math.fsum(sign * e.value for e, sign in zip(pairs, signs, strict=True)),
        standard_error=math.sqrt(math.fsum((1 - e.value**2) / e.rounds for e in pairs)),
        lower=math.fsum(low for low, _ in ends),
        upper=math.fsum(high for _, high in ends),
    )


def local_correlation(angles: ArrayLike) -> Floats:
    """Return the saw-tooth, the best correlator that a local model can have at every angle.

    It is that of a hidden direction, uniform in the plane of the analysers, and of two analysers
    that each answer with the sign of its projection: 1 at 0, falling by 1 in every 90 degrees to -1
    at 180, and rising again.  Its S is 2 at Ekert's settings.

    *Best* means: no local model whose correlator E depends on the angle t between the analysers
    alone, with E(t + pi) = -E(t) as half a turn exchanges a party's outcomes, is at least as large
    from 0 to 90 degrees without being the saw-tooth.  (It can be larger at some angles if it is
    smaller at others; a model for one angle alone can have any E.)  So what lies above at all these
    angles, as the cosine does, no local model explains.

    Args:
        angles: Between the analysers, radians on the Bloch sphere; any shape.

    Returns:
        E in [-1, 1]; float64, the shape of ``angles``.

    Source:
        The model: J. S. Bell, Physics 1, 195 (1964), section III (from memory).  Best, derived: let
        T be the saw-tooth and E >= T from 0 to 90 degrees, so that E <= T from 90 to 180.  For
        settings 0, t, 2t, ..., (2n - 1) t, by turns Alice's and Bob's, (2n - 1) E(t) -
        E((2n - 1) t) <= 2n - 2: signs that agree at every link of a chain agree at its ends (n = 2
        is the CHSH inequality).  Where (2n - 1) t is from 90 to 180 degrees, that is
        E(t) <= T(t); n = 2, 3, 4, ... cover all t up to 60 degrees.  Beyond, as E(0) = 1, both
        parties answer alike at equal settings, so that 1 - E obeys Bell's triangle inequality; that
        of t, 180 - 2t and 180 - t degrees gives E(t) <= T(t) from 60 to 90 degrees as well.

    Examples:
        >>> local_correlation([0, math.pi / 4, math.pi / 2, math.pi, 1.5 * math.pi]).tolist()
        [1.0, 0.5, 0.0, -1.0, 0.0]
    """
    turned = np.remainder(np.asarray(angles, np.float64), 2 * math.pi)
    tooth: Floats = np.abs(2 - 2 * turned / math.pi) - 1
    return tooth


def no_signalling_p_value(counts: ArrayLike) -> float:
    """Return a p-value for "neither party's outcome depends on the other's setting".

    For every setting x of Alice, outcome a and setting y of Bob, Fisher's exact test asks whether
    a is more or less frequent at (x, y) than at x with Bob's other settings; the same with the
    parties exchanged.  The smallest p-value times the number of tests is returned, so the result
    is valid at every count, for every number of outcomes (no-click included) and however unequal
    the settings are.  Reject at the level alpha if it is at most alpha.  Beyond 10^9 rounds it may
    exceed the exact p-value: by 3 % at 1e-9, by more the larger it is.

    Args:
        counts: Rounds with settings x, y and outcomes a, b; shape (X, Y, A, B).

    Returns:
        A p-value in [0, 1]; 1 if no party has two settings.

    Raises:
        ValueError: ``counts`` has not four axes, is negative or not whole, holds no round, or
            holds more than 10^15.

    Not promised:
        Rounds must be independent and alike (a slow drift that follows the settings' drift looks
        like signalling).  A small signal in many cells at once is seen late.

    Source:
        `e91.bell.correlators`; Bonferroni's correction.

    Examples:
        >>> no_signalling_p_value(np.full((2, 2, 2, 2), 25))
        1.0
        >>> leaky = np.full((2, 2, 2, 2), 25)
        >>> leaky[0, 1] = [[50, 0], [50, 0]]  # Bob's outcome is 0 only at (0, 1)
        >>> no_signalling_p_value(leaky) < 1e-9
        True
    """
    table = _counts("counts", counts, ndim=4)
    if not 0 < table.sum() <= _MOST_ROUNDS:
        raise ValueError(f"`counts` must hold 1 to 10^15 rounds, but holds {table.sum()}.")
    alice = table.sum(axis=3)  # (x, y, a)
    bob = table.sum(axis=2).swapaxes(0, 1)  # (y, x, b)
    found = [*signalling_p_values(alice), *signalling_p_values(bob)]
    return min(1.0, len(found) * min(found)) if found else 1.0


def settings_p_value(counts: ArrayLike, *, probabilities: ArrayLike) -> float:
    """Return an exact p-value for "the settings were chosen with these probabilities".

    Each count is compared with its binomial distribution (two-sided by doubling the smaller
    tail); the smallest p-value times the number of counts is returned, so the result is valid
    at every number of rounds.

    Args:
        counts: How often each setting, or setting pair, was chosen; any shape.
        probabilities: Declared probabilities, the same shape, summing to 1.

    Returns:
        A p-value in [0, 1]; 0 if something of probability 0 was chosen.

    Raises:
        ValueError: Shapes differ, counts are negative or not whole or all 0, or probabilities
            are not in [0, 1] or do not sum to 1.

    Not promised:
        Frequencies only.  A generator whose choices an adversary knows passes.

    Examples:
        >>> settings_p_value([50, 50], probabilities=[0.5, 0.5])
        1.0
        >>> settings_p_value([100, 0], probabilities=[0.5, 0.5]) == 4 * 0.5**100
        True
    """
    seen, declared = _declared(counts, probabilities)
    rounds = int(seen.sum())
    # DLMF 8.17.5.  The tails of all outcomes are 1; the incomplete beta function does not know it.
    lower = np.where(
        seen == rounds, 1.0, betaincc(seen + 1, np.maximum(rounds - seen, 1), declared)
    )
    upper = np.where(seen == 0, 1.0, betainc(np.maximum(seen, 1), rounds - seen + 1, declared))
    return float(min(1.0, 2 * seen.size * np.minimum(lower, upper).min()))


def _counts(name: str, counts: ArrayLike, *, ndim: int | None = None) -> NDArray[np.int64]:
    table = np.asarray(counts)
    if ndim is not None and table.ndim != ndim:
        raise ValueError(f"`{name}` must have {ndim} axes, but has shape {table.shape}.")
    whole = np.all(np.isfinite(table)) and np.all(table == np.floor(table))
    if table.size == 0 or not whole or table.min() < 0 or table.max() > _MOST_ROUNDS:
        raise ValueError(
            f"`{name}` must be whole numbers from 0 to 10^15, but is {table.tolist()}."
        )
    return table.astype(np.int64)


def _declared(counts: ArrayLike, probabilities: ArrayLike) -> tuple[NDArray[np.int64], Floats]:
    seen, declared = _counts("counts", counts), np.asarray(probabilities, float)
    if seen.shape != declared.shape:
        raise ValueError(
            f"`probabilities` must have the shape of `counts`, {seen.shape}, but has "
            f"{declared.shape}."
        )
    if not (np.all(declared >= 0) and math.isclose(declared.sum(), 1, rel_tol=0, abs_tol=1e-9)):
        raise ValueError(
            f"`probabilities` must be from 0 and sum to 1, but is {declared.tolist()}."
        )
    if seen.sum() == 0:
        raise ValueError("`counts` must hold at least one round, but holds none.")
    return seen.ravel(), declared.ravel()


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
