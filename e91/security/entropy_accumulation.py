"""A finite device-independent key length against coherent attacks, with devices that remember.

The proof is written out in ``docs/device_independent.md``.  In short: a payoff is bet on every
round, ``base`` on a key round, ``base (1 +- stake / p)`` on a Bell test that is won or lost, 1 on
any other.  For each strategy of the devices, weighing a round's outcomes with its payoff and its
Renyi entropy given Eve gives at most 1; the weights of successive rounds multiply (the chain rule
of sandwiched Renyi entropies, an identity), so those of the session add up to at most 1 as well.
With Renyi leftover hashing and Kraft's inequality for all that is announced, the length

    ``log2(payoffs) / (order - 1) - announced bits - order / (order - 1) log2(1 / epsilon) + 2``

is secret whatever was observed: it needs no conditioning on an accepting event and no block
structure, and every quantity of it is explicit.

Source:
    Dupuis, Fawzi and Renner, Commun. Math. Phys. 379, 867 (2020) (entropy accumulation, chain
    rule); Dupuis, arXiv:2105.05342 (leftover hashing for orders in (1, 2]); Tomamichel, Berta and
    Hayashi, J. Math. Phys. 55, 082206 (2014) (duality that gives the single-round bound).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from e91.model.numbers import check_within
from e91.security.shannon import binary_entropy

DESIGN_CHSH = 2.6
"""S for which the order is chosen if none is expected; any value is valid."""


@dataclass(frozen=True)
class Counts:
    """What a session shows, and how probable each kind of round was.

    Attributes:
        key_size: Unrevealed key rounds.
        wins: Bell tests with the wanted sign, one count per CHSH pair.
        losses: The others.
        key_probability: Probability that a round is an unrevealed key round.
        test_probabilities: Probability of each CHSH pair in a round.
    """

    key_size: float
    wins: tuple[float, ...]
    losses: tuple[float, ...]
    key_probability: float
    test_probabilities: tuple[float, ...]


@dataclass(frozen=True)
class Payoffs:
    """A bet on every round, fixed before the run.

    Attributes:
        order: Order alpha of the Renyi entropy, in (1, 2].
        log_base: Natural logarithm of the payoff of a key round; negative.
        stake: A Bell test of pair j pays ``base (1 +- stake / p_j)``.
        weight: Share of the mixture of bets that this one has.
    """

    order: float
    log_base: float
    stake: float
    weight: float = 1.0

    def credit(self, counts: Counts) -> float:
        """Return the entropy that the bet credits to what was observed, bits."""
        tests = sum(counts.wins) + sum(counts.losses)
        gained = (counts.key_size + tests) * self.log_base
        for won, lost, p in zip(counts.wins, counts.losses, counts.test_probabilities, strict=True):
            gained += won * math.log1p(self.stake / p) + lost * math.log1p(-self.stake / p)
        return gained / math.log(2) / (self.order - 1)


def renyi_entropy(chsh_value: float, *, order: float) -> float:
    """Return a lower bound on the sandwiched Renyi entropy of a key bit given Eve, in bits.

    For an outcome of a CHSH setting and every quantum strategy that reaches S,

        ``H_order(A|E) >= 1 - H_(1/order)(error)``, error = (1 - sqrt(S^2/4 - 1)) / 2,

    with the classical Renyi entropy on the right.  It tends to `acin_entropy` as the order tends
    to 1.

    Args:
        chsh_value: S in [-4, 4].  At most 2 earns 0; above 2 sqrt(2) earns no more than that.
        order: In (1, 2].

    Returns:
        Bits per key round, in [0, 1].

    Raises:
        ValueError: An argument leaves its range.

    Source:
        Derived in ``docs/device_independent.md``, section 1; tested against random strategies.

    Examples:
        >>> from e91.security.device_independent import acin_entropy
        >>> round(renyi_entropy(2.7, order=1.000001), 4), round(acin_entropy(2.7), 4)
        (0.7285, 0.7285)
        >>> renyi_entropy(2.7, order=1.5) < acin_entropy(2.7)
        True
    """
    check_within(-4, 4, chsh_value=chsh_value)
    if not 1 < order <= 2:
        raise ValueError(f"`order` must lie in (1, 2], but is {order}.")
    if chsh_value <= 2:
        return 0.0
    return max(0.0, -_log_weight(chsh_value, order) / math.log(2) / (order - 1))


def payoffs(
    order: float, tangent: float, *, key_probability: float, test_probabilities: Sequence[float]
) -> Payoffs | None:
    """Return the bet that is best if S is ``tangent``, or None if a payoff would be negative.

    Args:
        order: In (1, 2].
        tangent: S in (2, 2 sqrt(2)).
        key_probability: Probability that a round is an unrevealed key round.
        test_probabilities: Probability of each of the four CHSH pairs in a round.

    Examples:
        >>> bet = payoffs(1.01, 2.6, key_probability=0.9, test_probabilities=(0.025,) * 4)
        >>> bet.log_base < 0 < bet.stake
        True
    """
    share = key_probability + math.fsum(test_probabilities)
    slope = -_weight_slope(tangent, order)
    per_round = slope / (1 + 4 * slope)
    stake = per_round * share
    if stake >= 0.999 * min(test_probabilities):
        return None
    # base ((1 - 4 m) weight(S) + m (4 + S)) = 1 at its maximum, which is at the tangent.
    loss = (1 - 4 * per_round) * math.expm1(_log_weight(tangent, order)) + per_round * tangent
    return Payoffs(order, -math.log1p(loss), stake)


def credited_bits(counts: Counts, bets: Sequence[Payoffs]) -> float:
    """Return the entropy credited by a mixture of bets of one order, bits.

    A mixture obeys the same bound as each bet, so none need be chosen beforehand; against a bet
    of weight w it costs at most ``log2(1 / w) / (order - 1)`` bits.

    Raises:
        ValueError: There is no bet, the bets have several orders, or their weights exceed 1.
    """
    if len({bet.order for bet in bets}) != 1:
        raise ValueError(f"`bets` must have one order, but have {len({b.order for b in bets})}.")
    if not math.fsum(bet.weight for bet in bets) <= 1 + 1e-12:
        raise ValueError(
            f"`bets` must have weights that add up to at most 1, but they add up to "
            f"{math.fsum(bet.weight for bet in bets)}."
        )
    credited = [bet.credit(counts) for bet in bets]
    best, scale = max(credited), bets[0].order - 1
    mixed = math.fsum(
        bet.weight * 2 ** (scale * (credit - best))
        for bet, credit in zip(bets, credited, strict=True)
    )
    return best + math.log2(mixed) / scale


def amplification_cost(order: float, *, epsilon: float) -> float:
    """Return what privacy amplification costs: ``order / (order - 1) log2(1 / epsilon) - 2`` bits.

    Args:
        order: In (1, 2].
        epsilon: Distance from uniform that is left, in (0, 1).

    Source:
        Dupuis, arXiv:2105.05342, theorem for universal hashing: the distance is at most
        2^(2/order - 2) 2^((order - 1)/order (length - entropy)).

    Examples:
        >>> amplification_cost(2.0, epsilon=0.25)
        2.0
    """
    return order / (order - 1) * -math.log2(epsilon) - 2


def announced_test_bits(counts: Counts) -> float:
    """Return the length of a code for both parties' Bell-test outcomes, given the settings, bits.

    Per pair: the number of wins, which rounds were won, and Alice's outcome in each.
    """
    total = 0.0
    for won, lost in zip(counts.wins, counts.losses, strict=True):
        rounds = won + lost
        if rounds > 0:
            total += rounds * (1 + binary_entropy(won / rounds)) + math.log2(rounds + 1)
    return total


def chosen_bets(
    rounds: float, *, key_probability: float, test_probabilities: Sequence[float], epsilon: float
) -> tuple[Payoffs, ...]:
    """Return the bets of a session, chosen before it: nothing observed plays a part.

    All have the order that is best, to second order, at `DESIGN_CHSH`; their tangents cover S from
    2.15 to 2 sqrt(2).  Longer sessions add tangents between the others, with smaller weights, so
    that the length tends to the asymptotic one and never falls.

    Args:
        rounds: Rounds of the session.
        key_probability: Probability that a round is an unrevealed key round.
        test_probabilities: Probability of each of the four CHSH pairs in a round.
        epsilon: Distance from uniform that privacy amplification may leave, in (0, 1).

    Returns:
        At least one bet.

    Examples:
        >>> bets = chosen_bets(1e6, key_probability=0.9, test_probabilities=(0.025,) * 4,
        ...                    epsilon=1e-10)
        >>> len(bets), round(bets[0].order, 6)
        (16, 1.000756)
    """
    rounds = max(rounds, 1)  # without rounds nothing is bet, whatever the bets
    excess = min(1.0, math.sqrt(-math.log2(epsilon) / (rounds * _variance(
        key_probability, test_probabilities))))  # fmt: skip
    while True:
        made = [
            (weight, payoffs(
                1 + excess,
                tangent,
                key_probability=key_probability,
                test_probabilities=test_probabilities,
            ))
            for tangent, weight in _tangents(rounds)
        ]  # fmt: skip
        if bets := tuple(replace(bet, weight=weight) for weight, bet in made if bet is not None):
            return bets
        excess /= 2  # rare tests bear small stakes only


def _tangents(rounds: float) -> list[tuple[float, float]]:
    """Return values of S with their weights: eight, then again the midpoints between them."""
    found = []
    for level in range(1 + int(math.log10(rounds) / 4)):
        size = 8 * 2**level
        fresh = range(size) if level == 0 else range(1, size, 2)
        weight = 2.0 ** -(level + 1) / len(fresh)
        found += [(2 * math.sqrt(1 + (0.4 + 0.6 * j / size) ** 2), weight) for j in fresh]
    return found


def _variance(key_probability: float, test_probabilities: Sequence[float]) -> float:
    """Return C: n rounds lose ``n (order - 1) C`` bits, to second order in ``order - 1``."""
    share = key_probability + math.fsum(test_probabilities)
    error, right, correlation, _ = _error_terms(DESIGN_CHSH, 2.0)
    odds = math.log2(right / error)
    slope = odds * DESIGN_CHSH / (8 * correlation)  # of the asymptotic entropy, by S
    scores = math.fsum(1 / p for p in test_probabilities) * (1 - (DESIGN_CHSH / 4) ** 2)
    return math.log(2) / 2 * (share**2 * slope**2 * scores + share * error * right * odds**2)


def _error_terms(chsh_value: float, order: float) -> tuple[float, float, float, float]:
    """Return error, 1 - error, sqrt(S^2/4 - 1), and error^b + (1 - error)^b - 1, b = 1 / order."""
    correlation = math.sqrt(min(1.0, max(0.0, chsh_value**2 / 4 - 1)))
    error = (1 - correlation) / 2
    power = -(order - 1) / order
    rest = (1 - error) * math.expm1(power * math.log1p(-error))
    rest += error * math.expm1(power * math.log(error)) if error > 0 else 0.0
    return error, 1 - error, correlation, rest


def _log_weight(chsh_value: float, order: float) -> float:
    """Return log of 2^((1 - order) H_order), at most 0, with all its digits for orders near 1."""
    *_, rest = _error_terms(chsh_value, order)
    return order * math.log1p(rest) - (order - 1) * math.log(2)


def _weight_slope(chsh_value: float, order: float) -> float:
    """Return the derivative of the weight by S, negative, for S inside (2, 2 sqrt(2))."""
    error, right, correlation, rest = _error_terms(chsh_value, order)
    power = -(order - 1) / order
    difference = math.exp(power * math.log(right)) * math.expm1(
        power * (math.log(error) - math.log(right))
    )
    inner = difference * -chsh_value / (8 * correlation)
    return math.exp(_log_weight(chsh_value, order)) * inner / (1 + rest)
