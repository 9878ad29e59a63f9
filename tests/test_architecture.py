"""Every module lies in one room, every room in one layer, and imports run down the layers.

Imports inside functions and under `TYPE_CHECKING` count.  The tables are the architecture; the
tests at the end plant a violation of each kind in a copy of the source tree.
"""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import e91_circuits
import pytest

import e91

ROOT = Path(e91.__file__).parent
CIRCUITS = Path(e91_circuits.__file__).parent

# Which room a module belongs to: the longest prefix decides.
PLACES = {
    "e91": "front",
    "e91.__main__": "cli",
    "e91.model": "model",
    "e91.bell": "bell",
    "e91.alarm": "alarm",
    "e91.security": "security",
    "e91.distillation": "distillation",
    "e91.distillation.verification": "verification",
    "e91.distillation.authentication": "authentication",
    "e91.distillation.preprocessing": "preprocessing",
    "e91.optics": "optics",
    "e91.encryption": "encryption",
    "e91.recorded": "recorded",
    "e91.devices": "devices",
    "e91.adversaries": "adversaries",
    "e91.experiments": "experiments",
    "e91.network": "network",
    "e91.studies": "studies",
    "e91.plots": "plots",
    "e91.widgets": "widgets",
    "e91.cli": "cli",
    "e91_circuits": "e91_circuits",
    "e91.system": "system",
    "e91.session": "session",
    "e91.distillation.cascade": "cascade",
    "e91.distillation.ldpc": "ldpc",
    "e91.distillation.amplification": "amplification",
    "e91.distillation.portions": "portions",
    "e91.distillation.sifting": "sifting",
    "e91.keys": "keys",
    "e91.delivery": "delivery",
}

# The layers from the ground up.  A room imports from lower layers only, never its neighbours.
LAYERS = (
    ("model", "system"),
    (
        "bell",
        "security",
        "sifting",
        "cascade",
        "ldpc",
        "amplification",
        "portions",
        "verification",
        "authentication",
        "preprocessing",
        "distillation",
        "optics",
        "keys",
        "e91_circuits",
    ),
    ("devices", "recorded", "encryption", "delivery"),
    ("session",),
    ("adversaries", "alarm", "experiments", "studies", "network"),
    ("plots", "cli", "widgets"),
    ("front",),
)
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}

# Rooms that may import a neighbour of their own layer, and what a room may not import though the
# layers would let it.
NEIGHBOURS = {
    ("system", "model"),
    ("network", "adversaries"),
    ("network", "alarm"),
    ("studies", "adversaries"),
    ("cli", "plots"),
    ("widgets", "plots"),
    *(
        ("distillation", stage)
        for stage in (
            "amplification",
            "authentication",
            "cascade",
            "ldpc",
            "portions",
            "preprocessing",
            "sifting",
            "verification",
        )
    ),
}
FORBIDDEN = {("session", "devices")}

# What stands outside the rules: nothing.
EXCEPTIONS: set[tuple[str, str]] = set()

QISKIT = ("qiskit", "qiskit_aer", "qiskit_ibm_runtime")
SOCKETS = ("socket", "socketserver", "ssl", "http", "urllib", "asyncio", "aiohttp", "requests")
# A door is a room, or one folder of it by its full name.
DOORS = {
    **dict.fromkeys(QISKIT, ("devices", "e91_circuits", "adversaries")),
    **dict.fromkeys(SOCKETS, ("cli", "delivery")),
    **dict.fromkeys(("asyncio", "aiohttp"), ("cli", "delivery", "e91.network.page")),
    "asyncio": ("cli", "delivery", "e91.network.page", "e91.keys.databases"),
    "asyncpg": ("keys",),
    "httptools": ("delivery",),
    "prometheus_client": ("delivery",),
    "uvloop": ("delivery",),
    "numba": ("system",),
    "llvmlite": ("system",),
    "matplotlib": ("plots", "model", "widgets", "front"),
    "PIL": ("plots",),
    "ipywidgets": ("widgets",),
    "click": ("cli",),
    "distributed": ("studies",),
}


@dataclass(frozen=True)
class House:
    """The source tree: every module with its file, and what each imports.

    Attributes:
        files: File of every module.
        arrows: Modules of the tree that a module imports.
        packages: Packages from elsewhere that a module imports.
    """

    files: dict[str, Path]
    arrows: dict[str, set[str]] = field(default_factory=dict)
    packages: dict[str, set[str]] = field(default_factory=dict)


