"""Hypothesis without deadlines and, in the checks, with the same examples; the command line."""

import os

import pytest
from hypothesis import settings

from e91 import cli

# The tests run beside each other, and Aer's second thread spins while it waits for its share of a
# two-qubit circuit.  Read when Aer is first loaded, which none of the imports above does.
os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("explore", deadline=None)
settings.register_profile("checks", deadline=None, derandomize=True)
settings.load_profile("checks" if os.environ.get("CI") else "explore")


@pytest.fixture(autouse=True)
def ledger(tmp_path_factory, monkeypatch):
    """A ledger of used recordings for every test, in memory and on the disk; return the file."""
    place = tmp_path_factory.mktemp("ledger") / "recordings.jsonl"
    monkeypatch.setenv("E91_LEDGER", str(place))
    monkeypatch.setattr("e91.recorded.ledger._used_here", {})
    monkeypatch.setattr("e91.distillation.authentication._TAKEN", set())
    return place


@pytest.fixture
def status(capsys):
    """Run the command line in this process; return its status, output and complaint."""

    def call(*arguments):
        code = 0
        try:
            cli.main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call
