"""Options for laboratories' own files of time tags, and both parties' tags from such files."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import click

from e91.cli.options import as_one

if TYPE_CHECKING:
    from e91.optics.tags import DetectorDelays
    from e91.optics.tags.clock_track import ClockTrack
    from e91.recorded import RecordedTags
    from e91.recorded.taggers import TaggerOptions, TaggerReport

_PARTIES = ("alice", "bob")
FIND = "find"


@dataclass(frozen=True)
class TaggerWords:
    """What the command line says of a tagger's files, as it was written.

    Attributes:
        alice_channels: Alice's channels, by detector.
        bob_channels: Bob's.
        layout: Layout of a file without a signature.
        unit: Length of a count.
        columns: Names of the columns, ``NAME=COLUMN,...``.
        plus_minus_one: Whether outcomes of detections are +1, -1, and 0 for no click.
        delay: ``CHANNEL=DURATION``, each.
        delays_ps: Delays of all channels in picoseconds, Alice's first, in the order of the
            channels.
    """

    alice_channels: str | None
    bob_channels: str | None
    layout: str | None
    unit: str | None
    columns: str | None
    plus_minus_one: bool
    delay: tuple[str, ...]
    delays_ps: str | None = None

    @property
    def is_given(self) -> bool:
        """Whether any of them is there."""
        words = (self.alice_channels, self.bob_channels, self.layout, self.unit)
        return any((*words, self.delay, self.delays_ps))

    @property
    def finds_delays(self) -> bool:
        """Whether delays are to be found from the coincidences.

        Raises:
            ValueError: Some are given as well.
        """
        if FIND in self.delay and (len(self.delay) > 1 or self.delays_ps):
            raise ValueError(f"`--delay {FIND}` must come alone, but there are other delays.")
        return self.delay == (FIND,)

    def options(self) -> "TaggerOptions":
        """Return what the files do not say of themselves.

        Raises:
            ValueError: Something is not as it must be.
        """
        from e91.recorded.taggers import TaggerOptions, parse_duration

        named = named_columns(self.columns, ("time", "channel"))
        return TaggerOptions(
            self.layout,
            None if self.unit is None else parse_duration(self.unit, "--unit"),
            named.get("time"),
            named.get("channel"),
        )

    def channels(self) -> tuple[tuple[int | None, ...] | None, tuple[int | None, ...] | None]:
        """Return both parties' channels, None where they are not given.

        Raises:
            ValueError: They are no numbers.
        """
        from e91.recorded.taggers import parse_channels

        alice, bob = (
            None if text is None else parse_channels(text, name)
            for text, name in (
                (self.alice_channels, "--alice-channels"),
                (self.bob_channels, "--bob-channels"),
            )
        )
        return alice, bob

    def delays(self, party: str | None) -> dict[int, Fraction]:
        """Return the delays of a party's file, or of the one tagger's if None.

        Raises:
            ValueError: A delay has another form, or a channel has two.
        """
        from e91.recorded.taggers import parse_duration

        found = self._delays_in_order(party)
        for text in () if self.finds_delays else self.delay:
            left, equals, duration = text.partition("=")
            side, colon, channel = left.rpartition(":")
            wanted = _PARTIES if party else ("",)
            if not (equals and side in wanted and bool(colon) == bool(party)):
                raise ValueError(
                    f"`--delay` must be {'PARTY:' if party else ''}CHANNEL=DURATION, such as "
                    f"{'alice:' if party else ''}3=2.3ns, but is `{text[:40]}`."
                )
            if party and side != party:
                continue
            number = _channel(channel)
            if number in found:
                raise ValueError(f"`--delay` must be given once a channel, but {number} has two.")
            found[number] = parse_duration(duration, "--delay")
        return found

    def _delays_in_order(self, party: str | None) -> dict[int, Fraction]:
        """Return the delays that `--delays-ps` gives to the channels, in their order."""
        from e91.recorded.taggers import parse_duration

        if self.delays_ps is None:
            return {}
        sides = dict(zip(_PARTIES, self.channels(), strict=True))
        channels = [(side, channel) for side, all_of in sides.items() for channel in all_of or ()]
        numbers = self.delays_ps.split(",")
        if len(numbers) != len(channels):
            raise ValueError(
                f"`--delays-ps` must have one number for each of {len(channels)} channels, Alice's "
                f"first, but has {len(numbers)}."
            )
        return {
            channel: parse_duration(f"{number.strip()}ps", "--delays-ps")
            for (side, channel), number in zip(channels, numbers, strict=True)
            if channel is not None and party in (None, side)
        }


def _channel(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"`--delay` must name a channel's number, but is `{text[:40]}`.") from None


def named_columns(text: str | None, known: Sequence[str]) -> dict[str, str]:
    """Return a file's columns by the names used here, from ``NAME=COLUMN,...``.

    Raises:
        ValueError: The text has another form, or a name is unknown or stands twice.

    Examples:
        >>> named_columns("time=T (ps),channel=Ch", ("time", "channel"))
        {'time': 'T (ps)', 'channel': 'Ch'}
    """
    found: dict[str, str] = {}
    for part in text.split(",") if text else ():
        name, equals, column = part.partition("=")
        if not equals or name.strip() not in known or name.strip() in found:
            raise ValueError(
                f"`--columns` must be NAME=COLUMN with commas between, each of {', '.join(known)} "
                f"at most once, but is `{str(text)[:60]}`."
            )
        found[name.strip()] = column.strip()
    return found


TAGGER = as_one(
    "tagger",
    TaggerWords,
    click.option("--alice-channels", metavar="N,N,...",
                 help="Alice's channels in the files: outcomes 0 and 1 of setting 0, of setting 1, "
                 "...; x for no detector."),
    click.option("--bob-channels", metavar="N,N,...", help="The same of Bob."),
    click.option("--format", "layout", metavar="NAME",
                 help="Layout of files that do not say it: a1, a1X, a2, qutools, qutools-raw, "
                 "qutools-compressed, idq, idq-reference, swabian-dump, text, ttbin."),
    click.option("--unit", metavar="DURATION",
                 help="Length of one count, such as 81ps, if the file does not state it."),
    click.option("--columns", metavar="NAME=COLUMN,...",
                 help="What the file calls its columns: time=..., channel=...; of detections "
                 "alice_setting=... and so on."),
    click.option("--plus-minus-one", is_flag=True,
                 help="Outcomes of detections are +1, -1, and 0 for no click."),
    click.option("--delay", multiple=True, metavar="CHANNEL=DURATION",
                 help="How much too late a channel's tags are, such as 3=2.3ns; alice:3=2.3ns with "
                 "a file for each party.  Can be repeated; `find` finds all of them."),
    click.option("--delays-ps", metavar="N,N,...",
                 help="The same of all channels in picoseconds, in their order, Alice's first."),
)  # fmt: skip


@dataclass(frozen=True)
class BothTags:
    """Both parties' tags, and what is known of a tagger's files.

    Attributes:
        alice: Alice's tags.
        bob: Bob's.
        reports: What each tagger's file held, by the words that name it; none for files in this
            package's own layout.
        delays: Delays that were found and taken away, as for `--delay`.
    """

    alice: "RecordedTags"
    bob: "RecordedTags"
    reports: dict[str, "TaggerReport"]
    delays: tuple[str, ...] = ()


def load_both(files: tuple[Path, ...], words: TaggerWords) -> BothTags:
    """Return both parties' tags, of one tagger or of two.

    Raises:
        ValueError: A file is not as it must be.
        OSError: It cannot be read.
    """
    from e91.recorded.taggers import load_tagger

    if words.plus_minus_one:
        raise ValueError("`--plus-minus-one` must come with detections, but here are time tags.")
    alice, bob = words.channels()
    if not _is_one_tagger(files, words):
        return _load_each(files[0], files[1], words)
    if alice is None or bob is None:
        raise ValueError(
            "One tagger's tags must come with `--alice-channels` and `--bob-channels`, but "
            f"{'both are' if alice is bob else 'one is'} missing; without one tagger there must be "
            "a file for each party."
        )
    found = load_tagger(
        files,
        alice_channels=alice,
        bob_channels=bob,
        options=words.options(),
        delays=words.delays(None),
    )
    return BothTags(found.alice, found.bob, {" and ".join(f.name for f in files): found.report})


def _is_one_tagger(files: tuple[Path, ...], words: TaggerWords) -> bool:
    """Return whether the files are one tagger's: but for two, each of a party."""
    from e91.recorded.taggers.tag_words import ONE_CHANNEL_A_FILE

    return len(files) != 2 or words.layout in ONE_CHANNEL_A_FILE


