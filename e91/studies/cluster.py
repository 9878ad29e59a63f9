"""Where the work is done: in this process, in processes of this machine, on a Dask cluster.

The functions that work orders off yield their results as they come, in any order, with no more
orders under way than keep the workers busy.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from e91.model.device import info_of
from e91.session.streaming import BlockDevice, Run, plan_run
from e91.session.totals import RunSummary
from e91.studies.sessions import joined, tally_from
from e91.studies.work import Numbers, tally_run, versions
from e91.system.extras import extra
from e91.system.processes import frozen, new_pool, report_silence
from e91.system.progress import progress_bar
from e91.system.refusals import Refusal, refusals_marked
from e91.system.stopwatch import Stopwatch

if TYPE_CHECKING:
    from distributed import Client


ORDERS_A_WORKER = 3
"""Under way for each worker: one in work, two waiting, so that nobody waits for a message."""

_MAXIMUM_DEATHS = 3
"""Times that processes may die without finishing anything before it is called a failure."""

SILENCE_S = 20.0
"""Seconds without a finished order after which a study says so."""

_ANSWER_S = 5  # that a scheduler may take
_SILENT = (
    f"A study has finished nothing for {SILENCE_S:.0f} s: {{}}.  Ctrl-C ends it, and what is "
    "finished is kept."
)

_LOST = (
    "The scheduler must stay until the study is done, but was lost: what is finished is kept; run "
    "the study again to go on."
)


T = TypeVar("T")
R = TypeVar("R")

Results = Generator[tuple[T, R], None, None]
"""Orders with what came of them."""


def here(work: Callable[[T], R], orders: Iterable[T]) -> Results[T, R]:
    """Do the work in this process, one order after the other."""
    for order in orders:
        yield order, work(order)


def in_processes(work: Callable[[T], R], orders: Iterable[T], *, processes: int) -> Results[T, R]:
    """Do the work in processes of this machine.

    Processes are begun afresh, not forked: Aer and numba have threads, which a fork would break.
    So a script that calls this must have its ``if __name__ == "__main__":``.  If one dies, those
    that remain are replaced as well and the orders under way are done again.

    Raises:
        ValueError: Processes die again and again, as when a script lacks that line.
    """
    waiting, deaths = enumerate(orders), 0
    left: dict[int, T] = {}
    while True:
        left |= islice(waiting, max(0, processes - len(left)))
        if not left:
            return
        try:
            for order, result in _pooled(work, left, waiting, processes=processes):
                deaths = 0
                yield order, result
        except BrokenProcessPool:
            deaths += 1
            if deaths >= _MAXIMUM_DEATHS:
                raise ValueError(
                    f"The processes of a study must live, but ended {deaths} times in a row: a "
                    'script must call it under `if __name__ == "__main__":`; with that, use fewer '
                    "`processes` or smaller `block_rounds`."
                ) from None


def _pooled(
    work: Callable[[T], R], left: dict[int, T], waiting: Iterator[tuple[int, T]], *, processes: int
) -> Results[T, R]:
    """Work off ``left`` and what is waiting in one pool; ``left`` holds what is not done yet."""
    pool = new_pool(processes)
    try:
        yield from _worked_off(work, left, waiting, pool=pool, processes=processes)
    finally:
        for process in frozen(pool):
            os.kill(process, signal.SIGKILL)  # nothing else ends them
        pool.shutdown(wait=True, cancel_futures=True)


def _worked_off(
    work: Callable[[T], R],
    left: dict[int, T],
    waiting: Iterator[tuple[int, T]],
    *,
    pool: ProcessPoolExecutor,
    processes: int,
) -> Results[T, R]:
    def state() -> str:
        """Say why nothing is finished."""
        stopped = len(frozen(pool))
        what = f"{stopped} of its processes are stopped" if stopped else "its orders are long"
        return _SILENT.format(what)

    with report_silence(state, after_s=SILENCE_S) as note:
        under_way: dict[Future[R], int] = {
            pool.submit(refusals_marked, work, order): number for number, order in left.items()
        }
        while under_way:
            more = islice(waiting, max(0, ORDERS_A_WORKER * processes - len(under_way)))
            for number, order in more:
                left[number] = order
                under_way[pool.submit(refusals_marked, work, order)] = number
            done, _ = wait(under_way, return_when=FIRST_COMPLETED)
            note()
            for future in done:
                result = future.result()
                yield left.pop(under_way.pop(future)), result


def on_cluster(
    work: Callable[..., R],
    orders: Iterable[T],
    *,
    client: Any,
    shared: tuple[Any, ...] = (),
    orders_a_worker: int = ORDERS_A_WORKER,
) -> Results[T, R]:
    """Do the work on a Dask cluster; orders of a worker that dies go to another.

    Args:
        work: Function of an order and what is ``shared``.
        orders: What is to be done.
        client: A `distributed.Client`, not an asynchronous one.
        shared: Further arguments, e.g. what was scattered.
        orders_a_worker: Under way at once for each thread of the workers.

    Raises:
        ValueError: There is no worker, workers die again and again, or the scheduler is lost.
    """
    from distributed import as_completed

    def submit(number: int, order: T) -> Any:
        """Send an order, under a name that no other study uses."""
        key = f"e91-{token}-{number}"
        return client.submit(refusals_marked, work, order, *shared, key=key, pure=False)

    window = orders_a_worker * check_workers(client)
    token, waiting = os.urandom(8).hex(), enumerate(orders)
    under_way = {submit(*more): more[1] for more in islice(waiting, window)}
    # Results come in the background: to ask for each in turn would wait for the network each time.
    how = {"loop": client.loop, "with_results": True, "raise_errors": False}
    results: Any = as_completed(list(under_way), **how)  # type: ignore[no-untyped-call]
    try:
        with report_silence(partial(_state_of, client), after_s=SILENCE_S) as note:
            for future, result in results:
                note()
                _check(future, result)
                order = under_way.pop(future)
                for more in islice(waiting, 1):
                    fresh = submit(*more)
                    under_way[fresh] = more[1]
                    results.add(fresh)
                yield order, result
    finally:
        client.cancel(list(under_way))


def _state_of(client: Any) -> str:
    """Say why nothing comes from a cluster."""
    try:
        workers = len(client.sync(client.scheduler.ncores, callback_timeout=_ANSWER_S))
    except Exception:  # noqa: BLE001 - whatever Dask makes of a scheduler that does not answer
        return _SILENT.format("its scheduler does not answer")
    if not workers:
        return _SILENT.format("its cluster has no workers any more, and it waits for new ones")
    return _SILENT.format(f"its {workers} workers are frozen or cut off, or its orders are long")


def check_workers(client: Any) -> int:
    """Return the number of a cluster's threads.

    Raises:
        ValueError: It has none, its scheduler is lost, or the client is an asynchronous one.
    """
    if client.asynchronous:
        raise ValueError("The client must be a synchronous one, but is asynchronous.")
    try:
        threads = sum(client.nthreads().values())
    except OSError:  # what Dask makes of a connection that ended
        raise ValueError(_LOST) from None
    if not threads:
        raise ValueError("The cluster must have workers, but has none: start some and try again.")
    return int(threads)


def _check(future: Any, result: Any) -> None:
    """Raise what went wrong with an order, if something did."""
    from distributed.scheduler import KilledWorker

    if future.status == "finished":
        return
    if future.status != "error":
        raise ValueError(_LOST)
    _, error, _ = result
    if isinstance(error, KilledWorker):
        raise ValueError(
            "The workers of a study must live, but one order killed several of them: give them "
            "more memory, or use smaller `block_rounds`."
        )
    if isinstance(error, Refusal):
        raise error
    raise RuntimeError("An order failed on a worker.") from error


TIMEOUT_SECONDS = 5.0
"""How long a scheduler may take to answer."""

_ORDER_ROUNDS = 2**26
"""Rounds of an order at most, if it has several blocks: about a second of work."""

_ORDERS_A_THREAD = 8
"""Orders of a short run for each thread, so that all end at about the same time."""


@contextmanager
def connected(address: str, *, timeout_seconds: float = TIMEOUT_SECONDS) -> Iterator[Client]:
    """Give a client of the scheduler at ``address``, closed at the end.

    Args:
        address: E.g. ``tcp://10.0.0.1:8786`` or ``10.0.0.1:8786``.
        timeout_seconds: How long the scheduler may take to answer.

    Yields:
        The client.

    Raises:
        ValueError: dask is not installed, the address is none, nobody answers there in time, or
            the cluster has no workers.

    Examples:
        >>> with connected("tcp://10.0.0.1"):
        ...     pass
        Traceback (most recent call last):
        ValueError: `tcp://10.0.0.1` must be the address of a running Dask scheduler, like \
