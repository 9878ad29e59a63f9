"""Requests one by one from a file: a recorded or invented load."""

import csv
import math
from itertools import pairwise
from pathlib import Path

from e91.network.layout import ListedRequest, RequestList
from e91.system.durable import read_file

HEADER = ("time_s", "from", "to", "bits")
"""Names of the columns, in their order."""

_MOST_BYTES = 2**26
_MOST_BITS = 2**40


def read_requests(file: Path | str, *, name: str = "") -> RequestList:
    r"""Return the requests in a CSV file, a line each after the line of column names.

    Args:
        file: UTF-8, at most 64 MiB; columns ``time_s`` (ascending, from 0), ``from``, ``to`` (names
            of sites), ``bits`` (whole, of the key that is asked for).
        name: What sentences call it; its path if empty.

    Returns:
        The requests in the order of the file.

    Raises:
        ValueError: It cannot be read, or a line is no request; the sentence names the line.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "load.csv"
        ...     _ = file.write_text("time_s,from,to,bits\n0.5,A,B,256\n2,B,A,512\n")
        ...     read_requests(file).requests[1]
        ListedRequest(time_s=2.0, source='B', target='A', bits=512)
    """
    file = Path(file)
    where = name or str(file)
    try:
        lines = read_file(file, most_bytes=_MOST_BYTES).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"`{where}` must be UTF-8 text, but is not.") from None
    try:
        rows = list(csv.reader(lines))
    except csv.Error as error:
        raise ValueError(f"`{where}` must be a CSV file, but: {error}.") from None
    header = tuple(cell.strip() for cell in rows[0]) if rows else ()
    if header != HEADER:
        raise ValueError(
            f"`{where}` must begin with the line {','.join(HEADER)}, but begins with "
            f"{lines[0] if lines else ''!r}."
        )
    requests = [
        _request(cells, f"Line {number} of `{where}`")
        for number, cells in enumerate(rows[1:], start=2)
    ]
    for number, (before, after) in enumerate(pairwise(requests), start=3):
        if after.time_s < before.time_s:
            raise ValueError(
                f"Line {number} of `{where}` must not be earlier than the one before, at "
                f"{before.time_s:g} s, but is of {after.time_s:g} s."
            )
    if not requests:
        raise ValueError(f"`{where}` must hold a request or more, but holds none.")
    return RequestList(where, tuple(requests))


def _request(cells: list[str], place: str) -> ListedRequest:
    if len(cells) != len(HEADER):
        raise ValueError(f"{place} must have {len(HEADER)} cells, but has {len(cells)}.")
    time, source, target, size = (cell.strip() for cell in cells)
    time_s, bits = _number(time), _number(size)
    if not 0 <= time_s < math.inf:
        raise ValueError(f"{place} must have a time from 0, in seconds, but has {time!r}.")
    if not (1 <= bits <= _MOST_BITS and bits == int(bits)):
        raise ValueError(f"{place} must ask for a whole number of bits from 1, but for {size!r}.")
    return ListedRequest(time_s, source, target, int(bits))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
