"""What a detector makes of the clicks that it should give: dead time and after-pulses, on average.

Clicks are taken as independent.  Where a detector is dead for more than about a hundredth of the
time its clicks are not, and two unequal detectors then correlate key bits with the time since the
last click: no rate shows that, time tags do.
"""

import numpy as np
from numpy.typing import ArrayLike

from e91.model.numbers import Floats


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
        r / (1 - p + r t): a fraction R t of the time is dead, so R = r (1 - R t) + p R.

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


def live_fraction(
    primary_per_second: ArrayLike, *, dead_time_s: ArrayLike, afterpulse_probability: ArrayLike
) -> Floats:
    """Return the fraction of the time in which a detector can click; as `recorded_per_second`.

    Examples:
        >>> float(live_fraction(1e6, dead_time_s=1e-6, afterpulse_probability=0.0))
        0.5
    """
    recorded = recorded_per_second(
        primary_per_second, dead_time_s=dead_time_s, afterpulse_probability=afterpulse_probability
    )
    live: Floats = 1 - recorded * np.asarray(dead_time_s)
    return live


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
