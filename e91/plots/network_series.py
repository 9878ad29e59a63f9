"""A network's run against time: what links had in store, how old it was, and who got a key."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from e91.model.numbers import Floats
from e91.network.layout import IncidentKind, NetworkPlan
from e91.network.network_report import NetworkReport
from e91.plots.style import COLOURS, LINES, axes_for, legend_below, thin

Column = Literal["stored", "age_s"]

_MOST_NAMED = 5  # links that have a line of their own
_SIZE = (7.2, 4.2)
_ON_LINKS = (IncidentKind.ATTACK, IncidentKind.CUT, IncidentKind.SOURCE_FAILS)
_TIMES = (("hours", 3600.0, 5 * 3600.0), ("minutes", 60.0, 300.0), ("seconds", 1.0, 0.0))
_BITS = (("Gbit", 1e9), ("Mbit", 1e6), ("kbit", 1e3), ("bit", 1.0))


@dataclass(frozen=True, eq=False)
class LinkSeries:
    """A number of every link in time; the links that matter by name, the others as a band.

    Attributes:
        column: ``"stored"``: bits in store; ``"age_s"``: seconds since the oldest of them was made.
        times_s: Float64, shape (n,).
        names: Of the links with a line of their own.
        values: Of these; float64, shape (n, k).
        others: How many other links there are.
        lowest: Of the other links at each time; float64, shape (n,), empty without others.
        highest: The same.
        alarms: Times and links of all alarms.
        incidents: Beginning and end of what happened to links, and to which.

    Examples:
        >>> from e91.network import load
        >>> found = link_series(load("tokyo-2010").run(seed=1))
        >>> found.column, found.values.shape == (len(found.times_s), len(found.names)), found.others
        ('stored', True, 0)
    """

    column: Column
    times_s: Floats
    names: tuple[str, ...]
    values: Floats
    others: int
    lowest: Floats
    highest: Floats
    alarms: tuple[tuple[float, str], ...]
    incidents: tuple[tuple[float, float, str], ...]


@dataclass(frozen=True, eq=False)
class RequestSeries:
    """What became of requests, in even intervals of time.

    Attributes:
        edges_s: Of the intervals; float64, shape (n + 1,).
        in_time: Requests served at once; int64, shape (n,).
        late: Served after they had waited; int64, shape (n,).
        missed: Given up, or void; int64, shape (n,).

    Examples:
        >>> counts = np.array([10, 12])
        >>> found = RequestSeries(np.array([0.0, 60.0, 120.0]), counts, counts * 0, counts * 0)
        >>> int(found.in_time.sum()), bool(found.missed.any())
        (22, False)
    """

    edges_s: Floats
    in_time: np.ndarray
    late: np.ndarray
    missed: np.ndarray


def link_series(
    report: NetworkReport, column: Column = "stored", *, most: int = _MOST_NAMED
) -> LinkSeries:
    """Return a number of every link in time.

    Lines of their own have the links that rang or to which something happened, then those whose
    store came nearest to nothing, or whose key grew oldest.

    Args:
        report: Of a run.
        column: Which number.
        most: Links with a line of their own.

    Returns:
        Times in seconds, shape (n,), and a line of the same length for each of these links.

    Examples:
        >>> from e91.network import load
        >>> found = link_series(load("tokyo-2010").run(seed=1))
        >>> found.names[0], found.alarms
        ('K1-K2', ((601.0, 'K1-K2'),))
    """
    names = [link.name for link in report.plan.links]
    values = report.samples.column(column)
    times = np.array(report.samples.times_s)
    if column == "stored":  # what is left at the end is known exactly
        times = np.append(times, report.simulated_s)
        values = np.vstack([values, [bits.stored for bits in report.links]])
    order = _order(report, column, values)
    chosen, rest = order[:most], order[most:]
    return LinkSeries(
        column=column,
        times_s=times,
        names=tuple(names[link] for link in chosen),
        values=values[:, chosen],
        others=len(rest),
        lowest=values[:, rest].min(axis=1) if rest else np.empty(0),
        highest=values[:, rest].max(axis=1) if rest else np.empty(0),
        alarms=tuple((alarm.time_s, alarm.link) for alarm in report.alarms),
        incidents=_incidents(report.plan, report.simulated_s),
    )


def _order(report: NetworkReport, column: Column, values: Floats) -> list[int]:
    """Return the links, those that matter most first; without those that never had any key."""
    happened = {alarm.link for alarm in report.alarms}
    happened |= {link for _, _, link in _incidents(report.plan, report.simulated_s)}
    most, least = values.max(axis=0), values.min(axis=0)
    rank = least / np.maximum(most, 1) if column == "stored" else -most
    held = [link for link, bits in enumerate(report.links) if bits.made]
    names = [link.name for link in report.plan.links]
    return sorted(held, key=lambda link: (names[link] not in happened, rank[link]))


def _incidents(plan: NetworkPlan, until_s: float) -> tuple[tuple[float, float, str], ...]:
    return tuple(
        (incident.start_s, min(incident.end_s, until_s), incident.target)
        for incident in plan.incidents
        if incident.kind in _ON_LINKS and incident.start_s < until_s
    )


def request_series(report: NetworkReport, *, intervals: int = 60) -> RequestSeries:
    """Return what became of requests, in even intervals.

    Args:
        report: Of a run.
        intervals: How many, or fewer if the run has fewer samples.

    Returns:
        How many requests were served at once, late or not at all in each interval, shape (n,).

    Examples:
        >>> from e91.network import load
        >>> found = request_series(load("cambridge-2019").run(minutes=2, seed=1))
        >>> int(found.in_time.sum()), found.missed.any()
        (60, np.False_)
    """
    times = np.append(report.samples.times_s, report.simulated_s)
    rows = np.unique(np.linspace(0, len(times) - 1, intervals + 1).round().astype(np.intp))
    ends = {"served": report.served, "late": report.late, "missed": report.missed}
    served, late, missed = (
        np.diff(np.append(report.samples.column(name).ravel(), end)[rows]).astype(np.int64)
        for name, end in ends.items()
    )
    return RequestSeries(times[rows], served - late, late, missed)


def link_series_figure(found: LinkSeries, *, ax: Axes | None = None) -> Axes:
    """Draw stores, or the age of the oldest key in them, against time.

    Crosses are alarms; shaded is when something happened to a link, whose name is written where
    there is one only.

    Args:
        found: From `link_series`.
        ax: Axes to draw into; a new figure by default.

    Returns:
        The Matplotlib axes.

    Examples:
        >>> from e91.network import load
        >>> from matplotlib.figure import Figure
        >>> found = link_series(load("tokyo-2010").run(seed=1))
        >>> link_series_figure(found, ax=Figure().subplots()).get_title()
        'Key in store'
    """
    axes = axes_for(ax, size=_SIZE)
    unit, size = _unit_of(found)
    name, second = _time_unit(found.times_s[-1])
    _shade(axes, found.incidents, second)
    if found.others:
        label = f"{found.others} other links" if found.others > 1 else "the other link"
        axes.fill_between(
            found.times_s / second, found.lowest / size, found.highest / size,
            facecolor="0.85", edgecolor="0.6", lw=thin(), label=label,
        )  # fmt: skip
    for number, link in enumerate(found.names):
        style, colour = LINES[number % len(LINES)], COLOURS[number % len(COLOURS)]
        values = found.values[:, number] / size
        axes.plot(found.times_s / second, values, ls=style, color=colour, label=link)
    _mark_alarms(axes, found, second)
    stored = found.column == "stored"
    axes.set(
        xlabel=f"time ({name})",
        ylabel=f"stored ({unit})" if stored else f"age ({unit})",
        title="Key in store" if stored else "Age of the oldest key in store",
        xlim=(0, found.times_s[-1] / second),
    )
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(7))
    axes.grid(color="0.93")
    legend_below(axes, columns=4)
    return axes


def _unit_of(found: LinkSeries) -> tuple[str, float]:
    highest = max(float(found.values.max(initial=0)), float(found.highest.max(initial=0)))
    if found.column == "stored":
        return next(unit for unit in _BITS if highest >= unit[1] or unit[1] == 1)
    return _time_unit(highest)


def _time_unit(longest_s: float) -> tuple[str, float]:
    return next((name, size) for name, size, least in _TIMES if longest_s >= least)


def _shade(axes: Axes, incidents: Sequence[tuple[float, float, str]], second: float) -> None:
    links = list(dict.fromkeys(link for _, _, link in incidents))
    label = f"trouble on {links[0] if len(links) == 1 else f'{len(links)} links'}" if links else ""
    for begin_s, end_s, _ in incidents:
        axes.axvspan(
            begin_s / second, end_s / second, facecolor="#FBE3D2", edgecolor="#E8B796", lw=thin(),
            label=label, zorder=0,
        )  # fmt: skip
        label = ""


def _mark_alarms(axes: Axes, found: LinkSeries, second: float) -> None:
    """Mark alarms above the curves, as a link's store may be gone with them."""
    if not found.alarms:
        return
    links = list(dict.fromkeys(link for _, link in found.alarms))
    label = f"alarm of {links[0]}" if len(links) == 1 else f"{len(found.alarms)} alarms"
    times = [time_s / second for time_s, _ in found.alarms]
    axes.plot(
        times, [0.96] * len(times), "X", color="black", markeredgecolor="white", label=label,
        transform=axes.get_xaxis_transform(), zorder=5, ms=1.8 * rcParams["lines.markersize"],
    )  # fmt: skip


