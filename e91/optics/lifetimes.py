"""Which gates the photons of a cascade fall in: exponential delays, Gaussian jitters.

A quantum dot's first photon comes a time T after its pulse and the second a time U after that,
both exponential.  Seen through a gate about each pulse, some of the pairs lose one photon, and
some photons fall into the gate of a later pulse.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log_ndtr, ndtr

from e91.model.numbers import Floats, check_not_negative, check_positive

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(20)
_LIFETIMES = np.array([0.0, 0.5, 1, 2, 4, 8, 16, 45])  # exp(-45) is less than a float's last digit
_SIGMAS = np.array([-9.0, -6, -4, -2, 0, 2, 4, 6, 9])


def delayed_before(time_s: ArrayLike, *, lifetime_s: float, sigma_s: float) -> Floats:
    """Return the chance that an exponential delay plus a Gaussian one is below a time.

    Args:
        time_s: The time; any shape.
        lifetime_s: Mean of the exponential delay; 0 for none.
        sigma_s: Standard deviation of the Gaussian one, of mean 0; 0 for none.

    Returns:
        Phi(t / s) - exp(s^2 / (2 l^2) - t / l) Phi(t / s - s / l), which is 1 - exp(-t / l)
        without jitter; float64, the same shape.

    Raises:
        ValueError: A number is negative or not finite.

    Source:
        The integral of the exponential's density over the Gaussian's distribution, by parts;
        checked against delays thrown at random and against quadrature.

    Examples:
        >>> float(delayed_before(1e-9, lifetime_s=1e-9, sigma_s=0.0).round(6))
        0.632121
        >>> float(delayed_before(0.0, lifetime_s=1e-9, sigma_s=1e-9).round(6))
        0.238422
    """
    check_not_negative(lifetime_s=lifetime_s, sigma_s=sigma_s)
    time = np.asarray(time_s, np.float64)
    if not lifetime_s:
        return _before(time, sigma_s)
    if not sigma_s:
        return -np.expm1(-np.maximum(time, 0) / lifetime_s)
    ratio = sigma_s / lifetime_s
    # The exponential may overflow where the Gaussian underflows: their logarithms add up.
    late = log_ndtr(time / sigma_s - ratio) + ratio**2 / 2 - time / lifetime_s
    before: Floats = np.maximum(ndtr(time / sigma_s) - np.exp(late), 0)
    return before


@dataclass(frozen=True)
class CascadeGates:
    """How a dot's two photons are spread, and the gates about its pulses.

    Each party's gate is centred on the mean delay of its photons.

    Attributes:
        first_lifetime_s: Mean of T, from the pulse to Alice's photon.
        second_lifetime_s: Mean of U, from her photon to Bob's.
        window_s: Full width of both gates.
        period_s: Time between two pulses.

    Raises:
        ValueError: A lifetime is negative or not finite, or another number not positive.
    """

    first_lifetime_s: float
    second_lifetime_s: float
    window_s: float
    period_s: float

    def __post_init__(self) -> None:
        check_not_negative(
            first_lifetime_s=self.first_lifetime_s, second_lifetime_s=self.second_lifetime_s
        )
        check_positive(window_s=self.window_s, period_s=self.period_s)

    @property
    def last_gate(self) -> int:
        """Number of the last gate that a photon may fall in, but for a chance of about 1e-15."""
        slowest = max(self.first_lifetime_s, self.second_lifetime_s)
        return math.ceil((40 * slowest + self.window_s / 2) / self.period_s) if slowest else 0

    def alice(self, gate: int, *, sigma_s: float) -> float:
        """Return the chance that Alice's photon is seen in the gate of the pulse ``gate`` later.

        Args:
            gate: 0 for its own pulse's.
            sigma_s: Standard deviation of her detector's jitter.

        Examples:
            >>> gates = CascadeGates(1e-10, 2e-10, window_s=1e-9, period_s=1e-8)
            >>> round(gates.alice(0, sigma_s=0.0), 6), round(1 - float(np.exp(-6)), 6)
            (0.997521, 0.997521)
        """
        edges = self._edges(gate, self.first_lifetime_s)
        before = delayed_before(edges, lifetime_s=self.first_lifetime_s, sigma_s=sigma_s)
        return float(before[1] - before[0])

    def bob(self, gate: int, *, sigma_s: float) -> float:
        """Return the same for Bob's photon, which comes T + U after the pulse."""
        return self._integral(gate, sigma_a_s=None, sigma_b_s=sigma_s)

    def both(self, gate: int, *, sigma_a_s: float, sigma_b_s: float) -> float:
        """Return the chance that both photons of a pair are seen in that gate.

        Args:
            gate: 0 for their own pulse's.
            sigma_a_s: Standard deviation of the jitter of Alice's detector.
            sigma_b_s: Of Bob's.

        Examples:
            >>> gates = CascadeGates(0.0, 2e-10, window_s=1e-9, period_s=1e-8)
            >>> round(gates.both(0, sigma_a_s=0.0, sigma_b_s=0.0), 6)
            0.969803
        """
        return self._integral(gate, sigma_a_s=sigma_a_s, sigma_b_s=sigma_b_s)

    def _edges(self, gate: int, mean_delay_s: float) -> Floats:
        centre = mean_delay_s + gate * self.period_s
        return np.array([centre - self.window_s / 2, centre + self.window_s / 2])

    def _integral(self, gate: int, *, sigma_a_s: float | None, sigma_b_s: float) -> float:
        """Integrate over T, which both photons share; without ``sigma_a_s`` over Bob's alone."""
        lifetime = self.first_lifetime_s
        alice_edges = self._edges(gate, lifetime)
        bob_edges = self._edges(gate, lifetime + self.second_lifetime_s)

        def seen(time: Floats) -> Floats:
            low, high = (
                delayed_before(edge - time, lifetime_s=self.second_lifetime_s, sigma_s=sigma_b_s)
                for edge in bob_edges
            )
            if sigma_a_s is None:
                return high - low
            begin, end = (_before(edge - time, sigma_a_s) for edge in alice_edges)
            within: Floats = end - begin
            return within * (high - low)

        if not lifetime:
            return float(seen(np.zeros(1))[0])
        borders = [lifetime * _LIFETIMES, *(edge + sigma_b_s * _SIGMAS for edge in bob_edges)]
        if sigma_a_s is not None:
            borders += [edge + sigma_a_s * _SIGMAS for edge in alice_edges]
        return _expected(seen, borders=np.concatenate(borders), lifetime=lifetime)


def _before(time: Floats, sigma: float) -> Floats:
    """Return the chance that a Gaussian delay, or none, is below a time."""
    with np.errstate(divide="ignore", invalid="ignore"):
        before: Floats = ndtr(time / sigma) if sigma else np.where(time > 0, 1.0, 0.0)
    return before


def _expected(seen: Callable[[Floats], Floats], *, borders: Floats, lifetime: float) -> float:
    """Return the mean of a function of an exponential time that is smooth between borders."""
    inside = np.unique(np.clip(borders, 0, lifetime * _LIFETIMES[-1]))
    half = np.diff(inside) / 2
    time = (inside[:-1] + half)[:, None] + half[:, None] * _NODES
    density = np.exp(-time / lifetime) / lifetime
    return float((half[:, None] * _WEIGHTS * density * seen(time)).sum())
