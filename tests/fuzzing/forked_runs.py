"""Run the command line many times a second: a process that has imported it forks for every case.

Starting Python and importing Qiskit takes seconds, a fork of a process that has done so takes
milliseconds, and the case still has a process of its own: limits, signals, leftovers, exit status.
"""

import atexit
import ctypes
import faulthandler
import gc
import importlib
import io
import os
import resource
import select
import shutil
import signal
import struct
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from pathlib import Path

MEMORY_BYTES = 3 * 2**30  # of a case, beyond what its parent has mapped
_FILE_BYTES = 2**30
_CPU_SECONDS = 60
_WALL_SECONDS = 150.0  # other work may have the processors
_PATIENT_SECONDS = 1.5
_GONE_SECONDS = 3.0  # until what a case has started must have ended, too
_OUTPUT_BYTES = 4_000_000

HEAVY = (
    "numpy", "scipy.stats", "scipy.special", "scipy.optimize", "qiskit", "qiskit_aer",
    "matplotlib.pyplot",
    "numba", "networkx", "sgp4.api", "h5py", "pyarrow.parquet", "cryptography.x509", "httptools",
    "uvloop", "asyncio", "sqlite3", "e91.distillation.cascade.search_kernels",
    "e91.distillation.cascade.parity_kernels", "e91.distillation.sifting.packing_kernels",
    "e91.distillation.amplification.carryless_kernels", "e91.optics.tags.tag_kernels",
    "e91.recorded.row_kernels", "e91.system.bit_kernels", "e91.system.cell_kernels",
    "e91.devices.aer", "e91.devices.exact", "e91.session.session", "e91.session.streaming",
    "e91.recorded.taggers", "e91.network", "e91.experiments", "e91.plots", "e91.keys",
    "e91.delivery.serving", "e91.delivery.certificates", "e91.delivery.client", "e91.bell.p_values",
)  # fmt: skip
"""What cases would else import one by one."""


@dataclass(frozen=True)
class Case:
    """One command line, and what it finds where it runs.

    Attributes:
        name: Seed and number, which make it again.
        words: The command line behind ``e91``.
        folder: Where it runs; its files are those that it may change.
        is_patient: Whether it may wait for somebody without end, and is then stopped.
        is_nobody: Whether the modes of files hold for it, even if it is root.
        stdin: Its standard input.
    """

    name: str
    words: tuple[str, ...]
    folder: Path
    is_patient: bool = False
    is_nobody: bool = False
    stdin: bytes = b""


@dataclass(frozen=True)
class Outcome:
    """What came of a case.

    Attributes:
        status: Exit status; negative: the signal that ended it.
        out: Standard output.
        err: Standard error.
        before: Files of the folder with size, time of change and inode, before it ran.
        after: The same afterwards.
        hung: Whether it had to be killed.
        stopped: Whether it was patient, and stopped.
        left: Whether a process of it was still there.
        seconds: How long it took.
    """

    status: int
    out: bytes
    err: bytes
    before: dict[str, tuple[int, ...]]
    after: dict[str, tuple[int, ...]]
    hung: bool = False
    stopped: bool = False
    left: bool = False
    seconds: float = 0.0


def import_heavy_modules() -> None:
    """Import what cases need, all commands included, and load the compiled loops."""
    import click

    from e91.cli import commands

    def load(command: click.Command) -> None:
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                found = command.get_command(context, name)
                assert found is not None
                load(found)

    load(commands)
    for name in HEAVY:
        importlib.import_module(name)


def warm_up(lines: Iterable[str], folder: Path) -> None:
    """Run lines in this process, so that forks find loaded what is loaded at first use.

    Args:
        lines: Command lines.
        folder: Where they run; it may be changed.
    """
    import tqdm

    from e91 import cli

    tqdm.tqdm.monitor_interval = 0  # its thread would not be in a fork
    before, environment = Path.cwd(), dict(os.environ)
    live_in(folder.with_name(f"{folder.name}.home"))
    os.chdir(folder)
    try:
        for line in lines:
            with (
                redirect_stdout(io.StringIO()),
                redirect_stderr(io.StringIO()),
                suppress(SystemExit),
            ):
                cli.main(line.split())
            # Aer's, which it makes anew in a fork, is the only one that may be left.
            others = {thread.name.partition("_")[0] for thread in threading.enumerate()}
            assert others <= {"MainThread", "ThreadPoolExecutor-0"}, (line, others)
    finally:
        os.chdir(before)
        os.environ.clear()
        os.environ |= environment
    gc.collect()
    gc.freeze()


@dataclass
class _Running:
    case: Case
    pid: int
    descriptor: int
    started: float
    before: dict[str, tuple[int, ...]]
    stopped: bool = False
    hung: bool = False
    asked: float = field(default=0.0)


def run_all(cases: Iterable[Case], *, jobs: int) -> Iterator[tuple[Case, Outcome]]:
    """Run cases, a few at once, and yield what came of them, as they end.

    The process must have no other threads.
    """
    poll, running = select.poll(), {}
    waiting = iter(cases)
    while True:
        while len(running) < jobs and (case := next(waiting, None)) is not None:
            begun = started(case)
            running[begun.descriptor] = begun
            poll.register(begun.descriptor, select.POLLIN)
        if not running:
            return
        ended = {descriptor for descriptor, _ in poll.poll(100)}
        for descriptor in ended:
            poll.unregister(descriptor)
            found = running.pop(descriptor)
            os.close(descriptor)
            yield found.case, _outcome(found)
        for found in running.values():
            _check_time(found)


