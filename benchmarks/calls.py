"""How fast calls are protected: ``python -m benchmarks.calls [--packets N]``.

Packets of 332 bytes (20 ms of 8 kHz, 16 bits), protected and opened again in one process; CPU time.
One direction of a call is 50 such packets a second.

* ``contexts``: SRTP alone, the packet's index given; beside libsrtp through pylibsrtp.
* ``call``: sender and receiver with indices, replay window, announcements and a key every 10 s.
* ``call, one-time pad``: the same under pads of 64 KiB.
"""

from __future__ import annotations

import argparse
import json
import secrets
import statistics
import time
from collections.abc import Callable

from benchmarks.machine import headed, machine
from e91.encryption.rtp import (
    SRTP,
    CallKey,
    CallTier,
    ClaimsInMemory,
    KeyChanges,
    KeysInMemory,
    PacketReceiver,
    PacketSender,
    SrtpContext,
    pad_tier,
    rtp_packet,
)

PACKETS_PER_SECOND = 50
REPEATS = 5


def packets_of_sound(count: int) -> list[bytes]:
    """Return packets of random samples."""
    return [
        rtp_packet(secrets.token_bytes(320), sequence=n, timestamp=160 * n, ssrc=81)
        for n in range(count)
    ]


def contexts(packets: list[bytes]) -> float:
    """Return the packets a second that one context protects and another opens."""
    master = secrets.token_bytes(44)
    sender, receiver = SrtpContext(master), SrtpContext(master)
    begin = time.process_time()
    for index, packet in enumerate(packets):
        receiver.unprotect(sender.protect(packet, index), index)
    return len(packets) / (time.process_time() - begin)


def libsrtp(packets: list[bytes]) -> float:
    """Return the same of libsrtp."""
    from pylibsrtp import Policy, Session

    master, profile = secrets.token_bytes(44), Policy.SRTP_PROFILE_AEAD_AES_256_GCM
    sender, receiver = (
        Session(Policy(key=master, ssrc_type=kind, srtp_profile=profile))
        for kind in (Policy.SSRC_ANY_OUTBOUND, Policy.SSRC_ANY_INBOUND)
    )
    begin = time.process_time()
    for packet in packets:
        receiver.unprotect(sender.protect(packet))
    return len(packets) / (time.process_time() - begin)


def whole_call(packets: list[bytes], tier: CallTier, changes: KeyChanges) -> float:
    """Return the packets a second of a sender and a receiver, and check that all came."""
    count = 16 + len(packets) // (PACKETS_PER_SECOND if tier is SRTP else 150)
    keys = [CallKey(f"key {n}", secrets.token_bytes(tier.key_bytes)) for n in range(count)]
    sender = PacketSender(KeysInMemory(keys), ClaimsInMemory(), tier=tier, changes=changes)
    receiver, came = PacketReceiver(KeysInMemory(keys), tier=tier), 0
    begin = time.process_time()
    for number, packet in enumerate(packets):
        for datagram in sender.datagrams(packet, time_s=number / PACKETS_PER_SECOND):
            came += len(receiver.receive(datagram))
    took = time.process_time() - begin
    assert came == len(packets)
    return came / took


def rows(packets: list[bytes]) -> list[dict[str, object]]:
    """Return the median of some repeats of each, interleaved."""
    changes = KeyChanges(10.0, 2.0)
    measured: dict[str, Callable[[], float]] = {
        "libsrtp": lambda: libsrtp(packets),
        "contexts": lambda: contexts(packets),
        "call": lambda: whole_call(packets, SRTP, changes),
        "call, one-time pad": lambda: whole_call(packets, pad_tier(65_536), KeyChanges()),
    }
    rates: dict[str, list[float]] = {name: [] for name in measured}
    for _ in range(REPEATS):
        for name, measure in measured.items():
            rates[name].append(measure())
    peer = statistics.median(rates["libsrtp"])
    return [
        {
            "what": name,
            "packets_per_second": statistics.median(found),
            "spread": [min(found), max(found)],
            "of_libsrtp": statistics.median(found) / peer,
            "times_real_time": statistics.median(found) / PACKETS_PER_SECOND,
        }
        for name, found in rates.items()
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packets", type=int, default=30_000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = rows(packets_of_sound(given.packets))
    if given.json:
        print(json.dumps({**machine(), "rows": found}))
        return
    print(headed(machine()))
    print("| what | packets/s | of libsrtp | times real time |\n|---|---|---|---|")
    for row in found:
        print(
            f"| {row['what']} | {row['packets_per_second']:,.0f} | {row['of_libsrtp']:.2f} | "
            f"{row['times_real_time']:,.0f} |"
        )


if __name__ == "__main__":
    main()
