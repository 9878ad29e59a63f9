"""Time tags of two laboratories with free-running clocks, by Monte Carlo.

Optics decides which photons arrive when; the outcomes of true pairs come from a device that is
handed in.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from e91.model.bits import NO_CLICK, Bits
from e91.model.device import Device
from e91.model.numbers import check_positive
from e91.optics.detectors import FWHM_PER_SIGMA
from e91.optics.sources import Source
from e91.optics.tags.emission import (
    check_memories,
    emitted,
    surviving_fractions,
)
from e91.optics.tags.laboratories import Laboratory
from e91.optics.tags.tag_kernels import register_clicks
from e91.optics.tags.time_tags import TimeTags

Times = NDArray[np.float64]

_WAITING = 4096
_CLICKS_AT_ONCE = 2**18

TAGS_AT_ONCE = 2**19
"""Expected arrivals at both sides in one interval of the simulation: it bounds the memory."""

_REACH_SIGMAS = 10.0  # a jitter beyond it (probability 1.5e-23) is cut off
_MIXERS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@dataclass(eq=False)
class ClickState:
    """What a receiver's detectors remember between two intervals of time; it is overwritten.

    Attributes:
        laboratory: The laboratory.
        last: Last click of each detector, seconds.
        waiting_time: After-pulses to come, seconds, ascending.
        waiting_detector: Their detectors.
        waiting: How many there are.
        carried_time: Arrivals that were not looked at yet, seconds.
        carried_detector: Their detectors.
        dead_s: Dead time of each detector, at least one count of the clock.
        afterpulse: Probability of an after-pulse of each detector.
    """

    laboratory: Laboratory
    last: Times = field(init=False)
    waiting_time: Times = field(init=False)
    waiting_detector: Bits = field(init=False)
    waiting: int = 0
    carried_time: Times = field(default_factory=lambda: np.empty(0))
    carried_detector: Bits = field(default_factory=lambda: np.empty(0, np.uint8))
    dead_s: Times = field(init=False)
    afterpulse: Times = field(init=False)

    def __post_init__(self) -> None:
        detectors = self.laboratory.detectors
        # A clock runs at most a thousandth fast or slow: two clicks never share a count.
        count_s = 1.001 * self.laboratory.clock.resolution_s
        self.dead_s = np.array([max(d.dead_time_s, count_s) for d in detectors])
        self.afterpulse = np.array([d.afterpulse_probability for d in detectors])
        self.last = np.full(len(detectors), -np.inf)
        self.waiting_time = np.empty(_WAITING)
        self.waiting_detector = np.empty(_WAITING, np.uint8)

    def with_carried(self, arrivals_s: Times, detectors: Bits) -> tuple[Times, Bits]:
        """Return arrivals and their detectors together with those carried over, in order."""
        times = np.concatenate([self.carried_time, arrivals_s])
        order = np.argsort(times, kind="stable")
        return times[order], np.concatenate([self.carried_detector, detectors])[order]


def clicks_until(
    end_s: float,
    state: ClickState,
    *,
    arrivals_s: Times,
    detectors: Bits,
    generator: np.random.Generator,
) -> tuple[Times, Bits]:
    """Return the clicks before a time, in order, and remember the rest.

    A click blinds its own detector for the dead time; what arrives then is lost and prolongs
    nothing (non-paralysable).  It may be followed by an after-pulse, after the dead time and an
    exponential delay, and that by another.  No detector clicks twice in one count of the clock.

    Args:
        end_s: Until when; later arrivals and after-pulses stay in ``state``.
        state: What the detectors remember; overwritten.
        arrivals_s: When photons, or what else makes a click, arrive; any order.
        detectors: Where.
        generator: Physical randomness.

    Raises:
        ValueError: More than 4,096 after-pulses would wait at once.
    """
    times, channels = state.with_carried(arrivals_s, detectors)
    place = np.array([0, state.waiting])
    found: list[tuple[Times, Bits]] = []
    made = size = min(_CLICKS_AT_ONCE, len(times) + 64)
    while made == size:
        chances = generator.random(size) if state.afterpulse.any() else np.ones(size)
        click_time, click_detector = np.empty(size), np.empty(size, np.uint8)
        made = register_clicks(
            times,
            channels,
            end_s,
            chances,
            state.dead_s,
            state.afterpulse,
            state.laboratory.afterpulse_decay_s,
            state.last,
            state.waiting_time,
            state.waiting_detector,
            place,
            click_time,
            click_detector,
        )
        if made < 0:
            raise ValueError(
                f"At most {_WAITING} after-pulses must wait at once, but there are more: "
                "`afterpulse_decay_s` is too long for this rate."
            )
        found.append((click_time[:made], click_detector[:made]))
    state.waiting = int(place[1])
    state.carried_time, state.carried_detector = times[place[0] :], channels[place[0] :]
    return np.concatenate([t for t, _ in found]), np.concatenate([d for _, d in found])


def simulate_time_tags(
    source: Source,
    alice: Laboratory,
    bob: Laboratory,
    *,
    device: Device,
    duration_s: float,
    seed: int | None,
) -> Iterator[tuple[TimeTags, TimeTags]]:
    """Yield both sides' tags in intervals of time, in bounded memory.

    Pairs whose photons are both lost are never drawn (thinning, which is exact for the sources that
    are taken), so a link of 70 dB costs what its clicks cost.  What a photon shows comes from
    ``device``, dark counts and stray light show a random outcome.  Of heralded memories every
    herald is a tag at both sides.  Not in the model: that pairs of one pulse share a mode (each
    pair's polarisation is independent of the others'), and polarisation that changes with the
    wavelength or the arrival time (a dot's fine-structure splitting; see ``docs/optics.md``).

    Args:
        source: Where the pairs come from.
        alice: Alice's laboratory.
        bob: Bob's.
        device: From settings to outcomes of true pairs, e.g. `e91.exact_device()`; a photon
            without outcome (2) makes no click.
        duration_s: For how long the source is on.
        seed: Of the physical randomness, settings included: this is a stand-in for a recording.
            None takes it from the operating system.

    Yields:
        Alice's tags and Bob's of the next interval; together all are in order of time.

    Raises:
        ValueError: The duration is not positive, a clock runs backwards or beyond 2**62 counts, or
            laboratories of heralded memories lose or add something.

    Examples:
        >>> from e91.devices.exact import exact_device
        >>> from e91.optics.detectors import Detector, Receiver
        >>> from e91.optics.sources import ContinuousSource
        >>> from e91.optics.tags.laboratories import Laboratory
        >>> receiver = Receiver((Detector(0.5, 100.0),) * 2)
        >>> alice = Laboratory(receiver, (1 / 3,) * 3, setting_period_s=1e-3)
        >>> intervals = simulate_time_tags(ContinuousSource(1e5), alice, alice, duration_s=0.1,
        ...                                device=exact_device(seed=1), seed=1)
        >>> 4_500 < sum(len(tags.times) for tags, _ in intervals) < 5_500
        True
    """
    check_positive(duration_s=duration_s)
    check_memories(source, alice, bob)
    for laboratory in (alice, bob):
        _check_clock(laboratory, duration_s)
    root = np.random.SeedSequence(seed)
    keys: NDArray[np.uint64] = root.generate_state(2, np.uint64).astype(np.uint64)
    sides = (ClickState(alice), ClickState(bob))
    fractions = surviving_fractions(source, alice, bob)
    reach = (
        _REACH_SIGMAS
        / FWHM_PER_SIGMA
        * max(
            getattr(source, "coherence_time_s", 0.0)
            + max(d.jitter_fwhm_s for d in laboratory.detectors)
            for laboratory in (alice, bob)
        )
    )
    interval = _interval_s(source, alice, bob, sum(fractions))
    count = max(1, math.ceil(duration_s / interval))
    for number in range(count):
        generator = np.random.Generator(np.random.Philox(root.spawn(1)[0]))
        begin, end = duration_s * number / count, duration_s * (number + 1) / count
        pairs = _photons(
            source, alice, bob, device=device, begin=begin, end=end, keys=keys, generator=generator
        )
        until = math.inf if number == count - 1 else end - reach
        yield (
            _side(sides[0], *pairs[0], (begin, end, until), key=keys[0], generator=generator),
            _side(sides[1], *pairs[1], (begin, end, until), key=keys[1], generator=generator),
        )


def record_time_tags(
    source: Source,
    alice: Laboratory,
    bob: Laboratory,
    *,
    device: Device,
    duration_s: float,
    seed: int | None,
) -> tuple[TimeTags, TimeTags]:
    """Return both sides' tags of a whole measurement, in memory.

    Args:
        source: Where the pairs come from.
        alice: Alice's laboratory.
        bob: Bob's.
        device: As for `simulate_time_tags`.
        duration_s: For how long the source is on.
        seed: As for `simulate_time_tags`.

    Returns:
        Alice's tags and Bob's, in order of time.

    Raises:
        ValueError: As for `simulate_time_tags`.

    Examples:
        >>> from e91.optics.detectors import Detector, Receiver
        >>> from e91.optics.sources import ContinuousSource
        >>> receiver = Receiver((Detector(0.5),) * 2)
        >>> side = Laboratory(receiver, (1.0,), setting_period_s=1e-6)
        >>> always_equal = lambda x, y: (x * 0, y * 0)
        >>> alice, bob = record_time_tags(
        ...     ContinuousSource(1e5), side, side, device=always_equal, duration_s=0.1, seed=1
        ... )
        >>> 4000 < len(alice) < 6000, sorted(set(alice.channels.tolist()))
        (True, [0])
    """
    parts = list(
        simulate_time_tags(source, alice, bob, device=device, duration_s=duration_s, seed=seed)
    )
    first, second = (
        TimeTags(
            np.concatenate([part[side].times for part in parts]),
            np.concatenate([part[side].channels for part in parts]),
            parts[0][side].resolution_s,
        )
        for side in (0, 1)
    )
    return first, second


def _check_clock(laboratory: Laboratory, duration_s: float) -> None:
    clock = laboratory.clock
    end = clock.reading_s(duration_s + laboratory.delay_s)
    if abs(clock.drift_ppm_per_second) * duration_s > 1000:
        raise ValueError(
            f"`drift_ppm_per_second` must change the frequency by at most 1000 ppm, but changes it "
            f"by {abs(clock.drift_ppm_per_second) * duration_s:g}."
        )
    if max(abs(end), abs(clock.offset_s)) > 2.0**62 * clock.resolution_s:
        raise ValueError(
            f"A clock must stay within 2**62 counts of {clock.resolution_s:g} s, but shows "
            f"{end:g} s."
        )


def _interval_s(source: Source, alice: Laboratory, bob: Laboratory, surviving: float) -> float:
    rate = source.pairs_per_second * surviving
    for laboratory in (alice, bob):
        rate += laboratory.stray_per_second
        rate += sum(d.dark_counts_per_second for d in laboratory.detectors)
    return TAGS_AT_ONCE / rate if rate > 0 else math.inf


def _photons(
    source: Source,
    alice: Laboratory,
    bob: Laboratory,
    *,
    device: Device,
    begin: float,
    end: float,
    keys: NDArray[np.uint64],
    generator: np.random.Generator,
) -> list[tuple[Times, Bits, Bits]]:
    """Return when each side's photons of pairs arrive, their settings and outcomes."""
    pairs = emitted(source, alice, bob, begin_s=begin, end_s=end, generator=generator)
    settings = [
        _settings(laboratory, times, key=key, generator=generator)
        for laboratory, times, key in zip(
            (alice, bob), (pairs.alice_s, pairs.bob_s), keys, strict=True
        )
    ]
    outcomes = device(*settings) if len(pairs.alice_s) else (np.empty(0, np.uint8),) * 2
    coherence = getattr(source, "coherence_time_s", 0.0) / FWHM_PER_SIGMA
    # Only the difference of the two arrival times is spread by the coherence time.
    spread = pairs.bob_s
    if coherence:
        spread = spread + coherence * _normal(len(spread), generator)
    return [
        (arrival[seen], setting[seen], np.asarray(outcome, np.uint8)[seen])
        for arrival, setting, outcome, seen in zip(
            (pairs.alice_s, spread),
            settings,
            outcomes,
            (pairs.alice_has, pairs.bob_has),
            strict=True,
        )
    ]


def _side(
    state: ClickState,
    times: Times,
    settings: Bits,
    outcomes: Bits,
    span: tuple[float, float, float],
    *,
    key: np.uint64,
    generator: np.random.Generator,
) -> TimeTags:
    """Return one side's tags of an interval: photons of pairs, stray light, dark counts."""
    laboratory, (begin, end, until) = state.laboratory, span
    stray = begin + (end - begin) * generator.random(
        generator.poisson(laboratory.stray_per_second * (end - begin))
    )
    stray_settings = _settings(laboratory, stray, key=key, generator=generator)
    times = np.concatenate([times, stray])
    settings = np.concatenate([settings, stray_settings])
    outcomes = np.concatenate([outcomes, generator.integers(0, 2, len(stray), np.uint8)])
    times, detectors = _detected(
        laboratory, times, settings=settings, outcomes=outcomes, generator=generator
    )
    dark = [
        generator.poisson(d.dark_counts_per_second * (end - begin)) for d in laboratory.detectors
    ]
    clicks, where = clicks_until(
        until,
        state,
        arrivals_s=np.concatenate([times, begin + (end - begin) * generator.random(sum(dark))]),
        detectors=np.concatenate(
            [detectors, np.repeat(np.arange(len(dark), dtype=np.uint8), dark)]
        ),
        generator=generator,
    )
    if laboratory.is_passive:
        channels = where
    else:
        channels = 2 * _settings(laboratory, clicks, key=key, generator=generator) + where
    return TimeTags(_counts(laboratory, clicks), channels, laboratory.clock.resolution_s)


def _detected(
    laboratory: Laboratory,
    times: Times,
    *,
    settings: Bits,
    outcomes: Bits,
    generator: np.random.Generator,
) -> tuple[Times, Bits]:
    """Return when and where photons are detected, jitter included."""
    detectors = laboratory.detectors
    if laboratory.receiver.readout_error:
        wrong = generator.random(len(times)) < laboratory.receiver.readout_error
        outcomes = np.where(outcomes == NO_CLICK, NO_CLICK, outcomes ^ wrong).astype(np.uint8)
    where = outcomes + 2 * settings if laboratory.is_passive else outcomes.copy()
    best = laboratory.best_efficiency
    relative = np.array([d.efficiency / best if best else 0.0 for d in detectors])
    seen = outcomes != NO_CLICK
    if np.any(relative < 1):
        lucky = generator.random(len(times))
        seen &= lucky < relative[np.where(seen, where, 0)]
    times, where = times[seen], where[seen]
    sigma = np.array([d.jitter_fwhm_s for d in detectors]) / FWHM_PER_SIGMA
    if sigma.any():
        times = times + np.asarray(sigma[where] * _normal(len(times), generator), np.float64)
    return times, where


def _settings(
    laboratory: Laboratory, times: Times, *, key: np.uint64, generator: np.random.Generator
) -> Bits:
    """Return the setting that meets each photon: drawn for each, or that of its time slot."""
    if laboratory.setting_period_s is None:
        draws = generator.random(len(times))
    else:
        slots = np.floor(times / laboratory.setting_period_s).astype(np.int64)
        draws = _mixed(slots.view(np.uint64), key) * np.float64(2.0**-53)
    edges = np.cumsum(laboratory.probabilities)[:-1]
    return np.searchsorted(edges, draws, side="right").astype(np.uint8)


def _mixed(slots: NDArray[np.uint64], key: np.uint64) -> NDArray[np.uint64]:
    """Return 53 random bits for each slot, the same whenever it is asked for.

    SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) at position ``slots`` of the stream ``key``.
    """
    mixed = (slots + np.uint64(1)) * _GOLDEN + key
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIXERS[0]
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIXERS[1]
    return (mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)


def _normal(count: int, generator: np.random.Generator) -> Times:
    return np.clip(generator.standard_normal(count), -_REACH_SIGMAS, _REACH_SIGMAS)


def _counts(laboratory: Laboratory, clicks: Times) -> NDArray[np.int64]:
    clock = laboratory.clock
    t = clicks + laboratory.delay_s
    ahead = t * (clock.frequency_error_ppm * 1e-6 + clock.drift_ppm_per_second * 5e-7 * t)
    return np.floor((clock.offset_s + (t + ahead)) / clock.resolution_s).astype(np.int64)
