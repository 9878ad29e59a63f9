"""A progress bar for people who wait."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from tqdm import tqdm


def rounds_bar(rounds: int) -> tqdm[NoReturn]:
    """Return a progress bar over ``rounds`` pairs, whose ``update`` takes how many more are done.

    It is drawn on standard error, only on a terminal, and only if it takes longer than 2 s.
    """
    from tqdm import tqdm

    return tqdm(total=rounds, unit=" pairs", unit_scale=True, delay=2, disable=None)


_PATIENCE_S = 2.0


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Say on a terminal what is being done and since when, where nothing can be counted.

    As a bar it is drawn on standard error, only on a terminal, and only if the block takes longer
    than 2 s; it is gone when the block ends.

    Args:
        what: What is done, e.g. "Reading tags".
    """
    if sys.stderr is None or not sys.stderr.isatty():
        yield
        return
    is_done = threading.Event()
    teller = threading.Thread(target=_tell, args=(what, is_done), daemon=True)
    teller.start()
    try:
        yield
    finally:
        is_done.set()
        teller.join()


def _tell(what: str, is_done: threading.Event) -> None:
    start = time.monotonic()
    pause, line = _PATIENCE_S, ""
    while not is_done.wait(pause):
        pause = 1.0
        line = f"{what}: {time.monotonic() - start:.0f} s"
        _draw(f"\r{line}")
    if line:
        _draw(f"\r{' ' * len(line)}\r")


def _draw(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
