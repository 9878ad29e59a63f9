"""A session is never lost to its printing: characters that an encoding lacks become plain ones."""

import os
import subprocess
import sys

import pytest

RUN = ["run", "--device", "exact", "--rounds", "100000", "--visibility", "1", "--seed", "1"]


def printed(encoding, *arguments):
    """Exit status and what was printed on standard output, as text; nothing on error."""
    done = subprocess.run(
        [sys.executable, "-m", "e91", *arguments],
        check=False,
        capture_output=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONIOENCODING": encoding},
    )
    assert done.stderr == b""
    return done.returncode, done.stdout.decode(encoding)


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
def test_report_is_printed_in_any_encoding(tmp_path, encoding, line, error):
    status, text = printed(encoding, *RUN, "--out", tmp_path / "keys")
    assert status == 0
    assert text.startswith(line)
    assert f" {error} " in text
    assert (tmp_path / "keys" / "bob.key").exists()


def test_name_of_a_file_that_is_no_text_can_be_printed(tmp_path):
    printed("utf-8", *RUN, "--out", tmp_path / "keys")
    plain = os.fsencode(tmp_path) + b"/pl\xffain"
    with open(plain, "wb") as file:  # noqa: PTH123 - a path of bytes
        file.write(b"message")
    status, text = printed("utf-8", "encrypt", plain, "--key", tmp_path / "keys" / "alice.key")
    assert (status, "pl?ain.e91: 7 bytes" in text) == (0, True)
