"""Binary entropy, the cap that finite keys need, and the inverse."""

import math

from e91.model.numbers import check_fractions


def binary_entropy(probability: float) -> float:
    """Return the entropy h of a biased coin, in bits.

    Args:
        probability: Probability p of heads, in [0, 1].

    Returns:
        -p log2(p) - (1 - p) log2(1 - p), with h(0) = h(1) = 0.

    Raises:
        ValueError: ``probability`` is not in [0, 1].

    Source:
        Shannon, Bell Syst. Tech. J. 27, 379 (1948), section 6.

    Examples:
        >>> binary_entropy(0.5)
        1.0
        >>> round(binary_entropy(0.11), 6)
        0.499916
    """
    check_fractions(probability=probability)
    if probability in (0, 1):
        return 0.0
    # log1p keeps all digits of the second term for a tiny probability.
    heads = probability * math.log2(probability)
    return -heads - (1 - probability) * math.log1p(-probability) / math.log(2)


def capped(probability: float) -> float:
    """Return h below 1/2 and 1 from 1/2 on: what an adversary may know of a bit, in bits.

    A bound on an error rate that exceeds 1/2 says nothing, so it must cost the whole key.  Plain
    h falls again beyond 1/2 and would give key back for more noise.

    Args:
        probability: Error rate, or an upper bound on one; not negative.  Bounds beyond 1 are
            allowed (a statistical deviation may exceed it) and count as 1/2.

    Raises:
        ValueError: ``probability`` is negative or not a number.

    Examples:
        >>> capped(0.9)
        1.0
        >>> capped(0.0)
        0.0
    """
    if not probability >= 0:
        raise ValueError(f"`probability` must not be negative, but is {probability}.")
    return 1.0 if probability >= 0.5 else binary_entropy(probability)


def inverse_binary_entropy(entropy: float) -> float:
    """Return the probability p in [0, 1/2] whose binary entropy is ``entropy``.

    The relative error is 1e-12 up to entropies of 0.9; near 1 the curve is flat, and p is known
    only to about the square root of the rounding error, 1e-8.

    Args:
        entropy: In bits, in [0, 1].

    Returns:
        p, a probability.

    Raises:
        ValueError: ``entropy`` is not in [0, 1].

    Examples:
        >>> round(inverse_binary_entropy(0.5), 9)
        0.110027864
    """
    check_fractions(entropy=entropy)
    if entropy in (0, 1):
        return entropy / 2
    from scipy.optimize import brentq  # late: its import takes longer than most sessions' verdicts

    return float(brentq(lambda p: binary_entropy(p) - entropy, 0.0, 0.5, xtol=1e-300, rtol=1e-15))
