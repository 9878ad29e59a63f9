"""Sources of entangled pairs: when they emit, and how many pairs at once.

What polarisation a pair has is no matter of this package: that comes from a circuit.
"""

import math
from dataclasses import dataclass
from enum import Enum

from e91.model.numbers import check_fractions, check_not_negative, check_positive, check_within


class PairStatistics(Enum):
    """How many pairs a pulse gives; the value is its name.

    THERMAL: one spectral mode in each of two polarisations, P(n) = (n + 1) L^n / (1 + L)^(n + 2)
    with L half the mean; the n pairs are not independent.  POISSONIAN: many modes, independent
    pairs, P(n) = mu^n exp(-mu) / n!.

    Examples:
        >>> PairStatistics("thermal")
        <PairStatistics.THERMAL: 'thermal'>
    """

    THERMAL = "thermal"
    POISSONIAN = "poissonian"


@dataclass(frozen=True)
class PulsedSource:
    """Down-conversion with a pulsed pump.

    Attributes:
        repetition_rate_hz: Pulses per second.
        mean_pairs_per_pulse: Mean number mu of pairs of a pulse; L = mu / 2 for THERMAL.
        statistics: How the number spreads.

    Raises:
        ValueError: A number is outside its range.

    Examples:
        >>> PulsedSource(80e6, 0.01, PairStatistics.POISSONIAN).pairs_per_second
        800000.0
    """

    repetition_rate_hz: float
    mean_pairs_per_pulse: float
    statistics: PairStatistics = PairStatistics.THERMAL

    def __post_init__(self) -> None:
        object.__setattr__(self, "statistics", PairStatistics(self.statistics))
        check_positive(repetition_rate_hz=self.repetition_rate_hz)
        check_not_negative(mean_pairs_per_pulse=self.mean_pairs_per_pulse)

    @property
    def pairs_per_second(self) -> float:
        """Mean number of pairs."""
        return self.repetition_rate_hz * self.mean_pairs_per_pulse


@dataclass(frozen=True)
class ContinuousSource:
    """Down-conversion with a continuous-wave pump: pairs at random times, a Poisson process.

    Attributes:
        pairs_per_second: Mean rate of pairs, before all losses.
        coherence_time_s: Full width at half maximum of the time between the photons of a pair.
        bandwidth_nm: Spectral width of one photon, full width at half maximum; with a fibre's
            dispersion it spreads the arrival times.

    Raises:
        ValueError: A number is outside its range.

    Examples:
        >>> ContinuousSource(5.9e6).coherence_time_s
        0.0
    """

    pairs_per_second: float
    coherence_time_s: float = 0.0
    bandwidth_nm: float = 0.0

    def __post_init__(self) -> None:
        check_not_negative(
            pairs_per_second=self.pairs_per_second,
            coherence_time_s=self.coherence_time_s,
            bandwidth_nm=self.bandwidth_nm,
        )


@dataclass(frozen=True)
class QuantumDot:
    """A single emitter that gives one pair at a pulse, and rarely two.

    A pulse lifts the dot to its biexciton.  That decays to the exciton, after a random time with
    the biexciton's lifetime as its mean, by the photon that Alice gets; the exciton decays after
    another by the photon that Bob gets.

    Attributes:
        repetition_rate_hz: Pulses per second.
        pair_probability: Probability that a pulse gives a pair or two: that it prepares the dot.
        multi_pair_probability: Probability that it gives two, at most ``pair_probability``.
            Three are neglected.
        extraction_efficiency: Probability that a photon gets from the dot into its link, each
            photon by itself.
        biexciton_lifetime_s: Mean time from the pulse to Alice's photon.
        exciton_lifetime_s: Mean time from her photon to Bob's.

    Raises:
        ValueError: A number is outside its range, or the lifetimes together exceed the time
            between two pulses: then the dot is not empty when the next one comes.

    Examples:
        >>> round(QuantumDot(320e6, 0.9, 0.01).pairs_per_second)
        291200000
    """

    repetition_rate_hz: float
    pair_probability: float
    multi_pair_probability: float = 0.0
    extraction_efficiency: float = 1.0
    biexciton_lifetime_s: float = 0.0
    exciton_lifetime_s: float = 0.0

    def __post_init__(self) -> None:
        check_positive(repetition_rate_hz=self.repetition_rate_hz)
        check_fractions(
            pair_probability=self.pair_probability,
            multi_pair_probability=self.multi_pair_probability,
            extraction_efficiency=self.extraction_efficiency,
        )
        if self.multi_pair_probability > self.pair_probability:
            raise ValueError(
                f"`multi_pair_probability` must be at most `pair_probability`, "
                f"{self.pair_probability}, but is {self.multi_pair_probability}."
            )
        check_not_negative(
            biexciton_lifetime_s=self.biexciton_lifetime_s,
            exciton_lifetime_s=self.exciton_lifetime_s,
        )
        if self.mean_delays_s[1] * self.repetition_rate_hz > 1:
            raise ValueError(
                "`biexciton_lifetime_s` and `exciton_lifetime_s` must be together at most the time "
                f"between two pulses, {1 / self.repetition_rate_hz:g}, but are "
                f"{self.mean_delays_s[1]:g}."
            )

    @property
    def pairs_per_second(self) -> float:
        """Mean number of pairs, before extraction."""
        return self.repetition_rate_hz * (self.pair_probability + self.multi_pair_probability)

    @property
    def mean_delays_s(self) -> tuple[float, float]:
        """Mean times from the pulse to Alice's photon and to Bob's."""
        return (
            self.biexciton_lifetime_s,
            self.biexciton_lifetime_s + self.exciton_lifetime_s,
        )