def _load_each(alice_file: Path, bob_file: Path, words: TaggerWords) -> BothTags:
    from e91.recorded import load_time_tags
    from e91.recorded.taggers import has_laboratory_layout, load_party

    loaded, reports = [], {}
    for file, channels, party in zip(
        (alice_file, bob_file), words.channels(), _PARTIES, strict=True
    ):
        if not (words.is_given or words.columns or has_laboratory_layout(file)):
            loaded.append(load_time_tags(file))
            continue
        side, report = load_party(
            file, channels=channels, options=words.options(), delays=words.delays(party)
        )
        loaded.append(side)
        reports[f"{party.title()}'s {file.name}"] = report
    return BothTags(loaded[0], loaded[1], reports)


def load_and_find_delays(
    files: tuple[Path, ...],
    words: TaggerWords,
    *,
    window_s: float,
    pulse_period_s: float | None,
    maximum_offset_s: float,
    maximum_frequency_error_ppm: float,
) -> BothTags:
    """Return both parties' tags, with the delays taken away that are given or found.

    Raises:
        ValueError: A file is not as it must be, or delays are not found.
        OSError: A file cannot be read.
    """
    both = load_both(files, words)
    if not words.finds_delays:
        return both
    from e91.optics.tags import find_detector_delays

    found = find_detector_delays(
        both.alice.tags,
        both.bob.tags,
        window_s=window_s,
        pulse_period_s=pulse_period_s,
        maximum_offset_s=maximum_offset_s,
        maximum_frequency_error_ppm=maximum_frequency_error_ppm,
    )
    options = _as_options(found, files, words, above_s=0.0)
    if not options:
        return both
    corrected = load_both(files, replace(words, delay=options))
    return replace(corrected, delays=options)


