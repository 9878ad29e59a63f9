"""The stages that ``python -m benchmarks`` times, and the peers beside which it times them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks.aer_alone import aer_counts, aer_pair_by_pair, attacked_circuits, attacked_sampler
from benchmarks.machine import whole_process
from benchmarks.peers import (
    belief_propagation,
    faster,
    one_piece,
    randextract,
    tno_cascade,
)
from benchmarks.timing import Peer, Stage, Work, over_processes, shared_out
from benchmarks.work import (
    ERROR_RATE,
    SEED,
    best_settings,
    draw_and_pack,
    drawn_share,
    noisy_keys,
    numpy_only,
    reconciled_share,
    run_whole,
)
from e91.distillation.amplification.hashing import toeplitz_hash, toeplitz_hash_packed
from e91.model.bits import Bits
from e91.model.settings import EKERT
from e91.security.policy import Policy
from e91.session.streaming import BLOCK_ROUNDS as SESSION_ROUNDS
from e91.system.cell_draws import BLOCK_ROUNDS
from e91.system.processes import worker_processes

REPEATS = 8
"""Keys that a thread or process takes one after the other: starting it is no part of the work."""

FASTEST_LINK = 115.8e6
"""Secret bits a second of the fastest link published: Li et al., Nat. Photonics 17, 416 (2023)."""


@dataclass(frozen=True)
class Effort:
    """How much of everything is timed.

    Attributes:
        blocks: Blocks of 2**18 rounds that are drawn, a tenth of it with NumPy alone.
        aer_rounds: Rounds of the nine Aer circuits.
        pairs: Pairs with an Aer circuit each.
        key_bits: Length of the keys that Cascade reconciles.
        peer_key_bits: Length of the keys that its peers reconcile.
        hash_bits: Length of the hashed keys.
        sessions: Blocks of the whole run with uniform settings.
        session_rounds: Rounds of each.
        long_rounds: Rounds of the whole run with the best settings.
        process_rounds: Rounds of the small session.
        repeats: Calls of everything that count.
    """

    blocks: int
    aer_rounds: int
    pairs: int
    key_bits: int
    peer_key_bits: int
    hash_bits: int
    sessions: int
    session_rounds: int
    long_rounds: int
    process_rounds: int
    repeats: int


FULL = Effort(800, 10**6, 500, 2**22, 2**18, 10**6, 64, SESSION_ROUNDS, 2**28, 10**6, 5)
QUICK = Effort(200, 10**6, 200, 2**20, 2**16, 10**6, 8, SESSION_ROUNDS, 2**26, 10**6, 3)


def stages(effort: Effort, *, threads: int) -> Iterator[Stage]:
    """Yield the stages, in the order of a session.

    Args:
        effort: How much of everything.
        threads: Processes or threads of our stages, from 1.  A peer is timed on one thread and on
            as many, and the faster counts; those that hold Python's lock gain nothing by threads,
            and at most as many times by processes.

    Examples:
        >>> [stage.unit for stage in stages(QUICK, threads=2)]
        ['round', 'round', 'bit', 'bit', 'round', 'secret bit', 'round']
    """
    yield drawn_rounds(effort, threads=threads)
    yield drawn_rounds_by_numpy(effort)
    yield reconciliation(effort, threads=threads)
    yield amplification(effort, threads=threads)
    yield uniform_run(effort, threads=threads)
    yield best_run(effort, threads=threads)
    yield small_session(effort)


def drawn_rounds(effort: Effort, *, threads: int) -> Stage:
    """Return the stage that draws, tallies, sifts and packs rounds of a noisy, attacked link."""
    share = max(1, effort.blocks // threads)

    def prepare() -> Work:
        work = partial(drawn_share, sampler=attacked_sampler(seed=SEED), blocks=share)
        return over_processes(work, processes=threads)

    def counts() -> Work:
        circuits, rounds = attacked_circuits(), effort.aer_rounds
        return faster(
            lambda thread: len(aer_counts(circuits, rounds, seed=thread)), threads=threads
        )

    def pair_by_pair() -> Work:
        circuits = attacked_circuits()
        return faster(lambda _: aer_pair_by_pair(circuits, effort.pairs), threads=threads)

    peers = (
        Peer("Aer, nine circuits, counts and shuffle", counts),
        Peer("Aer, one circuit a pair", pair_by_pair),
    )
    size = f"{share * threads * BLOCK_ROUNDS:,}"
    name = f"draw, tally, sift, pack; {_count(threads, 'process', 'es')}"
    return Stage(name, size, "round", prepare, peers, effort.repeats)


def drawn_rounds_by_numpy(effort: Effort) -> Stage:
    """Return the same stage without compiled code, on one thread."""
    blocks = max(1, effort.blocks // 10)

    def prepare() -> Work:
        sampler = attacked_sampler(seed=SEED)

        def work() -> int:
            with numpy_only():
                return draw_and_pack(sampler, first=0, blocks=blocks)

        return work

    size = f"{blocks * BLOCK_ROUNDS:,}"
    name = "the same, NumPy only; 1 thread"
    return Stage(name, size, "round", prepare, (), effort.repeats)


def reconciliation(effort: Effort, *, threads: int) -> Stage:
    """Return the stage in which both parties run Cascade on keys that differ in 2 %."""

    def prepare() -> Work:
        work = partial(reconciled_share, bits=effort.key_bits, times=REPEATS)
        return over_processes(work, processes=threads)

    def peer(reconcile: Callable[..., int]) -> Work:
        keys = [noisy_keys(effort.peer_key_bits, seed=thread) for thread in range(threads)]
        return faster(
            lambda thread: reconcile(*keys[thread], error_rate=ERROR_RATE), threads=threads
        )

    peers = (
        Peer("ldpc, BpDecoder, 5G codes", partial(peer, belief_propagation)),
        Peer("TNO qkd_key_rate, Cascade", partial(peer, tno_cascade)),
    )
    size = f"{threads} x {REPEATS} keys of {effort.key_bits:,} bits"
    name = f"Cascade, QBER 2 %, both parties; {_count(threads, 'process', 'es')}"
    return Stage(name, size, "bit", prepare, peers, effort.repeats)


def amplification(effort: Effort, *, threads: int) -> Stage:
    """Return the stage that hashes keys to a quarter; the peers must give the same bits."""
    count, length = effort.hash_bits, effort.hash_bits // 4
    generator = np.random.default_rng(SEED)
    bits = generator.integers(0, 2, count, np.uint8)
    seed = generator.integers(0, 2, count + length - 1, np.uint8)
    key, packed_seed = np.packbits(bits), np.packbits(seed)

    def own(_: int) -> int:
        for _again in range(REPEATS):
            toeplitz_hash_packed(key, count, length=length, seed=packed_seed)
        return REPEATS * count

    def checked(prepare: Callable[[], Callable[[], Bits]]) -> Work:
        call = prepare()
        if not np.array_equal(call(), toeplitz_hash(bits, length, seed)):
            raise RuntimeError("All routes must give the same bits, but one does not.")

        def work(_: int) -> int:
            call()
            return count

        return faster(work, threads=threads)

    peers = (
        Peer("randextract", partial(checked, lambda: randextract(bits, length, seed))),
        Peer("SciPy, one FFT", partial(checked, lambda: partial(one_piece, bits, length, seed))),
    )
    name = f"Toeplitz hash to a quarter, one party; {_threads(threads)}"
    work = partial(shared_out, own, threads=threads)
    size = f"{threads} x {REPEATS} keys of {count:,} bits"
    return Stage(name, size, "bit", work, peers, effort.repeats)


def uniform_run(effort: Effort, *, threads: int) -> Stage:
    """Return the whole protocol, Ekert's settings chosen uniformly, in rounds."""
    rounds = effort.sessions * effort.session_rounds

    def prepare() -> Work:
        run = partial(
            run_whole,
            settings=EKERT,
            policy=Policy(),
            rounds=rounds,
            block_rounds=effort.session_rounds,
            threads=threads,
            executor=_processes(threads),
        )
        return lambda: rounds if run() else 0

    name = f"whole run, Ekert, uniform; {_count(threads, 'process', 'es')}"
    return Stage(name, f"{rounds:,} rounds", "round", prepare, (), effort.repeats)


