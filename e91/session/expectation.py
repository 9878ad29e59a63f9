"""What a session of a given link is expected to see, and how often an honest one is refused."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import betainc, betaincc

from e91.distillation import ldpc
from e91.distillation.verification import HASH_BITS
from e91.model.evidence import Evidence, KeySample
from e91.model.numbers import TSIRELSON, check_fractions, check_whole, check_within
from e91.model.records import ChshEstimate, Leak
from e91.model.settings import Settings
from e91.model.trust import SecurityModel
from e91.security.policy import Policy, Reconciler
from e91.security.shannon import binary_entropy
from e91.security.theorems import Case
from e91.session.protocol import expected_error_rate
from e91.session.verdict import FALSE_ALARM, case_of, chsh_estimate, verdict_of


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

    Examples:
        >>> link = Link(chsh_value=2.74, qber=0.015)
        >>> round(link.winning_probability, 4), round(Link.werner(0.97).chsh_value, 4)
        (0.8425, 2.7436)
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

    Returns:
        S, at most 2 sqrt 2.

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
    found = chsh_estimate(evidence, settings=settings, epsilon=policy.epsilon)
    found = replace(found, value=link.chsh_value)  # counts are rounded, and rare ones much
    flip = policy.flip_probability
    error = link.qber + flip - 2 * link.qber * flip
    disclosed = math.ceil(link.efficiency * evidence.key_size * binary_entropy(min(error, 0.5)))
    leak = Leak(disclosed + HASH_BITS, disclosed)
    if policy.reconciler is Reconciler.LDPC:
        leak = ldpc_leak(evidence, evidence.sample_errors, policy)
    return case_of(
        evidence, settings=settings, policy=policy, found=found, error_rate=link.qber, leak=leak
    )


def ldpc_leak(evidence: Evidence, sample_errors: int, policy: Policy) -> Leak:
    """Return what LDPC and the hash disclose of a session's key: Alice's bits alone.

    Args:
        evidence: Gives the sizes of key and sample.
        sample_errors: Errors among the revealed bits.
        policy: Whether Alice flips bits.
    """
    revealed = evidence.sample_size
    rate = expected_error_rate(sample_errors, revealed, flip=policy.flip_probability)
    return Leak(ldpc.shape(evidence.key_size, rate, revealed).disclosed_bits + HASH_BITS)


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


RECONCILER_FAILURE = {Reconciler.CASCADE: 1e-4, Reconciler.LDPC: 1e-3}
"""How often an error is left in a key, at most; measured, not proved.

