"""The verdict: may this session release a key, and how long may it be?"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from e91.bell import chsh, correlators, sufficient
from e91.distillation import authentication, verification
from e91.model.errors import Abort
from e91.model.evidence import Evidence
from e91.model.records import ChshEstimate, Leak, QberEstimate, SecretLength
from e91.model.settings import Settings
from e91.model.trust import SecurityModel
from e91.security import sampling, secret_length, theorems
from e91.security.policy import Policy, Reconciler
from e91.security.theorems import Case, alice_test_settings, check_reference
from e91.session.inversion import looks_inverted
from e91.system.extras import extra


def case_of(
    evidence: Evidence,
    *,
    settings: Settings,
    policy: Policy,
    found: ChshEstimate,
    error_rate: float,
    leak: Leak,
) -> Case:
    """Return what the policy's theorem is applied to.

    Args:
        evidence: The public counts.
        settings: Angles, probabilities and roles.
        policy: The theorem, epsilon, and what was declared beforehand.
        found: The Bell test, with a value.
        error_rate: QBER of the sample.
        leak: What the messages disclosed.
    """

    def phase_error_bound(epsilon: float) -> float:
        """Return a bound on the key's phase errors."""
        return chsh.phase_error_bound(
            evidence,
            settings=settings,
            revealed_fraction=policy.revealed_fraction,
            epsilon=epsilon,
        )

    def chsh_lower_bound(epsilon: float) -> float:
        """Return a lower bound on S."""
        return chsh_estimate(evidence, settings=settings, epsilon=epsilon).at_least

    return Case(
        theorem=policy.proof,
        evidence=evidence,
        settings=settings,
        chsh=found,
        error_rate=error_rate,
        leak=leak,
        epsilon=policy.epsilon,
        revealed_fraction=policy.revealed_fraction,
        tolerated_error=policy.tolerated_error,
        flip_probability=policy.flip_probability,
        portions=policy.portions,
        phase_errors=phase_error_bound,
        chsh_lower_bound=chsh_lower_bound,
    )


def check_settings(settings: Settings, policy: Policy) -> None:
    """Check that the policy's security model and theorem cover ``settings``.

    Raises:
        ValueError: The angles or key pairs are not those that they want.
    """
    keys = {x for x, _ in settings.key_pairs}
    if not settings.chsh_pairs:
        _check_needs_no_bell_test(settings, policy)
    elif policy.security is SecurityModel.TRUSTED_ANALYSERS:
        chsh.check_identity(settings)
    else:
        check_reference(settings)
        ldpc = policy.reconciler is Reconciler.LDPC
        if ldpc and keys - alice_test_settings(settings):
            raise ValueError(
                "Without trust in the devices `ldpc` must have Alice's outcomes as reference, but "
                f"with `{settings.name}` some key pair has Bob's."
            )
    policy.proof.entry.check(settings, policy.proof.value)


def _check_needs_no_bell_test(settings: Settings, policy: Policy) -> None:
    if policy.proof.entry.needs_bell_test:
        able = ", ".join(f"`{it.value}`" for it in theorems.Theorem if not it.entry.needs_bell_test)
        raise ValueError(
            "Settings without CHSH pairs must come with a `theorem` that needs no Bell test "
            f"({able}) and a `tolerated_error`, but `{settings.name}` come with "
            f"`{policy.proof.value}`."
        )


NOTHING_LEAKED = Leak()

# A round's share of the longer transcript, true or forged.  An honest one has 3 bytes a round, but
# whoever forges Bob's messages may put 32 questions to every key bit before Alice gives up, each in
# a message of its own: 2,000 bytes with her answers.
_TRANSCRIPT_BYTES = 4096

FALSE_ALARM = 1e-9
"""Probability with which an honest session fails the test of its settings, and of signalling."""


@dataclass(frozen=True)
class Verdict:
    """What the public evidence says of a session.

    Attributes:
        evidence: The counts on which it rests.
        chsh: The Bell test.
        length: How long the key may be; None if the evidence has too few rounds for a length, or
            refutes what a length rests on.
        abort: Why no key may be released, or None.
        portions: How long each portion of the key may be, if the policy divides it, else the
            same length; empty without a length.

    Examples:
        >>> from e91.model.records import ChshEstimate
        >>> none = Evidence((), (), (), signs=())
        >>> no_test = ChshEstimate(None, None, None, None, 0)
        >>> Verdict(none, no_test, abort=Abort.TOO_FEW_ROUNDS).length is None
        True
    """

    evidence: Evidence
    chsh: ChshEstimate
    length: SecretLength | None = None
    abort: Abort | None = None
    portions: tuple[SecretLength, ...] = ()

    def refuted(self, abort: Abort) -> Self:
        """Return the verdict of an abort that refutes the premises of bounds and key length.

        Args:
            abort: Why there is no key.
        """
        chsh = self.chsh.without_bounds()
        return replace(self, chsh=chsh, length=None, abort=abort, portions=())


