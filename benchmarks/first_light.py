"""Time and memory of a first session, as whole processes: ``python benchmarks/first_light.py``.

Prints the median and spread of five cold starts with machine, versions and commit.  Run it from an
environment in which the package is installed.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from importlib.metadata import version

CASES = {
    "e91 run (10^6 rounds on Aer)": ["-m", "e91", "run", "--json"],
    "e91 run --device exact (10^6 rounds)": ["-m", "e91", "run", "--json", "--device", "exact"],
    "e91 --help": ["-m", "e91", "--help"],
    "import e91": ["-c", "import e91"],
    "python itself": ["-c", "pass"],
}
REPEATS = 5


def measure(arguments: list[str]) -> tuple[float, float]:
    """Return wall seconds and peak memory in MB of one fresh process."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status != 0:
        raise RuntimeError(f"`{' '.join(arguments)}` must end well, but ended with {status}.")
    unit = 1e6 if sys.platform == "darwin" else 1e3
    return seconds, usage.ru_maxrss / unit


def main() -> None:
    """Print the table."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    packages = ", ".join(f"{name} {version(name)}" for name in ("qiskit", "qiskit-aer", "numpy"))
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"{packages}; commit {commit or 'unknown'}; median (fastest-slowest) of {REPEATS}")
    for name, arguments in CASES.items():
        runs = [measure(arguments) for _ in range(REPEATS)]
        seconds = sorted(run[0] for run in runs)
        memory = max(run[1] for run in runs)
        print(f"{name:40s} {statistics.median(seconds):6.3f} s "
              f"({seconds[0]:.3f}-{seconds[-1]:.3f})  {memory:5.0f} MB")  # fmt: skip


if __name__ == "__main__":
    main()
