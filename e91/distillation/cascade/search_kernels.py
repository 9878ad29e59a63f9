"""Bob's binary searches, compiled by numba; `numpy_kernels` gives the same without it.

The functions change the states that they are given; none checks its arguments.  A search is packed
into one word: its iteration, its block from `low` to `high`, and the parity known before `low`.

`search` is the conversation of two honest parties, rounds without a stop in Python: the global
interpreter lock makes two threads with thousands of short kernels wait for each other, and all
frames in turn would fall out of the cache between two rounds of one.  One kernel runs the rounds of
a frame to their end, and then those of the next.  It is no third party: it gives Bob's questions to
Alice's `look_up`, her answers to Bob's `step`, and writes both down.
"""

import numpy as np
from numpy import uint64
from numpy.typing import NDArray

from e91.distillation.cascade.block_states import (
    CORRECTED,
    EDGE,
    ODD,
    PARITY,
    BlockStates,
    Transcript,
)
from e91.distillation.cascade.parity_kernels import append_bits, extract_bits, integer, look_up
from e91.distillation.cascade.schedule import Counts, Edges, Questions, Words
from e91.system.bit_kernels import ALL, ONE, bit_length, ones, zeros_below
from e91.system.compiled import kernel, part
from e91.system.numba_internals import borrowed


@part
def _parity(bitmaps: Words, iteration: int, frame: int, low: int, high: int) -> np.uint64:
    """Return the parity of the corrections at places ``low`` to ``high - 1`` of a frame."""
    first, last = low >> 6, (high - 1) >> 6
    head, tail = ALL << uint64(low & 63), ALL >> uint64(63 - ((high - 1) & 63))
    if first == last:
        return ones(bitmaps[iteration, frame, first, CORRECTED] & head & tail) & ONE
    word = (bitmaps[iteration, frame, first, CORRECTED] & head) ^ (
        bitmaps[iteration, frame, last, CORRECTED] & tail
    )
    for i in range(first + 1, last):
        word ^= bitmaps[iteration, frame, i, CORRECTED]
    return ones(word) & ONE


@part
def _edge_before(bitmaps: Words, iteration: int, frame: int, place: int) -> int:
    """Return the last edge at or before ``place``."""
    i = place >> 6
    word = bitmaps[iteration, frame, i, EDGE] & (ALL >> uint64(63 - (place & 63)))
    while word == 0:
        i -= 1
        word = bitmaps[iteration, frame, i, EDGE]
    return (i << 6) + integer(bit_length(word)) - 1


@part
def _edge_after(bitmaps: Words, iteration: int, frame: int, place: int) -> int:
    """Return the first edge beyond ``place``."""
    i = (place + 1) >> 6
    word = bitmaps[iteration, frame, i, EDGE] & (ALL << uint64((place + 1) & 63))
    while word == 0:
        i += 1
        word = bitmaps[iteration, frame, i, EDGE]
    return (i << 6) + integer(zeros_below(word))


@part
def _next_odd(bitmaps: Words, iteration: int, frame: int, place: int) -> int:
    """Return the first odd block at or after ``place``, going round; there must be one."""
    i = place >> 6
    word = bitmaps[iteration, frame, i, ODD] & (ALL << uint64(place & 63))
    while word == 0:
        # No remainder: dividing would take longer than all else that a round does.
        i = i + 1 if i + 1 < bitmaps.shape[2] else 0
        word = bitmaps[iteration, frame, i, ODD]
    return (i << 6) + integer(zeros_below(word))


@part
def _packed(iteration: int, base: np.uint64, low: int, high: int) -> np.uint64:
    """Pack a search: iteration, parity known before the block, and where it begins and ends."""
    head = (uint64(iteration) << uint64(34)) | (base << uint64(33))
    search: np.uint64 = head | (uint64(low) << uint64(17)) | uint64(high)
    return search


@part
def unpack(search: np.uint64) -> tuple[int, np.uint64, int, int]:
    """Return iteration, base, low and high of a search."""
    return (
        integer(search >> uint64(34)),
        (search >> uint64(33)) & ONE,
        integer((search >> uint64(17)) & uint64(65535)),
        integer(search & uint64(131071)),
    )


@part
def _clear_odd(bitmaps: Words, waiting: Counts, iteration: int, frame: int, place: int) -> bool:
    """Take the block from ``place`` out of the odd ones; False if it was not among them."""
    bit = ONE << uint64(place & 63)
    if not bitmaps[iteration, frame, place >> 6, ODD] & bit:
        return False
    bitmaps[iteration, frame, place >> 6, ODD] ^= bit
    waiting[frame, iteration] -= 1
    return True


