"""Rounds by the hundred million: blocks of them, drawn from the exact outcome probabilities.

A round is one byte, its *code*: ``(x * ny + y) * k * k + a * k + b`` for the settings (x, y) and
the outcomes (a, b), with k = 2, or k = 3 where an outcome may be no click (index 2).

Every round takes one 16-bit draw for its setting pair, from a keystream of the protocol, and one
for its outcomes given the pair, from a keystream of the physics.  A draw is the upper part of a
64-bit number that is compared with cumulative probabilities.  Two tables know the answer for most
draws; where they do not, the other 48 bits are drawn, so nothing is ever rounded to 16 bits.
"""

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

from e91.devices.rounds.cumulative import CELL_BITS, OPEN, PAIR_BITS, Edges
from e91.devices.rounds.keystreams import KEY_BYTES, Stream, draws, keystream, words_at
from e91.model.bits import Bits
from e91.model.randomness import Entropy
from e91.model.settings import Settings
from e91.system.compiled import compiled_code_may_run

BLOCK_ROUNDS = 2**18
"""Longest block: its draws and codes stay in a core's second-level cache."""

_PART = 2**15  # rounds that NumPy looks up at once: longer arrays cost page faults
_LANES = 8  # the compiled look-up works on words of eight codes


@dataclass(frozen=True, eq=False)
class RoundSampler:
    """Draws blocks of rounds; made by `round_sampler`.

    It has no state: the rounds of a block depend on the two keys and its number alone, so blocks
    may be drawn in any order, in any thread, and again.

    Attributes:
        shape: (nx, ny, k, k): settings of Alice and Bob, outcomes of each.
        physics_key: Key of the outcomes' streams.
        protocol_key: Key of the settings' streams.
        setting_edges: Cumulative probabilities of the setting pairs, one row.
        outcome_edges: Those of the outcomes, one row for each pair.
        pair_table: Where in ``cell_table`` the pair begins that the upper 12 bits of a settings
            draw give; uint32, shape (2**12,).
        cell_table: Code that the upper 11 bits of an outcomes draw give, 255 where they do not
            decide: 2**11 entries for each pair, then as many of 255 for draws that do not decide
            the pair; uint8.
    """

    shape: tuple[int, ...]
    physics_key: bytes = field(repr=False)
    protocol_key: bytes = field(repr=False)
    setting_edges: Edges = field(repr=False)
    outcome_edges: Edges = field(repr=False)
    pair_table: NDArray[np.uint32] = field(repr=False)
    cell_table: Bits = field(repr=False)

    def fill(self, codes: Bits, *, block: int) -> None:
        """Overwrite ``codes`` with the first rounds of block number ``block``.

        A shorter buffer gets the beginning of what a longer one gets.  Settings depend on the
        protocol's key only.  The same rounds come with and without numba.

        Args:
            codes: Contiguous, writeable uint8 buffer, shape (n,), n at most 2**18.
            block: Number of the block, in [0, 2**64).

        Raises:
            ValueError: The buffer is not as described, or the block number leaves its range.
        """
        _check_buffer(codes)
        padded = -(-len(codes) // _LANES) * _LANES
        settings = draws(self.protocol_key, padded, stream=Stream.SETTINGS, block=block)
        outcomes = draws(self.physics_key, padded, stream=Stream.OUTCOMES, block=block)
        # The compiled look-up writes whole words; the caller's buffer may not consist of them.
        fits = len(codes) == padded and codes.__array_interface__["data"][0] % _LANES == 0
        whole = codes if fits else np.empty(padded, np.uint8)
        left = self._look_up(settings, outcomes, whole)
        whole[left] = self._decide(left, settings[left], outcomes[left], block=block)
        if not fits:
            codes[:] = whole[: len(codes)]

    def sample_entropy(self, block: int) -> Entropy:
        """Return the protocol's bytes that choose the sample of block number ``block``."""
        return keystream(self.protocol_key, stream=Stream.SAMPLE, block=block)

    def _look_up(
        self, settings: NDArray[np.uint16], outcomes: NDArray[np.uint16], codes: Bits
    ) -> NDArray[np.intp]:
        """Fill ``codes`` from the tables; return the rounds that they leave open."""
        if not compiled_code_may_run():
            for start in range(0, len(codes), _PART):
                part = slice(start, start + _PART)
                pair = settings[part] >> np.uint16(16 - PAIR_BITS)
                place = np.take(self.pair_table, pair, mode="clip")
                place += outcomes[part] >> np.uint16(16 - CELL_BITS)
                np.take(self.cell_table, place, out=codes[part], mode="clip")
            return np.flatnonzero(codes == OPEN)
        from e91.devices.rounds import draw_kernels

        left = np.empty(len(codes), np.intp)
        tables = self.pair_table, self.cell_table
        tops = self.setting_edges.tops[0], self.outcome_edges.tops
        return left[: draw_kernels.draw_rounds(settings, outcomes, codes, *tables, *tops, left)]

    def _decide(
        self,
        rounds: NDArray[np.intp],
        settings: NDArray[np.uint16],
        outcomes: NDArray[np.uint16],
        *,
        block: int,
    ) -> Bits:
        """Return the codes of ``rounds`` from all 64 bits of their numbers.

        The lower 48 bits depend on the round's place alone, so that no stream can shift another.
        """
        setting, outcome = (
            upper.astype(np.uint64) << np.uint64(48)
            | words_at(key, rounds, stream=stream, block=block) >> np.uint64(16)
            for upper, key, stream in (
                (settings, self.protocol_key, Stream.SETTING_EXTENSIONS),
                (outcomes, self.physics_key, Stream.OUTCOME_EXTENSIONS),
            )
        )
        pairs, cells = self.setting_edges, self.outcome_edges
        if compiled_code_may_run():
            from e91.devices.rounds import draw_kernels

            codes = np.empty(len(rounds), np.uint8)
            edges = pairs.numbers, pairs.last, cells.numbers, cells.last
            draw_kernels.decide(setting, outcome, *edges, codes)
            return codes
        pair = pairs.cells(setting, rows=np.zeros(len(rounds), np.uint8))
        first = pair * np.uint8(self.shape[2] * self.shape[3])
        return first + cells.cells(outcome, rows=pair)


def round_sampler(
    table: ArrayLike, *, settings: Settings, physics_key: bytes, protocol_key: bytes
) -> RoundSampler:
    """Return a sampler of the rounds of a memoryless device.

    Args:
        table: Probability of the outcomes (a, b) at the settings (x, y), as ``table[x, y, a, b]``;
            shape (nx, ny, k, k), k = 2, or 3 with no click as the last outcome.  What
            `e91.devices.exact.outcome_table` returns.  Each pair's sum is made 1 exactly.
        settings: How often each setting is chosen; x and y are independent.
        physics_key: 32 bytes that fix the outcomes, e.g. from `keystreams.seeded_key`.
        protocol_key: 32 bytes that fix the settings; never the same.

    Raises:
        ValueError: The table does not fit the settings or is no table of probabilities, there
            are more than 255 codes, a key has another length, or the keys are equal.

    Examples:
        >>> from e91.model.settings import BBM92
        >>> uniform = np.full((2, 4, 2, 2), 0.25)
        >>> sampler = round_sampler(
        ...     uniform, settings=BBM92, physics_key=bytes(32), protocol_key=b"1" * 32
        ... )
        >>> codes = np.empty(100_000, np.uint8)
        >>> sampler.fill(codes, block=0)
        >>> bool(11_000 < np.count_nonzero(codes // 4 == 3) < 14_000)  # pair (0, 3), one in eight
        True
    """
    checked = checked_table(table, settings=settings)
    if checked.size > OPEN:
        raise ValueError(f"`table` must have at most {OPEN} entries, but has {checked.size}.")
    _check_keys(physics_key=physics_key, protocol_key=protocol_key)
    probabilities = (settings.alice_probabilities, settings.bob_probabilities)
    alice, bob = ([Fraction(p) for p in party] for party in probabilities)
    rows = [[Fraction(p) for p in row] for row in checked.reshape(len(alice) * len(bob), -1)]
    setting_edges, outcome_edges = Edges.of([[p * q for p in alice for q in bob]]), Edges.of(rows)
    return RoundSampler(
        shape=checked.shape,
        physics_key=physics_key,
        protocol_key=protocol_key,
        setting_edges=setting_edges,
        outcome_edges=outcome_edges,
        pair_table=_pair_table(setting_edges),
        cell_table=_cell_table(outcome_edges),
    )


def _pair_table(edges: Edges) -> NDArray[np.uint32]:
    pair = edges.table(PAIR_BITS)[0]
    row = np.where(pair == OPEN, edges.numbers.shape[1] + 1, pair).astype(np.uint32)
    table: NDArray[np.uint32] = row << np.uint32(CELL_BITS)
    return table


def _cell_table(edges: Edges) -> Bits:
    cells = edges.table(CELL_BITS)
    first_code = np.arange(len(cells)) * (edges.numbers.shape[1] + 1)
    codes = np.where(cells == OPEN, OPEN, cells + first_code[:, None])
    return np.vstack([codes, np.full_like(codes[:1], OPEN)]).astype(np.uint8).ravel()


def _check_keys(*, physics_key: bytes, protocol_key: bytes) -> None:
    for name, key in (("physics_key", physics_key), ("protocol_key", protocol_key)):
        if len(key) != KEY_BYTES:
            raise ValueError(f"`{name}` must have {KEY_BYTES} bytes, but has {len(key)}.")
    if physics_key == protocol_key:
        raise ValueError("`protocol_key` must differ from `physics_key`, but is the same.")


def _check_buffer(codes: Bits) -> None:
    if codes.dtype != np.uint8 or codes.ndim != 1:
        raise ValueError(
            f"`codes` must be uint8 of shape (n,), but is {codes.dtype} of shape {codes.shape}."
        )
    if len(codes) > BLOCK_ROUNDS:
        raise ValueError(
            f"`codes` must hold at most {BLOCK_ROUNDS} rounds, but holds {len(codes)}."
        )
    if not (codes.flags.c_contiguous and codes.flags.writeable):
        raise ValueError("`codes` must be contiguous and writeable, but is not.")


def checked_table(table: ArrayLike, *, settings: Settings) -> NDArray[np.float64]:
    """Return a read-only copy of ``table`` if it holds probabilities for these settings.

    Raises:
        ValueError: It has another shape, a negative entry, or a pair whose sum is not 1.
    """
    checked = np.array(table, np.float64)
    pairs = (len(settings.alice_angles), len(settings.bob_angles))
    if checked.shape not in [(*pairs, 2, 2), (*pairs, 3, 3)]:
        raise ValueError(
            f"`table` must have shape {(*pairs, 2, 2)} or {(*pairs, 3, 3)}, but has shape "
            f"{checked.shape}."
        )
    sums = checked.sum(axis=(2, 3))
    if not (checked.min() >= 0 and np.allclose(sums, 1, rtol=0, atol=1e-9)):
        raise ValueError(
            "`table` must hold probabilities that sum to 1 at each setting pair, but its entries "
            f"start at {checked.min():.3g} and its sums span [{sums.min():.9g}, {sums.max():.9g}]."
        )
    checked.flags.writeable = False
    return checked
