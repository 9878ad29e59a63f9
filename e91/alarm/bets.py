"""The bets of the alarm: which payoffs it plays, and how its stake is spread over them.

One payoff is an *e-variable*: a non-negative function of a round's outcome whose expectation is
at most 1 for every link with S >= S0 and QBER <= Q0, at whatever correlators, mixed or changing.
Among all of them the one whose logarithm grows fastest if the link has turned into a given
alternative is the ratio of the alternative to its projection onto the null (Gruenwald, de Heide and
Koolen, J. R. Stat. Soc. B 86, 1091 (2024), theorem 1; the tests confirm it by maximising directly).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq

from e91.alarm.link import LinkBehaviour, intercepted, with_higher_qber, with_lower_chsh
from e91.model.numbers import Floats, check_between_zero_and_one, check_whole

STRENGTHS = tuple(2.0 ** (-step / 2) for step in range(15, -1, -1))
"""Alternatives: 0.55 % to 100 % of the photons intercepted, in steps of sqrt 2.

A bet on a strength that is wrong by the factor 2**(1/4) grows 3 % slower than the right one.
"""

_CLIMBS = (3e-5, 3e-6, 3e-7, 3e-8)  # steps of growing noise per tallied round
_FULL = 0.2  # of a sudden family's stake is on the strongest alternative, which has one neighbour
_FAVOUR = 0.25  # the rest in proportion to this power of the strength
_AT_ONCE = 0.7  # of the stake is bet before the first round, the rest on later changes
_BY_PLAN = 0.8  # of the rest is bet evenly over the planned life, if one is declared
_DECAY = 0.2  # the stake that is left after e periods falls as e ** -0.2


class Cause(Enum):
    """What the alarm says it saw; the value is the sentence that a user reads.

    Examples:
        >>> Cause.NOISE_GROWING.value.split(",")[0]
        'S fell and the QBER rose together and little by little'
    """

    EAVESDROPPER = (
        "S fell and the QBER rose together and at once, as when Eve intercepts and resends; white "
        "noise that jumps looks the same, and is to be treated as Eve."
    )
    NOISE_GROWING = (
        "S fell and the QBER rose together and little by little, as when noise grows or an "
        "alignment drifts; an Eve who grows bolder looks the same."
    )
    CHANGE = (
        "S and the QBER did not move together: a device or a basis changed, or Eve measures along "
        "a direction in which the sample shows her too little or too much."
    )


@dataclass(frozen=True)
class _Family:
    """Alternatives of all strengths in one direction.

    Attributes:
        cause: What it means if they win.
        turn: Makes the alternative of a given strength from the declared link.
        climb: Steps to the next strength per round; 0 for a change that happens at once.
        share: Share of the stake.
    """

    cause: Cause
    turn: Callable[[LinkBehaviour, float], LinkBehaviour]
    climb: float
    share: float


_FAMILIES = (
    _Family(Cause.EAVESDROPPER, intercepted, 0.0, 0.7),
    _Family(Cause.CHANGE, with_lower_chsh, 0.0, 0.075),
    _Family(Cause.CHANGE, with_higher_qber, 0.0, 0.075),
    *(_Family(Cause.NOISE_GROWING, intercepted, climb, 0.15 / len(_CLIMBS)) for climb in _CLIMBS),
)


@dataclass(frozen=True, eq=False, repr=False)
class Bets:
    """All bets of an alarm, fixed before the first round.

    Axes: f is the family (a cause and a direction), s the strength.

    Attributes:
        declared: The link as promised: the null is S >= its S and QBER <= its QBER.
        false_alarm: Probability of ever ringing under the null.
        period: Tallied rounds between two moments at which new stakes are placed.
        causes: One per family.
        log_payoffs: Logarithm of each payoff; float64, shape (10, f s), see `alarm_link`.
        log_shares: Logarithm of the share of new stakes; float64, shape (f, s), -inf for none.
        climbs: Steps to the next strength per period; float64, shape (f,).
        chsh: S of each alternative; float64, shape (f, s).
        qber: QBER of each alternative; float64, shape (f, s).
        planned: Periods of the planned life; 0 for none.
    """

    declared: LinkBehaviour
    false_alarm: float
    period: int
    causes: tuple[Cause, ...]
    log_payoffs: Floats
    log_shares: Floats
    climbs: Floats
    chsh: Floats
    qber: Floats
    planned: int = 0

    def __repr__(self) -> str:
        return f"Bets({self.log_shares.size} alternatives, false alarm {self.false_alarm:g})"

    @property
    def threshold(self) -> float:
        """Logarithm of the wealth at which the alarm rings, ``log(1 / false_alarm)``."""
        return -math.log(self.false_alarm)


def place_bets(
    declared: LinkBehaviour, *, false_alarm: float = 1e-3, period: int = 32, planned_rounds: int = 0
) -> Bets:
    """Return the bets of an alarm against a declared link.

    Args:
        declared: The link as promised.  Promise a little less than it does: the alarm takes
            every lasting excess for an attack, sooner or later.
        false_alarm: Probability alpha of ever ringing while the promise is kept, in (0, 1).
        period: Tallied rounds between two placements of new stakes, at least 1.  Blocks that end
            within one period may be merged without changing anything.
        planned_rounds: Tallied rounds that the link is planned to live, 0 if that is open.  With a
            plan the later bets are spread evenly over it, and a change late in the plan rings
            sooner.  It may live longer: a fifth of them is held back for that.

    Raises:
        ValueError: ``false_alarm``, ``period`` or ``planned_rounds`` leaves its range, or the
            declared S or QBER leaves no room for worse.

    Examples:
        >>> place_bets(LinkBehaviour((0.7,) * 4, 0.01, (0.2,) * 4))
        Bets(112 alternatives, false alarm 0.001)
    """
    check_between_zero_and_one(false_alarm=false_alarm)
    check_whole(least=1, period=period)
    check_whole(planned_rounds=planned_rounds)
    if not (declared.chsh > 0 and declared.qber < 0.5):
        raise ValueError("`declared` must have S > 0 and a QBER below 1/2, but has not.")
    links, log_payoffs = _alternatives(declared)
    return Bets(
        declared=declared,
        false_alarm=false_alarm,
        period=period,
        causes=tuple(family.cause for family in _FAMILIES),
        log_payoffs=log_payoffs,
        log_shares=frozen(np.array([_log_shares(family) for family in _FAMILIES])),
        climbs=frozen(np.array([family.climb * period for family in _FAMILIES])),
        chsh=frozen(np.array([[link.chsh for link in row] for row in links])),
        qber=frozen(np.array([[link.qber for link in row] for row in links])),
        planned=-(-planned_rounds // period),
    )


@lru_cache(maxsize=16)
def _alternatives(declared: LinkBehaviour) -> tuple[tuple[tuple[LinkBehaviour, ...], ...], Floats]:
    """Return what is bet on, family by family, and the payoffs; found once for many sessions."""
    links = tuple(
        tuple(family.turn(declared, strength) for strength in STRENGTHS) for family in _FAMILIES
    )
    payoffs = [growth_optimal_payoff(link, declared=declared) for row in links for link in row]
    return links, frozen(np.log(payoffs).T)


def _log_shares(family: _Family) -> Floats:
    """Spread a sudden family's share over the strengths; growing noise starts at the weakest."""
    shares = np.full(len(STRENGTHS), -np.inf)
    if family.climb > 0:
        shares[0] = math.log(family.share)
    else:
        weaker = np.array(STRENGTHS[:-1]) ** _FAVOUR
        shares[:-1] = np.log(family.share * (1 - _FULL) * weaker / weaker.sum())
        shares[-1] = math.log(family.share * _FULL)
    return shares


