"""The network as integers: who relays, what the fewest hops are, what a route says of itself."""

import networkx as nx
import numpy as np
import pytest
from small_networks import graph_of, random_graph

from e91.model.trust import SecurityModel
from e91.network.graph import MOST_ROUTES, Graph
from e91.network.layout import LinkPlan, NetworkPlan, Quantity, Site, SiteKind

TRUSTED, INDEPENDENT = SecurityModel.TRUSTED_ANALYSERS, SecurityModel.DEVICE_INDEPENDENT


def paths(graph, source, target, up=None):
    """The candidates between two sites as links, access included."""
    found = graph.candidates(source, target, up=up or [True] * len(graph.links))
    return [
        graph.access[source][first] + links + graph.access[target][last]
        for first, links, last in found
    ]


def test_candidates_are_all_routes_of_fewest_hops():
    rng = np.random.default_rng(1)
    for _ in range(60):
        graph = random_graph(rng, homes=(1, 1))
        up = (rng.random(len(graph.links)) < 0.8).tolist()
        source, target = (int(site) for site in rng.choice(12, 2, replace=False))
        net = nx.MultiGraph()
        net.add_nodes_from((source, target))
        for link, ends in enumerate(graph.ends):
            access = graph.relays[ends[0]] != graph.relays[ends[1]]
            if all(graph.relays[x] or x in (source, target) for x in ends) and (up[link] or access):
                net.add_edge(*ends, key=link)
        hops = dict(nx.single_source_shortest_path_length(net, source)).get(target, 0)
        every = nx.all_simple_edge_paths(net, source, target, cutoff=hops) if hops else ()
        expected = {tuple(link for *_, link in edges) for edges in every}
        found = paths(graph, source, target, up)
        assert len(found) == len(set(found)) == min(MOST_ROUTES, len(expected))
        assert set(found) <= expected


def test_candidates_are_the_same_every_time_and_never_more_than_eight():
    middle = [f"M{i}" for i in range(12)]
    links = " ".join(f"R-{m} {m}-S" for m in middle)
    graph = graph_of("A B", " ".join(["R", "S", *middle]), f"A-R {links} S-B")
    found = paths(graph, 0, 1)
    assert found == paths(graph, 0, 1)
    assert found == [(0, 2 * i + 1, 2 * i + 2, 25) for i in range(MOST_ROUTES)]


def test_users_never_relay():
    graph = graph_of("A B C", "", "A-B B-C")
    assert paths(graph, 0, 2) == []
    assert paths(graph, 0, 1) == [(0,)]


def test_relay_may_be_an_end_and_ground_stations_relay():
    sites = [Site("A", SiteKind.STATION, 0, 0), Site("S", SiteKind.STATION, 0, 0)]
    sites += [Site("B", SiteKind.STATION, 0, 0)]
    km = Quantity(500.0, "km")
    links = tuple(LinkPlan(f"{a}-{b}", (a, b), "", km) for a, b in ("AS", "SB"))
    graph = Graph.of(NetworkPlan("sky", "Sky", "a test", sites=tuple(sites), links=links))
    assert paths(graph, 0, 2) == [(0, 1)]
    assert paths(graph, 0, 1) == [(0,)]


def test_user_with_two_homes_enters_by_the_nearer():
    graph = graph_of("A B", "R S T", "A-R A-S R-S S-T T-B")
    assert paths(graph, 0, 1) == [(1, 3, 4)]


@pytest.mark.parametrize(
    ("links", "sentence"),
    [
        ("A-R R-X", "Link `R-X` must join sites of the network, but `X` is none."),
        ("A-R R-R", "Link `R-R` must join two sites, but joins `R` to itself."),
    ],
)
def test_link_that_joins_no_two_sites_is_refused(links, sentence):
    with pytest.raises(ValueError, match=sentence):
        graph_of("A", "R", links)


def test_no_key_ends_at_an_optical_switch():
    sites = (Site("A", SiteKind.USER, 0, 0), Site("OS", SiteKind.SWITCH, 0, 0))
    link = LinkPlan("A-OS", ("A", "OS"), "", Quantity(1.0, "km"))
    with pytest.raises(ValueError, match="must end where a key can be kept, but `OS`"):
        Graph.of(NetworkPlan("s", "S", "a test", sites=sites, links=(link,)))


def test_route_names_its_relays_and_the_weakest_model():
    graph = graph_of("A B", "R S", "A-R R-S S-B")
    models = [INDEPENDENT, TRUSTED, INDEPENDENT]
    route = graph.route(0, 1, (0, 1, 2), stores=[9, 8, 7], models=models)
    assert route.links == (("A-R", "R-S", "S-B"),)
    assert route.trusts == (("R", "S"),)
    assert (route.weakest, route.bottleneck, route.hops) == (TRUSTED, "S-B", 3)
    assert str(route) == "A - R - S - B: R and S must be trusted with the key."
    assert graph.route(0, 1, (0, 1, 2), stores=[1] * 3, models=[None, *models[1:]]).weakest is None
    assert (
        graph.route(0, 1, (0, 1, 2), stores=[1] * 3, models=[INDEPENDENT] * 3).weakest
        is INDEPENDENT
    )


def test_epsilon_adds_up_over_distinct_blocks():
    graph = graph_of("A B", "R", "A-R R-B")
    blocks = [(0, 7, 1e-10), (0, 7, 1e-10), (0, 8, 1e-10), (1, 7, 3e-10)]
    route = graph.route(0, 1, (0, 1), stores=[1, 1], blocks=blocks)
    assert route.epsilon == pytest.approx(5e-10, rel=1e-12)


def test_strands_are_cut_where_the_target_is_reached():
    graph = graph_of("A B", "R S", "A-R A-S R-B S-B A-B")
    route = graph.route(0, 1, (4, 0, 2, 1, 3), stores=[5, 4, 3, 2, 1])
    assert route.trusts == ((), ("R",), ("S",))
    assert str(route) == "A - B and A - R - B and A - S - B: no relay knows the key."
    two = graph.route(0, 1, (0, 2, 1, 3), stores=[5, 4, 3, 2, 1])
    assert (
        str(two) == "A - R - B and A - S - B: one relay of every way together would know the key."
    )


def test_route_has_no_key_rate():
    graph = graph_of("A B", "", "A-B")
    route = graph.route(0, 1, (0,), stores=[1])
    assert not [name for name in dir(route) if "rate" in name or "second" in name]
