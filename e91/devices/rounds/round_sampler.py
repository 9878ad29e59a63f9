"""Outcomes by the hundred million: blocks of them, drawn from the exact outcome probabilities.

Every round takes one 16-bit draw for its outcomes given its setting pair, from a keystream of the
physics; the pair is the protocol's choice (`e91.distillation.sifting.choices`).
"""

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

from e91.distillation.sifting.choices import RoundSampler, choices
from e91.model.bits import Bits
from e91.model.settings import Settings
from e91.system.cell_draws import CellDraws
from e91.system.cumulative import OPEN, Edges
from e91.system.keystreams import KEY_BYTES, Stream


@dataclass(frozen=True, eq=False)
class OutcomeSampler:
    """Draws the outcomes of blocks of rounds; made by `outcome_sampler`.

    It has no state: the outcomes of a block depend on its settings, the key and its number alone.

    Attributes:
        shape: (nx, ny, k, k): settings of Alice and Bob, outcomes of each.
        cells: Draws of the outcomes, one row of probabilities for each setting pair.
    """

    shape: tuple[int, ...]
    cells: CellDraws = field(repr=False)

    def answer(self, pairs: Bits, outcomes: Bits, *, block: int) -> None:
        """Overwrite ``outcomes`` with ``k a + b`` for the setting pair ``ny x + y`` of each round.

        Args:
            pairs: uint8, shape (n,), n at most 2**18.
            outcomes: Contiguous, writeable uint8 buffer, shape (n,).
            block: Number of the block, in [0, 2**64).

        Raises:
            ValueError: A buffer is not as described, there is no such pair, or the block number
                leaves its range.
        """
        self.cells.fill(outcomes, rows=pairs, block=block)


def outcome_sampler(table: ArrayLike, *, settings: Settings, physics_key: bytes) -> OutcomeSampler:
    """Return a sampler of the outcomes of a memoryless device.

    Args:
        table: Probability of the outcomes (a, b) at the settings (x, y), as ``table[x, y, a, b]``;
            shape (nx, ny, k, k), k = 2, or 3 with no click as the last outcome.  What
            `e91.devices.exact.outcome_table` returns.  Each pair's sum is made 1 exactly.
        settings: What the table's first axes are; any choice probabilities.
        physics_key: 32 bytes that fix the outcomes, e.g. from `keystreams.seeded_key`.

    Raises:
        ValueError: The table does not fit the settings or is no table of probabilities, there
            are more than 255 codes, or the key has another length.
    """
    checked = checked_table(table, settings=settings)
    if checked.size > OPEN:
        raise ValueError(f"`table` must have at most {OPEN} entries, but has {checked.size}.")
    _check_key(physics_key=physics_key)
    pairs = checked.shape[0] * checked.shape[1]
    rows = [[Fraction(p) for p in row] for row in checked.reshape(pairs, -1)]
    drawn = CellDraws.of(
        Edges.of(rows),
        key=physics_key,
        stream=Stream.OUTCOMES,
        extensions=Stream.OUTCOME_EXTENSIONS,
    )
    return OutcomeSampler(checked.shape, drawn)


def round_sampler(
    table: ArrayLike, *, settings: Settings, physics_key: bytes, protocol_key: bytes
) -> RoundSampler:
    """Return whole rounds of a memoryless device, with both keys in one hand.

    Args:
        table: As for `outcome_sampler`.
        settings: How often each setting is chosen; x and y are independent.
        physics_key: 32 bytes that fix the outcomes.
        protocol_key: 32 bytes that fix the settings; never the same.

    Raises:
        ValueError: As for `outcome_sampler`, or the keys are equal.

    Examples:
        >>> from e91.model.settings import BBM92
        >>> uniform = np.full((2, 4, 2, 2), 0.25)
        >>> sampler = round_sampler(
        ...     uniform, settings=BBM92, physics_key=bytes(32), protocol_key=b"1" * 32
        ... )
        >>> codes = np.empty(100_000, np.uint8)
        >>> sampler.fill(codes, block=0)
        >>> bool(11_000 < np.count_nonzero(codes // 4 == 3) < 14_000)  # pair (0, 3), one in eight
        True
    """
    _check_key(protocol_key=protocol_key)
    if physics_key == protocol_key:
        raise ValueError("`protocol_key` must differ from `physics_key`, but is the same.")
    source = outcome_sampler(table, settings=settings, physics_key=physics_key)
    return RoundSampler(choices(settings, key=protocol_key), source)


def _check_key(**keys: bytes) -> None:
    for name, key in keys.items():
        if len(key) != KEY_BYTES:
            raise ValueError(f"`{name}` must have {KEY_BYTES} bytes, but has {len(key)}.")


def checked_table(table: ArrayLike, *, settings: Settings) -> NDArray[np.float64]:
    """Return a read-only copy of ``table`` if it holds probabilities for these settings.

    Raises:
        ValueError: It has another shape, a negative entry, or a pair whose sum is not 1.
    """
    checked = np.array(table, np.float64)
    pairs = (len(settings.alice_angles), len(settings.bob_angles))
    if checked.shape not in [(*pairs, 2, 2), (*pairs, 3, 3)]:
        raise ValueError(
            f"`table` must have shape {(*pairs, 2, 2)} or {(*pairs, 3, 3)}, but has shape "
            f"{checked.shape}."
        )
    sums = checked.sum(axis=(2, 3))
    if not (checked.min() >= 0 and np.allclose(sums, 1, rtol=0, atol=1e-9)):
        raise ValueError(
            "`table` must hold probabilities that sum to 1 at each setting pair, but its entries "
            f"start at {checked.min():.3g} and its sums span [{sums.min():.9g}, {sums.max():.9g}]."
        )
    checked.flags.writeable = False
    return checked
