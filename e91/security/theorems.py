"""The theorems that a session can name: each one entry, with its statement and its key length.

What each formula is and does not cover stands in ``docs/key_rates.md``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Self

from e91.model.evidence import Evidence
from e91.model.numbers import ANGLE_ROUNDING, TSIRELSON, angle_between
from e91.model.records import ChshEstimate, Leak, SecretLength
from e91.model.settings import Settings
from e91.model.trust import SecurityModel
from e91.security import device_dependent, device_independent, secret_length
from e91.security.device_dependent import Block, FiniteKey
from e91.security.entropy_accumulation import Counts
from e91.security.secret_length import lengths, merged
from e91.security.shannon import binary_entropy, capped


def check_reference(settings: Settings) -> None:
    """Check that every key pair shares a setting with the Bell test.

    Raises:
        ValueError: One does not.
    """
    tests = [pair for pair, _ in settings.chsh_pairs]
    for x, y in settings.key_pairs:
        if x not in {pair[0] for pair in tests} and y not in {pair[1] for pair in tests}:
            raise ValueError(
                "In the device-independent model each key pair must share a setting with the Bell "
                f"test, but ({x}, {y}) shares none."
            )


def check_unbiased(settings: Settings, theorem: str) -> None:
    """Check that there are two key bases, 90 degrees apart.

    Args:
        settings: Angles and roles.
        theorem: Name of the theorem that wants it; likewise below.

    Raises:
        ValueError: There are not.
    """
    angles = [settings.alice_angles[x] for x, _ in settings.key_pairs]
    turned = angle_between(angles[0], angles[-1])
    if len(angles) != 2 or abs(turned - math.pi / 2) > ANGLE_ROUNDING:
        other = "; its theorem for all settings is `phase-errors`" if settings.chsh_pairs else ""
        raise ValueError(
            f"With `{theorem}` there must be two mutually unbiased key bases, but with "
            f"`{settings.name}` there are not{other}."
        )


def check_flips(settings: Settings, theorem: str) -> None:
    """Check that Alice's setting of every key pair belongs to the Bell test.

    Raises:
        ValueError: One does not.
    """
    if not alice_test_settings(settings).issuperset(x for x, _ in settings.key_pairs):
        raise ValueError(
            f"With `{theorem}` Alice's setting of every key pair must belong to the Bell test, but "
            f"with `{settings.name}` it does not."
        )


def check_alike(settings: Settings, theorem: str) -> None:
    """Check that both of Alice's settings of the Bell test make key, equally often.

    Raises:
        ValueError: They do not.
    """
    keys = sorted(x for x, _ in settings.key_pairs)
    pairs = {settings.pair_probability(pair) for pair in settings.key_pairs}
    alike = math.isclose(min(pairs), max(pairs), rel_tol=1e-12, abs_tol=0)
    if keys != sorted(alice_test_settings(settings)) or not alike:
        raise ValueError(
            f"With `{theorem}` both of Alice's CHSH settings must make key, equally often, but "
            f"with `{settings.name}` they do not."
        )


def alice_test_settings(settings: Settings) -> set[int]:
    """Return the settings of Alice that belong to the Bell test."""
    return {x for (x, _), _ in settings.chsh_pairs}


class Attacks(Enum):
    """Which attacks a theorem covers; the value is how a user reads it.

    Examples:
        >>> Theorem.COLLECTIVE.entry.attacks.value
        'collective attacks'
    """

    COHERENT = "coherent attacks"
    COLLECTIVE = "collective attacks"


@dataclass(frozen=True)
class Case:
    """What a theorem is applied to.

    Attributes:
        theorem: Which one.
        evidence: The public counts.
        settings: Angles, probabilities and roles.
        chsh: The Bell test, with a value if there is one.
        error_rate: QBER of the sample.
        leak: What the messages disclosed.
        epsilon: Total failure probability of the session.
        revealed_fraction: Probability that a key round was revealed.
        tolerated_error: Error rate declared before the run, or None.
        flip_probability: Probability with which Alice flipped each of her key bits.
        portions: Into how many portions the key is divided.
        phase_errors: Returns a bound on the key's phase errors from the probability that it fails.
        chsh_lower_bound: Returns a lower bound on S from the probability that it fails.
    """

    theorem: Theorem
    evidence: Evidence
    settings: Settings
    chsh: ChshEstimate
    error_rate: float
    leak: Leak
    epsilon: float
    revealed_fraction: float
    tolerated_error: float | None
    flip_probability: float
    portions: int
    phase_errors: Callable[[float], float]
    chsh_lower_bound: Callable[[float], float]


def secret_bits(case: Case) -> SecretLength:
    """Return the key length that the case's theorem gives, with its terms."""
    return whole_length(portion_lengths(case), key_size=case.evidence.key_size)


