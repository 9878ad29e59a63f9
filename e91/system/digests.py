"""A digest in the file that it is of: damage on the disk is found when the file is read back."""

from cryptography.hazmat.primitives.hashes import SHA256, Hash

PLACE = "0" * 64
"""What stands in the digest's place while the digest is computed."""


def sealed(content: bytes) -> bytes:
    """Return ``content`` with its SHA-256 in place of the first `PLACE` in it.

    The digest is over all bytes of the file but its own: no bit of the file can change without it.
    It finds damage and proves no origin, as whoever changes the file can change the digest.

    Args:
        content: Has `PLACE` where the digest shall be, and none before.

    Examples:
        >>> is_whole(sealed(b"sum=" + PLACE.encode() + b" and=more"), stated="b0f1" + 60 * "0")
        False
    """
    return content.replace(PLACE.encode(), _digest(content).encode(), 1)


def is_whole(content: bytes, *, stated: str) -> bool:
    """Return whether a file is as it was written.

    Args:
        content: All of it.
        stated: The digest that stands in it, and not before its place.

    Examples:
        >>> text = sealed(b"sum=" + PLACE.encode() + b" and=more")
        >>> is_whole(text, stated=text[4:68].decode())
        True
    """
    blank = content.replace(stated.encode(), PLACE.encode(), 1)
    return _digest(blank) == stated


# Not by `hashlib`: who reads a key file has loaded `cryptography`, and two copies of OpenSSL take
# 3.4 MB more.
def _digest(content: bytes) -> str:
    found = Hash(SHA256())
    found.update(content)
    return found.finalize().hex()
