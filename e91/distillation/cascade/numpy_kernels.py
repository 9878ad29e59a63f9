"""The inner loops of Cascade in NumPy, where numba is missing: the same bits, 100 times slower.

See `e91.distillation.cascade.kernels.Route` for what each function does; the private ones follow
those of `e91.distillation.cascade.search_kernels` by name, with arrays instead of loops.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from e91.distillation.cascade.block_states import FIXED, KNOWN, ODD, VALUE, Book
from e91.distillation.cascade.schedule import Edges, Places, Questions, Words

_Numbers = NDArray[np.int64]
_Flags = NDArray[np.bool_]

_ONE, _ALL = np.uint64(1), np.uint64(2**64 - 1)
_TURNED = np.packbits(np.unpackbits(np.arange(256, dtype=np.uint8)), bitorder="little")


class _Searches(NamedTuple):
    """Blocks under search: pass, frame, parity told before them, begin and end; shape (k,) each."""

    number: _Numbers
    frame: _Numbers
    base: _Numbers
    low: _Numbers
    high: _Numbers

    def where(self, chosen: _Flags | _Numbers) -> _Searches:
        """Return the chosen ones."""
        return _Searches(*(column[chosen] for column in self))


def turn_bytes(words: Words) -> None:
    """Put the bits of every byte into the other order."""
    octets = words.view(np.uint8)
    octets[:] = _TURNED[octets]


def prefix_parities(words: Words, order: Places, edges: Edges, told: Words, table: Words) -> None:
    """Write the parities before the edges, and before every place of every frame."""
    groups, lanes = len(words), len(table) // len(words)
    before = np.zeros((groups, 64 * table.shape[1]), np.uint64)
    before[:, 1 : order.size + 1] = np.bitwise_xor.accumulate(words[:, order], axis=1)
    before[:, order.size + 1 :] = before[:, order.size, None]
    told[:] = before[:, edges]
    for group in range(groups):
        table[group * lanes : (group + 1) * lanes] = _pack(_lanes(before[group], lanes))


def look_up(table: Words, passes: int, places: int, questions: Questions, answers: Words) -> bool:
    """Write the parity that each question asks for, 64 to a word; False for a senseless one."""
    wide = questions.astype(np.int64)
    number, frame, place = wide >> 27, (wide >> 16) & 2047, wide & 65535
    if (number >= passes).any() or (frame >= table.shape[1]).any():
        return False
    if (place == 0).any() or (place >= places).any():
        return False
    answers[:] = _pack(_bits(table[number, frame, place >> 6], place))
    return True


def subset_parities(words: Words, masks: Words, count: int) -> int:
    """Return ``count`` parities of random subsets as a number, the first in its lowest bit."""
    folded = (np.bitwise_xor.reduce(words & masks[i : i + words.size]) for i in range(count))
    return sum((int(word).bit_count() & 1) << i for i, word in enumerate(folded))


def open_pass(book: Book, number: int, edges: Edges, told: Words) -> None:
    """Enter the blocks between ``edges`` and the parity told before each; (groups, edges)."""
    frames, row = book.marks.shape[1], book.marks.shape[2]
    lanes = frames // len(told)
    book.marks[number] = 0
    known = np.zeros(64 * row, np.uint8)
    known[edges] = 1
    book.marks[number, :, :, KNOWN] = _pack(known)
    for kind, words in ((VALUE, told[:, :-1]), (ODD, told[:, :-1] ^ told[:, 1:])):
        bits = np.zeros((frames, 64 * row), np.uint8)
        for group, line in enumerate(words):
            bits[group * lanes : (group + 1) * lanes, edges[:-1]] = _lanes(line, lanes)
        book.marks[number, :, :, kind] = _pack(bits)
    book.waiting[:, number] = bits.sum(axis=1)
    book.busy[:, number] = book.cursor[:, number] = 0


def advance(book: Book, passes: int, limit: int, bits: Words) -> int:
    """Use Alice's answers to ``count`` searches, and begin the next; -1 for a contradiction."""
    halves = _halve(book, _load(book, passes), bits)
    ended = halves.high - halves.low == 1
    np.subtract.at(book.busy, (halves.frame[ended], halves.number[ended]), 1)
    touched = _correct(book, passes, halves.where(ended))
    if touched is None:
        return -1
    kept = _prune(book, halves.where(~ended))
    begun = [kept, _begin_touched(book, touched), *_begin_frames(book, passes, limit)]
    searches = _Searches(*(np.concatenate(column) for column in zip(*begun, strict=True)))
    if (searches.high - searches.low < 2).any():
        return -1
    _store(book, searches)
    return len(searches.low)


