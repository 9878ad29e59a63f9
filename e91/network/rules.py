"""Routing rules by name: which links a key takes, seen from what every link has in store.

A rule is one class here.  It reads the list of stores that it was given and never writes to it:
who spends the bits changes the list.
"""

import heapq
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import chain, combinations

from e91.model.numbers import check_whole
from e91.network.disjoint import check_disjoint, disjoint_routes
from e91.network.graph import Candidate, Graph, Path

_NEVER = 1 << 62
"""More bits than any link will hold."""


class Router(ABC):
    """Finds routes by one rule, over links that come and go and whose stores rise and fall.

    A link counts for a request if its store holds the bits asked for above its floor.

    Attributes:
        graph: The network.
        stores: Bits in the store of every link: the list that was given, not a copy.
        floors: Bits that every link keeps to itself; endless while it is down.
        up: Whether every link is up.

    Examples:
        >>> from e91.network import load
        >>> router = rule_named("fewest-hops")(Graph.of(load("cambridge-2019")), [300, 900, 900])
        >>> router.find(0, 1, 256), router.find(0, 1, 512)
        ((0,), (2, 1))
    """

    def __init__(self, graph: Graph, stores: Sequence[int]) -> None:
        self.graph = graph
        self.stores = stores
        self.floors = list(graph.least_stores)
        self.up = [True] * len(graph.links)

    @abstractmethod
    def find(self, source: int, target: int, bits: int) -> Path | None:
        """Return the links to take these bits from, or None if no route holds them.

        Nothing is taken.  The two sites must differ; that is not checked, as every key asks.

        Args:
            source: Number of the site that asks.
            target: Number of the other site.
            bits: Length of the key.
        """

    def switch(self, link: int, *, up: bool) -> None:
        """Take a link out of use, or put it back.

        Args:
            link: Number of the link, from 0.
            up: Whether it may be used.
        """
        self.up[link] = up
        self.floors[link] = self.graph.least_stores[link] if up else _NEVER

    def check(self, source: int, target: int) -> None:
        """Refuse a demand that no route can ever carry.

        Args:
            source: Number of the site that asks.
            target: Number of the other site.

        Raises:
            ValueError: None can, even with every link up and full.
        """
        if not self.graph.candidates(source, target, up=[True] * len(self.up)):
            one, other = self.graph.sites[source], self.graph.sites[target]
            raise ValueError(f"A route must join `{one}` and `{other}`, but none does.")

    def lacking(self, source: int, target: int, bits: int) -> Path:
        """Return links that are up: one of them must be filled before `find` finds a route.

        After `find` found none: it finds none before one of these stores has grown or a link has
        come up.

        Args:
            source: Number of the site that asks.
            target: Number of the other site.
            bits: Length of the key.
        """
        graph, near = self.graph, self._open_homes(source, bits)
        cut = set(graph.direct.get((source, target), ()))
        if not near or not self._open_homes(target, bits):
            cut.update(*graph.access[target if near else source])
            return self._short(cut, bits)
        reached, stack, frontier = set(near), list(near), []
        while stack:
            for far, link in graph.relays_beside[stack.pop()]:
                if far not in reached and self.stores[link] - self.floors[link] >= bits:
                    reached.add(far)
                    stack.append(far)
                else:
                    frontier.append((link, far))
        cut.update(link for link, far in frontier if far not in reached)
        cut.update(*graph.access[source])
        cut.update(
            link for relay, links in graph.homes[target] for link in links if relay in reached
        )
        return self._short(cut, bits)

    def _short(self, links: Iterable[int], bits: int) -> Path:
        """The links that are up and lack the bits."""
        return tuple(
            link
            for link in sorted(links)
            if self.up[link] and self.stores[link] - self.floors[link] < bits
        )

    def _width(self, path: Path) -> int:
        """Bits that a path can give."""
        return min([self.stores[link] - self.floors[link] for link in path], default=_NEVER)

    def _path(self, source: int, target: int, candidate: Candidate) -> Path:
        first, links, last = candidate
        return self.graph.access[source][first] + links + self.graph.access[target][last]

    def _open_homes(self, site: int, bits: int) -> dict[int, tuple[int, int]]:
        """The home relays whose access link holds the bits, each with its width and its number."""
        found: dict[int, tuple[int, int]] = {}
        for number, (relay, links) in enumerate(self.graph.homes[site]):
            width = self._width(links)
            if width >= bits and width > found.get(relay, (-1,))[0]:
                found[relay] = (width, number)
        return found

    def _fewest(self, source: int, target: int, bits: int) -> Candidate | None:
        """Search the widest of the routes of fewest hops over links that hold the bits.

        Breadth first; of all ways to a relay in as few hops the widest is kept, which is exact.
        """
        direct = self.graph.direct.get((source, target), ())
        if direct:
            width, link = max((self._width((link,)), link) for link in direct)
            if width >= bits:
                return -1, (link,), -1
        goals = self._open_homes(target, bits)
        start = self._open_homes(source, bits) if goals else {}
        layer = {relay: (width, home, Path()) for relay, (width, home) in start.items()}
        reached = set(layer)
        while layer and goals.keys().isdisjoint(layer):
            layer = self._next_layer(layer, reached, bits)
            reached.update(layer)
        ends = [relay for relay in layer if relay in goals]
        if not ends:
            return None
        best = max(ends, key=lambda relay: min(layer[relay][0], goals[relay][0]))
        return layer[best][1], layer[best][2], goals[best][1]

    def _next_layer(
        self, layer: dict[int, tuple[int, int, Path]], reached: set[int], bits: int
    ) -> dict[int, tuple[int, int, Path]]:
        stores, floors, beside = self.stores, self.floors, self.graph.relays_beside
        following: dict[int, tuple[int, int, Path]] = {}
        for relay, (width, home, links) in layer.items():
            for far, link in beside[relay]:
                if far not in reached:
                    narrow = min(width, stores[link] - floors[link])
                    if narrow >= bits and narrow > following.get(far, (-1,))[0]:
                        following[far] = (narrow, home, (*links, link))
        return following

    def _best_first(
        self, source: int, target: int, bits: int, add: Callable[[float, int], float]
    ) -> tuple[float, Candidate] | None:
        """Search the route of least cost over links that hold the bits, with that cost.

        Args:
            source: Number of a site.
            target: Number of another.
            bits: That every link must hold.
            add: From the cost of a way, 0 at first, and the spare bits of its next link to the
                cost with that link, which is not less.
        """
        goals, beside = self._open_homes(target, bits), self.graph.relays_beside
        # Cost, hops, links, the relay reached or -1 at the target, and the two homes.
        heap: list[tuple[float, int, Path, int, int, int]] = [
            (add(0.0, self._width((link,))), 1, (link,), -1, -1, -1)
            for link in self.graph.direct.get((source, target), ())
            if self._width((link,)) >= bits
        ]
        for relay, (width, home) in self._open_homes(source, bits).items():
            heap.append((add(0.0, width), 0, (), relay, home, -1))
        heapq.heapify(heap)
        done: set[int] = set()
        while heap:
            cost, hops, links, relay, first, last = heapq.heappop(heap)
            if relay < 0:
                return cost, (first, links, last)
            if relay in done:
                continue
            done.add(relay)
            if relay in goals:
                width, home = goals[relay]
                heapq.heappush(heap, (add(cost, width), hops, links, -1, first, home))
            for far, link in beside[relay]:
                spare = self.stores[link] - self.floors[link]
                if far not in done and spare >= bits:
                    way = (add(cost, spare), hops + 1, (*links, link), far, first, -1)
                    heapq.heappush(heap, way)
        return None


