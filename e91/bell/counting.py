"""A Bell test without a key: S, its error, and what the counts of four setting pairs refute."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray

from e91.bell.correlators import no_signalling_p_value, settings_p_value
from e91.bell.p_values import p_value

FALSE_ALARM = 1e-9
"""Probability with which honest random settings, or outcomes, are called skewed or signalling."""

_SIGNS = [signs for signs in product((1, -1), repeat=4) if math.prod(signs) == -1]


NOT_RANDOM = "settings that were not chosen at random in every round carry none"
"""Why there is no p-value of settings that were taken in turn, or set by hand."""


@dataclass(frozen=True)
class BellTest:
    """What counts at four setting pairs say.

    Attributes:
        value: S = sum of sign times E; dimensionless, in [-4, 4].
        standard_error: One standard deviation, of Poisson counts.
        correlators: E at the pairs (0, 0), (0, 1), (1, 0), (1, 1).
        signs: The signs of the sum, in that order.
        rounds: Coincidences counted, accidental ones included.
        p_value: Probability that a local model, with memory or without, wins at least as often;
            None where ``no_p_value`` says why there is none.
        no_p_value: Why there is none, or None.
        no_signalling_p_value: Of `e91.bell.no_signalling_p_value`; None if only equal and unequal
            outcomes were counted.
        best_signs: The choice of signs with the largest S.
        best_value: That S.

    Examples:
        >>> counts = [[[53, 8], [16, 51]], [[42, 20], [50, 5]]]
        >>> found = bell_test(counts, signs=(1, -1, 1, 1), random_settings=True)
        >>> found.rounds, [round(one, 2) for one in found.correlators], found.no_p_value
        (245, [0.74, -0.52, 0.35, 0.82], None)
    """

    value: float
    standard_error: float
    correlators: tuple[float, float, float, float]
    signs: tuple[int, ...]
    rounds: int
    p_value: float | None
    no_p_value: str | None
    no_signalling_p_value: float | None
    best_signs: tuple[int, ...]
    best_value: float

    @property
    def other_signs_violate(self) -> bool:
        """Whether S is at most 2, but exceeds 2 with another choice of signs."""
        return self.value <= 2 < self.best_value


def bell_test(
    counts: ArrayLike,
    *,
    signs: Sequence[int],
    random_settings: bool,
    accidentals: ArrayLike | None = None,
    local_bound: float = 0.75,
) -> BellTest:
    """Evaluate a CHSH test from counts alone.

    Args:
        counts: Coincidences, whole numbers: ``counts[x, y, a, b]``, shape (2, 2, 2, 2), or only how
            many had equal and unequal outcomes, ``counts[x, y, 0]`` and ``counts[x, y, 1]``.
        signs: Of the pairs (0, 0), (0, 1), (1, 0), (1, 1); +1 or -1, an odd number of them -1, and
            fixed before the counts were seen.
        random_settings: Whether every round's settings were chosen at random, uniformly and
            afresh.  Else there is no p-value.
        accidentals: Expected accidental coincidences, of the shape of ``counts``, to be subtracted;
            they are taken as exactly known.  There is no p-value then.
        local_bound: How often a local model wins at most; see `e91.bell.local_bound`.

    Returns:
        S with its standard error, the four correlators, and the p-values or why there are none.

    Raises:
        ValueError: Counts have another shape, or are negative or not whole; accidentals are
            negative, not finite, or as many as a pair's counts; signs are no CHSH signs.

    Not promised:
        The p-value holds for a number of rounds that was fixed beforehand.  The standard error is
        no bound, and nothing here says what an eavesdropper knows.

    Source:
        Clauser, Horne, Shimony and Holt, Phys. Rev. Lett. 23, 880 (1969); p-value: Elkouss and
        Wehner, npj Quantum Inf. 2, 16026 (2016).

    Examples:
        >>> counts = [[[53, 8], [16, 51]], [[42, 20], [50, 5]]]  # equal and unequal outcomes
        >>> found = bell_test(counts, signs=(1, -1, 1, 1), random_settings=True)
        >>> round(found.value, 3), round(found.standard_error, 3), round(found.p_value, 4)
        (2.433, 0.196, 0.0391)
        >>> bell_test(counts, signs=(1, 1, 1, -1), random_settings=True).other_signs_violate
        True
    """
    _check_signs(signs)
    table = _checked_counts(counts)
    equal, unequal = _equal_and_unequal(table)
    taken = np.zeros(table.shape) if accidentals is None else _checked(accidentals, table)
    less_equal, less_unequal = _equal_and_unequal(taken)
    s, d = equal - less_equal, unequal - less_unequal
    if np.any(s + d <= 0):
        raise ValueError("Each setting pair must have more coincidences than accidentals.")
    values = (s - d) / (s + d)
    variances = 4 * (d**2 * equal + s**2 * unequal) / (s + d) ** 4
    leaks = no_signalling_p_value(table) if table.ndim == 4 and table.any() else None
    wins = int(sum(np.where(np.array(signs) > 0, equal, unequal)))
    rounds = int(table.sum())
    reason = _why_no_p_value(equal + unequal, leaks, random_settings, accidentals is not None)
    sums = {choice: math.fsum(np.array(choice) * values) for choice in _SIGNS}
    best = max(sums, key=sums.__getitem__)
    return BellTest(
        value=sums[tuple(signs)],
        standard_error=math.sqrt(math.fsum(variances)),
        correlators=tuple(values.tolist()),
        signs=tuple(signs),
        rounds=rounds,
        p_value=None if reason else p_value(wins, rounds, bound=local_bound),
        no_p_value=reason,
        no_signalling_p_value=leaks,
        best_signs=best,
        best_value=sums[best],
    )


def ideal_signs(alice_angles: Sequence[float], bob_angles: Sequence[float]) -> tuple[int, ...]:
    """Return the signs of E = cos(a - b), that of phi+ pairs, at two angles each.

    Args:
        alice_angles: Alice's two angles, radians on the Bloch sphere (twice a polariser's).
        bob_angles: Bob's two.

    Returns:
        Signs of the pairs (0, 0), (0, 1), (1, 0), (1, 1); the product may be +1, and then these
        angles make no CHSH test of phi+ pairs.

    Examples:
        >>> quarter = math.pi / 4
        >>> ideal_signs((-2 * quarter, 0.0), (-quarter, quarter))
        (1, -1, 1, 1)
    """
    return tuple(1 if math.cos(a - b) >= 0 else -1 for a in alice_angles for b in bob_angles)


def _equal_and_unequal(table: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    if table.ndim == 3:
        return table[..., 0].ravel(), table[..., 1].ravel()
    same = table[..., 0, 0] + table[..., 1, 1]
    return same.ravel(), (table[..., 0, 1] + table[..., 1, 0]).ravel()


def _checked_counts(counts: ArrayLike) -> NDArray[np.float64]:
    table = np.asarray(counts, float)
    if table.shape not in {(2, 2, 2), (2, 2, 2, 2)}:
        raise ValueError(
            f"`counts` must have shape (2, 2, 2) or (2, 2, 2, 2), but has {table.shape}."
        )
    if not np.all(np.isfinite(table) & (table >= 0) & (table == np.floor(table)) & (table < 1e14)):
        raise ValueError(
            f"`counts` must be whole numbers from 0 to 10^14, but is {table.tolist()}."
        )
    return table


def _checked(accidentals: ArrayLike, counts: NDArray[np.float64]) -> NDArray[np.float64]:
    table = np.asarray(accidentals, float)
    if table.shape != counts.shape or not np.all(np.isfinite(table) & (table >= 0)):
        raise ValueError(
            f"`accidentals` must be numbers from 0 of the shape {counts.shape}, but is "
            f"{table.tolist()}."
        )
    return table


def _check_signs(signs: Sequence[int]) -> None:
    if tuple(signs) not in _SIGNS:
        raise ValueError(
            "`signs` must be four of +1 and -1 with one or three -1 (else local models reach 4), "
            f"but is {tuple(signs)}."
        )


def _why_no_p_value(
    pair_counts: NDArray[np.float64], leaks: float | None, is_random: bool, is_corrected: bool
) -> str | None:
    """Return why the counts have no p-value, or None."""
    if not is_random:
        return NOT_RANDOM
    if is_corrected:
        return "counts from which accidentals were subtracted carry none"
    if settings_p_value(pair_counts, probabilities=[0.25] * 4) <= FALSE_ALARM:
        return "the setting pairs are not equally frequent, as uniform random choices are"
    if leaks is not None and leaks <= FALSE_ALARM:
        return "outcomes depend on the other party's setting"
    return None
