"""Find how far, and how much too fast, Bob's clock runs ahead of Alice's.

As Ho, Lamas-Linares and Kurtsiefer, New J. Phys. 11, 045011 (2009), who find it from the photon
pairs alone: first a cross-correlation of coarse bins by Fourier transform, then ever finer bins.
Here every stage also tries frequencies, and a peak counts only if a Poisson background would
make it with a probability below `FALSE_PEAK`.

Clicks of a pulsed source have a peak at every multiple of its period: pairs of clicks of different
pulses.  The true one, of the same pulse, is higher by 1 / p only, p being the chance that a pulse
gives a pair: little for a good quantum dot, and nothing for a perfect one.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Seconds = NDArray[np.float64]

FALSE_PEAK = 1e-9
"""Probability, at each attempt, of a peak where there is none; over all places and frequencies."""

_BINS = (2**17, 2**19, 2**21)
_TRANSFORMED_FREQUENCIES = 129
_MAXIMUM_PAIRS = 2**24
_MAXIMUM_FREQUENCIES = 1025
_DIRECT_WORK = 2**29

OWN_WINDOWS = 4
"""How far from a peak, in windows, another one is looked for: nearer is its own foot."""

_FAR_WINDOWS, _FARTHEST_WINDOWS = 64, 2**16
_PAIRS = 2**21
_BINS_PER_WINDOW = 8  # so that no peak is cut by the grid
_UNEVEN_SIGMAS = 6.0


@dataclass(frozen=True)
class ClockLine:
    """Bob's lead over Alice, as a line.

    Attributes:
        time_s: Bob's time, at which the lead is stated.
        lead_s: Bob's reading less Alice's, at the same instant.
        slope: How the lead grows with Bob's time, dimensionless.
        uncertainty_s: Half the width of the bins in which it was found.
        pairs: How many pairs of tags lie within a window of the line.
    """

    time_s: float
    lead_s: float
    slope: float
    uncertainty_s: float
    pairs: int = 0


@dataclass(frozen=True)
class SearchRange:
    """Where to look.

    Attributes:
        lowest_s: Smallest lead.
        highest_s: Largest lead.
        maximum_slope: Largest slope, either way.
    """

    lowest_s: float
    highest_s: float
    maximum_slope: float

    @property
    def width_s(self) -> float:
        """From the smallest lead to the largest."""
        return self.highest_s - self.lowest_s


def differences(
    alice: Seconds, bob: Seconds, *, lowest_s: float, highest_s: float
) -> tuple[NDArray[np.int64], Seconds]:
    """Return the indices of Bob's tags, and their times less Alice's, of all pairs within limits.

    Examples:
        >>> differences(np.array([1.0]), np.array([1.5, 9.0]), lowest_s=0.0, highest_s=1.0)
        (array([0]), array([0.5]))
    """
    low = np.searchsorted(bob, alice + lowest_s, side="left")
    count = np.searchsorted(bob, alice + highest_s, side="right") - low
    total = int(count.sum())
    if total > _MAXIMUM_PAIRS:
        raise ValueError(
            f"A search must meet at most {_MAXIMUM_PAIRS:,} pairs of tags at once, but meets "
            f"{total:,}: the search or the window is too wide for these rates."
        )
    ends = np.cumsum(count)
    place = np.repeat(low - (ends - count), count) + np.arange(total)
    return place, bob[place] - np.repeat(alice, count)


def false_peak_probability(peak: float, *, mean: float, places: float) -> float:
    """Return a bound on the probability that a background makes such a peak.

    Chernoff's bound for a Poisson count, times the number of places.

    Examples:
        >>> false_peak_probability(50, mean=10.0, places=1e6) < 1e-11
        True
    """
    if peak <= mean:
        return 1.0
    exponent = peak * math.log(peak / mean) - peak + mean if mean > 0 else math.inf
    return min(1.0, places * math.exp(-min(exponent, 700.0)))


def search_line(
    alice: Seconds, bob: Seconds, *, span: SearchRange, window_s: float
) -> ClockLine | None:
    """Return the line of leads with most pairs of tags, or None if none stands out.

    Args:
        alice: Alice's times, ascending, seconds from her first tag; an interval of her tags.
        bob: Bob's, from his first tag; all that may be partners of Alice's.
        span: Where to look.
        window_s: Width of the coincidence window: finer bins are not needed.
    """
    if len(alice) < 2 or not len(bob):
        return None
    density = len(bob) / max(float(bob[-1] - bob[0]), window_s)
    pairs = len(alice) * density * span.width_s
    duration = float(alice[-1] - alice[0])
    if pairs <= _MAXIMUM_PAIRS / 2:
        frequencies = min(_MAXIMUM_FREQUENCIES, max(1, int(_DIRECT_WORK / max(pairs, 1.0))))
        attempts = [(_direct, max(window_s, span.width_s / _BINS[-1]), frequencies)]
    else:
        # Coarse bins are quick and show a bright link; fine ones have less background.
        widths = [max(window_s, (duration + span.width_s) / bins) for bins in _BINS]
        attempts = [(_transformed, width, _TRANSFORMED_FREQUENCIES) for width in widths]
    for method, finest, frequencies in attempts:
        width = max(finest, 2 * span.maximum_slope * duration / frequencies)
        mean = 2 * len(alice) * density * width
        if false_peak_probability(mean + len(alice), mean=mean, places=1.0) > FALSE_PEAK:
            continue  # not even a partner for every tag would stand out
        found = _best_line(alice, bob, method, span=span, width=width, mean=mean)
        if found is not None:
            return refine_line(
                alice, bob, found, window_s=window_s, maximum_slope=span.maximum_slope
            )
    return None


def _best_line(
    alice: Seconds,
    bob: Seconds,
    method: Callable[..., Callable[[float], tuple[float, float]]],
    *,
    span: SearchRange,
    width: float,
    mean: float,
) -> ClockLine | None:
    """Return the line with the highest peak, if it exceeds a background of ``mean`` by far."""
    duration = float(alice[-1] - alice[0])
    middle = float(alice[0] + alice[-1]) / 2 + (span.lowest_s + span.highest_s) / 2
    count = 1 + 2 * math.ceil(span.maximum_slope * duration / (2 * width))
    slopes = span.maximum_slope * np.linspace(-1, 1, count) if count > 1 else np.zeros(1)
    highest = method(alice, bob, middle, span=span, width=width)
    tried = [(slope, *highest(slope)) for slope in slopes.tolist()]
    slope, peak, lead = max(tried, key=lambda entry: entry[1])
    places = len(slopes) * (span.width_s / width + 1)
    if false_peak_probability(peak, mean=mean, places=places) > FALSE_PEAK:
        return None
    return ClockLine(middle, lead, slope, width)


def _direct(
    alice: Seconds, bob: Seconds, middle: float, *, span: SearchRange, width: float
) -> Callable[[float], tuple[float, float]]:
    """Return what gives, for a slope, the highest two bins of all differences and their lead."""
    margin = span.maximum_slope * (float(alice[-1] - alice[0]) + span.width_s)
    place, lead = differences(
        alice, bob, lowest_s=span.lowest_s - margin, highest_s=span.highest_s + margin
    )
    time = bob[place] - middle
    return lambda slope: _highest(lead - slope * time, span=span, width=width)


def _highest(leads: Seconds, *, span: SearchRange, width: float) -> tuple[float, float]:
    """Return how many leads are in the best two neighbouring bins, and their border."""
    bins = np.floor((leads - span.lowest_s) / width).astype(np.int64)
    count = math.ceil(span.width_s / width) + 1
    filled = np.bincount(bins[(bins >= 0) & (bins < count)], minlength=count + 1)
    pairs = filled[:-1] + filled[1:]
    top = int(np.argmax(pairs))
    return float(pairs[top]), span.lowest_s + (top + 1) * width


def _transformed(
    alice: Seconds, bob: Seconds, middle: float, *, span: SearchRange, width: float
) -> Callable[[float], tuple[float, float]]:
    """Cross-correlate by Fourier transform; return as `_direct`."""
    begin = float(alice[0])
    alice_bins = np.floor((alice - begin) / width).astype(np.int64)
    lags = math.ceil(span.width_s / width) + 2
    size = 1 << (int(alice_bins[-1]) + lags + 1).bit_length()
    transform = np.conj(np.fft.rfft(np.bincount(alice_bins, minlength=size)))

    def highest(slope: float) -> tuple[float, float]:
        shifted = bob - slope * (bob - middle)
        bins = np.floor((shifted - begin - span.lowest_s) / width).astype(np.int64)
        filled = np.bincount(bins[(bins >= 0) & (bins < size)], minlength=size)
        correlation = np.fft.irfft(transform * np.fft.rfft(filled), size)
        pairs = correlation[: lags - 1] + correlation[1:lags]
        top = int(np.argmax(pairs))
        # Times within a bin spread a difference over the bin of its lag and the one before.
        return float(pairs[top]), span.lowest_s + (top + 0.5) * width

    return highest


def refine_line(
    alice: Seconds, bob: Seconds, line: ClockLine, *, window_s: float, maximum_slope: float
) -> ClockLine | None:
    """Halve the bins until they are a fraction of the window, then fit the line by least squares.

    Args:
        alice: Alice's times, ascending.
        bob: Bob's, ascending.
        line: Where the peak is, within two of its uncertainties.
        window_s: Full width of the coincidence window.
        maximum_slope: Largest slope that is allowed, either way.

    Returns:
        The line, or None if its pairs within the window do not stand out.
    """
    duration = max(float(alice[-1] - alice[0]), window_s)
    line = _moved(line, float(alice[0] + alice[-1]) / 2 + line.lead_s)
    width, reach = line.uncertainty_s, 3 * line.uncertainty_s
    margin = abs(line.slope) * duration + reach + width
    place, lead = differences(
        alice, bob, lowest_s=line.lead_s - margin, highest_s=line.lead_s + margin
    )
    time = bob[place] - line.time_s
    lead = lead - line.lead_s - line.slope * time
    near = np.abs(lead) <= reach
    time, lead, slope, offset = time[near], lead[near], 0.0, 0.0
    while width > window_s / 8:
        width /= 2
        around = SearchRange(offset - 4 * width, offset + 4 * width, 0.0)
        steps = [slope + k * width / duration for k in (0, -1, 1, -2, 2, -3, 3)]
        tried = [(*_highest(lead - s * time, span=around, width=width), s) for s in steps]
        _, offset, slope = max(tried, key=lambda entry: entry[0])
        kept = np.abs(lead - offset - slope * time) <= max(12 * width, 2 * window_s)
        time, lead = time[kept], lead[kept]
    for _ in range(4):
        inside = np.abs(lead - offset - slope * time) <= window_s
        offset, slope = _fitted(time[inside], lead[inside], offset, slope)
    slope = max(-maximum_slope, min(maximum_slope, line.slope + slope)) - line.slope
    inside = np.abs(lead - offset - slope * time) <= window_s / 2
    density = len(bob) / max(float(bob[-1] - bob[0]), window_s)
    mean = len(alice) * density * window_s
    count = int(np.count_nonzero(inside))
    if false_peak_probability(count, mean=mean, places=1e6) > FALSE_PEAK:
        return None
    return ClockLine(line.time_s, line.lead_s + offset, line.slope + slope, width, count)


def _moved(line: ClockLine, time_s: float) -> ClockLine:
    """Return the line, stated at another time."""
    lead_s = line.lead_s + line.slope * (time_s - line.time_s)
    return replace(line, time_s=time_s, lead_s=lead_s)


def _fitted(time: Seconds, lead: Seconds, offset: float, slope: float) -> tuple[float, float]:
    """Return the least-squares line, or the old one if there are too few pairs."""
    if len(time) < 4 or not np.ptp(time) > 0:
        return (float(np.mean(lead - slope * time)), slope) if len(time) else (offset, slope)
    centre, middle = float(time.mean()), float(lead.mean())
    moved = time - centre
    tilt = float(np.dot(moved, lead - middle) / np.dot(moved, moved))
    return middle - tilt * centre, tilt


def may_be_lower_by_chance(lower: float, higher: float, *, places: float = 1.0) -> bool:
    """Return whether two equal peaks may have counts this far apart by chance.

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
