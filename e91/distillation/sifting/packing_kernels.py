"""Compiled tally, announcements, samples and packing of rounds that are one byte each.

Packing takes 64 rounds at a time, in three passes over a few thousand rounds that stay in the
first-level cache: gather one word of flags each from the codes, squeeze the kept bits together
(branch-free, so that the compiler runs it in vector registers), append the words.
"""

import numpy as np
from numpy.typing import NDArray

from e91.model.bits import Bits
from e91.system.bit_kernels import (
    ALL,
    BYTES,
    ONE,
    TOPS,
    Words,
    list_words,
    ones,
    turned_bytes,
    zeros_below,
)
from e91.system.compiled import kernel, part

_CHUNK = 64  # words a pass: 2 kB of each array
_USUAL = 4  # revealed rounds in a word that are listed without a branch
_WORD = np.uint64(64)
_LANE = np.uint64(0xFFFF)
_LOW = np.uint64(0x7F7F7F7F7F7F7F7F)


@kernel
def tally(words: Words, counts: NDArray[np.int64]) -> None:
    """Add the number of each code to ``counts``.

    Args:
        words: Codes, eight a word.
        counts: Shape (4, 256): four tables, so that equal codes in a row need not wait for each
            other's count to be stored.
    """
    for word in words:
        for lane in range(8):
            code = (word >> np.uint64(8 * lane)) & np.uint64(0xFF)
            counts[lane & 3, code] += 1


@kernel
def announce(
    words: Words, pairs: NDArray[np.uint16], alice: NDArray[np.uint32], bob: NDArray[np.uint32]
) -> None:
    """Write what both parties announce about each two rounds, one byte each.

    Args:
        words: Codes, eight a word; shape (m,).
        pairs: Alice's byte plus 256 times Bob's for two codes, at the first plus 256 times the
            second; shape (65536,).
        alice: Receives Alice's bytes, four a word; shape (m,).
        bob: Receives Bob's; shape (m,).
    """
    for place in range(words.size):  # one store for eight rounds halves the time
        first, second = np.uint64(0), np.uint64(0)
        for lane in range(4):
            both = np.uint64(pairs[(words[place] >> np.uint64(16 * lane)) & _LANE])
            first |= (both & np.uint64(0xFF)) << np.uint64(8 * lane)
            second |= (both >> np.uint64(8)) << np.uint64(8 * lane)
        alice[place], bob[place] = first, second


@kernel
def choose(draws: Words, upper: int, rounds: int, sample: Bits, places: NDArray[np.int32]) -> int:
    """Choose a round for each byte below ``upper``; return how many bytes are ``upper`` itself.

    Args:
        draws: One byte a round, eight a word; shape (m,).
        upper: A round is in the sample where its byte lies below; in [0, 255].
        rounds: Number of rounds; the bytes behind them only fill the last word.
        sample: Receives eight rounds a byte, the first in the highest place; shape (m,).
        places: Receives the rounds whose byte is ``upper``; shape (rounds,).
    """
    edge = np.uint64(upper) * BYTES
    _compare(draws, edge, sample)
    hits = np.empty(draws.size, np.int32)
    found = 0
    for hit in hits[: list_words(draws, edge, hits)]:
        rest = draws[hit] ^ edge
        for lane in range(8):
            if (rest >> np.uint64(8 * lane)) & np.uint64(0xFF) == 0 and 8 * hit + lane < rounds:
                places[found] = 8 * hit + lane
                found += 1
    return found


@part
def _compare(draws: Words, edge: np.uint64, sample: Bits) -> None:
    """Write one bit for each byte of a draw, 1 where it lies below that of ``edge``.

    Source:
        The bytes are compared side by side by the borrow of their difference: Warren, Hacker's
        Delight, 2nd edition, sections 2-13 and 2-18.
    """
    for place in range(draws.size):
        draw = draws[place]
        difference = (draw | TOPS) - (edge & _LOW)
        below = ((~draw & edge) | (~(draw ^ edge) & ~difference)) & TOPS
        # The factor brings the bit of byte i to place 63 - i; no two products meet.
        sample[place] = ((below >> np.uint64(7)) * np.uint64(0x8040201008040201)) >> np.uint64(56)


@kernel
def settle(sample: Bits, places: NDArray[np.int32], further: Words, lower: np.uint64) -> None:
    """Choose those of the rounds ``places`` whose 56 further bits lie below ``lower``."""
    for index in range(places.size):
        if further[index] >> np.uint64(8) < lower:
            sample[places[index] >> 3] |= np.uint8(0x80 >> (places[index] & 7))


