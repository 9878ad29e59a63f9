"""Compiled: dead time and after-pulses of `tags.simulation`, and what `tags.matching` says.

Where numba cannot run the same functions run as plain Python: the same results, slowly.
"""

import numpy as np
from numpy.typing import NDArray

from e91.system.compiled import kernel

Seconds = NDArray[np.float64]


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


@kernel
def align(
    counts: NDArray[np.int64],
    base: int,
    resolution_s: float,
    since_s: float,
    ahead_s: float,
    knots_s: Seconds,
    difference_s: Seconds,
    slope: Seconds,
    aligned: Seconds,
) -> None:
    """Write Bob's tags in Alice's time; as `e91.optics.tags.matching` says.

    Args:
        counts: Bob's tags, ascending; shape (n,).
        base: The count from which seconds are counted.
        resolution_s: Length of a count.
        since_s: Seconds from Bob's first tag to ``base``.
        ahead_s: What is added to every time.
        knots_s: Bob's times at which the difference of the clocks is known, ascending.
        difference_s: That difference.
        slope: How it grows from each knot on.
        aligned: Receives the times; shape (n,).
    """
    k = 0
    for place in range(counts.size):
        time = (counts[place] - base) * resolution_s
        now = time + since_s
        while k + 1 < knots_s.size and knots_s[k + 1] <= now:
            k += 1
        aligned[place] = time + ahead_s - (difference_s[k] + slope[k] * (now - knots_s[k]))


@kernel
def match(
    alice: Seconds,
    bob: Seconds,
    reach: float,
    alice_first: NDArray[np.int64],
    alice_count: NDArray[np.int64],
    bob_first: NDArray[np.int64],
    bob_count: NDArray[np.int64],
) -> int:
    """List the coincidences of two ascending lists of times; return how many there are.

    Args:
        alice: Alice's times; shape (m,).
        bob: Bob's; shape (n,).
        reach: Half the window.
        alice_first: Receives the first tag of Alice in each; shape (min(m, n),).
        alice_count: Receives how many of Alice's tags are in it.
        bob_first: The same of Bob.
        bob_count: The same of Bob.
    """
    i, j, found = 0, 0, 0
    while i < alice.size and j < bob.size:
        if bob[j] > alice[i] + reach:
            i += 1
        elif bob[j] < alice[i] - reach:
            j += 1
        else:
            end = min(alice[i], bob[j]) + reach
            alice_first[found], bob_first[found] = i, j
            i += 1
            j += 1
            while i < alice.size and alice[i] <= end:
                i += 1
            while j < bob.size and bob[j] <= end:
                j += 1
            alice_count[found] = i - alice_first[found]
            bob_count[found] = j - bob_first[found]
            found += 1
    return found


@kernel
def count_pairs(alice: Seconds, bob: Seconds, delay: float, reach: float) -> int:
    """Count the pairs of tags with Bob's later by ``delay``, give or take ``reach``."""
    low, high, total = 0, 0, 0
    for time in alice:
        while low < bob.size and bob[low] < time + (delay - reach):
            low += 1
        while high < bob.size and bob[high] <= time + (delay + reach):
            high += 1
        total += high - low
    return total
