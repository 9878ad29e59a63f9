"""Save and load detections and time tags, whole or not at all."""

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from e91.model.bits import Bits
from e91.model.messages import Party
from e91.model.records import DetectionRecord, PartyRecord
from e91.optics.tags.time_tags import TimeTags
from e91.recorded.formats import (
    NO_NAMES,
    Renamed,
    read_csv,
    read_npz,
    read_parquet,
    write_csv,
    write_npz,
    write_parquet,
)
from e91.recorded.rows import GZIP, is_text
from e91.recorded.tables import (
    DETECTION_COLUMNS,
    HASH_NAME,
    Column,
    Table,
    check_hash,
    content_hash,
    from_signs,
    in_range,
    whole,
)
from e91.system.durable import PRIVATE, new_file, open_regular
from e91.system.progress import waiting

MOST_ROUNDS = 50_000_000
"""Rows of a record of detections: what a session can hold."""

MOST_TAGS_IN_MEMORY = 2**27
"""Rows of a list of tags that must be read at once: CSV, Parquet, compressed `.npz`."""

_WRITERS: Mapping[str, Callable[[IO[bytes], Mapping[str, Column], Mapping[str, Any]], None]] = {
    ".npz": write_npz,
    ".csv": write_csv,
    ".parquet": write_parquet,
}
_READERS: Mapping[str, Callable[..., Table]] = {
    ".npz": read_npz,
    ".csv": read_csv,
    ".parquet": read_parquet,
}
_SIGNATURES: Mapping[bytes, Callable[..., Table]] = {
    b"PK\x03\x04": read_npz,
    b"PAR1": read_parquet,
    GZIP: read_csv,
}
_HEAD = 4096
_BUFFER = 2**24

PARQUET = ".parquet"

SEEDED = "reproducible"
"""Metadata, true where a seed makes the rounds again: no key of them is secret."""


@dataclass(frozen=True, eq=False)
class Recorded:
    """Detections that a laboratory wrote down.

    Attributes:
        record: The rounds.
        sha256: Their content hash.
        is_stored: Whether the file stated that hash; else nothing was compared.
        metadata: What the file says of itself, without the hash.

    Examples:
        >>> half = PartyRecord([0, 1], [1, 0])
        >>> found = Recorded(DetectionRecord(half, half), sha256="0" * 64, is_stored=False)
        >>> found.record.bob.setting.tolist(), dict(found.metadata)
        ([0, 1], {})
    """

    record: DetectionRecord
    sha256: str
    is_stored: bool
    metadata: Mapping[str, Any] = field(default_factory=dict)


def save_table(file: Path, columns: Mapping[str, Column], metadata: Mapping[str, Any]) -> str:
    """Write a table with its content hash to a new file, for its owner only; return the hash.

    Args:
        file: It must not exist; its name ends in ``.npz``, ``.csv`` or ``.parquet``.
        columns: Whole numbers of one length, in range.
        metadata: Plain JSON values.

    Raises:
        ValueError: The ending is another, the file exists, or its folder cannot be written.
        OSError: The disk is full; nothing is left then.
    """
    write = _of(file, _WRITERS)
    digest = content_hash(columns, metadata)
    with new_file(file, mode=PRIVATE) as append, _buffered(append) as sink:
        write(sink, columns, {**metadata, HASH_NAME: digest})
    return digest


def load_table(
    file: Path, *, most_rows: int, renamed: Renamed = NO_NAMES, has_signs: bool = False
) -> tuple[Table, str]:
    """Return a table in range, and its content hash, which is compared with a stored one.

    Args:
        file: Known by its content, whatever its name.
        most_rows: More are refused.
        renamed: What the file calls columns that it does not call as documented, by our names.
        has_signs: Whether outcomes are +1, -1, and 0 for no click.

    Raises:
        ValueError: The file is none of the known ones, is damaged, or states another hash.
        OSError: It cannot be read.
    """
    found = _reader(file)(file, most_rows=most_rows, renamed=renamed)
    columns = {}
    for name, column in found.columns.items():
        numbers = whole(name, column, file)
        numbers = from_signs(name, numbers, file) if has_signs else numbers
        columns[name] = in_range(name, numbers, file)
    digest = content_hash(columns, found.metadata)
    check_hash(found.metadata, digest, file)
    return Table(columns, found.metadata), digest


