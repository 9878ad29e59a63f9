"""Every name that the documents show is there: after `import e91`, or by the printed import."""

import json
import re
import types
from importlib import import_module
from pathlib import Path

import pytest

import e91

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "notebooks").glob("*.ipynb")),
]


def text_of(document: Path) -> str:
    """Return a document's text, of a notebook the sources of its cells."""
    text = document.read_text(encoding="utf-8")
    if document.suffix != ".ipynb":
        return text
    return "\n\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])


def paths_in(text: str) -> list[str]:
    """Return the paths of attributes that begin with `e91`, without those of files."""
    return sorted(set(re.findall(r"(?<![\w./~-])e91(?:\.[A-Za-z_]\w*)+(?![\w/])", text)))


def imports_in(text: str) -> list[tuple[str, str]]:
    """Return the modules that `from ... import ...` lines name, each with a name taken from it."""
    lines = re.sub(r"^(?:>>>|\.\.\.) ?", "", text, flags=re.MULTILINE)
    found = re.findall(r"from (e91[\w.]*) import (\([^)]*\)|[^\n`;#]+)", lines)
    return sorted({(module, name) for module, names in found for name in re.findall(r"\w+", names)})


def resolve(path: str) -> object:
    """Return what a path of attributes leads to after `import e91` alone.

    A room's step must be one of the names that it lists, as any other is there only if somebody
    has imported it before.
    """
    found: object = e91
    for step in path.split(".")[1:]:
        if isinstance(found, types.ModuleType) and hasattr(found, "__path__"):
            listed = {*found.__all__, "__version__"}
            assert step in listed, f"{path}: `{found.__name__}` does not list `{step}`"
        found = getattr(found, step)
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_name_that_a_document_shows_is_there(document):
    text = text_of(document)
    for path in paths_in(text):
        resolve(path)
    for module, name in imports_in(text):
        assert hasattr(import_module(module), name), f"from {module} import {name}"


def test_every_room_is_reached_from_the_package():
    packages = {file.parent for file in (ROOT / "e91").rglob("__init__.py")} - {ROOT / "e91"}
    # What the command line is made of is reached by typing it.
    packages = {package for package in packages if package.parent != ROOT / "e91" / "cli"}
    for package in sorted(packages):
        resolve(".".join(package.relative_to(ROOT).parts))


def test_a_name_that_no_room_lists_is_found_out():
    shown = "`e91.optics.Fiber` and `from e91.optics import (Fibre,\n>>> x"
    assert paths_in(shown) == ["e91.optics", "e91.optics.Fiber"]
    assert imports_in(">>> from e91.optics import (\n...     Fibre, Arm)") == [
        ("e91.optics", "Arm"),
        ("e91.optics", "Fibre"),
    ]
    with pytest.raises(AssertionError, match="does not list `Fiber`"):
        resolve("e91.optics.Fiber")
