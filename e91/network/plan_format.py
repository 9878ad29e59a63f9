"""The format of a network's file: a class for each table, a field for each key.

Sites, links, lights, detectors and receivers are tables by name, so that a sentence says
``links.R1-R2.length_km``.  A number stands as its source prints it, ``{ printed = "3.1",
unit = "kbit/s", source = "...", seen = "table" }``; one that nobody printed has a ``value`` in
place of the digits and says ``assumed = true``; a number alone is short for the latter, in the
unit of its key.
"""

import math
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated, Literal

from msgspec import Meta, field

from e91.network.layout import (
    KEY_BITS,
    Claim,
    IncidentKind,
    Light,
    Measure,
    Origin,
    Quantity,
    RateMode,
    SiteKind,
    Varied,
)
from e91.system.documents import Document, Finite, NotNegative, Text

UNITS = {
    "km": {"km": "1", "m": "0.001"},
    "dB": {"dB": "1"},
    "%": {"%": "1"},
    "bit/s": {"bit/s": "1", "kbit/s": "1e3", "Mbit/s": "1e6"},
    "bit": {"bit": "1", "kbit": "1e3", "Mbit": "1e6", "MB": "8e6", "MiB": "8388608"},
    "s": {"s": "1", "min": "60", "h": "3600", "d": "86400"},
    "1/s": {"1/s": "1"},
    "keys": {"keys": "1"},
}
"""For the unit of a key, the units that its number may have, and how many of the first it is."""

_Fraction = Annotated[float, Meta(ge=0, le=1)]
_Positive = Annotated[float, Meta(gt=0, le=1e15)]
_Moment = Annotated[
    datetime,
    Meta(tz=True, extra={"must": "be a date and a time with its zone, as in 2016-12-18T22:00:00Z"}),
]
_Count = Annotated[int, Meta(ge=1, le=2**40)]


class NumberEntry(Document, frozen=True):
    """A number with its unit and where it comes from; see `e91.network.layout.Quantity`."""

    unit: Text
    printed: Text | None = None
    value: Finite | None = None
    qualifier: str = ""
    spread: Text | None = None
    source: str = ""
    seen: str = ""
    agrees: bool = False
    assumed: bool = False

    def __post_init__(self) -> None:
        if self.assumed and self.printed is not None:
            raise ValueError("`assumed` must not be true of digits that are printed, but is.")
        if self.assumed and self.value is None:
            raise ValueError("`value` must be a number where it is assumed, but is missing.")
        if self.assumed:
            return
        for key in ("printed", "source", "seen"):
            if not getattr(self, key):
                raise ValueError(
                    f"`{key}` must be given of a number that is not `assumed`, but is missing."
                )
        if self.value is None and _number(str(self.printed)) is None:
            raise ValueError(
                f"`value` must say what number {self.printed!r} stands for, but is missing."
            )

    def as_quantity(self, unit: str | None, *, place: str) -> Quantity:
        """Return the quantity in the unit of its key; None keeps its own unit.

        Raises:
            ValueError: The entry has a unit that is none of the key's.
        """
        known = UNITS[unit] if unit is not None else {self.unit: "1"}
        if self.unit not in known:
            raise ValueError(
                f"`{place}.unit` must be one of {', '.join(known)}, but is {self.unit!r}."
            )
        digits = _number(self.printed or "") if self.value is None else Decimal(repr(self.value))
        assert digits is not None, "an entry without a number does not exist"
        own, value = unit or self.unit, float(digits * Decimal(known[self.unit]))
        if not math.isfinite(value):
            raise ValueError(f"`{place}` must be finite in {own}, but is {digits} {self.unit}.")
        return Quantity(
            value=value,
            unit=own,
            printed=self.printed,
            printed_unit=self.unit if self.unit != own and self.printed is not None else "",
            qualifier=self.qualifier,
            spread=self.spread,
            source=self.source,
            seen=self.seen,
            agrees=self.agrees,
            assumed=self.assumed,
        )


def size_of(unit: str) -> tuple[str, float]:
    """Return the unit that a unit is a multiple of, and how many of it; itself and 1 if unknown.

    Examples:
        >>> size_of("min"), size_of("bit/s"), size_of("1")
        (('s', 60.0), ('bit/s', 1.0), ('1', 1.0))
    """
    for base, units in UNITS.items():
        if unit in units:
            return base, float(units[unit])
    return unit, 1.0


def _number(digits: str) -> Decimal | None:
    """Return what printed digits say, or None of words and ranges."""
    try:
        number = Decimal(digits.replace(",", ""))
    except ArithmeticError:
        return None
    return number if math.isfinite(float(number)) else None


Number = Finite | NumberEntry
"""A number that somebody may have published."""


class SiteEntry(Document, frozen=True):
    """A place; see `e91.network.layout.Site`."""

    kind: SiteKind
    x_km: Finite
    y_km: Finite
    sector: Text | None = None
    assumed: bool = True


