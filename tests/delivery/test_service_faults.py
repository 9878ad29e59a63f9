"""Stores that fail, lie, are shared or come back: a key service stops, says why, and goes on."""

import asyncio
import os
import resource
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from key_stores import (
    PostgresStores,
    SqliteStores,
    contents_of,
    deposit,
    ids_of,
    postgres_server,
    service_of,
)

from e91.keys.databases.interface import VERSION
from e91.model.errors import LinkAlarmed, NotEnoughKey, StoreFailed, UnknownKey

CHILD = Path(__file__).with_name("killed_service.py")


def opened(stores, test, **options):
    """Run a test of an open service of two KMEs."""

    async def run():
        service = service_of({kme: stores.database(kme) for kme in ("alice", "bob")}, **options)
        await service.start()
        try:
            return await test(service)
        finally:
            await service.close()

    return asyncio.run(run())


async def until_open(service):
    """Wait until the service has opened its stores again by itself."""
    for _ in range(3000):
        if service.failed is None:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(service.failed)


@contextmanager
def files_of_at_most(size):
    """Let no file of this process grow beyond a size, as if the disk were full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_stops_everything_until_there_is_room(tmp_path):
    async def test(service):
        content = await deposit(service, 4096)
        [waiting] = await service.give("a", ["b"])
        with files_of_at_most(4096):
            with pytest.raises(StoreFailed, match=r"alice\.sqlite|bob\.sqlite"):
                await deposit(service, 2**20)
            with pytest.raises(StoreFailed):
                await service.fetch("b", "a", key_ids=[waiting.key_id])
            assert service.stock("a", "b").failed == service.failed is not None
            with pytest.raises(StoreFailed):
                await service.reopen()
        await service.reopen()
        assert service.failed is None
        assert contents_of(await service.fetch("b", "a", key_ids=[waiting.key_id])) == [
            content[:32]
        ]
        [key] = await service.give("a", ["b"])
        assert key.content == content[32:64]
        with pytest.raises(NotEnoughKey):
            await service.give("a", ["b"], size=8 * 2**20)

    opened(SqliteStores(tmp_path), test, reopen_after_s=None)


def test_a_store_that_fails_is_opened_again_without_being_asked(tmp_path):
    async def test(service):
        await deposit(service, 4096)
        [waiting] = await service.give("a", ["b"])
        with files_of_at_most(1024), pytest.raises(StoreFailed):
            await service.give("a", ["b"])
        await until_open(service)
        assert len(await service.fetch("b", "a", key_ids=[waiting.key_id])) == 1

    opened(SqliteStores(tmp_path), test, reopen_after_s=0.05)


@pytest.mark.slow
def test_a_postgresql_that_goes_away_and_comes_back_loses_nothing():
    with postgres_server() as server:

        async def test(service):
            content = await deposit(service, 4096)
            [waiting] = await service.give("a", ["b"])
            server.stop()
            with pytest.raises(StoreFailed):
                await service.give("a", ["b"])
            with pytest.raises(StoreFailed):
                await service.fetch("b", "a", key_ids=[waiting.key_id])
            server.start()
            await until_open(service)
            keys = await service.fetch("b", "a", key_ids=[waiting.key_id])
            assert contents_of(keys) == [content[:32]]
            assert (await service.give("a", ["b"]))[0].content == content[32:64]

        opened(PostgresStores(server.get_uri()), test, reopen_after_s=0.1)


def test_a_second_service_on_the_same_stores_is_refused(stores):
    async def test(service):
        await deposit(service, 4096)
        second = service_of({"alice": stores.database("alice")})
        with pytest.raises(StoreFailed, match="another process has it open"):
            await second.start()
        assert len(await service.give("a", ["b"])) == 1

    opened(stores, test)


@pytest.mark.slow
def test_a_second_process_on_the_same_stores_is_refused(stores, tmp_path):
    is_file = isinstance(stores, SqliteStores)
    arguments = ("sqlite", str(tmp_path)) if is_file else ("postgresql", stores.url)

    async def test(service):
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            CHILD,
            *arguments,
            env={**os.environ, "PYTHONPATH": ":".join(filter(None, sys.path))},
            stderr=subprocess.PIPE,
        )
        _, complaint = await child.communicate()
        assert child.returncode == 1
        assert b"another process has it open" in complaint
        await deposit(service, 64)

    opened(stores, test)


def test_a_store_from_a_backup_is_refused(tmp_path):
    stores = SqliteStores(tmp_path)

    async def begin(service):
        await deposit(service, 4096)

    async def go_on(service):
        keys = await service.give("a", ["b"], number=3)
        await service.fetch("b", "a", key_ids=ids_of(keys)[:1])
        await service.give("b", ["a"])

    opened(stores, begin)
    backup = (tmp_path / "bob.sqlite").read_bytes()
    opened(stores, go_on)
    newest = (tmp_path / "bob.sqlite").read_bytes()
    (tmp_path / "bob.sqlite").write_bytes(backup)
    with pytest.raises(StoreFailed, match="is older: never open a backup of a key store"):
        opened(stores, go_on)
    (tmp_path / "bob.sqlite").write_bytes(newest)
    opened(stores, go_on)


def test_a_store_that_lacks_nothing_but_fetches_is_found_out_too(tmp_path):
    stores = SqliteStores(tmp_path)

    async def give(service):
        await deposit(service, 4096)
        return ids_of(await service.give("a", ["b"], number=3))

    ids = opened(stores, give)
    backup = (tmp_path / "bob.sqlite").read_bytes()

    async def fetch(service):
        await service.fetch("b", "a", key_ids=ids)

    opened(stores, fetch)
    (tmp_path / "bob.sqlite").write_bytes(backup)
    with pytest.raises(StoreFailed, match="is older"):
        opened(stores, fetch)


def test_a_store_with_a_second_name_is_refused(tmp_path):
    stores = SqliteStores(tmp_path)

    async def begin(service):
        await deposit(service, 4096)

    opened(stores, begin)
    (tmp_path / "second.sqlite").hardlink_to(tmp_path / "bob.sqlite")
    with pytest.raises(StoreFailed, match="must have one name"):
        opened(stores, begin)


def test_an_alarm_that_one_store_missed_reaches_it_when_both_are_open(tmp_path):
    stores = SqliteStores(tmp_path)

    async def begin(service):
        await deposit(service, 4096, made_at=100.0)
        await deposit(service, 512, made_at=50.0)

    opened(stores, begin)

    async def ring_at_alice_alone():
        service = service_of({"alice": stores.database("alice")})
        await service.start()
        await service.ring("alice", "bob", since=75.0, reason="S fell")
        await service.close()

    asyncio.run(ring_at_alice_alone())

    async def look(service):
        for state in service.kmes():
            assert [link.free for link in state.links] == [8 * 512]
            assert [link.alarm for link in state.links] == ["S fell"]
        with pytest.raises(LinkAlarmed):
            await service.give("b", ["a"])
        await service.clear("alice", "bob")
        assert len(await service.give("b", ["a"])) == 1

    opened(stores, look)


def test_ends_that_differ_are_levelled_to_what_both_have(tmp_path):
    stores = SqliteStores(tmp_path)

    async def begin(service):
        await deposit(service, 4096, made_at=100.0)
        return await deposit(service, 512, made_at=50.0)

    content = opened(stores, begin)

    async def ring_and_clear_at_alice_alone():
        service = service_of({"alice": stores.database("alice")})
        await service.start()
        await service.ring("alice", "bob", since=75.0, reason="S fell")
        await service.clear("alice", "bob")
        await service.close()

    asyncio.run(ring_and_clear_at_alice_alone())

    async def look(service):
        for state in service.kmes():
            assert [link.free for link in state.links] == [8 * 512]
        [key] = await service.give("b", ["a"])
        assert key.content == content[-32:]
        assert len(await service.fetch("a", "b", key_ids=[key.key_id])) == 1

    opened(stores, look)


def test_a_new_store_in_the_place_of_one_that_shares_key_is_refused(tmp_path):
    stores = SqliteStores(tmp_path)

    async def begin(service):
        await deposit(service, 4096)

    opened(stores, begin)
    (tmp_path / "bob.sqlite").unlink()
    with pytest.raises(StoreFailed, match=r"must be the one that shares key .* but is another"):
        opened(stores, begin)
    (tmp_path / "alice.sqlite").unlink()
    opened(stores, begin)


def test_the_store_of_another_kme_is_refused(tmp_path):
    stores = SqliteStores(tmp_path)

    async def begin(service):
        await deposit(service, 4096)

    opened(stores, begin)
    (tmp_path / "alice.sqlite").rename(tmp_path / "away")
    (tmp_path / "bob.sqlite").rename(tmp_path / "alice.sqlite")
    (tmp_path / "away").rename(tmp_path / "bob.sqlite")
    with pytest.raises(StoreFailed, match="must be that of `alice`, but is that of `bob`"):
        opened(stores, begin)


@pytest.mark.slow
def test_a_newer_and_a_damaged_schema_are_refused(postgres):
    stores = PostgresStores(postgres.get_uri())

    async def begin(service):
        await deposit(service, 4096)
        await service.give("a", ["b"], number=3)

    opened(stores, begin)
    stores.run(f"UPDATE e91_alice.version SET number = {VERSION + 1}")
    with pytest.raises(StoreFailed, match="written by a newer E91"):
        opened(stores, begin)
    stores.run(f"UPDATE e91_alice.version SET number = {VERSION}")
    for table, column in (("grants", "body"), ("chunks", "content"), ("header", "body")):
        change = f"set_byte({column}, 3, 255 - get_byte({column}, 3))"
        stores.run(f"UPDATE e91_bob.{table} SET {column} = {change}")
        with pytest.raises(StoreFailed, match="damaged"):
            opened(stores, begin)
        stores.run(f"UPDATE e91_bob.{table} SET {column} = {change}")
    opened(stores, begin)


@pytest.mark.slow
def test_no_sentence_has_the_password():
    from e91.keys.databases.postgresql import PostgresDatabase

    secret = "postgresql://me:s3cret@127.0.0.1:1/keys?password=s3cret"
    database = PostgresDatabase(secret, kme="alice")
    with pytest.raises(StoreFailed) as refused:
        database.open()
    assert "s3cret" not in f"{refused.value} {database!r} {database.name}"


def test_who_gives_up_waiting_takes_no_key(tmp_path):
    async def test(service):
        await deposit(service, 64)
        given_up = asyncio.create_task(service.give("a", ["b"]))
        await asyncio.sleep(0)
        given_up.cancel()
        assert len(await service.give("a", ["b"], number=2)) == 2

    opened(SqliteStores(tmp_path), test)


def test_tombstones_outlive_restarts(stores):
    async def void(service):
        await deposit(service, 64)
        keys = await service.give("a", ["b"], number=2)
        await service.void("bob", ids_of(keys))
        return ids_of(keys)

    ids = opened(stores, void)

    async def look(service):
        assert set((await service.void("bob", ids)).values()) == {"voided"}
        with pytest.raises(UnknownKey):
            await service.fetch("b", "a", key_ids=ids)

    opened(stores, look)


@pytest.mark.slow
def test_used_key_is_in_no_table_of_postgresql_after_a_stop():
    with postgres_server() as server:
        stores = PostgresStores(server.get_uri())

        async def use():
            service = service_of({kme: stores.database(kme) for kme in ("alice", "bob")})
            await service.start()
            content = await deposit(service, 100_000)
            keys = await service.give("a", ["b"], number=300)
            await service.fetch("b", "a", key_ids=ids_of(keys))
            await service.close()
            return content

        content = asyncio.run(use())
        stores.run("CHECKPOINT")
        tables = [file for file in (server.pgdata / "base").rglob("*") if file.is_file()]
        found = b"".join(file.read_bytes() for file in tables)
        # Bytes that nobody was given are there, so what is looked for would be seen.
        assert content[-32:] in found
        assert not [at for at in range(0, 9_600, 32) if content[at : at + 32] in found]
