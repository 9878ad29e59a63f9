"""The CHSH test: S with bounds that hold against any memory, a game in which nature cannot win.

Let ``f(outcome) > 0`` be a payoff whose expectation in every round, given all that happened
before, is a known function of the state of that round.  The product of the payoffs, divided by the
product of their expectations, is a non-negative martingale of mean 1, so by Markov's inequality
it exceeds ``1 / epsilon`` with probability at most ``epsilon``.  Nothing is assumed of the source:
its pairs may differ, drift, and depend on every earlier setting and outcome.  What is assumed is
that each round's setting pair is drawn afresh with the declared probabilities.

Source: testing by betting, Waudby-Smith and Ramdas, J. R. Stat. Soc. B 86, 1 (2024); the two bounds
for CHSH and for phase errors are derived in ``docs/security.md`` and tested by Monte Carlo.

Phase errors: for trusted qubit analysers whose CHSH observables add up to ``sqrt(2) (ZZ + XX)`` in
the plane of the angles, every two-qubit state obeys, for a key basis at angle t,

    ``e_phase(t) = error rate at t + 90 degrees = 1 - S / (2 sqrt 2) - Q(t)``.

The two key bases of Ekert's settings are 45 degrees apart and not mutually unbiased, so the error
rate of one says little about the phase errors of the other.  S says it all.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from e91.bell.p_values import p_value
from e91.model.evidence import Evidence, wins_and_losses
from e91.model.numbers import ANGLE_ROUNDING, TSIRELSON
from e91.model.records import ChshEstimate
from e91.model.settings import Settings

# The value of S at which the stakes are best; any value is valid.  At 2.6 the bounds are within
# 1 % of the best stake's for all S from 2 to 2 sqrt(2).
DESIGN_CHSH = 2.6

# Of a sum of logarithms, relative to the sum of their sizes; always held against us.  It covers
# the last digit of every factor, and of the probabilities that go into it.
ROUNDING = 4e-15


def stake(variance: float, rounds: int, *, epsilon: float, largest: float) -> float:
    """Return the stake that minimises ``log(1/epsilon) / (n stake) + stake variance / 2``.

    Args:
        variance: Variance of one round's score that is expected; a wrong guess costs tightness,
            never validity.
        rounds: Number of rounds n; known before their outcomes are looked at.
        epsilon: Failure probability of the bound, in (0, 1).
        largest: Stakes stop here, so that no payoff can become zero or negative.

    Examples:
        >>> stake(8.0, 10_000, epsilon=1e-10, largest=0.125)
        0.023992...
    """
    return min(largest, math.sqrt(2 * math.log(1 / epsilon) / (rounds * variance)))


def rounded_down(terms: Sequence[float]) -> float:
    """Return the sum of logarithms, each correct to a few digits of its last, or a little less.

    Examples:
        >>> 1 - 1e-14 < rounded_down([0.25, 0.75]) < 1
        True
    """
    return math.fsum(terms) - ROUNDING * math.fsum(map(abs, terms))


def chsh_lower_bound(
    wins: Sequence[int], losses: Sequence[int], *, probabilities: Sequence[float], epsilon: float
) -> float:
    """Return a lower bound on S, averaged over the rounds of the Bell test.

    A round with setting pair k scores ``T = +1/p_k`` if the outcomes have the sign that the CHSH
    sum wants and ``-1/p_k`` if not, so that ``E[T | past] = S`` of that round's state.  With
    payoff ``1 + stake * T`` and the inequality of arithmetic and geometric means,

        ``S >= (exp((sum log(1 + stake T_i) - log(1/epsilon)) / n) - 1) / stake``

    except with probability ``epsilon``, where S is the mean over the rounds of the conditional
    expectations.

    Args:
        wins: Rounds with the wanted sign, one count for each of the four setting pairs.
        losses: Rounds with the other sign.
        probabilities: Probability of each pair given that the round is a test; sums to 1.
        epsilon: Failure probability, in (0, 1).

    Returns:
        The bound, at least -4 and at most 4.  -4 where there are no rounds.

    Examples:
        >>> round(chsh_lower_bound([8536] * 4, [1464] * 4, probabilities=[0.25] * 4,
        ...                        epsilon=1e-10), 3)
        2.731
    """
    rounds = sum(wins) + sum(losses)
    if rounds == 0:
        return -4.0
    scores = [1 / p for p in probabilities]
    variance = max(sum(scores) - DESIGN_CHSH**2, 1.0)
    bet = stake(variance, rounds, epsilon=epsilon, largest=min(probabilities) / 2)
    growth = rounded_down(
        [n * math.log1p(bet * score) for n, score in zip(wins, scores, strict=True)]
        + [n * math.log1p(-bet * score) for n, score in zip(losses, scores, strict=True)]
    )
    bound = math.expm1((growth - math.log(1 / epsilon)) / rounds) / bet
    return min(4.0, max(-4.0, bound))


def local_p_value(
    wins: Sequence[int], losses: Sequence[int], *, probabilities: Sequence[float]
) -> float:
    """Return a p-value against local models, with memory or without, for unequal probabilities.

    Against a local model ``E[T | past] <= 2``, so ``prod (1 + stake (T_i - 2))`` is a non-negative
    supermartingale and its inverse a p-value.  The stake is the one of fastest growth if S were
    2.6.  Unlike the count of wins, the score does not suffer from pairs that are chosen seldom.

    Args:
        wins: Rounds with the wanted sign, one count for each of the four setting pairs.
        losses: Rounds with the other sign.
        probabilities: Probability of each pair given that the round is a test; sums to 1.

    Returns:
        The p-value, at most 1; 0 below 1e-308.

    Examples:
        >>> local_p_value([85, 85, 85, 765], [15, 15, 15, 135],
        ...               probabilities=[1 / 12, 1 / 12, 1 / 12, 3 / 4]) < 1e-3
        True
    """
    scores = [1 / p for p in probabilities]
    excess = DESIGN_CHSH - 2
    bet = min(excess / (sum(scores) - 4 + excess**2), 1 / (2 * (2 + max(scores))))
    growth = sum(
        won * math.log1p(bet * (score - 2)) + lost * math.log1p(-bet * (score + 2))
        for won, lost, score in zip(wins, losses, scores, strict=True)
    )
    return math.exp(-growth) if growth > 0 else 1.0


def estimate(
    same: Sequence[int], different: Sequence[int], *, settings: Settings, epsilon: float
) -> ChshEstimate:
    """Estimate S from the counts of the Bell test, with honest statistics.

    ``S = sum sign_k E_k`` with ``E_k = (same_k - different_k) / n_k``; its standard error is
    binomial, ``sqrt(sum (1 - E_k^2) / n_k)``.  The lower bound is `chsh_lower_bound`.
    For equally probable pairs the p-value is exact: a local model wins the CHSH game in a round
    with probability at most 3/4, whatever happened before, so its wins are dominated by a
    binomial variable.  For unequal ones it is `local_p_value`.

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


