"""What a session promises, and how much it spends on knowing that the promise holds."""

from dataclasses import dataclass, field
from enum import Enum

from e91.model.bits import Bits
from e91.model.numbers import check_between_zero_and_one
from e91.model.portion_sizes import check_portions
from e91.model.settings import Settings
from e91.model.trust import SecurityModel
from e91.security.theorems import Theorem


class Reconciler(Enum):
    """How Bob's errors are corrected; the value is its name.

    In Cascade Alice discloses least, and both talk most.  LDPC is one message, Alice's, and
    discloses more than she does there, the more the rarer the errors are (``python -m
    benchmarks.ldpc_frames``): for links where a message is slow.  Without trust in the devices
    Bob's messages cost key too, and as LDPC has none it leaves more from about 1 % of errors on.

    Examples:
        >>> Reconciler("ldpc")
        <Reconciler.LDPC: 'ldpc'>
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
            authentication), and of every bound that is printed.  1e-10 is customary in the field.
        revealed_fraction: Probability that a key round is revealed to estimate the QBER.  A
            tenth costs a tenth of the key and fixes the QBER of 10^5 key rounds to 0.1 %.
        theorem: A `Theorem` or its name.  By default the finite-key theorem that serves all
            settings of the model: ``phase-errors`` (coherent attacks) with trusted analysers,
            ``collective-attacks`` without trust.
        tolerated_error: Error rate of the revealed rounds from which the key is given up, 0 to
            1/2; for the theorems that want it declared before the run, and only for those.
        flip_probability: Probability with which Alice flips each of her key bits before error
            correction, 0 to 1/2; for ``ho-2020`` only.
        reconciler: A `Reconciler` or its name.  Cascade, as it leaves more key with trusted
            analysers; `Reconciler` says where LDPC does.
        portions: Into how many portions a session's key is divided, which are corrected and
            hashed one by one: less work per bit, for a little key; a power of two up to 64.  Only
            with ``phase-errors`` and Cascade, for which it is proved.
        asymptotic: Whether the theorem may be an asymptotic formula.  What that releases carries no
            epsilon, for none is proved.

    Raises:
        ValueError: A number leaves its range, a name is unknown, the theorem is stated under the
            other security model or is an asymptotic formula that was not asked for, or it lacks or
            does not know ``tolerated_error`` or ``flip_probability``.

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
    asymptotic: bool = False

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
        self._check_proved()
        self._check_declared()
        self._check_portions()

    def _check_proved(self) -> None:
        if not (self.proof.entry.finite or self.asymptotic):
            raise ValueError(
                f"`theorem` must be proved for finitely many rounds, as "
                f"`{Theorem.default(self.security).value}` is, or `asymptotic` be asked "
                f"for, but `{self.proof.value}` is an asymptotic formula."
            )

    def _check_portions(self) -> None:
        check_portions(self.portions)
        proved = self.proof.entry.takes_portions and self.reconciler is Reconciler.CASCADE
        if self.portions > 1 and not proved:
            takes = ", ".join(f"`{known.value}`" for known in Theorem if known.entry.takes_portions)
            raise ValueError(
                f"`portions` must be 1 but for {takes} with `cascade`, but is {self.portions} with "
                f"`{self.proof.value}`."
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
        if not 0 <= flip <= 0.5 or (flip and not self.proof.entry.takes_flips):
            takes = ", ".join(f"`{known.value}`" for known in Theorem if known.entry.takes_flips)
            raise ValueError(
                f"`flip_probability` must lie in [0, 1/2] with {takes}, and be 0 with any other "
                f"theorem, but is {flip} with `{self.proof.value}`."
            )

    @property
    def key_epsilon(self) -> float | None:
        """The failure probability that a released key carries; None with an asymptotic formula."""
        return self.epsilon if self.proof.entry.finite else None

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


@dataclass(frozen=True, eq=False)
class PreparedSession:
    """A session whose settings are drawn and whose rounds may be measured later, elsewhere.

    Attributes:
        settings: Angles, probabilities and roles.
        policy: What a released key must promise.
        seed: Of the protocol's randomness, for tests, or None.
        x: Alice's setting index in each round; uint8, shape (n,).
        y: Bob's.
        is_kept: Whether it lies in a file, from which it could be concluded again.
    """

    settings: Settings
    policy: Policy
    seed: int | None
    x: Bits = field(repr=False)
    y: Bits = field(repr=False)
    is_kept: bool = False
