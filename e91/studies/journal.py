"""The finished chunks of a study on disk: a line each, written when the chunk is done.

A line begins with a checksum of the rest.  Lines are only ever added, and each is safe on the disk
before the study goes on, so a process that is killed, or a machine without power, loses the chunks
in work and no more; a line that was torn is written again.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

from e91.studies.plan import Study
from e91.studies.work import CHUNK_JOBS, CHUNK_ROUNDS, Numbers, versions
from e91.system.durable import (
    PUBLIC,
    create,
    flush_folder,
    open_regular,
    read_all,
    write_all,
    writing,
)

_KIND = "e91 study journal 2"
_CUT = CHUNK_ROUNDS, CHUNK_JOBS
_CHECK = 16  # hexadecimal digits; against torn lines, not against malice


@dataclass(frozen=True, eq=False)
class Journal:
    """An open journal, which no other process can open.

    Attributes:
        path: Where it is.
        root: Root of the study, from its first line.
        done: Tallies of the finished chunks, by number, when it was opened.
        file: Open and locked.
    """

    path: Path
    root: int
    done: dict[int, list[Numbers]]
    file: FileIO

    def add(self, chunk: int, tallies: list[Numbers]) -> None:
        """Write a finished chunk; it is safe on the disk when this returns.

        Raises:
            WriteFailed: The disk is full or fails.
        """
        with writing(self.path):
            write_all(self.file, _line({"chunk": chunk, "tallies": tallies}))


@contextmanager
def open_journal(path: Path, study: Study, *, root: int | None, fresh: int) -> Iterator[Journal]:
    """Open the journal of a study, or begin it.

    Args:
        path: Where it is or shall be.
        study: The study; one that was begun with another plan is refused.
        root: Root that the study must have, or None for any.
        fresh: Root of a study that begins, if ``root`` is None.

    Raises:
        ValueError: The file is of another study, root or version, is in use, or is no journal.
        WriteFailed: It cannot be written.
    """
    if os.path.lexists(path):
        file = open_regular(path, writable=True, kind="the journal of a study")
    else:
        file = create(path, mode=PUBLIC)
    with file:
        _lock(file, path)
        content = read_all(file)
        records, end = _records(content)
        if not records:
            _check_begun(content, path)
            with writing(path):
                _begin(file, study, root=fresh if root is None else root)
                flush_folder(path.parent)
            records, end = _records(read_all(file))
        begun = _checked(records[0], study, root=root, path=path)
        file.truncate(end)
        file.seek(end)
        done = {record["chunk"]: record["tallies"] for record in records[1:]}
        yield Journal(path, begun, done, file)


def _begin(file: FileIO, study: Study, *, root: int) -> None:
    file.truncate(0)
    file.seek(0)
    first = _line(
        {
            "kind": _KIND,
            "digest": study.digest,
            # As text: JSON readers other than Python's would round it.
            "root": str(root),
            "versions": dict(versions()),
            "cut": list(_CUT),
            "plan": json.loads(study.to_json()),
        }
    )
    write_all(file, first)


def _check_begun(content: bytes, path: Path) -> None:
    """Refuse to overwrite what cannot be the torn first line of a journal."""
    check, text = content[:_CHECK], content[_CHECK:]
    begins = f' {{"kind":"{_KIND}'.encode()
    if set(check) - set(b"0123456789abcdef") or text[: len(begins)] != begins[: len(text)]:
        raise ValueError(f"`{path}` must be the journal of a study, but is something else.")


def _checked(first: dict[str, Any], study: Study, *, root: int | None, path: Path) -> int:
    """Return the root of the study of a journal's first line."""
    if first.get("kind") != _KIND:
        raise ValueError(f"`{path}` must be the journal of a study, but is something else.")
    if first["digest"] != study.digest:
        raise ValueError(
            f"`{path}` must be the journal of this study, but was begun with another plan: name "
            "another file, or remove it to lose what it keeps."
        )
    for name, here in versions():
        if first["versions"].get(name) != here:
            raise ValueError(
                f"A study must be finished with the versions it was begun with, but `{path}` has "
                f"{name} {first['versions'].get(name)} and here is {here}."
            )
    if first["cut"] != list(_CUT):
        raise ValueError(
            f"A study must be finished in the chunks it was begun with, but `{path}` has others."
        )
    begun = int(first["root"])
    if root is not None and root != begun:
        raise ValueError(f"The seed must be that of `{path}`, {begun}, but is {root}.")
    return begun


def _line(record: dict[str, Any]) -> bytes:
    text = json.dumps(record, separators=(",", ":")).encode()
    return _sum(text) + b" " + text + b"\n"


def _sum(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest()[:_CHECK].encode()


def _records(content: bytes) -> tuple[list[dict[str, Any]], int]:
    """Return the records of the whole lines, and where the last of them ends."""
    records, end = [], 0
    for line in content.splitlines(keepends=True):
        check, _, text = line.rstrip(b"\n").partition(b" ")
        if not line.endswith(b"\n") or check != _sum(text):
            break
        records.append(json.loads(text))
        end += len(line)
    return records, end


def _lock(file: FileIO, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ValueError(
            f"`{path}` must be free, but another process is running this study."
        ) from None
