"""The most that any routing could carry, and the links that stand in its way.

A demand is a steady flow here and a link a steady capacity, so that the best routing is a linear
program.  A rule that sees one request after the other, and keys in whole blocks, stays below.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import coo_array

from e91.model.numbers import Floats, check_positive
from e91.network.graph import Graph, listed


@dataclass(frozen=True)
class Bottleneck:
    """The links that limit what two sites can exchange over all routes together.

    Attributes:
        links: Their names; none if no route joins the sites.
        capacity: What they carry in sum, in the unit that was given.
    """

    links: tuple[str, ...]
    capacity: float

    def __str__(self) -> str:
        return listed(self.links, "and") if self.links else "no route"


@dataclass(frozen=True)
class Bound:
    """What the best routing serves of a demand.

    Attributes:
        served_share: Of the bits asked for; 1 if none are.
        served_bits_per_second: In sum over all pairs.
        prices: The links that limit it, each with the further bits that would be served for one
            bit more on it, the dearest first.
    """

    served_share: float
    served_bits_per_second: float
    prices: tuple[tuple[str, float], ...]


def capacities(
    graph: Graph, bits_per_second: Sequence[float], *, stores: Sequence[float], duration_s: float
) -> Floats:
    """Return what every link can give on average over a time, its store included.

    Args:
        graph: The network.
        bits_per_second: Of every link.
        stores: Bits in the store of every link at the start; its least store cannot be used.
        duration_s: The time.
    """
    check_positive(duration_s=duration_s)
    usable = np.maximum(np.asarray(stores, float) - graph.least_stores, 0)
    return np.asarray(bits_per_second, float) + usable / duration_s


def bottleneck(graph: Graph, source: int, target: int, capacity: Sequence[float]) -> Bottleneck:
    """Return the links that limit two sites most: a cut of least capacity.

    Args:
        graph: The network.
        source: Number of a site.
        target: Number of another.
        capacity: Of every link, not negative.
    """
    net, inside = nx.Graph(), {source, target}
    net.add_nodes_from(inside)
    for link, ends in enumerate(graph.ends):
        if all(graph.relays[end] or end in inside for end in ends):
            before = net.get_edge_data(*ends, {"capacity": 0.0})["capacity"]
            net.add_edge(*ends, capacity=before + float(capacity[link]))
    most, (near, _) = nx.minimum_cut(net, source, target)
    links = [x for x, (one, other) in enumerate(graph.ends) if net.has_edge(one, other)]
    cut = [link for link in links if (graph.ends[link][0] in near) != (graph.ends[link][1] in near)]
    return Bottleneck(tuple(graph.links[link] for link in cut), float(most))


def best_served(
    graph: Graph, pairs: NDArray[np.int64], wanted: Floats, capacity: Sequence[float]
) -> Bound:
    """Return the most of a demand that any routing can serve, each key on one route.

    It is the largest sum, not a fair one: short routes win where links are scarce.

    Args:
        graph: The network.
        pairs: Numbers of the two sites of every demand; shape (n, 2).
        wanted: Bits a second that it asks for; shape (n,).
        capacity: Bits a second of every link, as `capacities` gives them; shape (links,).

    Source:
        Maximum multicommodity flow: Ahuja, Magnanti, Orlin, Network Flows (1993), chapter 17 (from
        memory); demands of one origin relay are one commodity.  Solved by HiGHS.
    """
    limit = np.asarray(capacity, float)
    load = np.bincount(pairs.ravel(), np.repeat(wanted, 2), minlength=len(graph.sites))
    # No access link of such a site can ever be full, however its demand is served.
    free = [
        all(limit[link] >= load[site] for path in paths for link in path)
        for site, paths in enumerate(graph.access)
    ]
    program = _Program(graph, free)
    for one, other, bits in _merged(graph, free, pairs, wanted):
        program.add(one, other, bits)
    served, prices = program.solve(limit)
    total = float(np.sum(wanted))
    dear = sorted((-price, link) for link, price in enumerate(prices.tolist()) if price > 1e-9)
    return Bound(
        served_share=served / total if total else 1.0,
        served_bits_per_second=served,
        prices=tuple((graph.links[link], -price) for price, link in dear),
    )


def _merged(
    graph: Graph, free: list[bool], pairs: NDArray[np.int64], wanted: Floats
) -> Iterator[tuple[int, int, float]]:
    """Yield the demand with one site in place of all free ones that have the same homes."""
    first: dict[int, int] = {}
    stand = np.array(
        [first.setdefault(graph.group[x], x) if free[x] else x for x in range(len(free))]
    )
    ends = np.sort(stand[pairs], axis=1)
    keys, place = np.unique(ends[:, 0] * len(stand) + ends[:, 1], return_inverse=True)
    for key, bits in zip(keys.tolist(), np.bincount(place, wanted).tolist(), strict=True):
        one, other = divmod(key, len(stand))
        yield one, other, bits


@dataclass
class _Program:
    """The linear program, a column for every way to serve a demand and for every flow on a link.

    Rows below a limit are the links, and the demands that may be served in several ways.  Rows
    that are zero keep, for every origin relay and every relay, what flows in, out and begins there.
    """

    graph: Graph
    free: list[bool]
    most: list[float] = field(default_factory=list)  # of every column
    limits: list[float] = field(default_factory=list)  # of the demands of several ways
    below: list[tuple[int, int, float]] = field(default_factory=list)  # (row, column, factor)
    zero: list[tuple[int, int, float]] = field(default_factory=list)

    def add(self, one: int, other: int, bits: float) -> None:
        """Add a demand between two sites."""
        begin = len(self.most)
        for link in self.graph.direct.get((one, other), ()):
            self.below.append((link, self._column(bits), 1.0))
        for (first, entry), (last, leaving) in product(
            self.graph.homes[one], self.graph.homes[other]
        ):
            column = self._column(bits)
            for site, links in ((one, entry), (other, leaving)):
                if not self.free[site]:
                    self.below += [(link, column, 1.0) for link in links]
            if first != last:
                origin, end = sorted((first, last))
                self.zero.append((self._balance(origin, origin), column, -1.0))
                self.zero.append((self._balance(origin, end), column, 1.0))
        columns = range(begin, len(self.most))
        if len(columns) > 1:
            row = len(self.graph.links) + len(self.limits)
            self.below += [(row, column, 1.0) for column in columns]
            self.limits.append(bits)

    def solve(self, capacity: Floats) -> tuple[float, Floats]:
        """Return the most that is served, and the price of every link."""
        served = len(self.most)
        sites = len(self.graph.sites)
        for origin in sorted({row // sites for row, _, _ in self.zero}):
            for link in self.graph.between_relays:
                for here, there in (self.graph.ends[link], self.graph.ends[link][::-1]):
                    column = self._column(math.inf)
                    self.below.append((link, column, 1.0))
                    self.zero.append((self._balance(origin, here), column, 1.0))
                    self.zero.append((self._balance(origin, there), column, -1.0))
        if not served:
            return 0.0, np.zeros(len(capacity))
        limits = [*capacity, *self.limits]
        balance = _matrix(self.zero, len(self.most))
        found = linprog(  # type: ignore[call-overload]  # its stubs know no sparse matrices
            -(np.arange(len(self.most)) < served).astype(float),
            A_ub=_matrix(self.below, len(self.most), rows=len(limits)),
            b_ub=limits,
            A_eq=balance,
            b_eq=np.zeros(balance.shape[0]),
            bounds=[(0.0, most) for most in self.most],
            method="highs",
        )
        return -float(found.fun), -found.ineqlin.marginals[: len(capacity)]

    def _column(self, most: float) -> int:
        self.most.append(most)
        return len(self.most) - 1

    def _balance(self, origin: int, relay: int) -> int:
        return origin * len(self.graph.sites) + relay


def _matrix(
    entries: list[tuple[int, int, float]], columns: int, *, rows: int | None = None
) -> coo_array:
    """The entries as a matrix; without a number of rows, of the rows that occur."""
    row, column, factor = np.array(entries, float).reshape(-1, 3).T
    if rows is None:
        kept, row = np.unique(row, return_inverse=True)
        rows = len(kept)
    place = row.astype(np.int64), column.astype(np.int64)
    return coo_array((factor, place), shape=(rows, columns))
