"""Files that are there whole or not at all, and stay after the power fails.

Only for Linux and macOS.  What is not finished has a name that begins with ``.e91-`` and is locked
by its process.  A process that fails or is interrupted with Ctrl-C leaves none of it.  What one
that was killed outright left, key or plaintext perhaps, is removed by the next one that writes in
that folder: see `sweep`.

An open file is an `io.FileIO`, never a bare descriptor: once it is closed it refuses, where the
number would lead to whatever file got it next.
"""

import fcntl
import os
import re
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import FileIO
from pathlib import Path

PRIVATE = 0o600
"""Mode of files that hold keys or plaintext: for their owner only."""

PUBLIC = 0o666
"""Mode of files that anybody may see, before the user's umask takes its part."""


_HIDDEN = re.compile(r"\.e91-(.+\.new|[0-9a-f]{16})")


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


@contextmanager
def keeping(target: Path) -> Iterator[None]:
    """Name what has been written already, if making its name durable fails in the block.

    Raises:
        WriteFailed: In place of any `OSError`; it says that ``target`` is there.
    """
    try:
        yield
    except OSError as error:
        words = f"{error.strerror}; it is there and whole, but a power failure may undo it"
        raise WriteFailed(error.errno, words, str(target)) from error


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


def size_of(path: Path) -> int:
    """Return the size of a regular file, bytes.

    Raises:
        ValueError: It does not exist, may not be read, or is a folder, pipe or device.
    """
    with open_regular(path, kind="a readable, non-empty file") as file:
        return os.fstat(file.fileno()).st_size


def reason(error: OSError) -> str:
    """Return the operating system's words for what went wrong, to end a sentence with."""
    words = error.strerror or "it cannot be used"
    return words[0].lower() + words[1:]


class GrowingFile:
    """A file under a temporary name, which is written piece by piece; made by `growing_file`."""

    def __init__(self, target: Path, file: FileIO) -> None:
        self._target = target
        self._file = file
        self._is_safe = False

    def write(self, content: memoryview) -> int:
        """Write the next part of the file, all of it; it may not be safe on the disk yet.

        Raises:
            WriteFailed: The disk is full or fails.
        """
        self._is_safe = False
        with writing(self._target):
            _write_out(self._file, content)
        return len(content)

    def flush(self) -> None:
        """Return when everything that was written is safe on the disk.

        Raises:
            WriteFailed: The disk is full or fails.
        """
        if not self._is_safe:
            with writing(self._target):
                _flush(self._file.fileno())
            self._is_safe = True


