"""Every page of the site is reached from its table of contents, and every name stands in it."""

import inspect
import re
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
GENERATED = {"command_line", "gallery", "glossary", "python", "notebooks"}


def written_pages():
    """Return the pages that people write, by their names without the ending."""
    pages = [path.relative_to(DOCS) for path in DOCS.rglob("*.md")]
    return {
        page.with_suffix("").as_posix()
        for page in pages
        if not any(part.startswith((".", "_", "jupyter_execute")) for part in page.parts)
        if not GENERATED & set(page.parts[:-1])
    }


def listed_by(page):
    """Return the pages in the tables of contents of a page."""
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    tables = re.findall(r"^```\{toctree\}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    entries = [line for table in tables for line in table.splitlines()]
    folder = (DOCS / page).parent
    return {
        (folder / entry).resolve().relative_to(DOCS).as_posix()
        for entry in entries
        if entry and not entry.startswith(":")
    }


def reached_from(page):
    found, waiting = {page}, [page]
    while waiting:
        now = waiting.pop()
        if (DOCS / f"{now}.md").exists() and now in written_pages():
            new = listed_by(now) - found
            found |= new
            waiting += new
    return found


def test_table_of_contents_lists_every_page():
    reached = reached_from("index")
    assert written_pages() - reached == set()
    generated = {f"reference/{name}/index" for name in GENERATED - {"notebooks"}}
    assert reached - written_pages() == generated | {"notebooks/index"}


@pytest.fixture(scope="module")
def python_pages():
    pytest.importorskip("sphinx", reason="the site's builder is not installed")
    sys.path.insert(0, str(DOCS / "_extensions"))
    try:
        return import_module("python_pages")
    finally:
        sys.path.pop(0)


def test_reference_has_every_name_that_a_room_lists(python_pages):
    rooms = python_pages.rooms()
    assert {"e91", "e91.bell", "e91.optics.tags", "e91_circuits"} <= {r.__name__ for r in rooms}
    at = python_pages.homes(rooms)
    pages = {room.__name__: python_pages.page(room, at) for room in rooms}
    documented = {
        path
        for page in pages.values()
        for path in re.findall(r"^\.\. \S+:: (\S+)$", page, re.MULTILINE)
    }
    for room in rooms:
        for name in room.__all__:
            thing = getattr(room, name)
            home = at[f"{room.__name__}.{name}"]
            assert inspect.ismodule(thing) or home in documented, f"{room.__name__}.{name}"
            if home != f"{room.__name__}.{name}" and not inspect.ismodule(thing):
                assert f"<{home}>" in pages[room.__name__]


def test_reference_has_the_text_under_a_constant(python_pages):
    assert "three settings for Alice" in python_pages.constant_docstring("e91.ASYMMETRIC")
