"""The inner loops of Cascade in NumPy: the same bits as compiled, for short keys and without numba.

See `e91.distillation.cascade.parties.Kernels` for what each function does; the private ones follow
those of `e91.distillation.cascade.search_kernels` by name, with arrays instead of loops.

Why there are two: in a new process on a busy machine with two cores, a key of 200,000 bits at
Q = 1.5 %, as of a session of a million pairs, took 2 s of processor time here, 1.4 s with compiled
loops that had to be loaded, and 18 s with loops that had to be compiled first.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from e91.distillation.cascade.block_states import CORRECTED, EDGE, ODD, PARITY, BlockStates
from e91.distillation.cascade.schedule import Edges, Places, Questions, Words

_Numbers = NDArray[np.int64]
_Flags = NDArray[np.bool_]

_ONE, _ALL = np.uint64(1), np.uint64(2**64 - 1)
_TURNED = np.packbits(np.unpackbits(np.arange(256, dtype=np.uint8)), bitorder="little")


class _Searches(NamedTuple):
    """Blocks under search: iteration, frame, parity before them, begin, end; shape (k,) each."""

    iteration: _Numbers
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


def prefix_parities(words: Words, order: Places, edges: Edges, before: Words, table: Words) -> None:
    """Write the parities before the edges, and before every place of every frame."""
    groups, lanes = len(words), len(table) // len(words)
    everywhere = np.zeros((groups, 64 * table.shape[1]), np.uint64)
    everywhere[:, 1 : order.size + 1] = np.bitwise_xor.accumulate(words[:, order], axis=1)
    everywhere[:, order.size + 1 :] = everywhere[:, order.size, None]
    before[:] = everywhere[:, edges]
    for group in range(groups):
        table[group * lanes : (group + 1) * lanes] = _pack(_lanes(everywhere[group], lanes))


def look_up(
    table: Words, iterations: int, places: int, questions: Questions, answers: Words
) -> bool:
    """Write the parity that each question asks for, 64 to a word; False for a senseless one."""
    wide = questions.astype(np.int64)
    iteration, frame, place = wide >> 27, (wide >> 16) & 2047, wide & 65535
    if (iteration >= iterations).any() or (frame >= table.shape[1]).any():
        return False
    if (place == 0).any() or (place >= places).any():
        return False
    answers[:] = _pack(_bits(table[iteration, frame, place >> 6], place))
    return True


def subset_parities(words: Words, masks: Words, count: int) -> int:
    """Return ``count`` parities of random subsets as a number, the first in its lowest bit."""
    folded = (np.bitwise_xor.reduce(words & masks[i : i + words.size]) for i in range(count))
    return sum((int(word).bit_count() & 1) << i for i, word in enumerate(folded))


def begin_iteration(states: BlockStates, iteration: int, edges: Edges, before: Words) -> None:
    """Enter the blocks between ``edges``, and the parities of the errors before these."""
    frames, row = states.bitmaps.shape[1], states.bitmaps.shape[2]
    lanes = frames // len(before)
    states.bitmaps[iteration] = 0
    known = np.zeros(64 * row, np.uint8)
    known[edges] = 1
    states.bitmaps[iteration, :, :, EDGE] = _pack(known)
    for kind, words in ((PARITY, before[:, :-1]), (ODD, before[:, :-1] ^ before[:, 1:])):
        bits = np.zeros((frames, 64 * row), np.uint8)
        for group, line in enumerate(words):
            bits[group * lanes : (group + 1) * lanes, edges[:-1]] = _lanes(line, lanes)
        states.bitmaps[iteration, :, :, kind] = _pack(bits)
    states.waiting[:, iteration] = bits.sum(axis=1)
    states.searched[:, iteration] = states.cursor[:, iteration] = 0


def begin_searches(states: BlockStates, iterations: int, limit: int) -> int:
    """Begin what every frame may when no search is under way; return the number of questions."""
    return _ask(states, [_load(states, iterations), *_begin_frames(states, iterations, limit)])


def use_answers(states: BlockStates, iterations: int, limit: int, bits: Words) -> int:
    """Use Alice's answers to all questions, and begin the next searches; -1: a contradiction."""
    halves = _halve(states, _load(states, iterations), bits)
    ended = halves.high - halves.low == 1
    np.subtract.at(states.searched, (halves.frame[ended], halves.iteration[ended]), 1)
    touched = _correct(states, iterations, halves.where(ended))
    if touched is None:
        return -1
    kept, begun = _prune(states, halves.where(~ended)), _begin_touched(states, touched)
    return _ask(states, [kept, begun, *_begin_frames(states, iterations, limit)])


