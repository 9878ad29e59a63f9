"""Bob's searches, compiled by numba; `cascade.numpy_kernels` gives the same without it.

The functions change the book that they are given; none checks its arguments.  A search is a number:
the block from `low` to `high` of its frame in a pass, and the parity told before `low`.
"""

from __future__ import annotations

import numpy as np
from numpy import uint64

from e91.distillation.cascade.block_states import FIXED, KNOWN, ODD, VALUE, Book
from e91.distillation.cascade.parity_kernels import ALL, ONE, integer
from e91.distillation.cascade.schedule import Counts, Edges, Words
from e91.system.compiled import kernel, part
from e91.system.numba_internals import ones, zeros_above, zeros_below


@part
def _parity(marks: Words, number: int, frame: int, low: int, high: int) -> np.uint64:
    """Return the parity of the corrections at places ``low`` to ``high - 1`` of a frame."""
    first, last = low >> 6, (high - 1) >> 6
    head, tail = ALL << uint64(low & 63), ALL >> uint64(63 - ((high - 1) & 63))
    if first == last:
        return ones(marks[number, frame, first, FIXED] & head & tail) & ONE
    word = (marks[number, frame, first, FIXED] & head) ^ (marks[number, frame, last, FIXED] & tail)
    for i in range(first + 1, last):
        word ^= marks[number, frame, i, FIXED]
    return ones(word) & ONE


@part
def _edge_before(marks: Words, number: int, frame: int, place: int) -> int:
    """Return the last edge at or before ``place``."""
    i = place >> 6
    word = marks[number, frame, i, KNOWN] & (ALL >> uint64(63 - (place & 63)))
    while word == 0:
        i -= 1
        word = marks[number, frame, i, KNOWN]
    return (i << 6) + 63 - integer(zeros_above(word))


@part
def _edge_after(marks: Words, number: int, frame: int, place: int) -> int:
    """Return the first edge beyond ``place``."""
    i = (place + 1) >> 6
    word = marks[number, frame, i, KNOWN] & (ALL << uint64((place + 1) & 63))
    while word == 0:
        i += 1
        word = marks[number, frame, i, KNOWN]
    return (i << 6) + integer(zeros_below(word))


@part
def _next_odd(marks: Words, number: int, frame: int, place: int) -> int:
    """Return the first odd block at or after ``place``, going round; there must be one."""
    i = place >> 6
    word = marks[number, frame, i, ODD] & (ALL << uint64(place & 63))
    while word == 0:
        # No remainder: dividing would take longer than all else that a round does.
        i = i + 1 if i + 1 < marks.shape[2] else 0
        word = marks[number, frame, i, ODD]
    return (i << 6) + integer(zeros_below(word))


@part
def _search(number: int, base: np.uint64, low: int, high: int) -> np.uint64:
    """Pack a search: pass, parity told before the block, and where it begins and ends."""
    head = (uint64(number) << uint64(34)) | (base << uint64(33))
    search: np.uint64 = head | (uint64(low) << uint64(17)) | uint64(high)
    return search


@part
def unpack(search: np.uint64) -> tuple[int, np.uint64, int, int]:
    """Return number, base, low and high of a search."""
    return (
        integer(search >> uint64(34)),
        (search >> uint64(33)) & ONE,
        integer((search >> uint64(17)) & uint64(65535)),
        integer(search & uint64(131071)),
    )


@part
def _clear_odd(marks: Words, waiting: Counts, number: int, frame: int, place: int) -> bool:
    """Take the block from ``place`` out of the odd ones; False if it was not among them."""
    bit = ONE << uint64(place & 63)
    if not marks[number, frame, place >> 6, ODD] & bit:
        return False
    marks[number, frame, place >> 6, ODD] ^= bit
    waiting[frame, number] -= 1
    return True


@kernel
def open_pass(book: Book, number: int, edges: Edges, told: Words) -> None:
    """Enter the blocks between ``edges`` and the parity told before each; (groups, edges)."""
    marks, lanes = book.marks, book.marks.shape[1] // told.shape[0]
    marks[number] = uint64(0)
    for frame in range(marks.shape[1]):
        book.waiting[frame, number] = book.busy[frame, number] = book.cursor[frame, number] = 0
    for group in range(told.shape[0]):
        for i in range(edges.size):
            place, shift = edges[i] >> 6, uint64(edges[i] & 63)
            here = told[group, i]
            odd = here ^ told[group, i + 1] if i + 1 < edges.size else uint64(0)
            here = here if i + 1 < edges.size else uint64(0)
            for lane in range(lanes):
                frame, bit = group * lanes + lane, (odd >> uint64(lane)) & ONE
                marks[number, frame, place, KNOWN] |= ONE << shift
                marks[number, frame, place, VALUE] |= ((here >> uint64(lane)) & ONE) << shift
                marks[number, frame, place, ODD] |= bit << shift
                book.waiting[frame, number] += integer(bit)