def check_identity(settings: Settings) -> None:
    """Check that ``e_phase = 1 - S / (2 sqrt 2) - Q`` holds for ``settings``.

    It does if a turn of Bob's qubit, the one that makes phi+ pairs of ``settings.state``, turns the
    CHSH sum into ``sqrt(2) (ZZ + XX)``: the settings refuse key pairs that would not become
    ``A(t) A(t)`` by it.  Proof: ``docs/security.md``, section 1.

    Raises:
        ValueError: The CHSH observables do not add up to that, or there is no key pair.

    Examples:
        >>> from e91.model.settings import BBM92
        >>> check_identity(BBM92)
    """
    observable = np.zeros((2, 2))
    for (x, y), sign in settings.chsh_pairs:
        a, b = settings.alice_angles[x], settings.bob_directions[y]
        observable += sign * np.outer((math.cos(a), math.sin(a)), (math.cos(b), math.sin(b)))
    missed = float(np.abs(observable - math.sqrt(2) * np.eye(2)).max())
    if not (missed <= ANGLE_ROUNDING and settings.key_pairs):
        raise ValueError(
            "The trusted-analysers model must have key pairs and CHSH angles whose observables "
            f"add up to sqrt(2) (ZZ + XX) for {settings.state} pairs turned into phi+, but the "
            f"settings `{settings.name}` do not."
        )


