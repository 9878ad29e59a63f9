"""Work on the last value only: what a slider asks for while its last answer is being made."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class LatestValue(Generic[Value]):
    """Gives the last value that was set to a piece of work, one at a time.

    Values that come while the work is going on replace one another, so nothing queues up, and the
    last one is always worked on.  `give` returns at once; the work runs in a thread of its own.

    Args:
        work: Is called with a value.  What it raises ends in the thread's traceback, and the next
            value is worked on as usual.

    Examples:
        >>> seen = []
        >>> latest = LatestValue(seen.append)
        >>> for position in range(100):
        ...     latest.give(position)
        >>> latest.wait(), seen[-1]
        (True, 99)
    """

    def __init__(self, work: Callable[[Value], object]) -> None:
        self._work = work
        self._waiting: list[Value] = []  # none, or the last one
        self._works = False
        self._changed = threading.Condition()

    def give(self, value: Value) -> None:
        """Ask for work on ``value``, in the place of any that waits.

        Args:
            value: What `work` is called with.
        """
        with self._changed:
            self._waiting[:] = [value]
            if not self._works:
                self._works = True
                threading.Thread(target=self._run, daemon=True).start()

    def wait(self, timeout_s: float = 10.0) -> bool:
        """Return whether the work on the last value is done before ``timeout_s`` are over.

        Args:
            timeout_s: How long to wait at most, seconds.
        """
        with self._changed:
            return self._changed.wait_for(lambda: not self._works, timeout_s)

    def _run(self) -> None:
        try:
            while (value := self._next()) is not None:
                self._work(value[0])
        except BaseException:
            with self._changed:
                self._works = False
                self._changed.notify_all()
            raise

    def _next(self) -> tuple[Value] | None:
        with self._changed:
            if self._waiting:
                return (self._waiting.pop(),)
            self._works = False
            self._changed.notify_all()
            return None
