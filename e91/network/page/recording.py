"""What the control room showed of a run, look by look, so that it can be shown again.

A recording has a bounded number of looks, evenly spread over the run: when there are more, every
second one is dropped, and from then on half as many are kept.
"""

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from e91.model.numbers import Floats

MOST_LOOKS = 2_000
"""Of a recording."""

_MOST_NUMBERS = 2**22  # of all looks, 32 MB
_NOT_WELL = (2, 3, 4)  # alarm, on trial, down


@dataclass(frozen=True, eq=False)
class Moment:
    """What there was to see at a time.

    Attributes:
        time_s: Simulated.
        rows: Every link in short, as `Figures.short` has it; shape (links, 5).
        head: The numbers of the whole network.
    """

    time_s: float
    rows: Floats = field(repr=False)
    head: dict[str, Any] = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return it as the page takes it."""
        rows = [[int(row[0]), int(row[1]), row[2], row[3], int(row[4])] for row in self.rows]
        return {"t": self.time_s, "rows": rows, "head": self.head}


@dataclass(eq=False)
class Recording:
    """The looks at one network, in the order of time.

    Attributes:
        moments: The looks.
        step_s: Simulated time that lies between two of them at least.

    Examples:
        >>> recording = Recording()
        >>> for second in range(5_000):
        ...     recording.add(float(second), [[0, second > 4_000, 50, 1.5, 0]], {"keys": second})
        >>> len(recording.moments) <= MOST_LOOKS, recording.step_s
        (True, 4.0)
        >>> recording.at(4_500.0).head, recording.at(-1.0).head
        ({'keys': 4500}, {'keys': 0})
    """

    moments: list[Moment] = field(default_factory=list, repr=False)
    step_s: float = 0.0

    def add(self, time_s: float, rows: list[list[float]], head: dict[str, Any]) -> None:
        """Keep a look, unless the last one is too recent."""
        moments = self.moments
        if moments and not time_s >= moments[-1].time_s + max(self.step_s, 1e-3):
            return
        moments.append(Moment(time_s, np.array(rows, np.float64), head))
        if len(moments) > max(16, min(MOST_LOOKS, _MOST_NUMBERS // max(1, 5 * len(rows)))):
            del moments[1::2]
            span_s = moments[-1].time_s - moments[0].time_s
            self.step_s = max(2 * self.step_s, span_s / (len(moments) - 1))

    def at(self, time_s: float) -> Moment | None:
        """Return the last look up to a time, or the first; None if there was none yet."""
        if not self.moments:
            return None
        times = [moment.time_s for moment in self.moments]
        return self.moments[max(0, bisect_right(times, time_s) - 1)]

    def outline(self) -> dict[str, list[float]]:
        """Return when looks were kept, and how many links were not well then."""
        return {
            "t": [moment.time_s for moment in self.moments],
            "bad": [int(np.isin(moment.rows[:, 1], _NOT_WELL).sum()) for moment in self.moments],
        }
