"""Clients of GS QKD 014 that nobody here wrote, against `e91 kme serve`."""

import base64
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from key_servers import serving_process


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving_process(tmp_path_factory.mktemp("site") / "pki") as running:
        yield running


def program(name: str) -> str:
    """The path of a program beside this Python, or anywhere."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} must be installed")
    return found


def files(server, sae):
    stem = server.folder / f"sae-{sae}"
    return [f"{stem}.crt", f"{stem}.key", str(server.folder / "ca.crt")]


# etsi-qkd-014-client 0.9.0: a new handshake for every call; POST as soon as there is an argument.


@pytest.fixture
def etsi_client(server):
    client = pytest.importorskip("etsi_qkd_014_client")

    def of(sae, kme):
        return client.QKD014Client(f"127.0.0.1:{server.port(kme)}", *files(server, sae))

    return of


def test_etsi_client_gets_and_fetches_keys_once(etsi_client):
    alice, bob = etsi_client("alice-app", "alice"), etsi_client("bob-app", "bob")
    code, status = alice.get_status("bob-app")
    assert (code, status.source_kme_id, status.target_kme_id) == (200, "alice", "bob")
    code, given = alice.get_key("bob-app", number=3, size=512)
    assert (code, {len(base64.b64decode(key.key)) for key in given.keys}) == (200, {64})
    ids = [key.key_id for key in given.keys]
    code, fetched = bob.get_key_with_key_IDs("alice-app", ids)
    assert code == 200
    assert [key.key for key in fetched.keys] == [key.key for key in given.keys]
    code, error = bob.get_key_with_key_IDs("alice-app", ids[:1])
    assert (code, error.message) == (400, "one or more keys specified are not found on KME")


def test_etsi_client_reads_every_error(etsi_client):
    alice, carol = etsi_client("alice-app", "alice"), etsi_client("carol-app", "bob")
    _, given = alice.get_key("bob-app")
    code, error = carol.get_key_with_key_IDs("alice-app", [given.keys[0].key_id])
    assert (code, error.message) == (401, "unauthorized")  # without a body it would raise
    code, error = alice.get_key("bob-app", size=257)
    assert (code, error.message) == (400, "size shall be a multiple of 8")
    code, error = alice.get_key("bob-app", extension_mandatory=[{"x_y": 1}])
    assert (code, error.message) == (400, "not all extension_mandatory parameters are supported")


def test_etsi_client_shares_a_key_with_an_additional_sae(etsi_client):
    alice, bob = etsi_client("alice-app", "alice"), etsi_client("bob-app", "bob")
    carol = etsi_client("carol-app", "bob")
    _, given = alice.get_key("bob-app", number=1, additional_slave_sae_ids=["carol-app"])
    for other in (bob, carol):
        code, fetched = other.get_key_with_key_IDs("alice-app", [given.keys[0].key_id])
        assert (code, fetched.keys[0].key) == (200, given.keys[0].key)


# qkdsec 0.3.0 and its doctor.


def qkdsec(server, kme, sae, *words, where=None):
    certificate, key, ca = files(server, sae)
    url = f"https://127.0.0.1:{server.port(kme)}"
    done = subprocess.run(
        [program("qkdsec"), *words[:2], url, *words[2:], "--cert", certificate, "--key", key,
         "--ca-cert", ca],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done


def test_qkdsec_gets_and_retrieves_a_key(server):
    given = qkdsec(server, "alice", "alice-app", "keys", "get", "bob-app", "--json")
    assert given.returncode == 0, given.stdout + given.stderr
    (key,) = json.loads(given.stdout)
    asked = ("keys", "retrieve", "alice-app", key["key_id"], "--json")
    assert json.loads(qkdsec(server, "bob", "bob-app", *asked).stdout) == [key]
    assert qkdsec(server, "bob", "bob-app", *asked).returncode != 0


# Name of the check: what it says, and why the text says otherwise.
DOCTOR = {
    "reachability": "pass",
    "status_fields": "pass",
    "enc_keys_get": "pass",
    "enc_keys_post": "pass",
    "enc_keys_caps": "pass",
    "extensions_accepted": "pass",
    # It has one certificate and asks as the master for the key by its ID.  Clause 5.4: a key by its
    # ID is for SAEs that were named when the master got it; the master was not.
    "dec_keys_roundtrip": "fail",
    # It wants 404.  Clause 5.4 and table 8: an ID without a key is a bad request, 400.
    "error_contract_404": "warn",
    "error_contract_400": "pass",
    "latency": "pass",
}


def test_qkdsec_doctor_finds_two_deviations_which_the_text_demands(server):
    certificate, key, ca = files(server, "alice-app")
    done = subprocess.run(
        [program("qkdsec"), "doctor", f"https://127.0.0.1:{server.port('alice')}",
         "--cert", certificate, "--key", key, "--ca-cert", ca, "-s", "bob-app",
         "--format", "json"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    report = json.loads(done.stdout)
    assert {one["name"]: one["status"] for one in report["results"]} == DOCTOR
    assert report["counts"] == {"pass": 8, "warn": 1, "fail": 1, "skip": 0}
    by_name = {one["name"]: one["summary"] for one in report["results"]}
    assert "KME returned HTTP 400: one or more keys specified" in by_name["dec_keys_roundtrip"]
    assert "HTTP 400 for an unknown key_ID; ETSI 014 expects 404" in by_name["error_contract_404"]


# curl


def curl(server, kme, sae, path, *more):
    certificate, key, ca = files(server, sae)
    url = f"https://127.0.0.1:{server.port(kme)}/api/v1/keys/{path}"
    done = subprocess.run(
        [program("curl"), "-sS", "--cacert", ca, "--cert", certificate, "--key", key, "-w",
         "\n%{http_code}", *more, url],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    body, _, code = done.stdout.rpartition("\n")
    return done.returncode, int(code or 0), json.loads(body) if body else None


@pytest.mark.parametrize("version", ["--http1.1", "--http1.0", "--http2"])
def test_curl_gets_and_fetches_a_key_by_get(server, version):
    end, code, given = curl(server, "alice", "alice-app", "bob-app/enc_keys?size=128", version)
    assert (end, code) == (0, 200)
    (key,) = given["keys"]
    path = f"alice-app/dec_keys?key_ID={key['key_ID']}"
    assert curl(server, "bob", "bob-app", path, version)[2]["keys"][0]["key"] == key["key"]
    assert curl(server, "bob", "bob-app", path, version)[1] == 400


def test_curl_posts_json_and_hears_which_header_is_missing(server):
    body = ["-d", '{"number": 2, "additional_slave_SAE_IDs": ["carol-app"]}']
    json_type = ["-H", "Content-Type: application/json"]
    _, code, given = curl(server, "alice", "alice-app", "bob-app/enc_keys", *body, *json_type)
    assert (code, len(given["keys"])) == (200, 2)
    _, code, said = curl(server, "alice", "alice-app", "bob-app/enc_keys", *body)
    assert (code, said) == (400, {"message": "the header content-type must be application/json"})


def test_curl_gets_nothing_by_old_tls_or_without_a_certificate(server):
    end, code, _ = curl(server, "alice", "alice-app", "bob-app/enc_keys", "--tls-max", "1.1")
    assert (end, code) == (35, 0)
    done = subprocess.run(
        [program("curl"), "-sS", "--cacert", str(server.folder / "ca.crt"),
         f"https://127.0.0.1:{server.port('alice')}/api/v1/keys/bob-app/enc_keys"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode in (35, 52, 56)  # refused in the handshake, or just after it
    assert done.stdout == ""
