"""Clauses 4 and 5.1: HTTPS, certificates on both sides, who is who, HTTP itself."""

import re
import socket
import ssl
import tempfile
import time
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from e91.delivery.https_client import (
    ClientFiles,
    HttpsClient,
    bare_context,
    client_context,
)
from e91.delivery.probing.bench import (
    Bench,
    ProbeClause,
    context_with,
    document_of,
    gives,
    refusal_of,
    shown,
)
from e91.delivery.probing.verdicts import (
    NotTestable,
    Observation,
    advised,
    failed,
    informed,
    judged,
    noted,
    passed,
)
from e91.model.errors import DeliveryFailed

_FIRST_BYTES = 65_536


def _plain_http(bench: Bench) -> Observation:
    request = f"GET {bench.peer_path}/status HTTP/1.1\r\nHost: {bench.place.authority}\r\n\r\n"
    try:
        address = (bench.place.host, bench.place.port)
        with socket.create_connection(address, bench.timeout_s) as connection:
            connection.sendall(request.encode())
            answer = connection.recv(_FIRST_BYTES)
    except OSError:
        answer = b""
    if answer[:7] == b"HTTP/1." and answer[9:10] == b"2":
        return failed("a request without TLS is answered with success")
    if answer[:7] == b"HTTP/1.":
        return passed(f"a request without TLS is refused with HTTP {answer[9:12].decode('ascii')}")
    return passed("a request without TLS ends without an answer of HTTP")


def _old_tls(bench: Bench) -> Observation:
    context = client_context(bench.master.files)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    said = refusal_of(bench, context)
    if said is not None and "no protocols available" in said:
        raise NotTestable("this computer's OpenSSL cannot speak TLS 1.1")
    if said is None:
        return failed("TLS 1.1 or older is spoken")
    return passed(f"TLS 1.0 and 1.1 are refused: {said}")


def _new_tls(bench: Bench) -> Observation:
    spoken = []
    for version, words in ((ssl.TLSVersion.TLSv1_2, "1.2"), (ssl.TLSVersion.TLSv1_3, "1.3")):
        context = client_context(bench.master.files)
        context.minimum_version = context.maximum_version = version
        spoken += [words] if refusal_of(bench, context) is None else []
    words = f"TLS is spoken in version {' and '.join(spoken)}" if spoken else "neither 1.2 nor 1.3"
    return judged(good=bool(spoken), words=words)


def _no_certificate(bench: Bench) -> Observation:
    said = refusal_of(bench, bare_context(bench.ca))
    if said is None:
        return failed("a client without a certificate is served")
    return passed(f"a client without a certificate is refused: {said}")


def _foreign_authority(bench: Bench) -> Observation:
    with tempfile.TemporaryDirectory() as folder:
        files = _copy_by_another_authority(bench.master.files, Path(folder), bench.ca)
        said = refusal_of(bench, client_context(files))
    if said is None:
        return failed("a copy of the certificate by an unknown authority is served")
    return passed(f"a copy of the certificate by an unknown authority is refused: {said}")


