"""What `e91 encrypt` and `e91 decrypt` read and write: files that stay as they are, and streams."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO

import click

from e91.cli.outcome import STANDARD_OUTPUT
from e91.encryption.key_sources import KeySource
from e91.system.byte_streams import ByteSource, ByteTarget, fill, write_whole
from e91.system.durable import WriteFailed, check_absent, open_regular, reason

STREAM = Path("-")
"""The name of standard input, or of standard output."""

FILE = click.argument("file", type=click.Path(path_type=Path))


class Input:
    """What is read: a file or standard input, with what was looked at before.

    Attributes:
        name: What it is called, as it was typed.
        size: Bytes of a file; None of standard input.
    """

    def __init__(self, source: ByteSource, *, name: str, size: int | None) -> None:
        self.name = name
        self.size = size
        self._source = source
        self._begun = b""

    def begin(self, size: int) -> bytes:
        """Return the first ``size`` bytes at most, and give them again when they are read."""
        buffer = bytearray(size - len(self._begun))
        count = fill(self._source, memoryview(buffer))
        self._begun += bytes(buffer[:count])
        return self._begun

    def readinto(self, buffer: memoryview, /) -> int:
        """Read the next bytes."""
        if not self._begun:
            try:
                return self._source.readinto(buffer) or 0
            except OSError as error:
                raise ValueError(
                    f"`{self.name}` must be readable to its end, but {reason(error)}."
                ) from None
        count = min(len(buffer), len(self._begun))
        buffer[:count] = self._begun[:count]
        self._begun = self._begun[count:]
        return count


class _SteadyFile:
    """A file that must not change while it is read; its end is no end if it did."""

    def __init__(self, file: FileIO, path: Path) -> None:
        self._file = file
        self._path = path
        self._before = self._look()
        self._count = 0

    @property
    def size(self) -> int:
        return self._before[0]

    def _look(self) -> tuple[int, int]:
        found = os.fstat(self._file.fileno())
        return found.st_size, found.st_mtime_ns

    def readinto(self, buffer: memoryview, /) -> int | None:
        count = self._file.readinto(buffer)
        self._count += count or 0
        if not count and len(buffer):
            now = self._look()
            if now != self._before or self._count != self.size:
                raise ValueError(
                    f"`{self._path}` must not change while it is read, but did: it had "
                    f"{self.size:,} bytes and has {now[0]:,}."
                )
        return count


class Buffered:
    """A stream whose type says less than it can do."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream: Any = stream

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Read the next bytes."""
        count: int | None = self._stream.readinto(buffer)
        return count


@contextmanager
def opened_input(path: Path) -> Iterator[Input]:
    """Give a file, or standard input for `-`, which must have at least one byte.

    Raises:
        ValueError: It is empty, does not exist, may not be read, or is a folder, pipe or device; or
            it changes while it is read.
    """
    if path == STREAM:
        if sys.stdin is None:
            raise ValueError("Standard input must have at least one byte, but has none.")
        found = Input(Buffered(sys.stdin.buffer), name="-", size=None)
        if not found.begin(1):
            raise ValueError("Standard input must have at least one byte, but has none.")
        yield found
        return
    kind = "a readable, non-empty file"
    if not path.name:
        raise ValueError(f"`{path}` must be {kind}, but is a folder.")
    with open_regular(path, kind=kind) as file:
        steady = _SteadyFile(file, path)
        if not steady.size:
            raise ValueError(f"`{path}` must be {kind}, but is empty.")
        yield Input(steady, name=str(path), size=steady.size)


class OutputStream:
    """Standard output, for bytes; what was written has left this process."""

    def write(self, content: memoryview, /) -> None:
        """Write all of it.

        Raises:
            WriteFailed: It takes nothing more: its reader is gone, or the disk is full.
        """
        if sys.stdout is None:
            raise WriteFailed(None, "it is closed", STANDARD_OUTPUT)
        try:
            stream = sys.stdout.buffer
            write_whole(stream, content)
            stream.flush()
        except BrokenPipeError:
            # Without its number, at which click would end the command and say nothing.
            raise WriteFailed(None, "its reader is gone", STANDARD_OUTPUT) from None
        except OSError as error:
            raise WriteFailed(error.errno, error.strerror, STANDARD_OUTPUT) from None


class KeptOutput:
    """A target that gets nothing before the keys that made it count as used, on the disk.

    Attributes:
        size: How many bytes it got.
    """

    def __init__(self, target: ByteTarget, keys: KeySource) -> None:
        self._target = target
        self._keys = keys
        self.size = 0

    def write(self, content: memoryview, /) -> None:
        """Write down that keys are used, then write the content."""
        if len(content):
            self._keys.keep()
        write_whole(self._target, content)
        self.size += len(content)


def all_of(source: Input) -> bytes:
    """Return what is left of a source, in memory."""
    content = bytearray()
    buffer = bytearray(2**18)
    while count := fill(source, memoryview(buffer)):
        content += buffer[:count]
    return bytes(content)


def named_file(file: Path) -> Path:
    """Return a path whose last part is a name.

    Raises:
        ValueError: It is the root or this folder.
    """
    if not file.name:
        raise ValueError(f"`{file}` must be a readable, non-empty file, but is a folder.")
    return file


def check_target(target: Path, *, as_json: bool) -> None:
    """Refuse a file that exists, and JSON where the data go to standard output.

    Raises:
        ValueError: The file exists.
        click.UsageError: The data go there.
    """
    if target != STREAM:
        check_absent(target)
    if target == STREAM and as_json:
        raise click.UsageError(
            "`--json` must come with `--out FILE`, as standard output is taken by the data."
        )


def place_of_output(target: Path) -> str:
    """Return what a sentence calls the target."""
    return "standard output" if target == STREAM else f"`{target}`"
