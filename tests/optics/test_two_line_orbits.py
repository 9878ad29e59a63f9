"""Passes of a real satellite: against what was published, and against every second of a day.

Bands of a month were worked out beforehand, by another program, from the same elements.
"""

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from e91.optics.satellites import DELINGHA, NANSHAN, Station, views
from e91.optics.two_line_orbits import (
    MICIUS,
    TwoLineOrbit,
    passes_over,
    sidereal_angle,
    sun_elevation,
)

XINGLONG = Station("Xinglong", 40.39587, 117.57746, 890.0)
LIJIANG = Station("Lijiang", 26.693931, 100.029319, 3233.0)
MONTH_S = 30 * 86_400.0


def month(*stations, lowest=10.0):
    return passes_over(
        MICIUS, stations, duration_s=MONTH_S, lowest_elevation_deg=lowest, sun_below_deg=-12
    )


def test_published_night_over_xinglong():
    # Liao et al., Nature 549, 43 (2017): 19 December 2016, 645 km at the nearest, 273 s.
    first = month(XINGLONG)[0]
    near = first.range_km[0] < 1200
    assert first.range_km.min() == pytest.approx(645, abs=2)
    assert near.sum() * first.step_s == pytest.approx(273, abs=3)
    nearest = MICIUS.start + timedelta(seconds=float(first.time_s[first.range_km[0].argmin()]))
    assert abs(nearest - datetime(2016, 12, 19, 16, 52, 14, tzinfo=UTC)) < timedelta(seconds=2)
    # Published is also that key was made once a night, from about 00:50 local time on.
    assert (nearest + timedelta(hours=8)).strftime("%H:%M") == "00:52"


@pytest.mark.parametrize(
    ("stations", "lowest", "passes", "seconds", "longest"),
    [
        ((XINGLONG,), 10, 48, 16_155, 434),
        ((NANSHAN,), 10, 51, 17_139, 434),
        ((DELINGHA,), 10, 45, 15_322, 434),
        ((LIJIANG,), 10, 40, 13_604, 434),
        ((DELINGHA, LIJIANG), 10, 36, 7_360, 271),
        ((DELINGHA, NANSHAN), 13, 26, 6_084, 286),
        ((DELINGHA, NANSHAN), 15, 23, 4_846, 254),
        ((XINGLONG, NANSHAN), 10, 10, 1_611, 220),
    ],
)
def test_passes_of_a_month(stations, lowest, passes, seconds, longest):
    found = month(*stations, lowest=lowest)
    assert len(found) == pytest.approx(passes, abs=2)
    assert sum(one.duration_s for one in found) == pytest.approx(seconds, rel=0.03)
    assert max(one.duration_s for one in found) == pytest.approx(longest, abs=4)


def test_arms_add_up_as_the_abstract_of_2017_prints():
    longest = max(month(DELINGHA, LIJIANG), key=lambda one: one.duration_s)
    both = longest.range_km.sum(axis=0)
    assert (both.min(), both.max()) == pytest.approx((1_600, 2_400), abs=40)


@pytest.mark.parametrize(
    ("stations", "lowest"), [((DELINGHA, NANSHAN), 0.0), ((XINGLONG,), 10.0), ((XINGLONG,), 45.0)]
)
def test_no_pass_is_missed_between_two_looks(stations, lowest):
    # The definition: every second of a day and a half, one after the other.
    time = np.arange(0, 1.5 * 86_400)
    elevation, _ = views(MICIUS, stations, time_s=time)
    seen = np.all(elevation >= math.radians(lowest), axis=0)
    for station in stations:
        seen &= sun_elevation(station, MICIUS.start, time_s=time) < 0
    found = passes_over(
        MICIUS, stations, duration_s=len(time), lowest_elevation_deg=lowest, sun_below_deg=0
    )
    np.testing.assert_array_equal(np.concatenate([one.time_s for one in found]), time[seen])
    assert len(found) == np.sum(np.diff(np.flatnonzero(seen)) > 1) + 1
    assert all(np.all(np.diff(one.time_s) == 1) for one in found)


