"""After a warm-up no session compiles anything."""

import subprocess
import sys

from e91.system.compiled import compiled_code_may_run

AFTER = """
import sys
from types import ModuleType
import numpy as np
import e91
from e91.optics.tags import matching, tag_kernels
from e91.system.compiled import compiled_code_may_run

def compiled():
    kernels = [
        kernel
        for name, module in sorted(sys.modules.items()) if name.endswith("_kernels")
        for kernel in vars(module).values() if hasattr(kernel, "signatures")
    ]
    return {f"{kernel.py_func.__name__}:{len(kernel.signatures)}" for kernel in kernels}

e91.warm_up()
before = compiled()
device = e91.exact_device(visibility=0.97, readout_error=0.002, seed=1)
list(e91.stream(device, rounds=2**20, block_rounds=2**19, seed=1))
list(e91.stream(device, rounds=2**18, policy=e91.Policy(portions=4), seed=1))
e91.run(device, rounds=2_000_000, seed=1)
bits = np.ones(500_000, np.uint8)
e91.distillation.amplification.toeplitz_hash(bits, 1, bits)
print(len(before) > 20 or not compiled_code_may_run(), *compiled() - before)
"""


def test_warm_up_compiles_all_that_sessions_use():
    done = subprocess.run([sys.executable, "-c", AFTER], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True"]


SHORT = """
import hashlib, sys
import e91

if sys.argv[1] == "warm":
    e91.warm_up()
report = e91.run(e91.exact_device(visibility=0.97, seed=1), rounds=20_000, seed=1)
print("e91.distillation.cascade.numpy_kernels" in sys.modules)
print(hashlib.sha256(report.key.packed.tobytes()).hexdigest())
"""


def test_short_sessions_use_what_was_warmed_up_and_make_the_same_key():
    cold, warm = (
        subprocess.run(
            [sys.executable, "-c", SHORT, how], capture_output=True, text=True, check=True
        ).stdout.split()
        for how in ("cold", "warm")
    )
    assert cold[0] == "True"
    assert (warm[0] == "True") is not compiled_code_may_run()
    assert cold[1] == warm[1]
