"""The length of a session's key under each theorem that holds for its statistics.

All lengths have the form of the leftover hash lemma: the entropy that Eve lacks, less every bit
that was disclosed, less the price of almost-uniformity.  What differs is the entropy and what
counts as disclosed.  The proofs are written out in ``docs/security.md`` (trusted analysers) and
``docs/device_independent.md``.

Source:
    Renner and Koenig, TCC 2005, LNCS 3378, 407; Tomamichel et al., IEEE Trans. Inf. Theory 57,
    5524 (2011) (leftover hashing); Tomamichel and Renner, Phys. Rev. Lett. 106, 110506 (2011)
    (uncertainty relation for smooth entropies).
"""

import math
from dataclasses import dataclass, replace

from e91.model.numbers import TSIRELSON
from e91.model.records import Leak, SecretLength
from e91.security import entropy_accumulation
from e91.security.device_independent import acin_entropy
from e91.security.entropy_accumulation import Counts, amplification_cost, renyi_entropy
from e91.security.shannon import capped


@dataclass(frozen=True)
class EpsilonBudget:
    """How a session's epsilon is spent; the four add up to it, estimation counted twice.

    Attributes:
        estimation: Smoothing; the phase-error bound fails with probability at most its square.
        amplification: Distance from uniform that privacy amplification leaves.
        correctness: Probability that unequal keys pass verification.
        authentication: Probability that an altered message passes both tags.
    """

    estimation: float
    amplification: float
    correctness: float
    authentication: float

    @property
    def secrecy(self) -> float:
        """Distance of the key from one that Eve knows nothing of: estimation and amplification."""
        return 2 * self.estimation + self.amplification


def split(epsilon: float) -> EpsilonBudget:
    """Return the budget; estimation gets most, as a small sample pays most for certainty.

    Examples:
        >>> budget = split(1e-10)
        >>> budget.secrecy + budget.correctness + budget.authentication <= 1e-10
        True
    """
    return EpsilonBudget(0.4 * epsilon, 0.1 * epsilon, 0.05 * epsilon, 0.05 * epsilon)


def trusted_analysers_length(
    key_size: int, *, phase_errors: float, expected_errors: float, leak: Leak, epsilon: float
) -> SecretLength:
    """Return the key length from a bound on the number of phase errors.

    The uncertainty relation turns "at most m phase errors among n bits, except with probability
    estimation**2" into ``n (1 - h(m / n))`` bits of smooth min-entropy, with h = 1 beyond 1/2.
    That holds even if Eve learns which key bits differ, as phase and bit errors commute; Bob's
    messages depend on nothing else, so only Alice's bits are disclosed.

    Args:
        key_size: Unrevealed key rounds n.
        phase_errors: Upper bound m, valid except with probability ``split(epsilon).estimation**2``.
        expected_errors: Phase errors that the same statistics suggest without a bound; only splits
            the loss into what Eve may know and what finite statistics cost.
        leak: Bits of key information in all messages.
        epsilon: Failure probability of the whole session.

    Returns:
        The terms and their sum.  Covers coherent attacks and, as the bound holds for every value
        of the observed counts at once, a length chosen after seeing them.

    Examples:
        >>> trusted_analysers_length(200_000, phase_errors=6_000, expected_errors=3_000,
        ...                          leak=Leak(23_500, 23_500), epsilon=1e-10).bits
        137550
    """
    rate = phase_errors / key_size if key_size else 1.0
    expected = min(expected_errors / key_size if key_size else 1.0, rate)
    unknown, at_once = key_size * capped(rate), key_size * capped(expected)
    terms = (
        ("sifted key", float(key_size)),
        ("phase errors, as estimated", -at_once),
        ("finite statistics", at_once - unknown),
        ("error correction, Alice's bits", -float(leak.alice)),
        ("privacy amplification", 2 * math.log2(2 * split(epsilon).amplification)),
    )
    return SecretLength(terms, rate)


def asymptotic_length(
    key_size: int, *, entropy: float, leaked_bits: int, phase_error: float | None = None
) -> SecretLength:
    """Return what an asymptotic formula gives for n key bits: no theorem for finitely many.

    Args:
        key_size: Unrevealed key rounds n.
        entropy: Entropy of a key bit given Eve at the observed statistics, bits.
        leaked_bits: Bits of key information disclosed.
        phase_error: The phase-error rate behind ``entropy``, if any.

    Examples:
        >>> asymptotic_length(1_000, entropy=0.75, leaked_bits=200).bits
        550
    """
    terms = (
        ("sifted key", float(key_size)),
        ("what Eve may know, asymptotically", -key_size * (1 - entropy)),
        ("error correction", -float(leaked_bits)),
    )
    return SecretLength(terms, phase_error)


