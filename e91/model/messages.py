"""The public classical channel: who said what, in which order, and how many key bits it gave away.

Every word that the parties exchange after the photons passes through one `Channel`.  It keeps the
transcript as each party saw it, which is what authentication covers, and it is the one door at
which disclosed key bits are counted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum


class Party(Enum):
    """The two honest ends of the link."""

    ALICE = "alice"
    BOB = "bob"

    @property
    def peer(self) -> Party:
        """The other end."""
        return Party.BOB if self is Party.ALICE else Party.ALICE


@dataclass(frozen=True)
class Message:
    """One public announcement.

    Attributes:
        sender: Who announces it.
        subject: What it is about, e.g. ``"settings"``; part of what is authenticated.
        body: The announcement itself.
        disclosed_bits: How many bits about the sifted key a listener learns from it.
    """

    sender: Party
    subject: str
    body: bytes = field(repr=False)
    disclosed_bits: int = 0

    @property
    def head(self) -> bytes:
        """What stands before the body in a transcript, so that messages cannot run together."""
        return f"{self.sender.value}/{self.subject}/{len(self.body)}\n".encode()


# What stands between the parties: returns the message as the receiver sees it.  None is a lost
# message.  The honest channel is the identity; a man in the middle is another such function.
Transmission = Callable[[Message], Message | None]


def honest_transmission(message: Message) -> Message:
    """Deliver ``message`` unchanged."""
    return message


# Takes each message as a party saw it, in order.
Listener = Callable[[Party, Message], None]


@dataclass(frozen=True, eq=False)
class Channel:
    """A public channel with a record of what each party sent and received.

    This is the one value of a session that grows; it is created by `session.run`, and no
    stage keeps it.

    Attributes:
        transmission: What happens to a message on its way.
        listener: If given, takes every message instead of ``seen``: for sessions whose transcript
            is too long to keep.
        seen: The transcript as each party saw it, in order.
    """

    transmission: Transmission = honest_transmission
    listener: Listener | None = None
    seen: dict[Party, list[Message]] = field(
        default_factory=lambda: {Party.ALICE: [], Party.BOB: []}
    )
    _disclosed: dict[Party, int] = field(
        default_factory=lambda: {Party.ALICE: 0, Party.BOB: 0}, repr=False
    )

    def send(self, message: Message) -> Message:
        """Transmit ``message``; return it as the receiver sees it.

        A lost message arrives as one with an empty body: the receiver's clock ran out.
        """
        received = self.transmission(message)
        if received is None:
            received = Message(message.sender, message.subject, b"")
        sender = message.sender
        self._disclosed[sender] += message.disclosed_bits
        for party, seen in ((sender, message), (sender.peer, received)):
            if self.listener is None:
                self.seen[party].append(seen)
            else:
                self.listener(party, seen)
        return received

    def disclosed_by(self, party: Party) -> int:
        """Return the key bits that all messages of ``party`` so far gave away."""
        return self._disclosed[party]

    @property
    def disclosed_bits(self) -> int:
        """Key bits that all messages so far gave away, both parties' together."""
        return sum(self._disclosed.values())

    def transcript(self, party: Party) -> bytes:
        """Return the unambiguous encoding of all that ``party`` saw, in order."""
        parts = []
        for message in self.seen[party]:
            parts += [message.head, message.body]
        return b"".join(parts)
