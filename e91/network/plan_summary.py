"""A network for reading: what stands where, which numbers were printed, and what is assumed."""

import math
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from enum import Enum
from typing import Any

from e91.encryption.key_needs import MEDIA
from e91.network.layout import (
    DEMAND_TABLES,
    Call,
    Claim,
    Demand,
    Incident,
    IncidentKind,
    Light,
    LinkPlan,
    NetworkPlan,
    Quantity,
    RateMode,
    RequestList,
    Requests,
    SiteKind,
    Transfer,
    Variation,
)
from e91.system.report_layout import WIDTH, Layout, table

_MOST_LISTED = 30  # links that are shown one by one
_MOST_NAMED = 3  # links that a sentence names

_KINDS = {
    SiteKind.USER: ("user", "users"),
    SiteKind.RELAY: ("trusted relay", "trusted relays"),
    SiteKind.SWITCH: ("optical switch", "optical switches"),
    SiteKind.STATION: ("ground station", "ground stations"),
}

_HAPPENS = {
    IncidentKind.ATTACK: "an attack on {target}: {attack}",
    IncidentKind.CUT: "{target} is cut",
    IncidentKind.SOURCE_FAILS: "the source of {target} fails",
    IncidentKind.RELAY_DIES: "relay {target} dies",
    IncidentKind.RELAY_TURNS: "relay {target} turns dishonest",
}


def places(plan: NetworkPlan) -> str:
    """Return how many places of each kind there are, in words.

    Examples:
        >>> from e91.network import load
        >>> places(load("hefei-2021"))
        '40 users, 3 trusted relays, 3 optical switches'
    """
    counts = Counter(site.kind for site in plan.sites)
    return ", ".join(
        f"{counts[kind]:,} {words[counts[kind] != 1]}"
        for kind, words in _KINDS.items()
        if counts[kind]
    )


def as_data(plan: NetworkPlan) -> dict[str, Any]:
    """Return a plan as plain dictionaries, lists, numbers and texts; None for what never ends.

    Args:
        plan: The network.

    Returns:
        What `json.dumps` takes; the names are those of `NetworkPlan` and of the records in it.

    Examples:
        >>> from e91.network import load
        >>> data = as_data(load("cambridge-2019"))
        >>> data["name"], data["rate"], [link["name"] for link in data["links"]]
        ('cambridge-2019', 'published', ['CAPE-TREL', 'TREL-ENGI', 'ENGI-CAPE'])
    """
    found: dict[str, Any] = _plain(asdict(plan))
    for name, demand in zip(found["demand"], plan.demand, strict=True):
        name["kind"] = type(demand).__name__.lower()
    return found


def _plain(value: object) -> Any:
    match value:
        case Enum():
            return value.value
        case datetime():
            return value.isoformat()
        case dict():
            return {key: _plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_plain(inner) for inner in value]
        case float() if not math.isfinite(value):
            return None
    return value


def described(plan: NetworkPlan, *, variants: Sequence[str] = (), width: int = WIDTH) -> str:
    """Return a plan for reading.

    Args:
        plan: The network.
        variants: Of its file.
        width: Columns of paragraphs; a table takes what it needs.

    Returns:
        Numbers as printed.  ``[1]`` is the number of a source, ``*`` marks what is assumed.

    Examples:
        >>> from e91.network import load
        >>> print(described(load("cambridge-2019")).splitlines()[1])
          Cambridge quantum network, 2019
    """
    page = _Page(plan, width)
    parts = {
        plan.name: page.head(variants),
        "Links": page.links(),
        "Light, assumed": [line for light in plan.lights for line in page.light(light)],
        "Satellite": page.satellite(),
        "What happens": page.happenings(),
        "Published of the whole": page.facts(),
        "Printed of what happened": page.printed(),
        "What the press said": [line for claim in plan.claims for line in page.claim(claim)],
        "What a run cannot claim": [line for limit in plan.limits for line in page.item(limit)],
        "Sources": page.sources(),
    }
    layout = Layout(width)
    shown = ["\n".join([layout.title(title), *lines]) for title, lines in parts.items() if lines]
    return "\n\n".join(shown)


