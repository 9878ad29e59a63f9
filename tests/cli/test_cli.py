"""The command line: what it leaves behind, what it says, and with which status it ends."""

import json
import os
import resource
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from e91.devices.aer import aer_device
from e91.keys.files import decode_key
from e91.session.session import run

ROUNDS = ["--device", "exact", "--rounds", "100000", "--seed", "1"]
PLAIN = bytes(range(256)) + "Grüße, 量子\n".encode()

TIMES = {"seconds": 0, "processor_seconds": 0}


def e91(*arguments, timeout=60, **options):
    command = [sys.executable, "-m", "e91", *map(str, arguments)]
    captured = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.run(command, timeout=timeout, check=False, **captured)


@pytest.fixture
def plain(tmp_path):
    file = tmp_path / "letter.txt"
    file.write_bytes(PLAIN)
    return file


@pytest.fixture
def folder(tmp_path, plain, status):
    target = tmp_path / "session"
    assert status("run", *ROUNDS, "--encrypt", plain, "--out", target)[0] == 0
    return target


def is_one_sentence(complaint):
    return (
        complaint.startswith("e91: ")
        and complaint.endswith("\n")
        and complaint.count("\n") == 1
        and "Traceback" not in complaint
    )


def contents(folder):
    """Everything below a folder, with what it holds."""
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def test_command_runs_the_session_that_the_library_runs(tmp_path, status):
    out = tmp_path / "session"
    options = ["--device", "aer", "--rounds", 300_000, "--seed", 1, "--json", "--out", out]
    code, printed, _ = status("run", *options)
    report = run(aer_device(visibility=0.97, seed=1), rounds=300_000, seed=1)
    assert code == 0
    expected, found = json.loads(json.dumps(report.to_dict())), json.loads(printed)
    assert found | TIMES == expected | TIMES | {"folder": str(out)}
    stored = decode_key((out / "alice.key").read_bytes())
    assert stored.label.key_id == report.key.key_id
    assert stored.remaining == report.key.packed.tobytes()[: stored.label.size]


def test_one_line_leaves_keys_report_and_ciphertext_that_bob_decrypts(tmp_path, plain):
    out = tmp_path / "session"
    ran = e91("run", *ROUNDS, "--encrypt", plain, "--out", out)
    assert (ran.returncode, ran.stderr) == (0, b"")
    names = {path.name for path in out.iterdir()}
    assert names == {"alice.key", "bob.key", "report.json", "letter.txt.e91"}
    opened = e91("decrypt", out / "letter.txt.e91", "--key", out / "bob.key")
    assert (opened.returncode, opened.stderr) == (0, b"")
    assert (out / "letter.txt").read_bytes() == PLAIN
    assert {path.name for path in tmp_path.iterdir()} == {"letter.txt", "session"}


@pytest.mark.parametrize("name", ["alice.key", "bob.key"])
def test_key_files_are_for_their_owner_only(folder, name):
    assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600


def test_saved_report_is_the_printed_one(tmp_path, status):
    out = tmp_path / "session"
    printed = json.loads(status("run", *ROUNDS, "--json", "--out", out)[1])
    saved = json.loads((out / "report.json").read_text())
    assert saved == {name: printed[name] for name in saved}


def test_second_decryption_is_refused(folder, tmp_path, status):
    ciphertext, key = folder / "letter.txt.e91", folder / "bob.key"
    assert status("decrypt", ciphertext, "--key", key)[0] == 0
    again = tmp_path / "again"
    code, out, complaint = status("decrypt", ciphertext, "--key", key, "--out", again)
    assert (code, out, again.exists()) == (2, "", False)
    assert is_one_sentence(complaint)


def test_message_of_each_direction_arrives(folder, tmp_path, status):
    reply, sealed, opened = (tmp_path / name for name in ("reply", "reply.e91", "opened"))
    reply.write_bytes(b"yes")
    assert status("encrypt", reply, "--key", folder / "bob.key")[0] == 0
    key = folder / "alice.key"
    code, out, _ = status("decrypt", sealed, "--key", key, "--out", opened, "--json")
    assert (code, opened.read_bytes()) == (0, b"yes")
    assert json.loads(out)["size"] == 3


