"""Photon statistics from time tags: g2 of pulses, of two lists, and of heralded photons."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from e91.model.numbers import check_positive
from e91.optics.tags.aligned import AlignedTags, all_aligned
from e91.optics.tags.clock_track import ClockTrack
from e91.optics.tags.matching import Seconds, count_pairs
from e91.optics.tags.time_tags import TagReader, TimeTags, side_of

_PIECE = 2**18


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
    _check_apart(first, second)
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


@dataclass(frozen=True)
class CrossCorrelation:
    """How often one side's clicks follow the other's by a delay, and how often by chance.

    Attributes:
        bin_s: Width of a bin.
        counts: Pairs of clicks in each bin of the delay of Bob's behind Alice's, from the longest
            negative one on; the middle one has the delay 0.
        by_chance: Pairs in a bin if both sides' clicks had nothing to do with each other.

    Examples:
        >>> CrossCorrelation(1e-9, (1, 30, 3), 2.0).values
        (0.5, 15.0, 1.5)
    """

    bin_s: float
    counts: tuple[int, ...]
    by_chance: float

    @property
    def delays_s(self) -> tuple[float, ...]:
        """Middle of each bin."""
        middle = len(self.counts) // 2
        return tuple((place - middle) * self.bin_s for place in range(len(self.counts)))

    @property
    def values(self) -> tuple[float, ...]:
        """Estimate of g2 at each delay; nan without clicks."""
        return tuple(
            count / self.by_chance if self.by_chance else math.nan for count in self.counts
        )


def cross_correlation(
    alice: TagReader,
    bob: TagReader,
    *,
    clock: ClockTrack,
    bin_s: float,
    reach_s: float,
    alice_channels: Sequence[int] | None = None,
    bob_channels: Sequence[int] | None = None,
) -> CrossCorrelation:
    """Count pairs of clicks by their delay: g2 of two lists of tags, or of two detectors of one.

    Args:
        alice: Alice's tags.
        bob: Bob's; the same list for two groups of detectors of one party.
        clock: His lead: that of `e91.optics.tags.Correlated`, or
            `e91.optics.tags.known_clock` for one tagger.
        bin_s: Width of a bin.
        reach_s: Longest delay, a whole number of bins.
        alice_channels: Alice's channels that count; all if None.
        bob_channels: Bob's.

    Returns:
        The counts in all bins, and how many are to be expected by chance: their ratio is g2.

    Raises:
        ValueError: A number is not positive, the delay is shorter than a bin, or there are no tags.

    Source:
        g2(tau) = <n_A(t) n_B(t + tau)> / (<n_A> <n_B>), Glauber, Phys. Rev. 130, 2529 (1963).  The
        rates are means over each list, so light that flickers raises it at every delay.

    Examples:
        >>> from e91.optics.tags.correlation import known_clock
        >>> times = np.arange(100) * 1000
        >>> tags = TimeTags(times, (np.arange(100) % 2).astype(np.uint8))
        >>> clock = known_clock(tags, tags)
        >>> found = cross_correlation(tags, tags, clock=clock, bin_s=1e-9, reach_s=1e-9,
        ...     alice_channels=(0,), bob_channels=(1,))
        >>> found.counts
        (49, 0, 50)
    """
    check_positive(bin_s=bin_s, reach_s=reach_s)
    side_bins = round(reach_s / bin_s)
    if side_bins < 1:
        raise ValueError(f"`reach_s` must be at least `bin_s`, {bin_s:g}, but is {reach_s:g}.")
    counts = np.zeros(2 * side_bins + 1, np.int64)
    edge = (side_bins + 0.5) * bin_s
    alice_side, bob_side = side_of(alice), side_of(bob)
    alice_clicks = 0
    for tags in all_aligned(alice_side, bob_side, size=_PIECE, clock=clock, reach_s=edge):
        chosen = _only(tags, alice_channels, bob_channels)
        alice_clicks += len(chosen.alice_times)
        alice_places, bob_places = chosen.near_pairs(edge)
        delays = chosen.bob_times[bob_places] - chosen.alice_times[alice_places]
        counts += np.histogram(delays, len(counts), (-edge, edge))[0]
    bob_rate = _clicks(bob, bob_channels) / max(bob_side.duration_s, bin_s)
    return CrossCorrelation(bin_s, tuple(counts.tolist()), alice_clicks * bob_rate * bin_s)


@dataclass(frozen=True)
class HeraldedAutocorrelation:
    """Clicks of two groups of detectors behind a beam splitter, each with a herald.

    Attributes:
        heralds: Clicks that herald.
        first: Heralds with a click of the first group.
        second: Heralds with a click of the second.
        both: Heralds with clicks of both.

    Examples:
        >>> seen = HeraldedAutocorrelation(10_000, 1000, 500, 2)
        >>> seen.value, round(seen.error, 3)
        (0.04, 0.028)
    """

    heralds: int
    first: int
    second: int
    both: int

    @property
    def value(self) -> float | None:
        """Estimate of the heralded g2(0); None without clicks of a group."""
        pairs = self.first * self.second
        return self.both * self.heralds / pairs if pairs else None

    @property
    def error(self) -> float | None:
        """One standard deviation of the estimate, of the Poisson count of both alone."""
        pairs = self.first * self.second
        return math.sqrt(max(self.both, 1)) * self.heralds / pairs if pairs else None


def heralded_autocorrelation(
    herald: TagReader,
    tags: TagReader,
    first: Sequence[int],
    *,
    second: Sequence[int],
    clock: ClockTrack,
    window_s: float,
) -> HeraldedAutocorrelation:
    """Count what two groups of detectors see when the other party's click heralds a photon.

    Args:
        herald: Tags that herald, on all channels.
        tags: The other party's tags.
        first: Channels of the first group.
        second: Channels of the second, others than the first's; both see the same light divided.
        clock: The lead of ``tags`` over ``herald``.
        window_s: Full width of the coincidence window.

    Returns:
        How many heralds came with a click of the first group, of the second, and of both.

    Raises:
        ValueError: The window is not positive, a channel is in both groups, or there are no tags.

    Source:
        g2_h(0) = N_h N_h12 / (N_h1 N_h2): Grangier, Roger and Aspect, Europhys. Lett. 1, 173
        (1986).  Accidental coincidences are not taken out.

    Examples:
        >>> from e91.optics.tags.correlation import known_clock
        >>> heralds = TimeTags(np.array([0, 1000, 2000, 3000]), np.zeros(4, np.uint8))
        >>> clicks = TimeTags(np.array([0, 1000, 1001, 3000]), np.array([0, 0, 1, 1], np.uint8))
        >>> heralded_autocorrelation(heralds, clicks, (0,), second=(1,), window_s=1e-10,
        ...     clock=known_clock(heralds, clicks))
        HeraldedAutocorrelation(heralds=4, first=2, second=2, both=1)
    """
    check_positive(window_s=window_s)
    _check_apart(first, second)
    found = np.zeros(3, np.int64)
    for piece in all_aligned(
        side_of(herald), side_of(tags), size=_PIECE, clock=clock, reach_s=window_s
    ):
        seen = []
        for group in (first, second):
            times = piece.bob_times[np.isin(piece.bob_channels, group)]
            low = np.searchsorted(times, piece.alice_times - window_s / 2)
            high = np.searchsorted(times, piece.alice_times + window_s / 2, side="right")
            seen.append(high > low)
        found += [np.count_nonzero(s) for s in (*seen, seen[0] & seen[1])]
    return HeraldedAutocorrelation(len(herald), *found.tolist())


def _only(
    tags: AlignedTags, alice_channels: Sequence[int] | None, bob_channels: Sequence[int] | None
) -> AlignedTags:
    """Return the tags of some channels."""
    alice_places, bob_places = (
        np.ones(len(channels), np.bool_) if wanted is None else np.isin(channels, wanted)
        for channels, wanted in (
            (tags.alice_channels, alice_channels),
            (tags.bob_channels, bob_channels),
        )
    )
    return AlignedTags(
        tags.alice_times[alice_places],
        tags.alice_channels[alice_places],
        tags.bob_times[bob_places],
        tags.bob_channels[bob_places],
    )


def _clicks(tags: TagReader, channels: Sequence[int] | None) -> int:
    """Return how many tags are of some channels."""
    if channels is None:
        return len(tags)
    return sum(
        int(np.count_nonzero(np.isin(tags.read(start, start + _PIECE)[1], channels)))
        for start in range(0, len(tags), _PIECE)
    )


def _check_apart(first: Sequence[int], second: Sequence[int]) -> None:
    if set(first) & set(second):
        raise ValueError(f"`second` must have no channel of `first`, {first}, but is {second}.")
