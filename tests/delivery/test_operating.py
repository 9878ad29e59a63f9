"""What an operator sees of a server: log, audit trail, health, metrics, alarms, and no key bit."""

import asyncio
import base64
import http.server
import json
import logging
import os
import threading
import time
import urllib.request
from contextlib import contextmanager
from urllib.error import HTTPError

import pytest
from key_servers import key_ids_of, new_site, served

from e91.delivery.audit import AuditTrail
from e91.delivery.event_log import EventLog, FloodFilter
from e91.delivery.web_hook import WebHook

HEALTH = 'health = "127.0.0.1:0"\nlog = "kme.log"'


def local(server, path):
    """Return status and content of the local port."""
    url = f"http://{server.delivery.health.address}{path}"
    try:
        with urllib.request.urlopen(url, timeout=10) as reply:
            return reply.status, reply.read().decode()
    except HTTPError as refused:
        return refused.code, refused.read().decode()


@contextmanager
def called_server(answers):
    """Give the URL of a server that answers in turn, and what was posted to it."""
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            size = int(self.headers["Content-Length"])
            seen.append((self.path, json.loads(self.rfile.read(size))))
            status = answers.pop(0) if len(answers) > 1 else answers[0]
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.server_port}/hook", seen
        finally:
            listening.shutdown()
            thread.join()


def test_no_key_bit_is_in_any_file_but_the_stores(tmp_path):
    folder = new_site(tmp_path / "pki", settings=HEALTH)
    contents = []
    with EventLog(folder / "kme.log"), served(folder) as server:
        block = server.deposit(100_000)
        with server.client() as alice, server.client("bob-app", "bob") as bob:
            for number in (1, 5):
                _, given = alice.enc_keys(number=number)
                contents += [key["key"] for key in given["keys"]]
                key_ids = key_ids_of(given)
                bob.dec_keys(key_ids)
                bob.dec_keys(key_ids)
            alice.enc_keys(size=257)
            alice.ask("POST", "/api/v1/keys/bob-app/enc_keys", contents[0].encode())
            alice.ask("GET", f"/api/v1/keys/bob-app/enc_keys?x={contents[0]}")
            alice.ask("GET", f"/api/v1/keys/{contents[0]}/enc_keys")
            bob.ask("POST", "/api/v1/keys/alice-app/dec_keys", {"key_IDs": contents})
        shown = local(server, "/status")[1] + local(server, "/metrics")[1]
        server.run(server.delivery.ring("alice", "bob", since=0.0, reason="a test"))
    written = [
        (file.name, file.read_bytes())
        for file in folder.rglob("*")
        if file.is_file() and ".sqlite" not in file.name
    ]
    assert {"kme.log", "audit.jsonl"} <= {name for name, _ in written}
    raw = [base64.b64decode(content) for content in contents]
    assert all(key in block for key in raw)
    for name, content in [*written, ("replies", shown.encode())]:
        for key in raw:
            forms = (key, key.hex().encode(), base64.b64encode(key)[:16], repr(key).encode())
            assert not any(form in content for form in forms), name


def test_the_audit_trail_says_who_got_which_key(tmp_path):
    with served(tmp_path / "pki") as server:
        server.deposit()
        with server.client() as alice, server.client("bob-app", "bob") as bob:
            key_ids = key_ids_of(alice.enc_keys(number=2)[1])
            bob.dec_keys(key_ids[:1])
            alice.enc_keys(size=7)
        file = server.folder / "audit.jsonl"
        lines = [json.loads(line) for line in file.read_text().splitlines()]
    found = [(line["event"], line["kme"], line["sae"], line["key_IDs"]) for line in lines]
    assert found == [
        ("given", "alice", "alice-app", key_ids),
        ("fetched", "bob", "bob-app", key_ids[:1]),
    ]
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_delivery_that_cannot_be_written_down_is_none(tmp_path):
    with served(tmp_path / "pki", settings='audit = "/dev/full"') as server:
        server.deposit()
        with server.client() as alice:
            status, refused = alice.enc_keys()
            assert (status, refused["message"]) == (503, "the delivery could not be recorded")
            assert alice.status()[0] == 200


