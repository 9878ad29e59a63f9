"""A real server of keys in a thread, and clients with certificates of its authority."""

import asyncio
import http.client
import json
import os
import ssl
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID, uuid4

from e91.delivery import AuthorityPlan, KmePlace, SaePlace, new_authority
from e91.delivery.configuration import read_configuration
from e91.delivery.serving import KeyDelivery, service_of
from e91.keys.key_blocks import KeyBlock
from e91.keys.provenance import Provenance
from e91.model.trust import SecurityModel

KMES = (KmePlace("alice", "127.0.0.1", 0), KmePlace("bob", "127.0.0.1", 0))
SAES = (
    SaePlace("alice-app", "alice"),
    SaePlace("clerk", "alice"),
    SaePlace("bob-app", "bob"),
    SaePlace("carol-app", "bob"),
)


def new_site(folder, *, settings="", **options):
    """Make an authority, certificates and a configuration; return the folder."""
    new_authority(folder, AuthorityPlan(KMES, SAES, **options))
    if settings:
        configuration = folder / "kme.toml"
        configuration.write_text(f"{configuration.read_text()}\n[service]\n{settings}\n")
    return folder


def provenance_of_link(**changes):
    """Where a block of the link between alice and bob comes from."""
    values = {
        "security": SecurityModel.DEVICE_INDEPENDENT, "theorem": "a theorem",
        "attacks": "coherent attacks", "epsilon": 1e-10, "bell_test": True, "chsh": 2.7,
        "chsh_lower_bound": 2.6, "route": ("alice", "bob"), "relays": (), "disjoint_paths": 1,
        "reproducible": False, "made_at": time.time(), "source": "a session", **changes,
    }  # fmt: skip
    return Provenance(**values)


async def deposit_block(service, size=1_000_000, **changes):
    """Put a block of key into both ends; return its content."""
    content, block_id, origin = os.urandom(size), uuid4(), provenance_of_link(**changes)
    block = KeyBlock(block_id, content, origin)
    await service.deposit({"alice": block, "bob": KeyBlock(block_id, content, origin)})
    return content


class RunningServer:
    """A server in a thread of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.delivery = KeyDelivery(read_configuration(folder / "kme.toml"))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def start(self):
        self._thread.start()
        try:
            self.run(self.delivery.__aenter__())
        except BaseException:
            self._end()
            raise

    def stop(self):
        try:
            self.run(self.delivery.__aexit__(None, None, None))
        finally:
            self._end()

    def _end(self):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, work):
        """Do some work in the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def deposit(self, size=1_000_000, **changes):
        return self.run(deposit_block(self.delivery.service, size, **changes))

    def port(self, kme):
        return self.delivery.listeners[kme].address.port

    def client(self, sae="alice-app", kme="alice"):
        return SaeClient(self.port(kme), client_context(self.folder, f"sae-{sae}"))


@contextmanager
def served(folder, **options):
    """Give a running server whose certificates and stores lie in a folder."""
    if not (folder / "kme.toml").exists():
        new_site(folder, **options)
    server = RunningServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()


class ServingProcess:
    """`e91 kme serve` in a process of its own."""

    def __init__(self, folder, process):
        self.folder = folder
        self.process = process
        self._kmes = json.loads(process.stdout.readline())["kmes"]

    def port(self, kme):
        return int(self._kmes[kme].rpartition(":")[2])


@contextmanager
def serving_process(folder, *, size=200_000):
    """Give a process that serves a site whose stores were filled before."""
    new_site(folder)

    async def fill():
        service = service_of(read_configuration(folder / "kme.toml"))
        await service.start()
        try:
            await deposit_block(service, size)
        finally:
            await service.close()

    asyncio.run(fill())
    process = subprocess.Popen(
        [sys.executable, "-m", "e91", "kme", "serve", str(folder / "kme.toml"), "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        yield ServingProcess(folder, process)
    finally:
        process.terminate()
        process.communicate(timeout=30)
    assert process.returncode == 0


def client_context(folder, stem=None):
    """Return the TLS of a client with the certificate of that name, or with none."""
    context = ssl.create_default_context(cafile=folder / "ca.crt")
    if stem is not None:
        context.load_cert_chain(folder / f"{stem}.crt", folder / f"{stem}.key")
    return context


class SaeClient:
    """An application on one connection that is kept."""

    def __init__(self, port, context):
        self.connection = http.client.HTTPSConnection(
            "127.0.0.1", port, context=context, timeout=20
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def ask(self, method, target, body=None, **headers):
        """Return status and document of a reply."""
        content = json.dumps(body).encode() if isinstance(body, dict | list) else body
        if isinstance(body, dict | list):
            headers = {"Content-Type": "application/json"} | headers
        self.connection.request(method, target, content, headers)
        reply = self.connection.getresponse()
        content = reply.read()
        self.headers = dict(reply.getheaders())
        return reply.status, json.loads(content) if content else None

    def enc_keys(self, slave="bob-app", **members):
        return self.ask("POST", f"/api/v1/keys/{slave}/enc_keys", members)

    def dec_keys(self, key_ids, master="alice-app"):
        body = {"key_IDs": [{"key_ID": key_id} for key_id in key_ids]}
        return self.ask("POST", f"/api/v1/keys/{master}/dec_keys", body)

    def status(self, slave="bob-app"):
        return self.ask("GET", f"/api/v1/keys/{slave}/status")


def key_ids_of(document):
    return [str(UUID(key["key_ID"])) for key in document["keys"]]
