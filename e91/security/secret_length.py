"""The length of the key under each security model that a session can declare.

Both lengths have the form of the leftover hash lemma: the entropy that Eve lacks, less every bit
that was disclosed, less the price of almost-uniformity.  What differs is the entropy.  The number
of disclosed bits depends on the key itself, so its value is public information too: summing the
lemma over its at most n values costs ``2 log2(n)``.

Source:
    Renner and Koenig, TCC 2005, LNCS 3378, 407; Tomamichel et al., IEEE Trans. Inf. Theory 57,
    5524 (2011) (leftover hashing); Tomamichel and Renner, Phys. Rev. Lett. 106, 110506 (2011)
    (uncertainty relation for smooth entropies).  The proof is written out in ``docs/security.md``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from e91.model.policy import SecurityModel
from e91.model.records import SecretLength
from e91.security.device_independent import acin_entropy
from e91.security.entropy import capped

STATEMENTS = {
    SecurityModel.TRUSTED_ANALYSERS: (
        "Secret against coherent attacks on the source and the channel, if both analysers measure "
        "one qubit each at the declared angles, lose photons independently of the setting (fair "
        "sampling), choose settings at random and leak nothing."
    ),
    SecurityModel.DEVICE_INDEPENDENT: (
        "Secret whatever the devices are, if quantum theory holds, settings are random, nothing "
        "leaks, and the rounds are independent and alike (collective attacks); asymptotic formula, "
        "not a finite-key theorem."
    ),
}
"""What each security model assumes, in the sentence that every report prints."""


@dataclass(frozen=True)
class EpsilonBudget:
    """How a session's epsilon is spent: ``2 estimation + amplification + hashing <= epsilon``.

    Attributes:
        estimation: Smoothing; the phase-error bound fails with probability at most its square.
        amplification: Distance from uniform that privacy amplification leaves.
        hashing: What verification and both tags together may take.
    """

    estimation: float
    amplification: float
    hashing: float


def split(epsilon: float) -> EpsilonBudget:
    """Return the budget; estimation gets most, as a small sample pays most for certainty."""
    return EpsilonBudget(0.4 * epsilon, 0.1 * epsilon, 0.1 * epsilon)


def trusted_analysers_length(
    key_size: int, *, phase_errors: float, leaked_bits: int, epsilon: float
) -> SecretLength:
    """Return the key length from a bound on the number of phase errors.

    The uncertainty relation turns "at most m phase errors among n bits, except with probability
    estimation**2" into ``n (1 - h(m / n))`` bits of smooth min-entropy, with h = 1 beyond 1/2.

    Args:
        key_size: Unrevealed key rounds n.
        phase_errors: Upper bound m, valid except with probability ``split(epsilon).estimation**2``.
        leaked_bits: Bits of key information in all messages of both parties.
        epsilon: Failure probability of the whole session.

    Returns:
        The terms and their sum.  Covers coherent attacks and, as the bound holds for every value
        of the observed counts at once, a length chosen after seeing them.

    Examples:
        >>> trusted_analysers_length(200_000, phase_errors=6_000, leaked_bits=47_000,
        ...                          epsilon=1e-10).bits
        114015
    """
    rate = phase_errors / key_size if key_size else 1.0
    eve = ("phase errors: what Eve may know", -key_size * capped(rate))
    return SecretLength(_terms(key_size, eve, leaked_bits, epsilon), rate)


def device_independent_length(
    key_size: int, *, chsh_lower_bound: float, leaked_bits: int, epsilon: float
) -> SecretLength:
    """Return the key length from S alone: Acin et al., Phys. Rev. Lett. 98, 230501 (2007).

    The bound holds for an outcome of a CHSH setting.  In each key pair at least one party's
    setting is one (Alice's a3 in (a3, b2), Bob's b1 in (a2, b1) of Ekert's settings); that
    party's bit is the reference.  As the transcript of Cascade fixes every corrected position,
    the other party's bit is a function of it, and the key may be either's.

    Args:
        key_size: Unrevealed key rounds n, lost photons counted as outcomes.
        chsh_lower_bound: Lower bound on S.
        leaked_bits: Bits of key information in all messages of both parties.
        epsilon: Failure probability of the whole session.

    Returns:
        The terms and their sum.  Asymptotic: no entropy-accumulation correction is made, so for
        finite n this is not a theorem.

    Examples:
        >>> device_independent_length(200_000, chsh_lower_bound=2.71, leaked_bits=47_000,
        ...                           epsilon=1e-10).bits
        101871
    """
    unknown = acin_entropy(min(max(chsh_lower_bound, 0.0), 2 * math.sqrt(2)))
    eve = ("S alone: what Eve may know", -key_size * (1 - unknown))
    return SecretLength(_terms(key_size, eve, leaked_bits, epsilon), None)


def _terms(
    key_size: int, eve: tuple[str, float], leaked_bits: int, epsilon: float
) -> tuple[tuple[str, float], ...]:
    uniform = 2 * math.log2(1 / (2 * split(epsilon).amplification))
    return (
        ("sifted key", float(key_size)),
        eve,
        ("disclosed by both parties", -float(leaked_bits)),
        ("privacy amplification", -uniform - 2 * math.log2(max(key_size, 1))),
    )
