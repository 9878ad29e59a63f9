"""``e91 decrypt``: files or streams of any size, with keys that are then used up."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from e91.cli.key_options import KeyChoice, keys_option
from e91.cli.key_spending import show_summary, show_use, use_of_message
from e91.cli.options import JSON
from e91.cli.outcome import write_output
from e91.cli.stream_files import (
    FILE,
    STREAM,
    Input,
    KeptOutput,
    OutputStream,
    all_of,
    check_target,
    named_file,
    opened_input,
    place_of_output,
)
from e91.model.errors import AuthenticationFailed, KeyUnavailable
from e91.system.durable import PRIVATE, growing_file
from e91.system.progress import waiting

if TYPE_CHECKING:
    from e91.encryption import KeyUse
    from e91.encryption.key_sources import KeyBytesLeft
    from e91.encryption.stream_headers import StreamSummary


@click.command()
@FILE
@keys_option("Your key file, a folder of them, a pattern such as 'run/*/alice.key', or several.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="The plaintext; FILE without .e91, and standard output (`-`) for `-`.",
)
@JSON
def decrypt(*, file: Path, keys: KeyChoice, out: Path | None, as_json: bool) -> None:
    """Decrypt FILE, or standard input if FILE is `-`, with key bytes that are then used up.

    They are used up before anything is written to standard output: what a crash in between loses
    has to be sent again.  There, every piece is written when its tag is checked; only exit status 0
    says that they are all.
    """
    keys.check()
    if out is None and file != STREAM and file.suffix != ".e91":
        raise ValueError(f"`{file}` must end in `.e91` or `--out` be given, but neither is so.")
    target = out or (STREAM if file == STREAM else named_file(file).with_suffix(""))
    check_target(target, as_json=as_json)
    with opened_input(file) as source, waiting(f"Decrypting {file}"):
        if _is_message(source.begin(6)):
            use = _decrypt_message(all_of(source), target, keys, name=file.name)
            show_use(use, target, as_json=as_json)
            return
        summary, left = _decrypt_stream(source, target, keys)
    show_summary(summary, target, left, as_json=as_json and summary.is_complete)
    if not summary.is_complete:
        raise KeyUnavailable(
            f"`{file}` must have its data to their end, but its sender had no more key: the first "
            f"{summary.size:,} bytes are whole in {place_of_output(target)}."
        )


def _is_message(first: bytes) -> bool:
    """Return whether a ciphertext, or what claims to be one, is a message of a key file."""
    from e91.encryption.stream_headers import MAGIC

    return not first.startswith(MAGIC) or first[len(MAGIC) :] == b"\1"


def _decrypt_message(ciphertext: bytes, target: Path, keys: KeyChoice, *, name: str) -> "KeyUse":
    """Decrypt a message of a key file: version 1 of the format."""
    from e91.encryption.cipher import decrypt_to_file, decrypt_with
    from e91.keys.files import saying_what_was_spent

    key_file = _file_of_message(ciphertext, keys)
    entry = partial(use_of_message, key_file, ciphertext, role="received", name=name)
    try:
        with keys.opened_ledger() as ledger:  # first: one that is damaged costs no key
            if target != STREAM:
                use = decrypt_to_file(ciphertext, target, key_file)
                ledger.enter([entry(use)])
                return use
            with saying_what_was_spent(key_file) as note:
                data, use = decrypt_with(ciphertext, key_file)
                note(use.key_bytes_used)
                ledger.enter([entry(use)])
                write_output(data)
    except AuthenticationFailed:
        raise ValueError(
            f"`{name or STREAM}` must be a ciphertext made with this key, but authentication "
            "failed."
        ) from None
    return use


def _file_of_message(ciphertext: bytes, keys: KeyChoice) -> Path:
    """Return the key file whose key a message names, or the first if none has it.

    Raises:
        ValueError: Keys come from a server, but the message was made with a key file.
    """
    from e91.encryption.cipher import read_header
    from e91.encryption.key_sources import key_files_of
    from e91.keys.files import read_key_file

    if keys.kme is not None:
        raise ValueError(
            "The ciphertext must be made with keys of a key server, but is a message of a key "
            "file, or none of E91: give `--key`."
        )
    files = key_files_of(keys.key)
    if len(files) == 1:
        return files[0]
    try:
        key_id = read_header(ciphertext).key_id
    except AuthenticationFailed:
        return files[0]
    return next((file for file in files if read_key_file(file).label.key_id == key_id), files[0])


def _decrypt_stream(
    source: Input, target: Path, choice: KeyChoice
) -> "tuple[StreamSummary, KeyBytesLeft]":
    """Decrypt version 2 of the format; the data get their name when all of them are right."""
    from e91.encryption.chapters import decrypt_chapters
    from e91.encryption.pad_segments import decrypt_segments
    from e91.encryption.stream_headers import StreamHeader

    written = 0
    try:
        header = StreamHeader.read(source)
        read = decrypt_segments
        if header.cipher == "aes-256-gcm":
            size = None if source.size is None else source.size - StreamHeader.SIZE
            read = partial(decrypt_chapters, size=size)
        name = Path(source.name).name
        with (
            choice.source() as unentered,
            choice.entered(unentered, cipher=header.cipher, name=name) as keys,
        ):
            if target == STREAM:
                output = KeptOutput(OutputStream(), keys)
                try:
                    return read(source, output, keys, header=header), unentered.left()
                finally:
                    written = output.size
            with growing_file(target, mode=PRIVATE) as growing:
                summary = read(source, growing, keys, header=header)
                # Plaintext safe on the disk, then the keys used, then the name.
                growing.flush()
                keys.keep()
            return summary, unentered.left()
    except (AuthenticationFailed, KeyUnavailable) as error:
        raise ValueError(_refusal(source.name, error, target, written)) from None


def _refusal(name: str, error: Exception, target: Path, written: int) -> str:
    """Return what is said of a ciphertext that cannot be read to its end."""
    why = f"`{name}` must be a whole ciphertext made with these keys, but is not: {error}"
    if isinstance(error, KeyUnavailable):
        why = f"`{name}` cannot be decrypted: {error}"
    if target != STREAM:
        return f"{why}  No file was written."
    if not written:
        return f"{why}  Nothing was written."
    return f"{why}  The {written:,} bytes that were written are right, but are not all."
