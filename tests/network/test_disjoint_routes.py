"""Routes without a common relay, against NetworkX's flows of least cost on the split graph."""

from dataclasses import replace

import networkx as nx
import numpy as np
import pytest
from small_networks import flowing, graph_of, jinan_like, network_of, random_graph

from e91.network import begin, check_plan
from e91.network.disjoint import check_disjoint, cut_relays, disjoint_routes
from e91.network.graph import Graph
from e91.network.layout import Call
from e91.network.rules import rule_named


def hops_by_flow(graph, source, target, count, usable):
    """Least hops of `count` routes, each relay passed once: a flow of least cost."""
    net = nx.DiGraph()
    net.add_node(("out", source), demand=-count)
    net.add_node(("in", target), demand=count)
    for site, relays in enumerate(graph.relays):
        if relays and site not in (source, target):
            net.add_edge(("in", site), ("out", site), capacity=1, weight=0)
    for link, ends in enumerate(graph.ends):
        inside = all(graph.relays[x] or x in (source, target) for x in ends)
        for one, other in (ends, ends[::-1]) if usable(link) and inside else ():
            if one != target and other != source:
                # A node on every link, so that parallel direct links stay two.
                net.add_edge(("out", one), (link, one), capacity=1, weight=1)
                net.add_edge((link, one), ("in", other), capacity=1, weight=0)
    try:
        return nx.min_cost_flow_cost(net)
    except nx.NetworkXUnfeasible:
        return None


@pytest.mark.parametrize(("count", "relays", "links"), [(1, 6, 14), (2, 12, 24), (3, 6, 14)])
def test_routes_share_no_relay_and_have_the_fewest_hops(count, relays, links):
    rng, found_some = np.random.default_rng(count), 0
    for _ in range(120):
        graph = random_graph(rng, relays=relays, links=links, homes=(1, 2, 3))
        stores = rng.integers(0, 10, len(graph.links)).tolist()
        source, target = (int(site) for site in rng.choice(6 + relays, 2, replace=False))
        usable = {link for link, store in enumerate(stores) if store > 1}.__contains__
        found = disjoint_routes(graph, source, target, count=count, usable=usable)
        best = hops_by_flow(graph, source, target, count, usable)
        assert (None if found is None else sum(map(len, found))) == best
        if found is not None:
            found_some += 1
            ways = graph.route(source, target, sum(found, ()), stores=stores).trusts
            passed = [relay for way in ways for relay in way]
            assert len(passed) == len(set(passed))
            assert graph.strands(source, target, sum(found, ())) == found
            assert all(usable(link) for way in found for link in way)
    assert found_some > 10


def test_as_many_routes_as_relays_in_the_way():
    rng = np.random.default_rng(9)
    for _ in range(40):
        graph = random_graph(rng, links=14, homes=(1, 2, 3))
        source, target = (int(site) for site in rng.choice(12, 2, replace=False))
        direct = sum(set(ends) == {source, target} for ends in graph.ends)
        most = len(cut_relays(graph, source, target)) + direct
        every = lambda _: True  # noqa: E731
        assert disjoint_routes(graph, source, target, count=most + 1, usable=every) is None
        assert most == 0 or disjoint_routes(graph, source, target, count=most, usable=every)


def test_second_route_turns_the_first_one_away():
    """The shortest route passes both R and T, over one link or two, and no second one avoids it."""
    graph = graph_of("A B", "R T U V W X", "A-R R-T T-B A-U U-V V-T R-W W-X X-B")
    found = disjoint_routes(graph, 0, 1, count=2, usable=lambda _: True)
    assert found == ((0, 6, 7, 8), (3, 4, 5, 2))
    links = "A-R R-S S-T T-B A-U U-V V-Y Y-T R-W W-X X-Z Z-B"
    graph = graph_of("A B", "R S T U V W X Y Z", links)
    found = disjoint_routes(graph, 0, 1, count=2, usable=lambda _: True)
    assert found == ((0, 8, 9, 10, 11), (4, 5, 6, 7, 3))


@pytest.mark.parametrize(
    ("users", "relays", "links", "count", "sentence"),
    [
        ("A B", "R S", "A-R R-S S-B", 2, "but every route passes R and S."),
        ("A B", "R S T", "A-R A-S R-T S-T T-B", 2, "but every route passes T."),
        ("A B", "R S", "A-R A-S R-B S-B", 3, "but every route passes R or S."),
        ("A B", "R", "A-R R-B A-B", 3, "but every other route passes R."),
        ("A B", "R", "A-R", 2, "but there are 0 in all."),
        ("A B", "R", "A-B", 2, "but there are 1 in all."),
    ],
)
def test_too_few_routes_are_refused_by_naming_what_they_all_pass(
    users, relays, links, count, sentence
):
    graph = graph_of(users, relays, links)
    with pytest.raises(ValueError, match=sentence):
        check_disjoint(graph, 0, 1, count=count)


