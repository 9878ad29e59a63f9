"""Satellites: where one stands in the sky, and what it sends to two stations while it passes."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from e91.model.numbers import Floats, check_finite, check_positive, check_within
from e91.optics.arms import Arm
from e91.optics.coincidences import Coincidences, coincidences
from e91.optics.detectors import Receiver
from e91.optics.links import Downlink
from e91.optics.sources import Source

EQUATORIAL_RADIUS_KM = 6378.137
"""WGS84."""

FLATTENING = 1 / 298.257223563
"""WGS84."""

GRAVITATION_KM3_PER_S2 = 398600.4418
"""Of the Earth, WGS84."""

ROTATION_RAD_PER_S = 7.292115e-5
"""Of the Earth against the stars, WGS84."""


@dataclass(frozen=True)
class Station:
    """A telescope on the ground.

    Attributes:
        name: What it is called.
        latitude_deg: Geodetic, north positive.
        longitude_deg: East positive.
        altitude_m: Above the WGS84 ellipsoid.

    Raises:
        ValueError: An angle is outside its range, or the altitude not finite.

    Examples:
        >>> DELINGHA.latitude_deg
        37.379
    """

    name: str
    latitude_deg: float
    longitude_deg: float
    altitude_m: float = 0.0

    def __post_init__(self) -> None:
        check_within(-90, 90, latitude_deg=self.latitude_deg)
        check_within(-180, 180, longitude_deg=self.longitude_deg)
        check_finite(altitude_m=self.altitude_m)

    @property
    def up(self) -> Floats:
        """Unit vector away from the ellipsoid, in Earth-fixed coordinates; shape (3,)."""
        latitude, longitude = math.radians(self.latitude_deg), math.radians(self.longitude_deg)
        flat = math.cos(latitude)
        return np.array(
            [flat * math.cos(longitude), flat * math.sin(longitude), math.sin(latitude)]
        )

    @property
    def position_km(self) -> Floats:
        """Earth-fixed position; shape (3,)."""
        eccentricity2 = FLATTENING * (2 - FLATTENING)
        sine = math.sin(math.radians(self.latitude_deg))
        normal_km = EQUATORIAL_RADIUS_KM / math.sqrt(1 - eccentricity2 * sine**2)
        height_km = self.altitude_m / 1e3
        stretched = np.array([1, 1, 1 - eccentricity2]) * normal_km + height_km
        return self.up * stretched


DELINGHA = Station("Delingha", 37.3790, 97.7269, 3153.0)
"""Yin et al., Nature 582, 501 (2020)."""

NANSHAN = Station("Nanshan", 43.4755, 87.1767, 2028.0)
"""Yin et al., Nature 582, 501 (2020)."""


class Trajectory(Protocol):
    """Whatever says where a satellite is: circular here, real in `e91.optics.two_line_orbits`."""

    def position_km(self, time_s: ArrayLike) -> Floats:
        """Return Earth-fixed positions at the given times, shape (n, 3)."""


@dataclass(frozen=True)
class CircularOrbit:
    """A circular orbit about a round Earth that turns; no drag, no precession.

    Attributes:
        altitude_km: Above the equatorial radius.
        inclination_deg: 0 for an orbit along the equator eastwards, 97.4 for a sun-synchronous
            one 500 km high.
        node_longitude_deg: Earth-fixed longitude at which the orbit's plane crosses the equator
            northwards, at time 0.
        phase_deg: Angle from that crossing to the satellite along the orbit, at time 0.

    Raises:
        ValueError: The altitude is not positive, or an angle not finite or outside [0, 180] for
            the inclination.

    Examples:
        >>> round(CircularOrbit(500.0, 97.4).period_s)
        5677
    """

    altitude_km: float
    inclination_deg: float
    node_longitude_deg: float = 0.0
    phase_deg: float = 0.0

    def __post_init__(self) -> None:
        check_positive(altitude_km=self.altitude_km)
        check_within(0, 180, inclination_deg=self.inclination_deg)
        check_finite(node_longitude_deg=self.node_longitude_deg, phase_deg=self.phase_deg)

    @property
    def radius_km(self) -> float:
        """Distance from the centre of the Earth."""
        return EQUATORIAL_RADIUS_KM + self.altitude_km

    @property
    def period_s(self) -> float:
        """Time of a turn against the stars, by Kepler's third law."""
        return math.tau * math.sqrt(self.radius_km**3 / GRAVITATION_KM3_PER_S2)

    def position_km(self, time_s: ArrayLike) -> Floats:
        """Return Earth-fixed positions at the given times, shape (n, 3)."""
        time = np.atleast_1d(np.asarray(time_s, np.float64))
        along = math.radians(self.phase_deg) + math.tau * time / self.period_s
        node = math.radians(self.node_longitude_deg) - ROTATION_RAD_PER_S * time
        tilt = math.radians(self.inclination_deg)
        # In the plane, then tilted about the node's line, then turned with the node.
        forward, side = np.cos(along), np.sin(along) * math.cos(tilt)
        x = forward * np.cos(node) - side * np.sin(node)
        y = forward * np.sin(node) + side * np.cos(node)
        z = np.sin(along) * math.sin(tilt)
        return self.radius_km * np.column_stack([x, y, z])


