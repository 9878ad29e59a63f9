"""Keys carried hop by hop under one-time pads, and in shares over several routes.

Pads are the links' own keys, as numbers, each bit used once.  The key of a route's first link is
what goes along the route, so no further randomness is needed.  Every relay on the way holds it: it
must be trusted.  Over routes without a common relay (`disjoint`) each such key is a share, and the
key is their sum: who misses one share knows nothing of the key, though he hears all messages.

Nothing here finds out a relay that alters what it passes on; the keys of the two ends then differ
by what it altered.  Only a comparison under a key that no relay knows would show it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import xor


@dataclass(frozen=True)
class Relayed:
    """What became of a key on one route.

    Attributes:
        sent: The key at the source.
        delivered: The key at the target: the same if both ends of every link hold the same pad.
        known: The key as each relay held it, in their order.
        heard: What each relay sent on, for everybody to hear.

    Examples:
        >>> Relayed(sent=12, delivered=12, known=(12,), heard=(9,))    # the key is not shown
        Relayed(heard=(9,))
    """

    sent: int = field(repr=False)
    delivered: int = field(repr=False)
    known: tuple[int, ...] = field(repr=False)
    heard: tuple[int, ...]


def relay(pads: Sequence[tuple[int, int]]) -> Relayed:
    """Carry a key over the links of a route.

    Args:
        pads: Of every link, from the source on, the bits of its near and of its far end as a
            number: as many bits on every link, and never used again.

    Returns:
        The key at both ends, what every relay knew of it, and what was sent in the open.

    Examples:
        >>> way = relay([(0b1100, 0b1100), (0b0101, 0b0101)])
        >>> way.sent == way.delivered == way.known[0] == 0b1100, bin(way.heard[0])
        (True, '0b1001')
    """
    (sent, held), *onward = pads
    known, heard = [held], []
    for near, far in onward:
        heard.append(held ^ near)
        held = heard[-1] ^ far
        known.append(held)
    return Relayed(sent, held, tuple(known[:-1]), tuple(heard))


def join_shares(shares: Iterable[int]) -> int:
    """Return the key whose shares these are.

    Args:
        shares: Keys of one length, as numbers; no proper part of them says anything of the result.

    Returns:
        Their bitwise sum modulo 2.

    Examples:
        >>> join_shares([0b1100, 0b0101, 0b0001])
        8
    """
    return reduce(xor, shares)
