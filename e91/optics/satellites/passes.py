"""A satellite that sends pairs to two stations while it passes over both."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from e91.model.numbers import Floats, check_positive, check_within
from e91.optics.arms import Arm
from e91.optics.coincidences import Coincidences, Source, coincidences
from e91.optics.detectors import Receiver
from e91.optics.links import Downlink
from e91.optics.satellites.orbits import CircularOrbit, Station, elevation_and_range


@dataclass(frozen=True, eq=False)
class Pass:
    """The time in which both stations see the satellite.

    Attributes:
        time_s: Middles of equal slices of time; float64, shape (n,), read-only.
        step_s: Length of a slice.
        elevation_rad: For each station, shape (2, n).
        range_km: For each station, shape (2, n).
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
        """How long both stations see it."""
        return len(self.time_s) * self.step_s

    def loss_db(self, links: tuple[Downlink, Downlink]) -> Floats:
        """Return the loss towards each station against time, shape (2, n)."""
        rows = zip(links, self.elevation_rad, self.range_km, strict=True)
        return np.array([link.loss_db(elevation, distance) for link, elevation, distance in rows])


def pass_over(
    orbit: CircularOrbit,
    stations: tuple[Station, Station],
    *,
    lowest_elevation_deg: float = 10.0,
    search_s: float = 900.0,
    step_s: float = 1.0,
) -> Pass:
    """Return the pass about time 0 in which two stations see a satellite at once.

    Args:
        orbit: Of the satellite; see `e91.optics.satellites.orbits.orbit_over`.
        stations: Alice's and Bob's.
        lowest_elevation_deg: Below it a telescope does not follow.
        search_s: How long before and after time 0 to look.
        step_s: Length of a slice of time.

    Returns:
        The slices in which both elevations suffice; none if there is no such time.

    Raises:
        ValueError: A time is not positive, or the elevation not in [0, 90].

    Examples:
        >>> from e91.optics.satellites.orbits import DELINGHA, NANSHAN, orbit_over
        >>> seen = pass_over(orbit_over(40.5, 92.6), (DELINGHA, NANSHAN))
        >>> seen.duration_s, seen.range_km.sum(axis=0).min().round().item()
        (311.0, 1543.0)
    """
    check_positive(search_s=search_s, step_s=step_s)
    check_within(0, 90, lowest_elevation_deg=lowest_elevation_deg)
    half = math.floor(search_s / step_s)
    time: Floats = np.arange(-half, half + 1, dtype=np.float64) * step_s
    views = [elevation_and_range(orbit, station, time_s=time) for station in stations]
    elevation, distance = (np.array(column) for column in zip(*views, strict=True))
    seen = np.all(elevation >= math.radians(lowest_elevation_deg), axis=0)
    return Pass(time[seen], step_s, elevation[:, seen], distance[:, seen])


def coincidences_along(
    seen: Pass,
    source: Source,
    *,
    links: tuple[Downlink, Downlink],
    receivers: tuple[Receiver, Receiver],
    window_s: float | None = None,
    bit_error: float = 0.0,
    phase_error: float | None = None,
) -> tuple[Coincidences, ...]:
    """Return what the stations count in each slice of a pass.

    Args:
        seen: The pass.
        source: On the satellite.
        links: To Alice and to Bob.
        receivers: Theirs.
        window_s: As for `e91.optics.coincidences.coincidences`.
        bit_error: The same.
        phase_error: The same.

    Raises:
        ValueError: As there.
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