def test_eavesdropper_ends_the_same_line_with_status_three(tmp_path, plain, status):
    before = contents(tmp_path)
    out = tmp_path / "session"
    line = ["run", *ROUNDS, "--encrypt", plain, "--out", out, "--attack", "intercept-resend"]
    code, _, complaint = status(*line)
    assert code == 3
    assert is_one_sentence(complaint)
    assert "eavesdropper" in complaint
    assert contents(tmp_path) == before


def test_three_rounds_are_too_few(tmp_path, status):
    code, _, complaint = status("run", "--device", "exact", "--rounds", 3, "--out", tmp_path / "s")
    assert code == 3
    assert is_one_sentence(complaint)
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("attack", [[], ["--attack", "intercept-resend"]])
def test_json_is_one_object_with_the_promised_fields(status, attack):
    code, out, _ = status("run", *ROUNDS, "--json", *attack)
    assert out.count("\n") == 1
    report = json.loads(out)
    assert report.keys() >= {
        "rounds", "settings", "device", "security", "epsilon", "seed", "chsh", "qber",
        "sifted_bits", "leaked_bits", "authentication_bits", "secret_bits", "abort", "reason",
        "seconds", "processor_seconds", "reproducible", "theorem", "attacks_covered",
    }  # fmt: skip
    expected = {"value", "standard_error", "lower_bound", "p_value", "rounds"}
    assert report["chsh"].keys() >= expected
    assert report["qber"].keys() >= {"rate", "upper_bound", "revealed"}
    assert (code, report["abort"]) == ((3, "NO_VIOLATION") if attack else (0, None))
    assert (report["secret_bits"] > 0) is (code == 0)


@pytest.mark.parametrize(
    "wrong",
    [
        ["--rounds", "0"],
        ["--rounds", "-1"],
        ["--rounds", str(10**16)],
        ["--rounds", "many"],
        ["--seed", "-1"],
        ["--visibility", "1.2"],
        ["--visibility", "nan"],
        ["--dephasing", "-0.1"],
        ["--amplitude-damping", "nan"],
        ["--threads", "1"],
        ["--processes"],
        ["--block-rounds", "1000"],
        ["--misalignment", "inf"],
        ["--readout-error", "2"],
        ["--epsilon", "0"],
        ["--epsilon", "nan"],
        ["--reveal", "1"],
        ["--attack", "intercept-resend", "--strength", "2"],
        ["--attack", "unheard-of"],
        ["--settings", "unheard-of"],
        ["--encrypt", "letter.txt", "--out", "full"],
        ["--encrypt", "missing", "--out", "new"],
        ["--encrypt", "empty", "--out", "new"],
        ["--encrypt", "full", "--out", "new"],
        ["--out", "full"],
        ["--out", "letter.txt"],
        ["--out", "dangling"],
        ["--out", "loop"],
        ["--out", "missing/new"],
    ],
    ids=" ".join,
)
def test_wrong_input_is_refused_and_nothing_is_written(tmp_path, plain, status, monkeypatch, wrong):
    monkeypatch.chdir(tmp_path)
    Path("empty").touch()
    Path("full").mkdir()
    Path("full/alice.key").write_text("another session")
    Path("dangling").symlink_to("nowhere")
    Path("loop").symlink_to("loop")
    before = contents(tmp_path)
    out = [] if "--out" in wrong else ["--out", "new"]
    code, printed, complaint = status("run", "--device", "exact", *out, *wrong)
    assert (code, printed) == (2, "")
    assert is_one_sentence(complaint)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "option", ["visibility", "dephasing", "amplitude-damping", "readout-error"]
)
def test_impossible_noise_is_refused_by_the_name_of_its_option(status, option):
    for attack in ([], ["--attack", "intercept-resend"]):
        code, printed, complaint = status("run", *ROUNDS, f"--{option}", "1.5", *attack)
        assert (code, printed) == (2, "")
        assert complaint == f"e91: `--{option}` must lie in [0, 1], but is 1.5.\n"


def test_any_number_of_rounds_from_one_is_said_to_be_possible(status):
    complaint = status("run", "--device", "exact", "--rounds", "0")[2]
    assert complaint == "e91: `--rounds` must be at least 1, but is 0.\n"


