"""A key service under load that prints what it acknowledged, to be killed at any moment.

Run as ``python killed_service.py sqlite FOLDER`` or ``... postgresql URL``.  Each line of output is
one answer: ``given ID DIGEST`` or ``fetched ID DIGEST``, with a digest of the key.
"""

import asyncio
import hashlib
import os
import sys
from pathlib import Path

from key_stores import PostgresStores, SqliteStores, deposit, ids_of, service_of


def stores_of(kind, place):
    """The stores at a place, as they are."""
    if kind == "sqlite":
        return SqliteStores(Path(place))
    return PostgresStores(place, fresh=False)


def say(what, keys):
    """Print answers; one write each, which a kill does not cut."""
    for key in keys:
        digest = hashlib.sha256(key.content).hexdigest()
        os.write(1, f"{what} {key.key_id} {digest}\n".encode())


async def pair(service, master, slave):
    """Give and fetch for ever; leave every fourth key to whoever comes after the kill."""
    number = 0
    while True:
        keys = await service.give(master, [slave], number=1 + number % 3)
        say("given", keys)
        number += 1
        if number % 4:
            fetched = await service.fetch(slave, master, key_ids=ids_of(keys))
            say("fetched", fetched)


async def feed(service):
    """Deposit blocks for ever, as fast as they are used at most."""
    while True:
        if service.stock("a", "b").bits < 8 * 64 * 1024:
            await deposit(service, 16 * 1024)
        await asyncio.sleep(0.002)


async def main(kind, place):
    """Serve until the end."""
    stores = stores_of(kind, place)
    service = service_of({kme: stores.database(kme) for kme in ("alice", "bob")})
    await service.start()
    await deposit(service, 64 * 1024)
    os.write(1, b"begun\n")
    pairs = (pair(service, *saes) for saes in (("a", "b"), ("b", "a"), ("a2", "b2")) * 4)
    await asyncio.gather(feed(service), *pairs)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
