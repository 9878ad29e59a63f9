"""Whether a plan makes sense: every refusal is one sentence that names the place in the file."""

import math
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

from e91.network.graph import Graph
from e91.network.layout import (
    DEMAND_TABLES,
    Call,
    Demand,
    Incident,
    IncidentKind,
    LinkPlan,
    NetworkPlan,
    RateMode,
    RequestList,
    Requests,
    Rotation,
    SiteKind,
    Transfer,
    Variation,
    Varied,
    pairs_of,
)
from e91.network.rules import Disjoint, Router, rule_named
from e91.system.documents import did_you_mean

_MOST_NAMED = 6  # sites that a sentence names one by one


def check_plan(plan: NetworkPlan) -> None:
    """Refuse a plan in which something cannot be.

    Args:
        plan: From a file or made by a program.

    Raises:
        ValueError: Names are taken twice, a link leads nowhere, a user has no link, an incident or
            a variation is of nothing that exists, or no route connects two who want a key.

    Examples:
        >>> from e91.network.layout import Quantity, Site
        >>> user = Site("A", SiteKind.USER, 0.0, 0.0)
        >>> loop = LinkPlan("A-A", ("A", "A"), "", Quantity(1.0, "km", assumed=True))
        >>> check_plan(NetworkPlan("odd", "Odd", "none", (user,), (loop,)))
        Traceback (most recent call last):
        ValueError: `links.A-A.ends` must be two sites, but both are `A`.
    """
    _check_names(plan)
    for link in plan.links:
        _check_link(plan, link)
    makers = (link.bits_per_second or link.store_bits for link in plan.links)
    if plan.rate is RateMode.PUBLISHED and plan.links and not any(makers):
        raise ValueError(
            "`rate` must be simulated where no link has a rate or a store, but is published."
        )
    joined = {end for link in plan.links for end in link.ends}
    for site in plan.sites:
        if site.kind is SiteKind.USER and site.name not in joined:
            raise ValueError(
                f"`sites.{site.name}` must have a link, as it is a user, but has none."
            )
    if not plan.users:
        raise ValueError(
            "`sites` must have a user, or a call, transfer or rotation name two sites, but there "
            "is none."
        )
    for number, incident in enumerate(plan.incidents):
        _check_incident(plan, incident, f"incidents[{number}]")
    _check_overlaps(plan)
    _check_variations(plan)
    _check_satellite(plan)
    _check_demand(plan)
    check_ways(plan, rule_named(plan.rule)(Graph.of(plan), [0] * len(plan.links)))


def _check_names(plan: NetworkPlan) -> None:
    named = {
        "sites": [site.name for site in plan.sites],
        "links": [link.name for link in plan.links],
        "lights": [light.name for light in plan.lights],
        "receivers": [receiver.name for receiver in plan.receivers],
    }
    for table, names in named.items():
        for name, count in Counter(names).items():
            if count > 1:
                raise ValueError(f"`{table}.{name}` must be one, but there are {count}.")
    for table, names in named.items():
        if not all(name.strip() for name in names):
            raise ValueError(f"`{table}` must have names, but one is empty.")
    both = set(named["sites"]) & set(named["links"])
    if both:
        raise ValueError(f"`links.{min(both)}` must not be called as a site is, but is.")


def _check_link(plan: NetworkPlan, link: LinkPlan) -> None:
    place = f"links.{link.name}"
    for number, end in enumerate(link.ends):
        _check_known(end, plan.site, f"{place}.ends[{number}]", "a site of the network")
        if plan.site[end].kind is SiteKind.SWITCH:
            raise ValueError(
                f"`{place}.ends[{number}]` must be where a key can be kept, but `{end}` is an "
                "optical switch: name it as `receiver`."
            )
    if link.ends[0] == link.ends[1]:
        raise ValueError(f"`{place}.ends` must be two sites, but both are `{link.ends[0]}`.")
    _check_numbers(link, place)
    if link.receiver is not None:
        receivers = [receiver.name for receiver in plan.receivers]
        _check_known(link.receiver, receivers, f"{place}.receiver", "a receiver of the network")
    if plan.rate is RateMode.SIMULATED and link.medium != "stored":
        _check_known(link.light, plan.light, f"{place}.light", "a kind of light")
        if link.length_km.value is None:
            raise ValueError(f"`{place}.length_km` must be given to simulate it, but is missing.")


