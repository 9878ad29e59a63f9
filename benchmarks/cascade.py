"""Frame failures and efficiency of Cascade: ``python benchmarks/cascade.py [FRAMES]``.

Prints, for several lengths and error rates, how many of FRAMES frames (300 by default) still
differ, and the usual efficiency f: Alice's parities over the frames' own n h(Q).
"""

from __future__ import annotations

import sys
import time

import numpy as np

from e91.distillation.cascade import SEED_BYTES, reconcile
from e91.model.messages import Channel
from e91.model.records import SiftedKey
from e91.security.entropy import binary_entropy

GRID = [(100, 0.03), (100, 0.11), (1_000, 0.02), (10_000, 0.02), (10_000, 0.05)]


def main() -> None:
    """Print the table."""
    frames = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    generator = np.random.default_rng(20261123)
    for length, rate in GRID:
        failures, disclosed, needed, start = 0, 0, 0.0, time.perf_counter()
        for _ in range(frames):
            alice = generator.integers(0, 2, length, np.uint8)
            errors = (generator.random(length) < rate).astype(np.uint8)
            channel = Channel()
            one, two = reconcile(
                SiftedKey(alice),
                SiftedKey(alice ^ errors),
                error_rate=rate,
                permutation_seed=generator.bytes(SEED_BYTES),
                channel=channel,
            )
            failures += not np.array_equal(one.bits, two.bits)
            disclosed += channel.disclosed_bits // 2
            needed += length * binary_entropy(float(errors.mean()))
        seconds = (time.perf_counter() - start) / frames
        print(f"n = {length:6d}, Q = {rate:.3f}: {failures} of {frames} frames differ, "
              f"f = {disclosed / needed:.3f}, {seconds * 1e3:.1f} ms a frame")  # fmt: skip


if __name__ == "__main__":
    main()
