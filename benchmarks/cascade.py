"""Speed, efficiency and failures of Cascade: ``python -m benchmarks.cascade [FRAMES]``.

Without FRAMES, prints for several lengths and error rates the speed of both parties together, the
usual efficiency f (Alice's parities over n h(Q)), the same for both parties' bits, and the round
trips.  With FRAMES, how many keys, of this many frames in all, still differ (by default of 65,536
bits each at Q = 2 %), and the most bits that Alice disclosed beyond n h(Q).  Threads reconcile keys
of their own; the speed is that of all together.
"""

from __future__ import annotations

import argparse
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median

import numpy as np

from e91.distillation.cascade.reconciler import reconcile_packed
from e91.distillation.cascade.schedule import make_schedule
from e91.distillation.cascade.wire_format import SEED_BYTES
from e91.model.messages import Channel, Party
from e91.security.shannon import binary_entropy
from e91.system.compiled import compiled_code_may_run
from e91.system.workspace import Workspace

RATES = (0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.10, 0.11)
LENGTHS = (10_000, 2**20, 2**23)
REPEATS = 5
SEED = 20261123


@dataclass(frozen=True)
class Run:
    """What one reconciliation took and gave."""

    seconds: float
    alice_bits: int
    both_bits: int
    needed_bits: float
    round_trips: int
    wrong_bits: int


def reconcile_once(length: int, rate: float, seed: int, workspace: Workspace) -> Run:
    """Make a pair of keys, reconcile it and compare."""
    generator = np.random.default_rng((SEED, seed))
    words = -(-length // 64)
    mask = np.full(words, 2**64 - 1, np.uint64)
    mask[-1] >>= np.uint64(-length % 64)
    alice = generator.integers(0, 2**64, words, np.uint64) & mask
    draws = generator.random((words, 64), np.float32) < rate
    errors = np.packbits(draws, axis=1, bitorder="little").view(np.uint64)[:, 0] & mask
    channel, permutations = Channel(), generator.bytes(SEED_BYTES)
    start = time.perf_counter()
    found = reconcile_packed(
        alice,
        alice ^ errors,
        bits=length,
        error_rate=rate,
        permutation_seed=permutations,
        channel=channel,
        workspace=workspace,
    )
    seconds = time.perf_counter() - start
    own = [m for m in channel.seen[Party.ALICE] if m.sender is Party.ALICE]
    share = int(np.bitwise_count(errors).sum()) / length
    return Run(
        seconds,
        sum(m.disclosed_bits for m in own),
        channel.disclosed_bits,
        length * binary_entropy(share),
        len(own),
        int(np.bitwise_count(found ^ alice).sum()),
    )


def reconcile_all(count: int, length: int, rate: float, threads: int) -> list[Run]:
    """Reconcile ``count`` pairs of keys; every thread has its share and a workspace."""

    def share(first: int) -> list[Run]:
        workspace = Workspace(compiled=compiled_code_may_run())
        seeds = range(first, count + 1, threads)
        return [reconcile_once(length, rate, seed, workspace) for seed in seeds]

    with ThreadPoolExecutor(threads) as pool:
        return [run for runs in pool.map(share, range(1, threads + 1)) for run in runs]


def print_row(length: int, rate: float, threads: int) -> None:
    """Print one row of the table: medians over repeats, after one that is not counted."""
    repeats = REPEATS if length > 10**5 else 20 * REPEATS
    reconcile_all(1, length, rate, threads=1)
    runs = reconcile_all(repeats * threads, length, rate, threads)
    # Every thread was busy with reconciliation or with making keys: their speeds add up.
    speed = threads * length / median(run.seconds for run in runs) / 1e6
    needed = sum(run.needed_bits for run in runs)
    alice = sum(run.alice_bits for run in runs) / needed
    both = sum(run.both_bits for run in runs) / needed
    wrong = sum(run.wrong_bits > 0 for run in runs)
    trips = median(run.round_trips for run in runs)
    print(f"{length:9d} {rate:6.3f} {speed:9.1f} {alice:7.4f} {both:7.4f} {trips:7.0f} "
          f"{wrong:4d}/{len(runs)}")  # fmt: skip


def print_failures(frames: int, length: int, rate: float, threads: int) -> None:
    """Reconcile keys of at least ``frames`` frames in all, and count the wrong ones."""
    schedule = make_schedule(length, rate)
    keys = -(-frames // (schedule.lanes * schedule.groups))
    runs = reconcile_all(keys, length, rate, threads)
    wrong = sum(run.wrong_bits > 0 for run in runs)
    disclosed = sum(run.alice_bits for run in runs) / sum(run.needed_bits for run in runs)
    beyond = max(run.alice_bits - run.needed_bits for run in runs)
    done = keys * schedule.lanes * schedule.groups
    print(f"{done} frames of {schedule.places} bits at Q = {rate}: {wrong} of {keys} keys "
          f"differ after Cascade, f = {disclosed:.4f}, "
          f"at most {beyond:.0f} bits beyond n h(Q) in a key")  # fmt: skip


def main() -> None:
    """Print the table, or the failures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("frames", nargs="?", type=int, help="count failures of this many frames")
    parser.add_argument("--threads", type=int, default=1, help="keys at a time (1)")
    parser.add_argument("--length", type=int, action="append", help="key length, repeatable")
    parser.add_argument("--rate", type=float, action="append", help="error rate, repeatable")
    arguments = parser.parse_args()
    if arguments.frames is not None:
        for length in arguments.length or [2**23]:
            for rate in arguments.rate or [0.02]:
                print_failures(arguments.frames, length, rate, arguments.threads)
        return
    print(f"{arguments.threads} threads, load {os.getloadavg()[0]:.1f} at the start")
    print("        n      Q  Mbit/s        f  f both   trips  keys wrong")
    for length in arguments.length or LENGTHS:
        for rate in arguments.rate or RATES:
            print_row(length, rate, arguments.threads)


if __name__ == "__main__":
    main()