def house(*roots: Path) -> House:
    """Read the tree below ``roots``, the folders of packages."""
    files = {}
    for root in roots:
        for file in sorted(root.rglob("*.py*")):
            if file.suffix in (".py", ".pyi"):
                parts = file.relative_to(root.parent).with_suffix("").parts
                name = ".".join(parts).removesuffix(".__init__")
                files[name + (" (stub)" if file.suffix == ".pyi" else "")] = file
    found = House(files)
    for module, file in files.items():
        names = set(imported(file.read_text(), module=module.split()[0], file=file))
        own = {_module_of(name, files) for name in names} - {None, module}
        found.arrows[module] = {name for name in own if name is not None}
        tops = {name.split(".")[0] for name in names}
        found.packages[module] = tops - {root.name for root in roots}
    return found


@cache
def nodes(source: str) -> tuple[ast.AST, ...]:
    """Every node of a module's tree; the copies with a violation share all files but one."""
    return tuple(ast.walk(ast.parse(source)))


IMPORTING = ("import_module", "__import__", "extra")
"""Functions that import what their first argument names."""


def imported(source: str, *, module: str, file: Path | None = None) -> Iterator[str]:
    """Every module that ``source`` may load: absolute, relative, from, nested, and by call."""
    is_package = file is not None and file.stem == "__init__"
    home = module.split(".") if is_package else module.split(".")[:-1]
    for node in nodes(source):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            up = home[: len(home) + 1 - node.level] if node.level else []
            base = ".".join([*up, *([node.module] if node.module else [])])
            # `from e91 import session` loads e91.session.session, so each name counts as a module.
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and _name(node.func) in IMPORTING:
            literal = node.args[0] if node.args else None
            constant = literal.value if isinstance(literal, ast.Constant) else "<computed>"
            yield str(constant)


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _module_of(name: str, files: dict[str, Path]) -> str | None:
    """Return the module of the tree that ``name`` is or lies in."""
    while name and name not in files:
        name = name.rpartition(".")[0]
    return name or None


def room_of(module: str) -> str | None:
    name = module.split(maxsplit=1)[0]
    if name.count(".") == 0:
        return PLACES.get(name)
    # The front room holds the front page alone: a file beside it needs a place of its own.
    while name.count(".") > 0:
        if name in PLACES:
            return PLACES[name]
        name = name.rpartition(".")[0]
    return PLACES.get(name) if name == "e91_circuits" else None


def homeless(tree: House) -> list[str]:
    return [module for module in tree.files if room_of(module) not in LEVEL]


def upward(tree: House) -> set[tuple[str, str]]:
    """Every import that is not of a lower layer, the room itself, or a named neighbour."""
    return {
        (module, target)
        for module, targets in tree.arrows.items()
        for target in targets
        if not _allowed(room_of(module), room_of(target))
    }


def _allowed(room: str | None, other: str | None) -> bool:
    if room is None or other is None or room == other:
        return room == other and room is not None
    below = LEVEL[other] < LEVEL[room] and (room, other) not in FORBIDDEN
    return below or (room, other) in NEIGHBOURS


def out_of_doors(tree: House) -> set[tuple[str, str]]:
    """Every import of a guarded package outside the rooms that are its door."""
    return {
        (module, package)
        for module, packages in tree.packages.items()
        for package in packages & DOORS.keys()
        if room_of(module) not in DOORS[package]
        and not any(f"{module.split()[0]}.".startswith(f"{door}.") for door in DOORS[package])
    }


def circles(tree: House) -> list[set[str]]:
    """Sets of files that import one another, directly or around a corner (Tarjan)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for target in tree.arrows.get(module, ()):
            if target not in index:
                visit(target)
                low[module] = min(low[module], low[target])
            elif target in stack:
                low[module] = min(low[module], index[target])
        if low[module] == index[module]:
            cut = stack.index(module)
            if len(circle := set(stack[cut:])) > 1:
                found.append(circle)
            del stack[cut:]

    for module in tree.files:
        if module not in index:
            visit(module)
    return found


@pytest.fixture(scope="module")
def tree() -> House:
    return house(ROOT, CIRCUITS)


def test_every_module_lies_in_a_room(tree):
    assert len(tree.files) > 150
    assert homeless(tree) == []


def test_every_place_is_one_that_exists(tree):
    assert [place for place in PLACES if place not in tree.files] == []


def test_imports_run_down_the_layers(tree):
    assert upward(tree) - EXCEPTIONS == set()


def test_no_exception_outlives_its_cause(tree):
    assert EXCEPTIONS - upward(tree) == set()


def test_no_files_import_one_another(tree):
    ruled = {
        module: {target for target in targets if (module, target) not in EXCEPTIONS}
        for module, targets in tree.arrows.items()
    }
    assert circles(House(tree.files, ruled)) == []


def test_qiskit_sockets_and_compilers_stay_behind_their_doors(tree):
    assert out_of_doors(tree) == set()


def test_no_module_imports_a_computed_name(tree):
    found = [
        module
        for module, file in tree.files.items()
        # Old names, which no module here imports; and `extra`, whose callers count.
        if module not in ("e91.system.moved", "e91.system.extras")
        and "<computed>" in imported(file.read_text(), module=module.split()[0], file=file)
    ]
    assert found == []


def test_only_the_front_page_lies_directly_in_the_package():
    assert {file.name for file in ROOT.iterdir() if file.is_file()} == {
        "__init__.py",
        "__init__.pyi",
        "__main__.py",
        "py.typed",
    }


def namesakes(names: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Names that several modules share."""
    found: dict[str, list[str]] = {}
    for name, module in names:
        found.setdefault(name, []).append(module)
    return {name: places for name, places in found.items() if len(places) > 1}


