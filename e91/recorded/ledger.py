"""Which recordings took part in a conversation: their rounds must never make a second key.

What the parties say about a key (settings, revealed outcomes, parities, hashes) is heard by
everybody.  A second conversation about the same rounds adds to that, whatever became of the first;
after one that was tampered with and aborted, an adversary may know every bit.  So a recording is
entered before its first message leaves, and refused from then on: copies, other formats and parts
too, as `e91.recorded.fingerprints` knows them again.

Rounds that were made in this process are entered in its memory.  Rounds that were read from a file
are entered in a file as well, which outlives the process: ``e91/recordings.jsonl`` in
XDG_STATE_HOME, else in ``~/.local/state``, or the file that `PLACE` names.  It is one user's, on
one machine: what becomes of a copy elsewhere is the laboratory's to watch over.
"""

import fcntl
import os
import stat
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path

import msgspec

from e91.model.errors import AlreadyUsed
from e91.recorded.fingerprints import Fingerprints
from e91.system.digests import PLACE as PLACE_OF_DIGEST
from e91.system.digests import is_whole, sealed
from e91.system.durable import PRIVATE, flush_folder, read_all, reason, write_all, writing

PLACE = "E91_LEDGER"
"""Environment variable: the file in which recordings are entered, instead of the usual one."""


class UsedRecording(msgspec.Struct, frozen=True):
    """One line: its digest, when a recording was used, what it was called, its fingerprints."""

    sha256: str
    used: str
    origin: str
    fingerprints: list[str]


_used_here: dict[str, UsedRecording] = {}
_lock = threading.Lock()


def ledger_file() -> Path:
    """Return the file in which recordings that were read from files are entered."""
    if place := os.environ.get(PLACE):
        return Path(place)
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "e91" / "recordings.jsonl"


def use_up(fingerprints: Fingerprints, *, origin: str, from_files: bool) -> None:
    """Enter a recording as used; return when that is safe on the disk if it is from files.

    Args:
        fingerprints: Of its rounds, and of the time tags that they were found in.
        origin: What it is called, for the sentence that refuses it the next time.
        from_files: Whether it was read from files.

    Raises:
        AlreadyUsed: One of its fingerprints was entered before.
        ValueError: The ledger cannot be opened, or is damaged.
        WriteFailed: The disk is full or fails.

    Examples:
        >>> use_up(frozenset({"0123456789abcdef"}), origin="night 7", from_files=False)
        >>> use_up(frozenset({"0123456789abcdef"}), origin="night 7", from_files=False)
        Traceback (most recent call last):
            ...
        e91.model.errors.AlreadyUsed: A recording must make one key only, but these rounds, ...
    """
    used = datetime.now(UTC).isoformat(sep=" ", timespec="seconds")
    entry = UsedRecording(PLACE_OF_DIGEST, used, origin, sorted(fingerprints))
    with _lock:
        _check_unused(fingerprints, _used_here)
        if from_files:
            _enter_in_file(entry, fingerprints)
        _used_here.update(dict.fromkeys(fingerprints, entry))


def _check_unused(fingerprints: Fingerprints, used: Mapping[str, UsedRecording]) -> None:
    for known in fingerprints & used.keys():
        entry = used[known]
        raise AlreadyUsed(
            "A recording must make one key only, but these rounds, or some of them, took part in a "
            f"conversation at {entry.used} ({entry.origin}): an adversary may know their bits.  "
            "Of a recording the statistics may be had again, without a key: "
            "`statistics_only=True`, or `--no-key` of `e91 analyse`."
        )


def _enter_in_file(entry: UsedRecording, fingerprints: Fingerprints) -> None:
    place = ledger_file()
    with _opened(place) as file:
        content = read_all(file)
        whole = _whole_lines(content)
        _check_unused(fingerprints, _used_before(whole, place))
        with writing(place):
            file.truncate(content.rfind(b"\n") + 1)
            file.seek(0, os.SEEK_END)
            added = sealed(msgspec.json.encode(entry)) + b"\n"
            write_all(file, whole[content.rfind(b"\n") + 1 :] + added)


def _whole_lines(content: bytes) -> bytes:
    """Return the lines of a ledger that were written to their ends.

    A line without an end was being written when the power failed: its recording was not used.  One
    that lacks nothing but the end, which may be damaged, counts.
    """
    stop = content.rfind(b"\n") + 1
    for last in (content[stop:], content[stop:-1]):
        try:
            entry = msgspec.json.decode(last, type=UsedRecording)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        if is_whole(last, stated=entry.sha256):
            return content[:stop] + last + b"\n"
    return content[:stop]


def _used_before(lines: bytes, place: Path) -> dict[str, UsedRecording]:
    texts = lines.split(b"\n")[:-1]
    try:
        entries = [msgspec.json.decode(text, type=UsedRecording) for text in texts]
    except (msgspec.DecodeError, UnicodeDecodeError):
        entries = []
    whole = [
        is_whole(text, stated=entry.sha256) for text, entry in zip(texts, entries, strict=False)
    ]
    if len(whole) < len(texts) or not all(whole):
        raise ValueError(
            f"`{place}` must be the ledger of the recordings that were used, but is damaged."
        )
    return {known: entry for entry in entries for known in entry.fingerprints}


@contextmanager
def _opened(place: Path) -> Iterator[FileIO]:
    """Give the ledger, made if need be, to one process at a time."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        file = FileIO(os.open(place, flags, PRIVATE), "r+")
        flush_folder(place.parent)
    except OSError as error:
        raise ValueError(
            f"`{place}` must be writable, as used recordings are entered there, but "
            f"{reason(error)}: name another file by {PLACE}."
        ) from None
    with file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError(
                f"`{place}` must be the ledger of the recordings that were used, but is no regular "
                "file."
            )
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file
