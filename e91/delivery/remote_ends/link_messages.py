"""What two ends of a link tell each other: places in blocks and names of keys, never key bits.

The sum of a key and a one-time pad may be in a reservation (`Granted.mask`), which is uniform for
whoever does not have the pad.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TypeVar

import msgspec

from e91.keys.holdings.events import Granted, Partner
from e91.keys.provenance import Provenance

CLAIMS = "/e91/link/v1/claims"
"""Where an end says what it has, and hears the same."""

RESERVATIONS = "/e91/link/v1/reservations"
"""Where an end tells which keys it has cut, and for whom."""

TYPE = ("Content-Type", "application/msgpack")

_Message = TypeVar("_Message")


class BlockClaim(msgspec.Struct, frozen=True, array_like=True):
    """What one end has of a block.

    Attributes:
        block_id: The same at both ends.
        size: Bytes of the whole block.
        front: What lies before is taken.
        back: What lies from here on is taken.
        origin: Digest of where it comes from, see `digest_of`.
    """

    block_id: bytes
    size: int
    front: int
    back: int
    origin: bytes


class LinkClaim(msgspec.Struct, frozen=True, array_like=True):
    """All that one end has of a link.

    Attributes:
        sender: Its store, and the last row of its journal.
        blocks: Those with something free, or with keys that the other end has not confirmed yet.
        opening: Random; another one each time that the sender's store is opened.
    """

    sender: Partner
    blocks: tuple[BlockClaim, ...]
    opening: bytes


class Reservations(msgspec.Struct, frozen=True, array_like=True):
    """Keys that one end has cut.

    Attributes:
        sender: As in `LinkClaim`.
        granted: What is to happen at the other end, in the order in which it was cut.
        withdrawn: Identifiers of keys that no master got: void, whether they came or not.
    """

    sender: Partner
    granted: tuple[Granted, ...]
    withdrawn: bytes


class Confirmation(msgspec.Struct, frozen=True, array_like=True):
    """The answer to reservations.

    Attributes:
        sender: As in `LinkClaim`.
        is_agreed: Whether this end knows what the other one has; without that, nothing is taken.
        taken: Of each, whether its keys wait here now.
    """

    sender: Partner
    is_agreed: bool
    taken: tuple[bool, ...]


_ENCODE = msgspec.msgpack.Encoder().encode


def packed(message: object) -> bytes:
    """Return a message as bytes.

    Examples:
        >>> unpacked(packed(Partner(b"store", 3)), Partner).number
        3
    """
    return _ENCODE(message)


def unpacked(body: bytes, kind: type[_Message]) -> _Message:
    """Return the message in some bytes.

    Raises:
        ValueError: There is none of this kind in them.
    """
    try:
        return msgspec.msgpack.decode(body, type=kind)
    except (msgspec.MsgspecError, ValueError):
        pass
    raise ValueError("A message of the other end must be readable, but is not.")


def digest_of(provenance: Provenance) -> bytes:
    """Return what both ends must have in common of where a block comes from.

    Not its moment, which an end may know from the time of a copied file alone.
    """
    return hashlib.sha256(_ENCODE(replace(provenance, made_at=0.0))).digest()
