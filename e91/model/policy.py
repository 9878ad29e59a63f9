"""What a session promises, and how much it spends on knowing that the promise holds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class SecurityModel(Enum):
    """What is assumed of the equipment; the key carries this label wherever it goes."""

    TRUSTED_ANALYSERS = "trusted-analysers"
    DEVICE_INDEPENDENT = "device-independent"


@dataclass(frozen=True)
class Policy:
    """The session's promises and choices.  Every default has its reason beside it.

    Attributes:
        security: The security model that a key must satisfy.  Trusted analysers are what a
            laboratory has; device independence costs most of the key.
        epsilon: Total failure probability of the session (secrecy + correctness +
            authentication).  1e-10 is customary in the field.
        revealed_fraction: Probability that a key round is revealed to estimate the QBER.  A
            tenth costs a tenth of the key and fixes the QBER of 10^5 key rounds to 0.1 %.

    Raises:
        ValueError: ``epsilon`` does not lie strictly between 0 and 1, or
            ``revealed_fraction`` does not.
    """

    security: SecurityModel = SecurityModel.TRUSTED_ANALYSERS
    epsilon: float = 1e-10
    revealed_fraction: float = 0.1

    def __post_init__(self) -> None:
        for name in ("epsilon", "revealed_fraction"):
            value = getattr(self, name)
            if not 0 < value < 1:
                raise ValueError(f"`{name}` must lie strictly between 0 and 1, but is {value}.")
