"""`-` is standard input and standard output; key bytes are used up before anything leaves."""

import io
import json
import os
import pty
import select
import subprocess
import sys

import numpy as np
import pytest

from e91 import cli
from e91.devices.exact import exact_device
from e91.keys.files import read_key_file, save_new
from e91.keys.store import KeyStore
from e91.model.messages import Party
from e91.model.records import SecretKey
from e91.model.trust import SecurityModel
from e91.session.session import run as run_session
from e91.system.durable import WriteFailed
from e91.system.progress import waiting

DATA = bytes(range(256)) * 2


@pytest.fixture
def keys(tmp_path):
    bits = np.unpackbits(np.frombuffer(np.random.default_rng(1).bytes(4000), np.uint8))
    name = "0f0e0d0c-0b0a-4908-8706-050403020100"
    key = SecretKey(bits, name, SecurityModel.TRUSTED_ANALYSERS, 1e-10, False)
    for party in Party:
        save_new(KeyStore(key, party), tmp_path / f"{party.value}.key")
    return [tmp_path / f"{party.value}.key" for party in Party]


@pytest.fixture
def e91(monkeypatch, capsysbinary):
    """Run a command with ``data`` as standard input; return its status and both its outputs."""

    def call(*words, data=b""):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
        status = 0
        try:
            cli.main([str(word) for word in words])
        except SystemExit as end:
            status = end.code
        return status, *capsysbinary.readouterr()

    return call


def test_pipe_of_two_processes_brings_a_message(keys):
    def process(*words, data):
        line = [sys.executable, "-m", "e91", *map(str, words)]
        return subprocess.run(line, input=data, stdout=subprocess.PIPE, check=True, timeout=60)

    sealed = process("encrypt", "-", "--key", keys[0], data=DATA)
    assert process("decrypt", "-", "--key", keys[1], data=sealed.stdout).stdout == DATA


def test_message_goes_through_streams_and_is_said_on_standard_error(keys, e91):
    code, sealed, sealed_said = e91("encrypt", "-", "--key", keys[0], data=DATA)
    assert (code, len(sealed)) == (0, len(DATA) + 48)
    code, opened, opened_said = e91("decrypt", "-", "--key", keys[1], "--out", "-", data=sealed)
    assert (code, opened) == (0, DATA)
    said = b"e91: 512 bytes, one-time-pad; 544 key bytes used, 1,424 left\n"
    assert sealed_said == opened_said == said
    assert e91("decrypt", "-", "--key", keys[1], data=sealed)[:2] == (2, b"")


def test_files_and_streams_can_be_mixed(keys, e91, tmp_path):
    plain, opened, reply = (tmp_path / name for name in ("plain", "opened", "reply"))
    plain.write_bytes(DATA)
    _, sealed, _ = e91("encrypt", plain, "--key", keys[0], "--out", "-")
    _, reported, _ = e91("decrypt", "-", "--key", keys[1], "--out", opened, "--json", data=sealed)
    assert json.loads(reported)["file"] == str(opened)
    assert opened.read_bytes() == DATA
    assert e91("encrypt", "-", "--key", keys[1], "--out", reply, data=DATA)[0] == 0
    assert e91("decrypt", reply, "--key", keys[0], "--out", "-")[1] == DATA


@pytest.mark.parametrize("command", ["encrypt", "decrypt"])
@pytest.mark.parametrize(
    ("asked", "data", "sentence"),
    [
        ([], b"", b"e91: Standard input must have at least one byte, but has none.\n"),
        (["--json"], b"x", (b"e91: `--json` must come with `--out FILE`, as standard output is "
         b"taken by the data.\n")),
    ],
)  # fmt: skip
def test_wrong_stream_uses_no_key(keys, e91, command, asked, data, sentence):
    before = keys[0].read_bytes()
    code, _, said = e91(command, "-", "--key", keys[0], *asked, data=data)
    assert (code, said) == (2, sentence)
    assert keys[0].read_bytes() == before


def test_ledger_that_is_damaged_uses_no_key(keys, e91, tmp_path):
    sealed = e91("encrypt", "-", "--key", keys[0], data=DATA)[1]
    (tmp_path / "ledger").write_bytes(b"no ledger" * 99)
    before = [file.read_bytes() for file in keys]
    lines = ("encrypt", "-", "--key", keys[0]), ("decrypt", "-", "--key", keys[1])
    for line, data in zip(lines, (DATA, sealed), strict=True):
        code, out, said = e91(*line, "--ledger", tmp_path / "ledger", data=data)
        assert (code, out, b"must be a key ledger, but file is no" in said) == (2, b"", True)
    assert [file.read_bytes() for file in keys] == before


