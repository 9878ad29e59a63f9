"""Matching of time tags, compiled where numba is; imported by `e91.optics.tags.matching` alone."""

import numpy as np
from numpy.typing import NDArray

from e91.system.compiled import kernel

Seconds = NDArray[np.float64]


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
