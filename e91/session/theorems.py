"""The theorems that a session's policy can name: what each assumes, and the key length it gives."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from e91.bell import chsh, phase_errors
from e91.model.evidence import Evidence
from e91.model.numbers import TSIRELSON
from e91.model.policy import Policy, Reconciler, SecurityModel, Theorem
from e91.model.records import ChshEstimate, Leak, QberEstimate, SecretLength
from e91.model.settings import Settings
from e91.security import device_dependent, device_independent, key_pairs, secret_length
from e91.security.device_dependent import Block
from e91.security.entropy_accumulation import Counts
from e91.security.portion_lengths import lengths, merged
from e91.security.shannon import binary_entropy, capped

_TRUST = (
    "if both analysers measure one qubit each at the declared angles, lose photons independently "
    "of the setting (fair sampling), choose settings at random and leak nothing"
)
_NO_TRUST = (
    "if quantum theory holds, the settings are random and nothing leaks; lost photons are kept as "
    "outcomes"
)
_ASYMPTOTIC = "asymptotic formula, not a finite-key theorem"

STATEMENTS = {
    Theorem.PHASE_ERRORS: f"Secret against coherent attacks on source and channel, {_TRUST}.",
    Theorem.EXACT_SAMPLING: f"Secret against coherent attacks on source and channel, {_TRUST}; "
    "the tolerated error was declared beforehand.",
    Theorem.TOMAMICHEL_LEVERRIER: "Secret against coherent attacks on source and channel, "
    f"{_TRUST}; the tolerated error was declared beforehand.",
    Theorem.TLGR: f"Secret against coherent attacks on source and channel, {_TRUST}; the tolerated "
    "error was declared beforehand.",
    Theorem.SHOR_PRESKILL: f"Secret in the limit of long keys, {_TRUST}; {_ASYMPTOTIC}.",
    Theorem.COLLECTIVE: "Secret for finitely many rounds whatever the devices are, if the rounds "
    f"are independent and alike (collective attacks), and {_NO_TRUST}.",
    Theorem.ENTROPY_ACCUMULATION: "Secret against coherent attacks whatever the devices are and "
    f"remember, {_NO_TRUST}.",
    Theorem.ACIN: f"Secret against collective attacks whatever the devices are, {_NO_TRUST}; "
    f"{_ASYMPTOTIC}.",
    Theorem.NOISY_PREPROCESSING: "Secret against collective attacks whatever the devices are, "
    f"{_NO_TRUST}; {_ASYMPTOTIC}.",
    Theorem.RANDOM_BASIS: "Secret against collective attacks whatever the devices are, "
    f"{_NO_TRUST}; {_ASYMPTOTIC}.",
}
"""What each theorem assumes and covers, in the sentence that every report prints."""


@dataclass(frozen=True)
class Case:
    """What a theorem is applied to.

    Attributes:
        evidence: The public counts.
        settings: Angles, probabilities and roles.
        policy: The theorem, epsilon, and what was declared beforehand.
        chsh: The Bell test, with a value.
        qber: The error estimate, with a rate.
        leak: What the messages disclosed.
    """

    evidence: Evidence
    settings: Settings
    policy: Policy
    chsh: ChshEstimate
    qber: QberEstimate
    leak: Leak


def secret_bits(case: Case) -> SecretLength:
    """Return the key length that the policy's theorem gives, with its terms."""
    return _LENGTHS[case.policy.proof](case)


def portion_lengths(case: Case) -> tuple[SecretLength, ...]:
    """Return the length of each portion of a dealt key, or of a whole one."""
    if case.policy.portions == 1:
        return (secret_bits(case),)
    return lengths(
        case.evidence.key_size,
        portions=case.policy.portions,
        phase_errors=partial(_phase_error_bound, case),
        expected_rate=_phase_error(case),
        leak=case.leak,
        epsilon=case.policy.epsilon,
    )


