"""A round of Bob's searches in all frames, compiled by numba: answers in, questions out.

What is done in one frame stands in `e91.distillation.cascade.search_kernels`.
"""

from __future__ import annotations

import numpy as np

from e91.distillation.cascade.block_states import Book
from e91.distillation.cascade.parity_kernels import append_bits, extract_bits
from e91.distillation.cascade.schedule import Questions, Words
from e91.distillation.cascade.search_kernels import begin, step, unpack
from e91.system.compiled import kernel, part
from e91.system.numba_internals import borrowed


@part
def borrowed_book(book: Book) -> Book:
    """Return the same book without owners; see `borrowed`."""
    return Book(
        borrowed(book.marks),
        borrowed(book.waiting),
        borrowed(book.busy),
        borrowed(book.cursor),
        borrowed(book.orders),
        borrowed(book.places),
        borrowed(book.words),
        borrowed(book.table),
        borrowed(book.searches),
        borrowed(book.found),
        borrowed(book.touched),
        borrowed(book.questions),
    )


@part
def under_search(book: Book, frame: int, passes: int) -> int:
    """Return how many blocks of a frame are under search."""
    count = 0
    for number in range(passes):
        count += book.busy[frame, number]
    return count


@part
def ask(book: Book, frame: int, count: int, questions: Questions) -> bool:
    """Write the questions of the searches of a frame; False if one has nothing to ask.

    That is a block of one place whose parity was known, but changed.
    """
    sense = True
    for i in range(count):
        number, _, low, high = unpack(book.searches[frame, i])
        questions[i] = (number << 27) | (frame << 16) | ((low + high) >> 1)
        sense &= high - low > 1
    return sense


def advance(book: Book, passes: int, limit: int, bits: Words) -> int:
    """Use Alice's answers to all questions, and begin the next searches; -1 for a contradiction.

    Returns:
        How many searches go on in ``book.searches``; their questions are in ``book.questions``.
    """
    # Two kernels, as who has a ferry for the answers need not compile how to use them here.
    return _use(book, passes, limit, bits) if bits.size else _begin_all(book, passes, limit)


@kernel
def _begin_all(book: Book, passes: int, limit: int) -> int:
    """Begin what every frame may when no search is under way; return the number of questions."""
    asked = 0
    for frame in range(book.marks.shape[1]):
        count = begin(book, frame, passes, limit, 0, 0)
        if not ask(book, frame, count, book.questions[asked:]):
            return -1
        asked += count
    return asked


@kernel
def _use(book: Book, passes: int, limit: int, bits: Words) -> int:
    told, asked, answers = 0, 0, bits.copy()
    own = np.empty(book.searches.shape[1] // 64 + 1, np.uint64)
    for frame in range(book.marks.shape[1]):
        count = under_search(book, frame, passes)
        extract_bits(answers, told, count, own)
        after = step(book, frame, passes, limit, count, own)
        if after < 0 or not ask(book, frame, after, book.questions[asked:]):
            return -1
        append_bits(bits, told, own, count)
        told, asked = told + count, asked + after
    return asked
