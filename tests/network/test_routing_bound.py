"""The bound against a program over every route that there is, and against the rules."""

import math

import numpy as np
import pytest
from scipy.optimize import linprog
from small_networks import every_route, flowing, graph_of, network_of, random_graph
from statistical import assert_binomial

from e91.network import begin, run
from e91.network.bound import Supply, best_served, bottleneck
from e91.network.demand import RandomRequests
from e91.network.layout import Call, Requests, Rotation
from e91.network.rules import RULES, rule_named
from e91.network.steady import largest_share

EVERY_RULE = (*RULES, "disjoint=2", "disjoint=3")


def supply_of(capacity):
    """Each link with a receiver of its own, and nothing in store."""
    return Supply(np.zeros(len(capacity)), np.array(capacity, float))


def served_over_every_route(graph, pairs, wanted, supply):
    """The same optimum with a variable for each route of each demand."""
    columns = [(d, way) for d, pair in enumerate(pairs) for way in every_route(graph, *pair)]
    if not columns:
        return 0.0
    links, flows = len(graph.links), len(columns)
    rows = np.zeros((links + len(pairs) + len(supply.receivers), flows + links))
    for column, (demand, way) in enumerate(columns):
        rows[list(way), column] = 1
        rows[links + demand, column] = 1
    rows[:links, flows:] = -np.eye(links)  # what a link makes
    for receiver, served in enumerate(supply.receivers):
        for link in served:
            rows[links + len(pairs) + receiver, flows + link] = 1 / (supply.made[link] or 1e-6)
    limits = [*supply.stored, *wanted, *np.ones(len(supply.receivers))]
    found = linprog(np.repeat([-1, 0], [flows, links]), A_ub=rows, b_ub=limits)
    return -found.fun


def cases(seed, count=40, demands=8):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        graph = random_graph(rng, relays=5, users=7, links=7)
        pairs = np.array([rng.choice(12, 2, replace=False) for _ in range(demands)])
        links = len(graph.links)
        capacity = rng.choice([0.0, 300.0, 1000.0, 5000.0], links)
        capacity += rng.random(links) * (capacity > 0)
        yield graph, pairs, rng.uniform(10, 900, demands), capacity


def test_bound_is_the_optimum_over_every_route():
    limited = 0
    for graph, pairs, wanted, capacity in cases(1):
        bound = best_served(graph, pairs, wanted, supply_of(capacity))
        best = served_over_every_route(graph, pairs, wanted, supply_of(capacity))
        assert bound.served_bits_per_second == pytest.approx(best, rel=1e-7, abs=1e-5)
        assert bound.served_share == pytest.approx(best / wanted.sum(), rel=1e-7, abs=1e-8)
        limited += bound.served_share < 0.999
    assert limited > 10


def test_receivers_that_are_shared_divide_their_time():
    rng, limited = np.random.default_rng(8), 0
    for graph, pairs, wanted, made in cases(3):
        links = rng.permutation(len(graph.links)).tolist()
        stored = rng.choice([0.0, 200.0], len(links))
        supply = Supply(stored, made, (tuple(links[:4]), tuple(links[4:7])))
        bound = best_served(graph, pairs, wanted, supply)
        best = served_over_every_route(graph, pairs, wanted, supply)
        assert bound.served_bits_per_second == pytest.approx(best, rel=1e-6, abs=1e-4)
        alone = best_served(graph, pairs, wanted, Supply(stored, made))
        limited += bound.served_share < alone.served_share - 1e-3
    assert limited > 10


def test_bound_of_one_pair_is_the_cut_that_limits_it():
    for graph, pairs, _, capacity in cases(2):
        cut = bottleneck(graph, *pairs[0], capacity)
        bound = best_served(graph, pairs[:1], np.array([1e6]), supply_of(capacity))
        assert bound.served_bits_per_second == pytest.approx(cut.capacity, rel=1e-7, abs=1e-5)
        assert sum(capacity[graph.link_number[x]] for x in cut.links) == pytest.approx(cut.capacity)
        assert {name for name, _ in bound.prices} <= set(graph.links)


def test_price_is_what_one_more_bit_on_a_link_is_worth():
    graph = graph_of("A B C", "R S", "A-R R-S S-B C-S")
    pairs, wanted = np.array([[0, 1], [0, 2]]), np.array([80.0, 40.0])
    capacity = np.array([200.0, 90.0, 60.0, 50.0])
    bound = best_served(graph, pairs, wanted, supply_of(capacity))
    assert bound.served_bits_per_second == pytest.approx(90.0)
    assert dict(bound.prices) == pytest.approx({"R-S": 1.0})
    capacity[1] = 91.0
    assert best_served(
        graph, pairs, wanted, supply_of(capacity)
    ).served_bits_per_second == pytest.approx(91)


@pytest.mark.parametrize("rule", EVERY_RULE)
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
        best = best_served(graph, pairs, asked, supply_of(np.floor(capacity)))
        assert min(stores) >= 0
        assert served <= best.served_bits_per_second * (1 + 1e-9)
        short += served < 0.99 * best.served_bits_per_second
    assert rule != "fewest-hops" or short > 0


