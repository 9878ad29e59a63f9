"""Durations in words, exact: `81ps`, `1/256 ns`, `2.3e-9`."""

import re
from fractions import Fraction

_SECONDS = {
    "fs": Fraction(1, 10**15),
    "ps": Fraction(1, 10**12),
    "ns": Fraction(1, 10**9),
    "us": Fraction(1, 10**6),
    "µs": Fraction(1, 10**6),
    "ms": Fraction(1, 10**3),
    "s": Fraction(1),
    "": Fraction(1),
}
_DURATION = re.compile(
    r"([+-]?(?:\d{1,20}(?:\.\d{0,20})?|\.\d{1,20})(?:[eE][+-]?\d{1,2})?(?:/\d{1,20})?)\s*"
    r"(fs|ps|ns|us|µs|ms|s|)"
)
_IN_A_NAME = re.compile(
    r"(?:^|[\s_(\[/])(\d{1,9}(?:\.\d{1,9})?)?\s*(fs|ps|ns|us|µs|ms|s)(?=$|[\s_)\]])"
)


def parse_duration(text: str, name: str) -> Fraction:
    """Return a duration in seconds, exact.

    Args:
        text: A number, or a fraction, with fs, ps, ns, us, ms, s or nothing (seconds) behind it.
        name: Of the option, for the sentence.

    Returns:
        Seconds, as a fraction without rounding.

    Raises:
        ValueError: It is none.

    Examples:
        >>> parse_duration("1/256 ns", "unit"), parse_duration("2.3e-9", "delay")
        (Fraction(1, 256000000000), Fraction(23, 10000000000))
    """
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"`{name}` must be a duration such as 81ps, but is `{text[:40]}`.")
    number, _, divisor = found[1].partition("/")
    if divisor and not int(divisor):
        raise ValueError(f"`{name}` must be a duration such as 81ps, but divides by 0.")
    return Fraction(number) / int(divisor or 1) * _SECONDS[found[2]]


def duration_in_name(name: str) -> Fraction | None:
    """Return the unit that the name of a column states, in seconds; None if it states none.

    Examples:
        >>> duration_in_name("Time (ps)"), duration_in_name("Time tag [81 ps bins]")
        (Fraction(1, 1000000000000), Fraction(81, 1000000000000))
        >>> duration_in_name("time") is None
        True
    """
    found = _IN_A_NAME.findall(name)
    if len(found) != 1:
        return None
    number, unit = found[0]
    return Fraction(number or 1) * _SECONDS[unit] or None


def in_words(seconds: Fraction) -> str:
    """Return a short duration in picoseconds.

    Examples:
        >>> in_words(Fraction(1, 256 * 10**9)), in_words(Fraction(81, 10**12))
        ('3.90625 ps', '81 ps')
    """
    return f"{float(seconds * 10**12):.12g} ps"
