"""How much key an experiment is worth, by its theorem or by a protocol fixed beforehand.

The key of a device-independent session whose protocol is fixed beforehand is that of two ions:
Nadlinger et al., Nature 607, 682 (2022), arXiv:2109.14600, supplement: Proposition 2 with
equations (61) to (73), the thresholds of (23) to (25).  `e91.security` has a newer and better
bound; this one retraces the published key.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.optimize import minimize

from e91.experiments.vocabulary import Protocol
from e91.model.numbers import Floats, check_positive
from e91.model.settings import ASYMMETRIC
from e91.model.trust import SecurityModel
from e91.optics.link_files import given
from e91.security import device_dependent, device_independent
from e91.security.device_independent import acin_entropy
from e91.security.policy import Policy
from e91.security.shannon import binary_entropy
from e91.security.theorems import Theorem

_LEAST_WIN, _MOST_WIN = (1 - math.sqrt(0.5)) / 2, (1 + math.sqrt(0.5)) / 2
_HASH_COLLISION = 2.0**-61  # of the paper's VHASH; Proposition 2 spends four of them
_OTHER_BITS = 264  # (73): tags, hash and flags that are sent, and 6 bits of the extractor
_EXTRACTOR = 4 / math.log(2)  # (73): b of the Trevisan extractor
_DEVIATIONS = 3  # (24): k, tolerated standard deviations of the number of lost games


@dataclass(frozen=True)
class FixedSession:
    """A session whose numbers are chosen before the first round.

    Attributes:
        rounds: All of them.
        test_fraction: Chance that a round is a test.
        expected_chsh: S for which the session is laid out.
        expected_qber: Error rate of the key rounds for which it is laid out.
        epsilon: Soundness.

    Raises:
        ValueError: ``epsilon`` does not exceed what the paper's hashes cost.

    Examples:
        >>> ions = FixedSession(1.5e6, 13 / 256, 2.64, 0.018, 1e-10)
        >>> round(ions.syndrome_bits), round(ions.least_winning_probability, 6)
        (296517, 0.825538)
    """

    rounds: float
    test_fraction: float
    expected_chsh: float
    expected_qber: float
    epsilon: float

    def __post_init__(self) -> None:
        if not self.epsilon > 4 * _HASH_COLLISION:
            raise ValueError(
                f"`protocol.epsilon` must exceed {4 * _HASH_COLLISION:.2g}, four collisions of the "
                f"hashes, but is {self.epsilon:g}."
            )

    @property
    def least_winning_probability(self) -> float:
        """Fraction of games won below which the session is given up, (24) and (25)."""
        lost = self.test_fraction * (4 - self.expected_chsh) / 8
        tolerated = lost + _DEVIATIONS * math.sqrt(lost * (1 - lost) / self.rounds)
        return 1 - tolerated / self.test_fraction

    @property
    def syndrome_bits(self) -> float:
        """Bits that the error correction sends, (23)."""
        asymptotic = (1 - self.test_fraction) * binary_entropy(self.expected_qber)
        asymptotic += self.test_fraction * binary_entropy((4 - self.expected_chsh) / 8)
        return self.rounds * asymptotic + 50 * math.sqrt(self.rounds)


@dataclass(frozen=True)
class Choice:
    """What Proposition 2 leaves free.

    Attributes:
        tangent: Winning probability t at which the entropy's tangent is taken.
        order: alpha' - 1.
        other_order: alpha'' - 1.
        amplification_share: Part of epsilon for the extractor; the rest is 2 epsilon_s.
        smoothing_shares: epsilon_s' / epsilon_s, and 2 epsilon_s'' in what that leaves.
    """

    tangent: float
    order: float
    other_order: float
    amplification_share: float
    smoothing_shares: tuple[float, float]


@lru_cache(maxsize=64)
def session_bits(session: FixedSession) -> float:
    """Return the length of the key that a session is laid out for; negative if it has none.

    What Proposition 2 leaves free is chosen for the longest key, by Powell's method.

    Examples:
        >>> print(f"{session_bits(FixedSession(1.5e6, 13 / 256, 2.64, 0.018, 1e-10)):.0f}")
        95886
    """
    scale = math.sqrt(session.rounds)
    start = np.array([-0.5, math.log(0.75 / scale), math.log(4.5 / scale), -5.0, 1.5, 3.0])

    def loss(place: Floats) -> float:
        return -length_with(session, _choice(session, place))

    found = minimize(loss, start, method="Powell", options={"ftol": 1e-12})
    return -float(found.fun)


def length_with(session: FixedSession, choice: Choice) -> float:
    """Return the length (73) with one choice; negative if no key is left.

    The infimum over the winning probability is a minimum over 3,000 of them.
    """
    lost = 4 * _HASH_COLLISION
    epsilon = session.epsilon - lost
    amplification = epsilon * choice.amplification_share
    smooth = (epsilon - amplification) / 2
    first, second = choice.smoothing_shares
    smooth_first = smooth * first
    smooth_second = (smooth - smooth_first) * second / 2
    rest = (smooth - smooth_first) * (1 - second)
    bits = session.rounds * _bits_per_round(session, choice)
    for order, part in ((choice.order, smooth_first), (choice.other_order, smooth_second)):
        bits -= (smoothing_cost(part) - (1 + order) * math.log2(epsilon)) / order
    bits -= 3 * smoothing_cost(rest) - 5 * math.log2(amplification)
    return extracted(bits - round(session.syndrome_bits) - _OTHER_BITS)


def smoothing_cost(epsilon: float) -> float:
    """Return log2(1 / (1 - sqrt(1 - epsilon^2))), (66); 2 / epsilon^2 in it where that is equal."""
    if epsilon < 1e-6:
        return 1 - 2 * math.log2(epsilon)
    return -math.log2(-math.expm1(math.log1p(-(epsilon**2)) / 2))


def extracted(bits: float) -> float:
    """Return the y with y + b ln y = ``bits``, (52); ``bits`` itself where none is left."""
    if bits <= 1:
        return bits
    key = 1.0
    for _ in range(60):  # Newton's steps towards a concave function's zero never pass it
        key += (bits - key - _EXTRACTOR * math.log(key)) / (1 + _EXTRACTOR / key)
    return key


def _choice(session: FixedSession, place: Floats) -> Choice:
    """Return a choice for any six numbers."""
    middle = (session.least_winning_probability - 0.75) / (_MOST_WIN - 0.75)
    height = _share(place[0] + math.log(max(middle, 1e-3) / max(1 - middle, 1e-3)))
    return Choice(
        0.75 + (_MOST_WIN - 0.75) * min(max(height, 1e-4), 1 - 1e-4),
        math.exp(min(place[1], -1e-3)),
        math.exp(min(place[2], -math.log(math.log2(5)))),
        _share(place[3]),
        (_share(place[4]), _share(place[5])),
    )


def _share(value: float) -> float:
    return 1 / (1 + math.exp(-min(max(value, -30.0), 30.0)))


def _bits_per_round(session: FixedSession, choice: Choice) -> float:
    """Return what (73) multiplies with n."""
    gamma, tangent = session.test_fraction, choice.tangent
    slope = _entropy_slope(tangent)

    def line(win: float) -> float:
        return _entropy(tangent) + (win - tangent) * slope

    lost_score, other_score = line(0.0) / gamma + (1 - 1 / gamma) * line(1.0), line(1.0)
    wins, entropies = _grid()
    lost = gamma * (1 - wins)
    mean = lost * lost_score + (1 - lost) * other_score
    variance = np.maximum(lost * lost_score**2 + (1 - lost) * other_score**2 - mean**2, 0.0)
    width = math.log(2) / 2 * (math.log2(33) + np.sqrt(2 + variance)) ** 2
    infimum = float(np.min(entropies - mean - choice.order * width))
    spread = 2 + line(1.0) - line(_LEAST_WIN)
    third = math.log(2**spread + math.e**2) ** 3 * 2 ** (choice.order * spread)
    third /= 6 * (1 - choice.order) ** 3 * math.log(2)
    return (
        line(session.least_winning_probability)
        + infimum
        - choice.order**2 * third
        - gamma
        - choice.other_order * math.log2(5) ** 2
    )


def _entropy(win: float) -> float:
    """Return the least entropy of an outcome at a winning probability, (62)."""
    return acin_entropy(8 * win - 4) if win > 0.75 else 0.0


def _entropy_slope(win: float) -> float:
    """Return its derivative above 3/4."""
    root = math.sqrt(16 * win * (win - 1) + 3)
    return math.log2((1 + root) / (1 - root)) * 4 * (2 * win - 1) / root


@lru_cache(maxsize=1)
def _grid() -> tuple[Floats, Floats]:
    wins = np.concatenate(
        [np.linspace(_LEAST_WIN, 0.75, 200), np.linspace(0.75, _MOST_WIN - 1e-12, 2801)[1:]]
    )
    return wins, np.array([_entropy(float(win)) for win in wins])


_BLOCKS = {
    Theorem.TOMAMICHEL_LEVERRIER: device_dependent.tl17_length,
    Theorem.EXACT_SAMPLING: device_dependent.exact_sampling_length,
}
_SESSIONS = (Theorem.COLLECTIVE, Theorem.ENTROPY_ACCUMULATION)


def secret_fraction(
    protocol: Protocol, *, theorem: Theorem, chsh: float | None, qber: float
) -> float:
    """Return the secret bits per key bit in the limit of long keys.

    With trusted analysers both key bases are one another's test, so the phase-error rate is the
    QBER: 1 - (1 + f) h(Q).

    Args:
        protocol: Gives the ``error_correction_efficiency``.
        theorem: One of the asymptotic theorems.
        chsh: S; needed without trust in the devices.
        qber: Error rate of the key bits.

    Raises:
        ValueError: The theorem is not asymptotic, or S is missing.
    """
    efficiency = _efficiency(protocol)
    if theorem is Theorem.SHOR_PRESKILL:
        return device_dependent.bbm92_rate(qber, min(qber, 0.5), efficiency=efficiency)
    if chsh is None:
        raise ValueError(f"The theorem `{theorem.value}` must have an S, but there is none.")
    if theorem is Theorem.ACIN:
        return device_independent.acin_rate(chsh, qber, efficiency=efficiency)
    if theorem is Theorem.NOISY_PREPROCESSING:
        found = device_independent.noisy_preprocessing_rate(chsh, qber, efficiency=efficiency)
        return found.rate
    if theorem is Theorem.RANDOM_BASIS:
        return device_independent.random_basis_rate(chsh, qber, efficiency=efficiency)
    raise ValueError(
        f"A rate per key bit must come from an asymptotic theorem, but `{theorem.value}` is for "
        "finite keys."
    )


def finite_bits(protocol: Protocol, *, theorem: Theorem, chsh: float | None, qber: float) -> float:
    """Return the bits of a finite key; negative if the theorem leaves none.

    The block theorems take ``protocol.key_bits`` of one basis, tested by ``protocol.test_bits`` of
    the other, and spend epsilon as 1 : 2 : 7 on verification, amplification and estimation.  The
    device-independent ones plan a session of ``protocol.rounds`` with the best choice
    probabilities.

    Args:
        protocol: Gives the block and epsilon.
        theorem: A finite-key theorem.
        chsh: S; needed without trust in the devices.
        qber: Error rate of the key bits, taken as what was tolerated.

    Raises:
        ValueError: The theorem is not one of these, or a number is missing.
    """
    if theorem in _BLOCKS:
        return _block_bits(protocol, theorem, qber)
    if theorem not in _SESSIONS or chsh is None:
        known = ", ".join(known.value for known in (*_BLOCKS, *_SESSIONS))
        raise ValueError(
            f"A finite key must come from one of {known}, with the S that the last two need, but "
            f"the theorem is `{theorem.value}`."
        )
    from e91.session.expectation import Link
    from e91.session.planning import best_plan

    policy = Policy(SecurityModel.DEVICE_INDEPENDENT, epsilon=_epsilon(protocol), theorem=theorem)
    link = Link(chsh, qber, _efficiency(protocol))
    rounds = round(given(protocol.rounds, "`protocol.rounds`"))
    plan = best_plan(link, rounds, settings=ASYMMETRIC, policy=policy)
    return float(plan.blocks * plan.length.bits)  # published keys do not pay for our tags


def fixed_session_bits_per_round(protocol: Protocol) -> float:
    """Return the key bits per round of the session as its authors laid it out.

    By `session_bits`; S and QBER are those that ``protocol`` says were expected.

    Raises:
        ValueError: A number of the session is missing, or epsilon is too small.
    """
    session = FixedSession(
        given(protocol.rounds, "`protocol.rounds`"),
        given(protocol.test_fraction, "`protocol.test_fraction`"),
        given(protocol.expected_chsh, "`protocol.expected_chsh`"),
        given(protocol.expected_qber, "`protocol.expected_qber`"),
        _epsilon(protocol),
    )
    return session_bits(session) / session.rounds


def is_finite(theorem: Theorem) -> bool:
    """Return whether `finite_bits` knows the theorem."""
    return theorem in _BLOCKS or theorem in _SESSIONS


def _block_bits(protocol: Protocol, theorem: Theorem, qber: float) -> float:
    return device_dependent.planned_key(
        _BLOCKS[theorem],
        round(given(protocol.key_bits, "`protocol.key_bits`")),
        round(given(protocol.test_bits, "`protocol.test_bits`")),
        error=qber,
        efficiency=_efficiency(protocol),
        epsilon=_epsilon(protocol),
    ).balance


def _efficiency(protocol: Protocol) -> float:
    key = "`protocol.error_correction_efficiency`"
    return given(protocol.error_correction_efficiency, key)


def _epsilon(protocol: Protocol) -> float:
    epsilon = given(protocol.epsilon, "`protocol.epsilon`")
    check_positive(**{"protocol.epsilon": epsilon})  # an error bar may reach below its least value
    return epsilon
