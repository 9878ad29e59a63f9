"""Who learns what of a relayed key, counted over all the pads that there are."""

from collections import Counter
from itertools import combinations, islice, product

import pytest

from e91.network.relaying import join_shares, relay


def every_case(hops, symbols):
    """Yield the key, and what became of its shares on routes of so many links, for all pads."""
    for drawn in product(range(symbols), repeat=sum(hops)):
        pads = iter(drawn)
        ways = [relay([(pad, pad) for pad in islice(pads, count)]) for count in hops]
        yield join_shares(way.sent for way in ways), ways


def learns_nothing(seen, symbols):
    """Whether each view comes with every key equally often; of pairs (key, view)."""
    counts = Counter(seen)
    views = {view for _, view in counts}
    return all(len({counts[key, view] for key in range(symbols)}) == 1 for view in views)


@pytest.mark.parametrize(
    ("hops", "symbols"), [((3,), 4), ((2, 2), 4), ((3, 2), 4), ((2, 2, 2), 2), ((4, 3, 2), 2)]
)
def test_relays_of_all_routes_but_one_learn_nothing(hops, symbols):
    for pooled in combinations(range(len(hops)), len(hops) - 1):
        seen = [
            (
                key,
                (
                    tuple(way.heard for way in ways),  # by everybody
                    tuple(ways[route].known for route in pooled),
                ),
            )
            for key, ways in every_case(hops, symbols)
        ]
        assert learns_nothing(seen, symbols)


@pytest.mark.parametrize("hops", [(3,), (3, 2), (4, 2, 2)])
def test_one_relay_of_every_route_together_know_the_key(hops):
    for key, ways in every_case(hops, 2):
        for known in product(*(way.known for way in ways)):
            assert join_shares(known) == key
    one_each = [(key, tuple(way.known[0] for way in ways)) for key, ways in every_case(hops, 2)]
    assert not learns_nothing(one_each, 2)


def test_both_ends_hold_the_same_key_and_pads_alone_are_heard():
    for key, ways in every_case((3, 2), 4):
        assert join_shares(way.delivered for way in ways) == key
    assert relay([(5, 5)]).heard == ()


def test_errors_of_the_links_add_up_in_the_delivered_key():
    way = relay([(0b1010, 0b1011), (0b0110, 0b0110), (0b0001, 0b0101)])
    assert way.sent ^ way.delivered == 0b0001 ^ 0b0100


def test_pad_that_is_used_twice_gives_the_keys_away():
    seen = []
    for first, second, pad in product(range(4), repeat=3):
        heard = [relay([(key, key), (pad, pad)]).heard[0] for key in (first, second)]
        assert heard[0] ^ heard[1] == first ^ second
        seen.append((first ^ second, tuple(heard)))
    assert not learns_nothing(seen, 4)


def test_no_key_is_printed():
    assert "171" not in repr(relay([(171, 171), (3, 3), (4, 4)]))
