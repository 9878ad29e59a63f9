"""What a session of a given link is expected to see: the mean of every count."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from e91.bell import chsh
from e91.distillation.verification import HASH_BITS
from e91.model.evidence import Evidence, KeySample
from e91.model.numbers import TSIRELSON, check_fractions, check_within
from e91.model.records import Leak, QberEstimate
from e91.model.settings import Settings
from e91.model.trust import SecurityModel
from e91.security.policy import Policy
from e91.security.shannon import binary_entropy
from e91.security.theorems import Case
from e91.session.cases import case_of


@dataclass(frozen=True)
class Link:
    """What a link delivers, as its statistics say.

    Attributes:
        chsh_value: S, in [0, 4].
        qber: Error rate of the key rounds, in [0, 1].
        efficiency: Error correction discloses this many times n h(QBER); at least 1.  Measured for
            Cascade here: 1.03 to 1.1.

    Raises:
        ValueError: A number leaves its range.
    """

    chsh_value: float
    qber: float
    efficiency: float = 1.1

    def __post_init__(self) -> None:
        check_within(0, 4, chsh_value=self.chsh_value)
        check_fractions(qber=self.qber)
        if not 1 <= self.efficiency < math.inf:
            raise ValueError(
                f"`efficiency` must be finite and at least 1, but is {self.efficiency}."
            )

    @classmethod
    def werner(cls, visibility: float) -> Link:
        """Return the link of Werner pairs, which has S = 2 sqrt 2 V and QBER = (1 - V) / 2.

        Args:
            visibility: V, in [0, 1].
        """
        return cls(TSIRELSON * visibility, (1 - visibility) / 2)

    @property
    def winning_probability(self) -> float:
        """Probability that a Bell-test round has the sign that the CHSH sum wants."""
        return 0.5 + self.chsh_value / 8


def quantum_limit(qber: float, *, trusted: bool) -> float:
    """Return the largest S that any state can show beside an error rate of the key.

    It is 2 sqrt(2) without trust, and 2 sqrt(2) (1 - QBER) between trusted analysers: there
    S / (2 sqrt 2) + QBER + phase errors = 1 for every state of two qubits.

    Args:
        qber: Error rate of the key rounds, in [0, 1].
        trusted: Whether both analysers are what they are declared to be.

    Source:
        Cirel'son, Lett. Math. Phys. 4, 93 (1980); the identity is that of docs/security.md.

    Examples:
        >>> round(quantum_limit(0.1, trusted=False), 4), round(quantum_limit(0.1, trusted=True), 4)
        (2.8284, 2.5456)
    """
    return TSIRELSON * (1 - qber) if trusted else TSIRELSON


def expected_case(link: Link, rounds: int, settings: Settings, policy: Policy) -> Case:
    """Return what a session of this length is expected to know when its key length is due.

    An S beyond quantum theory counts as the largest within it (`quantum_limit`).

    Args:
        link: What the link delivers.
        rounds: Rounds of the session; the expected counts are rounded.
        settings: Angles and choice probabilities.
        policy: Theorem, epsilon and revealed fraction.
    """
    trusted = policy.security is SecurityModel.TRUSTED_ANALYSERS
    link = replace(link, chsh_value=min(link.chsh_value, quantum_limit(link.qber, trusted=trusted)))
    evidence = _expected_evidence(link, rounds, settings, policy.revealed_fraction)
    found = chsh.estimate(
        evidence.same, evidence.different, settings=settings, epsilon=policy.epsilon
    )
    found = replace(found, value=link.chsh_value)  # counts are rounded, and rare ones much
    flip = policy.flip_probability
    error = link.qber + flip - 2 * link.qber * flip
    disclosed = math.ceil(link.efficiency * evidence.key_size * binary_entropy(min(error, 0.5)))
    qber = QberEstimate(link.qber, 1.0, evidence.sample_size, evidence.sample_errors)
    leak = Leak(disclosed + HASH_BITS, disclosed)
    return case_of(evidence, settings=settings, policy=policy, found=found, qber=qber, leak=leak)


def _expected_evidence(
    link: Link, rounds: int, settings: Settings, revealed_fraction: float
) -> Evidence:
    def sample(probability: float) -> KeySample:
        """Return what is revealed of a key pair, and how many errors that shows."""
        revealed = rounds * probability * revealed_fraction
        return KeySample(
            round(rounds * probability - revealed), round(revealed), round(revealed * link.qber)
        )

    pairs = np.outer(settings.alice_probabilities, settings.bob_probabilities) * rounds
    tests = [rounds * settings.pair_probability(pair) for pair, _ in settings.chsh_pairs]
    winning = link.winning_probability
    # Both outcomes of a win are equally frequent, so wins and losses are even.
    wins = [2 * round(n * winning / 2) for n in tests]
    losses = [2 * round((n - n * winning) / 2) for n in tests]
    return Evidence.of_wins(
        settings,
        wins,
        losses,
        samples=tuple(sample(settings.pair_probability(pair)) for pair in settings.key_pairs),
        pair_counts=tuple(tuple(round(n) for n in row) for row in pairs.tolist()),
    )
