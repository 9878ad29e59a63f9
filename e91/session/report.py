"""The report of a session: what was sent, measured, tested, lost and gained."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from e91.model.errors import Abort, ProtocolAborted
from e91.model.evidence import Evidence
from e91.model.policy import Policy
from e91.model.records import ChshEstimate, Leak, QberEstimate, SecretKey, SecretLength
from e91.model.settings import Settings
from e91.security.secret_length import split

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from e91.alarm.promise import Alarm, Watched


@dataclass(frozen=True, eq=False)
class Keys:
    """What a released session made; held by the report, reached only through its guards.

    Attributes:
        alice: Alice's copy of the key.
        bob: Bob's copy.
        authentication_key: 64 secret bytes that replace the spent pre-shared ones.
    """

    alice: SecretKey
    bob: SecretKey
    authentication_key: bytes = field(repr=False)


@dataclass(frozen=True, eq=False)
class SessionReport:
    """What happened in a session.  Reading `key` of an aborted session raises.

    Attributes:
        rounds: Photon pairs sent, or rounds of the recording.
        settings: The settings, with their choice probabilities.
        device: One sentence that describes the device.
        policy: Security model, epsilon and revealed fraction.
        seed: The seed of the protocol's randomness, or None if it came from the operating system.
        evidence: The public counts after sifting.
        chsh: The Bell test.
        qber: The error estimate.
        leak: Key bits in all messages, by party.
        authentication_bits: Pre-shared key bits that were consumed.
        length: How the key length came about, before authentication; None if the session ended
            before.
        assumptions: What the security model assumes, in a sentence.
        abort: Why there is no key, or None if there is one.
        seconds: How long the session took.
        block: Its number in a run of several blocks, from 0.
        recorded: Whether the rounds were measured elsewhere, as `e91.analyse` takes them.
        watch: The watch over the link up to the end of this session; None if nobody watched.
    """

    rounds: int
    settings: Settings
    device: str
    policy: Policy
    seed: int | None
    evidence: Evidence
    chsh: ChshEstimate
    qber: QberEstimate
    leak: Leak
    authentication_bits: int
    length: SecretLength | None
    assumptions: str
    abort: Abort | None
    seconds: float
    block: int
    _keys: Keys | None = field(repr=False)
    recorded: bool = False
    watch: Watched | None = None

    @property
    def alarm(self) -> Alarm | None:
        """What rang while the link was watched; None if nothing did, or nobody watched."""
        return self.watch.alarm if self.watch else None

    @property
    def keys(self) -> Keys:
        """Both parties' keys and the next session's authentication key.

        Raises:
            ProtocolAborted: The session ended without a key.
        """
        if self.abort is not None or self._keys is None:
            raise ProtocolAborted(self.abort or Abort.NO_SECRET_LEFT)
        return self._keys

    @property
    def key(self) -> SecretKey:
        """The key, Alice's copy; Bob's is equal.

        Raises:
            ProtocolAborted: The session ended without a key.
        """
        return self.keys.alice

    @property
    def secret_bits(self) -> int:
        """Net length of the key; 0 if the session was aborted."""
        return 0 if self.abort is not None else len(self.keys.alice)

    @property
    def leaked_bits(self) -> int:
        """Key bits in all messages of both parties."""
        return self.leak.total

    @property
    def sifted_bits(self) -> int:
        """Key rounds, the revealed ones included."""
        return self.evidence.key_size + self.evidence.sample_size

    @property
    def completeness(self) -> float | None:
        """Bound on how often an honest link like this one is refused; None if none is stated.

        The link is one of independent Werner pairs with the smaller of the visibilities that S
        and the QBER suggest; for lossy links and for theorems that look at each basis nothing is
        stated.
        """
        from e91.session.completeness import refusal_bound

        whole = self.evidence.coincidences == self.rounds and not self.policy.flip_probability
        if self.chsh.value is None or self.qber.rate is None or not whole:
            return None
        if self.policy.proof.fixes_errors_beforehand:
            return None
        visibility = min(1.0, self.chsh.value / (2 * math.sqrt(2)), 1 - 2 * self.qber.rate)
        return refusal_bound(
            self.settings, rounds=self.rounds, visibility=max(0.0, visibility), policy=self.policy
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the public contents as plain values, ready for JSON; no key bits."""
        return {
            "rounds": self.rounds,
            "settings": self.settings.name,
            "device": self.device,
            "security": self.policy.security.value,
            "theorem": self.policy.proof.value,
            "assumptions": self.assumptions,
            "epsilon": self.policy.epsilon,
            "budget": vars(split(self.policy.epsilon)),
            "completeness": self.completeness,
            "seed": self.seed,
            "chsh": vars(self.chsh),
            "qber": {
                "rate": self.qber.rate,
                "upper_bound": self.qber.upper_bound,
                "revealed": self.qber.revealed,
            },
            "coincidences": self.evidence.coincidences,
            "sifted_bits": self.sifted_bits,
            "leaked_bits": self.leaked_bits,
            "leaked_by_alice": self.leak.alice,
            "authentication_bits": self.authentication_bits,
            "phase_error": self.length.phase_error if self.length else None,
            "length_terms": dict(self.length.terms) if self.length else None,
            "limited_by": self.length.limit[0] if self.length else None,
            "secret_bits": self.secret_bits,
            "abort": self.abort.name if self.abort else None,
            "reason": self.abort.value if self.abort else None,
            "block": self.block,
            "watch": self.watch.to_dict() if self.watch else None,
            "alarm": self.alarm.to_dict() if self.alarm else None,
            "seconds": round(self.seconds, 3),
        }

    def __str__(self) -> str:
        from e91.session.rendering import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        return f"<pre style='line-height:1.3'>{html.escape(str(self))}</pre>"

    def plot(self) -> Axes:
        """Draw S with its error bar and bound between the classical and the quantum limit.

        Returns:
            The Matplotlib axes.  Needs ``pip install 'e91[plot]'``.
        """
        from e91.plots import chsh_scale

        return chsh_scale(self)
