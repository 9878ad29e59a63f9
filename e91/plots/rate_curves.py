"""Key rates against QBER, detection efficiency and the number of rounds: the data of three figures.

Pure functions from numbers to frozen records; `e91.plots.rate_figures` draws them.  In a finite
session every theorem has its best plan.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from e91.model.numbers import Floats
from e91.model.settings import ASYMMETRIC, BBM92, Settings
from e91.model.trust import SecurityModel
from e91.security.device_dependent import bbm92_rate
from e91.security.device_independent import (
    RANDOM_BASIS_THRESHOLD,
    acin_rate,
    acin_threshold,
    bbm92_threshold,
    bell_efficiency_threshold,
    binned_statistics,
    key_efficiency_threshold,
    noisy_preprocessing_rate,
    noisy_preprocessing_threshold,
    random_basis_rate,
    werner_chsh,
)
from e91.security.policy import Policy, Reconciler
from e91.security.theorems import Theorem
from e91.session.expectation import Link
from e91.session.planning import asymptotic_rate, best_plan
from e91.system.progress import progress_bar


@dataclass(frozen=True, eq=False)
class RateCurve:
    """One theorem's key rate along an axis.

    Attributes:
        name: What gives the rate, as a legend prints it.
        security: The security model of the theorem.
        rates: Secret bits per round of the kind that the figure's record names; read-only
            float64, shape (n,).
        threshold: Where on the axis the rate reaches zero; None if not known.
        source: Where that number was published, or is computed.

    Examples:
        >>> trusted = SecurityModel.TRUSTED_ANALYSERS
        >>> curve = RateCurve("one way", trusted, np.array([1.0, 0.4, 0.0]), threshold=0.11)
        >>> curve.security.value, curve.threshold
        ('trusted-analysers', 0.11)
    """

    name: str
    security: SecurityModel
    rates: Floats
    threshold: float | None = None
    source: str = ""


@dataclass(frozen=True, eq=False)
class QberRates:
    """Asymptotic rates against QBER for white noise.

    Attributes:
        qber: Error rate of the key rounds, in [0, 1]; float64, shape (n,).
        chsh_values: S = 2 sqrt(2) (1 - 2 QBER); float64, shape (n,).
        curves: Secret bits per key round.

    Examples:
        >>> found = rates_by_qber([0.0, 0.05])
        >>> found.chsh_values.round(3).tolist(), found.curves[0].rates.shape
        ([2.828, 2.546], (2,))
    """

    qber: Floats
    chsh_values: Floats
    curves: tuple[RateCurve, ...]


@dataclass(frozen=True, eq=False)
class EfficiencyRates:
    """Asymptotic device-independent rates against detection efficiency.

    Attributes:
        efficiency: Probability that a photon is detected, both parties', in [0, 1]; float64,
            shape (n,).
        chsh_values: S with no-clicks recorded as outcome 0; float64, shape (n,).
        visibility: Of the pairs.
        curves: Secret bits per key round; every round in which a pair was sent counts.
        bell_threshold: Efficiency from which S exceeds 2.

    Examples:
        >>> found = rates_by_efficiency([0.9, 1.0])
        >>> round(found.bell_threshold, 4), found.visibility
        (0.8284, 1.0)
    """

    efficiency: Floats
    chsh_values: Floats
    visibility: float
    curves: tuple[RateCurve, ...]
    bell_threshold: float


def rates_by_qber(qber: Sequence[float] | Floats) -> QberRates:
    """Return four asymptotic key rates at each QBER, for white noise on a perfect pair.

    Error correction at the Shannon limit.  The threshold of the random key basis is the printed
    one, and its curve a lower bound through it (see `random_basis_entropy`).

    Args:
        qber: Increasing error rates in [0, 1/2].

    Returns:
        S and the secret bits per key round at each QBER, arrays of shape (n,).

    Raises:
        ValueError: ``qber`` does not increase or leaves [0, 1/2].

    Examples:
        >>> found = rates_by_qber([0.0, 0.05, 0.12])
        >>> [round(float(curve.rates[1]), 3) for curve in found.curves]
        [0.427, 0.225, 0.226, 0.326]
    """
    axis = increasing("qber", qber, top=0.5)
    errors = axis.tolist()
    trusted, untrusted = SecurityModel.TRUSTED_ANALYSERS, SecurityModel.DEVICE_INDEPENDENT
    return QberRates(
        axis,
        frozen(werner_chsh(q) for q in errors),
        (
            RateCurve(
                "BBM92, trusted analysers",
                trusted,
                frozen(bbm92_rate(q, q) for q in errors),
                bbm92_threshold(),
                "Shor & Preskill 2000",
            ),
            RateCurve(
                "CHSH, device-independent",
                untrusted,
                frozen(acin_rate(werner_chsh(q), q) for q in errors),
                acin_threshold(),
                "Acín et al. 2007",
            ),
            RateCurve(
                "with noisy preprocessing",
                untrusted,
                frozen(noisy_preprocessing_rate(werner_chsh(q), q).rate for q in errors),
                noisy_preprocessing_threshold(),
                "Ho et al. 2020",
            ),
            RateCurve(
                "with a random key basis, lower bound",
                untrusted,
                frozen(random_basis_rate(werner_chsh(q), q) for q in errors),
                RANDOM_BASIS_THRESHOLD,
                "Schwonnek et al. 2021",
            ),
        ),
    )


def rates_by_efficiency(
    efficiency: Sequence[float] | Floats, *, visibility: float = 1.0
) -> EfficiencyRates:
    """Return device-independent key rates at each detection efficiency.

    No-clicks are kept and recorded as outcome 0 by both parties, in every round; nothing is
    post-selected.  The pair is maximally entangled up to white noise, the settings are CHSH's:
    other states and settings do with less efficient detectors.

    Args:
        efficiency: Increasing probabilities.
        visibility: White-noise visibility, in (1/sqrt(2), 1].

    Returns:
        S and the secret bits per key round at each efficiency, arrays of shape (n,).

    Raises:
        ValueError: An argument leaves its range or ``efficiency`` does not increase.

    Examples:
        >>> found = rates_by_efficiency([0.9, 0.95, 1.0])
        >>> [round(rate, 3) for rate in found.curves[0].rates.tolist()]
        [0.0, 0.251, 1.0]
    """
    axis = increasing("efficiency", efficiency, top=1.0)
    bell_threshold = bell_efficiency_threshold(visibility=visibility)
    seen = [binned_statistics(eta, visibility=visibility) for eta in axis.tolist()]
    untrusted = SecurityModel.DEVICE_INDEPENDENT
    known = key_efficiency_threshold() if visibility == 1 else None
    return EfficiencyRates(
        axis,
        frozen(s for s, _ in seen),
        visibility,
        (
            RateCurve(
                "CHSH (Acín et al. 2007)",
                untrusted,
                frozen(acin_rate(s, q) for s, q in seen),
                known,
                "Pironio et al. 2009 (printed: 92.4 %)",
            ),
            RateCurve(
                "with noisy preprocessing (Ho et al. 2020)",
                untrusted,
                frozen(noisy_preprocessing_rate(s, q).rate for s, q in seen),
            ),
        ),
        bell_threshold,
    )


def increasing(name: str, values: Sequence[float] | Floats, *, top: float) -> Floats:
    """Return ``values`` as a read-only axis, checked to increase within [0, top].

    Raises:
        ValueError: They do not, or there are none.
    """
    axis = frozen(values)
    if len(axis) == 0 or not (np.all(np.diff(axis) > 0) and axis[0] >= 0 and axis[-1] <= top):
        raise ValueError(
            f"`{name}` must increase and lie in [0, {top:g}], at least one number, but is "
            f"{axis.tolist()}."
        )
    return axis


def frozen(values: Iterable[float]) -> Floats:
    """Return ``values`` as a read-only array; float64, shape (n,)."""
    array = np.fromiter(values, np.float64)
    array.flags.writeable = False
    return array


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

    Examples:
        >>> RateLimit("one way", SecurityModel.TRUSTED_ANALYSERS, rate=0.78).rate
        0.78
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

    Examples:
        >>> curve = RateCurve("finite", SecurityModel.TRUSTED_ANALYSERS, np.array([0.2, 0.5]))
        >>> limit = RateLimit("one way", SecurityModel.TRUSTED_ANALYSERS, rate=0.78)
        >>> found = RoundsRates(np.array([1e5, 1e7]), Link(2.74, 0.015), epsilon=1e-10,
        ...                     tolerated_error=0.02, curves=(curve,), limits=(limit,))
        >>> found.curves[0].rates.tolist(), found.limits[0].rate
        ([0.2, 0.5], 0.78)
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

    Returns:
        Secret bits per round of each theorem, arrays of shape (n,), and their limits.

    Raises:
        ValueError: ``rounds`` does not increase, or a number leaves its range.

    Not promised:
        The search is local: a point may be a few percent below the best, more at 10^12 rounds.

    Examples:
        >>> found = rates_by_rounds([10**6], link=Link(2.74, 0.015))
        >>> len(found.curves), 0 < float(found.curves[0].rates[0]) < found.limits[0].rate
        (6, True)
    """
    axis, curves = increasing("rounds", rounds, top=np.inf), []
    with progress_bar(len(FINITE_THEOREMS), unit="theorems") as drawn:
        for theorem in FINITE_THEOREMS:
            curves.append(_finite_curve(theorem, rounds, link, epsilon))
            drawn(1)
    return RoundsRates(
        axis,
        link,
        epsilon,
        min(0.5, _TOLERANCE * link.qber),
        tuple(curves),
        _limits(link),
    )


