"""Keys for applications: what masters and slaves get, over SQLite and PostgreSQL."""

import asyncio
from uuid import UUID, uuid4

import pytest
from key_stores import SqliteStores, contents_of, deposit, ids_of, provenance, service_of

from e91.keys.holdings.stored_keys import CHUNK
from e91.keys.key_blocks import HeldKey, KeyConditions
from e91.model.errors import (
    ConditionsNotMet,
    ForeignKey,
    LinkAlarmed,
    NotEnoughKey,
    RepeatedKey,
    StoreFailed,
    UnknownKey,
    UnknownSae,
)
from e91.model.trust import SecurityModel


def with_service(stores, test, *kmes, **options):
    """Run a test of an open service."""

    async def run():
        kmes_here = kmes or ("alice", "bob")
        service = service_of({kme: stores.database(kme) for kme in kmes_here}, **options)
        await service.start()
        try:
            return await test(service)
        finally:
            await service.close()

    return asyncio.run(run())


def test_slave_gets_the_keys_of_the_master_in_the_order_it_asks(stores):
    async def test(service):
        content = await deposit(service, 320)
        keys = await service.give("a", ["b"], number=10)
        assert b"".join(contents_of(keys)) == content
        assert {UUID(str(key_id)).version for key_id in ids_of(keys)} == {4}
        fetched = await service.fetch("b", "a", key_ids=ids_of(keys)[::-1])
        assert contents_of(fetched) == contents_of(keys)[::-1]
        assert fetched[0].provenance == keys[0].provenance

    with_service(stores, test)


def test_the_two_ends_take_from_the_two_ends_of_a_block(stores):
    async def test(service):
        content = await deposit(service, 100)
        [front] = await service.give("a", ["b"], size=80)
        [back] = await service.give("b", ["a"], size=80)
        assert (front.content, back.content) == (content[:10], content[-10:])
        assert contents_of(await service.fetch("a", "b", key_ids=[back.key_id])) == [back.content]

    with_service(stores, test)


@pytest.mark.parametrize("master", ["a", "b"])
def test_a_key_may_span_many_blocks_and_claims_the_weakest(stores, master):
    slave = {"a": "b", "b": "a"}[master]

    async def test(service):
        blocks = [await deposit(service, 5, epsilon=1e-9) for _ in range(6)]
        blocks.append(await deposit(service, 5, security=SecurityModel.TRUSTED_ANALYSERS))
        [key] = await service.give(master, [slave], size=8 * 32)
        assert sorted(key.content) == sorted(b"".join(blocks)[:30] + key.content[-2:])
        assert key.provenance.epsilon == pytest.approx(6e-9 + 1e-10, rel=1e-12)
        assert key.provenance.security is SecurityModel.TRUSTED_ANALYSERS
        [fetched] = await service.fetch(slave, master, key_ids=[key.key_id])
        assert (fetched.content, fetched.provenance) == (key.content, key.provenance)
        with pytest.raises(NotEnoughKey):
            await service.give(master, [slave], size=8 * 4)
        assert len(await service.give(master, [slave], size=8 * 3)) == 1

    with_service(stores, test)


def test_a_key_is_fetched_once(stores):
    async def test(service):
        await deposit(service, 100)
        [key] = await service.give("a", ["b"])
        tries = [service.fetch("b", "a", key_ids=[key.key_id]) for _ in range(16)]
        done = await asyncio.gather(*tries, return_exceptions=True)
        assert sorted(type(one).__name__ for one in done) == ["UnknownKey"] * 15 + ["list"]

    with_service(stores, test)


def test_a_list_with_one_wrong_key_delivers_nothing(stores):
    async def test(service):
        await deposit(service, 200)
        [key] = await service.give("a", ["b"])
        [other] = await service.give("a", ["b2"])
        for ids, error in (
            ([key.key_id, uuid4()], UnknownKey),
            ([key.key_id, other.key_id], ForeignKey),
            ([uuid4(), other.key_id], ForeignKey),
            ([key.key_id, key.key_id], ValueError),
            ([], ValueError),
        ):
            with pytest.raises(error):
                await service.fetch("b", "a", key_ids=ids)
        with pytest.raises(UnknownKey):
            await service.fetch("b", "a2", key_ids=[key.key_id])
        with pytest.raises(ForeignKey):
            await service.fetch("b2", "a", key_ids=[key.key_id])
        assert contents_of(await service.fetch("b", "a", key_ids=[key.key_id])) == [key.content]

    with_service(stores, test)


