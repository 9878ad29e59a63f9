"""The verdicts of many blocks at once: what the sessions of these counts would conclude.

The same decisions as `e91.session.verdict` and the same bits, on every block.  Arrays differ from
the scalar code in the last digits of floating-point numbers, so whatever these could decide, and
whatever a cheap test leaves open, goes to the scalar code, block by block; so do policies that no
array covers.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from e91.bell.bounds_of_blocks import chsh_lower_bounds, phase_error_bounds
from e91.bell.sufficient import no_signalling_surely_passes, settings_surely_pass
from e91.distillation.authentication import AUTHENTICATION_BITS
from e91.model.errors import Abort
from e91.model.evidence import Evidence
from e91.model.numbers import Floats
from e91.model.records import Leak
from e91.model.settings import Settings
from e91.security.policy import Policy
from e91.security.secret_length import split
from e91.security.theorems import Theorem
from e91.session.block_counts import BlockCounts, Counts
from e91.session.cascade_leak import draw_corrections
from e91.session.inversion import ERROR_RATE_IF_INVERTED
from e91.session.verdict import FALSE_ALARM, Verdict, chsh_pairs_by_setting, judge, verdict_of

Flags = NDArray[np.bool_]

ABORTS: tuple[Abort | None, ...] = (None, *Abort)
"""What the numbers in `Verdicts.aborts` mean: 0 is a key."""

_CODE = {abort: code for code, abort in enumerate(ABORTS)}

# Within these of an edge the last digits of a float may decide.  A bound on S is known to 1e-14,
# a length to 1e-14 of the rounds, as h turns one phase error into a few bits.
_CLOSE = 1e-9
_CLOSE_BITS, _CLOSE_BITS_PER_ROUND = 1e-6, 1e-12


@dataclass(frozen=True, eq=False, repr=False)
class Verdicts:
    """What the sessions of n blocks conclude.

    Attributes:
        aborts: Index in `ABORTS` of why there is no key, 0 if there is one; int8, shape (n,).
        length_bits: `SecretLength.bits` of the verdict, 0 without a length; int64, shape (n,).
        chsh: S; NaN if a pair never occurred; float64, shape (n,).
        chsh_lower_bound: S is at least this, except with the policy's epsilon; NaN where a test
            refuted what the bound rests on; float64, shape (n,).
        error_rate: QBER of the sample; NaN if nothing was revealed; float64, shape (n,).
        leaked_bits: Key bits in Alice's messages; 0 where the first verdict refused the block, so
            that nothing was corrected; int64, shape (n,).
        by_scalar_code: How many blocks the scalar code decided.

    Examples:
        >>> from e91.devices.exact import exact_device
        >>> from e91.model.settings import EKERT
        >>> from e91.session.block_counts import draw_counts
        >>> counts = draw_counts(np.random.default_rng(1), exact_device(visibility=0.6).table,
        ...                      [100_000] * 2, settings=EKERT, policy=Policy())
        >>> found = judge_many(counts, [0, 0], settings=EKERT, policy=Policy())
        >>> found.released, found.secret_bits, found.abort(1).name
        (array([False, False]), array([0, 0]), 'NO_VIOLATION')
    """

    aborts: NDArray[np.int8]
    length_bits: Counts
    chsh: Floats
    chsh_lower_bound: Floats
    error_rate: Floats
    leaked_bits: Counts
    by_scalar_code: int

    def __len__(self) -> int:
        return len(self.aborts)

    def __repr__(self) -> str:
        return f"Verdicts({len(self)} blocks, {np.count_nonzero(self.released)} released)"

    @property
    def released(self) -> Flags:
        """Which blocks make a key; shape (n,)."""
        released: Flags = self.aborts == 0
        return released

    @property
    def secret_bits(self) -> Counts:
        """Net key of each block as reports say it, authentication paid for; shape (n,)."""
        return np.where(self.released, self.length_bits - AUTHENTICATION_BITS, 0)

    def abort(self, block: int) -> Abort | None:
        """Return why a block has no key, or None if it has one.

        Args:
            block: Number of the block, from 0.
        """
        return ABORTS[int(self.aborts[block])]


def conclude_many(
    rng: np.random.Generator,
    counts: BlockCounts,
    *,
    key_size: int,
    settings: Settings,
    policy: Policy,
) -> Verdicts:
    """Return what the sessions of these counts conclude, with Cascade drawn where it would run.

    Blocks are drawn one after the other, so that calls of any length give the same verdicts.

    Args:
        rng: Chance in error correction; of a stream of its own.
        counts: Of the blocks, of one kind of link.
        key_size: Hidden key bits of a typical block of that kind.
        settings: Which pairs made the counts, with their probabilities.
        policy: As for `judge_many`; with Cascade, the key in one portion and no flips.

    Returns:
        The abort, length and disclosed bits of each block, arrays of shape (n,).

    Raises:
        ValueError: The policy is another, or the theorem does not fit the settings.

    Examples:
        >>> from e91.devices.exact import exact_device
        >>> from e91.model.settings import EKERT
        >>> from e91.session.block_counts import draw_counts
        >>> counts = draw_counts(np.random.default_rng(1), exact_device(visibility=0.97).table,
        ...                      [100_000] * 3, settings=EKERT, policy=Policy())
        >>> conclude_many(np.random.default_rng(2), counts, key_size=20_000, settings=EKERT,
        ...               policy=Policy()).secret_bits
        array([9417, 9362, 9742])
    """
    first = judge_many(counts, 0, settings=settings, policy=policy)
    corrected = draw_corrections(
        rng, counts, key_size=key_size, policy=policy, needed=first.released
    )
    return judge_many(
        counts,
        corrected.leaked_bits,
        settings=settings,
        policy=policy,
        keys_differ=corrected.keys_differ,
    )


def judge_many(
    counts: BlockCounts,
    leaked_bits: ArrayLike,
    *,
    settings: Settings,
    policy: Policy,
    bob_leaked_bits: ArrayLike | None = None,
    keys_differ: ArrayLike = False,
) -> Verdicts:
    """Return what the session of each block concludes: a first verdict, correction, a second.

    Abort and bits are those of a session (`e91.session.run`) with these counts and this leak.  A
    block that the first verdict refuses is not corrected, so its leak does not count.

    Args:
        counts: Of the blocks.
        leaked_bits: Key bits in Alice's messages of error correction and verification; whole, from
            0, for all blocks or one a block.
        settings: Which pairs made the counts, with their probabilities.
        policy: Theorem and epsilon.  In arrays: ``phase-errors``, the key in one portion.  All
            others take the time of `judge`.
        bob_leaked_bits: Bob's, which count without trust in the devices; as many as Alice's, which
            is what Cascade's answers are at most, if None.
        keys_differ: Whether error correction left an error, which verification finds.

    Returns:
        The abort, length and disclosed bits of each block, arrays of shape (n,).

    Raises:
        ValueError: The theorem does not fit the settings.

    Examples:
        >>> from e91.devices.exact import exact_device
        >>> from e91.model.settings import EKERT
        >>> from e91.session.block_counts import draw_counts
        >>> counts = draw_counts(np.random.default_rng(1), exact_device(visibility=0.97).table,
        ...                      [100_000, 1_000_000, 1_000], settings=EKERT, policy=Policy())
        >>> found = judge_many(counts, [2_400, 24_000, 30], settings=EKERT, policy=Policy())
        >>> found.secret_bits, found.abort(2).name
        (array([  9611, 133437,      0]), 'NO_VIOLATION')
    """
    alice = _whole("leaked_bits", leaked_bits, len(counts))
    bob = (
        alice if bob_leaked_bits is None else _whole("bob_leaked_bits", bob_leaked_bits, len(alice))
    )
    differ = np.broadcast_to(np.asarray(keys_differ, np.bool_), len(counts))
    if policy.proof is Theorem.PHASE_ERRORS and policy.portions == 1:
        found, certain = _judged(counts, alice, differ, settings=settings, policy=policy)
    else:
        found, certain = _unjudged(len(counts)), np.zeros(len(counts), np.bool_)
    rows = np.flatnonzero(~certain).tolist()
    for i in rows:
        leak = Leak(int(alice[i]), int(bob[i]))
        evidence, differs = counts.evidence(i), bool(differ[i])
        verdict, leaked = _concluded(evidence, leak, differs, settings=settings, policy=policy)
        _write(verdict, found, i)
        found.leaked_bits[i] = leaked
    return replace(found, by_scalar_code=len(rows))


def _whole(name: str, values: ArrayLike, blocks: int) -> Counts:
    given = np.asarray(values)
    if not np.issubdtype(given.dtype, np.integer) or (given < 0).any():
        raise ValueError(
            f"`{name}` must be whole numbers from 0, but is of {given.dtype}, from "
            f"{given.min(initial=0)}."
        )
    return np.broadcast_to(given.astype(np.int64), blocks)


def _concluded(
    evidence: Evidence, leak: Leak, differ: bool, *, settings: Settings, policy: Policy
) -> tuple[Verdict, int]:
    """Return the last verdict of a session, as `e91.session.protocol.conclude` reaches it.

    And what Alice had disclosed by then.
    """
    verdict = judge(evidence, settings=settings, policy=policy)
    if verdict.abort is not None:
        return verdict, 0
    verdict = verdict_of(evidence, settings=settings, policy=policy, leak=leak)
    if differ:
        verdict = replace(verdict, abort=Abort.KEYS_DIFFER)
    return verdict, leak.alice


def _write(verdict: Verdict, found: Verdicts, block: int) -> None:
    """Write what the scalar code concludes of a block."""
    found.aborts[block] = _CODE[verdict.abort]
    found.length_bits[block] = verdict.length.bits if verdict.length else 0
    for column, value in (
        (found.chsh, verdict.chsh.value),
        (found.chsh_lower_bound, verdict.chsh.lower_bound),
        (found.error_rate, verdict.evidence.error_rate),
    ):
        column[block] = math.nan if value is None else value


def _unjudged(blocks: int) -> Verdicts:
    aborts, (bits, leaked) = np.zeros(blocks, np.int8), np.zeros((2, blocks), np.int64)
    chsh, bound, error_rate = np.zeros((3, blocks))
    return Verdicts(aborts, bits, chsh, bound, error_rate, leaked, by_scalar_code=0)


def _judged(
    counts: BlockCounts, leaked: Counts, differ: Flags, *, settings: Settings, policy: Policy
) -> tuple[Verdicts, Flags]:
    """Return the verdicts in arrays, and where floating-point numbers cannot err."""
    with np.errstate(divide="ignore", invalid="ignore"):
        wins, losses = counts.wins, counts.losses
        value = ((wins - losses) / (wins + losses)).sum(axis=1)
        error_rate = counts.sample_errors / counts.sample_size
    bound = chsh_lower_bounds(wins, losses, settings=settings, epsilon=policy.epsilon)
    exact = _entropies(counts, settings=settings, policy=policy)
    before = np.floor(exact).astype(np.int64)
    few = np.isnan(value) | np.isnan(error_rate) | (counts.key_size == 0)
    kinds = {
        Abort.TOO_FEW_ROUNDS: few,
        Abort.OUTCOMES_INVERTED: (value <= -2) & (error_rate > ERROR_RATE_IF_INVERTED),
        Abort.NO_VIOLATION: ~(bound > 2),
    }
    first = np.select(list(kinds.values()), [_CODE[abort] for abort in kinds], 0)
    nothing, differing = _CODE[Abort.NO_SECRET_LEFT], _CODE[Abort.KEYS_DIFFER]
    first[(first == 0) & (before <= AUTHENTICATION_BITS)] = nothing
    leaked = np.where(first == 0, leaked, 0)
    bits = np.where(few, 0, np.maximum(0, before - leaked))
    second = np.where((first == 0) & (bits <= AUTHENTICATION_BITS), nothing, first)
    second[(first == 0) & differ] = differing
    certain = (few | _is_far_from_edges(counts, exact, bound, value)) & _surely_fits(
        counts, settings
    )
    bound = np.where(first == _CODE[Abort.OUTCOMES_INVERTED], math.nan, bound)
    found = Verdicts(second.astype(np.int8), bits, value, bound, error_rate, leaked, 0)
    return found, certain


def _entropies(counts: BlockCounts, *, settings: Settings, policy: Policy) -> Floats:
    """Return the length that `trusted_analysers_length` gives before anything leaks, unrounded."""
    budget, size = split(policy.epsilon), counts.key_size
    errors = phase_error_bounds(
        counts.wins,
        counts.losses,
        counts.totals,
        settings=settings,
        revealed_fraction=policy.revealed_fraction,
        epsilon=budget.estimation**2,
    )
    rates = errors / np.maximum(size, 1)
    inner = np.clip(rates, 1e-300, 0.5)
    entropies = -inner * np.log2(inner) - (1 - inner) * np.log1p(-inner) / math.log(2)
    unknown = np.where(rates >= 0.5, 1.0, entropies)
    lengths: Floats = size * (1 - unknown) + 2 * math.log2(2 * budget.amplification)
    return lengths


def _is_far_from_edges(counts: BlockCounts, bits: Floats, bound: Floats, value: Floats) -> Flags:
    """Return where neither a length, nor S or its bound, lies near what decides."""
    rounds = counts.pair_counts.sum(axis=(1, 2))
    near = _CLOSE_BITS + _CLOSE_BITS_PER_ROUND * rounds
    far: Flags = np.abs(bits - np.rint(bits)) > near
    return far & (np.abs(bound - 2) > _CLOSE) & (np.abs(value + 2) > _CLOSE)


def _surely_fits(counts: BlockCounts, settings: Settings) -> Flags:
    """Return where `refuted_premise` surely finds nothing."""
    declared = np.outer(settings.alice_probabilities, settings.bob_probabilities)
    fits = settings_surely_pass(counts.pair_counts, probabilities=declared, level=FALSE_ALARM)
    places = chsh_pairs_by_setting(settings)
    table = counts.tests[:, places].reshape(-1, 2, 2, 2, 2)
    return fits & no_signalling_surely_passes(table, level=FALSE_ALARM)
