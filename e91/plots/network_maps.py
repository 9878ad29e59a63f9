"""The map of a network: where its sites stand, and what kind of link joins them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.patheffects import withStroke

from e91.model.numbers import Floats
from e91.network.layout import LinkPlan, NetworkPlan, SiteKind
from e91.plots.style import COLOURS, axes_for, legend_below

_WIDTH = 7.2  # inches
_FEW, _SOME = 12, 60  # links up to which lengths are written, sites up to which all names

# What a group of sites is drawn as: a shape of its own each, so that colour says nothing alone.
_SECTOR_SHAPES = ("s", "^", "D", "o", "v", "p")
_KIND_SHAPES = {
    "trusted relay": ("h", "0.15"),
    "ground station": ("*", "0.15"),
    "optical switch": ("o", "white"),
    "user": ("o", COLOURS[0]),
}

# Colour, style and width of a link; the first are drawn below the others.
_LINKS = {
    "access link": ("0.72", "-", 0.7),
    "link between users": (COLOURS[5], "-", 0.9),
    "from a store": ("0.4", ":", 1.4),
    "free space": (COLOURS[4], "--", 1.8),
    "by satellite": (COLOURS[3], "-.", 1.8),
    "between relays": ("0.25", "-", 2.0),
}


@dataclass(frozen=True, eq=False)
class SiteGroup:
    """Sites that are drawn alike.

    Attributes:
        kind: What they are, or of users the sector, as the legend says.
        names: Of the sites.
        places_km: East and north of the map's middle; float64, shape (n, 2).

    Examples:
        >>> SiteGroup("trusted relay", ("R1", "R2"), np.array([[0.0, 0.0], [4.0, 3.0]])).kind
        'trusted relay'
    """

    kind: str
    names: tuple[str, ...]
    places_km: Floats


@dataclass(frozen=True, eq=False)
class LinkGroup:
    """Links that are drawn alike.

    Attributes:
        kind: What they are, as the legend says.
        names: Of the links.
        paths_km: For each link the places that it passes: its ends, and between them the
            optical switch that it is led through, if that stands on the map; float64, (k, 2).
        labels: Length of each as printed, or empty.

    Examples:
        >>> path = np.array([[0.0, 0.0], [4.0, 3.0]])
        >>> LinkGroup("link", ("R1-R2",), (path,), labels=("5 km",)).names
        ('R1-R2',)
    """

    kind: str
    names: tuple[str, ...]
    paths_km: tuple[Floats, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class NetworkMap:
    """What a map shows.

    Attributes:
        title: Of the network.
        sites: Groups of places; relays and stations last.
        links: Groups of links; those between relays last.
        assumed: Whether the places are a drawing, not where something stands.

    Examples:
        >>> from e91.network import load
        >>> found = network_map(load("cambridge-2019"))
        >>> found.title, found.assumed
        ('Cambridge quantum network, 2019', True)
    """

    title: str
    sites: tuple[SiteGroup, ...]
    links: tuple[LinkGroup, ...]
    assumed: bool


def network_map(plan: NetworkPlan) -> NetworkMap:
    """Return what the map of a network shows.

    Args:
        plan: The network.

    Returns:
        Where sites stand and links run, in km.

    Examples:
        >>> from e91.network import load
        >>> found = network_map(load("hefei-2021"))
        >>> [(group.kind, len(group.names)) for group in found.sites]
        [('user', 40), ('optical switch', 3), ('trusted relay', 3)]
        >>> [(group.kind, len(group.names)) for group in found.links]
        [('access link', 40), ('between relays', 3)]
    """
    sites: dict[str, list[str]] = {}
    order = (SiteKind.USER, SiteKind.SWITCH, SiteKind.STATION, SiteKind.RELAY)
    words = ("user", "optical switch", "ground station", "trusted relay")
    sectors = sorted({site.sector for site in plan.sites if site.sector is not None})
    for kind, word in zip(order, words, strict=True):
        for sector in (*sectors, None):
            for site in plan.sites:
                if site.kind is kind and site.sector == sector:
                    sites.setdefault(sector or word, []).append(site.name)
    links: dict[str, list[LinkPlan]] = {}
    for link in plan.links:
        links.setdefault(_kind_of(plan, link), []).append(link)
    return NetworkMap(
        title=plan.title,
        sites=tuple(
            SiteGroup(kind, tuple(names), np.array([_place(plan, name) for name in names]))
            for kind, names in sites.items()
        ),
        links=tuple(
            LinkGroup(
                kind,
                tuple(link.name for link in links[kind]),
                tuple(_path_of(plan, link) for link in links[kind]),
                tuple(_label(link) for link in links[kind]),
            )
            for kind in _LINKS
            if kind in links
        ),
        assumed=all(site.assumed for site in plan.sites),
    )


def _kind_of(plan: NetworkPlan, link: LinkPlan) -> str:
    special = {"satellite": "by satellite", "free-space": "free space", "stored": "from a store"}
    if link.medium in special:
        return special[link.medium]
    users = sum(plan.site[end].kind is SiteKind.USER for end in link.ends)
    return ("between relays", "access link", "link between users")[users]


def _place(plan: NetworkPlan, name: str) -> tuple[float, float]:
    return plan.site[name].x_km, plan.site[name].y_km


def _path_of(plan: NetworkPlan, link: LinkPlan) -> Floats:
    switch = plan.site.get(link.receiver or "")
    between = [switch.name] if switch is not None and switch.kind is SiteKind.SWITCH else []
    return np.array([_place(plan, name) for name in (link.ends[0], *between, link.ends[1])])


def _label(link: LinkPlan) -> str:
    length = link.length_km
    if length.value is None and length.printed is None:
        return ""
    digits = length.printed if length.printed is not None else f"{length.value:g}"
    return f"{digits} {length.printed_unit or length.unit}"


def map_figure(shown: NetworkMap, *, lengths: bool = True, ax: Axes | None = None) -> Axes:
    """Draw the map of a network.

    Sites have a shape by kind, users one by sector.  Of few sites the links' lengths are written
    beside them, of some all names, of many those of relays alone.

    Args:
        shown: From `network_map`.
        lengths: Whether lengths may be written beside links.
        ax: Axes to draw into; a new figure by default.

    Returns:
        The Matplotlib axes, without ticks: a bar says how long a kilometre is, unless the places
        are a drawing.

    Examples:
        >>> from e91.network import load
        >>> from matplotlib.figure import Figure
        >>> axes = map_figure(network_map(load("cambridge-2019")), ax=Figure().subplots())
        >>> axes.get_title()
        'Cambridge quantum network, 2019'
    """
    places = np.concatenate([group.places_km for group in shown.sites])
    count = len(places)
    axes = axes_for(ax, size=(_WIDTH, _height(places)))
    for links in shown.links:
        _draw_links(axes, links)
    sectors = [group.kind for group in shown.sites if group.kind not in _KIND_SHAPES]
    for group in shown.sites:
        _draw_sites(axes, group, sectors, count)
    axes.set_title(shown.title, pad=12)
    axes.set(xticks=[], yticks=[], aspect="equal", adjustable="datalim")
    axes.margins(x=0.1 if count <= _FEW else 0.05, y=0.18 if count <= _FEW else 0.06)
    axes.spines[:].set_visible(False)
    _write_names(axes, shown, count)
    if lengths and sum(len(links.names) for links in shown.links) <= _FEW:
        for links in shown.links:
            _write_lengths(axes, links)
    if shown.assumed:
        below = 1.2 * float(rcParams["font.size"]) if count <= _FEW else None  # names in full size
        words = "A drawing: nobody printed where these sites stand."
        axes.set_xlabel(words, color="0.4", labelpad=below)
    else:
        _scale_bar(axes)
    legend_below(axes, columns=4)
    return axes


def _height(places: Floats) -> float:
    """Return the height of a figure into which the places fit, inches."""
    wide, high = np.ptp(places, axis=0)
    return float(np.clip(_WIDTH * high / max(wide, 1e-9), 1.6, 6.0)) + 1.5


def _draw_links(axes: Axes, group: LinkGroup) -> None:
    colour, style, width = _LINKS[group.kind]
    order = 1 + list(_LINKS).index(group.kind) / len(_LINKS)
    lines = LineCollection(
        group.paths_km, colors=colour, linestyles=style, zorder=order,
        linewidths=width * float(rcParams["lines.linewidth"]) / 1.5,
        label=f"{group.kind} ({len(group.names):,})",
    )  # fmt: skip
    axes.add_collection(lines)


def _draw_sites(axes: Axes, group: SiteGroup, sectors: Sequence[str], count: int) -> None:
    if group.kind in _KIND_SHAPES:
        shape, colour = _KIND_SHAPES[group.kind]
    else:
        number = sectors.index(group.kind)
        shape = _SECTOR_SHAPES[number % len(_SECTOR_SHAPES)]
        colour = COLOURS[number % len(COLOURS)]
    fixed = group.kind in ("trusted relay", "ground station", "optical switch")
    size = 9.0 if count <= _FEW else 6.5 if count <= _SOME else 5.0
    size *= (1.6 if group.kind != "optical switch" else 1.1) if fixed else 0.85
    points = size * float(rcParams["lines.markersize"]) / 5
    axes.plot(
        *group.places_km.T, shape, color=colour, markersize=points, linestyle="none",
        markeredgecolor="0.2" if colour == "white" else "white",
        markeredgewidth=1.2 if colour == "white" else 0.5, zorder=5 if fixed else 3,
        label=f"{group.kind} ({len(group.names):,})",
    )  # fmt: skip


def _write_names(axes: Axes, shown: NetworkMap, count: int) -> None:
    """Write names beside the sites, on the side where they have no link."""
    place = {
        name: at
        for group in shown.sites
        for name, at in zip(group.names, group.places_km, strict=True)
    }
    centre = np.mean(list(place.values()), axis=0)
    for group in shown.sites:
        fixed = group.kind in ("trusted relay", "ground station")
        if not (fixed or count <= _SOME):
            continue
        for name, at in zip(group.names, group.places_km, strict=True):
            away = _away(at, shown, centre)
            distance = (11 if fixed else 6) * float(rcParams["font.size"]) / 10
            axes.annotate(
                name, at, xytext=tuple(distance * away), textcoords="offset points", zorder=6,
                fontsize="medium" if count <= _FEW else "small" if fixed else "xx-small",
                fontweight="bold" if fixed else "normal",
                ha="left" if away[0] > 0.4 else "right" if away[0] < -0.4 else "center",
                va="bottom" if away[1] > 0.4 else "top" if away[1] < -0.4 else "center",
                path_effects=[withStroke(linewidth=2.5, foreground="white")],
            )  # fmt: skip


def _away(at: Floats, shown: NetworkMap, centre: Floats) -> Floats:
    """Return the direction in which a site has most room: the middle of its widest gap."""
    turns = []
    for group in shown.links:
        for path in group.paths_km:
            for near, end in ((path[1], path[0]), (path[-2], path[-1])):
                if np.array_equal(end, at) and not np.array_equal(near, at):
                    turns.append(math.atan2(near[1] - at[1], near[0] - at[0]))
    if not turns:
        turns = [math.atan2(centre[1] - at[1], centre[0] - at[0])]
    ordered = sorted(turns)
    gaps = [
        (later - earlier, earlier)
        for earlier, later in pairwise([*ordered, ordered[0] + 2 * math.pi])
    ]
    gap, begin = max(gaps)
    return np.array([math.cos(begin + gap / 2), math.sin(begin + gap / 2)])


def _write_lengths(axes: Axes, group: LinkGroup) -> None:
    for path, label in zip(group.paths_km, group.labels, strict=True):
        axes.annotate(
            label, (path[0] + path[-1]) / 2, ha="center", va="center", fontsize="small",
            color="0.25", zorder=4, bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0},
        )  # fmt: skip


def _scale_bar(axes: Axes) -> None:
    """Draw how long a round number of kilometres is, at the lower left."""
    axes.autoscale_view()
    (left, right), bottom = axes.get_xlim(), axes.get_ylim()[0]
    whole = 10 ** math.floor(math.log10(0.25 * (right - left)))
    length = max(step * whole for step in (1, 2, 5) if step * whole <= 0.25 * (right - left))
    axes.plot([left, left + length], [bottom, bottom], color="0.2", lw=2, clip_on=False, zorder=6)
    axes.annotate(
        f"{length:g} km", (left, bottom), xytext=(0, -4),
        textcoords="offset points", ha="left", va="top", fontsize="small", color="0.3",
    )  # fmt: skip
