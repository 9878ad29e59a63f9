"""Find Bob's clock against Alice's anywhere in a measurement: the line to begin with."""

from dataclasses import replace

from e91.optics.tags.clocks.rival_peaks import rival_delay_s
from e91.optics.tags.clocks.search import ClockLine, SearchRange, refine_line, search_line
from e91.optics.tags.readers import Seconds, Side, beginnings_gap_s

_FIRST_TAGS, _MOST_TAGS = 2**11, 2**21
_PAIRS_PER_LINE = 1600


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