@kernel
def begin_iteration(states: BlockStates, iteration: int, edges: Edges, before: Words) -> None:
    """Enter the blocks between ``edges``, and the parities of the errors before these."""
    bitmaps, lanes = states.bitmaps, states.bitmaps.shape[1] // before.shape[0]
    bitmaps[iteration] = uint64(0)
    for frame in range(bitmaps.shape[1]):
        states.waiting[frame, iteration] = states.searched[frame, iteration] = states.cursor[
            frame, iteration
        ] = 0
    for group in range(before.shape[0]):
        for i in range(edges.size):
            place, shift = edges[i] >> 6, uint64(edges[i] & 63)
            here = before[group, i]
            odd = here ^ before[group, i + 1] if i + 1 < edges.size else uint64(0)
            here = here if i + 1 < edges.size else uint64(0)
            for lane in range(lanes):
                frame, bit = group * lanes + lane, (odd >> uint64(lane)) & ONE
                bitmaps[iteration, frame, place, EDGE] |= ONE << shift
                bitmaps[iteration, frame, place, PARITY] |= ((here >> uint64(lane)) & ONE) << shift
                bitmaps[iteration, frame, place, ODD] |= bit << shift
                states.waiting[frame, iteration] += integer(bit)


@part
def _halve(states: BlockStates, frame: int, count: int, bits: Words) -> tuple[int, int]:
    """Halve the searched blocks at their middles; return how many go on, and how many ended.

    Alice's bits become comparison bits.  Blocks of one place, each with an error, move from
    ``states.searches`` to ``states.found``.
    """
    bitmaps, table, searches, found = states.bitmaps, states.parities, states.searches, states.found
    kept, ended = 0, 0
    for first in range(0, count, 64):
        answers, comparison = bits[first >> 6], uint64(0)
        for i in range(first, min(first + 64, count)):
            iteration, base, low, high = unpack(searches[frame, i])
            middle = (low + high) >> 1
            word, shift = middle >> 6, uint64(middle & 63)
            own = table[iteration, frame, word] >> shift
            bit = (own ^ (answers >> uint64(i - first))) & ONE
            comparison |= bit << uint64(i - first)
            bitmaps[iteration, frame, word, EDGE] |= ONE << shift
            bitmaps[iteration, frame, word, PARITY] |= bit << shift
            left = base ^ bit ^ _parity(bitmaps, iteration, frame, low, middle)
            # Without branches, as nobody could predict them.
            high = middle if left else high
            low = low if left else middle
            base = base if left else bit
            search = _packed(iteration, base, low, high)
            ends = 1 if high - low == 1 else 0
            found[ended] = search
            searches[frame, kept] = search
            ended += ends
            kept += 1 - ends
        bits[first >> 6] = comparison
    return kept, ended


@part
def _correct(states: BlockStates, frame: int, iterations: int, count: int) -> int:
    """Correct the errors found; return how many blocks of the first iteration became odd, or -1.

    They go to ``states.touched``.  A block under search that becomes even is entered as odd, until
    `_prune`.  -1: a bit would be corrected twice, which true parities never ask for.
    """
    bitmaps, waiting, touched = states.bitmaps, states.waiting, states.touched
    spots, lane = 0, ONE << uint64(frame & 63)
    for i in range(count):
        iteration, _, low, _ = unpack(states.found[i])
        states.searched[frame, iteration] -= 1
        if _clear_odd(bitmaps, waiting, iteration, frame, low):
            continue  # another search found the same error in the same round
        bit = integer(states.orders[iteration, low])
        if (bitmaps[0, frame, bit >> 6, CORRECTED] >> uint64(bit & 63)) & ONE:
            return -1
        states.key[frame >> 6, bit] ^= lane
        for other in range(iterations):
            place = integer(states.places[other, bit])
            bitmaps[other, frame, place >> 6, CORRECTED] ^= ONE << uint64(place & 63)
            if other == iteration:
                continue
            start = _edge_before(bitmaps, other, frame, place)
            word = bitmaps[other, frame, start >> 6, ODD] ^ (ONE << uint64(start & 63))
            bitmaps[other, frame, start >> 6, ODD] = word
            odd = integer((word >> uint64(start & 63)) & ONE)
            waiting[frame, other] += 2 * odd - 1
            touched[spots] = start
            spots += odd if other == 0 else 0
    return spots


