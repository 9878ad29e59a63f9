"""The wire between two honest parties, compiled by numba: rounds without a stop in Python.

The global interpreter lock makes two threads with thousands of short kernels wait for each other,
and all frames in turn would fall out of the cache between two rounds of one.  Here one kernel runs
the rounds of a frame to their end, and then those of the next.  It is no third party: it hands
Bob's questions to Alice's `look_up`, her answers to Bob's `step`, and writes both down.
"""

from __future__ import annotations

import numpy as np
from numpy import uint64
from numpy.typing import NDArray

from e91.distillation.cascade.block_states import Book, Log
from e91.distillation.cascade.parity_kernels import append_bits, extract_bits, look_up
from e91.distillation.cascade.round_kernels import ask, borrowed_book, under_search
from e91.distillation.cascade.schedule import Words
from e91.distillation.cascade.search_kernels import step
from e91.system.compiled import kernel, part
from e91.system.numba_internals import borrowed


@kernel
def carry(table: Words, places: int, whole: Book, passes: int, limit: int, full: Log) -> int:
    """Go on until no question is open: 1; or until the log is full: 0; -1: a contradiction."""
    room = np.empty(whole.searches.shape[1] // 64 + 1, np.uint64)
    book, log = borrowed_book(whole), _borrowed_log(full)
    done = _carry_on(borrowed(table), places, book, passes, limit, log, borrowed(room))
    # Numba gives an array back behind the last line that names it; who borrowed it does not count.
    room[0] = uint64(0)
    return done


@part
def _carry_on(
    table: Words, places: int, book: Book, passes: int, limit: int, log: Log, bits: Words
) -> int:
    """Do what `carry` says with arrays that somebody else keeps."""
    frame, rounds, asked = log.ends[0], log.ends[1], log.ends[2]
    while frame < book.marks.shape[1]:
        count = under_search(book, frame, passes)
        if rounds == log.counts.size or asked + count > log.questions.size:
            log.ends[0], log.ends[1], log.ends[2] = frame, rounds, asked
            return 0
        log.counts[rounds] = count
        rounds += 1
        if count == 0:
            frame += 1
            continue
        questions = log.questions[asked : asked + count]
        if not ask(book, frame, count, questions):
            return -1
        if not look_up(table, passes, places, questions, bits[: (count + 63) >> 6]):
            return -1
        append_bits(log.answers, asked, bits, count)
        if step(book, frame, passes, limit, count, bits) < 0:
            return -1
        append_bits(log.comparison, asked, bits, count)
        asked += count
    log.ends[0], log.ends[1], log.ends[2] = frame, rounds, asked
    return 1


@part
def _borrowed_log(log: Log) -> Log:
    return Log(
        borrowed(log.counts),
        borrowed(log.questions),
        borrowed(log.answers),
        borrowed(log.comparison),
        borrowed(log.ends),
    )


@kernel
def by_rounds(log: Log, merged: Log) -> None:
    """Write a log as if all frames were one, whose every round begins on whole words of bits."""
    frames, _, room = log.ends
    bits = np.empty(room // 64 + 1, np.uint64)
    at = _beginnings(log)
    rounds, words, asked, told = 0, 0, 0, 1
    while told:
        told = 0
        for frame in range(frames):
            count, first = log.counts[at[frame, 0]], at[frame, 1]
            if count == 0:
                continue
            extract_bits(log.answers, first, count, bits)
            append_bits(merged.answers, 64 * words + told, bits, count)
            extract_bits(log.comparison, first, count, bits)
            append_bits(merged.comparison, 64 * words + told, bits, count)
            for i in range(count):
                merged.questions[asked + told + i] = log.questions[first + i]
            at[frame, 0] += 1
            at[frame, 1] += count
            told += count
        merged.counts[rounds] = told
        rounds, words, asked = rounds + 1, words + ((told + 63) >> 6), asked + told
    merged.ends[0], merged.ends[1], merged.ends[2] = 1, rounds, asked


@part
def _beginnings(log: Log) -> NDArray[np.int64]:
    """Return where the counts and questions of each frame begin; int64, (frames, 2)."""
    at = np.empty((log.ends[0], 2), np.int64)
    at[:] = 0
    frame, asked = 0, 0
    for i in range(log.ends[1] - 1):
        asked += log.counts[i]
        if log.counts[i] == 0:
            frame += 1
            at[frame, 0], at[frame, 1] = i + 1, asked
    return at