@kernel
def pack(
    codes: Bits,
    roles: Bits,
    sample: Bits,
    alice: Words,
    bob: Words,
    position: int,
    shown: Bits,
) -> tuple[int, int]:
    """Append the kept key bits to both parties' words.

    Returns the position behind them, and how many key rounds were revealed.

    Args:
        codes: Shape (64 m,).
        roles: For each code 4 for a key round, plus 2 for Alice's bit, plus 1 for Bob's;
            shape (256,).
        sample: One bit a round, the first in the highest place, 1 for a round to reveal;
            shape (8 m,).
        alice: Her words, first byte and first bit first, filled up to ``position``.
        bob: His.
        position: Number of bits that are filled.
        shown: Receives the codes of the revealed key rounds, in order; shape (64 m,).
    """
    filled, revealed, flags = position, 0, _flags(roles)
    keep = np.empty(_CHUNK, np.uint64)
    first, second = np.empty_like(keep), np.empty_like(keep)
    total = codes.size // 64
    for start in range(0, total, _CHUNK):
        size = min(_CHUNK, total - start)
        some = codes[64 * start : 64 * (start + size)]
        _gather(some, flags, keep, first, second)
        chosen = sample[8 * start : 8 * (start + size)]
        revealed += _take_revealed(some, chosen, keep, shown[revealed:])
        _squeeze(keep[:size], first, second)
        _append(keep[:size], first, alice, filled)
        filled = _append(keep[:size], second, bob, filled)
    return filled, revealed


@part
def _flags(roles: Bits) -> Words:
    """Spread each role: the key flag to place 0, Alice's bit to place 16, Bob's to place 32."""
    flags = np.empty(roles.size, np.uint64)
    for code in range(roles.size):
        role = np.uint64(roles[code])
        key, first, second = role >> np.uint64(2), (role >> ONE) & ONE, role & ONE
        flags[code] = key | (first << np.uint64(16)) | (second << np.uint64(32))
    return flags


@part
def _gather(codes: Bits, flags: Words, key: Words, first: Words, second: Words) -> None:
    """Collect the flags of 64 rounds in one word each, the first round in the highest place."""
    for place in range(codes.size // 64):
        key_bits, first_bits, second_bits = np.uint64(0), np.uint64(0), np.uint64(0)
        for quarter in range(4):
            lanes = np.uint64(0)  # three lanes of 16 rounds grow side by side
            for step in range(16):
                lanes = (lanes << ONE) + flags[codes[64 * place + 16 * quarter + step]]
            key_bits = (key_bits << np.uint64(16)) | (lanes & _LANE)
            first_bits = (first_bits << np.uint64(16)) | ((lanes >> np.uint64(16)) & _LANE)
            second_bits = (second_bits << np.uint64(16)) | ((lanes >> np.uint64(32)) & _LANE)
        key[place], first[place], second[place] = key_bits, first_bits, second_bits


@part
def _take_revealed(codes: Bits, sample: Bits, key: Words, shown: Bits) -> int:
    """List the codes of the revealed key rounds, strike these rounds from ``key``; count them."""
    places = np.empty(codes.size + _USUAL, np.int32)
    found = 0
    # From the last round to the first, as the lowest one of a word is its last round.
    for place in range(codes.size // 64 - 1, -1, -1):
        chosen = np.uint64(0)
        for byte in range(8):
            chosen = (chosen << np.uint64(8)) | np.uint64(sample[8 * place + byte])
        struck = key[place] & chosen
        key[place] &= ~chosen
        # A loop that ends after a number of steps that nobody can predict costs more than a few
        # steps too many; what those write is overwritten.
        end = found + int(ones(struck))
        for step in range(_USUAL):
            places[found + step] = _last_round(struck, place)
            struck &= struck - ONE
        for later in range(found + _USUAL, end):
            places[later] = _last_round(struck, place)
            struck &= struck - ONE
        found = end
    for index in range(found):
        shown[index] = codes[places[found - 1 - index]]
    return found


@part
def _last_round(word: np.uint64, place: int) -> int:
    """Return the round of the lowest one in word number ``place``; the round before it if none."""
    return 64 * place + 63 - int(zeros_below(word))


@part
def _squeeze(keep: Words, first: Words, second: Words) -> None:
    """Move the bits that ``keep`` marks to the low end, in their order, and clear the rest.

    Source:
        Parallel suffix "compress": Warren, Hacker's Delight, 2nd edition, section 7-4, with one
        mask for two words.
    """
    for place in range(keep.size):
        mask = keep[place]
        one, two = first[place] & mask, second[place] & mask
        below = ~mask << ONE
        for step in range(6):
            parity = below ^ (below << ONE)
            parity ^= parity << np.uint64(2)
            parity ^= parity << np.uint64(4)
            parity ^= parity << np.uint64(8)
            parity ^= parity << np.uint64(16)
            parity ^= parity << np.uint64(32)
            moved = parity & mask
            distance = ONE << np.uint64(step)
            mask = (mask ^ moved) | (moved >> distance)
            one = (one ^ (one & moved)) | ((one & moved) >> distance)
            two = (two ^ (two & moved)) | ((two & moved) >> distance)
            below &= ~parity
        first[place], second[place] = one, two


@part
def _append(keep: Words, bits: Words, buffer: Words, position: int) -> int:
    """Append to ``buffer`` as many low bits of each word as ``keep`` has ones."""
    place, filled = position >> 6, np.uint64(position & 63)
    word = turned_bytes(buffer[place]) & ~(ALL >> filled)
    for index in range(keep.size):
        count = ones(keep[index])
        if count == 0:
            continue
        top = bits[index] << (_WORD - count)
        word |= top >> filled
        filled += count
        if filled >= _WORD:
            buffer[place] = turned_bytes(word)
            place += 1
            filled -= _WORD
            # A shift by a whole word has no meaning, hence two shifts.
            word = (top << (count - filled - ONE)) << ONE
    if filled:
        buffer[place] = turned_bytes(word)
    return 64 * place + int(filled)
