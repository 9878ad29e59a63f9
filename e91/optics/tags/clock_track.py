"""Find Bob's clock against Alice's anywhere in a measurement, and follow it through the whole."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from e91.optics.tags.clock_search import (
    FALSE_PEAK,
    ClockLine,
    SearchRange,
    differences,
    false_peak_probability,
    may_be_lower_by_chance,
    refine_line,
    rival_delay_s,
    search_line,
)
from e91.optics.tags.time_tags import Seconds, Side, beginnings_gap_s

_FIRST_TAGS, _MOST_TAGS = 2**11, 2**21
_PAIRS_PER_LINE = 1600

_PAIRS_PER_KNOT = 400
_LONGER_BLOCK = 10
_SMALLEST_BLOCK, _LARGEST_BLOCK = 2**9, 2**19
_GAIN = 0.3  # of the slope: a tracked clock changes its frequency slowly
_REACH_WINDOWS = 4


def find_clock(
    alice: Side,
    bob: Side,
    *,
    window_s: float,
    maximum_offset_s: float,
    maximum_frequency_error_ppm: float,
) -> ClockLine:
    """Return Bob's lead over Alice somewhere in the measurement.

    Intervals of growing length are searched, so that bright links are quick, faint ones found, and
    clocks that drift still straight: over an interval of T seconds a drift bends the lead by
    drift T^2 / 8, which must stay below half a window.  A pulsed source has many peaks: then the
    intervals grow until one exceeds all others.

    Raises:
        ValueError: No interval has a peak that stands out, or it has several.
    """
    gap = beginnings_gap_s(alice, bob)
    slope = maximum_frequency_error_ppm * 1e-6
    drifted = slope * max(alice.duration_s, bob.duration_s)
    span = SearchRange(-maximum_offset_s - drifted - gap, maximum_offset_s + drifted - gap, slope)
    wanted = min(_FIRST_TAGS, len(alice.tags))
    rival = None
    while True:
        start = alice.place(min(max(0.0, -span.lowest_s), alice.duration_s / 2))
        start = min(start, max(0, len(alice.tags) - wanted))
        alice_times, bob_times = _interval(alice, bob, start, wanted, span=span)
        line = search_line(alice_times, bob_times, span=span, window_s=window_s)
        if line is not None:
            rival = rival_delay_s(alice_times, bob_times, line, span=span, window_s=window_s)
            if rival is None:
                return _lengthened(alice, bob, line, start=start, tags=wanted, window_s=window_s)
        if wanted == min(len(alice.tags), _MOST_TAGS):
            raise ValueError(
                _no_peak(maximum_offset_s, maximum_frequency_error_ppm)
                if rival is None
                else _many_peaks(rival)
            )
        wanted = min(4 * wanted, len(alice.tags), _MOST_TAGS)


def _no_peak(offset_s: float, ppm: float) -> str:
    return (
        "The two lists of time tags must have a coincidence peak, but none stands out within "
        f"{offset_s:g} s and {ppm:g} ppm: widen or narrow the search, or the window."
    )


def _many_peaks(rival_s: float) -> str:
    return (
        "The two lists of time tags must have one highest coincidence peak, but another one, "
        f"{abs(rival_s):.3g} s away, may be as high: a pulsed source has one at every period, so "
        "the clocks' offset must be known to half of it, or the measurement be longer."
    )


def _interval(
    alice: Side, bob: Side, start: int, tags: int, *, span: SearchRange
) -> tuple[Seconds, Seconds]:
    """Return some of Alice's tags, and all of Bob's that may be their partners."""
    alice_times = alice.seconds(start, start + tags)
    first = bob.place(float(alice_times[0]) + span.lowest_s)
    return alice_times, bob.seconds(first, bob.place(float(alice_times[-1]) + span.highest_s))


def _lengthened(
    alice: Side, bob: Side, line: ClockLine, *, start: int, tags: int, window_s: float
) -> ClockLine:
    """Fit the line to ever longer intervals until it rests on enough pairs, or bends."""
    while line.pairs < _PAIRS_PER_LINE and tags < len(alice.tags):
        growth = min(2.0, len(alice.tags) / tags)
        tags = min(2 * tags, len(alice.tags))
        start = min(start, len(alice.tags) - tags)
        # The slope is known to a fraction of a window over the shorter interval.
        around = 2 * window_s + 2 * abs(line.slope) * alice.duration_s
        near = SearchRange(line.lead_s - around, line.lead_s + around, abs(line.slope))
        alice_times, bob_times = _interval(alice, bob, start, tags, span=near)
        longer = refine_line(
            alice_times,
            bob_times,
            replace(line, uncertainty_s=window_s),
            window_s=window_s,
            maximum_slope=abs(line.slope) + 4 * window_s / float(alice_times[-1] - alice_times[0]),
        )
        # A straight line has as many more pairs as tags; a bent one leaves its peak.
        if longer is None or longer.pairs < line.pairs * (1 + growth) / 2:
            break
        before = line.lead_s + line.slope * (longer.time_s - line.time_s)
        if abs(longer.lead_s - before) > window_s:
            break  # another pulse's peak
        line = longer
    return line


@dataclass(frozen=True, eq=False)
class ClockTrack:
    """Bob's lead over Alice, both counted from their own first tag, as a broken line.

    Attributes:
        knots_s: Bob's times, ascending; float64, shape (k,), read-only.
        lead_s: His lead at each; float64, shape (k,), read-only.
        end_slope: How the lead grows beyond the last knot.
        lost: How many intervals showed no peak: there the line is carried on.

    Examples:
        >>> ClockTrack(np.array([0.0, 1.0]), np.array([0.0, 1e-6])).slope.tolist()
        [1e-06, 0.0]
    """

    knots_s: Seconds
    lead_s: Seconds
    end_slope: float = 0.0
    lost: int = 0

    def __post_init__(self) -> None:
        for name in ("knots_s", "lead_s"):
            array = np.array(getattr(self, name), np.float64)
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        if not len(self.knots_s) or len(self.knots_s) != len(self.lead_s):
            raise ValueError(
                f"A track must have knots, and as many leads, but has {len(self.knots_s)} and "
                f"{len(self.lead_s)}."
            )
        if np.any(np.diff(self.knots_s) <= 0):
            raise ValueError("`knots_s` must ascend, but do not.")

    @property
    def slope(self) -> Seconds:
        """How the lead grows from each knot on; float64, shape (k,)."""
        between = np.diff(self.lead_s) / np.diff(self.knots_s)
        return np.asarray(np.append(between, self.end_slope), np.float64)

    def lead_at(self, time_s: float) -> float:
        """Return Bob's lead at his time; seconds."""
        k = max(0, int(np.searchsorted(self.knots_s, time_s, side="right")) - 1)
        return float(self.lead_s[k] + self.slope[k] * (time_s - self.knots_s[k]))


