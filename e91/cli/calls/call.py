"""``e91 call``: sound and pictures between two ends, live, under keys that change."""

from __future__ import annotations

import secrets
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from e91.cli.calls.call_results import (
    how_far,
    say,
    show_received,
    show_sent,
    why_nothing_came,
)
from e91.cli.calls.live_keys import KEYS, live_keys
from e91.cli.calls.tiers_and_changes import CHANGES, TIER, changes_of, tier_of
from e91.cli.options import COUNT, JSON, seed_option
from e91.model.errors import KeyUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from e91.cli.key_options import KeyChoice
    from e91.encryption.rtp import PacketSender

_FILE: Any = click.Path(path_type=Path)

TO = click.option("--to", "target", metavar="HOST:PORT", required=True, help="The other end.")
SPEED = click.option("--speed", type=float, default=1.0, show_default=True,
                     help="Times as fast as the call's own time.")  # fmt: skip
PATIENCE = click.option("--patience", "patience_s", type=float, default=30.0, show_default=True,
                        help="Seconds to wait for the next datagram.")  # fmt: skip


@click.group()
def call() -> None:
    """Sound and pictures between two ends, live, under keys that change by their names."""


@call.command()
@click.argument("file", type=_FILE)
@TO
@KEYS
@TIER
@CHANGES
@click.option("--media", metavar="NAME/RATE",
              help="What a file of RTP packets holds, as SDP says it: VP8/90000.")  # fmt: skip
@SPEED
@JSON
def send(
    file: Path,
    *,
    target: str,
    keys: KeyChoice,
    tier: dict[str, Any],
    changes: dict[str, Any],
    media: str | None,
    speed: float,
    as_json: bool,
) -> None:
    """Send the sound of FILE, a WAV file, or the RTP packets of FILE.rtp (RFC 4571)."""
    from e91.cli.calls.datagrams import place_of, send_at_their_time, sending_to
    from e91.cli.calls.sent_streams import accounted_sender, sent_stream

    keys.check()
    _check_positive("--speed", speed)
    place, protected = place_of(target, option="--to"), tier_of(tier)
    stream = sent_stream(file, media)
    with (
        live_keys(keys, cipher=protected.name, name=file.name) as own,
        accounted_sender(own, protected, changes=changes, media=stream.media) as sender,
        sending_to(place) as emit,
    ):
        try:
            send_at_their_time(stream.datagrams(sender), emit, speed=speed)
        except KeyUnavailable as error:
            raise KeyUnavailable(f"{error} {how_far(sender)}") from error
        finally:
            _close(sender, emit)
    say(stream.note, as_json=as_json)
    show_sent(sender, protected, place=str(place), as_json=as_json)


@call.command()
@click.option("--from", "source", metavar="[HOST:]PORT", required=True,
              help="Where plain RTP packets of a payloader come.")  # fmt: skip
@TO
@KEYS
@TIER
@CHANGES
@click.option("--media", metavar="NAME/RATE", required=True,
              help="What the packets carry, as SDP says it: VP8/90000.")  # fmt: skip
@PATIENCE
@JSON
def relay(
    *,
    source: str,
    target: str,
    keys: KeyChoice,
    tier: dict[str, Any],
    changes: dict[str, Any],
    media: str,
    patience_s: float,
    as_json: bool,
) -> None:
    """Send RTP packets of any program on as they come, protected: live video or sound.

    It ends when none has come for --patience seconds, or with Ctrl-C.
    """
    import time

    from e91.cli.calls.datagrams import datagrams_until, listening_at, place_of, sending_to
    from e91.cli.calls.sent_streams import accounted_sender, send_on
    from e91.encryption.rtp.media_clocks import clock_rate_of

    keys.check()
    _check_positive("--patience", patience_s)
    clock_rate_of(media)
    origin, place = place_of(source, option="--from"), place_of(target, option="--to")
    protected, ignored = tier_of(tier), 0
    with (
        listening_at(origin) as port,
        live_keys(keys, cipher=protected.name, name=media) as own,
        accounted_sender(own, protected, changes=changes, media=media) as sender,
        sending_to(place) as emit,
    ):
        try:
            for packet in datagrams_until(port, patience_s=patience_s, is_over=lambda: False):
                ignored += not send_on(packet, sender, emit, time_s=time.monotonic())
        finally:
            _close(sender, emit)
    show_sent(sender, protected, place=str(place), as_json=as_json, ignored=ignored)


