"""How long something took, on the wall's clock and on the processor's."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Stopwatch:
    """Started when it is made.

    Attributes:
        processor: Clock of the processor time, in seconds: this process's, or
            `time.thread_time` for work of one thread among others.
        already_s: Seconds that went by before.
    """

    processor: Callable[[], float] = time.process_time
    already_s: float = 0.0
    _started: tuple[float, float] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_started", (time.perf_counter(), self.processor()))

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return self.already_s + time.perf_counter() - self._started[0]

    @property
    def processor_seconds(self) -> float:
        """Processor time since the start, in seconds."""
        return self.processor() - self._started[1]
