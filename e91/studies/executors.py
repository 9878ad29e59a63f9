"""Where the work is done: in this process, in processes of this machine, on a Dask cluster.

Each function takes orders and yields their results as they come, in any order, with no more orders
under way than keep the workers busy.
"""

import multiprocessing
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Any, Protocol, TypeVar

from e91.system.processes import attach, watched
from e91.system.refusals import Refusal, refusals_marked

ORDERS_A_WORKER = 3
"""Under way for each worker: one in work, two waiting, so that nobody waits for a message."""

_MAXIMUM_DEATHS = 3
"""Times that processes may die without finishing anything before it is called a failure."""

_LOST = (
    "The scheduler must stay until the study is done, but was lost: what is finished is kept; run "
    "the study again to go on."
)


class Numbered(Protocol):
    """An order with a number."""

    @property
    def number(self) -> int:
        """Its number."""


T = TypeVar("T", bound=Numbered)
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
    waiting, deaths = iter(orders), 0
    left: dict[int, T] = {}
    while True:
        left |= {order.number: order for order in islice(waiting, max(0, processes - len(left)))}
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
    work: Callable[[T], R], left: dict[int, T], waiting: Iterator[T], *, processes: int
) -> Results[T, R]:
    """Work off ``left`` and what is waiting in one pool; ``left`` holds what is not done yet."""
    context = multiprocessing.get_context("spawn")
    pool = watched(ProcessPoolExecutor(processes, mp_context=context, initializer=attach))
    try:
        under_way: dict[Future[R], T] = {
            pool.submit(refusals_marked, work, order): order for order in left.values()
        }
        while under_way:
            for order in islice(waiting, max(0, ORDERS_A_WORKER * processes - len(under_way))):
                left[order.number] = order
                under_way[pool.submit(refusals_marked, work, order)] = order
            done, _ = wait(under_way, return_when=FIRST_COMPLETED)
            for future in done:
                result, order = future.result(), under_way.pop(future)
                del left[order.number]
                yield order, result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


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

    def submit(order: T) -> Any:
        """Send an order, under a name that no other study uses."""
        key = f"e91-{token}-{order.number}"
        return client.submit(refusals_marked, work, order, *shared, key=key, pure=False)

    window = orders_a_worker * check_workers(client)
    token, waiting = os.urandom(8).hex(), iter(orders)
    under_way = {submit(order): order for order in islice(waiting, window)}
    # Results come in the background: to ask for each in turn would wait for the network each time.
    how = {"loop": client.loop, "with_results": True, "raise_errors": False}
    results: Any = as_completed(list(under_way), **how)  # type: ignore[no-untyped-call]
    try:
        for future, result in results:
            _check(future, result)
            order = under_way.pop(future)
            for more in islice(waiting, 1):
                fresh = submit(more)
                under_way[fresh] = more
                results.add(fresh)
            yield order, result
    finally:
        client.cancel(list(under_way))


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
