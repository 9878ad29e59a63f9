"""Who got which key: a file that is only ever written on at its end, a JSON object a line.

A line is in the file before the reply leaves, so it outlives the process, though perhaps not a
power failure; the store, which does, holds who may still fetch what.  Key IDs stand there, keys
never.
"""

import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from e91.system.durable import PRIVATE


class AuditTrail:
    """The open file; several KMEs of one process share it.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder, "audit.jsonl")
        ...     trail = AuditTrail(file, clock=lambda: 0.0)
        ...     trail.note("given", kme="alice", caller="a", peers=["b"], key_ids=["id 1"])
        ...     trail.close()
        ...     json.loads(file.read_text())["key_IDs"]
        ['id 1']
    """

    def __init__(self, file: Path, *, clock: Callable[[], float]) -> None:
        """Open the file, mode 0600 if it is new.

        Args:
            file: Where.
            clock: Seconds since 1970.

        Raises:
            ValueError: It cannot be written.
        """
        # Without O_NONBLOCK a pipe that nobody reads would keep the server waiting.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._descriptor = os.open(file, flags | os.O_NONBLOCK, PRIVATE)
            os.set_blocking(self._descriptor, True)
        except OSError:
            raise ValueError(
                f"`audit` must be a file that can be written, but `{file}` is not."
            ) from None
        self._clock = clock
        self._is_torn = False

    def note(
        self, event: str, *, kme: str, caller: str, peers: Sequence[str], key_ids: Sequence[str]
    ) -> None:
        """Write a line.

        Args:
            event: ``given`` to a master or ``fetched`` by a slave.
            kme: Which KME delivered.
            caller: The SAE that got the keys.
            peers: The other SAEs.
            key_ids: Of the keys, as they are written, without anything that JSON escapes.

        Raises:
            OSError: The disk is full or fails; half a line may be there.
        """
        moment = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds")
        names, listed = _named(event, kme, caller, *peers), '","'.join(key_ids)
        line = f'{{"time":"{moment}",{names},"key_IDs":["{listed}"]}}\n'
        self._write(line.encode("ascii"))

    def _write(self, line: bytes) -> None:
        """Write a line; after half a line, as on a full disk, the next one begins on its own."""
        rest = memoryview(b"\n" + line if self._is_torn else line)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
            self._is_torn = True
        self._is_torn = False

    def close(self) -> None:
        """Close the file, its lines safe on the disk where it lies on one."""
        with suppress(OSError):
            os.fsync(self._descriptor)
        os.close(self._descriptor)


@lru_cache(maxsize=4_096)
def _named(event: str, kme: str, caller: str, *peers: str) -> str:
    """Return the members of a line that are the same for many keys."""
    members = {"event": event, "kme": kme, "sae": caller, "peers": peers}
    return json.dumps(members, separators=(",", ":"))[1:-1]