def _ask(states: BlockStates, parts: list[_Searches]) -> int:
    searches = _Searches(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    if (searches.high - searches.low < 2).any():
        return -1
    _store(states, searches)
    return len(searches.low)


def _halve(states: BlockStates, searches: _Searches, bits: Words) -> _Searches:
    iteration, frame, base, low, high = searches
    middle = (low + high) >> 1
    own = _bits(states.parities[iteration, frame, middle >> 6], middle)
    bits ^= _pack(own)
    differs = np.unpackbits(bits.view(np.uint8), count=len(low), bitorder="little").astype(np.int64)
    mark = _ONE << (middle & 63).astype(np.uint64)
    where = (iteration, frame, middle >> 6)
    np.bitwise_or.at(states.bitmaps[..., EDGE], where, mark)
    np.bitwise_or.at(states.bitmaps[..., PARITY], where, mark * differs.astype(np.uint64))
    left = (base ^ differs ^ _parity(states.bitmaps, iteration, frame, low, middle)).astype(bool)
    return _Searches(
        iteration,
        frame,
        np.where(left, base, differs),
        np.where(left, low, middle),
        np.where(left, middle, high),
    )


def _correct(states: BlockStates, iterations: int, found: _Searches) -> _Searches | None:
    """Correct the errors found; return the blocks of the first iteration touched, in order."""
    bit = states.orders[found.iteration, found.low].astype(np.int64)
    first = np.zeros(len(bit), bool)
    first[np.unique((found.frame << 16) | bit, return_index=True)[1]] = True
    twice, found, bit = found.where(~first), found.where(first), bit[first]
    frame, lane = found.frame, _ONE << (found.frame & 63).astype(np.uint64)
    if _bits(states.bitmaps[0, frame, bit >> 6, CORRECTED], bit).any():
        return None
    np.bitwise_xor.at(states.key, (frame >> 6, bit), lane)
    touched = found.where(np.zeros(len(bit), bool))
    for other in range(iterations):
        place = states.places[other, bit].astype(np.int64)
        iteration = np.full_like(place, other)
        mark = _ONE << (place & 63).astype(np.uint64)
        np.bitwise_xor.at(states.bitmaps[..., CORRECTED], (iteration, frame, place >> 6), mark)
        foreign = found.iteration != other
        start = _edge_before(states.bitmaps, iteration[foreign], frame[foreign], place[foreign])
        _toggle(states, other, frame[foreign], start)
        if other == 0:
            zero = np.zeros_like(start)
            touched = _Searches(zero, frame[foreign], zero, start, zero)
    _clear_odd(states, twice)
    return touched


def _prune(states: BlockStates, searches: _Searches) -> _Searches:
    even = _is_odd(
        states, searches
    )  # the oddness that a search stands for is entered only if undone
    _clear_odd(states, searches.where(even))
    np.subtract.at(states.searched, (searches.frame[even], searches.iteration[even]), 1)
    return searches.where(~even)


def _begin_touched(states: BlockStates, touched: _Searches) -> _Searches:
    """Begin the odd ones among the touched blocks of the first iteration, by their first touch."""
    _, index = np.unique((touched.frame << 16) | touched.low, return_index=True)
    once = touched.where(np.sort(index))
    return _begin(states, once.where(_is_odd(states, once)))


def _begin_frames(states: BlockStates, iterations: int, limit: int) -> list[_Searches]:
    """Begin what each frame may, frame by frame."""
    waiting, searched, frames = (
        states.waiting[:, :iterations],
        states.searched,
        np.arange(len(states.searched)),
    )
    earliest = ((waiting + searched[:, :iterations]) > 0).argmax(axis=1)
    free = (earliest == 0) | (searched[frames, earliest] < limit)
    begun = []
    for frame in np.flatnonzero((waiting[frames, earliest] > 0) & free).tolist():
        iteration = int(earliest[frame])
        places = _places(states.bitmaps[iteration, frame, :, ODD])
        turn = np.searchsorted(places, states.cursor[frame, iteration])
        room = limit - int(searched[frame, iteration]) if iteration else len(places)
        low = np.concatenate([places[turn:], places[:turn]])[:room]
        same = np.zeros_like(low)
        begun.append(_begin(states, _Searches(same + iteration, same + frame, same, low, same)))
        states.cursor[frame, iteration] = low[-1]
    return begun


def _begin(states: BlockStates, blocks: _Searches) -> _Searches:
    """Take odd blocks under search; their base and end are filled in."""
    iteration, frame, _, low, _ = blocks
    _clear_odd(states, blocks)
    np.add.at(states.searched, (frame, iteration), 1)
    base = _bits(states.bitmaps[iteration, frame, low >> 6, PARITY], low)
    return _Searches(
        iteration, frame, base, low, _edge_after(states.bitmaps, iteration, frame, low)
    )


def _is_odd(states: BlockStates, blocks: _Searches) -> _Flags:
    words = states.bitmaps[blocks.iteration, blocks.frame, blocks.low >> 6, ODD]
    return _bits(words, blocks.low).astype(bool)


def _clear_odd(states: BlockStates, blocks: _Searches) -> None:
    iteration, frame, low = blocks.iteration, blocks.frame, blocks.low
    mark = _ONE << (low & 63).astype(np.uint64)
    np.bitwise_xor.at(states.bitmaps[..., ODD], (iteration, frame, low >> 6), mark)
    np.subtract.at(states.waiting, (frame, iteration), 1)


def _toggle(states: BlockStates, iteration: int, frame: _Numbers, start: _Numbers) -> None:
    """Make odd blocks even and even ones odd, once for each mention."""
    keys, counts = np.unique((frame << 16) | start, return_counts=True)
    keys = keys[counts % 2 == 1]
    frame, start = keys >> 16, keys & 65535
    mark = _ONE << (start & 63).astype(np.uint64)
    odd_bitmap = states.bitmaps[iteration, :, :, ODD]
    np.bitwise_xor.at(odd_bitmap, (frame, start >> 6), mark)
    now = _bits(odd_bitmap[frame, start >> 6], start)
    np.add.at(
        states.waiting, (frame, np.full_like(frame, iteration)), (2 * now - 1).astype(np.int32)
    )


def _parity(
    bitmaps: Words, iteration: _Numbers, frame: _Numbers, low: _Numbers, high: _Numbers
) -> _Numbers:
    """Return the parities of the corrections at places ``low`` to ``high - 1``."""
    first, last = low >> 6, (high - 1) >> 6
    word = np.zeros(len(low), np.uint64)
    for step in range(int((last - first).max(initial=-1)) + 1):
        inside = np.flatnonzero(first + step <= last)
        i = first[inside] + step
        piece = bitmaps[iteration[inside], frame[inside], i, CORRECTED]
        below = np.where(i == first[inside], low[inside] & 63, 0).astype(np.uint64)
        above = np.where(i == last[inside], 63 - ((high[inside] - 1) & 63), 0).astype(np.uint64)
        word[inside] ^= piece & (_ALL << below) & (_ALL >> above)
    return (np.bitwise_count(word) & 1).astype(np.int64)


def _edge_before(bitmaps: Words, iteration: _Numbers, frame: _Numbers, place: _Numbers) -> _Numbers:
    """Return the last edges at or before ``place``."""
    i = place >> 6
    word = bitmaps[iteration, frame, i, EDGE] & (_ALL >> (63 - (place & 63)).astype(np.uint64))
    while (empty := np.flatnonzero(word == 0)).size:
        i[empty] -= 1
        word[empty] = bitmaps[iteration[empty], frame[empty], i[empty], EDGE]
    for shift in (1, 2, 4, 8, 16, 32):
        word |= word >> np.uint64(shift)  # every bit below the highest, so that counting finds it
    before: _Numbers = (i << 6) + np.bitwise_count(word).astype(np.int64) - 1
    return before


def _edge_after(bitmaps: Words, iteration: _Numbers, frame: _Numbers, place: _Numbers) -> _Numbers:
    """Return the first edges beyond ``place``."""
    i = (place + 1) >> 6
    word = bitmaps[iteration, frame, i, EDGE] & (_ALL << ((place + 1) & 63).astype(np.uint64))
    while (empty := np.flatnonzero(word == 0)).size:
        i[empty] += 1
        word[empty] = bitmaps[iteration[empty], frame[empty], i[empty], EDGE]
    lowest = word & (~word + _ONE)
    after: _Numbers = (i << 6) + np.bitwise_count(lowest - _ONE).astype(np.int64)
    return after


def _load(states: BlockStates, iterations: int) -> _Searches:
    counts = states.searched[:, :iterations].sum(axis=1)
    rows = [row[:count] for row, count in zip(states.searches, counts.tolist(), strict=True)]
    packed = np.concatenate(rows).astype(np.int64)
    return _Searches(
        packed >> 34,
        np.repeat(np.arange(len(counts)), counts),
        (packed >> 33) & 1,
        (packed >> 17) & 65535,
        packed & 131071,
    )


def _store(states: BlockStates, searches: _Searches) -> None:
    iteration, frame, base, low, high = searches.where(np.argsort(searches.frame, kind="stable"))
    packed = (iteration << 34) | (base << 33) | (low << 17) | high
    first = np.searchsorted(frame, np.arange(len(states.searches)))
    states.searches[frame, np.arange(len(packed)) - first[frame]] = packed.astype(np.uint64)
    questions = (iteration << 27) | (frame << 16) | ((low + high) >> 1)
    states.questions[: len(packed)] = questions.astype(np.uint32)


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
