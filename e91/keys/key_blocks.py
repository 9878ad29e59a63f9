"""Key as it is stored and delivered: blocks of finished sessions, and keys cut from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from e91.keys.provenance import WEAKEST_FIRST, Provenance
from e91.model.trust import SecurityModel

RouteType = Literal["link", "relayed"]
"""``"link"``: no relay knew the key; ``"relayed"``: at least one did."""


@dataclass(frozen=True, eq=False, repr=False)
class KeyBlock:
    """One end's copy of a finished secret key, from which keys of any size are cut.

    Attributes:
        block_id: The same at both ends.
        content: Its bytes; they are not printed.
        provenance: Where it comes from.

    Raises:
        ValueError: ``content`` is empty.

    Examples:
        >>> origin = Provenance(SecurityModel.TRUSTED_ANALYSERS, None, None, 1e-10, True,
        ...     2.7, 2.6, ("alice", "bob"), (), 1, False, 1.7e9, "session 1")
        >>> KeyBlock(UUID(int=7), bytes(4096), origin)
        KeyBlock(00000000-0000-0000-0000-000000000007, 4,096 bytes)
    """

    block_id: UUID
    content: bytes
    provenance: Provenance

    def __post_init__(self) -> None:
        if not self.content:
            raise ValueError("`content` must hold at least one byte, but is empty.")

    def __repr__(self) -> str:
        return f"KeyBlock({self.block_id}, {len(self.content):,} bytes)"


@dataclass(frozen=True, eq=False, repr=False)
class HeldKey:
    """A key as it is delivered to one application.

    Attributes:
        key_id: The same for everybody who gets the key.
        content: Its bytes; they are not printed.
        provenance: Where it comes from.

    Examples:
        >>> origin = Provenance(SecurityModel.TRUSTED_ANALYSERS, None, None, 1e-10, True,
        ...     2.7, 2.6, ("alice", "bob"), (), 1, False, 1.7e9, "session 1")
        >>> HeldKey(UUID(int=7), bytes(32), origin)
        HeldKey(00000000-0000-0000-0000-000000000007, 256 bits)
    """

    key_id: UUID
    content: bytes
    provenance: Provenance

    def __repr__(self) -> str:
        return f"HeldKey({self.key_id}, {8 * len(self.content):,} bits)"


@dataclass(frozen=True)
class KeyConditions:
    """What a request demands of the provenance of its keys; None demands nothing.

    Attributes:
        min_model: The weakest security model that will do; device-independent is the strongest.
        max_epsilon: The largest failure probability; a key without a proved one does not meet it.
        route_type: ``"link"`` for keys that no relay knew, ``"relayed"`` for others.
        disjoint_paths: The least number of paths without a common relay.
        max_age_s: The largest age of the oldest part, seconds.

    Raises:
        ValueError: A limit is impossible.

    Examples:
        >>> origin = Provenance(SecurityModel.TRUSTED_ANALYSERS, None, None, 1e-10, True,
        ...     2.7, 2.6, ("alice", "bob"), (), 1, False, 1.7e9, "session 1")
        >>> KeyConditions(max_epsilon=1e-9, max_age_s=60.0).are_met_by(origin, now=1.7e9 + 10)
        True
        >>> KeyConditions(min_model=SecurityModel.DEVICE_INDEPENDENT).are_met_by(origin, now=1.7e9)
        False
    """

    min_model: SecurityModel | None = None
    max_epsilon: float | None = None
    route_type: RouteType | None = None
    disjoint_paths: int | None = None
    max_age_s: float | None = None

    def __post_init__(self) -> None:
        if self.max_epsilon is not None and not 0 <= self.max_epsilon <= 1:
            raise ValueError(f"`max_epsilon` must lie in [0, 1], but is {self.max_epsilon}.")
        if self.route_type not in (None, "link", "relayed"):
            raise ValueError(f"`route_type` must be link or relayed, but is {self.route_type!r}.")
        if self.disjoint_paths is not None and self.disjoint_paths < 1:
            raise ValueError(f"`disjoint_paths` must be at least 1, but is {self.disjoint_paths}.")
        if self.max_age_s is not None and not self.max_age_s >= 0:
            raise ValueError(f"`max_age_s` must be at least 0, but is {self.max_age_s}.")

    def are_met_by(self, provenance: Provenance, *, now: float) -> bool:
        """Return whether a key of this provenance will do.

        Args:
            provenance: Of the whole key.
            now: Seconds since 1970; a key from the future, as after the clock was put back, has
                the age 0.
        """
        return (
            self._model_suffices(provenance.security)
            and self._epsilon_suffices(provenance.epsilon)
            and self.route_type in (None, "relayed" if provenance.relays else "link")
            and (self.disjoint_paths or 1) <= provenance.disjoint_paths
            and (self.max_age_s is None or now - provenance.made_at <= self.max_age_s)
        )

    def _model_suffices(self, model: SecurityModel) -> bool:
        if self.min_model is None:
            return True
        return WEAKEST_FIRST.index(model) >= WEAKEST_FIRST.index(self.min_model)

    def _epsilon_suffices(self, epsilon: float | None) -> bool:
        if self.max_epsilon is None:
            return True
        return epsilon is not None and epsilon <= self.max_epsilon
