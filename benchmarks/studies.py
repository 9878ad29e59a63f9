"""What studies cost and where they stop scaling: ``python -m benchmarks.studies [--points N]``.

Runs the same sweep, sessions of 10^6 pairs at visibilities from 0.75 to 1, on one and on two
processes, then on one and on two Dask workers of one thread, and checks that all results are equal
to the last bit.  ``wall`` is what a user waits, the start of the processes included for processes
and not for Dask; ``processor`` is the time of all processes together, which a busy machine changes
less.  Then orders that do nothing, which tell what it costs to hand one out.  Then a stream of full
blocks: what 10^12 rounds cost.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from distributed import LocalCluster

from benchmarks.machine import headed, machine
from e91.devices.exact import exact_device
from e91.studies import connected, plan_study, stream_on, study
from e91.studies.cluster import in_processes, on_cluster
from e91.studies.running import warm_up

ROUNDS = 10**6
EMPTY_ORDERS = 2000


class Timed(NamedTuple):
    """What a piece of work took.

    Attributes:
        wall: Seconds by the clock.
        processor: Seconds of this process and its ended children.
        found: What the work returned.
    """

    wall: float
    processor: float
    found: Any


class Nothing(NamedTuple):
    """An order that asks for nothing."""

    number: int


def timed(work: Callable[[], Any]) -> Timed:
    """Do some work and time it."""
    wall, processor = time.perf_counter(), _processor()
    found = work()
    return Timed(time.perf_counter() - wall, _processor() - processor, found)


def _processor() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def nothing(order: Nothing) -> int:
    """Return at once."""
    return order.number


def empty_orders() -> Iterator[Nothing]:
    """Yield orders that ask for nothing."""
    return map(Nothing, range(EMPTY_ORDERS))


def seconds_an_order(results: Iterable[Any]) -> float:
    """Return the time between results, once all workers have begun."""
    times = [time.perf_counter() for _ in results]
    half = len(times) // 2
    return (times[-1] - times[half]) / (len(times) - 1 - half)


def worker_seconds(client: Any) -> float:
    """Return the processor time of all workers so far."""
    return float(sum(client.run(time.process_time).values()))


@contextmanager
def warm_cluster(workers: int) -> Iterator[Any]:
    """Give a client of a cluster on this machine whose workers have loaded and compiled all."""
    with (
        LocalCluster(
            n_workers=workers, threads_per_worker=1, dashboard_address="127.0.0.1:0"
        ) as cluster,
        connected(cluster.scheduler_address) as client,
    ):
        client.run(warm_up)
        warm = plan_study({"rounds": ROUNDS}, sweep=[{"device.visibility": [0.98, 0.99]}])
        client.run(_run_here, warm)
        yield client


def _run_here(plan: Any) -> int:
    return int(study(plan, processes=1, seed=0).secret_bits.sum())


def print_row(name: str, done: Timed, *, processor: float | None = None) -> None:
    """Print one row of the sweep's table."""
    used = done.processor if processor is None else processor
    sessions = done.found.chsh.size
    print(f"{name:<24}{done.wall:8.2f}{used:11.2f}{1e3 * used / sessions:14.2f}", flush=True)


def sweep(points: int) -> None:
    """Time the sweep on processes and on workers."""
    spread = {"from": 0.75, "to": 1.0, "points": points}
    plan = plan_study({"rounds": ROUNDS}, sweep=[{"device.visibility": spread}])
    warm_up()
    print(f"\n{points:,} sessions of {ROUNDS:,} pairs")
    print(f"{'':<24}{'wall, s':>8}{'processor':>11}{'ms a session':>14}")
    results = []
    for processes in (1, 2):
        done = timed(lambda count=processes: study(plan, processes=count, seed=1))
        print_row(f"{processes} process(es)", done)
        results.append(done)
    for workers in (1, 2):
        with warm_cluster(workers) as client:
            before = worker_seconds(client)
            done = timed(lambda to=client: study(plan, client=to, seed=1))
            print_row(f"{workers} Dask worker(s)", done, processor=worker_seconds(client) - before)
        results.append(done)
    first = results[0].found.drop_vars("processor_seconds")
    equal = all(first.identical(done.found.drop_vars("processor_seconds")) for done in results)
    print(f"equal to the last bit: {'yes' if equal else 'NO'}")
    print(f"two Dask workers are {results[2].wall / results[3].wall:.2f} times one")


def overhead() -> None:
    """Time orders that do nothing, and say how many rounds a second they can stand for."""
    print(f"\n{EMPTY_ORDERS:,} orders that ask for nothing")
    costs = {"2 processes": seconds_an_order(in_processes(nothing, empty_orders(), processes=2))}
    with warm_cluster(2) as client:
        for window in (1, 100):
            orders = on_cluster(nothing, empty_orders(), client=client, orders_a_worker=window)
            costs[f"2 Dask workers, {window} each"] = seconds_an_order(orders)
    for name, cost in costs.items():
        print(f"{name:<24}{1e3 * cost:8.2f} ms an order")


def long_run(rounds: int) -> None:
    """Time a stream of full blocks on a cluster and say what 10^12 rounds cost."""
    print(f"\na stream of {rounds:,} rounds on Dask")
    for workers in (1, 2):
        with warm_cluster(workers) as client:
            run = lambda to=client, length=rounds: stream_on(  # noqa: E731
                to, exact_device(visibility=0.97, seed=1), rounds=length, seed=2
            )
            run(length=2**22)
            before = worker_seconds(client)
            done = timed(run)
            used = worker_seconds(client) - before
        print(
            f"{workers} worker(s){done.wall:12.2f} s wall {used:8.2f} s processor: 10^12 rounds "
            f"take {used / rounds * 1e12 / 3600:.1f} core hours"
        )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=1000, help="sessions of the sweep")
    parser.add_argument("--rounds", type=float, default=1e9, help="rounds of the long stream")
    parser.add_argument("--only", choices=["sweep", "overhead", "long"], help="one table")
    chosen = parser.parse_args()
    os.environ.setdefault("DASK_DISTRIBUTED__LOGGING__DISTRIBUTED", "error")
    print(headed(machine()))
    if chosen.only in (None, "sweep"):
        sweep(chosen.points)
    if chosen.only in (None, "overhead"):
        overhead()
    if chosen.only in (None, "long"):
        long_run(int(chosen.rounds))


if __name__ == "__main__":
    main()
