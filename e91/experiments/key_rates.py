"""How much key an experiment's S and QBER are worth, by the theorem that it names."""

import math

from e91.experiments.fixed_sessions import FixedSession, session_bits
from e91.experiments.vocabulary import Protocol, given
from e91.model.numbers import check_positive
from e91.model.settings import ASYMMETRIC
from e91.model.trust import SecurityModel
from e91.security import device_dependent, device_independent
from e91.security.policy import Policy
from e91.security.theorems import Theorem

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
    from e91.session.planning import Link, best_plan

    policy = Policy(SecurityModel.DEVICE_INDEPENDENT, epsilon=_epsilon(protocol), theorem=theorem)
    link = Link(chsh, qber, _efficiency(protocol))
    rounds = round(given(protocol.rounds, "`protocol.rounds`"))
    plan = best_plan(link, rounds, settings=ASYMMETRIC, policy=policy)
    return float(plan.secret_bits)


def fixed_session_bits_per_round(protocol: Protocol) -> float:
    """Return the key bits per round of the session as its authors laid it out.

    By `e91.experiments.fixed_sessions`; S and QBER are those that ``protocol`` says were expected.

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
    key_bits = round(given(protocol.key_bits, "`protocol.key_bits`"))
    epsilon = _epsilon(protocol)
    leak = device_dependent.shannon_leak(key_bits, error=qber, efficiency=_efficiency(protocol))
    block = device_dependent.Block(
        key_bits,
        round(given(protocol.test_bits, "`protocol.test_bits`")),
        tolerated_error=qber,
        leaked_bits=leak,
    )
    found = _BLOCKS[theorem](
        block,
        hash_bits=math.ceil(-math.log2(0.1 * epsilon)),
        epsilon_estimation=0.7 * epsilon,
        epsilon_amplification=0.2 * epsilon,
    )
    return found.balance


def _efficiency(protocol: Protocol) -> float:
    key = "`protocol.error_correction_efficiency`"
    return given(protocol.error_correction_efficiency, key)


def _epsilon(protocol: Protocol) -> float:
    epsilon = given(protocol.epsilon, "`protocol.epsilon`")
    check_positive(**{"protocol.epsilon": epsilon})  # an error bar may reach below its least value
    return epsilon