Cascade (``python -m benchmarks.cascade 30000 --length 1000 --rate 0.03``), to this precision only
at up to 1,000 bits, leaves an error in about one frame in 10^4 at the most.  LDPC is laid out for
1e-3 (``python -m benchmarks.ldpc_sessions``).
"""

# Cascade discloses, per party, at most this times n h(Q), and this many bits beyond what theory
# asks.  What LDPC discloses follows from the sample.
_EFFICIENCY = 1.25
_CLOSING_BITS = 400

_LEVELS = tuple(10.0**-power for power in range(1, 13))


def completeness_of(
    evidence: Evidence,
    *,
    chsh: ChshEstimate,
    settings: Settings,
    policy: Policy,
    rounds: int,
) -> float | None:
    """Return a bound on how often an honest link like that of a session is refused.

    The link is one of independent Werner pairs with the smaller of the visibilities that S and the
    QBER suggest.  For lossy links, for noisy preprocessing and for theorems that look at each key
    basis nothing is stated: None.

    Args:
        evidence: What the session saw.
        chsh: Its Bell test.
        settings: Angles and choice probabilities.
        policy: Its policy.
        rounds: Pairs that were sent.
    """
    lossless = evidence.coincidences == rounds
    if chsh.value is None or evidence.error_rate is None or not lossless:
        return None
    if policy.flip_probability or policy.proof.fixes_errors_beforehand:
        return None
    visibility = min(1.0, chsh.value / TSIRELSON, 1 - 2 * evidence.error_rate)
    return refusal_bound(settings, rounds=rounds, visibility=max(0.0, visibility), policy=policy)


def refusal_bound(
    settings: Settings, *, rounds: int, visibility: float, policy: Policy | None = None
) -> float:
    """Return a probability that an honest session's refusal does not exceed.

    Every count that decides the verdict is set to its unfavourable quantile at level delta / 13;
    if that session is still accepted, a real one is refused with probability at most delta plus
    that of an error which error correction leaves.

    Args:
        settings: Angles and choice probabilities.
        rounds: Pairs to send.
        visibility: Of independent Werner pairs, without losses, 0 to 1.
        policy: The session's policy; its theorem must look at totals, not at each key basis.

    Returns:
        The smallest of 1e-1, 1e-2, ... 1e-12 that can be stated, plus 1e-4 for Cascade or 1e-3
        for LDPC, and 2e-9 for the tests of the settings and of signalling; 1 if none.

    Not promised: anything for correlated or lossy pairs.  The efficiency of Cascade (at most 1.25)
    and how often either leaves an error are measured, not proved.

    Raises:
        ValueError: A number leaves its range, or the policy's theorem looks at each key basis.

    Examples:
        >>> from e91.model.settings import EKERT
        >>> refusal_bound(EKERT, rounds=100_000, visibility=0.97) < 1e-3
        True
        >>> refusal_bound(EKERT, rounds=1_000, visibility=0.97)
        1.0
    """
    check_whole(least=1, rounds=rounds)
    check_fractions(visibility=visibility)
    policy = policy or Policy()
    if policy.proof.fixes_errors_beforehand:
        raise ValueError(
            f"`policy` must name a theorem that looks at totals, but names `{policy.proof.value}`."
        )
    link = Link.werner(visibility)
    accepted = [
        level
        for level in _LEVELS
        if _accepts_worst(settings, rounds, link, policy, delta=level / 13)
    ]
    failure = RECONCILER_FAILURE[Reconciler(policy.reconciler)]
    return min(accepted) + failure + 2 * FALSE_ALARM if accepted else 1.0


def _accepts_worst(
    settings: Settings, rounds: int, link: Link, policy: Policy, *, delta: float
) -> bool:
    """Return whether a session is accepted whose every count is at its bad quantile."""
    evidence = _worst_evidence(settings, rounds, link, policy.revealed_fraction, delta=delta)
    leak = _worst_leak(evidence, link, policy, delta=delta)
    return verdict_of(evidence, settings=settings, policy=policy, leak=leak).abort is None


def _worst_leak(evidence: Evidence, link: Link, policy: Policy, *, delta: float) -> Leak:
    """Return what error correction discloses of many errors, of the key or of the sample."""
    size = evidence.key_size
    if policy.reconciler is Reconciler.LDPC:
        most = _high_quantile(delta, evidence.sample_size, link.qber)
        return ldpc_leak(evidence, most, policy)
    errors = _high_quantile(delta, size, link.qber) if size else 0
    entropy = binary_entropy(min(0.5, errors / size)) if size else 1.0
    leaked = int(_EFFICIENCY * size * entropy) + _CLOSING_BITS
    return Leak(leaked, leaked)


def _worst_evidence(
    settings: Settings, rounds: int, link: Link, revealed_fraction: float, *, delta: float
) -> Evidence:
    """Return counts that a session falls short of, each with probability ``delta``."""
    chances = [settings.pair_probability(pair) for pair, _ in settings.chsh_pairs]
    tests = [_low_quantile(delta, rounds, chance) for chance in chances]
    wins = [_low_quantile(delta, n, link.winning_probability) for n in tests]
    key_rounds = _low_quantile(delta, rounds, settings.key_probability)
    revealed = _high_quantile(delta, key_rounds, revealed_fraction)
    errors = _low_quantile(delta, revealed, link.qber)
    # The theorems that are covered see only totals, so one pair has them all.
    empty = KeySample(0, 0, 0)
    return Evidence.of_wins(
        settings,
        wins,
        [n - won for n, won in zip(tests, wins, strict=True)],
        samples=(
            KeySample(key_rounds - revealed, revealed, errors),
            *(empty for _ in settings.key_pairs[1:]),
        ),
        pair_counts=((rounds,),),
    )


def _low_quantile(level: float, trials: int, probability: float) -> int:
    """Return the smallest k at which P(successes <= k) reaches ``level``."""
    # scipy.stats knows it too, but takes half a second to import.  P(X <= n) is 1, by bisection.
    return bisect_left(
        range(trials), level, key=lambda k: float(betaincc(k + 1, trials - k, probability))
    )


def _high_quantile(level: float, trials: int, probability: float) -> int:
    """Return the smallest k at which P(successes > k) is at most ``level``."""
    return bisect_left(
        range(trials),
        True,
        key=lambda k: bool(betainc(k + 1, trials - k, probability) <= level),
    )
