"""Two ends of a call with the same keys, and sounds of random samples."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import shake_256

import numpy as np

from e91.encryption.rtp import (
    SRTP,
    CallKey,
    ClaimsInMemory,
    KeyChanges,
    KeysInMemory,
    PacketReceiver,
    PacketSender,
    UnreliablePath,
)
from e91.encryption.sound import (
    Sound,
    SoundReceiver,
    StreamNumbers,
    media_of,
    send_sound,
)

PERFECT = UnreliablePath()
ROUGH = UnreliablePath(loss=0.2, doubled=0.1, reorder=20)
BEGIN = StreamNumbers(ssrc=81, sequence=1, timestamp=1000)


def some_keys(count, *, size=32, name="key"):
    """Return keys, the same ones for the same name."""
    names = [f"{name}-{number}" for number in range(count)]
    return [CallKey(each, shake_256(each.encode()).digest(size)) for each in names]


def noise(seconds, *, rate=8000, channels=1, bits=16, seed=0):
    """Return a sound of random samples."""
    size = round(seconds * rate) * channels * bits // 8
    return Sound(rate, channels, bits, np.random.default_rng(seed).bytes(size))


@dataclass
class Ends:
    """A sender and a receiver that have the same keys."""

    sender: PacketSender
    receiver: PacketReceiver


def ends(*, tier=SRTP, keys=200, media="", changes=None):
    """Return two ends of a call."""
    shared = some_keys(keys, size=tier.key_bytes)
    sender = PacketSender(
        KeysInMemory(shared), ClaimsInMemory(), tier=tier, changes=changes, media=media
    )
    return Ends(sender, PacketReceiver(KeysInMemory(shared), tier=tier))


@dataclass
class Called:
    """What came of a call."""

    sender: PacketSender
    ear: SoundReceiver
    sent: list[bytes]
    arrived: list[bytes]

    @property
    def recovered(self):
        """The sound that came."""
        return self.ear.recovered()


def call(sound, *, path=PERFECT, begin=BEGIN, seed=1, **options):
    """Let a sound go through a path."""
    both = ends(media=media_of(sound), **options)
    ear = SoundReceiver(both.receiver)
    sent = [each for _, some in send_sound(sound, both.sender, numbers=begin) for each in some]
    # The last one says how long the call was, and is sent until it comes.
    arrived = [*path.carry(sent[:-1], seed=seed), sent[-1]]
    for datagram in arrived:
        ear.receive(datagram)
    return Called(both.sender, ear, sent, arrived)


def every(seconds, *, lead_s=0.5):
    """Return changes of the key after so many seconds."""
    return KeyChanges(seconds, lead_s)


def silenced(sound, gaps):
    """Return a sound with silence in some intervals of frames."""
    content = bytearray(sound.pcm)
    for begin, end in gaps:
        size = (end - begin) * sound.frame_bytes
        content[begin * sound.frame_bytes : end * sound.frame_bytes] = bytes(size)
    return bytes(content)