def test_half_a_line_does_not_spoil_the_next(tmp_path, monkeypatch):
    file = tmp_path / "audit.jsonl"
    trail = AuditTrail(file, clock=lambda: 0.0)
    write, left = os_write(), [10, None]

    def full(descriptor, content):
        size = left.pop(0) if left else len(content)
        if size is None:
            raise OSError(28, "No space left on device")
        return write(descriptor, content[:size])

    monkeypatch.setattr("e91.delivery.audit.os.write", full)
    names = {"kme": "alice", "caller": "a", "peers": ["b"]}
    with pytest.raises(OSError, match="No space"):
        trail.note("given", **names, key_ids=["first"])
    trail.note("given", **names, key_ids=["second"])
    trail.close()
    half, whole = file.read_text().splitlines()
    assert len(half) == 10
    assert json.loads(whole)["key_IDs"] == ["second"]


def os_write():
    import os

    return os.write


def test_health_is_a_state(tmp_path):
    with served(tmp_path / "pki", settings=HEALTH) as server:
        assert local(server, "/health") == (200, '{"status":"well"}')
        assert local(server, "/nothing")[0] == 404
        server.deposit()
        (link, other) = json.loads(local(server, "/status")[1])["links"]
        expected = {"kme": "alice", "peer": "bob", "keys": 31_250, "bits": 8_000_000}
        expected |= {"model": "device-independent", "epsilon": 1e-10, "alarm": None}
        assert expected.items() <= link.items()
        assert (other["kme"], other["peer"]) == ("bob", "alice")
        assert json.loads(local(server, "/openapi.json")[1])["openapi"].startswith("3.")


def test_metrics_count_what_was_answered(tmp_path):
    with served(tmp_path / "pki", settings=HEALTH) as server:
        server.deposit(64)
        with server.client() as alice, server.client("bob-app", "bob") as bob:
            bob.dec_keys(key_ids_of(alice.enc_keys(number=2)[1]))
            alice.enc_keys()
            alice.status("nobody")
            text = local(server, "/metrics")[1]
    for line in (
        'e91_requests_total{kme="alice",method="enc_keys",status="200"} 1.0',
        'e91_requests_total{kme="alice",method="enc_keys",status="503"} 1.0',
        'e91_requests_total{kme="alice",method="none",status="400"} 1.0',
        'e91_keys_delivered_total{kme="alice",method="enc_keys"} 2.0',
        'e91_keys_delivered_total{kme="bob",method="dec_keys"} 2.0',
        'e91_key_bits{kme="alice",peer="bob"} 0.0',
        'e91_connections{kme="alice"} 1.0',
        'e91_request_seconds_count{kme="alice",method="enc_keys"} 2.0',
        "e91_alarms_total 0.0",
    ):
        assert line in text.splitlines()


def test_an_alarm_reaches_everybody(tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="e91.delivery")
    with called_server([200]) as (url, seen):
        settings = f'{HEALTH}\n[alarm]\nweb_hook = "{url}"'
        with served(tmp_path / "pki", settings=settings) as server, server.client() as alice:
            server.deposit()
            key_ids = key_ids_of(alice.enc_keys()[1])
            bits = server.run(
                server.delivery.ring("alice", "bob", since=0.0, reason="S fell below 2")
            )
            assert bits >= 2 * 8 * 999_968
            status, refused = alice.enc_keys()
            assert status == 503
            assert "S fell below 2" in refused["message"]
            assert alice.headers["Retry-After"] == "5"
            with server.client("bob-app", "bob") as bob:
                assert bob.dec_keys(key_ids)[0] in (400, 503)
            extension = alice.status()[1]["status_extension"]
            assert "S fell below 2" in extension["e91_alarm"]
            link = json.loads(local(server, "/status")[1])["links"][0]
            assert "S fell below 2" in link["alarm"]
            text = local(server, "/metrics")[1]
            assert 'e91_link_alarmed{kme="alice",peer="bob"} 1.0' in text
            assert "e91_alarms_total 1.0" in text
            server.run(server.delivery.clear("alice", "bob"))
            server.deposit()
            assert alice.enc_keys()[0] == 200
            assert waited_for(lambda: len(seen) == 2)
    assert [(path, event["event"]) for path, event in seen] == [
        ("/hook", "alarm"),
        ("/hook", "alarm cleared"),
    ]
    assert seen[0][1]["reason"] == "S fell below 2"
    assert "alarm" in caplog.text


