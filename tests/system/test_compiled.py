"""May compiled code run?  One answer for all stages, and no silence where numba is broken."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import e91
from e91.system import compiled
from e91.system.compiled import compiled_code_may_run, compiled_code_pays

ROOT = Path(e91.__file__).parent.parent

# Whether compiled code may run, the modules of kernels that a session loads, and its key.
EVERY_ROUTE = """
import sys
sys.path[:0] = {path!r}
from e91.system.compiled import compiled_code_may_run
from e91 import exact_device, stream
device = exact_device(visibility=0.98, seed=1)
(report,) = stream(device, rounds=50_000, threads=1, seed=2)
stages = ("sifting.packing", "cascade.parity", "amplification.carryless")
kernels = [f"e91.distillation.{{stage}}_kernels" in sys.modules for stage in stages]
print(compiled_code_may_run(), *kernels, "e91.system.cell_kernels" in sys.modules)
print(report.key.packed.tobytes().hex())
"""
# A wish of whoever runs the tests must not answer for them.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "NUMBA_DISABLE_JIT"}


def every_route(path=(), **environment):
    """What each stage takes in a fresh interpreter, the key of a session, and its warnings."""
    done = subprocess.run(
        [sys.executable, "-c", EVERY_ROUTE.format(path=[*map(str, path)])],
        env=ENVIRONMENT | environment, cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    *answers, key = done.stdout.split()
    assert len(answers) == 5
    return set(answers), key, done.stderr


@pytest.fixture(scope="module")
def with_numba():
    return every_route()


@pytest.fixture
def compiled_key(with_numba):
    return with_numba[1]


def broken_numba(folder, *, source):
    (folder / "numba").mkdir()
    (folder / "numba" / "__init__.py").write_text(source)
    return folder


BROKEN = {
    "ImportError": "raise ImportError('Numba needs NumPy 2.5 or less.')",
    "OSError": "raise OSError('Could not find/load shared object file libllvmlite.so')",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_numba_is_reported_once_and_no_stage_needs_it(tmp_path, kind, compiled_key):
    answers, key, warnings = every_route([broken_numba(tmp_path, source=BROKEN[kind])])
    assert answers == {"False"}
    assert key == compiled_key
    assert warnings.count("RuntimeWarning: numba cannot be imported (") == 1
    assert f"({kind}: " in warnings
    assert "a hundred times more slowly" in warnings


def test_compiled_code_serves_every_stage_without_a_word(with_numba):
    answers, _, warnings = with_numba
    assert answers == {"True"}
    assert warnings == ""


def test_wish_of_the_user_serves_every_stage_without_a_word(tmp_path, compiled_key):
    broken = broken_numba(tmp_path, source=BROKEN["ImportError"])  # is not even looked at
    answers, key, warnings = every_route([broken], NUMBA_DISABLE_JIT="1")
    assert answers == {"False"}
    assert warnings == ""
    assert key == compiled_key


def test_wish_in_the_settings_file_of_numba_is_heard(tmp_path):
    pytest.importorskip("yaml")
    (tmp_path / ".numba_config.yaml").write_text("disable_jit: 1\n")
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
    code += "from e91.system.compiled import *; print(compiled_code_may_run())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=ENVIRONMENT, cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_wish_is_heard_at_every_call(monkeypatch):
    for wish, answer in (("0", True), ("1", False), ("0", True)):
        monkeypatch.setenv("NUMBA_DISABLE_JIT", wish)
        assert compiled_code_may_run() is answer


def test_nothing_is_compiled_for_a_big_endian_machine(monkeypatch):
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "0")
    assert compiled_code_may_run()
    monkeypatch.setattr(sys, "byteorder", "big")
    assert not compiled_code_may_run()


def test_other_failures_of_numba_are_not_swallowed(tmp_path, monkeypatch):
    broken = broken_numba(tmp_path, source="raise ArithmeticError('not a matter of installation')")
    for name in [name for name in sys.modules if name.split(".")[0] == "numba"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(broken)
    with pytest.raises(ArithmeticError):
        compiled._numba_compiles.__wrapped__()


def test_short_sessions_leave_compiled_code_alone(monkeypatch):
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "0")
    assert not compiled_code_pays(200_000)
    assert compiled_code_pays(10**6)
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    assert not compiled_code_pays(10**6)


# numba looks for a folder in none of the places where there could be one.
NOWHERE = {"NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator", "NUMBA_CACHE_DIR": ""}
KERNEL = """
import numpy as np
from e91.system.compiled import kernel

@kernel
def doubled(x):
    return 2 * x

@kernel
def halved(x):
    return x // 2

print(doubled(3), halved(8), {expression})
"""


def kernels_in_a_file(folder, expression="0", before="", **environment):
    """What two kernels of a file give in a fresh interpreter, and the warnings."""
    file = folder / "some_kernels.py"
    source = before + KERNEL.format(expression=expression)
    if not file.exists() or file.read_text() != source:  # numba before 0.68 looks at its time, too
        file.write_text(source)
    done = subprocess.run(
        [sys.executable, file],
        env=ENVIRONMENT | {"PYTHONPATH": str(ROOT)} | environment,
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip(), done.stderr


def test_where_no_folder_can_be_written_to_code_is_compiled_with_one_warning(tmp_path):
    found, warnings = kernels_in_a_file(tmp_path, **NOWHERE)
    assert found == "6 4 0"
    assert warnings.count("RuntimeWarning: Compiled code cannot be kept on disk") == 1
    assert "NUMBA_CACHE_DIR" in warnings


FULL = """
import errno
from numba.core import caching
def full(self, key, data):
    raise OSError(errno.ENOSPC, "No space left on device")
caching.IndexDataCacheFile.save = full
"""


def test_a_full_disk_is_one_warning(tmp_path):
    found, warnings = kernels_in_a_file(tmp_path, before=FULL, NUMBA_CACHE_DIR=str(tmp_path / "c"))
    assert found == "6 4 0"
    assert warnings.count("RuntimeWarning: Compiled code cannot be kept on disk") == 1


def test_damaged_files_are_written_anew(tmp_path):
    folder, hits = tmp_path / "c", "sum(doubled.stats.cache_hits.values())"
    for expected in "01":
        found = kernels_in_a_file(tmp_path, hits, NUMBA_CACHE_DIR=str(folder))
        assert found == (f"6 4 {expected}", "")
    for file in folder.rglob("*.nb?"):
        file.write_bytes(b"no code")
    for expected in "01":
        found = kernels_in_a_file(tmp_path, hits, NUMBA_CACHE_DIR=str(folder))
        assert found == (f"6 4 {expected}", "")


def test_version_of_numba_without_the_private_interfaces_leaves_numpy(tmp_path, compiled_key):
    lacking = "from numba.core import caching\ndel caching.FunctionCache\n"
    (tmp_path / "sitecustomize.py").write_text(lacking)
    answers, key, warnings = every_route(PYTHONPATH=str(tmp_path))
    assert answers == {"False"}
    assert key == compiled_key
    assert warnings.count("RuntimeWarning: numba cannot be imported (ImportError: ") == 1
