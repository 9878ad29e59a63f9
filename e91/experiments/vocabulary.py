"""The words of an experiment file: every key with its range, every quantity with its unit."""

from __future__ import annotations

import math
from dataclasses import dataclass

from e91.model.settings import ASYMMETRIC, BBM92, EKERT, Settings


@dataclass(frozen=True)
class Range:
    """Where a parameter must lie.

    Attributes:
        low: Least value.
        high: Greatest value.
        meaning: What it is, for the documentation.
    """

    low: float
    high: float
    meaning: str


# Floors and ceilings far beyond any experiment, at which all formulas still give numbers.
_POSITIVE = 1e-15
_ANY = 1e15
_COUNT = 1e12
_DB = 1000.0

PARAMETERS = {
    "state.visibility": Range(0, 1, "contrast of the pairs that are no accidentals (white noise)"),
    "state.bit_error": Range(0, 0.5, "errors of true pairs along the key's axis"),
    "state.phase_error": Range(0, 0.5, "errors of true pairs across it, in the X-Z plane"),
    "source.pairs_per_second": Range(0, _ANY, "pairs of a continuous-wave source, before losses"),
    "source.coherence_time_s": Range(0, 1, "spread of the pair's times, full width"),
    "detection.coincidence_window_s": Range(_POSITIVE, 1, "full width of the window"),
    "measured.coincidences_per_second": Range(0, _ANY, "taken from the paper, not simulated"),
    "measured.signal_to_noise": Range(0, _ANY, "true pairs over accidentals, taken from the paper"),
    "protocol.sifted_fraction": Range(0, 1, "coincidences that become key bits"),
    "protocol.sifted_bits": Range(0, _COUNT, "key bits in which errors were counted"),
    "protocol.chsh_coincidences": Range(0, _COUNT, "coincidences of the Bell test, all four pairs"),
    "protocol.duration_s": Range(0, _COUNT, "time over which coincidences were counted"),
    "protocol.error_correction_efficiency": Range(1, 100, "disclosed bits over the Shannon limit"),
    "protocol.key_bits": Range(1, _COUNT, "bits of one block that make key"),
    "protocol.test_bits": Range(1, _COUNT, "revealed bits of one block"),
    "protocol.rounds": Range(1000, _COUNT, "rounds of a device-independent session"),
    "protocol.test_fraction": Range(1e-6, 1, "chance that a round of a fixed session is a test"),
    "protocol.expected_chsh": Range(2, 2 * math.sqrt(2), "S that a fixed session is laid out for"),
    "protocol.expected_qber": Range(0, 0.5, "QBER that a fixed session is laid out for"),
    "protocol.epsilon": Range(1e-150, 1, "failure probability of the key"),
    "orbit.altitude_km": Range(1, 1e6, "of the satellite; with it, rates are of a pass"),
    "orbit.inclination_deg": Range(0, 180, "of the orbit"),
    "orbit.longitude_offset_deg": Range(-60, 60, "of the track from the middle of both stations"),
    "orbit.lowest_elevation_deg": Range(0, 90, "below it the telescopes do not follow"),
    **{
        f"{party}.{name}": limits
        for party in ("alice", "bob")
        for name, limits in {
            "loss_db": Range(0, _DB, "all losses of the arm that are not listed apart"),
            "fibre_length_km": Range(0, 1e5, "length of fibre"),
            "fibre_attenuation_db_per_km": Range(0, _DB, "its attenuation"),
            "latitude_deg": Range(-90, 90, "of the ground station, north positive"),
            "longitude_deg": Range(-180, 180, "of the ground station, east positive"),
            "altitude_m": Range(-500, 9000, "of the ground station"),
            "divergence_half_angle_rad": Range(1e-12, 1, "where the intensity falls to 1/e^2"),
            "telescope_diameter_m": Range(1e-6, 1000, "of the receiver"),
            "pointing_jitter_rad": Range(0, 1, "standard deviation along each axis"),
            "zenith_loss_db": Range(0, _DB, "extinction of the air straight up"),
            "detector_efficiency": Range(0, 1, "clicks per photon"),
            "dark_counts_per_second": Range(0, _ANY, "of all detectors of the side together"),
            "background_clicks_per_second": Range(0, _ANY, "of stray light, of the side"),
            "jitter_fwhm_s": Range(0, 1, "spread of click times"),
        }.items()
    },
}
"""Every parameter that a file may have, by its key."""

QUANTITIES = {
    "chsh": "1",
    "wigner": "1",
    "qber": "1",
    "visibility": "1",
    "fidelity": "1",
    "concurrence": "1",
    "coincidences_per_second": "1/s",
    "signal_to_noise": "1",
    "link_loss": "dB",
    "sifted_bits_per_second": "bit/s",
    "sifted_bits": "bit",
    "secret_bits_per_second": "bit/s",
    "secret_bits_per_event": "bit",
    "secret_bits": "bit",
    "fixed_session_bits_per_round": "bit",
}
"""Every quantity that can be compared, with its unit."""

_DEGREE = math.pi / 180

WIGNER = Settings(
    name="wigner",
    alice_angles=(-60 * _DEGREE, 0.0),
    bob_angles=(0.0, 60 * _DEGREE),
    key_pairs=((1, 0),),
)
"""Polarisers at -30 and 0 degrees with Alice, 0 and 30 with Bob (Wigner's inequality)."""

SETTINGS = {settings.name: settings for settings in (EKERT, ASYMMETRIC, BBM92, WIGNER)}
"""The settings that a file may name."""