def requests_figure(found: RequestSeries, *, ax: Axes | None = None) -> Axes:
    """Draw how many requests a second were served at once, late, or missed.

    Args:
        found: From `request_series`.
        ax: Axes to draw into; a new figure by default.

    Returns:
        The Matplotlib axes.

    Examples:
        >>> from matplotlib.figure import Figure
        >>> counts = np.array([10, 12])
        >>> found = RequestSeries(np.array([0.0, 60.0, 120.0]), counts, counts * 0, counts * 0)
        >>> requests_figure(found, ax=Figure().subplots()).get_ylabel()
        'requests a second'
    """
    axes = axes_for(ax, size=_SIZE)
    name, second = _time_unit(found.edges_s[-1])
    width = np.diff(found.edges_s)
    parts = {"served at once": found.in_time, "served late": found.late, "missed": found.missed}
    looks = ((COLOURS[5], ""), (COLOURS[4], "////"), (COLOURS[1], "xxxx"))
    below = np.zeros(len(width))
    for (label, counts), (colour, hatch) in zip(parts.items(), looks, strict=True):
        above = below + np.maximum(counts, 0) / width
        axes.stairs(
            above, found.edges_s / second, baseline=below, fill=True, facecolor=colour,
            edgecolor="white" if hatch else colour, hatch=hatch, lw=0,
            label=f"{label} ({counts.sum():,})",
        )  # fmt: skip
        below = above
    axes.set(
        xlabel=f"time ({name})",
        ylabel="requests a second",
        title="What became of the requests",
        xlim=(0, found.edges_s[-1] / second),
    )
    axes.set_ylim(bottom=0, top=1.1 * max(1e-9, float(below.max())))
    axes.xaxis.set_major_locator(MaxNLocator(7))
    axes.grid(color="0.93", zorder=0)
    axes.set_axisbelow(True)
    legend_below(axes, columns=3)
    return axes
