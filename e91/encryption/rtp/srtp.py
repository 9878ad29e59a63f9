"""SRTP with AEAD_AES_256_GCM: a context for each key, with the packet's index from outside.

Libraries for SRTP count wraps of the sequence number within a context, so that a key that begins
near a wrap loses packets.  Here the index is an argument, and one count runs over all keys.

Source:
    RFC 7714 (AES-GCM for SRTP), sections 8.1 and 9.1 (nonces), 8.2 and 9.2 (what is encrypted, what
    only authenticated), 11 (key derivation with a 12-byte salt, padded at its end); RFC 6188,
    section 3.1 (AES-256 counter mode as the pseudorandom function); RFC 3711, section 4.3 (labels).
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from e91.encryption.rtp.call_keys import CallKey
from e91.encryption.rtp.rtp_packets import header_size
from e91.model.errors import AuthenticationFailed

KEY_BYTES = 32
"""Delivered bytes that make one context."""

MASTER_KEY_SIZE = 32
MASTER_SALT_SIZE = 12
TAG_SIZE = 16
_NOT_AUTHENTIC = "The packet must be authentic under this key, but is not."
_CONTROL_TRAILER = 4  # of SRTCP: one bit that says encrypted, 31 bits of index
_LABELS = {"packets": 0, "packets' salt": 2, "control": 3, "control's salt": 5}


def derive(master_key: bytes, master_salt: bytes, *, label: int, size: int) -> bytes:
    """Return a session key or salt.

    Args:
        master_key: 32 bytes.
        master_salt: 12 bytes, or 14 for the ciphers of RFC 6188.
        label: Which one.
        size: How many bytes.
    """
    block = (int.from_bytes(master_salt.ljust(14, b"\0"), "big") ^ label << 48) << 16
    counter = modes.CTR(block.to_bytes(16, "big"))
    return Cipher(algorithms.AES(master_key), counter).encryptor().update(bytes(size))


def master_of(key: CallKey) -> bytes:
    """Return master key and master salt, 44 bytes, of a delivered key.

    HKDF-SHA256 (RFC 5869) without salt; the key ID is in its ``info``, so that a key under another
    ID makes another context.  256 delivered bits make all of it: the salt need not be secret.

    Args:
        key: A delivered key of 32 bytes.

    Returns:
        32 bytes of master key, then 12 of master salt.

    Raises:
        ValueError: The key has not 32 bytes.

    Source:
        RFC 5869 (HKDF); RFC 7714, section 11 (a master salt of 12 bytes).

    Examples:
        >>> one, other = (master_of(CallKey(name, bytes(32))) for name in ("key 1", "key 2"))
        >>> len(one), one == other
        (44, False)
    """
    if len(key.content) != KEY_BYTES:
        raise ValueError(f"`key` must have {KEY_BYTES} bytes, but has {len(key.content)}.")
    info = b"E91 SRTP AEAD_AES_256_GCM\0" + key.key_id.encode("ascii")
    size = MASTER_KEY_SIZE + MASTER_SALT_SIZE
    return HKDF(SHA256(), size, salt=None, info=info).derive(key.content)


class SrtpContext:
    """What one master key protects; it does not know which packets it has seen.

    Never make two for sending of one master key: two packets of one index would share a nonce.

    Args:
        master: Master key and master salt, 44 bytes.

    Raises:
        ValueError: ``master`` has not 44 bytes.

    Source:
        RFC 7714, sections 8.1, 8.2, 9 and 11; RFC 3711, section 4.3; see the top of this file.

    Examples:
        >>> from e91.encryption.rtp.rtp_packets import rtp_packet
        >>> packet = rtp_packet(b"sound", sequence=1, timestamp=0, ssrc=7)
        >>> alice, bob = SrtpContext(bytes(44)), SrtpContext(bytes(44))  # a real master is secret
        >>> sealed = alice.protect(packet, 1)
        >>> sealed[:12] == packet[:12], bob.unprotect(sealed, 1) == packet
        (True, True)
    """

    def __init__(self, master: bytes) -> None:
        if len(master) != MASTER_KEY_SIZE + MASTER_SALT_SIZE:
            raise ValueError(f"`master` must have 44 bytes, but has {len(master)}.")
        key, salt = master[:MASTER_KEY_SIZE], master[MASTER_KEY_SIZE:]
        material = [
            derive(key, salt, label=label, size=size)
            for label, size in zip(_LABELS.values(), (32, 12, 32, 12), strict=True)
        ]
        self._use(*material)

    @classmethod
    def of_session(cls, key: bytes, salt: bytes) -> SrtpContext:
        """Return the context of given session keys, as test vectors state them.

        Args:
            key: 32 bytes.
            salt: 12 bytes.
        """
        context = cls.__new__(cls)
        context._use(key, salt, key, salt)
        return context

    def _use(self, key: bytes, salt: bytes, control_key: bytes, control_salt: bytes) -> None:
        self._packets, self._salt = AESGCM(key), int.from_bytes(salt, "big")
        self._control, self._control_salt = AESGCM(control_key), int.from_bytes(control_salt, "big")
        self._controls = 0

    def __repr__(self) -> str:
        return "SrtpContext()"

    def has_room(self, size: int) -> bool:  # noqa: ARG002 - a pad needs the size
        """Return whether a packet of some size may still be protected: always.

        Args:
            size: Bytes of the payload; any.
        """
        return True

    def protect(self, packet: bytes, index: int) -> bytes:
        """Return an RTP packet encrypted, with its tag.

        Args:
            packet: The packet; its header stays in the clear and is authenticated.
            index: Of the packet, in the call; never the same twice.

        Raises:
            ValueError: It is no RTP packet.
        """
        head = header_size(packet)
        header = packet[:head]
        return header + self._packets.encrypt(self._nonce(packet, index), packet[head:], header)

    def unprotect(self, packet: bytes, index: int) -> bytes:
        """Return the RTP packet that was protected.

        Args:
            packet: What `protect` gave.
            index: Of the packet, in the call.

        Raises:
            ValueError: It is no RTP packet.
            AuthenticationFailed: The tag is wrong.
        """
        head = header_size(packet)
        header = packet[:head]
        nonce = self._nonce(packet, index)
        try:
            return header + self._packets.decrypt(nonce, packet[head:], header)
        except InvalidTag:
            raise AuthenticationFailed(_NOT_AUTHENTIC) from None

    def _nonce(self, packet: bytes, index: int) -> bytes:
        ssrc = int.from_bytes(packet[8:12], "big")
        return (self._salt ^ (ssrc << 48 | index)).to_bytes(12, "big")

    def protect_control(self, packet: bytes) -> bytes:
        """Return an RTCP packet with a tag, in the clear (RFC 7714, section 9.3).

        Args:
            packet: RTCP.
        """
        self._controls += 1
        trailer = self._controls.to_bytes(_CONTROL_TRAILER, "big")
        return packet + self._control_tag(packet, trailer) + trailer

    def unprotect_control(self, packet: bytes) -> bytes:
        """Return an RTCP packet that was authenticated in the clear.

        Args:
            packet: What `protect_control` gave.

        Raises:
            AuthenticationFailed: The tag is wrong, or it is encrypted.
        """
        body, trailer = packet[: -TAG_SIZE - _CONTROL_TRAILER], packet[-_CONTROL_TRAILER:]
        tag = packet[len(body) : -_CONTROL_TRAILER]
        if len(body) < 8 or trailer[0] & 0x80:
            raise AuthenticationFailed(_NOT_AUTHENTIC)
        nonce = self._control_nonce(body, trailer)
        try:
            self._control.decrypt(nonce, tag, body + trailer)
        except InvalidTag:
            raise AuthenticationFailed(_NOT_AUTHENTIC) from None
        return body

    def _control_tag(self, packet: bytes, trailer: bytes) -> bytes:
        return self._control.encrypt(self._control_nonce(packet, trailer), b"", packet + trailer)

    def _control_nonce(self, packet: bytes, trailer: bytes) -> bytes:
        ssrc, number = int.from_bytes(packet[4:8], "big"), int.from_bytes(trailer, "big")
        return (self._control_salt ^ (ssrc << 48 | number)).to_bytes(12, "big")


def srtp_context(key: CallKey) -> SrtpContext:
    """Return the context of a delivered key."""
    return SrtpContext(master_of(key))
