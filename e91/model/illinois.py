"""The Illinois method: regula falsi that halves the weight of an end that is kept twice."""

from collections.abc import Callable
from typing import TypeVar

_Point = TypeVar("_Point", int, float)


def change_of_sign(
    function: Callable[[_Point], float],
    ends: tuple[_Point, _Point],
    values: tuple[float, float],
    *,
    between: Callable[[_Point, _Point, float], _Point | None],
) -> tuple[_Point, _Point]:
    """Return two neighbouring points between which a function grows from below 0 to above it.

    About ten steps are needed where the function is nearly linear.

    Args:
        function: Grows between the ends.
        ends: Where it is below 0, and where it is not.
        values: The function there.
        between: Returns the next point between two ends, about the given share of the way from the
            lower one; None when they are neighbours.

    Examples:
        >>> def halfway(low, high, share):
        ...     return low + max(1, int(share * (high - low))) if high - low > 1 else None
        >>> change_of_sign(lambda n: n * n - 50, (0, 20), (-50, 350), between=halfway)
        (7, 8)

    Source:
        Dowell and Jarratt, BIT 11, 168 (1971).
    """
    (low, high), (below, above), kept = ends, values, 0
    while (point := between(low, high, below / (below - above))) is not None:
        found = function(point)
        if found < 0:
            low, below = point, found
            above, kept = (above / 2 if kept < 0 else above), -1
        else:
            high, above = point, found
            below, kept = (below / 2 if kept > 0 else below), 1
    return low, high