def save_detections(
    file: Path | str, record: DetectionRecord, *, metadata: Mapping[str, Any] | None = None
) -> str:
    """Write a record to a new file; return its content hash.

    A record holds the key bits of both parties: keep it as you would keep the key.

    Args:
        file: Ends in ``.npz``, ``.csv`` or ``.parquet``; must not exist.
        record: The rounds.
        metadata: E.g. ``{"settings": "ekert", "run_id": "..."}``.

    Returns:
        The content hash; 64 hexadecimal digits.

    Raises:
        ValueError: As `save_table`.
        OSError: As `save_table`.

    Examples:
        >>> import tempfile
        >>> half = PartyRecord([0, 1], [1, 2])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "night.csv"
        ...     digest = save_detections(file, DetectionRecord(half, half))
        ...     loaded = load_detections(file)
        >>> loaded.record.bob.outcome.tolist(), loaded.sha256 == digest, loaded.is_stored
        ([1, 2], True, True)
    """
    file = Path(file)
    columns = dict(
        zip(
            DETECTION_COLUMNS,
            (record.alice.setting, record.alice.outcome, record.bob.setting, record.bob.outcome),
            strict=True,
        )
    )
    seeded = {SEEDED: True} if record.reproducible else {}
    return save_table(file, columns, {"kind": "detections", **(metadata or {}), **seeded})


def load_detections(
    file: Path | str, *, renamed: Renamed = NO_NAMES, has_signs: bool = False
) -> Recorded:
    """Return the record of a file, in any of the formats.

    Args:
        file: Known by its content, whatever its name.
        renamed: What the file calls its columns, by our names, where it has other ones.
        has_signs: Whether outcomes are +1, -1, and 0 for no click.

    Returns:
        The rounds, their content hash, and what the file says of itself.

    Raises:
        ValueError: The file is damaged, holds something else, states another hash, is empty, or
            has more than 50,000,000 rounds.
        OSError: It cannot be read.

    Examples:
        >>> import tempfile
        >>> half = PartyRecord([0, 1, 1], [1, 0, 2])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "night.npz"
        ...     record = DetectionRecord(half, half)
        ...     digest = save_detections(file, record, metadata={"settings": "ekert"})
        ...     loaded = load_detections(file)
        >>> len(loaded.record.alice.setting), loaded.is_stored, loaded.metadata["settings"]
        (3, True, 'ekert')
    """
    file = Path(file)
    with waiting(f"Reading {file.name}"):
        table, digest = load_table(
            file, most_rows=MOST_ROUNDS, renamed=renamed, has_signs=has_signs
        )
    if set(table.columns) != set(DETECTION_COLUMNS):
        raise ValueError(
            f"`{file}` must hold detections of both parties, but holds one party's time tags."
        )
    if not len(table):
        raise ValueError(f"`{file}` must hold at least one round, but is empty.")
    x, a, y, b = (table.columns[name].astype(np.uint8) for name in DETECTION_COLUMNS)
    record = DetectionRecord(
        PartyRecord(x, a),
        PartyRecord(y, b),
        read_from=frozenset(),
        reproducible=table.metadata.get(SEEDED) is True,
    )
    plain = {name: value for name, value in table.metadata.items() if name != HASH_NAME}
    return Recorded(record, digest, HASH_NAME in table.metadata, plain)


def save_time_tags(
    file: Path | str, tags: TimeTags, *, party: Party, metadata: Mapping[str, Any] | None = None
) -> str:
    """Write one party's tags to a new file, in picoseconds; return the content hash.

    Args:
        file: Ends in ``.npz``, ``.csv`` or ``.parquet``; must not exist.
        tags: Its clock must count whole picoseconds.
        party: Whose tags they are.
        metadata: E.g. ``{"settings": "ekert", "run_id": "..."}``; give both parties' files of
            one measurement the same ``run_id``.

    Returns:
        The content hash; 64 hexadecimal digits.

    Raises:
        ValueError: The clock counts no whole picoseconds, or as `save_table`.
        OSError: As `save_table`.

    Examples:
        >>> import tempfile
        >>> from e91.recorded.tag_files import load_time_tags
        >>> tags = TimeTags(np.array([10, 250, 900]), np.array([0, 3, 1], np.uint8))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     digest = save_time_tags(Path(folder) / "alice.csv", tags, party=Party.ALICE)
        ...     loaded = load_time_tags(Path(folder) / "alice.csv")
        >>> loaded.tags.times.tolist(), loaded.sha256 == digest, loaded.metadata["party"]
        ([10, 250, 900], True, 'alice')
    """
    file = Path(file)
    unit = round(tags.resolution_s * 1e12)
    if unit < 1 or abs(unit * 1e-12 - tags.resolution_s) > 1e-18:
        raise ValueError(
            "Time tags must be in whole picoseconds to be saved, but their unit is "
            f"{tags.resolution_s:g} s."
        )
    columns: dict[str, Column] = {"time_ps": tags.times * unit, "channel": tags.channels}
    known = {"kind": "time tags", "party": party.value, **(metadata or {})}
    return save_table(file, columns, known)