def _copy_by_another_authority(files: ClientFiles, folder: Path, ca: Path) -> ClientFiles:
    """Write a certificate with the same names that the key of nobody has signed."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding

    from e91.delivery.authority import private_pem, read_certificate, write_new

    real, own, foreign = (
        read_certificate(files.certificate),
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP256R1()),
    )
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(real.subject)
        .issuer_name(real.issuer)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
    )
    for extension in real.extensions:
        if not isinstance(extension.value, x509.AuthorityKeyIdentifier | x509.SubjectKeyIdentifier):
            builder = builder.add_extension(extension.value, critical=extension.critical)
    certificate = builder.sign(foreign, hashes.SHA256()).public_bytes(Encoding.PEM)
    write_new(folder / "copy.pem", certificate + private_pem(own), mode=0o600)
    return ClientFiles(folder / "copy.pem", None, ca)


def _must_refuse(bench: Bench) -> Observation:
    if not bench.must_refuse:
        raise NotTestable(
            "needs certificates that have ended or are revoked (`--refused-certificate`)"
        )
    served = [
        files.certificate.name
        for files in bench.must_refuse
        if refusal_of(bench, context_with(files)) is None
    ]
    if served:
        return failed(f"served with a certificate that must be refused: {', '.join(served)}")
    return passed(f"{len(bench.must_refuse)} certificates that must be refused are refused")


def _kme_named(bench: Bench) -> Observation:
    kme = document_of(bench.status()).get("source_KME_ID")
    sock = bench.master.https.socket
    certificate: dict[str, Any] = dict((sock.getpeercert() if sock else None) or {})
    names = [value for part in certificate.get("subject", ()) for _, value in part]
    others = [value for _, value in certificate.get("subjectAltName", ())]
    listed = ", ".join([*names, *map(str, others)])
    named = isinstance(kme, str) and (
        kme in names or any(name == kme or name.endswith(f":{kme}") for name in others)
    )
    return advised(good=named, words=f"source_KME_ID is {kme}; the certificate names {listed}")


def _headers_do_not_count(bench: Bench) -> Observation:
    other = bench.peer_id
    forged = {
        "X-Client-DN": f"CN={other}", "X-SSL-Client-S-DN": f"CN={other}",
        "X-Client-Cert-CN": other, "Request-SAE-ID": other, "X-SAE-ID": other,
    }  # fmt: skip
    plain, with_forged = document_of(bench.status()), bench.status(headers=forged)
    if not gives(with_forged):
        return passed(f"a request with another SAE ID in its headers is refused: "
                      f"{shown(with_forged)}")  # fmt: skip
    same = document_of(with_forged).get("master_SAE_ID") == plain.get("master_SAE_ID")
    words = "headers that name another SAE change nothing"
    return judged(good=same, words=words if same else "a header makes the caller another SAE")


def _encoded_path(bench: Bench) -> Observation:
    name = bench.peer_id
    first = "".join(f"%{byte:02X}" for byte in name[0].encode())
    rest = quote(name[1:], safe="")
    answers = [
        bench.ask(bench.master, "GET", f"/api/v1/keys/{code}{rest}/status").status
        for code in (first, first.lower())
    ]
    plain = bench.status().status
    same = set(answers) == {plain}
    words = f"percent-encoded, upper and lower case: {answers[0]}, {answers[1]}; plain: {plain}"
    return advised(good=same, words=words)


def _content_type(bench: Bench) -> Observation:
    kind = bench.status().headers.get("content-type", "")
    bare = kind.partition(";")[0].strip().lower()
    return judged(good=bare == "application/json", words=f"Content-Type: {kind or 'none'}")


def _kept_connection(bench: Bench) -> Observation:
    bench.status()
    before = bench.master.https.socket
    bench.status()
    kept = before is not None and before is bench.master.https.socket
    return informed(f"the connection is {'kept' if kept else 'ended'} after an answer")


def _http_1_0(bench: Bench) -> Observation:
    request = f"GET {bench.peer_path}/status HTTP/1.0\r\nHost: {bench.place.authority}\r\n\r\n"
    return informed(f"a request of HTTP/1.0: {_code_in(_raw(bench, request.encode()))}")


def _broken_http(bench: Bench) -> Observation:
    words = []
    start = f"GET {bench.peer_path}/status HTTP/1.1\r\n"
    for what, request in (
        ("garbage", b"\x00\x01\x02 garbage\r\n\r\n"),
        ("no Host", f"{start}\r\n".encode()),
        ("a header of 100 kB", f"{start}Host: a\r\nX: {'x' * 100_000}\r\n\r\n".encode()),
    ):
        words.append(f"{what}: {_code_in(_raw(bench, request))}")
    alive = gives(bench.status())
    return judged(good=alive, words="; ".join(words) + ("" if alive else "; then no answer"))


def _code_in(answer: bytes) -> str:
    """Return the status in the first line of an answer, in words."""
    found = re.match(rb"HTTP/1\.[01] ([0-9]{3})", answer)
    return found[1].decode("ascii") if found else "no answer of HTTP"


def _raw(bench: Bench, request: bytes, *, within_s: float | None = None) -> bytes:
    """Return what comes back for some bytes over the master's TLS, as far as it comes."""
    timeout_s = min(bench.timeout_s, 3.0) if within_s is None else within_s
    client = HttpsClient(bench.place, client_context(bench.master.files), timeout_s)
    found = b""
    try:
        client.connect()
        if client.socket is not None:
            client.socket.sendall(request)
            while len(found) < _FIRST_BYTES and (part := client.socket.recv(_FIRST_BYTES)):
                found += part
                if b"\r\n\r\n" in found:
                    break
    except (OSError, DeliveryFailed):
        pass
    finally:
        client.close()
    return found


