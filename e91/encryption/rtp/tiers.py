"""How packets may be protected: by AES under a short key, or by a pad as long as they are."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from e91.encryption.rtp import one_time_pad, srtp
from e91.encryption.rtp.call_keys import CallKey
from e91.model.numbers import check_whole


class Protection(Protocol):
    """What one key protects.

    Examples:
        >>> protection: Protection = pad_tier(4096).open(CallKey("key 1", bytes(4096)))
        >>> protection.has_room(1200), protection.has_room(4096)
        (True, False)
    """

    def has_room(self, size: int) -> bool:
        """Return whether a payload of some bytes may still be protected.

        Args:
            size: Bytes of the payload.
        """
        ...

    def protect(self, packet: bytes, index: int) -> bytes:
        """Return an RTP packet protected.

        Args:
            packet: An RTP packet.
            index: Its index in the call, from 0; never one twice.
        """
        ...

    def unprotect(self, packet: bytes, index: int) -> bytes:
        """Return the RTP packet that was protected, or raise AuthenticationFailed.

        Args:
            packet: What came.
            index: Its index in the call.
        """
        ...

    def protect_control(self, packet: bytes) -> bytes:
        """Return an RTCP packet authenticated in the clear.

        Args:
            packet: An RTCP packet.
        """
        ...

    def unprotect_control(self, packet: bytes) -> bytes:
        """Return the RTCP packet that was authenticated, or raise AuthenticationFailed.

        Args:
            packet: What came.
        """
        ...


@dataclass(frozen=True)
class CallTier:
    """A way to protect packets.

    Attributes:
        name: ``"aes-256-gcm"`` or ``"one-time-pad"``.
        key_bytes: Of every key.
        open: What makes a key protect packets.
        secrecy: What it promises, in words.

    Examples:
        >>> SRTP.name, SRTP.key_bytes, SRTP.open(CallKey("key 1", bytes(32)))
        ('aes-256-gcm', 32, SrtpContext())
    """

    name: str
    key_bytes: int
    open: Callable[[CallKey], Protection]
    secrecy: str


SRTP = CallTier(
    "aes-256-gcm",
    srtp.KEY_BYTES,
    srtp.srtp_context,
    "computational: as hard to break as AES-256, whatever the key's own model",
)
"""SRTP with AEAD_AES_256_GCM."""


def pad_tier(key_bytes: int = 4096) -> CallTier:
    """Return the one-time pad with pads of some bytes.

    Args:
        key_bytes: Of every pad; one has room for packets from 193 bytes on.

    Returns:
        The tier; see `PadContext` for what a packet uses of a pad.

    Raises:
        ValueError: It is not a whole number from 1.

    Examples:
        >>> pad_tier(8192).open(CallKey("key 1", bytes(8192)))
        PadContext(8,160 of 8,160 bytes left)
    """
    check_whole(least=1, key_bytes=key_bytes)
    return CallTier(
        "one-time-pad",
        key_bytes,
        one_time_pad.pad_context,
        "information-theoretic, under the key's own model",
    )


@dataclass(frozen=True)
class KeyChanges:
    """When a sender changes its key.

    Attributes:
        every_s: Seconds for which a key is used; infinite for as long as it has room.
        lead_s: Seconds before its use at which the next key is fetched and announced.
        retry_s: Seconds after which a key that could not be had is asked for again.

    Raises:
        ValueError: A time is not positive.

    Examples:
        >>> KeyChanges(every_s=60.0, lead_s=5.0).retry_s
        0.5
        >>> KeyChanges(every_s=0.0)
        Traceback (most recent call last):
        ValueError: `every_s` must be positive, but is 0.
    """

    every_s: float = math.inf
    lead_s: float = math.inf
    retry_s: float = 0.5

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f"`{name}` must be positive, but is {value:g}.")
