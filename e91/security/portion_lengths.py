"""Keys that are dealt into portions: the phase errors of one, and the length of all.

Proof: ``docs/security.md``, section 5.
"""

import math
from collections.abc import Callable, Sequence

from e91.model.portion_sizes import portion_size
from e91.model.records import Leak, SecretLength
from e91.security import secret_length

_STEPS = 60  # of the bisection: more than a double has digits
_ROUNDING = 1e-12  # of the share, relative; always held against the key


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
    failure = secret_length.split(share).estimation ** 2 / 2
    errors = 0.0
    if size:
        whole = phase_errors(failure)
        errors = share_bound(whole, rows=size, portions=portions, epsilon=failure)
    return tuple(
        in_whole_bytes(
            secret_length.trusted_analysers_length(
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