def portion_lengths(case: Case) -> tuple[SecretLength, ...]:
    """Return the length of each portion of a divided key, or of a whole one."""
    if case.portions == 1:
        return (case.theorem.entry.length(case),)
    return lengths(
        case.evidence.key_size,
        portions=case.portions,
        phase_errors=case.phase_errors,
        expected_rate=_phase_error(case),
        leak=case.leak,
        epsilon=case.epsilon,
    )


def whole_length(portions: tuple[SecretLength, ...], *, key_size: int) -> SecretLength:
    """Return the length of a key from those of its portions; a single portion is the key itself.

    Args:
        portions: From `portion_lengths`.
        key_size: Bits of the key before it was divided.
    """
    return portions[0] if len(portions) == 1 else merged(portions, key_size=key_size)


@dataclass(frozen=True)
class TheoremEntry:
    """All that a session, a report and the command line know of a theorem.

    Attributes:
        name: What users call it.
        security: The security model under which it is stated.
        attacks: Which attacks it covers.
        secret: First words of its statement: how far a key is secret.
        length: Gives the key length of a case whose key is not divided.
        check: Raises a ValueError, which names the theorem, for settings that it does not cover,
            beyond what its security model asks of them.
        finite: Whether it holds for finitely many rounds; else it is an asymptotic formula.
        fixes_errors_beforehand: Whether it wants ``tolerated_error``, declared before the run.
        wants_two_key_bases: Whether it covers only settings with two key bases, as BBM92's.
        takes_flips: Whether Alice may flip key bits before error correction.
        needs_bell_test: Whether it concludes from S; else its settings may be without CHSH pairs.
        takes_portions: Whether it is proved for a key that is corrected in portions.
        is_default: Whether it is the one of its security model unless another is named.
    """

    name: str
    security: SecurityModel
    attacks: Attacks
    secret: str
    length: Callable[[Case], SecretLength]
    check: Callable[[Settings, str], object] = lambda *_: None
    finite: bool = True
    fixes_errors_beforehand: bool = False
    wants_two_key_bases: bool = False
    takes_flips: bool = False
    needs_bell_test: bool = True
    takes_portions: bool = False
    is_default: bool = False


def _phase_errors(case: Case) -> SecretLength:
    size, epsilon = case.evidence.key_size, case.epsilon
    return secret_length.trusted_analysers_length(
        size,
        phase_errors=case.phase_errors(secret_length.split(epsilon).estimation ** 2),
        expected_errors=size * _phase_error(case),
        leak=case.leak,
        epsilon=epsilon,
    )


_BlockLength = Callable[[Block, secret_length.EpsilonBudget], tuple[FiniteKey, float]]
"""A block's entropy and what privacy amplification costs; the hash is in the leak."""


def _two_bases(case: Case, block_length: _BlockLength) -> SecretLength:
    """Return the key of two bases, each with the other's revealed rounds as its test."""
    tolerated = case.tolerated_error or 0.0
    first, second = case.evidence.samples
    budget = secret_length.split(case.epsilon / 2)
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
    return secret_length.collective_length(
        case.evidence.key_size,
        chsh_value=_value(case),
        chsh_lower_bound=case.chsh_lower_bound(2 * secret_length.split(case.epsilon).estimation),
        leak=case.leak,
        epsilon=case.epsilon,
    )