def _check_numbers(link: LinkPlan, place: str) -> None:
    for key in ("length_km", "loss_db", "qber", "bits_per_second"):
        quantity = getattr(link, key)
        value = None if quantity is None else quantity.value
        if value is not None and not 0 <= value < math.inf:
            raise ValueError(f"`{place}.{key}` must be finite and not negative, but is {value:g}.")
    if link.qber is not None and link.qber.value is not None and link.qber.value > 100:
        raise ValueError(f"`{place}.qber` must be at most 100 %, but is {link.qber.value:g}.")
    for key in ("store_bits", "least_store_bits"):
        bits = getattr(link, key)
        if bits is not None and bits < 0:
            raise ValueError(f"`{place}.{key.removesuffix('_bits')}` must not be negative, but is.")


def _check_known(name: str, known: Iterable[str], place: str, what: str) -> None:
    known = list(known)
    if name not in known:
        found = f"{name!r} is none" if name else "is missing"
        raise ValueError(f"`{place}` must be {what}, but {found}{did_you_mean(name, known)}")


def _check_incident(plan: NetworkPlan, incident: Incident, place: str) -> None:
    of_relay = incident.kind in (IncidentKind.RELAY_DIES, IncidentKind.RELAY_TURNS)
    if of_relay:
        relays = [s.name for s in plan.sites if s.kind in (SiteKind.RELAY, SiteKind.STATION)]
        _check_known(incident.target, relays, f"{place}.target", "a relay of the network")
    else:
        _check_known(incident.target, plan.link, f"{place}.target", "a link of the network")
    if not 0 <= incident.start_s < math.inf:
        raise ValueError(
            f"`{place}.start_s` must not lie before the start, at 0, but is {incident.start_s:g}."
        )
    if not incident.start_s < incident.end_s:
        raise ValueError(
            f"`{place}.end_s` must lie after its start at {incident.start_s:g} s, but is "
            f"{incident.end_s:g}."
        )
    if (incident.kind is IncidentKind.ATTACK) != bool(incident.attack):
        demand = "name the adversary" if not incident.attack else "be left out"
        raise ValueError(
            f"`{place}.attack` must {demand} of kind `{incident.kind.value}`, but "
            f"{f'is `{incident.attack}`' if incident.attack else 'is missing'}."
        )
    if incident.attack:
        _check_attack(incident, place)


def _check_overlaps(plan: NetworkPlan) -> None:
    """Refuse incidents of one kind at one place at one time: one's end would end the other."""
    of_place = [
        ((one.kind.value, one.target, one.start_s, number), one)
        for number, one in enumerate(plan.incidents)
    ]
    of_place.sort(key=lambda pair: pair[0])
    for (of_first, first), (of_second, second) in pairwise(of_place):
        if of_first[:2] == of_second[:2] and second.start_s < first.end_s:
            raise ValueError(
                f"`incidents[{of_second[-1]}]` must not overlap another of its kind, but "
                f"`incidents[{of_first[-1]}]` is {first.kind.value} of `{first.target}` too."
            )


def _check_attack(incident: Incident, place: str) -> None:
    from e91.adversaries.catalogue import ATTACKS

    _check_known(incident.attack, ATTACKS, f"{place}.attack", "an adversary of `e91 attack list`")
    attack = ATTACKS[incident.attack]
    if not attack.is_channel:
        raise ValueError(
            f"`{place}.attack` must act on each pair alike, but `{incident.attack}` does not."
        )
    if incident.strength is not None and not attack.low <= incident.strength <= attack.high:
        raise ValueError(
            f"`{place}.strength` must lie in [{attack.low:g}, {attack.high:g}] for "
            f"`{incident.attack}`, but is {incident.strength:g}."
        )


