"""Run a study: on all cores or a cluster, kept as it goes, the same whoever does it.

Its journal holds the finished chunks, a line each, written when the chunk is done.  A line begins
with a checksum of the rest.  Lines are only ever added, and each is safe on the disk before the
study goes on, so a process that is killed, or a machine without power, loses the chunks in work and
no more; a line that was torn is written again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from e91.devices.exact import exact_device
from e91.security.policy import Policy
from e91.session.session import run
from e91.session.streaming import stream
from e91.studies import cluster
from e91.studies.plan import Study
from e91.studies.sessions import Tally, joined, new_root, tally_from, tally_of_blocks
from e91.studies.work import (
    CHUNK_JOBS,
    CHUNK_ROUNDS,
    Numbers,
    Order,
    chunks_of,
    fulfil,
    order_of,
    versions,
)
from e91.system.compiled import compiled_code_may_run
from e91.system.durable import (
    PUBLIC,
    create,
    flush_folder,
    open_regular,
    read_all,
    write_all,
    writing,
)
from e91.system.extras import extra
from e91.system.processes import checked_cores
from e91.system.progress import progress_bar
from e91.system.workspace import Workspace

if TYPE_CHECKING:
    from distributed import Client
    from xarray import Dataset


_KIND = "e91 study journal 2"
_CUT = CHUNK_ROUNDS, CHUNK_JOBS
_HEX = re.compile(rb"[0-9a-f]{16}")
_CHECK = 16  # hexadecimal digits; against torn lines, not against malice


@dataclass(frozen=True, eq=False)
class Journal:
    """An open journal, which no other process can open.

    Attributes:
        path: Where it is.
        root: Root of the study, from its first line.
        done: Tallies of the finished chunks, by number, when it was opened.
        file: Open and locked.
    """

    path: Path
    root: int
    done: dict[int, list[Numbers]]
    file: FileIO

    def add(self, chunk: int, tallies: list[Numbers]) -> None:
        """Write a finished chunk; it is safe on the disk when this returns.

        Raises:
            WriteFailed: The disk is full or fails.
        """
        with writing(self.path):
            write_all(self.file, _line({"chunk": chunk, "tallies": tallies}))


@contextmanager
def open_journal(path: Path, study: Study, *, root: int | None, fresh: int) -> Iterator[Journal]:
    """Open the journal of a study, or begin it.

    Args:
        path: Where it is or shall be.
        study: The study; one that was begun with another plan is refused.
        root: Root that the study must have, or None for any.
        fresh: Root of a study that begins, if ``root`` is None.

    Raises:
        ValueError: The file is of another study, root or version, is in use, or is no journal.
        WriteFailed: It cannot be written.
    """
    if os.path.lexists(path):
        file = open_regular(path, writable=True, kind="the journal of a study")
    else:
        file = create(path, mode=PUBLIC)
    with file:
        _lock(file, path)
        content = read_all(file)
        records, lost = _records(content, path)
        if not records:
            _check_begun(content, path)
            with writing(path):
                _begin(file, study, root=fresh if root is None else root)
                flush_folder(path.parent)
            records, lost = _records(read_all(file), path)
        begun = _checked(records[0], study, root=root, path=path)
        if lost:
            warnings.warn(
                f"`{path}` has {lost} damaged lines; what they kept is done again.",
                UserWarning,
                stacklevel=3,
            )
        file.truncate(read_all(file).rfind(b"\n") + 1)  # without a line that was torn
        file.seek(0, os.SEEK_END)
        done = {record["chunk"]: record["tallies"] for record in records[1:]}
        yield Journal(path, begun, done, file)


def _begin(file: FileIO, study: Study, *, root: int) -> None:
    file.truncate(0)
    file.seek(0)
    first = _line(
        {
            "kind": _KIND,
            "digest": study.digest,
            # As text: JSON readers other than Python's would round it.
            "root": str(root),
            "versions": dict(versions()),
            "cut": list(_CUT),
            "plan": json.loads(study.to_json()),
        }
    )
    write_all(file, first)


def _check_begun(content: bytes, path: Path) -> None:
    """Refuse to overwrite what cannot be the torn first line of a journal."""
    check, text = content[:_CHECK], content[_CHECK:]
    begins = f' {{"kind":"{_KIND}'.encode()
    if set(check) - set(b"0123456789abcdef") or text[: len(begins)] != begins[: len(text)]:
        raise ValueError(f"`{path}` must be the journal of a study, but is something else.")


def _checked(first: dict[str, Any], study: Study, *, root: int | None, path: Path) -> int:
    """Return the root of the study of a journal's first line."""
    if first.get("kind") != _KIND:
        raise ValueError(f"`{path}` must be the journal of a study, but is something else.")
    if first["digest"] != study.digest:
        raise ValueError(
            f"`{path}` must be the journal of this study, but was begun with another plan: name "
            "another file, or remove it to lose what it keeps."
        )
    for name, here in versions():
        if first["versions"].get(name) != here:
            raise ValueError(
                f"A study must be finished with the versions it was begun with, but `{path}` has "
                f"{name} {first['versions'].get(name)} and here is {here}."
            )
    if first["cut"] != list(_CUT):
        raise ValueError(
            f"A study must be finished in the chunks it was begun with, but `{path}` has others."
        )
    begun = int(first["root"])
    if root is not None and root != begun:
        raise ValueError(f"The seed must be that of `{path}`, {begun}, but is {root}.")
    return begun