def _accumulated(case: Case) -> SecretLength:
    evidence, settings = case.evidence, case.settings
    return secret_length.accumulated_length(
        counts_of(evidence, settings=settings, revealed_fraction=case.revealed_fraction),
        rounds=evidence.coincidences,
        chsh_value=_value(case),
        announced_sample_bits=sum(
            sample.revealed * (1 + binary_entropy(sample.errors / sample.revealed))
            + math.log2(sample.revealed + 1)
            for sample in evidence.samples
            if sample.revealed
        ),
        leak=case.leak,
        epsilon=case.epsilon,
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
        bound = min(max(case.chsh.at_least, 0.0), TSIRELSON)
        return secret_length.asymptotic_length(
            case.evidence.key_size,
            entropy=entropy(case, bound),
            leaked_bits=case.leak.total,
        )

    return length


def _preprocessed(case: Case, bound: float) -> float:
    flip = case.flip_probability
    return device_independent.noisy_preprocessing_entropy(bound, flip=flip)


def _value(case: Case) -> float:
    return case.chsh.value or 0.0


def _phase_error(case: Case) -> float:
    """Return the estimate 1 - S / (2 sqrt 2) - Q, no bound, in [0, 1/2]."""
    error = 1 - _value(case) / TSIRELSON - case.error_rate
    return min(0.5, max(0.0, error))


_MODELS = {
    SecurityModel.TRUSTED_ANALYSERS: (
        "if both analysers measure one qubit each at the declared angles, lose photons "
        "independently of the setting (fair sampling), choose settings at random and leak nothing"
    ),
    SecurityModel.DEVICE_INDEPENDENT: (
        "if quantum theory holds, the settings are random and nothing leaks; lost photons are "
        "kept as outcomes"
    ),
}

# What entries have in common; each says only what is its own.
_TRUSTED = partial(
    TheoremEntry,
    security=SecurityModel.TRUSTED_ANALYSERS,
    attacks=Attacks.COHERENT,
    secret="Secret against coherent attacks on source and channel, ",
)
_TWO_KEY_BASES = partial(
    _TRUSTED,
    check=check_unbiased,
    fixes_errors_beforehand=True,
    wants_two_key_bases=True,
    needs_bell_test=False,
)
_UNTRUSTED = partial(
    TheoremEntry,
    security=SecurityModel.DEVICE_INDEPENDENT,
    attacks=Attacks.COLLECTIVE,
    secret="Secret against collective attacks whatever the devices are, ",
)


class Theorem(Enum):
    """The theorem that gives a session its key length; the value is its name.

    An entry here is all that a new theorem takes.

    Examples:
        >>> theorem = Theorem("entropy-accumulation")
        >>> theorem.security.value, Theorem.default(SecurityModel.TRUSTED_ANALYSERS).value
        ('device-independent', 'phase-errors')
    """

    _value_: str
    entry: TheoremEntry

    def __new__(cls, entry: TheoremEntry) -> Self:
        """Make a member whose value is its name."""
        member = object.__new__(cls)
        member._value_ = entry.name
        member.entry = entry
        return member

    PHASE_ERRORS = _TRUSTED(
        name="phase-errors",
        length=_phase_errors,
        takes_portions=True,
        is_default=True,
    )
    EXACT_SAMPLING = _TWO_KEY_BASES(
        name="exact-sampling",
        length=_sampled(device_dependent.exact_sampling_length),
    )
    TOMAMICHEL_LEVERRIER = _TWO_KEY_BASES(
        name="tomamichel-leverrier-2017",
        length=_sampled(device_dependent.tl17_length),
    )
    TLGR = _TWO_KEY_BASES(
        name="tlgr-2012",
        length=_tlgr,
    )
    SHOR_PRESKILL = _TRUSTED(
        name="shor-preskill-2000",
        secret="Secret in the limit of long keys against coherent attacks on source and channel, ",
        length=_shor_preskill,
        finite=False,
    )
    COLLECTIVE = _UNTRUSTED(
        name="collective-attacks",
        secret="Secret for finitely many rounds whatever the devices are, if the rounds are "
        "independent and alike (collective attacks), and ",
        length=_collective,
        is_default=True,
    )
    ENTROPY_ACCUMULATION = TheoremEntry(
        name="entropy-accumulation",
        security=SecurityModel.DEVICE_INDEPENDENT,
        attacks=Attacks.COHERENT,
        secret="Secret against coherent attacks whatever the devices are and remember, ",
        length=_accumulated,
    )
    ACIN = _UNTRUSTED(
        name="acin-2007",
        length=_asymptotic(lambda _, s: device_independent.acin_entropy(s)),
        finite=False,
    )
    NOISY_PREPROCESSING = _UNTRUSTED(
        name="ho-2020",
        length=_asymptotic(_preprocessed),
        check=check_flips,
        finite=False,
        takes_flips=True,
    )
    RANDOM_BASIS = _UNTRUSTED(
        name="schwonnek-2021",
        length=_asymptotic(lambda _, s: device_independent.random_basis_entropy(s)),
        check=check_alike,
        finite=False,
        wants_two_key_bases=True,
    )

    @property
    def security(self) -> SecurityModel:
        """The security model under which the theorem is stated."""
        return self.entry.security

    @property
    def fixes_errors_beforehand(self) -> bool:
        """Whether the theorem wants ``tolerated_error``, declared before the run."""
        return self.entry.fixes_errors_beforehand

    @property
    def statement(self) -> str:
        """What the theorem assumes and covers, in the sentence that every report prints."""
        parts = [self.entry.secret + _MODELS[self.security]]
        if self.fixes_errors_beforehand:
            parts.append("the tolerated error was declared beforehand")
        if not self.entry.finite:
            parts.append("asymptotic formula, not a finite-key theorem")
        return "; ".join(parts) + "."

    @classmethod
    def default(cls, security: SecurityModel) -> Theorem:
        """Return the theorem of a security model that is used unless another is named.

        Args:
            security: The security model.
        """
        (found,) = (it for it in cls if it.entry.is_default and it.security is security)
        return found
