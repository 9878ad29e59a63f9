"""A man in the middle: Eve is Bob to Alice, and Alice to Bob.

She makes a session of her own with each of them, with her own source and her own detectors.  S,
error rate and efficiency are perfect on both legs, and she holds both keys: nothing in the
photons can tell.  Only the tags can, because they need a key that she does not have.

Each leg is an ordinary session in which Eve stands in for one party.  Its transmission passes
all messages and replaces that party's tag by the one that Eve can make.
"""

import numpy as np

from e91.adversaries.adversary import (
    Assumption,
    Attack,
    ClassicalLine,
    Expected,
    acting_on_noisy_pairs,
)
from e91.adversaries.conditions import Conditions, Switch
from e91.adversaries.notes import Answer, Answers
from e91.distillation.authentication import PublicKey
from e91.model.bits import Bits
from e91.model.device import Device
from e91.model.messages import Channel, Message, Party, Transmission
from e91.model.numbers import TSIRELSON

PUBLIC_KEY = bytes(64)
"""The authentication key of a link without authentication: everybody knows it."""

_AUTHENTICATED = Switch(
    "authenticated",
    "whether the tags have a key that Eve does not know",
    "with a key that everybody knows, she has every key and no tag shows it",
)


def impersonating(party: Party, key: bytes) -> Transmission:
    """Return the channel of a session in which Eve stands in for ``party``.

    Args:
        party: Whom she plays.
        key: The 64 bytes that she takes for the pre-shared key; with the true ones she is
            accepted.

    Returns:
        A transmission for one session.

    Raises:
        ValueError: ``key`` does not have 64 bytes.

    Examples:
        >>> from e91.distillation.authentication import tag
        >>> transmit = impersonating(Party.BOB, PUBLIC_KEY)
        >>> forged = transmit(Message(Party.BOB, "tag", bytes(16)))
        >>> forged.body == tag(b"", PUBLIC_KEY[32:], role=Party.BOB)
        True
    """
    from e91.distillation.authentication import AUTHENTICATION_BITS, KEY_BYTES, tag

    if len(key) != AUTHENTICATION_BITS // 8:
        raise ValueError(f"`key` must have {AUTHENTICATION_BITS // 8} bytes, but has {len(key)}.")
    half = key[:KEY_BYTES] if party is Party.ALICE else key[KEY_BYTES:]
    heard = Channel()

    def transmit(message: Message) -> Message:
        if message.subject != "tag":
            return heard.send(message)
        if message.sender is not party:
            return message
        forged = tag(heard.transcript(party), half, role=party)
        return Message(party, message.subject, forged, message.disclosed_bits)

    return transmit


def _held_by_eve(device: Device, _: Conditions) -> Answer:
    """Return ``device`` with Eve in Bob's place: she notes his outcomes, which are her own."""

    def answer(x: Bits, y: Bits) -> Answers:
        """Answer honestly; Eve's half shows her Bob's outcome."""
        a, b = device(x, y)
        return Answers(a, b, b, np.ones_like(b))

    return answer


def _line(conditions: Conditions) -> ClassicalLine:
    """Eve in Bob's place; without the key she can only try another, as good as any."""
    known = None if _AUTHENTICATED.chosen(conditions) else PublicKey(PUBLIC_KEY)
    return ClassicalLine(impersonating(Party.BOB, PUBLIC_KEY), known)


ATTACKS = (
    Attack(
        name="man-in-the-middle",
        summary="Eve is Bob to Alice and Alice to Bob; only tags can tell.",
        low=1,
        options=(_AUTHENTICATED,),
        breaks=(Assumption.AUTHENTICATION,),
        expected=lambda _: Expected(TSIRELSON, 0.0, 1.0, 1.0),  # two perfect sessions
        build=acting_on_noisy_pairs(
            _held_by_eve, "Honest pairs, the other half of each held by Eve."
        ),
        line=_line,
    ),
)