def frozen(values: Floats) -> Floats:
    """Return ``values`` as a read-only array."""
    values = np.ascontiguousarray(values)
    values.flags.writeable = False
    return values


def growth_optimal_payoff(alternative: LinkBehaviour, *, declared: LinkBehaviour) -> Floats:
    """Return the payoffs of the ten outcomes that grow fastest if ``alternative`` is true.

    The null is every link with these shares, S >= S0 and QBER <= Q0.  Of its members, the one
    with the smallest relative entropy from the alternative (correlators E) has the correlators F
    with ``(F_k - E_k) / (1 - F_k^2) = m / p_k`` for one multiplier m >= 0, chosen so that they sum
    to S0.  The payoff is the ratio of the probabilities: ``(1 + E_k) / (1 + F_k)`` for a win,
    ``(1 - E_k) / (1 - F_k)`` for a loss; its expectation over any link with correlators G is
    ``1 + m (S0 - sum G)``.  Where the alternative is no worse than the null the payoff is 1.

    Args:
        alternative: What is bet on; has the shares of ``declared``.
        declared: S0, Q0 and the shares.

    Returns:
        Positive payoffs in the order of `alarm_link`; float64, shape (10,).

    Raises:
        ValueError: The shares differ.

    Examples:
        >>> link = LinkBehaviour((0.7,) * 4, 0.01, (0.2,) * 4)
        >>> growth_optimal_payoff(intercepted(link, 1.0), declared=link)[[0, 4, 8, 9]].round(3)
        array([ 0.794,  2.167,  0.753, 25.5  ])
    """
    if alternative.test_shares != declared.test_shares:
        raise ValueError("`alternative` must have the shares of `declared`, but has others.")
    actual = np.array(alternative.correlators)
    nearest = _projection(actual, shares=np.array(declared.test_shares), chsh=declared.chsh)
    actual_qber, qber = alternative.qber, min(alternative.qber, declared.qber)
    key = [(1 - actual_qber) / (1 - qber), actual_qber / qber]
    return np.concatenate([(1 + actual) / (1 + nearest), (1 - actual) / (1 - nearest), key])


