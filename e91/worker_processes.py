"""Processes of this machine that make blocks or sessions, each with an interpreter of its own."""

from __future__ import annotations

import os
import signal
from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor


def cores() -> int:
    """Return how many processes or threads this machine can run at once for us."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def checked_cores(count: int | None, *, name: str) -> int:
    """Return ``count``, or the number of cores for None.

    Raises:
        ValueError: It is no whole number from 1 to that of the cores; ``name`` is what the sentence
            calls it.
    """
    most = cores()
    if count is not None and not (type(count) is int and 1 <= count <= most):
        raise ValueError(
            f"`{name}` must lie in [1, {most}], the cores of this machine, but is {count}."
        )
    return count or most


def worker_processes(count: int | None = None) -> ProcessPoolExecutor:
    """Return a pool of processes, e.g. for the ``executor`` of `e91.stream`; a context manager.

    They are begun afresh, not forked: Aer and numba have threads, which a fork would break.  So a
    script that uses them must have its ``if __name__ == "__main__":``.  Each loads the package
    again (about a second) and takes its own memory (about 300 MB in a run of blocks).  Ctrl-C is
    left to the parent, which can tidy up, and they do not outlive it.

    Args:
        count: How many; as many as there are cores by default.

    Raises:
        ValueError: ``count`` is no number from 1 to that of the cores.

    Examples:
        >>> with worker_processes(1) as pool:
        ...     pool.submit(max, 1, 2).result()
        2
    """
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    count = checked_cores(count, name="processes")
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(count, mp_context=context, initializer=attach)


def attach() -> None:
    """Leave Ctrl-C to the parent and end with it; for a process that has just begun."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    from multiprocessing import parent_process

    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
