"""Where key rates reach zero: the largest error rates and the smallest detection efficiencies.

Planning numbers in the limit of long keys; a session never asks them.
"""

import math

from scipy.optimize import brentq

from e91.model.numbers import TSIRELSON, check_fractions
from e91.security.device_independent import acin_entropy, werner_chsh
from e91.security.shannon import binary_entropy, inverse_binary_entropy


def bbm92_threshold(*, efficiency: float = 1.0) -> float:
    """Return the error rate, equal in both bases, from which `bbm92_rate` is 0.

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

    Examples:
        >>> round(acin_threshold(), 6)
        0.071492
    """
    return float(brentq(lambda q: acin_entropy(werner_chsh(q)) - binary_entropy(q), 0.01, 0.14))


def noisy_preprocessing_threshold() -> float:
    """Return the QBER of white noise from which `noisy_preprocessing_rate` is 0.

    It is reached as the flip probability goes to 1/2.  To second order in 1 - 2 flip the rate is
    proportional to v^2 c - (1 - v^2) log((1 + c) / (1 - c)), with v = 1 - 2 QBER and
    c^2 = 2 v^2 - 1; this function returns the root.

    Examples:
        >>> round(noisy_preprocessing_threshold(), 6)
        0.080848
    """

    def leading_order(qber: float) -> float:
        v2 = (1 - 2 * qber) ** 2
        c = math.sqrt(2 * v2 - 1)
        return v2 * c - (1 - v2) * 2 * math.atanh(c)

    return float(brentq(leading_order, 0.01, 0.14))


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

    Examples:
        >>> round(key_efficiency_threshold(), 6)
        0.923137
    """

    def rate(efficiency: float) -> float:
        chsh_value, qber = binned_statistics(efficiency)
        return acin_entropy(chsh_value) - binary_entropy(qber)

    return float(brentq(rate, 0.85, 0.99))
