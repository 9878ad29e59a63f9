"""Files and streams of any size by `e91 encrypt` and `e91 decrypt`, with key files."""

import io
import json
import os
import stat
import subprocess
import sys

import numpy as np
import pytest

from e91 import cli
from e91.keys.files import read_key_file, save_new
from e91.keys.store import KeyStore
from e91.keys.usage import UsageLedger
from e91.model.messages import Party
from e91.model.records import SecretKey
from e91.model.trust import SecurityModel

DATA = np.random.default_rng(3).bytes(3_000_000)


def save_key(folder, *, size, number):
    bits = np.unpackbits(np.frombuffer(np.random.default_rng(number).bytes(size), np.uint8))
    name = f"{number:08x}-0b0a-4908-8706-050403020100"
    key = SecretKey(bits, name, SecurityModel.TRUSTED_ANALYSERS, 1e-10, False)
    for party in Party:
        (folder / party.value).mkdir(exist_ok=True)
        save_new(KeyStore(key, party), folder / party.value / f"{number}.key")


@pytest.fixture
def ends(tmp_path):
    """Folders of key files at both ends: two keys of 400 bytes each."""
    for number in (1, 2):
        save_key(tmp_path, size=400, number=number)
    (tmp_path / "plain").write_bytes(DATA)
    return [tmp_path / party.value for party in Party]


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


def test_large_file_goes_under_fresh_keys_of_several_files(ends, e91, tmp_path):
    alice, bob = ends
    sealed, opened = tmp_path / "plain.e91", tmp_path / "opened"
    line = ["encrypt", tmp_path / "plain", "--key", alice, "--rekey-every", "500kB", "--json"]
    code, reported, said = e91(*line)
    assert (code, said) == (0, b"")
    assert json.loads(reported) == {
        "file": str(sealed), "cipher": "aes-256-gcm", "size": 3_000_000, "keys": 6,
        "key_bytes_used": 192, "complete": True, "to_send": 144, "to_receive": 336,
    }  # fmt: skip
    code, _, said = e91("decrypt", sealed, "--key", bob, "--out", opened)
    assert (code, opened.read_bytes()) == (0, DATA)
    assert stat.S_IMODE(opened.stat().st_mode) == 0o600
    again = e91("decrypt", sealed, "--key", bob, "--out", tmp_path / "again")
    assert again[0] == 2
    assert b"used already.  No file was written." in again[2]
    assert not (tmp_path / "again").exists()


def test_default_for_what_the_pad_cannot_cover_is_said(ends, e91, tmp_path):
    code, printed, said = e91("encrypt", tmp_path / "plain", "--key", ends[0] / "1.key")
    assert code == 0
    assert said == (
        b"e91: the one-time pad needs 3,000,096 key bytes, and 168 may be spent: AES-256-GCM, "
        b"whose secrecy is computational\n"
    )
    assert b"3,000,000 bytes, aes-256-gcm; 1 key, 32 key bytes used, 136 to send" in printed


@pytest.mark.slow
def test_pad_in_segments_covers_a_file_with_the_keys_of_many_blocks(e91, tmp_path):
    for number in (1, 2, 3):
        save_key(tmp_path, size=2_200_000, number=number)
    (tmp_path / "plain").write_bytes(DATA)
    line = ["encrypt", tmp_path / "plain", "--key", tmp_path / "alice", "--json"]
    code, reported, said = e91(*line)
    found = json.loads(reported)
    assert (code, said, found["cipher"], found["complete"]) == (0, b"", "one-time-pad", True)
    assert found["key_bytes_used"] == 3_000_000 + 32 * found["keys"]
    opened = tmp_path / "opened"
    line = ["decrypt", tmp_path / "plain.e91", "--key", tmp_path / "bob", "--out", opened]
    assert e91(*line)[0] == 0
    assert opened.read_bytes() == DATA
    used = [
        [read_key_file(file).spent for file in sorted((tmp_path / party.value).iterdir())]
        for party in Party
    ]
    assert used[0] == used[1]


