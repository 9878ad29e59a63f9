"""Datagrams of a call: sent at their time, received until it is over."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from e91.system.durable import reason

_BUFFER_BYTES = 2**22  # of the system, for datagrams that nobody has asked for yet
_LARGEST = 2**16
_CLOSINGS, _CLOSING_PAUSE_S = 4, 0.1
_LINGER_S = 0.3  # for late packets, when the sender has said that it is over

_PLACE = re.compile(r"(?:\[?(?P<host>[^\[\]]+?)\]?:)?(?P<port>[0-9]{1,5})", re.ASCII)


@dataclass(frozen=True)
class Place:
    """Where datagrams go, or are received.

    Attributes:
        host: Name or address.
        port: UDP port; 0 where any free one will do.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def place_of(text: str, *, option: str) -> Place:
    """Return the place that HOST:PORT says; a PORT alone is on this computer.

    Raises:
        ValueError: It says none.

    Examples:
        >>> place_of("5004", option="--listen"), str(place_of("[::1]:5004", option="--to"))
        (Place(host='127.0.0.1', port=5004), '[::1]:5004')
    """
    found = _PLACE.fullmatch(text)
    if found is None or int(found["port"]) > 65_535:
        raise ValueError(f"`{option}` must be HOST:PORT, but is {text!r}.")
    return Place(found["host"] or "127.0.0.1", int(found["port"]))


@contextmanager
def sending_to(place: Place) -> Iterator[Callable[[bytes], None]]:
    """Give a function that sends a datagram to a place.

    Raises:
        ValueError: There is no such place, or the system sends nothing there.
    """
    with _socket(place, to_listen=False) as sending:

        def send(datagram: bytes) -> None:
            """Send one; whether it arrives, nobody says."""
            try:
                sending.send(datagram)
            except ConnectionRefusedError:
                pass  # nobody listens there, yet or any more: that datagram is lost
            except OSError as error:
                raise ValueError(f"`{place}` must be reachable, but {reason(error)}.") from None

        yield send


@contextmanager
def listening_at(place: Place) -> Iterator[socket.socket]:
    """Give a socket that receives datagrams.

    Raises:
        ValueError: The place is taken, or none of this computer.
    """
    with _socket(place, to_listen=True) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        yield listening


def _socket(place: Place, *, to_listen: bool) -> socket.socket:
    try:
        [(family, kind, _, _, address), *_] = socket.getaddrinfo(
            place.host, place.port, type=socket.SOCK_DGRAM
        )
        made = socket.socket(family, kind)
        try:
            made.bind(address) if to_listen else made.connect(address)
        except BaseException:
            made.close()
            raise
    except (OSError, OverflowError) as error:
        said = reason(error) if isinstance(error, OSError) else "is none"
        what = "free on this computer" if to_listen else "a place on the network"
        raise ValueError(f"`{place}` must be {what}, but {said}.") from None
    return made


def send_at_their_time(
    stream: Iterable[tuple[float, list[bytes]]], send: Callable[[bytes], None], *, speed: float
) -> int:
    """Send datagrams when their time has come; return how many.

    Args:
        stream: Seconds from the beginning, and what is to be sent then.
        send: Sends one.
        speed: How many times as fast as its own time; 1 in real time.
    """
    begin, sent = time.monotonic(), 0
    for time_s, datagrams in stream:
        wait = begin + time_s / speed - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        for datagram in datagrams:
            send(datagram)
        sent += len(datagrams)
    return sent


def send_closing(closing: Callable[[], list[bytes]], send: Callable[[bytes], None]) -> None:
    """Say that a call is over, several times, as each may be lost."""
    for _ in range(_CLOSINGS):
        for datagram in closing():
            send(datagram)
        time.sleep(_CLOSING_PAUSE_S)


def datagrams_until(
    listening: socket.socket, *, patience_s: float, is_over: Callable[[], bool]
) -> Iterator[bytes]:
    """Yield what is received, until it is over, nothing comes for too long, or Ctrl-C is pressed.

    Args:
        listening: Where datagrams come.
        patience_s: Seconds to wait for the next one.
        is_over: Whether the sender has said that nothing comes any more; late ones are waited for.
    """
    try:
        while True:
            listening.settimeout(_LINGER_S if is_over() else patience_s)
            yield listening.recv(_LARGEST)
    except (TimeoutError, KeyboardInterrupt):
        return