def phase_error_bound(
    evidence: Evidence, *, settings: Settings, revealed_fraction: float, epsilon: float
) -> float:
    """Return an upper bound on the number of phase errors in the unrevealed key rounds.

    Each round that both parties keep is, with known probabilities, an unrevealed key round
    (probability k), a revealed one (r) or a Bell test of pair j (p_j).  With the indicator P of a
    phase error, E of a revealed error and the sign s of a Bell-test round, the score

        ``Y = P / k + E / r + s / (2 sqrt 2 p_j)``   (absent terms are 0)

    has expectation ``e_phase + Q + S / (2 sqrt 2) = 1`` in every round, for every state and
    given any past.  So ``prod (1 + stake (Y_i - 1))`` is a non-negative martingale of mean 1 and
    exceeds ``1 / epsilon`` with probability at most ``epsilon``; all but P is observed, which
    bounds the number of phase errors.  The bound needs no identical rounds: it holds for coherent
    attacks.  Proof and tests: ``docs/security.md``.

    Args:
        evidence: Counts after sifting.
        settings: Settings with their choice probabilities; `check_identity` must pass.
        revealed_fraction: Probability, declared beforehand, that a key round was revealed.
        epsilon: Failure probability, in (0, 1).

    Returns:
        The bound, between 0 and ``evidence.key_size``; not rounded.

    Not promised: anything if the analysers stand at other angles, measure more than a qubit,
    or lose photons depending on the setting.

    Examples:
        >>> from e91.model.evidence import KeySample
        >>> from e91.model.settings import EKERT
        >>> alike, unlike = (47_000, 8_500, 8_500, 47_000), (8_500, 47_000, 47_000, 8_500)
        >>> evidence = Evidence((alike, unlike, alike, alike), (KeySample(200_000, 22_200, 333),),
        ...                     pair_counts=(), signs=EKERT.signs)
        >>> bound = phase_error_bound(evidence, settings=EKERT, revealed_fraction=0.1,
        ...                           epsilon=1e-20)
        >>> round(bound / 200_000, 4)
        0.0229
    """
    check_identity(settings)
    shares = kept_shares(settings, revealed_fraction)
    scores = [1 / (TSIRELSON * p) for p in shares.tests]
    rounds = evidence.test_size + evidence.sample_size + evidence.key_size
    if rounds == 0 or evidence.key_size == 0:
        return 0.0
    bet = stake(
        shares.score_variance,
        rounds,
        epsilon=epsilon,
        largest=1 / (2 * (1 + max(scores))),
    )
    growth = [
        evidence.sample_errors * math.log1p(bet * (1 / shares.revealed - 1)),
        (evidence.sample_size - evidence.sample_errors + evidence.key_size) * math.log1p(-bet),
    ]
    for wins, losses, score in zip(evidence.wins, evidence.losses, scores, strict=True):
        growth += [wins * math.log1p(bet * (score - 1)), losses * math.log1p(-bet * (score + 1))]
    per_error = math.log1p(bet * (1 / shares.key - 1)) - math.log1p(-bet)
    bound = (-math.log(epsilon) - rounded_down(growth)) / (per_error * (1 - ROUNDING))
    return min(float(evidence.key_size), max(0.0, bound))


@dataclass(frozen=True)
class KeptShares:
    """How often a round that both parties keep is of each kind; from `kept_shares`.

    Attributes:
        key: Probability of an unrevealed key round.
        revealed: Of a revealed one.
        tests: Of each pair of the Bell test.
    """

    key: float
    revealed: float
    tests: tuple[float, ...]

    @property
    def score_variance(self) -> float:
        """Variance of one round's score in `phase_error_bound` for a Werner state of design S."""
        error = (1 - DESIGN_CHSH / TSIRELSON) / 2
        tests = sum(1 / (8 * p) for p in self.tests)
        return error / self.key + error / self.revealed + tests - 1


def kept_shares(settings: Settings, revealed_fraction: float) -> KeptShares:
    """Return how often a kept round is of each kind.

    Args:
        settings: Settings with their choice probabilities.
        revealed_fraction: Probability that a key round was revealed.
    """
    kept = settings.key_probability + settings.chsh_probability
    return KeptShares(
        key=settings.key_probability * (1 - revealed_fraction) / kept,
        revealed=settings.key_probability * revealed_fraction / kept,
        tests=tuple(settings.pair_probability(pair) / kept for pair, _ in settings.chsh_pairs),
    )