@pytest.mark.slow
def test_pipes_of_processes_bring_a_large_stream(ends, tmp_path):
    start = [sys.executable, "-m", "e91"]
    with (tmp_path / "plain").open("rb") as plain:
        first = subprocess.Popen(
            [*start, "encrypt", "-", "--key", str(ends[0]), "--rekey-every", "1MiB"],
            stdin=plain, stdout=subprocess.PIPE,
        )  # fmt: skip
    second = subprocess.Popen(
        [*start, "decrypt", "-", "--key", str(ends[1])], stdin=first.stdout, stdout=subprocess.PIPE
    )
    first.stdout.close()
    assert second.communicate(timeout=60)[0] == DATA
    assert (first.wait(timeout=60), second.returncode) == (0, 0)


@pytest.mark.parametrize("text", [b"meet me in Jinan", "\u6d4e\u5357".encode() * 99])
@pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
def test_text_gets_the_pad_or_nothing_unless_aes_is_asked_for(ends, e91, tmp_path, text, folder):
    key = ends[0] if folder else ends[0] / "1.key"
    for number in (1, 2):
        line = ["encrypt", "-", "--key", ends[0] / f"{number}.key", "--out", tmp_path / f"{number}"]
        assert e91(*line, data=bytes(130))[0] == 0  # of 168 bytes, 6 are left
    code, printed, said = e91("encrypt", "-", "--key", key, data=text)
    assert (code, printed) == (2, b"")
    assert b"A text must have" in said
    assert b"6 are left" in said or b"12 are left" in said
    assert b"`--cipher aes-256-gcm` it is encrypted by AES, which is computational" in said


def test_pad_that_is_asked_for_is_refused_before_a_byte_is_used(ends, e91, tmp_path):
    before = [file.read_bytes() for file in sorted(ends[0].iterdir())]
    code, _, said = e91("encrypt", tmp_path / "plain", "--key", ends[0], "--cipher", "one-time-pad")
    assert code == 2
    assert said == (
        b"e91: 3,000,096 key bytes must be left to send for the one-time pad, but 336 are.\n"
    )
    assert [file.read_bytes() for file in sorted(ends[0].iterdir())] == before
    assert not (tmp_path / "plain.e91").exists()


def test_keys_that_come_to_their_end_leave_a_whole_prefix_that_says_so(ends, e91, tmp_path):
    line = ["encrypt", tmp_path / "plain", "--key", ends[0], "--rekey-every", "200kB"]
    code, _, said = e91(*line)
    assert code == 2
    assert (
        b"must be encrypted to its end, but the keys ended after its first 2,000,000 bytes, which "
        b"are whole in"
    ) in said
    assert b"32 key bytes must be left to alice in one of the key files, but 8 are." in said
    opened = tmp_path / "opened"
    code, _, said = e91("decrypt", tmp_path / "plain.e91", "--key", ends[1], "--out", opened)
    assert code == 2
    assert b"its sender had no more key: the first 2,000,000 bytes are whole in" in said
    assert opened.read_bytes() == DATA[:2_000_000]


@pytest.fixture
def sealed(ends, e91, tmp_path):
    line = ["encrypt", tmp_path / "plain", "--key", ends[0], "--rekey-every", "1MB"]
    assert e91(*line)[0] == 0
    return tmp_path / "plain.e91"


@pytest.mark.parametrize("fault", ["cut", "flip", "more"])
def test_failed_decryption_leaves_no_file_and_uses_no_key(ends, e91, tmp_path, sealed, fault):
    content = bytearray(sealed.read_bytes())
    if fault == "flip":
        content[-10] ^= 1
    sealed.write_bytes(content[:-70] if fault == "cut" else content + b"x" * (fault == "more"))
    before = [file.read_bytes() for file in sorted(ends[1].iterdir())]
    code, printed, said = e91("decrypt", sealed, "--key", ends[1], "--out", tmp_path / "opened")
    assert (code, printed) == (2, b"")
    assert b"must be a whole ciphertext made with these keys, but is not" in said
    assert said.endswith(b"No file was written.\n")
    assert {path.name for path in tmp_path.iterdir()} == {"alice", "bob", "plain", "plain.e91"}
    assert [file.read_bytes() for file in sorted(ends[1].iterdir())] == before


def test_stream_that_is_cut_gives_checked_bytes_and_says_that_they_are_not_all(ends, e91, sealed):
    content = sealed.read_bytes()
    code, printed, said = e91("decrypt", "-", "--key", ends[1], data=content[:-70])
    assert code == 2
    assert DATA.startswith(printed)
    assert (
        f"The {len(printed):,} bytes that were written are right, but are not all.".encode() in said
    )
    assert b"is altered or cut after the first" in said


