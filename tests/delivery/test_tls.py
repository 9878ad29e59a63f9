"""Who does not get in: no, foreign, expired, revoked and misused certificates, from the outside.

asyncio refuses a certificate without an alert, and under TLS 1.3 the client's handshake is over by
then; so a request is always sent, and what counts is that nothing of a reply comes back.
"""

import datetime as dt
import http.client
import json
import shutil
import socket
import ssl
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from key_servers import KMES, SAES, SaeClient, client_context, new_site, served

from e91.delivery import AuthorityPlan, new_authority, renew, revoke
from e91.delivery.tls.contexts import TlsFiles, read_credentials
from e91.delivery.tls.identity import NOBODY, identity_of

NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)
STATUS = "/api/v1/keys/bob-app/status"
URI = "urn:e91:sae:alice-app"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return new_site(tmp_path_factory.mktemp("site") / "pki")


@pytest.fixture(scope="module")
def server(site):
    with served(site) as running:
        running.deposit()
        yield running


def signed(folder, stem, *, uris=(URI,), start=-DAY, end=DAY, usage="client", ca="ca"):
    """Make a certificate by hand, as an attacker or a careless operator would."""
    key = ec.generate_private_key(ec.SECP256R1())
    authority = x509.load_pem_x509_certificate((folder / f"{ca}.crt").read_bytes())
    secret = serialization.load_pem_private_key((folder / f"{ca}.key").read_bytes(), None)
    usages = {"client": ExtendedKeyUsageOID.CLIENT_AUTH, "server": ExtendedKeyUsageOID.SERVER_AUTH}
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "alice-app")]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + start)
        .not_valid_after(NOW + end)
        .add_extension(x509.ExtendedKeyUsage([usages[usage]]), critical=False)
    )
    if uris:
        names = [x509.UniformResourceIdentifier(uri) for uri in uris]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    pem = serialization.Encoding.PEM
    certificate = builder.sign(secret, hashes.SHA256())
    (folder / f"{stem}.crt").write_bytes(certificate.public_bytes(pem))
    (folder / f"{stem}.key").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return stem


def answer(server, context, *, kme="alice", target=STATUS):
    """Return status and document, or None if nothing comes back."""
    with SaeClient(server.port(kme), context) as client:
        try:
            return client.ask("GET", target)
        except (OSError, http.client.HTTPException):
            return None


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """Another authority with the same names."""
    folder = tmp_path_factory.mktemp("foreign") / "pki"
    new_authority(folder, AuthorityPlan(KMES, SAES))
    return folder


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_versions_are_spoken_with_http_1_1(site, server, version):
    context = client_context(site, "sae-alice-app")
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2", "http/1.1"])
    port = server.port("alice")
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        assert connection.selected_alpn_protocol() == "http/1.1"
        assert connection.version() == version.name.replace("_", ".").replace("v1.", "v1.")
    assert answer(server, context)[0] == 200


def test_older_versions_are_refused(site, server):
    context = client_context(site, "sae-alice-app")
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="deprecated"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    assert answer(server, context) is None


def test_a_server_may_insist_on_the_newest(tmp_path):
    with served(tmp_path / "pki", settings="tls13_only = true") as newest:
        context = client_context(newest.folder, "sae-alice-app")
        assert answer(newest, context)[0] == 200
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        assert answer(newest, context) is None


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("who", ["none", "foreign", "expired", "early", "server", "revoked"])
def test_a_certificate_that_is_not_good_gets_nothing(site, server, foreign, who, version):
    stems = {
        "expired": {"start": -2 * DAY, "end": -DAY},
        "early": {"start": DAY, "end": 2 * DAY},
        "server": {"usage": "server"},
    }
    if who in stems:
        context = client_context(site, signed(site, who, **stems[who]))
    elif who == "revoked":
        revoke(site, "clerk")
        server.run(server.delivery.reload())
        context = client_context(site, "sae-clerk")
    elif who == "foreign":
        context = client_context(site)
        context.load_cert_chain(foreign / "sae-alice-app.crt", foreign / "sae-alice-app.key")
    else:
        context = client_context(site)
    context.minimum_version = context.maximum_version = version
    assert answer(server, context) is None


@pytest.mark.parametrize(
    "uris",
    [(), (URI, "urn:e91:sae:clerk"), ("urn:e91:kme:alice",), (URI, "urn:e91:kme:alice"),
     ("urn:e91:sae:",), ("urn:e91:sae:%zz",), ("https://alice-app",), ("urn:e91:SAE:alice-app",)],
)  # fmt: skip
def test_a_certificate_without_one_name_is_unauthorized_whatever_its_common_name(
    site, server, uris
):
    context = client_context(site, signed(site, "nameless", uris=uris))
    assert answer(server, context) == (401, {"message": "unauthorized"})


def test_an_application_of_another_kme_is_unauthorized(site, server):
    context = client_context(site, "sae-bob-app")
    assert answer(server, context) == (401, {"message": "unauthorized"})


