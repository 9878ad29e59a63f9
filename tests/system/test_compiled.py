"""May compiled code run?  One answer for all stages, and no silence where numba is broken."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import e91
from e91.system import compiled
from e91.system.compiled import compiled_code_may_run

ROOT = Path(e91.__file__).parent.parent

# Every stage that has kernels, used once, and then where each would take them from.
EVERY_ROUTE = """
import sys
sys.path[:0] = {path!r}
from e91.system.compiled import compiled_code_may_run
from e91.devices.rounds import round_sampler as rounds
from e91.distillation.amplification import hashing as amplification
from e91.distillation.cascade import kernels as cascade_route
from e91.distillation.portions import partition
from e91.distillation.sifting import packing
from e91.optics.tags import click_kernels, matching
print(compiled_code_may_run())
for route in (rounds._compiled, packing.compiled_kernels, partition._compiled, matching._compiled):
    print(route() is not None)
print(cascade_route.fastest_route() != cascade_route.numpy_route())
print(amplification._route() is not amplification._by_fourier)
print(hasattr(click_kernels.register_clicks, "py_func"))
from e91 import exact_device, run
print(run(exact_device(visibility=0.98, seed=1), rounds=50_000, seed=2).key.packed.tobytes().hex())
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
    assert len(answers) == 8
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
def test_broken_numba_is_told_once_and_every_stage_does_without_it(tmp_path, kind, compiled_key):
    answers, key, told = every_route([broken_numba(tmp_path, source=BROKEN[kind])])
    assert answers == {"False"}
    assert key == compiled_key
    assert told.count("RuntimeWarning: numba cannot be imported (") == 1
    assert f"({kind}: " in told
    assert "a hundred times more slowly" in told


def test_compiled_code_serves_every_stage_without_a_word(with_numba):
    answers, _, told = with_numba
    assert answers == {"True"}
    assert told == ""


def test_wish_of_the_user_serves_every_stage_without_a_word(tmp_path, compiled_key):
    broken = broken_numba(tmp_path, source=BROKEN["ImportError"])  # is not even looked at
    answers, key, told = every_route([broken], NUMBA_DISABLE_JIT="1")
    assert answers == {"False"}
    assert told == ""
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
