"""``e91 chat``: a conversation in lines, each under a one-time pad of its own."""

import os
import select
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from e91.cli.encodings import printable
from e91.cli.key_options import KeyChoice, keys_option
from e91.cli.options import JSON
from e91.model.errors import AuthenticationFailed, KeyUnavailable
from e91.system.durable import reason

if TYPE_CHECKING:
    from e91.encryption.key_sources import KeyBytesLeft, KeySource, NamedKey
    from e91.encryption.stream_headers import Part, StreamCipher

LONGEST_LINE = 4000
"""Bytes of a line: a segment of 4 KiB holds it."""

_SEGMENT = 4096
_GOODBYE_S = 5.0
_CIPHER: "StreamCipher" = "one-time-pad"


@click.command()
@keys_option("Your key file, a folder of them, a pattern, or several of these.")
@click.option("--listen", metavar="HOST:PORT", help="Wait here for the other end; port 0: any.")
@click.option("--connect", metavar="HOST:PORT", help="Go to where the other end listens.")
@click.option("--from", "read_from", type=click.Path(path_type=Path),
              help="Or a named pipe from which to read, with --to.")  # fmt: skip
@click.option("--to", "write_to", type=click.Path(path_type=Path),
              help="And one to write to.")  # fmt: skip
@JSON
def chat(
    *,
    keys: KeyChoice,
    listen: str | None,
    connect: str | None,
    read_from: Path | None,
    write_to: Path | None,
    as_json: bool,
) -> None:
    """Talk with the other end, line by line, until either end's input ends.

    Every line is under a one-time pad, with a tag of its own: a byte of line takes a byte of key,
    and a line takes 32 more.  A line for which too little key is left is not sent; AES never takes
    the pad's place.  Whoever cuts, repeats, moves or changes a line is found out.
    """
    keys.check()
    places = (listen, connect, read_from and write_to)
    if sum(bool(place) for place in places) != 1 or bool(read_from) != bool(write_to):
        raise click.UsageError(
            "The other end must be named by `--listen`, by `--connect`, or by `--from` and `--to`, "
            "but is not."
        )
    with ExitStack() as stack:
        unentered = stack.enter_context(keys.source())
        entered = stack.enter_context(keys.entered(unentered, cipher=_CIPHER, name="chat"))
        if listen or connect:
            streams = stack.enter_context(_by_socket(listen, connect))
        else:
            assert read_from is not None
            assert write_to is not None
            streams = stack.enter_context(_by_pipes(read_from, write_to))
        Conversation(entered, *streams, shown=_Shown(as_json=as_json)).hold()


@contextmanager
def _by_socket(listen: str | None, connect: str | None) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """Give both directions of a connection over TCP.

    Raises:
        ValueError: The address is none, or the other end is not there.
    """
    address = listen or connect or ""
    try:
        connection = _accepted(address) if listen else _connected(address)
    except OSError as error:
        raise ValueError(f"`{address}` must be an address to reach, but {reason(error)}.") from None
    with connection, connection.makefile("rb") as read, connection.makefile("wb") as write:
        yield read, write
        with suppress(OSError):
            connection.shutdown(socket.SHUT_WR)


def _connected(address: str) -> socket.socket:
    return socket.create_connection(_host_and_port(address))


def _accepted(address: str) -> socket.socket:
    """Wait for the other end; say where, as the port may be any."""
    host, port = _host_and_port(address)
    with socket.create_server((host, port)) as server:
        found = server.getsockname()
        click.echo(f"e91: listening on {found[0]}:{found[1]}", err=True)
        return server.accept()[0]


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise ValueError(f"`{address}` must be HOST:PORT, but is not.")
    return host.strip("[]"), int(port)


@contextmanager
def _by_pipes(read_from: Path, write_to: Path) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """Give two named pipes, each opened when the other end opens it, in whichever order.

    Raises:
        ValueError: One cannot be opened.
    """
    opened: list[BinaryIO] = []

    def open_to_write() -> None:
        with suppress(OSError):
            opened.append(write_to.open("wb"))

    for path in (read_from, write_to):
        if not path.exists():
            raise ValueError(f"`{path}` must be a pipe, but does not exist.")
    other = threading.Thread(target=open_to_write, daemon=True)
    other.start()
    try:
        with read_from.open("rb") as read:
            other.join()
            if not opened:
                raise ValueError(f"`{write_to}` must be a pipe that can be written, but is not.")
            with opened[0] as write:
                yield read, write
    except OSError as error:
        raise ValueError(f"`{read_from}` must be a readable pipe, but {reason(error)}.") from None


@dataclass
class _Shown:
    """What is printed of a conversation: lines with their keys, as text or one object at the end.

    Attributes:
        as_json: Whether the lines are kept for one object.
        lines: Those that were sent or received.
    """

    as_json: bool
    lines: list[dict[str, object]] = field(default_factory=list)

    def line(self, who: str, text: str, key: "NamedKey", left: "KeyBytesLeft") -> None:
        """Show a line, the bytes of key that it took, and what is left."""
        reference = key.reference
        if self.as_json:
            found: dict[str, object] = {"from": who, "text": text, "key_id": str(reference.key_id)}
            found |= {"offset": reference.offset, "key_bits": 8 * len(key.content)}
            self.lines.append(found | {"bits_to_send": _bits(left.to_send)})
            return
        spoken = f"{who}: {text}\n" if who != "you" else ""
        click.echo(
            f"{spoken}    [{who}: key {reference.key_id} from byte {reference.offset:,}, "
            f"{8 * len(key.content):,} bits; {_left(left)}]"
        )

    def note(self, sentence: str) -> None:
        """Say what is no line, on standard error."""
        click.echo(f"e91: {sentence}", err=True)

    def end(self, ending: str) -> None:
        """Print the object, if one is wanted."""
        if self.as_json:
            import json

            click.echo(json.dumps({"lines": self.lines, "end": ending}))