class FewestHops(Router):
    """Fewest hops; among equals the route that was used last, at first the widest.

    Width decides once and is not looked at again: of the rules that were replayed, only those that
    keep a route among equals, and leave it for one of fewer hops, give the order of routes that
    was published for SECOQC (Peev et al., New J. Phys. 11, 075001 (2009), section 5.1.2).  Two
    sites remember their last route for every number of hops; all users with the same homes share
    that memory.

    A link between two relays that lacked bits is dry until a request uses it again, for which it
    must hold ``margin_bits`` more than are asked for.  0 uses it at once.
    """

    def __init__(self, graph: Graph, stores: Sequence[int], *, margin_bits: int = 0) -> None:
        super().__init__(graph, stores)
        check_whole(margin_bits=margin_bits)
        self._margin = margin_bits
        self._dry: set[int] = set()
        self._candidates: dict[int, tuple[Candidate, ...]] = {}
        self._present: dict[int, Candidate] = {}
        self._last: dict[tuple[int, int], Candidate] = {}

    def find(self, source: int, target: int, bits: int) -> Path | None:
        """Return the present route while it holds the bits, or choose again."""
        graph, stores, floors = self.graph, self.stores, self.floors
        key = graph.group[source] * len(graph.sites) + graph.group[target]
        present = self._present.get(key)
        if present is not None:
            first, links, last = present
            path = graph.access[source][first] + links + graph.access[target][last]
            for link in path:
                if stores[link] - floors[link] < bits:
                    break
            else:
                return self._used(path) if self._dry else path
        return self._choose(source, target, bits, key)

    def switch(self, link: int, *, up: bool) -> None:
        """Take a link out of use, or put it back; routes are searched again."""
        super().switch(link, up=up)
        self._dry.discard(link)
        self._candidates.clear()
        self._present.clear()

    def _choose(self, source: int, target: int, bits: int, key: int) -> Path | None:
        """Find the route again where the present one does not do."""
        if self._margin:
            self._run_dry(bits)
        routes = self._candidates.get(key)
        if routes is None:
            routes = self.graph.candidates(source, target, up=self.up)
            self._candidates[key] = routes
        if not routes:
            return None
        found: Candidate | None = max(
            routes, key=lambda route: self._width(self._path(source, target, route))
        )
        if found is None or self._width(self._path(source, target, found)) < bits:
            found = self._fewest(source, target, bits)
            if found is None:
                return None
        hops = len(self._path(source, target, found))
        last = self._last.get((key, hops))
        if last is not None and self._width(self._path(source, target, last)) >= bits:
            found = last
        self._last[key, hops] = found
        if hops == len(self._path(source, target, routes[0])):
            self._present[key] = found
        return self._used(self._path(source, target, found))

    def _run_dry(self, bits: int) -> None:
        """Let the links between relays that lack the bits need the margin from now on."""
        for link in self.graph.between_relays:
            if self.up[link] and self.stores[link] - self.floors[link] < bits:
                self._dry.add(link)
                self.floors[link] = self.graph.least_stores[link] + self._margin

    def _used(self, path: Path) -> Path:
        for link in self._dry.intersection(path):
            self._dry.discard(link)
            self.floors[link] = self.graph.least_stores[link]
        return path


