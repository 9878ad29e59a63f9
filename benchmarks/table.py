"""The table of ``python -m benchmarks``: Markdown whose columns are aligned."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median

from benchmarks.timing import Row


def aligned(rows: Iterable[Row]) -> str:
    """Return the table in Markdown, with its columns aligned: median (slowest-fastest).

    Examples:
        >>> from benchmarks.timing import Timing
        >>> own = Timing((1.0, 0.5, 2.0), (2e6, 4e6, 1e6))
        >>> print(aligned([Row("draw", "2·10^6", "round", own)]))
        | stage | size   | seconds | rate             | peer | peer's rate | ratio |
        |-------|--------|---------|------------------|------|-------------|-------|
        | draw  | 2·10^6 | 1       | 2 (1-4) Mround/s |      |             |       |
    """
    head = ("stage", "size", "seconds", "rate", "peer", "peer's rate", "ratio")
    lines = [head, *_cells(list(rows))]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    text = [
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in lines
    ]
    return "\n".join([text[0], rule, *text[1:]])


def _cells(rows: list[Row]) -> list[tuple[str, ...]]:
    """Return the cells of every row; a stage's own stand in its first row only."""
    lines: list[tuple[str, ...]] = []
    before = None
    for row in rows:
        own = ("", "", "", "")
        if row.stage != before:
            rate = _rates(row.own.rates, row.unit)
            own = (row.stage, row.size, f"{median(row.own.seconds):.3g}", rate)
        ratio = "" if row.ratio is None else f"{_figure(row.ratio)} x"
        lines.append((*own, row.peer or "", _peer_rate(row), ratio))
        before = row.stage
    return lines


def _peer_rate(row: Row) -> str:
    if row.peers is not None:
        return _rates(row.peers.rates, row.unit)
    if row.published is not None:
        return f"{_rates((row.published,), row.unit)}, {row.remark}"
    return row.remark


def _rates(rates: tuple[float, ...], unit: str) -> str:
    """Return median, slowest and fastest with one prefix for all three."""
    middle = median(rates)
    scale, prefix = next((s, p) for s, p in ((1e6, "M"), (1e3, "k"), (0, "")) if middle >= s)
    scale = scale or 1.0
    spread = f" ({_figure(min(rates) / scale)}-{_figure(max(rates) / scale)})"
    *kind, noun = unit.split()
    words = " ".join([*kind, f"{prefix}{noun}/s"])
    return f"{_figure(middle / scale)}{spread if len(rates) > 1 else ''} {words}"


def _figure(value: float) -> str:
    """Return three digits, and all of a larger number."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
