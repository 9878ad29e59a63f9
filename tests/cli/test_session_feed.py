"""Folders of key files as stock of a key service."""

import asyncio

from key_stores import SqliteStores, contents_of, service_of

import e91
from e91.cli.session_feed import deposit_folder
from e91.session.folder import save_session


def test_key_of_a_folder_is_given_at_both_ends_and_the_folder_then_has_none(tmp_path):
    report = e91.run(e91.exact_device(visibility=0.97), rounds=30_000, seed=1)
    folder = tmp_path / "session"
    folder.mkdir()
    save_session(report, folder)

    async def run():
        stores = SqliteStores(tmp_path)
        service = service_of({kme: stores.database(kme) for kme in ("alice", "bob")})
        await service.start()
        fed = await deposit_folder(service, folder, ends=("alice", "bob"))
        assert (fed.blocks, fed.bits) == (1, 8 * (len(report.key) // 8 - 64))
        again = await deposit_folder(service, folder, ends=("alice", "bob"))
        assert (again.blocks, again.bits) == (0, 0)
        [key] = await service.give("a", ["b"])
        assert contents_of(await service.fetch("b", "a", key_ids=[key.key_id])) == [key.content]
        assert key.content == bytes(report.key)[:32]
        assert key.provenance.theorem == report.key.theorem
        await service.close()

    asyncio.run(run())
