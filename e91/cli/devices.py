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
    unauthenticated: bool,
    **noise: float,
) -> tuple[Any, dict[str, Any]]:
    """Return the device, and what an attack does to the classical channel."""
    if attack is not None:
        staged = staged_attack(
            attack,
            strength,
            basis=basis,
            unauthenticated=unauthenticated,
            settings=settings,
            rounds=rounds,
            simulator=device,
            seed=seed,
            **noise,
        )
        return staged.device, channel_of(staged)
    for name, given in (("strength", strength is not None), ("basis", basis is not None),
                        ("unauthenticated", unauthenticated)):  # fmt: skip
        if given:
            raise ValueError(f"`--{name}` must come with `--attack NAME`, but there is none.")
    from e91.devices.aer import aer_device
    from e91.devices.exact import exact_device

    make: Callable[..., Any] = aer_device if device == "aer" else exact_device
    return make(settings=settings, seed=seed, **noise), {}


def block_device(
    *,
    device: str,
    attack: str | None,
    strength: float | None,
    basis: Any,
    unauthenticated: bool,
    settings: Settings,
    seed: int | None,
    **noise: float,
) -> Any:
    """Return a device for a run of blocks: honest, or tapped by intercept-resend as a channel."""
    if attack is None or device == "aer":
        return session_device(
            device=device,
            attack=attack,
            strength=strength,
            basis=basis,
            unauthenticated=unauthenticated,
            settings=settings,
            rounds=1,
            seed=seed,
            **noise,
        )[0]
    if attack != "intercept-resend" or unauthenticated:
        raise ValueError(
            f"A run of blocks must be honest or under `intercept-resend`, but is under `{attack}`: "
            "run a session of at most 50,000,000 pairs."
        )
    from functools import partial

    from e91_circuits import intercept_resend

    from e91.devices.exact import exact_device

    fraction = 1.0 if strength is None else strength
    if not 0 <= fraction <= 1:
        raise ValueError(f"`--strength` must lie in [0, 1], but is {fraction}.")
    eve = partial(intercept_resend, fraction=fraction, basis=basis or "random")
    return exact_device(settings=settings, attack=eve, seed=seed, **noise)
