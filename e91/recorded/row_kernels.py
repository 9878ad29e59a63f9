"""Rows of whole numbers in text, compiled where numba is; imported by `e91.recorded.rows` alone.

The text consists of whole lines, the last one ended as well: no loop runs beyond a line's end.
"""

import numpy as np
from numpy.typing import NDArray

from e91.system.compiled import kernel, part

Text = NDArray[np.uint8]

_LINE_END, _RETURN, _BLANK, _TAB = 10, 13, 32, 9
_PLUS, _MINUS, _POINT, _ZERO = 43, 45, 46, 48
_TENTH_OF_LOWEST = -922_337_203_685_477_580  # of -2^63, which ends in 8; 2^63 - 1 ends in 7


@part
def _is_blank(byte: int, separator: int) -> bool:
    """Return whether a byte is a blank, part of a line's end, or a tab that does not separate."""
    return byte in (_BLANK, _RETURN) or (byte == _TAB and separator != _TAB)


@part
def _ends_entry(byte: int, separator: int) -> bool:
    """Return whether a byte stands behind an entry."""
    return byte in (separator, _LINE_END) or (byte == _TAB and separator == _BLANK)


@part
def _number(text: Text, place: int) -> tuple[int, int | np.int64]:
    """Return where a whole number ends, and the number; -1 and 0 if there is none of 64 bits."""
    is_negative = text[place] == _MINUS
    if is_negative or text[place] == _PLUS:
        place += 1
    first, value, last_digit = place, np.int64(0), 8 if is_negative else 7
    digit = np.int64(text[place]) - _ZERO
    while 0 <= digit <= 9:
        if value < _TENTH_OF_LOWEST or (value == _TENTH_OF_LOWEST and digit > last_digit):
            return -1, 0
        value = 10 * value - digit  # below zero there is one number more
        place += 1
        digit = np.int64(text[place]) - _ZERO
    if place == first:
        return -1, 0
    if text[place] == _POINT:
        place += 1
        while text[place] == _ZERO:
            place += 1
    return place, value if is_negative else -value


@part
def _row(
    text: Text,
    place: int,
    separator: int,
    slots: NDArray[np.int64],
    rows: NDArray[np.int64],
    found: int,
) -> int:
    """Write the wanted entries of a line; return where it ends, or -1 if it is not as wanted."""
    for column in range(len(slots)):
        while _is_blank(text[place], separator):
            place += 1
        if slots[column] >= 0:
            place, value = _number(text, place)
            if place < 0:
                return -1
            rows[found, slots[column]] = value
        else:
            while not _ends_entry(text[place], separator):
                place += 1
        entry_end = place
        while _is_blank(text[place], separator):
            place += 1
        if text[place] == _LINE_END:
            return place if column == len(slots) - 1 else -1
        if text[place] == separator:
            place += 1
        elif separator != _BLANK or place == entry_end:
            return -1
    return -1


@kernel
def parse_rows(
    text: Text,
    place: int,
    separator: int,
    comment: int,
    slots: NDArray[np.int64],
    rows: NDArray[np.int64],
) -> tuple[int, int]:
    """Write the wanted entries of each line, until a line is not as wanted.

    A wanted entry is blanks, a sign, digits, a point and zeros, blanks.  Empty lines, and those
    that begin with ``comment``, are passed over.

    Args:
        text: Whole lines; shape (m,).
        place: Where to begin.
        separator: The byte between two entries; a blank stands for any number of blanks and tabs.
        comment: The byte that begins a line to pass over; 0 for none.
        slots: For each column, where its entries go in a row, or -1; shape (width,).
        rows: Receives the entries; shape (n, k).

    Returns:
        How many rows were written, and where the line begins that is not as wanted, or for which
        there is no room; m if all were read.
    """
    found = 0
    while place < len(text):
        if found == len(rows):
            return found, place
        end = _row(text, place, separator, slots, rows, found)
        if end < 0:
            start = place
            while _is_blank(text[start], 0):
                start += 1
            if text[start] != _LINE_END and (comment == 0 or text[start] != comment):
                return found, place
            end = start
            while text[end] != _LINE_END:
                end += 1
        else:
            found += 1
        place = end + 1
    return found, place
