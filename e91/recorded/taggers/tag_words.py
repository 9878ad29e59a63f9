"""Files of words of one length: S-Fifteen, qutools, IDQ and Swabian's dumps.

None of them has a signature: which layout a file has must be said.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from e91.recorded.taggers.raw_tags import (
    PICOSECOND,
    Channels,
    Counts,
    RawTags,
    Records,
    count_records,
    read_records,
)

S_FIFTEEN_UNIT = Fraction(1, 256 * 10**9)
"""Of the layouts a1, a1X and a2: 1/256 ns."""

Decoder = Callable[[Records], RawTags]


@dataclass(frozen=True)
class WordLayout:
    """A layout of words of one length.

    Attributes:
        title: What it is, in words.
        dtype: Of a word.
        start: Bytes before the first.
        unit_s: Length of one count; None where the file's maker leaves it to the device.
        decoder: Makes a decoder of the words of one file, which remembers what it saw.
        counts_from_zero: Whether channels begin with 0.
    """

    title: str
    dtype: np.dtype[np.void] | np.dtype[np.uint64] | np.dtype[np.uint8]
    start: int
    unit_s: Fraction | None
    decoder: Callable[[], Decoder]
    counts_from_zero: bool = True

    def read(self, file: Path) -> Iterator[RawTags]:
        """Yield the tags of a file.

        Raises:
            ValueError: It ends within a word.
        """
        count_records(file, start=self.start, size=self.dtype.itemsize)
        decode = self.decoder()
        return (decode(words) for words in read_records(file, self.dtype, start=self.start))


@dataclass(eq=False)
class Unwrapped:
    """A counter of few bits, made longer: it remembers how often it began anew.

    Attributes:
        bits: Of the counter.
        last: What it showed last; None before the first word.
        turns: How often it began anew.
    """

    bits: int
    last: int | None = None
    turns: int = 0

    def __call__(self, counter: Counts) -> Counts:
        """Return the counts of words; steps of more than half the range are turns."""
        if not len(counter):
            return counter
        before = int(counter[0]) if self.last is None else self.last
        self.last = int(counter[-1])
        steps = np.diff(counter, prepend=before)
        half = 1 << (self.bits - 1)
        turned = np.flatnonzero(np.abs(steps) > half)
        if not len(turned) and not self.turns:
            return counter
        turns = np.zeros(len(counter), np.int64)
        turns[turned] = -np.sign(steps[turned])
        turns = np.cumsum(turns) + self.turns
        self.turns = int(turns[-1])
        return counter + turns * (1 << self.bits)


_DETECTORS_OF = [[bit for bit in range(4) if pattern >> bit & 1] for pattern in range(16)]
_HOW_MANY = np.array([len(bits) for bits in _DETECTORS_OF])
_FIRST_OF = np.array([bits[0] if bits else 0 for bits in _DETECTORS_OF], np.int16)


def s_fifteen_tags(words: NDArray[np.uint64], unwrapped: Unwrapped) -> RawTags:
    """Return the tags of S-Fifteen's 64-bit words: 54 bits of time, 10 of detectors and marks.

    The lowest four bits say which detectors clicked, channels 0 to 3: several make one tag each.
    Bit 4 marks a dummy, written so that no turn of the card's fast counter is missed, whatever
    its detectors say.  The others mean nothing here.

    Source:
        S-Fifteen Instruments, `readevents7.c` (the comment at its head); the reader of `fpfind`.
    """
    times = unwrapped((words >> np.uint64(10)).astype(np.int64))
    low = words.astype(np.uint8)
    patterns = low & np.uint8(15)
    real = (patterns != 0) & (low & np.uint8(16) == 0)
    dummies = len(words) - int(np.count_nonzero(real))
    if dummies:
        times, patterns = times[real], patterns[real]
    channels: Channels = _FIRST_OF[patterns]
    several = _HOW_MANY[patterns]
    if np.any(several > 1):
        channels = np.array(
            [bit for pattern in patterns.tolist() for bit in _DETECTORS_OF[pattern]], np.int16
        )
        times = np.repeat(times, several)
    return RawTags(times, channels, dummies)


def _s_fifteen(*, upper_half_first: bool) -> Decoder:
    unwrapped = Unwrapped(54)

    def decode(words: Records) -> RawTags:
        """Decode words whose halves may be exchanged."""
        if upper_half_first:
            words = words << np.uint64(32) | words >> np.uint64(32)
        return s_fifteen_tags(words, unwrapped)

    return decode


def _hexadecimal() -> Decoder:
    unwrapped = Unwrapped(54)

    def decode(lines: Records) -> RawTags:
        """Decode lines of 16 hexadecimal digits.

        Raises:
            ValueError: A line holds something else.
        """
        nibbles = _NIBBLES[np.ascontiguousarray(lines["digits"]).view(np.uint8).reshape(-1, 16)]
        if np.any(nibbles > 15) or np.any(lines["end"] != b"\n"):
            raise ValueError(
                "Lines of the layout a2 must hold 16 hexadecimal digits, but one does not."
            )
        words = np.zeros(len(lines), np.uint64)
        for place in range(16):
            words = words << np.uint64(4) | nibbles[:, place]
        return s_fifteen_tags(words, unwrapped)

    return decode


def _nibbles() -> NDArray[np.uint8]:
    table = np.full(256, 255, np.uint8)
    for digits in (b"0123456789abcdef", b"0123456789ABCDEF"):
        table[list(digits)] = np.arange(16)
    return table


_NIBBLES = _nibbles()


def _qutools() -> Decoder:
    return lambda words: RawTags(words["time"].astype(np.int64), words["channel"].astype(np.int16))


def _qutools_compressed() -> Decoder:
    unwrapped = Unwrapped(37)

    def decode(raw: Records) -> RawTags:
        """Decode words of 40 bits: 37 of time, and 3 of channel above them."""
        parts = raw["bytes"].astype(np.int64)
        words = parts[:, 0]
        for place in range(1, 5):
            words = words | parts[:, place] << 8 * place
        return RawTags(unwrapped(words & (2**37 - 1)), (words >> 37).astype(np.int16))

    return decode


def _plain() -> Decoder:
    return lambda words: RawTags(words.astype(np.int64), np.ones(len(words), np.int16))


def _with_reference() -> Decoder:
    return lambda words: RawTags(words["time"].astype(np.int64), np.ones(len(words), np.int16))


def _swabian_dump() -> Decoder:
    def decode(words: Records) -> RawTags:
        """Decode words; some say that tags were lost."""
        is_tag = words["kind"] == 0
        gaps = len(words) - int(np.count_nonzero(is_tag))
        tags = words[is_tag] if gaps else words
        channels = np.clip(tags["channel"], -(2**15), 2**15 - 1).astype(np.int16)
        return RawTags(tags["time"].astype(np.int64), channels, gaps=gaps)

    return decode


_QUTOOLS = np.dtype([("time", "<i8"), ("channel", "<i2")])
_DUMP = np.dtype(
    [("kind", "u1"), ("unused", "u1"), ("missed", "<u2"), ("channel", "<i4"), ("time", "<i8")]
)

WORD_LAYOUTS = {
    "a1": WordLayout(
        "S-Fifteen a1",
        np.dtype("<u8"),
        0,
        S_FIFTEEN_UNIT,
        lambda: _s_fifteen(upper_half_first=False),
    ),
    "a1X": WordLayout(
        "S-Fifteen a1X",
        np.dtype("<u8"),
        0,
        S_FIFTEEN_UNIT,
        lambda: _s_fifteen(upper_half_first=True),
    ),
    "a2": WordLayout(
        "S-Fifteen a2",
        np.dtype([("digits", "S16"), ("end", "S1")]),
        0,
        S_FIFTEEN_UNIT,
        _hexadecimal,
    ),
    "qutools": WordLayout("qutools binary", _QUTOOLS, 40, None, _qutools),
    "qutools-raw": WordLayout("qutools binary without header", _QUTOOLS, 0, None, _qutools),
    "qutools-compressed": WordLayout(
        "qutools compressed", np.dtype([("bytes", "u1", 5)]), 40, None, _qutools_compressed
    ),
    "idq": WordLayout(
        "one channel's 64-bit words (IDQ)", np.dtype("<u8"), 0, PICOSECOND, _plain, False
    ),
    "idq-reference": WordLayout(
        "one channel's 64-bit words with reference (IDQ)",
        np.dtype([("time", "<u8"), ("reference", "<u8")]),
        0,
        PICOSECOND,
        _with_reference,
        False,
    ),
    "swabian-dump": WordLayout("Swabian dump", _DUMP, 0, PICOSECOND, _swabian_dump, False),
}
"""By the name that says which one a file has."""

ONE_CHANNEL_A_FILE = ("idq", "idq-reference")
