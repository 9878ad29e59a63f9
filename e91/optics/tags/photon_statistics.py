"""How often one pulse makes two photons: g2(0) from the time tags of one side."""

import math
from dataclasses import dataclass

import numpy as np

from e91.model.numbers import check_positive
from e91.optics.tags.matching import Seconds, count_pairs
from e91.optics.tags.time_tags import TimeTags


@dataclass(frozen=True)
class Autocorrelation:
    """Pairs of clicks at two groups of detectors, of one pulse and of different ones.

    Attributes:
        same_pulse: Pairs of clicks of one pulse.
        other_pulses: Pairs of clicks that are 1, 2, ... pulses apart, one number for each delay,
            from the longest negative one to the longest positive one.

    Examples:
        >>> seen = Autocorrelation(20, (990, 1010, 1000, 1000))
        >>> seen.value, round(seen.error, 4)
        (0.02, 0.0045)
    """

    same_pulse: int
    other_pulses: tuple[int, ...]

    @property
    def value(self) -> float | None:
        """Estimate of g2(0); None without pairs of different pulses."""
        others = sum(self.other_pulses)
        return self.same_pulse * len(self.other_pulses) / others if others else None

    @property
    def error(self) -> float | None:
        """One standard deviation of the estimate, of Poisson counts."""
        value, others = self.value, sum(self.other_pulses)
        if value is None:
            return None
        per_count = len(self.other_pulses) / others
        return math.sqrt(max(self.same_pulse, 1) * per_count**2 + value**2 / others)


def autocorrelation(
    tags: TimeTags,
    first: tuple[int, ...],
    *,
    second: tuple[int, ...],
    pulse_period_s: float,
    window_s: float,
    peaks: int = 10,
) -> Autocorrelation:
    """Count pairs of clicks of one side, pulse by pulse, as Hanbury Brown and Twiss did.

    Both groups of detectors must see the same light divided, as the two outcomes of one setting
    do for photons that are unpolarised by themselves.

    Args:
        tags: One side's tags.
        first: Channels of the first group.
        second: Channels of the second, others than the first's.
        pulse_period_s: Time between two pulses by the tagger's clock: over ``peaks`` periods its
            frequency error must not matter.
        window_s: Full width of the window about each peak: the photons' lifetime and both jitters
            must fit in, and it must not exceed the period.
        peaks: How many pulses apart pairs are counted, both ways.

    Returns:
        Counts at delay 0 and at the others; their ratio estimates
        g2(0) = 2 P(two) / (P(one) + 2 P(two))^2 of a `e91.optics.sources.QuantumDot`.

    Raises:
        ValueError: A number is not positive, the window exceeds the period, or a channel is in
            both groups.

    Source:
        Pulses are independent, so a peak beside the central one has the product of both groups'
        clicks per pulse, (eta m / 2)^2 for few photons of mean m, and the central one
        eta^2 P(two) / 2.  Dark counts are not taken out, nor photons that find their detector
        dead.

    Examples:
        >>> times, channels = [0, 10, 12, 20], [0, 0, 1, 1]
        >>> tags = TimeTags(np.array(times), np.array(channels, np.uint8), resolution_s=1e-9)
        >>> autocorrelation(tags, (0,), second=(1,), pulse_period_s=1e-8, window_s=5e-9, peaks=1)
        Autocorrelation(same_pulse=1, other_pulses=(0, 2))
    """
    check_positive(pulse_period_s=pulse_period_s, window_s=window_s)
    if window_s > pulse_period_s:
        raise ValueError(
            f"`window_s` must be at most `pulse_period_s`, {pulse_period_s:g}, but is {window_s:g}."
        )
    if peaks < 1:
        raise ValueError(f"`peaks` must be at least 1, but is {peaks}.")
    if set(first) & set(second):
        raise ValueError(f"`second` must have no channel of `first`, {first}, but is {second}.")
    groups = [_clicks_of(tags, channels) for channels in (first, second)]
    counts = [
        count_pairs(*groups, delay_s=order * pulse_period_s, window_s=window_s)
        for order in range(-peaks, peaks + 1)
    ]
    return Autocorrelation(counts[peaks], tuple(counts[:peaks] + counts[peaks + 1 :]))


def _clicks_of(tags: TimeTags, channels: tuple[int, ...]) -> Seconds:
    chosen = tags.times[np.isin(tags.channels, channels)]
    first = tags.times[0] if len(tags) else 0
    seconds: Seconds = (chosen - first) * np.float64(tags.resolution_s)
    return seconds
