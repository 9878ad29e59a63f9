"""From laboratories' files of time tags to both parties' tags in order of time."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from e91.optics.tags.time_tags import TagReader
from e91.recorded.tag_files import RecordedTags
from e91.recorded.taggers.detector_map import PARTY, DetectorChannels, DetectorMap
from e91.recorded.taggers.durations import in_words
from e91.recorded.taggers.layouts import NO_OPTIONS, TaggerOptions, open_tags
from e91.recorded.taggers.ordering import Ordering
from e91.recorded.taggers.raw_tags import Counts, RawTags, TagStream, open_file
from e91.recorded.taggers.spool import Spool
from e91.system.progress import waiting

_IN_PLACE = tuple(range(PARTY))

LONGEST_DELAY_S = 1e-3
"""Of a detector: 200 km of cable; beyond it is a typing error."""

Delays = Mapping[int, Fraction]
"""By channel, how many seconds too late its tags are."""


@dataclass(frozen=True)
class TaggerReport:
    """What a tagger's file held, and what was done with it.

    Attributes:
        layout: What it is, in words.
        unit_s: Length of a count.
        tags: How many tags each channel has, by number.
        ignored: The same of channels that are nobody's detectors.
        dummies: Records that stand for no photon, left out.
        unsorted: Tags that were earlier than the one before them, put in order.
        repeated: Tags that were left out, as their channel has one at the same time.
        gaps: Places at which the tagger says that it lost tags.
        sha256: SHA-256 of each file's bytes, by its name.

    Examples:
        >>> print(TaggerReport("text", Fraction(1, 10**12), tags={2: 1, 8: 2}, ignored={}))
        text, a count is 1 ps; 3 tags
    """

    layout: str
    unit_s: Fraction
    tags: Mapping[int, int]
    ignored: Mapping[int, int]
    dummies: int = 0
    unsorted: int = 0
    repeated: int = 0
    gaps: int = 0
    sha256: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        parts = [f"{self.layout}, a count is {in_words(self.unit_s)}"]
        parts.append(f"{sum(self.tags.values()):,} tags")
        for count, words in (
            (self.dummies, "dummy events left out"),
            (self.unsorted, "late tags put in order"),
            (self.repeated, "repeated tags left out"),
            (self.gaps, "places where the tagger lost tags"),
        ):
            if count:
                parts.append(f"{count:,} {words}")
        if self.ignored:
            channels = ", ".join(f"{channel} ({n:,})" for channel, n in self.ignored.items())
            parts.append(f"channels of nobody: {channels}")
        return "; ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, ready for JSON."""
        plain = {name: value for name, value in vars(self).items() if name != "unit_s"}
        return plain | {
            "unit_s": float(self.unit_s),
            "sha256": dict(self.sha256),
            "tags": {str(channel): count for channel, count in self.tags.items()},
            "ignored": {str(channel): count for channel, count in self.ignored.items()},
        }


@dataclass(frozen=True, eq=False)
class TaggerRecording:
    """Both parties' tags from one tagger.

    Attributes:
        alice: Alice's tags.
        bob: Bob's.
        report: What the file held.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "both.csv"
        ...     _ = file.write_text(chr(10).join(["Channel,Time (ps)", "1,100", "2,130", ""]))
        ...     both = load_tagger(file, alice_channels=(1, None), bob_channels=(None, 2))
        >>> len(both.alice.tags.times), both.report.tags
        (1, {1: 1, 2: 1})
    """

    alice: RecordedTags
    bob: RecordedTags
    report: TaggerReport


def load_tagger(
    file: Path | str | Sequence[Path | str],
    *,
    alice_channels: DetectorChannels,
    bob_channels: DetectorChannels,
    options: TaggerOptions = NO_OPTIONS,
    delays: Delays | None = None,
) -> TaggerRecording:
    r"""Return both parties' tags from the file of one tagger.

    Args:
        file: In one of the layouts of `docs/laboratory_files.md`; or, where each channel has a
            file of its own, all of them: their channels are 1, 2, ...
        alice_channels: Alice's channels: outcomes 0 and 1 of setting 0, of setting 1, ...; None
            where there is no detector.
        bob_channels: Bob's.
        options: What the file does not say of itself.
        delays: By channel, how many seconds too late its tags are; they are made that much
            earlier, rounded to a count.

    Returns:
        Both parties' tags, and a report of what the file held.

    Raises:
        ValueError: The file is not recognised or damaged, a channel is named twice, or one of the
            map has no tags.
        OSError: It cannot be read.
        WriteFailed: More than 2^25 tags of a party go to a hidden file, whose disk is full.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "export.csv"
        ...     _ = file.write_text("Channel,Time (ps)\n2,41210073\n10,42445222\n8,47182230\n")
        ...     both = load_tagger(file, alice_channels=(None, 2), bob_channels=(8, 10))
        >>> both.alice.tags.times.tolist(), both.bob.tags.channels.tolist(), str(both.report)
        ([41210073], [1, 0], 'text, a count is 1 ps; 3 tags')
    """
    detectors = DetectorMap(tuple(alice_channels), tuple(bob_channels))
    files = tuple(map(Path, (file,) if isinstance(file, Path | str) else file))
    name = " and ".join(one.name for one in files)
    with waiting(f"Reading {name}"):
        sides, report = _loaded(files, detectors, options, delays or {})
    for party, side in zip(("Alice", "Bob"), sides, strict=True):
        if not len(side):
            raise ValueError(f"`{name}` must hold tags of {party}, but holds none.")
    alice, bob = (_recorded_of(side, report) for side in sides)
    return TaggerRecording(alice, bob, report)


