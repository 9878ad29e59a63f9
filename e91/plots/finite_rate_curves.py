"""Key rates against the number of rounds: every finite theorem with its best plan.

Pure functions from numbers to frozen records; `e91.plots.rate_figures` draws them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from e91.model.numbers import Floats
from e91.model.settings import ASYMMETRIC, BBM92
from e91.model.trust import SecurityModel
from e91.plots.rate_curves import RateCurve, frozen, increasing
from e91.security.device_independent import (
    acin_rate,
    noisy_preprocessing_rate,
    random_basis_rate,
)
from e91.security.policy import Policy
from e91.security.theorems import Theorem
from e91.session.planning import Link, asymptotic_rate, best_plan

_TOLERANCE = 1.2  # the error rate that a plan declares beforehand, relative to the link's QBER

FINITE_THEOREMS = tuple(theorem for theorem in Theorem if theorem.entry.finite)
"""The theorems that hold for a finite number of rounds."""


@dataclass(frozen=True)
class RateLimit:
    """A key rate in the limit of many rounds.

    Attributes:
        name: What gives the rate.
        security: The security model.
        rate: Secret bits per round.
    """

    name: str
    security: SecurityModel
    rate: float


@dataclass(frozen=True, eq=False)
class RoundsRates:
    """Finite-size rates against the number of rounds, with the best choices at each.

    Attributes:
        rounds: Rounds of a session of one block; float64, shape (n,).
        link: What the link delivers.
        epsilon: Failure probability of a session.
        tolerated_error: Error rate declared beforehand where a theorem asks for it.
        curves: Secret bits per round of any kind.
        limits: Asymptotic rates per key round, to which nearly all rounds belong where tests are
            rare.  Without trust finite rates tend to the last one, as sessions are charged for
            both parties' messages of error correction; the others suppose one-way messages.
    """

    rounds: Floats
    link: Link
    epsilon: float
    tolerated_error: float
    curves: tuple[RateCurve, ...]
    limits: tuple[RateLimit, ...]


def rates_by_rounds(rounds: Sequence[int], *, link: Link, epsilon: float = 1e-10) -> RoundsRates:
    """Return the rate of every finite theorem at each number of rounds, with its best plan.

    Every point is a session of one block whose choice probabilities and revealed fraction were
    searched by `planning.best_plan`.  Theorems that want the tolerated error declared get 1.2
    times the link's QBER.  Where a theorem needs two unbiased key bases the settings are BBM92's,
    else the asymmetric ones.  Takes one to two seconds for each number of rounds.

    Args:
        rounds: Increasing whole numbers from 1.
        link: What the link delivers, the efficiency of error correction included.
        epsilon: Failure probability of a session, in (0, 1).

    Raises:
        ValueError: ``rounds`` does not increase, or a number leaves its range.

    Not promised:
        The search is local: a point may be a few percent below the best, more at 10^12 rounds.

    Examples:
        >>> found = rates_by_rounds([10**6], link=Link(2.74, 0.015))
        >>> len(found.curves), 0 < float(found.curves[0].rates[0]) < found.limits[0].rate
        (6, True)
    """
    axis = increasing("rounds", rounds, top=np.inf)
    return RoundsRates(
        axis,
        link,
        epsilon,
        min(0.5, _TOLERANCE * link.qber),
        tuple(_finite_curve(theorem, rounds, link, epsilon) for theorem in FINITE_THEOREMS),
        _limits(link),
    )


def _finite_curve(theorem: Theorem, rounds: Sequence[int], link: Link, epsilon: float) -> RateCurve:
    declares = theorem.fixes_errors_beforehand
    policy = Policy(
        theorem.security,
        epsilon=epsilon,
        theorem=theorem,
        tolerated_error=min(0.5, _TOLERANCE * link.qber) if declares else None,
    )
    settings = BBM92 if theorem.entry.wants_two_key_bases else ASYMMETRIC

    def rate(count: int) -> float:
        """Return the best rate of a session of ``count`` rounds."""
        plan = best_plan(link, count, settings=settings, policy=policy, largest_block=count)
        return plan.secret_bits / count

    return RateCurve(theorem.value, theorem.security, frozen(map(rate, rounds)))


def _limits(link: Link) -> tuple[RateLimit, ...]:
    """Return the asymptotic rates; the last one pays for both parties' messages.

    Sessions correct errors by two-way messages, of which only Alice's are charged if the analysers
    are trusted; without trust the finite rates tend to the last limit.
    """
    seen, qber, efficiency = min(link.chsh_value, 4.0), link.qber, link.efficiency
    trusted, untrusted = SecurityModel.TRUSTED_ANALYSERS, SecurityModel.DEVICE_INDEPENDENT
    bbm92 = asymptotic_rate(trusted, chsh_value=seen, qber=qber, efficiency=efficiency).rate
    noisy = noisy_preprocessing_rate(seen, qber, efficiency=efficiency).rate
    return (
        RateLimit("Shor & Preskill 2000", trusted, bbm92),
        RateLimit(
            "Schwonnek et al. 2021", untrusted, random_basis_rate(seen, qber, efficiency=efficiency)
        ),
        RateLimit("Acín et al. 2007", untrusted, acin_rate(seen, qber, efficiency=efficiency)),
        RateLimit("Ho et al. 2020, best flip", untrusted, noisy),
        RateLimit(
            "Acín et al. 2007, error correction charged twice",
            untrusted,
            acin_rate(seen, qber, efficiency=2 * efficiency),
        ),
    )
