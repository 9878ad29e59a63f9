"""What the alarm tests: how a link behaves in one round, and the outcomes that are counted.

A *tallied round* is a Bell-test round or a revealed key round; the other rounds say nothing in
public.  Its ten outcomes are, in this order: four wins (one per pair of the CHSH sum: the outcomes
had the sign that the sum wants), four losses, a right and a wrong revealed key bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from e91.model.evidence import Evidence
from e91.model.numbers import TSIRELSON, check_between_zero_and_one, check_fractions
from e91.model.settings import Settings


@dataclass(frozen=True)
class OutcomeCounts:
    """How often each of the ten outcomes occurred in a block of tallied rounds.

    Attributes:
        wins: Bell-test rounds with the wanted sign, one count per CHSH pair.
        losses: Bell-test rounds with the other sign.
        sample: Revealed key rounds.
        errors: How many of them differed.

    Raises:
        ValueError: A count is negative, there are not four pairs, or errors exceed the sample.

    Examples:
        >>> OutcomeCounts((40, 41, 42, 43), (10, 9, 8, 7), sample=20, errors=1).rounds
        220
    """

    wins: tuple[int, ...]
    losses: tuple[int, ...]
    sample: int
    errors: int

    def __post_init__(self) -> None:
        _check_four(wins=self.wins, losses=self.losses)
        if min(*self.wins, *self.losses, self.sample, self.errors) < 0:
            raise ValueError("Every count must be at least 0, but one is negative.")
        if self.errors > self.sample:
            raise ValueError(
                f"`errors` must not exceed the sample, {self.sample}, but is {self.errors}."
            )

    @property
    def rounds(self) -> int:
        """Tallied rounds."""
        return sum(self.wins) + sum(self.losses) + self.sample

    @property
    def array(self) -> NDArray[np.int64]:
        """The ten outcomes' counts, in the order of this module; int64, shape (10,)."""
        right = self.sample - self.errors
        return np.array((*self.wins, *self.losses, right, self.errors), np.int64)

    @classmethod
    def from_array(cls, counts: NDArray[np.int64]) -> OutcomeCounts:
        """Return the counts whose `array` is ``counts``; integers, shape (10,)."""
        wins, losses, (right, wrong) = np.split(counts, [4, 8])
        sample = int(right + wrong)
        return cls(tuple(wins.tolist()), tuple(losses.tolist()), sample=sample, errors=int(wrong))


def outcome_counts(evidence: Evidence) -> OutcomeCounts:
    """Return how often each of the ten outcomes occurred in a session.

    Args:
        evidence: The public counts of a session, or of a block.

    Returns:
        Wins and losses of the four pairs of the Bell test, and the sample of key rounds with its
        errors.

    Examples:
        >>> from e91.model.evidence import KeySample
        >>> from e91.model.settings import EKERT
        >>> tests = ((40, 5, 5, 40), (8, 42, 42, 8), (40, 5, 5, 40), (40, 5, 5, 40))
        >>> outcome_counts(Evidence(tests, (KeySample(90, 10, 1),), (), signs=EKERT.signs))
        OutcomeCounts(wins=(80, 84, 80, 80), losses=(10, 16, 10, 10), sample=10, errors=1)
    """
    return OutcomeCounts(
        wins=evidence.wins,
        losses=evidence.losses,
        sample=evidence.sample_size,
        errors=evidence.sample_errors,
    )


@dataclass(frozen=True)
class LinkBehaviour:
    """How a link behaves in one tallied round.

    Attributes:
        correlators: The four terms of S, each with the sign that the CHSH sum gives it.
        qber: Error probability of a revealed key round, averaged over the key pairs.
        test_shares: Probability of each CHSH pair in a tallied round.  The rest of 1 is the
            share of revealed key rounds.

    Raises:
        ValueError: There are not four pairs, a number leaves its range, S exceeds
            2 sqrt 2, or no share is left for the key.

    Examples:
        >>> link = LinkBehaviour((0.7, 0.7, 0.7, 0.7), 0.01, (0.225, 0.225, 0.225, 0.225))
        >>> round(link.chsh, 3), round(link.key_share, 3)
        (2.8, 0.1)
    """

    correlators: tuple[float, ...]
    qber: float
    test_shares: tuple[float, ...]

    def __post_init__(self) -> None:
        _check_four(correlators=self.correlators, test_shares=self.test_shares)
        if not all(-1 < value < 1 for value in self.correlators):
            raise ValueError(f"`correlators` must lie in (-1, 1), but are {self.correlators}.")
        if not abs(self.chsh) <= TSIRELSON + 1e-9:
            raise ValueError(
                f"`correlators` must sum to at most 2 sqrt 2 in size, but sum to {self.chsh:.6g}."
            )
        if not 0 < self.qber <= 0.5:
            raise ValueError(f"`qber` must lie in (0, 0.5], but is {self.qber}.")
        if not (min(self.test_shares) > 0 and self.key_share > 0):
            raise ValueError(
                f"`test_shares` must be positive and sum to less than 1, but are "
                f"{self.test_shares}."
            )

    @property
    def chsh(self) -> float:
        """S, the sum of the correlators."""
        return math.fsum(self.correlators)

    @property
    def key_share(self) -> float:
        """Probability that a tallied round is a revealed key round."""
        return 1 - math.fsum(self.test_shares)

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """Probabilities of the ten outcomes, in the order of this module; shape (10,)."""
        shares, values = np.array(self.test_shares), np.array(self.correlators)
        key = self.key_share * np.array([1 - self.qber, self.qber])
        return np.concatenate([shares * (1 + values) / 2, shares * (1 - values) / 2, key])


