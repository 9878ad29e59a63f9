"""A page of the Python reference for each room: its docstring, then every name that it lists."""

from __future__ import annotations

import ast
import inspect
import pkgutil
import re
from importlib import import_module
from pathlib import Path
from types import GenericAlias, ModuleType
from typing import Any

import e91_circuits
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from written import write_pages

import e91

FOLDER = Path(__file__).parents[1] / "reference" / "python"


def rooms() -> list[ModuleType]:
    """Return the packages that list names, the whole first, the circuits last."""
    inside = [
        import_module(found.name)
        for found in pkgutil.walk_packages(e91.__path__, "e91.")
        if found.ispkg
    ]
    listing = [room for room in inside if getattr(room, "__all__", None)]
    return [e91, *sorted(listing, key=lambda room: room.__name__), e91_circuits]


def homes(rooms: list[ModuleType]) -> dict[str, str]:
    """Return for every listed name the room whose page documents it.

    A thing that several rooms list stands in the one that is nearest to its module.
    """
    listing: dict[int, list[str]] = {}
    for room in rooms:
        for name in room.__all__:
            listing.setdefault(id(getattr(room, name)), []).append(f"{room.__name__}.{name}")
    found = {}
    for paths in listing.values():
        thing = _thing(paths[0])
        module = getattr(thing, "__module__", None) or paths[-1]
        best = max(paths, key=lambda path: (_shared(path, module), path.count(".")))
        found.update(dict.fromkeys(paths, best))
    return found


def page(room: ModuleType, homes: dict[str, str]) -> str:
    """Return the page of a room in reStructuredText."""
    name = room.__name__
    paths = [f"{name}.{each}" for each in sorted(room.__all__, key=str.lower)]
    here = [path for path in paths if homes[path] == path and not inspect.ismodule(_thing(path))]
    elsewhere = [path for path in paths if homes[path] != path]
    inner = [path for path in paths if inspect.ismodule(_thing(path))]
    lines = [name, "=" * len(name), "", f".. automodule:: {name}", "   :no-members:", ""]
    if inner:
        lines += ["Rooms inside: " + ", ".join(_link_to_room(path) for path in inner) + ".", ""]
    if elsewhere:
        listed = ", ".join(
            f":py:obj:`{path.rpartition('.')[2]} <{homes[path]}>`" for path in elsewhere
        )
        lines += [f"Also here, documented in their own rooms: {listed}.", ""]
    for path in here:
        lines += [*_documented(path), ""]
    return "\n".join(lines)


def _documented(path: str) -> list[str]:
    """Return the directive of a name; a constant's docstring stands where it is defined."""
    directive = _directive(_thing(path))
    if directive != "data":
        return [f".. auto{directive}:: {path}"]
    text = constant_docstring(path)
    return [f".. py:data:: {path}", "", *(f"   {line}" for line in text.splitlines())]


def constant_docstring(path: str) -> str:
    """Return the text under the assignment of a constant that a room lists, or an empty one."""
    room, _, name = path.rpartition(".")
    source = Path(import_module(room).__file__ or "")
    stub = source.with_suffix(".pyi")
    listing = stub if stub.exists() else source
    for statement in ast.parse(listing.read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.ImportFrom) and name in {
            each.name for each in statement.names
        }:
            module = f"{room}.{statement.module}" if statement.level else str(statement.module)
            found = ModuleAnalyzer.for_module(module).find_attr_docs()
            return "\n".join(found.get(("", name), [])).strip()
    return ""


def _thing(path: str) -> object:
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


def _directive(thing: object) -> str:
    if isinstance(thing, type) and not isinstance(thing, GenericAlias):
        return "exception" if issubclass(thing, BaseException) else "class"
    return "function" if inspect.isroutine(thing) else "data"


def _link_to_room(path: str) -> str:
    has_page = bool(
        getattr(_thing(path), "__path__", None) and getattr(_thing(path), "__all__", ())
    )
    return f":doc:`{path}`" if has_page else f"``{path}``"


def _shared(path: str, module: str) -> int:
    """Return how many steps of a path lead towards a module."""
    steps = zip(path.split(".")[:-1], module.split("."), strict=False)
    return sum(1 for one, other in steps if one == other)


def write(_app: Sphinx) -> None:
    """Write the pages of all rooms and the page that lists them."""
    found = rooms()
    at = homes(found)
    pages = {f"{room.__name__}.rst": page(room, at) for room in found}
    listed = "\n".join(f"   {room.__name__}" for room in found)
    pages["index.rst"] = INDEX.format(rooms=listed)
    write_pages(FOLDER, pages)


def shorten(_app: Sphinx, *found: Any) -> tuple[str, str | None] | None:
    """Write NumPy's `ArrayLike` by its name, which Python has replaced by a union of six lines."""
    signature, returned = found[-2:]
    if not signature or "_NestedSequence" not in signature:
        return None
    return ARRAY_LIKE.sub("ArrayLike", signature), returned


ARRAY_LIKE = re.compile(
    r"~numpy\.\S+\._Buffer \| \S+_SupportsArray\[\S+ \| \S+_NestedSequence\[\S+"
    r" \| complex \| bytes \| str \| \S+_NestedSequence\[complex \| bytes \| str\]"
)

INDEX = """\
Python
======

``import e91`` makes every room below an attribute; heavy packages load when a name is first used.
Angles are radians on the Bloch sphere, times seconds, rates per second, keys bits, unless a name
says otherwise.  Every example is run by the tests.

.. toctree::
   :maxdepth: 1

{rooms}
"""


def setup(app: Sphinx) -> dict[str, bool]:
    """Write the pages before Sphinx looks for them."""
    app.connect("builder-inited", write)
    app.connect("autodoc-process-signature", shorten)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
