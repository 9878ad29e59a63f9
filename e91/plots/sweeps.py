"""A study as curves: S and the secret bits along its first axis, a line for each other choice."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes

from e91.model.numbers import TSIRELSON, Floats
from e91.plots.style import BESIDE, COLOURS, LINES, MARKERS, legend_below

if TYPE_CHECKING:
    from xarray import Dataset

MOST_LINES = len(COLOURS)
"""Lines that one figure can hold and a reader tell apart."""


@dataclass(frozen=True, eq=False)
class SweepLine:
    """Sessions along one axis, all else fixed: means over the repeats, and their range.

    Attributes:
        label: What is fixed, as "theorem phase-errors"; empty if nothing is.
        chsh: S; nan where no session has one; float64, shape (n,).
        chsh_range: Lowest and highest, shape (2, n).
        secret_bits: Net secret bits of a session; float64, shape (n,).
        secret_bits_range: Lowest and highest, shape (2, n).

    Examples:
        >>> chsh, bits = np.array([2.5, 2.7]), np.array([0.0, 8_000.0])
        >>> line = SweepLine("", chsh, np.stack([chsh, chsh]), bits, np.stack([bits, bits]))
        >>> line.chsh_range.shape
        (2, 2)
    """

    label: str
    chsh: Floats
    chsh_range: Floats
    secret_bits: Floats
    secret_bits_range: Floats


@dataclass(frozen=True, eq=False)
class Sweep:
    """A study as lines over its first axis of numbers, or its first axis if none has any.

    Attributes:
        axis: Name of the axis, with its unit.
        places: Its values, numbers or words.
        lines: In the order of the study, at most `MOST_LINES`.
        lines_in_all: How many there were.
        title: Of the study.

    Examples:
        >>> Sweep("visibility", (0.9, 0.98), lines=(), lines_in_all=0, title="Noise").places
        (0.9, 0.98)
    """

    axis: str
    places: tuple[float | str, ...]
    lines: tuple[SweepLine, ...]
    lines_in_all: int
    title: str


def sweep_of(result: Dataset) -> Sweep:
    """Return the lines of a study's result.

    Args:
        result: From `e91.studies.study` or `load_study`.

    Returns:
        The lines, with means and ranges over the repeats.

    Raises:
        ValueError: The study has no axis: all its sessions are alike.

    Examples:
        >>> from e91.studies import plan_study, study
        >>> plan = plan_study({"rounds": 20_000}, sweep=[{"device.visibility": [0.6, 0.98]}])
        >>> sweep = sweep_of(study(plan, seed=1, processes=1))
        >>> sweep.axis, sweep.places, bool((sweep.lines[0].chsh > 2)[1])
        ('visibility', (0.6, 0.98), True)
    """
    axes = [str(name) for name in result.chsh.dims if name != "repeat"]
    if not axes:
        raise ValueError("A study must have an axis to be drawn, but all its sessions are alike.")
    along = next((name for name in axes if _is_numeric(result, name)), axes[0])
    others = [name for name in axes if name != along]
    choices = list(product(*(range(result.sizes[name]) for name in others)))
    lines = [
        _line(result.isel(dict(zip(others, choice, strict=True))), others, along)
        for choice in choices[:MOST_LINES]
    ]
    unit = result[along].attrs.get("units", "1")
    return Sweep(
        axis=along.replace("_", " ") + ("" if unit == "1" else f" ({unit})"),
        places=tuple(result[along].values.tolist()),
        lines=tuple(lines),
        lines_in_all=len(choices),
        title=str(result.attrs.get("title", "")),
    )


def _is_numeric(result: Dataset, axis: str) -> bool:
    return result[axis].dtype.kind in "if" and result.sizes[axis] > 1


def _line(part: Dataset, others: list[str], along: str) -> SweepLine:
    label = ", ".join(f"{name.replace('_', ' ')} {_word(part[name].item())}" for name in others)
    drawn = []
    for name in ("chsh", "secret_bits"):
        repeats = part[name].transpose(along, "repeat").values.astype(float)
        known = np.isfinite(repeats)
        counts = known.sum(axis=1)
        mean = np.where(known, repeats, 0).sum(axis=1) / np.where(counts, counts, math.nan)
        low = np.where(known, repeats, math.inf).min(axis=1)
        high = np.where(known, repeats, -math.inf).max(axis=1)
        ends = np.where(counts > 0, np.stack([low, high]), math.nan)
        drawn += [mean, ends]
    return SweepLine(label, *drawn)


def _word(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def study_figure(sweep: Sweep, *, ax: tuple[Axes, Axes] | None = None) -> tuple[Axes, Axes]:
    """Draw a study: S above the local limit, and below it the secret bits of a session.

    Points are means over the repeats, bars reach from the lowest to the highest.

    Args:
        sweep: From `sweep_of`.
        ax: Two axes to draw into; a new figure by default.

    Returns:
        The Matplotlib axes.

    Examples:
        >>> from matplotlib.figure import Figure
        >>> chsh, bits = np.array([2.5, 2.7]), np.array([0.0, 8_000.0])
        >>> line = SweepLine("", chsh, np.stack([chsh, chsh]), bits, np.stack([bits, bits]))
        >>> sweep = Sweep("visibility", (0.9, 0.98), (line,), lines_in_all=1, title="Noise")
        >>> upper, lower = study_figure(sweep, ax=tuple(Figure().subplots(2)))
        >>> upper.get_title(), lower.get_ylabel()
        ('Noise', 'secret bits')
    """
    figure = None if ax else pyplot.figure(figsize=(7.2, 6.2), layout="constrained")
    upper, lower = ax or figure.subplots(2, sharex=True)  # type: ignore[union-attr]
    words = any(isinstance(place, str) for place in sweep.places)
    places = np.arange(len(sweep.places)) if words else np.array(sweep.places, float)
    lowest = min((np.nanmin(line.chsh_range) for line in sweep.lines), default=2.0)
    upper.axhspan(min(lowest - 0.1, 1.9), 2, facecolor="0.92", edgecolor="0.8", hatch="//",
                  label="local models")  # fmt: skip
    upper.axhline(TSIRELSON, color=BESIDE, ls="--", label="quantum limit, 2√2")
    looks = zip(sweep.lines, COLOURS, LINES, MARKERS, strict=False)
    for line, colour, dashes, marker in looks:
        look: Any = {"color": colour, "ls": dashes, "marker": marker, "capsize": 3}
        for axes, mean, ends in (
            (upper, line.chsh, line.chsh_range),
            (lower, line.secret_bits, line.secret_bits_range),
        ):
            label = line.label if axes is lower else None
            axes.errorbar(places, mean, abs(ends - mean), label=label, **look)
    cut = f" ({len(sweep.lines)} of {sweep.lines_in_all} lines)"
    is_cut = sweep.lines_in_all > len(sweep.lines)
    upper.set(ylabel="S", title=sweep.title + (cut if is_cut else ""))
    upper.legend(frameon=False, fontsize="small")
    lower.set(xlabel=sweep.axis, ylabel="secret bits")
    lower.set_ylim(bottom=0)
    lower.yaxis.set_major_formatter("{x:,.0f}")
    if words:
        lower.set_xticks(places, [str(place) for place in sweep.places])
    if any(line.label for line in sweep.lines):
        legend_below(lower, columns=1 if len(sweep.lines) < 3 else 2)
    return upper, lower
