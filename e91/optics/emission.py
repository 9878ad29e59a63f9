"""When a source emits the pairs of which something arrives."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from e91.optics.laboratories import Laboratory
from e91.optics.sources import ContinuousSource, PairStatistics, PulsedSource

PairSource = ContinuousSource | PulsedSource

_POLARISATION_MODES = 2


def surviving_fractions(alice: Laboratory, bob: Laboratory) -> tuple[float, float, float]:
    """Return the fractions of pairs of which both photons, Alice's alone and Bob's alone survive.

    The best detector's efficiency is included: the others' photons are thinned later.
    """
    first, second = (side.transmission * side.best_efficiency for side in (alice, bob))
    return first * second, first * (1 - second), (1 - first) * second


def emission_times(
    source: PairSource,
    surviving: float,
    *,
    begin_s: float,
    end_s: float,
    generator: np.random.Generator,
) -> NDArray[np.float64]:
    """Return when pairs are emitted of which something survives, ascending.

    Exact: a fraction of a Poisson process is one, and a fraction of a thermal mode of mean L is a
    thermal mode of mean ``surviving`` L.  A mode gives n >= 1 survivors with probability
    M / (1 + M), M being that mean, and then n is geometric with parameter 1 / (1 + M).

    Args:
        source: Continuous or pulsed.
        surviving: Fraction of the pairs that survives.
        begin_s: Begin of the time; pulses of this very instant belong to it.
        end_s: Its end, whose pulses do not.
        generator: Physical randomness.

    Examples:
        >>> source = PulsedSource(1e6, 0.5, PairStatistics.POISSONIAN)
        >>> generator = np.random.default_rng(1)
        >>> times = emission_times(source, 0.1, begin_s=0.0, end_s=0.1, generator=generator)
        >>> 4500 < len(times) < 5500, bool(np.all(np.diff(times) >= 0))
        (True, True)
    """
    if isinstance(source, ContinuousSource):
        count = generator.poisson(source.pairs_per_second * surviving * (end_s - begin_s))
        # Gaps of a Poisson process, scaled to the stretch, are uniform times already sorted.
        gaps = generator.standard_exponential(count + 1)
        times: NDArray[np.float64] = begin_s + (end_s - begin_s) * np.cumsum(gaps[:-1]) / gaps.sum()
        return times
    first, last = (int(np.ceil(t * source.repetition_rate_hz)) for t in (begin_s, end_s))
    mean = source.mean_pairs_per_pulse * surviving
    if source.statistics is PairStatistics.POISSONIAN:
        count = generator.poisson(mean * (last - first))
        pulses = generator.integers(first, last, count) if count else np.empty(0, np.int64)
    else:
        pulses = _thermal_pulses(
            mean / _POLARISATION_MODES, first=first, last=last, generator=generator
        )
    return np.sort(pulses) / source.repetition_rate_hz


def _thermal_pulses(
    mean: float, *, first: int, last: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Return the pulse number of every survivor of two thermal modes, each of ``mean`` a pulse."""
    modes = _POLARISATION_MODES * (last - first)
    filled = generator.binomial(modes, mean / (1 + mean))
    # Which of the modes are filled: all sets of that size are equally likely.
    chosen = first + generator.choice(modes, filled, replace=False, shuffle=False) // (
        _POLARISATION_MODES
    )
    survivors = np.repeat(chosen, generator.geometric(1 / (1 + mean), filled))
    return survivors.astype(np.int64)
