"""Time tags in files, read a piece at a time where the format allows it."""

import hashlib
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from e91.model.bits import Bits
from e91.model.messages import Party
from e91.optics.tags.laboratories import PICOSECOND_S
from e91.optics.tags.time_tags import TagReader, TimeTags, ties_of
from e91.recorded.formats import Member, open_npz, read_part
from e91.recorded.record_files import MOST_TAGS_IN_MEMORY, load_table
from e91.recorded.tables import (
    HASH_NAME,
    TAG_COLUMNS,
    check_hash,
    column_header,
    hash_header,
)
from e91.system.durable import open_regular
from e91.system.progress import waiting

MOST_TAGS = 2**36
"""Rows of an uncompressed `.npz` of tags, which is read a piece at a time."""

_PIECE = 2**21


@dataclass(frozen=True, eq=False)
class RecordedTags:
    """One party's tags that a laboratory wrote down.

    Attributes:
        tags: The tags, in memory or in the file.
        sha256: Their content hash.
        is_stored: Whether the file stated that hash; else nothing was compared.
        metadata: What the file says of itself, without the hash.

    Examples:
        >>> tags = TimeTags(np.array([10, 250]), np.array([0, 3], np.uint8))
        >>> found = RecordedTags(tags, "0" * 64, is_stored=False, metadata={"party": "alice"})
        >>> len(found.tags.times), found.metadata["party"]
        (2, 'alice')
    """

    tags: TagReader
    sha256: str
    is_stored: bool
    metadata: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class TagFile:
    """Tags in an uncompressed `.npz`, read when asked for; closed when it is dropped.

    Attributes:
        file: Open.
        times: Where its times are.
        channels: Where its channels are.
        resolution_s: One picosecond.
    """

    file: FileIO
    times: Member
    channels: Member
    resolution_s: float = PICOSECOND_S

    def __post_init__(self) -> None:
        weakref.finalize(self, self.file.close)

    def __len__(self) -> int:
        return self.times.length

    def read(self, start: int, stop: int) -> tuple[NDArray[np.int64], Bits]:
        """Return times and channels of tags ``start`` to ``stop``."""
        times = read_part(self.file, self.times, start, stop)
        channels = read_part(self.file, self.channels, start, stop)
        return times.astype(np.int64, copy=False), channels.astype(np.uint8, copy=False)


def load_time_tags(file: Path | str) -> RecordedTags:
    """Return one party's tags, checked: sorted, not overlapping, with the hash that is stated.

    An uncompressed `.npz` with int64 times and uint8 channels, as this package and `numpy.savez`
    write, stays in the file; everything else is read into memory.

    Args:
        file: Ends in ``.npz``, ``.csv`` or ``.parquet``, as `save_time_tags` writes it.

    Returns:
        The tags, their content hash, and what the file says of itself.

    Raises:
        ValueError: The file is damaged, holds something else, states another hash, is empty, or
            its tags are not sorted or overlap.
        OSError: It cannot be read.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "alice.csv"
        ...     _ = file.write_text(chr(10).join(["time_ps,channel", "10,0", "250,3", ""]))
        ...     found = load_time_tags(file)
        >>> found.tags.channels.tolist(), found.is_stored
        ([0, 3], False)
    """
    file = Path(file)
    with waiting(f"Reading {file.name}"):
        streamed = _streamed(file) if is_npz(file) else None
        if streamed is not None:
            return streamed
        table, digest = load_table(file, most_rows=MOST_TAGS_IN_MEMORY)
    if set(table.columns) != set(TAG_COLUMNS):
        raise _not_tags(file)
    times, channels = (table.columns[name] for name in TAG_COLUMNS)
    try:
        tags = TimeTags(times.astype(np.int64), channels.astype(np.uint8))
    except ValueError as error:
        raise ValueError(f"In `{file}`: {error}") from None
    return _recorded(tags, digest, table.metadata, file)


def is_npz(file: Path) -> bool:
    """Return whether a file begins as an `.npz`, or claims by its name to be one."""
    with open_regular(file, kind="a readable file") as opened:
        return opened.read(4) == b"PK\x03\x04" or file.suffix.lower() == ".npz"


