"""The folder that a session leaves: both key files, the report, a ciphertext; all or nothing."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from e91.encryption.cipher import KeyUse, encrypt_file, key_bytes_needed
from e91.keys.files import save_new
from e91.keys.store import MASK_SIZE, KeyStore
from e91.model.messages import Party
from e91.session.report import SessionReport
from e91.system import durable
from e91.system.durable import WriteFailed


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Give a hidden folder beside ``target`` that takes its name when the block ends well.

    After any exception, Ctrl-C included, the hidden folder is removed and ``target`` is as it was.
    When the block has ended the folder stays after the power fails.

    Raises:
        ValueError: ``target`` exists and is not an empty folder, or cannot be made.
        WriteFailed: Something in it cannot be written to its end.
    """
    check_free(target)
    durable.sweep(target.parent)
    with ExitStack() as stack:
        try:
            hidden = stack.enter_context(durable.hidden_folder(target.parent))
        except OSError as error:
            raise ValueError(
                f"`{target}` must be a folder that can be made, but: {error.strerror}."
            ) from None
        with _named_after(target, hidden):
            yield hidden
        with durable.writing(target):
            hidden.chmod(0o755)
            durable.flush_folder(hidden)
            hidden.rename(target)
        with durable.keeping(target):
            durable.flush_folder(target.parent)


@contextmanager
def _named_after(target: Path, hidden: Path) -> Iterator[None]:
    """Name a file that cannot be written by where it was to be, not by where it is for now."""
    try:
        yield
    except WriteFailed as error:
        name = str(error.filename).replace(str(hidden), str(target))
        raise WriteFailed(error.errno, error.strerror, name) from error


def check_free(target: Path) -> None:
    """Check that ``target`` does not exist, or is an empty folder.

    Raises:
        ValueError: It is a file, a link, or a folder that holds something, or cannot be looked at.
    """
    # A folder cannot take the name of a link, not even of one that leads nowhere.
    try:
        if target.is_symlink():
            raise ValueError(f"`{target}` must be a new or an empty folder, but it is a link.")
        taken = target.exists() and (not target.is_dir() or any(target.iterdir()))
    except OSError as error:
        raise ValueError(f"`{target}` must be an empty folder, but: {error.strerror}.") from None
    if taken:
        found = "holds files" if target.is_dir() else "is a file"
        raise ValueError(f"`{target}` must be a new or an empty folder, but it {found}.")


def save_session(
    report: SessionReport, folder: Path, *, plain: Path | None = None
) -> KeyUse | None:
    """Write ``alice.key``, ``bob.key`` (mode 0600) and ``report.json``; encrypt ``plain``.

    Args:
        report: A session that released a key.
        folder: An empty folder.
        plain: A file that Alice encrypts for Bob, with the one-time pad if the key suffices.

    Returns:
        What the encryption used, or None.

    Raises:
        ProtocolAborted: The session has no key.
        KeyUnavailable: The key is too short for the file.
        ValueError: ``plain`` cannot be read or is empty.
    """
    keys = report.keys
    share = None if plain is None else _alice_share(len(keys.alice) // 8, durable.size_of(plain))
    for party, key in ((Party.ALICE, keys.alice), (Party.BOB, keys.bob)):
        save_new(KeyStore(key, party, alice_share=share), folder / f"{party.value}.key")
    with durable.new_file(folder / "report.json", mode=durable.PUBLIC) as write:
        write(json.dumps(report.to_dict(), indent=2).encode() + b"\n")
    if plain is None:
        return None
    return encrypt_file(plain, folder / f"{plain.name}.e91", folder / "alice.key")


def _alice_share(key_bytes: int, size: int) -> int:
    """Return half the key for Alice's messages, or more if her first one needs it."""
    pad = MASK_SIZE + key_bytes_needed(size, "one-time-pad")
    gcm = MASK_SIZE + key_bytes_needed(size, "aes-256-gcm")
    half = key_bytes // 2
    return max(half, next((need for need in (pad, gcm) if need <= key_bytes), half))
