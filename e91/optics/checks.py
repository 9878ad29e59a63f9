"""Refuse numbers outside physics, each with one sentence."""

from __future__ import annotations

import math


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
    for name, value in values.items():
        if not 0 <= value <= 1:
            raise ValueError(f"`{name}` must lie in [0, 1], but is {value}.")


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
