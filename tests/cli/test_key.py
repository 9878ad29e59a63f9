"""``e91 key``: what it says of key files, prints of them and makes of several."""

import base64
import json
import os
import pty
import stat
import subprocess
import sys

import numpy as np
import pytest

from e91.keys.files import read_key_file, save_new
from e91.keys.store import KeyStore
from e91.model.messages import Party
from e91.model.records import SecretKey
from e91.model.trust import SecurityModel
from e91.system.durable import WriteFailed

CONTENT = np.random.default_rng(1).bytes(400)
USABLE = CONTENT[:168] + CONTENT[200:368]  # both shares without their masks


@pytest.fixture
def files(tmp_path):
    bits = np.unpackbits(np.frombuffer(CONTENT, np.uint8))
    name = "0f0e0d0c-0b0a-4908-8706-050403020100"
    key = SecretKey(bits, name, SecurityModel.TRUSTED_ANALYSERS, 1e-10, True, "phase-errors",
                    "coherent attacks", True)  # fmt: skip
    for party in Party:
        save_new(KeyStore(key, party), tmp_path / f"{party.value}.key")
    return [tmp_path / f"{party.value}.key" for party in Party]


def test_info_tells_what_is_left_and_claimed_and_uses_nothing(status, files):
    before = files[1].read_bytes()
    code, printed, complaint = status("key", "info", files[1], "--json")
    assert (code, complaint, files[1].read_bytes()) == (0, "", before)
    assert json.loads(printed) == {
        "key_id": "0f0e0d0c-0b0a-4908-8706-050403020100",
        "owner": "bob",
        "size": 400,
        "to_send": {"left": 168, "of": 168, "start": 200, "stop": 368},
        "to_receive": {"left": 168, "of": 168, "start": 0, "stop": 168},
        "exported": 0,
        "exportable": {"alice": 168, "bob": 168},
        "masks": 64,
        "security": "trusted-analysers",
        "theorem": "phase-errors",
        "attacks_covered": "coherent attacks",
        "bell_test": True,
        "epsilon": 1e-10,
        "reproducible": True,
        "digest_was_stated": True,
    }


def test_info_says_in_words_why_half_the_key_is_not_there_to_send(status, files):
    printed = status("key", "info", files[0])[1]
    words = " ".join(printed.split())
    assert "left to send 168 of 168 bytes (bytes 0 to 168 of the key)" in words
    assert "Either direction has bytes of its own" in words
    assert "yes: whoever knows the seed has the key" in words
    for part in (CONTENT[:16].hex(), base64.b64encode(CONTENT[:15]).decode()):
        assert part not in printed


@pytest.mark.parametrize("command", ["show", "export"])
def test_both_ends_give_the_same_keys_with_the_same_command(status, files, tmp_path, command):
    found = []
    for file in files:
        out = tmp_path / f"{file.name}.out"
        asked = ["--out", out] if command == "export" else []
        code, printed, _ = status("key", command, file, "--bits", 128, "--keys", 3, *asked)
        found.append(out.read_text() if asked else printed)
        assert code == 0
    assert found[0] == found[1]
    assert [len(line) for line in found[0].splitlines()] == [32, 32, 32]
    assert bytes.fromhex(found[0]) == CONTENT[168 - 24 : 168] + CONTENT[368 - 24 : 368]


def read_back(form, printed):
    """The bytes in each written key, by the format's own definition."""
    match form:
        case "hex":
            return [bytes.fromhex(line.decode()) for line in printed.split()]
        case "base64":
            return [base64.b64decode(line, validate=True) for line in printed.split()]
        case "pem":
            frames = printed.split(b"-----BEGIN E91 KEY-----\n")[1:]
            bodies = [frame.removesuffix(b"-----END E91 KEY-----\n") for frame in frames]
            assert all(len(line) <= 64 for body in bodies for line in body.split())
            return [base64.b64decode(body) for body in bodies]
    return [printed]


@pytest.mark.parametrize("form", ["hex", "base64", "pem", "raw"])
@pytest.mark.parametrize("bits", [None, 480])
def test_every_format_holds_the_bytes_of_the_key(status, files, tmp_path, form, bits):
    out = tmp_path / "out"
    cut = [] if bits is None else ["--bits", bits]
    assert status("key", "export", files[0], "--out", out, "--format", form, *cut)[0] == 0
    parts = read_back(form, out.read_bytes())
    lost = 0 if bits is None else len(USABLE) % 60  # what makes no whole key stays, of Bob's share
    assert b"".join(parts) == USABLE[:168] + USABLE[168 + lost :]
    if bits is not None and form != "raw":
        assert {len(part) for part in parts} == {60}
    assert stat.S_IMODE(out.stat().st_mode) == 0o600


