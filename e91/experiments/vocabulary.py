"""The words of an experiment file: every parameter with its range, every quantity with its unit."""

import math
from typing import Annotated

from msgspec import Meta, inspect

from e91.model.numbers import TSIRELSON
from e91.model.settings import ASYMMETRIC, BBM92, EKERT, Settings
from e91.optics.link_files import (
    Decibels,
    ErrorRate,
    Fraction,
    LinkNumbers,
    Rate,
    Seconds,
    SideNumbers,
)
from e91.system.documents import Document

_COUNT = 1e12

_Count = Annotated[float, Meta(ge=0, le=_COUNT)]
_OneOrMore = Annotated[float, Meta(ge=1, le=_COUNT)]


class Measured(Document, frozen=True):
    """What is taken from the paper instead of being simulated."""

    coincidences_per_second: Rate | None = None
    signal_to_noise: Rate = math.inf  # true pairs over accidentals


class Protocol(Document, frozen=True):
    """Counts, and what the key is made with."""

    sifted_fraction: Fraction | None = None  # coincidences that become key bits
    sifted_bits: _Count | None = None  # key bits in which errors were counted
    chsh_coincidences: _Count | None = None  # of all four setting pairs
    duration_s: _Count | None = None  # time over which coincidences were counted
    error_correction_efficiency: Annotated[float, Meta(ge=1, le=100)] | None = None
    key_bits: _OneOrMore | None = None  # of one block, that make key
    test_bits: _OneOrMore | None = None  # of one block, that are revealed
    rounds: Annotated[float, Meta(ge=1000, le=_COUNT)] | None = None  # device-independent session
    test_fraction: Annotated[float, Meta(ge=1e-6, le=1)] | None = None  # of a fixed session
    expected_chsh: Annotated[float, Meta(ge=2, le=TSIRELSON)] | None = None  # laid out for
    expected_qber: ErrorRate | None = None  # laid out for
    epsilon: Annotated[float, Meta(ge=1e-150, le=1)] | None = None  # failure probability


class Orbit(Document, frozen=True):
    """The satellite; with an altitude, rates are means over its pass."""

    altitude_km: Annotated[float, Meta(ge=1, le=1e6)] | None = None
    inclination_deg: Annotated[float, Meta(ge=0, le=180)] | None = None
    longitude_offset_deg: Annotated[float, Meta(ge=-60, le=60)] = 0.0
    lowest_elevation_deg: Annotated[float, Meta(ge=0, le=90)] | None = None


class ArmNumbers(SideNumbers, frozen=True):
    """One party's arm, receiver and, for a satellite, ground station."""

    latitude_deg: Annotated[float, Meta(ge=-90, le=90)] | None = None  # north positive
    longitude_deg: Annotated[float, Meta(ge=-180, le=180)] | None = None  # east positive
    altitude_m: Annotated[float, Meta(ge=-500, le=9000)] = 0.0
    divergence_half_angle_rad: Annotated[float, Meta(ge=1e-12, le=1)] | None = None  # to 1/e^2
    telescope_diameter_m: Annotated[float, Meta(ge=1e-6, le=1000)] | None = None  # the receiver's
    pointing_jitter_rad: Seconds = 0.0  # standard deviation along each axis
    zenith_loss_db: Decibels = 0.0  # extinction of the air straight up


class Numbers(LinkNumbers, frozen=True):
    """All that the simulation of an experiment starts from, by group; None is what was not given.

    ``docs/experiments.md`` says what each number is; the units stand in the names.
    """

    measured: Measured = Measured()
    orbit: Orbit = Orbit()
    alice: ArmNumbers = ArmNumbers()
    bob: ArmNumbers = ArmNumbers()
    protocol: Protocol = Protocol()


def _ranges() -> dict[str, tuple[float, float]]:
    found = {}
    for group in _fields(Numbers):
        for number in _fields(group.type.cls):  # type: ignore[attr-defined]
            kind = number.type
            limits = kind.types[0] if isinstance(kind, inspect.UnionType) else kind
            assert isinstance(limits, inspect.FloatType)
            found[f"{group.name}.{number.name}"] = (float(limits.ge or 0), float(limits.le or 0))
    return found


def _fields(group: type[Document]) -> tuple[inspect.Field, ...]:
    kind = inspect.type_info(group)
    assert isinstance(kind, inspect.StructType)
    return kind.fields


PARAMETERS = _ranges()
"""Every parameter that a file may have, by its key: its least and its greatest value."""

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