@part
def _prune(states: BlockStates, frame: int, count: int) -> int:
    """Drop the searches whose block became even; return how many are left."""
    searches, kept = states.searches, 0
    for i in range(count):
        iteration, _, low, _ = unpack(searches[frame, i])
        if _clear_odd(states.bitmaps, states.waiting, iteration, frame, low):
            states.searched[frame, iteration] -= 1
        else:
            searches[frame, kept] = searches[frame, i]
            kept += 1
    return kept


@part
def _whole_block(bitmaps: Words, iteration: int, frame: int, low: int) -> np.uint64:
    """Return the search of the block from ``low``."""
    base = (bitmaps[iteration, frame, low >> 6, PARITY] >> uint64(low & 63)) & ONE
    return _packed(iteration, base, low, _edge_after(bitmaps, iteration, frame, low))


@part
def begin(
    states: BlockStates, frame: int, iterations: int, limit: int, spots: int, count: int
) -> int:
    """Begin the touched blocks of the first iteration, then what the frame may search."""
    bitmaps, waiting, searched, searches = (
        states.bitmaps,
        states.waiting,
        states.searched,
        states.searches,
    )
    for i in range(spots):
        low = integer(states.touched[i])
        if _clear_odd(bitmaps, waiting, 0, frame, low):
            searches[frame, count] = _whole_block(bitmaps, 0, frame, low)
            searched[frame, 0] += 1
            count += 1
    iteration = 0
    while (
        iteration < iterations - 1 and waiting[frame, iteration] + searched[frame, iteration] == 0
    ):
        iteration += 1
    while waiting[frame, iteration] > 0 and (iteration == 0 or searched[frame, iteration] < limit):
        low = _next_odd(bitmaps, iteration, frame, states.cursor[frame, iteration])
        states.cursor[frame, iteration] = low
        _clear_odd(bitmaps, waiting, iteration, frame, low)
        searches[frame, count] = _whole_block(bitmaps, iteration, frame, low)
        searched[frame, iteration] += 1
        count += 1
    return count


@part
def step(
    states: BlockStates, frame: int, iterations: int, limit: int, count: int, bits: Words
) -> int:
    """Use Alice's answers to the questions of a frame; return how many come next, or -1."""
    kept, ended = _halve(states, frame, count, bits)
    spots = _correct(states, frame, iterations, ended)
    if spots < 0:
        return -1
    count = _prune(states, frame, kept) if ended else kept
    return begin(states, frame, iterations, limit, spots, count)


@part
def under_search(states: BlockStates, frame: int, iterations: int) -> int:
    """Return how many blocks of a frame are under search."""
    count = 0
    for iteration in range(iterations):
        count += states.searched[frame, iteration]
    return count


@part
def ask(states: BlockStates, frame: int, count: int, questions: Questions) -> bool:
    """Write the questions of the searches of a frame; False if one has nothing to ask.

    That is a block of one place whose parity was known, but changed.
    """
    sense = True
    for i in range(count):
        iteration, _, low, high = unpack(states.searches[frame, i])
        questions[i] = (iteration << 27) | (frame << 16) | ((low + high) >> 1)
        sense &= high - low > 1
    return sense


@kernel
def begin_searches(states: BlockStates, iterations: int, limit: int) -> int:
    """Begin what every frame may when no search is under way; return the iteration of questions."""
    asked = 0
    for frame in range(states.bitmaps.shape[1]):
        count = begin(states, frame, iterations, limit, 0, 0)
        if not ask(states, frame, count, states.questions[asked:]):
            return -1
        asked += count
    return asked


@kernel
def use_answers(states: BlockStates, iterations: int, limit: int, bits: Words) -> int:
    """Use Alice's answers to all questions, which become comparison bits, and begin what follows.

    Returns:
        How many searches go on in ``states.searches``, or -1 for a contradiction; their questions
        are in ``states.questions``.
    """
    used, asked, answers = 0, 0, bits.copy()
    own = np.empty(states.searches.shape[1] // 64 + 1, np.uint64)
    for frame in range(states.bitmaps.shape[1]):
        count = under_search(states, frame, iterations)
        extract_bits(answers, used, count, own)
        after = step(states, frame, iterations, limit, count, own)
        if after < 0 or not ask(states, frame, after, states.questions[asked:]):
            return -1
        append_bits(bits, used, own, count)
        used, asked = used + count, asked + after
    return asked


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
    parities, bits = borrowed(parities), borrowed(bits)
    states, transcript = borrowed(states), borrowed(transcript)
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
