"""A small server of ETSI GS QKD 014 of the standard library's making, right or wrong on demand.

A second implementation: it shares no code with the package.  One process is the KME of every SAE,
keys are made when they are asked for.  `faults` breaks one rule each.
"""

import base64
import json
import os
import socket
import ssl
import threading
import time
import uuid
from contextlib import contextmanager, nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, unquote

SAES = ("alice-app", "bob-app", "carol-app")
SIZE = 256
NOT_FOUND = "one or more keys specified are not found on KME"


class SmallKme(ThreadingHTTPServer):
    """The server; `faults` are names of rules that it breaks."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, folder, faults=(), *, pool=10_000, stem="kme-alice"):
        super().__init__(("127.0.0.1", 0), SmallAnswers)
        self.faults, self.pool, self.keys, self.lock = set(faults), pool, {}, threading.Lock()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / f"{stem}.crt", folder / f"{stem}.key")
        context.load_verify_locations(folder / "ca.crt")
        open_door = "lets anybody in" in faults
        context.verify_mode = ssl.CERT_OPTIONAL if open_door else ssl.CERT_REQUIRED
        if "old tls" in faults:
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.options &= ~(ssl.OP_NO_TLSv1 | ssl.OP_NO_TLSv1_1)
            context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        self.context = context

    @property
    def url(self):
        return f"https://127.0.0.1:{self.server_address[1]}"

    def finish_request(self, request, client_address):
        """Shake hands in the connection's own thread; what fails there ends the connection."""
        request.settimeout(10)
        if "plain" in self.faults and request.recv(1, socket.MSG_PEEK) == b"G":
            request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            return
        try:
            with self.context.wrap_socket(request, server_side=True) as connection:
                self.RequestHandlerClass(connection, client_address, self)
        except OSError:
            pass

    def handle_error(self, request, client_address):
        """Say nothing."""


class SmallRefusal(Exception):
    def __init__(self, status, message, details=None):
        super().__init__(message)
        self.status, self.message, self.details = status, message, details


