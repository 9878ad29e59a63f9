"""What theorems ask of the setting pairs that make the key."""

import math

from e91.model.settings import Settings


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
    if len(angles) != 2 or abs(math.cos(angles[0] - angles[-1])) > 1e-9:
        raise ValueError(
            f"With `{theorem}` there must be two mutually unbiased key bases, but with "
            f"`{settings.name}` there are not; its theorem for all settings is `phase-errors`."
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
    alike = math.isclose(min(pairs), max(pairs))
    if keys != sorted(alice_test_settings(settings)) or not alike:
        raise ValueError(
            f"With `{theorem}` both of Alice's CHSH settings must make key, equally often, but "
            f"with `{settings.name}` they do not."
        )


def alice_test_settings(settings: Settings) -> set[int]:
    """Return the settings of Alice that belong to the Bell test."""
    return {x for (x, _), _ in settings.chsh_pairs}
