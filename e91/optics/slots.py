"""Outcomes of pulses and time slots at every setting pair, no click among them.

Each detector counts for itself: efficiency, noise, dead time, after-pulses and jitter may differ.
What a detector did in earlier slots enters through its mean only; see `e91.optics.rates`.

A quantum dot's first photon comes a time T after its pulse and the second a time U after that,
both exponential.  Seen through a gate about each pulse, some of the pairs lose one photon, and
some photons fall into the gate of a later pulse.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import erf, log_ndtr, ndtr

from e91.model.numbers import Floats, check_not_negative, check_positive
from e91.optics.arms import Arm, misread
from e91.optics.clicks import Hits, poissonian_slot, pulse
from e91.optics.detectors import FWHM_PER_SIGMA
from e91.optics.rates import (
    blocked_pulses,
    both_live_gain,
    counting,
    outer,
    recorded_per_second,
    shared_dead_time,
    timing_spread_fwhm_s,
    within_window,
)
from e91.optics.sources import ContinuousSource, PulsedSource, QuantumDot

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


def pulsed_slots(
    source: PulsedSource | QuantumDot,
    alice: Arm,
    bob: Arm,
    *,
    pair_table: ArrayLike,
    window_s: float,
    steered_length: ArrayLike = 1.0,
) -> Floats:
    """Return the outcomes of one pulse at every setting pair.

    Args:
        source: Pairs at the ticks of a clock.
        alice: Alice's arm.
        bob: Bob's.
        pair_table: Probability of a pair's polarisation outcomes, ``[x, y, a, b]``.
        window_s: Full width of the gate about each pulse, at most the time between two.  With a
            quantum dot's lifetimes each party's gate lies about the mean delay of its photons.
        steered_length: For thermal sources; see `e91.optics.clicks.thermal_slot`.

    Returns:
        Probabilities ``[x, y, a, b]``, index 2 for no click, double clicks given a random bit;
        float64, shape (..., 3, 3).  With a passive receiver the setting is part of what is
        found: entries are for clicks at the detectors of x and y, whatever others do.

    Raises:
        ValueError: The window is not positive or longer than the time between two pulses, or a
            table does not fit.
    """
    check_positive(window_s=window_s)
    if window_s * source.repetition_rate_hz > 1 + 1e-9:
        raise ValueError(
            f"`window_s` must be at most the time between two pulses, "
            f"{1 / source.repetition_rate_hz:g}, but is {window_s:g}."
        )
    table = np.asarray(pair_table, np.float64)
    caught = _caught(source, alice, bob, window_s=window_s)
    by_bob = table.sum(axis=2).swapaxes(0, 1)
    first = _gated(alice, source, table.sum(axis=3), [own.alice for own in caught], window_s)
    second = _gated(bob, source, by_bob, [own.bob for own in caught], window_s)
    period_s = 1 / source.repetition_rate_hz
    dead = source.pairs_per_second * period_s * shared_dead_time(alice, bob, unit_s=period_s)
    hits = [
        _hits(table, *gates, pairs_while_dead=dead, together=own.together)
        for *gates, own in zip(first, second, caught, strict=True)
    ]
    slot = pulse(source, hits[0], steered_length=steered_length, late=hits[1:])
    return misread(slot, alice=alice.readout_error, bob=bob.readout_error)


@dataclass(frozen=True, eq=False)
class _Caught:
    """Chances that the photons of a pulse are seen in a gate, losses not included.

    Attributes:
        alice: Alice's, shape (settings, 2).
        bob: Bob's.
        together: How much likelier both are than if each were by itself; shape (Alice's settings,
            Bob's settings, 2, 2), or 1.
    """

    alice: Floats
    bob: Floats
    together: Floats | float = 1.0


def _caught(
    source: PulsedSource | QuantumDot, alice: Arm, bob: Arm, *, window_s: float
) -> list[_Caught]:
    """Return what is seen in the pulse's own gate, and then in those of other pulses."""
    jitters = [arm.per_detector("jitter_fwhm_s") for arm in (alice, bob)]
    if not isinstance(source, QuantumDot) or not source.mean_delays_s[1]:
        return [_Caught(*(within_window(window_s, jitter) for jitter in jitters))]
    gates = CascadeGates(
        source.biexciton_lifetime_s,
        source.exciton_lifetime_s,
        window_s=window_s,
        period_s=1 / source.repetition_rate_hz,
    )
    sigmas = [jitter / FWHM_PER_SIGMA for jitter in jitters]
    others = [-1, *range(1, gates.last_gate + 1)]
    return [_caught_in(gates, gate, *sigmas) for gate in (0, *others)]


def _caught_in(gates: CascadeGates, gate: int, sigma_a: Floats, sigma_b: Floats) -> _Caught:
    """Return what is seen in one gate, each pair of jitters worked out once."""
    chances = (
        lambda a: gates.alice(gate, sigma_s=a),
        lambda b: gates.bob(gate, sigma_s=b),
        lambda a, b: gates.both(gate, sigma_a_s=a, sigma_b_s=b),
    )
    alice, bob, both = (np.vectorize(cache(chance), otypes=[float]) for chance in chances)
    alice_caught, bob_caught = alice(sigma_a), bob(sigma_b)
    apart = np.multiply(*outer(alice_caught, bob_caught))
    joint = both(*outer(sigma_a, sigma_b))
    return _Caught(
        alice_caught, bob_caught, np.divide(joint, apart, out=np.ones_like(joint), where=apart > 0)
    )


@dataclass(frozen=True, eq=False)
class _Gate:
    """One party's detectors in a slot; shape (settings, 2) each.

    Attributes:
        efficiency: Of live detectors, all losses included.
        live: Chance that a detector is live.
        noise: Chance of a click that no photon makes.
    """

    efficiency: Floats
    live: Floats
    noise: Floats


def _hits(
    table: Floats,
    alice: _Gate,
    bob: _Gate,
    *,
    pairs_while_dead: Floats,
    together: Floats | float = 1,
) -> Hits:
    """Return what a pair does, with the mean number of pairs in the shorter of two dead times."""
    eta_a, eta_b = outer(alice.efficiency, bob.efficiency)
    gain = both_live_gain(
        *outer(alice.live, bob.live),
        joint_per_second=table * eta_a * eta_b,
        dead_time_s=pairs_while_dead,
    )
    return Hits(
        table,
        (alice.efficiency * alice.live)[:, None],
        (bob.efficiency * bob.live)[None],
        alice.noise[:, None],
        bob.noise[None],
        gain * together,
    )


def _gated(
    arm: Arm,
    source: PulsedSource | QuantumDot,
    marginal: Floats,
    caught: Sequence[Floats],
    window_s: float,
) -> list[_Gate]:
    """Return an arm's detectors in a gate, for photons of its own pulse and of each other one.

    A detector that clicks with chance c in a pulse misses the next k: it records
    c / (1 - p + c k) in the mean, as in `e91.optics.rates` with the pulse as unit of time.
    """
    leaving = source.extraction_efficiency if isinstance(source, QuantumDot) else 1.0
    efficiency, dark = arm.efficiencies * leaving, -np.expm1(-arm.noise_per_second * window_s)
    seen = efficiency * np.sum(caught, axis=0)
    pairs = source.pairs_per_second / source.repetition_rate_hz
    photons = -np.expm1(-pairs * marginal.mean(axis=1) * seen)
    primary = photons + dark - photons * dark
    more = arm.per_detector("afterpulse_probability")
    blocked = blocked_pulses(
        arm.per_detector("dead_time_s"), repetition_rate_hz=source.repetition_rate_hz
    )
    recorded = recorded_per_second(primary, dead_time_s=blocked, afterpulse_probability=more)
    live = 1 - recorded * blocked
    noise = 1 - (1 - dark * live) * (1 - more * recorded)
    return [_Gate(efficiency * own, live, noise) for own in caught]


def continuous_slots(
    source: ContinuousSource, alice: Arm, bob: Arm, *, pair_table: ArrayLike, slot_s: float
) -> Floats:
    """Return the outcomes of one slot of continuous light, cut by a common clock.

    Args:
        source: Pairs at random times.
        alice: Alice's arm.
        bob: Bob's.
        pair_table: Probability of a pair's polarisation outcomes, ``[x, y, a, b]``.
        slot_s: Length of the slot.

    Returns:
        As `pulsed_slots`.  A pair whose clicks an edge separates makes one click in each of two
        slots; that neighbouring slots then know of each other is left out.

    Raises:
        ValueError: The slot's length is not positive and finite, or a table does not fit.
    """
    check_positive(slot_s=slot_s)
    table = np.asarray(pair_table, np.float64)
    by_bob = table.sum(axis=2).swapaxes(0, 1)
    first = _slotted(alice, source, marginal=table.sum(axis=3), slot_s=slot_s)
    second = _slotted(bob, source, marginal=by_bob, slot_s=slot_s)
    hits = _hits(
        table,
        first,
        second,
        pairs_while_dead=source.pairs_per_second * shared_dead_time(alice, bob),
        together=within_one_slot(slot_s, timing_spread_fwhm_s(source, alice, bob)),
    )
    slot = poissonian_slot(hits, source.pairs_per_second * slot_s)
    return misread(slot, alice=alice.readout_error, bob=bob.readout_error)


def within_one_slot(slot_s: float, spread_fwhm_s: ArrayLike) -> Floats:
    """Return the chance that two clicks fall in one slot if the first falls there anywhere.

    Args:
        slot_s: Length of the slot, T.
        spread_fwhm_s: Full width at half maximum of the time between the clicks, a Gaussian of
            standard deviation s; any shape.

    Returns:
        The mean of max(0, 1 - |t| / T), that is
        erf(T / (s sqrt 2)) - sqrt(2 / pi) (s / T) (1 - exp(-T^2 / (2 s^2))).

    Examples:
        >>> within_one_slot(1e-9, [0.0, 1e-10, 1e-9]).round(4).tolist()
        [1.0, 0.9661, 0.6638]
    """
    sigma = np.asarray(spread_fwhm_s, np.float64) / np.sqrt(8 * np.log(2)) / slot_s
    with np.errstate(divide="ignore"):
        inside = erf(1 / (sigma * np.sqrt(2)))
        edge = -np.expm1(-1 / (2 * sigma**2))
    chance: Floats = inside - np.sqrt(2 / np.pi) * sigma * edge
    return chance


def _slotted(arm: Arm, source: ContinuousSource, *, marginal: Floats, slot_s: float) -> _Gate:
    """Return an arm's detectors in a slot, in which each clicks once at most."""
    recorded, live = counting(arm, source.pairs_per_second, marginal=marginal)
    noise = arm.noise_per_second * live + arm.per_detector("afterpulse_probability") * recorded
    return _Gate(arm.efficiencies, live, -np.expm1(-noise * slot_s))
