"""What a link of fibres gives at other distances and with brighter sources: two figures' data.

Coincidences are rounds, so the rates are those of trusted analysers under fair sampling.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from msgspec.structs import replace

from e91.devices.link_devices import counted
from e91.model.numbers import Floats, check_positive
from e91.model.settings import ASYMMETRIC, BBM92, Settings
from e91.model.trust import SecurityModel
from e91.optics.coincidences import Coincidences
from e91.optics.link_files import LinkNumbers, SideNumbers, arms_of, source_of
from e91.plots.rate_curves import frozen, increasing
from e91.security.policy import Policy
from e91.session.expectation import Link
from e91.session.planning import asymptotic_rate, best_plan
from e91.session.verdict import least_epsilon

ATTENUATION_DB_PER_KM = 0.2
"""Of a fibre that a link does not have yet: the best telecom fibre's at 1550 nm, nearly."""

_FARTHEST_KM = 1000.0
_EFFICIENCY = 1.1  # of error correction in a session, as `Link` has it


@dataclass(frozen=True, eq=False)
class DistanceRates:
    """What a link gives at each distance.

    Attributes:
        distance_km: Fibre between the parties; float64, shape (n,).
        loss_db: Both arms' losses, without the detectors', shape (n,).
        coincidences_per_second: Accidental ones included, shape (n,).
        asymptotic: Secret bits per second in the limit of long keys, shape (n,).
        finite: Secret bits per second of sessions of ``session_s`` with the best choices.
        session_s: Length of a session, seconds.
        policy: Of the sessions.
        efficiencies: Of error correction, over the Shannon limit: of ``asymptotic`` and ``finite``.

    Examples:
        >>> from e91.optics.link_files import Detection, SideNumbers, SourceNumbers
        >>> side = SideNumbers(detector_efficiency=0.8, dark_counts_per_second=100)
        >>> link = LinkNumbers(source=SourceNumbers(pairs_per_second=1e6), alice=side, bob=side,
        ...                    detection=Detection(coincidence_window_s=1e-9))
        >>> found = rates_by_distance(link, [0, 50])
        >>> found.distance_km.tolist(), found.session_s, found.efficiencies
        ([0.0, 50.0], 3600.0, (1.0, 1.1))
    """

    distance_km: Floats
    loss_db: Floats
    coincidences_per_second: Floats
    asymptotic: Floats
    finite: Floats
    session_s: float
    policy: Policy
    efficiencies: tuple[float, float]


@dataclass(frozen=True, eq=False)
class BrightnessStatistics:
    """What a link shows with a source of each brightness.

    Attributes:
        pairs_per_second: Of the source, before all losses; float64, shape (n,).
        qber: Error rate along the key's axis, shape (n,).
        chsh_values: S, shape (n,).
        asymptotic: Secret bits per second in the limit of long keys, shape (n,).
        here: Pairs per second of the link as it is.

    Examples:
        >>> numbers = np.array([1e5, 1e6])
        >>> found = BrightnessStatistics(numbers, qber=np.array([0.01, 0.02]),
        ...     chsh_values=np.array([2.77, 2.72]), asymptotic=np.array([2e4, 1.7e5]), here=5e5)
        >>> float(found.pairs_per_second[found.asymptotic.argmax()]), found.here
        (1000000.0, 500000.0)
    """

    pairs_per_second: Floats
    qber: Floats
    chsh_values: Floats
    asymptotic: Floats
    here: float


def rates_by_distance(
    link: LinkNumbers,
    distance_km: Sequence[float] | Floats | None = None,
    *,
    session_s: float = 3600.0,
    policy: Policy | None = None,
    settings: Settings | None = None,
    efficiency: float | None = None,
) -> DistanceRates:
    """Return the key rate of a link at each length of its fibres.

    The source stays at the same share of the way, half of it if there is no fibre; sides without
    one get one of 0.2 dB/km.  All else stays: brightness, window, detectors.

    Args:
        link: Its numbers.
        distance_km: Increasing; by default 19 up to where the asymptotic rate ends, at most
            1,000 km.
        session_s: Seconds of a session; fewer coincidences in it make fewer rounds.
        policy: Of the sessions, with trusted analysers; the defaults of `Policy`.
        settings: Angles of the sessions; asymmetric, or BBM92's where a theorem wants two bases.
        efficiency: Of error correction; by default 1 in the asymptotic rate and 1.1 in sessions.

    Returns:
        Distances in km and secret bits per second at each, arrays of shape (n,).

    Raises:
        ValueError: A number leaves its range or is missing, or the policy trusts nobody, to whom
            coincidences alone prove nothing.

    Examples:
        >>> from e91.optics.link_files import Detection, SourceNumbers
        >>> side = SideNumbers(detector_efficiency=0.8, dark_counts_per_second=100)
        >>> link = LinkNumbers(source=SourceNumbers(pairs_per_second=1e6), alice=side, bob=side,
        ...                    detection=Detection(coincidence_window_s=1e-9))
        >>> found = rates_by_distance(link, [0, 50, 100])
        >>> found.loss_db.tolist(), bool((found.finite < found.asymptotic).all())
        ([0.0, 10.0, 20.0], True)
    """
    policy = policy or Policy()
    if policy.security is not SecurityModel.TRUSTED_ANALYSERS:
        raise ValueError(
            "`policy` must be of trusted-analysers, as coincidences prove nothing without trust, "
            f"but is of {policy.security.value}."
        )
    check_positive(session_s=session_s)
    if settings is None:
        settings = BBM92 if policy.proof.entry.wants_two_key_bases else ASYMMETRIC
    chosen = _up_to_the_end(link, efficiency or 1.0) if distance_km is None else distance_km
    axis = increasing("distance_km", chosen, top=math.inf)
    links = [_at_distance(link, float(far)) for far in axis]
    seen = [counted(one) for one in links]
    of_sessions = efficiency or _EFFICIENCY
    return DistanceRates(
        axis,
        frozen(sum(arm.loss_db for arm in arms_of(one)) for one in links),
        frozen(one.per_second for one in seen),
        frozen(_asymptotic(one, efficiency or 1.0) for one in seen),
        frozen(
            _finite(one, session_s, policy=policy, settings=settings, efficiency=of_sessions)
            for one in seen
        ),
        session_s,
        policy,
        (efficiency or 1.0, of_sessions),
    )


