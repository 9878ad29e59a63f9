"""The public classical channel: who said what, in which order, and how many key bits it gave away.

Every word that the parties exchange after the photons passes through one `Channel`.  It keeps the
transcript as each party saw it, which is what authentication covers, and it is the one door at
which disclosed key bits are counted.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import NoReturn

from e91.model.errors import AuthenticationFailed


class Party(Enum):
    """The two honest ends of the link.

    Examples:
        >>> Party("alice").peer
        <Party.BOB: 'bob'>
    """

    ALICE = "alice"
    BOB = "bob"

    @classmethod
    def _missing_(cls, value: object) -> NoReturn:
        raise ValueError(f"`party` must be alice or bob, but is {value!r}.")

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

    Examples:
        >>> message = Message(Party.ALICE, "settings", b"abc")
        >>> message.disclosed_bits, message.head.endswith(b"alicesettings")
        (0, True)
    """

    sender: Party
    subject: str
    body: bytes = field(repr=False)
    disclosed_bits: int = 0

    @property
    def head(self) -> bytes:
        """What stands before the body in a transcript: three lengths, then sender and subject.

        The lengths have a fixed size and come first, so that a transcript has one reading,
        whatever subject and body are.
        """
        sender, subject = self.sender.value.encode(), self.subject.encode(errors="surrogatepass")
        return _LENGTHS.pack(len(sender), len(subject), len(self.body)) + sender + subject


_LENGTHS = struct.Struct(">BIQ")

# What stands between the parties: returns the message as the receiver sees it.  None is a lost
# message.  The honest channel is the identity; a man in the middle is another such function.  It is
# the outside world: whatever it does, it can end a session, never break it (`Channel.send`).
Transmission = Callable[[Message], Message | None]


def honest_transmission(message: Message) -> Message:
    """Return ``message`` as the peer hears it: unchanged."""
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

    Examples:
        >>> channel = Channel()
        >>> _ = channel.send(Message(Party.ALICE, "syndrome", b"abc", disclosed_bits=24))
        >>> channel.disclosed_bits, channel.disclosed_by(Party.BOB), len(channel.seen[Party.BOB])
        (24, 0, 1)
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

        A lost message arrives as one with an empty body: the receiver's clock ran out.  Only the
        body can arrive altered.  A receiver knows who is to speak next, and about what.

        Raises:
            AuthenticationFailed: What arrives is no message of this sender and subject with bytes
                for a body, or the transmission raised an exception.  As that may be an oversight of
                whoever wrote it, its traceback goes to the log ``e91``.
        """
        sender, said = message.sender, replace(message)
        self._disclosed[sender] += message.disclosed_bits
        self._note(sender, said)
        received = (
            said if self.transmission is honest_transmission else self._arrived(message, said)
        )
        self._note(sender.peer, received)
        return received

    def _note(self, party: Party, message: Message) -> None:
        if self.listener is None:
            self.seen[party].append(message)
        else:
            self.listener(party, message)

    def _arrived(self, message: Message, said: Message) -> Message:
        """Return what the transmission makes of a message; it may keep and alter its own copies."""
        try:
            body = _body_of(self.transmission(message), said)
        except Exception:
            logging.getLogger("e91").warning("A transmission failed.", exc_info=True)
            raise AuthenticationFailed("A message did not arrive.") from None
        if body is None:
            raise AuthenticationFailed("A message was altered so that it is none any more.")
        return replace(said, body=body)

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


def _body_of(arrived: object, said: Message) -> bytes | None:
    """Return the body of what arrived in the place of a message, or None if it is none like it."""
    if arrived is None:
        return b""
    if not isinstance(arrived, Message) or arrived.sender is not said.sender:
        return None
    subject, body = (getattr(arrived, name) for name in ("subject", "body"))
    return (
        body if type(subject) is str and subject == said.subject and type(body) is bytes else None
    )
