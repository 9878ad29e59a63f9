"""Single-photon detectors and the receivers they stand in."""

import math
from dataclasses import dataclass
from enum import Enum

from e91.model.numbers import check_fractions, check_not_negative

FWHM_PER_SIGMA = 2 * math.sqrt(2 * math.log(2))
"""Full width at half maximum of a Gaussian, in standard deviations."""


@dataclass(frozen=True)
class Detector:
    """One physical detector.

    Attributes:
        efficiency: Probability that a photon at the detector makes a click, 0 to 1.
        dark_counts_per_second: Clicks without light.
        dead_time_s: Time after a click in which there is no other; a photon then neither clicks
            nor prolongs it (non-paralysable).
        afterpulse_probability: Probability that a click is followed by one more that no photon
            made, below 1; that one may be followed again.
        jitter_fwhm_s: Full width at half maximum of the Gaussian spread of click times.

    Raises:
        ValueError: A number is outside its range.

    Examples:
        >>> Detector(efficiency=0.5, dark_counts_per_second=200.0).dead_time_s
        0.0
        >>> Detector(efficiency=50)
        Traceback (most recent call last):
            ...
        ValueError: `efficiency` must lie in [0, 1], but is 50.
    """

    efficiency: float
    dark_counts_per_second: float = 0.0
    dead_time_s: float = 0.0
    afterpulse_probability: float = 0.0
    jitter_fwhm_s: float = 0.0

    def __post_init__(self) -> None:
        check_fractions(efficiency=self.efficiency)
        check_not_negative(
            dark_counts_per_second=self.dark_counts_per_second,
            dead_time_s=self.dead_time_s,
            jitter_fwhm_s=self.jitter_fwhm_s,
        )
        if not 0 <= self.afterpulse_probability < 1:
            raise ValueError(
                "`afterpulse_probability` must lie in [0, 1) (else a click never ends), but is "
                f"{self.afterpulse_probability}."
            )


class BasisChoice(Enum):
    """How a receiver chooses its setting; the value is its name.

    Examples:
        >>> BasisChoice("passive")
        <BasisChoice.PASSIVE: 'passive'>
    """

    ACTIVE = "active"
    PASSIVE = "passive"


@dataclass(frozen=True)
class Receiver:
    """One party's optics: what stands between the link and the time tagger.

    Attributes:
        detectors: With an active choice two, for outcome 0 and for outcome 1.  With a passive one
            two for each setting, in the order (setting 0, outcome 0), (setting 0, outcome 1),
            (setting 1, outcome 0), and so on.
        basis_choice: ACTIVE: a modulator turns the light before each pulse or slot.  PASSIVE: a
            beam splitter sends each photon to one setting, with the settings' probabilities.
        optics_loss_db: Loss of the receiver's optics, the detectors' efficiencies not included.
        readout_error: Probability that a click is written down as the other outcome, 0 to 1.

    Raises:
        ValueError: The number of detectors does not fit the choice, or a number leaves its range.

    Examples:
        >>> receiver = Receiver((Detector(0.6), Detector(0.5)), BasisChoice.ACTIVE)
        >>> Receiver(receiver.detectors, optics_loss_db=20.0).transmission
        0.01
    """

    detectors: tuple[Detector, ...]
    basis_choice: BasisChoice = BasisChoice.ACTIVE
    optics_loss_db: float = 0.0
    readout_error: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "detectors", tuple(self.detectors))
        object.__setattr__(self, "basis_choice", BasisChoice(self.basis_choice))
        count = len(self.detectors)
        if self.basis_choice is BasisChoice.ACTIVE and count != 2:
            raise ValueError(f"An active receiver must have 2 detectors, but has {count}.")
        if count == 0 or count % 2:
            raise ValueError(
                f"A passive receiver must have 2 detectors for each setting, but has {count}."
            )
        check_not_negative(optics_loss_db=self.optics_loss_db)
        check_fractions(readout_error=self.readout_error)

    @property
    def transmission(self) -> float:
        """Fraction of the light that the optics pass to the detectors."""
        return float(10 ** (-self.optics_loss_db / 10))
