"""Parities of packed words, compiled by numba, for either party of Cascade.

`e91.distillation.cascade.numpy_kernels` gives the same without numba, which this module needs.  The
functions write into arrays that they are given, and check nothing except the other party's
questions.
"""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numpy import uint64

from e91.distillation.cascade.schedule import Edges, Places, Questions, Words
from e91.system.bit_kernels import ALL, ONE, ones, transpose
from e91.system.compiled import kernel, part

integer = cast(Callable[[Any], int], np.int64)
"""To signed integers, without which numba would make a sum with an unsigned one a float."""

_PIECE = 1024  # words that stay in the innermost cache with their masks


@kernel
def prefix_parities(words: Words, order: Places, edges: Edges, before: Words, table: Words) -> None:
    """Write the parities before the edges, and before every place of every frame.

    With fewer lanes than a word has bits, each lane is walked in as many parts at once as make the
    words full, and each part begins as if nothing were before it, until `_join` puts it right.
    """
    lanes, row = table.shape[0] // words.shape[0], table.shape[1]
    parts = 64 // lanes
    columns = (row + parts - 1) // parts
    tile, spare = np.empty(64, np.uint64), np.empty(64, np.uint64)
    totals = np.empty(64, np.uint64)
    edge_of = np.empty(64, np.int64)
    for group in range(words.shape[0]):
        totals[:], edge = uint64(0), 0
        for k in range(parts):
            while edge < edges.size and edges[edge] < 64 * k * columns:
                edge += 1
            edge_of[k] = edge
        for column in range(columns):
            tile[:] = uint64(0)
            for k in range(parts):
                first, shift, edge = 64 * (k * columns + column), uint64(k * lanes), edge_of[k]
                totals[k] = _walk(words[group], order, first, totals[k], shift, tile)
                while edge < edges.size and edges[edge] < first + 64:
                    before[group, edge] = tile[edges[edge] - first] >> shift
                    edge += 1
                edge_of[k] = edge
            transpose(tile, spare)
            for k in range(parts):
                if k * columns + column < row:
                    for lane in range(lanes):
                        value = tile[k * lanes + lane]
                        table[group * lanes + lane, k * columns + column] = value
        if parts > 1:
            _join(edges, before[group], table[group * lanes : (group + 1) * lanes], totals, columns)


@part
def _walk(
    words: Words, order: Places, first: int, total: np.uint64, shift: np.uint64, tile: Words
) -> np.uint64:
    """Enter the parities before 64 places at ``shift`` in a tile; return that after the last."""
    ahead = order[first : first + 64]
    for i in range(ahead.size):
        tile[i] |= total << shift
        total ^= words[ahead[i]]
    for i in range(ahead.size, 64):
        tile[i] |= total << shift
    return total


@part
def _join(edges: Edges, before: Words, table: Words, totals: Words, columns: int) -> None:
    """Add to each part of the lanes the parity of all that stands before the part."""
    lanes, row = table.shape
    mask, total, edge = ALL >> uint64(64 - lanes), uint64(0), 0
    for k in range(64 // lanes):
        while edge < edges.size and edges[edge] < 64 * (k + 1) * columns:
            before[edge] = (before[edge] ^ total) & mask
            edge += 1
        for lane in range(lanes):
            flip = uint64(0) - ((total >> uint64(lane)) & ONE)
            for column in range(k * columns, min((k + 1) * columns, row)):
                table[lane, column] ^= flip
        total ^= totals[k]


@kernel
def look_up(
    table: Words, iterations: int, places: int, questions: Questions, answers: Words
) -> bool:
    """Write the parity that each question asks for, 64 to a word; False for a senseless one."""
    for first in range(0, questions.size, 64):
        word = uint64(0)
        for i in range(first, min(first + 64, questions.size)):
            question = integer(questions[i])
            iteration, frame, place = question >> 27, (question >> 16) & 2047, question & 65535
            if iteration >= iterations or frame >= table.shape[1] or not 0 < place < places:
                return False
            bit = (table[iteration, frame, place >> 6] >> uint64(place & 63)) & ONE
            word |= bit << uint64(i - first)
        answers[first >> 6] = word
    return True


@kernel
def subset_parities(words: Words, masks: Words, count: int) -> int:
    """Return ``count`` parities of random subsets as a number, the first in its lowest bit."""
    folded, result = np.empty(count, np.uint64), 0
    folded[:] = uint64(0)
    for first in range(0, words.size, _PIECE):
        # Slices, as the compiler would make room for negative numbers in sums.
        piece = words[first : first + _PIECE]
        for i in range(count):
            mask, word = masks[first + i : first + i + piece.size], uint64(0)
            for place in range(piece.size):
                word ^= piece[place] & mask[place]
            folded[i] ^= word
    for i in range(count):
        result |= integer(ones(folded[i]) & ONE) << i
    return result


@kernel
def turn_bytes(words: Words) -> None:
    """Put the bits of every byte into the other order: Warren, Hacker's Delight, section 7-1."""
    for i in range(words.size):
        word = words[i]
        for width, mask in (
            (uint64(1), uint64(0x5555555555555555)),
            (uint64(2), uint64(0x3333333333333333)),
            (uint64(4), uint64(0x0F0F0F0F0F0F0F0F)),
        ):
            word = ((word >> width) & mask) | ((word & mask) << width)
        words[i] = word


@kernel
def rank(keys: Places, order: Places, place: Places) -> None:
    """Sort by counting: write the order of the keys, equal ones as they come, and its inverse."""
    start = np.empty(2**16, np.uint32)  # numba compiles zeros apart, which takes longer
    start[:] = np.uint32(0)
    for key in keys:
        start[key] += np.uint32(1)
    total = np.uint32(0)
    for key in range(start.size):
        total, start[key] = total + start[key], total
    for i in range(keys.size):
        to = start[keys[i]]
        start[keys[i]] = to + np.uint32(1)
        order[to], place[i] = i, to


@part
def append_bits(target: Words, position: int, source: Words, count: int) -> None:
    """Write the bits of ``source``, which are zero beyond ``count``, behind ``position`` others."""
    word, shift = position >> 6, uint64(position & 63)
    if shift == 0:
        target[word] = uint64(0)
    for i in range((count + 63) >> 6):
        target[word + i] |= source[i] << shift
        if word + i + 1 < target.size:
            # Twice, as shifting by 64 would be shifting by 0.
            target[word + i + 1] = (source[i] >> ONE) >> (uint64(63) - shift)


@part
def extract_bits(source: Words, position: int, count: int, target: Words) -> None:
    """Write ``count`` bits that stand behind ``position`` others to the beginning of ``target``."""
    word, shift, wide = position >> 6, uint64(position & 63), (count + 63) >> 6
    for i in range(wide):
        target[i] = source[word + i] >> shift
        if word + i + 1 < source.size:
            target[i] |= (source[word + i + 1] << ONE) << (uint64(63) - shift)
    if count & 63:
        target[wide - 1] &= ALL >> uint64(64 - (count & 63))
