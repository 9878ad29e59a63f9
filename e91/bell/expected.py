"""What a table of outcome probabilities will show: its correlators, its S and its error rate."""

import math

import numpy as np

from e91.model.numbers import Floats
from e91.model.settings import Settings

_SAME = np.array([[1.0, -1.0], [-1.0, 1.0]])


def mean_products(table: Floats) -> Floats:
    """Return the mean product of the outcomes +1 and -1 of every setting pair.

    Args:
        table: Probabilities of the outcomes (a, b) at the settings (x, y), ``table[x, y, a, b]``;
            float64, shape (Alice's settings, Bob's settings, 2, 2).

    Examples:
        >>> mean_products(np.array([[[[0.45, 0.05], [0.05, 0.45]]]])).round(9).tolist()
        [[0.8]]
    """
    means: Floats = np.einsum("xyab,ab->xy", table, _SAME)
    return means


def chsh_terms(products: Floats, settings: Settings) -> tuple[float, ...]:
    """Return the four signed correlators whose sum is S; none if there is no Bell test.

    Args:
        products: From `mean_products`.
        settings: Which pairs count, and their signs.
    """
    return tuple(float(sign * products[pair]) for pair, sign in settings.chsh_pairs)


def error_rate(products: Floats, settings: Settings) -> float:
    """Return the error rate of the key: of its setting pairs, each as often as it is chosen.

    Args:
        products: From `mean_products`.
        settings: Which pairs make key, and how often they are chosen.
    """
    weights = [settings.pair_probability(pair) for pair in settings.key_pairs]
    errors = [(1 - sign * float(products[pair])) / 2 for pair, sign in settings.signed_key_pairs]
    return math.fsum(w * e for w, e in zip(weights, errors, strict=True)) / math.fsum(weights)
