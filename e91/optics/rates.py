"""Clicks and coincidences per second of a continuous source, for every pair of detectors.

Each detector counts for itself: efficiency, noise, dead time, after-pulses and jitter may differ.

Clicks are taken as independent.  Where a detector is dead for more than about a hundredth of the
time its clicks are not, and two unequal detectors then correlate key bits with the time since the
last click: no rate shows that, time tags do.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import erf

from e91.model.numbers import Floats, check_positive
from e91.optics.arms import Arm
from e91.optics.sources import ContinuousSource


def recorded_per_second(
    primary_per_second: ArrayLike, *, dead_time_s: ArrayLike, afterpulse_probability: ArrayLike
) -> Floats:
    """Return the clicks that a detector records.

    Args:
        primary_per_second: Clicks by photons and the dark if it never were dead; any shape.
        dead_time_s: Dead time after every recorded click.
        afterpulse_probability: Chance that a recorded click is followed by one more, which
            comes when the dead time is over.

    Returns:
        r / (1 - p + r t): a fraction R t of the time is dead, so R = r (1 - R t) + p R, and the
        rest, 1 - R t, is live.

    Source:
        Non-paralysable dead time, e.g. Neumann et al., Phys. Rev. A 104, 022406 (2021); the
        after-pulses are added here, derived as above.

    Examples:
        >>> float(recorded_per_second(1e6, dead_time_s=1e-6, afterpulse_probability=0.0))
        500000.0
    """
    primary = np.asarray(primary_per_second, np.float64)
    dead, more = np.asarray(dead_time_s), np.asarray(afterpulse_probability)
    recorded: Floats = primary / (1 - more + primary * dead)
    return recorded


def outer(alice: Floats, bob: Floats) -> tuple[Floats, Floats]:
    """Return what belongs to Alice's and to Bob's detectors, to be broadcast as ``[x, y, a, b]``.

    Args:
        alice: Shape (Alice's settings, 2).
        bob: Shape (Bob's settings, 2).

    Examples:
        >>> [part.shape for part in outer(np.ones((3, 2)), np.ones((1, 2)))]
        [(3, 1, 2, 1), (1, 1, 1, 2)]
    """
    return alice[:, None, :, None], bob[None, :, None, :]


def both_live_gain(
    live_alice: ArrayLike,
    live_bob: ArrayLike,
    *,
    joint_per_second: ArrayLike,
    dead_time_s: ArrayLike,
) -> Floats:
    """Return how much likelier two detectors are live at once than if each were so by itself.

    A pair that makes both click leaves both dead for a time, so they are live together more often
    than the product of their live fractions says: by half for two efficient detectors that are
    dead half of the time.

    Args:
        live_alice: Live fraction l of Alice's detector; any shape.
        live_bob: Live fraction m of Bob's.
        joint_per_second: Rate c of pairs that hit both, whether they are live or not.
        dead_time_s: The shorter of both dead times, t; with after-pulses t / (1 - p q).

    Returns:
        1 / (1 - c t sqrt(l m)), at most 1 / max(l, m).

    Source:
        Derived here: to first order in c t both are dead for a fraction c t because of pairs; if
        every click is of a pair and the dead times are equal, both are live for 1 / (1 + c t),
        which this meets exactly.  Between, simulations agree to 1 % up to c t = 1/2, where the
        product alone is 30 % too low (`tests/optics/test_optics_thrown.py`).

    Examples:
        >>> float(both_live_gain(0.5, 0.5, joint_per_second=1e6, dead_time_s=1e-6))
        2.0
    """
    live_a, live_b = np.asarray(live_alice, np.float64), np.asarray(live_bob, np.float64)
    shared = np.asarray(joint_per_second) * np.asarray(dead_time_s) * np.sqrt(live_a * live_b)
    most = 1 / np.maximum(live_a, live_b)
    gain: Floats = np.minimum(1 / np.maximum(1 - shared, 1e-9), most)
    return gain


def blocked_pulses(dead_time_s: ArrayLike, *, repetition_rate_hz: float) -> Floats:
    """Return how many of the following pulses a click makes a detector miss.

    Examples:
        >>> blocked_pulses([0.0, 5e-9, 25e-9, 20e-9], repetition_rate_hz=1e8).tolist()
        [0.0, 0.0, 2.0, 1.0]
    """
    periods = np.asarray(dead_time_s, np.float64) * repetition_rate_hz
    # A dead time of whole periods ends when the next pulse comes; 1e-9 absorbs the rounding.
    blocked: Floats = np.maximum(np.ceil(periods - 1e-9) - 1, 0)
    return blocked


def within_window(window_s: float, spread_fwhm_s: ArrayLike) -> Floats:
    """Return the chance that a Gaussian spread of times leaves an event in a centred window.

    Args:
        window_s: Full width of the window.
        spread_fwhm_s: Full width at half maximum of the spread; 0 for none; any shape.

    Returns:
        erf(sqrt(ln 2) window / spread), 1 without spread; float64, the same shape.

    Raises:
        ValueError: ``window_s`` is not positive and finite.

    Source:
        Neumann et al., Phys. Rev. A 104, 022406 (2021): the integral of a Gaussian.

    Examples:
        >>> float(within_window(2.5e-9, 1.2e-9).round(4))
        0.9858
    """
    check_positive(window_s=window_s)
    spread = np.asarray(spread_fwhm_s, np.float64)
    with np.errstate(divide="ignore"):
        inside: Floats = erf(np.sqrt(np.log(2)) * window_s / spread)
    return inside


def timing_spread_fwhm_s(source: ContinuousSource, alice: Arm, bob: Arm) -> Floats:
    """Return the spread of the time between the two clicks of a pair.

    Returns:
        Full width at half maximum for each pair of detectors; float64, shape (Alice's settings,
        Bob's settings, 2, 2), as of `Arm.efficiencies`.

    Source:
        Jitters, coherence time and chromatic spread add in squares.  The photons of a pair have
        opposite detunings, so the dispersions of the two arms add with their signs and cancel if
        they are opposite (Franson, Phys. Rev. A 45, 3126 (1992)).
    """
    jitter_a, jitter_b = alice.per_detector("jitter_fwhm_s"), bob.per_detector("jitter_fwhm_s")
    dispersion_s = (alice.dispersion_ps_per_nm + bob.dispersion_ps_per_nm) * 1e-12
    own = source.coherence_time_s**2 + (dispersion_s * source.bandwidth_nm) ** 2
    both = jitter_a[:, None, :, None] ** 2 + jitter_b[None, :, None, :] ** 2
    return np.sqrt(both + own)


def continuous_rates(
    source: ContinuousSource, alice: Arm, bob: Arm, *, pair_table: ArrayLike, window_s: float
) -> tuple[Floats, Floats]:
    """Return coincidences of a continuous source, true and accidental.

    Args:
        source: Pairs at random times.
        alice: Alice's arm.
        bob: Bob's.
        pair_table: Probability of a pair's polarisation outcomes, ``[x, y, a, b]``.
        window_s: Full width of the coincidence window.

    Returns:
        Coincidences per second of detector pairs, ``[x, y, a, b]``: those of two photons of a
        pair, and those of unrelated clicks.  With an active receiver a setting is understood to
        be chosen all the time.  Read-out errors are not in them.

    Raises:
        ValueError: The window is not positive or longer than a dead time, or the table does not
            fit the arms.

    Source:
        Neumann et al., Phys. Rev. A 104, 022406 (2021), for each pair of detectors.  Clicks of
        independent pairs have exactly these two terms in their cross-correlation.  A dead time
        enters by the mean live fractions and, beyond the paper, by
        `e91.optics.rates.both_live_gain`.
    """
    table = np.asarray(pair_table, np.float64)
    _check_window(window_s, alice, bob)
    recorded_a, live_a = counting(alice, source.pairs_per_second, marginal=table.sum(axis=3))
    by_bob = table.sum(axis=2).swapaxes(0, 1)
    recorded_b, live_b = counting(bob, source.pairs_per_second, marginal=by_bob)
    eta_a, eta_b = outer(alice.efficiencies, bob.efficiencies)
    joint = source.pairs_per_second * table * eta_a * eta_b
    live = outer(live_a, live_b)
    gain = both_live_gain(*live, joint_per_second=joint, dead_time_s=shared_dead_time(alice, bob))
    caught = within_window(window_s, timing_spread_fwhm_s(source, alice, bob))
    singles = outer(recorded_a, recorded_b)
    return joint * live[0] * live[1] * gain * caught, singles[0] * singles[1] * window_s * gain


def shared_dead_time(alice: Arm, bob: Arm, *, unit_s: float = 0.0) -> Floats:
    """Return for how long a pair that makes two detectors click keeps both dead.

    Args:
        alice: Alice's arm.
        bob: Bob's.
        unit_s: Time between pulses, for an answer in pulses; 0 for an answer in seconds.

    Returns:
        The shorter dead time, prolonged if both have after-pulses; float64, shape (Alice's
        settings, Bob's settings, 2, 2).
    """
    dead = [arm.per_detector("dead_time_s") for arm in (alice, bob)]
    if unit_s:
        dead = [blocked_pulses(times, repetition_rate_hz=1 / unit_s) for times in dead]
    more = outer(*(arm.per_detector("afterpulse_probability") for arm in (alice, bob)))
    shorter: Floats = np.minimum(*outer(*dead))
    return shorter / (1 - more[0] * more[1])


def singles_per_second(arm: Arm, pairs_per_second: float) -> Floats:
    """Return the clicks of each detector of an arm under unpolarised light, shape (settings, 2)."""
    uniform = np.full((len(arm.efficiencies), 1, 2), 0.5)
    return counting(arm, pairs_per_second, marginal=uniform)[0]


def counting(arm: Arm, pairs_per_second: float, *, marginal: Floats) -> tuple[Floats, Floats]:
    """Return what each detector of an arm records, and the fraction of the time it is live.

    Args:
        arm: The arm.
        pairs_per_second: Of a continuous source.
        marginal: Probability of this party's outcome, ``[own setting, other's setting, a]``.

    Returns:
        Clicks per second and live fractions; float64, shape (settings, 2) each.

    Raises:
        ValueError: The number of settings does not fit the receiver.
    """
    share = marginal.mean(axis=1)
    rows = max(len(share), len(arm.efficiencies))
    if {len(share), len(arm.efficiencies)} - {1, rows}:
        raise ValueError(
            f"`pair_table` must have as many settings as the receiver, {len(arm.efficiencies)}, "
            f"but has {len(share)}."
        )
    primary = pairs_per_second * share * arm.efficiencies + arm.noise_per_second
    habits = {name: arm.per_detector(name) for name in ("dead_time_s", "afterpulse_probability")}
    recorded = recorded_per_second(primary, **habits)
    return recorded, 1 - recorded * habits["dead_time_s"]


def _check_window(window_s: float, alice: Arm, bob: Arm) -> None:
    check_positive(window_s=window_s)
    dead = [arm.per_detector("dead_time_s") for arm in (alice, bob)]
    shortest = min(float(times[times > 0].min(initial=np.inf)) for times in dead)
    if window_s > shortest:
        raise ValueError(
            f"`window_s` must not exceed a detector's dead time, {shortest:g}, but is {window_s:g}."
        )
