"""How time and memory grow with the rounds: ``python -m benchmarks.growth [ROUNDS ...]``.

Streams 10^6, 10^7, 10^8 and 10^9 rounds (or as many as are named, e.g. 1e10) at QBER 2 %, each in a
process of its own: Ekert's settings chosen uniformly, then the best settings for them.
Prints the seconds of the run itself, after one block that warms the caches; the nanoseconds a
round, and how they compare with the row before; the processor's nanoseconds a round, all threads
together, which a busy machine changes less; the whole process's seconds and peak memory; the secret
bits, and the blocks that were refused a key.
"""

from __future__ import annotations

import argparse
import json
import time

from benchmarks.machine import headed, machine, whole_process
from benchmarks.work import VISIBILITY, best_settings
from e91.devices.exact import exact_device
from e91.model.settings import EKERT
from e91.security.policy import Policy
from e91.session.streaming import BLOCK_ROUNDS, PART_ROUNDS, stream

CHOICES = ("uniform", "best")


def choices(name: str, rounds: int) -> str:
    """Return what a run is given: probabilities of both parties, policy, rounds of a block.

    The search for the best ones is no part of the run, and its memory is not either.
    """
    if name == "uniform":
        return json.dumps([EKERT.alice_probabilities, EKERT.bob_probabilities, {}, BLOCK_ROUNDS])
    plan = best_settings(rounds)
    policy = {
        key: getattr(plan.policy, key) for key in ("epsilon", "revealed_fraction", "portions")
    }
    chosen = plan.settings
    return json.dumps(
        [chosen.alice_probabilities, chosen.bob_probabilities, policy, plan.block_rounds]
    )


def run_once(chosen: str, rounds: int) -> dict[str, float]:
    """Stream a run in this process; keep no report."""
    alice, bob, declared, block_rounds = json.loads(chosen)
    settings, policy = EKERT.biased(tuple(alice), tuple(bob)), Policy(**declared)
    device = exact_device(settings=settings, visibility=VISIBILITY)
    for report in stream(device, rounds=PART_ROUNDS, settings=settings, policy=policy):
        assert report.rounds == PART_ROUNDS
    start, processor, bits, refused = time.perf_counter(), time.process_time(), 0, 0
    for report in stream(
        device, rounds=rounds, settings=settings, policy=policy, block_rounds=block_rounds
    ):
        bits += report.secret_bits
        refused += report.abort is not None
    return {
        "seconds": time.perf_counter() - start,
        "processor": time.process_time() - processor,
        "bits": bits,
        "refused": refused,
    }


def print_rows(name: str, sizes: list[int]) -> None:
    """Print one row for each size."""
    before = None
    for rounds in sizes:
        ended = whole_process([__file__, "--here", choices(name, rounds), str(rounds)])
        found = json.loads(ended.output)
        each = found["seconds"] / rounds * 1e9
        growth = f"{each / before:6.3f}" if before else " " * 6
        cells = (
            f"{name:8s}",
            f"{rounds:8.0e}",
            f"{found['seconds']:9.3f}",
            f"{each:9.2f}",
            f"{growth:>8s}",
            f"{found['processor'] / rounds * 1e9:12.2f}",
            f"{ended.seconds:10.2f}",
            f"{ended.megabytes:7.0f}",
            f"{found['bits']:14,d}",
            f"{found['bits'] / found['seconds'] / 1e6:8.1f}",
            f"{found['refused']:7d}",
        )
        print(*cells, flush=True)
        before = each


def main() -> None:
    """Print the table, or be one of its processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rounds", nargs="*", type=float, help="sizes; 1e6 to 1e9 by default")
    parser.add_argument("--here", metavar="JSON", help="run the one size so in this process")
    arguments = parser.parse_args()
    sizes = [int(rounds) for rounds in arguments.rounds or (1e6, 1e7, 1e8, 1e9)]
    if arguments.here:
        print(json.dumps(run_once(arguments.here, sizes[0])))
        return
    print(headed(machine()))
    print("settings   rounds   seconds  ns/round   growth processor/ns    process      MB"
          "    secret bits   Mbit/s refused")  # fmt: skip
    for name in CHOICES:
        print_rows(name, sizes)


if __name__ == "__main__":
    main()
