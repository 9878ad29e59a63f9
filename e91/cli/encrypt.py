"""``e91 encrypt`` and ``e91 decrypt``: files, with key bytes that are then used up."""

import json
from pathlib import Path
from typing import Any

import click

from e91.cli.options import JSON
from e91.model.errors import AuthenticationFailed


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--key", type=click.Path(path_type=Path), required=True, help="Your key file.")
@click.option("--out", type=click.Path(path_type=Path), help="The ciphertext; FILE.e91 by default.")
@click.option("--cipher", type=click.Choice(["one-time-pad", "aes-256-gcm"]),
              help="By default the one-time pad if enough key is left.")  # fmt: skip
@JSON
def encrypt(*, file: Path, key: Path, out: Path | None, cipher: Any | None, as_json: bool) -> None:
    """Encrypt FILE with key bytes that are then used up."""
    from e91.encryption import encrypt_file

    if not file.name:
        raise ValueError(f"`{file}` must be a readable, non-empty file, but is a folder.")
    target = out or file.with_name(f"{file.name}.e91")
    _show_use(encrypt_file(file, target, key, cipher=cipher), target, as_json=as_json)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--key", type=click.Path(path_type=Path), required=True, help="Your key file.")
@click.option("--out", type=click.Path(path_type=Path), help="The plaintext; FILE without .e91.")
@JSON
def decrypt(*, file: Path, key: Path, out: Path | None, as_json: bool) -> None:
    """Decrypt FILE with the peer's key bytes, which are then used up."""
    from e91.encryption import decrypt_file

    if out is None and file.suffix != ".e91":
        raise ValueError(f"`{file}` must end in `.e91` or `--out` be given, but neither is so.")
    if not file.name:
        raise ValueError(f"`{file}` must be a readable, non-empty file, but is a folder.")
    target = out or file.with_suffix("")
    try:
        use = decrypt_file(file, target, key)
    except AuthenticationFailed:
        raise ValueError(
            f"`{file}` must be a ciphertext made with this key, but authentication failed."
        ) from None
    _show_use(use, target, as_json=as_json)


def _show_use(use: Any, target: Path, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"file": str(target), **vars(use)}))
        return
    click.echo(
        f"{target}: {use.size:,} bytes, {use.cipher}; {use.key_bytes_used:,} key bytes used, "
        f"{use.key_bytes_left:,} left"
    )
