"""Swabian's `.ttbin` files, with the maker's library, which the user installs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from e91.recorded.taggers import raw_tags
from e91.recorded.taggers.raw_tags import PICOSECOND, RawTags, TagStream


def open_ttbin(file: Path) -> TagStream:
    """Open a `.ttbin` file, or the first of several, with Swabian's own library.

    Negative channels are falling edges.  This was written after the maker's documentation and
    tried against a stand-in for the library; no file of an instrument was at hand.

    Raises:
        ValueError: The library is not installed, or does not take the file.
    """
    library = _library()
    try:
        reader = library.FileReader(str(file))
    except Exception as error:
        raise ValueError(
            f"`{file}` must be a whole `.ttbin` file, but Swabian's library says: {error}."
        ) from error
    return TagStream("Swabian ttbin", PICOSECOND, _pieces(reader, file))


def _pieces(reader: Any, file: Path) -> Iterator[RawTags]:
    while reader.hasData():
        part = reader.getData(raw_tags.PIECE)
        times = np.asarray(part.getTimestamps(), np.int64)
        if not len(times):
            # A damaged file promises data for ever and gives none.
            raise ValueError(f"`{file}` must be a whole `.ttbin` file, but ends early.")
        is_tag = np.asarray(part.getEventTypes()) == 0
        channels = np.asarray(part.getChannels()).astype(np.int16)
        gaps = len(times) - int(np.count_nonzero(is_tag))
        yield RawTags(times[is_tag], channels[is_tag], gaps=gaps)


def _library() -> Any:
    try:
        from Swabian import TimeTagger
    except ImportError:
        try:
            import TimeTagger  # as older installers of the maker leave it
        except ImportError:
            raise ValueError(
                "`.ttbin` files must be read with Swabian's own library, but it is not installed: "
                "pip install Swabian-TimeTagger, or export the tags as text."
            ) from None
    return TimeTagger
