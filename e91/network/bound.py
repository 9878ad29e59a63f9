"""The most that any routing could carry, and the links that stand in its way.

A demand is a steady flow here and a link a steady capacity, so that the best routing is a linear
program.  A rule that sees one request after the other, and keys in whole blocks, stays below.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, product

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import coo_array

from e91.model.numbers import Floats
from e91.network.graph import Graph, listed


@dataclass(frozen=True)
class Bottleneck:
    """The links that limit what two sites can exchange over all routes together.

    Attributes:
        links: Their names; none if no route joins the sites.
        capacity: What they carry in sum, in the unit that was given.

    Examples:
        >>> Bottleneck(("A-R", "A-S"), capacity=3000.0).links
        ('A-R', 'A-S')
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
        fixed_bits_per_second: The part of what is served that these links set: it stays as the
            demand of all pairs grows in proportion, while the rest of what is served grows too.

    Examples:
        >>> Bound(served_share=0.5, served_bits_per_second=4000.0, prices=(("A-R", 1.0),)).prices[0]
        ('A-R', 1.0)
    """

    served_share: float
    served_bits_per_second: float
    prices: tuple[tuple[str, float], ...]
    fixed_bits_per_second: float = 0.0


@dataclass(frozen=True, eq=False)
class Supply:
    """What the links of a network can give on average over some time.

    Attributes:
        stored: Bits a second that each link's store adds: what is in it at the start above its
            least store, over the time; shape (links,).
        made: Bits a second that each link makes while its receiver serves no other; shape (links,).
        shared: The links of every receiver that serves several, one after the other.

    Examples:
        Two links of one receiver, which serves either of them half of the time:

        >>> supply = Supply(np.array([0.0, 100.0]), np.array([2000.0, 1000.0]), shared=((0, 1),))
        >>> supply.capacity.tolist(), supply.receivers
        ([2000.0, 1100.0], ((0, 1),))
    """

    stored: Floats
    made: Floats
    shared: tuple[tuple[int, ...], ...] = ()

    @property
    def capacity(self) -> Floats:
        """Bits a second that each link can give if its receiver serves no other."""
        return self.stored + self.made

    @property
    def receivers(self) -> tuple[tuple[int, ...], ...]:
        """The links of every receiver."""
        shared = {link for links in self.shared for link in links}
        return (*self.shared, *((x,) for x in range(len(self.made)) if x not in shared))


def bottleneck(graph: Graph, source: int, target: int, capacity: Sequence[float]) -> Bottleneck:
    """Return the links that limit two sites most: a cut of least capacity.

    Args:
        graph: The network.
        source: Number of a site.
        target: Number of another.
        capacity: Of every link, not negative; that of `Supply`, for instance.

    Returns:
        The links of the cut and what they carry in sum.

    Examples:
        >>> from e91.network import load
        >>> graph = Graph.of(load("cambridge-2019"))
        >>> graph.sites, graph.links
        (('CAPE', 'TREL', 'ENGI'), ('CAPE-TREL', 'TREL-ENGI', 'ENGI-CAPE'))
        >>> bottleneck(graph, 0, 1, [3000.0, 1000.0, 2000.0])
        Bottleneck(links=('CAPE-TREL', 'TREL-ENGI'), capacity=4000.0)
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


