"""Key length with trusted analysers and an untrusted source.  One theorem, one function.

Common assumptions: both parties' detectors are trusted, have no memory, and detect a photon with
a probability that does not depend on the basis; the two bases of each party are as characterised
(mutually unbiased, unless said otherwise); laboratories are closed; the classical channel is
authenticated.  The source is Eve's.  No function here may be fed with E91 data whose key bases
are not mutually unbiased *to the test basis*; see `e91.bell.chsh` for those.

In the finite formulas the tolerated error rate is fixed before the run, and the key is given up if
the sample exceeds it.  Tested from 10 to 10^15 bits and for epsilons from 0.1 to 1e-30; counts
beyond 10^18 and epsilons below 1e-150 are refused.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from e91.model.numbers import check_between_zero_and_one
from e91.security.sampling import (
    check_count,
    hypergeometric_upper_bound,
    serfling_deviation,
)
from e91.security.shannon import binary_entropy, capped

_ROUNDING = 1e-15  # of sums of rates in floating point, always held against the key
_TRUTH = (bool, np.bool_)


@dataclass(frozen=True)
class Block:
    """One block of sifted bits: what was planned, and what error correction disclosed.

    Attributes:
        key_bits: n, bits of the key; a whole number.
        test_bits: k, revealed bits; a whole number.
        tolerated_error: Fixed before the run; the key is given up if more of the test bits err.
        leaked_bits: Disclosed by error correction, both parties' bits together, without the
            verification hash.
        overlap_bits: -log2 of the bases' largest squared overlap; 1 if mutually unbiased.

    Raises:
        ValueError: A count is not whole, positive and at most 10^18, or a number leaves its range.

    Examples:
        >>> block = Block(10**6, 10**5, tolerated_error=0.02, leaked_bits=155_584)
        >>> round(block.min_entropy(0.02))    # 10^6 (1 - h(0.02))
        858559
    """

    key_bits: int
    test_bits: int
    tolerated_error: float
    leaked_bits: float
    overlap_bits: float = 1.0

    def __post_init__(self) -> None:
        check_count("key_bits", self.key_bits)
        check_count("test_bits", self.test_bits)
        _check_rate("tolerated_error", self.tolerated_error)
        _check_rate("overlap_bits", self.overlap_bits)
        if isinstance(self.leaked_bits, _TRUTH) or not 0 <= self.leaked_bits < math.inf:
            raise ValueError(f"`leaked_bits` must be finite and from 0, but is {self.leaked_bits}.")

    def min_entropy(self, phase_error: float) -> float:
        """Return n (q - h(phase_error)), bits, with h capped at 1, rounded down by n 1e-15.

        Args:
            phase_error: Upper bound on the phase-error rate.
        """
        return self.key_bits * (self.overlap_bits - capped(phase_error) - _ROUNDING)


@dataclass(frozen=True)
class FiniteKey:
    """How long a key may be, and the terms that say so.

    Attributes:
        min_entropy: Lower bound on the smooth min-entropy of the sifted key, bits.
        leaked_bits: Disclosed for error correction, bits.
        overhead_bits: Price of verification and privacy amplification, bits.
        phase_error: Upper bound on the error rate in the conjugate basis, not capped.
        epsilon: Total failure probability, secrecy and correctness together.

    Examples:
        >>> key = FiniteKey(8_000.0, leaked_bits=1_500.0, overhead_bits=100.5, phase_error=0.03,
        ...                 epsilon=1e-10)
        >>> key.balance, key.length
        (6399.5, 6399)
    """

    min_entropy: float
    leaked_bits: float
    overhead_bits: float
    phase_error: float
    epsilon: float

    @property
    def balance(self) -> float:
        """Min-entropy less leak and overhead, bits; negative tells how much is missing."""
        return self.min_entropy - self.leaked_bits - self.overhead_bits

    @property
    def length(self) -> int:
        """Secret bits; 0 means that there is no key."""
        return max(0, math.floor(self.balance))


def bbm92_rate(bit_error: float, phase_error: float, *, efficiency: float = 1.0) -> float:
    """Return the asymptotic secret fraction of sifted bits, 1 - f h(bit) - h(phase), or 0.

    Attacks covered: general, in the limit of long keys.  Not covered: finite statistics.

    Args:
        bit_error: Error rate of the key bits.
        phase_error: Error rate in the conjugate basis.
        efficiency: Error correction discloses this many times the Shannon limit; at least 1.

    Returns:
        Secret bits per sifted bit, in [0, 1].

    Raises:
        ValueError: An error rate is not in [0, 1] or ``efficiency`` is below 1.

    Source:
        Shor and Preskill, Phys. Rev. Lett. 85, 441 (2000); for an untrusted source Koashi and
        Preskill, Phys. Rev. Lett. 90, 057902 (2003).  Protocol: Bennett, Brassard and Mermin,
        Phys. Rev. Lett. 68, 557 (1992).

    Examples:
        >>> round(bbm92_rate(0.05, 0.05, efficiency=1.16), 9)
        0.381382573
    """
    _check_rate("bit_error", bit_error)
    _check_rate("phase_error", phase_error)
    _check_efficiency(efficiency)
    return max(0.0, 1 - efficiency * capped(bit_error) - capped(phase_error))


def tlgr_length(block: Block, *, epsilon_secrecy: float, epsilon_correctness: float) -> FiniteKey:
    """Return the key length of Tomamichel, Lim, Gisin and Renner (2012).

    Attacks covered: general (coherent).  Not covered: losses that depend on the basis, a
    tolerated error chosen after the run, weak coherent pulses.

    Args:
        block: n key bits, all of one basis; k test bits, all of the other basis.
        epsilon_secrecy: Distance of the key from one that Eve knows nothing of.
        epsilon_correctness: Probability that the keys differ; the hash has
            ceil(log2(1 / epsilon_correctness)) bits, counted here.

    Returns:
        Length n (q - h(Q_tol + mu)) - leak - log2(2 / (eps_sec^2 eps_cor)), with mu = sqrt((n + k)
        (k + 1) ln(4 / eps_sec) / (n k^2)): the logarithm stands inside the root.

    Raises:
        ValueError: An epsilon is not in [1e-150, 1).

    Source:
        Nat. Commun. 3, 634 (2012), arXiv:1103.4130, key-length formula.  Copies differ in the
        square of eps_sec; the terms of the proof fix it.  Smoothing by eps_sec / 4 counts twice
        and leaves eps_sec / 2 = 2^(-(H - l) / 2) / 2 for hashing, so 2 log2(1 / eps_sec) bits.

    Examples:
        >>> block = Block(10**6, 10**5, tolerated_error=0.02, leaked_bits=155_584)
        >>> tlgr_length(block, epsilon_secrecy=1e-10, epsilon_correctness=1e-10).length
        618840
    """
    _check_epsilons(epsilon_secrecy=epsilon_secrecy, epsilon_correctness=epsilon_correctness)
    # Serfling's tail at (eps_sec / 4)^2: a purified distance is the root of a probability.
    phase_error = block.tolerated_error + serfling_deviation(
        block.test_bits, block.key_bits, epsilon=(epsilon_secrecy / 4) ** 2
    )
    return FiniteKey(
        min_entropy=block.min_entropy(phase_error),
        leaked_bits=block.leaked_bits,
        overhead_bits=1 - 2 * math.log2(epsilon_secrecy) - math.log2(epsilon_correctness),
        phase_error=phase_error,
        epsilon=epsilon_secrecy + epsilon_correctness,
    )


def tl17_length(
    block: Block, *, hash_bits: int, epsilon_estimation: float, epsilon_amplification: float
) -> FiniteKey:
    """Return the key length of Tomamichel and Leverrier (2017), with Serfling's inequality.

    Attacks covered: general (coherent).  Not covered: losses that depend on the basis, a
    tolerated error or a key length chosen after the run.

    Args:
        block: n key bits; k test bits, drawn at random from all n + k.
        hash_bits: t, bits of the verification hash; the keys differ with probability 2^-t.
        epsilon_estimation: eps_pe, for the sampling step.
        epsilon_amplification: eps_pa, for privacy amplification.

    Returns:
        Length n (q - h(delta + nu)) - leak - t - 2 log2(1 / (2 eps_pa)), with eps_pe = 2 exp(-n k^2
        nu^2 / ((n + k)(k + 1))), and epsilon = 2^-t + eps_pe + eps_pa.

    Raises:
        ValueError: An epsilon is not in [1e-150, 1), or ``hash_bits`` is not whole and positive.

    Source:
        Quantum 1, 14 (2017), arXiv:1506.08458, main theorem.

    Examples:
        A satellite's block of 3,100 bits at 4.51 % has no key by this formula:

        >>> leak = shannon_leak(1550, error=0.0451, efficiency=1.19)
        >>> block = Block(1550, 1550, tolerated_error=0.0451, leaked_bits=leak)
        >>> found = tl17_length(block, hash_bits=37, epsilon_estimation=7e-11,
        ...                     epsilon_amplification=2e-11)
        >>> found.length, round(found.balance)
        (0, -227)
    """
    phase_error = block.tolerated_error + serfling_deviation(
        block.test_bits, block.key_bits, epsilon=_tail(epsilon_estimation)
    )
    return _tl17(block, phase_error, hash_bits, epsilon_estimation, epsilon_amplification)


def exact_sampling_length(
    block: Block, *, hash_bits: int, epsilon_estimation: float, epsilon_amplification: float
) -> FiniteKey:
    """Return the key length of `tl17_length` with the exact sampling tail for Serfling's.

    The proof of 2017 uses the sampling step only through one probability: that a block passes the
    test and yet has more than delta + nu errors in its other part, at most (eps_pe / 2)^2.  Here
    that probability is the hypergeometric one, not its bound; all else is unchanged.  (For H
    hidden errors and m tolerated ones the worst block has H + m errors: one error more makes
    passing rarer, one fewer forces the sample to show fewer than m.)

    Attacks covered and not covered: as for `tl17_length`.

    Args:
        block: As for `tl17_length`.
        hash_bits: t, bits of the verification hash.
        epsilon_estimation: For the sampling step.
        epsilon_amplification: For privacy amplification.

    Returns:
        The length and its terms, as `tl17_length` gives them.

    Raises:
        ValueError: As for `tl17_length`.

    Source:
        Tomamichel and Leverrier, Quantum 1, 14 (2017); exact tail: Mannalath, Zapatero and Curty,
        arXiv:2410.04095.

    Examples:
        >>> leak = shannon_leak(1550, error=0.0451, efficiency=1.19)
        >>> block = Block(1550, 1550, tolerated_error=0.0451, leaked_bits=leak)
        >>> exact_sampling_length(block, hash_bits=37, epsilon_estimation=7e-11,
        ...                       epsilon_amplification=2e-11).length
        41
    """
    phase_error = hypergeometric_upper_bound(
        _tolerated_errors(block),
        revealed=block.test_bits,
        hidden=block.key_bits,
        epsilon=_tail(epsilon_estimation),
    )
    return _tl17(block, phase_error, hash_bits, epsilon_estimation, epsilon_amplification)


def planned_key(
    length: Callable[..., FiniteKey],
    key_bits: int,
    test_bits: int,
    *,
    error: float,
    efficiency: float,
    epsilon: float,
) -> FiniteKey:
    """Return the key to expect of one basis, tested by the other, both of the same error rate.

    Args:
        length: `tl17_length` or `exact_sampling_length`.
        key_bits: Bits of the key.
        test_bits: Revealed bits of the other basis.
        error: Expected error rate of both, taken as the tolerated one: half of such blocks show
            more and are given up.
        efficiency: Error correction discloses this many times the Shannon limit.
        epsilon: Failure probability, spent as 1 : 2 : 7 on verification, amplification and
            estimation.

    Returns:
        Its length in bits, with the terms that make it.

    Raises:
        ValueError: As for `Block`, `shannon_leak` and ``length``.

    Examples:
        >>> planned_key(exact_sampling_length, 1550, 1550, error=0.0451, efficiency=1.19,
        ...             epsilon=1e-10).length
        41
    """
    leak = shannon_leak(key_bits, error=error, efficiency=efficiency)
    return length(
        Block(key_bits, test_bits, tolerated_error=error, leaked_bits=leak),
        hash_bits=math.ceil(-math.log2(0.1 * epsilon)),
        epsilon_estimation=0.7 * epsilon,
        epsilon_amplification=0.2 * epsilon,
    )


def shannon_leak(key_bits: int, *, error: float, efficiency: float) -> float:
    """Return the disclosed bits f n h(Q) that a plan may count on; a session counts real ones.

    Args:
        key_bits: n, bits of the key.
        error: Q, its error rate, in [0, 1].
        efficiency: f, how many times Shannon's limit is disclosed; at least 1.

    Returns:
        Bits; not rounded.

    Raises:
        ValueError: ``key_bits`` is no count, ``error`` not in [0, 1] or ``efficiency`` below 1.

    Examples:
        >>> round(shannon_leak(1550, error=0.0451, efficiency=1.19), 1)
        489.2
    """
    check_count("key_bits", key_bits)
    _check_rate("error", error)
    _check_efficiency(efficiency)
    return efficiency * key_bits * binary_entropy(error)


def _tl17(
    block: Block, phase_error: float, hash_bits: int, estimation: float, amplification: float
) -> FiniteKey:
    check_count("hash_bits", hash_bits)
    _check_epsilons(epsilon_amplification=amplification)
    return FiniteKey(
        min_entropy=block.min_entropy(phase_error),
        leaked_bits=block.leaked_bits,
        overhead_bits=hash_bits - 2 * math.log2(2 * amplification),
        phase_error=phase_error,
        epsilon=2.0**-hash_bits + estimation + amplification,
    )


def _tail(epsilon_estimation: float) -> float:
    """Return the probability whose root, twice, is ``epsilon_estimation``: smoothing's price."""
    _check_epsilons(epsilon_estimation=epsilon_estimation)
    return (epsilon_estimation / 2) ** 2


def _tolerated_errors(block: Block) -> int:
    """Return the largest count whose rate, as a float, is at most the tolerated one."""
    count = math.floor(block.tolerated_error * block.test_bits)
    # 0.29 * 100 is below 29 in floating point, but 29 errors in 100 pass a test at 0.29.
    while count < block.test_bits and (count + 1) / block.test_bits <= block.tolerated_error:
        count += 1
    return count


def _check_rate(name: str, rate: float) -> None:
    if isinstance(rate, _TRUTH) or not 0 <= rate <= 1:
        raise ValueError(f"`{name}` must lie in [0, 1], but is {rate}.")


def _check_efficiency(efficiency: float) -> None:
    if isinstance(efficiency, _TRUTH) or not 1 <= efficiency < math.inf:
        raise ValueError(f"`efficiency` must be finite and at least 1, but is {efficiency}.")


def _check_epsilons(**epsilons: float) -> None:
    check_between_zero_and_one(**epsilons)
    for name, epsilon in epsilons.items():
        if epsilon < 1e-150:  # its square would be rounded
            raise ValueError(f"`{name}` must be at least 1e-150, but is {epsilon}.")
