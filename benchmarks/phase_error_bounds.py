"""Three bounds on the phase errors of one session: ``python -m benchmarks.phase_error_bounds``.

The score Y of `e91.bell.chsh` has expectation 1 in every round, whatever happened before.
Betting pays for its variance.  The inequality of Azuma and Hoeffding pays for its range R, as if
its variance were R^2 / 4; Kato's for the largest variance that a variable of that range and mean
can have.  Prints a Markdown table of what each would say of the same counts.

Sources: Azuma, Tohoku Math. J. 19, 357 (1967); Hoeffding, J. Am. Stat. Assoc. 58, 13 (1963),
section 2; Kato, arXiv:2002.04357.  Kato's theorem itself was not open to us, only its abstract; the
form below is what public code by others implements, and
``tests/security/test_martingale_comparison.py`` confirms it by a
numerical moment-generating function, exact tails, and Monte Carlo.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.optimize import minimize_scalar

from e91.bell.chsh import phase_error_bound
from e91.model.evidence import Evidence, KeySample, outcomes_of
from e91.model.settings import EKERT, Settings

TSIRELSON = 2 * math.sqrt(2)
REVEALED_FRACTION = 0.1
EPSILON = (0.4 * 1e-10) ** 2  # what a session of 1e-10 spends on this bound
SETTINGS = {"uniform": EKERT, "biased": EKERT.biased((0.1, 0.8, 0.1), (0.8, 0.1, 0.1))}
VISIBILITIES = (0.97, 0.99)
ROUNDS = (10**4, 10**5, 10**6, 10**7, 10**8)


@dataclass(frozen=True)
class Score:
    """The payoffs of a kept round: what each of its outcomes adds to Y.

    Attributes:
        key: Probability k that a kept round is an unrevealed key round; an error pays 1 / k.
        revealed: Probability r that it is a revealed one; an error pays 1 / r.
        tests: Probabilities p_j of the four Bell-test pairs; they pay +-1 / (2 sqrt(2) p_j).
    """

    key: float
    revealed: float
    tests: tuple[float, ...]

    @property
    def lowest(self) -> float:
        """The least that one round can score."""
        return -1 / (TSIRELSON * min(self.tests))

    @property
    def highest(self) -> float:
        """The most that one round can score."""
        return max(1 / self.key, 1 / self.revealed, -self.lowest)


@dataclass(frozen=True)
class Comparison:
    """What the three bounds say of one session; numbers of phase errors, not cut at any size.

    Attributes:
        expected: Phase errors that the source makes on average.
        key_size: Unrevealed key rounds.
        betting: The bound of `e91.bell.chsh`.
        kato: Kato's, with the best parameters that may be fixed beforehand.
        azuma: Azuma's and Hoeffding's.
    """

    expected: float
    key_size: int
    betting: float
    kato: float
    azuma: float


def score_of(settings: Settings, *, revealed_fraction: float) -> Score:
    """Return the payoffs of a kept round at these settings.

    Examples:
        >>> score = score_of(EKERT, revealed_fraction=0.1)
        >>> round(score.lowest, 4), round(score.highest, 4)
        (-2.1213, 30.0)
    """
    kept = settings.key_probability + settings.chsh_probability
    return Score(
        settings.key_probability * (1 - revealed_fraction) / kept,
        settings.key_probability * revealed_fraction / kept,
        tuple(settings.pair_probability(pair) / kept for pair, _ in settings.chsh_pairs),
    )


def expected_evidence(
    rounds: int, *, settings: Settings, visibility: float, revealed_fraction: float
) -> Evidence:
    """Return the counts that a Werner state of this visibility gives on average, rounded.

    Args:
        rounds: Rounds that both parties keep: key and Bell test.
        settings: The settings with their probabilities.
        visibility: V in [0, 1]; every key pair errs with probability (1 - V) / 2.
        revealed_fraction: Probability that a key round is revealed.
    """
    score = score_of(settings, revealed_fraction=revealed_fraction)
    tested = [round(rounds * p) for p in score.tests]
    won = [round(n * (1 + visibility / math.sqrt(2)) / 2) for n in tested]
    sample = round(rounds * score.revealed)
    lost = [n - wins for n, wins in zip(tested, won, strict=True)]
    hidden, errors = round(rounds * score.key), round(sample * (1 - visibility) / 2)
    return Evidence(
        tests=outcomes_of(won, lost, signs=settings.signs),
        samples=(KeySample(hidden, sample, errors),),
        pair_counts=(),
        signs=settings.signs,
    )


def azuma_sum(rounds: int, *, mean: float, epsilon: float) -> float:
    """Return Azuma's upper bound on a sum of variables in [0, 1] with this conditional mean.

    Returns:
        n mean + sqrt(n ln(1 / epsilon) / 2).
    """
    return rounds * mean + math.sqrt(rounds * -math.log(epsilon) / 2)


def kato_b(a: float, rounds: int, *, epsilon: float) -> float:
    """Return the b that belongs to a, so that Kato's inequality fails with ``epsilon`` at most.

    For variables in [0, 1] with sum L, and M the sum of their conditional expectations,

        ``P[L - M >= (b + a (2 L / n - 1)) sqrt(n)] <= exp(-2 (b^2 - a^2) / (1 - 4 a / (3
        sqrt(n)))^2)`` for b >= abs(a).

    The paper bounds M - L; exchanging 0 and 1 turns a into -a and gives this direction.
    """
    slope = 1 - 4 * a / (3 * math.sqrt(rounds))
    return math.sqrt(a * a + slope * slope * -math.log(epsilon) / 2)


def kato_sum(rounds: int, *, mean: float, epsilon: float) -> float:
    """Return Kato's upper bound on a sum of variables in [0, 1] with this conditional mean.

    The inequality is solved for the sum.  Its parameter a is optimised, which is allowed since
    the mean is known before the first round; a = 0 is Azuma's inequality.

    Returns:
        The bound, at most that of `azuma_sum`.

    Examples:
        >>> round(kato_sum(10_000, mean=0.1, epsilon=1e-10))  # a binomial's is 1196
        1210
    """
    root = math.sqrt(rounds)

    def bound(a: float) -> float:
        return (rounds * mean + (kato_b(a, rounds, epsilon=epsilon) - a) * root) / (
            1 - 2 * a / root
        )

    found = minimize_scalar(bound, bounds=(-0.49 * root, 0.49 * root), method="bounded")
    return min(bound(0.0), float(found.fun))


def compare(
    evidence: Evidence,
    *,
    settings: Settings,
    revealed_fraction: float,
    epsilon: float,
    error: float,
) -> Comparison:
    """Bound the phase errors of one session in three ways.

    Args:
        evidence: Counts after sifting.
        settings: The settings with their probabilities.
        revealed_fraction: Probability that a key round was revealed.
        epsilon: Failure probability of each bound.
        error: Phase-error rate of the source, for comparison only.
    """
    score = score_of(settings, revealed_fraction=revealed_fraction)
    width = score.highest - score.lowest
    mean = (1 - score.lowest) / width  # of the score, scaled to [0, 1]
    rounds = evidence.test_size + evidence.sample_size + evidence.key_size
    observed = _observed_score(evidence, score=score)

    def phase_errors(scaled_sum: float) -> float:
        return score.key * (scaled_sum * width + rounds * score.lowest - observed)

    return Comparison(
        expected=error * evidence.key_size,
        key_size=evidence.key_size,
        betting=phase_error_bound(
            evidence, settings=settings, revealed_fraction=revealed_fraction, epsilon=epsilon
        ),
        kato=phase_errors(kato_sum(rounds, mean=mean, epsilon=epsilon)),
        azuma=phase_errors(azuma_sum(rounds, mean=mean, epsilon=epsilon)),
    )


def _observed_score(evidence: Evidence, *, score: Score) -> float:
    """Return the sum of Y without the phase errors, which nobody observes."""
    total = evidence.sample_errors / score.revealed
    for wins, losses, p in zip(evidence.wins, evidence.losses, score.tests, strict=True):
        total += (wins - losses) / (TSIRELSON * p)
    return total


def comparison(name: str, *, rounds: int, visibility: float) -> Comparison:
    """Return one row of the table: a named choice of settings and a Werner state."""
    settings = SETTINGS[name]
    evidence = expected_evidence(
        rounds, settings=settings, visibility=visibility, revealed_fraction=REVEALED_FRACTION
    )
    return compare(
        evidence,
        settings=settings,
        revealed_fraction=REVEALED_FRACTION,
        epsilon=EPSILON,
        error=(1 - visibility) / 2,
    )


def main() -> None:
    """Print the table."""
    columns = ["settings", "V", "rounds", "true", "betting", "Kato", "Azuma"]
    print("| " + " | ".join([*columns, "Kato / betting", "Azuma / betting"]) + " |")
    print("|---" * 9 + "|")
    for name in SETTINGS:
        for visibility in VISIBILITIES:
            for rounds in ROUNDS:
                found = comparison(name, rounds=rounds, visibility=visibility)
                bounds = (found.betting, found.kato, found.azuma)
                rates = " | ".join(_percent(bound / found.key_size) for bound in bounds)
                excess = [bound - found.expected for bound in bounds]
                print(f"| {name} | {visibility} | 10^{round(math.log10(rounds))} | "
                      f"{(1 - visibility) / 2:.2%} | {rates} | {excess[1] / excess[0]:.1f} | "
                      f"{excess[2] / excess[0]:.1f} |")  # fmt: skip


def _percent(rate: float) -> str:
    return f"{rate:.2%}" if rate < 0.5 else "no key"


if __name__ == "__main__":
    main()
