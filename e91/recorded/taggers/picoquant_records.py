"""The 32-bit records of PicoQuant's instruments, in modes T2 and T3."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from e91.recorded.taggers.raw_tags import Channels, Counts, RawTags, read_records

Words = NDArray[np.uint32]

_UNKNOWN, _OVERFLOW = -(2**15), -(2**15) + 1
_LATEST = 2**62
_SPECIAL_OVERFLOW = 127
_MARKERS = 16


@dataclass(frozen=True)
class RecordKind:
    """How an instrument packs an event into 32 bits.

    Attributes:
        is_picoharp: 4 bits of channel before the time (PicoHarp 300); else a special bit and 6 bits
            of channel (HydraHarp, MultiHarp, TimeHarp 260 and the generic records).
        is_t3: A number of sync pulses and a time after the last; else one time.
        wrap: Counts of the time, or sync pulses, that an overflow stands for.
        is_counted: An overflow record says how many overflows it stands for.

    Source:
        PicoQuant, "Unified TTTR File Format", and the demonstration code beside it.
    """

    is_picoharp: bool
    is_t3: bool
    wrap: int
    is_counted: bool = False

    def __str__(self) -> str:
        mode = "T3" if self.is_t3 else "T2"
        return f"PicoQuant {mode} ({'PicoHarp' if self.is_picoharp else 'HydraHarp'} records)"


@dataclass(frozen=True)
class Scale:
    """From sync pulses and bins of mode T3 to counts.

    Attributes:
        sync: Counts of a sync period.
        fine: Counts of a bin of the time after it.
    """

    sync: Fraction
    fine: int


def read_events(
    file: Path, kind: RecordKind, *, start: int, scale: Scale | None
) -> Iterator[RawTags]:
    """Yield the events of a file: 0 is the sync input, 1, 2, ... the inputs, -n markers.

    Markers are -1 to -15, the pattern of the marker bits.

    Args:
        file: The file.
        kind: Of its records.
        start: Where they begin, bytes.
        scale: In mode T3.

    Raises:
        ValueError: A record is of no known kind, or a time does not fit in 64 bits.
    """
    decode = _picoharp if kind.is_picoharp else _hydraharp
    base = 0
    for words in read_records(file, np.dtype("<u4"), start=start):
        channels, overflows = decode(words, kind)
        if np.any(channels == _UNKNOWN):
            raise ValueError(
                f"`{file}` must hold records of PicoQuant's kinds, but has others: it is damaged."
            )
        end = base + kind.wrap * (int(overflows[1].sum(dtype=np.float64)) + 1)
        if end * max(1, 1 if scale is None else scale.sync) > _LATEST:
            raise ValueError(f"The times of `{file}` must fit in 64 bits: it is damaged.")
        times = _coarse_times(words, kind) + base
        events: NDArray[np.intp] | slice = slice(None)
        if len(overflows[0]):
            wraps = np.zeros(len(words), np.int64)
            wraps[overflows[0]] = overflows[1] * kind.wrap
            wraps = np.cumsum(wraps)
            times += wraps
            base += int(wraps[-1])
            events = np.flatnonzero(channels != _OVERFLOW)
        if scale is not None:
            times = _scaled(times, _fine_times(words, kind, channels), scale)
        yield RawTags(times[events], channels[events])


def _coarse_times(words: Words, kind: RecordKind) -> Counts:
    if kind.is_t3:
        mask = 0xFFFF if kind.is_picoharp else 0x3FF
    else:
        mask = 0x0FFFFFFF if kind.is_picoharp else 0x01FFFFFF
    return (words & np.uint32(mask)).astype(np.int64)


def _fine_times(words: Words, kind: RecordKind, channels: Channels) -> Counts:
    """Return the bins after the sync pulse; 0 for a marker, whose record has none."""
    shift, mask = (16, 0xFFF) if kind.is_picoharp else (10, 0x7FFF)
    fine = (words >> np.uint32(shift) & np.uint32(mask)).astype(np.int64)
    fine[channels < 0] = 0
    return fine


def _scaled(pulses: Counts, fine: Counts, scale: Scale) -> Counts:
    if scale.sync.denominator == 1:
        return pulses * int(scale.sync) + fine * scale.fine
    # The sync period is a measured one: its multiples are rounded to the bin.
    rounded: Counts = np.rint(pulses * float(scale.sync)).astype(np.int64)
    return rounded + fine * scale.fine


Overflows = tuple[NDArray[np.intp], Counts]


def _hydraharp(words: Words, kind: RecordKind) -> tuple[Channels, Overflows]:
    """Return each record's channel, and where overflows are and how many each stands for."""
    head = (words >> np.uint32(25)).astype(np.uint8)
    special = np.flatnonzero(head >= 64)
    places = special[head[special] == _SPECIAL_OVERFLOW]
    counts = np.ones(len(places), np.int64)
    if kind.is_counted:
        mask = np.uint32(0x3FF if kind.is_t3 else 0x01FFFFFF)
        counts = np.maximum(1, (words[places] & mask).astype(np.int64))
    return _HYDRAHARP_CHANNELS[head], (places, counts)


def _hydraharp_channels() -> Channels:
    table = np.full(128, _UNKNOWN, np.int16)
    table[:64] = np.arange(1, 65)
    table[64] = 0  # the sync input
    table[65 : 64 + _MARKERS] = -np.arange(1, _MARKERS)
    table[_SPECIAL_OVERFLOW] = _OVERFLOW
    return table


_HYDRAHARP_CHANNELS = _hydraharp_channels()


def _picoharp(words: Words, kind: RecordKind) -> tuple[Channels, Overflows]:
    """As `_hydraharp`; a special record has channel 15, and markers or 0 in four other bits."""
    channels = (words >> np.uint32(28)).astype(np.int16)
    special = np.flatnonzero(channels == 15)
    shift, mask = (16, 0xFFF) if kind.is_t3 else (0, 0xF)
    markers = (words[special] >> np.uint32(shift) & np.uint32(mask)).astype(np.int16)
    channels[channels > 4] = _UNKNOWN
    channels[special] = np.where(markers < _MARKERS, -markers, _UNKNOWN)
    places = special[markers == 0]
    channels[places] = _OVERFLOW
    return channels, (places, np.ones(len(places), np.int64))
