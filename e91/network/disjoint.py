"""Routes that share no relay, for shares of a key; and the relays in the way where there are none.

A key in k shares over k such routes is safe from any k - 1 dishonest relays.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import networkx as nx

from e91.network.graph import Graph, Path, listed

_TARGET = -1
_SOURCE = -2


def disjoint_routes(
    graph: Graph, source: int, target: int, *, count: int, usable: Callable[[int], bool]
) -> tuple[Path, ...] | None:
    """Return routes that share no relay, with the fewest hops in sum, the shortest first.

    Args:
        graph: The network.
        source: Number of a site.
        target: Number of another.
        count: How many routes.
        usable: Whether a link may be used, by its number.

    Returns:
        The links of every route, or None if there are fewer.

    Source:
        Shortest augmenting paths with every relay cut into an entrance and an exit: Suurballe,
        Networks 4, 125 (1974); Bhandari, Survivable Networks (1999), chapter 3 (both from memory).
    """
    routes: tuple[Path, ...] = ()
    for _ in range(count):
        walk = _Residual(graph, source, target, usable, routes).shortest_walk()
        if walk is None:
            return None
        # A link that the walk takes backwards leaves the routes, any other joins them.
        taken = {link for route in routes for link in route}.symmetric_difference(walk)
        routes = tuple(_walks(graph, source, target, taken))
    return tuple(sorted(routes, key=lambda route: (len(route), route)))


def cut_relays(graph: Graph, source: int, target: int) -> tuple[str, ...]:
    """Return the fewest relays without which only direct links are left, by name.

    There are as many routes without a common relay as these, and one more for every direct link.
    """
    net = _relayed(graph, source, target)
    return tuple(graph.sites[site] for site in sorted(nx.minimum_node_cut(net, source, target)))


def check_disjoint(graph: Graph, source: int, target: int, *, count: int) -> None:
    """Refuse what asks for more routes without a common relay than there are, every link up.

    Raises:
        ValueError: There are fewer; the sentence names the relays that every route passes.
    """
    if disjoint_routes(graph, source, target, count=count, usable=lambda _: True) is not None:
        return
    cut = cut_relays(graph, source, target)
    if len(cut) == 1:  # there may be others, each in the way by itself
        net = _relayed(graph, source, target)
        way = nx.shortest_path(net, source, target)[1:-1]
        alone = [
            x for x in way if not nx.has_path(nx.restricted_view(net, [x], []), source, target)
        ]
        passed = listed([graph.sites[site] for site in alone], "and")
    else:
        passed = listed(cut, "or") if cut else ""
    direct = sum({source, target} == set(pair) for pair in graph.ends)
    found = f"every {'other ' if direct else ''}route passes {passed}"
    raise ValueError(
        f"{count} routes without a common relay must join `{graph.sites[source]}` and "
        f"`{graph.sites[target]}`, but {found if cut else f'there are {direct} in all'}."
    )


def _relayed(graph: Graph, source: int, target: int) -> nx.Graph:
    """The relays and two ends, without a link from end to end."""
    net = nx.Graph()
    net.add_nodes_from((source, target))
    inside = {source, target, *(site for site, relays in enumerate(graph.relays) if relays)}
    net.add_edges_from(
        pair for pair in graph.ends if inside.issuperset(pair) and set(pair) != {source, target}
    )
    return net


def _walks(graph: Graph, source: int, target: int, taken: set[int]) -> Iterator[Path]:
    """Follow the links that were taken, two at every relay, from the source to the target."""
    for _, first in graph.beside[source]:
        if first in taken:
            links: Path = (first,)
            at = graph.across(first, source)
            while at != target:
                onward = next(x for _, x in graph.beside[at] if x in taken and x != links[-1])
                links, at = (*links, onward), graph.across(onward, at)
            yield links


@dataclass(frozen=True)
class _Residual:
    """Where one more route may go: over links not taken, and back along routes that give way.

    A state is a relay's entrance (2 r) or its exit (2 r + 1), or one of the two ends.
    """

    graph: Graph
    source: int
    target: int
    usable: Callable[[int], bool]
    routes: tuple[Path, ...]

    def shortest_walk(self) -> set[int] | None:
        """Links from the source to the target with the least sum of +1, and -1 for backwards."""
        cost: dict[int, float] = {_SOURCE: 0}
        came: dict[int, tuple[int, int | None]] = {}
        waiting = deque([_SOURCE])
        while waiting:  # Bellman and Ford's search by a queue, as steps backwards cost -1
            state = waiting.popleft()
            for following, link, step in self._steps(state):
                if cost[state] + step < cost.get(following, math.inf):
                    cost[following] = cost[state] + step
                    came[following] = state, link
                    waiting.append(following)
        if _TARGET not in came:
            return None
        walk: list[int | None] = []
        state = _TARGET
        while state != _SOURCE:
            state, taken = came[state]
            walk.append(taken)
        return {link for link in walk if link is not None}

    @cached_property
    def _taken(self) -> set[int]:
        """The links of the routes so far."""
        return {link for route in self.routes for link in route}

    @cached_property
    def _doors(self) -> dict[int, list[int]]:
        """For every site beside the target the links that lead there."""
        found: dict[int, list[int]] = {}
        for site, link in self.graph.beside[self.target]:
            found.setdefault(site, []).append(link)
        return found

    @cached_property
    def _before(self) -> dict[int, tuple[int, int]]:
        """For every relay on a route the site before it, and the link from there."""
        found = {}
        for route in self.routes:
            at = self.source
            for link in route:
                found[self.graph.across(link, at)] = at, link
                at = self.graph.across(link, at)
        return found

    def _steps(self, state: int) -> Iterator[tuple[int, int | None, int]]:
        """Yield where a state leads to, by which link, and at what cost."""
        if state == _TARGET:
            return
        relay, at_exit = divmod(state, 2) if state != _SOURCE else (self.source, 1)
        if at_exit:
            if relay in self._before:
                yield 2 * relay, None, 0
            for link in self._doors.get(relay, ()):
                if link not in self._taken and self.usable(link):
                    yield _TARGET, link, 1
            for far, link in self.graph.relays_beside[relay]:
                onward = far not in (self.source, self.target) and link not in self._taken
                if onward and self.usable(link):
                    yield 2 * far, link, 1
        elif relay not in self._before:
            yield 2 * relay + 1, None, 0
        elif self._before[relay][0] != self.source:
            site, link = self._before[relay]
            yield 2 * site + 1, link, -1