@call.command()
@click.argument("file", type=_FILE, required=False)
@click.option("--listen", metavar="[HOST:]PORT", required=True,
              help="Where datagrams come; on this computer alone without HOST.")  # fmt: skip
@KEYS
@TIER
@click.option("--forward", metavar="HOST:PORT",
              help="Send the packets on there, decrypted, to a player.")  # fmt: skip
@PATIENCE
@JSON
def receive(
    file: Path | None,
    *,
    listen: str,
    keys: KeyChoice,
    tier: dict[str, Any],
    forward: str | None,
    patience_s: float,
    as_json: bool,
) -> None:
    """Receive a call: its sound to FILE, a new WAV file, or its packets to FILE.rtp (RFC 4571).

    What does not come is silence, and is counted.  It ends when the other end says so, when nothing
    has come for --patience seconds, or with Ctrl-C; what came by then is kept.
    """
    from e91.cli.calls.datagrams import datagrams_until, listening_at, place_of
    from e91.cli.calls.received_streams import received_stream
    from e91.encryption.rtp import PacketReceiver

    if file is None and forward is None:
        raise click.UsageError("`FILE` or `--forward` must be given, but neither is.")
    keys.check()
    _check_positive("--patience", patience_s)
    place, protected = place_of(listen, option="--listen"), tier_of(tier)
    with (
        listening_at(place) as port,
        live_keys(keys, cipher=protected.name, name=str(file or forward)) as own,
        received_stream(file, PacketReceiver(own, tier=protected), forward) as kept,
    ):
        for datagram in datagrams_until(port, patience_s=patience_s, is_over=lambda: kept.is_over):
            kept.receive(datagram)
        if not kept.packets:
            raise ValueError(why_nothing_came(kept.receiver))
        found = kept.finish()
    show_received(kept.receiver, kept.packets, found, file=file, as_json=as_json)


@call.command()
@click.argument("file", type=_FILE)
@click.argument("out", type=_FILE)
@TIER
@CHANGES
@click.option("--loss", type=float, default=0.0, show_default=True, help="Part of the datagrams.")
@click.option("--doubled", type=float, default=0.0, show_default=True, help="Part of the others.")
@click.option("--reorder", type=float, default=0.0, show_default=True,
              help="Datagrams by which one may be late.")  # fmt: skip
@click.option("--first-sequence", type=COUNT, help="Number of the first packet; drawn by default.")
@seed_option("Of what the path does; from the system by default.")
@JSON
def simulate(
    file: Path,
    out: Path,
    *,
    tier: dict[str, Any],
    changes: dict[str, Any],
    first_sequence: int | None,
    seed: int | None,
    as_json: bool,
    **path: float,
) -> None:
    """Let FILE go over a path that loses and reorders, to OUT; both are WAV files.

    Both ends are in this process, and their keys are drawn from the system.
    """
    from e91.encryption.rtp import UnreliablePath
    from e91.encryption.sound import read_wav, simulate_call, write_wav
    from e91.system.durable import check_absent

    check_absent(out)
    read, protected = read_wav(file), tier_of(tier)
    done = simulate_call(
        read.sound,
        path=UnreliablePath(**path),
        seed=secrets.randbits(63) if seed is None else seed,
        tier=protected,
        changes=changes_of(changes, protected),
        first_sequence=first_sequence,
    )
    found = done.recovered()
    if found is None:
        raise ValueError(why_nothing_came(done.receiver))
    write_wav(out, found.sound)
    say(read.note, as_json=as_json)
    show_received(done.receiver, done.received, found, file=out, as_json=as_json)


def _close(sender: PacketSender, emit: Callable[[bytes], None]) -> None:
    """Say that the call is over; what cannot be reached need not hear it."""
    from e91.cli.calls.datagrams import send_closing

    with suppress(ValueError):
        send_closing(sender.closing, emit)


def _check_positive(option: str, value: float) -> None:
    if not 0 < value < float("inf"):
        raise ValueError(f"`{option}` must be positive, but is {value:g}.")
