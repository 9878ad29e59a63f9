"""``e91 encrypt``: files or streams of any size, with keys that are then used up."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from e91.cli.byte_sizes import BYTES
from e91.cli.key_options import KeyChoice, keys_option
from e91.cli.key_spending import show_summary, show_use, use_of_message
from e91.cli.options import JSON, as_one
from e91.cli.outcome import refuse_terminal, write_output
from e91.cli.stream_files import (
    FILE,
    STREAM,
    Input,
    OutputStream,
    all_of,
    check_target,
    named_file,
    opened_input,
    place_of_output,
)
from e91.model.errors import KeyUnavailable
from e91.system.durable import PUBLIC, check_absent, growing_file, new_file
from e91.system.progress import waiting

if TYPE_CHECKING:
    from e91.encryption import KeyUse
    from e91.encryption.cipher import Cipher
    from e91.encryption.key_sources import KeyBytesLeft, KeySource
    from e91.encryption.stream_headers import StreamHeader, StreamSummary
    from e91.system.byte_streams import ByteTarget

MESSAGE_SIZE = 2**18
"""Bytes up to which data are one message of a key file, and a text is never given AES unasked."""

CIPHERS = click.Choice(["one-time-pad", "aes-256-gcm"])


@dataclass(frozen=True)
class Tier:
    """How data are encrypted, as far as that was typed.

    Attributes:
        cipher: Or None for the default.
        rekey_every: Bytes of data under one AES key, or None.
        key_rate: Bits of key a second that the link makes, from which they follow, or None.
        data_rate: Bytes of data a second, or None for a line of 1 Gbit/s.
    """

    cipher: "Cipher | None" = None
    rekey_every: int | None = None
    key_rate: float | None = None
    data_rate: int | None = None

    @property
    def asks_for_chapters(self) -> bool:
        """Whether something was asked that single messages cannot do."""
        return self.rekey_every is not None or self.key_rate is not None

    def bytes_per_key(self, left: "KeyBytesLeft", size: int | None) -> int:
        """Return how many bytes of data are under one AES key.

        Args:
            left: How much key there is.
            size: Bytes of data, if that is known.

        Raises:
            ValueError: A number is out of range.
        """
        from e91.encryption import rekeying
        from e91.encryption.tink_streams import SEGMENT_SIZE

        most = rekeying.most_bytes_per_key(SEGMENT_SIZE)
        if self.rekey_every is not None:
            if self.rekey_every > most:
                raise ValueError(
                    f"`rekey_every` must be at most {most:,} bytes, the cipher's bound, but is "
                    f"{self.rekey_every:,}."
                )
            return self.rekey_every
        if self.key_rate is not None:
            data_rate = self.data_rate or rekeying.DATA_RATE
            return rekeying.bytes_per_key_at(self.key_rate, data_rate=data_rate)
        if left.to_send is not None and size is not None:
            return rekeying.bytes_per_key_from(left.to_send, size)
        return rekeying.BYTES_PER_KEY


TIER = as_one(
    "tier",
    Tier,
    click.option("--cipher", type=CIPHERS,
                 help="By default the one-time pad if enough key is left in key files, and for a "
                 "text; else AES-256-GCM, which is said."),
    click.option("--rekey-every", type=BYTES, metavar="SIZE",
                 help="Bytes of data under one AES key, such as 256MiB."),
    click.option("--key-rate", type=float, metavar="BITS/S",
                 help="Bits of key a second that the link makes: half of them are spent."),
    click.option("--data-rate", type=BYTES, metavar="BYTES/S",
                 help="Bytes of data a second, for --key-rate; 125MB by default."),
)  # fmt: skip
"""How data are encrypted."""


@click.command()
@FILE
@keys_option("Your key file, a folder of them, a pattern such as 'run/*/alice.key', or several.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="The ciphertext; FILE.e91 by default, and standard output (`-`) for `-`.",
)
@TIER
@click.option("--budget", is_flag=True, help="Only say what key FILE needs, and what is left.")
@JSON
def encrypt(
    *, file: Path, keys: KeyChoice, out: Path | None, tier: Tier, budget: bool, as_json: bool
) -> None:
    """Encrypt FILE, or standard input if FILE is `-`, with key bytes that are then used up.

    Keys are those of a key file, of several, or of a key server (--kme), whose other end gets them
    by their IDs.  Data of any size are encrypted in constant memory.
    """
    keys.check()
    if budget:
        from e91.cli.pad_budget import show_budget

        show_budget(file, keys, as_json=as_json)
        return
    target = out or (STREAM if file == STREAM else named_file(file).with_name(f"{file.name}.e91"))
    check_target(target, as_json=as_json)
    if target == STREAM:
        refuse_terminal("A ciphertext")
    with opened_input(file) as source, waiting(f"Encrypting {file}"):
        first = source.begin(MESSAGE_SIZE + 1)
        key_file = keys.message_file
        if key_file and len(first) <= MESSAGE_SIZE and not tier.asks_for_chapters:
            use = _encrypt_message(all_of(source), target, keys, tier=tier, name=file.name)
            show_use(use, target, as_json=as_json)
            return
        summary, left = _encrypt_stream(source, target, keys, tier=tier)
    show_summary(summary, target, left, as_json=as_json and summary.is_complete)
    if not summary.is_complete:
        raise KeyUnavailable(
            f"`{file}` must be encrypted to its end, but the keys ended after its first "
            f"{summary.size:,} bytes, which are whole in {place_of_output(target)}; that says so, "
            f"too.  {summary.stopped}"
        )


def _encrypt_message(
    data: bytes, target: Path, keys: KeyChoice, *, tier: Tier, name: str
) -> "KeyUse":
    """Encrypt data as one message of a key file."""
    from e91.encryption.cipher import encrypt_with
    from e91.keys.files import read_key_file, saying_what_was_spent
    from e91.keys.store import KeyStore

    key_file = keys.message_file
    assert key_file is not None
    cipher = tier.cipher
    if cipher is None:
        store = KeyStore.restore(read_key_file(key_file))
        cipher = _default_cipher(len(data), len(data) + 32, store.left, first=data)
    check_absent(target)
    with (
        keys.opened_ledger() as ledger,  # first: one that is damaged costs no key
        saying_what_was_spent(key_file) as note,
        _output(target) as write,
    ):
        ciphertext, use = encrypt_with(data, key_file, cipher=cipher)
        note(use.key_bytes_used)
        ledger.enter([use_of_message(key_file, ciphertext, use, role="sent", name=name)])
        write(ciphertext)
    return use


def _default_cipher(size: int | None, needed: int, left: int | None, *, first: bytes) -> "Cipher":
    """Return the pad if there is key for it, else AES-256-GCM, which is said.

    Args:
        size: Bytes of data; None if that is not known.
        needed: Key bytes that the pad needs.
        left: Key bytes that may be spent; None if that is not known.
        first: All of the data if they are no more than `MESSAGE_SIZE`, else their beginning.

    Raises:
        KeyUnavailable: The data are a text: what is said in words gets the pad or nothing, unless
            AES is asked for.
    """
    if size is not None and left is not None and needed <= left:
        return "one-time-pad"
    have = "an unknown number" if left is None else f"{left:,}"
    if len(first) <= MESSAGE_SIZE and _is_text(first):
        raise KeyUnavailable(
            f"A text must have {needed:,} key bytes for the one-time pad, but {have} are left to "
            "send; with `--cipher aes-256-gcm` it is encrypted by AES, which is computational."
        )
    why = "needs as many key bytes as data" if size is None else f"needs {needed:,} key bytes"
    click.echo(
        f"e91: the one-time pad {why}, and {have} may be spent: AES-256-GCM, whose secrecy is "
        "computational",
        err=True,
    )
    return "aes-256-gcm"


def _is_text(content: bytes) -> bool:
    try:
        return "\0" not in content.decode()
    except UnicodeDecodeError:
        return False


def _encrypt_stream(
    source: Input, target: Path, choice: KeyChoice, *, tier: Tier
) -> "tuple[StreamSummary, KeyBytesLeft]":
    """Encrypt data of any size, in chapters or under a pad in segments."""
    from e91.encryption.chapters import encrypt_chapters
    from e91.encryption.pad_segments import encrypt_segments

    with choice.source() as unentered:
        header = _header(source, unentered, tier, is_shared=choice.kme is not None)
        name = Path(source.name).name
        write = encrypt_segments if header.cipher == "one-time-pad" else encrypt_chapters
        with (
            choice.entered(unentered, cipher=header.cipher, name=name) as keys,
            _stream_output(target, mode=PUBLIC) as output,
        ):
            summary = write(source, output, keys, header=header)
        return summary, unentered.left()


def _header(source: Input, keys: "KeySource", tier: Tier, *, is_shared: bool) -> "StreamHeader":
    """Choose cipher and chapters, and prepare the keys for them.

    Raises:
        KeyUnavailable: The pad is asked for, or wanted for a text, and too little key is left.
    """
    from e91.encryption.pad_segments import PAD_SEGMENT_SIZE, pad_key_bytes
    from e91.encryption.stream_headers import StreamHeader
    from e91.encryption.tink_streams import SEGMENT_SIZE

    first = source.begin(MESSAGE_SIZE + 1)
    size = len(first) if len(first) <= MESSAGE_SIZE else source.size
    left = keys.left()
    needed = pad_key_bytes(size or len(first))
    cipher = tier.cipher
    if cipher is None and tier.asks_for_chapters:
        cipher = "aes-256-gcm"
    if cipher is None:
        # A server's stock is for all who ask: of that no file gets its own length unasked.
        may_spend = left.to_send if not is_shared or len(first) <= MESSAGE_SIZE else 0
        cipher = _default_cipher(size, needed, may_spend, first=first)
    if cipher == "one-time-pad":
        if size is not None and left.to_send is not None and needed > left.to_send:
            raise KeyUnavailable(
                f"{needed:,} key bytes must be left to send for the one-time pad, but "
                f"{left.to_send:,} are."
            )
        keys.expect(0 if size is None else needed)
        return StreamHeader.new(cipher, segment_size=PAD_SEGMENT_SIZE)
    per_key = tier.bytes_per_key(left, size)
    keys.expect(0 if size is None else 32 * -(-size // per_key))
    return StreamHeader.new(cipher, segment_size=SEGMENT_SIZE, bytes_per_key=per_key)


def _output(target: Path) -> AbstractContextManager[Callable[[bytes], None]]:
    return nullcontext(write_output) if target == STREAM else new_file(target, mode=PUBLIC)


@contextmanager
def _stream_output(target: Path, *, mode: int) -> "Iterator[ByteTarget]":
    if target == STREAM:
        yield OutputStream()
        return
    with growing_file(target, mode=mode) as growing:
        yield growing