@contextmanager
def growing_file(target: Path, *, mode: int) -> Iterator[GrowingFile]:
    """Give a file to write to, of any size, that appears when the block ends.

    The content goes to a temporary file in the same folder, which gets its name when the block
    ends without an exception, and is removed otherwise.  It is then safe on the disk.  A file that
    exists is never overwritten.

    Raises:
        ValueError: ``target`` exists (at the beginning or at the end), or its folder cannot be
            written.
        WriteFailed: The disk is full or fails.
    """
    check_absent(target)
    sweep(target.parent)
    temporary, file = create_hidden(target.parent, mode=mode)
    try:
        with file:
            growing = GrowingFile(target, file)
            yield growing
            growing.flush()
            with writing(target):
                publish(temporary, target)
            with keeping(target):
                flush_folder(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_file(target: Path, *, mode: int) -> Iterator[Callable[[bytes], None]]:
    """Give a function that writes the content of a file that appears when the block ends.

    As `growing_file`, but the function returns when its bytes are safe on the disk.

    Raises:
        ValueError: ``target`` exists (at the beginning or at the end), or its folder cannot be
            written.
        WriteFailed: The disk is full or fails.
    """
    with growing_file(target, mode=mode) as growing:

        def append(content: bytes) -> None:
            """Write the next part of the file."""
            growing.write(memoryview(content))
            growing.flush()

        yield append


def replace_file(target: Path, content: bytes, *, mode: int) -> None:
    """Put a file in the place of another one, or where none is, in one step.

    A reader finds the old content or the new one, whole, whenever the power fails.

    Raises:
        ValueError: The folder cannot be written.
        WriteFailed: The disk is full or fails.
    """
    sweep(target.parent)
    temporary, file = create_hidden(target.parent, mode=mode)
    try:
        with file, writing(target):
            write_all(file, content)
            temporary.replace(target)
        with keeping(target):
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


def create_hidden(folder: Path, *, mode: int, ending: str = "") -> tuple[Path, FileIO]:
    """Return the name of a new, empty file, and the file, which `sweep` leaves alone while open.

    Raises:
        ValueError: The folder cannot be written.
    """
    while True:
        path = folder / f".e91-{os.urandom(8).hex()}{ending}"
        file = create(path, mode=mode)
        if _lock_unfinished(file.fileno(), path):
            return path, file
        file.close()


@contextmanager
def hidden_folder(folder: Path) -> Iterator[Path]:
    """Give a new folder in ``folder``, for its owner only, that is removed when the block ends.

    It may have got another name by then, which stays.

    Raises:
        OSError: It cannot be made.
    """
    with ExitStack() as stack:
        while True:
            path = folder / f".e91-{os.urandom(8).hex()}"
            # Before it is there: a signal that ends the process may come between any two lines.
            stack.callback(shutil.rmtree, path, ignore_errors=True)
            path.mkdir(0o700)
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, descriptor)
            if _lock_unfinished(descriptor, path):
                break
        yield path


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Give a hidden folder beside ``target`` that takes its name when the block ends well.

    After any exception, Ctrl-C included, the hidden folder is removed and ``target`` is as it was.
    When the block has ended the folder stays after the power fails.

    Raises:
        ValueError: ``target`` exists and is not an empty folder, or cannot be made.
        WriteFailed: Something in it cannot be written to its end.
    """
    check_free(target)
    sweep(target.parent)
    with ExitStack() as stack:
        try:
            hidden = stack.enter_context(hidden_folder(target.parent))
        except OSError as error:
            raise ValueError(
                f"`{target}` must be a folder that can be made, but: {error.strerror}."
            ) from None
        with _named_after(target, hidden):
            yield hidden
        with writing(target):
            hidden.chmod(0o755)
            flush_folder(hidden)
            hidden.rename(target)
        with keeping(target):
            flush_folder(target.parent)


@contextmanager
def _named_after(target: Path, hidden: Path) -> Iterator[None]:
    """Name a file that cannot be written by where it was to be, not by where it is for now."""
    try:
        yield
    except WriteFailed as error:
        name = str(error.filename).replace(str(hidden), str(target))
        raise WriteFailed(error.errno, error.strerror, name) from error


def check_free(target: Path) -> None:
    """Check that ``target`` does not exist, or is an empty folder.

    Raises:
        ValueError: It is a file, a link, or a folder that holds something, or cannot be looked at.
    """
    # A folder cannot take the name of a link, not even of one that leads nowhere.
    try:
        if target.is_symlink():
            raise ValueError(f"`{target}` must be a new or an empty folder, but it is a link.")
        taken = target.exists() and (not target.is_dir() or any(target.iterdir()))
    except OSError as error:
        raise ValueError(f"`{target}` must be an empty folder, but: {error.strerror}.") from None
    if taken:
        found = "holds files" if target.is_dir() else "is a file"
        raise ValueError(f"`{target}` must be a new or an empty folder, but it {found}.")


def sweep(folder: Path, *, inside: bool = False) -> None:
    """Remove what killed processes left unfinished in a folder.

    What a living process works on is locked, and stays; so does what belongs to another user.

    Args:
        folder: Where to look; it need not exist.
        inside: Whether to look into the folders in it, too, as those of a run of blocks.
    """
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _HIDDEN.fullmatch(entry.name):
                _remove_if_left(Path(entry.path))
            elif inside and entry.is_dir(follow_symlinks=False):
                sweep(Path(entry.path))


def _remove_if_left(path: Path) -> None:
    """Remove an unfinished file or folder if nobody has it locked."""
    with suppress(OSError):
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
        descriptor = os.open(path, flags)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found = os.fstat(descriptor)
            if found.st_uid == os.geteuid() and stat.S_ISDIR(found.st_mode):
                shutil.rmtree(path)
            elif found.st_uid == os.geteuid():
                path.unlink()
        finally:
            os.close(descriptor)


def _lock_unfinished(descriptor: int, path: Path) -> bool:
    """Lock what was just made; return whether it is still there, and not swept in between."""
    with suppress(OSError):  # a file system without locks, on which nothing is swept
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    return path.exists()


def write_all(file: FileIO, content: bytes) -> None:
    """Write ``content`` and return when it is safe on the disk."""
    _write_out(file, content)
    _flush(file.fileno())


def _write_out(file: FileIO, content: bytes | memoryview) -> None:
    """Write all of ``content``, which may not be safe on the disk yet."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(file.fileno(), rest) :]


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


def publish(temporary: Path, target: Path) -> None:
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
