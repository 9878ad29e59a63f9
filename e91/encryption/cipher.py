"""Encrypt bytes with fresh key of a `KeyStore`, and decrypt them with the peer's.

A ciphertext is one header, the encrypted data, and one tag; numbers are big-endian::

    byte        field
     0 -  4     magic, 89 45 39 31 0A ("E91", framed so that no text is mistaken for it)
     5          version of this format, 1
     6          cipher: 1 one-time pad, 2 AES-256-GCM
     7          sender: 1 Alice, 2 Bob; 3 and 4 the same, if a seed makes the key again
     8 - 23     key id, the 16 bytes of the UUID
    24 - 31     offset in the key of the first byte that this message uses
    32 - n+31   encrypted data, n >= 1 bytes, as long as the data
    n+32 - n+47 tag, 16 bytes, over all that stands before it

The key bytes of a message are contiguous.  The first 32, XOR the sender's mask, are its *message
key*; see `e91.keys.store` for why there is a mask.

*One-time pad*, n + 32 key bytes.  The other n are XORed with the data.  The tag is Poly1305 (RFC
8439, section 2.5) under the message key.  Both hold against unlimited computing power: the pad is
perfectly secret, and one attempt at forgery succeeds with probability at most 8 q / 2**106, where
q = ceil((n + 32) / 16).  (Two messages of equal tag differ by a polynomial of degree at most q in
the 106-bit secret r, which must take one of the at most 8 values below 2**130 in size that agree
modulo 2**128: Bernstein, FSE 2005, LNCS 3557, 32.)  Failed attempts spend nothing, so N of them
succeed with at most N times that.

*AES-256-GCM*, 32 key bytes.  The message key is the AES key, the header is associated data, and the
nonce is 12 zero bytes: a nonce must not repeat under one key, and this key is used for this one
message.  Secrecy and tag are computational (NIST SP 800-38D).

Lengths, sender and time of a message are public, as with every cipher that does not pad.

Whole files are encrypted and decrypted with a key file so that no failure makes a key byte serve
twice; both files are held in memory whole.  The order of steps is the point.  Encrypting: the key
file says that the bytes are used, safely on the disk, and only then the ciphertext is written.
Decrypting: the tag is right, the plaintext is on the disk under a temporary name, the key file says
that the bytes are used, and only then the plaintext gets its name.  A crash may lose key bytes (and
with them, when decrypting, a message that has to be sent again); it never lets them be used again.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args
from uuid import UUID

import numpy as np
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.poly1305 import Poly1305

from e91.keys.files import open_key_file, saying_what_was_spent
from e91.keys.store import MASK_SIZE, KeyStore
from e91.model.errors import AuthenticationFailed, KeyUnavailable
from e91.model.messages import Party
from e91.system import durable

Cipher = Literal["one-time-pad", "aes-256-gcm"]
"""The ciphers by name."""

MESSAGE_KEY_SIZE = MASK_SIZE
TAG_SIZE = 16
LARGEST_AES_GCM = 2**31 - 1
"""Bytes that AES-GCM of `cryptography` takes at once; beyond it may end the process."""

_MAGIC = b"\x89E91\n"
_VERSION = 1
_LAYOUT = struct.Struct(">5sBBB16sQ")
_CIPHERS: dict[int, Cipher] = {1: "one-time-pad", 2: "aes-256-gcm"}
# Sender, and whether the key can be made again by whoever knows a seed.
_SENDERS = {
    1: (Party.ALICE, False),
    2: (Party.BOB, False),
    3: (Party.ALICE, True),
    4: (Party.BOB, True),
}
_NONCE = bytes(12)
_NOT_AUTHENTIC = "The ciphertext must be authentic under this key, but is not."


@dataclass(frozen=True)
class Header:
    """The public part of a ciphertext.  Whoever altered it is found out only by `decrypt`.

    Attributes:
        cipher: How the data are encrypted.
        sender: Who encrypted them.
        key_id: The key's identifier; a UUID in hexadecimal with hyphens.
        offset: Offset in the key of the first byte used.
        reproducible: Whether whoever knows a seed can make the key again, so that the message is
            no secret.
    """

    cipher: Cipher
    sender: Party
    key_id: str
    offset: int
    reproducible: bool = False

    def encode(self) -> bytes:
        """Return the 32 bytes that open the ciphertext."""
        cipher = next(code for code, name in _CIPHERS.items() if name == self.cipher)
        known = (self.sender, self.reproducible)
        sender = next(code for code, meaning in _SENDERS.items() if meaning == known)
        key_id = UUID(self.key_id).bytes
        return _LAYOUT.pack(_MAGIC, _VERSION, cipher, sender, key_id, self.offset)


HEADER_SIZE = _LAYOUT.size


def read_header(ciphertext: bytes) -> Header:
    """Return the header of a ciphertext, not yet authenticated.

    Raises:
        AuthenticationFailed: It is no ciphertext of this format, or an incomplete one.
    """
    if len(ciphertext) <= HEADER_SIZE + TAG_SIZE:
        raise AuthenticationFailed(_NOT_AUTHENTIC)
    magic, version, cipher, sender, key_id, offset = _LAYOUT.unpack_from(ciphertext)
    known = magic == _MAGIC and version == _VERSION and cipher in _CIPHERS and sender in _SENDERS
    if not known:
        raise AuthenticationFailed(_NOT_AUTHENTIC)
    party, reproducible = _SENDERS[sender]
    return Header(_CIPHERS[cipher], party, str(UUID(bytes=key_id)), offset, reproducible)


def key_bytes_needed(size: int, cipher: Cipher) -> int:
    """Return how many key bytes a message of ``size`` bytes uses up.

    Args:
        size: Bytes of data, at least 1.
        cipher: The one-time pad needs as much key as data and 32 bytes, AES-256-GCM 32 bytes.

    Returns:
        Bytes of key, those of the message key included.

    Raises:
        ValueError: ``cipher`` has no such name, or ``size`` is below 1 or more than AES-GCM
            takes at once.

    Examples:
        >>> key_bytes_needed(1000, "one-time-pad"), key_bytes_needed(1000, "aes-256-gcm")
        (1032, 32)
    """
    if cipher not in get_args(Cipher):
        raise ValueError(f"`cipher` must be {' or '.join(get_args(Cipher))}, but is {cipher!r}.")
    if size < 1:
        raise ValueError("`data` must hold at least one byte, but is empty.")
    if cipher == "one-time-pad":
        return size + MESSAGE_KEY_SIZE
    if size > LARGEST_AES_GCM:
        raise ValueError(
            f"`data` must hold at most {LARGEST_AES_GCM} bytes for AES-256-GCM, but holds {size}."
        )
    return MESSAGE_KEY_SIZE


def preferred_cipher(size: int, store: KeyStore) -> Cipher:
    """Return the one-time pad if the owner has key left for ``size`` bytes, else AES-256-GCM.

    AES-256-GCM may still find too little key left; `encrypt` says so.

    Args:
        size: Bytes of data.
        store: The sender's stock; nothing is taken from it.

    Returns:
        ``"one-time-pad"`` or ``"aes-256-gcm"``.

    Examples:
        >>> from e91.model import SecretKey, SecurityModel
        >>> bits, name = np.ones(1600, np.uint8), "12345678-1234-4234-8234-123456789abc"
        >>> key = SecretKey(bits, name, SecurityModel.TRUSTED_ANALYSERS, 1e-10, True)
        >>> store = KeyStore(key, Party.ALICE)  # 68 bytes left to send
        >>> preferred_cipher(36, store), preferred_cipher(37, store)
        ('one-time-pad', 'aes-256-gcm')
    """
    enough = size + MESSAGE_KEY_SIZE <= store.left
    return "one-time-pad" if enough else "aes-256-gcm"


def encrypt(data: bytes, store: KeyStore, *, cipher: Cipher = "one-time-pad") -> bytes:
    """Encrypt and authenticate ``data`` for the peer with fresh key of ``store``.

    The key is erased in ``store`` before anything is encrypted with it.  If the store comes from
    a file, that file must say so before the ciphertext is shown to anybody.

    Args:
        data: What to protect, at least one byte.
        store: The sender's stock; it has fewer bytes left afterwards, see `key_bytes_needed`.
        cipher: The one-time pad needs as much key as data, AES-256-GCM 32 bytes.

    Returns:
        The ciphertext, 48 bytes longer than ``data``, in the format at the top of this file.

    Raises:
        TypeError: ``data`` is not bytes.
        ValueError: See `key_bytes_needed`.
        KeyUnavailable: Too little key is left.  None of it was taken.

    Source:
        RFC 8439, section 2.5 (Poly1305); NIST SP 800-38D (AES-GCM); bounds at the top of this file.

    Examples:
        >>> from e91.model import SecretKey, SecurityModel
        >>> bits = np.unpackbits(np.arange(200, dtype=np.uint8))
        >>> name = str(UUID(int=7))
        >>> key = SecretKey(bits, name, SecurityModel.TRUSTED_ANALYSERS, 1e-10, True)
        >>> alice, bob = KeyStore(key, Party.ALICE), KeyStore(key, Party.BOB)
        >>> ciphertext = encrypt(b"the photons agree", alice)
        >>> len(ciphertext), alice
        (65, KeyStore(alice, 19 of 68 bytes left to send, 68 of 68 to receive))
        >>> decrypt(ciphertext, bob)
        b'the photons agree'
    """
    _check_bytes("data", data)
    offset, fresh = store.take(key_bytes_needed(len(data), cipher))
    label = store.label
    header = Header(cipher, label.owner, label.key_id, offset, label.reproducible).encode()
    message_key = _message_key(fresh, store.mask(store.label.owner))
    if cipher == "one-time-pad":
        body = _xor(data, fresh[MESSAGE_KEY_SIZE:])
        return header + body + _poly1305(message_key, header, body).finalize()
    return header + AESGCM(message_key).encrypt(_NONCE, data, header)


def decrypt(ciphertext: bytes, store: KeyStore) -> bytes:
    """Return the data of a ciphertext of the peer, and use up the key bytes that it names.

    They are used up if and only if the tag is right, and before the data are returned.

    Args:
        ciphertext: What the peer's `encrypt` gave.
        store: The receiver's stock of the same key.

    Returns:
        The data, 48 bytes shorter than the ciphertext.

    Raises:
        TypeError: ``ciphertext`` is not bytes.
        AuthenticationFailed: It was altered, is incomplete, was made with another key or is no
            ciphertext; always with the same sentence.
        KeyUnavailable: The key bytes that it names were used already: it was decrypted before, is
            the store owner's own, or was altered to name such bytes.  They are erased, so
            nobody can tell which.

    Examples:
        >>> from e91.model import SecretKey, SecurityModel
        >>> bits, name = np.ones(1600, np.uint8), "12345678-1234-4234-8234-123456789abc"
        >>> key = SecretKey(bits, name, SecurityModel.TRUSTED_ANALYSERS, 1e-10, True)
        >>> alice, bob = KeyStore(key, Party.ALICE), KeyStore(key, Party.BOB)
        >>> ciphertext = encrypt(b"hello", alice, cipher="aes-256-gcm")
        >>> decrypt(ciphertext, bob)
        b'hello'
        >>> decrypt(ciphertext, bob)
        Traceback (most recent call last):
        ...
        e91.model.errors.KeyUnavailable: The key bytes that a ciphertext names must be fresh, ...
    """
    _check_bytes("ciphertext", ciphertext)
    header = read_header(ciphertext)
    size = _claimed_size(header, len(ciphertext) - HEADER_SIZE - TAG_SIZE, store)
    fresh = store.peek(header.offset, size)
    message_key = _message_key(fresh, store.mask(header.sender))
    data = _OPEN[header.cipher](ciphertext, message_key, fresh[MESSAGE_KEY_SIZE:])
    store.claim(header.offset, size)
    return data


def _claimed_size(header: Header, data_size: int, store: KeyStore) -> int:
    """Return how many key bytes the header names, if they are the peer's and fresh."""
    if header.cipher == "aes-256-gcm" and data_size > LARGEST_AES_GCM:
        raise AuthenticationFailed(_NOT_AUTHENTIC)
    size = key_bytes_needed(data_size, header.cipher)
    allowed = store.label.message_bytes(header.sender)
    inside = allowed.start <= header.offset <= header.offset + size <= allowed.stop
    if not inside or UUID(header.key_id) != UUID(store.label.key_id):
        raise AuthenticationFailed(_NOT_AUTHENTIC)
    if store.was_used(header.offset, size):
        raise KeyUnavailable(
            "The key bytes that a ciphertext names must be fresh, but were used already."
        )
    if header.sender is store.label.owner:
        raise AuthenticationFailed(_NOT_AUTHENTIC)
    return size


