"""From an experiment's numbers to `e91.optics`: arms of constant loss, or a satellite's pass."""

from __future__ import annotations

import math

import numpy as np

from e91.experiments.published import Experiment
from e91.optics.arms import Arm
from e91.optics.coincidences import Coincidences, coincidences
from e91.optics.detectors import Detector, Receiver
from e91.optics.links import Downlink, Fibre
from e91.optics.satellites.orbits import Station, orbit_over
from e91.optics.satellites.passes import Pass, coincidences_along, pass_over
from e91.optics.sources import ContinuousSource

_PARTIES = ("alice", "bob")
_STEP_S = 10.0  # of a pass; a tenth of it changes the mean rate by less than one per cent


def counted(experiment: Experiment) -> tuple[float, float, float]:
    """Return coincidences per second, the fraction of accidentals, and the loss in decibels.

    Raises:
        ValueError: A number that the link needs is missing, or the satellite is never seen.
    """
    source = ContinuousSource(
        experiment.value("source.pairs_per_second"),
        experiment.value("source.coherence_time_s", 0.0),
    )
    window = experiment.value("detection.coincidence_window_s")
    if experiment.has("orbit.altitude_km"):
        seen, links = overpass(experiment), _downlinks(experiment)
        receivers = (_receiver(experiment, "alice"), _receiver(experiment, "bob"))
        slices = coincidences_along(seen, source, links=links, receivers=receivers, window_s=window)
        losses = seen.loss_db(links).sum(axis=0) + sum(map(_detector_loss_db, receivers))
        mean_loss = -10 * math.log10(float(np.mean(10 ** (-losses / 10))))
        return *_mean(slices), mean_loss
    arms = [Arm(arm_loss_db(experiment, p), _receiver(experiment, p)) for p in _PARTIES]
    found = coincidences(source, arms[0], arms[1], window_s=window)
    loss = sum(arm.loss_db + _detector_loss_db(arm.receiver) for arm in arms)
    return *_mean((found,)), loss


def arm_loss_db(experiment: Experiment, party: str) -> float:
    """Return the constant loss of one arm up to its detectors: fibre and all that is not listed."""
    loss = experiment.value(f"{party}.loss_db", 0.0)
    if experiment.has(f"{party}.fibre_length_km"):
        length = experiment.value(f"{party}.fibre_length_km")
        loss += Fibre(length, experiment.value(f"{party}.fibre_attenuation_db_per_km")).loss_db
    return loss


def overpass(experiment: Experiment) -> Pass:
    """Return the pass of the experiment's satellite over both stations.

    Its ground track crosses the middle between the stations, ``orbit.longitude_offset_deg`` to
    the east of it, from north to south.

    Raises:
        ValueError: The stations never see the satellite at once.
    """
    stations = _station(experiment, "alice"), _station(experiment, "bob")
    middle = stations[0].up + stations[1].up
    orbit = orbit_over(
        math.degrees(math.atan2(middle[2], math.hypot(middle[0], middle[1]))),
        math.degrees(math.atan2(middle[1], middle[0]))
        + experiment.value("orbit.longitude_offset_deg", 0.0),
        altitude_km=experiment.value("orbit.altitude_km"),
        inclination_deg=experiment.value("orbit.inclination_deg"),
        northwards=False,
    )
    lowest = experiment.value("orbit.lowest_elevation_deg")
    seen = pass_over(orbit, stations, lowest_elevation_deg=lowest, step_s=_STEP_S)
    if not len(seen.time_s):
        raise ValueError(
            f"Both stations of `{experiment.name}` must see the satellite at once, but never do."
        )
    return seen


def _station(experiment: Experiment, party: str) -> Station:
    return Station(
        party,
        experiment.value(f"{party}.latitude_deg"),
        experiment.value(f"{party}.longitude_deg"),
        experiment.value(f"{party}.altitude_m", 0.0),
    )


def _downlinks(experiment: Experiment) -> tuple[Downlink, Downlink]:
    alice, bob = (
        Downlink(
            experiment.value(f"{party}.divergence_half_angle_rad"),
            experiment.value(f"{party}.telescope_diameter_m"),
            pointing_jitter_rad=experiment.value(f"{party}.pointing_jitter_rad", 0.0),
            zenith_loss_db=experiment.value(f"{party}.zenith_loss_db", 0.0),
            optics_loss_db=arm_loss_db(experiment, party),
        )
        for party in _PARTIES
    )
    return alice, bob


def _receiver(experiment: Experiment, party: str) -> Receiver:
    """Return two like detectors with half of the side's noise each."""
    noise = sum(
        experiment.value(f"{party}.{name}", 0.0)
        for name in ("dark_counts_per_second", "background_clicks_per_second")
    )
    detector = Detector(
        experiment.value(f"{party}.detector_efficiency", 1.0),
        noise / 2,
        jitter_fwhm_s=experiment.value(f"{party}.jitter_fwhm_s", 0.0),
    )
    return Receiver((detector, detector))


def _detector_loss_db(receiver: Receiver) -> float:
    efficiency = receiver.detectors[0].efficiency
    return -10 * math.log10(efficiency) if efficiency > 0 else math.inf


def _mean(slices: tuple[Coincidences, ...]) -> tuple[float, float]:
    """Return the mean rate of coincidences and the fraction of accidentals among them."""
    total = math.fsum(part.per_second for part in slices)
    accidental = math.fsum(part.accidental_per_second for part in slices)
    return total / len(slices), accidental / total if total > 0 else 1.0
