"""When a call between networks is made again, and when it is given up."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class RetryLimits:
    """Times of handing over; the standard sets none.

    Attributes:
        call_s: Seconds that one call may take.
        first_s: Wait after the first failure; it doubles with each.
        most_s: The longest wait.
        jitter: Part by which a wait is longer or shorter at random.
        acknowledge_s: Seconds after which an acknowledgement that has not come is asked for again.
        carry_s: Seconds in which a key must have reached its KME inside the network.
        give_up_s: Seconds after which a key that was not acknowledged is made void.
        keep_s: Seconds for which it is remembered that a key is done with: 30 days.
    """

    call_s: float = 5.0
    first_s: float = 1.0
    most_s: float = 60.0
    jitter: float = 0.25
    acknowledge_s: float = 30.0
    carry_s: float = 60.0
    give_up_s: float = 600.0
    keep_s: float = 30 * 86_400.0

    def wait_s(self, failures: int, random: Callable[[], float]) -> float:
        """Return how long to wait after a number of failures in a row.

        Args:
            failures: At least 1.
            random: Returns uniform numbers from 0 to 1.

        Examples:
            >>> [RetryLimits().wait_s(failures, lambda: 0.5) for failures in (1, 2, 3, 7, 5000)]
            [1.0, 2.0, 4.0, 60.0, 60.0]
            >>> RetryLimits().wait_s(1, lambda: 0.0), RetryLimits().wait_s(1, lambda: 1.0)
            (0.75, 1.25)
        """
        wait_s = min(self.most_s, self.first_s * 2.0 ** min(failures - 1, 30))
        return wait_s * (1 + self.jitter * (2 * random() - 1))


USUAL_LIMITS = RetryLimits()
"""The times of handing over unless others are asked for."""