def test_altered_ciphertext_gives_no_byte_and_uses_none(keys, e91):
    sealed = bytearray(e91("encrypt", "-", "--key", keys[0], data=DATA)[1])
    sealed[40] ^= 1
    before = keys[1].read_bytes()
    said = b"e91: `-` must be a ciphertext made with this key, but authentication failed.\n"
    assert e91("decrypt", "-", "--key", keys[1], data=bytes(sealed)) == (2, b"", said)
    assert keys[1].read_bytes() == before


def test_ciphertext_is_not_written_to_a_terminal(keys, tmp_path):
    before = keys[0].read_bytes()
    (tmp_path / "plain").write_bytes(DATA)
    own, others = pty.openpty()
    line = ["encrypt", tmp_path / "plain", "--key", keys[0], "--out", "-"]
    command = [sys.executable, "-m", "e91", *map(str, line)]
    ended = subprocess.run(command, stdout=others, stderr=subprocess.PIPE, check=False, timeout=60)
    os.close(others)
    os.close(own)
    assert ended.returncode == 2
    assert b"must go to a file or a pipe, not to a terminal" in ended.stderr
    assert keys[0].read_bytes() == before


@pytest.mark.parametrize(("command", "index"), [("encrypt", 0), ("decrypt", 1)])
def test_bytes_are_used_up_before_the_data_leave(keys, e91, monkeypatch, tmp_path, command, index):
    plain = tmp_path / "plain.e91"
    plain.write_bytes(e91("encrypt", "-", "--key", keys[0], data=DATA)[1] if index else DATA)
    before = read_key_file(keys[index]).spent

    def broken(content):
        assert len(content) == len(DATA) + 48 * (not index)
        assert read_key_file(keys[index]).spent != before
        raise WriteFailed(28, "No space left on device", "Standard output")

    monkeypatch.setattr(f"e91.cli.{command}.write_output", broken)
    code, printed, complaint = e91(command, plain, "--key", keys[index], "--out", "-")
    assert (code, printed) == (1, b"")
    assert f"544 bytes of `{keys[index]}` are used up all the same" in complaint.decode()


class Terminal:
    """Standard error that is a terminal, and keeps what it shows."""

    def __init__(self):
        self.shown = ""

    def isatty(self):
        return True

    def write(self, text):
        self.shown += text

    def flush(self):
        pass


def test_wait_is_shown_on_a_terminal_and_gone_when_it_ends(monkeypatch):
    monkeypatch.setattr("e91.system.progress._PATIENCE_S", 0.0)
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with waiting("Reading tags"):
        with waiting("A part of it"):
            pass
        while not terminal.shown:
            pass
    assert "\rReading tags: 0 s" in terminal.shown
    assert terminal.shown.endswith("\r" + " " * 17 + "\r")
    assert "A part" not in terminal.shown


def test_wait_is_shown_on_a_terminal_that_does_not_know_its_size(monkeypatch):
    monkeypatch.setattr("e91.system.progress._PATIENCE_S", 0.0)
    own, others = pty.openpty()  # of 0 columns and 0 lines
    with os.fdopen(others, "w") as terminal:
        monkeypatch.setattr("sys.stderr", terminal)
        with waiting("Reading tags"):
            assert select.select([own], [], [], 60) == ([own], [], [])
            assert os.read(own, 100).startswith(b"\rReading tags: 0 s")
    os.close(own)


def test_session_shows_a_sign_of_each_of_its_parts(monkeypatch):
    monkeypatch.setattr("e91.system.progress._PATIENCE_S", 0.0)
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    run_session(exact_device(seed=1), rounds=100_000, seed=1)
    assert "/100k [" in terminal.shown
    assert "Making the key: 0 s" in terminal.shown


def test_short_wait_and_a_pipe_show_nothing(monkeypatch, capsys):
    terminal = Terminal()
    with waiting("Reading tags"):
        pass
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr", terminal)
    with waiting("Reading tags"):
        pass
    assert terminal.shown == ""
