"""Key over the passes of a satellite: by entanglement between two stations, or by a trusted relay.

Passes come from the satellite's elements, coincidences from the optics, clouds from a seed.  Counts
are means: nothing is drawn but the weather.
"""

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from zlib import crc32

import numpy as np
from scipy.interpolate import CubicSpline

from e91.model.numbers import check_fractions, check_positive
from e91.network.layout import Light, LinkPlan, NetworkPlan, RateMode, Satellite
from e91.optics.detectors import Receiver
from e91.optics.links import Downlink
from e91.optics.satellites import Aboard, Pass, Station, coincidences_along
from e91.optics.two_line_orbits import passes_over
from e91.security.device_dependent import exact_sampling_length, planned_key
from e91.security.theorems import Theorem
from e91.system.documents import did_you_mean

LOWEST_DEG = 10.0
"""Height above the horizon from which on a telescope follows, where a plan says nothing else."""

EFFICIENCY = 1.19
"""Error correction discloses this many times Shannon's limit: Yin et al. 2020, p. 504."""

MOST_DAYS = 366
"""How long passes are looked for at most: elements of a night say nothing of other years."""

THEOREM = Theorem.EXACT_SAMPLING
"""By which a block's key is as long as it is."""

_BASIS_SHARE = 0.25  # both parties choose among two bases evenly: a quarter of the pairs in each
_SLICE_S = 30  # between two places of a pass at which the light is worked out
_NO_RATE = 1e-300  # whose logarithm exists


@dataclass(frozen=True, eq=False)
class NightPass:
    """A pass by night, and what is counted in it where the sky is clear.

    Attributes:
        begin: When it begins; UTC.
        evening: The day on whose evening the night began at the first station.
        seen: Where the satellite stands, once a second.
        is_clear: Whether the sky is clear at all stations.
        coincidences: How many there are; 0 under clouds.
        error_rate: Fraction of them that is wrong.

    Examples:
        >>> from e91.network.plan_files import load
        >>> first = entangled_key(load("micius"), ("Delingha", "Nanshan"), days=2).passes[0]
        >>> first.evening.isoformat(), first.is_clear, first.highest_deg > 10
        ('2016-12-19', True, True)
    """

    begin: datetime
    evening: date
    seen: Pass
    is_clear: bool
    coincidences: float
    error_rate: float

    @property
    def highest_deg(self) -> float:
        """Greatest height above the horizon; of the lower one's, with two stations."""
        return math.degrees(self.seen.elevation_rad.min(axis=0).max())

    @property
    def nearest_km(self) -> float:
        """Shortest distance; of both distances' sum, with two stations."""
        return float(self.seen.range_km.sum(axis=0).min())


