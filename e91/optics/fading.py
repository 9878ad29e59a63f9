"""Light that comes and goes: averages over a shaking beam and over turbulent air.

What is averaged must be what is counted: coincidences, or the key that an interval of time gives.
The key of the mean loss, or of the mean error rate, is another number, and may be larger.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from scipy.special import chndtr, roots_hermitenorm, roots_laguerre

from e91.model.numbers import Floats, check_not_negative, check_positive
from e91.optics.arms import Arm

NODES = 64
"""Points of a quadrature; twice as many change no tested mean by more than 1e-9."""

_DARKEST = 1e-100  # stands for no light at all, whose loss would be infinite


@dataclass(frozen=True, eq=False)
class Fading:
    """A distribution of the transmission, as points with weights.

    Attributes:
        transmissions: Possible values; float64, shape (n,), read-only.
        weights: Their probabilities, which sum to 1; float64, shape (n,), read-only.

    Raises:
        ValueError: The shapes differ, a transmission is negative, or the weights are none.
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
        function: Of as many transmissions as there are fadings, for instance the key per second.
        fadings: One for each arm that fades.

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

    Raises:
        ValueError: ``factor`` is negative or not finite.

    Examples:
        >>> from e91.optics.arms import simple_arm
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
