"""How late each detector is, from the coincidences: a peak for each pair of detectors."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from e91.model.bits import Bits
from e91.model.messages import Party
from e91.model.numbers import check_positive
from e91.optics.tags.aligned import aligned_tags
from e91.optics.tags.clock_search import false_peak_probability
from e91.optics.tags.clock_track import ClockTrack, find_clock, track_clock
from e91.optics.tags.matching import Seconds
from e91.optics.tags.time_tags import Side, TagReader, side_of

REACHES_S = (20e-9, 100e-9, 500e-9)
"""How far from each other the peaks of two pairs may be, tried one after the other."""

_MOST_TAGS = 2**20
_MOST_PAIRS = 2**24
_FEWEST_PAIRS = 30  # of a peak
_FALSE_PEAK = 1e-6  # of all pairs of detectors together
_MOST_STEPS = 8
_TRACKING_STEP_S = 0.5

Detector = tuple[Party, int]


@dataclass(frozen=True)
class DetectorDelays:
    """How late each detector's tags are; the median of each side's detectors is 0.

    What all detectors of one side have in common cannot be separated from the clocks' offset.

    Attributes:
        seconds: By detector (party, and its channel in the tags); only what a peak was seen of.
        residual_s: Largest misfit of the peaks to these delays.
        apart: Detectors that no chain of peaks joins to the others: how late they are is not known.

    Examples:
        >>> seen = DetectorDelays({(Party.BOB, 2): 1.5e-9}, 0.0, ((Party.ALICE, 1),))
        >>> seen.check(window_s=1e-9)
        Traceback (most recent call last):
        ValueError: Every detector must share a coincidence peak with others, but those of Alice 1 \