def test_keys_are_used_on_the_disk_before_a_byte_is_written_to_a_stream(ends, e91, sealed):
    content = bytearray(sealed.read_bytes())
    content[1_500_000] ^= 1  # in the second of three chapters
    e91("decrypt", "-", "--key", ends[1], data=bytes(content))
    assert read_key_file(ends[1] / "1.key").spent == ((0, 64),)


def test_file_that_changes_while_it_is_read_leaves_no_ciphertext(ends, e91, tmp_path, monkeypatch):
    from e91.cli.stream_files import _SteadyFile

    plain = tmp_path / "plain"
    read = _SteadyFile.readinto

    def cut_meanwhile(self, buffer):
        count = read(self, buffer)
        if self._count == count and plain.stat().st_size == len(DATA):
            os.truncate(plain, 1_100_000)
        return count

    monkeypatch.setattr(_SteadyFile, "readinto", cut_meanwhile)
    code, _, said = e91("encrypt", plain, "--key", ends[0], "--rekey-every", "1MB")
    assert code == 2
    sentence = f"`{plain}` must not change while it is read, but did: it had 3,000,000 bytes and "
    assert said == f"e91: {sentence}has 1,100,000.\n".encode()
    assert not (tmp_path / "plain.e91").exists()


@pytest.mark.slow
def test_reader_that_goes_away_is_one_sentence(ends, tmp_path):
    line = [sys.executable, "-m", "e91", "encrypt", str(tmp_path / "plain"), "--out", "-",
            "--key", str(ends[0]), "--cipher", "aes-256-gcm"]  # fmt: skip
    running = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    running.stdout.close()
    said = running.stderr.read()
    running.stderr.close()
    assert running.wait(timeout=60) == 1
    assert said == b"e91: Standard output must be writable to its end, but its reader is gone.\n"


def test_another_version_is_named(ends, e91, sealed):
    content = bytearray(sealed.read_bytes())
    content[5] = 9
    code, _, said = e91("decrypt", "-", "--key", ends[1], data=bytes(content))
    assert code == 2
    assert b"must be of version 1 or 2 of its format, but is of version 9.\n" in said


def test_message_of_before_is_read_with_the_right_one_of_several_key_files(ends, e91, tmp_path):
    line = ["encrypt", "-", "--key", ends[0] / "2.key", "--out", tmp_path / "old"]
    assert e91(*line, data=b"as in version 0.1")[0] == 0
    assert (tmp_path / "old").read_bytes()[:6] == b"\x89E91\n\x01"
    code, printed, _ = e91("decrypt", tmp_path / "old", "--key", ends[1], "--out", "-")
    assert (code, printed) == (0, b"as in version 0.1")


def test_every_use_is_in_the_ledger(ends, e91, tmp_path, sealed):
    e91("decrypt", sealed, "--key", ends[1], "--out", tmp_path / "opened")
    e91("encrypt", "-", "--key", ends[0] / "1.key", "--out", tmp_path / "m", data=b"hello")
    with UsageLedger() as ledger:
        found = [
            (one.role, one.name, one.cipher, one.start, one.stop, one.protected_bytes)
            for one in ledger.usages()
        ]
    sizes = [(0, 32, 1_000_000), (32, 64, 1_000_000), (64, 96, 1_000_000)]
    expected = [("sent", "plain", "aes-256-gcm", *one) for one in sizes]
    expected += [("received", "plain.e91", "aes-256-gcm", *one) for one in sizes]
    assert found == [*expected, ("sent", "-", "one-time-pad", 96, 133, 5)]


