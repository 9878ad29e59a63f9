"""A session before its measurement: what both parties chose, and what a key must promise."""

from dataclasses import dataclass, field

from e91.model.bits import Bits
from e91.model.settings import Settings
from e91.security.policy import Policy


@dataclass(frozen=True, eq=False)
class PreparedSession:
    """A session whose settings are drawn and whose rounds may be measured later, elsewhere.

    Attributes:
        settings: Angles, probabilities and roles.
        policy: What a released key must promise.
        seed: Of the protocol's randomness, for tests, or None.
        x: Alice's setting index in each round; uint8, shape (n,).
        y: Bob's.
    """

    settings: Settings
    policy: Policy
    seed: int | None
    x: Bits = field(repr=False)
    y: Bits = field(repr=False)
