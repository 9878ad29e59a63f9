"""Bytes that come and go piece by piece: files, pipes, sockets, or what is made of them.

Unlike a file, a pipe gives fewer bytes than were asked for whenever it pleases, and an unbuffered
one takes fewer than it was given.  `fill` and `write_whole` hide that, and hold nothing in memory.
"""

from typing import Protocol


class ByteSource(Protocol):
    """Where bytes come from: an open binary file, buffered or not, or anything with this method."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Put bytes at the front of ``buffer``; return how many: 0 only at the end."""


class ByteTarget(Protocol):
    """Where bytes go: an open binary file, buffered or not, or anything with this method."""

    def write(self, content: memoryview, /) -> int | None:
        """Take bytes from the front of ``content``; return how many, or None for all."""


def fill(source: ByteSource, buffer: memoryview) -> int:
    """Read until ``buffer`` is full or the source has ended; return how many bytes are in it.

    Examples:
        >>> import io
        >>> buffer = bytearray(4)
        >>> fill(io.BytesIO(b"photons"), memoryview(buffer)), buffer
        (4, bytearray(b'phot'))
        >>> fill(io.BytesIO(b"ab"), memoryview(buffer))
        2
    """
    done = 0
    while done < len(buffer):
        count = source.readinto(buffer[done:])
        if not count:
            break
        done += count
    return done


def write_whole(target: ByteTarget, content: bytes | bytearray | memoryview) -> None:
    """Write all of ``content``, however little the target takes at once.

    Examples:
        >>> import io
        >>> target = io.BytesIO()
        >>> write_whole(target, b"photons")
        >>> target.getvalue()
        b'photons'
    """
    rest = memoryview(content)
    while rest:
        count = target.write(rest)
        rest = rest[len(rest) if count is None else count :]
