"""Which detectors click in one pulse or time slot: exact sums over all pair numbers.

A slot is decided by the chances that sets of detectors stay silent.  For a set S of Alice's and T
of Bob's, let u be the chance that a pair hits S, v that it hits T and c that it hits both.  A
source of independent pairs has the generating function F of its pair number, so

    P(S and T silent) = F(1 - u - v + c),

and thermal light has the determinant of a Gaussian state in its place.  What two sets' clicks have
in common is P(S, T silent) - P(S silent) P(T silent), a small difference of numbers near 1.  Here
it is written out with the ones removed by hand, so that no digit is lost however small c is.

A click at both detectors of a party becomes a random bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce

import numpy as np
from numpy.typing import ArrayLike

from e91.model.numbers import Floats, check_not_negative
from e91.optics.sources import PairStatistics, PulsedSource, QuantumDot

# The sets of a party's detectors: the one for outcome 0, the one for outcome 1, either.
_SETS = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])

# With a random bit for a double click, outcome 0 has the chance (C0 - C1 + C01) / 2, where C is
# the chance of a click in a set; outcome 1 the same with C0 and C1 swapped.
_OUTCOMES = np.array([[0.5, -0.5, 0.5], [-0.5, 0.5, 0.5]])


@dataclass(frozen=True, eq=False)
class Hits:
    """What one pair and the noise do to the detectors of Alice and Bob in a slot.

    Arrays may have leading axes (setting pairs); they broadcast.

    Attributes:
        pair_table: Probability of the polarisation outcomes of a pair, ``[..., a, b]``; sums 1.
        alice_efficiencies: Of the detectors for outcomes 0 and 1, all losses included; (..., 2).
        bob_efficiencies: The same at Bob's.
        alice_noise: Probability of a click in the slot without any photon of a pair; (..., 2).
        bob_noise: The same at Bob's.
        together: How much likelier both photons of a pair are found than if each were found by
            itself, ``[..., a, b]``: less than 1 if the edges of slots part them, more if dead
            times fall together.

    Raises:
        ValueError: A probability is outside [0, 1], or a pair table does not sum to 1.
    """

    pair_table: Floats
    alice_efficiencies: Floats
    bob_efficiencies: Floats
    alice_noise: Floats
    bob_noise: Floats
    together: Floats = field(default_factory=lambda: np.ones((2, 2)))

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            array = np.array(getattr(self, name), np.float64)
            most = np.inf if name == "together" else 1 + 1e-12
            if not (array.size and array.min() >= 0 and array.max() <= most):
                raise ValueError(f"`{name}` must hold probabilities, but holds {array.tolist()}.")
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        sums = self.pair_table.sum(axis=(-2, -1))
        if self.pair_table.shape[-2:] != (2, 2) or not np.allclose(sums, 1, rtol=0, atol=1e-9):
            raise ValueError(
                f"`pair_table` must have shape (..., 2, 2) and sum to 1, but has shape "
                f"{self.pair_table.shape} and sums {np.unique(sums.round(9)).tolist()}."
            )

    @property
    def alice(self) -> Floats:
        """Chance u that a pair hits each of Alice's three sets; shape (..., 3, 1)."""
        marginal: Floats = self.pair_table.sum(axis=-1)
        chances: Floats = (marginal * self.alice_efficiencies) @ _SETS.T
        return chances[..., :, None]

    @property
    def bob(self) -> Floats:
        """Chance v that it hits each of Bob's; shape (..., 1, 3)."""
        marginal: Floats = self.pair_table.sum(axis=-2)
        chances: Floats = (marginal * self.bob_efficiencies) @ _SETS.T
        return chances[..., None, :]

    @property
    def both(self) -> Floats:
        """Chance c that it hits a set of Alice's and a set of Bob's; shape (..., 3, 3)."""
        weights = self.alice_efficiencies[..., :, None] * self.bob_efficiencies[..., None, :]
        chances: Floats = _SETS @ (self.pair_table * weights * self.together) @ _SETS.T
        return chances


@dataclass(frozen=True, eq=False)
class _Sums:
    """Chances over all pair numbers, noise not included.

    Attributes:
        alice: Chance that a pair's photon hits each set of Alice's; (..., 3, 1).
        bob: The same for Bob; (..., 1, 3).
        common: P(both silent) - P(Alice's silent) P(Bob's silent); (..., 3, 3).
    """

    alice: Floats
    bob: Floats
    common: Floats


