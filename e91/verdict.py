"""The verdict: may this session release a key, and of which length?"""

from __future__ import annotations

from dataclasses import dataclass

from e91.bell import chsh, phase_errors
from e91.distillation import authentication, verification
from e91.model.errors import Abort
from e91.model.evidence import Evidence
from e91.model.policy import Policy, SecurityModel
from e91.model.records import ChshEstimate, QberEstimate, SecretLength
from e91.model.settings import Settings
from e91.security import sampling, secret_length


@dataclass(frozen=True)
class Verdict:
    """What the public evidence says of a session.

    Attributes:
        evidence: The counts on which it rests.
        chsh: The Bell test.
        qber: The error estimate.
        length: How long the key may be; None if the evidence has too few rounds for a length.
        abort: Why no key may be released, or None.
    """

    evidence: Evidence
    chsh: ChshEstimate
    qber: QberEstimate
    length: SecretLength | None = None
    abort: Abort | None = None


def judge(
    evidence: Evidence, *, settings: Settings, policy: Policy, leaked_bits: int = 0
) -> Verdict:
    """Return the verdict on the public evidence.

    A key may be released only if the lower bound on S exceeds 2 *and* the security model leaves
    more bits than the next session's authentication needs.

    Args:
        evidence: The counts after sifting.
        settings: Which pairs made them, with their probabilities.
        policy: Security model and epsilon.
        leaked_bits: Key bits disclosed so far, both parties' together.
    """
    found = chsh.estimate(
        evidence.same, evidence.different, settings=settings, epsilon=policy.epsilon
    )
    qber = _qber(evidence, policy.epsilon)
    if found.value is None or qber.rate is None or evidence.key_size == 0:
        return Verdict(evidence, found, qber, abort=Abort.TOO_FEW_ROUNDS)
    length = _length(evidence, found, settings, policy, leaked_bits)
    abort = None
    if not found.lower_bound > 2:
        abort = Abort.NO_VIOLATION
    elif length.bits <= authentication.AUTHENTICATION_BITS:
        abort = Abort.NO_SECRET_LEFT
    return Verdict(evidence, found, qber, length, abort)


def check_policy(rounds: int, *, settings: Settings, policy: Policy) -> None:
    """Check that ``settings`` can carry what ``policy`` promises.

    Raises:
        ValueError: There are no key or CHSH pairs, one of them never occurs, the security model
            does not fit the angles, or epsilon is smaller than the tags can give.
    """
    if not settings.chsh_pairs or not settings.key_pairs:
        raise ValueError(
            f"A session's settings must have key and CHSH pairs, but `{settings.name}` has not."
        )
    pairs = [*settings.key_pairs, *(pair for pair, _ in settings.chsh_pairs)]
    if never := [pair for pair in pairs if not settings.pair_probability(pair) > 0]:
        raise ValueError(
            f"Every key and CHSH pair must have a positive probability, but {never[0]} has none."
        )
    if policy.security is SecurityModel.TRUSTED_ANALYSERS:
        phase_errors.check_identity(settings)
    else:
        _check_reference(settings)
    budget = secret_length.split(policy.epsilon).hashing
    hashes = 2 * authentication.forgery_probability(16 * rounds)
    if hashes + verification.collision_probability(rounds) > budget:
        raise ValueError(
            f"`epsilon` must be at least 1e-20, what the tags of a session can give, but is "
            f"{policy.epsilon}."
        )


def _length(
    evidence: Evidence, found: ChshEstimate, settings: Settings, policy: Policy, leaked_bits: int
) -> SecretLength:
    if policy.security is SecurityModel.DEVICE_INDEPENDENT:
        return secret_length.device_independent_length(
            evidence.key_size,
            chsh_lower_bound=found.lower_bound,
            leaked_bits=leaked_bits,
            epsilon=policy.epsilon,
        )
    phase = phase_errors.phase_error_bound(
        evidence,
        settings=settings,
        revealed_fraction=policy.revealed_fraction,
        epsilon=secret_length.split(policy.epsilon).estimation ** 2,
    )
    return secret_length.trusted_analysers_length(
        evidence.key_size, phase_errors=phase, leaked_bits=leaked_bits, epsilon=policy.epsilon
    )


def _qber(evidence: Evidence, epsilon: float) -> QberEstimate:
    errors, revealed = evidence.sample_errors, evidence.sample_size
    bound = 1.0
    if revealed and evidence.key_size:
        bound = sampling.hypergeometric_upper_bound(
            errors, revealed=revealed, hidden=evidence.key_size, epsilon=epsilon
        )
    return QberEstimate(errors / revealed if revealed else None, bound, revealed, errors)


def _check_reference(settings: Settings) -> None:
    tests = [pair for pair, _ in settings.chsh_pairs]
    for x, y in settings.key_pairs:
        if x not in {pair[0] for pair in tests} and y not in {pair[1] for pair in tests}:
            raise ValueError(
                "In the device-independent model each key pair must share a setting with the Bell "
                f"test, but ({x}, {y}) shares none."
            )
