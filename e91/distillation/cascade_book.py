"""What Bob knows about the errors: the edges of every pass, and which blocks are odd."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from e91.distillation.cascade_plan import MOST_PASSES, Counts, Places, Plan, Questions, Words

_T = TypeVar("_T")
_LOGGED_ROUNDS = 1024  # a stretch is cut after so many, or when its questions fill their room

KNOWN, VALUE, FIXED, ODD = 0, 1, 2, 3
"""Bitmaps of `Book.marks`: edges; the parity told before an edge; corrections since then;
beginnings of the odd blocks that wait.  They lie side by side, as they are used together."""


class Log(NamedTuple):
    """The public messages of a stretch of rounds, one behind the other.

    Attributes:
        counts: Questions answered in each round; int64.
        answers: Alice's parities, 64 to a word, each round on whole words; uint64.
        comparison: Bob's comparison bits, in the same form; uint64.
        questions: What Bob asked after each round; uint32.
    """

    counts: NDArray[np.int64]
    answers: Words
    comparison: Words
    questions: Questions


class Book(NamedTuple):
    """Bob's book on the frames of one batch.

    An *edge* is a place before which the parity of the errors was told, when its pass began;
    neighbouring edges bound a *block*.  A block is odd if it holds an odd number of errors now,
    and *waits* unless it is being searched.  A frame searches the earliest pass that has an odd
    block: all of them in the first pass, `Plan.side_by_side` in a later one, in the order of their
    places and going round.  Blocks of earlier passes that become odd are begun beside them.

    Attributes:
        marks: Four bitmaps of each frame in each pass; uint64, (passes, frames, words, 4).
        waiting: Number of odd blocks that wait; int32, (frames, passes).
        busy: Number of blocks under search; int32, (frames, passes).
        cursor: Where the last search of a later pass began; int32, (frames, passes).
        orders: Bit of the frame at each place of each pass; uint16, (passes, places).
        places: Place of each bit in each pass; uint16, (passes, places).
        words: Bob's key with the corrections so far; uint64, (groups, places).
        table: Its parity before each place, when each pass began, as bitmaps of each frame;
            uint64, (passes, frames, words).
        searches: The blocks under search, in the order of their questions; uint64.
        found: Searches that ended at one place; uint64.
        touched: Blocks of the first pass that became odd; uint64.
        questions: Pass, frame and place that Bob asks about next, packed; uint32.
        log: What was said in a stretch of rounds; see `Log`.
    """

    marks: Words
    waiting: Counts
    busy: Counts
    cursor: Counts
    orders: Places
    places: Places
    words: Words
    table: Words
    searches: Words
    found: Words
    touched: Words
    questions: Questions
    log: Log


@contextmanager
def open_book(words: Words, plan: Plan) -> Iterator[Book]:
    """Lend a book on the frames of ``words``; uint64, (groups, places), copied.

    What it holds about a pass is undefined until `open_pass` of a route.
    """
    kind = (plan.lanes, plan.places, plan.side_by_side, len(words))
    with _BOOKS.lend(kind, lambda: _new_book(plan, len(words))) as book:
        book.words[:] = words
        yield book


@contextmanager
def open_table(groups: int, plan: Plan) -> Iterator[Words]:
    """Lend room for the parities before each place: as `Book.table`, its content undefined."""
    shape = (MOST_PASSES, groups * plan.lanes, plan.row)
    with _TABLES.lend(shape, lambda: np.empty(shape, np.uint64)) as table:
        yield table


def _new_book(plan: Plan, groups: int) -> Book:
    # Arrays are as long as they could ever have to be: the system gives only what is used.
    frames, row = groups * plan.lanes, plan.row
    # Every block under search has two places or more; later passes search few at a time.
    most = frames * (plan.places // 2 + MOST_PASSES * plan.side_by_side)
    return Book(
        marks=np.empty((MOST_PASSES, frames, row, 4), np.uint64),
        waiting=np.empty((frames, MOST_PASSES), np.int32),
        busy=np.empty((frames, MOST_PASSES), np.int32),
        cursor=np.empty((frames, MOST_PASSES), np.int32),
        orders=np.empty((MOST_PASSES, plan.places), np.uint16),
        places=np.empty((MOST_PASSES, plan.places), np.uint16),
        words=np.empty((groups, plan.places), np.uint64),
        table=np.empty((MOST_PASSES, frames, row), np.uint64),
        searches=np.empty(most, np.uint64),
        found=np.empty(most, np.uint64),
        touched=np.empty(most, np.uint64),
        questions=np.empty(most, np.uint32),
        log=Log(
            counts=np.empty(_LOGGED_ROUNDS, np.int64),
            answers=np.empty(_LOGGED_ROUNDS + most // 32, np.uint64),
            comparison=np.empty(_LOGGED_ROUNDS + most // 32, np.uint64),
            questions=np.empty(2 * most, np.uint32),
        ),
    )


class _Shelf(Generic[_T]):
    """Keeps a few large objects for their next use: fresh memory costs as much as the work in it.

    What is lent is nobody else's until it is given back, so threads and interleaved sessions do
    not meet.  It holds old key bits until it is used again, as freed memory does.
    """

    def __init__(self, room: int) -> None:
        self._kept: list[tuple[object, _T]] = []
        self._room = room
        self._lock = Lock()

    @contextmanager
    def lend(self, kind: object, make: Callable[[], _T]) -> Iterator[_T]:
        """Lend an object of this kind, made if none is on the shelf."""
        with self._lock:
            places = [i for i, (other, _) in enumerate(self._kept) if other == kind]
            found = self._kept.pop(places[-1])[1] if places else None
        lent = make() if found is None else found
        try:
            yield lent
        finally:
            with self._lock:
                self._kept = [*self._kept, (kind, lent)][-self._room :]


_BOOKS: _Shelf[Book] = _Shelf(room=2)
_TABLES: _Shelf[Words] = _Shelf(room=2)
