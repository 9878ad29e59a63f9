"""Our side of the benchmark: the package's own functions, with their arguments prepared."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from functools import lru_cache

import numpy as np

from benchmarks.aer_alone import SETTINGS
from e91.devices.exact import exact_device
from e91.distillation.cascade.reconciler import reconcile
from e91.distillation.cascade.wire_format import SEED_BYTES
from e91.distillation.sifting.choices import RoundSampler
from e91.distillation.sifting.packing import append_key, draw_sample, key_roles, tally
from e91.model.messages import Channel
from e91.model.portion_sizes import PORTIONS
from e91.model.records import SiftedKey
from e91.model.settings import EKERT, Settings
from e91.security.policy import Policy
from e91.session.planning import Link, SessionPlan, best_plan
from e91.session.streaming import stream
from e91.system.cell_draws import BLOCK_ROUNDS
from e91.system.compiled import compiled_code_may_run
from e91.system.workspace import Workspace

ERROR_RATE = 0.02  # of every key here: a Werner visibility of 0.96
VISIBILITY = 1 - 2 * ERROR_RATE
LONGEST_SESSION = 2**24  # rounds, with the best settings; twice as many give 4 % more key
PORTION_ROUNDS = 500_000  # of a portion, at least: some half a million bits are cheap to hash
FRACTION = 0.1  # of the key rounds, revealed
SEED = 20261123
LINK = Link(2 * 2**0.5 * VISIBILITY, ERROR_RATE, efficiency=1.04)


def draw_and_pack(sampler: RoundSampler, *, first: int, blocks: int) -> int:
    """Draw, tally and pack ``blocks`` blocks of 2**18 rounds; return the number of rounds.

    Examples:
        >>> from benchmarks.aer_alone import attacked_sampler
        >>> draw_and_pack(attacked_sampler(seed=1), first=3, blocks=1)
        262144
    """
    codes, roles = np.empty(BLOCK_ROUNDS, np.uint8), key_roles(SETTINGS)
    alice, bob = np.zeros(BLOCK_ROUNDS // 8, np.uint8), np.zeros(BLOCK_ROUNDS // 8, np.uint8)
    cells = int(np.prod(sampler.shape))
    counts = np.zeros(cells, np.int64)
    for block in range(first, first + blocks):
        sampler.fill(codes, block=block)
        counts += tally(codes, cells=cells)
        sample = draw_sample(sampler.sample_entropy(block), fraction=FRACTION, rounds=BLOCK_ROUNDS)
        append_key(codes, roles=roles, sample=sample, alice=alice, bob=bob, position=0)
    return int(counts.sum())


def drawn_share(number: int, *, sampler: RoundSampler, blocks: int) -> int:
    """Draw the ``number``-th share of blocks as `draw_and_pack` does; return the rounds.

    Examples:
        >>> from benchmarks.aer_alone import attacked_sampler
        >>> drawn_share(3, sampler=attacked_sampler(seed=1), blocks=1)
        262144
    """
    return draw_and_pack(sampler, first=number * blocks, blocks=blocks)


@lru_cache(maxsize=4)
def noisy_keys(bits: int, *, seed: int) -> tuple[SiftedKey, SiftedKey]:
    """Return two keys that differ in each bit with probability 2 %.

    Examples:
        >>> alice, bob = noisy_keys(10_000, seed=1)
        >>> 100 < int(np.count_nonzero(alice.bits != bob.bits)) < 320
        True
    """
    generator = np.random.default_rng((SEED, seed))
    alice = generator.integers(0, 2, bits, np.uint8)
    errors = (generator.random(bits, np.float32) < ERROR_RATE).astype(np.uint8)
    return SiftedKey(alice), SiftedKey(alice ^ errors)


def reconciled(alice: SiftedKey, bob: SiftedKey, seed: int, workspace: Workspace) -> int:
    """Run Cascade between the parties; return the number of bits of a key.

    Messages are written, sent and counted, but not kept: in a long run they go to running tags.
    """
    reconcile(
        alice,
        bob,
        error_rate=ERROR_RATE,
        permutation_seed=np.random.default_rng(seed).bytes(SEED_BYTES),
        channel=Channel(listener=lambda _party, _message: None),
        workspace=workspace,
    )
    return len(alice)


def reconciled_share(number: int, *, bits: int, times: int) -> int:
    """Reconcile the ``number``-th pair of keys ``times`` times; return the bits of all.

    The keys are made at the first call.

    Examples:
        >>> reconciled_share(1, bits=10_000, times=2)
        20000
    """
    keys, workspace = noisy_keys(bits, seed=number), Workspace(compiled=compiled_code_may_run())
    return sum(reconciled(*keys, number * times + turn, workspace) for turn in range(times))


def best_settings(rounds: int, *, threads: int = 2) -> SessionPlan:
    """Return the plan of the fastest key of a run at QBER 2 %, with Ekert's angles.

    Sessions are long, for the sake of what is known of S, but as many for every thread; their keys
    are dealt into portions that are cheap to hash.

    Examples:
        >>> plan = best_settings(2**24)
        >>> plan.blocks, plan.settings.key_probability > 0.5, plan.policy.portions
        (2, True, 16)
    """
    turns = -(-rounds // (threads * LONGEST_SESSION))
    block_rounds = -(-rounds // (threads * turns))
    portions = max(k for k in PORTIONS if k == 1 or k * PORTION_ROUNDS <= block_rounds)
    policy = Policy(portions=portions)
    return best_plan(LINK, rounds, settings=EKERT, policy=policy, largest_block=block_rounds)


def run_whole(
    *,
    settings: Settings,
    policy: Policy,
    rounds: int,
    block_rounds: int,
    threads: int,
    executor: Executor | None = None,
) -> int:
    """Run both parties through all stages, block after block; return the secret bits made.

    Examples:
        >>> run_whole(settings=EKERT, policy=Policy(), rounds=2**18, block_rounds=2**18,
        ...           threads=1) > 1_000
        True
    """
    reports = stream(
        exact_device(settings=settings, visibility=VISIBILITY),
        rounds=rounds,
        settings=settings,
        policy=policy,
        block_rounds=block_rounds,
        threads=threads,
        executor=executor,
    )
    return sum(report.secret_bits for report in reports)


@contextmanager
def numpy_only() -> Iterator[None]:
    """Let the stages do as on a machine without numba; they ask the environment at every call."""
    before = os.environ.get("NUMBA_DISABLE_JIT")
    os.environ["NUMBA_DISABLE_JIT"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["NUMBA_DISABLE_JIT"]
        else:
            os.environ["NUMBA_DISABLE_JIT"] = before
