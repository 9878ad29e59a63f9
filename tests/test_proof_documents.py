"""What the proofs' tables name and quote exists and is so."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TESTS = {
    name
    for path in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
}


@pytest.mark.parametrize("document", ["security.md", "device_independent.md"])
def test_every_test_that_a_proof_names_exists(document):
    text = (ROOT / "docs" / document).read_text(encoding="utf-8")
    named = re.findall(r"`(test_\w+?)(_?\.\.\.)?`", text)
    assert len(named) > 10
    for name, shortened in named:
        found = [test for test in TESTS if test.startswith(name) if shortened or test == name]
        assert found, name


def test_terms_of_both_theorems_are_those_of_the_table():
    text = (ROOT / "docs" / "device_independent.md").read_text(encoding="utf-8")
    (row,) = re.findall(r"^\| key \|(.*)\|$", text, re.MULTILINE)
    quoted = [float(cell) for cell in row.split("|")]
    script = runpy.run_path(str(ROOT / "benchmarks" / "entropy_accumulation_terms.py"))
    computed = [
        sum(terms.values()) / 1000
        for terms in (
            script["ceiling"](),
            script["by_betting"](),
            script["by_smooth_entropies"](script["WON"]),
            script["by_smooth_entropies"](script["THRESHOLD"]),
        )
    ]
    assert quoted == pytest.approx(computed, abs=1)
