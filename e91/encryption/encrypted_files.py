"""Encrypt and decrypt whole files with a key file, so that no failure makes a key byte serve twice.

The order of steps is the point.  Encrypting: the key file says that the bytes are used, safely on
the disk, and only then the ciphertext is written.  Decrypting: the tag is right, the plaintext is
on the disk under a temporary name, the key file says that the bytes are used, and only then the
plaintext gets its name.  A crash may lose key bytes (and with them, when decrypting, a message
that has to be sent again); it never lets them be used again.

Both files are held in memory whole.
"""

from dataclasses import dataclass
from pathlib import Path

from e91.encryption.cipher import Cipher, decrypt, encrypt, preferred_cipher, read_header
from e91.keys.files import open_key_file
from e91.system import durable


@dataclass(frozen=True)
class KeyUse:
    """What was done to a file, and what it cost.

    Attributes:
        cipher: How the data are encrypted.
        size: Bytes of data, without header and tag.
        key_bytes_used: Key bytes that this message used up.
        key_bytes_left: Key bytes left for messages of the same sender.
    """

    cipher: Cipher
    size: int
    key_bytes_used: int
    key_bytes_left: int


def encrypt_file(
    source: Path | str, target: Path | str, key_file: Path | str, *, cipher: Cipher | None = None
) -> KeyUse:
    """Write the encrypted content of ``source`` to the new file ``target``.

    Args:
        source: The data: a regular file, not empty.
        target: Where the ciphertext goes; it must not exist.
        key_file: The sender's key file.
        cipher: By default the one-time pad if enough key is left for it, else AES-256-GCM.

    Raises:
        ValueError: ``source`` cannot be read or is empty, ``target`` exists or cannot be made,
            ``key_file`` is none, or there is no such ``cipher``.
        KeyUnavailable: Too little key is left; none is used.
        OSError: The disk is full or fails; the key bytes may be lost, and no file is left.
    """
    data = durable.read_file(Path(source))
    with durable.new_file(Path(target), mode=durable.PUBLIC) as write:
        with open_key_file(key_file) as opened:
            before = opened.store.left
            chosen = cipher or preferred_cipher(len(data), opened.store)
            ciphertext = encrypt(data, opened.store, cipher=chosen)
            left = opened.store.left
        # The key file is written by now; before this line no byte of ciphertext leaves memory.
        write(ciphertext)
    return KeyUse(chosen, len(data), before - left, left)


def decrypt_file(source: Path | str, target: Path | str, key_file: Path | str) -> KeyUse:
    """Write the decrypted content of ``source`` to the new file ``target``, mode 0600.

    Args:
        source: A file that the peer's `encrypt_file` wrote.
        target: Where the data go; it must not exist.
        key_file: The receiver's key file.

    Raises:
        ValueError: ``source`` cannot be read or is empty, ``target`` exists or cannot be made, or
            ``key_file`` is none.
        AuthenticationFailed: ``source`` was altered, is incomplete, was made with another key
            or is no ciphertext; no key is used and no file is left.
        KeyUnavailable: ``source`` was decrypted before, or is the receiver's own.
        OSError: The disk is full or fails; no file is left.
    """
    ciphertext = durable.read_file(Path(source))
    # The blocks end from the inside: plaintext written, key file written, plaintext named.
    with (
        durable.new_file(Path(target), mode=durable.PRIVATE) as write,
        open_key_file(key_file) as opened,
    ):
        before = opened.store.peer_left
        data = decrypt(ciphertext, opened.store)
        left = opened.store.peer_left
        write(data)
    return KeyUse(read_header(ciphertext).cipher, len(data), before - left, left)
