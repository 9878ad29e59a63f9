"""Work on several cores: how many there are, processes to do it, results in order."""

from __future__ import annotations

import os
import signal
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import ReferenceType, ref

from e91.system.refusals import refusals_marked

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future, ProcessPoolExecutor

_LOOK_EVERY_S = 0.5

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


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
    left to the parent, which can tidy up, and they do not outlive it.  If one of them is killed,
    all work that is not done ends with a `BrokenExecutor`.

    Args:
        count: How many; one a core by default.

    Raises:
        ValueError: ``count`` is no number from 1 to that of the cores, or no process can be begun,
            as from a script without that line or on standard input.

    Examples:
        >>> with worker_processes(1) as pool:
        ...     pool.submit(max, 1, 2).result()
        2
    """
    from concurrent.futures import BrokenExecutor

    pool = new_pool(checked_cores(count, name="processes"))
    try:
        pool.submit(int).result()
    except BrokenExecutor:
        pool.shutdown()
        raise ValueError(
            "Worker processes must live, but the first ended at once: a script must be a file and "
            'make them under `if __name__ == "__main__":`.'
        ) from None
    return pool


def new_pool(count: int) -> ProcessPoolExecutor:
    """Return a pool of processes that are not begun yet; see `worker_processes`.

    Raises:
        SystemExit: This is a process of a pool that imports the script which made the pool, for
            that does not make it under ``if __name__ == "__main__":``.  Its parent, whose pool
            then breaks, says so; this one is silent.
    """
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise SystemExit(1)
    context = multiprocessing.get_context("spawn")
    return watched(ProcessPoolExecutor(count, mp_context=context, initializer=attach))


def in_order(
    pool: Executor, work: Callable[[_Item], _Result], items: Iterable[_Item], *, ahead: int
) -> Iterator[_Result]:
    """Yield the results of some work in the order of its items.

    Unlike ``pool.map`` it takes an item only when one is wanted, so that memory holds no more than
    ``ahead`` + 1 of them; what waits when the caller stops is never begun.

    Args:
        pool: Threads or processes.
        work: What is done to each item.
        items: They are taken one by one, in the caller's thread.
        ahead: How many are in work or waiting beside the one that is yielded next.

    Raises:
        Exception: What the work raised, when its turn comes.

    Examples:
        >>> from concurrent.futures import ThreadPoolExecutor
        >>> with ThreadPoolExecutor(2) as pool:
        ...     list(in_order(pool, abs, [-3, 2, -1], ahead=2))
        [3, 2, 1]
    """
    pending: deque[Future[_Result]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(refusals_marked, work, item))
            if len(pending) > ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


def watched(pool: ProcessPoolExecutor) -> ProcessPoolExecutor:
    """Return a pool that breaks when one of its processes is killed, whatever that one was doing.

    If it was sending a result, the pool alone would wait for ever: for the rest of that result,
    while the other processes wait for the lock that the killed one held (seen in Python 3.11).
    Private attributes of the pool are read for this: nothing public names its processes or its
    pipe, and its `kill_workers` begins with Python 3.14 and does not say whether one has died.

    Args:
        pool: One whose processes are begun by it; they may be many.
    """
    Thread(target=_break_with_worker, args=(ref(pool),), daemon=True).start()
    return pool


def _break_with_worker(pool: ReferenceType[ProcessPoolExecutor]) -> None:
    """End all ends of the pool's pipe when a process was killed: it reads that, and fails."""
    while (found := pool()) is not None:
        results: Any = found._result_queue
        processes: Any = found._processes
        if processes is None or results is None:
            return  # it was shut down
        del found
        living = list(processes.values())
        if any(process.exitcode for process in living):
            for process in living:
                process.kill()
            # A closed end would be closed again by the pool, which fails from that very moment.
            with suppress(OSError), Path(os.devnull).open("wb") as nowhere:
                os.dup2(nowhere.fileno(), results._writer.fileno(), inheritable=False)
            return
        time.sleep(_LOOK_EVERY_S)


def frozen(pool: ProcessPoolExecutor) -> list[int]:
    """Return the numbers of a pool's processes that a signal has stopped; on Linux only."""
    processes: Any = pool._processes
    return [number for number in list(processes or ()) if _is_stopped(number)]


def _is_stopped(process: int) -> bool:
    try:
        # The state follows the name, which may hold anything, parentheses included.
        status = Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2]
    except OSError:
        return False
    return status.split()[0] in (b"T", b"t")


@contextmanager
def report_silence(state: Callable[[], str], *, after_s: float) -> Iterator[Callable[[], None]]:
    """Warn when nothing was heard for a while; give the function that says that something was.

    Args:
        state: Says what is known of who should be heard; called in a thread of its own.
        after_s: How long silence may last; each is reported once.

    Warns:
        UserWarning: What ``state`` says.
    """
    heard, ended = Event(), Event()

    def listen() -> None:
        """Wait for silence, tell it, and wait for its end."""
        while not ended.is_set():
            if not heard.wait(after_s):
                warnings.warn(state(), UserWarning, stacklevel=1)
                heard.wait()
            heard.clear()

    def note() -> None:
        """Note that something was heard."""
        heard.set()

    Thread(target=listen, daemon=True).start()
    try:
        yield note
    finally:
        ended.set()
        heard.set()


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
