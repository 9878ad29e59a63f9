"""What a session promises, and how much it spends on knowing that the promise holds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from e91.model.portions import PORTIONS


class SecurityModel(Enum):
    """What is assumed of the equipment; the key carries this label wherever it goes."""

    TRUSTED_ANALYSERS = "trusted-analysers"
    DEVICE_INDEPENDENT = "device-independent"


class Theorem(Enum):
    """The theorem that gives a session its key length; the value is its name.

    What each assumes and covers stands in `e91.session.theorems` and ``docs/key_rates.md``.
    """

    PHASE_ERRORS = "phase-errors"
    EXACT_SAMPLING = "exact-sampling"
    TOMAMICHEL_LEVERRIER = "tomamichel-leverrier-2017"
    TLGR = "tlgr-2012"
    SHOR_PRESKILL = "shor-preskill-2000"
    COLLECTIVE = "collective-attacks"
    ENTROPY_ACCUMULATION = "entropy-accumulation"
    ACIN = "acin-2007"
    NOISY_PREPROCESSING = "ho-2020"
    RANDOM_BASIS = "schwonnek-2021"

    @property
    def security(self) -> SecurityModel:
        """The security model under which the theorem is stated."""
        if self in _TRUSTED:
            return SecurityModel.TRUSTED_ANALYSERS
        return SecurityModel.DEVICE_INDEPENDENT

    @property
    def fixes_errors_beforehand(self) -> bool:
        """Whether the theorem wants ``tolerated_error``, declared before the run."""
        return self in (Theorem.EXACT_SAMPLING, Theorem.TOMAMICHEL_LEVERRIER, Theorem.TLGR)


class Reconciler(Enum):
    """How Bob's errors are corrected; the value is its name.

    Cascade discloses least and talks most; LDPC is one message, and discloses more, the more the
    rarer the errors are (``python benchmarks/ldpc_frames.py``): for links where a message is slow.
    """

    CASCADE = "cascade"
    LDPC = "ldpc"


_TRUSTED = (
    Theorem.PHASE_ERRORS,
    Theorem.EXACT_SAMPLING,
    Theorem.TOMAMICHEL_LEVERRIER,
    Theorem.TLGR,
    Theorem.SHOR_PRESKILL,
)

_DEFAULT = {
    SecurityModel.TRUSTED_ANALYSERS: Theorem.PHASE_ERRORS,
    SecurityModel.DEVICE_INDEPENDENT: Theorem.COLLECTIVE,
}


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
        portions: Into how many portions a session's key is dealt, which are corrected and hashed
            one by one: less work a bit, for a little key; a power of two up to 64.  Only with
            ``phase-errors`` and Cascade, for which it is proved.

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
        for name in ("epsilon", "revealed_fraction"):
            value = getattr(self, name)
            if not 0 < value < 1:
                raise ValueError(f"`{name}` must lie strictly between 0 and 1, but is {value}.")
        for name, kind in (("security", SecurityModel), ("theorem", Theorem),
                           ("reconciler", Reconciler)):  # fmt: skip
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
        if self.portions not in PORTIONS:
            raise ValueError(f"`portions` must be one of {PORTIONS}, but is {self.portions}.")
        proved = self.proof is Theorem.PHASE_ERRORS and self.reconciler is Reconciler.CASCADE
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
        if not 0 <= flip <= 0.5 or (flip and self.proof is not Theorem.NOISY_PREPROCESSING):
            raise ValueError(
                f"`flip_probability` must lie in [0, 1/2] with `ho-2020`, and be 0 with any "
                f"other theorem, but is {flip} with `{self.proof.value}`."
            )

    @property
    def proof(self) -> Theorem:
        """The theorem that is used: the one named, or the default of the security model."""
        return _DEFAULT[self.security] if self.theorem is None else Theorem(self.theorem)


def _named(kind: type[Enum], name: Enum | str, argument: str) -> Enum:
    try:
        return kind(name)
    except ValueError:
        known = ", ".join(member.value for member in kind)
        raise ValueError(f"`{argument}` must be one of {known}, but is `{name}`.") from None
