"""The theorems that a session's policy can name: what each assumes, and the key length it gives."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from e91.bell import chsh, phase_errors
from e91.model.evidence import Evidence
from e91.model.numbers import TSIRELSON
from e91.model.records import ChshEstimate, Leak, QberEstimate, SecretLength
from e91.model.settings import Settings
from e91.model.trust import SecurityModel
from e91.security import device_dependent, device_independent, key_pairs, secret_length
from e91.security.device_dependent import Block, FiniteKey
from e91.security.entropy_accumulation import Counts
from e91.security.policy import Policy, Reconciler, Theorem
from e91.security.portion_lengths import lengths, merged
from e91.security.shannon import binary_entropy, capped


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
    return RULES[case.policy.proof].length(case)


def portion_lengths(case: Case) -> tuple[SecretLength, ...]:
    """Return the length of each portion of a divided key, or of a whole one."""
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
    keys = {x for x, _ in settings.key_pairs}
    if policy.security is SecurityModel.TRUSTED_ANALYSERS:
        phase_errors.check_identity(settings)
    else:
        key_pairs.check_reference(settings)
        if policy.reconciler is Reconciler.LDPC and keys - _alice_settings(settings):
            raise ValueError(
                "Without trust in the devices `ldpc` must have Alice's outcomes as reference, but "
                f"with `{settings.name}` some key pair has Bob's."
            )
    RULES[policy.proof].check(settings)


@dataclass(frozen=True)
class Rule:
    """How a theorem is applied.

    Attributes:
        length: Gives the key length of a case.
        check: Raises a ValueError for settings that the theorem does not cover, beyond what its
            security model asks of them.
    """

    length: Callable[[Case], SecretLength]
    check: Callable[[Settings], None] = lambda _: None


def _check_flips(settings: Settings) -> None:
    if not _alice_settings(settings).issuperset(x for x, _ in settings.key_pairs):
        raise ValueError(
            "With `ho-2020` Alice's setting of every key pair must belong to the Bell test, but "
            f"with `{settings.name}` it does not."
        )


def _check_random_basis(settings: Settings) -> None:
    keys = sorted(x for x, _ in settings.key_pairs)
    pairs = {settings.pair_probability(pair) for pair in settings.key_pairs}
    if keys != sorted(_alice_settings(settings)) or not math.isclose(min(pairs), max(pairs)):
        raise ValueError(
            "With `schwonnek-2021` both of Alice's CHSH settings must make key, equally often, but "
            f"with `{settings.name}` they do not."
        )


def _alice_settings(settings: Settings) -> set[int]:
    """Return the settings of Alice that belong to the Bell test."""
    return {x for (x, _), _ in settings.chsh_pairs}


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


_BlockLength = Callable[[Block, secret_length.EpsilonBudget], tuple[FiniteKey, float]]
"""A block's entropy and what privacy amplification costs; the hash is in the leak."""


def _two_bases(case: Case, block_length: _BlockLength) -> SecretLength:
    """Return the key of two bases, each with the other's revealed rounds as its test."""
    tolerated = case.policy.tolerated_error or 0.0
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
        found, price = block_length(block, budget)
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


def _tlgr(case: Case) -> SecretLength:
    def of_block(block: Block, budget: secret_length.EpsilonBudget) -> tuple[FiniteKey, float]:
        """Apply the theorem of 2012, whose epsilon of correctness is charged as a hash."""
        found = device_dependent.tlgr_length(
            block, epsilon_secrecy=budget.secrecy, epsilon_correctness=0.5
        )
        return found, 1 - 2 * math.log2(budget.secrecy)

    return _two_bases(case, of_block)


def _sampled(length: Callable[..., FiniteKey]) -> Callable[[Case], SecretLength]:
    def of_block(block: Block, budget: secret_length.EpsilonBudget) -> tuple[FiniteKey, float]:
        """Apply a theorem that splits epsilon into estimation and amplification."""
        found = length(
            block,
            hash_bits=1,
            epsilon_estimation=2 * budget.estimation,
            epsilon_amplification=budget.amplification,
        )
        return found, -2 * math.log2(2 * budget.amplification)

    return partial(_two_bases, block_length=of_block)


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


def _unbiased(proof: Theorem) -> Callable[[Settings], None]:
    return partial(key_pairs.check_unbiased, proof=proof)


RULES = {
    Theorem.PHASE_ERRORS: Rule(_phase_errors),
    Theorem.EXACT_SAMPLING: Rule(
        _sampled(device_dependent.exact_sampling_length), _unbiased(Theorem.EXACT_SAMPLING)
    ),
    Theorem.TOMAMICHEL_LEVERRIER: Rule(
        _sampled(device_dependent.tl17_length), _unbiased(Theorem.TOMAMICHEL_LEVERRIER)
    ),
    Theorem.TLGR: Rule(_tlgr, _unbiased(Theorem.TLGR)),
    Theorem.SHOR_PRESKILL: Rule(_shor_preskill),
    Theorem.COLLECTIVE: Rule(_collective),
    Theorem.ENTROPY_ACCUMULATION: Rule(_accumulated),
    Theorem.ACIN: Rule(_asymptotic(lambda _, s: device_independent.acin_entropy(s))),
    Theorem.NOISY_PREPROCESSING: Rule(_asymptotic(_preprocessed), _check_flips),
    Theorem.RANDOM_BASIS: Rule(
        _asymptotic(lambda _, s: device_independent.random_basis_entropy(s)), _check_random_basis
    ),
}
"""How each theorem of `e91.security.policy` is applied."""
