"""The sender of a call: RTP packets in, datagrams out, with a key that changes as it goes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from e91.encryption.rtp.call_keys import CallKeySource, KeyClaims
from e91.encryption.rtp.key_announcements import Announcement, mki_of
from e91.encryption.rtp.packet_indices import LAST_INDEX, PacketIndices
from e91.encryption.rtp.rtp_packets import header_size, sequence_of, ssrc_of, timestamp_of
from e91.encryption.rtp.tiers import SRTP, CallTier, KeyChanges, Protection
from e91.model.errors import KeyUnavailable

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 1.0  # between announcements, doubled each time


@dataclass(eq=False)
class SendingKey:
    """A key that a sender uses, used or will use.

    Attributes:
        key_id: Its name.
        mki: Its four bytes behind every packet.
        protection: What it protects packets with.
        since_s: Time of its first packet; infinite before that.
        packets: How many it has protected.
        payload_bytes: Bytes of these packets, headers included.
    """

    key_id: str
    mki: bytes
    protection: Protection
    since_s: float = math.inf
    packets: int = 0
    payload_bytes: int = 0


class PacketSender:
    """Protects a stream of RTP packets under keys of a source, and announces them ahead.

    Nothing here sends: what `datagrams` returns must be sent, in that order.  Not promised: that
    the pace and sizes of packets tell nothing; encode at a constant rate where they do.

    Args:
        keys: Where fresh keys come from.
        claims: The ledger that refuses a key ID that was used before; one that it refuses makes no
            context.
        tier: How packets are protected.
        changes: When the key changes.
        media: What the packets carry, as SDP says it: ``"L16/48000/2"``; at most 100 characters.

    Attributes:
        used: Every key so far, in the order of use, the current one last.
        repeated: Packets that were not sent, as one of their index was before.

    Raises:
        ValueError: ``media`` is too long, or no ASCII.

    Source:
        RFC 3711, section 9.1: two packets of one index under one key would share a keystream.

    Examples:
        >>> from e91.encryption.rtp.call_keys import CallKey, ClaimsInMemory, KeysInMemory
        >>> from e91.encryption.rtp.rtp_packets import rtp_packet
        >>> sender = PacketSender(KeysInMemory([CallKey("key 1", bytes(32))]), ClaimsInMemory())
        >>> packet = rtp_packet(b"sound", sequence=1, timestamp=0, ssrc=7)
        >>> announcement, sealed = sender.datagrams(packet, time_s=0.0)
        >>> len(sealed) - len(packet)  # a tag of 16 bytes, a key identifier of 4
        20
        >>> sender.datagrams(packet, time_s=0.1), sender.repeated
        ([], 1)
    """

    def __init__(
        self,
        keys: CallKeySource,
        claims: KeyClaims,
        *,
        tier: CallTier = SRTP,
        changes: KeyChanges | None = None,
        media: str = "",
    ) -> None:
        if len(media) > 100 or not media.isascii():
            raise ValueError("`media` must have at most 100 ASCII characters, but does not.")
        self.used: list[SendingKey] = []
        self.repeated = 0
        self._keys, self._claims, self._tier = keys, claims, tier
        self._changes = changes or KeyChanges()
        self._media = media
        self._next: SendingKey | None = None
        self._change_s = self._retry_s = -math.inf
        self._announce_s, self._pause_s = -math.inf, _FIRST_PAUSE_S
        self._indices = PacketIndices()
        self._ssrc = self._first = self._elapsed = 0
        self._newest = b""

    def datagrams(self, packet: bytes, *, time_s: float) -> list[bytes]:
        """Return what is to be sent for a packet: announcements that are due, then the packet.

        Args:
            packet: RTP; its sequence number is new within the last 1,024.
            time_s: Of the call's clock, never less than before.

        Returns:
            Datagrams; none if a packet of this number was sent, or it comes too late.

        Raises:
            ValueError: It is no RTP packet.
            KeyUnavailable: The key has to change and no other can be had: the call is over.
        """
        size = len(packet) - header_size(packet)  # refuses what is no RTP before a key is used
        index = self._indices.nearest(sequence_of(packet))
        if index > LAST_INDEX or not self._indices.is_fresh(index):
            self.repeated += 1
            return []
        key = self._key_for(size, time_s)
        said = self._due(packet, index, time_s)
        self._indices.note(index)
        self._newest = packet
        key.packets += 1
        key.payload_bytes += len(packet)
        return [*said, key.protection.protect(packet, index) + key.mki]

    def closing(self, elapsed: int | None = None) -> list[bytes]:
        """Return what is to be sent when no packet comes any more; send it several times.

        Args:
            elapsed: Timestamps from the first packet to the end of the last one; where it is not
                known, to the beginning of the last one.
        """
        if not self.used:
            return []
        self._note_progress(self._newest)
        elapsed = self._elapsed if elapsed is None else elapsed
        return self._announcement(self._indices.newest + 1, elapsed, is_last=True)

    # Keys.

    def _key_for(self, size: int, time_s: float) -> SendingKey:
        """Return the key of a packet of some payload, changed if that is due."""
        if not self.used:
            self._begin(self._fresh(), time_s)
            self._change_s = time_s + self._changes.every_s
        key = self.used[-1]
        is_due = time_s >= self._change_s or not key.protection.has_room(size)
        if self._next is None and (is_due or time_s >= self._change_s - self._changes.lead_s):
            self._prepare(time_s, is_due=is_due)
        if not is_due or self._next is None:
            return key
        while self._change_s <= time_s:
            self._change_s += self._changes.every_s
        self._begin(self._next, time_s)
        self._next = None
        return self.used[-1]

    def _begin(self, key: SendingKey, time_s: float) -> None:
        key.since_s = time_s
        self.used.append(key)
        self._announce_anew()

    def _prepare(self, time_s: float, *, is_due: bool) -> None:
        """Fetch the next key; if there is none yet, try again later, unless it is needed now."""
        if time_s < self._retry_s and not is_due:
            return
        try:
            self._next = self._fresh()
        except KeyUnavailable:
            if is_due:
                raise
            self._retry_s = time_s + self._changes.retry_s
            return
        self._announce_anew()

    def _fresh(self) -> SendingKey:
        """Return a fresh key that nobody takes for the current one."""
        while True:
            key = self._keys.fresh(self._tier.key_bytes)
            mki = mki_of(key.key_id)
            # Claimed before it can protect anything: a crash in between loses a key, never a nonce.
            self._claims.claim(key.key_id, f"call, {self._tier.name}")
            if mki not in [used.mki for used in self.used[-8:]]:
                return SendingKey(key.key_id, mki, self._tier.open(key))

    # Announcements.

    def _announce_anew(self) -> None:
        self._announce_s, self._pause_s = -math.inf, _FIRST_PAUSE_S

    def _due(self, packet: bytes, index: int, time_s: float) -> list[bytes]:
        """Return the announcement if one is due."""
        if time_s < self._announce_s:
            return []
        self._announce_s = time_s + self._pause_s
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        self._note_progress(packet)
        return self._announcement(index, self._elapsed)

    def _note_progress(self, packet: bytes) -> None:
        """Note how far the stream is; its timestamp wraps less often than this is called."""
        stamp = timestamp_of(packet)
        if not self.used[0].packets:
            self._ssrc, self._first = ssrc_of(packet), stamp
        ahead = (stamp - self._first - self._elapsed) & 0xFFFFFFFF
        self._elapsed += ahead if ahead < 2**31 else 0

    def _announcement(self, index: int, elapsed: int, *, is_last: bool = False) -> list[bytes]:
        key = self.used[-1]
        key_ids = (key.key_id,) if self._next is None else (key.key_id, self._next.key_id)
        said = Announcement(
            self._ssrc, index, self._first, elapsed, self._media, key_ids, is_last=is_last
        )
        try:
            return [key.protection.protect_control(said.encode()) + key.mki]
        except KeyUnavailable:  # a pad that is used up: the next one says it
            return []
