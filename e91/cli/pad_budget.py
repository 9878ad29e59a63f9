"""What key a file needs, bit for bit, beside what is left; nothing is used."""

import json
from pathlib import Path
from typing import Any

import click

from e91.cli.key_options import KeyChoice
from e91.cli.outcome import columns
from e91.cli.stream_files import Input, opened_input
from e91.system.report_layout import WIDTH, Layout

_WHY = (
    "Under the one-time pad every bit of data takes one bit of key, and every segment of at most "
    "1 MiB takes 256 more for its tag.  Identifiers and tags are sent beside the pad, not under "
    "it.  AES-256-GCM takes 256 bits for a key; its secrecy is computational."
)


def show_budget(file: Path, keys: KeyChoice, *, as_json: bool) -> None:
    """Print what FILE needs under either cipher, and what is left in each direction."""
    with opened_input(file) as source:
        size = source.size if source.size is not None else _counted(source)
    with keys.source() as opened:
        left = opened.left()
    found = budget(size, left.to_send, left.to_receive)
    if as_json:
        click.echo(json.dumps({"file": str(file), "one_stock": left.is_shared} | found))
        return
    click.echo(_text(file, found, is_shared=left.is_shared))


def budget(size: int, to_send: int | None, to_receive: int | None) -> dict[str, Any]:
    """Return the bits of key that data need, and those that are left.

    Args:
        size: Bytes of data.
        to_send: Key bytes left to send; None if that is not known.
        to_receive: Key bytes left to receive; None likewise.

    Examples:
        >>> found = budget(100, 1000, None)
        >>> found["pad_bits"], found["tag_bits"], found["bits_to_send"], found["pad_suffices"]
        (800, 256, 8000, True)
    """
    from e91.encryption.pad_segments import pad_key_bytes

    needed = pad_key_bytes(size)
    known = to_send is not None
    return {
        "data_bits": 8 * size,
        "pad_bits": 8 * size,
        "tag_bits": 8 * (needed - size),
        "pad_and_tag_bits": 8 * needed,
        "bits_to_send": 8 * to_send if to_send is not None else None,
        "bits_to_receive": None if to_receive is None else 8 * to_receive,
        "bits_to_send_afterwards": 8 * max(0, to_send - needed) if to_send is not None else None,
        "pad_suffices": needed <= to_send if known and to_send is not None else None,
    }


def _text(file: Path, found: dict[str, Any], *, is_shared: bool) -> str:
    page = Layout(columns(WIDTH + 2) - 2)
    rows = {
        "data": found["data_bits"],
        "pad": found["pad_bits"],
        "tags": found["tag_bits"],
        "pad and tags": found["pad_and_tag_bits"],
    }
    if is_shared:
        rows["left, both ways"] = found["bits_to_send"]
    else:
        rows |= {
            "left to send": found["bits_to_send"],
            "left to receive": found["bits_to_receive"],
        }
    rows["to send afterwards"] = found["bits_to_send_afterwards"]
    lines = [page.row(name, _bits(value)) for name, value in rows.items()]
    enough = {True: "yes", False: "no: the pad is refused", None: "not known"}
    return "\n".join(
        [
            page.title(f"Key budget of {file}"),
            *lines,
            page.row("pad suffices", enough[found["pad_suffices"]]),
            "",
            *page.text(_WHY),
        ]
    )


def _bits(value: int | None) -> str:
    return "not known" if value is None else f"{value:,} bits"


def _counted(source: Input) -> int:
    buffer = memoryview(bytearray(2**18))
    size = 0
    while count := source.readinto(buffer):
        size += count
    return size
