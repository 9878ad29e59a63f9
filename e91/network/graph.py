"""A network as integers: sites and links by number, who relays for others, and what a route is.

Users never relay.  Relays and ground stations do, and may also ask for keys themselves.  No key
ends at an optical switch, which only turns light.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from e91.model.trust import SecurityModel
from e91.network.history import Way
from e91.network.layout import NetworkPlan, SiteKind

MOST_ROUTES = 8
"""Routes of fewest hops that are kept for two sites; a search finds the others when it must."""

Path = tuple[int, ...]
"""Links by number, from the source to the target."""

Candidate = tuple[int, Path, int]
"""A route of all users with these homes: which home of the source, the links between the two home
relays, which home of the target.  A direct link between two users has the homes -1, which stand
for no access link (`Graph.access`)."""

Home = tuple[int, Path]
"""A relay, and the link that leads to it: none if the site is that relay."""

_STRENGTH = (None, SecurityModel.TRUSTED_ANALYSERS, SecurityModel.DEVICE_INDEPENDENT)


@dataclass(frozen=True)
class Route:
    """Where a key went, and on what it rests.  A route has no key rate: only its links have.

    Attributes:
        source: Who sent the key.
        target: Who got it.
        links: Names of the links of every strand: one strand, or one for each share of the key.
        trusts: Names of the relays of every strand.  One relay of each strand together know the
            key; as long as one strand has no dishonest relay, its relays learn nothing.
        weakest: The weakest security model of the links; None if one of them claims none.
        epsilon: Sum of the failure probabilities of the distinct blocks that its pads came from.
        bottleneck: The link with the fewest bits in store when it was asked.

    Examples:
        >>> way = Route("A", "B", links=(("A-R", "R-B"),), trusts=(("R",),), weakest=None,
        ...             epsilon=1e-9, bottleneck="R-B")
        >>> way.hops
        2
        >>> print(way)
        A - R - B: R must be trusted with the key.
    """

    source: str
    target: str
    links: tuple[tuple[str, ...], ...]
    trusts: tuple[tuple[str, ...], ...]
    weakest: SecurityModel | None
    epsilon: float
    bottleneck: str

    @property
    def hops(self) -> int:
        """Links that the key used, over all strands."""
        return sum(map(len, self.links))

    def __str__(self) -> str:
        ways = [" - ".join((self.source, *relays, self.target)) for relays in self.trusts]
        if not all(self.trusts):
            return f"{' and '.join(ways)}: no relay knows the key."
        if len(ways) == 1:
            return f"{ways[0]}: {listed(self.trusts[0], 'and')} must be trusted with the key."
        return f"{' and '.join(ways)}: one relay of every way together would know the key."


@dataclass(frozen=True, eq=False)
class Graph:
    """A network by numbers: sites and links in the order of its plan.

    Attributes:
        sites: Names.
        links: Names.
        ends: The two sites of every link.
        relays: Whether a site passes on keys of others.
        least_stores: Bits below which a link may not be used.

    Examples:
        >>> from e91.network.layout import LinkPlan, Quantity, Site
        >>> places = [("A", SiteKind.USER), ("R", SiteKind.RELAY), ("B", SiteKind.USER)]
        >>> km = Quantity(5.0, "km", assumed=True)
        >>> plan = NetworkPlan("three", "Three sites", "an example",
        ...     sites=tuple(Site(name, kind, 0, 0) for name, kind in places),
        ...     links=(LinkPlan("A-R", ("A", "R"), "", km), LinkPlan("R-B", ("R", "B"), "", km)))
        >>> graph = Graph.of(plan)
        >>> graph.candidates(0, 2, up=[True, True])
        ((0, (), 0),)
        >>> print(graph.route(0, 2, (0, 1), stores=[900, 700]))
        A - R - B: R must be trusted with the key.
    """

    sites: tuple[str, ...]
    links: tuple[str, ...]
    ends: tuple[tuple[int, int], ...]
    relays: tuple[bool, ...]
    least_stores: tuple[int, ...]

    @classmethod
    def of(cls, plan: NetworkPlan) -> Self:
        """Return the graph of a plan, whose names it numbers.

        Args:
            plan: The network.

        Raises:
            ValueError: A link ends at a switch, at no site of the plan, or twice at one site.
        """
        number = {site.name: index for index, site in enumerate(plan.sites)}
        for link in plan.links:
            _check_ends(plan, link.name, link.ends)
        return cls(
            sites=tuple(number),
            links=tuple(link.name for link in plan.links),
            ends=tuple((number[link.ends[0]], number[link.ends[1]]) for link in plan.links),
            relays=tuple(site.kind in (SiteKind.RELAY, SiteKind.STATION) for site in plan.sites),
            least_stores=tuple(link.least_store_bits for link in plan.links),
        )

    @cached_property
    def site_number(self) -> dict[str, int]:
        """The number of every site, by name."""
        return {name: number for number, name in enumerate(self.sites)}

    @cached_property
    def link_number(self) -> dict[str, int]:
        """The number of every link, by name."""
        return {name: number for number, name in enumerate(self.links)}

    @cached_property
    def beside(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """The neighbours of every site, each as (site, link), in the order of the links."""
        found: list[list[tuple[int, int]]] = [[] for _ in self.sites]
        for link, (one, other) in enumerate(self.ends):
            found[one].append((other, link))
            found[other].append((one, link))
        return tuple(map(tuple, found))

    @cached_property
    def relays_beside(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """The same, relays only."""
        return tuple(tuple(pair for pair in near if self.relays[pair[0]]) for near in self.beside)

    @cached_property
    def between_relays(self) -> Path:
        """The links whose two ends are relays."""
        return tuple(
            link for link, (a, b) in enumerate(self.ends) if self.relays[a] and self.relays[b]
        )

    @cached_property
    def homes(self) -> tuple[tuple[Home, ...], ...]:
        """Where keys of a site enter the relays: a user's home relays, or the relay itself."""
        return tuple(
            ((site, ()),)
            if self.relays[site]
            else tuple((relay, (link,)) for relay, link in self.relays_beside[site])
            for site in range(len(self.sites))
        )

    @cached_property
    def access(self) -> tuple[tuple[Path, ...], ...]:
        """The links to the homes of every site, and last no link, for a user's direct links."""
        return tuple((*(links for _, links in homes), ()) for homes in self.homes)

    @cached_property
    def direct(self) -> dict[tuple[int, int], Path]:
        """The links that join two users without a relay, by the users in either order."""
        found: dict[tuple[int, int], Path] = {}
        for link, (one, other) in enumerate(self.ends):
            if not (self.relays[one] or self.relays[other]):
                for pair in ((one, other), (other, one)):
                    found[pair] = (*found.get(pair, ()), link)
        return found

    @cached_property
    def group(self) -> tuple[int, ...]:
        """A number for every site; users with the same homes share it, and so what is searched.

        A relay has a number of its own, as it may lie on routes of its users; so has a user with a
        direct link to another.
        """
        alone = {site for pair in self.direct for site in pair}
        alone |= {site for site, relays in enumerate(self.relays) if relays}
        numbers: dict[tuple[int, ...], int] = {}
        return tuple(
            numbers.setdefault(
                (*(relay for relay, _ in homes), *((-1 - site,) if site in alone else ())),
                len(numbers),
            )
            for site, homes in enumerate(self.homes)
        )

    def candidates(self, source: int, target: int, *, up: Sequence[bool]) -> tuple[Candidate, ...]:
        """Return the routes of fewest hops between two sites, at most `MOST_ROUTES`.

        Access links are not looked at: the answer holds for all users with the same homes.

        Args:
            source: Number of a site.
            target: Number of another.
            up: Of every link, whether it may be used.
        """
        direct = [link for link in self.direct.get((source, target), ()) if up[link]]
        if direct:
            return tuple((-1, (link,), -1) for link in direct[:MOST_ROUTES])
        distance = self._distances({relay for relay, _ in self.homes[target]}, up)
        starts = [(distance.get(relay, math.inf), home) for home, relay in self._relays(source)]
        least = min(starts, default=(math.inf, 0))[0]
        found: list[Candidate] = []
        for hops, home in starts:
            if hops == least < math.inf:
                for links, end in self._descend(self.homes[source][home][0], distance, up):
                    found += [
                        (home, links, at) for at, relay in self._relays(target) if relay == end
                    ]
                    if len(found) >= MOST_ROUTES:
                        return tuple(found[:MOST_ROUTES])
        return tuple(found)

    def _relays(self, site: int) -> Iterator[tuple[int, int]]:
        return enumerate(relay for relay, _ in self.homes[site])

    def _distances(self, goals: set[int], up: Sequence[bool]) -> dict[int, int]:
        """Hops from every relay to the nearest goal, breadth first."""
        distance = dict.fromkeys(goals, 0)
        layer = list(distance)
        while layer:
            following = []
            for relay in layer:
                for far, link in self.relays_beside[relay]:
                    if up[link] and far not in distance:
                        distance[far] = distance[relay] + 1
                        following.append(far)
            layer = following
        return distance

    def _descend(
        self, start: int, distance: dict[int, int], up: Sequence[bool]
    ) -> Iterator[tuple[Path, int]]:
        """Every way down to distance 0, in the order of the links, with the relay it ends at."""
        stack: list[tuple[int, Path]] = [(start, ())]
        while stack:
            relay, links = stack.pop()
            if not distance[relay]:
                yield links, relay
            stack += [
                (far, (*links, link))
                for far, link in reversed(self.relays_beside[relay])
                if up[link] and distance[far] == distance[relay] - 1
            ]

    def across(self, link: int, site: int) -> int:
        """Return the number of the site at the other end of a link.

        Args:
            link: Number of the link, from 0.
            site: Number of the site at this end.
        """
        one, other = self.ends[link]
        return other if site == one else one

    def as_candidate(self, source: int, target: int, path: Path) -> Candidate:
        """Return a route in a form that holds for all users with the same homes.

        Args:
            source: Number of the site that asks.
            target: Number of the other site.
            path: Numbers of the links, in order.
        """
        if not (self.relays[source] or self.relays[target]) and len(path) == 1:
            return -1, path, -1
        begin, end = (0 if self.relays[site] else 1 for site in (source, target))
        first = self.access[source].index(path[:begin])
        last = self.access[target].index(path[len(path) - end :])
        return first, path[begin : len(path) - end], last

    def strands(self, source: int, target: int, path: Path) -> tuple[Path, ...]:
        """Return the ways of a route from the source to the target, each as its links.

        Args:
            source: Number of the site that asks.
            target: Number of the other site.
            path: Numbers of the links of all ways.
        """
        found, begin, at = [], 0, source
        for place, link in enumerate(path):
            at = self.across(link, at)
            if at == target:
                found.append(path[begin : place + 1])
                begin, at = place + 1, source
        return tuple(found)

    def route(
        self,
        source: int,
        target: int,
        path: Path,
        *,
        stores: Sequence[int],
        models: Sequence[SecurityModel | None] | None = None,
        blocks: Iterable[tuple[int, int, float]] = (),
    ) -> Route:
        """Return by names where a key went and on what it rests.

        Args:
            source: Number of the site that sent it.
            target: Number of the site that got it.
            path: Its links, as a rule found them.
            stores: Bits in the store of every link.
            models: Security model of every link; None for links that claim none.
            blocks: The blocks that its pads came from, as (link, number of the block, failure
                probability); a block that is named twice counts once.
        """
        strands = self.strands(source, target, path)
        claimed = [models[link] for link in path] if models is not None else [None]
        failures = {(link, number): epsilon for link, number, epsilon in blocks}
        return Route(
            source=self.sites[source],
            target=self.sites[target],
            links=tuple(tuple(self.links[link] for link in strand) for strand in strands),
            trusts=tuple(self._between(source, strand) for strand in strands),
            weakest=min(claimed, key=_STRENGTH.index),
            epsilon=math.fsum(failures.values()),
            bottleneck=self.links[min(path, key=lambda link: stores[link])],
        )

    def way(
        self,
        time_s: float,
        ends: tuple[int, int],
        ways: tuple[Path | None, Path | None],
        *,
        of_relays: bool,
    ) -> Way:
        """Return, by names, that keys between two sites take another way, the second of two.

        Args:
            time_s: When, in simulated seconds.
            ends: Numbers of the two sites.
            ways: The links of the way before and after; None for no way.
            of_relays: Whether only the relays' part of the way is said.
        """
        before, now = (
            None if path is None else tuple(self.links[link] for link in path) for path in ways
        )
        return Way(time_s, self.sites[ends[0]], self.sites[ends[1]], before, now, of_relays)

    def _between(self, source: int, strand: Path) -> tuple[str, ...]:
        """The relays of one way from the source, by name."""
        found, at = [], source
        for link in strand[:-1]:
            at = self.across(link, at)
            found.append(self.sites[at])
        return tuple(found)


def _check_ends(plan: NetworkPlan, name: str, ends: tuple[str, str]) -> None:
    for end in ends:
        if end not in plan.site:
            raise ValueError(f"Link `{name}` must join sites of the network, but `{end}` is none.")
        if plan.site[end].kind is SiteKind.SWITCH:
            raise ValueError(
                f"Link `{name}` must end where a key can be kept, but `{end}` is an optical switch."
            )
    if ends[0] == ends[1]:
        raise ValueError(f"Link `{name}` must join two sites, but joins `{ends[0]}` to itself.")


def listed(names: Sequence[str], word: str) -> str:
    """Return names as a sentence has them.

    Examples:
        >>> listed(["A"], "and"), listed(["A", "B", "C"], "or")
        ('A', 'A, B or C')
    """
    *most, last = names
    return f"{', '.join(most)} {word} {last}" if most else last
