"""Cisco's SKIP (draft-cisco-skip-02) on the real stores, its public client, and a PSK tunnel."""

import base64
import json
import shutil
import socket
import subprocess
import time
from uuid import UUID

import pytest
from key_servers import SaeClient, client_context, new_site, served

from e91.delivery.etsi014.site import KeySite
from e91.delivery.skip import SkipFace, check_plain_address

KEYS = """
[[skip]]
kme = "alice"
listen = "127.0.0.1:0"
local_system = "SystemA"
remote_systems = { SystemB = "bob-app", "Größe 1" = "carol-app" }

[[skip]]
kme = "bob"
listen = "127.0.0.1:0"
local_system = "SystemB"
remote_systems = { SystemA = "alice-app" }

[[skip]]
kme = "alice"
listen = "127.0.0.1:0"
local_system = "SystemA"
remote_systems = { SystemB = "bob-app" }
sae = "alice-app"
plain = true
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = new_site(tmp_path_factory.mktemp("site") / "pki")
    configuration = folder / "kme.toml"
    configuration.write_text(configuration.read_text() + KEYS)
    with served(folder) as running:
        running.deposit(100_000)
        yield running


def port(server, number):
    return server.delivery.skips[number].address.port


def encryptor(server, sae="alice-app"):
    """An encryptor at its key provider."""
    number = 1 if sae in ("bob-app", "carol-app") else 0
    return SaeClient(port(server, number), client_context(server.folder, f"sae-{sae}"))


def test_capabilities_name_the_systems_and_no_entropy_of_a_pool(server):
    with encryptor(server) as alice:
        assert alice.ask("GET", "/capabilities") == (200, {
            "entropy": True, "key": True, "algorithm": "E91", "localSystemID": "SystemA",
            "remoteSystemID": ["SystemB", "Größe 1"],
        })  # fmt: skip


def test_both_ends_get_one_key_once_by_the_id_that_014_has_too(server):
    with encryptor(server) as alice, encryptor(server, "bob-app") as bob:
        code, key = alice.ask("GET", "/key?remoteSystemID=SystemB&size=512")
        assert (code, len(key["key"]), len(key["keyId"])) == (200, 128, 32)
        path = f"/key/{key['keyId'].upper()}?remoteSystemID=SystemA"
        assert bob.ask("GET", path) == (200, key)
        assert bob.ask("GET", path)[0] == 400
        _, other = alice.ask("GET", "/key?remoteSystemID=SystemB")
        assert len(other["key"]) == 64
        with server.client("bob-app", "bob") as by_014:
            key_id = str(UUID(other["keyId"]))
            found = by_014.dec_keys([key_id])[1]["keys"][0]
        assert bob.ask("GET", f"/key/{other['keyId']}?remoteSystemID=SystemA")[0] == 400

    assert base64.b64decode(found["key"]).hex() == other["key"]


def test_only_the_named_encryptor_fetches_and_from_the_named_system(server):
    with encryptor(server) as alice, encryptor(server, "carol-app") as carol:
        _, key = alice.ask("GET", "/key?remoteSystemID=SystemB")
        path = f"/key/{key['keyId']}"
        assert carol.ask("GET", f"{path}?remoteSystemID=SystemA") == (
            400, {"message": "key not found"},
        )  # fmt: skip
        with encryptor(server, "bob-app") as bob:
            assert bob.ask("GET", f"{path}?remoteSystemID=SystemC")[0] == 400
            assert bob.ask("GET", path)[0] == 400
            assert bob.ask("GET", f"{path}?remoteSystemID=SystemA")[0] == 200
        _, key = alice.ask("GET", "/key?remoteSystemID=Gr%C3%B6%C3%9Fe%201")
        assert carol.ask("GET", f"/key/{key['keyId']}?remoteSystemID=SystemA") == (200, key)


def test_entropy_is_as_much_as_is_asked_for_and_takes_no_key(server):
    with encryptor(server) as alice, server.client() as by_014:
        before = by_014.status()[1]["stored_key_count"]
        samples = [alice.ask("GET", "/entropy?minentropy=100")[1] for _ in range(2)]
        assert by_014.status()[1]["stored_key_count"] == before
        assert alice.ask("GET", "/entropy")[1]["minentropy"] == 256
    assert [(len(one["randomStr"]), one["minentropy"]) for one in samples] == [(26, 104)] * 2
    assert samples[0]["randomStr"] != samples[1]["randomStr"]


@pytest.mark.parametrize(
    ("method", "target", "code"),
    [
        ("GET", "/", 404), ("GET", "/keys", 404), ("GET", "/key/a/b", 404),
        ("GET", "/capabilities/", 404), ("GET", "/entropy/7", 404),
        ("POST", "/key?remoteSystemID=SystemB", 405), ("HEAD", "/entropy", 405),
        ("GET", "/key", 400), ("GET", "/key?remoteSystemID=", 400),
        ("GET", "/key?remoteSystemID=System*", 400), ("GET", "/key?remoteSystemID=SystemA", 400),
        ("GET", "/key?remoteSystemID=SystemB&size=100", 400),
        ("GET", "/key?remoteSystemID=SystemB&size=0", 400),
        ("GET", "/key?remoteSystemID=SystemB&size=1e3", 400),
        ("GET", "/key?remoteSystemID=SystemB&size=99999999", 400),
        ("GET", "/key?remoteSystemID=SystemB&remoteSystemID=SystemB", 400),
        ("GET", "/key?remoteSystemID=%FF", 400), ("GET", "/capabilities?x=1", 400),
        ("GET", "/key/00?remoteSystemID=SystemB", 400),
        ("GET", "/key/?remoteSystemID=SystemB", 400),
        ("GET", f"/key/{'0' * 32}?remoteSystemID=SystemB", 400),
        ("GET", "/entropy?minentropy=0", 400), ("GET", "/entropy?minentropy=65537", 400),
        ("GET", "/entropy?minentropy=-8", 400),
    ],
)  # fmt: skip
def test_wrong_requests_take_no_key(server, method, target, code):
    with encryptor(server) as alice, server.client() as by_014:
        before = by_014.status()[1]["stored_key_count"]
        assert alice.ask(method, target)[0] == code
        assert by_014.status()[1]["stored_key_count"] == before


def test_no_certificate_or_that_of_a_kme_gets_nothing(server):
    with SaeClient(port(server, 0), client_context(server.folder, "kme-bob")) as kme:
        assert kme.ask("GET", "/key?remoteSystemID=SystemB") == (401, {"message": "unauthorized"})
        assert kme.ask("GET", "/capabilities")[0] == 401
    nobody = SaeClient(port(server, 0), client_context(server.folder))
    with nobody, pytest.raises(OSError, match=r"alert|EOF|closed|reset"):
        nobody.ask("GET", "/capabilities")
    with SaeClient(port(server, 1), client_context(server.folder, "sae-alice-app")) as stray:
        assert stray.ask("GET", "/capabilities")[0] == 401  # of the other KME


def test_a_dry_pool_is_503_and_alarms_say_why(tmp_path):
    folder = new_site(tmp_path / "pki")
    (folder / "kme.toml").write_text((folder / "kme.toml").read_text() + KEYS)
    with served(folder) as running, encryptor(running) as alice:
        code, said = alice.ask("GET", "/key?remoteSystemID=SystemB")
        assert (code, said) == (503, {"message": "too little key is left"})
        running.deposit(1_000)
        running.run(running.delivery.ring("alice", "bob", since=0.0, reason="S fell to 1.9"))
        code, said = alice.ask("GET", "/key?remoteSystemID=SystemB")
        assert code == 503
        assert "S fell to 1.9" in said["message"]


def test_who_got_which_key_is_written_down(server):
    with encryptor(server) as alice:
        _, key = alice.ask("GET", "/key?remoteSystemID=SystemB")
    trail = (server.folder / "audit.jsonl").read_text()
    assert str(UUID(key["keyId"])) in trail
    assert key["key"] not in trail


# Others' clients.


def test_skip_qkd_works_over_certificates_one_call_an_object(server):
    skip_qkd = pytest.importorskip("skip_qkd")

    def client(sae, number, system):
        stem = server.folder / f"sae-{sae}"
        tls = skip_qkd.MTLSConfig(str(server.folder / "ca.crt"), f"{stem}.crt", f"{stem}.key")
        return skip_qkd.SkipQKDClient(f"127.0.0.1:{port(server, number)}", system, mtls_config=tls)

    def alice():
        return client("alice-app", 0, "SystemA")

    def bob():
        return client("bob-app", 1, "SystemB")

    assert alice().capabilities()["localSystemID"] == "SystemA"
    key = alice().request_key("SystemB", size=512)
    assert len(key["key"]) == 128
    assert bob().fetch_key_by_id(key["keyId"], "SystemA")["key"] == key["key"]
    with pytest.raises(RuntimeError, match="400"):
        bob().fetch_key_by_id(key["keyId"], "SystemA")
    assert alice().entropy(128)["minentropy"] == 128


def test_an_encryptor_with_a_pre_shared_key_comes_through_stunnel(server, tmp_path):
    if not (shutil.which("stunnel") and shutil.which("openssl")):
        pytest.skip("stunnel and openssl must be there")
    secret = "0123456789abcdef" * 4
    (tmp_path / "psk").write_text(f"sysA:{secret}\n")
    (tmp_path / "psk").chmod(0o600)
    with socket.create_server(("127.0.0.1", 0)) as free:
        at = free.getsockname()[1]
    (tmp_path / "stunnel.conf").write_text(
        f"foreground = yes\npid =\n[skip]\naccept = 127.0.0.1:{at}\n"
        f"connect = 127.0.0.1:{port(server, 2)}\nciphers = PSK\n"
        f"PSKsecrets = {tmp_path / 'psk'}\n"
    )
    tunnel = subprocess.Popen(["stunnel", str(tmp_path / "stunnel.conf")],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        _until_open(at)
        right = _asked_by_psk(at, secret)
        wrong = _asked_by_psk(at, secret[::-1])
    finally:
        tunnel.terminate()
        tunnel.wait(10)
    assert len(json.loads(right[right.index("{") : right.rindex("}") + 1])["key"]) == 64
    assert '"key"' not in wrong


def _until_open(at):
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", at), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("the tunnel must open its port, but does not")


def _asked_by_psk(at, secret):
    request = "GET /key?remoteSystemID=SystemB HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{at}", "-tls1_3", "-quiet",
         "-psk_identity", "sysA", "-psk", secret, "-ciphersuites", "TLS_AES_128_GCM_SHA256",
         "-ign_eof"],
        input=request, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    return done.stdout


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"is_plain": True}, "`sae` must be given where `plain` is true"),
        ({"sae": "bob-app"}, "`sae` must be an SAE of alice, but is `bob-app`"),
        ({"algorithm": "x" * 17}, "must have 1 to 16 bytes"),
        ({"remote_systems": {}}, "must name at least one system"),
        ({"remote_systems": {"B*": "bob-app"}}, "must be IDs without wildcards, but has `B\\*`"),
        ({"remote_systems": {"B": "nobody"}}, "must lead to SAEs, but `nobody` is none"),
    ],
)
def test_a_wrong_face_is_a_sentence(changes, sentence):
    site = KeySite("alice", {"alice-app": "alice", "bob-app": "bob"})
    with pytest.raises(ValueError, match=sentence):
        SkipFace(site, "A", **{"remote_systems": {"B": "bob-app"}, **changes})


@pytest.mark.parametrize("listen", ["0.0.0.0:1", "192.0.2.1:1", "kme.example:1"])
def test_without_tls_only_this_computer_is_served(listen):
    with pytest.raises(ValueError, match="must be a loopback address"):
        check_plain_address(listen)
    check_plain_address("127.0.0.1:1")
    check_plain_address("[::1]:1")