@part
def _halve(book: Book, frame: int, count: int, bits: Words) -> tuple[int, int]:
    """Halve the searched blocks at their middles; return how many go on, and how many ended.

    Alice's bits become comparison bits.  Blocks of one place, each with an error, move from
    ``book.searches`` to ``book.found``.
    """
    marks, table, searches, found = book.marks, book.table, book.searches, book.found
    kept, ended = 0, 0
    for first in range(0, count, 64):
        answers, comparison = bits[first >> 6], uint64(0)
        for i in range(first, min(first + 64, count)):
            number, base, low, high = unpack(searches[frame, i])
            middle = (low + high) >> 1
            word, shift = middle >> 6, uint64(middle & 63)
            own = table[number, frame, word] >> shift
            bit = (own ^ (answers >> uint64(i - first))) & ONE
            comparison |= bit << uint64(i - first)
            marks[number, frame, word, KNOWN] |= ONE << shift
            marks[number, frame, word, VALUE] |= bit << shift
            left = base ^ bit ^ _parity(marks, number, frame, low, middle)
            # Without branches, as nobody could predict them.
            high = middle if left else high
            low = low if left else middle
            base = base if left else bit
            search = _search(number, base, low, high)
            ends = 1 if high - low == 1 else 0
            found[ended] = search
            searches[frame, kept] = search
            ended += ends
            kept += 1 - ends
        bits[first >> 6] = comparison
    return kept, ended


@part
def _correct(book: Book, frame: int, passes: int, count: int) -> int:
    """Correct the errors found; return how many blocks of the first pass became odd, or -1.

    They go to ``book.touched``.  A block under search that becomes even is entered as odd, until
    `_prune`.  -1: a bit would be corrected twice, which true parities never ask for.
    """
    marks, waiting, touched = book.marks, book.waiting, book.touched
    spots, lane = 0, ONE << uint64(frame & 63)
    for i in range(count):
        number, _, low, _ = unpack(book.found[i])
        book.busy[frame, number] -= 1
        if _clear_odd(marks, waiting, number, frame, low):
            continue  # another search found the same error in the same round
        bit = integer(book.orders[number, low])
        if (marks[0, frame, bit >> 6, FIXED] >> uint64(bit & 63)) & ONE:
            return -1
        book.words[frame >> 6, bit] ^= lane
        for other in range(passes):
            place = integer(book.places[other, bit])
            marks[other, frame, place >> 6, FIXED] ^= ONE << uint64(place & 63)
            if other == number:
                continue
            start = _edge_before(marks, other, frame, place)
            word = marks[other, frame, start >> 6, ODD] ^ (ONE << uint64(start & 63))
            marks[other, frame, start >> 6, ODD] = word
            odd = integer((word >> uint64(start & 63)) & ONE)
            waiting[frame, other] += 2 * odd - 1
            touched[spots] = start
            spots += odd if other == 0 else 0
    return spots


@part
def _prune(book: Book, frame: int, count: int) -> int:
    """Drop the searches whose block became even; return how many are left."""
    searches, kept = book.searches, 0
    for i in range(count):
        number, _, low, _ = unpack(searches[frame, i])
        if _clear_odd(book.marks, book.waiting, number, frame, low):
            book.busy[frame, number] -= 1
        else:
            searches[frame, kept] = searches[frame, i]
            kept += 1
    return kept


@part
def _whole_block(marks: Words, number: int, frame: int, low: int) -> np.uint64:
    """Return the search of the block from ``low``."""
    base = (marks[number, frame, low >> 6, VALUE] >> uint64(low & 63)) & ONE
    return _search(number, base, low, _edge_after(marks, number, frame, low))


@part
def begin(book: Book, frame: int, passes: int, limit: int, spots: int, count: int) -> int:
    """Begin the touched blocks of the first pass, then what the frame may; see `Book`."""
    marks, waiting, busy, searches = book.marks, book.waiting, book.busy, book.searches
    for i in range(spots):
        low = integer(book.touched[i])
        if _clear_odd(marks, waiting, 0, frame, low):
            searches[frame, count] = _whole_block(marks, 0, frame, low)
            busy[frame, 0] += 1
            count += 1
    number = 0
    while number < passes - 1 and waiting[frame, number] + busy[frame, number] == 0:
        number += 1
    while waiting[frame, number] > 0 and (number == 0 or busy[frame, number] < limit):
        low = _next_odd(marks, number, frame, book.cursor[frame, number])
        book.cursor[frame, number] = low
        _clear_odd(marks, waiting, number, frame, low)
        searches[frame, count] = _whole_block(marks, number, frame, low)
        busy[frame, number] += 1
        count += 1
    return count


@part
def step(book: Book, frame: int, passes: int, limit: int, count: int, bits: Words) -> int:
    """Use Alice's answers to the questions of a frame; return how many come next, or -1."""
    kept, ended = _halve(book, frame, count, bits)
    spots = _correct(book, frame, passes, ended)
    if spots < 0:
        return -1
    count = _prune(book, frame, kept) if ended else kept
    return begin(book, frame, passes, limit, spots, count)
