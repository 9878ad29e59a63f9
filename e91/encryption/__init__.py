"""Using a key: once, for a one-time pad or for authenticated encryption.

`encrypt` and `decrypt` are for messages in memory; `encrypt_segments` (one-time pad) and
`encrypt_chapters` (AES-256-GCM, fresh keys on the way) for data of any size, in constant memory.

Key stores and key files, which were here in version 0.1, are in `e91.keys`; their names stay here.
"""

from e91.encryption import rtp, sound
from e91.encryption.chapters import decrypt_chapters, encrypt_chapters
from e91.encryption.cipher import (
    Cipher,
    KeyUse,
    decrypt,
    decrypt_file,
    encrypt,
    encrypt_file,
    key_bytes_needed,
    preferred_cipher,
)
from e91.encryption.key_sources import KeyReference, KeySource, NamedKey, key_file_source
from e91.encryption.pad_segments import decrypt_segments, encrypt_segments
from e91.encryption.stream_headers import StreamHeader, StreamSummary
from e91.encryption.tink_streams import decrypt_stream, encrypt_stream
from e91.keys.files import open_key_file, save_new
from e91.keys.store import KeyStore

__all__ = [
    "Cipher",
    "KeyReference",
    "KeySource",
    "KeyStore",
    "KeyUse",
    "NamedKey",
    "StreamHeader",
    "StreamSummary",
    "decrypt",
    "decrypt_chapters",
    "decrypt_file",
    "decrypt_segments",
    "decrypt_stream",
    "encrypt",
    "encrypt_chapters",
    "encrypt_file",
    "encrypt_segments",
    "encrypt_stream",
    "key_bytes_needed",
    "key_file_source",
    "open_key_file",
    "preferred_cipher",
    "rtp",
    "save_new",
    "sound",
]
