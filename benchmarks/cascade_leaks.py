"""Fit what Cascade discloses of keys: ``python -m benchmarks.cascade_leaks [FILE]``.

Writes the table that `e91.session.cascade_leak` reads, by default over it: some minutes.
"""

from __future__ import annotations

import argparse
import csv
from importlib.resources import files
from pathlib import Path

from e91.session.cascade_leak import measured_fit, rounded_size

SIZES = tuple(dict.fromkeys(rounded_size(round(2 ** (step / 8))) for step in range(112, 169)))
"""Key bits: from 2^14 to 2^21, in eighths of a power of two."""

FIRST_BLOCKS = (16, 32, 64, 128)
"""Bits of a block of the first iteration, for error rates from 0.3 to 7 %."""

COLUMNS = ("key_size", "first_block", "per_bit", "per_error", "per_error_squared", "scatter")


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "file", nargs="?", default=str(files("e91.session").joinpath("cascade_leaks.csv"))
    )
    rows = []
    file = parser.parse_args().file
    for size in SIZES:
        for block in FIRST_BLOCKS:
            fit = measured_fit(size, block)
            numbers = (fit.per_bit, fit.per_error, fit.per_error_squared, fit.scatter)
            rows.append((size, block, *(f"{number:.12g}" for number in numbers)))
    with Path(file).open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)


if __name__ == "__main__":
    main()
