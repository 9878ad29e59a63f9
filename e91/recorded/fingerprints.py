"""Fingerprints by which a recording is known again: as a copy, in another format, or in parts.

A party's rounds are read as one symbol each, its setting and the change of its outcome; time tags
as which of the tags before share their channel, whatever its number. Every window of 64 successive
symbols has a number; the smallest numbers of a recording are its fingerprints (a bottom-k sketch:
Broder, SEQUENCES 1997, 21). Parts that share many windows share some of the smallest. Windows
of different measurements are equal only by chance, with probability 2**-64 a pair or less, as each
holds 64 random outcomes.
"""

import hashlib
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from e91.model.bits import NO_CLICK, Bits
from e91.model.records import DetectionRecord, PartyRecord
from e91.optics.tags.time_tags import TagReader

Fingerprints = frozenset[str]

KEPT = 512
"""Fingerprints of a party's symbols.  A part of 1/50 of a recording has none of them with a
probability below 0.98**512, that is 4e-5, and both parties have some."""

_WINDOW = 64  # symbols
_START = 8  # symbols that decide whether a window counts
_ONE_IN = 64  # of the beginnings that differ
_PIECE = 2**20  # symbols at a time
_LOOK_BACK = 8  # tags
_NO_CHANNEL = -1

# Odd constants of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def fingerprints_of(record: DetectionRecord) -> Fingerprints:
    """Return the fingerprints of both parties' coincidences; a lost photon makes none.

    A record with a party's outcomes inverted has the same.

    Examples:
        >>> half, other = PartyRecord([0, 1, 2], [1, 0, 2]), PartyRecord([0, 1], [1, 0])
        >>> whole, without_loss = DetectionRecord(half, half), DetectionRecord(other, other)
        >>> fingerprints_of(whole) == fingerprints_of(without_loss)
        True
    """
    seen = (record.alice.outcome != NO_CLICK) & (record.bob.outcome != NO_CLICK)
    return _of_party(record.alice, seen) | _of_party(record.bob, seen)


def fingerprints_of_tags(tags: TagReader) -> Fingerprints:
    """Return the fingerprints of one party's time tags, whatever its clock shows.

    They do not depend on how the channels are numbered, only on which tags share one.
    """
    starts = range(0, len(tags), _PIECE)
    return _sketch(_shared(tags.read(start, start + _PIECE)[1] for start in starts))


def _shared(pieces: Iterable[Bits]) -> Iterator[Bits]:
    """Yield for every tag which of the `_LOOK_BACK` before it have its channel, one bit each."""
    before = np.full(_LOOK_BACK, _NO_CHANNEL)
    for piece in pieces:
        joined = np.concatenate([before, piece])
        shared = np.zeros(len(piece), np.uint8)
        for back in range(1, _LOOK_BACK + 1):
            shared = shared << 1 | (piece == joined[_LOOK_BACK - back : len(joined) - back])
        before = joined[-_LOOK_BACK:]
        yield shared


def _of_party(half: PartyRecord, seen: NDArray[np.bool_]) -> Fingerprints:
    setting, outcome = half.setting, half.outcome
    if not seen.all():
        setting, outcome = setting[seen], outcome[seen]
    symbols = setting * np.uint8(2)
    symbols[1:] += outcome[1:] ^ outcome[:-1]  # changes of the outcome: inverted ones have the same
    return _sketch(symbols[start : start + _PIECE] for start in range(0, len(symbols), _PIECE))


def _sketch(pieces: Iterable[Bits]) -> Fingerprints:
    """Return the digest of all symbols, and the smallest numbers of their windows."""
    digest, smallest = hashlib.sha256(), np.empty(0, np.uint64)
    for joined, new in _overlapping(pieces):
        digest.update(new.data)
        smallest = np.unique(np.concatenate([smallest, _numbers(joined)]))[:KEPT]
    return frozenset({digest.hexdigest(), *(f"{number:016x}" for number in smallest.tolist())})


def _overlapping(pieces: Iterable[Bits]) -> Iterator[tuple[Bits, Bits]]:
    """Yield each piece behind the end of the one before, and alone."""
    before = np.empty(0, np.uint8)
    for piece in pieces:
        new = np.ascontiguousarray(piece, np.uint8)
        joined = np.concatenate([before, new])
        before = joined[-(_WINDOW - 1) :]
        yield joined, new


def _numbers(symbols: Bits) -> NDArray[np.uint64]:
    """Return the numbers of the windows that count: those with a rare beginning."""
    count = len(symbols) - _WINDOW + 1
    if count < 1:
        return np.empty(0, np.uint64)
    words = np.ndarray((len(symbols) - _START + 1,), "<u8", symbols, strides=(1,))
    starts = np.flatnonzero(words[:count] * _SPREAD >> np.uint64(32) < np.uint64(2**32 // _ONE_IN))
    numbers = np.zeros(len(starts), np.uint64)
    for place in range(0, _WINDOW, _START):
        numbers = _mixed(numbers + words[starts + place])
    return numbers


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    mixed = numbers + _SPREAD
    mixed = (mixed ^ mixed >> np.uint64(30)) * _FIRST
    mixed = (mixed ^ mixed >> np.uint64(27)) * _SECOND
    return mixed ^ mixed >> np.uint64(31)