def _check_variations(plan: NetworkPlan) -> None:
    seen: dict[tuple[str, Varied], str] = {}
    for number, variation in enumerate(plan.variations):
        place = f"variations[{number}]"
        for at, link in enumerate(variation.links):
            _check_known(link, plan.link, f"{place}.links[{at}]", "a link of the network")
            if link in variation.links[:at]:
                raise ValueError(f"`{place}.links` must name `{link}` once, but does twice.")
            other = seen.setdefault((link, variation.varied), place)
            if other != place:
                raise ValueError(
                    f"`{place}` must not overlap another, but `{other}` varies "
                    f"{variation.varied.value} of `{link}` too."
                )
        _check_values_in_time(variation, place)


def _check_values_in_time(variation: Variation, place: str) -> None:
    times, values = variation.times_s, variation.values
    first = next(iter(times), None)
    if first != 0:
        found = "is empty" if first is None else f"begins at {first:g}"
        raise ValueError(f"`{place}.times_s` must begin at 0, but {found}.")
    for earlier, later in pairwise(times):
        if not later > earlier:
            raise ValueError(f"`{place}.times_s` must ascend, but {later:g} follows {earlier:g}.")
    if len(values) != len(times):
        raise ValueError(
            f"`{place}.values` must be one for each of its {len(times)} times, but are "
            f"{len(values)}."
        )
    if variation.period_s is not None and not variation.period_s > times[-1]:
        raise ValueError(
            f"`{place}.period_s` must exceed its last time, {times[-1]:g}, but is "
            f"{variation.period_s:g}."
        )
    fraction = variation.varied in (Varied.VISIBILITY, Varied.EFFICIENCY)
    for value in values:
        if not 0 <= value <= (1 if fraction else math.inf):
            demand = "lie in [0, 1]" if fraction else "not be negative"
            raise ValueError(f"`{place}.values` must {demand}, but one is {value:g}.")


def _check_satellite(plan: NetworkPlan) -> None:
    links = [link for link in plan.links if link.medium == "satellite"]
    if plan.satellite is None:
        if links:
            raise ValueError(
                f"`satellite` must be given, as `links.{links[0].name}` is of that medium, but is "
                "missing."
            )
        return
    stations = [station.name for station in plan.satellite.stations]
    for station in stations:
        place = f"satellite.stations.{station}"
        _check_known(station, plan.site, place, "called as a site of the network")
    for name in plan.satellite.lowest_elevation_deg:
        place = f"satellite.lowest_elevation_deg.{name}"
        _check_known(name, [link.name for link in links], place, "a satellite link")
    for link in links:
        if link.name not in plan.satellite.lowest_elevation_deg:
            raise ValueError(
                f"`satellite.lowest_elevation_deg.{link.name}` must be given, but is missing."
            )
        for number, end in enumerate(link.ends):
            _check_known(end, stations, f"links.{link.name}.ends[{number}]", "a ground station")


def _check_demand(plan: NetworkPlan) -> None:
    islands = _Islands(plan)
    counts: Counter[str] = Counter()
    for demand in plan.demand:
        table = DEMAND_TABLES[type(demand)]
        place = f"{table}[{counts[table]}]"
        counts[table] += 1
        if isinstance(demand, Requests):
            _check_requests(plan, demand, place, islands)
            continue
        if isinstance(demand, RequestList):
            _check_list(plan, demand, islands)
            continue
        for key, end in (("source", demand.source), ("target", demand.target)):
            _check_known(end, plan.site, f"{place}.{key}", "a site of the network")
        if demand.source == demand.target:
            raise ValueError(f"`{place}.target` must be another site than its source, but is not.")
        _check_times(demand, place)
        islands.check_route(demand.source, demand.target, f"`{place}`")


def _check_list(plan: NetworkPlan, wanted: RequestList, islands: "_Islands") -> None:
    """Refuse a file's request by its line."""
    known = set[tuple[str, str]]()
    for line, request in enumerate(wanted.requests, start=2):
        pair = request.source, request.target
        if pair in known:
            continue
        known.add(pair)
        place = f"Line {line} of `{wanted.file}`"
        for end in pair:
            if end not in plan.site:
                hint = did_you_mean(end, plan.site)
                raise ValueError(f"{place} must be between sites, but {end!r} is none{hint}")
        if pair[0] == pair[1]:
            raise ValueError(f"{place} must be between two sites, but both are `{pair[0]}`.")
        islands.check_route(*pair, place)


