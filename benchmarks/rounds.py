"""Rounds a second, drawn, tallied and packed: ``python -m benchmarks.rounds [MILLIONS]``.

Every figure is the median of 7 runs (slowest-fastest) of MILLIONS million rounds (200 by default; a
tenth of it without numba): first each step on one core, then the whole on one and two threads, then
the whole with NumPy alone, then the same rounds by Qiskit Aer, in the same run: nine circuits with
counts dealt out and shuffled, and one circuit a pair.  Ekert's settings, uniform; the device is
noisy and attacked.  The cost of two separate keystreams is stated as the time of the second.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from benchmarks.aer_alone import (
    SETTINGS,
    aer_counts,
    aer_pair_by_pair,
    attacked_circuits,
    attacked_sampler,
)
from benchmarks.machine import headed, machine
from benchmarks.timing import Work, shared_out
from benchmarks.work import FRACTION, draw_and_pack, numpy_only
from e91.distillation.sifting.choices import RoundSampler
from e91.distillation.sifting.packing import append_key, draw_sample, key_roles, tally
from e91.model.bits import Bits
from e91.system.cell_draws import BLOCK_ROUNDS
from e91.system.keystreams import Stream, draws, keystream, seeded_key

REPEATS = 7
SEED = 1
ROLES = key_roles(SETTINGS)
PROTOCOL = seeded_key(SEED, purpose="protocol")


def rate(work: Callable[[], object], *, rounds: int) -> list[float]:
    """Return rounds a second of seven runs, in ascending order, after one that does not count."""
    work()
    rates = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        rates.append(rounds / (time.perf_counter() - start))
    return sorted(rates)


def show(name: str, rates: list[float]) -> float:
    """Print one line of the table; return the median."""
    median = statistics.median(rates)
    print(f"{name:54s} {median / 1e6:12.5g} M/s ({rates[0] / 1e6:.5g}-{rates[-1] / 1e6:.5g})")
    return median


def on_threads(sampler: RoundSampler, blocks: int, *, threads: int) -> Work:
    """Return the whole work, its blocks shared out to threads."""
    share = blocks // threads
    return shared_out(
        lambda thread: draw_and_pack(sampler, first=thread * share, blocks=share), threads=threads
    )


def steps(sampler: RoundSampler) -> dict[str, Callable[[], object]]:
    """Return each step as a function of one block."""
    codes = np.empty(BLOCK_ROUNDS, np.uint8)
    sampler.fill(codes, block=0)
    room = np.zeros(BLOCK_ROUNDS // 8, np.uint8), np.zeros(BLOCK_ROUNDS // 8, np.uint8)

    def tossed() -> Bits:
        entropy = keystream(PROTOCOL, stream=Stream.SAMPLE, block=0)
        return draw_sample(entropy, fraction=FRACTION, rounds=BLOCK_ROUNDS)

    sampling = tossed()
    return {
        "a keystream of draws (the price of a second one)": lambda: draws(
            PROTOCOL, BLOCK_ROUNDS, stream=Stream.SETTINGS, block=0
        ),
        "draw rounds, both keystreams included": lambda: sampler.fill(codes, block=1),
        "tally": lambda: tally(codes, cells=36),
        "sample": tossed,
        "pack": lambda: append_key(
            codes, roles=ROLES, sample=sampling, alice=room[0], bob=room[1], position=0
        ),
    }


def main() -> None:
    """Print the table."""
    millions = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    blocks = max(2, millions * 10**6 // BLOCK_ROUNDS // 2 * 2)
    sampler = attacked_sampler(seed=SEED)
    print(headed(machine()))
    print(f"median (slowest-fastest) of {REPEATS}, blocks of {BLOCK_ROUNDS} rounds")
    for name, step in steps(sampler).items():
        repeated = partial(_times, step, blocks // 4)
        show(f"{name}, one core", rate(repeated, rounds=blocks // 4 * BLOCK_ROUNDS))
    own = 0.0
    for threads in (1, 2):
        work = on_threads(sampler, blocks, threads=threads)
        own = show(f"whole, {threads} thread(s)", rate(work, rounds=blocks * BLOCK_ROUNDS))
    compare_with_aer(own)
    few = max(1, blocks // 10)
    with numpy_only():
        alone = partial(draw_and_pack, sampler, first=0, blocks=few)
        show("whole, NumPy only, one core", rate(alone, rounds=few * BLOCK_ROUNDS))


def compare_with_aer(own: float) -> None:
    """Time the same rounds on Aer and print how many times faster ``own`` is."""
    circuits = attacked_circuits()
    count, pairs = 10**6, 200
    counted = show(
        "Aer, nine circuits, counts and shuffle",
        rate(partial(aer_counts, circuits, count, seed=7), rounds=count),
    )
    single = show(
        "Aer, one circuit a pair", rate(partial(aer_pair_by_pair, circuits, pairs), rounds=pairs)
    )
    print(f"this project on two threads: {own / counted:.0f} x and {own / single:.0f} x")


def _times(step: Callable[[], object], count: int) -> None:
    for _ in range(count):
        step()


if __name__ == "__main__":
    main()
