"""Tags that are gathered piece by piece: in memory while they are few, else in a hidden file."""

import os
import tempfile
import weakref
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from e91.model.bits import Bits
from e91.optics.tags.time_tags import TagReader, TimeTags
from e91.recorded.taggers.ordering import Tags, in_order_of_time
from e91.recorded.taggers.raw_tags import Counts
from e91.system.durable import writing

MOST_TAGS_IN_MEMORY = 2**25
"""Of one party: 300 MB."""


@dataclass(frozen=True, eq=False)
class SpooledTags:
    """Tags in two files without names, which are gone when this is dropped.

    Attributes:
        times: Descriptor of the file of times, little-endian int64.
        channels: Descriptor of the file of channels, uint8.
        length: How many there are.
        resolution_s: Length of one count.
    """

    times: int
    channels: int
    length: int
    resolution_s: float

    def __post_init__(self) -> None:
        for descriptor in (self.times, self.channels):
            weakref.finalize(self, os.close, descriptor)

    def __len__(self) -> int:
        return self.length

    def read(self, start: int, stop: int) -> tuple[Counts, Bits]:
        """Return times and channels of tags ``start`` to ``stop``."""
        start, stop = max(0, start), min(stop, self.length)
        count = max(0, stop - start)
        times = np.frombuffer(_bytes(self.times, 8 * start, 8 * count), "<i8")
        return times.astype(np.int64, copy=False), np.frombuffer(
            _bytes(self.channels, start, count), np.uint8
        )


def _bytes(descriptor: int, start: int, size: int) -> bytearray:
    room = bytearray(size)
    done = 0
    while done < size:
        done += os.preadv(descriptor, [memoryview(room)[done:]], start + done)
    return room


@dataclass(eq=False)
class Spool:
    """Gathers one party's tags in order of time.

    Attributes:
        parts: What is in memory.
        files: Descriptors of the hidden files once there are too many; else None.
        length: How many tags there are.
    """

    parts: list[Tags] = field(default_factory=list, repr=False)
    files: tuple[int, int] | None = None
    length: int = 0

    def append(self, tags: Tags) -> None:
        """Add tags.

        Raises:
            WriteFailed: The folder of temporary files is full.
        """
        self.length += len(tags[0])
        if self.files is None:
            self.parts.append(tags)
            if self.length <= MOST_TAGS_IN_MEMORY:
                return
            self.files = _hidden_file(), _hidden_file()
            held, self.parts = self.parts, []
            for part in held:
                self._write(part)
            return
        self._write(tags)

    def _write(self, tags: Tags) -> None:
        assert self.files is not None
        for descriptor, column in zip(self.files, (tags[0].astype("<i8"), tags[1]), strict=True):
            rest = memoryview(np.ascontiguousarray(column).view(np.uint8).data)
            with writing(Path(tempfile.gettempdir())):
                while rest:
                    rest = rest[os.write(descriptor, rest) :]

    def drop(self) -> None:
        """Forget everything."""
        self.parts = []
        if self.files is not None:
            for descriptor in self.files:
                os.close(descriptor)
        self.files = None

    def reader(self, unit_s: Fraction, *, must_sort: bool) -> tuple[TagReader, int]:
        """Return the tags, and how many were left out as their channel has one at the same time.

        Args:
            unit_s: Length of one count.
            must_sort: Whether they are not in order yet.

        Raises:
            ValueError: They are not in order, and too many to be sorted in memory.
        """
        if self.files is not None:
            if must_sort:
                self.drop()
                raise ValueError(
                    f"More than {MOST_TAGS_IN_MEMORY:,} tags of a party must be nearly in order of "
                    "time, but some are late by more than half a million tags: sort the file."
                )
            return SpooledTags(*self.files, self.length, float(unit_s)), 0
        times: NDArray[np.int64] = np.concatenate([part[0] for part in self.parts])
        channels = np.concatenate([part[1] for part in self.parts])
        self.parts = []
        repeated = 0
        if must_sort:
            times, channels, repeated = in_order_of_time(times, channels)
        return TimeTags(times, channels, float(unit_s)), repeated


def _hidden_file() -> int:
    """Return the descriptor of a file that nobody else can open, and that goes with it."""
    with tempfile.TemporaryFile(prefix="e91-") as file:
        return os.dup(file.fileno())
