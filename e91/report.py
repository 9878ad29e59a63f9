"""The report of a session: what was sent, measured, tested, lost and gained."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from e91.model.errors import Abort, ProtocolAborted
from e91.model.evidence import Evidence
from e91.model.policy import Policy
from e91.model.records import ChshEstimate, QberEstimate, SecretKey, SecretLength
from e91.model.settings import Settings

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
        rounds: Photon pairs sent.
        settings: The settings, with their choice probabilities.
        device: One sentence that describes the device.
        policy: Security model, epsilon and revealed fraction.
        seed: The seed of the protocol's randomness, or None if it came from the operating system.
        evidence: The public counts after sifting.
        chsh: The Bell test.
        qber: The error estimate.
        leaked_bits: Key bits in all messages of both parties.
        authentication_bits: Pre-shared key bits that were consumed.
        length: How the key length came about, before authentication; None if the session ended
            before.
        assumptions: What the security model assumes, in a sentence.
        abort: Why there is no key, or None if there is one.
        seconds: How long the session took.
    """

    rounds: int
    settings: Settings
    device: str
    policy: Policy
    seed: int | None
    evidence: Evidence
    chsh: ChshEstimate
    qber: QberEstimate
    leaked_bits: int
    authentication_bits: int
    length: SecretLength | None
    assumptions: str
    abort: Abort | None
    seconds: float
    _keys: Keys | None = field(repr=False)

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
    def sifted_bits(self) -> int:
        """Key rounds, the revealed ones included."""
        return self.evidence.key_size + self.evidence.sample_size

    def to_dict(self) -> dict[str, Any]:
        """Return the public contents as plain values, ready for JSON; no key bits."""
        return {
            "rounds": self.rounds,
            "settings": self.settings.name,
            "device": self.device,
            "security": self.policy.security.value,
            "assumptions": self.assumptions,
            "epsilon": self.policy.epsilon,
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
            "authentication_bits": self.authentication_bits,
            "phase_error": self.length.phase_error if self.length else None,
            "secret_bits": self.secret_bits,
            "abort": self.abort.name if self.abort else None,
            "reason": self.abort.value if self.abort else None,
            "seconds": round(self.seconds, 3),
        }

    def __str__(self) -> str:
        from e91.rendering import as_text

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