def test_every_slave_of_a_multicast_gets_the_key_once(stores):
    async def test(service):
        await deposit(service, 320)
        await deposit(service, 200, "alice", "charlie", epsilon=2e-10)
        keys = await service.give("a", ["b", "a2", "b2", "c"], number=5)
        for slave in ("b", "a2", "b2", "c"):
            fetched = await service.fetch(slave, "a", key_ids=ids_of(keys))
            assert contents_of(fetched) == contents_of(keys)
            with pytest.raises(UnknownKey):
                await service.fetch(slave, "a", key_ids=ids_of(keys))
        assert fetched[0].provenance.relays == ("alice",)
        assert fetched[0].provenance.route == ("bob", "alice", "charlie")
        assert fetched[0].provenance.epsilon == pytest.approx(3e-10, rel=1e-12)
        links = {link.peer: link for link in service.kmes()[0].links}
        assert links["charlie"].delivered == 5 * 256
        with pytest.raises(NotEnoughKey):
            await service.give("a", ["b", "c"], number=5)

    with_service(stores, test, "alice", "bob", "charlie")


def test_conditions_choose_blocks_and_are_named_when_they_are_why(stores):
    async def test(service):
        weak = await deposit(service, 32, security=SecurityModel.TRUSTED_ANALYSERS, epsilon=None)
        strong = await deposit(service, 32)
        conditions = KeyConditions(min_model=SecurityModel.DEVICE_INDEPENDENT, max_epsilon=1e-9)
        [key] = await service.give("a", ["b"], conditions=conditions)
        assert key.content == strong
        with pytest.raises(ConditionsNotMet):
            await service.give("a", ["b"], conditions=conditions)
        assert service.stock("a", "b", conditions=conditions).bits == 0
        assert contents_of(await service.give("a", ["b"])) == [weak]
        with pytest.raises(NotEnoughKey):
            await service.give("a", ["b"], conditions=conditions)

    with_service(stores, test)


def test_a_key_is_not_joined_beyond_the_largest_epsilon(stores):
    async def test(service):
        await deposit(service, 48, epsilon=1e-9)
        await deposit(service, 48, epsilon=1e-9)
        keys = await service.give("a", ["b"], number=2, conditions=KeyConditions(max_epsilon=1e-9))
        assert [key.provenance.epsilon for key in keys] == [1e-9, 1e-9]
        assert len(await service.give("a", ["b"])) == 1

    with_service(stores, test)


def test_age_is_never_negative_when_the_clock_goes_back(stores):
    async def test(service):
        await deposit(service, 64, made_at=2_000_000_000.0)
        young = KeyConditions(max_age_s=0.0)
        assert len(await service.give("a", ["b"], conditions=young)) == 1

    with_service(stores, test, clock=lambda: 1_000_000_000.0)


def test_what_is_void_does_not_come_back(stores):
    async def test(service):
        await deposit(service, 100)
        waiting, done = await service.give("a", ["b"], number=2)
        await service.fetch("b", "a", key_ids=[done.key_id])
        late = HeldKey(uuid4(), b"late" * 8, provenance("alice", "border", "bob"))
        states = await service.void("bob", [waiting.key_id, done.key_id, late.key_id])
        assert list(states.values()) == ["voided", "delivered", "unknown"]
        with pytest.raises(UnknownKey):
            await service.fetch("b", "a", key_ids=[waiting.key_id])
        for key in (late, waiting, done):
            with pytest.raises(RepeatedKey):
                await service.keep("bob", key, master="x", slaves=["b"])
        assert await service.void("bob", [late.key_id]) == {late.key_id: "voided"}

    with_service(stores, test)


