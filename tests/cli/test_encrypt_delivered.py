"""Two machines with nothing in common but two key servers exchange files: all of it real."""

import json
import subprocess
import sys

import numpy as np
import pytest
from key_servers import served, serving_process

from e91 import cli
from e91.keys.usage import UsageLedger

DATA = np.random.default_rng(4).bytes(2_000_000)


def asked(site, port, *, sae, peer):
    return [
        "--kme", f"https://127.0.0.1:{port}", "--certificate", site / f"sae-{sae}.crt",
        "--private-key", site / f"sae-{sae}.key", "--ca", site / "ca.crt", "--peer", peer,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with served(tmp_path_factory.mktemp("site") / "pki") as server:
        server.deposit(3_000_000)
        yield server


@pytest.fixture
def ends(server):
    """The options of Alice's and of Bob's application."""
    return [
        asked(server.folder, server.port("alice"), sae="alice-app", peer="bob-app"),
        asked(server.folder, server.port("bob"), sae="bob-app", peer="alice-app"),
    ]


@pytest.fixture
def e91(capfdbinary):
    """Run a command in this process; return its status and both its outputs."""

    def call(*words):
        status = 0
        try:
            cli.main([str(word) for word in words])
        except SystemExit as end:
            status = end.code
        return status, *capfdbinary.readouterr()

    return call


@pytest.mark.slow
def test_two_processes_exchange_a_file_by_the_servers_of_another(tmp_path):
    plain, sealed, opened = (tmp_path / name for name in ("film", "film.e91", "opened"))
    plain.write_bytes(DATA)
    with serving_process(tmp_path / "pki") as server:
        site = server.folder
        alice = asked(site, server.port("alice"), sae="alice-app", peer="bob-app")
        bob = asked(site, server.port("bob"), sae="bob-app", peer="alice-app")
        for words in (
            ["encrypt", plain, *alice, "--rekey-every", "1MB"],
            ["decrypt", sealed, *bob, "--out", opened],
        ):
            ledger = tmp_path / f"ledger-of-{words[0]}"  # as on two machines
            line = [sys.executable, "-m", "e91", *map(str, words), "--ledger", str(ledger)]
            subprocess.run(line, check=True, timeout=60, capture_output=True)
    assert opened.read_bytes() == DATA
    uses = []
    for command in ("encrypt", "decrypt"):
        with UsageLedger(tmp_path / f"ledger-of-{command}") as ledger:
            uses.append(list(ledger.usages()))
    assert [one.key_id for one in uses[0]] == [one.key_id for one in uses[1]]
    assert {(one.role, one.peer, one.protected_bytes) for one in uses[0]} == {
        ("sent", "bob-app", 1_000_000)
    }
    assert {one.security for one in uses[0] + uses[1]} == {"device-independent"}
    assert {one.epsilon for one in uses[0] + uses[1]} == {1e-10}


@pytest.mark.slow
def test_pad_under_delivered_keys(ends, e91, tmp_path):
    (tmp_path / "plain").write_bytes(DATA[:100_001])
    line = ["encrypt", tmp_path / "plain", *ends[0], "--cipher", "one-time-pad", "--json"]
    code, reported, _ = e91(*line)
    found = json.loads(reported)
    assert (code, found["complete"]) == (0, True)
    assert found["key_bytes_used"] == 100_001 + 32 * found["keys"]
    line = ["decrypt", tmp_path / "plain.e91", *ends[1], "--out", tmp_path / "opened"]
    assert e91(*line)[0] == 0
    assert (tmp_path / "opened").read_bytes() == DATA[:100_001]


def test_text_gets_the_pad_and_other_data_get_aes_unasked(ends, e91, tmp_path):
    for name, content, cipher in (
        ("letter", b"meet me in Jinan", "one-time-pad"),
        ("film", DATA, "aes-256-gcm"),
    ):
        (tmp_path / name).write_bytes(content)
        code, reported, _ = e91("encrypt", tmp_path / name, *ends[0], "--json")
        assert (code, json.loads(reported)["cipher"]) == (0, cipher)


def test_a_key_that_the_server_has_given_already_is_named_and_no_file_is_left(ends, e91, tmp_path):
    (tmp_path / "plain").write_bytes(DATA)
    assert e91("encrypt", tmp_path / "plain", *ends[0])[0] == 0
    line = ["decrypt", tmp_path / "plain.e91", *ends[1], "--out"]
    assert e91(*line, tmp_path / "first")[0] == 0
    with UsageLedger() as ledger:
        key_id = list(ledger.usages())[-1].key_id
    code, _, said = e91(*line, tmp_path / "second")
    assert code == 2
    assert f"The key {key_id}, which the ciphertext names, must be had from".encode() in said
    assert said.endswith(b"No file was written.\n")
    assert not (tmp_path / "second").exists()


def test_another_application_cannot_decrypt(server, ends, e91, tmp_path):
    (tmp_path / "plain").write_bytes(DATA)
    assert e91("encrypt", tmp_path / "plain", *ends[0])[0] == 0
    carol = asked(server.folder, server.port("bob"), sae="carol-app", peer="alice-app")
    code, _, said = e91("decrypt", tmp_path / "plain.e91", *carol, "--out", tmp_path / "opened")
    assert code == 2
    assert b"must be had from the key server, but is not" in said
    assert not (tmp_path / "opened").exists()


def test_a_server_that_runs_dry_leaves_a_whole_prefix_that_says_so(e91, tmp_path):
    (tmp_path / "plain").write_bytes(DATA)
    with served(tmp_path / "pki") as server:
        server.deposit(96)
        alice = asked(server.folder, server.port("alice"), sae="alice-app", peer="bob-app")
        bob = asked(server.folder, server.port("bob"), sae="bob-app", peer="alice-app")
        line = ["encrypt", tmp_path / "plain", *alice, "--rekey-every", "300kB"]
        code, _, said = e91(*line)
        assert code == 2
        assert b"but the keys ended after its first 900,000 bytes, which are whole in" in said
        assert b"must serve the request, but refuses (" in said
        opened = tmp_path / "opened"
        code, _, said = e91("decrypt", tmp_path / "plain.e91", *bob, "--out", opened)
    assert code == 2
    assert b"its sender had no more key: the first 900,000 bytes are whole in" in said
    assert opened.read_bytes() == DATA[:900_000]


def test_a_server_that_cannot_be_reached_is_one_sentence_and_no_file(server, e91, tmp_path):
    (tmp_path / "plain").write_bytes(DATA)
    nobody = asked(server.folder, 1, sae="alice-app", peer="bob-app")
    code, _, said = e91("encrypt", tmp_path / "plain", *nobody)
    assert (code, said.count(b"\n")) == (2, 1)
    assert b"127.0.0.1:1" in said
    assert [path.name for path in tmp_path.iterdir()] == ["plain"]


def test_budget_of_a_server_is_one_stock(ends, e91, tmp_path):
    (tmp_path / "letter").write_bytes(b"meet me in Jinan")
    found = json.loads(e91("encrypt", tmp_path / "letter", *ends[0], "--budget", "--json")[1])
    assert found["one_stock"]
    assert found["bits_to_send"] == found["bits_to_receive"] > 8_000
    assert found["pad_and_tag_bits"] == 8 * (16 + 32)
    words = " ".join(e91("encrypt", tmp_path / "letter", *ends[0], "--budget")[1].decode().split())
    assert "left, both ways" in words


def test_message_of_a_key_file_is_refused_with_a_server(ends, e91, tmp_path):
    (tmp_path / "old.e91").write_bytes(b"\x89E91\n\x01" + bytes(80))
    code, _, said = e91("decrypt", tmp_path / "old.e91", *ends[1])
    assert code == 2
    assert b"must be made with keys of a key server, but is a message of a key file" in said