def three(*, keys_per_second=1.0, **changes):
    """Three users on a relay, the first with a tenth of the others' rate."""
    plan = network_of("A B C", "R", "A-R R-B R-C", least_store_bits=100)
    rates = {"A-R": 1e3, "R-B": 1e4, "R-C": 1e4}
    return flowing(plan, rates, store_bits=5100, keys_per_second=keys_per_second, **changes)


def test_report_holds_a_run_against_the_bound():
    """A third of the keys goes between B and C; the others need A's link, store included."""
    report = run(three(keys_per_second=30.0), minutes=5, seed=1)
    asked, limit = 30 * 256, 1e3 + 5000 / 300
    assert report.bound.served_share == pytest.approx((asked / 3 + limit) / asked, rel=1e-9)
    assert [link for link, _ in report.bound.prices] == ["A-R"]
    share, error = report.served / (report.served + report.missed), 4 / math.sqrt(30 * 300)
    assert report.bound.served_share - 0.02 - error < share < report.bound.served_share + error
    assert "in service, 0.4657 on average" in " ".join(report.text().split())
    assert report.to_dict()["best_routing"]["limited_by"] == {"A-R": 1.0}


def test_report_names_the_links_that_give_a_call_too_little():
    """A stream of 1,200 bit/s over a link of 1,000 and 5,000 usable bits in store, for 100 s."""
    call = Call("A", "B", 1200.0)
    report = run(three(demand=(call,)), minutes=100 / 60, seed=1)
    words = "A to B asks for 1,200 bit/s, but A-R can give 1,050 on average, stores included"
    assert report.shortages == (words,)
    assert report.to_dict()["shortages"] == [words]
    assert 105_000 - 2 * 1200 <= report.delivered_bits <= 105_000
    notes = [event.words for event in report.events if event.kind == "way"]
    assert "Keys from A to B find no way before A-R has more key." in notes
    longer = run(three(demand=(call, Rotation("A", "C", 0.1, 200))), minutes=0.1, seed=1)
    assert [words.split(",")[0] for words in longer.shortages] == ["A to C asks for 2"]


def test_no_bound_without_random_requests_or_time():
    call = Call("A", "B", 100.0)
    called = three(keys_per_second=1.0, demand=(Requests(1.0, within_sector=0.0), call))
    assert run(called, minutes=0.1, seed=1).bound is None
    assert run(three(keys_per_second=1.0, demand=()), minutes=0.1, seed=1).bound is None
    simulation = begin(three(keys_per_second=1.0), seed=1)
    assert largest_share(simulation) is None
    simulation.close()


def test_mean_demand_is_what_is_drawn_on_average():
    """Four users, two in one sector: a pair within it, and one of another sector."""
    requests = RandomRequests(
        Requests(1000.0, key_bits=10, within_sector=0.7),
        np.array([3, 5, 6, 9]),
        np.array([0, 0, 1, 2]),
        np.random.SeedSequence(1),
    )
    pairs, bits = requests.mean()
    assert pairs.tolist() == [[3, 5], [3, 6], [3, 9], [5, 6], [5, 9], [6, 9]]
    assert bits == pytest.approx([1e4 * (0.7 + 0.05)] + [1e4 * 0.05] * 5)
    drawn = np.concatenate(
        [np.sort(np.stack(requests.second()), axis=0) for _ in range(40)], axis=1
    )
    for (one, other), share in zip(pairs.tolist(), (bits / 1e4).tolist(), strict=True):
        seen = int(np.sum((drawn[0] == one) & (drawn[1] == other)))
        assert_binomial(seen, drawn.shape[1], share, must_detect=share + 0.02)


def test_users_do_not_relay_in_the_bound_either():
    graph = graph_of("A B C", "", "A-B B-C")
    bound = best_served(
        graph, np.array([[0, 2], [0, 1]]), np.array([5.0, 5.0]), supply_of([9.0, 9.0])
    )
    assert bound.served_bits_per_second == pytest.approx(5.0)
    assert bottleneck(graph, 0, 2, [9.0, 9.0]).links == ()
    assert str(bottleneck(graph, 0, 2, [9.0, 9.0])) == "no route"


def test_nothing_asked_for_is_served_in_full():
    graph = graph_of("A B", "", "A-B")
    empty = best_served(graph, np.empty((0, 2), np.int64), np.empty(0), supply_of([1.0]))
    assert (empty.served_share, empty.prices) == (1.0, ())


def test_bottleneck_names_the_links_of_the_cut():
    graph = graph_of("A B", "R S T", "A-R R-S-1 R-S-2 R-T T-S S-B")
    cut = bottleneck(graph, 0, 1, [100.0, 5.0, 6.0, 7.0, 50.0, 100.0])
    assert (cut.links, cut.capacity) == (("R-S-1", "R-S-2", "R-T"), 18.0)
    assert str(cut) == "R-S-1, R-S-2 and R-T"
