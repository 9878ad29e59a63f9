"""What both parties know after sifting: the counts on which every verdict rests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from e91.model.settings import Settings

JointCounts = tuple[int, int, int, int]
"""Rounds with outcomes (0, 0), (0, 1), (1, 0), (1, 1) of Alice and Bob."""


def wins_and_losses(
    same: Sequence[int], different: Sequence[int], *, signs: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return how often each pair of a CHSH sum had the sign that the sum wants, and the other.

    Args:
        same: Rounds with equal outcomes, one count per pair.
        different: Rounds with unequal outcomes.
        signs: The sign of each pair in the sum: a pair with +1 is won by equal outcomes.

    Examples:
        >>> wins_and_losses((8, 3), (2, 7), signs=(+1, -1))
        ((8, 7), (2, 3))
    """
    pairs = list(zip(same, different, signs, strict=True))
    wins = tuple(equal if sign > 0 else unequal for equal, unequal, sign in pairs)
    losses = tuple(unequal if sign > 0 else equal for equal, unequal, sign in pairs)
    return wins, losses


def outcomes_of(
    wins: Sequence[int], losses: Sequence[int], *, signs: Sequence[int]
) -> tuple[JointCounts, ...]:
    """Return outcomes with these wins and losses, one table per pair; Alice's bits are balanced.

    Examples:
        >>> outcomes_of((8, 7), (2, 3), signs=(+1, -1))
        ((4, 1, 1, 4), (2, 4, 3, 1))
    """
    same, different = wins_and_losses(wins, losses, signs=signs)  # it is its own inverse
    return tuple(
        (equal - equal // 2, unequal - unequal // 2, unequal // 2, equal // 2)
        for equal, unequal in zip(same, different, strict=True)
    )


@dataclass(frozen=True)
class KeySample:
    """The rounds of one key pair, and what its revealed ones show; samples add up.

    Attributes:
        key_size: Rounds that were not revealed.
        revealed: Rounds that were revealed to estimate the QBER.
        errors: How many of the revealed ones differed.

    Examples:
        >>> KeySample(900, 100, 2) + KeySample(450, 50, 1)
        KeySample(key_size=1350, revealed=150, errors=3)
    """

    key_size: int
    revealed: int
    errors: int

    def __add__(self, other: KeySample) -> KeySample:
        return KeySample(
            self.key_size + other.key_size,
            self.revealed + other.revealed,
            self.errors + other.errors,
        )


@dataclass(frozen=True)
class Evidence:
    """The public counts of a session; those of several sessions with the same settings add up.

    Attributes:
        tests: Outcomes of the Bell-test rounds, one table per pair of ``settings.chsh_pairs``.
        samples: The key rounds, one entry per pair of ``settings.key_pairs``.
        pair_counts: Rounds of each setting pair in which both parties saw a photon;
            ``pair_counts[x][y]``.
        signs: The sign of each of ``settings.chsh_pairs`` in the CHSH sum.

    Examples:
        >>> tests, seen = ((40, 10, 10, 40), (5, 45, 45, 5)), ((250, 250),)
        >>> evidence = Evidence(tests, (KeySample(90, 10, 1),), seen, signs=(+1, -1))
        >>> evidence.same, evidence.wins, evidence.losses, (evidence + evidence).key_size
        ((80, 10), (80, 90), (20, 10), 180)
    """

    tests: tuple[JointCounts, ...]
    samples: tuple[KeySample, ...]
    pair_counts: tuple[tuple[int, ...], ...]
    signs: tuple[int, ...]

    @classmethod
    def empty(cls, settings: Settings) -> Evidence:
        """Return the evidence before the first announcement: every count is 0.

        Args:
            settings: Which pairs are tested and make key.
        """
        return cls(
            tests=((0, 0, 0, 0),) * len(settings.chsh_pairs),
            samples=(KeySample(0, 0, 0),) * len(settings.key_pairs),
            pair_counts=((0,) * len(settings.bob_angles),) * len(settings.alice_angles),
            signs=settings.signs,
        )

    @classmethod
    def of_wins(
        cls,
        settings: Settings,
        wins: Sequence[int],
        losses: Sequence[int],
        *,
        samples: tuple[KeySample, ...],
        pair_counts: tuple[tuple[int, ...], ...],
    ) -> Evidence:
        """Return evidence with these wins and losses, one count per CHSH pair.

        Args:
            settings: Their signs say which outcomes win.
            wins: Bell-test rounds with the sign that the CHSH sum wants.
            losses: Bell-test rounds with the other sign.
            samples: As the attribute.
            pair_counts: As the attribute.
        """
        tests = outcomes_of(wins, losses, signs=settings.signs)
        return cls(tests, samples, pair_counts, settings.signs)

    def __add__(self, other: Evidence) -> Evidence:
        """Return the counts of both together.

        Raises:
            ValueError: They were made with other pairs or signs.
        """
        if self.shape != other.shape:
            raise ValueError(
                f"Evidence must be of the same setting pairs and CHSH signs to be added, but is of "
                f"{self.shape} and {other.shape}."
            )
        return Evidence(
            tests=tuple(
                (a + e, b + f, c + g, d + h)
                for (a, b, c, d), (e, f, g, h) in zip(self.tests, other.tests, strict=True)
            ),
            samples=tuple(a + b for a, b in zip(self.samples, other.samples, strict=True)),
            pair_counts=tuple(
                tuple(a + b for a, b in zip(row, more, strict=True))
                for row, more in zip(self.pair_counts, other.pair_counts, strict=True)
            ),
            signs=self.signs,
        )

    @property
    def shape(self) -> tuple[tuple[int, ...], int, tuple[int, ...]]:
        """What evidence must share to be added: signs, key pairs, pairs by Alice's setting."""
        return self.signs, len(self.samples), tuple(map(len, self.pair_counts))

    @property
    def wins(self) -> tuple[int, ...]:
        """Bell-test rounds with the sign that the CHSH sum wants, one count per CHSH pair."""
        return wins_and_losses(self.same, self.different, signs=self.signs)[0]

    @property
    def losses(self) -> tuple[int, ...]:
        """Bell-test rounds with the other sign, one count per CHSH pair."""
        return wins_and_losses(self.same, self.different, signs=self.signs)[1]

    @property
    def same(self) -> tuple[int, ...]:
        """Bell-test rounds with equal outcomes, one count per CHSH pair."""
        return tuple(counts[0] + counts[3] for counts in self.tests)

    @property
    def different(self) -> tuple[int, ...]:
        """Bell-test rounds with unequal outcomes, one count per CHSH pair."""
        return tuple(counts[1] + counts[2] for counts in self.tests)

    @property
    def test_size(self) -> int:
        """Bell-test rounds, all pairs together."""
        return sum(map(sum, self.tests))

    @property
    def key_size(self) -> int:
        """Key rounds that were not revealed, all key pairs together."""
        return sum(sample.key_size for sample in self.samples)

    @property
    def sample_size(self) -> int:
        """Key rounds that were revealed, all key pairs together."""
        return sum(sample.revealed for sample in self.samples)

    @property
    def sample_errors(self) -> int:
        """How many of the revealed key rounds differed."""
        return sum(sample.errors for sample in self.samples)

    @property
    def error_rate(self) -> float | None:
        """The QBER of the revealed key rounds; None if there are none."""
        return self.sample_errors / self.sample_size if self.sample_size else None

    @property
    def coincidences(self) -> int:
        """Rounds in which both parties saw a photon."""
        return sum(map(sum, self.pair_counts))
