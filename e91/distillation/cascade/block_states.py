"""What Bob knows about the errors: the edges of every pass, and which blocks are odd."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import Lock
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from e91.distillation.cascade.schedule import MOST_PASSES, Counts, Places, Plan, Questions, Words

_T = TypeVar("_T")
_SAME_BOOK = 2048  # places by which frames may differ and share a book
_LOGGED_QUESTIONS = 2**14  # of a frame in a stretch, for a start: a log grows when it is full

KNOWN, VALUE, FIXED, ODD = 0, 1, 2, 3
"""Bitmaps of `Book.marks`: edges; the parity told before an edge; corrections since then;
beginnings of the odd blocks that wait.  They lie side by side, as they are used together."""


class Log(NamedTuple):
    """What was said in a stretch of rounds, one frame behind the other.

    Attributes:
        counts: Questions of each round of a frame, and 0 after its last; int32.
        questions: What Bob asked; uint32.
        answers: Alice's parities, one bit for each question; uint64.
        comparison: Bob's comparison bits, in the same form; uint64.
        ends: How many frames are done, and how many of ``counts`` and ``questions`` are used;
            int64, shape (3,).
    """

    counts: Counts
    questions: Questions
    answers: Words
    comparison: Words
    ends: NDArray[np.int64]

    def merged(self) -> Log:
        """Return an empty log with room for the same rounds, each on whole words of bits."""
        _, rounds, asked = self.ends.tolist()
        answers, comparison = (np.empty(rounds + asked // 64 + 2, np.uint64) for _ in range(2))
        return Log(
            np.empty(rounds, np.int32),
            np.empty(asked, np.uint32),
            answers,
            comparison,
            np.zeros_like(self.ends),
        )

    def doubled(self) -> Log:
        """Return a log with the same content and twice the room."""
        return Log(
            counts=np.concatenate([self.counts, np.empty_like(self.counts)]),
            questions=np.concatenate([self.questions, np.empty_like(self.questions)]),
            answers=np.concatenate([self.answers, np.empty_like(self.answers)]),
            comparison=np.concatenate([self.comparison, np.empty_like(self.comparison)]),
            ends=self.ends,
        )


class Book(NamedTuple):
    """Bob's book on the frames of one batch.

    An *edge* is a place before which the parity of the errors was told, when its pass began;
    neighbouring edges bound a *block*.  A block is odd if it holds an odd number of errors now,
    and *waits* unless it is being searched.  A frame searches the earliest pass that has an odd
    block: all of them in the first pass, `Plan.side_by_side` in a later one, in the order of their
    places and going round.  Blocks of earlier passes that become odd are begun beside them.
    Frames know nothing of each other.

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
        searches: The blocks of each frame under search, in the order of their questions, as many
            as ``busy`` says; uint64, (frames, room).
        found: Searches of one frame that ended at one place; uint64, (room,).
        touched: Blocks of its first pass that became odd; uint64, (room,).
        questions: Pass, frame and place that Bob asks about next, packed, frame by frame; uint32.
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


@contextmanager
def open_book(words: Words, plan: Plan) -> Iterator[Book]:
    """Lend a book on the frames of ``words``; uint64, (groups, places), copied.

    What it holds about a pass is undefined until `open_pass` of a route.
    """
    groups, roomy = len(words), _roomy(plan)
    kind = (plan.lanes, roomy.places, plan.side_by_side, groups)
    with _BOOKS.lend(kind, lambda: _pools(_shapes(roomy, groups))) as pools:
        book = Book(**_cut(pools, _shapes(plan, groups)))
        book.words[:] = words
        yield book


@contextmanager
def open_table(groups: int, plan: Plan) -> Iterator[Words]:
    """Lend room for the parities before each place: as `Book.table`, its content undefined."""
    roomy = _roomy(plan)
    kind = (plan.lanes, roomy.places, groups)
    with _TABLES.lend(kind, lambda: _pools(_shapes(roomy, groups, "table"))) as pools:
        yield _cut(pools, _shapes(plan, groups, "table"))["table"]


@contextmanager
def open_log(book: Book) -> Iterator[Log]:
    """Lend an empty log for the frames of a book."""
    frames = len(book.busy)
    with _LOGS.lend((frames, _LOGGED_QUESTIONS), lambda: _new_log(frames)) as log:
        log.ends[:] = 0
        yield log


_Shapes = dict[str, tuple[tuple[int, ...], Any]]


def _shapes(plan: Plan, groups: int, *only: str) -> _Shapes:
    """Return shape and type of the arrays of a book, or of some of them."""
    # Arrays are as long as they could ever have to be: the system gives only what is used.
    frames, row = groups * plan.lanes, plan.row
    # Every block under search has two places or more; later passes search few at a time.
    room = plan.places // 2 + MOST_PASSES * plan.side_by_side
    shapes: _Shapes = {
        "marks": ((MOST_PASSES, frames, row, 4), np.uint64),
        "waiting": ((frames, MOST_PASSES), np.int32),
        "busy": ((frames, MOST_PASSES), np.int32),
        "cursor": ((frames, MOST_PASSES), np.int32),
        "orders": ((MOST_PASSES, plan.places), np.uint16),
        "places": ((MOST_PASSES, plan.places), np.uint16),
        "words": ((groups, plan.places), np.uint64),
        "table": ((MOST_PASSES, frames, row), np.uint64),
        "searches": ((frames, room), np.uint64),
        "found": ((room,), np.uint64),
        "touched": ((room,), np.uint64),
        "questions": ((frames * room,), np.uint32),
    }
    return {name: shapes[name] for name in only or shapes}


def _roomy(plan: Plan) -> Plan:
    """Return the plan of the longest frames that share one book with those of ``plan``.

    Keys of one run differ by a few bits; arrays of their very sizes would be made anew for each,
    and memory would creep.
    """
    return replace(plan, places=-(-plan.places // _SAME_BOOK) * _SAME_BOOK)


def _pools(shapes: _Shapes) -> dict[str, NDArray[Any]]:
    return {name: np.empty(math.prod(shape), kind) for name, (shape, kind) in shapes.items()}


def _cut(pools: dict[str, NDArray[Any]], shapes: _Shapes) -> dict[str, NDArray[Any]]:
    """Return the beginnings of the pools as contiguous arrays of these shapes."""
    return {
        name: pools[name][: math.prod(shape)].reshape(shape) for name, (shape, _) in shapes.items()
    }


def _new_log(frames: int) -> Log:
    room = frames * _LOGGED_QUESTIONS
    return Log(
        counts=np.empty(room, np.int32),
        questions=np.empty(room, np.uint32),
        answers=np.empty(room // 64 + 2, np.uint64),
        comparison=np.empty(room // 64 + 2, np.uint64),
        ends=np.zeros(3, np.int64),
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


_BOOKS: _Shelf[dict[str, NDArray[Any]]] = _Shelf(room=2)
_TABLES: _Shelf[dict[str, NDArray[Any]]] = _Shelf(room=2)
_LOGS: _Shelf[Log] = _Shelf(room=2)
