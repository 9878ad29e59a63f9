"""Stores that a living network feeds: pools are kept, alarms reach them, other ways go on."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from small_networks import lit, network_of

from e91.cli.feed import FeedPlan, fed_pairs, feed
from e91.delivery.configuration import ServiceFile, read_configuration
from e91.delivery.service import KeyService
from e91.keys.databases.sqlite import SqliteDatabase
from e91.keys.key_blocks import KeyConditions
from e91.model.errors import LinkAlarmed, NotDelivered, StoreFailed
from e91.network import Incident, IncidentKind

SQUARE = lit(network_of("A B", "R S T", "A-R B-S R-S R-T T-S"), keys_per_second=5.0)
CHAIN = lit(network_of("A B", "R S", "A-R R-S B-S"), keys_per_second=5.0)
SAES = {"a": "A", "b": "B", "020:A": "A", "020:B": "B"}


class Stores:
    """A service, and the calls that it gets."""

    def __init__(self, folder):
        stores = {kme: SqliteDatabase(folder / f"{kme}.sqlite") for kme in "AB"}
        self.service = KeyService(stores, sae_kmes=SAES)
        self.deposit, self.rings, self.clears = self.service.deposit, [], []

    def free_bits(self, one, other):
        return self.service.stock(f"020:{one}", f"020:{other}").bits

    async def ring(self, one, other, *, since, reason):
        erased = await self.service.ring(one, other, since=since, reason=reason)
        self.rings.append((one, other, erased, reason))
        return erased

    async def clear(self, one, other):
        self.clears.append((one, other))
        await self.service.clear(one, other)


def visit(folder, plan, tour, **given):
    """Let a network feed stores while a coroutine looks at them."""

    async def visiting():
        stores = Stores(folder)
        await stores.service.start()
        how = FeedPlan(plan, seed=1, workers=1, **{"speed": 5.0, "low_bits": 2**13, **given})
        feeding = asyncio.create_task(feed(stores, [("A", "B")], how))
        try:
            async with asyncio.timeout(60):
                return await tour(stores, feeding)
        finally:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
            await stores.service.close()

    return asyncio.run(visiting())


async def until(holds):
    while not holds():  # noqa: ASYNC110 - what is waited for happens in another thread, too
        await asyncio.sleep(0.02)


async def use_key(stores, holds):
    """Take key out, which makes the links work, until something holds."""
    while not holds():
        with suppress(LinkAlarmed):  # it may ring just now
            if stores.free_bits("A", "B") >= 2**12:
                await stores.service.give("a", ["b"], number=1, size=2**12)
        await asyncio.sleep(0.01)


@pytest.mark.slow
def test_what_is_taken_out_is_made_again_and_both_ends_have_the_same(tmp_path):
    async def tour(stores, _):
        service, seen = stores.service, set()
        for _ in range(2):
            await until(lambda: stores.free_bits("A", "B") >= 2**13)
            given = await service.give("a", ["b"], number=16, size=512)
            fetched = await service.fetch("b", "a", key_ids=[key.key_id for key in given])
            assert [key.content for key in given] == [key.content for key in fetched]
            seen |= {key.content for key in given}
            assert given[0].provenance.relays == ("R", "S")
            assert given[0].provenance.source == "network small, seed 1"
        assert len(seen) == 32
        with pytest.raises(NotDelivered):  # no link without a relay
            await service.give("a", ["b"], conditions=KeyConditions(route_type="link"))

    visit(tmp_path, SQUARE, tour)


def attacked(plan, strength, *, until_s):
    attack = Incident(IncidentKind.ATTACK, "R-S", 1.0, until_s, "intercept-resend", strength)
    return replace(plan, incidents=(attack,), good_blocks=2)


def test_an_alarm_erases_young_keys_and_another_route_serves_meanwhile(tmp_path):
    async def tour(stores, _):
        service = stores.service
        await until(lambda: stores.free_bits("A", "B") >= 2**13)
        await use_key(stores, lambda: bool(stores.rings))
        await until(lambda: stores.free_bits("A", "B") >= 2**12)
        (key,) = await service.give("a", ["b"])
        assert key.provenance.relays == ("R", "T", "S")
        ((one, other, erased, reason),) = stores.rings
        assert (one, other) == ("R", "S")
        assert reason == "the alarm of link R-S rang (no cause yet)"
        assert erased > 0

    visit(tmp_path, attacked(SQUARE, 0.05, until_s=1e6), tour, low_bits=2**14, doubt_s=10.0)


@pytest.mark.slow
def test_without_another_route_clients_hear_why_until_the_link_is_back(tmp_path):
    async def tour(stores, _):
        service = stores.service
        await until(lambda: stores.free_bits("A", "B") >= 2**13)
        await use_key(stores, lambda: bool(stores.rings))
        with pytest.raises(LinkAlarmed, match="the alarm of link R-S rang"):
            await service.give("a", ["b"], number=10, size=2**13)
        assert "R-S rang" in service.stock("a", "b").alarm
        await until(lambda: stores.clears == [("R", "S")])
        await until(lambda: stores.free_bits("A", "B") >= 2**12)
        assert service.stock("a", "b").alarm is None
        assert await service.give("a", ["b"])

    visit(tmp_path, attacked(CHAIN, 1.0, until_s=3.0), tour)


def test_it_ends_when_the_networks_time_is_over(tmp_path):
    async def ends(_, feeding):
        assert await feeding is None

    visit(tmp_path, SQUARE, ends, minutes=0.01)


def test_it_fails_with_the_network_and_with_what_cannot_be(tmp_path, monkeypatch):
    async def fails(_, feeding):
        with pytest.raises(ZeroDivisionError):
            await feeding

    monkeypatch.setattr("e91.network.link_events.Simulation.advance", lambda *_: 1 / 0)
    visit(tmp_path, SQUARE, fails)
    with pytest.raises(ValueError, match="common relay"):
        visit(tmp_path, SQUARE, lambda _, feeding: feeding, disjoint=2)


def test_it_can_be_ended_while_the_network_is_being_planned(tmp_path):
    async def ends(_, feeding):
        await asyncio.sleep(0)
        feeding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await feeding

    visit(tmp_path, SQUARE, ends)


@pytest.mark.slow
def test_an_alarm_is_put_in_when_a_failed_store_is_open_again(tmp_path):
    async def tour(stores, _):
        ring, failures = stores.ring, [StoreFailed("full disk"), StoreFailed("full disk")]

        async def failing(*link, **said):
            if failures:
                raise failures.pop()
            return await ring(*link, **said)

        stores.ring = failing
        await use_key(stores, lambda: bool(stores.rings))
        assert failures == []

    visit(tmp_path, attacked(SQUARE, 1.0, until_s=1e6), tour)


PLACES = """
[[kme]]
id = "A"
listen = "127.0.0.1:0"
store = "A.sqlite"
certificate = "a.crt"
private_key = "a.key"
ca = "ca.crt"
[[kme]]
id = "B"
listen = "127.0.0.1:0"
store = "B.sqlite"
certificate = "b.crt"
private_key = "b.key"
ca = "ca.crt"
[[kme]]
id = "R"
listen = "127.0.0.1:0"
store = "R.sqlite"
certificate = "r.crt"
private_key = "r.key"
ca = "ca.crt"
[[sae]]
id = "a"
kme = "A"
[[sae]]
id = "b"
kme = "B"
"""


def configuration(folder: Path, more: str = "") -> ServiceFile:
    path = folder / "kme.toml"
    path.write_text(PLACES + more)
    return read_configuration(path)


def test_all_kmes_are_fed_pair_by_pair_unless_pairs_are_named(tmp_path):
    assert fed_pairs(configuration(tmp_path), SQUARE) == [("A", "B"), ("A", "R"), ("B", "R")]
    named = configuration(tmp_path, '[[pair]]\nmaster = "b"\nslave = "a"\n')
    assert fed_pairs(named, SQUARE) == [("A", "B")]


def test_a_kme_that_is_no_site_of_the_network_is_refused(tmp_path):
    with pytest.raises(ValueError, match="`R` is none of `small`"):
        fed_pairs(configuration(tmp_path), lit(network_of("A B", "Q", "A-Q Q-B")))
