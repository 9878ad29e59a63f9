"""On what figures are measured, and whole processes measured from outside."""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

PACKAGES = (
    "numpy",
    "scipy",
    "numba",
    "cryptography",
    "qiskit",
    "qiskit-aer",
    "ldpc",
    "randextract",
)
"""Packages whose versions are stated with every table."""


def machine() -> dict[str, str]:
    """Return on what figures are measured: processor, Python, packages, commit, load.

    Examples:
        >>> sorted(machine())
        ['commit', 'load', 'machine', 'packages', 'python']
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else math.nan
    return {
        "machine": f"{_processor()}, {cores} cores, {platform.system()}",
        "python": platform.python_version(),
        "packages": ", ".join(map(_package, PACKAGES)),
        "commit": _commit(),
        "load": f"{load:.2f}",
    }


def headed(found: dict[str, str]) -> str:
    """Return `machine` as the two lines above a table."""
    first = f"{found['machine']}, Python {found['python']}, load {found['load']} at the start"
    return f"{first}\n{found['packages']}; commit {found['commit']}"


class Ended(NamedTuple):
    """A process that ended well.

    Attributes:
        seconds: From start to end, by the wall clock.
        megabytes: Peak memory, in 10^6 bytes.
        output: What it printed.
    """

    seconds: float
    megabytes: float
    output: str


# A process counts the memory of the one that starts it into its own peak until it has loaded its
# program, so a small one stands between: what is measured is then not the memory of the caller.
_LAUNCHER = """
import json, os, subprocess, sys, time
start = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, text=True)
output = process.stdout.read()
_, status, usage = os.wait4(process.pid, 0)
process.returncode = os.waitstatus_to_exitcode(status)
seconds = time.perf_counter() - start
print(json.dumps([process.returncode, seconds, usage.ru_maxrss, output]))
"""


def whole_process(arguments: list[str]) -> Ended:
    """Run this Python with ``arguments`` in a process of its own; Linux and macOS.

    Raises:
        RuntimeError: The process ends with a status other than 0.

    Examples:
        >>> ended = whole_process(["-c", "print(6 * 7)"])
        >>> ended.seconds < 10, ended.megabytes > 1, ended.output.strip()
        (True, True, '42')
    """
    launcher = [sys.executable, "-S", "-c", _LAUNCHER, sys.executable, *arguments]
    reported = subprocess.run(launcher, stdout=subprocess.PIPE, text=True, check=True).stdout
    status, seconds, peak, output = json.loads(reported)
    if status != 0:
        raise RuntimeError(
            f"`{' '.join(arguments)}` must end with status 0, but ended with {status}."
        )
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kibibytes elsewhere
    return Ended(seconds, peak * unit / 1e6, output)


def _package(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return f"no {name}"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _commit() -> str:
    """Return the commit of this package's files; unknown where they are in no repository."""
    here = Path(__file__).parent
    try:
        for command in (
            ["ls-files", "--error-unmatch", "__init__.py"],  # an installed copy is in none
            ["describe", "--always", "--dirty", "--exclude", "*"],
        ):
            found = subprocess.run(
                ["git", *command], cwd=here.parent, capture_output=True, text=True, check=True
            )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()