def planned_rates(
    rounds: Sequence[int], *, link: Link, settings: Settings, policy: Policy
) -> RoundsRates:
    """Return the rate of one policy at each number of rounds, each with its best plan.

    Args:
        rounds: Increasing whole numbers from 1.
        link: What the link delivers.
        settings: Angles and roles; their probabilities are replaced.
        policy: Theorem, epsilon, and what is declared beforehand.

    Returns:
        One curve; and one limit, the asymptotic rate with the same error correction.

    Raises:
        ValueError: As for `rates_by_rounds`, or the theorem does not cover the settings.

    Examples:
        >>> found = planned_rates([10**6], link=Link(2.74, 0.015), settings=ASYMMETRIC,
        ...                       policy=Policy())
        >>> 0 < float(found.curves[0].rates[0]) < found.limits[0].rate
        True
    """
    axis = increasing("rounds", rounds, top=np.inf)
    found = asymptotic_rate(
        policy.security,
        chsh_value=link.chsh_value,
        qber=link.qber,
        efficiency=link.efficiency,
        reconciler=Reconciler(policy.reconciler),
    )
    curve = _planned_curve(rounds, link, settings, policy)
    limit = RateLimit(f"{found.theorem.value}, asymptotic", policy.security, found.rate)
    tolerated = policy.tolerated_error or 0.0
    return RoundsRates(axis, link, policy.epsilon, tolerated, (curve,), (limit,))