class Widest(Router):
    """The route whose link with the fewest spare bits has the most, and of those fewest hops.

    It is chosen again for every request, so equal demands wander between routes.
    """

    def find(self, source: int, target: int, bits: int) -> Path | None:
        """Return the route whose least spare store is the largest."""
        found = self._best_first(source, target, bits, lambda cost, spare: max(cost, 1 / spare))
        if found is None:
            return None
        width = self._width(self._path(source, target, found[1]))
        fewest = self._fewest(source, target, width)
        return None if fewest is None else self._path(source, target, fewest)


class Cheapest(Router):
    """The route with the least sum of 1 / spare bits over its links.

    It is chosen again for every request, so equal demands wander between routes.
    """

    def find(self, source: int, target: int, bits: int) -> Path | None:
        """Return the route with the least sum of 1 / spare bits."""
        found = self._best_first(source, target, bits, lambda cost, spare: cost + 1 / spare)
        return None if found is None else self._path(source, target, found[1])


class Disjoint(Router):
    """Several routes that share no relay, of fewest hops in sum, for a share of the key each.

    The links of all routes are returned one route after the other (`Graph.strands` cuts them);
    each gives as many bits as the key has, as a share is as long as the key (`relaying`).
    The routes are kept while they hold the bits and no fewer hops are possible.
    """

    def __init__(self, graph: Graph, stores: Sequence[int], *, shares: int) -> None:
        super().__init__(graph, stores)
        check_whole(least=2, shares=shares)
        self.shares = shares
        self._least: dict[int, int] = {}
        self._present: dict[int, tuple[Candidate, ...]] = {}

    def find(self, source: int, target: int, bits: int) -> Path | None:
        """Return the links of all routes, or None if too few of them hold the bits."""
        key = self.graph.group[source] * len(self.graph.sites) + self.graph.group[target]
        present = self._present.get(key)
        if present is not None:
            path = sum([self._path(source, target, route) for route in present], Path())
            if self._width(path) >= bits:
                return path
        return self._choose(source, target, bits, key)

    def _choose(self, source: int, target: int, bits: int, key: int) -> Path | None:
        """Find the routes again where the present ones do not do."""
        if key not in self._least:
            inner = set(self.graph.between_relays)
            routes = self._routes(source, target, lambda link: link not in inner or self.up[link])
            self._least[key] = sum(map(len, routes)) if routes else 0
        if not self._least[key]:
            return None
        routes = self._routes(
            source, target, lambda link: self.stores[link] - self.floors[link] >= bits
        )
        if routes is None:
            return None
        if sum(map(len, routes)) == self._least[key]:
            self._present[key] = tuple(
                self.graph.as_candidate(source, target, route) for route in routes
            )
        return sum(routes, ())

    def _routes(
        self, source: int, target: int, usable: Callable[[int], bool]
    ) -> tuple[Path, ...] | None:
        return disjoint_routes(self.graph, source, target, count=self.shares, usable=usable)

    def switch(self, link: int, *, up: bool) -> None:
        """Take a link out of use, or put it back; routes are searched again."""
        super().switch(link, up=up)
        self._least.clear()
        self._present.clear()

    def lacking(self, source: int, target: int, bits: int) -> Path:
        """Return every link that these sites may use and that lacks the bits, if it is up."""
        ends = chain(*self.graph.access[source], *self.graph.access[target])
        direct = self.graph.direct.get((source, target), ())
        return self._short({*ends, *direct, *self.graph.between_relays}, bits)

    def check(self, source: int, target: int) -> None:
        """Refuse two sites between which too few routes share no relay."""
        check_disjoint(self.graph, source, target, count=self.shares)

    def check_all(self, sites: Iterable[int]) -> None:
        """Refuse a network in which too few routes without a common relay join some two sites."""
        groups: dict[int, list[int]] = {}
        for site in sites:
            groups.setdefault(self.graph.group[site], []).append(site)
        for alike in groups.values():  # what holds for one pair of groups holds for all their sites
            if len(alike) > 1:
                self.check(*alike[:2])
        for one, other in combinations(groups.values(), 2):
            self.check(one[0], other[0])