def orbit_over(
    latitude_deg: float,
    longitude_deg: float,
    *,
    altitude_km: float = 500.0,
    inclination_deg: float = 97.4,
    northwards: bool = True,
) -> CircularOrbit:
    """Return the orbit that stands over a place at time 0.

    Args:
        latitude_deg: Geocentric, at most the inclination (or 180 less it).
        longitude_deg: East positive.
        altitude_km: Of the orbit.
        inclination_deg: Of the orbit.
        northwards: Whether it then goes north.

    Raises:
        ValueError: The orbit never reaches the latitude.

    Examples:
        >>> position = orbit_over(40.0, 90.0).position_km(0.0)[0]
        >>> np.degrees(np.arctan2(position[1], position[0])).round(9).tolist()
        90.0
    """
    tilt, latitude = math.radians(inclination_deg), math.radians(latitude_deg)
    if not abs(math.sin(latitude)) <= math.sin(tilt) + 1e-12:
        raise ValueError(
            f"`latitude_deg` must be within reach of the inclination {inclination_deg}, but is "
            f"{latitude_deg}."
        )
    ratio = math.sin(latitude) / math.sin(tilt) if math.sin(tilt) > 0 else 0.0
    along = math.asin(max(-1.0, min(1.0, ratio)))
    along = along if northwards else math.pi - along
    east = math.atan2(math.sin(along) * math.cos(tilt), math.cos(along))
    node = longitude_deg - math.degrees(east)
    return CircularOrbit(altitude_km, inclination_deg, node, math.degrees(along))


def elevation_and_range(
    orbit: Trajectory, station: Station, *, time_s: ArrayLike
) -> tuple[Floats, Floats]:
    """Return where the satellite stands for a station.

    Args:
        orbit: Of the satellite.
        station: On the ground.
        time_s: Times; shape (n,).

    Returns:
        Elevation above the horizon in radians (negative below; refraction, 0.1 degree at 10
        degrees, is left out) and distance in km; float64, shape (n,) each.

    Examples:
        >>> station = Station("equator", 0.0, 0.0)
        >>> elevation, distance = elevation_and_range(CircularOrbit(500, 0), station, time_s=[0.0])
        >>> np.degrees(elevation).tolist(), distance.round(6).tolist()
        ([90.0], [500.0])
    """
    sight = orbit.position_km(time_s) - station.position_km
    distance: Floats = np.sqrt((sight**2).sum(axis=1))
    sine = np.clip(sight @ station.up / distance, -1, 1)
    return np.arcsin(sine), distance


def views(
    orbit: Trajectory, stations: tuple[Station, ...], *, time_s: ArrayLike
) -> tuple[Floats, Floats]:
    """Return `elevation_and_range` for some stations; float64, shape (stations, n) each."""
    columns = [elevation_and_range(orbit, station, time_s=time_s) for station in stations]
    elevation, distance = (np.array(column) for column in zip(*columns, strict=True))
    return elevation, distance


@dataclass(frozen=True)
class Aboard:
    """A receiver that stays on the satellite, in the place of a `Downlink`: no air, no distance.

    Attributes:
        optics_loss_db: From the source to its entrance.
        background_photons_at_receiver_per_second: Stray light there.
    """

    optics_loss_db: float = 0.0
    background_photons_at_receiver_per_second: float = 0.0

    def loss_db(self, elevation_rad: ArrayLike, range_km: ArrayLike) -> Floats:
        """Return the same loss for every place of the satellite; the shape of both."""
        shape = np.broadcast(np.asarray(elevation_rad), np.asarray(range_km)).shape
        return np.full(shape, self.optics_loss_db)


@dataclass(frozen=True, eq=False)
class Pass:
    """The time in which all of some stations, most often two, see the satellite.

    Attributes:
        time_s: Middles of equal slices of time; float64, shape (n,), read-only.
        step_s: Length of a slice.
        elevation_rad: For each station, shape (stations, n).
        range_km: For each station, shape (stations, n).
    """

    time_s: Floats
    step_s: float
    elevation_rad: Floats
    range_km: Floats

    def __post_init__(self) -> None:
        for name in ("time_s", "elevation_rad", "range_km"):
            array = np.array(getattr(self, name), np.float64)
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    @property
    def duration_s(self) -> float:
        """How long all stations see it."""
        return len(self.time_s) * self.step_s

    def loss_db(self, links: tuple[Downlink | Aboard, ...]) -> Floats:
        """Return the loss towards each station against time, shape (stations, n)."""
        rows = zip(links, self.elevation_rad, self.range_km, strict=True)
        return np.array([link.loss_db(elevation, distance) for link, elevation, distance in rows])


