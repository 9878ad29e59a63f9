"""Every block of code on a page of the site runs, and prints what the page shows."""

from pathlib import Path

import pytest
from page_runner import BLOCK, PageRunner, commands, compared

DOCS = Path(__file__).parents[2] / "docs"
GENERATED = ("_build", "jupyter_execute", "notebooks", "command_line", "gallery", "glossary")
PAGES = {
    path.relative_to(DOCS).as_posix(): path
    for path in sorted(DOCS.rglob("*.md"))
    if not set(GENERATED) & set(path.relative_to(DOCS).parts)
    if any(
        block["language"] == "python" or (block["language"] == "bash" and commands(block["body"]))
        for block in BLOCK.finditer(path.read_text(encoding="utf-8"))
    )
}


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_a_page_runs(page, tmp_path):
    assert PageRunner(tmp_path).run(PAGES[page]) == []


def test_a_page_that_shows_what_is_not_printed_is_found_out(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```python\nprint(6 * 7)\n```\n\n```text\n42\n```\n\n```text\n43\n```\n")
    assert PageRunner(tmp_path).run(page) == []
    page.write_text("```python\nprint(6 * 7)\n```\n\n```text\n43\n```\n")
    assert len(PageRunner(tmp_path).run(page)) == 1
    assert compared("a ... c\n", "a b\nc\n") == []


def test_a_command_that_fails_fails_its_page(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```bash\ne91 explain zzzzqqqq\n```\n")
    with pytest.raises(AssertionError, match="lists all terms"):
        PageRunner(tmp_path).run(page)