class SmallAnswers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else every answer takes 40 ms

    def has(self, fault):
        return fault in self.server.faults

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.answer()

    def do_POST(self):
        self.answer()

    def do_HEAD(self):
        if self.has("head takes a key"):
            return self.answer()
        return self.say(405, {"message": "HEAD is no method here"})

    def say(self, status, document):
        text = json.dumps(document).encode()
        if self.has("empty 401") and status == 401:
            text = b""
        if self.has("no message") and status == 400:
            text = b'{"detail":"bad"}'
        self.send_response(status)
        if not (self.has("no content type") and status == 200):
            self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            with nullcontext() if self.has("no lock") else self.server.lock:
                document = self.document(body)
            self.say(200, document)
        except SmallRefusal as refusal:
            details = {} if refusal.details is None else {"details": refusal.details}
            self.say(refusal.status, {"message": refusal.message, **details})

    def caller(self):
        names = (self.connection.getpeercert() or {}).get("subjectAltName", ())
        uris = [value for kind, value in names if kind == "URI"]
        if not uris and self.has("lets anybody in"):
            return "alice-app"
        if self.has("believes headers") and self.headers.get("Request-SAE-ID"):
            return self.headers["Request-SAE-ID"]
        return unquote(uris[0].removeprefix("urn:e91:sae:"))

    def document(self, body):
        path, _, query = self.path.partition("?")
        parts = path.removeprefix("/api/v1/keys/").split("/")
        if len(parts) != 2 or parts[1] not in ("status", "enc_keys", "dec_keys"):
            raise SmallRefusal(404, "no such resource")
        caller, peer = self.caller(), unquote(parts[0])
        if caller not in SAES:
            raise SmallRefusal(401, "unauthorized")
        if parts[1] == "status":
            if self.command != "GET" and not self.has("status by post"):
                raise SmallRefusal(405, "GET only")
            return self.status(caller, peer)
        asked = self.arguments(parts[1], query, body)
        return (
            self.enc(caller, peer, asked)
            if parts[1] == "enc_keys"
            else self.dec(caller, peer, asked)
        )

    def arguments(self, method, query, body):
        if self.command == "GET" or self.command == "HEAD":
            if self.has("no get"):
                raise SmallRefusal(405, "POST only")
            pairs = parse_qsl(query)
            names = [name for name, _ in pairs]
            allowed = ("number", "size") if method == "enc_keys" else ("key_ID",)
            if not self.has("any query") and (
                len(set(names)) != len(names) or not set(names) <= set(allowed)
            ):
                raise SmallRefusal(400, "bad query")
            found = {k: int(v) if v.isdecimal() else v for k, v in pairs if k in ("number", "size")}
            ids = [{"key_ID": value} for name, value in pairs if name == "key_ID"]
            return found | ({"key_IDs": ids} if method == "dec_keys" else {})
        try:
            found = json.loads(body or b"{}")
        except (ValueError, RecursionError):
            if self.has("garbage is defaults"):
                return {}
            raise SmallRefusal(400, "the body is no JSON") from None
        if not isinstance(found, dict):
            raise SmallRefusal(400, "the body is no object")
        return found

    def status(self, caller, peer):
        if peer not in SAES and not self.has("knows everybody"):
            raise SmallRefusal(400, "unknown SAE ID")
        found = {
            "source_KME_ID": "alice", "target_KME_ID": "alice",
            "master_SAE_ID": caller, "slave_SAE_ID": peer,
            "key_size": SIZE, "stored_key_count": self.server.pool, "max_key_count": 10_000,
            "max_key_per_request": 8, "max_key_size": 1024, "min_key_size": 64,
            "max_SAE_ID_count": 1,
        }  # fmt: skip
        if self.has("paints the terminal"):
            found["source_KME_ID"] = "\x1b[2J\x07" + "x" * 10_000
        if self.has("roles exchanged"):
            found["master_SAE_ID"], found["slave_SAE_ID"] = peer, caller
        if self.has("counts as text"):
            found["key_size"] = str(SIZE)
        if self.has("field missing"):
            del found["max_SAE_ID_count"]
        if self.has("limits crossed"):
            found["min_key_size"] = 2048
        return found

    def enc(self, caller, peer, asked):
        number, size = asked.get("number", 1), asked.get("size", SIZE)
        if self.has("size ignored"):
            size = SIZE
        for value in (number, size):
            if type(value) is not int:
                if not self.has("any type"):
                    raise SmallRefusal(400, "bad type")
                number, size = 1, SIZE
        self.check_extensions(asked)
        self.check_range(number, size)
        if peer not in SAES:
            raise SmallRefusal(400, "unknown SAE ID")
        others = asked.get("additional_slave_SAE_IDs") or []
        if len(others) > 1 or any(other not in SAES for other in others):
            raise SmallRefusal(400, "bad additional SAE IDs")
        if number > self.server.pool:
            raise SmallRefusal(500 if self.has("dry is 500") else 503, "too little key is left")
        if self.has("one too few") and number > 1:
            number -= 1
        self.server.pool -= number
        made = [self.key(caller, [peer, *([] if self.has("no multicast") else others)], size)
                for _ in range(number)]  # fmt: skip
        return {"Keys" if self.has("Keys") else "keys": made}

    def check_range(self, number, size):
        if size % 8:
            said = "no" if self.has("other words for 8") else "size shall be a multiple of 8"
            raise SmallRefusal(400, said)
        most = 20 if self.has("no limits") else 8
        if not (1 <= number <= most and (64 <= size <= 1024 or self.has("no limits"))):
            raise SmallRefusal(503 if self.has("503 for limits") else 400, "out of range")

    def check_extensions(self, asked):
        if asked.get("extension_mandatory") and not self.has("mandatory ignored"):
            raise SmallRefusal(400, "not all extension_mandatory parameters are supported")
        if asked.get("extension_optional") and self.has("optional refused"):
            raise SmallRefusal(400, "no optional extension please")

    def key(self, master, slaves, size):
        key_id = str(uuid.uuid4())
        if self.has("no uuid"):
            key_id = uuid.uuid4().hex
        if self.has("one id") and self.server.keys:
            key_id = next(iter(self.server.keys))
        bits = os.urandom(size // 8)
        self.server.keys[key_id] = (bits, master, set(slaves))
        text = base64.b64encode(bits).decode()
        if self.has("url base64"):
            text = base64.urlsafe_b64encode(b"\xff" * (size // 8)).decode()
        return {"key_ID": key_id, "key": text}

    def dec(self, caller, master, asked):
        ids = asked.get("key_IDs")
        listed = isinstance(ids, list) and ids and all(isinstance(one, dict) for one in ids)
        if not listed:
            raise SmallRefusal(400, "bad key_IDs")
        if self.has("extension objects refused") and any("key_ID_extension" in one for one in ids):
            raise SmallRefusal(400, "unknown member")
        ids = [str(one.get("key_ID")) for one in ids]
        well_formed = len(set(ids)) == len(ids) and all(map(is_uuid, ids))
        lax = self.has("any id") and all(one in self.server.keys for one in ids)
        if not well_formed and not lax:
            raise SmallRefusal(400, "bad key_IDs")
        held = [self.server.keys.get(one.lower()) for one in ids]
        foreign = [key for key in held if key is not None and caller not in key[2]]
        if self.has("master may fetch"):
            foreign = [key for key in foreign if key[1] != caller]
        if foreign and not self.has("gives to anybody"):
            raise SmallRefusal(400 if self.has("foreign is 400") else 401, "unauthorized")
        gone = [key is None or (key[1] != master and not self.has("any master")) for key in held]
        if any(gone):
            if self.has("burns the good ones"):
                self.burn(caller, ids)
            said = "gone" if self.has("other words for unknown") else NOT_FOUND
            raise SmallRefusal(404 if self.has("unknown is 404") else 400, said)
        found = [
            {"key_ID": one.lower(), "key": base64.b64encode(
                bytes(len(key[0])) if self.has("other bits") else key[0]).decode()}
            for one, key in zip(ids, held, strict=True)
        ]  # fmt: skip
        if self.has("no lock"):
            time.sleep(0.05)
        if not self.has("delivers again"):
            self.burn(caller, ids)
        return {"keys": found}

    def burn(self, caller, ids):
        for one in ids:
            if key := self.server.keys.get(one.lower()):
                key[2].discard(caller)
                if not key[2]:
                    del self.server.keys[one.lower()]


def is_uuid(text):
    try:
        return len(text) == 36 and bool(uuid.UUID(text))
    except ValueError:
        return False


@contextmanager
def small_kme(folder, *faults, **options):
    """A running server with these faults."""
    server = SmallKme(folder, faults, **options)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
