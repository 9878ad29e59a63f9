"""What both parties of Cascade know in advance: frames, block sizes, orders and masks.

Everything here is a function of the key's length, the announced error rate and the public seed,
never of a key.  Both parties compute it, each for itself.

Frames are *lanes*: with 64 of them, bit j of word i is place i of frame j, so that a packed key is
cut into frames without moving a bit, and one operation on a word serves 64 frames.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import cached_property, lru_cache

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import ArrayLike, NDArray

Words = NDArray[np.uint64]
Places = NDArray[np.uint16]
Edges = NDArray[np.int64]
Questions = NDArray[np.uint32]
Counts = NDArray[np.int32]

LANES = 64
"""Frames side by side in one word, at most."""

LONGEST = 2**16
"""Places of a frame, at most: a place fits 16 bits, and the words of all places a cache."""

CHECK_BITS = 20
"""Parities of random subsets that Alice discloses, to see whether a batch needs more iterations."""

MOST_ITERATIONS = 32
"""After this many iterations a batch is given up; verification then finds the errors left."""

# A long key has lanes enough for frames of half the length: fuller words save more time than
# shorter frames cost (f grows by 0.0005).
_LONG_KEY = 2**18
_GROUPS = 2  # groups of 64 frames in one batch: more share a round trip, fewer stay in the cache
ERRORS_PER_BLOCK = 0.8
"""Errors that a first block has: Brassard and Salvail's 0.73, rounded as block sizes are.