def test_no_two_files_share_a_name(tree):
    files = [
        (file.stem, module)
        for module, file in tree.files.items()
        if file.stem not in ("__init__", "__main__")
    ]
    assert namesakes(files) == {}


def test_no_two_classes_share_a_name(tree):
    classes = [
        (node.name, module)
        for module, file in tree.files.items()
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.ClassDef)
    ]
    assert namesakes(classes) == {}


IMPORTS = {
    "import e91.room": "e91.room",
    "import numpy, e91.room as s": "e91.room",
    "from e91.room import run": "e91.room.run",
    "from e91 import room": "e91.room",
    "from .. import room": "e91.room",
    "from ..room import run": "e91.room.run",
    "def f():\n    import qiskit": "qiskit",
    "if TYPE_CHECKING:\n    from qiskit import QuantumCircuit": "qiskit.QuantumCircuit",
    "try:\n    import qiskit_aer\nexcept ImportError:\n    pass": "qiskit_aer",
    "importlib.import_module('qiskit')": "qiskit",
    "__import__('qiskit')": "qiskit",
    "import_module(name)": "<computed>",
    "extra('qiskit_ibm_runtime', what='A job')": "qiskit_ibm_runtime",
}


@pytest.mark.parametrize("source", IMPORTS)
def test_every_way_to_import_is_seen(source):
    assert IMPORTS[source] in imported(source, module="e91.bell.planted")


@dataclass(frozen=True)
class Plant:
    """A violation: ``source`` added to a file, and what then must find it."""

    file: str
    source: str
    finder: str


PLANTS = {
    "upward": Plant("e91/bell/chsh.py", "import e91.cli", "upward"),
    "neighbour": Plant("e91/bell/chsh.py", "from e91.security import sampling", "upward"),
    "stage": Plant(
        "e91/distillation/verification.py", "from e91.distillation import preprocessing", "upward"
    ),
    "session and its devices": Plant(
        "e91/session/verdict.py", "import e91.devices.exact", "upward"
    ),
    "no room": Plant("e91/newroom.py", "import numpy", "homeless"),
    "circle in a function": Plant(
        "e91/model/bits.py", "def f():\n    from e91.model import records", "circles"
    ),
    "circle of types": Plant(
        "e91/model/settings.py",
        "if TYPE_CHECKING:\n    from e91.bell.chsh import estimate",
        "circles",
    ),
    "Qiskit": Plant("e91/bell/chsh.py", "def f():\n    import qiskit", "out_of_doors"),
    "socket": Plant("e91/session/session.py", "def f():\n    import socket", "out_of_doors"),
    "socket beside the page": Plant(
        "e91/network/history.py", "def f():\n    import asyncio", "out_of_doors"
    ),
    "socket of another kind": Plant("e91/network/page/pilot.py", "import socket", "out_of_doors"),
    "relative": Plant("e91/bell/chsh.py", "from .. import cli", "upward"),
}


@pytest.mark.parametrize("name", PLANTS)
def test_planted_violation_is_found(name, tmp_path, tree):
    plant = PLANTS[name]
    copies = [tmp_path / "e91", tmp_path / "e91_circuits"]
    for copy, source in zip(copies, (ROOT, CIRCUITS), strict=True):
        shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__", "*.toml"))
    file = tmp_path / plant.file
    before = file.read_text() if file.exists() else ""
    file.write_text(f"{before}\n{plant.source}\n")
    finder = globals()[plant.finder]
    found = finder(house(*copies))
    assert len(found) > len(finder(tree)) or found != finder(tree)


def _loaded_after(statement: str) -> set[str]:
    listing = f"{statement}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    path = f"import sys\nsys.path[:0] = {[str(ROOT.parent), str(CIRCUITS.parent)]!r}\n"
    done = subprocess.run(
        [sys.executable, "-c", path + listing], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("heavy", ["qiskit", "scipy", "matplotlib", "numba"])
def test_importing_the_package_loads_nothing_heavy(heavy):
    assert heavy not in _loaded_after("import e91")


def test_the_look_at_loaded_modules_sees_what_a_name_brings_in():
    assert {"qiskit", "e91_circuits"} <= _loaded_after("import e91\ne91.exact_device")
