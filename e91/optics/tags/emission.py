"""Emission times of the pairs that keep at least one photon, and which photons they keep."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from e91.model.numbers import check_fractions
from e91.optics.detectors import BasisChoice
from e91.optics.sources import (
    ContinuousSource,
    HeraldedMemories,
    PairStatistics,
    PulsedSource,
    QuantumDot,
    Source,
)
from e91.optics.tags.laboratories import Laboratory

Times = NDArray[np.float64]

_POLARISATION_MODES = 2


@dataclass(frozen=True, eq=False)
class Emission:
    """Pairs with at least one photon left; arrays of shape (n,).

    Attributes:
        alice_s: When Alice's photon leaves the source, or would.
        bob_s: The same for Bob's.
        alice_has: Whether Alice's photon survives.
        bob_has: Whether Bob's does.
    """

    alice_s: Times
    bob_s: Times
    alice_has: NDArray[np.bool_]
    bob_has: NDArray[np.bool_]


def surviving_fractions(
    source: Source, alice: Laboratory, bob: Laboratory
) -> tuple[float, float, float]:
    """Return the fractions of pairs that keep both photons, Alice's alone and Bob's alone.

    The best detector's efficiency is included: the others' photons are thinned later.

    Args:
        source: A quantum dot's photons may not leave it.
        alice: Alice's laboratory.
        bob: Bob's.
    """
    leaving = source.extraction_efficiency if isinstance(source, QuantumDot) else 1.0
    first, second = (leaving * side.transmission * side.best_efficiency for side in (alice, bob))
    return first * second, first * (1 - second), (1 - first) * second


def emitted(
    source: Source,
    alice: Laboratory,
    bob: Laboratory,
    *,
    begin_s: float,
    end_s: float,
    generator: np.random.Generator,
) -> Emission:
    """Return the pairs emitted in an interval of time that keep at least one photon.

    Args:
        source: Of any kind.
        alice: Alice's laboratory.
        bob: Bob's.
        begin_s: Begin of the interval; pulses of this very instant belong to it.
        end_s: Its end, whose pulses do not.  A quantum dot's photons may come later.
        generator: Physical randomness.
    """
    both, alice_only, bob_only = surviving_fractions(source, alice, bob)
    surviving = min(both + alice_only + bob_only, 1.0)
    times = emission_times(source, surviving, begin_s=begin_s, end_s=end_s, generator=generator)
    which = generator.random(len(times)) * surviving
    first = second = times
    if isinstance(source, QuantumDot):
        # The biexciton's photon comes first; the exciton begins its life with it.
        first = times + source.biexciton_lifetime_s * generator.standard_exponential(len(times))
        second = first + source.exciton_lifetime_s * generator.standard_exponential(len(times))
    alone = which >= both + alice_only
    return Emission(first, second, ~alone, (which < both) | alone)


def emission_times(
    source: Source,
    surviving: float,
    *,
    begin_s: float,
    end_s: float,
    generator: np.random.Generator,
) -> Times:
    """Return the sorted emission times of pairs that keep at least one photon.

    Exact: a fraction of a Poisson process is one, and a fraction of a thermal mode of mean L is a
    thermal mode of mean ``surviving`` L.  A mode gives n >= 1 survivors with probability
    M / (1 + M), M being that mean, and then n is geometric with parameter 1 / (1 + M).  Of a
    quantum dot's one or two pairs each survives by itself.

    Args:
        source: Of any kind; a dot's photons leave it later.
        surviving: Fraction of the pairs that survives.
        begin_s: Begin of the time; pulses of this very instant belong to it.
        end_s: Its end, whose pulses do not.
        generator: Physical randomness.

    Raises:
        ValueError: ``surviving`` is no probability.

    Examples:
        >>> source = PulsedSource(1e6, 0.5, PairStatistics.POISSONIAN)
        >>> generator = np.random.default_rng(1)
        >>> times = emission_times(source, 0.1, begin_s=0.0, end_s=0.1, generator=generator)
        >>> 4500 < len(times) < 5500, bool(np.all(np.diff(times) >= 0))
        (True, True)
        >>> dot = QuantumDot(1e6, 1.0)
        >>> emission_times(dot, 1.0, begin_s=0.0, end_s=3e-6, generator=generator).tolist()
        [0.0, 1e-06, 2e-06]
    """
    check_fractions(surviving=surviving)
    if isinstance(source, ContinuousSource):
        count = generator.poisson(source.pairs_per_second * surviving * (end_s - begin_s))
        # Gaps of a Poisson process, scaled to the interval, are uniform times already sorted.
        gaps = generator.standard_exponential(count + 1)
        times: Times = begin_s + (end_s - begin_s) * np.cumsum(gaps[:-1]) / gaps.sum()
        return times
    if isinstance(source, HeraldedMemories):
        rate = source.attempts_per_second
    else:
        rate = source.repetition_rate_hz
    first, last = (int(np.ceil(t * rate)) for t in (begin_s, end_s))
    pulses = _pulses(source, surviving, first=first, last=last, generator=generator)
    return np.sort(pulses) / rate


def check_memories(source: Source, *laboratories: Laboratory) -> None:
    """Refuse laboratories that lose or add something where every herald is a round.

    Raises:
        ValueError: The source is a pair of memories, and a laboratory is passive, lossy or noisy.
    """
    if not isinstance(source, HeraldedMemories):
        return
    for laboratory in laboratories:
        stray = laboratory.background_photons_at_receiver_per_second
        spoiled = [laboratory.link_loss_db, laboratory.receiver.readout_error, stray]
        spoiled.append(laboratory.receiver.optics_loss_db)
        for detector in laboratory.detectors:
            spoiled += [1 - detector.efficiency, detector.dark_counts_per_second]
            spoiled += [detector.dead_time_s, detector.afterpulse_probability]
        if any(spoiled) or laboratory.receiver.basis_choice is BasisChoice.PASSIVE:
            raise ValueError(
                "Heralded memories must be read out by active laboratories that lose nothing and "
                "add nothing (their errors are the source's), but one does."
            )


def _pulses(
    source: PulsedSource | QuantumDot | HeraldedMemories,
    surviving: float,
    *,
    first: int,
    last: int,
    generator: np.random.Generator,
) -> NDArray[np.int64]:
    """Return the number of the pulse of every surviving pair, in any order."""
    match source:
        case HeraldedMemories():
            chance = source.herald_probability * surviving
            return _chosen(last - first, chance, generator=generator) + first
        case QuantumDot():
            return _dot_pulses(source, surviving, count=last - first, generator=generator) + first
    mean = source.mean_pairs_per_pulse * surviving
    if source.statistics is PairStatistics.POISSONIAN:
        count = generator.poisson(mean * (last - first))
        return generator.integers(first, last, count) if count else np.empty(0, np.int64)
    # Two thermal modes, each of half the mean.
    mean /= _POLARISATION_MODES
    modes = _chosen(_POLARISATION_MODES * (last - first), mean / (1 + mean), generator=generator)
    survivors = generator.geometric(1 / (1 + mean), len(modes))
    return np.repeat(first + modes // _POLARISATION_MODES, survivors).astype(np.int64)


def _dot_pulses(
    dot: QuantumDot, surviving: float, *, count: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    two = dot.multi_pair_probability
    both = two * surviving**2
    one = (dot.pair_probability - two) * surviving + 2 * two * surviving * (1 - surviving)
    filled = _chosen(count, one + both, generator=generator)
    if not two:
        return filled
    doubled = generator.random(len(filled)) * (one + both) < both
    return np.repeat(filled, 1 + doubled)


def _chosen(count: int, chance: float, *, generator: np.random.Generator) -> NDArray[np.int64]:
    """Return which of ``count`` places are chosen, each with the same chance, in any order."""
    filled = generator.binomial(count, min(chance, 1.0))
    # All sets of that size are equally likely.
    chosen = generator.choice(count, filled, replace=False, shuffle=False)
    return chosen.astype(np.int64)