@pytest.mark.parametrize("option", [["--threads", "1"], ["--processes"], ["--block-rounds", "9"]])
def test_option_of_blocks_is_not_ignored_in_one_session(status, option):
    code, _, complaint = status("run", *ROUNDS, *option)
    assert code == 2
    assert f"`{option[0]}` must come with a run of blocks" in complaint


def test_encrypting_without_a_folder_is_refused(tmp_path, plain, status):
    code, printed, complaint = status("run", *ROUNDS, "--encrypt", plain)
    assert (code, printed) == (2, "")
    assert is_one_sentence(complaint)
    assert list(tmp_path.iterdir()) == [plain]


def test_wrong_input_ends_a_process_without_traceback():
    ran = e91("run", "--rounds", 0)
    assert (ran.returncode, ran.stdout) == (2, b"")
    assert is_one_sentence(ran.stderr.decode())


def flipped(ciphertext):
    return ciphertext[:-1] + bytes([ciphertext[-1] ^ 1])


def test_every_bad_ciphertext_is_refused_with_one_sentence(tmp_path, folder, status):
    other = tmp_path / "other"
    assert status("run", *ROUNDS[:-1], "2", "--out", other)[0] == 0
    good = (folder / "letter.txt.e91").read_bytes()
    ciphertext, opened = tmp_path / "received.e91", tmp_path / "received"
    cases = [
        (good, other / "bob.key"),
        (flipped(good), folder / "bob.key"),
        (good[:-1], folder / "bob.key"),
        (good[:40], folder / "bob.key"),
        (b"no ciphertext at all", folder / "bob.key"),
    ]
    complaints = set()
    for received, key in cases:
        ciphertext.write_bytes(received)
        code, printed, complaint = status("decrypt", ciphertext, "--key", key)
        assert (code, printed, opened.exists()) == (2, "", False)
        assert is_one_sentence(complaint)
        complaints.add(complaint)
    assert len(complaints) == 1


def test_refused_ciphertext_uses_up_no_key(folder, tmp_path, status):
    ciphertext, key = folder / "letter.txt.e91", folder / "bob.key"
    altered = tmp_path / "altered.e91"
    altered.write_bytes(flipped(ciphertext.read_bytes()))
    assert status("decrypt", altered, "--key", key)[0] == 2
    assert status("decrypt", ciphertext, "--key", key)[0] == 0


def test_decryption_overwrites_nothing(folder, status):
    (folder / "letter.txt").write_bytes(b"mine")
    code, _, complaint = status("decrypt", folder / "letter.txt.e91", "--key", folder / "bob.key")
    assert code == 2
    assert is_one_sentence(complaint)
    assert (folder / "letter.txt").read_bytes() == b"mine"


INTERRUPTED = """
import os, signal, sys
from e91 import cli
from e91.devices.exact import ExactDevice
signal.signal(signal.SIGINT, signal.default_int_handler)  # a runner in the background ignores it
ExactDevice.__call__ = lambda self, x, y: os.kill(os.getpid(), signal.SIGINT)
cli.main(sys.argv[1:])
"""


def test_interrupted_session_leaves_nothing(tmp_path):
    line = ["run", "--device", "exact", "--out", str(tmp_path / "session")]
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, *line], capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, b"")
    # Click ends the terminal's line, which shows ^C, before the sentence.
    assert is_one_sentence(done.stderr.decode().lstrip("\n"))
    assert b"Interrupted" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_full_disk_leaves_nothing_half_written(tmp_path):
    plain = tmp_path / "film"
    plain.write_bytes(bytes(2_000_000))

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))

    line = ["run", *ROUNDS, "--encrypt", plain, "--out", tmp_path / "session"]
    ran = e91(*line, preexec_fn=limit)
    assert ran.returncode == 1
    assert is_one_sentence(ran.stderr.decode())
    assert list(tmp_path.iterdir()) == [plain]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
