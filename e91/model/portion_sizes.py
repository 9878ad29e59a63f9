"""Into how many portions a key may be divided, and how long they are."""

GROUP = 64 * 64
"""Bits that are divided at a time; what a key has beyond whole groups is dropped."""

PORTIONS = (1, 2, 4, 8, 16, 32, 64)
"""Into how many portions a key may be divided: one is the key as it is."""


def portion_size(bits: int, *, portions: int) -> int:
    """Return the length of each portion of a key: a multiple of 64, if there are several.

    Args:
        bits: Length of the key.
        portions: How many, one of `PORTIONS`.

    Raises:
        ValueError: An argument leaves its range.

    Examples:
        >>> portion_size(1_000_000, portions=8), portion_size(1_000_000, portions=1)
        (124928, 1000000)
    """
    check_portions(portions)
    if bits < 0:
        raise ValueError(f"`bits` must not be negative, but is {bits}.")
    return bits if portions == 1 else bits // GROUP * GROUP // portions


def check_portions(portions: int) -> None:
    """Check that a key may be divided into ``portions``.

    Raises:
        ValueError: It may not.
    """
    if portions not in PORTIONS:
        known = ", ".join(map(str, PORTIONS))
        raise ValueError(f"`portions` must be one of {known}, but is {portions}.")
