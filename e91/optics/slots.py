"""Outcomes of pulses and time slots at every setting pair, no click among them.

Each detector counts for itself: efficiency, noise, dead time, after-pulses and jitter may differ.
What a detector did in earlier slots enters through its mean only; see `e91.optics.saturation`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import erf

from e91.model.numbers import Floats, check_positive
from e91.optics.arms import Arm, misread
from e91.optics.clicks import Hits, poissonian_slot, pulse
from e91.optics.detectors import FWHM_PER_SIGMA
from e91.optics.lifetimes import CascadeGates
from e91.optics.rates import counting, shared_dead_time, timing_spread_fwhm_s, within_window
from e91.optics.saturation import (
    blocked_pulses,
    both_live_gain,
    live_fraction,
    outer,
    recorded_per_second,
)
from e91.optics.sources import ContinuousSource, PulsedSource, QuantumDot


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
    c / (1 - p + c k) in the mean, as in `e91.optics.saturation` with the pulse as unit of time.
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
    live = live_fraction(primary, dead_time_s=blocked, afterpulse_probability=more)
    recorded = recorded_per_second(primary, dead_time_s=blocked, afterpulse_probability=more)
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
