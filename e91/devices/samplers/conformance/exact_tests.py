"""Exact tests of a sampler's outcomes: false alarm and detectable error of each are known.

Every check has a false-alarm probability of at most `FALSE_ALARM`, shared out among its
comparisons, and states the smallest error that it misses with a probability of at most `MISSED`.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from e91.model.bits import Bits
from e91.model.settings import Settings

FALSE_ALARM = 1e-9
"""Probability that a faultless sampler fails a check."""

MISSED = 1e-3
"""Probability that a check misses the error that it says it detects."""

SESSION = 100
"""Rounds a setting pair in one of the small sessions whose S must scatter as it should."""


@dataclass(frozen=True)
class Check:
    """One thing that a sampler must do, and whether it did.

    Attributes:
        name: What is checked.
        passed: Whether it is so.
        found: What was seen.
        detects: The error that the check is able to see.
        false_alarm: Probability at most that a faultless sampler fails; 0 for what is certain.
        required: Whether a failure counts; a note does not.
    """

    name: str
    passed: bool
    found: str
    detects: str
    false_alarm: float = 0.0
    required: bool = True


@dataclass(frozen=True, eq=False)
class Sample:
    """Two runs of all setting pairs with equal shots.

    Attributes:
        settings: Angles and roles.
        alice: Outcomes ``alice[run, x, y, shot]``; uint8.
        bob: The same.
    """

    settings: Settings
    alice: Bits
    bob: Bits

    @property
    def shots(self) -> int:
        """Shots of each setting pair in both runs together."""
        return int(self.alice.shape[0] * self.alice.shape[-1])

    @property
    def same(self) -> Bits:
        """1 where both outcomes are equal."""
        return 1 - (self.alice ^ self.bob)


def correlators(sample: Sample, table: NDArray[np.float64]) -> Check:
    """Compare how often both outcomes are equal, at each setting pair, with the exact table."""
    found = sample.same.sum(axis=(0, 3), dtype=np.int64)
    expected = table[..., 0, 0] + table[..., 1, 1]
    return _counts("correlators", found, expected, shots=sample.shots, scale=2.0, what="E")


def marginals(sample: Sample, table: NDArray[np.float64]) -> Check:
    """Compare how often each party sees a 1, at each setting pair, with the exact table."""
    ones = [party.sum(axis=(0, 3), dtype=np.int64) for party in (sample.alice, sample.bob)]
    expected = [table[:, :, 1].sum(axis=2), table[..., 1].sum(axis=2)]
    found, exact = np.stack(ones), np.stack(expected)
    return _counts("marginals", found, exact, shots=sample.shots, scale=1.0, what="P(1)")


def _counts(
    name: str,
    found: NDArray[np.int64],
    expected: NDArray[np.float64],
    *,
    shots: int,
    scale: float,
    what: str,
) -> Check:
    alpha = FALSE_ALARM / found.size
    chances = np.clip(expected.ravel(), 0, 1).tolist()
    counts = found.ravel().tolist()
    tails = [tail(k, shots, p) for k, p in zip(counts, chances, strict=True)]
    worst = int(np.argmin(tails))
    place = tuple(map(int, np.unravel_index(worst, found.shape)))
    off = scale * (found.ravel()[worst] / shots - expected.ravel()[worst])
    least = scale * max(detectable(shots, float(p), alpha=alpha) for p in expected.ravel())
    return Check(
        name,
        bool(min(tails) >= alpha),
        f"{what} off by at most {off:+.4f}, at {place}",
        f"{what} off by {least:.3f}",
        FALSE_ALARM,
    )


def chsh_value(sample: Sample, table: NDArray[np.float64]) -> Check:
    """Compare S with the exact one by the exact distribution of the rounds won.

    With equal shots n in each pair S is 8 w / (4 n) - 4, w the rounds won, a sum of four binomial
    counts whose distribution is their convolution.
    """
    pairs = sample.settings.chsh_pairs
    same = sample.same.sum(axis=(0, 3), dtype=np.int64)
    n = sample.shots
    equal = table[..., 0, 0] + table[..., 1, 1]
    won = sum(int(same[p]) if sign > 0 else n - int(same[p]) for p, sign in pairs)
    chances = [float(equal[p] if sign > 0 else 1 - equal[p]) for p, sign in pairs]
    least = 8 * detectable(4 * n, float(np.mean(chances)), alpha=FALSE_ALARM)
    expected = 2 * sum(chances) - 4
    return Check(
        "S",
        _tail_of_sum(won, n, chances) >= FALSE_ALARM,
        f"S = {8 * won / (4 * n) - 4:.4f}, exactly {expected:.4f}",
        f"S off by {least:.3f}",
        FALSE_ALARM,
    )


def signs(sample: Sample) -> Check:
    """Check that each correlator of the Bell test and of the key has its sign, whatever the noise.

    For samplers whose noise is not known.  By Hoeffding's inequality a coin passes with a
    probability of at most `FALSE_ALARM`, and so fails a source that wins twice the margin over 1/2.
    """
    same = sample.same.mean(axis=(0, 3))
    wanted = [*sample.settings.chsh_pairs, *((pair, +1) for pair in sample.settings.key_pairs)]
    won = [float(same[p] if sign > 0 else 1 - same[p]) for p, sign in wanted]
    limit = 0.5 + math.sqrt(math.log(len(won) / FALSE_ALARM) / (2 * sample.shots))
    return Check(
        "signs",
        min(won) > limit,
        f"the right sign in {min(won):.1%} of the rounds, at least",
        f"a coin instead of a correlation: fewer than {limit:.1%}",
        FALSE_ALARM,
    )


def independent_pairs(sample: Sample) -> Check:
    """Check that no two setting pairs of a run share randomness, shot by shot."""
    compared: list[tuple[Bits, Bits]] = []
    for party in (sample.alice, sample.bob):
        for run in party.reshape(party.shape[0], -1, party.shape[-1]):
            compared += combinations(run, 2)
    return _unrelated("setting pairs", compared)


def independent_runs(sample: Sample) -> Check:
    """Check that the second run does not repeat the first, at any setting pair."""
    compared: list[tuple[Bits, Bits]] = []
    for party in (sample.alice, sample.bob):
        compared += zip(*party.reshape(2, -1, party.shape[-1]), strict=True)
    return _unrelated("successive runs", compared)


def _unrelated(name: str, compared: list[tuple[Bits, Bits]]) -> Check:
    """Test bit sequences for independence, given how many ones each has (Fisher's exact test)."""
    from scipy.stats import hypergeom

    n, alpha = len(compared[0][0]), FALSE_ALARM / len(compared)
    ones = np.array([(p.sum(), q.sum(), (p & q).sum()) for p, q in compared], np.int64).T
    both = hypergeom(n, ones[0], ones[1])
    tails = 2 * np.minimum(both.cdf(ones[2]), both.sf(ones[2] - 1))
    agree = (n - ones[0] - ones[1] + 2 * ones[2]) / n
    worst = int(np.argmin(tails))
    least = detectable(n, 0.5, alpha=alpha)
    return Check(
        name,
        bool(min(tails) >= alpha),
        f"the likest two agree in {agree[worst]:.2%} of {n:,} shots",
        f"fair bits that agree in {0.5 + least:.2%}",
        FALSE_ALARM,
    )


def spread(sample: Sample) -> Check:
    """Check that S of small sessions scatters as independent rounds do.

    Correlated seeds leave every mean right and widen S.  The squared deviations from the mean over
    the variance that the correlators give are chi-square, to the kurtosis of S in sessions of
    `SESSION` rounds a pair, 0.005.
    """
    from scipy.stats import chi2

    values = np.concatenate([*_session_values(sample)])
    correlator = 2 * sample.same.mean(axis=(0, 3)) - 1
    variance = sum((1 - correlator[p] ** 2) / SESSION for p, _ in sample.settings.chsh_pairs)
    degrees = len(values) - 1
    low, high = chi2.ppf(FALSE_ALARM / 2, degrees), chi2.isf(FALSE_ALARM / 2, degrees)
    statistic = degrees * np.var(values, ddof=1) / variance if variance else 0.0
    wider = math.sqrt(high / chi2.ppf(MISSED, degrees))
    return Check(
        "spread of S",
        bool(low <= statistic <= high),
        f"{math.sqrt(statistic / degrees):.3f} times that of independent rounds",
        f"{wider:.2f} times",
        FALSE_ALARM,
    )


def _session_values(sample: Sample) -> Iterator[NDArray[np.float64]]:
    """Yield S of the sessions that each run is cut into."""
    sessions = sample.alice.shape[-1] // SESSION
    for run in sample.same[..., : sessions * SESSION]:
        means = 2 * run.reshape(*run.shape[:2], sessions, SESSION).mean(axis=3) - 1
        total = np.zeros(sessions)
        for pair, sign in sample.settings.chsh_pairs:
            total += sign * means[pair]
        yield total


def tail(k: int, n: int, p: float) -> float:
    """Return the two-sided tail of a binomial count: twice the smaller one, at most 1.

    Examples:
        >>> tail(5, 10, 0.5), round(tail(0, 10, 0.5), 6), tail(1, 10, 0.0)
        (1.0, 0.001953, 0.0)
    """
    from scipy.stats import binom

    return min(1.0, 2 * float(min(binom.cdf(k, n, p), binom.sf(k - 1, n, p))))


def _tail_of_sum(k: int, n: int, chances: list[float]) -> float:
    """Return the two-sided tail of a sum of binomial counts of n trials each."""
    from scipy.stats import binom

    mass, offset = np.ones(1), 0
    for p in chances:
        low, high = int(binom.ppf(1e-14, n, p)), int(binom.isf(1e-14, n, p))
        mass = np.convolve(mass, binom.pmf(np.arange(low, high + 1), n, p))
        offset += low
    place = k - offset
    below, above = mass[: max(0, place + 1)].sum(), mass[max(0, place) :].sum()
    return min(1.0, 2 * float(min(below, above)))


def detectable(n: int, p: float, *, alpha: float) -> float:
    """Return the smallest deviation from ``p`` that a two-sided test of n trials misses `MISSED`.

    Args:
        n: Trials.
        p: The probability that should hold.
        alpha: False-alarm probability of the test.

    Examples:
        >>> round(detectable(20_000, 0.5, alpha=1e-9), 4)
        0.0325
    """
    from scipy.stats import binom

    p = min(p, 1 - p)
    high = int(binom.isf(alpha / 2, n, p))
    inside, outside = p, 1.0
    for _ in range(40):
        middle = (inside + outside) / 2
        missed = binom.cdf(high, n, middle)
        inside, outside = (middle, outside) if missed > MISSED else (inside, middle)
    return outside - p