def best_served(graph: Graph, pairs: NDArray[np.intp], wanted: Floats, supply: Supply) -> Bound:
    """Return the most of a steady demand that any routing can serve, each key on one route.

    It is the largest sum, not a fair one: short routes win where links are scarce.  Receivers that
    are shared divide their time as is best for it.

    Args:
        graph: The network.
        pairs: Numbers of the two sites of every demand; shape (n, 2).
        wanted: Bits a second that it asks for; shape (n,).
        supply: What the links can give.

    Returns:
        The share of the demand that is served, and the links that limit it.

    Source:
        Maximum multicommodity flow: Ahuja, Magnanti, Orlin, Network Flows (1993), chapter 17 (from
        memory); demands of one origin relay are one commodity.  Solved by HiGHS.

    Examples:
        >>> from e91.network import load
        >>> graph = Graph.of(load("cambridge-2019"))
        >>> supply = Supply(stored=np.zeros(3), made=np.array([3000.0, 1000.0, 2000.0]))
        >>> best_served(graph, np.array([[0, 1]]), np.array([8000.0]), supply).served_share
        0.5
    """
    load = np.bincount(pairs.ravel(), np.repeat(wanted, 2), minlength=len(graph.sites))
    narrow = _narrow(graph, load.astype(float), supply)
    free = [narrow.isdisjoint(chain(*paths)) for paths in graph.access]
    program = _Program(graph, free)
    for one, other, bits in _merged(graph, free, pairs, wanted):
        program.add(one, other, bits)
    served, prices, fixed = program.solve(supply)
    total = float(np.sum(wanted))
    dear = sorted((-price, link) for link, price in enumerate(prices.tolist()) if price > 1e-9)
    return Bound(
        served_share=min(1.0, served / total) if total else 1.0,
        served_bits_per_second=served,
        prices=tuple((graph.links[link], -price) for price, link in dear),
        fixed_bits_per_second=fixed,
    )


def _narrow(graph: Graph, load: Floats, supply: Supply) -> set[int]:
    """Links that may lack bits even if they serve nothing but the demand of a user at their end."""
    users = np.array([[not graph.relays[end] for end in ends] for ends in graph.ends])
    most = np.where(users, load[np.array(graph.ends)], np.inf).min(axis=1)
    more, never = np.maximum(most - supply.stored, 0), np.where(most > supply.stored, np.inf, 0)
    part = np.divide(more, supply.made, out=never, where=supply.made > 0)  # of a receiver's time
    return {link for links in supply.receivers if part[list(links)].sum() > 1 for link in links}


def _merged(
    graph: Graph, free: list[bool], pairs: NDArray[np.intp], wanted: Floats
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

    Rows below a limit are the links, then the demands that may be served in several ways and the
    time of shared receivers.  Rows that are zero keep, for every origin relay and every relay, what
    flows in and out and begins there.
    """

    graph: Graph
    free: list[bool]
    most: list[float] = field(default_factory=list)  # of every column
    limits: list[float] = field(default_factory=list)  # of the rows after those of the links
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

    def solve(self, supply: Supply) -> tuple[float, Floats, float]:
        """Return the most that is served, the price of every link, and what is fixed of the first.

        By duality the most is the sum of all limits by their prices.  Fixed are those that no
        demand sets: of links and of receivers.
        """
        served, links = len(self.most), len(supply.made)
        if not served:
            return 0.0, np.zeros(links), 0.0
        demands = len(self.limits)
        self._let_flow()
        limits = [*self._divide_receivers(supply), *self.limits]
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
        prices, most = -found.ineqlin.marginals, np.array(self.most[served:])
        fixed = np.dot(limits, prices) - np.dot(limits[links:][:demands], prices[links:][:demands])
        made = np.isfinite(most)
        fixed -= np.dot(most[made], found.upper.marginals[served:][made])
        return -float(found.fun), prices[:links], float(fixed)

    def _let_flow(self) -> None:
        """Let the keys of every origin relay flow over every link between relays, either way."""
        for origin in sorted({row // len(self.graph.sites) for row, _, _ in self.zero}):
            for link in self.graph.between_relays:
                for here, there in (self.graph.ends[link], self.graph.ends[link][::-1]):
                    column = self._column(math.inf)
                    self.below.append((link, column, 1.0))
                    self.zero.append((self._balance(origin, here), column, 1.0))
                    self.zero.append((self._balance(origin, there), column, -1.0))

    def _divide_receivers(self, supply: Supply) -> list[float]:
        """Let shared receivers divide their time, and return the limits of the links."""
        limits: list[float] = supply.capacity.tolist()
        for links in supply.shared:
            row = len(self.graph.links) + len(self.limits)
            self.limits.append(1.0)
            for link in links:
                made = float(supply.made[link])
                limits[link] = float(supply.stored[link])
                if made > 0:
                    column = self._column(made)
                    self.below += [(link, column, -1.0), (row, column, 1 / made)]
        return limits

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