def _open_one_time_pad(ciphertext: bytes, message_key: bytes, pad: bytes) -> bytes:
    header, body = ciphertext[:HEADER_SIZE], ciphertext[HEADER_SIZE:-TAG_SIZE]
    try:
        _poly1305(message_key, header, body).verify(ciphertext[-TAG_SIZE:])
    except InvalidSignature:
        raise AuthenticationFailed(_NOT_AUTHENTIC) from None
    return _xor(body, pad)


def _open_aes_gcm(ciphertext: bytes, message_key: bytes, _pad: bytes) -> bytes:
    header, sealed = ciphertext[:HEADER_SIZE], ciphertext[HEADER_SIZE:]
    try:
        return AESGCM(message_key).decrypt(_NONCE, sealed, header)
    except InvalidTag:
        raise AuthenticationFailed(_NOT_AUTHENTIC) from None


_OPEN: dict[Cipher, Callable[[bytes, bytes, bytes], bytes]] = {
    "one-time-pad": _open_one_time_pad,
    "aes-256-gcm": _open_aes_gcm,
}


def _message_key(fresh: bytes, mask: bytes) -> bytes:
    return _xor(fresh[:MESSAGE_KEY_SIZE], mask)


def _poly1305(key: bytes, header: bytes, body: bytes) -> Poly1305:
    # The header has a fixed length, so header and body together have one reading only.
    tag = Poly1305(key)
    tag.update(header)
    tag.update(body)
    return tag


