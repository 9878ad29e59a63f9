"""``e91 encrypt`` and ``e91 decrypt``: files or streams, with key bytes that are then used up."""

import json
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from e91.cli.options import JSON
from e91.cli.outcome import refuse_terminal, write_output
from e91.model.errors import AuthenticationFailed
from e91.system.durable import PUBLIC, new_file, read_file
from e91.system.progress import waiting

if TYPE_CHECKING:
    from e91.encryption import KeyUse

STREAM = Path("-")
"""The name of standard input, or of standard output."""

FILE = click.argument("file", type=click.Path(path_type=Path))
KEY = click.option("--key", type=click.Path(path_type=Path), required=True, help="Your key file.")


@click.command()
@FILE
@KEY
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="The ciphertext; FILE.e91 by default, and standard output (`-`) for `-`.",
)
@click.option(
    "--cipher",
    type=click.Choice(["one-time-pad", "aes-256-gcm"]),
    help="By default the one-time pad if enough key is left.",
)
@JSON
def encrypt(*, file: Path, key: Path, out: Path | None, cipher: Any | None, as_json: bool) -> None:
    """Encrypt FILE, or standard input if FILE is `-`, with key bytes that are then used up."""
    from e91.encryption.cipher import encrypt_with
    from e91.keys.files import saying_what_was_spent

    target = out or (STREAM if file == STREAM else _named(file).with_name(f"{file.name}.e91"))
    _check_target(target, as_json=as_json)
    if target == STREAM:
        refuse_terminal("A ciphertext")
    data = _content(file)
    with (
        waiting(f"Encrypting {file}"),
        saying_what_was_spent(key) as note,
        _output(target) as write,
    ):
        ciphertext, use = encrypt_with(data, key, cipher=cipher)
        note(use.key_bytes_used)
        write(ciphertext)
    _show_use(use, target, as_json=as_json)


@click.command()
@FILE
@KEY
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="The plaintext; FILE without .e91, and standard output (`-`) for `-`.",
)
@JSON
def decrypt(*, file: Path, key: Path, out: Path | None, as_json: bool) -> None:
    """Decrypt FILE, or standard input if FILE is `-`, with key bytes that are then used up.

    They are used up before anything is written to standard output: what a crash in between loses
    has to be sent again.
    """
    from e91.encryption.cipher import decrypt_to_file, decrypt_with
    from e91.keys.files import saying_what_was_spent

    if out is None and file != STREAM and file.suffix != ".e91":
        raise ValueError(f"`{file}` must end in `.e91` or `--out` be given, but neither is so.")
    target = out or (STREAM if file == STREAM else _named(file).with_suffix(""))
    _check_target(target, as_json=as_json)
    ciphertext = _content(file)
    try:
        with waiting(f"Decrypting {file}"):
            if target != STREAM:
                use = decrypt_to_file(ciphertext, target, key)
            else:
                with saying_what_was_spent(key) as note:
                    data, use = decrypt_with(ciphertext, key)
                    note(use.key_bytes_used)
                    write_output(data)
    except AuthenticationFailed:
        raise ValueError(
            f"`{file}` must be a ciphertext made with this key, but authentication failed."
        ) from None
    _show_use(use, target, as_json=as_json)


def _named(file: Path) -> Path:
    if not file.name:
        raise ValueError(f"`{file}` must be a readable, non-empty file, but is a folder.")
    return file


def _check_target(target: Path, *, as_json: bool) -> None:
    if target == STREAM and as_json:
        raise click.UsageError(
            "`--json` must come with `--out FILE`, as standard output is taken by the data."
        )


def _content(file: Path) -> bytes:
    """Return what is in a file, or comes by standard input.

    Raises:
        ValueError: It is nothing, or cannot be read.
    """
    if file != STREAM:
        return read_file(file)
    content = b"" if sys.stdin is None else sys.stdin.buffer.read()
    if not content:
        raise ValueError("Standard input must have at least one byte, but has none.")
    return content


def _output(target: Path) -> AbstractContextManager[Callable[[bytes], None]]:
    return nullcontext(write_output) if target == STREAM else new_file(target, mode=PUBLIC)


def _show_use(use: "KeyUse", target: Path, *, as_json: bool) -> None:
    """Say what was used, on standard error if standard output has the data."""
    if as_json:
        click.echo(json.dumps({"file": str(target), **vars(use)}))
        return
    click.echo(
        f"{'e91' if target == STREAM else target}: {use.size:,} bytes, {use.cipher}; "
        f"{use.key_bytes_used:,} key bytes used, {use.key_bytes_left:,} left",
        err=target == STREAM,
    )