def track_clock(
    alice: Side, bob: Side, line: ClockLine, *, window_s: float, step_s: float
) -> ClockTrack:
    """Return Bob's lead through the whole measurement, from a line that holds somewhere.

    From there the tags are followed both ways.  In each interval the lead is predicted from the one
    before, found within four windows around, and averaged over some 400 pairs, or up to ten times
    as many where the steps are long; the slope follows slowly.  The step to the next interval
    doubles while predictions are good to an eighth of a window, and halves when they are not to a
    third.  An interval without a peak carries the prediction on and is counted.

    Args:
        alice: Alice's tags.
        bob: Bob's.
        line: Where to begin.
        window_s: Full width of the coincidence window.
        step_s: Largest time between intervals, but not less than 400 pairs take.
    """
    begin = alice.place(line.time_s - line.lead_s)
    per_tag = _pairs_per_tag(alice, bob, line, begin, window_s=window_s)
    block = int(min(max(_PAIRS_PER_KNOT / per_tag, _SMALLEST_BLOCK), _LARGEST_BLOCK))
    rate = len(alice.tags) / max(alice.duration_s, window_s)
    steps = (block, max(block, int(rate * step_s)))
    knots: list[tuple[float, float]] = []
    lost = 0
    for direction in (1, -1):
        first = begin if direction > 0 else begin - block
        followed = _followed(
            alice, bob, line, first=first, direction=direction, steps=steps, window_s=window_s
        )
        lost += sum(not found for found, _ in followed)
        knots += [(now.time_s, now.lead_s) for _, now in followed]
    knots.sort()
    times, leads = np.array(knots).T
    apart = np.append(True, np.diff(times) > 0.25 * block / rate)
    times, leads = times[apart], leads[apart]
    slope = line.slope
    if len(times) > 1:
        slope = float((leads[-1] - leads[-2]) / (times[-1] - times[-2]))
    return ClockTrack(times, leads, slope, lost)