def _check_times(demand: Demand, place: str) -> None:
    if isinstance(demand, Call) and not demand.start_s < demand.end_s:
        raise ValueError(
            f"`{place}.end_s` must lie after its start at {demand.start_s:g} s, but is "
            f"{demand.end_s:g}."
        )
    if isinstance(demand, Transfer) and not 0 <= demand.start_s < math.inf:
        raise ValueError(
            f"`{place}.start_s` must not lie before the start, at 0, but is {demand.start_s:g}."
        )
    if isinstance(demand, Transfer) and demand.bits < 1:
        raise ValueError(f"`{place}.size` must be a bit or more, but is {demand.bits}.")
    if isinstance(demand, Rotation) and demand.refill_at > demand.store_keys:
        raise ValueError(
            f"`{place}.refill_at` must be at most its store of {demand.store_keys} keys, but is "
            f"{demand.refill_at}."
        )


def _check_requests(plan: NetworkPlan, requests: Requests, place: str, islands: "_Islands") -> None:
    sectors = {site.sector for site in plan.users if site.sector is not None}
    for number, sector in enumerate(requests.sectors):
        _check_known(sector, sectors, f"{place}.sectors[{number}]", "a sector that users have")
    asking = [
        site.name for site in plan.users if not requests.sectors or site.sector in requests.sectors
    ]
    if len(asking) < 2:
        raise ValueError(
            f"`{place}` must be between two users or more, but there is {len(asking)}."
        )
    shared = set.intersection(*(islands.reached(name) for name in asking))
    if not shared:
        for number, source in enumerate(asking):
            for target in asking[number + 1 :]:
                islands.check_route(source, target, f"`{place}`")


def check_ways(plan: NetworkPlan, router: Router) -> None:
    """Refuse a demand that no route can ever carry by a rule that asks for more than one route.

    Raises:
        ValueError: It names the relays that every route passes.
    """
    if not isinstance(router, Disjoint):
        return
    number = router.graph.site_number
    for demand in plan.demand:
        if isinstance(demand, Requests):
            asking = [x for x in plan.users if not demand.sectors or x.sector in demand.sectors]
            router.check_all(number[user.name] for user in asking)
        for source, target in pairs_of(demand):
            router.check(number[source], number[target])


class _Islands:
    """Which sites routes can join: relays pass keys on, users do not."""

    def __init__(self, plan: NetworkPlan) -> None:
        self._beside: dict[str, set[str]] = {site.name: set() for site in plan.sites}
        for link in plan.links:
            for one, other in (link.ends, link.ends[::-1]):
                self._beside[one].add(other)
        passing = (SiteKind.RELAY, SiteKind.STATION)
        self._relays = {site.name for site in plan.sites if site.kind in passing}
        self._island: dict[str, int] = {}
        for relay in self._relays:
            if relay not in self._island:
                self._flood(relay, len(self._island))

    def _flood(self, start: str, number: int) -> None:
        waiting = [start]
        while waiting:
            relay = waiting.pop()
            if relay not in self._island:
                self._island[relay] = number
                waiting += [near for near in self._beside[relay] if near in self._relays]

    def reached(self, site: str) -> set[int]:
        """Return the groups of joined relays that a site is part of or has a link to."""
        near = {site} if site in self._relays else self._beside[site]
        return {self._island[relay] for relay in near if relay in self._island}

    def check_route(self, source: str, target: str, place: str) -> None:
        """Refuse two sites that no route joins, and name the cut."""
        if target in self._beside[source] or self.reached(source) & self.reached(target):
            return
        islands = self.reached(source)
        side = {source} | {relay for relay in self._relays if self._island[relay] in islands}
        side |= {near for name in side & self._relays for near in self._beside[name]}
        side |= self._beside[source]
        named = sorted(side - {source})
        shown = ", ".join([source, *named[: _MOST_NAMED - 1]])
        more = len(named) - (_MOST_NAMED - 1)
        shown += f" and {more} more" if more > 0 else ""
        raise ValueError(
            f"{place} must be between sites that a route joins, but from {source} to {target} "
            f"there is none: relays join {shown} with nobody else."
        )