@dataclass(frozen=True, eq=False)
class KeyOverPasses:
    """Key that grows from pass to pass.

    Attributes:
        stations: The station whose relay the satellite is, or the two that share pairs.
        lowest_deg: From which height above the horizon on.
        passes: In the order of time.
        key_bits: Key in hand after each of them, as by a theorem from the mean counts.
        epsilon: Failure probability of a block's key.

    Examples:
        >>> from e91.network.plan_files import load
        >>> found = entangled_key(load("micius"), ("Delingha", "Nanshan"), days=2)
        >>> found.stations, len(found.passes) == len(found.key_bits), round(found.duration_s) > 0
        (('Delingha', 'Nanshan'), True, True)
    """

    stations: tuple[str, ...]
    lowest_deg: float
    passes: tuple[NightPass, ...]
    key_bits: tuple[int, ...]
    epsilon: float

    @property
    def duration_s(self) -> float:
        """Seconds of all passes, cloudy ones included."""
        return sum(one.seen.duration_s for one in self.passes)

    @property
    def clear(self) -> tuple[NightPass, ...]:
        """The passes under a clear sky."""
        return tuple(one for one in self.passes if one.is_clear)

    @property
    def coincidences(self) -> float:
        """All of them."""
        return math.fsum(one.coincidences for one in self.passes)

    @property
    def error_rate(self) -> float:
        """Fraction of all coincidences that is wrong; 1/2 without any."""
        wrong = math.fsum(one.coincidences * one.error_rate for one in self.passes)
        return wrong / self.coincidences if self.coincidences else 0.5

    @property
    def first(self) -> NightPass | None:
        """The pass after which there is key for the first time; None if there is none."""
        pairs = zip(self.passes, self.key_bits, strict=True)
        return next((one for one, bits in pairs if bits > 0), None)

    @property
    def secret_bits(self) -> int:
        """Key in hand after the last pass."""
        return self.key_bits[-1] if self.key_bits else 0

    @property
    def coincidences_for_key(self) -> int | None:
        """How many coincidences of that error rate a block needs for key; None if none suffice."""
        enough = next((2**k for k in range(8, 40) if self._has_key(2**k)), None)
        if enough is None:
            return None
        sizes = range(enough // 2, enough + 1)
        return sizes[bisect_left(sizes, True, key=self._has_key)]

    def _has_key(self, coincidences: int) -> bool:
        wrong = coincidences * self.error_rate
        return _block_bits(coincidences, wrong, self.epsilon) > 0


def entangled_key(
    plan: NetworkPlan,
    stations: tuple[str, str],
    *,
    days: float = 30.0,
    clear: float | None = None,
    seed: int = 0,
    lowest_deg: float | None = None,
) -> KeyOverPasses:
    """Return the key of two stations that each receive one photon of every pair.

    The satellite need not be trusted.  All clear passes up to one are a single block, planned to
    end there, so that the keys after several passes replace one another.

    Args:
        plan: A network with a satellite.
        stations: Two of its stations.
        days: From the satellite's start on.
        clear: Chance that a night is clear at a station, each station and night for itself; the
            plan's by default.
        seed: Of the weather alone.
        lowest_deg: From which height above the horizon of both on; the plan's by default.  Higher
            means fewer coincidences and fewer errors.

    Returns:
        The key in bits after each pass, which is 0 until a block is long enough for one.

    Raises:
        ValueError: There is no satellite or station of that name, or a number leaves its range.

    Examples:
        >>> from e91.network.plan_files import load
        >>> found = entangled_key(load("micius"), ("Delingha", "Nanshan"), days=2)
        >>> [round(one.coincidences) for one in found.passes], found.secret_bits
        ([420, 460], 0)
    """
    light, satellite = _light(plan, stations), plan.satellite
    assert satellite is not None  # or it had no light
    ends = stations_of(satellite, stations)
    if len(set(stations)) != 2:
        raise ValueError(f"`stations` must be two, but are {', '.join(stations)}.")
    beams = (_beam(satellite, light, stations[0]), _beam(satellite, light, stations[1]))
    lowest = lowest_for(plan, satellite, stations) if lowest_deg is None else lowest_deg
    passes = _passes(
        satellite, ends, lowest, days, clear, seed, count=lambda seen: _count(seen, light, beams)
    )
    keys, counts, wrong = [], 0.0, 0.0
    for one in passes:
        counts += one.coincidences
        wrong += one.coincidences * one.error_rate
        keys.append(_block_bits(counts, wrong, light.epsilon))
    return KeyOverPasses(stations, lowest, passes, tuple(keys), light.epsilon)


def relayed_key(
    plan: NetworkPlan,
    station: str,
    *,
    days: float = 30.0,
    clear: float | None = None,
    seed: int = 0,
) -> KeyOverPasses:
    """Return the key of a station with a satellite that detects one photon of every pair itself.

    The satellite knows this key and must be trusted.  Every clear pass is a block of its own, so
    that keys add up, and so do their failure probabilities.

    Passes count from 10 degrees above the horizon on.

    Args:
        plan: A network with a satellite.
        station: One of its stations.
        days: From the satellite's start on.
        clear: Chance that a night is clear at the station; the plan's by default.
        seed: Of the weather alone.

    Returns:
        The key after each pass, bits.

    Raises:
        ValueError: As for `entangled_key`.

    Examples:
        >>> from e91.network.plan_files import load
        >>> found = relayed_key(load("micius"), "Nanshan", days=2)
        >>> len(found.passes), found.secret_bits > 10_000
        (3, True)
    """
    light, satellite = _light(plan, (station,)), plan.satellite
    assert satellite is not None  # or it had no light
    ends = stations_of(satellite, (station,))
    beams = Aboard(satellite.aboard_loss_db), _beam(satellite, light, station)
    passes = _passes(
        satellite, ends, LOWEST_DEG, days, clear, seed,
        count=lambda seen: _count(seen, light, beams),
    )  # fmt: skip
    blocks = [
        _block_bits(one.coincidences, one.coincidences * one.error_rate, light.epsilon)
        for one in passes
    ]
    keys = tuple(int(bits) for bits in np.cumsum(blocks))
    return KeyOverPasses((station,), LOWEST_DEG, passes, keys, light.epsilon)


def relayed_between(first: KeyOverPasses, second: KeyOverPasses) -> tuple[date | None, int]:
    """Return what a trusted satellite joins of its keys with two stations.

    It announces the sum of both keys, so the shorter one is what the stations share.

    Returns:
        The evening of the night by which both have a key, or None, and the bits after all passes.
    """
    ready = [found.first.evening if found.first else None for found in (first, second)]
    evenings = [evening for evening in ready if evening is not None]
    both = max(evenings) if len(evenings) == 2 else None
    return both, min(first.secret_bits, second.secret_bits)


def satellite_links(plan: NetworkPlan) -> tuple[LinkPlan, ...]:
    """Return the links by satellite of a plan, one at least.

    Raises:
        ValueError: It has none, or their light is not simulated.
    """
    links = tuple(link for link in plan.links if link.medium == "satellite")
    if plan.satellite is None or not links or plan.rate is not RateMode.SIMULATED:
        raise ValueError(
            f"The network must have a satellite and simulated links by it, but `{plan.name}` has "
            "none."
        )
    return links


def _light(plan: NetworkPlan, stations: tuple[str, ...]) -> Light:
    """Return the light of the satellite link of some stations; of its first link, if there is none.

    The source is the satellite's, the same for all; what differs is how well polarisation is kept.
    """
    links = satellite_links(plan)
    own = [link for link in links if set(stations) <= set(link.ends)]
    return plan.light[(own or links)[0].light]


def stations_of(satellite: Satellite, names: tuple[str, ...]) -> tuple[Station, ...]:
    """Return stations by their names."""
    by_name = {station.name: station for station in satellite.stations}
    for name in names:
        if name not in by_name:
            near = did_you_mean(name, list(by_name))
            raise ValueError(
                f"`stations` must be of {', '.join(by_name)}, but {name!r} is none{near}"
            )
    return tuple(by_name[name] for name in names)


def lowest_for(plan: NetworkPlan, satellite: Satellite, stations: tuple[str, str]) -> float:
    """Return the height above the horizon, in degrees, from which on two stations share pairs."""
    for link in plan.links:
        if link.name in satellite.lowest_elevation_deg and set(link.ends) == set(stations):
            return satellite.lowest_elevation_deg[link.name]
    return LOWEST_DEG


def _beam(satellite: Satellite, light: Light, station: str) -> Downlink:
    beam = satellite.downlink[station]
    return replace(beam, optics_loss_db=beam.optics_loss_db + light.coupling_db)


def _passes(
    satellite: Satellite,
    stations: tuple[Station, ...],
    lowest_deg: float,
    days: float,
    clear: float | None,
    seed: int,
    *,
    count: Callable[[Pass], tuple[float, float]],
) -> tuple[NightPass, ...]:
    check_positive(days=days)
    if days > MOST_DAYS:
        raise ValueError(f"`days` must be at most {MOST_DAYS}, but is {days:g}.")
    clear = satellite.clear_fraction if clear is None else clear
    check_fractions(clear=clear)
    found = passes_over(
        satellite.orbit,
        stations,
        duration_s=days * 86_400,
        lowest_elevation_deg=lowest_deg,
        sun_below_deg=satellite.sun_below_deg,
    )
    passes = []
    for seen in found:
        begin = satellite.orbit.start + timedelta(seconds=float(seen.time_s[0]))
        sky = is_clear(satellite, stations, begin, clear=clear, seed=seed)
        counted = count(seen) if sky else (0.0, 0.0)
        passes.append(NightPass(begin, _evening(begin, stations[0]), seen, sky, *counted))
    return tuple(passes)


def is_clear(
    satellite: Satellite,
    stations: tuple[Station, ...],
    moment: datetime,
    *,
    clear: float,
    seed: int,
) -> bool:
    """Return whether the sky of a night is clear at all of some stations.

    Every station's night is drawn by itself, so that it is the same whoever else looks.

    Args:
        satellite: Its start is the first night's.
        stations: Where.
        moment: In the night; UTC.
        clear: Chance of a clear night.
        seed: Root of the weather.
    """
    first = satellite.orbit.start.date()
    for station in stations:
        night = (_evening(moment, station) - first).days + 1
        key = (crc32(station.name.encode()), night)
        if np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key)).random() >= clear:
            return False
    return True


