"""How a report is set in lines: rules with titles, names with values, and paragraphs."""

from dataclasses import dataclass

WIDTH = 72
"""Columns of a report that goes anywhere but to a terminal."""

_NAMES = 22  # columns of the names
_MARGIN = 2


@dataclass(frozen=True)
class Layout:
    r"""Sets the parts of a report in lines.

    Attributes:
        width: Columns of a rule; paragraphs, which are indented by two, reach two farther.

    Examples:
        >>> print("\n".join([Layout(24).title("Verdict"), *Layout(24).text("No key, as S is 2.")]))
        ── Verdict ─────────────
          No key, as S is 2.
    """

    width: int = WIDTH

    def title(self, title: str) -> str:
        """Return a rule with a title."""
        return f"── {title} " + "─" * max(0, self.width - len(title) - 4)

    def row(self, name: str, value: str) -> str:
        """Return a name with what it has, over several lines if need be."""
        first, *rest = _wrapped(value, width=self.width - _NAMES - _MARGIN)
        later = (" " * _NAMES + line for line in rest)
        return "\n".join([f"  {name:<{_NAMES}}{first.strip()}", *later])

    def text(self, text: str) -> list[str]:
        """Return the lines of a paragraph, indented."""
        return _wrapped(text, width=self.width)

    def amount(self, name: str, number: str) -> str:
        """Return a name with a number, flush right."""
        return f"  {name:<40}{number:>14}"

    def table(self, rows: list[list[str]]) -> list[str]:
        """Return rows of cells, the first one of headings, as lines."""
        return table(rows)


def table(rows: list[list[str]]) -> list[str]:
    """Return rows of cells as lines whose columns are as wide as they need to be.

    Examples:
        >>> table([["", "km"], ["A-B", "5"]])
        ['       km', '  A-B  5']
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  "
        + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _wrapped(text: str, *, width: int) -> list[str]:
    lines = [""]
    for word in text.split(" "):
        if len(lines[-1]) + len(word) + 1 > width and lines[-1]:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return [" " * _MARGIN + line for line in lines]
