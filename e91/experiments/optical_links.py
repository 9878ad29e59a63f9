"""How many coincidences an experiment has: by its optics, or as it measured them."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from e91.experiments.vocabulary import ArmNumbers, Numbers, given
from e91.optics.arms import Arm
from e91.optics.coincidences import Coincidences, coincidences
from e91.optics.detectors import Detector, Receiver
from e91.optics.links import Downlink, Fibre
from e91.optics.satellites import Pass, Station, coincidences_along, orbit_over, pass_over
from e91.optics.sources import ContinuousSource

_STEP_S = 10.0  # of a pass; a tenth of it changes the mean rate by less than one per cent


@dataclass(frozen=True)
class Rates:
    """Coincidences of an experiment.

    Attributes:
        coincidences_per_second: All of them, accidentals included; None if the experiment states
            neither a source nor a measured rate.
        accidental_fraction: Fraction of them whose photons are not of one pair.
        link_loss_db: From the source to both clicks, or None without links.  Of a satellite: of
            the mean transmission during the pass.
    """

    coincidences_per_second: float | None
    accidental_fraction: float
    link_loss_db: float | None


@lru_cache(maxsize=512)
def rates(numbers: Numbers) -> Rates:
    """Return the coincidences of an experiment.

    With ``source.pairs_per_second`` they come from `e91.optics`: with an ``orbit`` as the mean of a
    pass over both stations, else over two constant losses.  Without a source they are what the
    file gives as measured; without a measured signal-to-noise ratio there are no accidentals.

    Raises:
        ValueError: A number that the link needs is missing, the satellite is never seen, or none
            of its light arrives.
    """
    pairs = numbers.source.pairs_per_second
    if pairs is None:
        measured = numbers.measured
        fraction = 1 / (1 + measured.signal_to_noise)
        return Rates(measured.coincidences_per_second, fraction, None)
    source = ContinuousSource(pairs, numbers.source.coherence_time_s)
    window = given(numbers.detection.coincidence_window_s, "`detection.coincidence_window_s`")
    sides = (("alice", numbers.alice), ("bob", numbers.bob))
    receivers = (_receiver(numbers.alice), _receiver(numbers.bob))
    if numbers.orbit.altitude_km is None:
        arms = [Arm(arm_loss_db(*side), box) for side, box in zip(sides, receivers, strict=True)]
        found = coincidences(source, arms[0], arms[1], window_s=window)
        loss = sum(arm.loss_db + _detector_loss_db(arm.receiver) for arm in arms)
        return Rates(*_mean((found,)), loss)
    seen, links = overpass(numbers), (_downlink(*sides[0]), _downlink(*sides[1]))
    slices = coincidences_along(seen, source, links=links, receivers=receivers, window_s=window)
    losses = seen.loss_db(links).sum(axis=0) + sum(map(_detector_loss_db, receivers))
    transmission = float(np.mean(10 ** (-losses / 10)))
    if transmission == 0:
        raise ValueError("Some light must arrive at both detectors, but all of it is lost.")
    return Rates(*_mean(slices), -10 * math.log10(transmission))


def arm_loss_db(party: str, side: ArmNumbers) -> float:
    """Return the constant loss of one arm up to its detectors: fibre and all that is not listed."""
    if side.fibre_length_km is None:
        return side.loss_db
    key = f"`{party}.fibre_attenuation_db_per_km`"
    fibre = Fibre(side.fibre_length_km, given(side.fibre_attenuation_db_per_km, key))
    return side.loss_db + fibre.loss_db


def overpass(numbers: Numbers) -> Pass:
    """Return the pass of the experiment's satellite over both stations.

    Its ground track crosses the middle between the stations, ``orbit.longitude_offset_deg`` to
    the east of it, from north to south.

    Raises:
        ValueError: The stations never see the satellite at once.
    """
    orbit = numbers.orbit
    stations = _station("alice", numbers.alice), _station("bob", numbers.bob)
    middle = stations[0].up + stations[1].up
    track = orbit_over(
        math.degrees(math.atan2(middle[2], math.hypot(middle[0], middle[1]))),
        math.degrees(math.atan2(middle[1], middle[0])) + orbit.longitude_offset_deg,
        altitude_km=given(orbit.altitude_km, "`orbit.altitude_km`"),
        inclination_deg=given(orbit.inclination_deg, "`orbit.inclination_deg`"),
        northwards=False,
    )
    lowest = given(orbit.lowest_elevation_deg, "`orbit.lowest_elevation_deg`")
    seen = pass_over(track, stations, lowest_elevation_deg=lowest, step_s=_STEP_S)
    if not len(seen.time_s):
        raise ValueError("Both stations must see the satellite at once, but never do.")
    return seen


def _station(party: str, side: ArmNumbers) -> Station:
    return Station(
        party,
        given(side.latitude_deg, f"`{party}.latitude_deg`"),
        given(side.longitude_deg, f"`{party}.longitude_deg`"),
        side.altitude_m,
    )


def _downlink(party: str, side: ArmNumbers) -> Downlink:
    return Downlink(
        given(side.divergence_half_angle_rad, f"`{party}.divergence_half_angle_rad`"),
        given(side.telescope_diameter_m, f"`{party}.telescope_diameter_m`"),
        pointing_jitter_rad=side.pointing_jitter_rad,
        zenith_loss_db=side.zenith_loss_db,
        optics_loss_db=arm_loss_db(party, side),
    )


def _receiver(side: ArmNumbers) -> Receiver:
    """Return two like detectors with half of the side's noise each."""
    noise = side.dark_counts_per_second + side.background_clicks_per_second
    detector = Detector(side.detector_efficiency, noise / 2, jitter_fwhm_s=side.jitter_fwhm_s)
    return Receiver((detector, detector))


def _detector_loss_db(receiver: Receiver) -> float:
    efficiency = receiver.detectors[0].efficiency
    return -10 * math.log10(efficiency) if efficiency > 0 else math.inf


def _mean(slices: tuple[Coincidences, ...]) -> tuple[float, float]:
    """Return the mean rate of coincidences and the fraction of accidentals among them."""
    total = math.fsum(part.per_second for part in slices)
    accidental = math.fsum(part.accidental_per_second for part in slices)
    return total / len(slices), accidental / total if total > 0 else 1.0
