"""A command runs once when the alarm rings, knows what rang, and changes nothing here."""

import json
import shlex
import sys

import pytest

from e91.cli.alarm_command import PREFIX, AlarmCommand

BAD_LINK = ["run", "--device", "exact", "--rounds", "2e4", "--seed", 1, "--watch", 0.97]
RINGS = [*BAD_LINK, "--visibility", 0.85]
TELLS = """
import os, sys
values = {name: value for name, value in os.environ.items() if name.startswith("E91_ALARM_")}
print(repr(values), sys.argv[2:], file=open(sys.argv[1], "a"))
print("not for standard output")
sys.exit(7)
"""


@pytest.fixture
def command(tmp_path):
    """A command that writes down its environment, and fails; and where it does."""
    script, reported = tmp_path / "tell.py", tmp_path / "reported"
    script.write_text(TELLS)
    return shlex.join([sys.executable, str(script), str(reported), "two words"]), reported


def test_command_hears_what_rang_and_its_failure_changes_nothing(status, command):
    line, reported = command
    code, printed, complaint = status(*RINGS, "--on-alarm", line, "--json")
    plain_code, plain, _ = status(*RINGS, "--json")
    found, expected = json.loads(printed), json.loads(plain)
    times = {"seconds": 0, "processor_seconds": 0}
    assert (code, found | times) == (plain_code, expected | times)
    environment = reported.read_text()
    for name, value in found["alarm"].items():
        assert repr(f"{PREFIX}{name.upper()}") + f": {str(value)!r}" in environment
    assert "['two words']" in environment
    assert "e91: `--on-alarm` ended with status 7.\n" in complaint


def test_silent_link_runs_nothing(status, command):
    line, reported = command
    assert status(*BAD_LINK, "--visibility", 0.999, "--on-alarm", line)[0] in (0, 3)
    assert not reported.exists()


def test_run_of_blocks_runs_it_once(status, command, tmp_path):
    line, reported = command
    blocks = ["--block-rounds", "1e4", "--keep", tmp_path / "raw"]
    status(*RINGS, *blocks, "--on-alarm", line)
    assert reported.read_text().count("\n") == 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--on-alarm", "ls"], "`--on-alarm` must come with `--watch V`, but there is none."),
        (["--watch", 0.9, "--on-alarm", "no-such"], ("`--on-alarm` must be a command of this "
         "machine, but `no-such` is none.")),
        (["--watch", 0.9, "--on-alarm", " "], ("`--on-alarm` must be a command of this machine, "
         "but is empty.")),
        (["--watch", 0.9, "--on-alarm", "ls '"], ("`--on-alarm` must be a command, but: no closing "
         "quotation.")),
    ],
)  # fmt: skip
def test_wrong_command_is_refused_before_a_photon_flies(status, monkeypatch, options, sentence):
    monkeypatch.setattr("e91.session.session.measure", None)
    assert status("run", "--device", "exact", *options) == (2, "", f"e91: {sentence}\n")


def test_no_shell_reads_the_words(tmp_path):
    words = AlarmCommand.parsed(f"echo $HOME ; touch {tmp_path / 'made'} | cat `ls`").words
    assert words == ("echo", "$HOME", ";", "touch", str(tmp_path / "made"), "|", "cat", "`ls`")


def test_command_that_does_not_end_is_left_alone(monkeypatch, capsys):
    monkeypatch.setattr("e91.cli.alarm_command._PATIENCE_S", 0.05)

    class Rang:
        def to_dict(self):
            return {"round": 1, "named": None}

    command = AlarmCommand.parsed("sleep 0.3")
    with command.waited_for():
        command.start(Rang())
    assert capsys.readouterr().err == "e91: `--on-alarm` goes on by itself.\n"
    command.wait(5)


def test_command_that_cannot_be_run_is_said(tmp_path, capsys):
    script = tmp_path / "broken"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o700)
    command = AlarmCommand.parsed(str(script))

    class Rang:
        def to_dict(self):
            return {}

    with command.waited_for():
        command.start(Rang())
    assert "could not be run: No such file or directory" in capsys.readouterr().err
