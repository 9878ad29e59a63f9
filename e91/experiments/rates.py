"""How many coincidences an experiment's source, links and detectors give, by `e91.optics`."""

from __future__ import annotations

import math
from dataclasses import dataclass

from e91.experiments.records import Experiment


@dataclass(frozen=True)
class Rates:
    """Coincidences of an experiment.

    Attributes:
        coincidences_per_second: All of them, accidentals included; None if the experiment states
            neither a source nor a measured rate.
        accidental_fraction: Fraction of them whose photons are not of one pair.
        link_loss_db: From the source to both clicks, or None without links.
    """

    coincidences_per_second: float | None
    accidental_fraction: float
    link_loss_db: float | None


def rates(experiment: Experiment) -> Rates:
    """Return the coincidences of an experiment: from its optics, or as it measured them.

    Raises:
        ValueError: A source is given, but not all that its light meets.
    """
    losses = [arm_loss_db(experiment, party) for party in ("alice", "bob")]
    link_loss_db = sum(losses) if _has_links(experiment) else None
    if experiment.has("source.pairs_per_second"):
        return _from_optics(experiment, losses)
    ratio = experiment.value("measured.signal_to_noise", math.inf)
    measured = experiment.value("measured.coincidences_per_second", -1.0)
    return Rates(None if measured < 0 else measured, 1 / (1 + ratio), link_loss_db)


def arm_loss_db(experiment: Experiment, party: str) -> float:
    """Return the loss from the source to a click of one party, detector included, in decibels."""
    from e91.optics.links import Downlink, Fibre

    def number(name: str, default: float | None = None) -> float:
        return experiment.value(f"{party}.{name}", default)

    total = number("loss_db", 0.0)
    if experiment.has(f"{party}.fibre_length_km"):
        total += Fibre(number("fibre_length_km"), number("fibre_attenuation_db_per_km")).loss_db
    if experiment.has(f"{party}.range_km"):
        link = Downlink(
            number("divergence_half_angle_rad"),
            number("telescope_diameter_m"),
            pointing_jitter_rad=number("pointing_jitter_rad", 0.0),
            zenith_loss_db=number("zenith_loss_db", 0.0),
        )
        elevation = math.radians(number("elevation_deg"))
        total += float(link.loss_db(elevation, number("range_km")))
    efficiency = number("detector_efficiency", 1.0)
    return total - 10 * math.log10(efficiency) if efficiency > 0 else math.inf


def _has_links(experiment: Experiment) -> bool:
    return any(p.key.startswith(("alice.", "bob.")) for p in experiment.parameters)


def _from_optics(experiment: Experiment, losses: list[float]) -> Rates:
    from e91.optics.arms import Arm
    from e91.optics.coincidences import coincidences
    from e91.optics.detectors import Detector, Receiver
    from e91.optics.sources import ContinuousSource

    def arm(party: str, loss_db: float) -> Arm:
        noise = sum(
            experiment.value(f"{party}.{name}", 0.0)
            for name in ("dark_counts_per_second", "background_clicks_per_second")
        )
        jitter = experiment.value(f"{party}.jitter_fwhm_s", 0.0)
        detector = Detector(1.0, noise / 2, jitter_fwhm_s=jitter)
        return Arm(loss_db, Receiver((detector, detector)))

    source = ContinuousSource(
        experiment.value("source.pairs_per_second"),
        experiment.value("source.coherence_time_s", 0.0),
    )
    found = coincidences(
        source,
        arm("alice", losses[0]),
        arm("bob", losses[1]),
        window_s=experiment.value("detection.coincidence_window_s"),
    )
    total = found.per_second
    fraction = found.accidental_per_second / total if total > 0 else 1.0
    return Rates(total, fraction, sum(losses))
