"""A man in the middle: Eve is Bob to Alice, and Alice to Bob.

She makes a session of her own with each of them, with her own source and her own detectors.  S,
error rate and efficiency are perfect on both legs, and she holds both keys: nothing in the
photons can tell.  Only the tags can, because they need a key that she does not have.

Each leg is an ordinary session in which Eve stands in for one party.  Its transmission passes
all messages and replaces that party's tag by the one that Eve can make.
"""

from __future__ import annotations

from e91.distillation.authentication import AUTHENTICATION_BITS, KEY_BYTES, tag
from e91.model.messages import Channel, Message, Party, Transmission

PUBLIC_KEY = bytes(AUTHENTICATION_BITS // 8)
"""The authentication key of a link without authentication: everybody knows it."""


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
        >>> transmit = impersonating(Party.BOB, PUBLIC_KEY)
        >>> forged = transmit(Message(Party.BOB, "tag", bytes(16)))
        >>> forged.body == tag(b"", PUBLIC_KEY[32:])
        True
    """
    if len(key) != len(PUBLIC_KEY):
        raise ValueError(f"`key` must have {len(PUBLIC_KEY)} bytes, but has {len(key)}.")
    half = key[:KEY_BYTES] if party is Party.ALICE else key[KEY_BYTES:]
    heard = Channel()

    def transmit(message: Message) -> Message:
        if message.subject != "tag":
            return heard.send(message)
        if message.sender is not party:
            return message
        forged = tag(heard.transcript(party), half)
        return Message(party, message.subject, forged, message.disclosed_bits)

    return transmit