def judge(
    evidence: Evidence, *, settings: Settings, policy: Policy, leak: Leak = NOTHING_LEAKED
) -> Verdict:
    """Return the verdict on the public evidence.

    What `verdict_of` says, unless `refuted_premise` finds that its bounds rest on nothing.

    Args:
        evidence: The counts after sifting.
        settings: Which pairs made them, with their probabilities.
        policy: Theorem and epsilon.
        leak: Key bits disclosed so far.

    Returns:
        The Bell test, the length that a key may have, and why there is none.

    Examples:
        >>> from e91.devices.exact import exact_device
        >>> from e91.session.session import run
        >>> report = run(exact_device(visibility=0.97, seed=1), rounds=100_000, seed=2)
        >>> found = judge(report.evidence, settings=report.settings, policy=report.policy)
        >>> found.abort, found.length.bits > report.length.bits    # no leak was counted
        (None, True)
    """
    verdict = verdict_of(evidence, settings=settings, policy=policy, leak=leak)
    refuted = refuted_premise(evidence, settings=settings)
    return verdict if refuted is None else verdict.refuted(refuted)


def refuted_premise(evidence: Evidence, *, settings: Settings) -> Abort | None:
    """Return which premise of the bounds the counts refute, or None.

    Two tests, each with a false-alarm probability of `FALSE_ALARM`: the setting pairs occur as
    often as declared, and no party's outcomes depend on the other's setting.

    Args:
        evidence: The counts after sifting; of no rounds, which refute nothing, or more.
        settings: Which pairs made them, with their probabilities.
    """
    if not evidence.coincidences:
        return None
    declared = np.outer(settings.alice_probabilities, settings.bob_probabilities)
    if _settings_are_skewed(np.array(evidence.pair_counts), declared):
        return Abort.SETTINGS_SKEWED
    if not settings.chsh_pairs:
        return None
    return Abort.SIGNALLING if _signals(_outcome_table(evidence, settings)) else None


def _settings_are_skewed(seen: NDArray[np.int64], declared: NDArray[np.float64]) -> bool:
    """Return whether the p-value is at most `FALSE_ALARM`, by the cheap test where that decides."""
    if sufficient.settings_surely_pass(seen, probabilities=declared, level=FALSE_ALARM):
        return False
    return correlators.settings_p_value(seen, probabilities=declared) <= FALSE_ALARM


def _signals(table: NDArray[np.int64]) -> bool:
    if sufficient.no_signalling_surely_passes(table, level=FALSE_ALARM):
        return False
    return correlators.no_signalling_p_value(table) <= FALSE_ALARM


def verdict_of(
    evidence: Evidence, *, settings: Settings, policy: Policy, leak: Leak = NOTHING_LEAKED
) -> Verdict:
    """Return the verdict on counts of settings and outcomes that are taken to be sound.

    A key may be released only if the lower bound on S exceeds 2 *and* the policy's theorem leaves
    more bits than the next session's authentication needs.  Where there is no Bell test, which only
    some theorems allow, the errors of each key basis must be within the tolerated rate instead.

    Args:
        evidence: The counts after sifting.
        settings: Which pairs made them, with their probabilities.
        policy: Theorem and epsilon.
        leak: Key bits disclosed so far.
    """
    found = chsh_estimate(evidence, settings=settings, epsilon=policy.epsilon)
    error_rate = evidence.error_rate
    untested = not settings.chsh_pairs
    shown = evidence.samples if untested else ()
    if (
        (found.value is None and not untested)
        or error_rate is None
        or evidence.key_size == 0
        or any(sample.revealed == 0 for sample in shown)
    ):
        return Verdict(evidence, found, abort=Abort.TOO_FEW_ROUNDS)
    if looks_inverted(chsh_value=found.value, error_rate=error_rate, bell_test=not untested):
        return Verdict(evidence, found.without_bounds(), abort=Abort.OUTCOMES_INVERTED)
    case = case_of(
        evidence, settings=settings, policy=policy, found=found, error_rate=error_rate, leak=leak
    )
    portions = theorems.portion_lengths(case)
    length = theorems.whole_length(portions, key_size=evidence.key_size)
    abort = None
    if any(sample.errors > (policy.tolerated_error or 0.0) * sample.revealed for sample in shown):
        abort = Abort.TOO_MANY_ERRORS
    elif not (untested or found.at_least > 2):
        abort = Abort.NO_VIOLATION
    elif length.bits <= authentication.AUTHENTICATION_BITS:
        abort = Abort.NO_SECRET_LEFT
    return Verdict(evidence, found, length, abort, portions)