@pytest.mark.parametrize("line", [["run", *ROUNDS], ["--help"]])
def test_output_that_cannot_be_written_is_said_in_one_sentence(line):
    with Path("/dev/full").open("wb") as full:
        ran = e91(*line, stdout=full)
    assert ran.returncode == 1
    assert is_one_sentence(ran.stderr.decode())


def test_help_loads_nothing_heavy():
    script = (
        "import sys\nfrom e91 import cli\n"
        "try: cli.main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'scipy', 'qiskit', 'qiskit_aer', 'cryptography', 'matplotlib', 'tqdm'}\n"
        "sys.exit(', '.join(heavy & sys.modules.keys()) or 0)"
    )
    command = [sys.executable, "-c", script]
    ran = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert b"Usage: e91" in ran.stdout


def test_closed_output_is_no_traceback():
    ran = e91("run", *ROUNDS, stdout=None, preexec_fn=lambda: os.close(1))
    assert b"Traceback" not in ran.stderr


@pytest.mark.parametrize(
    ("probabilities", "sentence"),
    [("0.5,0.5,0.5", "sum to 1"), ("0.5,x", "numbers"), ("1,0,0", "positive"), ("1", "3 entries")],
)
def test_impossible_probabilities_are_one_sentence(status, probabilities, sentence):
    code, printed, complaint = status("run", *ROUNDS, "--alice-probabilities", probabilities)
    assert (code, printed) == (2, "")
    assert is_one_sentence(complaint)
    assert sentence in complaint


def test_bell_gives_the_p_value_of_hensen_2015(status):
    """Hensen et al., Nature 526, 682 (2015): 196 of 245 events, printed p = 0.039."""
    counts = ["--wins", 196, "--rounds", 245, "--predictability", 1.08e-5]
    code, printed, _ = status("bell", *counts, "--json")
    found = json.loads(printed)
    assert code == 0
    assert found["p_value"] == pytest.approx(0.0391746, abs=1e-6)
    assert found["chsh"] == pytest.approx(2.4)
    assert found["hoeffding"] > found["p_value"]


def test_wins_under_settings_taken_in_turn_carry_no_p_value(status):
    counts = ["--wins", 196, "--rounds", 245]
    code, printed, _ = status("bell", *counts, "--fixed-settings", "--json")
    found = json.loads(printed)
    assert (code, found["p_value"], found["hoeffding"], found["assumes"]) == (0, None, None, None)
    assert found["no_p_value"].startswith("settings that were not chosen at random")
    _, printed, _ = status("bell", *counts)
    assert (
        "if settings were chosen at random, uniformly, in every round (as assumed here)" in printed
    )
    _, printed, _ = status("bell", *counts, "--predictability", 0.01, "--random-settings")
    assert "no more predictable than stated in every round (as stated)" in printed


@pytest.mark.parametrize(("wins", "rounds"), [(300, 245), (-1, 245), (0, 0), (1, 10**16)])
def test_impossible_counts_are_one_sentence(status, wins, rounds):
    code, printed, complaint = status("bell", "--wins", wins, "--rounds", rounds)
    assert (code, printed) == (2, "")
    assert is_one_sentence(complaint)


# Runs of blocks -----------------------------------------------------------------------------------


LONG = ["--device", "exact", "--rounds", "60000000", "--block-rounds", "4000000", "--seed", "1"]


def test_long_run_saves_every_released_block(status, tmp_path):
    code, printed, _ = status("run", *LONG, "--out", tmp_path / "blocks", "--json")
    found = json.loads(printed)
    assert code == 0
    assert (found["blocks"], found["released_blocks"], found["abort"]) == (15, 15, None)
    assert found["rounds"] == 60_000_000
    assert abs(found["chsh"]["value"] - 0.97 * 8**0.5) < 6 * found["chsh"]["standard_error"]
    assert found["epsilon"] == pytest.approx(15e-10)
    assert 2.73 < found["chsh"]["lower_bound"] < found["chsh"]["value"]
    assert found["chsh"]["p_value"] < 1e-300
    assert found["qber"]["rate"] < found["qber"]["upper_bound"] < 0.017
    assert found["seconds"] > 0
    folders = sorted((tmp_path / "blocks").iterdir())
    assert [folder.name for folder in folders] == [f"block-{n:06d}" for n in range(15)]
    assert {file.name for file in folders[0].iterdir()} == {"alice.key", "bob.key", "report.json"}


