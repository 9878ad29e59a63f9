"""The bounds of `e91.bell.chsh` for many blocks at once, in arrays.

The same formulas with the same stakes.  Sums are rounded in another order, so a bound may differ
from that of `e91.bell.chsh` in its last digits: by less than 1e-14 of a bound on S, and by less
than 1e-14 of all rounds in a number of phase errors.  Whoever needs the same decision asks there
where that matters.
"""

import math

import numpy as np
from numpy.typing import NDArray

from e91.bell.chsh import DESIGN_CHSH, ROUNDING, check_identity, kept_shares
from e91.model.numbers import TSIRELSON, Floats
from e91.model.settings import Settings

Counts = NDArray[np.int64]


def chsh_lower_bounds(
    wins: Counts, losses: Counts, *, settings: Settings, epsilon: float
) -> Floats:
    """Return `chsh_lower_bound` of every block.

    Args:
        wins: Bell-test rounds with the wanted sign; shape (n, 4).
        losses: Those with the other sign; shape (n, 4).
        settings: Their choice probabilities weigh the pairs.
        epsilon: Failure probability of each bound, in (0, 1).

    Returns:
        Float64, shape (n,).

    Examples:
        >>> from e91.model.settings import EKERT
        >>> wins, losses = np.full((2, 4), 8536), np.full((2, 4), 1464)
        >>> chsh_lower_bounds(wins, losses, settings=EKERT, epsilon=1e-10).round(3)
        array([2.731, 2.731])
    """
    total = settings.chsh_probability
    probabilities = [settings.pair_probability(pair) / total for pair, _ in settings.chsh_pairs]
    scores = np.array([1 / p for p in probabilities])
    rounds = (wins + losses).sum(axis=1)
    counted = np.maximum(rounds, 1)
    variance = max(sum(1 / p for p in probabilities) - DESIGN_CHSH**2, 1.0)
    bets = _stakes(variance, counted, epsilon=epsilon, largest=min(probabilities) / 2)
    growth = _rounded_down(
        wins * np.log1p(bets[:, None] * scores), losses * np.log1p(-bets[:, None] * scores)
    )
    bounds = np.expm1((growth - math.log(1 / epsilon)) / counted) / bets
    return np.where(rounds == 0, -4.0, np.clip(bounds, -4.0, 4.0))


def phase_error_bounds(
    wins: Counts,
    losses: Counts,
    samples: Counts,
    *,
    settings: Settings,
    revealed_fraction: float,
    epsilon: float,
) -> Floats:
    """Return `phase_error_bound` of every block.

    Args:
        wins: As for `chsh_lower_bounds`.
        losses: The same.
        samples: Key rounds that stayed hidden, revealed ones, and how many of these differed, all
            key pairs together; shape (n, 3).
        settings: Settings with their choice probabilities; `check_identity` must pass.
        revealed_fraction: Probability, declared beforehand, that a key round was revealed.
        epsilon: Failure probability of each bound, in (0, 1).

    Returns:
        Phase errors in the hidden key rounds, at most; float64, shape (n,).

    Raises:
        ValueError: The settings do not fit.
    """
    check_identity(settings)
    shares = kept_shares(settings, revealed_fraction)
    scores = np.array([1 / (TSIRELSON * p) for p in shares.tests])
    key_size, revealed, errors = samples.T
    rounds = np.maximum(wins.sum(axis=1) + losses.sum(axis=1) + key_size + revealed, 1)
    largest = 1 / (2 * (1 + float(scores.max())))
    bets = _stakes(shares.score_variance, rounds, epsilon=epsilon, largest=largest)
    bet = bets[:, None]
    growth = _rounded_down(
        (errors * np.log1p(bets * (1 / shares.revealed - 1)))[:, None],
        ((revealed - errors + key_size) * np.log1p(-bets))[:, None],
        wins * np.log1p(bet * (scores - 1)),
        losses * np.log1p(-bet * (scores + 1)),
    )
    per_error = np.log1p(bets * (1 / shares.key - 1)) - np.log1p(-bets)
    bounds = (-math.log(epsilon) - growth) / (per_error * (1 - ROUNDING))
    return np.clip(bounds, 0.0, key_size.astype(np.float64))


def _stakes(variance: float, rounds: Counts, *, epsilon: float, largest: float) -> Floats:
    """Return `chsh.stake` for every number of rounds."""
    best: Floats = np.sqrt(2 * math.log(1 / epsilon) / (rounds * variance))
    return np.minimum(largest, best)


def _rounded_down(*terms: Floats) -> Floats:
    """Return `chsh.rounded_down` of every row; the terms lie side by side, shape (n, k) each."""
    columns = [column for block in terms for column in block.T]
    total, size = sum(columns), sum(map(np.abs, columns))
    found: Floats = total - ROUNDING * size
    return found
