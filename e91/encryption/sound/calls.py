"""A call: a sound goes out as datagrams under keys that change, and comes back from them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from uuid import uuid4

from e91.encryption.rtp.call_keys import CallKey, ClaimsInMemory, KeysInMemory
from e91.encryption.rtp.receivers import Opened, PacketReceiver
from e91.encryption.rtp.senders import PacketSender
from e91.encryption.rtp.tiers import SRTP, CallTier, KeyChanges
from e91.encryption.rtp.unreliable_paths import UnreliablePath
from e91.encryption.sound.sound_packets import (
    RecoveredSound,
    SoundTrack,
    media_of,
    sound_packets,
)
from e91.encryption.sound.wav_files import Sound


@dataclass(frozen=True)
class StreamNumbers:
    """Where the numbers of a stream begin.

    Attributes:
        ssrc: Of the stream; 32 bits.
        sequence: Of the first packet.
        timestamp: Of the first packet.

    Source:
        RFC 3550, section 5.1: all three begin at random.

    Examples:
        >>> StreamNumbers.at_random().sequence < 2**15
        True
    """

    ssrc: int
    sequence: int
    timestamp: int

    @classmethod
    def at_random(cls) -> StreamNumbers:
        """Return random ones, as RFC 3550 asks for; the sequence begins in its lower half."""
        return cls(secrets.randbits(32), secrets.randbits(15), secrets.randbits(32))


def send_sound(
    sound: Sound, sender: PacketSender, *, numbers: StreamNumbers | None = None
) -> Iterator[tuple[float, list[bytes]]]:
    """Yield when datagrams of a sound are to be sent, in seconds from its beginning, and these.

    The last ones close the call.  Keys change by the sound's own time, so whoever sends it faster
    or slower changes them after the same samples.

    Args:
        sound: What is sent.
        sender: Protects it; its ``media`` is `media_of` the sound.
        numbers: Where the stream's numbers begin; random ones if not given.

    Yields:
        Seconds from the beginning of the sound, and the datagrams that are due then.

    Raises:
        KeyUnavailable: The key has to change and there is no other; what was yielded is whole.

    Examples:
        >>> sound = Sound(8000, 1, 16, bytes(1600))  # 0.1 s
        >>> keys = KeysInMemory([CallKey("key 1", bytes(32))])
        >>> sender = PacketSender(keys, ClaimsInMemory(), media=media_of(sound))
        >>> [(time_s, len(some)) for time_s, some in send_sound(sound, sender)]
        [(0.0, 2), (0.02, 1), (0.04, 1), (0.06, 1), (0.08, 1), (0.1, 1)]
    """
    begin = numbers or StreamNumbers.at_random()
    packets = sound_packets(
        sound, ssrc=begin.ssrc, sequence=begin.sequence, timestamp=begin.timestamp
    )
    for time_s, packet in packets:
        yield time_s, sender.datagrams(packet, time_s=time_s)
    yield sound.seconds, sender.closing(len(sound))


class SoundReceiver:
    """Receives a call and keeps its sound.

    Args:
        receiver: Opens the packets.

    Attributes:
        receiver: The same; it counts what was refused.
        received: Packets so far.

    Examples:
        >>> sound = Sound(8000, 1, 16, bytes(1600))
        >>> alice, bob = (KeysInMemory([CallKey("key 1", bytes(32))]) for _ in range(2))
        >>> sender = PacketSender(alice, ClaimsInMemory(), media=media_of(sound))
        >>> heard = SoundReceiver(PacketReceiver(bob))
        >>> for _, datagrams in send_sound(sound, sender):
        ...     for datagram in datagrams:
        ...         _ = heard.receive(datagram)
        >>> heard.is_over, heard.received, heard.recovered().sound.pcm == sound.pcm
        (True, 5, True)
    """

    def __init__(self, receiver: PacketReceiver) -> None:
        self.receiver = receiver
        self.received = 0
        self._track: SoundTrack | None = None

    @property
    def is_over(self) -> bool:
        """Whether the sender has said that nothing comes any more."""
        said = self.receiver.announcement
        return said is not None and said.is_last

    def receive(self, datagram: bytes) -> list[Opened]:
        """Keep what a datagram brings, and return its packets.

        Args:
            datagram: As it came.

        Raises:
            ValueError: The sender sends something else than linear sound.
        """
        opened = self.receiver.receive(datagram)
        for each in opened:
            self.keep(each)
        return opened

    def keep(self, opened: Opened) -> None:
        """Keep the sound of a packet that the receiver has opened.

        Args:
            opened: What `PacketReceiver.receive` gave.

        Raises:
            ValueError: The sender sends something else than linear sound.
        """
        if self._track is None:
            said = self.receiver.announcement
            assert said is not None
            self._track = SoundTrack(said.media, first_timestamp=said.first_timestamp)
        self.received += 1
        self._track.add(opened.packet, key_id=opened.key_id)

    def recovered(self) -> RecoveredSound | None:
        """Return the sound so far; None if no packet came."""
        said = self.receiver.announcement
        if self._track is None or said is None:
            return None
        return self._track.recovered(said.elapsed)


def simulate_call(
    sound: Sound,
    *,
    path: UnreliablePath,
    seed: int,
    tier: CallTier = SRTP,
    changes: KeyChanges | None = None,
    first_sequence: int | None = None,
) -> SoundReceiver:
    """Let a sound go through a path, under keys that are drawn here, and return what heard it.

    Both ends are in this process; their keys are bytes of the operating system, known to both.
    What closes the call is not lost.

    Args:
        sound: What is sent.
        path: What happens to the datagrams.
        seed: Of what the path does.
        tier: How packets are protected.
        changes: When the key changes.
        first_sequence: Number of the first packet; drawn if not given.

    Returns:
        The receiver at the end of the call; its `recovered` is the sound.

    Raises:
        ValueError: A frame of the sound does not fit into a packet.

    Examples:
        >>> heard = simulate_call(Sound(8000, 1, 16, bytes(16_000)), path=UnreliablePath(), seed=1)
        >>> heard.received, heard.recovered().missing
        (50, 0)
    """
    alice, bob = KeysInMemory(), KeysInMemory()
    numbers = StreamNumbers.at_random()
    if first_sequence is not None:
        numbers = replace(numbers, sequence=first_sequence)
    keys = _DrawnKeys(alice, bob)
    sender = PacketSender(keys, ClaimsInMemory(), tier=tier, changes=changes, media=media_of(sound))
    heard = SoundReceiver(PacketReceiver(bob, tier=tier))
    sent = (each for _, some in send_sound(sound, sender, numbers=numbers) for each in some)
    for datagram in path.carry(sent, seed=seed):
        heard.receive(datagram)
    for datagram in sender.closing(len(sound)):
        heard.receive(datagram)
    return heard


class _DrawnKeys:
    """Fresh keys as they are asked for, which the other end gets too."""

    def __init__(self, own: KeysInMemory, other: KeysInMemory) -> None:
        self._own, self._other = own, other

    def fresh(self, size: int) -> CallKey:
        """Return a key drawn now."""
        key = CallKey(str(uuid4()), secrets.token_bytes(size))
        self._other.deposit(key)
        return key

    def named(self, key_id: str, size: int) -> CallKey:
        """Return a key of the other end."""
        return self._own.named(key_id, size)