def pass_over(
    orbit: Trajectory,
    stations: tuple[Station, Station],
    *,
    lowest_elevation_deg: float = 10.0,
    search_s: float = 900.0,
    step_s: float = 1.0,
) -> Pass:
    """Return the pass about time 0 in which two stations see a satellite at once.

    Args:
        orbit: Of the satellite; see `e91.optics.satellites.orbit_over`.
        stations: Alice's and Bob's.
        lowest_elevation_deg: Below it a telescope does not follow.
        search_s: How long before and after time 0 to look.
        step_s: Length of a slice of time.

    Returns:
        The slices in which both elevations suffice; none if there is no such time.

    Raises:
        ValueError: A time is not positive, or the elevation not in [0, 90].

    Examples:
        >>> from e91.optics.satellites import DELINGHA, NANSHAN, orbit_over
        >>> seen = pass_over(orbit_over(40.5, 92.6), (DELINGHA, NANSHAN))
        >>> seen.duration_s, seen.range_km.sum(axis=0).min().round().item()
        (311.0, 1543.0)
    """
    check_positive(search_s=search_s, step_s=step_s)
    check_within(0, 90, lowest_elevation_deg=lowest_elevation_deg)
    half = math.floor(search_s / step_s)
    time: Floats = np.arange(-half, half + 1, dtype=np.float64) * step_s
    elevation, distance = views(orbit, stations, time_s=time)
    seen = np.all(elevation >= math.radians(lowest_elevation_deg), axis=0)
    return Pass(time[seen], step_s, elevation[:, seen], distance[:, seen])


def coincidences_along(
    seen: Pass,
    source: Source,
    *,
    links: tuple[Downlink | Aboard, Downlink | Aboard],
    receivers: tuple[Receiver, Receiver],
    window_s: float | None = None,
    bit_error: float = 0.0,
    phase_error: float | None = None,
) -> tuple[Coincidences, ...]:
    """Return what the stations count in each slice of a pass.

    Args:
        seen: The pass.
        source: On the satellite.
        links: To Alice and to Bob; one of them may be aboard.
        receivers: What stands at the end of each link.
        window_s: As for `e91.optics.coincidences.coincidences`.
        bit_error: The same.
        phase_error: The same.

    Raises:
        ValueError: As for `e91.optics.coincidences.coincidences`.
    """
    counted = []
    for losses in seen.loss_db(links).T:
        alice, bob = (
            Arm(float(loss), receiver, link.background_photons_at_receiver_per_second)
            for loss, link, receiver in zip(losses, links, receivers, strict=True)
        )
        counted.append(
            coincidences(
                source, alice, bob, window_s=window_s, bit_error=bit_error, phase_error=phase_error
            )
        )
    return tuple(counted)


@dataclass(frozen=True)
class Harvest:
    """What a pass gives altogether.

    Attributes:
        duration_s: Its length.
        coincidences: Their number.
        error_rate: Fraction of them that are wrong: errors are counted, not averaged.
        phase_error_rate: The same along X.
        value: The objective, summed over the slices: for instance key bits.
    """

    duration_s: float
    coincidences: float
    error_rate: float
    phase_error_rate: float
    value: float


def harvest(
    slices: tuple[Coincidences, ...],
    *,
    step_s: float,
    objective: Callable[[Coincidences], float],
) -> Harvest:
    """Return what the slices of a pass give together.

    Args:
        slices: From `coincidences_along`.
        step_s: Length of each.
        objective: What is wanted, per second, of the coincidences of a second.

    Raises:
        ValueError: There are no slices, or their length is not positive.

    Examples:
        >>> good, bad = (Coincidences(10.0, 0.0, 0, 0, error, error) for error in (0.0, 0.2))
        >>> found = harvest((good, bad), step_s=1.0, objective=lambda counted: (
        ...     counted.per_second * max(0.0, 1 - 8 * counted.error_rate)))
        >>> found.coincidences, found.error_rate, found.value
        (20.0, 0.1, 10.0)
    """
    check_positive(step_s=step_s)
    if not slices:
        raise ValueError("`slices` must hold the slices of a pass, but is empty.")
    weights = [part.per_second for part in slices]
    total = math.fsum(weights)

    def rate(errors: list[float]) -> float:
        weighted = math.fsum(w * error for w, error in zip(weights, errors, strict=True))
        return weighted / total if total > 0 else 0.5

    return Harvest(
        step_s * len(slices),
        step_s * total,
        rate([part.error_rate for part in slices]),
        rate([part.phase_error_rate for part in slices]),
        step_s * math.fsum(map(objective, slices)),
    )