def _of(file: Path, table: Mapping[str, Any]) -> Any:
    ending = file.suffix.lower()
    if ending not in table:
        raise ValueError(f"`{file}` must end in {', '.join(table)}, but ends in `{file.suffix}`.")
    return table[ending]


def _reader(file: Path) -> Callable[..., Table]:
    """Return what reads a file: by its first bytes, and by its name if these say nothing."""
    with open_regular(file, kind="a readable file") as opened:
        head = opened.read(_HEAD) or b""
    for signature, reader in _SIGNATURES.items():
        if head.startswith(signature):
            return reader
    ending = file.suffix.lower()
    if ending in _READERS:
        return _READERS[ending]
    if head and is_text(head):
        return read_csv
    raise ValueError(
        f"`{file}` must be an `.npz`, Parquet or CSV file, but begins as none of them; the layouts "
        "of time taggers are named by `--format`."
    )


@contextmanager
def _buffered(append: Callable[[bytes], None]) -> Iterator[IO[bytes]]:
    """Give a stream that passes what is written to a function, in large pieces.

    After an exception what is still in the stream goes nowhere, whoever keeps the stream and
    closes it later: it would be key bits of both parties, in the file of somebody else.
    """
    raw = _Sink(append)
    sink = io.BufferedWriter(raw, _BUFFER)
    try:
        yield sink
        sink.flush()
    finally:
        raw.drop()
        sink.close()


class _Sink(io.RawIOBase):
    """A stream that passes what is written to a function, until it is to drop it."""

    def __init__(self, append: Callable[[bytes], None]) -> None:
        super().__init__()
        self._append = append

    def drop(self) -> None:
        """Drop from now on what is written."""
        self._append = _drop

    def writable(self) -> bool:
        """Return that bytes may be written, which Arrow asks."""
        return True

    def write(self, content: Any, /) -> int:
        """Write all bytes, or raise."""
        data = bytes(content)
        self._append(data)
        return len(data)


def _drop(_: bytes) -> None:
    """Take bytes, and write them nowhere."""


def record_of_codes(
    codes: Bits, *, shape: tuple[int, ...], reproducible: bool = False
) -> DetectionRecord:
    """Return the record of the rounds of a block.

    Args:
        codes: The rounds, as `e91.devices.rounds.round_sampler` codes them; uint8, shape (n,).
        shape: (nx, ny, k, k), which the codes are numbered by.
        reproducible: Whether a seed makes the rounds again.

    Examples:
        >>> record = record_of_codes(np.array([0, 5], np.uint8), shape=(1, 2, 2, 2))
        >>> record.bob.setting.tolist(), record.bob.outcome.tolist()
        ([0, 1], [0, 1])
    """
    # One look-up a round and column: the codes are few.
    meaning = np.array(np.unravel_index(np.arange(np.prod(shape)), shape), np.uint8)
    x, y, a, b = (column[codes] for column in meaning)
    return DetectionRecord(PartyRecord(x, a), PartyRecord(y, b), reproducible=reproducible)


def save_block(folder: Path, number: int, record: DetectionRecord) -> Path:
    """Write the rounds of a block to ``folder / block-000042.npz``, whole or not at all.

    In a folder whose name ends in ``.parquet`` the blocks are Parquet, so that the folder is what
    other programs call a Parquet data set; else they are `.npz`.

    A raw record holds the key bits of both parties: keep it as you would keep the key.

    Args:
        folder: An existing folder.
        number: Number of the block.
        record: Its rounds.

    Returns:
        Where it was written.

    Raises:
        ValueError: The file exists, or pyarrow is wanted and not installed.
        OSError: It cannot be written; nothing is left then.
    """
    ending = PARQUET if folder.suffix == PARQUET else ".npz"
    target = folder / f"block-{number:06d}{ending}"
    save_detections(target, record, metadata={"block": number})
    return target
