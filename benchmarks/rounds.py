"""Rounds a second, drawn, tallied and packed: ``python benchmarks/rounds.py [MILLIONS]``.

Every figure is the median of 7 runs (slowest-fastest) of MILLIONS million rounds (200 by default; a
tenth of it without numba): first each step on one core, then the whole on one and two threads, then
the whole with NumPy alone, then the same rounds by Qiskit Aer, in the same run: nine circuits with
counts dealt out and shuffled, and one circuit a pair.  Ekert's settings, uniform; the device is
noisy and attacked.  The cost of two separate keystreams is stated as the time of the second.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from threading import Thread

import numpy as np
from e91_circuits import intercept_resend
from qiskit import QuantumCircuit
from qiskit_aer import AerSimulator

from e91.devices.exact import exact_device
from e91.devices.keystreams import Stream, draws, keystream, seeded_key
from e91.devices.rounds import BLOCK_ROUNDS, RoundSampler, round_sampler
from e91.devices.source import noisy_pair, pair_circuits
from e91.distillation.coins import draw_coins
from e91.distillation.packing import append_key, key_roles, tally
from e91.model.settings import EKERT

REPEATS = 7
FRACTION = 0.1
VISIBILITY, DEPHASING = 0.97, 0.01
ATTACK = partial(intercept_resend, fraction=0.05, basis="random")
ROLES = key_roles(EKERT)
PHYSICS, PROTOCOL = seeded_key(1, purpose="physics"), seeded_key(1, purpose="protocol")


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


def whole(sampler: RoundSampler, first: int, blocks: int) -> int:
    """Draw, tally and pack ``blocks`` blocks; return the number of key bits."""
    codes = np.empty(BLOCK_ROUNDS, np.uint8)
    alice, bob = np.zeros(BLOCK_ROUNDS // 8, np.uint8), np.zeros(BLOCK_ROUNDS // 8, np.uint8)
    counts, bits = np.zeros(36, np.int64), 0
    for block in range(first, first + blocks):
        sampler.fill(codes, block=block)
        counts += tally(codes, cells=36)
        entropy = keystream(PROTOCOL, stream=Stream.COINS, block=block)
        coins = draw_coins(entropy, fraction=FRACTION, rounds=BLOCK_ROUNDS)
        bits += append_key(
            codes, roles=ROLES, coins=coins, alice=alice, bob=bob, position=0
        ).position
    return bits


def on_threads(sampler: RoundSampler, blocks: int, *, threads: int) -> None:
    """Share the blocks out to threads."""
    share = blocks // threads
    workers = [Thread(target=whole, args=(sampler, i * share, share)) for i in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def steps(sampler: RoundSampler) -> dict[str, Callable[[], object]]:
    """Return each step as a function of one block."""
    codes = np.empty(BLOCK_ROUNDS, np.uint8)
    sampler.fill(codes, block=0)
    room = np.zeros(BLOCK_ROUNDS // 8, np.uint8), np.zeros(BLOCK_ROUNDS // 8, np.uint8)

    def tossed() -> np.ndarray:
        entropy = keystream(PROTOCOL, stream=Stream.COINS, block=0)
        return draw_coins(entropy, fraction=FRACTION, rounds=BLOCK_ROUNDS)

    coins = tossed()
    return {
        "a keystream of draws (the price of a second one)": lambda: draws(
            PROTOCOL, BLOCK_ROUNDS, stream=Stream.SETTINGS, block=0
        ),
        "draw rounds, both keystreams included": lambda: sampler.fill(codes, block=1),
        "tally": lambda: tally(codes, cells=36),
        "coins": tossed,
        "pack": lambda: append_key(
            codes, roles=ROLES, coins=coins, alice=room[0], bob=room[1], position=0
        ),
    }


def aer_counts(circuits: list[QuantumCircuit], rounds: int, *, seed: int) -> np.ndarray:
    """Run nine circuits, deal their counts out to rounds and shuffle these."""
    generator = np.random.default_rng(seed)
    split = generator.multinomial(rounds, np.full(9, 1 / 9))
    simulator = AerSimulator(method="density_matrix")
    codes = []
    for pair, (circuit, shots) in enumerate(zip(circuits, split, strict=True)):
        counts = simulator.run(circuit, shots=int(shots), seed_simulator=seed + pair).result()
        for outcome, number in counts.get_counts().items():
            codes.append(np.full(number, 4 * pair + int(outcome.replace(" ", ""), 2), np.uint8))
    rows = np.concatenate(codes)
    generator.shuffle(rows)
    return rows


def aer_pair_by_pair(circuits: list[QuantumCircuit], rounds: int) -> None:
    """Run one circuit with one shot for every round."""
    simulator = AerSimulator(method="density_matrix")
    for place in range(rounds):
        simulator.run(circuits[place % 9].copy(), shots=1).result().get_counts()


def state_machine() -> None:
    """Print what the figures were measured on."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    names = ("numpy", "numba", "cryptography", "qiskit", "qiskit-aer")
    packages = ", ".join(f"{name} {version(name)}" for name in names)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"{packages}; commit {commit or 'unknown'}; load {load:.2f} at the start")
    print(f"median (slowest-fastest) of {REPEATS}, blocks of {BLOCK_ROUNDS} rounds")


def main() -> None:
    """Print the table."""
    millions = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    blocks = max(2, millions * 10**6 // BLOCK_ROUNDS // 2 * 2)
    table = exact_device(visibility=VISIBILITY, dephasing=DEPHASING, attack=ATTACK).table
    sampler = round_sampler(table, settings=EKERT, physics_key=PHYSICS, protocol_key=PROTOCOL)
    state_machine()
    for name, step in steps(sampler).items():
        repeated = partial(_times, step, blocks // 4)
        show(f"{name}, one core", rate(repeated, rounds=blocks // 4 * BLOCK_ROUNDS))
    ours = 0.0
    for threads in (1, 2):
        work = partial(on_threads, sampler, blocks, threads=threads)
        ours = show(f"whole, {threads} thread(s)", rate(work, rounds=blocks * BLOCK_ROUNDS))
    compare_with_aer(ours)
    os.environ["NUMBA_DISABLE_JIT"] = "1"  # read at every call: what a machine without numba does
    few = max(1, blocks // 10)
    alone = partial(whole, sampler, 0, few)
    show("whole, NumPy only, one core", rate(alone, rounds=few * BLOCK_ROUNDS))


def compare_with_aer(ours: float) -> None:
    """Time the same rounds on Aer and print how many times faster ``ours`` is."""
    source = noisy_pair(visibility=VISIBILITY, dephasing=DEPHASING, attack=ATTACK)
    rows = pair_circuits(source, settings=EKERT)
    circuits = [circuit for row in rows for circuit in row]
    count, pairs = 10**6, 200
    counted = show(
        "Aer, nine circuits, counts and shuffle",
        rate(partial(aer_counts, circuits, count, seed=7), rounds=count),
    )
    single = show(
        "Aer, one circuit a pair", rate(partial(aer_pair_by_pair, circuits, pairs), rounds=pairs)
    )
    print(f"ours on two threads: {ours / counted:.0f} x and {ours / single:.0f} x")


def _times(step: Callable[[], object], count: int) -> None:
    for _ in range(count):
        step()


if __name__ == "__main__":
    main()