def check_settings(settings: Settings, policy: Policy) -> None:
    """Check that the policy's theorem applies to ``settings``.

    Raises:
        ValueError: The angles or key pairs are not those that the theorem wants.
    """
    proof = policy.proof
    alice = {x for (x, _), _ in settings.chsh_pairs}
    keys = [x for x, _ in settings.key_pairs]
    if policy.security is SecurityModel.TRUSTED_ANALYSERS:
        phase_errors.check_identity(settings)
    else:
        key_pairs.check_reference(settings)
        if policy.reconciler is Reconciler.LDPC and not alice.issuperset(keys):
            raise ValueError(
                "Without trust in the devices `ldpc` must have Alice's outcomes as reference, but "
                f"with `{settings.name}` some key pair has Bob's."
            )
    if proof.fixes_errors_beforehand:
        key_pairs.check_unbiased(settings, proof)
    if proof is Theorem.NOISY_PREPROCESSING and not alice.issuperset(keys):
        raise ValueError(
            "With `ho-2020` Alice's setting of every key pair must belong to the Bell test, but "
            f"with `{settings.name}` it does not."
        )
    pairs = {settings.pair_probability(pair) for pair in settings.key_pairs}
    if proof is Theorem.RANDOM_BASIS and not (
        sorted(keys) == sorted(alice) and math.isclose(min(pairs), max(pairs))
    ):
        raise ValueError(
            "With `schwonnek-2021` both of Alice's CHSH settings must make key, equally often, but "
            f"with `{settings.name}` they do not."
        )


def _phase_errors(case: Case) -> SecretLength:
    size, epsilon = case.evidence.key_size, case.policy.epsilon
    if case.policy.portions > 1:
        return merged(portion_lengths(case), key_size=size)
    return secret_length.trusted_analysers_length(
        size,
        phase_errors=_phase_error_bound(case, secret_length.split(epsilon).estimation ** 2),
        expected_errors=size * _phase_error(case),
        leak=case.leak,
        epsilon=epsilon,
    )


def _phase_error_bound(case: Case, epsilon: float) -> float:
    return phase_errors.phase_error_bound(
        case.evidence,
        settings=case.settings,
        revealed_fraction=case.policy.revealed_fraction,
        epsilon=epsilon,
    )


def _blocks(case: Case) -> SecretLength:
    """Return the key of two bases, each with the other's revealed rounds as its test."""
    proof, tolerated = case.policy.proof, case.policy.tolerated_error or 0.0
    first, second = case.evidence.samples
    budget = secret_length.split(case.policy.epsilon / 2)
    entropy, cost, worst = 0.0, 0.0, 0.0
    for own, other in ((first, second), (second, first)):
        if own.key_size == 0:
            continue
        if other.revealed == 0 or other.errors > tolerated * other.revealed:
            worst = 0.5
            continue
        block = Block(own.key_size, other.revealed, tolerated, 0.0)
        found, price = _theorem_of_block(proof, block, budget)
        entropy += max(0.0, found.min_entropy)
        cost += price
        worst = max(worst, found.phase_error)
    size = float(case.evidence.key_size)
    at_once = size * capped(tolerated)
    terms = (
        ("sifted key", size),
        ("phase errors, as tolerated", -at_once),
        ("finite statistics", entropy - size + at_once),
        ("error correction, Alice's bits", -float(case.leak.alice)),
        ("privacy amplification", -cost),
    )
    return SecretLength(terms, min(worst, 1.0))


def _theorem_of_block(
    proof: Theorem, block: Block, budget: secret_length.EpsilonBudget
) -> tuple[device_dependent.FiniteKey, float]:
    """Return the block's entropy and what privacy amplification costs; the hash is in the leak."""
    if proof is Theorem.TLGR:
        found = device_dependent.tlgr_length(
            block, epsilon_secrecy=budget.secrecy, epsilon_correctness=0.5
        )
        return found, 1 - 2 * math.log2(budget.secrecy)
    length = (
        device_dependent.exact_sampling_length
        if proof is Theorem.EXACT_SAMPLING
        else device_dependent.tl17_length
    )
    found = length(
        block,
        hash_bits=1,
        epsilon_estimation=2 * budget.estimation,
        epsilon_amplification=budget.amplification,
    )
    return found, -2 * math.log2(2 * budget.amplification)


