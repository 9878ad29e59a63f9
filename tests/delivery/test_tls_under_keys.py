"""TLS 1.3 of programs that nobody here wrote, whose pre-shared key is a delivered key.

The key's ID is the identity of the pre-shared key.  With the right key at both ends the programs
connect; where the other end has another key, they refuse with alert 47 (illegal parameter).
"""

import re
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from key_servers import served

from e91.delivery.client import KeyClient


@pytest.fixture(scope="module")
def new_key(tmp_path_factory):
    """A function that takes a key at one server, and its twin at the other: ID, key, twin."""
    with served(tmp_path_factory.mktemp("site") / "pki") as server:
        server.deposit(10_000)

        def client(sae, kme):
            stem = server.folder / f"sae-{sae}"
            return KeyClient(
                f"https://127.0.0.1:{server.port(kme)}", certificate=stem.with_suffix(".crt"),
                private_key=stem.with_suffix(".key"), ca=server.folder / "ca.crt",
            )  # fmt: skip

        def take(size=256):
            with client("alice-app", "alice") as alice, client("bob-app", "bob") as bob:
                (key,) = alice.get_keys("bob-app", size=size)
                (twin,) = bob.get_keys_by_id("alice-app", [key.key_id])
            return key.key_id, key.content.hex(), twin.content.hex()

        yield take


def needs(*programs):
    gone = [name for name in programs if shutil.which(name) is None]
    if gone:
        pytest.skip(f"{', '.join(gone)} must be installed")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@contextmanager
def running(command, port):
    """A server program that listens at a port, until the block ends."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.02)
        yield
    finally:
        process.kill()
        process.communicate()


def openssl_server(port, key_id, key, suite="TLS_AES_128_GCM_SHA256"):
    return ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-nocert", "-tls1_3", "-psk",
            key, "-psk_identity", key_id, "-ciphersuites", suite, "-www"]  # fmt: skip


def asked_with_openssl(port, key_id, key, suite="TLS_AES_128_GCM_SHA256"):
    """What a client of OpenSSL says that asks for a page."""
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_3", "-psk", key,
         "-psk_identity", key_id, "-ciphersuites", suite],
        input="GET / HTTP/1.0\r\n\r\n", capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


def wrong(key):
    """Another key of that length: as if the other end had derived another one."""
    return f"{int(key[0], 16) ^ 1:x}{key[1:]}"


def test_openssl_connects_under_a_delivered_key_and_refuses_another(new_key):
    needs("openssl")
    key_id, key, twin = new_key()
    port = free_port()
    with running(openssl_server(port, key_id, key), port):
        said = asked_with_openssl(port, key_id, twin)
        assert "Reused, TLSv1.3, Cipher is TLS_AES_128_GCM_SHA256" in said
        refused = asked_with_openssl(port, key_id, wrong(twin))
    assert "SSL alert number 47" in refused
    assert "Reused" not in refused


def test_openssl_does_not_take_an_external_key_for_a_suite_of_sha_384(new_key):
    # What docs/key_delivery.md says of SKIP's required suite; if this changes, so does the page.
    needs("openssl")
    key_id, key, twin = new_key()
    port, suite = free_port(), "TLS_AES_256_GCM_SHA384"
    with running(openssl_server(port, key_id, key, suite), port):
        said = asked_with_openssl(port, key_id, twin, suite)
    assert "SSL alert number 40" in said


def session_maker(folder):
    """The program of docs/key_delivery.md that makes a session of a key, compiled."""
    page = (Path(__file__).parents[2] / "docs" / "key_delivery.md").read_text(encoding="utf-8")
    (source,) = re.findall(r"^```c\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (folder / "session.c").write_text(source)
    command = [
        "gcc",
        "-Wall",
        "-Wextra",
        "-Werror",
        "session.c",
        "-o",
        "session",
        "-lssl",
        "-lcrypto",
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if "openssl/pem.h" in done.stderr:
        pytest.skip("the headers of OpenSSL must be installed")
    assert done.returncode == 0, done.stderr
    return folder / "session"


def test_as_a_session_openssl_takes_the_key_for_a_suite_of_sha_384(new_key, tmp_path):
    needs("openssl", "gcc")
    make, (key_id, key, twin) = session_maker(tmp_path), new_key()
    for name, one in (("server", key), ("right", twin), ("wrong", wrong(twin))):
        session = subprocess.run([make], input=one, capture_output=True, text=True, check=True)
        (tmp_path / name).write_text(session.stdout)
    port, suite = free_port(), ["-tls1_3", "-ciphersuites", "TLS_AES_256_GCM_SHA384"]
    server = ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-nocert", "-www", *suite,
              "-psk_session", str(tmp_path / "server"), "-psk_identity", key_id]  # fmt: skip
    with running(server, port):
        right, refused = (
            subprocess.run(
                ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *suite, "-psk_session",
                 str(tmp_path / name), "-psk_identity", key_id],
                input="GET / HTTP/1.0\r\n\r\n", capture_output=True, text=True, timeout=30,
                check=False,
            )
            for name in ("right", "wrong")
        )  # fmt: skip
    assert "Reused, TLSv1.3, Cipher is TLS_AES_256_GCM_SHA384" in right.stdout
    assert "SSL alert number 47" in refused.stderr


def test_gnutls_and_openssl_connect_under_a_delivered_key(new_key, tmp_path):
    needs("openssl", "gnutls-serv", "gnutls-cli")
    key_id, key, twin = new_key()
    (tmp_path / "psk").write_text(f"{key_id}:{key}\n")
    port = free_port()
    suites = "NORMAL:-KX-ALL:+PSK:+DHE-PSK:+ECDHE-PSK"
    server = ["gnutls-serv", "--http", "-p", str(port), "--pskpasswd", str(tmp_path / "psk"),
              "--priority", suites]  # fmt: skip
    with running(server, port):
        answers = [
            subprocess.run(
                ["gnutls-cli", "127.0.0.1", "-p", str(port), "--pskusername", key_id, "--pskkey",
                 one, "--priority", suites],
                input="GET / HTTP/1.0\r\n\r\n", capture_output=True, text=True, timeout=30,
                check=False,
            )
            for one in (twin, wrong(twin))
        ]  # fmt: skip
        crossed = asked_with_openssl(port, key_id, twin)
    right, refused = (one.stdout + one.stderr for one in answers)
    assert "Handshake was completed" in right
    assert "HTTP/1.0 200 OK" in right
    assert "Handshake was completed" not in refused
    assert "[47]" in refused or "llegal parameter" in refused
    assert "Reused, TLSv1.3" in crossed
