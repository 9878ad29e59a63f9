"""What is said of a call when it is over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from e91.encryption.rtp import CallTier, PacketReceiver, PacketSender
    from e91.encryption.sound import RecoveredSound


def say(note: str, *, as_json: bool) -> None:
    """Say what of the input is changed, on standard error."""
    if note and not as_json:
        click.echo(f"e91: {note}", err=True)


def show_sent(
    sender: PacketSender, tier: CallTier, *, place: str, as_json: bool, ignored: int | None = None
) -> None:
    """Print what was sent, and under which keys; no key bit."""
    keys = [
        {"key_id": key.key_id, "packets": key.packets, "bytes": key.payload_bytes}
        for key in sender.used
    ]
    found: dict[str, Any] = {
        "to": place,
        "cipher": tier.name,
        "secrecy": tier.secrecy,
        "packets": sum(key.packets for key in sender.used),
        "key_bytes": tier.key_bytes * len(keys),
        "keys": keys,
    }
    if ignored is not None:
        found |= {"ignored": ignored, "repeated": sender.repeated}
    if as_json:
        click.echo(json.dumps(found))
        return
    click.echo(
        f"{place}: {counted(found['packets'], 'packet')} under {counted(len(keys), 'key')}, "
        f"{tier.name}; "
        f"{found['key_bytes']:,} key bytes."
    )
    click.echo(f"Secrecy: {tier.secrecy}.")
    if ignored:
        click.echo(f"{ignored:,} datagrams were no RTP packets and were not sent on.")


def how_far(sender: PacketSender) -> str:
    """Return what was sent before a call ended for want of key, in a sentence."""
    packets = sum(key.packets for key in sender.used)
    return (
        f"What was sent is whole: {counted(packets, 'packet')} under "
        f"{counted(len(sender.used), 'key')}; no key was used for longer."
    )


def show_received(
    receiver: PacketReceiver,
    packets: int,
    found: RecoveredSound | None,
    *,
    file: Path | None,
    as_json: bool,
) -> None:
    """Print what came, what is missing and what was refused; no key bit."""
    said = receiver.announcement
    values: dict[str, Any] = {
        "file": None if file is None else str(file),
        "media": said.media if said else "",
        "packets": packets,
        "key_ids": receiver.key_ids,
        "refused": dict(sorted(receiver.refused.items())),
        "waiting_for_their_key": receiver.waiting,
        "ended_by_the_sender": said is not None and said.is_last,
    }
    if found is not None:
        values |= {
            "frames": len(found.sound),
            "seconds": found.sound.seconds,
            "missing_frames": found.missing,
            "gaps": [list(gap) for gap in found.gaps],
        }
    click.echo(json.dumps(values) if as_json else _text(values, found))


def _text(values: dict[str, Any], found: RecoveredSound | None) -> str:
    where = f"{values['file']}: " if values["file"] else ""
    keys = len(values["key_ids"])
    packets = counted(values["packets"], "packet")
    lines = [f"{where}{packets} of {values['media']} under {counted(keys, 'key')}."]
    if found is not None:
        share = found.missing / max(1, len(found.sound))
        lines.append(
            f"{found.sound.seconds:.3f} s of sound; {found.missing:,} of {len(found.sound):,} "
            f"frames did not come ({share:.1%}, {counted(len(found.gaps), 'gap')}) and are silence."
        )
    if values["refused"]:
        refused = [f"{number:,} {why}" for why, number in values["refused"].items()]
        lines.append(f"Refused: {', '.join(refused)}.")
    if values["waiting_for_their_key"]:
        lines.append(f"{values['waiting_for_their_key']:,} packets came whose key never did.")
    if not values["ended_by_the_sender"]:
        lines.append("The sender did not say that it was over.")
    return "\n".join(lines)


def why_nothing_came(receiver: PacketReceiver) -> str:
    """Return why a call brought nothing, in a sentence."""
    refused = [f"{number:,} {why}" for why, number in sorted(receiver.refused.items())]
    if receiver.waiting:
        refused.append(f"{receiver.waiting:,} that wait for their key")
    said = ", ".join(refused) or "no datagram came"
    return f"A call must bring packets that can be opened, but brought none: {said}."


def counted(number: int, what: str) -> str:
    """Return how many there are of something.

    Examples:
        >>> counted(1, "key"), counted(1200, "packet")
        ('1 key', '1,200 packets')
    """
    return f"{number:,} {what}{'' if number == 1 else 's'}"
