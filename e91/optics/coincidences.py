"""How many coincidences a source, two arms and a window give, how many are wrong, what is best."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from scipy.optimize import minimize

from e91.model.numbers import Floats, check_fractions, check_not_negative, check_positive
from e91.optics.arms import Arm, misread
from e91.optics.rates import continuous_rates, singles_per_second
from e91.optics.slots import pulsed_slots
from e91.optics.sources import ContinuousSource, HeraldedMemories, PulsedSource, QuantumDot, Source

_STEPS = 24  # of the search grid along each axis
_STARTS = 3  # best grid points from which the search descends


@dataclass(frozen=True)
class Coincidences:
    """What two parties count in a second, and how good it is.

    Attributes:
        true_per_second: Coincidences whose outcomes are those of one pair.
        accidental_per_second: Those whose outcomes have nothing to do with each other; half of
            their bits are wrong.
        singles_alice_per_second: Clicks of all of Alice's detectors.
        singles_bob_per_second: Clicks of all of Bob's.
        error_rate: Fraction of wrong bits where both parties measure along Z.
        phase_error_rate: The same along X.

    Raises:
        ValueError: A rate is negative, or an error rate outside [0, 1].

    Examples:
        >>> counted = Coincidences(2.0, 0.5, 100.0, 100.0, 0.1, 0.1)
        >>> counted.per_second, counted.ratio, round(counted.chsh_value, 4)
        (2.5, 4.0, 2.2627)
    """

    true_per_second: float
    accidental_per_second: float
    singles_alice_per_second: float
    singles_bob_per_second: float
    error_rate: float
    phase_error_rate: float

    def __post_init__(self) -> None:
        check_not_negative(
            accidental_per_second=self.accidental_per_second,
            singles_alice_per_second=self.singles_alice_per_second,
            singles_bob_per_second=self.singles_bob_per_second,
        )
        check_fractions(error_rate=self.error_rate, phase_error_rate=self.phase_error_rate)

    @property
    def per_second(self) -> float:
        """All coincidences."""
        return self.true_per_second + self.accidental_per_second

    @property
    def ratio(self) -> float:
        """True over accidental coincidences; infinite without accidental ones."""
        if self.accidental_per_second == 0:
            return math.inf
        return self.true_per_second / self.accidental_per_second

    @property
    def chsh_value(self) -> float:
        """S = 2 sqrt(2) (1 - e_Z - e_X) at settings in the X-Z plane; see `docs/security.md`."""
        return 2 * math.sqrt(2) * (1 - self.error_rate - self.phase_error_rate)


def coincidences(
    source: Source,
    alice: Arm | None = None,
    bob: Arm | None = None,
    *,
    window_s: float | None = None,
    bit_error: float = 0.0,
    phase_error: float | None = None,
) -> Coincidences:
    """Return the coincidences of an experiment.

    Every pair of settings is counted as if both parties measured along one axis; an active
    receiver as if it did so all the time.

    Args:
        source: Where the pairs come from.
        alice: Alice's arm; None for heralded memories, and only for them: a herald is a round.
        bob: Bob's arm; the same.
        window_s: Full width of the coincidence window, or of the gate about each pulse, by
            default the time between two pulses; a continuous source needs one.
        bit_error: Chance that a pair's outcomes along Z differ, before what drifts, detectors and
            accidental coincidences add; memories bring their own.
        phase_error: The same along X; by default ``bit_error``.

    Raises:
        ValueError: An argument is missing, superfluous or outside its range.

    Source:
        `e91.optics.rates.continuous_rates`, `e91.optics.clicks`.

    Examples:
        >>> from e91.optics.arms import simple_arm
        >>> micius = coincidences(ContinuousSource(5.9e6, coherence_time_s=1.2e-9),
        ...     simple_arm(32, 200), simple_arm(32, 200), window_s=2.5e-9, bit_error=0.01)
        >>> round(micius.per_second, 5), round(micius.error_rate, 7)
        (2.35402, 0.0180073)
    """
    if isinstance(source, HeraldedMemories):
        if (alice, bob, window_s, phase_error) != (None,) * 4 or bit_error != 0:
            raise ValueError(
                "Heralded memories must have no arms or window, and errors of their own only, but "
                "were given some."
            )
        heralds = source.pairs_per_second
        return Coincidences(heralds, 0.0, heralds, heralds, source.bit_error, source.phase_error)
    if alice is None or bob is None:
        raise ValueError("Photons must have two arms, but one is missing.")
    errors = bit_error, bit_error if phase_error is None else phase_error
    check_fractions(bit_error=errors[0], phase_error=errors[1])
    length = alice.visibility * bob.visibility
    tables = [_pairs_with_error((1 - length * (1 - 2 * e)) / 2, alice, bob) for e in errors]
    if isinstance(source, ContinuousSource):
        if window_s is None:
            raise ValueError("A continuous source must have a `window_s`, but has none.")
        return _continuous(source, alice, bob, tables=tables, window_s=window_s)
    gate = 1 / source.repetition_rate_hz if window_s is None else window_s
    return _pulsed(source, alice, bob, tables=tables, window_s=gate)


def _pairs_with_error(error: float, alice: Arm, bob: Arm) -> Floats:
    table = np.array([[1 - error, error], [error, 1 - error]]) / 2
    settings = len(alice.efficiencies), len(bob.efficiencies)
    return np.broadcast_to(table, (*settings, 2, 2))


def _continuous(
    source: ContinuousSource, alice: Arm, bob: Arm, *, tables: list[Floats], window_s: float
) -> Coincidences:
    counted = []
    for table in tables:
        rates = continuous_rates(source, alice, bob, pair_table=table, window_s=window_s)
        errors = {"alice": alice.readout_error, "bob": bob.readout_error}
        counted.append([misread(rate, **errors) for rate in rates])
    true, accidental = counted[0]
    return Coincidences(
        float(true.sum()),
        float(accidental.sum()),
        float(singles_per_second(alice, source.pairs_per_second).sum()),
        float(singles_per_second(bob, source.pairs_per_second).sum()),
        *(_fraction_of_errors(true + accidental) for true, accidental in counted),
    )


def _pulsed(
    source: PulsedSource | QuantumDot,
    alice: Arm,
    bob: Arm,
    *,
    tables: list[Floats],
    window_s: float,
) -> Coincidences:
    """Count pulses; accidental are twice the errors that perfect pairs and read-out would make."""

    def slots(table: Floats, alice: Arm, bob: Arm) -> Floats:
        length = 1 - 4 * float(table[0, 0, 0, 1])  # white noise steers to its own visibility
        return pulsed_slots(
            source, alice, bob, pair_table=table, window_s=window_s, steered_length=abs(length)
        )

    bit, phase = (slots(table, alice, bob) for table in tables)
    perfect = _pairs_with_error(0.0, alice, bob)
    wrong = _errors(slots(perfect, _well_read(alice), _well_read(bob)))
    rate, total = source.repetition_rate_hz, float(bit[..., :2, :2].sum())
    return Coincidences(
        rate * (total - 2 * wrong),
        rate * 2 * wrong,
        rate * float(bit[:, 0, :2, :].sum()),
        rate * float(bit[0, :, :, :2].sum()),
        *(_fraction_of_errors(slot[..., :2, :2]) for slot in (bit, phase)),
    )


def _well_read(arm: Arm) -> Arm:
    return replace(arm, receiver=replace(arm.receiver, readout_error=0.0))


def _errors(rates: Floats) -> float:
    return float((rates[..., 0, 1] + rates[..., 1, 0]).sum())


def _fraction_of_errors(rates: Floats) -> float:
    """Return wrong over all coincidences, one half if there are none."""
    total = float(rates.sum())
    return _errors(rates) / total if total > 0 else 0.5


@dataclass(frozen=True)
class Optimum:
    """The best source and window.

    Attributes:
        source: The source, as bright as it should be.
        window_s: The window or gate.
        coincidences: What they give.
        value: The objective there, for instance key bits per second.

    Examples:
        >>> source = ContinuousSource(4e8, coherence_time_s=1e-10)
        >>> counted = Coincidences(2.0, 0.5, 100.0, 100.0, 0.1, 0.1)
        >>> found = Optimum(source, 1e-10, counted, value=1.5)
        >>> found.source.pairs_per_second, found.coincidences.per_second
        (400000000.0, 2.5)
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
