"""The formats of tables: `.npz`, text and Parquet.

An `.npz` is never a pickle and never more than its headers promise.  Text is a comment line of
metadata, a line of names, a line for each row.  Parquet wants pyarrow (the extra ``data``).
"""

import errno
import json
import lzma
import os
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from e91.recorded.rows import LONGEST_LINE, SEPARATORS, Rows, RowShape, read_rows, text_bytes
from e91.recorded.tables import (
    HASH_NAME,
    TAG_COLUMNS,
    TYPES,
    Column,
    Table,
    check_growth,
    ordered,
    parsed_metadata,
    wanted_columns,
)
from e91.system.extras import extra
from e91.system.refusals import is_refusal

METADATA = "metadata"
"""Name of the array that holds the metadata: UTF-8 JSON, as uint8."""

_LOCAL_HEADER = 30
_MOST_METADATA = 2**20
_DAMAGED = (
    zipfile.BadZipFile,
    EOFError,
    ValueError,
    KeyError,
    struct.error,
    NotImplementedError,
    RuntimeError,
    OverflowError,
    SyntaxError,
    zlib.error,
    lzma.LZMAError,
)

MARK = "# e91 "
"""Begins the line of metadata; other lines with ``#`` before the names are skipped."""

Renamed = Mapping[str, str]
"""What a file calls columns that it does not call as documented, by our names."""

NO_NAMES: Renamed = {}

METADATA_KEY = b"e91"
"""Under which the schema holds the metadata, as JSON."""

_ROWS_OF_A_GROUP = 2**20


@dataclass(frozen=True)
class Member:
    """An array in an `.npz`.

    Attributes:
        name: Its name.
        dtype: Type of its entries.
        length: How many there are.
        offset: Where its bytes begin in the file; None if it is compressed.
    """

    name: str
    dtype: np.dtype[Any]
    length: int
    offset: int | None