def _halve(book: Book, searches: _Searches, bits: Words) -> _Searches:
    number, frame, base, low, high = searches
    middle = (low + high) >> 1
    own = _bits(book.table[number, frame, middle >> 6], middle)
    bits ^= _pack(own)
    told = np.unpackbits(bits.view(np.uint8), count=len(low), bitorder="little").astype(np.int64)
    mark = _ONE << (middle & 63).astype(np.uint64)
    where = (number, frame, middle >> 6)
    np.bitwise_or.at(book.marks[..., KNOWN], where, mark)
    np.bitwise_or.at(book.marks[..., VALUE], where, mark * told.astype(np.uint64))
    left = (base ^ told ^ _parity(book.marks, number, frame, low, middle)).astype(bool)
    return _Searches(
        number,
        frame,
        np.where(left, base, told),
        np.where(left, low, middle),
        np.where(left, middle, high),
    )


def _correct(book: Book, passes: int, found: _Searches) -> _Searches | None:
    """Correct the errors found; return the blocks of the first pass touched, in order."""
    bit = book.orders[found.number, found.low].astype(np.int64)
    first = np.zeros(len(bit), bool)
    first[np.unique((found.frame << 16) | bit, return_index=True)[1]] = True
    twice, found, bit = found.where(~first), found.where(first), bit[first]
    frame, lane = found.frame, _ONE << (found.frame & 63).astype(np.uint64)
    if _bits(book.marks[0, frame, bit >> 6, FIXED], bit).any():
        return None
    np.bitwise_xor.at(book.words, (frame >> 6, bit), lane)
    touched = found.where(np.zeros(len(bit), bool))
    for other in range(passes):
        place = book.places[other, bit].astype(np.int64)
        pass_ = np.full_like(place, other)
        mark = _ONE << (place & 63).astype(np.uint64)
        np.bitwise_xor.at(book.marks[..., FIXED], (pass_, frame, place >> 6), mark)
        foreign = found.number != other
        start = _edge_before(book.marks, pass_[foreign], frame[foreign], place[foreign])
        _toggle(book, other, frame[foreign], start)
        if other == 0:
            zero = np.zeros_like(start)
            touched = _Searches(zero, frame[foreign], zero, start, zero)
    _clear_odd(book, twice)
    return touched


def _prune(book: Book, searches: _Searches) -> _Searches:
    even = _is_odd(book, searches)  # the oddness that a search stands for is entered only if undone
    _clear_odd(book, searches.where(even))
    np.subtract.at(book.busy, (searches.frame[even], searches.number[even]), 1)
    return searches.where(~even)


def _begin_touched(book: Book, touched: _Searches) -> _Searches:
    """Begin the odd ones among the touched blocks of the first pass, by their first touch."""
    _, index = np.unique((touched.frame << 16) | touched.low, return_index=True)
    once = touched.where(np.sort(index))
    return _begin(book, once.where(_is_odd(book, once)))


def _begin_frames(book: Book, passes: int, limit: int) -> list[_Searches]:
    """Begin what each frame may, frame by frame."""
    waiting, busy, frames = book.waiting[:, :passes], book.busy, np.arange(len(book.busy))
    numbers = ((waiting + busy[:, :passes]) > 0).argmax(axis=1)
    free = (numbers == 0) | (busy[frames, numbers] < limit)
    begun = []
    for frame in np.flatnonzero((waiting[frames, numbers] > 0) & free).tolist():
        number = int(numbers[frame])
        places = _places(book.marks[number, frame, :, ODD])
        turn = np.searchsorted(places, book.cursor[frame, number])
        room = limit - int(busy[frame, number]) if number else len(places)
        low = np.concatenate([places[turn:], places[:turn]])[:room]
        same = np.zeros_like(low)
        begun.append(_begin(book, _Searches(same + number, same + frame, same, low, same)))
        book.cursor[frame, number] = low[-1]
    return begun


def _begin(book: Book, blocks: _Searches) -> _Searches:
    """Take odd blocks under search; their base and end are filled in."""
    number, frame, _, low, _ = blocks
    _clear_odd(book, blocks)
    np.add.at(book.busy, (frame, number), 1)
    base = _bits(book.marks[number, frame, low >> 6, VALUE], low)
    return _Searches(number, frame, base, low, _edge_after(book.marks, number, frame, low))


def _is_odd(book: Book, blocks: _Searches) -> _Flags:
    words = book.marks[blocks.number, blocks.frame, blocks.low >> 6, ODD]
    return _bits(words, blocks.low).astype(bool)


def _clear_odd(book: Book, blocks: _Searches) -> None:
    number, frame, low = blocks.number, blocks.frame, blocks.low
    mark = _ONE << (low & 63).astype(np.uint64)
    np.bitwise_xor.at(book.marks[..., ODD], (number, frame, low >> 6), mark)
    np.subtract.at(book.waiting, (frame, number), 1)


def _toggle(book: Book, number: int, frame: _Numbers, start: _Numbers) -> None:
    """Make odd blocks even and even ones odd, once for each mention."""
    keys, counts = np.unique((frame << 16) | start, return_counts=True)
    keys = keys[counts % 2 == 1]
    frame, start = keys >> 16, keys & 65535
    mark = _ONE << (start & 63).astype(np.uint64)
    book_odd = book.marks[number, :, :, ODD]
    np.bitwise_xor.at(book_odd, (frame, start >> 6), mark)
    now = _bits(book_odd[frame, start >> 6], start)
    np.add.at(book.waiting, (frame, np.full_like(frame, number)), (2 * now - 1).astype(np.int32))