def _xor(left: bytes, right: bytes) -> bytes:
    return (np.frombuffer(left, np.uint8) ^ np.frombuffer(right, np.uint8)).tobytes()


def _check_bytes(name: str, value: bytes) -> None:
    if not isinstance(value, bytes):
        raise TypeError(f"`{name}` must be bytes, but is {type(value).__name__}.")


@dataclass(frozen=True)
class KeyUse:
    """What was done to a file, and what it cost.

    Attributes:
        cipher: How the data are encrypted.
        size: Bytes of data, without header and tag.
        key_bytes_used: Key bytes that this message used up.
        key_bytes_left: Key bytes left for messages of the same sender.

    Examples:
        >>> use = KeyUse("one-time-pad", size=1000, key_bytes_used=1032, key_bytes_left=4096)
        >>> use.key_bytes_used - use.size  # the message key
        32
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

    Returns:
        What it cost.

    Raises:
        ValueError: ``source`` cannot be read or is empty, ``target`` exists or cannot be made,
            ``key_file`` is none, or there is no such ``cipher``.
        KeyUnavailable: Too little key is left; none is used.
        OSError: The disk is full or fails; the key bytes may be lost, and no file is left.

    Examples:
        >>> import tempfile
        >>> from e91.keys import save_new
        >>> from e91.model import SecretKey, SecurityModel
        >>> bits, name = np.ones(1600, np.uint8), "12345678-1234-4234-8234-123456789abc"
        >>> key = SecretKey(bits, name, SecurityModel.TRUSTED_ANALYSERS, 1e-10, True)
        >>> with tempfile.TemporaryDirectory() as name:
        ...     folder = Path(name)
        ...     for party in Party:
        ...         save_new(KeyStore(key, party), folder / f"{party.value}.key")
        ...     _ = (folder / "note").write_bytes(b"hello")
        ...     encrypt_file(folder / "note", folder / "note.e91", folder / "alice.key")
        KeyUse(cipher='one-time-pad', size=5, key_bytes_used=37, key_bytes_left=31)
    """
    data = durable.read_file(Path(source))
    with (
        saying_what_was_spent(key_file) as note,
        durable.new_file(Path(target), mode=durable.PUBLIC) as write,
    ):
        ciphertext, use = encrypt_with(data, key_file, cipher=cipher)
        note(use.key_bytes_used)
        write(ciphertext)
    return use


