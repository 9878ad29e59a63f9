"""How much key text, sound and pictures need: under one-time pad as much as they have bits.

A medium is what its encoder makes, at a constant rate, and how many packets carry it.  Under
one-time pad every packet costs its payload and 256 bits for its tag; headers are not encrypted.
Under AES a call costs one key of 256 bits at every change, whatever it carries.

These are the numbers by which `e91.network` lets calls ask for key, and from which the table in
`docs/calls.md` is made; nothing here is measured.  Encoders overrun the rate that they are given:
of those that were tried, video by up to 5 % (`docs/calls.md`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from e91.encryption.rtp.one_time_pad import TAG_KEY_SIZE
from e91.encryption.rtp.srtp import KEY_BYTES
from e91.encryption.sound.sound_packets import LARGEST_PAYLOAD
from e91.model.numbers import check_positive

KEY_CHANGE_S = 10.0
"""Seconds for which a call under AES uses a key, where nobody says otherwise."""

BOTH_DIRECTIONS = 2
"""Of a call: either end sends."""


@dataclass(frozen=True)
class Medium:
    """What one end of a call sends.

    Attributes:
        name: What commands and files call it.
        title: What it is, in words.
        bits_per_second: Of the encoded medium.
        packets_per_second: That carry it, each with a tag of its own.
        note: Where the two numbers are from.
    """

    name: str
    title: str
    bits_per_second: float
    packets_per_second: float
    note: str

    @property
    def pad_bits_per_second(self) -> float:
        """Key bits a second that one direction spends under one-time pad.

        Examples:
            >>> medium_named("sound-64k").pad_bits_per_second
            76800.0
        """
        return self.bits_per_second + 8 * TAG_KEY_SIZE * self.packets_per_second

    @property
    def call_bits_per_second(self) -> float:
        """Key bits a second that both directions spend together."""
        return BOTH_DIRECTIONS * self.pad_bits_per_second


def aes_bits_per_second(every_s: float = KEY_CHANGE_S) -> float:
    """Return the key bits a second of one direction under AES, with a key for some seconds.

    Raises:
        ValueError: ``every_s`` is not positive.

    Examples:
        >>> aes_bits_per_second(), aes_bits_per_second(60)
        (25.6, 4.266666666666667)
    """
    check_positive(every_s=every_s)
    return 8 * KEY_BYTES / every_s


def _video(name: str, title: str, bits_per_second: float, *, frames_per_second: float) -> Medium:
    packets = math.ceil(bits_per_second / frames_per_second / 8 / LARGEST_PAYLOAD)
    note = f"{frames_per_second:g} frames a second, each in packets of {LARGEST_PAYLOAD:,} bytes"
    return Medium(name, title, bits_per_second, packets * frames_per_second, note)


MEDIA: Mapping[str, Medium] = MappingProxyType(
    {
        medium.name: medium
        for medium in (
            Medium("text", "typed text", 40.0, 0.1, "5 characters a second, a line every 10 s"),
            Medium("sound-8k", "speech at 8 kbit/s", 8000.0, 1 / 0.06, "Opus, packets of 60 ms"),
            Medium("sound-64k", "speech at 64 kbit/s", 64_000.0, 50.0, "G.711, packets of 20 ms"),
            _video("video-128k", "video at 128 kbit/s", 128e3, frames_per_second=15),
            _video("video-2m", "video at 2 Mbit/s", 2e6, frames_per_second=25),
        )
    }
)
"""The media by name."""


def medium_named(name: str, *, argument: str = "medium") -> Medium:
    """Return a medium.

    Args:
        name: Of the medium.
        argument: What a sentence calls it.

    Raises:
        ValueError: There is none of that name.
    """
    if name not in MEDIA:
        raise ValueError(f"`{argument}` must be one of {', '.join(MEDIA)}, but is {name!r}.")
    return MEDIA[name]