def waited_for(condition):
    for _ in range(500):
        if condition():
            return True
        threading.Event().wait(0.02)
    return False


def test_a_web_hook_is_tried_again_and_never_redirected():
    with called_server([500, 302, 200]) as (url, seen):
        hook = WebHook(url, first_wait_s=0.01)
        assert asyncio.run(hook.send({"event": "alarm"}))
    assert [path for path, _ in seen] == 3 * ["/hook"]


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "https://127.0.0.1:1/", "http://h:x/"])
def test_a_web_hook_that_nobody_answers_is_given_up(url):
    hook = WebHook(url, attempts=2, timeout_s=1.0, first_wait_s=0.01)
    assert not asyncio.run(hook.send({"event": "alarm"}))


def test_a_flood_of_one_event_is_cut_and_said(tmp_path):
    file = tmp_path / "kme.log"
    with EventLog(file):
        logger = logging.getLogger("e91.delivery")
        for _ in range(1_000):
            logger.info("refused", extra={"status": 401})
    lines = file.read_text().splitlines()
    assert 20 <= len(lines) <= 60
    assert file.stat().st_mode & 0o777 == 0o600


def test_what_was_left_out_is_counted():
    times = iter([*([0.0] * 25), 1.0])
    cut = FloodFilter(clock=lambda: next(times))
    records = [logging.makeLogRecord({"msg": "refused", "levelno": 20}) for _ in range(26)]
    passed = [record for record in records if cut.filter(record)]
    assert len(passed) == 21
    assert passed[-1].left_out == 5


def test_a_line_has_no_facts_but_listed_ones_and_no_message_of_an_exception(tmp_path):
    file = tmp_path / "kme.log"
    with EventLog(file):
        logger = logging.getLogger("e91.delivery")
        try:
            raise ValueError("secret")
        except ValueError:
            logger.exception("it failed", extra={"key": "secret", "kme": "alice"})
    line = json.loads(file.read_text())
    assert "secret" not in file.read_text()
    assert line["kme"] == "alice"
    assert line["exception"].startswith("ValueError at ")


def test_a_file_that_cannot_be_written_is_said_to_be(tmp_path):
    absent = tmp_path / "absent" / "file"
    with pytest.raises(ValueError, match="`log` must be a file that can be written"):
        EventLog(absent)
    with pytest.raises(ValueError, match="`audit` must be a file that can be written"):
        AuditTrail(absent, clock=lambda: 0.0)


@pytest.mark.slow
def test_keys_that_wait_too_long_are_void_counted_and_logged(tmp_path, caplog):
    with served(tmp_path / "pki", settings=f"{HEALTH}\nwaiting_s = 1") as server:
        server.deposit(320)
        with server.client() as alice, server.client("bob-app", "bob") as bob:
            key_ids = key_ids_of(alice.enc_keys(number=3)[1])
            assert bob.dec_keys(key_ids[:1])[0] == 200
            end = time.monotonic() + 20
            while "e91_keys_expired_total 2.0" not in local(server, "/metrics")[1]:
                assert time.monotonic() < end
                time.sleep(0.1)
            assert bob.dec_keys(key_ids[1:2])[0] == 400
    assert "keys that nobody fetched are void" in caplog.text


def test_a_pipe_that_nobody_reads_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="`log` must be a file that can be written"):
        EventLog(tmp_path / "pipe")
    with pytest.raises(ValueError, match="`audit` must be a file that can be written"):
        AuditTrail(tmp_path / "pipe", clock=lambda: 0.0)