class _Page:
    """A plan set in lines, with the sources of its numbers numbered as they come."""

    def __init__(self, plan: NetworkPlan, width: int) -> None:
        self.plan, self.layout = plan, Layout(width)
        self._numbers: dict[str, int] = {}

    def head(self, variants: Sequence[str]) -> list[str]:
        """Return what it is, how large it is, and where its key rates come from."""
        plan, row = self.plan, self.layout.row
        published = plan.rate is RateMode.PUBLISHED
        lines = [*self.layout.text(plan.title), *self.layout.text(plan.summary)]
        lines += [*self.layout.text(plan.reference), "", row("places", places(plan))]
        sectors = Counter(site.sector for site in plan.users if site.sector is not None)
        if sectors:
            words = ", ".join(f"{count} {sector}" for sector, count in sectors.most_common())
            lines.append(row("sectors", f"{words} (each user's sector is assumed)"))
        drawn = sum(site.assumed for site in plan.sites)
        if drawn:
            whose = "drawn here" if drawn == len(plan.sites) else f"{drawn:,} drawn here"
            lines.append(row("map", f"{whose}: nobody printed where they stand"))
        lines.append(row("links", f"{len(plan.links):,}{_shared(plan)}"))
        rates = (
            "published, of the devices of the day" if published else "simulated, from light to key"
        )
        lines += [row("key rates", rates), row("routes", plan.rule)]
        lines.append(row("a run takes", f"{plan.minutes:g} minutes, unless another time is given"))
        if variants:
            names = ", ".join(f"{v} (shown)" if v == plan.variant else v for v in variants)
            lines.append(row("variants", names))
        return lines

    def links(self) -> list[str]:
        """Return a table of the links, or of the kinds of links if there are many."""
        if len(self.plan.links) > _MOST_LISTED:
            return table(_link_kinds(self.plan))
        columns: dict[str, list[str]] = {"": [], "length": [], "loss": [], "published key": []}
        columns |= {"key here": [], "in store": [], "QBER": []}
        facts = self.plan.facts
        for link in self.plan.links:
            kind = link.protocol or link.light.partition("@")[0]
            columns[""].append(f"{link.name} ({kind})" if kind else link.name)
            columns["length"].append(self.number(link.length_km))
            columns["loss"].append(self.number(link.loss_db))
            story = link.rated_bits_per_second is not None
            rated = link.rated_bits_per_second if story else link.bits_per_second
            columns["published key"].append(self.number(rated))
            columns["key here"].append(self.number(link.bits_per_second if story else None))
            columns["in store"].append(self.number(facts.get(f"links.{link.name}.store")))
            columns["QBER"].append(self.number(link.qber))
        shown = {name: cells for name, cells in columns.items() if set(cells) != {"-"}}
        rows = [list(row) for row in zip(*shown.values(), strict=True)]
        return table([list(shown), *rows])

    def light(self, light: Light) -> list[str]:
        """Return what a kind of links has; those with the source elsewhere have the same."""
        name = light.name.partition("@")[0]
        if light.name != next(one.name for one in self.plan.lights if one.name.startswith(name)):
            return []
        alice, bob = light.detectors
        return self.item(
            f"{name}: {light.source.pairs_per_second / 1e6:g} million pairs a second, window "
            f"{light.window_s * 1e12:.4g} ps, detectors of {alice.efficiency:.0%} and "
            f"{bob.efficiency:.0%}, blocks of {light.block_rounds:,} coincidences; {light.note}"
        )

    def satellite(self) -> list[str]:
        """Return orbit and stations."""
        craft = self.plan.satellite
        if craft is None:
            return []
        stations = ", ".join(
            f"{one.name} ({one.latitude_deg:.4f}, {one.longitude_deg:.4f}, {one.altitude_m:g} m)"
            for one in craft.stations
        )
        orbit = craft.orbit
        keys = dict.fromkeys(place.rpartition(".")[2] for place in craft.assumed)
        assumed = [key.removesuffix("_deg").replace("_", " ") for key in keys]
        return [
            *self.item(
                f"{craft.name}: {orbit.turns_per_day:.2f} turns a day, inclination "
                f"{orbit.inclination_deg:g} degrees, elements of {orbit.epoch:%Y-%m-%d %H:%M} UTC; "
                f"a run begins on {orbit.start:%Y-%m-%d} at {orbit.start:%H:%M} UTC"
            ),
            *self.item(f"stations: {stations}"),
            *self.item(f"assumed: {', '.join(assumed)}"),
        ]

    def happenings(self) -> list[str]:
        """Return who wants keys, and what goes wrong."""
        lines, counts = [], Counter[str]()
        for demand in self.plan.demand:
            table = DEMAND_TABLES[type(demand)]
            lines += self.item(_demand(demand) + self._marks(f"{table}[{counts[table]}]."))
            counts[table] += 1
        for number, incident in enumerate(self.plan.incidents):
            lines += self.item(_incident(incident) + self._marks(f"incidents[{number}]."))
        for variation in self.plan.variations:
            lines += self.item(_variation(variation))
        return lines

    def facts(self) -> list[str]:
        """Return the published numbers that stand nowhere else."""
        shown = {
            name: fact
            for name, fact in self.plan.facts.items()
            if "[" not in name and not name.endswith((".store", ".least_store"))
        }
        floors = {
            self.number(fact)
            for name, fact in self.plan.facts.items()
            if name.endswith(".least_store")
        }
        lines = [
            f"  {name.removeprefix('links.').replace('_', ' ').replace('.', ', ')}: "
            f"{self.number(fact)}"
            for name, fact in shown.items()
        ]
        return [*lines, *(f"  least in a store that is used: {floor}" for floor in sorted(floors))]

    def printed(self) -> list[str]:
        """Return the outcomes that a run is compared with."""
        lines = []
        for outcome in self.plan.printed:
            said = outcome.words if outcome.number is None else self.number(outcome.number)
            also = f"{outcome.words}: " if outcome.words and outcome.number is not None else ""
            lines += self.item(f"{outcome.quantity}: {also}{said}")
        return lines

    def claim(self, claim: Claim) -> list[str]:
        """Return a sentence of the press, and how it is read here."""
        reading = f": {claim.reading}" if claim.reading else ""
        return self.item(f'"{claim.words}" ({claim.source}){reading}')

    def sources(self) -> list[str]:
        """Return the list of sources, and what the marks mean."""
        assumed = self.item("assumed here; nobody printed it", bullet="*")
        listed = [
            line
            for source, number in self._numbers.items()
            for line in self.item(source, bullet=f"[{number}]")
        ]
        return [*assumed, *listed]

    def item(self, text: str, *, bullet: str = "-") -> list[str]:
        """Return a paragraph behind a bullet."""
        start = f"  {bullet} "
        return textwrap.wrap(
            text, self.layout.width, initial_indent=start, subsequent_indent=" " * len(start),
            break_on_hyphens=False, break_long_words=False,
        )  # fmt: skip

    def number(self, number: Quantity | None) -> str:
        """Return a number with its mark; ``-`` for none."""
        if number is None or (number.value is None and number.printed is None):
            return "-"
        shown = str(replace(number, assumed=False)) + (" *" if number.assumed else "")
        return f"{shown} [{self._place(number)}]" if number.source else shown

    def _marks(self, prefix: str) -> str:
        """Return the numbers of the sources of all facts at a place."""
        facts = [fact for name, fact in self.plan.facts.items() if name.startswith(prefix)]
        marks = dict.fromkeys(f"[{self._place(fact)}]" for fact in facts)
        return "".join(f" {mark}" for mark in marks)

    def _place(self, number: Quantity) -> int:
        """Return the number of a source."""
        how = f"read in: {number.seen}" if number.seen else "assumed"
        agrees = "; another source agrees" if number.agrees else ""
        return self._numbers.setdefault(f"{number.source} ({how}{agrees})", len(self._numbers) + 1)


