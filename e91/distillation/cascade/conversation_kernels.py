"""The conversation of two honest parties, compiled by numba: rounds without a stop in Python.

The global interpreter lock makes two threads with thousands of short kernels wait for each other,
and all frames in turn would fall out of the cache between two rounds of one.  Here one kernel runs
the rounds of a frame to their end, and then those of the next.  It is no third party: it gives
Bob's questions to Alice's `look_up`, her answers to Bob's `step`, and writes both down.
"""

import numpy as np
from numpy.typing import NDArray

from e91.distillation.cascade.block_states import BlockStates
from e91.distillation.cascade.parity_kernels import append_bits, extract_bits, look_up
from e91.distillation.cascade.schedule import Words
from e91.distillation.cascade.search_kernels import ask, borrowed_states, step, under_search
from e91.distillation.cascade.transcript import Transcript
from e91.system.compiled import kernel, part
from e91.system.numba_internals import borrowed


@kernel
def search(
    parities: Words,
    places: int,
    states: BlockStates,
    iterations: int,
    limit: int,
    transcript: Transcript,
    bits: Words,
) -> int:
    """Go on until no question is open: 1; until the transcript is full: 0; -1: a contradiction.

    Args:
        parities: Alice's, as bitmaps.
        places: Places of a frame.
        states: Bob's.
        iterations: How many have begun.
        limit: Searches at once in a later iteration.
        transcript: What is said is appended to it.
        bits: Room for the answers of one round of a frame.
    """
    return _search(
        borrowed(parities),
        places,
        borrowed_states(states),
        iterations,
        limit,
        _borrowed_transcript(transcript),
        borrowed(bits),
    )


@part
def _search(
    parities: Words,
    places: int,
    states: BlockStates,
    iterations: int,
    limit: int,
    transcript: Transcript,
    bits: Words,
) -> int:
    """Do what `search` says with arrays that somebody else keeps."""
    frame, rounds, asked = transcript.used[0], transcript.used[1], transcript.used[2]
    while frame < states.bitmaps.shape[1]:
        count = under_search(states, frame, iterations)
        if rounds == transcript.counts.size or asked + count > transcript.questions.size:
            transcript.used[0], transcript.used[1], transcript.used[2] = frame, rounds, asked
            return 0
        transcript.counts[rounds] = count
        rounds += 1
        if count == 0:
            frame += 1
            continue
        questions = transcript.questions[asked : asked + count]
        if not ask(states, frame, count, questions):
            return -1
        if not look_up(parities, iterations, places, questions, bits[: (count + 63) >> 6]):
            return -1
        append_bits(transcript.answers, asked, bits, count)
        if step(states, frame, iterations, limit, count, bits) < 0:
            return -1
        append_bits(transcript.comparison, asked, bits, count)
        asked += count
    transcript.used[0], transcript.used[1], transcript.used[2] = frame, rounds, asked
    return 1


@part
def _borrowed_transcript(transcript: Transcript) -> Transcript:
    return Transcript(
        borrowed(transcript.counts),
        borrowed(transcript.questions),
        borrowed(transcript.answers),
        borrowed(transcript.comparison),
        borrowed(transcript.used),
    )


@kernel
def merge_rounds(transcript: Transcript, merged: Transcript) -> None:
    """Write a transcript as if all frames were one; each of its rounds begins on whole words."""
    frames, _, room = transcript.used
    bits = np.empty(room // 64 + 1, np.uint64)
    at = _beginnings(transcript)
    rounds, words, asked, said = 0, 0, 0, 1
    while said:
        said = 0
        for frame in range(frames):
            count, first = transcript.counts[at[frame, 0]], at[frame, 1]
            if count == 0:
                continue
            extract_bits(transcript.answers, first, count, bits)
            append_bits(merged.answers, 64 * words + said, bits, count)
            extract_bits(transcript.comparison, first, count, bits)
            append_bits(merged.comparison, 64 * words + said, bits, count)
            for i in range(count):
                merged.questions[asked + said + i] = transcript.questions[first + i]
            at[frame, 0] += 1
            at[frame, 1] += count
            said += count
        merged.counts[rounds] = said
        rounds, words, asked = rounds + 1, words + ((said + 63) >> 6), asked + said
    merged.used[0], merged.used[1], merged.used[2] = 1, rounds, asked


@part
def _beginnings(transcript: Transcript) -> NDArray[np.int64]:
    """Return where the counts and questions of each frame begin; int64, (frames, 2)."""
    at = np.empty((transcript.used[0], 2), np.int64)
    at[:] = 0
    frame, asked = 0, 0
    for i in range(transcript.used[1] - 1):
        asked += transcript.counts[i]
        if transcript.counts[i] == 0:
            frame += 1
            at[frame, 0], at[frame, 1] = i + 1, asked
    return at
