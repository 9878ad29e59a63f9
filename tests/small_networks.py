"""Networks for tests, written in a line."""

from dataclasses import replace

import networkx as nx

from e91.network.graph import Graph
from e91.network.layout import (
    Light,
    LinkPlan,
    NetworkPlan,
    Quantity,
    RateMode,
    Requests,
    SharedReceiver,
    Site,
    SiteKind,
)
from e91.optics import ContinuousSource, Detector


def network_of(users, relays, links, *, least_store_bits=0):
    """Return the plan of a network.

    Args:
        users: Names, separated by blanks.
        relays: The same.
        links: Their ends, as in ``"A-R R-B"``; a third part makes a parallel link: ``"A-R-2"``.
        least_store_bits: Of every link.
    """
    kinds = {**dict.fromkeys(users.split(), SiteKind.USER)}
    kinds |= dict.fromkeys(relays.split(), SiteKind.RELAY)
    km = Quantity(10.0, "km", assumed=True)
    return NetworkPlan(
        name="small",
        title="A small network",
        reference="a test",
        sites=tuple(Site(name, kind, 0.0, 0.0) for name, kind in kinds.items()),
        links=tuple(
            LinkPlan(name, tuple(name.split("-")[:2]), "", km, least_store_bits=least_store_bits)
            for name in links.split()
        ),
    )


def graph_of(users, relays, links):
    return Graph.of(network_of(users, relays, links))


def random_graph(rng, *, users=6, relays=6, links=9, homes=(1, 2)):
    """Return a graph of relays joined at random, users on some of them, and two direct links."""
    joined = [rng.choice(relays, 2, replace=False) for _ in range(links)]
    parts = [f"R{a}-R{b}-{i}" for i, (a, b) in enumerate(joined)]
    for user in range(users):
        chosen = rng.choice(relays, rng.choice(homes))  # perhaps one relay twice
        parts += [f"U{user}-R{home}-{i}" for i, home in enumerate(chosen)]
    parts += ["U0-U1", "U0-U1-again"]
    names = " ".join(f"R{i}" for i in range(relays))
    return graph_of(" ".join(f"U{i}" for i in range(users)), names, " ".join(parts))


def jinan_like(users=200, relays=8, chords=4):
    """Return a ring of relays with chords and users in turn on every relay."""
    ring = [f"R{i}-R{(i + 1) % relays}" for i in range(relays)]
    across = [f"R{i}-R{i + relays // 2}" for i in range(chords)]
    homes = [f"U{i}-R{i % relays}" for i in range(users)]
    return network_of(
        " ".join(f"U{i}" for i in range(users)),
        " ".join(f"R{i}" for i in range(relays)),
        " ".join(ring + across + homes),
    )


def lit(plan, *, keys_per_second=100.0, shared="", **changes):
    """Return a network whose links have light of their own, in blocks of a tenth of a second.

    Args:
        plan: Of `network_of`.
        keys_per_second: Requests at random between all users.
        shared: Names of links that share one receiver.
        changes: Other fields of the plan.
    """
    source = ContinuousSource(1.7e7, coherence_time_s=4.4e-12, bandwidth_nm=0.8)
    fast = Detector(0.8, 100.0, dead_time_s=30e-9, jitter_fwhm_s=60e-12)
    light = Light(
        "fast",
        source,
        250e-12,
        (fast, fast),
        block_rounds=2**17,
        revealed_fraction=0.1,
        alice_probabilities=(0.15, 0.15, 0.7),
        bob_probabilities=(0.15, 0.7, 0.15),
    )
    links = tuple(
        replace(link, light="fast", receiver="one" if link.name in shared.split() else None)
        for link in plan.links
    )
    given = {"store_s": 0.5, "store_limit_s": 1.0, "patience_s": 0.5} | changes
    return replace(
        plan,
        links=links,
        lights=(light,),
        receivers=(SharedReceiver("one", 0.01),) if shared else (),
        demand=(Requests(keys_per_second, within_sector=0.0),),
        **given,
    )


def every_route(graph, source, target):
    """All routes without a circle, users relaying for nobody, written out with NetworkX."""
    net = nx.MultiGraph()
    net.add_nodes_from((source, target))
    for link, (one, other) in enumerate(graph.ends):
        if all(graph.relays[end] or end in (source, target) for end in (one, other)):
            net.add_edge(one, other, key=link)
    return [
        tuple(link for *_, link in edges) for edges in nx.all_simple_edge_paths(net, source, target)
    ]


def flowing(plan, rates, *, store_bits=0, keys_per_second=1.0, **changes):
    """Return a network whose links have these key rates by name, as if they were published."""
    links = tuple(
        replace(link, bits_per_second=Quantity(rates[link.name], "bit/s"), store_bits=store_bits)
        for link in plan.links
    )
    demand = (Requests(keys_per_second, within_sector=0.0),)
    return replace(plan, links=links, **{"rate": RateMode.PUBLISHED, "demand": demand} | changes)
