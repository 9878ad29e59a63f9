"""The receiver of a call: datagrams in, RTP packets out, whatever is lost, doubled or late."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass

from e91.encryption.rtp.call_keys import CallKeySource
from e91.encryption.rtp.key_announcements import (
    MKI_SIZE,
    Announcement,
    mki_of,
    read_announcement,
)
from e91.encryption.rtp.packet_indices import WINDOW, PacketIndices
from e91.encryption.rtp.rtp_packets import FIXED_HEADER, is_control, sequence_of, ssrc_of
from e91.encryption.rtp.tiers import SRTP, CallTier, Protection
from e91.model.errors import AuthenticationFailed, KeyUnavailable

_MOST_WAITING = 4096  # packets whose key is not there yet
_MOST_FETCHED = 8  # keys that were fetched and have protected nothing yet
_MOST_ON_SUSPICION = 16  # fetches for announcements whose tag could not be checked before


@dataclass(frozen=True, slots=True)
class Opened:
    """A packet that was received.

    Attributes:
        index: Its place in the call.
        packet: RTP, as its sender had it.
        key_id: Of the key that opened it.

    Examples:
        >>> from e91.encryption.rtp.rtp_packets import rtp_packet
        >>> packet = rtp_packet(b"sound", sequence=1, timestamp=0, ssrc=7)
        >>> Opened(65_537, packet, "key 1").index  # the sequence number has wrapped once
        65537
    """

    index: int
    packet: bytes
    key_id: str


@dataclass(eq=False)
class ReceivingKey:
    """A key that packets may come under.

    Attributes:
        key_id: Its name.
        protection: What opens its packets.
        newest: Highest index that came under it; -1 before any.
    """

    key_id: str
    protection: Protection
    newest: int = -1


class PacketReceiver:
    """Opens the datagrams of a `PacketSender`, each packet once, under keys that it is named.

    Packets that come before their key wait for it.  A key stays open as long as a packet of it
    could still be accepted: 1,024 packets behind the newest one.  What was refused is counted and
    changes nothing else.

    Args:
        keys: Where the keys that the sender names come from.
        tier: How packets are protected, as at the sender.

    Attributes:
        announcement: The sender's newest one whose tag was right; None before the first.
        refused: How many datagrams were refused, by reason.
        key_ids: Of the keys that opened a packet, in the order of their first one.

    Source:
        RFC 3711, section 3.3.2 (each packet once, within a window).

    Examples:
        >>> from e91.encryption.rtp.call_keys import CallKey, ClaimsInMemory, KeysInMemory
        >>> from e91.encryption.rtp.rtp_packets import rtp_packet
        >>> from e91.encryption.rtp.senders import PacketSender
        >>> alice, bob = (KeysInMemory([CallKey("key 1", bytes(32))]) for _ in range(2))
        >>> sender, receiver = PacketSender(alice, ClaimsInMemory()), PacketReceiver(bob)
        >>> packet = rtp_packet(b"sound", sequence=1, timestamp=0, ssrc=7)
        >>> said, sealed = sender.datagrams(packet, time_s=0.0)
        >>> receiver.receive(sealed), receiver.waiting  # its key is not announced yet
        ([], 1)
        >>> [opened.packet == packet for opened in receiver.receive(said)]
        [True]
        >>> receiver.receive(sealed), dict(receiver.refused)
        ([], {'received before, or too late': 1})
    """

    def __init__(self, keys: CallKeySource, *, tier: CallTier = SRTP) -> None:
        self.announcement: Announcement | None = None
        self.refused: Counter[str] = Counter()
        self.key_ids: list[str] = []
        self._keys, self._tier = keys, tier
        self._open: dict[bytes, ReceivingKey] = {}
        self._waiting: deque[bytes] = deque(maxlen=_MOST_WAITING)
        self._on_suspicion = 0
        self._indices = PacketIndices()

    @property
    def waiting(self) -> int:
        """How many packets wait for their key."""
        return len(self._waiting)

    def receive(self, datagram: bytes) -> list[Opened]:
        """Return the packets that a datagram opens: its own, or those that waited for its key.

        Args:
            datagram: As it came: RTP or RTCP, with its key identifier behind it.
        """
        if len(datagram) < FIXED_HEADER.size + MKI_SIZE:
            self.refused["too short"] += 1
            return []
        if is_control(datagram):
            return self._released() if self._hear(datagram) else []
        key = self._open.get(datagram[-MKI_SIZE:])
        if key is None or self.announcement is None:
            self._waiting.append(datagram)
            return []
        return self._opened(datagram, key)

    # Packets.

    def _opened(self, datagram: bytes, key: ReceivingKey) -> list[Opened]:
        index = self._indices.nearest(sequence_of(datagram))
        if not self._indices.is_fresh(index):
            self.refused["received before, or too late"] += 1
            return []
        try:
            packet = key.protection.unprotect(datagram[:-MKI_SIZE], index)
        except (AuthenticationFailed, ValueError):
            self.refused["not authentic"] += 1
            return []
        if self.announcement is not None and ssrc_of(packet) != self.announcement.ssrc:
            self.refused["of another stream"] += 1
            return []
        if key.newest < 0:
            self.key_ids.append(key.key_id)
        key.newest = max(key.newest, index)
        self._indices.note(index)
        return [Opened(index, packet, key.key_id)]

    def _released(self) -> list[Opened]:
        """Return the packets that waited and have their key now."""
        waiting, self._waiting = self._waiting, deque(maxlen=_MOST_WAITING)
        return [opened for datagram in waiting for opened in self.receive(datagram)]

    # Announcements.

    def _hear(self, datagram: bytes) -> bool:
        """Take note of an announcement; return whether it was one, with a right tag."""
        packet, mki = datagram[:-MKI_SIZE], datagram[-MKI_SIZE:]
        key = self._open.get(mki) or self._suspected(packet, mki)
        if key is None:
            return False
        try:
            said = read_announcement(key.protection.unprotect_control(packet))
        except (AuthenticationFailed, ValueError):
            self.refused["not authentic"] += 1
            return False
        if self.announcement is not None and said.ssrc != self.announcement.ssrc:
            self.refused["of another stream"] += 1
            return False
        self._believe(said)
        return True

    def _believe(self, said: Announcement) -> None:
        self._on_suspicion = 0
        if self.announcement is None or said.index >= self.announcement.index:
            self.announcement = said
        self._indices.reach(said.index - 1)
        for key_id in said.key_ids:
            self._fetch(key_id)
        self._forget_old()

    def _suspected(self, packet: bytes, mki: bytes) -> ReceivingKey | None:
        """Return the key of an announcement under a key that nobody has announced.

        So a call begins, and goes on after a silence.  Whoever invents such announcements costs a
        few fetches in vain, and nothing more.
        """
        try:
            key_ids = read_announcement(packet).key_ids
        except ValueError:
            self.refused["not authentic"] += 1
            return None
        for key_id in key_ids:
            if mki_of(key_id) == mki and self._on_suspicion < _MOST_ON_SUSPICION:
                self._on_suspicion += 1
                return self._fetch(key_id)
        self.refused["not authentic"] += 1
        return None

    def _fetch(self, key_id: str) -> ReceivingKey | None:
        """Return a key, open; None if it is not there yet."""
        mki = mki_of(key_id)
        known = self._open.get(mki)
        if known is not None:
            return known
        if sum(key.newest < 0 for key in self._open.values()) >= _MOST_FETCHED:
            self.refused["too many keys announced"] += 1
            return None
        try:
            named = self._keys.named(key_id, self._tier.key_bytes)
        except KeyUnavailable:
            self.refused["key not there"] += 1
            return None
        key = self._open[mki] = ReceivingKey(key_id, self._tier.open(named))
        return key

    def _forget_old(self) -> None:
        """Forget the keys under which no packet could be accepted any more."""
        assert self.announcement is not None
        oldest = self._indices.newest - WINDOW
        current = self.announcement.key_ids
        self._open = {
            mki: key
            for mki, key in self._open.items()
            if key.newest < 0 or key.newest > oldest or key.key_id in current
        }
