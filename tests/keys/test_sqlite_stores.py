"""SQLite files of keys: who may open one, what is refused, and files of older versions."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest
from key_stores import SqliteStores, contents_of, deposit, service_of

from e91.keys.databases.interface import VERSION
from e91.keys.databases.sqlite import SqliteDatabase
from e91.model.errors import StoreFailed, UnknownKey

OLD = Path(__file__).parent
WAITING = ("95125c65-dccf-4780-bfcc-2594107fb589", "31f66f39-a47e-4196-8f35-51c076a884ce")


def old_file(kme, folder):
    """Write the store of a KME as the first version left it, with rows in its journal."""
    with closing(sqlite3.connect(folder / f"{kme}.sqlite")) as connection:
        connection.executescript((OLD / f"version-1-{kme}.sql").read_text())


def test_stores_of_version_1_are_brought_up_and_keep_every_key(tmp_path):
    for kme in ("alice", "bob"):
        old_file(kme, tmp_path)
    content = bytes(range(256)) * 2  # what was deposited; five keys were cut from its ends

    async def run():
        stores = SqliteStores(tmp_path)
        service = service_of({kme: stores.database(kme) for kme in ("alice", "bob")})
        await service.start()
        keys = await service.fetch("b", "a", key_ids=[UUID(key_id) for key_id in WAITING])
        assert contents_of(keys) == [content[32:64], content[64:96]]
        [front] = await service.give("a", ["b"])
        [back] = await service.give("b", ["a"])
        assert (front.content, back.content) == (content[96:128], content[-96:-64])
        assert await service.void("bob", [UUID(int=99)]) == {UUID(int=99): "voided"}
        assert await service.void("alice", [UUID(int=98)]) == {UUID(int=98): "voided"}
        with pytest.raises(UnknownKey):
            await service.fetch("a", "b", key_ids=[UUID("02e3a51e-d42a-46e7-bd1f-1994b287f61f")])
        await service.close()

    asyncio.run(run())
    with closing(sqlite3.connect(tmp_path / "bob.sqlite")) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)


def filled(folder):
    """Make the stores of two KMEs with a block; two keys are used, one of them waits."""

    async def run():
        stores = SqliteStores(folder)
        service = service_of({kme: stores.database(kme) for kme in ("alice", "bob")})
        await service.start()
        await deposit(service, 100_000)
        await service.give("a", ["b"], number=2)
        await service.close()

    asyncio.run(run())
    return folder / "alice.sqlite"


def test_a_store_has_one_process_and_its_owner_alone(tmp_path):
    path = filled(tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600
    first, second = SqliteDatabase(path), SqliteDatabase(path)
    first.open()
    with pytest.raises(StoreFailed, match="another process has it open"):
        second.open()
    second.close()
    first.close()
    second.open()
    second.close()


def test_a_newer_store_and_another_program_s_database_are_refused(tmp_path):
    path = filled(tmp_path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    with pytest.raises(StoreFailed, match=f"has version {VERSION + 1}: it was written by a newer"):
        SqliteDatabase(path).open()
    other = tmp_path / "other.sqlite"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE t (x)")
    with pytest.raises(StoreFailed, match="database of another program"):
        SqliteDatabase(other).open()
    with closing(sqlite3.connect(other)) as connection:
        assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == [("t",)]


def test_a_text_file_a_folder_and_a_missing_folder_are_refused(tmp_path):
    text = tmp_path / "text"
    text.write_text("no database, but long enough to look at" * 100)
    for path in (text, tmp_path, tmp_path / "missing" / "alice.sqlite"):
        with pytest.raises(StoreFailed):
            SqliteDatabase(path).open()
    assert text.read_text().startswith("no database")


def test_no_changed_byte_of_a_store_goes_unseen(tmp_path):
    path = filled(tmp_path)
    whole = path.read_bytes()
    for place in [*range(0, 100, 7), *range(100, len(whole), 997)]:
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        path.write_bytes(damaged)
        database = SqliteDatabase(path)
        try:
            rows = database.open()
        except StoreFailed:
            continue
        finally:
            database.close()
        # A byte that nothing depends on: free space, or a counter in the header of the file.
        path.write_bytes(whole)
        intact = SqliteDatabase(path)
        assert vars(intact.open()) == vars(rows), place
        intact.close()


def test_a_store_that_was_cut_is_refused(tmp_path):
    path = filled(tmp_path)
    path.write_bytes(path.read_bytes()[:-8192])
    with pytest.raises(StoreFailed):
        SqliteDatabase(path).open()


def test_a_store_that_was_replaced_while_open_is_written_no_more(tmp_path):
    path = filled(tmp_path)
    database = SqliteDatabase(path)
    database.open()
    path.rename(tmp_path / "away.sqlite")
    path.write_bytes((tmp_path / "away.sqlite").read_bytes())
    with pytest.raises(StoreFailed, match="must stay in its place"):
        database.commit(99, b"row")
    path.unlink()
    with pytest.raises(StoreFailed):
        database.commit(99, b"row")
    database.close()
