"""The folder that a session leaves: both key files, the report, a ciphertext; all or nothing."""

import json
from pathlib import Path

from e91.encryption.cipher import KeyUse, encrypt_file, key_bytes_needed
from e91.keys.files import save_new
from e91.keys.store import MASK_SIZE, KeyStore
from e91.model.messages import Party
from e91.session.report import SessionReport
from e91.system import durable


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