class DetectorEntry(Document, frozen=True):
    """A detector by name; a receiver has two; see `e91.optics.Detector`."""

    efficiency: _Fraction
    dark_counts_per_second: NotNegative = 0.0
    dead_time_s: NotNegative = 0.0
    afterpulse_probability: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    jitter_fwhm_s: NotNegative = 0.0
    assumed: bool = True
    note: str = ""


class LightEntry(Document, frozen=True):
    """A kind of link by name; see `e91.network.layout.Light`, whose defaults it has."""

    pairs_per_second: _Positive
    window_s: _Positive
    detectors: tuple[Text, Text]
    coherence_time_s: NotNegative = 0.0
    bandwidth_nm: NotNegative = 0.0
    source_position: _Fraction = Light.source_position
    db_per_km: NotNegative = Light.db_per_km
    coupling_db: NotNegative = Light.coupling_db
    receiver_db: NotNegative = Light.receiver_db
    switch_db: NotNegative = Light.switch_db
    dispersion_ps_per_nm_km: NotNegative = Light.dispersion_ps_per_nm_km
    visibility: _Fraction = Light.visibility
    bit_error: _Fraction = Light.bit_error
    block_rounds: _Count = Light.block_rounds
    revealed_fraction: Annotated[float, Meta(gt=0, lt=1)] | None = Light.revealed_fraction
    alice_probabilities: tuple[float, ...] = Light.alice_probabilities
    bob_probabilities: tuple[float, ...] = Light.bob_probabilities
    epsilon: Annotated[float, Meta(gt=0, lt=1)] = Light.epsilon
    assumed: bool = Light.assumed
    note: str = Light.note


class LinkEntry(Document, frozen=True):
    """A link by name; see `e91.network.layout.LinkPlan`."""

    ends: tuple[Text, Text]
    light: str = ""
    source_position: _Fraction | None = None  # another than the light's
    length_km: Number | None = None
    loss_db: Number | None = None
    medium: Literal["fibre", "aerial-fibre", "free-space", "satellite", "stored"] = "fibre"
    receiver: Text | None = None
    protocol: str = ""
    bits_per_second: Number | None = None
    story_bits_per_second: Number | None = None
    qber: Number | None = None
    delivery_bits: Annotated[int, Meta(ge=0, le=2**40)] = 0
    store: Number | None = None
    least_store: Number = 0.0
    facts: dict[str, NumberEntry] = field(default_factory=dict)


class ReceiverEntry(Document, frozen=True):
    """A receiver by name that links share in time; see `e91.network.layout.SharedReceiver`."""

    switch_s: NotNegative = 0.05


class RequestsEntry(Document, frozen=True):
    """Keys asked for at random; see `e91.network.layout.Requests`."""

    keys_per_second: Number
    key_bits: _Count = KEY_BITS
    within_sector: _Fraction = 0.7
    sectors: tuple[Text, ...] = ()


class RequestFileEntry(Document, frozen=True):
    """Keys asked for one by one, in a CSV file; see `e91.network.layout.RequestList`."""

    file: Text


class CallEntry(Document, frozen=True):
    """A stream under one-time pad; see `e91.network.layout.Call`."""

    source: Text
    target: Text
    bits_per_second: Number | None = None
    carries: Text | None = None
    start_s: Number = 0.0
    end_s: Number | None = None
    chunk_s: _Positive = 1.0


class TransferEntry(Document, frozen=True):
    """A file under one-time pad; see `e91.network.layout.Transfer`."""

    source: Text
    target: Text
    size: Number | None = None
    content: Number | None = None
    start_s: Number = 0.0


class RotationEntry(Document, frozen=True):
    """An encryptor that changes its key; see `e91.network.layout.Rotation`."""

    source: Text
    target: Text
    every_s: Number
    key_bits: Number = float(KEY_BITS)
    store_keys: Number = 0.0
    refill_at: Number = 0.0


class IncidentEntry(Document, frozen=True):
    """Something that happens; see `e91.network.layout.Incident`."""

    kind: IncidentKind
    target: Text
    start_s: Number
    end_s: Number | None = None
    attack: str = ""
    strength: Finite | None = None


_NEEDED = MappingProxyType(
    {
        "way": (Measure.FIRST_USE, Measure.LENGTH, Measure.NET),
        "link": (Measure.LEAST_STORE, Measure.STORE_THEN, Measure.SPENT, Measure.NET),
    }
)
"""Measures that are of a way, and of a link."""