def test_rule_refuses_users_with_one_home():
    graph = Graph.of(jinan_like(users=16))
    router = rule_named("disjoint=2")(graph, [1000] * len(graph.links))
    with pytest.raises(
        ValueError, match="must join `U0` and `U1`, but every route passes R0 and R1"
    ):
        router.check(0, 1)
    assert router.find(0, 1, 1) is None


def shared_between(links, *, users="A B C", demand=None, **given):
    """Begin a network whose users want keys in two shares."""
    plan = network_of(users, "R S T", links)
    plan = flowing(plan, dict.fromkeys(links.split(), 1e3))
    begin(plan if demand is None else replace(plan, demand=demand), disjoint=2, **given).close()


def test_run_in_shares_is_refused_if_some_users_have_too_few_routes():
    two_homes = "A-R A-S B-R B-S R-S S-T R-T"
    with pytest.raises(ValueError, match="join `A` and `C`, but every route passes T"):
        shared_between(f"{two_homes} C-T")
    shared_between(f"{two_homes} C-T C-S")
    shared_between(f"{two_homes} C-T", demand=(Call("A", "B", 10.0),))
    with pytest.raises(ValueError, match="join `C` and `A`, but every route passes T"):
        shared_between(f"{two_homes} C-T", demand=(Call("C", "A", 10.0),))


def test_plan_whose_own_rule_has_too_few_routes_is_refused():
    plan = flowing(network_of("A B", "R", "A-R B-R"), {"A-R": 1e3, "B-R": 1e3})
    check_plan(plan)
    with pytest.raises(ValueError, match="join `A` and `B`, but every route passes R"):
        check_plan(replace(plan, rule="disjoint=2"))


def test_users_of_the_same_home_are_checked_among_themselves():
    with pytest.raises(ValueError, match="join `A` and `B`, but every route passes R"):
        shared_between("A-R B-R", users="A B")
    shared_between("A-R B-R A-S B-S", users="A B")


def test_rule_beside_shares_is_refused():
    with pytest.raises(ValueError, match="`rule` must not be given with `disjoint`"):
        shared_between("A-R A-S B-R B-S C-R C-S", rule="widest")


@pytest.mark.parametrize("count", [2, 4, 7])
def test_as_many_shares_as_there_are_ways_and_no_more(count):
    relays = [f"R{number}" for number in range(count)]
    links = " ".join(f"A-{relay} B-{relay}" for relay in relays)
    plan = flowing(network_of("A B", " ".join(relays), links), dict.fromkeys(links.split(), 1e3))
    plan = replace(plan, demand=(Call("A", "B", 10.0),))
    simulation = begin(plan, disjoint=count)
    simulation.advance(60.0)
    done = simulation.history.delivered
    assert (done.served > 0, done.hops) == (True, 2 * count * done.served)
    simulation.close()
    cut = f"every route passes {', '.join(relays[:-1])} or {relays[-1]}"
    with pytest.raises(ValueError, match=f"{count + 1} routes .* join `A` and `B`, but {cut}"):
        begin(plan, disjoint=count + 1)


@pytest.mark.parametrize("name", ["disjoint=1", "disjoint=0", "disjoint=", "disjoint=2.5"])
def test_fewer_than_two_shares_are_no_rule(name):
    with pytest.raises(
        ValueError, match=r"or disjoint=k with k of 2 or more, but is `disjoint=.*`"
    ):
        rule_named(name)


def test_rule_keeps_its_routes_and_goes_around_an_empty_link():
    graph = graph_of("A B", "R S T", "A-R A-S R-B S-B S-T T-B")
    stores = [100] * 6
    router = rule_named("disjoint=2")(graph, stores)
    assert router.find(0, 1, 10) == (0, 2, 1, 3)
    assert router.find(0, 1, 10) == (0, 2, 1, 3)
    stores[3] = 5
    assert router.find(0, 1, 10) == (0, 2, 1, 4, 5)
    stores[3] = 10
    assert router.find(0, 1, 10) == (0, 2, 1, 3)
    router.switch(0, up=False)
    assert router.find(0, 1, 10) is None