def werner_link(
    settings: Settings, *, visibility: float, revealed_fraction: float
) -> LinkBehaviour:
    """Return the link of a Werner state, ``S = 2 sqrt 2 V`` and ``QBER = (1 - V) / 2``.

    Args:
        settings: With CHSH pairs whose correlators are all V / sqrt 2, and with key pairs, as
            the named settings of `e91.model.settings` have.
        visibility: V, in (0, 1).  V = 1 declares a QBER of zero, which no link keeps.
        revealed_fraction: Probability that a key round is revealed, in (0, 1].

    Raises:
        ValueError: The settings lack CHSH or key pairs, or a number leaves its range.

    Examples:
        >>> from e91.model.settings import EKERT
        >>> link = werner_link(EKERT, visibility=0.97, revealed_fraction=0.1)
        >>> round(link.chsh, 4), round(link.qber, 4), round(link.key_share, 4)
        (2.7436, 0.015, 0.0476)
    """
    if not (settings.chsh_pairs and settings.key_pairs):
        raise ValueError(f"`settings` must have key and CHSH pairs, but {settings.name!r} has not.")
    check_between_zero_and_one(visibility=visibility)
    if not 0 < revealed_fraction <= 1:
        raise ValueError(f"`revealed_fraction` must lie in (0, 1], but is {revealed_fraction}.")
    revealed = settings.key_probability * revealed_fraction
    tallied = settings.chsh_probability + revealed
    shares = tuple(settings.pair_probability(pair) / tallied for pair, _ in settings.chsh_pairs)
    return LinkBehaviour((visibility / math.sqrt(2),) * 4, (1 - visibility) / 2, shares)


def intercepted(link: LinkBehaviour, fraction: float) -> LinkBehaviour:
    """Return the link with Eve on it, who intercepts and resends this fraction of the photons.

    With a basis that is Z or X at random, ``S' = S (1 - f / 2)`` and ``Q' = Q + (f / 2)
    (1/2 - Q)``.  White noise that lowers the visibility by the factor ``1 - f / 2`` gives the
    same ten probabilities: no counts can tell the two apart.

    Args:
        link: The honest link.
        fraction: f, in [0, 1].

    Raises:
        ValueError: ``fraction`` is not in [0, 1].

    Examples:
        >>> eve = intercepted(LinkBehaviour((0.7,) * 4, 0.01, (0.2,) * 4), 0.2)
        >>> round(eve.chsh, 3), round(eve.qber, 3)
        (2.52, 0.059)
    """
    return with_higher_qber(with_lower_chsh(link, fraction), fraction)


def with_lower_chsh(link: LinkBehaviour, fraction: float) -> LinkBehaviour:
    """Return the link with every correlator times ``1 - fraction / 2``, the QBER unchanged."""
    check_fractions(fraction=fraction)
    lower = tuple(value * (1 - fraction / 2) for value in link.correlators)
    return replace(link, correlators=lower)


def with_higher_qber(link: LinkBehaviour, fraction: float) -> LinkBehaviour:
    """Return the link with QBER ``Q + (fraction / 2) (1/2 - Q)``, the correlators unchanged."""
    check_fractions(fraction=fraction)
    return replace(link, qber=link.qber + fraction / 2 * (0.5 - link.qber))


def relative_entropy(actual: LinkBehaviour, declared: LinkBehaviour) -> float:
    """Return how fast evidence against ``declared`` can grow, nats per tallied round.

    The relative entropy D(actual || declared) of the ten outcomes: ``log(1 / alpha) / D`` rounds
    are what a test needs on average, to leading order, that knows ``actual`` and the round in
    which it began (Wald, Ann. Math. Stat. 16, 117 (1945)).

    Examples:
        >>> link = LinkBehaviour((0.7,) * 4, 0.01, (0.2,) * 4)
        >>> round(relative_entropy(intercepted(link, 0.2), link), 4)
        0.015
    """
    p, q = actual.probabilities, declared.probabilities
    seen = p > 0
    return float(np.sum(p[seen] * np.log(p[seen] / q[seen])))


def _check_four(**values: tuple[float, ...]) -> None:
    for name, four in values.items():
        if len(four) != 4:
            raise ValueError(f"`{name}` must have 4 entries, but has {len(four)}.")