def _followed(
    alice: Side,
    bob: Side,
    line: ClockLine,
    *,
    first: int,
    direction: int,
    steps: tuple[int, int],
    window_s: float,
) -> list[tuple[bool, ClockLine]]:
    """Return, for each interval from ``first`` to an end, whether it has a peak, and the line."""
    block, longest = steps
    last = max(0, len(alice.tags) - block)
    place, step, passed = min(max(first, 0), last), block, []
    while True:
        # A clock that keeps its pace may be averaged for longer.
        tags = min(step, _LONGER_BLOCK * block)
        alice_times = alice.seconds(place, place + tags)
        found, now = _next_line(alice_times, bob, line, window_s=window_s)
        passed.append((found, now))
        missed = abs(now.lead_s - line.lead_s - line.slope * (now.time_s - line.time_s))
        if not found:
            step = block
        elif missed > window_s / 3:
            step = max(step // 2, block)
        elif missed < window_s / 8:
            step = min(2 * step, longest)
        line = now
        if place == (last if direction > 0 else 0):
            return passed
        place = min(max(place + direction * step, 0), last)


def _pairs_per_tag(
    alice: Side, bob: Side, line: ClockLine, begin: int, *, window_s: float
) -> float:
    """Return how many true pairs a tag of Alice has near the beginning."""
    begin = max(0, min(begin, len(alice.tags) - _SMALLEST_BLOCK))
    size = _SMALLEST_BLOCK
    while True:
        alice_times = alice.seconds(begin, begin + size)
        leads = _leads(alice_times, bob, line, reach=_REACH_WINDOWS * window_s)[1]
        inside = int(np.count_nonzero(np.abs(leads) <= window_s / 2))
        outside = (len(leads) - inside) / (2 * _REACH_WINDOWS - 1)
        if inside - outside >= 50 or size >= min(_LARGEST_BLOCK, len(alice.tags)):
            return max(inside - outside, 1.0) / len(alice_times)
        size *= 2


def _leads(
    alice_times: Seconds, bob: Side, line: ClockLine, *, reach: float
) -> tuple[Seconds, Seconds]:
    """Return Bob's times, and by how much their leads exceed the line, near the line."""
    around = reach + abs(line.slope) * (abs(alice_times - line.time_s + line.lead_s).max() + reach)
    lowest, highest = line.lead_s - around, line.lead_s + around
    bob_times = bob.seconds(
        bob.place(float(alice_times[0]) + lowest), bob.place(float(alice_times[-1]) + highest)
    )
    place, lead = differences(alice_times, bob_times, lowest_s=lowest, highest_s=highest)
    time = bob_times[place]
    excess = lead - line.lead_s - line.slope * (time - line.time_s)
    near = np.abs(excess) <= reach
    return time[near], excess[near]


def _next_line(
    alice_times: Seconds, bob: Side, line: ClockLine, *, window_s: float
) -> tuple[bool, ClockLine]:
    """Return whether an interval has a peak, and the line at its middle."""
    reach = _REACH_WINDOWS * window_s
    lead = line.lead_s
    middle = float(alice_times[0] + alice_times[-1]) / 2 + lead
    predicted = lead + line.slope * (middle - line.time_s)
    carried = ClockLine(middle, predicted, line.slope, line.uncertainty_s)
    excess = _leads(alice_times, bob, carried, reach=reach)[1]
    count, _ = np.histogram(excess, bins=8 * _REACH_WINDOWS, range=(-reach, reach))
    four = np.convolve(count, np.ones(4), mode="valid")  # a window's worth of bins
    top = _nearest_peak(four, pairs=len(excess))
    if top is None:
        return False, carried
    shift = -reach + (top + 2) * window_s / 4
    for _ in range(4):
        shift = float(excess[np.abs(excess - shift) <= window_s / 2].mean())
    elapsed = middle - line.time_s
    slope = line.slope
    if abs(elapsed) > 0 and line.pairs:
        slope += _GAIN * shift / elapsed
    return True, ClockLine(middle, predicted + shift, slope, line.uncertainty_s, int(four[top]))


def _nearest_peak(four: NDArray[np.float64], *, pairs: int) -> int | None:
    """Return the place of the peak nearest to the prediction, in the middle; None without one.

    A pulsed source may have several as high as each other; the clock does not jump between them.
    """
    highest = float(four.max())
    mean = (pairs - highest) / (2 * _REACH_WINDOWS - 1)
    places = len(four) * 1e3
    if false_peak_probability(highest, mean=mean, places=places) > FALSE_PEAK:
        return None
    equal = [
        place
        for place in range(len(four))
        if may_be_lower_by_chance(float(four[place]), highest)
        and false_peak_probability(float(four[place]), mean=mean, places=places) <= FALSE_PEAK
    ]
    nearest = min(equal, key=lambda place: abs(2 * place - len(four) + 1))
    first = max(nearest - 4, 0)  # from its flank to its top, at most a window away
    return first + int(np.argmax(four[first : nearest + 5]))
