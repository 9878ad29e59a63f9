"""What a session promises, and how much it spends on knowing that the promise holds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Self

from e91.model.numbers import check_between_zero_and_one
from e91.model.portion_sizes import check_portions
from e91.model.trust import SecurityModel


class Attacks(Enum):
    """Which attacks a theorem covers; the value is how a user reads it."""

    COHERENT = "coherent attacks"
    COLLECTIVE = "collective attacks"


@dataclass(frozen=True)
class TheoremFacts:
    """What a theorem states and asks; the key length that it gives is in `e91.session.theorems`.

    Attributes:
        name: What users call it.
        security: The security model under which it is stated.
        attacks: Which attacks it covers.
        secret: First words of its statement: how far a key is secret.
        finite: Whether it holds for finitely many rounds; else it is an asymptotic formula.
        fixes_errors_beforehand: Whether it wants ``tolerated_error``, declared before the run.
        takes_flips: Whether Alice may flip key bits before error correction.
        takes_portions: Whether it is proved for a key that is corrected in portions.
        is_default: Whether it is the one of its security model unless another is named.
    """

    name: str
    security: SecurityModel
    attacks: Attacks
    secret: str
    finite: bool = True
    fixes_errors_beforehand: bool = False
    takes_flips: bool = False
    takes_portions: bool = False
    is_default: bool = False


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
_ON_SOURCE = "Secret against coherent attacks on source and channel, "
_WHATEVER = "Secret against collective attacks whatever the devices are, "


class Theorem(Enum):
    """The theorem that gives a session its key length; the value is its name.

    What each formula is and does not cover stands in ``docs/key_rates.md``.
    """

    _value_: str
    facts: TheoremFacts

    def __new__(cls, facts: TheoremFacts) -> Self:
        """Make a member whose value is its name."""
        member = object.__new__(cls)
        member._value_ = facts.name
        member.facts = facts
        return member

    PHASE_ERRORS = TheoremFacts(
        name="phase-errors",
        security=SecurityModel.TRUSTED_ANALYSERS,
        attacks=Attacks.COHERENT,
        secret=_ON_SOURCE,
        takes_portions=True,
        is_default=True,
    )
    EXACT_SAMPLING = TheoremFacts(
        name="exact-sampling",
        security=SecurityModel.TRUSTED_ANALYSERS,
        attacks=Attacks.COHERENT,
        secret=_ON_SOURCE,
        fixes_errors_beforehand=True,
    )
    TOMAMICHEL_LEVERRIER = TheoremFacts(
        name="tomamichel-leverrier-2017",
        security=SecurityModel.TRUSTED_ANALYSERS,
        attacks=Attacks.COHERENT,
        secret=_ON_SOURCE,
        fixes_errors_beforehand=True,
    )
    TLGR = TheoremFacts(
        name="tlgr-2012",
        security=SecurityModel.TRUSTED_ANALYSERS,
        attacks=Attacks.COHERENT,
        secret=_ON_SOURCE,
        fixes_errors_beforehand=True,
    )
    SHOR_PRESKILL = TheoremFacts(
        name="shor-preskill-2000",
        security=SecurityModel.TRUSTED_ANALYSERS,
        attacks=Attacks.COHERENT,
        secret="Secret in the limit of long keys, ",
        finite=False,
    )
    COLLECTIVE = TheoremFacts(
        name="collective-attacks",
        security=SecurityModel.DEVICE_INDEPENDENT,
        attacks=Attacks.COLLECTIVE,
        secret="Secret for finitely many rounds whatever the devices are, if the rounds are "
        "independent and alike (collective attacks), and ",
        is_default=True,
    )
    ENTROPY_ACCUMULATION = TheoremFacts(
        name="entropy-accumulation",
        security=SecurityModel.DEVICE_INDEPENDENT,
        attacks=Attacks.COHERENT,
        secret="Secret against coherent attacks whatever the devices are and remember, ",
    )
    ACIN = TheoremFacts(
        name="acin-2007",
        security=SecurityModel.DEVICE_INDEPENDENT,
        attacks=Attacks.COLLECTIVE,
        secret=_WHATEVER,
        finite=False,
    )
    NOISY_PREPROCESSING = TheoremFacts(
        name="ho-2020",
        security=SecurityModel.DEVICE_INDEPENDENT,
        attacks=Attacks.COLLECTIVE,
        secret=_WHATEVER,
        finite=False,
        takes_flips=True,
    )
    RANDOM_BASIS = TheoremFacts(
        name="schwonnek-2021",
        security=SecurityModel.DEVICE_INDEPENDENT,
        attacks=Attacks.COLLECTIVE,
        secret=_WHATEVER,
        finite=False,
    )

    @property
    def security(self) -> SecurityModel:
        """The security model under which the theorem is stated."""
        return self.facts.security

    @property
    def fixes_errors_beforehand(self) -> bool:
        """Whether the theorem wants ``tolerated_error``, declared before the run."""
        return self.facts.fixes_errors_beforehand

    @property
    def statement(self) -> str:
        """What the theorem assumes and covers, in the sentence that every report prints."""
        parts = [self.facts.secret + _MODELS[self.security]]
        if self.fixes_errors_beforehand:
            parts.append("the tolerated error was declared beforehand")
        if not self.facts.finite:
            parts.append("asymptotic formula, not a finite-key theorem")
        return "; ".join(parts) + "."

    @classmethod
    def default(cls, security: SecurityModel) -> Theorem:
        """Return the theorem of a security model that is used unless another is named."""
        (found,) = (it for it in cls if it.facts.is_default and it.security is security)
        return found


class Reconciler(Enum):
    """How Bob's errors are corrected; the value is its name.

    Cascade discloses least and talks most; LDPC is one message, and discloses more, the more the
    rarer the errors are (``python -m benchmarks.ldpc_frames``): for links where a message is slow.
    """

    CASCADE = "cascade"
    LDPC = "ldpc"


@dataclass(frozen=True)
class Policy:
    """The session's promises and choices.  Every default has its reason beside it.

    Attributes:
        security: The security model that a key must satisfy, a `SecurityModel` or its name.
            Trusted analysers are what a laboratory has; device independence costs most of the key.
        epsilon: Total failure probability of the session (secrecy + correctness +
            authentication).  1e-10 is customary in the field.
        revealed_fraction: Probability that a key round is revealed to estimate the QBER.  A
            tenth costs a tenth of the key and fixes the QBER of 10^5 key rounds to 0.1 %.
        theorem: A `Theorem` or its name.  By default the finite-key theorem that serves all
            settings of the model: ``phase-errors`` (coherent attacks) with trusted analysers,
            ``collective-attacks`` without trust.
        tolerated_error: Error rate of the revealed rounds from which the key is given up, 0 to
            1/2; for the theorems that want it declared before the run, and only for those.
        flip_probability: Probability with which Alice flips each of her key bits before error
            correction, 0 to 1/2; for ``ho-2020`` only.
        reconciler: A `Reconciler` or its name.  Cascade, as it leaves more key.
        portions: Into how many portions a session's key is divided, which are corrected and
            hashed one by one: less work per bit, for a little key; a power of two up to 64.  Only
            with ``phase-errors`` and Cascade, for which it is proved.

    Raises:
        ValueError: A number leaves its range, a name is unknown, the theorem is stated under the
            other security model, or it lacks or does not know ``tolerated_error`` or
            ``flip_probability``.

    Examples:
        >>> Policy().proof, Policy(theorem="exact-sampling", tolerated_error=0.03).proof
        (<Theorem.PHASE_ERRORS: 'phase-errors'>, <Theorem.EXACT_SAMPLING: 'exact-sampling'>)
    """

    security: SecurityModel = SecurityModel.TRUSTED_ANALYSERS
    epsilon: float = 1e-10
    revealed_fraction: float = 0.1
    theorem: Theorem | str | None = None
    tolerated_error: float | None = None
    flip_probability: float = 0.0
    reconciler: Reconciler | str = Reconciler.CASCADE
    portions: int = 1

    def __post_init__(self) -> None:
        check_between_zero_and_one(epsilon=self.epsilon, revealed_fraction=self.revealed_fraction)
        kinds = {"security": SecurityModel, "theorem": Theorem, "reconciler": Reconciler}
        for name, kind in kinds.items():
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _named(kind, getattr(self, name), name))
        if self.proof.security is not self.security:
            raise ValueError(
                f"`theorem` must be stated under `{self.security.value}`, but "
                f"`{self.proof.value}` is stated under `{self.proof.security.value}`."
            )
        self._check_declared()
        self._check_portions()

    def _check_portions(self) -> None:
        check_portions(self.portions)
        proved = self.proof.facts.takes_portions and self.reconciler is Reconciler.CASCADE
        if self.portions > 1 and not proved:
            raise ValueError(
                f"`portions` must be 1 but for `phase-errors` with `cascade`, but is "
                f"{self.portions} with `{self.proof.value}`."
            )

    def _check_declared(self) -> None:
        tolerated, flip = self.tolerated_error, self.flip_probability
        if tolerated is not None and not 0 <= tolerated <= 0.5:
            raise ValueError(f"`tolerated_error` must lie in [0, 1/2], but is {tolerated}.")
        if self.proof.fixes_errors_beforehand is (tolerated is None):
            raise ValueError(
                f"`tolerated_error` must {'not ' * (tolerated is not None)}be given with "
                f"`{self.proof.value}`, but is {tolerated}."
            )
        if not 0 <= flip <= 0.5 or (flip and not self.proof.facts.takes_flips):
            raise ValueError(
                f"`flip_probability` must lie in [0, 1/2] with `ho-2020`, and be 0 with any "
                f"other theorem, but is {flip} with `{self.proof.value}`."
            )

    @property
    def proof(self) -> Theorem:
        """The theorem that is used: the one named, or the default of the security model."""
        if self.theorem is None:
            return Theorem.default(self.security)
        assert isinstance(self.theorem, Theorem)  # a name became its member at the start
        return self.theorem


def _named(kind: type[Enum], name: Enum | str, argument: str) -> Enum:
    try:
        return kind(name)
    except ValueError:
        known = ", ".join(member.value for member in kind)
        raise ValueError(f"`{argument}` must be one of {known}, but is `{name}`.") from None
