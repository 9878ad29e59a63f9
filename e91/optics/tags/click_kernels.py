"""Compiled dead time and after-pulses; imported by `e91.optics.tags.click_times` alone.

Where numba cannot run the same function runs as plain Python: the same clicks, slowly.
"""

import numpy as np
from numpy.typing import NDArray

from e91.system.compiled import kernel


@kernel
def _next_pulse(
    waiting_time: NDArray[np.float64],
    waiting_detector: NDArray[np.uint8],
    state: NDArray[np.int64],
) -> int:
    """Take the first after-pulse out of those that wait; return its detector."""
    detector: int = waiting_detector[0]
    state[1] -= 1
    for k in range(state[1]):
        waiting_time[k] = waiting_time[k + 1]
        waiting_detector[k] = waiting_detector[k + 1]
    return detector


@kernel
def _let_wait(
    due: float,
    detector: int,
    waiting_time: NDArray[np.float64],
    waiting_detector: NDArray[np.uint8],
    state: NDArray[np.int64],
) -> None:
    """Put an after-pulse among those that wait, in the order of their times."""
    k = state[1]
    while k > 0 and waiting_time[k - 1] > due:
        waiting_time[k] = waiting_time[k - 1]
        waiting_detector[k] = waiting_detector[k - 1]
        k -= 1
    waiting_time[k] = due
    waiting_detector[k] = detector
    state[1] += 1


@kernel
def register_clicks(
    times: NDArray[np.float64],
    detectors: NDArray[np.uint8],
    end: float,
    chances: NDArray[np.float64],
    dead_time: NDArray[np.float64],
    afterpulse: NDArray[np.float64],
    decay: float,
    last: NDArray[np.float64],
    waiting_time: NDArray[np.float64],
    waiting_detector: NDArray[np.uint8],
    state: NDArray[np.int64],
    click_time: NDArray[np.float64],
    click_detector: NDArray[np.uint8],
) -> int:
    """Let detectors with dead time and after-pulses click at what arrives before ``end``.

    Args:
        times: When something arrives, ascending; shape (n,).
        detectors: Where; shape (n,).
        end: Nothing from here on is looked at.
        chances: Uniform numbers in [0, 1), one for each click; shape (m,).
        dead_time: Of each detector.
        afterpulse: Probability of an after-pulse of each detector.
        decay: Mean time of an after-pulse after the dead time.
        last: Last click of each detector; overwritten.
        waiting_time: After-pulses to come, ascending; overwritten.
        waiting_detector: Their detectors; overwritten.
        state: (arrivals looked at, after-pulses waiting); overwritten.
        click_time: Receives the clicks; shape (m,).
        click_detector: Receives their detectors; shape (m,).

    Returns:
        How many clicks were written.  If m, there may be more: call again.  -1 if more after-pulses
        wait than there is room for.
    """
    made = 0
    while made < chances.size:
        arrival = times[state[0]] if state[0] < times.size else np.inf
        pulse = waiting_time[0] if state[1] > 0 else np.inf
        now = min(arrival, pulse)
        if not now < end:
            break
        if pulse <= arrival:
            detector = _next_pulse(waiting_time, waiting_detector, state)
        else:
            detector = detectors[state[0]]
            state[0] += 1
        if now - last[detector] < dead_time[detector]:
            continue
        last[detector] = now
        click_time[made], click_detector[made] = now, detector
        chance = chances[made]
        made += 1
        if chance < afterpulse[detector]:
            if state[1] == waiting_time.size:
                return -1
            # Given that there is one, chance / probability is uniform in [0, 1) again.
            due = now + dead_time[detector] - decay * np.log1p(-chance / afterpulse[detector])
            _let_wait(due, detector, waiting_time, waiting_detector, state)
    return made
