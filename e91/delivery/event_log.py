"""The log of a key server: one JSON object a line, and never a key bit.

A line has ``time``, ``level``, ``event`` and the facts of the event.  Only facts with one of the
names in `FACTS` are written, so that no value gets in by oversight.  A flood of one event, as of
somebody who guesses, is cut: at most a fixed number of lines a second, then a line with how many
are left out.
"""

import json
import logging
import os
import time
import traceback
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from e91.system.durable import PRIVATE

FACTS = (
    "kme", "sae", "peer", "link", "listen", "status", "reason", "until", "since", "file", "store",
    "attempt", "url", "keys", "bits", "health", "left_out", "seconds", "source",
)  # fmt: skip
"""What a line may say beside time, level and event."""

_MOST_LINES_PER_SECOND = 20  # of one event


class JsonLines(logging.Formatter):
    """Writes a record as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        moment = datetime.fromtimestamp(record.created, UTC)
        line = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        line |= {name: getattr(record, name) for name in FACTS if hasattr(record, name)}
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = _without_values(record.exc_info)
        return json.dumps(line, default=str)


def _without_values(found: object) -> str:
    """Return type and places of an exception; its message and its lines may hold anything."""
    assert isinstance(found, tuple)
    kind, _, trace = found
    places = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(trace)]
    return f"{kind.__name__} at {' < '.join(reversed(places))}"


class FloodFilter(logging.Filter):
    """Lets through a number of lines of one event a second, and says how many were left out."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._second = 0
        self._seen: Counter[str] = Counter()
        self._left_out: Counter[str] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a line is written."""
        second = int(self._clock())
        if second != self._second:
            self._second = second
            self._seen.clear()
        event = str(record.msg)
        self._seen[event] += 1
        if self._seen[event] > _MOST_LINES_PER_SECOND and record.levelno < logging.ERROR:
            self._left_out[event] += 1
            return False
        if self._left_out[event]:
            record.left_out = self._left_out.pop(event)
        return True


class EventLog:
    """The log of a running server; use it as a context.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder, "kme.log")
        ...     with EventLog(file):
        ...         logging.getLogger("e91.delivery").info("ready", extra={"kme": "alice"})
        ...     json.loads(file.read_text())["kme"]
        'alice'
    """

    def __init__(self, file: Path | None = None) -> None:
        """Prepare a log.

        Args:
            file: Where it is written on, mode 0600; standard error if not given.

        Raises:
            ValueError: The file cannot be written.
        """
        self._handler: logging.Handler
        if file is None:
            self._handler = logging.StreamHandler()
        else:
            try:
                # Without O_NONBLOCK a pipe that nobody reads would keep the server waiting.
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
                os.close(os.open(file, flags, PRIVATE))
                self._handler = logging.FileHandler(file)
            except OSError:
                raise ValueError(
                    f"`log` must be a file that can be written, but `{file}` is not."
                ) from None
        self._handler.setFormatter(JsonLines())
        self._handler.addFilter(FloodFilter())

    def __enter__(self) -> Self:
        logger = logging.getLogger("e91.delivery")
        self._before = logger.level, logger.propagate
        logger.setLevel(logging.INFO)
        logger.propagate = False
        logger.addHandler(self._handler)
        return self

    def __exit__(self, *_: object) -> None:
        logger = logging.getLogger("e91.delivery")
        logger.removeHandler(self._handler)
        logger.level, logger.propagate = self._before
        self._handler.close()
