"""Tables as NumPy's `.npz`: never a pickle, never more than the headers promise."""

import io
import json
import os
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from e91.recorded.tables import TYPES, Column, Table, ordered, parsed_metadata, wanted_columns
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
)


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


def read_npz(file: Path, *, most_rows: int) -> Table:
    """Return the table of an `.npz`.

    Raises:
        ValueError: It is none, holds Python objects, misses columns, is truncated, or has more
            rows than ``most_rows``.
        OSError: It cannot be read.
    """
    members, metadata = open_npz(file, most_rows=most_rows)
    try:
        with zipfile.ZipFile(file) as archive:
            columns = {}
            for member in members:
                with archive.open(f"{member.name}.npy") as stream:
                    _header(stream)
                    size = member.length * member.dtype.itemsize
                    content = stream.read(size)
                    if len(content) != size or stream.read(1):
                        raise EOFError
                columns[member.name] = np.frombuffer(content, member.dtype)
    except _DAMAGED as error:
        raise ValueError(f"`{file}` must be a whole `.npz` file, but is damaged.") from error
    return Table(columns, metadata)


def open_npz(file: Path, *, most_rows: int) -> tuple[tuple[Member, ...], dict[str, Any]]:
    """Return the columns and the metadata of an `.npz` without reading the columns.

    Raises:
        ValueError: As `read_npz`.
        OSError: It cannot be read.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            entries = {entry.filename: entry for entry in archive.infolist()}
            names = {name[:-4] for name in entries if name.endswith(".npy")} - {METADATA}
            columns = wanted_columns(names, file)
            metadata = _metadata(archive, entries, file)
            members = tuple(
                _member(archive, entries[f"{name}.npy"], file, most_rows=most_rows)
                for name in columns
            )
    except _DAMAGED as error:
        if is_refusal(error):
            raise
        raise ValueError(f"`{file}` must be a whole `.npz` file, but is damaged.") from error
    if len({member.length for member in members}) > 1:
        lengths = ", ".join(f"`{member.name}` {member.length:,}" for member in members)
        raise ValueError(f"The columns of `{file}` must have one length, but have {lengths}.")
    return members, metadata


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
    if len(shape) != 1 or dtype.kind not in "iub":
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
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(stream)
    else:
        raise EOFError
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


def read_part(descriptor: int, member: Member, start: int, stop: int) -> NDArray[np.integer[Any]]:
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
            descriptor,
            [memoryview(room)[done:]],
            member.offset + start * member.dtype.itemsize + done,
        )
        if not got:
            raise ValueError("A file of time tags must stay whole while it is read, but ended.")
        done += got
    return np.frombuffer(room, member.dtype)


def written(columns: Mapping[str, Column], metadata: Mapping[str, Any]) -> bytes:
    """Return a small table as the bytes of an `.npz`."""
    with io.BytesIO() as file:
        write_npz(file, columns, metadata)
        return file.getvalue()