def _projection(actual: Floats, *, shares: Floats, chsh: float) -> Floats:
    """Return the correlators nearest to ``actual`` that sum to ``chsh`` or more."""
    if actual.sum() >= chsh:
        return actual

    def nearest(multiplier: float) -> Floats:
        """Return the positive solution for a Lagrange multiplier."""
        pull = multiplier / shares
        moved: Floats = 2 * (actual + pull) / (1 + np.sqrt(1 + 4 * pull * (actual + pull)))
        return moved

    highest = 1.0
    while nearest(highest).sum() < chsh:
        highest *= 2
    found = brentq(lambda m: float(nearest(m).sum()) - chsh, 0, highest, xtol=1e-15, rtol=1e-14)
    return nearest(found)


def stake_left(periods: int, *, planned: int = 0) -> float:
    """Return the share of the stake that is not bet before this many periods have passed.

    Most is bet before the first round.  What is left falls as a power, so slowly that a change
    after ten million periods still finds 1 % of it.  A change after t periods costs
    ``log(17 t**1.2)`` nats of evidence, less what starts near it contribute.  Of a planned life
    four fifths of it fall evenly, and a change within T planned periods costs ``log(4.2 T)``.

    Args:
        periods: How many have passed.
        planned: Periods of the planned life; 0 for none.

    Examples:
        >>> round(stake_left(0), 3), round(stake_left(31), 3), round(stake_left(10**7), 3)
        (0.3, 0.15, 0.012)
        >>> round(stake_left(0, planned=100), 3), round(stake_left(50, planned=100), 3)
        (0.3, 0.147)
    """
    power = math.pow(1.0 + periods, -_DECAY)
    if not planned:
        return (1 - _AT_ONCE) * power
    even = max(0.0, 1 - periods / planned)
    return (1 - _AT_ONCE) * ((1 - _BY_PLAN) * power + _BY_PLAN * even)


def newly_placed(first: int, last: int, *, planned: int = 0) -> float:
    """Return what `stake_left` loses from one period to another, without cancellation.

    Examples:
        >>> round(newly_placed(0, 31), 3)
        0.15
    """
    ratio = math.log1p((last - first) / (1.0 + first))
    power = -math.pow(1.0 + first, -_DECAY) * math.expm1(-_DECAY * ratio)
    if not planned:
        return (1 - _AT_ONCE) * power
    even = (min(last, planned) - min(first, planned)) / planned
    return (1 - _AT_ONCE) * ((1 - _BY_PLAN) * power + _BY_PLAN * even)