RULES: dict[str, Callable[[Graph, Sequence[int]], Router]] = {
    "fewest-hops": FewestHops,
    "widest": Widest,
    "cheapest": Cheapest,
}
"""Every rule with one route a key, by name: from the network and its stores to what finds it."""

_SHARES = re.compile(r"disjoint=([1-9][0-9]{0,5})")


def rule_named(name: str) -> Callable[[Graph, Sequence[int]], Router]:
    """Return the rule of this name.

    Args:
        name: One of `RULES`, or ``"disjoint=k"`` for shares over k routes without a common relay.

    Returns:
        What makes a router of a graph and the list of bits in every link's store.

    Raises:
        ValueError: There is none.

    Examples:
        >>> from e91.network import load
        >>> rule_named("disjoint=4")(Graph.of(load("secoqc-2008")), [0] * 8).shares
        4
        >>> rule_named("shortest")
        Traceback (most recent call last):
            ...
        ValueError: `rule` must be one of fewest-hops, widest, cheapest, or disjoint=k with k of 2 \
or more, but is `shortest`.
    """
    shares = _SHARES.fullmatch(name)
    if shares is not None and int(shares[1]) > 1:
        return partial(Disjoint, shares=int(shares[1]))
    if name not in RULES:
        raise ValueError(
            f"`rule` must be one of {', '.join(RULES)}, or disjoint=k with k of 2 or more, but is "
            f"`{name}`."
        )
    return RULES[name]