def _parity(
    marks: Words, number: _Numbers, frame: _Numbers, low: _Numbers, high: _Numbers
) -> _Numbers:
    """Return the parities of the corrections at places ``low`` to ``high - 1``."""
    first, last = low >> 6, (high - 1) >> 6
    word = np.zeros(len(low), np.uint64)
    for step in range(int((last - first).max(initial=-1)) + 1):
        inside = np.flatnonzero(first + step <= last)
        i = first[inside] + step
        piece = marks[number[inside], frame[inside], i, FIXED]
        below = np.where(i == first[inside], low[inside] & 63, 0).astype(np.uint64)
        above = np.where(i == last[inside], 63 - ((high[inside] - 1) & 63), 0).astype(np.uint64)
        word[inside] ^= piece & (_ALL << below) & (_ALL >> above)
    return (np.bitwise_count(word) & 1).astype(np.int64)


def _edge_before(marks: Words, number: _Numbers, frame: _Numbers, place: _Numbers) -> _Numbers:
    """Return the last edges at or before ``place``."""
    i = place >> 6
    word = marks[number, frame, i, KNOWN] & (_ALL >> (63 - (place & 63)).astype(np.uint64))
    while (empty := np.flatnonzero(word == 0)).size:
        i[empty] -= 1
        word[empty] = marks[number[empty], frame[empty], i[empty], KNOWN]
    for shift in (1, 2, 4, 8, 16, 32):
        word |= word >> np.uint64(shift)  # every bit below the highest, so that counting finds it
    before: _Numbers = (i << 6) + np.bitwise_count(word).astype(np.int64) - 1
    return before


def _edge_after(marks: Words, number: _Numbers, frame: _Numbers, place: _Numbers) -> _Numbers:
    """Return the first edges beyond ``place``."""
    i = (place + 1) >> 6
    word = marks[number, frame, i, KNOWN] & (_ALL << ((place + 1) & 63).astype(np.uint64))
    while (empty := np.flatnonzero(word == 0)).size:
        i[empty] += 1
        word[empty] = marks[number[empty], frame[empty], i[empty], KNOWN]
    lowest = word & (~word + _ONE)
    after: _Numbers = (i << 6) + np.bitwise_count(lowest - _ONE).astype(np.int64)
    return after


def _load(book: Book, passes: int) -> _Searches:
    counts = book.busy[:, :passes].sum(axis=1)
    rows = [row[:count] for row, count in zip(book.searches, counts.tolist(), strict=True)]
    packed = np.concatenate(rows).astype(np.int64)
    return _Searches(
        packed >> 34,
        np.repeat(np.arange(len(counts)), counts),
        (packed >> 33) & 1,
        (packed >> 17) & 65535,
        packed & 131071,
    )


def _store(book: Book, searches: _Searches) -> None:
    number, frame, base, low, high = searches.where(np.argsort(searches.frame, kind="stable"))
    packed = (number << 34) | (base << 33) | (low << 17) | high
    first = np.searchsorted(frame, np.arange(len(book.searches)))
    book.searches[frame, np.arange(len(packed)) - first[frame]] = packed.astype(np.uint64)
    questions = (number << 27) | (frame << 16) | ((low + high) >> 1)
    book.questions[: len(packed)] = questions.astype(np.uint32)


def _bits(words: Words, places: _Numbers) -> _Numbers:
    """Return the bit of each word that its place names."""
    return ((words >> (places & 63).astype(np.uint64)) & _ONE).astype(np.int64)


def _lanes(words: Words, lanes: int) -> NDArray[np.uint8]:
    """Return bit j of every word in row j; uint8, (lanes, words)."""
    octets = np.ascontiguousarray(words).view(np.uint8).reshape(-1, 8)
    return np.unpackbits(octets, axis=1, bitorder="little")[:, :lanes].T


def _pack(bits: NDArray[np.uint8] | _Numbers) -> Words:
    """Pack the bits of each row, 64 to a word, padded with zeros."""
    packed = np.packbits(bits.astype(np.uint8), axis=-1, bitorder="little")
    padding = [(0, 0)] * (bits.ndim - 1) + [(0, -packed.shape[-1] % 8)]
    words: Words = np.ascontiguousarray(np.pad(packed, padding)).view(np.uint64)
    return words


def _places(words: Words) -> _Numbers:
    """Return the places of the bits that are set in a row of words, in order."""
    used = np.flatnonzero(words)
    bits = np.unpackbits(words[used].view(np.uint8), bitorder="little")
    word, place = np.divmod(np.flatnonzero(bits), 64)
    return (used[word] << 6) + place
