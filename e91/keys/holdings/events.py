"""What happens to the key of one KME, as its journal has it; no key bits are in it.

The sums of keys and one-time pads are, which are uniform for whoever does not have the pad.
The journal has one row for all that was decided together.  A row that concerns two KMEs stands in
both their journals, each time with the events of that KME alone.
"""

from __future__ import annotations

import msgspec

from e91.keys.provenance import Provenance

ID_SIZE = 16
"""Bytes of a key's identifier, a UUID."""

Part = tuple[bytes, int, int]
"""A half-open interval of a block: the block's identifier, first byte, byte behind the last."""


class Deposited(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """A block of key came in; its content stands beside the journal.

    Attributes:
        block_id: Its UUID, the same at both ends.
        peer: The KME at its other end; empty for a key that came ready-made.
        size: Bytes.
        provenance: Where it comes from.
    """

    block_id: bytes
    peer: str
    size: int
    provenance: Provenance


class Granted(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Keys of equal size were cut from the ends of blocks.

    Attributes:
        peer: The KME at the other end of the blocks; empty for a key that came ready-made.
        parts: Where they lie: one interval for one key after the other, or several for one key.
        size: Bytes of each key.
        ids: Their identifiers one after the other; empty if nobody at this KME waits for them.
        master: The application that asked for them; empty if a crash burned them.
        slaves: The applications at this KME that may fetch them, each once.
        mask: What is added (XOR) to the bytes of the blocks, if those are the one-time pad of keys
            from elsewhere; empty otherwise.
        origin: Where the masked keys come from.
        given: How many keys the application that asked for them got at this KME.
        at: When, seconds since 1970; 0 if that is not known.
    """

    peer: str
    parts: tuple[Part, ...]
    size: int
    ids: bytes
    master: str
    slaves: tuple[str, ...]
    mask: bytes = b""
    origin: Provenance | None = None
    given: int = 0
    at: float = 0.0


class Fetched(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """An application fetched the keys with these identifiers."""

    ids: bytes
    slave: str


class Voided(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """Keys became void, perhaps before they came."""

    ids: bytes


class Dropped(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """A block went that the other end does not have."""

    block_id: bytes


class Rang(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """An alarm rang on a link: key of it that was made at ``since`` or later is erased."""

    one: str
    other: str
    since: float
    reason: str


class Cleared(msgspec.Struct, frozen=True, array_like=True, tag=7):
    """The alarm of a link ended."""

    one: str
    other: str


Event = Deposited | Granted | Fetched | Voided | Dropped | Rang | Cleared
"""Whatever changes what a KME holds."""


class Partner(msgspec.Struct, frozen=True, array_like=True):
    """Another KME's store that took part in a row.

    Attributes:
        store_id: Which store it is.
        number: Of the row there.
    """

    store_id: bytes
    number: int


class JournalRow(msgspec.Struct, frozen=True, array_like=True):
    """What was decided together.

    Attributes:
        number: 1 more than that of the row before.
        partners: The other KMEs that have a row of it.
        events: What happened at this KME, in order.
    """

    number: int
    partners: dict[str, Partner]
    events: list[Event]


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(JournalRow)


def encoded_row(row: JournalRow) -> bytes:
    """Return a row as bytes."""
    return _ENCODER.encode(row)


def decoded_row(body: bytes) -> JournalRow:
    """Return the row in some bytes.

    Raises:
        ValueError: There is none in them.
    """
    try:
        return _DECODER.decode(body)
    except (msgspec.MsgspecError, ValueError):
        pass
    raise ValueError("A row of the journal must be readable, but is not.")


def identifiers(packed: bytes) -> list[bytes]:
    """Return identifiers that stand one after the other.

    Examples:
        >>> [part[:1] for part in identifiers(b"a" * 16 + b"b" * 16)]
        [b'a', b'b']
    """
    return [packed[start : start + ID_SIZE] for start in range(0, len(packed), ID_SIZE)]
