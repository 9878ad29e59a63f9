"""Keys that a running network supplies: equal at both ends, with where they come from."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from small_networks import flowing, lit, network_of

from e91.model.trust import SecurityModel
from e91.network import Incident, IncidentKind, begin, load
from e91.network.comparing import PAD_BYTES, compare
from e91.network.graph import Route
from e91.network.key_supply import (
    MOST_BITS_AT_ONCE,
    KeySupply,
    LinkRang,
    LinkReturned,
    SuppliedKey,
    UnequalKey,
    _Watch,
    check_pair,
    walk,
)

NAMES = network_of("A B", "R S T", "A-R B-S R-S R-T T-S")
SQUARE = lit(NAMES, keys_per_second=20.0, good_blocks=3)
TWO_HOMES = lit(network_of("A B", "R S", "A-R B-R A-S B-S"), keys_per_second=0.0)


class Clock:
    """A clock that says the simulated time, a long time after 1970."""

    simulation = None

    def __call__(self):
        return 1e9 + (self.simulation.now_s if self.simulation else -1e3)


def supply_of(plan, *, doubt_s=0.0, disjoint=1):
    """Return a network's supply, and its news."""
    clock, news = Clock(), []
    simulation = clock.simulation = begin(plan, seed=1, disjoint=disjoint)
    supply = KeySupply(simulation, source="a test", clock=clock, tell=news.append, doubt_s=doubt_s)
    return supply, news


def of_kind(news, kind):
    return [reported for reported in news if isinstance(reported, kind)]


def test_a_key_is_the_same_at_both_ends_and_says_where_it_comes_from():
    supply, news = supply_of(SQUARE)
    supply.simulation.advance(0.2)
    supply.ask("A", "B", 1024)
    assert supply.outstanding["A", "B"] == 1024
    supply.simulation.advance(0.5)
    (key,) = news
    assert key.ends == ("A", "B")
    assert key.contents[0] == key.contents[1]
    assert len(key.contents[0]) == 128
    assert supply.outstanding["A", "B"] == 0
    said = key.provenance
    assert said.route == ("A", "R", "S", "B")
    assert said.relays == ("R", "S")
    assert (said.disjoint_paths, said.reproducible, said.bell_test) == (1, True, True)
    assert (said.theorem, said.attacks) == ("phase-errors", "coherent attacks")
    assert said.security is SecurityModel.TRUSTED_ANALYSERS
    assert said.epsilon == pytest.approx(3e-10)  # a block of each of three links
    assert 2 < said.chsh_lower_bound < said.chsh < 2 * math.sqrt(2)
    assert 1e9 - 1 <= said.made_at <= 1e9 + 0.2


def test_a_block_that_is_used_up_is_remembered_while_its_keys_are_under_way():
    supply, _ = supply_of(SQUARE)
    supply.simulation.advance(0.2)
    before = [set(watch.blocks) for watch in supply._watches]
    for _ in range(20):
        supply.ask("A", "B", 2**12)
    supply.simulation.advance(1.0)
    assert all(
        numbers <= set(watch.blocks) and len(watch.blocks) > len(numbers)
        for numbers, watch in zip(before, supply._watches, strict=True)
        if numbers
    )


def test_a_large_order_comes_in_parts_and_no_bit_is_given_twice():
    supply, news = supply_of(SQUARE)
    wanted = 2 * MOST_BITS_AT_ONCE
    supply.ask("A", "B", wanted)
    supply.simulation.advance(6.0)
    keys = of_kind(news, SuppliedKey)
    assert sum(8 * len(key.contents[0]) for key in keys) == wanted
    whole = b"".join(key.contents[0] for key in keys)
    pieces = {whole[begin : begin + 16] for begin in range(0, len(whole), 16)}
    assert len(pieces) == len(whole) // 16
    assert supply.simulation.ledger.is_conserved


def test_a_key_in_shares_goes_out_one_way_and_back_another():
    supply, news = supply_of(TWO_HOMES, disjoint=2)
    supply.ask("A", "B", 256)
    supply.simulation.advance(1.0)
    (key,) = news
    assert key.provenance.disjoint_paths == 2
    assert sorted(key.provenance.relays) == ["R", "S"]
    for link in TWO_HOMES.links:
        assert key.provenance.crosses(*link.ends)
    assert not key.provenance.crosses("A", "B")


def test_a_walk_has_the_links_of_three_ways_and_no_others():
    route = Route("A", "B", ((), (), ()), (("P",), (), ("Q", "R")), None, 0.0, "")
    sites = walk(route)
    pairs = {frozenset(pair) for pair in pairwise(sites)}
    assert pairs == {frozenset(pair) for pair in ("AP", "PB", "AB", "AQ", "QR", "RB")}


def test_a_key_that_differs_at_its_ends_is_thrown_away_and_said():
    supply, news = supply_of(SQUARE)
    supply.simulation.advance(0.2)
    pool = supply.simulation.pools[[link.name for link in SQUARE.links].index("R-S")]
    pool.second[:] = bytes(byte ^ 1 for byte in pool.second)  # a relay that alters what it passes
    supply.ask("A", "B", 256)
    supply.simulation.advance(0.3)
    assert news == [UnequalKey(("A", "B"), ("R", "S"), 256)]
    assert supply.outstanding["A", "B"] == 0


