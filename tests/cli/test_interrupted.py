"""Ctrl-C at any moment is a sentence, whatever it met, and one JSON object."""

import json
import subprocess
import sys

import click
import pytest

from e91 import cli
from e91.cli.commands import Commands


@pytest.mark.parametrize("caught_by", [None, ImportError, RuntimeError])
def test_interrupt_of_an_import_is_a_sentence(monkeypatch, status, caught_by):
    @click.command()
    @click.option("--json", is_flag=True)
    def stopped(**_):
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as interrupt:
            if caught_by is None:
                raise
            raise caught_by("a library hides it") from interrupt

    monkeypatch.setattr(Commands, "get_command", lambda *_: stopped)
    code, printed, said = status("run", "--json")
    assert (code, json.loads(printed)["exit_status"]) == (1, 1)
    assert said.strip() == "e91: Interrupted; nothing was written but what is reported above."


def test_status_is_ours_though_the_interpreter_noticed_an_interrupt():
    # Of a text that was run, as by every dataclass: the interpreter would end by the signal.
    code = (
        "import e91.cli\n"
        "def stopped(**_): exec('raise KeyboardInterrupt')\n"
        "e91.cli.commands.main = stopped\n"
        "e91.cli.main([])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr.count("\n")) == (cli.FAILED, 1)
