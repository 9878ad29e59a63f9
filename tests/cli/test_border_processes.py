"""Two servers as processes, killed outright under load: what an application got is not lost."""

import asyncio
import json
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from http.client import HTTPException

import pytest
from border_sites import NETWORKS, certified, fill, new_borders
from key_servers import SaeClient

from e91.delivery.configuration import read_configuration
from e91.delivery.serving import service_of

pytestmark = pytest.mark.slow
KILLS = 12


class Server:
    """One network's `e91 kme serve`, which can be killed and started again."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        asyncio.run(self._fill())
        self.start()

    async def _fill(self):
        service = service_of(read_configuration(self.folder / self.name / "kme.toml"))
        await service.start()
        await fill(service, self.name, size=2_000_000)
        await service.close()

    def start(self):
        command = [sys.executable, "-m", "e91", "kme", "serve", "kme.toml", "--json"]
        log = (self.folder / f"{self.name}.log").open("ab")
        self.process = subprocess.Popen(
            command, cwd=self.folder / self.name, stdout=subprocess.PIPE, stderr=log
        )
        log.close()
        ready = json.loads(self.process.stdout.readline())
        self.port = int(ready["kmes"][NETWORKS[self.name][0]].rpartition(":")[2])

    def end(self, number):
        self.process.send_signal(number)
        status = self.process.wait(timeout=30)
        self.process.stdout.close()
        return status

    def application(self):
        _, _, sae = NETWORKS[self.name]
        context = certified(self.folder, self.name, self.name, f"sae-{sae}")
        return SaeClient(self.port, context)


class Load:
    """An application that asks for keys without a pause, and remembers all that it got."""

    def __init__(self, server):
        self.server, self.keys, self.stop = server, {}, threading.Event()
        self.twice = False
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        while not self.stop.is_set():
            with suppress(OSError, HTTPException, ValueError), self.server.application() as alice:
                while not self.stop.is_set():
                    status, document = alice.enc_keys("b", number=3)
                    for key in document["keys"] if status == 200 else ():
                        self.twice |= key["key_ID"] in self.keys
                        self.keys[key["key_ID"]] = key["key"]
            time.sleep(0.05)


def test_killed_at_any_moment_no_key_is_lost_doubled_or_different(tmp_path):
    moments = random.Random(91)
    folder = new_borders(tmp_path)
    servers = {name: Server(folder, name) for name in NETWORKS}
    load = Load(servers["one"])
    try:
        for kill in range(KILLS):
            had = len(load.keys)
            waited = time.monotonic()
            while len(load.keys) == had and time.monotonic() < waited + 30:
                time.sleep(0.01)
            time.sleep(moments.uniform(0, 0.2))
            victim = servers["one" if kill % 2 else "two"]
            victim.end(signal.SIGKILL)
            victim.start()
        load.stop.set()
        load.thread.join()
        assert not load.twice
        assert len(load.keys) >= 3 * KILLS / 2
        with servers["two"].application() as bob:
            for key_id, content in load.keys.items():
                status, document = bob.dec_keys([key_id], master="a")
                assert status == 200, f"{key_id} was given and is lost"
                assert document["keys"][0]["key"] == content
        assert not any(
            content.encode() in file.read_bytes()
            for file in (*folder.rglob("*.log"), *folder.rglob("*.jsonl"))
            for content in load.keys.values()
        )
    finally:
        load.stop.set()
        load.thread.join()
        for server in servers.values():
            assert server.end(signal.SIGTERM) == 0
