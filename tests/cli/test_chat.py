"""Two real processes talk; what is cut or changed between them is found out; no key, no line."""

import json
import os
import pty
import re
import select
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
from key_servers import served

from e91.keys.files import read_key_file, save_new
from e91.keys.store import KeyStore
from e91.keys.usage import UsageLedger
from e91.model.messages import Party
from e91.model.records import SecretKey
from e91.model.trust import SecurityModel

WAIT_S = 60


@pytest.fixture
def keys(tmp_path):
    """Key files of 400 bytes, 168 for each direction."""
    bits = np.unpackbits(np.frombuffer(np.random.default_rng(1).bytes(400), np.uint8))
    name = "0f0e0d0c-0b0a-4908-8706-050403020100"
    key = SecretKey(bits, name, SecurityModel.TRUSTED_ANALYSERS, 1e-10, False)
    files = [tmp_path / f"{party.value}.key" for party in Party]
    for party, file in zip(Party, files, strict=True):
        save_new(KeyStore(key, party), file)
    return files


def started(*words, **streams):
    pipe = subprocess.PIPE
    line = [sys.executable, "-m", "e91", "chat", *map(str, words)]
    return subprocess.Popen(
        line, **{"stdin": pipe, "stdout": pipe, "stderr": pipe, "bufsize": 0} | streams
    )


def listening(*words):
    """Start an end that listens on any port; return it and its address."""
    process = started(*words, "--listen", "127.0.0.1:0")
    said = process.stderr.readline().decode()
    return process, re.search(r"127\.0\.0\.1:\d+", said)[0]


def ended(process):
    printed, said = process.communicate(timeout=WAIT_S)
    return process.returncode, printed.decode(), said.decode()


def test_two_ends_talk_over_tcp_and_every_line_shows_its_key_and_what_is_left(keys):
    bob, address = listening("--key", keys[1])
    alice = started("--key", keys[0], "--connect", address)
    alice.stdin.write(b"hello\n")
    alice.stdin.flush()
    assert bob.stdout.readline() == b"peer: hello\n"
    bob.stdin.write("\u6d4e\u5357\n".encode())
    bob.stdin.flush()
    head = [alice.stdout.readline().decode() for _ in range(2)]
    code, printed, said = ended(alice)
    key = "key 0f0e0d0c-0b0a-4908-8706-050403020100 from byte"
    assert head[0] == (
        f"    [you: {key} 0, 296 bits; left to send: 1,048 bits, to receive: 1,344 bits]\n"
    )
    assert head[1] + printed == (
        "peer: \u6d4e\u5357\n"
        f"    [peer: {key} 200, 304 bits; left to send: 1,048 bits, to receive: 1,040 bits]\n"
    )
    assert (code, said) == (0, "e91: The other end has said goodbye.\n")
    assert ended(bob)[::2] == (0, "e91: The other end has said goodbye.\n")
    spent = [read_key_file(file).spent for file in keys]
    assert spent[0] == spent[1] == ((0, 37 + 32), (200, 238 + 32))  # and 32 a goodbye


@pytest.mark.slow
def test_every_line_is_in_the_ledger(keys):
    bob, address = listening("--key", keys[1])
    alice = started("--key", keys[0], "--connect", address)
    alice.communicate(b"hello\nworld!\n", timeout=WAIT_S)
    ended(bob)
    with UsageLedger() as ledger:
        found = [one for one in ledger.usages() if one.protected_bytes]
    assert {(one.role, one.name, one.cipher, one.protected_bytes) for one in found} == {
        (role, "chat", "one-time-pad", size) for role in ("sent", "received") for size in (5, 6)
    }


def test_a_line_without_enough_key_is_not_sent_and_the_next_one_may_be(keys):
    bob, address = listening("--key", keys[1], "--json")
    alice = started("--key", keys[0], "--connect", address, "--json")
    long = b"x" * 140
    _, _said = alice.communicate(long + b"\nshort\n", timeout=WAIT_S)[::-1], None
    code, printed, _ = ended(bob)
    assert code == 0
    assert [line["text"] for line in json.loads(printed)["lines"]] == ["short"]


@pytest.mark.slow
def test_refusal_of_a_line_says_what_is_left(keys):
    bob, address = listening("--key", keys[1])
    alice = started("--key", keys[0], "--connect", address)
    said = alice.communicate(b"x" * 140 + b"\n" + b"y" * 5000 + b"\n", timeout=WAIT_S)[1].decode()
    ended(bob)
    assert (
        "e91: 172 key bytes must be left to alice, but 168 are.  The line was not sent, and AES "
        "does not take its place.\n"
    ) in said
    assert "e91: A line must have at most 4,000 bytes, but has 5,000: not sent.\n" in said


@pytest.mark.slow
def test_named_pipes_join_two_ends(keys, tmp_path):
    there, back = tmp_path / "there", tmp_path / "back"
    os.mkfifo(there)
    os.mkfifo(back)
    alice = started("--key", keys[0], "--from", back, "--to", there, "--json")
    bob = started("--key", keys[1], "--from", there, "--to", back, "--json")
    alice.stdin.write(b"hello\n")
    alice.stdin.close()
    alice.stdin = None
    found = [json.loads(ended(end)[1]) for end in (bob, alice)]
    assert [line["text"] for line in found[0]["lines"]] == ["hello"]
    assert found[0]["lines"][0]["key_bits"] == 8 * 37
    assert [one["end"] for one in found] == ["The other end has said goodbye"] * 2