def _finite_curve(theorem: Theorem, rounds: Sequence[int], link: Link, epsilon: float) -> RateCurve:
    declares = theorem.fixes_errors_beforehand
    policy = Policy(
        theorem.security,
        epsilon=epsilon,
        theorem=theorem,
        tolerated_error=min(0.5, _TOLERANCE * link.qber) if declares else None,
    )
    settings = BBM92 if theorem.entry.wants_two_key_bases else ASYMMETRIC
    return _planned_curve(rounds, link, settings, policy)


def _planned_curve(
    rounds: Sequence[int], link: Link, settings: Settings, policy: Policy
) -> RateCurve:
    def rate(count: int) -> float:
        """Return the best rate of a session of ``count`` rounds."""
        plan = best_plan(link, count, settings=settings, policy=policy, largest_block=count)
        return plan.secret_bits / count

    return RateCurve(policy.proof.value, policy.security, frozen(map(rate, rounds)))


def _limits(link: Link) -> tuple[RateLimit, ...]:
    """Return the asymptotic rates; the last one pays for both parties' messages.

    Sessions correct errors by two-way messages; only Alice's are charged if the analysers
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
            "Acín et al. 2007, charged for both",
            untrusted,
            acin_rate(seen, qber, efficiency=2 * efficiency),
        ),
    )
