"""``e91 kme serve`` as a process: ready, ended, killed under load, and kept from starting."""

import asyncio
import http.client
import json
import os
import queue
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager

import pytest
from key_servers import SaeClient, client_context, deposit_block, new_site
from key_stores import postgres_server

from e91.delivery.configuration import read_configuration
from e91.delivery.serving import service_of

FAULTS = (OSError, http.client.HTTPException)


def start(folder, *options):
    """Start a server; return its process and what it says when it is ready."""
    command = [sys.executable, "-m", "e91", "kme", "serve", str(folder / "kme.toml"), "--json"]
    process = subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    return process, json.loads(process.stdout.readline() or "null")


def ended(process, *, by=signal.SIGTERM):
    """End a server; return its status and its log."""
    process.send_signal(by)
    _, log = process.communicate(timeout=30)
    return process.returncode, log


@contextmanager
def running(folder, *options):
    process, ready = start(folder, *options)
    try:
        yield process, ready
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def fill(folder, size=4_000_000):
    async def deposit():
        service = service_of(read_configuration(folder / "kme.toml"))
        await service.start()
        await deposit_block(service, size)
        await service.close()

    asyncio.run(deposit())


def client_of(folder, ready, sae="alice-app", kme="alice"):
    port = int(ready["kmes"][kme].rpartition(":")[2])
    return SaeClient(port, client_context(folder, f"sae-{sae}"))


def test_a_server_says_when_it_is_ready_and_ends_when_it_is_asked_to(tmp_path, status):
    folder = new_site(tmp_path / "pki", settings='health = "127.0.0.1:0"')
    fill(folder, 3_200)
    with running(folder) as (process, ready):
        assert ready["event"] == "ready"
        assert set(ready["kmes"]) == {"alice", "bob"}
        code, printed, _ = status("kme", "status", f"http://{ready['health']}", "--json")
        links = {(link["kme"], link["peer"]): link["keys"] for link in json.loads(printed)["links"]}
        assert (code, links) == (0, {("alice", "bob"): 100, ("bob", "alice"): 100})
        assert "100 keys (25,600 bits)" in status("kme", "status", f"http://{ready['health']}")[1]
        code, _, complaint = status("kme", "status", folder / "kme.toml")
        assert code == 2
        assert "another process has it open" in complaint
        code, _, complaint = status("kme", "serve", folder / "kme.toml")
        assert code == 2
        code, _, complaint = status("kme", "status", f"https://{ready['kmes']['alice']}")
        assert (code, "e91 key list --kme https://" in complaint) == (2, True)
        with client_of(folder, ready) as client:
            assert client.enc_keys()[0] == 200
            process.send_signal(signal.SIGHUP)
            code, log = ended(process)
    assert code == 0
    events = [json.loads(line)["event"] for line in log.splitlines()]
    assert [event for event in events if "certificates" not in event] == ["ready"] * 2 + ["stopped"]
    code, printed, _ = status("kme", "status", folder / "kme.toml", "--json")
    assert {link["keys"] for link in json.loads(printed)["links"]} == {99}


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_no_request_is_lost_by_a_stop(tmp_path, by):
    folder = new_site(tmp_path / "pki")
    fill(folder)
    with running(folder) as (process, ready):
        found = []

        def ask():
            with client_of(folder, ready) as client:
                try:
                    while True:
                        found.append(client.enc_keys()[0])
                except FAULTS:
                    pass

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 60
        while len(found) < 40 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert ended(process, by=by)[0] == 0
        for thread in threads:
            thread.join()
    given = (folder / "audit.jsonl").read_text().count('"given"')
    assert set(found) == {200}
    assert given == len(found)


def test_a_service_manager_is_notified(tmp_path):
    folder, place = new_site(tmp_path / "pki"), str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(place)
        manager.settimeout(20)
        os.environ["NOTIFY_SOCKET"] = place
        try:
            process, _ = start(folder)
        finally:
            del os.environ["NOTIFY_SOCKET"]
        assert manager.recv(100) == b"READY=1"
        assert ended(process)[0] == 0
        assert manager.recv(100) == b"STOPPING=1"


def test_what_stops_a_server_from_starting_is_one_sentence(tmp_path, status):
    folder = new_site(tmp_path / "pki")
    file = folder / "kme.toml"
    text = file.read_text()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        file.write_text(text.replace("127.0.0.1:0", f"127.0.0.1:{port}", 1))
        code, _, complaint = status("kme", "serve", file)
        assert (code, complaint.count("\n")) == (2, 1)
        assert f"must be free, but 127.0.0.1:{port} is taken" in complaint
    for change, sentence in (
        (("kme-alice.crt", "absent.crt"), "must be a readable, non-empty file"),
        (("kme-alice.key", "kme-bob.key"), "must be the private key of"),
        (('id = "bob"', 'id = "alice"'), "must have IDs that differ"),
        (("listen", "listens"), "did you mean `kme[0].listen`"),
        (("127.0.0.1:0", "203.0.113.9:1"), "that this program may take"),
        (("127.0.0.1:0", "nowhere"), "must be a host and a port"),
        (('kme = "bob"', 'kme = "carol"'), "must be the ID of a `[[kme]]`"),
    ):
        file.write_text(text.replace(*change, 1))
        code, printed, complaint = status("kme", "serve", file)
        assert (code, printed, complaint.count("\n")) == (2, "", 1), change
        assert sentence in complaint, change
    assert status("kme", "serve", folder / "absent.toml")[0] == 2
    assert status("kme", "status", "http://127.0.0.1:1")[0] == 2


