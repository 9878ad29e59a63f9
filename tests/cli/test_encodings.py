"""A session is never lost to its printing: characters that an encoding lacks become plain ones."""

import io
import os
import subprocess
import sys

import pytest

from e91 import cli

RUN = ["run", "--device", "exact", "--rounds", "100000", "--visibility", "1", "--seed", "1"]


@pytest.fixture
def printed(monkeypatch):
    """Run the command line on streams of an encoding: its status and what it printed, as text."""

    def call(encoding, *arguments):
        output, complaints = (io.TextIOWrapper(io.BytesIO(), encoding) for _ in range(2))
        monkeypatch.setattr(sys, "stdout", output)
        monkeypatch.setattr(sys, "stderr", complaints)
        code = 0
        try:
            cli.main([os.fsdecode(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code
        output.flush()
        complaints.flush()
        assert complaints.buffer.getvalue() == b""
        return code, output.buffer.getvalue().decode(encoding)

    return call


def test_a_process_prints_its_report_in_an_encoding_that_lacks_its_characters():
    done = subprocess.run(
        [sys.executable, "-m", "e91", *RUN],
        check=False,
        capture_output=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONIOENCODING": "latin-1"},
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode("latin-1").startswith("-- E91")


@pytest.mark.parametrize(
    ("encoding", "line", "error"),
    [
        ("utf-8", "── E91", "±"),
        ("cp437", "── E91", "±"),
        ("cp1252", "-- E91", "±"),
        ("latin-1", "-- E91", "±"),
        ("koi8-r", "── E91", "+-"),
        ("shift-jis", "── E91", "±"),
    ],
)
def test_report_is_printed_in_any_encoding(tmp_path, printed, encoding, line, error):
    status, text = printed(encoding, *RUN, "--out", tmp_path / "keys")
    assert status == 0
    assert text.startswith(line)
    assert f" {error} " in text
    assert (tmp_path / "keys" / "bob.key").exists()


def test_name_of_a_file_that_is_no_text_can_be_printed(tmp_path, printed):
    printed("utf-8", *RUN, "--out", tmp_path / "keys")
    plain = os.fsencode(tmp_path) + b"/pl\xffain"
    with open(plain, "wb") as file:  # noqa: PTH123 - a path of bytes
        file.write(b"message")
    status, text = printed("utf-8", "encrypt", plain, "--key", tmp_path / "keys" / "alice.key")
    assert (status, "pl?ain.e91: 7 bytes" in text) == (0, True)
