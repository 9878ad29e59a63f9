"""A link as numbers: what a file says of source, arms and detectors, as the objects of this room.

The same groups and names as in the file of a published experiment (``docs/experiments.md``),
without what is published; the units stand in the names.
"""

from pathlib import Path
from typing import Annotated

from msgspec import Meta

from e91.optics.arms import Arm
from e91.optics.detectors import Detector, Receiver
from e91.optics.links import Fibre
from e91.optics.sources import ContinuousSource, PulsedSource
from e91.system.documents import Document, read_toml
from e91.system.refusals import is_refusal

# Floors and ceilings far beyond any experiment, at which all formulas still give numbers.
POSITIVE = 1e-15
ANY = 1e15

Fraction = Annotated[float, Meta(ge=0, le=1)]
ErrorRate = Annotated[float, Meta(ge=0, le=0.5)]
Rate = Annotated[float, Meta(ge=0, le=ANY)]
Decibels = Annotated[float, Meta(ge=0, le=1000)]
Seconds = Annotated[float, Meta(ge=0, le=1)]


class PairState(Document, frozen=True):
    """Noise of the true pairs: a visibility, or both error rates; perfect pairs if nothing."""

    visibility: Fraction | None = None  # contrast of the pairs that are no accidentals
    bit_error: ErrorRate | None = None  # along the key's axis
    phase_error: ErrorRate | None = None  # across it, in the X-Z plane

    def __post_init__(self) -> None:
        both = {self.bit_error is None, self.phase_error is None}
        if len(both) > 1 or (both == {False} and self.visibility is not None):
            raise ValueError(
                "`visibility` must stand alone, or `bit_error` and `phase_error` together, but "
                "another choice of them is given."
            )


class SourceNumbers(Document, frozen=True):
    """Pairs of a continuous-wave source, or of a pulsed one, before losses."""

    pairs_per_second: Rate | None = None
    coherence_time_s: Seconds = 0.0  # spread of the pair's times, full width
    bandwidth_nm: Annotated[float, Meta(ge=0, le=1e4)] = 0.0  # of one photon, full width
    repetition_rate_hz: Annotated[float, Meta(ge=POSITIVE, le=ANY)] | None = None  # of a pump

    def __post_init__(self) -> None:
        for name in ("coherence_time_s", "bandwidth_nm"):
            if getattr(self, name) and self.repetition_rate_hz is not None:
                raise ValueError(
                    f"`{name}` must come with a continuous source, but a repetition rate is given."
                )


class Detection(Document, frozen=True):
    """How clicks become coincidences."""

    coincidence_window_s: Annotated[float, Meta(ge=POSITIVE, le=1)] | None = None  # full width


class SideNumbers(Document, frozen=True):
    """One party's arm and receiver, whose two detectors are alike."""

    loss_db: Decibels = 0.0  # all losses that are not listed apart
    fibre_length_km: Annotated[float, Meta(ge=0, le=1e5)] | None = None
    fibre_attenuation_db_per_km: Decibels | None = None
    fibre_dispersion_ps_per_nm_km: Annotated[float, Meta(ge=-1e6, le=1e6)] = 0.0
    detector_efficiency: Fraction = 1.0  # clicks per photon
    dark_counts_per_second: Rate = 0.0  # of all detectors of the side together
    background_clicks_per_second: Rate = 0.0  # of stray light, of the side
    jitter_fwhm_s: Seconds = 0.0  # spread of click times
    dead_time_s: Seconds = 0.0  # of each detector
    afterpulse_probability: Annotated[float, Meta(ge=0, le=0.999)] = 0.0  # of each click


class LinkNumbers(Document, frozen=True):
    """A source, two arms and a window, by group; None is what was not given.

    Examples:
        >>> side = SideNumbers(fibre_length_km=25, fibre_attenuation_db_per_km=0.2)
        >>> link = LinkNumbers(source=SourceNumbers(pairs_per_second=1e6), alice=side, bob=side)
        >>> arms_of(link)[0].loss_db, source_of(link).pairs_per_second
        (5.0, 1000000.0)
    """

    state: PairState = PairState()
    source: SourceNumbers = SourceNumbers()
    detection: Detection = Detection()
    alice: SideNumbers = SideNumbers()
    bob: SideNumbers = SideNumbers()


