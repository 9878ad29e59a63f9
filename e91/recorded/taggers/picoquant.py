"""PicoQuant's files: `.ptu`, and the older `.pt2`, `.pt3`, `.ht2` and `.ht3`.

Whatever the instrument calls them, channels are counted as on its front: 0 is the sync input,
1, 2, ... are the other inputs, and -1 to -15 are patterns of the marker inputs.
"""

import math
import struct
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

from e91.recorded.taggers.picoquant_records import RecordKind, Scale, read_events
from e91.recorded.taggers.raw_tags import (
    PICOSECOND,
    TagStream,
    beginning,
    count_records,
    open_file,
)

_PICOHARP_T2 = RecordKind(is_picoharp=True, is_t3=False, wrap=210_698_240)
_PICOHARP_T3 = RecordKind(is_picoharp=True, is_t3=True, wrap=65_536)
_FIRST_HYDRAHARP_T2 = RecordKind(is_picoharp=False, is_t3=False, wrap=33_552_000)
_FIRST_HYDRAHARP_T3 = RecordKind(is_picoharp=False, is_t3=True, wrap=1024)
_HYDRAHARP_T2 = RecordKind(is_picoharp=False, is_t3=False, wrap=2**25, is_counted=True)
_HYDRAHARP_T3 = RecordKind(is_picoharp=False, is_t3=True, wrap=1024, is_counted=True)

_KINDS = {
    0x00010203: _PICOHARP_T2,
    0x00010303: _PICOHARP_T3,
    0x00010204: _FIRST_HYDRAHARP_T2,
    0x00010304: _FIRST_HYDRAHARP_T3,
    # HydraHarp 400 V2, TimeHarp 260 N and P, and the generic records of all newer instruments.
    **dict.fromkeys((0x01010204, 0x00010205, 0x00010206, 0x00010207), _HYDRAHARP_T2),
    **dict.fromkeys((0x01010304, 0x00010305, 0x00010306, 0x00010307), _HYDRAHARP_T3),
}
"""By the header's ``TTResultFormat_TTTRRecType``."""

_FLOATS = (0x20000008, 0x21000008)
_WITH_MORE_BYTES = (0x4001FFFF, 0x4002FFFF, 0x2001FFFF, 0xFFFFFFFF)
_MOST_HEADER_TAGS = 10_000
_MOST_IMAGE_WORDS = 2**16
_MOST_INPUTS = 64
_LONGEST_RUN_S = 10**6

Header = dict[str, int | float]


def open_ptu(file: Path) -> TagStream:
    """Open a `.ptu` file, of any instrument, in mode T2 or T3.

    In mode T2 a count is the instrument's resolution.  In mode T3 it is the common measure of the
    sync period and the bin, or the bin if they have none: the period is a measured rate, so two
    such files share no clock unless one sync drives both instruments.

    Raises:
        ValueError: The file is damaged, cut off, or of an unknown kind.
        OSError: It cannot be read.

    Source:
        PicoQuant, "Unified TTTR File Format".
    """
    with open_file(file) as opened:
        header = _header(opened, file)
        start = opened.tell()
    number = _whole(header, "TTResultFormat_TTTRRecType", file) & 0xFFFFFFFF
    if number not in _KINDS:
        raise ValueError(
            f"`{file}` must hold time tags of mode T2 or T3, but has records of type "
            f"{number:#010x}, which are unknown."
        )
    _check_count(file, start=start, stated=header.get("TTResult_NumberOfRecords", 0))
    kind = _KINDS[number]
    unit = _seconds(header, "MeasDesc_GlobalResolution", file)
    scale = None
    if kind.is_t3:
        unit, scale = _common_unit(unit, _seconds(header, "MeasDesc_Resolution", file))
    return TagStream(str(kind), unit, read_events(file, kind, start=start, scale=scale))


def _header(opened: BinaryIO, file: Path) -> Header:
    """Return the tags of a header; the file is left where the records begin."""
    opened.seek(16)
    found: Header = {}
    for _ in range(_MOST_HEADER_TAGS):
        raw = opened.read(48)
        if len(raw) < 48:
            break
        name = raw[:32].rstrip(b"\0").decode("latin-1")
        (kind,) = struct.unpack_from("<I", raw, 36)
        (value,) = struct.unpack_from("<d" if kind in _FLOATS else "<q", raw, 40)
        if kind in _WITH_MORE_BYTES:
            if not 0 <= value <= file.stat().st_size:
                break
            opened.seek(value, 1)
        found.setdefault(name, value)
        if name == "Header_End":
            return found
    raise ValueError(f"`{file}` must be a whole `.ptu` file, but its header has no end.")


def _whole(header: Header, name: str, file: Path) -> int:
    value = header.get(name)
    if not isinstance(value, int):
        raise _lacking(name, file)
    return value


def _seconds(header: Header, name: str, file: Path) -> Fraction:
    value = header.get(name)
    if not isinstance(value, float) or not math.isfinite(value) or not 0 < value < 1:
        raise _lacking(name, file)
    return _as_written(value)


