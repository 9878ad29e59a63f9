"""What docs/key_delivery.md shows to copy: it is parsed, compiled and run."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from e91.cli.commands import loaded
from e91.delivery.configuration import RemoteKmeEntry, SkipEntry
from e91.system.documents import parse_toml

PAGE = (Path(__file__).parents[2] / "docs" / "key_delivery.md").read_text(encoding="utf-8")


def blocks(language):
    """The blocks of a language on the page."""
    return re.findall(
        rf"^```(?:\{{code-block\}} )?{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL
    )


def test_systemd_takes_the_unit(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze must be installed")
    (unit,) = blocks("ini")
    # The program and the user are not there: everything else is checked as it stands.
    unit = unit.replace("/opt/e91/bin/e91", "/bin/true").replace("User=e91-kme", "User=root")
    (tmp_path / "e91-kme.service").write_text(unit)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / "e91-kme.service")],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    own = [line for line in done.stderr.splitlines() if "e91-kme" in line]
    assert (done.returncode, own) == (0, []), done.stderr


def test_systemd_would_find_a_wrong_unit(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze must be installed")
    (tmp_path / "wrong.service").write_text("[Service]\nExecStart=/bin/true\nTypo=notify\n")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / "wrong.service")],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "Typo" in done.stderr


def started_by(words):
    """The command that the words of a line start."""
    assert words[0] == "e91"
    command = loaded(words[1])
    for word in words[2:]:
        if isinstance(command, click.Group):
            command = command.get_command(click.Context(command), word)
            assert command is not None, words
    return command


def test_the_container_file_starts_a_command_that_is_there():
    container = Path(__file__).parents[2] / "packaging" / "server.Containerfile"
    lines = re.sub(r"\\\n", " ", container.read_text(encoding="utf-8")).splitlines()
    instructions = dict(line.split(" ", 1) for line in lines if line and line[0] != "#")
    assert {"FROM", "COPY", "RUN", "USER", "VOLUME", "ENTRYPOINT", "CMD"} < set(instructions)
    words = json.loads(instructions["ENTRYPOINT"]) + json.loads(instructions["CMD"])
    assert started_by(words).name == "serve"
    (line,) = (line for line in blocks("ini")[0].splitlines() if line.startswith("ExecStart="))
    assert started_by(["e91", *line.split()[1:]]).name == "serve"


def test_every_command_and_option_that_is_shown_is_there():
    lines = "\n".join(blocks("bash")).replace("\\\n", " ").splitlines()
    shown = [line.partition("#")[0].split() for line in lines if line.startswith("e91 ")]
    assert len(shown) >= 9
    for words in shown:
        known = {option for one in started_by(words).params for option in one.opts}
        assert {word for word in words if word.startswith("--")} <= known, words


@pytest.mark.parametrize(
    ("number", "table", "kind"),
    [(0, "remote_kme", RemoteKmeEntry), (1, "skip", SkipEntry), (2, "skip", SkipEntry)],
)
def test_the_shown_tables_are_read(number, table, kind):
    text = blocks("toml")[number].replace(f"[[{table}]]\n", "")
    assert parse_toml(text, kind, where="page").kme == "alice"


def test_the_shown_connection_is_the_one_that_the_tunnel_of_the_tests_has():
    tested = (Path(__file__).parent / "test_ipsec_under_keys.py").read_text(encoding="utf-8")
    templates = re.findall(
        r'^(?:CONNECTION|PRE_SHARED) = """\n(.*?)"""', tested, re.MULTILINE | re.DOTALL
    )
    values = {
        "here": "10.99.0.1", "there": "10.99.0.2", "name": "A", "inside": "10.1.0.0/24",
        "outside": "10.2.0.0/24", "key_id": "KEY_ID", "key": "KEY_IN_HEX",
    }  # fmt: skip
    for template in templates:
        assert template.format(**values) in blocks("text")
    assert len(templates) == 2
