"""The bound against a program over every route that there is, and against the rules."""

import math

import numpy as np
import pytest
from scipy.optimize import linprog
from small_networks import every_route, graph_of, network_of, random_graph

from e91.network.bound import best_served, bottleneck, capacities
from e91.network.graph import Graph
from e91.network.rules import RULES, rule_named


def served_over_every_route(graph, pairs, wanted, capacity):
    """The same optimum with a variable for each route of each demand."""
    columns = [(d, way) for d, pair in enumerate(pairs) for way in every_route(graph, *pair)]
    if not columns:
        return 0.0
    rows = np.zeros((len(capacity) + len(pairs), len(columns)))
    for column, (demand, way) in enumerate(columns):
        rows[list(way), column] = 1
        rows[len(capacity) + demand, column] = 1
    found = linprog(-np.ones(len(columns)), A_ub=rows, b_ub=[*capacity, *wanted])
    return -found.fun


def cases(seed, count=40, demands=8):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        graph = random_graph(rng, relays=5, users=7, links=7)
        pairs = np.array([rng.choice(12, 2, replace=False) for _ in range(demands)])
        capacity = rng.choice([0.0, 300.0, 1000.0, 5000.0], len(graph.links)) + rng.random(
            len(graph.links)
        )
        yield graph, pairs, rng.uniform(10, 900, demands), capacity


def test_bound_is_the_optimum_over_every_route():
    limited = 0
    for graph, pairs, wanted, capacity in cases(1):
        bound = best_served(graph, pairs, wanted, capacity)
        best = served_over_every_route(graph, pairs, wanted, capacity)
        assert bound.served_bits_per_second == pytest.approx(best, rel=1e-7, abs=1e-5)
        assert bound.served_share == pytest.approx(best / wanted.sum(), rel=1e-7, abs=1e-8)
        limited += bound.served_share < 0.999
    assert limited > 10


def test_bound_of_one_pair_is_the_cut_that_limits_it():
    for graph, pairs, _, capacity in cases(2):
        cut = bottleneck(graph, *pairs[0], capacity)
        bound = best_served(graph, pairs[:1], np.array([1e6]), capacity)
        assert bound.served_bits_per_second == pytest.approx(cut.capacity, rel=1e-7, abs=1e-5)
        assert sum(capacity[graph.link_number[x]] for x in cut.links) == pytest.approx(cut.capacity)
        assert {name for name, _ in bound.prices} <= set(graph.links)


def test_price_is_what_one_more_bit_on_a_link_is_worth():
    graph = graph_of("A B C", "R S", "A-R R-S S-B C-S")
    pairs, wanted = np.array([[0, 1], [0, 2]]), np.array([80.0, 40.0])
    capacity = np.array([200.0, 90.0, 60.0, 50.0])
    bound = best_served(graph, pairs, wanted, capacity)
    assert bound.served_bits_per_second == pytest.approx(90.0)
    assert dict(bound.prices) == pytest.approx({"R-S": 1.0})
    capacity[1] = 91.0
    assert best_served(graph, pairs, wanted, capacity).served_bits_per_second == pytest.approx(91)


@pytest.mark.parametrize("rule", RULES)
def test_no_rule_serves_more_than_the_bound(rule):
    """Stores alone, spent request by request; the bound is on the same bits over the same time."""
    rng, short = np.random.default_rng(4), 0
    for graph, pairs, wanted, capacity in cases(4, count=15):
        stores = [int(bits) for bits in capacity]
        router = rule_named(rule)(graph, stores)
        keys = np.repeat(np.arange(len(pairs)), (wanted // 20).astype(int))
        served = 0
        for demand in rng.permutation(keys):
            path = router.find(*pairs[demand].tolist(), 20)
            for link in path or ():
                stores[link] -= 20
            served += 20 * (path is not None)
        asked = 20.0 * np.bincount(keys, minlength=len(pairs))
        best = best_served(graph, pairs, asked, [math.floor(x) for x in capacity])
        assert min(stores) >= 0
        assert served <= best.served_bits_per_second * (1 + 1e-9)
        short += served < 0.99 * best.served_bits_per_second
    assert rule != "fewest-hops" or short > 0


def test_store_counts_above_its_least_and_over_the_duration():
    graph = Graph.of(network_of("A B", "", "A-B A-B-2", least_store_bits=100))
    found = capacities(graph, [10.0, 0.0], stores=[600.0, 50.0], duration_s=100.0)
    assert found.tolist() == [15.0, 0.0]
    with pytest.raises(ValueError, match="`duration_s` must be finite and positive"):
        capacities(graph, [10.0], stores=[500.0], duration_s=0.0)


def test_users_do_not_relay_in_the_bound_either():
    graph = graph_of("A B C", "", "A-B B-C")
    bound = best_served(graph, np.array([[0, 2], [0, 1]]), np.array([5.0, 5.0]), [9.0, 9.0])
    assert bound.served_bits_per_second == pytest.approx(5.0)
    assert bottleneck(graph, 0, 2, [9.0, 9.0]).links == ()
    assert str(bottleneck(graph, 0, 2, [9.0, 9.0])) == "no route"


def test_nothing_asked_for_is_served_in_full():
    graph = graph_of("A B", "", "A-B")
    empty = best_served(graph, np.empty((0, 2), np.int64), np.empty(0), [1.0])
    assert (empty.served_share, empty.prices) == (1.0, ())


def test_bottleneck_names_the_links_of_the_cut():
    graph = graph_of("A B", "R S T", "A-R R-S-1 R-S-2 R-T T-S S-B")
    cut = bottleneck(graph, 0, 1, [100.0, 5.0, 6.0, 7.0, 50.0, 100.0])
    assert (cut.links, cut.capacity) == (("R-S-1", "R-S-2", "R-T"), 18.0)
    assert str(cut) == "R-S-1, R-S-2 and R-T"
