"""Sifting of rounds that are one byte each: the exchange of `sifting.two_party`, by the block.

The announcements are those of `sifting.two_party`, written down a block at a time: each party's
setting and, where the pair is a Bell test, its outcome; Alice's sample; both parties' bits of the
revealed key rounds.  They pass the same `Channel`, so the same tags cover them.  What a party keeps
is packed.

Here one function runs both parties.  It holds the code of a round, which is both parties' settings
and outcomes, so it is not the shape of the program that keeps Bob from seeing Alice's key, as it is
in `sifting.two_party`.  What holds the separation instead is tests: from the same rounds and the
same sample both ways give the same evidence and the same two keys, and no announcement of a block
depends on a key bit that is kept (`test_packed_sifting_gives_what_sifting_by_messages_gives`,
`test_announcement_of_a_key_round_is_the_same_whatever_its_bits_are`).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from e91.distillation.sifting import packing
from e91.distillation.sifting.packing import Counts, PairTable
from e91.distillation.sifting.two_party import Sifted, evidence_of
from e91.model.bits import NO_CLICK, Bits
from e91.model.evidence import Evidence
from e91.model.messages import Channel, Message, Party
from e91.model.randomness import Entropy
from e91.model.records import SiftedKey
from e91.model.settings import Settings
from e91.system.workspace import zero_bytes

_HIDDEN = 3  # stands for an outcome that stays hidden; 0, 1, 2 are announced


@dataclass(frozen=True, eq=False)
class CodeTable:
    """What every code of a round means, from `code_table`.

    Attributes:
        settings: Angles, probabilities and roles.
        outcomes: k, outcomes of each party: 2, or 3 with no click.
        assign_lost: Whether a missing click counts as outcome 0.
        roles: What each code is for; uint8, shape (256,).
        says: Alice's announcement of each code, plus 256 times Bob's; uint32, shape (256,).  An
            announcement is ``4 * setting + outcome``, with 3 for an outcome that stays hidden.
        pairs: The announcements of two rounds in a byte, or None if they do not fit.

    Examples:
        >>> from e91.model.settings import BBM92
        >>> code_table(BBM92).shape
        (2, 4, 2, 2)
    """

    settings: Settings
    outcomes: int
    assign_lost: bool
    roles: Bits
    says: NDArray[np.uint32]
    pairs: PairTable | None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Numbers of settings and outcomes: (nx, ny, k, k)."""
        alice, bob = self.settings.alice_angles, self.settings.bob_angles
        return len(alice), len(bob), self.outcomes, self.outcomes


def code_table(settings: Settings, *, outcomes: int = 2, assign_lost: bool = False) -> CodeTable:
    """Return the meaning of every code.

    Args:
        settings: At most 63 settings a party.
        outcomes: k: 2, or 3 with no click.
        assign_lost: Count a missing click as outcome 0 instead of discarding the round.

    Returns:
        For every code of a round its settings, outcomes and role; arrays of shape (256,).

    Raises:
        ValueError: There are too many settings, or k is neither 2 nor 3.

    Examples:
        >>> from e91.model.settings import BBM92
        >>> meaning = code_table(BBM92)
        >>> divmod(int(meaning.says[9]), 256)   # pair (0, 2) is a test: 4 * 2 + 1 and 4 * 0 + 0
        (9, 0)
    """
    roles = packing.key_roles(settings, outcomes=outcomes, assign_lost=assign_lost)
    if max(len(settings.alice_angles), len(settings.bob_angles)) > 63:
        raise ValueError("`settings` must have at most 63 angles a party, but has more.")
    says, tests = np.zeros(256, np.uint32), {pair for pair, _ in settings.chsh_pairs}
    sizes = len(settings.alice_angles), len(settings.bob_angles), outcomes, outcomes
    for code, (x, y, a, b) in enumerate(np.ndindex(*sizes)):
        # A loss discards the round, so it is announced of every pair; but where it counts as an
        # outcome it is one, and in a key round a bit of the key.
        alice, bob = (
            _assigned(outcome, assign_lost)
            if (x, y) in tests or (outcome == NO_CLICK and not assign_lost)
            else _HIDDEN
            for outcome in (a, b)
        )
        says[code] = 4 * x + alice + 256 * (4 * y + bob)
    return CodeTable(settings, outcomes, assign_lost, roles, says, packing.pair_table(says))


def _assigned(outcome: int, assign_lost: bool) -> int:
    return 0 if assign_lost and outcome == NO_CLICK else outcome


