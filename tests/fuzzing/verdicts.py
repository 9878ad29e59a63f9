"""What is wrong with the outcome of a command line, whatever the line was: the promises kept.

Exit status 0, 3 and 2 as documented; 1 with a sentence that is no bug; a refusal is one sentence,
an object with ``--json``, and leaves every file as it was; no traceback, nothing hidden or running
afterwards, and no key bit in what is printed.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterable
from pathlib import Path

from tests.fuzzing.forked_runs import Case, Outcome

_EXPECTED_FAILURES = re.compile(
    r"Interrupted; nothing was written|The job goes on; |Worker processes must live|"
    r"A command must fit in memory|must be writable to its end|"
    r"The machine must have what it takes|The study was stopped; "
)
"""What a status of 1 may say."""

_WARNINGS = re.compile(r"^e91: .*(has no digest|stored no digest): damage in it ")
"""What is said beside a refusal."""

_NOTE_WHO_OPENS = re.compile(r"kme/kme-\w+\.sqlite")
"""Stores, which the server opens before it reads what is to be fed to it; no key is changed."""

_SAID = re.compile(rb" used up all the same\.|, which are whole in `")
"""What a refusal says that has cost something nevertheless."""

_PROGRAMS_OWN = {("kme", "probe"), ("conformance",)}
"""Commands whose status 1 says that what they tested is broken."""

_TRACES = ("Traceback (most recent", "This is a bug", "Exception ignored", "Fatal Python error",
           "Warning: ", "terminate called")  # fmt: skip

_GIVE_KEYS = {("key", "show"), ("key", "export"), ("key", "fetch")}
_SHORTEST_SECRET = 8  # bytes of a key in a row that nobody prints by chance

_HEX = re.compile(rb"[0-9a-fA-F]{16,}")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{12,}={0,2}")
_BITS = re.compile(rb"[01]{64,}")


def faults(case: Case, outcome: Outcome, secrets: Iterable[bytes] = ()) -> list[str]:
    """Return what is wrong with an outcome, in words; nothing if all is well.

    Args:
        case: The command line.
        outcome: What came of it.
        secrets: Bytes of the keys that were in its folder.
    """
    return [
        *_of_process(outcome),
        *_of_status(case, outcome),
        *_of_error_output(case, outcome),
        *_of_json(case, outcome),
        *_of_files(outcome),
        *_of_keys(case, outcome, secrets),
    ]


def _of_process(outcome: Outcome) -> list[str]:
    found = ["It hung."] * outcome.hung + ["It left a process running."] * outcome.left
    if outcome.status < 0 and not outcome.hung:
        found.append(f"Signal {-outcome.status} ended it.")
    return found


def _of_status(case: Case, outcome: Outcome) -> list[str]:
    if outcome.status in (0, 2, 3) or outcome.status < 0:
        return []
    if outcome.status != 1:
        return [f"Its exit status is {outcome.status}."]
    if outcome.stopped or _EXPECTED_FAILURES.search(outcome.err.decode(errors="replace")):
        return []
    if any(case.words[: len(words)] == words for words in _PROGRAMS_OWN):
        return []
    return ["Its exit status is 1 without a reason that is none of ours."]


def _of_error_output(case: Case, outcome: Outcome) -> list[str]:
    text = outcome.err.decode(errors="replace")
    found = [f"Standard error has `{trace}`." for trace in _TRACES if trace in text]
    if outcome.status == 2:
        lines = [line for line in text.split("\n") if line.strip() and not _WARNINGS.search(line)]
        if len(lines) != 1 or not lines[0].startswith("e91: "):
            found.append(f"A refusal is {len(lines)} lines on standard error, and no sentence.")
        elif not lines[0].endswith((".", ".)", "?")):
            found.append("A refusal does not end like a sentence.")
        elif len(lines[0]) > 2000:
            found.append("A refusal has more than 2,000 characters.")
    if outcome.status in (1, 2, 3) and not text.strip() and not outcome.stopped:
        found.append("A failure says nothing.")
    return found


def _of_json(case: Case, outcome: Outcome) -> list[str]:
    wants = "--json" in case.words and "--help" not in case.words and "-h" not in case.words
    if not wants or outcome.stopped or outcome.status < 0 or _is_value(case.words):
        return []
    if not outcome.out.strip():
        return ["Nothing is on standard output, in spite of --json."]
    try:
        found = json.loads(outcome.out, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return ["Standard output is no JSON object."]
    if outcome.status == 2 and not (
        isinstance(found, dict) and {"error", "exit_status"} <= found.keys()
    ):
        return ["A refusal is no JSON object with error and exit_status."]
    return []


def _is_value(words: tuple[str, ...]) -> bool:
    """Return whether `--json` may have been taken for something else than the option."""
    place = words.index("--json")
    return "--" in words[:place] or words[place - 1].startswith("-")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"JSON must have numbers only, but has {name}.")


def _of_files(outcome: Outcome) -> list[str]:
    found = [
        f"It left the hidden file `{name}`."
        for name in outcome.after.keys() - outcome.before.keys()
        if any(part.startswith((".e91-", ".tmp")) for part in Path(name).parts)
    ]
    is_said = _SAID.search(outcome.err)
    if outcome.status == 2 and outcome.before != outcome.after and not is_said:
        names = {name for name, _ in set(outcome.before.items()) ^ set(outcome.after.items())}
        names = {name for name in names if not _NOTE_WHO_OPENS.match(name)}
        if names:
            found.append(f"A refusal changed files: {', '.join(sorted(names))[:300]}.")
    return found


def _of_keys(case: Case, outcome: Outcome, secrets: Iterable[bytes]) -> list[str]:
    if case.words[:2] in _GIVE_KEYS:
        return []
    for printed in (outcome.out, outcome.err):
        for piece in _pieces(printed):
            for secret in secrets:
                if _share_bytes(piece, secret):
                    return ["Bits of a key are printed."]
    return []


def _pieces(printed: bytes) -> Iterable[bytes]:
    """Yield the bytes that are printed in hexadecimal, in base64, or as bits."""
    for text in _HEX.findall(printed):
        yield bytes.fromhex(text[: len(text) // 2 * 2].decode())
    for text in _BASE64.findall(printed):
        try:
            yield base64.b64decode(text[: len(text) // 4 * 4])
        except binascii.Error:
            continue
    for text in _BITS.findall(printed):
        yield int(text[: len(text) // 8 * 8], 2).to_bytes(len(text) // 8, "big")


def _share_bytes(piece: bytes, secret: bytes) -> bool:
    return any(
        piece[start : start + _SHORTEST_SECRET] in secret
        for start in range(len(piece) - _SHORTEST_SECRET + 1)
    )