class PrintedEntry(Document, frozen=True):
    """An outcome that was printed, by name; see `e91.network.layout.PrintedOutcome`."""

    quantity: Text
    measure: Measure
    number: NumberEntry | None = None
    words: str = ""
    origin: Origin = Origin.PAPER
    within: NotNegative | None = None
    limit: Literal["", "at least", "at most"] = ""
    shown_in: str = ""  # another unit than the number's
    way: str = ""
    link: str = ""
    note: str = ""
    variants: tuple[Text, ...] = ()  # in which it is compared; all of them if empty

    def __post_init__(self) -> None:
        of_ways = self.measure in (Measure.ORDER, Measure.WAYS)
        if of_ways and not self.words:
            raise ValueError(f"`words` must be given of `{self.measure.value}`, but is missing.")
        if of_ways == (self.number is not None):
            found = "is given" if of_ways else "is missing"
            demand = "not be given" if of_ways else "be given"
            raise ValueError(f"`number` must {demand} of `{self.measure.value}`, but {found}.")
        for key, measures in _NEEDED.items():
            if self.measure in measures and not getattr(self, key):
                raise ValueError(
                    f"`{key}` must be given of `{self.measure.value}`, but is missing."
                )
        if not of_ways and (self.within is None) == (not self.limit):
            both = "neither is" if self.within is None else "both are"
            raise ValueError(f"`within` or `limit` must be given, but {both}.")


class VariationEntry(Document, frozen=True):
    """What changes with time; see `e91.network.layout.Variation`."""

    links: Annotated[tuple[Text, ...], Meta(min_length=1)]
    varied: Varied
    times_s: Annotated[tuple[Finite, ...], Meta(min_length=1)]
    values: Annotated[tuple[Finite, ...], Meta(min_length=1)]
    period_s: _Positive | None = None
    source: Text = "assumed"


class StationEntry(Document, frozen=True):
    """A ground station by the name of its site, and the beam that it gets."""

    latitude_deg: Annotated[float, Meta(ge=-90, le=90)]
    longitude_deg: Annotated[float, Meta(ge=-180, le=180)]
    altitude_m: Annotated[float, Meta(ge=-500, le=9000)]
    telescope_diameter_m: _Positive
    optics_loss_db: NotNegative
    source: Text
    seen: Text
    zenith_loss_db: NotNegative = 1.0
    background_photons_at_receiver_per_second: NotNegative = 0.0
    assumed: tuple[Text, ...] = ()


class SatelliteEntry(Document, frozen=True):
    """A satellite; see `e91.network.layout.Satellite`."""

    name: Text
    two_lines: tuple[Text, Text]
    divergence_half_angle_rad: _Positive
    start: _Moment
    lowest_elevation_deg: dict[str, Annotated[float, Meta(ge=0, le=90)]]
    stations: dict[str, StationEntry]
    source: Text
    seen: Text
    pointing_jitter_rad: NotNegative = 0.0
    sun_below_deg: Annotated[float, Meta(ge=-90, le=0)] = -12.0
    clear_fraction: _Fraction = 1.0
    aboard_loss_db: NotNegative = 0.0
    assumed: tuple[Text, ...] = ()


class GeneratorEntry(Document, frozen=True):
    """A drawn network; see `e91.network.generate`."""

    users: Annotated[int, Meta(ge=1)]
    relays: Annotated[int, Meta(ge=1)]
    switches_per_relay: Annotated[int, Meta(ge=1)] = 2
    chords: Annotated[int, Meta(ge=0)] = 0
    seed: Annotated[int, Meta(ge=0)] = 0
    access_light: Text = "city-access"
    backbone_light: Text = "city-backbone"
    city_km: tuple[_Positive, _Positive] = (16.0, 12.0)
    access_km: tuple[_Positive, _Positive] = (1.5, 8.0)
    sectors: dict[str, _Positive] = field(default_factory=dict)
    second_home: tuple[Text, ...] = ()
    switch_s: NotNegative = 0.05


class NetworkFile(Document, frozen=True):
    """A network's file; see `e91.network.layout.NetworkPlan`."""

    title: Text
    reference: Text = "the user's own"
    summary: str = ""
    licence: str = ""
    rate: RateMode = RateMode.SIMULATED
    rule: Text = "fewest-hops"
    store_s: NotNegative = 20.0
    store_limit_s: NotNegative = 60.0
    patience_s: NotNegative = 1.0
    good_blocks: Annotated[int, Meta(ge=0)] = 3
    keep_store_after_alarm: bool = False
    limits: tuple[Text, ...] = ()
    claims: tuple[Claim, ...] = ()
    facts: dict[str, NumberEntry] = field(default_factory=dict)
    printed: dict[str, PrintedEntry] = field(default_factory=dict)
    minutes: _Positive = 10.0
    generator: GeneratorEntry | None = None
    sites: dict[str, SiteEntry] = field(default_factory=dict)
    links: dict[str, LinkEntry] = field(default_factory=dict)
    lights: dict[str, LightEntry] = field(default_factory=dict)
    detectors: dict[str, DetectorEntry] = field(default_factory=dict)
    receivers: dict[str, ReceiverEntry] = field(default_factory=dict)
    requests: tuple[RequestsEntry, ...] = ()
    request_files: tuple[RequestFileEntry, ...] = ()
    calls: tuple[CallEntry, ...] = ()
    transfers: tuple[TransferEntry, ...] = ()
    rotations: tuple[RotationEntry, ...] = ()
    incidents: tuple[IncidentEntry, ...] = ()
    variations: tuple[VariationEntry, ...] = ()
    satellite: SatelliteEntry | None = None
