"""How many calls a network carries, against networks that can be counted by hand."""

import re
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from e91.encryption.key_needs import MEDIA, medium_named
from e91.network import load
from e91.network import run as plan_run
from e91.network.bound import best_served, bottleneck
from e91.network.call_capacity import _PairsAlone, average_supply, carried_calls
from e91.network.graph import Graph
from e91.network.layout import Call, Quantity, RateMode, Transfer
from tests.small_networks import lit, network_of

ROOT = Path(__file__).parents[2]
FILE = """
title = "Two users"
rate = "published"
[sites]
A = { kind = "user", x_km = 0.0, y_km = 0.0 }
B = { kind = "user", x_km = 1.0, y_km = 0.0 }
[links]
A-B = { ends = ["A", "B"], bits_per_second = 1e6 }
"""


def rated(plan, rates):
    """Return a plan with published rates, bits a second by link."""
    links = [
        replace(link, bits_per_second=Quantity(rates[link.name], "bit/s")) for link in plan.links
    ]
    return replace(plan, links=tuple(links), rate=RateMode.PUBLISHED)


def test_two_users_have_all_of_their_link():
    found = carried_calls(rated(network_of("A B", "", "A-B"), {"A-B": 1e6}))
    assert (found.pairs, found.best_pair_bits_per_second) == (1, 1e6)
    assert found.even_bits_per_second == pytest.approx(1e6, rel=1e-4)
    assert found.calls_at_once(medium_named("sound-64k")) == 6  # 1e6 / 153,600
    assert found.best_medium() is medium_named("video-128k")


def test_three_users_of_a_relay_share_their_links():
    """Each of three pairs needs two of three equal links: 1.5 times one link in sum."""
    plan = network_of("A B C", "R", "A-R B-R C-R")
    found = carried_calls(rated(plan, dict.fromkeys(("A-R", "B-R", "C-R"), 1000.0)))
    assert found.even_bits_per_second == pytest.approx(1500, rel=1e-4)
    assert found.worst_pair_bits_per_second == 1000


def test_the_narrowest_link_holds_all_pairs_back_when_all_get_the_same():
    """A and C have a link of 100: the pairs A-B, A-C share A's, so each pair gets 50."""
    plan = network_of("A B C", "R", "A-R B-R C-R")
    found = carried_calls(rated(plan, {"A-R": 100.0, "B-R": 1e6, "C-R": 1e6}))
    assert found.even_bits_per_second == pytest.approx(150, rel=1e-4)
    assert found.best_pair_bits_per_second == 1e6


@pytest.mark.parametrize("name", ["hefei-2021", "jinan-2013"])
def test_pairs_alone_get_what_the_best_routing_serves_them(name):
    """The short way for users with one link gives what the linear program of the whole gives."""
    plan = load(name)
    graph, supply = Graph.of(plan), average_supply(plan)
    assert supply.shared
    users = [graph.site_number[user.name] for user in plan.users][::5]
    alone, wanted = _PairsAlone(graph, supply), np.array([1e7])
    for pair in combinations(users, 2):
        bound = best_served(graph, np.array([pair]), wanted, supply)
        assert alone.capacity(*pair) == pytest.approx(bound.served_bits_per_second, rel=1e-6)


def test_the_cut_of_a_pair_is_the_bottleneck_of_the_whole_network():
    plan = load("jinan-2017-dual")
    graph, supply = Graph.of(plan), average_supply(plan)
    alone, made = _PairsAlone(graph, supply), supply.made.tolist()
    users = [graph.site_number[user.name] for user in plan.users][::40]
    relays = [site for site, passes_on in enumerate(graph.relays) if passes_on][:3]
    for pair in combinations([*users, *relays], 2):
        assert alone._cut(*pair) == pytest.approx(bottleneck(graph, *pair, made).capacity)


def test_two_users_of_one_receiver_share_its_time():
    plan = lit(network_of("A B", "R", "A-R R-B"), shared="A-R R-B")
    found, supply = carried_calls(plan), average_supply(plan)
    expected = 1 / (1 / supply.made).sum()
    assert found.best_pair_bits_per_second == pytest.approx(expected)
    assert found.even_bits_per_second == pytest.approx(expected, rel=1e-4)


def test_a_call_that_no_pair_can_make_alone_is_not_carried():
    plan = network_of("A B C", "R", "A-R B-R C-R")
    found = carried_calls(rated(plan, dict.fromkeys(("A-R", "B-R", "C-R"), 120_000.0)))
    assert found.even_bits_per_second == pytest.approx(180_000, rel=1e-4)
    assert found.calls_at_once(medium_named("sound-64k")) == 0  # 153,600 both ways


@pytest.mark.slow
def test_a_run_makes_what_the_average_says():
    """A minute at depth counts: some 300 blocks a link, whose lengths scatter by per cents each.

    So the mean is known to a fraction of a per cent; what is tested is the model of the average.
    """
    plan = replace(
        lit(network_of("A B", "R", "A-R R-B"), keys_per_second=5000.0), store_limit_s=1000.0
    )
    report = plan_run(plan, minutes=1, depth="counts", seed=1)
    expected = average_supply(plan).made
    made = [bits.made / 60.5 for bits in report.links]  # half a second fills the stores
    assert made == pytest.approx(expected.tolist(), rel=0.05)


def test_one_user_makes_no_call():
    with pytest.raises(ValueError, match="two users or more, but has 1"):
        carried_calls(network_of("A", "R", "A-R"))


def loaded(tmp_path, demand):
    """Return the demand of a file."""
    file = tmp_path / "small.toml"
    file.write_text(FILE + demand)
    return load(str(file)).demand


@pytest.mark.parametrize("name", MEDIA)
def test_a_call_in_a_file_asks_for_what_its_medium_needs(tmp_path, name):
    demand = f'[[calls]]\nsource = "A"\ntarget = "B"\ncarries = "{name}"\nend_s = 60.0\n'
    [call] = loaded(tmp_path, demand)
    assert isinstance(call, Call)
    assert call.bits_per_second == medium_named(name).call_bits_per_second
    assert call.carries == name


def test_a_file_in_a_file_asks_for_its_tags_too(tmp_path):
    demand = '[[transfers]]\nsource = "A"\ntarget = "B"\n'
    demand += 'content = { value = 2, unit = "MiB", assumed = true }\n'
    [transfer] = loaded(tmp_path, demand)
    assert isinstance(transfer, Transfer)
    assert transfer.bits == 8 * (2 * 2**20 + 2 * 32)


@pytest.mark.parametrize(
    ("demand", "sentence"),
    [
        ('carries = "smell"', "`calls[0].carries` must be one of text, sound-8k"),
        ("", "`calls[0].carries` or `bits_per_second` must be given, one of the two"),
        ('carries = "text"\nbits_per_second = 5', "must be given, one of the two"),
    ],
)
def test_a_call_that_says_none_or_two_is_refused(tmp_path, demand, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        loaded(tmp_path, f'[[calls]]\nsource = "A"\ntarget = "B"\n{demand}\n')


def test_a_page_says_what_a_call_carries(tmp_path):
    file = tmp_path / "small.toml"
    demand = '[[calls]]\nsource = "A"\ntarget = "B"\ncarries = "sound-64k"\n'
    file.write_text(FILE + demand)
    assert "speech at 64 kbit/s both ways, 153,600 bit/s" in " ".join(str(load(str(file))).split())