def test_a_ready_made_key_is_kept_and_fetched_once(stores):
    key = HeldKey(uuid4(), b"ready-made", provenance("x", "border", "bob", relays=("border",)))

    async def test(service):
        await service.keep("bob", key, master="far away", slaves=["b", "b2"])
        with pytest.raises(RepeatedKey):
            await service.keep("bob", key, master="far away", slaves=["b"])
        for slave in ("b", "b2"):
            [fetched] = await service.fetch(slave, "far away", key_ids=[key.key_id])
            assert (fetched.content, fetched.provenance) == (key.content, key.provenance)
        with pytest.raises(UnknownKey):
            await service.fetch("b", "far away", key_ids=[key.key_id])
        with pytest.raises(RepeatedKey):
            await service.keep("bob", key, master="far away", slaves=["b"])
        assert await service.void("bob", [key.key_id]) == {key.key_id: "delivered"}

    with_service(stores, test)


def test_keys_may_be_longer_than_what_is_stored_together(tmp_path):
    async def test(service):
        content = await deposit(service, 5 * CHUNK + 100)
        await deposit(service, 3 * CHUNK, "alice", "charlie")
        [key] = await service.give("a", ["b", "c", "a2"], size=8 * (2 * CHUNK + 10))
        assert key.content == content[: 2 * CHUNK + 10]
        for slave in ("b", "c", "a2"):
            assert contents_of(await service.fetch(slave, "a", key_ids=[key.key_id])) == [
                key.content
            ]
        keys = await service.give("b", ["a"], number=30, size=8 * 3001)
        fetched = await service.fetch("a", "b", key_ids=ids_of(keys)[::-1])
        assert contents_of(fetched) == contents_of(keys)[::-1]
        assert b"".join(contents_of(keys)) == content[-30 * 3001 :]

    with_service(SqliteStores(tmp_path), test, "alice", "bob", "charlie")


@pytest.mark.parametrize("since", [float("nan"), float("inf"), float("-inf")])
def test_an_alarm_needs_a_moment(tmp_path, since):
    async def test(service):
        await deposit(service, 64)
        with pytest.raises(ValueError, match="`since` must be a finite number"):
            await service.ring("alice", "bob", since=since, reason="S fell")
        assert service.stock("a", "b").bits == 8 * 64

    with_service(SqliteStores(tmp_path), test)


def test_an_alarm_erases_what_was_made_since_and_stops_the_rest(stores):
    async def test(service):
        await deposit(service, 64, made_at=100.0)
        await deposit(service, 64, made_at=200.0)
        old, new = await service.give("a", ["b"], size=8 * 48, number=2)
        erased = await service.ring("bob", "alice", since=150.0, reason="S fell")
        assert erased == 2 * 8 * 32 + 8 * 48
        stock = service.stock("a", "b")
        assert (stock.bits, stock.alarm) == (0, "S fell")
        with pytest.raises(LinkAlarmed):
            await service.give("a", ["b"])
        with pytest.raises(UnknownKey):
            await service.fetch("b", "a", key_ids=[new.key_id])
        assert len(await service.fetch("b", "a", key_ids=[old.key_id])) == 1
        with pytest.raises(LinkAlarmed):
            await deposit(service, 64, made_at=300.0)
        await service.clear("alice", "bob")
        await deposit(service, 64, made_at=300.0)
        assert len(await service.give("a", ["b"])) == 1

    with_service(stores, test)


def test_who_finds_nothing_left_hears_of_the_alarm_on_the_way_of_what_there_was(stores):
    async def test(service):
        way = {"route": ("alice", "R", "S", "bob"), "relays": ("R", "S")}
        await deposit(service, 32, **way, made_at=100.0)
        await service.ring("R", "S", since=50.0, reason="S fell")
        with pytest.raises(LinkAlarmed, match="S fell"):
            await service.give("a", ["b"])
        assert service.stock("a", "b").alarm == "S fell"
        await deposit(service, 32, route=("alice", "T", "bob"), relays=("T",), made_at=100.0)
        assert service.stock("a", "b").alarm is None
        assert len(await service.give("a", ["b"])) == 1
        with pytest.raises(NotEnoughKey):
            await service.give("a", ["b"])

    with_service(stores, test)