def test_ends_name_two_kmes(tmp_path, status):
    folder = new_site(tmp_path / "pki")
    for ends in ("alice", "alice,alice", "alice,carol"):
        code, _, complaint = status(
            "kme", "serve", folder / "kme.toml", "--session", tmp_path, "--ends", ends
        )
        assert code == 2
        assert "`--ends` must name two of the KMEs alice, bob" in complaint


class Witness:
    """A master and a slave under whom servers are killed, and what they have seen.

    Attributes:
        given: Content of every key that the master got, by ID.
        fetched: How often the slave got each.
        uncertain: IDs of keys whose delivery to the slave had no answer.
    """

    def __init__(self, folder):
        self.folder = folder
        self.given = {}
        self.fetched = Counter()
        self.uncertain = set()
        self.waiting = queue.Queue()

    def ask(self, ready):
        with client_of(self.folder, ready) as client:
            try:
                while True:
                    status, found = client.enc_keys(number=random.choice([1, 3]))
                    assert status == 200, found
                    for key in found["keys"]:
                        assert key["key_ID"] not in self.given
                        self.given[key["key_ID"]] = key["key"]
                        self.waiting.put(key["key_ID"])
            except FAULTS:
                pass

    def fetch(self, ready):
        with client_of(self.folder, ready, "bob-app", "bob") as client:
            while True:
                try:
                    key_id = self.waiting.get(timeout=1.0)
                except queue.Empty:
                    return
                try:
                    status, found = client.dec_keys([key_id])
                except FAULTS:
                    self.uncertain.add(key_id)
                    return
                self.note(key_id, status, found)

    def note(self, key_id, status, found):
        if status == 200:
            assert found["keys"][0]["key"] == self.given[key_id]
            self.fetched[key_id] += 1
        else:  # only what may have been delivered without an answer may be gone
            assert (status, key_id in self.uncertain) == (400, True), found

    def loaded_until_killed(self, process, ready):
        threads = [
            threading.Thread(target=work, args=(ready,)) for work in 3 * (self.ask, self.fetch)
        ]
        for thread in threads:
            thread.start()
        # On a busy machine the load begins late, and a kill before it would show nothing.
        enough, end = len(self.given) + 11, time.monotonic() + 30
        while len(self.given) < enough and time.monotonic() < end:
            time.sleep(0.005)
        time.sleep(random.uniform(0.0, 0.5))
        process.kill()
        for thread in threads:
            thread.join()

    def fetch_the_rest(self, ready):
        with client_of(self.folder, ready, "bob-app", "bob") as client:
            for key_id in self.given:
                if not self.fetched[key_id]:
                    self.note(key_id, *client.dec_keys([key_id]))
                else:
                    assert client.dec_keys([key_id])[0] == 400


def kill_under_load(folder, times):
    fill(folder)
    witness = Witness(folder)
    for _ in range(times):
        with running(folder) as (process, ready):
            witness.loaded_until_killed(process, ready)
    with running(folder) as (process, ready):
        witness.fetch_the_rest(ready)
        assert ended(process)[0] == 0
    assert len(witness.given) > 10 * times
    assert len(set(witness.given.values())) == len(witness.given)
    assert set(witness.fetched.values()) <= {0, 1}
    lost = [key_id for key_id in witness.given if not witness.fetched[key_id]]
    assert set(lost) <= witness.uncertain


def test_a_killed_server_loses_no_key_and_delivers_none_twice(tmp_path):
    kill_under_load(new_site(tmp_path / "pki"), 1)


@pytest.mark.slow
def test_fifty_kills_of_a_server_on_sqlite(tmp_path):
    kill_under_load(new_site(tmp_path / "pki"), 50)


@pytest.mark.slow
def test_fifty_kills_of_a_server_on_postgresql(tmp_path):
    folder = new_site(tmp_path / "pki")
    file = folder / "kme.toml"
    with postgres_server() as server:
        text = file.read_text()
        for name in ("alice", "bob"):
            text = text.replace(f'"kme-{name}.sqlite"', json.dumps(server.get_uri()))
        file.write_text(text)
        kill_under_load(folder, 50)


SCHEMATHESIS = """
[parameters]
"path.slave_SAE_ID" = "bob-app"
"path.master_SAE_ID" = "bob-app"

[checks]
negative_data_rejection.expected-statuses = [400, 401, 404, 405, 413, 431]
"""


@pytest.mark.slow
def test_the_interface_is_as_its_description_says(tmp_path):
    folder = new_site(tmp_path / "pki")
    fill(folder, 40_000_000)
    settings = tmp_path / "schemathesis.toml"
    settings.write_text(SCHEMATHESIS)
    with running(folder) as (_, ready):
        done = subprocess.run(
            [
                sys.executable, "-m", "schemathesis.cli",
                "--config-file", str(settings), "run", "--seed", "1",
                "e91/delivery/etsi014/openapi.json",
                "--url", f"https://{ready['kmes']['alice']}",
                "--request-cert", str(folder / "sae-alice-app.crt"),
                "--request-cert-key", str(folder / "sae-alice-app.key"),
                "--tls-verify", str(folder / "ca.crt"), "--max-examples", "50",
                "--phases", "examples,coverage,fuzzing", "--checks", "all",
                # Which SAEs and keys there are is not in the description.
                "--exclude-checks", "positive_data_acceptance,ignored_auth,missing_required_header",
            ],
            capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:]
