"""Who may import whom: the table below is the architecture, and the syntax is searched."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import e91_circuits
import pytest

import e91

ROOT = Path(e91.__file__).parent
CIRCUITS = Path(e91_circuits.__file__).parent
STANDARD = frozenset(sys.stdlib_module_names)
STAGES = ("e91.bell", "e91.distillation", "e91.security")
QISKIT = ("qiskit", "qiskit_aer", "qiskit_ibm_runtime")

# A module or package, and what it may import besides the standard library and itself.
ALLOWED = {
    "e91.model": ("numpy", "numba"),
    "e91.bell": ("e91.model", "numpy", "scipy", "cryptography"),
    "e91.security": ("e91.model", "numpy", "scipy", "cryptography"),
    "e91.distillation": (
        "e91.model",
        "numpy",
        "scipy",
        "cryptography",
        "numba",
        "llvmlite",
        "ldpc",
    ),
    "e91.durable": (),
    "e91.encryption": ("e91.durable", "e91.model", "numpy", "cryptography"),
    "e91.optics": ("e91.model", "e91.worker_processes", "numpy", "scipy", "numba"),
    "e91.devices": (
        "e91.model",
        "e91.optics",
        "e91_circuits",
        "numpy",
        "numba",
        "scipy",
        "cryptography",
        *QISKIT,
    ),
    "e91.theorems": ("e91.bell", "e91.security", "e91.model"),
    "e91.verdict": (*STAGES, "e91.model", "e91.theorems", "numpy"),
    "e91.protocol": ("e91.distillation", "e91.model", "e91.verdict", "numpy"),
    "e91.session": (
        "e91.distillation",
        "e91.model",
        "e91.protocol",
        "e91.report",
        "e91.theorems",
        "e91.verdict",
    ),
    "e91.streaming": (
        "e91.distillation",
        "e91.model",
        "e91.protocol",
        "e91.recorded.blocks",
        "e91.report",
        "e91.session",
        "e91.verdict",
        "e91.worker_processes",
        "numpy",
    ),
    "e91.worker_processes": (),
    "e91.alarms": ("e91.bell", "e91.model"),
    "e91.watching": (
        "e91.alarms",
        "e91.bell",
        "e91.distillation",
        "e91.model",
        "e91.report",
        "e91.session",
        "e91.streaming",
        "numpy",
    ),
    "e91.recorded": (
        "e91.durable",
        "e91.model",
        "e91.optics",
        "numpy",
        "pyarrow",
    ),
    "e91.experiments": (
        "e91.devices",
        "e91.model",
        "e91.optics",
        "e91.planning",
        "e91.plots",
        "e91.security",
        "matplotlib",
        "numpy",
    ),
    "e91.job_files": ("e91.durable", "e91.model", "numpy"),
    "e91.studies": (
        "e91.attacks",
        "e91.devices",
        "e91.distillation",
        "e91.durable",
        "e91.model",
        "e91.report",
        "e91.run_summary",
        "e91.session",
        "e91.streaming",
        "e91.verdict",
        "e91.worker_processes",
        "distributed",
        "numpy",
        "xarray",
    ),
    "e91.attacks": (
        "e91.devices",
        "e91.distillation.authentication",
        "e91.model",
        "e91.report",
        "e91.security.entropy",
        "e91.session",
    ),
    "e91.power": ("e91.bell", "e91.security", "e91.model", "numpy", "scipy"),
    "e91_circuits": ("numpy", *QISKIT),
}


def imported(source: str, *, module: str, is_package: bool = False) -> Iterator[str]:
    """Every module that ``source`` may load: absolute, relative, from, nested, and by call."""
    home = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            up = home[: len(home) + 1 - node.level] if node.level else []
            base = ".".join([*up, *([node.module] if node.module else [])])
            # `from e91 import session` loads e91.session, so each name counts as a module.
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and _name(node.func) in ("import_module", "__import__"):
            literal = node.args[0] if node.args else None
            constant = literal.value if isinstance(literal, ast.Constant) else "<computed>"
            yield str(constant)


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def violations(source: str, *, module: str, allowed: tuple[str, ...]) -> list[str]:
    return [
        name
        for name in imported(source, module=module)
        if name.split(".")[0] not in STANDARD
        and not any(within(name, package) for package in allowed)
    ]


def modules(package: str) -> list[tuple[str, Path]]:
    """The modules of a package (or the one module) with their dotted names."""
    base = CIRCUITS if package.split(".", maxsplit=1)[0] == "e91_circuits" else ROOT
    place = base.parent / Path(*package.split("."))
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    found = []
    for file in files:
        parts = file.relative_to(base.parent).with_suffix("").parts
        found.append((".".join(parts), file))
    return found


@pytest.mark.parametrize("package", ALLOWED)
def test_package_imports_only_what_its_place_allows(package):
    files = modules(package)
    assert files
    for module, file in files:
        allowed = (*ALLOWED[package], package)
        assert not violations(file.read_text(), module=module, allowed=allowed), module


# The files behind one stage share its first word; amplification's are named after Toeplitz, and
# sifting by the block builds on sifting by messages.
SUBJECTS = {"amplification": "toeplitz", "coins": "packing"}


def test_no_stage_of_distillation_imports_another():
    siblings = [module for module, _ in modules("e91.distillation")]
    for module, file in modules("e91.distillation"):
        name = module.split(".")[-1]
        own: tuple[str, ...] = (SUBJECTS.get(name, name.split("_")[0]),)
        if name == "packed_sifting":
            own = ("sifting", "packing", "coins")
        parts = [m for m in siblings if m.split(".")[-1].startswith(own)]
        allowed = (*ALLOWED["e91.distillation"], *parts)
        assert not violations(file.read_text(), module=module, allowed=allowed), module


def test_only_devices_and_circuits_import_qiskit():
    for module, file in modules("e91"):
        if not within(module, "e91.devices"):
            names = list(imported(file.read_text(), module=module))
            assert not [name for name in names if name.split(".")[0] in QISKIT], module


def test_only_devices_and_the_command_line_import_the_circuits():
    for module, file in modules("e91"):
        if not (within(module, "e91.devices") or module == "e91.cli.devices"):
            names = list(imported(file.read_text(), module=module))
            assert not [name for name in names if within(name, "e91_circuits")], module


def test_only_the_lazy_front_page_imports_computed_names():
    found = [
        module
        for module, file in modules("e91")
        if "<computed>" in imported(file.read_text(), module=module)
    ]
    assert found == ["e91.__init__"]


def test_command_line_imports_circuits_only_inside_functions():
    top = ast.parse((ROOT / "cli" / "devices.py").read_text()).body
    bare = "\n".join(ast.unparse(n) for n in top if isinstance(n, ast.Import | ast.ImportFrom))
    assert not [n for n in imported(bare, module="e91.cli.devices") if within(n, "e91_circuits")]


PLANTED = {
    "import e91.session": "e91.session",
    "import numpy, e91.session as s": "e91.session",
    "from e91.session import run": "e91.session.run",
    "from e91 import session": "e91.session",
    "from .. import session": "e91.session",
    "from ..session import run": "e91.session.run",
    "from ..security.entropy import capped": "e91.security.entropy.capped",
    "def f():\n    import qiskit": "qiskit",
    "if TYPE_CHECKING:\n    from qiskit import QuantumCircuit": "qiskit.QuantumCircuit",
    "try:\n    import qiskit_aer\nexcept ImportError:\n    pass": "qiskit_aer",
    "importlib.import_module('qiskit')": "qiskit",
    "import_module('qiskit.circuit')": "qiskit.circuit",
    "__import__('qiskit')": "qiskit",
    "import_module(name)": "<computed>",
    "import e91.modelling": "e91.modelling",
}


@pytest.mark.parametrize("source", PLANTED)
def test_planted_violation_is_seen(source):
    allowed = (*ALLOWED["e91.bell"], "e91.bell")
    found = violations(source, module="e91.bell.planted", allowed=allowed)
    assert found == [PLANTED[source]]


def test_allowed_imports_are_not_called_violations():
    source = "import math, numpy.linalg\nfrom e91.model import bits\nfrom . import chsh"
    allowed = (*ALLOWED["e91.bell"], "e91.bell")
    assert not violations(source, module="e91.bell.planted", allowed=allowed)


def test_stage_that_imports_its_neighbour_is_seen():
    found = violations(
        "from e91.distillation.cascade import reconcile",
        module="e91.distillation.sifting",
        allowed=ALLOWED["e91.distillation"],
    )
    assert found == ["e91.distillation.cascade.reconcile"]


def _loaded_after(statement: str) -> set[str]:
    listing = f"{statement}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    path = f"import sys\nsys.path[:0] = {[str(ROOT.parent), str(CIRCUITS.parent)]!r}\n"
    done = subprocess.run(
        [sys.executable, "-c", path + listing], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("heavy", ["qiskit", "scipy", "matplotlib"])
def test_importing_the_package_loads_nothing_heavy(heavy):
    assert heavy not in _loaded_after("import e91")


def test_the_look_at_loaded_modules_sees_what_a_name_brings_in():
    assert {"qiskit", "e91_circuits"} <= _loaded_after("import e91\ne91.exact_device")
