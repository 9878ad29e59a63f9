"""From the options of ``e91 run`` to a device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from e91.cli.attack import channel_of, staged_attack
from e91.model.settings import Settings


def session_device(
    *,
    device: str,
    settings: Settings,
    seed: int | None,
    rounds: int,
    attack: str | None,
    strength: float | None,
    basis: str | None,
    flips: float | None,
    unauthenticated: bool,
    **noise: float,
) -> tuple[Any, dict[str, Any]]:
    """Return the device, and what an attack does to the classical channel."""
    if attack is not None:
        staged = staged_attack(
            attack,
            strength,
            basis=basis,
            flips=flips,
            unauthenticated=unauthenticated,
            settings=settings,
            rounds=rounds,
            simulator=device,
            seed=seed,
            **noise,
        )
        return staged.device, channel_of(staged)
    for name, given in (("strength", strength is not None), ("basis", basis is not None),
                        ("flips", flips is not None),
                        ("unauthenticated", unauthenticated)):  # fmt: skip
        if given:
            raise ValueError(f"`--{name}` must come with `--attack NAME`, but there is none.")
    from e91.devices.aer import aer_device
    from e91.devices.exact import exact_device

    make: Callable[..., Any] = aer_device if device == "aer" else exact_device
    return make(settings=settings, seed=seed, **noise), {}


def block_device(*, attack: str | None, unauthenticated: bool, **options: Any) -> Any:
    """Return a device for a run of blocks, which must have a table of probabilities.

    Args:
        attack: Name of an attack, or None.
        unauthenticated: Whether everybody knows the authentication key.
        options: As for `session_device`.

    Raises:
        ValueError: The attack has no such table.
    """
    device, _ = session_device(rounds=1, attack=attack, unauthenticated=unauthenticated, **options)
    if attack is not None and not hasattr(device, "sampler"):
        from e91.attacks import ATTACKS

        able = ", ".join(name for name, found in ATTACKS.items() if found.is_channel)
        raise ValueError(
            f"A run of blocks must be honest or, with `--device exact`, under one of {able}, but "
            f"is under `{attack}` with `--device {options['device']}`: run a session of at most "
            "50,000,000 pairs."
        )
    return device