def _bits(size: int | None) -> int | None:
    return None if size is None else 8 * size


def _left(left: "KeyBytesLeft") -> str:
    known = "not known" if left.to_send is None else f"{8 * left.to_send:,} bits"
    if left.is_shared or left.to_receive is None:
        return f"left for both: {known}"
    return f"left to send: {known}, to receive: {8 * left.to_receive:,} bits"


class Conversation:
    """Two streams of padded lines, one in each direction; each ends with an empty last segment.

    Args:
        keys: Of this end; both directions use it, one after the other.
        read: From the other end.
        write: To the other end.
        shown: Prints the lines.
    """

    def __init__(
        self, keys: "KeySource", read: BinaryIO, write: BinaryIO, *, shown: _Shown
    ) -> None:
        from e91.cli.shared_keys import SharedKeys
        from e91.cli.stream_files import Buffered
        from e91.encryption.pad_segments import PadWriter
        from e91.encryption.stream_headers import StreamHeader

        self._keys = SharedKeys(keys, threading.Lock())
        self._read = Buffered(read)
        self._write = write
        self._shown = shown
        header = StreamHeader.new(_CIPHER, segment_size=_SEGMENT)
        self._writer: PadWriter = PadWriter(write, header)
        self._wake, self._awake = os.pipe()
        self._ending: str | None = None
        self._failure: Exception | None = None

    def hold(self) -> None:
        """Send what is typed and show what comes, until one of the two ends.

        Raises:
            ValueError: What came was altered or cut, or its key is not to be had.
        """
        listener = threading.Thread(target=self._listen, daemon=True)
        listener.start()
        try:
            for line in self._typed():
                self._send(line)
            self._say_goodbye()
            listener.join(_GOODBYE_S)
        finally:
            self._shown.end(self._ending or "the other end did not say goodbye")
        if self._failure is not None:
            raise ValueError(str(self._failure))

    def _typed(self) -> Iterator[bytes]:
        """Yield the lines of standard input until it, or the conversation, ends."""
        if sys.stdin is None:
            return
        descriptor, rest = sys.stdin.fileno(), b""
        while True:
            ready, _, _ = select.select([descriptor, self._wake], [], [])
            if self._wake in ready:
                return
            content = os.read(descriptor, 4096)
            *lines, rest = (rest + content).split(b"\n")
            yield from lines
            if not content:
                if rest:
                    yield rest
                return

    def _send(self, line: bytes) -> None:
        """Encrypt a line and send it, or say why not; then nothing of it leaves."""
        from e91.encryption.stream_headers import Part

        if not line:
            return
        if len(line) > LONGEST_LINE:
            self._shown.note(
                f"A line must have at most {LONGEST_LINE:,} bytes, but has {len(line):,}: not sent."
            )
            return
        try:
            key, left = self._write_segment(line, Part.INNER)
        except KeyUnavailable as error:
            self._shown.note(f"{error}  The line was not sent, and AES does not take its place.")
            return
        except OSError:
            self._shown.note("The other end is gone: the line was not sent, but its key is used.")
            return
        self._shown.line("you", line.decode(errors="replace"), key, left)

    def _write_segment(self, line: bytes, part: "Part") -> "tuple[NamedKey, KeyBytesLeft]":
        from e91.encryption.key_sources import MESSAGE_KEY_BYTES

        key = self._keys.fresh(MESSAGE_KEY_BYTES + len(line))
        self._keys.protected(key, len(line))
        self._keys.keep()
        self._writer.write(memoryview(line), key, part)
        self._write.flush()
        return key, self._keys.left()

    def _say_goodbye(self) -> None:
        """Send the last segment, so that the other end knows that nothing is missing."""
        from e91.encryption.stream_headers import Part

        try:
            self._write_segment(b"", Part.LAST)
        except KeyUnavailable:
            self._shown.note("No key is left to say goodbye with: the other end cannot tell this "
                             "end of the conversation from a cut.")  # fmt: skip
        except OSError:
            pass  # the other end is gone, and the user knows
        with suppress(OSError):
            self._write.close()

    def _listen(self) -> None:
        """Show what comes, in a thread of its own, and wake the other one at the end."""
        try:
            self._ending = self._received()
            self._shown.note(f"{self._ending}.")
        except (AuthenticationFailed, KeyUnavailable, ValueError) as error:
            self._failure = error
            self._ending = "what came was not authentic"
        except OSError:
            self._ending = "the connection broke"
            self._failure = ValueError("The connection must last to the goodbye, but broke.")
        finally:
            os.write(self._awake, b"!")

    def _received(self) -> str:
        """Show lines until the other end says goodbye; return how it ended."""
        from e91.encryption.pad_segments import PadReader
        from e91.encryption.stream_headers import Part, StreamHeader

        reader = PadReader(self._read, self._keys, StreamHeader.read(self._read))
        while True:
            data, key, part = reader.read()
            if part is not Part.INNER:
                return "The other end has said goodbye"
            text = bytes(data).decode(errors="replace")
            self._keys.keep()
            self._shown.line("peer", printable(text), key, self._keys.left())
