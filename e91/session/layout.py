"""How a report is set: titles, rows, and numbers that are never rounded in our favour."""

import math

_WIDTH = 72


def titled(title: str) -> str:
    """Return a rule with a title."""
    return f"── {title} " + "─" * max(0, _WIDTH - len(title) - 4)


def row(name: str, value: str) -> str:
    """Return a name with what it has, over several lines if need be."""
    first, *rest = wrapped(value, width=_WIDTH - 24)
    return "\n".join([f"  {name:<22}{first.strip()}", *(" " * 22 + line for line in rest)])


def wrapped(text: str, *, width: int = _WIDTH) -> list[str]:
    """Return the lines of a text, indented."""
    lines = [""]
    for word in text.split(" "):
        if len(lines[-1]) + len(word) + 1 > width and lines[-1]:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return [f"  {line}" for line in lines]


def rounded_down(value: float) -> str:
    """Return a lower bound with four decimals, never larger than it is."""
    return f"{math.floor(value * 1e4) / 1e4:.4f}"


def percent_rounded_up(rate: float) -> str:
    """Return an upper bound on a rate in percent, never smaller than it is."""
    return f"{math.ceil(rate * 1e4) / 1e2:.2f} %"


def rounded_up(probability: float) -> str:
    """Return ``probability`` with two digits, never smaller than it is.

    Examples:
        >>> rounded_up(0.03912), rounded_up(0.0), rounded_up(1.0)
        ('4.0e-02', 'below 1e-308', '1')
    """
    if not probability > 0:
        return "below 1e-308"
    if probability >= 1:
        return "1"
    power = math.floor(math.log10(probability))
    digits = math.ceil(probability * 10.0 ** (1 - power)) / 10 if power > -300 else 10.0
    return f"{digits:.1f}e{power:+03d}"
