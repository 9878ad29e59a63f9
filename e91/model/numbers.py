"""Numbers that many rooms share, and checks that refuse impossible ones with one sentence.

Every check takes the values by the name that the caller knows them by, and says what must be and
what was found.  NaN is refused everywhere.
"""

import math
from numbers import Integral

import numpy as np
from numpy.typing import NDArray

TSIRELSON = 2 * math.sqrt(2)
"""The largest S that quantum theory allows: Tsirelson, Lett. Math. Phys. 4, 93 (1980)."""

Floats = NDArray[np.float64]
"""An array of double-precision numbers."""


ANGLE_ROUNDING = 1e-12
"""By which two directions may differ that are meant to be one, radians."""


def angle_between(first: float, second: float) -> float:
    """Return the angle from one direction to another the shorter way round, in [0, pi].

    Of angles of many turns it is as exact as these are: 10^9 turns, as a double, are known to 1e-6.

    Args:
        first: An angle, radians; finite.
        second: Another.

    Examples:
        >>> round(angle_between(0.1, 2 * math.pi - 0.1), 12), angle_between(6e9, 6e9 + 0.5)
        (0.2, 0.5)
    """
    return abs(math.remainder(first - second, 2 * math.pi))


def same_angle(first: float, second: float) -> bool:
    """Return whether two angles are one direction, to `ANGLE_ROUNDING`.

    Examples:
        >>> same_angle(-math.pi, math.pi), same_angle(6e9, 6e9 + 0.5)
        (True, False)
    """
    return angle_between(first, second) <= ANGLE_ROUNDING


def check_whole(*, least: int = 0, most: int | None = None, **values: object) -> None:
    """Refuse what is no whole number of a range; True and 1.0 are none.

    Args:
        least: Smallest number allowed.
        most: Largest number allowed; any by default.
        values: The numbers, by name.

    Raises:
        ValueError: A value is no whole number, or leaves the range.

    Examples:
        >>> check_whole(least=1, rounds=0)
        Traceback (most recent call last):
            ...
        ValueError: `rounds` must be at least 1, but is 0.
        >>> check_whole(rounds=1.5)
        Traceback (most recent call last):
            ...
        ValueError: `rounds` must be a whole number, but is 1.5.
    """
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, Integral):
            raise ValueError(f"`{name}` must be a whole number, but is {value!r}.")
        if most is None and int(value) < least:
            raise ValueError(f"`{name}` must be at least {least}, but is {value}.")
        if most is not None and not least <= int(value) <= most:
            raise ValueError(f"`{name}` must lie in [{least}, {most}], but is {value}.")


def check_within(low: float, high: float, **values: float) -> None:
    """Refuse what lies outside the closed interval from ``low`` to ``high``.

    Raises:
        ValueError: A value does.

    Examples:
        >>> check_within(0, 0.5, tolerated_error=0.6)
        Traceback (most recent call last):
            ...
        ValueError: `tolerated_error` must lie in [0, 0.5], but is 0.6.
    """
    for name, value in values.items():
        if not low <= value <= high:
            raise ValueError(f"`{name}` must lie in [{low:g}, {high:g}], but is {value}.")


def check_fractions(**values: float) -> None:
    """Refuse what is no probability.

    Raises:
        ValueError: A value is not in [0, 1].

    Examples:
        >>> check_fractions(efficiency=1.2)
        Traceback (most recent call last):
            ...
        ValueError: `efficiency` must lie in [0, 1], but is 1.2.
    """
    check_within(0, 1, **values)


def check_between_zero_and_one(**values: float) -> None:
    """Refuse what is no probability, or is certain one way or the other.

    Raises:
        ValueError: A value is not in (0, 1).

    Examples:
        >>> check_between_zero_and_one(epsilon=0.0)
        Traceback (most recent call last):
            ...
        ValueError: `epsilon` must lie strictly between 0 and 1, but is 0.0.
    """
    for name, value in values.items():
        if not 0 < value < 1:
            raise ValueError(f"`{name}` must lie strictly between 0 and 1, but is {value}.")


def check_finite(**values: float) -> None:
    """Refuse what is infinite or no number.

    Raises:
        ValueError: A value is so.
    """
    for name, value in values.items():
        if not math.isfinite(value):
            raise ValueError(f"`{name}` must be finite, but is {value}.")


def check_not_negative(**values: float) -> None:
    """Refuse what is negative, infinite or no number.

    Raises:
        ValueError: A value is so.

    Examples:
        >>> check_not_negative(length_km=-1.0)
        Traceback (most recent call last):
            ...
        ValueError: `length_km` must be finite and not negative, but is -1.0.
    """
    for name, value in values.items():
        if not 0 <= value < math.inf:
            raise ValueError(f"`{name}` must be finite and not negative, but is {value}.")


def check_positive(**values: float) -> None:
    """Refuse what is not positive and finite.

    Raises:
        ValueError: A value is so.

    Examples:
        >>> check_positive(repetition_rate_hz=0.0)
        Traceback (most recent call last):
            ...
        ValueError: `repetition_rate_hz` must be finite and positive, but is 0.0.
    """
    for name, value in values.items():
        if not 0 < value < math.inf:
            raise ValueError(f"`{name}` must be finite and positive, but is {value}.")
