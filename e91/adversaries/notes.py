"""A device with an eavesdropper in it, her notes, and how much of the key they hold.

To the protocol a `TappedDevice` is a device like any other.  Beside the outcomes it writes down,
for every round, Eve's best guess of Alice's outcome and how she came by it.  She may use both
settings for that, as they are announced before the key is made.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from e91.adversaries.conditions import Conditions
from e91.model.bits import NO_CLICK, Bits
from e91.model.device import Apparatus, checked_choices
from e91.model.numbers import check_fractions
from e91.model.settings import Settings

if TYPE_CHECKING:
    from e91.devices.circuits import CircuitTable


@dataclass(frozen=True, eq=False, repr=False)
class Answers:
    """What a dishonest device answers, and what Eve writes down.

    Attributes:
        alice: Alice's outcome of each round, `NO_CLICK` for a loss; uint8, shape (n,).
        bob: Bob's outcome; uint8, shape (n,).
        guess: Eve's best guess of Alice's outcome; uint8 bits, shape (n,).
        kind: By what she guesses: her symbol in the circuits, else 1 where she knows something
            and 0 where she does not; uint8, shape (n,).
    """

    alice: Bits
    bob: Bits
    guess: Bits
    kind: Bits


@dataclass(frozen=True, eq=False, repr=False)
class Notes(Answers):
    """The answers with the settings they belong to.

    Attributes:
        x: Alice's setting of each round; uint8, shape (n,).
        y: Bob's; uint8, shape (n,).
    """

    x: Bits
    y: Bits

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class Knowledge:
    """What Eve knows of the sifted key, the revealed bits included.

    Attributes:
        guess_rate: Fraction of Alice's bits that she guesses; None without key rounds.
        information: Bits that she has per key bit: the mutual information between Alice's bits
            and the notes, or Holevo's bound for a quantum memory; None without key rounds.
        rounds: How many key rounds both parties saw.

    Examples:
        >>> Knowledge(guess_rate=0.75, information=0.4, rounds=1_000).guess_rate
        0.75
    """

    guess_rate: float | None
    information: float | None
    rounds: int


Answer = Callable[[Bits, Bits], Answers]
"""From the settings of a block of rounds to outcomes and notes."""


@dataclass(frozen=True, eq=False)
class TappedDevice(Apparatus):
    """A device that keeps Eve's notes of all rounds so far.

    Attributes:
        info: What the device is.
        answer: What the device does with a block of rounds.
        memory_information: Holevo's bound, in bits per key bit, if Eve has a quantum memory.
        blocks: Her notes, one block a call; grows by six bytes a round.
        circuits: The measured circuit of each setting pair, ``circuits[x][y]``, Eve included; None
            of a device without photons.
    """

    answer: Answer = field(repr=False)
    memory_information: float | None = None
    blocks: list[Notes] = field(default_factory=list, repr=False)
    circuits: "CircuitTable | None" = field(default=None, repr=False, kw_only=True)

    def __call__(self, x: ArrayLike, y: ArrayLike) -> tuple[Bits, Bits]:
        """Answer a block of rounds and note it.

        Args:
            x: Alice's setting index in each round; shape (n,), n may be 0.
            y: Bob's, shape (n,).

        Raises:
            ValueError: A choice is no index of the settings, or the lengths differ.
        """
        first, second = checked_choices(x, y, settings=self.settings)
        found = self.answer(first, second)
        self.blocks.append(Notes(found.alice, found.bob, found.guess, found.kind, first, second))
        return found.alice, found.bob

    def forget(self) -> None:
        """Drop all blocks."""
        self.blocks.clear()

    @property
    def notes(self) -> Notes:
        """Eve's notes of all rounds so far, in order."""
        return joined(self.blocks)

    @property
    def knowledge(self) -> Knowledge:
        """What Eve knows of the key rounds so far."""
        return knowledge(self.notes, settings=self.settings, memory=self.memory_information)


