"""What a network's run comes to: its key budget, the map at its end, ways before and after."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import pyplot, rcParams
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter

from e91.model.numbers import Floats
from e91.network.network_report import NetworkReport, clock
from e91.network.replays import sites_passed
from e91.plots.budget import Bar, waterfall
from e91.plots.network_maps import NetworkMap, map_figure, network_map
from e91.plots.network_series import (
    link_series,
    link_series_figure,
    request_series,
    requests_figure,
)
from e91.plots.style import COLOURS, legend_below


@dataclass(frozen=True)
class NetworkBudget:
    """The way of all key of a network, in counts that add up exactly.

    Attributes:
        coincidences: Of all blocks; 0 where rates are published.
        made: Bits of key that blocks made of them.
        lost: Bits of it lost, by reason.
        stored: Bits left in the stores.
        spent: Bits spent as pads: made less lost and stored.
        delivered: Bits of keys that both ends have; the rest of `spent` went into further hops and
            shares.

    Examples:
        >>> found = NetworkBudget(
        ...     10_000, made=3_000, lost={"alarm": 500}, stored=1_500, spent=1_000, delivered=500)
        >>> found.made - sum(found.lost.values()) - found.stored == found.spent
        True
    """

    coincidences: int
    made: int
    lost: dict[str, int]
    stored: int
    spent: int
    delivered: int


def network_budget(report: NetworkReport) -> NetworkBudget:
    """Return where the key of a network went.

    Args:
        report: Of a run.

    Returns:
        Bits made, lost, spent, delivered and left, which add up exactly.

    Examples:
        >>> from e91.network import load
        >>> found = network_budget(load("cambridge-2019").run(minutes=30, seed=1))
        >>> found.made - sum(found.lost.values()) - found.stored == found.spent
        True
        >>> found.spent, found.delivered
        (256000, 204800)
    """
    total = report.total
    return NetworkBudget(
        report.rounds,
        total.made,
        dict(sorted(report.lost_by.items())),
        total.stored,
        total.spent,
        report.delivered_bits,
    )


def network_budget_figure(budget: NetworkBudget, *, ax: Axes | None = None) -> Axes:
    """Draw a network's budget as a waterfall: whole bars are what there is, hatched what goes.

    Args:
        budget: From `network_budget`.
        ax: Axes to draw into; a new figure by default.

    Returns:
        The Matplotlib axes.

    Examples:
        >>> from matplotlib.figure import Figure
        >>> found = NetworkBudget(
        ...     10_000, made=3_000, lost={"alarm": 500}, stored=1_500, spent=1_000, delivered=500)
        >>> network_budget_figure(found, ax=Figure().subplots()).get_title()
        'Where the key went'
    """
    begin = budget.coincidences or budget.made
    bars, left = [], begin
    if budget.coincidences:
        bars.append(Bar.whole("coincidences", begin, COLOURS[5]))
        taken = begin - budget.made
        bars.append(Bar.taken("distillation", taken, budget.made))
        left = budget.made
    bars.append(Bar.whole("key made", left, COLOURS[0]))
    goes = {f"lost: {reason}": bits for reason, bits in budget.lost.items()}
    goes["left in store"] = budget.stored
    for name, bits in goes.items():
        if bits:
            left -= bits
            bars.append(Bar.taken(name, bits, left))
    bars.append(Bar.whole("spent as pads", budget.spent, COLOURS[0]))
    if budget.spent > budget.delivered:
        further = budget.spent - budget.delivered
        bars.append(Bar.taken("further hops", further, budget.delivered))
    bars.append(Bar.whole("keys delivered", budget.delivered, COLOURS[2]))
    axes = waterfall(bars, limits=(0.0, 1.02 * max(begin, 1)), ax=ax)
    what = "coincidences, then bits of key" if budget.coincidences else "bits of key"
    axes.set(xlabel=what, title="Where the key went")
    axes.xaxis.set_major_formatter(EngFormatter())
    return axes


@dataclass(frozen=True, eq=False)
class LevelMap:
    """A network's map at the end of a run.

    Attributes:
        drawn: The map.
        levels: Of every link with key, what is in store as a part of the most that it had.
        out: Links out of service: they rang, or are cut.
        rang: Links that rang at any time.
        time_s: The end.

    Examples:
        >>> from e91.network import load
        >>> found = level_map(load("tokyo-2010").run(seed=1))
        >>> found.out <= found.rang, found.time_s
        (True, 1260.0)
    """

    drawn: NetworkMap
    levels: dict[str, float]
    out: frozenset[str]
    rang: frozenset[str]
    time_s: float


def level_map(report: NetworkReport) -> LevelMap:
    """Return the map of a network at the end of a run.

    Args:
        report: Of a run.

    Returns:
        The map, with how full each store is and which links are out of service.

    Examples:
        >>> from e91.network import load
        >>> found = level_map(load("tokyo-2010").run(seed=1))
        >>> sorted(found.out), round(found.levels["O1-O2"], 2)
        (['K1-K2'], 0.07)
    """
    names = [link.name for link in report.plan.links]
    most = report.samples.column("stored").max(axis=0)
    levels = {
        name: min(1.0, bits.stored / max(highest, bits.stored, 1))
        for name, bits, highest in zip(names, report.links, most.tolist(), strict=True)
        if bits.made
    }
    return LevelMap(
        network_map(report.plan),
        levels,
        _out_at(report, report.simulated_s),
        frozenset(alarm.link for alarm in report.alarms),
        report.simulated_s,
    )


def levels_figure(found: LevelMap, *, ax: Axes | None = None) -> Axes:
    """Draw how full stores are on the map: from its first end, so much of a link is broad.

    Args:
        found: From `level_map`.
        ax: Axes to draw into; a new figure by default.

    Returns:
        The Matplotlib axes.

    Examples:
        >>> from e91.network import load
        >>> from matplotlib.figure import Figure
        >>> found = level_map(load("tokyo-2010").run(seed=1))
        >>> levels_figure(found, ax=Figure().subplots()).get_title()
        'Stores at the end of the run'
    """
    axes = map_figure(found.drawn, lengths=False, ax=ax)
    look: Any = {"color": COLOURS[2], "solid_capstyle": "butt", "zorder": 2.2}
    line = rcParams["lines.linewidth"]
    marks: dict[str, list[Floats]] = {"rang": [], "out": []}
    for group in found.drawn.links:
        width = 1.1 * line if group.kind == "access link" else 3.2 * line
        for name, path in zip(group.names, group.paths_km, strict=True):
            if name in found.levels:
                axes.plot(*_part(path, found.levels[name]).T, lw=width, **look)
            if name in found.out | found.rang:
                marks["out" if name in found.out else "rang"].append(_part(path, 0.5)[-1])
    axes.plot([], [], lw=3.2 * line, label="in store, of the most it had", **look)
    looks = {
        "out": ("X", COLOURS[1], "out of service"),
        "rang": ("X", "white", "rang, and is back"),
    }
    for kind, (marker, colour, label) in looks.items():
        if marks[kind]:
            axes.plot(
                *np.array(marks[kind]).T, marker, color=colour, markeredgecolor="black", zorder=6,
                ms=2.2 * rcParams["lines.markersize"], label=label,
            )  # fmt: skip
    axes.set_title("Stores at the end of the run", pad=12)
    legend_below(axes, columns=2)
    return axes


def _part(path: Floats, share: float) -> Floats:
    """Return the first part of a line through places."""
    steps = np.hypot(*np.diff(path, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    end = share * along[-1]
    passed = path[along < end]
    last = [np.interp(end, along, path[:, axis]) for axis in (0, 1)]
    return np.vstack([passed, last])


@dataclass(frozen=True, eq=False)
class RouteChange:
    """Ways of keys that an event changed.

    Attributes:
        drawn: The network's map.
        time_s: When they changed.
        pair: Two sites whose keys go another way.
        before: Sites that they passed, by strands; None if there was no way.
        after: The same from then on.
        links_before: Links of the old way.
        links_after: Links of the new one.
        failed: Of the old way, the links that were out of service.
        others: How many more pairs of sites take another way.

    Examples:
        >>> from e91.network import load
        >>> found = route_change(load("tokyo-2010").run(seed=1))
        >>> found.pair, found.time_s, found.failed
        (('K1', 'O2'), 601.0, ('K1-K2',))
    """

    drawn: NetworkMap
    time_s: float
    pair: tuple[str, str]
    before: tuple[tuple[str, ...], ...] | None
    after: tuple[tuple[str, ...], ...] | None
    links_before: tuple[str, ...]
    links_after: tuple[str, ...]
    failed: tuple[str, ...]
    others: int


def route_change(report: NetworkReport) -> RouteChange | None:
    """Return the first change of ways after the first alarm, or the first at all.

    Args:
        report: Of a run.

    Returns:
        Of callers or encryptors before relays, and of those whose link rang before others; None if
        no keys took another way.

    Examples:
        >>> from e91.network import load
        >>> found = route_change(load("tokyo-2010").run(seed=1))
        >>> found.before, found.after
        ((('K1', 'K2', 'O2'),), (('K1', 'O1', 'O2'),))
    """
    since_s = min((alarm.time_s for alarm in report.alarms), default=0.0)
    changes = [way for way in report.ways if way.time_s >= since_s and way.before is not None]
    if not changes:
        return None
    first_s = changes[0].time_s
    # Callers notice within their next request, relays within a second.
    together = [way for way in changes if way.time_s <= first_s + 1.0]
    ends = {link.name: set(link.ends) for link in report.plan.links}
    rang = [ends[alarm.link] for alarm in report.alarms if alarm.link in ends]
    way = min(together, key=lambda way: (way.of_relays, {way.source, way.target} not in rang))
    others = {(other.source, other.target) for other in together if other.of_relays}
    return RouteChange(
        drawn=network_map(report.plan),
        time_s=way.time_s,
        pair=(way.source, way.target),
        before=sites_passed(report.plan, way._replace(links=way.before)),
        after=None if way.links is None else sites_passed(report.plan, way),
        links_before=way.before or (),
        links_after=way.links or (),
        failed=tuple(link for link in way.before or () if link in _out_at(report, way.time_s)),
        others=len(others - {(way.source, way.target), (way.target, way.source)}),
    )


def _out_at(report: NetworkReport, time_s: float) -> frozenset[str]:
    """Return the links that could not be used at a time: they rang, or were cut."""
    ends = {"alarm": "back", "cut": "mended"}
    out: set[tuple[str, str]] = set()
    for event in report.events:
        if event.time_s > time_s:
            break
        if event.kind in ends:
            out.add((ends[event.kind], event.place))
        out.discard((event.kind, event.place))
    return frozenset(place for _, place in out)


def routes_figure(found: RouteChange, *, ax: Axes | None = None) -> Axes:
    """Draw the way that keys took, dashed, and the one that they take now.

    Crosses are links out of service; without one the old way ran dry, or a shorter one has key.

    Args:
        found: From `route_change`.
        ax: Axes to draw into; a new figure by default.

    Returns:
        The Matplotlib axes.

    Examples:
        >>> from e91.network import load
        >>> from matplotlib.figure import Figure
        >>> found = route_change(load("tokyo-2010").run(seed=1))
        >>> routes_figure(found, ax=Figure().subplots()).get_title()
        'Keys of K1 and O2, and of 3 more pairs, at 0:10:01'
    """
    axes = map_figure(found.drawn, lengths=False, ax=ax)
    paths = {
        name: path
        for group in found.drawn.links
        for name, path in zip(group.names, group.paths_km, strict=True)
    }
    line, point = rcParams["lines.linewidth"], rcParams["lines.markersize"]
    looks: dict[str, Any] = {
        "before": {"color": COLOURS[1], "ls": (0, (3, 1.5)), "lw": 2.6 * line, "zorder": 2.3},
        "after": {"color": COLOURS[0], "ls": "-", "lw": 3.4 * line, "zorder": 2.2},
    }
    ways = {"before": found.links_before, "after": found.links_after}
    for when, links in ways.items():
        for name in links:
            axes.plot(*paths[name].T, **looks[when])
        passed = found.before if when == "before" else found.after
        axes.plot([], [], label=f"{when}: {_said(passed)}", **looks[when])
    struck = [_part(paths[name], 0.5)[-1] for name in found.failed]
    if struck:
        axes.plot(
            *np.array(struck).T, "X", color=COLOURS[1], markeredgecolor="black", ms=2.2 * point,
            zorder=6, label="out of service",
        )  # fmt: skip
    more = f", and of {found.others} more pairs" if found.others else ""
    axes.set_title(
        f"Keys of {found.pair[0]} and {found.pair[1]}{more}, at {clock(found.time_s)}", pad=12
    )
    legend_below(axes, columns=2)
    return axes


def _said(strands: tuple[tuple[str, ...], ...] | None) -> str:
    return "no way" if not strands else " and ".join(", ".join(sites) for sites in strands)


def network_figure(report: NetworkReport) -> tuple[Axes, ...]:
    """Draw a run on one page: stores, requests, ages, budget, the map at the end, a changed way.

    Args:
        report: Of a run.

    Returns:
        The Matplotlib axes, in this order; the last one only if keys took another way.

    Examples:
        >>> from e91.network import load
        >>> axes = network_figure(load("tokyo-2010").run(seed=1))
        >>> len(axes), axes[0].get_title()
        (6, 'Key in store')
        >>> pyplot.close(axes[0].figure)
    """
    change = route_change(report)
    figure = pyplot.figure(figsize=(14.4, 13.5), layout="constrained")
    grid = figure.subplots(3, 2, height_ratios=(1.0, 1.0, 1.25)).ravel()
    budget = network_budget(report)
    found = [
        link_series_figure(link_series(report), ax=grid[0]),
        requests_figure(request_series(report), ax=grid[1]),
        link_series_figure(link_series(report, "age_s"), ax=grid[2]),
        network_budget_figure(budget, ax=grid[3]),
        levels_figure(level_map(report), ax=grid[4]),
    ]
    if change is None:
        grid[5].set_axis_off()
    else:
        found.append(routes_figure(change, ax=grid[5]))
    figure.suptitle(f"{report.plan.title}: {report.simulated_s / 60:g} minutes")
    return tuple(found)