def load_party(
    file: Path | str,
    *,
    channels: DetectorChannels | None = None,
    options: TaggerOptions = NO_OPTIONS,
    delays: Delays | None = None,
) -> tuple[RecordedTags, TaggerReport]:
    """Return one party's tags from a tagger's file of its own.

    Args:
        file: As of `load_tagger`.
        channels: The party's channels, as in the file; None if they are 2 * setting + outcome.
        options: As of `load_tagger`.
        delays: As of `load_tagger`.

    Returns:
        The tags, and what the file held.

    Raises:
        ValueError: As `load_tagger`.
        OSError: It cannot be read.
        WriteFailed: As `load_tagger`.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "bob.csv"
        ...     _ = file.write_text(chr(10).join(["Channel,Time (ps)", "4,1200", "5,4700", ""]))
        ...     found, report = load_party(file, channels=(4, 5))
        >>> found.tags.times.tolist(), found.tags.channels.tolist(), str(report)
        ([1200, 4700], [0, 1], 'text, a count is 1 ps; 2 tags')
    """
    file = Path(file)
    detectors = DetectorMap(_IN_PLACE if channels is None else tuple(channels), ())
    (side, _), report = _loaded(
        (file,), detectors, options, delays or {}, all_must_click=channels is not None
    )
    if not len(side):
        raise ValueError(f"`{file}` must hold at least one time tag, but holds none.")
    return _recorded_of(side, report), report


def _recorded_of(side: TagReader, report: TaggerReport) -> RecordedTags:
    digests = list(report.sha256.values())
    together = hashlib.sha256(" ".join(digests).encode()).hexdigest()
    return RecordedTags(side, digests[0] if len(digests) == 1 else together, False, {})


def _loaded(
    files: tuple[Path, ...],
    detectors: DetectorMap,
    options: TaggerOptions,
    delays: Delays,
    *,
    all_must_click: bool = True,
) -> tuple[tuple[TagReader, TagReader], TaggerReport]:
    """Return both sides' tags of some files of one tagger, and the report."""
    streams = [open_tags(file, options) for file in files]
    if not (all_must_click or streams[0].counts_from_zero):
        raise ValueError(
            f"The channels of `{files[0]}` must be named, as its layout counts them from 1 or has "
            "no rule; in order: outcomes 0 and 1 of setting 0, of setting 1, ..."
        )
    stream = streams[0] if len(streams) == 1 else _merged(streams, files)
    gathered = _Gathered(detectors, _shifts(delays, detectors, stream.unit_s))
    try:
        with ThreadPoolExecutor(1, thread_name_prefix="e91-tagger") as pool:
            digests = pool.map(_sha256, files)
            for piece in stream.pieces:
                gathered.take(piece)
            sha256 = dict(zip((file.name for file in files), digests, strict=True))
        report = replace(gathered.report(stream), sha256=sha256)
        if all_must_click:
            detectors.check_all_click(report.tags)
        return gathered.readers(stream.unit_s, report)
    except BaseException:
        gathered.drop()
        raise


def _sha256(file: Path) -> str:
    with open_file(file) as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _shifts(delays: Delays, detectors: DetectorMap, unit_s: Fraction) -> Counts | None:
    """Return the counts to take from the times of each detector, by its place in the map."""
    if not delays:
        return None
    shifts = np.zeros(2 * PARTY, np.int64)
    for channel, seconds in delays.items():
        if channel not in detectors.named():
            raise ValueError(
                f"`delay` must name channels of the detectors, but channel {channel} is nobody's."
            )
        if not abs(seconds) <= LONGEST_DELAY_S:
            raise ValueError(
                f"`delay` must be at most {LONGEST_DELAY_S:g} s, but is {float(seconds):g} s for "
                f"channel {channel}."
            )
        shifts[detectors.places[channel]] = round(Fraction(seconds) / unit_s)
    return shifts