def encrypt_with(
    data: bytes, key_file: Path | str, *, cipher: Cipher | None = None
) -> tuple[bytes, KeyUse]:
    """Return the ciphertext of ``data``; by then the key file says that its bytes are used.

    Raises:
        ValueError: ``data`` is empty, ``key_file`` is none, or there is no such ``cipher``.
        KeyUnavailable: Too little key is left; none is used.
        WriteFailed: The disk is full or fails.
    """
    with open_key_file(key_file) as opened:
        before = opened.store.left
        chosen = cipher or preferred_cipher(len(data), opened.store)
        ciphertext = encrypt(data, opened.store, cipher=chosen)
        left = opened.store.left
    # The key file is written by now; before this line no byte of ciphertext leaves memory.
    return ciphertext, KeyUse(chosen, len(data), before - left, left)


def decrypt_file(source: Path | str, target: Path | str, key_file: Path | str) -> KeyUse:
    """Write the decrypted content of ``source`` to the new file ``target``, mode 0600.

    Args:
        source: A file that the peer's `encrypt_file` wrote.
        target: Where the data go; it must not exist.
        key_file: The receiver's key file.

    Returns:
        What it cost.

    Raises:
        ValueError: ``source`` cannot be read or is empty, ``target`` exists or cannot be made, or
            ``key_file`` is none.
        AuthenticationFailed: ``source`` was altered, is incomplete, was made with another key
            or is no ciphertext; no key is used and no file is left.
        KeyUnavailable: ``source`` was decrypted before, or is the receiver's own.
        OSError: The disk is full or fails; no file is left.

    Examples:
        >>> import tempfile
        >>> from e91.keys import save_new
        >>> from e91.model import SecretKey, SecurityModel
        >>> bits, name = np.ones(1600, np.uint8), "12345678-1234-4234-8234-123456789abc"
        >>> key = SecretKey(bits, name, SecurityModel.TRUSTED_ANALYSERS, 1e-10, True)
        >>> with tempfile.TemporaryDirectory() as name:
        ...     folder = Path(name)
        ...     for party in Party:
        ...         save_new(KeyStore(key, party), folder / f"{party.value}.key")
        ...     _ = (folder / "note").write_bytes(b"hello")
        ...     sent = encrypt_file(folder / "note", folder / "note.e91", folder / "alice.key")
        ...     use = decrypt_file(folder / "note.e91", folder / "read", folder / "bob.key")
        ...     use == sent, (folder / "read").read_bytes()
        (True, b'hello')
    """
    return decrypt_to_file(durable.read_file(Path(source)), target, key_file)