def statistics_by_brightness(
    link: LinkNumbers, pairs_per_second: Sequence[float] | Floats | None = None
) -> BrightnessStatistics:
    """Return what a link shows if its source gives more pairs, or fewer.

    More pairs are more key until accidental coincidences, which grow with their square, spoil it.

    Args:
        link: Its numbers.
        pairs_per_second: Increasing; by default 81 from a hundredth of the link's to a decade
            in which no key is left.

    Returns:
        QBER, S and secret bits per second at each brightness, arrays of shape (n,).

    Raises:
        ValueError: A number leaves its range or is missing.

    Examples:
        >>> from e91.optics.link_files import Detection, SourceNumbers
        >>> side = SideNumbers(detector_efficiency=0.5)
        >>> link = LinkNumbers(source=SourceNumbers(pairs_per_second=1e6), alice=side, bob=side,
        ...                    detection=Detection(coincidence_window_s=1e-9))
        >>> found = statistics_by_brightness(link, [1e5, 1e7])
        >>> found.qber.round(5).tolist()    # 1e7 pairs/s in 1 ns: one in a hundred accidental
        [5e-05, 0.00495]
    """
    here = source_of(link).pairs_per_second
    if pairs_per_second is None:
        pairs_per_second = here * np.logspace(-2, _decades_with_key(link, here), 81)
    axis = increasing("pairs_per_second", pairs_per_second, top=math.inf)
    seen = [_with_brightness(link, pairs) for pairs in axis.tolist()]
    return BrightnessStatistics(
        axis,
        frozen(one.error_rate for one in seen),
        frozen(one.chsh_value for one in seen),
        frozen(_asymptotic(one, 1.0) for one in seen),
        here,
    )


def _decades_with_key(link: LinkNumbers, pairs_per_second: float) -> int:
    """Return the first power of ten times a brightness, from 1 to 6, at which no key is left."""
    return next(
        (
            power
            for power in range(1, 6)
            if not _asymptotic(_with_brightness(link, 10.0**power * pairs_per_second), 1.0)
        ),
        6,
    )


def _with_brightness(link: LinkNumbers, pairs_per_second: float) -> Coincidences:
    source = replace(link.source, pairs_per_second=pairs_per_second)
    return counted(replace(link, source=source))


def distance_of(link: LinkNumbers) -> float:
    """Return the fibre between the parties, kilometres; 0 without.

    Args:
        link: Numbers of both sides.

    Returns:
        Kilometres, of both sides together.

    Examples:
        >>> from e91.optics.link_files import SideNumbers
        >>> distance_of(LinkNumbers(alice=SideNumbers(fibre_length_km=20.0)))
        20.0
    """
    return (link.alice.fibre_length_km or 0.0) + (link.bob.fibre_length_km or 0.0)


def _at_distance(link: LinkNumbers, distance_km: float) -> LinkNumbers:
    whole = distance_of(link)
    share = (link.alice.fibre_length_km or 0.0) / whole if whole else 0.5
    alice = _with_fibre(link.alice, share * distance_km)
    return replace(link, alice=alice, bob=_with_fibre(link.bob, (1 - share) * distance_km))


def _with_fibre(side: SideNumbers, length_km: float) -> SideNumbers:
    attenuation = side.fibre_attenuation_db_per_km
    if attenuation is None:
        attenuation = ATTENUATION_DB_PER_KM
    return replace(side, fibre_length_km=length_km, fibre_attenuation_db_per_km=attenuation)


def _asymptotic(seen: Coincidences, efficiency: float) -> float:
    """Return secret bits per second, nearly all coincidences being key."""
    found = asymptotic_rate(
        SecurityModel.TRUSTED_ANALYSERS,
        chsh_value=max(0.0, seen.chsh_value),
        qber=seen.error_rate,
        efficiency=efficiency,
    )
    # Without a violation of CHSH a session here releases no key, whatever the formula says.
    return seen.per_second * max(0.0, found.rate) if seen.chsh_value > 2 else 0.0


def _finite(
    seen: Coincidences,
    session_s: float,
    *,
    policy: Policy,
    settings: Settings,
    efficiency: float,
) -> float:
    rounds = int(seen.per_second * session_s)
    hopeless = rounds < 1 or policy.epsilon < least_epsilon(rounds, portions=policy.portions)
    if hopeless or not _asymptotic(seen, efficiency):
        return 0.0
    link = Link(seen.chsh_value, seen.error_rate, efficiency)
    return best_plan(link, rounds, settings=settings, policy=policy).secret_bits / session_s


def _up_to_the_end(link: LinkNumbers, efficiency: float) -> Floats:
    """Return distances from 0 to just beyond the last that has a key."""

    def has_key(distance_km: float) -> bool:
        return _asymptotic(counted(_at_distance(link, distance_km)), efficiency) > 0

    near, far = 0.0, _FARTHEST_KM
    while far - near > 0.01 * far and not has_key(far):
        middle = (near + far) / 2
        near, far = (middle, far) if has_key(middle) else (near, middle)
    return np.linspace(0, max(far, distance_of(link), 1.0), 19)
