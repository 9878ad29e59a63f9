"""A client of the standard: what it asks, what it believes, what it never says."""

import base64
import json
import os
import socket
import ssl
import threading
from contextlib import contextmanager

import pytest
from small_kme import SmallAnswers, small_kme

from e91.delivery import AuthorityPlan, KmePlace, SaePlace, new_authority, revoke
from e91.delivery.client import FetchedKey, KeyClient
from e91.model.errors import DeliveryFailed, DeliveryRefused, KeyUnavailable

SAES = ("alice-app", "bob-app", "carol-app")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("authority") / "pki"
    saes = tuple(SaePlace(name, "alice") for name in SAES)
    kmes = (KmePlace("alice", "127.0.0.1", 0), KmePlace("bob", "kme.example.org", 0))
    new_authority(place, AuthorityPlan(kmes, saes))
    return place


def client(folder, url, name="alice-app", **options):
    files = {"certificate": folder / f"sae-{name}.crt", "private_key": folder / f"sae-{name}.key"}
    return KeyClient(url, **{**files, "ca": folder / "ca.crt", "timeout_s": 5.0, **options})


@contextmanager
def answering(folder, status, document, *headers):
    """A server that answers everything with the same words."""

    class Parrot(SmallAnswers):
        def answer(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            text = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.send_response(status)
            for name, value in (*headers, ("Content-Length", str(len(text)))):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)

    with small_kme(folder) as server:
        server.RequestHandlerClass = Parrot
        yield server


def test_both_sides_get_the_same_keys_in_the_order_asked_for(folder):
    with small_kme(folder) as server, client(folder, server.url) as alice:
        keys = alice.get_keys("bob-app", number=3, size=512)
        with client(folder, server.url, "bob-app") as bob:
            ids = [key.key_id for key in reversed(keys)]
            fetched = bob.get_keys_by_id("alice-app", ids)
            assert [key.content for key in fetched] == [key.content for key in reversed(keys)]
            with pytest.raises(DeliveryRefused) as caught:
                bob.get_keys_by_id("alice-app", ids[:1])
    assert {len(key.content) for key in keys} == {64}
    assert caught.value.status == 400
    assert caught.value.message == "one or more keys specified are not found on KME"


def test_additional_applications_get_the_key_and_extensions_are_sent(folder):
    with small_kme(folder) as server, client(folder, server.url) as alice:
        (key,) = alice.get_keys("bob-app", additional=["carol-app"])
        with client(folder, server.url, "carol-app") as carol:
            assert carol.get_keys_by_id("alice-app", [key.key_id])[0].content == key.content
        with pytest.raises(DeliveryRefused, match="not all extension_mandatory parameters"):
            alice.get_keys("bob-app", mandatory=[{"e91_max_age": 1}])
        assert len(alice.get_keys("bob-app", optional=[{"e91_max_age": 1}])) == 1


def test_status_is_what_the_server_says(folder):
    with small_kme(folder) as server, client(folder, server.url) as alice:
        assert alice.status("bob-app")["master_SAE_ID"] == "alice-app"
        with pytest.raises(DeliveryRefused, match=r"refuses \(400\): unknown SAE ID\."):
            alice.status("SAE/ü 1?")  # one segment, whatever is in it


def test_one_connection_serves_many_calls_and_a_closed_one_is_made_anew(folder):
    class Hasty(SmallAnswers):
        timeout = 0.2
        connections = 0

        def setup(self):
            super().setup()
            Hasty.connections += 1

    with small_kme(folder) as server, client(folder, server.url) as alice:
        server.RequestHandlerClass = Hasty
        for _ in range(5):
            alice.status("bob-app")
        assert Hasty.connections == 1
        threading.Event().wait(0.6)
        alice.status("bob-app")
        assert Hasty.connections == 2


def test_a_lost_answer_is_not_asked_for_twice(folder):
    asked = []

    class Mute(SmallAnswers):
        def answer(self):
            asked.append(self.path)
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True

    with small_kme(folder) as server, client(folder, server.url) as alice:
        server.RequestHandlerClass = Mute
        with pytest.raises(DeliveryFailed, match="what was asked for may be used up"):
            alice.get_keys("bob-app")
    assert asked == ["/api/v1/keys/bob-app/enc_keys"]


@pytest.mark.parametrize(
    "document",
    [
        b"", b"[]", b"{", b"[" * 100_000, {}, {"keys": {}}, {"keys": []}, {"Keys": []},
        {"keys": [{"key_ID": "a", "key": "!"}]}, {"keys": [{"key_ID": 1, "key": "YQ=="}]},
        {"keys": [{"key_ID": "a", "key": "YQ=="}] * 2}, {"keys": [None]},
        {"keys": [{"key_ID": "a", "key": "YQ"}]}, {"keys": [{"key_ID": "a\n", "key": "YQ=="}]},
    ],
)  # fmt: skip
def test_an_answer_that_is_none_is_no_key(folder, document):
    with answering(folder, 200, document) as server, client(folder, server.url) as alice:
        with pytest.raises(DeliveryFailed) as caught:
            alice.get_keys("bob-app")
        with pytest.raises(DeliveryFailed):
            alice.get_keys_by_id("bob-app", ["b"])
    assert not isinstance(caught.value, DeliveryRefused)
    assert caught.value.__context__ is None  # a JSON error would carry the text, perhaps a key