@dataclass(frozen=True, eq=False)
class MeasuredBlock:
    """Both parties' view of a block after its last round, before the first announcement.

    Attributes:
        alice: Alice's result of sifting.
        bob: Bob's.
        announcements: What they say to get there, in order.

    Examples:
        >>> import os
        >>> from e91.model.settings import BBM92
        >>> block = measure([np.zeros(16, np.uint8)], meaning=code_table(BBM92), fraction=0.1,
        ...                 entropies=[os.urandom], rounds=16)
        >>> alice, bob = block.announce(Channel())
        >>> len(alice.key) + alice.evidence.sample_size, len(alice.key) == len(bob.key)
        (16, True)
    """

    alice: Sifted
    bob: Sifted
    announcements: tuple[Message, ...] = field(repr=False)

    def announce(self, channel: Channel) -> tuple[Sifted, Sifted]:
        """Let both parties say what they have to say; return Alice's and Bob's results.

        Args:
            channel: Carries the announcements, and keeps the transcript.
        """
        for message in self.announcements:
            channel.send(message)
        return self.alice, self.bob


def measure(
    parts: Iterable[Bits],
    *,
    meaning: CodeTable,
    fraction: float,
    entropies: Iterable[Entropy],
    rounds: int,
) -> MeasuredBlock:
    """Take in all rounds of a block, as they are drawn, and say nothing yet.

    Whoever heard of some rounds while others are still measured could lose the photons to come as
    soon as chance has been kind, and so choose the number of rounds by their outcomes; the bounds
    on phase errors and S do not hold for that.

    Args:
        parts: Codes of consecutive rounds; contiguous uint8.  An array may be used again for the
            next part.
        meaning: What the codes mean.
        fraction: Probability that a key round is revealed.
        entropies: The protocol's randomness for the sample, one source a part.
        rounds: Rounds in all parts together, at most.

    Returns:
        The block, with both parties' announcements ready and none of them sent.

    Raises:
        ValueError: A code does not exist, or there are more rounds than ``rounds``.

    Examples:
        >>> import os
        >>> from e91.model.settings import BBM92
        >>> codes = np.zeros(1000, np.uint8)  # settings (0, 0), outcomes (0, 0)
        >>> found = measure([codes], meaning=code_table(BBM92), fraction=0.1,
        ...                 entropies=[os.urandom], rounds=1000)
        >>> len(found.alice.key) + found.alice.evidence.sample_size
        1000
    """
    room = 8 * -(-rounds // 64) + 8
    keys = zero_bytes(room), zero_bytes(room)
    counts, revealed = np.zeros(256, np.int64), np.zeros(256, np.int64)
    position, announcements = 0, list[Message]()
    for codes, entropy in zip(parts, entropies, strict=False):
        sample = packing.draw_sample(entropy, fraction=fraction, rounds=len(codes))
        done = packing.append_key(
            codes, roles=meaning.roles, sample=sample, alice=keys[0], bob=keys[1], position=position
        )
        cells = int(np.prod(meaning.shape))
        counts[:cells] += packing.tally(codes, cells=cells)
        revealed += done.revealed
        position = done.position
        announcements += _announcements(codes, sample=sample, shown=done.shown, meaning=meaning)
    evidence = _evidence(counts, revealed, meaning)
    whole = -(-position // 8)
    alice, bob = (SiftedKey.from_packed(key[:whole], position) for key in keys)
    return MeasuredBlock(Sifted(alice, evidence), Sifted(bob, evidence), tuple(announcements))


def _announcements(
    codes: Bits, *, sample: Bits, shown: Bits, meaning: CodeTable
) -> Iterator[Message]:
    """Yield what both parties say about a part; nothing of it tells of a key bit that is kept."""
    said = packing.announcements(codes, says=meaning.says, pairs=meaning.pairs)
    for party, body in zip(Party, said, strict=True):
        yield Message(party, "settings and tests", body.tobytes())
    yield Message(Party.ALICE, "sample", sample.tobytes())
    outcomes = (meaning.roles[shown] & 2) > 0, (meaning.roles[shown] & 1) > 0
    for party, bits in zip(Party, outcomes, strict=True):
        yield Message(party, "revealed outcomes", np.packbits(bits).tobytes())


def _evidence(counts: Counts, revealed: Counts, meaning: CodeTable) -> Evidence:
    """Return the public counts; a lost photon that counts as 0 is added there first."""
    size = int(np.prod(meaning.shape))
    table = _clicks(counts[:size].reshape(meaning.shape), meaning)
    shown = _clicks(revealed[:size].reshape(meaning.shape), meaning)
    return evidence_of(table.sum(axis=(2, 3)), table, shown, table - shown, meaning.settings)


def _clicks(table: Counts, meaning: CodeTable) -> Counts:
    """Return the counts of outcomes 0 and 1; shape (nx, ny, 2, 2)."""
    kept = table[:, :, :2, :2].copy()
    if meaning.assign_lost and meaning.outcomes == 3:
        kept[:, :, 0, :] += table[:, :, 2, :2]
        kept[:, :, :, 0] += table[:, :, :2, 2]
        kept[:, :, 0, 0] += table[:, :, 2, 2]
    return kept