def best_run(effort: Effort, *, threads: int) -> Stage:
    """Return the whole protocol with the best choice probabilities, in secret bits."""
    rounds = effort.long_rounds

    def prepare() -> Work:
        plan = best_settings(rounds, threads=threads)
        return partial(
            run_whole,
            settings=plan.settings,
            policy=plan.policy,
            rounds=rounds,
            block_rounds=plan.block_rounds,
            threads=threads,
            executor=_processes(threads),
        )

    peers = (Peer("fastest QKD link, Li et al. 2023", published=FASTEST_LINK),)
    name = f"whole run, best settings, QBER 2 %; {_count(threads, 'process', 'es')}"
    return Stage(name, f"{rounds:,} rounds", "secret bit", prepare, peers, effort.repeats)


def small_session(effort: Effort) -> Stage:
    """Return ``e91 run --device exact`` as a process of its own, interpreter and all."""
    rounds = effort.process_rounds
    command = ["-m", "e91", "run", "--device", "exact", "--json", "--rounds", str(rounds)]

    def work() -> int:
        whole_process(command)
        return rounds

    name = "`e91 run --device exact`, a process"
    return Stage(name, f"{rounds:,} rounds", "round", lambda: work, (), effort.repeats)


def _processes(count: int) -> Executor | None:
    """Return worker processes, which end with the work; one alone is this process."""
    return worker_processes(count) if count > 1 else None


def _threads(count: int) -> str:
    return _count(count, "thread", "s")


def _count(count: int, noun: str, plural: str) -> str:
    return f"{count} {noun}{plural if count > 1 else ''}"