def test_a_kme_is_no_application(site, server):
    context = client_context(site, "kme-bob")
    assert answer(server, context) == (401, {"message": "unauthorized"})


def test_plain_http_gets_nothing(server):
    with socket.create_connection(("127.0.0.1", server.port("alice"))) as plain:
        plain.sendall(f"GET {STATUS} HTTP/1.1\r\nHost: kme\r\n\r\n".encode())
        plain.settimeout(5)
        try:
            reply = plain.recv(1000)
        except ConnectionResetError:
            reply = b""
    assert not reply.startswith(b"HTTP")


def test_who_speaks_on_a_connection_is_fixed_by_its_certificate(server):
    with server.client() as client:
        for headers in ({"X-Client-DN": "CN=clerk"}, {"Request-SAE-ID": "clerk"}):
            assert client.ask("GET", STATUS, **headers)[1]["master_SAE_ID"] == "alice-app"


def test_no_session_is_resumed(site, server):
    context = client_context(site, "sae-alice-app")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with SaeClient(server.port("alice"), context) as first:
        assert first.ask("GET", STATUS)[0] == 200
        session = first.connection.sock.session
    with (
        socket.create_connection(("127.0.0.1", server.port("alice"))) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1", session=session) as second,
    ):
        second.settimeout(5)
        if second.session_reused:
            assert second.recv(1) == b""


def waited(condition, *, for_s=60.0):
    """Wait until something is so; return whether it is."""
    end = time.monotonic() + for_s
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def quick_sweeps(monkeypatch):
    monkeypatch.setattr("e91.delivery.http.listening._SWEEP_S", 0.05)


def test_a_revocation_ends_the_open_connection_and_no_other(tmp_path, quick_sweeps):
    with (
        served(tmp_path / "pki") as server,
        server.client() as alice,
        server.client("clerk") as clerk,
    ):
        assert alice.status()[0] == clerk.status()[0] == 200
        revoke(server.folder, "clerk")
        door = server.delivery.listeners["alice"].door
        assert waited(lambda: door.refused["certificate revoked or out of date"] == 1)
        with pytest.raises((OSError, http.client.HTTPException)):
            clerk.status()
        assert alice.connection.sock is not None
        assert alice.status()[0] == 200
        assert answer(server, client_context(server.folder, "sae-clerk")) is None


def test_an_expired_certificate_ends_its_connection(tmp_path, quick_sweeps):
    folder = new_site(tmp_path / "pki")
    with served(folder) as server:
        end = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=3) - NOW
        context = client_context(folder, signed(folder, "brief", end=end))
        with SaeClient(server.port("alice"), context) as client:
            assert client.status()[0] == 200
            door = server.delivery.listeners["alice"].door
            assert waited(lambda: door.refused["certificate revoked or out of date"] == 1)
            client.connection.auto_open = 0
            with pytest.raises((OSError, http.client.HTTPException)):
                client.status()


def test_an_expired_revocation_list_refuses_everybody_and_is_in_the_log(
    tmp_path, quick_sweeps, caplog
):
    folder = new_site(tmp_path / "pki")
    with served(folder) as server, server.client() as client:
        assert client.status()[0] == 200
        _write_list(folder, end=dt.timedelta(seconds=3))
        assert waited(lambda: "runs out" in caplog.text)
        assert waited(lambda: "has run out" in caplog.text)
        client.connection.auto_open = 0
        with pytest.raises((OSError, http.client.HTTPException)):
            client.status()
        assert answer(server, client_context(folder, "sae-alice-app")) is None
        _write_list(folder, end=DAY)
        assert waited(lambda: answer(server, client_context(folder, "sae-alice-app")) is not None)


def _write_list(folder, *, end):
    authority = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
    secret = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    moment = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.subject)
        .last_update(moment - dt.timedelta(hours=1))
        .next_update(moment + end)
        .sign(secret, hashes.SHA256())
    )
    temporary = folder / "new.crl"
    temporary.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    temporary.replace(folder / "ca.crl")


def test_a_new_certificate_is_taken_without_ending_connections(tmp_path, quick_sweeps):
    with served(tmp_path / "pki") as server, server.client() as client:
        assert client.status()[0] == 200
        before = client.connection.sock.getpeercert()["serialNumber"]
        renew(server.folder, ["alice"])
        assert waited(lambda: serial_of(server) != before)
        socket_before = client.connection.sock
        assert client.status()[0] == 200
        assert client.connection.sock is socket_before


def serial_of(server):
    with server.client() as fresh:
        fresh.status()
        return fresh.connection.sock.getpeercert()["serialNumber"]


def test_half_a_file_is_not_taken(tmp_path, quick_sweeps, caplog):
    with served(tmp_path / "pki") as server:
        certificate = server.folder / "kme-alice.crt"
        whole = certificate.read_bytes()
        certificate.write_bytes(whole[:100])
        assert waited(lambda: "not taken" in caplog.text)
        with server.client() as client:
            assert client.status()[0] == 200
        certificate.write_bytes(whole)


