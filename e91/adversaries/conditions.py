"""What an attack is staged with: strength, settings, noise, simulator, seed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from e91.model.settings import ASYMMETRIC, Settings

Basis = Literal["z", "x", "random", "breidbart", "y"]
"""Along which direction an intercepting Eve measures; y is out of the plane of the settings."""

Simulator = Literal["exact", "aer", "aer-with-eve"]
"""How photons are simulated: rounds drawn from exact probabilities, shots of Aer, or shots with
Eve's qubits in them, where she has any."""

BASES: dict[Basis, tuple[float, ...]] = {
    "z": (0.0,),
    "x": (math.pi / 2,),
    "random": (0.0, math.pi / 2),
    "breidbart": (math.pi / 4,),
    "y": (),
}
"""Eve's angles in each basis, radians in the plane of the settings; one of them for each photon."""


@dataclass(frozen=True)
class Conditions:
    """The conditions of an attack: strength, settings, noise, simulator and seed.

    Attributes:
        strength: How strong it is; the table of attacks says what that means.
        settings: Angles, probabilities and roles.
        rounds: Length of the session.
        visibility: Of the pairs; white noise that is not Eve's.
        dephasing: Phase flips on Bob's arm, likewise.
        misalignment: Turn of Bob's arm, radians on the Bloch sphere.
        amplitude_damping: Decay on Bob's arm.
        readout_error: Misread outcomes, both parties.
        simulator: Of honest photons.
        basis: Of intercept and resend.
        flips: Of the collective attack: probability that Eve flips a key outcome.
        seed: Root of all physical randomness; None takes it from the operating system.
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
    basis: Basis = "random"
    flips: float = 0.0
    seed: int | None = None

    @property
    def key_angles(self) -> tuple[float, ...]:
        """The angles along which key is made, radians, each once."""
        return tuple(sorted({self.settings.alice_angles[x] for x, _ in self.settings.key_pairs}))

    @property
    def arm_noise(self) -> dict[str, float]:
        """The noise that only photons can suffer, by name."""
        names = ("dephasing", "misalignment", "amplitude_damping", "readout_error")
        return {name: getattr(self, name) for name in names}
