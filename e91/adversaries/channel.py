"""Eve as a channel: rounds at the speed of an honest device, her notes drawn when they are read.

The outcomes of a round have the probabilities ``P(a, b | x, y)``, whatever Eve did to get there,
so a device with her on the line makes them like a device without: drawn from one table, or as
shots of Aer on the two photons that arrive.  Her symbol is drawn afterwards from
``P(e | x, y, a, b)``, and only if somebody asks what she knows: the two draws together have the
joint distribution, exactly.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from e91.adversaries.notes import Knowledge, Notes, joined, knowledge
from e91.devices.aer import AerDevice
from e91.devices.circuits import CircuitTable
from e91.devices.exact import ExactDevice
from e91.devices.rounds.round_sampler import OutcomeSampler
from e91.model.bits import Bits
from e91.model.device import DeviceInfo, Progress
from e91.model.settings import Settings


@dataclass(frozen=True, eq=False)
class Reading:
    """What Eve can read, beside outcomes that are drawn without her.

    Attributes:
        table: Exact probabilities ``table[x, y, a, b, e]`` of outcomes and Eve's symbol; float64,
            each setting pair normalised.
        memory_information: Holevo's bound, in bits per key bit, if Eve has a quantum memory.
    """

    table: NDArray[np.float64]
    memory_information: float | None = None

    @cached_property
    def best(self) -> Bits:
        """Eve's best guess of Alice's bit, ``best[x, y, e]``; she hears both settings."""
        best: Bits = self.table.sum(axis=3).argmax(axis=2).astype(np.uint8)
        return best

    @cached_property
    def limits(self) -> NDArray[np.float64]:
        """Cumulative probabilities of e given (x, y, a, b), one cell after the other.

        Cell number i fills [i, i + 1); one that never occurs has all its limits at its end.
        """
        cells = self.table.reshape(-1, self.table.shape[-1])
        total = cells.sum(axis=1, keepdims=True)
        shares = np.divide(cells, total, out=np.zeros_like(cells), where=total > 0)
        limits: NDArray[np.float64] = shares.cumsum(axis=1) + np.arange(len(cells))[:, None]
        return limits.ravel()

    def symbols(self, cells: NDArray[np.int64], generator: np.random.Generator) -> Bits:
        """Draw Eve's symbol for rounds of these cells, numbered as in `limits`."""
        size = self.table.shape[-1]
        place = np.searchsorted(self.limits, cells + generator.random(len(cells)), side="right")
        # Rounding of the sums may carry a draw over the end of its cell: 1 in 10^15.
        symbols: Bits = np.clip(place - cells * size, 0, size - 1).astype(np.uint8)
        return symbols


ChannelReading = Callable[[], Reading]
"""Returns what Eve can read; computed at the first call, so that nobody pays who does not ask."""


@dataclass(frozen=True, eq=False, repr=False)
class TappedBlock:
    """The rounds of one call, and the randomness from which their notes will be drawn.

    Attributes:
        x: Alice's settings; uint8, shape (n,).
        y: Bob's.
        alice: Alice's outcomes.
        bob: Bob's.
        reading: What Eve can read.
        randomness: Seeds the draw of the notes.
    """

    x: Bits
    y: Bits
    alice: Bits
    bob: Bits
    reading: ChannelReading
    randomness: np.random.SeedSequence

    @cached_property
    def notes(self) -> Notes:
        """Eve's notes of these rounds; drawn once."""
        reading = self.reading()
        pair = self.x.astype(np.int64) * reading.table.shape[1] + self.y
        cells = 4 * pair + 2 * self.alice + self.bob
        kind = reading.symbols(cells, np.random.default_rng(self.randomness))
        guess = reading.best[self.x, self.y, kind]
        return Notes(self.alice, self.bob, guess, kind, self.x, self.y)


@dataclass(frozen=True, eq=False)
class ChannelTap:
    """A device with Eve on the line as a channel.

    To the protocol it is its `photons`, at their speed.

    Attributes:
        photons: The device that the parties see; Eve's effect is in its table or circuits.
        reading: What she can read.
        randomness: Root of the draws of her notes; physical, like that of the outcomes, and
            never the same.
        blocks: The rounds of all calls so far, four bytes a round.
        circuits: The measured circuit of each setting pair, ``circuits[x][y]``, Eve included.
    """

    photons: ExactDevice | AerDevice
    reading: ChannelReading = field(repr=False)
    randomness: np.random.SeedSequence = field(repr=False)
    blocks: list[TappedBlock] = field(default_factory=list, repr=False)
    circuits: CircuitTable | None = field(default=None, repr=False, kw_only=True)

    @property
    def info(self) -> DeviceInfo:
        """What the device is: its photons say it."""
        return self.photons.info

    @property
    def settings(self) -> Settings:
        """The angles that the indices mean."""
        return self.photons.settings

    def __call__(self, x: Bits, y: Bits) -> tuple[Bits, Bits]:
        """Draw the outcomes of a block of rounds, and remember it for Eve.

        Args:
            x: Alice's setting index in each round; shape (n,), n may be 0.
            y: Bob's, shape (n,).

        Raises:
            ValueError: A choice is no index of the settings, or the lengths differ.
        """
        a, b = self.photons(x, y)
        seed = self.randomness.spawn(1)[0]
        first, second = np.array(x, np.uint8), np.array(y, np.uint8)
        self.blocks.append(TappedBlock(first, second, a, b, self.reading, seed))
        return a, b

    def announcing(self, progress: Progress) -> Self:
        """Return the same device, Eve's notes included, whose photons announce their progress."""
        return replace(self, photons=self.photons.announcing(progress))

    def forget(self) -> None:
        """Drop all blocks."""
        self.blocks.clear()

    @property
    def notes(self) -> Notes:
        """Eve's notes of all rounds so far, in order; reading them again gives the same."""
        return joined([block.notes for block in self.blocks])

    @property
    def knowledge(self) -> Knowledge:
        """What Eve knows of the key rounds so far."""
        memory = self.reading().memory_information
        return knowledge(self.notes, settings=self.settings, memory=memory)


@dataclass(frozen=True, eq=False)
class BlockTap(ChannelTap):
    """A `ChannelTap` that also draws whole blocks of rounds, as its `photons` do.

    These are not remembered: of a stream Eve's knowledge is not measured.
    """

    photons: ExactDevice

    def outcome_source(self, settings: Settings) -> OutcomeSampler:
        """Return the device as a source of outcomes; see `ExactDevice.outcome_source`."""
        return self.photons.outcome_source(settings)
