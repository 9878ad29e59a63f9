"""Which layout a file has: by its first bytes and its content, never by its name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from e91.recorded.record_files import MOST_TAGS_IN_MEMORY, load_table
from e91.recorded.rows import GZIP, is_text
from e91.recorded.tables import TAG_COLUMNS
from e91.recorded.taggers.durations import in_words
from e91.recorded.taggers.hdf5_columns import open_hdf5
from e91.recorded.taggers.picoquant import open_hydraharp, open_picoharp, open_ptu
from e91.recorded.taggers.raw_tags import PICOSECOND, PIECE, RawTags, TagStream, beginning
from e91.recorded.taggers.swabian import open_ttbin
from e91.recorded.taggers.tag_words import WORD_LAYOUTS
from e91.recorded.taggers.text_columns import open_text
from e91.system.documents import did_you_mean

_HEAD = 4096
_LIKELY, _UNLIKELY = 0.02, 0.1  # of descending times: of a tagger, and of a wrong layout
_FEWEST_WORDS = 8
_HIGHEST_LIKELY_CHANNEL = 128


@dataclass(frozen=True)
class TaggerOptions:
    """What a file of time tags does not say of itself.

    Attributes:
        layout: One of `LAYOUT_NAMES`; None if the file has a signature or is text.
        unit_s: Length of a count; None if the file states it.
        time_column: Name or path of the column of times, of text and HDF5; None if it is found.
        channel_column: The same of the channels.

    Raises:
        ValueError: The layout is unknown, or the unit is not positive.

    Examples:
        >>> TaggerOptions(unit_s=Fraction(1, 10**12), channel_column="detector").layout is None
        True
    """

    layout: str | None = None
    unit_s: Fraction | None = None
    time_column: str | None = None
    channel_column: str | None = None

    def __post_init__(self) -> None:
        if self.layout is not None and self.layout not in LAYOUT_NAMES:
            raise ValueError(
                f"`format` must be one of {', '.join(LAYOUT_NAMES)}, but is `{self.layout}`"
                f"{did_you_mean(self.layout, LAYOUT_NAMES)}"
            )
        if self.unit_s is not None and not 0 < self.unit_s <= 1:
            raise ValueError(
                f"`unit` must be positive and at most a second, but is {float(self.unit_s):g} s."
            )


LAYOUT_NAMES = (*WORD_LAYOUTS, "text", "ttbin")
"""Layouts that can be asked for; all others have a signature."""

NO_OPTIONS = TaggerOptions()

_SIGNED: Mapping[bytes, Callable[[Path], TagStream]] = {
    b"PQTTTR\0\0": open_ptu,
    b"PicoHarp 300\0": open_picoharp,
    b"HydraHarp\0": open_hydraharp,
}
_NO_TAGS = {
    b"PQHISTO\0": "a PicoQuant histogram, which holds no time tags",
    b"TimeHarp": "a file of a TimeHarp 100 or 200, which cannot be read",
}
_TABLES = (b"PK\x03\x04", b"PAR1")
HDF5 = b"\x89HDF\r\n\x1a\n"


def has_laboratory_layout(file: Path) -> bool:
    """Return whether a file is a tagger's, and neither a table nor text.

    Args:
        file: Any file; its beginning is looked at.

    Returns:
        Whether it is; False of an empty file.

    Raises:
        OSError: It cannot be read.

    Examples:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     table, tags = Path(folder, "table.csv"), Path(folder, "run.ptu")
        ...     _ = table.write_text("time_s,channel")
        ...     _ = tags.write_bytes(bytes([80, 81, 84, 84, 84, 82, 0, 0]))
        ...     has_laboratory_layout(table), has_laboratory_layout(tags)
        (False, True)
    """
    head = beginning(file, _HEAD)
    return bool(head) and not (head.startswith((*_TABLES, GZIP)) or is_text(head))


def open_tags(file: Path, options: TaggerOptions = NO_OPTIONS) -> TagStream:
    """Open a tagger's file.

    Args:
        file: In one of the layouts of `docs/laboratory_files.md`.
        options: What it does not say of itself.

    Returns:
        The layout, the length of a count, and the tags in pieces that can be read once.

    Raises:
        ValueError: The layout is not recognised, is not the one asked for, needs a unit, or the
            file is damaged.
        OSError: It cannot be read.

    Examples:
        >>> from tempfile import NamedTemporaryFile
        >>> with NamedTemporaryFile("w", suffix=".txt") as file:
        ...     for line in ("1000 0", "1250 3"):
        ...         print(line, file=file, flush=True)
        ...     stream = open_tags(Path(file.name), TaggerOptions(unit_s=Fraction(1, 10**12)))
        ...     [piece.times.tolist() for piece in stream.pieces]
        [[1000, 1250]]
    """
    head = beginning(file, _HEAD)
    if not head:
        raise ValueError(f"`{file}` must hold time tags, but is empty.")
    for signature, what in _NO_TAGS.items():
        if head.startswith(signature):
            raise ValueError(f"`{file}` must hold time tags, but is {what}.")
    if options.layout == "ttbin":
        return open_ttbin(file)
    for signature, reader in _SIGNED.items():
        if head.startswith(signature):
            _check_nothing_asked(file, options)
            return reader(file)
    if head.startswith(_TABLES):
        return _table(file, options)
    if head.startswith(HDF5):
        return open_hdf5(
            file,
            unit_s=options.unit_s,
            time_column=options.time_column,
            channel_column=options.channel_column,
        )
    if options.layout in WORD_LAYOUTS:
        return _words(file, options.layout, options.unit_s)
    if options.layout == "text" or head.startswith(GZIP) or is_text(head):
        return open_text(
            file,
            unit_s=options.unit_s,
            time_column=options.time_column,
            channel_column=options.channel_column,
        )
    raise ValueError(
        f"`{file}` must have a signature or a layout named by `format`, one of "
        f"{', '.join(LAYOUT_NAMES)}, but has neither{_guess(file)}."
    )


def _table(file: Path, options: TaggerOptions) -> TagStream:
    """Return the tags of an `.npz` or Parquet file."""
    named = zip(TAG_COLUMNS, (options.time_column, options.channel_column), strict=True)
    renamed = {name: column for name, column in named if column is not None}
    table, _ = load_table(file, most_rows=MOST_TAGS_IN_MEMORY, renamed=renamed)
    if set(table.columns) != set(TAG_COLUMNS):
        raise ValueError(f"`{file}` must hold time tags, but holds detections.")
    times, channels = (table.columns[name] for name in TAG_COLUMNS)
    pieces = (
        RawTags(times[k : k + PIECE].astype(np.int64), channels[k : k + PIECE].astype(np.int16))
        for k in range(0, len(table), PIECE)
    )
    unit_s = options.unit_s or PICOSECOND
    return TagStream("time_ps and channel", unit_s, pieces, counts_from_zero=True)


def _check_nothing_asked(file: Path, options: TaggerOptions) -> None:
    for name, value in (("format", options.layout), ("unit", options.unit_s)):
        if value is not None:
            raise ValueError(f"`{name}` must be left out with `{file}`, which says it itself.")


def _words(file: Path, name: str, unit_s: Fraction | None) -> TagStream:
    layout = WORD_LAYOUTS[name]
    if layout.unit_s is not None and unit_s not in (None, layout.unit_s):
        raise ValueError(
            f"`unit` must be {in_words(layout.unit_s)} in the layout {name}, but is "
            f"{in_words(unit_s)}."
        )
    unit_s = unit_s or layout.unit_s
    if unit_s is None:
        raise ValueError(
            f"`unit` must be given with the layout {name}, such as 81ps (quTAU) or 1ps (quTAG), as "
            "the file states none."
        )
    descending = _descending(file, name)
    if descending is not None and descending > _UNLIKELY:
        raise ValueError(
            f"`{file}` must have the layout {name}, but {100 * descending:.0f} % of its times then "
            f"descend{_guess(file)}."
        )
    return TagStream(
        layout.title, unit_s, layout.read(file), counts_from_zero=layout.counts_from_zero
    )


def _descending(file: Path, name: str) -> float | None:
    """Return which part of a file's first times would descend; None if that says nothing."""
    layout = WORD_LAYOUTS[name]
    size = layout.dtype.itemsize
    head = beginning(file, layout.start + _HEAD * size)[layout.start :]
    if len(head) < _FEWEST_WORDS * size:
        return None
    tags = layout.decoder()(np.frombuffer(head, layout.dtype, len(head) // size))
    if not len(tags.times):
        return 1.0
    if np.abs(tags.channels).max() > _HIGHEST_LIKELY_CHANNEL:
        return 1.0
    return float(np.mean(np.diff(tags.times) < 0)) if len(tags.times) > 1 else 0.0


def _guess(file: Path) -> str:
    """Return what a file's words look like, to end a sentence with."""
    size = file.stat().st_size
    likely = [
        name
        for name, layout in WORD_LAYOUTS.items()
        if name != "a2"
        and size > layout.start
        and (size - layout.start) % layout.dtype.itemsize == 0
        and (part := _descending(file, name)) is not None
        and part <= _LIKELY
    ]
    return f"; it may be {' or '.join(likely)}" if likely else ""
