"""What becomes of a call that is received: a WAV file, a file of packets, or a player's input."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from e91.cli.calls.datagrams import place_of, sending_to
from e91.cli.calls.sent_streams import PACKETS

if TYPE_CHECKING:
    from e91.encryption.rtp import Opened, PacketReceiver
    from e91.encryption.sound import RecoveredSound

Keep = Callable[["Opened"], None]


@dataclass(eq=False)
class ReceivedStream:
    """A call that is received.

    Attributes:
        receiver: Opens its packets.
        keep: Take each one.
        finish: Is called when no more comes; returns the sound, if it is one.
        packets: How many came.
    """

    receiver: PacketReceiver
    keep: tuple[Keep, ...]
    finish: Callable[[], RecoveredSound | None]
    packets: int = 0

    @property
    def is_over(self) -> bool:
        """Whether the sender has said that nothing comes any more."""
        said = self.receiver.announcement
        return said is not None and said.is_last

    def receive(self, datagram: bytes) -> None:
        """Open a datagram and keep what it brings."""
        for opened in self.receiver.receive(datagram):
            self.packets += 1
            for keep in self.keep:
                keep(opened)


@contextmanager
def received_stream(
    file: Path | None, receiver: PacketReceiver, forward: str | None
) -> Iterator[ReceivedStream]:
    """Give what keeps a call's packets: as sound, as packets in order, and for a player.

    Files appear when the block ends without an exception.

    Raises:
        ValueError: A file exists or cannot be made, or the sender sends no sound for a WAV file.
    """
    with ExitStack() as stack:
        forwarding = (stack.enter_context(_forwarded(forward)),) if forward else ()
        if file is None:
            yield ReceivedStream(receiver, forwarding, lambda: None)
            return
        keeping = _kept_packets if file.suffix == PACKETS else _kept_sound
        keep, finish = stack.enter_context(keeping(file, receiver))
        yield ReceivedStream(receiver, (*forwarding, keep), finish)


@contextmanager
def _forwarded(forward: str) -> Iterator[Keep]:
    with sending_to(place_of(forward, option="--forward")) as emit:
        yield lambda opened: emit(opened.packet)


@contextmanager
def _kept_packets(
    file: Path, _: PacketReceiver
) -> Iterator[tuple[Keep, Callable[[], RecoveredSound | None]]]:
    from e91.encryption.rtp import PacketOrder, framed
    from e91.system.durable import PRIVATE, new_file

    order = PacketOrder()
    with new_file(file, mode=PRIVATE) as write:

        def keep(opened: Opened) -> None:
            """Write the packets whose turn has come."""
            if content := b"".join(map(framed, order.add(opened))):
                write(content)

        def finish() -> None:
            """Write the rest."""
            if content := b"".join(map(framed, order.rest())):
                write(content)

        yield keep, finish


@contextmanager
def _kept_sound(
    file: Path, receiver: PacketReceiver
) -> Iterator[tuple[Keep, Callable[[], RecoveredSound | None]]]:
    from e91.encryption.sound import SoundReceiver, write_wav
    from e91.system.durable import check_absent

    check_absent(file)
    ear = SoundReceiver(receiver)

    def finish() -> RecoveredSound | None:
        """Write the sound."""
        found = ear.recovered()
        if found is not None:
            write_wav(file, found.sound)
        return found

    yield ear.keep, finish
