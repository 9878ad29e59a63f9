"""Processes that work for a run: what happens when one of them is killed."""

import os
import signal
import struct
import sys
import time
from concurrent.futures import BrokenExecutor

import pytest

from e91.system.processes import worker_processes


def die_while_sending() -> None:
    """End as the kernel ends a process that takes too much memory, in the midst of a result."""
    frame = sys._getframe()
    while frame.f_code.co_name != "_process_worker":
        frame = frame.f_back
    results = frame.f_locals["result_queue"]
    with results._wlock:
        os.write(results._writer.fileno(), struct.pack("!i", 1_000) + b"the first bytes of them")
        os.kill(os.getpid(), signal.SIGKILL)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("death", [die, die_while_sending])
def test_killed_worker_breaks_the_pool_and_leaves_nobody_waiting(death):
    pool = worker_processes(2 if len(os.sched_getaffinity(0)) > 1 else 1)
    try:
        assert pool.submit(os.getpid).result(timeout=60) != os.getpid()
        waiting = [pool.submit(time.sleep, 0.1), pool.submit(death), pool.submit(time.sleep, 0.1)]
        with pytest.raises(BrokenExecutor):
            waiting[1].result(timeout=30)
        for other in waiting:  # one that ended sooner has its result
            assert isinstance(other.exception(timeout=30), BrokenExecutor | None)
    finally:
        started = time.monotonic()
        pool.shutdown()
    assert time.monotonic() - started < 30


def test_workers_that_end_well_break_nothing():
    with worker_processes(1) as pool:
        assert pool.submit(max, 1, 2).result(timeout=60) == 2
        time.sleep(1.2)  # longer than between two looks
        assert pool.submit(max, 3, 2).result(timeout=60) == 3