def _shared(plan: NetworkPlan) -> str:
    users = Counter(link.receiver for link in plan.links if link.receiver is not None)
    if not users:
        return ""
    low, high = min(users.values()), max(users.values())
    each = f"{low}" if low == high else f"{low} to {high}"
    return f"; {len(users)} receivers are shared in turn, by {each} links each"


def _link_kinds(plan: NetworkPlan) -> list[list[str]]:
    """Return a row for each kind of link: how many, and between which lengths."""
    kinds: dict[str, list[LinkPlan]] = {}
    for link in plan.links:
        kinds.setdefault(link.light.partition("@")[0] or link.protocol, []).append(link)
    rows = [["", "links", "length", "loss", "lengths from"]]
    for kind, links in kinds.items():
        lengths = [link.length_km for link in links]
        sources = sorted({number.source or "drawn here" for number in lengths})
        light = plan.light.get(links[0].light)
        losses = [
            link.loss_db.value if link.loss_db is not None else _fibre_loss(link, light)
            for link in links
        ]
        assumed = all(number.assumed for number in lengths)
        mark = " *" if assumed else ""
        rows.append([
            kind, f"{len(links):,}", _range([n.value for n in lengths], "km") + mark,
            _range(losses, "dB") + " *", "; ".join(sources),
        ])  # fmt: skip
    return rows