@dataclass(eq=False)
class _Gathered:
    """Both parties' tags so far, and what was seen on the way.

    Attributes:
        detectors: Whose channels are whose.
        shifts: Counts to take from the times, by detector; None for nothing.
    """

    detectors: DetectorMap
    shifts: Counts | None
    orderings: tuple[Ordering, Ordering] = field(default_factory=lambda: (Ordering(), Ordering()))
    spools: tuple[Spool, Spool] = field(default_factory=lambda: (Spool(), Spool()))
    counts: Counts = field(default_factory=lambda: np.zeros(2**16, np.int64))
    last: int | None = None
    unsorted: int = 0
    dummies: int = 0
    gaps: int = 0

    def take(self, raw: RawTags) -> None:
        """Sort tags out to the parties."""
        self.dummies += raw.dummies
        self.gaps += raw.gaps
        if not len(raw.times):
            return
        self.counts += np.bincount(raw.channels.view(np.uint16), minlength=2**16)
        self.unsorted += int(np.count_nonzero(raw.times[1:] < raw.times[:-1]))
        self.unsorted += self.last is not None and int(raw.times[0]) < self.last
        self.last = int(raw.times[-1])
        places = self.detectors.of(raw.channels)
        for party, (ordering, spool) in enumerate(zip(self.orderings, self.spools, strict=True)):
            chosen = np.flatnonzero((places & -PARTY) == PARTY * party)
            if not len(chosen):
                continue
            times, detectors = raw.times[chosen], places[chosen]
            if self.shifts is not None:
                times = times - self.shifts[detectors]
            spool.append(ordering.push(times, detectors.astype(np.uint8)))

    def report(self, stream: TagStream) -> TaggerReport:
        """Return what was seen."""
        for ordering, spool in zip(self.orderings, self.spools, strict=True):
            spool.append(ordering.flush())
        seen = np.flatnonzero(self.counts)
        channels = seen.astype(np.uint16).view(np.int16)
        tags = dict(sorted(zip(channels.tolist(), self.counts[seen].tolist(), strict=True)))
        named = set(self.detectors.named())
        ignored = {channel: count for channel, count in tags.items() if channel not in named}
        return TaggerReport(
            stream.layout, stream.unit_s, tags, ignored, self.dummies, self.unsorted, gaps=self.gaps
        )

    def readers(
        self, unit_s: Fraction, report: TaggerReport
    ) -> tuple[tuple[TagReader, TagReader], TaggerReport]:
        """Return both parties' tags, and the report with the number of repeated ones."""
        sides, repeated = [], 0
        for ordering, spool in zip(self.orderings, self.spools, strict=True):
            reader, more = spool.reader(unit_s, must_sort=ordering.is_beaten)
            repeated += ordering.repeated + more
            sides.append(reader)
        return (sides[0], sides[1]), replace(report, repeated=repeated)

    def drop(self) -> None:
        """Close what is open."""
        for spool in self.spools:
            spool.drop()


def _merged(streams: list[TagStream], files: tuple[Path, ...]) -> TagStream:
    """Return files of one channel each as one stream, with channels 1, 2, ...

    Raises:
        ValueError: Their layouts or units differ.
    """
    first = streams[0]
    for stream, file in zip(streams, files, strict=True):
        if (stream.layout, stream.unit_s) != (first.layout, first.unit_s):
            raise ValueError(
                f"All files of a tagger must have one layout and unit, but `{file}` is "
                f"{stream.layout} and `{files[0]}` {first.layout}."
            )
    sources = [_numbered(stream.pieces, number) for number, stream in enumerate(streams, 1)]
    return replace(first, pieces=_in_step(sources))


def _numbered(pieces: Iterator[RawTags], number: int) -> Iterator[RawTags]:
    for piece in pieces:
        if np.any(piece.channels != 1):
            raise ValueError(
                "Several files of a tagger must hold one channel each, but one holds several."
            )
        yield replace(piece, channels=np.full(len(piece.times), number, np.int16))


def _in_step(sources: list[Iterator[RawTags]]) -> Iterator[RawTags]:
    """Yield the tags of several files in order of time, if each is in order."""
    held = {number: piece for number, source in enumerate(sources) if (piece := next(source, None))}
    while held:
        # Until there no file can still bring an earlier tag.
        until = min(int(piece.times[-1]) for piece in held.values())
        parts = []
        for number, piece in list(held.items()):
            cut = int(np.searchsorted(piece.times, until, side="right"))
            parts.append((piece.times[:cut], piece.channels[:cut]))
            rest = RawTags(piece.times[cut:], piece.channels[cut:])
            following = rest if len(rest.times) else next(sources[number], None)
            if following is None:
                del held[number]
            else:
                held[number] = following
        times = np.concatenate([part[0] for part in parts])
        order: NDArray[np.intp] = np.argsort(times, kind="stable")
        channels = np.concatenate([part[1] for part in parts])
        yield RawTags(times[order], channels[order])