def joined(blocks: Sequence[Notes]) -> Notes:
    """Return the notes of all blocks, in order, as one."""
    empty = np.zeros(0, np.uint8)
    every = [Notes(empty, empty, empty, empty, empty, empty), *blocks]
    names = [part.name for part in fields(Notes)]
    return Notes(*(np.concatenate([getattr(block, name) for block in every]) for name in names))


def knowledge(notes: Notes, *, settings: Settings, memory: float | None = None) -> Knowledge:
    """Return how much of the sifted key Eve's notes hold.

    The information is that of the observed frequencies: entropy of Alice's bits at each key pair
    less their entropy given Eve's guess and its kind.  It exceeds the true value by about (cells
    of the table) / (2 n log 2) bits, the bias of every such plug-in estimate.

    Args:
        notes: Outcomes, settings, and Eve's guesses.
        settings: Which pairs make the key.
        memory: Holevo's bound per key bit, which takes the information's place, if any.

    Examples:
        >>> from e91.model.settings import ASYMMETRIC
        >>> zero, bits = np.zeros(4, np.uint8), np.array([0, 1, 0, 1], np.uint8)
        >>> knowledge(Notes(bits, bits, bits, zero, zero, zero), settings=ASYMMETRIC)
        Knowledge(guess_rate=1.0, information=1.0, rounds=4)
    """
    clicked = (notes.alice != NO_CLICK) & (notes.bob != NO_CLICK)
    pair = notes.x.astype(np.int64) * len(settings.bob_angles) + notes.y
    wanted = [x * len(settings.bob_angles) + y for x, y in settings.key_pairs]
    rounds = np.flatnonzero(clicked & np.isin(pair, wanted))
    if not len(rounds):
        return Knowledge(None, None, 0)
    guess, truth = notes.guess[rounds], notes.alice[rounds]
    cell = (pair[rounds] * 256 + notes.kind[rounds]) * 2 + guess
    counts = np.bincount(cell * 2 + truth, minlength=2 * 2 * 256 * (max(wanted) + 1))
    table = counts.reshape(-1, 512, 2)
    learned = _conditional_bits(table.sum(axis=1)) - _conditional_bits(table.reshape(-1, 2))
    information = learned / len(rounds) if memory is None else memory
    return Knowledge(float(np.mean(guess == truth)), information, len(rounds))


def _conditional_bits(table: NDArray[np.int64]) -> float:
    """Return the sum over rows of (row total) * h(row), in bits."""
    total = table.sum(axis=1)
    kept = table[total > 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = kept / total[total > 0, None]
        bits = np.where(kept > 0, -kept * np.log2(share), 0.0)
    return max(0.0, math.fsum(bits.ravel()))


def with_white_noise(device: TappedDevice, conditions: Conditions) -> TappedDevice:
    """Return ``device`` with both outcomes replaced by random bits in a fraction of the rounds.

    That is what white noise on a pair does to its outcomes: a round is left alone with the
    probability of the conditions' visibility, and losses stay losses.  Eve does not see the bits.

    Raises:
        ValueError: The visibility is not in [0, 1].
    """
    visibility = conditions.visibility
    check_fractions(visibility=visibility)
    if visibility == 1:
        return device
    generator = conditions.random_stream("white noise")

    def answer(x: Bits, y: Bits) -> Answers:
        """Replace the outcomes of some rounds by bits that Eve does not know."""
        found = device.answer(x, y)
        spoiled = generator.random(len(x)) >= visibility
        noise = generator.integers(2, size=(2, len(x)), dtype=np.uint8)
        a = np.where(spoiled & (found.alice != NO_CLICK), noise[0], found.alice)
        b = np.where(spoiled & (found.bob != NO_CLICK), noise[1], found.bob)
        return Answers(a, b, found.guess, found.kind)

    description = f"{device.description[:-1]}; visibility {visibility:g}."
    return replace(device, answer=answer, info=replace(device.info, description=description))