def _evening(moment: datetime, station: Station) -> date:
    """Return the day whose noon, by the Sun, was the last one."""
    return (moment + timedelta(hours=station.longitude_deg / 15 - 12)).date()


def _count(
    seen: Pass, light: Light, links: tuple[Downlink | Aboard, Downlink | Aboard]
) -> tuple[float, float]:
    """Return the coincidences of a pass, and the fraction of them that is wrong.

    The light is worked out every 30 s or so; cubic splines between change a pass by less than a
    thousandth.
    """
    length = len(seen.time_s)
    places = np.unique(np.linspace(0, length - 1, length // _SLICE_S + 2).round().astype(int))
    rows = np.array([0, -1])  # one station is both rows: the satellite's own has no place
    few = Pass(
        seen.time_s[places],
        seen.step_s,
        seen.elevation_rad[rows][:, places],
        seen.range_km[rows][:, places],
    )
    alice, bob = (
        Receiver((detector, detector), optics_loss_db=light.receiver_db)
        for detector in light.detectors
    )
    slices = coincidences_along(
        few,
        light.source,
        links=links,
        receivers=(alice, bob),
        window_s=light.window_s,
        bit_error=(1 - light.visibility**2 * (1 - 2 * light.bit_error)) / 2,
    )

    rates = [max(part.per_second, _NO_RATE) for part in slices]
    every = np.exp(CubicSpline(few.time_s, np.log(rates))(seen.time_s))
    errors = CubicSpline(few.time_s, [part.error_rate for part in slices])(seen.time_s)
    counted = float(every.sum())
    return counted * seen.step_s, float(every @ errors) / counted


def _block_bits(coincidences: float, wrong: float, epsilon: float) -> int:
    """Return the key of a block: one basis, tested by the other, a quarter of the pairs each."""
    size = math.floor(_BASIS_SHARE * coincidences)
    if size == 0:
        return 0
    planned = planned_key(
        exact_sampling_length,
        size,
        size,
        error=wrong / coincidences,
        efficiency=EFFICIENCY,
        epsilon=epsilon,
    )
    return max(0, planned.length)