def _slow_body(bench: Bench) -> Observation:
    if not bench.slow_body_s:
        raise NotTestable("takes its time (`--slow-body SECONDS`)")
    head = (
        f"POST {bench.peer_path}/enc_keys HTTP/1.1\r\nHost: {bench.place.authority}\r\n"
        "Content-Type: application/json\r\nContent-Length: 20\r\n\r\n{"
    )
    started = time.monotonic()
    answer = _raw(bench, head.encode(), within_s=bench.slow_body_s)
    waited_s = time.monotonic() - started
    if not answer and waited_s >= bench.slow_body_s:
        return informed(f"a body that does not come is still waited for after {waited_s:.0f} s")
    return informed(f"a body that does not come: {_code_in(answer)} after {waited_s:.0f} s")


def _http_2(bench: Bench) -> Observation:
    context = client_context(bench.master.files)
    context.set_alpn_protocols(["h2"])
    said = refusal_of(bench, context)
    if said is None:
        return informed("a client that offers HTTP/2 alone is served HTTP/1.1")
    return informed(f"a client that offers HTTP/2 alone is refused: {said}")


def _unknown_path(bench: Bench) -> Observation:
    path = "/api/v1/nothing-is-here"
    answer = bench.ask(bench.master, "GET", path)
    words = f"an unknown path: {shown(answer)}"
    return noted(words) if gives(answer) else informed(words)


TRANSPORT = (
    ProbeClause("https-only", "4, 5.1", "Only HTTPS is served.", _plain_http),
    ProbeClause("tls-not-old", "4, 5.1", "TLS older than 1.2 is refused.", _old_tls),
    ProbeClause("tls-new", "4, 5.1", "TLS 1.2 or newer is spoken.", _new_tls),
    ProbeClause("certificate-demanded", "5.1",
                "An SAE without a certificate is not served.", _no_certificate),
    ProbeClause("certificate-authority", "5.1",
                "An SAE's certificate by an unknown authority is refused.", _foreign_authority),
    ProbeClause("certificate-validity", "5.1",
                "A certificate that has ended or is revoked is refused.", _must_refuse),
    ProbeClause("kme-named", "5.1",
                "The server's certificate has the KME ID, for the SAE to confirm.", _kme_named),
    ProbeClause("caller-by-certificate", "4",
                "Every request's SAE ID comes from its authentication.", _headers_do_not_count),
    ProbeClause("path-encoding", "5.1",
                "An SAE ID in a URL may be percent-encoded.", _encoded_path),
    ProbeClause("content-type", "5.1, table 1",
                "Answers are application/json.", _content_type),
    ProbeClause("connection-kept", "RFC 9112",
                "A connection may serve several requests.", _kept_connection),
    ProbeClause("http-1.0", "RFC 9112", "HTTP/1.0 may be answered.", _http_1_0),
    ProbeClause("http-2", "RFC 9113", "HTTP/2 need not be spoken.", _http_2),
    ProbeClause("http-broken", "RFC 9112",
                "Broken HTTP does not stop the server.", _broken_http),
    ProbeClause("body-slow", "-",
                "A body that does not come need not be waited for.", _slow_body),
    ProbeClause("path-unknown", "5.1, table 2", "There are three methods.", _unknown_path),
)  # fmt: skip
"""What can be seen before any key is asked for."""
