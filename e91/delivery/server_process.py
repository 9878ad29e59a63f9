"""A server as a process: ready when it says so, ended by a signal, certificates anew by another."""

import asyncio
import gc
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from e91.delivery.serving import KeyDelivery

_GARBAGE = (100_000, 50, 100)

Beside = Callable[[KeyDelivery], Awaitable[None]]
"""What runs beside the ports until it is done or cancelled, as a network that makes keys."""


def run_loop(main: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine to its end in an event loop: of uvloop if it is there."""
    # Requests leave no circles behind, and looking for some costs a fifteenth of the time.
    gc.set_threshold(*_GARBAGE)
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)


async def run_until_stopped(
    delivery: KeyDelivery,
    *,
    ready: Callable[[KeyDelivery], None],
    first: Sequence[Beside] = (),
    beside: Sequence[Beside] = (),
) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP reads certificates anew.

    A service manager hears of it by the protocol of ``sd_notify`` if it asks for that.

    Args:
        delivery: The server.
        ready: Called when every port is open and every store too.
        first: What is done one after the other before it is ready, with the ports open.
        beside: What runs beside it; if one fails, the server stops with its exception.

    Raises:
        ValueError: A port is taken, or a file cannot be used.
        StoreFailed: A store cannot be opened.
    """
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    reloads: set[asyncio.Task[None]] = set()

    def reload() -> None:
        """Read certificates anew."""
        task = asyncio.create_task(delivery.reload())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGHUP, reload)
    async with delivery:
        for work in first:
            await work(delivery)
        ready(delivery)
        _notify("READY=1")
        await _until(stop, [asyncio.ensure_future(work(delivery)) for work in beside])
        _notify("STOPPING=1")
        await asyncio.gather(*reloads, return_exceptions=True)


async def _until(stop: asyncio.Event, works: list[asyncio.Future[None]]) -> None:
    """Wait for the stop, or for the failure of what runs beside."""
    stopping = asyncio.create_task(stop.wait())
    pending: set[asyncio.Future[Any]] = {stopping, *works}
    try:
        while not stopping.done():
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for work in done:
                work.result()
    finally:
        for work in pending:
            work.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


def _notify(state: str) -> None:
    """Tell the service manager, if there is one (sd_notify(3))."""
    place = os.environ.get("NOTIFY_SOCKET")
    if not place:
        return
    address = "\0" + place[1:] if place.startswith("@") else place
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
        connection.connect(address)
        connection.sendall(state.encode())