def test_a_new_authority_ends_connections_of_the_old_one(tmp_path, foreign, quick_sweeps):
    with served(tmp_path / "pki") as server, server.client() as client:
        assert client.status()[0] == 200
        for name in ("ca.crt", "ca.crl", "kme-alice.crt", "kme-alice.key"):
            shutil.copy(foreign / name, server.folder / name)
        door = server.delivery.listeners["alice"].door
        assert waited(lambda: not door.connections)


def test_connections_of_one_application_are_bounded(tmp_path):
    with served(tmp_path / "pki", settings="connections_per_sae = 2") as server:
        clients = [server.client() for _ in range(3)]
        try:
            found = [client.status()[0] for client in clients]
            assert found == [200, 200, 503]
            assert clients[2].headers["Retry-After"] == "1"
            with server.client("clerk") as clerk:
                assert clerk.status()[0] == 200
        finally:
            for client in clients:
                client.connection.close()


def test_requests_of_one_application_are_bounded(tmp_path):
    with (
        served(tmp_path / "pki", settings="requests_per_second = 3") as server,
        server.client() as alice,
        server.client("clerk") as clerk,
    ):
        found = [alice.status()[0] for _ in range(20)]
        assert found[:3] == 3 * [200]
        assert found.count(503) >= 10
        assert alice.status()[1]["message"] == "too many requests"
        assert int(alice.headers["Retry-After"]) == 1
        assert clerk.status()[0] == 200


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"certificate": "absent.crt"}, "must be a readable, non-empty file"),
        ({"private_key": "sae-clerk.key"}, "must be the private key of"),
        ({"ca": "kme-alice.key"}, "must hold the certificates of an authority in PEM"),
        ({"crl": "ca.crt"}, "must hold a certificate revocation list in PEM"),
    ],
)
def test_files_that_do_not_fit_are_named(site, change, sentence):
    names = {"certificate": "kme-alice.crt", "private_key": "kme-alice.key", "ca": "ca.crt"}
    files = {name: site / file for name, file in (names | {"crl": "ca.crl"} | change).items()}
    with pytest.raises(ValueError, match=sentence):
        read_credentials(TlsFiles(**files))


def test_a_key_with_a_passphrase_is_not_asked_for(site, tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    file = tmp_path / "locked.key"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"x"),
        )
    )
    with pytest.raises(ValueError, match="private key"):
        read_credentials(TlsFiles(site / "kme-alice.crt", file, site / "ca.crt"))


def test_without_a_certificate_there_is_nobody():
    assert identity_of(None) == identity_of({}) == NOBODY


def spoken(site, server, content, *, for_s=10.0):
    """Send bytes over TLS; return all that comes back until the end."""
    context, place = client_context(site, "sae-alice-app"), ("127.0.0.1", server.port("alice"))
    with (
        socket.create_connection(place, timeout=for_s) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        connection.sendall(content)
        parts = []
        try:
            while part := connection.recv(65_536):
                parts.append(part)
        except OSError:
            pass
        return b"".join(parts)


@pytest.mark.parametrize("framing", ["Content-Length: 100000000", "Transfer-Encoding: chunked"])
def test_a_body_of_a_hundred_megabytes_is_refused_over_tls_too(site, server, framing):
    head = f"POST /api/v1/keys/bob-app/enc_keys HTTP/1.1\r\nHost: kme\r\n{framing}\r\n\r\n"
    reply = spoken(site, server, head.encode() + b"20000\r\n" + b"x" * 200_000)
    assert reply.startswith(b"HTTP/1.1 413 ")
    assert json.loads(reply.partition(b"\r\n\r\n")[2]) == {"message": "the body is too large"}


def test_a_slow_body_is_not_waited_for_over_tls_either(tmp_path, quick_sweeps):
    folder = new_site(tmp_path / "pki", settings="request_s = 0.3")
    head = "POST /api/v1/keys/bob-app/enc_keys HTTP/1.1\r\nHost: kme\r\nContent-Length: 20\r\n\r\n{"
    with served(folder) as slow:
        assert spoken(folder, slow, head.encode()).startswith(b"HTTP/1.1 408 ")


def test_broken_http_takes_no_key_and_is_not_repeated_over_tls(site, server):
    before = server.delivery.service.kmes()[0].keys_given
    mark = "GET /api/v1/keys/bob-app/enc_keys HTTP/1.1\r\nHost: mark\r\n"
    for rest in ("Host: b\r\n\r\n", "X : y\r\n\r\n", "Content-Length: x\r\n\r\n"):
        reply = spoken(site, server, (mark + rest).encode())
        assert reply.startswith(b"HTTP/1.1 400 ")
        assert b"mark" not in reply
    assert server.delivery.service.kmes()[0].keys_given == before
