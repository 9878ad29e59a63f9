"""From a session's counts and policy to the case that its theorem is applied to."""

from e91.bell import chsh, phase_errors
from e91.model.evidence import Evidence
from e91.model.records import ChshEstimate, Leak, QberEstimate
from e91.model.settings import Settings
from e91.model.trust import SecurityModel
from e91.security.policy import Policy, Reconciler
from e91.security.theorems import Case, alice_test_settings, check_reference


def case_of(
    evidence: Evidence,
    *,
    settings: Settings,
    policy: Policy,
    found: ChshEstimate,
    qber: QberEstimate,
    leak: Leak,
) -> Case:
    """Return what the policy's theorem is applied to.

    Args:
        evidence: The public counts.
        settings: Angles, probabilities and roles.
        policy: The theorem, epsilon, and what was declared beforehand.
        found: The Bell test, with a value.
        qber: The error estimate, with a rate.
        leak: What the messages disclosed.
    """

    def phase_error_bound(epsilon: float) -> float:
        """Return a bound on the key's phase errors."""
        return phase_errors.phase_error_bound(
            evidence,
            settings=settings,
            revealed_fraction=policy.revealed_fraction,
            epsilon=epsilon,
        )

    def chsh_lower_bound(epsilon: float) -> float:
        """Return a lower bound on S."""
        return chsh.estimate(
            evidence.same, evidence.different, settings=settings, epsilon=epsilon
        ).lower_bound

    return Case(
        theorem=policy.proof,
        evidence=evidence,
        settings=settings,
        chsh=found,
        qber=qber,
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
    if policy.security is SecurityModel.TRUSTED_ANALYSERS:
        phase_errors.check_identity(settings)
    else:
        check_reference(settings)
        ldpc = policy.reconciler is Reconciler.LDPC
        if ldpc and keys - alice_test_settings(settings):
            raise ValueError(
                "Without trust in the devices `ldpc` must have Alice's outcomes as reference, but "
                f"with `{settings.name}` some key pair has Bob's."
            )
    policy.proof.entry.check(settings, policy.proof.value)