def _shor_preskill(case: Case) -> SecretLength:
    error = _phase_error(case)
    return secret_length.asymptotic_length(
        case.evidence.key_size,
        entropy=1 - capped(error),
        leaked_bits=case.leak.alice,
        phase_error=error,
    )


def _collective(case: Case) -> SecretLength:
    estimation = 2 * secret_length.split(case.policy.epsilon).estimation
    evidence = case.evidence
    bound = chsh.estimate(
        evidence.same, evidence.different, settings=case.settings, epsilon=estimation
    ).lower_bound
    return secret_length.collective_length(
        evidence.key_size,
        chsh_value=_value(case),
        chsh_lower_bound=bound,
        leak=case.leak,
        epsilon=case.policy.epsilon,
    )


def _accumulated(case: Case) -> SecretLength:
    evidence, settings = case.evidence, case.settings
    return secret_length.accumulated_length(
        counts_of(evidence, settings=settings, revealed_fraction=case.policy.revealed_fraction),
        rounds=evidence.coincidences,
        chsh_value=_value(case),
        announced_sample_bits=sum(
            sample.revealed * (1 + binary_entropy(sample.errors / sample.revealed))
            + math.log2(sample.revealed + 1)
            for sample in evidence.samples
            if sample.revealed
        ),
        leak=case.leak,
        epsilon=case.policy.epsilon,
    )


def counts_of(evidence: Evidence, *, settings: Settings, revealed_fraction: float) -> Counts:
    """Return the counts that entropy accumulation asks for, wins first."""
    return Counts(
        key_size=evidence.key_size,
        wins=evidence.wins,
        losses=evidence.losses,
        key_probability=settings.key_probability * (1 - revealed_fraction),
        test_probabilities=tuple(
            settings.pair_probability(pair) for pair, _ in settings.chsh_pairs
        ),
    )


def _asymptotic(entropy: Callable[[Case, float], float]) -> Callable[[Case], SecretLength]:
    def length(case: Case) -> SecretLength:
        """Return the length that the entropy at the bound on S leaves."""
        bound = min(max(case.chsh.lower_bound, 0.0), TSIRELSON)
        return secret_length.asymptotic_length(
            case.evidence.key_size,
            entropy=entropy(case, bound),
            leaked_bits=case.leak.total,
        )

    return length


def _preprocessed(case: Case, bound: float) -> float:
    flip = case.policy.flip_probability
    return device_independent.noisy_preprocessing_entropy(bound, flip=flip)


def _value(case: Case) -> float:
    return case.chsh.value or 0.0


def _phase_error(case: Case) -> float:
    """Return the estimate 1 - S / (2 sqrt 2) - Q, no bound, in [0, 1/2]."""
    error = 1 - _value(case) / TSIRELSON - (case.qber.rate or 0.0)
    return min(0.5, max(0.0, error))


_LENGTHS: dict[Theorem, Callable[[Case], SecretLength]] = {
    Theorem.PHASE_ERRORS: _phase_errors,
    Theorem.EXACT_SAMPLING: _blocks,
    Theorem.TOMAMICHEL_LEVERRIER: _blocks,
    Theorem.TLGR: _blocks,
    Theorem.SHOR_PRESKILL: _shor_preskill,
    Theorem.COLLECTIVE: _collective,
    Theorem.ENTROPY_ACCUMULATION: _accumulated,
    Theorem.ACIN: _asymptotic(lambda _, bound: device_independent.acin_entropy(bound)),
    Theorem.NOISY_PREPROCESSING: _asymptotic(_preprocessed),
    Theorem.RANDOM_BASIS: _asymptotic(lambda _, s: device_independent.random_basis_entropy(s)),
}
