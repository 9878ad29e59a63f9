"""What `e91 encrypt` and `e91 decrypt` say of the keys that they used, and enter in the ledger."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from e91.cli.stream_files import STREAM

if TYPE_CHECKING:
    from e91.encryption import KeyUse
    from e91.encryption.key_sources import KeyBytesLeft
    from e91.encryption.stream_headers import StreamSummary
    from e91.keys.usage import KeyUsage, Role


def use_of_message(
    key_file: Path, ciphertext: bytes, use: "KeyUse", *, role: "Role", name: str
) -> "KeyUsage":
    """Return what is entered in the ledger of a message of a key file."""
    from e91.encryption.cipher import read_header
    from e91.keys.files import read_key_file
    from e91.keys.usage import KeyUsage

    header = read_header(ciphertext)
    label = read_key_file(key_file).label
    return KeyUsage(
        key_id=label.key_id,
        start=header.offset,
        stop=header.offset + use.key_bytes_used,
        role=role,
        cipher=use.cipher,
        name=name,
        used_at=time.time(),
        security=label.security.value,
        epsilon=label.epsilon,
        reproducible=label.reproducible,
        protected_bytes=use.size,
    )


def show_use(use: "KeyUse", target: Path, *, as_json: bool) -> None:
    """Say what was used, on standard error if standard output has the data."""
    if as_json:
        click.echo(json.dumps({"file": str(target), **vars(use)}))
        return
    click.echo(
        f"{'e91' if target == STREAM else target}: {use.size:,} bytes, {use.cipher}; "
        f"{use.key_bytes_used:,} key bytes used, {use.key_bytes_left:,} left",
        err=target == STREAM,
    )


def show_summary(
    summary: "StreamSummary", target: Path, left: "KeyBytesLeft", *, as_json: bool
) -> None:
    """Say what was encrypted or decrypted, on standard error if standard output has the data."""
    used = summary.key_bytes_used
    if as_json:
        found = {"file": str(target), "cipher": summary.cipher, "size": summary.size}
        found |= {"keys": summary.keys, "key_bytes_used": used, "complete": summary.is_complete}
        click.echo(json.dumps(found | {"to_send": left.to_send, "to_receive": left.to_receive}))
        return
    pieces = "piece" if summary.cipher == "one-time-pad" else "key"
    click.echo(
        f"{'e91' if target == STREAM else target}: {summary.size:,} bytes, {summary.cipher}; "
        f"{summary.keys:,} {pieces}{'s' * (summary.keys != 1)}, {used:,} key bytes used, "
        f"{_left(left)} left",
        err=target == STREAM,
    )


def _left(left: "KeyBytesLeft") -> str:
    known = "an unknown number" if left.to_send is None else f"{left.to_send:,}"
    if left.is_shared or left.to_receive is None:
        return known
    return f"{known} to send and {left.to_receive:,} to receive"
