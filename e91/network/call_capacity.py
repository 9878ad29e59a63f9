"""How many calls under one-time pad a network carries at once, by its links' average rates.

Nothing is simulated: a link gives the key rate that its light, or its paper, has on average, and
calls are steady flows.  A receiver that links share divides its time among them as is best.  What
stores hold at the start is left out, so this is what a network carries for good.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from e91.encryption.key_needs import MEDIA, Medium
from e91.model.numbers import Floats
from e91.network.bound import Supply, best_served
from e91.network.graph import Graph
from e91.network.layout import NetworkPlan
from e91.network.link_life import LinkLife
from e91.network.network_run import lives_of

_MOST_STEPS = 60  # of a search for the largest demand; it takes less than ten
_ALL = 1 - 1e-6


@dataclass(frozen=True)
class CarriedCalls:
    """What a network can give to calls.

    Attributes:
        name: Of the network.
        pairs: Pairs of users.
        best_pair_bits_per_second: What the pair of users that is joined best can exchange while no
            other does, over all routes; no less than that where users have several links to
            receivers that are shared.
        worst_pair_bits_per_second: The same of the pair that is joined worst.
        even_bits_per_second: What all pairs together can exchange if all get as much.

    Examples:
        >>> found = CarriedCalls("three", 3, 2000.0, 1000.0, 2400.0)
        >>> found.even_bits_per_second / found.pairs
        800.0
    """

    name: str
    pairs: int
    best_pair_bits_per_second: float
    worst_pair_bits_per_second: float
    even_bits_per_second: float

    def calls_at_once(self, medium: Medium) -> int:
        """Return how many calls are carried at once if calls fall evenly on all pairs.

        Both directions are counted.  It is an average over who calls whom: that many calls that
        all pass one link may not be carried.  None are if not even one pair alone can make one.

        Args:
            medium: What a call carries: speech, music or video.
        """
        if medium.call_bits_per_second > self.best_pair_bits_per_second:
            return 0
        return math.floor(self.even_bits_per_second / medium.call_bits_per_second)

    def best_medium(self) -> Medium | None:
        """Return the richest medium that the pair that is joined best can use; None if none."""
        found = [
            medium
            for medium in MEDIA.values()
            if medium.call_bits_per_second <= self.best_pair_bits_per_second
        ]
        return found[-1] if found else None


def carried_calls(plan: NetworkPlan) -> CarriedCalls:
    """Return what a network can give to calls between its users.

    Args:
        plan: The network, in the weather of its beginning; links of satellites give nothing here.

    Returns:
        Key rates in bits per second, of one pair of users alone and of all pairs alike.

    Raises:
        ValueError: It has fewer than two users.

    Examples:
        >>> from e91.network import load
        >>> found = carried_calls(load("tokyo-2010"))
        >>> found.pairs, round(found.best_pair_bits_per_second)
        (1, 4100)
    """
    if len(plan.users) < 2:
        raise ValueError(f"A network must have two users or more, but has {len(plan.users)}.")
    graph, supply = Graph.of(plan), average_supply(plan)
    users = np.array([graph.site_number[user.name] for user in plan.users])
    one, other = np.triu_indices(len(users), k=1)
    pairs = np.stack([users[one], users[other]], axis=1)
    alone = _PairsAlone(graph, supply)
    rates = [alone.capacity(a, b) for a, b in pairs.tolist()]
    even = _even(graph, pairs, supply=supply) if max(rates) > 0 else 0.0
    return CarriedCalls(plan.name, len(pairs), max(rates), min(rates), even)


def average_supply(plan: NetworkPlan) -> Supply:
    """Return what links make on average while their receiver serves no other, and who shares one.

    It is the closed form of the block's length by which a run's report says what a link is expected
    to make, over the mean time that a block takes.
    """
    lives, switch_s, shared = lives_of(plan, seed=0), np.zeros(len(plan.links)), []
    for receiver in plan.receivers:
        links = [number for number, link in enumerate(plan.links) if link.receiver == receiver.name]
        if len(links) > 1:
            shared.append(tuple(links))
            switch_s[links] = receiver.switch_s
    made = np.array([_made(life, switch_s[life.index]) for life in lives])
    return Supply(stored=np.zeros(len(made)), made=made, shared=tuple(shared))


def _made(life: LinkLife, switch_s: float) -> float:
    if life.light is None or life.quality is None:
        return life.bits_per_second
    per_second = life.quality.per_second
    if not per_second > 0:
        return 0.0
    return life.expected_bits / (life.light.block_rounds / per_second + switch_s)


@dataclass(eq=False)
class _PairsAlone:
    """What two sites can exchange while no others do; cuts between relays are made once.

    Attributes:
        graph: The network.
        supply: What its links make.
    """

    graph: Graph
    supply: Supply
    _between: dict[tuple[int, int], float] = field(default_factory=dict)

    def capacity(self, one: int, other: int) -> float:
        """Return bits a second over all routes together."""
        homes = [self._only_home(site) for site in (one, other)]
        if (one, other) in self.graph.direct or None in homes:
            return self._cut(one, other)
        (first, here), (last, there) = homes  # type: ignore[misc]  # neither is None
        made = self.supply.made[[here, there]].tolist()
        ends: float = min(made)
        if any({here, there} <= set(links) for links in self.supply.shared) and ends > 0:
            ends = float(1 / (1 / made[0] + 1 / made[1]))  # one receiver, in turns
        return ends if first == last else min(ends, self._relayed(*sorted((first, last))))

    def _only_home(self, site: int) -> tuple[int, int] | None:
        """Return the relay of a user with one link, and the link; None of any other site."""
        beside = self.graph.beside[site]
        is_simple = len(beside) == 1 and not self.graph.relays[site]
        return beside[0] if is_simple and self.graph.relays[beside[0][0]] else None

    def _relayed(self, first: int, last: int) -> float:
        key = (first, last)
        if key not in self._between:
            self._between[key] = self._cut(first, last)
        return self._between[key]

    def _cut(self, one: int, other: int) -> float:
        """Return the capacity of the least cut, as `e91.network.bound.bottleneck` finds it."""
        net, graph = self._relays.copy(), self.graph
        net.add_nodes_from((one, other))
        links = {
            link
            for site in (one, other)
            for neighbour, link in graph.beside[site]
            if graph.relays[neighbour] or neighbour in (one, other)
        }
        _add_links(net, graph, links.difference(graph.between_relays), made=self.supply.made)
        return float(nx.minimum_cut_value(net, one, other))

    @cached_property
    def _relays(self) -> nx.Graph:
        net = nx.Graph()
        _add_links(net, self.graph, self.graph.between_relays, made=self.supply.made)
        return net


def _add_links(net: nx.Graph, graph: Graph, links: Iterable[int], *, made: Floats) -> None:
    """Add links, those between the same two sites as one."""
    for link in links:
        before = net.get_edge_data(*graph.ends[link], {"capacity": 0.0})["capacity"]
        net.add_edge(*graph.ends[link], capacity=before + float(made[link]))


def _even(graph: Graph, pairs: NDArray[np.intp], *, supply: Supply) -> float:
    """Return the most that all pairs together get if each gets the same, bits a second.

    It is the largest steady demand that the linear program of `best_served` serves wholly.  What is
    served of a demand is a concave function of it, below its tangents: where they meet the demand
    itself, the largest one is approached from above, in a few steps (Newton's method).
    """
    demand, found = float(supply.made.sum()), 0.0
    for _ in range(_MOST_STEPS):
        wanted = np.full(len(pairs), demand / len(pairs))
        bound = best_served(graph, pairs, wanted, supply)
        found = bound.served_bits_per_second
        if bound.served_share >= _ALL:
            break
        fixed = bound.fixed_bits_per_second
        demand = fixed / (1 - (found - fixed) / demand)
    return found
