"""A network in a thread of its own: it lives by the clock, answers, and says how it ended."""

import queue
import time
from dataclasses import replace

import pytest
from small_networks import lit, network_of

from e91.network.key_supply import LinkRang, LinkReturned, SuppliedKey
from e91.network.living import LivingNetwork

SQUARE = lit(network_of("A B", "R S T", "A-R B-S R-S R-T T-S"), keys_per_second=5.0, good_blocks=2)


def living(plan=SQUARE, **given):
    news = queue.SimpleQueue()
    given = {"seed": 1, "workers": 1, "speed": 4.0} | given
    return LivingNetwork(plan, tell=news.put, **given), news


def until(news, kind):
    while not isinstance(reported := news.get(timeout=60), kind):
        pass
    return reported


def test_a_key_comes_by_the_clock_and_time_keeps_the_pace_that_was_asked_for():
    network, news = living()
    with network:
        network.ask("A", "B", 256).result(timeout=60)
        key = until(news, SuppliedKey)
        assert abs(time.time() - key.provenance.made_at) < 60
        assert key.contents[0] == key.contents[1]
        assert network.outstanding().result(timeout=60)["A", "B"] == 0
        begun, at_s = time.monotonic(), network.look(lambda it: it.now_s).result(timeout=60)
        time.sleep(0.5)
        passed_s = network.look(lambda it: it.now_s).result(timeout=60) - at_s
        assert passed_s <= 4.0 * (time.monotonic() - begun) + 1.0
    assert network.ended.result(timeout=0) is None


@pytest.mark.slow
def test_an_attack_rings_and_the_link_comes_back():
    network, news = living()
    with network:
        network.look(lambda it: it.attack("R-S", "intercept-resend", 1.0)).result(timeout=60)
        for _ in range(40):  # what is asked for makes the links work
            network.ask("A", "B", 2**14).result(timeout=60)
        assert until(news, LinkRang).link == "R-S"
        network.look(lambda it: it.end_attack("R-S")).result(timeout=60)
        assert until(news, LinkReturned).link == "R-S"


def test_its_time_ends_when_it_should():
    network, _ = living(minutes=0.01)
    with network:
        assert network.ended.result(timeout=60) is None
        assert network._simulation.now_s == pytest.approx(0.6)


def test_whoever_waits_for_its_end_gets_the_exception_of_its_thread():
    network, _ = living()
    network._simulation.watch = lambda _: 1 / 0
    with network, pytest.raises(ZeroDivisionError):
        network.ended.result(timeout=60)


def test_a_question_that_cannot_be_answered_fails_for_who_asked_alone():
    network, news = living()
    with network:
        with pytest.raises(ValueError, match="`C` is none"):
            network.ask("A", "C", 256).result(timeout=60)
        network.ask("A", "B", 256).result(timeout=60)
        assert until(news, SuppliedKey)


def test_a_network_that_cannot_supply_is_refused_before_its_first_second():
    with pytest.raises(ValueError, match="`speed` must be finite and positive"):
        living(speed=0.0)
    with pytest.raises(ValueError, match="`doubt_s` must be"):
        living(doubt_s=-1.0)
    with pytest.raises(ValueError, match="`rule`"):
        living(replace(SQUARE, rule="no such rule"))
