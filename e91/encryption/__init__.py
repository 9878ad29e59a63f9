"""Using a key: once, for a one-time pad or for authenticated encryption.

Key stores and key files, which were here in version 0.1, are in `e91.keys`; their names stay here.
"""

from e91.encryption import rtp, sound
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
from e91.keys.files import open_key_file, save_new
from e91.keys.store import KeyStore

__all__ = [
    "Cipher",
    "KeyStore",
    "KeyUse",
    "decrypt",
    "decrypt_file",
    "encrypt",
    "encrypt_file",
    "key_bytes_needed",
    "open_key_file",
    "preferred_cipher",
    "rtp",
    "save_new",
    "sound",
]
