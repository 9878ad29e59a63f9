"""What both parties know after sifting: the counts on which every verdict rests."""

from __future__ import annotations

from dataclasses import dataclass

JointCounts = tuple[int, int, int, int]
"""Rounds with outcomes (0, 0), (0, 1), (1, 0), (1, 1) of Alice and Bob."""


@dataclass(frozen=True)
class Sample:
    """The rounds of one key pair.

    Attributes:
        key_size: Rounds that were not revealed.
        revealed: Rounds that were revealed to estimate the QBER.
        errors: How many of the revealed ones differed.
    """

    key_size: int
    revealed: int
    errors: int


@dataclass(frozen=True)
class Evidence:
    """The public counts of a session.

    Attributes:
        tests: Outcomes of the Bell-test rounds, one table per pair of ``settings.chsh_pairs``.
        samples: The key rounds, one entry per pair of ``settings.key_pairs``.
        pair_counts: Rounds of each setting pair in which both parties saw a photon;
            ``pair_counts[x][y]``.

    Examples:
        >>> evidence = Evidence(((40, 10, 10, 40),) * 4, (Sample(90, 10, 1),), ((250, 250),) * 2)
        >>> evidence.same, evidence.different, evidence.key_size, evidence.coincidences
        ((80, 80, 80, 80), (20, 20, 20, 20), 90, 1000)
    """

    tests: tuple[JointCounts, ...]
    samples: tuple[Sample, ...]
    pair_counts: tuple[tuple[int, ...], ...]

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
    def coincidences(self) -> int:
        """Rounds in which both parties saw a photon."""
        return sum(map(sum, self.pair_counts))
