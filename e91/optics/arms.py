"""One arm of the experiment: from the source to one party's clicks."""

import math
from dataclasses import dataclass

import numpy as np

from e91.model.numbers import Floats, check_finite, check_fractions, check_not_negative
from e91.optics.detectors import BasisChoice, Detector, Receiver
from e91.optics.links import Fibre, FreeSpace, transmission_of


@dataclass(frozen=True)
class Arm:
    """A loss, what stray light comes with it, and the receiver behind.

    Attributes:
        loss_db: From the source to the receiver's entrance, couplings included.
        receiver: What the light meets there.
        background_photons_at_receiver_per_second: Unpolarised stray light at the receiver's
            entrance, past the filters and before the receiver's losses.
        setting_probabilities: How a passive receiver's beam splitter shares the light among its
            settings; uniform if not given.  An active receiver has none.
        visibility: What the link leaves of the polarisation's length on the Bloch sphere, 0 to 1.
        dispersion_ps_per_nm: Chromatic dispersion of the link; it matters for continuous sources
            with a bandwidth.

    Raises:
        ValueError: A number is outside its range, or the probabilities do not fit the receiver.

    Examples:
        >>> arm = Arm(10.0, Receiver((Detector(0.5, 100.0), Detector(0.4, 50.0))))
        >>> arm.efficiencies.tolist(), arm.noise_per_second.tolist()
        ([[0.05, 0.04000000000000001]], [[100.0, 50.0]])
    """

    loss_db: float
    receiver: Receiver
    background_photons_at_receiver_per_second: float = 0.0
    setting_probabilities: tuple[float, ...] = ()
    visibility: float = 1.0
    dispersion_ps_per_nm: float = 0.0

    def __post_init__(self) -> None:
        check_not_negative(
            loss_db=self.loss_db,
            background_photons_at_receiver_per_second=self.background_photons_at_receiver_per_second,
        )
        check_fractions(visibility=self.visibility)
        check_finite(dispersion_ps_per_nm=self.dispersion_ps_per_nm)
        object.__setattr__(
            self, "setting_probabilities", tuple(map(float, self.setting_probabilities))
        )
        if self.setting_probabilities:
            self._check_probabilities()

    def _check_probabilities(self) -> None:
        given, count = self.setting_probabilities, len(self.receiver.detectors) // 2
        if self.receiver.basis_choice is BasisChoice.ACTIVE:
            raise ValueError(
                f"`setting_probabilities` must be empty for an active receiver, but is {given}."
            )
        if len(given) != count:
            raise ValueError(
                f"`setting_probabilities` must have {count} entries, but has {len(given)}."
            )
        if not min(given) >= 0 or not math.isclose(sum(given), 1, rel_tol=0, abs_tol=1e-9):
            raise ValueError(
                f"`setting_probabilities` must be probabilities that sum to 1, but is {given}."
            )

    @property
    def shares(self) -> Floats:
        """Part of the light that each row of detectors gets, shape (settings, 1)."""
        count = len(self.receiver.detectors) // 2
        return np.array(self.setting_probabilities or (1 / count,) * count)[:, None]

    @property
    def efficiencies(self) -> Floats:
        """Probability that a photon which leaves the source polarised for a detector clicks there.

        float64, shape (settings, 2): one row for an active receiver, whose detectors serve all
        settings; for a passive one each row has its share of the light.
        """
        through = transmission_of(self.loss_db) * self.receiver.transmission
        return through * self.shares * self.per_detector("efficiency")

    @property
    def noise_per_second(self) -> Floats:
        """Dark counts and detected stray light of each detector, shape (settings, 2)."""
        half = self.background_photons_at_receiver_per_second * self.receiver.transmission / 2
        stray = half * self.shares * self.per_detector("efficiency")
        return self.per_detector("dark_counts_per_second") + stray

    @property
    def readout_error(self) -> float:
        """Of the receiver."""
        return self.receiver.readout_error

    def per_detector(self, attribute: str) -> Floats:
        """Return one attribute of every `Detector`; float64, shape (settings, 2)."""
        values = [getattr(detector, attribute) for detector in self.receiver.detectors]
        return np.array(values, np.float64).reshape(-1, 2)


def arm_over(
    link: Fibre | FreeSpace, receiver: Receiver, *, setting_probabilities: tuple[float, ...] = ()
) -> Arm:
    """Return the arm that a link and a receiver make.

    Args:
        link: Its loss, stray light, drift and dispersion go into the arm.
        receiver: What stands at its end.
        setting_probabilities: See `Arm`.

    Examples:
        >>> arm_over(Fibre(100, 0.2), Receiver((Detector(0.2), Detector(0.2)))).loss_db
        20.0
    """
    if isinstance(link, Fibre):
        return Arm(
            link.loss_db,
            receiver,
            setting_probabilities=setting_probabilities,
            visibility=link.visibility,
            dispersion_ps_per_nm=link.dispersion_ps_per_nm,
        )
    return Arm(
        link.loss_db,
        receiver,
        background_photons_at_receiver_per_second=link.background_photons_at_receiver_per_second,
        setting_probabilities=setting_probabilities,
    )


def simple_arm(loss_db: float, noise_per_second: float = 0.0, *, dead_time_s: float = 0.0) -> Arm:
    """Return an arm as papers describe it: everything in one loss and one noise rate.

    Args:
        loss_db: From source to click, the detectors' efficiency included.
        noise_per_second: Clicks without a pair, both detectors together.
        dead_time_s: Of each detector.

    Examples:
        >>> simple_arm(32.0, 200.0).noise_per_second.tolist()
        [[100.0, 100.0]]
    """
    detector = Detector(1.0, noise_per_second / 2, dead_time_s=dead_time_s)
    return Arm(loss_db, Receiver((detector, detector)))


def misread(table: Floats, *, alice: float, bob: float) -> Floats:
    """Return outcomes after read-out errors, the chances that a bit is turned.

    Args:
        table: Chances or rates of the outcomes, ``[..., a, b]``, with or without no click.
        alice: Alice's read-out error.
        bob: Bob's.

    Examples:
        >>> slot = np.diag([0.5, 0.5, 0.0])
        >>> misread(slot, alice=0.1, bob=0.0).round(3).tolist()
        [[0.45, 0.05, 0.0], [0.05, 0.45, 0.0], [0.0, 0.0, 0.0]]
    """
    outcomes = table.shape[-1]
    turned: Floats = _turning(alice, outcomes) @ table @ _turning(bob, outcomes)
    return turned


def _turning(error: float, outcomes: int) -> Floats:
    matrix = np.eye(outcomes)
    matrix[:2, :2] = [[1 - error, error], [error, 1 - error]]
    return matrix