def test_show_gives_programs_the_keys_and_export_only_what_is_public(status, files, tmp_path):
    asked = ["--bits", 64, "--keys", 2, "--json"]
    shown = json.loads(status("key", "show", files[0], *asked)[1])
    printed = status("key", "export", files[1], "--out", tmp_path / "out", *asked)[1]
    reported = json.loads(printed)
    assert shown["keys"] == (tmp_path / "out").read_text().split()
    assert not any(key in printed for key in shown["keys"])
    assert shown["intervals"] == reported["intervals"] == [[160, 168], [360, 368]]
    assert (reported["left_to_send"], reported["key_bytes_used"]) == (160, 16)


def test_places_of_the_bytes_are_printed_beside_them(status, files):
    _, printed, complaint = status("key", "show", files[0], "--bits", 8, "--keys", 1)
    assert printed == f"{CONTENT[167]:02x}\n"
    assert complaint == (
        f"e91: 1 byte of `{files[0]}` is used up, 167 to 168 of key 0f0e0d0c-0b0a-4908-8706-"
        "050403020100; 167 are left to send, 168 to receive.  The key is reproducible, and "
        "therefore not secret.\n"
    )


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (["--bits", "12"], "`--bits` must be positive and a multiple of 8, but is 12."),
        (["--bits", "0"], "`--bits` must be positive and a multiple of 8, but is 0."),
        (["--bits", "8", "--keys", "0"], "`--keys` must be at least 1, but is 0."),
        (["--keys", "2"], "`--keys` must come with `--bits`, but there is none."),
        (["--bits", "256", "--keys", "99"], ("1,584 key bytes must be left at the back of alice's "
         "share, but 168 are.")),
        (["--from", "bob", "--bits", "1352", "--keys", "1"], ("169 key bytes must be left at the "
         "back of bob's share, but 168 are.")),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["show", "export"])
def test_impossible_export_uses_nothing(status, files, tmp_path, command, asked, sentence):
    out = ["--out", tmp_path / "out"] if command == "export" else []
    before = files[0].read_bytes()
    assert status("key", command, files[0], *asked, *out) == (2, "", f"e91: {sentence}\n")
    assert files[0].read_bytes() == before
    assert not (tmp_path / "out").exists()


def test_file_that_exists_is_refused_before_a_byte_is_used(status, files):
    before = files[0].read_bytes()
    code, _, complaint = status("key", "export", files[0], "--out", files[1])
    assert (code, complaint) == (2, f"e91: `{files[1]}` must not exist yet, but does.\n")
    assert files[0].read_bytes() == before


def test_bytes_that_nobody_gets_are_said_to_be_used(status, files, monkeypatch):
    def full(_):
        raise WriteFailed(28, "No space left on device", "Standard output")

    monkeypatch.setattr("e91.cli.key.write_output", full)
    code, printed, complaint = status("key", "show", files[0], "--bits", "64", "--keys", "1")
    assert (code, printed) == (1, "")
    assert complaint.endswith(f"; 8 bytes of `{files[0]}` are used up all the same.\n")
    assert read_key_file(files[0]).exported == (4, 4)


def test_raw_bytes_are_refused_on_a_terminal_before_one_is_used(files):
    before = files[0].read_bytes()
    own, others = pty.openpty()
    line = [sys.executable, "-m", "e91", "key", "show", str(files[0]), "--format", "raw"]
    done = subprocess.run(line, stdout=others, stderr=subprocess.PIPE, check=False, timeout=60)
    os.close(others)
    os.close(own)
    assert done.returncode == 2
    assert b"must go to a file or a pipe, not to a terminal" in done.stderr
    assert files[0].read_bytes() == before