def test_longer_slices_find_the_same_passes():
    short, long = (
        passes_over(MICIUS, (XINGLONG,), duration_s=2 * 86_400, step_s=step) for step in (1, 7.5)
    )
    assert len(short) == len(long)
    for one, other in zip(short, long, strict=True):
        assert one.duration_s == pytest.approx(other.duration_s, abs=8)


def test_sidereal_time_is_vallados_and_the_librarys():
    from sgp4.propagation import gstime

    # Vallado, Fundamentals of Astrodynamics, example 3-5: 20 August 1992, 12:14 UT1.
    moment = datetime(1992, 8, 20, 12, 14, tzinfo=UTC)
    days = (moment - datetime(2000, 1, 1, 12, tzinfo=UTC)).total_seconds() / 86_400
    assert math.degrees(sidereal_angle(days)) % 360 == pytest.approx(152.578788, abs=2e-6)
    for days in (-3000.2, 0.0, 6196.4, 9000.9):
        own = float(sidereal_angle(days)) % math.tau
        assert own == pytest.approx(gstime(2_451_545.0 + days), abs=1e-8)


@pytest.mark.parametrize(
    ("moment", "latitude"),
    [  # of equinoxes and solstices, as almanacs print them
        (datetime(2016, 12, 21, 10, 44, tzinfo=UTC), -23.435),
        (datetime(2017, 3, 20, 10, 29, tzinfo=UTC), 0.0),
        (datetime(2017, 6, 21, 4, 24, tzinfo=UTC), 23.435),
        (datetime(2017, 9, 22, 20, 2, tzinfo=UTC), 0.0),
    ],
)
def test_sun_stands_over_its_tropic_and_the_equator_in_time(moment, latitude):
    # At the highest of a day's longitudes the Sun is overhead, to a minute of the sundial's time.
    longitudes = np.arange(-180, 180, 0.25)
    high = [sun_elevation(Station("", latitude, east), moment, time_s=[0.0]) for east in longitudes]
    assert np.degrees(np.max(high)) == pytest.approx(90, abs=0.13)
    hour = moment.hour + moment.minute / 60
    dial = (12 - hour) * 15 - longitudes[np.argmax(high)]  # equation of time, 15 degrees an hour
    assert abs((dial + 180) % 360 - 180) < 4.2  # never more than 16.5 minutes
    pole = sun_elevation(Station("pole", 90.0, 0.0), moment, time_s=[0.0])
    assert math.degrees(pole[0]) == pytest.approx(latitude, abs=0.02)


def test_orbit_carries_its_epoch():
    epoch = datetime(2016, 12, 18, 21, 38, 11, tzinfo=UTC)
    assert abs(MICIUS.epoch - epoch) < timedelta(seconds=1)


def test_what_is_no_orbit_is_refused():
    first, second = MICIUS.two_lines
    for lines in ((second, first), (first, second[:-1] + "4"), (first[:-1], second)):
        with pytest.raises(ValueError, match=r"^`two_lines\[[01]\]` must have 69 characters"):
            TwoLineOrbit(lines, MICIUS.start)
    with pytest.raises(ValueError, match="`start` must have a time zone"):
        TwoLineOrbit(MICIUS.two_lines, MICIUS.start.replace(tzinfo=None))
    with pytest.raises(ValueError, match="`stations` must name one or more"):
        passes_over(MICIUS, (), duration_s=60)
    with pytest.raises(ValueError, match="must lie in"):
        passes_over(MICIUS, (DELINGHA,), duration_s=60, step_s=60)


def test_elements_that_fail_are_refused():
    late = TwoLineOrbit(MICIUS.two_lines, datetime(2316, 12, 18, tzinfo=UTC))
    with pytest.raises(ValueError, match="The elements must hold at every time, but fail: "):
        late.position_km([0.0])