def test_unknown_applications_and_impossible_requests_are_refused(stores):
    async def test(service):
        await deposit(service, 64)
        for master, slaves in (("nobody", ["b"]), ("a", ["nobody"]), ("a", ["b", "nobody"])):
            with pytest.raises(UnknownSae):
                await service.give(master, slaves)
        for options in ({"size": 12}, {"size": 0}, {"number": 0}, {"number": -1}):
            with pytest.raises(ValueError):
                await service.give("a", ["b"], **options)
        for slaves in ([], ["a"], ["b", "b"]):
            with pytest.raises(ValueError):
                await service.give("a", slaves)
        with pytest.raises(NotEnoughKey):
            await service.give("a", ["a2"])

    with_service(stores, test)


def test_what_waits_is_there_after_a_restart_and_used_key_is_in_no_file(tmp_path):
    async def before(service):
        content = await deposit(service, 100_000)
        keys = await service.give("a", ["b"], number=4)
        await service.fetch("b", "a", key_ids=ids_of(keys)[:2])
        return content, keys

    content, keys = with_service(SqliteStores(tmp_path), before)
    alice, bob = ((tmp_path / f"{kme}.sqlite").read_bytes() for kme in ("alice", "bob"))
    assert [key.content in alice for key in keys] == [False] * 4
    assert [key.content in bob for key in keys] == [False, False, True, True]
    assert content[1000:1100] in alice

    async def after(service):
        assert contents_of(await service.fetch("b", "a", key_ids=ids_of(keys)[2:])) == contents_of(
            keys[2:]
        )
        with pytest.raises(UnknownKey):
            await service.fetch("b", "a", key_ids=ids_of(keys)[:1])
        [key] = await service.give("a", ["b"])
        assert key.content == content[128:160]

    with_service(SqliteStores(tmp_path), after)
    assert {path.name for path in tmp_path.iterdir()} == {"alice.sqlite", "bob.sqlite"}


def test_a_shut_service_refuses(stores):
    service = service_of({kme: stores.database(kme) for kme in ("alice", "bob")})

    async def test():
        with pytest.raises(StoreFailed):
            await service.give("a", ["b"])
        await service.start()
        await service.close()
        await service.close()
        with pytest.raises(StoreFailed):
            await service.give("a", ["b"])

    asyncio.run(test())


def test_used_key_is_in_no_file_while_the_service_runs(tmp_path, monkeypatch):
    monkeypatch.setattr("e91.delivery.group_commit.FOLD_EVERY_S", 0.0)

    async def test(service):
        await deposit(service, 100_000)
        keys = await service.give("a", ["b"], number=4)
        await service.fetch("b", "a", key_ids=ids_of(keys)[:2])
        await service.void("bob", ids_of(keys)[2:3])
        await service.void("bob", [uuid4()])  # decided after what was folded before
        files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        for key in keys:
            holders = {name for name, content in files.items() if key.content in content}
            assert holders == ({"bob.sqlite"} if key is keys[3] else set())
        for store in service._writer.stores.values():
            assert not any(key.content in part for key in keys[:3] for part in store.cache.values())

    with_service(SqliteStores(tmp_path), test)


def test_keys_that_nobody_fetches_in_time_are_void_and_stay_so(stores):
    now = [1e9]

    async def test(service):
        await deposit(service, 320)
        old = await service.give("a", ["b"], number=2)
        now[0] += 50
        [fresh] = await service.give("a", ["b", "b2"])
        await service.fetch("b", "a", key_ids=[fresh.key_id])
        assert await service.expire(before=1e9 - 1) == 0
        assert await service.expire(before=1e9 + 1) == 2
        assert [state.keys_voided for state in service.kmes()] == [0, 2]
        for key_id in ids_of(old):
            with pytest.raises(UnknownKey):
                await service.fetch("b", "a", key_ids=[key_id])
            again = HeldKey(key_id, bytes(32), provenance())
            with pytest.raises(RepeatedKey):
                await service.keep("bob", again, master="a", slaves=["b"])
        assert await service.fetch("b2", "a", key_ids=[fresh.key_id])
        assert service.stock("a", "b").bits == 8 * (320 - 3 * 32)

    with_service(stores, test, clock=lambda: now[0])
