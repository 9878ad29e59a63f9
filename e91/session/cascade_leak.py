"""What error correction discloses of keys whose bits nobody drew, as Cascade does on real ones.

Once the size of its first blocks is fixed, which the revealed sample decides, what Cascade
discloses of n bits with e errors is n times a smooth function of e / n, and scatters as independent
searches do.  So for each first block size

    ``bits disclosed = a n + b e + c e^2 / n + d sqrt(e) N(0, 1)``

with four numbers that are fitted to runs of the Cascade of this package on random errors in keys of
about the size in question: frames are cut by the key's length, so the numbers hold near that size
only.  For sizes from 2^14 to 2^21, in eighths of a power of two, they lie beside this file in
``cascade_leaks.csv``, which ``python -m benchmarks.cascade_leaks`` writes; the nearest size's give
what a fit for the size itself gives, within 0.5 % of the bits disclosed.  For other sizes they are
measured when they are first needed, in a second or so.
``tests/session/test_cascade_leak.py`` measures rows of the file again, and compares with sessions.
"""

import csv
import math
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from e91.distillation.cascade.reconciler import reconcile_packed
from e91.distillation.cascade.schedule import ERRORS_PER_BLOCK, first_block_sizes
from e91.distillation.cascade.wire_format import SEED_BYTES
from e91.distillation.verification import HASH_BITS
from e91.model.messages import Channel, Party
from e91.model.numbers import Floats, check_whole
from e91.security.policy import Policy, Reconciler
from e91.session.block_counts import BlockCounts, Counts
from e91.session.expectation import RECONCILER_FAILURE
from e91.system.compiled import compiled_code_may_run
from e91.system.workspace import Workspace

_RUNS = 40  # of a fit: its mean then errs by a sixth of what single keys scatter
_RANGE = 1.0  # of error rates, powers of two about the one for which the blocks are made
_FARTHEST = 4.0  # times that rate; beyond, the square of the error rate grows no more
_STEPS = 8  # sizes of keys for which there are numbers, in a factor of two
_SIZES = 2 ** (1 / (2 * _STEPS)) - 1  # of the keys, about such a size, relative: up to the next one


@dataclass(frozen=True, eq=False, repr=False)
class Corrections:
    """What error correction and verification made of n keys.

    Attributes:
        leaked_bits: Key bits in Alice's messages, the hash included; int64, shape (n,).
        keys_differ: Whether an error is left, which the hash finds; bool, shape (n,).

    Examples:
        >>> found = Corrections(np.array([895, 910]), np.array([False, True]))
        >>> found.leaked_bits[~found.keys_differ]
        array([895])
    """

    leaked_bits: Counts
    keys_differ: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.leaked_bits)

    def __repr__(self) -> str:
        return f"Corrections({len(self)} keys, {np.count_nonzero(self.keys_differ)} with errors)"


def draw_corrections(
    rng: np.random.Generator,
    counts: BlockCounts,
    *,
    key_size: int,
    policy: Policy,
    needed: ArrayLike = True,
) -> Corrections:
    """Draw what Cascade and the hash disclose of the keys of blocks, and whether an error is left.

    Blocks are drawn one after the other, as by `draw_counts`.

    Args:
        rng: Chance in the searches.
        counts: Of the blocks; how many hidden errors there are, nature knows.
        key_size: Hidden key bits of a typical block of this kind: Cascade is measured on keys of
            this size.  Blocks should have about as many.
        policy: Must name Cascade, and a key in one portion.
        needed: Which keys are corrected at all; of the others nothing is disclosed, and for them
            nothing is measured.

    Returns:
        Alice's disclosed bits of each key, and whether an error is left; arrays of shape (n,).

    Raises:
        ValueError: The policy names LDPC, portions, or flips of key bits.

    Not promised: keys below 10,000 bits scatter a little less regularly than this, as single checks
    show.  How often an error is left is the 1e-4 that sessions
    declare, which measurements bound but do not pin down (`expectation.RECONCILER_FAILURE`).

    Examples:
        >>> from e91.devices.exact import exact_device
        >>> from e91.model.settings import EKERT
        >>> from e91.session.block_counts import draw_counts
        >>> rng, policy = np.random.default_rng(1), Policy()
        >>> counts = draw_counts(rng, exact_device(visibility=0.97).table, [30_000] * 3,
        ...                      settings=EKERT, policy=policy)
        >>> draw_corrections(rng, counts, key_size=6_000, policy=policy).leaked_bits
        array([897, 911, 693])
    """
    check_whole(least=1, key_size=key_size)
    _check(policy)
    wanted = np.broadcast_to(np.asarray(needed, np.bool_), len(counts))
    rates = np.minimum(0.5, (counts.sample_errors + 1) / (counts.sample_size + 2))  # Laplace's rule
    sizes = first_block_sizes(rates)
    search, failure = rng.standard_normal((len(counts), 2)).T
    leaked = np.zeros(len(counts), np.int64)
    for size in np.unique(sizes[wanted]).tolist():
        rows = wanted & (sizes == size)
        fit = leak_fit(key_size, size)
        found = fit.drawn(counts.key_size[rows], counts.hidden_errors[rows], search[rows])
        leaked[rows] = found + HASH_BITS
    rare = NormalDist().inv_cdf(RECONCILER_FAILURE[Reconciler.CASCADE])
    return Corrections(leaked, wanted & (failure < rare))