def _lacking(name: str, file: Path) -> ValueError:
    return ValueError(f"`{file}` must state `{name}` in its header, but does not, or not sensibly.")


def _as_written(number: float) -> Fraction:
    """Return the decimal from which a header's number was made: 3.90625e-12 is 1/256 ns."""
    return Fraction(repr(number))


def _common_unit(sync: Fraction, fine: Fraction) -> tuple[Fraction, Scale]:
    """Return what a count of mode T3 is, and how periods and bins become counts."""
    unit = Fraction(
        math.gcd(sync.numerator * fine.denominator, fine.numerator * sync.denominator),
        sync.denominator * fine.denominator,
    )
    if unit * 2**62 < _LONGEST_RUN_S:
        unit = fine
    return unit, Scale(sync / unit, int(fine / unit))


def _check_count(file: Path, *, start: int, stated: float) -> None:
    """Refuse a file that holds other than what its header says; 0 or less says nothing."""
    held = count_records(file, start=start, size=4)
    if stated > 0 and held != stated:
        raise ValueError(
            f"`{file}` must hold {int(stated):,} records as its header says, but holds {held:,}: "
            "it is cut off or damaged."
        )


def open_picoharp(file: Path) -> TagStream:
    """Open a `.pt2` or `.pt3` file of a PicoHarp 300.

    Raises:
        ValueError: The file is damaged, cut off, or of another mode.
        OSError: It cannot be read.

    Source:
        PicoQuant, "PicoHarp 300 file format", version 2.0.
    """
    head = beginning(file, 728)
    _check_size(head, 728, file)
    mode, (resolution,) = _mode(head, 348, file), struct.unpack_from("<f", head, 584)
    (rate,) = struct.unpack_from("<i", head, 704)
    count, image = struct.unpack_from("<2i", head, 720)
    start = 728 + 4 * _image_words(image, file)
    _check_count(file, start=start, stated=count)
    if mode == 2:
        events = read_events(file, _PICOHARP_T2, start=start, scale=None)
        return TagStream(str(_PICOHARP_T2), 4 * PICOSECOND, events)
    if not 0 < resolution < 1e6:
        raise _lacking("Resolution", file)
    # A float32 of nanoseconds, such as 0.004.
    unit = Fraction(f"{resolution:.6g}") / 10**9
    events = read_events(file, _PICOHARP_T3, start=start, scale=_measured(rate, unit, file))
    return TagStream(str(_PICOHARP_T3), unit, events)


def open_hydraharp(file: Path) -> TagStream:
    """Open a `.ht2` or `.ht3` file of a HydraHarp 400.

    Raises:
        ValueError: The file is damaged, cut off, or of another mode.
        OSError: It cannot be read.

    Source:
        PicoQuant, "HydraHarp 400 file format", versions 1.0 and 2.0.
    """
    head = beginning(file, 720 + 20 * _MOST_INPUTS)
    _check_size(head, 720, file)
    is_first = head[16:17] == b"1"
    mode, (resolution,) = _mode(head, 340, file), struct.unpack_from("<d", head, 352)
    (inputs,) = struct.unpack_from("<i", head, 664)
    if not 0 <= inputs <= _MOST_INPUTS:
        raise _lacking("InputChannelsPresent", file)
    _check_size(head, 720 + 20 * inputs, file)
    rate, _, _, image, count = struct.unpack_from("<4iQ", head, 696 + 20 * inputs)
    start = 720 + 20 * inputs + 4 * _image_words(image, file)
    _check_count(file, start=start, stated=count)
    if mode == 2:
        kind = _FIRST_HYDRAHARP_T2 if is_first else _HYDRAHARP_T2
        return TagStream(str(kind), PICOSECOND, read_events(file, kind, start=start, scale=None))
    if not 0 < resolution < 1e9:
        raise _lacking("Resolution", file)
    kind = _FIRST_HYDRAHARP_T3 if is_first else _HYDRAHARP_T3
    unit = _as_written(resolution) * PICOSECOND
    events = read_events(file, kind, start=start, scale=_measured(rate, unit, file))
    return TagStream(str(kind), unit, events)


def _check_size(head: bytes, size: int, file: Path) -> None:
    if len(head) < size:
        raise ValueError(
            f"`{file}` must be a whole PicoQuant file, but ends within its header of {size} bytes."
        )


def _mode(head: bytes, place: int, file: Path) -> int:
    mode = int(struct.unpack_from("<i", head, place)[0])
    if mode not in (2, 3):
        raise ValueError(f"`{file}` must be of mode T2 or T3, but is of mode {mode}.")
    return mode


def _image_words(number: int, file: Path) -> int:
    if not 0 <= number <= _MOST_IMAGE_WORDS:
        raise _lacking("ImgHdrSize", file)
    return number


def _measured(sync_rate_hz: int, unit: Fraction, file: Path) -> Scale:
    if sync_rate_hz <= 0:
        raise _lacking("SyncRate", file)
    return Scale(1 / (sync_rate_hz * unit), 1)
