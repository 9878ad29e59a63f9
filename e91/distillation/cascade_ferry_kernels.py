"""The wire between two honest parties, compiled by numba: rounds without a stop in Python.

The global interpreter lock makes two threads with thousands of short kernels wait for each other.
Here the rounds of a stretch run in one kernel.  It is no third party: it hands Bob's questions to
Alice's `look_up`, her answers to Bob's `advance`, and writes both down.
"""

from __future__ import annotations

from e91.distillation.cascade_book import Book
from e91.distillation.cascade_kernels import compiled, look_up
from e91.distillation.cascade_plan import Words
from e91.distillation.cascade_search_kernels import advance


@compiled
def ferry(
    table: Words, places: int, book: Book, passes: int, limit: int, count: int, least: int
) -> tuple[int, int]:
    """Go on while there are ``least`` questions or more; return rounds, and questions or -1."""
    log, rounds, words, asked = book.log, 0, 0, 0
    while count >= least and rounds < log.counts.size:
        wide = (count + 63) >> 6
        answers, comparison = log.answers[words : words + wide], log.comparison
        if words + wide > log.answers.size or asked + book.questions.size > log.questions.size:
            break  # the next round might not find room
        if not look_up(table, passes, places, book.questions[:count], answers):
            return rounds, -1
        comparison = comparison[words : words + wide]
        comparison[:] = answers
        log.counts[rounds] = count
        count = advance(book, passes, limit, count, comparison)
        if count < 0:
            return rounds, -1
        log.questions[asked : asked + count] = book.questions[:count]
        rounds, words, asked = rounds + 1, words + wide, asked + count
    return rounds, count
