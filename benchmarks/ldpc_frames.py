"""Frame failures, efficiency and speed of LDPC: ``python -m benchmarks.ldpc_frames [FRAMES]``.

For several error rates, reconciles FRAMES keys (100 by default) whose bits differ independently at
that rate, and prints how many still differ, the efficiency f (disclosed bits over n h(Q)) and the
speed of both parties together on one core: keys that fill one frame, short ones, and a tenth as
many of many frames.  It needs the package `ldpc`.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from importlib.metadata import version

import numpy as np

from e91.distillation.ldpc import SEED_BYTES, reconcile, shape
from e91.model.messages import Channel
from e91.model.records import SiftedKey
from e91.security.shannon import binary_entropy

RATES = (0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.08, 0.11)
SHORT, LONG = 1_000, 200_000


def longest_frame(rate: float) -> int:
    """Return the length of the longest key that is one frame."""
    return max(n for n in range(8_000, 27_000, 50) if shape(n, rate).frames == 1)


def measure(length: int, rate: float, frames: int) -> str:
    """Return one row of the table."""
    generator = np.random.default_rng((20261123, length, round(rate * 1e6)))
    failures, start = 0, time.process_time()
    for _ in range(frames):
        alice = generator.integers(0, 2, length, np.uint8)
        errors = (generator.random(length) < rate).astype(np.uint8)
        one, two = reconcile(
            SiftedKey(alice),
            SiftedKey(alice ^ errors),
            error_rate=rate,
            permutation_seed=generator.bytes(SEED_BYTES),
            channel=Channel(),
            entropy=generator.bytes,
        )
        failures += not np.array_equal(one.bits, two.bits)
    seconds = time.process_time() - start
    disclosed = shape(length, rate).disclosed_bits
    efficiency = disclosed / (length * binary_entropy(rate))
    return (
        f"n = {length:6d}, Q = {rate:.3f}: {failures:4d} of {frames} keys differ, "
        f"f = {efficiency:.3f}, {length * frames / seconds / 1e3:6.0f} kbit/s"
    )


def main() -> None:
    """Print the table."""
    frames = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
          f"ldpc {version('ldpc')}, load {os.getloadavg()[0]:.1f}")  # fmt: skip
    for rate in RATES:
        for length, keys in ((longest_frame(rate), frames), (SHORT, frames), (LONG, frames // 10)):
            print(measure(length, rate, keys), flush=True)


if __name__ == "__main__":
    main()