tcp://HOST:8786.
    """
    dask = _dask()
    _check_answers(dask, address, timeout_seconds)
    # Not the default client: that would change what a user's other calls of Dask do.
    with (
        _lost_scheduler_is_reported_once(),
        dask.Client(address, timeout=timeout_seconds, set_as_default=False) as client,
    ):
        check_workers(client)
        yield client


@contextmanager
def _lost_scheduler_is_reported_once() -> Iterator[None]:
    """Leave the sentence about a lost scheduler to the error that says so.

    A client looks for its scheduler until it is closed, and then logs the traceback of the search
    that this broke off.
    """
    log = logging.getLogger("distributed.client")

    def says_more(record: logging.LogRecord) -> bool:
        """Return whether a record says something else than that a search was broken off."""
        # What breaks it off, asyncio's CancelledError, is no Exception.
        return not record.exc_info or isinstance(record.exc_info[1], Exception)

    log.addFilter(says_more)
    try:
        yield
    finally:
        log.removeFilter(says_more)


def _dask() -> Any:
    return extra("distributed", what="A cluster")


def _check_answers(dask: Any, address: str, timeout_seconds: float) -> None:
    """Refuse an address at which no scheduler answers: a client would wait there for ever."""
    from distributed.utils import LoopRunner, sync

    scheme, _, place = address.rpartition("://")
    host, _, port = place.rpartition(":")
    if scheme in ("", "tcp", "tls") and not (host and port.isdigit()):
        raise ValueError(
            f"`{address}` must be the address of a running Dask scheduler, like tcp://HOST:8786."
        )

    async def greet() -> None:
        """Open a connection as a client does, and close it."""
        options = dask.Security().get_connection_args("client")
        comm = await dask.comm.connect(address, timeout=timeout_seconds, **options)
        await comm.close()

    # A loop of its own, as a notebook has a running one in this thread.
    runner = LoopRunner()
    runner.start()  # type: ignore[no-untyped-call]
    try:
        sync(runner.loop, greet, callback_timeout=2 * timeout_seconds)
    except Exception:  # noqa: BLE001 - what Dask makes of foreign bytes, e.g. no memory for them
        raise ValueError(
            f"`{address}` must be the address of a running Dask scheduler, like tcp://HOST:8786, "
            "but none answers there."
        ) from None
    finally:
        runner.stop()  # type: ignore[no-untyped-call]


def stream_on(
    client: Client,
    device: BlockDevice,
    *,
    on_progress: Callable[[int], object] | None = None,
    **arguments: Any,
) -> RunSummary:
    """Run a session of any length on a cluster; only what its blocks add up to comes back.

    Block for block it is the run that `e91.stream` makes with the same arguments, to the last bit.
    The root of the randomness travels to the workers with the device, and keys are dropped there:
    such a run is for statistics, its keys are secret to nobody.

    Args:
        client: A `distributed.Client`.
        device: One that draws blocks, e.g. `e91.exact_device`; it must survive pickling.
        on_progress: Is called with the rounds of each order that is done.
        arguments: ``rounds``, ``settings``, ``policy``, ``block_rounds`` and ``seed``, as for
            `e91.stream`.

    Returns:
        The summary of all blocks; its ``processor_seconds`` are those of the workers.

    Raises:
        ValueError: As for `e91.stream`, or the cluster has no workers or loses them.

    Examples:
        >>> from distributed import Client, LocalCluster
        >>> from e91.devices.exact import exact_device
        >>> with LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster:
        ...     with Client(cluster, set_as_default=False) as client:
        ...         found = stream_on(client, exact_device(seed=1), rounds=100_000, seed=1)
        >>> found.rounds, found.blocks, found.secret_bits > 0
        (100000, 1, True)
    """
    stopwatch, run = Stopwatch(), plan_run(device, **arguments)
    # Once to each worker that needs it, not with every order.
    shared = client.scatter(run, hash=False)  # type: ignore[no-untyped-call]
    found: dict[int, Numbers] = {}
    with (
        closing(_made(client, run, shared)) as results,
        progress_bar(run.rounds, unit="pairs") as drawn,
    ):
        report = on_progress or drawn
        for order, numbers in results:
            found[order.start] = numbers
            report(numbers["rounds"])
    whole = joined(tally_from(found[start]) for start in sorted(found))
    about = info_of(device)
    summary = whole.summary(settings=run.settings, policy=run.policy, device=about, seed=run.seed)
    return replace(summary, seconds=stopwatch.seconds)


def _made(client: Client, run: Run, shared: Any) -> Results[range, Numbers]:
    share = run.rounds // (_ORDERS_A_THREAD * check_workers(client))
    step = max(1, min(_ORDER_ROUNDS, share) // run.block_rounds)
    blocks = range(run.blocks)
    orders = (blocks[first : first + step] for first in blocks[::step])
    return on_cluster(tally_run, orders, client=client, shared=(shared, versions()))
