"""What the parties choose in the blocks of a run, and rounds that a device answers to it.

The free choice is the protocol's: it draws settings and sample itself, from a key that no device
gets, writes the settings into the record, and asks the device for outcomes only.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Protocol

import numpy as np

from e91.model.bits import Bits
from e91.model.randomness import Entropy
from e91.model.settings import Settings
from e91.system.cell_draws import BLOCK_ROUNDS, CellDraws, check_buffer
from e91.system.cumulative import OPEN, Edges
from e91.system.keystreams import Stream, keystream


class OutcomeSource(Protocol):
    """A memoryless device that answers to whole blocks, e.g. that of `e91.exact_device`.

    Examples:
        >>> class BothSeeZero:
        ...     shape = (3, 3, 2, 2)
        ...
        ...     def answer(self, pairs, outcomes, *, block):
        ...         outcomes[:] = 0
        >>> source: OutcomeSource = BothSeeZero()
        >>> outcomes = np.ones(2, np.uint8)
        >>> source.answer(np.array([0, 8], np.uint8), outcomes, block=0)
        >>> outcomes
        array([0, 0], dtype=uint8)
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """(nx, ny, k, k): settings of both parties and outcomes of each; k = 3 with no click."""

    def answer(self, pairs: Bits, outcomes: Bits, *, block: int) -> None:
        """Overwrite ``outcomes`` with ``k a + b`` for the setting pair ``ny x + y`` of each round.

        Args:
            pairs: uint8, shape (n,), n at most 2**18.
            outcomes: uint8, shape (n,).
            block: Number of the block; its answers must be the same whenever it is asked.
        """


@dataclass(frozen=True, eq=False)
class Choices:
    """The protocol's choices: setting pairs and sample of every block; made by `choices`.

    Attributes:
        pairs: Draws of the setting pairs.
        key: 32 bytes from which they and the sample are drawn.

    Examples:
        >>> from e91.model.settings import BBM92
        >>> made = choices(BBM92, key=bytes(32))
        >>> made.sample_entropy(0)(4) == made.sample_entropy(0)(4)  # a block has its own bytes
        True
    """

    pairs: CellDraws
    key: bytes = field(repr=False)

    def fill(self, pairs: Bits, *, block: int) -> None:
        """Overwrite ``pairs`` with ``ny x + y`` of the first rounds of a block.

        Args:
            pairs: uint8, shape (n,), n at most 2**18.
            block: Number of the block, from 0.
        """
        self.pairs.fill(pairs, block=block)

    def sample_entropy(self, block: int) -> Entropy:
        """Return the bytes that choose which key rounds of a block are revealed.

        Args:
            block: Number of the block, from 0.
        """
        return keystream(self.key, stream=Stream.SAMPLE, block=block)


def choices(settings: Settings, *, key: bytes) -> Choices:
    """Return the choices of a run.

    Args:
        settings: How often each setting is chosen; x and y are independent.
        key: 32 secret bytes.

    Returns:
        The run's settings and samples, block by block; the same key gives the same choices.

    Raises:
        ValueError: The key has another length.

    Examples:
        >>> from e91.model.settings import BBM92
        >>> pairs = np.empty(100_000, np.uint8)
        >>> choices(BBM92, key=bytes(32)).fill(pairs, block=0)
        >>> bool(11_000 < np.count_nonzero(pairs == 3) < 14_000)  # pair (0, 3), one in eight
        True
    """
    alice, bob = settings.alice_probabilities, settings.bob_probabilities
    edges = Edges.of([[Fraction(p) * Fraction(q) for p in alice for q in bob]])
    drawn = CellDraws.of(
        edges, key=key, stream=Stream.SETTINGS, extensions=Stream.SETTING_EXTENSIONS
    )
    return Choices(drawn, key)


@dataclass(frozen=True, eq=False)
class RoundSampler:
    """Rounds by the block: the protocol's choices with a device's answers.

    A round is one byte, its *code*: ``(x * ny + y) * k * k + a * k + b`` for the settings (x, y)
    and the outcomes (a, b), with k = 2, or k = 3 where an outcome may be no click (index 2).

    Attributes:
        choices: Settings and sample.
        source: The device.
        shape: (nx, ny, k, k): settings of Alice and Bob, outcomes of each.

    Raises:
        ValueError: The source is for other settings, or there are more than 255 codes.

    Examples:
        >>> from e91.devices.exact import exact_device
        >>> from e91.model.settings import BBM92
        >>> source = exact_device(settings=BBM92, seed=1).outcome_source(BBM92)
        >>> sampler = RoundSampler(choices(BBM92, key=bytes(32)), source)
        >>> codes = np.empty(1000, np.uint8)
        >>> sampler.fill(codes, block=0)
        >>> sampler.shape, bool(codes.max() < 2 * 4 * 2 * 2)
        ((2, 4, 2, 2), True)
    """

    choices: Choices
    source: OutcomeSource
    shape: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        shape = tuple(map(int, self.source.shape))
        pairs = self.choices.pairs.edges.numbers.shape[1] + 1
        fits = len(shape) == 4 and shape[0] * shape[1] == pairs and shape[2:] in ((2, 2), (3, 3))
        if not fits or pairs * shape[2] ** 2 > OPEN:
            raise ValueError(
                f"`source` must be for {pairs} setting pairs and 2 or 3 outcomes a party, at most "
                f"{OPEN} codes in all, but has shape {shape}."
            )
        object.__setattr__(self, "shape", shape)

    def fill(self, codes: Bits, *, block: int, room: Bits | None = None) -> None:
        """Overwrite ``codes`` with the first rounds of block number ``block``.

        Settings depend on the protocol's key only, whatever the source does.

        Args:
            codes: Contiguous, writeable uint8 buffer, shape (n,), n at most 2**18.
            block: Number of the block, in [0, 2**64).
            room: To work in, from `room_for`, if several blocks are drawn one after the other.

        Raises:
            ValueError: The buffer is not as described, the block number leaves its range, or the
                source answers with no outcome.
        """
        check_buffer(codes)
        pairs, outcomes = (room_for(len(codes)) if room is None else room)[:, : len(codes)]
        self.choices.fill(pairs, block=block)
        cells = np.uint8(self.shape[2] * self.shape[3])
        np.multiply(pairs, cells, out=codes)  # the record: from here on `pairs` is the device's
        self.source.answer(pairs, outcomes, block=block)
        highest = outcomes.max(initial=0)
        if highest >= cells:
            raise ValueError(
                f"A device must answer with outcomes below {cells}, but answered with {highest}."
            )
        np.add(codes, outcomes, out=codes)

    def sample_entropy(self, block: int) -> Entropy:
        """Return the protocol's bytes that choose the sample of block number ``block``."""
        return self.choices.sample_entropy(block)


def room_for(rounds: int) -> Bits:
    """Return memory to draw blocks of up to ``rounds`` rounds in; uint8, shape (2, n)."""
    return np.empty((2, -(-rounds // 8) * 8), np.uint8)


__all__ = ["BLOCK_ROUNDS", "Choices", "OutcomeSource", "RoundSampler", "choices", "room_for"]