def _check(policy: Policy) -> None:
    named = Reconciler(policy.reconciler), policy.portions, policy.flip_probability
    if named != (Reconciler.CASCADE, 1, 0.0):
        raise ValueError(
            "`policy` must name `cascade`, one portion and no flips, but names "
            f"`{named[0].value}`, {named[1]} and {named[2]}."
        )


@dataclass(frozen=True)
class LeakFit:
    """What Cascade discloses of keys of one size, if its first blocks have one size.

    Attributes:
        error_rate: For which these blocks are made.
        per_bit: a, see the module; bits.
        per_error: b.
        per_error_squared: c.
        scatter: d.
    """

    error_rate: float
    per_bit: float
    per_error: float
    per_error_squared: float
    scatter: float

    def drawn(self, bits: Counts, errors: Counts, normal: Floats) -> Counts:
        """Return the bits that Alice discloses of keys.

        Args:
            bits: Their sizes, n; shape (k,).
            errors: Their errors, e; shape (k,).
            normal: Standard normal numbers; shape (k,).
        """
        rates = np.minimum(errors / np.maximum(bits, 1), _FARTHEST * self.error_rate)
        mean = self.per_bit * bits + self.per_error * errors
        mean = mean + self.per_error_squared * bits * rates**2
        drawn: Floats = np.rint(mean + self.scatter * np.sqrt(errors) * normal)
        return np.maximum(0, drawn.astype(np.int64))


def leak_fit(key_size: int, first_block: int) -> LeakFit:
    """Return what runs of Cascade show: the same whenever it is asked.

    Args:
        key_size: Bits of the keys.
        first_block: Bits of a block of the first iteration.
    """
    near = rounded_size(key_size)
    return _kept_fits().get((near, first_block)) or measured_fit(key_size, first_block)


def rounded_size(key_size: int) -> int:
    """Return the size for which there are numbers that is nearest to a key's, by its logarithm.

    Examples:
        >>> rounded_size(364_276), rounded_size(370_728)
        (370728, 370728)
    """
    return round(2 ** (round(_STEPS * math.log2(key_size)) / _STEPS))


@lru_cache(maxsize=1)
def _kept_fits() -> dict[tuple[int, int], LeakFit]:
    """The fits beside this file, by size of the keys and of their first blocks."""
    text = files("e91.session").joinpath("cascade_leaks.csv").read_text("utf-8")
    return {
        (int(size), int(block)): LeakFit(ERRORS_PER_BLOCK / int(block), *map(float, numbers))
        for size, block, *numbers in list(csv.reader(text.splitlines()))[1:]
    }


@lru_cache(maxsize=256)
def measured_fit(key_size: int, first_block: int) -> LeakFit:
    """Fit the numbers to runs of Cascade, which begin from the same seed every time.

    Args:
        key_size: Bits of the keys.
        first_block: Bits of a block of the first iteration.
    """
    rng = np.random.default_rng((key_size, first_block))
    workspace = Workspace(compiled=compiled_code_may_run())
    rate = ERRORS_PER_BLOCK / first_block
    bits = np.rint(key_size * (1 + rng.uniform(-_SIZES, _SIZES, _RUNS))).astype(np.int64)
    rates = np.minimum(0.5, rate * np.exp2(rng.uniform(-_RANGE, _RANGE, _RUNS)))
    errors = np.maximum(1, np.rint(bits * rates)).astype(np.int64)
    disclosed = [
        _disclosed(int(n), int(e), rate, rng, workspace) for n, e in zip(bits, errors, strict=True)
    ]
    weights = 1 / np.sqrt(errors)
    terms = np.stack([bits, errors, errors**2 / bits], axis=1) * weights[:, None]
    seen = np.array(disclosed) * weights
    found, *_ = np.linalg.lstsq(terms, seen, rcond=None)
    rest = seen - terms @ found
    scatter = math.sqrt(float(rest @ rest) / (_RUNS - len(found)))
    per_bit, per_error, per_error_squared = found.tolist()
    return LeakFit(rate, per_bit, per_error, per_error_squared, scatter)


def _disclosed(
    bits: int, errors: int, rate: float, rng: np.random.Generator, workspace: Workspace
) -> int:
    """Return how many bits Alice discloses of one key, which may be 0: parities are linear."""
    wrong = np.zeros(-(-bits // 64) * 64, np.uint8)
    wrong[rng.choice(bits, errors, replace=False)] = 1
    bob = np.packbits(wrong, bitorder="little").view("<u8").astype(np.uint64)
    channel = Channel()
    reconcile_packed(
        np.zeros_like(bob),
        bob,
        bits=bits,
        error_rate=min(0.5, rate),
        permutation_seed=rng.bytes(SEED_BYTES),
        channel=channel,
        workspace=workspace,
    )
    return channel.disclosed_by(Party.ALICE)