def poissonian_slot(hits: Hits, mean_pairs: float) -> Floats:
    """Return what happens in a slot with independent pairs, Poissonian in number.

    Args:
        hits: What one pair does.
        mean_pairs: Mean number mu of pairs in the slot.

    Returns:
        Probability of the outcomes, ``[..., a, b]`` with index 2 for no click; (..., 3, 3).

    Raises:
        ValueError: ``mean_pairs`` is negative or not finite.

    Source:
        F(s) = exp(mu (s - 1)): P(S silent) = exp(-mu u), and both silent exp(-mu (u + v - c)).

    Examples:
        >>> ideal = Hits([[0.5, 0], [0, 0.5]], [0.1, 0.1], [0.1, 0.1], [0, 0], [0, 0])
        >>> slot = poissonian_slot(ideal, 0.1)
        >>> float((slot[0, 1] / slot[0, 0]).round(4)), float(slot.sum().round(12))
        (0.0432, 1.0)
    """
    check_not_negative(mean_pairs=mean_pairs)
    alice, bob = -np.expm1(-mean_pairs * hits.alice), -np.expm1(-mean_pairs * hits.bob)
    common = (1 - alice) * (1 - bob) * np.expm1(mean_pairs * hits.both)
    return _slot(hits, _Sums(alice, bob, common))


def few_pairs_slot(hits: Hits, *, one: float, two: float, late: Sequence[Hits] = ()) -> Floats:
    """Return what happens in a slot with no pair, one pair or two independent ones.

    Args:
        hits: What one pair does.
        one: Probability of exactly one pair.
        two: Probability of exactly two.
        late: What a pair of each other pulse does in this slot, if its photons may come so late
            (or early); noise is taken from ``hits`` alone.

    Returns:
        As `poissonian_slot`.

    Raises:
        ValueError: The probabilities are negative or sum to more than 1.

    Source:
        F(s) = 1 - one - two + one s + two s^2, multiplied out.  Pulses are independent, so the
        chances of silence of several multiply.

    Examples:
        >>> perfect = Hits([[0.5, 0], [0, 0.5]], [1, 1], [1, 1], [0, 0], [0, 0])
        >>> few_pairs_slot(perfect, one=1.0, two=0.0).tolist()
        [[0.5, 0.0, 0.0], [0.0, 0.5, 0.0], [0.0, 0.0, 0.0]]
    """
    if not (one >= 0 and two >= 0 and one + two <= 1):
        raise ValueError(
            f"`one` and `two` must be probabilities that sum to 1 at most, but are {one} and {two}."
        )
    pulses = (_few_pairs(pulse, one=one, two=two) for pulse in (hits, *late))
    return _slot(hits, reduce(_of_two_pulses, pulses))


def _few_pairs(hits: Hits, *, one: float, two: float) -> _Sums:
    mean, u, v, c = one + 2 * two, hits.alice, hits.bob, hits.both
    paired = c * (mean - 2 * two * (u + v) + two * c)
    unpaired = u * v * (2 * two - mean**2 + mean * two * (u + v) - two**2 * u * v)
    return _Sums(u * (mean - two * u), v * (mean - two * v), paired + unpaired)


def _of_two_pulses(first: _Sums, second: _Sums) -> _Sums:
    """Multiply the chances of silence of two pulses, the ones removed by hand."""
    quiet = [(1 - pulse.alice) * (1 - pulse.bob) for pulse in (first, second)]
    common = first.common * (quiet[1] + second.common) + quiet[0] * second.common
    alice = first.alice + (1 - first.alice) * second.alice
    return _Sums(alice, first.bob + (1 - first.bob) * second.bob, common)