def late_channels(
    both: BothTags,
    files: tuple[Path, ...],
    words: TaggerWords,
    *,
    clock: "ClockTrack",
    window_s: float,
    pulse_period_s: float | None,
) -> tuple[str, ...]:
    """Return which channels are late by more than a quarter of the window, as for `--delay`.

    None if delays were given or found, or if the coincidences do not tell.
    """
    from e91.optics.tags.detector_delays import REACHES_S, measure_delays

    if words.delay or words.delays_ps:
        return ()
    reach_s = REACHES_S[0] if pulse_period_s is None else 0.4 * pulse_period_s
    found = measure_delays(
        both.alice.tags, both.bob.tags, clock=clock, window_s=window_s, reach_s=reach_s
    )
    if not found.seconds or found.apart or found.residual_s > window_s / 2:
        return ()
    return _as_options(found, files, words, above_s=window_s / 4)


def _as_options(
    delays: "DetectorDelays", files: tuple[Path, ...], words: TaggerWords, *, above_s: float
) -> tuple[str, ...]:
    """Return delays beyond ``above_s`` as they are written behind `--delay`."""
    found = []
    for (party, detector), seconds in delays.seconds.items():
        picoseconds = round(1e12 * seconds)
        if not picoseconds or abs(seconds) <= above_s:
            continue
        channels = words.channels()[_PARTIES.index(party.value)]
        channel = detector if channels is None else channels[detector]
        prefix = "" if _is_one_tagger(files, words) else f"{party.value}:"
        found.append(f"{prefix}{channel}={picoseconds}ps")
    return tuple(found)
