"""What fuzzing calls wrong: each promise, broken once, is named; what keeps them all is not."""

import base64
import json
from pathlib import Path

import pytest

from tests.fuzzing.forked_runs import Case, Outcome
from tests.fuzzing.verdicts import faults

REFUSAL = b"e91: `--rounds` must be at least 1, but is 0.\n"
AS_JSON = json.dumps({"error": "It must not.", "exit_status": 2}).encode()
SECRET = bytes(range(40, 90))
BEFORE = {"plain.txt": (5, 1, 1)}


def outcome(status=0, out=b"done\n", err=b"", after=None, **more):
    return Outcome(status, out, err, BEFORE, BEFORE if after is None else after, **more)


def found(outcome, *words):
    return faults(Case("x", words or ("run",), Path()), outcome, [SECRET])


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        (outcome(), ()),
        (outcome(after=BEFORE | {"new": (1, 1, 2)}), ()),
        (outcome(2, b"", REFUSAL), ()),
        (outcome(2, AS_JSON, REFUSAL), ("run", "--json")),
        (outcome(3, b"", b"e91: The lower bound on S must exceed 2.\n"), ()),
        (outcome(1, b"", b"e91: A command must fit in memory, but there is too little.\n"), ()),
        (outcome(1, b"", b"", stopped=True), ("kme", "serve")),
        (outcome(out=SECRET.hex().encode()), ("key", "show")),
        (outcome(out=b'{"a": 1}'), ("run", "--json")),
    ],
)
def test_what_keeps_all_promises_is_right(kept, words):
    assert found(kept, *words) == []


@pytest.mark.parametrize(
    ("broken", "words", "said"),
    [
        (outcome(-11), (), "Signal 11 ended it"),
        (outcome(-9, hung=True), (), "It hung"),
        (outcome(left=True), (), "left a process running"),
        (outcome(120), (), "exit status is 120"),
        (outcome(1, err=b"e91: It failed.\n"), (), "exit status is 1 without a reason"),
        (outcome(err=b"Traceback (most recent call last):\n"), (), "Traceback"),
        (outcome(2, b"", REFUSAL + REFUSAL), (), "2 lines on standard error"),
        (outcome(2, b"", b"Error\n"), (), "and no sentence"),
        (outcome(2, b"", b"e91: Error\n"), (), "does not end like a sentence"),
        (outcome(2, b"", b"e91: " + b"x" * 3000 + b".\n"), (), "more than 2,000 characters"),
        (outcome(3, b""), (), "A failure says nothing"),
        (outcome(), ("run", "--json"), "no JSON object"),
        (outcome(out=b""), ("run", "--json"), "Nothing is on standard output"),
        (outcome(out=b'{"a": NaN}'), ("run", "--json"), "no JSON object"),
        (outcome(2, b"{}", REFUSAL), ("run", "--json"), "no JSON object with error"),
        (outcome(after=BEFORE | {".e91-0123456789abcdef": (0, 1, 2)}), (), "left the hidden file"),
        (outcome(2, b"", REFUSAL, after=BEFORE | {"new": (0, 1, 2)}), (), "changed files: new"),
        (outcome(2, b"", REFUSAL, after={}), (), "changed files: plain.txt"),
        (outcome(out=b"key " + SECRET[7:15].hex().encode()), (), "Bits of a key are printed"),
        (outcome(err=base64.b64encode(SECRET[3:20])), (), "Bits of a key are printed"),
    ],
)
def test_broken_promise_is_named(broken, words, said):
    assert any(said in fault for fault in found(broken, *words)), found(broken, *words)