def test_what_a_relay_tells_eve_is_not_the_protocols_to_know():
    plan = replace(SQUARE, incidents=(Incident(IncidentKind.RELAY_TURNS, "R", 0.1, 9.0),))
    honest, reported = supply_of(SQUARE), supply_of(plan)
    for supply, _ in (honest, reported):
        supply.simulation.advance(0.2)
        supply.ask("A", "B", 256)
        supply.simulation.advance(0.4)
    assert reported[0].simulation.history.delivered.betrayed > 0
    (one,), (other,) = honest[1], reported[1]
    assert one.provenance == other.provenance
    assert one.contents == other.contents


ATTACKED = replace(
    SQUARE,
    incidents=(Incident(IncidentKind.ATTACK, "R-S", 2.0, 4.0, "intercept-resend", 0.05),),
)
"""Weak enough that a block or two are released before the alarm rings."""


@pytest.mark.slow
@pytest.mark.parametrize("doubt_s", [0.0, 0.5])
def test_an_alarm_dates_every_key_that_rests_on_what_came_after(doubt_s):
    """Of which a block of the link ended after the stated moment, as the simulator knows it."""
    supply, news = supply_of(ATTACKED, doubt_s=doubt_s)
    simulation, relayed = supply.simulation, []
    simulation.users.listener = lambda key: relayed.append(key) if key.bits > 256 else None
    for step in range(60):
        supply.ask("A", "B", 2**15)
        simulation.advance(0.1 * (step + 1))
    (rang,), (returned,), (alarm,) = (
        of_kind(news, LinkRang), of_kind(news, LinkReturned), simulation.history.alarms,
    )  # fmt: skip
    assert (rang.link, rang.ends) == (returned.link, returned.ends) == ("R-S", ("R", "S"))
    assert rang.reason == "the alarm of link R-S rang (no cause yet)"
    assert alarm.bits_released > 0
    before = of_kind(news[: news.index(rang)], SuppliedKey)
    doubted = [key.provenance.made_at >= rang.since for key in before]
    assert 0 < sum(doubted) < len(before)
    number, attacked = simulation.graph.link_number["R-S"], 0
    for key, is_doubted in zip(relayed, doubted, strict=False):
        youngest = max((block.made_s for link, block in key.rests_on if link == number), default=0)
        attacked += youngest > alarm.attacked_s - doubt_s
        assert is_doubted or youngest <= alarm.attacked_s - doubt_s
    assert attacked
    meanwhile = of_kind(news[news.index(rang) : news.index(returned)], SuppliedKey)
    assert meanwhile
    assert {key.provenance.relays for key in meanwhile} == {("R", "T", "S")}


def test_a_link_remembers_a_bounded_number_of_keys_and_doubts_no_fewer():
    watch = _Watch(0.0, 0.0)
    for number in range(5_000):
        watch.note_key(float(number), number - 0.5)
    assert len(watch.newer) == 1024
    assert watch.newer[0] == (3976.0, -0.5)


def test_a_key_that_becomes_void_on_its_way_is_asked_for_again():
    supply, news = supply_of(SQUARE)
    supply.simulation.advance(0.2)
    supply.ask("A", "B", 256)
    supply.simulation.advance(0.2005)
    supply.simulation.cut("R-S")
    supply.simulation.advance(0.4)
    (key,) = news
    assert key.provenance.relays == ("R", "T", "S")
    assert supply.outstanding["A", "B"] == 0


def test_networks_that_draw_no_bits_supply_no_keys():
    published = flowing(NAMES, dict.fromkeys(NAMES.link, 100.0))
    for plan, depth in ((SQUARE, "counts"), (published, "bits")):
        with pytest.raises(ValueError, match="must draw key bits"):
            KeySupply(begin(plan, depth=depth), source="", clock=Clock(), tell=print)


@pytest.mark.parametrize(
    ("source", "target", "bits", "sentence"),
    [
        ("A", "C", 8, "`C` is none of `small`"),
        ("A", "A", 8, "both are `A`"),
        ("A", "B", 12, "multiple of 8"),
        ("A", "B", 0, "multiple of 8"),
    ],
)
def test_orders_that_cannot_be_are_refused(source, target, bits, sentence):
    supply, _ = supply_of(SQUARE)
    with pytest.raises(ValueError, match=sentence):
        supply.ask(source, target, bits)


def test_no_key_ends_at_an_optical_switch():
    plan = load("hefei-2021")
    with pytest.raises(ValueError, match="`OS-1` is none of"):
        check_pair(plan, "UA-1", "OS-1")


def test_one_flipped_bit_anywhere_shows_in_the_comparison():
    key, hash_key = bytes(range(40)), bytes(range(32))
    honest = compare(key, hash_key=hash_key)
    for bit in range(8 * len(key)):
        altered = (int.from_bytes(key, "big") ^ 1 << bit).to_bytes(len(key), "big")
        assert not honest.agrees(compare(altered, hash_key=hash_key).message)


def test_the_message_of_a_comparison_is_uniform_whatever_is_kept():
    """Every pad gives another message for one kept key: the message alone says nothing of it."""
    messages = {
        compare(b"kept" + bytes(PAD_BYTES - 1) + bytes([pad]), hash_key=bytes(range(32))).message
        for pad in range(256)
    }
    assert len(messages) == 256


@pytest.mark.parametrize(("size", "hash_size"), [(16, 32), (40, 31)])
def test_comparisons_that_cannot_be_are_refused(size, hash_size):
    with pytest.raises(ValueError, match="bytes, but has"):
        compare(bytes(size), hash_key=bytes(hash_size))
