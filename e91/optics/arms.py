"""One arm of the experiment, from the source to one party's clicks, and light that comes and goes.

Averages are over a shaking beam and over turbulent air.  What is averaged must be what is counted:
coincidences, or the key that an interval of time gives.  The key of the mean loss, or of the mean
error rate, is another number, and may be larger.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from scipy.special import chndtr, roots_hermitenorm, roots_laguerre

from e91.model.numbers import (
    Floats,
    check_finite,
    check_fractions,
    check_not_negative,
    check_positive,
)
from e91.optics.detectors import BasisChoice, Detector, Receiver
from e91.optics.links import Fibre, FreeSpace, transmission_of

NODES = 64
"""Points of a quadrature; twice as many change no tested mean by more than 1e-9."""

_DARKEST = 1e-100  # stands for no light at all, whose loss would be infinite


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
        """Return one attribute of every `Detector`; float64, shape (settings, 2).

        Args:
            attribute: Name of a field of `Detector`.
        """
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

    Returns:
        The arm from source to clicks.

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

    Returns:
        The arm, with perfect analysers.

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


@dataclass(frozen=True, eq=False)
class Fading:
    """A distribution of the transmission, as points with weights.

    Attributes:
        transmissions: Possible values; float64, shape (n,), read-only.
        weights: Their probabilities, which sum to 1; float64, shape (n,), read-only.

    Raises:
        ValueError: The shapes differ, a transmission is negative, or the weights are none.

    Examples:
        >>> Fading(np.array([0.0, 0.5]), np.array([0.25, 0.75])).mean
        0.375
    """

    transmissions: Floats
    weights: Floats

    def __post_init__(self) -> None:
        for name in ("transmissions", "weights"):
            array = np.array(getattr(self, name), np.float64)
            if array.ndim != 1 or not array.size or not array.min() >= 0:
                raise ValueError(
                    f"`{name}` must be numbers of shape (n,), not negative, but has shape "
                    f"{array.shape}."
                )
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        if len(self.weights) != len(self.transmissions):
            raise ValueError(
                f"`weights` must have the length of `transmissions`, {len(self.transmissions)}, "
                f"but has {len(self.weights)}."
            )
        if not math.isclose(float(self.weights.sum()), 1, rel_tol=0, abs_tol=1e-9):
            raise ValueError(f"`weights` must sum to 1, but sum to {self.weights.sum():.12g}.")

    @property
    def mean(self) -> float:
        """The mean transmission."""
        return float(self.transmissions @ self.weights)


def mean_over(function: Callable[..., float], *fadings: Fading) -> float:
    """Return the mean of a function of independent transmissions.

    Args:
        function: Takes one transmission for each fading, and gives for instance the key per second.
        fadings: One for each arm that fades.

    Returns:
        The mean over all of them, in the unit of ``function``.

    Examples:
        >>> half = Fading(np.array([0.0, 1.0]), np.array([0.5, 0.5]))
        >>> mean_over(lambda alice, bob: alice * bob, half, half)
        0.25
    """
    points = product(*(zip(f.transmissions, f.weights, strict=True) for f in fadings))
    return math.fsum(
        math.prod(float(weight) for _, weight in point) * function(*(float(t) for t, _ in point))
        for point in points
    )


def faded(arm: Arm, factor: float) -> Arm:
    """Return an arm in a moment in which its link passes ``factor`` times the usual light.

    Args:
        arm: With its usual loss.
        factor: From a `Fading`, not negative; the loss never falls below 0 dB.

    Returns:
        A new arm that differs in its loss, in dB, alone.

    Raises:
        ValueError: ``factor`` is negative or not finite.

    Examples:
        >>> faded(simple_arm(20.0), 0.1).loss_db, faded(simple_arm(3.0), 100.0).loss_db
        (30.0, 0.0)
    """
    check_not_negative(factor=factor)
    change_db = -10 * math.log10(max(factor, _DARKEST))
    return replace(arm, loss_db=max(0.0, arm.loss_db + change_db))


def pointing_fading(
    beam_radius_m: float, receiver_diameter_m: float, *, offset_m: float, nodes: int = NODES
) -> Fading:
    """Return how a telescope's share of a beam fluctuates if the beam wanders.

    Args:
        beam_radius_m: 1/e^2 radius w of the beam at rest, at the telescope.
        receiver_diameter_m: Of the telescope.
        offset_m: Standard deviation s of the beam's centre along each axis.
        nodes: Points of the quadrature.

    Returns:
        The fraction that is collected at an offset r is that of a noncentral chi-square with two
        degrees of freedom, and r is Rayleigh distributed.  For a small telescope the fraction,
        over that at rest, has the beta distribution B(w^2 / 4 s^2, 1).

    Raises:
        ValueError: An argument is negative or not finite, or a size is 0.

    Source:
        The integral of a displaced Gaussian over a disc; the beta law is that of Toyoshima et
        al., J. Opt. Soc. Am. A 15, 1936 (1998).

    Examples:
        >>> round(pointing_fading(5.0, 1.2, offset_m=1.0).mean, 9)
        0.024521917
    """
    check_positive(beam_radius_m=beam_radius_m, receiver_diameter_m=receiver_diameter_m)
    check_not_negative(offset_m=offset_m)
    points, weights = roots_laguerre(nodes)  # r^2 / 2 s^2 is exponentially distributed
    offset = 2 * offset_m**2 * points
    inside = chndtr((receiver_diameter_m / beam_radius_m) ** 2, 2, 4 * offset / beam_radius_m**2)
    return Fading(inside, weights / weights.sum())


def log_normal_fading(scintillation_index: float, *, nodes: int = NODES) -> Fading:
    """Return how the light behind turbulent air fluctuates, relative to its mean.

    Args:
        scintillation_index: Variance of the intensity over the square of its mean; below 1 in
            the weak turbulence for which the law holds.
        nodes: Points of the quadrature.

    Returns:
        Factors exp(s z - s^2 / 2), z normal and s^2 = log(1 + index), of mean 1; some exceed 1.

    Raises:
        ValueError: The index is negative or not finite.

    Source:
        Andrews and Phillips, Laser Beam Propagation through Random Media (2005), chapter 11.

    Examples:
        >>> fading = log_normal_fading(0.2)
        >>> float((fading.transmissions**2 @ fading.weights).round(9))
        1.2
    """
    check_not_negative(scintillation_index=scintillation_index)
    spread = math.sqrt(math.log1p(scintillation_index))
    points, weights = roots_hermitenorm(nodes)
    return Fading(np.exp(spread * points - spread**2 / 2), weights / weights.sum())