def started(case: Case) -> _Running:
    """Start a case; its process gets a group of its own."""
    before = listing(case.folder)
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if not pid:
        _run_and_exit(case)
    return _Running(case, pid, os.pidfd_open(pid), time.monotonic(), before)


def _check_time(found: _Running) -> None:
    """Stop a case that may wait without end, and kill one that should have ended."""
    now = time.monotonic()
    if found.case.is_patient and not found.stopped and now - found.started > _PATIENT_SECONDS:
        found.stopped = True
        found.started = now
        os.kill(found.pid, signal.SIGTERM)
    limit = 20.0 if found.stopped else _WALL_SECONDS
    if now - found.started > limit and not found.hung:
        found.hung = True
        os.kill(found.pid, signal.SIGUSR1)  # prints where it is
        time.sleep(0.2)
        os.killpg(found.pid, signal.SIGKILL)


def _outcome(found: _Running) -> Outcome:
    _, code = os.waitpid(found.pid, 0)
    seconds = time.monotonic() - found.started
    left = _is_left(found.pid)
    outputs = []
    for name in ("out", "err"):
        file = found.case.folder.with_name(f"{found.case.folder.name}.{name}")
        file.touch()  # one that was stopped at once has none
        with file.open("rb") as stream:
            outputs.append(stream.read(_OUTPUT_BYTES))
        file.unlink()
    return Outcome(
        os.waitstatus_to_exitcode(code),
        *outputs,
        found.before,
        listing(found.case.folder),
        found.hung,
        found.stopped,
        left,
        seconds,
    )


def _is_left(group: int) -> bool:
    """Return whether a process of a case outlives it by seconds; it is killed."""
    until = time.monotonic() + _GONE_SECONDS
    while time.monotonic() < until:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.02)
    os.killpg(group, signal.SIGKILL)
    return True


def listing(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return the files below a folder: size, time of change, inode."""
    found = {}
    for path in sorted(folder.rglob("*")):
        about = path.lstat()
        size = 0 if path.is_dir() and not path.is_symlink() else about.st_size
        changed = 0 if path.is_dir() else about.st_mtime_ns
        found[str(path.relative_to(folder))] = (size, changed, about.st_ino)
    return found


def _run_and_exit(case: Case) -> None:
    """Be the process of a case, from its first line to its exit; never return."""
    status = 70
    try:
        _prepare(case)
        from e91 import cli

        sys.argv = ["e91", *case.words]
        try:
            cli.main()
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException as error:  # noqa: BLE001 - as the interpreter would
            traceback.print_exception(error)
            status = 1
        status = _ended_as_an_interpreter_ends(status)
    finally:
        os._exit(status)


def _ended_as_an_interpreter_ends(status: int) -> int:
    """Wait for threads, run what is registered, write out; return the status."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            try:
                stream.flush()
            except OSError:
                status = 120
    return status


def _prepare(case: Case) -> None:
    os.setsid()
    atexit._clear()
    for kind in (signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(kind, signal.SIG_IGN if kind == signal.SIGPIPE else signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    live_in(case.folder.with_name(f"{case.folder.name}.home"))
    _redirect(case)
    os.chdir(case.folder)
    _limit()
    if case.is_nobody:
        _lose_root()


def live_in(home: Path) -> None:
    """Let this process find ledgers, jobs and room for temporary files in a folder."""
    home.mkdir(exist_ok=True)
    os.environ |= {
        "HOME": str(home),
        "XDG_STATE_HOME": str(home),
        "E91_LEDGER": str(home / "recordings.jsonl"),
        "E91_KEY_LEDGER": str(home / "key-usage.sqlite"),
        "TMPDIR": str(home),
    }


def _lose_root() -> None:
    """Let the modes of files hold for this process, whoever it is (capabilities(7))."""
    header = struct.pack("=Ii", 0x20080522, 0)
    capabilities = ctypes.create_string_buffer(24)
    libc = ctypes.CDLL(None)
    if libc.capget(header, capabilities) != 0:
        raise OSError("capget")
    effective, permitted, *rest = struct.unpack("=6I", capabilities.raw)
    reads_all = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    kept = struct.pack("=6I", effective & ~reads_all, permitted & ~reads_all, *rest)
    if libc.capset(header, kept) != 0:
        raise OSError("capset")


def _redirect(case: Case) -> None:
    source = case.folder.with_name(f"{case.folder.name}.in")
    source.write_bytes(case.stdin)
    descriptor = os.open(source, os.O_RDONLY)
    os.dup2(descriptor, 0)
    os.close(descriptor)
    source.unlink()
    for number, name in ((1, "out"), (2, "err")):
        target = case.folder.with_name(f"{case.folder.name}.{name}")
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.closerange(3, 256)
    sys.stdin = io.TextIOWrapper(
        io.BufferedReader(io.FileIO(0, closefd=False)), "utf-8", "surrogateescape"
    )
    sys.stdout = io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, "w", closefd=False)), "utf-8")
    sys.stderr = io.TextIOWrapper(
        io.BufferedWriter(io.FileIO(2, "w", closefd=False)), "utf-8", "backslashreplace",
        line_buffering=True,
    )  # fmt: skip
    faulthandler.enable(2)
    faulthandler.register(signal.SIGUSR1, 2, all_threads=True)


def _limit() -> None:
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    most = mapped + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_FILE_BYTES, _FILE_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def remove(case: Case) -> None:
    """Remove what a case had and made."""
    shutil.rmtree(case.folder, ignore_errors=True)
    shutil.rmtree(case.folder.with_name(f"{case.folder.name}.home"), ignore_errors=True)
