"""What theorems ask of the setting pairs that make the key."""

from __future__ import annotations

import math

from e91.model.settings import Settings
from e91.security.policy import Theorem


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


def check_unbiased(settings: Settings, proof: Theorem) -> None:
    """Check that there are two key bases, 90 degrees apart, as ``proof`` wants them.

    Raises:
        ValueError: There are not.
    """
    angles = [settings.alice_angles[x] for x, _ in settings.key_pairs]
    if len(angles) != 2 or abs(math.cos(angles[0] - angles[-1])) > 1e-9:
        raise ValueError(
            f"With `{proof.value}` there must be two mutually unbiased key bases, but with "
            f"`{settings.name}` there are not; its theorem for all settings is `phase-errors`."
        )
