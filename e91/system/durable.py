"""Files that are there whole or not at all, and stay after the power fails.

Only for Linux and macOS.  A process that is killed outright may leave a temporary file (its name
begins with ``.e91-``); one that fails or is interrupted with Ctrl-C leaves none.

An open file is an `io.FileIO`, never a bare descriptor: once it is closed it refuses, where the
number would lead to whatever file got it next.
"""

import fcntl
import os
import secrets
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

PRIVATE = 0o600
"""Mode of files that hold keys or plaintext: for their owner only."""

PUBLIC = 0o666
"""Mode of files that anybody may see, before the user's umask takes its part."""


class WriteFailed(OSError):
    """A file could not be written to its end, or not kept; ``filename`` says which."""


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Name the file that is written in the block, if writing fails.

    Raises:
        WriteFailed: In place of any `OSError`, whatever the name under which it was written.
    """
    try:
        yield
    except OSError as error:
        raise WriteFailed(error.errno, error.strerror, str(target)) from error


def open_regular(path: Path, *, writable: bool = False, kind: str) -> FileIO:
    """Return an existing regular file, open.

    Args:
        path: Where it is.
        writable: Whether it is written, too.
        kind: What it must be, in words, for the sentence that refuses it.

    Raises:
        ValueError: It does not exist, may not be opened, or is a folder, pipe or device.
    """
    try:
        # Without O_NONBLOCK a pipe would keep the call waiting for its other end.
        access = os.O_RDWR if writable else os.O_RDONLY
        descriptor = os.open(path, access | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise ValueError(f"`{path}` must be {kind}, but {reason(error)}.") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError(f"`{path}` must be {kind}, but is no regular file.")
    return FileIO(descriptor, "r+" if writable else "r")


def read_all(file: FileIO, *, most_bytes: int = -1) -> bytes:
    """Return the content of an open file, from its beginning; the file stays open."""
    file.seek(0)
    if most_bytes < 0:
        return file.readall()
    parts = []
    while most_bytes and (part := file.read(most_bytes)):
        parts.append(part)
        most_bytes -= len(part)
    return b"".join(parts)


def read_file(path: Path, *, most_bytes: int | None = None) -> bytes:
    """Return the content of a regular file, at least one byte.

    Args:
        path: Where it is.
        most_bytes: Its largest size, if there is one.

    Raises:
        ValueError: It is empty or too large, does not exist, may not be read, or is a folder, pipe
            or device.
    """
    kind = "a readable, non-empty file"
    with open_regular(path, kind=kind) as file:
        content = read_all(file, most_bytes=-1 if most_bytes is None else most_bytes + 1)
    if most_bytes is not None and len(content) > most_bytes:
        raise ValueError(f"`{path}` must have at most {most_bytes:,} bytes, but has more.")
    if not content:
        raise ValueError(f"`{path}` must be {kind}, but is empty.")
    return content


def reason(error: OSError) -> str:
    """Return the operating system's words for what went wrong, to end a sentence with."""
    words = error.strerror or "it cannot be used"
    return words[0].lower() + words[1:]


@contextmanager
def new_file(target: Path, *, mode: int) -> Iterator[Callable[[bytes], None]]:
    """Give a function that writes the content of a file that appears when the block ends.

    The content goes to a temporary file in the same folder, which gets its name when the block
    ends without an exception, and is removed otherwise.  The function returns when its bytes are
    safe on the disk.  A file that exists is never overwritten.

    Raises:
        ValueError: ``target`` exists (at the beginning or at the end), or its folder cannot be
            written.
        WriteFailed: The disk is full or fails.
    """
    check_absent(target)
    temporary = target.with_name(f".e91-{secrets.token_hex(8)}")
    try:
        with create(temporary, mode=mode) as file:

            def append(content: bytes) -> None:
                """Write the next part of the file."""
                with writing(target):
                    write_all(file, content)

            yield append
            with writing(target):
                _publish(temporary, target)
                flush_folder(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def check_absent(target: Path) -> None:
    """Refuse a path that exists, be it as a dangling link.

    Raises:
        ValueError: It exists.
    """
    if os.path.lexists(target):
        raise ValueError(f"`{target}` must not exist yet, but does.")


def create(path: Path, *, mode: int) -> FileIO:
    """Return a new, empty file, open, that has its mode from the first instant.

    Raises:
        ValueError: The path exists, or its folder cannot be written.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return FileIO(os.open(path, flags, mode), "r+")
    except FileExistsError:
        raise ValueError(f"`{path}` must not exist yet, but does.") from None
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        raise ValueError(
            f"`{path.parent}` must be a folder that can be written, but {reason(error)}."
        ) from None


def write_all(file: FileIO, content: bytes) -> None:
    """Write ``content`` and return when it is safe on the disk."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(file.fileno(), rest) :]
    _flush(file.fileno())


def flush_folder(folder: Path) -> None:
    """Return when the names in ``folder`` are safe on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _flush(descriptor)
    finally:
        os.close(descriptor)


def _flush(descriptor: int) -> None:
    os.fsync(descriptor)
    if sys.platform == "darwin":
        # There, fsync leaves the data in the memory of the drive.
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)


def _publish(temporary: Path, target: Path) -> None:
    """Give the finished file its name, unless somebody has that name by now."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        check_absent(target)
        raise  # it has gone again in this instant
    except OSError:
        # A file system without hard links (FAT on a memory stick): take the name, then put the
        # finished file in its place.
        create(target, mode=PRIVATE).close()
        temporary.replace(target)
