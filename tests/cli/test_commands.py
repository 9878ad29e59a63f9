"""Every command is listed, loaded when it is asked for, and not before."""

import subprocess
import sys

import click
import pytest

from e91.cli import commands
from e91.cli.commands import SUMMARIES, loaded


@pytest.mark.parametrize("name", SUMMARIES)
def test_command_is_there_under_its_name(name, status):
    assert loaded(name).name == name
    code, printed, _ = status(name, "--help")
    assert code == 0
    assert printed.startswith(f"Usage: e91 {name} ")


def test_names_stand_in_order_and_summaries_fit_a_line(status):
    assert list(SUMMARIES) == sorted(SUMMARIES) == commands.list_commands(click.Context(commands))
    printed = status("--help")[1].splitlines()
    for name, summary in SUMMARIES.items():
        assert f"  {name:<11}  {summary}" in printed


def test_unknown_command_is_a_sentence(status):
    code, printed, complaint = status("encript")
    assert (code, printed) == (2, "")
    assert "encript" in complaint


def test_help_loads_no_command():
    listing = (
        "import sys\nfrom e91 import cli\n"
        "try: cli.main(['--help'])\nexcept SystemExit: pass\n"
        "print([name for name in sys.modules if name in ('numpy', 'e91.cli.run')], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", listing], capture_output=True, check=True)
    assert done.stderr.strip() == b"[]"