def _outcome_table(evidence: Evidence, settings: Settings) -> NDArray[np.int64]:
    """Return the Bell-test counts with axes x, y, a, b."""
    return np.reshape(evidence.tests, (4, 2, 2))[chsh_pairs_by_setting(settings)]


def chsh_pairs_by_setting(settings: Settings) -> NDArray[np.intp]:
    """Return the places in ``settings.chsh_pairs`` of the four pairs, by Alice's and Bob's setting.

    Returns:
        Integers, shape (2, 2); both parties' two settings in ascending order.

    Examples:
        >>> from e91.model.settings import EKERT
        >>> chsh_pairs_by_setting(EKERT).tolist()
        [[0, 1], [2, 3]]
    """
    pairs = [pair for pair, _ in settings.chsh_pairs]
    return np.array(sorted(range(4), key=pairs.__getitem__), np.intp).reshape(2, 2)


def check_policy(rounds: int, *, settings: Settings, policy: Policy) -> None:
    """Check that ``settings`` can carry what ``policy`` promises.

    Raises:
        ValueError: There are no key pairs, or no CHSH pairs though the theorem needs a Bell test,
            a pair never occurs, the theorem does not fit the angles, or epsilon is smaller than
            the tags can give.
        MissingPackage: The reconciler needs a package that is not installed.
    """
    if policy.reconciler is Reconciler.LDPC:
        extra("ldpc.bp_decoder", what="`reconciler` ldpc")
    if not settings.key_pairs:
        raise ValueError(
            f"A session's settings must have key pairs, but `{settings.name}` has not."
        )
    pairs = [*settings.key_pairs, *(pair for pair, _ in settings.chsh_pairs)]
    if never := [pair for pair in pairs if not settings.pair_probability(pair) > 0]:
        raise ValueError(
            f"Every key and CHSH pair must have a positive probability, but {never[0]} has none."
        )
    check_settings(settings, policy)
    least = least_epsilon(rounds, portions=policy.portions)
    if policy.epsilon < least:
        raise ValueError(
            f"`epsilon` must be at least {least:.1e}, what hashes and tags of {rounds:,} rounds "
            f"can give, but is {policy.epsilon}."
        )


def least_epsilon(rounds: int, *, portions: int = 1) -> float:
    """Return the smallest failure probability that a session's hashes and tags can promise.

    Args:
        rounds: Rounds of the session.
        portions: Portions of its key, each with a hash of its own.

    Returns:
        A probability.

    Examples:
        >>> 1e-21 < least_epsilon(10**6) < 2e-21
        True
    """
    share = secret_length.split(1.0)
    forged = 2 * authentication.forgery_probability(_TRANSCRIPT_BYTES * rounds)
    collided = portions * verification.collision_probability(rounds)
    return max(forged / share.authentication, collided / share.correctness)


def chsh_estimate(evidence: Evidence, *, settings: Settings, epsilon: float) -> ChshEstimate:
    """Return the Bell test of the public counts; of settings that have none, one of no rounds."""
    if not settings.chsh_pairs:
        return ChshEstimate(None, None, None, None, rounds=0)
    return chsh.estimate(evidence.same, evidence.different, settings=settings, epsilon=epsilon)


def qber_estimate(evidence: Evidence, *, epsilon: float, altered: bool = False) -> QberEstimate:
    """Return the error rate of the sample, and a bound on that of the bits that stayed secret.

    Args:
        evidence: The counts; the bound takes longer than all else that a verdict needs.
        epsilon: Failure probability of the bound.
        altered: Whether messages were altered.  That refutes the bound, which else rests on the
            random choice of the sample alone.
    """
    errors, revealed = evidence.sample_errors, evidence.sample_size
    bound: float | None = None if altered else 1.0
    if revealed and evidence.key_size and not altered:
        bound = sampling.hypergeometric_upper_bound(
            errors, revealed=revealed, hidden=evidence.key_size, epsilon=epsilon
        )
    return QberEstimate(evidence.error_rate, bound, revealed, errors)
