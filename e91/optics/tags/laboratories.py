"""A party's laboratory as a time tagger sees it: link, receiver, noise light and clock."""

import math
from dataclasses import dataclass, field

from e91.model.numbers import check_finite, check_not_negative, check_positive, check_within
from e91.optics.detectors import BasisChoice, Detector, Receiver
from e91.optics.links import transmission_of

PICOSECOND_S = 1e-12
"""The unit of most time taggers."""

_MAXIMUM_ERROR_PPM = 1000.0  # a clock that is worse is broken


@dataclass(frozen=True)
class Clock:
    """A free-running clock, and the unit in which it counts.

    At true time t it shows ``offset_s + t (1 + f) + d t^2 / 2``, f being ``frequency_error_ppm``
    and d ``drift_ppm_per_second`` in parts of one.

    Attributes:
        offset_s: What it shows when the measurement begins.
        frequency_error_ppm: How much too fast it runs, at most 1000 either way.
        drift_ppm_per_second: How fast that changes.
        resolution_s: Length of one count.

    Raises:
        ValueError: A number is not finite, the resolution not positive, or the frequency error too
            large.

    Examples:
        >>> Clock(offset_s=0.5, frequency_error_ppm=10.0).reading_s(100.0)
        100.501
    """

    offset_s: float = 0.0
    frequency_error_ppm: float = 0.0
    drift_ppm_per_second: float = 0.0
    resolution_s: float = PICOSECOND_S

    def __post_init__(self) -> None:
        check_finite(
            offset_s=self.offset_s,
            frequency_error_ppm=self.frequency_error_ppm,
            drift_ppm_per_second=self.drift_ppm_per_second,
        )
        check_positive(resolution_s=self.resolution_s)
        limit = _MAXIMUM_ERROR_PPM
        check_within(-limit, limit, frequency_error_ppm=self.frequency_error_ppm)

    def reading_s(self, time_s: float) -> float:
        """Return what the clock shows at a true time; seconds.

        Args:
            time_s: True time, seconds.
        """
        drift = self.drift_ppm_per_second * 1e-6
        return self.offset_s + time_s * (1 + self.frequency_error_ppm * 1e-6 + drift * time_s / 2)


@dataclass(frozen=True)
class Laboratory:
    """One party's side, from the source's fibre to the written tag.

    Attributes:
        receiver: Optics and detectors.
        probabilities: How often each setting is chosen; with a passive receiver, how its beam
            splitter divides the light.
        link_loss_db: Loss on the way to the receiver.
        delay_s: How long the light is under way.
        background_photons_at_receiver_per_second: Unpolarised stray light at the receiver's
            entrance, before its losses; as in `e91.optics.arms.Arm`.
        setting_period_s: How long an active receiver keeps a setting; the setting of a click is
            the one of its slot.  None with a passive receiver.
        afterpulse_decay_s: Mean time, after the dead time, at which an after-pulse comes.
        clock: The tagger's clock.

    Raises:
        ValueError: A number leaves its range, the probabilities do not fit the receiver, or an
            active receiver has no setting period, or a passive one has.

    Examples:
        >>> from e91.optics.detectors import Detector
        >>> receiver = Receiver((Detector(0.5, 100.0),) * 2)
        >>> Laboratory(receiver, (0.5, 0.5), link_loss_db=3.0, setting_period_s=1e-3).is_passive
        False
    """

    receiver: Receiver
    probabilities: tuple[float, ...]
    link_loss_db: float = 0.0
    delay_s: float = 0.0
    background_photons_at_receiver_per_second: float = 0.0
    setting_period_s: float | None = None
    afterpulse_decay_s: float = 1e-6
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        object.__setattr__(self, "probabilities", tuple(map(float, self.probabilities)))
        check_not_negative(
            link_loss_db=self.link_loss_db,
            delay_s=self.delay_s,
            background_photons_at_receiver_per_second=self.background_photons_at_receiver_per_second,
        )
        check_positive(afterpulse_decay_s=self.afterpulse_decay_s)
        if not self.is_passive and self.setting_period_s is None:
            raise ValueError(
                "`setting_period_s` must be given with an active receiver, but is None."
            )
        if self.is_passive and self.setting_period_s is not None:
            raise ValueError(
                "`setting_period_s` must be None with a passive receiver, but is "
                f"{self.setting_period_s}."
            )
        if self.setting_period_s is not None:
            check_positive(setting_period_s=self.setting_period_s)
        self._check_probabilities()

    def _check_probabilities(self) -> None:
        chosen, detectors = self.probabilities, len(self.receiver.detectors)
        if not (
            0 < len(chosen) <= 128
            and all(0 <= p <= 1 for p in chosen)
            and math.isclose(sum(chosen), 1, rel_tol=0, abs_tol=1e-9)
        ):
            raise ValueError(
                f"`probabilities` must be 1 to 128 numbers in [0, 1] that sum to 1, but are "
                f"{chosen}."
            )
        if self.is_passive and detectors != 2 * len(chosen):
            raise ValueError(
                f"A passive receiver must have 2 detectors for each of {len(chosen)} settings, but "
                f"has {detectors}."
            )

    @property
    def is_passive(self) -> bool:
        """Whether a beam splitter chooses the setting."""
        return self.receiver.basis_choice is BasisChoice.PASSIVE

    @property
    def detectors(self) -> tuple[Detector, ...]:
        """The receiver's detectors."""
        return self.receiver.detectors

    @property
    def transmission(self) -> float:
        """Fraction of the light that reaches the detectors, before their efficiency."""
        return transmission_of(self.link_loss_db) * self.receiver.transmission

    @property
    def stray_per_second(self) -> float:
        """Stray photons that the best detector would see, if all of them came to it."""
        entering = self.background_photons_at_receiver_per_second
        return entering * self.receiver.transmission * self.best_efficiency

    @property
    def best_efficiency(self) -> float:
        """Largest efficiency of its detectors."""
        return max(detector.efficiency for detector in self.detectors)
