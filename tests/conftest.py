"""Hypothesis without deadlines and, in the checks, with the same examples; the command line."""

import os
from uuid import uuid4

import pytest
from hypothesis import settings

from e91 import cli

# The tests run beside each other, and Aer's second thread spins while it waits for its share of a
# two-qubit circuit.  Read when Aer is first loaded, which none of the imports above does.
os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("explore", deadline=None)
settings.register_profile("checks", deadline=None, derandomize=True)
settings.load_profile("checks" if os.environ.get("CI") else "explore")


@pytest.fixture(scope="session")
def ledgers(tmp_path_factory):
    """One folder for the ledgers of all tests: pytest reads its own anew for every one it adds."""
    return tmp_path_factory.mktemp("ledgers")


@pytest.fixture(autouse=True)
def ledger(ledgers, monkeypatch):
    """A ledger of used recordings for every test, in memory and on the disk; return the file."""
    place = ledgers / uuid4().hex / "recordings.jsonl"
    place.parent.mkdir()
    monkeypatch.setenv("E91_LEDGER", str(place))
    monkeypatch.setenv("E91_KEY_LEDGER", str(place.with_name("key-usage.sqlite")))
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