def given(value: float | None, what: str) -> float:
    """Return a number that the simulation needs.

    Raises:
        ValueError: It was not given; of an experiment, the sentence is the reason why an outcome is
            not simulated.
    """
    if value is None:
        raise ValueError(f"The parameters must give {what}, but do not.")
    return value


def read_link(file: Path | str) -> LinkNumbers:
    """Return the link that a TOML file describes; the format is in ``docs/optics.md``.

    Args:
        file: Tables ``[source]``, ``[state]``, ``[detection]``, ``[alice]`` and ``[bob]``.

    Returns:
        The numbers as the file has them; what it leaves out is None or the default.

    Raises:
        ValueError: The file cannot be read, is no TOML, has an unknown key or a number that cannot
            be, or lacks the source or the window.

    Examples:
        >>> import tempfile
        >>> source = "[source]", "pairs_per_second = 1e6"
        >>> window = "[detection]", "coincidence_window_s = 1e-9"
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "link.toml"
        ...     _ = file.write_text(chr(10).join([*source, *window]))
        ...     link = read_link(file)
        >>> link.source.pairs_per_second, window_of(link)
        (1000000.0, 1e-09)
    """
    file = Path(file)
    link = read_toml(file, LinkNumbers)
    try:
        source_of(link), arms_of(link), window_of(link)
    except ValueError as error:
        if not is_refusal(error):
            raise
        raise ValueError(f"In `{file}`: {error}") from None
    return link


def source_of(link: LinkNumbers) -> ContinuousSource | PulsedSource:
    """Return the source; with a repetition rate a pulsed one, its numbers of pairs thermal.

    Raises:
        ValueError: ``source.pairs_per_second`` is missing.
    """
    numbers = link.source
    pairs = given(numbers.pairs_per_second, "`source.pairs_per_second`")
    if numbers.repetition_rate_hz is not None:
        return PulsedSource(numbers.repetition_rate_hz, pairs / numbers.repetition_rate_hz)
    return ContinuousSource(pairs, numbers.coherence_time_s, numbers.bandwidth_nm)


def window_of(link: LinkNumbers) -> float:
    """Return the coincidence window in seconds; of a pulsed source the period by default.

    Raises:
        ValueError: It is missing.
    """
    window, pulses = link.detection.coincidence_window_s, link.source.repetition_rate_hz
    if window is None and pulses is not None:
        return 1 / pulses
    return given(window, "`detection.coincidence_window_s`")


def arms_of(link: LinkNumbers) -> tuple[Arm, Arm]:
    """Return Alice's arm and Bob's.

    Raises:
        ValueError: A fibre has no attenuation.
    """
    alice, bob = (
        Arm(
            arm_loss_db(party, side),
            receiver_of(side),
            dispersion_ps_per_nm=side.fibre_dispersion_ps_per_nm_km * (side.fibre_length_km or 0),
        )
        for party, side in (("alice", link.alice), ("bob", link.bob))
    )
    return alice, bob


def arm_loss_db(party: str, side: SideNumbers) -> float:
    """Return the constant loss of one arm up to its detectors: fibre and all that is not listed.

    Raises:
        ValueError: A fibre has no attenuation.
    """
    if side.fibre_length_km is None:
        return side.loss_db
    key = f"`{party}.fibre_attenuation_db_per_km`"
    fibre = Fibre(side.fibre_length_km, given(side.fibre_attenuation_db_per_km, key))
    return side.loss_db + fibre.loss_db


def receiver_of(side: SideNumbers) -> Receiver:
    """Return two like detectors with half of the side's noise each."""
    noise = side.dark_counts_per_second + side.background_clicks_per_second
    detector = Detector(
        side.detector_efficiency,
        noise / 2,
        dead_time_s=side.dead_time_s,
        afterpulse_probability=side.afterpulse_probability,
        jitter_fwhm_s=side.jitter_fwhm_s,
    )
    return Receiver((detector, detector))