def test_long_run_under_attack_ends_with_three(status, tmp_path):
    code, printed, complaint = status("run", *LONG, "--attack", "intercept-resend", "--json")
    assert code == 3
    assert json.loads(printed)["abort"] == "NO_VIOLATION"
    assert is_one_sentence(complaint)


@pytest.mark.parametrize(
    "stop",  # A hang-up takes the way of a termination, and so is quick enough by one of them.
    [signal.SIGINT, signal.SIGTERM, pytest.param(signal.SIGHUP, marks=pytest.mark.slow)],
)
def test_stopped_long_run_keeps_its_blocks_and_says_how_many(tmp_path, stop):
    command = [sys.executable, "-m", "e91", "run", "--device", "exact", "--rounds", "4000000000",
               "--block-rounds", "1000000", "--out", str(tmp_path / "blocks")]  # fmt: skip
    # Under nohup, or behind an ampersand, a child inherits that it ignores these.
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(stop, signal.SIG_DFL),  # noqa: PLW1509 - of one thread
    )
    deadline = time.monotonic() + 50
    while time.monotonic() < deadline and not (tmp_path / "blocks" / "block-000003").exists():
        time.sleep(0.05)
    process.send_signal(stop)
    printed, complaint = process.communicate(timeout=50)
    assert process.returncode == 1
    assert "blocks released" in printed
    saved = list((tmp_path / "blocks").iterdir())
    assert not [folder for folder in saved if folder.name[0] == "."]
    assert f"{len(saved):,} released blocks of 4,000 are valid" in complaint
    assert all((folder / "alice.key").exists() for folder in saved)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--threads", "1000"], "`--threads` must lie in"),
        (["--block-rounds", "0"], "`--block-rounds` must be at least 1, but is 0"),
        (["--block-rounds", "10000000000000"], "to fit in memory"),
        (["--device", "aer"], "must draw blocks of rounds"),
    ],
)
def test_impossible_long_run_is_refused(status, tmp_path, arguments, sentence):
    target = tmp_path / "blocks"
    code, _, complaint = status("run", *LONG, *arguments, "--out", target)
    assert code == 2
    assert sentence in complaint
    assert is_one_sentence(complaint)
    assert not target.exists()


@pytest.mark.parametrize("option", ["--out", "--keep"])
def test_long_run_refuses_a_folder_that_another_may_be_filling(status, tmp_path, option):
    (tmp_path / "taken").mkdir()
    other = "--keep" if option == "--out" else "--out"
    code, printed, complaint = status(
        "run", *LONG, option, tmp_path / "taken", other, tmp_path / "new"
    )
    assert (code, printed) == (2, "")
    assert "must be a new folder for a run of blocks, but file exists" in complaint
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_long_run_keeps_keys_and_raw_records_apart(status, tmp_path):
    code, _, complaint = status("run", *LONG, "--out", tmp_path / "x", "--keep", tmp_path / "x")
    assert code == 2
    assert "`--out` and `--keep` must be two folders" in complaint
    assert not list(tmp_path.iterdir())


def test_long_run_leaves_no_folder_if_the_other_cannot_be_made(status, tmp_path):
    code, _, complaint = status(
        "run", *LONG, "--out", tmp_path / "x", "--keep", tmp_path / "no" / "y"
    )
    assert code == 2
    assert "must be a new folder for a run of blocks, but no such file or directory" in complaint
    assert not list(tmp_path.iterdir())


def test_long_run_encrypts_no_file(status, tmp_path, plain):
    code, _, complaint = status("run", *LONG, "--encrypt", plain, "--out", tmp_path / "x")
    assert code == 2
    assert "must come with at most 50,000,000 rounds" in complaint


def test_raw_record_is_kept_where_it_is_asked_for(status, tmp_path):
    kept = tmp_path / "raw"
    assert status("run", *ROUNDS, "--keep", kept)[0] == 0
    assert [file.name for file in kept.iterdir()] == ["block-000000.npz"]
    assert status("run", *ROUNDS, "--keep", kept)[0] != 0