def test_blocks_of_a_run_are_joined_alike_at_both_ends(status, tmp_path):
    out = tmp_path / "run"
    line = ["--device", "exact", "--rounds", "2e5", "--block-rounds", "1e5", "--seed", 1]
    assert status("run", *line, "--keep", tmp_path / "raw", "--out", out)[0] == 0
    reported = []
    for party in Party:
        blocks = sorted(out.glob(f"*/{party.value}.key"))
        joined = tmp_path / f"{party.value}.key"
        code, printed, _ = status("key", "join", *blocks, "--out", joined, "--json")
        reported.append(json.loads(printed))
        assert code == 0
        assert not any(block.exists() for block in blocks)
    assert reported[0]["key_id"] == reported[1]["key_id"]
    assert (reported[0]["joined"], reported[0]["epsilon"]) == (2, 2e-10)
    shown = [status("key", "show", tmp_path / f"{party.value}.key")[1] for party in Party]
    assert shown[0] == shown[1]


def test_join_tells_what_the_sum_claims(status, files, tmp_path):
    code, _, complaint = status("key", "join", *files, "--out", tmp_path / "sum.key")
    assert (code, complaint) == (
        2,
        "e91: Key files must have one owner to be joined, but have two.\n",
    )


def test_ledger_tells_what_keys_protected_and_no_bits(status, files, tmp_path):
    (tmp_path / "letter").write_text("meet me in Jinan")
    for command, name, file in (("encrypt", "letter", files[0]), ("decrypt", "l.e91", files[1])):
        out = tmp_path / ("l.e91" if command == "encrypt" else "opened")
        assert status(command, tmp_path / name, "--key", file, "--out", out)[0] == 0
    found = json.loads(status("key", "ledger", "--json")[1])["uses"]
    assert [(one["role"], one["name"], one["peer"]) for one in found] == [
        ("sent", "letter", None),
        ("received", "l.e91", None),
    ]
    assert {(one["start"], one["stop"], one["protected_bytes"]) for one in found} == {(0, 48, 16)}
    assert {(one["cipher"], one["security"], one["epsilon"], one["reproducible"])
            for one in found} == {("one-time-pad", "trusted-analysers", 1e-10, True)}  # fmt: skip
    printed = status("key", "ledger")[1]
    assert ": 2 uses\n" in printed
    assert "sent `letter`: 16 bytes, one-time-pad\n" in printed
    assert "epsilon 1e-10; reproducible from a seed\n" in printed
    key_id = found[0]["key_id"]
    assert f"key {key_id}, bytes 0 to 48; trusted-analysers" in printed
    assert len(json.loads(status("key", "ledger", "--key-id", key_id, "--json")[1])["uses"]) == 2
    assert json.loads(status("key", "ledger", "--key-id", "x", "--json")[1])["uses"] == []


def test_ledger_that_is_not_there_is_empty_and_not_made(status, tmp_path, ledger):
    assert json.loads(status("key", "ledger", "--json")[1])["uses"] == []
    assert not ledger.with_name("key-usage.sqlite").exists()
    place = tmp_path / "other"
    assert status("key", "ledger", "--ledger", place)[::2] == (
        2,
        f"e91: `{place}` must be a key ledger, but does not exist.\n",
    )


@pytest.mark.parametrize("form", ["hex", "base64", "pem", "raw"])
def test_a_file_for_every_key_has_the_same_name_and_key_at_both_ends(status, files, tmp_path, form):
    folders = []
    for file in files:
        for part in ("one", "two"):
            out = tmp_path / f"{file.name}-{part}"
            asked = ["--out", out, "--bits", 128, "--keys", 3, "--format", form, "--each"]
            code, printed, _ = status("key", "export", file, *asked, "--json")
            assert (code, json.loads(printed)["files"]) == (0, 3)
            folders.append({one.name: one.read_bytes() for one in out.iterdir()})
            assert {stat.S_IMODE(one.stat().st_mode) for one in out.iterdir()} == {0o600}
    assert folders[:2] == folders[2:]
    assert not folders[0].keys() & folders[1].keys()
    found = b"".join(read_back(form, folders[0][name])[0] for name in sorted(folders[0]))
    assert found == CONTENT[168 - 24 : 168] + CONTENT[368 - 24 : 368]


def test_a_file_for_every_key_needs_their_size_and_a_new_folder(status, files, tmp_path):
    before = files[0].read_bytes()
    for more in (["--out", tmp_path / "new"], ["--out", tmp_path, "--bits", 128]):
        code, _, complaint = status("key", "export", files[0], "--each", *more)
        assert code == 2
        assert "must" in complaint
    assert files[0].read_bytes() == before
