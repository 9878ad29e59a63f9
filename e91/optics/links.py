"""Links: how much of the light arrives, in decibels, and what else arrives with it."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from e91.model.numbers import Floats, check_finite, check_not_negative, check_positive
from e91.optics.beams import air_mass, beam_radius_m, collected_fraction


def transmission_of(loss_db: float) -> float:
    """Return the fraction of the light that a loss leaves.

    Raises:
        ValueError: The loss is negative, infinite or no number: an amplifier is no link.

    Examples:
        >>> transmission_of(20)
        0.01
    """
    check_not_negative(loss_db=loss_db)
    return float(10 ** (-loss_db / 10))


@dataclass(frozen=True)
class Fibre:
    """An optical fibre.

    Attributes:
        length_km: Its length.
        attenuation_db_per_km: About 0.2 at 1550 nm, 3.5 at 810 nm.
        connector_loss_db: All connectors, splices and couplings together.
        polarisation_drift_rad_per_root_s: Root mean square angle by which a polarisation has
            turned on the Bloch sphere one second after the last alignment, if the turn is small:
            an isotropic random walk.
        realignment_interval_s: Time between two alignments.
        dispersion_ps_per_nm_km: Chromatic dispersion, about 17 at 1550 nm; may be negative.

    Raises:
        ValueError: A number is outside its range.

    Examples:
        >>> Fibre(100, 0.2, connector_loss_db=1.5).loss_db
        21.5
    """

    length_km: float
    attenuation_db_per_km: float
    connector_loss_db: float = 0.0
    polarisation_drift_rad_per_root_s: float = 0.0
    realignment_interval_s: float = 0.0
    dispersion_ps_per_nm_km: float = 0.0

    def __post_init__(self) -> None:
        check_not_negative(
            length_km=self.length_km,
            attenuation_db_per_km=self.attenuation_db_per_km,
            connector_loss_db=self.connector_loss_db,
            polarisation_drift_rad_per_root_s=self.polarisation_drift_rad_per_root_s,
            realignment_interval_s=self.realignment_interval_s,
        )
        check_finite(dispersion_ps_per_nm_km=self.dispersion_ps_per_nm_km)

    @property
    def loss_db(self) -> float:
        """Loss from end to end."""
        return self.length_km * self.attenuation_db_per_km + self.connector_loss_db

    @property
    def dispersion_ps_per_nm(self) -> float:
        """Dispersion of the whole length."""
        return self.length_km * self.dispersion_ps_per_nm_km

    @property
    def visibility(self) -> float:
        """What the drift leaves of a polarisation's length on the Bloch sphere, 0 to 1.

        The mean of exp(-r^2 t / 2) over the interval, r the drift: an isotropic walk with
        <angle^2> = r^2 t has <cos angle> = exp(-r^2 t / 2), as l = 1 harmonics decay with 2 D
        and <angle^2> = 4 D t.
        """
        exponent = self.polarisation_drift_rad_per_root_s**2 * self.realignment_interval_s / 2
        return -math.expm1(-exponent) / exponent if exponent > 0 else 1.0


@dataclass(frozen=True)
class FreeSpace:
    """A beam from one telescope to another near the ground.

    Attributes:
        distance_km: From telescope to telescope.
        divergence_half_angle_rad: Angle at which the intensity has fallen to 1/e^2.
        receiver_diameter_m: Of the receiving telescope.
        beam_waist_m: 1/e^2 radius w0 where the beam leaves; its radius is
            sqrt(w0^2 + (angle distance)^2).
        pointing_jitter_rad: Standard deviation of the beam's direction along each axis.
        extinction_db_per_km: Loss in the air.
        optics_loss_db: Loss of both telescopes' optics.
        background_photons_at_receiver_per_second: Stray light at the receiver's entrance, past
            the filters (see `e91.optics.beams.sky_photons_per_second`), before its losses.

    Raises:
        ValueError: A number is outside its range.

    Examples:
        >>> round(FreeSpace(1000, 5e-6, 1.2).loss_db, 4)
        15.4685
    """

    distance_km: float
    divergence_half_angle_rad: float
    receiver_diameter_m: float
    beam_waist_m: float = 0.0
    pointing_jitter_rad: float = 0.0
    extinction_db_per_km: float = 0.0
    optics_loss_db: float = 0.0
    background_photons_at_receiver_per_second: float = 0.0

    def __post_init__(self) -> None:
        check_positive(distance_km=self.distance_km)
        check_not_negative(extinction_db_per_km=self.extinction_db_per_km)
        _check_beam(self)

    @property
    def loss_db(self) -> float:
        """Mean loss from end to end: mean of the transmission over the jitter, not of decibels."""
        air = self.distance_km * self.extinction_db_per_km
        return float(_spreading_loss_db(self, self.distance_km)) + air + self.optics_loss_db


@dataclass(frozen=True)
class Downlink:
    """The beam from a satellite to a ground station.

    Attributes:
        divergence_half_angle_rad: Angle at which the intensity has fallen to 1/e^2.
        receiver_diameter_m: Of the telescope on the ground.
        beam_waist_m: 1/e^2 radius where the beam leaves the satellite.
        pointing_jitter_rad: Standard deviation of the beam's direction along each axis.
        zenith_loss_db: Extinction of the air straight up.
        optics_loss_db: Loss of both telescopes' optics, filters and couplings.
        background_photons_at_receiver_per_second: Stray light at the receiver's entrance, past
            the filters, before its losses.

    Raises:
        ValueError: A number is outside its range.

    Examples:
        >>> link = Downlink(5e-6, 1.2, zenith_loss_db=0.6)
        >>> float(link.loss_db(np.pi / 2, 1000.0).round(3))
        16.068
    """

    divergence_half_angle_rad: float
    receiver_diameter_m: float
    beam_waist_m: float = 0.0
    pointing_jitter_rad: float = 0.0
    zenith_loss_db: float = 0.0
    optics_loss_db: float = 0.0
    background_photons_at_receiver_per_second: float = 0.0

    def __post_init__(self) -> None:
        check_not_negative(zenith_loss_db=self.zenith_loss_db)
        _check_beam(self)

    def loss_db(self, elevation_rad: ArrayLike, range_km: ArrayLike) -> Floats:
        """Return the mean loss towards a satellite seen at an elevation and a distance.

        Args:
            elevation_rad: Above the horizon, 0 to pi/2; infinite loss below; any shape.
            range_km: Distance of the satellite; the same shape, or one for all.

        Returns:
            float64 of that shape.  The mean of the transmission over the jitter, not of decibels.
        """
        air = self.zenith_loss_db * air_mass(elevation_rad)
        loss = _spreading_loss_db(self, range_km) + air + self.optics_loss_db
        return np.where(np.asarray(elevation_rad) < 0, np.inf, loss)


def _check_beam(link: FreeSpace | Downlink) -> None:
    check_positive(
        divergence_half_angle_rad=link.divergence_half_angle_rad,
        receiver_diameter_m=link.receiver_diameter_m,
    )
    check_not_negative(
        beam_waist_m=link.beam_waist_m,
        pointing_jitter_rad=link.pointing_jitter_rad,
        optics_loss_db=link.optics_loss_db,
        background_photons_at_receiver_per_second=link.background_photons_at_receiver_per_second,
    )


def _spreading_loss_db(link: FreeSpace | Downlink, distance_km: ArrayLike) -> Floats:
    """Return what misses the receiving telescope; float64, the shape of ``distance_km``."""
    width = beam_radius_m(
        distance_km,
        divergence_half_angle_rad=link.divergence_half_angle_rad,
        beam_waist_m=link.beam_waist_m,
        pointing_jitter_rad=link.pointing_jitter_rad,
    )
    fraction = collected_fraction(width, receiver_diameter_m=link.receiver_diameter_m)
    loss: Floats = -10 * np.log10(fraction)
    return loss
