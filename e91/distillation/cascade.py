"""Cascade: correct Bob's key with parities of blocks, each disclosed once.

Both parties walk through the same public sequence of questions.  A question names places in a
publicly known order of the bits; Alice answers with the parity of her bits before each place, Bob
with one bit per place that says whether his differs.  These comparison bits decide all that
follows, so no question is ever sent: `_walk` sees neither key, and each party runs its own copy.

Each pass shuffles the bits, cuts them into blocks and compares block parities.  An odd block (with
an odd number of errors) is bisected down to one error, whose correction makes a block of each
other pass odd or even again; odd ones are bisected too, until none is left.  All odd blocks of a
pass are bisected side by side, the pass with the smallest odd block first.  A parity once compared
cuts its block for good, so later bisections start from the piece; what follows is inferred.

Disclosure: each message counts its bits, one per place.  Length, error rate and seed do not depend
on the keys; given these, all that is said is a string of such bits, whose beginning fixes what is
asked next and when it ends.  Such strings are a prefix-free code: at most 2**L of them have at
most L bits (Kraft).  So a listener who hears at most L bits, *both* parties' together, gains at
most L bits (chain rule of the min-entropy).  Alice's bits alone are no bound, as Bob's depend on
his key: Tupkary and Lutkenhaus, "Using Cascade in Quantum Key Distribution", arXiv 2307.00576.
The comparison bits fix every corrected position, so the transcript turns one party's key into the
other's, and either may be the reference.

Source: Brassard and Salvail, EUROCRYPT '93, LNCS 765, 410; block sizes in the manner of
Martinez-Mateo et al., arXiv 1407.3257.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Generator
from typing import TypeVar, cast

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from e91.model.bits import Bits, pack, unpack
from e91.model.errors import AuthenticationFailed
from e91.model.messages import Channel, Message, Party
from e91.model.records import ReconciledKey, SiftedKey

SEED_BYTES = 32  # of the public seed of the shuffles
# Brassard and Salvail put 0.73 errors into a first block.  Rounded to a power of two, 0.8 keeps f
# below 1.08 with few messages (measured at 2e5 bits, 0.1 % to 11 %).
_ERRORS_PER_BLOCK = 0.8
_GROWTH = 8
_LEAST_RATE = 1e-3  # an estimate below this rests on a handful of errors: trust it no further
# Frames may keep an even number of errors in every block.  Each bit of a closing pass halves their
# share, so 16 bits leave a few in 1e5.  From `_LONG` bits on four passes of 16 blocks replace
# sixteen of 2: 44 more bits among thousands, and a quarter of the shuffles.
_CLOSING_BITS = 16
_LONG = 2**16

_T = TypeVar("_T")
_Order = NDArray[np.int32]
_Places = NDArray[np.intp]

# One party's half: yields what it says, is sent what it hears (None: nothing more comes).
Talk = Generator[Message, Message | None, _T]
# Asks for the parity of all bits before some places, in the order of the bits of pass `number`.
_Ask = Callable[[int, _Order, _Places], Talk[Bits]]


def reconcile(
    alice_key: SiftedKey,
    bob_key: SiftedKey,
    *,
    error_rate: float,
    permutation_seed: bytes,
    channel: Channel,
) -> tuple[ReconciledKey, ReconciledKey]:
    """Ferry messages between `respond` and `correct` until both have finished.

    Args:
        alice_key: The reference, unchanged by Cascade; n bits.
        bob_key: Bob's key; n bits.
        error_rate: The estimated QBER, in [0, 1]; sets the block sizes.  A wrong one costs bits.
        permutation_seed: 32 uniform bytes, drawn after the quantum phase; they become public.
        channel: Carries and records each message with the key bits it discloses.

    Returns:
        Both reconciled keys.  Errors may be left (``benchmarks/cascade.py``); verification tells.

    Raises:
        ValueError: The keys differ in length, or an argument leaves its range.
        AuthenticationFailed: A message arrived that no honest party would have sent.

    Examples:
        >>> alice, bob = (SiftedKey(np.array(b, np.uint8)) for b in ([0, 1, 1, 0], [0, 1, 1, 1]))
        >>> seed, channel = bytes(32), Channel()
        >>> keys = reconcile(alice, bob, error_rate=0.1, permutation_seed=seed, channel=channel)
        >>> np.array_equal(keys[0].bits, keys[1].bits)
        True
    """
    if len(alice_key) != len(bob_key):
        raise ValueError(f"`bob_key` must have {len(alice_key)} bits, but has {len(bob_key)}.")
    bob = correct(bob_key, error_rate=error_rate, permutation_seed=permutation_seed)
    alice = respond(alice_key, channel.send(next(bob)))
    answer = _resume(alice, None)
    while isinstance(answer, Message):
        comparison = bob.send(channel.send(answer))
        answer = _resume(alice, channel.send(comparison))
    corrected = _resume(bob, None)
    assert isinstance(corrected, ReconciledKey)  # told that nothing more comes, Bob ends or raises
    return answer, corrected


def respond(key: SiftedKey, opening: Message) -> Talk[ReconciledKey]:
    """Play Alice: yield parities of ``key``, be sent Bob's comparison bits, return ``key``.

    ``opening`` is Bob's first message as it arrived: seed and error rate.

    Raises:
        AuthenticationFailed: A message of Bob is missing or malformed.
    """
    seed, rate = opening.body[:SEED_BYTES], opening.body[SEED_BYTES:]
    if len(rate) != 8 or not 0 <= (error_rate := struct.unpack("<d", rate)[0]) <= 1:
        raise AuthenticationFailed("A message of Cascade is missing or malformed.")
    parities = _prefix_parities(key.bits)

    def ask(number: int, order: _Order, places: _Places) -> Talk[Bits]:
        own = parities(number, order, places)
        heard = yield Message(Party.ALICE, "cascade-parities", pack(own), len(own))
        return _read_bits(heard, len(own))

    yield from _walk(len(key), error_rate, seed, ask)
    return ReconciledKey(key.bits)


def correct(key: SiftedKey, *, error_rate: float, permutation_seed: bytes) -> Talk[ReconciledKey]:
    """Play Bob: yield seed and error rate, then comparison bits (1: differs), return a mended key.

    He is sent Alice's parities, and None after the last.  For the arguments see `reconcile`.

    Raises:
        ValueError: ``error_rate`` or ``permutation_seed`` leaves its range.
        AuthenticationFailed: A message of Alice is missing, malformed or one too many.
    """
    if not 0 <= error_rate <= 1:
        raise ValueError(f"`error_rate` must lie in [0, 1], but is {error_rate}.")
    if len(permutation_seed) != SEED_BYTES:
        raise ValueError(
            f"`permutation_seed` must have {SEED_BYTES} bytes, but has {len(permutation_seed)}."
        )
    parities = _prefix_parities(key.bits)
    said = Message(Party.BOB, "cascade-open", permutation_seed + struct.pack("<d", error_rate))

    def ask(number: int, order: _Order, places: _Places) -> Talk[Bits]:
        nonlocal said
        heard = yield said
        differs = parities(number, order, places) ^ _read_bits(heard, len(places))
        said = Message(Party.BOB, "cascade-comparison", pack(differs), len(differs))
        return differs

    corrected = yield from _walk(len(key), error_rate, permutation_seed, ask)
    if (yield said) is not None:
        raise AuthenticationFailed("Cascade had ended, but another message came.")
    bits = key.bits.copy()
    bits[corrected] ^= 1
    return ReconciledKey(bits)


def _block_sizes(length: int, error_rate: float) -> list[int]:
    """Return the block size of every pass, e.g. 32, 256, 2048, 4 x 12500 for 2e5 bits at 2 %."""
    if not length:
        return []
    closing = 16 if length >= _LONG else 2
    coarse = -(-length // closing)
    first = 2 ** round(math.log2(_ERRORS_PER_BLOCK / max(error_rate, _LEAST_RATE)))
    sizes = [min(first, length)]
    while sizes[-1] * _GROWTH < coarse:
        sizes.append(sizes[-1] * _GROWTH)
    return sizes + [coarse] * (_CLOSING_BITS // int(math.log2(closing)))


def _resume(talk: Talk[_T], heard: Message | None) -> Message | _T:
    """Return what the party says next, or its result if it has finished."""
    try:
        return talk.send(heard)
    except StopIteration as stop:
        return cast(_T, stop.value)


def _read_bits(message: Message | None, count: int) -> Bits:
    try:
        return unpack(b"" if message is None else message.body, count)
    except ValueError:
        raise AuthenticationFailed("A message of Cascade is missing or malformed.") from None


def _prefix_parities(bits: Bits) -> Callable[[int, _Order, _Places], Bits]:
    """Return a function that answers questions about ``bits``; O(1) per place after one sum."""
    sums: list[Bits] = []

    def answer(number: int, order: _Order, places: _Places) -> Bits:
        if number == len(sums):
            sums.append(np.zeros(len(bits) + 1, np.uint8))
            np.bitwise_xor.accumulate(bits[order], out=sums[-1][1:])
        return sums[number][places]

    return answer


class _Pass:
    """What is publicly known about the errors in one order of the bits."""

    def __init__(self, number: int, length: int, seed: bytes) -> None:
        self.number = number
        self.order = _shuffle(number, length, seed)  # the bit at each place
        self.place = np.empty_like(self.order)  # the place of each bit
        self.place[self.order] = np.arange(length, dtype=np.int32)
        # Sorted places before which the parity of the original errors is known, and that parity
        # (elsewhere it means nothing); starts of the blocks that are odd after the corrections.
        self.edges = np.array([0, length])
        self.parity = np.zeros(length + 1, np.uint8)
        self.odd = np.empty(0, np.intp)

    def ends(self, starts: _Places) -> _Places:
        """Return where the blocks that begin at ``starts`` end."""
        return self.edges[np.searchsorted(self.edges, starts, "right")]

    def cut(self, places: _Places) -> None:
        """Add edges at new ``places``."""
        self.edges = np.sort(np.concatenate([self.edges, places]))

    def toggle(self, bits: _Order) -> None:
        """Change the parity of each block as often as one of its bits was corrected."""
        blocks = self.edges[np.searchsorted(self.edges, self.place[bits], "right") - 1]
        starts, counts = np.unique(blocks, return_counts=True)
        self.odd = np.setxor1d(self.odd, starts[counts % 2 == 1], assume_unique=True)

    def remaining(self, corrected: _Order) -> Callable[[_Places], Bits]:
        """Return the function: parity of the errors before a known place that are left."""
        places = np.sort(self.place[corrected])
        return lambda at: self.parity[at] ^ (np.searchsorted(places, at) % 2).astype(np.uint8)


def _shuffle(number: int, length: int, seed: bytes) -> _Order:
    """Return the order of the bits in a pass: as they are in pass 0, then a public shuffle."""
    if number == 0:
        return np.arange(length, dtype=np.int32)
    # Sorted words with their index in the low bits give the same order on every machine and with
    # every version of NumPy, which its own generators do not promise.
    stream = Cipher(algorithms.AES(seed), modes.CTR(number.to_bytes(8, "big") + bytes(8)))
    words = np.frombuffer(stream.encryptor().update(bytes(8 * length)), "<u8").astype(np.uint64)
    mask = np.uint64(2 ** length.bit_length() - 1)
    words = np.sort((words & ~mask) | np.arange(length, dtype=np.uint64))
    return (words & mask).astype(np.int32)


def _walk(length: int, error_rate: float, seed: bytes, ask: _Ask) -> Talk[_Order]:
    """Ask until every known block of every pass is even; return the corrected bits."""
    passes: list[_Pass] = []
    corrected, is_corrected = np.empty(0, np.int32), np.zeros(length, bool)
    for number, size in enumerate(_block_sizes(length, error_rate)):
        passes.append(_Pass(number, length, seed))
        yield from _compare_blocks(passes, size, corrected, ask)
        while odd := [each for each in passes if len(each.odd)]:
            smallest = min(odd, key=lambda each: int((each.ends(each.odd) - each.odd).min()))
            found = yield from _bisect(smallest, corrected, ask)
            # True parities never correct a bit twice; the check makes the walk end on any answers.
            if is_corrected[found].any():
                raise AuthenticationFailed("The parities of Cascade contradict each other.")
            is_corrected[found] = True
            corrected = np.concatenate([corrected, found])
            for each in passes:
                each.toggle(found)
    return corrected


def _compare_blocks(passes: list[_Pass], size: int, corrected: _Order, ask: _Ask) -> Talk[None]:
    """Compare the block parities of the newest pass."""
    new, length = passes[-1], len(passes[-1].order)
    # The parity of the whole key is known after the first pass, so that the last block's follows.
    whole = [length] if new.number == 0 else []
    ends = np.append(np.arange(size, length, size), whole).astype(np.intp)
    if ends.size:
        new.parity[ends] = yield from ask(new.number, new.order, ends)
    new.parity[length] = passes[0].parity[length]
    new.cut(ends[ends < length])
    left = new.remaining(corrected)(new.edges)
    new.odd = new.edges[:-1][left[1:] != left[:-1]]


def _bisect(chosen: _Pass, corrected: _Order, ask: _Ask) -> Talk[_Order]:
    """Halve all odd blocks of a pass, side by side, down to one error each; return those bits."""
    left = chosen.remaining(corrected)
    low, high, base = chosen.odd.copy(), chosen.ends(chosen.odd), left(chosen.odd)
    cuts = [low[:0]]
    while (long := np.flatnonzero(high - low > 1)).size:
        middle = (low[long] + high[long]) // 2
        chosen.parity[middle] = yield from ask(chosen.number, chosen.order, middle)
        cuts.append(middle)
        # The parity before a place first differs from that before the block beyond the error.
        even = left(middle) == base[long]
        low[long[even]], high[long[~even]] = middle[even], middle[~even]
    chosen.cut(np.concatenate(cuts))
    chosen.odd = low  # blocks of one bit now, which its correction makes even
    return chosen.order[low]