def test_a_key_of_another_size_or_id_is_none(folder):
    entry = {"key_ID": "A", "key": base64.b64encode(bytes(32)).decode()}
    with answering(folder, 200, {"keys": [entry]}) as server, client(folder, server.url) as alice:
        assert alice.get_keys("bob-app")[0].content == bytes(32)
        assert alice.get_keys_by_id("bob-app", ["a"])[0].key_id == "A"
        for call in (
            lambda: alice.get_keys("bob-app", size=512),
            lambda: alice.get_keys("bob-app", number=2),
            lambda: alice.get_keys_by_id("bob-app", ["b"]),
        ):
            with pytest.raises(DeliveryFailed, match="but delivered others"):
                call()


def refusal(folder, status, document, *headers):
    """What a client raises when a server answers so."""
    server = answering(folder, status, document, *headers)
    with server as running, client(folder, running.url) as alice:
        try:
            alice.get_keys("bob-app")
        except KeyUnavailable as error:
            return error
    raise AssertionError("nothing was refused")


def test_a_refusal_says_what_the_server_says(folder):
    answer = {"message": "dry", "details": [{"a": 1}, 2]}
    found = refusal(folder, 503, answer, ("Retry-After", "5"))
    assert (found.status, found.message, found.details) == (503, "dry", ({"a": 1},))
    assert found.retry_after_s == 5.0
    assert str(found).endswith("must serve the request, but refuses (503): dry; try again in 5 s.")
    for nothing in (b"", b"<html>", b'{"message": 7}'):
        assert str(refusal(folder, 401, nothing)).endswith("but refuses (401).")


def test_a_redirect_is_not_followed(folder):
    assert refusal(folder, 307, {}, ("Location", "https://127.0.0.1:1/")).status == 307


def test_no_bits_are_in_what_is_shown(folder):
    key = FetchedKey("id", b"\xab" * 32, {"x": 1})
    assert repr(key) == "FetchedKey('id', 256 bits)"


def test_the_environment_changes_nothing(folder, monkeypatch, tmp_path):
    log = tmp_path / "tls-keys"
    for name in ("https_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("SSLKEYLOGFILE", str(log))
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, os.devnull)
    with small_kme(folder) as server, client(folder, server.url) as alice:
        assert len(alice.get_keys("bob-app")) == 1
    assert not log.exists()


def test_a_server_of_another_authority_gets_no_request(folder, tmp_path):
    place = (KmePlace("alice", "127.0.0.1", 0),)
    new_authority(tmp_path / "other", AuthorityPlan(place, ()))
    with small_kme(folder) as server:
        eve = client(folder, server.url, ca=tmp_path / "other" / "ca.crt")
        with eve, pytest.raises(DeliveryFailed, match="its certificate is refused: self-signed"):
            eve.get_keys("bob-app")
        other_name = server.url.replace("127.0.0.1", "localhost")
        with client(folder, other_name) as alice:
            assert alice.status("bob-app")
    with (
        small_kme(folder, stem="kme-bob") as server,
        client(folder, server.url) as alice,
        pytest.raises(DeliveryFailed, match="IP address mismatch"),
    ):
        alice.status("bob-app")


def test_a_client_may_demand_a_kme_by_its_id(folder):
    with small_kme(folder) as server:
        with client(folder, server.url, kme="alice") as alice:
            assert alice.status("bob-app")
        with (
            client(folder, server.url, kme="bob") as alice,
            pytest.raises(DeliveryFailed, match="must be KME `bob`, but its certificate names"),
        ):
            alice.status("bob-app")


def test_a_revoked_server_is_refused_where_a_list_is_given(tmp_path):
    saes = tuple(SaePlace(name, "alice") for name in SAES)
    place = tmp_path / "pki"
    new_authority(place, AuthorityPlan((KmePlace("alice", "127.0.0.1", 0),), saes))
    revoke(place, "alice")
    with (
        small_kme(place) as server,
        client(place, server.url, crl=place / "ca.crl") as alice,
        pytest.raises(DeliveryFailed, match="its certificate is refused: certificate rev"),
    ):
        alice.status("bob-app")


def test_silence_and_a_closed_port_are_a_sentence_and_old_tls_is_not_spoken(folder):
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"https://127.0.0.1:{server.getsockname()[1]}"
        with client(folder, url, timeout_s=0.3) as alice:
            with pytest.raises(
                DeliveryFailed, match="must be reached over TLS, but the time is up"
            ):
                alice.status("bob-app")
            assert alice._https.context.minimum_version is ssl.TLSVersion.TLSv1_2
    with (
        client(folder, url, timeout_s=0.3) as alice,
        pytest.raises(DeliveryFailed, match="connection refused"),
    ):
        alice.status("bob-app")


@pytest.mark.parametrize(
    ("url", "files", "sentence"),
    [
        ("http://a", {}, "`url` must be https://HOST:PORT, but is `http://a`"),
        ("https://", {}, "`url` must be"),
        ("https://a:x", {}, "`url` must be"),
        ("https://u:p@a", {}, "`url` must be"),
        ("https://a", {"certificate": "ca.key"}, "must be the private key of"),
        ("https://a", {"private_key": "ca.key"}, "must be the private key of"),
        ("https://a", {"private_key": "none"}, "must be a readable, non-empty file"),
        ("https://a", {"ca": "ca.key"}, "must hold the certificates of an authority in PEM"),
        ("https://a", {"crl": "ca.key"}, "must hold a certificate revocation list in PEM"),
    ],
)
def test_wrong_urls_and_files_are_a_sentence(folder, url, files, sentence):
    with pytest.raises(ValueError, match=sentence):
        client(folder, url, **{name: folder / file for name, file in files.items()})