have none: search farther, or give more tags.
    """

    seconds: dict[Detector, float]
    residual_s: float
    apart: tuple[Detector, ...]

    def check(self, *, window_s: float) -> None:
        """Refuse delays that some detector's errors could hide behind.

        If two outcomes share no peak, the delay between them is free, and errors may fall outside
        the window: the error rate would come out too low.

        Args:
            window_s: Full width of the coincidence window, seconds.

        Raises:
            ValueError: A detector is apart, or the peaks do not fit.
        """
        if self.apart or not self.seconds:
            named = ", ".join(f"{party.value.title()} {channel}" for party, channel in self.apart)
            raise ValueError(
                "Every detector must share a coincidence peak with others, but those of "
                f"{named or 'both parties'} have none: search farther, or give more tags."
            )
        if self.residual_s > window_s / 2:
            raise ValueError(
                "The peaks of all pairs of detectors must fit to one delay each within half the "
                f"window, but one is {self.residual_s:.3g} s off: a pulsed source has a peak at "
                "every period, so its `pulse_period_s` must be given."
            )


def find_detector_delays(
    alice: TagReader,
    bob: TagReader,
    *,
    window_s: float,
    pulse_period_s: float | None = None,
    maximum_offset_s: float = 0.5,
    maximum_frequency_error_ppm: float = 10.0,
) -> DetectorDelays:
    """Find how late each detector is, and refuse what cannot be found.

    Args:
        alice: Alice's tags; at most 2^20 in the middle are looked at.
        bob: Bob's.
        window_s: Full width of the coincidence window that is to be used.
        pulse_period_s: Of a pulsed source: peaks are then searched within 0.4 periods.
        maximum_offset_s: How far Bob's clock may be off Alice's.
        maximum_frequency_error_ppm: How much faster or slower it may run.

    Returns:
        Seconds for each detector; those that share no peak with others are listed apart.

    Raises:
        ValueError: A number is not positive, no peak stands out, or `DetectorDelays.check` refuses.

    Examples:
        >>> from e91.devices.exact import exact_device
        >>> from e91.optics.detectors import Detector, Receiver
        >>> from e91.optics.sources import ContinuousSource
        >>> from e91.optics.tags.laboratories import Laboratory
        >>> from e91.optics.tags.simulation import record_time_tags
        >>> receiver = Receiver((Detector(0.5, 100.0),) * 2)
        >>> alice = Laboratory(receiver, (1 / 3,) * 3, setting_period_s=1e-3)
        >>> tags = record_time_tags(ContinuousSource(1e5), alice, alice, duration_s=0.5,
        ...                         device=exact_device(seed=1), seed=1)
        >>> found = find_detector_delays(*tags, window_s=1e-9)
        >>> max(map(abs, found.seconds.values())) < 1e-10, found.apart
        (True, ())
    """
    check_positive(window_s=window_s)
    reaches: tuple[float, ...] = REACHES_S
    if pulse_period_s is not None:
        check_positive(pulse_period_s=pulse_period_s)
        reaches = (0.4 * pulse_period_s,)
    sides = side_of(alice), side_of(bob)
    for reach_s in reaches:
        line = find_clock(
            *sides,
            window_s=2 * reach_s,
            maximum_offset_s=maximum_offset_s,
            maximum_frequency_error_ppm=maximum_frequency_error_ppm,
        )
        clock = track_clock(*sides, line, window_s=2 * reach_s, step_s=_TRACKING_STEP_S)
        found = measure_delays(alice, bob, clock=clock, window_s=window_s, reach_s=reach_s)
        if found.seconds and not found.apart:
            break
    found.check(window_s=window_s)
    return found


def measure_delays(
    alice: TagReader,
    bob: TagReader,
    *,
    clock: ClockTrack,
    window_s: float,
    reach_s: float = REACHES_S[0],
) -> DetectorDelays:
    """Measure how late each detector is, with clocks that are known.

    For each pair of detectors the peak of the time differences is searched within ``reach_s``, in
    bins of half a window; its centre is the mean within a window.  The delays are the least squares
    of the centres, weighted by pairs.

    Args:
        alice: Alice's tags; at most 2^20 in the middle are looked at.
        bob: Bob's.
        clock: His lead.
        window_s: Full width of the coincidence window.
        reach_s: How far a peak may be from where the clocks have it.

    Returns:
        Delays, and what is not known: see `DetectorDelays.check`.

    Raises:
        ValueError: A number is not positive, or there are no tags.

    Examples:
        >>> from e91.devices.exact import exact_device
        >>> from e91.optics.detectors import Detector, Receiver
        >>> from e91.optics.sources import ContinuousSource
        >>> from e91.optics.tags.laboratories import Laboratory
        >>> from e91.optics.tags.simulation import record_time_tags
        >>> receiver = Receiver((Detector(0.5, 100.0),) * 2)
        >>> alice = Laboratory(receiver, (1 / 3,) * 3, setting_period_s=1e-3)
        >>> tags = record_time_tags(ContinuousSource(1e5), alice, alice, duration_s=0.5,
        ...                         device=exact_device(seed=1), seed=1)
        >>> from e91.optics.tags.correlation import known_clock
        >>> found = measure_delays(*tags, clock=known_clock(*tags), window_s=1e-9)
        >>> max(map(abs, found.seconds.values())) < 1e-10
        True
    """
    check_positive(window_s=window_s, reach_s=reach_s)
    differences, alice_channels, bob_channels = _differences(
        side_of(alice), side_of(bob), clock=clock, reach_s=reach_s
    )
    seen: tuple[list[int], list[int]] = (
        np.unique(alice_channels).tolist(),
        np.unique(bob_channels).tolist(),
    )
    peaks = []
    for a, x in enumerate(seen[0]):
        for b, y in enumerate(seen[1]):
            of_pair = differences[(alice_channels == x) & (bob_channels == y)]
            peak = _peak(
                of_pair, window_s=window_s, reach_s=reach_s, places=len(seen[0]) * len(seen[1])
            )
            if peak is not None:
                peaks.append((a, len(seen[0]) + b, *peak))
    detectors = [(Party.ALICE, x) for x in seen[0]] + [(Party.BOB, y) for y in seen[1]]
    return _fitted(peaks, detectors, len(seen[0]))


def _differences(
    alice: Side, bob: Side, *, clock: ClockTrack, reach_s: float
) -> tuple[Seconds, Bits, Bits]:
    """Return the time differences of near pairs of tags, Bob's less Alice's, and their channels."""
    start = max(0, len(alice.tags) // 2 - _MOST_TAGS // 2)
    tags = aligned_tags(
        alice, bob, start=start, stop=start + _MOST_TAGS, clock=clock, reach_s=reach_s
    )
    alice_places, bob_places = (places[:_MOST_PAIRS] for places in tags.near_pairs(reach_s))
    differences: Seconds = tags.bob_times[bob_places] - tags.alice_times[alice_places]
    return differences, tags.alice_channels[alice_places], tags.bob_channels[bob_places]


def _peak(
    differences: Seconds, *, window_s: float, reach_s: float, places: int
) -> tuple[float, float] | None:
    """Return the centre of a peak and its pairs above the background, or None if none stands out.

    Args:
        differences: Of one pair of detectors.
        window_s: Full width of the window.
        reach_s: How far differences reach.
        places: How many such peaks are searched for.
    """
    bins = max(4, math.ceil(4 * reach_s / window_s))
    filled, edges = np.histogram(differences, bins, (-reach_s, reach_s))
    two = filled[:-1] + filled[1:]  # no border cuts a peak
    mean = max(2 * float(np.median(filled)), 0.5)
    top = int(np.argmax(two))
    chance = false_peak_probability(float(two[top]), mean=mean, places=bins)
    if two[top] < _FEWEST_PAIRS or chance > _FALSE_PEAK / places:
        return None
    centre = float(edges[top + 1])
    for _ in range(_MOST_STEPS):
        centre = float(np.mean(differences[np.abs(differences - centre) < window_s]))
    return centre, float(two[top]) - mean


def _fitted(
    peaks: list[tuple[int, int, float, float]], detectors: list[Detector], alices: int
) -> DetectorDelays:
    """Return the delays that fit to peaks (place of both detectors, centre, pairs)."""
    if not peaks:
        return DetectorDelays({}, 0.0, tuple(detectors))
    rows = np.zeros((len(peaks), len(detectors) + 1))
    rows[:, -1] = 1  # the clocks' offset
    for row, (a, b, _, _) in zip(rows, peaks, strict=True):
        row[a], row[b] = -1, 1
    centres = np.array([peak[2] for peak in peaks])
    weights = np.sqrt([peak[3] for peak in peaks])
    delays = np.linalg.lstsq(rows * weights[:, None], centres * weights)[0]
    residual = float(np.max(np.abs(centres - rows @ delays)))
    groups = _groups(peaks, len(detectors))
    main = groups == np.bincount(groups).argmax()
    seconds: dict[Detector, float] = {}
    for side in (slice(0, alices), slice(alices, len(detectors))):
        fitted = [k for k in range(*side.indices(len(detectors))) if main[k]]
        middle = float(np.median(delays[fitted])) if fitted else 0.0
        seconds |= {detectors[k]: float(delays[k]) - middle for k in fitted}
    apart = tuple(detectors[k] for k in np.flatnonzero(~main))
    return DetectorDelays(seconds, residual, apart)


def _groups(peaks: list[tuple[int, int, float, float]], size: int) -> NDArray[np.int64]:
    """Return a number for each detector, the same for those that chains of peaks join."""
    groups = np.arange(size)
    for _ in range(size):
        for a, b, _, _ in peaks:
            groups[a] = groups[b] = min(groups[a], groups[b])
    return groups