def quantum_dot_of(
    repetition_rate_hz: float,
    pair_probability: float,
    *,
    autocorrelation: float,
    extraction_efficiency: float = 1.0,
    biexciton_lifetime_s: float = 0.0,
    exciton_lifetime_s: float = 0.0,
) -> QuantumDot:
    """Return the quantum dot whose one photon has the given autocorrelation.

    Args:
        repetition_rate_hz: Pulses per second.
        pair_probability: Probability p that a pulse gives a pair or two.
        autocorrelation: g2(0) of one of the two photons, as a beam splitter and two detectors
            measure it; less than 1 / (2 p).  No loss changes it.
        extraction_efficiency: As in `QuantumDot`.
        biexciton_lifetime_s: The same.
        exciton_lifetime_s: The same.

    Returns:
        The dot with P(two) = g p^2 / (1 - g p + sqrt(1 - 2 g p)), the root of
        g2(0) = 2 P(two) / (P(one) + 2 P(two))^2 that vanishes with g.

    Raises:
        ValueError: A number is outside its range, or no such dot exists.

    Examples:
        >>> dot = quantum_dot_of(320e6, 0.1, autocorrelation=0.02)
        >>> mean = dot.pair_probability + dot.multi_pair_probability
        >>> round(2 * dot.multi_pair_probability / mean**2, 12)
        0.02
    """
    check_fractions(pair_probability=pair_probability)
    check_not_negative(autocorrelation=autocorrelation)
    doubled = autocorrelation * pair_probability
    if doubled > 0.5:
        raise ValueError(
            f"`autocorrelation` must be at most 1 / (2 pair_probability), but is {autocorrelation}."
        )
    two = doubled * pair_probability / (1 - doubled + math.sqrt(1 - 2 * doubled))
    return QuantumDot(
        repetition_rate_hz,
        pair_probability,
        two,
        extraction_efficiency,
        biexciton_lifetime_s,
        exciton_lifetime_s,
    )


@dataclass(frozen=True)
class HeraldedMemories:
    """Two atoms or ions, entangled by a herald: every herald is a round, and none is lost.

    Attributes:
        attempts_per_second: Attempts to entangle them.
        herald_probability: Probability that an attempt is heralded.
        bit_error: Probability that outcomes along Z differ, 0 to 1/2, read-out errors included.
        phase_error: The same along X.  A memory that dephases has more of these.

    Raises:
        ValueError: A number is outside its range.

    Examples:
        >>> HeraldedMemories(1e6, 2e-4, bit_error=0.0144, phase_error=0.03).pairs_per_second
        200.0
    """

    attempts_per_second: float
    herald_probability: float
    bit_error: float = 0.0
    phase_error: float = 0.0

    def __post_init__(self) -> None:
        check_positive(attempts_per_second=self.attempts_per_second)
        check_fractions(herald_probability=self.herald_probability)
        check_within(0, 0.5, bit_error=self.bit_error, phase_error=self.phase_error)

    @property
    def pairs_per_second(self) -> float:
        """Heralds per second."""
        return self.attempts_per_second * self.herald_probability


Source = ContinuousSource | PulsedSource | QuantumDot | HeraldedMemories
"""Any of them."""
