"""Time and memory of a first session, as whole processes: ``python -m benchmarks.first_light``.

Prints the median and spread of five cold starts with machine, versions and commit.  Run it from an
environment in which the package is installed.
"""

from __future__ import annotations

import statistics

from benchmarks.machine import headed, machine, whole_process

CASES = {
    "e91 run (10^6 rounds on Aer)": ["-m", "e91", "run", "--json"],
    "e91 run --device exact (10^6 rounds)": ["-m", "e91", "run", "--json", "--device", "exact"],
    "e91 --help": ["-m", "e91", "--help"],
    "import e91": ["-c", "import e91"],
    "python itself": ["-c", "pass"],
}
REPEATS = 5


def main() -> None:
    """Print the table."""
    print(headed(machine()))
    print(f"median (fastest-slowest) of {REPEATS}")
    for name, arguments in CASES.items():
        runs = [whole_process(arguments) for _ in range(REPEATS)]
        seconds = sorted(run.seconds for run in runs)
        memory = max(run.megabytes for run in runs)
        print(f"{name:40s} {statistics.median(seconds):6.3f} s "
              f"({seconds[0]:.3f}-{seconds[-1]:.3f})  {memory:5.0f} MB")  # fmt: skip


if __name__ == "__main__":
    main()
