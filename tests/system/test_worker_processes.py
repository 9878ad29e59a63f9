"""Processes that work for a run: what happens when one of them is killed."""

import os
import signal
import struct
import subprocess
import sys
import time
import warnings
from concurrent.futures import BrokenExecutor

import pytest

from e91.system.processes import frozen, report_silence, worker_processes


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


SCRIPT = """
from e91.system.processes import worker_processes
with worker_processes(1) as pool:
    print(pool.submit(max, 1, 2).result())
"""


@pytest.mark.parametrize("kind", ["file", "standard input"])
def test_script_without_its_line_gets_one_sentence(tmp_path, kind):
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py" if kind == "file" else "-"],
        input=SCRIPT,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == (
        "ValueError: Worker processes must live, but the first ended at once: a script must be a "
        'file and make them under `if __name__ == "__main__":`.'
    )
    assert done.stderr.count("Traceback") == (1 if kind == "file" else 2)  # one is the child's


def test_silence_is_reported_once_and_says_what_is_known():
    with warnings.catch_warnings(record=True) as reported:
        warnings.simplefilter("always")
        with report_silence(lambda: "nobody answers", after_s=0.25) as note:
            deadline = time.monotonic() + 30
            while not reported and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(0.6)  # silence that lasts
            note()
        time.sleep(0.6)
    assert [str(each.message) for each in reported] == ["nobody answers"]


def test_stopped_process_of_a_pool_is_known():
    with worker_processes(1) as pool:
        (number,) = pool._processes
        assert frozen(pool) == []
        os.kill(number, signal.SIGSTOP)
        deadline = time.monotonic() + 30
        while frozen(pool) != [number] and time.monotonic() < deadline:
            time.sleep(0.01)
        assert frozen(pool) == [number]
        os.kill(number, signal.SIGCONT)
