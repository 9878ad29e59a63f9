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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from e91.model.numbers import TSIRELSON
from e91.model.portion_sizes import portion_size
from e91.model.records import Leak, SecretLength
from e91.security import entropy_accumulation
from e91.security.device_independent import acin_entropy
from e91.security.entropy_accumulation import Counts, amplification_cost, renyi_entropy
from e91.security.shannon import capped

_STEPS = 60  # of the bisection: more than a double has digits
_ROUNDING = 1e-12  # of the share, relative; always held against the key


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


def lengths(
    key_size: int,
    *,
    portions: int,
    phase_errors: Callable[[float], float],
    expected_rate: float,
    leak: Leak,
    epsilon: float,
) -> tuple[SecretLength, ...]:
    """Return how long each portion may be: whole bytes.

    Each is a session of its own with its share of epsilon.  Its phase errors are too many if those
    of the whole key are, or if the deal was unlucky; half of what may fail is for either.

    Args:
        key_size: Bits of the key before it is dealt.
        portions: How many portions, from 2.
        phase_errors: Returns a bound on the phase errors of the key from the probability that it
            fails.
        expected_rate: Phase-error rate that the same statistics suggest without a bound.
        leak: What was disclosed; of Alice's bits every portion bears those about itself or, as long
            as nobody knows which they are about, an equal share.
        epsilon: Failure probability of the whole session.

    Raises:
        ValueError: ``leak`` speaks of another number of portions.
    """
    disclosed = leak.portions or (math.ceil(leak.alice / portions),) * portions
    if len(disclosed) != portions:
        raise ValueError(
            f"`leak` must speak of {portions} portions, but speaks of {len(disclosed)}."
        )
    size, share = portion_size(key_size, portions=portions), epsilon / portions
    failure = split(share).estimation ** 2 / 2
    errors = 0.0
    if size:
        whole = phase_errors(failure)
        errors = share_bound(whole, rows=size, portions=portions, epsilon=failure)
    return tuple(
        in_whole_bytes(
            trusted_analysers_length(
                size,
                phase_errors=errors,
                expected_errors=size * expected_rate,
                leak=Leak(alice),
                epsilon=share,
            )
        )
        for alice in disclosed
    )


def share_bound(errors: float, *, rows: int, portions: int, epsilon: float) -> float:
    """Return a bound on the errors of one portion, given one on those of the key.

    Every row of ``portions`` bits gives one of them, chosen uniformly and for itself, to the
    portion.  So its errors are a sum of independent bits with a mean of at most
    ``errors / portions``.

    Args:
        errors: Most that the key has, wherever they are; not negative.
        rows: Rows of the key, the bits of a portion.
        portions: Portions of the key.
        epsilon: Failure probability, in (0, 1).

    Returns:
        The bound, no whole number; at most ``rows``.  Rounding may raise it by 1e-12 of itself,
        and does not lower it.

    Raises:
        ValueError: An argument leaves its range.

    Source:
        Chernoff's bound, ``P(mean >= c) <= exp(-rows D(c || p))``, which holds for unequal bits of
        mean p too, as a product of ``1 + p_i (e^t - 1)`` is largest if all p_i are equal.

    Examples:
        >>> round(share_bound(400_000, rows=2**20, portions=8, epsilon=1e-24))
        52311
    """
    if not (errors >= 0 and rows > 0 and portions > 0 and 0 < epsilon < 1):
        raise ValueError(
            "A share must have errors from 0, rows and portions from 1 and `epsilon` in (0, 1), "
            f"but has {errors}, {rows}, {portions} and {epsilon}."
        )
    mean = errors / portions / rows
    wanted = -math.log(epsilon) / rows
    low, high = min(mean, 1.0), 1.0
    if low == 1.0 or _divergence(1.0, low) < wanted:
        return float(rows)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if _divergence(middle, mean) >= wanted else (middle, high)
    return min(float(rows), high * rows * (1 + _ROUNDING))


def _divergence(share: float, mean: float) -> float:
    """Return the relative entropy of two biased bits in nats."""
    if mean == 0:
        return math.inf if share > 0 else 0.0
    # By the difference, as the logarithms of near shares nearly cancel: at 10^12 rows the bound
    # would miss an error.
    more = share - mean
    ones = share * math.log1p(more / mean) if share > 0 else 0.0
    zeros = (1 - share) * math.log1p(-more / (1 - mean)) if share < 1 else 0.0
    return ones + zeros


def in_whole_bytes(length: SecretLength) -> SecretLength:
    """Return a length that is cut to whole bytes, with a term for what is cut off.

    Examples:
        >>> in_whole_bytes(SecretLength((("sifted key", 64.0), ("errors", -20.5)), 0.1)).terms
        (('sifted key', 64.0), ('errors', -20.5), ('less than a byte', -3.5))
    """
    kept = length.bits // 8 * 8
    # Rounded once, so that the sum of all terms is exactly what is kept.
    rest = math.fsum([kept, *(-bits for _, bits in length.terms)])
    return SecretLength((*length.terms, ("less than a byte", rest)), length.phase_error)


def merged(lengths: Sequence[SecretLength], *, key_size: int) -> SecretLength:
    """Return the length of a key as that of its portions.

    Args:
        lengths: Of every portion, from `in_whole_bytes`; at least one, with the same terms.
        key_size: Bits of the key before it was dealt.

    Returns:
        The terms added up, and one for what was not dealt; ``bits`` is the portions' sum.

    Examples:
        >>> portion = SecretLength((("sifted key", 64.0), ("errors", -24.0)), 0.1)
        >>> merged([portion, portion], key_size=130).terms
        (('sifted key', 130.0), ('errors', -48.0), ('not dealt', -2.0))
    """
    names = [name for name, _ in lengths[0].terms]
    columns = zip(*([bits for _, bits in length.terms] for length in lengths), strict=True)
    sums = [float(key_size), *(math.fsum(column) for column in list(columns)[1:])]
    rest = math.fsum([sum(length.bits for length in lengths), *(-bits for bits in sums)])
    terms = (*zip(names, sums, strict=True), ("not dealt", rest))
    return SecretLength(terms, lengths[0].phase_error)
