"""IPsec of strongSwan whose post-quantum pre-shared key (RFC 8784) is a delivered key.

Two network namespaces, ESP in user space, the key ID as the ID of the pre-shared key.  Slow, and
skipped where namespaces, TUN devices or the programs are missing.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from key_servers import served

from e91.delivery.client import KeyClient

pytestmark = pytest.mark.slow

PROGRAMS = ("ip", "charon-systemd", "swanctl")
PLAINTEXT = b"E91-PLAINTEXT"

# The library's own IPsec stands before the kernel's, which need not be there.
PLUGINS = (
    "random nonce openssl pem pkcs1 pkcs8 x509 revocation constraints pubkey gmp curve25519 hmac "
    "kdf sha1 sha2 aes gcm ctr ccm drbg kernel-libipsec kernel-netlink socket-default vici updown"
)

DAEMON = """
charon-systemd {{ }}
charon {{
  load = {plugins}
  pid = {folder}/charon.pid
  plugins {{
    vici {{ socket = unix://{folder}/vici.sock }}
    kernel-libipsec {{ allow_peer_ts = yes }}
  }}
  filelog {{ log {{
    path = {folder}/log
    default = 1
    flush_line = yes
  }} }}
}}
swanctl {{ plugins {{ vici {{ socket = unix://{folder}/vici.sock }} }} }}
"""

CONNECTION = """
connections {{ e91 {{
  version = 2
  local_addrs = {here}
  remote_addrs = {there}
  proposals = aes256-sha256-x25519
  ppk_id = {key_id}
  ppk_required = yes
  local {{
    auth = psk
    id = {name}
  }}
  remote {{
    auth = psk
    id = %any
  }}
  children {{ net {{
    local_ts = {inside}
    remote_ts = {outside}
    esp_proposals = aes256gcm16
  }} }}
}} }}
secrets {{ ike {{ secret = "for-authentication-only" }} }}
include conf.d/*.conf
"""

PRE_SHARED = """
secrets {{ ppk-e91 {{
  id = {key_id}
  secret = 0x{key}
}} }}
"""

ECHO = """
import socket
with socket.create_server(("10.2.0.1", 7000)) as server:
    print("open", flush=True)
    connection, _ = server.accept()
    with connection:
        while part := connection.recv(65536):
            connection.sendall(part)
"""

TALK = """
import socket
sent = b"E91-PLAINTEXT" * 90
with socket.create_connection(("10.2.0.1", 7000), 5, source_address=("10.1.0.1", 0)) as talk:
    for _ in range(50):
        talk.sendall(sent)
        back = b""
        while len(back) < len(sent):
            back += talk.recv(65536)
        assert back == sent
print("echoed", flush=True)
"""

SNIFF = """
import socket, sys
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as wire:
    wire.bind((sys.argv[1], 0))
    wire.settimeout(0.2)
    print("open", flush=True)
    esp = plain = inner = 0
    while True:
        try:
            frame = wire.recv(65535)
        except TimeoutError:
            import os
            if os.path.exists(sys.argv[2]):
                break
            continue
        udp_4500 = frame[12:14] == b"\\x08\\0" and frame[23] == 17 and frame[36:38] == b"\\x11\\x94"
        esp += udp_4500 and frame[42:46] != bytes(4)
        plain += b"E91-PLAINTEXT" in frame
        inner += frame[12:14] == b"\\x08\\0" and frame[26:28] == bytes([10, 1])
    print(esp, plain, inner, flush=True)
"""


def missing() -> str:
    """Why the test cannot be run here, or nothing."""
    if os.geteuid() != 0:
        return "only root makes network namespaces"
    if not Path("/dev/net/tun").exists():
        return "there is no TUN device"
    gone = [name for name in PROGRAMS if shutil.which(name) is None]
    if gone:
        return f"{', '.join(gone)} must be installed"
    name = f"e91-try-{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode:
        return "network namespaces cannot be made"
    subprocess.run(["ip", "netns", "del", name], check=True)
    return ""


@dataclass
class Gateway:
    """One end: a namespace with a daemon of its own."""

    folder: Path
    name: str
    here: str
    there: str
    inside: str
    outside: str
    daemon: subprocess.Popen | None = field(default=None)

    def inside_of(self, *command):
        return ["ip", "netns", "exec", f"e91-{self.name}-{os.getpid()}", *command]

    def write(self, key_id, key):
        """Write the configuration with a key, as a program that fetches keys would."""
        values = vars(self) | {"key_id": key_id}
        (self.folder / "swanctl" / "swanctl.conf").write_text(CONNECTION.format(**values))
        secret = self.folder / "swanctl" / "conf.d" / "ppk.conf"
        secret.touch(0o600)
        secret.write_text(PRE_SHARED.format(key_id=key_id, key=key.hex()) if key else "")

    def start(self):
        for place in ("conf.d", "x509", "x509ca", "private"):
            (self.folder / "swanctl" / place).mkdir(parents=True)
        (self.folder / "strongswan.conf").write_text(
            DAEMON.format(folder=self.folder, plugins=PLUGINS)
        )
        self.daemon = subprocess.Popen(
            self.inside_of("charon-systemd"), env=self.environment,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        for _ in range(100):
            if (self.folder / "vici.sock").exists():
                return
            time.sleep(0.05)
        raise AssertionError("the daemon must open its socket, but does not")

    @property
    def environment(self):
        return os.environ | {
            "STRONGSWAN_CONF": str(self.folder / "strongswan.conf"),
            "SWANCTL_DIR": str(self.folder / "swanctl"),
        }

    def control(self, *arguments, check=True):
        """What swanctl says."""
        done = subprocess.run(
            self.inside_of("swanctl", *arguments, "--uri", f"unix://{self.folder}/vici.sock"),
            env=self.environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def load(self, key_id, key):
        self.write(key_id, key)
        self.control("--load-all", "--clear")

    def log(self):
        return (self.folder / "log").read_text()

    def stop(self):
        if self.daemon is not None:
            self.daemon.send_signal(signal.SIGTERM)
            try:
                self.daemon.wait(10)
            except subprocess.TimeoutExpired:
                self.daemon.kill()
                self.daemon.wait(10)


@pytest.fixture
def gateways(tmp_path):
    if why := missing():
        pytest.skip(why)
    ends = [
        Gateway(tmp_path / "A", "A", "10.99.0.1", "10.99.0.2", "10.1.0.0/24", "10.2.0.0/24"),
        Gateway(tmp_path / "B", "B", "10.99.0.2", "10.99.0.1", "10.2.0.0/24", "10.1.0.0/24"),
    ]
    spaces = [f"e91-{end.name}-{os.getpid()}" for end in ends]
    run = lambda *words: subprocess.run(["ip", *words], check=True)  # noqa: E731
    try:
        for space in spaces:
            run("netns", "add", space)
        run("link", "add", "e91vA", "netns", spaces[0], "type", "veth", "peer", "name", "e91vB",
            "netns", spaces[1])  # fmt: skip
        for end, space, number in zip(ends, spaces, (1, 2), strict=True):
            run("-n", space, "addr", "add", f"{end.here}/24", "dev", f"e91v{end.name}")
            run("-n", space, "addr", "add", f"10.{number}.0.1/32", "dev", "lo")
            for device in ("lo", f"e91v{end.name}"):
                run("-n", space, "link", "set", device, "up")
            end.folder.mkdir()
            end.start()
        yield ends
    finally:
        for end in ends:
            end.stop()
        for space in spaces:
            subprocess.run(["ip", "netns", "del", space], capture_output=True, check=False)


@pytest.fixture(scope="module")
def new_key(tmp_path_factory):
    """A function that takes a key at one server and its twin at the other."""
    with served(tmp_path_factory.mktemp("site") / "pki") as server:
        server.deposit(10_000)

        def client(sae, kme):
            stem = server.folder / f"sae-{sae}"
            return KeyClient(
                f"https://127.0.0.1:{server.port(kme)}", certificate=stem.with_suffix(".crt"),
                private_key=stem.with_suffix(".key"), ca=server.folder / "ca.crt",
            )  # fmt: skip

        def take():
            with client("alice-app", "alice") as alice, client("bob-app", "bob") as bob:
                (key,) = alice.get_keys("bob-app")
                (twin,) = bob.get_keys_by_id("alice-app", [key.key_id])
            return key.key_id, key.content, twin.content

        yield take


def talked(gateways, folder):
    """Send plaintext through the tunnel; return what was seen of it on the wire."""
    one, other = gateways
    done = folder / "done"
    python = [sys.executable, "-c"]
    echo = subprocess.Popen(other.inside_of(*python, ECHO), stdout=subprocess.PIPE, text=True)
    sniff = subprocess.Popen(
        one.inside_of(*python, SNIFF, "e91vA", str(done)), stdout=subprocess.PIPE, text=True
    )
    try:
        assert echo.stdout.readline() == sniff.stdout.readline() == "open\n"
        said = subprocess.run(
            one.inside_of(*python, TALK), capture_output=True, text=True, timeout=60, check=False
        )
        done.touch()
        assert said.stdout == "echoed\n", said.stderr
        esp, plain, inner = map(int, sniff.communicate(timeout=10)[0].split())
    finally:
        for process in (echo, sniff):
            process.kill()
            process.communicate()
        done.unlink(missing_ok=True)
    return esp, plain, inner


def test_a_tunnel_stands_on_a_delivered_key_and_a_new_one_needs_a_new_association(
    gateways, new_key, tmp_path
):
    one, other = gateways
    key_id, key, twin = new_key()
    one.load(key_id, key)
    other.load(key_id, twin)
    one.control("--initiate", "--child", "net")
    # Traffic alone proves nothing: without `ppk_required` it would flow without the key, too.
    assert "/PPK" in one.control("--list-sas")
    assert "/PPK" in other.control("--list-sas")
    assert f"using PPK for PPK_ID '{key_id}'" in one.log()
    esp, plain, inner = talked(gateways, tmp_path)
    assert esp >= 100
    assert (plain, inner) == (0, 0)

    next_id, key, twin = new_key()
    one.load(next_id, key)
    other.load(next_id, twin)
    one.control("--rekey", "--ike", "e91")
    time.sleep(1)
    rekeyed = one.control("--list-sas")
    assert "e91: #2, ESTABLISHED" in rekeyed
    assert "/PPK" in rekeyed
    assert f"using PPK for PPK_ID '{next_id}'" not in one.log()  # rekeying keeps the old key
    one.control("--terminate", "--ike", "e91")
    one.control("--initiate", "--child", "net")
    assert f"using PPK for PPK_ID '{next_id}'" in one.log()
    assert "/PPK" in one.control("--list-sas")
    assert talked(gateways, tmp_path)[1:] == (0, 0)


def test_another_key_at_the_other_end_is_refused(gateways, new_key):
    one, other = gateways
    key_id, key, twin = new_key()
    assert key == twin
    one.load(key_id, key)
    other.load(key_id, bytes(byte ^ 1 for byte in twin))  # as if the two ends had not agreed
    assert "failed" in one.control("--initiate", "--child", "net", check=False)
    assert "AUTH_FAILED" in one.log() + other.log()
    assert "ESTABLISHED" not in one.control("--list-sas")


def test_without_the_key_no_tunnel_is_made(gateways, new_key):
    one, other = gateways
    key_id, key, _ = new_key()
    one.load(key_id, key)
    other.load(key_id, None)
    assert "failed" in one.control("--initiate", "--child", "net", check=False)
    assert "ESTABLISHED" not in one.control("--list-sas")
