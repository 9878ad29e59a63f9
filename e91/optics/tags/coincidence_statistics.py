"""What a list of coincidences says of its link."""

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class CoincidenceStatistics:
    """Counts, accidentals and clocks of a measurement.

    Attributes:
        window_s: Full width of the coincidence window.
        duration_s: From Alice's first tag to her last.
        coincidences: Coincidences, true and accidental.
        displaced: Pairs of tags in two windows of the same width beside the peak.
        alice_singles: Alice's tags, by channel.
        bob_singles: Bob's.
        alice_double_clicks: Coincidences with several tags of Alice.
        bob_double_clicks: The same of Bob.
        offset_s: Bob's clock less Alice's, at his first tag.
        frequency_error_ppm: How much faster Bob's runs, in the middle of the measurement.
        lost_stretches: Intervals in which the clocks could not be followed.

    Examples:
        >>> found = CoincidenceStatistics(1e-9, 10.0, 1000, 80, (5000,), (6000,), 1, 2, 0.1, 3.0, 0)
        >>> found.accidentals, found.true_coincidences, found.car
        (40.0, 960.0, 24.0)
    """

    window_s: float
    duration_s: float
    coincidences: int
    displaced: int
    alice_singles: tuple[int, ...]
    bob_singles: tuple[int, ...]
    alice_double_clicks: int
    bob_double_clicks: int
    offset_s: float
    frequency_error_ppm: float
    lost_stretches: int

    @property
    def accidentals(self) -> float:
        """Estimate of the accidental coincidences: the mean of the two windows beside the peak."""
        return self.displaced / 2

    @property
    def accidentals_error(self) -> float:
        """One standard deviation of that estimate, of a Poisson count."""
        return math.sqrt(self.displaced) / 2

    @property
    def true_coincidences(self) -> float:
        """Estimate of the true ones; negative if chance has it."""
        return self.coincidences - self.accidentals

    @property
    def car(self) -> float | None:
        """True coincidences over accidental ones; None if none of these was seen."""
        return self.true_coincidences / self.accidentals if self.displaced else None

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, ready for JSON."""
        return vars(self) | {
            "accidentals": self.accidentals,
            "accidentals_error": self.accidentals_error,
            "true_coincidences": self.true_coincidences,
            "car": self.car,
        }
