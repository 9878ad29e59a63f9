"""Speed of privacy amplification beside its peers: ``python -m benchmarks.amplification [BITS]``.

Hashes 10^6 (or BITS) bits to a quarter with Toeplitz matrices, in one run: packed bits on one
thread and on one per core, whole arrays of bits, the Fourier route, a one-piece SciPy transform of
a fast length, and ``randextract`` if it is installed.  Each must give the same bits.  Prints the
median and the spread of repeated calls, in Mbit of input a second.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from benchmarks.machine import headed, machine
from benchmarks.peers import one_piece, randextract
from e91.distillation.amplification.hashing import (
    hash_by_fourier,
    toeplitz_hash,
    toeplitz_hash_packed,
)
from e91.model.bits import Bits

SECONDS = 2.0  # spent on each row, and at least `LEAST` calls
LEAST = 3


def cases(count: int, length: int) -> tuple[Bits, dict[str, tuple[int, Callable[[], list[Bits]]]]]:
    """Return the expected hash, and by name the inputs a call hashes and the call."""
    generator = np.random.default_rng(20261123)
    bits = generator.integers(0, 2, count, np.uint8)
    seed = generator.integers(0, 2, count + length - 1, np.uint8)
    key, packed_seed = np.packbits(bits), np.packbits(seed)
    threads = os.cpu_count() or 1
    pool = ThreadPoolExecutor(threads)

    def hash_packed(_: int = 0) -> Bits:
        packed = toeplitz_hash_packed(key, count, length=length, seed=packed_seed)
        return np.unpackbits(packed, count=length)

    rows: dict[str, tuple[int, Callable[[], list[Bits]]]] = {
        f"packed, {threads} threads": (
            8 * threads,
            lambda: list(pool.map(hash_packed, range(8 * threads))),
        ),
        "packed, 1 thread": (1, lambda: [hash_packed()]),
        "array of bits, 1 thread": (1, lambda: [toeplitz_hash(bits, length, seed)]),
        "Fourier route": (1, lambda: [hash_by_fourier(bits, length, seed)]),
        "SciPy, one piece": (1, lambda: [one_piece(bits, length, seed)]),
    }
    try:
        peer = randextract(bits, length, seed)
        rows["randextract Toeplitz"] = (1, lambda: [peer()])
    except ModuleNotFoundError:
        print("randextract is not installed: its row is left out")
    return hash_by_fourier(bits, length, seed), rows


def rates(count: int, inputs: int, call: Callable[[], list[Bits]], expected: Bits) -> list[float]:
    """Return the sorted rates of repeated calls, in Mbit/s, after one that is checked."""
    for hashed in call():
        if not np.array_equal(hashed, expected):
            raise RuntimeError("All routes must give the same bits, but one does not.")
    found: list[float] = []
    end = time.perf_counter() + SECONDS
    while len(found) < LEAST or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        found.append(count * inputs / (time.perf_counter() - start) / 1e6)
    return sorted(found)


def main() -> None:
    """Print the table."""
    count = int(float(sys.argv[1])) if len(sys.argv) > 1 else 10**6
    print(headed(machine()))
    expected, rows = cases(count, count // 4)
    print(f"{count} bits to {count // 4}; Mbit/s, median (slowest-fastest)")
    first = None
    for name, (inputs, call) in rows.items():
        found = rates(count, inputs, call, expected)
        middle = statistics.median(found)
        first = first or middle
        print(f"{name:24s} {middle:8.1f} ({found[0]:.1f}-{found[-1]:.1f})  {first / middle:7.1f} x")


if __name__ == "__main__":
    main()