@contextmanager
def man_in_the_middle(address, change):
    """Relay both ways; ``change`` maps what goes to the listener."""
    host, port = address.split(":")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def relay():
            one = server.accept()[0]
            other = socket.create_connection((host, int(port)))
            back = threading.Thread(target=pump, args=(other, one, lambda part: part))
            back.start()
            pump(one, other, change)
            back.join()
            one.close()
            other.close()

        thread = threading.Thread(target=relay)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join(WAIT_S)


def pump(source, target, change):
    try:
        while part := source.recv(65_536):
            target.sendall(change(part))
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["flip", "double", "cut"])
def test_what_is_changed_between_them_is_found_out(keys, fault):
    def change(part):
        if fault == "flip":
            return part[:-1] + bytes([part[-1] ^ 1])
        line = slice(32, 32 + 29 + 14 + 16)  # behind the header
        return (
            part[: line.stop] + part[line] + part[line.stop :] if fault == "double" else part[:-20]
        )

    bob, address = listening("--key", keys[1], "--json")
    with man_in_the_middle(address, change) as middle:
        alice = started("--key", keys[0], "--connect", middle)
        alice.communicate(b"attack at dawn\n", timeout=WAIT_S)
        code, printed, said = ended(bob)
    assert code == 2
    lines = [line["text"] for line in json.loads(printed)["lines"]]
    assert lines == (["attack at dawn"] if lines else [])
    assert json.loads(printed)["end"] == "what came was not authentic"
    assert "e91: " in said


@pytest.mark.slow
def test_an_end_that_vanishes_differs_from_one_that_says_goodbye(keys):
    bob, address = listening("--key", keys[1])
    alice = started("--key", keys[0], "--connect", address)
    alice.stdin.write(b"wait\n")
    alice.stdin.flush()
    assert bob.stdout.readline() == b"peer: wait\n"
    alice.kill()
    alice.communicate(timeout=WAIT_S)
    code, _, said = ended(bob)
    assert code == 2
    assert "is altered or cut after the first 4 bytes of its data" in said


@pytest.mark.slow
def test_a_peer_cannot_move_the_cursor(keys):
    bob, address = listening("--key", keys[1])
    alice = started("--key", keys[0], "--connect", address)
    alice.communicate(b"\x1b[2J\x07gone\n", timeout=WAIT_S)
    assert ended(bob)[1].startswith("peer: \\x1b[2J\\x07gone\n")


def read_until(descriptor, wanted):
    found, end = b"", time.monotonic() + WAIT_S
    while wanted not in found:
        assert time.monotonic() < end, found
        if select.select([descriptor], [], [], 1)[0]:
            found += os.read(descriptor, 4096)
    return found


@pytest.mark.slow
def test_a_user_types_into_a_terminal(keys):
    bob, address = listening("--key", keys[1])
    own, others = pty.openpty()
    alice = started("--key", keys[0], "--connect", address, stdin=others, stdout=others)
    os.close(others)
    os.write(own, b"hello\n")
    assert bob.stdout.readline() == b"peer: hello\n"
    shown = read_until(own, b"to receive: 1,344 bits]")
    assert b"[you: key 0f0e0d0c-0b0a-4908-8706-050403020100 from byte 0, 296 bits" in shown
    bob.stdin.write(b"hi\n")
    bob.stdin.flush()
    assert b"peer: hi" in read_until(own, b"[peer: key")
    os.write(own, b"\x04")  # Ctrl-D
    assert alice.wait(timeout=WAIT_S) == 0
    alice.stderr.close()
    os.close(own)
    assert ended(bob)[0] == 0


@pytest.mark.slow
def test_two_ends_talk_with_keys_of_two_servers(tmp_path):
    with served(tmp_path / "pki") as server:
        server.deposit(10_000)
        site = server.folder
        words = {}
        for end, peer in (("alice", "bob"), ("bob", "alice")):
            words[end] = [
                "--kme", f"https://127.0.0.1:{server.port(end)}", "--ca", site / "ca.crt",
                "--certificate", site / f"sae-{end}-app.crt",
                "--private-key", site / f"sae-{end}-app.key", "--peer", f"{peer}-app",
            ]  # fmt: skip
        bob, address = listening(*words["bob"], "--json")
        alice = started(*words["alice"], "--connect", address)
        printed = alice.communicate(b"hello\n", timeout=WAIT_S)[0].decode()
        code, reported, _ = ended(bob)
    assert re.fullmatch(
        r"    \[you: key [0-9a-f-]{36} from byte 0, 296 bits; left for both: 79,\d{3} bits\]\n",
        printed,
    )
    found = json.loads(reported)["lines"][0]
    assert (code, found["text"], found["key_id"] in printed) == (0, "hello", True)


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ([], ("The other end must be named by `--listen`, by `--connect`, or by `--from` and "
             "`--to`, but is not.")),
        (["--from", "a"], ("The other end must be named by `--listen`, by `--connect`, or by "
                          "`--from` and `--to`, but is not.")),
        (["--connect", "nowhere"], "`nowhere` must be HOST:PORT, but is not."),
        (["--connect", "127.0.0.1:1"], ("`127.0.0.1:1` must be an address to reach, but connection "
                                       "refused.")),
        (["--from", "a", "--to", "b"], "`a` must be a pipe, but does not exist."),
    ],
)  # fmt: skip
def test_another_end_that_is_not_there_is_one_sentence(status, keys, asked, sentence):
    assert status("chat", "--key", keys[0], *asked) == (2, "", f"e91: {sentence}\n")
