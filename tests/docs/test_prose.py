"""Documents read well: short sentences, short lines, plain words, and every word spelt right."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
from public_names import public_names

ROOT = Path(__file__).parents[2]
OUTSIDE = {"_build", "jupyter_execute", "notebooks"}
WRITTEN = [
    *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted(
        page
        for page in (ROOT / "docs").rglob("*.md")
        if not OUTSIDE & set(page.relative_to(ROOT / "docs").parts)
        if not (page.name == "index.md" and page.parents[1].name == "reference")
        if page.parent.name != "command_line"
    ),
]
MOST_WORDS = 25  # of a sentence, on average over a document
LONGEST_SENTENCE = 50  # words
LONGEST_LINE = 100

# Words that were private to those who wrote the project, and openings in inverted order.
PRIVATE = re.compile(
    r"(?<![a-z])(told|untold|ferry|ferries|desk|shelf|stretch|stretches|hers|theirs|so\s+many"
    r"|of\s+which|of\s+whom)(?![a-z])",
    re.IGNORECASE,
)
IN_CODE = re.compile(
    PRIVATE.pattern + r"|(?<![a-z])(book|coins|course|hands|mine|ours)(?![a-z])", re.IGNORECASE
)
INVERTED = re.compile(
    r"(?:^|[.:;] )(?:Searched|Assumed|Counted|Stated|Needed|Said|Shown|Not true) (?:is|are)\b",
    re.MULTILINE,
)


def prose_of(text):
    """Return the running text of a page: no code, no tables, no headings, no formulas set apart."""
    text = re.sub(r"^( *)```.*?^\1```$", "", text, flags=re.MULTILINE | re.DOTALL)
    kept = [
        line for line in text.splitlines() if not line.startswith(("|", "    ", "#", ":::", "::::"))
    ]
    return re.sub(r"^[*-] ", "\n\n", "\n".join(kept), flags=re.MULTILINE)


def sentences(text):
    """Return the sentences of a text; a list's item and a paragraph end one, too."""
    parts = [part.replace("\n", " ") for part in re.split(r"\n\s*\n", prose_of(text))]
    found = [each for part in parts for each in re.split(r"(?<=[.!?:;])\s+(?=[^a-z])", part)]
    return [each.strip() for each in found if len(each.split()) > 2]


def full_sentences(text):
    """Return the sentences of a text, colons and semicolons included."""
    parts = [part.replace("\n", " ") for part in re.split(r"\n\s*\n", prose_of(text))]
    return [each for part in parts for each in re.split(r"(?<=[.!?])\s+(?=[^a-z])", part)]


def mean_length(text):
    counts = [len(sentence.split()) for sentence in sentences(text)]
    return sum(counts) / max(1, len(counts))


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_sentences_of_a_page_are_short_on_average(page):
    assert mean_length(page.read_text(encoding="utf-8")) <= MOST_WORDS


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_lines_of_a_page_are_short(page):
    shown = re.compile(r"^```(?!python).*?^```$", re.MULTILINE | re.DOTALL)
    lines = shown.sub("", page.read_text(encoding="utf-8")).splitlines()
    long = [line for line in lines if len(line) > LONGEST_LINE]
    assert [line for line in long if not line.startswith(("|", "    "))] == []


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_words_of_a_page_are_plain(page):
    text = prose_of(page.read_text(encoding="utf-8"))
    assert [found[0] for found in PRIVATE.finditer(text)] == []
    assert [found[0] for found in INVERTED.finditer(text)] == []


def test_first_lines_of_public_docstrings_use_plain_words():
    lines = {}
    for path, thing in public_names().items():
        first = (inspect.getdoc(thing) or "").partition("\n\n")[0]
        if PRIVATE.search(first) or INVERTED.search(first):
            lines[path] = first
    assert lines == {}


def test_names_and_texts_of_the_source_use_plain_words():
    found = {
        f"{file.relative_to(ROOT)}: {word[0]}"
        for room in ("e91", "circuits")
        for file in (ROOT / room).rglob("*")
        if file.suffix in (".py", ".pyi", ".toml", ".js", ".html")
        for word in IN_CODE.finditer(file.read_text(encoding="utf-8"))
    }
    assert found == set()


def test_no_sentence_of_a_page_is_longer_than_one_breath():
    long = {
        f"{page.relative_to(ROOT)}: {sentence}"
        for page in WRITTEN
        if page.name != "CHANGELOG.md"
        for sentence in full_sentences(page.read_text(encoding="utf-8"))
        if len(sentence.split()) > LONGEST_SENTENCE
    }
    assert long == set()


def test_every_word_is_spelt_right():
    pytest.importorskip("codespell_lib", reason="the spelling check is not installed")
    ended = subprocess.run(
        [sys.executable, "-m", "codespell_lib"], cwd=ROOT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_a_long_sentence_a_private_word_and_an_inversion_are_found():
    assert mean_length(" ".join(["word"] * 30) + ".") == 30
    assert mean_length("Three short words. Another three words.\n\n* A listed item here\n") < 4
    assert PRIVATE.search("as you were told")
    assert IN_CODE.search("def is_told_by(book):")
    assert not IN_CODE.search("notebook, bookkeeping, of courses")
    assert INVERTED.search("Searched are the clocks.")
    assert not INVERTED.search("What is searched are clocks.")
