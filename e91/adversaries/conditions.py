"""What an attack is staged under: strength, settings, noise, simulator, seed and options.

An option belongs to the entry of its attack; the command line, studies and Python take it from
there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np

from e91.model.bell_states import BellState
from e91.model.device import DeviceInfo, Progress, no_progress
from e91.model.numbers import check_within
from e91.model.settings import ASYMMETRIC, Settings

Simulator = Literal["exact", "aer", "aer-with-eve"]
"""How photons are simulated: rounds drawn from exact probabilities, shots of Aer, or shots with
Eve's qubits in them, where she has any."""

ARM_NOISE = ("dephasing", "misalignment", "amplitude_damping", "readout_error")
"""Noise that only photons can suffer."""


@dataclass(frozen=True)
class Conditions:
    """The conditions of an attack.

    Attributes:
        strength: How strong it is; its entry says what that means.
        settings: Angles, probabilities and roles.
        rounds: Length of the session.
        visibility: Of the pairs; white noise that is not Eve's.
        dephasing: Phase flips on Bob's arm, likewise.
        misalignment: Turn of Bob's arm, radians on the Bloch sphere.
        amplitude_damping: Decay on Bob's arm.
        readout_error: Misread outcomes, both parties.
        simulator: Of honest photons.
        state: What the source emits; by default what the settings are written for.
        seed: Root of all physical randomness; None takes it from the operating system.
        options: What else the attack's entry lets users choose, by name; see `Attack.options`.
        progress: Is called with the rounds of every step of the photons' simulation.

    Examples:
        >>> Conditions(0.5, options={"basis": "z"}).options["basis"]
        'z'
    """

    strength: float
    settings: Settings = ASYMMETRIC
    rounds: int = 1_000_000
    visibility: float = 1.0
    dephasing: float = 0.0
    misalignment: float = 0.0
    amplitude_damping: float = 0.0
    readout_error: float = 0.0
    simulator: Simulator = "exact"
    state: BellState | None = None
    seed: int | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    progress: Progress = field(default=no_progress, repr=False, compare=False)

    @property
    def key_angles(self) -> tuple[float, ...]:
        """The angles along which key is made, radians, each once."""
        return tuple(sorted({self.settings.alice_angles[x] for x, _ in self.settings.key_pairs}))

    def info(self, description: str) -> DeviceInfo:
        """Return what a device under these conditions says of itself.

        Args:
            description: One sentence about the device.
        """
        return DeviceInfo(self.settings, description, reproducible=self.seed is not None)

    def stream_seed(self, part: str) -> np.random.SeedSequence:
        """Return the root of the physical randomness of one part of a device.

        Parts of different names get independent streams from one seed.

        Args:
            part: Name of the part.
        """
        return np.random.SeedSequence(None if self.seed is None else (self.seed, *part.encode()))

    def random_stream(self, part: str) -> np.random.Generator:
        """Return the generator of one part, with the root `stream_seed`.

        Args:
            part: Name of the part.
        """
        return np.random.default_rng(self.stream_seed(part))

    @property
    def arm_noise(self) -> dict[str, float]:
        """The noise of `ARM_NOISE`, by name."""
        return {name: getattr(self, name) for name in ARM_NOISE}


@dataclass(frozen=True)
class _Named:
    """What all options have.

    Attributes:
        name: What Python and studies call it.
        meaning: What it chooses, without a full stop.
    """

    name: str
    meaning: str

    @property
    def flag(self) -> str:
        """What a command line calls it."""
        return self.name


@dataclass(frozen=True)
class Word(_Named):
    """A choice between words, by default the one of that name."""

    words: tuple[str, ...]
    default: str

    @property
    def text(self) -> str:
        """Meaning, words and default, for lists."""
        return f"{self.meaning}: {', '.join(self.words)} ({self.default} by default)"

    def chosen(self, conditions: Conditions) -> str:
        """Return the word that the conditions choose, or raise `ValueError`."""
        value = conditions.options.get(self.name, self.default)
        if not isinstance(value, str) or value not in self.words:
            known = ", ".join(self.words)
            raise ValueError(f"`{self.name}` must be one of {known}, but is {value}.")
        return value


@dataclass(frozen=True)
class Share(_Named):
    """A share of something from 0, the default, to ``high``."""

    high: float = 1.0

    @property
    def text(self) -> str:
        """Meaning, range and default, for lists."""
        return f"{self.meaning} (0 to {self.high:g}, 0 by default)"

    def chosen(self, conditions: Conditions) -> float:
        """Return the share that the conditions choose, or raise `ValueError`."""
        value = conditions.options.get(self.name, 0.0)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"`{self.name}` must be a number, but is {value!r}.")
        check_within(0, self.high, **{self.name: value})
        return float(value)


@dataclass(frozen=True)
class Switch(_Named):
    """Something that is so unless it is turned off; ``text`` says what that means, for lists."""

    text: str

    @property
    def flag(self) -> str:
        """What a command line says to turn it off."""
        return f"un{self.name}"

    def chosen(self, conditions: Conditions) -> bool:
        """Return whether the conditions leave it on, or raise `ValueError`."""
        value = conditions.options.get(self.name, True)
        if not isinstance(value, bool):
            raise ValueError(f"`{self.name}` must be true or false, but is {value!r}.")
        return value


Option: TypeAlias = Word | Share | Switch
