"""Key rates that trust no device: what S says about the key, in the limit of long keys.

Common assumptions: quantum theory; closed laboratories; settings that Eve cannot predict; an
authenticated channel; *every* round counts (no-click is an outcome, nothing is post-selected,
though a herald that precedes the settings is allowed); key and CHSH rounds are separate setting
pairs, drawn at random.  S and the QBER are true averages here, not estimates: finite statistics
are not covered.  By entropy accumulation the limit holds for general attacks with memory.  The
thresholds, where rates reach zero, are planning numbers that a session never asks.

Rates are secret bits per key round, one-way error correction from Alice to Bob, never negative.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from e91.model.numbers import TSIRELSON, check_fractions, check_within
from e91.security.shannon import binary_entropy, capped, inverse_binary_entropy

RANDOM_BASIS_THRESHOLD = 0.082
"""Printed in Schwonnek et al. (2021): QBER that a random key basis tolerates."""


@dataclass(frozen=True)
class PreprocessedRate:
    """A key rate with noisy preprocessing.

    Attributes:
        rate: Secret bits per key round.
        flip: Probability with which Alice flips each key bit, in [0, 1/2).
    """

    rate: float
    flip: float


def acin_entropy(chsh_value: float) -> float:
    """Return the least entropy of Alice's key bit given Eve, ``H(A|E)``, that S allows, in bits.

    Args:
        chsh_value: S in [-4, 4].  At most 2 earns 0; above 2 sqrt(2) earns no more than 2 sqrt(2).

    Returns:
        1 - h((1 + sqrt(S^2 / 4 - 1)) / 2).  Tight: Eve has an attack that attains it.

    Raises:
        ValueError: ``chsh_value`` is not in [-4, 4].

    Source:
        Acin, Brunner, Gisin, Massar, Pironio and Scarani, Phys. Rev. Lett. 98, 230501 (2007);
        Pironio et al., New J. Phys. 11, 045021 (2009).

    Examples:
        >>> round(acin_entropy(2.7), 6), acin_entropy(2.0)
        (0.728482, 0.0)
    """
    return 1 - binary_entropy((1 + math.sqrt(_violation(chsh_value))) / 2)


def min_entropy(chsh_value: float) -> float:
    """Return the least min-entropy of Alice's key bit given Eve that S allows, in bits.

    Eve guesses the bit with probability at most 2^-H.  Holds for a single round, so it is below
    `acin_entropy`.

    Args:
        chsh_value: S in [-4, 4].

    Returns:
        -log2(1/2 + sqrt(2 - S^2 / 4) / 2).

    Raises:
        ValueError: ``chsh_value`` is not in [-4, 4].

    Source:
        Masanes, Pironio and Acin, Nat. Commun. 2, 238 (2011); Pironio et al., Nature 464, 1021
        (2010).

    Examples:
        >>> round(min_entropy(2.5), 6)
        0.267568
    """
    return abs(math.log2(0.5 + 0.5 * math.sqrt(max(0.0, 1 - _violation(chsh_value)))))


def acin_rate(chsh_value: float, qber: float, *, efficiency: float = 1.0) -> float:
    """Return the device-independent key rate ``H(A|E) - f h(QBER)``, or 0.

    Args:
        chsh_value: S in [-4, 4].
        qber: Error rate of the key rounds, no-clicks included.
        efficiency: Error correction discloses this many times the Shannon limit; at least 1.

    Returns:
        Secret bits per key round, in [0, 1].

    Raises:
        ValueError: ``chsh_value`` is not in [-4, 4], ``qber`` is not in [0, 1], or
            ``efficiency`` is below 1.

    Source:
        As for `acin_entropy`.

    Examples:
        >>> round(acin_rate(2.7, 0.02), 9)
        0.587041583
    """
    leak = _leak(qber, efficiency)
    return max(0.0, acin_entropy(chsh_value) - leak)


def noisy_preprocessing_entropy(chsh_value: float, *, flip: float) -> float:
    """Return the least entropy ``H(A'|E)`` of Alice's key bit, flipped with probability ``flip``.

    Args:
        chsh_value: S in [-4, 4].
        flip: In [0, 1/2].

    Returns:
        1 - h((1 + sqrt(S^2/4 - 1)) / 2) + h((1 + sqrt(1 - flip (1 - flip)(8 - S^2))) / 2), bits.

    Raises:
        ValueError: ``chsh_value`` is not in [-4, 4] or ``flip`` is not in [0, 1/2].

    Source:
        Ho, Sekatski, Tan, Renner, Bancal and Sangouard, Phys. Rev. Lett. 124, 230502 (2020),
        arXiv:2005.13015.  Verified against a minimum over Bell-diagonal states in the tests.

    Examples:
        >>> noisy_preprocessing_entropy(2.7, flip=0.0) == acin_entropy(2.7)
        True
        >>> noisy_preprocessing_entropy(2.0, flip=0.5)
        1.0
    """
    check_within(0, 0.5, flip=flip)
    violation = _violation(chsh_value)
    # Below S = 2 Eve knows the bit; what is left is the noise itself, h(flip).
    inside = max(0.0, 1 - 4 * flip * (1 - flip) * (1 - violation))
    gained = binary_entropy(min(1.0, (1 + math.sqrt(inside)) / 2))
    return acin_entropy(chsh_value) + gained


def noisy_preprocessing_rate(
    chsh_value: float, qber: float, *, efficiency: float = 1.0
) -> PreprocessedRate:
    """Return the key rate with the best flip probability of noisy preprocessing.

    The rate is maximised numerically over 1 - 2 flip in [1e-3, 1]: it is a true rate for the flip
    that is returned, and misses the supremum by less than 1e-6.

    Args:
        chsh_value: S in [-4, 4].
        qber: Error rate of the key rounds before the flips.
        efficiency: Error correction discloses this many times the Shannon limit; at least 1.

    Returns:
        The rate in secret bits per key round, and the flip probability that gives it.

    Raises:
        ValueError: As for `acin_rate`.

    Source:
        As for `noisy_preprocessing_entropy`.

    Examples:
        >>> noisy_preprocessing_rate(2.4, 0.07).rate > acin_rate(2.4, 0.07)
        True
    """
    _leak(qber, efficiency)

    def rate(log_bias: float) -> float:
        flip = (1 - math.exp(log_bias)) / 2
        noisy_qber = min(qber + flip - 2 * qber * flip, 0.5)
        entropy = noisy_preprocessing_entropy(chsh_value, flip=flip)
        return entropy - efficiency * binary_entropy(noisy_qber)

    grid = [-math.log(1e3) * step / 60 for step in range(61)]
    best = max(range(61), key=lambda step: rate(grid[step]))
    around = (grid[min(best + 1, 60)], grid[max(best - 1, 0)])
    from scipy.optimize import minimize_scalar  # late: trusted analysers do without

    found = minimize_scalar(lambda x: -rate(x), bounds=around, method="bounded")
    log_bias = max((float(found.x), grid[best]), key=rate)
    # Entropies carry rounding errors of a few 1e-16; a rate that small is no rate.
    if rate(log_bias) <= 1e-14:
        return PreprocessedRate(0.0, 0.0)
    return PreprocessedRate(rate(log_bias), (1 - math.exp(log_bias)) / 2)


def random_basis_entropy(chsh_value: float) -> float:
    """Return a lower bound on ``H(A|E)``, in bits, when the key basis is one of two at random.

    The paper's function is a numerical one that we have not seen as a table.  This is the larger
    of `acin_entropy` and the straight line from (2, 0) to the printed threshold: at a QBER of
    8.2 % with white noise the entropy is h(8.2 %), slope 1.1224.  The line lies below the
    minimum over Bell-diagonal states and all angles (slope 1.191, tangent at S = 2.78, which would
    mean 8.445 %) and below a rigorous relaxation by BB84-type uncertainty relations (slope 1.17);
    the tests check both.  We keep to the printed, smaller number.

    Args:
        chsh_value: S in [-4, 4].

    Returns:
        Bound on the average of ``H(A0|E)`` and ``H(A1|E)``, Alice's two CHSH settings.

    Raises:
        ValueError: ``chsh_value`` is not in [-4, 4].

    Source:
        Schwonnek, Goh, Primaatmaja, Tan, Wolf, Scarani and Lim, Nat. Commun. 12, 2880 (2021).

    Examples:
        >>> random_basis_entropy(2.4) > acin_entropy(2.4)
        True
    """
    at_threshold = werner_chsh(RANDOM_BASIS_THRESHOLD)
    slope = binary_entropy(RANDOM_BASIS_THRESHOLD) / (at_threshold - 2)
    excess = max(0.0, min(chsh_value, TSIRELSON) - 2)
    return max(acin_entropy(chsh_value), slope * excess)


def random_basis_rate(chsh_value: float, qber: float, *, efficiency: float = 1.0) -> float:
    """Return the key rate per round in which both parties drew the same key basis, or 0.

    Args:
        chsh_value: S in [-4, 4].
        qber: Error rate of the key rounds, averaged over the two bases.
        efficiency: Error correction discloses this many times the Shannon limit; at least 1.

    Returns:
        Secret bits per such round, in [0, 1].

    Raises:
        ValueError: As for `acin_rate`.

    Source:
        As for `random_basis_entropy`.

    Examples:
        >>> random_basis_rate(werner_chsh(0.08), 0.08) > 0, acin_rate(werner_chsh(0.08), 0.08)
        (True, 0.0)
    """
    return max(0.0, random_basis_entropy(chsh_value) - _leak(qber, efficiency))


def werner_chsh(qber: float) -> float:
    """Return S = 2 sqrt(2) (1 - 2 QBER): white noise on a maximally entangled pair.

    Args:
        qber: Error rate of the key, in [0, 1].

    Returns:
        S, from 2 sqrt 2 at 0 to minus that at 1.

    Raises:
        ValueError: ``qber`` is not in [0, 1].

    Examples:
        >>> round(werner_chsh(0.02), 4)
        2.7153
    """
    check_fractions(qber=qber)
    return TSIRELSON * (1 - 2 * qber)


def _violation(chsh_value: float) -> float:
    """Return S^2 / 4 - 1 in [0, 1]: 0 for local values of S, 1 from 2 sqrt(2) on."""
    check_within(-4, 4, chsh_value=chsh_value)
    return min(1.0, max(2.0, chsh_value) ** 2 / 4 - 1)


def _leak(qber: float, efficiency: float) -> float:
    check_fractions(qber=qber)
    if not 1 <= efficiency < math.inf:
        raise ValueError(f"`efficiency` must be finite and at least 1, but is {efficiency}.")
    return efficiency * capped(qber)


def _root(rate: Callable[[float], float], low: float, high: float) -> float:
    from scipy.optimize import brentq  # late: a session never asks where a rate is zero

    return float(brentq(rate, low, high))


def bbm92_threshold(*, efficiency: float = 1.0) -> float:
    """Return the error rate, equal in both bases, from which `bbm92_rate` is 0.

    Args:
        efficiency: Of error correction, over Shannon's limit; at least 1.

    Returns:
        An error rate in (0, 0.5), about 0.110 at efficiency 1.

    Raises:
        ValueError: ``efficiency`` is below 1.

    Examples:
        >>> round(bbm92_threshold(), 6)
        0.110028
    """
    if not 1 <= efficiency < math.inf:
        raise ValueError(f"`efficiency` must be finite and at least 1, but is {efficiency}.")
    return inverse_binary_entropy(1 / (1 + efficiency))


def acin_threshold() -> float:
    """Return the QBER of white noise from which `acin_rate` is 0.

    Returns:
        An error rate, about 0.071.

    Examples:
        >>> round(acin_threshold(), 6)
        0.071492
    """
    return _root(lambda q: acin_entropy(werner_chsh(q)) - binary_entropy(q), 0.01, 0.14)


def noisy_preprocessing_threshold() -> float:
    """Return the QBER of white noise from which `noisy_preprocessing_rate` is 0.

    It is reached as the flip probability goes to 1/2.  To second order in 1 - 2 flip the rate is
    proportional to v^2 c - (1 - v^2) log((1 + c) / (1 - c)), with v = 1 - 2 QBER and
    c^2 = 2 v^2 - 1; this function returns the root.

    Returns:
        An error rate, about 0.081.

    Examples:
        >>> round(noisy_preprocessing_threshold(), 6)
        0.080848
    """

    def leading_order(qber: float) -> float:
        v2 = (1 - 2 * qber) ** 2
        c = math.sqrt(2 * v2 - 1)
        return v2 * c - (1 - v2) * 2 * math.atanh(c)

    return _root(leading_order, 0.01, 0.14)


def binned_statistics(efficiency: float, *, visibility: float = 1.0) -> tuple[float, float]:
    """Return (S, QBER) of imperfect detectors whose no-clicks are recorded as outcome 0.

    Args:
        efficiency: Probability eta that a photon is detected, the same for both parties and all
            settings, in [0, 1].
        visibility: White-noise visibility V of the maximally entangled pair, in [0, 1].

    Returns:
        S = 2 sqrt(2) V eta^2 + 2 (1 - eta)^2 and QBER = eta^2 (1 - V) / 2 + eta (1 - eta).

    Raises:
        ValueError: An argument is not in [0, 1].

    Source:
        Garg and Mermin, Phys. Rev. D 35, 3831 (1987).

    Examples:
        >>> binned_statistics(1.0) == (TSIRELSON, 0.0)
        True
    """
    check_fractions(efficiency=efficiency, visibility=visibility)
    lost = 1 - efficiency
    chsh_value = TSIRELSON * visibility * efficiency**2 + 2 * lost**2
    return chsh_value, efficiency**2 * (1 - visibility) / 2 + efficiency * lost


def bell_efficiency_threshold(*, visibility: float = 1.0) -> float:
    """Return the detection efficiency above which `binned_statistics` violates S = 2.

    Args:
        visibility: White-noise visibility, in (1/sqrt(2), 1]; below, no efficiency suffices.

    Returns:
        A probability, about 0.828 at visibility 1.

    Raises:
        ValueError: ``visibility`` is outside that interval.

    Examples:
        >>> round(bell_efficiency_threshold(), 6)
        0.828427
    """
    if not 1 / math.sqrt(2) < visibility <= 1:
        raise ValueError(f"`visibility` must lie in (0.7071, 1], but is {visibility}.")
    return 2 / (1 + math.sqrt(2) * visibility)


def key_efficiency_threshold() -> float:
    """Return the detection efficiency above which `acin_rate` is positive for a perfect pair.

    Both parties record no-clicks as outcome 0 (`binned_statistics`).  Other pairs of settings and
    less entangled states do with less.

    Returns:
        A probability, about 0.924.

    Examples:
        >>> round(key_efficiency_threshold(), 6)
        0.923137
    """

    def rate(efficiency: float) -> float:
        chsh_value, qber = binned_statistics(efficiency)
        return acin_entropy(chsh_value) - binary_entropy(qber)

    return _root(rate, 0.85, 0.99)