def decrypt_to_file(ciphertext: bytes, target: Path | str, key_file: Path | str) -> KeyUse:
    """Write the decrypted data to the new file ``target``; as `decrypt_file`."""
    # The blocks end from the inside: plaintext written, key file written, plaintext named.
    with (
        saying_what_was_spent(key_file) as note,
        durable.new_file(Path(target), mode=durable.PRIVATE) as write,
    ):
        _, use = decrypt_with(ciphertext, key_file, write)
        note(use.key_bytes_used)
    return use


def decrypt_with(
    ciphertext: bytes,
    key_file: Path | str,
    keep: Callable[[bytes], None] = lambda _: None,
) -> tuple[bytes, KeyUse]:
    """Return the data of a ciphertext; by then the key file says that its bytes are used.

    A crash before the data are kept loses them, unless ``keep`` has kept them: the message has to
    be sent again.

    Args:
        ciphertext: What the peer's `encrypt_file` wrote.
        key_file: The receiver's key file.
        keep: Is called with the data before the key file is written.

    Raises:
        ValueError, AuthenticationFailed, KeyUnavailable: As for `decrypt_file`.
        WriteFailed: The disk is full or fails.
    """
    with open_key_file(key_file) as opened:
        before = opened.store.peer_left
        data = decrypt(ciphertext, opened.store)
        left = opened.store.peer_left
        keep(data)
    return data, KeyUse(read_header(ciphertext).cipher, len(data), before - left, left)