def collective_length(
    key_size: int, *, chsh_value: float, chsh_lower_bound: float, leak: Leak, epsilon: float
) -> SecretLength:
    """Return the device-independent key length against collective attacks.

    The rounds are independent and alike, so the Renyi entropies of the key bits add up; the order
    is the best one.  In each key pair at least one party's setting belongs to the Bell test
    (Alice's a3 in (a3, b2), Bob's b1 in (a2, b1) of Ekert's settings); that party's bit is the
    reference.  As the transcript of Cascade fixes every corrected position, the other party's bit
    is a function of it, and the key may be either's.

    Args:
        key_size: Unrevealed key rounds n, lost photons counted as outcomes.
        chsh_value: S as estimated; only splits the loss.
        chsh_lower_bound: Lower bound on S, failing with at most ``2 split(epsilon).estimation``.
        leak: Bits of key information in all messages; both parties' count, as trust in Bob's
            device is what made his free.
        epsilon: Failure probability of the whole session.

    Examples:
        >>> collective_length(200_000, chsh_value=2.74, chsh_lower_bound=2.71,
        ...                   leak=Leak(20_000, 20_000), epsilon=1e-10).bits
        106056
    """
    bound = min(max(chsh_lower_bound, 0.0), TSIRELSON)
    distance = split(epsilon).amplification

    def missing(log_excess: float) -> float:
        order = 1 + math.exp(log_excess)
        unknown = key_size * (1 - renyi_entropy(bound, order=order))
        return unknown + amplification_cost(order, epsilon=distance)

    from scipy.optimize import minimize_scalar  # late: trusted analysers do without

    best = minimize_scalar(missing, bounds=(-40.0, 0.0), method="bounded", options={"xatol": 1e-3})
    order = 1 + math.exp(float(best.x))
    at_once = key_size * (1 - acin_entropy(min(max(chsh_value, bound), TSIRELSON)))
    terms = (
        ("sifted key", float(key_size)),
        ("S as estimated: what Eve may know", -at_once),
        ("finite statistics", at_once - key_size * (1 - renyi_entropy(bound, order=order))),
        ("error correction, both parties' bits", -float(leak.total)),
        ("privacy amplification", -amplification_cost(order, epsilon=distance)),
    )
    return SecretLength(terms, None)


def accumulated_length(
    counts: Counts,
    *,
    rounds: int,
    chsh_value: float,
    announced_sample_bits: float,
    leak: Leak,
    epsilon: float,
) -> SecretLength:
    """Return the device-independent key length against coherent attacks and remembering devices.

    Args:
        counts: What the session shows, with the probabilities of its kinds of rounds.
        rounds: Rounds of the session, fixed beforehand; every one counts.
        chsh_value: S as estimated; only splits the loss.
        announced_sample_bits: Length of a code for the outcomes of the revealed key rounds.
        leak: Bits of key information in all messages of error correction and verification; as a
            prefix-free code (`e91.distillation.cascade.reconciler`).
        epsilon: Failure probability of the whole session.

    Returns:
        The terms and their sum.  Every announced outcome is charged in full, so Bell tests must be
        rare: with Ekert's uniform settings, where they are twice as frequent as key rounds, nothing
        is left.

    Source:
        `e91.security.entropy_accumulation`.
    """
    distance = split(epsilon).secrecy
    bets = entropy_accumulation.chosen_bets(
        rounds,
        key_probability=counts.key_probability,
        test_probabilities=counts.test_probabilities,
        epsilon=distance,
    )
    tests = math.fsum(counts.wins) + math.fsum(counts.losses)
    entropy = acin_entropy(min(max(chsh_value, 0.0), TSIRELSON))
    at_once = (counts.key_size + tests) * entropy
    # Luck beyond quantum theory earns nothing.  Its counts never earn more than those observed,
    # which alone are covered: rare pairs may have been lucky while a common one was not.
    both = (counts, _within_quantum_theory(counts))
    credited = min(entropy_accumulation.credited_bits(these, bets) for these in both)
    announced = max(map(entropy_accumulation.announced_test_bits, both)) + announced_sample_bits
    credited = min(credited, counts.key_size + announced)  # a key has no more bits than it has
    terms = (
        ("sifted key", float(counts.key_size)),
        ("S as estimated: what Eve may know", at_once - counts.key_size - tests * entropy),
        ("announced outcomes, less their entropy", tests * entropy - announced),
        ("finite statistics", credited - at_once),
        ("error correction, both parties' bits", -float(leak.total)),
        ("privacy amplification", -amplification_cost(bets[0].order, epsilon=distance)),
    )
    return SecretLength(terms, None)


def _within_quantum_theory(counts: Counts) -> Counts:
    """Return ``counts``, or those of 2 sqrt(2) if more was won than quantum theory allows."""
    sizes = [won + lost for won, lost in zip(counts.wins, counts.losses, strict=True)]
    if min(sizes) == 0:
        return counts
    value = math.fsum(2 * won / size - 1 for won, size in zip(counts.wins, sizes, strict=True))
    if value <= TSIRELSON:
        return counts
    best = 0.5 + TSIRELSON / 8
    return replace(
        counts,
        wins=tuple(size * best for size in sizes),
        losses=tuple(size * (1 - best) for size in sizes),
    )