def write_npz(file: IO[bytes], columns: Mapping[str, Column], metadata: Mapping[str, Any]) -> None:
    """Write a table, uncompressed, so that it can be read a piece at a time."""
    text = np.frombuffer(json.dumps(dict(metadata), sort_keys=True).encode(), np.uint8)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        arrays = {METADATA: text} | {
            name: np.ascontiguousarray(columns[name], TYPES[name]) for name in ordered(columns)
        }
        for name, array in arrays.items():
            # A fixed date: equal tables make equal files.
            entry = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            with archive.open(entry, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def read_npz(file: Path, *, most_rows: int, renamed: Renamed = NO_NAMES) -> Table:
    """Return the table of an `.npz`.

    Raises:
        ValueError: It is none, holds Python objects, misses columns, is truncated, or has more
            rows than ``most_rows``.
        OSError: It cannot be read.
    """
    members, metadata = _members(file, most_rows=most_rows, renamed=renamed)
    try:
        with zipfile.ZipFile(file) as archive:
            columns = {}
            for name, member in members.items():
                with archive.open(f"{member.name}.npy") as stream:
                    _header(stream)
                    size = member.length * member.dtype.itemsize
                    content = stream.read(size)
                    if len(content) != size or stream.read(1):
                        raise EOFError
                columns[name] = np.frombuffer(content, member.dtype)
    except (*_DAMAGED, OSError) as error:
        raise _damaged(file, error) from error
    return Table(columns, metadata)


def open_npz(file: Path, *, most_rows: int) -> tuple[tuple[Member, ...], dict[str, Any]]:
    """Return the columns and the metadata of an `.npz` without reading the columns.

    Raises:
        ValueError: As `read_npz`.
        OSError: It cannot be read.
    """
    members, metadata = _members(file, most_rows=most_rows, renamed=NO_NAMES)
    return tuple(members.values()), metadata


def _members(
    file: Path, *, most_rows: int, renamed: Renamed
) -> tuple[dict[str, Member], dict[str, Any]]:
    """Return the columns by our names, and the metadata."""
    try:
        with zipfile.ZipFile(file) as archive:
            entries = {entry.filename: entry for entry in archive.infolist()}
            for entry in entries.values():
                # A name is compared with its second copy when it is opened: one that changed, such
                # as that of the metadata, would else be an array that nobody asks for.
                archive.open(entry).close()
            names = {name[:-4] for name in entries if name.endswith(".npy")} - {METADATA}
            columns = wanted_columns(names, file, renamed)
            metadata = _metadata(archive, entries, file)
            members = {
                name: _member(archive, entries[f"{column}.npy"], file, most_rows=most_rows)
                for name, column in columns.items()
            }
    except (*_DAMAGED, OSError) as error:
        if is_refusal(error):
            raise
        raise _damaged(file, error) from error
    found = members.values()
    check_growth(sum(m.length * m.dtype.itemsize for m in found if m.offset is None), file)
    if len({member.length for member in found}) > 1:
        lengths = ", ".join(f"`{member.name}` {member.length:,}" for member in found)
        raise ValueError(f"The columns of `{file}` must have one length, but have {lengths}.")
    return members, metadata


def _damaged(file: Path, error: Exception) -> Exception:
    """Return the refusal of a damaged file; a disk that fails stays what it is."""
    # Places that are none, in damaged headers, are "invalid arguments" to the system.
    if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
        return error
    return ValueError(f"`{file}` must be a whole `{file.suffix}` file, but is damaged.")


def _metadata(
    archive: zipfile.ZipFile, entries: Mapping[str, zipfile.ZipInfo], file: Path
) -> dict[str, Any]:
    entry = entries.get(f"{METADATA}.npy")
    if entry is None:
        return {}
    member = _member(archive, entry, file, most_rows=_MOST_METADATA)
    with archive.open(entry) as stream:
        _header(stream)
        text = stream.read(member.length * member.dtype.itemsize)
    return parsed_metadata(text, file)


def _member(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, file: Path, *, most_rows: int
) -> Member:
    """Return what the headers say of an array; its content is not touched."""
    with archive.open(entry) as stream:
        shape, dtype, header = _header(stream)
    name = entry.filename[:-4]
    if dtype.hasobject:
        raise ValueError(
            f"`{name}` in `{file}` must hold whole numbers, but holds Python objects, and a pickle "
            "is never loaded."
        )
    if len(shape) != 1 or dtype.kind not in "iubf":
        raise ValueError(
            f"`{name}` in `{file}` must hold whole numbers, one a row, but is {dtype} of shape "
            f"{shape}."
        )
    if shape[0] > most_rows:
        raise ValueError(f"`{file}` must have at most {most_rows:,} rows, but has {shape[0]:,}.")
    if entry.file_size != header + shape[0] * dtype.itemsize:
        raise ValueError(
            f"`{name}` in `{file}` must take {header + shape[0] * dtype.itemsize:,} bytes as its "
            f"header says, but takes {entry.file_size:,}."
        )
    offset = None
    if entry.compress_type == zipfile.ZIP_STORED and not entry.flag_bits & 1:
        offset = _data_offset(file, entry) + header
        if offset + shape[0] * dtype.itemsize > file.stat().st_size:
            raise EOFError
    return Member(name, dtype, shape[0], offset)


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Return shape, type and size of the header of an array; no data is read."""
    # Later versions are for headers beyond 64 KiB, which no array of whole numbers has.
    if np.lib.format.read_magic(stream) != (1, 0):
        raise EOFError
    try:
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    except (TokenError, TypeError) as error:
        # NumPy reads a header as Python's words, and again as those of Python 2.
        raise EOFError from error
    return shape, dtype, stream.tell()


def _data_offset(file: Path, entry: zipfile.ZipInfo) -> int:
    """Return where a member's bytes begin: behind its local header, of its own length."""
    with file.open("rb") as raw:
        raw.seek(entry.header_offset)
        header = raw.read(_LOCAL_HEADER)
    if len(header) != _LOCAL_HEADER or header[:4] != b"PK\x03\x04":
        raise EOFError
    name, extra = struct.unpack("<HH", header[26:30])
    return entry.header_offset + _LOCAL_HEADER + int(name) + int(extra)


def read_part(file: FileIO, member: Member, start: int, stop: int) -> NDArray[np.integer[Any]]:
    """Return some entries of an uncompressed member.

    Raises:
        ValueError: The file ends before.
    """
    assert member.offset is not None
    start, stop = max(0, start), min(stop, member.length)
    size = max(0, stop - start) * member.dtype.itemsize
    room = bytearray(size)
    done = 0
    while done < size:
        got = os.preadv(
            file.fileno(),
            [memoryview(room)[done:]],
            member.offset + start * member.dtype.itemsize + done,
        )
        if not got:
            raise ValueError("A file of time tags must stay whole while it is read, but ended.")
        done += got
    return np.frombuffer(room, member.dtype)


def write_csv(file: IO[bytes], columns: Mapping[str, Column], metadata: Mapping[str, Any]) -> None:
    """Write a table as text."""
    names = ordered(columns)
    file.write(f"{MARK}{json.dumps(dict(metadata), sort_keys=True)}\n".encode())
    file.write((",".join(names) + "\n").encode())
    if names == TAG_COLUMNS:
        rows = np.column_stack([np.asarray(columns[name], np.int64) for name in names])
        np.savetxt(file, rows, fmt="%d", delimiter=",")
        return
    # There are few different rows: each is made into text once.
    packed = np.zeros(len(columns[names[0]]), np.uint32)
    for name in names:
        packed = packed << np.uint32(8) | columns[name].astype(np.uint32)
    kinds, which = np.unique(packed, return_inverse=True)
    lines = np.array(
        [f"{k >> 24},{k >> 16 & 255},{k >> 8 & 255},{k & 255}\n" for k in kinds.tolist()], object
    )
    file.write("".join(lines[which]).encode())


def read_csv(file: Path, *, most_rows: int, renamed: Renamed = NO_NAMES) -> Table:
    """Return the table of a text file, which may be compressed with gzip.

    Commas, semicolons or tabs stand between the entries.

    Raises:
        ValueError: Names are missing, a line has another number of entries, an entry is no whole
            number, or there are more than ``most_rows`` rows.
        OSError: It cannot be read.
    """
    with text_bytes(file) as opened:
        metadata: dict[str, Any] = {}
        number, line = 1, _text(opened.readline(LONGEST_LINE), file).removeprefix("\ufeff")
        while line.startswith("#"):
            if line.startswith(MARK):
                metadata = parsed_metadata(line[len(MARK) :], file)
            elif f'"{HASH_NAME}":' in line:
                raise ValueError(
                    f"The line of metadata of `{file}` must begin with `{MARK}`, but does not: the "
                    "file is damaged or was changed."
                )
            number, line = number + 1, _text(opened.readline(LONGEST_LINE), file)
        separator = max(SEPARATORS, key=line.count)
        names = tuple(name.strip().strip('"') for name in line.strip().split(separator))
        wanted = wanted_columns(set(names), file, renamed)
        for name in wanted.values():
            if names.count(name) > 1:
                raise ValueError(
                    f"`{file}` must name its column `{name}` once, but names it "
                    f"{names.count(name)} times."
                )
        shape = RowShape(separator, names, tuple(names.index(name) for name in wanted.values()))
        pieces = read_rows(opened, file, shape, line=number + 1)
        columns = _columns(pieces, file, len(wanted), most_rows=most_rows)
    return Table(dict(zip(wanted, columns, strict=True)), metadata)


def _text(line: bytes, file: Path) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise ValueError(f"`{file}` must be UTF-8 text, but is not.") from None


def _columns(pieces: Iterable[Rows], file: Path, count: int, *, most_rows: int) -> list[Column]:
    """Return the columns of rows that come in pieces, of one byte each where they fit."""
    columns: list[Column] = [np.empty(0, np.uint8) for _ in range(count)]
    for rows in pieces:
        if len(columns[0]) + len(rows) > most_rows:
            raise ValueError(f"`{file}` must have at most {most_rows:,} rows, but has more.")
        for place in range(count):
            columns[place] = _grown(columns[place], rows[:, place])
    return columns


def _grown(column: Column, more: Column) -> Column:
    """Return a column with more entries, in the same memory if that can grow."""
    is_small = not len(more) or (more.min() >= 0 and more.max() <= 255)
    grown: Column = column if is_small else column.astype(np.int64, copy=False)
    length = len(grown)
    grown.resize((length + len(more),), refcheck=False)
    grown[length:] = more
    return grown


def write_parquet(
    file: IO[bytes], columns: Mapping[str, Column], metadata: Mapping[str, Any]
) -> None:
    """Write a table.

    Raises:
        ValueError: pyarrow is not installed.
    """
    arrow, parquet = _pyarrow()
    text = json.dumps(dict(metadata), sort_keys=True).encode()
    table = arrow.table(
        {name: arrow.array(columns[name].astype(TYPES[name])) for name in ordered(columns)},
        metadata={METADATA_KEY: text},
    )
    table = table.replace_schema_metadata({METADATA_KEY: text})
    parquet.write_table(table, file, row_group_size=_ROWS_OF_A_GROUP)


def read_parquet(file: Path, *, most_rows: int, renamed: Renamed = NO_NAMES) -> Table:
    """Return the table of a Parquet file.

    Raises:
        ValueError: pyarrow is not installed; the file is damaged, misses columns, has other types
            than whole numbers, empty entries, or more than ``most_rows`` rows.
        OSError: It cannot be read.
    """
    arrow, parquet = _pyarrow()
    try:
        with file.open("rb") as raw:
            opened = parquet.ParquetFile(raw)
            wanted = wanted_columns(set(opened.schema_arrow.names), file, renamed)
            rows = opened.metadata.num_rows
            if rows > most_rows:
                raise ValueError(
                    f"`{file}` must have at most {most_rows:,} rows, but has {rows:,}."
                )
            width = 0
            for name in wanted.values():
                kind = opened.schema_arrow.field(name).type
                if not _may_be_whole(arrow, kind):
                    raise ValueError(
                        f"`{name}` in `{file}` must hold whole numbers, but is {kind}."
                    )
                width += (kind.bit_width + 7) // 8
            check_growth(rows * width, file)
            table = opened.read(columns=list(wanted.values()))
            text = (opened.schema_arrow.metadata or {}).get(METADATA_KEY)
            if text is None and f'"{HASH_NAME}":'.encode() in _footer(raw):
                raise EOFError  # there are metadata of E91, which a damaged footer hides
    except (arrow.ArrowException, *_DAMAGED, OSError) as error:
        if is_refusal(error):
            raise
        raise _damaged(file, error) from error
    columns = {}
    for name, column in wanted.items():
        if table[column].null_count:
            raise ValueError(
                f"`{column}` in `{file}` must have no empty entries, but has some: write 2 as the "
                "outcome for no click."
            )
        columns[name] = np.asarray(table[column].to_numpy())
    return Table(columns, parsed_metadata(text, file) if text is not None else {})


def _footer(raw: IO[bytes]) -> bytes:
    """Return the footer of a Parquet file, which holds all metadata."""
    raw.seek(-8, os.SEEK_END)
    size = int.from_bytes(raw.read(4), "little")
    raw.seek(-8 - size, os.SEEK_END)
    return raw.read(size)


def _may_be_whole(arrow: Any, kind: Any) -> bool:
    types = arrow.types
    return bool(types.is_integer(kind) or types.is_boolean(kind) or types.is_floating(kind))


def _pyarrow() -> tuple[Any, Any]:
    what = "Whoever reads or writes Parquet"
    return extra("pyarrow", what=what), extra("pyarrow.parquet", what=what)
