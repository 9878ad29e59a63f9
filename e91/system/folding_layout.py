"""How a report is set as a web page's fragment: tables in sections that fold."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from e91.system.report_layout import Layout

_CELL = "text-align:left;vertical-align:top;padding:0.1em 1.2em 0.1em 0"
_NUMBER = "text-align:right;font-variant-numeric:tabular-nums;padding:0.1em 0"
_BAR = "cursor:pointer;padding:0.3em 0;font-weight:600"
_HEAD = f"<th style='{_CELL}'>{{}}</th>"
_WIDE = "max-width:46em"


@dataclass(frozen=True)
class FoldingLayout(Layout):
    """Sets the parts of a report as rows of tables, where `Layout` sets them in lines.

    Every text is escaped.  Colours and letters are those of the page that shows it.

    Examples:
        >>> page = FoldingLayout()
        >>> page.row("S", "2.1 < 2.2").endswith("2.1 &lt; 2.2</td></tr>")
        True
    """

    def title(self, title: str) -> str:
        """Return the words of a section's bar."""
        return escape(title)

    def row(self, name: str, value: str) -> str:
        """Return a row with a name and what it has."""
        cells = f"{_HEAD.format(escape(name))}<td style='{_CELL}'>{escape(value)}</td>"
        return f"<tr>{cells}</tr>"

    def text(self, text: str) -> list[str]:
        """Return a paragraph as a row of its own."""
        return [f"<tr><td colspan='2' style='{_CELL};{_WIDE}'>{escape(text)}</td></tr>"]

    def amount(self, name: str, number: str) -> str:
        """Return a row with a name and a number, flush right."""
        cells = f"{_HEAD.format(escape(name))}<td style='{_NUMBER}'>{escape(number)}</td>"
        return f"<tr>{cells}</tr>"

    def table(self, rows: list[list[str]]) -> list[str]:
        """Return a table within the section; its first row has the headings."""
        head, *body = rows
        lines = [_cells(head, "th"), *(_cells(cells, "td") for cells in body)]
        return [f"<tr><td colspan='2'><table>{''.join(lines)}</table></td></tr>"]


def folding_page(headline: str, sections: list[list[str]], *, opened: int = 1) -> str:
    """Return a report as HTML: what matters most, then sections that fold.

    Args:
        headline: The verdict, in a sentence.
        sections: Each a title and rows, from a `FoldingLayout`; empty ones are left out.
        opened: How many of them, from the first, are open at first.

    Examples:
        >>> page = FoldingLayout()
        >>> made = folding_page("A key.", [[page.title("Found"), page.row("S", "2.7")], []])
        >>> made.count("<details open>"), "<b>A key.</b>" in made
        (1, True)
    """
    shown = [section for section in sections if section]
    folds = [_fold(lines, is_open=place < opened) for place, lines in enumerate(shown)]
    return f"<div><p><b>{escape(headline)}</b></p>{''.join(folds)}</div>"


def _fold(lines: list[str], *, is_open: bool) -> str:
    title, *rows = lines
    bar = f"<summary style='{_BAR}'>{title}</summary>"
    table = "\n".join(["<table>", *rows, "</table>"])
    return f"<details{' open' if is_open else ''}>{bar}{table}</details>"


def _cells(cells: list[str], kind: str) -> str:
    row = "".join(f"<{kind} style='{_CELL}'>{escape(cell)}</{kind}>" for cell in cells)
    return f"<tr>{row}</tr>"
