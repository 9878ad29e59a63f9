"""From photons at a receiver to its clicks: dead time and after-pulses, detector by detector."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from e91.model.bits import Bits
from e91.optics.tags.click_kernels import register_clicks
from e91.optics.tags.laboratories import Laboratory

Times = NDArray[np.float64]

_WAITING = 4096
_CLICKS_AT_ONCE = 2**18


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