def _line(record: dict[str, Any]) -> bytes:
    text = json.dumps(record, separators=(",", ":")).encode()
    return _sum(text) + b" " + text + b"\n"


def _sum(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest()[:_CHECK].encode()


def _records(content: bytes, path: Path) -> tuple[list[dict[str, Any]], int]:
    """Return the records of the whole lines, and how many lines are damaged.

    A last line without an end was torn, and is not counted.

    Raises:
        ValueError: The first line is damaged: it says to which study the others belong.
    """
    lines = content.split(b"\n")[:-1]
    parted = [line.partition(b" ") for line in lines]
    whole = [check == _sum(text) for check, _, text in parted]
    if lines and not whole[0] and _HEX.fullmatch(parted[0][0]):
        raise ValueError(f"`{path}` must be the journal of a study, but its first line is damaged.")
    texts = [text for (_, _, text), is_whole in zip(parted, whole, strict=True) if is_whole]
    return [json.loads(text) for text in texts], len(lines) - len(texts)


def _lock(file: FileIO, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ValueError(
            f"`{path}` must be free, but another process is running this study."
        ) from None


_ENOUGH_FOR_A_KEY = 200_000  # rounds


def warm_up() -> None:
    """Load the compiled code of every stage, and compile what is not on disk yet.

    Compiling takes some seconds once a machine, loading half a second in every process.  Without
    this call each stage does so when it is first used.  Nothing is done where compiled code may
    not run (`e91.system.compiled.compiled_code_may_run`).

    Examples:
        >>> from unittest import mock
        >>> with mock.patch.dict("os.environ", NUMBA_DISABLE_JIT="1"):
        ...     warm_up()
    """
    if not compiled_code_may_run():
        return
    # Sessions with errors that make a key take every step there is.
    device = exact_device(visibility=0.97, seed=0)
    run(device, rounds=_ENOUGH_FOR_A_KEY, seed=0, workspace=Workspace(compiled=True))
    for portions in (1, 2):
        policy = Policy(portions=portions)
        list(stream(device, rounds=_ENOUGH_FOR_A_KEY, policy=policy, threads=1, seed=0))
    _match_tags()


def _match_tags() -> None:
    from e91.optics.tags import matching, tag_kernels

    times, one = np.arange(3.0), np.zeros(1)
    matching.match_times(times, times, window_s=0.5)
    matching.count_pairs(times, times, delay_s=0.0, window_s=0.5)
    clock = (one, one, one)
    matching.align(np.arange(3), base=0, resolution_s=1.0, since_s=0.0, ahead_s=0.0, clock=clock)
    detectors, room = np.zeros(3, np.uint8), np.zeros(4)
    tag_kernels.register_clicks(
        times,
        detectors,
        4.0,
        np.ones(4),
        one,
        one,
        1.0,
        np.full(1, -1.0),
        room,
        np.zeros(4, np.uint8),
        np.zeros(2, np.int64),
        np.zeros(4),
        np.zeros(4, np.uint8),
    )


OnProgress = Callable[[int], object]
"""Is called with the rounds that were finished since its last call."""

WORTH_A_PROCESS = 10_000_000
"""Rounds for which it pays to start one more process: about a second of work."""

_WORTH_COMPILING = 20_000_000  # rounds; NumPy would correct their keys in ten seconds
_BYTES_PER_ROUND = {True: 16, False: 100}  # of a block that streams; of a session held whole


def study(
    plan: Study,
    *,
    client: Client | None = None,
    processes: int | None = None,
    seed: int | None = None,
    keep: Path | str | None = None,
    on_progress: OnProgress | None = None,
) -> Dataset:
    """Run all sessions of a plan and return their statistics.

    The result depends on the plan and the root alone, ``processor_seconds`` excepted: not on who
    did what, nor on interruptions.  Keys are made, measured and dropped where they are made; as
    the root travels to the workers they are secret to nobody.

    Args:
        plan: From `e91.studies.plan_study` or `e91.studies.read_study`.
        client: A `distributed.Client`, whose cluster then does the work.
        processes: Processes of this machine, if there is no client; one a core,
            but one for each ten million rounds at most.  With 1 it is this process.  More need
            ``if __name__ == "__main__":`` in a script.
        seed: Root of all randomness; drawn by default, and kept in the result.
        keep: Journal to which finished chunks are added as they come.  If it exists, the study goes
            on where it ended.  Several processes cannot share one.
        on_progress: Is called with the rounds that the journal has, then with those of each chunk.

    Returns:
        An `xarray.Dataset`; see `e91.studies.dataset.dataset_of`.

    Raises:
        ValueError: An argument leaves its range, the journal is of another study, a session
            refuses its point, there are no workers, or they die again and again.
        OSError: The journal cannot be written.

    Examples:
        >>> from e91.studies import plan_study
        >>> plan = plan_study(
        ...     {"rounds": 100_000}, sweep=[{"device.visibility": [0.6, 0.98]}], repeats=2
        ... )
        >>> found = study(plan, seed=1, processes=1)
        >>> found.abort.values.tolist(), bool((found.secret_bits.sel(visibility=0.98) > 0).all())
        ([['NO_VIOLATION', 'NO_VIOLATION'], ['', '']], True)
    """
    keep = None if keep is None else Path(keep)
    if seed is not None and (type(seed) is not int or seed < 0):
        raise ValueError(f"`seed` must be a whole number from 0, but is {seed!r}.")
    extra("xarray", what="A study")
    count = _processes(plan, processes) if client is None else 1
    fresh = new_root() if seed is None else seed
    journal = nullcontext() if keep is None else open_journal(keep, plan, root=seed, fresh=fresh)
    with journal as kept, progress_bar(plan.rounds, unit="pairs") as drawn:
        root = fresh if kept is None else kept.root
        done = {} if kept is None else kept.done
        compiled = _is_long(plan)
        found, report = dict(done), on_progress or drawn
        report(sum(numbers["rounds"] for tallies in done.values() for numbers in tallies))
        orders = (
            order_of(chunk, root=root, compiled=compiled)
            for chunk in chunks_of(plan)
            if chunk.number not in done
        )
        with closing(_results(orders, client=client, processes=count, compiled=compiled)) as made:
            for order, tallies in made:
                if kept is not None:
                    kept.add(order.number, tallies)
                found[order.number] = tallies
                report(sum(numbers["rounds"] for numbers in tallies))
    return _result(plan, found, root=root)


def _results(
    orders: Iterable[Order], *, client: Client | None, processes: int, compiled: bool
) -> Any:
    if client is not None:
        return cluster.on_cluster(fulfil, orders, client=client)
    if compiled:
        warm_up()  # once, before several processes would
    if processes == 1:
        return cluster.here(fulfil, orders)
    return cluster.in_processes(fulfil, orders, processes=processes)


def _result(plan: Study, found: dict[int, list[Numbers]], *, root: int) -> Dataset:
    from e91.studies.dataset import dataset_of

    parts: dict[int, list[Tally]] = defaultdict(list)
    for number in sorted(found):
        for numbers in found[number]:
            tally = tally_from(numbers)
            parts[tally.session].append(tally)
    tallies = {session: joined(together) for session, together in parts.items()}
    return dataset_of(plan, tallies, root=root)


def session_again(plan: Study, number: int, *, root: int) -> Tally:
    """Make one session of a study again, alone.

    Args:
        plan: The plan.
        number: Variable ``session`` of the result.
        root: Attribute ``root_entropy`` of the result, as a number.

    Returns:
        The session's tallied counts, without its key.

    Raises:
        ValueError: There is no such session.

    Examples:
        >>> from e91.studies import plan_study
        >>> plan = plan_study({"rounds": 100_000, "device": {"visibility": 0.97}}, repeats=3)
        >>> found = session_again(plan, 2, root=1)
        >>> found.rounds, found == session_again(plan, 2, root=1)
        (100000, True)
    """
    return tally_of_blocks(plan.point_of_session(number), root=root, session=number)


def _is_long(plan: Study) -> bool:
    return plan.rounds >= _WORTH_COMPILING


def _processes(plan: Study, processes: int | None) -> int:
    count = checked_cores(processes, name="processes")
    if processes is None:
        count = max(1, min(count, plan.rounds // WORTH_A_PROCESS))
    _check_memory(plan, count)
    return count


def _check_memory(plan: Study, processes: int) -> None:
    needed = processes * max(
        point.block_rounds * _BYTES_PER_ROUND[point.streams] for point in plan.points
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > memory:
        raise ValueError(
            f"The sessions of {processes} processes must fit in memory, {memory / 2**30:.1f} GiB, "
            f"but need {needed / 2**30:.1f} GiB: use fewer processes or smaller blocks."
        )