def thermal_slot(hits: Hits, mean_pairs: float, *, steered_length: ArrayLike = 1.0) -> Floats:
    """Return what happens in a slot with thermal pair numbers in each of two polarisations.

    The source is exp(r (a0+ b0+ + a1+ b1+)) on the vacuum, and what spoils the polarisation acts
    on each of Bob's photons by itself.  Then Bob's silence, with the operator Y of his
    detectors, steers Alice's photons to R = 2 Tr_B(rho (1 x Y)), rho the state of one pair, and

        P(silent) = 1 / ((1 + L)^2 - L (1 + L) Tr(X R) + L^2 det X det R),   L = mean / 2.

    Args:
        hits: What one pair does; Alice's photon alone must be unpolarised.
        mean_pairs: Mean number of pairs, 2 L.
        steered_length: Length on the Bloch sphere to which Bob's outcome steers Alice's photon
            at each of his settings, 0 to 1; broadcasts with the leading axes.  1 if noise turns
            all photons of a slot alike; the visibility for white noise.  It matters in second
            order only.

    Returns:
        As `poissonian_slot`.

    Raises:
        ValueError: ``mean_pairs`` is negative or not finite, a length is outside [0, 1], or
            Alice's photon is polarised.

    Source:
        The determinant for second-quantised operators between Gaussian states, derived in
        ``docs/optics.md``; for equal efficiencies it is the gain of Ma, Fung and Lo, Phys. Rev.
        A 76, 012307 (2007), equation 9.  Checked against sums over the Fock space.

    Examples:
        >>> ideal = Hits([[0.5, 0], [0, 0.5]], [0.1, 0.1], [0.1, 0.1], [0, 0], [0, 0])
        >>> slot = thermal_slot(ideal, 0.1)
        >>> float((slot[0, 1] / slot[0, 0]).round(4))
        0.0412
    """
    check_not_negative(mean_pairs=mean_pairs)
    length = np.asarray(steered_length, np.float64)
    if not (length.min() >= 0 and length.max() <= 1 + 1e-9):
        raise ValueError(f"`steered_length` must lie in [0, 1], but is {length.tolist()}.")
    if not np.allclose(hits.pair_table.sum(axis=-1), 0.5, rtol=0, atol=1e-6):
        raise ValueError(
            "Alice's photon of a thermal source must be unpolarised, but her outcomes have the "
            f"probabilities {hits.pair_table.sum(axis=-1).tolist()}."
        )
    mean, u, v, c = mean_pairs / 2, hits.alice, hits.bob, hits.both
    # det X = 1 - 2 u + p and det R = 1 - 2 v + q, with p and q as follows.
    p = u**2 - _unequal(hits.alice_efficiencies)[..., :, None]
    q = v**2 - (_unequal(hits.bob_efficiencies) * length[..., None] ** 2)[..., None, :]
    more_u, more_v = mean * (2 * u + mean * p), mean * (2 * v + mean * q)
    numerator = 2 * c + 2 * mean * (u * q + v * p) - mean * (1 - mean) * p * q
    numerator = mean * (1 + mean) * numerator
    product = (1 + more_u) * (1 + more_v)
    common = numerator / (product * (product - numerator))
    return _slot(hits, _Sums(more_u / (1 + more_u), more_v / (1 + more_v), common))


def _unequal(efficiencies: Floats) -> Floats:
    """Return the square of half the difference of efficiencies within each set; (..., 3)."""
    seen = efficiencies[..., None, :] * _SETS
    squared: Floats = ((seen[..., 0] - seen[..., 1]) / 2) ** 2
    return squared


def pulse(
    source: PulsedSource | QuantumDot,
    hits: Hits,
    *,
    steered_length: ArrayLike = 1.0,
    late: Sequence[Hits] = (),
) -> Floats:
    """Return what happens in one pulse of a source; arguments as of the function for its kind."""
    if isinstance(source, QuantumDot):
        two = source.multi_pair_probability
        return few_pairs_slot(hits, one=source.pair_probability - two, two=two, late=late)
    if source.statistics is PairStatistics.THERMAL:
        return thermal_slot(hits, source.mean_pairs_per_pulse, steered_length=steered_length)
    return poissonian_slot(hits, source.mean_pairs_per_pulse)


def _slot(hits: Hits, sums: _Sums) -> Floats:
    """Return the table of outcomes from the chances of sets of detectors."""
    quiet_a = _silence(hits.alice_noise)[..., :, None]
    quiet_b = _silence(hits.bob_noise)[..., None, :]
    click_a = -np.expm1(quiet_a) + np.exp(quiet_a) * sums.alice
    click_b = -np.expm1(quiet_b) + np.exp(quiet_b) * sums.bob
    common = np.exp(quiet_a + quiet_b) * sums.common
    seen = click_a * click_b + common
    silent_b = click_a * (1 - click_b) - common
    silent_a = (1 - click_a) * click_b - common
    silent = (1 - click_a) * (1 - click_b) + common
    table = np.empty((*seen.shape[:-2], 3, 3))
    table[..., :2, :2] = _OUTCOMES @ seen @ _OUTCOMES.T
    table[..., :2, 2] = silent_b[..., :, 2] @ _OUTCOMES.T
    table[..., 2, :2] = silent_a[..., 2, :] @ _OUTCOMES.T
    table[..., 2, 2] = silent[..., 2, 2]
    return np.maximum(table, 0)


def _silence(noise: Floats) -> Floats:
    """Return the logarithm of the chance that each set has no noise click; (..., 3)."""
    with np.errstate(divide="ignore"):  # certain noise: the logarithm is minus infinity
        quiet = np.log1p(-noise)
    zero = np.where(_SETS > 0, quiet[..., None, :], 0.0)
    total: Floats = zero.sum(axis=-1)
    return total
