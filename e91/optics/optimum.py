"""How bright a source should be, and how long its coincidence window."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from scipy.optimize import minimize

from e91.model.numbers import Floats, check_positive
from e91.optics.arms import Arm
from e91.optics.coincidences import Coincidences, coincidences
from e91.optics.sources import ContinuousSource, PulsedSource

_STEPS = 24  # of the search grid along each axis
_STARTS = 3  # best grid points from which the search descends


@dataclass(frozen=True)
class Optimum:
    """The best source and window.

    Attributes:
        source: The source, as bright as it should be.
        window_s: The window or gate.
        coincidences: What they give.
        value: The objective there, for instance key bits per second.
    """

    source: ContinuousSource | PulsedSource
    window_s: float
    coincidences: Coincidences
    value: float


def best_source_and_window(
    source: ContinuousSource | PulsedSource,
    alice: Arm,
    bob: Arm,
    *,
    objective: Callable[[Coincidences], float],
    brightness: tuple[float, float],
    window_s: tuple[float, float],
    bit_error: float = 0.0,
    phase_error: float | None = None,
) -> Optimum:
    """Return the brightness and the window that maximise an objective, both at once.

    A grid in the logarithms of both comes first, as the objective is 0 over wide regions; from
    its best points a simplex descends.

    Args:
        source: What does not change: coherence time, repetition rate, statistics.
        alice: Alice's arm.
        bob: Bob's.
        objective: What is wanted of the coincidences, for instance their number a second times
            `e91.security.device_dependent.bbm92_rate`.
        brightness: Least and largest pairs per second, or pairs per pulse.
        window_s: Shortest and longest window, or gate.
        bit_error: As for `e91.optics.coincidences.coincidences`.
        phase_error: The same.

    Returns:
        The optimum.  If nothing gives a positive value, that of the dimmest source.

    Raises:
        ValueError: A range is empty or not positive, or coincidences refuse its longest window.

    Examples:
        >>> from e91.optics.arms import simple_arm
        >>> arm = simple_arm(30.0, 200.0)
        >>> best = best_source_and_window(
        ...     ContinuousSource(0.0, coherence_time_s=1e-10), arm, arm,
        ...     objective=lambda c: c.per_second * (1 - 20 * c.error_rate),
        ...     brightness=(1e4, 1e10), window_s=(1e-11, 1e-8))
        >>> f"{best.source.pairs_per_second:.2e} {best.window_s:.2e}"
        '3.92e+08 1.19e-10'
    """
    ranges = [_logarithms("brightness", brightness), _logarithms("window_s", window_s)]

    def counted(bright: float, window: float) -> Coincidences:
        made = _with_brightness(source, bright)
        return coincidences(
            made, alice, bob, window_s=window, bit_error=bit_error, phase_error=phase_error
        )

    def loss(at: Floats) -> float:
        bright, window = (min(max(float(v), r[0]), r[1]) for v, r in zip(at, ranges, strict=True))
        return -objective(counted(math.exp(bright), math.exp(window)))

    bright, window = (math.exp(logarithm) for logarithm in _lowest(loss, ranges))
    found = counted(bright, window)
    return Optimum(_with_brightness(source, bright), window, found, objective(found))


def _lowest(loss: Callable[[Floats], float], ranges: list[tuple[float, float]]) -> Floats:
    """Return the point within the ranges where the loss is least."""
    grid = [np.linspace(low, high, _STEPS + 1 if high > low else 1) for low, high in ranges]
    ranked = sorted((np.array(point) for point in product(*grid)), key=loss)
    best, lowest = ranked[0], loss(ranked[0])
    for start in ranked[:_STARTS] if lowest < 0 else []:
        found = minimize(
            loss,
            start,
            method="Nelder-Mead",
            bounds=ranges,
            options={"xatol": 1e-7, "fatol": 1e-13 * abs(lowest), "maxiter": 2000},
        )
        if found.fun < lowest:
            best, lowest = np.asarray(found.x), float(found.fun)
    return best


def _with_brightness(
    source: ContinuousSource | PulsedSource, brightness: float
) -> ContinuousSource | PulsedSource:
    if isinstance(source, ContinuousSource):
        return replace(source, pairs_per_second=brightness)
    return replace(source, mean_pairs_per_pulse=brightness)


def _logarithms(name: str, interval: tuple[float, float]) -> tuple[float, float]:
    low, high = interval
    check_positive(**{name: low})
    check_positive(**{name: high})
    if high < low:
        raise ValueError(f"`{name}` must go from less to more, but is {interval}.")
    return math.log(low), math.log(high)
