"""The CHSH test: how strongly do the outcomes violate local realism?"""

import math
from collections.abc import Sequence

from e91.bell.betting import chsh_lower_bound, local_p_value
from e91.bell.p_values import p_value
from e91.model.evidence import wins_and_losses
from e91.model.records import ChshEstimate
from e91.model.settings import Settings


def estimate(
    same: Sequence[int], different: Sequence[int], *, settings: Settings, epsilon: float
) -> ChshEstimate:
    """Estimate S from the counts of the Bell test, with honest statistics.

    ``S = sum sign_k E_k`` with ``E_k = (same_k - different_k) / n_k``; its standard error is
    binomial, ``sqrt(sum (1 - E_k^2) / n_k)``.  The lower bound is `betting.chsh_lower_bound`.
    For equally probable pairs the p-value is exact: a local model wins the CHSH game in a round
    with probability at most 3/4, whatever happened before, so its wins are dominated by a
    binomial variable.  For unequal ones it is `betting.local_p_value`.

    Args:
        same: Rounds with equal outcomes, one count per pair of ``settings.chsh_pairs``.
        different: Rounds with unequal outcomes.
        settings: The settings, with their choice probabilities.
        epsilon: Failure probability of the lower bound, in (0, 1).

    Returns:
        The estimate.  ``value`` and ``standard_error`` are None if a pair never occurred.

    Not promised: ``value`` may exceed 2 sqrt(2) by chance, and is not bounded here; a p-value
    refutes local models and says nothing about what an eavesdropper knows.

    Source:
        Clauser, Horne, Shimony, Holt, Phys. Rev. Lett. 23, 880 (1969); p-value: Elkouss and
        Wehner, npj Quantum Inf. 2, 16026 (2016).

    Examples:
        >>> from e91.model.settings import EKERT
        >>> found = estimate((854, 146, 854, 854), (146, 854, 146, 146), settings=EKERT,
        ...                  epsilon=1e-6)
        >>> round(found.value, 3), round(found.standard_error, 4), round(found.lower_bound, 3)
        (2.832, 0.0447, 2.584)
    """
    wins, losses = wins_and_losses(same, different, signs=settings.signs)
    total = settings.chsh_probability
    probabilities = [settings.pair_probability(pair) / total for pair, _ in settings.chsh_pairs]
    rounds = sum(wins) + sum(losses)
    value, error = _value_and_error(wins, losses)
    return ChshEstimate(
        value=value,
        standard_error=error,
        lower_bound=chsh_lower_bound(wins, losses, probabilities=probabilities, epsilon=epsilon),
        p_value=_against_local_models(wins, losses, probabilities),
        rounds=rounds,
    )


def _value_and_error(
    wins: Sequence[int], losses: Sequence[int]
) -> tuple[float, float] | tuple[None, None]:
    counts = [won + lost for won, lost in zip(wins, losses, strict=True)]
    if min(counts) == 0:
        return None, None
    correlators = [(w - lost) / n for w, lost, n in zip(wins, losses, counts, strict=True)]
    variance = sum((1 - e * e) / n for e, n in zip(correlators, counts, strict=True))
    return sum(correlators), math.sqrt(variance)


def _against_local_models(
    wins: Sequence[int], losses: Sequence[int], probabilities: Sequence[float]
) -> float:
    rounds = sum(wins) + sum(losses)
    if rounds == 0:
        return 1.0
    if max(probabilities) - min(probabilities) < 1e-12:
        return p_value(sum(wins), rounds, bound=0.75)
    return local_p_value(wins, losses, probabilities=probabilities)
