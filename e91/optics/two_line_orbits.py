"""Real orbits: positions from published elements, the height of the Sun, and every pass of a month.

Earth-fixed positions follow from sidereal time alone.  Polar motion (10 m) and UT1 - UTC (below
0.9 s, 0.4 km) are left out, as elements are themselves good to a kilometre or so.
"""

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import ArrayLike

from e91.model.numbers import Floats, check_positive, check_within
from e91.optics.satellites import Pass, Station, views

_DAY_S = 86_400.0
_J2000 = datetime(2000, 1, 1, 12, tzinfo=UTC)
_J2000_JULIAN = 2_451_545.0
_LOOK_S = 30.0  # between two looks for a pass: a satellite 300 km high climbs 4 degrees near 10
_FOLLOWED = math.radians(10)  # what rises higher stays above it for several looks
_MARGIN = math.radians(6)  # below that, or below a lower elevation, a look is followed up


@dataclass(frozen=True)
class TwoLineOrbit:
    """An orbit by the two lines of elements that trackers publish, moved in time by SGP4.

    Attributes:
        two_lines: Both lines, 69 characters each, the last one a checksum.
        start: Time 0 of `position_km`, with a time zone.

    Raises:
        ValueError: A line is no such line, or the start has no time zone.

    Source:
        Hoots and Roehrich, Spacetrack Report 3 (1980), as revised by Vallado et al., AIAA
        2006-6753, in the package ``sgp4`` of Brandon Rhodes.

    Examples:
        >>> MICIUS.position_km([0.0]).round(-1).tolist()
        [[4820.0, 3270.0, 3630.0]]
    """

    two_lines: tuple[str, str]
    start: datetime

    def __post_init__(self) -> None:
        for number, line in enumerate(self.two_lines, start=1):
            _check_line(number, line)
        if self.start.tzinfo is None:
            raise ValueError(f"`start` must have a time zone, but is {self.start}.")

    @property
    def epoch(self) -> datetime:
        """When the elements were true."""
        year, day = int(self.two_lines[0][18:20]), float(self.two_lines[0][20:32])
        first = datetime(year + (1900 if year >= 57 else 2000), 1, 1, tzinfo=UTC)
        return first + timedelta(days=day - 1)

    @property
    def inclination_deg(self) -> float:
        """Of its plane."""
        return float(self.two_lines[1][8:16])

    @property
    def turns_per_day(self) -> float:
        """Turns about the Earth."""
        return float(self.two_lines[1][52:63])

    def position_km(self, time_s: ArrayLike) -> Floats:
        """Return Earth-fixed positions at the given times, shape (n, 3).

        Raises:
            ValueError: The elements leave their range, as when the satellite has come down.
        """
        from sgp4.api import SGP4_ERRORS, Satrec

        days = _days(self.start, time_s)
        record = Satrec.twoline2rv(*self.two_lines)
        failed, position, _ = record.sgp4_array(np.full(days.shape, _J2000_JULIAN), days)
        if failed.any():
            reason = SGP4_ERRORS[int(failed.max())]
            raise ValueError(f"The elements must hold at every time, but fail: {reason}.")
        return _earth_fixed(position, days)


def _check_line(number: int, line: str) -> None:
    digits = sum(int(one) if one in "0123456789" else one == "-" for one in line[:68])
    if len(line) != 69 or line[:2] != f"{number} " or line[68] != str(digits % 10):
        raise ValueError(
            f"`two_lines[{number - 1}]` must have 69 characters, begin with {number} and end with "
            f"its checksum, but is {line!r}."
        )


def _days(start: datetime, time_s: ArrayLike) -> Floats:
    """Return days since noon of 1 January 2000, shape (n,)."""
    time = np.atleast_1d(np.asarray(time_s, np.float64))
    return (start - _J2000).total_seconds() / _DAY_S + time / _DAY_S


def _earth_fixed(vectors: Floats, days: Floats) -> Floats:
    """Turn vectors from the equator and equinox into the rotating Earth's axes, shape (n, 3)."""
    angle = sidereal_angle(days)
    cosine, sine = np.cos(angle), np.sin(angle)
    x, y, z = vectors.T
    return np.column_stack([cosine * x + sine * y, cosine * y - sine * x, z])


def sidereal_angle(days: ArrayLike) -> Floats:
    """Return how far Greenwich has turned from the mean equinox, in radians.

    Args:
        days: Of UT1, here UTC, since noon of 1 January 2000; any shape.

    Source:
        Greenwich mean sidereal time of the IAU, 1982; Aoki et al., Astron. Astrophys. 105, 359.

    Examples:
        >>> noon = sidereal_angle(0.0)
        >>> round(float(np.degrees(noon) % 360), 4)  # 18 h 41 min 50.5 s
        280.4606
    """
    century = np.asarray(days, np.float64) / 36_525
    seconds = 67_310.54841 + century * (
        876_600 * 3_600 + 8_640_184.812866 + century * (0.093104 - 6.2e-6 * century)
    )
    angle: Floats = seconds * (math.tau / _DAY_S)
    return angle


