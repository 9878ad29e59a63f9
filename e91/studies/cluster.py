"""A Dask cluster: how to reach it, and one run of any length spread over it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from e91.model.device import info_of
from e91.model.settings import Settings
from e91.security.policy import Policy
from e91.session.streaming import BLOCK_ROUNDS, BlockDevice, Run, plan_run
from e91.session.totals import RunSummary
from e91.studies import executors
from e91.studies.tallies import joined, tally_from
from e91.studies.work import Numbers, tally_run, versions

if TYPE_CHECKING:
    from distributed import Client

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

    Raises:
        ValueError: dask is not installed, the address is none, nobody answers there in time, or
            the cluster has no workers.
    """
    dask = _dask()
    _check_answers(dask, address, timeout_seconds)
    # Not the default client: that would change what a user's other calls of Dask do.
    with (
        _lost_scheduler_is_reported_once(),
        dask.Client(address, timeout=timeout_seconds, set_as_default=False) as client,
    ):
        executors.check_workers(client)
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
    try:
        import distributed
    except ImportError:
        raise ValueError(
            "A cluster must be reached with dask, but it is not there: pip install 'e91[study]'."
        ) from None
    return distributed


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


@dataclass(frozen=True)
class BlockOrder:
    """Some blocks of a run.

    Attributes:
        number: Of the order.
        first: First block.
        last: One beyond the last block.
    """

    number: int
    first: int
    last: int


def stream_on(
    client: Client,
    device: BlockDevice,
    *,
    rounds: int,
    settings: Settings | None = None,
    policy: Policy | None = None,
    block_rounds: int = BLOCK_ROUNDS,
    seed: int | None = None,
    on_progress: Callable[[int], object] | None = None,
) -> RunSummary:
    """Run a session of any length on a cluster; only what its blocks add up to comes back.

    Block for block it is the run that `e91.stream` makes with the same arguments, to the last bit.
    The root of the randomness travels to the workers with the device, and keys are dropped there:
    such a run is for statistics, its keys are secret to nobody.

    Args:
        client: A `distributed.Client`.
        device: One that draws blocks, e.g. `e91.exact_device`; it must survive pickling.
        rounds: As for `e91.stream`.
        settings: As for `e91.stream`.
        policy: As for `e91.stream`.
        block_rounds: As for `e91.stream`.
        seed: As for `e91.stream`.
        on_progress: Is called with the rounds of each order that is done.

    Returns:
        The summary of all blocks; its ``seconds`` are those of the workers together.

    Raises:
        ValueError: As for `e91.stream`, or the cluster has no workers or loses them.
    """
    run = plan_run(
        device,
        rounds=rounds,
        settings=settings,
        policy=policy,
        block_rounds=block_rounds,
        seed=seed,
    )
    # Once to each worker that needs it, not with every order.
    shared = client.scatter(run, hash=False)  # type: ignore[no-untyped-call]
    found: dict[int, Numbers] = {}
    with closing(_made(client, run, shared)) as results:
        for order, numbers in results:
            found[order.number] = numbers
            if on_progress is not None:
                on_progress(numbers["rounds"])
    whole = joined(tally_from(found[number]) for number in sorted(found))
    return whole.summary(
        settings=run.settings, policy=run.policy, device=info_of(device).description, seed=seed
    )


def _made(client: Client, run: Run, shared: Any) -> executors.Results[BlockOrder, Numbers]:
    share = run.rounds // (_ORDERS_A_THREAD * executors.check_workers(client))
    step = max(1, min(_ORDER_ROUNDS, share) // run.block_rounds)
    starts = enumerate(range(0, run.blocks, step))
    orders = (BlockOrder(number, at, min(at + step, run.blocks)) for number, at in starts)
    return executors.on_cluster(_tally_blocks, orders, client=client, shared=(shared, versions()))


def _tally_blocks(order: BlockOrder, run: Run, needed: tuple[tuple[str, str], ...]) -> Numbers:
    return tally_run(run, range(order.first, order.last), needed)
