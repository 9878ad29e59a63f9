"""Aer's generator as a hearer of the public conversation sees it: linear equations between bits.

The 64-bit Mersenne twister of Nishimura, "Tables of 64-bit Mersenne twisters", ACM Trans. Model.
Comput. Simul. 10, 348 (2000), with the constants of the C++ standard's ``mt19937_64``.  Every bit
of every number is a sum modulo 2 of bits of its first state, so as many known bits as the state
has tell the state, and with it all numbers.
"""

import numpy as np
from numba import njit

WORDS, MIDDLE, BITS = 312, 156, 64
_HIGH = np.uint64(0xFFFFFFFF80000000)
_TWIST = np.uint64(0xB5026F5AA96619E9)
_TEMPERING = ((-29, 0x5555555555555555), (17, 0x71D67FFFEDA60000), (37, 0xFFF7EEE000000000))
TOP = np.uint64(63)


def seeded_state(seed):
    """The state that ``seed`` gives; uint64, shape (312,)."""
    words = [seed]
    for i in range(1, WORDS):
        words.append((6364136223846793005 * (words[-1] ^ words[-1] >> 62) + i) % 2**64)
    return np.array(words, np.uint64)


def top_bits(state, count):
    """The highest bit of the next ``count`` numbers: whether a uniform draw is 1/2 or more."""
    parts = []
    state = state.copy()
    for _ in range(-(-count // WORDS)):
        _advance(state)
        parts.append(_tempered(state) >> TOP)
    return np.concatenate(parts)[:count].astype(np.uint8)


def state_from_top_bits(places, bits):
    """The first state of which the numbers at ``places`` have these highest bits.

    Gauss-Jordan elimination over the field of two elements; sums that nothing determines are 0.
    """
    rows = _equations(np.asarray(places), _top_mask())
    solution = _solved(rows, np.asarray(bits, np.uint8))
    return np.packbits(solution.reshape(WORDS, BITS), axis=1, bitorder="little").view("<u8")[:, 0]


def _tempered(words):
    for shift, mask in _TEMPERING:
        moved = words >> np.uint64(-shift) if shift < 0 else words << np.uint64(shift)
        words = words ^ (moved & np.uint64(mask))
    return words ^ (words >> np.uint64(43))


def _top_mask():
    """Which bits of a word of the state the highest bit of its number is the sum of."""
    return np.flatnonzero(_tempered(np.uint64(1) << np.arange(BITS, dtype=np.uint64)) >> TOP)


@njit
def _advance(state):
    for i in range(WORDS):
        mixed = (state[i] & _HIGH) | (state[(i + 1) % WORDS] & ~_HIGH)
        state[i] = state[(i + MIDDLE) % WORDS] ^ (mixed >> np.uint64(1))
        if mixed & np.uint64(1):
            state[i] ^= _TWIST


@njit
def _equations(places, mask):
    """For each place, the bits of the first state whose sum is the highest bit of its number."""
    state = np.zeros((WORDS, BITS, WORDS), np.uint64)
    for word in range(WORDS):
        for bit in range(BITS):
            state[word, bit, word] = np.uint64(1) << np.uint64(bit)
    rows = np.zeros((len(places), WORDS), np.uint64)
    mixed = np.empty((BITS, WORDS), np.uint64)
    found, number = 0, 0
    while found < len(places):
        i = number % WORDS
        mixed[:31], mixed[31:] = state[(i + 1) % WORDS, :31], state[i, 31:]
        state[i] = state[(i + MIDDLE) % WORDS]
        state[i, :63] ^= mixed[1:]
        for bit in range(BITS):
            if _TWIST >> np.uint64(bit) & np.uint64(1):
                state[i, bit] ^= mixed[0]
        if places[found] == number:
            for bit in mask:
                rows[found] ^= state[i, bit]
            found += 1
        number += 1
    return rows


@njit
def _solved(rows, bits):
    done = 0
    pivots = np.full(WORDS * BITS, -1, np.int64)
    for column in range(WORDS * BITS):
        word, one = column // BITS, np.uint64(1) << np.uint64(column % BITS)
        pivot = done
        while pivot < len(rows) and not rows[pivot, word] & one:
            pivot += 1
        if pivot == len(rows):
            continue
        for k in range(word, WORDS):
            rows[done, k], rows[pivot, k] = rows[pivot, k], rows[done, k]
        bits[done], bits[pivot] = bits[pivot], bits[done]
        for row in range(done + 1, len(rows)):
            if rows[row, word] & one:
                rows[row, word:] ^= rows[done, word:]
                bits[row] ^= bits[done]
        pivots[column] = done
        done += 1
    solution = np.zeros(WORDS * BITS, np.uint8)
    for column in range(WORDS * BITS - 1, -1, -1):
        if pivots[column] >= 0:
            value = bits[pivots[column]]
            for other in range(column + 1, WORDS * BITS):
                if rows[pivots[column], other // BITS] >> np.uint64(other % BITS) & np.uint64(1):
                    value ^= solution[other]
            solution[column] = value
    return solution
