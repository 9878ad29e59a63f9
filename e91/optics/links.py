"""Links: how much of the light arrives, in decibels, and what else arrives with it."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from e91.model.numbers import Floats, check_finite, check_not_negative, check_positive

_PLANCK_J_S = 6.62607015e-34  # exact by the definition of the SI's units, as is the next
_LIGHT_M_PER_S = 299_792_458


def collected_fraction(beam_radius_m: ArrayLike, *, receiver_diameter_m: float) -> Floats:
    """Return the fraction of a centred Gaussian beam that a round telescope collects.

    Args:
        beam_radius_m: 1/e^2 radius w of the intensity at the telescope; any shape.
        receiver_diameter_m: Diameter 2a of the telescope.

    Returns:
        1 - exp(-2 a^2 / w^2); float64, the shape of ``beam_radius_m``.

    Source:
        The integral of a Gaussian over a disc.

    Examples:
        >>> loss_db = -10 * np.log10(collected_fraction(5.0, receiver_diameter_m=1.2))
        >>> float(loss_db.round(4))
        15.4685
    """
    ratio = receiver_diameter_m / np.asarray(beam_radius_m, np.float64)
    fraction: Floats = -np.expm1(-(ratio**2) / 2)
    return fraction


def beam_radius_m(
    distance_km: ArrayLike,
    *,
    divergence_half_angle_rad: float,
    beam_waist_m: float = 0.0,
    pointing_jitter_rad: float = 0.0,
) -> Floats:
    """Return the 1/e^2 radius of the mean intensity of a Gaussian beam that shakes.

    A Gaussian intensity of radius w has the variance w^2 / 4 along each axis; the shaking adds
    its own, s^2, so the mean is again Gaussian, of radius sqrt(w^2 + 4 s^2).

    Args:
        distance_km: From the waist; any shape.
        divergence_half_angle_rad: Of the beam at rest, at 1/e^2 of the intensity.
        beam_waist_m: Its 1/e^2 radius at the transmitter.
        pointing_jitter_rad: Standard deviation of its direction along each axis.

    Returns:
        Metres; float64, the shape of ``distance_km``.

    Examples:
        >>> float(beam_radius_m(1000.0, divergence_half_angle_rad=5e-6))
        5.0
    """
    distance_m = np.asarray(distance_km, np.float64) * 1e3
    spread = divergence_half_angle_rad**2 + 4 * pointing_jitter_rad**2
    radius: Floats = np.sqrt(beam_waist_m**2 + spread * distance_m**2)
    return radius


def air_mass(elevation_rad: ArrayLike) -> Floats:
    """Return how much more air lies on a slanted path than straight up.

    Args:
        elevation_rad: Apparent elevation above the horizon, 0 to pi/2; any shape.  What is below
            counts as the horizon.

    Returns:
        About 1 / sin(elevation) high in the sky, 38 at the horizon; float64, the same shape.

    Source:
        Kasten and Young, Appl. Opt. 28, 4735 (1989), equation 3; within 0.5 % of their table.
        The formula was fitted to a standard atmosphere at sea level and gives 0.9997 at the
        zenith.

    Examples:
        >>> air_mass(np.radians([90, 30, 10, 0])).round(3).tolist()
        [1.0, 1.994, 5.586, 37.92]
    """
    angle = np.maximum(np.asarray(elevation_rad, np.float64), 0)
    correction = 0.50572 * (np.degrees(angle) + 6.07995) ** -1.6364
    mass: Floats = 1 / (np.sin(angle) + correction)
    return mass


def sky_photons_per_second(
    radiance_w_per_m2_sr_nm: float,
    wavelength_nm: float,
    *,
    field_of_view_sr: float,
    receiver_diameter_m: float,
    filter_width_nm: float,
) -> float:
    """Return how many photons of the sky a telescope receives.

    Args:
        radiance_w_per_m2_sr_nm: H, brightness of the sky: about 1e-8 at night with a full moon,
            1.5e-1 by day (orders of magnitude, not constants).
        wavelength_nm: Of the photons.
        field_of_view_sr: Solid angle Omega that the receiver sees.
        receiver_diameter_m: Of the telescope, area A.
        filter_width_nm: Width of the filter's pass band, B.

    Returns:
        H Omega A B / (h c / wavelength), before all losses of the receiver; per second.

    Raises:
        ValueError: An argument is negative or not finite.

    Source:
        Miao et al., New J. Phys. 7, 215 (2005), equation 1, divided by a photon's energy.

    Examples:
        >>> round(sky_photons_per_second(1e-8, 810, field_of_view_sr=1e-8,
        ...                              receiver_diameter_m=1.2, filter_width_nm=10))
        4612
    """
    check_positive(wavelength_nm=wavelength_nm)
    check_not_negative(
        radiance_w_per_m2_sr_nm=radiance_w_per_m2_sr_nm,
        field_of_view_sr=field_of_view_sr,
        receiver_diameter_m=receiver_diameter_m,
        filter_width_nm=filter_width_nm,
    )
    photon_j = _PLANCK_J_S * _LIGHT_M_PER_S / (wavelength_nm * 1e-9)
    area_m2 = np.pi * receiver_diameter_m**2 / 4
    power_w = radiance_w_per_m2_sr_nm * field_of_view_sr * area_m2 * filter_width_nm
    return float(power_w / photon_j)


def transmission_of(loss_db: float) -> float:
    """Return the fraction of the light that a loss leaves.

    Args:
        loss_db: Decibels, from 0.

    Returns:
        10^(-loss / 10), in [0, 1].

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
            the filters (see `e91.optics.links.sky_photons_per_second`), before its losses.

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