def _fibre_loss(link: LinkPlan, light: Light | None) -> float | None:
    length = link.length_km.value
    return None if light is None or length is None else light.db_per_km * length


def _range(values: Iterable[float | None], unit: str) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    low, high = min(known), max(known)
    return f"{low:.3g} {unit}" if low == high else f"{low:.3g} to {high:.3g} {unit}"


def _variation(variation: Variation) -> str:
    which = ", ".join(variation.links)
    if len(variation.links) > _MOST_NAMED:
        which = f"{len(variation.links)} links"
    low, high = min(variation.values), max(variation.values)
    values = f"{low:.6g}" if low == high else f"{low:.4g} to {high:.4g}"
    again = f", every {_time(variation.period_s)} again" if variation.period_s else ""
    what = variation.varied.value.replace("_", " ")
    return f"{what} of {which}: {values}{again} ({variation.source})"


def _demand(demand: Demand) -> str:
    match demand:
        case Requests():
            sectors = f" of {' and '.join(demand.sectors)}" if demand.sectors else ""
            within = f", {demand.within_sector:.0%} within a sector" if demand.within_sector else ""
            return (
                f"users{sectors} ask for {demand.keys_per_second:,g} keys of {demand.key_bits} "
                f"bits a second at random{within}"
            )
        case RequestList():
            last_s = demand.requests[-1].time_s
            return (
                f"{len(demand.requests):,} requests of `{demand.file}`, the last one at "
                f"{_time(last_s)}"
            )
        case Call():
            until = f" until {_time(demand.end_s)}" if math.isfinite(demand.end_s) else ""
            carried = MEDIA.get(demand.carries)
            medium = f"{carried.title} both ways, " if carried else ""
            return (
                f"{demand.source} to {demand.target}: {medium}{demand.bits_per_second:,.6g} bit/s "
                f"under one-time pad, from {_time(demand.start_s)}{until}"
            )
        case Transfer():
            return (
                f"{demand.source} to {demand.target}: a file of {demand.bits:,} bits under "
                f"one-time "
                f"pad, at {_time(demand.start_s)}"
            )
    store = f", from a store of {demand.store_keys:,} keys" if demand.store_keys else ""
    refill = f" that is filled up at {demand.refill_at:,}" if demand.store_keys else ""
    return (
        f"{demand.source} to {demand.target}: a new key of {demand.key_bits} bits every "
        f"{_time(demand.every_s)}{store}{refill}"
    )


def _incident(incident: Incident) -> str:
    what = _HAPPENS[incident.kind].format(target=incident.target, attack=incident.attack)
    strength = f" of strength {incident.strength:g}" if incident.strength is not None else ""
    until = f" until {_time(incident.end_s)}" if math.isfinite(incident.end_s) else ""
    return f"at {_time(incident.start_s)}{until}: {what}{strength}"


def _time(seconds: float) -> str:
    """Return a time in the unit that reads best.

    Examples:
        >>> _time(2.0), _time(2700.0), _time(86400.0), _time(90.0)
        ('2 s', '45 min', '24 h', '90 s')
    """
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"
