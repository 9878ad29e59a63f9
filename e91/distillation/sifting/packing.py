"""Sifting at full speed: tally, announcements, samples, packed keys of one-byte rounds.

A round is its *code*, ``(x * ny + y) * k * k + a * k + b`` for the settings (x, y) and the outcomes
(a, b), with k = 2, or k = 3 where an outcome may be no click (index 2).  What
`sifting.two_party` does with messages, one party at a time, is done here with a key buffer
for each party, first bit in the most significant place of a byte, and public counts.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from e91.model.bits import NO_CLICK, Bits
from e91.model.numbers import check_between_zero_and_one, check_whole
from e91.model.randomness import Entropy
from e91.model.settings import Settings
from e91.system.compiled import compiled_code_may_run

Counts = NDArray[np.int64]

PairTable = NDArray[np.uint16]
"""Announcements of two rounds: Alice's byte, plus 256 times Bob's; shape (65536,).

The index is the first round's code plus 256 times the second's.
"""

DISCARD = 0
"""Role of a round that makes no key."""

KEY = 4
"""Role of a key round; add 2 if Alice's bit is 1, and 1 if Bob's is (his outcome, or its
inverse where opposite outcomes are equal key bits)."""

_ALICE_ONE, _BOB_ONE = 2, 1
_CODES = 256
_UNUSED = 255  # never the code of a round: there are at most 255 of them
_WORD = 64
_NARROW = 0x0F0F  # announcements that fit into half a byte, Alice's and Bob's
_IS_ROLE = np.isin(np.arange(_CODES), [DISCARD, *range(KEY, 2 * KEY)])


@dataclass(frozen=True, eq=False)
class AppendedKey:
    """What `append_key` did.

    Attributes:
        position: Number of key bits that each buffer holds now.
        shown: Codes of the revealed key rounds, in their order; uint8.
    """

    position: int
    shown: Bits

    @property
    def revealed(self) -> Counts:
        """How often each code occurred in the revealed rounds; int64, shape (256,)."""
        return np.bincount(self.shown, minlength=_CODES)


def key_roles(settings: Settings, *, outcomes: int = 2, assign_lost: bool = False) -> Bits:
    """Return the role of every code: `DISCARD`, or `KEY` with both parties' bits.

    Args:
        settings: Says which setting pairs make the key.
        outcomes: k, the number of outcomes of each party: 2, or 3 with no click.
        assign_lost: Whether a missing click counts as outcome 0, as a device-independent proof
            wants it, instead of discarding the round.

    Returns:
        uint8, shape (256,).

    Raises:
        ValueError: k is neither 2 nor 3, or there would be more than 255 codes.

    Examples:
        >>> from e91.model.settings import BBM92
        >>> key_roles(BBM92)[:6].tolist()                          # pair (0, 0) makes key
        [4, 5, 6, 7, 0, 0]
        >>> key_roles(BBM92, outcomes=3)[:9].tolist()
        [4, 5, 0, 6, 7, 0, 0, 0, 0]
        >>> key_roles(BBM92, outcomes=3, assign_lost=True)[:9].tolist()
        [4, 5, 4, 6, 7, 6, 4, 5, 4]
    """
    if outcomes not in (2, 3):
        raise ValueError(f"`outcomes` must be 2 or 3, but is {outcomes}.")
    choices = len(settings.bob_angles)
    codes = len(settings.alice_angles) * choices * outcomes**2
    if codes > _UNUSED:
        raise ValueError(f"`settings` must give at most {_UNUSED} codes, but gives {codes}.")
    roles = np.full(_CODES, DISCARD, np.uint8)
    cells = product(settings.signed_key_pairs, range(outcomes), range(outcomes))
    for ((x, y), sign), a, b in cells:
        if assign_lost or NO_CLICK not in (a, b):
            code = (x * choices + y) * outcomes**2 + a * outcomes + b
            roles[code] = KEY + _ALICE_ONE * (a == 1) + _BOB_ONE * ((b == 1) == (sign > 0))
    return roles


def tally(codes: Bits, *, cells: int) -> Counts:
    """Count every code.

    The counts of key pairs are no public numbers: only the revealed rounds of these are.

    Args:
        codes: Contiguous uint8, shape (n,).
        cells: Number of codes that exist.

    Returns:
        int64, shape (cells,); reshaped to (nx, ny, k, k) it is the table of counts.

    Raises:
        ValueError: The codes are not as described, or one is ``cells`` or more.

    Examples:
        >>> tally(np.array([0, 2, 2], np.uint8), cells=4).tolist()
        [1, 0, 2, 0]
    """
    _check_codes(codes)
    counts = _compiled_tally(codes) if compiled_code_may_run() else _tally_of_twos(codes)
    if counts[cells:].any():
        raise ValueError(
            f"`codes` must lie below {cells}, but reach {int(np.flatnonzero(counts)[-1])}."
        )
    return counts[:cells]


def pair_table(says: NDArray[np.uint32]) -> PairTable | None:
    """Return the announcements of two rounds in a byte, or None if half a byte is too little.

    Args:
        says: For each code Alice's announcement, plus 256 times Bob's; uint32, shape (256,).

    Examples:
        >>> hex(pair_table(np.arange(256, dtype=np.uint32) % 16)[7 + 256 * 2])
        '0x72'
    """
    if (says & ~np.uint32(_NARROW)).any():
        return None
    narrow = says.astype(np.uint16)
    table: PairTable = (narrow << np.uint16(4) | narrow[:, None]).ravel()
    return table


def announcements(
    codes: Bits, *, says: NDArray[np.uint32], pairs: PairTable | None
) -> tuple[Bits, Bits]:
    """Return what Alice and Bob announce about each round.

    Args:
        codes: Contiguous uint8, shape (n,).
        says: For each code Alice's announcement, plus 256 times Bob's; below 256 each; uint32,
            shape (256,).  Code 255, of no round, says 0.
        pairs: `pair_table` of the same.

    Returns:
        Alice's and Bob's bytes: two rounds in each, the first in the higher half, if every
        announcement is below 16; else one.  uint8, shape (ceil(n / 2),) or (n,) each.

    Examples:
        >>> says = np.arange(256, dtype=np.uint32) % 16 * 257
        >>> codes = np.array([7, 2], np.uint8)
        >>> alice, bob = announcements(codes, says=says, pairs=pair_table(says))
        >>> [hex(byte) for byte in alice]
        ['0x72']
    """
    if pairs is None:
        wide = np.take(says, codes)
        return wide.astype(np.uint8), (wide >> np.uint32(8)).astype(np.uint8)
    missing = -len(codes) % 8
    whole = np.pad(codes, (0, missing), constant_values=_UNUSED) if missing else codes
    size = -(-len(codes) // 2)
    if not compiled_code_may_run():
        both = np.take(pairs, whole.view("<u2"))[:size]
        return both.astype(np.uint8), (both >> np.uint16(8)).astype(np.uint8)
    from e91.distillation.sifting import packing_kernels

    alice, bob = (np.empty(len(whole) // 8, np.uint32) for _ in range(2))
    packing_kernels.announce(whole.view(np.uint64), pairs, alice, bob)
    return alice.view(np.uint8)[:size], bob.view(np.uint8)[:size]


def draw_sample(entropy: Entropy, *, fraction: float, rounds: int) -> Bits:
    """Choose rounds at random; return one packed bit a round, 1 for "reveal it if it is key".

    One byte decides unless it lies on the edge, where 56 more bits are drawn: the probability is
    met to 2**-64.

    Args:
        entropy: The protocol's; one byte a round, then eight for each round on the edge.
        fraction: Probability of a 1, strictly between 0 and 1.
        rounds: Number of rounds.

    Returns:
        uint8, shape (ceil(rounds / 8),), padded with zeros.

    Raises:
        ValueError: The fraction leaves its range, or the number of rounds is negative.

    Examples:
        >>> draw_sample(lambda size: bytes(size), fraction=0.1, rounds=9).tolist()
        [255, 128]
    """
    check_between_zero_and_one(fraction=fraction)
    check_whole(rounds=rounds)
    # A float times a power of two is exact, so rounding down is the only step that rounds.
    upper, lower = divmod(int(fraction * 2**64), 2**56)
    body = entropy(rounds)
    if not compiled_code_may_run():
        draws = np.frombuffer(body, np.uint8)
        shown = draws < upper
        edge = np.flatnonzero(draws == upper)
        shown[edge] = np.frombuffer(entropy(8 * len(edge)), "<u8") >> np.uint64(8) < lower
        return np.packbits(shown)
    from e91.distillation.sifting import packing_kernels

    # The bytes that fill the last word are never below the edge, and not looked at on it.
    words = np.frombuffer(body if rounds % 8 == 0 else body + b"\xff" * (-rounds % 8), np.uint64)
    sample, places = np.empty(len(words), np.uint8), np.empty(rounds, np.int32)
    places = places[: packing_kernels.choose(words, upper, rounds, sample, places)]
    further = np.frombuffer(entropy(8 * len(places)), np.uint64)
    packing_kernels.settle(sample, places, further, np.uint64(lower))
    return sample


def append_key(
    codes: Bits, *, roles: Bits, sample: Bits, alice: Bits, bob: Bits, position: int
) -> AppendedKey:
    """Append the key bits of the rounds that are not revealed to each party's packed key.

    A key fills from any number of calls, each going on where the last one ended, within a byte
    or not.  With n > 0, what follows the last bit in its 64-bit word is set to zero; the rest is
    left alone.

    Args:
        codes: Contiguous uint8, shape (n,).
        roles: What each code is for, from `key_roles`; uint8, shape (256,).
        sample: One packed bit a round, from `draw_sample`; 1 for "reveal if key".
        alice: Receives Alice's bits; contiguous, writeable uint8, in whole 64-bit words.
        bob: Receives Bob's, likewise.
        position: Number of bits that the buffers hold already.

    Returns:
        The new position, and the counts of what the revealed rounds show.

    Raises:
        ValueError: An array is not as described, or the buffers have no room for n bits more.

    Examples:
        >>> from e91.model.settings import BBM92
        >>> alice, bob = np.zeros(8, np.uint8), np.zeros(8, np.uint8)
        >>> codes = np.array([0, 3, 9, 1, 3], np.uint8)            # 9 is of pair (0, 2): no key
        >>> reveal_last = np.array([0b00001000], np.uint8)
        >>> done = append_key(
        ...     codes, roles=key_roles(BBM92), sample=reveal_last, alice=alice, bob=bob, position=0
        ... )
        >>> done.position, f"{alice[0]:08b}", f"{bob[0]:08b}", int(done.revealed[3])
        (3, '01000000', '01100000', 1)
    """
    _check_codes(codes)
    _check_roles(roles)
    _check_sample(sample, rounds=len(codes))
    for name, buffer in (("alice", alice), ("bob", bob)):
        _check_key_buffer(name, buffer, position=position, rounds=len(codes))
    if not len(codes):
        return AppendedKey(position, np.zeros(0, np.uint8))
    if not compiled_code_may_run():
        arrays = {"roles": roles, "sample": sample, "alice": alice, "bob": bob}
        return _append_by_numpy(codes, **arrays, position=position)
    from e91.distillation.sifting import packing_kernels

    whole, flags = codes, sample
    if missing := -len(codes) % _WORD:
        whole = np.pad(codes, (0, missing), constant_values=_UNUSED)
        flags = np.pad(sample, (0, len(whole) // 8 - len(sample)))
    shown = np.empty(len(whole), np.uint8)
    words = (alice.view(np.uint64), bob.view(np.uint64))
    filled, revealed = packing_kernels.pack(whole, roles, flags, *words, position, shown)
    return AppendedKey(filled, shown[:revealed].copy())


def _compiled_tally(codes: Bits) -> Counts:
    from e91.distillation.sifting import packing_kernels

    codes = codes.copy() if _address(codes) % 8 else codes
    whole = len(codes) // 8 * 8
    tables = np.zeros((4, _CODES), np.int64)
    packing_kernels.tally(codes[:whole].view(np.uint64), tables)
    counts: Counts = tables.sum(axis=0, dtype=np.int64)
    np.add.at(counts, codes[whole:], 1)
    return counts


def _tally_of_twos(codes: Bits) -> Counts:
    """Count by two codes at once: `bincount` takes as long for a number of 16 bits as of 8."""
    even = len(codes) // 2 * 2
    twos = np.bincount(codes[:even].view("<u2"), minlength=_CODES**2).reshape(_CODES, _CODES)
    last = np.bincount(codes[even:], minlength=_CODES)
    counts: Counts = twos.sum(axis=0) + twos.sum(axis=1) + last
    return counts


def _append_by_numpy(
    codes: Bits, *, roles: Bits, sample: Bits, alice: Bits, bob: Bits, position: int
) -> AppendedKey:
    role = np.take(roles, codes, mode="clip")
    key = role >= KEY
    chosen = np.unpackbits(sample, count=len(codes)).view(np.bool_)
    kept = np.compress(key & ~chosen, role)
    for buffer, one in ((alice, _ALICE_ONE), (bob, _BOB_ONE)):
        _append_bits(buffer, (kept & one) > 0, position=position)
    return AppendedKey(position + len(kept), np.compress(key & chosen, codes))


def _append_bits(buffer: Bits, bits: NDArray[np.bool_], *, position: int) -> None:
    """Write ``bits`` behind the first ``position`` bits, and zeros to the end of their word."""
    start, end = position // _WORD * 8, -(-(position + len(bits)) // _WORD) * 8
    head = np.unpackbits(buffer[start : start + 8], count=position % _WORD).view(np.bool_)
    packed = np.packbits(np.concatenate([head, bits]))
    buffer[start : start + len(packed)] = packed
    buffer[start + len(packed) : end] = 0


def _address(array: Bits) -> int:
    return int(array.__array_interface__["data"][0])


def _check_codes(codes: Bits) -> None:
    if codes.dtype != np.uint8 or codes.ndim != 1 or not codes.flags.c_contiguous:
        raise ValueError(
            f"`codes` must be contiguous uint8 of shape (n,), but is {_kind(codes)}, strides "
            f"{codes.strides}."
        )


def _check_roles(roles: Bits) -> None:
    if roles.dtype != np.uint8 or roles.shape != (_CODES,):
        raise ValueError(f"`roles` must be uint8 of shape ({_CODES},), but is {_kind(roles)}.")
    if not _IS_ROLE[roles].all():
        raise ValueError(f"`roles` must hold {DISCARD} or {KEY} to {2 * KEY - 1}, but does not.")
    if roles[_UNUSED] != DISCARD:
        raise ValueError(f"`roles` must discard the code {_UNUSED}, but gives it a key bit.")


def _check_sample(sample: Bits, *, rounds: int) -> None:
    shape = (-(-rounds // 8),)
    if sample.dtype != np.uint8 or sample.shape != shape or not sample.flags.c_contiguous:
        raise ValueError(
            f"`sample` must be contiguous uint8 of shape {shape}, but is {_kind(sample)}."
        )


def _check_key_buffer(name: str, buffer: Bits, *, position: int, rounds: int) -> None:
    if buffer.dtype != np.uint8 or buffer.ndim != 1 or len(buffer) % 8:
        raise ValueError(f"`{name}` must be uint8 in whole words of 8, but is {_kind(buffer)}.")
    if not (buffer.flags.c_contiguous and buffer.flags.writeable) or _address(buffer) % 8:
        raise ValueError(f"`{name}` must be contiguous, aligned and writeable, but is not.")
    if position < 0 or position + rounds > 8 * len(buffer):
        raise ValueError(
            f"`{name}` must have room for {rounds} bits from position {position}, but has "
            f"{8 * len(buffer)} bits in all."
        )


def _kind(array: Bits) -> str:
    return f"{array.dtype} of shape {array.shape}"