These are powers of two, so that blocks halve evenly.
"""

# Of ten schedules of later sizes measured at 2 %, this one had the smallest f below a thousand
# round trips.
_SECOND, _LATER = 8, 16
_CLOSING = 4  # blocks of a closing iteration: it separates errors that all others missed
_LEAST_ITERATIONS = 4  # with fewer, a short frame would too often need another check
_LEAST_RATE = 1e-3  # an estimate below this rests on a handful of errors: trust it no further
# Of the blocks of the second iteration, a frame bisects one in this many at a time (of the first,
# all).
# Their errors are found independently, although one would often have betrayed the next at a lower
# price: fewer searches make f smaller and round trips more.
_BLOCKS_PER_SEARCH = 32
_LEAST_SEARCHES = 4  # short frames would need a thousand round trips, to make f smaller by 0.001


class Step(Enum):
    """What both parties do next with a batch of frames."""

    SHUFFLE = "begin an iteration: compare the parities of all its blocks"
    SEARCH = "binary search: compare the parities of halves of odd blocks"
    CHECK = "compare the parities of random subsets"


@dataclass(frozen=True)
class Schedule:
    """How a key is cut into frames, and these into blocks.

    Attributes:
        bits: Length of the key, n.
        lanes: Frames in one group; a power of two, at most 64.
        places: Places of each frame, at most 65,536; the last bits of some may be padding.
        groups: Groups of frames in the key.
        block_sizes: Block size of each iteration that all frames go through.
    """

    bits: int
    lanes: int
    places: int
    groups: int
    block_sizes: tuple[int, ...]

    @property
    def batches(self) -> list[slice]:
        """The groups that share their messages."""
        return [
            slice(start, min(start + _GROUPS, self.groups))
            for start in range(0, self.groups, _GROUPS)
        ]

    @cached_property
    def lane_type(self) -> np.dtype[np.unsignedinteger]:
        """The unsigned integers in which a word of a group is sent."""
        return np.dtype(f"<u{max(1, self.lanes // 8)}")

    @property
    def row(self) -> int:
        """Words of a bitmap of a frame: one bit for each place, and one for the end."""
        return self.places // 64 + 1

    @cached_property
    def searches_at_once(self) -> int:
        """Blocks of one iteration, but for the first, that a frame bisects at a time."""
        return max(_LEAST_SEARCHES, self.places // (self.block_size(1) * _BLOCKS_PER_SEARCH))

    def block_size(self, iteration: int) -> int:
        """Return the block size of an iteration, also of one beyond `block_sizes`."""
        sizes = self.block_sizes
        return sizes[iteration] if iteration < len(sizes) else sizes[-1]

    def edges(self, iteration: int) -> Edges:
        """Return the places that bound the blocks of an iteration, 0 and the end included."""
        return _edges(self.places, self.block_size(iteration))

    def announced_edges(self, iteration: int) -> Edges:
        """Return the edges before which Alice announces the parity when an iteration begins.

        That before the end, the parity of the whole frame, is known after the first iteration.
        """
        return self.edges(iteration)[1:] if iteration == 0 else self.edges(iteration)[1:-1]

    def next_step(self, iterations: int, *, questions: int) -> Step:
        """Return what follows when ``iterations`` have begun and Bob has asked ``questions``.

        All frames end an iteration before any begins the next: until then none waits for another.
        """
        if questions:
            return Step.SEARCH
        return Step.SHUFFLE if iterations < len(self.block_sizes) else Step.CHECK


def make_schedule(bits: int, error_rate: float) -> Schedule:
    """Return the schedule for a key.

    Args:
        bits: Length of the key, n >= 0.
        error_rate: Expected share of errors, in [0, 0.5].

    Examples:
        >>> make_schedule(2**22, 0.02)
        Schedule(bits=4194304, lanes=64, places=65536, groups=1, block_sizes=(32, 256, 4096, 16384))
    """
    lanes = 1
    longest = LONGEST // 2 if bits >= _LONG_KEY else LONGEST
    while lanes < LANES and lanes * longest < bits:
        lanes *= 2
    words = -(-bits // lanes)
    groups = -(-words // LONGEST)
    places = max(2, -(-words // max(groups, 1)))  # a frame of one place could not be bisected
    return Schedule(bits, lanes, places, groups, _block_sizes(places, error_rate))


@lru_cache(maxsize=64)
def _edges(places: int, size: int) -> Edges:
    # No block of one place, whose error would be known without a question.
    edges = np.append(np.arange(0, places - 1, size), places).astype(np.int64)
    edges.flags.writeable = False
    return edges


def _block_sizes(places: int, error_rate: float) -> tuple[int, ...]:
    closing = max(2, -(-places // _CLOSING))
    size = int(first_block_sizes(error_rate))
    sizes, factor = [], _SECOND
    while size < closing:
        sizes.append(size)
        size, factor = size * factor, _LATER
    return (*sizes, *[closing] * max(1, _LEAST_ITERATIONS - len(sizes)))


def first_block_sizes(error_rates: ArrayLike) -> NDArray[np.int64]:
    """Return how many bits a block of the first iteration has, in a frame that is long enough.

    Args:
        error_rates: Expected shares of errors, in [0, 0.5]; any shape.

    Examples:
        >>> first_block_sizes([0.02, 0.0])
        array([  32, 1024])
    """
    rates = np.maximum(np.asarray(error_rates, np.float64), _LEAST_RATE)
    powers = np.maximum(1, np.rint(np.log2(ERRORS_PER_BLOCK / rates)))
    return np.left_shift(1, powers.astype(np.int64))


def rank(keys: Places, order: Places, place: Places) -> None:
    """Write the order of the keys, equal ones as they come, and its inverse; uint16, shape (k,)."""
    order[:] = np.argsort(keys, kind="stable")
    place[order] = np.arange(len(keys), dtype=np.uint16)


@lru_cache(maxsize=32)
def shuffle(
    seed: bytes,
    iteration: int,
    places: int,
    *,
    rank: Callable[[Places, Places, Places], None] = rank,
) -> tuple[Places, Places]:
    """Return the order of the bits in an iteration and its inverse; the first keeps the frame's.

    Args:
        seed: 32 public bytes.
        iteration: Which one, from 0.
        places: Places of a frame, at most 65,536.
        rank: Sorts as `rank` does, perhaps faster.

    Returns:
        ``order[t]`` is the place in the frame of the bit at place t of the iteration, ``place`` the
        inverse; uint16, shape (places,) each, read-only.  All frames share them.  They are not
        quite uniform: places that draw the same of 65,536 keys, one neighbour each on average, keep
        their order.  No block of two places or more notices, and no claim but efficiency rests on
        it.
    """
    order, place = np.arange(places, dtype=np.uint16), np.arange(places, dtype=np.uint16)
    if iteration:
        # Sorted keys give the same order on every machine and with every version of NumPy, which
        # its own generators do not promise.
        rank(_stream(seed, iteration, -(-places // 4)).view(np.uint16)[:places], order, place)
    return _frozen(order), _frozen(place)


@lru_cache(maxsize=4)
def check_masks(seed: bytes, *, batch: int, iterations: int, words: int) -> Words:
    """Return the public random words that choose the subsets of a check.

    Subset i of a batch consists of the bits of ``masks[i : i + words]``: a Toeplitz matrix for
    each bit of a word, so that unequal keys agree in all `CHECK_BITS` parities with probability
    2**-CHECK_BITS (Krawczyk, CRYPTO '94, LNCS 839, 129).  Read-only, as both parties share them.
    """
    masks = _stream(seed, 2**63 + (batch << 8) + iterations, words + CHECK_BITS - 1)
    masks.flags.writeable = False
    return masks


def to_lanes(key: Words, schedule: Schedule) -> Words:
    """Cut a packed key into frames.

    Args:
        key: Bit i of the key is bit i % 64 of word i // 64; uint64, shape (ceil(n / 64),).
        schedule: The schedule for n bits.

    Returns:
        Bit j of ``[g, i]`` is place i of frame j of group g; uint64, shape (groups, places), a
        copy.  Padding is zero.
    """
    total = schedule.groups * schedule.places
    octets, mask = key.astype("<u8", copy=False).view(np.uint8), 2**schedule.lanes - 1
    lanes = np.zeros(total, np.uint64)
    if schedule.lanes >= 8:
        narrow = octets.view(f"<u{schedule.lanes // 8}")[:total]
        lanes[: len(narrow)] = narrow
    else:
        for first, shift in enumerate(range(0, 8, schedule.lanes)):
            part = lanes[first :: 8 // schedule.lanes][: len(octets)]
            part[:] = (octets[: len(part)] >> shift) & mask
    return lanes.reshape(schedule.groups, schedule.places)


def from_lanes(lanes: Words, schedule: Schedule) -> Words:
    """Return the packed key of frames, with its padding: the inverse of `to_lanes`.

    Returns:
        uint64, shape (ceil(n / 64) or more,): bits beyond n are as the padding of ``lanes``.
    """
    flat = lanes.ravel()
    if schedule.lanes >= 8:
        packed = flat.astype(f"<u{schedule.lanes // 8}").view(np.uint8)
    else:
        narrow = flat.astype(np.uint8)
        packed = np.zeros(-(-len(flat) * schedule.lanes // 8), np.uint8)
        for first, shift in enumerate(range(0, 8, schedule.lanes)):
            part = narrow[first :: 8 // schedule.lanes]
            packed[: len(part)] |= part << shift
    whole = np.zeros(-(-len(packed) // 8) * 8, np.uint8)
    whole[: len(packed)] = packed
    return whole.view("<u8").astype(np.uint64, copy=False)


def _stream(seed: bytes, number: int, words: int) -> Words:
    cipher = Cipher(algorithms.AES(seed), modes.CTR(number.to_bytes(8, "big") + bytes(8)))
    return np.frombuffer(cipher.encryptor().update(bytes(8 * words)), "<u8").astype(np.uint64)


def _frozen(places: Places) -> Places:
    places.flags.writeable = False
    return places
