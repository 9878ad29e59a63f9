"""A slice of the fuzzing of command lines and files: seconds of it with every run of the tests."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzzing.command_lines import LineMaker, leaves
from tests.fuzzing.damage import BINARY, TEXT, damaged
from tests.fuzzing.file_cases import READERS
from tests.fuzzing.forked_runs import Case, listing
from tests.fuzzing.verdicts import faults

ROOT = Path(__file__).parents[2]


def test_lines_come_from_every_command_and_again_from_their_seed():
    maker, again, other = LineMaker(1), LineMaker(1), LineMaker(2)
    lines = [maker.line(number) for number in range(200)]
    assert lines[:100] == [again.line(number) for number in range(100)]
    assert lines[:50] != [other.line(number) for number in range(50)]
    asked = {" ".join(line.words[: len(name.split())]) for line in lines for name in leaves()}
    assert len(set(leaves()) & asked) > 0.8 * len(leaves())


def test_short_lines_are_right_or_one_sentence(status, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    maker, tried = LineMaker(3), 0
    for number in range(60):
        line = maker.line(number)
        if line.words[:1] in (("bell",), ("explain",), ("rate",), ("key",)) and len(line.words) < 9:
            before = listing(tmp_path)
            code, out, err = status(*line.words)
            tried += 1
            found = as_outcome(code, out, err, before, listing(tmp_path))
            assert faults(Case(f"{number}", line.words, tmp_path), found) == []
    assert tried > 2


def as_outcome(code, out, err, before, after):
    from tests.fuzzing.forked_runs import Outcome

    texts = (text.encode("utf-8", "surrogatepass") for text in (out, err))
    return Outcome(code, *texts, before, after)


@pytest.mark.parametrize("kind", sorted({*BINARY, *TEXT}, key=lambda damage: damage.__name__))
def test_every_kind_of_damage_changes_a_file(kind):
    content = b"".join(b"line %d: 1.5, 2\n" % number for number in range(20))
    changed = [kind(random.Random(seed), content) != content for seed in range(8)]
    assert sum(changed) >= 3


def test_damage_may_hide_behind_a_right_digest():
    from e91.system.digests import PLACE, is_whole, sealed

    whole = sealed(b'{"sha256": "%s", "size": 7}' % PLACE.encode())
    found = [damaged(random.Random(seed), whole, name="x.key") for seed in range(60)]
    stated = [text[text.find(b'"sha256": "') + 11 :][:64].decode("latin-1") for text in found]
    right = [
        text for text, digest in zip(found, stated, strict=True) if is_whole(text, stated=digest)
    ]
    assert 5 < len(right) < 60


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "count"), [("lines", 60), ("files", 2 * len(READERS))])
def test_slice_of_a_campaign_finds_nothing(kind, count, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzzing", kind, str(count), "--seed", "7"],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.stdout.startswith(f"{count} cases: "), done.stdout + done.stderr
    assert done.returncode == 0, done.stdout
