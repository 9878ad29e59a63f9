"""The public counts of many blocks, in arrays, and how they are drawn without drawing rounds.

The rounds of a memoryless device are independent and alike, so how often each kind of round occurs
in a block is one multinomial variable, whatever the number of rounds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from e91.model.evidence import Evidence, KeySample
from e91.model.numbers import Floats
from e91.model.settings import Settings
from e91.security.policy import Policy

Counts = NDArray[np.int64]

_ROUNDING = 1e-9  # by which a pair's probabilities may miss 1


@dataclass(frozen=True, eq=False, repr=False)
class BlockCounts:
    """The public counts of n blocks, and what only nature knows; counts of pieces add up.

    Attributes:
        tests: Outcomes of the Bell tests, as `Evidence.tests`; int64, shape (n, 4, 4).
        samples: Hidden rounds, revealed rounds and errors of each key pair, as `KeySample`; int64,
            shape (n, key pairs, 3).
        pair_counts: Rounds of each setting pair; int64, shape (n, nx, ny).
        hidden_errors: Errors among the hidden key rounds: nobody may see them, but they decide what
            error correction discloses; int64, shape (n,).
        signs: The sign of each pair of the Bell test in the CHSH sum.

    Examples:
        >>> from e91.devices.exact import exact_device
        >>> from e91.model.settings import EKERT
        >>> counts = draw_counts(np.random.default_rng(1), exact_device(visibility=0.97).table,
        ...                      [100_000] * 3, settings=EKERT, policy=Policy())
        >>> counts.tests.shape, counts.pair_counts.sum(axis=(1, 2)), counts.sample_errors
        ((3, 4, 4), array([100000, 100000, 100000]), array([39, 34, 36]))
    """

    tests: Counts
    samples: Counts
    pair_counts: Counts
    hidden_errors: Counts
    signs: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.hidden_errors)

    def __repr__(self) -> str:
        return f"BlockCounts({len(self)} blocks)"

    def __add__(self, other: BlockCounts) -> BlockCounts:
        """Return the counts of blocks whose pieces are these and ``other``, block by block.

        Raises:
            ValueError: They are of different numbers of blocks, or of other settings.
        """
        if self.signs != other.signs or [a.shape for a in self._arrays] != [
            a.shape for a in other._arrays
        ]:
            raise ValueError(
                "Pieces must be of the same blocks and settings to be added, but are of "
                f"{self.pair_counts.shape} and {other.pair_counts.shape} setting pairs with the "
                f"signs {self.signs} and {other.signs}."
            )
        sums = [a + b for a, b in zip(self._arrays, other._arrays, strict=True)]
        return BlockCounts._from(sums, self.signs)

    @classmethod
    def joined(cls, parts: Iterable[BlockCounts]) -> BlockCounts:
        """Return the blocks of all parts, one behind the other.

        Args:
            parts: Counts with the same settings, at least one.

        Raises:
            ValueError: There is no part, or they are of different settings.
        """
        parts = list(parts)
        if len({part.signs for part in parts}) != 1:
            raise ValueError(
                f"Blocks that are joined must have the same signs of the CHSH sum, but of "
                f"{len(parts)} parts there are {len({part.signs for part in parts})} kinds."
            )
        columns = zip(*(part._arrays for part in parts), strict=True)
        return cls._from([np.concatenate(column) for column in columns], parts[0].signs)

    @classmethod
    def of(cls, evidence: Evidence, *, hidden_errors: int = 0) -> BlockCounts:
        """Return the counts of one block from its evidence.

        Args:
            evidence: The public counts of the block.
            hidden_errors: Errors among the key rounds that stay hidden, which nature knows.
        """
        samples = [(s.key_size, s.revealed, s.errors) for s in evidence.samples]
        counts = (evidence.tests, samples, evidence.pair_counts, hidden_errors)
        return cls._from([np.array([each], np.int64) for each in counts], evidence.signs)

    def evidence(self, block: int) -> Evidence:
        """Return what the parties know of one block.

        Args:
            block: Its place, from 0.
        """
        return Evidence(
            tests=tuple(tuple(row) for row in self.tests[block].tolist()),
            samples=tuple(KeySample(*row) for row in self.samples[block].tolist()),
            pair_counts=tuple(tuple(row) for row in self.pair_counts[block].tolist()),
            signs=self.signs,
        )

    @classmethod
    def _from(cls, arrays: list[Counts], signs: tuple[int, ...]) -> BlockCounts:
        tests, samples, pair_counts, hidden_errors = arrays
        return cls(tests, samples, pair_counts, hidden_errors, signs)

    @property
    def _arrays(self) -> tuple[Counts, Counts, Counts, Counts]:
        return self.tests, self.samples, self.pair_counts, self.hidden_errors

    @cached_property
    def wins(self) -> Counts:
        """Bell-test rounds with the sign that the CHSH sum wants; shape (n, 4)."""
        return np.where(np.array(self.signs) > 0, self._same, self._different)

    @cached_property
    def losses(self) -> Counts:
        """Bell-test rounds with the other sign; shape (n, 4)."""
        return np.where(np.array(self.signs) > 0, self._different, self._same)

    @property
    def _same(self) -> Counts:
        same: Counts = self.tests[..., 0] + self.tests[..., 3]
        return same

    @property
    def _different(self) -> Counts:
        different: Counts = self.tests[..., 1] + self.tests[..., 2]
        return different

    @cached_property
    def totals(self) -> Counts:
        """Hidden rounds, revealed rounds and errors, all key pairs together; shape (n, 3)."""
        totals: Counts = self.samples.sum(axis=1)
        return totals

    @property
    def key_size(self) -> Counts:
        """Key rounds that were not revealed; shape (n,)."""
        return self.totals[:, 0]

    @property
    def sample_size(self) -> Counts:
        """Revealed key rounds; shape (n,)."""
        return self.totals[:, 1]

    @property
    def sample_errors(self) -> Counts:
        """How many of the revealed key rounds differed; shape (n,)."""
        return self.totals[:, 2]


def draw_counts(
    rng: np.random.Generator,
    tables: ArrayLike,
    rounds: ArrayLike,
    *,
    settings: Settings,
    policy: Policy,
) -> BlockCounts:
    """Draw the counts of blocks exactly as sessions of a memoryless device would count.

    One multinomial variable a block, over setting pairs, outcomes and what is revealed.  Blocks are
    drawn one after the other, so that drawing them in several calls gives the same counts as one
    call.

    Args:
        rng: Nature's randomness.  A link has its own, or its blocks depend on those of others.
        tables: Probability of outcomes (a, b) at settings (x, y), ``[..., x, y, a, b]``, of rounds
            in which both parties see a photon; one for all, or axes before them that broadcast to
            the shape of ``rounds``.
        rounds: Rounds of each block, shape (n,); or of each of its pieces, which have tables of
            their own, shape (n, pieces).
        settings: How often each setting is chosen, and what pairs are for.
        policy: Says how many key rounds are revealed.

    Returns:
        The counts of the n blocks, or pieces.

    Raises:
        ValueError: A number of rounds is negative or not whole, or the tables do not fit or are no
            tables of probabilities.

    Examples:
        An attack begins in the last tenth of the second block:

        >>> from e91.devices.exact import exact_device
        >>> from e91.model.settings import EKERT
        >>> honest, noisy = (exact_device(visibility=v).table for v in (0.98, 0.7))
        >>> rounds = [[100_000, 0], [90_000, 10_000]]
        >>> counts = draw_counts(np.random.default_rng(1), [honest, noisy], rounds,
        ...                      settings=EKERT, policy=Policy())
        >>> counts.sample_errors, counts.evidence(1).coincidences
        (array([26, 46]), 100000)
    """
    whole = _whole_rounds(rounds)
    cells = _cell_probabilities(_checked(tables, settings), settings, policy.revealed_fraction)
    drawn = rng.multinomial(whole, cells)
    if whole.ndim == 2:
        drawn = drawn.sum(axis=1)
    nx, ny = len(settings.alice_angles), len(settings.bob_angles)
    seen = drawn[:, : 4 * nx * ny].reshape(len(drawn), nx, ny, 4)
    hidden = drawn[:, 4 * nx * ny :].reshape(len(drawn), len(settings.key_pairs), 4)
    key_x, key_y = np.array(settings.key_pairs, np.intp).reshape(-1, 2).T
    test_x, test_y = np.array([pair for pair, _ in settings.chsh_pairs], np.intp).reshape(-1, 2).T
    shown = seen[:, key_x, key_y]
    samples = [hidden.sum(axis=2), shown.sum(axis=2), _errors(shown, settings)]
    pair_counts = seen.sum(axis=3)
    pair_counts[:, key_x, key_y] += samples[0]
    return BlockCounts(
        tests=seen[:, test_x, test_y],
        samples=np.stack(samples, axis=2),
        pair_counts=pair_counts,
        hidden_errors=_errors(hidden, settings).sum(axis=1),
        signs=settings.signs,
    )


def _errors(outcomes: Counts, settings: Settings) -> Counts:
    """Return how often the key bits of each key pair differ, from its outcomes; shape (n, k)."""
    signs = np.array([sign for _, sign in settings.signed_key_pairs])
    different, same = outcomes[..., 1] + outcomes[..., 2], outcomes[..., 0] + outcomes[..., 3]
    return np.where(signs > 0, different, same)


def _cell_probabilities(tables: Floats, settings: Settings, revealed_fraction: float) -> Floats:
    """Return the probabilities of all kinds of rounds, hidden key rounds last; shape (..., k)."""
    chosen = np.outer(settings.alice_probabilities, settings.bob_probabilities)
    joint = chosen[:, :, None, None] * tables
    visible, hidden = np.ones(chosen.shape), []
    for x, y in settings.key_pairs:
        visible[x, y] = revealed_fraction
        hidden.append(joint[..., x, y, :, :] * (1 - revealed_fraction))
    kinds = [joint * visible[:, :, None, None], *hidden]
    cells = np.concatenate([kind.reshape(*tables.shape[:-4], -1) for kind in kinds], axis=-1)
    normalised: Floats = cells / cells.sum(axis=-1, keepdims=True)
    return normalised


def _whole_rounds(rounds: ArrayLike) -> Counts:
    given = np.asarray(rounds)
    if given.ndim not in (1, 2) or not np.issubdtype(given.dtype, np.integer) or (given < 0).any():
        raise ValueError(
            "`rounds` must be whole numbers from 0, of shape (n,) or (n, pieces), but is of "
            f"{given.dtype}, shape {given.shape}, from {given.min(initial=0)}."
        )
    return given.astype(np.int64)


def _checked(tables: ArrayLike, settings: Settings) -> Floats:
    checked = np.asarray(tables, np.float64)
    wanted = len(settings.alice_angles), len(settings.bob_angles), 2, 2
    if checked.shape[-4:] != wanted:
        raise ValueError(f"`tables` must end in shape {wanted}, but has shape {checked.shape}.")
    missed = np.abs(checked.sum(axis=(-2, -1)) - 1).max(initial=0)
    if not (checked.min(initial=0) >= 0 and missed <= _ROUNDING):
        raise ValueError(
            "`tables` must hold probabilities that sum to 1 for every setting pair, but the "
            f"smallest is {checked.min(initial=0):g} and a sum misses 1 by {missed:g}."
        )
    return checked
