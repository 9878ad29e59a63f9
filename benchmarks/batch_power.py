"""Power: how likely a batch test sees an attack.

Three batch tests, all on a number of rounds that is fixed beforehand.  `declared_test_power` asks
whether the link is as good as declared, `lower_bound_power` and `p_value_power` ask what a
session asks, whether its Bell test fails.  All three are finite sums of binomial probabilities,
not approximations; `simulated_power` covers what has no such sum, any yes-or-no test at all.
How soon the sequential alarm rings is measured in `benchmarks.simulated_links`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from e91.alarm.link import LinkBehaviour, OutcomeCounts, intercepted
from e91.bell.chsh import chsh_lower_bound
from e91.bell.p_values import p_value

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PowerCurves:
    """Probability that a test sees an attack, against its strength and the number of rounds.

    Attributes:
        test: What the test asks.
        fractions: Shares of the photons that Eve intercepts; float64, shape (m,).
        rounds: Rounds of the test; int64, shape (k,).
        detected: Probability of detection; float64, shape (k, m).
        standard_errors: Of a Monte Carlo estimate, 0 where the value is exact; shape (k, m).
    """

    test: str
    fractions: Floats
    rounds: NDArray[np.int64]
    detected: Floats
    standard_errors: Floats


def declared_thresholds(
    declared: LinkBehaviour, *, rounds: int, false_alarm: float
) -> tuple[int, int]:
    """Return the fewest losses, and errors, that refute the declared link in a batch.

    Each limit is exceeded with at most half of ``false_alarm`` by a link that keeps the promise:
    the chance of a loss, and of an error, in each tallied round is then at most the declared
    one whatever happened before, so the counts are below binomial variables.

    Args:
        declared: The promise.  Its CHSH pairs must be equally likely: then a lost round has
            probability ``(1 - key_share) (1/2 - S/8)``, a function of S alone.
        rounds: Tallied rounds, fixed beforehand.
        false_alarm: In (0, 1).

    Raises:
        ValueError: An argument leaves its range, or the pairs are not equally likely.

    Examples:
        >>> link = LinkBehaviour((0.7,) * 4, 0.01, (0.2,) * 4)
        >>> declared_thresholds(link, rounds=1000, false_alarm=1e-3)
        (156, 9)
    """
    _check(declared, rounds=rounds, false_alarm=false_alarm)
    losses, errors = _loss_and_error(declared)
    limits = (int(binom.isf(false_alarm / 2, rounds, chance)) + 1 for chance in (losses, errors))
    first, second = limits
    return first, second


def declared_test_power(
    actual: LinkBehaviour, *, declared: LinkBehaviour, rounds: int, false_alarm: float
) -> float:
    """Return the probability that a batch of tallied rounds refutes the declared link.

    The test refuses if losses or errors reach `declared_thresholds`.  Of n independent rounds,
    losses and errors are trinomial, so

        ``P(not seen) = sum over e < errors' limit of P(e errors) P(few losses | e errors)``

    with binomial factors: of the other n - e rounds each is lost with the chance l / (1 - q).

    Args:
        actual: How the link behaves.
        declared: The promise; CHSH pairs equally likely.
        rounds: Tallied rounds, fixed beforehand.
        false_alarm: Of the test, in (0, 1).

    Examples:
        >>> link = LinkBehaviour((0.7,) * 4, 0.01, (0.2,) * 4)
        >>> found = declared_test_power(intercepted(link, 0.2), declared=link, rounds=1000,
        ...                             false_alarm=1e-3)
        >>> round(found, 3)
        0.878
    """
    most_losses, most_errors = declared_thresholds(declared, rounds=rounds, false_alarm=false_alarm)
    lost, wrong = _loss_and_error(actual)
    errors = np.arange(min(most_errors, rounds + 1))
    few = binom.cdf(most_losses - 1, rounds - errors, lost / (1 - wrong))
    unseen = float(np.sum(binom.pmf(errors, rounds, wrong) * few))
    return min(1.0, max(0.0, 1 - unseen))


def lower_bound_power(actual: LinkBehaviour, *, rounds: int, epsilon: float) -> float:
    """Return the probability that a session's lower bound on S does not exceed 2.

    Exact for equally likely CHSH pairs, where the bound grows with the number of wins alone.

    Args:
        actual: How the link behaves.
        rounds: Bell-test rounds, fixed beforehand.
        epsilon: Of `e91.bell.chsh.chsh_lower_bound`, in (0, 1).

    Examples:
        >>> round(lower_bound_power(LinkBehaviour((0.6,) * 4, 0.06, (0.2,) * 4), rounds=500,
        ...                         epsilon=1e-2), 3)
        0.649
    """
    _check(actual, rounds=rounds, false_alarm=epsilon)

    def passes(wins: int) -> bool:
        """Return whether this number of wins proves that S exceeds 2."""
        bound = chsh_lower_bound(
            [wins, 0, 0, 0], [rounds - wins, 0, 0, 0], probabilities=[0.25] * 4, epsilon=epsilon
        )
        return bound > 2

    return _failure(passes, actual, rounds)


def p_value_power(actual: LinkBehaviour, *, rounds: int, significance: float) -> float:
    """Return the probability that a session's Bell test does not refute local models.

    Exact for equally likely CHSH pairs, where the p-value is a function of the number of wins.

    Args:
        actual: How the link behaves.
        rounds: Bell-test rounds, fixed beforehand.
        significance: Largest p-value that refutes, in (0, 1).

    Examples:
        >>> round(p_value_power(LinkBehaviour((0.6,) * 4, 0.06, (0.2,) * 4), rounds=500,
        ...                     significance=1e-2), 3)
        0.386
    """
    _check(actual, rounds=rounds, false_alarm=significance)
    return _failure(lambda wins: p_value(wins, rounds, bound=0.75) <= significance, actual, rounds)


def _failure(passes: Callable[[int], bool], actual: LinkBehaviour, rounds: int) -> float:
    """Return the probability of fewer wins than the fewest that pass, by bisection."""
    low, high = 0, rounds + 1  # `high` passes, or is more than there can be
    while low < high:
        middle = (low + high) // 2
        if passes(middle):
            high = middle
        else:
            low = middle + 1
    return float(binom.cdf(low - 1, rounds, 0.5 + actual.chsh / 8))


def simulated_power(
    detects: Callable[[OutcomeCounts], bool],
    actual: LinkBehaviour,
    *,
    rounds: int,
    sessions: int,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Estimate by Monte Carlo how often any test of the counts sees an attack.

    Args:
        detects: The test.
        actual: How the link behaves; its rounds are independent.
        rounds: Tallied rounds of each session, at least 1.
        sessions: How many to simulate, at least 1.
        rng: Source of the simulated outcomes.

    Returns:
        The estimate, and its standard error with one success and one failure added (so that 0 of
        n is not reported as certain).

    Examples:
        >>> link = LinkBehaviour((0.6,) * 4, 0.06, (0.2,) * 4)
        >>> simulated_power(lambda found: found.errors >= 0, link, rounds=10, sessions=98,
        ...                 rng=np.random.default_rng(1))
        (1.0, 0.0099...)
    """
    for name, value in (("rounds", rounds), ("sessions", sessions)):
        if value < 1:
            raise ValueError(f"`{name}` must be at least 1, but is {value}.")
    counts = rng.multinomial(rounds, actual.probabilities, size=sessions)
    seen = sum(bool(detects(OutcomeCounts.from_array(row))) for row in counts)
    careful = (seen + 1) / (sessions + 2)
    return seen / sessions, math.sqrt(careful * (1 - careful) / (sessions + 2))