def sun_elevation(station: Station, start: datetime, *, time_s: ArrayLike) -> Floats:
    """Return the height of the Sun above a station's horizon, in radians, without refraction.

    Args:
        station: On the ground.
        start: Time 0, with a time zone.
        time_s: Times; shape (n,).

    Returns:
        float64, shape (n,); good to 0.02 degrees between 1950 and 2050.

    Source:
        The low-precision formulas for the Sun of the Astronomical Almanac, section C.

    Examples:
        >>> solstice = datetime(2017, 6, 21, 4, 24, tzinfo=UTC)
        >>> noon = sun_elevation(Station("Tropic", 23.434, 114.46), solstice, time_s=[0.0])
        >>> np.degrees(noon).round(1).tolist()
        [90.0]
    """
    days = _days(start, time_s)
    anomaly = np.radians(357.528 + 0.9856003 * days)
    longitude = np.radians(
        280.460 + 0.9856474 * days + 1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly)
    )
    tilt = np.radians(23.439 - 4e-7 * days)
    east = np.sin(longitude)
    sun = np.column_stack([np.cos(longitude), np.cos(tilt) * east, np.sin(tilt) * east])
    return np.arcsin(np.clip(_earth_fixed(sun, days) @ station.up, -1, 1))


def passes_over(
    orbit: TwoLineOrbit,
    stations: tuple[Station, ...],
    *,
    duration_s: float,
    lowest_elevation_deg: float = 10.0,
    sun_below_deg: float | None = None,
    step_s: float = 1.0,
) -> tuple[Pass, ...]:
    """Return every pass in which all of some stations see a satellite at once.

    Args:
        orbit: Of the satellite; its start is time 0.
        stations: One, two or more.
        duration_s: How long to look, from time 0 on.
        lowest_elevation_deg: Below it a telescope does not follow.
        sun_below_deg: The Sun must stand lower at every station; None asks for no darkness.
        step_s: Length of a slice of time; at most 30 s.

    Returns:
        The passes in the order of time; empty if there are none.

    Raises:
        ValueError: A number leaves its range, there are no stations, or the elements fail.

    Examples:
        >>> from e91.optics.satellites import DELINGHA, NANSHAN
        >>> found = passes_over(MICIUS, (DELINGHA, NANSHAN), duration_s=86400, sun_below_deg=-12)
        >>> [one.duration_s for one in found]
        [337.0]
    """
    check_positive(duration_s=duration_s, step_s=step_s)
    check_within(0, 90, lowest_elevation_deg=lowest_elevation_deg)
    check_within(1e-3, _LOOK_S, step_s=step_s)
    if not stations:
        raise ValueError("`stations` must name one or more, but is empty.")
    lowest = math.radians(lowest_elevation_deg)
    index = _followed(orbit, stations, duration_s, lowest, step_s)
    time = index * step_s
    elevation, distance = views(orbit, stations, time_s=time)
    seen = np.all(elevation >= lowest, axis=0)
    if sun_below_deg is not None:
        for station in stations:
            sun = sun_elevation(station, orbit.start, time_s=time)
            seen &= sun < math.radians(sun_below_deg)
    place = np.flatnonzero(seen)
    runs = np.split(place, np.flatnonzero(np.diff(index[place]) > 1) + 1)
    return tuple(Pass(time[r], step_s, elevation[:, r], distance[:, r]) for r in runs if len(r))


def _followed(
    orbit: TwoLineOrbit,
    stations: tuple[Station, ...],
    duration_s: float,
    lowest: float,
    step_s: float,
) -> Floats:
    """Return the numbers of the slices, ascending, that lie about looks with the satellite near."""
    stride = math.floor(_LOOK_S / step_s)
    looks = np.arange(0, math.ceil(duration_s / step_s) + stride, stride)
    elevation, _ = views(orbit, stations, time_s=looks * step_s)
    near = looks[np.all(elevation >= min(lowest, _FOLLOWED) - _MARGIN, axis=0)]
    index = np.unique((near[:, None] + np.arange(-stride, stride)).ravel())
    return index[(index >= 0) & (index * step_s < duration_s)].astype(np.float64)


MICIUS = TwoLineOrbit(
    (
        "1 41731U 16051A   16353.90152003  .00000364  00000-0  17957-4 0  9993",
        "2 41731  97.3699 267.4500 0013200 178.5836 246.0824 15.23915303 19063",
    ),
    datetime(2016, 12, 18, 22, tzinfo=UTC),
)
"""Micius as it flew in December 2016; it sank in 2025 and has most likely come down since."""
