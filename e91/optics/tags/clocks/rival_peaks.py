"""Whether a coincidence peak is the only one that may be the true one.

Clicks of a pulsed source have a peak at every multiple of its period: pairs of clicks of different
pulses.  The true one, of the same pulse, is higher by 1 / p only, p being the chance that a pulse
gives a pair: little for a good quantum dot, and nothing for a perfect one.
"""

import math

import numpy as np
from numpy.typing import NDArray

from e91.optics.tags.clocks.search import FALSE_PEAK, ClockLine, SearchRange, Seconds, differences

OWN_WINDOWS = 4
"""How far from a peak, in windows, another one is looked for: nearer is its own foot."""

_FAR_WINDOWS, _FARTHEST_WINDOWS = 64, 2**16
_PAIRS = 2**21
_BINS_PER_WINDOW = 8  # so that no peak is cut by the grid
_UNEVEN_SIGMAS = 6.0


def may_be_lower_by_chance(lower: float, higher: float, *, places: float = 1.0) -> bool:
    """Return whether of two equal peaks one may have had so few counts and the other so many.

    Chernoff's bound for a binomial count of probability 1/2, times the number of places.

    Args:
        lower: Counts of one peak.
        higher: Counts of the other, not fewer.
        places: How many peaks there were to choose from.

    Examples:
        >>> may_be_lower_by_chance(90, 110), may_be_lower_by_chance(900, 1300)
        (True, False)
    """
    total = lower + higher
    if not total:
        return True
    parts = [part / total for part in (lower, higher) if part]
    exponent = total * (math.log(2) + sum(part * math.log(part) for part in parts))
    return places * math.exp(-min(exponent, 700.0)) > FALSE_PEAK


def rival_delay_s(
    alice: Seconds, bob: Seconds, line: ClockLine, *, span: SearchRange, window_s: float
) -> float | None:
    """Return how far from a peak another one lies that may as well be the true one, or None.

    The counts of the windows around the peak tell whether the background is even, as that of a
    continuous source.  Only if it is not, other peaks are looked at: then the peak must exceed
    each of them by more than chance.  Up to 2**16 windows away are looked at, and as many as hold
    2**21 pairs of tags, but 64 at least: a source that is pulsed has side peaks there.

    Args:
        alice: Alice's times, ascending; the tags in which the line was found.
        bob: Bob's.
        line: The peak.
        span: Where it may be; no rival lies elsewhere.
        window_s: Full width of the coincidence window.
    """
    bins, border = _histogram(alice, bob, line, span=span, window_s=window_s)
    in_window = np.convolve(bins, np.ones(_BINS_PER_WINDOW), mode="valid")
    delays = border + (np.arange(len(in_window)) + _BINS_PER_WINDOW / 2) * _width(window_s)
    own = np.abs(delays) <= window_s
    others = np.abs(delays) > (OWN_WINDOWS + 0.5) * window_s
    if not others.any() or _is_even(in_window[others][::_BINS_PER_WINDOW]):
        return None
    rival = int(np.argmax(np.where(others, in_window, -1)))
    peak = float(in_window[own].max(initial=0))
    if in_window[rival] < peak and not may_be_lower_by_chance(
        float(in_window[rival]), peak, places=len(delays)
    ):
        return None
    return float(delays[rival])


def _width(window_s: float) -> float:
    return window_s / _BINS_PER_WINDOW


def _histogram(
    alice: Seconds, bob: Seconds, line: ClockLine, *, span: SearchRange, window_s: float
) -> tuple[NDArray[np.int64], float]:
    """Return how many leads exceed the line by how much, in fine bins, and the first border."""
    density = len(bob) / max(float(bob[-1] - bob[0]), window_s)
    within_pairs = _PAIRS / (2 * len(alice) * density)
    reach = min(max(_FAR_WINDOWS * window_s, within_pairs), _FARTHEST_WINDOWS * window_s)
    lowest = max(-reach, span.lowest_s - line.lead_s - window_s)
    highest = min(reach, span.highest_s - line.lead_s + window_s)
    count = math.ceil((highest - lowest) / _width(window_s))
    margin = abs(line.slope) * float(alice[-1] - alice[0] + 2 * reach)
    place, lead = differences(
        alice,
        bob,
        lowest_s=line.lead_s + lowest - margin,
        highest_s=line.lead_s + highest + margin,
    )
    excess = lead - line.lead_s - line.slope * (bob[place] - line.time_s)
    bins = np.floor((excess - lowest) / _width(window_s)).astype(np.int64)
    inside = bins[(bins >= 0) & (bins < count)]
    return np.bincount(inside, minlength=max(count, _BINS_PER_WINDOW)), lowest


def _is_even(counts: NDArray[np.float64]) -> bool:
    """Return whether counts scatter as Poisson counts of one mean do."""
    mean = float(counts.mean())
    if not mean:
        return True
    scatter = float(((counts - mean) ** 2).sum()) / mean
    return scatter <= len(counts) + _UNEVEN_SIGMAS * math.sqrt(len(counts) * (2 + 1 / mean))
