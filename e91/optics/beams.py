"""Gaussian beams, air and sky: what becomes of light between two telescopes."""

import numpy as np
from numpy.typing import ArrayLike

from e91.model.numbers import Floats, check_not_negative, check_positive

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