def _streamed(file: Path) -> RecordedTags | None:
    """Return the tags of a file that can be read a piece at a time, or None."""
    opened = open_regular(file, kind="a readable file")
    try:
        members, metadata = open_npz(file, most_rows=MOST_TAGS)
        if {member.name for member in members} != set(TAG_COLUMNS):
            raise _not_tags(file)
        times, channels = (
            next(member for member in members if member.name == name) for name in TAG_COLUMNS
        )
        types = (times.dtype.str, channels.dtype.str)
        if types != ("<i8", "|u1") or times.offset is None or channels.offset is None:
            opened.close()
            return None
        tags = TagFile(opened, times, channels)
    except BaseException:
        opened.close()
        raise
    return _recorded(tags, _checked_hash(tags, metadata, file), metadata, file)


def _checked_hash(tags: TagFile, metadata: Mapping[str, Any], file: Path) -> str:
    """Return the content hash of tags in a file, and check their order on the way."""
    digest = hashlib.sha256(hash_header(metadata))
    digest.update(column_header("time_ps", len(tags)))
    ties: list[NDArray[np.int64]] = []
    last = np.empty(0, np.int64)
    for start in range(0, len(tags), _PIECE):
        times = read_part(tags.file, tags.times, start, start + _PIECE).astype(np.int64, copy=False)
        digest.update(times.data)
        joined = np.concatenate([last, times])  # a piece begins with the last tag before it
        ties.append(start - len(last) + _ties_in(joined, file, first=start - len(last)))
        last = times[-1:]
    digest.update(column_header("channel", len(tags)))
    for start in range(0, len(tags), _PIECE):
        digest.update(read_part(tags.file, tags.channels, start, start + _PIECE).data)
    _check_overlaps(tags, np.concatenate([np.empty(0, np.int64), *ties]), file)
    check_hash(metadata, digest.hexdigest(), file)
    return digest.hexdigest()


def _ties_in(times: NDArray[np.int64], file: Path, *, first: int) -> NDArray[np.int64]:
    try:
        return ties_of(times, first=first)
    except ValueError as error:
        raise ValueError(f"In `{file}`: {error}") from None


def _check_overlaps(tags: TagFile, ties: NDArray[np.int64], file: Path) -> None:
    """Refuse two tags of one channel at one time; few tags tie, and only these are read again."""
    if not len(ties):
        return
    # Tags of one time stand together: a run of ties begins where the last one was not next to it.
    begins = np.flatnonzero(np.diff(ties, prepend=-2) > 1)
    ends = np.append(begins[1:], len(ties)) - 1
    for first, last in zip(ties[begins].tolist(), ties[ends].tolist(), strict=True):
        channels = tags.read(first, last + 2)[1]
        if len(np.unique(channels)) < len(channels):
            raise ValueError(
                f"In `{file}`: Time tags must not overlap, but one channel has two tags at a time."
            )


def _recorded(
    tags: TagReader, digest: str, metadata: Mapping[str, Any], file: Path
) -> RecordedTags:
    if not len(tags):
        raise ValueError(f"`{file}` must hold at least one time tag, but is empty.")
    plain = {name: value for name, value in metadata.items() if name != HASH_NAME}
    return RecordedTags(tags, digest, HASH_NAME in metadata, plain)


def _not_tags(file: Path) -> ValueError:
    return ValueError(f"`{file}` must hold one party's time tags, but holds detections of both.")


def check_one_run(alice: RecordedTags, bob: RecordedTags) -> None:
    """Check that two files are both parties' tags of one measurement.

    Files that say nothing of themselves pass: what they do not say is the laboratory's word.

    Args:
        alice: Alice's tags.
        bob: Bob's.

    Raises:
        ValueError: Their ``run_id`` or ``settings`` differ, or a file is the other party's.

    Examples:
        >>> tags = TimeTags(np.array([10, 250]), np.array([0, 3], np.uint8))
        >>> night, morning = (RecordedTags(tags, "0" * 64, False, {"run_id": x}) for x in "12")
        >>> check_one_run(night, night)
        >>> check_one_run(night, morning)
        Traceback (most recent call last):
            ...
        ValueError: Two files of time tags must be of one run, but their `run_id` is '1' and '2'.
    """
    for name in ("run_id", "settings"):
        first, second = (side.metadata.get(name) for side in (alice, bob))
        if first != second:
            raise ValueError(
                f"Two files of time tags must be of one run, but their `{name}` is {first!r} and "
                f"{second!r}."
            )
    for side, party in ((alice, Party.ALICE), (bob, Party.BOB)):
        stated = side.metadata.get("party", party.value)
        if stated != party.value:
            raise ValueError(
                f"The first file must hold Alice's time tags and the second Bob's, but "
                f"{party.value.title()}'s says that it is {stated!r}'s."
            )
