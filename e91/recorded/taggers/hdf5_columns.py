"""Columns of numbers in HDF5 files, with h5py (the extra ``data``), Photon-HDF5 among them."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from e91.recorded.tables import check_growth
from e91.recorded.taggers import raw_tags
from e91.recorded.taggers.durations import duration_in_name
from e91.recorded.taggers.raw_tags import Counts, RawTags, TagStream
from e91.recorded.taggers.text_columns import as_channels
from e91.system.extras import extra
from e91.system.refusals import is_refusal

_WHOLE_FLOATS = 2**53
_PHOTON = "photon_data/timestamps"
_MOST_LISTED = 8
_DAMAGED = (OSError, KeyError, ValueError, RuntimeError, TypeError, OverflowError, MemoryError)
"""What h5py raises where a file is damaged."""


def open_hdf5(
    file: Path,
    *,
    unit_s: Fraction | None,
    time_column: str | None = None,
    channel_column: str | None = None,
) -> TagStream:
    """Open columns of an HDF5 file.

    A column is the path of a dataset of one dimension, ``/tags/time``; ``/tags:time`` is a field
    of a table, and ``/tags:0`` a column of a dataset of two dimensions.  Photon-HDF5 files (with
    ``/photon_data/timestamps``) need none to be named.

    Args:
        file: The file.
        unit_s: Length of a count; None if the column's name or Photon-HDF5 states it.
        time_column: Where the times are.
        channel_column: Where the channels are; None for one channel a file.

    Raises:
        ValueError: h5py is not installed, the file is damaged, or a column is not there, holds no
            whole numbers, or has another length than the other.
    """
    with _opened(file) as content:
        if time_column is None and _PHOTON in content:
            time_column, channel_column = _PHOTON, "photon_data/detectors"
            if unit_s is None:
                unit_s = Fraction(repr(float(content[f"{_PHOTON}_specs/timestamps_unit"][()])))
        if time_column is None:
            raise ValueError(
                f"`{file}` must be read with `--columns time=PATH,channel=PATH`; it has "
                f"{_listed(content)}."
            )
        columns = [column for column in (time_column, channel_column) if column is not None]
        for column in columns:
            _piece(content, column, 0, 0, file)  # refuses what is no column
        lengths = {_length(content, column, file) for column in columns}
        if len(lengths) > 1:
            raise ValueError(f"The columns of `{file}` must have one length, but have two.")
        (length,) = lengths
    unit_s = duration_in_name(time_column) if unit_s is None else unit_s
    if unit_s is None:
        raise ValueError(
            f"`unit` must be given with `{file}`, such as 1ps or 81ps, as `{time_column}` states "
            "none."
        )
    pieces = _pieces(file, time_column, channel_column, length=length)
    return TagStream("HDF5 columns", unit_s, pieces)


def _pieces(file: Path, time: str, channel: str | None, *, length: int) -> Iterator[RawTags]:
    with _opened(file) as content:
        for start in range(0, length, raw_tags.PIECE):
            stop = min(start + raw_tags.PIECE, length)
            times = _whole(_piece(content, time, start, stop, file), time, file)
            channels = np.ones(len(times), np.int16)
            if channel is not None:
                numbers = _whole(_piece(content, channel, start, stop, file), channel, file)
                channels = as_channels(numbers, file)
            yield RawTags(times, channels)


def _length(content: Any, column: str, file: Path) -> int:
    """Return how many entries a column has, of no more bytes than its file may grow to."""
    dataset = content[column.partition(":")[0]]
    for shape in (dataset.shape, dataset.chunks or (0,)):
        check_growth(math.prod(shape) * dataset.dtype.itemsize, file)
    return len(dataset)


def _piece(content: Any, column: str, start: int, stop: int, file: Path) -> NDArray[Any]:
    """Return some entries of a column.

    Raises:
        ValueError: There is no such column.
    """
    name, _, part = column.partition(":")
    dataset = content.get(name)
    wanted = 1 if not part or (dataset is not None and _fields(dataset)) else 2
    if dataset is None or getattr(dataset, "ndim", None) != wanted:
        raise ValueError(f"`{file}` must have the column `{column}`, but has {_listed(content)}.")
    if not part:
        return np.asarray(dataset[start:stop])
    if wanted == 1 and part in _fields(dataset):
        return np.asarray(dataset[start:stop][part])
    if wanted == 2 and part.isdecimal() and int(part) < dataset.shape[1]:
        return np.asarray(dataset[start:stop, int(part)])
    raise ValueError(
        f"`{name}` in `{file}` must have the column `{part[:40]}`, but has "
        f"{', '.join(_fields(dataset)) or f'{dataset.shape[1]} columns, counted from 0'}."
    )


def _fields(dataset: Any) -> tuple[str, ...]:
    return getattr(getattr(dataset, "dtype", None), "names", None) or ()


def _whole(numbers: NDArray[Any], column: str, file: Path) -> Counts:
    """Return numbers as counts.

    Raises:
        ValueError: They are no whole numbers of 64 bits.
    """
    if numbers.dtype.kind == "f":
        whole = np.rint(numbers)
        if not np.all((np.abs(whole) < _WHOLE_FLOATS) & (whole == numbers)):
            raise ValueError(
                f"`{column}` in `{file}` must hold whole numbers below 2^53, but holds others: "
                "choose a unit in which every time is whole."
            )
        counts: Counts = whole.astype(np.int64)
        return counts
    if numbers.dtype.kind not in "iub" or (len(numbers) and int(numbers.max()) >= 2**63):
        raise ValueError(
            f"`{column}` in `{file}` must hold whole numbers of 64 bits, but is {numbers.dtype}."
        )
    return np.asarray(numbers, np.int64)


def _listed(content: Any) -> str:
    """Return the names of datasets that may be columns."""
    found: list[str] = []

    def note(name: str, thing: Any) -> bool | None:
        """Note a dataset; anything but None ends the walk."""
        if getattr(thing, "ndim", 0) in (1, 2):
            found.extend(f"`{name}:{part}`" for part in _fields(thing))
            if not _fields(thing):
                found.append(f"`{name}` ({thing.dtype}, {' x '.join(map(str, thing.shape))})")
        return True if len(found) >= _MOST_LISTED else None

    content.visititems(note)
    return ", ".join(found[:_MOST_LISTED]) or "no dataset"


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    h5py = extra("h5py", what="A reader of HDF5")
    try:
        with h5py.File(file, "r") as content:
            yield content
    except _DAMAGED as error:
        if is_refusal(error):
            raise
        raise ValueError(f"`{file}` must be a whole HDF5 file, but is damaged.") from error