def test_ledger_stops_a_key_file_that_was_restored(ends, e91, tmp_path):
    backup = (ends[0] / "1.key").read_bytes()
    line = ["encrypt", "-", "--key", ends[0] / "1.key", "--out"]
    assert e91(*line, tmp_path / "first", data=b"hello")[0] == 0
    (ends[0] / "1.key").write_bytes(backup)
    code, _, said = e91(*line, tmp_path / "second", data=b"other")
    assert code == 2
    assert b"Key bytes must be used once, but bytes 0 to 37 of key 00000001-" in said
    assert not (tmp_path / "second").exists()


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (["--rekey-every", "0"], ("`--rekey-every` must be a number of bytes, such as 1000000 "
         "or 256MiB, but is `0`.")),
        (["--rekey-every", "many"], ("`--rekey-every` must be a number of bytes, such as 1000000 "
         "or 256MiB, but is `many`.")),
        (["--rekey-every", "1TiB"], ("`--rekey-every` must be at most 388,688,505,880 bytes, the "
         "cipher's bound, but is 1,099,511,627,776.")),
        (["--key-rate", "-5"], "`--key-rate` must be positive and finite, but is -5.0."),
        (["--kme", "https://127.0.0.1:1"], ("Keys must come by `--key` or `--kme`, but both are "
         "given.")),
        (["--peer", "bob"], "`--peer` must come with `--kme URL`, but does not."),
    ],
)  # fmt: skip
def test_impossible_line_uses_no_key(ends, e91, tmp_path, asked, sentence):
    before = (ends[0] / "1.key").read_bytes()
    code, _, said = e91("encrypt", tmp_path / "plain", "--key", ends[0], *asked)
    assert (code, said.decode()) == (2, f"e91: {sentence}\n")
    assert (ends[0] / "1.key").read_bytes() == before


def test_chapters_follow_the_rate_of_the_link(ends, e91, tmp_path):
    asked = ["--key-rate", "64000", "--data-rate", "62.5MB", "--json"]
    found = json.loads(e91("encrypt", tmp_path / "plain", "--key", ends[0], *asked)[1])
    assert found["keys"] == 6  # 2 * 256 * 62.5e6 / 64000 = 500,000 bytes a key


def test_budget_is_shown_bit_for_bit_and_uses_nothing(ends, e91, tmp_path):
    before = (ends[0] / "1.key").read_bytes()
    line = ["encrypt", tmp_path / "plain", "--key", ends[0], "--budget"]
    assert json.loads(e91(*line, "--json")[1]) == {
        "file": str(tmp_path / "plain"), "one_stock": False, "data_bits": 24_000_000,
        "pad_bits": 24_000_000, "tag_bits": 768, "pad_and_tag_bits": 24_000_768,
        "bits_to_send": 2688, "bits_to_receive": 2688, "bits_to_send_afterwards": 0,
        "pad_suffices": False,
    }  # fmt: skip
    words = " ".join(e91(*line)[1].decode().split())
    assert "pad and tags 24,000,768 bits" in words
    assert "pad suffices no: the pad is refused" in words
    assert (ends[0] / "1.key").read_bytes() == before


def test_wrong_line_with_a_server_is_refused(e91):
    code, _, said = e91("encrypt", "-", "--kme", "https://127.0.0.1:1", "--peer", "bob", data=b"x")
    assert (code, said) == (2, b"e91: `--kme` must come with `--certificate`, but there is none.\n")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory of a process is read in /proc")
def test_memory_stays_the_same_for_a_gigabyte(ends):
    """Both ends in pipes, below 60 MB each; a whole gigabyte would not fit."""
    script = (
        "import re, sys; from pathlib import Path; from e91 import cli\n"
        "try: cli.main(sys.argv[1:])\n"
        "finally:\n"
        "    status = Path('/proc/self/status').read_text()\n"
        "    print(re.search(r'VmHWM:\\s+(\\d+) kB', status)[1], file=sys.stderr)"
    )
    start = [sys.executable, "-c", script]
    zeros = subprocess.Popen(["head", "-c", "1000000000", "/dev/zero"], stdout=subprocess.PIPE)
    line = [*start, "encrypt", "-", "--key", str(ends[0]), "--cipher", "aes-256-gcm"]
    first = subprocess.Popen(
        line, stdin=zeros.stdout, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    line = [*start, "decrypt", "-", "--key", str(ends[1])]
    second = subprocess.Popen(
        line, stdin=first.stdout, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    for ended in (first, second):
        peak = int(ended.stderr.read().split()[-1])
        assert ended.wait(timeout=60) == 0
        assert peak < 60_000
    for stream in (zeros.stdout, first.stdout, first.stderr, second.stderr):
        stream.close()
    zeros.wait(timeout=60)