def power_curves(
    power: Callable[[LinkBehaviour, int], float | tuple[float, float]],
    declared: LinkBehaviour,
    *,
    test: str,
    fractions: Sequence[float],
    rounds: Sequence[int],
) -> PowerCurves:
    """Return a test's power for each strength of intercept-resend and each number of rounds.

    Args:
        power: Takes the attacked link and a number of rounds; gives the power, or an estimate
            with its standard error.
        declared: The link without Eve.
        test: What the test asks, for the legend.
        fractions: Shares of the photons that Eve intercepts, each in [0, 1].
        rounds: Numbers of rounds.

    Examples:
        >>> link = LinkBehaviour((0.7,) * 4, 0.01, (0.2,) * 4)
        >>> curves = power_curves(
        ...     lambda actual, n: p_value_power(actual, rounds=n, significance=1e-3),
        ...     link, test="S > 2", fractions=[0.0, 1.0], rounds=[1000])
        >>> curves.detected.round(4)
        array([[0., 1.]])
    """
    links = [intercepted(declared, fraction) for fraction in fractions]
    found = [[_with_error(power(link, count)) for link in links] for count in rounds]
    values = np.array(found, float).reshape(len(rounds), len(links), 2)
    return PowerCurves(
        test,
        np.array(fractions, float),
        np.array(rounds, np.int64),
        values[..., 0],
        values[..., 1],
    )


def _with_error(found: float | tuple[float, float]) -> tuple[float, float]:
    return found if isinstance(found, tuple) else (found, 0.0)


def _loss_and_error(link: LinkBehaviour) -> tuple[float, float]:
    """Return the chances that a tallied round is a lost Bell test, and a wrong key bit."""
    chances = link.probabilities
    return float(chances[4:8].sum()), float(chances[9])


def _check(link: LinkBehaviour, *, rounds: int, false_alarm: float) -> None:
    if max(link.test_shares) - min(link.test_shares) > 1e-12:
        raise ValueError(
            f"`test_shares` must be equal for an exact power, but are {link.test_shares}."
        )
    if rounds < 1:
        raise ValueError(f"`rounds` must be at least 1, but is {rounds}.")
    if not 0 < false_alarm < 1:
        raise ValueError(f"A false-alarm probability must lie in (0, 1), but is {false_alarm}.")
